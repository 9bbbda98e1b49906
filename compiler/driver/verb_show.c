/* bfmc show: a picture, or a stage of the compilation as text. */
#include "driver/verbs.h"

#include <bfm/context.h>
#include <bfm/show.h>

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Of the terminal; elsewhere as wide as pages are. */
static int screen_columns(void)
{
    enum { PAGE = 80, NARROWEST = 40, WIDEST = 120 };
    struct winsize size;
    int columns = PAGE;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        columns = size.ws_col;
    return columns < NARROWEST ? NARROWEST : columns > WIDEST ? WIDEST : columns;
}

/* As for messages, but it is standard output that must be a terminal. */
static bool color_of_output(const Driver *driver)
{
    const char *choice = option_text(driver->options, OPT_COLOR), *none = getenv("NO_COLOR");
    if (strcmp(choice, "auto") != 0)
        return strcmp(choice, "always") == 0;
    return !(none && *none) && !option_given(driver->options, OPT_OUT) && isatty(STDOUT_FILENO);
}

/* ---- where it goes ---- */

static int write_out(Driver *driver, const char *text)
{
    const char *path = option_text(driver->options, OPT_OUT);
    BfmError error;
    if (!path)
        return driver_print(driver, text, strlen(text));
    return bfm_file_write(path, text, strlen(text), &error) ? CODE_OK : driver_fail(driver, &error);
}

static int show_text(Driver *driver, const BfmReport *made)
{
    if (!driver->json)
        return write_out(driver, made->text);
    const bool filed = option_given(driver->options, OPT_OUT);
    const int code = filed ? write_out(driver, made->text) : CODE_OK;
    if (code != CODE_OK)
        return code;
    json_t *report = report_new(driver);
    json_object_set_new(report, filed ? "file" : "text", json_string(filed ? option_text(driver->options, OPT_OUT) : made->text));
    if (made->json)
        json_object_set_new(report, "picture", json_loads(made->json, 0, NULL));
    return report_print(driver, report, CODE_OK);
}

/* ---- the verb ---- */

static int show_ast(Driver *driver)
{
    char *text = bfm_module_dump(driver->module, driver->item, driver->json);
    if (!text)
        return driver_error(driver, BFM_ERROR_INPUT, "%s has nothing named `%s`", driver->path, driver->item);
    const int code = driver_diagnostics(driver), printed = write_out(driver, text);
    bfm_text_free(text);
    return code == CODE_OK ? printed : code;
}

static int show_stage(Driver *driver, BfmStage stage)
{
    static const char *const modes[] = {[BFM_MODE_TRAIN] = "train", [BFM_MODE_EVAL] = "eval", [BFM_MODE_DECODE] = "decode"};
    const Options *options = driver->options;
    BfmShowOptions how = {
        .stage = stage, .gradient = option_flag(options, OPT_GRAD), .after = option_text(options, OPT_AFTER), .columns = screen_columns(), .color = color_of_output(driver)};
    for (int mode = BFM_MODE_TRAIN; mode <= BFM_MODE_DECODE; mode++)
        if (strcmp(option_text(options, OPT_MODE), modes[mode]) == 0)
            how.mode = (BfmMode)mode;
    BfmReport made;
    BfmError error;
    if (!bfm_show(driver->module, driver->item, &how, &made, &error))
        return driver_fail(driver, &error);
    if (!driver->json)
        (void)driver_diagnostics(driver); /* warnings */
    const int code = show_text(driver, &made);
    bfm_report_free(&made);
    return code;
}

static const char *stage_of(const Options *options)
{
    const char *out = option_text(options, OPT_OUT);
    const size_t length = out ? strlen(out) : 0;
    const bool svg = length > 4 && strcmp(out + length - 4, ".svg") == 0;
    return svg && !option_given(options, OPT_EMIT) ? "svg" : option_text(options, OPT_EMIT);
}

int verb_show(Driver *driver)
{
    static const char *const stages[] = {
        [BFM_STAGE_PICTURE] = "picture", [BFM_STAGE_SVG] = "svg", [BFM_STAGE_IR] = "ir", [BFM_STAGE_SCHEDULE] = "schedule", [BFM_STAGE_LLVM] = "llvm", [BFM_STAGE_ASM] = "asm"};
    const char *name = stage_of(driver->options);
    BfmError error;
    int code, stage = 0;
    if (option_given(driver->options, OPT_AFTER) && strcmp(name, "ir") != 0)
        return driver_usage(driver, "--after goes with --emit=ir");
    if (option_given(driver->options, OPT_AFTER) && !bfm_pass_exists(option_text(driver->options, OPT_AFTER), false, &error))
        return driver_usage(driver, "%s", error.message);
    if (!driver_load(driver, &code))
        return code;
    if (strcmp(name, "ast") == 0)
        return show_ast(driver);
    while (strcmp(stages[stage], name) != 0)
        stage++;
    return show_stage(driver, (BfmStage)stage);
}
