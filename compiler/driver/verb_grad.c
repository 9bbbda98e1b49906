/* bfmc grad: loss, logits and gradients of a model for given weights and tokens. */
#include "driver/model.h"
#include "file/json/json_file.h"
#include "file/npy.h"
#include "run/runner.h"
#include "driver/verbs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Grad {
    Driver *driver;
    ModelProgram model;
    OtherModes others;
    Engine *engine;
    Store *store;
    Runner *runner;
    BfmNpyTokens tokens;
} Grad;

static bool read_weights(Grad *grad, BfmError *error)
{
    BfmSafetensors *file = bfm_safetensors_open(option_text(grad->driver->options, OPT_WEIGHTS), error);
    const bool ok = file && store_load(grad->store, file, false, error);
    bfm_safetensors_close(file);
    return ok;
}

static bool read_tokens(Grad *grad, BfmError *error)
{
    const Lowered *lowered = grad->model.lowered;
    const char *path = option_text(grad->driver->options, OPT_TOKENS);
    if (!bfm_npy_read_tokens(path, lowered->vocab, &grad->tokens, error))
        return false;
    if (lowered->context == 0 || grad->tokens.columns - 1 <= lowered->context)
        return true;
    return bfm_error_set(error, BFM_ERROR_INPUT, "%s has %lld column%s, %lld input%s a row; the model's context is %lld", path, (long long)grad->tokens.columns,
                         bfm_plural(grad->tokens.columns), (long long)grad->tokens.columns - 1, bfm_plural(grad->tokens.columns - 1), (long long)lowered->context);
}

static bool has_padding(const BfmNpyTokens *tokens)
{
    for (int64_t i = 0; i < tokens->rows * tokens->columns; i++)
        if (tokens->data[i] < 0)
            return true;
    return false;
}

static bool run_model(Grad *grad, BfmError *error)
{
    const Options *options = grad->driver->options;
    const EngineKind *kind = engine_kind(option_text(options, OPT_ENGINE));
    const uint64_t seed = (uint64_t)option_whole(options, OPT_SEED, 1);
    grad->store = store_new(grad->driver->context.arena, grad->model.lowered, &grad->others, kind->wide, error);
    if (!grad->store || !read_weights(grad, error) || !store_init(grad->store, seed, false, true, error))
        return false;
    grad->engine = engine_new(grad->driver->context.arena, kind, kind->wide, (int)option_whole(options, OPT_THREADS, 0), error);
    grad->runner = grad->engine ? runner_new(grad->driver->context.arena, grad->engine, grad->model.lowered, grad->store, error) : NULL;
    return grad->runner && runner_bind(grad->runner, grad->tokens.rows, grad->tokens.columns - 1, error) &&
           runner_run(grad->runner, grad->tokens.data, NULL, (RunKey){.seed = seed}, error);
}

/* ---- the results ---- */

typedef struct Results {
    BfmTensor *tensors;
    int count;
    double loss, cross_entropy; /* where two of the tensors point */
    float loss_narrow, cross_entropy_narrow;
} Results;

static void add_scalar(Grad *grad, Results *results, const char *name, double *wide, float *narrow)
{
    *narrow = (float)*wide;
    const bool is_wide = grad->store->wide;
    results->tensors[results->count++] = (BfmTensor){.name = name, .dtype = is_wide ? BFM_DTYPE_F64 : BFM_DTYPE_F32, .data = is_wide ? (void *)wide : (void *)narrow};
}

/* The model's result, [b, l, vocab] for a language model. */
static void add_logits(Grad *grad, Results *results)
{
    const Unit *unit = grad->runner->unit;
    const int output = grad->model.lowered->result;
    const Tensor *tensor = &unit->tensors[unit->outputs[output].tensor];
    const DimEnv env = {.value = {[DIM_B] = grad->runner->batch, [DIM_L] = grad->runner->length}};
    BfmTensor *result = &results->tensors[results->count++];
    *result = (BfmTensor){
        .name = "logits", .dtype = grad->store->wide ? BFM_DTYPE_F64 : BFM_DTYPE_F32, .rank = tensor->rank, .data = executable_output(grad->runner->executable, output)};
    for (int i = 0; i < tensor->rank; i++)
        result->shape[i] = dim_eval(tensor->extent[i], &env);
}

static void add_gradients(Grad *grad, Results *results)
{
    const Unit *unit = grad->runner->unit;
    for (int o = 0; o < unit->output_count; o++) {
        if (unit->outputs[o].kind != OUTPUT_GRAD)
            continue;
        const StoreEntry *entry = store_find(grad->store, grad->model.lowered->program->bindings[unit->outputs[o].formal].path);
        BfmTensor *tensor = &results->tensors[results->count++];
        *tensor = store_tensor(grad->store, entry, entry->path);
        tensor->data = executable_output(grad->runner->executable, o);
    }
}

static int write_results(Grad *grad)
{
    Results results = {.tensors = ARENA_ARRAY(grad->driver->context.arena, BfmTensor, grad->runner->unit->output_count + 3)};
    results.loss = runner_loss(grad->runner);
    results.cross_entropy = runner_cross_entropy(grad->runner);
    add_scalar(grad, &results, "loss", &results.loss, &results.loss_narrow);
    if (grad->model.lowered->cross_entropy >= 0)
        add_scalar(grad, &results, "cross_entropy", &results.cross_entropy, &results.cross_entropy_narrow);
    add_logits(grad, &results);
    add_gradients(grad, &results);
    BfmError error;
    if (!bfm_safetensors_write(option_text(grad->driver->options, OPT_OUT), results.tensors, results.count, NULL, 0, NULL, &error))
        return driver_fail(grad->driver, &error);
    if (grad->driver->json) {
        json_t *report = report_new(grad->driver);
        json_object_set_new(report, "loss", bfm_json_number(results.loss));
        json_object_set_new(report, "out", json_string(option_text(grad->driver->options, OPT_OUT)));
        return report_print(grad->driver, report, CODE_OK);
    }
    driver_note(grad->driver, "loss %.6f; %d tensor%s written to %s", results.loss, results.count, bfm_plural(results.count), option_text(grad->driver->options, OPT_OUT));
    return CODE_OK;
}

static int grad_model(Grad *grad)
{
    const Options *options = grad->driver->options;
    const EngineKind *kind = engine_kind(option_text(options, OPT_ENGINE));
    int code;
    BfmError error;
    const BfmContext *context = &grad->driver->context;
    if (!driver_model(grad->driver, options->arguments[0], MODE_TRAIN, &grad->model, &code))
        return code;
    if (!model_others(context, &grad->model, MODE_TRAIN, &grad->others, &error) || !read_tokens(grad, &error))
        return driver_fail(grad->driver, &error);
    const ModelProgram plain = grad->model;
    if (has_padding(&grad->tokens) && !model_masked(context, &plain, MODE_TRAIN, &grad->model, &error))
        return driver_fail(grad->driver, &error);
    if (!model_differentiate(context, &grad->model, kind->simplified, &error))
        return driver_fail(grad->driver, &error);
    return run_model(grad, &error) ? write_results(grad) : driver_fail(grad->driver, &error);
}

int verb_grad(Driver *driver)
{
    static const OptionId needed[] = {OPT_WEIGHTS, OPT_TOKENS, OPT_OUT};
    Grad grad = {.driver = driver};
    int code = driver_need(driver, needed, sizeof needed / sizeof *needed);
    code = code == CODE_OK ? grad_model(&grad) : code;
    runner_free(grad.runner);
    engine_free(grad.engine);
    store_free(grad.store);
    bfm_npy_tokens_deinit(&grad.tokens);
    return code;
}
