/* A permutation of [0, n) that is computed, not stored: index to index in a handful of multiplications, chosen by a key. */
#ifndef BFM_DATA_PERMUTE_H
#define BFM_DATA_PERMUTE_H

#include <stdint.h>

enum { BFM_PERMUTE_ROUNDS = 8 };

typedef struct BfmPermutation {
    uint64_t count;                    /* n >= 1 */
    uint32_t half_bits;                /* the network works on [0, 2^(2 half_bits)), the smallest such range that holds n */
    uint32_t keys[BFM_PERMUTE_ROUNDS]; /* one per round */
} BfmPermutation;

/* `stream` tells apart permutations of one seed, e.g. the epochs of a training. */
void bfm_permutation_init(BfmPermutation *permutation, int64_t count, uint64_t seed, uint64_t stream);
int64_t bfm_permutation_at(const BfmPermutation *permutation, int64_t index); /* index in [0, count), result too; a bijection */

#endif
