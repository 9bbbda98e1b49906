/* Instances of a definition, made by changing the example that uses it: attributes become numbers of our choice, and the line loses its norm and stream. */
#include "doc/doc.h"

#include "ir/ledger.h"
#include "parse/parse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { USUAL_BATCH = 8, USUAL_LENGTH = 1024, ITEM_FLOPS_UNIT = 16 };

/* Values to try. Lengths are multiples of 512 and counts powers of two, so that slots of groups come out whole. Reals are
   no whole numbers: nothing multiplies by them for free. */
static const int64_t BATCHES[] = {2, 3, 4, 5, 6}, LENGTHS[] = {512, 1024, 1536, 2048, 2560}, CONTEXTS[] = {1024, 1536, 2048, 2560, 3072};
static const int64_t WIDTHS[] = {16, 32, 48, 64, 80}, COUNTS[] = {2, 4, 8, 16, 32};
static const Rational REALS[] = {{1, 2}, {3, 4}, {5, 4}, {3, 2}, {7, 4}};

/* ---- the text ---- */

const char *doc_module_name(const BfmContext *context, Arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const size_t length = strlen(name), stem = length > 4 && strcmp(name + length - 4, ".bfm") == 0 ? length - 4 : length;
    char *folder = slash ? arena_strndup(arena, path, (size_t)(slash - path)) : arena_strdup(arena, ".");
    char *here = realpath(folder, NULL), *library = context->library ? realpath(context->library, NULL) : NULL;
    const bool standard = here && library && strcmp(here, library) == 0;
    free(here);
    free(library);
    return arena_printf(arena, "%s%.*s", standard ? "std." : "", (int)stem, name);
}

/* A line that gives what has no default: a fallback for layers and norms without an example. */
static const char *plain_example(const BfmContext *context, Arena *arena, const char *path, const Node *definition)
{
    Str text = {0};
    str_printf(&text, "use std.layers\nuse %s\nblock plain { %s(", doc_module_name(context, arena, path), definition->name);
    const Node *params = definition->kids[DEFINITION_PARAMS];
    int given = 0;
    for (int i = 0; i < list_count(params); i++) {
        const Node *attribute = list_at(params, i);
        const int type = attribute->kind == NODE_ATTRIBUTE ? attribute->kids[ATTRIBUTE_TYPE]->op : -1;
        const bool known = strcmp(attribute->name, "context") == 0 || strcmp(attribute->name, "vocab") == 0;
        if (attribute->kind == NODE_ATTRIBUTE && !attribute->kids[ATTRIBUTE_DEFAULT] && !known)
            str_printf(&text, "%s%s = %s", given++ ? ", " : "", attribute->name, type == AST_TYPE_REAL ? "0.5" : type == AST_TYPE_WIDTH ? "64" : "4");
    }
    str_append(&text, ") }\n");
    const char *copy = arena_strdup(arena, str_text(&text));
    str_free(&text);
    return copy;
}

/* A function of one or more values at every point of the stream; only the last operation is its own. */
static const char *function_example(const BfmContext *context, Arena *arena, const char *path, const Node *definition)
{
    Str text = {0};
    const int count = list_count(definition->kids[DEFINITION_INPUTS]);
    str_printf(&text, "use std.layers\nuse %s\nlayer at_every_point(x[b, l, d]) -> [b, l, d] {\n", doc_module_name(context, arena, path));
    for (int i = 1; i < count; i++)
        str_printf(&text, "let u%d[b, l, o] = x[b, l, o] + %d\n", i, i);
    str_printf(&text, "return y[b, l, o] = %s(x[b, l, o]", definition->name);
    for (int i = 1; i < count; i++)
        str_printf(&text, ", u%d[b, l, o]", i);
    str_append(&text, ")\n}\nblock plain { at_every_point() }\n");
    const char *copy = arena_strdup(arena, str_text(&text));
    str_free(&text);
    return copy;
}

static bool is_definition(const Node *node, int op) { return node->kind == NODE_DEFINITION && node->op == op; }

static bool subject_read(Subject *subject, const BfmContext *context, const char *path, const Node *definition, const DocComment *comment)
{
    const char *slash = strrchr(path, '/'), *text = comment->example;
    const char *where = slash ? arena_printf(subject->arena, "%.*s/example.bfm", (int)(slash - path), path) : "example.bfm";
    if (is_definition(definition, AST_DEF_FN))
        text = function_example(context, subject->arena, path, definition);
    else if (!text && (is_definition(definition, AST_DEF_LAYER) || is_definition(definition, AST_DEF_NORM)))
        text = plain_example(context, subject->arena, path, definition);
    else if (!text && definition->kind == NODE_BLOCK)
        text = arena_printf(subject->arena, "use %s\n", doc_module_name(context, subject->arena, path));
    if (!text)
        return false;
    subject->module = module_load_text(subject->arena, subject->interner, subject->diags, context->library, where, text, strlen(text));
    const Symbol name = intern(subject->interner, definition->name);
    subject->definition = module_find(subject->module, name, definition->kind, definition->kind == NODE_DEFINITION ? definition->op : -1);
    return subject->definition && diag_errors(subject->diags) == 0;
}

/* ---- where the example uses it ---- */

typedef struct Use {
    const Node *definition;
    Node *item, *line;
    Node **slot; /* holds the NAME or CALL */
} Use;

static bool use_fits(const Use *use, const Node *parent, int slot)
{
    if (!is_definition(use->definition, AST_DEF_WIRING) && !is_definition(use->definition, AST_DEF_LAYER))
        return parent->kind != NODE_LINE || slot != LINE_WIRING;
    return parent->kind == NODE_LINE && slot == (is_definition(use->definition, AST_DEF_WIRING) ? LINE_WIRING : LINE_CALL);
}

static bool use_find(Use *use, Node *node)
{
    if (node->kind == NODE_LINE)
        use->line = node;
    for (int i = 0; i < node->count; i++) {
        Node *child = node->kids[i];
        if (!child)
            continue;
        if ((child->kind == NODE_NAME || child->kind == NODE_CALL) && strcmp(child->name, use->definition->name) == 0 && use->line && use_fits(use, node, i)) {
            use->slot = &node->kids[i];
            return true;
        }
        if (use_find(use, child))
            return true;
    }
    return false;
}

/* A NAME becomes a CALL without arguments. */
static Node *as_call(Arena *arena, Node **slot)
{
    if ((*slot)->kind == NODE_CALL)
        return *slot;
    Node *call = node_new(arena, NODE_CALL, (*slot)->span);
    call->name = (*slot)->name;
    call->kids[CALL_ARGS] = list_new(arena, (*slot)->span);
    return *slot = call;
}

static Node *argument_of(const Node *call, const char *name)
{
    const Node *arguments = call && call->kind == NODE_CALL ? call->kids[CALL_ARGS] : NULL;
    for (int i = 0; i < list_count(arguments); i++)
        if (list_at(arguments, i)->kind == NODE_ARG && strcmp(list_at(arguments, i)->name, name) == 0)
            return list_at(arguments, i);
    return NULL;
}

static bool subject_find_use(Subject *subject)
{
    Node *items = subject->module->files[0].root->kids[FILE_ITEMS];
    Use use = {.definition = subject->definition};
    if (is_definition(subject->definition, AST_DEF_FN)) {
        subject->item = list_at(items, list_count(items) - 1);
        subject->line = list_at(subject->item->kids[BLOCK_BODY], 0);
        subject->part = true;
        const Node *body = list_at(items, list_count(items) - 2)->kids[DEFINITION_BODY];
        subject->own = list_at(body, list_count(body) - 1)->span;
        return true;
    }
    for (int i = 0; i < list_count(items) && !use.slot; i++) {
        use.item = list_at(items, i);
        use.line = NULL;
        if (use.item->kind == NODE_BLOCK || use.item->kind == NODE_MODEL)
            (void)use_find(&use, use.item);
    }
    if (!use.slot)
        return false;
    subject->item = use.item;
    subject->line = use.line;
    subject->own = subject->definition->span;
    subject->part = use.slot != &use.line->kids[LINE_CALL];
    if (!is_definition(subject->definition, AST_DEF_WIRING))
        subject->call = as_call(subject->arena, use.slot);
    if (!subject->part)
        use.line->kids[LINE_WIRING] = ast_name(subject->arena, intern(subject->interner, "none"));
    return true;
}

/* ---- what may vary ---- */

static Variable *variable_add(Subject *subject, VariableRole role, const char *name, const int64_t *values, Node **slot)
{
    for (int i = 0; i < subject->variable_count; i++)
        if (strcmp(subject->variables[i].name, name) == 0)
            return NULL;
    if (subject->variable_count == FIT_VARIABLES_MAX)
        return NULL;
    Variable *variable = &subject->variables[subject->variable_count++];
    *variable = (Variable){.role = role, .name = arena_strdup(subject->arena, name), .slot = slot};
    for (int i = 0; i < VARIABLE_VALUES; i++)
        variable->value[i] = values ? rational_int(values[i]) : REALS[i];
    return variable;
}

static const int64_t *values_of_type(int type) { return type == AST_TYPE_WIDTH ? WIDTHS : type == AST_TYPE_COUNT || type == AST_TYPE_INT ? COUNTS : NULL; }

static bool is_zero(const Node *value) { return value->kind == NODE_NUMBER && value->real == 0; }

/* Where the attribute's value stands: in the call, at its end for the occasion, or in the line that hands it down. */
static Node **attribute_slot(Subject *subject, const Node *attribute)
{
    Node *argument = argument_of(subject->call, attribute->name), *value = attribute->kids[ATTRIBUTE_DEFAULT];
    if (subject->definition->kind == NODE_BLOCK)
        return &((Node *)attribute)->kids[ATTRIBUTE_DEFAULT];
    if (argument)
        return &argument->kids[ARG_VALUE];
    if (!value) {
        argument = subject->line->kids[LINE_CALL] != subject->call ? argument_of(subject->line->kids[LINE_CALL], attribute->name) : NULL;
        return argument ? &argument->kids[ARG_VALUE] : NULL;
    }
    argument = node_new(subject->arena, NODE_ARG, subject->call->span);
    argument->name = attribute->name;
    argument->kids[ARG_VALUE] = value;
    list_push(subject->arena, subject->call->kids[CALL_ARGS], argument);
    return &argument->kids[ARG_VALUE];
}

/* Attributes that are numbers; those that are off by default (0, none) stay off. */
static void attribute_variables(Subject *subject)
{
    const Node *attributes = doc_attributes(subject->module, subject->definition);
    const bool usable = subject->call || subject->definition->kind == NODE_BLOCK;
    for (int i = 0; usable && i < list_count(attributes); i++) {
        const Node *attribute = list_at(attributes, i), *value = attribute->kind == NODE_ATTRIBUTE ? attribute->kids[ATTRIBUTE_DEFAULT] : NULL;
        const int type = attribute->kind == NODE_ATTRIBUTE ? attribute->kids[ATTRIBUTE_TYPE]->op & ~AST_TYPE_OR_NONE : AST_TYPE_KINDS;
        const bool number = type == AST_TYPE_INT || type == AST_TYPE_REAL || type == AST_TYPE_COUNT || type == AST_TYPE_WIDTH;
        const bool given = subject->definition->kind != NODE_BLOCK && argument_of(subject->call, attribute->name);
        const bool off = value && (is_zero(value) || (value->kind == NODE_NAME && strcmp(value->name, "none") == 0));
        if (!number || (off && !given) || (subject->definition->kind == NODE_BLOCK && strcmp(attribute->name, "d") == 0))
            continue;
        Node **slot = attribute_slot(subject, attribute);
        Variable *variable = slot ? variable_add(subject, VARIABLE_ATTRIBUTE, attribute->name, values_of_type(type), slot) : NULL;
        if (variable) {
            variable->whole = type != AST_TYPE_REAL;
            variable->tall = type == AST_TYPE_COUNT || type == AST_TYPE_INT;
        }
    }
}

static Node **setting_slot(const Node *model, const char *name)
{
    const Node *body = model->kids[MODEL_BODY];
    for (int i = 0; i < list_count(body); i++)
        if (list_at(body, i)->kind == NODE_SETTING && strcmp(list_at(body, i)->name, name) == 0)
            return &list_at(body, i)->kids[SETTING_VALUE];
    return NULL;
}

/* The first line of a model that sets a width `d` sets that of its stream. */
static Node **model_width(const Node *model)
{
    const Node *body = model->kids[MODEL_BODY];
    for (int i = 0; i < list_count(body); i++) {
        Node *argument = list_at(body, i)->kind == NODE_LINE ? argument_of(list_at(body, i)->kids[LINE_CALL], "d") : NULL;
        if (argument)
            return &argument->kids[ARG_VALUE];
    }
    return NULL;
}

/* What the definition calls the width of its input. */
static const char *width_name(const Node *definition)
{
    const Node *inputs = definition->kind == NODE_DEFINITION ? definition->kids[DEFINITION_INPUTS] : NULL;
    const Node *axes = list_count(inputs) ? list_at(inputs, 0)->kids[INPUT_AXES] : NULL;
    const Node *last = list_count(axes) ? list_at(axes, list_count(axes) - 1) : NULL;
    return last && last->kind == NODE_NAME ? last->name : "d";
}

static void subject_variables(Subject *subject)
{
    const bool model = subject->item->kind == NODE_MODEL;
    (void)variable_add(subject, VARIABLE_BATCH, "b", BATCHES, NULL);
    (void)variable_add(subject, VARIABLE_LENGTH, "l", LENGTHS, NULL);
    if (!model)
        (void)variable_add(subject, VARIABLE_WIDTH, width_name(subject->definition), WIDTHS, NULL);
    else if (model_width(subject->item))
        (void)variable_add(subject, VARIABLE_ATTRIBUTE, width_name(subject->definition), WIDTHS, model_width(subject->item));
    if (!model)
        (void)variable_add(subject, VARIABLE_CONTEXT, "context", CONTEXTS, NULL);
    else if (setting_slot(subject->item, "context"))
        (void)variable_add(subject, VARIABLE_ATTRIBUTE, "context", CONTEXTS, setting_slot(subject->item, "context"));
    if (model && setting_slot(subject->item, "vocab"))
        (void)variable_add(subject, VARIABLE_ATTRIBUTE, "vocab", WIDTHS, setting_slot(subject->item, "vocab"));
    subject->written = subject->call ? list_count(subject->call->kids[CALL_ARGS]) : 0;
    attribute_variables(subject);
    subject->filled = subject->call ? list_count(subject->call->kids[CALL_ARGS]) : 0;
}

/* "name=value" into the call, or into the default of a block's attribute. */
static bool subject_change(Subject *subject, const char *change)
{
    const char *equals = strchr(change, '=');
    const Symbol name = intern_n(subject->interner, change, (size_t)(equals - change));
    Node *value = parse_expression(subject->arena, subject->interner, subject->diags, "change", equals + 1, strlen(equals + 1));
    if (subject->definition->kind == NODE_BLOCK) {
        const Node *attributes = subject->definition->kids[BLOCK_ATTRIBUTES];
        for (int i = 0; i < list_count(attributes); i++)
            if (list_at(attributes, i)->name == name)
                list_at(attributes, i)->kids[ATTRIBUTE_DEFAULT] = value;
        return true;
    }
    if (!subject->call)
        return false;
    Node *argument = argument_of(subject->call, name);
    if (!argument) {
        argument = node_new(subject->arena, NODE_ARG, subject->call->span);
        argument->name = name;
        list_push(subject->arena, subject->call->kids[CALL_ARGS], argument);
    }
    argument->kids[ARG_VALUE] = value;
    return true;
}

/* Required attributes of a block get values too. */
static void block_defaults(Subject *subject)
{
    const Node *attributes = subject->definition->kids[BLOCK_ATTRIBUTES];
    subject->item = (Node *)subject->definition;
    for (int i = 0; i < list_count(attributes); i++) {
        Node *attribute = list_at(attributes, i);
        if (!attribute->kids[ATTRIBUTE_DEFAULT] && strcmp(attribute->name, "d") != 0)
            attribute->kids[ATTRIBUTE_DEFAULT] = ast_number(subject->arena, rational_int(attribute->kids[ATTRIBUTE_TYPE]->op == AST_TYPE_WIDTH ? 64 : 4));
    }
}

Subject *subject_new(const BfmContext *context, const char *path, const Node *definition, const DocComment *comment, const char *change)
{
    Arena *arena = arena_new();
    Subject *subject = ARENA_NEW(arena, Subject);
    *subject = (Subject){.arena = arena, .interner = interner_new(), .diags = diagnostics_new()};
    bool ok = (definition->kind == NODE_DEFINITION || definition->kind == NODE_BLOCK) && subject_read(subject, context, path, definition, comment);
    if (ok && definition->kind == NODE_BLOCK)
        block_defaults(subject);
    else
        ok = ok && subject_find_use(subject);
    ok = ok && (!change || subject_change(subject, change));
    if (ok) {
        subject_variables(subject);
        return subject;
    }
    subject_free(subject);
    return NULL;
}

void subject_free(Subject *subject)
{
    if (!subject)
        return;
    diagnostics_free(subject->diags);
    interner_free(subject->interner);
    arena_free(subject->arena);
}

/* ---- samples ---- */

static int64_t value_of(const Subject *subject, VariableRole role, const Rational *values, int64_t absent)
{
    for (int v = 0; values && v < subject->variable_count; v++)
        if (subject->variables[v].role == role)
            return values[v].num;
    return absent;
}

/* The unit that the line became. */
static const Unit *line_unit(const Subject *subject, const Lowered *lowered)
{
    for (int i = 0; subject->line && i < lowered->line_count; i++) {
        const LineInfo *line = &lowered->lines[i];
        if (line->call >= 0 && line->span.file == subject->line->span.file && line->span.begin == subject->line->span.begin)
            return lowered->program->main->ops[line->call].callee;
    }
    return subject->line ? NULL : lowered->program->main;
}

bool sample_new(const Subject *subject, const Rational *values, Mode mode, Sample *sample)
{
    *sample = (Sample){.arena = arena_new(), .diags = diagnostics_new(), .module = *subject->module};
    Node *old[FIT_VARIABLES_MAX];
    sample->module.arena = sample->arena;
    sample->module.diags = sample->diags;
    for (int v = 0; v < subject->variable_count; v++) {
        Node **slot = subject->variables[v].slot;
        old[v] = slot ? *slot : NULL;
        if (slot && values)
            *slot = ast_number(sample->arena, values[v]);
    }
    if (subject->call)
        subject->call->kids[CALL_ARGS]->count = values ? subject->filled : subject->written;
    const LowerOptions options = {.mode = mode};
    sample->lowered = subject->item->kind == NODE_MODEL ? lower_model(&sample->module, subject->item, &options)
                                                        : lower_block(&sample->module, subject->item, value_of(subject, VARIABLE_WIDTH, values, 0),
                                                                      value_of(subject, VARIABLE_CONTEXT, values, USUAL_LENGTH), &options);
    for (int v = 0; v < subject->variable_count; v++)
        if (subject->variables[v].slot)
            *subject->variables[v].slot = old[v];
    sample->unit = sample->lowered && diag_errors(sample->diags) == 0 ? line_unit(subject, sample->lowered) : NULL;
    if (sample->unit)
        return true;
    sample_free(sample);
    return false;
}

void sample_free(Sample *sample)
{
    diagnostics_free(sample->diags);
    arena_free(sample->arena);
    *sample = (Sample){0};
}

/* ---- counting ---- */

bool subject_owns(const Subject *subject, Span span)
{
    return !subject->part || (span.file == subject->own.file && span.begin >= subject->own.begin && span.end <= subject->own.end);
}

/* What a ranking compares is polynomial, what it takes to compare is not: rankings are counted apart. */
static void add_op(const Op *op, const OpCost *cost, const DimEnv *env, double *counts)
{
    double other = cost->work.forward - cost->work.products;
    if (op->kind == OP_TOP) {
        other -= cost->ranked * (1 + log2(fmax(1, (double)dim_eval(op->top_k, env))));
        other = nearbyint(other * ITEM_FLOPS_UNIT) / ITEM_FLOPS_UNIT;
    }
    counts[COUNT_PRODUCTS] += cost->work.products;
    counts[COUNT_OTHER] += other;
    counts[COUNT_RANKED] += cost->ranked;
    counts[COUNT_BACKWARD] += cost->work.backward;
    counts[COUNT_KEPT] += cost->work.kept_bytes;
}

static double elements(const Tensor *tensor, const DimEnv *env)
{
    double size = 1;
    for (int i = 0; i < tensor->rank; i++)
        size *= (double)dim_eval(tensor->extent[i], env);
    return size;
}

static void add_call(const Subject *subject, const CallCost *call, const DimEnv *env, double *counts)
{
    const Unit *unit = call->cost->unit;
    for (int o = 0; o < unit->op_count; o++)
        if (subject_owns(subject, unit->ops[o].span))
            add_op(&unit->ops[o], &call->cost->ops[o], env, counts);
    for (int f = 0; f < unit->formal_count; f++) {
        const Tensor *tensor = &unit->tensors[unit->formals[f]];
        const ParamCost *param = &call->cost->formals[f];
        if (!subject_owns(subject, tensor->span))
            continue;
        counts[COUNT_STATE] += tensor->role == TENSOR_STATE ? elements(tensor, env) : 0;
        if (subject->part) {
            counts[COUNT_PARAMETERS] += (double)param->elements;
            counts[COUNT_MULTIPLYING] += param->use == PARAM_PRODUCT ? (double)param->elements : 0;
            counts[COUNT_ACTIVATED] += param->activated;
        }
    }
    if (!subject->part) {
        counts[COUNT_PARAMETERS] += (double)counts_total(call->first);
        counts[COUNT_MULTIPLYING] += (double)call->first.products;
        counts[COUNT_ACTIVATED] += call->first.activated;
    }
}

bool subject_counts(const Subject *subject, const Rational *values, double counts[COUNT_KINDS])
{
    Sample sample;
    for (int k = 0; k < COUNT_KINDS; k++)
        counts[k] = 0;
    if (!sample_new(subject, values, MODE_TRAIN, &sample))
        return false;
    const int64_t length = sample.lowered->context ? sample.lowered->context : USUAL_LENGTH;
    const DimEnv env = {.value = {[DIM_B] = value_of(subject, VARIABLE_BATCH, values, USUAL_BATCH), [DIM_L] = value_of(subject, VARIABLE_LENGTH, values, length), [DIM_N] = 1}};
    const ProgramCost *cost = program_cost_at(sample.arena, sample.lowered->program, &env);
    Work beside = cost->work; /* of a block: what stands between its lines */
    bool found = false;
    for (int c = 0; c < cost->call_count && !found; c++) {
        found = subject->line && cost->calls[c].cost->unit == sample.unit;
        beside.forward -= cost->calls[c].cost->work.forward;
        beside.backward -= cost->calls[c].cost->work.backward;
        if (!subject->line || found)
            add_call(subject, &cost->calls[c], &env, counts);
    }
    counts[COUNT_OTHER] += subject->line ? 0 : nearbyint(beside.forward);
    counts[COUNT_BACKWARD] += subject->line ? 0 : nearbyint(beside.backward);
    sample_free(&sample);
    return true;
}

bool subject_effect(const Subject *subject, Mode mode, Effect *effect)
{
    Sample sample;
    if (!sample_new(subject, NULL, mode, &sample))
        return false;
    const ProgramEffects *effects = effects_analyse(sample.arena, sample.lowered->program);
    FutureRead read;
    *effect = effect_none();
    for (int o = 0; o < sample.unit->output_count; o++)
        if (sample.unit->outputs[o].kind == OUTPUT_RESULT)
            *effect = effects_of(effects, sample.unit)->outputs[o], effect->future = !effect_causal(*effect) && effects_future(effects, sample.unit, o, &read);
    sample_free(&sample);
    return true;
}
