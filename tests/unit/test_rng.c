/* Random draws (known answers, moments, permutations) and orders (sort by key, top k). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "rng/rng.h"
#include "device/cpu/templates/order.h"

/* Vectors of Random123's known-answer file for philox4x32, 10 rounds. */
static void known_answers(void **state)
{
    (void)state;
    uint32_t words[4];
    bfm_rng_words((BfmRng){.key = 0, .step = 0}, 0, words);
    const uint32_t zeros[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    assert_memory_equal(words, zeros, sizeof words);
    bfm_rng_words((BfmRng){.key = UINT64_MAX, .step = UINT64_MAX}, UINT64_MAX, words);
    const uint32_t ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    assert_memory_equal(words, ones, sizeof words);
}

static void draws_differ_by_every_part(void **state)
{
    (void)state;
    uint64_t base = bfm_rng_u64(bfm_rng_init(1, 2, 3), 4);
    assert_true(base == bfm_rng_u64(bfm_rng_init(1, 2, 3), 4));
    assert_true(base != bfm_rng_u64(bfm_rng_init(2, 2, 3), 4));
    assert_true(base != bfm_rng_u64(bfm_rng_init(1, 3, 3), 4));
    assert_true(base != bfm_rng_u64(bfm_rng_init(1, 2, 4), 4));
    assert_true(base != bfm_rng_u64(bfm_rng_init(1, 2, 3), 5));
    assert_true(base != bfm_rng_u64(bfm_rng_init((uint64_t)1 << 32 | 1, 2, 3), 4));
}

static void moments(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    BfmRng rng = bfm_rng_init(7, 11, 0);
    double sum = 0, squares = 0, fourth = 0, uniform = 0, uniform_squares = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        double x = bfm_rng_normal(rng, i), u = bfm_rng_uniform(rng, i);
        sum += x, squares += x * x, fourth += x * x * x * x, uniform += u, uniform_squares += u * u;
        assert_true(u >= 0 && u < 1 && isfinite(x));
        float f = bfm_rng_uniform_f32(rng, i);
        assert_true((double)f <= u && u - (double)f < 0x1p-24);
    }
    assert_true(fabs(sum / COUNT) < 0.01 && fabs(squares / COUNT - 1) < 0.01 && fabs(fourth / COUNT - 3) < 0.1);
    assert_true(fabs(uniform / COUNT - 0.5) < 0.003 && fabs(uniform_squares / COUNT - 1.0 / 3) < 0.003);
    float filled[8], normals[8];
    bfm_rng_fill_uniform(rng, 5, 8, filled);
    bfm_rng_fill_normal(rng, 5, 8, 2.0, 0.5, normals);
    for (uint64_t i = 0; i < 8; i++) {
        assert_true(filled[i] == bfm_rng_uniform_f32(rng, 5 + i));
        assert_true(normals[i] == (float)(2.0 + 0.5 * bfm_rng_normal(rng, 5 + i)));
    }
}

static void permutations(void **state)
{
    (void)state;
    int64_t out[1000], again[1000];
    char seen[1000] = {0};
    bfm_rng_permutation(bfm_rng_init(1, 2, 3), 1000, out);
    bfm_rng_permutation(bfm_rng_init(1, 2, 3), 1000, again);
    assert_memory_equal(out, again, sizeof out);
    for (int i = 0; i < 1000; i++)
        seen[out[i]]++;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(seen[i], 1);
    int64_t small[3];
    int counts[3][3] = {{0}};
    for (uint64_t step = 0; step < 9000; step++) {
        bfm_rng_permutation(bfm_rng_init(1, 2, step), 3, small);
        for (int i = 0; i < 3; i++)
            counts[i][small[i]]++;
    }
    for (int i = 0; i < 9; i++)
        assert_in_range(counts[i / 3][i % 3], 2850, 3150);
    bfm_rng_permutation(bfm_rng_init(1, 2, 3), 0, NULL);
}

static void order_is_stable(void **state)
{
    (void)state;
    const int32_t keys[10] = {2, 0, -1, 2, 3, 0, -1, 0, 2, 3};
    const int32_t expected[8] = {1, 5, 7, 0, 3, 8, 4, 9}, expected_offsets[6] = {0, 3, 3, 6, 8, 8};
    int32_t perm[10], offsets[6];
    bfm_order(keys, 10, 5, perm, offsets);
    assert_memory_equal(perm, expected, sizeof expected);
    assert_memory_equal(offsets, expected_offsets, sizeof offsets);
    bfm_order(NULL, 0, 5, perm, offsets);
    for (int g = 0; g <= 5; g++)
        assert_int_equal(offsets[g], 0);
}

static void top_k_orders(void **state)
{
    (void)state;
    const float values[8] = {1, NAN, 3, 3, -INFINITY, 5, 0.0f, -0.0f};
    const int32_t all[8] = {5, 2, 3, 0, 6, 7, 4, 1};
    int32_t out[10];
    for (int k = 0; k <= 10; k++) {
        memset(out, 0x55, sizeof out);
        bfm_top_k(values, 1, 8, k, out);
        for (int i = 0; i < k; i++)
            assert_int_equal(out[i], i < 8 ? all[i] : -1);
    }
    bfm_top_k(values, 2, 4, 2, out); /* 1, 3, -inf, 0 */
    assert_int_equal(out[0], 1);
    assert_int_equal(out[1], 0);
    const float nans[3] = {NAN, NAN, NAN};
    bfm_top_k(nans, 1, 3, 2, out);
    assert_int_equal(out[0], 0);
    assert_int_equal(out[1], 1);
}

static void top_k_random(void **state)
{
    (void)state;
    BfmRng rng = bfm_rng_init(3, 4, 5);
    float values[300];
    int32_t out[300];
    for (int64_t n = 1; n <= 300; n += 37) {
        for (int64_t i = 0; i < n; i++)
            values[i] = (float)(bfm_rng_u32(rng, (uint64_t)(n * 1000 + i)) % 40); /* many ties */
        for (int64_t k = 1; k <= n; k += 1 + n / 5) {
            bfm_top_k(values, 1, n, k, out);
            for (int64_t r = 0; r < k; r++) { /* rank r: exactly r entries come before it */
                int64_t before = 0;
                for (int64_t i = 0; i < n; i++)
                    before += values[i] > values[out[r]] || (values[i] >= values[out[r]] && i < out[r]);
                assert_int_equal(before, r);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),   cmocka_unit_test(draws_differ_by_every_part),
        cmocka_unit_test(moments),         cmocka_unit_test(permutations),
        cmocka_unit_test(order_is_stable), cmocka_unit_test(top_k_orders),
        cmocka_unit_test(top_k_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
