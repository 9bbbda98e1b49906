#define _GNU_SOURCE
#include "data/pack.h"

#include "file/atomic_file.h"
#include "file/file.h"
#include "file/json/json_file.h"
#include "data/documents.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* Everything a pack writes; a folder that holds anything else is not ours to replace. */
static const char *const OUR_FILES[] = {"train.tok", "valid.tok", "test.tok", "tokenizer.json", "tokenizer.model", BFM_DATA_JSON, BFM_DATA_USERS};

typedef struct Pack {
    const BfmPackOptions *options;
    BfmDocuments documents;
    unsigned char *part; /* [documents.count] BfmPart of each */
    BfmTokenizer *tokenizer;
    BfmTokensInfo info[BFM_PART_COUNT];
    BfmLoss loss[BFM_PART_COUNT];
    BfmAtomicDirectory out;
} Pack;

bool bfm_split_parse(const char *text, double split[BFM_PART_COUNT], BfmError *error)
{
    const char *at = text;
    double sum = 0;
    for (int i = 0; i < BFM_PART_COUNT; i++)
        split[i] = 0;
    for (int i = 0; i < BFM_PART_COUNT; i++) {
        char *end;
        split[i] = strtod(at, &end);
        sum += split[i];
        bool number = end > at && isfinite(split[i]) && split[i] >= 0;
        if (number && *end == '\0' && split[0] > 0 && isfinite(sum))
            return true;
        if (!number || *end != ',')
            break;
        at = end + 1;
    }
    return bfm_error_set(error, BFM_ERROR_INPUT, "split \"%s\": expected up to three shares (train, valid, test) with train above 0, for example 98,1,1", text);
}

typedef struct Ranked {
    uint64_t hash;
    int64_t document;
} Ranked;

static int by_hash(const void *left, const void *right)
{
    const Ranked *a = left, *b = right;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    return a->document < b->document ? -1 : a->document > b->document;
}

/* Gives `part` documents from `ranked[from...]` until its bytes are as near to `target` as whole documents get, at least one, and never
 * splits a run of equal documents. Returns where the next part goes on. */
static int64_t hold_out(Pack *pack, const Ranked *ranked, int64_t from, BfmPart part, double target)
{
    double bytes = 0;
    int64_t count = pack->documents.count, i = from;
    while (i < count) {
        double size = 0;
        int64_t end = i;
        do
            size += (double)pack->documents.texts[ranked[end++].document].bytes;
        while (end < count && ranked[end].hash == ranked[i].hash);
        if (i > from && target - bytes < size / 2)
            break;
        bytes += size;
        for (; i < end; i++)
            pack->part[ranked[i].document] = (unsigned char)part;
    }
    return i;
}

static bool assign_parts(Pack *pack, const double share[BFM_PART_COUNT], BfmError *error)
{
    const BfmDocuments *documents = &pack->documents;
    Ranked *ranked = malloc((size_t)documents->count * sizeof *ranked);
    pack->part = calloc((size_t)documents->count, 1); /* BFM_PART_TRAIN is 0 */
    if (!ranked || !pack->part) {
        free(ranked);
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory for %" PRId64 " document%s", documents->count, bfm_plural(documents->count));
    }
    for (int64_t i = 0; i < documents->count; i++)
        ranked[i] = (Ranked){XXH3_64bits_withSeed(documents->texts[i].data, documents->texts[i].bytes, pack->options->seed), i};
    qsort(ranked, (size_t)documents->count, sizeof *ranked, by_hash);
    int64_t next = 0, filled = 0, wanted = 1, different = 0;
    for (int64_t i = 0; i < documents->count; i++)
        different += i == 0 || ranked[i].hash != ranked[i - 1].hash;
    for (int part = BFM_PART_COUNT - 1; part > BFM_PART_TRAIN; part--) {
        int64_t from = next;
        if (share[part] > 0)
            next = hold_out(pack, ranked, from, (BfmPart)part, share[part] * (double)documents->bytes);
        wanted += share[part] > 0;
        filled += next > from;
    }
    filled += next < documents->count;
    free(ranked);
    return filled == wanted || bfm_error_set(error, BFM_ERROR_INPUT,
                                             "the text has %" PRId64 " document%s, %" PRId64 " of them different, and equal documents stay in one part: too few for the %" PRId64
                                             " parts of the split; give more text, a --document-separator, or fewer parts (--split 100: all to train on)",
                                             documents->count, bfm_plural(documents->count), different, wanted);
}

static bool make_tokenizer(Pack *pack, BfmError *error)
{
    const BfmDocuments *documents = &pack->documents;
    BfmText *texts = malloc(((size_t)documents->count + 1) * sizeof *texts);
    int64_t count = 0;
    for (int64_t i = 0; texts && i < documents->count; i++)
        if (pack->part[i] == BFM_PART_TRAIN)
            texts[count++] = documents->texts[i];
    if (!texts)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory for the list of training texts");
    pack->tokenizer = bfm_tokenizer_new(pack->options->tokenizer, texts, count, error);
    free(texts);
    return pack->tokenizer != NULL;
}

static bool not_stopped(const Pack *pack, BfmError *error)
{
    return !pack->options->stopped || !pack->options->stopped(pack->options->stopped_context) || bfm_error_set(error, BFM_ERROR_INPUT, "stopped by a signal; nothing is written");
}

typedef struct Encoding {
    BfmIds ids;
    BfmBytes back; /* what the ids decode to */
    BfmLossCounter *counter;
} Encoding;

static bool write_document(Pack *pack, Encoding *encoding, BfmTokensWriter *writer, int64_t document, BfmError *error)
{
    const BfmText text = pack->documents.texts[document];
    encoding->ids.count = 0;
    encoding->back.length = 0;
    if (!bfm_tokenizer_encode(pack->tokenizer, text, &encoding->ids, error) ||
        !bfm_tokenizer_decode(pack->tokenizer, encoding->ids.data, encoding->ids.count, &encoding->back, error))
        return false;
    bfm_loss_count(encoding->counter, text, (BfmText){encoding->back.data, encoding->back.length}, &pack->loss[pack->part[document]]);
    return bfm_tokens_writer_document(writer, encoding->ids.data, encoding->ids.count, (int64_t)text.bytes, error);
}

static bool write_documents(Pack *pack, BfmTokensWriter *const writers[BFM_PART_COUNT], BfmError *error)
{
    Encoding encoding = {.counter = bfm_loss_counter_new(error)};
    int64_t done = 0;
    bool written = encoding.counter != NULL;
    for (int64_t i = 0; written && i < pack->documents.count; i++) {
        written = write_document(pack, &encoding, writers[pack->part[i]], i, error) && not_stopped(pack, error);
        done += (int64_t)pack->documents.texts[i].bytes;
        if (written && pack->options->progress)
            pack->options->progress(pack->options->progress_context, done, pack->documents.bytes);
    }
    bfm_ids_deinit(&encoding.ids);
    bfm_bytes_deinit(&encoding.back);
    bfm_loss_counter_free(encoding.counter);
    return written;
}

static BfmTokensWriter *part_writer(const Pack *pack, BfmPart part, BfmError *error)
{
    char *path = bfm_path_join(pack->out.temporary, OUR_FILES[part], error);
    BfmTokensWriter *writer = path ? bfm_tokens_writer_new(path, bfm_tokenizer_vocab(pack->tokenizer), bfm_tokenizer_hash(pack->tokenizer), error) : NULL;
    free(path);
    return writer;
}

static bool write_parts(Pack *pack, const double share[BFM_PART_COUNT], BfmError *error)
{
    BfmTokensWriter *writers[BFM_PART_COUNT] = {0};
    bool written = true;
    for (int part = 0; written && part < BFM_PART_COUNT; part++)
        if (share[part] > 0)
            written = (writers[part] = part_writer(pack, (BfmPart)part, error)) != NULL;
    written = written && write_documents(pack, writers, error);
    for (int part = 0; part < BFM_PART_COUNT; part++) {
        if (written && writers[part])
            written = bfm_tokens_writer_finish(writers[part], &pack->info[part], error);
        bfm_tokens_writer_free(writers[part]);
    }
    if (written && pack->info[BFM_PART_TRAIN].count == 0)
        written = bfm_error_set(error, BFM_ERROR_INPUT, "the tokenizer %s keeps nothing of the text to train on (%" PRId64 " byte%s); pack it with --tokenizer byte or train:N",
                                pack->options->tokenizer, pack->info[BFM_PART_TRAIN].source_bytes, bfm_plural(pack->info[BFM_PART_TRAIN].source_bytes));
    return written;
}

static json_t *part_json(const Pack *pack, BfmPart part)
{
    const BfmTokensInfo *info = &pack->info[part];
    char hash[BFM_HASH_TEXT];
    bfm_hash_text(info->hash, hash);
    return json_pack("{s:s, s:I, s:I, s:I, s:f, s:o, s:s}", "file", OUR_FILES[part], "tokens", (json_int_t)info->count, "documents", (json_int_t)info->documents, "bytes",
                     (json_int_t)info->source_bytes, "bytes_per_token", bfm_tokens_bytes_per_token(info), "lost", bfm_loss_json(&pack->loss[part]), "hash", hash);
}

static json_t *sources_json(const Pack *pack)
{
    json_t *sources = json_array();
    for (int64_t i = 0; i < pack->documents.file_count; i++) {
        char hash[BFM_HASH_TEXT];
        bfm_hash_text(pack->documents.file_hashes[i], hash);
        json_t *path = json_string(pack->options->inputs[i]); /* NULL for a path that is not UTF-8, which JSON cannot hold */
        (void)json_array_append_new(sources, json_pack("{s:o, s:I, s:s}", "path", path ? path : json_null(), "bytes", (json_int_t)pack->documents.files[i].size, "hash", hash));
    }
    return sources;
}

static bool describe(const Pack *pack, const double share[BFM_PART_COUNT], BfmError *error)
{
    char hash[BFM_HASH_TEXT];
    bfm_hash_text(bfm_tokenizer_hash(pack->tokenizer), hash);
    json_t *parts = json_object();
    for (int part = 0; part < BFM_PART_COUNT; part++)
        if (share[part] > 0)
            (void)json_object_set_new(parts, bfm_part_name((BfmPart)part), part_json(pack, (BfmPart)part));
    const double *split = pack->options->split;
    json_t *object = json_pack("{s:i, s:{s:s, s:I, s:s}, s:I, s:[f, f, f], s:s, s:o, s:o}", "schema", BFM_DATA_SCHEMA, "tokenizer", "kind", bfm_tokenizer_kind(pack->tokenizer),
                               "vocab", (json_int_t)bfm_tokenizer_vocab(pack->tokenizer), "hash", hash, "seed", (json_int_t)pack->options->seed, "split", split[0], split[1],
                               split[2], "documents", pack->documents.rule, "sources", sources_json(pack), "parts", parts);
    char *path = bfm_path_join(pack->out.temporary, BFM_DATA_JSON, error);
    bool written = path && (object || bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: out of memory", path)) && bfm_json_write(path, object, error);
    json_decref(object);
    free(path);
    return written;
}

static bool is_ours(const char *name)
{
    for (size_t i = 0; i < sizeof OUR_FILES / sizeof *OUR_FILES; i++)
        if (strcmp(name, OUR_FILES[i]) == 0)
            return true;
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool check_replaceable(const char *folder, BfmError *error)
{
    DIR *stream = opendir(folder);
    if (!stream)
        return true; /* new, or a file: begin says so */
    bool ours = true;
    for (const struct dirent *entry; ours && (entry = readdir(stream)) != NULL;)
        ours = is_ours(entry->d_name) || strstr(entry->d_name, ".tmp.") ||
               bfm_error_set(error, BFM_ERROR_INPUT, "%s: exists and holds \"%s\", which no pack wrote; choose another --out or remove the folder", folder, entry->d_name);
    (void)closedir(stream);
    return ours;
}

/* A run that is still there and says that it was trained on this folder. */
static bool run_uses(const char *run, const char *folder)
{
    char *path = bfm_path_join(run, "run.json", NULL);
    json_t *json = path && bfm_path_exists(path) ? bfm_json_read(path, NULL) : NULL;
    const char *data = json_string_value(json_object_get(json, "data"));
    const bool uses = data && strcmp(data, folder) == 0;
    json_decref(json);
    free(path);
    return uses;
}

static bool check_unused(const char *folder, BfmError *error)
{
    char *path = bfm_path_join(folder, BFM_DATA_USERS, error), *line = NULL;
    FILE *stream = path ? fopen(path, "rbe") : NULL;
    size_t capacity = 0;
    bool unused = path != NULL;
    for (ssize_t length; unused && stream && (length = getline(&line, &capacity, stream)) > 0;) {
        line[strcspn(line, "\n")] = '\0';
        if (run_uses(line, folder))
            unused = bfm_error_set(error, BFM_ERROR_INPUT, "%s: holds the data that the run %s was trained on, which needs them to go on; choose another --out, or say --replace",
                                   folder, line);
    }
    if (stream)
        (void)fclose(stream);
    free(line);
    free(path);
    return unused;
}

/* An output that holds one of the inputs would take it away. */
static bool check_inputs(const BfmPackOptions *options, const char *folder, BfmError *error)
{
    const size_t length = strlen(folder);
    bool apart = true;
    for (int64_t i = 0; apart && i < options->input_count; i++) {
        char *input = realpath(options->inputs[i], NULL);
        if (input && strncmp(input, folder, length) == 0 && input[length] == '/')
            apart = bfm_error_set(error, BFM_ERROR_INPUT, "%s: lies in the folder %s, which --out would replace; choose another --out", options->inputs[i], options->out);
        free(input);
    }
    return apart;
}

/* What a pack that was killed has left is removed, another's folder of that name is not. */
static bool check_temporary(const char *path, BfmError *error)
{
    char *temporary = bfm_path_suffix(path, ".tmp", error);
    const bool ours = temporary && check_replaceable(temporary, error);
    free(temporary);
    return ours;
}

/* Where the folder goes, links followed; NULL: what is there is not to be replaced. */
static char *output_path(const BfmPackOptions *options, BfmError *error)
{
    char *path = realpath(options->out, NULL);
    const bool there = path != NULL;
    if (!there)
        path = bfm_path_suffix(options->out, "", error);
    if (!path || !check_temporary(path, error)) {
        free(path);
        return NULL;
    }
    if (!there)
        return path;
    if (check_inputs(options, path, error) && check_replaceable(path, error) && (options->replace || check_unused(path, error)))
        return path;
    free(path);
    return NULL;
}

bool bfm_pack(const BfmPackOptions *options, BfmError *error)
{
    char *out = output_path(options, error);
    Pack pack = {.options = options};
    double share[BFM_PART_COUNT], sum = 0, smallest = 1;
    for (int part = 0; part < BFM_PART_COUNT; part++)
        sum += options->split[part];
    for (int part = 0; part < BFM_PART_COUNT; part++) {
        share[part] = options->split[part] / sum;
        smallest = share[part] > 0 && share[part] < smallest ? share[part] : smallest;
    }
    bool packed = out && (share[BFM_PART_TRAIN] > 0 || bfm_error_set(error, BFM_ERROR_INPUT, "the split leaves nothing to train on")) &&
                  bfm_documents_open(&pack.documents, options->inputs, options->input_count, options->document_separator, smallest, error) && assign_parts(&pack, share, error) &&
                  make_tokenizer(&pack, error) && not_stopped(&pack, error) && bfm_atomic_directory_begin(&pack.out, out, error) &&
                  bfm_tokenizer_save(pack.tokenizer, pack.out.temporary, error) && write_parts(&pack, share, error) && describe(&pack, share, error) && not_stopped(&pack, error) &&
                  bfm_atomic_directory_commit(&pack.out, error);
    bfm_atomic_directory_discard(&pack.out);
    bfm_documents_close(&pack.documents);
    bfm_tokenizer_free(pack.tokenizer);
    free(pack.part);
    free(out);
    return packed;
}
