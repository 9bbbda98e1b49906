/* SentencePiece models, through the plug-in. Its library decodes to UTF-8 and so replaces bytes that are none; here ids become the bytes that they stand
 * for. A model that neither adds nor removes white space and has a piece for every byte is also encoded so that nothing is lost. */
#define _GNU_SOURCE
#include "file/file.h"
#include "file/plugin.h"
#include "tokenizer/sentencepiece_plugin.h"
#include "tokenizer/tokenizer_kinds.h"
#include "file/utf8.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES = 256, ASCII = 128, SPACE_BYTES = 3, BLOCK_BYTES = 1 << 17 }; /* the library takes 160 bytes for a byte of text */

static const char SPACE[] = "\xE2\x96\x81"; /* U+2581, with which models write a space */

typedef struct Piece {
    uint32_t start, bytes; /* in the surfaces */
    bool spaced;           /* begins with a space, as models write it */
} Piece;

/* Whether spaces at the beginning of a text are not the text's own. */
typedef enum { LEADING_KEPT, LEADING_ONE_DROPPED, LEADING_DROPPED } Leading;

typedef struct Handle {
    const SentencepiecePlugin *plugin;
    void *processor;
    int64_t vocab;
    Piece *pieces;            /* [vocab] */
    BfmBytes surfaces;        /* what the pieces stand for, one after another */
    int32_t byte_ids[BYTES];  /* -1: the model has no piece for it */
    int32_t begin, end, word; /* ids of <s>, </s> and the space (else of a piece that begins with one); -1: the model has none */
    Leading leading;
    bool lossless;
    bool begins[ASCII]; /* the character stands in a piece at its beginning only: text before it is encoded as if it ended there */
} Handle;

static const SentencepiecePlugin *load_plugin(BfmError *error)
{
    static const BfmPlugin PLUGIN = {
        .file = SENTENCEPIECE_PLUGIN_FILE,
        .symbol = SENTENCEPIECE_PLUGIN_SYMBOL,
        .version = SENTENCEPIECE_PLUGIN_VERSION,
        .name = "SentencePiece",
        .absent = "this bfmc was built without SentencePiece; install libsentencepiece-dev and g++ and build again, or use --tokenizer byte",
    };
    return bfm_plugin_find(&PLUGIN, false, error);
}

typedef struct Sink {
    BfmIds *ids;
    BfmBytes *text;
    BfmError *error;
    bool failed;
} Sink;

static bool take_ids(void *context, const void *data, size_t bytes)
{
    Sink *sink = context;
    int64_t count = (int64_t)(bytes / sizeof(int32_t));
    sink->failed = !bfm_ids_reserve(sink->ids, count, sink->error);
    if (sink->failed || bytes == 0)
        return !sink->failed;
    memcpy(sink->ids->data + sink->ids->count, data, bytes);
    sink->ids->count += count;
    return true;
}

static bool take_text(void *context, const void *data, size_t bytes)
{
    Sink *sink = context;
    sink->failed = !bfm_bytes_append(sink->text, data, bytes, sink->error);
    return !sink->failed;
}

static BfmErrorKind kind_of(const char *reason) { return strcmp(reason, SENTENCEPIECE_NO_MEMORY) == 0 ? BFM_ERROR_ENVIRONMENT : BFM_ERROR_INPUT; }

/* A failing sink has set the error already. */
static bool finished(bool done, const Sink *sink, const char *verb, const char *reason, BfmError *error)
{
    return done || sink->failed ? done : bfm_error_set(error, kind_of(reason), "SentencePiece cannot %s: %s", verb, reason);
}

/* ---- what the pieces stand for ---- */

static bool library_decode(const Handle *opened, const int32_t *ids, size_t count, BfmBytes *text, BfmError *error)
{
    char reason[SENTENCEPIECE_REASON] = "";
    Sink sink = {.text = text, .error = error};
    return finished(opened->plugin->decode(opened->processor, ids, count, take_text, &sink, reason), &sink, "decode the ids", reason, error);
}

static bool append_spaced(BfmBytes *surfaces, const char *text, size_t bytes, BfmError *error)
{
    for (size_t at = 0; at < bytes;) {
        const bool space = bytes - at >= SPACE_BYTES && memcmp(text + at, SPACE, SPACE_BYTES) == 0;
        if (!bfm_bytes_append(surfaces, space ? " " : text + at, 1, error))
            return false;
        at += space ? SPACE_BYTES : 1;
    }
    return true;
}

static bool append_surface(Handle *opened, int32_t id, const SentencepiecePiece *piece, BfmError *error)
{
    if (piece->type == SENTENCEPIECE_CONTROL)
        return true;
    if (piece->type == SENTENCEPIECE_UNKNOWN)
        return library_decode(opened, &id, 1, &opened->surfaces, error);
    if (piece->type == SENTENCEPIECE_TEXT)
        return append_spaced(&opened->surfaces, piece->text, piece->bytes, error);
    const long byte = piece->bytes > 1 ? strtol(piece->text + 1, NULL, 16) : -1; /* <0x41> */
    if (byte < 0 || byte >= BYTES)
        return bfm_error_set(error, BFM_ERROR_INPUT, "no SentencePiece model: \"%.40s\" is not the name of a byte", piece->text);
    opened->byte_ids[byte] = id;
    return bfm_bytes_append(&opened->surfaces, &(char){(char)(unsigned char)byte}, 1, error);
}

static bool read_pieces(Handle *opened, BfmError *error)
{
    opened->pieces = calloc((size_t)opened->vocab + 1, sizeof *opened->pieces);
    if (!opened->pieces)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory for the pieces of the tokenizer");
    for (int b = 0; b < BYTES; b++)
        opened->byte_ids[b] = -1;
    memset(opened->begins, true, sizeof opened->begins);
    for (int32_t id = 0; id < opened->vocab; id++) {
        const SentencepiecePiece piece = opened->plugin->piece(opened->processor, id);
        const size_t start = opened->surfaces.length;
        if (!append_surface(opened, id, &piece, error))
            return false;
        for (size_t at = start + 1; piece.type == SENTENCEPIECE_TEXT && at < opened->surfaces.length; at++)
            if ((unsigned char)opened->surfaces.data[at] < ASCII)
                opened->begins[(unsigned char)opened->surfaces.data[at]] = false;
        if (opened->surfaces.length > UINT32_MAX)
            return bfm_error_set(error, BFM_ERROR_INPUT, "no SentencePiece model: its pieces are longer than 4 GB together");
        const bool spaced = piece.type == SENTENCEPIECE_TEXT && piece.bytes >= SPACE_BYTES && memcmp(piece.text, SPACE, SPACE_BYTES) == 0;
        opened->pieces[id] = (Piece){(uint32_t)start, (uint32_t)(opened->surfaces.length - start), spaced};
        if (spaced && (opened->word < 0 || piece.bytes == SPACE_BYTES))
            opened->word = id;
    }
    return true;
}

/* What the library does with spaces at the beginning shows in its decoding of two of them. */
static bool read_leading(Handle *opened, BfmError *error)
{
    if (opened->word < 0)
        return true;
    const int32_t twice[] = {opened->word, opened->word};
    const Piece piece = opened->pieces[opened->word];
    BfmBytes text = {0};
    const bool decoded = library_decode(opened, twice, 2, &text, error);
    opened->leading = text.length == 2 * (size_t)piece.bytes ? LEADING_KEPT : text.length + 1 == 2 * (size_t)piece.bytes && text.length > 0 ? LEADING_ONE_DROPPED : LEADING_DROPPED;
    bfm_bytes_deinit(&text);
    return decoded;
}

static bool has_all_bytes(const Handle *opened)
{
    for (int b = 0; b < BYTES; b++)
        if (opened->byte_ids[b] < 0)
            return false;
    return true;
}

static void sentencepiece_close(void *handle)
{
    Handle *opened = handle;
    if (opened->processor)
        opened->plugin->close(opened->processor);
    free(opened->pieces);
    bfm_bytes_deinit(&opened->surfaces);
    free(opened);
}

static bool sentencepiece_open(BfmText model, void **handle, int64_t *vocab, BfmError *error)
{
    char reason[SENTENCEPIECE_REASON] = "";
    Handle *opened = calloc(1, sizeof *opened);
    if (!opened)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory for the tokenizer");
    opened->word = -1;
    opened->plugin = load_plugin(error);
    bool success = opened->plugin &&
                   (opened->plugin->open(model.data, model.bytes, &opened->processor, &opened->vocab, reason) ||
                    bfm_error_set(error, kind_of(reason), "%s: %s", kind_of(reason) == BFM_ERROR_INPUT ? "no SentencePiece model" : "SentencePiece cannot open the model", reason));
    success = success && read_pieces(opened, error) && read_leading(opened, error);
    if (success) {
        opened->plugin->ends(opened->processor, &opened->begin, &opened->end);
        opened->lossless = opened->leading == LEADING_KEPT && has_all_bytes(opened);
        *vocab = opened->vocab;
        *handle = opened;
        return true;
    }
    sentencepiece_close(opened);
    return false;
}

/* ---- encoding and decoding ---- */

static bool library_encode(const Handle *opened, const char *text, size_t bytes, BfmIds *ids, BfmError *error)
{
    char reason[SENTENCEPIECE_REASON] = "";
    Sink sink = {.ids = ids, .error = error};
    return bytes == 0 || finished(opened->plugin->encode(opened->processor, text, bytes, take_ids, &sink, reason), &sink, "encode the text", reason, error);
}

/* How many bytes at the text's beginning the library would change: those of no character, and U+2581, which it takes for a space. */
static size_t changed_bytes(const char *text, size_t bytes)
{
    BfmUtf8 kind;
    const size_t next = bfm_utf8_next(text, bytes, &kind);
    return kind != BFM_UTF8_WHOLE || (next == SPACE_BYTES && memcmp(text, SPACE, SPACE_BYTES) == 0) ? next : 0;
}

static bool encode_bytes(const Handle *opened, const char *text, size_t bytes, BfmIds *ids, BfmError *error)
{
    if (!bfm_ids_reserve(ids, (int64_t)bytes, error))
        return false;
    for (size_t i = 0; i < bytes; i++)
        ids->data[ids->count++] = opened->byte_ids[(unsigned char)text[i]];
    return true;
}

static bool sentencepiece_encode(void *handle, BfmText text, BfmIds *ids, BfmError *error)
{
    const Handle *opened = handle;
    size_t from = 0;
    if (!opened->lossless)
        return library_encode(opened, text.data, text.bytes, ids, error);
    for (size_t at = 0; at < text.bytes;) {
        BfmUtf8 kind;
        const size_t changed = changed_bytes(text.data + at, text.bytes - at);
        const bool cut = changed > 0 || (at - from >= BLOCK_BYTES && (unsigned char)text.data[at] < ASCII && opened->begins[(unsigned char)text.data[at]]);
        if (cut && (!library_encode(opened, text.data + from, at - from, ids, error) || !encode_bytes(opened, text.data + at, changed, ids, error)))
            return false;
        from = cut ? at + changed : from;
        at += changed > 0 ? changed : bfm_utf8_next(text.data + at, text.bytes - at, &kind);
    }
    return library_encode(opened, text.data + from, text.bytes - from, ids, error);
}

static bool sentencepiece_decode(void *handle, const int32_t *ids, int64_t count, bool *begun, BfmBytes *text, BfmError *error)
{
    const Handle *opened = handle;
    for (int64_t i = 0; i < count; i++) {
        const Piece piece = opened->pieces[ids[i]];
        const uint32_t dropped = !*begun && piece.spaced && opened->leading != LEADING_KEPT;
        if (!bfm_bytes_append(text, opened->surfaces.data + piece.start + dropped, piece.bytes - dropped, error))
            return false;
        *begun = *begun || piece.bytes > dropped || (dropped && opened->leading == LEADING_ONE_DROPPED);
    }
    return true;
}

static bool sentencepiece_sizes(void *handle, int32_t *sizes, BfmError *error)
{
    const Handle *opened = handle;
    char reason[SENTENCEPIECE_REASON] = "";
    return opened->plugin->sizes(opened->processor, sizes, reason) || bfm_error_set(error, kind_of(reason), "SentencePiece cannot list its pieces: %s", reason);
}

static bool all_known(const Handle *opened, const int32_t *ids, int64_t count)
{
    bool known = true;
    for (int64_t i = 0; i < count; i++)
        known = known && opened->plugin->piece(opened->processor, ids[i]).type != SENTENCEPIECE_UNKNOWN;
    return known;
}

/* A text begins with <s>; else as a line does; else after the end of another text, or with a word. */
static bool sentencepiece_begin(void *handle, BfmIds *ids, BfmError *error)
{
    const Handle *opened = handle;
    const int64_t before = ids->count;
    if (opened->begin < 0 && !library_encode(opened, "\n", 1, ids, error))
        return false;
    if (ids->count > before && all_known(opened, ids->data + before, ids->count - before))
        return true;
    ids->count = before;
    const int32_t id = opened->begin >= 0 ? opened->begin : opened->end >= 0 ? opened->end : opened->word;
    if (id < 0)
        return bfm_error_set(error, BFM_ERROR_INPUT, "the tokenizer has no <s> and keeps no line end, so that a text needs words to begin with: give a --prompt");
    if (!bfm_ids_reserve(ids, 1, error))
        return false;
    ids->data[ids->count++] = id;
    return true;
}

/* ---- learning ---- */

typedef struct Source {
    const BfmText *texts;
    int64_t count, next;
} Source;

static bool next_text(void *context, const char **text, size_t *bytes)
{
    Source *source = context;
    if (source->next == source->count)
        return false;
    *text = source->texts[source->next].data;
    *bytes = source->texts[source->next++].bytes;
    return true;
}

static bool sentencepiece_train(const BfmText *texts, int64_t count, int64_t vocab, BfmBytes *model, BfmError *error)
{
    const SentencepiecePlugin *plugin = load_plugin(error);
    char reason[SENTENCEPIECE_REASON] = "";
    Source source = {texts, count, 0};
    Sink sink = {.text = model, .error = error};
    return plugin && finished(plugin->train(vocab, next_text, &source, take_text, &sink, reason), &sink, "learn from the text", reason, error);
}

const TokenizerKind bfm_tokenizer_sentencepiece = {"sentencepiece",      sentencepiece_open,  sentencepiece_close, sentencepiece_encode,
                                                   sentencepiece_decode, sentencepiece_sizes, sentencepiece_begin, sentencepiece_train};
