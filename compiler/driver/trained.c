/* Opening what train wrote. */
#include "driver/trained.h"

#include "checkpoint/file.h"
#include "checkpoint/json_file.h"

static bool open_run(Driver *driver, const char *argument, Trained *trained, BfmError *error)
{
    int64_t step;
    if (!run_folder_find(driver->arena, argument, &trained->folder, &step, error))
        return false;
    trained->run = bfm_json_read(trained->folder.json, error);
    if (!trained->run)
        return false;
    trained->checkpoint = step < 0 ? bfm_checkpoint_latest(trained->folder.checkpoints, NULL, error)
                                   : bfm_checkpoint_open(arena_printf(driver->arena, "%s/%lld", trained->folder.checkpoints, (long long)step), error);
    return trained->checkpoint != NULL;
}

int trained_open(Driver *driver, const char *argument, Mode mode, Trained *trained)
{
    BfmError error;
    const char *name;
    int code;
    *trained = (Trained){.run = NULL};
    if (!open_run(driver, argument, trained, &error) || !bfm_json_get_string(trained->run, trained->folder.json, "model", &name, &error))
        return driver_fail(driver, &error);
    return pipeline_model(driver, arena_printf(driver->arena, "%s:%s", trained->folder.model, name), mode, &trained->model, &code) &&
                   pipeline_others(driver, &trained->model, mode, &trained->others, &code)
               ? CODE_OK
               : code;
}

/* Layer states, as train names them in a checkpoint. */
static bool load_states(Driver *driver, const Trained *trained, BfmError *error)
{
    for (int i = 0; i < trained->store->count; i++) {
        const StoreEntry *entry = &trained->store->entries[i];
        if (entry->role != TENSOR_STATE)
            continue;
        const BfmTensor *tensor = bfm_safetensors_expect(trained->checkpoint->state, arena_printf(driver->arena, "layer/%s", entry->path), entry->rank, entry->shape, error);
        if (!tensor || !bfm_tensor_finite(tensor, bfm_safetensors_path(trained->checkpoint->state), error) || !bfm_tensor_read_f32(tensor, entry->data, error))
            return false;
    }
    return true;
}

bool trained_load(Driver *driver, Trained *trained, BfmError *error)
{
    trained->store = store_new(driver->arena, trained->model.lowered, &trained->others, false, error);
    return trained->store && store_load(trained->store, trained->checkpoint->model, true, error) && load_states(driver, trained, error);
}

BfmTokenizer *trained_tokenizer(Driver *driver, const Trained *trained, BfmError *error)
{
    const char *data;
    if (bfm_path_exists(arena_printf(driver->arena, "%s/tokenizer.json", trained->folder.path)))
        return bfm_tokenizer_load(trained->folder.path, error);
    return bfm_json_get_string(trained->run, trained->folder.json, "data", &data, error) ? bfm_tokenizer_load(data, error) : NULL;
}

void trained_close(Trained *trained)
{
    store_free(trained->store);
    bfm_checkpoint_close(trained->checkpoint);
    json_decref(trained->run);
}
