#include "run/inputs.h"

#include "rng/rng.h"
#include "run/store.h"

#include <string.h>

enum { STREAM_VALUES = 1, STREAM_MOVES };

static BfmRng stream_of(const InputSettings *settings, int kind, int formal) { return bfm_rng_init(settings->seed, (uint64_t)kind << 32 | (uint64_t)formal, 0); }

static void fill_integers(const InputSettings *settings, const Tensor *tensor, bool zero, int formal, Value *value)
{
    const int64_t bound = tensor->bound ? dim_eval(tensor->bound, &settings->env) : 1;
    const BfmRng rng = stream_of(settings, STREAM_VALUES, formal);
    for (int64_t i = 0; i < value->count; i++)
        value->integer[i] = zero || bound < 1 ? 0 : (int32_t)(bfm_rng_u64(rng, (uint64_t)i) % (uint64_t)bound);
}

/* binding NULL: an adjoint. */
static bool fill_reals(const InputSettings *settings, const Tensor *tensor, const Binding *binding, int formal, Value *value, BfmError *error)
{
    const BfmRng rng = stream_of(settings, STREAM_MOVES, formal);
    const bool input = !binding || binding->role == TENSOR_INPUT;
    if (!input && !init_fill(&binding->init, binding->path, settings->seed, &settings->env, value->count, true, value->real, error))
        return false;
    for (int64_t i = 0; i < value->count; i++) {
        if (input)
            value->real[i] = tensor->rank == 0 ? settings->step : bfm_rng_normal(rng, (uint64_t)i);
        else if (binding->role == TENSOR_PARAM)
            value->real[i] += settings->away * bfm_rng_normal(rng, (uint64_t)i);
    }
    return true;
}

bool inputs_fill(Arena *arena, const Program *program, const Unit *unit, int bindings, const InputSettings *settings, Value *formals, int count, BfmError *error)
{
    for (int f = 0; f < count; f++) {
        const Tensor *tensor = &unit->tensors[unit->formals[f]];
        const Binding *binding = f < bindings ? &program->bindings[f] : NULL;
        Value *value = &formals[f];
        *value = (Value){.count = tensor_elements(tensor, &settings->env)};
        if (value->count < 0)
            return bfm_error_set(error, BFM_ERROR_INPUT, "%s is too large", binding ? binding->path : tensor->name);
        if (tensor->type == T_INT) {
            value->integer = ARENA_ARRAY(arena, int32_t, value->count + 1);
            fill_integers(settings, tensor, binding && strcmp(binding->path, "segment") == 0, f, value);
            continue;
        }
        value->real = ARENA_ARRAY(arena, double, value->count + 1);
        if (!fill_reals(settings, tensor, binding, f, value, error))
            return false;
    }
    return true;
}
