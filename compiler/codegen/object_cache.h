/* Objects on disk, by key. */
#ifndef BFM_CODEGEN_OBJECT_CACHE_H
#define BFM_CODEGEN_OBJECT_CACHE_H

#include "codegen/target.h"
#include "support/hash.h"

/* The directory to use, in the arena; NULL if there is none. `given`: NULL for the environment's choice, "" for none. A folder that is a symbolic link, belongs to another user
   or can be written to by others is not used; `*warning` then says so, else it is NULL. */
const char *object_cache_directory(Arena *arena, const char *given, const char **warning);

/* What an object is made of. The file is named by the hash of both texts and holds them whole: another object under the same name is not taken for it. */
typedef struct ObjectKey {
    const char *target, *signature; /* borrowed */
    Hash128 hash;
} ObjectKey;

ObjectKey object_key(const char *target, const char *signature);
bool object_cache_get(const char *directory, const ObjectKey *key, ObjectCode *object); /* false if it is absent or damaged */
void object_cache_put(const char *directory, const ObjectKey *key, const ObjectCode *object);

#endif
