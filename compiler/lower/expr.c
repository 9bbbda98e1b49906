/* Expressions: constants are folded exactly, index arithmetic stays affine, the rest becomes scalar nodes of the operation under construction. */
#include "lower/internal.h"

#include "support/bug.h"

#include <math.h>
#include <string.h>

static Val expr_val(OpCtx *ctx, int expr, Span span) { return (Val){.kind = VAL_EXPR, .expr = expr, .owner = ctx, .span = span}; }

static bool affine_int_number(const Val *value)
{
    Rational exact;
    return value->kind == VAL_NUMBER && value->dim && (!dim_is_rational(value->dim, &exact) || rational_is_int(exact));
}

/* A size as a number. Dimensions are whole in the IR, so a fraction is a whole number over another. */
static int dim_expr(Lower *lw, OpCtx *ctx, Dim dim, Span span)
{
    const int64_t denominator = dim_denominator(dim);
    if (denominator == 0) {
        diag_add(lw->diags, DIAG_E0411, span, "the fraction `%s` of sizes is too fine to compute with", dim_text(lw, dim));
        return -1;
    }
    const int whole = expr_dim(&ctx->ob, dim_mul(lw->dims, dim, dim_int(lw->dims, denominator)));
    return denominator == 1 ? whole : expr_op(&ctx->ob, EXPR_DIV, whole, expr_const(&ctx->ob, (double)denominator), -1);
}

int val_expr(Lower *lw, OpCtx *ctx, const Val *value, Span span)
{
    double number;
    switch (value->kind) {
    case VAL_POISON: return -1;
    case VAL_BOOL: return expr_const(&ctx->ob, value->truth ? 1 : 0);
    case VAL_NUMBER: return val_double(value, &number) ? expr_const(&ctx->ob, number) : dim_expr(lw, ctx, value->dim, span);
    case VAL_AXIS: return dim_expr(lw, ctx, axis_size(lw, &value->axis), span);
    case VAL_EXPR: return value->expr;
    case VAL_INDEX: {
        int sum = -1;
        for (int i = 0; i < value->affine.count; i++) {
            const Val coef = val_dim(value->affine.terms[i].coef, span);
            const int term = expr_op(&ctx->ob, EXPR_MUL, val_expr(lw, ctx, &coef, span), expr_pos(&ctx->ob, value->affine.terms[i].index), -1);
            sum = sum < 0 ? term : expr_op(&ctx->ob, EXPR_ADD, sum, term, -1);
        }
        const Val base = val_dim(value->affine.base, span);
        const int constant = val_expr(lw, ctx, &base, span);
        return sum < 0 ? constant : expr_op(&ctx->ob, EXPR_ADD, sum, constant, -1);
    }
    case VAL_CHOICE:
    case VAL_NONE:
    case VAL_DEF:
    case VAL_TENSOR: {
        Diagnostic *diag = diag_add(lw->diags, DIAG_E0411, span, "expected a number, found %s", val_text(lw, value));
        if (value->kind == VAL_TENSOR)
            diag_fix(lw->diags, diag, "say which element: `%s[…]` with %d subscripts", value->tensor->name, value->tensor->rank);
        return -1;
    }
    }
    BFM_BUG("value kind %d", (int)value->kind);
}

Val eval_const(Lower *lw, Scope *scope, const Node *node) { return eval(lw, NULL, scope, node); }

IndexBinding *index_find(OpCtx *ctx, Symbol name)
{
    for (int i = ctx ? ctx->indices.count - 1 : -1; i >= 0; i--)
        if (ctx->indices.items[i].name == name)
            return &ctx->indices.items[i];
    return NULL;
}

Affine index_affine(Lower *lw, const IndexBinding *binding)
{
    Affine value = affine_const(lw->program, binding->axis.low ? binding->axis.low : dim_int(lw->dims, 0));
    Dim stride = dim_int(lw->dims, 1);
    for (int i = binding->axis.parts - 1; i >= 0; i--) {
        value = affine_add(lw->program, value, affine_scale(lw->program, affine_index(lw->program, binding->ids[i]), stride));
        stride = dim_mul(lw->dims, stride, binding->axis.part[i]);
    }
    return value;
}

static Val index_val(Lower *lw, OpCtx *ctx, const IndexBinding *binding, Span span)
{
    return (Val){.kind = VAL_INDEX, .affine = index_affine(lw, binding), .axis = binding->axis, .owner = ctx, .span = span, .expr = -1};
}

static void unknown_name(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node)
{
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0201, node->span, "there is no `%s` here", node->name);
    if (ctx && ctx->body && ctx->body->defining == node->name) {
        diag_fix(lw->diags, diag, "a definition that reads itself, one step back along an axis, is a recurrence: `recur %s[…] = …`", node->name);
        return;
    }
    if (!diag_kept(lw->diags, diag))
        return;
    Symbol best = NULL;
    const int limit = strlen(node->name) > 1 ? 1 + (int)strlen(node->name) / 4 : 0; /* any letter is near any other */
    for (Scope *s = scope; s && !best; s = s->barrier ? NULL : s->parent)
        for (int i = 0; i < s->entries.count && !best; i++)
            if (name_distance(node->name, s->entries.items[i].name) <= limit)
                best = s->entries.items[i].name;
    for (int i = 0; ctx && i < ctx->indices.count && !best; i++)
        if (name_distance(node->name, ctx->indices.items[i].name) <= limit)
            best = ctx->indices.items[i].name;
    if (best)
        diag_fix(lw->diags, diag, "did you mean `%s`?", best);
}

static Val mode_val(Lower *lw, Span span)
{
    static const char *const NAMES[] = {[MODE_TRAIN] = "train", [MODE_EVAL] = "eval", [MODE_DECODE] = "decode"};
    return (Val){.kind = VAL_CHOICE, .choice = intern(lw->interner, NAMES[lw->options.mode]), .span = span, .expr = -1};
}

static Val eval_name(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node)
{
    const IndexBinding *binding = index_find(ctx, node->name);
    if (binding)
        return index_val(lw, ctx, binding, node->span);
    const Val *known = scope_find(scope, node->name);
    if (!known && strcmp(node->name, "mode") == 0)
        return mode_val(lw, node->span);
    if (!known && strcmp(node->name, "none") == 0)
        return (Val){.kind = VAL_NONE, .span = node->span, .expr = -1};
    if (!known && ctx && strcmp(node->name, "step") == 0) {
        if (initial_refuses(lw, ctx, node->span, "the step"))
            return val_poison();
        LTensor *step = ambient_find(ctx->body, node->name);
        return expr_val(ctx, expr_read(&ctx->ob, access_new(lw->program, step->id, 0)), node->span);
    }
    if (!known) {
        const Node *definition = module_find(lw->module, node->name, NODE_DEFINITION, -1);
        if (definition)
            return val_def(lw, definition, NULL, scope, node->span);
        unknown_name(lw, ctx, scope, node);
        return val_poison();
    }
    Val value = *known;
    if (value.kind == VAL_AXIS)
        value = val_dim(axis_size(lw, &value.axis), node->span);
    if (value.kind == VAL_NUMBER && value.dim && !dim_is_static(value.dim) && initial_refuses(lw, ctx, node->span, "the size of a run"))
        return val_poison();
    if (known->kind == VAL_AXIS)
        return value;
    if ((value.kind == VAL_EXPR || value.kind == VAL_INDEX) && value.owner != ctx)
        return ctx_import(lw, ctx, value);
    if (value.kind == VAL_TENSOR && value.tensor->rank == 0 && ctx)
        return eval_subscript(lw, ctx, scope, node, value.tensor, NULL);
    if (value.kind == VAL_TENSOR && !ctx) {
        diag_add(lw->diags, DIAG_E0410, node->span, "`%s` is computed by the model; a constant is needed here", node->name);
        return val_poison();
    }
    return value;
}

/* ---- arithmetic ---- */

static double real_arithmetic(int op, double a, double b)
{
    switch (op) {
    case AST_ADD: return a + b;
    case AST_SUB: return a - b;
    case AST_MUL: return a * b;
    case AST_DIV: return a / b;
    case AST_MOD: return a - b * floor(a / b);
    case AST_POW: return pow(a, b);
    }
    BFM_BUG("operator %d", op);
}

static bool exact_power(Lower *lw, Dim base, int64_t exponent, Dim *result)
{
    if (exponent < -64 || exponent > 64)
        return false;
    Dim power = dim_int(lw->dims, 1);
    for (int64_t i = 0; i < (exponent < 0 ? -exponent : exponent); i++)
        power = dim_mul(lw->dims, power, base);
    *result = exponent < 0 ? dim_div(lw->dims, dim_int(lw->dims, 1), power) : power;
    return *result != NULL;
}

static bool exact_arithmetic(Lower *lw, int op, Dim a, Dim b, Dim *result)
{
    int64_t exponent, divisor;
    switch (op) {
    case AST_ADD: *result = dim_add(lw->dims, a, b); break;
    case AST_SUB: *result = dim_sub(lw->dims, a, b); break;
    case AST_MUL: *result = dim_mul(lw->dims, a, b); break;
    case AST_DIV: *result = dim_is(b, 0) ? NULL : dim_div(lw->dims, a, b); break;
    case AST_MOD:
        if (!dim_is_int(b, &divisor) || divisor <= 0)
            return false;
        *result = dim_sub(lw->dims, a, dim_mul(lw->dims, b, dim_floor(lw->dims, dim_div(lw->dims, a, b))));
        break;
    case AST_POW:
        if (!dim_is_int(b, &exponent) || !exact_power(lw, a, exponent, result))
            return false;
        break;
    default: BFM_BUG("operator %d", op);
    }
    Rational value;
    const bool overflowed = *result && dim_is_rational(a, &value) && dim_is_rational(b, &value) && (!dim_is_rational(*result, &value) || !rational_valid(value));
    return *result && !overflowed;
}

/* x ^ constant: the powers that occur in models have nodes of their own. */
static int power_expr(OpCtx *ctx, int base, int exponent)
{
    double value;
    OpBuilder *ob = &ctx->ob;
    if (!expr_is_const(&ob->op, exponent, &value))
        return expr_op(ob, EXPR_POW, base, exponent, -1);
    if (value == 1)
        return base;
    if (value == 2)
        return expr_op(ob, EXPR_MUL, base, base, -1);
    if (value == 3)
        return expr_op(ob, EXPR_MUL, expr_op(ob, EXPR_MUL, base, base, -1), base, -1);
    if (value == 0.5)
        return expr_op(ob, EXPR_SQRT, base, -1, -1);
    if (value == -0.5)
        return expr_op(ob, EXPR_RSQRT, base, -1, -1);
    if (value == -1)
        return expr_op(ob, EXPR_DIV, expr_const(ob, 1), base, -1);
    return expr_op(ob, EXPR_POW, base, exponent, -1);
}

static Val expr_arithmetic(Lower *lw, OpCtx *ctx, int op, const Val *a, const Val *b, Span span)
{
    static const ExprKind KINDS[AST_OPERATORS] = {[AST_ADD] = EXPR_ADD, [AST_SUB] = EXPR_SUB, [AST_MUL] = EXPR_MUL, [AST_DIV] = EXPR_DIV, [AST_MOD] = EXPR_MOD};
    if (!ctx) {
        diag_add(lw->diags, DIAG_E0410, span, "a constant is needed here, found %s and %s", val_text(lw, a), val_text(lw, b));
        return val_poison();
    }
    const int left = val_expr(lw, ctx, a, a->span.file >= 0 ? a->span : span), right = val_expr(lw, ctx, b, b->span.file >= 0 ? b->span : span);
    if (left < 0 || right < 0)
        return val_poison();
    return expr_val(ctx, op == AST_POW ? power_expr(ctx, left, right) : expr_op(&ctx->ob, KINDS[op], left, right, -1), span);
}

Val arithmetic(Lower *lw, OpCtx *ctx, int op, Val a, Val b, Span span)
{
    Dim exact;
    double x, y;
    if (a.kind == VAL_POISON || b.kind == VAL_POISON)
        return val_poison();
    if (a.kind == VAL_BOOL)
        a = val_number(lw, rational_int(a.truth), a.span);
    if (b.kind == VAL_BOOL)
        b = val_number(lw, rational_int(b.truth), b.span);
    if (a.kind == VAL_NUMBER && b.kind == VAL_NUMBER) {
        if ((op == AST_DIV || op == AST_MOD) && b.dim && dim_is(b.dim, 0)) {
            diag_add(lw->diags, DIAG_E0411, span, "division by zero");
            return val_poison();
        }
        if (a.dim && b.dim && exact_arithmetic(lw, op, a.dim, b.dim, &exact))
            return val_dim(exact, span);
        if (val_double(&a, &x) && val_double(&b, &y))
            return val_real(real_arithmetic(op, x, y), span);
    }
    const bool a_index = a.kind == VAL_INDEX, b_index = b.kind == VAL_INDEX;
    if ((op == AST_ADD || op == AST_SUB) && (a_index || b_index) && (a_index || affine_int_number(&a)) && (b_index || affine_int_number(&b))) {
        const Affine left = a_index ? a.affine : affine_const(lw->program, a.dim), right = b_index ? b.affine : affine_const(lw->program, b.dim);
        const Affine sum = op == AST_ADD ? affine_add(lw->program, left, right) : affine_sub(lw->program, left, right);
        return (Val){.kind = VAL_INDEX, .affine = sum, .owner = ctx, .span = span, .expr = -1};
    }
    if (op == AST_MUL && ((a_index && affine_int_number(&b)) || (b_index && affine_int_number(&a)))) {
        const Affine product = affine_scale(lw->program, a_index ? a.affine : b.affine, a_index ? b.dim : a.dim);
        return (Val){.kind = VAL_INDEX, .affine = product, .owner = ctx, .span = span, .expr = -1};
    }
    return expr_arithmetic(lw, ctx, op, &a, &b, span);
}

/* ---- comparisons and conditions ---- */

static bool const_compare(int op, int order)
{
    switch (op) {
    case AST_EQ: return order == 0;
    case AST_NE: return order != 0;
    case AST_LT: return order < 0;
    case AST_LE: return order <= 0;
    case AST_GT: return order > 0;
    case AST_GE: return order >= 0;
    }
    BFM_BUG("comparison %d", op);
}

static Val compare_words(Lower *lw, int op, const Val *a, const Val *b, Span span)
{
    if (op != AST_EQ && op != AST_NE) {
        diag_add(lw->diags, DIAG_E0411, span, "%s and %s can only be compared by == and !=", val_text(lw, a), val_text(lw, b));
        return val_poison();
    }
    bool equal = a->kind == b->kind;
    if (equal && a->kind == VAL_CHOICE)
        equal = a->choice == b->choice;
    else if (equal && a->kind == VAL_BOOL)
        equal = a->truth == b->truth;
    else if (equal && a->kind == VAL_DEF)
        equal = a->def->node == b->def->node;
    return val_bool(equal == (op == AST_EQ), span);
}

static Val compare(Lower *lw, OpCtx *ctx, int op, Val a, Val b, Span span)
{
    Rational difference;
    double x, y;
    if (a.kind == VAL_POISON || b.kind == VAL_POISON)
        return val_poison();
    if (a.kind == VAL_CHOICE || a.kind == VAL_NONE || a.kind == VAL_DEF || b.kind == VAL_CHOICE || b.kind == VAL_NONE || b.kind == VAL_DEF ||
        (a.kind == VAL_BOOL && b.kind == VAL_BOOL))
        return compare_words(lw, op, &a, &b, span);
    if (a.kind == VAL_NUMBER && b.kind == VAL_NUMBER) {
        if (a.dim && b.dim && dim_is_rational(dim_sub(lw->dims, a.dim, b.dim), &difference))
            return val_bool(const_compare(op, (difference.num > 0) - (difference.num < 0)), span);
        if (val_double(&a, &x) && val_double(&b, &y))
            return val_bool(const_compare(op, (x > y) - (x < y)), span);
    }
    if (!ctx) {
        diag_add(lw->diags, DIAG_E0410, span, "this depends on run-time values; a constant condition is needed here");
        return val_poison();
    }
    if (op == AST_GT || op == AST_GE) {
        const Val swap = a;
        a = b;
        b = swap;
        op = op == AST_GT ? AST_LT : AST_LE;
    }
    const ExprKind kind = op == AST_EQ ? EXPR_EQ : op == AST_NE ? EXPR_NE : op == AST_LT ? EXPR_LT : EXPR_LE;
    const int left = val_expr(lw, ctx, &a, span), right = val_expr(lw, ctx, &b, span);
    return left < 0 || right < 0 ? val_poison() : expr_val(ctx, expr_op(&ctx->ob, kind, left, right, -1), span);
}

static Val truth_value(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node)
{
    const Val value = eval(lw, ctx, scope, node);
    if (value.kind == VAL_POISON || value.kind == VAL_BOOL || value.kind == VAL_EXPR)
        return value;
    diag_add(lw->diags, DIAG_E0411, node->span, "expected a condition, found %s", val_text(lw, &value));
    return val_poison();
}

/* The right side of a connective whose left side already decides is not looked at: it may not even make sense. */
static Val eval_logic(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node)
{
    const bool is_or = node->op == AST_OR || node->op == AST_IMPLIES;
    Val left = truth_value(lw, ctx, scope, node->kids[BINARY_LEFT]);
    if (left.kind == VAL_POISON)
        return left;
    if (node->op == AST_IMPLIES) {
        if (left.kind == VAL_BOOL)
            left.truth = !left.truth;
        else
            left.expr = expr_op(&ctx->ob, EXPR_NOT, left.expr, -1, -1);
    }
    if (left.kind == VAL_BOOL && left.truth == is_or)
        return val_bool(is_or, node->span);
    const Val right = truth_value(lw, ctx, scope, node->kids[BINARY_RIGHT]);
    if (right.kind == VAL_POISON || left.kind == VAL_BOOL)
        return right;
    if (right.kind == VAL_BOOL)
        return right.truth == is_or ? val_bool(is_or, node->span) : left;
    return expr_val(ctx, expr_op(&ctx->ob, is_or ? EXPR_OR : EXPR_AND, left.expr, right.expr, -1), node->span);
}

/* `position == rope`: beside a word, an unknown name is a word. */
static Val eval_word(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node, const Val *other)
{
    if (node->kind == NODE_NAME && (other->kind == VAL_CHOICE || (other->kind == VAL_NONE && strcmp(node->name, "none") != 0 && !scope_find(scope, node->name))))
        return (Val){.kind = VAL_CHOICE, .choice = node->name, .span = node->span, .expr = -1};
    return eval(lw, ctx, scope, node);
}

Val eval_binary(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node)
{
    const Node *left = node->kids[BINARY_LEFT], *right = node->kids[BINARY_RIGHT];
    if (node->op == AST_AND || node->op == AST_OR || node->op == AST_IMPLIES)
        return eval_logic(lw, ctx, scope, node);
    const Val a = eval(lw, ctx, scope, left);
    if (node->op >= AST_EQ && node->op <= AST_GE)
        return compare(lw, ctx, node->op, a, eval_word(lw, ctx, scope, right, &a), node->span);
    return arithmetic(lw, ctx, node->op, a, eval(lw, ctx, scope, right), node->span);
}

static Val eval_unary(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node)
{
    if (node->op == AST_NOT) {
        Val value = truth_value(lw, ctx, scope, node->kids[UNARY_OPERAND]);
        if (value.kind == VAL_BOOL)
            value.truth = !value.truth;
        else if (value.kind == VAL_EXPR)
            value.expr = expr_op(&ctx->ob, EXPR_NOT, value.expr, -1, -1);
        return value;
    }
    const Val value = eval(lw, ctx, scope, node->kids[UNARY_OPERAND]);
    if (value.kind == VAL_EXPR)
        return expr_val(ctx, expr_op(&ctx->ob, EXPR_NEG, value.expr, -1, -1), node->span);
    return arithmetic(lw, ctx, AST_MUL, val_number(lw, rational_int(-1), node->span), value, node->span);
}

static Val eval_if(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node)
{
    const Val condition = eval(lw, ctx, scope, node->kids[IF_VALUE_CONDITION]);
    if (condition.kind == VAL_POISON)
        return condition;
    if (condition.kind != VAL_BOOL) {
        Diagnostic *diag = diag_add(lw->diags, DIAG_E0410, node->kids[IF_VALUE_CONDITION]->span, "`if` needs a condition that is known when the model is compiled");
        diag_fix(lw->diags, diag, "to choose by values of tensors write `select(condition, a, b)`");
        return val_poison();
    }
    return eval(lw, ctx, scope, node->kids[condition.truth ? IF_VALUE_THEN : IF_VALUE_ELSE]);
}

static Val eval_field(Lower *lw, Scope *scope, const Node *node)
{
    const Node *object = node->kids[FIELD_OBJECT];
    const Val value = eval_const(lw, scope, object);
    if (value.kind == VAL_POISON)
        return value;
    if (value.kind != VAL_DEF) {
        diag_add(lw->diags, DIAG_E0411, object->span, "only definitions have attributes; this is %s", val_text(lw, &value));
        return val_poison();
    }
    return def_field(lw, value.def, node->name, node->span);
}

/* `next vr[i]`: what the state will be. */
static Val eval_next(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node)
{
    const Node *object = node->kids[NEXT_VALUE_OBJECT];
    const Val *value = ctx ? scope_find(scope, symbol_printf(lw, "next %s", object->name)) : NULL;
    if (!value) {
        Diagnostic *diag = diag_add(lw->diags, DIAG_E0201, node->span, "`%s` has no new value here", object->name);
        diag_fix(lw->diags, diag, "a state is given its new value by `next %s… = …`, before that is read", object->name);
        return val_poison();
    }
    return eval_subscript(lw, ctx, scope, object, value->tensor, object->kind == NODE_SUBSCRIPT ? object->kids[SUBSCRIPT_ENTRIES] : NULL);
}

static Val eval_subscripted_name(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node)
{
    const Val *value = scope_find(scope, node->name);
    if (!value) {
        unknown_name(lw, ctx, scope, node);
        return val_poison();
    }
    if (value->kind == VAL_NUMBER || value->kind == VAL_POISON) /* an optional input that the model leaves at its constant */
        return *value;
    if (value->kind != VAL_TENSOR) {
        diag_add(lw->diags, DIAG_E0411, node->span, "`%s` is %s and takes no subscripts", node->name, val_text(lw, value));
        return val_poison();
    }
    if (!ctx) {
        diag_add(lw->diags, DIAG_E0410, node->span, "`%s` is computed by the model; a constant is needed here", node->name);
        return val_poison();
    }
    return eval_subscript(lw, ctx, scope, node, value->tensor, node->kids[SUBSCRIPT_ENTRIES]);
}

static Val eval_number(Lower *lw, const Node *node) { return rational_valid(node->value) ? val_number(lw, node->value, node->span) : val_real(node->real, node->span); }

Val eval(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node)
{
    if (!expansion_step(lw, node))
        return val_poison();
    switch ((int)node->kind) {
    case NODE_ERROR: return val_poison();
    case NODE_NUMBER: return eval_number(lw, node);
    case NODE_BOOL: return val_bool(node->op != 0, node->span);
    case NODE_NAME: return eval_name(lw, ctx, scope, node);
    case NODE_FIELD: return eval_field(lw, scope, node);
    case NODE_SUBSCRIPT: return eval_subscripted_name(lw, ctx, scope, node);
    case NODE_NEXT_VALUE: return eval_next(lw, ctx, scope, node);
    case NODE_UNARY: return eval_unary(lw, ctx, scope, node);
    case NODE_BINARY: return eval_binary(lw, ctx, scope, node);
    case NODE_IF_VALUE: return eval_if(lw, ctx, scope, node);
    case NODE_CALL: return eval_call(lw, ctx, scope, node);
    }
    if (ctx && node->kind == NODE_REDUCE)
        return eval_reduce(lw, ctx, scope, node);
    if (ctx && node->kind == NODE_OVER)
        return eval_over(lw, ctx, scope, node);
    diag_add(lw->diags, DIAG_E0410, node->span, "a %s cannot stand here", node_kind_text(node->kind));
    return val_poison();
}

/* ---- conditions of domains ---- */

static Affine affine_of(Lower *lw, const Val *value) { return value->kind == VAL_INDEX ? value->affine : affine_const(lw->program, value->dim); }

/* What makes both sides whole for any sizes; 0: none is small enough. */
static int64_t common_denominator(Affine a, Affine b)
{
    int64_t scale = 1;
    for (int side = 0; side < 2 && scale; side++) {
        const Affine affine = side ? b : a;
        for (int i = -1; i < affine.count && scale; i++) {
            const int64_t q = dim_denominator(i < 0 ? affine.base : affine.terms[i].coef);
            scale = q && scale % q ? scale * q : q ? scale : 0;
            scale = scale > INT32_MAX ? 0 : scale;
        }
    }
    return scale;
}

/* a <= b, a < b, a == b between indices and constants are conditions of the iteration domain. */
static bool affine_condition(Lower *lw, OpCtx *ctx, int op, const Val *a, const Val *b)
{
    if (!((a->kind == VAL_INDEX || affine_int_number(a)) && (b->kind == VAL_INDEX || affine_int_number(b))) || op == AST_NE)
        return false;
    Affine left = affine_of(lw, a), right = affine_of(lw, b);
    const int64_t scale = common_denominator(left, right);
    if (scale == 0)
        return false;
    left = affine_scale(lw->program, left, dim_int(lw->dims, scale)); /* conditions are on whole numbers: p < l / 2 is 2 p <= l - 1 */
    right = affine_scale(lw->program, right, dim_int(lw->dims, scale));
    const Affine minus_one = affine_const(lw->program, dim_int(lw->dims, -1));
    const Affine up = affine_sub(lw->program, right, left), down = affine_sub(lw->program, left, right);
    if (op == AST_LE || op == AST_EQ)
        op_cond(&ctx->ob, up);
    if (op == AST_GE || op == AST_EQ)
        op_cond(&ctx->ob, down);
    if (op == AST_LT)
        op_cond(&ctx->ob, affine_add(lw->program, up, minus_one));
    if (op == AST_GT)
        op_cond(&ctx->ob, affine_add(lw->program, down, minus_one));
    return true;
}

void apply_condition(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node)
{
    if (node->kind == NODE_BINARY && node->op == AST_AND) {
        apply_condition(lw, ctx, scope, node->kids[BINARY_LEFT]);
        apply_condition(lw, ctx, scope, node->kids[BINARY_RIGHT]);
        return;
    }
    if (node->kind == NODE_BINARY && node->op == AST_IMPLIES) {
        const Val left = eval(lw, ctx, scope, node->kids[BINARY_LEFT]);
        if (left.kind == VAL_BOOL) {
            if (left.truth)
                apply_condition(lw, ctx, scope, node->kids[BINARY_RIGHT]);
            return;
        }
    }
    if (node->kind == NODE_BINARY && node->op >= AST_EQ && node->op <= AST_GE) {
        const Val a = eval(lw, ctx, scope, node->kids[BINARY_LEFT]), b = eval_word(lw, ctx, scope, node->kids[BINARY_RIGHT], &a);
        if (affine_condition(lw, ctx, node->op, &a, &b))
            return;
        const Val value = compare(lw, ctx, node->op, a, b, node->span);
        if (value.kind != VAL_POISON)
            op_guard(&ctx->ob, val_expr(lw, ctx, &value, node->span));
        return;
    }
    const Val value = truth_value(lw, ctx, scope, node);
    if (value.kind != VAL_POISON)
        op_guard(&ctx->ob, val_expr(lw, ctx, &value, node->span));
}
