/* Calls inside expressions: the built-in functions of the language, and functions of the library, which are inlined. */
#include "lower/internal.h"

#include <math.h>
#include <string.h>

static bool count_is(Lower *lw, const Node *node, int wanted)
{
    const int found = list_count(node->kids[CALL_ARGS]);
    if (found == wanted)
        return true;
    diag_add(lw->diags, DIAG_E0411, node->span, "`%s` takes %d argument%s, not %d", node->name, wanted, plural(wanted), found);
    return false;
}

static const Node *argument(const Node *node, int i) { return list_at(node->kids[CALL_ARGS], i); }

/* ceil, floor, min and max of exact numbers stay exact: they are how dimensions are computed. */
static bool exact_call(Lower *lw, const char *name, const Val *values, int count, Val *result, Span span)
{
    for (int i = 0; i < count; i++)
        if (values[i].kind != VAL_NUMBER || !values[i].dim)
            return false;
    const Dim a = values[0].dim, b = count > 1 ? values[1].dim : NULL;
    if (strcmp(name, "floor") == 0)
        *result = val_dim(dim_floor(lw->dims, a), span);
    else if (strcmp(name, "min") == 0)
        *result = val_dim(dim_min(lw->dims, a, b), span);
    else if (strcmp(name, "max") == 0)
        *result = val_dim(dim_max(lw->dims, a, b), span);
    else
        return false;
    return true;
}

static Val scalar_call(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node, ExprKind kind)
{
    const int arity = scalar_arity(kind);
    Val values[3], result;
    double numbers[3] = {0};
    bool constant = true;
    if (!count_is(lw, node, arity))
        return val_poison();
    for (int i = 0; i < arity; i++) {
        values[i] = eval(lw, ctx, scope, argument(node, i));
        if (values[i].kind == VAL_POISON)
            return val_poison();
        constant = val_double(&values[i], &numbers[i]) && constant;
    }
    if (exact_call(lw, node->name, values, arity, &result, node->span))
        return result;
    if (kind == EXPR_SELECT && values[0].kind == VAL_BOOL)
        return values[values[0].truth ? 1 : 2];
    if (constant)
        return val_real(scalar_eval(kind, numbers[0], numbers[1], numbers[2]), node->span);
    if (!ctx) {
        diag_add(lw->diags, DIAG_E0410, node->span, "a constant is needed here, and `%s` is applied to run-time sizes", node->name);
        return val_poison();
    }
    int args[3] = {-1, -1, -1};
    for (int i = 0; i < arity; i++)
        if ((args[i] = val_expr(lw, ctx, &values[i], argument(node, i)->span)) < 0)
            return val_poison();
    return (Val){.kind = VAL_EXPR, .expr = expr_op(&ctx->ob, kind, args[0], args[1], args[2]), .owner = ctx, .span = node->span};
}

static Val ceil_call(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node)
{
    if (!count_is(lw, node, 1))
        return val_poison();
    const Val value = eval(lw, ctx, scope, argument(node, 0));
    double number;
    if (value.kind == VAL_NUMBER && value.dim)
        return val_dim(dim_ceil(lw->dims, value.dim), node->span);
    if (val_double(&value, &number))
        return val_real(ceil(number), node->span);
    const int expr = ctx ? val_expr(lw, ctx, &value, node->span) : -1;
    if (expr < 0)
        return val_poison();
    const int floored = expr_op(&ctx->ob, EXPR_FLOOR, expr_op(&ctx->ob, EXPR_NEG, expr, -1, -1), -1, -1);
    return (Val){.kind = VAL_EXPR, .expr = expr_op(&ctx->ob, EXPR_NEG, floored, -1, -1), .owner = ctx, .span = node->span};
}

static Val exists_call(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node)
{
    if (!count_is(lw, node, 1))
        return val_poison();
    Val value = eval(lw, ctx, scope, argument(node, 0));
    if (value.kind == VAL_NUMBER || value.kind == VAL_INDEX)
        return val_bool(true, node->span);
    if (value.kind == VAL_EXPR && !value.integer) {
        diag_add(lw->diags, DIAG_E0411, node->span, "`exists` asks whether an index is `none`; this is a number");
        return val_poison();
    }
    if (value.kind == VAL_EXPR)
        return (Val){.kind = VAL_EXPR, .expr = expr_op(&ctx->ob, EXPR_EXISTS, value.expr, -1, -1), .owner = ctx, .span = node->span};
    (void)val_expr(lw, ctx, &value, node->span);
    return val_poison();
}

static Val size_call(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node)
{
    if (!count_is(lw, node, 1))
        return val_poison();
    const Node *of = argument(node, 0);
    const Val *known = of->kind == NODE_NAME ? scope_find(scope, of->name) : NULL;
    if (known && known->kind == VAL_AXIS && !dim_is_static(axis_size(lw, &known->axis)) && initial_refuses(lw, ctx, node->span, "the size of a run"))
        return val_poison();
    if (known && known->kind == VAL_AXIS)
        return val_dim(axis_size(lw, &known->axis), node->span);
    if (known && known->kind == VAL_NUMBER)
        return *known;
    const IndexBinding *binding = of->kind == NODE_NAME ? index_find(ctx, of->name) : NULL;
    if (binding)
        return val_dim(axis_size(lw, &binding->axis), node->span);
    diag_add(lw->diags, DIAG_E0411, node->span, "`size` takes the name of an axis or of an index");
    return val_poison();
}

static Val pos_call(Lower *lw, OpCtx *ctx, const Node *node)
{
    if (!count_is(lw, node, 1))
        return val_poison();
    const IndexBinding *binding = argument(node, 0)->kind == NODE_NAME ? index_find(ctx, argument(node, 0)->name) : NULL;
    if (binding)
        return (Val){.kind = VAL_INDEX, .affine = index_affine(lw, binding), .axis = binding->axis, .owner = ctx, .span = node->span, .expr = -1};
    diag_add(lw->diags, DIAG_E0411, node->span, "`pos` takes the name of an index of this definition");
    return val_poison();
}

static Val arity_call(Lower *lw, Scope *scope, const Node *node)
{
    if (!count_is(lw, node, 1))
        return val_poison();
    const Val value = eval_const(lw, scope, argument(node, 0));
    if (value.kind == VAL_DEF && value.def->node)
        return val_number(lw, rational_int(list_count(value.def->node->kids[DEFINITION_INPUTS])), node->span);
    if (value.kind != VAL_POISON)
        diag_add(lw->diags, DIAG_E0411, node->span, "`arity` takes a function");
    return val_poison();
}

/* draw("tag", i, j): uniform in [0, 1), a function of seed, path, tag, step and the indices. */
static Val draw_call(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node)
{
    Affine subs[TENSOR_AXES_MAX];
    Dim extents[TENSOR_AXES_MAX];
    const int count = list_count(node->kids[CALL_ARGS]) - 1;
    if (!ctx || count < 0 || count > TENSOR_AXES_MAX || argument(node, 0)->kind != NODE_STRING) {
        diag_add(lw->diags, DIAG_E0411, node->span, "a draw has a name and indices: draw(\"name\", i, …)");
        return val_poison();
    }
    if (initial_refuses(lw, ctx, node->span, "a draw; `~ normal(mean, deviation)` draws a parameter"))
        return val_poison();
    for (int i = 0; i < count; i++) {
        const Val value = eval(lw, ctx, scope, argument(node, i + 1));
        if (value.kind == VAL_POISON)
            return value;
        if (value.kind != VAL_INDEX || value.axis.parts == 0) {
            diag_add(lw->diags, DIAG_E0411, argument(node, i + 1)->span, "a draw is made for indices; this is %s", val_text(lw, &value));
            return val_poison();
        }
        subs[i] = value.axis.low ? affine_sub(lw->program, value.affine, affine_const(lw->program, value.axis.low)) : value.affine;
        extents[i] = axis_size(lw, &value.axis);
    }
    const Symbol tag = symbol_printf(lw, "%s%s", ctx->body->prefix, argument(node, 0)->name);
    return (Val){.kind = VAL_EXPR, .expr = expr_draw(&ctx->ob, tag, count, subs, extents), .owner = ctx, .span = node->span};
}

/* A function of the library: its body with the arguments for its names. */
static Val function_call(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node, const Node *function)
{
    const Node *inputs = function->kids[DEFINITION_INPUTS], *body = function->kids[DEFINITION_VALUE];
    if (module_malformed(lw->module, function))
        return val_poison();
    if (list_count(inputs) != list_count(node->kids[CALL_ARGS])) {
        Diagnostic *diag = diag_add(lw->diags, DIAG_E0411, node->span, "`%s` takes %d argument%s, not %d", function->name, list_count(inputs), plural(list_count(inputs)),
                                    list_count(node->kids[CALL_ARGS]));
        diag_label(lw->diags, diag, function->name_span, "defined here");
        return val_poison();
    }
    if (++lw->depth > CALL_DEPTH_MAX) {
        lw->depth--;
        diag_add(lw->diags, DIAG_E0413, node->span, "`%s` calls itself", function->name);
        return val_poison();
    }
    const bool outermost = expansion_enter(lw, function->name, node->span);
    Scope *inner = scope_new(lw, NULL);
    for (int i = 0; i < list_count(inputs); i++) {
        const Node *from = argument(node, i);
        Val value = eval(lw, ctx, scope, from->kind == NODE_ARG ? from->kids[ARG_VALUE] : from);
        scope_set(inner, list_at(inputs, i)->name, value);
    }
    /* indices of the caller are no names of the function: hide them by evaluating in a scope whose names come first */
    const int hidden = ctx ? ctx->indices.count : 0;
    if (ctx)
        ctx->indices.count = 0;
    Val result = eval(lw, ctx, inner, body);
    if (ctx)
        ctx->indices.count = hidden;
    expansion_leave(lw, outermost);
    lw->depth--;
    return result;
}

Val eval_call(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node)
{
    const Val *known = scope_find(scope, node->name);
    if (known && known->kind == VAL_DEF && known->def->node && known->def->node->op == AST_DEF_FN)
        return function_call(lw, ctx, scope, node, known->def->node);
    ExprKind scalar;
    if (scalar_find_function(node->name, &scalar))
        return scalar_call(lw, ctx, scope, node, scalar);
    if (strcmp(node->name, "ceil") == 0)
        return ceil_call(lw, ctx, scope, node);
    if (strcmp(node->name, "exists") == 0)
        return exists_call(lw, ctx, scope, node);
    if (strcmp(node->name, "size") == 0)
        return size_call(lw, ctx, scope, node);
    if (strcmp(node->name, "pos") == 0)
        return pos_call(lw, ctx, node);
    if (strcmp(node->name, "arity") == 0)
        return arity_call(lw, scope, node);
    if (strcmp(node->name, "draw") == 0)
        return draw_call(lw, ctx, scope, node);
    const Node *function = module_find(lw->module, node->name, NODE_DEFINITION, AST_DEF_FN);
    if (function)
        return function_call(lw, ctx, scope, node, function);
    const Node *definition = module_find(lw->module, node->name, NODE_DEFINITION, -1);
    if (definition && node->kind == NODE_CALL && !ctx)
        return val_def(lw, definition, node, scope, node->span);
    Diagnostic *diag = diag_add(lw->diags, definition ? DIAG_E0413 : DIAG_E0201, node->span,
                                definition ? "`%s` works on whole tensors and cannot stand inside an expression" : "there is no function `%s`", node->name);
    const Symbol similar = module_similar(lw->module, node->name, NODE_DEFINITION, AST_DEF_FN);
    if (definition)
        diag_fix(lw->diags, diag, "give its result a name: `let y = %s(x)`", node->name);
    else if (similar)
        diag_fix(lw->diags, diag, "did you mean `%s`?", similar);
    return val_poison();
}
