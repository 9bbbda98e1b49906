/* States are zero (indices: none) before the first position; after each call those that are not extended in place are copied to where the next one reads. */
#include "generate/decoder.h"

#include <stdlib.h>
#include <string.h>

#include "memory/buffer.h"

enum { SYMBOL_B, SYMBOL_L, SYMBOL_P, SYMBOL_N, SYMBOL_S }; /* bfm/plan.h */

struct BfmDecoder {
    const BfmPlan *plan;
    BfmInstance *instance;
    int64_t batch, length, position;
    int result;                /* output */
    void **states;             /* [formals] own memory, NULL where it is not a state of the decoder */
    int32_t *tokens, *segment; /* [batch, length] */
    float step;
};

static bool bind(BfmDecoder *decoder, int64_t count, BfmError *error)
{
    int64_t symbols[BFM_PLAN_SYMBOLS] = {[SYMBOL_B] = decoder->batch, [SYMBOL_L] = decoder->length, [SYMBOL_P] = decoder->position, [SYMBOL_N] = count};
    for (int s = SYMBOL_S; s < BFM_PLAN_SYMBOLS; s++)
        symbols[s] = 1;
    return bfm_instance_bind(decoder->instance, symbols, error);
}

static bool bind_input(BfmDecoder *decoder, int formal, BfmError *error)
{
    const BfmPlanPort *port = &bfm_plan_formals(decoder->plan)[formal];
    const char *name = bfm_plan_text(decoder->plan, port->name);
    void *memory = NULL;
    if (strcmp(name, "tokens") == 0 && port->rank == 2)
        memory = decoder->tokens;
    else if (strcmp(name, "segment") == 0 && port->rank == 2)
        memory = decoder->segment;
    else if (strcmp(name, "step") == 0 && port->rank == 0)
        memory = &decoder->step;
    else
        return bfm_error_set(error, BFM_ERROR_INPUT, "the model has an input `%s`; decoding gives `tokens`, `segment` and `step`", name);
    if (port->rank == 2 && bfm_instance_formal_count(decoder->instance, formal) != decoder->batch) /* bound to one position */
        return bfm_error_set(error, BFM_ERROR_INPUT, "the input `%s` of the model is not of shape [b, l]", name);
    bfm_instance_set_formal(decoder->instance, formal, memory);
    return true;
}

static bool make_states(BfmDecoder *decoder, BfmError *error)
{
    const BfmPlan *plan = decoder->plan;
    const BfmPlanPort *outputs = bfm_plan_outputs(plan);
    for (int o = 0; o < (int)plan->outputs.count; o++) {
        if (outputs[o].kind == BFM_OUTPUT_RESULT && decoder->result < 0)
            decoder->result = o;
        if (outputs[o].kind != BFM_OUTPUT_NEXT)
            continue;
        const int formal = outputs[o].formal;
        decoder->states[formal] = bfm_buffer_new(bfm_instance_formal_size(decoder->instance, formal));
        if (!decoder->states[formal])
            return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "no memory for %s of %lld position%s", bfm_plan_text(plan, bfm_plan_formals(plan)[formal].name),
                                 (long long)decoder->length, bfm_plural(decoder->length));
        bfm_instance_set_formal(decoder->instance, formal, decoder->states[formal]);
    }
    return decoder->result >= 0 || bfm_error_set(error, BFM_ERROR_BUG, "a decoder without a result");
}

static bool decoder_init(BfmDecoder *decoder, const BfmFunction *functions, BfmPool *pool, BfmError *error)
{
    const BfmPlan *plan = decoder->plan;
    const size_t elements = (size_t)decoder->batch * (size_t)decoder->length;
    decoder->states = calloc(plan->formals.count + 1, sizeof *decoder->states);
    decoder->tokens = calloc(elements, sizeof *decoder->tokens);
    decoder->segment = calloc(elements, sizeof *decoder->segment);
    if (!decoder->states || !decoder->tokens || !decoder->segment)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "no memory for %zu position%s", elements, bfm_plural((long long)elements));
    decoder->instance = bfm_instance_new(plan, functions, pool, error);
    if (!decoder->instance || !bind(decoder, 1, error) || !make_states(decoder, error))
        return false;
    for (int f = 0; f < (int)plan->formals.count; f++)
        if (bfm_plan_formals(plan)[f].kind == BFM_PORT_INPUT && !bind_input(decoder, f, error))
            return false;
    bfm_decoder_reset(decoder);
    return true;
}

BfmDecoder *bfm_decoder_new(const BfmPlan *plan, const BfmFunction *functions, BfmPool *pool, int64_t batch, int64_t length, BfmError *error)
{
    BfmDecoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder) {
        bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
        return NULL;
    }
    *decoder = (BfmDecoder){.plan = plan, .batch = batch, .length = length, .result = -1};
    if (decoder_init(decoder, functions, pool, error))
        return decoder;
    bfm_decoder_free(decoder);
    return NULL;
}

void bfm_decoder_free(BfmDecoder *decoder)
{
    if (!decoder)
        return;
    for (uint64_t f = 0; decoder->states && f < decoder->plan->formals.count; f++)
        bfm_buffer_free(decoder->states[f]);
    bfm_instance_free(decoder->instance);
    free(decoder->states);
    free(decoder->tokens);
    free(decoder->segment);
    free(decoder);
}

bool bfm_decoder_owns(const BfmDecoder *decoder, int formal) { return decoder->states[formal] != NULL || bfm_plan_formals(decoder->plan)[formal].kind == BFM_PORT_INPUT; }

void bfm_decoder_set_formal(BfmDecoder *decoder, int formal, void *memory) { bfm_instance_set_formal(decoder->instance, formal, memory); }

static bool is_index(const BfmPlan *plan, int formal) { return bfm_plan_buffers(plan)[bfm_plan_formals(plan)[formal].buffer].elem == BFM_ELEM_I32; }

void bfm_decoder_set_step(BfmDecoder *decoder, int64_t step)
{
    decoder->step = (float)step;
    bfm_decoder_reset(decoder);
}

void bfm_decoder_reset(BfmDecoder *decoder)
{
    for (int f = 0; f < (int)decoder->plan->formals.count; f++)
        if (decoder->states[f])
            memset(decoder->states[f], is_index(decoder->plan, f) ? 0xff : 0, bfm_instance_formal_size(decoder->instance, f));
    decoder->position = 0;
}

int64_t bfm_decoder_position(const BfmDecoder *decoder) { return decoder->position; }
int64_t bfm_decoder_length(const BfmDecoder *decoder) { return decoder->length; }

int64_t bfm_decoder_state_bytes(const BfmDecoder *decoder)
{
    int64_t bytes = 0;
    for (int f = 0; f < (int)decoder->plan->formals.count; f++)
        bytes += decoder->states[f] ? (int64_t)bfm_instance_formal_size(decoder->instance, f) : 0;
    return bytes;
}

static void states_commit(BfmDecoder *decoder)
{
    const BfmPlanPort *outputs = bfm_plan_outputs(decoder->plan);
    for (int o = 0; o < (int)decoder->plan->outputs.count; o++) {
        if (outputs[o].kind != BFM_OUTPUT_NEXT)
            continue;
        const void *next = bfm_instance_output(decoder->instance, o);
        void *state = decoder->states[outputs[o].formal];
        if (next != state)
            memcpy(state, next, bfm_instance_output_size(decoder->instance, o));
    }
}

bool bfm_decoder_feed(BfmDecoder *decoder, const int32_t *tokens, int64_t count, const float **result, BfmError *error)
{
    if (count <= 0 || count > decoder->length - decoder->position)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%lld more position%s after %lld do%s not fit a context of %lld", (long long)count, bfm_plural(count),
                             (long long)decoder->position, count == 1 ? "es" : "", (long long)decoder->length);
    memcpy(decoder->tokens, tokens, (size_t)decoder->batch * (size_t)count * sizeof *tokens);
    if (!bind(decoder, count, error) || !bfm_instance_run(decoder->instance, 0, 0, error))
        return false;
    states_commit(decoder);
    decoder->position += count;
    *result = bfm_instance_output(decoder->instance, decoder->result);
    return true;
}
