/* Holes: a point at which a subscript is none is left out of its operation, with all terms of its expression. What is read there counts as 0, so that
   nothing is lost where the expression would be 0 too. */
#ifndef BFM_IR_HOLES_H
#define BFM_IR_HOLES_H

#include "ir/ir.h"

/* `longest` is the length that no run exceeds, NULL where that is not known. */
/* Whether `op` lacks only points at which an integer is none and its body would be 0: a product with what is looked up, not a sum with another term. */
bool op_zero_in_holes(const Unit *unit, const Op *op, Dim longest);
/* Whether the integers of a tensor are never none: the model provides them, they are positions inside their bound, or choose among enough points. */
bool integer_always_exists(const Unit *unit, int tensor, Dim longest);
/* Of a program as it is lowered: every output exists everywhere. NULL, or what is wrong. */
const char *program_holes(const Program *program);

#endif
