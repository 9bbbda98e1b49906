#include "support/vec.h"

#include "support/bug.h"

#include <limits.h>

void *vec_grow(void *items, int *capacity, int needed, size_t size)
{
    long wanted = *capacity ? 2L * *capacity : 8;
    if (wanted < needed)
        wanted = needed;
    if (wanted > INT_MAX)
        BFM_BUG("a vector of %ld items", wanted);
    void *grown = realloc(items, (size_t)wanted * size);
    if (!grown)
        BFM_BUG("out of memory asking for %ld items of %zu bytes", wanted, size);
    *capacity = (int)wanted;
    return grown;
}
