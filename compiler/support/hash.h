/* Hashes (xxHash): stable across runs and machines, never of an address. */
#ifndef BFM_SUPPORT_HASH_H
#define BFM_SUPPORT_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *data, size_t size, uint64_t seed);
uint64_t hash_mix(uint64_t hash, uint64_t value); /* order matters */
uint64_t hash_text(const char *text, uint64_t seed);

/* For tables in memory: as hash_mix, a few instructions; nothing that is written down may depend on it. */
static inline uint64_t hash_fold(uint64_t hash, uint64_t value)
{
    const uint64_t mixed = (hash ^ (value * UINT64_C(0x9E3779B97F4A7C15))) * UINT64_C(0xD6E8FEB86659FD93);
    return mixed ^ mixed >> 32;
}

/* Where equal hashes are taken for equal texts, or nearly. */
typedef struct Hash128 {
    uint64_t high, low;
} Hash128;

Hash128 hash_wide(const void *data, size_t size, uint64_t seed);

#endif
