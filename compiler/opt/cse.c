/* Common operations: two operations equal but for the names of their indices are one. (normalize.c orders indices so that equal meanings look equal.)
   requires   a verified unit
   preserves  values bit for bit; groups (a member is never replaced)
   breaks     positions of operations */
#include "opt/opt.h"

#include "opt/rewrite.h"

#include <string.h>

typedef struct Pair {
    const Op *a, *b;
    int *same; /* [a->expr_count]: expression of b known to be equal, -1 = not known */
} Pair;

static bool exprs_equal(Pair *pair, int a, int b) {
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

static bool tensors_alike(const Tensor *a, const Tensor *b) {
    if (a->type != b->type || a->rank != b->rank || a->bound != b->bound)
        return false;
    for (int k = 0; k < a->rank; k++)
        if (a->extent[k] != b->extent[k])
            return false;
    return true;
}

static bool subs_equal(const Access *a, const Access *b) {
    Access renamed = *b;
    renamed.tensor = a->tensor;
    return access_equal(a, &renamed);
}

static bool headers_equal(const Unit *unit, const Op *a, const Op *b) {
    if (a->kind != b->kind || a->kind == OP_CALL || a->reducer != b->reducer || a->index_count != b->index_count || a->cond_count != b->cond_count ||
        a->guard_count != b->guard_count || a->scan_count != b->scan_count || a->reverse != b->reverse || a->exclusive != b->exclusive ||
        a->reduced != b->reduced || a->top_k != b->top_k || (a->body2 < 0) != (b->body2 < 0))
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
    if (a->init.tensor != b->init.tensor || (a->kind == OP_RECUR && !access_equal(&a->init, &b->init)))
        return false;
    return tensors_alike(&unit->tensors[a->out.tensor], &unit->tensors[b->out.tensor]) && subs_equal(&a->out, &b->out);
}

static bool ops_equal(const Unit *unit, const Op *a, const Op *b) {
    if (!headers_equal(unit, a, b))
        return false;
    Pair pair = {a, b, ARENA_ARRAY(unit->program->arena, int, a->expr_count + 1)};
    for (int id = 0; id < a->expr_count; id++)
        pair.same[id] = -1;
    for (int g = 0; g < a->guard_count; g++)
        if (!exprs_equal(&pair, a->guards[g], b->guards[g]))
            return false;
    return exprs_equal(&pair, a->body, b->body) && (a->body2 < 0 || a->kind != OP_RECUR || exprs_equal(&pair, a->body2, b->body2));
}

static int earlier_equal(const Unit *unit, const Op *op) {
    for (int i = 0; i < unit->op_count; i++)
        if (unit->ops[i].kind != OP_CALL && unit->ops[i].group == 0 && ops_equal(unit, &unit->ops[i], op))
            return i;
    return -1;
}

bool opt_cse(Unit *unit) {
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
