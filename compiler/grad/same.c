/* Formulas are compared by their structure after names have been replaced by what they stand for. A formula is an expression of some operation whose indices are affines in
   those of the operation asked about, its root; an index over one point is that point. Sums of products are compared addend by addend: what a reduction runs over has an index of its
   own behind those of the root, the same wherever the same reduction is read. */
#include "grad/same.h"

#include <math.h>

enum { STEPS_MAX = 2000, CONTEXTS_MAX = 8, BOUND_MAX = 32, ADDENDS_MAX = 24, FACTORS_MAX = 14 }; /* of one question: beyond that the answer is no */

static const double NEGLIGIBLE = 1e-5; /* what is added to a divisor against a division by zero */

/* An operation at the points `by`. */
typedef struct Context {
    const Op *op;
    const Affine *by; /* [op->index_count] */
} Context;

/* What a reduction runs over. */
typedef struct Bound {
    const Op *op;
    int index;
} Bound;

typedef struct Same {
    const Unit *unit;
    const Op *root;
    const Affine *identity;       /* [root->index_count] */
    Context within[CONTEXTS_MAX]; /* whose domains hold: the root's, and those of the reductions that are looked into */
    int depth;
    Bound bound[BOUND_MAX]; /* index root->index_count + k */
    int bound_count;
    int steps;
    bool whole;  /* sums that are read are not looked into */
    bool partly; /* a product of two sums over the same index was met: it is left as it is, or, if open_products, multiplied out with such sums whole */
    bool open_products;
    Arena *sums; /* of a question about sums */
} Same;

typedef struct Formula {
    const Op *op;
    int id;
    const Affine *by; /* [op->index_count] */
} Formula;

static const Expr *expr_of(Formula term) { return &term.op->exprs[term.id]; }

static Formula operand(Formula term, int k) { return (Formula){term.op, expr_of(term)->arg[k], term.by}; }

/* One point: an extent of 1, or a length that is at most 1. */
static bool is_one(const Program *program, Dim extent)
{
    return dim_is(extent, 1) || (program->most[DIM_L] == 1 && (extent == dim_symbol(program->dims, DIM_L) || extent == dim_symbol(program->dims, DIM_N)));
}

static bool same(Same *s, Formula a, Formula b);

/* ---- subscripts ---- */

static bool same_access(Same *s, const Access *a, const Affine *by_a, const Access *b, const Affine *by_b)
{
    Program *program = s->unit->program;
    if (a->tensor != b->tensor || a->count != b->count || ++s->steps > STEPS_MAX)
        return false;
    for (int i = 0; i < a->count; i++) {
        const Sub *x = &a->subs[i], *y = &b->subs[i];
        if (x->span != y->span)
            return false;
        if (a->tensor >= 0 && is_one(program, access_extent(s->unit, a, i)))
            continue;
        if (!x->read != !y->read)
            return false;
        if (x->read ? !same_access(s, x->read, by_a, y->read, by_b) : !affine_equal(affine_substitute(program, x->affine, by_a), affine_substitute(program, y->affine, by_b)))
            return false;
    }
    return true;
}

static bool root_subscribes(Same *s, const Access *in, const Access *wanted, const Affine *by)
{
    for (int i = 0; i < in->count; i++)
        if (in->subs[i].read && (same_access(s, in->subs[i].read, s->identity, wanted, by) || root_subscribes(s, in->subs[i].read, wanted, by)))
            return true;
    return false;
}

/* ---- domains ---- */

/* The root reads through this integer: where it is none the root has no point. */
static bool exists_in_root(Same *s, const Access *wanted, const Affine *by)
{
    for (int id = 0; id < s->root->expr_count; id++)
        if (s->root->exprs[id].kind == EXPR_READ && root_subscribes(s, &s->root->exprs[id].access, wanted, by))
            return true;
    return root_subscribes(s, &s->root->out, wanted, by);
}

static bool guard_implied(Same *s, Formula guard)
{
    for (int c = 0; c < s->depth; c++)
        for (int g = 0; g < s->within[c].op->guard_count; g++)
            if (same(s, guard, (Formula){s->within[c].op, s->within[c].op->guards[g], s->within[c].by}))
                return true;
    const Expr *expr = expr_of(guard);
    return expr->kind == EXPR_EXISTS && expr_of(operand(guard, 0))->kind == EXPR_READ && exists_in_root(s, &expr_of(operand(guard, 0))->access, guard.by);
}

static bool cond_implied(Same *s, Affine cond)
{
    Dim base;
    if (affine_is_const(cond, &base) && dim_proves_nonnegative(base))
        return true;
    for (int k = 0; k < s->depth; k++)
        for (int c = 0; c < s->within[k].op->cond_count; c++)
            if (affine_equal(cond, affine_substitute(s->unit->program, s->within[k].op->conds[c], s->within[k].by)))
                return true;
    return false;
}

/* Every point of the root lies in the domain of what it reads there. */
static bool domain_implied(Same *s, const Op *op, const Affine *by)
{
    for (int c = 0; c < op->cond_count; c++)
        if (!cond_implied(s, affine_substitute(s->unit->program, op->conds[c], by)))
            return false;
    for (int g = 0; g < op->guard_count; g++)
        if (!guard_implied(s, (Formula){op, op->guards[g], by}))
            return false;
    return true;
}

/* ---- definitions ---- */

/* The conditions leave one point of the index: another index of the same extent, or 0. */
static bool is_pinned(Program *program, const Op *op, int index, Affine *to)
{
    const Affine self = affine_index(program, index), zero = affine_const(program, dim_int(program->dims, 0));
    for (int i = -1; i < op->index_count; i++) {
        if (i == index || (i >= 0 && op->indices[i].extent != op->indices[index].extent))
            continue;
        *to = i < 0 ? zero : affine_index(program, i);
        bool below = i < 0, above = false;
        for (int c = 0; c < op->cond_count; c++) {
            below = below || affine_equal(op->conds[c], affine_sub(program, self, *to));
            above = above || affine_equal(op->conds[c], affine_sub(program, *to, self));
        }
        if (below && above)
            return true;
    }
    return false;
}

/* Indices of the nest that defines what is read, as far as the subscripts say which they are. False: not seen. */
static bool indices_of(Same *s, Formula term, const Op *op, Affine *by, bool *known)
{
    Program *program = s->unit->program;
    const Access *read = &expr_of(term)->access;
    for (int k = 0; k < read->count; k++) {
        int index = -1;
        const bool bare = op->out.subs[k].span == 1 && read->subs[k].span == 1 && !op->out.subs[k].read && affine_is_index(op->out.subs[k].affine, &index);
        if (!bare || known[index])
            return false;
        known[index] = true;
        if (is_one(program, op->indices[index].extent))
            continue;
        if (read->subs[k].read)
            return false;
        by[index] = affine_substitute(program, read->subs[k].affine, term.by);
    }
    for (int i = 0; i < op->index_count; i++)
        if (is_one(program, op->indices[i].extent)) {
            by[i] = affine_const(program, dim_int(program->dims, 0));
            known[i] = true;
        }
    for (int i = 0; i < op->index_count; i++) {
        Affine to;
        int other;
        if (known[i] || !is_pinned(program, op, i, &to) || (affine_is_index(to, &other) && !known[other]))
            continue;
        by[i] = affine_substitute(program, to, by);
        known[i] = true;
    }
    return true;
}

/* The nest that defines what is read, NULL: none. */
static const Op *nest_of(Same *s, Formula term)
{
    const Access *read = &expr_of(term)->access;
    const Tensor *tensor = &s->unit->tensors[read->tensor];
    if (tensor->def < 0 || tensor->type != T_REAL || ++s->steps > STEPS_MAX)
        return NULL;
    const Op *op = &s->unit->ops[tensor->def];
    return op->kind == OP_NEST && op->init.tensor < 0 && op->out.count == read->count ? op : NULL;
}

/* What the tensor read is defined as at these subscripts, where that is one expression. */
static bool definition_of(Same *s, Formula *term)
{
    const Op *op = nest_of(s, *term);
    if (!op)
        return false;
    Affine *by = ARENA_ARRAY(s->unit->program->arena, Affine, op->index_count + 1);
    bool *known = ARENA_ARRAY(s->unit->program->arena, bool, op->index_count + 1);
    if (!indices_of(s, *term, op, by, known))
        return false;
    for (int i = 0; i < op->index_count; i++)
        if (!known[i])
            return false;
    if (!domain_implied(s, op, by))
        return false;
    *term = (Formula){op, op->body, by};
    return true;
}

static Formula resolved(Same *s, Formula term)
{
    while (expr_of(term)->kind == EXPR_READ && definition_of(s, &term))
        ;
    return term;
}

static bool same(Same *s, Formula a, Formula b)
{
    Program *program = s->unit->program;
    if (++s->steps > STEPS_MAX)
        return false;
    a = resolved(s, a);
    b = resolved(s, b);
    const Expr *x = expr_of(a), *y = expr_of(b);
    if (x->kind != y->kind)
        return false;
    switch ((int)x->kind) {
    case EXPR_CONST: return x->value == y->value;
    case EXPR_DIM: return x->dim == y->dim;
    case EXPR_POS: return affine_equal(affine_substitute(program, affine_index(program, x->index), a.by), affine_substitute(program, affine_index(program, y->index), b.by));
    case EXPR_READ: return same_access(s, &x->access, a.by, &y->access, b.by);
    case EXPR_DRAW: return x->tag == y->tag && same_access(s, &x->access, a.by, &y->access, b.by);
    }
    for (int k = 0; k < scalar_arity(x->kind); k++)
        if (!same(s, operand(a, k), operand(b, k)))
            return false;
    return true;
}

/* ---- what cancels ---- */

static bool is_negligible(Formula term) { return expr_of(term)->kind == EXPR_CONST && fabs(expr_of(term)->value) <= NEGLIGIBLE; }

/* The divisor without what keeps it from 0. */
static Formula divisor(Same *s, Formula term)
{
    term = resolved(s, term);
    for (int k = 0; expr_of(term)->kind == EXPR_ADD && k < 2; k++)
        if (is_negligible(operand(term, 1 - k)))
            return operand(term, k);
    return term;
}

static bool divides(Same *s, Formula part, Formula by)
{
    part = resolved(s, part);
    return expr_of(part)->kind == EXPR_DIV && expr_of(operand(part, 0))->kind == EXPR_CONST && same(s, divisor(s, operand(part, 1)), by);
}

/* The root at its own points. */
static Same same_begin(const Unit *unit, const Op *op)
{
    Program *program = unit->program;
    Affine *identity = ARENA_ARRAY(program->arena, Affine, op->index_count + 1);
    for (int i = 0; i < op->index_count; i++)
        identity[i] = is_one(program, op->indices[i].extent) ? affine_const(program, dim_int(program->dims, 0)) : affine_index(program, i);
    for (int i = 0; i < op->index_count; i++) {
        Affine to;
        int other;
        if (is_pinned(program, op, i, &to) && !(affine_is_index(to, &other) && other > i)) /* of two that are equal the later one goes */
            identity[i] = affine_substitute(program, to, identity);
    }
    return (Same){.unit = unit, .root = op, .identity = identity, .within = {{op, identity}}, .depth = 1};
}

bool expression_cancels(const Unit *unit, const Op *op, int id)
{
    const ExprKind kind = op->exprs[id].kind;
    if (kind != EXPR_SUB && kind != EXPR_DIV && kind != EXPR_MUL)
        return false;
    Same s = same_begin(unit, op);
    const Formula a = operand((Formula){op, id, s.identity}, 0), b = operand((Formula){op, id, s.identity}, 1);
    if (kind == EXPR_MUL)
        return divides(&s, a, b) || divides(&s, b, a);
    return same(&s, a, kind == EXPR_DIV ? divisor(&s, b) : b);
}

/* ---- sums of products ---- */

typedef struct Sum Sum;

typedef struct Factor {
    Formula of;
    bool inverse;    /* 1 / of */
    const Sum *rest; /* of a reduction from which addends were taken out: what it is taken of without them */
} Factor;

typedef struct Addend {
    double coefficient;
    int count;
    Factor factors[FACTORS_MAX];
    int sums; /* the product is summed over what these run over */
    Context over[FACTORS_MAX];
} Addend;

struct Sum {
    bool lost;    /* addends cancelled or were 0 */
    bool too_big; /* not written as a sum */
    int count, capacity;
    Addend *addends;
};

static Sum *sum_new(Same *s) { return ARENA_NEW(s->sums, Sum); }

static void append(Same *s, Sum *to, Addend addend)
{
    if (to->count == to->capacity) {
        Addend *more = ARENA_ARRAY(s->sums, Addend, 2 * to->capacity + 1);
        for (int i = 0; i < to->count; i++)
            more[i] = to->addends[i];
        to->addends = more;
        to->capacity = 2 * to->capacity + 1;
    }
    to->addends[to->count++] = addend;
}

static bool same_factors(Same *s, const Addend *a, const Addend *b)
{
    bool used[FACTORS_MAX] = {false};
    for (int i = 0; i < a->count; i++) {
        int k = 0;
        while (k < b->count &&
               (used[k] || a->factors[i].inverse != b->factors[k].inverse || !a->factors[i].rest != !b->factors[k].rest || !same(s, a->factors[i].of, b->factors[k].of)))
            k++;
        if (k == b->count)
            return false;
        used[k] = true;
    }
    return a->count == b->count;
}

static bool same_sums(const Addend *a, const Addend *b)
{
    for (int k = 0; k < a->sums; k++) {
        if (k >= b->sums || a->over[k].op != b->over[k].op)
            return false;
        for (int i = 0; i < a->over[k].op->index_count; i++)
            if (!affine_equal(a->over[k].by[i], b->over[k].by[i]))
                return false;
    }
    return a->sums == b->sums;
}

/* Addends that differ in their coefficient alone become one, and none where that is 0. */
static void add(Same *s, Sum *to, Addend addend)
{
    for (int i = 0; i < to->count; i++) {
        Addend *known = &to->addends[i];
        if (!same_sums(known, &addend) || !same_factors(s, known, &addend))
            continue;
        known->coefficient += addend.coefficient;
        if (fabs(known->coefficient) <= 1e-12 * fabs(addend.coefficient)) {
            *known = to->addends[--to->count];
            to->lost = true;
        }
        return;
    }
    if (addend.coefficient == 0)
        to->lost = true;
    else if (to->count < ADDENDS_MAX)
        append(s, to, addend);
    else
        to->too_big = true;
}

static void add_all(Same *s, Sum *to, const Sum *from, double by)
{
    to->lost = to->lost || from->lost;
    to->too_big = to->too_big || from->too_big;
    for (int i = 0; i < from->count; i++) {
        Addend addend = from->addends[i];
        addend.coefficient *= by;
        add(s, to, addend);
    }
}

static void add_factor(Same *s, Sum *to, Factor factor) { add(s, to, (Addend){.coefficient = 1, .count = 1, .factors = {factor}}); }

static bool sums_over(const Addend *addend, const Op *op)
{
    for (int k = 0; k < addend->sums; k++)
        if (addend->over[k].op == op)
            return true;
    return false;
}

static void multiply(Same *s, Sum *to, const Addend *a, const Addend *b)
{
    Addend product = *a;
    product.coefficient *= b->coefficient;
    to->too_big = to->too_big || a->count + b->count > FACTORS_MAX || a->sums + b->sums > FACTORS_MAX;
    for (int i = 0; i < b->count && !to->too_big; i++)
        product.factors[product.count++] = b->factors[i];
    for (int k = 0; k < b->sums && !to->too_big; k++) {
        to->too_big = sums_over(a, b->over[k].op); /* two sums over the same index are no sum over one */
        product.over[product.sums++] = b->over[k];
    }
    if (!to->too_big)
        add(s, to, product);
}

static Sum *expand(Same *s, Formula term);

static void multiply_all(Same *s, Sum *to, Formula term)
{
    const Sum *a = expand(s, operand(term, 0)), *b = expand(s, operand(term, 1));
    to->too_big = a->too_big || b->too_big;
    to->lost = a->lost || b->lost || a->count == 0 || b->count == 0;
    for (int i = 0; i < a->count; i++)
        for (int k = 0; k < b->count && !to->too_big; k++)
            multiply(s, to, &a->addends[i], &b->addends[k]);
}

static void expand_product(Same *s, Sum *to, Formula term)
{
    multiply_all(s, to, term);
    if (!to->too_big || s->whole)
        return;
    *to = (Sum){0};
    s->partly = true;
    if (!s->open_products) {
        add(s, to, (Addend){.coefficient = 1, .count = 2, .factors = {{.of = operand(term, 0)}, {.of = operand(term, 1)}}});
        return;
    }
    s->whole = true;
    multiply_all(s, to, term);
    s->whole = false;
}

static void expand_quotient(Same *s, Sum *to, Formula term)
{
    const Sum *a = expand(s, operand(term, 0));
    const Formula by = resolved(s, operand(term, 1));
    Addend divisor = {.coefficient = 1, .count = 1, .factors = {{.of = by, .inverse = true}}};
    if (expr_of(by)->kind == EXPR_CONST && expr_of(by)->value != 0)
        divisor = (Addend){.coefficient = 1 / expr_of(by)->value};
    to->lost = a->lost;
    to->too_big = a->too_big;
    for (int i = 0; i < a->count && !to->too_big; i++)
        multiply(s, to, &a->addends[i], &divisor);
}

/* ---- what depends on a bound index ---- */

static bool affine_has(Affine affine, int from)
{
    for (int t = 0; t < affine.count; t++)
        if (affine.terms[t].index == from)
            return true;
    return false;
}

static bool access_has(Same *s, const Access *access, const Affine *by, int index)
{
    for (int k = 0; k < access->count; k++) {
        const Sub *sub = &access->subs[k];
        if (sub->read ? access_has(s, sub->read, by, index) : affine_has(affine_substitute(s->unit->program, sub->affine, by), index))
            return true;
    }
    return false;
}

static bool formula_has(Same *s, Formula term, int index)
{
    const Expr *expr = expr_of(term);
    if (++s->steps > STEPS_MAX)
        return true;
    if (expr->kind == EXPR_POS)
        return affine_has(term.by[expr->index], index);
    if (expr->kind == EXPR_READ || expr->kind == EXPR_DRAW)
        return access_has(s, &expr->access, term.by, index);
    for (int k = 0; k < scalar_arity(expr->kind); k++)
        if (formula_has(s, operand(term, k), index))
            return true;
    return false;
}

static bool addend_has(Same *s, const Addend *addend, int index)
{
    for (int i = 0; i < addend->count; i++)
        if (formula_has(s, addend->factors[i].of, index))
            return true;
    for (int k = 0; k < addend->sums; k++)
        for (int i = 0; i < addend->over[k].op->index_count; i++)
            if (affine_has(addend->over[k].by[i], index))
                return true;
    return false;
}

/* ---- reductions ---- */

static int bound_index(Same *s, const Op *op, int index)
{
    for (int k = 0; k < s->bound_count; k++)
        if (s->bound[k].op == op && s->bound[k].index == index)
            return s->root->index_count + k;
    if (s->bound_count == BOUND_MAX)
        return -1;
    s->bound[s->bound_count] = (Bound){op, index};
    return s->root->index_count + s->bound_count++;
}

/* What a reduction that is read runs over: bound indices for those that the subscripts leave open. Conditions on the others hold. */
static bool open_reduction(Same *s, Formula term, const Op *op, Affine *by, bool *open)
{
    Program *program = s->unit->program;
    bool *known = ARENA_ARRAY(program->arena, bool, op->index_count + 1);
    if (s->depth == CONTEXTS_MAX || !indices_of(s, term, op, by, known))
        return false;
    for (int i = 0; i < op->index_count; i++) {
        const int index = known[i] ? 0 : bound_index(s, op, i);
        if (index < 0)
            return false;
        open[i] = !known[i];
        if (open[i])
            by[i] = affine_index(program, index);
    }
    for (int c = 0; c < op->cond_count; c++) {
        bool free = true;
        for (int t = 0; t < op->conds[c].count; t++)
            free = free && !open[op->conds[c].terms[t].index];
        if (free && !cond_implied(s, affine_substitute(program, op->conds[c], by)))
            return false;
    }
    for (int g = 0; g < op->guard_count; g++) {
        bool free = true;
        for (int i = 0; i < op->index_count; i++)
            free = free && !(open[i] && formula_has(s, (Formula){op, op->guards[g], by}, bound_index(s, op, i)));
        if (free && !guard_implied(s, (Formula){op, op->guards[g], by}))
            return false;
    }
    return true;
}

static bool has_open(Same *s, const Addend *addend, const Op *op, const bool *open)
{
    for (int i = 0; i < op->index_count; i++)
        if (open[i] && addend_has(s, addend, bound_index(s, op, i)))
            return true;
    return false;
}

/* How many points a sum has: a number that no condition decides. */
static bool points_of(const Op *op, const bool *open, double *points)
{
    *points = 1;
    for (int i = 0; i < op->index_count; i++) {
        int64_t extent = 1;
        if (open[i] && !dim_is_int(op->indices[i].extent, &extent))
            return false;
        *points *= (double)extent;
    }
    return op->cond_count == 0 && op->guard_count == 0;
}

/* The points of one context lie in the domain of the other. */
static bool lies_in(const Same *s, Context point, Context domain)
{
    Same inner = *s;
    inner.depth = 1;
    inner.within[0] = point;
    return domain_implied(&inner, domain.op, domain.by);
}

/* The log-sum-exp `op`, read at these subscripts, at the points of the sum `at`: its open indices are those of the sum, in order. */
static bool is_aligned(Same *s, Formula read, const Op *op, Affine *by, Context at, const bool *open)
{
    bool *known = ARENA_ARRAY(s->unit->program->arena, bool, op->index_count + 1);
    int next = 0;
    if (!indices_of(s, read, op, by, known))
        return false;
    for (int i = 0; i < op->index_count; i++) {
        if (known[i])
            continue;
        while (next < at.op->index_count && !open[next])
            next++;
        if (next == at.op->index_count || at.op->indices[next].extent != op->indices[i].extent)
            return false;
        by[i] = at.by[next++];
    }
    while (next < at.op->index_count && !open[next])
        next++;
    return next == at.op->index_count && lies_in(s, at, (Context){op, by}) && lies_in(s, (Context){op, by}, at);
}

/* exp(score - lse score) with the log-sum-exp over what the sum runs over: the shares add up to 1. */
static bool is_share(Same *s, Formula term, Context at, const bool *open)
{
    if (expr_of(term)->kind != EXPR_EXP)
        return false;
    const Sum *argument = expand(s, operand(term, 0));
    for (int i = 0; i < argument->count && !argument->too_big; i++) {
        const Addend *addend = &argument->addends[i];
        if (addend->coefficient != -1 || addend->count != 1 || !addend->factors[0].rest)
            continue;
        const Formula read = addend->factors[0].of;
        const Op *op = nest_of(s, read);
        Affine *by = ARENA_ARRAY(s->unit->program->arena, Affine, op ? op->index_count + 1 : 1);
        if (!op || op->reducer != REDUCE_LSE || !is_aligned(s, read, op, by, at, open))
            continue;
        Sum *difference = sum_new(s);
        add_all(s, difference, argument, 1);
        add_all(s, difference, expand(s, (Formula){op, op->body, by}), -1);
        add_all(s, difference, expand(s, read), 1);
        return difference->count == 0 && !difference->too_big;
    }
    return false;
}

/* Takes out the one factor that depends on what a sum runs over, if it is a share of a whole. */
static bool take_share(Same *s, Addend *addend, Context at, const bool *open)
{
    int found = -1;
    for (int f = 0; f < addend->count; f++) {
        const Addend one = {.count = 1, .factors = {addend->factors[f]}};
        if (!has_open(s, &one, at.op, open))
            continue;
        if (found >= 0)
            return false;
        found = f;
    }
    if (found < 0 || addend->sums > 0 || addend->factors[found].inverse || !is_share(s, addend->factors[found].of, at, open))
        return false;
    addend->factors[found] = addend->factors[--addend->count];
    return true;
}

static bool shares_a_condition(const Op *op, int index, const bool *open)
{
    for (int c = 0; c < op->cond_count; c++) {
        bool has = false, runs = false;
        for (int t = 0; t < op->conds[c].count; t++) {
            has = has || op->conds[c].terms[t].index == index;
            runs = runs || open[op->conds[c].terms[t].index];
        }
        if (has && runs)
            return true;
    }
    return op->guard_count > 0;
}

/* What decides which points a sum runs over: the other indices are as good as 0. */
static Context domain_of(const Same *s, Context at, const bool *open)
{
    Program *program = s->unit->program;
    Affine *by = ARENA_ARRAY(program->arena, Affine, at.op->index_count + 1);
    for (int i = 0; i < at.op->index_count; i++)
        by[i] = open[i] || shares_a_condition(at.op, i, open) ? at.by[i] : affine_const(program, dim_int(program->dims, 0));
    return (Context){at.op, by};
}

static void expand_sum(Same *s, Sum *to, const Sum *body, Context at, const bool *open)
{
    double points;
    const bool counted = points_of(at.op, open, &points);
    to->lost = body->lost;
    to->too_big = body->too_big;
    for (int i = 0; i < body->count && !to->too_big; i++) {
        Addend addend = body->addends[i];
        if (counted && !has_open(s, &addend, at.op, open))
            addend.coefficient *= points;
        else if (take_share(s, &addend, at, open))
            to->lost = true;
        else if (addend.sums < FACTORS_MAX)
            addend.over[addend.sums++] = domain_of(s, at, open);
        else
            to->too_big = true;
        add(s, to, addend);
    }
}

/* A maximum, a minimum or a log-sum-exp: what is the same at all its points is added to it. */
static void expand_extreme(Same *s, Sum *to, const Sum *body, Formula term, const Op *op, const bool *open)
{
    Sum *rest = sum_new(s);
    to->lost = body->lost;
    to->too_big = body->too_big;
    for (int i = 0; i < body->count; i++)
        add(s, has_open(s, &body->addends[i], op, open) ? rest : to, body->addends[i]);
    if (rest->count > 0 || op->reducer == REDUCE_LSE)
        add_factor(s, to, (Factor){.of = term, .rest = rest});
}

/* False: no reduction that can be looked into. */
static bool expand_reduction(Same *s, Sum *to, Formula term)
{
    const Op *op = nest_of(s, term);
    if (!op || op->reducer == REDUCE_SET || (op->reducer == REDUCE_SUM && s->whole))
        return false;
    Affine *by = ARENA_ARRAY(s->unit->program->arena, Affine, op->index_count + 1);
    bool *open = ARENA_ARRAY(s->unit->program->arena, bool, op->index_count + 1);
    if (!open_reduction(s, term, op, by, open))
        return false;
    s->within[s->depth++] = (Context){op, by};
    const Sum *body = expand(s, (Formula){op, op->body, by});
    if (!body->too_big && op->reducer == REDUCE_SUM)
        expand_sum(s, to, body, (Context){op, by}, open);
    else if (!body->too_big)
        expand_extreme(s, to, body, term, op, open);
    s->depth--;
    return !body->too_big;
}

static Sum *expand(Same *s, Formula term)
{
    Sum *sum = sum_new(s);
    term = resolved(s, term);
    const Expr *expr = expr_of(term);
    double exponent;
    if (++s->steps > STEPS_MAX) {
        sum->too_big = true;
        return sum;
    }
    switch ((int)expr->kind) {
    case EXPR_CONST:
        if (expr->value != 0)
            add(s, sum, (Addend){.coefficient = expr->value});
        return sum;
    case EXPR_ADD:
    case EXPR_SUB:
        add_all(s, sum, expand(s, operand(term, 0)), 1);
        add_all(s, sum, expand(s, operand(term, 1)), expr->kind == EXPR_SUB ? -1 : 1);
        return sum;
    case EXPR_NEG: add_all(s, sum, expand(s, operand(term, 0)), -1); return sum;
    case EXPR_MUL: expand_product(s, sum, term); return sum;
    case EXPR_DIV: expand_quotient(s, sum, term); return sum;
    case EXPR_POW:
        if (expr_is_const(term.op, expr->arg[1], &exponent) && exponent == 0) {
            add(s, sum, (Addend){.coefficient = 1});
            sum->lost = true;
            return sum;
        }
        break;
    case EXPR_READ:
        if (expand_reduction(s, sum, term))
            return sum;
        *sum = (Sum){0};
        break;
    }
    add_factor(s, sum, (Factor){.of = term});
    return sum;
}

static void visit_sum(const Sum *sum, TermVisitor visit, void *user)
{
    for (int i = 0; i < sum->count; i++)
        for (int f = 0; f < sum->addends[i].count; f++) {
            const Factor *factor = &sum->addends[i].factors[f];
            if (factor->rest)
                visit_sum(factor->rest, visit, user);
            else
                visit(user, factor->of.op, factor->of.id);
        }
}

static Shrinks shrinks(const Unit *unit, const Op *op, int id, bool open_products, bool *partly, TermVisitor visit, void *user)
{
    Same s = same_begin(unit, op);
    s.sums = arena_new();
    s.open_products = open_products;
    const Sum *sum = expand(&s, (Formula){op, id, s.identity});
    const Shrinks found = sum->too_big || s.steps > STEPS_MAX ? SHRINKS_UNKNOWN : sum->lost ? SHRINKS : s.partly ? SHRINKS_UNKNOWN : SHRINKS_NOT;
    if (found == SHRINKS)
        visit_sum(sum, visit, user);
    *partly = s.partly;
    arena_free(s.sums);
    return found;
}

Shrinks expression_shrinks(const Unit *unit, const Op *op, int id, TermVisitor visit, void *user)
{
    bool partly = false;
    const Shrinks found = shrinks(unit, op, id, false, &partly, visit, user);
    return found == SHRINKS || !partly ? found : shrinks(unit, op, id, true, &partly, visit, user);
}

/* ---- no point ---- */

/* The least and the greatest value of an integer. False: not seen. */
static bool range_of(const Unit *unit, const Op *op, int id, double *least, double *most)
{
    const Expr *expr = &op->exprs[id];
    int64_t extent;
    if (expr->kind == EXPR_CONST) {
        *least = *most = expr->value;
        return true;
    }
    const bool read = expr->kind == EXPR_READ && unit->tensors[expr->access.tensor].type == T_INT;
    if (!read && expr->kind != EXPR_POS)
        return false;
    *least = 0;
    *most = dim_is_int(read ? unit->tensors[expr->access.tensor].bound : op->indices[expr->index].extent, &extent) ? (double)extent - 1 : INFINITY;
    return true;
}

static bool never(const Unit *unit, const Op *op, int id)
{
    const Expr *expr = &op->exprs[id];
    double a, b, c, d; /* a .. b is compared with c .. d */
    if (expr->kind == EXPR_AND)
        return never(unit, op, expr->arg[0]) || never(unit, op, expr->arg[1]);
    if (scalar_arity(expr->kind) != 2 || !range_of(unit, op, expr->arg[0], &a, &b) || !range_of(unit, op, expr->arg[1], &c, &d))
        return false;
    switch ((int)expr->kind) {
    case EXPR_LT: return a >= d;
    case EXPR_LE: return a > d;
    case EXPR_EQ: return b < c || a > d;
    default: return false;
    }
}

bool operation_is_empty(const Unit *unit, const Op *op)
{
    Dim sum;
    for (int g = 0; g < op->guard_count; g++)
        if (never(unit, op, op->guards[g]))
            return true;
    for (int i = 0; i < op->cond_count; i++)
        for (int k = 0; k <= i; k++)
            if (affine_is_const(affine_add(unit->program, op->conds[i], op->conds[k]), &sum) &&
                dim_proves_nonnegative(dim_sub(unit->program->dims, dim_int(unit->program->dims, -1), sum)))
                return true;
    return false;
}
