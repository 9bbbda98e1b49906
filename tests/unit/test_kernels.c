/* The operations of whole models and of their derivatives, each by its own kernel, against the interpreter on the same operands. */
#include "lowered.h"

#include "grad/grad.h"
#include "materialise.h"
#include "ir/flatten.h"
#include "opt/opt.h"

static uint64_t random_state = 1;

static double random_number(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)(random_state >> 33) / (double)(1u << 30) - 1.0;
}

static Value formal_value(Arena *arena, const Tensor *tensor, const DimEnv *env)
{
    Value value = {.count = tensor_elements(tensor, env)};
    assert_true(value.count >= 0);
    if (tensor->type == T_INT) {
        const double bound = (double)dim_eval(tensor->bound, env);
        value.integer = ARENA_ARRAY(arena, int32_t, value.count + 1);
        for (int64_t i = 0; i < value.count; i++)
            value.integer[i] = (int32_t)((random_number() + 1) / 2 * bound);
    } else {
        value.real = ARENA_ARRAY(arena, double, value.count + 1); /* vectors are gains, near 1; a scalar is the step */
        for (int64_t i = 0; i < value.count; i++)
            value.real[i] = tensor->rank == 0 ? 3 : (double)(float)(0.3 * random_number() + (tensor->rank == 1 ? 0.8 : 0));
    }
    return value;
}

static Unit *model_unit(const Lowered *lowered, bool simplified)
{
    Program *program = lowered->program;
    const char *message = NULL;
    if (simplified)
        opt_simplify(program, &(OptOptions){.phase = OPT_BEFORE_GRAD});
    if (!grad_program(program, NULL, &message))
        fail_msg("%s", message);
    Unit *flat = unit_flatten(program, program->main);
    if (simplified)
        opt_simplify_unit(flat, &(OptOptions){.phase = OPT_AFTER_GRAD});
    return flat;
}

static void check_model(const char *name, bool simplified)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/tests/golden/%s/model.bfm", BFM_SOURCE_DIR, name);
    Loaded loaded = loaded_file(path);
    const Unit *unit = model_unit(lowered_model(&loaded, NULL, MODE_TRAIN), simplified);
    Arena *arena = arena_new();
    InterpContext context = {.env = {{2, 8, 0}}, .seed = 5, .step = 2};
    Value *formals = ARENA_ARRAY(arena, Value, unit->formal_count + 1), *all = ARENA_ARRAY(arena, Value, unit->tensor_count + 1);
    for (int i = 0; i < unit->formal_count; i++)
        formals[i] = formal_value(arena, &unit->tensors[unit->formals[i]], &context.env);
    BfmError error = {0};
    Jit *jit = jit_new(&(JitOptions){.cache = ""}, &error);
    assert_non_null(jit);
    Materialise m = {.arena = arena, .jit = jit, .codegen = codegen_new(arena, NULL), .context = &context, .cut = 77, .check = true};
    if (!materialise_run(&m, unit, formals, all, &error))
        fail_msg("%s: %s%s", name, error.message, m.message);
    const JitCounters counters = jit_counters(jit);
    print_message("%-14s%s: %d operations, %d kernels, %.1f ms each, %lld elements agree\n", name, simplified ? " simplified" : "", unit->op_count, codegen_count(m.codegen),
                  1e3 * counters.seconds / (double)(codegen_count(m.codegen) + 1), (long long)m.checked);
    assert_true(m.checked > 10000);

    /* Another batch and length: the same functions. */
    context.env = (DimEnv){{1, 7, 0}};
    Materialise again = {.arena = arena, .jit = jit, .codegen = m.codegen, .context = &context, .check = true};
    for (int i = 0; i < unit->formal_count; i++)
        formals[i] = formal_value(arena, &unit->tensors[unit->formals[i]], &context.env);
    if (!materialise_run(&again, unit, formals, all, &error))
        fail_msg("%s: %s%s", name, error.message, again.message);
    assert_int_equal(jit_counters(jit).compiled, counters.compiled);
    materialise_free(&m);
    materialise_free(&again);
    jit_free(jit);
    arena_free(arena);
    loaded_free(&loaded);
}

static void test_models(void **state)
{
    (void)state;
    check_model("top2_token", false);
    check_model("norms_wirings", true);
    check_model("choice_groups", true);
    check_model("positions", false);
    check_model("brainformer", true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_models)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
