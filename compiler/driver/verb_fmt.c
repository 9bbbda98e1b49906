/* bfmc fmt: the canonical layout. */
#include "tree/printer.h"
#include "file/atomic_file.h"
#include "file/file.h"
#include "driver/verbs.h"
#include "parse/parse.h"

#include <stdio.h>
#include <string.h>

static int format_file(Driver *driver, const char *path)
{
    BfmMappedFile file;
    BfmError error;
    if (!bfm_mapped_file_open(&file, path, &error))
        return driver_fail(driver, &error);
    const int errors = diag_errors(driver->context.diags);
    Node *root = parse_file(driver->context.arena, driver->context.interner, driver->context.diags, path, (const char *)file.data, file.size);
    int code = diag_errors(driver->context.diags) > errors ? CODE_INPUT : CODE_OK;
    if (code == CODE_OK) {
        Str text = {0};
        ast_print(root, &text);
        const bool same = text.length == file.size && memcmp(str_text(&text), file.data, file.size) == 0;
        if (!same && option_flag(driver->options, OPT_FMT_CHECK)) {
            printf("%s\n", path);
            code = CODE_INPUT;
        } else if (!same && !bfm_atomic_rewrite(path, str_text(&text), text.length, &error)) {
            code = driver_fail(driver, &error);
        }
        str_free(&text);
    }
    bfm_mapped_file_close(&file);
    return code;
}

int verb_fmt(Driver *driver)
{
    int code = CODE_OK;
    for (int i = 0; i < driver->options->argument_count; i++) {
        const int one = format_file(driver, driver->options->arguments[i]);
        code = one > code ? one : code;
    }
    const int told = driver_diagnostics(driver);
    return told > code ? told : code;
}
