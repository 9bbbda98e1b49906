#include "schedule/schedule.h"

#include "opt/passes.h"
#include "ir/rewrite.h"
#include "schedule/schedule_internal.h"
#include "support/bug.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A reduction that large, by usual sizes, of so many points to one, had better be a product. */
enum { SLOW_FACTOR = 64, SLOW_POINTS = 1 << 27 };

/* ---- sizes and index sets ------------------------------------------------------------------------------------------------- */

Dim op_points(Program *program, const Op *op)
{
    Dim points = dim_int(program->dims, 1);
    for (int i = 0; i < op->index_count; i++)
        points = dim_mul(program->dims, points, op->indices[i].extent);
    return points;
}

Dim tensor_dim(Program *program, const Tensor *tensor)
{
    Dim elements = dim_int(program->dims, 1);
    for (int i = 0; i < tensor->rank; i++)
        elements = dim_mul(program->dims, elements, tensor->extent[i]);
    return elements;
}

double dim_nominal(Dim dim)
{
    static const DimEnv usual = {{8, 512, 511, 512, 64, 256, 256, 64, 64, 64, 64, 64}};
    return (double)dim_eval(dim, &usual);
}

IndexSet affine_indices(Affine affine)
{
    IndexSet set = 0;
    for (int t = 0; t < affine.count; t++)
        set |= index_bit(affine.terms[t].index);
    return set;
}

IndexSet access_indices_used(const Access *access)
{
    IndexSet set = 0;
    for (int s = 0; s < access->count; s++) {
        set |= access->subs[s].read != NULL ? access_indices_used(access->subs[s].read) : affine_indices(access->subs[s].affine);
    }
    return set;
}

IndexSet expr_indices(const Op *op, int expr)
{
    const Expr *node = &op->exprs[expr];
    IndexSet set = 0;
    if (node->kind == EXPR_POS)
        set |= index_bit(node->index);
    if (node->kind == EXPR_READ || node->kind == EXPR_DRAW)
        set |= access_indices_used(&node->access);
    for (int a = 0; a < scalar_arity(node->kind); a++)
        set |= expr_indices(op, node->arg[a]);
    return set;
}

Symbol tensor_label(Scheduler *scheduler, int tensor, const char *suffix)
{
    Symbol name = scheduler->unit->tensors[tensor].name;
    return intern(scheduler->program->interner, arena_printf(scheduler->arena, "%s%s", name != NULL ? name : "t", suffix));
}

/* ---- steps ---------------------------------------------------------------------------------------------------------------- */

static void *array_grown(Scheduler *scheduler, void *items, int count, int *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    *capacity = *capacity == 0 ? 32 : 2 * *capacity;
    char *grown = arena_alloc_array(scheduler->arena, (size_t)*capacity, size);
    if (count > 0)
        memcpy(grown, items, (size_t)count * size);
    return grown;
}

int step_add(Scheduler *scheduler, Step step)
{
    Schedule *schedule = scheduler->schedule;
    schedule->steps = array_grown(scheduler, schedule->steps, schedule->step_count, &schedule->step_capacity, sizeof *schedule->steps);
    schedule->steps[schedule->step_count] = step;
    return schedule->step_count++;
}

void step_note(Scheduler *scheduler, int tensor, bool slow, const char *format, ...)
{
    Schedule *schedule = scheduler->schedule;
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    schedule->notes = array_grown(scheduler, schedule->notes, schedule->note_count, &schedule->note_capacity, sizeof *schedule->notes);
    schedule->notes[schedule->note_count++] = (StepNote){.tensor = tensor, .slow = slow, .text = arena_strdup(scheduler->arena, text)};
}

typedef struct Traffic {
    Scheduler *scheduler;
    Dim bytes;
} Traffic;

static void traffic_add(void *user, int tensor, bool write)
{
    Traffic *traffic = user;
    DimTable *dims = traffic->scheduler->program->dims;
    (void)write;
    Dim elements = tensor_dim(traffic->scheduler->program, &traffic->scheduler->unit->tensors[tensor]);
    traffic->bytes = dim_add(dims, traffic->bytes, dim_mul(dims, dim_int(dims, 4), elements));
}

static Dim op_flops(Scheduler *scheduler, const Op *op)
{
    double each = op->reducer == REDUCE_SET ? 0 : 1;
    for (int e = 0; e < op->expr_count; e++)
        each += scalar_flops(op->exprs[e].kind);
    return dim_mul(scheduler->program->dims, op_points(scheduler->program, op), dim_int(scheduler->program->dims, (int64_t)each));
}

/* The expressions of an operation whose operands are single numbers; operands stand before users. */
static Scalar *scalar_record(Scheduler *scheduler, const Op *op)
{
    Scalar *scalar = ARENA_NEW(scheduler->arena, Scalar);
    *scalar = (Scalar){.out = op->out.tensor, .count = op->body + 1, .nodes = ARENA_ARRAY(scheduler->arena, ScalarNode, op->body + 1)};
    for (int id = 0; id <= op->body; id++) {
        const Expr *e = &op->exprs[id];
        BFM_ASSERT(scalar_arity(e->kind) > 0 || e->kind == EXPR_CONST || e->kind == EXPR_READ);
        ScalarNode *node = &scalar->nodes[id];
        *node = (ScalarNode){.kind = (BfmScalarKind)e->kind, .tensor = e->kind == EXPR_READ ? e->access.tensor : -1, .arg = {-1, -1, -1}, .value = e->value};
        for (int k = 0; k < scalar_arity(e->kind); k++)
            node->arg[k] = e->arg[k];
    }
    return scalar;
}

void schedule_map(Scheduler *scheduler, int position, const char *reason)
{
    const Op *op = &scheduler->unit->ops[position];
    const bool scalar = opt_is_scalar(scheduler->unit, op);
    Step step = {.kind = scalar ? BFM_KERNEL_SCALAR : BFM_KERNEL_MAP, .op = position, .out = op->out.tensor, .reason = reason, .flops = op_flops(scheduler, op)};
    step.record = scalar ? scalar_record(scheduler, op) : NULL;
    Traffic traffic = {scheduler, dim_int(scheduler->program->dims, 0)};
    step_visit(scheduler->schedule, &step, traffic_add, &traffic);
    step.bytes = traffic.bytes;
    step_add(scheduler, step);
}

/* The ranking with its outer indices in the order in which the result has them; itself if they are. */
static int top_in_order(Scheduler *scheduler, int position)
{
    const Op op = scheduler->unit->ops[position];
    int order[SCHEDULE_INDEX_MAX], outer = op.index_count - op.reduced;
    bool bare = access_bare(&op.out, order), same = true;
    BFM_ASSERT(bare && op.out.count == outer);
    for (int i = 0; i < op.index_count; i++) {
        order[i] = i < outer ? order[i] : i;
        same = same && order[i] == i;
    }
    if (same)
        return position;
    OpBuilder builder = op_begin(scheduler->unit, OP_TOP);
    IndexBy *by = ARENA_ARRAY(scheduler->arena, IndexBy, op.index_count + 1);
    for (int i = 0; i < op.index_count; i++) {
        int index = op_index(&builder, op.indices[order[i]].name, op.indices[order[i]].extent);
        by[order[i]] = (IndexBy){affine_index(scheduler->program, index), NULL, 1};
    }
    Rewrite rewrite = rewrite_begin(&builder, scheduler->unit, &op, by, NULL, NULL);
    rewrite_domain(&rewrite);
    builder.op.body = rewrite_expr(&rewrite, op.body);
    builder.op.out = rewrite_access(&rewrite, &op.out);
    builder.op.reduced = op.reduced, builder.op.top_k = op.top_k, builder.op.span = op.span;
    return op_finish(&builder);
}

/* Scores of every candidate, row-major over the operation's indices, then the ranking of each row. */
bool schedule_top(Scheduler *scheduler, int position)
{
    Program *program = scheduler->program;
    if (scheduler->unit->ops[position].kind != OP_TOP)
        return false;
    position = top_in_order(scheduler, position);
    Op *op = &scheduler->unit->ops[position];
    Dim one = dim_int(program->dims, 1), outer = one, n = one;
    int first = op->index_count - op->reduced;
    Dim *extents = ARENA_ARRAY(scheduler->arena, Dim, op->index_count + 1);
    for (int i = 0; i < op->index_count; i++) {
        extents[i] = op->indices[i].extent;
        if (i < first)
            outer = dim_mul(program->dims, outer, extents[i]);
        else
            n = dim_mul(program->dims, n, extents[i]);
    }
    Top *top = ARENA_NEW(scheduler->arena, Top);
    *top = (Top){.out = op->out.tensor, .outer = outer, .n = n, .k = op->top_k};
    top->values = unit_tensor(scheduler->unit, tensor_label(scheduler, op->out.tensor, ".scores"), T_REAL, TENSOR_LOCAL, op->index_count, extents, NULL);
    const Dim flops = op_flops(scheduler, &scheduler->unit->ops[position]);
    step_add(scheduler, (Step){.kind = BFM_KERNEL_MAP, .op = position, .out = top->values, .reason = "what a ranking compares", .flops = flops});
    step_add(scheduler, (Step){.kind = BFM_KERNEL_TOP, .op = position, .reason = "ranking: the largest of each row", .record = top, .flops = dim_mul(program->dims, outer, n)});
    return true;
}

/* The product that makes what a read of `tensor` at all indices of `op` sees, element-wise definitions on the way looked through: its operation, -1 for none. */
static int product_behind(const Scheduler *scheduler, const Op *op, int tensor)
{
    const int def = scheduler->unit->tensors[tensor].def;
    const Op *maker = def >= 0 ? &scheduler->unit->ops[def] : NULL;
    if (maker == NULL || maker->kind != OP_NEST || maker->index_count < op->index_count)
        return -1;
    int reads = 0, found = -1;
    for (int e = 0; e < maker->expr_count; e++) {
        const Expr *node = &maker->exprs[e];
        if (node->kind != EXPR_READ)
            continue;
        reads++;
        if (maker->reducer == REDUCE_SET && node->access.count == maker->index_count && found < 0)
            found = product_behind(scheduler, op, node->access.tensor);
    }
    return maker->reducer == REDUCE_SUM && maker->index_count > op->index_count && reads >= 2 ? def : found;
}

/* Says so where scores outgrow the operands that they are made of and are stored nevertheless: they are no stream. */
static void note_stored_scores(Scheduler *scheduler, int position)
{
    const Op *op = &scheduler->unit->ops[position];
    for (int e = 0; e < op->expr_count; e++) {
        const Access *read = &op->exprs[e].access;
        const int maker = op->exprs[e].kind == EXPR_READ && read->count == op->index_count ? product_behind(scheduler, op, read->tensor) : -1;
        if (maker < 0)
            continue;
        const Op *product = &scheduler->unit->ops[maker];
        double operands = 0;
        for (int k = 0; k < product->expr_count; k++)
            if (product->exprs[k].kind == EXPR_READ)
                operands += dim_nominal(tensor_dim(scheduler->program, &scheduler->unit->tensors[product->exprs[k].access.tensor]));
        if (dim_nominal(tensor_dim(scheduler->program, &scheduler->unit->tensors[product->out.tensor])) > operands)
            step_note(scheduler, product->out.tensor, true, "scores stored instead of streamed: something else reads them than exp(score − lse) and what is linear in it");
        return;
    }
}

/* Through generated code, point by point. */
static void schedule_points(Scheduler *scheduler, int position)
{
    const Op *op = &scheduler->unit->ops[position];
    const bool sum = op->kind == OP_NEST && op->reducer != REDUCE_SET;
    schedule_map(scheduler, position,
                 op->kind == OP_RECUR                 ? "recurrence"
                 : sum                                ? "reduction"
                 : opt_is_scalar(scheduler->unit, op) ? "one number, in double precision"
                                                      : "elementwise");
    op = &scheduler->unit->ops[position];
    if (op->kind == OP_NEST && op->reducer == REDUCE_SUM && op->exprs[op->body].kind == EXPR_EXP && op->group == 0)
        note_stored_scores(scheduler, position);
    const double points = dim_nominal(op_points(scheduler->program, op));
    if (sum && points > SLOW_FACTOR * dim_nominal(tensor_dim(scheduler->program, &scheduler->unit->tensors[op->out.tensor])) && points > SLOW_POINTS)
        step_note(scheduler, op->out.tensor, true, "summed point by point: its body is no product of two operands with rows and columns of their own");
}

void schedule_op(Scheduler *scheduler, int position)
{
    static bool (*const recognisers[])(Scheduler *, int) = {
#define BFM_KERNEL(name, record, kept, run, word, shown, listed, share, from) FROM_##from
#define FROM_OPERATION(what)                                                  schedule_##what,
#define FROM_GROUP(what)
#define FROM_ANOTHER
#include "bfm/kernels.def"
#undef FROM_OPERATION
#undef FROM_GROUP
#undef FROM_ANOTHER
    };
    const Op *op = &scheduler->unit->ops[position];
    BFM_ASSERT(op->kind != OP_CALL && op->index_count <= SCHEDULE_INDEX_MAX);
    for (size_t r = 0; r < sizeof recognisers / sizeof *recognisers; r++)
        if (recognisers[r](scheduler, position))
            return;
    schedule_points(scheduler, position);
}

/* ---- steps that nothing needs --------------------------------------------------------------------------------------------- */

typedef struct Need {
    bool *needed;
    bool wanted, reads;
} Need;

static void need_visit(void *user, int tensor, bool write)
{
    Need *need = user;
    if (write)
        need->wanted = need->wanted || need->needed[tensor];
    else if (need->reads)
        need->needed[tensor] = true;
}

/* An attempt at a structure may have stored operands before it failed. */
static void drop_dead_steps(Scheduler *scheduler)
{
    Schedule *schedule = scheduler->schedule;
    const Unit *unit = scheduler->unit;
    Need need = {.needed = ARENA_ARRAY(scheduler->arena, bool, unit->tensor_count + 1)};
    bool *kept = ARENA_ARRAY(scheduler->arena, bool, schedule->step_count + 1);
    int count = 0;
    for (int o = 0; o < unit->output_count; o++)
        need.needed[unit->outputs[o].tensor] = true;
    for (int s = schedule->step_count - 1; s >= 0; s--) {
        need.wanted = need.reads = false;
        step_visit(schedule, &schedule->steps[s], need_visit, &need);
        kept[s] = need.reads = need.wanted;
        if (kept[s])
            step_visit(schedule, &schedule->steps[s], need_visit, &need);
    }
    for (int s = 0; s < schedule->step_count; s++) {
        if (kept[s])
            schedule->steps[count++] = schedule->steps[s];
    }
    schedule->step_count = count;
    int notes = 0;
    for (int n = 0; n < schedule->note_count; n++) { /* notes on what was not stored after all go too */
        if (schedule->notes[n].tensor < 0 || need.needed[schedule->notes[n].tensor])
            schedule->notes[notes++] = schedule->notes[n];
    }
    schedule->note_count = notes;
}

/* ---- the steps of a unit -------------------------------------------------------------------------------------------------- */

Schedule *schedule_unit(Program *program, Unit *flat, const ScheduleOptions *options)
{
    static const ScheduleOptions plain = {0};
    Schedule *schedule = ARENA_NEW(program->arena, Schedule);
    (void)pass_run(PASS_split, flat, NULL);
    (void)pass_run(PASS_scalars, flat, NULL);
    schedule->unit = flat;
    Scheduler scheduler = {.program = program, .arena = program->arena, .unit = flat, .options = options != NULL ? options : &plain, .schedule = schedule};
    bool *done = ARENA_ARRAY(program->arena, bool, flat->op_count + 1);
    int original = flat->op_count;
    bool streams = !scheduler.options->ungrouped && !scheduler.options->no_streams;
    for (int i = 0; i < original; i++) {
        if (done[i])
            continue;
        int group = flat->ops[i].group;
        if (streams && group != 0 && schedule_stream(&scheduler, group - 1)) {
            for (int m = i; m < original; m++)
                done[m] |= flat->ops[m].group == group;
        } else {
            schedule_op(&scheduler, i);
        }
    }
    drop_dead_steps(&scheduler);
    schedule_accumulate(&scheduler);
    return schedule;
}
