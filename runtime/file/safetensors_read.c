#include "file/file.h"
#include "file/safetensors_header.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8, MAX_HEADER_BYTES = 100 * 1000 * 1000 }; /* the limit of the reference implementation */

struct BfmSafetensors {
    BfmMappedFile file;
    char *path;
    SafetensorsHeader header;
};

static bool read_header(BfmSafetensors *file, BfmError *error)
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
    const unsigned char *data = file->file.data + LENGTH_BYTES + length;
    const int64_t data_bytes = (int64_t)(file->file.size - LENGTH_BYTES - length);
    if (!safetensors_header_read(&file->header, file->path, (const char *)file->file.data + LENGTH_BYTES, (size_t)length, data_bytes, error))
        return false;
    for (int64_t i = 0; i < file->header.count; i++)
        file->header.entries[i].tensor.data = data + file->header.entries[i].begin;
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
    if (bfm_mapped_file_open(&file->file, path, error) && read_header(file, error))
        return file;
    bfm_safetensors_close(file);
    return NULL;
}

void bfm_safetensors_close(BfmSafetensors *file)
{
    if (!file)
        return;
    safetensors_header_deinit(&file->header);
    bfm_mapped_file_close(&file->file);
    free(file->path);
    free(file);
}

const char *bfm_safetensors_path(const BfmSafetensors *file) { return file->path; }

int64_t bfm_safetensors_count(const BfmSafetensors *file) { return file->header.count; }

const BfmTensor *bfm_safetensors_at(const BfmSafetensors *file, int64_t index) { return &file->header.entries[index].tensor; }

const BfmTensor *bfm_safetensors_get(const BfmSafetensors *file, const char *name)
{
    const SafetensorsEntry *found = safetensors_header_find(&file->header, name);
    return found ? &found->tensor : NULL;
}

const char *bfm_safetensors_metadata(const BfmSafetensors *file, const char *key) { return safetensors_header_metadata(&file->header, key); }

/* A few of the names that are there: a wrong prefix or an older naming shows at a glance. */
static void list_names(const BfmSafetensors *file, char *text, size_t size)
{
    size_t length = 0;
    text[0] = '\0';
    for (int64_t i = 0; i < file->header.count && i < 4; i++) {
        int printed = snprintf(text + length, size - length, "%s%.60s", i ? ", " : "", file->header.entries[i].tensor.name);
        length += printed > 0 && (size_t)printed < size - length ? (size_t)printed : 0;
    }
    if (file->header.count > 4)
        (void)snprintf(text + length, size - length, ", … (%" PRId64 " in all)", file->header.count);
}

const BfmTensor *bfm_safetensors_expect(const BfmSafetensors *file, const char *name, int32_t rank, const int64_t *shape, BfmError *error)
{
    const BfmTensor *tensor = bfm_safetensors_get(file, name);
    char expected[BFM_SHAPE_TEXT], found[BFM_SHAPE_TEXT], names[320];
    (void)bfm_shape_text(rank, shape, expected);
    if (!tensor) {
        list_names(file, names, sizeof names);
        (void)bfm_error_set(error, BFM_ERROR_INPUT, "%s: tensor \"%.200s\" %s is missing; the file holds %s", file->path, name, expected,
                            file->header.count ? names : "no tensor at all");
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
    for (int64_t i = 0; known && i < file->header.count; i++) {
        const char *name = file->header.entries[i].tensor.name;
        known = (count && bsearch(&name, sorted, (size_t)count, sizeof *sorted, compare_names)) ||
                bfm_error_set(error, BFM_ERROR_INPUT, "%s: tensor \"%.200s\" is in the file, but the model has no parameter of that name; remove it or check the model", file->path,
                              name);
    }
    free(sorted);
    return known;
}
