/* What verbs share: the library's place, errors and reports, files and the items picked from them. */
#include "driver/driver.h"

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
    if (error_in_diagnostics(error)) {
        const int code = driver_diagnostics(driver);
        return driver->json ? report_print(driver, report_new(driver), code) : code;
    }
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
    const Diagnostics *diags = driver->context.diags;
    const int errors = diag_errors(diags), first = driver->printed;
    if (!driver->json && (errors > 0 || !driver->quiet)) {
        Str text = {0};
        diag_print_from(diags, first, &text, driver->color);
        fputs(str_text(&text), stderr);
        str_free(&text);
        driver->printed = diag_count(diags);
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
    Str text = {0};
    diag_json(driver->context.diags, &text);
    json_object_set_new(report, "diagnostics", json_loadb(str_text(&text), text.length, 0, NULL));
    str_free(&text);
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

bool driver_overrides(Driver *driver, Overrides *overrides, int *code)
{
    const OptionValue *sets = &driver->options->values[OPT_SET];
    for (int i = 0; i < sets->count; i++) {
        const char *equals = strchr(sets->texts[i], '=');
        if (equals && equals != sets->texts[i])
            continue;
        *code = driver_usage(driver, "--set takes PATH=VALUE, not `%s`", sets->texts[i]);
        return false;
    }
    *overrides = (Overrides){sets->count, sets->texts};
    return true;
}

Module *driver_module(Driver *driver, const char *path, int *code)
{
    BfmError error;
    Overrides overrides;
    const Target target = {path, target_parse(driver->context.arena, driver->options->arguments[0]).name};
    if (!driver_overrides(driver, &overrides, code))
        return NULL;
    Module *module = context_module(&driver->context, &target, &overrides, &error);
    if (module && driver_output(driver, module, option_text(driver->options, OPT_OUT), &error))
        return module;
    *code = driver_fail(driver, &error);
    return NULL;
}

const Node *driver_pick(Driver *driver, const Module *module, const Target *target, NodeKind kind, int *code)
{
    BfmError error;
    const Node *found = context_pick(&driver->context, module, target, kind, &error);
    if (!found)
        *code = driver_fail(driver, &error);
    return found;
}
