/* When two expressions have the same value at every point, in exact arithmetic: through definitions element by element and reductions over one point. */
#ifndef BFM_GRAD_SAME_H
#define BFM_GRAD_SAME_H

#include "ir/ir.h"

/* Whether expression `id` of a nest is one constant whatever it reads: x - x, x / x, x * (1 / x). A small constant beside the divisor, as one adds it against a
   division by zero, does not matter. False means: not seen. */
bool expression_cancels(const Unit *unit, const Op *op, int id);

#endif
