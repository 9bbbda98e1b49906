#include "model/model.h"

#include <stdlib.h>
#include <string.h>

#include "file/safetensors.h"
#include "memory/buffer.h"
#include "rng/rng.h"

struct BfmTensors {
    const BfmModel *model;
    void **data; /* [tensor_count], elements of BFM_MODEL_ELEM */
    int64_t *elements;
};

bool bfm_model_check(const BfmModel *model, BfmError *error)
{
    if (memcmp(model->magic, BFM_MODEL_MAGIC, sizeof model->magic) != 0)
        return bfm_error_set(error, BFM_ERROR_INPUT, "this is no compiled model");
    if (model->version != BFM_MODEL_VERSION)
        return bfm_error_set(error, BFM_ERROR_INPUT, "the model was built for version %llu of the runtime library's tables and this library has version %d; build it again",
                             (unsigned long long)model->version, BFM_MODEL_VERSION);
    for (uint64_t e = 0; e < model->entry_count; e++)
        if (!bfm_plan_check(model->entries[e].plan, model->entries[e].plan_bytes, error))
            return false;
    return true;
}

const BfmModelEntry *bfm_model_entry(const BfmModel *model, const char *name)
{
    for (uint64_t e = 0; e < model->entry_count; e++)
        if (strcmp(model->entries[e].name, name) == 0)
            return &model->entries[e];
    return NULL;
}

bool bfm_model_bind(BfmInstance *instance, int64_t batch, int64_t length, BfmError *error)
{
    int64_t symbols[BFM_PLAN_SYMBOLS] = {batch, length, 0, length}; /* bfm/plan.h: b, l, p, n, then s0 … s7 */
    for (int s = 4; s < BFM_PLAN_SYMBOLS; s++)
        symbols[s] = 1;
    return bfm_instance_bind(instance, symbols, error);
}

/* ---- memory ---- */

static bool make_memory(BfmTensors *tensors, BfmError *error)
{
    const BfmModel *model = tensors->model;
    tensors->data = calloc(model->tensor_count + 1, sizeof *tensors->data);
    tensors->elements = calloc(model->tensor_count + 1, sizeof *tensors->elements);
    if (!tensors->data || !tensors->elements)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
    for (uint64_t t = 0; t < model->tensor_count; t++) {
        const BfmModelTensor *tensor = &model->tensors[t];
        if (tensor->rank > BFM_MODEL_RANK || !bfm_shape_count((int32_t)tensor->rank, tensor->shape, &tensors->elements[t]))
            return bfm_error_set(error, BFM_ERROR_INPUT, "%s has a shape that is none", tensor->path);
        const size_t bytes = bfm_elem_bytes(BFM_MODEL_ELEM, tensors->elements[t]);
        tensors->data[t] = bfm_buffer_new(bytes);
        if (!tensors->data[t])
            return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted by the parameters, at %s", tensor->path);
        memset(tensors->data[t], 0, bytes);
    }
    return true;
}

BfmTensors *bfm_tensors_new(const BfmModel *model, BfmError *error)
{
    BfmTensors *tensors = bfm_model_check(model, error) ? calloc(1, sizeof *tensors) : NULL;
    if (!tensors)
        return NULL;
    tensors->model = model;
    if (make_memory(tensors, error))
        return tensors;
    bfm_tensors_free(tensors);
    return NULL;
}

void bfm_tensors_free(BfmTensors *tensors)
{
    if (!tensors)
        return;
    for (uint64_t t = 0; tensors->data && t < tensors->model->tensor_count; t++)
        bfm_buffer_free(tensors->data[t]);
    free(tensors->data);
    free(tensors->elements);
    free(tensors);
}

const BfmModel *bfm_tensors_model(const BfmTensors *tensors) { return tensors->model; }
float *bfm_tensors_at(const BfmTensors *tensors, int64_t index) { return tensors->data[index]; }

float *bfm_tensors_find(const BfmTensors *tensors, const char *path)
{
    for (uint64_t t = 0; t < tensors->model->tensor_count; t++)
        if (strcmp(tensors->model->tensors[t].path, path) == 0)
            return tensors->data[t];
    return NULL;
}

/* ---- values ---- */

void bfm_tensors_init(BfmTensors *tensors, uint64_t seed)
{
    for (uint64_t t = 0; t < tensors->model->tensor_count; t++) {
        const BfmModelTensor *tensor = &tensors->model->tensors[t];
        const BfmRng rng = bfm_rng_init(seed, tensor->stream, 0);
        for (int64_t i = 0; i < tensors->elements[t]; i++)
            bfm_elem_store(BFM_MODEL_ELEM, tensors->data[t], i,
                           tensor->init == BFM_INIT_NORMAL   ? tensor->mean + tensor->std * bfm_rng_normal(rng, (uint64_t)i)
                           : tensor->init == BFM_INIT_VALUES ? (double)tensor->values[i]
                                                             : tensor->mean);
    }
}

static BfmTensor file_tensor(const BfmTensors *tensors, uint64_t t)
{
    const BfmModelTensor *from = &tensors->model->tensors[t];
    BfmTensor tensor = {.name = from->path, .dtype = bfm_elem_dtype(BFM_MODEL_ELEM), .rank = (int32_t)from->rank, .data = tensors->data[t]};
    memcpy(tensor.shape, from->shape, sizeof tensor.shape);
    return tensor;
}

/* Nothing is changed before the whole file is known to fit. */
static bool load_checked(BfmTensors *tensors, const BfmSafetensors *file, const BfmTensor **found, const char **names, BfmError *error)
{
    const BfmModel *model = tensors->model;
    int64_t count = 0;
    for (uint64_t t = 0; t < model->tensor_count; t++) {
        const BfmModelTensor *tensor = &model->tensors[t];
        if (tensor->role != BFM_PORT_PARAM)
            continue;
        found[t] = bfm_safetensors_expect(file, tensor->path, (int32_t)tensor->rank, tensor->shape, error);
        if (!found[t] || !bfm_tensor_finite(found[t], bfm_safetensors_path(file), error))
            return false;
        names[count++] = tensor->path;
    }
    if (!bfm_safetensors_expect_only(file, names, count, error))
        return false;
    for (uint64_t t = 0; t < model->tensor_count; t++)
        if (found[t] && !bfm_tensor_read(found[t], BFM_MODEL_ELEM, tensors->data[t], error))
            return false;
    return true;
}

bool bfm_tensors_load(BfmTensors *tensors, const char *path, BfmError *error)
{
    BfmSafetensors *file = bfm_safetensors_open(path, error);
    if (!file)
        return false;
    const BfmTensor **found = calloc(tensors->model->tensor_count + 1, sizeof *found);
    const char **names = calloc(tensors->model->tensor_count + 1, sizeof *names);
    const bool ok = found && names ? load_checked(tensors, file, found, names, error) : bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
    free(found);
    free(names);
    bfm_safetensors_close(file);
    return ok;
}

bool bfm_tensors_save(const BfmTensors *tensors, const char *path, BfmError *error)
{
    BfmTensor *list = calloc(tensors->model->tensor_count + 1, sizeof *list);
    int64_t count = 0;
    if (!list)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
    for (uint64_t t = 0; t < tensors->model->tensor_count; t++)
        if (tensors->model->tensors[t].role == BFM_PORT_PARAM)
            list[count++] = file_tensor(tensors, t);
    bool ok = true;
    for (int64_t i = 0; ok && i < count; i++)
        ok = bfm_tensor_finite(&list[i], NULL, error);
    ok = ok && bfm_safetensors_write(path, list, count, NULL, 0, NULL, error);
    free(list);
    return ok;
}

/* ---- binding ---- */

static const BfmModelEntry *find_entry(const BfmTensors *tensors, const char *name, BfmError *error)
{
    const BfmModelEntry *entry = bfm_model_entry(tensors->model, name);
    if (!entry)
        bfm_error_set(error, BFM_ERROR_INPUT, "the model was built without `%s`", name);
    return entry;
}

/* What a formal reads, NULL for inputs and for states that are not the model's. */
static void *memory_of(const BfmTensors *tensors, const BfmPlan *plan, int formal)
{
    const BfmPlanPort *port = &bfm_plan_formals(plan)[formal];
    return port->kind == BFM_PORT_INPUT ? NULL : bfm_tensors_find(tensors, bfm_plan_text(plan, port->name));
}

bool bfm_tensors_bind(BfmTensors *tensors, const char *name, BfmInstance *instance, BfmError *error)
{
    const BfmModelEntry *entry = find_entry(tensors, name, error);
    for (int f = 0; entry && f < (int)entry->plan->formals.count; f++) {
        void *memory = memory_of(tensors, entry->plan, f);
        if (memory)
            bfm_instance_set_formal(instance, f, memory);
    }
    return entry != NULL;
}

bool bfm_tensors_commit(BfmTensors *tensors, const char *name, const BfmInstance *instance, BfmError *error)
{
    const BfmModelEntry *entry = find_entry(tensors, name, error);
    for (int o = 0; entry && o < (int)entry->plan->outputs.count; o++) {
        const BfmPlanPort *port = &bfm_plan_outputs(entry->plan)[o];
        void *memory = port->kind == BFM_OUTPUT_NEXT && port->formal >= 0 ? memory_of(tensors, entry->plan, port->formal) : NULL;
        const void *value = bfm_instance_output(instance, o);
        if (memory && value != memory)
            memcpy(memory, value, bfm_instance_output_size(instance, o));
    }
    return entry != NULL;
}

BfmDecoder *bfm_tensors_decoder(BfmTensors *tensors, BfmPool *pool, int64_t batch, int64_t length, BfmError *error)
{
    const BfmModelEntry *entry = find_entry(tensors, "decode", error);
    BfmDecoder *decoder = entry ? bfm_decoder_new(entry->plan, (const BfmFunction *)entry->functions, pool, batch, length, error) : NULL;
    for (int f = 0; decoder && f < (int)entry->plan->formals.count; f++) {
        void *memory = bfm_decoder_owns(decoder, f) ? NULL : memory_of(tensors, entry->plan, f);
        if (memory)
            bfm_decoder_set_formal(decoder, f, memory);
    }
    return decoder;
}
