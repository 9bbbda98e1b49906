/* The beginning and end of a training: everything that can be wrong is looked at before the run's folder exists; then train.c. */
#include "train/train.h"

#include "file/atomic_file.h"
#include "file/file.h"
#include "file/json/json_file.h"
#include "train/run_lock.h"
#include "train/trained.h"
#include "run/unreached.h"
#include "device/cpu/gemm/gemm.h"
#include "lower/groups.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double MEASURE_SECONDS = 0.2;

enum { EVAL_TOKENS = 32768 }; /* of an evaluation, unless the command says how many */

/* ---- what is asked for ---- */

static bool read_model(Train *train, Module *module, const Node *model, BfmError *error)
{
    const BfmContext *context = train->context;
    const TrainOptions *options = &train->options;
    if (!model_lower(context, module, model, MODE_TRAIN, &train->model, error) || !model_again(context, &train->model, MODE_EVAL, &train->eval_model, error) ||
        !model_others(context, &train->model, MODE_TRAIN, &train->others, error))
        return false;
    train->leak = evaluate_leak(context->arena, train->eval_model.lowered);
    if (!model_evaluated(context, &train->eval_model, error))
        return false;
    if (train->leak == LEAK_POSSIBLE)
        context_note(context, "warning[W0509]: `%s` cannot be shown to be causal: if it reads the future, its losses are leaky; `bfmc check` shows where", model->name);
    if (train->leak == LEAK_SHOWN)
        context_note(context, "warning[W0501]: `%s` reads the future, so that it sees what it predicts: its losses are leaky; `bfmc check` shows the way", model->name);
    const Node *recipe = recipe_pick(context, module, options->recipe, error);
    if (!recipe)
        return false;
    if (!recipe_read(context, module, recipe, train->model.lowered, &train->recipe))
        return context_rejected(error);
    if (options->seeded)
        train->recipe.seed = options->seed;
    train->folder = run_folder_at(context->arena, options->out ? options->out : arena_printf(context->arena, "runs/%s", model->name));
    return true;
}

static bool read_data(Train *train, const char *path, BfmError *error)
{
    train->data = bfm_dataset_open(path, error);
    if (!train->data)
        return false;
    const BfmTokens *tokens = train->data->parts[BFM_PART_TRAIN];
    const int64_t vocab = train->model.lowered->vocab;
    if (!tokens)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s has no training part", path);
    if (vocab > 0 && bfm_tokens_info(tokens)->vocab > vocab)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: its tokenizer has %lld ids and the model's vocab is %lld; a vocab of at least %lld has room for them", path,
                             (long long)bfm_tokens_info(tokens)->vocab, (long long)vocab, (long long)bfm_tokens_info(tokens)->vocab);
    if (vocab > bfm_tokens_info(tokens)->vocab)
        context_note(train->context, "note: the model's vocab is %lld and the data's tokenizer has %lld ids: %lld id%s of the model never occur%s", (long long)vocab,
                     (long long)bfm_tokens_info(tokens)->vocab, (long long)(vocab - bfm_tokens_info(tokens)->vocab), bfm_plural(vocab - bfm_tokens_info(tokens)->vocab),
                     vocab - bfm_tokens_info(tokens)->vocab == 1 ? "s" : "");
    const int64_t most = train->options.eval_tokens < 0 ? EVAL_TOKENS : train->options.eval_tokens;
    if (train->data->parts[BFM_PART_VALID] && bfm_tokens_info(train->data->parts[BFM_PART_VALID])->count > 1 &&
        !evaluate_text(train->context->arena, train->data, BFM_PART_VALID, most, &train->held_out, error))
        return false;
    return bfm_batches_init(&train->batches, tokens, train->recipe.batch, train->recipe.context, train->recipe.seed, error);
}

/* ---- programs ---- */

static bool has_states(const Store *store)
{
    for (int i = 0; i < store->count; i++)
        if (store->entries[i].role == TENSOR_STATE)
            return true;
    return false;
}

static void warn_unreached(const Train *train)
{
    const Program *program = train->model.lowered->program;
    bool *frozen = ARENA_ARRAY(train->context->arena, bool, program->main->formal_count + 1);
    for (int f = 0; f < program->main->formal_count; f++)
        frozen[f] = optimizer_is_frozen(&train->options.frozen, program->bindings[f].path);
    unreached_warn(train->model.module, train->model.lowered, frozen);
}

static bool compile_model(Train *train, BfmError *error)
{
    const BfmContext *context = train->context;
    const EngineKind *kind = train->options.engine;
    train->ledger = ledger_count(train->model.lowered, train->recipe.batch, train->recipe.context);
    const MetricFormulas *formulas = metrics_formulas(context->arena, train->model.lowered);
    warn_unreached(train);
    order_losses(train->model.lowered);
    order_evaluation(train->eval_model.lowered, kind->simplified);
    if (!model_differentiate(context, &train->model, kind->simplified, error))
        return false;
    train->store = store_new(context->arena, train->model.lowered, &train->others, kind->wide, error);
    train->engine = train->store ? engine_new(context->arena, kind, kind->wide, train->options.threads, error) : NULL;
    if (!train->engine)
        return false;
    if (train->recipe.accumulate > 1 && has_states(train->store))
        return bfm_error_set(error, BFM_ERROR_INPUT, "the model has states, which take a step's whole batch: train it with accumulate = 1");
    train->runner = runner_new(context->arena, train->engine, train->model.lowered, train->store, error);
    train->evaluator =
        train->runner && train->eval_model.lowered->cross_entropy >= 0 ? runner_new(context->arena, train->engine, train->eval_model.lowered, train->store, error) : NULL;
    if (!train->runner || !runner_bind(train->runner, train->recipe.batch, train->recipe.context, error))
        return false;
    train->metrics = metrics_new(context->arena, train->runner, formulas);
    const Lowered *const models[] = {train->model.lowered};
    groups_warn(train->model.module, train->recipe.node, models, 1);
    requirements_warn(train->model.module, train->model.lowered, train->recipe.batch, train->recipe.context);
    train->optimizer = optimizer_new(context, train->engine, train->model.module, &train->recipe, train->store, &train->options.frozen, error);
    train->schedule = train->optimizer ? schedule_new(context, train->model.module, &train->recipe, error) : NULL;
    return train->schedule != NULL;
}

/* ---- where it starts ---- */

/* RUN/ckpt/STEP of RUN/ckpt/STEP/model.safetensors, anything else as it is. */
static const char *init_folder(Arena *arena, const char *path)
{
    static const char file[] = "/model.safetensors";
    const size_t length = strlen(path), tail = sizeof file - 1;
    return length > tail && strcmp(path + (length - tail), file) == 0 ? arena_strndup(arena, path, length - tail) : path;
}

static bool init_from_run(Train *train, const char *path, BfmError *error)
{
    Trained source;
    const bool ok = trained_open_files(train->context, path, &source, error) && trained_reads(train->context, &source, train->data, error) &&
                    store_load(train->store, source.checkpoint->model, true, error);
    trained_close(&source);
    return ok;
}

/* A run or a checkpoint of one, whose tokenizer must be the data's; or parameters in a file that is in no run. */
static bool init_from(Train *train, const char *path, BfmError *error)
{
    Arena *arena = train->context->arena;
    const char *inner = arena_printf(arena, "%s/model.safetensors", path);
    RunFolder folder;
    int64_t step;
    if (run_folder_find(arena, init_folder(arena, path), &folder, &step, error))
        return init_from_run(train, init_folder(arena, path), error);
    if (bfm_directory_exists(path) && !bfm_path_exists(inner))
        return bfm_error_set(error, BFM_ERROR_INPUT, "--init %s: expected a run (a folder with run.json), a checkpoint of one (RUN/ckpt/STEP) or a .safetensors file", path);
    BfmSafetensors *file = bfm_safetensors_open(bfm_path_exists(inner) ? inner : path, error);
    const bool ok = file && store_load(train->store, file, true, error);
    bfm_safetensors_close(file);
    return ok;
}

/* A run that ended before its first checkpoint has nothing that is worth keeping. */
static bool holds_checkpoints(const Train *train, bool *holds, BfmError *error)
{
    int64_t *steps, count;
    if (!bfm_checkpoint_list(train->folder.checkpoints, &steps, &count, error))
        return false;
    free(steps);
    *holds = count > 0;
    return true;
}

/* With the lock held: nobody else is about to begin a run here. */
static bool folder_free(const Train *train, BfmError *error)
{
    bool holds = false;
    if (!bfm_path_exists(train->folder.json))
        return true;
    if (!holds_checkpoints(train, &holds, error))
        return false;
    return !holds || bfm_error_set(error, BFM_ERROR_INPUT, "%s holds a run already; continue it with --resume, or choose another folder with --out", train->folder.path);
}

static bool lock_folder(Train *train, BfmError *error)
{
    train->lock = run_lock(&train->folder, error);
    return train->lock >= 0;
}

/* A model.bfm that no run wrote may be the very one to train. */
static bool model_kept(const Train *train, BfmError *error)
{
    return bfm_path_exists(train->folder.json) || !module_has_file(train->model.module, train->folder.model) ||
           bfm_error_set(error, BFM_ERROR_INPUT, "the output would replace %s, which the command reads; write it elsewhere with --out", train->folder.model);
}

static bool start_new(Train *train, BfmError *error)
{
    const char *init = train->options.init;
    return folder_free(train, error) && model_kept(train, error) && store_init(train->store, train->recipe.seed, true, true, error) && (!init || init_from(train, init, error));
}

/* A refused resume says where the model's text differs. */
static void add_difference(const Train *train, BfmError *error)
{
    BfmMappedFile file;
    Str now = {0}, difference = {0};
    if (!bfm_mapped_file_open(&file, train->folder.model, NULL))
        return;
    const char *before = arena_strndup(train->context->arena, (const char *)file.data, file.size);
    bfm_mapped_file_close(&file);
    run_model_text(train->model.module, &now);
    run_text_difference(before, str_text(&now), &difference);
    if (difference.length > 0)
        strncat(error->message, arena_printf(train->context->arena, "\nmodel.bfm of the run and the file first differ here:\n%s", str_text(&difference)),
                sizeof error->message - strlen(error->message) - 1);
    str_free(&now);
    str_free(&difference);
}

static json_t *texts_json(int count, const char *const *list)
{
    json_t *texts = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(texts, json_string(list[i]));
    return texts;
}

static bool holds_all(const json_t *texts, const json_t *others)
{
    bool all = true;
    for (size_t i = 0; i < json_array_size(others); i++) {
        bool found = false;
        for (size_t k = 0; k < json_array_size(texts) && !found; k++)
            found = json_equal(json_array_get(texts, k), json_array_get(others, i));
        all = all && found;
    }
    return all;
}

/* What is frozen has no states, so that it stays as the run began. A run of an earlier version does not say. */
static bool same_freeze(const Train *train, BfmError *error)
{
    json_t *run = bfm_json_read(train->folder.json, error), *now = texts_json(train->options.frozen.count, train->options.frozen.globs);
    const json_t *before = json_object_get(run, "freeze");
    bool same = run && (!before || (holds_all(before, now) && holds_all(now, before)));
    if (run && !same) {
        Str text = {0};
        for (size_t i = 0; i < json_array_size(before); i++)
            str_printf(&text, "%s--freeze '%s'", i ? " " : "", json_string_value(json_array_get(before, i)));
        same = bfm_error_set(error, BFM_ERROR_INPUT, "%s: the run began %s%s, and --resume continues it in the same way; give the same, or start a new run with --init %s",
                             train->folder.path, text.length > 0 ? "with " : "without --freeze", str_text(&text), train->folder.path);
        str_free(&text);
    }
    json_decref(run);
    json_decref(now);
    return same;
}

static bool start_again(Train *train, BfmError *error)
{
    int64_t skipped = 0;
    BfmCheckpoint *checkpoint = bfm_checkpoint_latest(train->folder.checkpoints, &skipped, error);
    if (!checkpoint)
        return false;
    bool ok = bfm_checkpoint_same_training(&checkpoint->meta, &train->meta, error);
    if (!ok)
        add_difference(train, error);
    ok = ok && trained_belongs(train->context, &train->folder, checkpoint, error) && same_freeze(train, error) && train_restore(train, checkpoint, error);
    if (ok) {
        train->meta = checkpoint->meta;
        train->checkpointed = train->meta.step;
        if (skipped > 0)
            context_note(train->context, "warning: %lld damaged checkpoint%s passed over", (long long)skipped, skipped == 1 ? " was" : "s were");
        context_note(train->context, "resuming %s at step %lld", train->folder.path, (long long)train->meta.step);
        if (train->options.init)
            context_note(train->context, "note: the run goes on from its own checkpoint; --init %s has no part in it", train->options.init);
    }
    bfm_checkpoint_close(checkpoint);
    return ok;
}

/* ---- the folder ---- */

static json_t *run_json(const Train *train, const Str *model_text)
{
    char model[BFM_HASH_TEXT], recipe[BFM_HASH_TEXT], data[BFM_HASH_TEXT], tokenizer[BFM_HASH_TEXT], text[BFM_HASH_TEXT];
    const TrainOptions *options = &train->options;
    bfm_hash_text(train->meta.model_hash, model);
    bfm_hash_text(train->meta.recipe_hash, recipe);
    bfm_hash_text(train->meta.data_hash, data);
    bfm_hash_text(bfm_tokenizer_hash(train->data->tokenizer), tokenizer);
    bfm_hash_text(run_text_hash(str_text(model_text), model_text->length), text);
    char *folder = realpath(train->data->folder, NULL);
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "schema", "bfm.run/1", "version", BFM_VERSION, "model", train->model.model->name, "recipe",
                  train->recipe.node->name, "engine", options->engine->name, "data", folder ? folder : train->data->folder, "parameters", (json_int_t)train->ledger.parameters,
                  "batch", (json_int_t)train->recipe.batch, "context", (json_int_t)train->recipe.context, "seed", (json_int_t)train->recipe.seed);
    json_object_set_new(json, "hashes", json_pack("{s:s, s:s, s:s, s:s, s:s}", "model", model, "model_text", text, "recipe", recipe, "data", data, "tokenizer", tokenizer));
    json_object_set_new(json, "set", texts_json(options->overrides.count, options->overrides.texts));
    json_object_set_new(json, "freeze", texts_json(options->frozen.count, options->frozen.globs));
    if (options->budget_text)
        json_object_set_new(json, "budget", json_string(options->budget_text));
    free(folder);
    return json;
}

static bool write_folder(Train *train, BfmError *error)
{
    Str text = {0};
    run_model_text(train->model.module, &text);
    json_t *json = run_json(train, &text);
    const bool ok = bfm_directory_make(train->folder.path, error) && (train->lock >= 0 || (lock_folder(train, error) && folder_free(train, error))) &&
                    bfm_atomic_write(train->folder.model, str_text(&text), text.length, error) && bfm_tokenizer_save(train->data->tokenizer, train->folder.path, error) &&
                    bfm_json_write(train->folder.json, json, error);
    if (ok)
        bfm_dataset_used_by(train->data, train->folder.path);
    json_decref(json);
    str_free(&text);
    return ok;
}

static bool open_logs(Train *train, BfmError *error)
{
    train->log = bfm_log_open(train->folder.log, train->meta.step, error);
    train->eval_log = train->log ? bfm_log_open(train->folder.eval, train->meta.step, error) : NULL;
    train->metric_log = train->eval_log ? bfm_log_open(train->folder.metrics, train->meta.step, error) : NULL;
    return train->metric_log != NULL;
}

/* ---- the whole ---- */

static double machine_rate(const Train *train)
{
    const TrainOptions *options = &train->options;
    if (!options->measure || engine_what(train->engine) == &ENGINE_INTERP)
        return 0;
    BfmPool *pool = bfm_pool_new(options->threads);
    const double rate = bfm_gemm_measure(pool, MEASURE_SECONDS);
    bfm_pool_free(pool);
    return rate * 1e9;
}

static bool prepare(Train *train, BfmError *error)
{
    bool resume = train->options.resume, holds = true;
    train->meta = (BfmCheckpointMeta){.seed = train->recipe.seed,
                                      .model_hash = run_model_hash(train->model.module),
                                      .recipe_hash = run_recipe_hash(train->model.module, train->recipe.node),
                                      .data_hash = train->data->hash};
    train->tokens = malloc((size_t)(train->recipe.batch * (train->recipe.context + 1)) * sizeof *train->tokens);
    if (!train->tokens)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
    if (resume && bfm_path_exists(train->folder.json)) {
        if (!lock_folder(train, error) || !holds_checkpoints(train, &holds, error))
            return false;
        if (!holds)
            context_note(train->context, "%s has no checkpoint yet: the run begins anew", train->folder.path);
        resume = holds;
    }
    if (!(resume ? start_again(train, error) : start_new(train, error)) || (!resume && !write_folder(train, error)) || !open_logs(train, error))
        return false;
    train->machine = machine_rate(train);
    train->began = seconds_now() - train->meta.seconds;
    return true;
}

bool train_open(Train *train, const BfmContext *context, Module *module, const Node *model, const char *data, const TrainOptions *options, const TrainListener *listener,
                BfmError *error)
{
    *train = (Train){.context = context, .options = *options, .listener = *listener, .lock = -1, .checkpointed = -1, .evaluated = -1, .loss = NAN};
    return read_model(train, module, model, error) && read_data(train, data, error) && compile_model(train, error) && prepare(train, error);
}

void train_close(Train *train)
{
    bfm_log_close(train->log);
    bfm_log_close(train->eval_log);
    bfm_log_close(train->metric_log);
    run_unlock(&train->folder, train->lock);
    optimizer_free(train->optimizer);
    schedule_free(train->schedule);
    runner_free(train->runner);
    runner_free(train->evaluator);
    engine_free(train->engine);
    store_free(train->store);
    bfm_dataset_close(train->data);
    free(train->tokens);
}
