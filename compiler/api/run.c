/* Trained models: evaluation and text. */
#include "bfm/run.h"

#include "api/internal.h"
#include "file/json/json_file.h"
#include "generate/sampler.h"
#include "support/clock.h"
#include "tokenizer/text_stream.h"
#include "train/evaluate.h"
#include "train/generate.h"
#include "train/trained.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct BfmRun {
    BfmModule *work; /* memory and diagnostics */
    const char *path;
};

BfmRun *bfm_run_new(const BfmContext *context, const char *path)
{
    BfmModule *work = api_workspace(context);
    BfmRun *run = ARENA_NEW(work->context.arena, BfmRun);
    *run = (BfmRun){.work = work, .path = arena_strdup(work->context.arena, path)};
    return run;
}

void bfm_run_free(BfmRun *run)
{
    if (run)
        bfm_module_free(run->work);
}

const BfmModule *bfm_run_module(const BfmRun *run) { return run->work; }

/* ---- evaluation ---- */

static Leak leak_of(BfmLeak leak)
{
    static const Leak leaks[] = {[BFM_LEAK_NONE] = LEAK_NONE, [BFM_LEAK_POSSIBLE] = LEAK_POSSIBLE, [BFM_LEAK_SHOWN] = LEAK_SHOWN};
    return leaks[leak];
}

BfmEvaluation api_evaluation(const Evaluation *from)
{
    static const BfmLeak leaks[] = {[LEAK_NONE] = BFM_LEAK_NONE, [LEAK_POSSIBLE] = BFM_LEAK_POSSIBLE, [LEAK_SHOWN] = BFM_LEAK_SHOWN};
    return (BfmEvaluation){.tokens = from->tokens,
                           .documents = from->documents,
                           .bytes = from->bytes,
                           .nats = from->nats,
                           .interval = from->interval,
                           .perplexity = from->perplexity,
                           .bits_per_byte = from->bits_per_byte,
                           .leak = leaks[from->leak]};
}

char *bfm_evaluation_json(const BfmEvaluation *from)
{
    const Evaluation evaluation = {.tokens = from->tokens,
                                   .documents = from->documents,
                                   .bytes = from->bytes,
                                   .nats = from->nats,
                                   .interval = from->interval,
                                   .perplexity = from->perplexity,
                                   .bits_per_byte = from->bits_per_byte,
                                   .leak = leak_of(from->leak)};
    return api_json(evaluation_json(&evaluation));
}

typedef struct Evaluating {
    const BfmContext *context;
    Trained trained;
    BfmDataset *data;
    Engine *engine;
    Runner *runner;
    Evaluation evaluation;
} Evaluating;

static bool evaluate(Evaluating *eval, const char *folder, const BfmEvaluateOptions *options, BfmError *error)
{
    const BfmContext *context = eval->context;
    const EngineKind *kind = api_engine(options->engine, error);
    const BfmPart part = (BfmPart)options->part;
    int64_t batch, length;
    if (!kind)
        return false;
    eval->data = bfm_dataset_open(folder, error);
    if (!eval->data || !trained_reads(context, &eval->trained, eval->data, error) ||
        !bfm_json_get_int(eval->trained.run, eval->trained.folder.json, "batch", 1, INT32_MAX, &batch, error) ||
        !bfm_json_get_int(eval->trained.run, eval->trained.folder.json, "context", 1, INT32_MAX, &length, error))
        return false;
    if (!eval->data->parts[part])
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s has no part `%s`", folder, bfm_part_name(part));
    const Leak leak = evaluate_leak(context->arena, eval->trained.model.lowered);
    order_evaluation(eval->trained.model.lowered, kind->simplified);
    if (!trained_load(context, &eval->trained, error))
        return false;
    eval->engine = engine_new(context->arena, kind, false, options->threads, error);
    eval->runner = eval->engine ? runner_new(context->arena, eval->engine, eval->trained.model.lowered, eval->trained.store, error) : NULL;
    const BfmCheckpointMeta *meta = &eval->trained.checkpoint->meta;
    EvalText text;
    if (!eval->runner || !evaluate_text(context->arena, eval->data, part, options->tokens, &text, error) ||
        !evaluate_part(context, eval->runner, &text, batch, length, (RunKey){.seed = (uint64_t)meta->seed, .step = meta->step}, &eval->evaluation, error))
        return false;
    eval->evaluation.leak = leak;
    return !eval->evaluation.bad || bfm_error_set(error, BFM_ERROR_INPUT, "the loss is no finite number: %s", eval->evaluation.bad);
}

bool bfm_evaluate(BfmRun *run, const char *data, const BfmEvaluateOptions *options, BfmEvaluation *evaluation, int64_t *step, BfmError *error)
{
    static const BfmEvaluateOptions usual = {.part = BFM_DATA_VALID};
    const BfmContext *context = &run->work->context;
    Evaluating eval = {.context = context};
    const bool ok = trained_open(context, run->path, MODE_EVAL, &eval.trained, error) && model_evaluated(context, &eval.trained.model, error) &&
                    evaluate(&eval, data, options ? options : &usual, error);
    if (ok) {
        *evaluation = api_evaluation(&eval.evaluation);
        *step = eval.trained.checkpoint->meta.step;
    }
    runner_free(eval.runner);
    engine_free(eval.engine);
    bfm_dataset_close(eval.data);
    trained_close(&eval.trained);
    return ok;
}

/* ---- text ---- */

typedef struct Writing {
    const BfmGenerateOptions *options;
    const BfmContext *context;
    Generator generator;
    BfmTokenizer *tokenizer;
    BfmSampler *sampler;
    BfmIds prompt;
    BfmTextStream stream;
    BfmText prompt_shown;    /* before the text */
    BfmBytes piece;          /* what is shown next */
    Str text;                /* all that was written */
    int64_t wanted, written; /* tokens */
    uint64_t seed;
    double began, first; /* seconds_now(): at the start, and when the first token was written */
    double last;         /* when the last one was */
    double verifying;    /* seconds between first and last that went into comparisons */
    Verification verification;
} Writing;

static BfmText prompt_text(const Writing *writing)
{
    const BfmGenerateOptions *options = writing->options;
    return (BfmText){options->prompt ? options->prompt : "", options->prompt ? options->prompt_length : 0};
}

static bool read_prompt(Writing *writing, BfmError *error)
{
    const BfmText text = prompt_text(writing);
    if (!bfm_tokenizer_encode(writing->tokenizer, text, &writing->prompt, error))
        return false;
    if (writing->prompt.count == 0 && text.bytes > 0)
        context_note(writing->context, "note: the run's tokenizer keeps nothing of the prompt; the text begins as without one");
    if (writing->prompt.count == 0 && !bfm_tokenizer_begin(writing->tokenizer, &writing->prompt, error))
        return false;
    return bfm_text_stream_init(&writing->stream, writing->tokenizer, writing->prompt.data, writing->prompt.count, error);
}

/* The prompt as it was given, but for a character at its end that the text completes. */
static BfmText shown_prompt(const Writing *writing)
{
    const BfmText text = prompt_text(writing);
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
        context_note(writing->context, "note: the prompt has %lld tokens and the model's context is %lld; its last %lld %s read", (long long)writing->prompt.count,
                     (long long)context, (long long)count, count == 1 ? "is" : "are");
    return generator_feed(generator, writing->prompt.data + (writing->prompt.count - count), count, error);
}

static bool show(Writing *writing, const char *text, size_t bytes, BfmError *error)
{
    str_append_n(&writing->text, text, bytes);
    return !writing->options->write || writing->options->write(writing->options->user, text, bytes, error);
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
    while (writing->written < writing->wanted && !(writing->options->stop && writing->options->stop(writing->options->user))) {
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

static bool prepare(Writing *writing, BfmError *error)
{
    const BfmGenerateOptions *options = writing->options;
    const Generator *generator = &writing->generator;
    writing->seed = options->seed;
    writing->wanted = options->tokens;
    writing->tokenizer = trained_tokenizer(writing->context, &generator->trained, error);
    if (!writing->tokenizer)
        return false;
    const int64_t ids = bfm_tokenizer_vocab(writing->tokenizer); /* a model may have room for more: those are never drawn */
    if (ids > generator->vocab)
        return bfm_error_set(error, BFM_ERROR_INPUT, "the tokenizer has %lld ids and the model's vocab is %lld", (long long)ids, (long long)generator->vocab);
    writing->sampler = bfm_sampler_new(ids, options->temperature, options->top_p, writing->seed, error);
    if (!writing->sampler)
        return false;
    return read_prompt(writing, error) && feed_prompt(writing, error);
}

static bool show_prompt(Writing *writing, BfmError *error)
{
    writing->prompt_shown = shown_prompt(writing);
    if (!bfm_text_clean(writing->prompt_shown, &writing->piece, error))
        return false;
    return !writing->options->write || writing->options->write(writing->options->user, writing->piece.data ? writing->piece.data : "", writing->piece.length, error);
}

static bool write_text(Writing *writing, BfmError *error)
{
    writing->first = seconds_now();
    return show_prompt(writing, error) && write_tokens(writing, error) && show_rest(writing, error) &&
           (!writing->generator.compared || generator_verify(&writing->generator, &writing->verification, error));
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

static void verification_text(const Writing *writing, Str *out)
{
    const Verification *v = &writing->verification;
    if (v->differences == 0)
        str_printf(out, "verified: at %lld position%s decoding and the forward pass agree in every bit of %lld logits each\n", (long long)v->positions, bfm_plural(v->positions),
                   (long long)writing->generator.vocab);
    else
        str_printf(out, "decoding and the forward pass differ in %lld of %lld logits, by %.3g at most; first at position %lld, token %lld: decoded %.9g, computed %.9g\n",
                   (long long)v->differences, (long long)(v->positions * writing->generator.vocab), v->largest, (long long)v->position, (long long)v->token, (double)v->decoded,
                   (double)v->computed);
}

/* Tokens after the first, over the time they took; NaN where there are none. */
static double tokens_per_second(const Writing *writing)
{
    const double seconds = writing->last - writing->first - writing->verifying;
    return writing->written > 1 && seconds > 0 ? (double)(writing->written - 1) / seconds : NAN;
}

static bool make_report(Writing *writing, BfmReport *report, BfmError *error)
{
    const BfmGenerateOptions *options = writing->options;
    const bool verified = writing->generator.compared != NULL;
    BfmBytes prompt = {0};
    Str text = {0};
    if (!bfm_text_clean(writing->prompt_shown, &prompt, error))
        return false;
    json_t *json = json_object();
    json_object_set_new(json, "step", json_integer(writing->generator.trained.checkpoint->meta.step));
    json_object_set_new(json, "prompt", json_stringn(prompt.data ? prompt.data : "", prompt.length));
    json_object_set_new(json, "text", json_stringn(str_text(&writing->text), writing->text.length));
    json_object_set_new(json, "tokens", json_integer(writing->written));
    json_object_set_new(json, "seed", json_integer((json_int_t)writing->seed));
    json_object_set_new(json, "temperature", json_real(options->temperature));
    json_object_set_new(json, "top_p", json_real(options->top_p));
    json_object_set_new(json, "windows", json_integer(writing->generator.windows));
    json_object_set_new(json, "seconds_to_first", bfm_json_number(writing->written > 0 ? writing->first - writing->began : NAN));
    json_object_set_new(json, "tokens_per_second", bfm_json_number(tokens_per_second(writing)));
    if (verified) {
        json_object_set_new(json, "verify", verification_json(&writing->verification));
        verification_text(writing, &text);
    }
    *report = api_made(&text, json);
    bfm_bytes_deinit(&prompt);
    return true;
}

static bool generate(Writing *writing, const char *path, BfmGenerated *generated, BfmReport *report, BfmError *error)
{
    const BfmGenerateOptions *options = writing->options;
    if (!generator_open(writing->context, path, options->verify, options->threads, &writing->generator, error) || !prepare(writing, error))
        return false;
    if (options->ready)
        options->ready(options->user);
    if (!write_text(writing, error) || !make_report(writing, report, error))
        return false;
    *generated = (BfmGenerated){.tokens = writing->written, .verified = writing->generator.compared != NULL, .differences = writing->verification.differences};
    return true;
}

bool bfm_generate(BfmRun *run, const BfmGenerateOptions *options, BfmGenerated *generated, BfmReport *report, BfmError *error)
{
    Writing writing = {.options = options, .context = &run->work->context, .began = seconds_now()};
    *report = (BfmReport){.text = NULL};
    const bool ok = generate(&writing, run->path, generated, report, error);
    bfm_text_stream_deinit(&writing.stream);
    bfm_bytes_deinit(&writing.piece);
    str_free(&writing.text);
    bfm_ids_deinit(&writing.prompt);
    bfm_sampler_free(writing.sampler);
    bfm_tokenizer_free(writing.tokenizer);
    generator_close(&writing.generator);
    return ok;
}
