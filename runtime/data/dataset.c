#define _GNU_SOURCE
#include "data/dataset.h"

#include "file/file.h"
#include "file/json/json_file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

static const char *const PART_NAMES[BFM_PART_COUNT] = {"train", "valid", "test"};

const char *bfm_part_name(BfmPart part) { return PART_NAMES[part]; }

double bfm_tokens_bytes_per_token(const BfmTokensInfo *info) { return info->count > 0 ? (double)info->source_bytes / (double)info->count : 0; }

/* Absent where an earlier version packed the text. */
static bool read_loss(const json_t *item, const char *path, BfmLoss *loss, BfmError *error)
{
    const json_t *lost = json_object_get(item, "lost");
    return !lost ||
           (bfm_json_get_int(lost, path, "documents", 0, INT64_MAX, &loss->documents, error) &&
            bfm_json_get_int(lost, path, "white_space", 0, INT64_MAX, &loss->white_space, error) &&
            bfm_json_get_int(lost, path, "invalid_bytes", 0, INT64_MAX, &loss->invalid, error) &&
            bfm_json_get_int(lost, path, "characters", 0, INT64_MAX, &loss->characters, error) && bfm_json_get_int(lost, path, "added", 0, INT64_MAX, &loss->added, error));
}

json_t *bfm_loss_json(const BfmLoss *loss)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "documents", (json_int_t)loss->documents, "white_space", (json_int_t)loss->white_space, "invalid_bytes",
                     (json_int_t)loss->invalid, "characters", (json_int_t)loss->characters, "added", (json_int_t)loss->added);
}

static bool open_part(BfmDataset *dataset, BfmPart part, const json_t *parts, const char *path, BfmError *error)
{
    const json_t *item = json_object_get(parts, PART_NAMES[part]);
    const char *name;
    uint64_t hash;
    if (!item)
        return true;
    if (!bfm_json_get_string(item, path, "file", &name, error) || !bfm_json_get_hash(item, path, "hash", &hash, error) || !read_loss(item, path, &dataset->loss[part], error))
        return false;
    if (strchr(name, '/'))
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: the file of part %s is \"%.100s\"; expected a name inside the folder", path, PART_NAMES[part], name);
    char *file = bfm_path_join(dataset->folder, name, error);
    BfmTokens *tokens = file ? bfm_tokens_open(file, error) : NULL;
    dataset->parts[part] = tokens;
    free(file);
    if (!tokens)
        return false;
    const BfmTokensInfo *info = bfm_tokens_info(tokens);
    if (info->hash != hash)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: its content is not the one that %s describes; pack the text again", bfm_tokens_path(tokens), path);
    if (info->tokenizer_hash != bfm_tokenizer_hash(dataset->tokenizer) || info->vocab != bfm_tokenizer_vocab(dataset->tokenizer))
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: was made with another tokenizer than the one in %s; pack the text again", bfm_tokens_path(tokens), dataset->folder);
    return true;
}

static bool open_parts(BfmDataset *dataset, BfmError *error)
{
    char *path = bfm_path_join(dataset->folder, BFM_DATA_JSON, error);
    json_t *object = path ? bfm_json_read(path, error) : NULL;
    int64_t schema;
    bool opened = object && bfm_json_get_int(object, path, "schema", BFM_DATA_SCHEMA, BFM_DATA_SCHEMA, &schema, error);
    dataset->tokenizer = opened ? bfm_tokenizer_load(dataset->folder, error) : NULL;
    opened = opened && dataset->tokenizer;
    uint64_t hashes[1 + BFM_PART_COUNT] = {opened ? bfm_tokenizer_hash(dataset->tokenizer) : 0};
    for (int i = 0; opened && i < BFM_PART_COUNT; i++) {
        opened = open_part(dataset, (BfmPart)i, json_object_get(object, "parts"), path, error);
        hashes[1 + i] = dataset->parts[i] ? bfm_tokens_info(dataset->parts[i])->hash : 0;
    }
    if (opened && !dataset->parts[BFM_PART_TRAIN] && !dataset->parts[BFM_PART_VALID] && !dataset->parts[BFM_PART_TEST])
        opened = bfm_error_set(error, BFM_ERROR_INPUT, "%s: names no part; expected train, valid or test", path);
    dataset->hash = XXH3_64bits(hashes, sizeof hashes);
    json_decref(object);
    free(path);
    return opened;
}

static bool is_data_folder(const char *folder, BfmError *error)
{
    char *json = bfm_path_join(folder, BFM_DATA_JSON, error), *run = bfm_path_join(folder, "run.json", error);
    bool is = json && run;
    if (is && !bfm_path_exists(folder))
        is = bfm_error_set(error, BFM_ERROR_INPUT, "%s: there is no such folder; bfmc data pack TEXT --out %s makes a data folder of a text", folder, folder);
    else if (is && !bfm_directory_exists(folder))
        is = bfm_error_set(error, BFM_ERROR_INPUT, "%s: expected a data folder, found a file; bfmc data pack %s --out DATA makes one if it is a text", folder, folder);
    else if (is && !bfm_path_exists(json))
        is = bfm_error_set(error, BFM_ERROR_INPUT, "%s: expected a data folder, found %s (it has no " BFM_DATA_JSON "); bfmc data pack TEXT --out DATA makes one", folder,
                           bfm_path_exists(run) ? "a run" : "another folder");
    free(json);
    free(run);
    return is;
}

BfmDataset *bfm_dataset_open(const char *folder, BfmError *error)
{
    if (!is_data_folder(folder, error))
        return NULL;
    BfmDataset *dataset = calloc(1, sizeof *dataset);
    if (dataset)
        dataset->folder = bfm_path_suffix(folder, "", error);
    if (!dataset || !dataset->folder)
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: out of memory", folder);
    else if (open_parts(dataset, error))
        return dataset;
    bfm_dataset_close(dataset);
    return NULL;
}

void bfm_dataset_close(BfmDataset *dataset)
{
    if (!dataset)
        return;
    for (int i = 0; i < BFM_PART_COUNT; i++)
        bfm_tokens_close(dataset->parts[i]);
    bfm_tokenizer_free(dataset->tokenizer);
    free(dataset->folder);
    free(dataset);
}

/* How often each id occurs in a part. */
static void count_ids(const BfmTokens *tokens, int64_t *counts)
{
    enum { BLOCK = 4096 };
    int32_t ids[BLOCK];
    const int64_t total = bfm_tokens_info(tokens)->count;
    for (int64_t start = 0; start < total; start += BLOCK) {
        const int64_t count = total - start < BLOCK ? total - start : BLOCK;
        bfm_tokens_copy(tokens, start, count, ids);
        for (int64_t i = 0; i < count; i++)
            counts[ids[i]]++;
    }
}

static void sizes_from(const BfmTokensInfo *info, const int32_t *pieces, const int64_t *counts, double *sizes)
{
    double known = 0, unknown = 0;
    const double source = (double)info->source_bytes;
    for (int64_t id = 0; id < info->vocab; id++) {
        known += pieces[id] > 0 ? (double)pieces[id] * (double)counts[id] : 0;
        unknown += pieces[id] < 0 ? (double)counts[id] : 0;
    }
    const bool fill = unknown > 0 && source >= known;
    const double share = known > 0 && !fill ? source / known : 1, each = fill ? (source - known) / unknown : 0;
    for (int64_t id = 0; id < info->vocab; id++)
        sizes[id] = pieces[id] < 0 ? each : share * (double)pieces[id];
}

bool bfm_dataset_sizes(const BfmDataset *dataset, BfmPart part, double *sizes, BfmError *error)
{
    const BfmTokens *tokens = dataset->parts[part];
    const size_t vocab = (size_t)bfm_tokens_info(tokens)->vocab;
    int32_t *pieces = malloc(vocab * sizeof *pieces);
    int64_t *counts = calloc(vocab, sizeof *counts);
    const bool ok = pieces && counts ? bfm_tokenizer_sizes(dataset->tokenizer, pieces, error) : bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory for %zu ids", vocab);
    if (ok) {
        count_ids(tokens, counts);
        sizes_from(bfm_tokens_info(tokens), pieces, counts, sizes);
    }
    free(pieces);
    free(counts);
    return ok;
}

void bfm_dataset_used_by(const BfmDataset *dataset, const char *run)
{
    char *path = bfm_path_join(dataset->folder, BFM_DATA_USERS, NULL), *where = realpath(run, NULL), *line = NULL;
    if (path && where && !strchr(where, '\n') && asprintf(&line, "%s\n", where) > 0) {
        const int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (file >= 0) {
            (void)!write(file, line, strlen(line));
            (void)close(file);
        }
    }
    free(path);
    free(where);
    free(line);
}

bool bfm_dataset_sample(const BfmDataset *dataset, BfmPart part, int64_t index, int64_t length, uint64_t seed, BfmSample *sample, BfmBytes *text, BfmError *error)
{
    const BfmTokens *tokens = dataset->parts[part];
    if (!tokens || bfm_tokens_info(tokens)->count == 0)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: holds no %s data", dataset->folder, PART_NAMES[part]);
    int64_t total = bfm_tokens_info(tokens)->count, start, end;
    int64_t chosen = (int64_t)(XXH3_64bits_withSeed(&index, sizeof index, seed) % (uint64_t)total);
    sample->document = bfm_tokens_document_at(tokens, chosen);
    bfm_tokens_document(tokens, sample->document, &start, &end);
    sample->start = end - chosen < length ? (end - length > start ? end - length : start) : chosen; /* not cut short by the document's end */
    sample->count = end - sample->start < length ? end - sample->start : length;
    int32_t *ids = malloc(((size_t)sample->count + 1) * sizeof *ids);
    if (!ids)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory for a sample of %" PRId64 " token%s", sample->count, bfm_plural(sample->count));
    bfm_tokens_copy(tokens, sample->start, sample->count, ids);
    bool begun = sample->start > start;
    bool decoded = bfm_tokenizer_decode_more(dataset->tokenizer, ids, sample->count, &begun, text, error);
    free(ids);
    return decoded;
}

bool bfm_dataset_show(const BfmDataset *dataset, int64_t count, uint64_t seed, FILE *out, BfmError *error)
{
    for (int i = 0; i < BFM_PART_COUNT; i++) {
        if (!dataset->parts[i])
            continue;
        const BfmTokensInfo *info = bfm_tokens_info(dataset->parts[i]);
        (void)fprintf(out, "%s: %" PRId64 " token%s, %" PRId64 " document%s, %" PRId64 " byte%s, %.4g bytes per token\n", PART_NAMES[i], info->count, bfm_plural(info->count),
                      info->documents, bfm_plural(info->documents), info->source_bytes, bfm_plural(info->source_bytes), bfm_tokens_bytes_per_token(info));
        const BfmLoss *loss = &dataset->loss[i];
        char lost[BFM_LOSS_TEXT];
        if (loss->documents > 0)
            (void)fprintf(out, "%*s  the ids do not keep, in %" PRId64 " document%s: %s\n", (int)strlen(PART_NAMES[i]), "", loss->documents, bfm_plural(loss->documents),
                          bfm_loss_text(loss, lost));
    }
    BfmPart part = BFM_PART_TRAIN;
    while (!dataset->parts[part])
        part++;
    for (int64_t i = 0; i < count; i++) {
        BfmBytes text = {0};
        BfmSample sample = {0};
        bool decoded = bfm_dataset_sample(dataset, part, i, BFM_SAMPLE_TOKENS, seed, &sample, &text, error);
        if (decoded) {
            (void)fprintf(out, "\n-- %s, document %" PRId64 ", tokens %" PRId64 " to %" PRId64 "\n", PART_NAMES[part], sample.document, sample.start, sample.start + sample.count);
            (void)fwrite(text.data, 1, text.length, out);
            (void)fputc('\n', out);
        }
        bfm_bytes_deinit(&text);
        if (!decoded)
            return false;
    }
    return true;
}
