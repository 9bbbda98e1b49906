#include "codegen/plan_write.h"

#include "ir/dim_code.h"
#include "support/bug.h"
#include "support/hash.h"
#include "support/pointer_map.h"
#include "support/vec.h"

#include <string.h>

_Static_assert((int)BFM_SCALAR_KINDS == (int)EXPR_COUNT, "expressions and scalars are rows of one table");

typedef struct Writer {
    Arena *arena;
    const Schedule *schedule;
    const Unit *unit;
    DimTable *dim_table;
    Codegen *codegen;
    int *buffer_of; /* [tensor_count] number of its buffer, -1 = none yet */
    VEC(Symbol) functions;
    PointerMap numbers; /* of the functions, by name */
    VEC(Dim) dims;
    PointerMap slots; /* of the dims */
    VEC(BfmPlanBuffer) buffers;
    VEC(BfmPlanCode) codes;
    VEC(BfmPlanKernel) kernels;
    VEC(BfmPlanPort) formals;
    VEC(BfmPlanPort) outputs;
    VEC(BfmPlanNeed) needs;
    VEC(int32_t) ints;
    VEC(uint64_t) streams;
    Str text;
    uint64_t hash;
} Writer;

/* ---- pieces --------------------------------------------------------------------------------------------------------------- */

static int32_t slot_of(Writer *writer, Dim dim)
{
    int slot = pointer_map_find(&writer->slots, dim);
    if (slot < 0) {
        slot = writer->dims.count;
        vec_push(&writer->dims, dim);
        pointer_map_set(&writer->slots, dim, slot);
    }
    return slot;
}

static int32_t slot_or_none(Writer *writer, Dim dim) { return dim == NULL ? -1 : slot_of(writer, dim); }

static uint32_t text_of(Writer *writer, const char *text)
{
    uint32_t position = (uint32_t)writer->text.length;
    if (text == NULL)
        text = "";
    str_append_n(&writer->text, text, strlen(text));
    str_push(&writer->text, '\0');
    return position;
}

static int32_t function_of(Writer *writer, const char *symbol)
{
    const Symbol name = intern(writer->unit->program->interner, symbol);
    int function = pointer_map_find(&writer->numbers, name);
    if (function < 0) {
        function = writer->functions.count;
        vec_push(&writer->functions, name);
        pointer_map_set(&writer->numbers, name, function);
    }
    return function;
}

/* The tensor whose elements this one keeps (ir.h: `init` of a SET), -1 if there is none. */
static int extended_by(const Writer *writer, int tensor)
{
    const int def = writer->unit->tensors[tensor].def;
    const Op *op = def >= 0 && def < writer->unit->op_count ? &writer->unit->ops[def] : NULL;
    return op != NULL && op->kind == OP_NEST && op->out.tensor == tensor ? op->init.tensor : -1;
}

static int32_t buffer_of(Writer *writer, int tensor)
{
    if (tensor < 0)
        return -1;
    if (writer->buffer_of[tensor] >= 0)
        return writer->buffer_of[tensor];
    const int old = extended_by(writer, tensor); /* a state extended in place stays where it is */
    if (old >= 0)
        return writer->buffer_of[tensor] = buffer_of(writer, old);
    const Tensor *shape = &writer->unit->tensors[tensor];
    Dim count = dim_int(writer->dim_table, 1);
    for (int i = 0; i < shape->rank; i++)
        count = dim_mul(writer->dim_table, count, shape->extent[i]);
    BfmPlanBuffer buffer = {.name = text_of(writer, shape->name),
                            .elem = shape->type == T_INT ? BFM_ELEM_I32 : BFM_ELEM_F32,
                            .role = BFM_BUFFER_TEMPORARY,
                            .count = slot_of(writer, count),
                            .first = -1,
                            .last = -1};
    vec_push(&writer->buffers, buffer);
    return writer->buffer_of[tensor] = writer->buffers.count - 1;
}

/* A record of int32_t fields, copied into `ints`. */
static int32_t record_add(Writer *writer, const void *record, size_t bytes)
{
    int32_t position = writer->ints.count;
    int32_t field;
    for (size_t i = 0; i < bytes / sizeof field; i++) {
        memcpy(&field, (const char *)record + i * sizeof field, sizeof field);
        vec_push(&writer->ints, field);
    }
    return position;
}

/* `out` is what the code's own output, tensor -1, stands for; -1: passed at the call. */
static int32_t code_add(Writer *writer, const KernelCode *code, int out)
{
    BfmPlanCode plan = {.function = function_of(writer, code->symbol), .buffer_count = code->buffer_count, .dim_count = code->dim_count, .stream_count = code->draw_count};
    plan.buffers = writer->ints.count;
    for (int i = 0; i < code->buffer_count; i++)
        vec_push(&writer->ints, 0);
    for (int i = 0; i < code->buffer_count; i++) {
        int32_t buffer = buffer_of(writer, code->tensors[i] < 0 ? out : code->tensors[i]);
        writer->ints.items[plan.buffers + i] = buffer;
    }
    plan.dims = writer->ints.count;
    for (int i = 0; i < code->dim_count; i++) {
        int32_t slot = slot_of(writer, code->dims[i]);
        vec_push(&writer->ints, slot);
    }
    plan.streams = writer->streams.count;
    for (int i = 0; i < code->draw_count; i++)
        vec_push(&writer->streams, draw_stream("", code->draw_tags[i]));
    vec_push(&writer->codes, plan);
    writer->hash = hash_text(code->symbol, writer->hash);
    return writer->codes.count - 1;
}

/* ---- kernels -------------------------------------------------------------------------------------------------------------- */

static BfmPlanKernel kernel_begin(Writer *writer, const Step *step, int out)
{
    const char *name = out >= 0 ? writer->unit->tensors[out].name : NULL;
    return (BfmPlanKernel){.label = text_of(writer, name),
                           .kind = (int32_t)step->kind,
                           .codes = writer->codes.count,
                           .record = -1,
                           .parallel = -1,
                           .grain = 1,
                           .fill = BFM_FILL_NONE,
                           .fill_buffer = -1,
                           .results = writer->ints.count,
                           .flops = slot_or_none(writer, step->flops),
                           .bytes = slot_or_none(writer, step->bytes)};
}

static void result_add(Writer *writer, BfmPlanKernel *kernel, int tensor)
{
    int32_t buffer = buffer_of(writer, tensor);
    vec_push(&writer->ints, buffer);
    kernel->result_count++;
}

/* One generated function over its parallel range. */
static void write_map(Writer *writer, const Step *step)
{
    const Op *op = &writer->unit->ops[step->op];
    const bool scores = step_is_scores(writer->schedule, step);
    const KernelCode *code = scores ? codegen_scores(writer->codegen, writer->unit, op) : codegen_nest(writer->codegen, writer->unit, op);
    BfmPlanKernel kernel = kernel_begin(writer, step, step->out);
    kernel.codes = code_add(writer, code, step->out), kernel.code_count = 1;
    kernel.results = writer->ints.count;
    if (!scores)
        result_add(writer, &kernel, step->out); /* scores may hold what is no number */
    Dim points = dim_int(writer->dim_table, 1);
    for (int i = 0; i < code->parallel_count; i++)
        points = dim_mul(writer->dim_table, points, op->indices[code->parallel[i]].extent);
    kernel.parallel = code->parallel_count > 0 ? slot_of(writer, points) : -1;
    kernel.grain = code->grain;
    kernel.fill = extended_by(writer, step->out) >= 0 ? BFM_FILL_NONE : (int32_t)code->fill;
    kernel.fill_buffer = buffer_of(writer, step->out);
    vec_push(&writer->kernels, kernel);
}

/* ---- records -------------------------------------------------------------------------------------------------------------- */

/* Where a record of the scheduler is copied from, and where that of the plan is to be. */
typedef struct Packing {
    Writer *writer;
    BfmPlanKernel *kernel;
    const char *from;
    char *to;
} Packing;

static int int_from(const Packing *packing, size_t at)
{
    int value;
    memcpy(&value, packing->from + at, sizeof value);
    return value;
}

static void int_to(const Packing *packing, size_t at, int32_t value) { memcpy(packing->to + at, &value, sizeof value); }

static void dims_pack(const Packing *packing, const RecordField *field, int places, int count)
{
    const Dim *dims = (const Dim *)(const void *)(packing->from + field->at);
    for (int i = 0; i < places; i++)
        int_to(packing, field->plan_at + (size_t)i * sizeof(int32_t), i < count ? slot_or_none(packing->writer, dims[i]) : -1);
}

static BfmPlanTile tile_pack(const Packing *packing, const StreamTile *tile)
{
    Writer *writer = packing->writer;
    if (tile->op < 0)
        return (BfmPlanTile){.code = -1};
    const Op *op = &writer->unit->ops[tile->op];
    const KernelCode *code = tile->bounds ? codegen_range(writer->codegen, writer->unit, op, tile->row, tile->col)
                                          : codegen_tile(writer->codegen, writer->unit, op, tile->row, tile->col, tile->tile_count, tile->tensors, tile->outside);
    BfmPlanTile plan = {.code = packing->kernel->code_count++, .tile_count = tile->tile_count, .outer_count = code->outer_count};
    code_add(writer, code, -1);
    for (int t = 0; t < tile->tile_count; t++)
        plan.tiles[t] = tile->tiles[t];
    BFM_ASSERT(code->outer_count <= BFM_STREAM_BATCHES);
    for (int o = 0; o < code->outer_count; o++)
        plan.outer[o] = tile->batch_of[code->outer[o]];
    return plan;
}

static void record_pack(const Packing *packing, BfmRecordKind kind);

static void parts_pack(const Packing *packing, const RecordField *field, const char *from, int count)
{
    const RecordRow *row = record_row(field->record);
    for (int i = 0; i < count; i++)
        record_pack(&(Packing){packing->writer, packing->kernel, from + (size_t)i * row->bytes, packing->to + field->plan_at + (size_t)i * row->plan_bytes}, field->record);
}

static void field_pack(const Packing *packing, const RecordField *field)
{
    const char *at = packing->from + field->at;
    const bool counted = field->kind == BFM_FIELD_DIMS || field->kind == BFM_FIELD_PARTS || field->kind == BFM_FIELD_LIST;
    const int count = counted ? int_from(packing, field->count_at) : 1;
    float number;
    BfmPlanTile tile;
    if (counted)
        int_to(packing, field->plan_count, count);
    switch (field->kind) {
    case BFM_FIELD_BUFFER: int_to(packing, field->plan_at, buffer_of(packing->writer, int_from(packing, field->at))); break;
    case BFM_FIELD_DIM:
    case BFM_FIELD_MAY_DIM: dims_pack(packing, field, 1, 1); break;
    case BFM_FIELD_DIMS: dims_pack(packing, field, field->most, count); break;
    case BFM_FIELD_MAY_DIMS: dims_pack(packing, field, field->most, field->most); break;
    case BFM_FIELD_ENUM:
    case BFM_FIELD_BITS: int_to(packing, field->plan_at, int_from(packing, field->at)); break;
    case BFM_FIELD_FLAG: int_to(packing, field->plan_at, *(const bool *)at); break;
    case BFM_FIELD_REAL:
        number = (float)*(const double *)(const void *)at;
        memcpy(packing->to + field->plan_at, &number, sizeof number);
        break;
    case BFM_FIELD_VALUE: memcpy(packing->to + field->plan_at, at, sizeof(double)); break;
    case BFM_FIELD_PART:
    case BFM_FIELD_PARTS: parts_pack(packing, field, at, count); break;
    case BFM_FIELD_LIST: parts_pack(packing, field, *(const char *const *)(const void *)at, count); break;
    case BFM_FIELD_EARLIER: memcpy(packing->to + field->plan_at, at, (size_t)field->most * sizeof(int32_t)); break;
    case BFM_FIELD_CODE:
        tile = tile_pack(packing, (const StreamTile *)(const void *)at);
        memcpy(packing->to + field->plan_at, &tile, sizeof tile);
        break;
    case BFM_FIELD_END: break;
    }
}

static void record_pack(const Packing *packing, BfmRecordKind kind)
{
    for (const RecordField *field = record_row(kind)->fields; field->kind != BFM_FIELD_END; field++)
        field_pack(packing, field);
}

/* Bytes of the record in a plan, with the lists behind it. */
static size_t record_bytes(BfmRecordKind kind, const char *record)
{
    const RecordRow *row = record_row(kind);
    size_t bytes = row->plan_bytes;
    for (const RecordField *field = row->fields; field->kind != BFM_FIELD_END; field++)
        if (field->kind == BFM_FIELD_LIST)
            bytes += (size_t) * (const int *)(const void *)(record + field->count_at) * record_row(field->record)->plan_bytes;
    return bytes;
}

typedef struct Written {
    Writer *writer;
    BfmPlanKernel *kernel; /* gets what is written as results; NULL: only the first is wanted */
    int first;
} Written;

static void written_visit(void *user, int tensor, bool write)
{
    Written *written = user;
    if (!write)
        return;
    written->first = written->first < 0 ? tensor : written->first;
    if (written->kernel != NULL)
        result_add(written->writer, written->kernel, tensor);
}

static void write_record(Writer *writer, const Step *step)
{
    const BfmRecordKind kind = kernel_row(step->kind)->record;
    Written written = {.writer = writer, .first = -1};
    step_visit(writer->schedule, step, written_visit, &written);
    BfmPlanKernel kernel = kernel_begin(writer, step, written.first);
    const size_t bytes = record_bytes(kind, step->record);
    char *record = arena_alloc_array(writer->arena, bytes, 1);
    record_pack(&(Packing){writer, &kernel, step->record, record}, kind);
    kernel.record = record_add(writer, record, bytes);
    kernel.results = writer->ints.count, written.kernel = &kernel;
    step_visit(writer->schedule, step, written_visit, &written);
    kernel.fill = step->clear ? BFM_FILL_ZERO : BFM_FILL_NONE;
    kernel.fill_buffer = buffer_of(writer, written.first);
    vec_push(&writer->kernels, kernel);
}

/* ---- ports and lives ------------------------------------------------------------------------------------------------------ */

static BfmPlanPort port_of(Writer *writer, int tensor, const char *name, int32_t kind)
{
    const Tensor *shape = &writer->unit->tensors[tensor];
    BfmPlanPort port = {.name = text_of(writer, name),
                        .kind = kind,
                        .merge = BFM_MERGE_NONE,
                        .buffer = buffer_of(writer, tensor),
                        .formal = -1,
                        .rank = shape->rank,
                        .bound = slot_or_none(writer, shape->bound)};
    port.shape = writer->ints.count;
    for (int i = 0; i < shape->rank; i++) {
        int32_t slot = slot_of(writer, shape->extent[i]);
        vec_push(&writer->ints, slot);
    }
    return port;
}

static void write_formals(Writer *writer, const Symbol *names)
{
    for (int f = 0; f < writer->unit->formal_count; f++) {
        int tensor = writer->unit->formals[f];
        TensorRole role = writer->unit->tensors[tensor].role;
        int32_t kind = role == TENSOR_PARAM ? BFM_PORT_PARAM : role == TENSOR_STATE ? BFM_PORT_STATE : BFM_PORT_INPUT;
        BfmPlanPort port = port_of(writer, tensor, names != NULL && names[f] != NULL ? names[f] : writer->unit->tensors[tensor].name, kind);
        writer->buffers.items[port.buffer].role = BFM_BUFFER_FORMAL;
        vec_push(&writer->formals, port);
    }
}

static void write_outputs(Writer *writer)
{
    static const int32_t kinds[] = {[OUTPUT_RESULT] = BFM_OUTPUT_RESULT, [OUTPUT_LOSS] = BFM_OUTPUT_LOSS,   [OUTPUT_METRIC] = BFM_OUTPUT_METRIC,
                                    [OUTPUT_NEXT] = BFM_OUTPUT_NEXT,     [OUTPUT_SAVED] = BFM_OUTPUT_SAVED, [OUTPUT_GRAD] = BFM_OUTPUT_GRAD};
    static const int32_t merges[] = {[MERGE_NONE] = BFM_MERGE_NONE, [MERGE_MEAN] = BFM_MERGE_MEAN, [MERGE_SUM] = BFM_MERGE_SUM, [MERGE_MAX] = BFM_MERGE_MAX};
    for (int o = 0; o < writer->unit->output_count; o++) {
        const Output *output = &writer->unit->outputs[o];
        BfmPlanPort port = port_of(writer, output->tensor, output->name, kinds[output->kind]);
        port.merge = merges[output->merge];
        port.formal = output->formal;
        BfmPlanBuffer *buffer = &writer->buffers.items[port.buffer];
        if (buffer->role == BFM_BUFFER_TEMPORARY)
            buffer->role = BFM_BUFFER_OUTPUT;
        vec_push(&writer->outputs, port);
    }
}

static uint32_t symbols_of(Dim dim)
{
    uint32_t symbols = 0;
    for (int i = 0; i < DIM_SYMBOLS; i++)
        symbols |= dim_uses(dim, i) ? (uint32_t)1 << i : 0;
    return symbols;
}

static void write_needs(Writer *writer)
{
    const Program *program = writer->unit->program;
    for (int i = 0; i < program->need_count; i++) {
        const SizeNeed *need = &program->needs[i];
        const BfmPlanNeed plan = {.value = slot_of(writer, need->value), .symbols = symbols_of(need->value), .text = text_of(writer, need->text)};
        vec_push(&writer->needs, plan);
    }
}

typedef struct Life {
    Writer *writer;
    int step;
} Life;

static void life_extend(void *user, int tensor, bool write)
{
    Life *life = user;
    BfmPlanBuffer *buffer = &life->writer->buffers.items[buffer_of(life->writer, tensor)];
    (void)write;
    if (buffer->first < 0)
        buffer->first = life->step;
    buffer->last = life->step;
}

/* Outputs live to the end: they are read after the run. */
static void write_lives(Writer *writer)
{
    for (int s = 0; s < writer->schedule->step_count; s++) {
        Life life = {writer, s};
        step_visit(writer->schedule, &writer->schedule->steps[s], life_extend, &life);
    }
    for (int b = 0; b < writer->buffers.count; b++) {
        BfmPlanBuffer *buffer = &writer->buffers.items[b];
        if (buffer->role == BFM_BUFFER_OUTPUT && buffer->first >= 0)
            buffer->last = writer->schedule->step_count;
    }
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------ */

static BfmSection section_add(Str *out, const void *items, int count, size_t size)
{
    while ((out->length & 7) != 0)
        str_push(out, '\0');
    BfmSection section = {out->length, (uint64_t)count};
    if (count > 0)
        str_append_n(out, items, (size_t)count * size);
    return section;
}

#define SECTION(out, vec) section_add((out), (vec).items, (vec).count, sizeof *(vec).items)

static const BfmPlan *plan_assemble(Writer *writer, size_t *size)
{
    BfmPlan plan = {.magic = BFM_PLAN_MAGIC, .version = BFM_PLAN_VERSION, .header_bytes = sizeof plan};
    memcpy(plan.most, writer->unit->program->most, sizeof plan.most);
    VEC(uint32_t) names = {0};
    for (int i = 0; i < writer->functions.count; i++)
        vec_push(&names, text_of(writer, writer->functions.items[i]));
    Str bytes = {0};
    VEC(BfmPlanDim) dims = {0};
    DimCode code = {0};
    for (int i = 0; i < writer->dims.count; i++) {
        BfmPlanDim dim = {.code = code.count};
        dim_encode(writer->dims.items[i], &code);
        dim.count = code.count - dim.code;
        vec_push(&dims, dim);
    }
    str_append_n(&bytes, (const char *)&plan, sizeof plan);
    plan.dims = SECTION(&bytes, dims);
    plan.dim_code = SECTION(&bytes, code);
    plan.functions = SECTION(&bytes, names);
    plan.buffers = SECTION(&bytes, writer->buffers);
    plan.codes = SECTION(&bytes, writer->codes);
    plan.kernels = SECTION(&bytes, writer->kernels);
    plan.formals = SECTION(&bytes, writer->formals);
    plan.outputs = SECTION(&bytes, writer->outputs);
    plan.ints = SECTION(&bytes, writer->ints);
    plan.streams = SECTION(&bytes, writer->streams);
    plan.needs = SECTION(&bytes, writer->needs);
    plan.text = section_add(&bytes, writer->text.text, (int)writer->text.length, 1);
    plan.bytes = bytes.length;
    plan.hash = hash_bytes(bytes.text + sizeof plan, bytes.length - sizeof plan, writer->hash);
    memcpy(bytes.text, &plan, sizeof plan);
    *size = bytes.length;
    const BfmPlan *result = arena_memdup(writer->arena, bytes.text, bytes.length);
    str_free(&bytes);
    vec_free(&names), vec_free(&dims), vec_free(&code);
    return result;
}

static void writer_free(Writer *writer)
{
    vec_free(&writer->functions), vec_free(&writer->dims), vec_free(&writer->buffers), vec_free(&writer->codes), vec_free(&writer->kernels);
    vec_free(&writer->formals), vec_free(&writer->outputs), vec_free(&writer->needs), vec_free(&writer->ints), vec_free(&writer->streams);
    pointer_map_free(&writer->slots), pointer_map_free(&writer->numbers);
    str_free(&writer->text);
}

const BfmPlan *plan_write(Arena *arena, const Schedule *schedule, Codegen *codegen, const Symbol *formal_names, size_t *size)
{
    Writer writer = {.arena = arena, .schedule = schedule, .unit = schedule->unit, .dim_table = schedule->unit->program->dims, .codegen = codegen};
    writer.buffer_of = ARENA_ARRAY(arena, int, schedule->unit->tensor_count + 1);
    for (int t = 0; t < schedule->unit->tensor_count; t++)
        writer.buffer_of[t] = -1;
    write_formals(&writer, formal_names);
    for (int s = 0; s < schedule->step_count; s++) {
        const Step *step = &schedule->steps[s];
        if (kernel_row(step->kind)->record == BFM_RECORD_None)
            write_map(&writer, step);
        else
            write_record(&writer, step);
    }
    write_outputs(&writer);
    write_lives(&writer);
    write_needs(&writer);
    const BfmPlan *plan = plan_assemble(&writer, size);
    writer_free(&writer);
    return plan;
}
