/* Inputs are bound by name, parameters and states by path. */
#include "run/runner.h"

#include "memory/buffer.h"

#include <math.h>
#include <string.h>

static bool bind_stores(Runner *runner, BfmError *error)
{
    const Program *program = runner->lowered->program;
    for (int f = 0; f < runner->unit->formal_count; f++) {
        const Binding *binding = &program->bindings[f];
        if (binding->role == TENSOR_INPUT)
            continue;
        const StoreEntry *entry = store_find(runner->store, binding->path);
        if (!entry)
            return bfm_error_set(error, BFM_ERROR_BUG, "%s is in one program of the model and not in the other", binding->path);
        executable_set_formal(runner->executable, f, entry->data);
    }
    return true;
}

Runner *runner_new(Arena *arena, Engine *engine, const Lowered *lowered, Store *store, BfmError *error)
{
    Runner *runner = ARENA_NEW(arena, Runner);
    *runner = (Runner){.lowered = lowered, .unit = lowered->program->main, .store = store};
    runner->executable = engine_compile(engine, lowered->program, lowered->program->main, error);
    if (!runner->executable)
        return NULL;
    if (bind_stores(runner, error))
        return runner;
    runner_free(runner);
    return NULL;
}

static void inputs_free(Runner *runner)
{
    int32_t **buffers[] = {&runner->tokens, &runner->targets, &runner->segment};
    for (int i = 0; i < 3; i++) {
        bfm_buffer_free(*buffers[i]);
        *buffers[i] = NULL;
    }
}

void runner_free(Runner *runner)
{
    if (!runner)
        return;
    inputs_free(runner);
    executable_free(runner->executable);
    runner->executable = NULL;
}

static bool bind_input(Runner *runner, int formal, const char *name, BfmError *error)
{
    const Tensor *tensor = &runner->unit->tensors[runner->unit->formals[formal]];
    int32_t **buffer = strcmp(name, "tokens") == 0 ? &runner->tokens : strcmp(name, "targets") == 0 ? &runner->targets : strcmp(name, "segment") == 0 ? &runner->segment : NULL;
    if (strcmp(name, "step") == 0 && tensor->rank == 0 && tensor->type == T_REAL) {
        executable_set_formal(runner->executable, formal, runner->store->wide ? (void *)&runner->step_wide : (void *)&runner->step);
        return true;
    }
    if (!buffer || tensor->type != T_INT)
        return bfm_error_set(error, BFM_ERROR_INPUT, "the model has an input `%s`; this command gives `tokens`, `targets`, `segment` and `step`", name);
    const size_t elements = (size_t)runner->batch * (size_t)runner->length;
    if (executable_formal_elements(runner->executable, formal) != (int64_t)elements)
        return bfm_error_set(error, BFM_ERROR_INPUT, "the input `%s` of the model is not of shape [b, l]", name);
    if (!*buffer)
        *buffer = bfm_buffer_new(elements * sizeof **buffer);
    if (!*buffer)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
    memset(*buffer, 0, elements * sizeof **buffer);
    executable_set_formal(runner->executable, formal, *buffer);
    return true;
}

bool runner_bind(Runner *runner, int64_t batch, int64_t length, BfmError *error)
{
    const DimEnv env = {.value = {[DIM_B] = batch, [DIM_L] = length, [DIM_S0] = 1, 1, 1, 1, 1, 1, 1, 1}};
    inputs_free(runner);
    runner->batch = batch;
    runner->length = length;
    if (!executable_bind(runner->executable, &env, error))
        return false;
    for (int f = 0; f < runner->unit->formal_count; f++)
        if (runner->lowered->program->bindings[f].role == TENSOR_INPUT && !bind_input(runner, f, runner->lowered->program->bindings[f].path, error))
            return false;
    return true;
}

static void fill_inputs(Runner *runner, const int32_t *tokens, const int64_t *counts)
{
    const int64_t l = runner->length;
    for (int64_t b = 0; b < runner->batch; b++)
        for (int64_t i = 0; i < l; i++) {
            const int32_t token = tokens[b * (l + 1) + i], next = tokens[b * (l + 1) + i + 1];
            if (runner->tokens)
                runner->tokens[b * l + i] = token;
            if (runner->segment)
                runner->segment[b * l + i] = token < 0 ? -1 : 0;
            if (runner->targets)
                runner->targets[b * l + i] = token < 0 || (counts && i >= counts[b]) ? -1 : next;
        }
}

bool runner_run(Runner *runner, const int32_t *tokens, const int64_t *counts, RunKey key, BfmError *error)
{
    fill_inputs(runner, tokens, counts);
    runner->step_wide = (double)key.step;
    runner->step = (float)key.step;
    return executable_run(runner->executable, key.seed, key.draw, error);
}

double runner_loss(const Runner *runner)
{
    double loss = 0;
    for (int o = 0; o < runner->unit->output_count; o++)
        if (runner->unit->outputs[o].kind == OUTPUT_LOSS)
            loss += executable_scalar(runner->executable, o);
    return loss;
}

double runner_cross_entropy(const Runner *runner) { return runner->lowered->cross_entropy < 0 ? NAN : executable_scalar(runner->executable, runner->lowered->cross_entropy); }

void runner_commit(Runner *runner)
{
    const Program *program = runner->lowered->program;
    for (int o = 0; o < runner->unit->output_count; o++) {
        const Output *output = &runner->unit->outputs[o];
        if (output->kind != OUTPUT_NEXT || output->formal < 0)
            continue;
        const StoreEntry *entry = store_find(runner->store, program->bindings[output->formal].path);
        const void *value = executable_output(runner->executable, o);
        if (value != entry->data)
            memcpy(entry->data, value, (size_t)entry->elements * (runner->store->wide ? 8 : 4));
    }
}
