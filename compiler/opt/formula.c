/* Metrics that are made of other metrics: the way from these to those, as a program of its own, so that it can be taken again of merged values.
   requires   a verified unit, as lowering makes it
   preserves  the unit
   breaks     nothing */
#include "opt/opt.h"

typedef struct Copy {
    const Unit *from;
    Unit *to;
    int root;     /* the metric's tensor */
    int *tensor;  /* [from->tensor_count] its tensor in `to`, -1: not yet */
    int *outputs; /* of `from`: which metric each formal of `to` is */
} Copy;

static int metric_at(const Unit *unit, int tensor)
{
    for (int o = 0; o < unit->output_count; o++)
        if (unit->outputs[o].kind == OUTPUT_METRIC && unit->outputs[o].tensor == tensor)
            return o;
    return -1;
}

static bool reach(Copy *copy, int tensor);

static bool reach_access(Copy *copy, const Access *access, bool itself)
{
    bool ok = !itself || access->tensor < 0 || reach(copy, access->tensor);
    for (int s = 0; s < access->count && ok; s++)
        ok = !access->subs[s].read || reach_access(copy, access->subs[s].read, true);
    return ok;
}

static int tensor_new(Copy *copy, int tensor, bool formal)
{
    const Tensor *t = &copy->from->tensors[tensor];
    copy->tensor[tensor] = formal ? unit_formal(copy->to, t->name, t->type, TENSOR_INPUT, t->rank, t->extent, t->bound)
                                  : unit_tensor(copy->to, t->name, t->type, TENSOR_LOCAL, t->rank, t->extent, t->bound);
    return copy->tensor[tensor];
}

static void copy_op(Copy *copy, const Op *op)
{
    Program *program = copy->to->program;
    OpBuilder builder = op_begin(copy->to, op->kind);
    builder.op = *op;
    builder.op.exprs = arena_memdup(program->arena, op->exprs, (size_t)op->expr_count * sizeof *op->exprs);
    builder.index_capacity = op->index_count, builder.cond_capacity = op->cond_count;
    builder.guard_capacity = op->guard_count, builder.expr_capacity = op->expr_count;
    for (int e = 0; e < op->expr_count; e++)
        if (op->exprs[e].kind == EXPR_READ)
            builder.op.exprs[e].access = access_map(program, &op->exprs[e].access, NULL, copy->tensor);
    (void)tensor_new(copy, op->out.tensor, false);
    builder.op.out = access_map(program, &op->out, NULL, copy->tensor);
    (void)op_finish(&builder);
}

/* Makes the tensor known in `to`; false where that takes more than metrics. */
static bool reach(Copy *copy, int tensor)
{
    if (copy->tensor[tensor] >= 0)
        return true;
    const int metric = metric_at(copy->from, tensor);
    if (metric >= 0 && tensor != copy->root) {
        copy->outputs[copy->to->formal_count] = metric;
        (void)tensor_new(copy, tensor, true);
        return true;
    }
    const int def = copy->from->tensors[tensor].def;
    const Op *op = def >= 0 ? &copy->from->ops[def] : NULL;
    bool ok = op && op->kind == OP_NEST && op->init.tensor < 0 && reach_access(copy, &op->out, false);
    for (int e = 0; ok && e < op->expr_count; e++)
        ok = op->exprs[e].kind != EXPR_DRAW && (op->exprs[e].kind != EXPR_READ || reach_access(copy, &op->exprs[e].access, true));
    if (ok)
        copy_op(copy, op);
    return ok;
}

Unit *opt_metric_formula(const Unit *unit, int output, int *metrics)
{
    Arena *arena = unit->program->arena;
    Program *program = program_new(arena, unit->program->interner);
    Copy copy = {.from = unit, .to = unit_new(program, unit->outputs[output].name), .root = unit->outputs[output].tensor, .outputs = metrics};
    copy.tensor = ARENA_ARRAY(arena, int, unit->tensor_count + 1);
    for (int t = 0; t < unit->tensor_count; t++)
        copy.tensor[t] = -1;
    if (!reach(&copy, copy.root) || copy.to->formal_count == 0)
        return NULL;
    (void)unit_output(copy.to, unit->outputs[output].name, OUTPUT_RESULT, copy.tensor[copy.root]);
    return copy.to;
}
