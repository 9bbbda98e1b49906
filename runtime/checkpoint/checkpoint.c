#include "checkpoint/checkpoint.h"

#include "file/atomic_file.h"
#include "file/file.h"
#include "file/json/json_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const char MODEL_NAME[] = "model.safetensors", STATE_NAME[] = "state.safetensors", META_NAME[] = "meta.json";

enum { SCHEMA = 1, HASH_COUNT = 4 };

/* -- meta.json -- */
static const char *const HASH_KEYS[HASH_COUNT] = {"seed", "model_hash", "recipe_hash", "data_hash"};

static bool write_meta(const char *path, const BfmCheckpointMeta *meta, uint64_t model, uint64_t state, BfmError *error)
{
    const uint64_t values[HASH_COUNT] = {meta->seed, meta->model_hash, meta->recipe_hash, meta->data_hash};
    char model_text[BFM_HASH_TEXT], state_text[BFM_HASH_TEXT], text[BFM_HASH_TEXT];
    bfm_hash_text(model, model_text);
    bfm_hash_text(state, state_text);
    json_t *object = json_pack("{s:i, s:I, s:I, s:I, s:o, s:{s:s, s:s}}", "schema", SCHEMA, "step", (json_int_t)meta->step, "position", (json_int_t)meta->position, "tokens",
                               (json_int_t)meta->tokens, "seconds", bfm_json_number(meta->seconds), "files", MODEL_NAME, model_text, STATE_NAME, state_text);
    bool packed = object != NULL;
    for (int i = 0; packed && i < HASH_COUNT; i++) { /* 64 bits as text: JSON numbers lose the high ones in many readers */
        bfm_hash_text(values[i], text);
        packed = json_object_set_new(object, HASH_KEYS[i], json_string(text)) == 0;
    }
    bool written = packed ? bfm_json_write(path, object, error) : bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: out of memory", path);
    json_decref(object);
    return written;
}

static bool parse_meta(const json_t *object, const char *path, BfmCheckpointMeta *meta, uint64_t *model, uint64_t *state, BfmError *error)
{
    int64_t schema;
    const json_t *files = json_object_get(object, "files");
    uint64_t *const values[HASH_COUNT] = {&meta->seed, &meta->model_hash, &meta->recipe_hash, &meta->data_hash};
    meta->seconds = json_number_value(json_object_get(object, "seconds"));
    for (int i = 0; i < HASH_COUNT; i++)
        if (!bfm_json_get_hash(object, path, HASH_KEYS[i], values[i], error))
            return false;
    return bfm_json_get_int(object, path, "schema", SCHEMA, SCHEMA, &schema, error) && bfm_json_get_int(object, path, "step", 0, INT64_MAX, &meta->step, error) &&
           bfm_json_get_int(object, path, "position", 0, INT64_MAX, &meta->position, error) && bfm_json_get_int(object, path, "tokens", 0, INT64_MAX, &meta->tokens, error) &&
           bfm_json_get_hash(files, path, MODEL_NAME, model, error) && bfm_json_get_hash(files, path, STATE_NAME, state, error);
}

static bool read_meta(const char *folder, BfmCheckpointMeta *meta, uint64_t *model, uint64_t *state, BfmError *error)
{
    char *path = bfm_path_join(folder, META_NAME, error);
    json_t *object = path ? bfm_json_read(path, error) : NULL;
    bool read = object && parse_meta(object, path, meta, model, state, error);
    json_decref(object);
    free(path);
    return read;
}

/* -- one checkpoint -- */
char *bfm_checkpoint_path(const char *root, int64_t step, BfmError *error)
{
    char name[32];
    (void)snprintf(name, sizeof name, "%" PRId64, step);
    return bfm_path_join(root, name, error);
}

static bool write_tensors(const char *folder, const char *name, int64_t step, const BfmTensor *tensors, int64_t count, uint64_t *hash, BfmError *error)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%" PRId64, step);
    const BfmMetadata metadata[] = {{"format", "bfm"}, {"step", text}};
    char *path = bfm_path_join(folder, name, error);
    bool written = path && bfm_safetensors_write(path, tensors, count, metadata, sizeof metadata / sizeof *metadata, hash, error);
    free(path);
    return written;
}

bool bfm_checkpoint_write(const char *root, const BfmCheckpointMeta *meta, const BfmTensor *model, int64_t model_count, const BfmTensor *state, int64_t state_count,
                          BfmError *error)
{
    BfmAtomicDirectory directory = {0};
    uint64_t model_hash = 0, state_hash = 0;
    char *path = bfm_checkpoint_path(root, meta->step, error);
    bool written = path && bfm_directory_make(root, error) && bfm_atomic_directory_begin(&directory, path, error);
    char *meta_path = written ? bfm_path_join(directory.temporary, META_NAME, error) : NULL;
    written = written && meta_path && write_tensors(directory.temporary, MODEL_NAME, meta->step, model, model_count, &model_hash, error) &&
              write_tensors(directory.temporary, STATE_NAME, meta->step, state, state_count, &state_hash, error) && write_meta(meta_path, meta, model_hash, state_hash, error) &&
              bfm_atomic_directory_commit(&directory, error);
    bfm_atomic_directory_discard(&directory);
    free(meta_path);
    free(path);
    return written;
}

static BfmSafetensors *open_checked(const char *folder, const char *name, uint64_t expected, BfmError *error)
{
    char *path = bfm_path_join(folder, name, error);
    BfmMappedFile file;
    BfmSafetensors *tensors = NULL;
    if (path && bfm_mapped_file_open(&file, path, error)) {
        bool same = XXH3_64bits(file.data, file.size) == expected;
        bfm_mapped_file_close(&file);
        if (same)
            tensors = bfm_safetensors_open(path, error);
        else
            (void)bfm_error_set(error, BFM_ERROR_INPUT, "%s: damaged or replaced (its hash is not the one in %s); use another checkpoint", path, META_NAME);
    }
    free(path);
    return tensors;
}

BfmCheckpoint *bfm_checkpoint_open(const char *folder, BfmError *error)
{
    BfmCheckpoint *checkpoint = calloc(1, sizeof *checkpoint);
    uint64_t model = 0, state = 0;
    if (!checkpoint) {
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: out of memory", folder);
        return NULL;
    }
    if (read_meta(folder, &checkpoint->meta, &model, &state, error) && (checkpoint->model = open_checked(folder, MODEL_NAME, model, error)) != NULL &&
        (checkpoint->state = open_checked(folder, STATE_NAME, state, error)) != NULL)
        return checkpoint;
    bfm_checkpoint_close(checkpoint);
    return NULL;
}

void bfm_checkpoint_close(BfmCheckpoint *checkpoint)
{
    if (!checkpoint)
        return;
    bfm_safetensors_close(checkpoint->model);
    bfm_safetensors_close(checkpoint->state);
    free(checkpoint);
}

static void add_difference(char *text, size_t size, const char *name, bool differs)
{
    if (differs)
        (void)snprintf(text + strlen(text), size - strlen(text), "%s%s", *text ? ", " : "", name);
}

bool bfm_checkpoint_same_training(const BfmCheckpointMeta *found, const BfmCheckpointMeta *expected, BfmError *error)
{
    char differences[64] = "";
    add_difference(differences, sizeof differences, "model", found->model_hash != expected->model_hash);
    add_difference(differences, sizeof differences, "recipe", found->recipe_hash != expected->recipe_hash);
    add_difference(differences, sizeof differences, "data", found->data_hash != expected->data_hash);
    add_difference(differences, sizeof differences, "seed", found->seed != expected->seed);
    return !*differences ||
           bfm_error_set(error, BFM_ERROR_INPUT, "the checkpoint of step %" PRId64 " was made with another %s; resume with what it was made with, or start a new run with --init",
                         found->step, differences);
}
