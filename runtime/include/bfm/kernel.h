/* The functions that generated code consists of: what the compiler emits and the executor calls. Buffers hold float (numbers) or int32_t
   (indices, -1 = none), dense and row-major. `dims` holds the values of the dimensions that the function uses, in the order the compiler gave. */
#ifndef BFM_KERNEL_H
#define BFM_KERNEL_H

#include <stdint.h>

/* The float that stands, by its bits, for "this candidate is not in the domain" among the values of a ranking. A quiet NaN. */
enum { BFM_ABSENT_BITS = 0x7fc0ab5e };

/* One operation over a range of its parallel points: `begin` and `end` count the flattened (row-major) parallel indices. */
typedef void BfmNestFn(void *const *buffers, const int64_t *dims, int64_t begin, int64_t end);

/* One operation over the tile [row, row + rows) x [col, col + cols) of two of its indices; `outer` holds the values of the others.
   tiles[0] receives the result, tiles[1…] hold operands that live in tiles; element (r, c) of a tile is at [r * ld + c].
   tiles[0] may be one of the operands. */
typedef void BfmTileFn(void *const *buffers, const int64_t *dims, const int64_t *outer, int64_t row, int64_t col, int64_t rows, int64_t cols, float *const *tiles, int64_t ld);

/* Which columns of rows [row, row + rows) have points at all: a superset [range[0], range[1]), empty if range[0] >= range[1]. */
typedef void BfmRangeFn(const int64_t *dims, const int64_t *outer, int64_t row, int64_t rows, int64_t *range);

#endif
