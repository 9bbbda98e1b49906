/* How a draw is keyed, in one place for the runtime and the interpreter: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
   1, 2, 3", SC 2011). A draw is a function of (seed, stream, step, index) and of nothing else. */
#ifndef BFM_PHILOX_H
#define BFM_PHILOX_H

#include <stdint.h>

#include <Random123/philox.h>

/* Seed and stream together are wider than Philox's key: one block of the seed's generator at counter `stream` makes the key. */
static inline uint64_t bfm_philox_key(uint64_t seed, uint64_t stream)
{
    philox4x32_ctr_t counter = {{(uint32_t)stream, (uint32_t)(stream >> 32), 0, 0}};
    philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    philox4x32_ctr_t block = philox4x32_R(10, counter, key);
    return (uint64_t)block.v[1] << 32 | block.v[0];
}

/* The four words of a logical index at a step. */
static inline void bfm_philox_words(uint64_t key, uint64_t step, uint64_t index, uint32_t words[4])
{
    philox4x32_ctr_t counter = {{(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)step, (uint32_t)(step >> 32)}};
    philox4x32_key_t halves = {{(uint32_t)key, (uint32_t)(key >> 32)}};
    philox4x32_ctr_t block = philox4x32_R(10, counter, halves);
    for (int i = 0; i < 4; i++)
        words[i] = block.v[i];
}

/* The upper 53 bits of (a, b), in [0, 1). */
static inline double bfm_philox_unit(uint32_t a, uint32_t b) { return (double)(((uint64_t)a << 32 | b) >> 11) * 0x1p-53; }
/* The same draw rounded down to 24 bits. */
static inline float bfm_philox_unit_f32(uint32_t a) { return (float)(a >> 8) * 0x1p-24f; }

#endif
