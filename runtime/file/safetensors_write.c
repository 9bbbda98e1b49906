#include "file/atomic_file.h"
#include "file/json_text.h"
#include "file/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { ALIGNMENT = 8 };

/* Where a tensor's name stands in the header, escaped; length 0: a free slot. */
typedef struct Name {
    size_t at, length;
} Name;

struct BfmSafetensorsWriter {
    BfmAtomicFile file;
    JsonText tensors, metadata; /* members of the header and of __metadata__, commas between */
    Name *names;                /* [slots], a table of hashes */
    size_t slots, count;
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
    writer->hash = XXH3_createState();
    bool ready = writer->hash && XXH3_64bits_reset(writer->hash) == XXH_OK;
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
    free(writer->tensors.data);
    free(writer->metadata.data);
    free(writer->names);
    (void)XXH3_freeState(writer->hash);
    free(writer);
}

bool bfm_safetensors_writer_metadata(BfmSafetensorsWriter *writer, const char *key, const char *value, BfmError *error)
{
    JsonText *text = &writer->metadata;
    if (!json_text_holds(key) || !json_text_holds(value))
        return bfm_error_set(error, BFM_ERROR_BUG, "%s: __metadata__ \"%s\" is not UTF-8", writer->file.path, key);
    return ((text->length == 0 || json_text_append(text, ",", 1)) && json_text_string(text, key) && json_text_append(text, ":", 1) && json_text_string(text, value)) ||
           exhausted(writer, error);
}

/* ---- names ---- */

static Name *slot_of(const BfmSafetensorsWriter *writer, size_t at, size_t length)
{
    const char *text = writer->tensors.data;
    for (size_t slot = (size_t)XXH3_64bits(text + at, length);; slot++) {
        Name *name = &writer->names[slot & (writer->slots - 1)];
        if (name->length == 0 || (name->length == length && memcmp(text + name->at, text + at, length) == 0))
            return name;
    }
}

static bool names_grow(BfmSafetensorsWriter *writer)
{
    if (2 * writer->count < writer->slots)
        return true;
    Name *old = writer->names;
    const size_t old_slots = writer->slots, slots = old_slots ? 2 * old_slots : 64;
    Name *names = calloc(slots, sizeof *names);
    if (!names)
        return false;
    writer->names = names;
    writer->slots = slots;
    for (size_t i = 0; i < old_slots; i++)
        if (old[i].length > 0)
            *slot_of(writer, old[i].at, old[i].length) = old[i];
    free(old);
    return true;
}

/* Appends the name to the header; `*fresh`: no other tensor has it. */
static bool names_add(BfmSafetensorsWriter *writer, const char *name, bool *fresh)
{
    JsonText *text = &writer->tensors;
    if (!names_grow(writer) || (text->length > 0 && !json_text_append(text, ",", 1)))
        return false;
    const size_t at = text->length;
    if (!json_text_string(text, name))
        return false;
    Name *slot = slot_of(writer, at, text->length - at);
    *fresh = slot->length == 0;
    if (*fresh) {
        *slot = (Name){.at = at, .length = text->length - at};
        writer->count++;
    }
    return true;
}

static bool add_fields(JsonText *text, const BfmTensor *tensor, int64_t begin, int64_t end)
{
    bool done = json_text_print(text, ":{\"dtype\":\"%s\",\"shape\":[", bfm_dtype_name(tensor->dtype));
    for (int32_t i = 0; done && i < tensor->rank; i++)
        done = json_text_print(text, i ? ",%" PRId64 : "%" PRId64, tensor->shape[i]);
    return done && json_text_print(text, "],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}", begin, end);
}

bool bfm_safetensors_writer_declare(BfmSafetensorsWriter *writer, const BfmTensor *tensor, BfmError *error)
{
    int64_t bytes, end;
    const char *path = writer->file.path;
    const size_t before = writer->tensors.length;
    bool fresh = false;
    if (writer->begun)
        return bfm_error_set(error, BFM_ERROR_BUG, "%s: tensor \"%s\" declared after data was appended", path, tensor->name);
    if (tensor->rank < 0 || tensor->rank > BFM_TENSOR_MAX_RANK || !bfm_tensor_bytes(tensor, &bytes) || __builtin_add_overflow(writer->declared, bytes, &end))
        return bfm_error_set(error, BFM_ERROR_BUG, "%s: tensor \"%s\" has an impossible shape", path, tensor->name);
    if (!json_text_holds(tensor->name))
        return bfm_error_set(error, BFM_ERROR_BUG, "%s: the tensor name \"%s\" is not UTF-8", path, tensor->name);
    if (strcmp(tensor->name, "__metadata__") != 0 && !names_add(writer, tensor->name, &fresh))
        return exhausted(writer, error);
    if (!fresh) {
        writer->tensors.length = before;
        return bfm_error_set(error, BFM_ERROR_BUG, "%s: tensor \"%s\" declared twice", path, tensor->name);
    }
    if (!add_fields(&writer->tensors, tensor, writer->declared, end))
        return exhausted(writer, error);
    writer->declared = end;
    return true;
}

static bool emit(BfmSafetensorsWriter *writer, const void *data, size_t bytes, BfmError *error)
{
    return bytes == 0 || (bfm_atomic_file_write(&writer->file, data, bytes, error) && (XXH3_64bits_update(writer->hash, data, bytes) == XXH_OK || exhausted(writer, error)));
}

static bool emit_header(BfmSafetensorsWriter *writer, const JsonText *text, BfmError *error)
{
    const size_t padding = (ALIGNMENT - text->length % ALIGNMENT) % ALIGNMENT;
    const uint64_t total = text->length + padding;
    return emit(writer, &total, sizeof total, error) && emit(writer, text->data, text->length, error) && emit(writer, "        ", padding, error);
}

/* __metadata__ first, tensors in order of declaration, spaces up to a multiple of 8 so that the data is aligned. */
static bool begin(BfmSafetensorsWriter *writer, BfmError *error)
{
    const JsonText *metadata = &writer->metadata, *tensors = &writer->tensors;
    JsonText whole = {0};
    bool built = json_text_append(&whole, "{", 1);
    if (metadata->length > 0)
        built = built && json_text_print(&whole, "\"__metadata__\":{") && json_text_append(&whole, metadata->data, metadata->length) && json_text_append(&whole, "}", 1) &&
                (tensors->length == 0 || json_text_append(&whole, ",", 1));
    built = built && (tensors->length == 0 || json_text_append(&whole, tensors->data, tensors->length)) && json_text_append(&whole, "}", 1);
    bool written = built ? emit_header(writer, &whole, error) : exhausted(writer, error);
    free(whole.data);
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
