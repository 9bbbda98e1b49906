/* bfmc eval: the loss of a run's model on a part of a dataset. */
#include "checkpoint/checkpoint.h"
#include "checkpoint/json_file.h"
#include "driver/evaluate.h"
#include "driver/pipeline.h"
#include "driver/run_folder.h"
#include "driver/verbs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Eval {
    Driver *driver;
    RunFolder folder;
    json_t *run;            /* run.json */
    ModelProgram model;
    BfmCheckpoint *checkpoint;
    BfmDataset *data;
    Engine *engine;
    Store *store;
    Runner *runner;
    Evaluation evaluation;
} Eval;

static bool open_run(Eval *eval, BfmError *error)
{
    int64_t step;
    if (!run_folder_find(eval->driver->arena, eval->driver->options->arguments[0], &eval->folder, &step, error))
        return false;
    eval->run = bfm_json_read(eval->folder.json, error);
    if (!eval->run)
        return false;
    eval->checkpoint = step < 0 ? bfm_checkpoint_latest(eval->folder.checkpoints, NULL, error)
                                : bfm_checkpoint_open(arena_printf(eval->driver->arena, "%s/%lld", eval->folder.checkpoints, (long long)step), error);
    return eval->checkpoint != NULL;
}

static int read_model(Eval *eval, BfmError *error)
{
    const char *name;
    int code;
    if (!bfm_json_get_string(eval->run, eval->folder.json, "model", &name, error))
        return driver_fail(eval->driver, error);
    return pipeline_model(eval->driver, arena_printf(eval->driver->arena, "%s:%s", eval->folder.model, name), MODE_EVAL, &eval->model, &code) ? CODE_OK : code;
}

/* The layer states, which some definitions read in evaluation. */
static bool load_states(Eval *eval, BfmError *error)
{
    for (int i = 0; i < eval->store->count; i++) {
        const StoreEntry *entry = &eval->store->entries[i];
        if (entry->role != TENSOR_STATE)
            continue;
        const BfmTensor *tensor = bfm_safetensors_expect(eval->checkpoint->state, arena_printf(eval->driver->arena, "layer/%s", entry->path), entry->rank, entry->shape, error);
        if (!tensor || !bfm_tensor_read_f32(tensor, entry->data, error))
            return false;
    }
    return true;
}

static bool evaluate(Eval *eval, BfmError *error)
{
    Driver *driver = eval->driver;
    const Options *options = driver->options;
    const char *name = option_text(options, OPT_PART);
    int64_t batch, context;
    eval->data = bfm_dataset_open(options->arguments[1], error);
    if (!eval->data || !bfm_json_get_int(eval->run, eval->folder.json, "batch", 1, INT32_MAX, &batch, error) ||
        !bfm_json_get_int(eval->run, eval->folder.json, "context", 1, INT32_MAX, &context, error))
        return false;
    const BfmPart part = strcmp(name, "train") == 0 ? BFM_PART_TRAIN : strcmp(name, "valid") == 0 ? BFM_PART_VALID : BFM_PART_TEST;
    const BfmTokens *tokens = eval->data->parts[part];
    if (!tokens)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s has no part `%s`", options->arguments[1], name);
    if (eval->model.lowered->vocab > 0 && bfm_tokens_info(tokens)->vocab > eval->model.lowered->vocab)
        return bfm_error_set(error, BFM_ERROR_INPUT, "the data's tokenizer has %lld ids and the model's vocab is %lld", (long long)bfm_tokens_info(tokens)->vocab,
                             (long long)eval->model.lowered->vocab);
    pipeline_losses_only(&eval->model, true, engine_kind(option_text(options, OPT_ENGINE))->simplified);
    eval->store = store_new(driver->arena, eval->model.lowered, false, error);
    if (!eval->store || !store_load(eval->store, eval->checkpoint->model, error) || !load_states(eval, error))
        return false;
    eval->engine = engine_new(driver->arena, engine_kind(option_text(options, OPT_ENGINE)), false, (int)option_whole(options, OPT_THREADS, 0), error);
    eval->runner = eval->engine ? runner_new(driver->arena, eval->engine, eval->model.lowered, eval->store, error) : NULL;
    return eval->runner && evaluate_part(eval->runner, tokens, batch, context, option_whole(options, OPT_EVAL_TOKENS, 0), (uint64_t)eval->checkpoint->meta.seed, &eval->evaluation, error);
}

static int report(Eval *eval)
{
    Driver *driver = eval->driver;
    const Evaluation *e = &eval->evaluation;
    if (driver->json) {
        json_t *report = report_new(driver), *values = evaluation_json(e);
        json_object_update(report, values);
        json_decref(values);
        json_object_set_new(report, "step", json_integer(eval->checkpoint->meta.step));
        json_object_set_new(report, "part", json_string(option_text(driver->options, OPT_PART)));
        return report_print(driver, report, CODE_OK);
    }
    Str out = {0};
    str_printf(&out, "step %lld on %s, %lld tokens\nnats per token  %.4f", (long long)eval->checkpoint->meta.step, option_text(driver->options, OPT_PART), (long long)e->tokens, e->nats);
    if (isfinite(e->interval))
        str_printf(&out, " ± %.4f", e->interval);
    str_printf(&out, "\nperplexity      %.3f\n", e->perplexity);
    if (isfinite(e->bits_per_byte))
        str_printf(&out, "bits per byte   %.4f\n", e->bits_per_byte);
    const int code = driver_print(driver, &out);
    str_free(&out);
    return code;
}

static int eval_run(Eval *eval)
{
    BfmError error = {.message = ""};
    if (!open_run(eval, &error))
        return driver_fail(eval->driver, &error);
    const int code = read_model(eval, &error);
    if (code != CODE_OK)
        return code;
    return evaluate(eval, &error) ? report(eval) : driver_fail(eval->driver, &error);
}

int verb_eval(Driver *driver)
{
    Eval eval = {.driver = driver};
    const int code = eval_run(&eval);
    runner_free(eval.runner);
    engine_free(eval.engine);
    store_free(eval.store);
    bfm_dataset_close(eval.data);
    bfm_checkpoint_close(eval.checkpoint);
    json_decref(eval.run);
    return code;
}
