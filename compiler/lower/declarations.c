/* Recipes, searches and checks, and spaces (space.c): what they name must exist, and every value must have the type of what it is for. */
#include "lower/declarations.h"

#include "ir/roles.h"
#include "support/budget.h"
#include "support/bug.h"

#include <math.h>
#include <string.h>

/* What a setting holds. */
typedef enum {
    SETTING_COUNT,  /* whole number, at least 1 */
    SETTING_SEED,   /* whole number, at least 0 */
    SETTING_NUMBER, /* positive number */
    SETTING_BUDGET, /* 60 s, 2000step, 50Mtok */
    SETTING_WORD,   /* one of its words */
    SETTING_OPTIMIZER,
    SETTING_SCHEDULE,
    SETTING_SPACE,
    SETTING_RECIPE,
    SETTING_MODEL, /* a model or a block */
} SettingKind;

typedef struct KnownSetting {
    const char *name;
    SettingKind kind;
    double most; /* of a number; 0: any finite one */
    const char *const *words;
} KnownSetting;

static const char *const RANK_WORDS[] = {"constraint", "absolute", "hard", "soft", NULL}, *const STEP_WORDS[] = {"train", "forward", "decode", NULL};

static const KnownSetting RECIPE_SETTINGS[] = {
    {"optimizer", SETTING_OPTIMIZER, 0, NULL}, {"schedule", SETTING_SCHEDULE, 0, NULL},      {"batch", SETTING_COUNT, 1 << 20, NULL},
    {"context", SETTING_COUNT, 1 << 24, NULL}, {"steps", SETTING_COUNT, 1e15, NULL},         {"seed", SETTING_SEED, 9e15, NULL},
    {"clip_norm", SETTING_NUMBER, 0, NULL},    {"accumulate", SETTING_COUNT, 1 << 20, NULL}, {NULL, SETTING_COUNT, 0, NULL},
};
static const KnownSetting SEARCH_SETTINGS[] = {
    {"space", SETTING_SPACE, 0, NULL},     {"baseline", SETTING_MODEL, 0, NULL}, {"recipe", SETTING_RECIPE, 0, NULL},        {"repeat", SETTING_COUNT, 1e6, NULL},
    {"trials", SETTING_COUNT, 1e9, NULL},  {"budget", SETTING_BUDGET, 0, NULL},  {"population", SETTING_COUNT, 1e6, NULL},   {"sample", SETTING_COUNT, 1e6, NULL},
    {"rank", SETTING_WORD, 0, RANK_WORDS}, {"seed", SETTING_SEED, 9e15, NULL},   {"step_time", SETTING_WORD, 0, STEP_WORDS}, {NULL, SETTING_COUNT, 0, NULL},
};

static const KnownSetting *known_setting(Lower *lw, const KnownSetting *table, const Node *setting, const char *what)
{
    const char *best = NULL;
    Str list = {0};
    for (const KnownSetting *known = table; known->name; known++) {
        if (strcmp(known->name, setting->name) == 0) {
            str_free(&list);
            return known;
        }
        if (name_distance(known->name, setting->name) <= 1 + (int)strlen(setting->name) / 4)
            best = known->name;
        str_printf(&list, "%s%s", list.length ? ", " : "", known->name);
    }
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0601, setting->span, "a %s has no setting `%s`", what, setting->name);
    if (best)
        diag_fix(lw->diags, diag, "did you mean `%s`?", best);
    diag_note(lw->diags, diag, "its settings are: %s", str_text(&list));
    str_free(&list);
    return NULL;
}

void need_item(Lower *lw, const Node *value, NodeKind kind, NodeKind other, const char *what)
{
    const Node *found = value->kind == NODE_NAME || value->kind == NODE_CALL ? module_find(lw->module, value->name, kind, -1) : NULL;
    if (!found && other != kind && value->name)
        found = module_find(lw->module, value->name, other, -1);
    if (found)
        return;
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0201, value->span, "there is no %s `%s`", what, value->name ? value->name : "of this form");
    const Symbol similar = value->name ? module_similar(lw->module, value->name, kind, -1) : NULL;
    if (similar)
        diag_fix(lw->diags, diag, "did you mean `%s`?", similar);
}

static bool number_fits(const Val *found, SettingKind kind, double most)
{
    int64_t integer;
    double number;
    if (found->kind != VAL_NUMBER || !val_double(found, &number) || !isfinite(number) || (most > 0 && number > most))
        return false;
    return kind == SETTING_NUMBER ? number > 0 : val_int(found, &integer) && integer >= (kind == SETTING_COUNT);
}

static void check_number(Lower *lw, const Node *value, SettingKind kind, double most)
{
    const Val found = eval_const(lw, lw->model_scope, value);
    if (found.kind == VAL_POISON || number_fits(&found, kind, most))
        return;
    const char *limit = most > 0 ? arena_printf(lw->arena, ", at most %.15g", most) : "";
    diag_add(lw->diags, DIAG_E0205, value->span, "expected %s%s, found %s",
             kind == SETTING_COUNT  ? "a whole number of at least 1"
             : kind == SETTING_SEED ? "a whole number from 0"
                                    : "a positive number",
             limit, val_text(lw, &found));
}

void check_positive(Lower *lw, const Node *value) { check_number(lw, value, SETTING_NUMBER, 0); }

static void check_budget(Lower *lw, const Node *quantity)
{
    Budget budget;
    double amount;
    const Val found = eval_const(lw, lw->model_scope, quantity->kids[QUANTITY_AMOUNT]);
    if (found.kind == VAL_POISON)
        return;
    const char *expected = val_double(&found, &amount) ? budget_make(amount, quantity->name, &budget) : "an amount with its unit: 60 s, 30m, 2000step, 50Mtok, 2e15flop";
    if (expected)
        diag_add(lw->diags, DIAG_E0205, quantity->span, "expected %s, found %s %s", expected, val_text(lw, &found), quantity->name);
}

static void check_word(Lower *lw, const KnownSetting *known, const Node *value)
{
    const char *best = NULL;
    Str list = {0};
    bool fits = value->kind == NODE_ERROR;
    for (const char *const *word = known->words; *word; word++) {
        fits = fits || (value->kind == NODE_NAME && strcmp(value->name, *word) == 0);
        if (value->kind == NODE_NAME && name_distance(*word, value->name) <= 1 + (int)strlen(value->name) / 4)
            best = *word;
        str_printf(&list, "%s%s", list.length ? ", " : "", *word);
    }
    if (!fits) {
        Diagnostic *diag = diag_add(lw->diags, DIAG_E0205, value->span, "`%s` is one of the words %s", known->name, str_text(&list));
        if (best)
            diag_fix(lw->diags, diag, "did you mean `%s`?", best);
    }
    str_free(&list);
}

/* Every form of the optimiser that a model may need: matrices, vectors, scalars. A form that is missing is a matter of the model that lacks it. */
static void check_forms(Lower *lw, const Node *expression, const Node *overrides)
{
    enum { MATRIX = 2 };
    double rate;
    const Module scratch = module_in(lw->module, arena_new()); /* a recipe may have many groups */
    bool ok = lower_optimizer(&scratch, expression, overrides, MATRIX, &rate) != NULL;
    for (int rank = 0; rank < MATRIX && ok; rank++)
        if (optimizer_has_form(&scratch, expression, rank))
            (void)lower_optimizer(&scratch, expression, overrides, rank, &rate);
    arena_free(scratch.arena);
}

static void check_schedule(Lower *lw, const Node *expression, int64_t steps)
{
    const Module scratch = module_in(lw->module, arena_new());
    (void)lower_schedule(&scratch, expression, steps);
    arena_free(scratch.arena);
}

static void check_setting(Lower *lw, const KnownSetting *known, const Node *setting, int64_t steps)
{
    const Node *value = setting->kids[SETTING_VALUE];
    switch (known->kind) {
    case SETTING_COUNT:
    case SETTING_SEED:
    case SETTING_NUMBER: check_number(lw, value, known->kind, known->most); break;
    case SETTING_BUDGET:
        if (value->kind != NODE_QUANTITY && value->kind != NODE_ERROR)
            diag_add(lw->diags, DIAG_E0205, value->span, "a budget is an amount with its unit: 60 s, 30m, 2000step, 50Mtok, 2e15flop");
        else if (value->kind == NODE_QUANTITY)
            check_budget(lw, value);
        break;
    case SETTING_WORD: check_word(lw, known, value); break;
    case SETTING_OPTIMIZER:
        if (value->kind == NODE_NAME || value->kind == NODE_CALL)
            check_forms(lw, value, NULL);
        else
            diag_add(lw->diags, DIAG_E0205, value->span, "expected an optimiser with its attributes: adamw(rate = 0.001)");
        break;
    case SETTING_SCHEDULE:
        if (value->kind == NODE_NAME || value->kind == NODE_CALL)
            check_schedule(lw, value, steps);
        else
            diag_add(lw->diags, DIAG_E0205, value->span, "expected a schedule with its attributes: cosine(warmup = 100)");
        break;
    case SETTING_SPACE: need_item(lw, value, NODE_SPACE, NODE_SPACE, "space"); break;
    case SETTING_RECIPE: need_item(lw, value, NODE_RECIPE, NODE_RECIPE, "recipe"); break;
    case SETTING_MODEL: need_item(lw, value, NODE_MODEL, NODE_BLOCK, "model or block"); break;
    }
}

static void check_twice(Lower *lw, const Node *items, int at)
{
    const Node *item = list_at(items, at);
    const int first = list_position(lw, items, NODE_SETTING, item->name);
    if (first < at)
        diag_label(lw->diags, diag_add(lw->diags, DIAG_E0206, item->span, "`%s` is set twice", item->name), list_at(items, first)->span, "first here");
}

static const Node *setting_of(const Node *items, const char *name)
{
    for (int i = 0; i < list_count(items); i++)
        if (list_at(items, i)->kind == NODE_SETTING && strcmp(list_at(items, i)->name, name) == 0)
            return list_at(items, i)->kids[SETTING_VALUE];
    return NULL;
}

static void check_role(Lower *lw, const Node *group)
{
    ParamRole role;
    if (role_find(group->name, &role))
        return;
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0205, group->name_span, "there is no role `%s`", group->name);
    diag_fix(lw->diags, diag, "a parameter is a matrix (a factor of sums of products), a table (looked up by an integer) or a vector (neither)");
}

static void check_recipe(Lower *lw, const Node *recipe)
{
    const Node *items = recipe->kids[RECIPE_ITEMS], *optimizer = setting_of(items, "optimizer"), *steps_node = setting_of(items, "steps");
    int64_t steps = 1000;
    if (steps_node) {
        const Val value = eval_const(lw, lw->model_scope, steps_node);
        (void)val_int(&value, &steps);
    }
    for (int i = 0; i < list_count(items); i++) {
        const Node *item = list_at(items, i);
        if (item->kind == NODE_ON_ROLE)
            check_role(lw, item);
        if ((item->kind == NODE_ON || item->kind == NODE_ON_ROLE) && optimizer && (optimizer->kind == NODE_NAME || optimizer->kind == NODE_CALL)) {
            check_forms(lw, optimizer, item->kids[ON_ITEMS]);
        } else if (item->kind == NODE_SETTING) {
            const KnownSetting *known = known_setting(lw, RECIPE_SETTINGS, item, "recipe");
            check_twice(lw, items, i);
            if (known)
                check_setting(lw, known, item, steps);
        }
    }
    if (!optimizer)
        diag_fix(lw->diags, diag_add(lw->diags, DIAG_E0204, recipe->name_span, "the recipe `%s` names no optimizer", recipe->name),
                 "for example `optimizer = adamw(rate = 0.001)`");
}

/* The members drawn from the population, of which the best is changed, are some of it. */
static void check_sample(Lower *lw, const Node *population, const Node *sample)
{
    int64_t all, some;
    if (!population || !sample || diag_raised(lw->diags) > 0)
        return;
    const Val whole = eval_const(lw, lw->model_scope, population), part = eval_const(lw, lw->model_scope, sample);
    if (val_int(&whole, &all) && val_int(&part, &some) && some > all)
        diag_label(lw->diags, diag_add(lw->diags, DIAG_E0205, sample->span, "a sample of %lld is more than the population of %lld", (long long)some, (long long)all),
                   population->span, "the population");
}

static void check_search(Lower *lw, const Node *search)
{
    const Node *items = search->kids[SEARCH_ITEMS];
    for (int i = 0; i < list_count(items); i++) {
        if (list_at(items, i)->kind != NODE_SETTING)
            continue;
        const KnownSetting *known = known_setting(lw, SEARCH_SETTINGS, list_at(items, i), "search");
        check_twice(lw, items, i);
        if (known)
            check_setting(lw, known, list_at(items, i), 1000);
    }
    check_sample(lw, setting_of(items, "population"), setting_of(items, "sample"));
    if (!setting_of(items, "space"))
        diag_fix(lw->diags, diag_add(lw->diags, DIAG_E0204, search->name_span, "the search `%s` names no space", search->name), "write `space = …`");
}

/* ---- checks: assertions on constants and functions ---- */

static void check_assertion(Lower *lw, const Node *node, Scope *scope)
{
    const Val value = eval_const(lw, scope, node);
    if (value.kind == VAL_POISON || (value.kind == VAL_BOOL && value.truth))
        return;
    if (value.kind != VAL_BOOL) {
        diag_add(lw->diags, DIAG_E0411, node->span, "a check is a condition, found %s", val_text(lw, &value));
        return;
    }
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0603, node->span, "this does not hold");
    if (node->kind != NODE_BINARY)
        return;
    const Val left = eval_const(lw, scope, node->kids[BINARY_LEFT]), right = eval_const(lw, scope, node->kids[BINARY_RIGHT]);
    diag_note(lw->diags, diag, "the left side is %s, the right side %s", val_text(lw, &left), val_text(lw, &right));
}

static void check_block(Lower *lw, const Node *check)
{
    Scope *scope = scope_new(lw, NULL);
    for (int i = 0; i < list_count(check->kids[CHECK_BODY]); i++) {
        const Node *item = list_at(check->kids[CHECK_BODY], i);
        if (item->kind == NODE_LET && list_count(item->kids[LET_TARGETS]) == 1)
            scope_set(scope, list_at(item->kids[LET_TARGETS], 0)->name, eval_const(lw, scope, item->kids[LET_VALUE]));
        else if (node_kind_classes(item->kind) & CLASS_EXPR)
            check_assertion(lw, item, scope);
        else
            diag_add(lw->diags, DIAG_E0412, item->span, "a check holds conditions and `let name = value`");
    }
}

/* The words of the model that definitions may ask for by name; a block of a space is looked at without one. */
static void standard_settings(Lower *lw)
{
    enum { SOME_VOCAB = 256, SOME_CONTEXT = 1024 };
    lw->model_scope = scope_new(lw, NULL);
    scope_set(lw->model_scope, intern(lw->interner, "vocab"), val_dim(dim_int(lw->dims, SOME_VOCAB), span_none()));
    scope_set(lw->model_scope, intern(lw->interner, "context"), val_dim(dim_int(lw->dims, SOME_CONTEXT), span_none()));
}

void declaration_begin(Lower *lw, const Module *module)
{
    *lw = (Lower){.arena = module->arena, .interner = module->interner, .diags = module->diags, .module = module};
    lw->program = program_new(lw->arena, lw->interner);
    lw->dims = lw->program->dims;
    standard_settings(lw);
    expansion_begin(lw);
}

/* What all declarations of a file come to is bounded together. */
typedef struct Spent {
    int expanded;
    int64_t space_work;
    bool too_large;
} Spent;

/* One declaration, with memory of its own that is freed with it. */
static void visit_declaration(const Module *module, const Node *item, DeclarationVisit *visit, void *context, Spent *spent)
{
    const Module scratch = module_in(module, arena_new());
    Lower lw;
    declaration_begin(&lw, &scratch);
    lw.expanded_whole = spent->expanded;
    lw.space_work = spent->space_work;
    lw.too_large = spent->too_large;
    visit(&lw, item, context);
    *spent = (Spent){lw.expanded_whole, lw.space_work, lw.too_large};
    lower_free(&lw);
    arena_free(scratch.arena);
}

static bool is_declaration(const Node *item) { return item->kind == NODE_RECIPE || item->kind == NODE_SEARCH || item->kind == NODE_SPACE || item->kind == NODE_CHECK; }

void declarations_visit(const Module *module, DeclarationVisit *visit, void *context)
{
    Spent spent = {0};
    for (int i = 0; i < module->item_count; i++) {
        const Node *item = module->items[i].node;
        if (module->items[i].file == 0 && is_declaration(item) && !module_malformed(module, item))
            visit_declaration(module, item, visit, context, &spent);
    }
}

/* Models are lowered; definitions are checked where they are used, with their attributes known; spaces: space/. */
static void check_declaration(Lower *lw, const Node *item, void *context)
{
    (void)context;
    switch ((int)item->kind) {
    case NODE_RECIPE: check_recipe(lw, item); break;
    case NODE_SEARCH: check_search(lw, item); break;
    case NODE_CHECK: check_block(lw, item); break;
    }
}

void lower_declarations(const Module *module) { declarations_visit(module, check_declaration, NULL); }
