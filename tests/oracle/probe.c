/* Runs models as cases of the oracle say and writes down everything that comes out: what `bfmc grad` gives and, beside it, every loss and metric by name, new
   states, several steps, evaluation, masked positions, and difference quotients of the loss itself.

     bfm_oracle_probe [--engine interp|jit] [--width 32|64] [--threads N] [--library DIR] FOLDER…

   Numbers are as wide as the engine has them, or 32 bits. A folder holds model.bfm and case.safetensors: parameters and states under their paths
   (states may be absent: their initial values), integer inputs `in/NAME` [runs, b, l], and directions `direction/PATH`. Its metadata: mode (train |
   eval), gradient (yes | no), seed, step (of the first run), rate (parameters move by −rate · gradient after a run), reach (of the difference
   quotients). Written is FOLDER/out.ENGINE.safetensors: RUN/loss, RUN/cross_entropy, RUN/logits, RUN/PATH (a gradient), RUN/loss/NAME,
   RUN/metric/NAME, RUN/next/PATH, and slope/PATH: (L(w + reach · v) − L(w − reach · v)) / (2 · reach).
   Each folder gives one line, `ok FOLDER` or `FAILED FOLDER: why`. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file/safetensors.h"
#include "run/engine.h"
#include "run/order.h"
#include "run/store.h"
#include "opt/opt.h"
#include "support/vec.h"

typedef struct Command {
    const EngineKind *kind;
    bool wide; /* numbers are double */
    int threads;
    const char *library;
} Command;

typedef VEC(BfmTensor) Tensors;

typedef struct Probe {
    const Command *command;
    const char *folder;
    Arena *arena;
    Interner *interner;
    Diagnostics *diags;
    BfmSafetensors *file;
    Engine *engine;
    Lowered *lowered, *plain; /* plain: without the derivative, for difference quotients */
    Store *store;
    Executable *executable, *quotient;
    int64_t batch, length, runs;
    double step; /* the input `step`, in either width */
    float narrow_step;
    Tensors results;
    BfmError error;
} Probe;

static bool fail(Probe *probe, const char *text) { return bfm_error_set(&probe->error, BFM_ERROR_INPUT, "%s", text); }

static const char *told(const Probe *probe, const char *key, const char *absent)
{
    const char *value = bfm_safetensors_metadata(probe->file, key);
    return value ? value : absent;
}

static bool yes(const Probe *probe, const char *key) { return strcmp(told(probe, key, "no"), "yes") == 0; }
static size_t width(const Probe *probe) { return probe->command->wide ? sizeof(double) : sizeof(float); }

/* ---- the program ---- */

static Lowered *lower(Probe *probe, Mode mode)
{
    const char *message = NULL;
    Module *module = module_load(probe->arena, probe->interner, probe->diags, probe->command->library, arena_printf(probe->arena, "%s/model.bfm", probe->folder), &message);
    const Node *model = NULL;
    for (int i = 0; module && i < list_count(module->files[0].root->kids[FILE_ITEMS]); i++)
        if (list_at(module->files[0].root->kids[FILE_ITEMS], i)->kind == NODE_MODEL)
            model = list_at(module->files[0].root->kids[FILE_ITEMS], i);
    Lowered *lowered = model && diag_errors(probe->diags) == 0 ? lower_model(module, model, &(LowerOptions){.mode = mode}) : NULL;
    if (lowered && diag_errors(probe->diags) == 0)
        return lowered;
    Str text = {0};
    diag_print(probe->diags, &text, false);
    (void)fail(probe, message ? message : str_text(&text));
    str_free(&text);
    return NULL;
}

static bool differentiate(Probe *probe, Program *program, bool wanted)
{
    const char *message = NULL;
    if (wanted)
        return order_derivative(program, probe->command->kind->simplified, &message) || fail(probe, message);
    if (probe->command->kind->simplified)
        opt_simplify(program, &(OptOptions){.phase = OPT_BEFORE_GRAD});
    return true;
}

/* ---- memory ---- */

static bool read_real(Probe *probe, const BfmTensor *tensor, void *data)
{
    return probe->command->wide ? bfm_tensor_read_f64(tensor, data, &probe->error) : bfm_tensor_read_f32(tensor, data, &probe->error);
}

static bool fill_store(Probe *probe)
{
    if (!store_init(probe->store, 1, false, true, &probe->error))
        return false;
    for (int i = 0; i < probe->store->count; i++) {
        const StoreEntry *entry = &probe->store->entries[i];
        const bool state = entry->role == TENSOR_STATE && !bfm_safetensors_get(probe->file, entry->path);
        const BfmTensor *tensor = state ? NULL : bfm_safetensors_expect(probe->file, entry->path, entry->rank, entry->shape, &probe->error);
        if (!state && !(tensor && read_real(probe, tensor, entry->data)))
            return false;
    }
    return true;
}

/* Every parameter of the case must be one of the model's: a name that only one side knows is a finding. */
static bool all_known(Probe *probe)
{
    for (int64_t i = 0; i < bfm_safetensors_count(probe->file); i++) {
        const char *name = bfm_safetensors_at(probe->file, i)->name;
        if (strncmp(name, "in/", 3) != 0 && strncmp(name, "direction/", 10) != 0 && !store_find(probe->store, intern(probe->interner, name)))
            return bfm_error_set(&probe->error, BFM_ERROR_INPUT, "the model has no parameter %s", name);
    }
    return true;
}

static bool bind(Probe *probe, const Lowered *lowered, Executable *executable, int64_t run)
{
    const Program *program = lowered->program;
    probe->step = strtod(told(probe, "step", "0"), NULL) + (double)run;
    probe->narrow_step = (float)probe->step;
    for (int f = 0; f < program->main->formal_count; f++) {
        const Binding *binding = &program->bindings[f];
        if (binding->role != TENSOR_INPUT) {
            executable_set_formal(executable, f, store_find(probe->store, binding->path)->data);
        } else if (strcmp(binding->path, "step") == 0) {
            executable_set_formal(executable, f, probe->command->wide ? (void *)&probe->step : (void *)&probe->narrow_step);
        } else {
            const BfmTensor *in = bfm_safetensors_get(probe->file, arena_printf(probe->arena, "in/%s", binding->path));
            const int64_t shape[3] = {probe->runs, probe->batch, probe->length};
            if (!in || in->dtype != BFM_DTYPE_I32 || !bfm_tensor_same_shape(in, 3, shape))
                return bfm_error_set(&probe->error, BFM_ERROR_INPUT, "no input in/%s [runs, b, l] of int32", binding->path);
            int32_t *copy = ARENA_ARRAY(probe->arena, int32_t, probe->batch * probe->length); /* the file's bytes may be unaligned */
            memcpy(copy, (const char *)in->data + run * probe->batch * probe->length * 4, (size_t)(probe->batch * probe->length) * 4);
            executable_set_formal(executable, f, copy);
        }
    }
    return true;
}

static bool run(Probe *probe, const Lowered *lowered, Executable *executable, int64_t number)
{
    const uint64_t seed = strtoull(told(probe, "seed", "1"), NULL, 10), step = strtoull(told(probe, "step", "0"), NULL, 10) + (uint64_t)number;
    return bind(probe, lowered, executable, number) && executable_run(executable, seed, step, &probe->error);
}

/* ---- results ---- */

static void keep(Probe *probe, const char *name, int rank, const int64_t *shape, const void *data, int64_t elements)
{
    BfmTensor tensor = {
        .name = name, .dtype = probe->command->wide ? BFM_DTYPE_F64 : BFM_DTYPE_F32, .rank = rank, .data = arena_memdup(probe->arena, data, (size_t)elements * width(probe))};
    for (int i = 0; i < rank; i++)
        tensor.shape[i] = shape[i];
    vec_push(&probe->results, tensor);
}

static void keep_number(Probe *probe, const char *name, double value)
{
    const float narrow = (float)value;
    keep(probe, name, 0, NULL, probe->command->wide ? (const void *)&value : (const void *)&narrow, 1);
}

static const char *output_name(Probe *probe, const Output *output, int64_t number)
{
    const char *path = output->formal >= 0 ? probe->lowered->program->bindings[output->formal].path : output->name;
    switch (output->kind) {
    case OUTPUT_RESULT: return arena_printf(probe->arena, "%lld/logits", (long long)number);
    case OUTPUT_LOSS: return arena_printf(probe->arena, "%lld/loss/%s", (long long)number, output->name);
    case OUTPUT_METRIC: return arena_printf(probe->arena, "%lld/metric/%s", (long long)number, output->name);
    case OUTPUT_NEXT: return arena_printf(probe->arena, "%lld/next/%s", (long long)number, path);
    case OUTPUT_GRAD: return arena_printf(probe->arena, "%lld/%s", (long long)number, path);
    case OUTPUT_SAVED: break;
    }
    return NULL;
}

static void keep_outputs(Probe *probe, int64_t number)
{
    const Unit *unit = probe->lowered->program->main;
    const DimEnv env = {.value = {[DIM_B] = probe->batch, [DIM_L] = probe->length}};
    double loss = 0;
    for (int o = 0; o < unit->output_count; o++) {
        const Output *output = &unit->outputs[o];
        const Tensor *tensor = &unit->tensors[output->tensor];
        const char *name = output_name(probe, output, number);
        if (!name || tensor->type != T_REAL || tensor->rank > BFM_TENSOR_MAX_RANK)
            continue;
        loss += output->kind == OUTPUT_LOSS ? executable_scalar(probe->executable, o) : 0;
        const StoreEntry *entry = output->kind == OUTPUT_GRAD ? store_find(probe->store, probe->lowered->program->bindings[output->formal].path) : NULL;
        int64_t shape[BFM_TENSOR_MAX_RANK] = {0};
        for (int i = 0; i < tensor->rank; i++)
            shape[i] = dim_eval(tensor->extent[i], &env);
        keep(probe, name, entry ? entry->rank : tensor->rank, entry ? entry->shape : shape, executable_output(probe->executable, o),
             executable_output_elements(probe->executable, o));
    }
    keep_number(probe, arena_printf(probe->arena, "%lld/loss", (long long)number), loss);
    if (probe->lowered->cross_entropy >= 0)
        keep_number(probe, arena_printf(probe->arena, "%lld/cross_entropy", (long long)number), executable_scalar(probe->executable, probe->lowered->cross_entropy));
}

static void move(Probe *probe, void *data, const void *by, int64_t elements, double factor)
{
    for (int64_t i = 0; i < elements; i++) {
        if (probe->command->wide)
            ((double *)data)[i] += factor * ((const double *)by)[i];
        else
            ((float *)data)[i] += (float)factor * ((const float *)by)[i];
    }
}

/* What a step leaves behind: new states, moved parameters. */
static void commit(Probe *probe)
{
    const double rate = strtod(told(probe, "rate", "0"), NULL);
    const Unit *unit = probe->lowered->program->main;
    for (int o = 0; o < unit->output_count; o++) {
        const Output *output = &unit->outputs[o];
        if (output->formal < 0 || (output->kind != OUTPUT_NEXT && output->kind != OUTPUT_GRAD))
            continue;
        const StoreEntry *entry = store_find(probe->store, probe->lowered->program->bindings[output->formal].path);
        const void *value = executable_output(probe->executable, o);
        if (output->kind == OUTPUT_GRAD)
            move(probe, entry->data, value, entry->elements, -rate);
        else
            memcpy(entry->data, value, (size_t)entry->elements * width(probe));
    }
}

/* ---- difference quotients ---- */

static bool loss_at(Probe *probe, const StoreEntry *entry, const void *direction, double reach, double *loss)
{
    const Unit *unit = probe->plain->program->main;
    void *saved = arena_memdup(probe->arena, entry->data, (size_t)entry->elements * width(probe));
    move(probe, entry->data, direction, entry->elements, reach);
    const bool ok = run(probe, probe->plain, probe->quotient, 0);
    *loss = 0;
    for (int o = 0; ok && o < unit->output_count; o++)
        *loss += unit->outputs[o].kind == OUTPUT_LOSS ? executable_scalar(probe->quotient, o) : 0;
    memcpy(entry->data, saved, (size_t)entry->elements * width(probe));
    return ok;
}

static bool slopes(Probe *probe)
{
    const double reach = strtod(told(probe, "reach", "0"), NULL);
    for (int i = 0; reach > 0 && i < probe->store->count; i++) {
        const StoreEntry *entry = &probe->store->entries[i];
        const BfmTensor *given = bfm_safetensors_get(probe->file, arena_printf(probe->arena, "direction/%s", entry->path));
        double up, down;
        if (!given)
            continue;
        void *direction = arena_alloc(probe->arena, (size_t)entry->elements * width(probe));
        if (!bfm_tensor_same_shape(given, entry->rank, entry->shape) || !read_real(probe, given, direction))
            return fail(probe, "a direction has another shape than its parameter");
        if (!loss_at(probe, entry, direction, reach, &up) || !loss_at(probe, entry, direction, -reach, &down))
            return false;
        keep_number(probe, arena_printf(probe->arena, "slope/%s", entry->path), (up - down) / (2 * reach));
    }
    return true;
}

/* ---- a case ---- */

static bool prepare(Probe *probe)
{
    const Mode mode = strcmp(told(probe, "mode", "train"), "eval") == 0 ? MODE_EVAL : MODE_TRAIN;
    const BfmTensor *tokens = bfm_safetensors_get(probe->file, "in/tokens");
    if (!tokens || tokens->rank != 3)
        return fail(probe, "the case has no in/tokens [runs, b, l]");
    probe->runs = tokens->shape[0], probe->batch = tokens->shape[1], probe->length = tokens->shape[2];
    probe->lowered = lower(probe, mode);
    probe->plain = probe->lowered && bfm_safetensors_metadata(probe->file, "reach") ? lower(probe, mode) : NULL;
    if (!probe->lowered || !differentiate(probe, probe->lowered->program, yes(probe, "gradient")) || (probe->plain && !differentiate(probe, probe->plain->program, false)))
        return false;
    probe->store = store_new(probe->arena, probe->lowered, NULL, probe->command->wide, &probe->error);
    if (!probe->store || !all_known(probe) || !fill_store(probe))
        return false;
    const DimEnv env = {.value = {[DIM_B] = probe->batch, [DIM_L] = probe->length, [DIM_S0] = 1, 1, 1, 1, 1, 1, 1, 1}};
    probe->engine = engine_new(probe->arena, probe->command->kind, probe->command->wide, probe->command->threads, &probe->error);
    if (!probe->engine || !(probe->executable = engine_compile(probe->engine, probe->lowered->program, probe->lowered->program->main, &probe->error)) ||
        !executable_bind(probe->executable, &env, &probe->error))
        return false;
    return !probe->plain || ((probe->quotient = engine_compile(probe->engine, probe->plain->program, probe->plain->program->main, &probe->error)) &&
                             executable_bind(probe->quotient, &env, &probe->error));
}

static bool carry_out(Probe *probe)
{
    if (!prepare(probe) || !slopes(probe))
        return false;
    for (int64_t i = 0; i < probe->runs; i++) {
        if (!run(probe, probe->lowered, probe->executable, i))
            return false;
        keep_outputs(probe, i);
        commit(probe);
    }
    return bfm_safetensors_write(arena_printf(probe->arena, "%s/out.%s.safetensors", probe->folder, probe->command->kind->name), probe->results.items, probe->results.count, NULL,
                                 0, NULL, &probe->error);
}

static bool one_case(const Command *command, const char *folder)
{
    Probe probe = {.command = command, .folder = folder, .arena = arena_new(), .interner = interner_new(), .diags = diagnostics_new()};
    probe.file = bfm_safetensors_open(arena_printf(probe.arena, "%s/case.safetensors", folder), &probe.error);
    const bool ok = probe.file && carry_out(&probe);
    if (ok)
        printf("ok %s\n", folder);
    else
        printf("FAILED %s: %s\n", folder, probe.error.message);
    (void)fflush(stdout);
    executable_free(probe.executable);
    executable_free(probe.quotient);
    engine_free(probe.engine);
    store_free(probe.store);
    bfm_safetensors_close(probe.file);
    vec_free(&probe.results);
    diagnostics_free(probe.diags);
    interner_free(probe.interner);
    arena_free(probe.arena);
    return ok;
}

int main(int argc, char **argv)
{
    Command command = {.kind = engine_kind("interp"), .threads = 1, .library = BFM_SOURCE_DIR "/stdlib"};
    int at = 1, failed = 0, bits = 64;
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        if (strcmp(argv[at], "--engine") == 0)
            command.kind = engine_kind(argv[at + 1]);
        else if (strcmp(argv[at], "--width") == 0)
            bits = atoi(argv[at + 1]);
        else if (strcmp(argv[at], "--threads") == 0)
            command.threads = atoi(argv[at + 1]);
        else if (strcmp(argv[at], "--library") == 0)
            command.library = argv[at + 1];
        else
            command.kind = NULL;
    }
    if (!command.kind || at == argc) {
        (void)fprintf(stderr, "bfm_oracle_probe [--engine interp|jit] [--width 32|64] [--threads N] [--library DIR] FOLDER…\n");
        return 2;
    }
    command.wide = command.kind->wide && bits == 64;
    for (; at < argc; at++)
        failed += !one_case(&command, argv[at]);
    return failed > 0;
}
