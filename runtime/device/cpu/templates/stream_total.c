/* Totals of a tile: what remains of its points when everything but rows, columns or their difference is summed. A block is summed by itself first, in an
   order fixed by its size, and then added to the total. */
#include "device/cpu/templates/stream.h"

#include <string.h>

static void add_rows(const StreamBlock *block, const float *tile, float *out, int64_t step)
{
    for (int64_t r = 0; r < block->rows; r++)
        out[(block->row + r) * step] += stream_row_sum(tile + r * STREAM_COLS, block->cols);
}

static void columns_sum(const StreamBlock *block, const float *tile, float *sums)
{
    memset(sums, 0, (size_t)block->cols * sizeof *sums);
    for (int64_t r = 0; r < block->rows; r++)
        stream_row_add(sums, tile + r * STREAM_COLS, block->cols);
}

static void add_columns(const StreamBlock *block, const float *tile, float *out, int64_t step)
{
    float sums[STREAM_COLS];
    columns_sum(block, tile, sums);
    for (int64_t c = 0; c < block->cols; c++)
        out[(block->col + c) * step] += sums[c];
}

static void add_all(const StreamBlock *block, const float *tile, float *out)
{
    float sums[STREAM_COLS];
    columns_sum(block, tile, sums);
    *out += stream_row_sum(sums, block->cols);
}

/* Along a diagonal of the block column - row does not change: the rows are added one place further left each. */
static void add_differences(const StreamBlock *block, int64_t rows, const float *tile, float *out, int64_t step)
{
    float sums[STREAM_ROWS + STREAM_COLS] = {0};
    for (int64_t r = 0; r < block->rows; r++)
        stream_row_add(sums + block->rows - 1 - r, tile + r * STREAM_COLS, block->cols);
    const int64_t first = block->col - (block->row + block->rows - 1) + rows;
    for (int64_t d = 0; d < block->rows + block->cols - 1; d++)
        out[(first + d) * step] += sums[d];
}

static void add_both(const StreamBlock *block, const float *tile, float *out, int64_t step, int64_t inner)
{
    for (int64_t r = 0; r < block->rows; r++) {
        float *row = out + (block->row + r) * step + block->col * inner;
        for (int64_t c = 0; c < block->cols; c++)
            row[c * inner] += tile[r * STREAM_COLS + c];
    }
}

void stream_total_add(BfmTotalAlong along, const StreamBlock *block, int64_t rows, const float *tile, float *out, int64_t step, int64_t inner)
{
    switch (along) {
    case BFM_TOTAL_NEITHER: add_all(block, tile, out); break;
    case BFM_TOTAL_ROWS: add_rows(block, tile, out, step); break;
    case BFM_TOTAL_COLUMNS: add_columns(block, tile, out, step); break;
    case BFM_TOTAL_DIFFERENCES: add_differences(block, rows, tile, out, step); break;
    case BFM_TOTAL_BOTH: add_both(block, tile, out, step, inner); break;
    }
}
