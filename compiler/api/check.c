/* Diagnostics and reports of a module. */
#include "bfm/check.h"

#include "api/internal.h"
#include "lower/groups.h"
#include "report/check_cost.h"
#include "report/check_gradients.h"
#include "report/report_check.h"
#include "report/report_schedule.h"
#include "report/report_space.h"
#include "run/model.h"
#include "run/unreached.h"

#include <stdlib.h>
#include <string.h>

enum { CONTEXT_FALLBACK = 1024, BATCH_FALLBACK = 8, GRADIENT_BATCH = 2, GRADIENT_LENGTH = 8, GRADIENT_WIDTH = 16 };

static bool is_model(const Node *item) { return item->kind == NODE_MODEL; }

const Node *api_item(const BfmModule *module, const char *name, BfmError *error)
{
    const Target target = {.path = module->module->files[0].path, .name = name};
    if (name) {
        const Symbol symbol = intern(module->context.interner, name);
        const Node *found = module_find(module->module, symbol, NODE_BLOCK, -1);
        found = found ? found : module_find(module->module, symbol, NODE_DEFINITION, AST_DEF_LAYER);
        return found ? found : context_pick(&module->context, module->module, &target, NODE_MODEL, error);
    }
    const Node *items = module->module->files[0].root->kids[FILE_ITEMS];
    int models = 0, blocks = 0;
    for (int i = 0; i < list_count(items); i++) {
        models += is_model(list_at(items, i));
        blocks += list_at(items, i)->kind == NODE_BLOCK;
    }
    return context_pick(&module->context, module->module, &target, models == 0 && blocks > 0 ? NODE_BLOCK : NODE_MODEL, error);
}

Lowered *api_lower(const BfmModule *module, const Node *item, int64_t width, int64_t length, Mode mode)
{
    const LowerOptions options = {.mode = mode};
    return is_model(item) ? lower_model(module->module, item, &options) : lower_block(module->module, item, width, length > 0 ? length : CONTEXT_FALLBACK, &options);
}

bool api_is_sound(const BfmModule *module, BfmError *error) { return diag_errors(module->context.diags) == 0 || context_rejected(error); }

bool bfm_check(BfmModule *module, const char *item)
{
    BfmError error;
    const Node *items = module->module->files[0].root->kids[FILE_ITEMS];
    bool ok = true;
    if (item) {
        const Node *node = api_item(module, item, &error);
        return node && api_lower(module, node, 0, 0, MODE_TRAIN) && diag_errors(module->context.diags) == 0;
    }
    lower_declarations(module->module);
    (void)bfm_spaces(module->module);
    for (int i = 0; i < list_count(items); i++)
        if (list_at(items, i)->kind == NODE_MODEL)
            ok = api_lower(module, list_at(items, i), 0, 0, MODE_TRAIN) && ok;
    return ok && diag_errors(module->context.diags) == 0;
}

/* ---- diagnostics ---- */

int bfm_diagnostic_count(const BfmModule *module) { return diag_count(module->context.diags); }
int bfm_error_count(const BfmModule *module) { return diag_errors(module->context.diags); }

static BfmPlace place_of(const BfmModule *module, Span span)
{
    const Source *source = diag_source(module->context.diags, span.file);
    BfmPlace place = {.file = NULL};
    if (!source)
        return place;
    place.file = source->path;
    diag_position(source, span.begin, &place.line, &place.column);
    diag_position(source, span.end, &place.end_line, &place.end_column);
    return place;
}

bool bfm_diagnostic_at(BfmModule *module, int index, BfmDiagnostic *diagnostic)
{
    if (index < 0 || index >= bfm_diagnostic_count(module))
        return false;
    const Diagnostic *from = diag_get(module->context.diags, index);
    BfmLabel *labels = ARENA_ARRAY(module->context.arena, BfmLabel, from->label_count + 1);
    for (int i = 0; i < from->label_count; i++)
        labels[i] = (BfmLabel){place_of(module, from->labels[i].span), from->labels[i].text};
    *diagnostic = (BfmDiagnostic){.code = diag_name(from->code),
                                  .severity = (BfmSeverity)diag_severity(from->code),
                                  .message = from->message,
                                  .place = place_of(module, from->span),
                                  .label_count = from->label_count,
                                  .labels = labels,
                                  .note_count = from->note_count,
                                  .notes = from->notes,
                                  .fix = from->fix};
    return true;
}

char *bfm_diagnostics_json(const BfmModule *module)
{
    Str text = {0};
    diag_json(module->context.diags, &text);
    char *copy = api_text(&text);
    str_free(&text);
    return copy;
}

char *bfm_diagnostics_text(const BfmModule *module) { return bfm_diagnostics_text_from(module, 0, false); }

char *bfm_diagnostics_text_from(const BfmModule *module, int first, bool color)
{
    Str text = {0};
    diag_print_from(module->context.diags, first, &text, color);
    char *copy = api_text(&text);
    str_free(&text);
    return copy;
}

/* ---- the catalogue ---- */

int bfm_diagnostic_kind_count(void) { return DIAG_COUNT; }

bool bfm_diagnostic_kind(int index, BfmDiagnosticKind *kind)
{
    if (index < 0 || index >= DIAG_COUNT)
        return false;
    const DiagCode code = (DiagCode)index;
    *kind = (BfmDiagnosticKind){.code = diag_name(code),
                                .severity = (BfmSeverity)diag_severity(code),
                                .title = diag_title(code),
                                .explanation = diag_explanation(code),
                                .bad = diag_example(code, false),
                                .good = diag_example(code, true)};
    return true;
}

bool bfm_diagnostic_find(const char *code, BfmDiagnosticKind *kind)
{
    char name[16] = "";
    DiagCode found;
    for (size_t i = 0; code[i] && i + 1 < sizeof name; i++)
        name[i] = code[i] >= 'a' && code[i] <= 'z' ? (char)(code[i] - 'a' + 'A') : code[i];
    return diag_find(name, &found) && bfm_diagnostic_kind((int)found, kind);
}

/* ---- reports ---- */

typedef struct Checking {
    BfmModule *module;
    BfmCheckOptions options;
    Str text;
    json_t *models, *spaces;
    MachineRates rates; /* measured once */
    bool failed;        /* then error has why */
    BfmError *error;
} Checking;

static json_t *last_model(const Checking *checking) { return json_array_get(checking->models, json_array_size(checking->models) - 1); }
static int64_t batch_of(const Checking *checking, int64_t usual) { return checking->options.batch > 0 ? checking->options.batch : usual; }
static int64_t length_of(const Checking *checking, int64_t usual) { return checking->options.length > 0 ? checking->options.length : usual > 0 ? usual : CONTEXT_FALLBACK; }

/* A layer has the usual context, or a longer one if costs of a longer sequence are asked for: the length that costs are stated for changes no verdict. */
static int64_t layer_context(const Checking *checking) { return checking->options.length > CONTEXT_FALLBACK ? checking->options.length : CONTEXT_FALLBACK; }

static Lowered *lowered_in(const Checking *checking, const Module *module, const Node *item, Mode mode)
{
    const LowerOptions options = {.mode = mode};
    const int64_t usual = checking->options.gradients && item->kind == NODE_DEFINITION ? GRADIENT_WIDTH : 0, width = checking->options.width > 0 ? checking->options.width : usual;
    return is_model(item) ? lower_model(module, item, &options) : lower_block(module, item, width, layer_context(checking), &options);
}

/* The first failure is the one reported. */
static bool failed(Checking *checking, const BfmError *error)
{
    if (!checking->failed && checking->error)
        *checking->error = *error;
    checking->failed = true;
    return false;
}

static const Compiled *compiled_step(Checking *checking, Module *module, const Node *item, DimEnv *env)
{
    const LowerOptions options = {.mode = MODE_TRAIN};
    ModelProgram model = {module, item, is_model(item) ? lower_model(module, item, &options) : NULL};
    BfmError error;
    const Compiled *compiled = model.lowered ? model_compile(&checking->module->context, &model, MODE_TRAIN, &error) : NULL;
    if (!compiled && model.lowered)
        (void)failed(checking, &error);
    const int64_t length = compiled ? length_of(checking, model.lowered->context) : 1;
    *env = (DimEnv){.value = {[DIM_B] = batch_of(checking, BATCH_FALLBACK), [DIM_L] = length, [DIM_N] = length}};
    return compiled;
}

static void schedule_of(Checking *checking, Module *module, const Node *item)
{
    DimEnv env;
    const Compiled *compiled = compiled_step(checking, module, item, &env);
    if (!compiled)
        return;
    env.value[DIM_N] = 1;
    str_push(&checking->text, '\n');
    report_schedule(compiled->schedule, &env, &checking->text);
    json_object_set_new(last_model(checking), "schedule", schedule_json(compiled, &env));
}

static void cost_of(Checking *checking, Module *module, const Node *item)
{
    BfmError error;
    DimEnv env;
    if (!is_model(item)) {
        (void)bfm_error_set(&error, BFM_ERROR_INPUT, "`%s` is no model: memory and time of a training step are of models; `bfmc profile` measures a block or layer", item->name);
        (void)failed(checking, &error);
        return;
    }
    if (checking->rates.flops == 0 && !machine_rates(&checking->rates)) {
        (void)bfm_error_set(&error, BFM_ERROR_ENVIRONMENT, "no memory to measure the machine's rates with");
        (void)failed(checking, &error);
        return;
    }
    const Compiled *compiled = compiled_step(checking, module, item, &env);
    if (compiled && !check_cost(checking->module->context.arena, compiled, &env, &checking->rates, &checking->text, last_model(checking), &error))
        (void)failed(checking, &error);
}

static void gradients_of(Checking *checking, Module *module, const Node *item)
{
    const Lowered *value = lowered_in(checking, module, item, MODE_TRAIN), *derivative = lowered_in(checking, module, item, MODE_TRAIN);
    const int64_t longest = is_model(item) && value->context > 0 && value->context < GRADIENT_LENGTH ? value->context : GRADIENT_LENGTH;
    const GradientSettings settings = {.batch = batch_of(checking, GRADIENT_BATCH), .length = length_of(checking, longest), .seed = 1, .model = is_model(item)};
    json_t *rows = json_array();
    json_object_set_new(last_model(checking), "gradients", rows);
    BfmError error;
    int wrong = 0;
    if (!check_gradients(checking->module->context.arena, value, derivative, &settings, &checking->text, rows, &wrong, &error)) {
        (void)failed(checking, &error);
    } else if (wrong > 0) {
        (void)bfm_error_set(&error, BFM_ERROR_INPUT, "%d gradient%s of `%s` %s from the differences of its value", wrong, bfm_plural(wrong), item->name,
                            wrong == 1 ? "differs" : "differ");
        (void)failed(checking, &error);
    }
}

/* NULL after errors. */
static const Lowered *check_item(Checking *checking, Module *module, const Node *item)
{
    const Lowered *lowered = lowered_in(checking, module, item, MODE_TRAIN), *evaluated = lowered ? lowered_in(checking, module, item, MODE_EVAL) : NULL;
    const Lowered *decoded = evaluated ? lowered_in(checking, module, item, MODE_DECODE) : NULL;
    if (!decoded)
        return NULL;
    const OtherModes others = {2, {evaluated, decoded}};
    report_check(module, lowered, &others, batch_of(checking, BATCH_FALLBACK), length_of(checking, lowered->context), &checking->text, checking->models);
    unreached_warn(module, lowered, NULL);
    if (checking->options.schedule)
        schedule_of(checking, module, item);
    if (checking->options.cost && !checking->failed)
        cost_of(checking, module, item);
    if (checking->options.gradients)
        gradients_of(checking, module, item);
    return lowered;
}

static bool check_named(Checking *checking, const char *name, const Spaces *spaces)
{
    BfmModule *module = checking->module;
    const Symbol symbol = intern(module->context.interner, name);
    BfmError error;
    for (int i = 0; i < spaces->count; i++)
        if (spaces->items[i].node->name == symbol) {
            report_space(module->context.arena, &spaces->items[i], &checking->text, checking->spaces);
            return true;
        }
    if (module_find(module->module, symbol, NODE_SPACE, -1)) /* it has errors, which are among the diagnostics */
        return true;
    const Node *item = api_item(module, name, &error);
    if (!item)
        return failed(checking, &error);
    (void)check_item(checking, module->module, item);
    return true;
}

static bool has_groups(const Node *items)
{
    for (int i = 0; i < list_count(items); i++)
        for (int k = 0; list_at(items, i)->kind == NODE_RECIPE && k < list_count(list_at(items, i)->kids[RECIPE_ITEMS]); k++)
            if (list_at(list_at(items, i)->kids[RECIPE_ITEMS], k)->kind == NODE_ON || list_at(list_at(items, i)->kids[RECIPE_ITEMS], k)->kind == NODE_ON_ROLE)
                return true;
    return false;
}

/* In memory of its own: a file may have many models. */
static void check_alone(Checking *checking, const Node *item)
{
    Module scratch = module_in(checking->module->module, arena_new());
    (void)check_item(checking, &scratch, item);
    arena_free(scratch.arena);
}

/* Groups of recipes are compared with the parameters of every model: only then the models stay. */
static void check_all(Checking *checking, const Spaces *spaces)
{
    Module *module = checking->module->module;
    const Node *items = module->files[0].root->kids[FILE_ITEMS];
    Arena *arena = checking->module->context.arena;
    const Lowered **models = ARENA_ARRAY(arena, const Lowered *, list_count(items) + 1);
    int count = 0;
    bool whole = true;
    const bool stay = checking->options.schedule || checking->options.cost || checking->options.gradients || has_groups(items);
    for (int i = 0; i < list_count(items); i++) {
        if (!is_model(list_at(items, i)))
            continue;
        if (!stay) {
            check_alone(checking, list_at(items, i));
            continue;
        }
        models[count] = check_item(checking, module, list_at(items, i));
        whole = whole && models[count];
        count += models[count] != NULL;
    }
    if (whole)
        groups_warn_all(module, models, count);
    for (int i = 0; i < spaces->count; i++)
        report_space(arena, &spaces->items[i], &checking->text, checking->spaces);
}

bool bfm_check_report(BfmModule *module, const char *item, const BfmCheckOptions *options, BfmReport *report, BfmError *error)
{
    Checking checking = {.module = module, .models = json_array(), .spaces = json_array(), .error = error};
    if (options)
        checking.options = *options;
    lower_declarations(module->module);
    const Spaces spaces = bfm_spaces(module->module);
    if (item)
        (void)check_named(&checking, item, &spaces);
    else
        check_all(&checking, &spaces);
    json_t *json = json_object();
    json_object_set_new(json, "models", checking.models);
    json_object_set_new(json, "spaces", checking.spaces);
    *report = api_made(&checking.text, json);
    return api_is_sound(module, error) && !checking.failed;
}
