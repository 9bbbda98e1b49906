/* bfmc data pack, bfmc data show: texts to token files, and a look into them. */
#include "driver/stop.h"
#include "driver/verbs.h"

#include <bfm/data.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Packing {
    int shown; /* percent */
    bool listening;
} Packing;

static void pack_progress(void *user, int64_t done, int64_t total)
{
    Packing *packing = user;
    const int percent = total > 0 ? (int)(100 * done / total) : 100;
    if (percent == packing->shown)
        return;
    packing->shown = percent;
    fprintf(stderr, "\rpacking: %3d %%%s", percent, done >= total ? "\n" : "");
    fflush(stderr);
}

/* Signals end the process while there is nothing to take back; then the pack looks for them. */
static bool pack_stopped(void *user)
{
    Packing *packing = user;
    if (!packing->listening)
        stop_listen();
    packing->listening = true;
    return stop_asked();
}

/* What the user did not ask for and gets. */
static void pack_notes(const Driver *driver, const char *tokenizer, const BfmData *data)
{
    const long long vocab = bfm_data_vocab(data), wanted = strncmp(tokenizer, "train:", 6) == 0 ? strtoll(tokenizer + 6, NULL, 10) : vocab;
    int64_t documents;
    char *lost = bfm_data_lost(data, &documents);
    if (vocab < wanted)
        driver_note(driver, "note: the text gives %lld pieces, fewer than the %lld of --tokenizer %s; the tokenizer has %lld ids", vocab, wanted, tokenizer, vocab);
    if (lost)
        driver_note(driver, "warning: the tokenizer %s does not keep the text as it is: %lld document%s lost %s; --tokenizer byte and train:N keep every byte", tokenizer,
                    (long long)documents, plural(documents), lost);
    bfm_text_free(lost);
    for (int p = 0; p < BFM_DATA_PARTS; p++) {
        BfmDataPartInfo part;
        if (bfm_data_part(data, (BfmDataPart)p, &part) && part.tokens < 2)
            driver_note(driver, "warning: the part %s has %lld id%s, and a prediction takes two; give more text or another --split", bfm_data_part_name((BfmDataPart)p),
                        (long long)part.tokens, plural(part.tokens));
    }
}

static int show(Driver *driver, const BfmData *data, int64_t samples, bool silent)
{
    BfmReport report;
    BfmError error;
    if (!bfm_data_show(data, samples, (uint64_t)option_whole(driver->options, OPT_SEED, 1), &report, &error))
        return driver_fail(driver, &error);
    if (!silent)
        return driver_report(driver, &report, CODE_OK);
    bfm_report_free(&report);
    return CODE_OK;
}

int verb_data_pack(Driver *driver)
{
    const Options *options = driver->options;
    const char *out = option_text(options, OPT_OUT);
    const bool progress = !driver->quiet && !driver->json && isatty(STDERR_FILENO);
    Packing packing = {.shown = -1};
    const BfmDataPackOptions pack = {.inputs = options->arguments,
                                     .input_count = options->argument_count,
                                     .tokenizer = option_text(options, OPT_TOKENIZER),
                                     .split = option_text(options, OPT_SPLIT),
                                     .document_separator = option_text(options, OPT_SEPARATOR),
                                     .seed = (uint64_t)option_whole(options, OPT_SEED, 1),
                                     .replace = option_flag(options, OPT_REPLACE),
                                     .progress = progress ? pack_progress : NULL,
                                     .stopped = pack_stopped,
                                     .user = &packing};
    BfmError error;
    if (!out)
        return driver_usage(driver, "say where the data folder goes: --out DATA");
    if (!bfm_data_pack(out, &pack, &error)) {
        const int failed = driver_fail(driver, &error);
        return stop_asked() ? CODE_STOPPED : failed;
    }
    BfmData *data = bfm_data_open(out, &error);
    if (!data)
        return driver_fail(driver, &error);
    pack_notes(driver, pack.tokenizer, data);
    const int code = show(driver, data, 0, driver->quiet && !driver->json);
    bfm_data_close(data);
    return code;
}

int verb_data_show(Driver *driver)
{
    const Options *options = driver->options;
    int64_t count = 0;
    BfmError error;
    if (options->argument_count > 1) {
        char *end;
        count = strtoll(options->arguments[1], &end, 10);
        if (*end || end == options->arguments[1] || count < 0)
            return driver_usage(driver, "the number of samples is a whole number, not `%s`", options->arguments[1]);
    }
    BfmData *data = bfm_data_open(options->arguments[0], &error);
    if (!data)
        return driver_fail(driver, &error);
    const int code = show(driver, data, count, false);
    bfm_data_close(data);
    return code;
}
