/* Affine forms, subscripts and accesses. */
#include "ir/ir.h"

#include "support/bug.h"

#include <stdlib.h>

Affine affine_const(Program *program, Dim base)
{
    (void)program;
    return (Affine){.base = base};
}

Affine affine_index(Program *program, int index)
{
    const Term term = {index, dim_int(program->dims, 1)};
    return (Affine){dim_int(program->dims, 0), 1, arena_memdup(program->arena, &term, sizeof term)};
}

/* a + scale * b */
static Affine combine(Program *program, Affine a, Affine b, Dim scale)
{
    DimTable *dims = program->dims;
    Affine sum = {.base = dim_add(dims, a.base, dim_mul(dims, b.base, scale))};
    if (a.count + b.count == 0)
        return sum;
    sum.terms = ARENA_ARRAY(program->arena, Term, a.count + b.count);
    for (int i = 0, k = 0; i < a.count || k < b.count;) {
        const bool from_a = k == b.count || (i < a.count && a.terms[i].index <= b.terms[k].index);
        const bool from_b = i == a.count || (k < b.count && b.terms[k].index <= a.terms[i].index);
        Term term = {from_a ? a.terms[i].index : b.terms[k].index, from_a ? a.terms[i].coef : dim_int(dims, 0)};
        if (from_b)
            term.coef = dim_add(dims, term.coef, dim_mul(dims, b.terms[k].coef, scale));
        i += from_a;
        k += from_b;
        if (!dim_is(term.coef, 0))
            sum.terms[sum.count++] = term;
    }
    return sum;
}

Affine affine_add(Program *program, Affine a, Affine b) { return combine(program, a, b, dim_int(program->dims, 1)); }

Affine affine_sub(Program *program, Affine a, Affine b) { return combine(program, a, b, dim_int(program->dims, -1)); }

Affine affine_scale(Program *program, Affine a, Dim factor) { return combine(program, affine_const(program, dim_int(program->dims, 0)), a, factor); }

bool affine_is_const(Affine a, Dim *base)
{
    if (a.count > 0)
        return false;
    if (base)
        *base = a.base;
    return true;
}

bool affine_is_index(Affine a, int *index)
{
    if (a.count != 1 || !dim_is(a.terms[0].coef, 1) || !dim_is(a.base, 0))
        return false;
    if (index)
        *index = a.terms[0].index;
    return true;
}

bool affine_equal(Affine a, Affine b)
{
    if (a.base != b.base || a.count != b.count)
        return false;
    for (int i = 0; i < a.count; i++)
        if (a.terms[i].index != b.terms[i].index || a.terms[i].coef != b.terms[i].coef)
            return false;
    return true;
}

Affine affine_substitute(Program *program, Affine a, const Affine *by)
{
    Affine sum = affine_const(program, a.base);
    for (int i = 0; i < a.count; i++)
        sum = combine(program, sum, by[a.terms[i].index], a.terms[i].coef);
    return sum;
}

Affine affine_map(Program *program, Affine affine, const int *index_map)
{
    if (!index_map)
        return affine;
    Affine sum = affine_const(program, affine.base);
    for (int i = 0; i < affine.count; i++) {
        Term term = {index_map[affine.terms[i].index], affine.terms[i].coef};
        sum = affine_add(program, sum, (Affine){dim_int(program->dims, 0), 1, &term});
    }
    return sum;
}

Access access_new(Program *program, int tensor, int count)
{
    Access access = {.tensor = tensor, .count = count};
    access.subs = ARENA_ARRAY(program->arena, Sub, count);
    for (int i = 0; i < count; i++)
        access.subs[i] = sub_affine(affine_const(program, dim_int(program->dims, 0)), 1);
    return access;
}

Access access_indices(Program *program, int tensor, int count, const int *indices)
{
    Access access = access_new(program, tensor, count);
    for (int i = 0; i < count; i++)
        access.subs[i].affine = affine_index(program, indices[i]);
    return access;
}

Access access_map(Program *program, const Access *access, const int *index_map, const int *tensor_map)
{
    if (!index_map && !tensor_map)
        return *access;
    Access copy = access_new(program, access->tensor < 0 || !tensor_map ? access->tensor : tensor_map[access->tensor], access->count);
    for (int i = 0; i < access->count; i++) {
        const Sub *sub = &access->subs[i];
        if (sub->read)
            copy.subs[i] = sub_read(program, access_map(program, sub->read, index_map, tensor_map), sub->span);
        else
            copy.subs[i] = sub_affine(affine_map(program, sub->affine, index_map), sub->span);
    }
    return copy;
}

Sub sub_affine(Affine affine, int span) { return (Sub){.span = span, .affine = affine}; }

Sub sub_index(Program *program, int index) { return sub_affine(affine_index(program, index), 1); }

Sub sub_read(Program *program, Access read, int span)
{
    Sub sub = {.span = span, .read = arena_memdup(program->arena, &read, sizeof read)};
    sub.affine.base = dim_int(program->dims, 0);
    return sub;
}

bool access_equal(const Access *a, const Access *b)
{
    if (a->tensor != b->tensor || a->count != b->count)
        return false;
    for (int i = 0; i < a->count; i++) {
        const Sub *left = &a->subs[i], *right = &b->subs[i];
        if (left->span != right->span || !left->read != !right->read)
            return false;
        if (left->read ? !access_equal(left->read, right->read) : !affine_equal(left->affine, right->affine))
            return false;
    }
    return true;
}

Dim access_extent(const Unit *unit, const Access *access, int sub)
{
    const Tensor *tensor = &unit->tensors[access->tensor];
    int axis = 0;
    for (int i = 0; i < sub; i++)
        axis += access->subs[i].span;
    Dim product = dim_int(unit->program->dims, 1);
    for (int i = 0; i < access->subs[sub].span; i++) {
        BFM_ASSERT(axis + i < tensor->rank);
        product = dim_mul(unit->program->dims, product, tensor->extent[axis + i]);
    }
    return product;
}

static bool access_uses_index(const Access *access, int index)
{
    for (int i = 0; i < access->count; i++) {
        const Sub *sub = &access->subs[i];
        if (sub->read && access_uses_index(sub->read, index))
            return true;
        for (int t = 0; !sub->read && t < sub->affine.count; t++)
            if (sub->affine.terms[t].index == index)
                return true;
    }
    return false;
}

bool op_uses_index(const Op *op, int expr, int index)
{
    /* Operands stand before their users: one sweep marks what `expr` reaches. */
    bool marks_small[256] = {false}, *reached = marks_small;
    BFM_ASSERT(expr < op->expr_count);
    void *large = NULL;
    if (expr >= 256) {
        large = calloc((size_t)expr + 1, sizeof(bool));
        BFM_ASSERT(large);
        reached = large;
    }
    bool used = false;
    reached[expr] = true;
    for (int id = expr; id >= 0 && !used; id--) {
        if (!reached[id])
            continue;
        const Expr *e = &op->exprs[id];
        used = (e->kind == EXPR_POS && e->index == index) || ((e->kind == EXPR_READ || e->kind == EXPR_DRAW) && access_uses_index(&e->access, index));
        for (int i = 0; i < scalar_arity(e->kind); i++)
            reached[e->arg[i]] = true;
    }
    free(large);
    return used;
}
