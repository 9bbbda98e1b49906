#include "memory/buffer.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, HUGE_FROM = 4 << 20 }; /* bytes */

size_t bfm_align_up(size_t bytes)
{
    size_t mask = BFM_ALIGNMENT - 1;
    return bytes > SIZE_MAX - mask ? SIZE_MAX & ~mask : (bytes + mask) & ~mask;
}

void *bfm_buffer_new(size_t bytes)
{
    size_t alignment = bytes >= HUGE_FROM ? HUGE_PAGE : BFM_ALIGNMENT;
    if (bytes > PTRDIFF_MAX - alignment)
        return NULL;
    size_t rounded = bytes ? (bytes + alignment - 1) / alignment * alignment : alignment;
    void *buffer = aligned_alloc(alignment, rounded);
    if (buffer && alignment == HUGE_PAGE)
        (void)madvise(buffer, rounded, MADV_HUGEPAGE); /* a hint: without huge pages the buffer is only slower */
    return buffer;
}

void bfm_buffer_free(void *buffer) { free(buffer); }

int bfm_arena_init(BfmArena *arena, size_t capacity, BfmError *error)
{
    *arena = (BfmArena){.base = bfm_buffer_new(capacity), .capacity = capacity};
    if (arena->base)
        return 1;
    arena->capacity = 0;
    return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "cannot allocate %zu bytes for the buffers of a step; use a smaller batch or length", capacity);
}

void bfm_arena_deinit(BfmArena *arena)
{
    bfm_buffer_free(arena->base);
    *arena = (BfmArena){0};
}

void *bfm_arena_take(BfmArena *arena, size_t bytes)
{
    size_t need = bfm_align_up(bytes);
    if (need > arena->capacity - arena->used)
        return NULL;
    char *piece = arena->base + arena->used;
    arena->used += need;
    if (arena->used > arena->peak)
        arena->peak = arena->used;
    return piece;
}

void bfm_arena_rewind(BfmArena *arena, size_t used) { arena->used = used; }
