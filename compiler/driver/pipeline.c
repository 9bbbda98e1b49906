/* The index of the compiler: what happens to a model, in order. Each line is a folder of compiler/. */
#include "driver/pipeline.h"

#include "lower/verdict.h"
#include "opt/passes.h"

static bool lower(Driver *driver, ModelProgram *model, Mode mode, int *code)
{
    const LowerOptions options = {.mode = mode};
    arena_purpose(driver->arena, arena_printf(driver->arena, "model `%s` written out", model->model->name));
    passes_begin(driver->watch);
    model->lowered = lower_model(model->module, model->model, &options); /* lower/: names, dimensions, shapes, domains; one unit for equal sub-layers */
    *code = driver_diagnostics(driver);
    if (!model->lowered || *code != CODE_OK) {
        *code = driver->json ? report_print(driver, report_new(driver), CODE_INPUT) : CODE_INPUT;
        return false;
    }
    passes_watch(model->lowered->program, driver->watch);
    pass_stage(PASS_lower, model->lowered->program->main);
    return true;
}

bool pipeline_model(Driver *driver, const char *argument, Mode mode, ModelProgram *model, int *code)
{
    const Target target = target_parse(driver->arena, argument);
    model->module = driver_module(driver, target.path, code); /* parse/, sema/module: the file and what it uses */
    if (!model->module)
        return false;
    if (diag_errors(driver->diags) > 0) {
        *code = driver_diagnostics(driver);
        if (driver->json)
            *code = report_print(driver, report_new(driver), *code);
        return false;
    }
    model->model = driver_pick(driver, model->module, &target, NODE_MODEL, code);
    return model->model && lower(driver, model, mode, code);
}

bool pipeline_again(Driver *driver, const ModelProgram *from, Mode mode, ModelProgram *model, int *code)
{
    *model = *from;
    return lower(driver, model, mode, code);
}

bool pipeline_masked(Driver *driver, const ModelProgram *from, Mode mode, ModelProgram *model, int *code)
{
    const LowerOptions options = {.mode = mode, .masks = true};
    *model = *from;
    model->lowered = lower_model(model->module, model->model, &options);
    if (model->lowered)
        passes_watch(model->lowered->program, driver->watch);
    *code = model->lowered ? CODE_OK : driver_diagnostics(driver);
    return model->lowered != NULL;
}

bool pipeline_evaluated(Driver *driver, ModelProgram *model, int *code)
{
    const Effect effect = verdict_of(driver->arena, model->lowered).effect;
    if (effect_causal(effect) && effect_batch_independent(effect)) /* padding stands behind the last position: nobody sees it */
        return true;
    const ModelProgram plain = *model;
    return pipeline_masked(driver, &plain, MODE_EVAL, model, code);
}

bool pipeline_others(Driver *driver, const ModelProgram *from, Mode mode, OtherModes *others, int *code)
{
    others->count = 0;
    for (int m = 0; m < MODE_COUNT; m++) {
        if ((Mode)m == mode)
            continue;
        const LowerOptions options = {.mode = (Mode)m};
        const Lowered *lowered = lower_model(from->module, from->model, &options);
        if (!lowered || diag_errors(driver->diags) > 0) {
            *code = driver_diagnostics(driver);
            *code = driver->json ? report_print(driver, report_new(driver), CODE_INPUT) : CODE_INPUT;
            return false;
        }
        others->lowered[others->count++] = lowered;
    }
    return true;
}

bool pipeline_differentiate(Driver *driver, ModelProgram *model, bool simplified, int *code)
{
    Program *program = model->lowered->program;
    const char *message = NULL;
    arena_purpose(driver->arena, arena_printf(driver->arena, "the gradients of model `%s`", model->model->name));
    bool loss = false;
    for (int i = 0; i < program->main->output_count; i++)
        loss = loss || program->main->outputs[i].kind == OUTPUT_LOSS;
    if (!loss) {
        *code = driver_error(driver, BFM_ERROR_INPUT, "model `%s` has no loss to differentiate: end it with `head()`", model->model->name);
        return false;
    }
    if (!order_derivative(program, simplified, &message)) {
        *code = driver_error(driver, BFM_ERROR_INPUT, "model `%s`: %s", model->model->name, message);
        return false;
    }
    return true;
}

const Compiled *pipeline_compile(Driver *driver, ModelProgram *model, Mode mode, int *code)
{
    BfmError error;
    const bool train = mode == MODE_TRAIN && model->lowered->cross_entropy >= 0;
    if (train)
        order_losses(model->lowered);
    else
        order_forward(model->lowered, true);
    if (train && !pipeline_differentiate(driver, model, true, code))
        return NULL;
    arena_purpose(driver->arena, arena_printf(driver->arena, "the kernels of model `%s`", model->model->name));
    const Compiled *compiled = compile_program(driver->arena, NULL, model->lowered->program, NULL, &error); /* opt/flatten, opt/schedule, codegen/: plan and functions */
    *code = compiled ? CODE_OK : driver_fail(driver, &error);
    return compiled;
}
