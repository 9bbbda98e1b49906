/* Counts as expressions: each variable by itself at first, which says what powers there are, then all together at points drawn at random. What the expression
   was not made from must agree with it, or there is none. */
#include "doc/doc.h"

#include <math.h>
#include <string.h>

enum { BASES_MAX = 40, PROBES_WANTED = 4, DRAWS_PER_POINT = 40 };

typedef struct Point {
    Rational *value;
    double counts[COUNT_KINDS];
    bool ok;
} Point;

typedef struct Counting {
    Arena *arena;
    int count;
    const Variable *variables;
    CountFunction *function;
    void *context;
    int small; /* this variable stays below the other counts; -1: none does */
    uint64_t draws;
    int base[FIT_VARIABLES_MAX];
    Point probe[FIT_VARIABLES_MAX][VARIABLE_VALUES];
    int point_count, point_capacity;
    Point *points;
    int refused; /* points drawn that no instance has, one after another */
} Counting;

static uint64_t draw(Counting *c)
{
    c->draws = c->draws * 6364136223846793005u + 1442695040888963407u;
    return c->draws >> 33;
}

static Rational value_at(const Counting *c, int variable, int index)
{
    static const int64_t small[] = {1, 2, 4, 8, 12}, large[] = {16, 32, 64, 128, 16};
    if (c->small >= 0 && c->variables[variable].tall)
        return rational_int(variable == c->small ? small[index] : large[index]);
    return c->variables[variable].value[index];
}

static Point point_at(Counting *c, const int *index)
{
    Point point = {.value = ARENA_ARRAY(c->arena, Rational, c->count + 1)};
    for (int v = 0; v < c->count; v++)
        point.value[v] = value_at(c, v, index[v]);
    point.ok = c->function(c->context, point.value, point.counts);
    return point;
}

/* ---- one variable at a time ---- */

/* Probes every variable from this base; the smallest number of values that any of them may have there. */
static int probe_all(Counting *c)
{
    int least = VARIABLE_VALUES;
    for (int v = 0; v < c->count; v++) {
        int valid = 0, index[FIT_VARIABLES_MAX];
        memcpy(index, c->base, sizeof index);
        for (int i = 0; i < VARIABLE_VALUES; i++) {
            index[v] = i;
            c->probe[v][i] = point_at(c, index);
            valid += c->probe[v][i].ok;
        }
        least = valid < least ? valid : least;
        if (least == 0)
            break;
    }
    return least;
}

static bool base_find(Counting *c)
{
    int best = 0, kept[FIT_VARIABLES_MAX] = {0};
    for (int attempt = 0; attempt < BASES_MAX && best < PROBES_WANTED; attempt++) {
        for (int v = 0; v < c->count; v++)
            c->base[v] = attempt == 0 ? 2 : (int)(draw(c) % VARIABLE_VALUES);
        if (!point_at(c, c->base).ok)
            continue;
        const int least = probe_all(c);
        if (least > best) {
            best = least;
            memcpy(kept, c->base, sizeof kept);
        }
    }
    memcpy(c->base, kept, sizeof kept);
    return best > 1 && probe_all(c) > 1;
}

/* What is fitted: the count, or the count times a variable, where it is made by dividing by that. */
static double fitted_value(const Point *point, CountKind kind, int over)
{
    if (over < 0)
        return point->counts[kind];
    const double value = point->counts[kind] * rational_double(point->value[over]), whole = nearbyint(value);
    return fabs(value - whole) <= 1e-9 * fabs(value) ? whole : value;
}

/* The powers with which the variable occurs in this count. */
static bool powers_of(Counting *c, int variable, CountKind kind, int over, unsigned *powers)
{
    const Rational *points[VARIABLE_VALUES];
    double values[VARIABLE_VALUES];
    int count = 0;
    for (int i = 0; i < VARIABLE_VALUES; i++)
        if (c->probe[variable][i].ok) {
            points[count] = &c->probe[variable][i].value[variable];
            values[count++] = fitted_value(&c->probe[variable][i], kind, over);
        }
    Poly poly;
    const int highest = count - 2 < FIT_POWER_MAX ? count - 2 : FIT_POWER_MAX;
    *powers = 0;
    for (int power = 0; power <= highest; power++) { /* the lowest degree that serves */
        const unsigned support = (2u << power) - 1;
        if (!fit_poly(c->arena, 1, &support, count, points, values, &poly))
            continue;
        for (int i = 0; i < poly.count; i++)
            *powers |= 1u << poly.terms[i].power[0];
        *powers |= poly.count == 0;
        return true;
    }
    return false;
}

/* ---- all together ---- */

static bool points_grow(Counting *c, int wanted)
{
    if (wanted > c->point_capacity) {
        Point *grown = ARENA_ARRAY(c->arena, Point, 2 * wanted);
        if (c->point_count)
            memcpy(grown, c->points, (size_t)c->point_count * sizeof *grown);
        c->points = grown;
        c->point_capacity = 2 * wanted;
    }
    while (c->point_count < wanted && c->refused < DRAWS_PER_POINT * wanted) {
        int index[FIT_VARIABLES_MAX];
        for (int v = 0; v < c->count; v++)
            index[v] = (int)(draw(c) % VARIABLE_VALUES);
        const Point point = point_at(c, index);
        c->refused += !point.ok;
        if (point.ok)
            c->points[c->point_count++] = point;
    }
    return c->point_count >= wanted;
}

static bool count_fit(Counting *c, CountKind kind, int over, Poly *poly)
{
    unsigned support[FIT_VARIABLES_MAX];
    for (int v = 0; v < c->count; v++)
        if (!powers_of(c, v, kind, over, &support[v]))
            return false;
    const int terms = fit_terms(c->count, support);
    const int wanted = terms + FIT_HELD_OUT + terms / 4;
    if (terms > FIT_TERMS_MAX || !points_grow(c, wanted))
        return false;
    const Rational **points = ARENA_ARRAY(c->arena, const Rational *, wanted);
    double *values = ARENA_ARRAY(c->arena, double, wanted);
    for (int i = 0; i < wanted; i++) {
        points[i] = c->points[i].value;
        values[i] = fitted_value(&c->points[i], kind, over);
    }
    return fit_poly(c->arena, c->count, support, wanted, points, values, poly);
}

/* As it is, else as a quotient by the length: what is spread over the positions of a row. */
static bool count_open(Counting *c, CountKind kind, SymbolicCount *count)
{
    for (int over = -1; over < c->count && !count->known; over++) {
        if (over >= 0 && c->variables[over].role != VARIABLE_LENGTH)
            continue;
        count->known = count_fit(c, kind, over, &count->poly);
        count->over = over < 0 ? NULL : c->variables[over].name;
    }
    return count->known;
}

static bool all_known(const Counted *counted)
{
    for (int k = 0; k < COUNT_KINDS; k++)
        if (!counted->count[k].known)
            return false;
    return true;
}

/* With no variable kept small first; then with one of the counts after another, for what is still open. */
void count_symbolically(Arena *arena, int variable_count, const Variable *variables, CountFunction *function, void *context, Counted *counted)
{
    *counted = (Counted){.variable_count = variable_count};
    for (int v = 0; v < variable_count; v++)
        counted->names[v] = variables[v].name;
    double values[COUNT_KINDS];
    if (!function(context, NULL, values)) /* it cannot be elaborated as it stands */
        return;
    for (int k = 0; k < COUNT_KINDS; k++)
        counted->count[k].value = values[k];
    int tall = 0;
    for (int v = 0; v < variable_count; v++)
        tall += variables[v].tall;
    for (int small = -1; small < variable_count && !all_known(counted); small++) {
        if (small >= 0 && (!variables[small].tall || tall < 2))
            continue;
        Counting c = {.arena = arena, .count = variable_count, .variables = variables, .function = function, .context = context, .small = small, .draws = 12345};
        if (!base_find(&c))
            continue;
        for (int k = 0; k < COUNT_KINDS; k++) {
            SymbolicCount *count = &counted->count[k];
            if (count->known || !count_open(&c, (CountKind)k, count))
                continue;
            count->where = small >= 0 ? arena_printf(arena, "where `%s` is below the other counts", variables[small].name) : NULL;
        }
    }
}

static bool sample_counts(void *context, const Rational *values, double counts[COUNT_KINDS]) { return subject_counts(context, values, counts); }

void subject_count(Arena *arena, const Subject *subject, Counted *counted)
{
    Subject copy = *subject;
    count_symbolically(arena, subject->variable_count, subject->variables, sample_counts, &copy, counted);
}

void count_print(const Counted *counted, CountKind kind, Str *out)
{
    const SymbolicCount *count = &counted->count[kind];
    if (count->known) {
        str_append(out, count->over ? "(" : "");
        poly_print(counted->variable_count, counted->names, &count->poly, out);
        if (count->over)
            str_printf(out, ") / %s", count->over);
    } else {
        str_printf(out, "%.6g", count->value);
    }
}
