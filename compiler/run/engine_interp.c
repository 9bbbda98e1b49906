/* The interpreter as an engine: definitions as they stand but for log-sum-exps, which are in two parts; one point after another. */
#include "run/engine.h"

#include "ir/interp.h"
#include "ir/needs.h"
#include "ir/flatten.h"
#include "opt/passes.h"

#include <math.h>
#include <string.h>

typedef struct InterpCode {
    const Unit *unit;
    bool wide;
    DimEnv env;
    void **formals; /* [formal_count]: of the caller */
    void **outputs; /* [output_count]: in `results` */
    Arena *results; /* of the last run */
} InterpCode;

static void *open_interp(Arena *arena, int threads, BfmError *error)
{
    (void)threads;
    (void)error;
    return arena;
}

static void close_interp(void *state) { (void)state; }

static void *compile_interp(void *state, Arena *arena, Program *program, const Unit *unit, bool wide, BfmError *error)
{
    InterpCode *code = ARENA_NEW(arena, InterpCode);
    (void)state;
    (void)error;
    program_expect(program, "lowering");
    Unit *flat = unit_flatten(program, unit);
    pass_stage(PASS_flatten, flat);
    (void)pass_run(PASS_split, flat, NULL);
    *code = (InterpCode){.unit = flat, .wide = wide, .formals = ARENA_ARRAY(arena, void *, unit->formal_count + 1), .outputs = ARENA_ARRAY(arena, void *, unit->output_count + 1)};
    return code;
}

static void release_interp(void *state)
{
    InterpCode *code = state;
    arena_free(code->results);
    code->results = NULL;
}

static bool bind_interp(void *state, const DimEnv *env, BfmError *error)
{
    InterpCode *code = state;
    const SizeNeed *need = needs_unmet(code->unit->program, env);
    if (need) {
        Arena *arena = arena_new();
        bfm_error_set(error, BFM_ERROR_INPUT, "%s", need_message(arena, need, env));
        arena_free(arena);
        return false;
    }
    code->env = *env;
    return true;
}

static void set_formal_interp(void *state, int formal, void *memory) { ((InterpCode *)state)->formals[formal] = memory; }
static void *output_interp(const void *state, int output) { return ((const InterpCode *)state)->outputs[output]; }

static Value value_in(Arena *arena, const InterpCode *code, int formal)
{
    const Tensor *tensor = &code->unit->tensors[code->unit->formals[formal]];
    Value value = {.count = tensor_elements(tensor, &code->env)};
    if (tensor->type == T_INT) {
        value.integer = code->formals[formal];
    } else if (code->wide) {
        value.real = code->formals[formal];
    } else {
        const float *from = code->formals[formal];
        value.real = ARENA_ARRAY(arena, double, value.count + 1);
        for (int64_t i = 0; i < value.count; i++)
            value.real[i] = (double)from[i];
    }
    return value;
}

static void *value_out(Arena *arena, const InterpCode *code, const Value *value)
{
    if (value->integer)
        return value->integer;
    if (code->wide)
        return value->real;
    float *to = ARENA_ARRAY(arena, float, value->count + 1);
    for (int64_t i = 0; i < value->count; i++)
        to[i] = (float)value->real[i];
    return to;
}

static const char *interpret(InterpCode *code, Arena *arena, uint64_t seed, uint64_t step, Value *results, Value *all)
{
    Value *formals = ARENA_ARRAY(arena, Value, code->unit->formal_count + 1);
    for (int i = 0; i < code->unit->formal_count; i++)
        formals[i] = value_in(arena, code, i);
    const InterpContext context = {.precision = code->wide ? INTERP_F64 : INTERP_F32, .env = code->env, .seed = seed, .step = step};
    return interp_run(arena, code->unit, &context, formals, results, all);
}

static bool run_interp(void *state, uint64_t seed, uint64_t step, BfmError *error)
{
    InterpCode *code = state;
    arena_free(code->results);
    code->results = arena_new();
    Value *results = ARENA_ARRAY(code->results, Value, code->unit->output_count + 1);
    const char *message = interpret(code, code->results, seed, step, results, NULL);
    if (message)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s", message);
    for (int i = 0; i < code->unit->output_count; i++)
        code->outputs[i] = value_out(code->results, code, &results[i]);
    return true;
}

/* As in the flat program of other engines: results of a call bear its path. */
static const char *tensor_name(Arena *arena, const Unit *unit, int tensor)
{
    const Tensor *t = &unit->tensors[tensor];
    const Op *op = t->def >= 0 ? &unit->ops[t->def] : NULL;
    return op && op->kind == OP_CALL ? arena_printf(arena, "%s.%s", op->path, t->name) : arena_strdup(arena, t->name);
}

static const char *find_bad_interp(void *state, Arena *arena, uint64_t seed, uint64_t step)
{
    InterpCode *code = state;
    Arena *scratch = arena_new();
    Value *results = ARENA_ARRAY(scratch, Value, code->unit->output_count + 1), *all = ARENA_ARRAY(scratch, Value, code->unit->tensor_count + 1);
    const char *name = NULL;
    if (!interpret(code, scratch, seed, step, results, all))
        for (int t = 0; t < code->unit->tensor_count && !name; t++)
            for (int64_t i = 0; all[t].real && i < all[t].count && !name; i++)
                if (isnan(all[t].real[i]) || all[t].real[i] == HUGE_VAL)
                    name = tensor_name(arena, code->unit, t);
    arena_free(scratch);
    return name;
}

const EngineKind ENGINE_INTERP = {"interp",      true,       false,           open_interp, close_interp, compile_interp, release_interp, bind_interp, set_formal_interp,
                                  output_interp, run_interp, find_bad_interp, NULL,        NULL};
