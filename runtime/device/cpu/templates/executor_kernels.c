/* Runners of the kernels that are not generated: products, orders, rankings. */
#include "device/cpu/templates/executor_internal.h"
#include "device/cpu/templates/order.h"

#include <string.h>

/* ---- products ------------------------------------------------------------------------------------------------------------- */

static const float *operand_at(const BfmInstance *instance, int32_t buffer, int32_t base) { return (const float *)instance->memory[buffer] + dim_slot(instance, base, 0); }

/* The product of the first batch, without gathers. */
static BfmGemm gemm_first(const BfmInstance *instance, const BfmPlanGemm *gemm)
{
    BfmGemm product = {.m = dim_slot(instance, gemm->m.extent, 1), .n = dim_slot(instance, gemm->n.extent, 1), .k = dim_slot(instance, gemm->k.extent, 1)};
    product.a = operand_at(instance, gemm->a, gemm->a_base);
    product.b = operand_at(instance, gemm->b, gemm->b_base);
    product.c = (float *)instance->memory[gemm->c] + dim_slot(instance, gemm->c_base, 0);
    product.a_row = dim_slot(instance, gemm->m.stride[BFM_GEMM_A], 0), product.a_col = dim_slot(instance, gemm->k.stride[BFM_GEMM_A], 0);
    product.b_row = dim_slot(instance, gemm->k.stride[BFM_GEMM_B], 0), product.b_col = dim_slot(instance, gemm->n.stride[BFM_GEMM_B], 0);
    product.c_row = dim_slot(instance, gemm->m.stride[BFM_GEMM_C], 0), product.c_col = dim_slot(instance, gemm->n.stride[BFM_GEMM_C], 0);
    product.alpha = gemm->alpha;
    product.accumulate = gemm->addend == gemm->c;
    product.addend = gemm->addend < 0 || product.accumulate ? NULL : operand_at(instance, gemm->addend, gemm->c_base);
    return product;
}

static int64_t batches(const BfmInstance *instance, const BfmPlanGemm *gemm)
{
    int64_t count = 1;
    for (int i = 0; i < gemm->batch_count; i++)
        count *= dim_slot(instance, gemm->batch[i].extent, 1);
    return count;
}

/* Moves the operands of `product` to batch `index`. */
static void gemm_batch(const BfmInstance *instance, const BfmPlanGemm *gemm, int64_t index, BfmGemm *product)
{
    int64_t a_rows = 0, b_rows = 0;
    for (int i = gemm->batch_count - 1; i >= 0; i--) {
        const BfmPlanGemmAxis *axis = &gemm->batch[i];
        int64_t extent = dim_slot(instance, axis->extent, 1), at = index % extent;
        index /= extent;
        product->a += at * dim_slot(instance, axis->stride[BFM_GEMM_A], 0);
        product->b += at * dim_slot(instance, axis->stride[BFM_GEMM_B], 0);
        product->c += at * dim_slot(instance, axis->stride[BFM_GEMM_C], 0);
        if (product->addend)
            product->addend += at * dim_slot(instance, axis->stride[BFM_GEMM_C], 0);
        a_rows += at * dim_slot(instance, axis->stride[BFM_GEMM_A_ROWS], 0);
        b_rows += at * dim_slot(instance, axis->stride[BFM_GEMM_B_ROWS], 0);
    }
    if (gemm->a_rows >= 0) {
        const int32_t *rows = (const int32_t *)instance->memory[gemm->a_rows] + a_rows;
        if (gemm->a_rows_on_k)
            product->k_a = rows, product->a_col = dim_slot(instance, gemm->a_row, 0);
        else
            product->a_rows = rows, product->a_row = dim_slot(instance, gemm->a_row, 0);
    }
    if (gemm->b_rows >= 0) {
        product->k_b = (const int32_t *)instance->memory[gemm->b_rows] + b_rows;
        product->b_row = dim_slot(instance, gemm->b_row, 0);
    }
}

enum { BAND_PANEL = 128 };

/* Products of a triangle or a band are cut into panels across it, each with what the band leaves of the other axis. */
static int64_t panels(const BfmPlanGemm *gemm, const BfmGemm *product)
{
    const int64_t across = gemm->band.axes == BFM_BAND_K_BY_N ? product->n : product->m;
    return gemm->band.axes == BFM_BAND_NONE || across <= 0 ? 1 : (across + BAND_PANEL - 1) / BAND_PANEL;
}

static void cut_m(BfmGemm *product, int64_t begin, int64_t end)
{
    product->m = end - begin;
    product->a += begin * product->a_row, product->c += begin * product->c_row;
    product->addend = product->addend ? product->addend + begin * product->c_row : NULL;
}

static void cut_n(BfmGemm *product, int64_t begin, int64_t end)
{
    product->n = end - begin;
    product->b += begin * product->b_col, product->c += begin * product->c_col;
    product->addend = product->addend ? product->addend + begin * product->c_col : NULL;
}

/* The sums keep their blocks, so that leaving out zeros changes no bit. */
static void cut_k(BfmGemm *product, int64_t begin, int64_t end)
{
    begin = begin / BFM_GEMM_K_BLOCK * BFM_GEMM_K_BLOCK;
    product->k = end > begin ? end - begin : 0;
    product->a += begin * product->a_col, product->b += begin * product->b_row;
}

static int64_t between(int64_t low, int64_t at, int64_t high) { return at < low ? low : at > high ? high : at; }

static void panel_cut(const BfmInstance *instance, const BfmPlanGemm *gemm, int64_t panel, BfmGemm *product)
{
    const bool by_n = gemm->band.axes == BFM_BAND_K_BY_N, cuts_n = gemm->band.axes == BFM_BAND_N_BY_M;
    if (gemm->band.axes == BFM_BAND_NONE)
        return;
    const int64_t across = by_n ? product->n : product->m, along = cuts_n ? product->n : product->k;
    const int64_t first = panel * BAND_PANEL, end = first + BAND_PANEL < across ? first + BAND_PANEL : across;
    const int64_t from = gemm->band.behind < 0 ? 0 : between(0, first - instance->dims[gemm->band.behind], along);
    const int64_t to = gemm->band.ahead < 0 ? along : between(from, end + instance->dims[gemm->band.ahead], along);
    if (by_n)
        cut_n(product, first, end);
    else
        cut_m(product, first, end);
    if (!cuts_n)
        cut_k(product, from, to);
    else if (!product->addend) /* else every element is due */
        cut_n(product, from, to);
}

static bool gemm_plain(const KernelRun *run, const BfmPlanGemm *gemm)
{
    BfmInstance *instance = run->instance;
    const BfmGemm first = gemm_first(instance, gemm);
    const int64_t parts = panels(gemm, &first), count = batches(instance, gemm) * parts;
    if (count <= 0)
        return true;
    BfmGemm *products = instance_scratch(instance, (size_t)count * sizeof *products, run->error);
    if (!products)
        return false;
    for (int64_t i = 0; i < count; i++) {
        products[i] = first;
        gemm_batch(instance, gemm, i / parts, &products[i]);
        panel_cut(instance, gemm, i % parts, &products[i]);
    }
    return bfm_gemm_run(instance->pool, products, count, instance->engine, run->error);
}

/* Row numbers of the rows in the order of their keys. */
static void rows_ordered(const BfmInstance *instance, int32_t rows, const int32_t *perm, int32_t count, int32_t *ordered)
{
    const int32_t *table = rows < 0 ? NULL : instance->memory[rows];
    for (int32_t i = 0; i < count; i++)
        ordered[i] = table ? table[perm[i]] : perm[i];
}

static bool gemm_keyed(const KernelRun *run, const BfmPlanGemm *gemm)
{
    BfmInstance *instance = run->instance;
    bool into = gemm->form == BFM_GEMM_INTO_KEY;
    int64_t keys = dim_slot(instance, gemm->key_count, 0), step = dim_slot(instance, gemm->key_stride, 0);
    const int32_t *perm = instance->memory[gemm->perm], *offsets = instance->memory[gemm->offsets];
    int32_t rows = offsets[keys];
    size_t product_bytes = ((size_t)keys * sizeof(BfmGemm) + 63) / 64 * 64;
    char *scratch = instance_scratch(instance, product_bytes + 2 * (size_t)rows * sizeof(int32_t), run->error);
    if (!scratch)
        return false;
    BfmGemm *products = (BfmGemm *)(void *)scratch;
    int32_t *a_order = (int32_t *)(void *)(scratch + product_bytes), *b_order = a_order + rows;
    rows_ordered(instance, gemm->a_rows, perm, rows, a_order);
    if (into)
        rows_ordered(instance, gemm->b_rows, perm, rows, b_order);
    for (int64_t key = 0; key < keys; key++) {
        BfmGemm *product = &products[key];
        *product = gemm_first(instance, gemm);
        int32_t count = offsets[key + 1] - offsets[key];
        if (into) {
            product->k = count;
            product->k_a = a_order + offsets[key], product->k_b = b_order + offsets[key];
            product->c += key * step;
            if (gemm->a_rows >= 0)
                product->a_col = dim_slot(instance, gemm->a_row, 0);
            if (gemm->b_rows >= 0)
                product->b_row = dim_slot(instance, gemm->b_row, 0);
        } else {
            product->m = count;
            product->a_rows = a_order + offsets[key], product->c_rows = perm + offsets[key];
            product->b += key * step;
            if (gemm->a_rows >= 0)
                product->a_row = dim_slot(instance, gemm->a_row, 0);
        }
    }
    return bfm_gemm_run(instance->pool, products, keys, instance->engine, run->error);
}

bool kernel_gemm(const KernelRun *run)
{
    const BfmPlanGemm *gemm = kernel_record(run);
    return gemm->form == BFM_GEMM_PLAIN ? gemm_plain(run, gemm) : gemm_keyed(run, gemm);
}

double kernel_served(const KernelRun *run)
{
    const BfmInstance *instance = run->instance;
    const BfmPlanGemm *gemm = run->kernel->kind == BFM_KERNEL_GEMM ? kernel_record(run) : NULL;
    if (!gemm || gemm->form == BFM_GEMM_PLAIN)
        return 1;
    const int64_t rows = dim_slot(instance, gemm->form == BFM_GEMM_BY_KEY ? gemm->m.extent : gemm->k.extent, 1);
    const int32_t *offsets = instance->memory[gemm->offsets];
    return rows > 0 ? (double)offsets[dim_slot(instance, gemm->key_count, 0)] / (double)rows : 1;
}

/* ---- orders and rankings -------------------------------------------------------------------------------------------------- */

bool kernel_order(const KernelRun *run)
{
    const BfmPlanOrder *order = kernel_record(run);
    const BfmInstance *instance = run->instance;
    bfm_order(instance->memory[order->keys], instance->dims[order->count], instance->dims[order->key_count], instance->memory[order->perm], instance->memory[order->offsets]);
    return true;
}

typedef struct TopTask {
    const float *values;
    int32_t *out;
    int64_t outer, n, k, piece;
} TopTask;

static void top_piece(void *ctx, int64_t index, int worker)
{
    const TopTask *task = ctx;
    int64_t begin = index * task->piece, end = begin + task->piece < task->outer ? begin + task->piece : task->outer;
    (void)worker;
    for (int64_t row = begin; row < end; row++) {
        const float *values = task->values + row * task->n;
        int32_t *out = task->out + row * task->k;
        bfm_top_k(values, 1, task->n, task->k, out);
        for (int64_t i = 0; i < task->k; i++) {
            uint32_t bits = 0;
            if (out[i] >= 0)
                memcpy(&bits, &values[out[i]], sizeof bits);
            if (bits == BFM_ABSENT_BITS)
                out[i] = -1;
        }
    }
}

bool kernel_top(const KernelRun *run)
{
    const BfmPlanTop *top = kernel_record(run);
    const BfmInstance *instance = run->instance;
    TopTask task = {instance->memory[top->values], instance->memory[top->out], instance->dims[top->outer], instance->dims[top->n], instance->dims[top->k], 0};
    task.piece = task.n > 0 && task.n < 4096 ? 4096 / task.n : 1;
    bfm_pool_run(instance->pool, (task.outer + task.piece - 1) / task.piece, top_piece, &task);
    return true;
}
