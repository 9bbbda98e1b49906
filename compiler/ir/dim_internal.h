/* The representation of dimensions, for dim*.c only. A dimension is a sum of monomials, each a rational times powers of atoms; an atom is a
   symbol or ceil, floor, min, max of dimensions. Monomials are in descending graded lexicographic order, which is admissible, so that long
   division works; atoms are ordered by structure, never by address or age. */
#ifndef BFM_IR_DIM_INTERNAL_H
#define BFM_IR_DIM_INTERNAL_H

#include "ir/dim.h"

/* Proofs use symbols past DIM_SYMBOLS: unknowns of which only >= 0 is known. */
enum { DIM_SLACKS = 16, DIM_ALL_SYMBOLS = DIM_SYMBOLS + DIM_SLACKS, DIM_TERMS_MAX = 2048, DIM_POWER_MAX = 64 };

typedef enum { ATOM_SYMBOL, ATOM_CEIL, ATOM_FLOOR, ATOM_MIN, ATOM_MAX } AtomKind;

typedef struct Atom Atom;
struct Atom {
    AtomKind kind;
    int symbol;    /* SYMBOL */
    Dim a, b;      /* CEIL, FLOOR: a; MIN, MAX: both */
    bool integer;  /* always a whole number */
    uint32_t uses; /* bit s: symbol s occurs */
    uint64_t hash;
    Atom *next; /* in its bucket */
};

typedef struct Power {
    const Atom *atom;
    int power; /* >= 1 */
} Power;

typedef struct Monomial {
    Rational coef; /* never 0; invalid only in the one overflow dimension */
    int count;
    const Power *powers; /* ascending atoms */
} Monomial;

typedef enum { PROOF_UNKNOWN, PROOF_YES, PROOF_NO } Proof;

struct DimNode {
    DimTable *table;
    int count;
    const Monomial *terms;
    bool integer; /* all coefficients and atoms are whole */
    uint32_t uses;
    uint64_t hash;
    Proof proof; /* remembered answer of dim_proves_nonnegative */
    DimNode *next;
};

bool dim_overflowed(Dim a);
int dim_compare(Dim a, Dim b);   /* a total order by structure */
Dim dim_term(Dim a, int number); /* one of the monomials of a */
/* The first atom of a that is no symbol, NULL if there is none. */
const Atom *dim_first_atom(Dim a);
Dim dim_replace_atom(DimTable *table, Dim a, const Atom *atom, Dim by);

#endif
