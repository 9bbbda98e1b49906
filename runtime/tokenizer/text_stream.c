/* Bytes wait only where they begin a character and the next token may complete it. */
#include "tokenizer/text_stream.h"

#include "file/utf8.h"

#include <string.h>

static bool replace(BfmBytes *text, BfmError *error) { return bfm_bytes_append(text, BFM_UTF8_REPLACEMENT, sizeof BFM_UTF8_REPLACEMENT - 1, error); }

bool bfm_text_clean(BfmText bytes, BfmBytes *text, BfmError *error)
{
    size_t at = 0, from = 0;
    while (at < bytes.bytes) {
        BfmUtf8 kind;
        const size_t next = bfm_utf8_next(bytes.data + at, bytes.bytes - at, &kind);
        if (kind != BFM_UTF8_WHOLE && (!bfm_bytes_append(text, bytes.data + from, at - from, error) || !replace(text, error)))
            return false;
        at += next;
        from = kind == BFM_UTF8_WHOLE ? from : at;
    }
    return bfm_bytes_append(text, bytes.data + from, at - from, error);
}

static BfmText held_text(const BfmTextStream *stream) { return (BfmText){stream->held.data ? stream->held.data : "", stream->held.length}; }

/* Keeps the last `bytes` of what is held. */
static void keep_last(BfmTextStream *stream, size_t bytes)
{
    if (bytes > 0)
        memmove(stream->held.data, stream->held.data + (stream->held.length - bytes), bytes);
    stream->held.length = bytes;
}

bool bfm_text_stream_init(BfmTextStream *stream, const BfmTokenizer *tokenizer, const int32_t *before, int64_t count, BfmError *error)
{
    *stream = (BfmTextStream){.tokenizer = tokenizer};
    if (count > 0 && !bfm_tokenizer_decode_more(tokenizer, before, count, &stream->begun, &stream->held, error))
        return false;
    const BfmText held = held_text(stream);
    keep_last(stream, bfm_utf8_open_tail(held.data, held.bytes));
    return true;
}

void bfm_text_stream_deinit(BfmTextStream *stream) { bfm_bytes_deinit(&stream->held); }

bool bfm_text_stream_push(BfmTextStream *stream, int32_t id, BfmBytes *text, BfmError *error)
{
    if (!bfm_tokenizer_decode_more(stream->tokenizer, &id, 1, &stream->begun, &stream->held, error))
        return false;
    const BfmText held = held_text(stream);
    const size_t open = bfm_utf8_open_tail(held.data, held.bytes);
    const bool shown = bfm_text_clean((BfmText){held.data, held.bytes - open}, text, error);
    keep_last(stream, open);
    return shown;
}

bool bfm_text_stream_end(BfmTextStream *stream, BfmBytes *text, BfmError *error)
{
    const bool shown = bfm_text_clean(held_text(stream), text, error);
    stream->held.length = 0;
    return shown;
}
