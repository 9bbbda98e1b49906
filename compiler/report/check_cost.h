/* What a training step needs, for `check --cost`: memory by the plan, time by the rates of this machine. */
#ifndef BFM_REPORT_CHECK_COST_H
#define BFM_REPORT_CHECK_COST_H

#include "codegen/compile.h"
#include "run/context.h"

#include <jansson.h>

/* Rates of this machine on all its threads, measured in about 0.3 s. */
typedef struct MachineRates {
    double flops; /* matrix products, a second */
    double bytes; /* read and written, a second, of tensors larger than the caches */
    int threads;
} MachineRates;

bool machine_rates(MachineRates *rates); /* false: no memory to measure with */

/* Predicted seconds of each kernel's run; dims: values of the plan's slots. */
double kernel_predict(const BfmPlan *plan, const BfmPlanKernel *kernel, const int64_t *dims, const MachineRates *rates);

/* Appends what the compiled step needs at these sizes to the text, and to `model`. INPUT: the sizes are none of the program, or too large. */
bool check_cost(Arena *arena, const Compiled *compiled, const DimEnv *env, const MachineRates *rates, Str *out, json_t *model, BfmError *error);

#endif
