#include "rng/rng.h"

#include <Random123/philox.h>
#include <math.h>

static uint32_t low(uint64_t value) { return (uint32_t)value; }
static uint32_t high(uint64_t value) { return (uint32_t)(value >> 32); }

/* Seed and stream together are wider than Philox's key: one block of the seed's generator at counter `stream` makes the key. */
BfmRng bfm_rng_init(uint64_t seed, uint64_t stream, uint64_t step)
{
    philox4x32_ctr_t counter = {{low(stream), high(stream), 0, 0}};
    philox4x32_key_t key = {{low(seed), high(seed)}};
    philox4x32_ctr_t block = philox4x32_R(10, counter, key);
    return (BfmRng){.key = (uint64_t)block.v[1] << 32 | block.v[0], .step = step};
}

void bfm_rng_words(BfmRng rng, uint64_t index, uint32_t words[4])
{
    philox4x32_ctr_t counter = {{low(index), high(index), low(rng.step), high(rng.step)}};
    philox4x32_key_t key = {{low(rng.key), high(rng.key)}};
    philox4x32_ctr_t block = philox4x32_R(10, counter, key);
    for (int i = 0; i < 4; i++)
        words[i] = block.v[i];
}

/* The upper 53 bits of (a, b), in [0, 1). */
static double unit(uint32_t a, uint32_t b) { return (double)(((uint64_t)a << 32 | b) >> 11) * 0x1p-53; }

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
    return unit(words[0], words[1]);
}

float bfm_rng_uniform_f32(BfmRng rng, uint64_t index) { return (float)(bfm_rng_u32(rng, index) >> 8) * 0x1p-24f; }

double bfm_rng_normal(BfmRng rng, uint64_t index)
{
    uint32_t words[4];
    bfm_rng_words(rng, index, words);
    double radius = sqrt(-2.0 * log(1.0 - unit(words[0], words[1]))); /* 1 - u is in (0, 1] */
    return radius * cos(2.0 * 3.14159265358979323846 * unit(words[2], words[3]));
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
