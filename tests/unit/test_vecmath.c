/* Errors of the elementary functions in units of the last place, against libm in double, on dense grids of floats; and the special values.
   BFM_VECMATH_DENSE=1 makes the grids sixteen times as dense. */
#include "codegen/codegen.h"
#include "codegen/jit.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef union Function {
    void *address;
    BfmNestFn *nest;
} Function;

typedef struct Compiled {
    Arena *arena;
    Interner *interner;
    Jit *jit;
    const KernelCode *code;
    Function function;
} Compiled;

/* y[i] = kind(x[i]) or kind(x[i], p[i]). */
static Compiled compile(ExprKind kind, const CodegenOptions *options)
{
    Compiled c = {.arena = arena_new(), .interner = interner_new()};
    Program *program = program_new(c.arena, c.interner);
    Unit *unit = unit_new(program, intern(c.interner, "u"));
    Dim l = dim_symbol(program->dims, DIM_L);
    int x = unit_formal(unit, intern(c.interner, "x"), T_REAL, TENSOR_INPUT, 1, &l, NULL);
    int p = unit_formal(unit, intern(c.interner, "p"), T_REAL, TENSOR_INPUT, 1, &l, NULL);
    int y = unit_tensor(unit, intern(c.interner, "y"), T_REAL, TENSOR_LOCAL, 1, &l, NULL);
    OpBuilder ob = op_begin(unit, OP_NEST);
    int i = op_index(&ob, intern(c.interner, "i"), l);
    int a = expr_read(&ob, access_indices(program, x, 1, &i)), b = scalar_arity(kind) > 1 ? expr_read(&ob, access_indices(program, p, 1, &i)) : -1;
    ob.op.body = expr_op(&ob, kind, a, b, -1);
    ob.op.out = access_indices(program, y, 1, &i);
    int number = op_finish(&ob);
    Codegen *codegen = codegen_new(c.arena, options);
    c.code = codegen_nest(codegen, unit, &unit->ops[number]);
    c.jit = jit_new(&(JitOptions){.cache = ""}, NULL);
    assert_non_null(c.jit);
    BfmError error = {0};
    if (!jit_add(c.jit, codegen, &error))
        fail_msg("%s", error.message);
    c.function.address = jit_symbol(c.jit, c.code->symbol, &error);
    assert_non_null(c.function.address);
    return c;
}

static void compiled_free(Compiled *c)
{
    jit_free(c->jit);
    arena_free(c->arena);
    interner_free(c->interner);
}

static void call(const Compiled *c, const float *x, const float *p, float *y, int64_t count)
{
    void *buffers[3] = {y, (void *)(uintptr_t)x, (void *)(uintptr_t)p};
    int64_t dims[8];
    DimEnv env = {{1, count}};
    for (int i = 0; i < c->code->dim_count; i++)
        dims[i] = dim_eval(c->code->dims[i], &env);
    c->function.nest(buffers, dims, 0, count);
}

/* Distance of `got` from the exact value, in units of the last place of the exact value's binade. */
static double ulp_error(float got, double exact)
{
    if (isnan(exact) || isnan(got))
        return isnan(exact) && isnan(got) ? 0 : INFINITY;
    if (isinf((float)exact) || isinf(got)) {
        if ((float)exact == got)
            return 0;
        double largest = isinf(got) ? exact : (double)got; /* one of them is finite: it must be next to overflow */
        return fabs(largest) >= 0x1.fffffcp+127 ? 1 : INFINITY;
    }
    int exponent;
    (void)frexp(exact, &exponent);
    exponent = exponent < -125 ? -125 : exponent;
    return fabs((double)got - exact) / ldexp(1, exponent - 24);
}

enum { BLOCK = 4096 };

typedef struct Worst {
    double error;
    float x, p;
} Worst;

static void measure(const Compiled *c, ExprKind kind, const float *x, const float *p, int64_t count, Worst *worst)
{
    static float y[BLOCK];
    call(c, x, p, y, count);
    for (int64_t i = 0; i < count; i++) {
        double error = ulp_error(y[i], scalar_eval(kind, (double)x[i], (double)p[i], 0));
        if (error > worst->error)
            *worst = (Worst){error, x[i], p[i]};
    }
}

/* Every `stride`-th float of both signs up to `limit`. */
static Worst sweep(ExprKind kind, float limit, uint32_t stride, bool negative)
{
    Compiled c = compile(kind, NULL);
    static float x[BLOCK], p[BLOCK];
    Worst worst = {0};
    uint32_t last;
    memcpy(&last, &limit, 4);
    if (getenv("BFM_VECMATH_DENSE"))
        stride = stride / 16 | 1;
    int count = 0;
    for (uint64_t bits = 0; bits <= last; bits += stride)
        for (int sign = 0; sign < (negative ? 2 : 1); sign++) {
            uint32_t word = (uint32_t)bits | (uint32_t)sign << 31;
            memcpy(&x[count++], &word, 4);
            if (count == BLOCK) {
                measure(&c, kind, x, p, count, &worst);
                count = 0;
            }
        }
    measure(&c, kind, x, p, count, &worst);
    compiled_free(&c);
    return worst;
}

static void test_unary(void **state)
{
    (void)state;
    const struct {
        ExprKind kind;
        float limit;
        uint32_t stride;
        bool negative;
    } rows[] = {
        {EXPR_EXP, INFINITY, 1021, true},  {EXPR_LOG, INFINITY, 1021, true},      {EXPR_TANH, INFINITY, 1021, true}, {EXPR_SIGMOID, INFINITY, 1021, true},
        {EXPR_ERF, INFINITY, 1021, true},  {EXPR_SOFTPLUS, INFINITY, 1021, true}, {EXPR_SIN, 0x1p+31f, 1021, true},  {EXPR_COS, 0x1p+31f, 1021, true},
        {EXPR_SQRT, INFINITY, 4093, true}, {EXPR_RSQRT, INFINITY, 4093, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Worst worst = sweep(rows[i].kind, rows[i].limit, rows[i].stride, rows[i].negative);
        print_message("%-9s %.3f ulp at %a\n", scalar_name(rows[i].kind), worst.error, (double)worst.x);
        assert_true(worst.error <= 2);
    }
}

static void test_pow(void **state)
{
    (void)state;
    static const float exponents[] = {0.5f, -0.8f, 1.5f, 3, 7, -2, 0.1f, 10.25f, -33, 1e-4f, 100, 0, -0.0f, INFINITY, -INFINITY, NAN};
    Compiled c = compile(EXPR_POW, NULL);
    static float x[BLOCK], p[BLOCK];
    Worst worst = {0};
    for (size_t k = 0; k < sizeof exponents / sizeof *exponents; k++) {
        int count = 0;
        for (uint64_t bits = 0; bits <= 0x7f800000u; bits += 65537)
            for (int sign = 0; sign < 2; sign++) {
                uint32_t word = (uint32_t)bits | (uint32_t)sign << 31;
                memcpy(&x[count], &word, 4);
                p[count++] = exponents[k];
                if (count == BLOCK || bits + 65537 > 0x7f800000u) {
                    measure(&c, EXPR_POW, x, p, count, &worst);
                    count = 0;
                }
            }
    }
    compiled_free(&c);
    print_message("pow       %.3f ulp at %a, %a\n", worst.error, (double)worst.x, (double)worst.p);
    assert_true(worst.error <= 2);
}

static void expect(ExprKind kind, float x, float exact)
{
    Compiled c = compile(kind, NULL);
    float y[17], many[17], p[17] = {0};
    for (int i = 0; i < 17; i++)
        many[i] = x;
    call(&c, many, p, y, 17);
    for (int i = 0; i < 17; i++)
        if (!(y[i] == exact || (isnan(y[i]) && isnan(exact))))
            fail_msg("%s(%g) is %g, not %g", scalar_name(kind), (double)x, (double)y[i], (double)exact);
    compiled_free(&c);
}

static void test_special(void **state)
{
    (void)state;
    expect(EXPR_EXP, -INFINITY, 0);
    expect(EXPR_EXP, INFINITY, INFINITY);
    expect(EXPR_EXP, 0, 1);
    expect(EXPR_EXP, NAN, NAN);
    expect(EXPR_EXP, 89, INFINITY);
    expect(EXPR_EXP, -104, 0);
    expect(EXPR_LOG, 0, -INFINITY);
    expect(EXPR_LOG, 1, 0);
    expect(EXPR_LOG, -1, NAN);
    expect(EXPR_LOG, INFINITY, INFINITY);
    expect(EXPR_LOG, NAN, NAN);
    expect(EXPR_TANH, INFINITY, 1);
    expect(EXPR_TANH, -INFINITY, -1);
    expect(EXPR_TANH, NAN, NAN);
    expect(EXPR_ERF, INFINITY, 1);
    expect(EXPR_ERF, -INFINITY, -1);
    expect(EXPR_ERF, NAN, NAN);
    expect(EXPR_SIGMOID, -INFINITY, 0);
    expect(EXPR_SIGMOID, INFINITY, 1);
    expect(EXPR_SIGMOID, 0, 0.5f);
    expect(EXPR_SIGMOID, NAN, NAN);
    expect(EXPR_SOFTPLUS, -INFINITY, 0);
    expect(EXPR_SOFTPLUS, INFINITY, INFINITY);
    expect(EXPR_SOFTPLUS, NAN, NAN);
    expect(EXPR_SIN, INFINITY, NAN);
    expect(EXPR_COS, 0, 1);
    expect(EXPR_RSQRT, 0, INFINITY);
    expect(EXPR_SQRT, -1, NAN);
}

/* The same bits for any number of lanes and either instruction set. */
static void test_lanes(void **state)
{
    (void)state;
    static const CodegenOptions options[] = {{.level = 2}, {.level = 2, .width = 8, .cpu = "x86-64-v3"}, {.level = 1, .width = 1}};
    static const ExprKind kinds[] = {EXPR_EXP, EXPR_LOG, EXPR_TANH, EXPR_SIGMOID, EXPR_ERF, EXPR_SOFTPLUS, EXPR_SIN, EXPR_COS, EXPR_POW};
    static float x[BLOCK], p[BLOCK], first[BLOCK], other[BLOCK];
    for (int i = 0; i < BLOCK; i++) {
        x[i] = (float)(i - BLOCK / 2) * 0.0371f;
        p[i] = (float)(i % 37) * 0.31f - 4;
    }
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (size_t o = 0; o < 3; o++) {
            Compiled c = compile(kinds[k], &options[o]);
            call(&c, x, p, o ? other : first, BLOCK);
            compiled_free(&c);
            if (o && memcmp(first, other, sizeof first) != 0)
                for (int i = 0; i < BLOCK; i++)
                    if (memcmp(&first[i], &other[i], 4) != 0 && !isnan(first[i]))
                        fail_msg("%s(%a, %a): %a and %a", scalar_name(kinds[k]), (double)x[i], (double)p[i], (double)first[i], (double)other[i]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_unary), cmocka_unit_test(test_pow), cmocka_unit_test(test_special), cmocka_unit_test(test_lanes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
