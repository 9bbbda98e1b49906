#include "device/cpu/templates/stream.h"

#include <math.h>
#include <string.h>

/* ---- shared with the backward template ------------------------------------------------------------------------------------ */

StreamView stream_view(const Stream *stream, const BfmPlanStreamOperand *operand)
{
    const BfmInstance *instance = stream->run->instance;
    StreamView view = {.at = (float *)instance->memory[operand->tensor] + dim_slot(instance, operand->base, 0),
                       .step = dim_slot(instance, operand->step, 0),
                       .inner = dim_slot(instance, operand->inner, 0)};
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
    stream.q = stream_view(&stream, &plan->q), stream.k = stream_view(&stream, &plan->k), stream.row_max = stream_view(&stream, &plan->row_max);
    if (plan->row_log.tensor >= 0)
        stream.row_log = stream_view(&stream, &plan->row_log);
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

void stream_scores(const Stream *stream, const StreamBlock *block, const StreamPacked *packed, float *const *tiles, float *gemm_scratch)
{
    BfmGemm product = {.m = block->rows, .n = block->cols, .k = stream->depth, .alpha = stream->plan->alpha};
    product.a = stream_at(stream, &stream->q, block, block->row), product.a_row = stream->q.step, product.a_col = stream->q.inner;
    product.b = stream_at(stream, &stream->k, block, block->col), product.b_row = stream->k.inner, product.b_col = stream->k.step;
    product.c = tiles[BFM_TILE_RAW], product.c_row = STREAM_COLS, product.c_col = 1;
    product.a_packed = packed->q, product.b_packed = packed->k;
    bfm_gemm_block(&product, stream->engine, gemm_scratch);
    if (stream->plan->score.code >= 0)
        stream_call(stream, &stream->plan->score, block, tiles, tiles[BFM_TILE_SCORE]);
}

/* ---- forward -------------------------------------------------------------------------------------------------------------- */

/* A column operand packed block by block beforehand, where several blocks of rows read it. Batches that it does not depend on share it. */
typedef struct PackedColumns {
    StreamView view;
    bool transposed; /* columns are the columns of the right operand (k), else its rows (values) */
    int64_t width;   /* the operand's other extent: depth or width */
    int64_t batches, batch_step[BFM_STREAM_BATCHES];
    int64_t block_floats;
    float *at; /* [batches][chunk blocks][block_floats] */
} PackedColumns;

/* Statistics of the rows of a block: maximum so far and sum of exponentials below it. */
typedef struct RowState {
    float max[STREAM_ROWS], sum[STREAM_ROWS];
} RowState;

typedef struct Forward {
    Stream stream;
    StreamView outs[BFM_STREAM_USES], targets[BFM_STREAM_USES], picked[BFM_STREAM_USES];
    PackedColumns k, values[BFM_STREAM_USES];
    int64_t widths[BFM_STREAM_USES];
    bool packed;
    int64_t chunk, first_block, end_block; /* blocks of columns of this pass, at most `chunk` */
    RowState *states;                      /* one per task: carried from pass to pass */
    char *scratch;
    size_t scratch_bytes; /* of one worker */
} Forward;

enum { CHUNK_FLOATS = 1 << 22 }; /* packed at a time, more only if one block of every batch is more */

static PackedColumns packed_columns(const Stream *stream, StreamView view, int64_t width, bool transposed)
{
    PackedColumns packed = {.view = view, .transposed = transposed, .width = width, .batches = 1};
    for (int i = stream->plan->batch_count - 1; i >= 0; i--) {
        if (view.batch[i] == 0)
            continue;
        packed.batch_step[i] = packed.batches;
        packed.batches *= stream->batch[i];
    }
    int64_t floats = transposed ? bfm_gemm_packed_b_floats(width, STREAM_COLS) : bfm_gemm_packed_b_floats(STREAM_COLS, width);
    packed.block_floats = (floats + 15) / 16 * 16;
    return packed;
}

static float *packed_block(const Forward *forward, const PackedColumns *packed, const StreamBlock *block)
{
    int64_t batch = 0;
    for (int i = 0; i < forward->stream.plan->batch_count; i++)
        batch += block->batch[i] * packed->batch_step[i];
    return packed->at + (batch * forward->chunk + block->col / STREAM_COLS - forward->first_block) * packed->block_floats;
}

/* One block of one batch of one operand. */
static void pack_task(void *ctx, int64_t index, int worker)
{
    const Forward *forward = ctx;
    const Stream *stream = &forward->stream;
    const PackedColumns *packed = &forward->k;
    int64_t blocks = forward->end_block - forward->first_block;
    (void)worker;
    for (int u = 0; index >= packed->batches * blocks; u++) {
        index -= packed->batches * blocks;
        packed = &forward->values[u];
    }
    StreamBlock block = {.col = (forward->first_block + index % blocks) * STREAM_COLS};
    for (int i = 0; i < stream->plan->batch_count; i++)
        block.batch[i] = packed->batch_step[i] == 0 ? 0 : index / blocks / packed->batch_step[i] % stream->batch[i];
    int64_t cols = stream->cols - block.col < STREAM_COLS ? stream->cols - block.col : STREAM_COLS;
    BfmGemm product = {.n = packed->transposed ? cols : packed->width, .k = packed->transposed ? packed->width : cols};
    product.b = stream_at(stream, &packed->view, &block, block.col);
    product.b_row = packed->transposed ? packed->view.inner : packed->view.step, product.b_col = packed->transposed ? packed->view.step : packed->view.inner;
    bfm_gemm_pack_b(&product, stream->engine, packed_block(forward, packed, &block));
}

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
        product.b = stream_at(&forward->stream, &forward->values[u].view, block, block->col);
        product.b_row = forward->values[u].view.step, product.b_col = forward->values[u].view.inner;
        product.b_packed = forward->packed ? packed_block(forward, &forward->values[u], block) : NULL;
        product.c = stream_at(&forward->stream, &forward->outs[u], block, block->row);
        product.c_row = forward->outs[u].step, product.c_col = forward->outs[u].inner;
        bfm_gemm_block(&product, forward->stream.engine, gemm_scratch);
    }
}

static void rows_finish(const Forward *forward, const StreamBlock *block, const RowState *state)
{
    for (int64_t r = 0; r < block->rows; r++) {
        const float sum = state->sum[r];
        *stream_at(&forward->stream, &forward->stream.row_max, block, block->row + r) = state->max[r];
        *stream_at(&forward->stream, &forward->stream.row_log, block, block->row + r) = sum == 0 ? -INFINITY : logf(sum);
        for (int u = 0; u < forward->stream.plan->use_count; u++)
            stream_row_scale(stream_at(&forward->stream, &forward->outs[u], block, block->row + r), forward->widths[u], forward->outs[u].inner,
                             sum == 0 ? 0 : forward->stream.plan->uses[u].alpha / sum);
    }
}

static void forward_columns(const Forward *forward, StreamBlock *block, RowState *state, float *const *tiles, float *q_packed, float *gemm_scratch)
{
    const Stream *stream = &forward->stream;
    StreamPacked packed = {0};
    int64_t first, end;
    stream_range(stream, block, &first, &end);
    if (end > forward->end_block * STREAM_COLS)
        end = forward->end_block * STREAM_COLS;
    if (first < forward->first_block * STREAM_COLS)
        first = forward->first_block * STREAM_COLS;
    if (first >= end)
        return;
    if (forward->packed) {
        BfmGemm q = {.m = block->rows, .k = stream->depth, .a = stream_at(stream, &stream->q, block, block->row), .a_row = stream->q.step, .a_col = stream->q.inner};
        bfm_gemm_pack_a(&q, stream->engine, q_packed);
        packed.q = q_packed;
    }
    for (block->col = first / STREAM_COLS * STREAM_COLS; block->col < end; block->col += STREAM_COLS) {
        const int64_t left = (forward->packed ? stream->cols : end) - block->col; /* packed blocks are used whole: what is outside the domain adds 0 */
        block->cols = left < STREAM_COLS ? left : STREAM_COLS;
        packed.k = forward->packed ? packed_block(forward, &forward->k, block) : NULL;
        stream_scores(stream, block, &packed, tiles, gemm_scratch);
        picks_take(forward, block, tiles[BFM_TILE_RAW]);
        rows_normalise(forward, block, tiles[BFM_TILE_RAW], state);
        uses_add(forward, block, tiles[BFM_TILE_RAW], gemm_scratch);
    }
}

static void forward_task(void *ctx, int64_t index, int worker)
{
    const Forward *forward = ctx;
    const Stream *stream = &forward->stream;
    float *raw = (float *)(void *)(forward->scratch + (size_t)worker * forward->scratch_bytes);
    float *tiles[BFM_TILES] = {[BFM_TILE_RAW] = raw, [BFM_TILE_SCORE] = raw}, *gemm_scratch = raw + STREAM_ROWS * STREAM_COLS;
    float *q_packed = gemm_scratch + (bfm_gemm_block_scratch() / sizeof(float) + 15) / 16 * 16;
    StreamBlock block = {.row = (stream->row_blocks - 1 - index % stream->row_blocks) * STREAM_ROWS}; /* the longest rows of a triangle first */
    int64_t rest = index / stream->row_blocks;
    for (int i = stream->plan->batch_count - 1; i >= 0; i--) {
        block.batch[i] = rest % stream->batch[i];
        rest /= stream->batch[i];
    }
    block.rows = stream->rows - block.row < STREAM_ROWS ? stream->rows - block.row : STREAM_ROWS;
    RowState *state = &forward->states[index];
    if (forward->first_block == 0) {
        for (int r = 0; r < STREAM_ROWS; r++)
            state->max[r] = -INFINITY, state->sum[r] = 0;
        outs_clear(forward, &block);
    }
    forward_columns(forward, &block, state, tiles, q_packed, gemm_scratch);
    if (forward->end_block == stream->col_blocks)
        rows_finish(forward, &block, state);
}

static int64_t packed_blocks(const Forward *forward) /* of one block of columns, over all batches of all operands */
{
    int64_t blocks = forward->k.batches;
    for (int u = 0; u < forward->stream.plan->use_count; u++)
        blocks += forward->values[u].batches;
    return blocks;
}

static int64_t packed_floats(const Forward *forward)
{
    int64_t floats = forward->k.batches * forward->k.block_floats;
    for (int u = 0; u < forward->stream.plan->use_count; u++)
        floats += forward->values[u].batches * forward->values[u].block_floats;
    return floats;
}

static void forward_init(Forward *forward, const KernelRun *run)
{
    forward->stream = stream_of(run);
    const Stream *stream = &forward->stream;
    const BfmPlanStream *plan = stream->plan;
    forward->k = packed_columns(stream, stream->k, stream->depth, true);
    for (int u = 0; u < plan->use_count; u++) {
        forward->outs[u] = stream_view(stream, &plan->uses[u].out);
        forward->widths[u] = run->instance->dims[plan->uses[u].width];
        forward->values[u] = packed_columns(stream, stream_view(stream, &plan->uses[u].operand), forward->widths[u], false);
    }
    for (int p = 0; p < plan->pick_count; p++)
        forward->targets[p] = stream_view(stream, &plan->picks[p].target), forward->picked[p] = stream_view(stream, &plan->picks[p].out);
    forward->packed = stream->row_blocks > 1;
    forward->chunk = stream->col_blocks;
    if (forward->packed && forward->chunk * packed_floats(forward) > CHUNK_FLOATS)
        forward->chunk = CHUNK_FLOATS / packed_floats(forward) > 0 ? CHUNK_FLOATS / packed_floats(forward) : 1;
}

/* Scratch: packed operands, states, then every worker's own. */
static bool forward_memory(Forward *forward, int64_t tasks)
{
    const KernelRun *run = forward->stream.run;
    const size_t packed = forward->packed ? (size_t)(forward->chunk * packed_floats(forward)) * sizeof(float) : 0;
    const size_t states = ((size_t)tasks * sizeof(RowState) + 63) / 64 * 64;
    const size_t q = ((size_t)bfm_gemm_packed_a_floats(STREAM_ROWS, forward->stream.depth) * sizeof(float) + 63) / 64 * 64;
    forward->scratch_bytes = (size_t)STREAM_ROWS * STREAM_COLS * sizeof(float) + (bfm_gemm_block_scratch() + 63) / 64 * 64 + q;
    char *memory = instance_scratch(run->instance, packed + states + (size_t)bfm_pool_threads(run->instance->pool) * forward->scratch_bytes, run->error);
    if (!memory)
        return false;
    float *at = (float *)(void *)memory;
    forward->k.at = at;
    at += forward->k.batches * forward->chunk * forward->k.block_floats;
    for (int u = 0; u < forward->stream.plan->use_count; u++) {
        forward->values[u].at = at;
        at += forward->values[u].batches * forward->chunk * forward->values[u].block_floats;
    }
    forward->states = (RowState *)(void *)(memory + packed);
    forward->scratch = memory + packed + states;
    return true;
}

bool kernel_stream(const KernelRun *run)
{
    Forward forward = {0};
    forward_init(&forward, run);
    int64_t tasks = forward.stream.row_blocks;
    for (int i = 0; i < forward.stream.plan->batch_count; i++)
        tasks *= forward.stream.batch[i];
    if (!forward_memory(&forward, tasks))
        return false;
    do {
        forward.end_block = forward.first_block + forward.chunk < forward.stream.col_blocks ? forward.first_block + forward.chunk : forward.stream.col_blocks;
        if (forward.packed)
            bfm_pool_run(run->instance->pool, packed_blocks(&forward) * (forward.end_block - forward.first_block), pack_task, &forward);
        bfm_pool_run(run->instance->pool, tasks, forward_task, &forward);
        forward.first_block = forward.end_block;
    } while (forward.first_block < forward.stream.col_blocks);
    return true;
}
