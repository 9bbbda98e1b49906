/* Whether bytes from a file are a plan: sections, lists and records lie inside it. What the fields of a record say is believed: it comes with code. */
#include "device/cpu/templates/executor.h"

#include <string.h>

static bool section_inside(BfmSection section, size_t size, size_t total)
{
    return section.offset % 8 == 0 && section.offset <= total && section.count <= (total - section.offset) / size;
}

static bool range_inside(int32_t first, int32_t count, uint64_t total) { return first >= 0 && count >= 0 && (uint64_t)first + (uint64_t)count <= total; }
static bool slot_inside(int32_t slot, uint64_t total) { return slot == -1 || (slot >= 0 && (uint64_t)slot < total); }

static bool sections_check(const BfmPlan *plan)
{
    const size_t total = plan->bytes;
    return section_inside(plan->dims, sizeof(BfmPlanDim), total) && section_inside(plan->dim_code, sizeof(int64_t), total) &&
           section_inside(plan->functions, sizeof(uint32_t), total) && section_inside(plan->buffers, sizeof(BfmPlanBuffer), total) &&
           section_inside(plan->codes, sizeof(BfmPlanCode), total) && section_inside(plan->kernels, sizeof(BfmPlanKernel), total) &&
           section_inside(plan->formals, sizeof(BfmPlanPort), total) && section_inside(plan->outputs, sizeof(BfmPlanPort), total) &&
           section_inside(plan->ints, sizeof(int32_t), total) && section_inside(plan->streams, sizeof(uint64_t), total) &&
           section_inside(plan->needs, sizeof(BfmPlanNeed), total) && section_inside(plan->text, 1, total) && plan->text.count > 0 &&
           bfm_plan_text(plan, (uint32_t)plan->text.count - 1)[0] == '\0';
}

static bool buffers_check(const BfmPlan *plan)
{
    for (uint64_t i = 0; i < plan->dims.count; i++) {
        if (!range_inside(bfm_plan_dims(plan)[i].code, bfm_plan_dims(plan)[i].count, plan->dim_code.count))
            return false;
    }
    for (uint64_t i = 0; i < plan->buffers.count; i++) {
        const BfmPlanBuffer *buffer = &bfm_plan_buffers(plan)[i];
        if (buffer->name >= plan->text.count || (buffer->elem != BFM_ELEM_F32 && buffer->elem != BFM_ELEM_I32) || buffer->count < 0 || (uint64_t)buffer->count >= plan->dims.count)
            return false;
    }
    return true;
}

static bool codes_check(const BfmPlan *plan)
{
    for (uint64_t i = 0; i < plan->codes.count; i++) {
        const BfmPlanCode *code = &bfm_plan_codes(plan)[i];
        if (code->function < 0 || (uint64_t)code->function >= plan->functions.count || !range_inside(code->buffers, code->buffer_count, plan->ints.count) ||
            !range_inside(code->dims, code->dim_count, plan->ints.count) || !range_inside(code->streams, code->stream_count, plan->streams.count))
            return false;
        for (int b = 0; b < code->buffer_count; b++) {
            if (!slot_inside(bfm_plan_ints(plan)[code->buffers + b], plan->buffers.count))
                return false;
        }
        for (int d = 0; d < code->dim_count; d++) {
            int32_t slot = bfm_plan_ints(plan)[code->dims + d];
            if (slot < 0 || !slot_inside(slot, plan->dims.count))
                return false;
        }
    }
    return true;
}

/* int32_t fields of the record that each kind of kernel has. */
static int32_t record_fields(int32_t kind)
{
    switch ((BfmKernelKind)kind) {
    case BFM_KERNEL_GEMM: return sizeof(BfmPlanGemm) / sizeof(int32_t);
    case BFM_KERNEL_ORDER: return sizeof(BfmPlanOrder) / sizeof(int32_t);
    case BFM_KERNEL_TOP: return sizeof(BfmPlanTop) / sizeof(int32_t);
    case BFM_KERNEL_STREAM:
    case BFM_KERNEL_STREAM_GRAD: return sizeof(BfmPlanStream) / sizeof(int32_t);
    case BFM_KERNEL_SCALAR: return sizeof(BfmPlanScalar) / sizeof(int32_t);
    case BFM_KERNEL_MAP:
    case BFM_KERNEL_KINDS: break;
    }
    return 0;
}

static bool scalar_check(const BfmPlan *plan, const BfmPlanScalar *scalar)
{
    const BfmPlanScalarNode *nodes = (const BfmPlanScalarNode *)(scalar + 1);
    const int32_t fields = sizeof *nodes / sizeof(int32_t), first = (int32_t)((const int32_t *)nodes - bfm_plan_ints(plan));
    if (scalar->out < 0 || !slot_inside(scalar->out, plan->buffers.count) || scalar->count < 1 || scalar->count > INT32_MAX / fields ||
        !range_inside(first, scalar->count * fields, plan->ints.count))
        return false;
    for (int32_t i = 0; i < scalar->count; i++) {
        if (nodes[i].kind < 0 || nodes[i].kind >= BFM_SCALAR_KINDS)
            return false;
        if (nodes[i].kind == BFM_SCALAR_READ && (nodes[i].arg[0] < 0 || !slot_inside(nodes[i].arg[0], plan->buffers.count)))
            return false;
        for (int k = 0; k < 3 && nodes[i].kind != BFM_SCALAR_READ; k++)
            if (nodes[i].arg[k] < -1 || nodes[i].arg[k] >= i)
                return false;
    }
    return true;
}

static bool kernels_check(const BfmPlan *plan)
{
    for (uint64_t i = 0; i < plan->kernels.count; i++) {
        const BfmPlanKernel *kernel = &bfm_plan_kernels(plan)[i];
        if (kernel->label >= plan->text.count || kernel->kind < 0 || kernel->kind >= BFM_KERNEL_KINDS || !range_inside(kernel->codes, kernel->code_count, plan->codes.count) ||
            !slot_inside(kernel->record, plan->ints.count) || !slot_inside(kernel->parallel, plan->dims.count) || !slot_inside(kernel->fill_buffer, plan->buffers.count) ||
            !range_inside(kernel->results, kernel->result_count, plan->ints.count) || !slot_inside(kernel->flops, plan->dims.count) ||
            !slot_inside(kernel->bytes, plan->dims.count))
            return false;
        const int32_t fields = record_fields(kernel->kind);
        if (fields > 0 && !range_inside(kernel->record, fields, plan->ints.count))
            return false;
        if (kernel->kind == BFM_KERNEL_SCALAR && !scalar_check(plan, (const BfmPlanScalar *)(bfm_plan_ints(plan) + kernel->record)))
            return false;
    }
    return true;
}

static bool needs_check(const BfmPlan *plan)
{
    for (uint64_t i = 0; i < plan->needs.count; i++) {
        const BfmPlanNeed *need = &bfm_plan_needs(plan)[i];
        if (need->value < 0 || (uint64_t)need->value >= plan->dims.count || need->text >= plan->text.count)
            return false;
    }
    return true;
}

static bool ports_check(const BfmPlan *plan, const BfmPlanPort *ports, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (ports[i].name >= plan->text.count || ports[i].buffer < 0 || (uint64_t)ports[i].buffer >= plan->buffers.count ||
            !range_inside(ports[i].shape, ports[i].rank, plan->ints.count) || !slot_inside(ports[i].bound, plan->dims.count))
            return false;
    }
    return true;
}

bool bfm_plan_check(const void *bytes, size_t size, BfmError *error)
{
    const BfmPlan *plan = bytes;
    if (size < sizeof *plan || memcmp(plan->magic, BFM_PLAN_MAGIC, sizeof plan->magic) != 0)
        return bfm_error_set(error, BFM_ERROR_INPUT, "no compiled program: the header is missing");
    if (plan->version != BFM_PLAN_VERSION || plan->header_bytes != sizeof *plan)
        return bfm_error_set(error, BFM_ERROR_INPUT, "a compiled program of version %u, expected %d: build it again", plan->version, BFM_PLAN_VERSION);
    if (plan->bytes != size || !sections_check(plan) || !buffers_check(plan) || !codes_check(plan) || !kernels_check(plan) || !needs_check(plan) ||
        !ports_check(plan, bfm_plan_formals(plan), plan->formals.count) || !ports_check(plan, bfm_plan_outputs(plan), plan->outputs.count))
        return bfm_error_set(error, BFM_ERROR_INPUT, "a damaged compiled program: build it again");
    return true;
}
