/* Aligned buffers and the arena of a step: one block of memory, handed out in aligned pieces and given back all at once. */
#ifndef BFM_MEMORY_BUFFER_H
#define BFM_MEMORY_BUFFER_H

#include <stddef.h>

#include "bfm/error.h"

enum { BFM_ALIGNMENT = 64 }; /* bytes: one cache line, one 512-bit vector */

/* Uninitialised memory aligned to BFM_ALIGNMENT; large buffers ask for huge pages. NULL when memory is exhausted. bytes 0 gives a valid pointer. */
void *bfm_buffer_new(size_t bytes);
void bfm_buffer_free(void *buffer); /* NULL is allowed */

/* Bump allocator over one buffer. It never grows: a memory plan knows its size beforehand. */
typedef struct BfmArena {
    char *base;
    size_t capacity; /* bytes */
    size_t used;     /* bytes, a multiple of BFM_ALIGNMENT */
    size_t peak;     /* the largest `used` since bfm_arena_init */
} BfmArena;

int bfm_arena_init(BfmArena *arena, size_t capacity, BfmError *error); /* 0 and `error` when memory is exhausted */
void bfm_arena_deinit(BfmArena *arena);
void *bfm_arena_take(BfmArena *arena, size_t bytes); /* aligned, uninitialised; NULL when the arena is full */
void bfm_arena_rewind(BfmArena *arena, size_t used); /* gives back everything taken since `used` was read */

/* bytes rounded up to BFM_ALIGNMENT; SIZE_MAX rounded down to a multiple of it when that does not fit, so that taking it fails. */
size_t bfm_align_up(size_t bytes);

#endif
