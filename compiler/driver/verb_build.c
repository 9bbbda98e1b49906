/* bfmc build: a model as a shared object, with a header for programs that run it. */
#include "driver/verbs.h"

#include <bfm/build.h>

#include <string.h>

static const char *const EMIT_NAMES[] = {[BFM_EMIT_OBJ] = "obj", [BFM_EMIT_SO] = "so", [BFM_EMIT_HEADER] = "header", [BFM_EMIT_LLVM] = "llvm"};

/* Bits of BfmEmit; 0 after an error, which is reported. */
static unsigned emit_parse(Driver *driver, int *code)
{
    unsigned emits = 0;
    for (const char *word = option_text(driver->options, OPT_BUILD_EMIT); *word; word += strspn(word, ",")) {
        const int length = (int)strcspn(word, ",");
        int kind = 0;
        while (length > 0 && kind < BFM_EMIT_COUNT && ((int)strlen(EMIT_NAMES[kind]) != length || strncmp(word, EMIT_NAMES[kind], (size_t)length) != 0))
            kind++;
        if (kind == BFM_EMIT_COUNT) {
            *code = driver_usage(driver, "--emit has no kind `%.*s`; it takes obj, so, header and llvm, separated by commas", length, word);
            return 0;
        }
        emits |= length > 0 ? 1u << kind : 0;
        word += length;
    }
    if (emits == 0)
        *code = driver_usage(driver, "--emit needs one of obj, so, header and llvm");
    return emits;
}

static bool may_write(void *user, const char *path, BfmError *error) { return driver_output(user, path, error); }

static json_t *result_json(const Driver *driver, const BfmBuildResult *result)
{
    json_t *report = report_new(driver), *files = json_array(), *entries = json_array();
    for (int kind = 0; kind < BFM_EMIT_COUNT; kind++)
        if (result->files[kind])
            json_array_append_new(files, json_string(result->files[kind]));
    for (int e = 0; e < result->entry_count; e++)
        json_array_append_new(entries, json_string(result->entries[e]));
    json_object_set_new(report, "files", files);
    json_object_set_new(report, "entries", entries);
    json_object_set_new(report, "step", json_boolean(result->step));
    return report;
}

static int report(Driver *driver, const BfmBuildResult *result)
{
    if (!result->step)
        driver_note(driver, result->recipes == 0 ? "note: `step` is left out: the file has no recipe; --recipe names one of the library that the file uses"
                                                 : "note: `step` is left out: the file has several recipes; say which with --recipe");
    for (int kind = 0; kind < BFM_EMIT_COUNT; kind++)
        if (result->files[kind])
            driver_note(driver, "%s", result->files[kind]);
    return driver->json ? report_print(driver, result_json(driver, result), CODE_OK) : CODE_OK;
}

int verb_build(Driver *driver)
{
    int code = CODE_USAGE;
    BfmError error;
    BfmBuildResult result;
    const BfmBuildOptions how = {.out = option_text(driver->options, OPT_OUT),
                                 .emits = emit_parse(driver, &code),
                                 .recipe = option_text(driver->options, OPT_RECIPE),
                                 .may_write = may_write,
                                 .user = driver};
    if (how.emits == 0 || !driver_load(driver, &code))
        return code;
    if (!bfm_build(driver->module, driver->item, &how, &result, &error))
        return driver_fail(driver, &error);
    (void)driver_diagnostics(driver); /* warnings */
    return report(driver, &result);
}
