/* What a step touches: what its operation reads, or what its record says. */
#include "ir/rewrite.h"
#include "schedule/schedule.h"

typedef struct Visit {
    const Unit *unit;
    StepVisitor visit;
    void *user;
    const KernelRow *kernel;
    BfmRole pass; /* READ, KEPT, WRITE: which of the record's buffers are visited */
    int seen[256];
    int count;
} Visit;

static void visit_read(Visit *visit, int tensor)
{
    for (int i = 0; i < visit->count; i++) {
        if (visit->seen[i] == tensor)
            return;
    }
    if (visit->count < (int)(sizeof visit->seen / sizeof visit->seen[0]))
        visit->seen[visit->count++] = tensor;
    visit->visit(visit->user, tensor, false);
}

static void visit_access(void *user, const Access *access, AccessUse use)
{
    if (use != ACCESS_OUT && access->tensor >= 0)
        visit_read(user, access->tensor);
}

typedef struct TileVisit {
    Visit *visit;
    const StreamTile *tile;
} TileVisit;

static void visit_tile_access(void *user, const Access *access, AccessUse use)
{
    TileVisit *visit = user;
    for (int t = 0; t < visit->tile->tile_count; t++) {
        if (visit->tile->tensors[t] == access->tensor)
            return;
    }
    visit_access(visit->visit, access, use);
}

static void visit_tile(Visit *visit, const StreamTile *tile)
{
    TileVisit reads = {visit, tile};
    if (tile->op >= 0 && visit->pass == BFM_ROLE_READ)
        op_visit(&visit->unit->ops[tile->op], visit_tile_access, &reads);
}

static void visit_buffer(Visit *visit, BfmRole role, int tensor)
{
    const BfmRole pass = role == BFM_ROLE_MAY_READ ? BFM_ROLE_READ : role;
    if (tensor < 0 || pass != visit->pass)
        return;
    if ((role == BFM_ROLE_KEPT ? visit->kernel->kept : role) == BFM_ROLE_WRITE)
        visit->visit(visit->user, tensor, true);
    else
        visit_read(visit, tensor);
}

static void visit_record(Visit *visit, BfmRecordKind kind, BfmRole role, const char *record)
{
    for (const RecordField *field = record_row(kind)->fields; field->kind != BFM_FIELD_END; field++) {
        const char *at = record + field->at;
        if (field->kind == BFM_FIELD_BUFFER)
            visit_buffer(visit, field->role == BFM_ROLE_OF_PART ? role : field->role, *(const int *)(const void *)at);
        else if (field->kind == BFM_FIELD_CODE)
            visit_tile(visit, (const StreamTile *)(const void *)at);
        else if (field->kind == BFM_FIELD_PART)
            visit_record(visit, field->record, field->role, at);
        else if (field->kind == BFM_FIELD_PARTS || field->kind == BFM_FIELD_LIST) {
            const char *parts = field->kind == BFM_FIELD_PARTS ? at : *(const char *const *)(const void *)at;
            for (int i = 0; i < *(const int *)(const void *)(record + field->count_at); i++)
                visit_record(visit, field->record, field->role, parts + (size_t)i * record_row(field->record)->bytes);
        }
    }
}

void step_visit(const Schedule *schedule, const Step *step, StepVisitor visitor, void *user)
{
    static const BfmRole passes[] = {BFM_ROLE_READ, BFM_ROLE_KEPT, BFM_ROLE_WRITE};
    Visit visit = {.unit = schedule->unit, .visit = visitor, .user = user, .kernel = kernel_row(step->kind)};
    if (step_is_operation(step)) {
        op_visit(&schedule->unit->ops[step->op], visit_access, &visit);
        visitor(user, step->out, true);
        return;
    }
    for (int p = 0; p < 3; p++) {
        visit.pass = passes[p];
        visit_record(&visit, visit.kernel->record, BFM_ROLE_READ, step->record);
    }
}
