/* Copying an operation while its indices, tensors and domain change. */
#include "ir/rewrite.h"

#include "support/bug.h"

#include <stdlib.h>
#include <string.h>

Rewrite rewrite_begin(OpBuilder *to, const Unit *unit, const Op *from, const IndexBy *by, TensorMap tensor, void *user)
{
    Program *program = unit->program;
    Rewrite rewrite = {.to = to, .unit = unit, .from = from, .by = by, .tensor = tensor, .user = user};
    rewrite.memo = ARENA_ARRAY(program->arena, int, from->expr_count + 1);
    for (int i = 0; i < from->expr_count; i++)
        rewrite.memo[i] = -1;
    if (by) {
        rewrite.affines = ARENA_ARRAY(program->arena, Affine, from->index_count + 1);
        for (int i = 0; i < from->index_count; i++)
            rewrite.affines[i] = by[i].read || by[i].joint != 1 ? affine_const(program, dim_int(program->dims, 0)) : by[i].affine;
    }
    return rewrite;
}

Affine rewrite_affine(Rewrite *rewrite, Affine affine)
{
    if (!rewrite->by)
        return affine;
    for (int t = 0; t < affine.count; t++) {
        const IndexBy *by = &rewrite->by[affine.terms[t].index];
        if (by->read || by->joint != 1)
            rewrite->failed = true;
    }
    return affine_substitute(rewrite->unit->program, affine, rewrite->affines);
}

/* The coefficient of `index` in the affine, NULL if it does not occur. */
static Dim affine_coef(Affine affine, int index)
{
    for (int t = 0; t < affine.count; t++)
        if (affine.terms[t].index == index)
            return affine.terms[t].coef;
    return NULL;
}

/* The bare index that has coefficient `stride` in the affine, -1 if there is none or more than one. */
static int index_of_stride(Affine affine, Dim stride)
{
    int found = -1;
    for (int t = 0; t < affine.count; t++) {
        if (affine.terms[t].coef != stride)
            continue;
        if (found >= 0)
            return -1;
        found = affine.terms[t].index;
    }
    return found;
}

/* An affine over several axes that is b*L + l, each index with its axis' extent: writes the bare indices. */
static bool span_splits(Program *program, const Tensor *tensor, int axis, const Sub *sub, const OpBuilder *builder, int *indices)
{
    Dim stride = dim_int(program->dims, 1);
    if (!dim_is(sub->affine.base, 0) || sub->affine.count != sub->span)
        return false;
    for (int a = sub->span - 1; a >= 0; a--) {
        Dim extent = tensor->extent[axis + a];
        int index = index_of_stride(sub->affine, stride);
        if (index < 0 || builder->op.indices[index].extent != extent)
            return false;
        indices[a] = index;
        stride = dim_mul(program->dims, stride, extent);
    }
    return true;
}

static Access split_spans(Rewrite *rewrite, Access access, const Tensor *tensor)
{
    Program *program = rewrite->unit->program;
    Access out = access_new(program, access.tensor, tensor->rank > access.count ? tensor->rank : access.count);
    int count = 0, axis = 0;
    for (int k = 0; k < access.count; k++) {
        int indices[16];
        const Sub *sub = &access.subs[k];
        if (sub->read || sub->span == 1 || sub->span > 16 || !span_splits(program, tensor, axis, sub, rewrite->to, indices)) {
            out.subs[count++] = *sub;
        } else {
            for (int a = 0; a < sub->span; a++)
                out.subs[count++] = sub_index(program, indices[a]);
        }
        axis += sub->span;
    }
    out.count = count;
    return out;
}

/* Subscripts k … of `access` are the bare indices that `by` joins: one subscript in their place. Returns how many were taken. */
static int take_joint(Rewrite *rewrite, const Access *access, int k, int index, Sub *out)
{
    const IndexBy *by = &rewrite->by[index];
    int span = 0;
    for (int m = 0; m < by->joint; m++) {
        int found = -1;
        if (k + m >= access->count || access->subs[k + m].read || !affine_is_index(access->subs[k + m].affine, &found) || found != index + m ||
            access_extent(rewrite->unit, access, k + m) != rewrite->from->indices[found].extent) {
            rewrite->failed = true;
            break;
        }
        span += access->subs[k + m].span;
    }
    *out = by->read ? sub_read(rewrite->unit->program, *by->read, span) : sub_affine(by->affine, span);
    return by->joint > 0 ? by->joint : 1;
}

Access rewrite_subs(Rewrite *rewrite, const Access *access, int tensor)
{
    Program *program = rewrite->unit->program;
    Access out = access_new(program, tensor, access->count);
    int count = 0;
    for (int k = 0; k < access->count;) {
        const Sub *sub = &access->subs[k];
        int index;
        if (sub->read) {
            if (!rewrite->subscript || !rewrite->subscript(rewrite, sub->read, sub->span, &out.subs[count]))
                out.subs[count] = sub_read(program, rewrite_access(rewrite, sub->read), sub->span);
            count++;
            k++;
        } else if (rewrite->by && affine_is_index(sub->affine, &index) && (rewrite->by[index].read || rewrite->by[index].joint != 1)) {
            if (rewrite->by[index].joint == 0) { /* without the indices before it: no affine to take */
                rewrite->failed = true;
                out.subs[count++] = sub_affine(affine_const(program, dim_int(program->dims, 0)), sub->span);
                k++;
                continue;
            }
            k += take_joint(rewrite, access, k, index, &out.subs[count++]);
        } else {
            out.subs[count++] = sub_affine(rewrite_affine(rewrite, sub->affine), sub->span);
            k++;
        }
    }
    out.count = count;
    if (rewrite->by && !rewrite->failed && access->tensor >= 0)
        out = split_spans(rewrite, out, &rewrite->unit->tensors[access->tensor]);
    return out;
}

Access rewrite_access(Rewrite *rewrite, const Access *access)
{
    if (access->tensor < 0)
        return rewrite_subs(rewrite, access, -1);
    int tensor = rewrite->tensor ? rewrite->tensor(rewrite->user, access->tensor) : access->tensor;
    return rewrite_subs(rewrite, access, tensor);
}

int expr_size(OpBuilder *builder, Dim dim)
{
    Rational value;
    return dim_is_rational(dim, &value) ? expr_const(builder, rational_double(value)) : expr_dim(builder, dim);
}

int expr_affine(OpBuilder *builder, Affine affine)
{
    int sum = expr_const(builder, 0);
    for (int t = 0; t < affine.count; t++) {
        int term = expr_op(builder, EXPR_MUL, expr_size(builder, affine.terms[t].coef), expr_pos(builder, affine.terms[t].index), -1);
        sum = expr_op(builder, EXPR_ADD, sum, term, -1);
    }
    return expr_op(builder, EXPR_ADD, sum, expr_size(builder, affine.base), -1);
}

static int rewrite_position(Rewrite *rewrite, int index)
{
    if (!rewrite->by)
        return expr_pos(rewrite->to, index);
    const IndexBy *by = &rewrite->by[index];
    if (by->joint != 1) {
        rewrite->failed = true;
        return expr_const(rewrite->to, 0);
    }
    return by->read ? expr_read(rewrite->to, *by->read) : expr_affine(rewrite->to, by->affine);
}

static int rewrite_draw(Rewrite *rewrite, const Expr *expr)
{
    int count = expr->access.count;
    Affine *subs = ARENA_ARRAY(rewrite->unit->program->arena, Affine, count + 1);
    for (int k = 0; k < count; k++) {
        if (expr->access.subs[k].read)
            rewrite->failed = true;
        subs[k] = rewrite_affine(rewrite, expr->access.subs[k].affine);
    }
    return expr_draw(rewrite->to, expr->tag, count, subs, expr->draw_extent);
}

int rewrite_expr(Rewrite *rewrite, int id)
{
    if (id < 0)
        return -1;
    if (rewrite->memo[id] >= 0)
        return rewrite->memo[id];
    const Expr *expr = &rewrite->from->exprs[id];
    int copy;
    if (expr->kind == EXPR_CONST) {
        copy = expr_const(rewrite->to, expr->value);
    } else if (expr->kind == EXPR_DIM) {
        copy = expr_dim(rewrite->to, expr->dim);
    } else if (expr->kind == EXPR_POS) {
        copy = rewrite_position(rewrite, expr->index);
    } else if (expr->kind == EXPR_READ) {
        if (!rewrite->read || !rewrite->read(rewrite, &expr->access, &copy))
            copy = expr_read(rewrite->to, rewrite_access(rewrite, &expr->access));
    } else if (expr->kind == EXPR_DRAW) {
        copy = rewrite_draw(rewrite, expr);
    } else {
        int arg[3] = {-1, -1, -1};
        for (int k = 0; k < scalar_arity(expr->kind); k++)
            arg[k] = rewrite_expr(rewrite, expr->arg[k]);
        copy = expr_op(rewrite->to, expr->kind, arg[0], arg[1], arg[2]);
    }
    rewrite->memo[id] = copy;
    return copy;
}

void rewrite_domain(Rewrite *rewrite)
{
    const Op *from = rewrite->from;
    for (int c = 0; c < from->cond_count; c++)
        op_cond(rewrite->to, rewrite_affine(rewrite, from->conds[c]));
    for (int g = 0; g < from->guard_count; g++)
        op_guard(rewrite->to, rewrite_expr(rewrite, from->guards[g]));
}

void rewrite_all(Rewrite *rewrite)
{
    const Op *from = rewrite->from;
    Op *to = &rewrite->to->op;
    if (to->index_count == 0) /* a pass that builds expressions first has added them already */
        builder_indices(rewrite->to, from);
    rewrite_domain(rewrite);
    to->reducer = from->reducer;
    to->body = rewrite_expr(rewrite, from->body);
    to->body2 = from->kind == OP_RECUR ? rewrite_expr(rewrite, from->body2) : -1;
    to->out = rewrite_access(rewrite, &from->out);
    to->reverse = from->reverse;
    to->exclusive = from->exclusive;
    to->scan_count = from->scan_count;
    to->scan = from->scan;
    if (from->init.tensor >= 0)
        to->init = rewrite_access(rewrite, &from->init);
    to->reduced = from->reduced;
    to->top_k = from->top_k;
    to->span = from->span;
}

void builder_indices(OpBuilder *builder, const Op *from)
{
    for (int i = 0; i < from->index_count; i++)
        op_index(builder, from->indices[i].name, from->indices[i].extent);
}

/* ---- reads ---------------------------------------------------------------------------------------------------------------- */

static void visit_access(const Access *access, AccessUse use, AccessVisitor visit, void *user)
{
    if (access->tensor >= 0)
        visit(user, access, use);
    for (int k = 0; k < access->count; k++)
        if (access->subs[k].read)
            visit_access(access->subs[k].read, use == ACCESS_INIT ? ACCESS_INIT : ACCESS_SUBSCRIPT, visit, user);
}

void op_visit(const Op *op, AccessVisitor visit, void *user)
{
    if (op->kind == OP_CALL)
        return;
    bool *live = calloc((size_t)op->expr_count + 1, sizeof *live);
    BFM_ASSERT(live);
    op_live(op, live);
    for (int id = 0; id < op->expr_count; id++)
        if (live[id] && (op->exprs[id].kind == EXPR_READ || op->exprs[id].kind == EXPR_DRAW))
            visit_access(&op->exprs[id].access, ACCESS_VALUE, visit, user);
    free(live);
    visit_access(&op->out, ACCESS_OUT, visit, user);
    if (op->kind != OP_CALL && op->init.tensor >= 0)
        visit_access(&op->init, ACCESS_INIT, visit, user);
}

typedef struct ReadQuery {
    int tensor;
    bool found;
} ReadQuery;

static void query_read(void *user, const Access *access, AccessUse use)
{
    ReadQuery *query = user;
    if (use != ACCESS_OUT && access->tensor == query->tensor)
        query->found = true;
}

bool op_reads(const Op *op, int tensor)
{
    ReadQuery query = {tensor, false};
    op_visit(op, query_read, &query);
    for (int a = 0; op->kind == OP_CALL && a < op->arg_count; a++)
        query.found = query.found || op->args[a] == tensor;
    return query.found;
}

typedef struct NoneQuery {
    Rewrite *rewrite;
    const Access *wanted; /* search of one access, or NULL: keep every one that is met */
    bool found;
} NoneQuery;

static void query_access(void *user, const Access *access, AccessUse use)
{
    NoneQuery *query = user;
    if (use == ACCESS_SUBSCRIPT && access_equal(access, query->wanted))
        query->found = true;
}

static void keep_none(void *user, const Access *access, AccessUse use)
{
    NoneQuery *query = user;
    if (use != ACCESS_SUBSCRIPT)
        return;
    OpBuilder *to = query->rewrite->to;
    Sub by;
    bool replaced = query->rewrite->subscript && query->rewrite->subscript(query->rewrite, access, 1, &by);
    if (replaced && !by.read)
        return; /* an affine always is an index */
    Access copy = replaced ? *by.read : rewrite_access(query->rewrite, access);
    NoneQuery search = {.wanted = &copy};
    op_visit(&to->op, query_access, &search);
    if (!search.found)
        op_guard(to, expr_op(to, EXPR_EXISTS, expr_read(to, copy), -1, -1));
}

void rewrite_keep_none(Rewrite *rewrite)
{
    NoneQuery query = {.rewrite = rewrite};
    op_visit(rewrite->from, keep_none, &query);
}

/* ---- finishing -------------------------------------------------------------------------------------------------------------- */

Op builder_take(OpBuilder *builder)
{
    op_drop_unreachable(builder);
    return builder->op;
}

/* ---- facts ------------------------------------------------------------------------------------------------------------------ */

bool affine_has_index(Affine affine, int index) { return affine_coef(affine, index) != NULL; }

bool access_has_index(const Access *access, int index)
{
    for (int k = 0; k < access->count; k++) {
        const Sub *sub = &access->subs[k];
        if (sub->read ? access_has_index(sub->read, index) : affine_has_index(sub->affine, index))
            return true;
    }
    return false;
}

bool affine_nonnegative(Program *program, Affine affine, const Index *indices)
{
    DimTable *dims = program->dims;
    Dim least = affine.base, zero = dim_int(dims, 0);
    for (int t = 0; t < affine.count; t++) {
        Dim coef = affine.terms[t].coef;
        if (dim_proves_nonnegative(coef))
            continue;
        if (!dim_proves_nonnegative(dim_sub(dims, zero, coef)))
            return false;
        Dim last = dim_sub(dims, indices[affine.terms[t].index].extent, dim_int(dims, 1));
        least = dim_add(dims, least, dim_mul(dims, coef, last));
    }
    return dim_proves_nonnegative(least);
}

static void query_subscript(void *user, const Access *access, AccessUse use)
{
    (void)access;
    if (use == ACCESS_SUBSCRIPT)
        *(bool *)user = true;
}

bool op_full_box(const Op *op)
{
    bool partial = op->cond_count > 0 || op->guard_count > 0;
    op_visit(op, query_subscript, &partial);
    return !partial;
}

bool access_bare(const Access *access, int *index_of)
{
    for (int k = 0; k < access->count; k++) {
        int index, earlier;
        if (access->subs[k].read || access->subs[k].span != 1 || !affine_is_index(access->subs[k].affine, &index))
            return false;
        for (int m = 0; m < k; m++)
            if (affine_is_index(access->subs[m].affine, &earlier) && earlier == index)
                return false;
        if (index_of)
            index_of[k] = index;
    }
    return true;
}

bool op_out_bare(const Unit *unit, const Op *op, int *index_of)
{
    if (!access_bare(&op->out, index_of))
        return false;
    for (int k = 0; k < op->out.count; k++) {
        int index = -1;
        (void)affine_is_index(op->out.subs[k].affine, &index);
        if (op->indices[index].extent != unit->tensors[op->out.tensor].extent[k])
            return false;
    }
    return true;
}
