/* Values of a plan's dimensions. */
#ifndef BFM_TEMPLATES_DIMS_H
#define BFM_TEMPLATES_DIMS_H

#include "bfm/error.h"
#include "bfm/plan.h"

/* values[slot] for every slot of the plan, from symbols[BFM_PLAN_SYMBOLS]; -1 where a value does not fit 64 bits. */
void bfm_dims_eval(const BfmPlan *plan, const int64_t *symbols, int64_t *values);
/* What the plan needs of the symbols, values[slot] being theirs. False: `error` says what does not hold. */
bool bfm_needs_check(const BfmPlan *plan, const int64_t *symbols, const int64_t *values, BfmError *error);

#endif
