/* Data folders. */
#include "bfm/data.h"

#include "api/internal.h"
#include "data/pack.h"
#include "tokenizer/text_stream.h"

#include <stdio.h>
#include <stdlib.h>

_Static_assert((int)BFM_DATA_TRAIN == (int)BFM_PART_TRAIN && (int)BFM_DATA_VALID == (int)BFM_PART_VALID && (int)BFM_DATA_TEST == (int)BFM_PART_TEST, "the same parts");

struct BfmData {
    BfmDataset *dataset;
};

bool bfm_data_pack(const char *out, const BfmDataPackOptions *options, BfmError *error)
{
    BfmPackOptions pack = {.inputs = options->inputs,
                           .input_count = options->input_count,
                           .tokenizer = options->tokenizer ? options->tokenizer : "byte",
                           .document_separator = options->document_separator,
                           .seed = options->seed,
                           .out = out,
                           .replace = options->replace,
                           .progress = options->progress,
                           .progress_context = options->user,
                           .stopped = options->stopped,
                           .stopped_context = options->user};
    return bfm_split_parse(options->split ? options->split : "98,1,1", pack.split, error) && bfm_pack(&pack, error);
}

BfmData *bfm_data_open(const char *folder, BfmError *error)
{
    BfmDataset *dataset = bfm_dataset_open(folder, error);
    BfmData *data = dataset ? malloc(sizeof *data) : NULL;
    if (data) {
        *data = (BfmData){dataset};
        return data;
    }
    if (dataset)
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
    bfm_dataset_close(dataset);
    return NULL;
}

void bfm_data_close(BfmData *data)
{
    if (data)
        bfm_dataset_close(data->dataset);
    free(data);
}

const char *bfm_data_part_name(BfmDataPart part) { return bfm_part_name((BfmPart)part); }
int64_t bfm_data_vocab(const BfmData *data) { return bfm_tokenizer_vocab(data->dataset->tokenizer); }

bool bfm_data_part(const BfmData *data, BfmDataPart part, BfmDataPartInfo *info)
{
    const BfmTokens *tokens = data->dataset->parts[part];
    if (!tokens)
        return false;
    const BfmTokensInfo *own = bfm_tokens_info(tokens);
    *info = (BfmDataPartInfo){.tokens = (int64_t)own->count, .documents = (int64_t)own->documents, .bytes = (int64_t)own->source_bytes};
    return true;
}

char *bfm_data_lost(const BfmData *data, int64_t *documents)
{
    BfmLoss total = {0};
    char words[BFM_LOSS_TEXT];
    for (int p = 0; p < BFM_PART_COUNT; p++) {
        const BfmLoss *loss = &data->dataset->loss[p];
        total = (BfmLoss){total.documents + loss->documents, total.white_space + loss->white_space, total.invalid + loss->invalid, total.characters + loss->characters,
                          total.added + loss->added};
    }
    *documents = total.documents;
    Str text = {0};
    if (total.documents == 0)
        return NULL;
    str_append(&text, bfm_loss_text(&total, words));
    char *copy = api_text(&text);
    str_free(&text);
    return copy;
}

/* ---- the report ---- */

static json_t *part_json(const BfmTokens *tokens, const BfmLoss *loss)
{
    const BfmTokensInfo *info = bfm_tokens_info(tokens);
    return json_pack("{s:I, s:I, s:I, s:f, s:o}", "tokens", (json_int_t)info->count, "documents", (json_int_t)info->documents, "bytes", (json_int_t)info->source_bytes,
                     "bytes_per_token", bfm_tokens_bytes_per_token(info), "lost", bfm_loss_json(loss));
}

static json_t *dataset_json(const BfmDataset *dataset)
{
    json_t *report = json_object(), *parts = json_object();
    for (int p = 0; p < BFM_PART_COUNT; p++)
        if (dataset->parts[p])
            json_object_set_new(parts, bfm_part_name((BfmPart)p), part_json(dataset->parts[p], &dataset->loss[p]));
    json_object_set_new(report, "folder", json_string(dataset->folder));
    json_object_set_new(report, "tokenizer", json_string(bfm_tokenizer_kind(dataset->tokenizer)));
    json_object_set_new(report, "vocab", json_integer(bfm_tokenizer_vocab(dataset->tokenizer)));
    json_object_set_new(report, "hash", json_sprintf("%016llx", (unsigned long long)dataset->hash));
    json_object_set_new(report, "parts", parts);
    return report;
}

/* Bytes cut in the middle of a character are no UTF-8, which JSON cannot hold. */
static json_t *sample_json(const BfmDataset *dataset, int64_t index, uint64_t seed, BfmError *error)
{
    BfmSample sample;
    BfmPart part = BFM_PART_TRAIN;
    while (!dataset->parts[part])
        part++;
    BfmBytes text = {0}, clean = {0};
    json_t *json = NULL;
    if (bfm_dataset_sample(dataset, part, index, BFM_SAMPLE_TOKENS, seed, &sample, &text, error) &&
        bfm_text_clean((BfmText){text.data ? text.data : "", text.length}, &clean, error))
        json = json_pack("{s:I, s:I, s:I, s:o}", "document", (json_int_t)sample.document, "start", (json_int_t)sample.start, "tokens", (json_int_t)sample.count, "text",
                         json_stringn(clean.data, clean.length));
    bfm_bytes_deinit(&text);
    bfm_bytes_deinit(&clean);
    return json;
}

static json_t *samples_json(const BfmDataset *dataset, int64_t count, uint64_t seed, BfmError *error)
{
    json_t *samples = json_array();
    for (int64_t i = 0; i < count; i++) {
        json_t *sample = sample_json(dataset, i, seed, error);
        if (sample) {
            json_array_append_new(samples, sample);
            continue;
        }
        json_decref(samples);
        return NULL;
    }
    return samples;
}

static bool shown_text(const BfmDataset *dataset, int64_t samples, uint64_t seed, BfmReport *report, BfmError *error)
{
    FILE *out = open_memstream(&report->text, &report->text_length);
    const bool ok = out ? bfm_dataset_show(dataset, samples, seed, out, error) : bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
    if (out && fclose(out) != 0 && ok)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
    return ok;
}

bool bfm_data_show(const BfmData *data, int64_t samples, uint64_t seed, BfmReport *report, BfmError *error)
{
    json_t *list = samples_json(data->dataset, samples, seed, error);
    *report = (BfmReport){.text = NULL};
    if (!list || !shown_text(data->dataset, samples, seed, report, error)) {
        json_decref(list);
        bfm_report_free(report);
        return false;
    }
    json_t *json = dataset_json(data->dataset);
    json_object_set_new(json, "samples", list);
    report->json = api_json(json);
    return true;
}
