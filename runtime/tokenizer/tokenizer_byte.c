/* The byte tokenizer: id = byte. Lossless for any input, no model, no training. */
#include "tokenizer/tokenizer_kinds.h"

enum { BYTE_VOCAB = 256 };

static bool byte_open(BfmText model, void **handle, int64_t *vocab, BfmError *error)
{
    (void)model, (void)error;
    *handle = NULL;
    *vocab = BYTE_VOCAB;
    return true;
}

static void byte_close(void *handle) { (void)handle; }

static bool byte_encode(void *handle, BfmText text, BfmIds *ids, BfmError *error)
{
    (void)handle;
    if (!bfm_ids_reserve(ids, (int64_t)text.bytes, error))
        return false;
    for (size_t i = 0; i < text.bytes; i++)
        ids->data[ids->count++] = (unsigned char)text.data[i];
    return true;
}

static bool byte_decode(void *handle, const int32_t *ids, int64_t count, bool *begun, BfmBytes *text, BfmError *error)
{
    (void)handle;
    for (int64_t i = 0; i < count; i++) {
        char byte = (char)(unsigned char)ids[i];
        if (!bfm_bytes_append(text, &byte, 1, error))
            return false;
    }
    *begun = *begun || count > 0;
    return true;
}

static bool byte_sizes(void *handle, int32_t *sizes, BfmError *error)
{
    (void)handle, (void)error;
    for (int id = 0; id < BYTE_VOCAB; id++)
        sizes[id] = 1;
    return true;
}

static bool byte_begin(void *handle, BfmIds *ids, BfmError *error) { return byte_encode(handle, (BfmText){"\n", 1}, ids, error); }

const TokenizerKind bfm_tokenizer_byte = {"byte", byte_open, byte_close, byte_encode, byte_decode, byte_sizes, byte_begin, NULL};
