/* Expressions in two parts: how the operations on numbers work on them. */
#include "opt/pair.h"

#include <math.h>

static const Pair NUMBER = {-1, -1, -1, false, false};

static bool is_pair(const PairCopy *c, int id) { return c->pairs[id].large >= 0; }

static bool is_number(const Op *op, int id) { return op->exprs[id].kind == EXPR_CONST || op->exprs[id].kind == EXPR_DIM; }

static int is_finite(OpBuilder *b, int value) { return expr_op(b, EXPR_LT, expr_op(b, EXPR_ABS, value, -1, -1), expr_const(b, INFINITY), -1); }

int pair_shift(OpBuilder *builder, int value) { return expr_op(builder, EXPR_SELECT, is_finite(builder, value), value, expr_const(builder, 0)); }

/* a + b, or a where b is taken off what is given as one number. */
int pair_joined(OpBuilder *builder, int large, int small)
{
    const Expr *e = &builder->op.exprs[small];
    return e->kind == EXPR_NEG ? expr_op(builder, EXPR_SUB, large, e->arg[0], -1) : expr_op(builder, EXPR_ADD, large, small, -1);
}

static Pair settled(PairCopy *c, Pair pair)
{
    if (pair.factor >= 0)
        pair.large = expr_op(&c->builder, EXPR_MUL, pair.factor, pair.large, -1);
    pair.factor = -1;
    return pair;
}

/* The expression as a pair; a number is all large. */
static Pair taken(PairCopy *c, int id)
{
    if (is_pair(c, id))
        return settled(c, c->pairs[id]);
    return (Pair){rewrite_expr(&c->rewrite, id), expr_const(&c->builder, 0), -1, false, false};
}

bool pair_of(PairCopy *copy, int id, Pair *pair)
{
    if (!is_pair(copy, id))
        return false;
    *pair = settled(copy, copy->pairs[id]);
    return true;
}

static Pair read_pair(PairCopy *c, const Access *access)
{
    const Parts *parts = &c->parts[access->tensor];
    if (parts->large < 0)
        return NUMBER;
    OpBuilder *b = &c->builder;
    const int large = expr_read(b, rewrite_subs(&c->rewrite, access, parts->large)), small = expr_read(b, rewrite_subs(&c->rewrite, access, parts->small));
    return (Pair){large, small, parts->count < 0 ? -1 : expr_read(b, rewrite_subs(&c->rewrite, access, parts->count)), true, false};
}

/* What rounding takes off sum = x + y or x - y (Knuth's two-sum), 0 where the sum is not finite. */
static int rounded_off(OpBuilder *b, ExprKind kind, int x, int y, int sum)
{
    double value;
    if (sum == x || sum == y || expr_is_const(&b->op, sum, &value))
        return expr_const(b, 0);
    const int of_y = expr_op(b, EXPR_SUB, sum, x, -1);
    const int lost_x = expr_op(b, EXPR_SUB, x, expr_op(b, EXPR_SUB, sum, of_y, -1), -1);
    const int lost_y = kind == EXPR_ADD ? expr_op(b, EXPR_SUB, y, of_y, -1) : expr_op(b, EXPR_ADD, y, of_y, -1);
    return expr_op(b, EXPR_SELECT, is_finite(b, sum), expr_op(b, kind, lost_x, lost_y, -1), expr_const(b, 0));
}

/* Does the number contain, other than inside a function, a score? */
static bool has_score(const PairCopy *c, int id)
{
    const Expr *e = &c->op->exprs[id];
    switch ((int)e->kind) {
    case EXPR_READ: return c->kinds[e->access.tensor].score;
    case EXPR_NEG:
    case EXPR_STOP: return has_score(c, e->arg[0]);
    case EXPR_ADD:
    case EXPR_SUB:
    case EXPR_MUL:
    case EXPR_DIV: return has_score(c, e->arg[0]) || has_score(c, e->arg[1]);
    case EXPR_SELECT: return has_score(c, e->arg[1]) || has_score(c, e->arg[2]);
    }
    return false;
}

static bool sum_kept(const PairCopy *c, const Expr *e)
{
    const Pair *l = &c->pairs[e->arg[0]], *r = &c->pairs[e->arg[1]];
    if (is_pair(c, e->arg[0]) && is_pair(c, e->arg[1]))
        return e->kind == EXPR_ADD ? l->kept || r->kept : l->kept != r->kept;
    const Pair *pair = is_pair(c, e->arg[0]) ? l : r;
    const int other = e->arg[is_pair(c, e->arg[0]) ? 1 : 0];
    if (is_number(c->op, other))
        return pair->kept;
    return pair->kept && !pair->scaled && (e->kind == EXPR_ADD || !has_score(c, other));
}

/* a + b or a - b; `whole`, if not NULL, becomes the sum as one number. */
static Pair sum_of(PairCopy *c, ExprKind kind, Pair l, Pair r, int *whole)
{
    OpBuilder *b = &c->builder;
    const int large = expr_op(b, kind, l.large, r.large, -1), small = expr_op(b, kind, l.small, r.small, -1);
    double zero;
    const bool taken_off = kind == EXPR_SUB && expr_is_const(&b->op, l.small, &zero) && zero == 0;
    const int rest = taken_off ? expr_op(b, EXPR_NEG, r.small, -1, -1) : small;
    if (whole)
        *whole = pair_joined(b, large, rest);
    return (Pair){large, expr_op(b, EXPR_ADD, rest, rounded_off(b, kind, l.large, r.large, large), -1), -1, false, l.scaled || r.scaled};
}

static Pair sum_pair(PairCopy *c, const Expr *e, int *whole)
{
    Pair pair = sum_of(c, e->kind, taken(c, e->arg[0]), taken(c, e->arg[1]), whole);
    pair.kept = sum_kept(c, e);
    return pair;
}

static Pair scaled_pair(PairCopy *c, const Expr *e)
{
    const bool left = is_pair(c, e->arg[0]);
    if ((is_pair(c, e->arg[0]) && is_pair(c, e->arg[1])) || (e->kind == EXPR_DIV && !left))
        return NUMBER;
    Pair pair = c->pairs[e->arg[left ? 0 : 1]];
    const int other = e->arg[left ? 1 : 0], factor = rewrite_expr(&c->rewrite, other);
    int *first = pair.factor >= 0 ? &pair.factor : &pair.large;
    pair.scaled = pair.scaled || (pair.factor < 0 && !is_number(c->op, other));
    *first = expr_op(&c->builder, e->kind, *first, factor, -1);
    pair.small = expr_op(&c->builder, e->kind, pair.small, factor, -1);
    return pair;
}

static Pair chosen_pair(PairCopy *c, int condition, Pair one, Pair other)
{
    OpBuilder *b = &c->builder;
    const int large = expr_op(b, EXPR_SELECT, condition, one.large, other.large);
    return (Pair){large, expr_op(b, EXPR_SELECT, condition, one.small, other.small), -1, one.kept || other.kept, one.scaled || other.scaled};
}

static Pair selected_pair(PairCopy *c, const Expr *e)
{
    const Pair one = taken(c, e->arg[1]), other = taken(c, e->arg[2]);
    return chosen_pair(c, rewrite_expr(&c->rewrite, e->arg[0]), one, other);
}

/* a - b, of which the sign counts. Equal large parts, infinite ones too, leave the small ones. */
static int large_difference(OpBuilder *b, Pair l, Pair r)
{
    return expr_op(b, EXPR_SELECT, expr_op(b, EXPR_EQ, l.large, r.large, -1), expr_const(b, 0), expr_op(b, EXPR_SUB, l.large, r.large, -1));
}

static int compared(OpBuilder *b, ExprKind kind, Pair l, Pair r)
{
    if (kind == EXPR_EQ || kind == EXPR_NE) /* as an extremum over pairs comes about: equal to it is the point that it is of */
        return expr_op(b, kind, expr_op(b, EXPR_ADD, large_difference(b, l, r), l.small, -1), r.small, -1);
    return expr_op(b, kind, expr_op(b, EXPR_ADD, large_difference(b, l, r), expr_op(b, EXPR_SUB, l.small, r.small, -1), -1), expr_const(b, 0), -1);
}

static Pair extreme_pair(PairCopy *c, const Expr *e)
{
    const Pair l = taken(c, e->arg[0]), r = taken(c, e->arg[1]);
    return e->kind == EXPR_MIN ? chosen_pair(c, compared(&c->builder, EXPR_LE, l, r), l, r) : chosen_pair(c, compared(&c->builder, EXPR_LE, r, l), l, r);
}

/* ---- maximum plus logarithm, written out ---------------------------------------------------------------------------------------- */

static bool is_extremum(const Op *op, const Kind *kinds, int id)
{
    const Expr *e = &op->exprs[id];
    switch ((int)e->kind) {
    case EXPR_READ: return kinds[e->access.tensor].extremum;
    case EXPR_NEG:
    case EXPR_STOP: return is_extremum(op, kinds, e->arg[0]);
    case EXPR_MIN:
    case EXPR_MAX: return !is_number(op, e->arg[0]) && !is_number(op, e->arg[1]);
    }
    return false;
}

static bool is_logarithm(const Op *op, const Kind *kinds, int id)
{
    const Expr *e = &op->exprs[id];
    switch ((int)e->kind) {
    case EXPR_READ: return kinds[e->access.tensor].logarithm;
    case EXPR_LOG:
    case EXPR_SOFTPLUS: return true;
    case EXPR_NEG:
    case EXPR_STOP: return is_logarithm(op, kinds, e->arg[0]);
    case EXPR_MUL:
    case EXPR_DIV: return (is_number(op, e->arg[1]) && is_logarithm(op, kinds, e->arg[0])) || (is_number(op, e->arg[0]) && is_logarithm(op, kinds, e->arg[1]));
    }
    return false;
}

Kind pair_kind(const Op *op, const Kind *kinds)
{
    Kind kind = {0};
    if (op->kind != OP_NEST)
        return kind;
    kind.extremum = op->reducer == REDUCE_MAX || op->reducer == REDUCE_MIN || (op->reducer == REDUCE_SET && is_extremum(op, kinds, op->body));
    kind.logarithm = op->reducer == REDUCE_SET && is_logarithm(op, kinds, op->body);
    return kind;
}

static bool is_written_out(const PairCopy *c, const Expr *e)
{
    const int l = e->arg[0], r = e->arg[1];
    return (is_extremum(c->op, c->kinds, l) && is_logarithm(c->op, c->kinds, r)) || (is_extremum(c->op, c->kinds, r) && is_logarithm(c->op, c->kinds, l));
}

/* ---- the operation -------------------------------------------------------------------------------------------------------------- */

/* exp(s - L) as a row of a softmax has it: 0 where L is -inf. */
static bool split_exp(PairCopy *c, int id)
{
    const Expr *e = &c->op->exprs[id], *difference = e->kind == EXPR_EXP ? &c->op->exprs[e->arg[0]] : NULL;
    if (!difference || difference->kind != EXPR_SUB || is_pair(c, difference->arg[0]) || !is_pair(c, difference->arg[1]))
        return false;
    const Expr *row = &c->op->exprs[difference->arg[1]];
    if (row->kind != EXPR_READ || c->parts[row->access.tensor].grouped)
        return false;
    OpBuilder *b = &c->builder;
    const Pair parts = taken(c, difference->arg[1]);
    const int empty = expr_op(b, EXPR_EQ, parts.large, expr_const(b, -INFINITY), -1);
    const int shift = expr_op(b, EXPR_SELECT, empty, expr_const(b, INFINITY), parts.large);
    const int large = expr_op(b, EXPR_SUB, rewrite_expr(&c->rewrite, difference->arg[0]), shift, -1);
    c->rewrite.memo[id] = expr_op(b, EXPR_EXP, expr_op(b, EXPR_SUB, large, parts.small, -1), -1, -1);
    c->changed = true;
    return true;
}

static Pair pair_new(PairCopy *c, const Expr *e, int *whole)
{
    bool any = false;
    for (int k = e->kind == EXPR_SELECT ? 1 : 0; k < scalar_arity(e->kind); k++)
        any = any || is_pair(c, e->arg[k]);
    switch ((int)e->kind) {
    case EXPR_READ: return read_pair(c, &e->access);
    case EXPR_ADD:
    case EXPR_SUB:
        if (any)
            return sum_pair(c, e, whole);
        if (is_written_out(c, e)) {
            Pair pair = sum_of(c, e->kind, taken(c, e->arg[0]), taken(c, e->arg[1]), NULL);
            pair.kept = true;
            return pair;
        }
        return NUMBER;
    }
    if (!any)
        return NUMBER;
    switch ((int)e->kind) {
    case EXPR_MUL:
    case EXPR_DIV: return scaled_pair(c, e);
    case EXPR_SELECT: return selected_pair(c, e);
    case EXPR_MIN:
    case EXPR_MAX: return extreme_pair(c, e);
    case EXPR_NEG:
    case EXPR_STOP: {
        Pair pair = settled(c, c->pairs[e->arg[0]]);
        pair.large = expr_op(&c->builder, e->kind, pair.large, -1, -1);
        pair.small = expr_op(&c->builder, e->kind, pair.small, -1, -1);
        return pair;
    }
    case EXPR_EQ:
    case EXPR_NE:
    case EXPR_LT:
    case EXPR_LE: *whole = compared(&c->builder, e->kind, taken(c, e->arg[0]), taken(c, e->arg[1])); return NUMBER;
    }
    return NUMBER; /* the rounding of a function of L is its own */
}

void pair_copy(PairCopy *copy, Unit *unit, const Op *op, const Parts *parts, const Kind *kinds)
{
    Arena *arena = unit->program->arena;
    *copy = (PairCopy){.parts = parts, .kinds = kinds, .op = op, .builder = op_begin(unit, op->kind), .pairs = ARENA_ARRAY(arena, Pair, op->expr_count + 1)};
    builder_indices(&copy->builder, op);
    copy->rewrite = rewrite_begin(&copy->builder, unit, op, NULL, NULL, NULL);
    bool *live = ARENA_ARRAY(arena, bool, op->expr_count + 1);
    op_live(op, live);
    for (int id = 0; id < op->expr_count; id++) {
        int whole = -1;
        copy->pairs[id] = live[id] ? pair_new(copy, &op->exprs[id], &whole) : NUMBER;
        if (!live[id] || split_exp(copy, id) || whole < 0)
            continue;
        copy->rewrite.memo[id] = whole;
        copy->changed = true;
    }
    rewrite_all(&copy->rewrite);
}
