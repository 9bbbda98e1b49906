/* The reference interpreter: the oracle. It runs operations one by one as ir.h defines them and knows nothing of groups, schedules or kernels. */
#ifndef BFM_IR_INTERP_H
#define BFM_IR_INTERP_H

#include "ir/ir.h"
#include "support/vec.h"

typedef enum { INTERP_F64, INTERP_F32 } InterpPrecision; /* F32 rounds every scalar result and sum to float */

/* A tensor's values: T_REAL in real[], T_INT in integer[] (-1 = none); row-major, `count` elements. */
typedef struct Value {
    int64_t count;
    double *real;
    int32_t *integer;
} Value;

/* The values of every `stop`, in the order in which they are computed: a run writes them down, others take them from there, so that they see what hides
   behind a stop as it was. The sizes must be the same. */
typedef struct StopTape {
    VEC(double) values;
    int taken; /* while `frozen`: how many of them; set to 0 before a run */
    bool frozen;
} StopTape;

typedef struct InterpContext {
    InterpPrecision precision;
    DimEnv env;
    uint64_t seed, step; /* keys of draws */
    StopTape *stops;     /* NULL: a stop is its operand */
    /* Teacher forcing: if set, called after each integer tensor is computed; may overwrite `value` and returns false to stop. */
    bool (*replay)(void *user, const Unit *unit, int tensor, Value *value);
    void *user;
    int64_t point_limit; /* > 0: give up after so many points (for fuzzing) */
} InterpContext;

/* Runs `unit`: formals[i] for unit->formals[i], results for unit->outputs[i] (filled, allocated in the arena). Returns NULL, or a message
   (an out-of-range subscript, a size too large, the point limit). If `all` is not NULL it receives the values of every tensor, by id. */
const char *interp_run(Arena *arena, const Unit *unit, const InterpContext *context, const Value *formals, Value *results, Value *all);

int64_t tensor_elements(const Tensor *tensor, const DimEnv *env); /* -1 on overflow or a negative extent */

#endif
