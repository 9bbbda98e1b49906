/* Loss, logits and gradients of a model for given weights and tokens. */
#include "bfm/tensors.h"

#include "api/internal.h"
#include "file/json/json_file.h"
#include "file/npy.h"
#include "run/model.h"
#include "run/runner.h"

typedef struct Grad {
    const BfmContext *context;
    const BfmGradOptions *options;
    BfmReport *report;
    ModelProgram model;
    OtherModes others;
    const EngineKind *kind;
    Engine *engine;
    Store *store;
    Runner *runner;
    BfmNpyTokens tokens;
} Grad;

static bool read_weights(Grad *grad, BfmError *error)
{
    BfmSafetensors *file = bfm_safetensors_open(grad->options->weights, error);
    const bool ok = file && store_load(grad->store, file, false, error);
    bfm_safetensors_close(file);
    return ok;
}

static bool read_tokens(Grad *grad, BfmError *error)
{
    const Lowered *lowered = grad->model.lowered;
    const char *path = grad->options->tokens;
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
    const EngineKind *kind = grad->kind;
    const uint64_t seed = grad->options->seed;
    grad->store = store_new(grad->context->arena, grad->model.lowered, &grad->others, kind->wide, error);
    if (!grad->store || !read_weights(grad, error) || !store_init(grad->store, seed, false, true, error))
        return false;
    grad->engine = engine_new(grad->context->arena, kind, kind->wide, grad->options->threads, error);
    grad->runner = grad->engine ? runner_new(grad->context->arena, grad->engine, grad->model.lowered, grad->store, error) : NULL;
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

static bool write_results(Grad *grad, BfmError *error)
{
    Results results = {.tensors = ARENA_ARRAY(grad->context->arena, BfmTensor, grad->runner->unit->output_count + 3)};
    results.loss = runner_loss(grad->runner);
    results.cross_entropy = runner_cross_entropy(grad->runner);
    add_scalar(grad, &results, "loss", &results.loss, &results.loss_narrow);
    if (grad->model.lowered->cross_entropy >= 0)
        add_scalar(grad, &results, "cross_entropy", &results.cross_entropy, &results.cross_entropy_narrow);
    add_logits(grad, &results);
    add_gradients(grad, &results);
    if (!bfm_safetensors_write(grad->options->out, results.tensors, results.count, NULL, 0, NULL, error))
        return false;
    json_t *json = json_object();
    json_object_set_new(json, "loss", bfm_json_number(results.loss));
    json_object_set_new(json, "out", json_string(grad->options->out));
    *grad->report = api_report(json, "loss %.6f; %d tensor%s written to %s", results.loss, results.count, bfm_plural(results.count), grad->options->out);
    return true;
}

static bool grad_model(Grad *grad, const BfmModule *module, const char *name, BfmError *error)
{
    const BfmContext *context = grad->context;
    const Target target = {.path = module->module->files[0].path, .name = name};
    const Node *node = context_pick(context, module->module, &target, NODE_MODEL, error);
    if (!node || !model_lower(context, module->module, node, MODE_TRAIN, &grad->model, error) || !model_others(context, &grad->model, MODE_TRAIN, &grad->others, error) ||
        !read_tokens(grad, error))
        return false;
    const ModelProgram plain = grad->model;
    if (has_padding(&grad->tokens) && !model_masked(context, &plain, MODE_TRAIN, &grad->model, error))
        return false;
    return model_differentiate(context, &grad->model, grad->kind->simplified, error) && run_model(grad, error) && write_results(grad, error);
}

bool bfm_grad(BfmModule *module, const char *model, const BfmGradOptions *options, BfmReport *report, BfmError *error)
{
    Grad grad = {.context = &module->context, .options = options, .report = report, .kind = api_engine(options->engine, error)};
    *report = (BfmReport){.text = NULL};
    const bool ok = grad.kind && api_is_sound(module, error) && grad_model(&grad, module, model, error);
    runner_free(grad.runner);
    engine_free(grad.engine);
    store_free(grad.store);
    bfm_npy_tokens_deinit(&grad.tokens);
    return ok;
}
