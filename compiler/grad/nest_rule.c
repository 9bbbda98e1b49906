/* Nests: for each read T[β] in the body, T̄[β(p)] sum= Ȳ[α(p)] · ∂E/∂T over the same domain. The partials are built by reverse mode over the
   body's expressions, inside the contribution's own nest. */
#include "grad/internal.h"

#include "support/bug.h"

#include <string.h>

Seed seed_of(int tensor) { return (Seed){.tensor = tensor, .factor = -1, .behind = -1, .lse = -1, .chosen = -1}; }

static bool is_read(void *user, int id) { return *(int *)user == id; }

/* Row-major position of the marked indices as a value. */
static int flat_position(OpBuilder *b, const Op *op, const bool *reduced)
{
    Program *program = b->unit->program;
    Affine flat = affine_const(program, dim_int(program->dims, 0));
    Dim stride = dim_int(program->dims, 1);
    for (int i = op->index_count - 1; i >= 0; i--) {
        if (!reduced[i])
            continue;
        flat = affine_add(program, flat, affine_scale(program, affine_index(program, i), stride));
        stride = dim_mul(program->dims, stride, op->indices[i].extent);
    }
    return expr_affine(b, flat);
}

/* The factor at the point or, along `behind`, one step before it: the first point has none. */
static Access factor_access(Rewrite *rewrite, const Op *op, const Seed *seed)
{
    Program *program = rewrite->to->unit->program;
    Access access = rewrite_subs(rewrite, &op->out, seed->factor);
    if (seed->behind < 0)
        return access;
    Dim extent = op->indices[seed->behind].extent;
    Affine index = affine_index(program, seed->behind), one = affine_const(program, dim_int(program->dims, 1));
    Affine before = op->reverse ? affine_add(program, index, one) : affine_sub(program, index, one);
    Affine last = affine_const(program, dim_sub(program->dims, extent, dim_int(program->dims, 1)));
    op_cond(rewrite->to, op->reverse ? affine_sub(program, last, before) : before);
    for (int k = 0; k < access.count; k++)
        if (affine_equal(access.subs[k].affine, index))
            access.subs[k] = sub_affine(before, access.subs[k].span);
    return access;
}

static int seed_expr(Rewrite *rewrite, const Op *op, int root, const Seed *seed)
{
    OpBuilder *b = rewrite->to;
    Program *program = b->unit->program;
    int ybar = expr_read(b, rewrite_subs(rewrite, &op->out, seed->tensor));
    if (seed->factor >= 0)
        ybar = expr_op(b, EXPR_MUL, ybar, expr_read(b, factor_access(rewrite, op, seed)), -1);
    if (seed->lse >= 0) {
        int row = expr_read(b, rewrite_subs(rewrite, &op->out, seed->lse));
        int difference = expr_op(b, EXPR_SUB, rewrite_expr(rewrite, root), row, -1);
        ybar = expr_op(b, EXPR_MUL, ybar, expr_op(b, EXPR_EXP, difference, -1, -1), -1);
    }
    if (seed->chosen >= 0) {
        Access outer = rewrite_subs(rewrite, &op->out, seed->chosen);
        Access chosen = access_new(program, seed->chosen, outer.count + (seed->chosen_top ? 1 : 0));
        for (int k = 0; k < outer.count; k++)
            chosen.subs[k] = outer.subs[k];
        if (seed->chosen_top)
            chosen.subs[outer.count] = sub_affine(affine_const(program, dim_int(program->dims, 0)), 1);
        op_guard(b, expr_op(b, EXPR_EQ, expr_read(b, chosen), flat_position(b, op, seed->reduced), -1));
    }
    return ybar;
}

static int add_to(OpBuilder *b, int sum, int part) { return sum < 0 ? part : expr_op(b, EXPR_ADD, sum, part, -1); }

/* The expressions whose value may be no number because an integer is none. */
static bool *may_be_none(const Unit *unit, const Op *op)
{
    bool *none = ARENA_ARRAY(unit->program->arena, bool, op->expr_count + 1);
    for (int id = 0; id < op->expr_count; id++) {
        const Expr *expr = &op->exprs[id];
        none[id] = expr->kind == EXPR_POINT || (expr->kind == EXPR_READ && unit->tensors[expr->access.tensor].type == T_INT);
        for (int k = expr->kind == EXPR_SELECT ? 1 : 0; k < scalar_arity(expr->kind) && !scalar_is_boolean(expr->kind); k++)
            none[id] = none[id] || none[expr->arg[k]];
    }
    return none;
}

/* The condition under which an expression is chosen, by the selections that it stands in; of one used in several places where any of them is. */
typedef struct Chosen {
    bool used, always;
    int condition;
} Chosen;

static void choose(OpBuilder *b, Chosen *chosen, int condition)
{
    if (chosen->used && !chosen->always && condition >= 0)
        chosen->condition = expr_op(b, EXPR_OR, chosen->condition, condition, -1);
    else if (!chosen->used && condition >= 0)
        chosen->condition = condition;
    else
        *chosen = (Chosen){.always = true, .condition = -1};
    chosen->used = true;
}

/* Of operand k of an expression that is chosen under `outer`, -1: always. */
static int condition_of(OpBuilder *b, const Expr *expr, int k, const int *arg, int outer)
{
    if (expr->kind != EXPR_SELECT || k == 0)
        return outer;
    const int own = k == 1 ? arg[0] : expr_op(b, EXPR_NOT, arg[0], -1, -1);
    return outer < 0 ? own : expr_op(b, EXPR_AND, outer, own, -1);
}

/* What was not chosen has the adjoint 0, also where its derivative is no number: an infinite factor, */
static int if_chosen(OpBuilder *b, int part, int condition) { return condition < 0 ? part : expr_op(b, EXPR_SELECT, condition, part, expr_const(b, 0)); }

/* a quotient, root or logarithm that is none where the adjoint comes to 0, here or in a definition that reads this one, */
static int if_adjoint(OpBuilder *b, int part, int adjoint) { return expr_op(b, EXPR_SELECT, expr_op(b, EXPR_EQ, adjoint, expr_const(b, 0), -1), expr_const(b, 0), part); }

/* or an operand that is none there. */
static int without_none(OpBuilder *b, int part, const Expr *expr, const int *arg, const bool *none)
{
    for (int k = 0; k < scalar_arity(expr->kind); k++)
        if (none[expr->arg[k]])
            part = expr_op(b, EXPR_SELECT, expr_op(b, EXPR_EXISTS, arg[k], -1, -1), part, expr_const(b, 0));
    return part;
}

/* The adjoint of expression `read` of `op`, given that of `root`; only through expressions that `flows` to the read. */
static int sweep(const Backward *b, Rewrite *rewrite, const Op *op, int root, int read, const bool *flows, int ybar)
{
    int *adjoint = ARENA_ARRAY(rewrite->unit->program->arena, int, op->expr_count);
    for (int id = 0; id < op->expr_count; id++)
        adjoint[id] = -1;
    adjoint[root] = ybar;
    Chosen *chosen = ARENA_ARRAY(rewrite->unit->program->arena, Chosen, op->expr_count + 1);
    memset(chosen, 0, ((size_t)op->expr_count + 1) * sizeof *chosen);
    choose(rewrite->to, &chosen[root], -1);
    const bool *none = may_be_none(rewrite->unit, op), *undefined = exprs_may_be_undefined(rewrite->unit->program->arena, rewrite->unit, op, b->signs, b->undefined);
    for (int id = root; id > read; id--) {
        const Expr *expr = &op->exprs[id];
        if (adjoint[id] < 0 || !flows[id])
            continue;
        int arg[3] = {-1, -1, -1}, arity = scalar_arity(expr->kind);
        for (int k = 0; k < arity; k++)
            arg[k] = rewrite_expr(rewrite, expr->arg[k]);
        int y = rewrite_expr(rewrite, id);
        for (int k = 0; k < arity; k++) {
            if (!flows[expr->arg[k]] || !scalar_differentiable(expr->kind, k))
                continue;
            int part = scalar_adjoint(rewrite->to, expr->kind, k, adjoint[id], arg, y);
            if (part != adjoint[id] && expr->kind != EXPR_SELECT)
                part = if_chosen(rewrite->to, without_none(rewrite->to, undefined[id] ? if_adjoint(rewrite->to, part, adjoint[id]) : part, expr, arg, none), chosen[id].condition);
            choose(rewrite->to, &chosen[expr->arg[k]], condition_of(rewrite->to, expr, k, arg, chosen[id].condition));
            adjoint[expr->arg[k]] = add_to(rewrite->to, adjoint[expr->arg[k]], part);
        }
    }
    return adjoint[read];
}

int expression_adjoint(const Backward *b, Rewrite *rewrite, const Op *op, int root, int read, int ybar)
{
    bool *flows = ARENA_ARRAY(rewrite->unit->program->arena, bool, op->expr_count + 1);
    activity_flow(op, is_read, &read, flows);
    return sweep(b, rewrite, op, root, read, flows, ybar);
}

bool expression_reaches(const Backward *b, const Op *op, int root, int read)
{
    bool *flows = ARENA_ARRAY(b->forward->program->arena, bool, op->expr_count + 1);
    activity_flow(op, is_read, &read, flows);
    return flows[root];
}

static void contribute(Backward *b, const Op *op, int root, int read, const Seed *seed)
{
    if (!expression_reaches(b, op, root, read))
        return;
    OpBuilder builder = op_begin(b->target, OP_NEST);
    builder.op.reducer = REDUCE_SUM;
    builder.op.span = op->span;
    builder_indices(&builder, op);
    Rewrite rewrite = rewrite_begin(&builder, b->forward, op, NULL, backward_tensor_map, b);
    rewrite_domain(&rewrite);
    int ybar = seed_expr(&rewrite, op, root, seed);
    const Access *access = &op->exprs[read].access;
    builder.op.body = expression_adjoint(b, &rewrite, op, root, read, ybar);
    int contribution = backward_like(b, access->tensor, ".grad");
    builder.op.out = rewrite_subs(&rewrite, access, contribution);
    rewrite_keep_none(&rewrite);
    (void)op_finish(&builder);
    backward_contribute(b, access->tensor, contribution);
}

void expression_rule(Backward *b, const Op *op, int root, const Seed *seed)
{
    for (int id = root; id >= 0; id--) {
        const Expr *expr = &op->exprs[id];
        if (expr->kind == EXPR_READ && expr->access.tensor < b->tensor_count && b->varied[expr->access.tensor])
            contribute(b, op, root, id, seed);
    }
}

/* ---- max and min: the first point that reaches the extremum ------------------------------------------------------------------- */

static int extremum_body(Rewrite *rewrite, const Op *op)
{
    int body = rewrite_expr(rewrite, op->body);
    return op->reducer == REDUCE_MIN ? expr_op(rewrite->to, EXPR_NEG, body, -1, -1) : body;
}

/* I[outer, 0] = top(reduced; 1; by E). Only where the output subscripts are bare. */
static int argmax_top(Backward *b, const Op *op, const bool *reduced)
{
    Program *program = b->forward->program;
    OpBuilder builder = op_begin(b->target, OP_TOP);
    IndexBy *by = ARENA_ARRAY(program->arena, IndexBy, op->index_count + 1);
    Dim count = dim_int(program->dims, 1);
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < op->index_count; i++) {
            if (reduced[i] != (pass == 1))
                continue;
            int index = op_index(&builder, op->indices[i].name, op->indices[i].extent);
            by[i] = (IndexBy){affine_index(program, index), NULL, 1};
            builder.op.reduced += pass;
            count = pass == 1 ? dim_mul(program->dims, count, op->indices[i].extent) : count;
        }
    }
    Rewrite rewrite = rewrite_begin(&builder, b->forward, op, by, backward_tensor_map, b);
    rewrite_domain(&rewrite);
    builder.op.body = extremum_body(&rewrite, op);
    builder.op.top_k = dim_int(program->dims, 1);
    const Tensor *out = &b->forward->tensors[op->out.tensor];
    Dim *extent = ARENA_ARRAY(program->arena, Dim, out->rank + 1);
    for (int k = 0; k < out->rank; k++)
        extent[k] = out->extent[k];
    extent[out->rank] = builder.op.top_k;
    Symbol name = symbol_suffix(program, out->name, ".first");
    int chosen = unit_tensor(b->target, name, T_INT, TENSOR_LOCAL, out->rank + 1, extent, count);
    builder.op.out = rewrite_subs(&rewrite, &op->out, chosen);
    rewrite_keep_none(&rewrite);
    (void)op_finish(&builder);
    return chosen;
}

/* P[α(p)] min= flat position of p where E(p) equals Y[α(p)]: for outputs written through integers. */
static int argmax_min(Backward *b, const Op *op, const bool *all)
{
    OpBuilder builder = op_begin(b->target, OP_NEST);
    builder.op.reducer = REDUCE_MIN;
    builder_indices(&builder, op);
    Rewrite rewrite = rewrite_begin(&builder, b->forward, op, NULL, backward_tensor_map, b);
    rewrite_domain(&rewrite);
    int extremum = expr_read(&builder, rewrite_subs(&rewrite, &op->out, backward_need(b, op->out.tensor)));
    op_guard(&builder, expr_op(&builder, EXPR_EQ, rewrite_expr(&rewrite, op->body), extremum, -1));
    builder.op.body = flat_position(&builder, op, all);
    int first = backward_like(b, op->out.tensor, ".first");
    builder.op.out = rewrite_subs(&rewrite, &op->out, first);
    rewrite_keep_none(&rewrite);
    (void)op_finish(&builder);
    return first;
}

static void extremum_rule(Backward *b, const Op *op, Seed *seed)
{
    bool *reduced = ARENA_ARRAY(b->forward->program->arena, bool, op->index_count + 1);
    bool bare = access_bare(&op->out, NULL), any = false;
    for (int i = 0; i < op->index_count; i++) {
        reduced[i] = !bare || !access_has_index(&op->out, i);
        any = any || reduced[i];
    }
    if (any) {
        seed->chosen = bare ? argmax_top(b, op, reduced) : argmax_min(b, op, reduced);
        seed->chosen_top = bare;
        seed->reduced = reduced;
    }
    expression_rule(b, op, op->body, seed);
}

void nest_rule(Backward *b, const Op *op)
{
    if (op->out.tensor >= b->tensor_count || !b->varied[op->out.tensor])
        return;
    int ybar = backward_adjoint(b, op->out.tensor);
    if (ybar < 0)
        return;
    Seed seed = seed_of(ybar);
    switch (op->reducer) {
    case REDUCE_SET:
    case REDUCE_SUM: expression_rule(b, op, op->body, &seed); break;
    case REDUCE_MAX:
    case REDUCE_MIN: extremum_rule(b, op, &seed); break;
    case REDUCE_LSE:
        seed.lse = backward_need(b, op->out.tensor);
        expression_rule(b, op, op->body, &seed);
        break;
    }
}
