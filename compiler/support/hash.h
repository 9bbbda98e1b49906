/* 64-bit hashes (xxHash): stable across runs and machines, never of an address. */
#ifndef BFM_SUPPORT_HASH_H
#define BFM_SUPPORT_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *data, size_t size, uint64_t seed);
uint64_t hash_mix(uint64_t hash, uint64_t value); /* order matters */
uint64_t hash_text(const char *text, uint64_t seed);

#endif
