/* Random inputs of a program: parameters near their initial values, anything else drawn. For comparisons of engines and derivatives. */
#ifndef BFM_RUN_INPUTS_H
#define BFM_RUN_INPUTS_H

#include "bfm/error.h"
#include "ir/interp.h"

typedef struct InputSettings {
    DimEnv env;
    uint64_t seed;
    double step; /* of scalar inputs */
    double away; /* how far parameters are moved from their initial values: zeros and ones hide mistakes */
} InputSettings;

/* Values for the first `count` formals of `unit`, a main unit whose formals are named by the program's bindings; those behind the bindings (adjoints of results) are
   drawn like inputs. Integers are below their bound, `segment` is 0. In the arena. INPUT: too large, or an initial value that is not finite. */
bool inputs_fill(Arena *arena, const Program *program, const Unit *unit, int bindings, const InputSettings *settings, Value *formals, int count, BfmError *error);

#endif
