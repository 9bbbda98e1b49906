/* Objects on disk, by key. */
#ifndef BFM_CODEGEN_OBJECT_CACHE_H
#define BFM_CODEGEN_OBJECT_CACHE_H

#include "codegen/target.h"

/* The directory to use, in the arena; NULL if there is none. `given`: NULL for the environment's choice, "" for none. A folder that is a symbolic link, belongs to another user
   or can be written to by others is not used; `*warning` then says so, else it is NULL. */
const char *object_cache_directory(Arena *arena, const char *given, const char **warning);
bool object_cache_get(const char *directory, uint64_t key, ObjectCode *object); /* false if it is absent or damaged */
void object_cache_put(const char *directory, uint64_t key, const ObjectCode *object);

#endif
