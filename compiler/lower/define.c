/* Definitions: a name, indices on the left, an expression on the right. */
#include "lower/internal.h"

#include "support/bug.h"

#include <string.h>

enum { LEFT_INDICES_MAX = 16, TEXTS_MAX = 16 };

const Node *chosen_arm(Lower *lw, Scope *scope, const Node *node)
{
    while (node->kind == NODE_IF_VALUE) {
        const Val condition = eval_const(lw, scope, node->kids[IF_VALUE_CONDITION]);
        if (condition.kind != VAL_BOOL)
            return node;
        node = node->kids[condition.truth ? IF_VALUE_THEN : IF_VALUE_ELSE];
    }
    return node;
}

static int count_names(const Node *entry)
{
    int count = 0;
    if (entry->kind != NODE_TUPLE)
        return 1;
    for (int i = 0; i < list_count(entry->kids[TUPLE_PARTS]); i++)
        count += count_names(list_at(entry->kids[TUPLE_PARTS], i));
    return count;
}

static bool left_bounded(Lower *lw, const Node *entries)
{
    int names = 0;
    for (int i = 0; i < list_count(entries); i++)
        names += count_names(list_at(entries, i));
    if (list_count(entries) <= TENSOR_AXES_MAX && names <= LEFT_INDICES_MAX)
        return true;
    diag_add(lw->diags, DIAG_E0404, entries->span, "a tensor has at most %d axes and %d indices in them, not %d and %d", TENSOR_AXES_MAX, LEFT_INDICES_MAX, list_count(entries),
             names);
    return false;
}

bool bind_left(Body *body, OpCtx *ctx, const Node *entries, const Node *const *texts, int text_count, TargetAxes *axes)
{
    Lower *lw = body->lw;
    Wanted wanted[LEFT_INDICES_MAX];
    int count = 0;
    if (!left_bounded(lw, entries))
        return false;
    for (int i = 0; i < list_count(entries); i++)
        collect_entry_names(lw, ctx, body->scope, list_at(entries, i), wanted, &count, LEFT_INDICES_MAX);
    if (!infer_ranges(lw, ctx, body->scope, wanted, count, texts, text_count))
        return false;
    for (int i = 0; i < count; i++)
        ctx_index(ctx, wanted[i].name, &wanted[i].axis);
    int next = 0;
    for (int i = 0; i < list_count(entries); i++) {
        const int first = axes->id_count, begin = next;
        const Node *entry = list_at(entries, i);
        TargetAxes part = {0};
        int names = 0;
        Wanted scratch[LEFT_INDICES_MAX];
        collect_entry_names(lw, ctx, body->scope, entry, scratch, &names, LEFT_INDICES_MAX);
        bool fits = true;
        for (int k = 0; k < names; k++)
            fits = target_axes_push(&part, &ctx->indices.items[begin + k]) && fits;
        next += names;
        if (names == 1 && entry->kind != NODE_TUPLE && target_axes_push(axes, &ctx->indices.items[begin]))
            continue;
        fits = fits && axes->id_count + part.id_count <= TENSOR_AXES_MAX * 2;
        if (!fits || part.id_count > AXIS_PARTS_MAX || axes->rank >= TENSOR_AXES_MAX || names == 0) {
            diag_add(lw->diags, DIAG_E0404, entry->span, "expected an index or a compound of up to %d indices", AXIS_PARTS_MAX);
            return false;
        }
        Axis joined = {.parts = part.id_count};
        for (int k = 0; k < part.id_count; k++) {
            joined.part[k] = ctx->ob.op.indices[part.ids[k]].extent;
            axes->ids[first + k] = part.ids[k];
        }
        axes->id_count += part.id_count;
        axes->axes[axes->rank++] = joined;
    }
    return true;
}

void pack_if(OpCtx *ctx, Scope *scope, const Node *value)
{
    UnitCtx *uc = ctx->body->uc;
    if (uc->pack >= 0 && uses_packed(scope, value))
        ctx->pack_index = op_index(&ctx->ob, intern(ctx->body->lw->interner, "each"), dim_symbol(ctx->body->lw->dims, uc->pack));
}

static LTensor *fail(OpCtx *ctx)
{
    ctx_free(ctx);
    return NULL;
}

/* let best[g, e, k] = top[t; n](p): the last index counts the chosen ones. */
static LTensor *define_top(Body *body, Symbol name, const Node *entries, Span span, const Node *top, const Node *where, const Node *const *texts, int text_count)
{
    Lower *lw = body->lw;
    const Node *indices = top->kids[OVER_INDICES], *count_node = top->kids[OVER_COUNT];
    OpCtx ctx = ctx_begin(body, body->scope, OP_TOP, NULL);
    TargetAxes axes = {0};
    Val count = count_node ? eval_const(lw, body->scope, count_node) : val_number(lw, rational_int(1), span);
    const int rank = list_count(entries);
    if (count.kind != VAL_NUMBER || !count.dim || rank == 0 || rank > TENSOR_AXES_MAX || list_at(entries, rank - 1)->kind != NODE_NAME || where) {
        if (count.kind != VAL_POISON)
            diag_add(lw->diags, DIAG_E0409, top->span, "`top` is written let best[…, k] = top[i; count](score), with a whole number as count and a plain last index");
        return fail(&ctx);
    }
    if (!require_whole(lw, count.dim, 1, count_node ? count_node->span : span, "how many `top` chooses"))
        return fail(&ctx);
    Node *outer = list_new(lw->arena, span);
    for (int i = 0; i + 1 < rank; i++)
        list_push(lw->arena, outer, list_at(entries, i));
    if (!bind_left(body, &ctx, outer, texts, text_count, &axes))
        return fail(&ctx);
    Wanted wanted[LEFT_INDICES_MAX];
    int reduced = 0;
    for (int i = 0; i < list_count(indices); i++)
        collect_entry_names(lw, &ctx, body->scope, list_at(indices, i), wanted, &reduced, LEFT_INDICES_MAX);
    const Node *by = top->kids[OVER_BODY], *inner_texts[2] = {by, top->kids[OVER_CONDITION]};
    if (!infer_ranges(lw, &ctx, body->scope, wanted, reduced, inner_texts, inner_texts[1] ? 2 : 1))
        return fail(&ctx);
    const int first = ctx.ob.op.index_count;
    Axis ranked = {0};
    for (int i = 0; i < reduced; i++) {
        ctx_index(&ctx, wanted[i].name, &wanted[i].axis);
        for (int k = 0; k < wanted[i].axis.parts && ranked.parts < AXIS_PARTS_MAX; k++)
            ranked.part[ranked.parts++] = wanted[i].axis.part[k];
    }
    if (inner_texts[1])
        apply_condition(lw, &ctx, body->scope, inner_texts[1]);
    const Val value = eval(lw, &ctx, body->scope, by);
    const int expr = val_expr(lw, &ctx, &value, by->span);
    if (expr < 0)
        return fail(&ctx);
    ctx.ob.op.reduced = ctx.ob.op.index_count - first;
    ctx.ob.op.top_k = count.dim;
    Dim extents[TENSOR_AXES_MAX * 2 + 1];
    for (int i = 0; i < axes.id_count; i++)
        extents[i] = ctx.ob.op.indices[axes.ids[i]].extent;
    extents[axes.id_count] = count.dim;
    LTensor *tensor = ltensor_new(lw, name, unit_tensor(body->uc->unit, name, T_INT, TENSOR_LOCAL, axes.id_count + 1, extents, axis_size(lw, &ranked)));
    tensor->integer = true;
    tensor->points_into = ranked;
    tensor->rank = rank;
    memcpy(tensor->axes, axes.axes, (size_t)axes.rank * sizeof *axes.axes);
    tensor->axes[rank - 1] = axis_of(count.dim);
    tensor->span = span;
    ctx.ob.op.body = expr;
    ctx.ob.op.out = access_indices(lw->program, tensor->id, axes.id_count, axes.ids);
    ctx.ob.op.span = span;
    op_finish(&ctx.ob);
    ctx_free(&ctx);
    return tensor;
}

LTensor *define_target(Body *body, Symbol name, const Node *entries, Span span, const Node *value, const Node *where, const Node *const *more_texts, int more_count)
{
    Lower *lw = body->lw;
    value = chosen_arm(lw, body->scope, value);
    const Node *texts[TEXTS_MAX] = {value};
    int text_count = 1;
    if (where)
        texts[text_count++] = where;
    for (int i = 0; i < more_count && text_count < TEXTS_MAX; i++)
        texts[text_count++] = more_texts[i];
    if (value->kind == NODE_OVER && strcmp(value->name, "top") == 0)
        return define_top(body, name, entries, span, value, where, texts, text_count);
    OpCtx ctx = ctx_begin(body, body->scope, OP_NEST, NULL);
    TargetAxes axes = {0};
    ctx.ob.op.reducer = REDUCE_SET;
    pack_if(&ctx, body->scope, value);
    if (!bind_left(body, &ctx, entries, texts, text_count, &axes))
        return fail(&ctx);
    if (where)
        apply_condition(lw, &ctx, body->scope, where);
    const Val result = eval(lw, &ctx, body->scope, value);
    int expr = val_expr(lw, &ctx, &result, value->span);
    if (expr < 0)
        return fail(&ctx);
    const bool integer = (result.kind == VAL_INDEX || result.integer) && result.axis.parts > 0 && !result.axis.low;
    if (integer && ctx.ob.op.exprs[expr].kind == EXPR_POINT) /* what the tensor holds is rounded and kept inside by its type */
        expr = ctx.ob.op.exprs[expr].arg[0];
    LTensor *tensor = ctx_finish(lw, &ctx, name, expr, &axes, integer, &result.axis, span);
    ctx_free(&ctx);
    return tensor;
}

/* ---- y[g, token[g, p], o] += e ---- */

static const Node *target_as_subscript(Body *body, Symbol name, const Node *target)
{
    Node *node = node_new(body->lw->arena, NODE_SUBSCRIPT, target->span);
    node->name = name;
    node->name_span = target->name_span;
    node->kids[SUBSCRIPT_ENTRIES] = target->kids[TARGET_ENTRIES];
    return node;
}

/* Names of plain indices anywhere in the entries: those on the left and those that the subscripts there use. */
static void plain_names(Body *body, OpCtx *ctx, const Node *entry, Wanted *wanted, int *count)
{
    if (entry->kind == NODE_NAME) {
        const Val *known = scope_find(body->scope, entry->name);
        for (int i = 0; i < *count; i++)
            if (wanted[i].name == entry->name)
                return;
        if (*count < LEFT_INDICES_MAX && !(known && known->kind != VAL_AXIS))
            collect_entry_names(body->lw, ctx, body->scope, entry, wanted, count, LEFT_INDICES_MAX);
        return;
    }
    const Node *inner = entry->kind == NODE_SUBSCRIPT ? entry->kids[SUBSCRIPT_ENTRIES] : entry->kind == NODE_TUPLE ? entry->kids[TUPLE_PARTS] : NULL;
    for (int i = 0; i < list_count(inner); i++)
        plain_names(body, ctx, list_at(inner, i), wanted, count);
    if (entry->kind == NODE_BINARY) {
        plain_names(body, ctx, entry->kids[BINARY_LEFT], wanted, count);
        plain_names(body, ctx, entry->kids[BINARY_RIGHT], wanted, count);
    }
}

LTensor *define_accumulate(Body *body, const Node *node)
{
    Lower *lw = body->lw;
    const Node *target = node->kids[ACCUMULATE_TARGET], *value = node->kids[ACCUMULATE_VALUE], *where = node->kids[ACCUMULATE_WHERE];
    const Node *entries = target->kids[TARGET_ENTRIES];
    OpCtx ctx = ctx_begin(body, body->scope, OP_NEST, NULL);
    Wanted wanted[LEFT_INDICES_MAX];
    const Node *texts[TEXTS_MAX] = {value};
    int count = 0, text_count = 1;
    if (where)
        texts[text_count++] = where;
    for (int i = 0; i < list_count(entries); i++) {
        plain_names(body, &ctx, list_at(entries, i), wanted, &count);
        if (text_count < TEXTS_MAX)
            texts[text_count++] = list_at(entries, i);
    }
    if (!infer_ranges(lw, &ctx, body->scope, wanted, count, texts, text_count))
        return fail(&ctx);
    ctx.ob.op.reducer = REDUCE_SUM;
    for (int i = 0; i < count; i++)
        ctx_index(&ctx, wanted[i].name, &wanted[i].axis);
    if (where)
        apply_condition(lw, &ctx, body->scope, where);
    /* the axes: of an index its range, of an integer tensor what it points into */
    Axis axes[TENSOR_AXES_MAX];
    Sub subs[TENSOR_AXES_MAX * 2];
    Dim extents[TENSOR_AXES_MAX * 2];
    int sub_count = 0, rank = 0;
    for (int i = 0; i < list_count(entries) && i < TENSOR_AXES_MAX; i++) {
        const Node *entry = list_at(entries, i);
        const IndexBinding *binding = entry->kind == NODE_NAME ? index_find(&ctx, entry->name) : NULL;
        const Val to = binding ? val_poison() : eval(lw, &ctx, body->scope, entry);
        if (!binding && !(to.kind == VAL_EXPR && to.integer)) {
            if (to.kind != VAL_POISON)
                diag_add(lw->diags, DIAG_E0405, entry->span, "on the left of `+=` stands an index, or an integer tensor that says where to");
            return fail(&ctx);
        }
        axes[i] = binding ? binding->axis : to.axis;
        if (!axis_subs(lw, &ctx, body->scope, &axes[i], entry, entry->span, subs, &sub_count))
            return fail(&ctx);
        for (int k = 0; k < axes[i].parts; k++)
            extents[rank++] = axes[i].part[k];
    }
    const Val result = eval(lw, &ctx, body->scope, value);
    ctx.ob.op.body = val_expr(lw, &ctx, &result, value->span);
    if (ctx.ob.op.body < 0)
        return fail(&ctx);
    LTensor *tensor = ltensor_new(lw, target->name, unit_tensor(body->uc->unit, target->name, T_REAL, TENSOR_LOCAL, rank, extents, NULL));
    tensor->rank = list_count(entries);
    memcpy(tensor->axes, axes, (size_t)tensor->rank * sizeof *axes);
    tensor->span = node->span;
    ctx.ob.op.out = access_new(lw->program, tensor->id, sub_count);
    memcpy(ctx.ob.op.out.subs, subs, (size_t)sub_count * sizeof *subs);
    ctx.ob.op.span = node->span;
    op_finish(&ctx.ob);
    ctx_free(&ctx);
    return tensor;
}

/* ---- next c[e] = e ---- */

LTensor *define_next(Body *body, const Node *node)
{
    const Node *target = node->kids[NEXT_TARGET];
    const Node *like = list_count(target->kids[TARGET_ENTRIES]) ? target_as_subscript(body, target->name, target) : NULL;
    return define_target(body, symbol_printf(body->lw, "next_%s", target->name), target->kids[TARGET_ENTRIES], node->span, node->kids[NEXT_VALUE], node->kids[NEXT_WHERE],
                         like ? &like : NULL, like ? 1 : 0);
}

/* ---- an expression by its own indices ---- */

static void free_names(Body *body, const Node *node, Node *entries)
{
    if (!node)
        return;
    if (node->kind == NODE_SUBSCRIPT)
        for (int i = 0; i < list_count(node->kids[SUBSCRIPT_ENTRIES]); i++) {
            Node *entry = list_at(node->kids[SUBSCRIPT_ENTRIES], i);
            bool known = entry->kind != NODE_NAME || scope_find(body->scope, entry->name);
            for (int k = 0; k < list_count(entries); k++)
                known = known || list_at(entries, k)->name == entry->name;
            if (!known)
                list_push(body->lw->arena, entries, entry);
        }
    if (node->kind == NODE_REDUCE || node->kind == NODE_OVER)
        return;
    for (int i = 0; i < node->count; i++)
        free_names(body, node->kids[i], entries);
}

LTensor *define_free(Body *body, const Node *value)
{
    Node *entries = list_new(body->lw->arena, value->span);
    free_names(body, value, entries);
    return define_target(body, intern(body->lw->interner, "y"), entries, value->span, value, NULL, NULL, 0);
}
