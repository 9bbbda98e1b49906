/* Models as shared objects. */
#include "bfm/build.h"

#include "api/internal.h"
#include "build/build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool check_files(const Build *build, const BfmBuildOptions *options, unsigned emits, BfmError *error)
{
    for (int kind = 0; kind < EMIT_COUNT; kind++) {
        const char *path = build_file(build, (Emit)kind);
        if (!(emits >> kind & 1))
            continue;
        if (module_has_file(build->model.module, path))
            return bfm_error_set(error, BFM_ERROR_INPUT, "the output would replace %s, which the module uses", path);
        if (options->may_write && !options->may_write(options->user, path, error))
            return false;
    }
    return true;
}

/* The folder must take files, and none of them is read: said before anything is compiled. */
static bool check_output(Build *build, const BfmBuildOptions *options, unsigned emits, BfmError *error)
{
    Arena *arena = build->context->arena;
    const char *path = options->out ? options->out : arena_printf(arena, "lib%s.so", build->model.model->name);
    const size_t length = strlen(path);
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (strlen(name) <= 3 || strcmp(path + length - 3, ".so") != 0)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: the name must end in .so; header and others are written beside it", path);
    build->base = arena_strndup(arena, path, length - 3);
    const char *folder = slash ? arena_strndup(arena, path, (size_t)(slash - path) + 1) : ".";
    return check_files(build, options, emits, error) &&
           (access(folder, W_OK | X_OK) == 0 || bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s cannot be written: %s", path, strerror(errno)));
}

/* ---- where the runtime library is ---- */

static bool find_runtime(Build *build, BfmError *error)
{
    static const char *const places[][2] = {{".", "../include/bfm_runtime"}, {".", "../../include/bfm_runtime"}, {".", NULL}};
    Arena *arena = build->context->arena;
    const char *self = api_folder(arena);
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
    return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "libbfm_runtime.so is not beside libbfm.so");
}

/* A recipe is used where one is named or the file has one; otherwise there is no `step`. */
static bool read_recipe(Build *build, const char *name, int *others, BfmError *error)
{
    const Node *items = build->model.module->files[0].root->kids[FILE_ITEMS];
    int recipes = 0;
    for (int i = 0; i < list_count(items); i++)
        recipes += list_at(items, i)->kind == NODE_RECIPE;
    *others = recipes;
    if (!name && recipes != 1)
        return true;
    const Node *recipe = recipe_pick(build->context, build->model.module, name, error);
    build->has_recipe = recipe != NULL;
    return recipe && (recipe_read(build->context, build->model.module, recipe, build->model.lowered, &build->recipe) || context_rejected(error));
}

static bool build_all(Build *build, const char *name, const BfmBuildOptions *options, unsigned emits, int *recipes, BfmError *error)
{
    const BfmContext *context = build->context;
    Module *module = build->model.module;
    const Target target = {.path = module->files[0].path, .name = name};
    const Node *node = context_pick(context, module, &target, NODE_MODEL, error);
    ModelProgram evaluated, decoded;
    if (!node || !model_lower(context, module, node, MODE_TRAIN, &build->model, error) || !model_again(context, &build->model, MODE_EVAL, &evaluated, error) ||
        !model_again(context, &build->model, MODE_DECODE, &decoded, error))
        return false;
    build->others = (OtherModes){2, {evaluated.lowered, decoded.lowered}};
    build->prefix = build->model.model->name;
    return check_output(build, options, emits, error) && find_runtime(build, error) && read_recipe(build, options->recipe, recipes, error) &&
           build_programs(build, evaluated.lowered, decoded.lowered, error) && build_write(build, emits, error);
}

bool bfm_build(BfmModule *module, const char *model, const BfmBuildOptions *options, BfmBuildResult *result, BfmError *error)
{
    _Static_assert((int)BFM_EMIT_OBJ == (int)EMIT_OBJ && (int)BFM_EMIT_SO == (int)EMIT_SO && (int)BFM_EMIT_HEADER == (int)EMIT_HEADER && (int)BFM_EMIT_LLVM == (int)EMIT_LLVM,
                   "the same kinds");
    static const BfmBuildOptions none = {0};
    Build build = {.context = &module->context, .model = {.module = module->module}};
    int recipes = 0;
    options = options ? options : &none;
    *result = (BfmBuildResult){.entry_count = 0};
    const unsigned emits = options->emits ? options->emits : 1u << EMIT_SO | 1u << EMIT_HEADER;
    const bool ok = api_is_sound(module, error) && build_all(&build, model, options, emits, &recipes, error);
    for (int kind = 0; ok && kind < EMIT_COUNT; kind++)
        result->files[kind] = emits >> kind & 1 ? build_file(&build, (Emit)kind) : NULL;
    const char **entries = ARENA_ARRAY(module->context.arena, const char *, build.entries.count + 1);
    for (int e = 0; e < build.entries.count; e++)
        entries[e] = build.entries.items[e].name;
    result->entry_count = ok ? build.entries.count : 0;
    result->entries = entries;
    result->step = build.updates.count > 0;
    result->recipes = recipes;
    build_free(&build);
    return ok;
}
