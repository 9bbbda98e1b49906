/* bfmc fmt: the canonical layout. */
#include "driver/verbs.h"

#include <stdio.h>

/* A file with errors is left alone. */
static int format_module(Driver *driver, BfmModule *module, const char *path)
{
    BfmError error = {.kind = BFM_OK};
    if (bfm_error_count(module) > 0)
        return CODE_INPUT;
    if (!option_flag(driver->options, OPT_FMT_CHECK))
        return bfm_module_format(module, &error) ? CODE_OK : driver_fail(driver, &error);
    if (bfm_module_is_formatted(module, &error))
        return CODE_OK;
    if (error.kind != BFM_OK)
        return driver_fail(driver, &error);
    printf("%s\n", path);
    return CODE_INPUT;
}

static int format_file(Driver *driver, const char *path)
{
    BfmError error;
    BfmModule *module = bfm_module_read(driver->context, path, &error);
    if (!module)
        return driver_fail(driver, &error);
    driver->subject = module;
    driver->printed = 0;
    const int code = format_module(driver, module, path), diagnosed = driver_diagnostics(driver);
    driver->subject = NULL;
    bfm_module_free(module);
    return diagnosed > code ? diagnosed : code;
}

int verb_fmt(Driver *driver)
{
    int code = CODE_OK;
    if (!driver_context(driver, &code))
        return code;
    for (int i = 0; i < driver->options->argument_count; i++) {
        const int one = format_file(driver, driver->options->arguments[i]);
        code = one > code ? one : code;
    }
    return code;
}
