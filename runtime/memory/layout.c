#include "memory/layout.h"

#include "memory/buffer.h"

#include <stdlib.h>
#include <string.h>

typedef struct Ranked {
    size_t bytes;
    int item;
} Ranked;

/* Larger first; of equal sizes the earlier item, so that the order is total. */
static int by_size(const void *left, const void *right)
{
    const Ranked *a = left, *b = right;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return a->item < b->item ? -1 : 1;
}

static bool alive_together(const BfmLayoutItem *a, const BfmLayoutItem *b) { return a->first <= b->last && b->first <= a->last; }

/* The lowest offset where the item fits; `placed` holds the items placed so far by rising offset. Returns its position in `placed`. */
static int first_fit(const BfmLayoutItem *items, const int *placed, int placed_count, BfmLayoutItem *item)
{
    size_t end = 0; /* of everything below that is alive together with the item */
    int position = placed_count;
    for (int i = 0; i < placed_count; i++) {
        const BfmLayoutItem *other = &items[placed[i]];
        if (!alive_together(item, other))
            continue;
        if (other->offset >= end && other->offset - end >= item->bytes)
            break;
        if (other->offset + other->bytes > end)
            end = other->offset + other->bytes;
    }
    item->offset = end;
    for (int i = 0; i < placed_count; i++) {
        if (items[placed[i]].offset > end) {
            position = i;
            break;
        }
    }
    return position;
}

bool bfm_layout(BfmLayoutItem *items, int count, size_t *total)
{
    *total = 0;
    if (count == 0)
        return true;
    Ranked *ranked = malloc((size_t)count * sizeof *ranked);
    int *placed = malloc((size_t)count * sizeof *placed);
    bool ok = ranked && placed;
    size_t sum = 0;
    for (int i = 0; ok && i < count; i++) {
        items[i].bytes = bfm_align_up(items[i].bytes);
        ranked[i] = (Ranked){items[i].bytes, i};
        ok = !__builtin_add_overflow(sum, items[i].bytes, &sum); /* no offset can exceed this */
    }
    if (ok)
        qsort(ranked, (size_t)count, sizeof *ranked, by_size);
    for (int i = 0; ok && i < count; i++) {
        BfmLayoutItem *item = &items[ranked[i].item];
        int position = first_fit(items, placed, i, item);
        memmove(placed + position + 1, placed + position, (size_t)(i - position) * sizeof *placed);
        placed[position] = ranked[i].item;
        if (item->offset + item->bytes > *total)
            *total = item->offset + item->bytes;
    }
    free(ranked);
    free(placed);
    return ok;
}
