/* The programs of a model as entries, its tensors as a table, and the files that hold them. */
#include "build/build.h"

#include "file/atomic_file.h"
#include "decode/decode.h"
#include "ir/effects.h"
#include "opt/opt.h"
#include "rng/rng.h"
#include "support/hash.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Decoders and what they are compared with: exactly as they were derived, or they might no longer be scheduled alike. */
static const CompileOptions AS_DERIVED = {.codegen = {.level = 2}, .plain = true};

/* ---- programs ---- */

bool build_add(Build *build, const char *name, Program *program, const Unit *unit, const Symbol *formal_names, const CompileOptions *options, BfmError *error)
{
    context_note(build->context, "compiling %s", name);
    const Compiled *compiled = compile_unit(build->context->arena, NULL, program, unit, formal_names, options, error);
    if (compiled)
        vec_push(&build->entries, ((BuildEntry){name, compiled}));
    return compiled != NULL;
}

static const Symbol *paths_of(const Program *program, Arena *arena)
{
    Symbol *paths = ARENA_ARRAY(arena, Symbol, program->main->formal_count + 1);
    for (int f = 0; f < program->main->formal_count; f++)
        paths[f] = program->bindings[f].path;
    return paths;
}

static bool add_forward(Build *build, const Lowered *lowered, BfmError *error)
{
    return build_add(build, "forward", lowered->program, decode_forward(lowered->program, lowered->result), paths_of(lowered->program, build->context->arena), &AS_DERIVED, error);
}

static bool add_backward(Build *build, BfmError *error)
{
    Program *program = build->model.lowered->program;
    return build_add(build, "backward", program, program->main, paths_of(program, build->context->arena), NULL, error);
}

/* Left out, with a note, where the model has no decoder. */
static bool add_decode(Build *build, const Lowered *lowered, BfmError *error)
{
    const BfmContext *context = build->context;
    const ProgramEffects *effects = effects_analyse(context->arena, lowered->program);
    FutureRead read;
    if (!effect_causal(effects_of(effects, lowered->program->main)->outputs[lowered->result])) {
        context_note(context, "note: `decode` is left out: the model `%s` %s (`bfmc check` shows where)", lowered->model->name,
                     effects_future(effects, lowered->program->main, lowered->result, &read) ? "reads the future" : "cannot be shown to be causal");
        return true;
    }
    const char *message = NULL;
    Program *decode = decode_program(lowered->program, decode_forward(lowered->program, lowered->result), lowered->program->bindings, &message);
    if (!decode) {
        context_note(context, "note: `decode` is left out: %s", message);
        return true;
    }
    return build_add(build, "decode", decode, decode->main, paths_of(decode, context->arena), &AS_DERIVED, error);
}

/* ---- tables ---- */

/* Every value that some seed draws is one that f32 holds. */
static bool draws_fit(const StoreEntry *entry, BfmError *error)
{
    const double most = fabs(entry->init->mean) + BFM_RNG_NORMAL_MOST * fabs(entry->init->std);
    return most <= (double)FLT_MAX ||
           bfm_error_set(error, BFM_ERROR_INPUT, "the initial values of `%s` are drawn from normal(%g, %g), up to %.3g; the largest number of f32 is %.3g", entry->path,
                         entry->init->mean, entry->init->std, most, (double)FLT_MAX);
}

static bool add_tensor(const StoreEntry *entry, BfmModelTensor *tensor, BfmError *error)
{
    *tensor = (BfmModelTensor){
        .path = entry->path, .role = entry->role == TENSOR_PARAM ? BFM_PORT_PARAM : BFM_PORT_STATE, .rank = (uint64_t)entry->rank, .stream = hash_text(entry->path, 0)};
    memcpy(tensor->shape, entry->shape, sizeof tensor->shape);
    if (entry->init->normal) {
        tensor->init = BFM_INIT_NORMAL;
        tensor->mean = entry->init->mean;
        tensor->std = entry->init->std;
        return draws_fit(entry, error);
    }
    const DimEnv env = {.value = {[DIM_B] = 1, [DIM_L] = 1}};
    float *values = entry->data;
    if (!init_fill(entry->init, entry->path, 0, &env, entry->elements, false, values, error))
        return false;
    tensor->init = BFM_INIT_CONSTANT;
    tensor->mean = entry->elements > 0 ? (double)values[0] : 0;
    for (int64_t i = 1; i < entry->elements && tensor->init == BFM_INIT_CONSTANT; i++)
        if (memcmp(&values[i], &values[0], sizeof *values) != 0) {
            tensor->init = BFM_INIT_VALUES;
            tensor->values = values;
        }
    return true;
}

static bool add_tensors(Build *build, BfmError *error)
{
    build->store = store_new(build->context->arena, build->model.lowered, &build->others, false, error);
    if (!build->store)
        return false;
    build->tensors = ARENA_ARRAY(build->context->arena, BfmModelTensor, build->store->count + 1);
    for (int i = 0; i < build->store->count; i++)
        if (!add_tensor(&build->store->entries[i], &build->tensors[i], error))
            return false;
    return true;
}

/* ---- files ---- */

static bool write_linked(Build *build, Emit kind, BfmError *error)
{
    Arena *arena = build->context->arena;
    AotEntry *entries = ARENA_ARRAY(arena, AotEntry, build->entries.count + 1);
    for (int e = 0; e < build->entries.count; e++)
        entries[e] = (AotEntry){build->entries.items[e].name, build->entries.items[e].compiled->plan, build->entries.items[e].compiled->codegen};
    Str description = {0};
    str_append(&description, "{\"model\": ");
    str_json(&description, build->prefix, strlen(build->prefix));
    str_printf(&description, ", \"context\": %lld, \"vocab\": %lld, \"bfmc\": \"%s\"}", (long long)build->model.lowered->context, (long long)build->model.lowered->vocab,
               BFM_VERSION);
    const char *libraries[] = {arena_printf(arena, "-L%s", build->library),
                               "-lbfm_runtime",
                               arena_printf(arena, "-Wl,-rpath,$ORIGIN:%s", build->library),
                               "-Wl,-z,defs",
                               "-Wl,-z,relro",
                               "-Wl,-z,now",
                               "-Wl,-z,noexecstack",
                               NULL};
    const AotOptions options = {.prefix = build->prefix,
                                .description = str_text(&description),
                                .tensors = build->tensors,
                                .tensor_count = build->store->count,
                                .updates = build->updates.items,
                                .update_count = build->updates.count,
                                .clip_norm = build->recipe.clip_norm,
                                .libraries = libraries};
    const bool ok = kind == EMIT_SO ? aot_write_shared(build_file(build, kind), &options, entries, build->entries.count, error)
                                    : aot_write_object(build_file(build, kind), &options, entries, build->entries.count, error);
    str_free(&description);
    return ok;
}

static bool write_text(Build *build, Emit kind, BfmError *error)
{
    Str text = {0};
    bool ok = true;
    if (kind == EMIT_HEADER)
        build_header(build, &text);
    for (int e = 0; kind == EMIT_LLVM && ok && e < build->entries.count; e++) {
        str_printf(&text, "; ---- %s\n", build->entries.items[e].name);
        ok = codegen_print(build->entries.items[e].compiled->codegen, CODEGEN_LLVM, &text, error);
    }
    ok = ok && bfm_atomic_write(build_file(build, kind), str_text(&text), text.length, error);
    str_free(&text);
    return ok;
}

bool build_write(Build *build, unsigned emits, BfmError *error)
{
    for (int kind = 0; kind < EMIT_COUNT; kind++) {
        if (!(emits >> kind & 1))
            continue;
        if (!(kind == EMIT_OBJ || kind == EMIT_SO ? write_linked(build, (Emit)kind, error) : write_text(build, (Emit)kind, error)))
            return false;
    }
    return true;
}

bool build_programs(Build *build, const Lowered *evaluated, const Lowered *decoded, BfmError *error)
{
    order_losses(build->model.lowered);
    return model_differentiate(build->context, &build->model, true, error) && add_tensors(build, error) && add_forward(build, evaluated, error) && add_backward(build, error) &&
           add_decode(build, decoded, error) && (!build->has_recipe || build_step(build, error));
}

const char *build_file(const Build *build, Emit kind)
{
    static const char *const endings[] = {[EMIT_OBJ] = ".o", [EMIT_SO] = ".so", [EMIT_HEADER] = ".h", [EMIT_LLVM] = ".ll"};
    return arena_printf(build->context->arena, "%s%s", build->base, endings[kind]);
}

void build_free(Build *build)
{
    store_free(build->store);
    vec_free(&build->entries);
    vec_free(&build->updates);
}
