#include "rng/rng.h"

#include "bfm/philox.h"

#include <math.h>

BfmRng bfm_rng_init(uint64_t seed, uint64_t stream, uint64_t step) { return (BfmRng){.key = bfm_philox_key(seed, stream), .step = step}; }

void bfm_rng_words(BfmRng rng, uint64_t index, uint32_t words[4]) { bfm_philox_words(rng.key, rng.step, index, words); }

uint32_t bfm_rng_u32(BfmRng rng, uint64_t index)
{
    uint32_t words[4];
    bfm_rng_words(rng, index, words);
    return words[0];
}

uint64_t bfm_rng_u64(BfmRng rng, uint64_t index)
{
    uint32_t words[4];
    bfm_rng_words(rng, index, words);
    return (uint64_t)words[0] << 32 | words[1];
}

double bfm_rng_uniform(BfmRng rng, uint64_t index)
{
    uint32_t words[4];
    bfm_rng_words(rng, index, words);
    return bfm_philox_unit(words[0], words[1]);
}

float bfm_rng_uniform_f32(BfmRng rng, uint64_t index) { return bfm_philox_unit_f32(bfm_rng_u32(rng, index)); }

double bfm_rng_normal(BfmRng rng, uint64_t index)
{
    uint32_t words[4];
    bfm_rng_words(rng, index, words);
    double radius = sqrt(-2.0 * log(1.0 - bfm_philox_unit(words[0], words[1]))); /* 1 - u is in (0, 1] */
    return radius * cos(2.0 * 3.14159265358979323846 * bfm_philox_unit(words[2], words[3]));
}

void bfm_rng_fill_uniform(BfmRng rng, uint64_t first, int64_t count, float *out)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = bfm_rng_uniform_f32(rng, first + (uint64_t)i);
}

void bfm_rng_fill_normal(BfmRng rng, uint64_t first, int64_t count, double mean, double deviation, float *out)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = (float)(mean + deviation * bfm_rng_normal(rng, first + (uint64_t)i));
}

/* Uniform in [0, bound): draws below 2^64 mod bound are rejected, so that every remainder is equally likely. */
static uint64_t bounded(BfmRng rng, uint64_t bound, uint64_t *index)
{
    uint64_t rejected = (0 - bound) % bound;
    for (;;) {
        uint64_t draw = bfm_rng_u64(rng, (*index)++);
        if (draw >= rejected)
            return draw % bound;
    }
}

void bfm_rng_permutation(BfmRng rng, int64_t n, int64_t *out)
{
    uint64_t index = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t j = (int64_t)bounded(rng, (uint64_t)i + 1, &index);
        if (j != i)
            out[i] = out[j];
        out[j] = i;
    }
}
