/* Log-sum-exp in two parts: L = M + D, where M is the maximum and D the logarithm of the sum of exponentials of differences to it.
   requires   a verified unit, after every pass that looks for exp(score - lse): raising, differentiation, hoisting
   preserves  values; groups, whose normaliser is then D; nothing is rounded any more at the size of the scores: exp(s - L) becomes exp((s - M) - D) and
              L - s becomes (M - s) + D
   breaks     positions of operations; no nest reduces by log-sum-exp afterwards

   A float of the size of L cannot hold D: of four equal scores of 1e8 all of log 4 is lost. M is one of the scores, so differences to it are as good
   as the scores are. Sums that take L up with other terms are kept in two parts to their end: all that is as large as the scores first, then D.

   A row whose scores are all -inf has L = M = -inf and D = 0, and exp(s - L) is 0 there: a softmax over nobody. Kernels of groups do the same. */
#include "opt/opt.h"

#include "ir/rewrite.h"

#include <math.h>

typedef struct Parts {
    int max, log; /* tensors; -1: the tensor is no log-sum-exp */
    bool grouped; /* a kernel of its group computes it */
} Parts;

typedef struct Split {
    Unit *unit;
    Rebuild rebuild;
    Parts *parts; /* per tensor of the unit as it was */
    int *pending; /* log-sum-exps of the group at hand, as operations of before: their sums stand behind the group */
    int pending_count;
} Split;

/* An expression of the operation being copied as two: `large` has the size of the scores. */
typedef struct Pair {
    int large, small; /* of the copy; large -1: it is one number */
    bool whole;       /* no other term of its size has been subtracted */
} Pair;

typedef struct SplitOp {
    Split *split;
    const Op *op;
    OpBuilder builder;
    Rewrite rewrite;
    Pair *pairs; /* per expression of op */
    bool changed;
} SplitOp;

static bool is_pair(const SplitOp *s, int id) { return s->pairs[id].large >= 0; }

static Pair read_pair(SplitOp *s, const Access *access)
{
    const Parts *parts = &s->split->parts[access->tensor];
    if (parts->max < 0)
        return (Pair){-1, -1, false};
    return (Pair){expr_read(&s->builder, rewrite_subs(&s->rewrite, access, parts->max)), expr_read(&s->builder, rewrite_subs(&s->rewrite, access, parts->log)), true};
}

static bool is_number(const Op *op, int id) { return op->exprs[id].kind == EXPR_CONST || op->exprs[id].kind == EXPR_DIM; }

/* a + b or a - b with one of them or both in two parts. */
static Pair sum_pair(SplitOp *s, const Expr *e)
{
    OpBuilder *b = &s->builder;
    const int left = e->arg[0], right = e->arg[1];
    const Pair *l = &s->pairs[left], *r = &s->pairs[right];
    const bool two = is_pair(s, left) && is_pair(s, right);
    Pair pair = {.whole = !two && (is_pair(s, left) ? l->whole && is_number(s->op, right) : r->whole && is_number(s->op, left))};
    pair.large = expr_op(b, e->kind, is_pair(s, left) ? l->large : rewrite_expr(&s->rewrite, left), is_pair(s, right) ? r->large : rewrite_expr(&s->rewrite, right), -1);
    if (two)
        pair.small = expr_op(b, e->kind, l->small, r->small, -1);
    else if (is_pair(s, left))
        pair.small = l->small;
    else
        pair.small = e->kind == EXPR_SUB ? expr_op(b, EXPR_NEG, r->small, -1, -1) : r->small;
    return pair;
}

static Pair scaled_pair(SplitOp *s, const Expr *e)
{
    const bool left = is_pair(s, e->arg[0]);
    const Pair none = {-1, -1, false}, *pair = &s->pairs[e->arg[left ? 0 : 1]];
    if (is_pair(s, e->arg[0]) && is_pair(s, e->arg[1]))
        return none;
    if (e->kind == EXPR_DIV && !left)
        return none;
    const int factor = rewrite_expr(&s->rewrite, e->arg[left ? 1 : 0]);
    return (Pair){expr_op(&s->builder, e->kind, pair->large, factor, -1), expr_op(&s->builder, e->kind, pair->small, factor, -1), pair->whole};
}

static Pair selected_pair(SplitOp *s, const Expr *e)
{
    int large[2], small[2];
    Pair pair = {.whole = true};
    for (int k = 0; k < 2; k++) {
        const int id = e->arg[1 + k];
        large[k] = is_pair(s, id) ? s->pairs[id].large : rewrite_expr(&s->rewrite, id);
        small[k] = is_pair(s, id) ? s->pairs[id].small : expr_const(&s->builder, 0);
        pair.whole = pair.whole && (is_pair(s, id) ? s->pairs[id].whole : is_number(s->op, id));
    }
    const int condition = rewrite_expr(&s->rewrite, e->arg[0]);
    pair.large = expr_op(&s->builder, EXPR_SELECT, condition, large[0], large[1]);
    pair.small = expr_op(&s->builder, EXPR_SELECT, condition, small[0], small[1]);
    return pair;
}

/* exp(s - L) as a row of a softmax has it: 0 where L is -inf. */
static bool split_exp(SplitOp *s, int id)
{
    const Expr *e = &s->op->exprs[id], *difference = e->kind == EXPR_EXP ? &s->op->exprs[e->arg[0]] : NULL;
    if (!difference || difference->kind != EXPR_SUB || is_pair(s, difference->arg[0]) || !is_pair(s, difference->arg[1]))
        return false;
    const Expr *row = &s->op->exprs[difference->arg[1]];
    if (row->kind != EXPR_READ || s->split->parts[row->access.tensor].grouped)
        return false;
    OpBuilder *b = &s->builder;
    const Pair *parts = &s->pairs[difference->arg[1]];
    const int empty = expr_op(b, EXPR_EQ, parts->large, expr_const(b, -INFINITY), -1);
    const int shift = expr_op(b, EXPR_SELECT, empty, expr_const(b, INFINITY), parts->large);
    const int large = expr_op(b, EXPR_SUB, rewrite_expr(&s->rewrite, difference->arg[0]), shift, -1);
    s->rewrite.memo[id] = expr_op(b, EXPR_EXP, expr_op(b, EXPR_SUB, large, parts->small, -1), -1, -1);
    s->changed = true;
    return true;
}

static Pair make_pair(SplitOp *s, const Expr *e)
{
    const Pair none = {-1, -1, false};
    bool any = false;
    for (int k = e->kind == EXPR_SELECT ? 1 : 0; k < scalar_arity(e->kind); k++)
        any = any || is_pair(s, e->arg[k]);
    if (e->kind == EXPR_READ)
        return read_pair(s, &e->access);
    if (!any)
        return none;
    if (e->kind == EXPR_ADD || e->kind == EXPR_SUB)
        return sum_pair(s, e);
    if (e->kind == EXPR_MUL || e->kind == EXPR_DIV)
        return scaled_pair(s, e);
    if (e->kind == EXPR_SELECT)
        return selected_pair(s, e);
    if (e->kind != EXPR_NEG && e->kind != EXPR_STOP)
        return none; /* the rounding of a function of L is its own */
    const Pair *first = &s->pairs[e->arg[0]];
    return (Pair){expr_op(&s->builder, e->kind, first->large, -1, -1), expr_op(&s->builder, e->kind, first->small, -1, -1), first->whole};
}

/* The two parts added up, or taken off what is given as one number. */
static int joined(OpBuilder *b, int large, int small)
{
    const Expr *e = &b->op.exprs[small];
    return e->kind == EXPR_NEG ? expr_op(b, EXPR_SUB, large, e->arg[0], -1) : expr_op(b, EXPR_ADD, large, small, -1);
}

/* Copies the operation, its sums in two parts. */
static void copy_op(SplitOp *s, Split *split, const Op *op)
{
    *s = (SplitOp){.split = split, .op = op, .builder = op_begin(split->unit, op->kind), .pairs = ARENA_ARRAY(split->unit->program->arena, Pair, op->expr_count + 1)};
    builder_indices(&s->builder, op);
    s->rewrite = rewrite_begin(&s->builder, split->unit, op, NULL, NULL, NULL);
    bool *live = ARENA_ARRAY(split->unit->program->arena, bool, op->expr_count + 1);
    op_live(op, live);
    for (int id = 0; id < op->expr_count; id++) {
        const Expr *e = &op->exprs[id];
        s->pairs[id] = live[id] ? make_pair(s, e) : (Pair){-1, -1, false};
        if (live[id] && split_exp(s, id))
            continue;
        if (!is_pair(s, id) || (e->kind != EXPR_ADD && e->kind != EXPR_SUB))
            continue;
        s->rewrite.memo[id] = joined(&s->builder, s->pairs[id].large, s->pairs[id].small);
        s->changed = true;
    }
    rewrite_all(&s->rewrite);
}

/* ---- a log-sum-exp ------------------------------------------------------------------------------------------------------------ */

static int finish(Split *split, OpBuilder *builder, int group)
{
    const int position = op_finish(builder);
    split->unit->ops[position].group = group;
    return position;
}

/* M max= body */
static void split_max(Split *split, const Op *op, int max)
{
    SplitOp s;
    copy_op(&s, split, op);
    s.builder.op.reducer = REDUCE_MAX;
    s.builder.op.out = rewrite_subs(&s.rewrite, &op->out, max);
    (void)finish(split, &s.builder, op->group);
}

/* S sum= exp(body - M). Of a row whose maximum is infinite the exponentials themselves are added: 0 or infinity. */
static void split_sum(Split *split, const Op *op, int max, int sum)
{
    SplitOp s;
    copy_op(&s, split, op);
    OpBuilder *b = &s.builder;
    const int row = expr_read(b, rewrite_subs(&s.rewrite, &op->out, max));
    const int finite = expr_op(b, EXPR_LT, expr_op(b, EXPR_ABS, row, -1, -1), expr_const(b, INFINITY), -1);
    const int shift = expr_op(b, EXPR_SELECT, finite, row, expr_const(b, 0));
    const Pair *body = &s.pairs[op->body];
    const int large = expr_op(b, EXPR_SUB, is_pair(&s, op->body) ? body->large : b->op.body, shift, -1);
    b->op.body = expr_op(b, EXPR_EXP, is_pair(&s, op->body) ? joined(b, large, body->small) : large, -1, -1);
    b->op.reducer = REDUCE_SUM;
    b->op.out = rewrite_subs(&s.rewrite, &op->out, sum);
    (void)finish(split, b, op->group);
}

/* result = value over the whole tensor */
static OpBuilder whole(Split *split, const Op *op, int result, int *indices)
{
    Unit *unit = split->unit;
    OpBuilder builder = op_begin(unit, OP_NEST);
    const int rank = unit->tensors[result].rank;
    for (int k = 0; k < rank; k++)
        indices[k] = op_index(&builder, intern(unit->program->interner, arena_printf(unit->program->arena, "i%d", k)), unit->tensors[result].extent[k]);
    builder.op.reducer = REDUCE_SET;
    builder.op.out = access_indices(unit->program, result, rank, indices);
    builder.op.span = op->span;
    return builder;
}

static int *indices_for(const Split *split, int tensor) { return ARENA_ARRAY(split->unit->program->arena, int, split->unit->tensors[tensor].rank + 1); }

/* D = log(S). S is at least 1, the maximum's own term, except where the maximum is -inf: there D is 0. */
static int split_log(Split *split, const Op *op, int sum, int log)
{
    int *indices = indices_for(split, log);
    OpBuilder builder = whole(split, op, log, indices);
    const Access read = access_indices(split->unit->program, sum, split->unit->tensors[sum].rank, indices);
    const int total = expr_read(&builder, read);
    const int kept = op->group ? total : expr_op(&builder, EXPR_SELECT, expr_op(&builder, EXPR_EQ, total, expr_const(&builder, 0), -1), expr_const(&builder, 1), total);
    builder.op.body = expr_op(&builder, EXPR_LOG, kept, -1, -1);
    return finish(split, &builder, op->group);
}

/* L = M + D, for those who want it as one number. */
static void split_total(Split *split, const Op *op)
{
    const int total = op->out.tensor, rank = split->unit->tensors[total].rank;
    const Parts *parts = &split->parts[total];
    int *indices = indices_for(split, total);
    OpBuilder builder = whole(split, op, total, indices);
    const int max = expr_read(&builder, access_indices(split->unit->program, parts->max, rank, indices));
    const int log = expr_read(&builder, access_indices(split->unit->program, parts->log, rank, indices));
    builder.op.body = expr_op(&builder, EXPR_ADD, max, log, -1);
    (void)finish(split, &builder, 0);
}

static int part_tensor(Split *split, int tensor, const char *suffix)
{
    const Tensor like = split->unit->tensors[tensor]; /* the array may grow */
    return unit_tensor_like(split->unit, &like, suffix, TENSOR_LOCAL);
}

static void split_lse(Split *split, int position)
{
    const Op *op = &split->rebuild.old[position];
    const int total = op->out.tensor, max = part_tensor(split, total, ".max"), sum = part_tensor(split, total, ".sum"), log = part_tensor(split, total, ".log");
    split_max(split, op, max);
    split_sum(split, op, max, sum);
    rebuild_replace(&split->rebuild, position, split_log(split, op, sum, log));
    split->parts[total] = (Parts){max, log, op->group != 0};
    if (op->group == 0)
        split_total(split, op);
    else
        split->pending[split->pending_count++] = position;
}

/* ---- what reads it ------------------------------------------------------------------------------------------------------------ */

static bool reads_grouped(const Split *split, const Op *op)
{
    for (int id = 0; id < op->expr_count; id++)
        if (op->exprs[id].kind == EXPR_READ && split->parts[op->exprs[id].access.tensor].grouped)
            return true;
    return false;
}

/* A tensor that is a log-sum-exp but for constants and factors is one in two parts itself. */
static void split_definition(Split *split, const Op *op)
{
    const int tensor = op->out.tensor;
    if (op->kind != OP_NEST || op->reducer != REDUCE_SET || op->group != 0 || op->init.tensor >= 0 || split->unit->tensors[tensor].type != T_REAL)
        return;
    Parts parts = {-1, -1, reads_grouped(split, op)};
    for (int low = 0; low < 2; low++) {
        SplitOp s;
        copy_op(&s, split, op);
        const Pair *body = &s.pairs[op->body];
        if (!is_pair(&s, op->body) || !body->whole)
            return;
        int *part = low ? &parts.log : &parts.max;
        *part = part_tensor(split, tensor, low ? ".log" : ".max");
        s.builder.op.body = low ? body->small : body->large;
        s.builder.op.out = rewrite_subs(&s.rewrite, &op->out, *part);
        rewrite_keep_none(&s.rewrite);
        (void)op_finish(&s.builder);
    }
    split->parts[tensor] = parts;
}

static void split_reader(Split *split, int position)
{
    const Op *op = &split->rebuild.old[position];
    SplitOp s = {0};
    if (op->kind != OP_CALL)
        copy_op(&s, split, op);
    if (!s.changed) {
        (void)rebuild_keep(&split->rebuild, position);
    } else {
        rewrite_keep_none(&s.rewrite);
        rebuild_replace(&split->rebuild, position, op_finish(&s.builder));
    }
    split_definition(split, op);
}

static bool has_lse(const Unit *unit)
{
    for (int i = 0; i < unit->op_count; i++)
        if (unit->ops[i].kind == OP_NEST && unit->ops[i].reducer == REDUCE_LSE)
            return true;
    return false;
}

bool opt_split(Unit *unit)
{
    if (!has_lse(unit))
        return false;
    Arena *arena = unit->program->arena;
    Split split = {.unit = unit, .parts = ARENA_ARRAY(arena, Parts, unit->tensor_count + 1), .pending = ARENA_ARRAY(arena, int, unit->op_count + 1)};
    for (int t = 0; t < unit->tensor_count; t++)
        split.parts[t] = (Parts){-1, -1, false};
    split.rebuild = rebuild_begin(unit);
    for (int i = 0; i < split.rebuild.old_count; i++) {
        const Op *op = &split.rebuild.old[i];
        for (int p = 0; i > 0 && op->group != split.rebuild.old[i - 1].group && p < split.pending_count; p++)
            split_total(&split, &split.rebuild.old[split.pending[p]]);
        if (i > 0 && op->group != split.rebuild.old[i - 1].group)
            split.pending_count = 0;
        if (op->kind == OP_NEST && op->reducer == REDUCE_LSE)
            split_lse(&split, i);
        else
            split_reader(&split, i);
    }
    for (int p = 0; p < split.pending_count; p++)
        split_total(&split, &split.rebuild.old[split.pending[p]]);
    rebuild_end(&split.rebuild);
    return true;
}
