/* Text to token ids and back. Specifications as `--tokenizer` takes them:
 *   byte       id = byte, vocab 256, lossless
 *   M.model    a SentencePiece model file
 *   train:N    a SentencePiece model of N ids learnt from the training texts, or of fewer where they give no more (byte
 *              fallback, no normalisation: any bytes come back as they were)
 * A tokenizer is immutable and may be used from several threads. */
#ifndef BFM_TOKENIZER_TOKENIZER_H
#define BFM_TOKENIZER_TOKENIZER_H

#include "tokenizer/buffers.h"

typedef struct BfmTokenizer BfmTokenizer;

/* `texts` [count] are read for train:N only. NULL: unknown specification, unreadable model (INPUT), SentencePiece not installed (ENVIRONMENT). */
BfmTokenizer *bfm_tokenizer_new(const char *specification, const BfmText *texts, int64_t count, BfmError *error);
void bfm_tokenizer_free(BfmTokenizer *tokenizer); /* NULL is fine */

const char *bfm_tokenizer_kind(const BfmTokenizer *tokenizer); /* "byte", "sentencepiece" */
int64_t bfm_tokenizer_vocab(const BfmTokenizer *tokenizer);
uint64_t bfm_tokenizer_hash(const BfmTokenizer *tokenizer); /* of kind, vocab and model: equal hashes give equal ids */

bool bfm_tokenizer_encode(const BfmTokenizer *tokenizer, BfmText text, BfmIds *ids, BfmError *error); /* appends */
/* Appends the bytes that ids stand for, which need be no UTF-8; an id outside the vocabulary is an error (INPUT). */
bool bfm_tokenizer_decode(const BfmTokenizer *tokenizer, const int32_t *ids, int64_t count, BfmBytes *text, BfmError *error);

/* Bytes of text that each id stands for, sizes [vocab]: 0 for control symbols, -1 for an id that stands for any unknown text. */
bool bfm_tokenizer_sizes(const BfmTokenizer *tokenizer, int32_t *sizes, BfmError *error);
/* The same for ids that continue a text: where it has bytes already (`*begun`), leading spaces are kept. Sets `*begun` once it has. */
bool bfm_tokenizer_decode_more(const BfmTokenizer *tokenizer, const int32_t *ids, int64_t count, bool *begun, BfmBytes *text, BfmError *error);
/* Appends the ids that a text begins with before it has words: <s> where the model has it, else a line end, else what comes nearest. */
bool bfm_tokenizer_begin(const BfmTokenizer *tokenizer, BfmIds *ids, BfmError *error);

/* tokenizer.json (and tokenizer.model beside it) in an existing folder; load checks them against each other. */
bool bfm_tokenizer_save(const BfmTokenizer *tokenizer, const char *folder, BfmError *error);
BfmTokenizer *bfm_tokenizer_load(const char *folder, BfmError *error);

#endif
