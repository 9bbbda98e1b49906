/* Pictures, and the stages of a compilation as text. */
#include "bfm/show.h"

#include "bfm/context.h"

#include "api/internal.h"
#include "codegen/compile.h"
#include "opt/passes.h"
#include "report/picture.h"
#include "run/model.h"

enum { COLUMNS = 80 };

static Mode mode_of(BfmMode mode)
{
    static const Mode modes[] = {[BFM_MODE_TRAIN] = MODE_TRAIN, [BFM_MODE_EVAL] = MODE_EVAL, [BFM_MODE_DECODE] = MODE_DECODE};
    return modes[mode];
}

/* ---- pictures ---- */

static bool picture(BfmModule *module, const char *name, const BfmShowOptions *options, Str *out, json_t **json, BfmError *error)
{
    const Node *item = api_item(module, name, error);
    if (!item)
        return false;
    const Lowered *lowered = api_lower(module, item, 0, 0, MODE_TRAIN);
    if (!lowered)
        return context_rejected(error);
    const PictureSheet *sheet = picture_make(module->module, lowered);
    if (options->stage == BFM_STAGE_SVG)
        picture_svg(module->context.arena, sheet, out);
    else
        picture_text(module->context.arena, sheet, options->columns > 0 ? options->columns : COLUMNS, options->color, out);
    *json = picture_json(sheet->root);
    return true;
}

/* ---- programs ---- */

typedef struct Collected {
    PassId wanted;
    Str *text;
} Collected;

static void collect(void *context, PassId pass, const Unit *unit, bool changed, int64_t number)
{
    const Collected *collected = context;
    (void)number;
    if (pass != collected->wanted || !changed)
        return;
    const bool whole = !pass_info(pass)->unit && unit == unit->program->main; /* of a stage over the program */
    str_printf(collected->text, "%s# after %s, %s%s\n", collected->text->length ? "\n" : "", pass_info(pass)->name, whole ? "" : "unit ", whole ? "the program" : unit->name);
    if (whole)
        program_print(unit->program, collected->text);
    else
        unit_print(unit, collected->text);
}

static bool model_of(const BfmContext *context, BfmModule *module, const char *name, Mode mode, ModelProgram *model, BfmError *error)
{
    const Target target = {.path = module->module->files[0].path, .name = name};
    const Node *node = context_pick(context, module->module, &target, NODE_MODEL, error);
    return node && model_lower(context, module->module, node, mode, model, error);
}

static bool ir(BfmModule *module, const char *name, const BfmShowOptions *options, Str *out, BfmError *error)
{
    ModelProgram model;
    if (!model_of(&module->context, module, name, mode_of(options->mode), &model, error) || (options->gradient && !model_differentiate(&module->context, &model, false, error)))
        return false;
    program_print(model.lowered->program, out);
    return true;
}

/* The program on its way to the kernels, as the pass left it. */
static bool after_pass(BfmModule *module, const char *name, const BfmShowOptions *options, Str *out, BfmError *error)
{
    BfmContext watched = module->context;
    PassWatch watch = watched.watch ? *watched.watch : (PassWatch){.limit = 0};
    Collected collected = {.text = out};
    ModelProgram model;
    if (!bfm_pass_exists(options->after, false, error) || !pass_find(options->after, &collected.wanted))
        return false;
    watch.after = collect;
    watch.context = &collected;
    watched.watch = &watch;
    if (!model_of(&watched, module, name, mode_of(options->mode), &model, error) || !model_compile(&watched, &model, mode_of(options->mode), error))
        return false;
    return out->length > 0 || bfm_error_set(error, BFM_ERROR_INPUT, "`%s` changed nothing in this program", options->after);
}

/* Stages after the derivative: of what a training step or an evaluation runs. */
static bool compiled(BfmModule *module, const char *name, const BfmShowOptions *options, Str *out, BfmError *error)
{
    ModelProgram model;
    const Mode mode = mode_of(options->mode);
    const Compiled *made = model_of(&module->context, module, name, mode, &model, error) ? model_compile(&module->context, &model, mode, error) : NULL;
    if (!made)
        return false;
    if (options->stage != BFM_STAGE_SCHEDULE)
        return codegen_print(made->codegen, options->stage == BFM_STAGE_LLVM ? CODEGEN_LLVM : CODEGEN_ASM, out, error);
    schedule_print(made->schedule, out);
    return true;
}

bool bfm_show(BfmModule *module, const char *item, const BfmShowOptions *options, BfmReport *report, BfmError *error)
{
    Str text = {0};
    json_t *json = NULL;
    *report = (BfmReport){.text = NULL};
    const bool drawn = options->stage == BFM_STAGE_PICTURE || options->stage == BFM_STAGE_SVG;
    const bool ok = api_is_sound(module, error) && (drawn                            ? picture(module, item, options, &text, &json, error)
                                                    : options->stage != BFM_STAGE_IR ? compiled(module, item, options, &text, error)
                                                    : options->after                 ? after_pass(module, item, options, &text, error)
                                                                                     : ir(module, item, options, &text, error));
    if (ok)
        *report = api_made(&text, json);
    else
        str_free(&text);
    return ok;
}
