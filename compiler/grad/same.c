/* Formulas are compared by their structure after names have been replaced by what they stand for. A formula is an expression of some operation whose indices are affines in
   those of the operation asked about, its root; an index over one point is 0. */
#include "grad/same.h"

#include <math.h>

enum { STEPS_MAX = 400 }; /* of one question: beyond that the answer is no */

static const double NEGLIGIBLE = 1e-5; /* what is added to a divisor against a division by zero */

typedef struct Same {
    const Unit *unit;
    const Op *root;
    const Affine *identity; /* [root->index_count] */
    int steps;
} Same;

typedef struct Formula {
    const Op *op;
    int id;
    const Affine *by; /* [op->index_count] */
} Formula;

static const Expr *expr_of(Formula term) { return &term.op->exprs[term.id]; }

static Formula operand(Formula term, int k) { return (Formula){term.op, expr_of(term)->arg[k], term.by}; }

/* One point: an extent of 1, or a length that is at most 1. */
static bool is_one(const Program *program, Dim extent)
{
    return dim_is(extent, 1) || (program->most[DIM_L] == 1 && (extent == dim_symbol(program->dims, DIM_L) || extent == dim_symbol(program->dims, DIM_N)));
}

static bool same(Same *s, Formula a, Formula b);

/* ---- subscripts ---- */

static bool same_access(Same *s, const Access *a, const Affine *by_a, const Access *b, const Affine *by_b)
{
    Program *program = s->unit->program;
    if (a->tensor != b->tensor || a->count != b->count || ++s->steps > STEPS_MAX)
        return false;
    for (int i = 0; i < a->count; i++) {
        const Sub *x = &a->subs[i], *y = &b->subs[i];
        if (x->span != y->span)
            return false;
        if (a->tensor >= 0 && is_one(program, access_extent(s->unit, a, i)))
            continue;
        if (!x->read != !y->read)
            return false;
        if (x->read ? !same_access(s, x->read, by_a, y->read, by_b) : !affine_equal(affine_substitute(program, x->affine, by_a), affine_substitute(program, y->affine, by_b)))
            return false;
    }
    return true;
}

static bool root_subscribes(Same *s, const Access *in, const Access *wanted, const Affine *by)
{
    for (int i = 0; i < in->count; i++)
        if (in->subs[i].read && (same_access(s, in->subs[i].read, s->identity, wanted, by) || root_subscribes(s, in->subs[i].read, wanted, by)))
            return true;
    return false;
}

/* ---- domains ---- */

/* The root reads through this integer: where it is none the root has no point. */
static bool exists_in_root(Same *s, const Access *wanted, const Affine *by)
{
    for (int id = 0; id < s->root->expr_count; id++)
        if (s->root->exprs[id].kind == EXPR_READ && root_subscribes(s, &s->root->exprs[id].access, wanted, by))
            return true;
    return root_subscribes(s, &s->root->out, wanted, by);
}

static bool guard_implied(Same *s, Formula guard)
{
    for (int g = 0; g < s->root->guard_count; g++)
        if (same(s, guard, (Formula){s->root, s->root->guards[g], s->identity}))
            return true;
    const Expr *expr = expr_of(guard);
    return expr->kind == EXPR_EXISTS && expr_of(operand(guard, 0))->kind == EXPR_READ && exists_in_root(s, &expr_of(operand(guard, 0))->access, guard.by);
}

static bool cond_implied(Same *s, Affine cond)
{
    Dim base;
    if (affine_is_const(cond, &base) && dim_proves_nonnegative(base))
        return true;
    for (int c = 0; c < s->root->cond_count; c++)
        if (affine_equal(cond, affine_substitute(s->unit->program, s->root->conds[c], s->identity)))
            return true;
    return false;
}

/* Every point of the root lies in the domain of what it reads there. */
static bool domain_implied(Same *s, const Op *op, const Affine *by)
{
    for (int c = 0; c < op->cond_count; c++)
        if (!cond_implied(s, affine_substitute(s->unit->program, op->conds[c], by)))
            return false;
    for (int g = 0; g < op->guard_count; g++)
        if (!guard_implied(s, (Formula){op, op->guards[g], by}))
            return false;
    return true;
}

/* ---- definitions ---- */

/* What the tensor read is defined as at these subscripts, where that is one expression. */
static bool definition_of(Same *s, Formula *term)
{
    Program *program = s->unit->program;
    const Access *read = &expr_of(*term)->access;
    const Tensor *tensor = &s->unit->tensors[read->tensor];
    if (tensor->def < 0 || tensor->type != T_REAL || ++s->steps > STEPS_MAX)
        return false;
    const Op *op = &s->unit->ops[tensor->def];
    if (op->kind != OP_NEST || op->init.tensor >= 0 || op->out.count != read->count)
        return false;
    Affine *by = ARENA_ARRAY(program->arena, Affine, op->index_count + 1);
    bool *known = ARENA_ARRAY(program->arena, bool, op->index_count + 1);
    for (int k = 0; k < read->count; k++) {
        int index = -1;
        const bool bare = op->out.subs[k].span == 1 && read->subs[k].span == 1 && !op->out.subs[k].read && affine_is_index(op->out.subs[k].affine, &index);
        if (!bare || known[index])
            return false;
        known[index] = true;
        if (is_one(program, op->indices[index].extent))
            continue;
        if (read->subs[k].read)
            return false;
        by[index] = affine_substitute(program, read->subs[k].affine, term->by);
    }
    for (int i = 0; i < op->index_count; i++) {
        if (is_one(program, op->indices[i].extent))
            by[i] = affine_const(program, dim_int(program->dims, 0));
        else if (!known[i])
            return false;
    }
    if (!domain_implied(s, op, by))
        return false;
    *term = (Formula){op, op->body, by};
    return true;
}

static Formula resolved(Same *s, Formula term)
{
    while (expr_of(term)->kind == EXPR_READ && definition_of(s, &term))
        ;
    return term;
}

static bool same(Same *s, Formula a, Formula b)
{
    Program *program = s->unit->program;
    if (++s->steps > STEPS_MAX)
        return false;
    a = resolved(s, a);
    b = resolved(s, b);
    const Expr *x = expr_of(a), *y = expr_of(b);
    if (x->kind != y->kind)
        return false;
    switch ((int)x->kind) {
    case EXPR_CONST: return x->value == y->value;
    case EXPR_DIM: return x->dim == y->dim;
    case EXPR_POS: return affine_equal(affine_substitute(program, affine_index(program, x->index), a.by), affine_substitute(program, affine_index(program, y->index), b.by));
    case EXPR_READ: return same_access(s, &x->access, a.by, &y->access, b.by);
    case EXPR_DRAW: return x->tag == y->tag && same_access(s, &x->access, a.by, &y->access, b.by);
    }
    for (int k = 0; k < scalar_arity(x->kind); k++)
        if (!same(s, operand(a, k), operand(b, k)))
            return false;
    return true;
}

/* ---- what cancels ---- */

static bool is_negligible(Formula term) { return expr_of(term)->kind == EXPR_CONST && fabs(expr_of(term)->value) <= NEGLIGIBLE; }

/* The divisor without what keeps it from 0. */
static Formula divisor(Same *s, Formula term)
{
    term = resolved(s, term);
    for (int k = 0; expr_of(term)->kind == EXPR_ADD && k < 2; k++)
        if (is_negligible(operand(term, 1 - k)))
            return operand(term, k);
    return term;
}

static bool divides(Same *s, Formula part, Formula by)
{
    part = resolved(s, part);
    return expr_of(part)->kind == EXPR_DIV && expr_of(operand(part, 0))->kind == EXPR_CONST && same(s, divisor(s, operand(part, 1)), by);
}

bool expression_cancels(const Unit *unit, const Op *op, int id)
{
    const ExprKind kind = op->exprs[id].kind;
    if (kind != EXPR_SUB && kind != EXPR_DIV && kind != EXPR_MUL)
        return false;
    Program *program = unit->program;
    Affine *identity = ARENA_ARRAY(program->arena, Affine, op->index_count + 1);
    for (int i = 0; i < op->index_count; i++)
        identity[i] = is_one(program, op->indices[i].extent) ? affine_const(program, dim_int(program->dims, 0)) : affine_index(program, i);
    Same s = {.unit = unit, .root = op, .identity = identity};
    const Formula a = operand((Formula){op, id, identity}, 0), b = operand((Formula){op, id, identity}, 1);
    if (kind == EXPR_MUL)
        return divides(&s, a, b) || divides(&s, b, a);
    return same(&s, a, kind == EXPR_DIV ? divisor(&s, b) : b);
}
