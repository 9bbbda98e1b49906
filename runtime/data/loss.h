/* What a tokenizer does not keep of a text: the text against what its ids decode to. */
#ifndef BFM_DATA_LOSS_H
#define BFM_DATA_LOSS_H

#include "tokenizer/buffers.h"

/* Counted document by document, whatever the order of the characters: a character that the text has three times and the ids give back once is lost twice. */
typedef struct BfmLoss {
    int64_t documents;   /* that do not come back as they were */
    int64_t white_space; /* characters lost that are white space */
    int64_t invalid;     /* bytes lost that are no UTF-8 */
    int64_t characters;  /* other characters lost */
    int64_t added;       /* characters and bytes that come back and were not there */
} BfmLoss;

typedef struct BfmLossCounter BfmLossCounter;

BfmLossCounter *bfm_loss_counter_new(BfmError *error);
void bfm_loss_counter_free(BfmLossCounter *counter); /* NULL is fine */
void bfm_loss_count(BfmLossCounter *counter, BfmText text, BfmText back, BfmLoss *loss);

enum { BFM_LOSS_TEXT = 256 };
/* "2 white-space characters, 1 byte that is not UTF-8 and …". Returns `text`. */
const char *bfm_loss_text(const BfmLoss *loss, char text[BFM_LOSS_TEXT]);

#endif
