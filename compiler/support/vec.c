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
        bfm_out_of_memory("a list of the compiler", (size_t)wanted * size);
    *capacity = (int)wanted;
    return grown;
}
