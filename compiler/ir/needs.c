/* Needs: what is known to be whole or not negative, the list of what is not, and the sentences that say so. */
#include "ir/needs.h"

#include "ir/dim_internal.h"

#include <inttypes.h>
#include <string.h>

enum { STEPS_MAX = 16 };

/* ---- what is known --------------------------------------------------------------------------------------------------------- */

/* The first term of a that is not known to be whole, as a dimension; NULL if all are. */
static Dim broken_term(Dim a)
{
    for (int i = 0; i < a->count; i++) {
        const Dim term = dim_term(a, i);
        if (!term->integer)
            return term;
    }
    return NULL;
}

bool needs_whole(const Program *program, Dim dim)
{
    for (int step = 0; step < STEPS_MAX; step++) {
        const Dim broken = broken_term(dim);
        if (!broken)
            return !dim_overflowed(dim);
        bool reduced = false;
        for (int i = 0; i < program->need_count && !reduced; i++) {
            const Dim whole = program->needs[i].whole, first = whole ? broken_term(whole) : NULL;
            const Dim times = first ? dim_div(program->dims, broken, first) : NULL;
            reduced = times && times->integer;
            if (reduced)
                dim = dim_sub(program->dims, dim, dim_mul(program->dims, times, whole));
        }
        if (!reduced)
            return false;
    }
    return false;
}

/* A whole number above -1 is not negative. */
static bool whole_nonnegative(const Program *program, Dim dim)
{
    const Rational most = {(1 << 20) - 1, 1 << 20};
    Rational gap = most;
    for (int64_t q = 2; q <= 64; q++) { /* the finest grid that the coefficients lie on */
        const Dim scaled = dim_mul(program->dims, dim, dim_int(program->dims, q));
        if (scaled->integer) {
            gap = (Rational){q - 1, q};
            break;
        }
    }
    return !dim->integer && dim_proves_nonnegative(dim_add(program->dims, dim, dim_rational(program->dims, gap))) && needs_whole(program, dim);
}

static bool nonnegative(const Program *program, Dim dim, int depth)
{
    if (dim_proves_nonnegative(dim) || whole_nonnegative(program, dim))
        return true;
    if (depth == 0 || dim_overflowed(dim))
        return false;
    for (int i = 0; i < program->need_count; i++) {
        const Dim known = program->needs[i].value;
        if (program->needs[i].whole || known->count == 0 || dim->count == 0)
            continue;
        const Dim times = dim_div(program->dims, dim_term(dim, 0), dim_term(known, 0));
        if (times && dim_proves_nonnegative(times) && nonnegative(program, dim_sub(program->dims, dim, dim_mul(program->dims, times, known)), depth - 1))
            return true;
    }
    return false;
}

bool needs_nonnegative(const Program *program, Dim dim) { return nonnegative(program, dim, 4); }

/* ---- sentences ------------------------------------------------------------------------------------------------------------- */

static const char *symbol_name(int symbol)
{
    static const char *const NAMES[] = {"the batch", "the length", "the position", "the number of positions"};
    return symbol < DIM_S0 ? NAMES[symbol] : "the extent of an axis";
}

/* a*symbol + b, with a not 0. */
static bool dim_linear(Dim dim, int *symbol, Rational *a, Rational *b)
{
    *b = rational_int(0);
    if (dim->count == 2 && dim->terms[1].count == 0)
        *b = dim->terms[1].coef;
    else if (dim->count != 1)
        return false;
    const Monomial *first = &dim->terms[0];
    if (first->count != 1 || first->powers[0].power != 1 || first->powers[0].atom->kind != ATOM_SYMBOL)
        return false;
    *symbol = first->powers[0].atom->symbol;
    *a = first->coef;
    return rational_valid(*a) && rational_valid(*b);
}

/* "the batch b and the length l must make `1/4*b*l` …" */
static void general_sentence(Dim dim, const char *what, Str *out)
{
    bool first = true;
    for (int i = 0; i < DIM_SYMBOLS; i++) {
        if (!dim_uses(dim, i))
            continue;
        str_append(out, first ? "" : " and ");
        str_append(out, symbol_name(i));
        str_push(out, ' ');
        dim_print(dim_symbol(dim->table, i), out);
        first = false;
    }
    str_append(out, first ? "the program must make `" : " must make `");
    dim_print(dim, out);
    str_printf(out, "` %s", what);
}

static void whole_sentence(Dim dim, Str *out)
{
    int symbol;
    Rational a, b;
    if (dim_linear(dim, &symbol, &a, &b) && rational_is_int(b))
        str_printf(out, "%s must be a multiple of %" PRId64, symbol_name(symbol), a.den);
    else
        general_sentence(dim, "a whole number", out);
}

static void least_sentence(Dim dim, Str *out)
{
    int symbol;
    Rational a, b;
    if (!dim_linear(dim, &symbol, &a, &b)) {
        general_sentence(dim, "at least 0", out);
        return;
    }
    const Rational bound = rational_div(rational_neg(b), a);
    str_printf(out, "%s must be at %s %" PRId64, symbol_name(symbol), a.num > 0 ? "least" : "most", a.num > 0 ? rational_ceil(bound).num : rational_floor(bound).num);
}

/* ---- the list -------------------------------------------------------------------------------------------------------------- */

static void list(Program *program, SizeNeed need, const char *place)
{
    Str text = {0};
    if (place)
        str_printf(&text, "%s: ", place);
    if (need.whole)
        whole_sentence(need.whole, &text);
    else
        least_sentence(need.value, &text);
    need.text = arena_strdup(program->arena, str_text(&text));
    str_free(&text);
    program_need(program, need);
}

void needs_add(Program *program, Dim value, const char *place)
{
    if (!needs_nonnegative(program, value))
        list(program, (SizeNeed){.value = value}, place);
}

void needs_add_whole(Program *program, Dim dim, const char *place)
{
    if (!needs_whole(program, dim))
        list(program, (SizeNeed){.value = dim_sub(program->dims, dim_floor(program->dims, dim), dim_ceil(program->dims, dim)), .whole = dim}, place);
}

typedef struct Collector {
    Program *program;
    const char *(*place)(void *user, Span span);
    void *user;
    Span span;
} Collector;

static const char *place_of(const Collector *collector) { return collector->place && collector->span.file >= 0 ? collector->place(collector->user, collector->span) : NULL; }

static void want_whole(Collector *collector, Dim dim)
{
    if (dim && !needs_whole(collector->program, dim))
        needs_add_whole(collector->program, dim, place_of(collector));
}

static void want_extent(Collector *collector, Dim extent)
{
    want_whole(collector, extent);
    if (extent && !needs_nonnegative(collector->program, extent))
        needs_add(collector->program, extent, place_of(collector));
}

static void want_affine(Collector *collector, Affine affine)
{
    want_whole(collector, affine.base);
    for (int i = 0; i < affine.count; i++)
        want_whole(collector, affine.terms[i].coef);
}

static void want_access(Collector *collector, const Access *access)
{
    for (int i = 0; i < access->count; i++) {
        if (access->subs[i].read)
            want_access(collector, access->subs[i].read);
        else
            want_affine(collector, access->subs[i].affine);
    }
}

static void want_op(Collector *collector, const Op *op)
{
    collector->span = op->span;
    for (int i = 0; i < op->index_count; i++)
        want_extent(collector, op->indices[i].extent);
    for (int i = 0; i < op->cond_count; i++)
        want_affine(collector, op->conds[i]);
    for (int i = 0; i < op->expr_count; i++) {
        const Expr *expr = &op->exprs[i];
        want_whole(collector, expr->kind == EXPR_DIM ? expr->dim : NULL);
        if (expr->kind == EXPR_READ || expr->kind == EXPR_DRAW)
            want_access(collector, &expr->access);
        for (int k = 0; expr->kind == EXPR_DRAW && k < expr->access.count; k++)
            want_extent(collector, expr->draw_extent[k]);
    }
    if (op->kind == OP_CALL)
        return;
    want_extent(collector, op->top_k);
    want_access(collector, &op->out);
    if (op->kind == OP_RECUR && op->init.tensor >= 0)
        want_access(collector, &op->init);
}

void needs_collect(Program *program, const char *(*place)(void *user, Span span), void *user)
{
    Collector collector = {program, place, user, span_none()};
    for (int u = 0; u < program->unit_count; u++) {
        const Unit *unit = program->units[u];
        for (int i = 0; i < unit->op_count; i++)
            want_op(&collector, &unit->ops[i]);
        for (int t = 0; t < unit->tensor_count; t++) {
            collector.span = unit->tensors[t].span;
            for (int i = 0; i < unit->tensors[t].rank; i++)
                want_extent(&collector, unit->tensors[t].extent[i]);
            want_extent(&collector, unit->tensors[t].bound);
        }
    }
}

/* ---- asking ---------------------------------------------------------------------------------------------------------------- */

static bool bound(Dim value, const DimEnv *env)
{
    for (int i = 0; i < DIM_SYMBOLS; i++)
        if (i != DIM_P && dim_uses(value, i) && env->value[i] == 0)
            return false;
    return true;
}

const SizeNeed *needs_unmet(const Program *program, const DimEnv *env)
{
    for (int i = 0; i < program->need_count; i++)
        if (bound(program->needs[i].value, env) && dim_eval(program->needs[i].value, env) < 0)
            return &program->needs[i];
    return NULL;
}

const char *need_message(Arena *arena, const SizeNeed *need, const DimEnv *env)
{
    Str text = {0};
    int used = 0;
    str_append(&text, need->text);
    for (int i = 0; i < DIM_SYMBOLS; i++)
        used += dim_uses(need->value, i);
    for (int i = 0, told = 0; i < DIM_SYMBOLS; i++)
        if (dim_uses(need->value, i))
            str_printf(&text, "%s%s is %" PRId64, told++ ? ", " : "; ", used == 1 ? "it" : symbol_name(i), env->value[i]);
    const char *message = arena_strdup(arena, str_text(&text));
    str_free(&text);
    return message;
}
