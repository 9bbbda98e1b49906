/* Token ids one by one into text that can be shown at once: always valid UTF-8. The bytes of a character that is not complete yet are held back;
   what can never become one is shown as U+FFFD, one for each maximal subpart (file/utf8.h), in the middle of a text as at its end. */
#ifndef BFM_TOKENIZER_TEXT_STREAM_H
#define BFM_TOKENIZER_TEXT_STREAM_H

#include "tokenizer/tokenizer.h"

typedef struct BfmTextStream {
    const BfmTokenizer *tokenizer; /* borrowed */
    bool begun;                    /* there is text before the next id */
    BfmBytes held;                 /* bytes that begin a character: at most three between two calls */
} BfmTextStream;

/* `before` [count]: what the text continues. It is not shown, but it decides about spaces, and a character that it begins is held. */
bool bfm_text_stream_init(BfmTextStream *stream, const BfmTokenizer *tokenizer, const int32_t *before, int64_t count, BfmError *error);
void bfm_text_stream_deinit(BfmTextStream *stream);

/* Appends to `text` what the id makes showable: nothing, a piece, or several characters. */
bool bfm_text_stream_push(BfmTextStream *stream, int32_t id, BfmBytes *text, BfmError *error);
/* No id follows: appends what was held back. */
bool bfm_text_stream_end(BfmTextStream *stream, BfmBytes *text, BfmError *error);

/* Appends the bytes with everything that is no UTF-8 replaced by U+FFFD, an incomplete character at the end included. */
bool bfm_text_clean(BfmText bytes, BfmBytes *text, BfmError *error);

#endif
