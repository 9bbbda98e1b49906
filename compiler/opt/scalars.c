/* Numbers of the step: what depends on scalar inputs and constants alone becomes operations without indices, computed once and in double precision.
   requires   a verified unit
   preserves  values; groups
   breaks     positions of operations; adds tensors named <out>.scalar

   1 - beta ^ t for a beta near 1, or 1 - (1 - t ^ -0.8) for a large t, cancel: a float keeps no digits of them. Each such number is therefore made from
   the inputs themselves, through every scalar defined on the way, and rounded to a float once, at its end. */
#include "opt/opt.h"

#include "ir/rewrite.h"

typedef struct Scalars {
    Unit *unit;
    Rebuild rebuild;
    const Op **made;       /* per tensor of the unit as it was: the scalar operation that defines it */
    int *positions, count; /* of operations made here */
} Scalars;

static bool is_input(const Unit *unit, int tensor)
{
    const Tensor *t = &unit->tensors[tensor];
    return t->def < 0 && t->role == TENSOR_INPUT && t->rank == 0 && t->type == T_REAL;
}

static bool is_plain(const Unit *unit, const Op *op)
{
    return op->kind == OP_NEST && op->reducer == REDUCE_SET && op->index_count == 0 && op->cond_count == 0 && op->guard_count == 0 && op->init.tensor < 0 && op->group == 0 &&
           op->out.count == 0 && unit->tensors[op->out.tensor].type == T_REAL;
}

bool opt_is_scalar(const Unit *unit, const Op *op)
{
    if (!is_plain(unit, op))
        return false;
    for (int id = 0; id < op->expr_count; id++) {
        const ExprKind kind = op->exprs[id].kind;
        if (kind == EXPR_DIM || kind == EXPR_POS || kind == EXPR_DRAW || (kind == EXPR_READ && !is_input(unit, op->exprs[id].access.tensor)))
            return false;
    }
    return true;
}

/* scalar[id]: made of scalar inputs and constants; reads[id]: of an input at least. */
static void examine(const Scalars *s, const Op *op, bool *scalar, bool *reads)
{
    for (int id = 0; id < op->expr_count; id++) {
        const Expr *e = &op->exprs[id];
        scalar[id] = e->kind != EXPR_DIM && e->kind != EXPR_POS && e->kind != EXPR_DRAW;
        if (e->kind == EXPR_READ)
            scalar[id] = reads[id] = e->access.count == 0 && (is_input(s->unit, e->access.tensor) || s->made[e->access.tensor]);
        for (int k = 0; k < scalar_arity(e->kind); k++) {
            scalar[id] = scalar[id] && scalar[e->arg[k]];
            reads[id] = reads[id] || reads[e->arg[k]];
        }
    }
}

/* A copy of the expression in which scalars stand as their definitions. */
static int expand(const Scalars *s, OpBuilder *builder, const Op *op, int id)
{
    const Expr *e = &op->exprs[id];
    if (e->kind == EXPR_CONST)
        return expr_const(builder, e->value);
    if (e->kind == EXPR_READ) {
        const Op *def = s->made[e->access.tensor];
        return def ? expand(s, builder, def, def->body) : expr_read(builder, access_new(s->unit->program, e->access.tensor, 0));
    }
    int arg[3] = {-1, -1, -1};
    for (int k = 0; k < scalar_arity(e->kind); k++)
        arg[k] = expand(s, builder, op, e->arg[k]);
    return expr_op(builder, e->kind, arg[0], arg[1], arg[2]);
}

static OpBuilder scalar_begin(const Scalars *s, const Op *op, int id)
{
    OpBuilder builder = op_begin(s->unit, OP_NEST);
    builder.op.reducer = REDUCE_SET;
    builder.op.span = op->span;
    builder.op.body = expand(s, &builder, op, id);
    return builder;
}

/* The tensor of a scalar: an equal one, or a new one. */
static int scalar_tensor(Scalars *s, const Op *op, int id)
{
    Unit *unit = s->unit;
    OpBuilder builder = scalar_begin(s, op, id);
    for (int i = 0; i < s->count; i++) {
        const Op *other = &unit->ops[s->positions[i]];
        builder.op.out = other->out;
        if (op_meanings_equal(unit, &builder.op, other))
            return other->out.tensor;
    }
    const int tensor = unit_tensor(unit, symbol_suffix(unit->program, unit->tensors[op->out.tensor].name, ".scalar"), T_REAL, TENSOR_LOCAL, 0, NULL, NULL);
    builder.op.out = access_new(unit->program, tensor, 0);
    s->positions[s->count++] = op_finish(&builder);
    return tensor;
}

/* used[id]: something that is no scalar reads it, or it is a root. */
static void mark_used(const Op *op, const bool *live, const bool *scalar, bool *used)
{
    for (int id = 0; id < op->expr_count; id++)
        for (int k = 0; live[id] && !scalar[id] && k < scalar_arity(op->exprs[id].kind); k++)
            used[op->exprs[id].arg[k]] = true;
    used[op->body] = true;
    if (op->kind == OP_RECUR && op->body2 >= 0)
        used[op->body2] = true;
}

/* The operation with its scalars read from tensors of their own. */
static void take_scalars(Scalars *s, int position)
{
    const Op *op = &s->rebuild.old[position];
    Arena *arena = s->unit->program->arena;
    const int count = op->expr_count + 1;
    bool *live = ARENA_ARRAY(arena, bool, count), *scalar = ARENA_ARRAY(arena, bool, count), *reads = ARENA_ARRAY(arena, bool, count), *used = ARENA_ARRAY(arena, bool, count);
    op_live(op, live);
    examine(s, op, scalar, reads);
    mark_used(op, live, scalar, used);
    OpBuilder builder = op_begin(s->unit, op->kind);
    Rewrite rewrite = rewrite_begin(&builder, s->unit, op, NULL, NULL, NULL);
    bool changed = false;
    for (int id = 0; id < op->expr_count; id++) {
        const ExprKind kind = op->exprs[id].kind;
        if (!live[id] || !used[id] || !scalar[id] || !reads[id] || kind == EXPR_READ || scalar_is_boolean(kind))
            continue;
        rewrite.memo[id] = expr_read(&builder, access_new(s->unit->program, scalar_tensor(s, op, id), 0));
        changed = true;
    }
    if (!changed) {
        (void)rebuild_keep(&s->rebuild, position);
        return;
    }
    rewrite_all(&rewrite);
    rewrite_keep_none(&rewrite);
    rebuild_replace(&s->rebuild, position, op_finish(&builder));
}

/* A scalar of the unit's own, from the inputs themselves. */
static bool keep_scalar(Scalars *s, int position)
{
    const Op *op = &s->rebuild.old[position];
    if (!is_plain(s->unit, op))
        return false;
    Arena *arena = s->unit->program->arena;
    bool *scalar = ARENA_ARRAY(arena, bool, op->expr_count + 1), *reads = ARENA_ARRAY(arena, bool, op->expr_count + 1);
    examine(s, op, scalar, reads);
    if (!scalar[op->body])
        return false;
    OpBuilder builder = scalar_begin(s, op, op->body);
    builder.op.out = op->out;
    rebuild_replace(&s->rebuild, position, op_finish(&builder));
    s->made[op->out.tensor] = op;
    return true;
}

bool opt_scalars(Unit *unit)
{
    bool any = false;
    for (int f = 0; f < unit->formal_count; f++)
        any = any || is_input(unit, unit->formals[f]);
    if (!any)
        return false;
    Arena *arena = unit->program->arena;
    int expressions = 1;
    for (int i = 0; i < unit->op_count; i++)
        expressions += unit->ops[i].expr_count;
    Scalars s = {.unit = unit, .made = ARENA_ARRAY(arena, const Op *, unit->tensor_count + 1), .positions = ARENA_ARRAY(arena, int, expressions)};
    s.rebuild = rebuild_begin(unit);
    for (int i = 0; i < s.rebuild.old_count; i++) {
        const Op *op = &s.rebuild.old[i];
        if (op->kind == OP_CALL || op->group != 0)
            (void)rebuild_keep(&s.rebuild, i);
        else if (!keep_scalar(&s, i))
            take_scalars(&s, i);
    }
    rebuild_end(&s.rebuild);
    return true;
}
