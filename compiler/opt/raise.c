/* Streams: a contraction whose scores are normalised over one axis and used at once, so that nobody needs to store them.
   requires   a verified, simplified unit, before differentiation
   preserves  values bit for bit
   breaks     positions of operations: the members of a group stand together; readers of single scores read a new `pick` instead */
#include "opt/opt.h"

#include "ir/rewrite.h"

#include <string.h>

enum { RANK_MAX = 12 };

typedef struct Stream {
    Unit *unit;
    int lse, score, raw; /* operations; score == raw: the raw product is the score */
    int scores;          /* the tensor that lse reads */
    int rank, col;       /* of the scores; the axis that lse reduces */
    int use_count, uses[BFM_STREAM_USES];
    int pick_count, picks[BFM_STREAM_USES];     /* made by raise_picks */
    int reader_count, readers[BFM_STREAM_USES]; /* operations that read single scores */
    OpBuilder domain;                           /* the lse's domain over the axes of the scores */
} Stream;

/* ---- shapes of members -------------------------------------------------------------------------------------------------------- */

/* Q·K: two reads that share a reduced index, the scores' column in one of them only. */
static bool is_product(const Unit *unit, const Op *op, int col)
{
    int out[RANK_MAX];
    const Expr *body = &op->exprs[op->body];
    if (op->kind != OP_NEST || op->reducer != REDUCE_SUM || op->group != 0 || op->out.count > RANK_MAX || !op_out_bare(unit, op, out) || body->kind != EXPR_MUL)
        return false;
    const Expr *a = &op->exprs[body->arg[0]], *b = &op->exprs[body->arg[1]];
    if (a->kind != EXPR_READ || b->kind != EXPR_READ || op->index_count == op->out.count)
        return false;
    return access_has_index(&a->access, out[col]) != access_has_index(&b->access, out[col]);
}

typedef struct OnlyReader {
    int tensor;
    const Access *access;
    int count;
} OnlyReader;

static void find_access(void *user, const Access *access, AccessUse use)
{
    OnlyReader *reader = user;
    if (use == ACCESS_OUT || access->tensor != reader->tensor)
        return;
    reader->count += use == ACCESS_VALUE ? 1 : 1000; /* as a subscript or initial value it is no read of a stream */
    reader->access = access;
}

static OnlyReader reads_of(const Op *op, int tensor)
{
    OnlyReader reader = {tensor, NULL, 0};
    op_visit(op, find_access, &reader);
    for (int a = 0; op->kind == OP_CALL && a < op->arg_count; a++)
        reader.count += op->args[a] == tensor ? 1000 : 0;
    return reader;
}

static bool is_output(const Unit *unit, int tensor)
{
    for (int o = 0; o < unit->output_count; o++)
        if (unit->outputs[o].tensor == tensor)
            return true;
    return false;
}

/* The only operation that reads the tensor, -1 if there are more. */
static int only_reader(const Unit *unit, int tensor)
{
    int found = -1;
    for (int i = 0; i < unit->op_count; i++)
        if (reads_of(&unit->ops[i], tensor).count > 0) {
            if (found >= 0)
                return -1;
            found = i;
        }
    return is_output(unit, tensor) ? -1 : found;
}

static bool find_lse(Stream *s)
{
    const Op *op = &s->unit->ops[s->lse];
    int at[RANK_MAX], reduced = 0;
    if (op->kind != OP_NEST || op->reducer != REDUCE_LSE || op->group != 0 || op->exprs[op->body].kind != EXPR_READ || !op_out_bare(s->unit, op, NULL))
        return false;
    const Access *access = &op->exprs[op->body].access;
    s->scores = access->tensor;
    s->rank = access->count;
    if (s->rank > RANK_MAX || s->rank != op->index_count || !access_bare(access, at))
        return false;
    for (int p = 0; p < s->rank; p++)
        if (!access_has_index(&op->out, at[p])) {
            s->col = p;
            reduced++;
        }
    return reduced == 1;
}

/* The score is the product, or a function of one that it reads point by point and that nobody else reads. */
static bool find_raw(Stream *s)
{
    const Unit *unit = s->unit;
    int def = unit->tensors[s->scores].def, out[RANK_MAX], at[RANK_MAX];
    if (def < 0 || is_output(unit, s->scores))
        return false;
    s->score = def;
    s->raw = def;
    const Op *score = &unit->ops[def];
    if (is_product(unit, score, s->col))
        return true;
    if (score->kind != OP_NEST || score->reducer != REDUCE_SET || score->group != 0 || !op_out_bare(unit, score, out))
        return false;
    for (int id = 0; id < score->expr_count; id++) {
        const Expr *e = &score->exprs[id];
        if (e->kind != EXPR_READ || unit->tensors[e->access.tensor].def < 0 || e->access.count != s->rank || !access_bare(&e->access, at))
            continue;
        int raw = unit->tensors[e->access.tensor].def, col = -1;
        for (int p = 0; p < s->rank; p++)
            col = at[p] == out[s->col] ? p : col;
        if (col < 0 || !is_product(unit, &unit->ops[raw], col) || only_reader(unit, e->access.tensor) != def || reads_of(score, e->access.tensor).count != 1)
            continue;
        s->raw = raw;
        return true;
    }
    return false;
}

/* exp(score - lse) at the operation's own point. */
static bool is_probability(const Stream *s, const Op *op, int id, int *at)
{
    const Op *lse = &s->unit->ops[s->lse];
    const Expr *e = &op->exprs[id];
    if (e->kind != EXPR_EXP || op->exprs[e->arg[0]].kind != EXPR_SUB)
        return false;
    const Expr *score = &op->exprs[op->exprs[e->arg[0]].arg[0]], *row = &op->exprs[op->exprs[e->arg[0]].arg[1]];
    int rows[RANK_MAX], of_score[RANK_MAX], of_out[RANK_MAX];
    if (score->kind != EXPR_READ || score->access.tensor != s->scores || row->kind != EXPR_READ || row->access.tensor != lse->out.tensor)
        return false;
    if (!access_bare(&score->access, at) || score->access.count != s->rank || !access_bare(&row->access, rows))
        return false;
    (void)access_bare(&lse->exprs[lse->body].access, of_score);
    (void)access_bare(&lse->out, of_out);
    for (int k = 0; k < lse->out.count; k++)
        for (int p = 0; p < s->rank; p++)
            if (of_out[k] == of_score[p] && rows[k] != at[p])
                return false;
    return true;
}

/* O sum= exp(score - lse)·V over the column only. */
static bool is_use(const Stream *s, const Op *op)
{
    int at[RANK_MAX];
    const Expr *body = &op->exprs[op->body];
    if (op->kind != OP_NEST || op->reducer != REDUCE_SUM || op->group != 0 || body->kind != EXPR_MUL || !op_out_bare(s->unit, op, NULL))
        return false;
    bool first = is_probability(s, op, body->arg[0], at);
    if (!first && !is_probability(s, op, body->arg[1], at))
        return false;
    const Expr *operand = &op->exprs[body->arg[first ? 1 : 0]];
    if (operand->kind != EXPR_READ || operand->access.tensor == s->scores || !access_has_index(&operand->access, at[s->col]))
        return false;
    for (int i = 0; i < op->index_count; i++)
        if (access_has_index(&op->out, i) == (i == at[s->col]))
            return false;
    return reads_of(op, s->scores).count == 1;
}

/* Reads the scores only at its own row and a column given by an integer. */
static bool is_picker(const Stream *s, const Op *op)
{
    int picks = 0;
    if (op->kind == OP_CALL || op->group != 0)
        return false;
    for (int id = 0; id < op->expr_count; id++) {
        const Expr *e = &op->exprs[id];
        if (e->kind != EXPR_READ || e->access.tensor != s->scores)
            continue;
        if (e->access.count != s->rank || !e->access.subs[s->col].read)
            return false;
        for (int p = 0; p < s->rank; p++) {
            int index;
            if (p == s->col)
                continue;
            if (e->access.subs[p].read || !affine_is_index(e->access.subs[p].affine, &index) || op->indices[index].extent != s->unit->tensors[s->scores].extent[p])
                return false;
        }
        picks++;
    }
    return picks > 0 && reads_of(op, s->scores).count < 1000;
}

static bool find_readers(Stream *s)
{
    for (int i = 0; i < s->unit->op_count; i++) {
        const Op *op = &s->unit->ops[i];
        if (i == s->lse || reads_of(op, s->scores).count == 0)
            continue;
        if (is_use(s, op) && s->use_count < BFM_STREAM_USES)
            s->uses[s->use_count++] = i;
        else if (is_picker(s, op) && s->reader_count < BFM_STREAM_USES)
            s->readers[s->reader_count++] = i;
        else
            return false;
    }
    return s->use_count + s->reader_count > 0;
}

/* ---- domains ------------------------------------------------------------------------------------------------------------------ */

/* Adds the operation's domain to s->domain, its indices being those axes of the scores where `access` has them. False if it says more than
   indices of the scores can. */
static bool add_domain(Stream *s, const Op *op, const Access *access)
{
    Program *program = s->unit->program;
    int at[RANK_MAX];
    IndexBy *by = ARENA_ARRAY(program->arena, IndexBy, op->index_count + 1);
    if (access->count != s->rank || !access_bare(access, at))
        return false;
    for (int i = 0; i < op->index_count; i++)
        by[i] = (IndexBy){affine_const(program, dim_int(program->dims, 0)), NULL, 0}; /* not to be used */
    for (int p = 0; p < s->rank; p++)
        by[at[p]] = (IndexBy){affine_index(program, p), NULL, 1};
    Rewrite rewrite = rewrite_begin(&s->domain, s->unit, op, by, NULL, NULL);
    rewrite_domain(&rewrite);
    return !rewrite.failed;
}

static bool domains_agree(Stream *s)
{
    const Op *lse = &s->unit->ops[s->lse];
    s->domain = op_begin(s->unit, OP_NEST);
    for (int p = 0; p < s->rank; p++)
        (void)op_index(&s->domain, NULL, s->unit->tensors[s->scores].extent[p]);
    if (!add_domain(s, lse, &lse->exprs[lse->body].access))
        return false;
    int conds = s->domain.op.cond_count, guards = s->domain.op.guard_count;
    for (int u = 0; u < s->use_count; u++) {
        const Op *use = &s->unit->ops[s->uses[u]];
        if (use->cond_count != conds || use->guard_count != guards || !add_domain(s, use, reads_of(use, s->scores).access))
            return false;
    }
    const Op *score = &s->unit->ops[s->score];
    if (!add_domain(s, score, &score->out))
        return false;
    if (s->reader_count > 0 && conds + guards > 0)
        return false; /* a pick would not know whether its score exists */
    return s->domain.op.cond_count == conds && s->domain.op.guard_count == guards;
}

/* ---- operands that are not everywhere ------------------------------------------------------------------------------------------- */

typedef struct Operand {
    int expr;                   /* of the use: the factor that is not the probability */
    unsigned extra, conditions; /* guards and conditions of the use that the lse does not have */
} Operand;

/* Whether the lse has this guard of the use too. */
static bool lse_has_guard(Stream *s, const Op *use, const IndexBy *by, int guard)
{
    Rewrite rewrite = rewrite_begin(&s->domain, s->unit, use, by, NULL, NULL);
    const int expr = rewrite_expr(&rewrite, use->guards[guard]);
    for (int g = 0; g < s->domain.op.guard_count && !rewrite.failed; g++)
        if (s->domain.op.guards[g] == expr)
            return true;
    return false;
}

static bool lse_has_condition(Stream *s, const Op *use, const IndexBy *by, int condition)
{
    Rewrite rewrite = rewrite_begin(&s->domain, s->unit, use, by, NULL, NULL);
    const Affine affine = rewrite_affine(&rewrite, use->conds[condition]);
    for (int c = 0; c < s->domain.op.cond_count && !rewrite.failed; c++)
        if (affine_equal(s->domain.op.conds[c], affine))
            return true;
    return false;
}

/* What the use multiplies probabilities by, where that may not exist for every column: an integer chooses it, which may be none, or a guard leaves it out. */
static bool find_operand(Stream *s, const Op *use, Operand *operand)
{
    Program *program = s->unit->program;
    const Access *scores = reads_of(use, s->scores).access;
    const Expr *body = &use->exprs[use->body];
    IndexBy *by = ARENA_ARRAY(program->arena, IndexBy, use->index_count + 1);
    int at[RANK_MAX];
    if (!access_bare(scores, at) || use->guard_count > 31 || use->cond_count > 31)
        return false;
    for (int i = 0; i < use->index_count; i++)
        by[i] = (IndexBy){affine_const(program, dim_int(program->dims, 0)), NULL, 0};
    for (int p = 0; p < s->rank; p++)
        by[at[p]] = (IndexBy){affine_index(program, p), NULL, 1};
    *operand = (Operand){.expr = use->exprs[body->arg[0]].kind == EXPR_READ ? body->arg[0] : body->arg[1]};
    const Access *access = &use->exprs[operand->expr].access;
    for (int g = 0; g < use->guard_count; g++) {
        if (lse_has_guard(s, use, by, g))
            continue;
        operand->extra |= 1u << g;
        for (int i = 0; i < use->index_count; i++)
            if (op_uses_index(use, use->guards[g], i) && !access_has_index(access, i))
                return false;
    }
    for (int c = 0; c < use->cond_count; c++) {
        if (lse_has_condition(s, use, by, c))
            continue;
        operand->conditions |= 1u << c;
        for (int t = 0; t < use->conds[c].count; t++)
            if (!access_has_index(access, use->conds[c].terms[t].index))
                return false;
    }
    bool chosen = (operand->extra | operand->conditions) != 0;
    for (int i = 0; i < access->count; i++)
        chosen = chosen || access->subs[i].read;
    return chosen;
}

/* A tensor of the operand's values over the indices that it has, 0 where it does not exist. */
static int make_operand(Stream *s, const Op *use, const Operand *operand, const int *indices, int count)
{
    Unit *unit = s->unit;
    Program *program = unit->program;
    const Access *access = &use->exprs[operand->expr].access;
    OpBuilder builder = op_begin(unit, OP_NEST);
    IndexBy *by = ARENA_ARRAY(program->arena, IndexBy, use->index_count + 1);
    Dim extents[RANK_MAX];
    int own[RANK_MAX];
    for (int i = 0; i < use->index_count; i++)
        by[i] = (IndexBy){affine_const(program, dim_int(program->dims, 0)), NULL, 0};
    for (int k = 0; k < count; k++) {
        extents[k] = use->indices[indices[k]].extent;
        own[k] = op_index(&builder, use->indices[indices[k]].name, extents[k]);
        by[indices[k]] = (IndexBy){affine_index(program, own[k]), NULL, 1};
    }
    Rewrite rewrite = rewrite_begin(&builder, unit, use, by, NULL, NULL);
    builder.op.reducer = REDUCE_SUM;
    for (int c = 0; c < use->cond_count; c++)
        if (operand->conditions >> c & 1)
            op_cond(&builder, rewrite_affine(&rewrite, use->conds[c]));
    for (int g = 0; g < use->guard_count; g++)
        if (operand->extra >> g & 1)
            op_guard(&builder, rewrite_expr(&rewrite, use->guards[g]));
    builder.op.body = rewrite_expr(&rewrite, operand->expr);
    const int tensor = unit_tensor(unit, symbol_suffix(program, unit->tensors[access->tensor].name, ".chosen"), T_REAL, TENSOR_LOCAL, count, extents, NULL);
    builder.op.out = access_indices(program, tensor, count, own);
    builder.op.span = use->span;
    (void)op_finish(&builder);
    return tensor;
}

/* The use with that tensor in the operand's place, for every column. */
static Op use_operand(Stream *s, const Op *use, const Operand *operand, int tensor, const int *indices, int count)
{
    Program *program = s->unit->program;
    OpBuilder builder = op_begin(s->unit, OP_NEST);
    builder_indices(&builder, use);
    Rewrite rewrite = rewrite_begin(&builder, s->unit, use, NULL, NULL, NULL);
    for (int c = 0; c < use->cond_count; c++)
        if (!(operand->conditions >> c & 1))
            op_cond(&builder, rewrite_affine(&rewrite, use->conds[c]));
    for (int g = 0; g < use->guard_count; g++)
        if (!(operand->extra >> g & 1))
            op_guard(&builder, rewrite_expr(&rewrite, use->guards[g]));
    const Expr *body = &use->exprs[use->body];
    const int read = expr_read(&builder, access_indices(program, tensor, count, indices));
    const int left = body->arg[0] == operand->expr ? read : rewrite_expr(&rewrite, body->arg[0]),
              right = body->arg[1] == operand->expr ? read : rewrite_expr(&rewrite, body->arg[1]);
    builder.op.reducer = use->reducer;
    builder.op.body = expr_op(&builder, EXPR_MUL, left, right, -1);
    builder.op.out = rewrite_access(&rewrite, &use->out);
    builder.op.span = use->span;
    return builder_take(&builder);
}

/* Values that do not exist for some columns count as 0 there: a definition of their own says so, and the use goes over all columns that have a score. */
static void complete_operands(Stream *s)
{
    const Op *lse = &s->unit->ops[s->lse];
    s->domain = op_begin(s->unit, OP_NEST);
    for (int p = 0; p < s->rank; p++)
        (void)op_index(&s->domain, NULL, s->unit->tensors[s->scores].extent[p]);
    if (!add_domain(s, lse, &lse->exprs[lse->body].access))
        return;
    for (int u = 0; u < s->use_count; u++) {
        const Op use = s->unit->ops[s->uses[u]];
        Operand operand;
        int indices[RANK_MAX], count = 0;
        if (!find_operand(s, &use, &operand))
            continue;
        for (int i = 0; i < use.index_count && count < RANK_MAX; i++)
            if (access_has_index(&use.exprs[operand.expr].access, i))
                indices[count++] = i;
        const int tensor = make_operand(s, &use, &operand, indices, count);
        s->unit->ops[s->uses[u]] = use_operand(s, &use, &operand, tensor, indices, count);
    }
}

/* ---- order -------------------------------------------------------------------------------------------------------------------- */

static bool defines_read(const Unit *unit, int writer, int reader)
{
    const Op *op = &unit->ops[writer];
    if (op->kind != OP_CALL)
        return op_reads(&unit->ops[reader], op->out.tensor);
    for (int r = 0; r < op->result_count; r++)
        if (op->results[r] >= 0 && op_reads(&unit->ops[reader], op->results[r]))
            return true;
    return false;
}

/* after[op]: reads, through others perhaps, what a member writes, and is no member. */
static void mark_after(const Unit *unit, const bool *member, bool *after)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < unit->op_count; i++)
            for (int k = 0; !member[i] && !after[i] && k < unit->op_count; k++)
                if ((member[k] || after[k]) && defines_read(unit, k, i))
                    after[i] = changed = true;
    }
}

static bool *members_of(const Stream *s)
{
    bool *member = ARENA_ARRAY(s->unit->program->arena, bool, s->unit->op_count + 1);
    member[s->raw] = member[s->score] = member[s->lse] = true;
    for (int u = 0; u < s->use_count; u++)
        member[s->uses[u]] = true;
    for (int p = 0; p < s->pick_count; p++)
        member[s->picks[p]] = true;
    return member;
}

/* No member depends on what comes after the members. */
static bool can_gather(const Stream *s)
{
    const Unit *unit = s->unit;
    bool *member = members_of(s), *after = ARENA_ARRAY(unit->program->arena, bool, unit->op_count + 1);
    mark_after(unit, member, after);
    for (int i = 0; i < unit->op_count; i++)
        for (int k = 0; after[i] && k < unit->op_count; k++)
            if (member[k] && defines_read(unit, i, k))
                return false;
    for (int r = 0; r < s->reader_count; r++) { /* the integers that pick */
        const Op *op = &unit->ops[s->readers[r]];
        for (int id = 0; id < op->expr_count; id++) {
            const Expr *e = &op->exprs[id];
            if (e->kind != EXPR_READ || e->access.tensor != s->scores)
                continue;
            int def = unit->tensors[e->access.subs[s->col].read->tensor].def;
            if (def >= 0 && (after[def] || member[def]))
                return false;
        }
    }
    return true;
}

static void gather(Stream *s)
{
    Unit *unit = s->unit;
    bool *member = members_of(s), *after = ARENA_ARRAY(unit->program->arena, bool, unit->op_count + 1);
    mark_after(unit, member, after);
    Group group = {.kind = GROUP_STREAM, .raw = s->raw, .score = s->score, .lse = s->lse, .score_grad = -1, .raw_grad = -1};
    group.use_count = s->use_count;
    group.pick_count = s->pick_count;
    memcpy(group.uses, s->uses, sizeof s->uses);
    memcpy(group.picks, s->picks, sizeof s->picks);
    int number = unit_group(unit, group), roles[3 + 2 * BFM_STREAM_USES], count = 0;
    roles[count++] = s->raw;
    if (s->score != s->raw)
        roles[count++] = s->score;
    roles[count++] = s->lse;
    for (int u = 0; u < s->use_count; u++)
        roles[count++] = s->uses[u];
    for (int p = 0; p < s->pick_count; p++)
        roles[count++] = s->picks[p];
    Rebuild rebuild = rebuild_begin(unit);
    for (int i = 0; i < rebuild.old_count; i++)
        if (!member[i] && !after[i])
            (void)rebuild_keep(&rebuild, i);
    for (int r = 0; r < count; r++)
        unit->ops[rebuild_keep(&rebuild, roles[r])].group = number;
    for (int i = 0; i < rebuild.old_count; i++)
        if (after[i])
            (void)rebuild_keep(&rebuild, i);
    rebuild_end(&rebuild);
}

/* ---- picks -------------------------------------------------------------------------------------------------------------------- */

/* pick[row] = score[row, target[row]] for the access as `reader` has it; -1 if the target depends on other indices. */
static int make_pick(Stream *s, const Op *reader, const Access *access)
{
    Unit *unit = s->unit;
    Program *program = unit->program;
    OpBuilder builder = op_begin(unit, OP_NEST);
    builder.op.reducer = REDUCE_SET;
    IndexBy *by = ARENA_ARRAY(program->arena, IndexBy, reader->index_count + 1);
    Dim extent[RANK_MAX];
    int indices[RANK_MAX], rank = 0;
    for (int i = 0; i < reader->index_count; i++)
        by[i] = (IndexBy){affine_const(program, dim_int(program->dims, 0)), NULL, 0};
    for (int p = 0; p < s->rank; p++) {
        int index;
        if (p == s->col || !affine_is_index(access->subs[p].affine, &index))
            continue;
        extent[rank] = reader->indices[index].extent;
        indices[rank] = op_index(&builder, reader->indices[index].name, extent[rank]);
        by[index] = (IndexBy){affine_index(program, indices[rank++]), NULL, 1};
    }
    Rewrite rewrite = rewrite_begin(&builder, unit, reader, by, NULL, NULL);
    Access own = access_new(program, s->scores, s->rank);
    for (int p = 0, k = 0; p < s->rank; p++)
        own.subs[p] = p == s->col ? sub_read(program, rewrite_access(&rewrite, access->subs[p].read), 1) : sub_index(program, indices[k++]);
    if (rewrite.failed)
        return -1;
    builder.op.body = expr_read(&builder, own);
    Symbol name = symbol_suffix(program, unit->tensors[s->scores].name, ".pick");
    int pick = unit_tensor(unit, name, T_REAL, TENSOR_LOCAL, rank, extent, NULL);
    builder.op.out = access_indices(program, pick, rank, indices);
    builder.op.span = reader->span;
    s->picks[s->pick_count++] = op_finish(&builder);
    return pick;
}

typedef struct PickRead {
    Access from, to;
} PickRead;

static bool replace_pick(Rewrite *rewrite, const Access *access, int *expr)
{
    const PickRead *pick = rewrite->user;
    if (!access_equal(access, &pick->from))
        return false;
    *expr = expr_read(rewrite->to, pick->to);
    return true;
}

/* The reader reads pick[row] instead of the score, still only where there is one. */
static void read_pick(Stream *s, int reader, const Access *access, int pick)
{
    Unit *unit = s->unit;
    Op old = unit->ops[reader];
    PickRead read = {*access, access_new(unit->program, pick, s->rank - 1)};
    for (int p = 0, k = 0; p < s->rank; p++)
        if (p != s->col)
            read.to.subs[k++] = access->subs[p];
    OpBuilder builder = op_begin(unit, old.kind);
    Rewrite rewrite = rewrite_begin(&builder, unit, &old, NULL, NULL, &read);
    rewrite.read = replace_pick;
    rewrite_all(&rewrite);
    rewrite.read = NULL;
    rewrite_keep_none(&rewrite);
    unit->ops[reader] = builder_take(&builder);
}

static const Access *first_pick(const Stream *s, const Op *op)
{
    for (int id = 0; id < op->expr_count; id++)
        if (op->exprs[id].kind == EXPR_READ && op->exprs[id].access.tensor == s->scores)
            return &op->exprs[id].access;
    return NULL;
}

/* A pick is made for every row: its target must be inside its axes at each, not only where the reader's conditions hold. */
static bool inside_everywhere(const Unit *unit, const Op *op, const Access *target)
{
    bool inside = true;
    for (int i = 0, axis = 0; i < target->count && inside; axis += target->subs[i++].span) {
        const Sub *sub = &target->subs[i];
        int index;
        if (sub->read)
            inside = inside_everywhere(unit, op, sub->read);
        else
            inside = sub->span == 1 && affine_is_index(sub->affine, &index) && op->indices[index].extent == unit->tensors[target->tensor].extent[axis];
    }
    return inside;
}

static bool target_in_row(const Stream *s, const Op *op, const Access *access)
{
    const Access *target = access->subs[s->col].read;
    if (op->cond_count > 0 && !inside_everywhere(s->unit, op, target))
        return false;
    for (int i = 0; i < op->index_count; i++) {
        bool row = false;
        for (int p = 0; p < s->rank; p++)
            row = row || (p != s->col && affine_has_index(access->subs[p].affine, i));
        if (!row && access_has_index(target, i))
            return false;
    }
    return true;
}

/* Every read of a single score can become a pick, and there are not too many. */
static bool picks_possible(const Stream *s)
{
    int count = 0;
    for (int r = 0; r < s->reader_count; r++) {
        const Op *op = &s->unit->ops[s->readers[r]];
        for (int id = 0; id < op->expr_count; id++)
            if (op->exprs[id].kind == EXPR_READ && op->exprs[id].access.tensor == s->scores) {
                count++;
                if (!target_in_row(s, op, &op->exprs[id].access))
                    return false;
            }
    }
    return count <= BFM_STREAM_USES;
}

static void raise_picks(Stream *s)
{
    for (int r = 0; r < s->reader_count; r++) {
        const Access *access;
        while ((access = first_pick(s, &s->unit->ops[s->readers[r]]))) {
            int pick = make_pick(s, &s->unit->ops[s->readers[r]], access);
            if (pick < 0)
                return; /* not reached: picks_possible */
            read_pick(s, s->readers[r], access, pick);
        }
    }
}

/* ---- the score's own operation ------------------------------------------------------------------------------------------------ */

static int map_scores(void *user, int tensor)
{
    const int *pair = user;
    return tensor == pair[0] ? pair[1] : tensor;
}

/* The product is normalised over part of its axis: the score is the product there. */
static void add_score(Stream *s)
{
    Unit *unit = s->unit;
    Program *program = unit->program;
    OpBuilder builder = s->domain;
    int indices[RANK_MAX], pair[2] = {s->scores, -1};
    builder.op.reducer = REDUCE_SET;
    for (int p = 0; p < s->rank; p++) {
        indices[p] = p;
        builder.op.indices[p].name = intern(program->interner, arena_printf(program->arena, "i%d", p));
    }
    builder.op.body = expr_read(&builder, access_indices(program, s->scores, s->rank, indices));
    pair[1] = unit_tensor_like(unit, &unit->tensors[s->scores], ".score", TENSOR_LOCAL);
    builder.op.out = access_indices(program, pair[1], s->rank, indices);
    builder.op.span = unit->ops[s->raw].span;
    s->score = op_finish(&builder);
    for (int m = -1; m < s->use_count; m++) {
        int position = m < 0 ? s->lse : s->uses[m];
        Op old = unit->ops[position];
        OpBuilder reader = op_begin(unit, old.kind);
        Rewrite rewrite = rewrite_begin(&reader, unit, &old, NULL, map_scores, pair);
        rewrite_all(&rewrite);
        unit->ops[position] = builder_take(&reader);
    }
    s->scores = pair[1];
}

/* The score is made only where it is normalised. */
static void narrow_score(Stream *s)
{
    Unit *unit = s->unit;
    Op old = unit->ops[s->score];
    Program *program = unit->program;
    int at[RANK_MAX];
    (void)access_bare(&old.out, at);
    OpBuilder builder = op_begin(unit, OP_NEST);
    Rewrite rewrite = rewrite_begin(&builder, unit, &old, NULL, NULL, NULL);
    rewrite_all(&rewrite);
    IndexBy by[RANK_MAX];
    for (int p = 0; p < s->rank; p++)
        by[p] = (IndexBy){affine_index(program, at[p]), NULL, 1};
    Rewrite domain = rewrite_begin(&builder, unit, &s->domain.op, by, NULL, NULL);
    rewrite_domain(&domain);
    unit->ops[s->score] = builder_take(&builder);
}

static bool raise_at(Unit *unit, int lse)
{
    Stream stream = {.unit = unit, .lse = lse}, *s = &stream;
    if (!find_lse(s) || !find_raw(s) || !find_readers(s))
        return false;
    Op before[BFM_STREAM_USES];
    for (int u = 0; u < s->use_count; u++)
        before[u] = unit->ops[s->uses[u]];
    complete_operands(s);
    if (!domains_agree(s) || !picks_possible(s) || !can_gather(s)) {
        for (int u = 0; u < s->use_count; u++)
            unit->ops[s->uses[u]] = before[u];
        return false;
    }
    bool partial = s->domain.op.cond_count + s->domain.op.guard_count > 0;
    if (s->score == s->raw && partial)
        add_score(s);
    else if (partial)
        narrow_score(s);
    raise_picks(s);
    gather(s);
    return true;
}

/* Probabilities that were given a name go into the sums that read them: exp(score - lse) is made again tile by tile. */
static void expand_probabilities(Unit *unit)
{
    for (int i = 0; i < unit->op_count; i++) {
        const Op *op = &unit->ops[i];
        const Expr *body = op->kind == OP_NEST && op->reducer == REDUCE_SET && op->group == 0 ? &op->exprs[op->body] : NULL;
        if (!body || body->kind != EXPR_EXP || op->exprs[body->arg[0]].kind != EXPR_SUB || is_output(unit, op->out.tensor))
            continue;
        const Expr *row = &op->exprs[op->exprs[body->arg[0]].arg[1]];
        int def = row->kind == EXPR_READ ? unit->tensors[row->access.tensor].def : -1, tensor = op->out.tensor;
        bool sums = def >= 0 && unit->ops[def].kind == OP_NEST && unit->ops[def].reducer == REDUCE_LSE;
        for (int r = 0; sums && r < unit->op_count; r++) {
            const Op *reader = &unit->ops[r];
            if (reads_of(reader, tensor).count > 0)
                sums = reader->kind == OP_NEST && reader->reducer == REDUCE_SUM && reader->group == 0 && reads_of(reader, tensor).count == 1 &&
                       reader->exprs[reader->body].kind == EXPR_MUL && reader->index_count > op->index_count;
        }
        for (int r = 0; sums && r < unit->op_count; r++)
            if (op_reads(&unit->ops[r], tensor))
                (void)unit_inline(unit, r, tensor);
    }
}

int opt_raise(Unit *unit)
{
    int count = 0;
    expand_probabilities(unit);
    (void)opt_dce(unit);
    for (int i = 0; i < unit->op_count; i++) {
        if (!raise_at(unit, i))
            continue;
        count++;
        i = -1; /* positions have changed */
    }
    (void)opt_dce(unit);
    return count;
}
