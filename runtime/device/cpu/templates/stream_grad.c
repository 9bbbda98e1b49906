/* The backward template. Tasks are the batches that every sink keeps, times groups of column blocks, times groups of row blocks. A sink that sums over
   what tasks divide gets a copy of its output per group; the copies are added in order at the end. A total gets a copy for each of the tasks that would
   meet in it; where that were too much, its tasks go over the batches that it sums themselves, as they do for a sink. */
#include "device/cpu/templates/stream.h"

#include <math.h>
#include <string.h>

enum {
    GRAD_TASKS = 16,              /* groups are made until there are so many tasks */
    GRAD_GROUPS = 8,              /* of one kind */
    GRAD_COPY_FLOATS = 1 << 26,   /* of all copies of one sink */
    GRAD_PACKED_FLOATS = 1 << 22, /* of row operands packed beforehand, for one worker */
    GRAD_TOTAL_FLOATS = 1 << 20,  /* of the copies of one total for batches that it sums */
};

typedef struct Sink {
    StreamView operand, out;
    int64_t width, elements; /* elements of the whole output */
    float *copies;           /* of groups 1 …, each of `elements`; NULL = one group */
    float *memory;           /* the output */
} Sink;

typedef struct Total {
    StreamView out;
    int64_t elements, lanes; /* of the whole output; tasks' batches that meet in one element */
    float *copies, *memory;
} Total;

typedef struct Backward {
    Stream stream;
    StreamView left[BFM_STREAM_USES], right[BFM_STREAM_USES];
    int64_t slope_width[BFM_STREAM_USES];
    Sink sinks[BFM_STREAM_SINKS];
    Total totals[BFM_STREAM_TOTALS];
    unsigned shared; /* bits: batch axes that are looped over inside a task */
    int64_t col_groups, row_groups, batches, inner_batches;
    bool probabilities;
    bool packed_rows;   /* row operands of a task are packed once for all its columns */
    int64_t group_rows; /* blocks of rows of the largest row group */
    int64_t q_floats, k_floats, left_floats[BFM_STREAM_USES], right_floats[BFM_STREAM_USES], sink_floats[BFM_STREAM_SINKS]; /* one block packed */
    char *scratch;
    size_t scratch_bytes; /* of one worker */
} Backward;

/* Operands of one task, packed: those of rows [group_rows] blocks each, those of columns one block. NULL: not packed. */
typedef struct TaskPacked {
    float *q, *k, *left[BFM_STREAM_USES], *right[BFM_STREAM_USES], *sinks[BFM_STREAM_SINKS];
    int64_t first_row; /* block */
} TaskPacked;

enum { TILE_PROBABILITY = BFM_TILE_SLOPE + BFM_STREAM_USES, TILE_TOTAL, TILE_COUNT };

static int64_t aligned_floats(int64_t floats) { return (floats + 15) / 16 * 16; }

/* ---- one block ------------------------------------------------------------------------------------------------------------ */

static void probabilities_make(const Stream *stream, const StreamBlock *block, float *const *tiles)
{
    for (int64_t r = 0; r < block->rows; r++) {
        const float max = *stream_at(stream, &stream->row_max, block, block->row + r);
        const float log = stream->row_log.at ? *stream_at(stream, &stream->row_log, block, block->row + r) : 0;
        float *out = tiles[TILE_PROBABILITY] + r * STREAM_COLS;
        if (max == -INFINITY || log == -INFINITY)
            memset(out, 0, (size_t)block->cols * sizeof *out);
        else
            stream_row_probabilities(out, tiles[BFM_TILE_SCORE] + r * STREAM_COLS, block->cols, max, log);
    }
}

static float *row_block(float *packed, int64_t floats, const TaskPacked *task, const StreamBlock *block)
{
    return packed ? packed + (block->row / STREAM_ROWS - task->first_row) * floats : NULL;
}

static void slopes_make(const Backward *backward, const StreamBlock *block, const TaskPacked *task, float *const *tiles, float *gemm_scratch)
{
    const Stream *stream = &backward->stream;
    for (int s = 0; s < stream->plan->slope_count; s++) {
        const StreamView *left = &backward->left[s], *right = &backward->right[s];
        BfmGemm product = {.m = block->rows, .n = block->cols, .k = backward->slope_width[s], .alpha = stream->plan->slopes[s].alpha};
        product.a = stream_at(stream, left, block, block->row), product.a_row = left->step, product.a_col = left->inner;
        product.b = stream_at(stream, right, block, block->col), product.b_row = right->inner, product.b_col = right->step;
        product.c = tiles[BFM_TILE_SLOPE + s], product.c_row = STREAM_COLS, product.c_col = 1;
        product.a_packed = row_block(task->left[s], backward->left_floats[s], task, block), product.b_packed = task->right[s];
        bfm_gemm_block(&product, stream->engine, gemm_scratch);
    }
}

static const float *sink_tile(const BfmPlanStreamSink *sink, float *const *tiles)
{
    switch ((BfmSinkSource)sink->source) {
    case BFM_SINK_OF_RAW: return tiles[BFM_TILE_RAW_GRAD];
    case BFM_SINK_OF_SCORE: return tiles[BFM_TILE_SCORE_GRAD];
    case BFM_SINK_OF_PROBABILITY: return tiles[TILE_PROBABILITY];
    }
    return NULL;
}

static void sink_add(const Backward *backward, int number, const StreamBlock *block, const TaskPacked *task, float *const *tiles, int64_t group, float *gemm_scratch)
{
    const Stream *stream = &backward->stream;
    const BfmPlanStreamSink *plan = &stream->plan->sinks[number];
    const Sink *sink = &backward->sinks[number];
    StreamView out = sink->out;
    if (group > 0)
        out.at = sink->copies + (group - 1) * sink->elements + (out.at - sink->memory);
    int64_t own = plan->by_column ? block->col : block->row, other = plan->by_column ? block->row : block->col;
    BfmGemm product = {.m = plan->by_column ? block->cols : block->rows, .n = sink->width, .k = plan->by_column ? block->rows : block->cols, .alpha = plan->alpha, .accumulate = 1};
    product.a = sink_tile(plan, tiles), product.a_row = plan->by_column ? 1 : STREAM_COLS, product.a_col = plan->by_column ? STREAM_COLS : 1;
    product.b = stream_at(stream, &sink->operand, block, other), product.b_row = sink->operand.step, product.b_col = sink->operand.inner;
    product.b_packed = plan->by_column ? row_block(task->sinks[number], backward->sink_floats[number], task, block) : task->sinks[number];
    product.c = stream_at(stream, &out, block, own), product.c_row = out.step, product.c_col = out.inner;
    bfm_gemm_block(&product, stream->engine, gemm_scratch);
}

static bool total_per_row_group(int32_t along) { return along != BFM_TOTAL_ROWS && along != BFM_TOTAL_BOTH; }
static bool total_per_col_group(int32_t along) { return along != BFM_TOTAL_COLUMNS && along != BFM_TOTAL_BOTH; }

static int64_t total_copies(const Backward *backward, int number)
{
    const int32_t along = backward->stream.plan->totals[number].along;
    return backward->totals[number].lanes * (total_per_row_group(along) ? backward->row_groups : 1) * (total_per_col_group(along) ? backward->col_groups : 1);
}

/* The number of a task among those that would meet in a total. */
static int64_t total_copy(const Backward *backward, int number, const StreamBlock *block, int64_t col_group, int64_t row_group)
{
    const BfmPlanStreamTotal *plan = &backward->stream.plan->totals[number];
    int64_t copy = 0;
    for (int i = 0; i < backward->stream.plan->batch_count; i++)
        if (((backward->shared | (unsigned)plan->kept) >> i & 1) == 0)
            copy = copy * backward->stream.batch[i] + block->batch[i];
    copy = total_per_row_group(plan->along) ? copy * backward->row_groups + row_group : copy;
    return total_per_col_group(plan->along) ? copy * backward->col_groups + col_group : copy;
}

static void totals_add(const Backward *backward, const StreamBlock *block, float *const *tiles, int64_t col_group, int64_t row_group)
{
    const Stream *stream = &backward->stream;
    for (int t = 0; t < stream->plan->total_count; t++) {
        const BfmPlanStreamTotal *plan = &stream->plan->totals[t];
        const Total *total = &backward->totals[t];
        const int64_t copy = total_copy(backward, t, block, col_group, row_group);
        float *tile = tiles[plan->tile], *out = stream_at(stream, &total->out, block, 0);
        if (plan->value.code >= 0)
            stream_call(stream, &plan->value, block, tiles, tile = tiles[TILE_TOTAL]);
        if (copy > 0)
            out = total->copies + (copy - 1) * total->elements + (out - total->memory);
        stream_total_add((BfmTotalAlong)plan->along, block, stream->rows, tile, out, total->out.step, total->out.inner);
    }
}

static void block_run(const Backward *backward, const StreamBlock *block, const TaskPacked *task, float *const *tiles, int64_t col_group, int64_t row_group, float *gemm_scratch)
{
    const Stream *stream = &backward->stream;
    const BfmPlanStream *plan = stream->plan;
    stream_scores(stream, block, &(StreamPacked){row_block(task->q, backward->q_floats, task, block), task->k}, tiles, gemm_scratch);
    if (backward->probabilities)
        probabilities_make(stream, block, tiles);
    slopes_make(backward, block, task, tiles, gemm_scratch);
    stream_call(stream, &plan->score_grad, block, tiles, tiles[BFM_TILE_SCORE_GRAD]);
    if (plan->raw_grad.code >= 0)
        stream_call(stream, &plan->raw_grad, block, tiles, tiles[BFM_TILE_RAW_GRAD]);
    for (int s = 0; s < plan->sink_count; s++)
        sink_add(backward, s, block, task, tiles, plan->sinks[s].by_column ? row_group : col_group, gemm_scratch);
    totals_add(backward, block, tiles, col_group, row_group);
}

/* ---- one task ------------------------------------------------------------------------------------------------------------- */

typedef struct Slice {
    int64_t begin, end;
} Slice;

/* Blocks of one group, contiguous. */
static Slice group_slice(int64_t blocks, int64_t groups, int64_t group) { return (Slice){blocks * group / groups, blocks * (group + 1) / groups}; }

/* Digits of `index` over the batch axes in `set`. */
static void batch_split(const Stream *stream, unsigned set, int64_t index, StreamBlock *block)
{
    for (int i = stream->plan->batch_count - 1; i >= 0; i--) {
        if ((set >> i & 1) == 0)
            continue;
        block->batch[i] = index % stream->batch[i];
        index /= stream->batch[i];
    }
}

/* Divides a worker's memory behind its tiles and its gemm scratch among the packed operands. */
static TaskPacked task_packed(const Backward *backward, float *memory)
{
    const BfmPlanStream *plan = backward->stream.plan;
    TaskPacked task = {0};
    task.k = memory, memory += backward->k_floats;
    for (int s = 0; s < plan->slope_count; s++)
        task.right[s] = memory, memory += backward->right_floats[s];
    for (int s = 0; s < plan->sink_count; s++)
        if (!plan->sinks[s].by_column)
            task.sinks[s] = memory, memory += backward->sink_floats[s];
    if (!backward->packed_rows)
        return task;
    task.q = memory, memory += backward->group_rows * backward->q_floats;
    for (int s = 0; s < plan->slope_count; s++)
        task.left[s] = memory, memory += backward->group_rows * backward->left_floats[s];
    for (int s = 0; s < plan->sink_count; s++)
        if (plan->sinks[s].by_column)
            task.sinks[s] = memory, memory += backward->group_rows * backward->sink_floats[s];
    return task;
}

/* Rows (or columns) from `position` on as the left operand of a product, or as its right one with k along them. */
static void pack_left(const Stream *stream, const StreamView *view, const StreamBlock *block, int64_t width, float *packed)
{
    BfmGemm product = {.m = block->rows, .k = width, .a = stream_at(stream, view, block, block->row), .a_row = view->step, .a_col = view->inner};
    bfm_gemm_pack_a(&product, stream->engine, packed);
}

static void pack_along(const Stream *stream, const StreamView *view, const StreamBlock *block, int64_t position, int64_t count, int64_t width, float *packed)
{
    BfmGemm product = {.n = width, .k = count, .b = stream_at(stream, view, block, position), .b_row = view->step, .b_col = view->inner};
    bfm_gemm_pack_b(&product, stream->engine, packed);
}

static void pack_across(const Stream *stream, const StreamView *view, const StreamBlock *block, int64_t width, float *packed)
{
    BfmGemm product = {.n = block->cols, .k = width, .b = stream_at(stream, view, block, block->col), .b_row = view->inner, .b_col = view->step};
    bfm_gemm_pack_b(&product, stream->engine, packed);
}

static void rows_pack(const Backward *backward, StreamBlock *block, Slice rows, const TaskPacked *task)
{
    const Stream *stream = &backward->stream;
    for (int64_t i = rows.begin; i < rows.end && backward->packed_rows; i++) {
        block->row = i * STREAM_ROWS;
        block->rows = stream->rows - block->row < STREAM_ROWS ? stream->rows - block->row : STREAM_ROWS;
        pack_left(stream, &stream->q, block, stream->depth, row_block(task->q, backward->q_floats, task, block));
        for (int s = 0; s < stream->plan->slope_count; s++)
            pack_left(stream, &backward->left[s], block, backward->slope_width[s], row_block(task->left[s], backward->left_floats[s], task, block));
        for (int s = 0; s < stream->plan->sink_count; s++)
            if (stream->plan->sinks[s].by_column)
                pack_along(stream, &backward->sinks[s].operand, block, block->row, block->rows, backward->sinks[s].width,
                           row_block(task->sinks[s], backward->sink_floats[s], task, block));
    }
}

static void cols_pack(const Backward *backward, const StreamBlock *block, const TaskPacked *task)
{
    const Stream *stream = &backward->stream;
    pack_across(stream, &stream->k, block, stream->depth, task->k);
    for (int s = 0; s < stream->plan->slope_count; s++)
        pack_across(stream, &backward->right[s], block, backward->slope_width[s], task->right[s]);
    for (int s = 0; s < stream->plan->sink_count; s++)
        if (!stream->plan->sinks[s].by_column)
            pack_along(stream, &backward->sinks[s].operand, block, block->col, block->cols, backward->sinks[s].width, task->sinks[s]);
}

static void backward_task(void *ctx, int64_t index, int worker)
{
    const Backward *backward = ctx;
    const Stream *stream = &backward->stream;
    float *memory = (float *)(void *)(backward->scratch + (size_t)worker * backward->scratch_bytes), *tiles[TILE_COUNT];
    for (int t = 0; t < TILE_COUNT; t++)
        tiles[t] = memory + t * STREAM_ROWS * STREAM_COLS;
    float *gemm_scratch = memory + TILE_COUNT * STREAM_ROWS * STREAM_COLS;
    TaskPacked task = task_packed(backward, gemm_scratch + aligned_floats((int64_t)(bfm_gemm_block_scratch() / sizeof(float))));
    if (stream->plan->score.code < 0)
        tiles[BFM_TILE_SCORE] = tiles[BFM_TILE_RAW];
    if (stream->plan->raw_grad.code < 0)
        tiles[BFM_TILE_RAW_GRAD] = tiles[BFM_TILE_SCORE_GRAD];
    int64_t row_group = index % backward->row_groups, col_group = index / backward->row_groups % backward->col_groups, first, end;
    StreamBlock block = {0};
    batch_split(stream, ~backward->shared, index / (backward->row_groups * backward->col_groups), &block);
    Slice rows = group_slice(stream->row_blocks, backward->row_groups, row_group), cols = group_slice(stream->col_blocks, backward->col_groups, col_group);
    task.first_row = rows.begin;
    for (int64_t inner = 0; inner < backward->inner_batches; inner++) {
        batch_split(stream, backward->shared, inner, &block);
        rows_pack(backward, &block, rows, &task);
        for (int64_t j = cols.begin; j < cols.end; j++) {
            block.col = j * STREAM_COLS;
            block.cols = stream->cols - block.col < STREAM_COLS ? stream->cols - block.col : STREAM_COLS;
            cols_pack(backward, &block, &task);
            for (int64_t i = rows.begin; i < rows.end; i++) {
                block.row = i * STREAM_ROWS;
                block.rows = stream->rows - block.row < STREAM_ROWS ? stream->rows - block.row : STREAM_ROWS;
                stream_range(stream, &block, &first, &end);
                if (block.col < end && block.col + block.cols > first)
                    block_run(backward, &block, &task, tiles, col_group, row_group, gemm_scratch);
            }
        }
    }
}

/* ---- outputs and their copies --------------------------------------------------------------------------------------------- */

enum { PIECE = 1 << 16 };

/* An output of so many elements with its copies: the first is the output itself. */
typedef struct Pieces {
    float *memory, *copies;
    int64_t elements, groups;
    bool add; /* else clear */
} Pieces;

static void piece_run(void *ctx, int64_t index, int worker)
{
    const Pieces *pieces = ctx;
    int64_t begin = index * PIECE, end = begin + PIECE < pieces->elements ? begin + PIECE : pieces->elements;
    (void)worker;
    if (!pieces->add)
        memset(pieces->memory + begin, 0, (size_t)(end - begin) * sizeof *pieces->memory);
    for (int64_t group = 1; group < pieces->groups; group++) {
        float *copy = pieces->copies + (group - 1) * pieces->elements;
        if (!pieces->add)
            memset(copy + begin, 0, (size_t)(end - begin) * sizeof *copy);
        else
            stream_row_add(pieces->memory + begin, copy + begin, end - begin);
    }
}

static int64_t sink_groups(const Backward *backward, int number) { return backward->stream.plan->sinks[number].by_column ? backward->row_groups : backward->col_groups; }

static Pieces pieces_of(const Backward *backward, int output)
{
    const int sinks = backward->stream.plan->sink_count;
    if (output < sinks) {
        const Sink *sink = &backward->sinks[output];
        return (Pieces){sink->memory, sink->copies, sink->elements, sink_groups(backward, output), false};
    }
    const Total *total = &backward->totals[output - sinks];
    return (Pieces){total->memory, total->copies, total->elements, total_copies(backward, output - sinks), false};
}

static void outputs_pass(const Backward *backward, bool add)
{
    for (int o = 0; o < backward->stream.plan->sink_count + backward->stream.plan->total_count; o++) {
        Pieces pieces = pieces_of(backward, o);
        pieces.add = add;
        if (!add || pieces.groups > 1)
            bfm_pool_run(backward->stream.run->instance->pool, (pieces.elements + PIECE - 1) / PIECE, piece_run, &pieces);
    }
}

static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }

/* How tasks divide the work: a function of sizes only. */
static void groups_choose(Backward *backward)
{
    const Stream *stream = &backward->stream;
    int64_t largest[2] = {1, 1}; /* output with a copy for every group of columns, of rows */
    for (int s = 0; s < stream->plan->sink_count; s++) {
        int by = stream->plan->sinks[s].by_column != 0;
        largest[by] = backward->sinks[s].elements > largest[by] ? backward->sinks[s].elements : largest[by];
    }
    for (int t = 0; t < stream->plan->total_count; t++) {
        const int32_t along = stream->plan->totals[t].along;
        const bool by_row = total_per_row_group(along), by_col = total_per_col_group(along);
        const int64_t copied = backward->totals[t].elements * backward->totals[t].lanes * (by_row && by_col ? GRAD_GROUPS : 1);
        largest[0] = by_col && copied > largest[0] ? copied : largest[0];
        largest[1] = by_row && copied > largest[1] ? copied : largest[1];
    }
    backward->col_groups = backward->row_groups = 1;
    if (backward->batches >= GRAD_TASKS / 2)
        return;
    int64_t wanted = (GRAD_TASKS + backward->batches - 1) / (backward->batches > 0 ? backward->batches : 1);
    backward->col_groups = at_most(at_most(wanted, GRAD_GROUPS), at_most(stream->col_blocks, 1 + GRAD_COPY_FLOATS / largest[0]));
    wanted = (wanted + backward->col_groups - 1) / backward->col_groups;
    backward->row_groups = at_most(at_most(wanted, GRAD_GROUPS), at_most(stream->row_blocks, 1 + GRAD_COPY_FLOATS / largest[1]));
}

static void packed_sizes(Backward *backward)
{
    const BfmPlanStream *plan = backward->stream.plan;
    backward->group_rows = (backward->stream.row_blocks + backward->row_groups - 1) / backward->row_groups;
    backward->q_floats = aligned_floats(bfm_gemm_packed_a_floats(STREAM_ROWS, backward->stream.depth));
    backward->k_floats = aligned_floats(bfm_gemm_packed_b_floats(backward->stream.depth, STREAM_COLS));
    int64_t rows = backward->q_floats, cols = backward->k_floats;
    for (int s = 0; s < plan->slope_count; s++) {
        rows += backward->left_floats[s] = aligned_floats(bfm_gemm_packed_a_floats(STREAM_ROWS, backward->slope_width[s]));
        cols += backward->right_floats[s] = aligned_floats(bfm_gemm_packed_b_floats(backward->slope_width[s], STREAM_COLS));
    }
    for (int s = 0; s < plan->sink_count; s++) {
        bool by_column = plan->sinks[s].by_column != 0;
        backward->sink_floats[s] = aligned_floats(bfm_gemm_packed_b_floats(by_column ? STREAM_ROWS : STREAM_COLS, backward->sinks[s].width));
        *(by_column ? &rows : &cols) += backward->sink_floats[s];
    }
    backward->packed_rows = backward->group_rows * rows <= GRAD_PACKED_FLOATS;
    int64_t floats = TILE_COUNT * STREAM_ROWS * STREAM_COLS + aligned_floats((int64_t)(bfm_gemm_block_scratch() / sizeof(float))) + cols;
    backward->scratch_bytes = (size_t)(floats + (backward->packed_rows ? backward->group_rows * rows : 0)) * sizeof(float);
}

static int64_t lanes_of(const Backward *backward, int32_t kept)
{
    int64_t lanes = 1;
    for (int i = 0; i < backward->stream.plan->batch_count; i++)
        lanes *= ((backward->shared | (unsigned)kept) >> i & 1) == 0 ? backward->stream.batch[i] : 1;
    return lanes;
}

static void totals_init(Backward *backward)
{
    const Stream *stream = &backward->stream;
    const BfmPlanStream *plan = stream->plan;
    const BfmInstance *instance = stream->run->instance;
    for (int t = 0; t < plan->total_count; t++) {
        int32_t buffer = plan->totals[t].out.tensor;
        backward->totals[t] = (Total){
            .out = stream_view(stream, &plan->totals[t].out), .memory = instance->memory[buffer], .elements = instance->dims[bfm_plan_buffers(instance->plan)[buffer].count]};
        if (backward->totals[t].elements * lanes_of(backward, plan->totals[t].kept) > GRAD_TOTAL_FLOATS)
            backward->shared |= ~(unsigned)plan->totals[t].kept & ((1u << plan->batch_count) - 1);
    }
    for (int t = 0; t < plan->total_count; t++)
        backward->totals[t].lanes = lanes_of(backward, plan->totals[t].kept);
}

static void backward_init(Backward *backward)
{
    const Stream *stream = &backward->stream;
    const BfmPlanStream *plan = stream->plan;
    const BfmInstance *instance = stream->run->instance;
    unsigned kept = ~0u;
    for (int s = 0; s < plan->slope_count; s++) {
        backward->left[s] = stream_view(stream, &plan->slopes[s].left), backward->right[s] = stream_view(stream, &plan->slopes[s].right);
        backward->slope_width[s] = instance->dims[plan->slopes[s].width];
    }
    for (int s = 0; s < plan->sink_count; s++) {
        const BfmPlanStreamSink *sink = &plan->sinks[s];
        int32_t buffer = sink->out.tensor;
        backward->sinks[s] = (Sink){.operand = stream_view(stream, &sink->operand),
                                    .out = stream_view(stream, &sink->out),
                                    .width = instance->dims[sink->width],
                                    .elements = instance->dims[bfm_plan_buffers(instance->plan)[buffer].count],
                                    .memory = instance->memory[buffer]};
        kept &= (unsigned)sink->kept;
        backward->probabilities = backward->probabilities || sink->source == BFM_SINK_OF_PROBABILITY;
    }
    backward->shared = ~kept & ((1u << plan->batch_count) - 1);
    totals_init(backward);
    backward->batches = backward->inner_batches = 1;
    for (int i = 0; i < plan->batch_count; i++)
        *((backward->shared >> i & 1) != 0 ? &backward->inner_batches : &backward->batches) *= stream->batch[i];
    groups_choose(backward);
    packed_sizes(backward);
}

bool kernel_stream_grad(const KernelRun *run)
{
    Backward backward = {.stream = stream_of(run)};
    const BfmPlanStream *plan = backward.stream.plan;
    backward_init(&backward);
    size_t workers = (size_t)bfm_pool_threads(run->instance->pool), copies = 0;
    for (int s = 0; s < plan->sink_count; s++)
        copies += (size_t)(sink_groups(&backward, s) - 1) * (size_t)backward.sinks[s].elements;
    for (int t = 0; t < plan->total_count; t++)
        copies += (size_t)(total_copies(&backward, t) - 1) * (size_t)backward.totals[t].elements;
    backward.scratch = instance_scratch(run->instance, workers * backward.scratch_bytes + copies * sizeof(float), run->error);
    if (!backward.scratch)
        return false;
    float *copy = (float *)(void *)(backward.scratch + workers * backward.scratch_bytes);
    for (int t = 0; t < plan->total_count; t++) {
        backward.totals[t].copies = copy;
        copy += (total_copies(&backward, t) - 1) * backward.totals[t].elements;
    }
    for (int s = 0; s < plan->sink_count; s++) {
        backward.sinks[s].copies = copy;
        copy += (sink_groups(&backward, s) - 1) * backward.sinks[s].elements;
    }
    outputs_pass(&backward, false);
    bfm_pool_run(run->instance->pool, backward.batches * backward.col_groups * backward.row_groups, backward_task, &backward);
    outputs_pass(&backward, true);
    return true;
}
