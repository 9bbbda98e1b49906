/* The passes against the program as it is: values of all outputs in double precision, and gradients with and without passes around differentiation. */
#include "engines.h"

#include "grad/grad.h"
#include "opt/opt.h"

typedef struct Path {
    const char *name;
    bool before, after; /* opt_simplify in that phase */
    bool prologues, grad;
} Path;

static const Path paths[] = {
    {"simplified", true, false, false, false},
    {"simplified twice", true, true, false, false},
    {"simplified twice, prologues", true, true, true, false},
    {"differentiated, then simplified", false, true, false, true},
    {"simplified, differentiated", true, false, false, true},
    {"simplified, differentiated, simplified", true, true, true, true},
};
enum { PATH_COUNT = sizeof paths / sizeof *paths };

/* The values of one path; outputs beyond those of the program are gradients, in order of formals. NULL and *found set, or a message. */
static const char *path_run(const Case *test, const Path *path, Program *program, Value **found)
{
    const char *message = NULL;
    if (path->before)
        opt_simplify(program, &(OptOptions){.phase = OPT_BEFORE_GRAD});
    bool *wanted = ARENA_ARRAY(test->arena, bool, program->main->formal_count + 1);
    for (int i = 0; i < program->main->formal_count; i++)
        wanted[i] = true;
    if (path->grad && !grad_program(program, &(GradOptions){.wanted = wanted}, &message))
        return message;
    if (path->after)
        opt_simplify(program, &(OptOptions){.phase = OPT_AFTER_GRAD, .prologues = path->prologues});
    message = program_verify(program);
    if (message)
        return arena_printf(test->arena, "malformed: %s", message);
    *found = ARENA_ARRAY(test->arena, Value, program->main->output_count + 1);
    return interp_run(test->arena, program->main, &test->context, test->inputs, *found, NULL);
}

/* Integers that single precision changes may hang on the last digit of double precision too. */
static bool integers_hang(const Case *test)
{
    const Unit *main = test->program->main;
    Value *values = ARENA_ARRAY(test->arena, Value, main->output_count + 1);
    Tape tape = {.arena = test->arena};
    InterpContext context = test->context;
    context.replay = tape_record, context.user = &tape;
    if (interp_run(test->arena, main, &context, test->inputs, values, NULL))
        return true;
    context.precision = INTERP_F32, context.replay = tape_replay;
    return interp_run(test->arena, main, &context, test->inputs, values, NULL) || tape.changed > 0 || tape.broken;
}

static bool has_loss(const Unit *unit)
{
    for (int o = 0; o < unit->output_count; o++)
        if (unit->outputs[o].kind == OUTPUT_LOSS)
            return true;
    return false;
}

Check check_opt(const Case *test)
{
    const Unit *main = test->program->main;
    if (integers_hang(test))
        return (Check){CHECK_SKIPPED, "precision decides an integer"};
    Value *plain = NULL;
    Program *reference = program_copy(test->arena, test->interner, test->program);
    const bool loss = has_loss(main);
    const char *message = path_run(test, &(Path){.name = "plain", .grad = loss}, reference, &plain);
    for (int p = 0; p < PATH_COUNT && !message; p++) {
        if (paths[p].grad && !loss)
            continue;
        Value *found = NULL;
        Program *copy = program_copy(test->arena, test->interner, test->program);
        message = path_run(test, &paths[p], copy, &found);
        for (int o = 0; o < copy->main->output_count && !message; o++)
            message = values_differ(test->arena, copy->main->outputs[o].name, &plain[o], &found[o], 1e-8);
        if (message)
            message = arena_printf(test->arena, "%s: %s", paths[p].name, message);
    }
    return message ? (Check){CHECK_FAILED, message} : (Check){CHECK_PASSED, NULL};
}
