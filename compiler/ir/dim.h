/* Dimensions: canonical rational polynomials over run-time symbols and over ceil, floor, min and max of such polynomials.
   Hash-consed: within one DimTable equal dimensions are the same pointer. Nothing cleverer than canonical form decides equality.
   Run-time symbols: b (batch rows), l (positions), p and n (decoding: the first position at hand and how many there are, p + n <= l), and
   s0 … s7 (axes of the tensor that an optimiser form is applied to). b, l, n and s are at least 1. */
#ifndef BFM_IR_DIM_H
#define BFM_IR_DIM_H

#include "bfm/counts.h"
#include "support/arena.h"
#include "support/rational.h"
#include "support/str.h"

#include <stdbool.h>
#include <stdint.h>

enum { DIM_B, DIM_L, DIM_P, DIM_N, DIM_S0, DIM_SYMBOLS = BFM_PLAN_SYMBOLS };

typedef struct DimNode DimNode;
typedef const DimNode *Dim;
typedef struct DimTable DimTable;

/* Values of the symbols, bound when a program is run. */
typedef struct DimEnv {
    int64_t value[DIM_SYMBOLS];
} DimEnv;

DimTable *dim_table_new(Arena *arena); /* lives in the arena */
Dim dim_rational(DimTable *table, Rational value);
Dim dim_int(DimTable *table, int64_t value);
Dim dim_symbol(DimTable *table, int symbol);
Dim dim_add(DimTable *table, Dim a, Dim b);
Dim dim_sub(DimTable *table, Dim a, Dim b);
Dim dim_mul(DimTable *table, Dim a, Dim b);
Dim dim_div(DimTable *table, Dim a, Dim b); /* exact; NULL where b is 0 or the quotient is no polynomial */
Dim dim_ceil(DimTable *table, Dim a);
Dim dim_floor(DimTable *table, Dim a);
Dim dim_min(DimTable *table, Dim a, Dim b);
Dim dim_max(DimTable *table, Dim a, Dim b);
/* Replaces a symbol by a dimension. */
Dim dim_substitute(DimTable *table, Dim a, int symbol, Dim by);

bool dim_is_rational(Dim a, Rational *value);
bool dim_is_int(Dim a, int64_t *value);
bool dim_is(Dim a, int64_t value);
int64_t dim_denominator(Dim a);   /* the least q found for which q*a is a whole number whatever the symbols are; 0: too large */
bool dim_uses(Dim a, int symbol); /* the symbol occurs in a */
bool dim_is_static(Dim a);        /* no symbol occurs */
/* Proved from b, l, n, s >= 1, 0 <= p <= l - 1 and p + n <= l; false means not proved. */
bool dim_proves_nonnegative(Dim a);
int64_t dim_eval(Dim a, const DimEnv *env); /* the value; a non-integer is rounded down */
Rational dim_eval_exact(Dim a, const DimEnv *env);
uint64_t dim_hash(Dim a);        /* by value, stable across runs */
void dim_print(Dim a, Str *out); /* 4*l + 1, ceil(1/4*b*l) */
/* Reads what dim_print writes; *text moves past it. NULL if it is no dimension. */
Dim dim_read(DimTable *table, const char **text);

#endif
