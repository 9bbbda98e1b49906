/* Exact rationals: reduction, order, rounding, overflow, text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/checked.h"
#include "support/rational.h"

#include <math.h>

static void assert_rational(Rational value, int64_t num, int64_t den)
{
    assert_int_equal(value.num, num);
    assert_int_equal(value.den, den);
}

static void test_reduction(void **state)
{
    (void)state;
    assert_rational(rational(6, 4), 3, 2);
    assert_rational(rational(6, -4), -3, 2);
    assert_rational(rational(0, -7), 0, 1);
    assert_rational(rational_add(rational(1, 6), rational(1, 3)), 1, 2);
    assert_rational(rational_sub(rational(1, 2), rational(1, 2)), 0, 1);
    assert_rational(rational_mul(rational(2, 3), rational(9, 4)), 3, 2);
    assert_rational(rational_div(rational(2, 3), rational(-4, 3)), -1, 2);
}

static void test_rounding(void **state)
{
    (void)state;
    assert_rational(rational_ceil(rational_div(rational_mul(rational(11, 10), rational_int(100)), rational_int(10))), 11, 1);
    assert_rational(rational_floor(rational(-1, 2)), -1, 1);
    assert_rational(rational_ceil(rational(-1, 2)), 0, 1);
    assert_rational(rational_floor(rational_int(5)), 5, 1);
    for (int64_t a = -20; a <= 20; a++)
        for (int64_t b = -7; b <= 7; b++) {
            if (b == 0)
                continue;
            assert_int_equal(floor_div(a, b), (int64_t)floor((double)a / (double)b));
            assert_int_equal(ceil_div(a, b), (int64_t)ceil((double)a / (double)b));
        }
}

static void test_overflow_is_invalid(void **state)
{
    (void)state;
    Rational big = rational_int(INT64_MAX), invalid = rational_mul(big, big);
    assert_false(rational_valid(rational(1, 0)));
    assert_false(rational_valid(invalid));
    assert_false(rational_valid(rational_add(big, rational_int(1))));
    assert_false(rational_valid(rational_div(rational_int(1), rational_int(0))));
    assert_false(rational_valid(rational_add(invalid, rational_int(1))));
    assert_false(rational_valid(rational_floor(invalid)));
    assert_rational(rational_mul(big, rational(1, INT64_MAX)), 1, 1);
}

static void test_order(void **state)
{
    (void)state;
    for (int64_t a = -6; a <= 6; a++)
        for (int64_t b = 1; b <= 6; b++)
            for (int64_t c = -6; c <= 6; c++)
                for (int64_t d = 1; d <= 6; d++) {
                    int64_t sign = a * d - c * b;
                    assert_int_equal(rational_compare(rational(a, b), rational(c, d)), sign > 0 ? 1 : sign < 0 ? -1 : 0);
                }
    assert_int_equal(rational_compare(rational(INT64_MAX, INT64_MAX - 1), rational(INT64_MAX - 1, INT64_MAX)), 1);
}

static void test_text(void **state)
{
    (void)state;
    char text[64];
    rational_print(rational(1, 4), text, sizeof text);
    assert_string_equal(text, "0.25");
    rational_print(rational(-5, 2), text, sizeof text);
    assert_string_equal(text, "-2.5");
    rational_print(rational_int(32000), text, sizeof text);
    assert_string_equal(text, "32000");
    rational_print(rational(1, 3), text, sizeof text);
    assert_string_equal(text, "1/3");
    assert_true(rational_double(rational(1, 8)) == 0.125);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reduction), cmocka_unit_test(test_rounding), cmocka_unit_test(test_overflow_is_invalid), cmocka_unit_test(test_order), cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
