/* What verbs share: the library's place, errors and reports, files and the items picked from them. */
#include "driver/driver.h"

#include "tree/edit.h"
#include "parse/parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the library ---- */

static const char *library_at(Arena *arena, const char *folder) { return access(arena_printf(arena, "%s/layers.bfm", folder), R_OK) == 0 ? folder : NULL; }

const char *library_find(Arena *arena)
{
    const char *named = getenv("BFM_STDLIB"), *found = NULL;
    if (named && *named)
        return arena_strdup(arena, named);
    char self[4096];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length > 0) {
        self[length] = 0;
        char *slash = strrchr(self, '/');
        *slash = 0;
        found = library_at(arena, arena_printf(arena, "%s/../share/bfm/stdlib", self));
    }
    return found ? found : library_at(arena, BFM_SOURCE_DIR "/stdlib");
}

/* ---- speaking ---- */

int driver_fail(Driver *driver, const BfmError *error)
{
    if (driver->json) {
        json_t *report = report_new(driver);
        json_object_set_new(report, "error", json_string(error->message));
        return report_print(driver, report, (int)error->kind);
    }
    fprintf(stderr, "%s: %s\n", driver->color ? "\033[1;31merror\033[0m" : "error", error->message);
    return (int)error->kind;
}

int driver_error(Driver *driver, BfmErrorKind kind, const char *format, ...)
{
    BfmError error = {.kind = kind};
    va_list args;
    va_start(args, format);
    vsnprintf(error.message, sizeof error.message, format, args);
    va_end(args);
    return driver_fail(driver, &error);
}

int driver_usage(Driver *driver, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("bfmc: ", stderr);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n`bfmc %s --help` says more\n", verb_info(driver->options->verb)->name);
    va_end(args);
    return CODE_USAGE;
}

int driver_need(Driver *driver, const OptionId *options, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!option_given(driver->options, options[i]))
            return driver_usage(driver, "--%s %s is needed", option_info(options[i])->name, option_info(options[i])->argument);
    return CODE_OK;
}

void driver_note(const Driver *driver, const char *format, ...)
{
    if (driver->quiet)
        return;
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

int driver_diagnostics(Driver *driver)
{
    const int errors = diag_errors(driver->diags);
    if (!driver->json && (errors > 0 || !driver->quiet)) {
        Str text = {0};
        diag_print(driver->diags, &text, driver->color);
        fputs(str_text(&text), stderr);
        str_free(&text);
    }
    return errors > 0 ? CODE_INPUT : CODE_OK;
}

json_t *report_new(const Driver *driver)
{
    json_t *report = json_object();
    const char *verb = verb_info(driver->options->verb)->name;
    json_object_set_new(report, "schema", json_sprintf("bfmc.%s/1", verb));
    json_object_set_new(report, "ok", json_true());
    return report;
}

int report_print(Driver *driver, json_t *report, int code)
{
    json_object_set_new(report, "ok", json_boolean(code == CODE_OK));
    if (diag_count(driver->diags) > 0) {
        Str text = {0};
        diag_json(driver->diags, &text);
        json_object_set_new(report, "diagnostics", json_loadb(str_text(&text), text.length, 0, NULL));
        str_free(&text);
    }
    const int failed = json_dumpf(report, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) != 0 || fputc('\n', stdout) == EOF || fflush(stdout) != 0;
    json_decref(report);
    return failed ? CODE_ENVIRONMENT : code;
}

int driver_print(Driver *driver, const Str *text)
{
    if (fwrite(str_text(text), 1, text->length, stdout) != text->length || fflush(stdout) != 0)
        return driver_error(driver, BFM_ERROR_ENVIRONMENT, "standard output cannot be written");
    return CODE_OK;
}

/* ---- files ---- */

Target target_parse(Arena *arena, const char *argument)
{
    const char *colon = strrchr(argument, ':');
    if (!colon || !parse_is_name(colon + 1) || access(argument, F_OK) == 0)
        return (Target){argument, NULL};
    return (Target){arena_strndup(arena, argument, (size_t)(colon - argument)), colon + 1};
}

/* --set: below the item that the command names, else the path as written, else below the first model of the file that has it. */
static int set_one(Driver *driver, Module *module, const char *text)
{
    const char *equals = strchr(text, '=');
    BfmAstStatus status = BFM_AST_NO_SUCH_PATH;
    if (!equals || equals == text) {
        return driver_usage(driver, "--set takes PATH=VALUE, not `%s`", text);
    }
    const char *path = arena_strndup(driver->arena, text, (size_t)(equals - text));
    Node *value = parse_expression(driver->arena, driver->interner, driver->diags, "--set", equals + 1, strlen(equals + 1));
    if (value->kind == NODE_ERROR || diag_errors(driver->diags) > 0)
        return CODE_OK; /* told as a diagnostic */
    const Target target = target_parse(driver->arena, driver->options->arguments[0]);
    Node *named = target.name ? (Node *)module_find_any(module, intern(driver->interner, target.name)) : NULL;
    if (named && (named->kind == NODE_MODEL || named->kind == NODE_BLOCK || named->kind == NODE_DEFINITION))
        status = bfm_ast_set(driver->arena, driver->interner, named, path, value);
    for (int i = 0; i < module->file_count && status == BFM_AST_NO_SUCH_PATH; i++)
        status = bfm_ast_set(driver->arena, driver->interner, module->files[i].root, path, value);
    const Node *items = module->files[0].root->kids[FILE_ITEMS];
    for (int i = 0; i < list_count(items) && status == BFM_AST_NO_SUCH_PATH; i++)
        if (list_at(items, i)->kind == NODE_MODEL)
            status = bfm_ast_set(driver->arena, driver->interner, list_at(items, i), path, value);
    return status == BFM_AST_OK ? CODE_OK : driver_error(driver, BFM_ERROR_INPUT, "--set %s: %s", path, bfm_ast_status_text(status));
}

Module *driver_module(Driver *driver, const char *path, int *code)
{
    const char *message = NULL;
    *code = CODE_INPUT;
    if (!driver->library) {
        *code = driver_error(driver, BFM_ERROR_ENVIRONMENT, "the standard library was not found; set BFM_STDLIB to the folder that holds layers.bfm");
        return NULL;
    }
    Module *module = module_load(driver->arena, driver->interner, driver->diags, driver->library, path, &message);
    if (!module) {
        *code = driver_error(driver, BFM_ERROR_INPUT, "%s", message ? message : "the file cannot be read");
        return NULL;
    }
    BfmError error;
    if (!driver_output(driver, module, option_text(driver->options, OPT_OUT), &error)) {
        *code = driver_fail(driver, &error);
        return NULL;
    }
    const OptionValue *sets = &driver->options->values[OPT_SET];
    for (int i = 0; i < sets->count; i++)
        if ((*code = set_one(driver, module, sets->texts[i])) != CODE_OK)
            return NULL;
    return module;
}

static const char *kind_word(NodeKind kind) { return kind == NODE_MODEL ? "model" : kind == NODE_RECIPE ? "recipe" : node_kind_text(kind); }

static const Node *pick_named(Driver *driver, const Module *module, const Target *target, NodeKind kind)
{
    const Symbol name = intern(driver->interner, target->name);
    const Node *found = module_find(module, name, kind, -1);
    if (found)
        return found;
    const Node *other = module_find_any(module, name);
    const Symbol similar = module_similar(module, target->name, kind, -1);
    if (other)
        driver_error(driver, BFM_ERROR_INPUT, "%s: `%s` is a %s, and a %s is needed here", target->path, target->name, node_kind_text(other->kind), kind_word(kind));
    else if (similar)
        driver_error(driver, BFM_ERROR_INPUT, "%s has no %s `%s`; did you mean `%s`?", target->path, kind_word(kind), target->name, similar);
    else
        driver_error(driver, BFM_ERROR_INPUT, "%s has no %s `%s`", target->path, kind_word(kind), target->name);
    return NULL;
}

const Node *driver_pick(Driver *driver, const Module *module, const Target *target, NodeKind kind, int *code)
{
    *code = CODE_INPUT;
    if (target->name)
        return pick_named(driver, module, target, kind);
    const Node *items = module->files[0].root->kids[FILE_ITEMS], *found = NULL;
    Str names = {0};
    int count = 0;
    for (int i = 0; i < list_count(items); i++)
        if (list_at(items, i)->kind == kind) {
            found = list_at(items, i);
            str_printf(&names, "%s%s:%s", count++ ? ", " : "", target->path, found->name);
        }
    if (count != 1) {
        if (count == 0)
            driver_error(driver, BFM_ERROR_INPUT, "%s has no %s", target->path, kind_word(kind));
        else
            driver_error(driver, BFM_ERROR_INPUT, "%s has %d %ss; say which: %s", target->path, count, kind_word(kind), str_text(&names));
        found = NULL;
    }
    str_free(&names);
    return found;
}
