/* Sizes of a plan: dimensions worked out from the symbols, and what they must satisfy. */
#include "device/cpu/templates/dims.h"

#include <stdio.h>

__extension__ typedef __int128 Wide; /* products of two 64-bit numbers */

/* den > 0, reduced; den 0: does not fit */
typedef struct Ratio {
    int64_t num, den;
} Ratio;

static const Ratio no_ratio = {0, 0};

static Ratio ratio(Wide num, Wide den)
{
    Wide a = num < 0 ? -num : num, b = den;
    while (b != 0) {
        Wide rest = a % b;
        a = b, b = rest;
    }
    if (a > 1)
        num /= a, den /= a;
    return num > INT64_MAX || num < -INT64_MAX || den > INT64_MAX ? no_ratio : (Ratio){(int64_t)num, (int64_t)den};
}

static int64_t ratio_floor(Ratio a) { return a.num / a.den - (a.num % a.den != 0 && a.num < 0); }

static Ratio apply(int64_t code, Ratio a, Ratio b)
{
    if (a.den == 0 || b.den == 0)
        return no_ratio;
    const bool less = (Wide)a.num * b.den <= (Wide)b.num * a.den;
    switch ((BfmDimCode)code) {
    case BFM_DIM_ADD: {
        Wide left = (Wide)a.num * b.den, right = (Wide)b.num * a.den, sum;
        return __builtin_add_overflow(left, right, &sum) ? no_ratio : ratio(sum, (Wide)a.den * b.den);
    }
    case BFM_DIM_MUL: return ratio((Wide)a.num * b.num, (Wide)a.den * b.den);
    case BFM_DIM_MIN: return less ? a : b;
    case BFM_DIM_MAX: return less ? b : a;
    case BFM_DIM_CEIL: return (Ratio){ratio_floor(a) + (a.den != 1), 1};
    case BFM_DIM_FLOOR: return (Ratio){ratio_floor(a), 1};
    case BFM_DIM_NUMBER:
    case BFM_DIM_SYMBOL: break;
    }
    return no_ratio;
}

static int64_t dim_eval(const int64_t *code, int count, const int64_t *symbols)
{
    Ratio stack[BFM_DIM_STACK];
    int top = 0;
    for (int at = 0; at < count; at++) {
        if (top >= BFM_DIM_STACK)
            return -1;
        if (code[at] == BFM_DIM_NUMBER) {
            stack[top++] = (Ratio){code[at + 1], code[at + 2]};
            at += 2;
        } else if (code[at] == BFM_DIM_SYMBOL) {
            stack[top++] = (Ratio){symbols[code[++at]], 1};
        } else if (code[at] == BFM_DIM_CEIL || code[at] == BFM_DIM_FLOOR) {
            stack[top - 1] = apply(code[at], stack[top - 1], stack[top - 1]);
        } else {
            top--;
            stack[top - 1] = apply(code[at], stack[top - 1], stack[top]);
        }
    }
    return top == 1 && stack[0].den != 0 ? ratio_floor(stack[0]) : -1;
}

void bfm_dims_eval(const BfmPlan *plan, const int64_t *symbols, int64_t *values)
{
    const BfmPlanDim *dims = bfm_plan_dims(plan);
    for (uint64_t i = 0; i < plan->dims.count; i++)
        values[i] = dim_eval(bfm_plan_dim_code(plan) + dims[i].code, dims[i].count, symbols);
}

/* The values of the sizes that a need depends on. */
static void sizes_text(uint32_t used, const int64_t *symbols, char *text, size_t size)
{
    static const char *const NAMES[BFM_PLAN_SYMBOLS] = {"the batch", "the length", "the position", "the number of positions"};
    size_t at = 0;
    const bool one = (used & (used - 1)) == 0;
    for (int i = 0; i < BFM_PLAN_SYMBOLS && at < size; i++) {
        if (!(used >> i & 1))
            continue;
        const char *name = one ? "it" : NAMES[i] ? NAMES[i] : "a size";
        const int length = snprintf(text + at, size - at, "%s%s is %lld", at ? ", " : "", name, (long long)symbols[i]);
        at += length > 0 ? (size_t)length : 0;
    }
}

bool bfm_needs_check(const BfmPlan *plan, const int64_t *symbols, const int64_t *dims, BfmError *error)
{
    for (uint64_t i = 0; i < plan->needs.count; i++) {
        const BfmPlanNeed *need = &bfm_plan_needs(plan)[i];
        char sizes[240] = "";
        if (dims[need->value] >= 0)
            continue;
        sizes_text(need->symbols, symbols, sizes, sizeof sizes);
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s; %s", bfm_plan_text(plan, need->text), sizes);
    }
    return true;
}
