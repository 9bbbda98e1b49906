/* Effects: which run-time sizes values depend on. A size is read where it is a value, where it moves a subscript or a condition, where it ends a whole axis
   that is reduced or ranked; not where it is merely how far a definition's own index runs.

   A stored coordinate that is the meant one plus a size (distances from 1 - l to l - 1, kept from 0) is no dependence as long as every use agrees:
   such axes carry a shift, and what counts is the affine of the meant coordinates. */
#include "ir/effects_internal.h"

unsigned dim_symbols(Dim dim) { return (dim_uses(dim, DIM_B) ? 1u << DIM_B : 0) | (dim_uses(dim, DIM_L) ? 1u << DIM_L : 0); }

typedef struct Sizes {
    const UnitReach *reach;
    const Op *op;
    Dim *shift;      /* [index_count]: meant = index + shift; NULL: none */
    bool *seen;      /* [expr_count] */
    unsigned values; /* through the body */
    unsigned places; /* through guards, conditions and subscripts written */
    unsigned *into;  /* which of the two is being collected */
} Sizes;

static DimTable *dims_of(const Sizes *sz) { return sz->reach->unit->program->dims; }

/* Sizes in the affine once indices are replaced by what they mean; `shift` is that of the axis it subscripts. */
static unsigned affine_sizes(const Sizes *sz, Affine affine, Dim shift)
{
    DimTable *dims = dims_of(sz);
    Dim base = shift ? dim_add(dims, affine.base, shift) : affine.base;
    unsigned symbols = 0;
    for (int i = 0; i < affine.count; i++) {
        const Dim by = sz->shift[affine.terms[i].index];
        symbols |= dim_symbols(affine.terms[i].coef);
        if (by)
            base = dim_sub(dims, base, dim_mul(dims, affine.terms[i].coef, by));
    }
    return symbols | dim_symbols(base);
}

static void access_sizes(Sizes *sz, const Access *access, bool written);

/* One subscript, over the axes first … first + span - 1 of the tensor. */
static void sub_sizes(Sizes *sz, const TensorInfo *info, const Tensor *tensor, const Sub *sub, int first, const Where *where)
{
    bool known = true;
    for (int axis = first; axis < first + sub->span; axis++)
        known = known && where->known[axis];
    for (int axis = first; axis < first + sub->span; axis++) {
        if (known)
            *sz->into |= affine_sizes(sz, where->value[axis], info->shift[axis]);
        else if (info->shift[axis])
            *sz->into |= dim_symbols(info->shift[axis]);
        else if (axis > first && !sub->read)
            *sz->into |= dim_symbols(tensor->extent[axis]);
    }
    if (!known && !sub->read)
        *sz->into |= affine_sizes(sz, sub->affine, NULL);
    if (sub->read) {
        const TensorInfo *integer = &sz->reach->tensors[sub->read->tensor];
        *sz->into |= known ? integer->place_ext : integer->ext;
        access_sizes(sz, sub->read, false);
    }
}

/* Of the subscripts alone; what the tensor's values depend on is the caller's. */
static void access_sizes(Sizes *sz, const Access *access, bool written)
{
    const TensorInfo *info = &sz->reach->tensors[access->tensor];
    const Where where = where_is(sz->reach->unit, sz->op, access);
    unsigned *into = sz->into;
    if (written)
        sz->into = &sz->places;
    int axis = 0;
    for (int i = 0; i < access->count; i++) {
        sub_sizes(sz, info, &sz->reach->unit->tensors[access->tensor], &access->subs[i], axis, &where);
        axis += access->subs[i].span;
    }
    sz->into = into;
}

static void draw_sizes(Sizes *sz, const Expr *node)
{
    for (int i = 0; i < node->access.count; i++)
        *sz->into |= affine_sizes(sz, node->access.subs[i].affine, NULL) | (i > 0 ? dim_symbols(node->draw_extent[i]) : 0);
}

static void expr_sizes(Sizes *sz, int id)
{
    const Op *op = sz->op;
    const Expr *node = &op->exprs[id];
    Affine affine;
    if (sz->seen[id])
        return;
    sz->seen[id] = true;
    if (body_affine(sz->reach->unit, op, id, false, &affine)) {
        *sz->into |= affine_sizes(sz, affine, NULL);
        return;
    }
    switch ((int)node->kind) {
    case EXPR_READ:
        *sz->into |= sz->reach->tensors[node->access.tensor].ext;
        access_sizes(sz, &node->access, false);
        return;
    case EXPR_DRAW: draw_sizes(sz, node); return;
    case EXPR_EXISTS:
        if (op->exprs[node->arg[0]].kind == EXPR_READ) {
            *sz->into |= sz->reach->tensors[op->exprs[node->arg[0]].access.tensor].place_ext;
            access_sizes(sz, &op->exprs[node->arg[0]].access, false);
            return;
        }
    }
    for (int i = 0; i < scalar_arity(node->kind); i++)
        expr_sizes(sz, node->arg[i]);
}

/* ---- shifts ---- */

static void index_shift(Sizes *sz, int index, Dim shift)
{
    if (!sz->shift[index] && dim_symbols(shift))
        sz->shift[index] = shift;
}

/* The first use that adds a size to an index, or reads a shifted axis by it, says what the index means. */
static void find_shifts(Sizes *sz)
{
    const Op *op = sz->op;
    for (int e = 0; e < op->expr_count; e++) {
        const Expr *node = &op->exprs[e];
        Affine affine;
        if ((node->kind == EXPR_ADD || node->kind == EXPR_SUB) && body_affine(sz->reach->unit, op, e, false, &affine) && affine.count == 1 && dim_is(affine.terms[0].coef, 1))
            index_shift(sz, affine.terms[0].index, affine.base);
        const TensorInfo *info = node->kind == EXPR_READ ? &sz->reach->tensors[node->access.tensor] : NULL;
        int axis = 0;
        for (int i = 0; info && i < node->access.count; i++) {
            const Sub *sub = &node->access.subs[i];
            if (!sub->read && sub->span == 1 && info->shift[axis] && sub->affine.count == 1 && dim_is(sub->affine.terms[0].coef, 1))
                index_shift(sz, sub->affine.terms[0].index, dim_add(dims_of(sz), sub->affine.base, info->shift[axis]));
            axis += sub->span;
        }
    }
    for (int i = 0; i < op->index_count; i++) /* an index that runs over b or l itself means what it is */
        if (op->indices[i].extent == dim_symbol(dims_of(sz), DIM_B) || op->indices[i].extent == dim_symbol(dims_of(sz), DIM_L))
            sz->shift[i] = NULL;
}

static void keep_shifts(const Sizes *sz, TensorInfo *to)
{
    int axis = 0, index;
    for (int i = 0; i < sz->op->out.count; i++) {
        const Sub *sub = &sz->op->out.subs[i];
        if (!sub->read && sub->span == 1 && affine_is_index(sub->affine, &index))
            to->shift[axis] = sz->shift[index];
        axis += sub->span;
    }
}

/* ---- ranges ---- */

/* Where the index ends makes no difference to any point of the output: it never runs ahead of an output coordinate. */
static bool end_is_harmless(const Sizes *sz, const Where *out, const Tensor *tensor, int index)
{
    Program *program = sz->reach->unit->program;
    const Dim extent = sz->op->indices[index].extent;
    for (int axis = 0; axis < tensor->rank; axis++) {
        if (!out->known[axis])
            continue;
        const int64_t ahead = affine_upper(sz->reach->unit, sz->op, affine_sub(program, affine_index(program, index), out->value[axis]));
        if (ahead == EFFECT_INFINITY)
            continue;
        const Dim room = dim_sub(program->dims, dim_sub(program->dims, extent, tensor->extent[axis]), dim_int(program->dims, ahead));
        if (dim_proves_nonnegative(room))
            return true;
    }
    return false;
}

/* Points that a recurrence passes before another one: all of an inner axis, and where it runs backwards of the outermost too. */
static unsigned scan_sizes(const Op *op)
{
    unsigned symbols = 0;
    bool outer = op->reverse;
    for (int i = 0; i < op->scan_count; i++) {
        const Dim extent = op->indices[op->scan[i]].extent;
        if (outer)
            symbols |= dim_symbols(extent);
        outer = outer || !dim_is(extent, 1);
    }
    return symbols;
}

/* An integer that may come out beyond its bound is none there. */
static bool inside_bound(const Sizes *sz, const Tensor *tensor)
{
    const Unit *unit = sz->reach->unit;
    const Op *op = sz->op;
    Program *program = unit->program;
    Affine body;
    if (op->kind == OP_TOP || !dim_symbols(tensor->bound))
        return true;
    if (op->kind != OP_NEST || op->reducer != REDUCE_SET)
        return false;
    if (op->exprs[op->body].kind == EXPR_READ && unit->tensors[op->exprs[op->body].access.tensor].bound == tensor->bound)
        return true;
    return body_affine(unit, op, op->body, true, &body) && affine_upper(unit, op, affine_sub(program, body, affine_const(program, tensor->bound))) < 0 &&
           affine_upper(unit, op, affine_scale(program, body, dim_int(program->dims, -1))) <= 0;
}

void op_sizes(const UnitReach *reach, const Op *op, const Where *out)
{
    const Unit *unit = reach->unit;
    Arena *arena = unit->program->arena;
    TensorInfo *to = &reach->tensors[op->out.tensor];
    const Tensor *tensor = &unit->tensors[op->out.tensor];
    Sizes sz = {.reach = reach, .op = op, .shift = ARENA_ARRAY(arena, Dim, op->index_count + 1), .seen = ARENA_ARRAY(arena, bool, op->expr_count + 1)};
    Affine affine;
    find_shifts(&sz);
    keep_shifts(&sz, to);
    sz.into = &sz.places;
    for (int i = 0; i < op->guard_count; i++)
        expr_sizes(&sz, op->guards[i]);
    for (int i = 0; i < op->cond_count; i++)
        sz.places |= affine_sizes(&sz, op->conds[i], NULL);
    for (int i = 0; i < op->index_count; i++)
        if (dim_symbols(op->indices[i].extent) && !end_is_harmless(&sz, out, tensor, i))
            sz.places |= dim_symbols(op->indices[i].extent);
    access_sizes(&sz, &op->out, true);
    for (int i = 0; i < op->expr_count; i++) /* a subscript that is none takes the point out */
        if (op->exprs[i].kind == EXPR_READ)
            access_sizes(&sz, &op->exprs[i].access, false);
    if (tensor->type == T_INT && !inside_bound(&sz, tensor))
        sz.places |= dim_symbols(tensor->bound);
    sz.into = &sz.values;
    for (int i = 0; i < op->expr_count; i++)
        sz.seen[i] = false;
    if (op->body >= 0)
        expr_sizes(&sz, op->body);
    if (op->body2 >= 0)
        expr_sizes(&sz, op->body2);
    if (op->kind == OP_RECUR) {
        sz.values |= scan_sizes(op);
        if (op->init.tensor >= 0) {
            sz.values |= reach->tensors[op->init.tensor].ext;
            access_sizes(&sz, &op->init, false);
        }
    }
    if (op->kind == OP_TOP)
        sz.values |= dim_symbols(op->top_k);
    to->ext |= sz.values | sz.places;
    const bool inlined = tensor->type == T_INT && op->kind == OP_NEST && op->reducer == REDUCE_SET && body_affine(unit, op, op->body, true, &affine);
    to->place_ext |= inlined ? sz.places : to->ext;
}
