/* bfmc explain: the catalogue of diagnostics. */
#include "driver/verbs.h"

#include <ctype.h>
#include <string.h>

static const char *severity_text(DiagCode code)
{
    switch (diag_severity(code)) {
    case SEVERITY_ERROR: return "error";
    case SEVERITY_WARNING: return "warning";
    case SEVERITY_NOTE: return "note";
    }
    return "";
}

static json_t *code_json(DiagCode code)
{
    /* json_string gives NULL for bytes that are not UTF-8, which the example of E0105 has */
    return json_pack("{s:s, s:s, s:s, s:s, s:o*, s:o*}", "code", diag_name(code), "severity", severity_text(code), "title", diag_title(code), "explanation", diag_explanation(code),
                     "bad", json_string(diag_example(code, false)), "good", json_string(diag_example(code, true)));
}

static void example(Str *out, const char *title, const char *text)
{
    if (!*text)
        return;
    str_printf(out, "\n%s:\n\n    ", title);
    for (; *text; text++) {
        str_push(out, *text);
        if (*text == '\n' && text[1])
            str_append(out, "    ");
    }
}

static void code_text(DiagCode code, Str *out)
{
    str_printf(out, "%s[%s]: %s\n\n%s\n", severity_text(code), diag_name(code), diag_title(code), diag_explanation(code));
    example(out, "Gives it", diag_example(code, false));
    example(out, "Does not", diag_example(code, true));
}

static int explain_all(Driver *driver, Str *out)
{
    json_t *codes = json_array();
    for (int code = 0; code < DIAG_COUNT; code++) {
        str_printf(out, "%s  %s\n", diag_name((DiagCode)code), diag_title((DiagCode)code));
        json_array_append_new(codes, code_json((DiagCode)code));
    }
    if (driver->json) {
        json_t *report = report_new(driver);
        json_object_set(report, "codes", codes);
        json_decref(codes);
        return report_print(driver, report, CODE_OK);
    }
    json_decref(codes);
    return driver_print(driver, out);
}

static int explain_one(Driver *driver, const char *word, Str *out)
{
    char name[16] = "";
    DiagCode code;
    for (size_t i = 0; word[i] && i + 1 < sizeof name; i++)
        name[i] = (char)toupper((unsigned char)word[i]);
    if (!diag_find(name, &code))
        return driver_error(driver, BFM_ERROR_INPUT, "there is no diagnostic `%s`; `bfmc explain` lists them", word);
    if (driver->json) {
        json_t *report = report_new(driver), *entry = code_json(code);
        json_object_update(report, entry);
        json_decref(entry);
        return report_print(driver, report, CODE_OK);
    }
    code_text(code, out);
    return driver_print(driver, out);
}

int verb_explain(Driver *driver)
{
    Str out = {0};
    const int code = driver->options->argument_count == 0 ? explain_all(driver, &out) : explain_one(driver, driver->options->arguments[0], &out);
    str_free(&out);
    return code;
}
