/* Forwards in each unit: the formals on which a tensor depends with a derivative. Backwards in main: what a loss depends on so. */
#include "grad/reach.h"

#include "grad/internal.h"
#include "grad/same.h"

#include <string.h>

/* ---- one operation ---- */

/* What is told of each tensor that is read with a derivative. */
typedef struct Reader {
    const Unit *unit;
    void (*read)(void *user, int tensor);
    void *user;
} Reader;

static void read_term(void *user, const Op *op, int id);

static bool is_sum(ExprKind kind) { return kind == EXPR_ADD || kind == EXPR_SUB || kind == EXPR_MUL || kind == EXPR_DIV || kind == EXPR_POW || kind == EXPR_READ; }

/* Follows the derivative of expression `root` down to what is read. covered: part of a sum of products that has all its terms. */
static void read_expression(const Reader *reader, const Op *op, int root)
{
    if (root < 0)
        return;
    Arena *arena = reader->unit->program->arena;
    bool *alive = ARENA_ARRAY(arena, bool, op->expr_count + 1), *covered = ARENA_ARRAY(arena, bool, op->expr_count + 1);
    alive[root] = true;
    for (int id = root; id >= 0; id--) {
        const Expr *expr = &op->exprs[id];
        if (!alive[id] || expression_cancels(reader->unit, op, id))
            continue;
        const Shrinks shrinks = !is_sum(expr->kind) ? SHRINKS_UNKNOWN : covered[id] ? SHRINKS_NOT : expression_shrinks(reader->unit, op, id, read_term, (void *)reader);
        if (expr->kind == EXPR_READ && shrinks != SHRINKS)
            reader->read(reader->user, expr->access.tensor);
        for (int k = 0; shrinks != SHRINKS && k < scalar_arity(expr->kind); k++) {
            covered[expr->arg[k]] = covered[expr->arg[k]] || (shrinks == SHRINKS_NOT && expr->kind != EXPR_POW && (expr->kind != EXPR_DIV || k == 0));
            alive[expr->arg[k]] = alive[expr->arg[k]] || scalar_differentiable(expr->kind, k);
        }
    }
}

static void read_term(void *user, const Op *op, int id) { read_expression(user, op, id); }

/* The two expressions of a recurrence are followed one by one: a cancellation in one is none in the other. */
static void read_op(const Reader *reader, const Op *op)
{
    if (op->kind == OP_TOP || op->kind == OP_CALL || reader->unit->tensors[op->out.tensor].type != T_REAL || operation_is_empty(reader->unit, op))
        return;
    read_expression(reader, op, op->body);
    read_expression(reader, op, op->body2);
}

/* ---- units ---- */

/* For each tensor the formals on which it depends with a derivative, as bits. */
typedef struct Flow {
    const Unit *unit;
    int words;
    uint64_t *bits; /* [tensor_count][words] */
} Flow;

typedef struct Flows {
    Arena *arena;
    int count;
    Flow *items; /* of the program's units */
} Flows;

static uint64_t *bits_of(const Flow *flow, int tensor) { return flow->bits + (size_t)tensor * (size_t)flow->words; }
static bool depends(const Flow *flow, int tensor, int formal) { return bits_of(flow, tensor)[formal / 64] >> (formal % 64) & 1; }

static void join(const Flow *flow, int to, int from)
{
    for (int w = 0; w < flow->words; w++)
        bits_of(flow, to)[w] |= bits_of(flow, from)[w];
}

static const Flow *flow_of(const Flows *flows, const Unit *unit)
{
    for (int i = 0; i < flows->count; i++)
        if (flows->items[i].unit == unit)
            return &flows->items[i];
    return NULL;
}

static void call_flow(const Flows *flows, Flow *flow, const Op *op)
{
    const Flow *callee = flow_of(flows, op->callee);
    for (int r = 0; r < op->result_count; r++)
        for (int f = 0; op->results[r] >= 0 && f < op->arg_count; f++)
            if (depends(callee, op->callee->outputs[r].tensor, f))
                join(flow, op->results[r], op->args[f]);
}

typedef struct Joining {
    const Flow *flow;
    int to;
} Joining;

static void join_read(void *user, int tensor)
{
    const Joining *joining = user;
    join(joining->flow, joining->to, tensor);
}

static void op_flow(const Flow *flow, const Op *op)
{
    Joining joining = {flow, op->out.tensor};
    read_op(&(Reader){flow->unit, join_read, &joining}, op);
    if (op->init.tensor >= 0 && flow->unit->tensors[op->out.tensor].type == T_REAL)
        join(flow, op->out.tensor, op->init.tensor);
}

static void unit_flow(Flows *flows, const Unit *unit)
{
    Flow flow = {.unit = unit, .words = (unit->formal_count + 63) / 64};
    flow.bits = ARENA_ARRAY(flows->arena, uint64_t, (int64_t)unit->tensor_count * flow.words + 1);
    for (int f = 0; f < unit->formal_count; f++)
        if (unit->tensors[unit->formals[f]].type == T_REAL)
            bits_of(&flow, unit->formals[f])[f / 64] |= UINT64_C(1) << (f % 64);
    for (int i = 0; i < unit->op_count; i++) {
        if (unit->ops[i].kind == OP_CALL)
            call_flow(flows, &flow, &unit->ops[i]);
        else
            op_flow(&flow, &unit->ops[i]);
    }
    flows->items[flows->count++] = flow;
}

/* ---- main ---- */

static void want_call(const Flows *flows, const Op *op, bool *wanted)
{
    const Flow *callee = flow_of(flows, op->callee);
    for (int r = 0; r < op->result_count; r++)
        for (int f = 0; op->results[r] >= 0 && wanted[op->results[r]] && f < op->arg_count; f++)
            wanted[op->args[f]] = wanted[op->args[f]] || depends(callee, op->callee->outputs[r].tensor, f);
}

static void want_read(void *user, int tensor)
{
    bool *wanted = user;
    wanted[tensor] = true;
}

/* wanted[tensor]: a loss depends on it with a derivative. False: there is no loss. */
static bool want(const Flows *flows, const Unit *main, bool *wanted)
{
    bool any = false;
    for (int o = 0; o < main->output_count; o++)
        if (main->outputs[o].kind == OUTPUT_LOSS)
            any = wanted[main->outputs[o].tensor] = true;
    for (int i = main->op_count - 1; i >= 0; i--) {
        const Op *op = &main->ops[i];
        if (op->kind == OP_CALL) {
            want_call(flows, op, wanted);
            continue;
        }
        if (!wanted[op->out.tensor])
            continue;
        read_op(&(Reader){main, want_read, wanted}, op);
        if (op->init.tensor >= 0)
            wanted[op->init.tensor] = true;
    }
    return any;
}

/* ---- where the way ends ---- */

static void add_end(Unreached *unreached, ReachEndKind kind, Symbol name, Span span)
{
    for (int i = 0; i < unreached->end_count; i++)
        if (unreached->ends[i].kind == kind)
            return;
    unreached->ends[unreached->end_count++] = (ReachEnd){kind, name, span};
}

static void ignore_term(void *user, const Op *op, int id) { (void)user, (void)op, (void)id; }

/* Follows the read `read` upwards: at which expressions its derivative ends. */
static void ends_of_read(const Unit *unit, const Op *op, int read, Unreached *unreached)
{
    const Symbol name = unit->tensors[op->out.tensor].name;
    if (operation_is_empty(unit, op)) {
        add_end(unreached, END_NO_POINT, name, op->span);
        return;
    }
    bool *flows = ARENA_ARRAY(unit->program->arena, bool, op->expr_count + 1), *live = ARENA_ARRAY(unit->program->arena, bool, op->expr_count + 1);
    op_live(op, live);
    flows[read] = true;
    for (int id = read; id < op->expr_count; id++) {
        const Expr *expr = &op->exprs[id];
        for (int k = 0; live[id] && k < scalar_arity(expr->kind); k++) {
            if (!flows[expr->arg[k]])
                continue;
            if (scalar_differentiable(expr->kind, k))
                flows[id] = true;
            else
                add_end(unreached, expr->kind == EXPR_STOP ? END_STOP : END_CHOICE, name, op->span);
        }
        if (flows[id] && expression_cancels(unit, op, id)) {
            flows[id] = false;
            add_end(unreached, END_CANCELS, name, op->span);
        } else if (flows[id] && is_sum(expr->kind) && expression_shrinks(unit, op, id, ignore_term, NULL) == SHRINKS) {
            flows[id] = false;
            add_end(unreached, END_TAKEN_AWAY, name, op->span);
        }
    }
    for (int g = 0; g < op->guard_count; g++)
        if (flows[op->guards[g]])
            add_end(unreached, END_CHOICE, name, op->span);
    if (unit->tensors[op->out.tensor].type == T_INT && flows[op->body])
        add_end(unreached, END_CHOICE, name, op->span);
}

static void ends_in_unit(const Flow *flow, int formal, Unreached *unreached)
{
    const Unit *unit = flow->unit;
    for (int i = 0; i < unit->op_count; i++) {
        const Op *op = &unit->ops[i];
        for (int id = 0; op->kind != OP_CALL && id < op->expr_count; id++)
            if (op->exprs[id].kind == EXPR_READ && depends(flow, op->exprs[id].access.tensor, formal))
                ends_of_read(unit, op, id, unreached);
    }
    for (int o = 0; o < unit->output_count; o++) {
        const Output *output = &unit->outputs[o];
        if (!depends(flow, output->tensor, formal))
            continue;
        add_end(unreached, output->kind == OUTPUT_METRIC ? END_METRIC : output->kind == OUTPUT_NEXT ? END_STATE : END_UNUSED, output->name, unit->tensors[output->tensor].span);
    }
}

/* The calls of main that take a tensor, and as which argument: a list for each tensor, in order. */
typedef struct Use {
    int call, argument, next; /* next: -1 at the end */
} Use;

typedef struct Uses {
    int *first; /* [tensor_count], -1: none */
    Use *items;
} Uses;

static Uses uses_of(Arena *arena, const Unit *main)
{
    int count = 0;
    for (int i = 0; i < main->op_count; i++)
        count += main->ops[i].kind == OP_CALL ? main->ops[i].arg_count : 0;
    Uses uses = {ARENA_ARRAY(arena, int, main->tensor_count + 1), ARENA_ARRAY(arena, Use, count + 1)};
    for (int t = 0; t < main->tensor_count; t++)
        uses.first[t] = -1;
    count = 0;
    for (int i = main->op_count - 1; i >= 0; i--)
        for (int f = main->ops[i].kind == OP_CALL ? main->ops[i].arg_count - 1 : -1; f >= 0; f--) {
            int *first = &uses.first[main->ops[i].args[f]];
            uses.items[count] = (Use){i, f, *first};
            *first = count++;
        }
    return uses;
}

static bool explain(const Flows *flows, const Unit *main, const Uses *uses, Unreached *unreached)
{
    const int first = uses->first[main->formals[unreached->formal]];
    unreached->call = first < 0 ? -1 : uses->items[first].call;
    for (int use = first; use >= 0; use = uses->items[use].next)
        ends_in_unit(flow_of(flows, main->ops[uses->items[use].call].callee), uses->items[use].argument, unreached);
    return unreached->end_count > 0;
}

static Flows flows_of(Arena *arena, const Program *program)
{
    Flows flows = {.arena = arena, .items = ARENA_ARRAY(arena, Flow, program->unit_count + 1)};
    for (int u = 0; u < program->unit_count; u++)
        if (program->units[u] != program->main)
            unit_flow(&flows, program->units[u]);
    return flows;
}

const bool *reach_formals(Arena *arena, const Program *program)
{
    const Unit *main = program->main;
    const Flows flows = flows_of(arena, program);
    bool *wanted = ARENA_ARRAY(arena, bool, main->tensor_count + 1), *formals = ARENA_ARRAY(arena, bool, main->formal_count + 1);
    (void)want(&flows, main, wanted);
    for (int f = 0; f < main->formal_count; f++)
        formals[f] = wanted[main->formals[f]];
    return formals;
}

Reach reach_losses(Arena *arena, const Program *program)
{
    const Unit *main = program->main;
    const Flows flows = flows_of(arena, program);
    bool *wanted = ARENA_ARRAY(arena, bool, main->tensor_count + 1);
    Reach reach = {.items = ARENA_ARRAY(arena, Unreached, main->formal_count + 1)};
    if (!want(&flows, main, wanted))
        return reach;
    const Uses uses = uses_of(arena, main);
    for (int f = 0; f < main->formal_count; f++) {
        if (main->tensors[main->formals[f]].role != TENSOR_PARAM || wanted[main->formals[f]])
            continue;
        Unreached unreached = {.formal = f, .call = -1};
        if (explain(&flows, main, &uses, &unreached))
            reach.items[reach.count++] = unreached;
    }
    return reach;
}
