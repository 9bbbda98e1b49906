/* Signs by interval-like rules, one scalar node after another: enough to see that `x / max(n, 1)` and `rsqrt(mean x^2 + eps)` are always numbers. */
#include "ir/defined.h"

#include "ir/rewrite.h"

#include <math.h>

/* ---- signs ------------------------------------------------------------------------------------------------------------------ */

static Sign least(Sign a, Sign b) { return a < b ? a : b; }
static Sign most(Sign a, Sign b) { return a > b ? a : b; }

static Sign sign_of_dim(const Unit *unit, Dim dim)
{
    DimTable *dims = unit->program->dims;
    if (dim_proves_nonnegative(dim_sub(dims, dim, dim_int(dims, 1))))
        return SIGN_POSITIVE;
    return dim_proves_nonnegative(dim) ? SIGN_NONNEGATIVE : SIGN_ANY;
}

static Sign sign_of_read(const Unit *unit, const Expr *expr, const Sign *tensors)
{
    return unit->tensors[expr->access.tensor].type == T_INT ? SIGN_NONNEGATIVE : tensors[expr->access.tensor];
}

static Sign sign_of_sum(Sign a, Sign b) { return a == SIGN_ANY || b == SIGN_ANY ? SIGN_ANY : most(a, b); }

static Sign sign_of_product(const Expr *expr, Sign a, Sign b) { return expr->arg[0] == expr->arg[1] ? most(a, SIGN_NONNEGATIVE) : least(a, b); }

static Sign sign_of_power(const Op *op, const Expr *expr, Sign base)
{
    double exponent;
    const bool even = expr_is_const(op, expr->arg[1], &exponent) && fmod(exponent, 2) == 0;
    return even ? most(base, SIGN_NONNEGATIVE) : base;
}

/* Of expression `id`, given those before it. */
static Sign sign_of(const Unit *unit, const Op *op, int id, const Sign *tensors, const Sign *signs)
{
    const Expr *expr = &op->exprs[id];
    Sign of[3] = {SIGN_ANY, SIGN_ANY, SIGN_ANY};
    for (int k = 0; k < scalar_arity(expr->kind); k++)
        of[k] = signs[expr->arg[k]];
    if (scalar_is_boolean(expr->kind))
        return SIGN_NONNEGATIVE;
    switch (expr->kind) {
    case EXPR_CONST: return expr->value > 0 ? SIGN_POSITIVE : expr->value == 0 ? SIGN_NONNEGATIVE : SIGN_ANY;
    case EXPR_DIM: return sign_of_dim(unit, expr->dim);
    case EXPR_READ: return sign_of_read(unit, expr, tensors);
    case EXPR_POS:
    case EXPR_DRAW:
    case EXPR_POINT: return SIGN_NONNEGATIVE;
    case EXPR_ADD: return sign_of_sum(of[0], of[1]);
    case EXPR_FMA: return sign_of_sum(sign_of_product(expr, of[0], of[1]), of[2]);
    case EXPR_MUL: return sign_of_product(expr, of[0], of[1]);
    case EXPR_DIV: return of[1] == SIGN_POSITIVE ? of[0] : SIGN_ANY;
    case EXPR_MIN: return least(of[0], of[1]);
    case EXPR_MAX: return most(of[0], of[1]);
    case EXPR_SELECT: return least(of[1], of[2]);
    case EXPR_EXP:
    case EXPR_SIGMOID:
    case EXPR_SOFTPLUS:
    case EXPR_RSQRT: return SIGN_POSITIVE;
    case EXPR_STOP:
    case EXPR_TANH:
    case EXPR_ERF: return of[0];
    case EXPR_SQRT:
    case EXPR_ABS: return most(of[0], SIGN_NONNEGATIVE);
    case EXPR_FLOOR:
    case EXPR_MOD: return least(of[0], SIGN_NONNEGATIVE);
    case EXPR_POW: return sign_of_power(op, expr, of[0]);
    default: return SIGN_ANY;
    }
}

static Sign *body_signs(Arena *arena, const Unit *unit, const Op *op, const Sign *tensors)
{
    Sign *signs = ARENA_ARRAY(arena, Sign, op->expr_count + 1);
    for (int id = 0; id < op->expr_count; id++)
        signs[id] = sign_of(unit, op, id, tensors, signs);
    return signs;
}

Sign *unit_signs(Arena *arena, const Unit *unit)
{
    Sign *tensors = ARENA_ARRAY(arena, Sign, unit->tensor_count + 1);
    for (int t = 0; t < unit->tensor_count; t++)
        tensors[t] = SIGN_ANY;
    for (int i = 0; i < unit->op_count; i++) {
        const Op *op = &unit->ops[i];
        if (op->kind != OP_NEST || op->init.tensor >= 0 || (op->reducer != REDUCE_SET && op->reducer != REDUCE_SUM))
            continue;
        const Sign body = body_signs(arena, unit, op, tensors)[op->body];
        const bool everywhere = op->reducer == REDUCE_SET && op_full_box(op) && op_out_bare(unit, op, NULL);
        tensors[op->out.tensor] = everywhere ? body : least(body, SIGN_NONNEGATIVE); /* elsewhere it holds 0 */
    }
    return tensors;
}

/* ---- what may be undefined -------------------------------------------------------------------------------------------------- */

static bool never_zero(const Op *op, int id, const Sign *signs)
{
    double value;
    if (signs[id] == SIGN_POSITIVE || (expr_is_const(op, id, &value) && value != 0))
        return true;
    return op->exprs[id].kind == EXPR_NEG && never_zero(op, op->exprs[id].arg[0], signs);
}

static bool power_defined(const Op *op, const Expr *expr, const Sign *signs)
{
    double exponent;
    return signs[expr->arg[0]] == SIGN_POSITIVE || (expr_is_const(op, expr->arg[1], &exponent) && exponent >= 0 && exponent == floor(exponent));
}

/* Whether the node itself, of numbers, is a number with a derivative. */
static bool node_defined(const Op *op, const Expr *expr, const Sign *signs)
{
    switch (expr->kind) {
    case EXPR_DIV:
    case EXPR_MOD: return never_zero(op, expr->arg[1], signs);
    case EXPR_LOG:
    case EXPR_SQRT:
    case EXPR_RSQRT: return signs[expr->arg[0]] == SIGN_POSITIVE;
    case EXPR_POW: return power_defined(op, expr, signs);
    default: return true;
    }
}

/* Whether the truth of `condition` says that expression `id` is no none. */
static bool says_exists(const Op *op, int condition, int id)
{
    const Expr *expr = &op->exprs[condition];
    switch (expr->kind) {
    case EXPR_AND: return says_exists(op, expr->arg[0], id) || says_exists(op, expr->arg[1], id);
    case EXPR_EXISTS: return expr->arg[0] == id;
    case EXPR_EQ:
    case EXPR_NE:
    case EXPR_LT:
    case EXPR_LE: return expr->arg[0] == id || expr->arg[1] == id;
    default: return false;
    }
}

typedef struct Search {
    Arena *arena;
    const Unit *unit;
    const Op *op;
    const Sign *signs;
    int condition; /* holds where the expressions at hand are chosen; -1: none */
    bool *seen;    /* [expr_count]: found to be a number under this condition */
} Search;

static bool undefined(Search *search, int id);

/* The arm of a select that is chosen where expression `condition` holds. */
static bool undefined_arm(const Search *search, int condition, int id)
{
    Search arm = *search;
    arm.condition = condition;
    arm.seen = ARENA_ARRAY(arm.arena, bool, arm.op->expr_count + 1);
    return undefined(&arm, id);
}

/* Whether a condition asks for integers at all. */
static bool asks_integers(const Search *search, int condition)
{
    const Expr *expr = &search->op->exprs[condition];
    if (expr->kind == EXPR_AND)
        return asks_integers(search, expr->arg[0]) || asks_integers(search, expr->arg[1]);
    for (int k = 0; k < scalar_arity(expr->kind) && scalar_is_boolean(expr->kind); k++) {
        const Expr *operand = &search->op->exprs[expr->arg[k]];
        if (operand->kind == EXPR_POINT || (operand->kind == EXPR_READ && search->unit->tensors[operand->access.tensor].type == T_INT))
            return true;
    }
    return false;
}

/* Whether expression `id` may be no finite number, or have no finite derivative, where the condition holds. */
static bool undefined(Search *search, int id)
{
    const Op *op = search->op;
    const Expr *expr = &op->exprs[id];
    if (search->seen[id] || scalar_is_boolean(expr->kind))
        return false;
    search->seen[id] = true;
    if (expr->kind == EXPR_POINT || (expr->kind == EXPR_READ && search->unit->tensors[expr->access.tensor].type == T_INT))
        return search->condition < 0 || !says_exists(op, search->condition, id);
    if (!node_defined(op, expr, search->signs))
        return true;
    int first = 0;
    if (expr->kind == EXPR_SELECT) {
        const bool narrower = search->condition < 0 && asks_integers(search, expr->arg[0]);
        if (narrower && undefined_arm(search, expr->arg[0], expr->arg[1]))
            return true;
        first = narrower ? 2 : 1;
    }
    for (int k = first; k < scalar_arity(expr->kind); k++)
        if (undefined(search, expr->arg[k]))
            return true;
    return false;
}

bool op_may_be_undefined(Arena *arena, const Unit *unit, const Op *op, const Sign *signs)
{
    if (op->kind != OP_NEST && op->kind != OP_RECUR)
        return false;
    Search search = {arena, unit, op, body_signs(arena, unit, op, signs), -1, ARENA_ARRAY(arena, bool, op->expr_count + 1)};
    return undefined(&search, op->body) || (op->kind == OP_RECUR && op->body2 >= 0 && undefined(&search, op->body2));
}

bool *exprs_may_be_undefined(Arena *arena, const Unit *unit, const Op *op, const Sign *signs, const bool *tensors)
{
    const Sign *body = body_signs(arena, unit, op, signs);
    bool *may = ARENA_ARRAY(arena, bool, op->expr_count + 1);
    for (int id = 0; id < op->expr_count; id++) {
        const Expr *expr = &op->exprs[id];
        may[id] = expr->kind == EXPR_READ ? tensors[expr->access.tensor] : !node_defined(op, expr, body);
        for (int k = 0; k < scalar_arity(expr->kind) && !scalar_is_boolean(expr->kind); k++)
            may[id] = may[id] || may[expr->arg[k]];
    }
    return may;
}

bool *tensors_may_be_undefined(Arena *arena, const Unit *unit, const Sign *signs, const bool *varied)
{
    bool *tensors = ARENA_ARRAY(arena, bool, unit->tensor_count + 1);
    for (int i = 0; i < unit->op_count; i++) {
        const Op *op = &unit->ops[i];
        if (op->kind == OP_NEST && op->reducer == REDUCE_SET && !varied[op->out.tensor])
            tensors[op->out.tensor] = exprs_may_be_undefined(arena, unit, op, signs, tensors)[op->body];
    }
    return tensors;
}
