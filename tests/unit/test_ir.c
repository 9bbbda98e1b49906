/* The builder, the textual form and the verifier. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ir/ir.h"
#include "ir/needs.h"

typedef struct Fixture {
    Arena *arena;
    Interner *interner;
    Program *program;
    Unit *unit;
} Fixture;

static int setup(void **state)
{
    static Fixture fixture;
    fixture.arena = arena_new();
    fixture.interner = interner_new();
    fixture.program = program_new(fixture.arena, fixture.interner);
    fixture.unit = unit_new(fixture.program, intern(fixture.interner, "main"));
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

static void folding(void **state)
{
    Fixture *f = *state;
    const Dim n = dim_int(f->program->dims, 4);
    const int x = unit_formal(f->unit, intern(f->interner, "x"), T_REAL, TENSOR_INPUT, 1, &n, NULL);
    OpBuilder b = op_begin(f->unit, OP_NEST);
    const int i = op_index(&b, intern(f->interner, "i"), n);
    const int read = expr_read(&b, access_indices(f->program, x, 1, &i));
    assert_int_equal(read, expr_read(&b, access_indices(f->program, x, 1, &i)));
    const int one = expr_const(&b, 1), zero = expr_const(&b, 0), two = expr_const(&b, 2);
    assert_int_equal(expr_op(&b, EXPR_MUL, read, one, -1), read);
    assert_int_equal(expr_op(&b, EXPR_ADD, zero, read, -1), read);
    assert_int_equal(expr_op(&b, EXPR_SUB, read, zero, -1), read);
    assert_int_equal(expr_op(&b, EXPR_NEG, expr_op(&b, EXPR_NEG, read, -1, -1), -1, -1), read);
    assert_int_equal(expr_op(&b, EXPR_SELECT, one, read, zero), read);
    assert_int_equal(expr_op(&b, EXPR_SELECT, zero, read, two), two);
    assert_int_equal(expr_op(&b, EXPR_ADD, one, one, -1), two);
    const int less = expr_op(&b, EXPR_LT, read, two, -1);
    assert_int_equal(expr_op(&b, EXPR_AND, less, one, -1), less);
    assert_int_equal(expr_op(&b, EXPR_AND, less, zero, -1), zero);
    assert_int_equal(expr_op(&b, EXPR_OR, less, one, -1), one);
    assert_int_equal(expr_op(&b, EXPR_FMA, read, one, zero), read);
    assert_int_not_equal(expr_op(&b, EXPR_MUL, read, zero, -1), zero); /* x may be NaN */
    assert_int_equal(expr_op(&b, EXPR_ADD, read, two, -1), expr_op(&b, EXPR_ADD, read, two, -1));
    for (int k = EXPR_NEG; k < EXPR_COUNT; k++) { /* folding is scalar_eval */
        double value = 0;
        const int a = expr_const(&b, 0.75), c = expr_const(&b, 0.5), d = expr_const(&b, -1.25);
        const int folded = expr_op(&b, (ExprKind)k, a, c, d);
        assert_true(expr_is_const(&b.op, folded, &value));
        const double expected = scalar_eval((ExprKind)k, 0.75, 0.5, -1.25);
        assert_true(value == expected || (isnan(value) && isnan(expected)));
    }
    op_guard(&b, expr_op(&b, EXPR_AND, less, expr_op(&b, EXPR_EXISTS, read, -1, -1), -1));
    op_guard(&b, one);
    assert_int_equal(b.op.guard_count, 2);
    op_cond(&b, affine_const(f->program, dim_int(f->program->dims, 3)));
    assert_int_equal(b.op.cond_count, 0);
}

/* The nearest whole number, a half to the even one; no number outside 0 … n - 1. */
static void points(void **state)
{
    (void)state;
    static const struct {
        double number, bound, point; /* -1: none */
    } cases[] = {{0, 3, 0},   {2, 3, 2},   {3, 3, -1},    {-1, 3, -1},  {-0.5, 3, 0},  {-0.51, 3, -1}, {0.5, 3, 0},
                 {1.5, 3, 2}, {2.5, 3, 2}, {2.51, 3, -1}, {2.51, 4, 3}, {1e30, 4, -1}, {NAN, 4, -1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const double point = scalar_eval(EXPR_POINT, cases[i].number, cases[i].bound, 0);
        assert_true(cases[i].point < 0 ? isnan(point) : point == cases[i].point);
    }
}

static void affines(void **state)
{
    Fixture *f = *state;
    Program *p = f->program;
    DimTable *d = p->dims;
    const Affine i = affine_index(p, 0), j = affine_index(p, 1);
    const Affine sum = affine_add(p, affine_scale(p, j, dim_int(d, 4)), affine_sub(p, i, affine_const(p, dim_symbol(d, DIM_L))));
    assert_int_equal(sum.count, 2);
    assert_int_equal(sum.terms[0].index, 0);
    assert_true(affine_equal(affine_sub(p, sum, sum), affine_const(p, dim_int(d, 0))));
    int index = -1;
    assert_true(affine_is_index(j, &index) && index == 1);
    assert_false(affine_is_index(sum, NULL));
    const Affine by[2] = {j, i};
    assert_true(affine_equal(affine_substitute(p, affine_substitute(p, sum, by), by), sum));
    assert_true(affine_equal(affine_map(p, sum, (int[]){1, 0}), affine_substitute(p, sum, by)));
}

static void copies(void **state)
{
    Fixture *f = *state;
    const Dim n = dim_int(f->program->dims, 4);
    const int x = unit_formal(f->unit, intern(f->interner, "x"), T_REAL, TENSOR_INPUT, 1, &n, NULL);
    const int y = unit_formal(f->unit, intern(f->interner, "y"), T_REAL, TENSOR_INPUT, 1, &n, NULL);
    OpBuilder a = op_begin(f->unit, OP_NEST), b = op_begin(f->unit, OP_NEST);
    const int i = op_index(&a, intern(f->interner, "i"), n);
    (void)op_index(&b, intern(f->interner, "k"), n);
    (void)op_index(&b, intern(f->interner, "i"), n);
    const int value = expr_op(&a, EXPR_MUL, expr_read(&a, access_indices(f->program, x, 1, &i)), expr_pos(&a, i), -1);
    int memo[2 + 1];
    memset(memo, -1, sizeof memo);
    const int copy = expr_copy(&b, &a.op, value, (int[]){1}, (int[]){y, x}, memo);
    const Expr *product = &b.op.exprs[copy];
    assert_int_equal(b.op.exprs[product->arg[0]].access.tensor, y);
    assert_int_equal(b.op.exprs[product->arg[1]].index, 1);
    assert_true(op_uses_index(&b.op, copy, 1));
    assert_false(op_uses_index(&b.op, copy, 0));
}

static const char *const sample = "unit \"odd \\x22name\"@0 {\n"
                                  "    input x%0: real[b, 3, 16]\n"
                                  "    input \"w[2]\"%1: int(16)[b]\n"
                                  "    local y%2: real[b, l]\n"
                                  "    local z%3: real[b, l]\n"
                                  "    local k%4: int(48)[b, 4]\n"
                                  "    local s%5: real[]\n"
                                  "    formals 0 1\n"
                                  "    nest sum y%2[i$0, j$1]\n"
                                  "        over i$0 < b, j$1 < l, e$2 < 48\n"
                                  "        where i$0 - 2*j$1 + (l - 1) >= 0\n"
                                  "        where (1/2*b)*e$2 - 3 >= 0\n"
                                  "        let t0 = exp(x%0[i$0, 2:e$2])\n"
                                  "        guard lt(t0, 0.1)\n"
                                  "        body fma(t0, t0, select(exists(\"w[2]\"%1[i$0]), x%0[i$0, 1, \"w[2]\"%1[i$0]], mul(draw(keep, i$0 of b, 4 of 5), dim(b*l))))\n"
                                  "    recur z%3[i$0, j$1]\n"
                                  "        over i$0 < b, j$1 < l\n"
                                  "        scan j$1 reverse exclusive\n"
                                  "        init x%0[i$0, 0, 0]\n"
                                  "        body pos(j$1)\n"
                                  "        factor -0.5\n"
                                  "    top k%4[i$0]\n"
                                  "        over i$0 < b, c$1 < 3, e$2 < 16\n"
                                  "        rank 2 for 4\n"
                                  "        body x%0[i$0, c$1, e$2]\n"
                                  "    nest lse s%5[]\n"
                                  "        over i$0 < b\n"
                                  "        body y%2[i$0, 0]\n"
                                  "    output result y = y%2\n"
                                  "    output metric m = s%5 merge mean\n"
                                  "    output grad x = z%3 formal 0\n"
                                  "}\n"
                                  "unit main@1 {\n"
                                  "    param x%0: real[b, 3, 16]\n"
                                  "    input w%1: int(16)[b]\n"
                                  "    local y%2: real[b, l]\n"
                                  "    formals 0 1\n"
                                  "    call \"odd \\x22name\"@0 as block.1(x%0, w%1) to (y%2, -, -)\n"
                                  "    output result y = y%2\n"
                                  "}\n"
                                  "main @1\n"
                                  "most l 64\n"
                                  "binding param a.x normal 0 0.25 shape 2 3 16\n"
                                  "binding input w shape 0\n";

static char *printed(const Program *program)
{
    Str out = {0};
    program_print(program, &out);
    return str_take(&out);
}

static void text_round_trip(void **state)
{
    Fixture *f = *state;
    const char *message = NULL;
    Program *program = program_read(f->arena, f->interner, sample, &message);
    if (!program)
        fail_msg("%s", message);
    char *text = printed(program);
    assert_string_equal(text, sample);
    assert_null(program_verify(program));
    Program *again = program_read(f->arena, f->interner, text, &message);
    assert_non_null(again);
    assert_true(program_hash(program) == program_hash(again));
    free(text);
}

static void bad_text(void **state)
{
    Fixture *f = *state;
    static const char *const bad[] = {"unit",
                                      "unit a@1 {\n}",
                                      "unit a@0 {\n    input x%0: real[b\n",
                                      "unit a@0 {\n    local x%0: real[]\n    nest sum x%1[]\n        body 1\n}",
                                      "unit a@0 {\n    local x%0: real[]\n    nest sum x%0[]\n        body frob(1)\n}",
                                      "unit a@0 {\n    local x%0: real[]\n    nest sum x%0[]\n        body t0\n}",
                                      "unit a@0 {\n    local x%0: real[]\n    nest sum x%0[]\n}",
                                      "main @0\n",
                                      "unit a@0 {\n}\nmain @0\nbinding input x shape 0\n",
                                      "unit a@0 {\n    local x%0: real[]\n    nest sum x%0[i$0]\n        over i$0 < 3\n        body 1\n}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *message = NULL;
        assert_null(program_read(f->arena, f->interner, bad[i], &message));
        assert_non_null(message);
        assert_memory_equal(message, "line ", 5);
    }
    const size_t length = strlen(sample); /* no prefix of good text crashes the reader */
    for (size_t cut = 0; cut < length; cut += 3) {
        char *prefix = arena_strndup(f->arena, sample, cut);
        const char *message = NULL;
        (void)program_read(f->arena, f->interner, prefix, &message);
    }
}

/* Each case breaks one rule; the message must mention the word. */
static void verifier_refuses(void **state)
{
    Fixture *f = *state;
    static const struct {
        const char *body, *word;
    } cases[] = {
        {"    local y%0: real[4]\n    local z%1: real[4]\n    nest set y%0[i$0]\n        over i$0 < 4\n        body z%1[i$0]\n", "before it is defined"},
        {"    input x%0: real[4]\n    local y%1: real[4]\n    formals 0\n    nest set y%1[i$0]\n        over i$0 < 4\n        body x%0[i$0 + 1]\n", "leaves its axis"},
        {"    input x%0: real[4]\n    formals 0\n    nest set x%0[i$0]\n        over i$0 < 4\n        body 1\n", "formal"},
        {"    local y%0: real[4]\n    nest set y%0[i$0]\n        over i$0 < 4\n        body 1\n    nest set y%0[i$0]\n        over i$0 < 4\n        body 1\n", "its definition"},
        {"    local y%0: real[4, 4]\n    nest set y%0[i$0]\n        over i$0 < 4\n        body 1\n", "cover 1 axes"},
        {"    input x%0: real[4]\n    local y%1: real[4]\n    formals 0\n    nest sum y%1[x%0[i$0]]\n        over i$0 < 4\n        body 1\n", "holds numbers"},
        {"    input x%0: int(9)[4]\n    local y%1: real[4]\n    formals 0\n    nest sum y%1[x%0[i$0]]\n        over i$0 < 4\n        body 1\n", "exceed"},
        {"    local y%0: real[4]\n    recur y%0[3 - i$0]\n        over i$0 < 4\n        scan i$0\n        body 1\n", "expected"},
        {"    local y%0: real[4]\n    recur y%0[-i$0 + 3]\n        over i$0 < 4\n        scan i$0\n        body 1\n", "bare index"},
        {"    local y%0: real[4]\n    recur y%0[i$0]\n        over i$0 < 4\n        body 1\n", "along no index"},
        {"    local y%0: real[4]\n    recur y%0[i$0]\n        over i$0 < 4\n        scan i$0\n        body mul(0.25, y%0[i$0])\n        factor 0.5\n", "reads itself"},
        {"    local y%0: real[4]\n    recur y%0[i$0]\n        over i$0 < 4\n        scan i$0\n        body 1\n        factor y%0[i$0]\n", "reads itself"},
        {"    local y%0: real[4]\n    recur y%0[i$0]\n        over i$0 < 4\n        scan i$0\n        guard lt(y%0[i$0], 1)\n        body 1\n", "reads itself"},
        {"    input x%0: real[4, 3]\n    local y%1: real[4]\n    formals 0\n    recur y%1[i$0]\n        over i$0 < 4\n        scan i$0\n        body x%0[i$0, 3]\n",
         "leaves its axis"},
        {"    input x%0: real[b, l, 6]\n    input y%1: real[b, l, 2, 3]\n    local z%2: real[b, l, 6]\n    formals 0 1\n    nest set z%2[i$0, j$1, k$2]\n"
         "        over i$0 < b, j$1 < l, k$2 < 6\n        body add(x%0[i$0, j$1, k$2], y%1[i$0, j$1, k$2])\n",
         "cover 3 axes, not 4"},
        {"    input x%0: real[2, 3]\n    input y%1: real[3, 2]\n    local z%2: real[2, 3]\n    formals 0 1\n    nest set z%2[i$0, j$1]\n"
         "        over i$0 < 2, j$1 < 3\n        body add(x%0[i$0, j$1], y%1[i$0, j$1])\n",
         "leaves its axis"},
        {"    state c%0: real[4]\n    local y%1: real[2]\n    formals 0\n    nest set y%1[i$0]\n        over i$0 < 2\n        body 1\n    output next c = y%1 formal 0\n",
         "shape of its formal"},
        {"    local y%0: real[2]\n    top y%0[]\n        over i$0 < 4\n        rank 1 for 2\n        body 1\n", "holds numbers"},
        {"    local y%0: int(4)[3]\n    top y%0[]\n        over i$0 < 4\n        rank 1 for 2\n        body 1\n", "number of places"},
        {"    local y%0: real[4]\n    nest set y%0[i$0]\n        over i$0 < 4\n        body 1\n    output loss a = y%0\n", "not one number"},
        {"    local y%0: real[]\n    nest set y%0[]\n        body 1\n    output next a = y%0\n", "names no formal"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *text = arena_printf(f->arena, "unit a@0 {\n%s}\nmain @0\n", cases[i].body), *message = NULL;
        Program *program = program_read(f->arena, f->interner, text, &message);
        if (program)
            message = program_verify(program);
        if (!message || (!strstr(message, cases[i].word) && strcmp(cases[i].word, "expected") != 0))
            fail_msg("case %zu: %s", i, message ? message : "accepted");
    }
}

static void need_quarters(Program *program)
{
    needs_add_whole(program, dim_mul(program->dims, dim_symbol(program->dims, DIM_L), dim_rational(program->dims, rational(1, 4))), NULL);
}

/* Extents such as 1/4*l and l - 3 need lengths at which they are sizes, and the program has to say so; subscripts hold up to a bounded length: neither is then
   taken for a subscript that leaves its axis. */
static void verifier_samples(void **state)
{
    Fixture *f = *state;
    const char *message = NULL;
    const char *const quarters = "unit a@0 {\n    input x%0: real[l]\n    local y%1: real[1/4*l, 4]\n    formals 0\n    nest set y%1[i$0, j$1]\n"
                                 "        over i$0 < 1/4*l, j$1 < 4\n        body x%0[4*i$0 + j$1]\n    output result y = y%1\n}\nmain @0\n";
    const char *const beyond = "unit a@0 {\n    input x%0: real[l]\n    local y%1: real[1/4*l, 4]\n    formals 0\n    nest set y%1[i$0, j$1]\n"
                               "        over i$0 < 1/4*l, j$1 < 4\n        body x%0[4*i$0 + j$1 + 1]\n    output result y = y%1\n}\nmain @0\n";
    const char *const shorter = "unit a@0 {\n    input x%0: real[l]\n    local y%1: real[l - 3]\n    formals 0\n    nest set y%1[i$0]\n"
                                "        over i$0 < l - 3\n        body x%0[i$0 + 3]\n    output result y = y%1\n}\nmain @0\n";
    const char *const table = "unit a@0 {\n    input x%0: real[6]\n    local y%1: real[l]\n    formals 0\n    nest set y%1[i$0]\n"
                              "        over i$0 < l\n        body x%0[i$0]\n    output result y = y%1\n}\nmain @0\n";
    Program *program = program_read(f->arena, f->interner, quarters, &message);
    assert_non_null(program);
    assert_non_null(strstr(program_verify(program), "y has the extent 1/4*l, which is none at b = 1, l = 1"));
    need_quarters(program);
    assert_null(program_verify(program));
    program = program_read(f->arena, f->interner, shorter, &message);
    assert_non_null(strstr(program_verify(program), "y has the extent l - 3, which is none at b = 1, l = 1"));
    needs_add(program, dim_sub(program->dims, dim_symbol(program->dims, DIM_L), dim_int(program->dims, 3)), NULL);
    assert_null(program_verify(program));
    program = program_read(f->arena, f->interner, beyond, &message);
    need_quarters(program);
    assert_non_null(strstr(program_verify(program), "leaves its axis"));
    program = program_read(f->arena, f->interner, table, &message);
    assert_non_null(strstr(program_verify(program), "leaves its axis"));
    program->most[DIM_L] = 6;
    assert_null(program_verify(program));
    program->most[DIM_L] = 7;
    assert_non_null(strstr(program_verify(program), "leaves its axis"));
}

/* A program with one parameter w: real[3], whose initial value is the unit `init`. */
static const char *with_initial(Fixture *f, const char *init)
{
    const char *message = NULL;
    const char *text =
        arena_printf(f->arena,
                     "unit init@0 {\n%s}\nunit main@1 {\n    param w%%0: real[3]\n    local y%%1: real[3]\n    formals 0\n    nest set y%%1[i$0]\n        over i$0 < 3\n"
                     "        body w%%0[i$0]\n    output result y = y%%1\n}\nmain @1\n",
                     init);
    Program *program = program_read(f->arena, f->interner, text, &message);
    if (!program)
        fail_msg("%s", message);
    program->bindings = ARENA_NEW(f->arena, Binding);
    program->bindings[0] = (Binding){.role = TENSOR_PARAM, .init = {.value = program->units[0]}};
    return program_verify(program);
}

static void verifier_refuses_initial_values(void **state)
{
    Fixture *f = *state;
    static const struct {
        const char *init, *word;
    } cases[] = {
        {"    input x%0: real[3]\n    local w%1: real[3]\n    formals 0\n    nest set w%1[i$0]\n        over i$0 < 3\n        body x%0[i$0]\n    output result w = w%1\n",
         "reads inputs"},
        {"    local w%0: real[4]\n    formals\n    nest set w%0[i$0]\n        over i$0 < 4\n        body pos(i$0)\n    output result w = w%0\n", "another shape"},
        {"    local w%0: real[3]\n    formals\n    nest set w%0[i$0]\n        over i$0 < 3\n        body dim(l)\n    output result w = w%0\n", "size of a run"},
        {"    local s%0: real[]\n    local w%1: real[3]\n    formals\n    nest sum s%0[]\n        over t$0 < l\n        body 1\n    nest set w%1[i$0]\n        over i$0 < 3\n        body s%0[]\n"
         "    output result w = w%1\n",
         "size of a run"},
        {"    local w%0: real[3]\n    formals\n    nest set w%0[i$0]\n        over i$0 < 3\n        body pos(i$0)\n", "not one tensor"},
    };
    assert_null(with_initial(f, "    local w%0: real[3]\n    formals\n    nest set w%0[i$0]\n        over i$0 < 3\n        body pos(i$0)\n    output result w = w%0\n"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *message = with_initial(f, cases[i].init);
        if (!message || !strstr(message, cases[i].word))
            fail_msg("case %zu: %s", i, message ? message : "accepted");
    }
}

static void hashes(void **state)
{
    Fixture *f = *state;
    const char *message = NULL;
    const char *const one = "unit a@0 {\n    input x%0: real[4]\n    local y%1: real[4]\n    formals 0\n    nest set y%1[i$0]\n        over i$0 < 4\n        body exp(x%0[i$0])\n"
                            "    output result y = y%1\n}\nmain @0\n";
    const char *const renamed = "unit c@0 {\n    input u%0: real[4]\n    local v%1: real[4]\n    formals 0\n    nest set v%1[k$0]\n        over k$0 < 4\n"
                                "        body exp(u%0[k$0])\n    output result v = v%1\n}\nmain @0\n";
    const char *const other = "unit a@0 {\n    input x%0: real[5]\n    local y%1: real[5]\n    formals 0\n    nest set y%1[i$0]\n        over i$0 < 5\n        body exp(x%0[i$0])\n"
                              "    output result y = y%1\n}\nmain @0\n";
    const uint64_t first = program_hash(program_read(f->arena, f->interner, one, &message));
    assert_true(first == program_hash(program_read(f->arena, f->interner, renamed, &message)));
    assert_true(first != program_hash(program_read(f->arena, f->interner, other, &message)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(folding, setup, teardown),          cmocka_unit_test_setup_teardown(affines, setup, teardown),
        cmocka_unit_test_setup_teardown(copies, setup, teardown),           cmocka_unit_test_setup_teardown(text_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_text, setup, teardown),         cmocka_unit_test_setup_teardown(verifier_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(verifier_samples, setup, teardown), cmocka_unit_test_setup_teardown(verifier_refuses_initial_values, setup, teardown),
        cmocka_unit_test_setup_teardown(hashes, setup, teardown),           cmocka_unit_test(points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
