/* What verbs share: the context and the module they work on, errors, diagnostics and reports. */
#include "driver/driver.h"

#include <bfm/context.h>

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the context and the module ---- */

static void hear_note(void *driver, const char *text) { driver_note(driver, "%s", text); }

static bool passes_wanted(const Options *options)
{
    return option_given(options, OPT_WITHOUT_PASS) || option_flag(options, OPT_TIME_PASSES) || option_flag(options, OPT_VERIFY_PASSES);
}

BfmContext *driver_context(Driver *driver, int *code)
{
    const Options *options = driver->options;
    const OptionValue *without = &options->values[OPT_WITHOUT_PASS];
    const BfmContextOptions how = {.note = hear_note, .listener = driver};
    const BfmPassOptions passes = {
        .time = option_flag(options, OPT_TIME_PASSES), .verify = option_flag(options, OPT_VERIFY_PASSES), .without = without->texts, .without_count = without->count};
    BfmError error;
    driver->context = bfm_context_new(&how, &error);
    if (!driver->context) {
        *code = driver_fail(driver, &error);
        return NULL;
    }
    if (!passes_wanted(options) || bfm_context_passes(driver->context, &passes, &error))
        return driver->context;
    *code = driver_usage(driver, "%s", error.message);
    return NULL;
}

static bool sets_are_settings(Driver *driver, int *code)
{
    const OptionValue *sets = &driver->options->values[OPT_SET];
    for (int i = 0; i < sets->count; i++) {
        const char *equals = strchr(sets->texts[i], '=');
        if (equals && equals != sets->texts[i])
            continue;
        *code = driver_usage(driver, "--set takes PATH=VALUE, not `%s`", sets->texts[i]);
        return false;
    }
    return true;
}

static bool load(Driver *driver, BfmError *error)
{
    const OptionValue *sets = &driver->options->values[OPT_SET];
    driver->subject = driver->module = bfm_module_load(driver->context, driver->path, error);
    for (int i = 0; driver->module && i < sets->count; i++)
        if (!bfm_module_override(driver->module, driver->item, sets->texts[i], error))
            return false;
    return driver->module && driver_output(driver, option_text(driver->options, OPT_OUT), error);
}

bool driver_load(Driver *driver, int *code)
{
    BfmError error;
    if (!sets_are_settings(driver, code) || !driver_context(driver, code))
        return false;
    driver->path = target_split(driver->options->arguments[0], &driver->item);
    if (load(driver, &error))
        return true;
    *code = driver_fail(driver, &error);
    return false;
}

void driver_close(Driver *driver)
{
    char *times = driver->context ? bfm_context_pass_times(driver->context) : NULL;
    if (times)
        fputs(times, stderr);
    bfm_text_free(times);
    bfm_module_free(driver->module);
    bfm_context_free(driver->context);
    free(driver->path);
}

/* ---- speaking ---- */

int driver_fail(Driver *driver, const BfmError *error)
{
    if (!error->message[0] && driver->subject) {
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
    const int errors = driver->subject ? bfm_error_count(driver->subject) : 0;
    if (driver->subject && !driver->json && (errors > 0 || !driver->quiet)) {
        char *text = bfm_diagnostics_text_from(driver->subject, driver->printed, driver->color);
        fputs(text, stderr);
        bfm_text_free(text);
        driver->printed = bfm_diagnostic_count(driver->subject);
    }
    return errors > 0 ? CODE_INPUT : CODE_OK;
}

json_t *report_new(const Driver *driver)
{
    json_t *report = json_object();
    json_object_set_new(report, "schema", json_sprintf("bfmc.%s/1", verb_info(driver->options->verb)->name));
    json_object_set_new(report, "ok", json_true());
    return report;
}

json_t *report_of(const Driver *driver, const char *json)
{
    json_t *report = report_new(driver), *members = json ? json_loads(json, JSON_ALLOW_NUL, NULL) : NULL;
    if (members)
        json_object_update(report, members);
    json_decref(members);
    return report;
}

int report_print(Driver *driver, json_t *report, int code)
{
    char *diagnostics = driver->subject ? bfm_diagnostics_json(driver->subject) : NULL;
    json_object_set_new(report, "ok", json_boolean(code == CODE_OK));
    json_object_set_new(report, "diagnostics", diagnostics ? json_loads(diagnostics, 0, NULL) : json_array());
    bfm_text_free(diagnostics);
    const int failed = json_dumpf(report, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) != 0 || fputc('\n', stdout) == EOF || fflush(stdout) != 0;
    json_decref(report);
    return failed ? CODE_ENVIRONMENT : code;
}

int driver_report(Driver *driver, BfmReport *report, int code)
{
    const int printed = driver->json   ? report_print(driver, report_of(driver, report->json), code)
                        : report->text ? driver_print(driver, report->text, report->text_length)
                                       : CODE_OK;
    bfm_report_free(report);
    return code != CODE_OK ? code : printed;
}

int driver_written(Driver *driver, bool ok, BfmReport *report, const BfmError *error)
{
    if (!ok)
        return driver_fail(driver, error);
    (void)driver_diagnostics(driver); /* warnings */
    const int code = driver->json ? report_print(driver, report_of(driver, report->json), CODE_OK) : CODE_OK;
    if (!driver->json)
        driver_note(driver, "%s", report->text);
    bfm_report_free(report);
    return code;
}

int driver_print(Driver *driver, const char *text, size_t length)
{
    if (fwrite(text, 1, length, stdout) != length || fflush(stdout) != 0)
        return driver_error(driver, BFM_ERROR_ENVIRONMENT, "standard output cannot be written");
    return CODE_OK;
}

/* ---- files ---- */

static bool is_name(const char *text)
{
    if (!isalpha((unsigned char)*text) && *text != '_')
        return false;
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && *text != '_')
            return false;
    return true;
}

char *target_split(const char *text, const char **name)
{
    const char *colon = strrchr(text, ':');
    const bool named = colon && is_name(colon + 1) && access(text, F_OK) != 0;
    *name = named ? colon + 1 : NULL;
    return named ? strndup(text, (size_t)(colon - text)) : strdup(text);
}
