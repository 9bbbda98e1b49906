#include "device/cpu/templates/order.h"

#include <math.h>
#include <stdbool.h>

/* offsets serves as counter first: after the scatter each entry has moved to the start of the next key, so counts are kept one place ahead. */
void bfm_order(const int32_t *keys, int64_t n, int64_t key_count, int32_t *perm, int32_t *offsets)
{
    for (int64_t g = 0; g <= key_count; g++)
        offsets[g] = 0;
    for (int64_t i = 0; i < n; i++)
        if (keys[i] >= 0)
            offsets[keys[i] + 1]++;
    for (int64_t g = 0; g < key_count; g++)
        offsets[g + 1] += offsets[g];
    for (int64_t i = 0; i < n; i++)
        if (keys[i] >= 0)
            perm[offsets[keys[i]]++] = (int32_t)i;
    for (int64_t g = key_count; g > 0; g--) /* offsets[g] is now the end of key g, which is the start of key g + 1 */
        offsets[g] = offsets[g - 1];
    offsets[0] = 0;
}

typedef struct Values {
    const float *at;
    int64_t stride;
} Values;

/* Whether index i comes before index j in descending order. */
static bool comes_before(Values values, int32_t i, int32_t j)
{
    float a = values.at[i * values.stride], b = values.at[j * values.stride];
    if (a > b || b > a)
        return a > b;
    if (isnan(a) != isnan(b))
        return isnan(b);
    return i < j;
}

/* Restores the heap whose root is the entry that comes last, after the entry at `at` changed. */
static void sift_down(Values values, int32_t *heap, int64_t size, int64_t at)
{
    int32_t moved = heap[at];
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= size)
            break;
        if (child + 1 < size && comes_before(values, heap[child], heap[child + 1]))
            child++;
        if (!comes_before(values, moved, heap[child]))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

/* The k best so far form a heap in `out` with the worst at its root; popping the worst to the end sorts it. */
void bfm_top_k(const float *values, int64_t stride, int64_t n, int64_t k, int32_t *out)
{
    Values all = {values, stride};
    int64_t size = k < n ? k : n;
    for (int64_t i = 0; i < size; i++)
        out[i] = (int32_t)i;
    for (int64_t i = size; i < k; i++)
        out[i] = -1;
    if (size <= 0)
        return;
    for (int64_t i = size / 2; i-- > 0;)
        sift_down(all, out, size, i);
    for (int64_t i = size; i < n; i++) { /* later indices lose ties, so only a larger value can enter */
        if (comes_before(all, (int32_t)i, out[0])) {
            out[0] = (int32_t)i;
            sift_down(all, out, size, 0);
        }
    }
    for (int64_t end = size - 1; end > 0; end--) {
        int32_t worst = out[0];
        out[0] = out[end];
        out[end] = worst;
        sift_down(all, out, end, 0);
    }
}
