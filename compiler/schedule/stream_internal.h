/* What the two readers of stream groups share. Every index of a member stands for an axis of the raw tensor, or is the member's own. */
#ifndef BFM_SCHEDULE_STREAM_INTERNAL_H
#define BFM_SCHEDULE_STREAM_INTERNAL_H

#include "ir/rewrite.h"
#include "schedule/schedule_internal.h"

enum { STREAM_RANK = BFM_STREAM_BATCHES + 2 };

/* A tensor of tiles: position p of its shape is axis axis[p] of the raw tensor. */
typedef struct TileTensor {
    int tensor; /* -1 = none */
    int axis[STREAM_RANK];
} TileTensor;

typedef struct StreamReader {
    Scheduler *scheduler;
    Unit *unit;
    const Group *group;
    Stream *step;
    int spread[BFM_STREAM_TOTALS]; /* operations that read the step's totals, to be run after it */
    int rank, row, col;            /* axes of the raw tensor */
    int batch_of[STREAM_RANK];     /* per axis: its batch axis, -1 for row and col */
    TileTensor raw, score;
    int score_op;             /* -1: the score is the raw product */
    OpBuilder domain;         /* over the raw axes: equal guards become equal expressions */
    int guard_count, *guards; /* of the score, in `domain` */
    int row_max, row_log;     /* tensors of the normaliser's parts; row_log -1: it is one number */
    const char *why;          /* it is no stream for the template */
} StreamReader;

bool stream_fail(StreamReader *reader, const char *why); /* false */
/* axis_of[index] from the bare reads of a tile tensor; -1 for the operation's own indices. False: it is read in another way, or not at all. */
bool stream_axes(StreamReader *reader, int op, const TileTensor *tile, int *axis_of);
bool stream_tile_tensor(StreamReader *reader, int op, const int *axis_of, TileTensor *tile); /* the operation's own output */
bool stream_domain(StreamReader *reader, int op, const int *axis_of);                        /* nothing that the score's domain does not say */
/* The raw product, the score, and which axis is which; `col` is an axis of the score's tensor found by the caller through `columns`. */
bool stream_begin(StreamReader *reader);
bool stream_product(StreamReader *reader, int col); /* fills q, k, rows, cols, depth, batches */
/* The operand as rows (step_axis the row axis) or columns; `inner` is the stride along its own index. */
bool stream_operand(StreamReader *reader, const Operand *operand, const int *axis_of, int index_count, int step_axis, Dim inner, StreamOperand *result);
bool stream_output(StreamReader *reader, int op, const int *axis_of, int step_axis, StreamOperand *result); /* without own indices */
/* The factor exp((score - max) - log) of an operation's product, -1 if there is none. */
int stream_probability(const StreamReader *reader, const Op *op, const Product *product);
bool stream_is_probability(const StreamReader *reader, const Op *op, int expr);
/* exp((score - max) - log), or exp(score - lse) of a normaliser that comes from elsewhere: false if it is neither. log: NULL then. */
bool stream_normaliser(const StreamReader *reader, const Op *op, int expr, const Access **max, const Access **log);
/* operand[step, c] and out[., c] share their own indices, joined into one. The product's factors `factors` make the operand. */
bool stream_linear(StreamReader *reader, const Product *product, unsigned factors, const int *axis_of, int operand_axis, int out_axis, StreamOperand *operand, StreamOperand *out,
                   Dim *width);
/* left[row, c] and right[col, c] of a product over their common own indices, joined into one. */
bool stream_pair(StreamReader *reader, const Product *product, unsigned left, unsigned right, const int *axis_of, StreamOperand *rows, StreamOperand *columns, Dim *depth);
bool stream_score_tile(StreamReader *reader);
bool stream_tile(StreamReader *reader, int op, const int *axis_of, double outside, StreamTile *tile);
bool stream_private(StreamReader *reader, int tensor); /* only the group reads it */
IndexSet stream_own(const Op *op, const int *axis_of);

/* schedule_stream_grad.c */
bool stream_grad_read(StreamReader *reader);
/* Tiles that the operation reads, by their numbers (tensor -1: not made). */
void stream_tile_inputs(const Op *op, const TileTensor *tiles, int count, StreamTile *tile);

/* schedule_stream_place.c */
typedef struct StreamPlace {
    StreamReader *reader;
    const Op *op;
    const int *axis_of;
    bool row, col, difference; /* some affine has this index; all have both, with opposite factors */
    unsigned kept;
} StreamPlace;

/* An operation under construction whose indices are the kept batch axes and what is left of rows and columns. */
typedef struct PlaceIndices {
    OpBuilder builder;
    IndexBy *by; /* per index of the operation that it stands for */
    int count;
    int indices[STREAM_RANK];
    Dim extents[STREAM_RANK];
    int batch[STREAM_RANK]; /* of the leading indices: their batch axis */
} PlaceIndices;

void stream_place_access(StreamPlace *place, const Access *access); /* adds what the access depends on */
BfmTotalAlong stream_place_along(const StreamPlace *place);
bool stream_place_tells(const StreamPlace *place, BfmTotalAlong along, Affine cond); /* the condition can be told from that alone */
PlaceIndices stream_place_indices(const StreamPlace *place, BfmTotalAlong along);

/* schedule_stream_table.c: the score's operation, or one that says the same with what it reads by distance laid out beforehand. */
int stream_tabled(StreamReader *reader, int position, const int *axis_of);

/* schedule_stream_total.c: a sink that is no product with an operand. `tile`: what it is read from, to find the axes by. */
bool stream_total(StreamReader *reader, int position, const TileTensor *tiles);

#endif
