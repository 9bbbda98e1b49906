/* Incremental decoding: positions one after another, and in pieces, give what the forward program gives for all at once. The interpreter settles that
   the derived program is right, the compiled ones that bits agree. Models that cannot decode are refused by tensor and reason. */
#include "lowered.h"

#include "file/npy.h"
#include "file/safetensors.h"
#include "codegen/compile.h"
#include "generate/decoder.h"
#include "ir/effects.h"
#include "ir/effects.h"
#include "ir/interp.h"
#include "memory/buffer.h"
#include "decode/decode.h"

#include <math.h>

/* A model with weights and one batch of tokens, its forward program and its decoder. */
typedef struct Case {
    Loaded loaded;
    Arena *arena;
    Lowered *lowered;
    Program *program;
    Unit *forward;
    Program *decode;
    const char *message;
    BfmSafetensors *weights; /* NULL: drawn */
    int64_t batch, length;
    int32_t *tokens; /* [batch, length] */
} Case;

static void case_derive(Case *it)
{
    it->arena = it->loaded.arena;
    it->lowered = lowered_model(&it->loaded, NULL, MODE_DECODE);
    it->program = it->lowered->program;
    it->forward = decode_forward(it->program, it->lowered->result);
    assert_null(unit_verify(it->forward));
    it->decode = decode_program(it->program, it->forward, it->program->bindings, &it->message);
    if (it->decode) {
        const char *wrong = unit_verify(it->decode->main);
        if (wrong)
            fail_msg("%s", wrong);
    }
}

static Case case_golden(const char *name)
{
    char path[512];
    BfmError error;
    BfmNpyTokens tokens;
    snprintf(path, sizeof path, BFM_SOURCE_DIR "/tests/golden/%s/model.bfm", name);
    Case it = {.loaded = loaded_file(path)};
    case_derive(&it);
    snprintf(path, sizeof path, BFM_SOURCE_DIR "/tests/golden/%s/weights.safetensors", name);
    it.weights = bfm_safetensors_open(path, &error);
    assert_non_null(it.weights);
    snprintf(path, sizeof path, BFM_SOURCE_DIR "/tests/golden/%s/tokens.npy", name);
    assert_true(bfm_npy_read_tokens(path, 0, &tokens, &error));
    it.batch = tokens.rows;
    it.length = tokens.columns - 1;
    it.tokens = ARENA_ARRAY(it.arena, int32_t, it.batch * it.length);
    for (int64_t b = 0; b < it.batch; b++)
        memcpy(it.tokens + b * it.length, tokens.data + b * tokens.columns, (size_t)it.length * sizeof *it.tokens);
    bfm_npy_tokens_deinit(&tokens);
    return it;
}

/* Drawn weights and tokens. */
static Case case_text(const char *text, int64_t batch, int64_t length)
{
    Case it = {.loaded = loaded_text(text), .batch = batch, .length = length};
    case_derive(&it);
    it.tokens = ARENA_ARRAY(it.arena, int32_t, batch * length);
    for (int64_t i = 0; i < batch * length; i++)
        it.tokens[i] = (int32_t)((i * i * 7 + 3 * i) % it.lowered->vocab);
    return it;
}

static Case case_lines(const char *lines, int64_t batch, int64_t length)
{
    Str text = {0};
    str_printf(&text, "use std.layers\nuse std.routers\nmodel m {\n    vocab = 11\n    context = 16\n    embed(d = 16)\n    %s\n    head(tied = false)\n}\n", lines);
    Case it = case_text(str_text(&text), batch, length);
    str_free(&text);
    return it;
}

static void case_free(Case *it)
{
    bfm_safetensors_close(it->weights);
    loaded_free(&it->loaded);
}

/* The f32 value of an element of a parameter: of the file, else drawn from the path. */
static float weight(const Case *it, const char *path, int64_t element)
{
    if (it->weights) {
        const BfmTensor *tensor = bfm_safetensors_get(it->weights, path);
        assert_non_null(tensor);
        return ((const float *)tensor->data)[element];
    }
    uint32_t x = 2166136261u;
    for (const char *c = path; *c; c++)
        x = (x ^ (uint32_t)(unsigned char)*c) * 16777619u;
    x = (x ^ (uint32_t)element) * 2654435761u;
    x ^= x >> 15;
    x *= 2246822519u;
    x ^= x >> 13;
    return ((float)(x & 0xffff) / 65536.0f - 0.5f) * 0.9f;
}

static bool is_tokens(const Program *program, int formal) { return strcmp(program->bindings[formal].path, "tokens") == 0; }
static int64_t result_width(const Case *it) { return it->lowered->vocab; }

static DimEnv env_of(const Case *it, int64_t position, int64_t count)
{
    return (DimEnv){.value = {[DIM_B] = it->batch, [DIM_L] = it->length, [DIM_P] = position, [DIM_N] = count}};
}

/* tokens [batch, count] at position. */
static void tokens_at(const Case *it, int64_t position, int64_t count, int32_t *to)
{
    for (int64_t b = 0; b < it->batch; b++)
        memcpy(to + b * count, it->tokens + b * it->length + position, (size_t)count * sizeof *to);
}

/* ---- by the interpreter ---------------------------------------------------------------------------------------------------------- */

static void interp_formal(const Case *it, const Program *program, const Unit *unit, int formal, const DimEnv *env, Value *value)
{
    const Tensor *tensor = &unit->tensors[unit->formals[formal]];
    value->count = tensor_elements(tensor, env);
    if (tensor->type == T_INT) {
        value->integer = ARENA_ARRAY(it->arena, int32_t, value->count + 1);
        for (int64_t i = 0; i < value->count; i++)
            value->integer[i] = tensor->role == TENSOR_STATE ? -1 : 0;
        return;
    }
    value->real = ARENA_ARRAY(it->arena, double, value->count + 1);
    for (int64_t i = 0; i < value->count && tensor->role == TENSOR_PARAM; i++)
        value->real[i] = (double)weight(it, program->bindings[formal].path, i);
}

static const double *interp_forward(const Case *it)
{
    const Unit *unit = it->forward;
    const InterpContext context = {.precision = INTERP_F64, .env = env_of(it, 0, it->length)};
    Value *formals = ARENA_ARRAY(it->arena, Value, unit->formal_count + 1), result = {0};
    for (int f = 0; f < unit->formal_count; f++) {
        interp_formal(it, it->program, unit, f, &context.env, &formals[f]);
        if (is_tokens(it->program, f))
            tokens_at(it, 0, it->length, formals[f].integer);
    }
    const char *message = interp_run(it->arena, unit, &context, formals, &result, NULL);
    if (message)
        fail_msg("%s", message);
    return result.real;
}

/* Pieces of `count` positions; the largest difference from the forward program. */
static double interp_decode(const Case *it, const double *whole, int64_t count)
{
    const Unit *unit = it->decode->main;
    const int64_t width = result_width(it);
    InterpContext context = {.precision = INTERP_F64, .env = env_of(it, 0, count)};
    Value *formals = ARENA_ARRAY(it->arena, Value, unit->formal_count + 1);
    for (int f = 0; f < unit->formal_count; f++)
        interp_formal(it, it->decode, unit, f, &context.env, &formals[f]);
    double worst = 0;
    for (int64_t position = 0; position < it->length; position += count) {
        if (count > it->length - position)
            count = it->length - position;
        context.env = env_of(it, position, count);
        for (int f = 0; f < unit->formal_count; f++) {
            if (is_tokens(it->decode, f))
                tokens_at(it, position, count, formals[f].integer);
            if (it->decode->bindings[f].role == TENSOR_INPUT)
                formals[f].count = tensor_elements(&unit->tensors[unit->formals[f]], &context.env);
        }
        Value *results = ARENA_ARRAY(it->arena, Value, unit->output_count + 1);
        const char *message = interp_run(it->arena, unit, &context, formals, results, NULL);
        if (message)
            fail_msg("position %lld: %s", (long long)position, message);
        for (int o = 0; o < unit->output_count; o++) {
            if (unit->outputs[o].kind == OUTPUT_NEXT) {
                formals[unit->outputs[o].formal] = results[o];
                continue;
            }
            for (int64_t b = 0; b < it->batch; b++)
                for (int64_t i = 0; i < count * width; i++) {
                    const double difference = fabs(results[o].real[b * count * width + i] - whole[(b * it->length + position) * width + i]);
                    worst = difference <= worst ? worst : difference;
                }
        }
    }
    return worst;
}

static void check_interpreted(const Case *it)
{
    const double *whole = interp_forward(it);
    const int64_t counts[] = {1, 3, it->length};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        assert_true(interp_decode(it, whole, counts[i]) == 0);
}

/* ---- compiled -------------------------------------------------------------------------------------------------------------------- */

static const CompileOptions AS_IS = {.codegen = {.level = 2}, .plain = true};

static float *parameter(const Case *it, const char *path, int64_t elements)
{
    float *data = bfm_buffer_new((size_t)elements * sizeof *data);
    for (int64_t i = 0; i < elements; i++)
        data[i] = weight(it, path, i);
    return data;
}

static float *compiled_forward(const Case *it, Jit *jit, BfmPool *pool)
{
    BfmError error;
    const Compiled *compiled = compile_unit(it->arena, jit, it->program, it->forward, NULL, &AS_IS, &error);
    assert_non_null(compiled);
    BfmInstance *instance = bfm_instance_new(compiled->plan, compiled->functions, pool, &error);
    const DimEnv env = env_of(it, 0, it->length);
    assert_true(bfm_instance_bind(instance, env.value, &error));
    void **memory = ARENA_ARRAY(it->arena, void *, it->forward->formal_count + 1);
    for (int f = 0; f < it->forward->formal_count; f++) {
        const int64_t elements = bfm_instance_formal_count(instance, f);
        if (it->program->bindings[f].role == TENSOR_PARAM) {
            memory[f] = parameter(it, it->program->bindings[f].path, elements);
        } else {
            memory[f] = bfm_buffer_new((size_t)elements * 4);
            memset(memory[f], 0, (size_t)elements * 4);
            if (is_tokens(it->program, f))
                tokens_at(it, 0, it->length, memory[f]);
        }
        bfm_instance_set_formal(instance, f, memory[f]);
    }
    assert_true(bfm_instance_run(instance, 0, 0, &error));
    const int64_t elements = bfm_instance_output_count(instance, 0);
    float *logits = ARENA_ARRAY(it->arena, float, elements);
    memcpy(logits, bfm_instance_output(instance, 0), (size_t)elements * sizeof *logits);
    for (int f = 0; f < it->forward->formal_count; f++)
        bfm_buffer_free(memory[f]);
    bfm_instance_free(instance);
    return logits;
}

/* Pieces of `count` positions against the forward program, bit for bit. */
static void compiled_decode(const Case *it, const Compiled *compiled, BfmPool *pool, const float *whole, int64_t count)
{
    BfmError error;
    const int64_t width = result_width(it);
    int32_t *tokens = ARENA_ARRAY(it->arena, int32_t, it->batch * it->length);
    const Unit *unit = it->decode->main;
    void **memory = ARENA_ARRAY(it->arena, void *, unit->formal_count + 1);
    BfmDecoder *decoder = bfm_decoder_new(compiled->plan, compiled->functions, pool, it->batch, it->length, &error);
    if (!decoder)
        fail_msg("%s", error.message);
    for (int f = 0; f < unit->formal_count; f++) {
        if (bfm_decoder_owns(decoder, f))
            continue;
        const DimEnv env = env_of(it, 0, 1);
        memory[f] = parameter(it, it->decode->bindings[f].path, tensor_elements(&unit->tensors[unit->formals[f]], &env));
        bfm_decoder_set_formal(decoder, f, memory[f]);
    }
    for (int again = 0; again < 2; again++) { /* the second time after a reset */
        bfm_decoder_reset(decoder);
        for (int64_t position = 0, piece; position < it->length; position += piece) {
            piece = count < it->length - position ? count : it->length - position;
            const float *logits = NULL;
            tokens_at(it, position, piece, tokens);
            if (!bfm_decoder_feed(decoder, tokens, piece, &logits, &error))
                fail_msg("position %lld: %s", (long long)position, error.message);
            for (int64_t b = 0; b < it->batch; b++)
                for (int64_t i = 0; i < piece * width; i++) {
                    const float is = logits[b * piece * width + i], was = whole[(b * it->length + position) * width + i];
                    if (memcmp(&is, &was, sizeof is) != 0)
                        fail_msg("row %lld, position %lld of pieces of %lld, element %lld: %.9g, forward %.9g", (long long)b, (long long)(position + i / width), (long long)count,
                                 (long long)(i % width), (double)is, (double)was);
                }
        }
        const float *logits = NULL;
        assert_false(bfm_decoder_feed(decoder, tokens, 1, &logits, &error)); /* the context is full */
    }
    bfm_decoder_free(decoder);
    for (int f = 0; f < unit->formal_count; f++)
        bfm_buffer_free(memory[f]);
}

static void check_compiled(const Case *it)
{
    BfmError error;
    Jit *jit = jit_new(NULL, &error);
    assert_non_null(jit);
    const Compiled *compiled = compile_program(it->arena, jit, it->decode, &AS_IS, &error);
    assert_non_null(compiled);
    const float *first = NULL;
    const int64_t counts[] = {1, 5, it->length};
    for (int threads = 1; threads <= 3; threads++) {
        BfmPool *pool = bfm_pool_new(threads);
        const float *whole = compiled_forward(it, jit, pool);
        if (first)
            assert_memory_equal(first, whole, (size_t)(it->batch * it->length * result_width(it)) * sizeof *whole);
        first = whole;
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            compiled_decode(it, compiled, pool, whole, counts[i]);
        bfm_pool_free(pool);
    }
    jit_free(jit);
}

static void check(Case it)
{
    if (!it.decode)
        fail_msg("%s", it.message);
    check_interpreted(&it);
    check_compiled(&it);
    case_free(&it);
}

/* ---- tests ----------------------------------------------------------------------------------------------------------------------- */

static void test_golden(void **state)
{
    static const char *const names[] = {"dense_rope", "dense_untied", "norms_wirings", "top2_token", "structure", "factored",
                                        "glam",       "positions",    "primer",        "soft_hash",  "top1_topk"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        print_message("  %s\n", names[i]);
        check(case_golden(names[i]));
    }
}

static void test_layers(void **state)
{
    static const char *const lines[] = {
        "attention(heads = 2, head_dim = 8)",
        "attention(heads = 4, head_dim = 4, kv_heads = 2, conv = 3)",
        "attention(heads = 2, head_dim = 8, position = relative)\n    attention(heads = 2, head_dim = 8, position = alibi, qk_norm = true)",
        "gmlp(hidden = 16)\n    token_mixer(hidden = 16)",
        "moe(experts = 4, hidden = 16, router = top2(capacity = 1))",
        "moe(experts = 4, hidden = 16, router = top2(capacity = none))\n    attention(heads = 2, head_dim = 8, position = none)",
        "moe(experts = 3, hidden = 8, act = geglu, router = hash())",
    };
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        print_message("  %s\n", lines[i]);
        check(case_lines(lines[i], 1 + (int64_t)i % 2, 13));
    }
}

/* Longer than one tile of a stream and one block of a product. */
static void test_long(void **state)
{
    (void)state;
    check(case_text("use std.layers\nuse std.routers\nmodel m {\n    vocab = 40\n    context = 300\n    embed(d = 24)\n    attention(heads = 2, head_dim = 12)\n"
                    "    moe(experts = 4, hidden = 20, router = top2(capacity = 1))\n    ffn(hidden = 40, act = geglu)\n    head()\n}\n",
                    1, 300));
}

/* What a command asks before it decodes: effects, then a decoder. */
static void reads_the_future(const char *lines, const char *reader)
{
    Case it = case_lines(lines, 1, 4);
    EffectStep steps[32];
    const ProgramEffects *effects = effects_analyse(it.arena, it.program);
    assert_false(effect_causal(effects_of(effects, it.program->main)->outputs[it.lowered->result]));
    const int count = effects_path(it.arena, effects, it.program->main, it.lowered->result, true, steps, 32);
    bool named = false;
    for (int i = 0; i < count; i++)
        named = named || strcmp(steps[i].unit->tensors[steps[i].tensor].name, reader) == 0;
    if (!named)
        fail_msg("%s: `%s` is not on the way to the future", lines, reader);
    case_free(&it);
}

static void refused(const char *lines, const char *tensor, const char *why)
{
    Case it = case_lines(lines, 1, 4);
    if (it.decode)
        fail_msg("a decoder was derived where `%s` stands in the way", tensor);
    if (!strstr(it.message, tensor) || !strstr(it.message, why))
        fail_msg("%s", it.message);
    case_free(&it);
}

static void test_refused(void **state)
{
    (void)state;
    reads_the_future("attention(heads = 2, head_dim = 8, causal = false)", "o");
    reads_the_future("moe(experts = 2, hidden = 8, router = expert_choice(group = sequence, capacity = 1))", "best");
    reads_the_future("moe(experts = 2, hidden = 8, router = top2(capacity = 1, order = choice))", "seen_before");
    refused("moe(experts = 2, hidden = 8, router = expert_choice(group = sequence, capacity = 1))", "no incremental decoder: moe_0.", "");
    refused("moe(experts = 2, hidden = 8, router = top2(capacity = 1, order = choice))", "no incremental decoder: moe_0.seen", "recurrence");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
