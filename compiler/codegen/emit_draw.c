/* Draws: Philox4x32-10 (Salmon et al., SC 2011) on lanes, the same words as runtime/rng/rng.c. */
#include "codegen/emit.h"

typedef struct Word {
    V high, low;
} Word;

/* Both halves of a 32 x 32 bit product. */
static Word multiply(Emit *e, V a, uint32_t factor)
{
    bool vector = LLVMGetTypeKind(LLVMTypeOf(a)) == LLVMVectorTypeKind;
    LLVMTypeRef wide = vector ? emit_lanes_type(e, e->i64) : e->i64;
    V constant = LLVMConstInt(e->i64, factor, 0), thirty_two = LLVMConstInt(e->i64, 32, 0);
    V product = LLVMBuildMul(e->builder, LLVMBuildZExt(e->builder, a, wide, ""), vector ? emit_splat(e, constant) : constant, "");
    V upper = LLVMBuildLShr(e->builder, product, vector ? emit_splat(e, thirty_two) : thirty_two, "");
    return (Word){LLVMBuildTrunc(e->builder, upper, LLVMTypeOf(a), ""), LLVMBuildTrunc(e->builder, product, LLVMTypeOf(a), "")};
}

static Word halves(Emit *e, V wide)
{
    return (Word){LLVMBuildTrunc(e->builder, LLVMBuildLShr(e->builder, wide, emit_i64(e, 32), ""), e->i32, ""), LLVMBuildTrunc(e->builder, wide, e->i32, "")};
}

/* The first output word. */
static V philox(Emit *e, V c0, V c1, V c2, V c3, Word key, bool vector)
{
    V k0 = key.low, k1 = key.high;
    for (int round = 0; round < 10; round++) {
        Word p0 = multiply(e, c0, 0xD2511F53u), p1 = multiply(e, c2, 0xCD9E8D57u);
        V s0 = vector ? emit_splat(e, k0) : k0, s1 = vector ? emit_splat(e, k1) : k1;
        V n0 = LLVMBuildXor(e->builder, LLVMBuildXor(e->builder, p1.high, c1, ""), s0, "");
        V n2 = LLVMBuildXor(e->builder, LLVMBuildXor(e->builder, p0.high, c3, ""), s1, "");
        c0 = n0, c1 = p1.low, c2 = n2, c3 = p0.low;
        k0 = LLVMBuildAdd(e->builder, k0, LLVMConstInt(e->i32, 0x9E3779B9u, 0), "");
        k1 = LLVMBuildAdd(e->builder, k1, LLVMConstInt(e->i32, 0xBB67AE85u, 0), "");
    }
    return c0;
}

/* [0, 1): the upper 24 bits of the word at the logical index. */
V emit_draw(Emit *e, int id)
{
    const FormExpr *expr = &e->form->exprs[id];
    AccessState *state = &e->access[expr->access];
    bool vector = e->expr_vector[id];
    Word step = halves(e, e->step), key = halves(e, e->keys[expr->draw]), counter = {0};
    if (vector) {
        V index = emit_splat(e, state->offset);
        if (state->step)
            index = LLVMBuildAdd(e->builder, index, LLVMBuildMul(e->builder, emit_lane_numbers(e, 64), emit_splat(e, state->step), ""), "");
        if (state->lane_offset)
            index = LLVMBuildAdd(e->builder, index, state->lane_offset, "");
        LLVMTypeRef lanes = emit_lanes_type(e, e->i32);
        counter.low = LLVMBuildTrunc(e->builder, index, lanes, "");
        counter.high = LLVMBuildTrunc(e->builder, LLVMBuildLShr(e->builder, index, emit_splat(e, emit_i64(e, 32)), ""), lanes, "");
        step.low = emit_splat(e, step.low);
        step.high = emit_splat(e, step.high);
    } else {
        counter = halves(e, state->offset);
    }
    V word = philox(e, counter.low, counter.high, step.low, step.high, key, vector);
    V shift = LLVMConstInt(e->i32, 8, 0);
    V bits = LLVMBuildLShr(e->builder, word, vector ? emit_splat(e, shift) : shift, "");
    V number = LLVMBuildUIToFP(e->builder, bits, vector ? emit_lanes_type(e, e->f32) : e->f32, "");
    return LLVMBuildFMul(e->builder, number, vec_const(number, 0x1p-24), "");
}
