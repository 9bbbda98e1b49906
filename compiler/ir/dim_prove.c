/* Proofs that a dimension is never negative. Symbols are written as their least value plus an unknown >= 0; each atom is replaced, in turn, by
   an equal expression with one more such unknown; what then has no negative coefficient is nonnegative. Sound, and incomplete. */
#include "ir/dim_internal.h"

#include "support/bug.h"

enum { ATTEMPTS_MAX = 400 };

typedef struct Prover {
    DimTable *table;
    int slacks;   /* unknowns in use */
    int attempts; /* left */
} Prover;

static bool coefficients_nonnegative(Dim a)
{
    for (int i = 0; i < a->count; i++)
        if (a->terms[i].coef.num < 0)
            return false;
    return true;
}

/* b = 1 + b', n = 1 + n', s = 1 + s', l = p + n + l' (1 + p + l' where n does not occur), with the old symbols standing for the new unknowns. */
static Dim shift_symbols(DimTable *table, Dim a)
{
    const bool several = dim_uses(a, DIM_N);
    for (int symbol = 0; symbol < DIM_SYMBOLS; symbol++) {
        if (symbol == DIM_P || !dim_uses(a, symbol))
            continue;
        const Dim least = symbol == DIM_L && several ? dim_symbol(table, DIM_N) : dim_int(table, 1); /* n itself is shifted after l */
        Dim by = dim_add(table, dim_symbol(table, symbol), least);
        if (symbol == DIM_L)
            by = dim_add(table, by, dim_symbol(table, DIM_P));
        a = dim_substitute(table, a, symbol, by);
    }
    return a;
}

static bool prove(Prover *prover, Dim a);

static bool prove_with(Prover *prover, Dim a, const Atom *atom, Dim by) { return prove(prover, dim_replace_atom(prover->table, a, atom, by)); }

/* The largest distance of a from the next whole number: 1 - 1/q where a is a whole number over q. */
static Dim rounding_gap(DimTable *table, Dim a)
{
    int64_t lcm = 1;
    for (int i = 0; i < a->count; i++) {
        bool integer = true;
        for (int k = 0; k < a->terms[i].count; k++)
            integer = integer && a->terms[i].powers[k].atom->integer;
        const int64_t den = a->terms[i].coef.den;
        if (!integer || den <= 0 || den > 1 << 20)
            return dim_int(table, 1);
        int64_t x = lcm, y = den;
        while (y) {
            const int64_t rest = x % y;
            x = y;
            y = rest;
        }
        lcm = lcm / x * den;
        if (lcm > 1 << 20)
            return dim_int(table, 1);
    }
    return dim_rational(table, rational(lcm - 1, lcm));
}

static bool prove_rounding(Prover *prover, Dim a, const Atom *atom, Dim slack)
{
    DimTable *t = prover->table;
    const Dim gap = rounding_gap(t, atom->a);
    const Dim low = atom->kind == ATOM_CEIL ? atom->a : dim_sub(t, atom->a, gap);
    const Dim high = atom->kind == ATOM_CEIL ? dim_add(t, atom->a, gap) : atom->a;
    if (prove_with(prover, a, atom, dim_add(t, low, slack)) || prove_with(prover, a, atom, dim_sub(t, high, slack)))
        return true;
    if (!prove(prover, atom->a)) /* then both are at least 0 */
        return false;
    if (prove_with(prover, a, atom, slack))
        return true;
    /* ceil of something above 0 is at least 1. The constant term stands last. */
    const bool positive = coefficients_nonnegative(atom->a) && atom->a->count > 0 && atom->a->terms[atom->a->count - 1].count == 0;
    return atom->kind == ATOM_CEIL && positive && prove_with(prover, a, atom, dim_add(t, slack, dim_int(t, 1)));
}

static bool prove_choice(Prover *prover, Dim a, const Atom *atom, Dim slack)
{
    DimTable *t = prover->table;
    const bool min = atom->kind == ATOM_MIN;
    if (prove_with(prover, a, atom, min ? dim_sub(t, atom->a, slack) : dim_add(t, atom->a, slack)))
        return true;
    if (prove_with(prover, a, atom, min ? dim_sub(t, atom->b, slack) : dim_add(t, atom->b, slack)))
        return true;
    return prove_with(prover, a, atom, atom->a) && prove_with(prover, a, atom, atom->b); /* it is one of the two */
}

static bool prove(Prover *prover, Dim a)
{
    if (dim_overflowed(a) || prover->attempts-- <= 0)
        return false;
    const Atom *atom = dim_first_atom(a);
    if (!atom)
        return coefficients_nonnegative(a);
    if (prover->slacks == DIM_SLACKS)
        return false;
    const Dim slack = dim_symbol(prover->table, DIM_SYMBOLS + prover->slacks++);
    const bool proved = atom->kind == ATOM_CEIL || atom->kind == ATOM_FLOOR ? prove_rounding(prover, a, atom, slack) : prove_choice(prover, a, atom, slack);
    prover->slacks--;
    return proved;
}

bool dim_proves_nonnegative(Dim a)
{
    if (a->proof == PROOF_UNKNOWN) {
        DimNode *node = (DimNode *)a; /* remembers the answer; the table's owner is the only writer */
        node->proof = PROOF_NO;       /* min and max built below may ask again */
        Prover prover = {.table = a->table, .attempts = ATTEMPTS_MAX};
        node->proof = prove(&prover, shift_symbols(a->table, a)) ? PROOF_YES : PROOF_NO;
    }
    return a->proof == PROOF_YES;
}
