#include "ir/dim_code.h"

#include "ir/dim_internal.h"
#include "support/bug.h"

static void atom_encode(const Atom *atom, DimCode *code)
{
    if (atom->kind == ATOM_SYMBOL) {
        vec_push(code, DIM_CODE_SYMBOL);
        vec_push(code, atom->symbol);
        return;
    }
    dim_encode(atom->a, code);
    switch (atom->kind) {
    case ATOM_SYMBOL: BFM_BUG("a symbol has no operands");
    case ATOM_CEIL: vec_push(code, DIM_CODE_CEIL); break;
    case ATOM_FLOOR: vec_push(code, DIM_CODE_FLOOR); break;
    case ATOM_MIN:
    case ATOM_MAX:
        dim_encode(atom->b, code);
        vec_push(code, atom->kind == ATOM_MIN ? DIM_CODE_MIN : DIM_CODE_MAX);
        break;
    }
}

static void number_encode(Rational number, DimCode *code)
{
    vec_push(code, DIM_CODE_NUMBER);
    vec_push(code, number.num);
    vec_push(code, number.den);
}

void dim_encode(Dim dim, DimCode *code)
{
    if (dim->count == 0)
        number_encode(rational_int(0), code);
    for (int i = 0; i < dim->count; i++) {
        const Monomial *term = &dim->terms[i];
        number_encode(term->coef, code);
        for (int k = 0; k < term->count; k++) {
            for (int p = 0; p < term->powers[k].power; p++) {
                atom_encode(term->powers[k].atom, code);
                vec_push(code, DIM_CODE_MUL);
            }
        }
        if (i > 0)
            vec_push(code, DIM_CODE_ADD);
    }
}
