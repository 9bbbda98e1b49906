/* Log-sum-exp in two parts: L = M + D, where M is the maximum and D the logarithm of the sum of exponentials of differences to it.
   requires   a verified unit, after every pass that looks for exp(score - lse): raising, differentiation, hoisting
   preserves  values; groups, whose normaliser is then D; nothing is rounded any more at the size of the scores: exp(s - L) becomes exp((s - M) - D) and
              L - s becomes (M - s) + D
   breaks     positions of operations; no nest reduces by log-sum-exp afterwards

   A float of the size of L cannot hold D: of four equal scores of 1e8 all of log 4 is lost. M is one of the scores, so differences to it are as good
   as the scores are. A value that L goes into is a pair of a large and a small part (opt/pair.h): sums and differences (what their rounding takes off the
   large part is added to the small one), maxima, minima, selections, multiples, comparisons, and the tensors made of them. Reductions over pairs first take
   the largest large part. A maximum to which a logarithm is added is a pair, too: a log-sum-exp written out. A recurrence makes one number of a pair.

   A row whose scores are all -inf has L = M = -inf and D = 0, and exp(s - L) is 0 there: a softmax over nobody. Kernels of groups do the same. */
#include "opt/opt.h"
#include "opt/pair.h"

typedef struct Split {
    Unit *unit;
    Rebuild rebuild;
    Parts *parts; /* per tensor of the unit as it was */
    Kind *kinds;  /* per tensor of the unit as it was */
    int *pending; /* log-sum-exps of the group at hand, as operations of before: their sums stand behind the group */
    int pending_count;
    bool changed;
} Split;

static void copy_op(PairCopy *copy, Split *split, const Op *op) { pair_copy(copy, split->unit, op, split->parts, split->kinds); }

/* ---- a log-sum-exp ------------------------------------------------------------------------------------------------------------ */

static int finish(Split *split, OpBuilder *builder, int group)
{
    const int position = op_finish(builder);
    split->unit->ops[position].group = group;
    return position;
}

/* M max= body, the large part of it */
static void split_max(Split *split, const Op *op, int max)
{
    PairCopy c;
    Pair body;
    copy_op(&c, split, op);
    c.builder.op.reducer = REDUCE_MAX;
    c.builder.op.body = pair_of(&c, op->body, &body) ? body.large : c.builder.op.body;
    c.builder.op.out = rewrite_subs(&c.rewrite, &op->out, max);
    rewrite_keep_none(&c.rewrite);
    (void)finish(split, &c.builder, op->group);
}

/* S sum= exp(body - M). Of a row whose maximum is infinite the exponentials themselves are added: 0 or infinity. */
static void split_sum(Split *split, const Op *op, int max, int sum)
{
    PairCopy c;
    Pair body;
    copy_op(&c, split, op);
    OpBuilder *b = &c.builder;
    const int shift = pair_shift(b, expr_read(b, rewrite_subs(&c.rewrite, &op->out, max)));
    const bool pair = pair_of(&c, op->body, &body);
    const int large = expr_op(b, EXPR_SUB, pair ? body.large : b->op.body, shift, -1);
    b->op.body = expr_op(b, EXPR_EXP, pair ? pair_joined(b, large, body.small) : large, -1, -1);
    b->op.reducer = REDUCE_SUM;
    b->op.out = rewrite_subs(&c.rewrite, &op->out, sum);
    rewrite_keep_none(&c.rewrite);
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
    const int max = expr_read(&builder, access_indices(split->unit->program, parts->large, rank, indices));
    const int log = expr_read(&builder, access_indices(split->unit->program, parts->small, rank, indices));
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
    split->changed = true;
    split_max(split, op, max);
    split_sum(split, op, max, sum);
    rebuild_replace(&split->rebuild, position, split_log(split, op, sum, log));
    split->parts[total] = (Parts){max, log, -1, op->group != 0};
    if (op->group == 0)
        split_total(split, op);
    else
        split->pending[split->pending_count++] = position;
}

/* ---- tensors in two parts ------------------------------------------------------------------------------------------------------------- */

static bool reads_grouped(const Split *split, const Op *op)
{
    for (int id = 0; id < op->expr_count; id++)
        if (op->exprs[id].kind == EXPR_READ && split->parts[op->exprs[id].access.tensor].grouped)
            return true;
    return false;
}

/* Part := what the operation computes of its body, other than by the body itself. */
typedef enum { PART_LARGE, PART_SMALL, PART_COUNT } Part;

/* A tensor set to a pair: both parts are. */
static void split_set(Split *split, const Op *op, Part part, int tensor)
{
    PairCopy c;
    Pair body;
    copy_op(&c, split, op);
    (void)pair_of(&c, op->body, &body);
    c.builder.op.body = part == PART_LARGE ? body.large : body.small;
    c.builder.op.out = rewrite_subs(&c.rewrite, &op->out, tensor);
    rewrite_keep_none(&c.rewrite);
    (void)op_finish(&c.builder);
}

/* body - M, for whoever reduces over points of which M is the largest large part; 0 where M is infinite and says it all. */
static int below(PairCopy *c, int max, const Access *row, Pair body)
{
    OpBuilder *b = &c->builder;
    const int most = expr_read(b, rewrite_subs(&c->rewrite, row, max));
    return pair_joined(b, expr_op(b, EXPR_SUB, body.large, pair_shift(b, most), -1), body.small);
}

/* The extremum of pairs: M that of the large parts, D that of the pairs below it. */
static void split_extremum(Split *split, const Op *op, Part part, const Parts *parts)
{
    PairCopy c;
    Pair body;
    copy_op(&c, split, op);
    OpBuilder *b = &c.builder;
    (void)pair_of(&c, op->body, &body);
    b->op.body = body.large;
    if (part == PART_SMALL) {
        const int most = expr_read(b, rewrite_subs(&c.rewrite, &op->out, parts->large));
        b->op.body = expr_op(b, EXPR_SELECT, expr_op(b, EXPR_EQ, pair_shift(b, most), most, -1), below(&c, parts->large, &op->out, body), expr_const(b, 0));
    }
    b->op.out = rewrite_subs(&c.rewrite, &op->out, part == PART_LARGE ? parts->large : parts->small);
    rewrite_keep_none(&c.rewrite);
    (void)op_finish(b);
}
/* Over the points of `op`, reduced by `reducer` into `tensor`: the large part of its body, the body below `max` or, without a body, 1. */
static void split_over(Split *split, const Op *op, Reducer reducer, Part part, int tensor, int max)
{
    PairCopy c;
    Pair body;
    copy_op(&c, split, op);
    OpBuilder *b = &c.builder;
    (void)pair_of(&c, op->body, &body);
    b->op.kind = OP_NEST;
    b->op.reducer = reducer;
    b->op.reduced = 0;
    b->op.top_k = NULL;
    b->op.body = part == PART_LARGE ? body.large : part == PART_SMALL ? below(&c, max, &op->out, body) : expr_const(b, 1);
    b->op.out = rewrite_subs(&c.rewrite, &op->out, tensor);
    rewrite_keep_none(&c.rewrite);
    (void)op_finish(b);
}

/* The sum of pairs over n points is n M + the sum of what they are below M, the largest large part: a mean of them keeps M as it is. */
static void split_total_of_pairs(Split *split, const Op *op, Parts *parts)
{
    const int most = part_tensor(split, op->out.tensor, ".most");
    parts->count = part_tensor(split, op->out.tensor, ".count");
    split_over(split, op, REDUCE_MAX, PART_LARGE, most, -1);
    split_over(split, op, REDUCE_SUM, PART_COUNT, parts->count, -1);
    int *indices = indices_for(split, most);
    OpBuilder builder = whole(split, op, parts->large, indices);
    builder.op.body = pair_shift(&builder, expr_read(&builder, access_indices(split->unit->program, most, split->unit->tensors[most].rank, indices)));
    (void)op_finish(&builder);
    split_over(split, op, REDUCE_SUM, PART_SMALL, parts->small, parts->large);
}

/* Does the operation make a tensor that is worth two parts? */
static bool is_kept(Split *split, const Op *op)
{
    if (op->kind != OP_NEST || op->reducer == REDUCE_LSE || op->group != 0 || op->init.tensor >= 0 || split->unit->tensors[op->out.tensor].type != T_REAL)
        return false;
    PairCopy c;
    copy_op(&c, split, op);
    const Pair *body = &c.pairs[op->body];
    return body->large >= 0 && body->kept && (op->reducer != REDUCE_SUM || !body->scaled);
}

static void split_definition(Split *split, const Op *op)
{
    if (!is_kept(split, op))
        return;
    const int tensor = op->out.tensor;
    Parts parts = {part_tensor(split, tensor, ".max"), part_tensor(split, tensor, ".log"), -1, reads_grouped(split, op)};
    if (op->reducer == REDUCE_SUM) {
        split_total_of_pairs(split, op, &parts);
    } else {
        for (Part part = PART_LARGE; part <= PART_SMALL; part++) {
            if (op->reducer == REDUCE_SET)
                split_set(split, op, part, part == PART_LARGE ? parts.large : parts.small);
            else
                split_extremum(split, op, part, &parts);
        }
    }
    split->parts[tensor] = parts;
    split->changed = true;
}

/* The order of pairs is that of what they are below the largest large part. */
static bool split_top(Split *split, int position)
{
    const Op *op = &split->rebuild.old[position];
    PairCopy c;
    Pair body;
    if (op->kind != OP_TOP || op->group != 0)
        return false;
    copy_op(&c, split, op);
    if (!pair_of(&c, op->body, &body) || !c.pairs[op->body].kept)
        return false;
    const Tensor like = split->unit->tensors[op->out.tensor];
    const int most = unit_tensor(split->unit, symbol_suffix(split->unit->program, like.name, ".most"), T_REAL, TENSOR_LOCAL, like.rank - 1, like.extent, NULL);
    split_over(split, op, REDUCE_MAX, PART_LARGE, most, -1);
    c.builder.op.body = below(&c, most, &op->out, body);
    rewrite_keep_none(&c.rewrite);
    rebuild_replace(&split->rebuild, position, op_finish(&c.builder));
    split->changed = true;
    return true;
}

static void split_reader(Split *split, int position)
{
    const Op *op = &split->rebuild.old[position];
    PairCopy c = {0};
    if (split_top(split, position))
        return;
    if (op->kind != OP_CALL)
        copy_op(&c, split, op);
    if (!c.changed) {
        (void)rebuild_keep(&split->rebuild, position);
    } else {
        rewrite_keep_none(&c.rewrite);
        rebuild_replace(&split->rebuild, position, op_finish(&c.builder));
        split->changed = true;
    }
    split_definition(split, op);
}

/* What a log-sum-exp, or an extremum to whom a logarithm may be added, is taken of. */
static void mark(Split *split, const Op *op)
{
    if (op->kind != OP_NEST)
        return;
    for (int id = 0; id < op->expr_count && op->reducer != REDUCE_SET && op->reducer != REDUCE_SUM; id++)
        if (op->exprs[id].kind == EXPR_READ)
            split->kinds[op->exprs[id].access.tensor].score = true;
    const Kind kind = pair_kind(op, split->kinds);
    split->kinds[op->out.tensor].extremum = kind.extremum;
    split->kinds[op->out.tensor].logarithm = kind.logarithm;
}

/* Is there a log-sum-exp, or a logarithm that one may be written out with? */
static bool has_logarithm(const Unit *unit)
{
    for (int i = 0; i < unit->op_count; i++) {
        const Op *op = &unit->ops[i];
        if (op->kind == OP_NEST && op->reducer == REDUCE_LSE)
            return true;
        for (int id = 0; op->kind != OP_CALL && id < op->expr_count; id++)
            if (op->exprs[id].kind == EXPR_LOG || op->exprs[id].kind == EXPR_SOFTPLUS)
                return true;
    }
    return false;
}

bool opt_split(Unit *unit)
{
    if (!has_logarithm(unit))
        return false;
    Arena *arena = unit->program->arena;
    Split split = {.unit = unit,
                   .parts = ARENA_ARRAY(arena, Parts, unit->tensor_count + 1),
                   .kinds = ARENA_ARRAY(arena, Kind, unit->tensor_count + 1),
                   .pending = ARENA_ARRAY(arena, int, unit->op_count + 1)};
    for (int t = 0; t < unit->tensor_count; t++)
        split.parts[t] = (Parts){-1, -1, -1, false};
    split.rebuild = rebuild_begin(unit);
    for (int i = 0; i < split.rebuild.old_count; i++) {
        const Op *op = &split.rebuild.old[i];
        for (int p = 0; i > 0 && op->group != split.rebuild.old[i - 1].group && p < split.pending_count; p++)
            split_total(&split, &split.rebuild.old[split.pending[p]]);
        if (i > 0 && op->group != split.rebuild.old[i - 1].group)
            split.pending_count = 0;
        mark(&split, op);
        if (op->kind == OP_NEST && op->reducer == REDUCE_LSE)
            split_lse(&split, i);
        else
            split_reader(&split, i);
    }
    for (int p = 0; p < split.pending_count; p++)
        split_total(&split, &split.rebuild.old[split.pending[p]]);
    rebuild_end(&split.rebuild);
    return split.changed;
}
