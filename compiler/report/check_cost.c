/* A step's memory is what the plan lays out, without allocating it. Its time is the sum over kernels of the larger of two: arithmetic at the rate of
   matrix products, with a constant for each kind of kernel, and traffic at the rate of memory. The constants are fitted to profiles of the examples
   (docs/performance.md says how far off the predictions are). */
#include "report/check_cost.h"

#include "support/clock.h"
#include "device/cpu/gemm/gemm.h"
#include "memory/buffer.h"
#include "device/cpu/pool/pool.h"
#include "device/cpu/templates/plan_sizes.h"

#include <math.h>

enum { STREAM_FLOATS = 4 << 20, STREAM_PIECE = 1 << 16, STREAM_RUNS = 4 };
static const double rate_seconds = 0.2;

/* Shares of the rate of matrix products that other work reaches, and what starting a kernel costs. */
static const double kernel_seconds = 4e-6, cached_bytes = 8e6, cached_speed = 4;

/* ---- rates ---- */

typedef struct Copy {
    float *to;
    const float *from;
} Copy;

static void copy_piece(void *ctx, int64_t piece, int worker)
{
    const Copy *copy = ctx;
    (void)worker;
    for (int64_t i = piece * STREAM_PIECE; i < (piece + 1) * STREAM_PIECE; i++)
        copy->to[i] = copy->from[i] * 0.5f + copy->to[i];
}

bool machine_rates(MachineRates *rates)
{
    BfmPool *pool = bfm_pool_new(0);
    float *memory = bfm_buffer_new(2 * sizeof(float) * STREAM_FLOATS);
    *rates = (MachineRates){.threads = bfm_pool_threads(pool)};
    if (pool && memory) {
        for (int64_t i = 0; i < 2 * (int64_t)STREAM_FLOATS; i++)
            memory[i] = 1;
        Copy copy = {memory, memory + STREAM_FLOATS};
        double best = INFINITY;
        for (int run = 0; run < STREAM_RUNS; run++) {
            const double begin = seconds_now();
            bfm_pool_run(pool, STREAM_FLOATS / STREAM_PIECE, copy_piece, &copy);
            best = fmin(best, seconds_now() - begin);
        }
        rates->bytes = 3 * sizeof(float) * STREAM_FLOATS / best;
        rates->flops = 1e9 * bfm_gemm_measure_engine(pool, BFM_GEMM_OWN, rate_seconds);
    }
    bfm_buffer_free(memory);
    bfm_pool_free(pool);
    return rates->flops > 0 && rates->bytes > 0;
}

/* ---- prediction ---- */

static double slot(const int64_t *dims, int32_t dim, double otherwise) { return dim < 0 ? otherwise : (double)dims[dim]; }

/* Bytes of both operands and the result, each once. */
static double product_bytes(const BfmPlanGemm *gemm, const int64_t *dims)
{
    const double m = slot(dims, gemm->m.extent, 1), n = slot(dims, gemm->n.extent, 1), k = slot(dims, gemm->k.extent, 1);
    const double keys = gemm->form == BFM_GEMM_PLAIN ? 1 : slot(dims, gemm->key_count, 1);
    double batches = 1;
    for (int i = 0; i < gemm->batch_count; i++)
        batches *= slot(dims, gemm->batch[i].extent, 1);
    const double a = m * k, b = n * k * (gemm->form == BFM_GEMM_BY_KEY ? keys : 1), c = m * n * (gemm->form == BFM_GEMM_INTO_KEY ? keys : 1);
    return 4 * batches * (a + b + (gemm->addend >= 0 ? 2 : 1) * c);
}

/* What fits the caches moves faster than memory. */
static double traffic_seconds(double bytes, const MachineRates *rates) { return bytes / (rates->bytes * (bytes <= cached_bytes ? cached_speed : 1)); }

double kernel_predict(const BfmPlan *plan, const BfmPlanKernel *kernel, const int64_t *dims, const MachineRates *rates)
{
    const double flops = slot(dims, kernel->flops, 0);
    double bytes = slot(dims, kernel->bytes, 0);
    if (kernel->kind == BFM_KERNEL_GEMM)
        bytes = product_bytes((const BfmPlanGemm *)(bfm_plan_ints(plan) + kernel->record), dims);
    return fmax(flops / (kernel_row((BfmKernelKind)kernel->kind)->share * rates->flops), traffic_seconds(bytes, rates)) + kernel_seconds;
}

/* ---- the report ---- */

bool check_cost(Arena *arena, const Compiled *compiled, const DimEnv *env, const MachineRates *rates, Str *out, json_t *model, BfmError *error)
{
    const BfmPlan *plan = compiled->plan;
    int64_t *dims = ARENA_ARRAY(arena, int64_t, plan->dims.count + 1);
    BfmPlanSizes sizes;
    if (!bfm_plan_sizes(plan, env->value, dims, &sizes, error))
        return false;
    double seconds = 0, flops = 0;
    for (uint64_t k = 0; k < plan->kernels.count; k++) {
        const BfmPlanKernel *kernel = &bfm_plan_kernels(plan)[k];
        seconds += kernel_predict(plan, kernel, dims, rates);
        flops += slot(dims, kernel->flops, 0);
    }
    str_printf(out, "\n  a training step of %lld × %lld tokens, forward and backward\n", (long long)env->value[DIM_B], (long long)env->value[DIM_L]);
    str_printf(out, "    memory   %.1f MB at the peak: %.1f MB of parameters and inputs, %.1f MB planned for gradients and temporaries (%.1f without sharing)\n",
               1e-6 * (double)(sizes.formal_bytes + sizes.peak_bytes), 1e-6 * (double)sizes.formal_bytes, 1e-6 * (double)sizes.peak_bytes, 1e-6 * (double)sizes.total_bytes);
    str_printf(out, "    time     %.3g s predicted: %d kernel%s, %.3g Gflop; this machine does %.0f Gflop/s in matrix products and moves %.0f GB/s, %d thread%s\n", seconds,
               (int)plan->kernels.count, bfm_plural((long long)plan->kernels.count), 1e-9 * flops, 1e-9 * rates->flops, 1e-9 * rates->bytes, rates->threads,
               bfm_plural(rates->threads));
    json_object_set_new(model, "step",
                        json_pack("{s:I, s:I, s:I, s:f, s:f, s:i, s:f, s:f, s:i}", "formals_bytes", (json_int_t)sizes.formal_bytes, "planned_bytes", (json_int_t)sizes.peak_bytes,
                                  "unshared_bytes", (json_int_t)sizes.total_bytes, "predicted_s", seconds, "flops", flops, "kernels", (int)plan->kernels.count,
                                  "machine_flops_per_s", rates->flops, "machine_bytes_per_s", rates->bytes, "threads", rates->threads));
    return true;
}
