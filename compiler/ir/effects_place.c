/* Effects: where accesses stand, and bounds of affine values over the domain of an operation. */
#include "ir/effects_internal.h"

/* ---- integers that are index expressions ---- */

bool body_affine(const Unit *unit, const Op *op, int expr, bool through, Affine *value)
{
    Program *program = unit->program;
    const Expr *node = &op->exprs[expr];
    Affine a, b;
    Dim constant;
    switch ((int)node->kind) {
    case EXPR_POS: *value = affine_index(program, node->index); return true;
    case EXPR_DIM: *value = affine_const(program, node->dim); return true;
    case EXPR_READ: return through && read_affine(unit, &node->access, value);
    case EXPR_CONST:
        if (!(node->value > -1e15 && node->value < 1e15) || node->value != (double)(int64_t)node->value)
            return false;
        *value = affine_const(program, dim_int(program->dims, (int64_t)node->value));
        return true;
    case EXPR_NEG:
        if (!body_affine(unit, op, node->arg[0], through, &a))
            return false;
        *value = affine_scale(program, a, dim_int(program->dims, -1));
        return true;
    case EXPR_ADD:
    case EXPR_SUB:
    case EXPR_MUL:
        if (!body_affine(unit, op, node->arg[0], through, &a) || !body_affine(unit, op, node->arg[1], through, &b))
            return false;
        break;
    default: return false;
    }
    if (node->kind != EXPR_MUL)
        *value = node->kind == EXPR_ADD ? affine_add(program, a, b) : affine_sub(program, a, b);
    else if (affine_is_const(a, &constant))
        *value = affine_scale(program, b, constant);
    else if (affine_is_const(b, &constant))
        *value = affine_scale(program, a, constant);
    else
        return false;
    return true;
}

bool read_affine(const Unit *unit, const Access *read, Affine *value)
{
    const int def = unit->tensors[read->tensor].def;
    if (def < 0 || unit->tensors[read->tensor].type != T_INT || unit->ops[def].kind != OP_NEST || unit->ops[def].reducer != REDUCE_SET)
        return false;
    const Op *op = &unit->ops[def];
    Affine body;
    if (op->out.count != read->count || !body_affine(unit, op, op->body, true, &body))
        return false;
    Affine *by = ARENA_ARRAY(unit->program->arena, Affine, op->index_count + 1);
    bool *known = ARENA_ARRAY(unit->program->arena, bool, op->index_count + 1);
    for (int i = 0; i < op->out.count; i++) {
        int index;
        if (op->out.subs[i].span != read->subs[i].span || op->out.subs[i].read || !affine_is_index(op->out.subs[i].affine, &index))
            return false;
        by[index] = read->subs[i].affine;
        known[index] = !read->subs[i].read || read_affine(unit, read->subs[i].read, &by[index]);
    }
    for (int i = 0; i < body.count; i++)
        if (!known[body.terms[i].index])
            return false;
    for (int i = 0; i < op->index_count; i++)
        if (!known[i])
            by[i] = affine_const(unit->program, dim_int(unit->program->dims, 0));
    *value = affine_substitute(unit->program, body, by);
    return true;
}

/* ---- the place of an access ---- */

/* Takes a row-major value over several axes apart: the term whose coefficient is the stride of an axis belongs to it, if its index stays inside the axis. */
static void split_span(const Unit *unit, const Op *op, const Tensor *tensor, int first, int span, Affine value, Where *where)
{
    Program *program = unit->program;
    Dim stride = dim_int(program->dims, 1);
    bool exact = true;
    for (int axis = first + span - 1; axis >= first; axis--) {
        Affine part = affine_const(program, dim_int(program->dims, 0)), rest = affine_const(program, value.base);
        where->known[axis] = true;
        where->value[axis] = part;
        if (dim_is(tensor->extent[axis], 1))
            continue;
        for (int i = 0; i < value.count; i++) {
            const Affine index = affine_index(program, value.terms[i].index);
            if (value.terms[i].coef == stride) {
                part = affine_add(program, part, index);
                exact = exact && (axis == first || op->indices[value.terms[i].index].extent == tensor->extent[axis]);
            } else {
                rest = affine_add(program, rest, affine_scale(program, index, value.terms[i].coef));
            }
        }
        exact = exact && part.count <= 1;
        where->value[axis] = part;
        value = rest;
        stride = dim_mul(program->dims, stride, tensor->extent[axis]);
    }
    Dim base;
    if (exact && affine_is_const(value, &base) && dim_is(base, 0))
        return;
    for (int axis = first; axis < first + span; axis++)
        where->known[axis] = false;
}

Where where_is(const Unit *unit, const Op *op, const Access *access)
{
    Where where = {0};
    const Tensor *tensor = &unit->tensors[access->tensor];
    int axis = 0;
    for (int i = 0; i < access->count; i++) {
        const Sub *sub = &access->subs[i];
        Affine value = sub->affine;
        const bool known = !sub->read || read_affine(unit, sub->read, &value);
        if (known && sub->span == 1) {
            where.known[axis] = true;
            where.value[axis] = value;
        } else if (known) {
            split_span(unit, op, tensor, axis, sub->span, value, &where);
        }
        axis += sub->span;
    }
    return where;
}

/* ---- bounds ---- */

/* The largest value over the box: a dimension, NULL where a coefficient has no sign. */
static Dim box_upper(DimTable *dims, const Op *op, Affine value)
{
    Dim most = value.base;
    for (int i = 0; i < value.count; i++) {
        const Dim coef = value.terms[i].coef;
        if (dim_proves_nonnegative(coef))
            most = dim_add(dims, most, dim_mul(dims, coef, dim_sub(dims, op->indices[value.terms[i].index].extent, dim_int(dims, 1))));
        else if (!dim_proves_nonnegative(dim_sub(dims, dim_int(dims, 0), coef)))
            return NULL;
    }
    return most;
}

/* With no condition, one, or two of them added: value <= value + cond where cond >= 0. */
int64_t affine_upper(const Unit *unit, const Op *op, Affine value)
{
    Program *program = unit->program;
    int64_t best = EFFECT_INFINITY;
    for (int c = -1; c < op->cond_count; c++) {
        const Affine one = c < 0 ? value : affine_add(program, value, op->conds[c]);
        for (int e = c; e < (c < 0 ? 0 : op->cond_count); e++) {
            const Dim most = box_upper(program->dims, op, e == c ? one : affine_add(program, one, op->conds[e]));
            int64_t bound;
            if (most && dim_is_int(most, &bound) && bound < best)
                best = bound;
        }
    }
    return best;
}

Interval affine_difference(const Unit *unit, const Op *op, Affine read, Affine written)
{
    Program *program = unit->program;
    const Affine delta = affine_sub(program, read, written);
    const int64_t high = affine_upper(unit, op, delta);
    const int64_t low = affine_upper(unit, op, affine_scale(program, delta, dim_int(program->dims, -1)));
    return (Interval){.low = low == EFFECT_INFINITY ? -EFFECT_INFINITY : -low, .high = high};
}
