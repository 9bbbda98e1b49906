/* Streams: groups whose score tensor is never stored. The members are read once more, strictly: whatever does not fit the template makes the whole
   group run member by member, with a note that says why. */
#include "ir/rewrite.h"
#include "schedule/stream_internal.h"
#include "support/bug.h"

#include <math.h>
#include <string.h>

bool stream_fail(StreamReader *reader, const char *why)
{
    if (reader->why == NULL)
        reader->why = why;
    return false;
}

/* ---- which index is which axis -------------------------------------------------------------------------------------------- */

bool stream_axes(StreamReader *reader, int position, const TileTensor *tile, int *axis_of)
{
    const Op *op = &reader->unit->ops[position];
    bool found = false;
    for (int i = 0; i < op->index_count; i++)
        axis_of[i] = -1;
    bool *live = ARENA_ARRAY(reader->scheduler->arena, bool, op->expr_count + 1);
    op_live(op, live);
    for (int e = 0; e < op->expr_count; e++) {
        const Expr *expr = &op->exprs[e];
        int indices[SCHEDULE_INDEX_MAX];
        if (!live[e] || expr->kind != EXPR_READ || expr->access.tensor != tile->tensor)
            continue;
        if (expr->access.count != reader->rank || !access_bare(&expr->access, indices))
            return stream_fail(reader, "a score is read at another place than its own");
        for (int p = 0; p < reader->rank; p++) {
            if (axis_of[indices[p]] >= 0 && axis_of[indices[p]] != tile->axis[p])
                return stream_fail(reader, "a score is read with its axes exchanged");
            axis_of[indices[p]] = tile->axis[p];
        }
        found = true;
    }
    return found || stream_fail(reader, "a member does not read the tile it is made from");
}

bool stream_tile_tensor(StreamReader *reader, int position, const int *axis_of, TileTensor *tile)
{
    const Op *op = &reader->unit->ops[position];
    int indices[SCHEDULE_INDEX_MAX];
    if (op->out.count != reader->rank || !op_out_bare(reader->unit, op, indices))
        return stream_fail(reader, "a tile is not stored index by index");
    tile->tensor = op->out.tensor;
    for (int p = 0; p < reader->rank; p++) {
        tile->axis[p] = axis_of[indices[p]];
        if (tile->axis[p] < 0)
            return stream_fail(reader, "a tile has an axis of its own");
    }
    return true;
}

IndexSet stream_own(const Op *op, const int *axis_of)
{
    IndexSet set = 0;
    for (int i = 0; i < op->index_count; i++) {
        if (axis_of[i] < 0)
            set |= index_bit(i);
    }
    return set;
}

/* ---- domains -------------------------------------------------------------------------------------------------------------- */

static Affine affine_on_axes(StreamReader *reader, const Op *op, Affine affine, const int *axis_of)
{
    Program *program = reader->scheduler->program;
    Affine *by = ARENA_ARRAY(reader->scheduler->arena, Affine, op->index_count + 1);
    for (int i = 0; i < op->index_count; i++)
        by[i] = axis_of[i] < 0 ? affine_const(program, dim_int(program->dims, 0)) : affine_index(program, axis_of[i]);
    return affine_substitute(program, affine, by);
}

static int guard_on_axes(StreamReader *reader, const Op *op, int guard, const int *axis_of)
{
    int *memo = ARENA_ARRAY(reader->scheduler->arena, int, op->expr_count + 1);
    int *map = ARENA_ARRAY(reader->scheduler->arena, int, op->index_count + 1);
    for (int e = 0; e < op->expr_count; e++)
        memo[e] = -1;
    for (int i = 0; i < op->index_count; i++)
        map[i] = axis_of[i] < 0 ? 0 : axis_of[i];
    return expr_copy(&reader->domain, op, guard, map, NULL, memo);
}

bool stream_domain(StreamReader *reader, int position, const int *axis_of)
{
    const Op *op = &reader->unit->ops[position];
    IndexSet own = stream_own(op, axis_of);
    for (int c = 0; c < op->cond_count; c++) {
        if ((affine_indices(op->conds[c]) & own) != 0)
            return stream_fail(reader, "a member has a condition on an index of its own");
        Affine cond = affine_on_axes(reader, op, op->conds[c], axis_of);
        bool said = false;
        for (int s = 0; s < reader->domain.op.cond_count; s++)
            said = said || affine_equal(cond, reader->domain.op.conds[s]);
        if (!said)
            return stream_fail(reader, "a member has a condition that the score has not");
    }
    for (int g = 0; g < op->guard_count; g++) {
        if ((expr_indices(op, op->guards[g]) & own) != 0)
            return stream_fail(reader, "a member has a guard on an index of its own");
        int guard = guard_on_axes(reader, op, op->guards[g], axis_of);
        bool said = false;
        for (int s = 0; s < reader->guard_count; s++)
            said = said || guard == reader->guards[s];
        if (!said)
            return stream_fail(reader, "a member has a guard that the score has not");
    }
    return true;
}

/* Puts the score's domain onto the raw axes. */
static void domain_begin(StreamReader *reader, const int *axis_of_score)
{
    const Op *raw = &reader->unit->ops[reader->group->raw];
    int out[SCHEDULE_INDEX_MAX];
    access_bare(&raw->out, out);
    reader->domain = op_begin(reader->unit, OP_NEST);
    for (int a = 0; a < reader->rank; a++)
        op_index(&reader->domain, raw->indices[out[a]].name, raw->indices[out[a]].extent);
    if (reader->score_op < 0)
        return;
    const Op *score = &reader->unit->ops[reader->score_op];
    for (int c = 0; c < score->cond_count; c++)
        op_cond(&reader->domain, affine_on_axes(reader, score, score->conds[c], axis_of_score));
    reader->guards = ARENA_ARRAY(reader->scheduler->arena, int, score->guard_count + 1);
    for (int g = 0; g < score->guard_count; g++)
        reader->guards[reader->guard_count++] = guard_on_axes(reader, score, score->guards[g], axis_of_score);
}

bool stream_private(StreamReader *reader, int tensor)
{
    const Unit *unit = reader->unit;
    int number = (int)(reader->group - unit->groups) + 1;
    for (int o = 0; o < unit->output_count; o++) {
        if (unit->outputs[o].tensor == tensor)
            return stream_fail(reader, "the scores are asked for as an output");
    }
    for (int i = 0; i < unit->op_count; i++) {
        if (unit->ops[i].group != number && op_reads(&unit->ops[i], tensor))
            return stream_fail(reader, "the scores are read outside the stream");
    }
    return true;
}

/* ---- operands ------------------------------------------------------------------------------------------------------------- */

bool stream_operand(StreamReader *reader, const Operand *operand, const int *axis_of, int index_count, int step_axis, Dim inner, StreamOperand *result)
{
    *result = (StreamOperand){.tensor = operand->tensor, .base = operand->base, .inner = inner};
    for (int i = 0; i < index_count; i++) {
        if (operand->stride[i] == NULL || axis_of[i] < 0)
            continue;
        if (axis_of[i] == step_axis)
            result->step = operand->stride[i];
        else if (reader->batch_of[axis_of[i]] >= 0)
            result->batch[reader->batch_of[axis_of[i]]] = operand->stride[i];
        else
            return stream_fail(reader, "an operand depends on rows and columns at once");
    }
    return true;
}

bool stream_output(StreamReader *reader, int position, const int *axis_of, int step_axis, StreamOperand *result)
{
    const Op *op = &reader->unit->ops[position];
    Operand operand;
    if (!access_strides(reader->scheduler, op, &op->out, -1, &operand) || !out_covers(reader->scheduler, op))
        return stream_fail(reader, "a result does not lie row by row");
    return stream_operand(reader, &operand, axis_of, op->index_count, step_axis, NULL, result);
}

/* A side in place, or stored with `inner` as its last indices. */
static Operand side_in_memory(StreamReader *reader, const Product *product, const Side *side, IndexSet inner, bool stored)
{
    Operand operand;
    if (!stored && operand_plain(reader->scheduler, product, side, &operand))
        return operand;
    const Op *op = &reader->unit->ops[product->op];
    int order[SCHEDULE_INDEX_MAX];
    order_of_sets(op, side->indices & ~inner, inner, 0, order);
    return operand_store(reader->scheduler, product, side, side->indices, stored ? order : NULL, "it is computed, or does not lie in memory as the stream needs it");
}

bool stream_linear(StreamReader *reader, const Product *product, unsigned factors, const int *axis_of, int operand_axis, int out_axis, StreamOperand *operand, StreamOperand *out,
                   Dim *width)
{
    Scheduler *scheduler = reader->scheduler;
    const Op *op = &reader->unit->ops[product->op];
    IndexSet own = stream_own(op, axis_of);
    Side side = {.factors = factors, .indices = factors_indices(product, factors)};
    Operand result, none = {.rows = -1};
    AxisList list;
    if (factors == 0)
        return stream_fail(reader, "a member sums scores without an operand");
    if (!access_strides(scheduler, op, &op->out, -1, &result) || !out_covers(scheduler, op))
        return stream_fail(reader, "a result does not lie row by row");
    if ((own & ~access_indices_used(&op->out)) != 0)
        return stream_fail(reader, "a member sums over an index of its own");
    for (int stored = 0; stored < 2; stored++) {
        Operand from = side_in_memory(reader, product, &side, own, stored != 0);
        op = &reader->unit->ops[product->op];
        axes_of(scheduler, op, own, &from, &none, &result, &list);
        if (list.count > 1)
            continue;
        *width = list.count == 1 ? list.items[0].axis.extent : dim_int(scheduler->program->dims, 1);
        Dim inner = list.count == 1 ? list.items[0].axis.stride[BFM_GEMM_A] : NULL, out_inner = list.count == 1 ? list.items[0].axis.stride[BFM_GEMM_C] : NULL;
        return stream_operand(reader, &from, axis_of, op->index_count, operand_axis, inner, operand) &&
               stream_operand(reader, &result, axis_of, op->index_count, out_axis, out_inner, out);
    }
    return stream_fail(reader, "the result's own indices are not adjacent");
}

bool stream_pair(StreamReader *reader, const Product *product, unsigned left, unsigned right, const int *axis_of, StreamOperand *rows, StreamOperand *columns, Dim *depth)
{
    Scheduler *scheduler = reader->scheduler;
    const Op *op = &reader->unit->ops[product->op];
    IndexSet summed = stream_own(op, axis_of);
    Side sides[2] = {{.factors = left, .indices = factors_indices(product, left)}, {.factors = right, .indices = factors_indices(product, right)}};
    Operand none = {.rows = -1};
    AxisList list;
    for (int stored = 0; stored < 2; stored++) {
        Operand a = side_in_memory(reader, product, &sides[0], summed, stored != 0), b = side_in_memory(reader, product, &sides[1], summed, stored != 0);
        op = &reader->unit->ops[product->op];
        axes_of(scheduler, op, summed, &a, &b, &none, &list);
        if (list.count > 1)
            continue;
        bool one = list.count == 1;
        *depth = one ? list.items[0].axis.extent : dim_int(scheduler->program->dims, 1);
        return stream_operand(reader, &a, axis_of, op->index_count, reader->row, one ? list.items[0].axis.stride[BFM_GEMM_A] : NULL, rows) &&
               stream_operand(reader, &b, axis_of, op->index_count, reader->col, one ? list.items[0].axis.stride[BFM_GEMM_B] : NULL, columns);
    }
    return stream_fail(reader, "the summed indices of a product of scores are not adjacent");
}

/* ---- the raw product and the score ---------------------------------------------------------------------------------------- */

static bool raw_begin(StreamReader *reader)
{
    const Op *raw = &reader->unit->ops[reader->group->raw];
    int out[SCHEDULE_INDEX_MAX];
    if (raw->kind != OP_NEST || raw->reducer != REDUCE_SUM || !op_out_bare(reader->unit, raw, out))
        return stream_fail(reader, "the raw score is no plain sum");
    reader->rank = raw->out.count;
    if (reader->rank < 2 || reader->rank > STREAM_RANK)
        return stream_fail(reader, "the score has too many axes");
    reader->raw.tensor = raw->out.tensor;
    for (int a = 0; a < reader->rank; a++)
        reader->raw.axis[a] = a;
    return stream_private(reader, reader->raw.tensor);
}

bool stream_begin(StreamReader *reader)
{
    const Group *group = reader->group;
    int axis_of[SCHEDULE_INDEX_MAX];
    if (group->raw < 0 || !raw_begin(reader))
        return stream_fail(reader, "there is no raw score");
    const Op *raw = &reader->unit->ops[group->raw];
    reader->score = reader->raw;
    reader->score_op = group->score >= 0 && group->score != group->raw ? group->score : -1;
    if (reader->score_op >= 0) {
        const Op *score = &reader->unit->ops[reader->score_op];
        if (score->kind != OP_NEST || score->reducer != REDUCE_SET)
            return stream_fail(reader, "the score is no function of the raw score");
        if (!stream_axes(reader, reader->score_op, &reader->raw, axis_of) || !stream_tile_tensor(reader, reader->score_op, axis_of, &reader->score))
            return false;
        if (!stream_private(reader, reader->score.tensor))
            return false;
    }
    domain_begin(reader, axis_of);
    int raw_axes[SCHEDULE_INDEX_MAX], out[SCHEDULE_INDEX_MAX];
    access_bare(&raw->out, out);
    for (int i = 0; i < raw->index_count; i++)
        raw_axes[i] = -1;
    for (int a = 0; a < reader->rank; a++)
        raw_axes[out[a]] = a;
    return stream_domain(reader, group->raw, raw_axes);
}

/* Rows: the largest axis that the column operand does not depend on. */
static int row_axis(const StreamReader *reader, const Op *raw, const int *out, IndexSet columns, int col)
{
    int best = -1;
    for (int a = 0; a < reader->rank; a++) {
        if (a == col || index_in(columns, out[a]))
            continue;
        if (best < 0 || dim_nominal(raw->indices[out[a]].extent) > dim_nominal(raw->indices[out[best]].extent))
            best = a;
    }
    return best;
}

bool stream_product(StreamReader *reader, int col)
{
    Stream *step = reader->step;
    const Op *raw = &reader->unit->ops[reader->group->raw];
    int out[SCHEDULE_INDEX_MAX], axis_of[SCHEDULE_INDEX_MAX];
    Product product;
    access_bare(&raw->out, out);
    for (int i = 0; i < raw->index_count; i++)
        axis_of[i] = -1;
    for (int a = 0; a < reader->rank; a++)
        axis_of[out[a]] = a;
    if (!product_of(reader->scheduler, reader->group->raw, &product))
        return stream_fail(reader, "the raw score is no product");
    Side q = {0}, k = {0};
    for (int f = 0; f < product.count; f++) {
        Side *side = index_in(product.factors[f].indices, out[col]) ? &k : &q;
        side->factors |= 1u << f, side->indices |= product.factors[f].indices;
    }
    reader->col = col;
    reader->row = row_axis(reader, raw, out, k.indices, col);
    if (reader->row < 0 || q.factors == 0)
        return stream_fail(reader, "rows and columns of the raw score come from one operand");
    for (int a = 0; a < reader->rank; a++)
        reader->batch_of[a] = a == reader->row || a == col ? -1 : step->batch_count++;
    for (int a = 0; a < reader->rank; a++) {
        if (reader->batch_of[a] >= 0)
            step->batch[reader->batch_of[a]] = raw->indices[out[a]].extent;
    }
    step->rows = raw->indices[out[reader->row]].extent, step->cols = raw->indices[out[col]].extent;
    step->alpha = product.alpha;
    return stream_pair(reader, &product, q.factors, k.factors, axis_of, &step->q, &step->k, &step->depth);
}

bool stream_tile(StreamReader *reader, int position, const int *axis_of, double outside, StreamTile *tile)
{
    const Op *op = &reader->unit->ops[position];
    int *batch_of = ARENA_ARRAY(reader->scheduler->arena, int, op->index_count + 1);
    tile->op = position, tile->row = tile->col = -1, tile->outside = outside;
    for (int i = 0; i < op->index_count; i++) {
        if (axis_of[i] < 0)
            return stream_fail(reader, "a tile's operation has an index of its own");
        batch_of[i] = reader->batch_of[axis_of[i]];
        if (axis_of[i] == reader->row)
            tile->row = i;
        if (axis_of[i] == reader->col)
            tile->col = i;
    }
    tile->batch_of = batch_of;
    return tile->row >= 0 && tile->col >= 0;
}

/* ---- probabilities -------------------------------------------------------------------------------------------------------- */

bool stream_normaliser(const StreamReader *reader, const Op *op, int expr, const Access **max, const Access **log)
{
    const Expr *node = &op->exprs[expr];
    if (node->kind != EXPR_EXP || op->exprs[node->arg[0]].kind != EXPR_SUB)
        return false;
    const Expr *outer = &op->exprs[node->arg[0]], *left = &op->exprs[outer->arg[0]], *right = &op->exprs[outer->arg[1]];
    *log = NULL;
    if (left->kind == EXPR_SUB && right->kind == EXPR_READ) {
        *log = &right->access;
        right = &op->exprs[left->arg[1]], left = &op->exprs[left->arg[0]];
    }
    *max = &right->access;
    return left->kind == EXPR_READ && right->kind == EXPR_READ && left->access.tensor == reader->score.tensor;
}

bool stream_is_probability(const StreamReader *reader, const Op *op, int expr)
{
    const Access *max, *log;
    return stream_normaliser(reader, op, expr, &max, &log) && max->tensor == reader->row_max && (log ? log->tensor : -1) == reader->row_log;
}

int stream_probability(const StreamReader *reader, const Op *op, const Product *product)
{
    int found = -1;
    for (int f = 0; f < product->count; f++) {
        if (product->factors[f].inverse || !stream_is_probability(reader, op, product->factors[f].expr))
            continue;
        if (found >= 0)
            return -1;
        found = f;
    }
    return found;
}

/* ---- the forward group ---------------------------------------------------------------------------------------------------- */

/* The operation behind a tensor that the normaliser reads, -1 if it is of another kind. */
static int normaliser_part(const StreamReader *reader, int tensor, Reducer reducer)
{
    const int def = tensor < 0 ? -1 : reader->unit->tensors[tensor].def;
    const Op *op = def < 0 ? NULL : &reader->unit->ops[def];
    return op && op->kind == OP_NEST && op->reducer == reducer && reader->unit->ops[reader->group->lse].group == op->group ? def : -1;
}

static int read_tensor(const Op *op, int id) { return id >= 0 && op->exprs[id].kind == EXPR_READ ? op->exprs[id].access.tensor : -1; }

/* M of exp(score - (M where it is finite)), -1 if that is not what is summed. */
static int subtracted(const Op *op)
{
    const Expr *e = &op->exprs[op->body];
    const ExprKind path[] = {EXPR_EXP, EXPR_SUB, EXPR_SELECT};
    for (int i = 0; i < 3; i++) {
        if (e->kind != path[i])
            return -1;
        if (i < 2)
            e = &op->exprs[e->arg[i]];
    }
    return read_tensor(op, e->arg[1]);
}

/* The parts of the log-sum-exp (opt/split.c): log of a sum of exponentials of differences to a maximum. */
static bool parts_read(StreamReader *reader, int *max, int *sum)
{
    const Op *log = &reader->unit->ops[reader->group->lse];
    *sum = log->exprs[log->body].kind == EXPR_LOG ? normaliser_part(reader, read_tensor(log, log->exprs[log->body].arg[0]), REDUCE_SUM) : -1;
    *max = *sum < 0 ? -1 : normaliser_part(reader, subtracted(&reader->unit->ops[*sum]), REDUCE_MAX);
    if (*max < 0 || read_tensor(&reader->unit->ops[*max], reader->unit->ops[*max].body) != reader->score.tensor)
        return stream_fail(reader, "the normaliser is no log-sum-exp of scores");
    reader->row_max = reader->unit->ops[*max].out.tensor, reader->row_log = log->out.tensor;
    return true;
}

/* The one axis that the log-sum-exp reduces. */
static bool lse_read(StreamReader *reader, int *col, int *max)
{
    int axis_of[SCHEDULE_INDEX_MAX], sum;
    *col = -1;
    if (!parts_read(reader, max, &sum))
        return false;
    for (int part = 0; part < 2; part++)
        if (!stream_axes(reader, part ? *max : sum, &reader->score, axis_of) || !stream_domain(reader, part ? *max : sum, axis_of))
            return false;
    const Op *op = &reader->unit->ops[*max];
    IndexSet out = access_indices_used(&op->out);
    for (int i = 0; i < op->index_count; i++) {
        if (index_in(out, i))
            continue;
        if (*col >= 0 || axis_of[i] < 0)
            return stream_fail(reader, "the normaliser sums over more than one axis");
        *col = axis_of[i];
    }
    return *col >= 0 || stream_fail(reader, "the normaliser sums over nothing");
}

static bool use_read(StreamReader *reader, int position)
{
    Product product;
    StreamUse *use = &reader->step->uses[reader->step->use_count++];
    int axis_of[SCHEDULE_INDEX_MAX];
    const Op *op = &reader->unit->ops[position];
    if (op->kind != OP_NEST || op->reducer != REDUCE_SUM || !product_of(reader->scheduler, position, &product))
        return stream_fail(reader, "a use of the scores is no product");
    if (!stream_axes(reader, position, &reader->score, axis_of) || !stream_domain(reader, position, axis_of))
        return false;
    int probability = stream_probability(reader, op, &product);
    if (probability < 0)
        return stream_fail(reader, "a use of the scores is not linear in their exponentials");
    use->alpha = product.alpha;
    return stream_linear(reader, &product, ((1u << product.count) - 1) & ~(1u << probability), axis_of, reader->col, reader->row, &use->operand, &use->out, &use->width);
}

static bool pick_read(StreamReader *reader, int position)
{
    const Op *op = &reader->unit->ops[position];
    StreamPick *pick = &reader->step->picks[reader->step->pick_count++];
    const Access *read = &op->exprs[op->body].access, *target = NULL;
    int axis_of[SCHEDULE_INDEX_MAX], index;
    Operand operand;
    if (op->kind != OP_NEST || op->reducer != REDUCE_SET || op->exprs[op->body].kind != EXPR_READ || read->tensor != reader->score.tensor || read->count != reader->rank)
        return stream_fail(reader, "a pick is more than one score");
    for (int i = 0; i < op->index_count; i++)
        axis_of[i] = -1;
    for (int p = 0; p < reader->rank; p++) {
        int axis = reader->score.axis[p];
        if (axis == reader->col)
            target = read->subs[p].read;
        else if (read->subs[p].read == NULL && affine_is_index(read->subs[p].affine, &index))
            axis_of[index] = axis;
        else
            return stream_fail(reader, "a pick is not in its own row");
    }
    if (target == NULL || stream_own(op, axis_of) != 0)
        return stream_fail(reader, "a pick's column is not given by an integer tensor");
    if (!stream_domain(reader, position, axis_of))
        return false;
    if (!access_strides(reader->scheduler, op, target, -1, &operand))
        return stream_fail(reader, "the column of a pick is computed in place");
    return stream_operand(reader, &operand, axis_of, op->index_count, reader->row, NULL, &pick->target) && stream_output(reader, position, axis_of, reader->row, &pick->out);
}

bool stream_score_tile(StreamReader *reader)
{
    StreamTile *tile = &reader->step->score;
    int axis_of[SCHEDULE_INDEX_MAX];
    tile->op = -1;
    if (reader->score_op < 0)
        return true;
    if (!stream_axes(reader, reader->score_op, &reader->raw, axis_of))
        return false;
    if (!stream_tile(reader, stream_tabled(reader, reader->score_op, axis_of), axis_of, -INFINITY, tile))
        return false;
    tile->tile_count = 1, tile->tensors[0] = reader->raw.tensor, tile->tiles[0] = BFM_TILE_RAW;
    if (reader->unit->ops[reader->score_op].cond_count > 0) {
        reader->step->range = *tile;
        reader->step->range.bounds = true;
    }
    return true;
}

static bool forward_read(StreamReader *reader)
{
    const Group *group = reader->group;
    Stream *step = reader->step;
    int col, max, axis_of[SCHEDULE_INDEX_MAX];
    if (group->lse < 0)
        return stream_fail(reader, "there is no normaliser");
    if (!stream_begin(reader) || !lse_read(reader, &col, &max) || !stream_product(reader, col) || !stream_score_tile(reader))
        return false;
    if (!stream_axes(reader, max, &reader->score, axis_of) || !stream_output(reader, max, axis_of, reader->row, &step->row_max))
        return false;
    step->row_log = step->row_max; /* of the same shape */
    step->row_log.tensor = reader->row_log;
    for (int u = 0; u < group->use_count; u++) {
        if (!use_read(reader, group->uses[u]))
            return false;
    }
    for (int p = 0; p < group->pick_count; p++) {
        if (!pick_read(reader, group->picks[p]))
            return false;
    }
    return true;
}

/* Members that the template does not know would be lost. */
static bool members_known(StreamReader *reader)
{
    const Group *group = reader->group;
    int known = 1 + (reader->score_op >= 0) + 3 * (group->kind == GROUP_STREAM) + group->use_count + group->pick_count, members = 0; /* maximum, sum, log */
    int number = (int)(group - reader->unit->groups) + 1;
    if (group->kind == GROUP_STREAM_GRAD) {
        bool same = group->raw_grad < 0 || group->raw_grad == group->score_grad;
        known = 1 + (reader->score_op >= 0) + 1 + !same + group->dprob_count + group->sink_count;
    }
    for (int i = 0; i < reader->unit->op_count; i++)
        members += reader->unit->ops[i].group == number;
    return known == members || stream_fail(reader, "the group has members without a role");
}

static Dim stream_flops(const StreamReader *reader)
{
    const Stream *step = reader->step;
    DimTable *dims = reader->scheduler->program->dims;
    Dim points = dim_mul(dims, step->rows, step->cols), inner = step->depth;
    for (int i = 0; i < step->batch_count; i++)
        points = dim_mul(dims, points, step->batch[i]);
    for (int i = 0; i < step->use_count; i++)
        inner = dim_add(dims, inner, step->uses[i].width);
    for (int i = 0; i < step->slope_count; i++)
        inner = dim_add(dims, inner, step->slopes[i].width);
    for (int i = 0; i < step->sink_count; i++)
        inner = dim_add(dims, inner, step->sinks[i].width);
    return dim_mul(dims, dim_int(dims, 2), dim_mul(dims, points, inner));
}

bool schedule_stream(Scheduler *scheduler, int position)
{
    Group group = scheduler->unit->groups[position]; /* the unit may grow while it is read */
    StreamReader *reader = ARENA_NEW(scheduler->arena, StreamReader);
    *reader = (StreamReader){.scheduler = scheduler, .unit = scheduler->unit, .group = &scheduler->unit->groups[position], .row_max = -1, .row_log = -1, .score_op = -1};
    reader->step = ARENA_NEW(scheduler->arena, Stream);
    reader->step->score.op = reader->step->score_grad.op = reader->step->raw_grad.op = reader->step->range.op = -1;
    bool forward = group.kind == GROUP_STREAM;
    bool fits = (forward ? forward_read(reader) : stream_grad_read(reader)) && members_known(reader);
    if (!fits) {
        int raw = group.raw >= 0 ? scheduler->unit->ops[group.raw].out.tensor : -1;
        step_note(scheduler, raw, true, "scores stored instead of streamed%s: %s", forward ? "" : " backwards", reader->why != NULL ? reader->why : "unknown structure");
        return false;
    }
    step_add(scheduler, (Step){.kind = forward ? BFM_KERNEL_STREAM : BFM_KERNEL_STREAM_GRAD,
                               .op = -1,
                               .record = reader->step,
                               .flops = stream_flops(reader),
                               .reason = forward ? "scores made, normalised and used tile by tile" : "scores made again, tile by tile, for their gradients"});
    for (int t = 0; t < reader->step->total_count; t++)
        schedule_map(scheduler, reader->spread[t], "totals of score gradients, to where they belong");
    return true;
}
