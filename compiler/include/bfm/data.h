/* Data folders: texts as token files, in parts for training and for evaluation (docs/data.md). */
#ifndef BFM_DATA_H
#define BFM_DATA_H

#include <bfm/api.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct BfmData BfmData;

typedef struct BfmDataPackOptions {
    const char *const *inputs; /* [input_count] text files */
    int64_t input_count;
    const char *tokenizer;          /* "byte", a SentencePiece M.model or "train:N"; NULL: byte */
    const char *split;              /* "98,1,1": shares of train, valid, test; NULL: these */
    const char *document_separator; /* NULL: files and blank lines */
    uint64_t seed;                  /* which documents are held out */
    bool replace;                   /* a folder that runs were trained on, too */
    /* Callbacks may be NULL. progress: bytes of text done, after each document. stopped: asked before the first file is written and after each document; true ends the pack with an
       error, and leaves nothing behind. */
    void (*progress)(void *user, int64_t done, int64_t total);
    bool (*stopped)(void *user);
    void *user;
} BfmDataPackOptions;

/* Makes the folder `out`, whole or not at all; the same texts and options give the same bytes. False: INPUT or ENVIRONMENT. */
BFM_API bool bfm_data_pack(const char *out, const BfmDataPackOptions *options, BfmError *error);

/* Opens a folder and checks its files. NULL: INPUT or ENVIRONMENT. */
BFM_API BfmData *bfm_data_open(const char *folder, BfmError *error);
/* NULL is allowed. */
BFM_API void bfm_data_close(BfmData *data);

typedef enum { BFM_DATA_TRAIN, BFM_DATA_VALID, BFM_DATA_TEST, BFM_DATA_PARTS } BfmDataPart;
typedef struct BfmDataPartInfo {
    int64_t tokens, documents, bytes; /* bytes: of the source text */
} BfmDataPartInfo;
/* False: the folder has no such part. */
BFM_API bool bfm_data_part(const BfmData *data, BfmDataPart part, BfmDataPartInfo *info);
/* "train", "valid", "test". Belongs to the library. */
BFM_API const char *bfm_data_part_name(BfmDataPart part);
BFM_API int64_t bfm_data_vocab(const BfmData *data); /* ids of the tokenizer */
/* How many documents do not come back from their ids as they were, and what they lost, in words. To be freed with bfm_text_free. NULL: nothing is lost. */
BFM_API char *bfm_data_lost(const BfmData *data, int64_t *documents);

/* The parts, the tokenizer and `samples` samples of the training part, chosen by the seed. To be freed with bfm_report_free. False: INPUT. */
BFM_API bool bfm_data_show(const BfmData *data, int64_t samples, uint64_t seed, BfmReport *report, BfmError *error);

#ifdef __cplusplus
}
#endif

#endif
