/* bfmc eval: the loss of a run's model on a part of a dataset. */
#include "driver/verbs.h"

#include <bfm/run.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static int report(Driver *driver, const BfmEvaluation *e, int64_t step)
{
    const char *part = option_text(driver->options, OPT_PART);
    if (driver->json) {
        char *values = bfm_evaluation_json(e);
        json_t *report = report_of(driver, values);
        bfm_text_free(values);
        json_object_set_new(report, "step", json_integer(step));
        json_object_set_new(report, "part", json_string(part));
        return report_print(driver, report, CODE_OK);
    }
    printf("step %lld on %s, %lld token%s of %lld document%s\nnats per token  %.4f", (long long)step, part, (long long)e->tokens, plural(e->tokens), (long long)e->documents,
           plural(e->documents), e->nats);
    if (isfinite(e->interval))
        printf(" ± %.4f", e->interval);
    else
        fputs(e->documents < 2 ? "  (no interval: it is taken over documents)" : "  (no interval: the loss is no mean over targets)", stdout);
    putchar('\n');
    if (isfinite(e->perplexity))
        printf("perplexity      %.3f\n", e->perplexity);
    if (isfinite(e->bits_per_byte))
        printf("bits per byte   %.4f\n", e->bits_per_byte);
    if (e->leak == BFM_LEAK_POSSIBLE)
        fputs("may be leaky: the model cannot be shown to be causal; `bfmc check` shows where\n", stdout);
    if (e->leak == BFM_LEAK_SHOWN)
        fputs("leaky: the model reads the future and sees what it predicts; `bfmc check` shows the way\n", stdout);
    return CODE_OK;
}

static BfmDataPart part_of(const char *name)
{
    int part = BFM_DATA_TRAIN;
    while (part + 1 < BFM_DATA_PARTS && strcmp(bfm_data_part_name((BfmDataPart)part), name) != 0)
        part++;
    return (BfmDataPart)part;
}

int verb_eval(Driver *driver)
{
    const Options *options = driver->options;
    const BfmEvaluateOptions how = {.engine = option_text(options, OPT_ENGINE),
                                    .threads = (int)option_whole(options, OPT_THREADS, 0),
                                    .part = part_of(option_text(options, OPT_PART)),
                                    .tokens = option_whole(options, OPT_EVAL_TOKENS, 0)};
    BfmEvaluation evaluation;
    BfmError error;
    int64_t step;
    int code;
    if (!driver_context(driver, &code))
        return code;
    BfmRun *run = bfm_run_new(driver->context, options->arguments[0]);
    driver->subject = bfm_run_module(run);
    code = bfm_evaluate(run, options->arguments[1], &how, &evaluation, &step, &error) ? report(driver, &evaluation, step) : driver_fail(driver, &error);
    driver->subject = NULL;
    bfm_run_free(run);
    return code;
}
