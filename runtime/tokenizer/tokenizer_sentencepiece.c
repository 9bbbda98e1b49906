/* SentencePiece models, through the plug-in. */
#define _GNU_SOURCE
#include "checkpoint/file.h"
#include "tokenizer/sentencepiece_plugin.h"
#include "tokenizer/tokenizer_kinds.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Handle {
    const SentencepiecePlugin *plugin;
    void *processor;
} Handle;

/* Beside the executable (a build tree), one up (its tests), or where an installation puts it. */
static const char *const PLACES[] = {"", "../", "../lib/bfm/"};

static const SentencepiecePlugin *load_plugin(BfmError *error)
{
    char path[PATH_MAX + 64];
    ssize_t length = readlink("/proc/self/exe", path, PATH_MAX);
    path[length > 0 ? length : 0] = '\0';
    char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    for (size_t i = 0; i < sizeof PLACES / sizeof *PLACES; i++) {
        strcpy(name, PLACES[i]);
        strcat(name, SENTENCEPIECE_PLUGIN_FILE);
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL); /* never closed: C++ libraries do not unload well */
        const SentencepiecePlugin *plugin = library ? dlsym(library, SENTENCEPIECE_PLUGIN_SYMBOL) : NULL;
        if (plugin && plugin->version == SENTENCEPIECE_PLUGIN_VERSION)
            return plugin;
    }
    (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "this bfmc was built without SentencePiece; install libsentencepiece-dev and g++ and build again, or use --tokenizer byte");
    return NULL;
}

static bool sentencepiece_open(BfmText model, void **handle, int64_t *vocab, BfmError *error)
{
    char reason[SENTENCEPIECE_REASON] = "";
    Handle *opened = calloc(1, sizeof *opened);
    if (!opened)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory for the tokenizer");
    opened->plugin = load_plugin(error);
    bool success = opened->plugin && (opened->plugin->open(model.data, model.bytes, &opened->processor, vocab, reason) ||
                                      bfm_error_set(error, BFM_ERROR_INPUT, "no SentencePiece model: %s", reason));
    *handle = opened;
    if (!success)
        free(opened);
    return success;
}

static void sentencepiece_close(void *handle)
{
    Handle *opened = handle;
    opened->plugin->close(opened->processor);
    free(opened);
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

/* A failing sink has set the error already. */
static bool finished(bool done, const Sink *sink, const char *verb, const char *reason, BfmError *error)
{
    return done || sink->failed ? done : bfm_error_set(error, BFM_ERROR_INPUT, "SentencePiece cannot %s: %s", verb, reason);
}

static bool sentencepiece_encode(void *handle, BfmText text, BfmIds *ids, BfmError *error)
{
    const Handle *opened = handle;
    char reason[SENTENCEPIECE_REASON] = "";
    Sink sink = {.ids = ids, .error = error};
    return finished(opened->plugin->encode(opened->processor, text.data, text.bytes, take_ids, &sink, reason), &sink, "encode the text", reason, error);
}

static bool sentencepiece_decode(void *handle, const int32_t *ids, int64_t count, BfmBytes *text, BfmError *error)
{
    const Handle *opened = handle;
    char reason[SENTENCEPIECE_REASON] = "";
    Sink sink = {.text = text, .error = error};
    return finished(opened->plugin->decode(opened->processor, ids, (size_t)count, take_text, &sink, reason), &sink, "decode the ids", reason, error);
}

static bool sentencepiece_sizes(void *handle, int32_t *sizes, BfmError *error)
{
    const Handle *opened = handle;
    char reason[SENTENCEPIECE_REASON] = "";
    return opened->plugin->sizes(opened->processor, sizes, reason) || bfm_error_set(error, BFM_ERROR_INPUT, "SentencePiece cannot list its pieces: %s", reason);
}

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
                                                   sentencepiece_decode, sentencepiece_sizes, sentencepiece_train};
