/* The part of a page that says what a definition costs and reads. */
#include "doc/doc.h"

#include "tree/printer.h"
#include "ir/interp.h"
#include "ir/ledger.h"
#include "lower/verdict.h"
#include "parse/parse.h"
#include "support/vec.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- rows ---- */

static const char *const COUNT_TEXT[COUNT_KINDS] = {
    "parameters",
    "of them in products",
    "of those, met by one token",
    "elements of state",
    "FLOPs in products, forward",
    "other arithmetic, forward",
    "scores ranked, forward",
    "FLOPs, backward",
    "bytes kept for the backward pass",
};

static bool is_zero(const SymbolicCount *count) { return count->known ? count->poly.count == 0 : count->value == 0; }

static bool same_count(const Counted *counted, CountKind a, CountKind b)
{
    return counted->count[a].known && counted->count[b].known && poly_equal(counted->variable_count, &counted->count[a].poly, &counted->count[b].poly);
}

static void count_row(const Counted *counted, CountKind kind, Str *out)
{
    const SymbolicCount *count = &counted->count[kind];
    str_printf(out, "| %s | ", COUNT_TEXT[kind]);
    if (count->known)
        str_push(out, '`');
    count_print(counted, kind, out);
    str_append(out, count->known ? "`" : " in the example (8 sequences of the context's length); no polynomial in the attributes");
    if (count->where)
        str_printf(out, " %s", count->where);
    str_append(out, " |\n");
}

static void count_rows(const Counted *counted, Str *out)
{
    str_append(out, "| count | |\n|---|---|\n");
    for (int k = 0; k < COUNT_KINDS; k++) {
        const CountKind kind = (CountKind)k;
        const bool told = kind == COUNT_PARAMETERS    ? true
                          : kind == COUNT_MULTIPLYING ? !same_count(counted, kind, COUNT_PARAMETERS)
                          : kind == COUNT_ACTIVATED   ? !same_count(counted, kind, COUNT_MULTIPLYING)
                                                      : kind == COUNT_PRODUCTS || kind == COUNT_OTHER || kind == COUNT_BACKWARD || !is_zero(&counted->count[k]);
        if (told)
            count_row(counted, kind, out);
    }
    str_push(out, '\n');
}

/* ---- other settings ---- */

typedef struct Change {
    const char *text;  /* "position=alibi", for subject_new */
    const char *shown; /* "position = alibi" */
} Change;

typedef VEC(Change) Changes;

static void change_add(const DocFile *file, Changes *changes, const char *name, const char *value, const char *note)
{
    vec_push(changes, (Change){arena_printf(file->arena, "%s=%s", name, value), arena_printf(file->arena, "`%s = %s`%s", name, value, note)});
}

/* Definitions of this kind that the example sees, those of one name once. */
static void definition_changes(const DocFile *file, const Module *module, const Node *attribute, int kind, Changes *changes)
{
    for (int i = 0; i < module->item_count; i++) {
        const Node *node = module->items[i].node;
        if (node->kind == NODE_DEFINITION && node->op == kind && module_find(module, node->name, NODE_DEFINITION, kind) == node)
            change_add(file, changes, attribute->name, node->name, "");
    }
}

/* A function of another number of arguments may need more parameters: the first there is of one and of two stands for the others. */
static void function_changes(const DocFile *file, const Node *attribute, Changes *changes)
{
    const Node *value = attribute->kids[ATTRIBUTE_DEFAULT];
    const Node *usual = value && value->name ? module_find(file->module, value->name, NODE_DEFINITION, AST_DEF_FN) : NULL;
    const int arity = usual ? list_count(usual->kids[DEFINITION_INPUTS]) : 0;
    for (int other = 1; other <= 2 && arity >= 1 && arity <= 2; other++)
        for (int i = 0; i < file->module->item_count && other != arity; i++) {
            const Node *node = file->module->items[i].node;
            if (node->kind != NODE_DEFINITION || node->op != AST_DEF_FN || list_count(node->kids[DEFINITION_INPUTS]) != other || list_count(node->kids[DEFINITION_PARAMS]) > 0)
                continue;
            change_add(file, changes, attribute->name, node->name, other == 2 ? " (or any function of two arguments)" : " (or any function of one argument)");
            break;
        }
}

static void attribute_changes(const DocFile *file, const Module *seen, const Node *attribute, Changes *changes)
{
    const Node *type = attribute->kids[ATTRIBUTE_TYPE], *value = attribute->kids[ATTRIBUTE_DEFAULT];
    const int kind = type->op & ~AST_TYPE_OR_NONE;
    const bool none = value && value->name && value->kind == NODE_NAME && strcmp(value->name, "none") == 0;
    const bool zero = value && value->kind == NODE_NUMBER && value->real == 0;
    switch (kind) {
    case AST_TYPE_BOOL: change_add(file, changes, attribute->name, value && value->op ? "false" : "true", ""); break;
    case AST_TYPE_CHOICE:
        for (int i = 0; i < list_count(type->kids[TYPE_CHOICES]); i++)
            if (!value || list_at(type->kids[TYPE_CHOICES], i)->name != value->name)
                change_add(file, changes, attribute->name, list_at(type->kids[TYPE_CHOICES], i)->name, "");
        break;
    case AST_TYPE_FN: function_changes(file, attribute, changes); break;
    case AST_TYPE_ROUTER: definition_changes(file, seen, attribute, AST_DEF_ROUTER, changes); break;
    case AST_TYPE_COUNT:
    case AST_TYPE_INT:
        if (zero)
            change_add(file, changes, attribute->name, "2", " (and above)");
        break;
    case AST_TYPE_REAL:
        if (zero || none)
            change_add(file, changes, attribute->name, "1", zero ? " (and any other but 0)" : " (a number)");
        else if (type->op & AST_TYPE_OR_NONE)
            change_add(file, changes, attribute->name, "none", "");
        break;
    default: break;
    }
}

/* The polynomial of `base` in the variables of `other`. */
static bool in_variables_of(Arena *arena, const Counted *base, const Counted *other, const Poly *poly, Poly *result)
{
    *result = (Poly){poly->count, arena_memdup(arena, poly->terms, (size_t)poly->count * sizeof *poly->terms)};
    for (int t = 0; t < poly->count; t++) {
        memset(result->terms[t].power, 0, sizeof result->terms[t].power);
        for (int v = 0; v < base->variable_count; v++) {
            int at = 0;
            while (at < other->variable_count && strcmp(other->names[at], base->names[v]) != 0)
                at++;
            if (at == other->variable_count && poly->terms[t].power[v])
                return false;
            if (at < other->variable_count)
                result->terms[t].power[at] = poly->terms[t].power[v];
        }
    }
    return true;
}

static void difference(Arena *arena, const Counted *base, const Counted *other, CountKind kind, Str *out)
{
    const SymbolicCount *now = &other->count[kind], *before = &base->count[kind];
    Poly same;
    if (!now->known || !before->known || !in_variables_of(arena, base, other, &before->poly, &same)) {
        str_append(out, "no polynomial");
        return;
    }
    const Poly more = poly_sub(arena, other->variable_count, &now->poly, &same);
    if (more.count == 0) {
        str_append(out, "same");
        return;
    }
    const bool less = more.terms[0].coef.num < 0;
    for (int t = 0; less && t < more.count; t++)
        more.terms[t].coef = rational_neg(more.terms[t].coef);
    str_append(out, less ? "`− " : "`+ ");
    poly_print(other->variable_count, other->names, &more, out);
    str_push(out, '`');
}

static void effect_cell(bool known, Effect effect, Effect training, Str *out)
{
    if (!known) {
        str_append(out, "–");
        return;
    }
    verdict_print_short(effect, out);
    if (effect_causal(effect) && !effect_causal(training)) {
        str_append(out, "; in training: ");
        verdict_print_short(training, out);
    }
}

static void change_row(const DocFile *file, const DocEntry *entry, const Change *change, Str *out)
{
    Subject *subject = subject_new(file->context, file->path, entry->node, &entry->comment, change->text);
    Effect effect, training;
    Counted counted;
    const bool known = subject && subject_effect(subject, MODE_EVAL, &effect) && subject_effect(subject, MODE_TRAIN, &training);
    if (known) { /* else the example does not bear it */
        subject_count(file->arena, subject, &counted);
        str_printf(out, "| %s | ", change->shown);
        difference(file->arena, &entry->counted, &counted, COUNT_PARAMETERS, out);
        str_append(out, " | ");
        difference(file->arena, &entry->counted, &counted, COUNT_PRODUCTS, out);
        str_append(out, " | ");
        effect_cell(true, effect, training, out);
        str_append(out, " |\n");
    }
    subject_free(subject);
}

static void changes_print(const DocFile *file, const DocEntry *entry, Str *out)
{
    const Node *attributes = doc_attributes(file->module, entry->node);
    Changes changes = {0};
    Str rows = {0};
    for (int i = 0; i < list_count(attributes); i++)
        if (list_at(attributes, i)->kind == NODE_ATTRIBUTE)
            attribute_changes(file, entry->subject->module, list_at(attributes, i), &changes);
    for (int i = 0; i < changes.count; i++)
        change_row(file, entry, &changes.items[i], &rows);
    if (rows.length) {
        str_append(out, "With another setting than the example's, all else as it is:\n\n| setting | parameters | FLOPs in products, forward | reads |\n|---|---|---|---|\n");
        str_append(out, str_text(&rows));
        str_push(out, '\n');
    }
    str_free(&rows);
    vec_free(&changes);
}

/* ---- definitions and blocks ---- */

static void effects_print(const DocEntry *entry, Str *out)
{
    if (!entry->effect_known)
        return;
    str_append(out, "**Reads** ");
    verdict_print(entry->effect, out);
    if (effect_causal(entry->effect) && !effect_causal(entry->training))
        str_append(out, entry->training.future ? ". In training it reads the future" : ". In training it cannot be shown to be causal");
    str_append(out, ".\n\n");
}

static void kernels_row(const char *what, const Str *kernels, Str *out)
{
    if (kernels->length)
        str_printf(out, "- %s: %s\n", what, str_text(kernels));
}

static void kernels_print(const DocEntry *entry, Str *out)
{
    Str forward = {0}, step = {0}, slow = {0};
    if (subject_kernels(entry->subject, &forward, &step, &slow) && (forward.length || step.length)) {
        str_append(out, "**Runs as**\n\n");
        kernels_row("forward", &forward, out);
        kernels_row("with its derivative", &step, out);
        kernels_row("slow", &slow, out);
        str_push(out, '\n');
    }
    str_free(&forward);
    str_free(&step);
    str_free(&slow);
}

/* Of a function applied, or a wiring followed, over a whole stream. */
static void function_costs(const DocEntry *entry, Str *out)
{
    const Counted *counted = &entry->counted;
    str_append(out, "**Costs** over a stream of [b, l, d]: forward `");
    count_print(counted, COUNT_OTHER, out);
    str_append(out, "`, backward `");
    count_print(counted, COUNT_BACKWARD, out);
    str_append(out, "` FLOPs.\n\n**Runs as** a part of the kernels that use it: elementwise, or the end of a reduction.\n\n");
}

void costs_print(const DocFile *file, const DocEntry *entry, Str *out)
{
    const Node *node = entry->node;
    const bool function = node->kind == NODE_DEFINITION && (node->op == AST_DEF_FN || node->op == AST_DEF_WIRING);
    if (!entry->subject) {
        if (node->kind == NODE_DEFINITION && node->op != AST_DEF_FN)
            str_append(out, entry->comment.example ? "Its example has no line that uses it: nothing is counted.\n\n" : "Its comment has no example: nothing is counted.\n\n");
        return;
    }
    if (!function)
        effects_print(entry, out);
    if (function) {
        function_costs(entry, out);
        return;
    }
    str_printf(out, "**Costs**%s\n\n", entry->subject->part ? ", of its own operations" : node->kind == NODE_BLOCK ? "" : ", without norm and wiring");
    count_rows(&entry->counted, out);
    if (node->kind == NODE_DEFINITION)
        changes_print(file, entry, out);
    kernels_print(entry, out);
}

/* ---- models ---- */

void scaled_print(double value, Str *out)
{
    static const char *const powers[] = {"", " K", " M", " B", " T", " P"};
    int power = 0;
    for (; value >= 999.95 && power < 5; power++)
        value /= 1000;
    str_printf(out, power == 0 ? "%.0f" : value >= 99.95 ? "%.1f" : value >= 9.995 ? "%.2f" : "%.3f", value);
    str_append(out, powers[power]);
}

void model_count(const DocFile *file, DocEntry *entry)
{
    const Lowered *evaluated = lower_model(file->module, entry->node, &(LowerOptions){.mode = MODE_EVAL});
    entry->model = evaluated ? lower_model(file->module, entry->node, &(LowerOptions){.mode = MODE_TRAIN}) : NULL;
    if (!entry->model)
        return;
    entry->cost = program_cost(file->arena, entry->model->program, 1, entry->model->context ? entry->model->context : 1024);
    entry->effect = verdict_of(file->arena, evaluated).effect;
    entry->training = verdict_of(file->arena, entry->model).effect;
    entry->effect_known = true;
}

void model_costs(const DocFile *file, const DocEntry *entry, Str *out)
{
    const ProgramCost *cost = entry->cost;
    if (!cost)
        return;
    effects_print(entry, out);
    str_printf(
        out,
        "| vocabulary | context | parameters in products | met by one token | in tables | others | FLOPs forward, a token | backward |\n|---|---|---|---|---|---|---|---|\n| %" PRId64
        " | %" PRId64 " | ",
        entry->model->vocab, entry->model->context);
    const double values[] = {(double)cost->counts.products,
                             cost->counts.activated,
                             (double)cost->counts.tables,
                             (double)cost->counts.others,
                             cost->work.forward / (double)cost->length,
                             cost->work.backward / (double)cost->length};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        scaled_print(values[i], out);
        str_append(out, " | ");
    }
    str_printf(out, "\n\n`bfmc check %s:%s` says it line by line.\n\n", file->path, entry->node->name);
}

/* ---- optimisers ---- */

typedef struct FormCount {
    const OptimizerForm *form;
} FormCount;

static bool form_counts(void *context, const Rational *values, double counts[COUNT_KINDS])
{
    const OptimizerForm *form = ((FormCount *)context)->form;
    const DimEnv env = {.value = {[DIM_B] = 1, [DIM_L] = 1, [DIM_S0] = 1, values ? values[0].num : 64, values ? values[1].num : 64}};
    Arena *arena = arena_new();
    const ProgramCost *cost = program_cost_at(arena, form->unit->program, &env);
    for (int k = 0; k < COUNT_KINDS; k++)
        counts[k] = 0;
    counts[COUNT_OTHER] = cost->work.forward;
    for (int f = 0; f < form->unit->formal_count; f++) {
        const Tensor *tensor = &form->unit->tensors[form->unit->formals[f]];
        if (tensor->role == TENSOR_STATE)
            counts[COUNT_STATE] += (double)tensor_elements(tensor, &env);
    }
    arena_free(arena);
    return true;
}

/* The optimiser of the example's recipe, else with its defaults and some rate. */
static const Node *optimizer_expression(const DocFile *file, const DocEntry *entry)
{
    const char *text = arena_printf(file->arena, "%s(rate = 0.001)", entry->node->name);
    return parse_expression(file->arena, file->context->interner, file->module->diags, "optimizer", text, strlen(text));
}

void optimizer_costs(const DocFile *file, const DocEntry *entry, Str *out)
{
    static const int64_t sizes[] = {16, 32, 48, 64, 80};
    const Node *axes = list_at(entry->node->kids[DEFINITION_INPUTS], 0)->kids[INPUT_AXES];
    const int rank = list_count(axes);
    double rate;
    OptimizerForm *form = lower_optimizer(file->module, optimizer_expression(file, entry), NULL, rank, &rate);
    if (!form)
        return;
    for (int o = 0; o < form->unit->output_count; o++) /* new states are what is asked for too */
        form->unit->outputs[o].kind = OUTPUT_RESULT;
    Variable variables[2] = {{.role = VARIABLE_ATTRIBUTE, .name = "n"}, {.role = VARIABLE_ATTRIBUTE, .name = "n"}};
    for (int v = 0; v < rank && v < 2; v++)
        variables[v].name = list_at(axes, v)->name;
    for (int v = 0; v < 2; v++)
        for (int i = 0; i < VARIABLE_VALUES; i++)
            variables[v].value[i] = rational_int(sizes[i]);
    Counted counted;
    FormCount context = {form};
    count_symbolically(file->arena, 2, variables, form_counts, &context, &counted);
    str_printf(out, "**Costs**, by default, for a tensor of %s\n\n| count | |\n|---|---|\n| elements of state | `",
               rank == 0   ? "any rank, an element"
               : rank == 1 ? "one axis"
                           : "two last axes");
    count_print(&counted, COUNT_STATE, out);
    str_append(out, "` |\n| FLOPs of an update | `");
    count_print(&counted, COUNT_OTHER, out);
    str_append(out, "` |\n\n**Runs as** ");
    unit_kernels(form->unit, out);
    str_append(out, rank == 0 ? ", over pieces of the tensor that stay in a cache.\n\n" : ", for each matrix or vector by itself.\n\n");
}

/* ---- schedules ---- */

/* `schedule = …` of the example's recipe. */
static const Node *example_schedule(const DocFile *file, const DocEntry *entry)
{
    if (!entry->comment.example)
        return NULL;
    Diagnostics *diags = diagnostics_new();
    const Node *root = parse_file(file->arena, file->context->interner, diags, "example.bfm", entry->comment.example, strlen(entry->comment.example)), *found = NULL;
    for (int i = 0; i < list_count(root->kids[FILE_ITEMS]); i++) {
        const Node *item = list_at(root->kids[FILE_ITEMS], i), *settings = item->kind == NODE_RECIPE ? item->kids[RECIPE_ITEMS] : NULL;
        for (int s = 0; s < list_count(settings); s++)
            if (list_at(settings, s)->kind == NODE_SETTING && strcmp(list_at(settings, s)->name, "schedule") == 0)
                found = list_at(settings, s)->kids[SETTING_VALUE];
    }
    diagnostics_free(diags);
    return found && found->name && strcmp(found->name, entry->node->name) == 0 ? found : NULL;
}

void schedule_values(const DocFile *file, const DocEntry *entry, Str *out)
{
    enum { STEPS = 1000 };
    static const int64_t at[] = {0, 1, 10, 100, 250, 500, 750, 1000};
    const Node *shown = example_schedule(file, entry);
    const Node *name = shown ? shown : ast_name(file->arena, entry->node->name);
    Unit *unit = lower_schedule(file->module, name, STEPS);
    if (!unit)
        return;
    Str heads = {0}, rules = {0}, factors = {0};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        double step = (double)at[i];
        const Value formal = {.count = 1, .real = &step};
        Value result = {0};
        const char *message = interp_run(file->arena, unit, &(InterpContext){.seed = 1}, &formal, &result, NULL);
        str_printf(&heads, " %d |", (int)at[i]);
        str_append(&rules, "---|");
        str_printf(&factors, message ? " – |" : " %.4g |", message ? 0 : result.real[0]);
    }
    str_printf(out, "**Factor**%s, of %d steps\n\n| step |%s\n|---|%s\n| factor |%s\n\n", shown ? " in the example" : " by default", STEPS, str_text(&heads), str_text(&rules),
               str_text(&factors));
    str_free(&heads);
    str_free(&rules);
    str_free(&factors);
}
