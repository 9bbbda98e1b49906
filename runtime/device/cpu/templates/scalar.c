/* Scalars: numbers of the step, made from scalar inputs in double precision and rounded once. The formulas are those of compiler/ir/ops.def. */
#include "device/cpu/templates/scalar.h"

#include "device/cpu/templates/executor_internal.h"

#include <math.h>
#include <string.h>

double bfm_scalar_eval(BfmScalarKind kind, double a, double b, double c)
{
    switch (kind) {
    case BFM_SCALAR_CONST:
    case BFM_SCALAR_READ: return a;
    case BFM_SCALAR_NEG: return -a;
    case BFM_SCALAR_ADD: return a + b;
    case BFM_SCALAR_SUB: return a - b;
    case BFM_SCALAR_MUL: return a * b;
    case BFM_SCALAR_DIV: return a / b;
    case BFM_SCALAR_MIN: return a <= b ? a : b;
    case BFM_SCALAR_MAX: return a >= b ? a : b;
    case BFM_SCALAR_SELECT: return a != 0 ? b : c;
    case BFM_SCALAR_EQ: return a == b;
    case BFM_SCALAR_NE: return a < b || a > b;
    case BFM_SCALAR_LT: return a < b;
    case BFM_SCALAR_LE: return a <= b;
    case BFM_SCALAR_AND: return a != 0 && b != 0;
    case BFM_SCALAR_OR: return a != 0 || b != 0;
    case BFM_SCALAR_NOT: return a == 0;
    case BFM_SCALAR_EXISTS: return a == a;
    case BFM_SCALAR_EXP: return exp(a);
    case BFM_SCALAR_LOG: return log(a);
    case BFM_SCALAR_SQRT: return sqrt(a);
    case BFM_SCALAR_RSQRT: return 1 / sqrt(a);
    case BFM_SCALAR_TANH: return tanh(a);
    case BFM_SCALAR_SIGMOID: return 1 / (1 + exp(-a));
    case BFM_SCALAR_ERF: return erf(a);
    case BFM_SCALAR_SOFTPLUS: return a > 0 ? a + log1p(exp(-a)) : log1p(exp(a));
    case BFM_SCALAR_SIN: return sin(a);
    case BFM_SCALAR_COS: return cos(a);
    case BFM_SCALAR_ABS: return fabs(a);
    case BFM_SCALAR_POW: return pow(a, b);
    case BFM_SCALAR_FLOOR: return floor(a);
    case BFM_SCALAR_MOD: return a - b * floor(a / b);
    case BFM_SCALAR_FMA: return fma(a, b, c);
    case BFM_SCALAR_POINT: return rint(a) >= 0 && rint(a) < b ? fabs(rint(a)) : (double)NAN;
    case BFM_SCALAR_KINDS: break;
    }
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
        return (double)*(const float *)instance->memory[node->arg[0]];
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
