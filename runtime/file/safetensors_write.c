#include "file/atomic_file.h"
#include "file/safetensors.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { ALIGNMENT = 8 };

struct BfmSafetensorsWriter {
    BfmAtomicFile file;
    json_t *header, *metadata; /* owned both */
    XXH3_state_t *hash;
    int64_t declared, appended; /* bytes of data */
    bool begun;                 /* the header is written */
};

static bool exhausted(const BfmSafetensorsWriter *writer, BfmError *error)
{
    return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: out of memory while writing", writer->file.path);
}

BfmSafetensorsWriter *bfm_safetensors_writer_new(const char *path, BfmError *error)
{
    BfmSafetensorsWriter *writer = calloc(1, sizeof *writer);
    if (!writer) {
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: out of memory while writing", path);
        return NULL;
    }
    writer->header = json_object();
    writer->metadata = json_object();
    writer->hash = XXH3_createState();
    bool ready = writer->header && writer->metadata && writer->hash && XXH3_64bits_reset(writer->hash) == XXH_OK;
    if (!ready)
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: out of memory while writing", path);
    if (ready && bfm_atomic_file_open(&writer->file, path, error))
        return writer;
    bfm_safetensors_writer_free(writer);
    return NULL;
}

void bfm_safetensors_writer_free(BfmSafetensorsWriter *writer)
{
    if (!writer)
        return;
    bfm_atomic_file_discard(&writer->file);
    json_decref(writer->header);
    json_decref(writer->metadata);
    (void)XXH3_freeState(writer->hash);
    free(writer);
}

bool bfm_safetensors_writer_metadata(BfmSafetensorsWriter *writer, const char *key, const char *value, BfmError *error)
{
    return json_object_set_new(writer->metadata, key, json_string(value)) == 0 ||
           bfm_error_set(error, BFM_ERROR_BUG, "%s: __metadata__ \"%s\" is not UTF-8 or memory is exhausted", writer->file.path, key);
}

static json_t *shape_json(const BfmTensor *tensor)
{
    json_t *shape = json_array();
    for (int32_t i = 0; shape && i < tensor->rank; i++)
        (void)json_array_append_new(shape, json_integer(tensor->shape[i]));
    return shape;
}

bool bfm_safetensors_writer_declare(BfmSafetensorsWriter *writer, const BfmTensor *tensor, BfmError *error)
{
    int64_t bytes, end;
    const char *path = writer->file.path;
    if (writer->begun)
        return bfm_error_set(error, BFM_ERROR_BUG, "%s: tensor \"%s\" declared after data was appended", path, tensor->name);
    if (json_object_get(writer->header, tensor->name) || strcmp(tensor->name, "__metadata__") == 0)
        return bfm_error_set(error, BFM_ERROR_BUG, "%s: tensor \"%s\" declared twice", path, tensor->name);
    if (tensor->rank < 0 || tensor->rank > BFM_TENSOR_MAX_RANK || !bfm_tensor_bytes(tensor, &bytes) || __builtin_add_overflow(writer->declared, bytes, &end))
        return bfm_error_set(error, BFM_ERROR_BUG, "%s: tensor \"%s\" has an impossible shape", path, tensor->name);
    json_t *item =
        json_pack("{s:s, s:o, s:[I, I]}", "dtype", bfm_dtype_name(tensor->dtype), "shape", shape_json(tensor), "data_offsets", (json_int_t)writer->declared, (json_int_t)end);
    if (!item || json_object_set_new(writer->header, tensor->name, item) != 0)
        return bfm_error_set(error, BFM_ERROR_BUG, "%s: the tensor name \"%s\" is not UTF-8 or memory is exhausted", path, tensor->name);
    writer->declared = end;
    return true;
}

static bool emit(BfmSafetensorsWriter *writer, const void *data, size_t bytes, BfmError *error)
{
    return bytes == 0 || (bfm_atomic_file_write(&writer->file, data, bytes, error) && (XXH3_64bits_update(writer->hash, data, bytes) == XXH_OK || exhausted(writer, error)));
}

/* __metadata__ first, tensors in order of declaration, spaces up to a multiple of 8 so that the data is aligned. */
static bool begin(BfmSafetensorsWriter *writer, BfmError *error)
{
    json_t *whole = json_object();
    bool built =
        whole && (json_object_size(writer->metadata) == 0 || json_object_set(whole, "__metadata__", writer->metadata) == 0) && json_object_update(whole, writer->header) == 0;
    char *text = built ? json_dumps(whole, JSON_COMPACT) : NULL;
    json_decref(whole);
    if (!text)
        return exhausted(writer, error);
    size_t length = strlen(text), padding = (ALIGNMENT - length % ALIGNMENT) % ALIGNMENT;
    uint64_t total = length + padding;
    bool written = emit(writer, &total, sizeof total, error) && emit(writer, text, length, error) && emit(writer, "        ", padding, error);
    free(text);
    writer->begun = true;
    return written;
}

bool bfm_safetensors_writer_append(BfmSafetensorsWriter *writer, const void *data, size_t bytes, BfmError *error)
{
    if (!writer->begun && !begin(writer, error))
        return false;
    if (bytes > (size_t)(writer->declared - writer->appended))
        return bfm_error_set(error, BFM_ERROR_BUG, "%s: more data appended than declared", writer->file.path);
    writer->appended += (int64_t)bytes;
    return emit(writer, data, bytes, error);
}

bool bfm_safetensors_writer_finish(BfmSafetensorsWriter *writer, uint64_t *hash, BfmError *error)
{
    if (!writer->begun && !begin(writer, error))
        return false;
    if (writer->appended != writer->declared)
        return bfm_error_set(error, BFM_ERROR_BUG, "%s: %" PRId64 " bytes of data declared, %" PRId64 " appended", writer->file.path, writer->declared, writer->appended);
    if (hash)
        *hash = XXH3_64bits_digest(writer->hash);
    return bfm_atomic_file_commit(&writer->file, error);
}

static int by_size_then_name(const void *left, const void *right)
{
    const BfmTensor *a = *(const BfmTensor *const *)left, *b = *(const BfmTensor *const *)right;
    size_t a_bytes = bfm_dtype_bytes(a->dtype), b_bytes = bfm_dtype_bytes(b->dtype);
    return a_bytes == b_bytes ? strcmp(a->name, b->name) : a_bytes > b_bytes ? -1 : 1;
}

static bool write_sorted(BfmSafetensorsWriter *writer, const BfmTensor *const *order, int64_t count, uint64_t *hash, BfmError *error)
{
    for (int64_t i = 0; i < count; i++)
        if (!bfm_safetensors_writer_declare(writer, order[i], error))
            return false;
    for (int64_t i = 0; i < count; i++) {
        int64_t bytes = 0;
        (void)bfm_tensor_bytes(order[i], &bytes); /* checked when declared */
        if (!bfm_safetensors_writer_append(writer, order[i]->data, (size_t)bytes, error))
            return false;
    }
    return bfm_safetensors_writer_finish(writer, hash, error);
}

bool bfm_safetensors_write(const char *path, const BfmTensor *tensors, int64_t count, const BfmMetadata *metadata, int64_t metadata_count, uint64_t *hash, BfmError *error)
{
    BfmSafetensorsWriter *writer = bfm_safetensors_writer_new(path, error);
    if (!writer)
        return false;
    const BfmTensor **order = malloc(((size_t)count + 1) * sizeof *order);
    bool written = order || exhausted(writer, error);
    for (int64_t i = 0; written && i < count; i++)
        order[i] = &tensors[i];
    for (int64_t i = 0; written && i < metadata_count; i++)
        written = bfm_safetensors_writer_metadata(writer, metadata[i].key, metadata[i].value, error);
    if (written) {
        if (count > 0)
            qsort(order, (size_t)count, sizeof *order, by_size_then_name);
        written = write_sorted(writer, order, count, hash, error);
    }
    free(order);
    bfm_safetensors_writer_free(writer);
    return written;
}
