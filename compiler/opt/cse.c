/* Common operations: two operations equal but for the names of their indices are one. (normalize.c orders indices so that equal meanings look equal.)
   A row statistic that exists with its axes in another order is read from there: a score that two of them read would not be streamed.
   requires   a verified unit
   preserves  values bit for bit; groups (a member is never replaced)
   breaks     positions of operations */
#include "opt/opt.h"

#include "ir/rewrite.h"

#include <string.h>

typedef struct Pair {
    const Op *a, *b;
    int *same; /* [a->expr_count]: expression of b known to be equal, -1 = not known */
} Pair;

static bool exprs_equal(Pair *pair, int a, int b)
{
    if (pair->same[a] >= 0)
        return pair->same[a] == b;
    const Expr *x = &pair->a->exprs[a], *y = &pair->b->exprs[b];
    if (x->kind != y->kind || x->index != y->index || x->dim != y->dim || x->tag != y->tag)
        return false;
    if (memcmp(&x->value, &y->value, sizeof x->value) != 0 || x->access.tensor != y->access.tensor || !access_equal(&x->access, &y->access))
        return false;
    for (int k = 0; x->kind == EXPR_DRAW && k < x->access.count; k++)
        if (x->draw_extent[k] != y->draw_extent[k])
            return false;
    for (int k = 0; k < scalar_arity(x->kind); k++)
        if (!exprs_equal(pair, x->arg[k], y->arg[k]))
            return false;
    pair->same[a] = b;
    return true;
}

static bool tensors_alike(const Tensor *a, const Tensor *b)
{
    if (a->type != b->type || a->rank != b->rank || a->bound != b->bound)
        return false;
    for (int k = 0; k < a->rank; k++)
        if (a->extent[k] != b->extent[k])
            return false;
    return true;
}

static bool subs_equal(const Access *a, const Access *b)
{
    Access renamed = *b;
    renamed.tensor = a->tensor;
    return access_equal(a, &renamed);
}

static bool headers_equal(const Op *a, const Op *b)
{
    if (a->kind != b->kind || a->kind == OP_CALL || a->reducer != b->reducer || a->index_count != b->index_count || a->cond_count != b->cond_count ||
        a->guard_count != b->guard_count || a->scan_count != b->scan_count || a->reverse != b->reverse || a->exclusive != b->exclusive || a->reduced != b->reduced ||
        a->top_k != b->top_k || (a->body2 < 0) != (b->body2 < 0))
        return false;
    for (int i = 0; i < a->index_count; i++)
        if (a->indices[i].extent != b->indices[i].extent)
            return false;
    for (int c = 0; c < a->cond_count; c++)
        if (!affine_equal(a->conds[c], b->conds[c]))
            return false;
    for (int s = 0; s < a->scan_count; s++)
        if (a->scan[s] != b->scan[s])
            return false;
    return a->init.tensor == b->init.tensor && (a->kind != OP_RECUR || access_equal(&a->init, &b->init));
}

static bool outputs_equal(const Unit *unit, const Op *a, const Op *b)
{
    return tensors_alike(&unit->tensors[a->out.tensor], &unit->tensors[b->out.tensor]) && subs_equal(&a->out, &b->out);
}

bool op_meanings_equal(const Unit *unit, const Op *a, const Op *b)
{
    if (!headers_equal(a, b))
        return false;
    Pair pair = {a, b, ARENA_ARRAY(unit->program->arena, int, a->expr_count + 1)};
    for (int id = 0; id < a->expr_count; id++)
        pair.same[id] = -1;
    for (int g = 0; g < a->guard_count; g++)
        if (!exprs_equal(&pair, a->guards[g], b->guards[g]))
            return false;
    return exprs_equal(&pair, a->body, b->body) && (a->body2 < 0 || a->kind != OP_RECUR || exprs_equal(&pair, a->body2, b->body2));
}

static int earlier_equal(const Unit *unit, const Op *op)
{
    for (int i = 0; i < unit->op_count; i++)
        if (unit->ops[i].kind != OP_CALL && unit->ops[i].group == 0 && outputs_equal(unit, &unit->ops[i], op) && op_meanings_equal(unit, &unit->ops[i], op))
            return i;
    return -1;
}

/* ---- the same with the axes in another order ------------------------------------------------------------------------------------ */

enum { PERMUTED_AXES_MAX = 4 };

/* Output subscripts are the first indices, in order; the others are reduced. */
static bool is_row_statistic(const Op *op)
{
    if (op->kind != OP_NEST || (op->reducer != REDUCE_LSE && op->reducer != REDUCE_MAX) || op->group != 0)
        return false;
    for (int k = 0; k < op->out.count; k++) {
        int index;
        if (op->out.subs[k].read || op->out.subs[k].span != 1 || !affine_is_index(op->out.subs[k].affine, &index) || index != k)
            return false;
    }
    return op->out.count < op->index_count && op->out.count <= PERMUTED_AXES_MAX;
}

/* The operation with index k at position to[k]. */
static Op reordered(Unit *unit, const Op *op, const int *to)
{
    OpBuilder builder = op_begin(unit, op->kind);
    int *memo = ARENA_ARRAY(unit->program->arena, int, op->expr_count + 1);
    for (int id = 0; id < op->expr_count; id++)
        memo[id] = -1;
    for (int position = 0; position < op->index_count; position++)
        for (int k = 0; k < op->index_count; k++)
            if (to[k] == position)
                op_index(&builder, op->indices[k].name, op->indices[k].extent);
    for (int c = 0; c < op->cond_count; c++)
        op_cond(&builder, affine_map(unit->program, op->conds[c], to));
    for (int g = 0; g < op->guard_count; g++)
        op_guard(&builder, expr_copy(&builder, op, op->guards[g], to, NULL, memo));
    builder.op.reducer = op->reducer;
    builder.op.init.tensor = op->init.tensor;
    builder.op.body = expr_copy(&builder, op, op->body, to, NULL, memo);
    builder.op.out = op->out;
    return builder.op;
}

/* The next arrangement of `count` numbers; false after the last (Narayana Pandita's order). */
static bool next_order(int *to, int count)
{
    int i = count - 2, j = count - 1;
    while (i >= 0 && to[i] > to[i + 1])
        i--;
    if (i < 0)
        return false;
    while (to[j] < to[i])
        j--;
    const int kept = to[i];
    to[i] = to[j];
    to[j] = kept;
    for (int low = i + 1, high = count - 1; low < high; low++, high--) {
        const int swapped = to[low];
        to[low] = to[high];
        to[high] = swapped;
    }
    return true;
}

/* An earlier row statistic equal to this one but for the order of its axes: axis k of this is axis to[k] of that. -1: there is none. */
static int earlier_permuted(Unit *unit, const Op *op, int *to)
{
    bool similar = false;
    for (int i = 0; i < unit->op_count && is_row_statistic(op); i++)
        similar = similar || (is_row_statistic(&unit->ops[i]) && unit->ops[i].reducer == op->reducer && unit->ops[i].out.count == op->out.count &&
                              unit->ops[i].index_count == op->index_count && unit->ops[i].cond_count == op->cond_count);
    for (int k = 0; k < op->index_count; k++)
        to[k] = k;
    while (similar && next_order(to, op->out.count)) {
        const Op turned = reordered(unit, op, to);
        for (int i = 0; i < unit->op_count; i++)
            if (is_row_statistic(&unit->ops[i]) && unit->ops[i].out.count == op->out.count && op_meanings_equal(unit, &unit->ops[i], &turned))
                return i;
    }
    return -1;
}

/* out[axes] = from[axes in its order] */
static Op renamed(Unit *unit, const Op *op, int from, const int *to)
{
    OpBuilder builder = op_begin(unit, OP_NEST);
    int *subs = ARENA_ARRAY(unit->program->arena, int, op->out.count + 1);
    for (int k = 0; k < op->out.count; k++)
        subs[to[k]] = op_index(&builder, op->indices[k].name, op->indices[k].extent);
    builder.op.reducer = REDUCE_SET;
    builder.op.body = expr_read(&builder, access_indices(unit->program, from, op->out.count, subs));
    builder.op.out = op->out;
    builder.op.span = op->span;
    return builder.op;
}

bool opt_cse(Unit *unit)
{
    int *map = ARENA_ARRAY(unit->program->arena, int, unit->tensor_count + 1);
    for (int t = 0; t < unit->tensor_count; t++)
        map[t] = t;
    bool changed = false;
    Rebuild rebuild = rebuild_begin(unit);
    for (int i = 0; i < rebuild.old_count; i++) {
        int out = rebuild.old[i].kind == OP_CALL ? -1 : rebuild.old[i].out.tensor;
        rebuild_mapped(&rebuild, i, map);
        int last = unit->op_count - 1;
        if (out < 0 || unit->ops[last].group != 0 || unit->ops[last].kind == OP_RECUR) /* the backward pass repeats one rather than keep what it holds */
            continue;
        unit->op_count--; /* compared with those before it */
        int same = earlier_equal(unit, &unit->ops[last]);
        if (same < 0) {
            int *to = ARENA_ARRAY(unit->program->arena, int, unit->ops[last].index_count + 1);
            const int permuted = earlier_permuted(unit, &unit->ops[last], to);
            if (permuted >= 0)
                unit->ops[last] = renamed(unit, &unit->ops[last], unit->ops[permuted].out.tensor, to);
            changed = changed || permuted >= 0;
            unit->op_count++;
            continue;
        }
        map[out] = unit->ops[same].out.tensor;
        unit->tensors[out].def = -1;
        rebuild.moved[i] = same;
        changed = true;
    }
    rebuild_end(&rebuild);
    for (int o = 0; o < unit->output_count; o++)
        unit->outputs[o].tensor = map[unit->outputs[o].tensor];
    return changed;
}
