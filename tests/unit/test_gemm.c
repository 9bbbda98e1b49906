/* Matrix products against a slow reference with the same chains (bit equality), for every kernel set, tile position, thread count, gather and stride. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/cpu/gemm/gemm.h"
#include "memory/buffer.h"
#include "rng/rng.h"

static const BfmGemmEngine ENGINES[] = {BFM_GEMM_OWN, BFM_GEMM_AVX512, BFM_GEMM_AVX2, BFM_GEMM_PORTABLE};
enum { ENGINE_COUNT = 4 };

/* The definition: one chain per block of k, blocks added in order. */
static float reference_element(const BfmGemm *p, int64_t i, int64_t j, float before)
{
    float value = before;
    for (int64_t k0 = 0; k0 < p->k; k0 += BFM_GEMM_K_BLOCK) {
        float sum = 0;
        for (int64_t k = k0; k < p->k && k < k0 + BFM_GEMM_K_BLOCK; k++) {
            int64_t row = p->a_rows ? p->a_rows[i] : i, ka = p->k_a ? p->k_a[k] : k, kb = p->k_b ? p->k_b[k] : k;
            float a = row < 0 || ka < 0 ? 0 : p->a[row * p->a_row + ka * p->a_col];
            if (p->a_scale)
                a *= p->a_scale[i * p->a_scale_stride];
            sum = fmaf(a, kb < 0 ? 0 : p->b[kb * p->b_row + j * p->b_col], sum);
        }
        value = k0 == 0 && !p->accumulate && !p->addend ? p->alpha * sum : fmaf(p->alpha, sum, value);
    }
    return p->k == 0 && !p->accumulate && !p->addend ? 0 : value;
}

static void reference_run(const BfmGemm *p)
{
    for (int64_t i = 0; i < p->m; i++) {
        int64_t row = p->c_rows ? p->c_rows[i] : i;
        for (int64_t j = 0; row >= 0 && j < p->n; j++) {
            float *c = p->c + row * p->c_row + j * p->c_col;
            *c = reference_element(p, i, j, p->addend ? p->addend[row * p->c_row + j * p->c_col] : *c);
        }
    }
}

static float *random_new(uint64_t name, int64_t count)
{
    float *values = bfm_buffer_new((size_t)count * sizeof *values);
    assert_non_null(values);
    bfm_rng_fill_normal(bfm_rng_init(1, name, 0), 0, count, 0, 1, values);
    return values;
}

typedef struct Check {
    BfmGemm product;
    int64_t c_count; /* floats of C's memory */
    float *start, *expected, *c;
} Check;

static void check_run(const Check *check, const BfmGemm *product, BfmGemmEngine engine, int threads, float *scratch)
{
    memcpy(check->c, check->start, (size_t)check->c_count * sizeof(float));
    BfmPool *pool = threads ? bfm_pool_new(threads) : NULL;
    if (threads)
        assert_true(bfm_gemm_run(pool, product, 1, engine, NULL));
    else
        bfm_gemm_block(product, engine, scratch);
    bfm_pool_free(pool);
    for (int64_t i = 0; i < check->c_count; i++)
        if (memcmp(&check->c[i], &check->expected[i], sizeof(float)) != 0)
            fail_msg("%s, %d threads, %lld x %lld x %lld: C at %lld is %a, expected %a", bfm_gemm_engine_name(engine), threads, (long long)product->m, (long long)product->n,
                     (long long)product->k, (long long)i, (double)check->c[i], (double)check->expected[i]);
}

/* The same product from operands packed beforehand, and with nothing else left of them. */
static void check_packed(const Check *check, BfmGemmEngine engine, float *scratch)
{
    BfmGemm product = check->product;
    float *a = bfm_buffer_new((size_t)bfm_gemm_packed_a_floats(product.m, product.k) * sizeof(float));
    float *b = bfm_buffer_new((size_t)bfm_gemm_packed_b_floats(product.k, product.n) * sizeof(float));
    if (product.m <= BFM_GEMM_PACKED_ROWS) {
        bfm_gemm_pack_a(&product, engine, a);
        product.a = NULL, product.a_rows = product.k_a = NULL, product.a_scale = NULL, product.a_packed = a;
        check_run(check, &product, engine, 0, scratch);
    }
    bfm_gemm_pack_b(&product, engine, b);
    product.b = NULL, product.k_b = NULL, product.b_packed = b;
    check_run(check, &product, engine, 0, scratch);
    check_run(check, &product, engine, 2, scratch);
    bfm_buffer_free(a), bfm_buffer_free(b);
}

/* Runs the product with every kernel set and several thread counts, as a block (threads 0), and packed; all of C's memory must equal the reference's. */
static void check_product(BfmGemm product, int64_t c_count)
{
    size_t bytes = (size_t)c_count * sizeof(float);
    Check check = {.product = product, .c_count = c_count, .start = random_new(99, c_count), .expected = bfm_buffer_new(bytes), .c = bfm_buffer_new(bytes)};
    float *scratch = bfm_buffer_new(bfm_gemm_block_scratch());
    memcpy(check.expected, check.start, bytes);
    check.product.c = check.expected;
    reference_run(&check.product);
    check.product.c = check.c;
    for (int e = 0; e < ENGINE_COUNT; e++) {
        for (int threads = 0; threads <= 3; threads += 1 + e)
            check_run(&check, &check.product, ENGINES[e], threads, scratch);
        check_packed(&check, ENGINES[e], scratch);
    }
    bfm_buffer_free(check.start), bfm_buffer_free(check.expected), bfm_buffer_free(check.c), bfm_buffer_free(scratch);
}

static void shapes_and_transposes(void **state)
{
    (void)state;
    const int64_t shapes[][3] = {{1, 1, 1},     {1, 40, 3},    {14, 32, 17}, {15, 33, 256}, {7, 5, 257},    {64, 64, 64},   {29, 100, 300},
                                 {130, 70, 40}, {200, 16, 20}, {300, 8, 33}, {90, 500, 70}, {3, 200, 600},  {64, 31, 1025}, {350, 260, 520},
                                 {50, 1, 64},   {33, 47, 0},   {300, 1, 70}, {1, 300, 90},  {150, 24, 530}, {5, 130, 66}};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        int64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
        float *a = random_new(1, m * k + 1), *b = random_new(2, k * n + 1), *d = random_new(3, (m + 3) * (n + 3));
        for (int form = 0; form < 12; form++) {
            BfmGemm product = {.m = m, .n = n, .k = k, .a = a, .b = b, .alpha = form & 1 ? -0.75f : 1, .accumulate = form < 8 && (form >> 1) & 1, .addend = form < 8 ? NULL : d};
            bool a_across = form & 1, b_across = form & 2, c_across = form & 4;
            product.a_row = a_across ? 1 : k, product.a_col = a_across ? m : 1;
            product.b_row = b_across ? 1 : n, product.b_col = b_across ? k : 1;
            product.c_row = c_across ? 1 : n + 3, product.c_col = c_across ? m + 2 : 1;
            check_product(product, (m + 3) * (n + 3));
        }
        bfm_buffer_free(a), bfm_buffer_free(b), bfm_buffer_free(d);
    }
}

/* Every combination of the optional parts, with -1 among the indices and odd strides. */
static void gathers_and_scales(void **state)
{
    (void)state;
    enum { M = 61, N = 75, K = 290, SPREAD = 400 };
    float *a = random_new(3, SPREAD * SPREAD), *b = random_new(4, SPREAD * SPREAD), *scale = random_new(5, 3 * M);
    int32_t a_rows[M], c_rows[M], k_a[K], k_b[K];
    int64_t places[SPREAD];
    bfm_rng_permutation(bfm_rng_init(5, 6, 7), SPREAD, places);
    for (int i = 0; i < M; i++) {
        a_rows[i] = i % 9 == 4 ? -1 : (int32_t)(places[i] % 100);
        c_rows[i] = i % 7 == 3 ? -1 : (int32_t)(places[i] < 100 ? places[i] : 100 + i);
    }
    for (int i = 0; i < K; i++) {
        k_a[i] = i % 13 == 5 ? -1 : (int32_t)places[i];
        k_b[i] = i % 13 == 5 || i == 7 ? -1 : (int32_t)places[SPREAD - 1 - i];
    }
    for (int form = 0; form < 128; form++) {
        BfmGemm product = {.m = M, .n = N, .k = K, .a = a, .b = b, .alpha = 1, .accumulate = (form >> 5) & 1, .c_row = N + 1, .c_col = 1, .a_scale_stride = 3};
        product.a_rows = form & 1 ? a_rows : NULL;
        product.k_a = form & 2 ? k_a : NULL;
        product.k_b = form & 4 ? k_b : NULL;
        product.c_rows = form & 8 ? c_rows : NULL;
        product.a_scale = form & 16 ? scale : NULL;
        bool across = form & 64;
        product.a_row = across ? 1 : SPREAD, product.a_col = across ? SPREAD : 1;
        product.b_row = across ? 1 : SPREAD, product.b_col = across ? SPREAD : 1;
        check_product(product, (N + 1) * (100 + M));
    }
    float *d = random_new(6, (N + 1) * (100 + M));
    BfmGemm added = {
        .m = M, .n = N, .k = K, .a = a, .a_row = SPREAD, .a_col = 1, .b = b, .b_row = SPREAD, .b_col = 1, .c_rows = c_rows, .c_row = N + 1, .c_col = 1, .alpha = 1, .addend = d};
    check_product(added, (N + 1) * (100 + M));
    bfm_buffer_free(d);
    BfmGemm strided = {.m = M, .n = N, .k = K, .a = a, .a_row = 0, .a_col = 3, .b = b, .b_row = 5, .b_col = 2, .c_row = 2 * N, .c_col = 2, .alpha = 2};
    check_product(strided, 2 * M * N);
    bfm_buffer_free(a), bfm_buffer_free(b), bfm_buffer_free(scale);
}

/* Many products of different sizes in one run, some empty; each must equal itself run alone. */
static void batches(void **state)
{
    (void)state;
    enum { COUNT = 40, WIDTH = 96, INNER = 128, ROWS = 400 };
    float *a = random_new(7, ROWS * INNER), *b = random_new(8, COUNT * INNER * WIDTH);
    float *c = random_new(9, ROWS * WIDTH), *expected = random_new(9, ROWS * WIDTH);
    BfmGemm products[COUNT];
    int64_t row = 0;
    for (int g = 0; g < COUNT; g++) {
        int64_t rows = g % 7 == 2 ? 0 : g % 5 * 4 + g % 3;
        products[g] = (BfmGemm){.m = rows,
                                .n = WIDTH,
                                .k = INNER,
                                .a = a + row * INNER,
                                .a_row = INNER,
                                .a_col = 1,
                                .b = b + g * INNER * WIDTH,
                                .b_row = WIDTH,
                                .b_col = 1,
                                .c = c + row * WIDTH,
                                .c_row = WIDTH,
                                .c_col = 1,
                                .alpha = 1,
                                .accumulate = 1};
        row += rows;
    }
    assert_true(row <= ROWS);
    for (int g = 0; g < COUNT; g++) {
        BfmGemm alone = products[g];
        alone.c = expected + (products[g].c - c);
        reference_run(&alone);
    }
    BfmPool *pool = bfm_pool_new(2);
    assert_true(bfm_gemm_run(pool, products, COUNT, BFM_GEMM_OWN, NULL));
    assert_memory_equal(c, expected, ROWS * WIDTH * sizeof(float));
    assert_true(bfm_gemm_run(pool, products, 0, BFM_GEMM_OWN, NULL));
    bfm_pool_free(pool);
    bfm_buffer_free(a), bfm_buffer_free(b), bfm_buffer_free(c), bfm_buffer_free(expected);
}

/* Right operands too large for the packing space: several rounds over k, and none at all. */
static void large_right_operands(void **state)
{
    (void)state;
    const int64_t shapes[][3] = {{40, 3000, 1100}, {31, 9000, 300}};
    for (int s = 0; s < 2; s++) {
        int64_t m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
        float *a = random_new(10, m * k), *b = random_new(11, k * n), *c = random_new(12, m * n), *d = random_new(13, m * n);
        BfmGemm product = {.m = m, .n = n, .k = k, .a = a, .a_row = k, .a_col = 1, .b = b, .b_row = n, .b_col = 1, .c = c, .c_row = n, .c_col = 1, .alpha = 1};
        BfmPool *pool = bfm_pool_new(2);
        assert_true(bfm_gemm_run(pool, &product, 1, BFM_GEMM_OWN, NULL));
        product.c = d;
        assert_true(bfm_gemm_run(NULL, &product, 1, BFM_GEMM_AVX2, NULL));
        assert_memory_equal(c, d, (size_t)(m * n) * sizeof(float));
        for (int64_t i = 0; i < m * n; i += 997) {
            float expected = reference_element(&product, i / n, i % n, 0);
            assert_memory_equal(&c[i], &expected, sizeof(float));
        }
        bfm_pool_free(pool);
        bfm_buffer_free(a), bfm_buffer_free(b), bfm_buffer_free(c), bfm_buffer_free(d);
    }
}

/* A result that no cache keeps is stored past them: the same bits as by tiles that are not. */
static void large_results(void **state)
{
    (void)state;
    enum { M = 2900, N = 2960, K = 5 };
    float *a = random_new(10, M * K), *b = random_new(11, K * N), *c = bfm_buffer_new(sizeof(float) * M * N), *d = bfm_buffer_new(sizeof(float) * M * N),
          *scratch = bfm_buffer_new(bfm_gemm_block_scratch());
    BfmGemm product = {.m = M, .n = N, .k = K, .a = a, .a_row = K, .a_col = 1, .b = b, .b_row = N, .b_col = 1, .c = c, .c_row = N, .c_col = 1, .alpha = 0.5f};
    for (int e = 0; e < ENGINE_COUNT; e++) {
        BfmPool *pool = bfm_pool_new(2);
        assert_true(bfm_gemm_run(pool, &product, 1, ENGINES[e], NULL));
        BfmGemm block = product;
        block.c = d;
        bfm_gemm_block(&block, ENGINES[e], scratch);
        assert_memory_equal(c, d, (size_t)M * N * sizeof(float));
        bfm_pool_free(pool);
    }
    bfm_buffer_free(a), bfm_buffer_free(b), bfm_buffer_free(c), bfm_buffer_free(d), bfm_buffer_free(scratch);
}

static void openblas_agrees(void **state)
{
    (void)state;
    enum { M = 300, N = 600, K = 130 };
    float *a = random_new(14, M * K), *b = random_new(15, K * N), *c = random_new(16, M * N), *d = random_new(16, M * N), *e = random_new(16, M * N);
    BfmPool *one = bfm_pool_new(1), *three = bfm_pool_new(3);
    for (int form = 0; form < 8; form++) {
        BfmGemm product = {.m = M, .n = N, .k = K, .a = a, .b = b, .c = c, .c_row = N, .c_col = 1, .alpha = 0.5f, .accumulate = form >> 2};
        product.a_row = form & 1 ? 1 : K, product.a_col = form & 1 ? M : 1;
        product.b_row = form & 2 ? 1 : N, product.b_col = form & 2 ? K : 1;
        assert_true(bfm_gemm_run(one, &product, 1, BFM_GEMM_OPENBLAS, NULL));
        product.c = d;
        assert_true(bfm_gemm_run(three, &product, 1, BFM_GEMM_OPENBLAS, NULL));
        product.c = e;
        assert_true(bfm_gemm_run(three, &product, 1, BFM_GEMM_OWN, NULL));
        assert_memory_equal(c, d, M * N * sizeof(float));
        for (int i = 0; i < M * N; i++)
            assert_true(fabsf(c[i] - e[i]) < 1e-4f * (float)K);
    }
    int32_t rows[M];
    for (int i = 0; i < M; i++)
        rows[i] = M - 1 - i;
    BfmGemm gathered = {.m = M, .n = N, .k = K, .a = a, .a_row = K, .a_col = 1, .b = b, .b_row = N, .b_col = 1, .c = c, .c_row = N, .c_col = 1, .alpha = 1, .a_rows = rows};
    assert_true(bfm_gemm_run(three, &gathered, 1, BFM_GEMM_OPENBLAS, NULL));
    gathered.c = d;
    assert_true(bfm_gemm_run(three, &gathered, 1, BFM_GEMM_OWN, NULL));
    assert_memory_equal(c, d, M * N * sizeof(float));
    bfm_pool_free(one), bfm_pool_free(three);
    bfm_buffer_free(a), bfm_buffer_free(b), bfm_buffer_free(c), bfm_buffer_free(d), bfm_buffer_free(e);
}

static void measures(void **state)
{
    (void)state;
    assert_true(bfm_gemm_measure(NULL, 0) > 0.01);
    assert_string_equal(bfm_gemm_engine_name(BFM_GEMM_PORTABLE), "portable");
    assert_string_equal(bfm_gemm_engine_name(BFM_GEMM_OPENBLAS), "openblas");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_and_transposes), cmocka_unit_test(gathers_and_scales), cmocka_unit_test(batches),  cmocka_unit_test(large_right_operands),
        cmocka_unit_test(large_results),         cmocka_unit_test(openblas_agrees),    cmocka_unit_test(measures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
