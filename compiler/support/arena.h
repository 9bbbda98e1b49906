/* Region allocator: objects of one lifetime, freed together. Memory is zeroed.
   With BFM_ARENA_DEBUG each object is allocated separately, so that the sanitizers see its bounds. */
#ifndef BFM_SUPPORT_ARENA_H
#define BFM_SUPPORT_ARENA_H

#include <stddef.h>

typedef struct Arena Arena;

Arena *arena_new(void);
void arena_purpose(Arena *arena, const char *purpose);              /* what is being built in it, for the message when memory is exhausted; the text is kept by the caller */
void arena_free(Arena *arena);                                      /* NULL is allowed */
void arena_reset(Arena *arena);                                     /* frees what was allocated; the arena stays */
void *arena_alloc(Arena *arena, size_t size);                       /* aligned to 16, zeroed, never NULL (exhaustion ends the process: exit code 3) */
void *arena_alloc_array(Arena *arena, size_t count, size_t size);   /* checked product */
char *arena_strndup(Arena *arena, const char *text, size_t length); /* adds the terminating NUL */
char *arena_strdup(Arena *arena, const char *text);
void *arena_memdup(Arena *arena, const void *data, size_t size);
__attribute__((format(printf, 2, 3))) char *arena_printf(Arena *arena, const char *format, ...);
size_t arena_bytes(const Arena *arena); /* allocated so far, for tests and `doctor` */

#define ARENA_NEW(arena, type)          ((type *)arena_alloc((arena), sizeof(type)))
#define ARENA_ARRAY(arena, type, count) ((type *)arena_alloc_array((arena), (size_t)(count), sizeof(type)))

#endif
