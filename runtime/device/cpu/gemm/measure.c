/* The machine's rate of matrix products, which other figures are shares of. */
#define _GNU_SOURCE
#include <time.h>

#include "device/cpu/gemm/kernel.h"
#include "memory/buffer.h"

enum { SIZE = 1024 };

static double now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* The fastest of the products that fit into `seconds`, at least two: noise only ever slows them. */
double bfm_gemm_measure_engine(BfmPool *pool, BfmGemmEngine engine, double seconds)
{
    float *memory = bfm_buffer_new((size_t)3 * SIZE * SIZE * sizeof(float));
    if (!memory)
        return 0;
    for (int64_t i = 0; i < (int64_t)3 * SIZE * SIZE; i++)
        memory[i] = (float)(i % 64) / 64;
    BfmGemm product = {.m = SIZE,
                       .n = SIZE,
                       .k = SIZE,
                       .a = memory,
                       .a_row = SIZE,
                       .a_col = 1,
                       .b = memory + SIZE * SIZE,
                       .b_row = SIZE,
                       .b_col = 1,
                       .c = memory + 2 * SIZE * SIZE,
                       .c_row = SIZE,
                       .c_col = 1,
                       .alpha = 1};
    double begin = now(), best = 0;
    for (int runs = 0; runs < 2 || now() - begin < seconds; runs++) {
        double start = now();
        if (!bfm_gemm_run(pool, &product, 1, engine, NULL)) {
            best = 0;
            break;
        }
        double rate = 2.0 * SIZE * SIZE * SIZE / (now() - start) * 1e-9;
        best = rate > best ? rate : best;
    }
    bfm_buffer_free(memory);
    return best;
}

double bfm_gemm_measure(BfmPool *pool, double seconds)
{
    double own = bfm_gemm_measure_engine(pool, BFM_GEMM_OWN, seconds / 2), blas = bfm_gemm_measure_engine(pool, BFM_GEMM_OPENBLAS, seconds / 2);
    return own > blas ? own : blas;
}
