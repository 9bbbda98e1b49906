/* `data pack`: texts to a data folder D with train.tok, valid.tok, test.tok, tokenizer.json (and tokenizer.model), data.json.
 * The folder appears whole or not at all, and the same texts and options give the same bytes. */
#ifndef BFM_DATA_PACK_H
#define BFM_DATA_PACK_H

#include "bfm/error.h"
#include "data/dataset.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct BfmPackOptions {
    const char *const *inputs; /* [input_count] text files */
    int64_t input_count;
    const char *tokenizer;                                        /* as bfm_tokenizer_new takes it; train:N learns from the training part only */
    double split[BFM_PART_COUNT];                                 /* shares of train, valid, test; >= 0, not all 0; scaled to their sum */
    const char *document_separator;                               /* NULL: see data/documents.h */
    uint64_t seed;                                                /* which documents are held out */
    const char *out;                                              /* a new folder, an empty one, or one that an earlier pack made and no run was trained on */
    bool replace;                                                 /* one that runs were trained on, too */
    void (*progress)(void *context, int64_t done, int64_t total); /* bytes of text, after each document; NULL for none */
    void *progress_context;
    bool (*stopped)(void *context); /* asked before the first file is written and after each document; true ends the pack with an error; NULL for never */
    void *stopped_context;
} BfmPackOptions;

/* "98,1,1" to shares of train, valid, test; "100" and "95,5" leave the rest 0. False (INPUT) says what is wrong. */
bool bfm_split_parse(const char *text, double split[BFM_PART_COUNT], BfmError *error);

/* Documents are held out in an order that depends on the seed and their content only; equal documents stay in one part, so that nothing
 * held out is trained on. Every part with a share gets at least one document, or the error says how to get more documents. */
bool bfm_pack(const BfmPackOptions *options, BfmError *error);

#endif
