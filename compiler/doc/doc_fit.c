/* Polynomials from values, modulo a prime. */
#include "doc/doc_fit.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

__extension__ typedef unsigned __int128 Wide;

enum { VALUE_UNIT = 64, DENOMINATOR_MAX = 1 << 16 };
static const uint64_t PRIME = ((uint64_t)1 << 61) - 1;

/* ---- arithmetic modulo the prime ---- */

static uint64_t mod_sub(uint64_t a, uint64_t b) { return (a + PRIME - b) % PRIME; }
static uint64_t mod_mul(uint64_t a, uint64_t b) { return (uint64_t)((Wide)a * b % PRIME); }
static uint64_t mod_int(int64_t a) { return a >= 0 ? (uint64_t)a % PRIME : mod_sub(0, (uint64_t)-a % PRIME); }

static uint64_t mod_inverse(uint64_t a)
{
    uint64_t result = 1;
    for (uint64_t power = PRIME - 2; power > 0; power >>= 1, a = mod_mul(a, a))
        if (power & 1)
            result = mod_mul(result, a);
    return result;
}

static uint64_t mod_rational(Rational a) { return a.den == 1 ? mod_int(a.num) : mod_mul(mod_int(a.num), mod_inverse(mod_int(a.den))); }

/* The fraction of small parts that is this residue; invalid where there is none. */
static Rational mod_fraction(uint64_t residue)
{
    int64_t r0 = (int64_t)PRIME, r1 = (int64_t)residue, t0 = 0, t1 = 1;
    while (r1 > (int64_t)1 << 40) {
        const int64_t q = r0 / r1, r = r0 - q * r1, t = t0 - q * t1;
        r0 = r1, r1 = r, t0 = t1, t1 = t;
    }
    if (t1 < 0)
        t1 = -t1, r1 = -r1;
    return t1 == 0 || t1 > DENOMINATOR_MAX ? (Rational){0, 0} : rational(r1, t1);
}

/* ---- terms ---- */

int fit_terms(int variable_count, const unsigned *support)
{
    int64_t terms = 1;
    for (int v = 0; v < variable_count && terms <= FIT_TERMS_MAX; v++) {
        int powers = 0;
        for (int p = 0; p <= FIT_POWER_MAX; p++)
            powers += (int)(support[v] >> p & 1);
        terms *= powers;
    }
    return terms > FIT_TERMS_MAX ? FIT_TERMS_MAX + 1 : (int)terms;
}

/* The powers of the term of this number. */
static void term_powers(int variable_count, const unsigned *support, int number, unsigned char *power)
{
    for (int v = 0; v < variable_count; v++) {
        int choices[FIT_POWER_MAX + 1], count = 0;
        for (int p = 0; p <= FIT_POWER_MAX; p++)
            if (support[v] >> p & 1)
                choices[count++] = p;
        power[v] = (unsigned char)choices[number % count];
        number /= count;
    }
}

static int degree(int variable_count, const PolyTerm *term)
{
    int sum = 0;
    for (int v = 0; v < variable_count; v++)
        sum += term->power[v];
    return sum;
}

/* Higher degrees first; of equal ones those with more of the first variables. */
static bool term_before(int variable_count, const PolyTerm *a, const PolyTerm *b)
{
    const int da = degree(variable_count, a), db = degree(variable_count, b);
    return da != db ? da > db : memcmp(a->power, b->power, sizeof a->power) > 0;
}

static void poly_add_term(int variable_count, Poly *poly, PolyTerm term)
{
    int at = poly->count++;
    for (; at > 0 && term_before(variable_count, &term, &poly->terms[at - 1]); at--)
        poly->terms[at] = poly->terms[at - 1];
    poly->terms[at] = term;
}

/* ---- solving ---- */

static uint64_t term_value(int variable_count, const PolyTerm *term, const uint64_t *point)
{
    uint64_t value = 1;
    for (int v = 0; v < variable_count; v++)
        for (int p = 0; p < term->power[v]; p++)
            value = mod_mul(value, point[v]);
    return value;
}

/* rows[i] = the terms at point i, then the value. False where a value is no number of ours. */
static bool system_fill(int variable_count, int count, const Rational *const *points, const double *values, int terms, const PolyTerm *term, uint64_t **rows)
{
    const uint64_t unit = mod_inverse(VALUE_UNIT);
    for (int i = 0; i < count; i++) {
        const double scaled = values[i] * VALUE_UNIT;
        uint64_t point[FIT_VARIABLES_MAX];
        if (!(fabs(scaled) < 0x1p53) || scaled != floor(scaled))
            return false;
        for (int v = 0; v < variable_count; v++)
            point[v] = mod_rational(points[i][v]);
        for (int t = 0; t < terms; t++)
            rows[i][t] = term_value(variable_count, &term[t], point);
        rows[i][terms] = mod_mul(mod_int((int64_t)scaled), unit);
    }
    return true;
}

static void row_subtract(uint64_t *from, const uint64_t *row, int begin, int end)
{
    const uint64_t factor = from[begin];
    for (int c = begin; factor && c < end; c++)
        from[c] = mod_sub(from[c], mod_mul(factor, row[c]));
}

/* Gauss–Jordan; false where the rows contradict each other or leave a term open. */
static bool system_solve(uint64_t **rows, int count, int terms)
{
    for (int t = 0; t < terms; t++) {
        int pivot = t;
        while (pivot < count && rows[pivot][t] == 0)
            pivot++;
        if (pivot == count)
            return false;
        uint64_t *row = rows[pivot];
        rows[pivot] = rows[t], rows[t] = row;
        const uint64_t inverse = mod_inverse(row[t]);
        for (int c = t; c <= terms; c++)
            row[c] = mod_mul(row[c], inverse);
        for (int i = 0; i < count; i++)
            if (i != t)
                row_subtract(rows[i], row, t, terms + 1);
    }
    for (int i = terms; i < count; i++)
        if (rows[i][terms] != 0)
            return false;
    return true;
}

bool fit_poly(Arena *arena, int variable_count, const unsigned *support, int count, const Rational *const *points, const double *values, Poly *poly)
{
    const int terms = fit_terms(variable_count, support);
    *poly = (Poly){0, NULL};
    if (terms > FIT_TERMS_MAX || count <= terms)
        return false;
    Arena *scratch = arena_new();
    PolyTerm *term = ARENA_ARRAY(arena, PolyTerm, terms + 1);
    uint64_t **rows = ARENA_ARRAY(scratch, uint64_t *, count);
    for (int i = 0; i < count; i++)
        rows[i] = ARENA_ARRAY(scratch, uint64_t, terms + 1);
    for (int t = 0; t < terms; t++)
        term_powers(variable_count, support, t, term[t].power);
    bool ok = system_fill(variable_count, count, points, values, terms, term, rows) && system_solve(rows, count, terms);
    poly->terms = ARENA_ARRAY(arena, PolyTerm, terms + 1);
    for (int t = 0; ok && t < terms; t++) {
        term[t].coef = mod_fraction(rows[t][terms]);
        ok = rational_valid(term[t].coef);
        if (ok && term[t].coef.num != 0)
            poly_add_term(variable_count, poly, term[t]);
    }
    arena_free(scratch);
    return ok;
}

/* ---- polynomials ---- */

Poly poly_sub(Arena *arena, int variable_count, const Poly *a, const Poly *b)
{
    Poly result = {0, ARENA_ARRAY(arena, PolyTerm, a->count + b->count + 1)};
    for (int i = 0; i < a->count; i++) {
        PolyTerm term = a->terms[i];
        for (int k = 0; k < b->count; k++)
            if (memcmp(term.power, b->terms[k].power, sizeof term.power) == 0)
                term.coef = rational_sub(term.coef, b->terms[k].coef);
        if (term.coef.num != 0)
            poly_add_term(variable_count, &result, term);
    }
    for (int k = 0; k < b->count; k++) {
        bool known = false;
        for (int i = 0; i < a->count; i++)
            known = known || memcmp(a->terms[i].power, b->terms[k].power, sizeof b->terms[k].power) == 0;
        PolyTerm term = b->terms[k];
        term.coef = rational_neg(term.coef);
        if (!known)
            poly_add_term(variable_count, &result, term);
    }
    return result;
}

bool poly_equal(int variable_count, const Poly *a, const Poly *b)
{
    (void)variable_count;
    bool same = a->count == b->count;
    for (int i = 0; same && i < a->count; i++)
        same = rational_equal(a->terms[i].coef, b->terms[i].coef) && memcmp(a->terms[i].power, b->terms[i].power, sizeof a->terms[i].power) == 0;
    return same;
}

/* ---- text ---- */

static void factor_print(const char *name, int power, bool *first, Str *out)
{
    static const char *const raised[] = {"", "", "²", "³"};
    if (power == 0)
        return;
    str_printf(out, "%s%s%s", *first ? "" : "·", name, raised[power]);
    *first = false;
}

static void powers_print(int variable_count, const char *const *names, const unsigned char *power, bool *first, Str *out)
{
    for (int v = 0; v < variable_count; v++)
        factor_print(names[v], power[v], first, out);
}

static int64_t divisor(int64_t a, int64_t b)
{
    while (b != 0) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a < 0 ? -a : a;
}

/* What every term has in common: powers, and a number that leaves whole coefficients without a common divisor. */
static PolyTerm poly_content(int variable_count, const Poly *poly)
{
    PolyTerm content = poly->terms[0];
    int64_t num = 0, den = 1;
    for (int i = 0; i < poly->count; i++) {
        const PolyTerm *term = &poly->terms[i];
        num = divisor(num, term->coef.num);
        den = den / divisor(den, term->coef.den) * term->coef.den;
        for (int v = 0; v < variable_count; v++)
            if (term->power[v] < content.power[v])
                content.power[v] = term->power[v];
    }
    content.coef = rational(poly->terms[0].coef.num < 0 && poly->count == 1 ? -num : num, den);
    return content;
}

static void sum_print(int variable_count, const char *const *names, const Poly *poly, const PolyTerm *content, Str *out)
{
    for (int i = 0; i < poly->count; i++) {
        PolyTerm term = poly->terms[i];
        const Rational coef = rational_div(term.coef, content->coef);
        for (int v = 0; v < variable_count; v++)
            term.power[v] = (unsigned char)(term.power[v] - content->power[v]);
        const int64_t size = coef.num < 0 ? -coef.num : coef.num;
        bool first = size == 1 && degree(variable_count, &term) > 0;
        str_append(out, i == 0 ? (coef.num < 0 ? "−" : "") : coef.num < 0 ? " − " : " + ");
        if (!first)
            str_printf(out, "%" PRId64, size);
        powers_print(variable_count, names, term.power, &first, out);
    }
}

void poly_print(int variable_count, const char *const *names, const Poly *poly, Str *out)
{
    if (poly->count == 0) {
        str_push(out, '0');
        return;
    }
    const PolyTerm content = poly_content(variable_count, poly);
    const int64_t size = content.coef.num < 0 ? -content.coef.num : content.coef.num;
    const bool bare = degree(variable_count, &content) == 0, number = size != 1 || (bare && poly->count == 1);
    bool first = !number;
    if (content.coef.num < 0)
        str_append(out, "−");
    if (number)
        str_printf(out, "%" PRId64, size);
    powers_print(variable_count, names, content.power, &first, out);
    if (poly->count > 1) {
        const bool alone = first && content.coef.den == 1;
        str_append(out, alone ? "" : first ? "(" : "·(");
        sum_print(variable_count, names, poly, &content, out);
        str_append(out, alone ? "" : ")");
    }
    if (content.coef.den != 1)
        str_printf(out, " / %" PRId64, content.coef.den);
}
