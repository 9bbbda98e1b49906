/* The index of the compiler: what happens to a model, in order. Each line is a folder of compiler/. */
#include "driver/pipeline.h"

#include "grad/grad.h"
#include "lower/verdict.h"
#include "opt/opt.h"

static bool lower(Driver *driver, ModelProgram *model, Mode mode, int *code)
{
    const LowerOptions options = {.mode = mode};
    arena_purpose(driver->arena, arena_printf(driver->arena, "model `%s` written out", model->model->name));
    model->lowered = lower_model(model->module, model->model, &options); /* lower/: names, dimensions, shapes, domains; one unit for equal sub-layers */
    *code = driver_diagnostics(driver);
    if (!model->lowered || *code != CODE_OK) {
        *code = driver->json ? report_print(driver, report_new(driver), CODE_INPUT) : CODE_INPUT;
        return false;
    }
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

void pipeline_losses_only(ModelProgram *model, bool forward, bool simplified)
{
    Lowered *lowered = model->lowered;
    if (lowered->result == lowered->program->main->output_count - 1) /* scores that nobody asks for are never stored */
        opt_drop_outputs(lowered->program->main, OUTPUT_RESULT), lowered->result = -1;
    if (forward && simplified)
        opt_simplify(lowered->program, &(OptOptions){.phase = OPT_BEFORE_GRAD}); /* opt/: as before a derivative that does not come */
}

void pipeline_evaluation(ModelProgram *model, bool simplified)
{
    Lowered *lowered = model->lowered;
    pipeline_losses_only(model, false, simplified);
    lowered->terms = lowered->points = -1;
    if (lowered->cross_entropy >= 0)
        (void)opt_mean_terms(lowered->program, lowered->cross_entropy, &lowered->terms, &lowered->points); /* opt/: so that documents can be told apart */
    if (simplified)
        opt_simplify(lowered->program, &(OptOptions){.phase = OPT_BEFORE_GRAD});
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
    if (simplified)
        opt_simplify(program, &(OptOptions){.phase = OPT_BEFORE_GRAD}); /* opt/: normal form, groups raised */
    if (!grad_program(program, NULL, &message)) {                       /* grad/: reverse mode */
        *code = driver_error(driver, BFM_ERROR_INPUT, "model `%s`: %s", model->model->name, message);
        return false;
    }
    if (simplified)
        opt_simplify(program, &(OptOptions){.phase = OPT_AFTER_GRAD, .prologues = true}); /* opt/: cse, dce, save or recompute */
    return true;
}

const Compiled *pipeline_compile(Driver *driver, ModelProgram *model, Mode mode, int *code)
{
    BfmError error;
    const bool train = mode == MODE_TRAIN && model->lowered->cross_entropy >= 0;
    pipeline_losses_only(model, !train, true);
    if (train && !pipeline_differentiate(driver, model, true, code))
        return NULL;
    arena_purpose(driver->arena, arena_printf(driver->arena, "the kernels of model `%s`", model->model->name));
    const Compiled *compiled = compile_program(driver->arena, NULL, model->lowered->program, NULL, &error); /* opt/flatten, opt/schedule, codegen/: plan and functions */
    *code = compiled ? CODE_OK : driver_fail(driver, &error);
    return compiled;
}
