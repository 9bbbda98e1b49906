/* Ids are decoded together with the last ones shown, since a piece may read differently at the start of a text. */
#include "generate/text_stream.h"

#include <string.h>

enum { CONTEXT_IDS = 8, HELD_IDS = 4 }; /* a character has at most four bytes, and a token at least one */

static const char REPLACEMENT[] = "\xEF\xBF\xBD";

/* Bytes of the character that begins here; 0: it is not complete; -1: it never will be (Unicode 15, table 3-7). */
static int character(const unsigned char *s, size_t n)
{
    const int length = s[0] < 0x80 ? 1 : s[0] >= 0xC2 && s[0] < 0xE0 ? 2 : s[0] >= 0xE0 && s[0] < 0xF0 ? 3 : s[0] >= 0xF0 && s[0] < 0xF5 ? 4 : -1;
    for (int i = 1; i < length; i++) {
        if ((size_t)i == n)
            return 0;
        unsigned char low = 0x80, high = 0xBF;
        if (i == 1) {
            low = s[0] == 0xE0 ? 0xA0 : s[0] == 0xF0 ? 0x90 : low;
            high = s[0] == 0xED ? 0x9F : s[0] == 0xF4 ? 0x8F : high;
        }
        if (s[i] < low || s[i] > high)
            return -1;
    }
    return length;
}

static bool ends_inside(BfmText text)
{
    const unsigned char *s = (const unsigned char *)text.data;
    size_t at = 0;
    while (at < text.bytes) {
        const int length = character(s + at, text.bytes - at);
        if (length == 0)
            return true;
        at += length > 0 ? (size_t)length : 1;
    }
    return false;
}

bool bfm_text_clean(BfmText bytes, BfmBytes *text, BfmError *error)
{
    const unsigned char *s = (const unsigned char *)bytes.data;
    size_t at = 0, from = 0;
    while (at < bytes.bytes) {
        const int length = character(s + at, bytes.bytes - at);
        if (length > 0) {
            at += (size_t)length;
            continue;
        }
        if (!bfm_bytes_append(text, bytes.data + from, at - from, error) || !bfm_bytes_append(text, REPLACEMENT, 3, error))
            return false;
        at = from = length == 0 ? bytes.bytes : at + 1;
    }
    return bfm_bytes_append(text, bytes.data + from, at - from, error);
}

static bool ids_append(BfmIds *ids, const int32_t *more, int64_t count, BfmError *error)
{
    if (!bfm_ids_reserve(ids, count, error))
        return false;
    for (int64_t i = 0; i < count; i++)
        ids->data[ids->count++] = more[i];
    return true;
}

bool bfm_text_stream_init(BfmTextStream *stream, const BfmTokenizer *tokenizer, const int32_t *before, int64_t count, BfmError *error)
{
    const int64_t kept = count < CONTEXT_IDS ? count : CONTEXT_IDS;
    *stream = (BfmTextStream){.tokenizer = tokenizer, .shown = kept};
    return kept == 0 || ids_append(&stream->ids, before + (count - kept), kept, error);
}

void bfm_text_stream_deinit(BfmTextStream *stream) { bfm_ids_deinit(&stream->ids); }

/* What is shown becomes context; older context goes. */
static void show_all(BfmTextStream *stream)
{
    const int64_t kept = stream->ids.count - stream->shown > CONTEXT_IDS ? stream->ids.count - stream->shown : stream->ids.count < CONTEXT_IDS ? stream->ids.count : CONTEXT_IDS;
    memmove(stream->ids.data, stream->ids.data + (stream->ids.count - kept), (size_t)kept * sizeof *stream->ids.data);
    stream->ids.count = stream->shown = kept;
}

static bool decode_first(const BfmTextStream *stream, int64_t count, BfmBytes *text, BfmError *error)
{
    return count == 0 || bfm_tokenizer_decode(stream->tokenizer, stream->ids.data, count, text, error);
}

static bool ends_with_replacement(BfmText text) { return text.bytes >= 3 && memcmp(text.data + text.bytes - 3, REPLACEMENT, 3) == 0; }

bool bfm_text_stream_push(BfmTextStream *stream, int32_t id, BfmBytes *text, BfmError *error)
{
    BfmBytes before = {0}, after = {0};
    bool ok = ids_append(&stream->ids, &id, 1, error) && decode_first(stream, stream->shown, &before, error) && decode_first(stream, stream->ids.count, &after, error);
    const bool continues = ok && after.length >= before.length && (before.length == 0 || memcmp(before.data, after.data, before.length) == 0);
    const size_t from = continues ? before.length : before.length < after.length ? before.length : after.length;
    const BfmText news = {ok && after.data ? after.data + from : "", ok ? after.length - from : 0};
    /* A tokenizer that gives text, not bytes, shows an incomplete character as U+FFFD itself. */
    const bool wait = !continues || ends_inside(news) || ends_with_replacement(news);
    if (ok && (!wait || stream->ids.count - stream->shown >= HELD_IDS)) {
        ok = bfm_text_clean(news, text, error);
        show_all(stream);
    }
    bfm_bytes_deinit(&before);
    bfm_bytes_deinit(&after);
    return ok;
}
