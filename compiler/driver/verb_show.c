/* bfmc show: a stage of the compilation as text. */
#include "ast/dump.h"
#include "driver/pipeline.h"
#include "driver/verbs.h"

#include <string.h>

static int show_ast(Driver *driver, Str *out)
{
    const Target target = target_parse(driver->arena, driver->options->arguments[0]);
    int code;
    Module *module = driver_module(driver, target.path, &code);
    if (!module)
        return code;
    const Node *node = module->files[0].root;
    if (target.name) {
        node = module_find_any(module, intern(driver->interner, target.name));
        if (!node)
            return driver_error(driver, BFM_ERROR_INPUT, "%s has nothing named `%s`", target.path, target.name);
    }
    driver->json ? ast_dump_json(node, out) : ast_dump(node, out);
    if (driver->json)
        str_push(out, '\n');
    return driver->json ? diag_errors(driver->diags) > 0 ? CODE_INPUT : CODE_OK : driver_diagnostics(driver);
}

static Mode mode_of(const char *name) { return strcmp(name, "train") == 0 ? MODE_TRAIN : strcmp(name, "eval") == 0 ? MODE_EVAL : MODE_DECODE; }

static int show_ir(Driver *driver, Str *out)
{
    ModelProgram model;
    int code;
    if (!pipeline_model(driver, driver->options->arguments[0], mode_of(option_text(driver->options, OPT_MODE)), &model, &code))
        return code;
    if (option_flag(driver->options, OPT_GRAD) && !pipeline_differentiate(driver, &model, false, &code))
        return code;
    program_print(model.lowered->program, out);
    if (!driver->json)
        return CODE_OK;
    json_t *report = report_new(driver);
    json_object_set_new(report, "text", json_stringn(str_text(out), out->length));
    out->length = 0;
    return report_print(driver, report, CODE_OK);
}

int verb_show(Driver *driver)
{
    Str out = {0};
    const bool ast = strcmp(option_text(driver->options, OPT_EMIT), "ast") == 0;
    int code = ast ? show_ast(driver, &out) : show_ir(driver, &out);
    if (out.length > 0 && (code == CODE_OK || ast)) {
        const int printed = driver_print(driver, &out);
        code = code == CODE_OK ? printed : code;
    }
    str_free(&out);
    return code;
}
