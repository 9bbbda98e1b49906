/* Dimensions as code: every one an exact fraction whose denominator is known here, rounded down at the end. */
#include "codegen/emit.h"

#include "ir/dim_internal.h"
#include "support/bug.h"
#include "support/vec.h"

typedef struct Fraction {
    Dim dim;
    V num;
    int64_t den;
} Fraction;

typedef struct DimEmit {
    Emit *e;
    V symbols;
    VEC(Fraction) known;
} DimEmit;

static int64_t greatest_common_divisor(int64_t a, int64_t b)
{
    while (b != 0) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static V times(Emit *e, V a, int64_t factor) { return factor == 1 ? a : LLVMBuildMul(e->builder, a, emit_i64(e, factor), ""); }

/* n / d rounded down; d > 0. */
static V floor_quotient(Emit *e, V n, int64_t d)
{
    if (d == 1)
        return n;
    V quotient = LLVMBuildSDiv(e->builder, n, emit_i64(e, d), ""), rest = LLVMBuildSRem(e->builder, n, emit_i64(e, d), "");
    V negative = LLVMBuildICmp(e->builder, LLVMIntSLT, rest, emit_i64(e, 0), "");
    return LLVMBuildSub(e->builder, quotient, LLVMBuildZExt(e->builder, negative, e->i64, ""), "");
}

static Fraction dim_fraction(DimEmit *de, Dim dim);

static Fraction atom_fraction(DimEmit *de, const Atom *atom)
{
    Emit *e = de->e;
    if (atom->kind == ATOM_SYMBOL)
        return (Fraction){NULL, emit_load_entry(e, e->i64, de->symbols, atom->symbol), 1};
    Fraction a = dim_fraction(de, atom->a);
    if (atom->kind == ATOM_FLOOR)
        return (Fraction){NULL, floor_quotient(e, a.num, a.den), 1};
    if (atom->kind == ATOM_CEIL)
        return (Fraction){NULL, LLVMBuildNeg(e->builder, floor_quotient(e, LLVMBuildNeg(e->builder, a.num, ""), a.den), ""), 1};
    Fraction b = dim_fraction(de, atom->b);
    int64_t den = a.den / greatest_common_divisor(a.den, b.den) * b.den;
    V left = times(e, a.num, den / a.den), right = times(e, b.num, den / b.den);
    return (Fraction){NULL, atom->kind == ATOM_MIN ? emit_min(e, left, right) : emit_max(e, left, right), den};
}

static Fraction monomial_fraction(DimEmit *de, const Monomial *term)
{
    Emit *e = de->e;
    Fraction product = {NULL, emit_i64(e, term->coef.num), term->coef.den};
    for (int i = 0; i < term->count; i++) {
        Fraction factor = atom_fraction(de, term->powers[i].atom);
        for (int k = 0; k < term->powers[i].power; k++) {
            product.num = LLVMBuildMul(e->builder, product.num, factor.num, "");
            product.den *= factor.den;
        }
    }
    return product;
}

static Fraction dim_fraction(DimEmit *de, Dim dim)
{
    Emit *e = de->e;
    for (int i = 0; i < de->known.count; i++)
        if (de->known.items[i].dim == dim)
            return de->known.items[i];
    Fraction sum = {dim, emit_i64(e, 0), 1};
    for (int i = 0; i < dim->count; i++) {
        Fraction term = monomial_fraction(de, &dim->terms[i]);
        BFM_ASSERT(term.den > 0);
        int64_t den = sum.den / greatest_common_divisor(sum.den, term.den) * term.den;
        sum.num = LLVMBuildAdd(e->builder, times(e, sum.num, den / sum.den), times(e, term.num, den / term.den), "");
        sum.den = den;
    }
    vec_push(&de->known, sum);
    return sum;
}

void emit_dims(Emit *e)
{
    DimEmit de = {.e = e, .symbols = LLVMGetParam(e->function, 0)};
    V values = LLVMGetParam(e->function, 1);
    for (int i = 0; i < e->form->slot_count; i++) {
        Fraction value = dim_fraction(&de, e->form->dims[i]);
        V at = emit_i64(e, i);
        LLVMBuildStore(e->builder, floor_quotient(e, value.num, value.den), LLVMBuildGEP2(e->builder, e->i64, values, &at, 1, ""));
    }
    vec_free(&de.known);
    LLVMBuildRetVoid(e->builder);
}
