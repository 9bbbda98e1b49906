#include "tokenizer/buffers.h"

#include <stdlib.h>
#include <string.h>

bool bfm_ids_reserve(BfmIds *ids, int64_t more, BfmError *error)
{
    int64_t needed;
    if (!__builtin_add_overflow(ids->count, more, &needed) && needed <= ids->capacity)
        return true;
    int64_t capacity = needed > 2 * ids->capacity ? needed : 2 * ids->capacity;
    int32_t *grown = needed > INT64_MAX / 16 ? NULL : realloc(ids->data, (size_t)capacity * sizeof *grown);
    if (!grown)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory for %lld token ids", (long long)needed);
    ids->data = grown;
    ids->capacity = capacity;
    return true;
}

void bfm_ids_deinit(BfmIds *ids)
{
    free(ids->data);
    *ids = (BfmIds){0};
}

bool bfm_bytes_append(BfmBytes *bytes, const void *data, size_t length, BfmError *error)
{
    if (length >= bytes->capacity - bytes->length) { /* one more for the NUL */
        size_t capacity = bytes->length + length + 1 > 2 * bytes->capacity ? bytes->length + length + 1 : 2 * bytes->capacity;
        char *grown = capacity > length ? realloc(bytes->data, capacity) : NULL;
        if (!grown)
            return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory for %zu bytes of text", capacity);
        bytes->data = grown;
        bytes->capacity = capacity;
    }
    if (length > 0)
        memcpy(bytes->data + bytes->length, data, length);
    bytes->length += length;
    bytes->data[bytes->length] = '\0';
    return true;
}

void bfm_bytes_deinit(BfmBytes *bytes)
{
    free(bytes->data);
    *bytes = (BfmBytes){0};
}
