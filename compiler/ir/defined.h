/* Where an operation's formula may give no finite number although all numbers that it reads are finite: a quotient by 0, a root or logarithm of 0, an integer
   that is none used as a number. */
#ifndef BFM_IR_DEFINED_H
#define BFM_IR_DEFINED_H

#include "ir/ir.h"

typedef enum { SIGN_ANY, SIGN_NONNEGATIVE, SIGN_POSITIVE } Sign;

/* What is known of the elements of each tensor of the unit, in the arena: [tensor_count]. */
Sign *unit_signs(Arena *arena, const Unit *unit);
/* Whether the operation's body may be no finite number, or have a derivative that is none. `signs`: of its unit. */
bool op_may_be_undefined(Arena *arena, const Unit *unit, const Op *op, const Sign *signs);
/* For each expression whether it may be no finite number: [expr_count]. `tensors`: those that may hold such numbers. */
bool *exprs_may_be_undefined(Arena *arena, const Unit *unit, const Op *op, const Sign *signs, const bool *tensors);
/* The tensors that are elementwise formulas of that kind, but for those that are `varied`: [tensor_count]. */
bool *tensors_may_be_undefined(Arena *arena, const Unit *unit, const Sign *signs, const bool *varied);

#endif
