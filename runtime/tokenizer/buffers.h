/* Growing arrays of bytes and of token ids: what decoding and encoding append to. Zero-initialise; deinit when done. */
#ifndef BFM_TOKENIZER_BUFFERS_H
#define BFM_TOKENIZER_BUFFERS_H

#include "bfm/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct BfmText { /* borrowed bytes; may hold NUL, need not be UTF-8 */
    const char *data;
    size_t bytes;
} BfmText;

typedef struct BfmIds {
    int32_t *data;
    int64_t count, capacity;
} BfmIds;

typedef struct BfmBytes {
    char *data; /* NUL-terminated after the first append, the NUL not counted */
    size_t length, capacity;
} BfmBytes;

bool bfm_ids_reserve(BfmIds *ids, int64_t more, BfmError *error); /* room for `more` beyond count */
void bfm_ids_deinit(BfmIds *ids);
bool bfm_bytes_append(BfmBytes *bytes, const void *data, size_t length, BfmError *error);
void bfm_bytes_deinit(BfmBytes *bytes);

#endif
