/* Where buffers with known lifetimes lie in one block of memory, so that those never alive together share it. */
#ifndef BFM_MEMORY_LAYOUT_H
#define BFM_MEMORY_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct BfmLayoutItem {
    size_t bytes;
    int32_t first, last; /* alive from first to last, both included */
    size_t offset;       /* result: a multiple of BFM_ALIGNMENT */
} BfmLayoutItem;

/* Places every item, the largest first, each at the lowest offset free during its life. *total receives the size of the block.
   The result depends on the items' order, sizes and lifetimes only. False when memory is exhausted or a size overflows. */
bool bfm_layout(BfmLayoutItem *items, int count, size_t *total);

#endif
