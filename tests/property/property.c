/* bfm_property [--count N] [--seed S] [--only NAME] [--operations N] [--print] [--no-shrink]
   Compares engines on random programs with seeds S, S + 1, …; a failure is shrunk and printed. Exit code 1 if any failed. */
#include "engines.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Engine {
    const char *name;
    CheckFn *check;
    bool smooth; /* wants programs without rounding of data */
} Engine;

static const Engine engines[] = {
    {"text", check_text, false}, {"interp", check_interp, false},     {"grad", check_grad, true},         {"jit", check_jit, false},
    {"opt", check_opt, false},   {"compiled", check_compiled, false}, {"backward", check_backward, true},
};
enum { ENGINE_COUNT = sizeof engines / sizeof *engines };

typedef struct Options {
    uint64_t seed;
    int count, operations;
    const char *only;
    bool print, no_shrink;
} Options;

/* A length that makes no size of an extent is refused. NULL, or that it was not. */
static const char *refused(Arena *arena, Case *test, uint64_t seed)
{
    const Unit *main = test->program->main;
    InterpContext context = test->context;
    context.env = test->unmet;
    test->has_unmet = true;
    const Value *inputs = random_inputs(arena, main, &context.env, seed);
    const char *message = interp_run(arena, main, &context, inputs, ARENA_ARRAY(arena, Value, main->output_count + 1), NULL);
    return message && strstr(message, "must") ? NULL : arena_printf(arena, "interpreter: l = %lld was not refused", (long long)context.env.value[DIM_L]);
}

/* Runs the interpreter in f64, then the engine. */
static Check check_program(Arena *arena, Interner *interner, const Engine *engine, const Program *program, uint64_t seed)
{
    const char *message = program_verify(program);
    if (message)
        return (Check){CHECK_FAILED, arena_printf(arena, "malformed: %s", message)};
    const Unit *main = program->main;
    Case test = {.arena = arena, .interner = interner, .program = program, .context = {.env = random_env(program, seed), .seed = seed, .step = 3, .point_limit = 20000000}};
    if (random_env_unmet(program, seed, &test.unmet) && (message = refused(arena, &test, seed)))
        return (Check){CHECK_FAILED, message};
    test.inputs = random_inputs(arena, main, &test.context.env, seed);
    Value *expected = ARENA_ARRAY(arena, Value, main->output_count + 1), *all = ARENA_ARRAY(arena, Value, main->tensor_count + 1);
    if ((message = interp_run(arena, main, &test.context, test.inputs, expected, all)))
        return (Check){CHECK_FAILED, arena_printf(arena, "interpreter: %s", message)};
    test.expected = expected;
    test.all = all;
    return engine->check(&test);
}

typedef struct Failing {
    const Engine *engine;
    uint64_t seed;
    const char *kind; /* the message's beginning: a different failure does not count */
} Failing;

static bool same_failure(const char *a, const char *b)
{
    const size_t length = strcspn(a, "0123456789[:");
    return length == strcspn(b, "0123456789[:") || strncmp(a, b, 12) == 0;
}

static bool still_fails(void *user, const Program *program)
{
    const Failing *failing = user;
    Arena *arena = arena_new();
    const Check check = check_program(arena, program->interner, failing->engine, program, failing->seed);
    const bool fails = check.status == CHECK_FAILED && same_failure(check.message, failing->kind);
    arena_free(arena);
    return fails;
}

static void report(Arena *arena, Interner *interner, const Engine *engine, Program *program, uint64_t seed, const char *message, const Options *options)
{
    printf("seed %llu, %s: %s\n", (unsigned long long)seed, engine->name, message);
    if (!options->no_shrink) {
        program = shrink_program(arena, interner, program, still_fails, &(Failing){engine, seed, message});
        const Check check = check_program(arena, interner, engine, program, seed);
        printf("shrunk: %s\n", check.message ? check.message : "passes");
    }
    const DimEnv env = random_env(program, seed);
    Str text = {0};
    program_print(program, &text);
    printf("b = %lld, l = %lld\n%s", (long long)env.value[DIM_B], (long long)env.value[DIM_L], str_text(&text));
    str_free(&text);
}

static CheckStatus run_seed(const Engine *engine, uint64_t seed, const Options *options)
{
    Arena *arena = arena_new();
    Interner *interner = interner_new();
    Program *program = random_program(arena, interner, seed, (RandomOptions){.operations = options->operations, .smooth = engine->smooth});
    if (options->print) {
        Str text = {0};
        program_print(program, &text);
        printf("%s", str_text(&text));
        str_free(&text);
    }
    const Check check = check_program(arena, interner, engine, program, seed);
    if (check.status == CHECK_FAILED)
        report(arena, interner, engine, program, seed, check.message, options);
    else if (options->print && check.message)
        printf("skipped: %s\n", check.message);
    arena_free(arena);
    interner_free(interner);
    return check.status;
}

static int run_engine(const Engine *engine, const Options *options)
{
    int counts[3] = {0};
    for (int i = 0; i < options->count; i++)
        counts[run_seed(engine, options->seed + (uint64_t)i, options)]++;
    printf("%s: %d passed, %d without a verdict, %d failed\n", engine->name, counts[CHECK_PASSED], counts[CHECK_SKIPPED], counts[CHECK_FAILED]);
    return counts[CHECK_FAILED];
}

static bool parse_options(int count, char **words, Options *options)
{
    for (int i = 1; i < count; i++) {
        const char *value = i + 1 < count ? words[i + 1] : NULL;
        if (strcmp(words[i], "--print") == 0)
            options->print = true;
        else if (strcmp(words[i], "--no-shrink") == 0)
            options->no_shrink = true;
        else if (strcmp(words[i], "--count") == 0 && value)
            options->count = atoi(words[++i]);
        else if (strcmp(words[i], "--seed") == 0 && value)
            options->seed = strtoull(words[++i], NULL, 10);
        else if (strcmp(words[i], "--operations") == 0 && value)
            options->operations = atoi(words[++i]);
        else if (strcmp(words[i], "--only") == 0 && value)
            options->only = words[++i];
        else
            return false;
    }
    return true;
}

int main(int count, char **words)
{
    Options options = {.seed = 1, .count = 300};
    if (!parse_options(count, words, &options)) {
        fprintf(stderr, "usage: bfm_property [--count N] [--seed S] [--only NAME] [--operations N] [--print] [--no-shrink]\n");
        return 2;
    }
    int failures = 0, ran = 0;
    for (int i = 0; i < ENGINE_COUNT; i++) {
        if (options.only && strcmp(options.only, engines[i].name) != 0)
            continue;
        failures += run_engine(&engines[i], &options);
        ran++;
    }
    if (!ran)
        fprintf(stderr, "bfm_property: there is no engine `%s`\n", options.only);
    return failures > 0 || !ran;
}
