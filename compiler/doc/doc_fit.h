/* A polynomial with rational coefficients found from its values: how symbolic counts are made of numeric ones. Exact: coefficients are solved for modulo a
   prime and read back as fractions; there are always more values than coefficients, and all must agree. */
#ifndef BFM_DOC_DOC_FIT_H
#define BFM_DOC_DOC_FIT_H

#include "support/arena.h"
#include "support/rational.h"
#include "support/str.h"

enum { FIT_VARIABLES_MAX = 16, FIT_POWER_MAX = 3, FIT_TERMS_MAX = 600, FIT_HELD_OUT = 12 };

typedef struct PolyTerm {
    Rational coef; /* never 0 */
    unsigned char power[FIT_VARIABLES_MAX];
} PolyTerm;

typedef struct Poly {
    int count;
    PolyTerm *terms; /* highest degree first */
} Poly;

/* How many terms there are whose power of each variable v is one of support[v] (bit p: power p). */
int fit_terms(int variable_count, const unsigned *support);
/* The polynomial of such terms that has values[i] at points[i]: false where there is none, where the points leave it open, or where a value is no multiple of 1/64. */
bool fit_poly(Arena *arena, int variable_count, const unsigned *support, int count, const Rational *const *points, const double *values, Poly *poly);

Poly poly_sub(Arena *arena, int variable_count, const Poly *a, const Poly *b);
bool poly_equal(int variable_count, const Poly *a, const Poly *b);
/* b·l·(2·d + 1): what all terms share stands before the parenthesis. */
void poly_print(int variable_count, const char *const *names, const Poly *poly, Str *out);

#endif
