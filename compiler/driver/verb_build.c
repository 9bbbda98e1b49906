/* bfmc build: a model as a shared object, with a header for programs that run it. */
#include "build/build.h"
#include "driver/model.h"
#include "driver/verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const EMIT_NAMES[] = {[EMIT_OBJ] = "obj", [EMIT_SO] = "so", [EMIT_HEADER] = "header", [EMIT_LLVM] = "llvm"};

/* ---- what was asked for ---- */

/* Bits of Emit; 0 after an error, which is told. */
static unsigned emit_parse(Driver *driver, int *code)
{
    unsigned emits = 0;
    char *rest = NULL, *list = arena_strdup(driver->context.arena, option_text(driver->options, OPT_BUILD_EMIT));
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

static bool check_files(Driver *driver, const Build *build, unsigned emits, BfmError *error)
{
    for (int kind = 0; kind < EMIT_COUNT; kind++)
        if (emits >> kind & 1 && !driver_output(driver, build->model.module, build_file(build, (Emit)kind), error))
            return false;
    return true;
}

/* The folder must take files, and none of them is read: said before anything is compiled. */
static bool check_output(Driver *driver, Build *build, unsigned emits, BfmError *error)
{
    const char *out = option_text(driver->options, OPT_OUT);
    const char *path = out ? out : arena_printf(driver->context.arena, "lib%s.so", build->model.model->name);
    const size_t length = strlen(path);
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (strlen(name) <= 3 || strcmp(path + length - 3, ".so") != 0)
        return bfm_error_set(error, BFM_ERROR_INPUT, "--out %s: the name must end in .so; header and others are written beside it", path);
    build->base = arena_strndup(driver->context.arena, path, length - 3);
    const char *folder = slash ? arena_strndup(driver->context.arena, path, (size_t)(slash - path) + 1) : ".";
    return check_files(driver, build, emits, error) &&
           (access(folder, W_OK | X_OK) == 0 || bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s cannot be written: %s", path, strerror(errno)));
}

/* ---- where the runtime library is ---- */

static bool find_runtime(Build *build, BfmError *error)
{
    static const char *const places[][2] = {{".", NULL}, {"../lib", "../include/bfm_runtime"}, {"../lib/" BFM_LIBRARY_ARCHITECTURE, "../include/bfm_runtime"}};
    Arena *arena = build->context->arena;
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

/* A recipe is used where one is named or the file has one; otherwise there is no `step`. */
static int pick_recipe(Driver *driver, Build *build)
{
    const Node *items = build->model.module->files[0].root->kids[FILE_ITEMS];
    BfmError error;
    int recipes = 0;
    for (int i = 0; i < list_count(items); i++)
        recipes += list_at(items, i)->kind == NODE_RECIPE;
    if (!option_given(driver->options, OPT_RECIPE) && recipes != 1) {
        driver_note(driver, recipes == 0 ? "note: `step` is left out: the file has no recipe; --recipe names one of the library that the file uses"
                                         : "note: `step` is left out: the file has several recipes; say which with --recipe");
        return CODE_OK;
    }
    const Node *recipe = recipe_pick(build->context, build->model.module, option_text(driver->options, OPT_RECIPE), &error);
    build->has_recipe = recipe != NULL;
    if (recipe && !recipe_read(build->context, build->model.module, recipe, build->model.lowered, &build->recipe))
        (void)context_rejected(&error);
    else if (recipe)
        return CODE_OK;
    return driver_fail(driver, &error);
}

static int report(Driver *driver, const Build *build, unsigned emits)
{
    json_t *files = json_array(), *entries = json_array();
    for (int kind = 0; kind < EMIT_COUNT; kind++)
        if (emits >> kind & 1) {
            json_array_append_new(files, json_string(build_file(build, (Emit)kind)));
            driver_note(driver, "%s", build_file(build, (Emit)kind));
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

static int build_model(Driver *driver, Build *build, unsigned emits)
{
    const BfmContext *context = build->context;
    ModelProgram evaluated, decoded;
    BfmError error;
    int code = CODE_OK;
    if (!driver_model(driver, driver->options->arguments[0], MODE_TRAIN, &build->model, &code))
        return code;
    if (!model_again(context, &build->model, MODE_EVAL, &evaluated, &error) || !model_again(context, &build->model, MODE_DECODE, &decoded, &error))
        return driver_fail(driver, &error);
    build->others = (OtherModes){2, {evaluated.lowered, decoded.lowered}};
    build->prefix = build->model.model->name;
    if (!check_output(driver, build, emits, &error) || !find_runtime(build, &error))
        return driver_fail(driver, &error);
    code = pick_recipe(driver, build);
    if (code != CODE_OK)
        return code;
    if (!build_programs(build, evaluated.lowered, decoded.lowered, &error) || !build_write(build, emits, &error))
        return driver_fail(driver, &error);
    return report(driver, build, emits);
}

int verb_build(Driver *driver)
{
    Build build = {.context = &driver->context};
    int code = CODE_USAGE;
    const unsigned emits = emit_parse(driver, &code);
    if (emits != 0)
        code = build_model(driver, &build, emits);
    build_free(&build);
    return code;
}
