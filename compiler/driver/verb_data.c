/* bfmc data pack, bfmc data show: texts to token files, and a look into them. */
#include "data/pack.h"
#include "driver/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static json_t *part_json(const BfmTokens *tokens)
{
    const BfmTokensInfo *info = bfm_tokens_info(tokens);
    return json_pack("{s:I, s:I, s:I, s:f}", "tokens", (json_int_t)info->count, "documents", (json_int_t)info->documents, "bytes", (json_int_t)info->source_bytes,
                     "bytes_per_token", bfm_tokens_bytes_per_token(info));
}

static json_t *dataset_json(const Driver *driver, const BfmDataset *dataset)
{
    json_t *report = report_new(driver), *parts = json_object();
    for (int p = 0; p < BFM_PART_COUNT; p++)
        if (dataset->parts[p])
            json_object_set_new(parts, bfm_part_name((BfmPart)p), part_json(dataset->parts[p]));
    json_object_set_new(report, "folder", json_string(dataset->folder));
    json_object_set_new(report, "tokenizer", json_string(bfm_tokenizer_kind(dataset->tokenizer)));
    json_object_set_new(report, "vocab", json_integer(bfm_tokenizer_vocab(dataset->tokenizer)));
    json_object_set_new(report, "hash", json_sprintf("%016llx", (unsigned long long)dataset->hash));
    json_object_set_new(report, "parts", parts);
    return report;
}

static void pack_progress(void *context, int64_t done, int64_t total)
{
    int *shown = context; /* percent */
    const int percent = total > 0 ? (int)(100 * done / total) : 100;
    if (percent == *shown)
        return;
    *shown = percent;
    fprintf(stderr, "\rpacking: %3d %%%s", percent, done >= total ? "\n" : "");
    fflush(stderr);
}

int verb_data_pack(Driver *driver)
{
    const Options *options = driver->options;
    int shown = -1;
    BfmPackOptions pack = {.inputs = options->arguments,
                           .input_count = options->argument_count,
                           .tokenizer = option_text(options, OPT_TOKENIZER),
                           .document_separator = option_text(options, OPT_SEPARATOR),
                           .seed = (uint64_t)option_whole(options, OPT_SEED, 1),
                           .out = option_text(options, OPT_OUT)};
    BfmError error;
    if (!pack.out)
        return driver_usage(driver, "say where the data folder goes: --out DATA");
    if (!bfm_split_parse(option_text(options, OPT_SPLIT), pack.split, &error))
        return driver_fail(driver, &error);
    if (!driver->quiet && !driver->json && isatty(STDERR_FILENO)) {
        pack.progress = pack_progress;
        pack.progress_context = &shown;
    }
    if (!bfm_pack(&pack, &error))
        return driver_fail(driver, &error);
    BfmDataset *dataset = bfm_dataset_open(pack.out, &error);
    if (!dataset)
        return driver_fail(driver, &error);
    int code = CODE_OK;
    if (driver->json)
        code = report_print(driver, dataset_json(driver, dataset), CODE_OK);
    else if (!driver->quiet && !bfm_dataset_show(dataset, 0, pack.seed, stdout, &error))
        code = driver_fail(driver, &error);
    bfm_dataset_close(dataset);
    return code;
}

static json_t *samples_json(const BfmDataset *dataset, int64_t count, uint64_t seed, BfmError *error)
{
    json_t *samples = json_array();
    for (int64_t i = 0; i < count; i++) {
        BfmSample sample;
        BfmBytes text = {0};
        if (!bfm_dataset_sample(dataset, BFM_PART_TRAIN, i, BFM_SAMPLE_TOKENS, seed, &sample, &text, error)) {
            bfm_bytes_deinit(&text);
            json_decref(samples);
            return NULL;
        }
        Str literal = {0}; /* bytes cut in the middle of a character are no UTF-8: str_json repairs them */
        str_json(&literal, text.length ? text.data : "", text.length);
        json_array_append_new(samples, json_pack("{s:I, s:I, s:I, s:o}", "document", (json_int_t)sample.document, "start", (json_int_t)sample.start, "tokens",
                                                 (json_int_t)sample.count, "text", json_loads(str_text(&literal), JSON_DECODE_ANY, NULL)));
        str_free(&literal);
        bfm_bytes_deinit(&text);
    }
    return samples;
}

int verb_data_show(Driver *driver)
{
    const Options *options = driver->options;
    const uint64_t seed = (uint64_t)option_whole(options, OPT_SEED, 1);
    int64_t count = 0;
    if (options->argument_count > 1) {
        char *end;
        count = strtoll(options->arguments[1], &end, 10);
        if (*end || end == options->arguments[1] || count < 0)
            return driver_usage(driver, "the number of samples is a whole number, not `%s`", options->arguments[1]);
    }
    BfmError error;
    BfmDataset *dataset = bfm_dataset_open(options->arguments[0], &error);
    if (!dataset)
        return driver_fail(driver, &error);
    int code = CODE_OK;
    if (driver->json) {
        json_t *report = dataset_json(driver, dataset), *samples = samples_json(dataset, count, seed, &error);
        if (samples)
            json_object_set_new(report, "samples", samples);
        code = samples ? report_print(driver, report, CODE_OK) : (json_decref(report), driver_fail(driver, &error));
    } else if (!bfm_dataset_show(dataset, count, seed, stdout, &error)) {
        code = driver_fail(driver, &error);
    }
    bfm_dataset_close(dataset);
    return code;
}
