#include "generator.h"

#include "ir/needs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- chance (splitmix64) ---- */

uint64_t gen_next(Generator *gen)
{
    uint64_t z = gen->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int gen_below(Generator *gen, int limit) { return (int)(gen_next(gen) % (uint64_t)limit); }

bool gen_chance(Generator *gen, int percent) { return gen_below(gen, 100) < percent; }

Symbol gen_name(Generator *gen, const char *stem)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%s%d", stem, gen->names++);
    return intern(gen->program->interner, text);
}

/* ---- dimensions ---- */

/* An extent that only some lengths give, which the program then needs: a part of the length, or all but some. */
static Dim length_extent(Generator *gen, bool part)
{
    Program *program = gen->program;
    DimTable *dims = program->dims;
    const Dim length = dim_symbol(dims, DIM_L);
    const int64_t by = 2 + gen_below(gen, 2);
    const Dim extent = part ? dim_mul(dims, length, dim_rational(dims, rational(1, by))) : dim_sub(dims, length, dim_int(dims, by));
    needs_add_whole(program, extent, NULL);
    needs_add(program, extent, NULL);
    return extent;
}

Dim gen_extent(Generator *gen)
{
    static const int sizes[] = {1, 2, 3, 4, 5, 7, 3, 4};
    DimTable *dims = gen->program->dims;
    const int kind = gen_below(gen, 20);
    if (kind < 4)
        return dim_symbol(dims, DIM_B);
    if (kind < 9)
        return dim_symbol(dims, DIM_L);
    if (kind == 9)
        return dim_sub(dims, dim_symbol(dims, DIM_L), dim_int(dims, 1)); /* empty where l = 1 */
    if (kind == 10)
        return dim_ceil(dims, dim_mul(dims, dim_rational(dims, rational(1, 2)), dim_mul(dims, dim_symbol(dims, DIM_B), dim_symbol(dims, DIM_L))));
    if (kind == 11 || kind == 12)
        return length_extent(gen, kind == 11);
    return dim_int(dims, sizes[gen_below(gen, 8)]);
}

int64_t gen_large(const Generator *gen, Dim dim) { return dim_eval(dim, &gen->large); }

bool gen_positive(const Generator *gen, Dim dim) { return dim_proves_nonnegative(dim_sub(gen->program->dims, dim, dim_int(gen->program->dims, 1))); }

int gen_pick(Generator *gen, ElemType type, int rank, Dim bound, bool total)
{
    int found = -1;
    for (int i = 0, seen = 0; i < gen->known.count; i++) {
        const Known *known = &gen->known.items[i];
        const Tensor *tensor = &gen->unit->tensors[known->tensor];
        if (tensor->type != type || (rank >= 0 && tensor->rank != rank) || (bound && tensor->bound != bound) || (total && (known->partial >= 0 || known->infinite)))
            continue;
        seen++;
        if (gen_below(gen, seen) == 0 || gen_chance(gen, 25))
            found = i;
    }
    return found;
}

int known_push(Generator *gen, Known known)
{
    vec_push(&gen->known, known);
    return gen->known.count - 1;
}

/* ---- drafts ---- */

Draft draft_begin(Generator *gen, OpKind kind, Reducer reducer)
{
    Draft draft = {.gen = gen, .b = op_begin(gen->unit, kind)};
    draft.b.op.reducer = reducer;
    return draft;
}

int64_t draft_volume(const Draft *draft)
{
    int64_t volume = 1;
    for (int i = 0; i < draft->b.op.index_count; i++)
        volume *= gen_large(draft->gen, draft->b.op.indices[i].extent);
    return volume;
}

int draft_index(Draft *draft, Dim extent, bool fresh)
{
    Generator *gen = draft->gen;
    const Op *op = &draft->b.op;
    int found = -1;
    for (int i = 0, seen = 0; i < op->index_count && !fresh; i++)
        if (op->indices[i].extent == extent && gen_below(gen, ++seen) == 0)
            found = i;
    if (found >= 0 && gen_chance(gen, 75))
        return found;
    if (op->index_count == INDICES_MAX || draft_volume(draft) * gen_large(gen, extent) > VOLUME_MAX)
        return found;
    return op_index(&draft->b, gen_name(gen, "i"), extent);
}

static Affine constant(const Draft *draft, int64_t value) { return affine_const(draft->gen->program, dim_int(draft->gen->program->dims, value)); }

/* i - c or i + c, with the condition that keeps it inside. */
static Affine shifted(Draft *draft, int index, Dim extent)
{
    Program *program = draft->gen->program;
    const int64_t by = 1 + gen_below(draft->gen, 2);
    const bool up = gen_chance(draft->gen, 40);
    const Affine at = up ? affine_add(program, affine_index(program, index), constant(draft, by)) : affine_sub(program, affine_index(program, index), constant(draft, by));
    const Affine last = affine_const(program, dim_sub(program->dims, extent, dim_int(program->dims, 1)));
    op_cond(&draft->b, up ? affine_sub(program, last, at) : at);
    draft->misses = true;
    return at;
}

static bool through_integers(Draft *draft, Dim extent, Sub *sub)
{
    Generator *gen = draft->gen;
    const int known = gen_pick(gen, T_INT, -1, extent, true);
    if (known < 0 || draft->plain)
        return false;
    const Tensor tensor = gen->unit->tensors[gen->known.items[known].tensor];
    Access access = access_new(gen->program, gen->known.items[known].tensor, tensor.rank);
    draft->plain = true;
    bool fits = true;
    for (int axis = 0; axis < tensor.rank && fits; axis++)
        fits = draft_sub(draft, tensor.extent[axis], &access.subs[axis]);
    draft->plain = false;
    draft->misses = draft->misses || fits;
    if (fits)
        *sub = sub_read(gen->program, access, 1);
    return fits;
}

bool draft_sub(Draft *draft, Dim extent, Sub *sub)
{
    Generator *gen = draft->gen;
    Program *program = gen->program;
    const int kind = gen_below(gen, 100);
    int64_t size;
    if (kind < 14 && through_integers(draft, extent, sub))
        return true;
    if (kind < 20 && gen_positive(gen, extent)) {
        *sub = sub_affine(affine_const(program, gen_chance(gen, 50) ? dim_int(program->dims, 0) : dim_sub(program->dims, extent, dim_int(program->dims, 1))), 1);
        return true;
    }
    if (kind < 26 && !draft->plain && dim_is_int(extent, &size) && size >= 3) { /* every second place, or all but the first */
        const bool stride = gen_chance(gen, 50);
        const int index = draft_index(draft, dim_int(program->dims, stride ? (size + 1) / 2 : size - 1), false);
        if (index >= 0) {
            const Affine at = affine_index(program, index);
            *sub = sub_affine(stride ? affine_scale(program, at, dim_int(program->dims, 2)) : affine_add(program, at, constant(draft, 1)), 1);
            return true;
        }
    }
    const int index = draft_index(draft, extent, false);
    if (index < 0)
        return false;
    if (kind >= 26 && kind < 34 && !draft->plain && !draft->no_conds)
        *sub = sub_affine(shifted(draft, index, extent), 1);
    else if (kind >= 34 && kind < 40 && !draft->plain)
        *sub = sub_affine(affine_sub(program, affine_const(program, dim_sub(program->dims, extent, dim_int(program->dims, 1))), affine_index(program, index)), 1);
    else
        *sub = sub_index(program, index);
    return true;
}

/* ---- reading ---- */

/* x where it is finite, else 0. */
static Sized made_finite(Draft *draft, Sized value)
{
    OpBuilder *b = &draft->b;
    const int small = expr_op(b, EXPR_LT, expr_op(b, EXPR_ABS, value.expr, -1, -1), expr_const(b, 1e30), -1);
    return (Sized){expr_op(b, EXPR_SELECT, small, value.expr, expr_const(b, 0)), value.size};
}

static void inherit_reads(Draft *draft, const Access *access, const int *index_map)
{
    for (int i = 0; i < access->count; i++) {
        if (!access->subs[i].read)
            continue;
        const Access mapped = access_map(draft->gen->program, access->subs[i].read, index_map, NULL);
        op_guard(&draft->b, expr_op(&draft->b, EXPR_EXISTS, expr_read(&draft->b, mapped), -1, -1));
    }
}

/* The domain of the operation that defined a partial tensor, its output's indices being at index_map. */
static void inherit_domain(Draft *draft, const Op *from, const int *index_map)
{
    int *memo = ARENA_ARRAY(draft->gen->program->arena, int, from->expr_count);
    for (int i = 0; i < from->expr_count; i++)
        memo[i] = -1;
    for (int i = 0; i < from->cond_count; i++)
        op_cond(&draft->b, affine_map(draft->gen->program, from->conds[i], index_map));
    for (int i = 0; i < from->guard_count; i++)
        op_guard(&draft->b, expr_copy(&draft->b, from, from->guards[i], index_map, NULL, memo));
    for (int i = 0; i < from->expr_count; i++)
        if (from->exprs[i].kind == EXPR_READ)
            inherit_reads(draft, &from->exprs[i].access, index_map);
    draft->misses = true;
}

bool draft_read_at(Draft *draft, int known, int *at, Sized *value)
{
    Generator *gen = draft->gen;
    const Known from = gen->known.items[known];
    const Tensor tensor = gen->unit->tensors[from.tensor];
    for (int axis = 0; axis < tensor.rank; axis++) {
        if (at[axis] < 0)
            at[axis] = draft_index(draft, tensor.extent[axis], true);
        if (at[axis] < 0)
            return false;
    }
    if (from.partial >= 0) {
        const Op op = gen->unit->ops[from.partial];
        int map[INDICES_MAX] = {0};
        for (int axis = 0; axis < tensor.rank; axis++)
            map[op.out.subs[axis].affine.terms[0].index] = at[axis];
        inherit_domain(draft, &op, map);
    }
    *value = (Sized){expr_read(&draft->b, access_indices(gen->program, from.tensor, tensor.rank, at)), from.size};
    if (from.infinite)
        *value = made_finite(draft, *value);
    return true;
}

bool draft_read(Draft *draft, int known, Sized *value)
{
    Generator *gen = draft->gen;
    const Known from = gen->known.items[known];
    const Tensor tensor = gen->unit->tensors[from.tensor];
    if (from.partial >= 0) {
        int at[INDICES_MAX] = {-1, -1, -1, -1, -1};
        return !draft->no_conds && !draft->plain && draft_read_at(draft, known, at, value);
    }
    Access access = access_new(gen->program, from.tensor, tensor.rank);
    for (int axis = 0; axis < tensor.rank; axis++) {
        const Dim extent = tensor.extent[axis];
        /* two axes at once, through integers or an index over both */
        if (axis + 2 == tensor.rank && gen_chance(gen, 15)) {
            const Dim both = dim_mul(gen->program->dims, extent, tensor.extent[axis + 1]);
            Sub sub;
            if (!through_integers(draft, both, &sub)) {
                const int index = draft_index(draft, both, false);
                if (index < 0)
                    return false;
                sub = sub_index(gen->program, index);
            }
            sub.span = 2;
            access.subs[axis] = sub;
            access.count = axis + 1;
            break;
        }
        if (!draft_sub(draft, extent, &access.subs[axis]))
            return false;
    }
    *value = (Sized){expr_read(&draft->b, access), from.size};
    if (from.infinite)
        *value = made_finite(draft, *value);
    return true;
}

/* ---- values ---- */

static Sized unary(Draft *draft, ExprKind kind, Sized a, double size) { return (Sized){expr_op(&draft->b, kind, a.expr, -1, -1), size}; }

static Sized binary(Draft *draft, ExprKind kind, Sized a, Sized b, double size) { return (Sized){expr_op(&draft->b, kind, a.expr, b.expr, -1), size}; }

static Sized number(Draft *draft, double value) { return (Sized){expr_const(&draft->b, value), fabs(value)}; }

Sized draft_bounded(Draft *draft, Sized value)
{
    if (value.size <= 3)
        return value;
    if (gen_chance(draft->gen, 50))
        return unary(draft, EXPR_TANH, value, 1);
    return binary(draft, EXPR_MUL, value, number(draft, 1 / value.size), 1);
}

static Sized leaf(Draft *draft, const Sized *leaves, int count)
{
    Generator *gen = draft->gen;
    OpBuilder *b = &draft->b;
    const int kind = gen_below(gen, 20);
    if (kind == 0)
        return number(draft, (double)gen_below(gen, 31) / 8 - 2);
    if (kind == 1 && b->op.index_count > 0) {
        const int index = gen_below(gen, b->op.index_count);
        const Sized at = {expr_pos(b, index), (double)gen_large(gen, b->op.indices[index].extent)};
        return gen_chance(gen, 50) ? unary(draft, EXPR_SIN, at, 1) : (Sized){expr_op(b, EXPR_MOD, at.expr, expr_const(b, 3), -1), 2};
    }
    if (kind == 2)
        return binary(draft, EXPR_DIV, number(draft, 2), (Sized){expr_dim(b, dim_symbol(gen->program->dims, gen_chance(gen, 50) ? DIM_B : DIM_L)), 1}, 2);
    if (kind == 3 && !gen->options.no_draws && b->op.index_count > 0) {
        const int index = gen_below(gen, b->op.index_count);
        const Affine at = affine_index(gen->program, index);
        return (Sized){expr_draw(b, intern(gen->program->interner, gen_chance(gen, 50) ? "keep" : "mix"), 1, &at, &b->op.indices[index].extent), 1};
    }
    return count > 0 ? leaves[gen_below(gen, count)] : number(draft, 0.75);
}

/* 1.5 + a value within ±1: for what must stay away from 0. */
static Sized above_zero(Draft *draft, Sized a) { return binary(draft, EXPR_ADD, number(draft, 1.5), unary(draft, EXPR_SIN, a, 1), 2.5); }

static Sized choice(Draft *draft, Sized a, Sized b)
{
    OpBuilder *builder = &draft->b;
    const ExprKind kinds[] = {EXPR_LT, EXPR_LE, EXPR_NE, EXPR_EQ};
    int test = expr_op(builder, kinds[gen_below(draft->gen, 4)], a.expr, number(draft, 0.25).expr, -1);
    if (gen_chance(draft->gen, 30))
        test = expr_op(builder, EXPR_NOT, test, -1, -1);
    if (gen_chance(draft->gen, 30))
        test = expr_op(builder, gen_chance(draft->gen, 50) ? EXPR_AND : EXPR_OR, test, expr_op(builder, EXPR_LT, b.expr, a.expr, -1), -1);
    return (Sized){expr_op(builder, EXPR_SELECT, test, a.expr, b.expr), fmax(a.size, b.size)};
}

/* Three times a, with what makes whole numbers rare: precisions would take those to different sides. */
static Sized stepped(Draft *draft, Sized a) { return binary(draft, EXPR_ADD, binary(draft, EXPR_MUL, a, number(draft, 3), 3 * a.size), number(draft, 0.371), 3 * a.size + 1); }

/* The nearest point of a short axis, -1 where there is none. */
static Sized pointed(Draft *draft, Sized a)
{
    OpBuilder *builder = &draft->b;
    const int point = expr_op(builder, EXPR_POINT, stepped(draft, a).expr, expr_const(builder, 1 + gen_below(draft->gen, 4)), -1);
    return (Sized){expr_op(builder, EXPR_SELECT, expr_op(builder, EXPR_EXISTS, point, -1, -1), point, expr_const(builder, -1)), 4};
}

Sized draft_expr(Draft *draft, int depth, const Sized *leaves, int count)
{
    if (depth == 0)
        return leaf(draft, leaves, count);
    const Sized a = draft_bounded(draft, draft_expr(draft, depth - 1, leaves, count));
    const int kind = gen_below(draft->gen, 32);
    if (kind < 14) {
        const Sized b = draft_bounded(draft, draft_expr(draft, depth - 1, leaves, count));
        switch (kind) {
        case 0:
        case 1:
        case 2: return binary(draft, EXPR_ADD, a, b, a.size + b.size);
        case 3: return binary(draft, EXPR_SUB, a, b, a.size + b.size);
        case 4:
        case 5:
        case 6:
        case 7: return binary(draft, EXPR_MUL, a, b, a.size * b.size);
        case 8: return binary(draft, EXPR_DIV, a, above_zero(draft, b), 2 * a.size);
        case 9: return (Sized){expr_op(&draft->b, EXPR_FMA, a.expr, b.expr, leaf(draft, leaves, count).expr), a.size * b.size + 3};
        case 10: return binary(draft, EXPR_MAX, a, b, fmax(a.size, b.size));
        case 11: return binary(draft, EXPR_MIN, a, b, fmax(a.size, b.size));
        case 12: return binary(draft, EXPR_POW, above_zero(draft, a), gen_chance(draft->gen, 50) ? number(draft, 1.5) : unary(draft, EXPR_TANH, b, 1), 4);
        default: return choice(draft, a, b);
        }
    }
    switch (kind) {
    case 14:
    case 15: return unary(draft, EXPR_TANH, a, 1);
    case 16: return unary(draft, EXPR_SIGMOID, a, 1);
    case 17: return unary(draft, EXPR_EXP, unary(draft, EXPR_SIN, a, 1), 2.8);
    case 18: return unary(draft, EXPR_LOG, above_zero(draft, a), 1);
    case 19: return unary(draft, EXPR_SQRT, above_zero(draft, a), 1.6);
    case 20: return unary(draft, EXPR_RSQRT, above_zero(draft, a), 1.5);
    case 21: return unary(draft, EXPR_ERF, a, 1);
    case 22: return unary(draft, EXPR_SOFTPLUS, a, a.size + 1);
    case 23: return unary(draft, EXPR_SIN, a, 1);
    case 24: return unary(draft, EXPR_COS, a, 1);
    case 25: return unary(draft, EXPR_ABS, a, a.size);
    case 26: return unary(draft, EXPR_NEG, a, a.size);
    case 27: return draft->gen->options.smooth ? a : unary(draft, EXPR_STOP, a, a.size); /* differences do not stop */
    case 28: return draft->gen->options.smooth ? a : unary(draft, EXPR_FLOOR, stepped(draft, a), 3 * a.size + 2);
    case 29: return binary(draft, EXPR_MUL, a, a, a.size * a.size);
    case 30: return draft->gen->options.smooth ? a : pointed(draft, a);
    default: return a;
    }
}

/* ---- results ---- */

int draft_finish_into(Draft *draft, Sized body, Access out, double size, bool partial, bool infinite)
{
    draft->b.op.body = body.expr;
    draft->b.op.out = out;
    const int op = op_finish(&draft->b);
    return known_push(draft->gen, (Known){.tensor = out.tensor, .size = size, .partial = partial ? op : -1, .infinite = infinite});
}

int draft_finish(Draft *draft, Sized body, int rank, const int *indices, Dim bound)
{
    Generator *gen = draft->gen;
    Dim extents[INDICES_MAX];
    double kept = 1;
    for (int i = 0; i < rank; i++) {
        extents[i] = draft->b.op.indices[indices[i]].extent;
        kept *= (double)gen_large(gen, extents[i]);
    }
    const Op *op = &draft->b.op;
    const bool nest = op->kind == OP_NEST;
    double size = body.size;
    const double reduced = (double)draft_volume(draft) / kept;
    if (nest && op->reducer == REDUCE_SUM && size * reduced > 6) {
        body = binary(draft, EXPR_MUL, body, number(draft, 4 / reduced / fmax(size, 1)), 1);
        size = 4;
    } else if (nest && op->reducer == REDUCE_SUM) {
        size *= reduced;
    } else if (nest && op->reducer == REDUCE_LSE) {
        size += log(reduced + 1);
    }
    const int tensor = unit_tensor(gen->unit, gen_name(gen, bound ? "k" : "t"), bound ? T_INT : T_REAL, TENSOR_LOCAL, rank, extents, bound);
    const bool extreme = nest && (op->reducer == REDUCE_MAX || op->reducer == REDUCE_MIN || op->reducer == REDUCE_LSE);
    bool empty = draft->misses;
    for (int i = 0; i < op->index_count; i++)
        empty = empty || !gen_positive(gen, op->indices[i].extent);
    return draft_finish_into(draft, body, access_indices(gen->program, tensor, rank, indices), size, nest && op->reducer == REDUCE_SET && !bound && draft->misses,
                             extreme && empty && !bound);
}
