/* bfmc data pack, bfmc data show: texts to token files, and a look into them. */
#include "data/pack.h"
#include "driver/stop.h"
#include "driver/verbs.h"
#include "tokenizer/text_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static json_t *part_json(const BfmTokens *tokens, const BfmLoss *loss)
{
    const BfmTokensInfo *info = bfm_tokens_info(tokens);
    return json_pack("{s:I, s:I, s:I, s:f, s:o}", "tokens", (json_int_t)info->count, "documents", (json_int_t)info->documents, "bytes", (json_int_t)info->source_bytes,
                     "bytes_per_token", bfm_tokens_bytes_per_token(info), "lost", bfm_loss_json(loss));
}

static json_t *dataset_json(const Driver *driver, const BfmDataset *dataset)
{
    json_t *report = report_new(driver), *parts = json_object();
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

/* Signals end the process while there is nothing to take back; then the pack looks for them. */
static bool pack_stopped(void *context)
{
    bool *listening = context;
    if (!*listening)
        stop_listen();
    *listening = true;
    return stop_asked();
}

static BfmLoss total_loss(const BfmDataset *dataset)
{
    BfmLoss total = {0};
    for (int p = 0; p < BFM_PART_COUNT; p++) {
        const BfmLoss *loss = &dataset->loss[p];
        total = (BfmLoss){total.documents + loss->documents, total.white_space + loss->white_space, total.invalid + loss->invalid, total.characters + loss->characters,
                          total.added + loss->added};
    }
    return total;
}

/* What the user did not ask for and gets. */
static void pack_notes(const Driver *driver, const BfmPackOptions *pack, const BfmDataset *dataset)
{
    const BfmLoss lost = total_loss(dataset);
    char text[BFM_LOSS_TEXT];
    const long long vocab = bfm_tokenizer_vocab(dataset->tokenizer), wanted = strncmp(pack->tokenizer, "train:", 6) == 0 ? strtoll(pack->tokenizer + 6, NULL, 10) : vocab;
    if (vocab < wanted)
        driver_note(driver, "note: the text gives %lld pieces, fewer than the %lld of --tokenizer %s; the tokenizer has %lld ids", vocab, wanted, pack->tokenizer, vocab);
    if (lost.documents > 0)
        driver_note(driver, "warning: the tokenizer %s does not keep the text as it is: %lld document%s lost %s; --tokenizer byte and train:N keep every byte", pack->tokenizer,
                    (long long)lost.documents, bfm_plural(lost.documents), bfm_loss_text(&lost, text));
    for (int p = 0; p < BFM_PART_COUNT; p++)
        if (dataset->parts[p] && bfm_tokens_info(dataset->parts[p])->count < 2)
            driver_note(driver, "warning: the part %s has %lld id%s, and a prediction takes two; give more text or another --split", bfm_part_name((BfmPart)p),
                        (long long)bfm_tokens_info(dataset->parts[p])->count, bfm_plural(bfm_tokens_info(dataset->parts[p])->count));
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
                           .out = option_text(options, OPT_OUT),
                           .replace = option_flag(options, OPT_REPLACE),
                           .stopped = pack_stopped,
                           .stopped_context = &(bool){false}};
    BfmError error;
    if (!pack.out)
        return driver_usage(driver, "say where the data folder goes: --out DATA");
    if (!bfm_split_parse(option_text(options, OPT_SPLIT), pack.split, &error))
        return driver_fail(driver, &error);
    if (!driver->quiet && !driver->json && isatty(STDERR_FILENO)) {
        pack.progress = pack_progress;
        pack.progress_context = &shown;
    }
    if (!bfm_pack(&pack, &error)) {
        const int failed = driver_fail(driver, &error);
        return stop_asked() ? CODE_STOPPED : failed;
    }
    BfmDataset *dataset = bfm_dataset_open(pack.out, &error);
    if (!dataset)
        return driver_fail(driver, &error);
    int code = CODE_OK;
    pack_notes(driver, &pack, dataset);
    if (driver->json)
        code = report_print(driver, dataset_json(driver, dataset), CODE_OK);
    else if (!driver->quiet && !bfm_dataset_show(dataset, 0, pack.seed, stdout, &error))
        code = driver_fail(driver, &error);
    bfm_dataset_close(dataset);
    return code;
}

/* Bytes cut in the middle of a character are no UTF-8, which JSON cannot hold. */
static json_t *sample_json(const BfmDataset *dataset, int64_t index, uint64_t seed, BfmError *error)
{
    BfmSample sample;
    BfmBytes text = {0}, clean = {0};
    json_t *json = NULL;
    if (bfm_dataset_sample(dataset, BFM_PART_TRAIN, index, BFM_SAMPLE_TOKENS, seed, &sample, &text, error) &&
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
