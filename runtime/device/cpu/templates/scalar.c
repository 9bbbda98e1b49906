/* Scalars: numbers of the step, made from scalar inputs in double precision and rounded once. The formulas are those of bfm/scalars.def. */
#include "device/cpu/templates/scalar.h"

#include "device/cpu/templates/executor_internal.h"

#include <math.h>
#include <string.h>

double bfm_scalar_eval(BfmScalarKind kind, double a, double b, double c)
{
#define A a
#define B b
#define C c
    switch (kind) {
#define SCALAR(name, text, arity, flops, value, use, code, eval, da, db, dc)                                                                                                       \
    case BFM_SCALAR_##name:                                                                                                                                                        \
        return eval;
#include "bfm/scalars.def"
#undef SCALAR
    case BFM_SCALAR_KINDS: break;
    }
#undef A
#undef B
#undef C
    return (double)NAN;
}

static double node_value(const BfmInstance *instance, const BfmPlanScalarNode *node, const double *values)
{
    if (node->kind == BFM_SCALAR_CONST) {
        double value;
        memcpy(&value, node->value, sizeof value);
        return value;
    }
    if (node->kind == BFM_SCALAR_READ)
        return (double)*(const float *)instance->memory[node->tensor];
    double arg[3] = {0, 0, 0};
    for (int k = 0; k < 3; k++)
        arg[k] = node->arg[k] < 0 ? 0 : values[node->arg[k]];
    return bfm_scalar_eval((BfmScalarKind)node->kind, arg[0], arg[1], arg[2]);
}

bool kernel_scalar(const KernelRun *run)
{
    const BfmPlanScalar *scalar = kernel_record(run);
    const BfmPlanScalarNode *nodes = (const BfmPlanScalarNode *)(scalar + 1);
    double *values = instance_scratch(run->instance, (size_t)scalar->count * sizeof *values, run->error);
    if (!values)
        return false;
    for (int i = 0; i < scalar->count; i++)
        values[i] = node_value(run->instance, &nodes[i], values);
    *(float *)run->instance->memory[scalar->out] = (float)values[scalar->count - 1];
    return true;
}
