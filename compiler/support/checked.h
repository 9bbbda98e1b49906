/* Checked 64-bit arithmetic: one set of operations for dimensions and bytes. Each returns false on overflow. */
#ifndef BFM_SUPPORT_CHECKED_H
#define BFM_SUPPORT_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

static inline bool checked_add(int64_t a, int64_t b, int64_t *sum) { return !__builtin_add_overflow(a, b, sum); }
static inline bool checked_sub(int64_t a, int64_t b, int64_t *difference) { return !__builtin_sub_overflow(a, b, difference); }
static inline bool checked_mul(int64_t a, int64_t b, int64_t *product) { return !__builtin_mul_overflow(a, b, product); }

/* Division that rounds down (up); divisor not 0. */
static inline int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a % b < 0) != (b < 0)); }
static inline int64_t ceil_div(int64_t a, int64_t b) { return -floor_div(-a, b); }

#endif
