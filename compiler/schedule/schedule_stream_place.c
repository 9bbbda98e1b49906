/* What of a point's place an access depends on: nothing, its row, its column, the difference of both, or both; and which batch axes. An operation over
   just that stands for what the access says at every point. */
#include "schedule/stream_internal.h"

/* ---- what an access depends on ------------------------------------------------------------------------- */

static Dim place_coef(const StreamPlace *place, Affine affine, int axis)
{
    for (int t = 0; t < affine.count; t++) {
        if (place->axis_of[affine.terms[t].index] == axis)
            return affine.terms[t].coef;
    }
    return dim_int(place->reader->scheduler->program->dims, 0);
}

static bool opposite(const StreamPlace *place, Affine affine)
{
    DimTable *dims = place->reader->scheduler->program->dims;
    return dim_is(dim_add(dims, place_coef(place, affine, place->reader->row), place_coef(place, affine, place->reader->col)), 0);
}

static void place_affine(StreamPlace *place, Affine affine)
{
    const StreamReader *reader = place->reader;
    for (int t = 0; t < affine.count; t++) {
        int axis = place->axis_of[affine.terms[t].index];
        if (axis == reader->row)
            place->row = true;
        else if (axis == reader->col)
            place->col = true;
        else
            place->kept |= 1u << reader->batch_of[axis];
    }
    place->difference = place->difference && opposite(place, affine);
}

void stream_place_access(StreamPlace *place, const Access *access)
{
    for (int s = 0; s < access->count; s++) {
        if (access->subs[s].read != NULL)
            stream_place_access(place, access->subs[s].read);
        else
            place_affine(place, access->subs[s].affine);
    }
}

BfmTotalAlong stream_place_along(const StreamPlace *place)
{
    if (!place->row && !place->col)
        return BFM_TOTAL_NEITHER;
    if (!place->col)
        return BFM_TOTAL_ROWS;
    if (!place->row)
        return BFM_TOTAL_COLUMNS;
    return place->difference ? BFM_TOTAL_DIFFERENCES : BFM_TOTAL_BOTH;
}

/* The condition can be told from what the total keeps. */
bool stream_place_tells(const StreamPlace *place, BfmTotalAlong along, Affine cond)
{
    StreamPlace used = {.reader = place->reader, .op = place->op, .axis_of = place->axis_of, .difference = true};
    place_affine(&used, cond);
    if ((used.kept & ~place->kept) != 0)
        return false;
    switch (along) {
    case BFM_TOTAL_NEITHER: return !used.row && !used.col;
    case BFM_TOTAL_ROWS: return !used.col;
    case BFM_TOTAL_COLUMNS: return !used.row;
    case BFM_TOTAL_DIFFERENCES: return used.difference;
    case BFM_TOTAL_BOTH: return true;
    }
    return false;
}

/* ---- indices of just that ------------------------------------------------------------------------------------------------- */

static int places_index(PlaceIndices *places, Symbol name, Dim extent)
{
    places->extents[places->count] = extent;
    return places->indices[places->count++] = op_index(&places->builder, name, extent);
}

static void places_batches(PlaceIndices *places, const StreamPlace *place)
{
    const StreamReader *reader = place->reader;
    Program *program = reader->scheduler->program;
    for (int i = 0; i < place->op->index_count; i++) {
        int batch = reader->batch_of[place->axis_of[i]];
        places->by[i] = (IndexBy){affine_const(program, dim_int(program->dims, 0)), NULL, 1};
        if (batch < 0 || (place->kept >> batch & 1) == 0)
            continue;
        places->batch[places->count] = batch;
        places->by[i].affine = affine_index(program, places_index(places, place->op->indices[i].name, place->op->indices[i].extent));
    }
}

/* A difference p stands for row - column = rows - p; no point has p = 0. */
static void places_difference(PlaceIndices *places, Symbol name, const Stream *step, Affine *row)
{
    Program *program = places->builder.unit->program;
    DimTable *dims = program->dims;
    Affine p = affine_index(program, places_index(places, name, dim_add(dims, step->rows, step->cols)));
    op_cond(&places->builder, affine_sub(program, p, affine_const(program, dim_int(dims, 1))));
    *row = affine_sub(program, affine_const(program, step->rows), p);
}

static void places_points(PlaceIndices *places, const StreamPlace *place, BfmTotalAlong along)
{
    const StreamReader *reader = place->reader;
    const Stream *step = reader->step;
    Program *program = reader->scheduler->program;
    int row = -1, col = -1;
    for (int i = 0; i < place->op->index_count; i++) {
        row = place->axis_of[i] == reader->row ? i : row;
        col = place->axis_of[i] == reader->col ? i : col;
    }
    Symbol row_name = place->op->indices[row].name, col_name = place->op->indices[col].name;
    if (along == BFM_TOTAL_DIFFERENCES)
        places_difference(places, row_name, step, &places->by[row].affine);
    if (along == BFM_TOTAL_ROWS || along == BFM_TOTAL_BOTH)
        places->by[row].affine = affine_index(program, places_index(places, row_name, step->rows));
    if (along == BFM_TOTAL_COLUMNS || along == BFM_TOTAL_BOTH)
        places->by[col].affine = affine_index(program, places_index(places, col_name, step->cols));
}

PlaceIndices stream_place_indices(const StreamPlace *place, BfmTotalAlong along)
{
    PlaceIndices places = {.builder = op_begin(place->reader->unit, OP_NEST), .by = ARENA_ARRAY(place->reader->scheduler->arena, IndexBy, place->op->index_count + 1)};
    places_batches(&places, place);
    places_points(&places, place, along);
    return places;
}
