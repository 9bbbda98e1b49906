/* Settings of a recipe, each a row: where it goes, and what it may be. */
#include "train/recipe.h"

#include "support/glob.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* ---- which recipe ---- */

static const Node *only_recipe(const Node *file, int *count)
{
    const Node *items = file->kids[FILE_ITEMS], *found = NULL;
    for (int i = 0; i < list_count(items); i++)
        if (list_at(items, i)->kind == NODE_RECIPE) {
            found = list_at(items, i);
            ++*count;
        }
    return found;
}

const Node *recipe_pick(const BfmContext *context, const Module *module, const char *name, BfmError *error)
{
    const char *path = module->files[0].path;
    int count = 0;
    const Node *found = name ? module_find(module, intern(context->interner, name), NODE_RECIPE, -1) : only_recipe(module->files[0].root, &count);
    if (found && count <= 1)
        return found;
    const Symbol similar = name ? module_similar(module, name, NODE_RECIPE, -1) : NULL;
    if (count > 1)
        (void)bfm_error_set(error, BFM_ERROR_INPUT, "%s has %d recipes; say which with --recipe", path, count);
    else if (!name)
        (void)bfm_error_set(error, BFM_ERROR_INPUT, "%s has no recipe; write one, or `use std.recipes` and choose with --recipe", path);
    else if (similar)
        (void)bfm_error_set(error, BFM_ERROR_INPUT, "there is no recipe `%s`; did you mean `%s`?", name, similar);
    else
        (void)bfm_error_set(error, BFM_ERROR_INPUT, "%s has no recipe `%s`; `use std.recipes` brings the library's", path, name);
    return NULL;
}

/* ---- settings ---- */

static double constant(const Node *node)
{
    switch ((int)node->kind) {
    case NODE_NUMBER: return node->real;
    case NODE_UNARY: return node->op == AST_NEG ? -constant(node->kids[UNARY_OPERAND]) : NAN;
    case NODE_BINARY: {
        const double a = constant(node->kids[BINARY_LEFT]), b = constant(node->kids[BINARY_RIGHT]);
        return node->op == AST_ADD ? a + b : node->op == AST_SUB ? a - b : node->op == AST_MUL ? a * b : node->op == AST_DIV ? a / b : node->op == AST_POW ? pow(a, b) : NAN;
    }
    default: return NAN;
    }
}

typedef enum { SETTING_EXPRESSION, SETTING_WHOLE, SETTING_SEED, SETTING_POSITIVE } SettingKind;
typedef struct SettingRow {
    const char *name;
    SettingKind kind;
    size_t offset; /* in Recipe */
    double least, most;
    const char *help; /* where the value is wrong; NULL: nothing more to say */
} SettingRow;

static const SettingRow SETTINGS[] = {
    {"optimizer", SETTING_EXPRESSION, offsetof(Recipe, optimizer), 0, 0, NULL},
    {"schedule", SETTING_EXPRESSION, offsetof(Recipe, schedule), 0, 0, NULL},
    {"batch", SETTING_WHOLE, offsetof(Recipe, batch), 1, 1 << 20, "the sequences of one pass; a step takes batch · accumulate of them"},
    {"context", SETTING_WHOLE, offsetof(Recipe, context), 1, 1 << 24, "tokens of a sequence, at most the model's context"},
    {"steps", SETTING_WHOLE, offsetof(Recipe, steps), 1, 1e15, NULL},
    {"accumulate", SETTING_WHOLE, offsetof(Recipe, accumulate), 1, 1 << 20, "passes of a step, each of `batch` sequences: it divides nothing"},
    {"seed", SETTING_SEED, offsetof(Recipe, seed), 0, 9e15, NULL},
    {"clip_norm", SETTING_POSITIVE, offsetof(Recipe, clip_norm), 0, 1e300, "leave it out to clip nothing"},
};
enum { SETTING_ROWS = sizeof SETTINGS / sizeof *SETTINGS };

static void unknown_setting(const BfmContext *context, const Node *setting)
{
    int best = 4, found = -1;
    for (int i = 0; i < SETTING_ROWS; i++)
        if (name_distance(setting->name, SETTINGS[i].name) < best) {
            best = name_distance(setting->name, SETTINGS[i].name);
            found = i;
        }
    Diagnostic *diag = diag_add(context->diags, DIAG_E0203, setting->name_span, "a recipe has no setting `%s`", setting->name);
    if (found >= 0)
        diag_fix(context->diags, diag, "did you mean `%s`?", SETTINGS[found].name);
    else
        diag_note(context->diags, diag, "it has optimizer, schedule, batch, context, steps, accumulate, seed and clip_norm");
}

static void wrong_value(const BfmContext *context, const SettingRow *row, const Node *node, double value)
{
    char least[32] = "";
    if (row->kind != SETTING_POSITIVE)
        (void)snprintf(least, sizeof least, " of at least %g", row->least);
    Diagnostic *diag = diag_add(context->diags, DIAG_E0205, node->span, "`%s` is a %s%s%s", row->name, row->kind == SETTING_POSITIVE ? "positive number" : "whole number", least,
                                value > row->most ? ", and not as large" : "");
    if (row->help)
        diag_fix(context->diags, diag, "%s", row->help);
}

static void read_setting(const BfmContext *context, const Node *setting, Recipe *recipe)
{
    const SettingRow *row = NULL;
    for (int i = 0; i < SETTING_ROWS; i++)
        if (strcmp(SETTINGS[i].name, setting->name) == 0)
            row = &SETTINGS[i];
    if (!row) {
        unknown_setting(context, setting);
        return;
    }
    void *place = (char *)recipe + row->offset;
    const Node *node = setting->kids[SETTING_VALUE];
    if (row->kind == SETTING_EXPRESSION) {
        if (node->kind != NODE_CALL && node->kind != NODE_NAME)
            diag_add(context->diags, DIAG_E0205, node->span, "`%s` is a definition with its attributes, such as `%s`", row->name,
                     row->offset == offsetof(Recipe, optimizer) ? "sgd(rate = 0.1)" : "constant()");
        *(const Node **)place = node;
        return;
    }
    const double value = constant(node);
    const bool positive = row->kind == SETTING_POSITIVE;
    if (!(positive ? value > row->least : value >= row->least && value == floor(value)) || value > row->most) {
        wrong_value(context, row, node, value);
        return;
    }
    switch (row->kind) {
    case SETTING_WHOLE: *(int64_t *)place = (int64_t)value; break;
    case SETTING_SEED: *(uint64_t *)place = (uint64_t)value; break;
    case SETTING_POSITIVE: *(double *)place = value; break;
    case SETTING_EXPRESSION: break;
    }
}

/* The schedule, the optimiser as it stands, and with each group, which may match no parameter at hand. */
static void try_definitions(const Module *module, const Recipe *recipe)
{
    const int errors = diag_errors(module->diags);
    double rate;
    (void)lower_optimizer(module, recipe->optimizer, NULL, 2, &rate);
    for (int g = 0; g < recipe->group_count && diag_errors(module->diags) == errors; g++)
        (void)lower_optimizer(module, recipe->optimizer, recipe->groups[g]->kids[ON_ITEMS], 2, &rate);
    if (recipe->schedule && diag_errors(module->diags) == errors)
        (void)lower_schedule(module, recipe->schedule, recipe->steps);
}

static bool known_role(const BfmContext *context, const Node *group)
{
    ParamRole role;
    if (role_find(group->name, &role))
        return true;
    Diagnostic *diag = diag_add(context->diags, DIAG_E0205, group->name_span, "there is no role `%s`", group->name);
    diag_fix(context->diags, diag, "a parameter is a matrix (a factor of sums of products), a table (looked up by an integer) or a vector (neither)");
    return false;
}

bool recipe_read(const BfmContext *context, const Module *module, const Node *node, const Lowered *lowered, Recipe *recipe)
{
    const Node *items = node->kids[RECIPE_ITEMS];
    const int errors = diag_errors(context->diags);
    *recipe = (Recipe){.node = node,
                       .batch = 8,
                       .context = lowered && lowered->context ? lowered->context : 128,
                       .steps = 1000,
                       .accumulate = 1,
                       .seed = 1,
                       .groups = ARENA_ARRAY(context->arena, const Node *, list_count(items) + 1)};
    for (int i = 0; i < list_count(items); i++) {
        const Node *item = list_at(items, i);
        if (item->kind == NODE_SETTING)
            read_setting(context, item, recipe);
        else if (item->kind == NODE_ON || (item->kind == NODE_ON_ROLE && known_role(context, item)))
            recipe->groups[recipe->group_count++] = item;
    }
    if (!recipe->optimizer)
        diag_fix(context->diags, diag_add(context->diags, DIAG_E0204, node->name_span, "the recipe `%s` names no optimizer", node->name),
                 "for example `optimizer = sgd(rate = 0.1)`");
    if (lowered && lowered->context && recipe->context > lowered->context)
        diag_add(context->diags, DIAG_E0205, node->name_span, "the recipe's context of %lld is longer than the model's, %lld", (long long)recipe->context,
                 (long long)lowered->context);
    if (diag_errors(context->diags) == errors)
        try_definitions(module, recipe);
    return diag_errors(context->diags) == errors;
}

double recipe_scale(const Recipe *recipe, double norm) { return recipe->clip_norm > 0 && norm > recipe->clip_norm ? recipe->clip_norm / norm : 1; }

static bool concerns(const Node *group, const char *path, ParamRole role)
{
    return group->kind == NODE_ON ? glob_match(group->name, path) : strcmp(group->name, role_name(role)) == 0;
}

Node *recipe_overrides(const BfmContext *context, const Recipe *recipe, const char *path, ParamRole role)
{
    Node *list = NULL;
    for (int g = 0; g < recipe->group_count; g++) {
        if (!concerns(recipe->groups[g], path, role))
            continue;
        const Node *settings = recipe->groups[g]->kids[ON_ITEMS];
        for (int i = 0; i < list_count(settings); i++) {
            if (!list)
                list = list_new(context->arena, recipe->groups[g]->span);
            for (int k = list_count(list) - 1; k >= 0; k--)
                if (list_at(list, k)->name == list_at(settings, i)->name)
                    list_remove(list, k);
            list_push(context->arena, list, list_at(settings, i));
        }
    }
    return list;
}
