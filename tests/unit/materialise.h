/* The simplest engine on generated code: every operation of a unit by its own kernel, every tensor in memory. For tests: it compares kernels with the
   interpreter without any scheduler in between. Buffers stand between guard words, and parallel ranges are cut in odd places. */
#ifndef BFM_TESTS_MATERIALISE_H
#define BFM_TESTS_MATERIALISE_H

#include "bfm/philox.h"
#include "codegen/codegen.h"
#include "codegen/jit.h"
#include "ir/interp.h"
#include "support/bug.h"
#include "support/hash.h"
#include "support/vec.h"
#include "device/cpu/templates/order.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD_WORDS = 64 };

typedef struct OpCode {
    const Op *op;
    const KernelCode *code;
} OpCode;

typedef struct Materialise {
    Arena *arena;
    Jit *jit;
    Codegen *codegen;
    const InterpContext *context;
    VEC(OpCode) codes;
    VEC(uint32_t *) guarded; /* allocations, each GUARD_WORDS + words + GUARD_WORDS */
    VEC(int64_t) guarded_words;
    uint64_t cut;      /* state of the random cuts of ranges; 0: one call for all */
    const void *kept;  /* what a SET extends */
    bool check;        /* each operation's result, against the interpreter given this engine's own operands */
    int64_t checked;   /* elements so far */
    char message[512]; /* "" = fine */
} Materialise;

static inline void *guarded_new(Materialise *m, int64_t words)
{
    uint32_t *block = malloc((size_t)(words + 2 * GUARD_WORDS) * 4);
    BFM_ASSERT(block);
    for (int64_t i = 0; i < words + 2 * GUARD_WORDS; i++)
        block[i] = 0x7fa5a5a5u; /* a NaN, and no index */
    vec_push(&m->guarded, block);
    vec_push(&m->guarded_words, words);
    return block + GUARD_WORDS;
}

static inline bool guards_hold(const Materialise *m)
{
    for (int g = 0; g < m->guarded.count; g++)
        for (int i = 0; i < GUARD_WORDS; i++)
            if (m->guarded.items[g][i] != 0x7fa5a5a5u || m->guarded.items[g][GUARD_WORDS + m->guarded_words.items[g] + i] != 0x7fa5a5a5u)
                return false;
    return true;
}

static inline void collect_codes(Materialise *m, const Unit *unit)
{
    for (int i = 0; i < unit->op_count; i++) {
        const Op *op = &unit->ops[i];
        if (op->kind == OP_CALL) {
            collect_codes(m, op->callee);
            continue;
        }
        bool known = false;
        for (int k = 0; k < m->codes.count; k++)
            known |= m->codes.items[k].op == op;
        if (!known)
            vec_push(&m->codes, (OpCode){op, op->kind == OP_TOP ? codegen_scores(m->codegen, unit, op) : codegen_nest(m->codegen, unit, op)});
    }
}

static inline const KernelCode *code_for(const Materialise *m, const Op *op)
{
    for (int k = 0; k < m->codes.count; k++)
        if (m->codes.items[k].op == op)
            return m->codes.items[k].code;
    return NULL;
}

static inline void fill_buffer(void *buffer, int64_t count, BfmFill fill)
{
    for (int64_t i = 0; i < count; i++)
        switch (fill) {
        case BFM_FILL_NONE: break;
        case BFM_FILL_ZERO: ((float *)buffer)[i] = 0; break;
        case BFM_FILL_LOW: ((float *)buffer)[i] = -INFINITY; break;
        case BFM_FILL_HIGH: ((float *)buffer)[i] = INFINITY; break;
        case BFM_FILL_NO_INDEX: ((int32_t *)buffer)[i] = -1; break;
        }
}

/* The operation's kernel over all its parallel points. */
static inline void run_kernel(Materialise *m, const Op *op, const char *path, void *out, int64_t out_count, void *const *tensors)
{
    const KernelCode *code = code_for(m, op);
    BfmError error = {0};
    BfmNestFn *function = NULL;
    void *address = jit_symbol(m->jit, code->symbol, &error);
    BFM_ASSERT(address);
    memcpy(&function, &address, sizeof function);
    void *buffers[64];
    int64_t dims[256];
    BFM_ASSERT(code->buffer_count <= 64 && code->dim_count + code->draw_count + 1 <= 256);
    buffers[0] = out;
    for (int i = 1; i < code->buffer_count; i++)
        buffers[i] = tensors[code->tensors[i]];
    for (int i = 0; i < code->dim_count; i++)
        dims[i] = dim_eval(code->dims[i], &m->context->env);
    dims[code->dim_count] = (int64_t)m->context->step;
    for (int i = 0; i < code->draw_count; i++)
        dims[code->dim_count + 1 + i] = (int64_t)bfm_philox_key(m->context->seed, draw_stream(path, code->draw_tags[i]));
    if (m->kept)
        memcpy(out, m->kept, (size_t)out_count * 4);
    else
        fill_buffer(out, out_count, code->fill);
    int64_t points = 1;
    for (int i = 0; i < code->parallel_count; i++)
        points *= dim_eval(op->indices[code->parallel[i]].extent, &m->context->env);
    for (int64_t begin = 0; begin < points;) {
        int64_t length = points - begin;
        if (m->cut != 0) {
            m->cut = m->cut * 6364136223846793005u + 1442695040888963407u;
            int64_t piece = 1 + (int64_t)((m->cut >> 40) % 40);
            length = piece < length ? piece : length;
        }
        function(buffers, dims, begin, begin + length);
        begin += length;
    }
}

static inline void run_top(Materialise *m, const Unit *unit, const Op *op, const char *path, void **tensors)
{
    const DimEnv *env = &m->context->env;
    int64_t outer = 1, inner = 1, k = dim_eval(op->top_k, env);
    for (int i = 0; i < op->index_count; i++)
        *(i < op->index_count - op->reduced ? &outer : &inner) *= dim_eval(op->indices[i].extent, env);
    float *scores = guarded_new(m, outer * inner);
    run_kernel(m, op, path, scores, outer * inner, tensors);
    int32_t *out = tensors[op->out.tensor];
    int64_t count = tensor_elements(&unit->tensors[op->out.tensor], env);
    BFM_ASSERT(count == outer * k);
    for (int64_t i = 0; i < outer; i++) {
        /* Candidates outside the domain do not count: they are taken out, not ranked. */
        float *row = scores + i * inner;
        int32_t *position = malloc((size_t)(inner + 1) * sizeof *position);
        int64_t present = 0;
        for (int64_t j = 0; j < inner; j++) {
            uint32_t bits;
            memcpy(&bits, &row[j], sizeof bits);
            if (bits != BFM_ABSENT_BITS) {
                position[present] = (int32_t)j;
                row[present++] = row[j];
            }
        }
        bfm_top_k(row, 1, present, k, out + i * k);
        for (int64_t j = 0; j < k; j++)
            if (out[i * k + j] >= 0)
                out[i * k + j] = position[out[i * k + j]];
        free(position);
    }
}

static inline Value value_of(Arena *arena, const Tensor *tensor, const void *buffer, const DimEnv *env)
{
    Value value = {.count = tensor_elements(tensor, env)};
    if (tensor->type == T_INT)
        value.integer = ARENA_ARRAY(arena, int32_t, value.count + 1);
    else
        value.real = ARENA_ARRAY(arena, double, value.count + 1);
    for (int64_t i = 0; i < value.count; i++)
        if (tensor->type == T_INT)
            value.integer[i] = ((const int32_t *)buffer)[i];
        else
            value.real[i] = (double)((const float *)buffer)[i];
    return value;
}

/* ---- one operation against the interpreter ---- */

/* Where the interpreter has no value (NaN) a kernel may put 0. */
static inline int64_t first_difference(const Value *expected, const Value *found)
{
    for (int64_t i = 0; i < expected->count; i++) {
        if (expected->integer && expected->integer[i] != found->integer[i])
            return i;
        double a = expected->real ? expected->real[i] : 0, b = found->real ? found->real[i] : 0;
        bool near = a != a ? b != b || b == 0 : a == b || fabs(a - b) <= 3e-5 * fmax(1, fmax(fabs(a), fabs(b)));
        if (!near)
            return i;
    }
    return -1;
}

/* The operation alone, as a callee whose path is `path` (draws depend on it), on this engine's operands. */
static inline const char *interpret_alone(Materialise *m, Arena *arena, const Unit *unit, const Op *op, const char *path, void **tensors, InterpPrecision precision, Value *result)
{
    const KernelCode *code = code_for(m, op);
    int count = 0, *formals = ARENA_ARRAY(arena, int, code->buffer_count + 1);
    for (int i = 1; i < code->buffer_count; i++)
        formals[count++] = code->tensors[i];
    if (m->kept)
        formals[count++] = op->init.tensor;
    Value *values = ARENA_ARRAY(arena, Value, count + 1);
    for (int i = 0; i < count; i++)
        values[i] = value_of(arena, &unit->tensors[formals[i]], tensors[formals[i]], &m->context->env);
    Output output = {.tensor = op->out.tensor};
    Op one = *op, call = {.kind = OP_CALL, .path = path, .arg_count = count, .args = formals, .result_count = 1, .results = &output.tensor};
    Unit callee = *unit, caller = *unit;
    callee.ops = &one;
    caller.ops = &call;
    callee.op_count = caller.op_count = callee.output_count = caller.output_count = 1;
    callee.outputs = caller.outputs = &output;
    callee.formals = caller.formals = formals;
    callee.formal_count = caller.formal_count = count;
    call.callee = &callee;
    InterpContext context = *m->context;
    context.precision = precision;
    context.replay = NULL;
    return interp_run(arena, &caller, &context, values, result, NULL);
}

static inline void check_operation(Materialise *m, const Unit *unit, const Op *op, const char *path, void **tensors)
{
    Arena *arena = arena_new();
    Value expected, found = value_of(arena, &unit->tensors[op->out.tensor], tensors[op->out.tensor], &m->context->env);
    const char *message = interpret_alone(m, arena, unit, op, path, tensors, INTERP_F64, &expected);
    int64_t at = message ? -1 : first_difference(&expected, &found);
    if (at >= 0) { /* a choice within the operation may turn on a rounding: then the interpreter in single precision must agree */
        message = interpret_alone(m, arena, unit, op, path, tensors, INTERP_F32, &expected);
        at = message ? -1 : first_difference(&expected, &found);
    }
    m->checked += found.count;
    if ((message || at >= 0) && !m->message[0])
        (void)snprintf(m->message, sizeof m->message, "%s: %s[%" PRId64 "] is %.9g, expected %.9g %s", unit->name, unit->tensors[op->out.tensor].name, at,
                       at < 0       ? 0
                       : found.real ? found.real[at]
                                    : found.integer[at],
                       at < 0          ? 0
                       : expected.real ? expected.real[at]
                                       : expected.integer[at],
                       message ? message : "");
    arena_free(arena);
}

static inline void materialise_unit(Materialise *m, const Unit *unit, const char *path, void **tensors);

static inline void run_unit_call(Materialise *m, const Op *op, const char *path, void **tensors)
{
    const Unit *callee = op->callee;
    const char *label = op->path ? op->path : "";
    const char *inner_path = *path && *label ? arena_printf(m->arena, "%s.%s", path, label) : *path ? path : label;
    void **inner = ARENA_ARRAY(m->arena, void *, callee->tensor_count + 1);
    for (int i = 0; i < op->arg_count; i++)
        inner[callee->formals[i]] = tensors[op->args[i]];
    materialise_unit(m, callee, inner_path, inner);
    for (int i = 0; i < op->result_count; i++)
        if (op->results[i] >= 0)
            tensors[op->results[i]] = inner[callee->outputs[i].tensor];
}

static inline void materialise_unit(Materialise *m, const Unit *unit, const char *path, void **tensors)
{
    for (int i = 0; i < unit->op_count; i++) {
        const Op *op = &unit->ops[i];
        if (op->kind == OP_CALL) {
            run_unit_call(m, op, path, tensors);
            continue;
        }
        int64_t count = tensor_elements(&unit->tensors[op->out.tensor], &m->context->env);
        tensors[op->out.tensor] = guarded_new(m, count);
        m->kept = op->kind == OP_NEST && op->init.tensor >= 0 ? tensors[op->init.tensor] : NULL;
        if (op->kind == OP_TOP)
            run_top(m, unit, op, path, tensors);
        else
            run_kernel(m, op, path, tensors[op->out.tensor], count, tensors);
        if (m->check)
            check_operation(m, unit, op, path, tensors);
    }
}

static inline void *buffer_of(Materialise *m, const Value *value)
{
    float *buffer = guarded_new(m, value->count);
    for (int64_t i = 0; i < value->count; i++)
        if (value->integer)
            ((int32_t *)(void *)buffer)[i] = value->integer[i];
        else
            buffer[i] = (float)value->real[i];
    return buffer;
}

/* Runs `unit` as interp_run does; values of all of its tensors by id (count 0 where there is none). false: m->message or `error` says why. */
static inline bool materialise_run(Materialise *m, const Unit *unit, const Value *formals, Value *all, BfmError *error)
{
    collect_codes(m, unit);
    if (!jit_add(m->jit, m->codegen, error))
        return false;
    void **tensors = ARENA_ARRAY(m->arena, void *, unit->tensor_count + 1);
    for (int i = 0; i < unit->formal_count; i++)
        tensors[unit->formals[i]] = buffer_of(m, &formals[i]);
    materialise_unit(m, unit, "", tensors);
    for (int i = 0; i < unit->tensor_count; i++)
        if (tensors[i])
            all[i] = value_of(m->arena, &unit->tensors[i], tensors[i], &m->context->env);
    if (!guards_hold(m))
        (void)snprintf(m->message, sizeof m->message, "%s: a kernel wrote outside its buffer", unit->name);
    return m->message[0] == '\0';
}

static inline void materialise_free(Materialise *m)
{
    for (int i = 0; i < m->guarded.count; i++)
        free(m->guarded.items[i]);
    vec_free(&m->guarded);
    vec_free(&m->guarded_words);
    vec_free(&m->codes);
}

#endif
