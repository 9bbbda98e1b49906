#include "run/order.h"

#include "grad/grad.h"
#include "opt/passes.h"

static const OptOptions BEFORE = {.phase = OPT_BEFORE_GRAD}, AFTER = {.phase = OPT_AFTER_GRAD, .prologues = true};

static bool has_loss(const Unit *main)
{
    for (int o = 0; o < main->output_count; o++)
        if (main->outputs[o].kind == OUTPUT_LOSS)
            return true;
    return false;
}

void order_losses(Lowered *lowered)
{
    if (lowered->result != lowered->program->main->output_count - 1)
        return;
    opt_drop_outputs(lowered->program->main, OUTPUT_RESULT);
    lowered->result = -1;
}

void order_forward(Lowered *lowered, bool simplified)
{
    order_losses(lowered);
    opt_padding(lowered->program);
    if (simplified)
        opt_simplify(lowered->program, &BEFORE);
}

void order_evaluation(Lowered *lowered, bool simplified)
{
    order_losses(lowered);
    lowered->terms = lowered->points = -1;
    if (lowered->cross_entropy >= 0)
        (void)opt_mean_terms(lowered->program, lowered->cross_entropy, &lowered->terms, &lowered->points); /* so that documents can be told apart */
    opt_padding(lowered->program);
    if (simplified)
        opt_simplify(lowered->program, &BEFORE);
}

static bool differentiate(Program *program, const GradOptions *options, bool simplified, bool backward, const char **message)
{
    opt_padding(program);
    if (simplified)
        opt_simplify(program, &BEFORE);
    if (backward && !grad_program(program, options, message))
        return false;
    if (backward)
        pass_stage(PASS_differentiate, program->main);
    if (simplified)
        opt_simplify(program, &AFTER);
    return true;
}

bool order_derivative(Program *program, bool simplified, const char **message) { return differentiate(program, NULL, simplified, true, message); }

/* Parameters and streams; formals keep their positions through passes. */
static const bool *wanted_of(const Program *program)
{
    const Unit *main = program->main;
    bool *wanted = ARENA_ARRAY(program->arena, bool, main->formal_count + 1);
    for (int f = 0; f < main->formal_count; f++) {
        const Tensor *tensor = &main->tensors[main->formals[f]];
        wanted[f] = tensor->type == T_REAL && (tensor->role == TENSOR_PARAM || tensor->rank == 3);
    }
    return wanted;
}

bool order_step(Lowered *lowered, const StepOptions *options, const char **message)
{
    Program *program = lowered->program;
    const bool losses = options->model && has_loss(program->main);
    if (losses)
        order_losses(lowered);
    const GradOptions grad = {.wanted = options->model ? NULL : wanted_of(program), .seed_results = !options->model || (options->seeded && !losses)};
    return differentiate(program, &grad, !options->plain, options->backward, message);
}
