#include "run/bisect.h"

#include "run/inputs.h"

#include <math.h>
#include <string.h>

static const double AWAY = 0.1; /* parameters from their initial values */

typedef struct Search {
    Arena *arena;
    const BisectSettings *settings;
    Bisect *result;
    const Unit *unit; /* of the reference: its main */
    Value *inputs, *expected;
    const char *output; /* the worst of the last comparison */
    int64_t wanted;     /* whose text is kept; 0: none */
    BfmError *error;
} Search;

/* ---- the reference ---- */

static bool reference(Search *search)
{
    const BisectSettings *settings = search->settings;
    StepOptions options = settings->step;
    const char *message = NULL;
    options.plain = true;
    Lowered *lowered = settings->lower(settings->context);
    if (!lowered)
        return false;
    const int bindings = lowered->program->main->formal_count;
    if (!order_step(lowered, &options, &message))
        return bfm_error_set(search->error, BFM_ERROR_INPUT, "%s", message);
    const Unit *unit = search->unit = lowered->program->main;
    const InputSettings inputs = {.env = settings->env, .seed = settings->seed, .step = 1, .away = AWAY};
    const InterpContext context = {.precision = INTERP_F64, .env = settings->env, .seed = settings->seed, .step = 1};
    search->inputs = ARENA_ARRAY(search->arena, Value, unit->formal_count + 1);
    search->expected = ARENA_ARRAY(search->arena, Value, unit->output_count + 1);
    if (!inputs_fill(search->arena, lowered->program, unit, bindings, &inputs, search->inputs, unit->formal_count, search->error))
        return false;
    message = interp_run(search->arena, unit, &context, search->inputs, search->expected, NULL);
    return !message || bfm_error_set(search->error, BFM_ERROR_INPUT, "%s", message);
}

/* ---- the engine ---- */

static void before_pass(void *context, PassId pass, const Unit *unit, int64_t number)
{
    Search *search = context;
    if (number != search->wanted || !pass_info(pass)->optional)
        return;
    Str text = {0};
    unit_print(unit, &text);
    search->result->pass = pass;
    search->result->unit = arena_strdup(search->arena, unit->name);
    search->result->before = arena_strdup(search->arena, str_text(&text));
    str_free(&text);
}

static void after_pass(void *context, PassId pass, const Unit *unit, bool changed, int64_t number)
{
    Search *search = context;
    (void)changed;
    if (number != search->wanted || !pass_info(pass)->optional)
        return;
    Str text = {0};
    unit_print(unit, &text);
    search->result->after = arena_strdup(search->arena, str_text(&text));
    str_free(&text);
}

static void set_formals(const Search *search, const Unit *unit, Executable *executable, Arena *arena)
{
    for (int f = 0; f < unit->formal_count; f++) {
        const Value *value = &search->inputs[f];
        if (value->integer) {
            executable_set_formal(executable, f, value->integer);
            continue;
        }
        float *narrow = ARENA_ARRAY(arena, float, value->count + 16);
        float *aligned = (float *)(((uintptr_t)narrow + 63) & ~(uintptr_t)63);
        for (int64_t i = 0; i < value->count; i++)
            aligned[i] = (float)value->real[i];
        executable_set_formal(executable, f, aligned);
    }
}

/* Of two outputs that mean the same; what is not finite in both alike does not differ. */
static double difference_of(const Value *expected, const void *found)
{
    double largest = 0, worst = 0;
    for (int64_t i = 0; i < expected->count; i++) {
        if (expected->integer) {
            worst += expected->integer[i] != ((const int32_t *)found)[i];
            continue;
        }
        const double a = expected->real[i], b = (double)((const float *)found)[i];
        largest = isfinite(a) ? fmax(largest, fabs(a)) : largest;
        if (isfinite(a) && isfinite(b))
            worst = fmax(worst, fabs(a - b));
        else if (!(isnan(a) && isnan(b)) && a != b)
            worst = INFINITY;
    }
    return worst == 0 ? 0 : largest > 0 ? worst / largest : INFINITY;
}

static bool same_output(const Output *a, const Output *b) { return a->kind == b->kind && strcmp(a->name, b->name) == 0 && (a->kind != OUTPUT_GRAD || a->formal == b->formal); }

static double compare(Search *search, const Unit *unit, const Executable *executable)
{
    double worst = -1;
    for (int o = 0; o < unit->output_count; o++)
        for (int r = 0; r < search->unit->output_count; r++) {
            if (!same_output(&unit->outputs[o], &search->unit->outputs[r]))
                continue;
            const double difference = difference_of(&search->expected[r], executable_output(executable, o));
            if (difference > worst) {
                worst = difference;
                search->output = search->unit->outputs[r].name;
            }
            break;
        }
    return worst < 0 ? 0 : worst;
}

/* The largest difference with at most so many optional passes (limit < 0: all). Negative: an error. */
static double difference_with(Search *search, int64_t limit, PassWatch *watch)
{
    const BisectSettings *settings = search->settings;
    const char *message = NULL;
    *watch = (PassWatch){.limited = limit >= 0, .limit = limit, .before = before_pass, .after = after_pass, .context = search};
    Lowered *lowered = settings->lower(settings->context);
    if (!lowered)
        return -1;
    StepOptions options = settings->step;
    options.plain = false;
    passes_watch(lowered->program, watch);
    if (!order_step(lowered, &options, &message)) {
        (void)bfm_error_set(search->error, BFM_ERROR_INPUT, "%s", message);
        return -1;
    }
    Engine *engine = engine_new(search->arena, settings->engine, false, settings->threads, search->error);
    const Unit *unit = lowered->program->main;
    Executable *executable = engine ? engine_compile(engine, lowered->program, unit, search->error) : NULL;
    double difference = -1;
    Arena *arena = arena_new();
    if (executable && executable_bind(executable, &settings->env, search->error)) {
        set_formals(search, unit, executable, arena);
        if (executable_run(executable, settings->seed, 1, search->error))
            difference = compare(search, unit, executable);
    }
    executable_free(executable);
    engine_free(engine);
    arena_free(arena);
    if (settings->progress && difference >= 0)
        settings->progress(settings->context, watch->count, difference);
    return difference;
}

/* ---- halving ---- */

/* Good at `good` passes, not at `bad`. */
static bool halve(Search *search, int64_t good, int64_t bad)
{
    PassWatch watch;
    Bisect *result = search->result;
    while (bad - good > 1) {
        const int64_t middle = good + (bad - good) / 2;
        const double difference = difference_with(search, middle, &watch);
        if (difference < 0)
            return false;
        if (difference > search->settings->tolerance)
            bad = middle;
        else
            good = middle;
    }
    result->verdict = BISECT_PASS;
    result->number = bad;
    result->without = difference_with(search, bad - 1, &watch);
    search->wanted = bad;
    result->difference = difference_with(search, bad, &watch);
    result->output = search->output;
    return result->without >= 0 && result->difference >= 0;
}

bool bisect_passes(Arena *arena, const BisectSettings *settings, Bisect *result, BfmError *error)
{
    Search search = {.arena = arena, .settings = settings, .result = result, .error = error};
    PassWatch watch;
    *result = (Bisect){.verdict = BISECT_AGREE};
    if (!reference(&search))
        return false;
    result->difference = difference_with(&search, -1, &watch);
    result->output = search.output;
    result->passes = watch.count;
    if (result->difference < 0)
        return false;
    if (result->difference <= settings->tolerance)
        return true;
    const double none = difference_with(&search, 0, &watch);
    if (none < 0)
        return false;
    if (none <= settings->tolerance)
        return halve(&search, 0, result->passes);
    result->verdict = BISECT_OTHER;
    result->difference = none;
    result->output = search.output;
    return true;
}
