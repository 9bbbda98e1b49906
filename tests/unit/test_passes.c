/* The table of passes: programs mean the same without each optional pass and with any number of them, and what makes an engine differ is found. */
#include "lowered.h"

#include "ir/interp.h"
#include "run/bisect.h"
#include "run/inputs.h"

#include <math.h>

static const char LINES[] = "attention(heads = 2, head_dim = 8)\n    moe(experts = 4, hidden = 16, router = topk(k = 2))\n    ffn(hidden = 16, act = geglu)";
static const DimEnv ENV = {.value = {[DIM_B] = 2, [DIM_L] = 6, [DIM_N] = 6, [DIM_S0] = 1, 1, 1, 1, 1, 1, 1, 1}};

static Lowered *lower_again(void *loaded) { return lowered_model(loaded, NULL, MODE_TRAIN); }

/* Outputs of a step in double precision under a watch; NULL: the definitions as they are. */
static const Value *values_under(Arena *arena, const Loaded *loaded, PassWatch *watch, const Unit **main)
{
    Lowered *lowered = lowered_model(loaded, NULL, MODE_TRAIN);
    const StepOptions options = {.model = true, .backward = true, .plain = watch == NULL};
    const char *message = NULL;
    BfmError error;
    passes_watch(lowered->program, watch);
    assert_true(order_step(lowered, &options, &message));
    const Unit *unit = *main = lowered->program->main;
    Value *inputs = ARENA_ARRAY(arena, Value, unit->formal_count + 1), *results = ARENA_ARRAY(arena, Value, unit->output_count + 1);
    const InputSettings settings = {.env = ENV, .seed = 3, .step = 1, .away = 0.1};
    assert_true(inputs_fill(arena, lowered->program, unit, unit->formal_count, &settings, inputs, unit->formal_count, &error));
    assert_null(interp_run(arena, unit, &(InterpContext){.precision = INTERP_F64, .env = ENV, .seed = 3, .step = 1}, inputs, results, NULL));
    return results;
}

static void assert_equal_values(const Unit *a, const Value *expected, const Unit *b, const Value *found)
{
    assert_int_equal(a->output_count, b->output_count);
    for (int o = 0; o < a->output_count; o++) {
        assert_string_equal(a->outputs[o].name, b->outputs[o].name);
        assert_int_equal(expected[o].count, found[o].count);
        for (int64_t i = 0; i < expected[o].count; i++)
            if (expected[o].real && !(fabs(expected[o].real[i] - found[o].real[i]) <= 1e-10 * fmax(1, fabs(expected[o].real[i]))))
                fail_msg("%s[%lld]: %.17g, not %.17g", a->outputs[o].name, (long long)i, found[o].real[i], expected[o].real[i]);
    }
}

static void test_each_left_out(void **state)
{
    (void)state;
    Loaded loaded = loaded_lines(LINES);
    Arena *arena = arena_new();
    const Unit *plain, *unit;
    const Value *expected = values_under(arena, &loaded, NULL, &plain);
    for (int p = 0; p < PASS_COUNT; p++) {
        if (!pass_info((PassId)p)->optional)
            continue;
        PassWatch watch = {.verify = true, .off = (uint64_t)1 << p};
        const Value *found = values_under(arena, &loaded, &watch, &unit);
        assert_int_equal(watch.times[p].runs, 0);
        assert_true(watch.times[PASS_dce].runs > 0);
        assert_equal_values(plain, expected, unit, found);
    }
    arena_free(arena);
    loaded_free(&loaded);
}

static void test_any_number(void **state)
{
    (void)state;
    Loaded loaded = loaded_lines(LINES);
    const Unit *plain, *unit;
    int64_t all = 1;
    for (int64_t limit = 0; limit <= all; limit += 7) {
        Arena *arena = arena_new();
        PassWatch watch = {.verify = true, .limited = limit < all, .limit = limit};
        const Value *expected = values_under(arena, &loaded, NULL, &plain);
        if (limit == 0) {
            PassWatch whole = {.verify = true};
            (void)values_under(arena, &loaded, &whole, &unit);
            all = whole.count;
            assert_true(all > 50);
        }
        assert_equal_values(plain, expected, unit, values_under(arena, &loaded, &watch, &unit));
        assert_true(watch.count <= limit || !watch.limited);
        arena_free(arena);
    }
    loaded_free(&loaded);
}

static void test_names(void **state)
{
    (void)state;
    PassId pass;
    for (int p = 0; p < PASS_COUNT; p++) {
        assert_true(pass_find(pass_info((PassId)p)->name, &pass));
        assert_int_equal(pass, p);
    }
    assert_false(pass_find("no such pass", &pass));
}

/* ---- a spoilt engine ---- */

enum { SPOILT_FROM = 23 };

typedef struct Spoilt {
    void *code;
    bool spoilt;
    float number;
} Spoilt;

/* The compiled engine, whose first output is wrong once so many optional passes were carried out. */
static void *compile_spoilt(void *state, Arena *arena, Program *program, const Unit *unit, bool wide, BfmError *error)
{
    Spoilt *spoilt = ARENA_NEW(arena, Spoilt);
    spoilt->spoilt = program->watch && program->watch->count >= SPOILT_FROM;
    spoilt->code = ENGINE_JIT.compile(state, arena, program, unit, wide, error);
    return spoilt->code ? spoilt : NULL;
}

static void release_spoilt(void *code) { ENGINE_JIT.release(((Spoilt *)code)->code); }
static bool bind_spoilt(void *code, const DimEnv *env, BfmError *error) { return ENGINE_JIT.bind(((Spoilt *)code)->code, env, error); }
static void set_formal_spoilt(void *code, int formal, void *memory) { ENGINE_JIT.set_formal(((Spoilt *)code)->code, formal, memory); }
static bool run_spoilt(void *code, uint64_t seed, uint64_t step, BfmError *error) { return ENGINE_JIT.run(((Spoilt *)code)->code, seed, step, error); }

static void *output_spoilt(const void *code, int output)
{
    Spoilt *spoilt = (Spoilt *)(uintptr_t)code;
    void *right = ENGINE_JIT.output(spoilt->code, output);
    if (output != 0 || !spoilt->spoilt)
        return right;
    spoilt->number = 2 * *(const float *)right;
    return &spoilt->number;
}

static void test_fault_found(void **state)
{
    (void)state;
    Loaded loaded = loaded_lines(LINES);
    EngineKind spoilt = ENGINE_JIT;
    BfmError error = {.message = ""};
    Bisect result;
    spoilt.compile = compile_spoilt, spoilt.release = release_spoilt, spoilt.bind = bind_spoilt, spoilt.set_formal = set_formal_spoilt;
    spoilt.output = output_spoilt, spoilt.run = run_spoilt;
    BisectSettings settings = {
        .engine = &ENGINE_JIT, .threads = 1, .env = ENV, .seed = 5, .step = {.model = true, .backward = true}, .tolerance = 1e-3, .lower = lower_again, .context = &loaded};
    assert_true(bisect_passes(loaded.arena, &settings, &result, &error));
    assert_int_equal(result.verdict, BISECT_AGREE);
    assert_true(result.difference > 0 && result.difference < 1e-4);
    settings.engine = &spoilt;
    assert_true(bisect_passes(loaded.arena, &settings, &result, &error));
    assert_int_equal(result.verdict, BISECT_PASS);
    assert_int_equal(result.number, SPOILT_FROM);
    assert_true(pass_info(result.pass)->optional);
    assert_true(result.difference > 0.9 && result.without < 1e-4);
    assert_non_null(strstr(result.before, result.unit));
    assert_non_null(result.after);
    settings.tolerance = 1e-12; /* what rounding alone exceeds: no pass is at fault */
    assert_true(bisect_passes(loaded.arena, &settings, &result, &error));
    assert_int_equal(result.verdict, BISECT_OTHER);
    loaded_free(&loaded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_each_left_out),
        cmocka_unit_test(test_any_number),
        cmocka_unit_test(test_fault_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
