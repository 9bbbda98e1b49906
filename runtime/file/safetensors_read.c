#include "file/file.h"
#include "file/safetensors.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char METADATA_KEY[] = "__metadata__";

enum { LENGTH_BYTES = 8, MAX_HEADER_BYTES = 100 * 1000 * 1000 }; /* the limit of the reference implementation */

typedef struct Entry {
    BfmTensor tensor;
    int64_t begin, end; /* bytes from the start of the data */
} Entry;

struct BfmSafetensors {
    BfmMappedFile file;
    char *path;
    json_t *header; /* owns the names */
    Entry *entries; /* sorted by name */
    int64_t count;
    const unsigned char *data;
    int64_t data_bytes;
};

static bool parse_header(BfmSafetensors *file, BfmError *error)
{
    uint64_t length = 0;
    if (file->file.size < LENGTH_BYTES)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: no safetensors file: expected at least %d bytes, found %zu", file->path, LENGTH_BYTES, file->file.size);
    memcpy(&length, file->file.data, LENGTH_BYTES);
    if (length > MAX_HEADER_BYTES)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: no safetensors file: its header would be %" PRIu64 " bytes long, the limit is %d", file->path, length, MAX_HEADER_BYTES);
    if (length > file->file.size - LENGTH_BYTES)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: truncated: the header is %" PRIu64 " bytes long, but only %zu follow; copy the file again", file->path, length,
                             file->file.size - LENGTH_BYTES);
    json_error_t reason;
    file->header = json_loadb((const char *)file->file.data + LENGTH_BYTES, (size_t)length, JSON_REJECT_DUPLICATES, &reason);
    if (!file->header && json_error_code(&reason) == json_error_duplicate_key)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: the header names a tensor or a field twice: %s; each name may stand once", file->path, reason.text);
    if (!file->header)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: the header is not JSON: byte %d: %s", file->path, reason.position, reason.text);
    if (!json_is_object(file->header))
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: expected a JSON object as header, found something else", file->path);
    file->data = file->file.data + LENGTH_BYTES + length;
    file->data_bytes = (int64_t)(file->file.size - LENGTH_BYTES - length);
    return true;
}

static bool entry_error(const BfmSafetensors *file, const char *name, const char *expected, BfmError *error)
{
    return bfm_error_set(error, BFM_ERROR_INPUT, "%s: tensor \"%.200s\": expected %s", file->path, name, expected);
}

static bool parse_shape(const BfmSafetensors *file, const json_t *shape, BfmTensor *tensor, BfmError *error)
{
    if (!json_is_array(shape))
        return entry_error(file, tensor->name, "\"shape\" to be a list of whole numbers", error);
    if (json_array_size(shape) > BFM_TENSOR_MAX_RANK)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: tensor \"%.200s\" has %zu dimensions; at most %d can be read", file->path, tensor->name, json_array_size(shape),
                             BFM_TENSOR_MAX_RANK);
    tensor->rank = (int32_t)json_array_size(shape);
    for (int32_t i = 0; i < tensor->rank; i++) {
        const json_t *dimension = json_array_get(shape, (size_t)i);
        if (!json_is_integer(dimension) || json_integer_value(dimension) < 0)
            return entry_error(file, tensor->name, "every dimension to be a whole number >= 0", error);
        tensor->shape[i] = json_integer_value(dimension);
    }
    return true;
}

static bool parse_dtype(const BfmSafetensors *file, const json_t *dtype, BfmTensor *tensor, BfmError *error)
{
    const char *text = json_string_value(dtype);
    if (!text)
        return entry_error(file, tensor->name, "\"dtype\" to be a string such as \"F32\"", error);
    return bfm_dtype_find(text, &tensor->dtype) ||
           bfm_error_set(error, BFM_ERROR_INPUT, "%s: tensor \"%.200s\" has the unknown dtype \"%.20s\"; expected F32, F64, BF16, F16, an integer or BOOL", file->path,
                         tensor->name, text);
}

static bool parse_offsets(const BfmSafetensors *file, const json_t *offsets, Entry *entry, BfmError *error)
{
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return entry_error(file, entry->tensor.name, "\"data_offsets\" to be two whole numbers", error);
    entry->begin = json_integer_value(begin);
    entry->end = json_integer_value(end);
    if (entry->begin < 0 || entry->end < entry->begin || entry->end > file->data_bytes)
        return bfm_error_set(error, BFM_ERROR_INPUT,
                             "%s: tensor \"%.200s\" claims the bytes %" PRId64 " to %" PRId64 ", but the file holds %" PRId64
                             " bytes of data; it is truncated or damaged: copy or write it again",
                             file->path, entry->tensor.name, entry->begin, entry->end, file->data_bytes);
    int64_t bytes;
    char shape[BFM_SHAPE_TEXT];
    if (!bfm_tensor_bytes(&entry->tensor, &bytes) || bytes != entry->end - entry->begin)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: tensor \"%.200s\": %s %s does not fit the %" PRId64 " byte%s the header gives it", file->path, entry->tensor.name,
                             bfm_dtype_name(entry->tensor.dtype), bfm_shape_text(entry->tensor.rank, entry->tensor.shape, shape), entry->end - entry->begin,
                             bfm_plural(entry->end - entry->begin));
    entry->tensor.data = file->data + entry->begin;
    return true;
}

static bool parse_entry(const BfmSafetensors *file, const char *name, const json_t *item, Entry *entry, BfmError *error)
{
    entry->tensor.name = name;
    if (!json_is_object(item) || json_object_size(item) != 3)
        return entry_error(file, name, "exactly the fields dtype, shape and data_offsets", error);
    return parse_dtype(file, json_object_get(item, "dtype"), &entry->tensor, error) && parse_shape(file, json_object_get(item, "shape"), &entry->tensor, error) &&
           parse_offsets(file, json_object_get(item, "data_offsets"), entry, error);
}

static bool check_metadata(const BfmSafetensors *file, const json_t *metadata, BfmError *error)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: expected __metadata__ to be an object", file->path);
    json_object_foreach((json_t *)(size_t)metadata, key, value) if (!json_is_string(value)) return bfm_error_set(error, BFM_ERROR_INPUT,
                                                                                                                 "%s: __metadata__ \"%.200s\": expected a string", file->path, key);
    return true;
}

static int by_place(const void *left, const void *right)
{
    const Entry *a = left, *b = right;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return a->end == b->end ? strcmp(a->tensor.name, b->tensor.name) : a->end < b->end ? -1 : 1;
}

static int by_name(const void *left, const void *right) { return strcmp(((const Entry *)left)->tensor.name, ((const Entry *)right)->tensor.name); }

/* The data must be covered once, without holes: then no bytes hide and none belong to two tensors. Leaves the entries in order of place. */
static bool check_cover(BfmSafetensors *file, BfmError *error)
{
    int64_t covered = 0;
    if (file->count > 0)
        qsort(file->entries, (size_t)file->count, sizeof *file->entries, by_place);
    for (int64_t i = 0; i < file->count; i++) {
        const Entry *entry = &file->entries[i];
        if (entry->begin < covered)
            return bfm_error_set(error, BFM_ERROR_INPUT, "%s: the tensors \"%.200s\" and \"%.200s\" overlap at byte %" PRId64 " of the data", file->path,
                                 file->entries[i - 1].tensor.name, entry->tensor.name, entry->begin);
        if (entry->begin > covered)
            return bfm_error_set(error, BFM_ERROR_INPUT, "%s: tensor \"%.200s\": expected it to start at byte %" PRId64 " of the data, found %" PRId64, file->path,
                                 entry->tensor.name, covered, entry->begin);
        covered = entry->end;
    }
    return covered == file->data_bytes || bfm_error_set(error, BFM_ERROR_INPUT, "%s: the tensors cover %" PRId64 " byte%s of data, but %" PRId64 " follow the header", file->path,
                                                        covered, bfm_plural(covered), file->data_bytes);
}

static bool parse_entries(BfmSafetensors *file, BfmError *error)
{
    file->entries = calloc(json_object_size(file->header) + 1, sizeof *file->entries);
    if (!file->entries)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: out of memory for its %zu tensors", file->path, json_object_size(file->header));
    const char *key;
    json_t *item;
    json_object_foreach(file->header, key, item)
    {
        bool metadata = strcmp(key, METADATA_KEY) == 0;
        if (metadata ? !check_metadata(file, item, error) : !parse_entry(file, key, item, &file->entries[file->count], error))
            return false;
        file->count += !metadata;
    }
    if (!check_cover(file, error))
        return false;
    if (file->count > 0)
        qsort(file->entries, (size_t)file->count, sizeof *file->entries, by_name);
    return true;
}

BfmSafetensors *bfm_safetensors_open(const char *path, BfmError *error)
{
    BfmSafetensors *file = calloc(1, sizeof *file);
    char *copy = strdup(path);
    if (!file || !copy) {
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: out of memory", path);
        free(file);
        free(copy);
        return NULL;
    }
    file->path = copy;
    if (bfm_mapped_file_open(&file->file, path, error) && parse_header(file, error) && parse_entries(file, error))
        return file;
    bfm_safetensors_close(file);
    return NULL;
}

void bfm_safetensors_close(BfmSafetensors *file)
{
    if (!file)
        return;
    json_decref(file->header);
    bfm_mapped_file_close(&file->file);
    free(file->entries);
    free(file->path);
    free(file);
}

const char *bfm_safetensors_path(const BfmSafetensors *file) { return file->path; }

int64_t bfm_safetensors_count(const BfmSafetensors *file) { return file->count; }

const BfmTensor *bfm_safetensors_at(const BfmSafetensors *file, int64_t index) { return &file->entries[index].tensor; }

const BfmTensor *bfm_safetensors_get(const BfmSafetensors *file, const char *name)
{
    const Entry key = {.tensor.name = name};
    const Entry *found = file->count ? bsearch(&key, file->entries, (size_t)file->count, sizeof key, by_name) : NULL;
    return found ? &found->tensor : NULL;
}

const char *bfm_safetensors_metadata(const BfmSafetensors *file, const char *key) { return json_string_value(json_object_get(json_object_get(file->header, METADATA_KEY), key)); }

/* A few of the names that are there: a wrong prefix or an older naming shows at a glance. */
static void list_names(const BfmSafetensors *file, char *text, size_t size)
{
    size_t length = 0;
    text[0] = '\0';
    for (int64_t i = 0; i < file->count && i < 4; i++) {
        int printed = snprintf(text + length, size - length, "%s%.60s", i ? ", " : "", file->entries[i].tensor.name);
        length += printed > 0 && (size_t)printed < size - length ? (size_t)printed : 0;
    }
    if (file->count > 4)
        (void)snprintf(text + length, size - length, ", … (%" PRId64 " in all)", file->count);
}

const BfmTensor *bfm_safetensors_expect(const BfmSafetensors *file, const char *name, int32_t rank, const int64_t *shape, BfmError *error)
{
    const BfmTensor *tensor = bfm_safetensors_get(file, name);
    char expected[BFM_SHAPE_TEXT], found[BFM_SHAPE_TEXT], names[320];
    (void)bfm_shape_text(rank, shape, expected);
    if (!tensor) {
        list_names(file, names, sizeof names);
        (void)bfm_error_set(error, BFM_ERROR_INPUT, "%s: tensor \"%.200s\" %s is missing; the file holds %s", file->path, name, expected, file->count ? names : "no tensor at all");
        return NULL;
    }
    if (bfm_tensor_same_shape(tensor, rank, shape))
        return tensor;
    (void)bfm_error_set(error, BFM_ERROR_INPUT, "%s: tensor \"%.200s\": expected shape %s, found %s; the file belongs to another model", file->path, name, expected,
                        bfm_shape_text(tensor->rank, tensor->shape, found));
    return NULL;
}

static int compare_names(const void *left, const void *right) { return strcmp(*(const char *const *)left, *(const char *const *)right); }

bool bfm_safetensors_expect_only(const BfmSafetensors *file, const char *const *names, int64_t count, BfmError *error)
{
    const char **sorted = malloc(((size_t)count + 1) * sizeof *sorted);
    if (!sorted)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: out of memory", file->path);
    for (int64_t i = 0; i < count; i++)
        sorted[i] = names[i];
    if (count > 0)
        qsort(sorted, (size_t)count, sizeof *sorted, compare_names);
    bool known = true;
    for (int64_t i = 0; known && i < file->count; i++) {
        const char *name = file->entries[i].tensor.name;
        known = (count && bsearch(&name, sorted, (size_t)count, sizeof *sorted, compare_names)) ||
                bfm_error_set(error, BFM_ERROR_INPUT, "%s: tensor \"%.200s\" is in the file, but the model has no parameter of that name; remove it or check the model", file->path,
                              name);
    }
    free(sorted);
    return known;
}
