/* The next token from the logits of a position. Draws are keyed by (seed, position): the same seed writes the same text, on any number of threads,
   however the positions before were computed. */
#ifndef BFM_GENERATE_SAMPLER_H
#define BFM_GENERATE_SAMPLER_H

#include <stdint.h>

#include "bfm/error.h"

typedef struct BfmSampler BfmSampler;

/* temperature 0: the largest logit, of equal ones the lowest id. top_p in (0, 1]: only the fewest ids whose probabilities, at this temperature, add up
   to top_p or more; 1: all. NULL: INPUT for a setting out of range, ENVIRONMENT when memory is exhausted. */
BfmSampler *bfm_sampler_new(int64_t vocab, double temperature, double top_p, uint64_t seed, BfmError *error);
void bfm_sampler_free(BfmSampler *sampler); /* NULL is allowed */

/* logits [vocab], -inf for what cannot come. -1 and `error` (INPUT) where one is NaN or +inf, or none is finite. */
int32_t bfm_sampler_next(BfmSampler *sampler, const float *logits, int64_t position, BfmError *error);

#endif
