/* The derivative columns of bfm/scalars.def: each name is one way to build an operand's adjoint. */
#include "grad/internal.h"

typedef enum {
    PARTIAL_ZERO,
    PARTIAL_ONE,
    PARTIAL_MINUS_ONE,
    PARTIAL_OPERAND_A,
    PARTIAL_OPERAND_B,
    PARTIAL_DIV_BY_B,
    PARTIAL_DIV_WRT_B,
    PARTIAL_A_LE_B,
    PARTIAL_NOT_A_LE_B,
    PARTIAL_A_GE_B,
    PARTIAL_NOT_A_GE_B,
    PARTIAL_IF_A,
    PARTIAL_IF_NOT_A,
    PARTIAL_RESULT,
    PARTIAL_RECIPROCAL_A,
    PARTIAL_HALF_RECIPROCAL_RESULT,
    PARTIAL_RSQRT_RULE,
    PARTIAL_TANH_RULE,
    PARTIAL_SIGMOID_RULE,
    PARTIAL_ERF_RULE,
    PARTIAL_SIGMOID_OF_A,
    PARTIAL_COS_OF_A,
    PARTIAL_MINUS_SIN_OF_A,
    PARTIAL_SIGN_OF_A,
    PARTIAL_POW_WRT_A,
    PARTIAL_POW_WRT_B,
} Partial;

static const Partial PARTIALS[EXPR_COUNT][3] = {
#define SCALAR(name, text, arity, flops, value, use, code, eval, da, db, dc) [EXPR_##name] = {PARTIAL_##da, PARTIAL_##db, PARTIAL_##dc},
#include "bfm/scalars.def"
#undef SCALAR
};

bool scalar_differentiable(ExprKind kind, int operand) { return PARTIALS[kind][operand] != PARTIAL_ZERO; }

static int unary(OpBuilder *b, ExprKind kind, int a) { return expr_op(b, kind, a, -1, -1); }
static int binary(OpBuilder *b, ExprKind kind, int x, int y) { return expr_op(b, kind, x, y, -1); }
static int times(OpBuilder *b, int x, int y) { return binary(b, EXPR_MUL, x, y); }

/* ybar where the condition holds (or does not), 0 elsewhere. */
static int gated(OpBuilder *b, int condition, int ybar, bool holds)
{
    int zero = expr_const(b, 0);
    return expr_op(b, EXPR_SELECT, condition, holds ? ybar : zero, holds ? zero : ybar);
}

/* ybar * e * x^(e - 1); the exponents that occur most avoid the general power. */
static int power_by_base(OpBuilder *b, int ybar, int x, int e)
{
    double exponent;
    if (!expr_is_const(&b->op, e, &exponent)) {
        int less = binary(b, EXPR_SUB, e, expr_const(b, 1));
        return times(b, times(b, ybar, e), binary(b, EXPR_POW, x, less));
    }
    int scaled = times(b, ybar, expr_const(b, exponent));
    if (exponent == 1)
        return scaled;
    if (exponent == 2)
        return times(b, scaled, x);
    if (exponent == 3)
        return times(b, scaled, times(b, x, x));
    return times(b, scaled, binary(b, EXPR_POW, x, expr_const(b, exponent - 1)));
}

/* ybar * y * log(x), 0 at x <= 0, where the logarithm is no number. */
static int power_by_exponent(OpBuilder *b, int ybar, int x, int y)
{
    int positive = binary(b, EXPR_LT, expr_const(b, 0), x);
    int logarithm = unary(b, EXPR_LOG, expr_op(b, EXPR_SELECT, positive, x, expr_const(b, 1)));
    return times(b, times(b, ybar, y), logarithm);
}

/* 2/sqrt(pi) * exp(-x^2) */
static int erf_slope(OpBuilder *b, int x) { return times(b, expr_const(b, 1.1283791670955126), unary(b, EXPR_EXP, unary(b, EXPR_NEG, times(b, x, x)))); }

static int sign(OpBuilder *b, int x)
{
    int zero = expr_const(b, 0);
    return binary(b, EXPR_SUB, binary(b, EXPR_LT, zero, x), binary(b, EXPR_LT, x, zero));
}

int scalar_adjoint(OpBuilder *b, ExprKind kind, int operand, int ybar, const int arg[3], int y)
{
    int x = arg[0], w = arg[1];
    switch (PARTIALS[kind][operand]) {
    case PARTIAL_ZERO: return -1;
    case PARTIAL_ONE: return ybar;
    case PARTIAL_MINUS_ONE: return unary(b, EXPR_NEG, ybar);
    case PARTIAL_OPERAND_A: return times(b, ybar, x);
    case PARTIAL_OPERAND_B: return times(b, ybar, w);
    case PARTIAL_DIV_BY_B: return binary(b, EXPR_DIV, ybar, w);
    case PARTIAL_DIV_WRT_B: return unary(b, EXPR_NEG, binary(b, EXPR_DIV, times(b, ybar, y), w));
    case PARTIAL_A_LE_B: return gated(b, binary(b, EXPR_LE, x, w), ybar, true);
    case PARTIAL_NOT_A_LE_B: return gated(b, binary(b, EXPR_LE, x, w), ybar, false);
    case PARTIAL_A_GE_B: return gated(b, binary(b, EXPR_LE, w, x), ybar, true);
    case PARTIAL_NOT_A_GE_B: return gated(b, binary(b, EXPR_LE, w, x), ybar, false);
    case PARTIAL_IF_A: return gated(b, x, ybar, true);
    case PARTIAL_IF_NOT_A: return gated(b, x, ybar, false);
    case PARTIAL_RESULT: return times(b, ybar, y);
    case PARTIAL_RECIPROCAL_A: return binary(b, EXPR_DIV, ybar, x);
    case PARTIAL_HALF_RECIPROCAL_RESULT: return binary(b, EXPR_DIV, times(b, ybar, expr_const(b, 0.5)), y);
    case PARTIAL_RSQRT_RULE: return times(b, times(b, ybar, expr_const(b, -0.5)), times(b, y, times(b, y, y)));
    case PARTIAL_TANH_RULE: return times(b, ybar, binary(b, EXPR_SUB, expr_const(b, 1), times(b, y, y)));
    case PARTIAL_SIGMOID_RULE: return times(b, ybar, times(b, y, binary(b, EXPR_SUB, expr_const(b, 1), y)));
    case PARTIAL_ERF_RULE: return times(b, ybar, erf_slope(b, x));
    case PARTIAL_SIGMOID_OF_A: return times(b, ybar, unary(b, EXPR_SIGMOID, x));
    case PARTIAL_COS_OF_A: return times(b, ybar, unary(b, EXPR_COS, x));
    case PARTIAL_MINUS_SIN_OF_A: return unary(b, EXPR_NEG, times(b, ybar, unary(b, EXPR_SIN, x)));
    case PARTIAL_SIGN_OF_A: return times(b, ybar, sign(b, x));
    case PARTIAL_POW_WRT_A: return power_by_base(b, ybar, x, w);
    case PARTIAL_POW_WRT_B: return power_by_exponent(b, ybar, x, y);
    }
    return -1;
}
