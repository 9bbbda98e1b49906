/* Steps of a recipe's optimiser on tensors of a file, from gradients of a file. */
#include "bfm/tensors.h"

#include "api/internal.h"
#include "memory/buffer.h"
#include "run/model.h"
#include "train/optimizer.h"
#include "train/rate.h"

#include <stdlib.h>
#include <string.h>

typedef struct Update {
    const BfmContext *context;
    const BfmUpdateOptions *options;
    const EngineKind *kind;
    BfmReport *report;
    Module *module;
    Recipe recipe;
    Engine *engine;
    Store *store;
    Optimizer *optimizer;
    RateSchedule *schedule;
    int64_t steps;
    void **gradients, **results; /* [entries], each [steps, …] as wide as the store */
    void *factors, *norms;       /* [steps] */
} Update;

static size_t width(const Update *update) { return update->store->wide ? sizeof(double) : sizeof(float); }

/* ---- the files ---- */

static void *memory(const Update *update, int64_t elements, BfmError *error)
{
    void *data = bfm_buffer_new((size_t)(elements > 0 ? elements : 1) * width(update));
    if (!data)
        bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted by %lld steps", (long long)update->steps);
    return data;
}

/* How many steps the file has: the leading extent of its first tensor. */
static bool count_steps(Update *update, const BfmSafetensors *file, BfmError *error)
{
    const BfmTensor *first = bfm_safetensors_count(file) > 0 ? bfm_safetensors_at(file, 0) : NULL;
    if (!first)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s holds no gradient", bfm_safetensors_path(file));
    if (first->rank == 0 || first->shape[0] < 1)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: `%s` needs a leading axis of at least one step", bfm_safetensors_path(file), first->name);
    update->steps = first->shape[0];
    return true;
}

static bool read_gradient(Update *update, const BfmSafetensors *file, int i, BfmError *error)
{
    const StoreEntry *entry = &update->store->entries[i];
    int64_t shape[BFM_TENSOR_MAX_RANK] = {update->steps};
    if (entry->rank + 1 > BFM_TENSOR_MAX_RANK)
        return bfm_error_set(error, BFM_ERROR_INPUT, "`%s` has %d axes; with one of steps that is too many", entry->path, entry->rank);
    memcpy(shape + 1, entry->shape, (size_t)entry->rank * sizeof *shape);
    const BfmTensor *tensor = bfm_safetensors_expect(file, entry->path, entry->rank + 1, shape, error);
    if (!tensor)
        return false;
    update->gradients[i] = memory(update, update->steps * entry->elements, error);
    update->results[i] = update->gradients[i] ? memory(update, update->steps * entry->elements, error) : NULL;
    return update->results[i] && (update->store->wide ? bfm_tensor_read_f64(tensor, update->gradients[i], error) : bfm_tensor_read_f32(tensor, update->gradients[i], error));
}

static bool read_gradients(Update *update, BfmError *error)
{
    BfmSafetensors *file = bfm_safetensors_open(update->options->gradients, error);
    const int count = update->store->count;
    const char **names = ARENA_ARRAY(update->context->arena, const char *, count + 1);
    update->gradients = ARENA_ARRAY(update->context->arena, void *, count + 1);
    update->results = ARENA_ARRAY(update->context->arena, void *, count + 1);
    bool ok = file && count_steps(update, file, error);
    for (int i = 0; ok && i < count; i++) {
        names[i] = update->store->entries[i].path;
        ok = read_gradient(update, file, i, error);
    }
    ok = ok && bfm_safetensors_expect_only(file, names, count, error);
    bfm_safetensors_close(file);
    update->factors = ok ? memory(update, update->steps, error) : NULL;
    update->norms = update->factors ? memory(update, update->steps, error) : NULL;
    return update->norms != NULL;
}

static bool read_weights(Update *update, BfmError *error)
{
    BfmSafetensors *file = bfm_safetensors_open(update->options->weights, error);
    update->store = file ? store_from(update->context->arena, update->context->interner, file, engine_wide(update->engine), error) : NULL;
    bfm_safetensors_close(file);
    return update->store != NULL;
}

/* ---- the steps ---- */

static void put(const Update *update, void *list, int64_t at, double value)
{
    if (update->store->wide)
        ((double *)list)[at] = value;
    else
        ((float *)list)[at] = (float)value;
}

static bool one_step(Update *update, int64_t step, BfmError *error)
{
    double factor;
    for (int i = 0; i < update->store->count; i++) {
        const StoreEntry *entry = &update->store->entries[i];
        optimizer_give(update->optimizer, entry, (char *)update->gradients[i] + (size_t)(step * entry->elements) * width(update));
    }
    const double norm = optimizer_norm(update->optimizer);
    if (!schedule_factor(update->schedule, step, &factor, error) || !optimizer_apply(update->optimizer, recipe_scale(&update->recipe, norm), factor, step, error))
        return false;
    for (int i = 0; i < update->store->count; i++) {
        const StoreEntry *entry = &update->store->entries[i];
        memcpy((char *)update->results[i] + (size_t)(step * entry->elements) * width(update), entry->data, (size_t)entry->elements * width(update));
    }
    put(update, update->factors, step, factor);
    put(update, update->norms, step, norm);
    return true;
}

static BfmTensor steps_tensor(const Update *update, const char *name, int rank, const int64_t *shape, const void *data)
{
    BfmTensor tensor = {.name = name, .dtype = update->store->wide ? BFM_DTYPE_F64 : BFM_DTYPE_F32, .rank = rank + 1, .shape = {update->steps}, .data = data};
    for (int i = 0; i < rank; i++)
        tensor.shape[1 + i] = shape[i];
    return tensor;
}

static bool write_results(Update *update, BfmError *error)
{
    const BfmContext *context = update->context;
    const int states = optimizer_state_count(update->optimizer);
    const char *out = update->options->out;
    BfmTensor *list = ARENA_ARRAY(context->arena, BfmTensor, update->store->count + states + 2);
    int count = 0;
    for (int i = 0; i < update->store->count; i++)
        list[count++] = steps_tensor(update, update->store->entries[i].path, update->store->entries[i].rank, update->store->entries[i].shape, update->results[i]);
    list[count++] = steps_tensor(update, "schedule", 0, NULL, update->factors);
    list[count++] = steps_tensor(update, "gradient_norm", 0, NULL, update->norms);
    for (int i = 0; i < states; i++)
        list[count++] = optimizer_tensor(context->arena, optimizer_state(update->optimizer, i));
    if (!bfm_safetensors_write(out, list, count, NULL, 0, NULL, error))
        return false;
    json_t *json = json_object();
    json_object_set_new(json, "steps", json_integer(update->steps));
    json_object_set_new(json, "out", json_string(out));
    *update->report = api_report(json, "%lld step%s; %d tensor%s written to %s", (long long)update->steps, bfm_plural(update->steps), count, bfm_plural(count), out);
    return true;
}

/* ---- the whole ---- */

static bool read_recipe(Update *update, BfmError *error)
{
    const Node *recipe = recipe_pick(update->context, update->module, update->options->recipe, error);
    return recipe && (recipe_read(update->context, update->module, recipe, NULL, &update->recipe) || context_rejected(error));
}

static bool prepare(Update *update, BfmError *error)
{
    const BfmContext *context = update->context;
    const Frozen frozen = {update->options->freeze_count, update->options->freeze};
    if (!read_recipe(update, error))
        return false;
    update->engine = engine_new(context->arena, update->kind, update->kind->wide, update->options->threads, error);
    if (!update->engine || !read_weights(update, error) || !read_gradients(update, error))
        return false;
    update->optimizer = optimizer_new(context, update->engine, update->module, &update->recipe, update->store, &frozen, error);
    update->schedule = update->optimizer ? schedule_new(context, update->module, &update->recipe, error) : NULL;
    return update->schedule != NULL;
}

static bool run(Update *update, BfmError *error)
{
    bool ok = prepare(update, error);
    for (int64_t step = 0; ok && step < update->steps; step++)
        ok = one_step(update, step, error);
    return ok && write_results(update, error);
}

bool bfm_update(BfmModule *module, const BfmUpdateOptions *options, BfmReport *report, BfmError *error)
{
    Update update = {.context = &module->context, .options = options, .kind = api_engine(options->engine, error), .report = report, .module = module->module};
    *report = (BfmReport){.text = NULL};
    const bool ok = update.kind && api_is_sound(module, error) && run(&update, error);
    optimizer_free(update.optimizer);
    schedule_free(update.schedule);
    for (int i = 0; update.gradients && i < update.store->count; i++) {
        bfm_buffer_free(update.gradients[i]);
        bfm_buffer_free(update.results[i]);
    }
    bfm_buffer_free(update.factors);
    bfm_buffer_free(update.norms);
    store_free(update.store);
    engine_free(update.engine);
    return ok;
}
