/* bfmc eval: the loss of a run's model on a part of a dataset. */
#include "file/json/json_file.h"
#include "train/evaluate.h"
#include "train/trained.h"
#include "driver/verbs.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef struct Eval {
    Driver *driver;
    Trained trained;
    BfmDataset *data;
    Engine *engine;
    Runner *runner;
    Evaluation evaluation;
} Eval;

static bool evaluate(Eval *eval, BfmError *error)
{
    Driver *driver = eval->driver;
    const Options *options = driver->options;
    const char *name = option_text(options, OPT_PART);
    int64_t batch, context;
    eval->data = bfm_dataset_open(options->arguments[1], error);
    if (!eval->data || !trained_reads(&driver->context, &eval->trained, eval->data, error) ||
        !bfm_json_get_int(eval->trained.run, eval->trained.folder.json, "batch", 1, INT32_MAX, &batch, error) ||
        !bfm_json_get_int(eval->trained.run, eval->trained.folder.json, "context", 1, INT32_MAX, &context, error))
        return false;
    const BfmPart part = strcmp(name, "train") == 0 ? BFM_PART_TRAIN : strcmp(name, "valid") == 0 ? BFM_PART_VALID : BFM_PART_TEST;
    const BfmTokens *tokens = eval->data->parts[part];
    if (!tokens)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s has no part `%s`", options->arguments[1], name);
    const Leak leak = evaluate_leak(driver->context.arena, eval->trained.model.lowered);
    order_evaluation(eval->trained.model.lowered, engine_kind(option_text(options, OPT_ENGINE))->simplified);
    if (!trained_load(&driver->context, &eval->trained, error))
        return false;
    eval->engine = engine_new(driver->context.arena, engine_kind(option_text(options, OPT_ENGINE)), false, (int)option_whole(options, OPT_THREADS, 0), error);
    eval->runner = eval->engine ? runner_new(driver->context.arena, eval->engine, eval->trained.model.lowered, eval->trained.store, error) : NULL;
    const BfmCheckpointMeta *meta = &eval->trained.checkpoint->meta;
    EvalText text;
    if (!eval->runner || !evaluate_text(driver->context.arena, eval->data, part, option_whole(options, OPT_EVAL_TOKENS, 0), &text, error) ||
        !evaluate_part(&driver->context, eval->runner, &text, batch, context, (RunKey){.seed = (uint64_t)meta->seed, .step = meta->step}, &eval->evaluation, error))
        return false;
    eval->evaluation.leak = leak;
    return !eval->evaluation.bad || bfm_error_set(error, BFM_ERROR_INPUT, "the loss is no finite number: %s", eval->evaluation.bad);
}

static int report(Eval *eval)
{
    Driver *driver = eval->driver;
    const Evaluation *e = &eval->evaluation;
    if (driver->json) {
        json_t *report = report_new(driver), *values = evaluation_json(e);
        json_object_update(report, values);
        json_decref(values);
        json_object_set_new(report, "step", json_integer(eval->trained.checkpoint->meta.step));
        json_object_set_new(report, "part", json_string(option_text(driver->options, OPT_PART)));
        return report_print(driver, report, CODE_OK);
    }
    Str out = {0};
    str_printf(&out, "step %lld on %s, %lld token%s of %lld document%s\nnats per token  %.4f", (long long)eval->trained.checkpoint->meta.step,
               option_text(driver->options, OPT_PART), (long long)e->tokens, bfm_plural(e->tokens), (long long)e->documents, bfm_plural(e->documents), e->nats);
    if (isfinite(e->interval))
        str_printf(&out, " ± %.4f", e->interval);
    else
        str_append(&out, e->documents < 2 ? "  (no interval: it is taken over documents)" : "  (no interval: the loss is no mean over targets)");
    str_append(&out, "\n");
    if (isfinite(e->perplexity))
        str_printf(&out, "perplexity      %.3f\n", e->perplexity);
    if (isfinite(e->bits_per_byte))
        str_printf(&out, "bits per byte   %.4f\n", e->bits_per_byte);
    if (e->leak == LEAK_POSSIBLE)
        str_append(&out, "may be leaky: the model cannot be shown to be causal; `bfmc check` shows where\n");
    if (e->leak == LEAK_SHOWN)
        str_append(&out, "leaky: the model reads the future and sees what it predicts; `bfmc check` shows the way\n");
    const int code = driver_print(driver, &out);
    str_free(&out);
    return code;
}

int verb_eval(Driver *driver)
{
    Eval eval = {.driver = driver};
    BfmError error = {.message = ""};
    const BfmContext *context = &driver->context;
    const bool ok =
        trained_open(context, driver->options->arguments[0], MODE_EVAL, &eval.trained, &error) && model_evaluated(context, &eval.trained.model, &error) && evaluate(&eval, &error);
    const int code = ok ? report(&eval) : driver_fail(driver, &error);
    runner_free(eval.runner);
    engine_free(eval.engine);
    bfm_dataset_close(eval.data);
    trained_close(&eval.trained);
    return code;
}
