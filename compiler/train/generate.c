/* From a run to a decoder that is ready, and the window of positions that it knows. */
#include "train/generate.h"

#include "file/json/json_file.h"
#include "ir/effects.h"
#include "memory/buffer.h"
#include "decode/decode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_STEPS = 24, PIECE = 64 /* positions read at once */ };

/* Both programs exactly as they were derived: simplified once more, they might no longer be scheduled alike. */
static const CompileOptions AS_DERIVED = {.codegen = {.level = 2}, .plain = true};

/* ---- what may decode ---- */

/* "at `moe_0`: y reads c, c reads best, and best reads later positions"; or that nothing bounds the positions that best reads */
static bool refuse_future(const Generator *generator, const ProgramEffects *effects, BfmError *error)
{
    const Lowered *lowered = generator->trained.model.lowered;
    EffectStep steps[PATH_STEPS];
    FutureRead read;
    const bool future = effects_future(effects, lowered->program->main, lowered->result, &read);
    const int count = effects_path(generator->context->arena, effects, lowered->program->main, lowered->result, true, steps, PATH_STEPS);
    Str way = {0};
    const char *name = NULL;
    for (int i = 0; i < count; i++) {
        const char *next = steps[i].unit->tensors[steps[i].tensor].name;
        if (steps[i].call)
            str_printf(&way, "%sat `%s`", way.length ? ", " : "", steps[i].call);
        else if (name && strcmp(name, next) != 0)
            str_printf(&way, ", %s reads %s", name, next);
        name = next;
    }
    str_printf(&way, future ? "%s%s reads later positions" : "%snothing bounds the positions that %s reads by the one written; a condition that compares indices would",
               way.length ? ", and " : "", name ? name : "its result");
    (void)bfm_error_set(error, BFM_ERROR_INPUT, "the model `%s` %s: %s", lowered->model->name,
                        future ? "reads the future, so it cannot write text" : "cannot be shown to be causal, so that no decoder is derived", str_text(&way));
    str_free(&way);
    return false;
}

static bool derive(Generator *generator, BfmError *error)
{
    const BfmContext *context = generator->context;
    const Lowered *lowered = generator->trained.model.lowered;
    const ProgramEffects *effects = effects_analyse(context->arena, lowered->program);
    const Effect effect = effects_of(effects, lowered->program->main)->outputs[lowered->result];
    if (!effect_causal(effect))
        return refuse_future(generator, effects, error);
    if (!effect_batch_independent(effect))
        context_note(context, "note: what `%s` computes for a text depends on the other texts of its batch; here it is alone", lowered->model->name);
    const char *message = NULL;
    generator->forward = decode_forward(lowered->program, lowered->result);
    generator->decode = decode_program(lowered->program, generator->forward, lowered->program->bindings, &message);
    return generator->decode || bfm_error_set(error, BFM_ERROR_INPUT, "the model `%s`: %s", lowered->model->name, message);
}

/* ---- making it ready ---- */

static bool set_formals(Generator *generator, BfmError *error)
{
    const Unit *unit = generator->decode->main;
    for (int f = 0; f < unit->formal_count; f++) {
        if (bfm_decoder_owns(generator->decoder, f))
            continue;
        const StoreEntry *entry = store_find(generator->trained.store, generator->decode->bindings[f].path);
        if (!entry)
            return bfm_error_set(error, BFM_ERROR_BUG, "%s is in the decoder and not in the model", generator->decode->bindings[f].path);
        bfm_decoder_set_formal(generator->decoder, f, entry->data);
    }
    return true;
}

static bool window_make(Generator *generator, bool verify, BfmError *error)
{
    const size_t context = (size_t)generator->length;
    generator->windows = 1;
    generator->window = calloc(context, sizeof *generator->window);
    generator->compared = verify ? bfm_buffer_new(context * (size_t)generator->vocab * sizeof(float)) : NULL;
    return (generator->window && (generator->compared || !verify)) ||
           bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "no memory for a context of %zu position%s", context, bfm_plural((long long)context));
}

static bool compile(Generator *generator, bool verify, int threads, BfmError *error)
{
    const BfmContext *context = generator->context;
    const Lowered *lowered = generator->trained.model.lowered;
    const Unit *unit = generator->decode->main;
    int result = 0;
    while (result < unit->output_count && unit->outputs[result].kind != OUTPUT_RESULT)
        result++;
    const Tensor *logits = &unit->tensors[unit->outputs[result].tensor];
    generator->vocab = lowered->vocab;
    generator->length = lowered->context;
    if (generator->vocab <= 0 || logits->rank != 3 || !dim_is(logits->extent[2], generator->vocab))
        return bfm_error_set(error, BFM_ERROR_INPUT, "the model `%s` gives no logits over a vocabulary: nothing can be drawn from it", lowered->model->name);
    if (generator->length <= 0 && !bfm_json_get_int(generator->trained.run, generator->trained.folder.json, "context", 1, INT32_MAX, &generator->length, error))
        return false;
    generator->jit = jit_new(NULL, error);
    generator->pool = generator->jit ? bfm_pool_new(threads) : NULL;
    const Compiled *compiled = generator->jit ? compile_program(context->arena, generator->jit, generator->decode, &AS_DERIVED, error) : NULL;
    generator->decoder = compiled ? bfm_decoder_new(compiled->plan, compiled->functions, generator->pool, 1, generator->length, error) : NULL;
    if (!generator->decoder || !set_formals(generator, error) || !window_make(generator, verify, error))
        return false;
    bfm_decoder_set_step(generator->decoder, generator->trained.checkpoint->meta.step);
    return true;
}

bool generator_open(const BfmContext *context, const char *argument, bool verify, int threads, Generator *generator, BfmError *error)
{
    *generator = (Generator){.context = context};
    return trained_open(context, argument, MODE_DECODE, &generator->trained, error) && derive(generator, error) && trained_load(context, &generator->trained, error) &&
           compile(generator, verify, threads, error);
}

void generator_close(Generator *generator)
{
    bfm_decoder_free(generator->decoder);
    bfm_pool_free(generator->pool);
    jit_free(generator->jit);
    free(generator->window);
    bfm_buffer_free(generator->compared);
    trained_close(&generator->trained);
}

/* ---- the window ---- */

bool generator_is_full(const Generator *generator) { return generator->known == generator->length; }

bool generator_feed(Generator *generator, const int32_t *tokens, int64_t count, BfmError *error)
{
    const int64_t vocab = generator->vocab;
    while (count > 0) {
        const int64_t piece = count < PIECE ? count : PIECE;
        const float *logits = NULL;
        if (!bfm_decoder_feed(generator->decoder, tokens, piece, &logits, error))
            return false;
        memcpy(generator->window + generator->known, tokens, (size_t)piece * sizeof *tokens);
        if (generator->compared)
            memcpy(generator->compared + generator->known * vocab, logits, (size_t)(piece * vocab) * sizeof *logits);
        generator->logits = logits + (piece - 1) * vocab;
        generator->known += piece;
        tokens += piece;
        count -= piece;
    }
    return true;
}

bool generator_slide(Generator *generator, BfmError *error)
{
    const int64_t kept = generator->length / 2;
    int32_t *tokens = arena_memdup(generator->context->arena, generator->window + (generator->known - kept), (size_t)kept * sizeof *tokens);
    bfm_decoder_reset(generator->decoder);
    generator->known = 0;
    generator->windows++;
    return generator_feed(generator, tokens, kept, error);
}

/* ---- against the forward program ---- */

static BfmInstance *forward_instance(Generator *generator, float *step, int32_t *segment, int32_t *tokens, BfmError *error)
{
    const Program *program = generator->trained.model.lowered->program;
    const Unit *unit = generator->forward;
    const DimEnv env = {.value = {[DIM_B] = 1, [DIM_L] = generator->length, [DIM_P] = 0, [DIM_N] = generator->length, 1, 1, 1, 1, 1, 1, 1, 1}};
    const Compiled *compiled = compile_unit(generator->context->arena, generator->jit, unit->program, unit, NULL, &AS_DERIVED, error);
    BfmInstance *instance = compiled ? bfm_instance_new(compiled->plan, compiled->functions, generator->pool, error) : NULL;
    if (!instance || !bfm_instance_bind(instance, env.value, error)) {
        bfm_instance_free(instance);
        return NULL;
    }
    for (int f = 0; f < unit->formal_count; f++) {
        const Binding *binding = &program->bindings[f];
        const StoreEntry *entry = store_find(generator->trained.store, binding->path);
        void *memory = entry ? entry->data : strcmp(binding->path, "tokens") == 0 ? tokens : strcmp(binding->path, "step") == 0 ? (void *)step : segment;
        bfm_instance_set_formal(instance, f, memory);
    }
    return instance;
}

static void compare(const Generator *generator, const float *computed, Verification *verification)
{
    for (int64_t i = 0; i < generator->known * generator->vocab; i++) {
        if (memcmp(&computed[i], &generator->compared[i], sizeof *computed) == 0)
            continue;
        const double difference = fabs((double)computed[i] - (double)generator->compared[i]);
        if (verification->differences++ == 0) {
            verification->position = verification->positions + i / generator->vocab;
            verification->token = i % generator->vocab;
            verification->computed = computed[i];
            verification->decoded = generator->compared[i];
        }
        if (!(difference <= verification->largest))
            verification->largest = difference;
    }
    verification->positions += generator->known;
}

bool generator_verify(Generator *generator, Verification *verification, BfmError *error)
{
    const size_t context = (size_t)generator->length;
    float step = (float)generator->trained.checkpoint->meta.step;
    int32_t *tokens = bfm_buffer_new(context * sizeof *tokens), *segment = bfm_buffer_new(context * sizeof *segment);
    bool ok = tokens && segment;
    if (ok) {
        memset(tokens, 0xff, context * sizeof *tokens); /* none: what comes after the window cannot matter */
        memset(segment, 0xff, context * sizeof *segment);
        memset(segment, 0, (size_t)generator->known * sizeof *segment);
        memcpy(tokens, generator->window, (size_t)generator->known * sizeof *tokens);
    } else {
        bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "no memory for a context of %zu position%s", context, bfm_plural((long long)context));
    }
    BfmInstance *instance = ok ? forward_instance(generator, &step, segment, tokens, error) : NULL;
    ok = instance && bfm_instance_run(instance, 0, 0, error);
    if (ok)
        compare(generator, bfm_instance_output(instance, 0), verification);
    bfm_instance_free(instance);
    bfm_buffer_free(tokens);
    bfm_buffer_free(segment);
    return ok;
}
