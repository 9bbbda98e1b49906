#include "file/safetensors_header.h"

#include "file/json_reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char METADATA_KEY[] = "__metadata__";

typedef struct Reading {
    JsonReader json;
    SafetensorsHeader *header;
    int64_t entry_room, metadata_room;
    bool metadata_seen;
    const char *path;
    int64_t data_bytes;
    BfmError *error;
} Reading;

static bool no_json(const Reading *reading)
{
    return bfm_error_set(reading->error, BFM_ERROR_INPUT, "%s: the header is not JSON: byte %zu: %s", reading->path, reading->json.at, reading->json.fault);
}

static bool exhausted(const Reading *reading) { return bfm_error_set(reading->error, BFM_ERROR_ENVIRONMENT, "%s: out of memory for its tensors", reading->path); }

static bool twice(const Reading *reading, const char *name)
{
    return bfm_error_set(reading->error, BFM_ERROR_INPUT, "%s: the header names \"%.200s\" twice; each name may stand once", reading->path, name);
}

/* A value of another kind than expected; a text that is no JSON says so instead. */
static bool entry_error(const Reading *reading, const char *name, const char *expected)
{
    if (reading->json.fault)
        return no_json(reading);
    return bfm_error_set(reading->error, BFM_ERROR_INPUT, "%s: tensor \"%.200s\": expected %s", reading->path, name, expected);
}

/* ---- the fields of a tensor ---- */

static bool read_dtype(Reading *reading, BfmTensor *tensor)
{
    const char *text = json_reader_peek(&reading->json) == '"' ? json_reader_string(&reading->json) : NULL;
    if (!text)
        return entry_error(reading, tensor->name, "\"dtype\" to be a string such as \"F32\"");
    return bfm_dtype_find(text, &tensor->dtype) ||
           bfm_error_set(reading->error, BFM_ERROR_INPUT, "%s: tensor \"%.200s\" has the unknown dtype \"%.20s\"; expected F32, F64, BF16, F16, an integer or BOOL", reading->path,
                         tensor->name, text);
}

static bool read_shape(Reading *reading, BfmTensor *tensor)
{
    JsonReader *json = &reading->json;
    int64_t count = 0, dimension;
    if (json_reader_peek(json) != '[' || !json_reader_enter(json, '['))
        return entry_error(reading, tensor->name, "\"shape\" to be a list of whole numbers");
    for (bool first = true; json_reader_more(json, ']', &first); count++) {
        if (json_reader_peek(json) != '0' || !json_reader_integer(json, &dimension) || dimension < 0)
            return entry_error(reading, tensor->name, "every dimension to be a whole number >= 0");
        if (count < BFM_TENSOR_MAX_RANK)
            tensor->shape[count] = dimension;
    }
    if (json->fault)
        return no_json(reading);
    tensor->rank = (int32_t)(count < BFM_TENSOR_MAX_RANK ? count : BFM_TENSOR_MAX_RANK);
    return count <= BFM_TENSOR_MAX_RANK || bfm_error_set(reading->error, BFM_ERROR_INPUT, "%s: tensor \"%.200s\" has %" PRId64 " dimensions; at most %d can be read", reading->path,
                                                         tensor->name, count, BFM_TENSOR_MAX_RANK);
}

static bool read_offsets(Reading *reading, SafetensorsEntry *entry)
{
    static const char EXPECTED[] = "\"data_offsets\" to be two whole numbers";
    JsonReader *json = &reading->json;
    int64_t count = 0, offset;
    if (json_reader_peek(json) != '[' || !json_reader_enter(json, '['))
        return entry_error(reading, entry->tensor.name, EXPECTED);
    for (bool first = true; json_reader_more(json, ']', &first); count++) {
        if (count == 2 || json_reader_peek(json) != '0' || !json_reader_integer(json, &offset))
            return entry_error(reading, entry->tensor.name, EXPECTED);
        *(count ? &entry->end : &entry->begin) = offset;
    }
    return (count == 2 && !json->fault) || entry_error(reading, entry->tensor.name, EXPECTED);
}

static bool check_entry(const Reading *reading, const SafetensorsEntry *entry)
{
    if (entry->begin < 0 || entry->end < entry->begin || entry->end > reading->data_bytes)
        return bfm_error_set(reading->error, BFM_ERROR_INPUT,
                             "%s: tensor \"%.200s\" claims the bytes %" PRId64 " to %" PRId64 ", but the file holds %" PRId64
                             " bytes of data; it is truncated or damaged: copy or write it again",
                             reading->path, entry->tensor.name, entry->begin, entry->end, reading->data_bytes);
    int64_t bytes;
    char shape[BFM_SHAPE_TEXT];
    if (!bfm_tensor_bytes(&entry->tensor, &bytes) || bytes != entry->end - entry->begin)
        return bfm_error_set(reading->error, BFM_ERROR_INPUT, "%s: tensor \"%.200s\": %s %s does not fit the %" PRId64 " byte%s the header gives it", reading->path,
                             entry->tensor.name, bfm_dtype_name(entry->tensor.dtype), bfm_shape_text(entry->tensor.rank, entry->tensor.shape, shape), entry->end - entry->begin,
                             bfm_plural(entry->end - entry->begin));
    return true;
}

enum { FIELD_DTYPE = 1, FIELD_SHAPE = 2, FIELD_OFFSETS = 4, FIELDS = 7 };

static int field_of(const char *key)
{
    return strcmp(key, "dtype") == 0 ? FIELD_DTYPE : strcmp(key, "shape") == 0 ? FIELD_SHAPE : strcmp(key, "data_offsets") == 0 ? FIELD_OFFSETS : 0;
}

static bool read_entry(Reading *reading, SafetensorsEntry *entry)
{
    static const char EXPECTED[] = "exactly the fields dtype, shape and data_offsets";
    JsonReader *json = &reading->json;
    int seen = 0;
    if (json_reader_peek(json) != '{' || !json_reader_enter(json, '{'))
        return entry_error(reading, entry->tensor.name, EXPECTED);
    for (bool first = true; json_reader_more(json, '}', &first);) {
        const char *key = json_reader_key(json);
        const int field = key ? field_of(key) : 0;
        if (field == 0)
            return entry_error(reading, entry->tensor.name, EXPECTED);
        if (seen & field)
            return twice(reading, key);
        seen |= field;
        if (field == FIELD_DTYPE ? !read_dtype(reading, &entry->tensor) : field == FIELD_SHAPE ? !read_shape(reading, &entry->tensor) : !read_offsets(reading, entry))
            return false;
    }
    return seen == FIELDS && !json->fault ? check_entry(reading, entry) : entry_error(reading, entry->tensor.name, EXPECTED);
}

/* ---- the whole ---- */

/* Room for one more element of so many bytes; the new elements are zeros. */
static bool grow(void **data, int64_t count, int64_t *room, size_t bytes)
{
    if (count < *room)
        return true;
    const int64_t more = *room ? 2 * *room : 16;
    char *grown = realloc(*data, (size_t)more * bytes);
    if (!grown)
        return false;
    memset(grown + (size_t)*room * bytes, 0, (size_t)(more - *room) * bytes);
    *data = grown;
    *room = more;
    return true;
}

static bool read_metadata(Reading *reading)
{
    JsonReader *json = &reading->json;
    SafetensorsHeader *header = reading->header;
    if (reading->metadata_seen)
        return twice(reading, METADATA_KEY);
    reading->metadata_seen = true;
    if (json_reader_peek(json) != '{' || !json_reader_enter(json, '{'))
        return json->fault ? no_json(reading) : bfm_error_set(reading->error, BFM_ERROR_INPUT, "%s: expected __metadata__ to be an object", reading->path);
    for (bool first = true; json_reader_more(json, '}', &first); header->metadata_count++) {
        void *data = header->metadata;
        if (!grow(&data, header->metadata_count, &reading->metadata_room, sizeof *header->metadata))
            return exhausted(reading);
        header->metadata = data;
        BfmMetadata *item = &header->metadata[header->metadata_count];
        item->key = json_reader_key(json);
        item->value = item->key && json_reader_peek(json) == '"' ? json_reader_string(json) : NULL;
        if (!item->value)
            return json->fault ? no_json(reading) : bfm_error_set(reading->error, BFM_ERROR_INPUT, "%s: __metadata__ \"%.200s\": expected a string", reading->path, item->key);
    }
    return !json->fault || no_json(reading);
}

static bool read_members(Reading *reading)
{
    JsonReader *json = &reading->json;
    SafetensorsHeader *header = reading->header;
    if (json_reader_peek(json) != '{')
        return json->fault ? no_json(reading) : bfm_error_set(reading->error, BFM_ERROR_INPUT, "%s: expected a JSON object as header, found something else", reading->path);
    (void)json_reader_enter(json, '{');
    for (bool first = true; json_reader_more(json, '}', &first);) {
        const char *key = json_reader_key(json);
        void *data = header->entries;
        if (!key)
            return no_json(reading);
        if (strcmp(key, METADATA_KEY) == 0) {
            if (!read_metadata(reading))
                return false;
            continue;
        }
        if (!grow(&data, header->count, &reading->entry_room, sizeof *header->entries))
            return exhausted(reading);
        header->entries = data;
        SafetensorsEntry *entry = &header->entries[header->count++];
        entry->tensor.name = key;
        if (!read_entry(reading, entry))
            return false;
    }
    return json_reader_end(json) || no_json(reading);
}

static int by_place(const void *left, const void *right)
{
    const SafetensorsEntry *a = left, *b = right;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return a->end == b->end ? strcmp(a->tensor.name, b->tensor.name) : a->end < b->end ? -1 : 1;
}

static int by_name(const void *left, const void *right) { return strcmp(((const SafetensorsEntry *)left)->tensor.name, ((const SafetensorsEntry *)right)->tensor.name); }

static int by_key(const void *left, const void *right) { return strcmp(((const BfmMetadata *)left)->key, ((const BfmMetadata *)right)->key); }

static void sort(SafetensorsHeader *header, int (*order)(const void *, const void *))
{
    if (header->count > 0)
        qsort(header->entries, (size_t)header->count, sizeof *header->entries, order);
}

static bool check_names(const Reading *reading)
{
    SafetensorsHeader *header = reading->header;
    sort(header, by_name);
    if (header->metadata_count > 0)
        qsort(header->metadata, (size_t)header->metadata_count, sizeof *header->metadata, by_key);
    for (int64_t i = 1; i < header->count; i++)
        if (by_name(&header->entries[i - 1], &header->entries[i]) == 0)
            return twice(reading, header->entries[i].tensor.name);
    for (int64_t i = 1; i < header->metadata_count; i++)
        if (by_key(&header->metadata[i - 1], &header->metadata[i]) == 0)
            return twice(reading, header->metadata[i].key);
    return true;
}

/* The data must be covered once, without holes: then no bytes hide and none belong to two tensors. */
static bool check_cover(const Reading *reading)
{
    SafetensorsHeader *header = reading->header;
    int64_t covered = 0;
    sort(header, by_place);
    for (int64_t i = 0; i < header->count; i++) {
        const SafetensorsEntry *entry = &header->entries[i];
        if (entry->begin < covered)
            return bfm_error_set(reading->error, BFM_ERROR_INPUT, "%s: the tensors \"%.200s\" and \"%.200s\" overlap at byte %" PRId64 " of the data", reading->path,
                                 header->entries[i - 1].tensor.name, entry->tensor.name, entry->begin);
        if (entry->begin > covered)
            return bfm_error_set(reading->error, BFM_ERROR_INPUT, "%s: tensor \"%.200s\": expected it to start at byte %" PRId64 " of the data, found %" PRId64, reading->path,
                                 entry->tensor.name, covered, entry->begin);
        covered = entry->end;
    }
    sort(header, by_name);
    return covered == reading->data_bytes || bfm_error_set(reading->error, BFM_ERROR_INPUT, "%s: the tensors cover %" PRId64 " byte%s of data, but %" PRId64 " follow the header",
                                                           reading->path, covered, bfm_plural(covered), reading->data_bytes);
}

bool safetensors_header_read(SafetensorsHeader *header, const char *path, const char *text, size_t length, int64_t data_bytes, BfmError *error)
{
    *header = (SafetensorsHeader){.strings = malloc(length + 1)};
    Reading reading = {.json = {.text = text, .size = length, .strings = header->strings}, .header = header, .path = path, .data_bytes = data_bytes, .error = error};
    return header->strings ? read_members(&reading) && check_names(&reading) && check_cover(&reading) : exhausted(&reading);
}

void safetensors_header_deinit(SafetensorsHeader *header)
{
    free(header->entries);
    free(header->metadata);
    free(header->strings);
}

const SafetensorsEntry *safetensors_header_find(const SafetensorsHeader *header, const char *name)
{
    const SafetensorsEntry key = {.tensor.name = name};
    return header->count ? bsearch(&key, header->entries, (size_t)header->count, sizeof key, by_name) : NULL;
}

const char *safetensors_header_metadata(const SafetensorsHeader *header, const char *key)
{
    const BfmMetadata wanted = {.key = key};
    const BfmMetadata *found = header->metadata_count ? bsearch(&wanted, header->metadata, (size_t)header->metadata_count, sizeof wanted, by_key) : NULL;
    return found ? found->value : NULL;
}
