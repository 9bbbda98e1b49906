/* Running a unit through the scheduler and generated code, and comparing it with the interpreter. */
#ifndef BFM_TEST_RUN_COMPILED_H
#define BFM_TEST_RUN_COMPILED_H

#include "ir_sketch.h"

#include "codegen/compile.h"
#include "memory/buffer.h"

typedef struct Engine {
    Jit *jit;
    BfmPool *pool;
} Engine;

static inline Engine engine_new(int threads)
{
    BfmError error = {0};
    Engine engine = {jit_new(&(JitOptions){.cache = "", .threads = 1}, &error), bfm_pool_new(threads)};
    if (!engine.jit)
        fail_msg("%s", error.message);
    return engine;
}

static inline void engine_free(Engine *engine)
{
    jit_free(engine->jit);
    bfm_pool_free(engine->pool);
}

static inline void *formal_memory(Arena *arena, const Value *value)
{
    float *memory = (float *)(((uintptr_t)ARENA_ARRAY(arena, float, value->count + 32) + 63) & ~(uintptr_t)63);
    for (int64_t i = 0; i < value->count; i++) {
        if (value->real)
            memory[i] = (float)value->real[i];
        else
            memcpy(&memory[i], &value->integer[i], sizeof memory[i]);
    }
    return memory;
}

/* Results in single precision bits, one array per output; dims as in sketch_context. */
static inline float **compiled_run(Sketch *s, const Engine *engine, const Compiled *compiled, const Value *formals, const InterpContext *context, BfmGemmEngine gemm)
{
    BfmError error = {0};
    BfmInstance *instance = bfm_instance_new(compiled->plan, compiled->functions, engine->pool, &error);
    if (!instance)
        fail_msg("%s", error.message);
    bfm_instance_set_engine(instance, gemm);
    if (!bfm_plan_check(compiled->plan, compiled->plan_bytes, &error))
        fail_msg("%s", error.message);
    if (!bfm_instance_bind(instance, context->env.value, &error))
        fail_msg("%s", error.message);
    for (int f = 0; f < (int)compiled->plan->formals.count; f++)
        bfm_instance_set_formal(instance, f, formal_memory(s->arena, &formals[f]));
    for (int i = 0; i < 2; i++) { /* the second run finds the arena full of the first one's values */
        if (!bfm_instance_run(instance, context->seed, context->step, &error))
            fail_msg("%s", error.message);
    }
    int count = (int)compiled->plan->outputs.count;
    float **results = ARENA_ARRAY(s->arena, float *, count + 1);
    for (int o = 0; o < count; o++) {
        results[o] = arena_memdup(s->arena, bfm_instance_output(instance, o), (size_t)bfm_instance_output_count(instance, o) * sizeof(float));
    }
    bfm_instance_free(instance);
    return results;
}

static inline double values_scale(const Value *value)
{
    double largest = 1e-3;
    for (int64_t i = 0; i < value->count; i++) {
        if (value->real && isfinite(value->real[i]) && fabs(value->real[i]) > largest)
            largest = fabs(value->real[i]);
    }
    return largest;
}

/* `holes`: the interpreter's NaN in a tensor that is not written everywhere may be anything. */
static inline void values_compare(const char *what, const char *name, const Value *expected, const float *got, double tolerance)
{
    double scale = values_scale(expected);
    for (int64_t i = 0; i < expected->count; i++) {
        if (expected->integer) {
            int32_t number;
            memcpy(&number, &got[i], sizeof number);
            if (number != expected->integer[i])
                fail_msg("%s: %s[%lld] = %d, expected %d", what, name, (long long)i, number, expected->integer[i]);
            continue;
        }
        double want = expected->real[i], have = (double)got[i];
        if (isnan(want) || want == have)
            continue;
        if (!(fabs(want - have) <= tolerance * scale))
            fail_msg("%s: %s[%lld] = %.9g, expected %.9g (largest %.3g)", what, name, (long long)i, have, want, scale);
    }
}

typedef struct CompareOptions {
    CompileOptions compile;
    const char *what;
    double tolerance;
} CompareOptions;

/* The unit through every schedule, against the interpreter; bits on one and three threads are the same. `expect`: text the schedule must show, or NULL. */
static inline void compare_in(Sketch *s, const InterpContext *context, const Value *formals, const char *expect)
{
    static const CompareOptions ways[] = {
        {{.schedule = {.ungrouped = true}, .plain = true}, "ungrouped, not simplified", 1e-4},
        {{.schedule = {.ungrouped = true}}, "ungrouped", 1e-4},
        {{.schedule = {.no_streams = true}}, "without streams", 1e-4},
        {{.plain = true}, "scheduled, not simplified", 1e-4},
        {{.schedule = {0}}, "scheduled", 1e-4},
    };
    Unit *unit = s->unit;
    Value *expected = ARENA_ARRAY(s->arena, Value, unit->output_count + 1);
    const char *message = interp_run(s->arena, unit, context, formals, expected, NULL);
    if (message)
        fail_msg("%s", message);
    Engine one = engine_new(1), three = engine_new(3);
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        CompileOptions options = ways[w].compile;
        BfmError error = {0};
        options.codegen.level = 1;
        Compiled *compiled = compile_unit(s->arena, one.jit, s->program, unit, NULL, &options, &error);
        if (!compiled)
            fail_msg("%s", error.message);
        Str text = {0};
        schedule_print(compiled->schedule, &text);
        if (getenv("BFM_SHOW"))
            fprintf(stderr, "-- %s\n%s", ways[w].what, str_text(&text));
        if (expect && w >= 3 && !strstr(str_text(&text), expect))
            fail_msg("%s: no %s in\n%s", ways[w].what, expect, str_text(&text));
        float **a = compiled_run(s, &one, compiled, formals, context, BFM_GEMM_OWN), **b = compiled_run(s, &three, compiled, formals, context, BFM_GEMM_OWN);
        for (int o = 0; o < unit->output_count; o++) {
            values_compare(ways[w].what, unit->outputs[o].name, &expected[o], a[o], ways[w].tolerance);
            assert_memory_equal(a[o], b[o], (size_t)expected[o].count * sizeof(float));
        }
        str_free(&text);
    }
    engine_free(&one), engine_free(&three);
}

static inline void compare_all(Sketch *s, const Value *formals, const char *expect)
{
    InterpContext context = sketch_context();
    compare_in(s, &context, formals, expect);
}

/* Formals for other sizes than sketch_context's: integers below their bounds, now and then none. */
static inline Value *formals_in(Sketch *s, const InterpContext *context, uint64_t seed)
{
    Value *formals = ARENA_ARRAY(s->arena, Value, s->unit->formal_count + 1);
    for (int f = 0; f < s->unit->formal_count; f++) {
        const Tensor *tensor = &s->unit->tensors[s->unit->formals[f]];
        Value *value = &formals[f];
        value->count = tensor_elements(tensor, &context->env);
        if (tensor->type == T_REAL)
            value->real = ARENA_ARRAY(s->arena, double, value->count + 1);
        else
            value->integer = ARENA_ARRAY(s->arena, int32_t, value->count + 1);
        for (int64_t i = 0; i < value->count; i++) {
            double draw = sketch_random(&seed);
            if (value->real)
                value->real[i] = (double)(float)(2 * draw - 1);
            else
                value->integer[i] = draw < 0.1 ? -1 : (int32_t)(sketch_random(&seed) * (double)dim_eval(tensor->bound, &context->env));
        }
    }
    return formals;
}

#endif
