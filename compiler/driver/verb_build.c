/* bfmc build: a model as a shared object, with a header for programs that run it. */
#include "file/atomic_file.h"
#include "build/build.h"
#include "driver/verbs.h"
#include "ir/effects.h"
#include "decode/decode.h"
#include "opt/opt.h"
#include "rng/rng.h"
#include "support/hash.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Decoders and what they are compared with: exactly as they were derived, or they might no longer be scheduled alike. */
static const CompileOptions AS_DERIVED = {.codegen = {.level = 2}, .plain = true};

typedef enum { EMIT_OBJ, EMIT_SO, EMIT_HEADER, EMIT_LLVM, EMIT_COUNT } Emit;
static const char *const EMIT_NAMES[] = {"obj", "so", "header", "llvm"}, *const EMIT_ENDINGS[] = {".o", ".so", ".h", ".ll"};

/* ---- what was asked for ---- */

/* Bits of Emit; 0 after an error, which is told. */
static unsigned emit_parse(Driver *driver, int *code)
{
    unsigned emits = 0;
    char *rest = NULL, *list = arena_strdup(driver->arena, option_text(driver->options, OPT_BUILD_EMIT));
    for (char *word = strtok_r(list, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
        int kind = 0;
        while (kind < EMIT_COUNT && strcmp(word, EMIT_NAMES[kind]) != 0)
            kind++;
        if (kind == EMIT_COUNT) {
            *code = driver_usage(driver, "--emit has no kind `%s`; it takes obj, so, header and llvm, separated by commas", word);
            return 0;
        }
        emits |= 1u << kind;
    }
    if (emits == 0)
        *code = driver_usage(driver, "--emit needs one of obj, so, header and llvm");
    return emits;
}

static const char *file_name(const Build *build, Emit kind) { return arena_printf(build->driver->arena, "%s%s", build->base, EMIT_ENDINGS[kind]); }

static bool check_files(const Build *build, unsigned emits, BfmError *error)
{
    for (int kind = 0; kind < EMIT_COUNT; kind++)
        if (emits >> kind & 1 && !driver_output(build->driver, build->model.module, file_name(build, (Emit)kind), error))
            return false;
    return true;
}

/* The folder must take files, and none of them is read: said before anything is compiled. */
static bool check_output(Build *build, unsigned emits, BfmError *error)
{
    Driver *driver = build->driver;
    const char *out = option_text(driver->options, OPT_OUT);
    const char *path = out ? out : arena_printf(driver->arena, "lib%s.so", build->model.model->name);
    const size_t length = strlen(path);
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (strlen(name) <= 3 || strcmp(path + length - 3, ".so") != 0)
        return bfm_error_set(error, BFM_ERROR_INPUT, "--out %s: the name must end in .so; header and others are written beside it", path);
    build->base = arena_strndup(driver->arena, path, length - 3);
    const char *folder = slash ? arena_strndup(driver->arena, path, (size_t)(slash - path) + 1) : ".";
    return check_files(build, emits, error) && (access(folder, W_OK | X_OK) == 0 || bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s cannot be written: %s", path, strerror(errno)));
}

/* ---- where the runtime library is ---- */

static bool find_runtime(Build *build, BfmError *error)
{
    static const char *const places[][2] = {{".", NULL}, {"../lib", "../include/bfm_runtime"}, {"../lib/" BFM_LIBRARY_ARCHITECTURE, "../include/bfm_runtime"}};
    Arena *arena = build->driver->arena;
    char self[4096];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = 0;
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = 0;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *folder = arena_printf(arena, "%s/%s", self, places[i][0]), *headers = places[i][1] ? arena_printf(arena, "%s/%s", self, places[i][1]) : NULL;
        if (access(arena_printf(arena, "%s/libbfm_runtime.so", folder), R_OK) != 0 || (headers && access(headers, R_OK) != 0))
            continue;
        char *real = realpath(folder, NULL), *real_headers = headers ? realpath(headers, NULL) : NULL;
        build->library = arena_strdup(arena, real ? real : folder);
        build->headers = real_headers ? arena_printf(arena, "-I%s", real_headers) : "-I" BFM_SOURCE_DIR "/runtime -I" BFM_SOURCE_DIR "/runtime/include";
        free(real);
        free(real_headers);
        return true;
    }
    return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "libbfm_runtime.so is neither beside bfmc nor in its ../lib");
}

/* ---- programs ---- */

bool build_add(Build *build, const char *name, Program *program, const Unit *unit, const Symbol *formal_names, const CompileOptions *options, BfmError *error)
{
    driver_note(build->driver, "compiling %s", name);
    const Compiled *compiled = compile_unit(build->driver->arena, NULL, program, unit, formal_names, options, error);
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
    return build_add(build, "forward", lowered->program, decode_forward(lowered->program, lowered->result), paths_of(lowered->program, build->driver->arena), &AS_DERIVED, error);
}

static bool add_backward(Build *build, BfmError *error)
{
    Program *program = build->model.lowered->program;
    return build_add(build, "backward", program, program->main, paths_of(program, build->driver->arena), NULL, error);
}

/* Left out, with a note, where the model has no decoder. */
static bool add_decode(Build *build, const Lowered *lowered, BfmError *error)
{
    Driver *driver = build->driver;
    const ProgramEffects *effects = effects_analyse(driver->arena, lowered->program);
    FutureRead read;
    if (!effect_causal(effects_of(effects, lowered->program->main)->outputs[lowered->result])) {
        driver_note(driver, "note: `decode` is left out: the model `%s` %s (`bfmc check` shows where)", lowered->model->name,
                    effects_future(lowered->program->main, lowered->result, &read) ? "reads the future" : "cannot be shown to be causal");
        return true;
    }
    const char *message = NULL;
    Program *decode = decode_program(lowered->program, decode_forward(lowered->program, lowered->result), lowered->program->bindings, &message);
    if (!decode) {
        driver_note(driver, "note: `decode` is left out: %s", message);
        return true;
    }
    return build_add(build, "decode", decode, decode->main, paths_of(decode, driver->arena), &AS_DERIVED, error);
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
    build->store = store_new(build->driver->arena, build->model.lowered, &build->others, false, error);
    if (!build->store)
        return false;
    build->tensors = ARENA_ARRAY(build->driver->arena, BfmModelTensor, build->store->count + 1);
    for (int i = 0; i < build->store->count; i++)
        if (!add_tensor(&build->store->entries[i], &build->tensors[i], error))
            return false;
    return true;
}

/* A recipe is used where one is named or the file has one; otherwise there is no `step`. */
static int pick_recipe(Build *build)
{
    Driver *driver = build->driver;
    const Node *items = build->model.module->files[0].root->kids[FILE_ITEMS];
    int recipes = 0, code = CODE_OK;
    for (int i = 0; i < list_count(items); i++)
        recipes += list_at(items, i)->kind == NODE_RECIPE;
    if (!option_given(driver->options, OPT_RECIPE) && recipes != 1) {
        driver_note(driver, recipes == 0 ? "note: `step` is left out: the file has no recipe; --recipe names one of the library that the file uses"
                                         : "note: `step` is left out: the file has several recipes; say which with --recipe");
        return CODE_OK;
    }
    const Node *recipe = recipe_pick(driver, build->model.module, &code);
    if (!recipe)
        return code;
    build->has_recipe = true;
    if (recipe_read(driver, build->model.module, recipe, build->model.lowered, &build->recipe))
        return CODE_OK;
    code = driver_diagnostics(driver);
    return driver->json ? report_print(driver, report_new(driver), code) : code;
}

/* ---- files ---- */

static bool write_linked(Build *build, Emit kind, BfmError *error)
{
    Arena *arena = build->driver->arena;
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
    const bool ok = kind == EMIT_SO ? aot_write_shared(file_name(build, kind), &options, entries, build->entries.count, error)
                                    : aot_write_object(file_name(build, kind), &options, entries, build->entries.count, error);
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
    ok = ok && bfm_atomic_write(file_name(build, kind), str_text(&text), text.length, error);
    str_free(&text);
    return ok;
}

static bool write_files(Build *build, unsigned emits, BfmError *error)
{
    for (int kind = 0; kind < EMIT_COUNT; kind++) {
        if (!(emits >> kind & 1))
            continue;
        if (!(kind == EMIT_OBJ || kind == EMIT_SO ? write_linked(build, (Emit)kind, error) : write_text(build, (Emit)kind, error)))
            return false;
    }
    return true;
}

static int report(const Build *build, unsigned emits)
{
    Driver *driver = build->driver;
    json_t *files = json_array(), *entries = json_array();
    for (int kind = 0; kind < EMIT_COUNT; kind++)
        if (emits >> kind & 1) {
            json_array_append_new(files, json_string(file_name(build, (Emit)kind)));
            driver_note(driver, "%s", file_name(build, (Emit)kind));
        }
    for (int e = 0; e < build->entries.count; e++)
        json_array_append_new(entries, json_string(build->entries.items[e].name));
    if (!driver->json) {
        json_decref(files);
        json_decref(entries);
        return CODE_OK;
    }
    json_t *report = report_new(driver);
    json_object_set_new(report, "files", files);
    json_object_set_new(report, "entries", entries);
    json_object_set_new(report, "step", json_boolean(build->updates.count > 0));
    return report_print(driver, report, CODE_OK);
}

/* ---- the verb ---- */

static int build_model(Build *build, unsigned emits)
{
    Driver *driver = build->driver;
    ModelProgram evaluated, decoded;
    BfmError error;
    int code = CODE_OK;
    if (!pipeline_model(driver, driver->options->arguments[0], MODE_TRAIN, &build->model, &code) || !pipeline_again(driver, &build->model, MODE_EVAL, &evaluated, &code) ||
        !pipeline_again(driver, &build->model, MODE_DECODE, &decoded, &code))
        return code;
    build->others = (OtherModes){2, {evaluated.lowered, decoded.lowered}};
    build->prefix = build->model.model->name;
    if (!check_output(build, emits, &error) || !find_runtime(build, &error))
        return driver_fail(driver, &error);
    code = pick_recipe(build);
    if (code != CODE_OK)
        return code;
    order_losses(build->model.lowered);
    if (!pipeline_differentiate(driver, &build->model, true, &code))
        return code;
    if (!add_tensors(build, &error) || !add_forward(build, evaluated.lowered, &error) || !add_backward(build, &error) || !add_decode(build, decoded.lowered, &error))
        return driver_fail(driver, &error);
    code = build->has_recipe ? build_step(build) : CODE_OK;
    if (code != CODE_OK)
        return code;
    return write_files(build, emits, &error) ? report(build, emits) : driver_fail(driver, &error);
}

int verb_build(Driver *driver)
{
    Build build = {.driver = driver};
    int code = CODE_USAGE;
    const unsigned emits = emit_parse(driver, &code);
    if (emits != 0)
        code = build_model(&build, emits);
    store_free(build.store);
    vec_free(&build.entries);
    vec_free(&build.updates);
    return code;
}
