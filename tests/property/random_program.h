/* Random well-typed IR programs, for tests that compare engines. A program is a function of its seed. */
#ifndef BFM_TESTS_RANDOM_PROGRAM_H
#define BFM_TESTS_RANDOM_PROGRAM_H

#include "ir/interp.h"

typedef struct RandomOptions {
    int operations; /* about so many in the main unit; 0 = 8 */
    bool smooth;    /* no rounding of numbers that depend on data: for tests by finite differences */
    bool no_calls, no_draws;
} RandomOptions;

/* Main has inputs, parameters, results, exactly one LOSS, sometimes a METRIC. Values stay of order 1. Nothing reads a place without a value. Some extents need a
   length that is a multiple of a number or not too small; a length of 6 is good for any program. */
Program *random_program(Arena *arena, Interner *interner, uint64_t seed, RandomOptions options);

/* b in 1 … 3, l in 1 … 6, such that what the program needs holds. */
DimEnv random_env(const Program *program, uint64_t seed);
/* The same with a length at which something does not hold; false if all lengths are good. */
bool random_env_unmet(const Program *program, uint64_t seed, DimEnv *env);

/* Values of a unit's formals: numbers within ±1.5, integers with some `none`. Keyed by the formal's name and the element, so that a program from which
   something was removed gets the same values. */
Value *random_inputs(Arena *arena, const Unit *unit, const DimEnv *env, uint64_t seed);

/* The smallest program found, by removing outputs, operations, conditions, guards and parts of expressions, for which `fails` still holds. */
Program *shrink_program(Arena *arena, Interner *interner, const Program *program, bool (*fails)(void *user, const Program *program), void *user);

#endif
