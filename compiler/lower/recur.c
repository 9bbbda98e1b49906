/* Recurrences: recur h[l, n] = a * h[l - 1, n] + b. Every read of the value being defined keeps the subscripts it was written with, the affine form is
   taken in the one that is the previous point, and what comes out is searched for any other. */
#include "lower/internal.h"

#include "tree/printer.h"
#include "support/bug.h"

#include <stdlib.h>
#include <string.h>

/* What is on the left: entry i of `entries` is axis i of `axes`. */
typedef struct Recurrence {
    const Node *target;
    TargetAxes axes;
    bool condition; /* its `where` is being read */
} Recurrence;

static const char *text_of(Lower *lw, const Node *node)
{
    Str text = {0};
    ast_print_flat(node, &text);
    const char *copy = arena_strdup(lw->arena, str_text(&text));
    str_free(&text);
    return copy;
}

/* ---- reads of its own value ---- */

OpCtx *recurrence_of(OpCtx *ctx, const LTensor *tensor)
{
    while (ctx && !(ctx->recur && ctx->recur_tensor == tensor))
        ctx = ctx->parent;
    return ctx;
}

/* An index of `owner` as one of the operation `ctx` inside it, -1 where it is not carried there. */
static int carried(const OpCtx *ctx, const OpCtx *owner, int index)
{
    if (ctx == owner)
        return index;
    const int outer = carried(ctx->parent, owner, index);
    return outer < 0 ? -1 : ctx->from_parent[outer];
}

/* Where the left side stands on an axis, row-major, in the indices of `ctx`; false where one of them is not carried there. */
static bool own_position(Lower *lw, const OpCtx *ctx, const OpCtx *owner, int axis, Affine *position)
{
    const TargetAxes *axes = &owner->recur->axes;
    int first = 0;
    for (int i = 0; i < axis; i++)
        first += axes->axes[i].parts;
    Dim stride = dim_int(lw->dims, 1);
    *position = affine_const(lw->program, dim_int(lw->dims, 0));
    for (int part = axes->axes[axis].parts - 1; part >= 0; part--) {
        const int index = carried(ctx, owner, axes->ids[first + part]);
        if (index < 0)
            return false;
        *position = affine_add(lw->program, *position, affine_scale(lw->program, affine_index(lw->program, index), stride));
        stride = dim_mul(lw->dims, stride, axes->axes[axis].part[part]);
    }
    return true;
}

typedef enum { ENTRY_BARE, ENTRY_BACK, ENTRY_OTHER } EntryKind;

static EntryKind entry_kind(Lower *lw, OpCtx *ctx, const OpCtx *owner, Scope *scope, int axis, const Node *entry)
{
    Affine at, own;
    Dim distance;
    if (!axis_position(lw, ctx, scope, &owner->recur->axes.axes[axis], entry, &at) || !own_position(lw, ctx, owner, axis, &own))
        return ENTRY_OTHER;
    if (!affine_is_const(affine_sub(lw->program, at, own), &distance))
        return ENTRY_OTHER;
    return dim_is(distance, 0) ? ENTRY_BARE : dim_is(distance, -1) ? ENTRY_BACK : ENTRY_OTHER;
}

/* The axis along which the read steps back once, all others being bare; -1 if it is not of that form. */
static int step_axis(Lower *lw, OpCtx *ctx, const OpCtx *owner, Scope *scope, const Node *entries)
{
    int step = -1;
    for (int i = 0; i < list_count(entries); i++) {
        const EntryKind kind = entry_kind(lw, ctx, owner, scope, i, list_at(entries, i));
        if (kind == ENTRY_OTHER || (kind == ENTRY_BACK && step >= 0))
            return -1;
        if (kind == ENTRY_BACK)
            step = i;
    }
    return step;
}

/* The tensor at the point before: one step back along the axis `scan`. */
static Access previous_access(Lower *lw, const OpCtx *ctx, int scan)
{
    const TargetAxes *axes = &ctx->recur->axes;
    Sub subs[TENSOR_AXES_MAX * 2 + 1];
    int count = 0, next = 0;
    if (ctx->recur_tensor->packed)
        subs[count++] = sub_index(lw->program, ctx->pack_index);
    for (int i = 0; i < axes->rank; i++) {
        Affine own;
        BFM_ASSERT(own_position(lw, ctx, ctx, i, &own));
        if (i == scan)
            subs[count++] = sub_affine(affine_sub(lw->program, own, affine_const(lw->program, dim_int(lw->dims, 1))), axes->axes[i].parts);
        for (int part = 0; part < axes->axes[i].parts && i != scan; part++)
            subs[count++] = sub_index(lw->program, axes->ids[next + part]);
        next += axes->axes[i].parts;
    }
    Access access = access_new(lw->program, ctx->recur_tensor->id, count);
    memcpy(access.subs, subs, (size_t)count * sizeof *subs);
    return access;
}

static Val refuse(Lower *lw, const OpCtx *owner, const Node *read, const char *why)
{
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0409, read->span, "%s", why);
    diag_label(lw->diags, diag, owner->recur->target->span, "the value being defined");
    diag_fix(lw->diags, diag, "a recurrence reads itself one step back along one axis, all other indices bare: recur h[l, n] = a[l, n] * h[l - 1, n] + x[l, n]");
    return val_poison();
}

/* From inside a reduction: even the previous value would be read there before the operation that defines it. */
static Val refuse_inside(Lower *lw, OpCtx *ctx, OpCtx *owner, Scope *scope, const Node *read)
{
    const bool same = step_axis(lw, ctx, owner, scope, read->kids[SUBSCRIPT_ENTRIES]) >= 0;
    return refuse(lw, owner, read,
                  arena_printf(lw->arena,
                               same ? "a recurrence is affine element by element: the previous value `%s` stands outside of reductions, as a factor"
                                    : "a recurrence is affine element by element, and `%s` reads another element of its past",
                               text_of(lw, read)));
}

Val recur_self(Lower *lw, OpCtx *ctx, OpCtx *owner, Scope *scope, const Node *read)
{
    const Node *entries = read->kind == NODE_SUBSCRIPT ? read->kids[SUBSCRIPT_ENTRIES] : NULL;
    const int errors = diag_raised(lw->diags);
    if (list_count(entries) != owner->recur->axes.rank)
        return refuse(lw, owner, read, arena_printf(lw->arena, "`%s` has %d subscripts, not %d", text_of(lw, read), list_count(entries), owner->recur->axes.rank));
    if (ctx != owner)
        return refuse_inside(lw, ctx, owner, scope, read);
    if (owner->recur->condition)
        return refuse(lw, owner, read, "the condition of a recurrence says where it steps, and does not read its own value");
    const int step = step_axis(lw, ctx, owner, scope, entries);
    if (diag_raised(lw->diags) > errors)
        return val_poison();
    if (step < 0)
        return refuse(lw, owner, read, arena_printf(lw->arena, "`%s` is not the previous value of `%s`", text_of(lw, read), text_of(lw, owner->recur->target)));
    if (owner->recur_scan >= 0 && owner->recur_scan != step)
        return refuse(lw, owner, read, "a recurrence runs along one axis; other reads of its own value step back along another");
    owner->recur_scan = step;
    return (Val){.kind = VAL_EXPR, .expr = expr_read(&ctx->ob, previous_access(lw, ctx, step)), .owner = ctx, .span = read->span};
}

/* ---- the affine form ---- */

/* a * previous + b; -1 stands for 0. */
typedef struct Form {
    int a, b;
    bool affine; /* false: no such form */
} Form;

static int or_zero(OpBuilder *ob, int expr) { return expr < 0 ? expr_const(ob, 0) : expr; }

static int sum_of(OpBuilder *ob, ExprKind kind, int left, int right)
{
    if (right < 0)
        return left;
    if (left < 0)
        return kind == EXPR_SUB ? expr_op(ob, EXPR_NEG, right, -1, -1) : right;
    return expr_op(ob, kind, left, right, -1);
}

static int scaled(OpBuilder *ob, ExprKind kind, int left, int right) { return left < 0 || right < 0 ? -1 : expr_op(ob, kind, left, right, -1); }

static int chosen(OpBuilder *ob, int condition, int left, int right)
{
    return left < 0 && right < 0 ? -1 : expr_op(ob, EXPR_SELECT, condition, or_zero(ob, left), or_zero(ob, right));
}

/* The form of one expression, those of its operands being known. */
static Form form_of(OpBuilder *ob, int id, const Form *forms)
{
    const Expr node = ob->op.exprs[id];
    const Form none = {-1, id, false};
    Form arg[3] = {none, none, none};
    bool reads = false;
    for (int i = 0; i < scalar_arity(node.kind); i++) {
        arg[i] = forms[node.arg[i]];
        if (!arg[i].affine)
            return none;
        reads = reads || arg[i].a >= 0;
    }
    if (!reads)
        return (Form){-1, id, true};
    switch ((int)node.kind) {
    case EXPR_ADD:
    case EXPR_SUB: return (Form){sum_of(ob, node.kind, arg[0].a, arg[1].a), sum_of(ob, node.kind, arg[0].b, arg[1].b), true};
    case EXPR_NEG: return (Form){sum_of(ob, EXPR_SUB, -1, arg[0].a), sum_of(ob, EXPR_SUB, -1, arg[0].b), true};
    case EXPR_MUL:
        if (arg[0].a >= 0 && arg[1].a >= 0)
            return none;
        if (arg[0].a >= 0)
            return (Form){scaled(ob, EXPR_MUL, arg[0].a, arg[1].b), scaled(ob, EXPR_MUL, arg[0].b, arg[1].b), true};
        return (Form){scaled(ob, EXPR_MUL, arg[0].b, arg[1].a), scaled(ob, EXPR_MUL, arg[0].b, arg[1].b), true};
    case EXPR_DIV:
        if (arg[1].a >= 0)
            return none;
        return (Form){scaled(ob, EXPR_DIV, arg[0].a, arg[1].b), scaled(ob, EXPR_DIV, arg[0].b, arg[1].b), true};
    case EXPR_SELECT:
        if (arg[0].a >= 0)
            return none;
        return (Form){chosen(ob, arg[0].b, arg[1].a, arg[2].a), chosen(ob, arg[0].b, arg[1].b, arg[2].b), true};
    }
    return none;
}

/* root = a * previous + b, where `previous` is the one read of that kind. Operands stand before their users. */
static Form affine_form(OpBuilder *ob, int root, const Access *previous)
{
    Form *forms = calloc((size_t)root + 1, sizeof *forms);
    BFM_ASSERT(forms);
    for (int id = 0; id <= root; id++) {
        const Expr *expr = &ob->op.exprs[id];
        const bool self = expr->kind == EXPR_READ && access_equal(&expr->access, previous);
        forms[id] = self ? (Form){expr_const(ob, 1), -1, true} : form_of(ob, id, forms);
    }
    const Form form = forms[root];
    free(forms);
    return form;
}

static bool access_reads(const Access *access, int tensor)
{
    bool reads = access->tensor == tensor;
    for (int i = 0; i < access->count && !reads; i++)
        reads = access->subs[i].read && access_reads(access->subs[i].read, tensor);
    return reads;
}

/* Expression `id` is `root` or an operand of it, of any depth. */
static bool op_reaches(const Op *op, int root, int id)
{
    bool *reached = calloc((size_t)root + 1, sizeof *reached);
    BFM_ASSERT(reached);
    reached[root] = true;
    for (int i = root; i > id; i--)
        for (int k = 0; reached[i] && k < scalar_arity(op->exprs[i].kind); k++)
            reached[op->exprs[i].arg[k]] = true;
    const bool found = reached[id];
    free(reached);
    return found;
}

/* What is left after the form was taken reads nothing of the tensor that it defines. */
static bool reads_itself(const Op *op, int tensor)
{
    bool *live = calloc((size_t)op->expr_count + 1, sizeof *live), reads = false;
    BFM_ASSERT(live);
    op_live(op, live);
    for (int i = 0; i < op->expr_count && !reads; i++)
        reads = live[i] && op->exprs[i].kind == EXPR_READ && access_reads(&op->exprs[i].access, tensor);
    free(live);
    return reads;
}

bool recur_imported(Lower *lw, const OpCtx *ctx, const Val *value)
{
    const OpCtx *outer = ctx->parent;
    bool reads = false;
    for (int i = 0; outer->recur && i <= value->expr && !reads; i++)
        reads = outer->ob.op.exprs[i].kind == EXPR_READ && access_reads(&outer->ob.op.exprs[i].access, outer->recur_tensor->id) && op_reaches(&outer->ob.op, value->expr, i);
    if (reads)
        diag_label(lw->diags,
                   diag_add(lw->diags, DIAG_E0409, value->span, "a recurrence is affine element by element: its previous value stands outside of reductions, as a factor"),
                   outer->recur->target->span, "the value being defined");
    return reads;
}

static bool set_form(Lower *lw, OpCtx *ctx, int expr, const Node *value)
{
    Op *op = &ctx->ob.op;
    const Symbol name = ctx->recur->target->name;
    const Access previous = previous_access(lw, ctx, ctx->recur_scan);
    const Form form = affine_form(&ctx->ob, expr, &previous);
    double one;
    op->body = form.affine ? or_zero(&ctx->ob, form.b) : expr;
    op->body2 = form.affine ? or_zero(&ctx->ob, form.a) : -1;
    if (form.affine && !reads_itself(op, ctx->recur_tensor->id)) {
        op->body2 = expr_is_const(op, op->body2, &one) && one == 1 ? -1 : op->body2;
        return true;
    }
    diag_add(lw->diags, DIAG_E0409, value->span, "a recurrence is affine in its own value: %s = a * %s[… - 1] + b", name, name);
    return false;
}

/* ---- the operation ---- */

static bool body_form(Lower *lw, OpCtx *ctx, const Node *node)
{
    const Node *value = node->kids[RECUR_VALUE];
    const Val result = eval(lw, ctx, ctx->scope, value);
    const int expr = val_expr(lw, ctx, &result, value->span);
    if (expr < 0)
        return false;
    if (ctx->recur_scan >= 0)
        return set_form(lw, ctx, expr, value);
    Diagnostic *diag =
        diag_add(lw->diags, DIAG_E0409, node->span, "`%s` does not read its own value: a recurrence reads itself one step back along one axis", ctx->recur->target->name);
    diag_fix(lw->diags, diag, "write `let`, or for example: recur h[l, n] = a[l, n] * h[l - 1, n] + x[l, n]");
    return false;
}

static void scan_of(Lower *lw, Op *op, const TargetAxes *axes, int scan)
{
    int first = 0;
    for (int i = 0; i < scan; i++)
        first += axes->axes[i].parts;
    op->scan_count = axes->axes[scan].parts;
    op->scan = arena_memdup(lw->arena, axes->ids + first, (size_t)op->scan_count * sizeof(int));
}

/* Both forms are made: values after each point, and (exclusive) before it; what nobody reads is dropped later. */
static LTensor *recur_form(Body *body, const Node *node, bool exclusive)
{
    Lower *lw = body->lw;
    const Node *target = node->kids[RECUR_TARGET], *where = node->kids[RECUR_WHERE], *texts[2] = {node->kids[RECUR_VALUE], where};
    Scope *scope = scope_new(lw, body->scope);
    OpCtx ctx = ctx_begin(body, scope, OP_RECUR, NULL);
    Recurrence recurrence = {.target = target, .condition = true};
    LTensor *tensor = NULL;
    pack_if(&ctx, scope, texts[0]);
    if (bind_left(body, &ctx, target->kids[TARGET_ENTRIES], texts, where ? 2 : 1, &recurrence.axes)) {
        tensor = ctx_tensor(lw, &ctx, exclusive ? symbol_printf(lw, "%s_before", target->name) : target->name, &recurrence.axes, false, NULL, node->span);
        ctx.ob.op.out = ctx_access(lw, &ctx, tensor, &recurrence.axes);
        ctx.recur_tensor = tensor;
        ctx.recur = &recurrence;
        scope_set(scope, target->name, (Val){.kind = VAL_TENSOR, .tensor = tensor, .span = node->span, .expr = -1});
        if (where)
            apply_condition(lw, &ctx, scope, where);
        recurrence.condition = false;
        tensor = body_form(lw, &ctx, node) ? tensor : NULL;
    }
    if (tensor) {
        tensor->scan_axis = ctx.recur_scan;
        scan_of(lw, &ctx.ob.op, &recurrence.axes, ctx.recur_scan);
        ctx.ob.op.exclusive = exclusive;
        ctx.ob.op.init.tensor = -1;
        ctx.ob.op.span = node->span;
        op_finish(&ctx.ob);
    }
    ctx_free(&ctx);
    return tensor;
}

LTensor *define_recur(Body *body, const Node *node)
{
    const int errors = diag_raised(body->lw->diags);
    LTensor *tensor = recur_form(body, node, false), *before = tensor && diag_raised(body->lw->diags) == errors ? recur_form(body, node, true) : NULL;
    if (!before)
        return NULL;
    tensor->previous = before->id;
    return tensor;
}
