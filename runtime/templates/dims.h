/* Values of a plan's dimensions. */
#ifndef BFM_TEMPLATES_DIMS_H
#define BFM_TEMPLATES_DIMS_H

#include "bfm/plan.h"

/* values[slot] for every slot of the plan, from symbols[BFM_PLAN_SYMBOLS]; -1 where a value does not fit 64 bits. */
void bfm_dims_eval(const BfmPlan *plan, const int64_t *symbols, int64_t *values);

#endif
