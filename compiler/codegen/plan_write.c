#include "codegen/plan_write.h"

#include "ir/dim_code.h"
#include "opt/opt.h"
#include "schedule/stream.h"
#include "support/bug.h"
#include "support/hash.h"
#include "support/pointer_map.h"
#include "support/vec.h"

#include <string.h>

_Static_assert((int)BFM_SCALAR_KINDS == (int)EXPR_COUNT, "expressions and scalars are rows of one table");
_Static_assert((int)BFM_PLAN_SYMBOLS == (int)DIM_SYMBOLS, "a plan is bound to the symbols of dimensions");

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

static BfmPlanKernel kernel_begin(Writer *writer, const Step *step, BfmKernelKind kind, int out)
{
    const char *name = out >= 0 ? writer->unit->tensors[out].name : NULL;
    return (BfmPlanKernel){.label = text_of(writer, name),
                           .kind = (int32_t)kind,
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

static BfmFill fill_of(KernelFill fill)
{
    switch (fill) {
    case FILL_NONE: return BFM_FILL_NONE;
    case FILL_ZERO: return BFM_FILL_ZERO;
    case FILL_LOW: return BFM_FILL_LOW;
    case FILL_HIGH: return BFM_FILL_HIGH;
    case FILL_NO_INDEX: return BFM_FILL_NO_INDEX;
    }
    BFM_BUG("fill %d", (int)fill);
}

/* MAP, SCORES: one generated function over its parallel range. */
static void write_map(Writer *writer, const Step *step, const KernelCode *code, int out)
{
    const Op *op = &writer->unit->ops[step->op];
    BfmPlanKernel kernel = kernel_begin(writer, step, BFM_KERNEL_MAP, out);
    kernel.codes = code_add(writer, code, out), kernel.code_count = 1;
    kernel.results = writer->ints.count;
    if (step->kind == STEP_MAP)
        result_add(writer, &kernel, out); /* scores may hold what is no number */
    Dim points = dim_int(writer->dim_table, 1);
    for (int i = 0; i < code->parallel_count; i++)
        points = dim_mul(writer->dim_table, points, op->indices[code->parallel[i]].extent);
    kernel.parallel = code->parallel_count > 0 ? slot_of(writer, points) : -1;
    kernel.grain = code->grain;
    kernel.fill = extended_by(writer, out) >= 0 ? BFM_FILL_NONE : (int32_t)fill_of(code->fill);
    kernel.fill_buffer = buffer_of(writer, out);
    vec_push(&writer->kernels, kernel);
}

static BfmPlanAxis axis_plan(Writer *writer, const GemmAxis *axis)
{
    return (BfmPlanAxis){.extent = slot_or_none(writer, axis->extent),
                         .a = slot_or_none(writer, axis->stride[GEMM_A]),
                         .b = slot_or_none(writer, axis->stride[GEMM_B]),
                         .c = slot_or_none(writer, axis->stride[GEMM_C]),
                         .a_rows = slot_or_none(writer, axis->stride[GEMM_A_ROWS]),
                         .b_rows = slot_or_none(writer, axis->stride[GEMM_B_ROWS])};
}

static BfmGemmForm form_of(GemmForm form)
{
    switch (form) {
    case GEMM_PLAIN: return BFM_GEMM_PLAIN;
    case GEMM_BY_KEY: return BFM_GEMM_BY_KEY;
    case GEMM_INTO_KEY: return BFM_GEMM_INTO_KEY;
    }
    BFM_BUG("form %d", (int)form);
}

static int32_t band_of(GemmBandAxes axes)
{
    switch (axes) {
    case GEMM_NO_BAND: return BFM_BAND_NONE;
    case GEMM_K_BY_M: return BFM_BAND_K_BY_M;
    case GEMM_K_BY_N: return BFM_BAND_K_BY_N;
    case GEMM_N_BY_M: return BFM_BAND_N_BY_M;
    }
    BFM_BUG("band %d", (int)axes);
}

static void write_gemm(Writer *writer, const Step *step)
{
    const GemmStep *gemm = step->gemm;
    BfmPlanGemm plan = {.form = (int32_t)form_of(gemm->form),
                        .a = buffer_of(writer, gemm->a),
                        .b = buffer_of(writer, gemm->b),
                        .c = buffer_of(writer, gemm->c),
                        .a_base = slot_or_none(writer, gemm->a_base),
                        .b_base = slot_or_none(writer, gemm->b_base),
                        .c_base = slot_or_none(writer, gemm->c_base),
                        .m = axis_plan(writer, &gemm->m),
                        .n = axis_plan(writer, &gemm->n),
                        .k = axis_plan(writer, &gemm->k),
                        .batch_count = gemm->batch_count,
                        .alpha = (float)gemm->alpha,
                        .accumulate = gemm->accumulate,
                        .addend = buffer_of(writer, gemm->addend),
                        .a_rows = buffer_of(writer, gemm->a_rows),
                        .b_rows = buffer_of(writer, gemm->b_rows),
                        .a_row = slot_or_none(writer, gemm->a_row),
                        .b_row = slot_or_none(writer, gemm->b_row),
                        .a_rows_on_k = gemm->a_rows_on_k,
                        .perm = buffer_of(writer, gemm->perm),
                        .offsets = buffer_of(writer, gemm->offsets),
                        .key_count = slot_or_none(writer, gemm->key_count),
                        .key_stride = slot_or_none(writer, gemm->key_stride),
                        .band = band_of(gemm->band.axes),
                        .ahead = slot_or_none(writer, gemm->band.ahead),
                        .behind = slot_or_none(writer, gemm->band.behind)};
    for (int i = 0; i < gemm->batch_count; i++)
        plan.batch[i] = axis_plan(writer, &gemm->batch[i]);
    BfmPlanKernel kernel = kernel_begin(writer, step, BFM_KERNEL_GEMM, gemm->c);
    result_add(writer, &kernel, gemm->c);
    kernel.record = record_add(writer, &plan, sizeof plan);
    kernel.fill = gemm->clear ? BFM_FILL_ZERO : BFM_FILL_NONE;
    kernel.fill_buffer = plan.c;
    vec_push(&writer->kernels, kernel);
}

static void write_order(Writer *writer, const Step *step)
{
    const OrderStep *order = step->order;
    BfmPlanOrder plan = {.keys = buffer_of(writer, order->keys),
                         .perm = buffer_of(writer, order->perm),
                         .offsets = buffer_of(writer, order->offsets),
                         .count = slot_of(writer, order->count),
                         .key_count = slot_of(writer, order->key_count)};
    BfmPlanKernel kernel = kernel_begin(writer, step, BFM_KERNEL_ORDER, order->perm);
    kernel.record = record_add(writer, &plan, sizeof plan);
    vec_push(&writer->kernels, kernel);
}

static void write_top(Writer *writer, const Step *step)
{
    const TopStep *top = step->top;
    BfmPlanTop plan = {.values = buffer_of(writer, top->values),
                       .out = buffer_of(writer, top->out),
                       .outer = slot_of(writer, top->outer),
                       .n = slot_of(writer, top->n),
                       .k = slot_of(writer, top->k)};
    BfmPlanKernel kernel = kernel_begin(writer, step, BFM_KERNEL_TOP, top->out);
    kernel.record = record_add(writer, &plan, sizeof plan);
    vec_push(&writer->kernels, kernel);
}

/* ---- scalars -------------------------------------------------------------------------------------------------------------- */

static void write_scalar(Writer *writer, const Step *step)
{
    const Op *op = &writer->unit->ops[step->op];
    const int out = op->out.tensor;
    BfmPlanKernel kernel = kernel_begin(writer, step, BFM_KERNEL_SCALAR, out);
    result_add(writer, &kernel, out);
    const BfmPlanScalar plan = {.out = buffer_of(writer, out), .count = op->body + 1}; /* operands stand before users */
    kernel.record = record_add(writer, &plan, sizeof plan);
    for (int id = 0; id <= op->body; id++) {
        const Expr *e = &op->exprs[id];
        BfmPlanScalarNode node = {.kind = (int32_t)e->kind, .arg = {-1, -1, -1}};
        for (int k = 0; k < scalar_arity(e->kind); k++)
            node.arg[k] = e->arg[k];
        if (e->kind == EXPR_READ)
            node.arg[0] = buffer_of(writer, e->access.tensor);
        if (e->kind == EXPR_CONST)
            memcpy(node.value, &e->value, sizeof node.value);
        (void)record_add(writer, &node, sizeof node);
    }
    writer->hash = hash_text("scalar", writer->hash);
    vec_push(&writer->kernels, kernel);
}

/* ---- streams -------------------------------------------------------------------------------------------------------------- */

static BfmPlanStreamOperand stream_operand(Writer *writer, const StreamOperand *operand)
{
    BfmPlanStreamOperand plan = {.buffer = operand->tensor < 0 ? -1 : buffer_of(writer, operand->tensor),
                                 .base = slot_or_none(writer, operand->base),
                                 .step = slot_or_none(writer, operand->step),
                                 .inner = slot_or_none(writer, operand->inner)};
    for (int i = 0; i < STREAM_BATCHES; i++)
        plan.batch[i] = slot_or_none(writer, operand->batch[i]);
    return plan;
}

static BfmPlanStreamUse stream_use(Writer *writer, const StreamUse *use)
{
    return (BfmPlanStreamUse){stream_operand(writer, &use->operand), stream_operand(writer, &use->out), slot_of(writer, use->width), (float)use->alpha};
}

static BfmPlanTile stream_tile(Writer *writer, const StreamTile *tile, const KernelCode *code, BfmPlanKernel *kernel)
{
    BfmPlanTile plan = {.code = kernel->code_count++, .tile_count = tile->tile_count, .outer_count = code->outer_count};
    code_add(writer, code, -1);
    for (int t = 0; t < tile->tile_count; t++)
        plan.tiles[t] = tile->tiles[t];
    BFM_ASSERT(code->outer_count <= BFM_STREAM_BATCHES);
    for (int o = 0; o < code->outer_count; o++)
        plan.outer[o] = tile->batch_of[code->outer[o]];
    return plan;
}

static BfmPlanTile stream_function(Writer *writer, const StreamTile *tile, BfmPlanKernel *kernel)
{
    if (tile->op < 0)
        return (BfmPlanTile){.code = -1};
    return stream_tile(writer, tile,
                       codegen_tile(writer->codegen, writer->unit, &writer->unit->ops[tile->op], tile->row, tile->col, tile->tile_count, tile->tensors, tile->outside), kernel);
}

static int32_t sink_source(SinkSource source)
{
    switch (source) {
    case SINK_OF_RAW: return BFM_SINK_OF_RAW;
    case SINK_OF_SCORE: return BFM_SINK_OF_SCORE;
    case SINK_OF_PROBABILITY: return BFM_SINK_OF_PROBABILITY;
    }
    BFM_BUG("source %d", (int)source);
}

static int32_t total_along(TotalAlong along)
{
    switch (along) {
    case TOTAL_NEITHER: return BFM_TOTAL_NEITHER;
    case TOTAL_ROWS: return BFM_TOTAL_ROWS;
    case TOTAL_COLUMNS: return BFM_TOTAL_COLUMNS;
    case TOTAL_DIFFERENCES: return BFM_TOTAL_DIFFERENCES;
    case TOTAL_BOTH: return BFM_TOTAL_BOTH;
    }
    BFM_BUG("along %d", (int)along);
}

static BfmPlanStream stream_plan(Writer *writer, const StreamStep *stream, BfmPlanKernel *kernel)
{
    BfmPlanStream plan = {.batch_count = stream->batch_count,
                          .rows = slot_of(writer, stream->rows),
                          .cols = slot_of(writer, stream->cols),
                          .depth = slot_of(writer, stream->depth),
                          .alpha = (float)stream->alpha,
                          .q = stream_operand(writer, &stream->q),
                          .k = stream_operand(writer, &stream->k),
                          .row_max = stream_operand(writer, &stream->row_max),
                          .row_log = stream_operand(writer, &stream->row_log),
                          .use_count = stream->use_count,
                          .pick_count = stream->pick_count,
                          .slope_count = stream->slope_count,
                          .sink_count = stream->sink_count,
                          .total_count = stream->total_count};
    for (int i = 0; i < stream->batch_count; i++)
        plan.batch[i] = slot_of(writer, stream->batch[i]);
    plan.score = stream_function(writer, &stream->score, kernel);
    plan.score_grad = stream_function(writer, &stream->score_grad, kernel);
    plan.raw_grad = stream_function(writer, &stream->raw_grad, kernel);
    plan.range.code = -1;
    if (stream->ranged) {
        const StreamTile *score = &stream->score;
        plan.range = stream_tile(writer, score, codegen_range(writer->codegen, writer->unit, &writer->unit->ops[score->op], score->row, score->col), kernel);
    }
    for (int i = 0; i < stream->use_count; i++)
        plan.uses[i] = stream_use(writer, &stream->uses[i]);
    for (int i = 0; i < stream->pick_count; i++)
        plan.picks[i] = (BfmPlanStreamPick){stream_operand(writer, &stream->picks[i].target), stream_operand(writer, &stream->picks[i].out)};
    for (int i = 0; i < stream->slope_count; i++)
        plan.slopes[i] = stream_use(writer, &stream->slopes[i]);
    for (int i = 0; i < stream->sink_count; i++) {
        const StreamSink *sink = &stream->sinks[i];
        plan.sinks[i] =
            (BfmPlanStreamSink){sink_source(sink->source),    sink->by_column,   (int32_t)sink->kept, stream_operand(writer, &sink->operand), stream_operand(writer, &sink->out),
                                slot_of(writer, sink->width), (float)sink->alpha};
    }
    for (int i = 0; i < stream->total_count; i++) {
        const StreamTotal *total = &stream->totals[i];
        plan.totals[i] =
            (BfmPlanStreamTotal){stream_function(writer, &total->value, kernel), total->tile, total_along(total->along), (int32_t)total->kept, stream_operand(writer, &total->out)};
    }
    return plan;
}

static void write_stream(Writer *writer, const Step *step)
{
    const StreamStep *stream = step->stream;
    bool forward = step->kind == STEP_STREAM;
    int first = forward ? stream->row_max.tensor : stream->sink_count > 0 ? stream->sinks[0].out.tensor : stream->total_count > 0 ? stream->totals[0].out.tensor : -1;
    BfmPlanKernel kernel = kernel_begin(writer, step, forward ? BFM_KERNEL_STREAM : BFM_KERNEL_STREAM_GRAD, first);
    kernel.codes = writer->codes.count;
    BfmPlanStream plan = stream_plan(writer, stream, &kernel);
    kernel.results = writer->ints.count;
    if (forward)
        result_add(writer, &kernel, stream->row_max.tensor), result_add(writer, &kernel, stream->row_log.tensor);
    for (int i = 0; i < stream->use_count; i++)
        result_add(writer, &kernel, stream->uses[i].out.tensor);
    for (int i = 0; i < stream->pick_count; i++)
        result_add(writer, &kernel, stream->picks[i].out.tensor);
    for (int i = 0; i < stream->sink_count; i++)
        result_add(writer, &kernel, stream->sinks[i].out.tensor);
    for (int i = 0; i < stream->total_count; i++)
        result_add(writer, &kernel, stream->totals[i].out.tensor);
    kernel.record = record_add(writer, &plan, sizeof plan);
    vec_push(&writer->kernels, kernel);
}

static void write_step(Writer *writer, const Step *step)
{
    const Unit *unit = writer->unit;
    switch (step->kind) {
    case STEP_MAP:
        if (opt_is_scalar(unit, &unit->ops[step->op]))
            write_scalar(writer, step);
        else
            write_map(writer, step, codegen_nest(writer->codegen, unit, &unit->ops[step->op]), unit->ops[step->op].out.tensor);
        break;
    case STEP_SCORES: write_map(writer, step, codegen_scores(writer->codegen, unit, &unit->ops[step->op]), step->top->values); break;
    case STEP_TOP: write_top(writer, step); break;
    case STEP_GEMM: write_gemm(writer, step); break;
    case STEP_ORDER: write_order(writer, step); break;
    case STEP_STREAM:
    case STEP_STREAM_GRAD: write_stream(writer, step); break;
    }
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
    for (int s = 0; s < schedule->step_count; s++)
        write_step(&writer, &schedule->steps[s]);
    write_outputs(&writer);
    write_lives(&writer);
    write_needs(&writer);
    const BfmPlan *plan = plan_assemble(&writer, size);
    writer_free(&writer);
    return plan;
}
