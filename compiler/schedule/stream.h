/* Streams as the scheduler sees them: score tiles made, used and dropped. In the words of the runtime's template (device/cpu/templates/stream.h):
   rows i, columns j, batch axes for the rest. */
#ifndef BFM_SCHEDULE_STREAM_H
#define BFM_SCHEDULE_STREAM_H

#include "schedule/schedule.h"

enum { STREAM_BATCHES = 6, STREAM_SINKS = 12, STREAM_TOTALS = 6, STREAM_TILES = STREAM_USES_MAX + 2 };

/* element = base + batch + row-or-column * step + (place in the depth or width) * inner; NULL = 0 */
typedef struct StreamOperand {
    int tensor;
    Dim base, step, inner;
    Dim batch[STREAM_BATCHES];
} StreamOperand;

/* Tiles of a block: numbers as in bfm/plan.h. */
enum { TILE_RAW, TILE_SCORE, TILE_SCORE_GRAD, TILE_RAW_GRAD, TILE_SLOPE };

/* A generated tile function: operation of the unit, its row and column index, the tensors that it reads from tiles and which tiles those are. */
typedef struct StreamTile {
    int op; /* -1 = none */
    int row, col;
    int tile_count;
    int tensors[STREAM_TILES], tiles[STREAM_TILES];
    double outside;
    const int *batch_of; /* per index of the operation: its batch axis, -1 for row and column */
} StreamTile;

/* A use O[i, c] = sum over j of P[i, j] * operand[j, c], a slope dP[i, j] = sum over c of left[i, c] * operand[j, c]. */
typedef struct StreamUse {
    StreamOperand operand, out; /* of a slope: right (columns), left (rows) */
    Dim width;
    double alpha;
} StreamUse;

typedef struct StreamPick {
    StreamOperand target, out;
} StreamPick;

typedef enum { SINK_OF_RAW, SINK_OF_SCORE, SINK_OF_PROBABILITY } SinkSource;

/* out[i, c] += sum over j of source[i, j] * operand[j, c], or by columns: out[j, c] += sum over i of source[i, j] * operand[i, c] */
typedef struct StreamSink {
    SinkSource source;
    bool by_column;
    unsigned kept; /* bits: batch axes of the output; the others are summed */
    StreamOperand operand, out;
    Dim width;
    double alpha;
} StreamSink;

/* What is left of rows and columns after a total; the difference is p = j - i + rows - 1. */
typedef enum { TOTAL_NEITHER, TOTAL_ROWS, TOTAL_COLUMNS, TOTAL_DIFFERENCES, TOTAL_BOTH } TotalAlong;

/* out[kept batches, along] += a tile: what a later operation spreads, through tables and all, over the gradient of something that the score reads */
typedef struct StreamTotal {
    StreamTile value; /* op -1: the tile `tile` as it is */
    int tile;
    TotalAlong along;
    unsigned kept;     /* bits: batch axes of the output; the others are summed */
    StreamOperand out; /* step: rows, columns or differences; inner: columns where both are left */
} StreamTotal;

struct StreamStep {
    int batch_count;
    Dim batch[STREAM_BATCHES];
    Dim rows, cols, depth;
    double alpha;
    StreamOperand q, k, row_max, row_log;   /* what exponentials are below: exp((score - max) - log); backward row_log.tensor -1: nothing more */
    StreamTile score, score_grad, raw_grad; /* op -1: the score is the raw product, the raw gradient is that of the score */
    bool ranged;                            /* the score's affine conditions leave out columns */
    int use_count;
    StreamUse uses[STREAM_USES_MAX];
    int pick_count;
    StreamPick picks[STREAM_USES_MAX];
    int slope_count;
    StreamUse slopes[STREAM_USES_MAX];
    int sink_count;
    StreamSink sinks[STREAM_SINKS];
    int total_count;
    StreamTotal totals[STREAM_TOTALS];
    int spread[STREAM_TOTALS]; /* operations that read the totals, to be run after the step */
};

#endif
