/* Reductions and maps over indices inside expressions: each becomes an operation of its own, over the indices around that it uses. */
#include "lower/internal.h"

#include "ir/needs.h"

#include "support/bug.h"

#include <string.h>

enum { REDUCED_MAX = 16 };

static Val poison_free(OpCtx *child)
{
    ctx_free(child);
    return val_poison();
}

/* Conditions of the operation around that only concern carried indices hold inside too: nothing outside them is read. Guards are carried where
   they decide which points a map over an index has (softmax). */
static void carry_domain(Lower *lw, OpCtx *ctx, OpCtx *child, bool guards)
{
    const Op *op = &ctx->ob.op;
    for (int i = 0; i < op->cond_count; i++) {
        Affine moved = affine_const(lw->program, op->conds[i].base);
        bool carried = true;
        for (int k = 0; k < op->conds[i].count && carried; k++) {
            const int index = child->from_parent[op->conds[i].terms[k].index];
            carried = index >= 0;
            if (carried)
                moved = affine_add(lw->program, moved, affine_scale(lw->program, affine_index(lw->program, index), op->conds[i].terms[k].coef));
        }
        if (carried)
            op_cond(&child->ob, moved);
    }
    for (int i = 0; guards && i < op->guard_count; i++) {
        bool carried = true;
        for (int k = 0; k < op->index_count; k++)
            carried = carried && (child->from_parent[k] >= 0 || !op_uses_index(op, op->guards[i], k));
        if (!carried)
            continue;
        int *memo = ARENA_ARRAY(lw->arena, int, op->expr_count);
        memset(memo, -1, (size_t)op->expr_count * sizeof *memo);
        op_guard(&child->ob, expr_copy(&child->ob, op, op->guards[i], child->from_parent, NULL, memo));
    }
}

static bool access_uses(const Access *access, int index)
{
    for (int i = 0; i < access->count; i++) {
        const Sub *sub = &access->subs[i];
        if (sub->read && access_uses(sub->read, index))
            return true;
        for (int k = 0; !sub->read && k < sub->affine.count; k++)
            if (sub->affine.terms[k].index == index)
                return true;
    }
    return false;
}

/* A `none` subscript that does not depend on a reduced index takes out the point of the definition around, not one of the reduction. */
static void guard_outer(OpCtx *ctx, OpCtx *child, int first_reduced)
{
    int back[64];
    memset(back, -1, sizeof back);
    for (int i = 0; i < 64; i++)
        if (child->from_parent[i] >= 0)
            back[child->from_parent[i]] = i;
    Op *op = &child->ob.op;
    for (int i = 0, count = op->expr_count; i < count; i++) {
        for (int s = 0; op->exprs[i].kind == EXPR_READ && s < op->exprs[i].access.count; s++) {
            const Access *read = op->exprs[i].access.subs[s].read;
            bool inner = !read;
            for (int k = first_reduced; read && k < op->index_count; k++)
                inner = inner || (k != child->pack_index && access_uses(read, k));
            if (inner)
                continue;
            const int value = expr_read(&child->ob, *read);
            int *memo = ARENA_ARRAY(ctx->body->lw->arena, int, op->expr_count);
            memset(memo, -1, (size_t)op->expr_count * sizeof *memo);
            op_guard(&ctx->ob, expr_op(&ctx->ob, EXPR_EXISTS, expr_copy(&ctx->ob, op, value, back, NULL, memo), -1, -1));
        }
    }
}

/* Binds the indices of a reduction; false after an error. */
static bool bind_reduced(Lower *lw, OpCtx *ctx, OpCtx *child, Scope *scope, const Node *indices, const Node *const *texts, int text_count)
{
    Wanted wanted[REDUCED_MAX];
    int count = 0;
    for (int i = 0; i < list_count(indices); i++)
        collect_entry_names(lw, ctx, scope, list_at(indices, i), wanted, &count, REDUCED_MAX);
    if (!infer_ranges(lw, ctx, scope, wanted, count, texts, text_count))
        return false;
    for (int i = 0; i < count; i++)
        ctx_index(child, wanted[i].name, &wanted[i].axis);
    return true;
}

/* Reads the finished operation's tensor at the carried indices. */
static int read_carried(Lower *lw, OpCtx *ctx, const OpCtx *child, const LTensor *tensor, int carried)
{
    IndexBinding outer[64];
    for (int i = 0; i < carried; i++)
        outer[i] = *index_find(ctx, child->indices.items[i].name);
    return read_at(lw, ctx, tensor, outer, carried);
}

static TargetAxes carried_axes(Lower *lw, const OpCtx *child, int carried, Span span)
{
    TargetAxes axes = {0};
    bool fits = true;
    for (int i = 0; i < carried; i++)
        fits = target_axes_push(&axes, &child->indices.items[i]) && fits;
    if (!fits)
        diag_add(lw->diags, DIAG_E0404, span, "the result of this reduction has %d axes, one for each index around it that it depends on; a tensor has at most %d", carried,
                 TENSOR_AXES_MAX);
    return axes;
}

/* How many points there are, per output point: the box where nothing cuts it, otherwise counted over the same domain. */
static int mean_divisor(Lower *lw, OpCtx *ctx, OpCtx *child, int carried, int first_reduced, Span span)
{
    Op *op = &child->ob.op;
    bool boxed = op->cond_count == 0 && op->guard_count == 0;
    for (int i = 0; i < op->expr_count && boxed; i++)
        for (int s = 0; op->exprs[i].kind == EXPR_READ && s < op->exprs[i].access.count; s++)
            boxed = boxed && !op->exprs[i].access.subs[s].read;
    if (boxed) {
        Dim size = dim_int(lw->dims, 1);
        for (int i = first_reduced; i < op->index_count; i++)
            if (i != child->pack_index)
                size = dim_mul(lw->dims, size, op->indices[i].extent);
        needs_add(lw->program, dim_sub(lw->dims, size, dim_int(lw->dims, 1)), place_text(lw, span)); /* the mean of nothing is no number */
        const Val value = val_dim(size, span);
        return val_expr(lw, ctx, &value, span);
    }
    OpCtx counter = ctx_begin(child->body, child->scope, OP_NEST, ctx);
    counter.ob.op.reducer = REDUCE_SUM;
    counter.pack_index = child->pack_index;
    int map[64];
    for (int i = 0; i < op->index_count; i++)
        map[i] = op_index(&counter.ob, op->indices[i].name, op->indices[i].extent);
    for (int i = 0; i < op->cond_count; i++)
        op_cond(&counter.ob, op->conds[i]);
    int *memo = ARENA_ARRAY(lw->arena, int, op->expr_count);
    memset(memo, -1, (size_t)op->expr_count * sizeof *memo);
    for (int i = 0; i < op->guard_count; i++)
        op_guard(&counter.ob, expr_copy(&counter.ob, op, op->guards[i], map, NULL, memo));
    for (int i = 0, count = op->expr_count; i < count; i++)
        for (int s = 0; op->exprs[i].kind == EXPR_READ && s < op->exprs[i].access.count; s++)
            if (op->exprs[i].access.subs[s].read) {
                const int read = expr_read(&child->ob, *op->exprs[i].access.subs[s].read);
                int *fresh = ARENA_ARRAY(lw->arena, int, op->expr_count);
                memset(fresh, -1, (size_t)op->expr_count * sizeof *fresh);
                op_guard(&counter.ob, expr_op(&counter.ob, EXPR_EXISTS, expr_copy(&counter.ob, op, read, map, NULL, fresh), -1, -1));
            }
    for (int i = 0; i < carried; i++)
        vec_push(&counter.indices, child->indices.items[i]);
    const TargetAxes axes = carried_axes(lw, child, carried, span);
    const LTensor *points = ctx_finish(lw, &counter, symbol_printf(lw, "count%d", lw->temporary++), expr_const(&counter.ob, 1), &axes, false, NULL, span);
    const int read = read_carried(lw, ctx, child, points, carried);
    ctx_free(&counter);
    return expr_op(&ctx->ob, EXPR_MAX, read, expr_const(&ctx->ob, 1), -1);
}

Val eval_reduce(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node)
{
    static const Reducer REDUCERS[AST_REDUCTIONS] = {[AST_SUM] = REDUCE_SUM, [AST_MAX] = REDUCE_MAX, [AST_MIN] = REDUCE_MIN, [AST_MEAN] = REDUCE_SUM, [AST_LSE] = REDUCE_LSE};
    const Node *texts[2] = {node->kids[REDUCE_BODY], node->kids[REDUCE_CONDITION]};
    const int text_count = texts[1] ? 2 : 1;
    OpCtx child = child_begin(lw, ctx, scope, OP_NEST, texts, text_count, node->kids[REDUCE_INDICES]);
    child.ob.op.reducer = REDUCERS[node->op];
    const int carried = child.indices.count, first_reduced = child.ob.op.index_count;
    if (!bind_reduced(lw, ctx, &child, scope, node->kids[REDUCE_INDICES], texts, text_count))
        return poison_free(&child);
    child.first_reduced = carried;
    carry_domain(lw, ctx, &child, false);
    if (texts[1])
        apply_condition(lw, &child, scope, texts[1]);
    const Val value = eval(lw, &child, scope, texts[0]);
    const int body = val_expr(lw, &child, &value, texts[0]->span);
    if (body < 0)
        return poison_free(&child);
    guard_outer(ctx, &child, first_reduced);
    const int divisor = node->op == AST_MEAN ? mean_divisor(lw, ctx, &child, carried, first_reduced, node->span) : -1;
    const TargetAxes axes = carried_axes(lw, &child, carried, node->span);
    const LTensor *tensor = ctx_finish(lw, &child, symbol_printf(lw, "%s%d", ast_reduction_text(node->op), lw->temporary++), body, &axes, false, NULL, node->span);
    int expr = read_carried(lw, ctx, &child, tensor, carried);
    if (divisor >= 0)
        expr = expr_op(&ctx->ob, EXPR_DIV, expr, divisor, -1);
    ctx_free(&child);
    return (Val){.kind = VAL_EXPR, .expr = expr, .owner = ctx, .span = node->span};
}

/* softmax[j](s) = exp(s - lse[j] s): a map over the points that exist. j is an index of the definition around. */
static Val eval_softmax(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node)
{
    const Node *indices = node->kids[OVER_INDICES], *body = node->kids[OVER_BODY];
    const Val value = eval(lw, ctx, scope, body); /* once: what it computes on the way serves both the sum and the map */
    const int expr = val_expr(lw, ctx, &value, body->span);
    if (expr < 0)
        return val_poison();
    OpCtx child = child_begin(lw, ctx, scope, OP_NEST, &body, 1, indices);
    child.ob.op.reducer = REDUCE_LSE;
    const int carried = child.indices.count, first_reduced = child.ob.op.index_count;
    for (int i = 0; i < list_count(indices); i++) {
        const IndexBinding *binding = index_find(ctx, list_at(indices, i)->name);
        if (!binding) {
            diag_add(lw->diags, DIAG_E0401, list_at(indices, i)->span, "`%s` must be an index of the definition around: the result is a map over it",
                     list_at(indices, i)->name ? list_at(indices, i)->name : "this");
            return poison_free(&child);
        }
        const IndexBinding outer = *binding;
        const IndexBinding *inner = ctx_index(&child, outer.name, &outer.axis);
        for (int k = 0; k < outer.axis.parts; k++)
            child.from_parent[outer.ids[k]] = inner->ids[k];
    }
    carry_domain(lw, ctx, &child, true);
    const int inside_expr = ctx_import(lw, &child, (Val){.kind = VAL_EXPR, .expr = expr, .owner = ctx, .span = body->span}).expr;
    if (inside_expr < 0)
        return poison_free(&child);
    for (int i = 0; i < 64; i++) /* the index is reduced: nothing that depends on it is carried back */
        if (child.from_parent[i] >= first_reduced && child.from_parent[i] != child.pack_index)
            child.from_parent[i] = -1;
    guard_outer(ctx, &child, first_reduced);
    const TargetAxes axes = carried_axes(lw, &child, carried, node->span);
    const LTensor *tensor = ctx_finish(lw, &child, symbol_printf(lw, "lse%d", lw->temporary++), inside_expr, &axes, false, NULL, node->span);
    const int lse = read_carried(lw, ctx, &child, tensor, carried);
    ctx_free(&child);
    const int map = expr_op(&ctx->ob, EXPR_EXP, expr_op(&ctx->ob, EXPR_SUB, expr, lse, -1), -1, -1);
    return (Val){.kind = VAL_EXPR, .expr = map, .owner = ctx, .span = node->span};
}

/* index[n](e): the number e as a pointer into an axis of n; none where it is outside. */
static Val eval_index(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node)
{
    const Node *indices = node->kids[OVER_INDICES];
    const Val size = list_count(indices) == 1 ? eval_const(lw, scope, list_at(indices, 0)) : val_poison();
    if (size.kind != VAL_NUMBER || !size.dim) {
        diag_add(lw->diags, DIAG_E0411, node->span, "`index[n](e)` needs the size of the axis it points into");
        return val_poison();
    }
    if (!require_whole(lw, size.dim, 1, list_at(indices, 0)->span, "the size of the axis that `index` points into"))
        return val_poison();
    const Val value = eval(lw, ctx, scope, node->kids[OVER_BODY]);
    const int number = val_expr(lw, ctx, &value, node->span), extent = number < 0 ? -1 : val_expr(lw, ctx, &size, node->span);
    if (extent < 0)
        return val_poison();
    return (Val){.kind = VAL_EXPR, .expr = expr_op(&ctx->ob, EXPR_POINT, number, extent, -1), .integer = true, .axis = axis_of(size.dim), .owner = ctx, .span = node->span};
}

Val eval_over(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node)
{
    if (strcmp(node->name, "softmax") == 0)
        return eval_softmax(lw, ctx, scope, node);
    if (strcmp(node->name, "index") == 0)
        return eval_index(lw, ctx, scope, node);
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0413, node->span, "`%s` gives a tensor and cannot stand inside an expression", node->name);
    diag_fix(lw->diags, diag, "give its result a name: `let best[…, k] = %s[…; n](…)`", node->name);
    return val_poison();
}
