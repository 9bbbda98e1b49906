/* bfmc generate: text that a trained model writes. */
#include "file/json/json_file.h"
#include "train/generate.h"
#include "driver/progress.h"
#include "driver/stop.h"
#include "driver/verbs.h"
#include "generate/sampler.h"
#include "tokenizer/text_stream.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_SECONDS = 2 };

typedef struct Writing {
    Driver *driver;
    Generator generator;
    BfmTokenizer *tokenizer;
    BfmSampler *sampler;
    BfmIds prompt;
    BfmTextStream stream;
    BfmText prompt_shown;    /* before the text */
    BfmBytes piece;          /* what is shown next */
    Str text;                /* all that was written, for --json */
    int64_t wanted, written; /* tokens */
    uint64_t seed;
    double began, first; /* seconds_now(): at the start, and when the first token was written */
    double last;         /* when the last one was */
    double verifying;    /* seconds between first and last that went into comparisons */
    Verification verification;
} Writing;

/* ---- waiting ---- */

/* Compiling and reading the prompt say nothing; after a while, that they go on. */
static void say_waiting(int number)
{
    static const char text[] = "compiling the decoder and reading the prompt\n";
    (void)number;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
}

static void waiting_begin(const Driver *driver)
{
    struct sigaction action = {.sa_handler = say_waiting, .sa_flags = SA_RESTART};
    if (driver->quiet)
        return;
    sigaction(SIGALRM, &action, NULL);
    alarm(WAIT_SECONDS);
}

static void waiting_end(void)
{
    alarm(0);
    signal(SIGALRM, SIG_DFL);
}

/* ---- text ---- */

static BfmText prompt_text(const Driver *driver)
{
    const char *text = option_given(driver->options, OPT_PROMPT) ? option_text(driver->options, OPT_PROMPT) : "";
    return (BfmText){text, strlen(text)};
}

static bool read_prompt(Writing *writing, BfmError *error)
{
    const BfmText text = prompt_text(writing->driver);
    if (!bfm_tokenizer_encode(writing->tokenizer, text, &writing->prompt, error))
        return false;
    if (writing->prompt.count == 0 && text.bytes > 0)
        driver_note(writing->driver, "note: the run's tokenizer keeps nothing of the prompt; the text begins as without one");
    if (writing->prompt.count == 0 && !bfm_tokenizer_begin(writing->tokenizer, &writing->prompt, error))
        return false;
    return bfm_text_stream_init(&writing->stream, writing->tokenizer, writing->prompt.data, writing->prompt.count, error);
}

/* The prompt as it was given, but for a character at its end that the text completes. */
static BfmText shown_prompt(const Writing *writing)
{
    const BfmText text = prompt_text(writing->driver);
    const BfmBytes *held = &writing->stream.held;
    const bool ends = held->length > 0 && held->length <= text.bytes && memcmp(text.data + (text.bytes - held->length), held->data, held->length) == 0;
    return (BfmText){text.data, text.bytes - (ends ? held->length : 0)};
}

static bool feed_prompt(Writing *writing, BfmError *error)
{
    Generator *generator = &writing->generator;
    const int64_t context = generator->length, half = context > 1 ? context / 2 : 1;
    const int64_t count = writing->prompt.count > context ? half : writing->prompt.count;
    if (count < writing->prompt.count)
        driver_note(writing->driver, "note: the prompt has %lld tokens and the model's context is %lld; its last %lld %s read", (long long)writing->prompt.count,
                    (long long)context, (long long)count, count == 1 ? "is" : "are");
    return generator_feed(generator, writing->prompt.data + (writing->prompt.count - count), count, error);
}

static bool show(Writing *writing, const char *text, size_t bytes, BfmError *error)
{
    if (writing->driver->json) {
        str_append_n(&writing->text, text, bytes);
        return true;
    }
    if (fwrite(text, 1, bytes, stdout) != bytes || fflush(stdout) != 0)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "standard output cannot be written");
    return true;
}

static bool show_piece(Writing *writing, BfmError *error) { return show(writing, writing->piece.data ? writing->piece.data : "", writing->piece.length, error); }

static bool show_token(Writing *writing, int32_t id, BfmError *error)
{
    writing->piece.length = 0;
    return bfm_text_stream_push(&writing->stream, id, &writing->piece, error) && show_piece(writing, error);
}

/* What the last tokens left incomplete. */
static bool show_rest(Writing *writing, BfmError *error)
{
    writing->piece.length = 0;
    return bfm_text_stream_end(&writing->stream, &writing->piece, error) && show_piece(writing, error);
}

/* A full window is compared while its logits are there, then begun again. */
static bool make_room(Writing *writing, BfmError *error)
{
    Generator *generator = &writing->generator;
    if (!generator_is_full(generator))
        return true;
    const double before = seconds_now();
    const bool ok = !generator->compared || generator_verify(generator, &writing->verification, error);
    writing->verifying += generator->compared ? seconds_now() - before : 0;
    return ok && generator_slide(generator, error);
}

static bool write_tokens(Writing *writing, BfmError *error)
{
    while (writing->written < writing->wanted && !stop_asked()) {
        const int32_t id = bfm_sampler_next(writing->sampler, writing->generator.logits, writing->prompt.count + writing->written, error);
        if (id < 0 || !show_token(writing, id, error))
            return false;
        writing->last = seconds_now();
        writing->first = writing->written == 0 ? writing->last : writing->first;
        if (++writing->written < writing->wanted && (!make_room(writing, error) || !generator_feed(&writing->generator, &id, 1, error)))
            return false;
    }
    return true;
}

/* ---- the verb ---- */

static bool prepare(Writing *writing, BfmError *error)
{
    Driver *driver = writing->driver;
    const Options *options = driver->options;
    const Generator *generator = &writing->generator;
    writing->seed = (uint64_t)option_whole(options, OPT_SEED, 1);
    writing->wanted = option_whole(options, OPT_NUMBER, 0);
    writing->tokenizer = trained_tokenizer(&driver->context, &generator->trained, error);
    if (!writing->tokenizer)
        return false;
    const int64_t ids = bfm_tokenizer_vocab(writing->tokenizer); /* a model may have room for more: those are never drawn */
    if (ids > generator->vocab)
        return bfm_error_set(error, BFM_ERROR_INPUT, "the tokenizer has %lld ids and the model's vocab is %lld", (long long)ids, (long long)generator->vocab);
    writing->sampler = bfm_sampler_new(ids, option_real(options, OPT_TEMPERATURE), option_real(options, OPT_TOP_P), writing->seed, error);
    if (!writing->sampler)
        return false;
    return read_prompt(writing, error) && feed_prompt(writing, error);
}

static bool write_text(Writing *writing, BfmError *error)
{
    writing->prompt_shown = shown_prompt(writing);
    writing->first = seconds_now();
    if (!writing->driver->json && (!bfm_text_clean(writing->prompt_shown, &writing->piece, error) || !show_piece(writing, error)))
        return false;
    stop_listen(); /* until here a signal ends the process: there is nothing to finish */
    const bool ok = write_tokens(writing, error) && show_rest(writing, error);
    if (!writing->driver->json && writing->written > 0)
        (void)show(writing, "\n", 1, ok ? error : NULL);
    return ok && (!writing->generator.compared || generator_verify(&writing->generator, &writing->verification, error));
}

static json_t *verification_json(const Verification *v)
{
    json_t *json = json_pack("{s:I, s:I, s:b}", "positions", (json_int_t)v->positions, "differences", (json_int_t)v->differences, "same", v->differences == 0);
    if (v->differences > 0) {
        json_object_set_new(json, "position", json_integer(v->position));
        json_object_set_new(json, "token", json_integer(v->token));
        json_object_set_new(json, "largest", bfm_json_number(v->largest));
    }
    return json;
}

static void say_verification(const Writing *writing)
{
    const Verification *v = &writing->verification;
    if (v->differences == 0)
        fprintf(stderr, "verified: at %lld position%s decoding and the forward pass agree in every bit of %lld logits each\n", (long long)v->positions, bfm_plural(v->positions),
                (long long)writing->generator.vocab);
    else
        fprintf(stderr, "decoding and the forward pass differ in %lld of %lld logits, by %.3g at most; first at position %lld, token %lld: decoded %.9g, computed %.9g\n",
                (long long)v->differences, (long long)(v->positions * writing->generator.vocab), v->largest, (long long)v->position, (long long)v->token, (double)v->decoded,
                (double)v->computed);
}

/* Tokens after the first, over the time they took; NaN where there are none. */
static double tokens_per_second(const Writing *writing)
{
    const double seconds = writing->last - writing->first - writing->verifying;
    return writing->written > 1 && seconds > 0 ? (double)(writing->written - 1) / seconds : NAN;
}

static int report(Writing *writing)
{
    Driver *driver = writing->driver;
    const Options *options = driver->options;
    const bool verified = writing->generator.compared != NULL;
    const int code = verified && writing->verification.differences > 0 ? CODE_BUG : writing->written < writing->wanted ? CODE_STOPPED : CODE_OK;
    if (!driver->json) {
        if (verified)
            say_verification(writing);
        return code;
    }
    BfmBytes prompt = {0};
    BfmError error;
    if (!bfm_text_clean(writing->prompt_shown, &prompt, &error))
        return driver_fail(driver, &error);
    json_t *report = report_new(driver);
    json_object_set_new(report, "step", json_integer(writing->generator.trained.checkpoint->meta.step));
    json_object_set_new(report, "prompt", json_stringn(prompt.data ? prompt.data : "", prompt.length));
    json_object_set_new(report, "text", json_stringn(str_text(&writing->text), writing->text.length));
    json_object_set_new(report, "tokens", json_integer(writing->written));
    json_object_set_new(report, "seed", json_integer((json_int_t)writing->seed));
    json_object_set_new(report, "temperature", json_real(option_real(options, OPT_TEMPERATURE)));
    json_object_set_new(report, "top_p", json_real(option_real(options, OPT_TOP_P)));
    json_object_set_new(report, "windows", json_integer(writing->generator.windows));
    json_object_set_new(report, "seconds_to_first", bfm_json_number(writing->written > 0 ? writing->first - writing->began : NAN));
    json_object_set_new(report, "tokens_per_second", bfm_json_number(tokens_per_second(writing)));
    if (verified)
        json_object_set_new(report, "verify", verification_json(&writing->verification));
    bfm_bytes_deinit(&prompt);
    return report_print(driver, report, code);
}

static int generate(Writing *writing)
{
    Driver *driver = writing->driver;
    BfmError error;
    waiting_begin(driver);
    const bool ready = generator_open(&driver->context, driver->options->arguments[0], option_flag(driver->options, OPT_VERIFY), (int)option_whole(driver->options, OPT_THREADS, 0),
                                      &writing->generator, &error) &&
                       prepare(writing, &error);
    waiting_end();
    if (!ready || !write_text(writing, &error))
        return driver_fail(driver, &error);
    return report(writing);
}

int verb_generate(Driver *driver)
{
    Writing writing = {.driver = driver, .began = seconds_now()};
    const int code = generate(&writing);
    bfm_text_stream_deinit(&writing.stream);
    bfm_bytes_deinit(&writing.piece);
    str_free(&writing.text);
    bfm_ids_deinit(&writing.prompt);
    bfm_sampler_free(writing.sampler);
    bfm_tokenizer_free(writing.tokenizer);
    generator_close(&writing.generator);
    return code;
}
