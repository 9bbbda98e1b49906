/* The reference interpreter, by hand-computed cases: each kind of operation, what `none` does, guards, spans, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "ir/interp.h"

typedef struct Fixture {
    Arena *arena;
    Interner *interner;
    InterpContext context;
} Fixture;

static int setup(void **state)
{
    static Fixture fixture;
    fixture = (Fixture){.arena = arena_new(), .interner = interner_new(), .context = {.env = {.value = {2, 3, 0}}}};
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    arena_free(fixture->arena);
    interner_free(fixture->interner);
    return 0;
}

static Unit *program(Fixture *f, const char *text)
{
    const char *message = NULL;
    Program *read = program_read(f->arena, f->interner, text, &message);
    if (!read)
        fail_msg("%s", message);
    return read->units[read->unit_count - 1];
}

static Value reals(Fixture *f, int64_t count, const double *values) { return (Value){.count = count, .real = arena_memdup(f->arena, values, (size_t)count * sizeof *values)}; }

static Value integers(Fixture *f, int64_t count, const int32_t *values)
{
    return (Value){.count = count, .integer = arena_memdup(f->arena, values, (size_t)count * sizeof *values)};
}

/* Runs the last unit of `text`; its first output must be `expected` (NaN = no value). */
static void check(Fixture *f, const char *text, const Value *formals, int64_t count, const double *expected)
{
    Value results[4];
    const char *message = interp_run(f->arena, program(f, text), &f->context, formals, results, NULL);
    if (message)
        fail_msg("%s", message);
    assert_int_equal(results[0].count, count);
    for (int64_t i = 0; i < count; i++) {
        const double value = results[0].real ? results[0].real[i] : (double)results[0].integer[i];
        if (!(fabs(value - expected[i]) <= 1e-12 || value == expected[i] || (isnan(value) && isnan(expected[i]))))
            fail_msg("element %d is %.17g, expected %.17g", (int)i, value, expected[i]);
    }
}

static void check_refused(Fixture *f, const char *text, const Value *formals, const char *word)
{
    Value results[4];
    const char *message = interp_run(f->arena, program(f, text), &f->context, formals, results, NULL);
    if (!message || !strstr(message, word))
        fail_msg("%s", message ? message : "accepted");
}

#define LIST(...)                                                                                                                                                                  \
    (const double[]) { __VA_ARGS__ }
#define INTS(...)                                                                                                                                                                  \
    (const int32_t[]) { __VA_ARGS__ }
#define UNIT(declarations, ops) "unit main@0 {\n" declarations ops "    output result y = y%1\n}\n"
#define X_REAL(shape, result)   "    input x%0: real" shape "\n    local y%1: " result "\n    formals 0\n"

static void reducers(void **state)
{
    Fixture *f = *state;
    Value x = reals(f, 6, LIST(1, 2, 3, 4, 5, 6)); /* (b 2, l 3) */
#define ROWS(reducer) UNIT(X_REAL("[b, l]", "real[b]"), "    nest " reducer " y%1[i$0]\n        over i$0 < b, j$1 < l\n        body x%0[i$0, j$1]\n")
    check(f, ROWS("sum"), &x, 2, LIST(6, 15));
    check(f, ROWS("max"), &x, 2, LIST(3, 6));
    check(f, ROWS("min"), &x, 2, LIST(1, 4));
    check(f, ROWS("lse"), &x, 2, LIST(log(exp(1) + exp(2) + exp(3)), log(exp(4) + exp(5) + exp(6))));
    check_refused(f, ROWS("set"), &x, "twice");
    x = reals(f, 6, LIST(1e5, 1e5, 1e5, -INFINITY, -INFINITY, -INFINITY));
    check(f, ROWS("lse"), &x, 2, LIST(1e5 + log(3), -INFINITY));
    x = reals(f, 6, LIST(1, NAN, 3, 4, 5, 6)); /* a NaN stays */
    check(f, ROWS("max"), &x, 2, LIST(NAN, 6));
}

static void empty_domains(void **state)
{
    Fixture *f = *state;
    Value x = reals(f, 6, LIST(1, 2, 3, 4, 5, 6));
#define EMPTY(reducer) UNIT(X_REAL("[b, l]", "real[b]"), "    nest " reducer " y%1[i$0]\n        over i$0 < b, j$1 < l\n        where -j$1 - 1 >= 0\n        body x%0[i$0, j$1]\n")
    check(f, EMPTY("sum"), &x, 2, LIST(0, 0));
    check(f, EMPTY("max"), &x, 2, LIST(-INFINITY, -INFINITY));
    check(f, EMPTY("min"), &x, 2, LIST(INFINITY, INFINITY));
    check(f, EMPTY("lse"), &x, 2, LIST(-INFINITY, -INFINITY));
    check(f, EMPTY("set"), &x, 2, LIST(NAN, NAN));
    check(f, UNIT(X_REAL("[b, l]", "real[b]"), "    nest sum y%1[i$0]\n        over i$0 < b, j$1 < l - 3\n        body x%0[i$0, j$1]\n"), &x, 2, LIST(0, 0));
    check(f, UNIT(X_REAL("[b, l]", "int(3)[b]"), "    nest max y%1[i$0]\n        over i$0 < b, j$1 < 0\n        body x%0[i$0, j$1]\n"), &x, 2, LIST(-1, -1));
}

static void affine_domains(void **state)
{
    Fixture *f = *state;
    Value x = reals(f, 6, LIST(1, 2, 3, 4, 5, 6));
    check(f, UNIT(X_REAL("[b, l]", "real[b, l]"), "    nest sum y%1[i$0, j$1]\n        over i$0 < b, j$1 < l, k$2 < l\n        where j$1 - k$2 >= 0\n        body x%0[i$0, k$2]\n"),
          &x, 6, LIST(1, 3, 6, 4, 9, 15));
    check(f,
          UNIT(X_REAL("[b, l]", "real[b, l]"), /* a shifted read, and the range of the innermost index from two conditions */
               "    nest sum y%1[i$0, j$1]\n        over i$0 < b, j$1 < l, k$2 < 4\n        where j$1 - k$2 >= 0\n        where 1 - k$2 >= 0\n        body x%0[i$0, j$1 - k$2]\n"),
          &x, 6, LIST(1, 3, 5, 4, 9, 11));
    check(f,
          UNIT(X_REAL("[b, l]", "real[3]"), "    nest set y%1[j$0]\n        over j$0 < l\n        where 2*j$0 - 1 >= 0\n        where 5 - 3*j$0 >= 0\n        body x%0[1, j$0]\n"),
          &x, 3, LIST(NAN, 5, NAN));
    check(f, UNIT(X_REAL("[b, l]", "real[]"), "    nest sum y%1[]\n        over k$0 < b*l\n        body x%0[2:k$0]\n"), &x, 1, LIST(21));
    check(f, UNIT(X_REAL("[b, l]", "real[]"), "    nest set y%1[]\n        body mul(x%0[1, 2], dim(4*l))\n"), &x, 1, LIST(72));
}

static void none_leaves_points_out(void **state)
{
    Fixture *f = *state;
    const Value formals[2] = {reals(f, 3, LIST(10, 20, 30)), integers(f, 4, INTS(2, -1, 0, 2))};
#define GATHER(result, ops) "unit main@0 {\n    input x%0: real[3]\n    local y%1: " result "\n    input k%2: int(3)[4]\n    formals 0 2\n" ops "    output result y = y%1\n}\n"
    check(f, GATHER("real[4]", "    nest set y%1[i$0]\n        over i$0 < 4\n        body x%0[k%2[i$0]]\n"), formals, 4, LIST(30, NAN, 10, 30));
    check(f, GATHER("real[4]", "    nest sum y%1[i$0]\n        over i$0 < 4\n        body select(0, x%0[k%2[i$0]], 1)\n"), formals, 4, LIST(1, 0, 1, 1));
    check(f, GATHER("real[3]", "    nest sum y%1[k%2[i$0]]\n        over i$0 < 4\n        body add(pos(i$0), 1)\n"), formals, 3, LIST(3, 0, 5));
    check(f, GATHER("real[4]", "    nest set y%1[i$0]\n        over i$0 < 4\n        guard exists(x%0[k%2[i$0]])\n        body 1\n"), formals, 4, LIST(1, NAN, 1, 1));
    check(f, GATHER("real[4]", "    nest set y%1[i$0]\n        over i$0 < 4\n        body exists(k%2[i$0])\n"), formals, 4, LIST(1, 0, 1, 1));
    check(f, GATHER("real[4]", "    nest set y%1[i$0]\n        over i$0 < 4\n        body ne(k%2[i$0], 0)\n"), formals, 4, LIST(1, 0, 0, 1));
    check(f, GATHER("int(2)[4]", "    nest set y%1[i$0]\n        over i$0 < 4\n        body k%2[i$0]\n"), formals, 4, LIST(-1, -1, 0, -1)); /* 2 exceeds the bound */
    check(f, GATHER("real[4]", "    recur y%1[i$0]\n        over i$0 < 4\n        scan i$0\n        body x%0[k%2[i$0]]\n"), formals, 4, LIST(30, 30, 40, 70));
    const Value outside[2] = {formals[0], integers(f, 4, INTS(2, -1, 0, 3))};
    check_refused(f, GATHER("real[4]", "    nest set y%1[i$0]\n        over i$0 < 4\n        body x%0[k%2[i$0]]\n"), outside, "outside 0 .. 2");
}

static void guards(void **state)
{
    Fixture *f = *state;
    Value x = reals(f, 6, LIST(1, -2, 3, -4, 5, -6));
    check(f, UNIT(X_REAL("[b, l]", "real[b]"), "    nest sum y%1[i$0]\n        over i$0 < b, j$1 < l\n        guard lt(0, x%0[i$0, j$1])\n        body x%0[i$0, j$1]\n"), &x, 2,
          LIST(4, 5));
    check(f,
          UNIT(X_REAL("[b, l]", "real[b, l]"),
               "    recur y%1[i$0, j$1]\n        over i$0 < b, j$1 < l\n        scan j$1\n        guard lt(0, x%0[i$0, j$1])\n        body x%0[i$0, j$1]\n"),
          &x, 6, LIST(1, 1, 4, 0, 5, 5));
}

static void recurrences(void **state)
{
    Fixture *f = *state;
    Value x = reals(f, 6, LIST(1, 2, 3, 4, 5, 6));
#define RECUR(scan, more)                                                                                                                                                          \
    UNIT(X_REAL("[b, l]", "real[b, l]"), "    recur y%1[i$0, j$1]\n        over i$0 < b, j$1 < l\n        scan " scan "\n" more "        body x%0[i$0, j$1]\n")
    check(f, RECUR("j$1", ""), &x, 6, LIST(1, 3, 6, 4, 9, 15));
    check(f, RECUR("j$1 exclusive", ""), &x, 6, LIST(0, 1, 3, 0, 4, 9));
    check(f, RECUR("j$1 reverse", ""), &x, 6, LIST(6, 5, 3, 15, 11, 6));
    check(f, RECUR("j$1 reverse exclusive", ""), &x, 6, LIST(5, 3, 0, 11, 6, 0));
    check(f, RECUR("i$0", ""), &x, 6, LIST(1, 2, 3, 5, 7, 9));
    check(f, RECUR("i$0, j$1", ""), &x, 6, LIST(1, 3, 6, 10, 15, 21));
    check(f, RECUR("j$1, i$0", ""), &x, 6, LIST(1, 7, 15, 5, 12, 21));
    check(f, RECUR("j$1, i$0 reverse exclusive", ""), &x, 6, LIST(20, 14, 6, 16, 9, 0));
    check(f, RECUR("j$1", "        init x%0[i$0, 0]\n"), &x, 6, LIST(2, 4, 7, 8, 13, 19));
    check(f, RECUR("j$1", "        where j$1 - 1 >= 0\n"), &x, 6, LIST(0, 2, 5, 0, 5, 11));
    check(f, UNIT(X_REAL("[b, l]", "real[b, l]"), "    recur y%1[i$0, j$1]\n        over i$0 < b, j$1 < l\n        scan j$1\n        body x%0[i$0, j$1]\n        factor 0.5\n"), &x,
          6, LIST(1, 2.5, 4.25, 4, 7, 9.5));
    /* a read outside its axis where the condition does not hold is no error */
    check(f, RECUR("j$1", "        where j$1 - 1 >= 0\n        guard lt(x%0[i$0, j$1 - 1], 4)\n"), &x, 6, LIST(0, 2, 5, 0, 0, 0));
}

static void rankings(void **state)
{
    Fixture *f = *state;
    Value x = reals(f, 6, LIST(1, 3, 3, NAN, 5, 6));
    check(f, UNIT(X_REAL("[b, l]", "int(3)[b, 2]"), "    top y%1[i$0]\n        over i$0 < b, j$1 < l\n        rank 1 for 2\n        body x%0[i$0, j$1]\n"), &x, 4,
          LIST(1, 2, 2, 1));
    check(f, UNIT(X_REAL("[b, l]", "int(3)[b, 4]"), "    top y%1[i$0]\n        over i$0 < b, j$1 < l\n        rank 1 for 4\n        body x%0[i$0, j$1]\n"), &x, 8,
          LIST(1, 2, 0, -1, 2, 1, 0, -1));
    check(f, UNIT(X_REAL("[b, l]", "int(6)[3]"), "    top y%1[]\n        over i$0 < b, j$1 < l\n        rank 2 for 3\n        body x%0[i$0, j$1]\n"), &x, 3, LIST(5, 4, 1));
    check(f,
          UNIT(X_REAL("[b, l]", "int(3)[b, 2]"),
               "    top y%1[i$0]\n        over i$0 < b, j$1 < l\n        rank 1 for 2\n        guard lt(x%0[i$0, j$1], 3)\n        body x%0[i$0, j$1]\n"),
          &x, 4, LIST(0, -1, -1, -1));
    check(f, UNIT(X_REAL("[b, l]", "int(300)[2]"), "    top y%1[]\n        over i$0 < 300\n        rank 1 for 2\n        body mod(mul(pos(i$0), 7), 299)\n"), &x, 2,
          LIST(128, 256));
}

static void calls(void **state)
{
    Fixture *f = *state;
    Value x = reals(f, 2, LIST(1, 2));
    static const char *const text =
        "unit twice@0 {\n    input x%0: real[b]\n    local y%1: real[b]\n    local z%2: real[b]\n    formals 0\n    nest set y%1[i$0]\n        over i$0 < b\n        body mul(2, x%0[i$0])\n"
        "    nest set z%2[i$0]\n        over i$0 < b\n        body draw(t, i$0 of b)\n    output result y = y%1\n    output result z = z%2\n}\n"
        "unit main@1 {\n    input x%0: real[b]\n    local y%1: real[b]\n    local a%2: real[b]\n    local c%3: real[b]\n    local d%4: real[b]\n    formals 0\n"
        "    call twice@0 as one(x%0) to (a%2, c%3)\n    call twice@0 as two(a%2) to (y%1, d%4)\n    output result y = y%1\n    output result c = c%3\n    output result d = d%4\n}\n";
    check(f, text, &x, 2, LIST(4, 8));
    Value first[3], again[3], later[3];
    const Unit *main = program(f, text);
    f->context.seed = 7;
    assert_null(interp_run(f->arena, main, &f->context, &x, first, NULL));
    assert_null(interp_run(f->arena, main, &f->context, &x, again, NULL));
    f->context.step = 1;
    assert_null(interp_run(f->arena, main, &f->context, &x, later, NULL));
    assert_memory_equal(first[1].real, again[1].real, 2 * sizeof(double));
    assert_true(first[1].real[0] != first[2].real[0]); /* the path of calls is part of the key */
    assert_true(first[1].real[0] != first[1].real[1] && first[1].real[0] != later[1].real[0]);
    assert_true(first[1].real[0] >= 0 && first[1].real[0] < 1);
}

static void single_precision(void **state)
{
    Fixture *f = *state;
    f->context.precision = INTERP_F32;
    Value x = reals(f, 3, LIST(0.1, 1e8, -1e8));
    const char *const sum = UNIT(X_REAL("[l]", "real[]"), "    nest sum y%1[]\n        over i$0 < l\n        body x%0[i$0]\n");
    check(f, sum, &x, 1, LIST(0)); /* 0.1 is lost in 1e8 */
    check(f, UNIT(X_REAL("[l]", "real[]"), "    nest set y%1[]\n        body x%0[0]\n"), &x, 1, LIST((double)0.1f));
    check(f, UNIT(X_REAL("[l]", "real[]"), "    nest set y%1[]\n        body mul(x%0[0], x%0[0])\n"), &x, 1, LIST((double)(0.1f * 0.1f)));
    check(f, UNIT(X_REAL("[l]", "real[]"), "    nest set y%1[]\n        body fma(x%0[0], x%0[0], -0.01)\n"), &x, 1, LIST((double)fmaf(0.1f, 0.1f, -0.01f)));
    f->context.precision = INTERP_F64;
    check(f, sum, &x, 1, LIST(0.1 + 1e8 - 1e8));
}

static void long_loops(void **state)
{
    Fixture *f = *state;
    enum { COUNT = 1000 };
    double values[COUNT], sums[3] = {0};
    for (int i = 0; i < COUNT; i++)
        values[i] = sin(i);
    for (int r = 0; r < 3; r++)
        for (int i = 0; i <= 300 * r + 5; i++)
            sums[r] += values[i];
    Value x = reals(f, COUNT, values);
    check(f, UNIT(X_REAL("[1000]", "real[3]"), "    nest sum y%1[r$0]\n        over r$0 < 3, i$1 < 1000\n        where 300*r$0 - i$1 + 5 >= 0\n        body x%0[i$1]\n"), &x, 3,
          sums);
}

static bool force(void *user, const Unit *unit, int tensor, Value *value)
{
    (void)unit, (void)tensor;
    int *calls = user;
    ++*calls;
    value->integer[0] = 2;
    return true;
}

static bool stop(void *user, const Unit *unit, int tensor, Value *value)
{
    (void)user, (void)unit, (void)tensor, (void)value;
    return false;
}

static void teacher_forcing(void **state)
{
    Fixture *f = *state;
    Value x = reals(f, 3, LIST(1, 5, 3));
    static const char *const text =
        "unit main@0 {\n    input x%0: real[l]\n    local y%1: real[]\n    local k%2: int(3)[1]\n    formals 0\n    top k%2[]\n        over i$0 < l\n        rank 1 for 1\n"
        "        body x%0[i$0]\n    nest set y%1[]\n        body x%0[k%2[0]]\n    output result y = y%1\n}\n";
    check(f, text, &x, 1, LIST(5));
    int count = 0;
    f->context.replay = force;
    f->context.user = &count;
    check(f, text, &x, 1, LIST(3));
    assert_int_equal(count, 1);
    f->context.replay = stop;
    check_refused(f, text, &x, "stopped");
    f->context.replay = NULL;
}

static void refusals(void **state)
{
    Fixture *f = *state;
    Value x = reals(f, 6, LIST(1, 2, 3, 4, 5, 6));
    check_refused(f, UNIT(X_REAL("[b, l]", "real[b]"), "    nest sum y%1[i$0]\n        over i$0 < b, j$1 < 4\n        body x%0[i$0, j$1]\n"), &x, "outside 0 .. 2");
    check_refused(f, UNIT(X_REAL("[b, l]", "real[b]"), "    nest sum y%1[i$0 - 1]\n        over i$0 < b\n        body 1\n"), &x, "outside");
    check_refused(f, UNIT(X_REAL("[b, l, 2]", "real[b]"), "    nest sum y%1[i$0]\n        over i$0 < b\n        body 1\n"), &x, "must have 12");
    check_refused(f, UNIT(X_REAL("[b, l]", "real[b*1000000, 1000000]"), "    nest sum y%1[i$0, 0]\n        over i$0 < b\n        body 1\n"), &x, "too large");
    check_refused(f, UNIT(X_REAL("[b, l]", "real[b - 3]"), "    nest sum y%1[i$0]\n        over i$0 < b\n        body 1\n"), &x, "negative");
    f->context.point_limit = 1000;
    check_refused(f, UNIT(X_REAL("[b, l]", "real[b]"), "    nest sum y%1[i$0]\n        over i$0 < b, j$1 < 1000000000000\n        body 1\n"), &x, "1000 points");
    f->context.point_limit = 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(reducers), TEST(empty_domains),    TEST(affine_domains), TEST(none_leaves_points_out), TEST(guards),  TEST(recurrences), TEST(rankings),
                                       TEST(calls),    TEST(single_precision), TEST(long_loops),     TEST(teacher_forcing),        TEST(refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
