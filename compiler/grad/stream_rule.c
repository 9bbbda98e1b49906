/* A stream's derivative. With P = exp(score - lse) and the adjoints Ō of the uses, L̄ of the normaliser and p̄ of the picks:
     before the group  row[i] = L̄[i] - Σ over uses and c of Ō[i, c]·O[i, c]                  (rowsum(P∘dP) = rowsum(O∘dO))
     raw, score        made again
     dP[i, j]          sum= Ō[i, c]·V[j, c], one per use
     score_grad[i, j]  = P·(Σ dP + row[i]) + Σ over picks of p̄[i] where j is the pick's column
     raw_grad[i, j]    = score_grad·f'(raw)
     sinks             Q̄ and K̄ from raw_grad, V̄ sum= P·Ō, and what else the score reads from score_grad
   Every member has the score's domain, as the forward members have. */
#include "grad/internal.h"

#include <string.h>

enum { SINKS_MAX = 12 };

typedef struct StreamGrad {
    Backward *b;
    Group from;         /* the forward group */
    Op raw, score, lse; /* copies: the unit's array may grow; score is raw where the raw product is the score */
    bool same;          /* score is raw */
    int lse_grad;       /* adjoints, -1 = none */
    int use_grad[BFM_STREAM_USES], pick_grad[BFM_STREAM_USES];
    int raw_copy, score_copy;   /* tensors of target that hold them again */
    int row;                    /* tensor, -1: nothing reaches the normaliser */
    int dprob[BFM_STREAM_USES]; /* tensors */
    int score_grad, raw_grad;   /* tensors */
    Group to;
    int members; /* operations so far: they are the last ones of target */
    int first;
} StreamGrad;

/* The forward scores stand for the new ones. */
static int map_tensor(void *user, int tensor)
{
    StreamGrad *g = user;
    if (tensor == g->score.out.tensor)
        return g->score_copy;
    if (tensor == g->raw.out.tensor)
        return g->raw_copy;
    return backward_need(g->b, tensor);
}

static const Op *use_op(const StreamGrad *g, int u) { return &g->b->forward->ops[g->from.uses[u]]; }
static const Op *pick_op(const StreamGrad *g, int p) { return &g->b->forward->ops[g->from.picks[p]]; }

/* The read of a tensor in an operation of the group. */
static const Access *read_of(const Op *op, int tensor)
{
    for (int id = 0; id < op->expr_count; id++)
        if (op->exprs[id].kind == EXPR_READ && op->exprs[id].access.tensor == tensor)
            return &op->exprs[id].access;
    return NULL;
}

/* The factor of a use that is not exp(score - lse). */
static const Access *operand_of(const StreamGrad *g, const Op *use)
{
    for (int k = 0; k < 2; k++) {
        const Expr *e = &use->exprs[use->exprs[use->body].arg[k]];
        if (e->kind == EXPR_READ && e->access.tensor != g->score.out.tensor && e->access.tensor != g->lse.out.tensor)
            return &e->access;
    }
    return NULL;
}

/* An index map of `op` that puts the index at position p of `access` onto by_score[p]; its others become new indices of the builder. */
static IndexBy *map_onto(OpBuilder *builder, const Op *op, const Access *access, const Affine *by_score)
{
    Program *program = builder->unit->program;
    IndexBy *by = ARENA_ARRAY(program->arena, IndexBy, op->index_count + 1);
    for (int p = 0; p < access->count; p++) {
        int index = -1;
        if (affine_is_index(access->subs[p].affine, &index))
            by[index] = (IndexBy){by_score[p], NULL, 1};
    }
    for (int i = 0; i < op->index_count; i++)
        if (by[i].joint == 0)
            by[i] = (IndexBy){affine_index(program, op_index(builder, op->indices[i].name, op->indices[i].extent)), NULL, 1};
    return by;
}

/* The score's axes as the builder's first indices. */
static Affine *score_axes(OpBuilder *builder, const StreamGrad *g)
{
    Program *program = builder->unit->program;
    Affine *axes = ARENA_ARRAY(program->arena, Affine, g->score.out.count + 1);
    for (int p = 0; p < g->score.out.count; p++) {
        int index = -1;
        (void)affine_is_index(g->score.out.subs[p].affine, &index);
        axes[p] = affine_index(program, op_index(builder, g->score.indices[index].name, g->score.indices[index].extent));
    }
    return axes;
}

static Access access_axes(const StreamGrad *g, int tensor, const Affine *axes)
{
    Access access = access_new(g->b->forward->program, tensor, g->score.out.count);
    for (int p = 0; p < access.count; p++)
        access.subs[p] = sub_affine(axes[p], 1);
    return access;
}

/* The conditions and guards of the score at `axes`. */
static void score_domain(StreamGrad *g, OpBuilder *builder, const Affine *axes)
{
    if (g->same)
        return;
    IndexBy *by = map_onto(builder, &g->score, &g->score.out, axes);
    Rewrite rewrite = rewrite_begin(builder, g->b->forward, &g->score, by, map_tensor, g);
    rewrite_domain(&rewrite);
}

static int finish_member(StreamGrad *g, OpBuilder *builder)
{
    g->members++;
    return op_finish(builder);
}

/* exp(score - lse) at `axes`. */
static int probability(StreamGrad *g, OpBuilder *builder, const Affine *axes)
{
    const Access *scores = read_of(&g->lse, g->score.out.tensor);
    IndexBy *by = map_onto(builder, &g->lse, scores, axes);
    Rewrite rewrite = rewrite_begin(builder, g->b->forward, &g->lse, by, map_tensor, g);
    int score = expr_read(builder, access_axes(g, g->score_copy, axes));
    int lse = expr_read(builder, rewrite_subs(&rewrite, &g->lse.out, backward_need(g->b, g->lse.out.tensor)));
    return expr_op(builder, EXPR_EXP, expr_op(builder, EXPR_SUB, score, lse, -1), -1, -1);
}

/* ---- before the group ----------------------------------------------------------------------------------------------------------- */

static void need_reads(void *user, const Access *access, AccessUse use)
{
    StreamGrad *g = user;
    if (use != ACCESS_OUT && access->tensor != g->raw.out.tensor && access->tensor != g->score.out.tensor)
        (void)backward_need(g->b, access->tensor);
}

/* What the members read must stand before them. */
static void prepare(StreamGrad *g)
{
    op_visit(&g->raw, need_reads, g);
    op_visit(&g->score, need_reads, g);
    op_visit(&g->lse, need_reads, g);
    (void)backward_need(g->b, g->lse.out.tensor);
    for (int u = 0; u < g->from.use_count; u++) {
        op_visit(use_op(g, u), need_reads, g);
        if (g->use_grad[u] >= 0)
            (void)backward_need(g->b, use_op(g, u)->out.tensor);
    }
    for (int p = 0; p < g->from.pick_count; p++)
        op_visit(pick_op(g, p), need_reads, g);
}

/* dot[row] sum= Ō·O over the use's own indices. */
static int row_dot(StreamGrad *g, int u)
{
    Backward *b = g->b;
    const Op *use = use_op(g, u);
    Program *program = b->forward->program;
    OpBuilder builder = op_begin(b->target, OP_NEST);
    builder.op.reducer = REDUCE_SUM;
    IndexBy *by = ARENA_ARRAY(program->arena, IndexBy, use->index_count + 1);
    for (int i = 0; i < use->index_count; i++) {
        bool kept = access_has_index(&use->out, i); /* all but the column */
        by[i] =
            (IndexBy){kept ? affine_index(program, op_index(&builder, use->indices[i].name, use->indices[i].extent)) : affine_const(program, dim_int(program->dims, 0)), NULL, 1};
    }
    Rewrite rewrite = rewrite_begin(&builder, b->forward, use, by, map_tensor, g);
    int grad = expr_read(&builder, rewrite_subs(&rewrite, &use->out, g->use_grad[u]));
    int value = expr_read(&builder, rewrite_subs(&rewrite, &use->out, backward_need(b, use->out.tensor)));
    builder.op.body = expr_op(&builder, EXPR_MUL, grad, value, -1);
    int dot = backward_like(b, g->lse.out.tensor, ".dot");
    builder.op.out = rewrite_subs(&rewrite, read_of(use, g->lse.out.tensor), dot);
    (void)op_finish(&builder);
    return dot;
}

static int row_term(StreamGrad *g)
{
    Backward *b = g->b;
    Program *program = b->forward->program;
    const Tensor *lse = &b->forward->tensors[g->lse.out.tensor];
    int rank = lse->rank, dots[BFM_STREAM_USES], count = 0, *indices = ARENA_ARRAY(program->arena, int, rank + 1);
    for (int u = 0; u < g->from.use_count; u++)
        if (g->use_grad[u] >= 0)
            dots[count++] = row_dot(g, u);
    if (count == 0)
        return g->lse_grad;
    OpBuilder builder = op_begin(b->target, OP_NEST);
    builder.op.reducer = REDUCE_SET;
    lse = &b->forward->tensors[g->lse.out.tensor];
    for (int k = 0; k < rank; k++)
        indices[k] = op_index(&builder, intern(program->interner, arena_printf(program->arena, "i%d", k)), lse->extent[k]);
    int sum = g->lse_grad >= 0 ? expr_read(&builder, access_indices(program, g->lse_grad, rank, indices)) : expr_const(&builder, 0);
    for (int d = 0; d < count; d++)
        sum = expr_op(&builder, EXPR_SUB, sum, expr_read(&builder, access_indices(program, dots[d], rank, indices)), -1);
    builder.op.body = sum;
    int row = backward_like(b, g->lse.out.tensor, ".row");
    builder.op.out = access_indices(program, row, rank, indices);
    (void)op_finish(&builder);
    return row;
}

/* ---- members -------------------------------------------------------------------------------------------------------------------- */

static int again(StreamGrad *g, const Op *op, int copy)
{
    OpBuilder builder = op_begin(g->b->target, OP_NEST);
    Rewrite rewrite = rewrite_begin(&builder, g->b->forward, op, NULL, map_tensor, g);
    rewrite_all(&rewrite);
    builder.op.out = rewrite_subs(&rewrite, &op->out, copy);
    return finish_member(g, &builder);
}

static void scores_again(StreamGrad *g)
{
    g->raw_copy = backward_like(g->b, g->raw.out.tensor, "");
    g->score_copy = g->same ? g->raw_copy : backward_like(g->b, g->score.out.tensor, "");
    g->to.raw = g->to.score = again(g, &g->raw, g->raw_copy);
    if (!g->same)
        g->to.score = again(g, &g->score, g->score_copy);
}

static void slope(StreamGrad *g, int u)
{
    Backward *b = g->b;
    const Op *use = use_op(g, u);
    OpBuilder builder = op_begin(b->target, OP_NEST);
    builder.op.reducer = REDUCE_SUM;
    Affine *axes = score_axes(&builder, g);
    IndexBy *by = map_onto(&builder, use, read_of(use, g->score.out.tensor), axes);
    Rewrite rewrite = rewrite_begin(&builder, b->forward, use, by, map_tensor, g);
    rewrite_domain(&rewrite);
    int grad = expr_read(&builder, rewrite_subs(&rewrite, &use->out, g->use_grad[u]));
    int operand = expr_read(&builder, rewrite_access(&rewrite, operand_of(g, use)));
    builder.op.body = expr_op(&builder, EXPR_MUL, grad, operand, -1);
    g->dprob[u] = backward_like(b, g->score.out.tensor, ".slope");
    builder.op.out = access_axes(g, g->dprob[u], axes);
    g->to.dprobs[g->to.dprob_count++] = finish_member(g, &builder);
}

/* The pick's adjoint where the column is the pick's. */
static int pick_term(StreamGrad *g, OpBuilder *builder, int p, const Affine *axes)
{
    const Op *pick = pick_op(g, p);
    const Access *read = read_of(pick, g->score.out.tensor);
    Program *program = g->b->forward->program;
    IndexBy *by = ARENA_ARRAY(program->arena, IndexBy, pick->index_count + 1);
    int col = -1;
    for (int k = 0, index = -1; k < read->count; k++) {
        if (read->subs[k].read)
            col = k;
        else if (affine_is_index(read->subs[k].affine, &index))
            by[index] = (IndexBy){axes[k], NULL, 1};
    }
    Rewrite rewrite = rewrite_begin(builder, g->b->forward, pick, by, map_tensor, g);
    int target = expr_read(builder, rewrite_access(&rewrite, read->subs[col].read));
    int hit = expr_op(builder, EXPR_EQ, target, expr_affine(builder, axes[col]), -1);
    int grad = expr_read(builder, rewrite_subs(&rewrite, &pick->out, g->pick_grad[p]));
    return expr_op(builder, EXPR_SELECT, hit, grad, expr_const(builder, 0));
}

static void score_gradient(StreamGrad *g)
{
    Backward *b = g->b;
    OpBuilder builder = op_begin(b->target, OP_NEST);
    builder.op.reducer = REDUCE_SET;
    Affine *axes = score_axes(&builder, g);
    score_domain(g, &builder, axes);
    int inner = expr_const(&builder, 0), sum;
    for (int u = 0; u < g->from.use_count; u++)
        if (g->use_grad[u] >= 0)
            inner = expr_op(&builder, EXPR_ADD, inner, expr_read(&builder, access_axes(g, g->dprob[u], axes)), -1);
    if (g->row >= 0) {
        IndexBy *by = map_onto(&builder, &g->lse, read_of(&g->lse, g->score.out.tensor), axes);
        Rewrite rewrite = rewrite_begin(&builder, b->forward, &g->lse, by, map_tensor, g);
        inner = expr_op(&builder, EXPR_ADD, inner, expr_read(&builder, rewrite_subs(&rewrite, &g->lse.out, g->row)), -1);
    }
    sum = expr_op(&builder, EXPR_MUL, probability(g, &builder, axes), inner, -1);
    for (int p = 0; p < g->from.pick_count; p++)
        if (g->pick_grad[p] >= 0)
            sum = expr_op(&builder, EXPR_ADD, sum, pick_term(g, &builder, p, axes), -1);
    builder.op.body = sum;
    g->score_grad = backward_like(b, g->score.out.tensor, ".grad");
    builder.op.out = access_axes(g, g->score_grad, axes);
    g->to.score_grad = finish_member(g, &builder);
}

/* The adjoint that the score's function sends to the read `id`, built at the score's own indices. */
static void through_score(StreamGrad *g, int id, Reducer reducer, int out)
{
    Backward *b = g->b;
    OpBuilder builder = op_begin(b->target, OP_NEST);
    builder.op.reducer = reducer;
    builder_indices(&builder, &g->score);
    Rewrite rewrite = rewrite_begin(&builder, b->forward, &g->score, NULL, map_tensor, g);
    rewrite_domain(&rewrite);
    int seed = expr_read(&builder, rewrite_subs(&rewrite, &g->score.out, g->score_grad));
    builder.op.body = expression_adjoint(b, &rewrite, &g->score, g->score.body, id, seed);
    builder.op.out = rewrite_subs(&rewrite, &g->score.exprs[id].access, out);
    int position = finish_member(g, &builder);
    if (reducer == REDUCE_SET)
        g->to.raw_grad = position;
    else
        g->to.sinks[g->to.sink_count++] = position;
}

static void raw_gradient(StreamGrad *g)
{
    g->raw_grad = g->score_grad;
    g->to.raw_grad = g->to.score_grad;
    for (int id = 0; !g->same && id < g->score.expr_count; id++)
        if (g->score.exprs[id].kind == EXPR_READ && g->score.exprs[id].access.tensor == g->raw.out.tensor) {
            g->raw_grad = backward_like(g->b, g->raw.out.tensor, ".grad");
            through_score(g, id, REDUCE_SET, g->raw_grad);
        }
}

static bool is_varied(const StreamGrad *g, int tensor) { return tensor < g->b->tensor_count && g->b->varied[tensor]; }

/* The score has a derivative by the raw product, and that by something wanted. */
static bool raw_matters(const StreamGrad *g)
{
    if (!is_varied(g, g->raw.out.tensor))
        return false;
    for (int id = 0; !g->same && id < g->score.expr_count; id++)
        if (g->score.exprs[id].kind == EXPR_READ && g->score.exprs[id].access.tensor == g->raw.out.tensor)
            return expression_reaches(g->b, &g->score, g->score.body, id);
    return g->same;
}

/* ---- sinks ---------------------------------------------------------------------------------------------------------------------- */

/* V̄ sum= P·Ō */
static void operand_sink(StreamGrad *g, int u)
{
    Backward *b = g->b;
    const Op *use = use_op(g, u);
    const Access *operand = operand_of(g, use);
    if (g->use_grad[u] < 0 || !is_varied(g, operand->tensor))
        return;
    OpBuilder builder = op_begin(b->target, OP_NEST);
    builder.op.reducer = REDUCE_SUM;
    builder_indices(&builder, use);
    Rewrite rewrite = rewrite_begin(&builder, b->forward, use, NULL, map_tensor, g);
    rewrite_domain(&rewrite);
    int first = use->exprs[use->body].arg[0], second = use->exprs[use->body].arg[1];
    int factor = use->exprs[first].kind == EXPR_READ && &use->exprs[first].access == operand ? second : first;
    int grad = expr_read(&builder, rewrite_subs(&rewrite, &use->out, g->use_grad[u]));
    builder.op.body = expr_op(&builder, EXPR_MUL, rewrite_expr(&rewrite, factor), grad, -1);
    int contribution = backward_like(b, operand->tensor, ".grad");
    builder.op.out = rewrite_subs(&rewrite, operand, contribution);
    g->to.sinks[g->to.sink_count++] = finish_member(g, &builder);
    backward_contribute(b, operand->tensor, contribution);
}

/* Q̄ sum= raw_grad·K and the other way round. */
static void product_sink(StreamGrad *g, int own, int other)
{
    Backward *b = g->b;
    const Access *access = &g->raw.exprs[own].access;
    if (!is_varied(g, access->tensor))
        return;
    OpBuilder builder = op_begin(b->target, OP_NEST);
    builder.op.reducer = REDUCE_SUM;
    builder_indices(&builder, &g->raw);
    Rewrite rewrite = rewrite_begin(&builder, b->forward, &g->raw, NULL, map_tensor, g);
    if (!g->same) { /* the raw axes are where the score reads them */
        const Access *read = read_of(&g->score, g->raw.out.tensor);
        IndexBy *by = ARENA_ARRAY(b->forward->program->arena, IndexBy, g->score.index_count + 1);
        for (int p = 0, index = -1; p < read->count; p++)
            if (affine_is_index(read->subs[p].affine, &index))
                by[index] = (IndexBy){g->raw.out.subs[p].affine, NULL, 1};
        Rewrite domain = rewrite_begin(&builder, b->forward, &g->score, by, map_tensor, g);
        rewrite_domain(&domain);
    }
    int grad = expr_read(&builder, rewrite_subs(&rewrite, &g->raw.out, g->raw_grad));
    builder.op.body = expr_op(&builder, EXPR_MUL, grad, rewrite_expr(&rewrite, other), -1);
    int contribution = backward_like(b, access->tensor, ".grad");
    builder.op.out = rewrite_subs(&rewrite, access, contribution);
    g->to.sinks[g->to.sink_count++] = finish_member(g, &builder);
    backward_contribute(b, access->tensor, contribution);
}

/* What else the score reads. */
static void score_sinks(StreamGrad *g)
{
    for (int id = 0; !g->same && id < g->score.expr_count; id++) {
        const Expr *e = &g->score.exprs[id];
        if (e->kind != EXPR_READ || e->access.tensor == g->raw.out.tensor || !is_varied(g, e->access.tensor) || !expression_reaches(g->b, &g->score, g->score.body, id))
            continue;
        int contribution = backward_like(g->b, e->access.tensor, ".grad");
        through_score(g, id, REDUCE_SUM, contribution);
        backward_contribute(g->b, e->access.tensor, contribution);
    }
}

/* ---- the rule ------------------------------------------------------------------------------------------------------------------- */

static bool load(StreamGrad *g, Backward *b, int number)
{
    g->b = b;
    g->from = b->forward->groups[number - 1];
    if (g->from.raw < 0 || g->from.score < 0 || g->from.lse < 0)
        return false;
    g->raw = b->forward->ops[g->from.raw];
    g->score = b->forward->ops[g->from.score];
    g->lse = b->forward->ops[g->from.lse];
    g->same = g->from.raw == g->from.score;
    if (b->adjoints[g->raw.out.tensor].count + b->adjoints[g->score.out.tensor].count > 0)
        return false; /* somebody outside reads the scores */
    int reads = 0;
    for (int id = 0; id < g->score.expr_count; id++)
        reads += g->score.exprs[id].kind == EXPR_READ;
    return 2 + g->from.use_count + reads <= SINKS_MAX;
}

static bool collect(StreamGrad *g)
{
    Backward *b = g->b;
    bool any = false;
    g->lse_grad = backward_adjoint(b, g->lse.out.tensor);
    any = g->lse_grad >= 0;
    for (int u = 0; u < g->from.use_count; u++) {
        g->use_grad[u] = backward_adjoint(b, use_op(g, u)->out.tensor);
        any = any || g->use_grad[u] >= 0;
    }
    for (int p = 0; p < g->from.pick_count; p++) {
        g->pick_grad[p] = backward_adjoint(b, pick_op(g, p)->out.tensor);
        any = any || g->pick_grad[p] >= 0;
    }
    return any;
}

bool stream_rule(Backward *b, int number)
{
    StreamGrad grad = {.row = -1}, *g = &grad;
    if (!load(g, b, number))
        return false;
    if (!collect(g))
        return true;
    bool scores = is_varied(g, g->score.out.tensor), raw = raw_matters(g);
    prepare(g);
    if (scores)
        g->row = row_term(g);
    g->to = (Group){.kind = GROUP_STREAM_GRAD, .lse = -1, .score_grad = -1, .raw_grad = -1};
    g->first = b->target->op_count;
    scores_again(g);
    for (int u = 0; scores && u < g->from.use_count; u++)
        if (g->use_grad[u] >= 0)
            slope(g, u);
    if (scores)
        score_gradient(g);
    if (raw)
        raw_gradient(g);
    for (int u = 0; u < g->from.use_count; u++)
        operand_sink(g, u);
    if (scores)
        score_sinks(g);
    if (raw) {
        int first = g->raw.exprs[g->raw.body].arg[0], second = g->raw.exprs[g->raw.body].arg[1];
        product_sink(g, first, second);
        product_sink(g, second, first);
    }
    int group = unit_group(b->target, g->to);
    for (int i = g->first; i < b->target->op_count; i++)
        b->target->ops[i].group = group;
    return true;
}
