/* Expressions in two parts, for opt/split.c: value = factor * large + small. Large is made of maxima and scores, by sums and differences whose rounding is kept;
   small is all the rest: logarithms, constants, what rounding took off. */
#ifndef BFM_OPT_PAIR_H
#define BFM_OPT_PAIR_H

#include "ir/rewrite.h"

/* A tensor in two parts. */
typedef struct Parts {
    int large, small; /* tensors; large -1: it is one number */
    int count;        /* of a sum: how many points were added, the factor of large; -1: 1 */
    bool grouped;     /* a kernel of its group computes it */
} Parts;

/* What an operation's readers know of a tensor besides its parts. */
typedef struct Kind {
    bool score;     /* log-sum-exps are taken of it: a difference to it is an ordinary number */
    bool extremum;  /* a maximum or minimum */
    bool logarithm; /* a logarithm, perhaps times a constant */
} Kind;

/* An expression of the operation being copied. */
typedef struct Pair {
    int large, small; /* expressions of the copy; large -1: it is one number */
    int factor;       /* -1: 1 */
    bool kept;        /* a tensor of it is worth two: nothing of its size has been subtracted, nothing added to a multiple that varies */
    bool scaled;      /* by what varies */
} Pair;

/* An operation being copied, its sums in two parts. */
typedef struct PairCopy {
    const Parts *parts; /* per tensor of the unit */
    const Kind *kinds;  /* per tensor of the unit */
    const Op *op;
    OpBuilder builder;
    Rewrite rewrite;
    Pair *pairs; /* per expression of op */
    bool changed;
} PairCopy;

/* Copies everything of `op` but what is set afterwards; sums, differences, comparisons and rows of softmaxes take large parts first. */
void pair_copy(PairCopy *copy, Unit *unit, const Op *op, const Parts *parts, const Kind *kinds);
/* The parts of the operation's expression `id`, its factor multiplied in; false where it is one number. */
bool pair_of(PairCopy *copy, int id, Pair *pair);
/* The two parts added up. */
int pair_joined(OpBuilder *builder, int large, int small);
/* `value` where it is finite, otherwise 0: what exponentials and sums are taken below. */
int pair_shift(OpBuilder *builder, int value);
/* What the operation's result is: extremum and logarithm. */
Kind pair_kind(const Op *op, const Kind *kinds);

#endif
