/* Dimensions: canonical form, division, rounding, proofs, text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ir/dim.h"

static Arena *arena;
static DimTable *table;

static int setup(void **state)
{
    (void)state;
    arena = arena_new();
    table = dim_table_new(arena);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static Dim read(const char *text)
{
    const char *at = text;
    const Dim dim = dim_read(table, &at);
    assert_non_null(dim);
    assert_string_equal(at, "");
    return dim;
}

static void assert_text(Dim dim, const char *expected)
{
    Str text = {0};
    dim_print(dim, &text);
    assert_string_equal(str_text(&text), expected);
    str_free(&text);
}

static void canonical(void **state)
{
    (void)state;
    assert_ptr_equal(read("(b + l)*(b - l)"), read("b^2 - l*l"));
    assert_ptr_equal(read("4*l + 1 - 4*l"), dim_int(table, 1));
    assert_ptr_equal(read("min(l, 7) + max(3, b)"), read("max(b, 3) + min(7, l)"));
    assert_text(read("1 + l*4"), "4*l + 1");
    assert_text(read("ceil(b*l/4)"), "ceil(1/4*b*l)");
    assert_text(read("-l + b*3/2 - s0*s1^2"), "-s0*s1^2 + 3/2*b - l");
    assert_text(read("l - l"), "0");
    assert_text(read("min(l, 4)"), "min(l, 4)");
    assert_true(dim_hash(read("2*b + l")) == dim_hash(read("l + b + b")));
}

static void division(void **state)
{
    (void)state;
    assert_ptr_equal(dim_div(table, read("b^2 - l^2"), read("b + l")), read("b - l"));
    assert_ptr_equal(dim_div(table, read("6*b*l"), read("4*l")), read("3/2*b"));
    assert_null(dim_div(table, read("b + 1"), read("l")));
    assert_null(dim_div(table, read("b"), read("0")));
}

static void rounding(void **state)
{
    (void)state;
    assert_ptr_equal(read("ceil(7/2)"), dim_int(table, 4));
    assert_ptr_equal(read("floor(7/2)"), dim_int(table, 3));
    assert_ptr_equal(read("ceil(l + b/4 + 5/4)"), read("l + 1 + ceil(b/4 + 1/4)"));
    assert_ptr_equal(read("ceil(3*l)"), read("3*l"));
    const DimEnv env = {.value = {[DIM_B] = 3, [DIM_L] = 5}};
    assert_int_equal(dim_eval(read("ceil(b*l/4)"), &env), 4);
    assert_int_equal(dim_eval(read("floor(b*l/4) + max(b, l) - min(b, l)"), &env), 5);
    assert_int_equal(dim_eval(read("b/2"), &env), 1);
}

static void substitution(void **state)
{
    (void)state;
    assert_ptr_equal(dim_substitute(table, read("l^2 + ceil(l/4) + b"), DIM_L, read("4*s0")), read("16*s0^2 + s0 + b"));
    assert_ptr_equal(dim_substitute(table, read("min(l, 3)"), DIM_L, read("2")), read("2"));
    assert_true(dim_uses(read("max(1 + b, l)"), DIM_B));
    assert_false(dim_uses(read("max(1 + b, l)"), DIM_P));
    assert_true(dim_is_static(read("l - l + 3")));
}

static void proofs(void **state)
{
    (void)state;
    static const char *const yes[] = {"0",
                                      "b - 1",
                                      "l^2 - l",
                                      "b*l - b - l + 1",
                                      "l - p - 1",
                                      "p",
                                      "ceil(l/4) - l/4",
                                      "l - floor(l/2)",
                                      "ceil(l/4)",
                                      "ceil(l/4) - 1",
                                      "floor(l/4) + 1 - l/4",
                                      "l - min(l, 7)",
                                      "7 - min(l, 7)",
                                      "max(l, 7) - 7",
                                      "min(l, 7) - 1",
                                      "l/4 + 1 - ceil(l/4)",
                                      "l/4 + 3/4 - ceil(l/4)",
                                      "l - ceil(l/4)",
                                      "floor(l/4)",
                                      "4*ceil(b*l/4) - b*l",
                                      "s0*s1 - s0",
                                      "n - 1",
                                      "l - n",
                                      "l - p - n",
                                      "l*n - n*n - n*p"};
    static const char *const no[] = {"-1", "b - 2", "l - b", "p - 1", "l/4 - ceil(l/4)", "min(l, 7) - 2", "l - p - 2", "floor(l/4) - 1", "n - 2", "n - p", "l - p - n - 1"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        if (!dim_proves_nonnegative(read(yes[i])))
            fail_msg("not proved: %s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        if (dim_proves_nonnegative(read(no[i])))
            fail_msg("proved: %s", no[i]);
}

/* Whatever is proved holds for every small binding. */
static void proofs_are_sound(void **state)
{
    (void)state;
    static const char *const parts[] = {"b", "l", "p", "n", "ceil(l/3)", "floor(b*l/4)", "min(b, l)", "max(p, 2)", "min(floor(l/2), b)", "ceil(b/2 - l/3)", "1"};
    uint32_t random = 1;
    for (int round = 0; round < 3000; round++) {
        Dim sum = dim_int(table, 0);
        for (int i = 0; i < 4; i++) {
            random = random * 1664525 + 1013904223;
            const Dim part = read(parts[(random >> 16) % 11]);
            sum = dim_add(table, sum, dim_mul(table, dim_rational(table, rational((int64_t)((random >> 8) % 9) - 4, 1 + (random >> 4) % 2)), part));
        }
        if (!dim_proves_nonnegative(sum))
            continue;
        for (int64_t b = 1; b < 6; b++)
            for (int64_t l = 1; l < 8; l++)
                for (int64_t p = 0; p < l; p++)
                    for (int64_t n = 1; n <= l - p; n++)
                        assert_true(dim_eval_exact(sum, &(DimEnv){.value = {b, l, p, n}}).num >= 0);
    }
}

static void hostile(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "+", "l +", "ceil(", "q", "min(l)", "99999999999999999999", "l^99", "1/0", "l/b"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *at = bad[i];
        assert_null(dim_read(table, &at));
    }
    Dim large = read("9223372036854775807");
    large = dim_mul(table, large, large);
    assert_false(dim_is_rational(large, NULL));
    assert_false(dim_proves_nonnegative(large));
    assert_int_equal(dim_eval(dim_add(table, large, read("l")), &(DimEnv){.value = {1, 1, 0}}), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(canonical), cmocka_unit_test(division),         cmocka_unit_test(rounding), cmocka_unit_test(substitution),
                                       cmocka_unit_test(proofs),    cmocka_unit_test(proofs_are_sound), cmocka_unit_test(hostile)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
