/* When two expressions have the same value at every point, in exact arithmetic: through definitions element by element and reductions over one point. */
#ifndef BFM_GRAD_SAME_H
#define BFM_GRAD_SAME_H

#include "ir/ir.h"

/* Whether expression `id` of a nest is one constant whatever it reads: x - x, x / x, x * (1 / x). A small constant beside the divisor, as one adds it against a
   division by zero, does not matter. False means: not seen. */
bool expression_cancels(const Unit *unit, const Op *op, int id);

/* Whether expression `id` of an operation, written as a sum of products, has fewer terms than its text: p + x - p, 0 * p, p ^ 0, and what is added to every score of a softmax or to
   all that a mean is taken from. Then visits the expressions, of this or other operations of the unit, that the value still depends on. */
typedef enum { SHRINKS_NOT, SHRINKS, SHRINKS_UNKNOWN } Shrinks; /* NOT: nor does an expression that it adds, subtracts or multiplies */
typedef void (*TermVisitor)(void *user, const Op *op, int id);
Shrinks expression_shrinks(const Unit *unit, const Op *op, int id, TermVisitor visit, void *user);

/* No point satisfies the conditions of the operation, whatever the data. False means: not seen. */
bool operation_is_empty(const Unit *unit, const Op *op);

#endif
