/* What is done at a point: one body per mode. */
#include "codegen/emit.h"

#include <math.h>

/* ---- results ----------------------------------------------------------------------------------------------------------------------- */

/* Float to an integer of the result: rounded, none if it is NaN or outside. */
static V to_integer(Emit *e, V number)
{
    V rounded = vec_intrinsic(&e->vm, "llvm.rint", 1, &number);
    bool vector = LLVMGetTypeKind(LLVMTypeOf(number)) == LLVMVectorTypeKind;
    V bound = LLVMBuildSIToFP(e->builder, emit_ref(e, e->form->bound), e->f32, "");
    V inside = LLVMBuildAnd(e->builder, LLVMBuildFCmp(e->builder, LLVMRealOGE, rounded, vec_const(rounded, 0.0), ""),
                            LLVMBuildFCmp(e->builder, LLVMRealOLT, rounded, vector ? emit_splat(e, bound) : bound, ""), "");
    V safe = LLVMBuildSelect(e->builder, inside, rounded, vec_const(rounded, 0.0), "");
    LLVMTypeRef type = vector ? emit_lanes_type(e, e->i32) : e->i32;
    V integer = LLVMBuildFPToSI(e->builder, safe, type, "");
    return LLVMBuildSelect(e->builder, inside, integer, LLVMConstAllOnes(type), "");
}

V emit_result(Emit *e, V number) { return e->form->out_type == T_INT ? to_integer(e, number) : number; }

static V outside_value(Emit *e, V like)
{
    const KernelForm *form = e->form;
    if (form->out_type == T_INT)
        return LLVMConstAllOnes(LLVMTypeOf(like));
    if (form->kind == FORM_SCORES) {
        V bits = LLVMConstInt(e->i32, BFM_ABSENT_BITS, 0);
        V value = LLVMConstBitCast(bits, e->f32);
        return LLVMGetTypeKind(LLVMTypeOf(like)) == LLVMVectorTypeKind ? emit_splat(e, value) : value;
    }
    return vec_const(like, form->kind == FORM_TILE ? form->outside : 0.0);
}

void body_map(Emit *e, int position)
{
    (void)position;
    bool vector = e->access_vector[e->form->out];
    V value = emit_result(e, value_float(e, e->expr[e->form->body], vector));
    if (e->form->fill != BFM_FILL_NONE) {
        access_store(e, e->form->out, value, e->live, e->mask);
        return;
    }
    V outside = outside_value(e, value);
    if (e->mask)
        value = LLVMBuildSelect(e->builder, e->mask, value, outside, "");
    if (e->live)
        value = LLVMBuildSelect(e->builder, e->live, value, outside, "");
    access_store(e, e->form->out, value, NULL, NULL);
}

/* ---- reductions -------------------------------------------------------------------------------------------------------------------- */

static double neutral(Reducer reducer)
{
    switch (reducer) {
    case REDUCE_SET:
    case REDUCE_SUM: return 0;
    case REDUCE_MAX:
    case REDUCE_LSE: return -INFINITY;
    case REDUCE_MIN: return INFINITY;
    }
    return 0;
}

/* x if it is beyond a, or NaN: a NaN stays. */
static V extreme(Emit *e, LLVMRealPredicate beyond, V a, V x)
{
    V replaces = LLVMBuildOr(e->builder, LLVMBuildFCmp(e->builder, beyond, x, a, ""), LLVMBuildFCmp(e->builder, LLVMRealUNO, x, x, ""), "");
    return LLVMBuildSelect(e->builder, replaces, x, a, "");
}

/* The maximum that a log-sum-exp subtracts; a NaN may be lost here, the sum will show it. */
static V maximum(Emit *e, V a, V x) { return LLVMBuildSelect(e->builder, LLVMBuildFCmp(e->builder, LLVMRealOGT, a, x, ""), a, x, ""); }

static V combine(Emit *e, Reducer reducer, V a, V x)
{
    switch (reducer) {
    case REDUCE_SUM: return LLVMBuildFAdd(e->builder, a, x, "");
    case REDUCE_MAX: return extreme(e, LLVMRealOGT, a, x);
    case REDUCE_MIN: return extreme(e, LLVMRealOLT, a, x);
    case REDUCE_LSE: return maximum(e, a, x);
    case REDUCE_SET: return x;
    }
    return x;
}

/* max + log(sum of exp(x - max)); an infinite maximum is the result itself, unless there was a NaN. */
static V log_sum(Emit *e, V max, V infinite, V sum)
{
    V total = LLVMBuildFAdd(e->builder, max, vec_log(&e->vm, sum), "");
    V nan = LLVMBuildFCmp(e->builder, LLVMRealUNO, sum, sum, "");
    return LLVMBuildSelect(e->builder, nan, sum, LLVMBuildSelect(e->builder, infinite, max, total, ""), "");
}

static V is_infinite(Emit *e, V x) { return LLVMBuildFCmp(e->builder, LLVMRealOEQ, vec_abs(&e->vm, x), vec_const(x, INFINITY), ""); }

static void body_accumulate(Emit *e, int position)
{
    (void)position;
    Accumulator *to = &e->accumulator;
    LLVMTypeRef type = to->vector ? emit_lanes_type(e, e->f32) : e->f32;
    V x = value_float(e, e->expr[e->form->body], to->vector);
    if (to->shift) {
        x = LLVMBuildFSub(e->builder, x, to->shift, "");
        x = vec_exp(&e->vm, x);
    }
    V old = LLVMBuildLoad2(e->builder, type, to->slot, "");
    V sum = combine(e, to->shift ? REDUCE_SUM : to->reducer, old, x);
    V where = emit_and(e, e->mask, to->partial ? e->lanes : NULL);
    if (where)
        sum = LLVMBuildSelect(e->builder, where, sum, old, "");
    if (e->live)
        sum = LLVMBuildSelect(e->builder, e->live, sum, old, "");
    LLVMBuildStore(e->builder, sum, to->slot);
}

/* Lanes into one, by halves. */
static V horizontal(Emit *e, Reducer reducer, V lanes)
{
    for (int half = e->width / 2; half >= 1; half /= 2) {
        V low[64], high[64];
        for (int i = 0; i < half; i++) {
            low[i] = LLVMConstInt(e->i32, (unsigned)i, 0);
            high[i] = LLVMConstInt(e->i32, (unsigned)(half + i), 0);
        }
        V poison = LLVMGetPoison(LLVMTypeOf(lanes));
        V a = LLVMBuildShuffleVector(e->builder, lanes, poison, LLVMConstVector(low, (unsigned)half), "");
        V b = LLVMBuildShuffleVector(e->builder, lanes, poison, LLVMConstVector(high, (unsigned)half), "");
        lanes = combine(e, reducer, a, b);
    }
    return LLVMBuildExtractElement(e->builder, lanes, LLVMConstInt(e->i32, 0, 0), "");
}

/* All points of one output element (or of a vector of them), in one pass. */
static V reduce_pass(Emit *e, Reducer reducer, V shift)
{
    const KernelForm *form = e->form;
    Accumulator *to = &e->accumulator;
    bool outputs = form->vector >= 0 && index_is_parallel(form, form->vector);
    to->partial = form->vector >= 0 && !outputs;
    to->vector = form->vector >= 0;
    to->reducer = reducer;
    LLVMTypeRef type = to->vector ? emit_lanes_type(e, e->f32) : e->f32;
    to->slot = emit_alloca(e, type);
    to->shift = shift && to->partial ? emit_splat(e, shift) : shift;
    Reducer kept = shift ? REDUCE_SUM : reducer;
    LLVMBuildStore(e->builder, vec_const(LLVMConstNull(type), neutral(kept)), to->slot);

    Scope scope = scope_enter(e);
    LLVMBasicBlockRef after = NULL;
    if (e->live) {
        LLVMBasicBlockRef then = emit_block(e);
        after = emit_block(e);
        LLVMBuildCondBr(e->builder, e->live, then, after);
        LLVMPositionBuilderAtEnd(e->builder, then);
        e->live = NULL;
    }
    inner_loops(e, 0, body_accumulate);
    if (after) {
        LLVMBuildBr(e->builder, after);
        LLVMMoveBasicBlockAfter(after, LLVMGetInsertBlock(e->builder));
        LLVMPositionBuilderAtEnd(e->builder, after);
    }
    scope_leave(e, &scope);
    V result = LLVMBuildLoad2(e->builder, type, to->slot, "");
    return to->partial ? horizontal(e, kept, result) : result;
}

void body_reduce(Emit *e, int position)
{
    (void)position;
    const KernelForm *form = e->form;
    V result = reduce_pass(e, form->reducer, NULL);
    if (form->reducer == REDUCE_LSE) {
        V infinite = is_infinite(e, result);
        V shift = LLVMBuildSelect(e->builder, infinite, vec_const(result, 0.0), result, "");
        result = log_sum(e, result, infinite, reduce_pass(e, REDUCE_LSE, shift));
    }
    access_store(e, form->out, emit_result(e, result), form->fill != BFM_FILL_NONE ? e->live : NULL, form->fill != BFM_FILL_NONE ? e->mask : NULL);
}

/* ---- scatter: read, add, write ------------------------------------------------------------------------------------------------------ */

static V log_add(Emit *e, V a, V x)
{
    V larger = maximum(e, a, x), infinite = is_infinite(e, larger);
    V shift = LLVMBuildSelect(e->builder, infinite, vec_const(larger, 0.0), larger, "");
    V left = vec_exp(&e->vm, LLVMBuildFSub(e->builder, a, shift, "")), right = vec_exp(&e->vm, LLVMBuildFSub(e->builder, x, shift, ""));
    return log_sum(e, larger, infinite, LLVMBuildFAdd(e->builder, left, right, ""));
}

void body_scatter(Emit *e, int position)
{
    (void)position;
    const KernelForm *form = e->form;
    bool vector = e->access_vector[form->out];
    V x = value_float(e, e->expr[form->body], vector);
    V old = access_load(e, form->out);
    if (form->out_type == T_INT) {
        V none = LLVMBuildICmp(e->builder, LLVMIntSLT, old, LLVMConstNull(LLVMTypeOf(old)), "");
        V number = LLVMBuildSIToFP(e->builder, old, LLVMTypeOf(x), "");
        old = LLVMBuildSelect(e->builder, none, vec_const(number, form->reducer == REDUCE_SUM ? 0.0 : __builtin_nan("")), number, "");
    }
    V sum = form->reducer == REDUCE_LSE ? log_add(e, old, x) : combine(e, form->reducer, old, x);
    access_store(e, form->out, emit_result(e, sum), e->live, e->mask);
}

void body_scatter_lanes(Emit *e, int position)
{
    (void)position;
    V from = e->lanes_from, end = e->lanes_to;
    inner_bounds(e, e->form->vector, &from, &end);
    vector_loop(e, from, end, body_scatter, 0, true);
}
