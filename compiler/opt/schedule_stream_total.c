/* Gradients of what a score reads besides its product: a table of offsets, a slope for every batch axis, a bound on the scores. Their sums over score
   tiles are no products. What of a point's place decides where its term goes is rows, columns or the difference of both, almost always: the template
   sums everything else into a dense total, and an ordinary operation spreads that, through tables and all. */
#include "opt/rewrite.h"
#include "opt/stream_internal.h"

/* ---- what of a point's place the output depends on ------------------------------------------------------------------------- */

typedef struct Place {
    StreamReader *reader;
    const Op *op;
    const int *axis_of;
    bool row, col, difference; /* some affine has this index; all have both, with opposite factors */
    unsigned kept;
} Place;

static Dim place_coef(const Place *place, Affine affine, int axis) {
    for (int t = 0; t < affine.count; t++) {
        if (place->axis_of[affine.terms[t].index] == axis) return affine.terms[t].coef;
    }
    return dim_int(place->reader->scheduler->program->dims, 0);
}

static bool opposite(const Place *place, Affine affine) {
    DimTable *dims = place->reader->scheduler->program->dims;
    return dim_is(dim_add(dims, place_coef(place, affine, place->reader->row), place_coef(place, affine, place->reader->col)), 0);
}

static void place_affine(Place *place, Affine affine) {
    const StreamReader *reader = place->reader;
    for (int t = 0; t < affine.count; t++) {
        int axis = place->axis_of[affine.terms[t].index];
        if (axis == reader->row) place->row = true;
        else if (axis == reader->col) place->col = true;
        else place->kept |= 1u << reader->batch_of[axis];
    }
    place->difference = place->difference && opposite(place, affine);
}

static void place_access(Place *place, const Access *access) {
    for (int s = 0; s < access->count; s++) {
        if (access->subs[s].read != NULL) place_access(place, access->subs[s].read);
        else place_affine(place, access->subs[s].affine);
    }
}

static TotalAlong place_along(const Place *place) {
    if (!place->row && !place->col) return TOTAL_NEITHER;
    if (!place->col) return TOTAL_ROWS;
    if (!place->row) return TOTAL_COLUMNS;
    return place->difference ? TOTAL_DIFFERENCES : TOTAL_BOTH;
}

/* The condition can be told from what the total keeps. */
static bool place_tells(const Place *place, TotalAlong along, Affine cond) {
    Place used = {.reader = place->reader, .op = place->op, .axis_of = place->axis_of, .difference = true};
    place_affine(&used, cond);
    if ((used.kept & ~place->kept) != 0) return false;
    switch (along) {
    case TOTAL_NEITHER:
        return !used.row && !used.col;
    case TOTAL_ROWS:
        return !used.col;
    case TOTAL_COLUMNS:
        return !used.row;
    case TOTAL_DIFFERENCES:
        return used.difference;
    case TOTAL_BOTH:
        return true;
    }
    return false;
}

/* ---- the tile that is summed ----------------------------------------------------------------------------------------------- */

/* One of the tiles as it is, or a function of tiles, written down as an operation of its own. */
static bool total_value(StreamReader *reader, int position, const int *axis_of, const TileTensor *tiles, StreamTotal *total) {
    const int count = TILE_SLOPE + reader->group->dprob_count;
    Unit *unit = reader->unit;
    Op op = unit->ops[position];
    const Expr *body = &op.exprs[op.body];
    total->value.op = -1;
    for (int t = TILE_SCORE_GRAD; body->kind == EXPR_READ && t <= TILE_RAW_GRAD; t++) {
        total->tile = t;
        if (body->access.tensor == tiles[t].tensor) return true;
    }
    const Tensor *like = &unit->tensors[reader->raw.tensor];
    int made = unit_tensor(unit, tensor_label(reader->scheduler, op.out.tensor, ".terms"), T_REAL, TENSOR_LOCAL, like->rank, like->extent, NULL), at[SCHEDULE_INDEX_MAX];
    for (int i = 0; i < op.index_count; i++) at[axis_of[i]] = i;
    OpBuilder builder = op_begin(unit, OP_NEST);
    builder.op = op;
    builder.op.group = 0;
    builder.op.reducer = REDUCE_SET;
    builder.op.out = access_indices(reader->scheduler->program, made, reader->rank, at);
    int value = op_finish(&builder);
    if (!stream_tile(reader, value, axis_of, 0, &total->value)) return false;
    stream_tile_inputs(&unit->ops[value], tiles, count, &total->value);
    return true;
}

/* ---- the operation that spreads it ----------------------------------------------------------------------------------------- */

typedef struct Spread {
    OpBuilder builder;
    IndexBy *by;               /* per index of the sink */
    int count;
    int indices[STREAM_RANK];  /* of the total's tensor */
    Dim extents[STREAM_RANK];
    int batch[STREAM_RANK];    /* of the leading indices: their batch axis */
} Spread;

static int spread_index(Spread *spread, Symbol name, Dim extent) {
    spread->extents[spread->count] = extent;
    return spread->indices[spread->count++] = op_index(&spread->builder, name, extent);
}

static void spread_batches(Spread *spread, const Place *place) {
    const StreamReader *reader = place->reader;
    Program *program = reader->scheduler->program;
    for (int i = 0; i < place->op->index_count; i++) {
        int batch = reader->batch_of[place->axis_of[i]];
        spread->by[i] = (IndexBy){affine_const(program, dim_int(program->dims, 0)), NULL, 1};
        if (batch < 0 || (place->kept >> batch & 1) == 0) continue;
        spread->batch[spread->count] = batch;
        spread->by[i].affine = affine_index(program, spread_index(spread, place->op->indices[i].name, place->op->indices[i].extent));
    }
}

/* A difference p stands for row - column = rows - p; no point has p = 0. */
static void spread_difference(Spread *spread, Symbol name, const StreamStep *step, Affine *row) {
    Program *program = spread->builder.unit->program;
    DimTable *dims = program->dims;
    Affine p = affine_index(program, spread_index(spread, name, dim_add(dims, step->rows, step->cols)));
    op_cond(&spread->builder, affine_sub(program, p, affine_const(program, dim_int(dims, 1))));
    *row = affine_sub(program, affine_const(program, step->rows), p);
}

static void spread_places(Spread *spread, const Place *place, TotalAlong along) {
    const StreamReader *reader = place->reader;
    const StreamStep *step = reader->step;
    Program *program = reader->scheduler->program;
    int row = -1, col = -1;
    for (int i = 0; i < place->op->index_count; i++) {
        row = place->axis_of[i] == reader->row ? i : row;
        col = place->axis_of[i] == reader->col ? i : col;
    }
    Symbol row_name = place->op->indices[row].name, col_name = place->op->indices[col].name;
    if (along == TOTAL_DIFFERENCES) spread_difference(spread, row_name, step, &spread->by[row].affine);
    if (along == TOTAL_ROWS || along == TOTAL_BOTH) spread->by[row].affine = affine_index(program, spread_index(spread, row_name, step->rows));
    if (along == TOTAL_COLUMNS || along == TOTAL_BOTH) spread->by[col].affine = affine_index(program, spread_index(spread, col_name, step->cols));
}

/* Where the total lies: row-major over its indices. */
static void total_operand(const Spread *spread, const StreamReader *reader, int tensor, StreamTotal *total) {
    DimTable *dims = reader->scheduler->program->dims;
    Dim stride = dim_int(dims, 1);
    int batches = __builtin_popcount(total->kept);
    total->out = (StreamOperand){.tensor = tensor};
    for (int i = spread->count - 1; i >= 0; i--) {
        if (i < batches) total->out.batch[spread->batch[i]] = stride;
        else if (total->along == TOTAL_BOTH && i == spread->count - 1) total->out.inner = stride;
        else total->out.step = stride;
        stride = dim_mul(dims, stride, spread->extents[i]);
    }
}

static int spread_finish(Spread *spread, const Place *place, int position, StreamTotal *total) {
    Scheduler *scheduler = place->reader->scheduler;
    Unit *unit = scheduler->unit;
    Op op = unit->ops[position];
    int tensor = unit_tensor(unit, tensor_label(scheduler, op.out.tensor, ".totals"), T_REAL, TENSOR_LOCAL, spread->count, spread->extents, NULL);
    Rewrite rewrite = rewrite_begin(&spread->builder, unit, &op, spread->by, NULL, NULL);
    for (int c = 0; c < op.cond_count; c++) {
        if (place_tells(place, total->along, op.conds[c])) op_cond(&spread->builder, rewrite_affine(&rewrite, op.conds[c]));
    }
    spread->builder.op.reducer = REDUCE_SUM;
    spread->builder.op.body = expr_read(&spread->builder, access_indices(scheduler->program, tensor, spread->count, spread->indices));
    spread->builder.op.out = rewrite_access(&rewrite, &op.out);
    spread->builder.op.span = op.span;
    total_operand(spread, place->reader, tensor, total);
    return builder_finish(&spread->builder);
}

/* ---- the sink -------------------------------------------------------------------------------------------------------------- */

static bool total_axes(StreamReader *reader, int position, const TileTensor *tiles, int *axis_of) {
    static const int order[] = {TILE_SCORE_GRAD, TILE_RAW_GRAD, TILE_SCORE, TILE_RAW};
    for (int t = 0; t < 4; t++) {
        const TileTensor *tile = &tiles[order[t]];
        if (tile->tensor >= 0 && op_reads(&reader->unit->ops[position], tile->tensor)) return stream_axes(reader, position, tile, axis_of);
    }
    return stream_fail(reader, "a gradient depends on no tile");
}

bool stream_total(StreamReader *reader, int position, const TileTensor *tiles) {
    StreamStep *step = reader->step;
    Arena *arena = reader->scheduler->arena;
    Op op = reader->unit->ops[position];
    int *axis_of = ARENA_ARRAY(arena, int, op.index_count + 1);
    if (step->total_count == STREAM_TOTALS) return stream_fail(reader, "the scores read too many things that have gradients");
    if (op.kind != OP_NEST || op.reducer != REDUCE_SUM) return stream_fail(reader, "a gradient is no sum");
    if (!total_axes(reader, position, tiles, axis_of) || !stream_domain(reader, position, axis_of)) return false;
    if (stream_own(&op, axis_of) != 0) return stream_fail(reader, "a gradient sums over an index of its own");
    Place place = {.reader = reader, .op = &op, .axis_of = axis_of, .difference = true};
    place_access(&place, &op.out);
    StreamTotal *total = &step->totals[step->total_count];
    *total = (StreamTotal){.along = place_along(&place), .kept = place.kept};
    if (!total_value(reader, position, axis_of, tiles, total)) return false;
    Spread spread = {.builder = op_begin(reader->unit, OP_NEST), .by = ARENA_ARRAY(arena, IndexBy, op.index_count + 1)};
    spread_batches(&spread, &place);
    spread_places(&spread, &place, total->along);
    step->spread[step->total_count++] = spread_finish(&spread, &place, position, total);
    return true;
}
