/* What the interpreter's files share: an operation compiled for bound dimensions, and its index space enumerated in chunks of points. */
#ifndef BFM_IR_INTERP_INTERNAL_H
#define BFM_IR_INTERP_INTERNAL_H

#include "ir/interp.h"

enum { CHUNK = 256 };

/* One call of interp_run. `error` is set once and stops everything. */
typedef struct Run {
    Arena *arena;
    const InterpContext *context;
    const char *error;
    int64_t points;
} Run;

typedef struct BoundAffine {
    int64_t base;
    int count;
    int *index;
    int64_t *coef;
    int64_t inner; /* coefficient of the innermost loop's index */
} BoundAffine;

/* The points of an operation, innermost loop last. */
typedef struct Space {
    int count; /* indices */
    int64_t *extent;
    int *order;      /* loops, outermost first, as indices */
    int inner;       /* the index of the innermost loop, -1 if there are none */
    bool *backwards; /* by index */
    int cond_count;
    BoundAffine *conds;
    bool cut;           /* conditions cut the loops; otherwise all of the box is visited and `inside` says where they hold */
    bool empty;         /* of the box */
    int64_t *position;  /* the loops' current values, by index */
    bool started, done; /* done: the loops have ended; they do not begin again */
    int64_t low, high;  /* what is left of the innermost loop, in steps from its start */
} Space;

/* Consecutive points. A run is a stretch along the innermost loop. */
typedef struct Chunk {
    int count, runs;
    int begin[CHUNK + 1]; /* of each run */
    int64_t *position;    /* [run][index]: values at the run's first point */
    int indices;
    int step;           /* of the innermost index within a run: 1 or -1 */
    bool inside[CHUNK]; /* the affine conditions hold */
    bool alive[CHUNK];  /* in the domain */
} Chunk;

typedef struct BoundAccess BoundAccess;

typedef struct BoundSub {
    int64_t extent, stride;
    BoundAffine affine;
    BoundAccess *read;
    bool safe; /* in range all over the box */
} BoundSub;

struct BoundAccess {
    const char *name; /* of the tensor, for messages */
    Value *value;
    int count;
    BoundSub *subs;
    bool linear; /* only safe affine subscripts: whole is the offset */
    BoundAffine whole;
    int64_t offset[CHUNK]; /* of the current chunk; 0 where the point is not in the domain */
};

typedef struct BoundExpr {
    bool used, varies;    /* varies with the innermost index */
    BoundAccess *access;  /* READ, DRAW (offset = logical index) */
    BoundAffine position; /* POS */
    uint64_t key;         /* DRAW */
    double *values;       /* [CHUNK] */
} BoundExpr;

/* An operation ready to be evaluated. */
typedef struct BoundOp {
    Run *run;
    const Unit *unit;
    const Op *op;
    int number;
    Value *tensors; /* of the unit */
    Arena *arena;   /* freed after the operation */
    const char *path;
    Space space;
    Chunk chunk;
    BoundExpr *exprs;
    BoundAccess out, *init;
} BoundOp;

void run_fail(Run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* interp_bind.c */
void bind_op(BoundOp *bound);
/* interp_points.c */
bool space_next(BoundOp *bound); /* the next chunk; false at the end or after an error */
void affine_values(const BoundAffine *affine, const Chunk *chunk, int64_t *values);
void access_offsets(BoundOp *bound, BoundAccess *access, bool excludes); /* excludes: a `none` takes the point out of the domain */
/* interp_eval.c: `alive` and the values of all expressions at the chunk's points */
void chunk_eval(BoundOp *bound);

#endif
