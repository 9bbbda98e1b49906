/* Reverse mode over the tensor IR: one rule per operation, one column per scalar operand (bfm/scalars.def).

   requires   a verified program; every op in dependency order; groups already raised (opt/opt.h)
   preserves  values of all outputs; formals and outputs keep their positions, new ones are appended
   breaks     nothing; the adjoint operations of main want simplification (opt_simplify_unit) */
#ifndef BFM_GRAD_GRAD_H
#define BFM_GRAD_GRAD_H

#include "ir/ir.h"

typedef struct GradOptions {
    const bool *wanted; /* [main->formal_count] real formals to differentiate by; NULL: every real TENSOR_PARAM */
    bool seed_results;  /* each real OUTPUT_RESULT gets an adjoint from outside: a formal `<name>.seed` (TENSOR_INPUT) appended to main->formals */
} GradOptions;

/* Appends to main, after its operations, the derivative of the sum of all its OUTPUT_LOSS outputs (seed 1 each, plus the seeds of results) with
   respect to each wanted formal: one OUTPUT_GRAD output per wanted formal, in order of formals, its shape, 0 where nothing depends on it.
   A callee is differentiated once per pattern of (adjoints given, formals wanted): calls then run a copy that also gives saved tensors
   (OUTPUT_SAVED), and main calls the backward unit. False and *message if main has nothing to differentiate (no loss, no seed). */
bool grad_program(Program *program, const GradOptions *options, const char **message);

#endif
