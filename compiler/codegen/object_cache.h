/* Objects on disk, by key. */
#ifndef BFM_CODEGEN_OBJECT_CACHE_H
#define BFM_CODEGEN_OBJECT_CACHE_H

#include "codegen/target.h"

/* The directory to use, in the arena; NULL if there is none. `given`: NULL for the environment's choice, "" for none. */
const char *object_cache_directory(Arena *arena, const char *given);
bool object_cache_get(const char *directory, uint64_t key, ObjectCode *object); /* false if it is absent or damaged */
void object_cache_put(const char *directory, uint64_t key, const ObjectCode *object);

#endif
