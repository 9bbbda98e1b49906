/* Gradients of what a score reads besides its product: a table of offsets, a slope for every batch axis, a bound on the scores. Their sums over score
   tiles are no products. What of a point's place decides where its term goes is rows, columns or the difference of both, almost always: the template
   sums everything else into a dense total, and an ordinary operation spreads that, through tables and all. */
#include "schedule/stream_internal.h"

/* ---- the tile that is summed ----------------------------------------------------------------------------------------------- */

/* One of the tiles as it is, or a function of tiles, written down as an operation of its own. */
static bool total_value(StreamReader *reader, int position, const int *axis_of, const TileTensor *tiles, StreamTotal *total)
{
    const int count = BFM_TILE_SLOPE + reader->group->dprob_count;
    Unit *unit = reader->unit;
    Op op = unit->ops[position];
    const Expr *body = &op.exprs[op.body];
    total->value.op = -1;
    for (int t = BFM_TILE_SCORE_GRAD; body->kind == EXPR_READ && t <= BFM_TILE_RAW_GRAD; t++) {
        total->tile = t;
        if (body->access.tensor == tiles[t].tensor)
            return true;
    }
    const Tensor *like = &unit->tensors[reader->raw.tensor];
    int made = unit_tensor(unit, tensor_label(reader->scheduler, op.out.tensor, ".terms"), T_REAL, TENSOR_LOCAL, like->rank, like->extent, NULL), at[SCHEDULE_INDEX_MAX];
    for (int i = 0; i < op.index_count; i++)
        at[axis_of[i]] = i;
    OpBuilder builder = op_begin(unit, OP_NEST);
    builder.op = op;
    builder.op.group = 0;
    builder.op.reducer = REDUCE_SET;
    builder.op.out = access_indices(reader->scheduler->program, made, reader->rank, at);
    int value = op_finish(&builder);
    if (!stream_tile(reader, value, axis_of, 0, &total->value))
        return false;
    stream_tile_inputs(&unit->ops[value], tiles, count, &total->value);
    return true;
}

/* ---- the operation that spreads it ----------------------------------------------------------------------------------------- */

/* Where the total lies: row-major over its indices. */
static void total_operand(const PlaceIndices *spread, const StreamReader *reader, int tensor, StreamTotal *total)
{
    DimTable *dims = reader->scheduler->program->dims;
    Dim stride = dim_int(dims, 1);
    int batches = __builtin_popcount(total->kept);
    total->out = (StreamOperand){.tensor = tensor};
    for (int i = spread->count - 1; i >= 0; i--) {
        if (i < batches)
            total->out.batch[spread->batch[i]] = stride;
        else if (total->along == BFM_TOTAL_BOTH && i == spread->count - 1)
            total->out.inner = stride;
        else
            total->out.step = stride;
        stride = dim_mul(dims, stride, spread->extents[i]);
    }
}

static int spread_finish(PlaceIndices *spread, const StreamPlace *place, int position, StreamTotal *total)
{
    Scheduler *scheduler = place->reader->scheduler;
    Unit *unit = scheduler->unit;
    Op op = unit->ops[position];
    int tensor = unit_tensor(unit, tensor_label(scheduler, op.out.tensor, ".totals"), T_REAL, TENSOR_LOCAL, spread->count, spread->extents, NULL);
    Rewrite rewrite = rewrite_begin(&spread->builder, unit, &op, spread->by, NULL, NULL);
    for (int c = 0; c < op.cond_count; c++) {
        if (stream_place_tells(place, total->along, op.conds[c]))
            op_cond(&spread->builder, rewrite_affine(&rewrite, op.conds[c]));
    }
    spread->builder.op.reducer = REDUCE_SUM;
    spread->builder.op.body = expr_read(&spread->builder, access_indices(scheduler->program, tensor, spread->count, spread->indices));
    spread->builder.op.out = rewrite_access(&rewrite, &op.out);
    spread->builder.op.span = op.span;
    total_operand(spread, place->reader, tensor, total);
    return op_finish(&spread->builder);
}

/* ---- the sink -------------------------------------------------------------------------------------------------------------- */

static bool total_axes(StreamReader *reader, int position, const TileTensor *tiles, int *axis_of)
{
    static const int order[] = {BFM_TILE_SCORE_GRAD, BFM_TILE_RAW_GRAD, BFM_TILE_SCORE, BFM_TILE_RAW};
    for (int t = 0; t < 4; t++) {
        const TileTensor *tile = &tiles[order[t]];
        if (tile->tensor >= 0 && op_reads(&reader->unit->ops[position], tile->tensor))
            return stream_axes(reader, position, tile, axis_of);
    }
    return stream_fail(reader, "a gradient depends on no tile");
}

bool stream_total(StreamReader *reader, int position, const TileTensor *tiles)
{
    Stream *step = reader->step;
    Arena *arena = reader->scheduler->arena;
    Op op = reader->unit->ops[position];
    int *axis_of = ARENA_ARRAY(arena, int, op.index_count + 1);
    if (step->total_count == BFM_STREAM_TOTALS)
        return stream_fail(reader, "the scores read too many things that have gradients");
    if (op.kind != OP_NEST || op.reducer != REDUCE_SUM)
        return stream_fail(reader, "a gradient is no sum");
    if (!total_axes(reader, position, tiles, axis_of) || !stream_domain(reader, position, axis_of))
        return false;
    if (stream_own(&op, axis_of) != 0)
        return stream_fail(reader, "a gradient sums over an index of its own");
    StreamPlace place = {.reader = reader, .op = &op, .axis_of = axis_of, .difference = true};
    stream_place_access(&place, &op.out);
    StreamTotal *total = &step->totals[step->total_count];
    *total = (StreamTotal){.along = stream_place_along(&place), .kept = place.kept};
    if (!total_value(reader, position, axis_of, tiles, total))
        return false;
    PlaceIndices spread = stream_place_indices(&place, total->along);
    reader->spread[step->total_count++] = spread_finish(&spread, &place, position, total);
    return true;
}
