/* Training as a call: options and events as structs. */
#include "bfm/train.h"

#include "api/internal.h"
#include "train/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { EVAL_EVERY = 500, CHECKPOINT_EVERY = 500, KEEP = 3 };

typedef struct Session {
    const BfmTrainCallbacks *callbacks;
} Session;

static bool wants_stop(void *user)
{
    const Session *session = user;
    return session->callbacks && session->callbacks->stop && session->callbacks->stop(session->callbacks->user);
}

static BfmTrainEvent event_of(const Train *train, BfmTrainEventKind kind)
{
    return (BfmTrainEvent){.kind = kind, .step = train->meta.step, .tokens = train->meta.tokens, .loss = train->loss};
}

static void send(const Session *session, const BfmTrainEvent *event)
{
    if (session->callbacks && session->callbacks->event)
        session->callbacks->event(session->callbacks->user, event);
}

static void step_done(void *user, const Train *train, double seconds, double seconds_left)
{
    BfmTrainEvent event = event_of(train, BFM_TRAIN_STEP);
    event.seconds = seconds;
    event.seconds_left = seconds_left;
    event.step_tokens = train_step_tokens(train);
    event.step_flops = train_step_products(train);
    event.machine_flops = train->machine;
    send(user, &event);
}

static void evaluated(void *user, const Train *train)
{
    BfmTrainEvent event = event_of(train, BFM_TRAIN_EVALUATION);
    event.evaluation = api_evaluation(&train->evaluation);
    send(user, &event);
}

static void paused(void *user)
{
    const Session *session = user;
    if (session->callbacks && session->callbacks->pause)
        session->callbacks->pause(session->callbacks->user);
}

static int64_t every(int64_t given, int64_t usual) { return given < 0 ? 0 : given == 0 ? usual : given; }

static bool options_of(const BfmModule *module, const BfmTrainOptions *given, TrainOptions *options, BfmError *error)
{
    static const BfmTrainOptions none = {0};
    given = given ? given : &none;
    *options = (TrainOptions){.out = given->out,
                              .recipe = given->recipe,
                              .engine = api_engine(given->engine, error),
                              .threads = given->threads,
                              .resume = given->resume,
                              .init = given->init,
                              .frozen = {given->freeze_count, given->freeze},
                              .seeded = given->seeded,
                              .seed = given->seed,
                              .budget_text = given->budget,
                              .eval_every = every(given->eval_every, EVAL_EVERY),
                              .checkpoint_every = every(given->checkpoint_every, CHECKPOINT_EVERY),
                              .keep = every(given->keep, KEEP),
                              .eval_tokens = given->eval_tokens < 0    ? 0
                                             : given->eval_tokens == 0 ? -1
                                                                       : given->eval_tokens,
                              .overrides = {module->overrides.count, module->overrides.items},
                              .measure = given->measure};
    const char *wrong = given->budget ? budget_read(given->budget, &options->budget) : NULL;
    if (wrong)
        return bfm_error_set(error, BFM_ERROR_INPUT, "the budget `%s`: expected %s", given->budget, wrong);
    return options->engine != NULL;
}

static bool finish(const Train *train, StopReason reason, BfmTrainResult *result)
{
    static const BfmStopped stopped[] = {
        [STOP_STEPS] = BFM_STOPPED_BY_STEPS, [STOP_BUDGET] = BFM_STOPPED_BY_BUDGET, [STOP_SIGNAL] = BFM_STOPPED_BY_CALLER, [STOP_BAD_NUMBER] = BFM_STOPPED_BY_BAD_NUMBER};
    if (reason == STOP_ERROR)
        return false;
    *result = (BfmTrainResult){.stopped = stopped[reason],
                               .step = train->meta.step,
                               .tokens = train->meta.tokens,
                               .checkpoint = train->checkpointed,
                               .loss = train->loss,
                               .seconds = train->meta.seconds,
                               .evaluated = train->evaluated};
    if (train->evaluated >= 0)
        result->evaluation = api_evaluation(&train->evaluation);
    (void)snprintf(result->folder, sizeof result->folder, "%s", train->folder.path);
    (void)snprintf(result->bad, sizeof result->bad, "%s", train->bad ? train->bad : "");
    return true;
}

bool bfm_train(BfmModule *module, const char *model, const char *data, const BfmTrainOptions *options, const BfmTrainCallbacks *callbacks, BfmTrainResult *result, BfmError *error)
{
    Session session = {callbacks};
    TrainOptions made;
    Train train = {.lock = -1};
    const TrainListener listener = {.stop = wants_stop, .step = step_done, .evaluated = evaluated, .pause = paused, .user = &session};
    const Target target = {.path = module->module->files[0].path, .name = model};
    *result = (BfmTrainResult){.checkpoint = -1, .loss = NAN, .evaluated = -1};
    if (diag_errors(module->context.diags) > 0)
        return context_rejected(error);
    const Node *node = options_of(module, options, &made, error) ? context_pick(&module->context, module->module, &target, NODE_MODEL, error) : NULL;
    if (!node)
        return false;
    const bool open = train_open(&train, &module->context, module->module, node, data, &made, &listener, error);
    if (open && callbacks && callbacks->begun)
        callbacks->begun(callbacks->user);
    const bool ok = open && finish(&train, train_run(&train, error), result);
    train_close(&train);
    return ok;
}
