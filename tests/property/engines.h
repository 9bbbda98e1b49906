/* What random programs are compared by. Each engine is one row of the table in property.c: a colleague's engine is another row. */
#ifndef BFM_TESTS_ENGINES_H
#define BFM_TESTS_ENGINES_H

#include "random_program.h"

/* One program with its bindings; everything made during the check goes into the arena. */
typedef struct Case {
    Arena *arena;
    Interner *interner;
    const Program *program;
    InterpContext context;
    bool has_unmet;
    DimEnv unmet;          /* sizes that every engine must refuse */
    const Value *inputs;   /* by main->formals */
    const Value *expected; /* by main->outputs, from the interpreter in f64 */
    const Value *all;      /* by tensor of main, same run */
} Case;

typedef enum { CHECK_PASSED, CHECK_SKIPPED, CHECK_FAILED } CheckStatus;

typedef struct Check {
    CheckStatus status;
    const char *message; /* of a failure or a skip, in the arena */
} Check;

typedef Check CheckFn(const Case *test);

Check check_text(const Case *test);     /* print, read, print is the identity; the program read back gives the same values; the copy's hash is equal */
Check check_interp(const Case *test);   /* f32 agrees with f64 within rounding, where both take the same integers */
Check check_jit(const Case *test);      /* generated code against the interpreter, operation by operation */
Check check_grad(const Case *test);     /* the differentiator against finite differences */
Check check_opt(const Case *test);      /* the passes: values and gradients with and without them */
Check check_backward(const Case *test); /* generated code of the derivative: the same, streams found before differentiation */
Check check_compiled(const Case *test); /* generated code: every operation by itself, scheduled, simplified and scheduled */

/* NULL, or a message, where values differ by more than `tolerance` relative to the larger of 1 and the largest finite value. Elements that are NaN or
   infinite in `expected` are not compared (a place without a value). */
const char *values_differ(Arena *arena, const char *name, const Value *expected, const Value *found, double tolerance);

/* Integer tensors in the order in which they are computed: recorded from one run, given to the next. */
typedef struct Tape {
    Arena *arena;
    Value *items;
    int count, capacity, next;
    int changed; /* elements that replaying changed */
    bool broken; /* another run asked for something else */
} Tape;
bool tape_record(void *user, const Unit *unit, int tensor, Value *value);
bool tape_replay(void *user, const Unit *unit, int tensor, Value *value);

Program *program_copy(Arena *arena, Interner *interner, const Program *program); /* through its text */

#endif
