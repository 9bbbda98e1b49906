/* bfmc train: options, progress, and what is said at the end. */
#include "driver/progress.h"
#include "driver/stop.h"
#include "driver/verbs.h"

#include <bfm/train.h>

#include <math.h>

typedef struct Show {
    Driver *driver;
    Progress progress;
    bool begun;
} Show;

static bool stop_wanted(void *user)
{
    (void)user;
    return stop_asked();
}

static void show_warnings(void *user)
{
    const Show *show = user;
    (void)driver_diagnostics(show->driver);
}

static void show_event(void *user, const BfmTrainEvent *event)
{
    Show *show = user;
    if (event->kind != BFM_TRAIN_STEP)
        return;
    if (!show->begun)
        show->progress = progress_new(show->driver, event->step_tokens, event->step_flops, event->machine_flops);
    show->begun = true;
    progress_step(&show->progress, event->step, event->loss, event->seconds, event->seconds_left);
}

static void pause_progress(void *user)
{
    Show *show = user;
    if (show->begun)
        progress_end(&show->progress);
}

/* 0 of the command means never or all, which is -1 of the library, whose 0 is the usual number. */
static int64_t number(const Options *options, OptionId option)
{
    const int64_t value = option_whole(options, option, 0);
    return option_given(options, option) && value == 0 ? -1 : value;
}

static BfmTrainOptions options_of(const Driver *driver)
{
    const Options *options = driver->options;
    return (BfmTrainOptions){.out = option_text(options, OPT_OUT),
                             .recipe = option_text(options, OPT_RECIPE),
                             .engine = option_text(options, OPT_ENGINE),
                             .threads = (int)option_whole(options, OPT_THREADS, 0),
                             .resume = option_flag(options, OPT_RESUME),
                             .init = option_text(options, OPT_INIT),
                             .freeze = options->values[OPT_FREEZE].texts,
                             .freeze_count = options->values[OPT_FREEZE].count,
                             .seeded = option_given(options, OPT_SEED),
                             .seed = (uint64_t)option_whole(options, OPT_SEED, 0),
                             .budget = option_text(options, OPT_BUDGET),
                             .eval_every = number(options, OPT_EVAL_EVERY),
                             .checkpoint_every = number(options, OPT_CKPT_EVERY),
                             .keep = number(options, OPT_KEEP),
                             .eval_tokens = number(options, OPT_EVAL_TOKENS),
                             .measure = !driver->quiet};
}

static json_t *result_json(const Driver *driver, const BfmTrainResult *result, const char *stopped)
{
    json_t *report = report_new(driver);
    json_object_set_new(report, "run", json_string(result->folder));
    json_object_set_new(report, "stopped", json_string(stopped));
    json_object_set_new(report, "step", json_integer(result->step));
    json_object_set_new(report, "tokens", json_integer(result->tokens));
    json_object_set_new(report, "seconds", json_real(result->seconds));
    json_object_set_new(report, "loss", isfinite(result->loss) ? json_real(result->loss) : json_null());
    if (result->evaluated < 0)
        return report;
    char *text = bfm_evaluation_json(&result->evaluation);
    json_t *evaluation = json_loads(text, 0, NULL);
    json_object_set_new(evaluation, "step", json_integer(result->evaluated));
    json_object_set_new(report, "evaluation", evaluation);
    bfm_text_free(text);
    return report;
}

static int finish(Driver *driver, const BfmTrainResult *result)
{
    static const char *const words[] = {
        [BFM_STOPPED_BY_STEPS] = "steps", [BFM_STOPPED_BY_BUDGET] = "budget", [BFM_STOPPED_BY_CALLER] = "signal", [BFM_STOPPED_BY_BAD_NUMBER] = "bad number"};
    if (result->stopped == BFM_STOPPED_BY_BAD_NUMBER)
        return driver_error(driver, BFM_ERROR_INPUT, "training stopped after step %lld: %s; the checkpoint of step %lld is kept", (long long)result->step, result->bad,
                            (long long)result->checkpoint);
    const int code = result->stopped == BFM_STOPPED_BY_CALLER ? CODE_STOPPED : CODE_OK;
    if (driver->json)
        return report_print(driver, result_json(driver, result, words[result->stopped]), code);
    driver_note(driver, "stopped by %s after step %lld; the run is in %s%s", words[result->stopped], (long long)result->step, result->folder,
                result->stopped == BFM_STOPPED_BY_STEPS ? "" : ", --resume continues it");
    return code;
}

int verb_train(Driver *driver)
{
    Show show = {.driver = driver};
    const BfmTrainOptions options = options_of(driver);
    const BfmTrainCallbacks callbacks = {.begun = show_warnings, .stop = stop_wanted, .event = show_event, .pause = pause_progress, .user = &show};
    BfmTrainResult result;
    BfmError error;
    int code;
    stop_listen();
    if (!driver_load(driver, &code))
        return code;
    return bfm_train(driver->module, driver->item, driver->options->arguments[1], &options, &callbacks, &result, &error) ? finish(driver, &result) : driver_fail(driver, &error);
}
