/* Opening what train wrote. */
#include "train/trained.h"

#include "file/file.h"
#include "file/json/json_file.h"

#include <string.h>

/* What run.json says of the hash under a key; false: a run of an earlier version, which has none. */
static bool run_hash(const Trained *trained, const char *key, uint64_t *hash)
{
    BfmError ignored;
    return bfm_json_get_hash(json_object_get(trained->run, "hashes"), trained->folder.json, key, hash, &ignored);
}

static bool run_has(const Trained *trained, const char *key, uint64_t found)
{
    uint64_t expected;
    return !run_hash(trained, key, &expected) || found == expected;
}

/* run.json and every checkpoint hold the same hashes of what was trained on what. */
static bool checkpoint_belongs(const Trained *trained, BfmError *error)
{
    const BfmCheckpointMeta *meta = &trained->checkpoint->meta;
    const bool model = run_has(trained, "model", meta->model_hash), recipe = run_has(trained, "recipe", meta->recipe_hash), data = run_has(trained, "data", meta->data_hash);
    const json_t *seed = json_object_get(trained->run, "seed");
    const bool same_seed = !json_is_integer(seed) || (uint64_t)json_integer_value(seed) == meta->seed;
    return (model && recipe && data && same_seed) ||
           bfm_error_set(error, BFM_ERROR_INPUT, "%s/%lld: a checkpoint of another run than the one that %s describes (another%s%s%s%s); put back the one that was there",
                         trained->folder.checkpoints, (long long)meta->step, trained->folder.json, model ? "" : " model", recipe ? "" : " recipe", data ? "" : " data",
                         same_seed ? "" : " seed");
}

bool trained_open_files(const BfmContext *context, const char *argument, Trained *trained, BfmError *error)
{
    int64_t step, skipped = 0;
    *trained = (Trained){.run = NULL};
    if (!run_folder_find(context->arena, argument, &trained->folder, &step, error))
        return false;
    trained->run = bfm_json_read(trained->folder.json, error);
    if (!trained->run)
        return false;
    trained->checkpoint = step < 0 ? bfm_checkpoint_latest(trained->folder.checkpoints, &skipped, error)
                                   : bfm_checkpoint_open(arena_printf(context->arena, "%s/%lld", trained->folder.checkpoints, (long long)step), error);
    if (!trained->checkpoint || !checkpoint_belongs(trained, error))
        return false;
    if (skipped > 0)
        context_note(context, "warning: %s: %lld newer checkpoint%s damaged; this is step %lld", trained->folder.checkpoints, (long long)skipped, skipped == 1 ? " is" : "s are",
                     (long long)trained->checkpoint->meta.step);
    return true;
}

static bool model_belongs(const Trained *trained, BfmError *error)
{
    BfmMappedFile file;
    if (!bfm_mapped_file_open(&file, trained->folder.model, error))
        return false;
    const bool same = run_has(trained, "model_text", run_text_hash((const char *)file.data, file.size));
    bfm_mapped_file_close(&file);
    return same ||
           bfm_error_set(error, BFM_ERROR_INPUT,
                         "%s: not the text that this run was trained with (its hash is not the one in %s); put it back, or train a changed model as a new run, with --init %s/%lld",
                         trained->folder.model, trained->folder.json, trained->folder.checkpoints, (long long)trained->checkpoint->meta.step);
}

bool trained_open(const BfmContext *context, const char *argument, Mode mode, Trained *trained, BfmError *error)
{
    const char *name;
    if (!trained_open_files(context, argument, trained, error) || !model_belongs(trained, error) || !bfm_json_get_string(trained->run, trained->folder.json, "model", &name, error))
        return false;
    const Target target = {trained->folder.model, name};
    return model_open(context, &target, NULL, mode, &trained->model, error) && model_others(context, &trained->model, mode, &trained->others, error);
}

/* Layer states, as train names them in a checkpoint. */
static bool load_states(const BfmContext *context, const Trained *trained, BfmError *error)
{
    for (int i = 0; i < trained->store->count; i++) {
        const StoreEntry *entry = &trained->store->entries[i];
        if (entry->role != TENSOR_STATE)
            continue;
        const BfmTensor *tensor = bfm_safetensors_expect(trained->checkpoint->state, arena_printf(context->arena, "layer/%s", entry->path), entry->rank, entry->shape, error);
        if (!tensor || !bfm_tensor_finite(tensor, bfm_safetensors_path(trained->checkpoint->state), error) || !bfm_tensor_read_f32(tensor, entry->data, error))
            return false;
    }
    return true;
}

bool trained_load(const BfmContext *context, Trained *trained, BfmError *error)
{
    trained->store = store_new(context->arena, trained->model.lowered, &trained->others, false, error);
    return trained->store && store_load(trained->store, trained->checkpoint->model, true, error) && load_states(context, trained, error);
}

BfmTokenizer *trained_tokenizer(const BfmContext *context, const Trained *trained, BfmError *error)
{
    const char *folder = trained->folder.path;
    if (!bfm_path_exists(arena_printf(context->arena, "%s/tokenizer.json", folder)) && !bfm_json_get_string(trained->run, trained->folder.json, "data", &folder, error))
        return NULL;
    BfmTokenizer *tokenizer = bfm_tokenizer_load(folder, error);
    if (!tokenizer || run_has(trained, "tokenizer", bfm_tokenizer_hash(tokenizer)))
        return tokenizer;
    bfm_tokenizer_free(tokenizer);
    (void)bfm_error_set(error, BFM_ERROR_INPUT,
                        "%s/tokenizer.json: not the tokenizer that the run was trained with (its hash is not the one in %s); put back the one that was there", folder,
                        trained->folder.json);
    return NULL;
}

bool trained_reads(const BfmContext *context, const Trained *trained, const BfmDataset *data, BfmError *error)
{
    BfmTokenizer *own = trained_tokenizer(context, trained, error);
    if (!own)
        return false;
    const char *kind = bfm_tokenizer_kind(own);
    const bool same = bfm_tokenizer_hash(own) == bfm_tokenizer_hash(data->tokenizer);
    if (!same)
        (void)bfm_error_set(
            error, BFM_ERROR_INPUT,
            "%s: its tokenizer (%s, %lld ids) is not the one that %s was trained with (%s, %lld ids), so that the same ids mean other text; pack the text with --tokenizer %s",
            data->folder, bfm_tokenizer_kind(data->tokenizer), (long long)bfm_tokenizer_vocab(data->tokenizer), trained->folder.path, kind, (long long)bfm_tokenizer_vocab(own),
            strcmp(kind, "byte") == 0 ? kind : arena_printf(context->arena, "%s/tokenizer.model", trained->folder.path));
    bfm_tokenizer_free(own);
    return same;
}

bool trained_belongs(const BfmContext *context, const RunFolder *folder, BfmCheckpoint *checkpoint, BfmError *error)
{
    Trained trained = {.folder = *folder, .checkpoint = checkpoint, .run = bfm_json_read(folder->json, error)};
    bool belongs = trained.run && checkpoint_belongs(&trained, error) && model_belongs(&trained, error);
    BfmTokenizer *tokenizer = belongs ? trained_tokenizer(context, &trained, error) : NULL;
    belongs = tokenizer != NULL;
    bfm_tokenizer_free(tokenizer);
    json_decref(trained.run);
    return belongs;
}

void trained_close(Trained *trained)
{
    store_free(trained->store);
    bfm_checkpoint_close(trained->checkpoint);
    json_decref(trained->run);
}
