/* Orders: a stable sort by small integer keys, and the k largest. Both deterministic and single-threaded. */
#ifndef BFM_TEMPLATES_ORDER_H
#define BFM_TEMPLATES_ORDER_H

#include <stdint.h>

/* keys (n): each < key_count, negative ones are dropped. offsets (key_count + 1): positions of key g are [offsets[g], offsets[g + 1]);
   perm (offsets[key_count] <= n entries are written): indices into keys, sorted by key and, within a key, ascending. */
void bfm_order(const int32_t *keys, int64_t n, int64_t key_count, int32_t *perm, int32_t *offsets);

/* out (k): indices of the k largest of values[i * stride], i < n, descending; of equal values the lower index first, NaN after every number;
   -1 where k > n. -0 and +0 are equal. */
void bfm_top_k(const float *values, int64_t stride, int64_t n, int64_t k, int32_t *out);

#endif
