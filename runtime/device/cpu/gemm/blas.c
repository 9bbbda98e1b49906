/* The OpenBLAS engine: the reference and the alternative. Its bits depend on the number of its threads and on how rows are cut, so every call is
   single-threaded and the tiles are fixed; parallel are the tiles, over our pool.

   The library is loaded when a product first wants it: it starts threads as it is loaded, and waits for them for ever where the address space is limited. */
#define _GNU_SOURCE
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "device/cpu/gemm/blas_plugin.h"
#include "device/cpu/gemm/kernel.h"
#include "file/plugin.h"

enum { BLAS_ROWS = 192, BLAS_COLUMNS = 512 };

/* One of the strides is 1 and the other a leading dimension. */
static bool operand_fits(int64_t rows, int64_t columns, int64_t row, int64_t column)
{
    if (row > INT_MAX || column > INT_MAX)
        return false;
    return (column == 1 && row >= gemm_max(columns, 1)) || (row == 1 && column >= gemm_max(rows, 1));
}

bool gemm_blas_can(const BfmGemm *product)
{
    if (product->a_rows || product->k_a || product->k_b || product->c_rows || product->a_scale || product->c_col != 1 || product->k <= 0)
        return false;
    if (product->a_packed || product->b_packed || product->addend)
        return false;
    if (product->k > INT_MAX || product->c_row > INT_MAX || product->c_row < gemm_max(product->n, 1))
        return false;
    return operand_fits(product->m, product->k, product->a_row, product->a_col) && operand_fits(product->k, product->n, product->b_row, product->b_col);
}

static const BlasPlugin *blas_load(void)
{
    static const BfmPlugin PLUGIN = {
        .file = BLAS_PLUGIN_FILE, .symbol = BLAS_PLUGIN_SYMBOL, .version = BLAS_PLUGIN_VERSION, .name = "OpenBLAS", .absent = "built without OpenBLAS"};
    const void *loaded = bfm_plugin_find(&PLUGIN, true, NULL);
    if (loaded)
        return loaded;
    const bool given = getenv("OPENBLAS_NUM_THREADS") != NULL;
    (void)setenv("OPENBLAS_NUM_THREADS", "1", 0);
    loaded = bfm_plugin_find(&PLUGIN, false, NULL);
    if (!given)
        (void)unsetenv("OPENBLAS_NUM_THREADS");
    return loaded;
}

/* OpenBLAS maps its buffers when a product first wants them, and tries for ever where that fails. */
static bool has_room(void)
{
    enum { ROOM_PAGES = 1 << 18 }; /* 1 GiB of 4 KiB */
    struct rlimit limit;
    long pages = 0;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return true;
    FILE *file = fopen("/proc/self/statm", "r");
    const bool known = file && fscanf(file, "%ld", &pages) == 1;
    if (file)
        (void)fclose(file);
    return known && (rlim_t)(pages + ROOM_PAGES) * (rlim_t)sysconf(_SC_PAGESIZE) <= limit.rlim_cur;
}

bool gemm_blas_present(void) { return has_room() && blas_load(); }

typedef struct BlasRun {
    const BlasPlugin *blas;
    const BfmGemm *products;
    int64_t count;
} BlasRun;

static void blas_tile(const BlasPlugin *blas, const BfmGemm *p, int64_t row, int64_t column)
{
    bool a_plain = p->a_col == 1 && p->a_row >= gemm_max(p->k, 1), b_plain = p->b_col == 1 && p->b_row >= gemm_max(p->n, 1);
    const BlasOperand a = {.data = p->a + row * p->a_row, .stride = (int)(a_plain ? p->a_row : p->a_col), .transposed = !a_plain};
    const BlasOperand b = {.data = p->b + column * p->b_col, .stride = (int)(b_plain ? p->b_row : p->b_col), .transposed = !b_plain};
    blas->sgemm((int)gemm_min(BLAS_ROWS, p->m - row), (int)gemm_min(BLAS_COLUMNS, p->n - column), (int)p->k, p->alpha, a, b, p->accumulate ? 1.0f : 0.0f,
                p->c + row * p->c_row + column, (int)p->c_row);
}

static int64_t blas_tiles(const BfmGemm *product)
{
    if (product->m <= 0 || product->n <= 0 || !gemm_blas_can(product))
        return 0;
    return gemm_parts(product->m, BLAS_ROWS) * gemm_parts(product->n, BLAS_COLUMNS);
}

/* Finds the tile by counting: a call's cost is far above that of a walk over the products before it. */
static void blas_task(void *ctx, int64_t index, int worker)
{
    (void)worker;
    const BlasRun *run = ctx;
    for (int64_t i = 0; i < run->count; i++) {
        int64_t tiles = blas_tiles(&run->products[i]);
        if (index < tiles) {
            int64_t across = gemm_parts(run->products[i].n, BLAS_COLUMNS);
            blas_tile(run->blas, &run->products[i], index / across * BLAS_ROWS, index % across * BLAS_COLUMNS);
            return;
        }
        index -= tiles;
    }
}

void gemm_blas_run(BfmPool *pool, const BfmGemm *products, int64_t count)
{
    const BlasRun run = {.blas = blas_load(), .products = products, .count = count};
    int64_t tiles = 0;
    if (!run.blas)
        return;
    for (int64_t i = 0; i < count; i++)
        tiles += blas_tiles(&products[i]);
    run.blas->set_threads(1);
    bfm_pool_run(pool, tiles, blas_task, (void *)(uintptr_t)&run);
}
