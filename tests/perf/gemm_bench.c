/* Our products against OpenBLAS's, run by hand: gemm_bench [threads] [name]. Engines are interleaved A B B A; the figure that counts is the median of
   the pairwise ratios. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "device/cpu/gemm/gemm.h"
#include "memory/buffer.h"
#include "rng/rng.h"

/* `count` products of m x n x k; ta, tb: operand stored transposed; block: through bfm_gemm_block, one after the other; packed: with both operands packed beforehand. */
typedef struct Shape {
    const char *name;
    int64_t count, m, n, k;
    int ta, tb, block, packed;
} Shape;

static const Shape SHAPES[] = {
    {"square 1024", 1, 1024, 1024, 1024, 0, 0, 0, 0},
    {"square 1024, A'", 1, 1024, 1024, 1024, 1, 0, 0, 0},
    {"square 1024, B'", 1, 1024, 1024, 1024, 0, 1, 0, 0},
    {"square 256", 1, 256, 256, 256, 0, 0, 0, 0},
    {"rows 64", 1, 64, 1536, 512, 0, 0, 0, 0},
    {"rows 32", 1, 32, 1536, 512, 0, 0, 0, 0},
    {"rows 16", 1, 16, 1536, 512, 0, 0, 0, 0},
    {"rows 8", 1, 8, 1536, 512, 0, 0, 0, 0},
    {"rows 1", 1, 1, 1536, 512, 0, 0, 0, 0},
    {"rows 16, B'", 1, 16, 1536, 512, 0, 1, 0, 0},
    {"group 32 x rows 16", 32, 16, 1536, 512, 0, 0, 0, 0},
    {"group 32 x rows 32", 32, 32, 1536, 512, 0, 0, 0, 0},
    {"group 32 x rows 64", 32, 64, 1536, 512, 0, 0, 0, 0},
    {"group 32 x rows 32, B'", 32, 32, 512, 1536, 0, 1, 0, 0},
    {"group weight gradient", 32, 512, 1536, 32, 1, 0, 0, 0},
    {"weight gradient 4096", 1, 512, 512, 4096, 1, 0, 0, 0},
    {"weight gradient tiny", 1, 128, 512, 1024, 1, 0, 0, 0},
    {"few columns", 1, 1024, 8, 512, 0, 0, 0, 0},
    {"few columns, A'", 1, 1024, 8, 512, 1, 0, 0, 0},
    {"few columns 4096", 1, 1024, 8, 4096, 0, 0, 0, 0},
    {"columns 1", 1, 1024, 1, 512, 0, 0, 0, 0},
    {"columns 16", 1, 1024, 16, 512, 0, 0, 0, 0},
    {"scores tiny", 1, 1024, 8, 128, 0, 0, 0, 0},
    {"scores tiny, weights", 1, 8, 128, 1024, 1, 0, 0, 0},
    {"scores tiny, inputs", 1, 1024, 128, 8, 0, 1, 0, 0},
    {"scores bench", 1, 1024, 32, 512, 0, 0, 0, 0},
    {"scores bench, weights", 1, 32, 512, 1024, 1, 0, 0, 0},
    {"scores bench, inputs", 1, 1024, 512, 32, 0, 1, 0, 0},
    {"projection tiny", 1, 1024, 128, 128, 0, 0, 0, 0},
    {"network tiny", 1, 1024, 384, 128, 0, 0, 0, 0},
    {"network tiny, back", 1, 1024, 128, 384, 0, 0, 0, 0},
    {"row 1 x 512", 1, 1, 512, 512, 0, 0, 0, 0},
    {"row 1 x 32 000, B'", 1, 1, 32000, 512, 0, 1, 0, 0},
    {"wide 1024 x 8192", 1, 1024, 8192, 512, 0, 1, 0, 0},
    {"block 64", 64, 64, 64, 64, 0, 0, 1, 0},
    {"block 64, B'", 64, 64, 64, 64, 0, 1, 1, 0},
    {"block 64, packed", 64, 64, 64, 64, 0, 1, 1, 1},
    {"block 128 x 128 x 64, B'", 16, 128, 128, 64, 0, 1, 1, 0},
};
enum { PAIRS = 9, SHAPE_COUNT = sizeof SHAPES / sizeof SHAPES[0] };

static double now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void once(BfmPool *pool, const Shape *shape, const BfmGemm *products, BfmGemmEngine engine, float *scratch)
{
    if (!shape->block || engine == BFM_GEMM_OPENBLAS) {
        (void)bfm_gemm_run(shape->block ? NULL : pool, products, shape->count, engine, NULL);
        return;
    }
    for (int64_t i = 0; i < shape->count; i++)
        bfm_gemm_block(&products[i], engine, scratch);
}

/* The same products from packed operands. */
static void packed_use(BfmGemm *products, int64_t count, const float *packed_a, const float *packed_b)
{
    for (int64_t i = 0; i < count; i++)
        products[i].a_packed = packed_a, products[i].b_packed = packed_b;
}

static double sample(BfmPool *pool, const Shape *shape, const BfmGemm *products, BfmGemmEngine engine, float *scratch, int repeat)
{
    double start = now();
    for (int i = 0; i < repeat; i++)
        once(pool, shape, products, engine, scratch);
    return (now() - start) / repeat;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void bench(BfmPool *pool, const Shape *s, BfmGemmEngine engine)
{
    int64_t a = s->m * s->k, b = s->k * s->n, c = s->m * s->n;
    float *memory = bfm_buffer_new((size_t)(s->count * (a + b + c)) * sizeof(float)), *scratch = bfm_buffer_new(bfm_gemm_block_scratch());
    BfmGemm *products = calloc((size_t)s->count, sizeof *products);
    if (!memory || !scratch || !products)
        abort();
    for (int64_t i = 0; i < s->count * (a + b + c); i++)
        memory[i] = (float)(i % 251) / 251 - 0.5f;
    for (int64_t i = 0; i < s->count; i++)
        products[i] = (BfmGemm){.m = s->m,
                                .n = s->n,
                                .k = s->k,
                                .alpha = 1,
                                .a = memory + i * a,
                                .a_row = s->ta ? 1 : s->k,
                                .a_col = s->ta ? s->m : 1,
                                .b = memory + s->count * a + i * b,
                                .b_row = s->tb ? 1 : s->n,
                                .b_col = s->tb ? s->k : 1,
                                .c = memory + s->count * (a + b) + i * c,
                                .c_row = s->n,
                                .c_col = 1};
    float *packed_a = bfm_buffer_new((size_t)bfm_gemm_packed_a_floats(s->m, s->k) * sizeof(float));
    float *packed_b = bfm_buffer_new((size_t)bfm_gemm_packed_b_floats(s->k, s->n) * sizeof(float));
    if (!packed_a || !packed_b)
        abort();
    if (s->packed) { /* one pair for all products: as when a tile meets many others */
        bfm_gemm_pack_a(&products[0], engine, packed_a);
        bfm_gemm_pack_b(&products[0], engine, packed_b);
    }
    double flop = 2.0 * (double)(s->count * s->m * s->n) * (double)s->k, ratios[PAIRS], own[PAIRS], blas[PAIRS];
    int repeat = (int)(4e9 / flop) + 1;
    (void)sample(pool, s, products, engine, scratch, 1);
    (void)sample(pool, s, products, BFM_GEMM_OPENBLAS, scratch, 1);
    for (int i = 0; i < PAIRS; i++) {
        if (i % 2)
            blas[i] = sample(pool, s, products, BFM_GEMM_OPENBLAS, scratch, repeat);
        if (s->packed)
            packed_use(products, s->count, packed_a, packed_b);
        own[i] = sample(pool, s, products, engine, scratch, repeat);
        packed_use(products, s->count, NULL, NULL);
        if (i % 2 == 0)
            blas[i] = sample(pool, s, products, BFM_GEMM_OPENBLAS, scratch, repeat);
        ratios[i] = blas[i] / own[i];
    }
    qsort(ratios, PAIRS, sizeof(double), compare);
    qsort(own, PAIRS, sizeof(double), compare);
    qsort(blas, PAIRS, sizeof(double), compare);
    printf("%-26s own %7.1f  openblas %7.1f GFLOP/s  ratio %.2f\n", s->name, flop / own[PAIRS / 2] * 1e-9, flop / blas[PAIRS / 2] * 1e-9, ratios[PAIRS / 2]);
    free(products);
    bfm_buffer_free(memory);
    bfm_buffer_free(scratch);
    bfm_buffer_free(packed_a);
    bfm_buffer_free(packed_b);
}

int main(int argc, char **argv)
{
    BfmPool *pool = bfm_pool_new(argc > 1 ? atoi(argv[1]) : 1);
    const char *set = getenv("GEMM_SET");
    BfmGemmEngine engine = !set ? BFM_GEMM_OWN : strcmp(set, "avx2") == 0 ? BFM_GEMM_AVX2 : BFM_GEMM_PORTABLE;
    printf("%s, %d threads\n", bfm_gemm_engine_name(engine), bfm_pool_threads(pool));
    for (int i = 0; i < SHAPE_COUNT; i++)
        if (argc < 3 || strstr(SHAPES[i].name, argv[2]))
            bench(pool, &SHAPES[i], engine);
    bfm_pool_free(pool);
    return 0;
}
