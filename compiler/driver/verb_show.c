/* bfmc show: a stage of the compilation as text. */
#include "ast/dump.h"
#include "codegen/compile.h"
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
    if (!pipeline_model(driver, driver->options->arguments[0], mode, &model, &code))
        return code;
    const Compiled *compiled = pipeline_compile(driver, &model, mode, &code);
    if (!compiled)
        return code;
    if (strcmp(stage, "schedule") == 0)
        schedule_print(compiled->schedule, out);
    else
        return show_code(driver, compiled, strcmp(stage, "llvm") == 0 ? CODEGEN_LLVM : CODEGEN_ASM, out);
    return CODE_OK;
}

static int show_text(Driver *driver, Str *out, int code)
{
    if (!driver->json)
        return driver_print(driver, out);
    json_t *report = report_new(driver);
    json_object_set_new(report, "text", json_stringn(str_text(out), out->length));
    return report_print(driver, report, code);
}

int verb_show(Driver *driver)
{
    Str out = {0};
    const char *stage = option_text(driver->options, OPT_EMIT);
    int code;
    if (strcmp(stage, "ast") == 0) {
        code = show_ast(driver, &out);
        const int printed = out.length > 0 ? driver_print(driver, &out) : CODE_OK;
        code = code == CODE_OK ? printed : code;
    } else {
        code = strcmp(stage, "ir") == 0 ? show_ir(driver, &out) : show_compiled(driver, stage, &out);
        code = code == CODE_OK ? show_text(driver, &out, code) : code;
    }
    str_free(&out);
    return code;
}
