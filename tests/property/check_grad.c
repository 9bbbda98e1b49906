/* The differentiator against finite differences: along a random direction of each real formal, integers held as they are in the middle. */
#include "engines.h"

#include "grad/grad.h"
#include "grad/reach.h"
#include "support/hash.h"

#include <math.h>
#include <string.h>

typedef struct Slope {
    double value;
    bool smooth; /* two steps agree: no kink nearby */
    const char *error;
} Slope;

static int loss_output(const Unit *unit)
{
    for (int i = 0; i < unit->output_count; i++)
        if (unit->outputs[i].kind == OUTPUT_LOSS)
            return i;
    return -1;
}

static double direction(const Case *test, int formal, int64_t element)
{
    return (double)(int64_t)(hash_mix(hash_mix(test->context.seed, (uint64_t)formal), (uint64_t)element) % 2001) / 1000 - 1;
}

static double loss_at(const Case *test, Tape *tape, int formal, double step, const char **error)
{
    const Unit *main = test->program->main;
    Arena *arena = arena_new();
    Value *inputs = arena_memdup(arena, test->inputs, (size_t)main->formal_count * sizeof *inputs);
    inputs[formal].real = ARENA_ARRAY(arena, double, inputs[formal].count + 1);
    for (int64_t i = 0; i < inputs[formal].count; i++)
        inputs[formal].real[i] = test->inputs[formal].real[i] + step * direction(test, formal, i);
    InterpContext context = test->context;
    context.replay = tape_replay;
    context.user = tape;
    tape->next = 0;
    Value *found = ARENA_ARRAY(arena, Value, main->output_count + 1);
    const char *message = interp_run(arena, main, &context, inputs, found, NULL);
    double loss = NAN;
    if (message)
        *error = arena_strdup(test->arena, message);
    else
        loss = found[loss_output(main)].real[0];
    arena_free(arena);
    return loss;
}

/* Central differences at h, h/2 and h/4, and Richardson's combination of the first two. Where the estimates disagree there is a kink. */
static Slope slope_along(const Case *test, Tape *tape, int formal)
{
    Slope slope = {0};
    double difference[3];
    double h = 2e-4;
    for (int i = 0; i < 3; i++, h /= 2)
        difference[i] = (loss_at(test, tape, formal, h, &slope.error) - loss_at(test, tape, formal, -h, &slope.error)) / (2 * h);
    const double first = (4 * difference[1] - difference[0]) / 3, second = (4 * difference[2] - difference[1]) / 3;
    slope.value = second;
    slope.smooth = fabs(first - second) <= 2e-6 * (1 + fabs(second));
    return slope;
}

/* The integers of the unperturbed program, in the order of its own run. */
static const char *record(const Case *test, Tape *tape)
{
    const Unit *main = test->program->main;
    InterpContext context = test->context;
    context.replay = tape_record;
    context.user = tape;
    Value *found = ARENA_ARRAY(test->arena, Value, main->output_count + 1);
    return interp_run(test->arena, main, &context, test->inputs, found, NULL);
}

static Check compare_formal(const Case *test, Tape *tape, int formal, const Value *gradient, int *kinks)
{
    double dot = 0;
    for (int64_t i = 0; i < gradient->count; i++)
        dot += gradient->real[i] * direction(test, formal, i);
    const Slope slope = slope_along(test, tape, formal);
    if (slope.error)
        return (Check){CHECK_FAILED, slope.error};
    const char *name = test->program->main->tensors[test->program->main->formals[formal]].name;
    if (!isfinite(dot))
        return (Check){CHECK_FAILED, arena_printf(test->arena, "the gradient of %s is %g", name, dot)};
    if (!slope.smooth) {
        ++*kinks;
        return (Check){CHECK_PASSED, NULL};
    }
    if (fabs(dot - slope.value) > 1e-5 * (1 + fabs(slope.value)))
        return (Check){CHECK_FAILED, arena_printf(test->arena, "%s: slope %.12g, finite differences %.12g", name, dot, slope.value)};
    return (Check){CHECK_PASSED, NULL};
}

/* What no loss reaches has a gradient of 0, but for rounding where a value cancels itself. */
static const char *unreached_differs(const Case *test, const bool *reached, int formal, const Value *gradient)
{
    for (int64_t i = 0; !reached[formal] && i < gradient->count; i++)
        if (!(fabs(gradient->real[i]) <= 1e-4))
            return arena_printf(test->arena, "no loss reaches %s, but its gradient is %g", test->program->main->tensors[test->program->main->formals[formal]].name,
                                gradient->real[i]);
    return NULL;
}

Check check_grad(const Case *test)
{
    const int loss = loss_output(test->program->main);
    if (loss < 0 || !isfinite(test->expected[loss].real[0]))
        return (Check){CHECK_SKIPPED, "the loss is not finite"};
    Program *program = program_copy(test->arena, test->interner, test->program);
    const int formals = program->main->formal_count, outputs = program->main->output_count;
    bool *wanted = ARENA_ARRAY(test->arena, bool, formals + 1);
    int wanted_count = 0;
    for (int i = 0; i < formals; i++) {
        wanted[i] = program->main->tensors[program->main->formals[i]].type == T_REAL;
        wanted_count += wanted[i];
    }
    const char *message = NULL;
    const bool *reached = reach_formals(test->arena, program);
    if (wanted_count == 0)
        return (Check){CHECK_SKIPPED, "nothing to differentiate by"};
    if (!grad_program(program, &(GradOptions){.wanted = wanted}, &message))
        return (Check){CHECK_FAILED, message};
    if ((message = program_verify(program)))
        return (Check){CHECK_FAILED, arena_printf(test->arena, "the derivative is malformed: %s", message)};
    const Unit *main = program->main;
    Value *found = ARENA_ARRAY(test->arena, Value, main->output_count + 1);
    if ((message = interp_run(test->arena, main, &test->context, test->inputs, found, NULL)))
        return (Check){CHECK_FAILED, message};
    for (int i = 0; i < outputs; i++) /* values are preserved */
        if ((message = values_differ(test->arena, main->outputs[i].name, &test->expected[i], &found[i], 1e-12)))
            return (Check){CHECK_FAILED, message};
    Tape tape = {.arena = test->arena};
    if ((message = record(test, &tape)))
        return (Check){CHECK_FAILED, message};
    int kinks = 0;
    for (int i = outputs; i < main->output_count; i++) {
        if (main->outputs[i].kind != OUTPUT_GRAD)
            continue;
        if ((message = unreached_differs(test, reached, main->outputs[i].formal, &found[i])))
            return (Check){CHECK_FAILED, message};
        const Check check = compare_formal(test, &tape, main->outputs[i].formal, &found[i], &kinks);
        if (check.status != CHECK_PASSED)
            return check;
        wanted_count--;
    }
    if (wanted_count > 0)
        return (Check){CHECK_FAILED, "a wanted gradient is missing"};
    return kinks ? (Check){CHECK_SKIPPED, "kinks in some directions"} : (Check){CHECK_PASSED, NULL};
}
