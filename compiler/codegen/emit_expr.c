#include "codegen/emit.h"

#include "support/bug.h"

/* ---- values as float or truth, scalar or lanes ----------------------------------------------------------------------------------- */

static V to_lanes(Emit *e, Value value, bool vector) { return vector && !value.vector ? emit_splat(e, value.v) : value.v; }

V value_float(Emit *e, Value value, bool vector)
{
    if (value.logical)
        value.v = LLVMBuildUIToFP(e->builder, value.v, value.vector ? emit_lanes_type(e, e->f32) : e->f32, "");
    return to_lanes(e, value, vector);
}

/* A number is true unless it is 0; NaN is true. */
V value_logical(Emit *e, Value value, bool vector)
{
    if (!value.logical)
        value.v = LLVMBuildFCmp(e->builder, LLVMRealUNE, value.v, vec_const(value.v, 0.0), "");
    return to_lanes(e, value, vector);
}

/* ---- leaves ------------------------------------------------------------------------------------------------------------------------ */

static V emit_pos(Emit *e, int index, bool vector)
{
    if (!vector)
        return LLVMBuildSIToFP(e->builder, e->index[index], e->f32, "");
    V first = LLVMBuildTrunc(e->builder, e->index[index], e->i32, "");
    V lanes = LLVMBuildAdd(e->builder, emit_splat(e, first), emit_lane_numbers(e, 32), "");
    return LLVMBuildSIToFP(e->builder, lanes, emit_lanes_type(e, e->f32), "");
}

static V emit_read(Emit *e, int access)
{
    if (e->form->accesses[access].type == T_REAL)
        return access_load(e, access);
    V integer = e->access[access].integer ? e->access[access].integer : access_load(e, access);
    V number = LLVMBuildSIToFP(e->builder, integer, e->access_vector[access] ? emit_lanes_type(e, e->f32) : e->f32, "");
    V none = LLVMBuildICmp(e->builder, LLVMIntSLT, integer, LLVMConstNull(LLVMTypeOf(integer)), "");
    return LLVMBuildSelect(e->builder, none, vec_const(number, __builtin_nan("")), number, "");
}

/* ---- operations -------------------------------------------------------------------------------------------------------------------- */

static V choose(Emit *e, V condition, V a, V b) { return LLVMBuildSelect(e->builder, condition, a, b, ""); }
static V compare(Emit *e, LLVMRealPredicate predicate, V a, V b) { return LLVMBuildFCmp(e->builder, predicate, a, b, ""); }

/* The exponents that models use, without logarithms. */
static V emit_pow(Emit *e, V a, V b, const FormExpr *exponent)
{
    LLVMBuilderRef builder = e->builder;
    if (exponent->kind == EXPR_CONST) {
        V one = vec_const(a, 1.0);
        if (exponent->value == 1)
            return a;
        if (exponent->value == 2)
            return LLVMBuildFMul(builder, a, a, "");
        if (exponent->value == 3)
            return LLVMBuildFMul(builder, LLVMBuildFMul(builder, a, a, ""), a, "");
        if (exponent->value == -1)
            return LLVMBuildFDiv(builder, one, a, "");
        if (exponent->value == -2)
            return LLVMBuildFDiv(builder, one, LLVMBuildFMul(builder, a, a, ""), "");
    }
    return vec_pow(&e->vm, a, b);
}

static V emit_mod(Emit *e, V a, V b)
{
    V quotient = vec_floor(&e->vm, LLVMBuildFDiv(e->builder, a, b, ""));
    return LLVMBuildFSub(e->builder, a, LLVMBuildFMul(e->builder, b, quotient, ""), "");
}

/* The nearest whole number, no number where that is outside 0 … bound - 1. */
static V emit_point(Emit *e, V number, V bound)
{
    V rounded = vec_intrinsic(&e->vm, "llvm.rint", 1, &number), none = vec_const(number, __builtin_nan(""));
    V inside = LLVMBuildAnd(e->builder, compare(e, LLVMRealOGE, rounded, vec_const(number, 0.0)), compare(e, LLVMRealOLT, rounded, bound), "");
    return choose(e, inside, vec_abs(&e->vm, rounded), none);
}

/* Logical results; false if the kind has none. */
static bool emit_logical(Emit *e, const FormExpr *expr, bool vector, V *result)
{
    const Value *a = &e->expr[expr->arg[0] < 0 ? 0 : expr->arg[0]], *b = &e->expr[expr->arg[1] < 0 ? 0 : expr->arg[1]];
    LLVMBuilderRef builder = e->builder;
#define NUMBERS value_float(e, *a, vector), value_float(e, *b, vector)
    if (expr->kind == EXPR_EQ)
        *result = compare(e, LLVMRealOEQ, NUMBERS);
    else if (expr->kind == EXPR_NE)
        *result = compare(e, LLVMRealONE, NUMBERS);
    else if (expr->kind == EXPR_LT)
        *result = compare(e, LLVMRealOLT, NUMBERS);
    else if (expr->kind == EXPR_LE)
        *result = compare(e, LLVMRealOLE, NUMBERS);
    else if (expr->kind == EXPR_AND)
        *result = LLVMBuildAnd(builder, value_logical(e, *a, vector), value_logical(e, *b, vector), "");
    else if (expr->kind == EXPR_OR)
        *result = LLVMBuildOr(builder, value_logical(e, *a, vector), value_logical(e, *b, vector), "");
    else if (expr->kind == EXPR_NOT)
        *result = LLVMBuildNot(builder, value_logical(e, *a, vector), "");
    else if (expr->kind == EXPR_EXISTS)
        *result = compare(e, LLVMRealORD, value_float(e, *a, vector), value_float(e, *a, vector));
    else
        return false;
#undef NUMBERS
    return true;
}

static V emit_leaf(Emit *e, int id, bool vector)
{
    const FormExpr *expr = &e->form->exprs[id];
    switch ((int)expr->kind) {
    case EXPR_CONST: return LLVMConstReal(e->f32, (double)(float)expr->value);
    case EXPR_DIM: return LLVMBuildSIToFP(e->builder, emit_ref(e, expr->dim), e->f32, "");
    case EXPR_POS: return emit_pos(e, expr->index, vector);
    case EXPR_DRAW: return emit_draw(e, id);
    case EXPR_READ: return emit_read(e, expr->access);
    }
    return NULL;
}

static V emit_number(Emit *e, const FormExpr *expr, bool vector)
{
    const FormExpr *exprs = e->form->exprs;
    LLVMBuilderRef builder = e->builder;
    const VecMath *vm = &e->vm;
    V arg[3] = {0};
    for (int i = 0; i < 3 && expr->arg[i] >= 0; i++)
        if (i > 0 || expr->kind != EXPR_SELECT)
            arg[i] = value_float(e, e->expr[expr->arg[i]], vector);
    V a = arg[0], b = arg[1], c = arg[2];
    switch (expr->kind) {
    case EXPR_NEG: return LLVMBuildFNeg(builder, a, "");
    case EXPR_ADD: return LLVMBuildFAdd(builder, a, b, "");
    case EXPR_SUB: return LLVMBuildFSub(builder, a, b, "");
    case EXPR_MUL: return LLVMBuildFMul(builder, a, b, "");
    case EXPR_DIV: return LLVMBuildFDiv(builder, a, b, "");
    case EXPR_MIN: return choose(e, compare(e, LLVMRealOLE, a, b), a, b);
    case EXPR_MAX: return choose(e, compare(e, LLVMRealOGE, a, b), a, b);
    case EXPR_SELECT: return choose(e, value_logical(e, e->expr[expr->arg[0]], vector), b, c);
    case EXPR_STOP: return a;
    case EXPR_RSQRT: return LLVMBuildFDiv(builder, vec_const(a, 1.0), vec_sqrt(vm, a), "");
    case EXPR_POW: return emit_pow(e, a, b, &exprs[expr->arg[1]]);
    case EXPR_MOD: return emit_mod(e, a, b);
    case EXPR_POINT: return emit_point(e, a, b);
#define SCALAR(name, text, arity, flops, value, use, code, eval, da, db, dc) CODE_##code(name, text, arity)
#define CODE_FUNCTION(name, text, arity)                                                                                                                                           \
    case EXPR_##name:                                                                                                                                                              \
        return CALL_##arity(vec_##text);
#define CODE_INSTRUCTIONS(name, text, arity)
#define CODE_TRUTH(name, text, arity)                                                                                                                                              \
    case EXPR_##name:                                                                                                                                                              \
        break;
#define CODE_LEAF(name, text, arity) CODE_TRUTH(name, text, arity)
#define CALL_1(function)             function(vm, a)
#define CALL_3(function)             function(vm, a, b, c)
#include "bfm/scalars.def"
#undef SCALAR
#undef CODE_FUNCTION
#undef CODE_INSTRUCTIONS
#undef CODE_TRUTH
#undef CODE_LEAF
#undef CALL_1
#undef CALL_3
    case EXPR_COUNT: break;
    }
    BFM_BUG("no code for scalar %s", scalar_name(expr->kind));
}

void emit_expr(Emit *e, int id)
{
    const FormExpr *expr = &e->form->exprs[id];
    Value result = {.vector = e->expr_vector[id]};
    if (scalar_arity(expr->kind) == 0)
        result.v = emit_leaf(e, id, result.vector);
    else if (emit_logical(e, expr, result.vector, &result.v))
        result.logical = true;
    else
        result.v = emit_number(e, expr, result.vector);
    e->expr[id] = result;
}
