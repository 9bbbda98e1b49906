#include "support/arena.h"

#include "support/bug.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)64 * 1024)
#define ALIGNMENT   ((size_t)16)

typedef struct Chunk {
    struct Chunk *next;
    size_t used, size;
} Chunk;

struct Arena {
    Chunk *chunks;
    size_t bytes;
    const char *purpose;
};

static size_t header_bytes(void) { return (sizeof(Chunk) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static Chunk *chunk_new(const Arena *arena, size_t size)
{
    Chunk *chunk = malloc(header_bytes() + size);
    if (!chunk)
        bfm_out_of_memory(arena->purpose ? arena->purpose : "the program at hand", size);
    *chunk = (Chunk){.size = size};
    return chunk;
}

Arena *arena_new(void)
{
    Arena *arena = calloc(1, sizeof *arena);
    if (!arena)
        bfm_out_of_memory("the program at hand", sizeof *arena);
    return arena;
}

void arena_purpose(Arena *arena, const char *purpose) { arena->purpose = purpose; }

void arena_free(Arena *arena)
{
    if (!arena)
        return;
    for (Chunk *chunk = arena->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    free(arena);
}

/* One chunk of the usual size is kept for what follows. */
void arena_reset(Arena *arena)
{
    Chunk *kept = NULL;
    for (Chunk *chunk = arena->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
#ifndef BFM_ARENA_DEBUG
        if (!kept && chunk->size == CHUNK_BYTES) {
            kept = chunk;
            continue;
        }
#endif
        free(chunk);
    }
    if (kept)
        *kept = (Chunk){.size = kept->size};
    arena->chunks = kept;
    arena->bytes = 0;
}

void *arena_alloc(Arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        BFM_BUG("allocation of %zu bytes", size);
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (size == 0)
        size = ALIGNMENT;
#ifdef BFM_ARENA_DEBUG
    const size_t chunk_bytes = size;
#else
    const size_t chunk_bytes = size > CHUNK_BYTES / 4 ? size : CHUNK_BYTES;
#endif
    Chunk *chunk = arena->chunks;
    if (!chunk || chunk->size - chunk->used < size) {
        chunk = chunk_new(arena, chunk_bytes);
        if (arena->chunks && chunk_bytes == size) { /* a large object must not retire the chunk being filled */
            chunk->next = arena->chunks->next;
            arena->chunks->next = chunk;
        } else {
            chunk->next = arena->chunks;
            arena->chunks = chunk;
        }
    }
    void *result = (char *)chunk + header_bytes() + chunk->used;
    chunk->used += size;
    arena->bytes += size;
    return memset(result, 0, size);
}

void *arena_alloc_array(Arena *arena, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / 2 / size)
        BFM_BUG("allocation of %zu objects of %zu bytes", count, size);
    return arena_alloc(arena, count * size);
}

char *arena_strndup(Arena *arena, const char *text, size_t length)
{
    char *copy = arena_alloc(arena, length + 1);
    memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

char *arena_strdup(Arena *arena, const char *text) { return arena_strndup(arena, text, strlen(text)); }

void *arena_memdup(Arena *arena, const void *data, size_t size)
{
    void *copy = arena_alloc(arena, size);
    if (size)
        memcpy(copy, data, size);
    return copy;
}

char *arena_printf(Arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    BFM_ASSERT(length >= 0);
    char *text = arena_alloc(arena, (size_t)length + 1);
    (void)vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

size_t arena_bytes(const Arena *arena) { return arena->bytes; }
