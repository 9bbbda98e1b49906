/* Element types: sizes as C's types have them, what is stored loads again, rounding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the headers it needs */
#include <cmocka.h>

#include "bfm/elem.h"
#include "file/tensor.h"
#include "rng/rng.h"

#include <math.h>
#include <string.h>

static void sizes(void **state)
{
    (void)state;
    assert_int_equal(bfm_elem_bytes(BFM_ELEM_F32, 3), 3 * sizeof(float));
    assert_int_equal(bfm_elem_bytes(BFM_ELEM_F64, 3), 3 * sizeof(double));
    assert_int_equal(bfm_elem_bytes(BFM_ELEM_I32, 3), 3 * sizeof(int32_t));
    assert_int_equal(bfm_elem_bytes(BFM_ELEM_BF16, 3), 3 * sizeof(uint16_t));
    for (int e = 0; e < BFM_ELEM_COUNT; e++) { /* as in files, of that name */
        char name[8] = "";
        for (size_t i = 0; bfm_elem_name((BfmElem)e)[i]; i++)
            name[i] = (char)(bfm_elem_name((BfmElem)e)[i] & ~(bfm_elem_name((BfmElem)e)[i] >= 'a' ? 0x20 : 0));
        assert_string_equal(bfm_dtype_name(bfm_elem_dtype((BfmElem)e)), name);
        assert_int_equal(bfm_dtype_bytes(bfm_elem_dtype((BfmElem)e)), bfm_elem_bytes((BfmElem)e, 1));
    }
}

static void stored_and_loaded(void **state)
{
    (void)state;
    static const double VALUES[] = {0, -0.0, 1, -3.5, 0x1p-149, 0x1.fffffep127, 1.0 / 3, 1e300, (double)INFINITY, -(double)INFINITY};
    for (size_t i = 0; i < sizeof VALUES / sizeof *VALUES; i++) {
        double wide[2] = {0};
        float narrow[2] = {0};
        const float expected = (float)VALUES[i];
        bfm_elem_store(BFM_ELEM_F64, wide, 1, VALUES[i]);
        bfm_elem_store(BFM_ELEM_F32, narrow, 1, VALUES[i]);
        assert_memory_equal(&wide[1], &VALUES[i], sizeof *wide);
        assert_memory_equal(&narrow[1], &expected, sizeof expected);
        assert_true(bfm_elem_load(BFM_ELEM_F64, wide, 1) == VALUES[i] && bfm_elem_load(BFM_ELEM_F32, narrow, 1) == (double)expected);
        assert_true(wide[0] == 0 && narrow[0] == 0);
    }
    float nan = 0;
    bfm_elem_store(BFM_ELEM_F32, &nan, 0, (double)NAN);
    assert_true(isnan(nan));
}

static void indices(void **state)
{
    (void)state;
    static const struct {
        double number;
        int32_t index;
    } CASES[] = {
        {0, 0}, {7, 7}, {2.5, 2}, {3.5, 4}, {-0.4, 0}, {-1, -1}, {-7, -1}, {2147483647, 2147483647}, {2147483648, -1}, {1e300, -1}, {(double)NAN, -1}, {(double)INFINITY, -1}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        int32_t index = 99;
        bfm_elem_store(BFM_ELEM_I32, &index, 0, CASES[i].number);
        assert_int_equal(index, CASES[i].index);
        assert_true(bfm_elem_load(BFM_ELEM_I32, &index, 0) == CASES[i].index);
    }
}

/* The nearest of all bf16 numbers, by looking at the neighbours of the answer. */
static void brain_floats(void **state)
{
    (void)state;
    const BfmRng rng = bfm_rng_init(5, 6, 7);
    for (uint64_t i = 0; i < 200000; i++) {
        const uint64_t bits = bfm_rng_u64(rng, i);
        double value = ldexp(1 + (double)(bits >> 40) * 0x1p-24, (int)(bits % 280) - 150) * (bits & 512 ? -1 : 1);
        if (i % 4 == 0) { /* halfway between two, exactly or almost */
            const uint16_t low = (uint16_t)(bits >> 20 & 0x7F7F);
            uint16_t pair[2] = {low, (uint16_t)(low + 1)};
            value = (bfm_elem_load(BFM_ELEM_BF16, pair, 0) + bfm_elem_load(BFM_ELEM_BF16, pair, 1)) / 2;
            value = i % 12 == 0 ? value : i % 12 == 4 ? nextafter(value, 0) : nextafter(value, (double)INFINITY);
        }
        uint16_t found;
        bfm_elem_store(BFM_ELEM_BF16, &found, 0, value);
        const double number = bfm_elem_load(BFM_ELEM_BF16, &found, 0);
        if (isinf(number)) {
            assert_true(fabs(value) >= 0x1.ffp127);
            continue;
        }
        assert_true(signbit(number) == signbit(value));
        for (int side = -1; side <= 1; side += 2) {
            const uint16_t other = (uint16_t)(found + side);
            const double neighbour = bfm_elem_load(BFM_ELEM_BF16, &other, 0);
            if (((other ^ found) & 0x8000) || isinf(neighbour) || isnan(neighbour))
                continue;
            const double here = fabs(value - number), there = fabs(value - neighbour);
            assert_true(here < there || (here == there && !(found & 1)));
        }
    }
    uint16_t nan;
    bfm_elem_store(BFM_ELEM_BF16, &nan, 0, (double)NAN);
    assert_true(isnan(bfm_elem_load(BFM_ELEM_BF16, &nan, 0)));
    for (uint32_t b = 0; b < 0x10000; b++) { /* each of them is itself */
        uint16_t from = (uint16_t)b, to;
        bfm_elem_store(BFM_ELEM_BF16, &to, 0, bfm_elem_load(BFM_ELEM_BF16, &from, 0));
        assert_true(to == from || (isnan(bfm_elem_load(BFM_ELEM_BF16, &from, 0)) && isnan(bfm_elem_load(BFM_ELEM_BF16, &to, 0))));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes), cmocka_unit_test(stored_and_loaded), cmocka_unit_test(indices), cmocka_unit_test(brain_floats)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
