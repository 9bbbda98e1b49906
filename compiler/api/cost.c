/* Costs as numbers. */
#include "bfm/cost.h"

#include "api/internal.h"
#include "device/cpu/templates/plan_sizes.h"
#include "ir/ledger.h"
#include "report/check_cost.h"
#include "run/model.h"

static bool planned(const BfmModule *module, const Node *item, int64_t batch, int64_t length, bool predict, BfmCost *cost, BfmError *error)
{
    ModelProgram model;
    MachineRates rates;
    BfmPlanSizes sizes;
    if (item->kind != NODE_MODEL)
        return bfm_error_set(error, BFM_ERROR_INPUT, "`%s` is no model: a training step is planned of models only", item->name);
    if (!model_lower(&module->context, module->module, item, MODE_TRAIN, &model, error))
        return false;
    const Compiled *compiled = model_compile(&module->context, &model, MODE_TRAIN, error);
    if (!compiled)
        return false;
    const DimEnv env = {.value = {[DIM_B] = batch, [DIM_L] = length, [DIM_N] = length}};
    int64_t *dims = ARENA_ARRAY(module->context.arena, int64_t, compiled->plan->dims.count + 1);
    if (!bfm_plan_sizes(compiled->plan, env.value, dims, &sizes, error))
        return false;
    cost->planned_bytes = (double)sizes.peak_bytes;
    cost->formal_bytes = (double)sizes.formal_bytes;
    if (predict && !machine_rates(&rates))
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "no memory to measure the machine's rates with");
    for (uint64_t k = 0; predict && k < compiled->plan->kernels.count; k++)
        cost->seconds += kernel_predict(compiled->plan, &bfm_plan_kernels(compiled->plan)[k], dims, &rates);
    return true;
}

bool bfm_cost(BfmModule *module, const char *item, int64_t batch, int64_t length, BfmCostDepth depth, BfmCost *cost, BfmError *error)
{
    *cost = (BfmCost){0};
    if (batch < 1 || length < 1)
        return bfm_error_set(error, BFM_ERROR_INPUT, "a batch of %lld and a length of %lld: both must be at least 1", (long long)batch, (long long)length);
    const Node *node = api_item(module, item, error);
    if (!node)
        return false;
    const Lowered *lowered = api_lower(module, node, 0, 0, MODE_TRAIN);
    if (!lowered || diag_errors(module->context.diags) > 0)
        return context_rejected(error);
    if (lowered->context > 0 && length > lowered->context)
        return bfm_error_set(error, BFM_ERROR_INPUT, "a length of %lld is beyond the context of `%s`, %lld", (long long)length, node->name, (long long)lowered->context);
    const ProgramCost *counted = program_cost(lowered->program->arena, lowered->program, batch, length);
    *cost = (BfmCost){.parameters = counts_total(counted->counts),
                      .products = counted->counts.products,
                      .tables = counted->counts.tables,
                      .others = counted->counts.others,
                      .activated = counted->counts.activated,
                      .forward = counted->work.forward,
                      .backward = counted->work.backward,
                      .product_flops = counted->work.products,
                      .kept_bytes = counted->work.kept_bytes};
    return depth == BFM_COST_COUNT || planned(module, node, batch, length, depth == BFM_COST_PREDICT, cost, error);
}
