#include "codegen/vecmath.h"

#include <string.h>

typedef LLVMValueRef V;

/* ---- building blocks, each for one value or a vector of them ------------------------------------------------------------------- */

static LLVMTypeRef type_like(V like, LLVMTypeRef element)
{
    LLVMTypeRef type = LLVMTypeOf(like);
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMVectorType(element, LLVMGetVectorSize(type)) : element;
}

static V splat(V like, V scalar)
{
    LLVMTypeRef type = LLVMTypeOf(like);
    if (LLVMGetTypeKind(type) != LLVMVectorTypeKind)
        return scalar;
    V lanes[64];
    unsigned count = LLVMGetVectorSize(type);
    for (unsigned i = 0; i < count; i++)
        lanes[i] = scalar;
    return LLVMConstVector(lanes, count);
}

V vec_const(V like, double value)
{
    LLVMTypeRef type = LLVMTypeOf(like);
    return splat(like, LLVMConstReal(LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetElementType(type) : type, value));
}

static V int_const(const VecMath *vm, V like, unsigned bits, long long value)
{
    return splat(like, LLVMConstInt(LLVMIntTypeInContext(vm->context, bits), (unsigned long long)value, 1));
}

V vec_intrinsic(const VecMath *vm, const char *name, int count, V *args)
{
    LLVMTypeRef type = LLVMTypeOf(args[0]);
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    V function = LLVMGetIntrinsicDeclaration(vm->module, id, &type, 1);
    return LLVMBuildCall2(vm->builder, LLVMIntrinsicGetType(vm->context, id, &type, 1), function, args, (unsigned)count, "");
}

V vec_sqrt(const VecMath *vm, V x) { return vec_intrinsic(vm, "llvm.sqrt", 1, &x); }
V vec_floor(const VecMath *vm, V x) { return vec_intrinsic(vm, "llvm.floor", 1, &x); }
V vec_abs(const VecMath *vm, V x) { return vec_intrinsic(vm, "llvm.fabs", 1, &x); }
V vec_fma(const VecMath *vm, V a, V b, V c) { return vec_intrinsic(vm, "llvm.fma", 3, (V[]){a, b, c}); }

static V add(const VecMath *vm, V a, V b) { return LLVMBuildFAdd(vm->builder, a, b, ""); }
static V sub(const VecMath *vm, V a, V b) { return LLVMBuildFSub(vm->builder, a, b, ""); }
static V mul(const VecMath *vm, V a, V b) { return LLVMBuildFMul(vm->builder, a, b, ""); }
static V divide(const VecMath *vm, V a, V b) { return LLVMBuildFDiv(vm->builder, a, b, ""); }
static V scale(const VecMath *vm, V a, double factor) { return mul(vm, a, vec_const(a, factor)); }
static V offset(const VecMath *vm, V a, double term) { return add(vm, a, vec_const(a, term)); }
static V choose(const VecMath *vm, V condition, V a, V b) { return LLVMBuildSelect(vm->builder, condition, a, b, ""); }
static V compare(const VecMath *vm, LLVMRealPredicate predicate, V a, double b) { return LLVMBuildFCmp(vm->builder, predicate, a, vec_const(a, b), ""); }
static V with_sign(const VecMath *vm, V magnitude, V sign) { return vec_intrinsic(vm, "llvm.copysign", 2, (V[]){magnitude, sign}); }

static V f32_bits(const VecMath *vm, V x) { return LLVMBuildBitCast(vm->builder, x, type_like(x, LLVMInt32TypeInContext(vm->context)), ""); }
static V f32_of_bits(const VecMath *vm, V bits) { return LLVMBuildBitCast(vm->builder, bits, type_like(bits, LLVMFloatTypeInContext(vm->context)), ""); }
static V f64_bits(const VecMath *vm, V x) { return LLVMBuildBitCast(vm->builder, x, type_like(x, LLVMInt64TypeInContext(vm->context)), ""); }
static V f64_of_bits(const VecMath *vm, V bits) { return LLVMBuildBitCast(vm->builder, bits, type_like(bits, LLVMDoubleTypeInContext(vm->context)), ""); }
static V widen(const VecMath *vm, V x) { return LLVMBuildFPExt(vm->builder, x, type_like(x, LLVMDoubleTypeInContext(vm->context)), ""); }
static V narrow(const VecMath *vm, V x) { return LLVMBuildFPTrunc(vm->builder, x, type_like(x, LLVMFloatTypeInContext(vm->context)), ""); }

/* c[0] + c[1] x + … by Horner's rule, one rounding per step. */
static V polynomial(const VecMath *vm, V x, int count, const double *c)
{
    V sum = vec_const(x, c[count - 1]);
    for (int i = count - 2; i >= 0; i--)
        sum = vec_fma(vm, sum, x, vec_const(x, c[i]));
    return sum;
}
#define POLYNOMIAL(vm, x, ...) polynomial(vm, x, (int)(sizeof((const double[]){__VA_ARGS__}) / sizeof(double)), (const double[]){__VA_ARGS__})

/* ---- exponential and its relatives --------------------------------------------------------------------------------------------- */

/* e^x = 2^n e^r, |r| <= ln 2 / 2. n comes out of the low bits of x/ln 2 + 1.5*2^23: no conversion that a NaN could poison. 2^n is applied in two halves,
   so that n reaches 128 and results below the smallest normal number are rounded once. */
V vec_exp(const VecMath *vm, V x)
{
    const double magic = 12582912.0;
    x = choose(vm, compare(vm, LLVMRealOGT, x, 89.0), vec_const(x, 89.0), x);
    x = choose(vm, compare(vm, LLVMRealOLT, x, -104.0), vec_const(x, -104.0), x);
    V shifted = vec_fma(vm, x, vec_const(x, 0x1.715476p+0f), vec_const(x, magic));
    V n = offset(vm, shifted, -magic);
    V r = vec_fma(vm, n, vec_const(x, -0x1.62e4p-1f), x); /* ln 2 = 0x1.62e4p-1 + 0x1.7f7d1cp-20 */
    r = vec_fma(vm, n, vec_const(x, -0x1.7f7d1cp-20f), r);
    V q = POLYNOMIAL(vm, r, 0x1.fffffcp-2, 0x1.555492p-3, 0x1.5558f2p-5, 0x1.1239ep-7, 0x1.6a243ap-10);
    V p = vec_fma(vm, mul(vm, r, r), q, r); /* e^r - 1 */
    V power = LLVMBuildSub(vm->builder, f32_bits(vm, shifted), f32_bits(vm, vec_const(x, magic)), "");
    V half = LLVMBuildAShr(vm->builder, power, int_const(vm, x, 32, 1), "");
    V rest = LLVMBuildSub(vm->builder, power, half, "");
    V bias = int_const(vm, x, 32, 127), shift = int_const(vm, x, 32, 23);
    V first = f32_of_bits(vm, LLVMBuildShl(vm->builder, LLVMBuildAdd(vm->builder, half, bias, ""), shift, ""));
    V second = f32_of_bits(vm, LLVMBuildShl(vm->builder, LLVMBuildAdd(vm->builder, rest, bias, ""), shift, ""));
    return mul(vm, mul(vm, offset(vm, p, 1.0), first), second);
}

/* x = 2^k (1 + f), 1 + f in [sqrt(1/2), sqrt 2): log x = k ln 2 + f - f^2/2 + f^3 P(f). */
V vec_log(const VecMath *vm, V x)
{
    V tiny = compare(vm, LLVMRealOLT, x, 0x1p-126f);
    V normal = choose(vm, tiny, scale(vm, x, 0x1p+23f), x);
    V base = int_const(vm, x, 32, 0x3f3504f3); /* sqrt(1/2) */
    V bits = LLVMBuildSub(vm->builder, f32_bits(vm, normal), base, "");
    V k = LLVMBuildAShr(vm->builder, bits, int_const(vm, x, 32, 23), "");
    V fraction = LLVMBuildAdd(vm->builder, LLVMBuildAnd(vm->builder, bits, int_const(vm, x, 32, 0x7fffff), ""), base, "");
    V f = offset(vm, f32_of_bits(vm, fraction), -1.0);
    V exponent = LLVMBuildSIToFP(vm->builder, k, LLVMTypeOf(x), "");
    exponent = sub(vm, exponent, choose(vm, tiny, vec_const(x, 23.0), vec_const(x, 0.0)));
    V p = POLYNOMIAL(vm, f, 0x1.555554p-2, -0x1.000226p-2, 0x1.99a008p-3, -0x1.547244p-3, 0x1.22da1cp-3, -0x1.0d8542p-3, 0x1.055b6cp-3, -0x1.38b57ep-4);
    V square = mul(vm, f, f);
    V tail = vec_fma(vm, mul(vm, square, f), p, scale(vm, square, -0.5));
    tail = vec_fma(vm, exponent, vec_const(x, 0x1.7f7d1cp-20f), tail);
    V result = vec_fma(vm, exponent, vec_const(x, 0x1.62e4p-1f), add(vm, f, tail));
    result = choose(vm, compare(vm, LLVMRealOEQ, x, __builtin_inf()), x, result);
    result = choose(vm, compare(vm, LLVMRealOEQ, x, 0.0), vec_const(x, -__builtin_inf()), result);
    return choose(vm, compare(vm, LLVMRealULT, x, 0.0), vec_const(x, __builtin_nan("")), result);
}

/* Small arguments by an odd polynomial; else 1 - 2/(e^2|x| + 1). */
V vec_tanh(const VecMath *vm, V x)
{
    V a = vec_abs(vm, x);
    V z = mul(vm, x, x);
    V p = POLYNOMIAL(vm, z, -0x1.555532p-2, 0x1.110726p-3, -0x1.b83c5ap-5, 0x1.52269ap-6, -0x1.75e1cap-8);
    V small = vec_fma(vm, mul(vm, p, z), x, x);
    V e = vec_exp(vm, scale(vm, a, 2.0));
    V large = sub(vm, vec_const(x, 1.0), divide(vm, vec_const(x, 2.0), offset(vm, e, 1.0)));
    return choose(vm, compare(vm, LLVMRealOLT, a, 0.625), small, with_sign(vm, large, x));
}

/* e^-|x| never overflows: q = 1/(1 + e) for x >= 0, e/(1 + e) for x < 0. What the sum 1 + e lost, c, is given back: q - q c/(1 + e), where
   1/(1 + e) is q or 1 - q. */
V vec_sigmoid(const VecMath *vm, V x)
{
    V e = vec_exp(vm, LLVMBuildFNeg(vm->builder, vec_abs(vm, x), ""));
    V negative = compare(vm, LLVMRealOLT, x, 0.0), one = vec_const(x, 1.0);
    V sum = offset(vm, e, 1.0);
    V lost = sub(vm, e, offset(vm, sum, -1.0));
    V q = divide(vm, choose(vm, negative, e, one), sum);
    V reciprocal = choose(vm, negative, sub(vm, one, q), q);
    return vec_fma(vm, LLVMBuildFNeg(vm->builder, mul(vm, q, reciprocal), ""), lost, q);
}

/* max(x, 0) + log(1 + e), e = e^-|x| in [0, 1]: log(1 + e) = e + e^2 Q(e). */
V vec_softplus(const VecMath *vm, V x)
{
    V e = vec_exp(vm, LLVMBuildFNeg(vm->builder, vec_abs(vm, x), ""));
    V q =
        POLYNOMIAL(vm, e, -0x1.fffff8p-2, 0x1.5553a6p-2, -0x1.ffc42p-3, 0x1.978278p-3, -0x1.4a542cp-3, 0x1.fea744p-4, -0x1.54457ep-4, 0x1.57e954p-5, -0x1.bead36p-7, 0x1.0fb4a2p-9);
    V log1p = vec_fma(vm, mul(vm, e, e), q, e);
    return add(vm, choose(vm, compare(vm, LLVMRealOGT, x, 0.0), x, vec_const(x, 0.0)), log1p);
}

/* Small arguments: x (2/sqrt(pi) + z P(z)), z = x^2, the leading coefficient in two parts. Else 1 - erfc = 1 - e^-p(|x|), p a polynomial up to 4, where erf is 1. */
V vec_erf(const VecMath *vm, V x)
{
    V a = vec_abs(vm, x);
    V z = mul(vm, x, x);
    V s = POLYNOMIAL(vm, z, -0x1.812744p-2, 0x1.ce2e48p-4, -0x1.b81308p-6, 0x1.54eed2p-8, -0x1.ab7fa4p-11, 0x1.60c2f6p-14);
    s = vec_fma(vm, s, z, vec_const(x, 0x1.06eba8p-3f)); /* 2/sqrt(pi) - 1 */
    V small = vec_fma(vm, s, x, x);
    V b = choose(vm, compare(vm, LLVMRealOGT, a, 4.0), vec_const(x, 4.0), a);
    V p = POLYNOMIAL(vm, b, -0x1.6f63ap-13, 0x1.21280cp+0, 0x1.444568p-1, 0x1.bb8984p-4, -0x1.9b9d08p-6, 0x1.1170ep-8, -0x1.c7d9fcp-12, 0x1.624f5p-16);
    V large = sub(vm, vec_const(x, 1.0), vec_exp(vm, LLVMBuildFNeg(vm->builder, p, "")));
    return choose(vm, compare(vm, LLVMRealOLT, a, 0.921875), small, with_sign(vm, large, x));
}

/* ---- sine and cosine -------------------------------------------------------------------------------------------------------------- */

/* x = j pi/2 + r in double, pi/2 in two parts; sin is +-sin r or +-cos r by j mod 4. `turn` is 0 for sine, 1 for cosine. */
static V circular(const VecMath *vm, V x, int turn)
{
    V wide = widen(vm, x);
    V quarters = scale(vm, wide, 0x1.45f306dc9c883p-1);
    V j = vec_intrinsic(vm, "llvm.rint", 1, &quarters);
    V r = vec_fma(vm, j, vec_const(wide, -0x1.921fb54442d18p+0), wide);
    r = vec_fma(vm, j, vec_const(wide, -0x1.1a62633145c07p-54), r);
    V rest = sub(vm, j, scale(vm, vec_floor(vm, scale(vm, j, 0.25)), 4.0)); /* 0, 1, 2, 3; NaN for an infinite x */
    V quadrant = narrow(vm, rest);
    V t = narrow(vm, r);
    V z = mul(vm, t, t);
    V sine = vec_fma(vm, mul(vm, POLYNOMIAL(vm, z, -0x1.555556p-3, 0x1.111108p-7, -0x1.a00f76p-13, 0x1.6ccf8ap-19), z), t, t);
    V cosine = POLYNOMIAL(vm, z, 1.0, -0.5, 0x1.55554ap-5, -0x1.6c0c2ap-10, 0x1.99e8a2p-16);
    V odd = LLVMBuildOr(vm->builder, compare(vm, LLVMRealOEQ, quadrant, 1.0), compare(vm, LLVMRealOEQ, quadrant, 3.0), "");
    V negative = turn ? LLVMBuildOr(vm->builder, compare(vm, LLVMRealOEQ, quadrant, 1.0), compare(vm, LLVMRealOEQ, quadrant, 2.0), "") : compare(vm, LLVMRealOGE, quadrant, 2.0);
    V value = turn ? choose(vm, odd, sine, cosine) : choose(vm, odd, cosine, sine);
    return choose(vm, negative, LLVMBuildFNeg(vm->builder, value, ""), value);
}

V vec_sin(const VecMath *vm, V x) { return circular(vm, x, 0); }
V vec_cos(const VecMath *vm, V x) { return circular(vm, x, 1); }

/* ---- powers: in double, whose exponent range and precision leave nothing to correct ---------------------------------------------- */

/* log2 of a positive finite f32 value held in double: s = (m - 1)/(m + 1), log m = 2 (s + s^3/3 + …). */
static V log2_wide(const VecMath *vm, V x)
{
    V base = int_const(vm, x, 64, 0x3fe6a09e667f3bcd); /* sqrt(1/2) */
    V bits = LLVMBuildSub(vm->builder, f64_bits(vm, x), base, "");
    V k = LLVMBuildAShr(vm->builder, bits, int_const(vm, x, 64, 52), "");
    V fraction = LLVMBuildAdd(vm->builder, LLVMBuildAnd(vm->builder, bits, int_const(vm, x, 64, 0xfffffffffffff), ""), base, "");
    V m = f64_of_bits(vm, fraction);
    V s = divide(vm, offset(vm, m, -1.0), offset(vm, m, 1.0));
    V z = mul(vm, s, s);
    V p = POLYNOMIAL(vm, z, 1.0, 1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13);
    return vec_fma(vm, mul(vm, s, p), vec_const(x, 2 * 1.4426950408889634), LLVMBuildSIToFP(vm->builder, k, LLVMTypeOf(x), ""));
}

static V exp2_wide(const VecMath *vm, V x)
{
    const double magic = 6755399441055744.0; /* 1.5 * 2^52 */
    x = choose(vm, compare(vm, LLVMRealOGT, x, 200.0), vec_const(x, 200.0), x);
    x = choose(vm, compare(vm, LLVMRealOLT, x, -200.0), vec_const(x, -200.0), x);
    V shifted = offset(vm, x, magic);
    V r = scale(vm, sub(vm, x, offset(vm, shifted, -magic)), 0.69314718055994531);
    V p = POLYNOMIAL(vm, r, 1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800);
    V power = LLVMBuildSub(vm->builder, f64_bits(vm, shifted), f64_bits(vm, vec_const(x, magic)), "");
    V biased = LLVMBuildAdd(vm->builder, power, int_const(vm, x, 64, 1023), "");
    return mul(vm, p, f64_of_bits(vm, LLVMBuildShl(vm->builder, biased, int_const(vm, x, 64, 52), "")));
}

V vec_pow(const VecMath *vm, V x, V y)
{
    const double inf = __builtin_inf();
    V a = vec_abs(vm, x);
    V log2 = log2_wide(vm, widen(vm, a));
    log2 = choose(vm, compare(vm, LLVMRealOEQ, a, 0.0), vec_const(log2, -inf), log2);
    log2 = choose(vm, compare(vm, LLVMRealUEQ, a, inf), widen(vm, a), log2); /* infinity and NaN pass */
    V result = narrow(vm, exp2_wide(vm, mul(vm, widen(vm, y), log2)));
    result = choose(vm, compare(vm, LLVMRealOEQ, a, 1.0), choose(vm, compare(vm, LLVMRealUNO, y, 0.0), y, vec_const(x, 1.0)), result);

    /* A negative base: the exponent must be whole, and its parity gives the sign. f32 values from 2^24 on are even, so halving is exact. */
    V whole = LLVMBuildFCmp(vm->builder, LLVMRealOEQ, vec_floor(vm, y), y, "");
    V half = scale(vm, y, 0.5);
    V odd = LLVMBuildAnd(vm->builder, whole, LLVMBuildFCmp(vm->builder, LLVMRealONE, vec_floor(vm, half), half, ""), "");
    V signed_result = choose(vm, odd, with_sign(vm, result, x), result);
    V finite_negative = LLVMBuildAnd(vm->builder, compare(vm, LLVMRealOLT, x, 0.0), compare(vm, LLVMRealOGT, x, -inf), "");
    V bad = LLVMBuildAnd(vm->builder, finite_negative, LLVMBuildNot(vm->builder, whole, ""), "");
    result = choose(vm, bad, vec_const(x, __builtin_nan("")), signed_result);
    V one = LLVMBuildOr(vm->builder, compare(vm, LLVMRealOEQ, x, 1.0), compare(vm, LLVMRealOEQ, y, 0.0), "");
    return choose(vm, one, vec_const(x, 1.0), result);
}
