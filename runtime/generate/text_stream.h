/* Token ids one by one into text that can be shown at once: always valid UTF-8. The bytes of a character that is not complete yet are held back;
   what can never become one is shown as U+FFFD. */
#ifndef BFM_GENERATE_TEXT_STREAM_H
#define BFM_GENERATE_TEXT_STREAM_H

#include "tokenizer/tokenizer.h"

typedef struct BfmTextStream {
    const BfmTokenizer *tokenizer; /* borrowed */
    BfmIds ids;                    /* the last ones shown, and those held back */
    int64_t shown;                 /* how many of them are shown */
} BfmTextStream;

/* `before` [count]: what the text continues, which is not shown itself but decides about spaces. */
bool bfm_text_stream_init(BfmTextStream *stream, const BfmTokenizer *tokenizer, const int32_t *before, int64_t count, BfmError *error);
void bfm_text_stream_deinit(BfmTextStream *stream);

/* Appends to `text` what the id makes showable: nothing, a piece, or several characters. */
bool bfm_text_stream_push(BfmTextStream *stream, int32_t id, BfmBytes *text, BfmError *error);

/* Appends the bytes with everything that is no UTF-8 replaced by U+FFFD, an incomplete character at the end included. */
bool bfm_text_clean(BfmText bytes, BfmBytes *text, BfmError *error);

#endif
