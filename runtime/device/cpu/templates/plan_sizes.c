#include "device/cpu/templates/plan_sizes.h"

#include "memory/buffer.h"
#include "memory/layout.h"
#include "device/cpu/templates/dims.h"

#include <stdlib.h>

static const int64_t elements_limit = (int64_t)1 << 40;

static bool buffers_count(const BfmPlan *plan, const int64_t *dims, BfmLayoutItem *items, int *used, BfmPlanSizes *sizes)
{
    const BfmPlanBuffer *buffers = bfm_plan_buffers(plan);
    for (uint64_t i = 0; i < plan->buffers.count; i++) {
        const int64_t count = dims[buffers[i].count];
        if (count < 0 || count > elements_limit)
            return false;
        const size_t bytes = bfm_align_up(bfm_elem_bytes((BfmElem)buffers[i].elem, count));
        if (buffers[i].role == BFM_BUFFER_FORMAL) {
            sizes->formal_bytes += bytes;
        } else if (buffers[i].first >= 0) {
            items[(*used)++] = (BfmLayoutItem){.bytes = bytes, .first = buffers[i].first, .last = buffers[i].last};
            sizes->total_bytes += bytes;
        }
    }
    return true;
}

bool bfm_plan_sizes(const BfmPlan *plan, const int64_t *symbols, int64_t *dims, BfmPlanSizes *sizes, BfmError *error)
{
    BfmLayoutItem *items = malloc((plan->buffers.count + 1) * sizeof *items);
    int used = 0;
    *sizes = (BfmPlanSizes){0};
    if (!items)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "no memory for the layout of a step");
    bfm_dims_eval(plan, symbols, dims);
    if (!bfm_needs_check(plan, symbols, dims, error)) {
        free(items);
        return false;
    }
    const bool ok = buffers_count(plan, dims, items, &used, sizes) && bfm_layout(items, used, &sizes->peak_bytes);
    free(items);
    return ok ? true : bfm_error_set(error, BFM_ERROR_INPUT, "a tensor of the step is too large: choose a smaller batch or length");
}
