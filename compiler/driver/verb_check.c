/* bfmc check: every error of a file, what its models read, and what they cost. */
#include "report/check_cost.h"
#include "report/check_gradients.h"
#include "driver/item.h"
#include "driver/model.h"
#include "report/report_check.h"
#include "report/report_schedule.h"
#include "report/report_space.h"
#include "run/unreached.h"
#include "driver/verbs.h"
#include "lower/groups.h"

enum { CONTEXT_FALLBACK = 1024, GRADIENT_BATCH = 2, GRADIENT_LENGTH = 8, GRADIENT_WIDTH = 16 };

/* What was asked for: the named item, or every model and space of the file. */
typedef struct Checked {
    Str text;
    json_t *models, *spaces;
    int gradients;      /* an exit code, of --cost too */
    MachineRates rates; /* for --cost: measured once */
} Checked;

static bool is_model(const Node *item) { return item->kind == NODE_MODEL; }

/* A block or a layer stands on a stream of its own. */
static const Lowered *lower_item(Driver *driver, const Module *module, const Node *item, Mode mode)
{
    const int64_t fallback = option_flag(driver->options, OPT_CHECK_GRADIENTS) && item->kind == NODE_DEFINITION ? GRADIENT_WIDTH : 0; /* 0: what it says itself */
    return item_lower(driver, module, item, option_whole(driver->options, OPT_WIDTH, fallback), mode);
}

/* What its training step stores and why, for --explain-schedule. */
static void explain_schedule(Driver *driver, Module *module, const Node *item, Str *out, json_t *models)
{
    const LowerOptions options = {.mode = MODE_TRAIN};
    ModelProgram model = {module, item, is_model(item) ? lower_model(module, item, &options) : NULL};
    const int64_t batch = option_whole(driver->options, OPT_BATCH, 8);
    BfmError error;
    const Compiled *compiled = model.lowered ? model_compile(&driver->context, &model, MODE_TRAIN, &error) : NULL;
    if (!compiled && model.lowered)
        (void)driver_fail(driver, &error);
    if (!compiled)
        return;
    const int64_t length = option_whole(driver->options, OPT_LENGTH, model.lowered->context ? model.lowered->context : CONTEXT_FALLBACK);
    const DimEnv env = {.value = {[DIM_B] = batch, [DIM_L] = length, [DIM_N] = 1}};
    str_push(out, '\n');
    report_schedule(compiled->schedule, &env, out);
    json_object_set_new(json_array_get(models, json_array_size(models) - 1), "schedule", schedule_json(compiled, &env));
}

/* Its training step's memory and time, for --cost. */
static int cost_of(Driver *driver, Module *module, const Node *item, Checked *checked)
{
    const LowerOptions options = {.mode = MODE_TRAIN};
    ModelProgram model = {module, item, is_model(item) ? lower_model(module, item, &options) : NULL};
    if (!model.lowered)
        return is_model(item) ? CODE_INPUT : driver_usage(driver, "--cost is about models: a block or layer is measured by profile");
    if (checked->rates.flops == 0 && !machine_rates(&checked->rates))
        return driver_error(driver, BFM_ERROR_ENVIRONMENT, "no memory to measure the machine's rates with");
    BfmError error;
    const Compiled *compiled = model_compile(&driver->context, &model, MODE_TRAIN, &error);
    const int64_t length = option_whole(driver->options, OPT_LENGTH, model.lowered->context ? model.lowered->context : CONTEXT_FALLBACK);
    const DimEnv env = {.value = {[DIM_B] = option_whole(driver->options, OPT_BATCH, 8), [DIM_L] = length, [DIM_N] = length}};
    json_t *report = json_array_get(checked->models, json_array_size(checked->models) - 1);
    return compiled && check_cost(driver->context.arena, compiled, &env, &checked->rates, &checked->text, report, &error) ? CODE_OK : driver_fail(driver, &error);
}

static void gradients_of(Driver *driver, Module *module, const Node *item, Checked *checked)
{
    const Lowered *value = lower_item(driver, module, item, MODE_TRAIN), *derivative = lower_item(driver, module, item, MODE_TRAIN);
    const int64_t longest = is_model(item) && value->context > 0 && value->context < GRADIENT_LENGTH ? value->context : GRADIENT_LENGTH;
    const GradientSettings settings = {.batch = option_given(driver->options, OPT_BATCH) ? option_whole(driver->options, OPT_BATCH, 0) : GRADIENT_BATCH,
                                       .length = option_whole(driver->options, OPT_LENGTH, longest),
                                       .seed = 1,
                                       .model = is_model(item)};
    json_t *rows = json_array();
    json_object_set_new(json_array_get(checked->models, json_array_size(checked->models) - 1), "gradients", rows);
    BfmError error;
    int wrong;
    const int code = !check_gradients(driver->context.arena, value, derivative, &settings, &checked->text, rows, &wrong, &error) ? driver_fail(driver, &error)
                     : wrong                                                                                                     ? CODE_INPUT
                                                                                                                                 : CODE_OK;
    checked->gradients = checked->gradients == CODE_OK ? code : checked->gradients;
}

/* NULL after errors. */
static const Lowered *check_item(Driver *driver, Module *module, const Node *item, Checked *checked)
{
    const Lowered *lowered = lower_item(driver, module, item, MODE_TRAIN), *evaluated = lowered ? lower_item(driver, module, item, MODE_EVAL) : NULL;
    const Lowered *decoded = evaluated ? lower_item(driver, module, item, MODE_DECODE) : NULL;
    if (!decoded)
        return NULL;
    const OtherModes others = {2, {evaluated, decoded}};
    const int64_t batch = option_whole(driver->options, OPT_BATCH, 8), length = option_whole(driver->options, OPT_LENGTH, lowered->context ? lowered->context : CONTEXT_FALLBACK);
    report_check(module, lowered, &others, batch > 0 ? batch : 1, length > 0 ? length : 1, &checked->text, checked->models);
    unreached_warn(module, lowered, NULL);
    if (option_flag(driver->options, OPT_EXPLAIN_SCHEDULE))
        explain_schedule(driver, module, item, &checked->text, checked->models);
    if (option_flag(driver->options, OPT_COST) && checked->gradients == CODE_OK)
        checked->gradients = cost_of(driver, module, item, checked);
    if (option_flag(driver->options, OPT_CHECK_GRADIENTS))
        gradients_of(driver, module, item, checked);
    return lowered;
}

static int check_named(Driver *driver, Module *module, const Target *target, const Spaces *spaces, Checked *checked)
{
    int code = CODE_OK;
    const Symbol name = intern(driver->context.interner, target->name);
    for (int i = 0; i < spaces->count; i++)
        if (spaces->items[i].node->name == name) {
            report_space(driver->context.arena, &spaces->items[i], &checked->text, checked->spaces);
            return CODE_OK;
        }
    if (module_find(module, name, NODE_SPACE, -1)) /* with errors, which are told */
        return CODE_OK;
    const Node *item = item_pick(driver, module, target, &code);
    if (item)
        (void)check_item(driver, module, item, checked);
    return item ? CODE_OK : code;
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
static void check_alone(Driver *driver, const Module *module, const Node *item, Checked *checked)
{
    Module scratch = module_in(module, arena_new());
    (void)check_item(driver, &scratch, item, checked);
    arena_free(scratch.arena);
}

/* Groups of recipes are asked about where every model is known: only then the models stay. */
static void check_all(Driver *driver, Module *module, const Spaces *spaces, Checked *checked)
{
    const Node *items = module->files[0].root->kids[FILE_ITEMS];
    const Lowered **models = ARENA_ARRAY(driver->context.arena, const Lowered *, list_count(items) + 1);
    int count = 0;
    bool whole = true;
    const bool compiled = option_flag(driver->options, OPT_EXPLAIN_SCHEDULE) || option_flag(driver->options, OPT_COST) || option_flag(driver->options, OPT_CHECK_GRADIENTS);
    const bool stay = compiled || has_groups(items);
    for (int i = 0; i < list_count(items); i++) {
        if (!is_model(list_at(items, i)))
            continue;
        if (!stay) {
            check_alone(driver, module, list_at(items, i), checked);
            continue;
        }
        models[count] = check_item(driver, module, list_at(items, i), checked);
        whole = whole && models[count];
        count += models[count] != NULL;
    }
    if (whole)
        groups_warn_all(module, models, count);
    for (int i = 0; i < spaces->count; i++)
        report_space(driver->context.arena, &spaces->items[i], &checked->text, checked->spaces);
}

int verb_check(Driver *driver)
{
    const Target target = target_parse(driver->context.arena, driver->options->arguments[0]);
    int code;
    Module *module = driver_module(driver, target.path, &code);
    if (!module)
        return code;
    lower_declarations(module);
    const Spaces spaces = bfm_spaces(module);
    Checked checked = {.models = json_array(), .spaces = json_array()};
    code = CODE_OK;
    if (target.name)
        code = check_named(driver, module, &target, &spaces, &checked);
    else
        check_all(driver, module, &spaces, &checked);
    if (code == CODE_OK) {
        code = driver_diagnostics(driver);
        if (driver->json) {
            json_t *report = report_new(driver);
            json_object_set(report, "models", checked.models);
            json_object_set(report, "spaces", checked.spaces);
            code = report_print(driver, report, code == CODE_OK ? checked.gradients : code);
        } else if (!driver->quiet || code == CODE_OK) {
            const int printed = driver_print(driver, &checked.text);
            code = code != CODE_OK ? code : printed != CODE_OK ? printed : checked.gradients;
        }
    }
    json_decref(checked.models);
    json_decref(checked.spaces);
    str_free(&checked.text);
    return code;
}
