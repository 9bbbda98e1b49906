#include "templates/stream.h"

#include <math.h>
#include <string.h>

/* ---- shared with the backward template ------------------------------------------------------------------------------------ */

StreamView stream_view(const Stream *stream, const BfmPlanStreamOperand *operand)
{
    const BfmInstance *instance = stream->run->instance;
    StreamView view = {.at = (float *)instance->memory[operand->buffer] + dim_slot(instance, operand->base, 0),
                       .step = dim_slot(instance, operand->step, 0), .inner = dim_slot(instance, operand->inner, 0)};
    for (int i = 0; i < BFM_STREAM_BATCHES; i++)
        view.batch[i] = dim_slot(instance, operand->batch[i], 0);
    return view;
}

float *stream_at(const Stream *stream, const StreamView *view, const StreamBlock *block, int64_t position)
{
    float *at = view->at + position * view->step;
    for (int i = 0; i < stream->plan->batch_count; i++)
        at += block->batch[i] * view->batch[i];
    return at;
}

Stream stream_of(const KernelRun *run)
{
    const BfmInstance *instance = run->instance;
    const BfmPlanStream *plan = kernel_record(run);
    Stream stream = {.run = run, .plan = plan, .engine = instance->engine};
    for (int i = 0; i < plan->batch_count; i++)
        stream.batch[i] = instance->dims[plan->batch[i]];
    stream.rows = instance->dims[plan->rows], stream.cols = instance->dims[plan->cols], stream.depth = instance->dims[plan->depth];
    stream.row_blocks = (stream.rows + STREAM_ROWS - 1) / STREAM_ROWS;
    stream.col_blocks = (stream.cols + STREAM_COLS - 1) / STREAM_COLS;
    stream.q = stream_view(&stream, &plan->q), stream.k = stream_view(&stream, &plan->k), stream.lse = stream_view(&stream, &plan->lse);
    return stream;
}

static void outer_values(const BfmPlanTile *tile, const StreamBlock *block, int64_t *outer)
{
    for (int i = 0; i < tile->outer_count; i++)
        outer[i] = block->batch[tile->outer[i]];
}

void stream_range(const Stream *stream, const StreamBlock *block, int64_t *first, int64_t *end)
{
    const BfmPlanTile *tile = &stream->plan->range;
    *first = 0, *end = stream->cols;
    if (tile->code < 0)
        return;
    const CodeArgs *code = &stream->run->codes[tile->code];
    int64_t outer[BFM_STREAM_BATCHES], range[2];
    outer_values(tile, block, outer);
    ((BfmRangeFn *)code->function)(code->dims, outer, block->row, block->rows, range);
    if (range[0] > *first)
        *first = range[0];
    if (range[1] < *end)
        *end = range[1];
}

void stream_call(const Stream *stream, const BfmPlanTile *tile, const StreamBlock *block, float *const *tiles, float *result)
{
    const CodeArgs *code = &stream->run->codes[tile->code];
    int64_t outer[BFM_STREAM_BATCHES];
    float *arguments[BFM_STREAM_TILES + 1] = {result};
    for (int i = 0; i < tile->tile_count; i++)
        arguments[1 + i] = tiles[tile->tiles[i]];
    outer_values(tile, block, outer);
    ((BfmTileFn *)code->function)(code->buffers, code->dims, outer, block->row, block->col, block->rows, block->cols, arguments, STREAM_COLS);
}

void stream_scores(const Stream *stream, const StreamBlock *block, float *const *tiles, float *gemm_scratch)
{
    BfmGemm product = {.m = block->rows, .n = block->cols, .k = stream->depth, .alpha = stream->plan->alpha};
    product.a = stream_at(stream, &stream->q, block, block->row), product.a_row = stream->q.step, product.a_col = stream->q.inner;
    product.b = stream_at(stream, &stream->k, block, block->col), product.b_row = stream->k.inner, product.b_col = stream->k.step;
    product.c = tiles[BFM_TILE_RAW], product.c_row = STREAM_COLS, product.c_col = 1;
    bfm_gemm_block(&product, stream->engine, gemm_scratch);
    if (stream->plan->score.code >= 0)
        stream_call(stream, &stream->plan->score, block, tiles, tiles[BFM_TILE_SCORE]);
}

/* ---- forward -------------------------------------------------------------------------------------------------------------- */

typedef struct Forward {
    Stream stream;
    StreamView values[BFM_STREAM_USES], outs[BFM_STREAM_USES], targets[BFM_STREAM_USES], picked[BFM_STREAM_USES];
    int64_t widths[BFM_STREAM_USES];
    char *scratch;
    size_t scratch_bytes; /* of one worker */
} Forward;

/* Statistics of the rows of a block: maximum so far and sum of exponentials below it. */
typedef struct RowState {
    float max[STREAM_ROWS], sum[STREAM_ROWS];
} RowState;

static void outs_clear(const Forward *forward, const StreamBlock *block)
{
    for (int u = 0; u < forward->stream.plan->use_count; u++) {
        const StreamView *out = &forward->outs[u];
        for (int64_t r = 0; r < block->rows; r++) {
            float *row = stream_at(&forward->stream, out, block, block->row + r);
            for (int64_t c = 0; c < forward->widths[u]; c++)
                row[c * out->inner] = 0;
        }
    }
    for (int p = 0; p < forward->stream.plan->pick_count; p++)
        for (int64_t r = 0; r < block->rows; r++)
            *stream_at(&forward->stream, &forward->picked[p], block, block->row + r) = 0;
}

static void picks_take(const Forward *forward, const StreamBlock *block, const float *scores)
{
    for (int p = 0; p < forward->stream.plan->pick_count; p++) {
        for (int64_t r = 0; r < block->rows; r++) {
            int32_t target;
            memcpy(&target, stream_at(&forward->stream, &forward->targets[p], block, block->row + r), sizeof target);
            if (target >= block->col && target < block->col + block->cols)
                *stream_at(&forward->stream, &forward->picked[p], block, block->row + r) = scores[r * STREAM_COLS + target - block->col];
        }
    }
}

/* A row without a number above -inf: all outside the domain, or not a number. */
static void row_empty(float *row, int64_t n, float *sum)
{
    for (int64_t j = 0; j < n; j++) {
        if (isnan(row[j]))
            *sum = NAN;
        row[j] = isnan(row[j]) ? NAN : 0;
    }
}

/* scores become exponentials below the new maxima; what was summed before is scaled down to them. */
static void rows_normalise(const Forward *forward, const StreamBlock *block, float *scores, RowState *state)
{
    for (int64_t r = 0; r < block->rows; r++) {
        float *row = scores + r * STREAM_COLS;
        const float block_max = stream_row_max(row, block->cols), max = block_max > state->max[r] ? block_max : state->max[r];
        if (max == -INFINITY) {
            row_empty(row, block->cols, &state->sum[r]);
            continue;
        }
        const float shrink = state->max[r] == max ? 1.0f : expf(state->max[r] - max);
        state->sum[r] = state->sum[r] * shrink + stream_row_exp(row, row, block->cols, max);
        state->max[r] = max;
        for (int u = 0; shrink != 1.0f && u < forward->stream.plan->use_count; u++)
            stream_row_scale(stream_at(&forward->stream, &forward->outs[u], block, block->row + r), forward->widths[u], forward->outs[u].inner, shrink);
    }
}

static void uses_add(const Forward *forward, const StreamBlock *block, const float *probabilities, float *gemm_scratch)
{
    for (int u = 0; u < forward->stream.plan->use_count; u++) {
        BfmGemm product = {.m = block->rows, .n = forward->widths[u], .k = block->cols, .alpha = 1, .accumulate = 1};
        product.a = probabilities, product.a_row = STREAM_COLS, product.a_col = 1;
        product.b = stream_at(&forward->stream, &forward->values[u], block, block->col);
        product.b_row = forward->values[u].step, product.b_col = forward->values[u].inner;
        product.c = stream_at(&forward->stream, &forward->outs[u], block, block->row);
        product.c_row = forward->outs[u].step, product.c_col = forward->outs[u].inner;
        bfm_gemm_block(&product, forward->stream.engine, gemm_scratch);
    }
}

static void rows_finish(const Forward *forward, const StreamBlock *block, const RowState *state)
{
    for (int64_t r = 0; r < block->rows; r++) {
        const float sum = state->sum[r];
        *stream_at(&forward->stream, &forward->stream.lse, block, block->row + r) = sum == 0 ? -INFINITY : state->max[r] + logf(sum);
        for (int u = 0; u < forward->stream.plan->use_count; u++)
            stream_row_scale(stream_at(&forward->stream, &forward->outs[u], block, block->row + r), forward->widths[u], forward->outs[u].inner,
                             sum == 0 ? 0 : forward->stream.plan->uses[u].alpha / sum);
    }
}

static void forward_task(void *ctx, int64_t index, int worker)
{
    const Forward *forward = ctx;
    const Stream *stream = &forward->stream;
    float *raw = (float *)(void *)(forward->scratch + (size_t)worker * forward->scratch_bytes);
    float *tiles[] = {[BFM_TILE_RAW] = raw, [BFM_TILE_SCORE] = raw}, *gemm_scratch = raw + STREAM_ROWS * STREAM_COLS;
    StreamBlock block = {.row = (stream->row_blocks - 1 - index % stream->row_blocks) * STREAM_ROWS}; /* the longest rows of a triangle first */
    int64_t rest = index / stream->row_blocks, first, end;
    for (int i = stream->plan->batch_count - 1; i >= 0; i--) {
        block.batch[i] = rest % stream->batch[i];
        rest /= stream->batch[i];
    }
    block.rows = stream->rows - block.row < STREAM_ROWS ? stream->rows - block.row : STREAM_ROWS;
    RowState state;
    for (int r = 0; r < STREAM_ROWS; r++)
        state.max[r] = -INFINITY, state.sum[r] = 0;
    outs_clear(forward, &block);
    stream_range(stream, &block, &first, &end);
    for (block.col = first / STREAM_COLS * STREAM_COLS; block.col < end; block.col += STREAM_COLS) {
        block.cols = end - block.col < STREAM_COLS ? end - block.col : STREAM_COLS;
        stream_scores(stream, &block, tiles, gemm_scratch);
        picks_take(forward, &block, raw);
        rows_normalise(forward, &block, raw, &state);
        uses_add(forward, &block, raw, gemm_scratch);
    }
    rows_finish(forward, &block, &state);
}

bool kernel_stream(const KernelRun *run)
{
    Forward forward = {.stream = stream_of(run)};
    const BfmPlanStream *plan = forward.stream.plan;
    int64_t tasks = forward.stream.row_blocks;
    for (int i = 0; i < plan->batch_count; i++)
        tasks *= forward.stream.batch[i];
    for (int u = 0; u < plan->use_count; u++) {
        forward.values[u] = stream_view(&forward.stream, &plan->uses[u].operand), forward.outs[u] = stream_view(&forward.stream, &plan->uses[u].out);
        forward.widths[u] = run->instance->dims[plan->uses[u].width];
    }
    for (int p = 0; p < plan->pick_count; p++)
        forward.targets[p] = stream_view(&forward.stream, &plan->picks[p].target), forward.picked[p] = stream_view(&forward.stream, &plan->picks[p].out);
    forward.scratch_bytes = ((size_t)STREAM_ROWS * STREAM_COLS * sizeof(float) + bfm_gemm_block_scratch() + 63) / 64 * 64;
    forward.scratch = instance_scratch(run->instance, (size_t)bfm_pool_threads(run->instance->pool) * forward.scratch_bytes, run->error);
    if (!forward.scratch)
        return false;
    bfm_pool_run(run->instance->pool, tasks, forward_task, &forward);
    return true;
}
