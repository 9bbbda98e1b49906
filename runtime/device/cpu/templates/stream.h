/* Streams: scores made tile by tile, normalised and used at once, never stored.

   forward   raw[i, j] = alpha * sum over e of q[i, e] * k[j, e];  score = f(raw, ...), a generated function of a tile, -inf outside the domain;
             max[i] of the score, log[i] = log sum over j of exp(score - max[i]), apart from each other since a float of the size of a score has no digits
             left for the logarithm;  p[i, j] = exp((score - max[i]) - log[i]);  uses: out[i, c] = sum over j of p[i, j] * v[j, c];
             picks: out[i] = score[i, target[i]]
   backward  raw and score again; slopes dP[i, j] = sum over c of left[i, c] * right[j, c]; score_grad and raw_grad by generated functions of tiles;
             sinks: out += a tile times an operand, by rows or by columns;  totals: out += a tile, summed over rows, columns or along their difference

   Blocks of columns begin at multiples of STREAM_COLS whatever the rows: the bits of a row do not depend on which rows are computed with it, nor on
   columns outside its domain, nor on the number of threads (online normalisation: Milakov and Gimelshein 2018; recomputation: Dao et al. 2022). */
#ifndef BFM_TEMPLATES_STREAM_H
#define BFM_TEMPLATES_STREAM_H

#include "device/cpu/templates/executor_internal.h"

enum { STREAM_ROWS = 64, STREAM_COLS = 128 };

/* A place in memory as the plan gives it, with numbers for slots. */
typedef struct StreamView {
    float *at;
    int64_t step, inner;
    int64_t batch[BFM_STREAM_BATCHES];
} StreamView;

/* A block of rows and columns of one batch. */
typedef struct StreamBlock {
    int64_t batch[BFM_STREAM_BATCHES];
    int64_t row, col, rows, cols;
} StreamBlock;

typedef struct Stream {
    const KernelRun *run;
    const BfmPlanStream *plan;
    BfmGemmEngine engine;
    int64_t batch[BFM_STREAM_BATCHES], rows, cols, depth;
    int64_t row_blocks, col_blocks;
    StreamView q, k, row_max, row_log; /* row_log.at NULL: the normaliser is row_max alone */
} Stream;

/* The block's operands as bfm_gemm_pack_a and _b made them; NULL: as they lie. */
typedef struct StreamPacked {
    const float *q, *k;
} StreamPacked;

Stream stream_of(const KernelRun *run);
StreamView stream_view(const Stream *stream, const BfmPlanStreamOperand *operand);
/* First element of the operand for a batch and a row (or column). */
float *stream_at(const Stream *stream, const StreamView *view, const StreamBlock *block, int64_t position);
/* Columns that rows [row, row + rows) have points in. */
void stream_range(const Stream *stream, const StreamBlock *block, int64_t *first, int64_t *end);
/* tiles[BFM_TILE_SCORE] (the raw tile itself when there is no function) from q and k. */
void stream_scores(const Stream *stream, const StreamBlock *block, const StreamPacked *packed, float *const *tiles, float *gemm_scratch);
void stream_call(const Stream *stream, const BfmPlanTile *tile, const StreamBlock *block, float *const *tiles, float *result);

/* Row kernels (stream_rows.c): n <= STREAM_COLS, sums in lanes fixed by the column within its block. */
float stream_row_max(const float *row, int64_t n);
float stream_row_exp(float *out, const float *row, int64_t n, float max);                     /* out = exp(row - max); their sum */
void stream_row_probabilities(float *out, const float *row, int64_t n, float max, float log); /* out = exp((row - max) - log) */
void stream_row_scale(float *row, int64_t n, int64_t stride, float factor);
void stream_row_add(float *restrict to, const float *restrict row, int64_t n);
float stream_row_sum(const float *row, int64_t n);
/* Adds a tile to a total (stream_total.c) whose element for this batch, with rows, columns and differences 0, is at `out`. */
void stream_total_add(BfmTotalAlong along, const StreamBlock *block, int64_t rows, const float *tile, float *out, int64_t step, int64_t inner);

#endif
