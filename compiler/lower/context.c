/* Operations under construction: their language indices, values carried in from the operation around, and the tensors they define. */
#include "lower/internal.h"

#include "support/bug.h"

#include <string.h>

OpCtx ctx_begin(Body *body, Scope *scope, OpKind kind, OpCtx *parent)
{
    OpCtx ctx = {.body = body, .scope = scope, .ob = op_begin(body->uc->unit, kind), .parent = parent, .pack_index = -1, .first_reduced = -1, .recur_scan = -1};
    memset(ctx.from_parent, -1, sizeof ctx.from_parent);
    return ctx;
}

void ctx_free(OpCtx *ctx) { vec_free(&ctx->indices); }

/* One more than may be is an error; the last then stands for it, in a program that nobody runs. */
static int add_index(OpCtx *ctx, Symbol name, Dim extent)
{
    if (ctx->ob.op.index_count < OPERATION_INDICES_MAX)
        return op_index(&ctx->ob, name, extent);
    diag_add(ctx->body->lw->diags, DIAG_E0404, ctx->body->node ? ctx->body->node->name_span : span_none(),
             "a definition here runs over more than %d indices, those of reductions and of the parts of compound axes counted", OPERATION_INDICES_MAX);
    return OPERATION_INDICES_MAX - 1;
}

IndexBinding *ctx_index(OpCtx *ctx, Symbol name, const Axis *axis)
{
    IndexBinding binding = {.name = name, .axis = *axis};
    for (int i = 0; i < axis->parts; i++)
        binding.ids[i] = add_index(ctx, axis->parts == 1 ? name : symbol_printf(ctx->body->lw, "%s%d", name, i), axis->part[i]);
    vec_push(&ctx->indices, binding);
    return &vec_last(&ctx->indices);
}

void ctx_pack(OpCtx *ctx)
{
    const UnitCtx *uc = ctx->body->uc;
    if (uc->pack < 0 || ctx->pack_index >= 0)
        return;
    ctx->pack_index = add_index(ctx, intern(ctx->body->lw->interner, "each"), dim_symbol(ctx->body->lw->dims, uc->pack));
}

static bool packed_entries(Scope *scope, const Node *node);

bool uses_packed(Scope *scope, const Node *node)
{
    if (!node)
        return false;
    if (node->kind == NODE_NAME || node->kind == NODE_SUBSCRIPT) {
        const Val *value = scope_find(scope, node->name);
        if (value && value->kind == VAL_TENSOR && value->tensor->packed)
            return true;
    }
    return node->kind == NODE_NEXT_VALUE || packed_entries(scope, node);
}

static bool packed_entries(Scope *scope, const Node *node)
{
    for (int i = 0; i < node->count; i++)
        if (uses_packed(scope, node->kids[i]))
            return true;
    return false;
}

/* ---- operations inside expressions ---- */

static bool binds(const Node *list, Symbol name)
{
    for (int i = 0; i < list_count(list); i++) {
        const Node *entry = list_at(list, i);
        if (entry->name == name || (entry->kind == NODE_TUPLE && binds(entry->kids[TUPLE_PARTS], name)))
            return true;
    }
    return false;
}

static bool uses_name(const Node *node, Symbol name)
{
    if (!node)
        return false;
    if (node->kind == NODE_NAME && node->name == name)
        return true;
    const bool binder = node->kind == NODE_REDUCE || (node->kind == NODE_OVER && strcmp(node->name, "top") == 0);
    if (binder && binds(node->kids[node->kind == NODE_REDUCE ? REDUCE_INDICES : OVER_INDICES], name))
        return node->kind == NODE_OVER && uses_name(node->kids[OVER_COUNT], name);
    for (int i = 0; i < node->count; i++)
        if (uses_name(node->kids[i], name))
            return true;
    return false;
}

/* The text names a value of the operation around: which of its indices that depends on is not looked into. */
static bool uses_carried(Scope *scope, const OpCtx *ctx, const Node *node)
{
    if (!node)
        return false;
    if (node->kind == NODE_NAME) {
        const Val *value = scope_find(scope, node->name);
        if (value && (value->kind == VAL_EXPR || value->kind == VAL_INDEX) && value->owner == ctx)
            return true;
    }
    for (int i = 0; i < node->count; i++)
        if (uses_carried(scope, ctx, node->kids[i]))
            return true;
    return false;
}

static bool texts_use(Scope *scope, const OpCtx *ctx, const Node *const *texts, int count, Symbol name)
{
    for (int i = 0; i < count; i++)
        if (uses_name(texts[i], name) || uses_carried(scope, ctx, texts[i]))
            return true;
    return false;
}

static void carry_index(OpCtx *child, const IndexBinding *binding)
{
    IndexBinding *copy = ctx_index(child, binding->name, &binding->axis);
    for (int i = 0; i < binding->axis.parts; i++)
        child->from_parent[binding->ids[i]] = copy->ids[i];
}

OpCtx child_begin(Lower *lw, OpCtx *ctx, Scope *scope, OpKind kind, const Node *const *texts, int count, const Node *own)
{
    (void)lw;
    OpCtx child = ctx_begin(ctx->body, scope, kind, ctx);
    bool packed = false;
    for (int i = 0; i < count; i++)
        packed = packed || uses_packed(scope, texts[i]);
    if (ctx->pack_index >= 0 && packed) {
        ctx_pack(&child);
        child.from_parent[ctx->pack_index] = child.pack_index;
    }
    for (int i = 0; i < ctx->indices.count; i++) {
        const IndexBinding *binding = &ctx->indices.items[i];
        if (!(own && binds(own, binding->name)) && texts_use(scope, ctx, texts, count, binding->name))
            carry_index(&child, binding);
    }
    return child;
}

static bool expr_carried(const Op *op, int expr, const int *map)
{
    for (int i = 0; i < op->index_count; i++)
        if (map[i] < 0 && op_uses_index(op, expr, i))
            return false;
    return true;
}

static int expr_into(OpCtx *ctx, const Op *from, int expr, const int *map)
{
    int *memo = ARENA_ARRAY(ctx->body->lw->arena, int, from->expr_count);
    memset(memo, -1, (size_t)from->expr_count * sizeof *memo);
    return expr_copy(&ctx->ob, from, expr, map, NULL, memo);
}

/* A reduction in a `fn` has the indices of its own body only. */
static Val unseen(Lower *lw, Span span)
{
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0413, span, "a reduction in a `fn` uses this value, which depends on indices of the definition around");
    diag_fix(lw->diags, diag, "write the reduction in the definition itself: `let r[…] = sum[…] …`");
    return val_poison();
}

Val ctx_import(Lower *lw, OpCtx *ctx, Val value)
{
    if (value.owner == ctx || !ctx)
        return value;
    if (!ctx->parent) {
        diag_add(lw->diags, DIAG_E0411, value.span, "this value belongs to another definition");
        return val_poison();
    }
    value = ctx_import(lw, ctx->parent, value);
    if (value.kind == VAL_INDEX) {
        Affine moved = affine_const(lw->program, value.affine.base);
        for (int i = 0; i < value.affine.count; i++) {
            const int index = ctx->from_parent[value.affine.terms[i].index];
            if (index < 0)
                return unseen(lw, value.span);
            moved = affine_add(lw->program, moved, affine_scale(lw->program, affine_index(lw->program, index), value.affine.terms[i].coef));
        }
        value.affine = moved;
    } else if (value.kind == VAL_EXPR) {
        if (recur_imported(lw, ctx, &value))
            return val_poison();
        if (!expr_carried(&ctx->parent->ob.op, value.expr, ctx->from_parent))
            return unseen(lw, value.span);
        value.expr = expr_into(ctx, &ctx->parent->ob.op, value.expr, ctx->from_parent);
    }
    value.owner = ctx;
    return value;
}

/* ---- tensors ---- */

LTensor *ltensor_new(Lower *lw, Symbol name, int id)
{
    LTensor *tensor = ARENA_NEW(lw->arena, LTensor);
    *tensor = (LTensor){.name = name, .id = id, .domain_op = -1, .previous = -1, .scan_axis = -1, .span = span_none()};
    return tensor;
}

bool target_axes_push(TargetAxes *axes, const IndexBinding *binding)
{
    if (axes->rank >= TENSOR_AXES_MAX || axes->id_count + binding->axis.parts > TENSOR_AXES_MAX * 2)
        return false;
    axes->axes[axes->rank++] = binding->axis;
    for (int i = 0; i < binding->axis.parts; i++)
        axes->ids[axes->id_count++] = binding->ids[i];
    return true;
}

LTensor *ctx_tensor(Lower *lw, OpCtx *ctx, Symbol name, const TargetAxes *axes, bool integer, const Axis *points_into, Span span)
{
    Dim extents[TENSOR_AXES_MAX * 2 + 1];
    int rank = 0;
    const bool packed = ctx->pack_index >= 0;
    if (packed)
        extents[rank++] = ctx->ob.op.indices[ctx->pack_index].extent;
    for (int i = 0; i < axes->id_count; i++)
        extents[rank++] = ctx->ob.op.indices[axes->ids[i]].extent;
    const Dim bound = integer ? axis_size(lw, points_into) : NULL;
    LTensor *tensor = ltensor_new(lw, name, unit_tensor(ctx->ob.unit, name, integer ? T_INT : T_REAL, TENSOR_LOCAL, rank, extents, bound));
    tensor->integer = integer;
    if (integer)
        tensor->points_into = *points_into;
    tensor->rank = axes->rank;
    memcpy(tensor->axes, axes->axes, (size_t)axes->rank * sizeof *axes->axes);
    tensor->packed = packed;
    tensor->span = span;
    ctx->ob.unit->tensors[tensor->id].span = span;
    return tensor;
}

Access ctx_access(Lower *lw, OpCtx *ctx, const LTensor *tensor, const TargetAxes *axes)
{
    int ids[TENSOR_AXES_MAX * 2 + 1], count = 0;
    if (tensor->packed)
        ids[count++] = ctx->pack_index;
    for (int i = 0; i < axes->id_count; i++)
        ids[count++] = axes->ids[i];
    return access_indices(lw->program, tensor->id, count, ids);
}

/* A real tensor exists only where the integers it is subscripted by do: said as guards, so that its readers inherit it. */
static void guard_existence(OpCtx *ctx)
{
    OpBuilder *ob = &ctx->ob;
    for (int i = 0, count = ob->op.expr_count; i < count; i++) {
        if (ob->op.exprs[i].kind != EXPR_READ)
            continue;
        for (int s = 0; s < ob->op.exprs[i].access.count; s++) {
            const Access *read = ob->op.exprs[i].access.subs[s].read;
            if (read)
                op_guard(ob, expr_op(ob, EXPR_EXISTS, expr_read(ob, *read), -1, -1));
        }
    }
}

LTensor *ctx_finish(Lower *lw, OpCtx *ctx, Symbol name, int body_expr, const TargetAxes *axes, bool integer, const Axis *points_into, Span span)
{
    OpBuilder *ob = &ctx->ob;
    const bool partial = ob->op.kind == OP_NEST && ob->op.reducer == REDUCE_SET && !integer;
    LTensor *tensor = ctx_tensor(lw, ctx, name, axes, integer, points_into, span);
    if (partial)
        guard_existence(ctx);
    element_bounded(lw, ctx, body_expr, tensor->id, name, span);
    ob->op.body = body_expr;
    ob->op.out = ctx_access(lw, ctx, tensor, axes);
    ob->op.span = span;
    const bool bounded = ob->op.cond_count > 0 || ob->op.guard_count > 0;
    const int number = op_finish(ob);
    if (partial && bounded)
        tensor->domain_op = number;
    return tensor;
}

int read_at(Lower *lw, OpCtx *ctx, const LTensor *tensor, const IndexBinding *bindings, int count)
{
    TargetAxes axes = {0};
    for (int i = 0; i < count; i++)
        (void)target_axes_push(&axes, &bindings[i]);
    return expr_read(&ctx->ob, ctx_access(lw, ctx, tensor, &axes));
}
