/* One form for nests that mean the same: conditions that always hold go, indices that do nothing go, outputs are written at bare indices (gather
   form) in the order of the indices, an index that a guard pins to an integer's value is that value, and a reduction over nothing is SET.
   requires   a verified unit
   preserves  values (a sum over an unused index becomes a product: rounding), groups (members are left alone)
   breaks     nothing */
#include "opt/opt.h"

#include "ir/rewrite.h"

#include <string.h>

/* Each step rewrites the nest and returns true, or leaves it and returns false. */
typedef bool (*Step)(Unit *unit, Op *op);

static IndexBy *identity(Program *program, int count)
{
    IndexBy *by = ARENA_ARRAY(program->arena, IndexBy, count + 1);
    for (int i = 0; i < count; i++)
        by[i] = (IndexBy){affine_index(program, i), NULL, 1};
    return by;
}

/* Everything but indices: domain, body, output. */
static void rewrite_nest(Rewrite *rewrite)
{
    Op *to = &rewrite->to->op;
    to->reducer = rewrite->from->reducer;
    to->span = rewrite->from->span;
    to->group = rewrite->from->group;
    rewrite_domain(rewrite);
    to->body = rewrite_expr(rewrite, rewrite->from->body);
    to->out = rewrite_access(rewrite, &rewrite->from->out);
}

static bool drop_conditions(Unit *unit, Op *op)
{
    Affine *conds = ARENA_ARRAY(unit->program->arena, Affine, op->cond_count + 1);
    int count = 0;
    for (int c = 0; c < op->cond_count; c++)
        if (!affine_nonnegative(unit->program, op->conds[c], op->indices))
            conds[count++] = op->conds[c];
    if (count == op->cond_count)
        return false;
    op->conds = conds;
    op->cond_count = count;
    return true;
}

typedef struct SubscriptQuery {
    const Access *wanted;
    bool found;
} SubscriptQuery;

static void query_subscript(void *user, const Access *access, AccessUse use)
{
    SubscriptQuery *query = user;
    if (use == ACCESS_SUBSCRIPT && access_equal(access, query->wanted))
        query->found = true;
}

/* exists(e) where e is a number for certain, or an integer that is a subscript anyway: then its none leaves the point out already. */
static bool guard_idle(const Op *op, int guard)
{
    const Expr *e = &op->exprs[guard];
    if (e->kind != EXPR_EXISTS)
        return false;
    const Expr *inner = &op->exprs[e->arg[0]];
    if (inner->kind == EXPR_POS || inner->kind == EXPR_DIM)
        return true;
    if (inner->kind != EXPR_READ)
        return false;
    SubscriptQuery query = {&inner->access, false};
    op_visit(op, query_subscript, &query);
    return query.found;
}

static bool drop_guards(Unit *unit, Op *op)
{
    int *guards = ARENA_ARRAY(unit->program->arena, int, op->guard_count + 1), count = 0;
    for (int g = 0; g < op->guard_count; g++)
        if (!guard_idle(op, op->guards[g]))
            guards[count++] = op->guards[g];
    if (count == op->guard_count)
        return false;
    op->guards = guards;
    op->guard_count = count;
    return true;
}

static bool index_used(const Op *op, int index)
{
    for (int c = 0; c < op->cond_count; c++)
        if (affine_has_index(op->conds[c], index))
            return true;
    for (int g = 0; g < op->guard_count; g++)
        if (op_uses_index(op, op->guards[g], index))
            return true;
    return access_has_index(&op->out, index) || op_uses_index(op, op->body, index);
}

/* `by` for every index but `dropped`, whose value is then 0; the others are added to the builder. */
static IndexBy *without_index(OpBuilder *builder, const Op *op, int dropped)
{
    Program *program = builder->unit->program;
    IndexBy *by = identity(program, op->index_count);
    for (int i = 0; i < op->index_count; i++)
        by[i].affine = i == dropped ? affine_const(program, dim_int(program->dims, 0)) : affine_index(program, op_index(builder, op->indices[i].name, op->indices[i].extent));
    return by;
}

/* All reads or some condition use the index: a condition that 0 does not meet would leave subscripts outside their axes. */
static bool needed(const Op *op, int index)
{
    for (int c = 0; c < op->cond_count; c++)
        if (affine_has_index(op->conds[c], index))
            return true;
    for (int id = 0; id < op->expr_count; id++)
        if (op->exprs[id].kind == EXPR_READ && !access_has_index(&op->exprs[id].access, index))
            return false;
    return true;
}

/* An index that nothing uses: of extent 1, or summed over (then the body counts that often). One of extent 1 that the output
   and some read do not have is 0: it would cut a factor off from its product. */
static bool drop_index(Unit *unit, Op *op)
{
    for (int i = 0; i < op->index_count; i++) {
        bool one = dim_is(op->indices[i].extent, 1), idempotent = op->reducer == REDUCE_MAX || op->reducer == REDUCE_MIN;
        const bool zero = one && !access_has_index(&op->out, i) && !needed(op, i);
        if ((!one && !idempotent && op->reducer != REDUCE_SUM) || (index_used(op, i) && !zero))
            continue;
        if (idempotent && !dim_proves_nonnegative(dim_sub(unit->program->dims, op->indices[i].extent, dim_int(unit->program->dims, 1))))
            continue;
        OpBuilder builder = op_begin(unit, OP_NEST);
        IndexBy *by = without_index(&builder, op, i);
        Rewrite rewrite = rewrite_begin(&builder, unit, op, by, NULL, NULL);
        rewrite_nest(&rewrite);
        if (op->reducer == REDUCE_SUM && !one)
            builder.op.body = expr_op(&builder, EXPR_MUL, builder.op.body, expr_size(&builder, op->indices[i].extent), -1);
        *op = builder_take(&builder);
        return true;
    }
    return false;
}

static bool bare_in_out(const Op *op, int index)
{
    int found;
    for (int k = 0; k < op->out.count; k++)
        if (!op->out.subs[k].read && affine_is_index(op->out.subs[k].affine, &found) && found == index)
            return true;
    return false;
}

/* The term of subscript k that a new bare index can replace: coefficient 1 or -1, its index not bare elsewhere; one of the axis' extent first. */
static int replaceable_term(const Unit *unit, const Op *op, int k, int axis)
{
    const Affine *affine = &op->out.subs[k].affine;
    int best = -1;
    for (int t = 0; t < affine->count; t++) {
        int index = affine->terms[t].index;
        if ((!dim_is(affine->terms[t].coef, 1) && !dim_is(affine->terms[t].coef, -1)) || bare_in_out(op, index))
            continue;
        if (best < 0 || op->indices[index].extent == unit->tensors[op->out.tensor].extent[axis])
            best = t;
        if (op->indices[index].extent == unit->tensors[op->out.tensor].extent[axis])
            break;
    }
    return best;
}

/* out[±i + rest] becomes out[j] with i = ±(j - rest). */
static void reindex(Unit *unit, Op *op, int k, int axis, int term)
{
    Program *program = unit->program;
    Affine sub = op->out.subs[k].affine;
    int index = sub.terms[term].index;
    bool negative = dim_is(sub.terms[term].coef, -1);
    OpBuilder builder = op_begin(unit, OP_NEST);
    IndexBy *by = identity(program, op->index_count);
    for (int i = 0; i < op->index_count; i++)
        (void)op_index(&builder, op->indices[i].name, i == index ? unit->tensors[op->out.tensor].extent[axis] : op->indices[i].extent);
    Affine j = affine_index(program, index);
    Affine rest = affine_sub(program, sub, affine_scale(program, j, sub.terms[term].coef));
    Affine value = negative ? affine_sub(program, rest, j) : affine_sub(program, j, rest);
    by[index].affine = value;
    Affine last = affine_const(program, dim_sub(program->dims, op->indices[index].extent, dim_int(program->dims, 1)));
    op_cond(&builder, value);
    op_cond(&builder, affine_sub(program, last, value));
    Rewrite rewrite = rewrite_begin(&builder, unit, op, by, NULL, NULL);
    rewrite_nest(&rewrite);
    *op = builder_take(&builder);
}

/* ---- mixed radix: out[16*s + i] over all s and i --------------------------------------------------------------------------------- */

/* The index stands in one subscript of the output only. */
static bool in_one_sub(const Op *op, int index)
{
    int count = 0;
    for (int k = 0; k < op->out.count; k++) {
        const Sub *sub = &op->out.subs[k];
        count += sub->read ? access_has_index(sub->read, index) : affine_has_index(sub->affine, index);
    }
    return count == 1;
}

/* The subscript counts through its axis once: |coefficients| 1, e1, e1*e2, …, in some order. Negative ones count from the end. */
static bool counts_through(Unit *unit, const Op *op, const Sub *sub, Dim extent)
{
    Program *program = unit->program;
    Dim stride = dim_int(program->dims, 1), base = dim_int(program->dims, 0);
    for (int done = 0; done < sub->affine.count; done++) {
        int found = -1;
        bool negative = false;
        for (int t = 0; t < sub->affine.count; t++) {
            Dim coef = sub->affine.terms[t].coef, opposite = dim_sub(program->dims, dim_int(program->dims, 0), coef);
            if (coef != stride && opposite != stride)
                continue;
            if (found >= 0)
                return false; /* an axis of extent 1: left to other steps */
            found = t;
            negative = opposite == stride;
        }
        if (found < 0 || !in_one_sub(op, sub->affine.terms[found].index))
            return false;
        Dim count = op->indices[sub->affine.terms[found].index].extent;
        if (negative)
            base = dim_add(program->dims, base, dim_mul(program->dims, stride, dim_sub(program->dims, count, dim_int(program->dims, 1))));
        stride = dim_mul(program->dims, stride, count);
    }
    return stride == extent && base == sub->affine.base;
}

/* Every point of the full box writes an element of its own and every element is written. */
static bool writes_once(Unit *unit, const Op *op)
{
    const Tensor *out = &unit->tensors[op->out.tensor];
    int terms = 0;
    for (int k = 0, axis = 0; k < op->out.count; axis += op->out.subs[k].span, k++) {
        const Sub *sub = &op->out.subs[k];
        if (sub->read || sub->span != 1 || !counts_through(unit, op, sub, out->extent[axis]))
            return false;
        terms += sub->affine.count;
    }
    for (int i = 0; i < op->index_count; i++)
        if (!access_has_index(&op->out, i))
            return false;
    return terms == op->index_count && op_full_box(op);
}

/* Such a nest stores what it has. */
static bool store_once(Unit *unit, Op *op)
{
    if (op->reducer == REDUCE_SET || unit->tensors[op->out.tensor].type != T_REAL || !writes_once(unit, op))
        return false;
    op->reducer = REDUCE_SET;
    return true;
}

/* out[16 - 16*s + i]: s is turned round. */
static bool count_forwards(Unit *unit, Op *op)
{
    Program *program = unit->program;
    const Tensor *out = &unit->tensors[op->out.tensor];
    for (int k = 0, axis = 0; k < op->out.count; axis += op->out.subs[k].span, k++) {
        const Sub *sub = &op->out.subs[k];
        if (sub->read || sub->span != 1 || !counts_through(unit, op, sub, out->extent[axis]))
            continue;
        for (int t = 0; t < sub->affine.count; t++) {
            int index = sub->affine.terms[t].index;
            if (dim_proves_nonnegative(sub->affine.terms[t].coef))
                continue;
            OpBuilder builder = op_begin(unit, OP_NEST);
            builder_indices(&builder, op);
            IndexBy *by = identity(program, op->index_count);
            Affine last = affine_const(program, dim_sub(program->dims, op->indices[index].extent, dim_int(program->dims, 1)));
            by[index].affine = affine_sub(program, last, affine_index(program, index));
            Rewrite rewrite = rewrite_begin(&builder, unit, op, by, NULL, NULL);
            rewrite_nest(&rewrite);
            *op = builder_take(&builder);
            return true;
        }
    }
    return false;
}

static bool gather_form(Unit *unit, Op *op)
{
    for (int k = 0, axis = 0; k < op->out.count; axis += op->out.subs[k].span, k++) {
        const Sub *sub = &op->out.subs[k];
        if (sub->read || sub->span != 1 || sub->affine.count == 0 || affine_is_index(sub->affine, NULL))
            continue;
        if (counts_through(unit, op, sub, unit->tensors[op->out.tensor].extent[axis]))
            continue; /* a flat axis in parts: as good as bare */
        int term = replaceable_term(unit, op, k, axis);
        if (term < 0)
            continue;
        reindex(unit, op, k, axis, term);
        return true;
    }
    return false;
}

/* Indices of the output first, in its order; the others stay in theirs, so that sums keep their order. */
static bool order_indices(Unit *unit, Op *op)
{
    Program *program = unit->program;
    int *index_of = ARENA_ARRAY(program->arena, int, op->out.count + 1), *order = ARENA_ARRAY(program->arena, int, op->index_count + 1);
    if (!access_bare(&op->out, index_of))
        return false;
    int count = 0;
    for (int k = 0; k < op->out.count; k++)
        order[count++] = index_of[k];
    for (int i = 0; i < op->index_count; i++)
        if (!access_has_index(&op->out, i))
            order[count++] = i;
    bool sorted = true;
    for (int i = 0; i < count; i++)
        sorted = sorted && order[i] == i;
    if (sorted)
        return false;
    OpBuilder builder = op_begin(unit, OP_NEST);
    IndexBy *by = identity(program, op->index_count);
    for (int i = 0; i < count; i++)
        by[order[i]].affine = affine_index(program, op_index(&builder, op->indices[order[i]].name, op->indices[order[i]].extent));
    Rewrite rewrite = rewrite_begin(&builder, unit, op, by, NULL, NULL);
    rewrite_nest(&rewrite);
    *op = builder_take(&builder);
    return true;
}

static bool reduce_nothing(Unit *unit, Op *op)
{
    if (op->reducer == REDUCE_SET || op->index_count != op->out.count || unit->tensors[op->out.tensor].type != T_REAL)
        return false;
    if (!op_out_bare(unit, op, NULL) || !op_full_box(op))
        return false;
    op->reducer = REDUCE_SET;
    return true;
}

/* A guard `integer == index` whose index is reduced: the access, if there is one. */
static const Access *pinned(const Unit *unit, const Op *op, int guard, int *index)
{
    const Expr *e = &op->exprs[op->guards[guard]];
    if (e->kind != EXPR_EQ)
        return NULL;
    const Expr *a = &op->exprs[e->arg[0]], *b = &op->exprs[e->arg[1]];
    if (a->kind == EXPR_POS) {
        const Expr *swap = a;
        a = b;
        b = swap;
    }
    if (a->kind != EXPR_READ || b->kind != EXPR_POS)
        return NULL;
    const Tensor *tensor = &unit->tensors[a->access.tensor];
    *index = b->index;
    if (tensor->type != T_INT || tensor->bound != op->indices[b->index].extent || access_has_index(&a->access, b->index))
        return NULL;
    return access_has_index(&op->out, b->index) ? NULL : &a->access;
}

/* Sums over j where I[…] == j hold the one point j = I[…]. */
static bool pin_index(Unit *unit, Op *op)
{
    Program *program = unit->program;
    for (int g = 0, index = -1; g < op->guard_count; g++) {
        const Access *access = pinned(unit, op, g, &index);
        if (!access || op->reducer == REDUCE_SET)
            continue;
        OpBuilder builder = op_begin(unit, OP_NEST);
        IndexBy *by = without_index(&builder, op, index);
        Rewrite inner = rewrite_begin(&builder, unit, op, by, NULL, NULL);
        Access read = rewrite_access(&inner, access);
        by[index].read = &read;
        Op rest = *op; /* without the guard */
        rest.guards = arena_memdup(program->arena, op->guards, sizeof *op->guards * (size_t)op->guard_count);
        for (int m = g; m + 1 < op->guard_count; m++)
            rest.guards[m] = rest.guards[m + 1];
        rest.guard_count--;
        Rewrite rewrite = rewrite_begin(&builder, unit, &rest, by, NULL, NULL);
        rewrite_nest(&rewrite);
        if (inner.failed || rewrite.failed)
            continue;
        Access missing = read;
        op_guard(&builder, expr_op(&builder, EXPR_EXISTS, expr_read(&builder, missing), -1, -1));
        *op = builder_take(&builder);
        return true;
    }
    return false;
}

static bool normalize_nest(Unit *unit, Op *op)
{
    static const Step steps[] = {drop_conditions, drop_guards, drop_index, count_forwards, store_once, gather_form, order_indices, pin_index, reduce_nothing};
    bool changed = false;
    for (size_t s = 0; s < sizeof steps / sizeof *steps;) {
        if (steps[s](unit, op)) {
            changed = true;
            s = 0;
        } else {
            s++;
        }
    }
    return changed;
}

bool opt_normalize(Unit *unit)
{
    bool changed = false;
    Rebuild rebuild = rebuild_begin(unit);
    for (int i = 0; i < rebuild.old_count; i++) {
        Op *op = &rebuild.old[i];
        if (op->kind == OP_NEST && op->group == 0)
            changed = normalize_nest(unit, op) || changed;
        (void)rebuild_keep(&rebuild, i);
    }
    rebuild_end(&rebuild);
    return changed;
}
