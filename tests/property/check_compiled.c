/* Generated code under every schedule against the interpreter. */
#include "engines.h"

#include "codegen/compile.h"
#include "grad/grad.h"
#include "opt/opt.h"

#include <math.h>
#include <string.h>

typedef struct Way {
    const char *name;
    CompileOptions options;
} Way;

static const Way ways[] = {
    {"ungrouped", {.schedule = {.ungrouped = true}, .codegen = {.level = 1}, .plain = true}},
    {"scheduled", {.codegen = {.level = 1}, .plain = true}},
    {"simplified", {.codegen = {.level = 1}}},
};
enum { WAY_COUNT = sizeof ways / sizeof *ways };

/* Memory of a formal as generated code wants it. */
static void *memory_of(Arena *arena, const Value *value)
{
    float *memory = (float *)(((uintptr_t)ARENA_ARRAY(arena, float, value->count + 32) + 63) & ~(uintptr_t)63);
    for (int64_t i = 0; i < value->count; i++) {
        if (value->real)
            memory[i] = (float)value->real[i];
        else
            memcpy(&memory[i], &value->integer[i], sizeof *memory);
    }
    return memory;
}

static Value value_of(Arena *arena, const void *memory, int64_t count, bool real)
{
    Value value = {.count = count};
    if (real) {
        value.real = ARENA_ARRAY(arena, double, count + 1);
        for (int64_t i = 0; i < count; i++)
            value.real[i] = (double)((const float *)memory)[i];
    } else {
        value.integer = arena_memdup(arena, memory, (size_t)count * sizeof *value.integer);
    }
    return value;
}

/* The results of the compiled program in `found`; NULL, or a message. */
static const char *compiled_run(const Case *test, Jit *jit, BfmPool *pool, const Way *way, Program *program, Value *found)
{
    BfmError error = {0};
    const Unit *main = program->main;
    const Compiled *compiled = compile_unit(test->arena, jit, program, main, NULL, &way->options, &error);
    BfmInstance *instance = compiled ? bfm_instance_new(compiled->plan, compiled->functions, pool, &error) : NULL;
    bool ok = instance && bfm_plan_check(compiled->plan, compiled->plan_bytes, &error);
    if (ok && test->has_unmet && bfm_instance_bind(instance, test->unmet.value, &error))
        ok = bfm_error_set(&error, BFM_ERROR_BUG, "l = %lld was bound", (long long)test->unmet.value[DIM_L]);
    ok = ok && bfm_instance_bind(instance, test->context.env.value, &error);
    for (int f = 0; ok && f < main->formal_count; f++)
        bfm_instance_set_formal(instance, f, memory_of(test->arena, &test->inputs[f]));
    for (int run = 0; ok && run < 2; run++) /* the second finds the arena full of the first one's values */
        ok = bfm_instance_run(instance, test->context.seed, test->context.step, &error);
    for (int o = 0; ok && o < main->output_count; o++)
        found[o] = value_of(test->arena, bfm_instance_output(instance, o), bfm_instance_output_count(instance, o), test->expected[o].real != NULL);
    bfm_instance_free(instance);
    return ok ? NULL : arena_strdup(test->arena, error.message);
}

/* How far single precision may be off: what the interpreter's own single precision is, and some. Negative where an integer changes with the precision. */
static double tolerance_of(const Case *test, Value *rounded)
{
    const Unit *main = test->program->main;
    Tape tape = {.arena = test->arena};
    InterpContext context = test->context;
    context.replay = tape_record, context.user = &tape;
    if (interp_run(test->arena, main, &context, test->inputs, rounded, NULL))
        return -1;
    context.precision = INTERP_F32, context.replay = tape_replay;
    if (interp_run(test->arena, main, &context, test->inputs, rounded, NULL) || tape.changed > 0 || tape.broken)
        return -1;
    double tolerance = 1e-5;
    while (tolerance < 1e-2) {
        bool differs = false;
        for (int o = 0; o < main->output_count; o++)
            differs = differs || values_differ(test->arena, "", &test->expected[o], &rounded[o], tolerance / 8);
        if (!differs)
            return tolerance;
        tolerance *= 4;
    }
    return -1; /* no digits left to compare */
}

/* Each way's own copy of what is compared, made from `original`. */
typedef Program *MakeFn(const Case *original, const Way *way);

static Check check_ways(const Case *test, const Case *original, MakeFn *made)
{
    const Unit *main = test->program->main;
    Value *found = ARENA_ARRAY(test->arena, Value, main->output_count + 1);
    const double tolerance = tolerance_of(test, found);
    if (tolerance < 0)
        return (Check){CHECK_SKIPPED, "single precision decides an integer, or has no digits left"};
    BfmError error = {0};
    Jit *jit = jit_new(&(JitOptions){.cache = "", .threads = 1}, &error);
    BfmPool *pool = bfm_pool_new(2);
    const char *message = jit ? NULL : arena_strdup(test->arena, error.message);
    for (int w = 0; w < WAY_COUNT && !message; w++) {
        message = compiled_run(test, jit, pool, &ways[w], made(original, &ways[w]), found);
        for (int o = 0; o < main->output_count && !message; o++)
            message = values_differ(test->arena, main->outputs[o].name, &test->expected[o], &found[o], tolerance);
        if (message)
            message = arena_printf(test->arena, "%s: %s", ways[w].name, message);
    }
    bfm_pool_free(pool);
    jit_free(jit);
    return message ? (Check){CHECK_FAILED, message} : (Check){CHECK_PASSED, NULL};
}

static Program *copied(const Case *original, const Way *way)
{
    (void)way;
    return program_copy(original->arena, original->interner, original->program);
}

Check check_compiled(const Case *test) { return check_ways(test, test, copied); }

/* ---- gradients -------------------------------------------------------------------------------------------------------------- */

/* By every real formal. NULL where there is nothing to differentiate. */
static Program *differentiated(const Case *test, bool raised)
{
    Program *program = program_copy(test->arena, test->interner, test->program);
    const Unit *main = program->main;
    const char *message = NULL;
    if (raised)
        opt_simplify(program, &(OptOptions){.phase = OPT_BEFORE_GRAD});
    bool *wanted = ARENA_ARRAY(test->arena, bool, main->formal_count + 1);
    for (int f = 0; f < main->formal_count; f++)
        wanted[f] = true;
    return grad_program(program, &(GradOptions){.wanted = wanted}, &message) ? program : NULL;
}

/* Streams are found before differentiation: what is simplified is differentiated with them, the rest as it is. */
static Program *backward_of(const Case *original, const Way *way) { return differentiated(original, !way->options.plain); }

Check check_backward(const Case *test)
{
    Case backward = *test;
    backward.program = differentiated(test, false);
    if (!backward.program)
        return (Check){CHECK_SKIPPED, "there is nothing to differentiate"};
    Value *expected = ARENA_ARRAY(test->arena, Value, backward.program->main->output_count + 1);
    const char *message = interp_run(test->arena, backward.program->main, &test->context, test->inputs, expected, NULL);
    if (message)
        return (Check){CHECK_FAILED, arena_printf(test->arena, "interpreter: %s", message)};
    backward.expected = expected;
    return check_ways(&backward, test, backward_of);
}
