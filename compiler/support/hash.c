#include "support/hash.h"

#include <string.h>
#include <xxhash.h>

uint64_t hash_bytes(const void *data, size_t size, uint64_t seed) { return XXH64(data, size, seed); }

uint64_t hash_mix(uint64_t hash, uint64_t value) { return XXH64(&value, sizeof value, hash); }

uint64_t hash_text(const char *text, uint64_t seed) { return XXH64(text, strlen(text), seed); }

Hash128 hash_wide(const void *data, size_t size, uint64_t seed)
{
    const XXH128_hash_t hash = XXH3_128bits_withSeed(data, size, seed);
    return (Hash128){hash.high64, hash.low64};
}
