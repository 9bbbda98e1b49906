#include "ir/dim_internal.h"

#include "support/bug.h"
#include "support/hash.h"
#include "support/vec.h"

#include <string.h>

enum { ATOM_BUCKETS = 256, DIM_BUCKETS_FIRST = 256 };

struct DimTable {
    Arena *arena;
    int count, bucket_count; /* of dims; as many buckets as there were dimensions at most */
    DimNode **dims;
    Atom *atoms[ATOM_BUCKETS];
};

typedef VEC(Monomial) Terms;

DimTable *dim_table_new(Arena *arena)
{
    DimTable *table = ARENA_NEW(arena, DimTable);
    table->arena = arena;
    table->bucket_count = DIM_BUCKETS_FIRST;
    table->dims = ARENA_ARRAY(arena, DimNode *, table->bucket_count);
    return table;
}

static DimNode **bucket_of(DimTable *table, uint64_t hash) { return &table->dims[hash % (uint64_t)table->bucket_count]; }

/* Twice the buckets, so that chains stay short; the old ones stay in the arena. */
static void grow(DimTable *table)
{
    DimNode **old = table->dims;
    const int old_count = table->bucket_count;
    table->bucket_count *= 2;
    table->dims = ARENA_ARRAY(table->arena, DimNode *, table->bucket_count);
    for (int i = 0; i < old_count; i++)
        for (DimNode *node = old[i], *next; node; node = next) {
            next = node->next;
            node->next = *bucket_of(table, node->hash);
            *bucket_of(table, node->hash) = node;
        }
}

/* ---- order ---- */

static int atom_compare(const Atom *a, const Atom *b)
{
    if (a == b)
        return 0;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->kind == ATOM_SYMBOL)
        return a->symbol < b->symbol ? -1 : 1;
    const int first = dim_compare(a->a, b->a);
    return first || !a->b ? first : dim_compare(a->b, b->b);
}

static int monomial_degree(const Monomial *a)
{
    int degree = 0;
    for (int i = 0; i < a->count; i++)
        degree += a->powers[i].power;
    return degree;
}

/* -1 where a comes before b: higher degree, then more of the earlier atoms. Coefficients do not count. */
static int monomial_compare(const Monomial *a, const Monomial *b)
{
    const int degree_a = monomial_degree(a), degree_b = monomial_degree(b);
    if (degree_a != degree_b)
        return degree_a > degree_b ? -1 : 1;
    for (int i = 0; i < a->count && i < b->count; i++) {
        const int order = atom_compare(a->powers[i].atom, b->powers[i].atom);
        if (order)
            return order;
        if (a->powers[i].power != b->powers[i].power)
            return a->powers[i].power > b->powers[i].power ? -1 : 1;
    }
    return 0; /* equal degrees: neither can be a proper prefix */
}

int dim_compare(Dim a, Dim b)
{
    if (a == b)
        return 0;
    for (int i = 0; i < a->count && i < b->count; i++) {
        const int order = monomial_compare(&a->terms[i], &b->terms[i]);
        if (order)
            return order;
        const int coef = rational_compare(a->terms[i].coef, b->terms[i].coef);
        if (coef)
            return coef;
    }
    return (a->count > b->count) - (a->count < b->count);
}

/* ---- hash-consing ---- */

static bool terms_equal(const Monomial *a, const Monomial *b, int count)
{
    for (int i = 0; i < count; i++) {
        if (!rational_equal(a[i].coef, b[i].coef) || a[i].count != b[i].count)
            return false;
        for (int k = 0; k < a[i].count; k++)
            if (a[i].powers[k].atom != b[i].powers[k].atom || a[i].powers[k].power != b[i].powers[k].power)
                return false;
    }
    return true;
}

static uint64_t terms_hash(const Monomial *terms, int count)
{
    uint64_t hash = (uint64_t)count;
    for (int i = 0; i < count; i++) {
        hash = hash_fold(hash_fold(hash, (uint64_t)terms[i].coef.num), (uint64_t)terms[i].coef.den);
        for (int k = 0; k < terms[i].count; k++)
            hash = hash_fold(hash_fold(hash, terms[i].powers[k].atom->hash), (uint64_t)terms[i].powers[k].power);
    }
    return hash;
}

/* The dimension of sorted, combined terms. An invalid coefficient or too many terms make it the overflow dimension. */
static Dim dim_cons(DimTable *table, const Monomial *terms, int count)
{
    static const Monomial overflow = {.coef = {0, 0}};
    for (int i = 0; i < count; i++)
        if (!rational_valid(terms[i].coef) || count > DIM_TERMS_MAX) {
            terms = &overflow;
            count = 1;
        }
    const uint64_t hash = terms_hash(terms, count);
    for (DimNode *node = *bucket_of(table, hash); node; node = node->next)
        if (node->hash == hash && node->count == count && terms_equal(node->terms, terms, count))
            return node;
    if (table->count++ >= table->bucket_count)
        grow(table);
    DimNode **bucket = bucket_of(table, hash);
    DimNode *node = ARENA_NEW(table->arena, DimNode);
    *node = (DimNode){.table = table, .count = count, .hash = hash, .integer = true, .next = *bucket};
    node->terms = arena_memdup(table->arena, terms, (size_t)count * sizeof *terms);
    for (int i = 0; i < count; i++) {
        node->integer = node->integer && rational_is_int(terms[i].coef);
        for (int k = 0; k < terms[i].count; k++) {
            node->uses |= terms[i].powers[k].atom->uses;
            node->integer = node->integer && terms[i].powers[k].atom->integer;
        }
    }
    *bucket = node;
    return node;
}

static const Atom *atom_cons(DimTable *table, AtomKind kind, int symbol, Dim a, Dim b)
{
    uint64_t hash = hash_fold((uint64_t)kind, (uint64_t)symbol);
    hash = hash_fold(hash_fold(hash, a ? a->hash : 0), b ? b->hash : 0);
    Atom **bucket = &table->atoms[hash % ATOM_BUCKETS];
    for (Atom *atom = *bucket; atom; atom = atom->next)
        if (atom->kind == kind && atom->symbol == symbol && atom->a == a && atom->b == b)
            return atom;
    Atom *atom = ARENA_NEW(table->arena, Atom);
    *atom = (Atom){.kind = kind, .symbol = symbol, .a = a, .b = b, .hash = hash, .next = *bucket};
    atom->uses = kind == ATOM_SYMBOL ? (uint32_t)1 << symbol : a->uses | (b ? b->uses : 0);
    atom->integer = (kind == ATOM_SYMBOL && symbol < DIM_SYMBOLS) || kind == ATOM_CEIL || kind == ATOM_FLOOR || (b && a->integer && b->integer);
    *bucket = atom;
    return atom;
}

static Dim dim_of_atom(DimTable *table, const Atom *atom)
{
    const Power *power = arena_memdup(table->arena, &(Power){atom, 1}, sizeof(Power));
    return dim_cons(table, &(Monomial){rational_int(1), 1, power}, 1);
}

/* ---- arithmetic ---- */

Dim dim_rational(DimTable *table, Rational value) { return dim_cons(table, &(Monomial){.coef = value}, value.num != 0 || value.den == 0); }

Dim dim_int(DimTable *table, int64_t value) { return dim_rational(table, rational_int(value)); }

Dim dim_symbol(DimTable *table, int symbol)
{
    BFM_ASSERT(symbol >= 0 && symbol < DIM_ALL_SYMBOLS);
    return dim_of_atom(table, atom_cons(table, ATOM_SYMBOL, symbol, NULL, NULL));
}

static void push_term(Terms *terms, Monomial term)
{
    if (term.coef.num != 0 || term.coef.den == 0)
        vec_push(terms, term);
}

static Dim cons_and_free(DimTable *table, Terms *terms)
{
    const Dim result = dim_cons(table, terms->items, terms->count);
    vec_free(terms);
    return result;
}

static Dim add_scaled(DimTable *table, Dim a, Dim b, Rational scale)
{
    Terms terms = {0};
    int i = 0, k = 0;
    while (i < a->count || k < b->count) {
        const int order = i == a->count ? 1 : k == b->count ? -1 : monomial_compare(&a->terms[i], &b->terms[k]);
        Monomial term = order <= 0 ? a->terms[i] : b->terms[k];
        if (order > 0)
            term.coef = rational_mul(b->terms[k].coef, scale);
        else if (order == 0)
            term.coef = rational_add(a->terms[i].coef, rational_mul(b->terms[k].coef, scale));
        i += order <= 0;
        k += order >= 0;
        push_term(&terms, term);
    }
    return cons_and_free(table, &terms);
}

Dim dim_add(DimTable *table, Dim a, Dim b) { return a->count == 0 ? b : b->count == 0 ? a : add_scaled(table, a, b, rational_int(1)); }

Dim dim_sub(DimTable *table, Dim a, Dim b) { return b->count == 0 ? a : add_scaled(table, a, b, rational_int(-1)); }

static Monomial monomial_mul(DimTable *table, const Monomial *a, const Monomial *b)
{
    Monomial product = {.coef = rational_mul(a->coef, b->coef)};
    if (a->count + b->count == 0)
        return product;
    Power *powers = ARENA_ARRAY(table->arena, Power, a->count + b->count);
    for (int i = 0, k = 0; i < a->count || k < b->count;) {
        const int order = i == a->count ? 1 : k == b->count ? -1 : atom_compare(a->powers[i].atom, b->powers[k].atom);
        Power power = order <= 0 ? a->powers[i] : b->powers[k];
        if (order == 0)
            power.power += b->powers[k].power;
        if (power.power > DIM_POWER_MAX)
            product.coef = (Rational){0, 0};
        i += order <= 0;
        k += order >= 0;
        powers[product.count++] = power;
    }
    product.powers = powers;
    return product;
}

static Dim mul_monomial(DimTable *table, Dim a, const Monomial *by)
{
    Terms terms = {0};
    for (int i = 0; i < a->count; i++) /* an admissible order is kept by multiplication */
        push_term(&terms, monomial_mul(table, &a->terms[i], by));
    return cons_and_free(table, &terms);
}

static bool is_one(const Monomial *a) { return a->count == 0 && a->coef.num == 1 && a->coef.den == 1; }

Dim dim_mul(DimTable *table, Dim a, Dim b)
{
    if (dim_overflowed(a) || dim_overflowed(b) || (int64_t)a->count * b->count > (int64_t)DIM_TERMS_MAX * 8)
        return dim_rational(table, (Rational){0, 0});
    if (a->count < b->count) {
        const Dim swap = a;
        a = b;
        b = swap;
    }
    if (b->count == 1)
        return is_one(&b->terms[0]) ? a : is_one(&a->terms[0]) && a->count == 1 ? b : mul_monomial(table, a, &b->terms[0]);
    Dim sum = dim_int(table, 0);
    for (int i = 0; i < b->count; i++)
        sum = dim_add(table, sum, mul_monomial(table, a, &b->terms[i]));
    return sum;
}

/* a / b; false if b does not divide a. */
static bool monomial_div(DimTable *table, const Monomial *a, const Monomial *b, Monomial *quotient)
{
    *quotient = (Monomial){.coef = rational_div(a->coef, b->coef)};
    Power *powers = a->count ? ARENA_ARRAY(table->arena, Power, a->count) : NULL;
    int k = 0;
    for (int i = 0; i < a->count; i++) {
        Power power = a->powers[i];
        if (k < b->count && b->powers[k].atom == power.atom)
            power.power -= b->powers[k++].power;
        if (power.power < 0)
            return false;
        if (power.power > 0)
            powers[quotient->count++] = power;
    }
    quotient->powers = powers;
    return k == b->count;
}

Dim dim_div(DimTable *table, Dim a, Dim b)
{
    if (b->count == 0)
        return NULL;
    if (dim_overflowed(a) || dim_overflowed(b))
        return dim_rational(table, (Rational){0, 0});
    Dim quotient = dim_int(table, 0), rest = a;
    for (int steps = 0; rest->count > 0; steps++) {
        Monomial term;
        if (dim_overflowed(rest) || steps > DIM_TERMS_MAX || !monomial_div(table, &rest->terms[0], &b->terms[0], &term))
            return NULL;
        quotient = dim_add(table, quotient, dim_cons(table, &term, 1));
        rest = dim_sub(table, rest, mul_monomial(table, b, &term));
    }
    return quotient;
}

/* ---- atoms ---- */

static bool monomial_integer(const Monomial *a)
{
    bool integer = rational_is_int(a->coef);
    for (int i = 0; i < a->count; i++)
        integer = integer && a->powers[i].atom->integer;
    return integer;
}

/* The whole terms of a, and the whole part of its constant: what ceil and floor let pass. */
static Dim whole_part(DimTable *table, Dim a)
{
    Terms terms = {0};
    for (int i = 0; i < a->count; i++) {
        if (monomial_integer(&a->terms[i]))
            push_term(&terms, a->terms[i]);
        else if (a->terms[i].count == 0)
            push_term(&terms, (Monomial){.coef = rational_floor(a->terms[i].coef)});
    }
    return cons_and_free(table, &terms);
}

static Dim round_dim(DimTable *table, Dim a, AtomKind kind)
{
    if (dim_overflowed(a) || a->integer)
        return a;
    const Dim whole = whole_part(table, a), rest = dim_sub(table, a, whole);
    Rational value;
    if (dim_is_rational(rest, &value))
        return dim_add(table, whole, dim_rational(table, kind == ATOM_CEIL ? rational_ceil(value) : rational_floor(value)));
    return dim_add(table, whole, dim_of_atom(table, atom_cons(table, kind, 0, rest, NULL)));
}

Dim dim_ceil(DimTable *table, Dim a) { return round_dim(table, a, ATOM_CEIL); }

Dim dim_floor(DimTable *table, Dim a) { return round_dim(table, a, ATOM_FLOOR); }

static Dim choose(DimTable *table, Dim a, Dim b, AtomKind kind)
{
    if (dim_overflowed(a) || dim_overflowed(b))
        return dim_rational(table, (Rational){0, 0});
    if (dim_proves_nonnegative(dim_sub(table, a, b)))
        return kind == ATOM_MIN ? b : a;
    if (dim_proves_nonnegative(dim_sub(table, b, a)))
        return kind == ATOM_MIN ? a : b;
    const bool in_order = dim_compare(a, b) <= 0;
    return dim_of_atom(table, atom_cons(table, kind, 0, in_order ? a : b, in_order ? b : a));
}

Dim dim_min(DimTable *table, Dim a, Dim b) { return choose(table, a, b, ATOM_MIN); }

Dim dim_max(DimTable *table, Dim a, Dim b) { return choose(table, a, b, ATOM_MAX); }

/* ---- substitution ---- */

static Dim atom_rebuild(DimTable *table, const Atom *atom, Dim a, Dim b)
{
    switch (atom->kind) {
    case ATOM_SYMBOL: return dim_of_atom(table, atom);
    case ATOM_CEIL: return dim_ceil(table, a);
    case ATOM_FLOOR: return dim_floor(table, a);
    case ATOM_MIN: return dim_min(table, a, b);
    case ATOM_MAX: return dim_max(table, a, b);
    }
    BFM_BUG("atom kind %d", (int)atom->kind);
}

/* a with every atom at its top level replaced by image(atom). */
typedef struct Substitution {
    int symbol;       /* replaced everywhere, also inside atoms; -1: none */
    const Atom *atom; /* replaced at the top level; NULL: none */
    Dim by;
} Substitution;

static Dim substitute(DimTable *table, Dim a, const Substitution *subst)
{
    if (dim_overflowed(a) || (subst->symbol >= 0 && !(a->uses >> subst->symbol & 1)))
        return a;
    Dim sum = dim_int(table, 0);
    for (int i = 0; i < a->count; i++) {
        Dim product = dim_rational(table, a->terms[i].coef);
        for (int k = 0; k < a->terms[i].count; k++) {
            const Atom *atom = a->terms[i].powers[k].atom;
            Dim image;
            if (atom == subst->atom || (atom->kind == ATOM_SYMBOL && atom->symbol == subst->symbol))
                image = subst->by;
            else if (subst->atom || !(atom->uses >> subst->symbol & 1))
                image = dim_of_atom(table, atom);
            else
                image = atom_rebuild(table, atom, substitute(table, atom->a, subst), atom->b ? substitute(table, atom->b, subst) : NULL);
            for (int p = 0; p < a->terms[i].powers[k].power; p++)
                product = dim_mul(table, product, image);
        }
        sum = dim_add(table, sum, product);
    }
    return sum;
}

Dim dim_substitute(DimTable *table, Dim a, int symbol, Dim by) { return substitute(table, a, &(Substitution){.symbol = symbol, .by = by}); }

Dim dim_replace_atom(DimTable *table, Dim a, const Atom *atom, Dim by) { return substitute(table, a, &(Substitution){.symbol = -1, .atom = atom, .by = by}); }

Dim dim_term(Dim a, int number) { return dim_cons(a->table, &a->terms[number], 1); }

const Atom *dim_first_atom(Dim a)
{
    for (int i = 0; i < a->count; i++)
        for (int k = 0; k < a->terms[i].count; k++)
            if (a->terms[i].powers[k].atom->kind != ATOM_SYMBOL)
                return a->terms[i].powers[k].atom;
    return NULL;
}

/* ---- queries ---- */

bool dim_overflowed(Dim a) { return a->count == 1 && !rational_valid(a->terms[0].coef); }

bool dim_is_rational(Dim a, Rational *value)
{
    if (a->count > 1 || dim_overflowed(a) || (a->count == 1 && a->terms[0].count > 0))
        return false;
    if (value)
        *value = a->count ? a->terms[0].coef : rational_int(0);
    return true;
}

bool dim_is_int(Dim a, int64_t *value)
{
    Rational rational_value;
    if (!dim_is_rational(a, &rational_value) || !rational_is_int(rational_value))
        return false;
    if (value)
        *value = rational_value.num;
    return true;
}

bool dim_is(Dim a, int64_t value)
{
    int64_t found;
    return dim_is_int(a, &found) && found == value;
}

static int64_t common_multiple(int64_t a, int64_t b)
{
    int64_t x = a, y = b, product;
    while (y) {
        const int64_t rest = x % y;
        x = y;
        y = rest;
    }
    return x > 0 && !__builtin_mul_overflow(a / x, b, &product) && product <= INT32_MAX ? product : 0;
}

static int64_t monomial_denominator(const Monomial *a)
{
    int64_t q = a->coef.den;
    for (int i = 0; i < a->count; i++) {
        const Atom *atom = a->powers[i].atom;
        const int64_t of_atom = atom->integer ? 1 : common_multiple(dim_denominator(atom->a), dim_denominator(atom->b));
        for (int k = 0; k < a->powers[i].power && of_atom != 1; k++)
            if (of_atom == 0 || __builtin_mul_overflow(q, of_atom, &q) || q > INT32_MAX)
                return 0;
    }
    return q;
}

int64_t dim_denominator(Dim a)
{
    int64_t q = 1;
    for (int i = 0; i < a->count && q; i++)
        q = common_multiple(q, monomial_denominator(&a->terms[i]));
    return q;
}

bool dim_uses(Dim a, int symbol) { return a->uses >> symbol & 1; }

bool dim_is_static(Dim a) { return a->uses == 0; }

uint64_t dim_hash(Dim a) { return a->hash; }

static Rational atom_eval(const Atom *atom, const DimEnv *env)
{
    if (atom->kind == ATOM_SYMBOL)
        return rational_int(atom->symbol < DIM_SYMBOLS ? env->value[atom->symbol] : 0);
    const Rational a = dim_eval_exact(atom->a, env);
    if (atom->kind == ATOM_CEIL)
        return rational_ceil(a);
    if (atom->kind == ATOM_FLOOR)
        return rational_floor(a);
    const Rational b = dim_eval_exact(atom->b, env);
    if (!rational_valid(a) || !rational_valid(b))
        return (Rational){0, 0};
    return (rational_compare(a, b) <= 0) == (atom->kind == ATOM_MIN) ? a : b;
}

Rational dim_eval_exact(Dim a, const DimEnv *env)
{
    Rational sum = rational_int(0);
    for (int i = 0; i < a->count; i++) {
        Rational product = a->terms[i].coef;
        for (int k = 0; k < a->terms[i].count; k++) {
            const Rational value = atom_eval(a->terms[i].powers[k].atom, env);
            for (int p = 0; p < a->terms[i].powers[k].power; p++)
                product = rational_mul(product, value);
        }
        sum = rational_add(sum, product);
    }
    return sum;
}

int64_t dim_eval(Dim a, const DimEnv *env)
{
    const Rational value = dim_eval_exact(a, env);
    return rational_valid(value) ? rational_floor(value).num : -1;
}
