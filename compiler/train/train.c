/* One step: draw a batch, run the program, look at the numbers, update. Everything a step reads is a function of the step and the checkpoint, so that a
   resumed run repeats the same bits. */
#include "train/train.h"

#include "file/json/json_file.h"
#include "train/bad.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { METRICS_EVERY = 50 }; /* steps */

/* ---- checkpoints ---- */

typedef struct Tensors {
    BfmTensor *model, *state;
    int model_count, state_count;
} Tensors;

/* What a checkpoint holds, in memory as it is. */
static Tensors all_tensors(const Train *train, Arena *arena)
{
    const int states = optimizer_state_count(train->optimizer);
    Tensors tensors = {.model = ARENA_ARRAY(arena, BfmTensor, train->store->count + 1), .state = ARENA_ARRAY(arena, BfmTensor, train->store->count + states + 1)};
    for (int i = 0; i < train->store->count; i++) {
        const StoreEntry *entry = &train->store->entries[i];
        if (entry->role == TENSOR_PARAM)
            tensors.model[tensors.model_count++] = store_tensor(train->store, entry, entry->path);
        else
            tensors.state[tensors.state_count++] = store_tensor(train->store, entry, arena_printf(arena, "layer/%s", entry->path));
    }
    for (int i = 0; i < states; i++)
        tensors.state[tensors.state_count++] = optimizer_tensor(arena, optimizer_state(train->optimizer, i));
    return tensors;
}

bool train_checkpoint(Train *train, BfmError *error)
{
    if (train->checkpointed == train->meta.step)
        return true;
    train->bad = bad_tensor(train->context->arena, train->store, train->optimizer);
    if (train->bad)
        return true;
    Arena *arena = arena_new();
    const Tensors tensors = all_tensors(train, arena);
    const int64_t keep = train->options.keep;
    const bool ok = bfm_log_sync(train->log, error) &&
                    bfm_checkpoint_write(train->folder.checkpoints, &train->meta, tensors.model, tensors.model_count, tensors.state, tensors.state_count, error) &&
                    bfm_checkpoint_prune(train->folder.checkpoints, keep > 0 ? keep : 1, -1, error);
    if (ok)
        train->checkpointed = train->meta.step;
    arena_free(arena);
    return ok;
}

static BfmTensorTarget target_of(const BfmTensor *tensor)
{
    BfmTensorTarget target = {.name = tensor->name, .dtype = tensor->dtype, .rank = tensor->rank, .data = (void *)(uintptr_t)tensor->data};
    memcpy(target.shape, tensor->shape, sizeof target.shape);
    return target;
}

static bool load_all(const BfmSafetensors *file, const BfmTensor *tensors, int count, Arena *arena, BfmError *error)
{
    BfmTensorTarget *targets = ARENA_ARRAY(arena, BfmTensorTarget, count + 1);
    for (int i = 0; i < count; i++)
        targets[i] = target_of(&tensors[i]);
    return bfm_safetensors_load(file, targets, count, error);
}

bool train_restore(Train *train, const BfmCheckpoint *checkpoint, BfmError *error)
{
    Arena *arena = arena_new();
    const Tensors tensors = all_tensors(train, arena);
    const bool ok = load_all(checkpoint->model, tensors.model, tensors.model_count, arena, error) && load_all(checkpoint->state, tensors.state, tensors.state_count, arena, error);
    arena_free(arena);
    return ok;
}

/* ---- one step ---- */

/* What the last update left comes first: then the pass only met it. */
static const char *first_bad(Train *train, int64_t position)
{
    const char *tensor = bad_tensor(train->context->arena, train->store, train->optimizer);
    return tensor ? tensor : bad_result(train->context, train->runner, train->recipe.seed, (uint64_t)position);
}

typedef struct StepResult {
    double loss, cross_entropy, norm, factor;
} StepResult;

/* Losses and gradients of the step's micro-batches; NULL in train->bad where all numbers are good. */
static bool forward_backward(Train *train, StepResult *result, BfmError *error)
{
    const int64_t parts = train->recipe.accumulate;
    *result = (StepResult){0};
    for (int64_t micro = 0; micro < parts && !train->bad; micro++) {
        bfm_batches_fill(&train->batches, train->meta.position + micro, train->tokens);
        const RunKey key = {.seed = train->recipe.seed, .draw = (uint64_t)(train->meta.position + micro), .step = train->meta.step};
        if (!runner_run(train->runner, train->tokens, NULL, key, error))
            return false;
        optimizer_collect(train->optimizer, train->runner, 1 / (double)parts, micro == 0);
        if ((train->meta.step + 1) % METRICS_EVERY == 0)
            metrics_collect(train->metrics, micro, parts);
        result->loss += runner_loss(train->runner) / (double)parts;
        result->cross_entropy += runner_cross_entropy(train->runner) / (double)parts;
        result->norm = micro + 1 == parts ? optimizer_norm(train->optimizer) : 0;
        if (!isfinite(result->loss) || !isfinite(result->norm))
            train->bad = first_bad(train, train->meta.position + micro);
    }
    return true;
}

static bool step_once(Train *train, StepResult *result, BfmError *error)
{
    if (!forward_backward(train, result, error) || train->bad)
        return !train->bad ? false : true;
    const double scale = recipe_scale(&train->recipe, result->norm);
    if (!schedule_factor(train->schedule, train->meta.step, &result->factor, error) || !optimizer_apply(train->optimizer, scale, result->factor, train->meta.step, error))
        return false;
    runner_commit(train->runner);
    train->loss = result->loss;
    train->meta.step++;
    train->meta.position += train->recipe.accumulate;
    train->meta.tokens += train->recipe.accumulate * train->recipe.batch * train->recipe.context;
    train->meta.seconds = seconds_now() - train->began;
    return true;
}

/* ---- what is written down ---- */

static bool log_step(Train *train, const StepResult *result, double seconds, BfmError *error)
{
    return bfm_log_write(train->log,
                         json_pack("{s:I, s:o, s:o, s:o, s:o, s:I, s:o, s:o}", "step", (json_int_t)train->meta.step, "loss", bfm_json_number(result->loss), "cross_entropy",
                                   bfm_json_number(result->cross_entropy), "gradient_norm", bfm_json_number(result->norm), "rate",
                                   bfm_json_number(result->factor * optimizer_rate(train->optimizer)), "tokens", (json_int_t)train->meta.tokens, "step_seconds",
                                   bfm_json_number(seconds), "seconds", bfm_json_number(train->meta.seconds)),
                         error);
}

static bool log_metrics(Train *train, BfmError *error)
{
    json_t *record = metrics_json(train->metrics, train->meta.step);
    return !record || bfm_log_write(train->metric_log, record, error);
}

static void pause_listener(const Train *train)
{
    if (train->listener.pause)
        train->listener.pause(train->listener.user);
}

static bool evaluate(Train *train, BfmError *error)
{
    if (!train->held_out.tokens || !train->evaluator || train->evaluated == train->meta.step)
        return true;
    const double before = seconds_now();
    if (!evaluate_part(train->context, train->evaluator, &train->held_out, train->recipe.batch, train->recipe.context,
                       (RunKey){.seed = train->recipe.seed, .step = train->meta.step}, &train->evaluation, error))
        return false;
    if (train->evaluation.bad) {
        const char *tensor = bad_tensor(train->context->arena, train->store, train->optimizer);
        train->bad = tensor ? tensor : arena_printf(train->context->arena, "%s on held-out text", train->evaluation.bad);
        return true;
    }
    train->evaluated = train->meta.step;
    train->evaluation.leak = train->leak;
    json_t *record = json_pack("{s:I, s:o}", "step", (json_int_t)train->meta.step, "seconds", bfm_json_number(seconds_now() - before)),
           *values = evaluation_json(&train->evaluation);
    json_object_update(record, values);
    json_decref(values);
    pause_listener(train);
    if (train->evaluation.bits_per_byte > 0)
        context_note(train->context, "step %lld: held out %.4f nats per token, %.4f bits per byte%s", (long long)train->meta.step, train->evaluation.nats,
                     train->evaluation.bits_per_byte,
                     train->leak == LEAK_SHOWN      ? " (leaky)"
                     : train->leak == LEAK_POSSIBLE ? " (may be leaky)"
                                                    : "");
    if (train->listener.evaluated)
        train->listener.evaluated(train->listener.user, train);
    return bfm_log_write(train->eval_log, record, error);
}

/* ---- the loop ---- */

/* How much of the budget is left, in its own unit; infinite without one. */
static double budget_left(const Train *train)
{
    switch (train->options.budget.kind) {
    case BUDGET_NONE: return HUGE_VAL;
    case BUDGET_SECONDS: return train->options.budget.amount - (seconds_now() - train->began);
    case BUDGET_STEPS: return train->options.budget.amount - (double)train->meta.step;
    case BUDGET_TOKENS: return train->options.budget.amount - (double)train->meta.tokens;
    case BUDGET_FLOPS: return train->options.budget.amount - 3 * train->ledger.flops * (double)train->meta.position;
    }
    return 0;
}

/* Seconds until the recipe or the budget ends, at the present pace. */
static double seconds_left(const Train *train)
{
    const double pace = train->pace > 0 ? train->pace : train->meta.seconds, steps = (double)(train->recipe.steps - train->meta.step) * pace, left = budget_left(train);
    switch (train->options.budget.kind) {
    case BUDGET_NONE: return steps;
    case BUDGET_SECONDS: return fmin(steps, left);
    case BUDGET_STEPS: return fmin(steps, left * pace);
    case BUDGET_TOKENS: return fmin(steps, left / train_step_tokens(train) * pace);
    case BUDGET_FLOPS: return fmin(steps, left / (3 * train->ledger.flops * (double)train->recipe.accumulate) * pace);
    }
    return steps;
}

static bool due(const Train *train, int64_t every) { return every > 0 && train->meta.step % every == 0; }

/* False: an error, or train->bad. */
static bool after_step(Train *train, const StepResult *result, double seconds, BfmError *error)
{
    train->pace = train->pace == 0 ? seconds : 0.9 * train->pace + 0.1 * seconds;
    if (train->listener.step)
        train->listener.step(train->listener.user, train, seconds, seconds_left(train));
    return log_step(train, result, seconds, error) && (train->meta.step % METRICS_EVERY != 0 || log_metrics(train, error)) &&
           (!due(train, train->options.eval_every) || evaluate(train, error)) && !train->bad && (!due(train, train->options.checkpoint_every) || train_checkpoint(train, error)) &&
           !train->bad;
}

static bool stop_wanted(const Train *train) { return train->listener.stop && train->listener.stop(train->listener.user); }

/* A line of the log met the limit on the size of files, and SIGXFSZ asks to stop: the step itself is done, and a checkpoint may still fit. */
static bool stopped_writing(const Train *train, const BfmError *error)
{
    if (!stop_wanted(train))
        return false;
    context_note(train->context, "warning: %s", error->message);
    return true;
}

static StopReason steps(Train *train, BfmError *error)
{
    while (train->meta.step < train->recipe.steps) {
        if (stop_wanted(train))
            return STOP_SIGNAL;
        if (budget_left(train) <= 0)
            return STOP_BUDGET;
        const double before = seconds_now();
        StepResult result;
        if (!step_once(train, &result, error))
            return STOP_ERROR;
        if (train->bad)
            return STOP_BAD_NUMBER;
        if (!after_step(train, &result, seconds_now() - before, error))
            return train->bad ? STOP_BAD_NUMBER : stopped_writing(train, error) ? STOP_SIGNAL : STOP_ERROR;
    }
    return STOP_STEPS;
}

StopReason train_run(Train *train, BfmError *error)
{
    if (train->checkpointed == train->meta.step && train->meta.step >= train->recipe.steps) /* resumed at its end: there is nothing to do, and nothing is written */
        return STOP_STEPS;
    const int64_t first = train->meta.step;
    if (!train_checkpoint(train, error)) /* whatever happens later, there is one to go back to */
        return STOP_ERROR;
    const StopReason reason = train->bad ? STOP_BAD_NUMBER : steps(train, error);
    pause_listener(train);
    const bool good = reason == STOP_STEPS || reason == STOP_BUDGET || reason == STOP_SIGNAL;
    if (good && (!train_checkpoint(train, error) || (!train->bad && reason != STOP_SIGNAL && train->meta.step > first && !evaluate(train, error))))
        return STOP_ERROR;
    return train->bad ? STOP_BAD_NUMBER : reason;
}
