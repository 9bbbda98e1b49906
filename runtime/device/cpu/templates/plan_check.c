/* Whether bytes from a file are a plan: sections, lists and records lie inside it, and what the fields of records number does too. Sizes and strides are
   believed: they come with code. */
#include "device/cpu/templates/executor.h"
#include "device/cpu/templates/records.h"

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

/* ---- records -------------------------------------------------------------------------------------------------------------- */

typedef struct RecordCheck {
    const BfmPlan *plan;
    const BfmPlanKernel *kernel;
    BfmRole kept;
} RecordCheck;

static int32_t int_at(const char *record, size_t at)
{
    int32_t value;
    memcpy(&value, record + at, sizeof value);
    return value;
}

static bool buffer_check(const RecordCheck *check, BfmRole role, int32_t buffer)
{
    return slot_inside(buffer, check->plan->buffers.count) && (buffer >= 0 || (role == BFM_ROLE_KEPT ? check->kept : role) == BFM_ROLE_MAY_READ);
}

/* Of `places` slots the first `needed` have to be there. */
static bool slots_check(const RecordCheck *check, const char *slots, int32_t places, int32_t needed)
{
    for (int32_t i = 0; i < places; i++) {
        const int32_t slot = int_at(slots, (size_t)i * sizeof slot);
        if (!slot_inside(slot, check->plan->dims.count) || (slot < 0 && i < needed))
            return false;
    }
    return true;
}

static bool number_inside(int32_t number, int32_t first, int32_t end) { return number >= first && number < end; }

static bool tile_check(const RecordCheck *check, const BfmPlanTile *tile)
{
    if (!number_inside(tile->code, -1, check->kernel->code_count) || !number_inside(tile->tile_count, 0, BFM_STREAM_TILES + 1) ||
        !number_inside(tile->outer_count, 0, BFM_STREAM_BATCHES + 1))
        return false;
    for (int32_t i = 0; i < tile->tile_count; i++)
        if (!number_inside(tile->tiles[i], 0, BFM_TILES))
            return false;
    for (int32_t i = 0; i < tile->outer_count; i++)
        if (!number_inside(tile->outer[i], 0, BFM_STREAM_BATCHES))
            return false;
    return true;
}

/* `position`: of the record in the list that it is in. */
static bool record_check(const RecordCheck *check, BfmRecordKind kind, BfmRole role, const char *record, int32_t position);

static bool parts_check(const RecordCheck *check, const PlanField *field, BfmRole role, const char *record, int32_t count, bool list)
{
    const size_t bytes = plan_record(field->record)->bytes;
    for (int32_t i = 0; i < count; i++)
        if (!record_check(check, field->record, role, record + field->at + (size_t)i * bytes, list ? i : 0))
            return false;
    return true;
}

/* The list lies behind the record in `ints`, and is not empty. */
static bool list_inside(const RecordCheck *check, const PlanField *field, const char *record, int32_t count)
{
    const size_t left = (size_t)((const char *)(bfm_plan_ints(check->plan) + check->plan->ints.count) - record) - field->at;
    return count > 0 && (size_t)count <= left / plan_record(field->record)->bytes;
}

static bool field_check(const RecordCheck *check, const PlanField *field, BfmRole role, const char *record, int32_t position)
{
    const char *at = record + field->at;
    const int32_t count = field->kind == BFM_FIELD_DIMS || field->kind == BFM_FIELD_PARTS || field->kind == BFM_FIELD_LIST ? int_at(record, field->count_at) : 0;
    switch (field->kind) {
    case BFM_FIELD_BUFFER: return buffer_check(check, field->role == BFM_ROLE_OF_PART ? role : field->role, int_at(at, 0));
    case BFM_FIELD_DIM: return slots_check(check, at, 1, 1);
    case BFM_FIELD_MAY_DIM: return slots_check(check, at, 1, 0);
    case BFM_FIELD_DIMS: return number_inside(count, 0, field->most + 1) && slots_check(check, at, field->most, count);
    case BFM_FIELD_MAY_DIMS: return slots_check(check, at, field->most, 0);
    case BFM_FIELD_ENUM: return number_inside(int_at(at, 0), 0, field->most);
    case BFM_FIELD_FLAG: return number_inside(int_at(at, 0), 0, 2);
    case BFM_FIELD_PART: return record_check(check, field->record, field->role, at, 0);
    case BFM_FIELD_PARTS: return number_inside(count, 0, field->most + 1) && parts_check(check, field, field->role, record, count, false);
    case BFM_FIELD_LIST: return list_inside(check, field, record, count) && parts_check(check, field, field->role, record, count, true);
    case BFM_FIELD_EARLIER:
        for (int32_t i = 0; i < field->most; i++)
            if (!number_inside(int_at(at, (size_t)i * sizeof i), -1, position))
                return false;
        return true;
    case BFM_FIELD_CODE: return tile_check(check, (const BfmPlanTile *)(const void *)at);
    case BFM_FIELD_BITS:
    case BFM_FIELD_REAL:
    case BFM_FIELD_VALUE:
    case BFM_FIELD_END: break;
    }
    return true;
}

static bool record_check(const RecordCheck *check, BfmRecordKind kind, BfmRole role, const char *record, int32_t position)
{
    for (const PlanField *field = plan_record(kind)->fields; field->kind != BFM_FIELD_END; field++)
        if (!field_check(check, field, role, record, position))
            return false;
    return true;
}

/* What fields need of one another. */
static bool fields_agree(const RecordCheck *check)
{
    const void *record = bfm_plan_ints(check->plan) + check->kernel->record;
    if (check->kernel->kind == BFM_KERNEL_MAP)
        return check->kernel->code_count > 0;
    if (check->kernel->kind == BFM_KERNEL_GEMM) {
        const BfmPlanGemm *gemm = record;
        return gemm->form == BFM_GEMM_PLAIN || (gemm->perm >= 0 && gemm->offsets >= 0 && gemm->key_count >= 0);
    }
    if (check->kernel->kind == BFM_KERNEL_STREAM_GRAD)
        return ((const BfmPlanStream *)record)->score_grad.code >= 0;
    if (check->kernel->kind == BFM_KERNEL_SCALAR) {
        const BfmPlanScalar *scalar = record;
        const BfmPlanScalarNode *nodes = (const BfmPlanScalarNode *)(scalar + 1);
        for (int32_t i = 0; i < scalar->count; i++)
            if (nodes[i].kind == BFM_SCALAR_READ && nodes[i].tensor < 0)
                return false;
    }
    return true;
}

static bool results_check(const BfmPlan *plan, const BfmPlanKernel *kernel)
{
    for (int32_t r = 0; r < kernel->result_count; r++) {
        const int32_t buffer = bfm_plan_ints(plan)[kernel->results + r];
        if (buffer < 0 || !slot_inside(buffer, plan->buffers.count))
            return false;
    }
    return true;
}

static bool kernel_check(const BfmPlan *plan, const BfmPlanKernel *kernel)
{
    if (!number_inside(kernel->kind, 0, BFM_KERNEL_KINDS) || !number_inside(kernel->fill, BFM_FILL_NONE, BFM_FILL_NO_INDEX + 1))
        return false;
    const PlanKernel *row = plan_kernel((BfmKernelKind)kernel->kind);
    const RecordCheck check = {plan, kernel, row->kept};
    return kernel->label < plan->text.count && range_inside(kernel->codes, kernel->code_count, plan->codes.count) && slot_inside(kernel->parallel, plan->dims.count) &&
           slot_inside(kernel->fill_buffer, plan->buffers.count) && (kernel->fill_buffer >= 0 || kernel->fill == BFM_FILL_NONE) &&
           range_inside(kernel->results, kernel->result_count, plan->ints.count) && results_check(plan, kernel) && slot_inside(kernel->flops, plan->dims.count) &&
           slot_inside(kernel->bytes, plan->dims.count) && (row->record == BFM_RECORD_None || kernel->record >= 0) &&
           (row->record == BFM_RECORD_None || range_inside(kernel->record, (int32_t)(plan_record(row->record)->bytes / sizeof(int32_t)), plan->ints.count)) &&
           record_check(&check, row->record, BFM_ROLE_READ, (const char *)(bfm_plan_ints(plan) + kernel->record), 0) && fields_agree(&check);
}

static bool kernels_check(const BfmPlan *plan)
{
    for (uint64_t i = 0; i < plan->kernels.count; i++)
        if (!kernel_check(plan, &bfm_plan_kernels(plan)[i]))
            return false;
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
            !range_inside(ports[i].shape, ports[i].rank, plan->ints.count) || !slot_inside(ports[i].bound, plan->dims.count) || !slot_inside(ports[i].formal, plan->formals.count))
            return false;
        for (int32_t axis = 0; axis < ports[i].rank; axis++)
            if (bfm_plan_ints(plan)[ports[i].shape + axis] < 0 || !slot_inside(bfm_plan_ints(plan)[ports[i].shape + axis], plan->dims.count))
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
