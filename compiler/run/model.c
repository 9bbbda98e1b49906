#include "run/model.h"

#include "lower/verdict.h"
#include "opt/passes.h"

bool model_lower(const BfmContext *context, Module *module, const Node *node, Mode mode, ModelProgram *model, BfmError *error)
{
    const LowerOptions options = {.mode = mode};
    *model = (ModelProgram){module, node, NULL};
    arena_purpose(context->arena, arena_printf(context->arena, "model `%s` written out", node->name));
    passes_begin(context->watch);
    model->lowered = lower_model(module, node, &options);
    if (!model->lowered || diag_errors(context->diags) > 0)
        return context_rejected(error);
    passes_watch(model->lowered->program, context->watch);
    pass_stage(PASS_lower, model->lowered->program->main);
    return true;
}

bool model_open(const BfmContext *context, const Target *target, const Overrides *overrides, Mode mode, ModelProgram *model, BfmError *error)
{
    Module *module = context_module(context, target, overrides, error);
    if (!module)
        return false;
    if (diag_errors(context->diags) > 0)
        return context_rejected(error);
    const Node *node = context_pick(context, module, target, NODE_MODEL, error);
    return node && model_lower(context, module, node, mode, model, error);
}

bool model_again(const BfmContext *context, const ModelProgram *from, Mode mode, ModelProgram *model, BfmError *error)
{
    return model_lower(context, from->module, from->model, mode, model, error);
}

bool model_masked(const BfmContext *context, const ModelProgram *from, Mode mode, ModelProgram *model, BfmError *error)
{
    const LowerOptions options = {.mode = mode, .masks = true};
    *model = *from;
    model->lowered = lower_model(model->module, model->model, &options);
    if (!model->lowered)
        return context_rejected(error);
    passes_watch(model->lowered->program, context->watch);
    return true;
}

bool model_evaluated(const BfmContext *context, ModelProgram *model, BfmError *error)
{
    const Effect effect = verdict_of(context->arena, model->lowered).effect;
    if (effect_causal(effect) && effect_batch_independent(effect)) /* padding stands behind the last position: nobody sees it */
        return true;
    const ModelProgram plain = *model;
    return model_masked(context, &plain, MODE_EVAL, model, error);
}

bool model_others(const BfmContext *context, const ModelProgram *from, Mode mode, OtherModes *others, BfmError *error)
{
    others->count = 0;
    for (int m = 0; m < MODE_COUNT; m++) {
        if ((Mode)m == mode)
            continue;
        const LowerOptions options = {.mode = (Mode)m};
        const Lowered *lowered = lower_model(from->module, from->model, &options);
        if (!lowered || diag_errors(context->diags) > 0)
            return context_rejected(error);
        others->lowered[others->count++] = lowered;
    }
    return true;
}

static bool has_loss(const Unit *main)
{
    for (int o = 0; o < main->output_count; o++)
        if (main->outputs[o].kind == OUTPUT_LOSS)
            return true;
    return false;
}

bool model_differentiate(const BfmContext *context, const ModelProgram *model, bool simplified, BfmError *error)
{
    Program *program = model->lowered->program;
    const char *message = NULL;
    arena_purpose(context->arena, arena_printf(context->arena, "the gradients of model `%s`", model->model->name));
    if (!has_loss(program->main))
        return bfm_error_set(error, BFM_ERROR_INPUT, "model `%s` has no loss to differentiate: end it with `head()`", model->model->name);
    return order_derivative(program, simplified, &message) || bfm_error_set(error, BFM_ERROR_INPUT, "model `%s`: %s", model->model->name, message);
}

const Compiled *model_compile(const BfmContext *context, const ModelProgram *model, Mode mode, BfmError *error)
{
    const bool train = mode == MODE_TRAIN && model->lowered->cross_entropy >= 0;
    if (train)
        order_losses(model->lowered);
    else
        order_forward(model->lowered, true);
    if (train && !model_differentiate(context, model, true, error))
        return NULL;
    arena_purpose(context->arena, arena_printf(context->arena, "the kernels of model `%s`", model->model->name));
    return compile_program(context->arena, NULL, model->lowered->program, NULL, error);
}
