/* The derivative of a stream: score tiles are made again, their gradients formed and reduced at once. */
#include "ir/rewrite.h"
#include "schedule/stream_internal.h"

/* The normaliser's parts: the exponential of a score in the score's gradient names them. */
static bool normaliser_read(const StreamReader *reader, const Op *op, const Access **max, const Access **log)
{
    for (int e = 0; e < op->expr_count; e++)
        if (stream_normaliser(reader, op, e, max, log))
            return true;
    return false;
}

/* The score's axis that the normaliser's read lacks. */
static bool column_axis(StreamReader *reader, int position, const int *axis_of, const Access *row, int *col)
{
    const Op *op = &reader->unit->ops[position];
    IndexSet used = access_indices_used(row);
    *col = -1;
    for (int i = 0; i < op->index_count; i++) {
        if (axis_of[i] < 0 || index_in(used, i))
            continue;
        if (*col >= 0)
            return stream_fail(reader, "the normaliser belongs to more than one axis");
        *col = axis_of[i];
    }
    return *col >= 0 || stream_fail(reader, "the normaliser belongs to no axis");
}

void stream_tile_inputs(const Op *op, const TileTensor *tiles, int count, StreamTile *tile)
{
    for (int t = 0; t < count; t++) {
        if (tiles[t].tensor < 0 || !op_reads(op, tiles[t].tensor))
            continue;
        tile->tensors[tile->tile_count] = tiles[t].tensor;
        tile->tiles[tile->tile_count++] = t;
    }
}

/* The axes of a slope's tensor, from where the score's gradient reads it. */
static bool slope_axes(StreamReader *reader, int slope, const int *axis_of, TileTensor *tile)
{
    const Op *op = &reader->unit->ops[reader->group->score_grad];
    int tensor = reader->unit->ops[slope].out.tensor, indices[SCHEDULE_INDEX_MAX];
    for (int e = 0; e < op->expr_count; e++) {
        const Expr *expr = &op->exprs[e];
        if (expr->kind != EXPR_READ || expr->access.tensor != tensor)
            continue;
        if (expr->access.count != reader->rank || !access_bare(&expr->access, indices))
            break;
        for (int p = 0; p < reader->rank; p++)
            tile->axis[p] = axis_of[indices[p]];
        return true;
    }
    return stream_fail(reader, "a slope of the probabilities is not read at its own place");
}

/* dP[i, j] = sum over c of left[i, c] * right[j, c] */
static bool slope_read(StreamReader *reader, int position, TileTensor *tile)
{
    StreamSlope *slope = &reader->step->slopes[reader->step->slope_count++];
    Product product;
    const Op *op = &reader->unit->ops[position];
    int axis_of[SCHEDULE_INDEX_MAX], out[SCHEDULE_INDEX_MAX];
    if (op->kind != OP_NEST || op->reducer != REDUCE_SUM || op->out.count != reader->rank || !op_out_bare(reader->unit, op, out))
        return stream_fail(reader, "a slope of the probabilities is no plain sum");
    for (int i = 0; i < op->index_count; i++)
        axis_of[i] = -1;
    for (int p = 0; p < reader->rank; p++)
        axis_of[out[p]] = tile->axis[p];
    if (!product_of(reader->scheduler, position, &product) || !stream_domain(reader, position, axis_of))
        return stream_fail(reader, "a slope of the probabilities is no product");
    unsigned left = 0, right = 0;
    int col = -1;
    for (int i = 0; i < op->index_count; i++)
        col = axis_of[i] == reader->col ? i : col;
    for (int f = 0; f < product.count; f++)
        *(index_in(product.factors[f].indices, col) ? &right : &left) |= 1u << f;
    if (left == 0 || right == 0)
        return stream_fail(reader, "a slope of the probabilities has one operand");
    slope->alpha = product.alpha;
    tile->tensor = op->out.tensor;
    return stream_pair(reader, &product, left, right, axis_of, &slope->left, &slope->right, &slope->width) && stream_private(reader, tile->tensor);
}

static bool grad_tiles(StreamReader *reader, TileTensor *tiles)
{
    const Group *group = reader->group;
    Stream *step = reader->step;
    int axis_of[SCHEDULE_INDEX_MAX], count = BFM_TILE_SLOPE + group->dprob_count;
    const Op *op = &reader->unit->ops[group->score_grad];
    if (!stream_axes(reader, group->score_grad, &reader->score, axis_of) || !stream_domain(reader, group->score_grad, axis_of))
        return false;
    if (!stream_tile_tensor(reader, group->score_grad, axis_of, &tiles[BFM_TILE_SCORE_GRAD]) || !stream_private(reader, tiles[BFM_TILE_SCORE_GRAD].tensor))
        return false;
    if (!stream_tile(reader, group->score_grad, axis_of, 0, &step->score_grad))
        return false;
    TileTensor made = tiles[BFM_TILE_SCORE_GRAD];
    tiles[BFM_TILE_SCORE_GRAD].tensor = -1;
    stream_tile_inputs(op, tiles, count, &step->score_grad);
    tiles[BFM_TILE_SCORE_GRAD] = made;
    tiles[BFM_TILE_RAW_GRAD] = made;
    step->raw_grad.op = -1;
    if (group->raw_grad < 0 || group->raw_grad == group->score_grad)
        return true;
    op = &reader->unit->ops[group->raw_grad];
    if (!stream_axes(reader, group->raw_grad, &tiles[BFM_TILE_SCORE_GRAD], axis_of) || !stream_domain(reader, group->raw_grad, axis_of))
        return false;
    tiles[BFM_TILE_RAW_GRAD].tensor = -1;
    if (!stream_tile(reader, group->raw_grad, axis_of, 0, &step->raw_grad))
        return false;
    stream_tile_inputs(op, tiles, count, &step->raw_grad);
    return stream_tile_tensor(reader, group->raw_grad, axis_of, &tiles[BFM_TILE_RAW_GRAD]) && stream_private(reader, tiles[BFM_TILE_RAW_GRAD].tensor);
}

/* The tile that a sink reduces: a factor of its product. */
static int sink_factor(const StreamReader *reader, const Op *op, const Product *product, const TileTensor *tiles, StreamSink *sink, TileTensor *tile)
{
    int probability = stream_probability(reader, op, product);
    if (probability >= 0) {
        sink->source = BFM_SINK_OF_PROBABILITY, *tile = reader->score;
        return probability;
    }
    for (int f = 0; f < product->count; f++) {
        const Expr *node = &op->exprs[product->factors[f].expr];
        if (product->factors[f].inverse || node->kind != EXPR_READ)
            continue;
        for (int t = BFM_TILE_RAW_GRAD; t >= BFM_TILE_SCORE_GRAD; t--) {
            if (node->access.tensor != tiles[t].tensor)
                continue;
            sink->source = t == BFM_TILE_RAW_GRAD ? BFM_SINK_OF_RAW : BFM_SINK_OF_SCORE, *tile = tiles[t];
            return f;
        }
    }
    return -1;
}

/* A tile times an operand. */
static bool sink_product(StreamReader *reader, int position, const TileTensor *tiles, StreamSink *sink)
{
    const Op *op = &reader->unit->ops[position];
    int axis_of[SCHEDULE_INDEX_MAX];
    Product product;
    TileTensor tile;
    if (op->kind != OP_NEST || op->reducer != REDUCE_SUM || !product_of(reader->scheduler, position, &product))
        return stream_fail(reader, "a gradient is no product with an operand");
    int factor = sink_factor(reader, op, &product, tiles, sink, &tile);
    if (factor < 0)
        return stream_fail(reader, "a gradient is not linear in the gradient of the scores");
    if (!stream_axes(reader, position, &tile, axis_of) || !stream_domain(reader, position, axis_of))
        return false;
    IndexSet out = access_indices_used(&op->out);
    bool row = false, col = false;
    for (int i = 0; i < op->index_count; i++) {
        if (axis_of[i] < 0 || !index_in(out, i))
            continue;
        if (axis_of[i] == reader->row)
            row = true;
        else if (axis_of[i] == reader->col)
            col = true;
        else
            sink->kept |= 1u << reader->batch_of[axis_of[i]];
    }
    if (row == col)
        return stream_fail(reader, "a gradient belongs to neither rows nor columns");
    sink->by_column = col;
    sink->alpha = product.alpha;
    int out_axis = col ? reader->col : reader->row, operand_axis = col ? reader->row : reader->col;
    return stream_linear(reader, &product, ((1u << product.count) - 1) & ~(1u << factor), axis_of, operand_axis, out_axis, &sink->operand, &sink->out, &sink->width);
}

static bool sink_read(StreamReader *reader, int position, const TileTensor *tiles)
{
    Stream *step = reader->step;
    StreamSink sink = {0};
    if (sink_product(reader, position, tiles, &sink)) {
        step->sinks[step->sink_count++] = sink;
        return true;
    }
    const char *why = reader->why;
    reader->why = NULL;
    if (stream_total(reader, position, tiles))
        return true;
    reader->why = reader->why != NULL ? reader->why : why;
    return false;
}

/* Where the normaliser's parts lie. */
static bool normaliser_rows(StreamReader *reader, const int *axis_of)
{
    const Op *op = &reader->unit->ops[reader->group->score_grad];
    const Access *parts[2];
    StreamOperand *rows[2] = {&reader->step->row_max, &reader->step->row_log};
    Operand operand;
    rows[1]->tensor = -1;
    if (!normaliser_read(reader, op, &parts[0], &parts[1]))
        return false;
    for (int i = 0; i < 2 && parts[i]; i++) {
        if (!access_strides(reader->scheduler, op, parts[i], -1, &operand))
            return stream_fail(reader, "the normaliser does not lie row by row");
        if (!stream_operand(reader, &operand, axis_of, op->index_count, reader->row, NULL, rows[i]))
            return false;
    }
    return true;
}

bool stream_grad_read(StreamReader *reader)
{
    const Group *group = reader->group;
    TileTensor tiles[BFM_TILE_SLOPE + BFM_STREAM_USES];
    int axis_of[SCHEDULE_INDEX_MAX], col;
    for (int t = 0; t < BFM_TILE_SLOPE + BFM_STREAM_USES; t++)
        tiles[t].tensor = -1;
    if (group->score_grad < 0)
        return stream_fail(reader, "there is no gradient of the scores");
    if (!stream_begin(reader))
        return false;
    const Op *op = &reader->unit->ops[group->score_grad];
    const Access *max, *log;
    if (!normaliser_read(reader, op, &max, &log))
        return stream_fail(reader, "the gradient of the scores has no probability");
    reader->row_max = max->tensor, reader->row_log = log ? log->tensor : -1;
    if (!stream_axes(reader, group->score_grad, &reader->score, axis_of) || !column_axis(reader, group->score_grad, axis_of, max, &col))
        return false;
    if (!stream_product(reader, col) || !stream_score_tile(reader) || !normaliser_rows(reader, axis_of))
        return false;
    op = &reader->unit->ops[group->score_grad];
    tiles[BFM_TILE_RAW] = reader->raw;
    if (reader->score_op >= 0)
        tiles[BFM_TILE_SCORE] = reader->score;
    for (int d = 0; d < group->dprob_count; d++) {
        TileTensor *tile = &tiles[BFM_TILE_SLOPE + d];
        if (!slope_axes(reader, group->dprobs[d], axis_of, tile) || !slope_read(reader, group->dprobs[d], tile))
            return false;
    }
    if (!grad_tiles(reader, tiles))
        return false;
    for (int s = 0; s < group->sink_count; s++) {
        if (!sink_read(reader, group->sinks[s], tiles))
            return false;
    }
    return true;
}
