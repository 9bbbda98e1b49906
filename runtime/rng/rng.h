/* Counter-based random numbers (Philox4x32-10; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). A draw is a function of
   (seed, stream, step, index) and of nothing else: no order of evaluation, no number of threads and no resume can change it. */
#ifndef BFM_RNG_RNG_H
#define BFM_RNG_RNG_H

#include <stdint.h>

/* What a draw belongs to. */
typedef struct BfmRng {
    uint64_t key; /* of (seed, stream) */
    uint64_t step;
} BfmRng;

/* stream is a 64-bit hash of the draw's name; step is the step of training, the epoch, or 0. */
BfmRng bfm_rng_init(uint64_t seed, uint64_t stream, uint64_t step);

/* The draws at logical index i. The four words of one index feed all kinds: use one kind per (stream, step). */
void bfm_rng_words(BfmRng rng, uint64_t index, uint32_t words[4]);
uint32_t bfm_rng_u32(BfmRng rng, uint64_t index);
uint64_t bfm_rng_u64(BfmRng rng, uint64_t index);
double bfm_rng_uniform(BfmRng rng, uint64_t index);    /* [0, 1), multiples of 2^-53 */
float bfm_rng_uniform_f32(BfmRng rng, uint64_t index); /* [0, 1), multiples of 2^-24: bfm_rng_uniform rounded down, so that `u < p` agrees
                                                              between f32 and f64 engines that both use this one */
double bfm_rng_normal(BfmRng rng, uint64_t index);     /* mean 0, variance 1; Box and Muller 1958, the cosine branch */

#define BFM_RNG_NORMAL_MOST 8.5720 /* no normal draw is larger: sqrt(2 ln 2^53) = 8.57167 */

/* out[i] = the draw at first + i, for i < count. */
void bfm_rng_fill_uniform(BfmRng rng, uint64_t first, int64_t count, float *out);
void bfm_rng_fill_normal(BfmRng rng, uint64_t first, int64_t count, double mean, double deviation, float *out);

/* A uniformly chosen permutation of 0 .. n - 1 (Fisher-Yates, unbiased bounded draws). */
void bfm_rng_permutation(BfmRng rng, int64_t n, int64_t *out);

#endif
