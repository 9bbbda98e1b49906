/* What the text of a definition declares, as tables: attributes, inputs, parameters, states, losses, metrics, requirements. */
#include "doc/doc.h"

#include "tree/printer.h"

#include <string.h>

/* ---- cells ---- */

/* Code in a cell of a table: a bar would end the cell. */
static void code_cell(const char *text, Str *out)
{
    str_push(out, '`');
    for (; *text; text++) {
        if (*text == '|')
            str_push(out, '\\');
        str_push(out, *text == '\n' ? ' ' : *text);
    }
    str_push(out, '`');
}

static void text_cell(const char *text, Str *out)
{
    bool code = false;
    for (; text && *text; text++) {
        code = code != (*text == '`');
        if (*text == '|')
            str_push(out, '\\');
        str_push(out, *text == '\n' ? ' ' : *text);
    }
}

static void node_cell(const Node *node, const char *before, Str *out)
{
    Str text = {0};
    str_append(&text, before);
    ast_print_flat(node, &text);
    code_cell(str_text(&text), out);
    str_free(&text);
}

static void entries_print(const Node *entries, Str *out)
{
    str_push(out, '[');
    for (int i = 0; i < list_count(entries); i++) {
        str_append(out, i ? ", " : "");
        ast_print_flat(list_at(entries, i), out);
    }
    str_push(out, ']');
}

static void entries_cell(const Node *entries, Str *out)
{
    Str text = {0};
    entries_print(entries, &text);
    code_cell(str_text(&text), out);
    str_free(&text);
}

/* ---- attributes ---- */

static void type_values(const Node *type, Str *out)
{
    const int kind = type->op & ~AST_TYPE_OR_NONE;
    const char *text = "";
    switch (kind) {
    case AST_TYPE_INT: text = "whole"; break;
    case AST_TYPE_COUNT: text = "whole, ≥ 0"; break;
    case AST_TYPE_WIDTH: text = "whole, ≥ 1; scaled with a model"; break;
    case AST_TYPE_REAL: text = "number"; break;
    case AST_TYPE_BOOL: text = "`true`, `false`"; break;
    case AST_TYPE_CHOICE:
        for (int i = 0; i < list_count(type->kids[TYPE_CHOICES]); i++)
            str_printf(out, "%s`%s`", i ? ", " : "", list_at(type->kids[TYPE_CHOICES], i)->name);
        break;
    case AST_TYPE_FN: text = "a function by name"; break;
    default: str_printf(out, "a %s by name, with attributes or without", ast_type_text(kind)); break;
    }
    str_append(out, text);
    str_append(out, type->op & AST_TYPE_OR_NONE ? " or `none`" : "");
}

static void attribute_row(const Node *attribute, const DocComment *comment, Str *out)
{
    const Node *type = attribute->kids[ATTRIBUTE_TYPE], *value = attribute->kids[ATTRIBUTE_DEFAULT];
    const int kind = type->op & ~AST_TYPE_OR_NONE;
    const bool settled = strcmp(attribute->name, "context") == 0 || strcmp(attribute->name, "vocab") == 0 || strcmp(attribute->name, "steps") == 0;
    str_printf(out, "| `%s` | %s | ", attribute->name, kind == AST_TYPE_CHOICE ? "choice" : ast_type_text(kind));
    if (value)
        node_cell(value, "", out);
    else
        str_append(out, settled ? "the model's or the recipe's" : "**required**");
    str_append(out, " | ");
    type_values(type, out);
    str_append(out, " | ");
    text_cell(doc_attribute_text(comment, attribute->name), out);
    str_append(out, " |\n");
}

void table_attributes(const DocFile *file, const Node *item, const DocComment *comment, Str *out)
{
    const Node *attributes = doc_attributes(file->module, item);
    int rows = 0;
    for (int i = 0; i < list_count(attributes); i++)
        if (list_at(attributes, i)->kind == NODE_ATTRIBUTE) {
            str_append(out, rows++ ? "" : "| attribute | type | default | values | meaning |\n|---|---|---|---|---|\n");
            attribute_row(list_at(attributes, i), comment, out);
        }
    str_append(out, rows ? "\n" : "");
}

/* ---- inputs and result ---- */

static void input_print(const Node *input, bool ambient, int *count, Str *out)
{
    Str text = {0};
    str_append(&text, input->name);
    if (input->kids[INPUT_AXES])
        entries_print(input->kids[INPUT_AXES], &text);
    str_append(out, (*count)++ ? ", " : "");
    code_cell(str_text(&text), out);
    str_free(&text);
    if (input->kids[INPUT_TYPE]) {
        str_append(out, " (points into ");
        node_cell(input->kids[INPUT_TYPE], "", out);
        str_append(out, ")");
    }
    if (ambient && input->kids[INPUT_DEFAULT]) {
        str_append(out, " (");
        node_cell(input->kids[INPUT_DEFAULT], "", out);
        str_append(out, " where there is none)");
    }
}

static void ambient_print(const Node *item, Str *out)
{
    const Node *params = item->kids[DEFINITION_PARAMS];
    int count = 0;
    for (int i = 0; i < list_count(params); i++)
        if (list_at(params, i)->kind == NODE_INPUT) {
            str_append(out, count ? "" : " Ambient, bound by name: ");
            input_print(list_at(params, i), true, &count, out);
        }
    str_append(out, count ? "." : "");
}

void table_inputs(const DocFile *file, const Node *item, Str *out)
{
    (void)file;
    if (item->kind != NODE_DEFINITION)
        return;
    const Node *inputs = item->kids[DEFINITION_INPUTS], *result = item->kids[DEFINITION_RESULT];
    int count = 0;
    str_append(out, list_count(inputs) ? "**Takes** " : item->op == AST_DEF_LAYER ? "**Takes** no stream" : "");
    for (int i = 0; i < list_count(inputs); i++)
        input_print(list_at(inputs, i), false, &count, out);
    str_append(out, list_count(inputs) || item->op == AST_DEF_LAYER ? "." : "");
    ambient_print(item, out);
    if (result) {
        str_append(out, " **Gives** ");
        if (result->kids[RESULT_AXES])
            entries_cell(result->kids[RESULT_AXES], out);
        else
            str_printf(out, "`%s`: which token goes to which part with what weight", result->name);
        str_append(out, ".");
    }
    if (item->op == AST_DEF_LAYER) {
        str_append(out, " **Wiring** ");
        if (item->kids[DEFINITION_WIRING])
            node_cell(item->kids[DEFINITION_WIRING], "", out);
        else
            str_append(out, "the block's");
        str_append(out, item->kids[DEFINITION_WIRING] ? " unless the line says otherwise." : " (`pre`, if it says none).");
    }
    str_append(out, out->length && list_count(inputs) + count + (result != NULL) ? "\n\n" : "");
}

/* ---- what the body declares ---- */

enum { DECLARED_MAX = 64 };

typedef struct Declared {
    const Node *node;
    const char *when; /* "" always */
} Declared;

typedef struct Declarations {
    Arena *arena;
    int count;
    Declared items[DECLARED_MAX];
} Declarations;

static const char *condition_text(Arena *arena, const char *outer, const Node *condition, bool negated)
{
    Str text = {0};
    Node opposite = *condition; /* of an equation */
    const bool turned = negated && condition->kind == NODE_BINARY && (condition->op == AST_EQ || condition->op == AST_NE);
    if (turned)
        opposite.op = condition->op == AST_EQ ? AST_NE : AST_EQ;
    negated = negated && !turned;
    ast_print_flat(&opposite, &text);
    const char *inner = negated ? arena_printf(arena, condition->kind == NODE_NAME ? "not %s" : "not (%s)", str_text(&text)) : arena_strdup(arena, str_text(&text));
    str_free(&text);
    return *outer ? arena_printf(arena, "%s and %s", outer, inner) : inner;
}

static void declared_collect(Declarations *all, const Node *statements, const char *when)
{
    for (int i = 0; i < list_count(statements); i++) {
        const Node *node = list_at(statements, i);
        if (node->kind == NODE_IF) {
            declared_collect(all, node->kids[IF_THEN], condition_text(all->arena, when, node->kids[IF_CONDITION], false));
            if (node->kids[IF_ELSE])
                declared_collect(all, node->kids[IF_ELSE], condition_text(all->arena, when, node->kids[IF_CONDITION], true));
        } else if (all->count < DECLARED_MAX) {
            all->items[all->count++] = (Declared){node, when};
        }
    }
}

static void when_cell(const char *when, Str *out)
{
    if (*when)
        code_cell(when, out);
    else
        str_append(out, "always");
}

static void parameter_rows(const Declarations *all, NodeKind kind, const char *head, Str *out)
{
    int rows = 0;
    for (int i = 0; i < all->count; i++) {
        const Node *node = all->items[i].node;
        if (node->kind != kind)
            continue;
        if (rows++ == 0)
            str_printf(out, "| %s | shape | starts at | exists |\n|---|---|---|---|\n", head);
        str_printf(out, "| `%s` | ", node->name);
        entries_cell(node->kids[kind == NODE_PARAM ? PARAM_SHAPE : STATE_SHAPE], out);
        str_append(out, " | ");
        node_cell(node->kids[kind == NODE_PARAM ? PARAM_INIT : STATE_INIT], kind == NODE_PARAM && node->op & AST_DRAWN ? "~ " : "", out);
        str_append(out, " | ");
        when_cell(all->items[i].when, out);
        str_append(out, kind == NODE_PARAM && node->op & AST_SHARED ? ", once in the model |\n" : " |\n");
    }
    str_append(out, rows ? "\n" : "");
}

typedef struct NameSearch {
    const char *name;
    bool found;
} NameSearch;

static bool look_for_name(Node *node, void *context)
{
    NameSearch *search = context;
    search->found = search->found || (node->name && strcmp(node->name, search->name) == 0);
    return !search->found;
}

/* Constants of the body that shapes are written with: "R = heads / kv_heads". */
static void shape_constants(const Declarations *all, Str *out)
{
    int count = 0;
    for (int i = 0; i < all->count; i++) {
        const Node *let = all->items[i].node, *target = let->kind == NODE_LET ? list_at(let->kids[LET_TARGETS], 0) : NULL;
        if (!target || target->kids[TARGET_ENTRIES])
            continue;
        NameSearch search = {target->name, false};
        for (int k = 0; k < all->count; k++)
            if (all->items[k].node->kind == NODE_PARAM && all->items[k].node->kids[PARAM_SHAPE])
                node_walk(all->items[k].node->kids[PARAM_SHAPE], look_for_name, &search);
        if (!search.found)
            continue;
        str_append(out, count++ ? ", " : "Here ");
        node_cell(let->kids[LET_VALUE], arena_printf(all->arena, "%s = ", target->name), out);
    }
    str_append(out, count ? ".\n\n" : "");
}

static void loss_rows(const Declarations *all, Str *out)
{
    int rows = 0;
    for (int i = 0; i < all->count; i++) {
        const Node *node = all->items[i].node;
        if (node->kind != NODE_LOSS)
            continue;
        str_append(out, rows++ ? "" : "| loss | value | exists |\n|---|---|---|\n");
        str_printf(out, "| `%s` | ", node->name);
        node_cell(node->kids[LOSS_VALUE], "", out);
        str_append(out, " | ");
        when_cell(all->items[i].when, out);
        str_append(out, " |\n");
    }
    str_append(out, rows ? "\n" : "");
}

static void metric_rows(const Declarations *all, Str *out)
{
    int rows = 0;
    for (int i = 0; i < all->count; i++) {
        const Node *node = all->items[i].node, *target = node->kind == NODE_METRIC ? node->kids[METRIC_TARGET] : NULL;
        if (!target)
            continue;
        str_append(out, rows++ ? "" : "| metric | value | over micro-batches | exists |\n|---|---|---|---|\n");
        str_append(out, "| ");
        node_cell(target, "", out);
        str_append(out, " | ");
        node_cell(node->kids[METRIC_VALUE], "", out);
        str_printf(out, " | %s | ", ast_reduction_text(node->op));
        when_cell(all->items[i].when, out);
        str_append(out, " |\n");
    }
    str_append(out, rows ? "\n" : "");
}

static void requirements(const Declarations *all, Str *out)
{
    int count = 0;
    for (int i = 0; i < all->count; i++) {
        if (all->items[i].node->kind != NODE_REQUIRE)
            continue;
        str_append(out, count++ ? "; " : "**Requires** ");
        node_cell(all->items[i].node->kids[REQUIRE_CONDITION], "", out);
        if (*all->items[i].when) {
            str_append(out, " if ");
            code_cell(all->items[i].when, out);
        }
    }
    str_append(out, count ? ".\n\n" : "");
}

void table_declared(const DocFile *file, const Node *item, const DocComment *comment, Str *out)
{
    Declarations all = {.arena = file->arena};
    if (item->kind != NODE_DEFINITION)
        return;
    declared_collect(&all, item->kids[DEFINITION_BODY], "");
    requirements(&all, out);
    parameter_rows(&all, NODE_PARAM, "parameter", out);
    shape_constants(&all, out);
    if (comment->parameters) {
        str_append(out, comment->parameters);
        str_append(out, "\n\n");
    }
    parameter_rows(&all, NODE_STATE, "state", out);
    loss_rows(&all, out);
    metric_rows(&all, out);
}
