/* Which tokens a training step sees: a pure function of (data, batch, context, seed, step), so that resuming needs no state.
 *
 * An epoch cuts the ids into windows of context + 1 (the last id of one is the first of the next, so every id but the first is a target once),
 * begun at an offset that differs from epoch to epoch, and visits them in an order chosen by (seed, epoch). */
#ifndef BFM_DATA_BATCHES_H
#define BFM_DATA_BATCHES_H

#include "bfm/error.h"
#include "data/tokens.h"

typedef struct BfmBatches {
    const BfmTokens *tokens; /* borrowed */
    int64_t batch, context;  /* b, l */
    int64_t windows;         /* in one epoch */
    int64_t slack;           /* the offset of an epoch lies in [0, slack] */
    uint64_t seed;
} BfmBatches;

/* False (INPUT) when the data is shorter than one window. */
bool bfm_batches_init(BfmBatches *batches, const BfmTokens *tokens, int64_t batch, int64_t context, uint64_t seed, BfmError *error);
/* Step >= 0 (counting micro-batches where steps accumulate). tokens: [b, l + 1]; the first l are inputs, the last l targets. */
void bfm_batches_fill(const BfmBatches *batches, int64_t step, int32_t *tokens);
/* Where in the ids each row of a step starts: starts [b]. */
void bfm_batches_starts(const BfmBatches *batches, int64_t step, int64_t *starts);
double bfm_batches_epoch(const BfmBatches *batches, int64_t step); /* how many times the data has been seen before this step */

/* Evaluation reads in order: window i covers the ids [i l, i l + l], the last window may be shorter. */
int64_t bfm_windows_count(const BfmTokens *tokens, int64_t context);
/* Windows [first, first + rows) into tokens [b, l + 1] and how many targets of each row count into targets [b]; rows past the end get 0
 * targets. Where no id is left stands -1: padding. Returns the number of rows with targets. */
int64_t bfm_windows_fill(const BfmTokens *tokens, int64_t context, int64_t first, int64_t rows, int32_t *out, int64_t *targets);

#endif
