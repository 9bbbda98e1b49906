/* A data folder as `data pack` makes it. */
#ifndef BFM_DATA_DATASET_H
#define BFM_DATA_DATASET_H

#include "bfm/error.h"
#include "data/loss.h"
#include "data/tokens.h"
#include "tokenizer/tokenizer.h"

#include <jansson.h>
#include <stdio.h>

typedef enum BfmPart { BFM_PART_TRAIN, BFM_PART_VALID, BFM_PART_TEST, BFM_PART_COUNT } BfmPart;

#define BFM_DATA_JSON  "data.json"
#define BFM_DATA_USERS "used_by" /* the paths of the runs that were trained on the data, a line each */
enum { BFM_DATA_SCHEMA = 1, BFM_SAMPLE_TOKENS = 256 };

typedef struct BfmDataset {
    char *folder;
    BfmTokenizer *tokenizer;
    BfmTokens *parts[BFM_PART_COUNT]; /* NULL where the split gave nothing */
    BfmLoss loss[BFM_PART_COUNT];     /* what the ids do not keep of the text */
    uint64_t hash;                    /* of the tokenizer and every part: what a resume compares */
} BfmDataset;

const char *bfm_part_name(BfmPart part); /* "train", "valid", "test" */

/* Opens and checks every file against data.json and each other; NULL (INPUT) names the file. */
BfmDataset *bfm_dataset_open(const char *folder, BfmError *error);
void bfm_dataset_close(BfmDataset *dataset); /* NULL is fine */

json_t *bfm_loss_json(const BfmLoss *loss); /* as data.json holds it */

/* Writes down that a run was trained on the data, so that a later pack does not replace them unasked; data that cannot be written cannot be replaced either. */
void bfm_dataset_used_by(const BfmDataset *dataset, const char *run);

double bfm_tokens_bytes_per_token(const BfmTokensInfo *info); /* 0 without tokens; nats / (it · ln 2) are bits per byte */

/* Bytes of the source text that each id of a part stands for, sizes [vocab of the part]: those of its piece. Where the part's ids do not add up to its source,
 * ids for unknown text take what is missing, alike, or else (a tokenizer that normalises text) every id its share of the source. */
bool bfm_dataset_sizes(const BfmDataset *dataset, BfmPart part, double *sizes, BfmError *error);

/* The text of sample `index` of a part: up to `length` ids of one document, chosen by (seed, index); appended to `text`, and where it came
 * from. False (INPUT) when the dataset has no such part or it is empty. */
typedef struct BfmSample {
    int64_t document, start, count; /* ids [start, start + count) of the part */
} BfmSample;
bool bfm_dataset_sample(const BfmDataset *dataset, BfmPart part, int64_t index, int64_t length, uint64_t seed, BfmSample *sample, BfmBytes *text, BfmError *error);

/* `data show D N`: the parts, then `count` training samples, each under a line that says where it is from. */
bool bfm_dataset_show(const BfmDataset *dataset, int64_t count, uint64_t seed, FILE *out, BfmError *error);

#endif
