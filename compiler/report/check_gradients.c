#include "report/check_gradients.h"

#include "run/inputs.h"
#include "run/store.h"
#include "grad/grad.h"
#include "ir/interp.h"
#include "rng/rng.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { STREAM_DIRECTION = 3, STREAM_WEIGHTS, ELEMENTS_TRIED = 64 };

static const double AWAY = 0.1;       /* how far parameters are moved from their initial values: zeros and ones hide mistakes */
static const double TOLERANCE = 1e-5; /* of a difference, relative to the size of the gradient */

typedef struct Checker {
    Arena *arena;
    const GradientSettings *settings;
    const Program *program; /* whose main gives the value */
    const Unit *forward;
    InterpContext context;
    StopTape stops;       /* at the point where the derivative is taken */
    Value *formals;       /* of main, and behind them the weights of results */
    const Value *weights; /* of the result; NULL: losses only */
    double value;
    int name_width;      /* of the table */
    int hidden;          /* rows in which a stop hides a dependence */
    const char *problem; /* NULL: none */
} Checker;

/* ---- inputs ---- */

static BfmRng stream_of(const Checker *checker, int kind, int formal) { return bfm_rng_init(checker->settings->seed, (uint64_t)kind << 32 | (uint64_t)formal, 0); }

/* ---- value and derivative ---- */

/* The sum of the losses and of the weighed result. */
static double evaluate(Checker *checker)
{
    Arena *arena = arena_new();
    checker->stops.taken = 0;
    Value *results = ARENA_ARRAY(arena, Value, checker->forward->output_count + 1);
    double sum = 0;
    checker->problem = interp_run(arena, checker->forward, &checker->context, checker->formals, results, NULL);
    for (int o = 0; !checker->problem && o < checker->forward->output_count; o++) {
        const OutputKind kind = checker->forward->outputs[o].kind;
        if (kind == OUTPUT_LOSS)
            sum += results[o].real[0];
        for (int64_t i = 0; kind == OUTPUT_RESULT && checker->weights && i < results[o].count; i++)
            sum += checker->weights->real[i] * results[o].real[i];
    }
    if (checker->problem)
        checker->problem = arena_strdup(checker->arena, checker->problem);
    arena_free(arena);
    return sum;
}

static double moved(Checker *checker, Value *at, const double *direction, double by)
{
    double *kept = at->real, *there = ARENA_ARRAY(checker->arena, double, at->count + 1);
    for (int64_t i = 0; i < at->count; i++)
        there[i] = kept[i] + by * direction[i];
    at->real = there;
    const double value = evaluate(checker);
    at->real = kept;
    return value;
}

/* The difference quotient that comes nearest to `expected`, of several steps: long ones bend, short ones round, any may meet a kink. */
static double difference(Checker *checker, Value *at, const double *direction, double expected, double enough)
{
    static const double steps[] = {1e-4, 1e-5, 1e-3, 1e-6};
    double best = INFINITY;
    for (size_t s = 0; s < sizeof steps / sizeof *steps && !checker->problem; s++) {
        const double quotient = (moved(checker, at, direction, steps[s]) - moved(checker, at, direction, -steps[s])) / (2 * steps[s]);
        if (!(fabs(best - expected) <= fabs(quotient - expected)))
            best = quotient;
        if (fabs(best - expected) <= enough)
            break;
    }
    return best;
}

/* ---- the report ---- */

/* The element, of some, whose derivative is furthest from its difference. */
static void name_worst(Checker *checker, const StoreEntry *shape, Value *at, const double *gradient, Str *out)
{
    const BfmRng rng = stream_of(checker, STREAM_DIRECTION, -1);
    double *direction = ARENA_ARRAY(checker->arena, double, at->count + 1);
    int64_t worst = 0;
    double worst_by = -1, found = 0;
    for (int64_t k = 0; k < ELEMENTS_TRIED && k < at->count; k++) {
        const int64_t i = at->count <= ELEMENTS_TRIED ? k : (int64_t)(bfm_rng_u64(rng, (uint64_t)k) % (uint64_t)at->count);
        direction[i] = 1;
        const double quotient = difference(checker, at, direction, gradient[i], 0);
        direction[i] = 0;
        if (fabs(quotient - gradient[i]) > worst_by)
            worst_by = fabs(quotient - gradient[i]), worst = i, found = quotient;
    }
    str_append(out, "      at [");
    int64_t below = at->count, rest = worst;
    for (int a = 0; a < shape->rank; a++) {
        below /= shape->shape[a];
        str_printf(out, "%s%" PRId64, a ? ", " : "", rest / below);
        rest %= below;
    }
    str_printf(out, "] the derivative is %.9g, the difference %.9g\n", gradient[worst], found);
}

/* The derivative leaves out what stands behind a `stop`; the value does not. Its own relative error. */
static double whole_error(Checker *checker, Value *at, const double *direction, double expected, double scale)
{
    checker->context.stops = NULL;
    const double error = fabs(difference(checker, at, direction, expected, TOLERANCE * scale) - expected) / scale;
    checker->context.stops = &checker->stops;
    return error;
}

/* One parameter or input, against differences with what is stopped left as it is. */
static bool compare(Checker *checker, int formal, const double *gradient, Str *out, json_t *rows)
{
    const Binding *binding = &checker->program->bindings[formal];
    Value *at = &checker->formals[formal];
    const BfmRng rng = stream_of(checker, STREAM_DIRECTION, formal);
    double *direction = ARENA_ARRAY(checker->arena, double, at->count + 1), norm = 0, expected = 0;
    const double length = 1 / sqrt((double)(at->count > 0 ? at->count : 1));
    for (int64_t i = 0; i < at->count; i++) {
        direction[i] = bfm_rng_u32(rng, (uint64_t)i) & 1 ? length : -length;
        norm += gradient[i] * gradient[i];
        expected += gradient[i] * direction[i];
    }
    norm = sqrt(norm);
    const double scale = fmax(norm * length, 1e-9 * fmax(1, fabs(checker->value)));
    double error = fabs(difference(checker, at, direction, expected, 1e-3 * TOLERANCE * scale) - expected) / scale;
    const bool good = error <= TOLERANCE;
    if (good && checker->stops.values.count > 0)
        error = fmax(error, whole_error(checker, at, direction, expected, scale));
    const bool hidden = good && !(error <= TOLERANCE);
    if (checker->problem)
        return false;
    checker->hidden += hidden;
    str_printf(out, "  %-*s %9" PRId64 "  %10.4g  %10.1e%s\n", checker->name_width, binding->path, at->count, norm, error,
               !good    ? "  differs"
               : hidden ? "  differs by intention: stop"
                        : "");
    if (!good && binding->role == TENSOR_PARAM) {
        StoreEntry shape = {.rank = binding->plain_rank};
        memcpy(shape.shape, binding->plain_extent, sizeof binding->plain_extent);
        name_worst(checker, &shape, at, gradient, out);
    }
    json_array_append_new(
        rows, json_pack("{s:s, s:f, s:f, s:b, s:b}", "tensor", binding->path, "norm", norm, "relative_error", error, "agrees", good && !hidden, "by_intention", hidden));
    return good;
}

static bool wanted(const Unit *unit, const Program *program, int formal)
{
    const Tensor *tensor = &unit->tensors[unit->formals[formal]];
    const TensorRole role = program->bindings[formal].role;
    return tensor->type == T_REAL && (role == TENSOR_PARAM || (role == TENSOR_INPUT && tensor->rank > 0));
}

static int compare_all(Checker *checker, const Unit *unit, Str *out, json_t *rows, BfmError *error)
{
    Value *results = ARENA_ARRAY(checker->arena, Value, unit->output_count + 1);
    int wrong = 0;
    checker->context.stops = &checker->stops;
    checker->value = evaluate(checker);
    checker->stops.frozen = true;
    checker->context.stops = NULL;
    if (!checker->problem)
        checker->problem = interp_run(checker->arena, unit, &checker->context, checker->formals, results, NULL);
    checker->context.stops = &checker->stops;
    for (int o = 0; o < unit->output_count && !checker->problem; o++)
        if (unit->outputs[o].kind == OUTPUT_GRAD)
            wrong += !compare(checker, unit->outputs[o].formal, results[o].real, out, rows);
    if (checker->problem)
        bfm_error_set(error, BFM_ERROR_INPUT, "%s", checker->problem);
    return checker->problem ? -1 : wrong;
}

/* Weights of the result, where there is a formal for them: the last. */
static bool fill_weights(Checker *checker, const Unit *unit, BfmError *error)
{
    const int last = unit->formal_count - 1;
    if (last < checker->forward->formal_count)
        return true;
    Value *value = &checker->formals[last];
    *value = (Value){.count = tensor_elements(&unit->tensors[unit->formals[last]], &checker->context.env)};
    if (value->count < 0)
        return bfm_error_set(error, BFM_ERROR_INPUT, "the result is too large");
    value->real = ARENA_ARRAY(checker->arena, double, value->count + 1);
    for (int64_t i = 0; i < value->count; i++)
        value->real[i] = bfm_rng_normal(stream_of(checker, STREAM_WEIGHTS, 0), (uint64_t)i);
    checker->weights = value;
    return true;
}

static bool differentiate(const Lowered *derivative, bool model, const char **message)
{
    Program *program = derivative->program;
    bool *by = ARENA_ARRAY(program->arena, bool, program->main->formal_count + 1);
    for (int f = 0; f < program->main->formal_count; f++)
        by[f] = wanted(program->main, program, f);
    return grad_program(program, &(GradOptions){.wanted = by, .seed_results = !model}, message);
}

bool check_gradients(Arena *arena, const Lowered *value, const Lowered *derivative, const GradientSettings *settings, Str *out, json_t *rows, int *wrong, BfmError *error)
{
    const char *name = value->model->name, *message = NULL;
    if (!differentiate(derivative, settings->model, &message))
        return bfm_error_set(error, BFM_ERROR_INPUT, "`%s`: %s", name, message);
    const Unit *unit = derivative->program->main;
    Checker checker = {.arena = arena,
                       .settings = settings,
                       .program = value->program,
                       .forward = value->program->main,
                       .context = {.precision = INTERP_F64,
                                   .env = {.value = {[DIM_B] = settings->batch, [DIM_L] = settings->length, [DIM_N] = settings->length, [DIM_S0] = 1, 1, 1, 1, 1, 1, 1, 1}},
                                   .seed = settings->seed,
                                   .step = 1},
                       .formals = ARENA_ARRAY(arena, Value, unit->formal_count + 1)};
    for (int f = 0; f < checker.forward->formal_count; f++) {
        const int width = (int)strlen(value->program->bindings[f].path);
        if (width > checker.name_width && wanted(checker.forward, checker.program, f))
            checker.name_width = width;
    }
    const InputSettings inputs = {.env = checker.context.env, .seed = settings->seed, .step = (double)checker.context.step, .away = AWAY};
    if (!inputs_fill(arena, checker.program, checker.forward, checker.forward->formal_count, &inputs, checker.formals, checker.forward->formal_count, error))
        return false;
    if (!fill_weights(&checker, unit, error))
        return false;
    str_printf(out, "\ngradients of %s at %" PRId64 " × %" PRId64 " tokens, in double precision, against differences of its value\n  %-*s %9s  %10s  %10s\n", name, settings->batch,
               settings->length, checker.name_width, "", "elements", "norm", "rel. error");
    *wrong = compare_all(&checker, unit, out, rows, error);
    vec_free(&checker.stops.values);
    if (*wrong < 0)
        return false;
    if (*wrong)
        str_printf(out, "  %d differ\n", *wrong);
    else if (checker.hidden)
        str_printf(out, "  %d differ by intention: their value also changes through what stands behind a `stop`; with that held as it is all agree\n", checker.hidden);
    else
        str_append(out, "  all agree\n");
    return true;
}
