/* How large a plan is at given sizes, without memory for it. */
#ifndef BFM_TEMPLATES_PLAN_SIZES_H
#define BFM_TEMPLATES_PLAN_SIZES_H

#include "bfm/error.h"
#include "bfm/plan.h"

typedef struct BfmPlanSizes {
    size_t formal_bytes; /* parameters, inputs, states */
    size_t peak_bytes;   /* temporaries and outputs, laid out as an instance lays them out */
    size_t total_bytes;  /* the same without sharing of memory between them */
} BfmPlanSizes;

/* dims[plan->dims.count] receives the values of the slots. False: a size is out of range, or memory for the layout is exhausted. */
bool bfm_plan_sizes(const BfmPlan *plan, const int64_t *symbols, int64_t *dims, BfmPlanSizes *sizes, BfmError *error);

#endif
