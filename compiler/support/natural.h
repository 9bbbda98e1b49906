/* Natural numbers of any size, for counts that no machine word holds. Values live in the arena they were made with and never change. */
#ifndef BFM_SUPPORT_NATURAL_H
#define BFM_SUPPORT_NATURAL_H

#include "support/arena.h"

#include <stdbool.h>
#include <stdint.h>

/* Digits to the base 2^32, the lowest first; no leading zero, so that 0 has none. */
typedef struct Natural {
    int count;
    const uint32_t *digits;
} Natural;

Natural natural(Arena *arena, uint64_t value);
Natural natural_copy(Arena *arena, Natural a); /* that lives in this arena */
Natural natural_add(Arena *arena, Natural a, Natural b);
Natural natural_mul(Arena *arena, Natural a, Natural b);
static inline bool natural_is_zero(Natural a) { return a.count == 0; }
bool natural_fits(Natural a, uint64_t *value);     /* whether it is below 2^64 */
double natural_log10(Natural a);                   /* -inf for 0 */
const char *natural_text(Arena *arena, Natural a); /* decimal digits */

#endif
