/* bfmc show: a picture, or a stage of the compilation as text. */
#include "tree/dump.h"
#include "codegen/compile.h"
#include "driver/item.h"
#include "report/picture.h"
#include "driver/model.h"
#include "driver/verbs.h"
#include "driver/watch.h"
#include "file/atomic_file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* ---- the picture ---- */

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

static int show_picture(Driver *driver, bool svg, Str *out, json_t **picture)
{
    const Target target = target_parse(driver->context.arena, driver->options->arguments[0]);
    int code;
    Module *module = driver_module(driver, target.path, &code);
    if (!module)
        return code;
    const Node *item = diag_errors(driver->context.diags) == 0 ? item_pick(driver, module, &target, &code) : NULL;
    if (!item && diag_errors(driver->context.diags) == 0)
        return code;
    const Lowered *lowered = item ? item_lower(driver, module, item, 0, MODE_TRAIN) : NULL;
    if (!lowered) {
        code = driver_diagnostics(driver);
        return driver->json ? report_print(driver, report_new(driver), code) : code;
    }
    const PictureSheet *sheet = picture_make(module, lowered);
    if (svg)
        picture_svg(driver->context.arena, sheet, out);
    else
        picture_text(driver->context.arena, sheet, screen_columns(), color_of_output(driver), out);
    *picture = picture_json(sheet->root);
    return CODE_OK;
}

/* ---- stages ---- */

static int show_ast(Driver *driver, Str *out)
{
    const Target target = target_parse(driver->context.arena, driver->options->arguments[0]);
    int code;
    Module *module = driver_module(driver, target.path, &code);
    if (!module)
        return code;
    const Node *node = module->files[0].root;
    if (target.name) {
        node = module_find_any(module, intern(driver->context.interner, target.name));
        if (!node)
            return driver_error(driver, BFM_ERROR_INPUT, "%s has nothing named `%s`", target.path, target.name);
    }
    driver->json ? ast_dump_json(node, out) : ast_dump(node, out);
    if (driver->json)
        str_push(out, '\n');
    return driver->json ? diag_errors(driver->context.diags) > 0 ? CODE_INPUT : CODE_OK : driver_diagnostics(driver);
}

static Mode mode_of(const char *name) { return strcmp(name, "train") == 0 ? MODE_TRAIN : strcmp(name, "eval") == 0 ? MODE_EVAL : MODE_DECODE; }

static int show_ir(Driver *driver, Str *out)
{
    ModelProgram model;
    int code;
    if (!driver_model(driver, driver->options->arguments[0], mode_of(option_text(driver->options, OPT_MODE)), &model, &code))
        return code;
    BfmError error;
    if (option_flag(driver->options, OPT_GRAD) && !model_differentiate(&driver->context, &model, false, &error))
        return driver_fail(driver, &error);
    program_print(model.lowered->program, out);
    return CODE_OK;
}

/* The program on its way to the kernels, as the pass left it. */
static int show_after(Driver *driver, Str *out)
{
    ModelProgram model;
    int code;
    const Mode mode = mode_of(option_text(driver->options, OPT_MODE));
    if (!driver_model(driver, driver->options->arguments[0], mode, &model, &code))
        return code;
    BfmError error;
    if (!model_compile(&driver->context, &model, mode, &error))
        return driver_fail(driver, &error);
    const Str *text = watch_text(driver);
    if (text->length == 0)
        return driver_error(driver, BFM_ERROR_INPUT, "`%s` changed nothing in this program", option_text(driver->options, OPT_AFTER));
    str_append_n(out, str_text(text), text->length);
    return CODE_OK;
}

static int show_code(Driver *driver, const Compiled *compiled, CodegenText form, Str *out)
{
    BfmError error;
    return codegen_print(compiled->codegen, form, out, &error) ? CODE_OK : driver_fail(driver, &error);
}

/* Stages after the derivative: of what a training step or an evaluation runs. */
static int show_compiled(Driver *driver, const char *stage, Str *out)
{
    ModelProgram model;
    int code;
    const Mode mode = mode_of(option_text(driver->options, OPT_MODE));
    if (!driver_model(driver, driver->options->arguments[0], mode, &model, &code))
        return code;
    BfmError error;
    const Compiled *compiled = model_compile(&driver->context, &model, mode, &error);
    if (!compiled)
        return driver_fail(driver, &error);
    if (strcmp(stage, "schedule") == 0)
        schedule_print(compiled->schedule, out);
    else
        return show_code(driver, compiled, strcmp(stage, "llvm") == 0 ? CODEGEN_LLVM : CODEGEN_ASM, out);
    return CODE_OK;
}

/* ---- where it goes ---- */

static int write_out(Driver *driver, const Str *text)
{
    const char *path = option_text(driver->options, OPT_OUT);
    BfmError error;
    if (!path)
        return driver_print(driver, text);
    return bfm_atomic_write(path, str_text(text), text->length, &error) ? CODE_OK : driver_fail(driver, &error);
}

static int show_text(Driver *driver, const Str *out, json_t *picture)
{
    if (!driver->json)
        return write_out(driver, out);
    json_t *report = report_new(driver);
    if (option_given(driver->options, OPT_OUT)) {
        const int code = write_out(driver, out);
        if (code != CODE_OK) {
            json_decref(report);
            return code;
        }
        json_object_set_new(report, "file", json_string(option_text(driver->options, OPT_OUT)));
    } else {
        json_object_set_new(report, "text", json_stringn(str_text(out), out->length));
    }
    if (picture)
        json_object_set(report, "picture", picture);
    return report_print(driver, report, CODE_OK);
}

static const char *stage_of(const Driver *driver)
{
    const char *out = option_text(driver->options, OPT_OUT);
    const size_t length = out ? strlen(out) : 0;
    const bool svg = length > 4 && strcmp(out + length - 4, ".svg") == 0;
    return svg && !option_given(driver->options, OPT_EMIT) ? "svg" : option_text(driver->options, OPT_EMIT);
}

int verb_show(Driver *driver)
{
    Str out = {0};
    json_t *picture = NULL;
    const char *stage = stage_of(driver);
    int code;
    if (option_given(driver->options, OPT_AFTER) && strcmp(stage, "ir") != 0)
        return driver_usage(driver, "--after goes with --emit=ir");
    if (strcmp(stage, "ast") == 0) {
        code = show_ast(driver, &out);
        const int printed = out.length > 0 ? write_out(driver, &out) : CODE_OK;
        code = code == CODE_OK ? printed : code;
    } else {
        const bool drawn = strcmp(stage, "picture") == 0 || strcmp(stage, "svg") == 0;
        code = drawn                      ? show_picture(driver, strcmp(stage, "svg") == 0, &out, &picture)
               : strcmp(stage, "ir") == 0 ? (option_given(driver->options, OPT_AFTER) ? show_after : show_ir)(driver, &out)
                                          : show_compiled(driver, stage, &out);
        code = code == CODE_OK && (!drawn || picture) ? show_text(driver, &out, picture) : code;
    }
    json_decref(picture);
    str_free(&out);
    return code;
}
