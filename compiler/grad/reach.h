/* Which parameters no loss reaches with a derivative, and where the way from them ends. */
#ifndef BFM_GRAD_REACH_H
#define BFM_GRAD_REACH_H

#include "ir/ir.h"

typedef enum {
    END_CANCELS,    /* a value minus itself or divided by itself: always the same */
    END_TAKEN_AWAY, /* its terms cancel or are multiplied by 0 */
    END_NO_POINT,   /* no point satisfies the conditions there */
    END_STOP,       /* inside stop() */
    END_CHOICE,     /* compared, ranked, rounded or a subscript: decides, and has no derivative */
    END_METRIC,
    END_STATE,
    END_UNUSED, /* what is computed from it is not used on the way to a loss */
} ReachEndKind;

enum { REACH_ENDS_MAX = 8 };

typedef struct ReachEnd {
    ReachEndKind kind;
    Symbol name; /* of the tensor, metric or state that is given a value there */
    Span span;
} ReachEnd;

typedef struct Unreached {
    int formal; /* of main, a parameter */
    int call;   /* the operation of main that takes it first */
    int end_count;
    ReachEnd ends[REACH_ENDS_MAX]; /* one of a kind */
} Unreached;

typedef struct Reach {
    int count;
    Unreached *items;
} Reach;

/* [formal_count] of main: a loss depends on it with a derivative, as far as can be seen. */
const bool *reach_formals(Arena *arena, const Program *program);

/* Of a program before its derivative is made. None where it has no loss; parameters that nothing reads at all are left out. What is left out otherwise may still get a gradient that
   happens to be 0; what is named cannot get another. */
Reach reach_losses(Arena *arena, const Program *program);

#endif
