/* A run: all products' tiles in one queue. Right operands that several tiles read are packed once, in a queue of their own before it; where they are
   larger than the space for that, the run goes over k in rounds. */
#include "device/cpu/gemm/gemm.h"

#include <string.h>

#include "device/cpu/gemm/kernel.h"
#include "memory/buffer.h"

static const double TILE_FLOP = 4e6;          /* less than this in a tile is not worth a task of its own */
static const int64_t PACKED_FLOATS = 2 << 20; /* space for right operands packed once */
static const double PAST_BYTES = 32 << 20;    /* results of a run that no cache keeps until they are read */
enum { TILES_WANTED = 32, PACK_COLUMNS = 256 };

typedef struct Run {
    const GemmKernels *kernels;
    GemmJob *jobs; /* (count), those with empty C left out */
    int64_t count, tiles, packs, rounds, round;
    float *packed;  /* PACKED_FLOATS at most */
    float *workers; /* gemm_tile_scratch for each worker */
} Run;

static double job_flop(const GemmJob *job) { return 2.0 * (double)job->m * (double)job->n * (double)job->k; }

/* Cuts C into about `wanted` tiles: rows first, since every further tile across packs the left rows again, and columns once the rows are few. */
static void tiles_choose(GemmJob *job, const GemmKernels *kernels, int64_t wanted)
{
    int64_t height = kernels->height, width = 2 * kernels->lanes;
    int64_t down = gemm_parts(job->m, GEMM_TILE_ROWS), across = gemm_parts(job->n, GEMM_TILE_COLUMNS);
    while (down * across < wanted) {
        int64_t rows = gemm_parts(job->m, down), columns = gemm_parts(job->n, across);
        if (rows > 5 * height && !job->left_packed)
            down++;
        else if (columns > 8 * width)
            across++;
        else if (rows > 2 * height && !job->left_packed)
            down++;
        else if (columns > 2 * width)
            across++;
        else
            break;
    }
    job->tile_rows = gemm_parts(job->m, down);
    job->tiles_down = gemm_parts(job->m, job->tile_rows);
    job->tile_columns = gemm_round_up(gemm_parts(job->n, across), width);
    job->tiles_across = gemm_parts(job->n, job->tile_columns);
}

static int64_t packed_columns(const Run *run, const GemmJob *job) { return gemm_round_up(job->n, run->kernels->lanes); }

static int64_t job_blocks(const GemmJob *job) { return gemm_parts(job->k_chunk, BFM_GEMM_K_BLOCK); }

static int64_t job_pack_tasks(const GemmJob *job) { return job->space ? job_blocks(job) * gemm_parts(job->n, PACK_COLUMNS) : 0; }

static bool packing_shared(const GemmJob *job) { return job->tiles_down > 1 && job->k > 0 && !job->packed; }

/* Gives the jobs whose right operand several tiles read a share of the packing space, in proportion to its size. */
static void packing_plan(Run *run)
{
    double total = 0;
    for (int64_t i = 0; i < run->count; i++)
        if (packing_shared(&run->jobs[i]))
            total += (double)packed_columns(run, &run->jobs[i]) * (double)run->jobs[i].k;
    double share = total > (double)PACKED_FLOATS ? (double)PACKED_FLOATS / total : 1;
    int64_t used = 0;
    run->rounds = 1;
    for (int64_t i = 0; i < run->count; i++) {
        GemmJob *job = &run->jobs[i];
        int64_t blocks = gemm_parts(job->k, BFM_GEMM_K_BLOCK), granted = gemm_max((int64_t)(share * (double)blocks), 1);
        int64_t chunk = gemm_min(granted * BFM_GEMM_K_BLOCK, job->k), floats = chunk * packed_columns(run, job);
        if (!packing_shared(job) || used + floats > PACKED_FLOATS)
            continue;
        job->k_chunk = chunk;
        job->packed = job->space = run->packed + used;
        used += gemm_round_up(floats, 16);
        run->rounds = gemm_max(run->rounds, gemm_parts(job->k, chunk));
    }
}

/* The last job whose first number, found by `packing`, is not above `number`. */
static const GemmJob *job_find(const Run *run, int64_t number, bool packing)
{
    int64_t low = 0, high = run->count;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        const GemmJob *job = &run->jobs[middle];
        if ((packing ? job->first_pack : job->first_tile) <= number)
            low = middle;
        else
            high = middle;
    }
    return &run->jobs[low];
}

static void pack_task(void *ctx, int64_t index, int worker)
{
    (void)worker;
    const Run *run = ctx;
    const GemmJob *job = job_find(run, index, true);
    int64_t across = gemm_parts(job->n, PACK_COLUMNS), local = index - job->first_pack;
    int64_t chunk = run->round * job->k_chunk, k0 = chunk + local / across * BFM_GEMM_K_BLOCK, column = local % across * PACK_COLUMNS;
    if (k0 < job->k)
        gemm_right_pack(run->kernels, job, (GemmRange){column, gemm_min(column + PACK_COLUMNS, job->n)}, k0, chunk);
}

static void tile_task(void *ctx, int64_t index, int worker)
{
    const Run *run = ctx;
    const GemmJob *job = job_find(run, index, false);
    GemmRange ks = {run->round * job->k_chunk, gemm_min((run->round + 1) * job->k_chunk, job->k)};
    if (run->round > 0 && ks.begin >= job->k)
        return;
    int64_t local = index - job->first_tile, row = local / job->tiles_across * job->tile_rows, column = local % job->tiles_across * job->tile_columns;
    GemmRange rows = {row, gemm_min(row + job->tile_rows, job->m)}, columns = {column, gemm_min(column + job->tile_columns, job->n)};
    gemm_tile(run->kernels, job, rows, columns, ks, run->workers + worker * gemm_tile_scratch());
}

/* Written once and more than the caches keep: C goes past them, which spares reading it first. Its lines must begin where vectors do. */
static bool past_caches(const GemmJob *job)
{
    return !job->base && !job->c_rows && job->c_column == 1 && job->k > 0 && job->k <= BFM_GEMM_K_BLOCK && job->c_row % 16 == 0 && (uintptr_t)job->c % 64 == 0;
}

/* Makes the jobs, their tiles and the packing space of those that share it. */
static void run_plan(Run *run, const BfmGemm *products, int64_t count)
{
    double total = 0, stored = 0;
    for (int64_t i = 0; i < count; i++) {
        if (products[i].m <= 0 || products[i].n <= 0)
            continue;
        run->jobs[run->count] = gemm_job_init(&products[i], run->kernels);
        stored += (double)sizeof(float) * (double)products[i].m * (double)products[i].n;
        total += job_flop(&run->jobs[run->count++]);
    }
    double wanted = total / TILE_FLOP < TILES_WANTED ? total / TILE_FLOP : TILES_WANTED;
    for (int64_t i = 0; i < run->count; i++) {
        GemmJob *job = &run->jobs[i];
        job->past = stored >= PAST_BYTES && past_caches(job);
        tiles_choose(job, run->kernels, total > 0 ? (int64_t)(wanted * job_flop(job) / total + 0.5) : 1);
        job->first_tile = run->tiles;
        run->tiles += job->tiles_down * job->tiles_across;
    }
    packing_plan(run);
    for (int64_t i = 0; i < run->count; i++) {
        run->jobs[i].first_pack = run->packs;
        run->packs += job_pack_tasks(&run->jobs[i]);
    }
}

static void run_execute(Run *run, BfmPool *pool)
{
    for (run->round = 0; run->round < run->rounds; run->round++) {
        bfm_pool_run(pool, run->packs, pack_task, run);
        bfm_pool_run(pool, run->tiles, tile_task, run);
    }
}

/* Memory of a run: the pool's where it lends it, else its own. */
static void *run_memory(BfmPool *pool, size_t bytes, void **owned)
{
    void *memory = bfm_pool_scratch(pool, BFM_SCRATCH_GEMM, bytes);
    *owned = memory ? NULL : bfm_buffer_new(bytes);
    return memory ? memory : *owned;
}

static bool own_run(BfmPool *pool, const BfmGemm *products, int64_t count, BfmGemmEngine engine, BfmError *error)
{
    Run run = {.kernels = gemm_kernels(engine)};
    size_t jobs = bfm_align_up((size_t)count * sizeof *run.jobs);
    size_t workers = bfm_align_up((size_t)(gemm_tile_scratch() * bfm_pool_threads(pool)) * sizeof(float));
    void *owned;
    char *memory = run_memory(pool, jobs + workers + (size_t)PACKED_FLOATS * sizeof(float), &owned);
    if (!memory)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory for a matrix product's packing space (%zu MB)",
                             (jobs + workers + (size_t)PACKED_FLOATS * sizeof(float)) >> 20);
    run.jobs = (GemmJob *)(void *)memory;
    run.workers = (float *)(void *)(memory + jobs);
    run.packed = (float *)(void *)(memory + jobs + workers);
    run_plan(&run, products, count);
    run_execute(&run, pool);
    bfm_buffer_free(owned);
    return true;
}

bool bfm_gemm_run(BfmPool *pool, const BfmGemm *products, int64_t count, BfmGemmEngine engine, BfmError *error)
{
    if (count <= 0)
        return true;
    if (engine == BFM_GEMM_OPENBLAS && !gemm_blas_present())
        engine = BFM_GEMM_OWN;
    if (engine != BFM_GEMM_OPENBLAS)
        return own_run(pool, products, count, engine, error);
    bool ok = true;
    gemm_blas_run(pool, products, count);
    for (int64_t i = 0; ok && i < count; i++)
        if (!gemm_blas_can(&products[i]))
            ok = own_run(pool, &products[i], 1, BFM_GEMM_OWN, error);
    return ok;
}

size_t bfm_gemm_block_scratch(void) { return (size_t)gemm_tile_scratch() * sizeof(float); }

void bfm_gemm_block(const BfmGemm *product, BfmGemmEngine engine, float *scratch)
{
    const GemmKernels *kernels = gemm_kernels(engine);
    GemmJob job = gemm_job_init(product, kernels);
    for (int64_t row = 0; row < job.m && job.n > 0; row += GEMM_TILE_ROWS)
        gemm_tile(kernels, &job, (GemmRange){row, gemm_min(row + GEMM_TILE_ROWS, job.m)}, (GemmRange){0, job.n}, (GemmRange){0, job.k}, scratch);
}
