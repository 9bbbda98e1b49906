#include "data/permute.h"

#include <xxhash.h>

void bfm_permutation_init(BfmPermutation *permutation, int64_t count, uint64_t seed, uint64_t stream)
{
    permutation->count = (uint64_t)count;
    permutation->half_bits = 1;
    while (permutation->half_bits < 32 && (permutation->count - 1) >> (2 * permutation->half_bits) != 0)
        permutation->half_bits++;
    for (uint64_t round = 0; round < BFM_PERMUTE_ROUNDS; round++) {
        const uint64_t name[2] = {stream, round};
        permutation->keys[round] = (uint32_t)(XXH3_64bits_withSeed(name, sizeof name, seed) >> 32);
    }
}

/* A 32-bit finaliser in the manner of MurmurHash3: every input bit reaches the high bits that the caller keeps. */
static uint32_t mix(uint32_t x, uint32_t key)
{
    x ^= key;
    x = (x ^ x >> 16) * 0x85ebca6bU;
    x = (x ^ x >> 13) * 0xc2b2ae35U;
    return x ^ x >> 16 ^ key >> 7;
}

/* A Feistel network permutes [0, 4^half_bits); walking on while the result is >= count restricts it to [0, count)
 * (Black & Rogaway 2002, "Ciphers with arbitrary finite domains", cycle walking): fewer than four rounds of it on average. */
int64_t bfm_permutation_at(const BfmPermutation *permutation, int64_t index)
{
    const uint32_t bits = permutation->half_bits;
    const uint64_t mask = (UINT64_C(1) << bits) - 1;
    uint64_t value = (uint64_t)index;
    do {
        uint64_t left = value >> bits, right = value & mask;
        for (int round = 0; round < BFM_PERMUTE_ROUNDS; round++) {
            uint64_t next = left ^ (mix((uint32_t)right, permutation->keys[round]) & mask);
            left = right;
            right = next;
        }
        value = left << bits | right;
    } while (value >= permutation->count);
    return (int64_t)value;
}
