/* bfmc explain: the catalogue of diagnostics. */
#include "driver/verbs.h"

#include <stdio.h>
#include <stdlib.h>

static const char *severity_text(BfmSeverity severity)
{
    static const char *const words[] = {[BFM_SEVERITY_ERROR] = "error", [BFM_SEVERITY_WARNING] = "warning", [BFM_SEVERITY_NOTE] = "note"};
    return words[severity];
}

static json_t *kind_json(const BfmDiagnosticKind *kind)
{
    /* json_string gives NULL for bytes that are not UTF-8, which the example of E0105 has */
    return json_pack("{s:s, s:s, s:s, s:s, s:o*, s:o*}", "code", kind->code, "severity", severity_text(kind->severity), "title", kind->title, "explanation", kind->explanation,
                     "bad", json_string(kind->bad), "good", json_string(kind->good));
}

static void print_example(const char *title, const char *text)
{
    if (!*text)
        return;
    printf("\n%s:\n\n    ", title);
    for (; *text; text++) {
        putchar(*text);
        if (*text == '\n' && text[1])
            fputs("    ", stdout);
    }
}

static void print_kind(const BfmDiagnosticKind *kind)
{
    printf("%s[%s]: %s\n\n%s\n", severity_text(kind->severity), kind->code, kind->title, kind->explanation);
    print_example("Gives it", kind->bad);
    print_example("Does not", kind->good);
}

static int explain_all(Driver *driver)
{
    json_t *codes = json_array();
    BfmDiagnosticKind kind;
    for (int i = 0; bfm_diagnostic_kind(i, &kind); i++) {
        if (!driver->json)
            printf("%s  %s\n", kind.code, kind.title);
        json_array_append_new(codes, kind_json(&kind));
    }
    if (driver->json) {
        json_t *report = report_new(driver);
        json_object_set(report, "codes", codes);
        json_decref(codes);
        return report_print(driver, report, CODE_OK);
    }
    json_decref(codes);
    return CODE_OK;
}

static int explain_one(Driver *driver, const char *code)
{
    BfmDiagnosticKind kind;
    if (!bfm_diagnostic_find(code, &kind))
        return driver_error(driver, BFM_ERROR_INPUT, "there is no diagnostic `%s`; `bfmc explain` lists them", code);
    if (driver->json) {
        json_t *report = report_new(driver), *entry = kind_json(&kind);
        json_object_update(report, entry);
        json_decref(entry);
        return report_print(driver, report, CODE_OK);
    }
    print_kind(&kind);
    return CODE_OK;
}

int verb_explain(Driver *driver) { return driver->options->argument_count == 0 ? explain_all(driver) : explain_one(driver, driver->options->arguments[0]); }
