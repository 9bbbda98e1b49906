#include "tokenizer/tokenizer.h"

#include "file/atomic_file.h"
#include "file/file.h"
#include "file/json/json_file.h"
#include "tokenizer/tokenizer_kinds.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static const char JSON_NAME[] = "tokenizer.json", MODEL_NAME[] = "tokenizer.model";
static const char TRAIN_PREFIX[] = "train:", MODEL_SUFFIX[] = ".model";

enum { SCHEMA = 1, MIN_TRAINED_VOCAB = 300, MAX_TRAINED_VOCAB = 1 << 20 };

static const TokenizerKind *const KINDS[] = {
#define BFM_TOKENIZER(constant, name, prefix) &bfm_tokenizer_##prefix,
#include "tokenizer/tokenizers.def"
#undef BFM_TOKENIZER
};

struct BfmTokenizer {
    const TokenizerKind *kind;
    void *handle; /* the kind's */
    int64_t vocab;
    uint64_t hash;
    BfmBytes model; /* as in the model file; empty for kinds without one */
};

static BfmTokenizer *open_kind(const TokenizerKind *kind, BfmText model, BfmError *error)
{
    BfmTokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (!tokenizer) {
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory for the tokenizer");
        return NULL;
    }
    tokenizer->kind = kind;
    if (bfm_bytes_append(&tokenizer->model, model.data, model.bytes, error) && kind->open(model, &tokenizer->handle, &tokenizer->vocab, error)) {
        uint64_t seed = XXH3_64bits_withSeed(kind->name, strlen(kind->name), (uint64_t)tokenizer->vocab);
        tokenizer->hash = XXH3_64bits_withSeed(model.data, model.bytes, seed);
        return tokenizer;
    }
    bfm_bytes_deinit(&tokenizer->model);
    free(tokenizer);
    return NULL;
}

static BfmTokenizer *open_model_file(const char *path, BfmError *error)
{
    BfmMappedFile file;
    if (!bfm_mapped_file_open(&file, path, error))
        return NULL;
    BfmError reason = {0};
    BfmTokenizer *tokenizer = open_kind(&bfm_tokenizer_sentencepiece, (BfmText){(const char *)file.data, file.size}, &reason);
    if (!tokenizer)
        (void)bfm_error_set(error, reason.kind, "%s: %.900s", path, reason.message);
    bfm_mapped_file_close(&file);
    return tokenizer;
}

static BfmTokenizer *train(const char *count_text, const BfmText *texts, int64_t count, BfmError *error)
{
    char *end;
    long long vocab = strtoll(count_text, &end, 10);
    if (*end || end == count_text || vocab < MIN_TRAINED_VOCAB || vocab > MAX_TRAINED_VOCAB) {
        (void)bfm_error_set(error, BFM_ERROR_INPUT, "tokenizer train:%s: expected a vocabulary of %d to %d, for example train:8192", count_text, MIN_TRAINED_VOCAB,
                            MAX_TRAINED_VOCAB);
        return NULL;
    }
    BfmBytes model = {0};
    BfmTokenizer *tokenizer = NULL;
    if (bfm_tokenizer_sentencepiece.train(texts, count, vocab, &model, error))
        tokenizer = open_kind(&bfm_tokenizer_sentencepiece, (BfmText){model.data, model.length}, error);
    bfm_bytes_deinit(&model);
    return tokenizer;
}

BfmTokenizer *bfm_tokenizer_new(const char *specification, const BfmText *texts, int64_t count, BfmError *error)
{
    size_t length = strlen(specification), suffix = strlen(MODEL_SUFFIX);
    if (strcmp(specification, bfm_tokenizer_byte.name) == 0)
        return open_kind(&bfm_tokenizer_byte, (BfmText){"", 0}, error);
    if (strncmp(specification, TRAIN_PREFIX, strlen(TRAIN_PREFIX)) == 0)
        return train(specification + strlen(TRAIN_PREFIX), texts, count, error);
    if (length > suffix && strcmp(specification + length - suffix, MODEL_SUFFIX) == 0)
        return open_model_file(specification, error);
    (void)bfm_error_set(error, BFM_ERROR_INPUT, "unknown tokenizer \"%s\"; expected byte, train:N (for example train:8192) or a SentencePiece file M.model", specification);
    return NULL;
}

void bfm_tokenizer_free(BfmTokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    tokenizer->kind->close(tokenizer->handle);
    bfm_bytes_deinit(&tokenizer->model);
    free(tokenizer);
}

const char *bfm_tokenizer_kind(const BfmTokenizer *tokenizer) { return tokenizer->kind->name; }

int64_t bfm_tokenizer_vocab(const BfmTokenizer *tokenizer) { return tokenizer->vocab; }

uint64_t bfm_tokenizer_hash(const BfmTokenizer *tokenizer) { return tokenizer->hash; }

bool bfm_tokenizer_encode(const BfmTokenizer *tokenizer, BfmText text, BfmIds *ids, BfmError *error) { return tokenizer->kind->encode(tokenizer->handle, text, ids, error); }

bool bfm_tokenizer_begin(const BfmTokenizer *tokenizer, BfmIds *ids, BfmError *error) { return tokenizer->kind->begin(tokenizer->handle, ids, error); }

bool bfm_tokenizer_decode_more(const BfmTokenizer *tokenizer, const int32_t *ids, int64_t count, bool *begun, BfmBytes *text, BfmError *error)
{
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= tokenizer->vocab)
            return bfm_error_set(error, BFM_ERROR_INPUT, "token id %" PRId32 " is outside the tokenizer's vocabulary of %" PRId64, ids[i], tokenizer->vocab);
    return tokenizer->kind->decode(tokenizer->handle, ids, count, begun, text, error);
}

bool bfm_tokenizer_decode(const BfmTokenizer *tokenizer, const int32_t *ids, int64_t count, BfmBytes *text, BfmError *error)
{
    bool begun = false;
    return bfm_tokenizer_decode_more(tokenizer, ids, count, &begun, text, error);
}

bool bfm_tokenizer_sizes(const BfmTokenizer *tokenizer, int32_t *sizes, BfmError *error) { return tokenizer->kind->sizes(tokenizer->handle, sizes, error); }

bool bfm_tokenizer_save(const BfmTokenizer *tokenizer, const char *folder, BfmError *error)
{
    char hash[BFM_HASH_TEXT];
    bfm_hash_text(tokenizer->hash, hash);
    char *path = bfm_path_join(folder, JSON_NAME, error), *model_path = bfm_path_join(folder, MODEL_NAME, error);
    json_t *object = json_pack("{s:i, s:s, s:I, s:s}", "schema", SCHEMA, "kind", tokenizer->kind->name, "vocab", (json_int_t)tokenizer->vocab, "hash", hash);
    bool saved = path && model_path && (object || bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: out of memory", path));
    if (saved && tokenizer->model.length > 0)
        saved = json_object_set_new(object, "model", json_string(MODEL_NAME)) == 0 && bfm_atomic_write(model_path, tokenizer->model.data, tokenizer->model.length, error);
    saved = saved && bfm_json_write(path, object, error);
    json_decref(object);
    free(path);
    free(model_path);
    return saved;
}

static BfmTokenizer *load_kind(const TokenizerKind *kind, const char *folder, bool has_model, BfmError *error)
{
    char *path = has_model ? bfm_path_join(folder, MODEL_NAME, error) : NULL;
    BfmTokenizer *tokenizer = NULL;
    if (!has_model)
        tokenizer = open_kind(kind, (BfmText){"", 0}, error);
    else if (path)
        tokenizer = open_model_file(path, error);
    free(path);
    return tokenizer;
}

static BfmTokenizer *load_object(const json_t *object, const char *path, const char *folder, BfmError *error)
{
    int64_t schema, vocab;
    uint64_t hash;
    const char *name;
    const TokenizerKind *kind = NULL;
    if (!bfm_json_get_int(object, path, "schema", SCHEMA, SCHEMA, &schema, error) || !bfm_json_get_string(object, path, "kind", &name, error) ||
        !bfm_json_get_int(object, path, "vocab", 1, INT32_MAX, &vocab, error) || !bfm_json_get_hash(object, path, "hash", &hash, error))
        return NULL;
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (strcmp(KINDS[i]->name, name) == 0)
            kind = KINDS[i];
    if (!kind) {
        (void)bfm_error_set(error, BFM_ERROR_INPUT, "%s: unknown kind of tokenizer \"%.60s\"; expected byte or sentencepiece", path, name);
        return NULL;
    }
    BfmTokenizer *tokenizer = load_kind(kind, folder, kind->train != NULL, error);
    if (tokenizer && (tokenizer->hash != hash || tokenizer->vocab != vocab)) {
        (void)bfm_error_set(error, BFM_ERROR_INPUT, "%s: describes another tokenizer than the one found (vocab %" PRId64 ", found %" PRId64 "); pack the text again", path, vocab,
                            tokenizer->vocab);
        bfm_tokenizer_free(tokenizer);
        tokenizer = NULL;
    }
    return tokenizer;
}

BfmTokenizer *bfm_tokenizer_load(const char *folder, BfmError *error)
{
    char *path = bfm_path_join(folder, JSON_NAME, error);
    json_t *object = path ? bfm_json_read(path, error) : NULL;
    BfmTokenizer *tokenizer = object ? load_object(object, path, folder, error) : NULL;
    json_decref(object);
    free(path);
    return tokenizer;
}
