/* What sizes must satisfy: what follows from it, the list, its sentences, and that what is taken as known is so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ir/needs.h"

typedef struct Fixture {
    Arena *arena;
    Interner *interner;
    Program *program;
} Fixture;

static int setup(void **state)
{
    static Fixture fixture;
    fixture.arena = arena_new();
    fixture.interner = interner_new();
    fixture.program = program_new(fixture.arena, fixture.interner);
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

static Dim read(const Fixture *f, const char *text)
{
    const char *at = text;
    const Dim dim = dim_read(f->program->dims, &at);
    assert_non_null(dim);
    assert_string_equal(at, "");
    return dim;
}

static void add_whole(const Fixture *f, const char *text) { needs_add_whole(f->program, read(f, text), NULL); }
static void add_least(const Fixture *f, const char *text) { needs_add(f->program, read(f, text), NULL); }
static DimEnv sizes(int64_t batch, int64_t length) { return (DimEnv){.value = {batch, length, 0, length}}; }

static void whole(void **state)
{
    Fixture *f = *state;
    assert_true(needs_whole(f->program, read(f, "3*l + b*l - 2")));
    assert_true(needs_whole(f->program, read(f, "ceil(l/4)")));
    assert_false(needs_whole(f->program, read(f, "l/4")));
    add_whole(f, "l/4");
    assert_int_equal(f->program->need_count, 1);
    static const char *const followed[] = {"l/4", "l/2", "3/4*l", "b*l/4", "l/4 - 1", "l/4 + b", "2 - l/2", "l^2/4"};
    for (size_t i = 0; i < sizeof followed / sizeof *followed; i++) {
        assert_true(needs_whole(f->program, read(f, followed[i])));
        add_whole(f, followed[i]);
    }
    assert_int_equal(f->program->need_count, 1); /* what is known is not listed again */
    static const char *const open[] = {"l/8", "b/4", "l/4 + 1/2", "l/3", "b*l/8"};
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        assert_false(needs_whole(f->program, read(f, open[i])));
}

static void not_negative(void **state)
{
    Fixture *f = *state;
    assert_true(needs_nonnegative(f->program, read(f, "l - 1"))); /* a length of 0 is none */
    assert_false(needs_nonnegative(f->program, read(f, "l - 3")));
    assert_false(needs_nonnegative(f->program, read(f, "l/4 - 1")));
    add_least(f, "l - 3");
    static const char *const followed[] = {"l - 3", "l - 2", "2*l - 6", "2*l - 5", "b*l - 3*b"};
    for (size_t i = 0; i < sizeof followed / sizeof *followed; i++) {
        assert_true(needs_nonnegative(f->program, read(f, followed[i])));
        add_least(f, followed[i]);
    }
    assert_int_equal(f->program->need_count, 1);
    assert_false(needs_nonnegative(f->program, read(f, "l - 4")));
    assert_false(needs_nonnegative(f->program, read(f, "3 - l")));
    add_whole(f, "l/4"); /* then l is at least 4 */
    assert_true(needs_nonnegative(f->program, read(f, "l/4 - 1")));
    assert_false(needs_nonnegative(f->program, read(f, "l/4 - 2")));
}

static void assert_listed(const Fixture *f, int number, const char *text)
{
    if (number >= f->program->need_count)
        fail_msg("not listed: %s", text);
    assert_string_equal(f->program->needs[number].text, text);
}

static void sentences(void **state)
{
    Fixture *f = *state;
    int n = 0;
    add_whole(f, "l/4"), assert_listed(f, n++, "the length must be a multiple of 4");
    add_whole(f, "3/5*l + 2"), assert_listed(f, n++, "the length must be a multiple of 5");
    add_whole(f, "b/3"), assert_listed(f, n++, "the batch must be a multiple of 3");
    add_whole(f, "s0/2"), assert_listed(f, n++, "the extent of an axis must be a multiple of 2");
    add_whole(f, "l/16 + 1/2"), assert_listed(f, n++, "the length l must make `1/16*l + 1/2` a whole number");
    add_whole(f, "b*l/7"), assert_listed(f, n++, "the batch b and the length l must make `1/7*b*l` a whole number");
    add_least(f, "l - b"), assert_listed(f, n++, "the batch b and the length l must make `-b + l` at least 0");
    add_least(f, "l - 3"), assert_listed(f, n++, "the length must be at least 3");
    add_least(f, "2*l - 9"), assert_listed(f, n++, "the length must be at least 5");
    add_least(f, "7 - l"), assert_listed(f, n++, "the length must be at most 7");
    add_least(f, "9 - 2*b"), assert_listed(f, n++, "the batch must be at most 4");
    needs_add(f->program, read(f, "l - 20"), "m.bfm:7"), assert_listed(f, n++, "m.bfm:7: the length must be at least 20");
    assert_int_equal(f->program->need_count, n);
}

static void assert_unmet(const Fixture *f, int64_t batch, int64_t length, const char *message)
{
    const DimEnv env = sizes(batch, length);
    const SizeNeed *need = needs_unmet(f->program, &env);
    if (!message) {
        assert_null(need);
        return;
    }
    assert_non_null(need);
    assert_string_equal(need_message(f->arena, need, &env), message);
}

static void asking(void **state)
{
    Fixture *f = *state;
    needs_add_whole(f->program, read(f, "b*l/4"), "m.bfm:4");
    needs_add(f->program, read(f, "l - 3"), "m.bfm:5");
    assert_unmet(f, 3, 6, "m.bfm:4: the batch b and the length l must make `1/4*b*l` a whole number; the batch is 3, the length is 6");
    assert_unmet(f, 2, 2, "m.bfm:5: the length must be at least 3; it is 2");
    assert_unmet(f, 1, 0, NULL); /* without a length: nothing that depends on it is asked */
    for (int64_t b = 1; b <= 9; b++)
        for (int64_t l = 1; l <= 40; l++) {
            const DimEnv env = sizes(b, l);
            assert_int_equal(!needs_unmet(f->program, &env), b * l % 4 == 0 && l >= 3);
        }
}

/* ---- programs ---- */

static void operations(void **state)
{
    Fixture *f = *state;
    Program *program = f->program;
    Unit *unit = unit_new(program, intern(f->interner, "main"));
    const Dim length = read(f, "l"), quarter = read(f, "l/4");
    const int x = unit_formal(unit, intern(f->interner, "x"), T_REAL, TENSOR_INPUT, 1, &length, NULL);
    const int y = unit_tensor(unit, intern(f->interner, "y"), T_REAL, TENSOR_LOCAL, 1, &quarter, NULL);
    OpBuilder b = op_begin(unit, OP_NEST);
    const int i = op_index(&b, intern(f->interner, "i"), quarter), j = op_index(&b, intern(f->interner, "j"), read(f, "l - 5"));
    op_cond(&b, affine_sub(program, affine_const(program, read(f, "l/6")), affine_index(program, j)));
    Access access = access_new(program, x, 1);
    access.subs[0] = sub_affine(affine_scale(program, affine_index(program, i), read(f, "l/9")), 1);
    b.op.body = expr_op(&b, EXPR_MUL, expr_read(&b, access), expr_dim(&b, read(f, "b/5")), -1);
    b.op.reducer = REDUCE_SUM;
    b.op.reduced = 1;
    b.op.out = access_indices(program, y, 1, &i);
    (void)op_finish(&b);
    needs_collect(program, NULL, NULL);
    bool found[5] = {false};
    static const char *const wanted[] = {"the length must be a multiple of 4", "the length must be at least 5", "the length must be a multiple of 6",
                                         "the length must be a multiple of 9", "the batch must be a multiple of 5"};
    for (int n = 0; n < program->need_count; n++)
        for (int k = 0; k < 5; k++)
            found[k] = found[k] || !strcmp(program->needs[n].text, wanted[k]);
    for (int k = 0; k < 5; k++)
        if (!found[k])
            fail_msg("not listed: %s", wanted[k]);
    assert_int_equal(program->need_count, 5);
    needs_collect(program, NULL, NULL);
    assert_int_equal(program->need_count, 5);
}

static void as_text(void **state)
{
    Fixture *f = *state;
    needs_add_whole(f->program, read(f, "l/4"), "m.bfm:4");
    needs_add(f->program, read(f, "l - 7"), NULL);
    f->program->main = unit_new(f->program, intern(f->interner, "main"));
    f->program->bindings = ARENA_ARRAY(f->arena, Binding, 1);
    Str text = {0};
    program_print(f->program, &text);
    const char *message = NULL;
    const Program *copy = program_read(f->arena, f->interner, str_text(&text), &message);
    str_free(&text);
    assert_null(message);
    assert_non_null(copy);
    assert_int_equal(copy->need_count, 2);
    for (int64_t l = 1; l <= 40; l++) {
        const DimEnv env = sizes(1, l);
        assert_int_equal(!needs_unmet(copy, &env), l % 4 == 0 && l >= 7);
    }
    assert_string_equal(copy->needs[0].text, "m.bfm:4: the length must be a multiple of 4");
}

/* ---- what is taken as known holds at every binding that meets the list ---- */

static uint64_t draw_state;
static int64_t draw(int64_t low, int64_t high)
{
    draw_state = draw_state * 6364136223846793005u + 1442695040888963407u;
    return low + (int64_t)((draw_state >> 33) % (uint64_t)(high - low + 1));
}

/* A polynomial of the batch and the length with coefficients over a small denominator. */
static Dim random_dim(const Fixture *f)
{
    static const int64_t denominators[] = {1, 1, 2, 3, 4, 6};
    DimTable *dims = f->program->dims;
    const Dim b = dim_symbol(dims, DIM_B), l = dim_symbol(dims, DIM_L);
    const Dim monomials[] = {dim_int(dims, 1), l, b, dim_mul(dims, b, l)};
    Dim sum = dim_int(dims, 0);
    for (int i = 0; i < 4; i++)
        if (draw(0, 2) > 0)
            sum = dim_add(dims, sum, dim_mul(dims, monomials[i], dim_rational(dims, rational(draw(-4, i ? 5 : 4), denominators[draw(0, 5)]))));
    return sum;
}

static void assert_sound(const Fixture *f, Dim dim, const DimEnv *env)
{
    const Rational value = dim_eval_exact(dim, env);
    Str text = {0};
    dim_print(dim, &text);
    if (needs_whole(f->program, dim) && !rational_is_int(value))
        fail_msg("%s is no whole number at b = %lld, l = %lld", str_text(&text), (long long)env->value[DIM_B], (long long)env->value[DIM_L]);
    if (needs_nonnegative(f->program, dim) && value.num < 0)
        fail_msg("%s is negative at b = %lld, l = %lld", str_text(&text), (long long)env->value[DIM_B], (long long)env->value[DIM_L]);
    str_free(&text);
}

static void sound(void **state)
{
    int claimed = 0;
    for (int round = 0; round < 300; round++) {
        (void)setup(state);
        Fixture *f = *state;
        draw_state = (uint64_t)round;
        Dim dims[12];
        for (int i = 0; i < 12; i++)
            dims[i] = random_dim(f);
        for (int i = 0; i < 2; i++) { /* wholes first: a dimension is asked for both */
            needs_add_whole(f->program, dims[i], NULL);
            needs_add(f->program, dims[i], NULL);
        }
        for (int i = 0; i < 12; i++)
            claimed += needs_whole(f->program, dims[i]) + needs_nonnegative(f->program, dims[i]);
        for (int64_t b = 1; b <= 6; b++)
            for (int64_t l = 1; l <= 13; l++) {
                const DimEnv env = sizes(b, l);
                const bool met = !needs_unmet(f->program, &env);
                const Rational first = dim_eval_exact(dims[0], &env), second = dim_eval_exact(dims[1], &env);
                assert_int_equal(met, rational_is_int(first) && first.num >= 0 && rational_is_int(second) && second.num >= 0);
                for (int i = 0; met && i < 12; i++)
                    assert_sound(f, dims[i], &env);
            }
        (void)teardown(state);
    }
    assert_true(claimed > 2000); /* the check is not an empty one */
    (void)setup(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whole, setup, teardown),      cmocka_unit_test_setup_teardown(not_negative, setup, teardown),
        cmocka_unit_test_setup_teardown(sentences, setup, teardown),  cmocka_unit_test_setup_teardown(asking, setup, teardown),
        cmocka_unit_test_setup_teardown(operations, setup, teardown), cmocka_unit_test_setup_teardown(as_text, setup, teardown),
        cmocka_unit_test_setup_teardown(sound, NULL, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
