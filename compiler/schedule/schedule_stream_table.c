/* Scores that read a table through another one, at the distance of row and column: looked up point by point it is two gathers for each. The values for
   every distance are few. They are laid out first, so that a row of a tile reads its own from adjacent places. */
#include "schedule/stream_internal.h"

typedef struct Tabled {
    StreamReader *reader;
    const Op *op;
    const int *axis_of;
    int count;
} Tabled;

static bool looks_up(const Access *access)
{
    for (int s = 0; s < access->count; s++) {
        if (access->subs[s].read != NULL)
            return true;
    }
    return false;
}

/* The values for every distance: a tensor over the batch axes that matter and column - row + rows. */
static int table_store(Tabled *tabled, const StreamPlace *place, const Access *access, PlaceIndices *places)
{
    Scheduler *scheduler = tabled->reader->scheduler;
    Unit *unit = scheduler->unit;
    *places = stream_place_indices(place, BFM_TOTAL_DIFFERENCES);
    int tensor = unit_tensor(unit, tensor_label(scheduler, access->tensor, ".distances"), T_REAL, TENSOR_LOCAL, places->count, places->extents, NULL);
    OpBuilder *builder = &places->builder;
    Rewrite rewrite = rewrite_begin(builder, unit, tabled->op, places->by, NULL, NULL);
    for (int c = 0; c < tabled->op->cond_count; c++) {
        if (stream_place_tells(place, BFM_TOTAL_DIFFERENCES, tabled->op->conds[c]))
            op_cond(builder, rewrite_affine(&rewrite, tabled->op->conds[c]));
    }
    builder->op.reducer = REDUCE_SET;
    builder->op.body = expr_read(builder, rewrite_access(&rewrite, access));
    builder->op.out = access_indices(scheduler->program, tensor, places->count, places->indices);
    builder->op.span = tabled->op->span;
    schedule_map(scheduler, op_finish(builder), "what a score reads, by distance");
    return tensor;
}

static Access table_access(const Tabled *tabled, const PlaceIndices *places, int tensor)
{
    const StreamReader *reader = tabled->reader;
    Program *program = reader->scheduler->program;
    Affine distance = affine_const(program, reader->step->rows);
    Access access = access_new(program, tensor, places->count);
    for (int i = 0; i < tabled->op->index_count; i++) {
        const int axis = tabled->axis_of[i], batch = reader->batch_of[axis];
        if (axis == reader->row)
            distance = affine_sub(program, distance, affine_index(program, i));
        if (axis == reader->col)
            distance = affine_add(program, distance, affine_index(program, i));
        for (int k = 0; batch >= 0 && k + 1 < places->count; k++) {
            if (places->batch[k] == batch)
                access.subs[k] = sub_index(program, i);
        }
    }
    access.subs[places->count - 1] = sub_affine(distance, 1);
    return access;
}

static bool read_tabled(Rewrite *rewrite, const Access *access, int *expr)
{
    Tabled *tabled = rewrite->user;
    StreamPlace place = {.reader = tabled->reader, .op = tabled->op, .axis_of = tabled->axis_of, .difference = true};
    PlaceIndices places;
    if (tabled->reader->unit->tensors[access->tensor].type != T_REAL || !looks_up(access))
        return false;
    stream_place_access(&place, access);
    if (stream_place_along(&place) != BFM_TOTAL_DIFFERENCES)
        return false;
    int tensor = table_store(tabled, &place, access, &places);
    *expr = expr_read(rewrite->to, table_access(tabled, &places, tensor));
    tabled->count++;
    return true;
}

int stream_tabled(StreamReader *reader, int position, const int *axis_of)
{
    const Op op = reader->unit->ops[position];
    Tabled tabled = {.reader = reader, .op = &op, .axis_of = axis_of};
    OpBuilder builder = op_begin(reader->unit, OP_NEST);
    builder_indices(&builder, &op);
    Rewrite rewrite = rewrite_begin(&builder, reader->unit, &op, NULL, NULL, &tabled);
    rewrite.read = read_tabled;
    rewrite_domain(&rewrite);
    builder.op.reducer = op.reducer;
    builder.op.body = rewrite_expr(&rewrite, op.body);
    builder.op.out = op.out;
    builder.op.span = op.span;
    if (tabled.count == 0)
        return position;
    rewrite_keep_none(&rewrite);
    return op_finish(&builder);
}
