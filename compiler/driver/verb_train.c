/* bfmc train: options, progress, and what is said at the end. */
#include "file/json/json_file.h"
#include "driver/model.h"
#include "driver/progress.h"
#include "driver/stop.h"
#include "driver/verbs.h"
#include "train/train.h"

typedef struct Show {
    Driver *driver;
    Progress progress;
    bool begun;
} Show;

static bool asked(void *user)
{
    (void)user;
    return stop_asked();
}

static void show_step(void *user, const Train *train, double seconds, double left)
{
    Show *show = user;
    if (!show->begun)
        show->progress = progress_new(show->driver, train_step_tokens(train), train_step_products(train), train->machine);
    show->begun = true;
    progress_step(&show->progress, train->meta.step, train->loss, seconds, left);
}

static void show_pause(void *user)
{
    Show *show = user;
    if (show->begun)
        progress_end(&show->progress);
}

static TrainOptions options_of(const Driver *driver)
{
    const Options *options = driver->options;
    TrainOptions made = {.out = option_text(options, OPT_OUT),
                         .recipe = option_text(options, OPT_RECIPE),
                         .engine = engine_kind(option_text(options, OPT_ENGINE)),
                         .threads = (int)option_whole(options, OPT_THREADS, 0),
                         .resume = option_flag(options, OPT_RESUME),
                         .init = option_text(options, OPT_INIT),
                         .frozen = {options->values[OPT_FREEZE].count, options->values[OPT_FREEZE].texts},
                         .seeded = option_given(options, OPT_SEED),
                         .seed = (uint64_t)option_whole(options, OPT_SEED, 0),
                         .budget_text = option_text(options, OPT_BUDGET),
                         .eval_every = option_whole(options, OPT_EVAL_EVERY, 0),
                         .checkpoint_every = option_whole(options, OPT_CKPT_EVERY, 0),
                         .keep = option_whole(options, OPT_KEEP, 3),
                         .eval_tokens = option_whole(options, OPT_EVAL_TOKENS, -1),
                         .overrides = {options->values[OPT_SET].count, options->values[OPT_SET].texts},
                         .measure = !driver->quiet};
    if (made.budget_text)
        (void)budget_parse(made.budget_text, &made.budget);
    return made;
}

static int finish(Driver *driver, const Train *train, StopReason reason, const BfmError *error)
{
    static const char *const words[] = {"steps", "budget", "signal", "bad number", "error"};
    if (reason == STOP_ERROR)
        return driver_fail(driver, error);
    if (reason == STOP_BAD_NUMBER)
        return driver_error(driver, BFM_ERROR_INPUT, "training stopped after step %lld: %s; the checkpoint of step %lld is kept", (long long)train->meta.step, train->bad,
                            (long long)train->checkpointed);
    const int code = reason == STOP_SIGNAL ? CODE_STOPPED : CODE_OK;
    if (driver->json) {
        json_t *report = report_new(driver);
        json_object_set_new(report, "run", json_string(train->folder.path));
        json_object_set_new(report, "stopped", json_string(words[reason]));
        json_object_set_new(report, "step", json_integer(train->meta.step));
        json_object_set_new(report, "tokens", json_integer(train->meta.tokens));
        json_object_set_new(report, "seconds", json_real(train->meta.seconds));
        json_object_set_new(report, "loss", bfm_json_number(train->loss));
        if (train->evaluated >= 0) {
            json_t *evaluation = evaluation_json(&train->evaluation);
            json_object_set_new(evaluation, "step", json_integer(train->evaluated));
            json_object_set_new(report, "evaluation", evaluation);
        }
        return report_print(driver, report, code);
    }
    driver_note(driver, "stopped by %s after step %lld; the run is in %s%s", words[reason], (long long)train->meta.step, train->folder.path,
                reason == STOP_STEPS ? "" : ", --resume continues it");
    return code;
}

static int train_model(Driver *driver, Train *train, Module *module, const Node *model)
{
    Show show = {.driver = driver};
    const TrainOptions options = options_of(driver);
    const TrainListener listener = {.stop = asked, .step = show_step, .pause = show_pause, .user = &show};
    BfmError error = {.message = ""};
    const bool open = train_open(train, &driver->context, module, model, driver->options->arguments[1], &options, &listener, &error);
    if (!open)
        return driver_fail(driver, &error);
    if (!driver->json)
        (void)driver_diagnostics(driver); /* warnings */
    return finish(driver, train, train_run(train, &error), &error);
}

int verb_train(Driver *driver)
{
    const Target target = target_parse(driver->context.arena, driver->options->arguments[0]);
    Train train = {.lock = -1};
    int code;
    stop_listen();
    Module *module = driver_module(driver, target.path, &code);
    if (!module)
        return code;
    if (diag_errors(driver->context.diags) > 0) {
        BfmError error;
        (void)context_rejected(&error);
        return driver_fail(driver, &error);
    }
    const Node *model = driver_pick(driver, module, &target, NODE_MODEL, &code);
    if (!model)
        return code;
    code = train_model(driver, &train, module, model);
    train_close(&train);
    return code;
}
