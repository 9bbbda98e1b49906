/* A default is closed where no name in it is bound by the definition that gives it nor by the declaration that it is written into. */
#include "run/defaults.h"

#include <string.h>

typedef struct Writer {
    Arena *arena;
    const Module *module;
    const Node *attributes; /* of the declaration that is written into; NULL: a recipe */
} Writer;

static void write_value(Writer *writer, Node **place);

static bool names(const Node *list, Symbol name)
{
    for (int i = 0; i < list_count(list); i++)
        if (list_at(list, i)->name == name)
            return true;
    return false;
}

static const Node *attributes_of(const Node *callee) { return callee->kids[callee->kind == NODE_BLOCK ? BLOCK_ATTRIBUTES : DEFINITION_PARAMS]; }

static bool is_choice(const Node *attribute, Symbol name)
{
    const Node *type = attribute->kids[ATTRIBUTE_TYPE];
    return strcmp(name, "none") == 0 || names(type->kids[TYPE_CHOICES], name);
}

static bool closed(const Writer *writer, const Node *callee, const Node *attribute, const Node *value)
{
    switch ((int)value->kind) {
    case NODE_NUMBER:
    case NODE_BOOL: return true;
    case NODE_UNARY: return closed(writer, callee, attribute, value->kids[UNARY_OPERAND]);
    case NODE_NAME:
        return is_choice(attribute, value->name) ||
               (!names(attributes_of(callee), value->name) && !names(writer->attributes, value->name) && module_find_any(writer->module, value->name));
    case NODE_CALL:
        for (int i = 0; i < list_count(value->kids[CALL_ARGS]); i++) {
            const Node *argument = list_at(value->kids[CALL_ARGS], i);
            if (argument->kind != NODE_ARG || !closed(writer, callee, attribute, argument->kids[ARG_VALUE]))
                return false;
        }
        return !names(writer->attributes, value->name) && module_find_any(writer->module, value->name) != NULL;
    default: return false;
    }
}

/* The definition (optimisers: the first form, which has the attributes) or block of this name. */
static const Node *callee_of(const Writer *writer, Symbol name)
{
    const Node *block = module_find(writer->module, name, NODE_BLOCK, -1);
    return names(writer->attributes, name) ? NULL : block ? block : module_find(writer->module, name, NODE_DEFINITION, -1);
}

static void add_defaults(Writer *writer, const Node *callee, Node *call)
{
    const Node *attributes = attributes_of(callee);
    for (int i = 0; i < list_count(attributes); i++) {
        const Node *attribute = list_at(attributes, i);
        if (attribute->kind != NODE_ATTRIBUTE || !attribute->kids[ATTRIBUTE_DEFAULT] || names(call->kids[CALL_ARGS], attribute->name) ||
            !closed(writer, callee, attribute, attribute->kids[ATTRIBUTE_DEFAULT]))
            continue;
        Node *value = node_clone(writer->arena, attribute->kids[ATTRIBUTE_DEFAULT]);
        list_push(writer->arena, call->kids[CALL_ARGS], node_make(writer->arena, NODE_ARG, call->span, attribute->name, 0, value));
    }
}

/* `top2` or `top2(capacity = 2)` with everything else that top2 takes; names of definitions without attributes stay names. */
static void write_value(Writer *writer, Node **place)
{
    Node *value = *place;
    const Node *callee = value->kind == NODE_NAME || value->kind == NODE_CALL ? callee_of(writer, value->name) : NULL;
    if (!callee)
        return;
    Node *call = value->kind == NODE_CALL ? value : node_make(writer->arena, NODE_CALL, value->span, value->name, 0, list_new(writer->arena, value->span));
    add_defaults(writer, callee, call);
    const Node *attributes = attributes_of(callee);
    for (int i = 0; i < list_count(call->kids[CALL_ARGS]); i++) {
        Node *argument = list_at(call->kids[CALL_ARGS], i);
        bool choice = false;
        for (int k = 0; k < list_count(attributes); k++)
            choice = choice || (list_at(attributes, k)->kind == NODE_ATTRIBUTE && list_at(attributes, k)->name == argument->name && argument->kind == NODE_ARG &&
                                argument->kids[ARG_VALUE]->kind == NODE_NAME && is_choice(list_at(attributes, k), argument->kids[ARG_VALUE]->name));
        if (argument->kind == NODE_ARG && !choice) {
            write_value(writer, &argument->kids[ARG_VALUE]);
            node_update_height(argument);
        }
    }
    node_update_height(call);
    if (value->kind == NODE_CALL || list_count(call->kids[CALL_ARGS]) > 0)
        *place = call;
}

static bool visit(Node *node, void *context)
{
    if (node->kind == NODE_LINE) {
        Node *call = node->kids[LINE_CALL];
        write_value(context, &node->kids[LINE_CALL]);
        node->kids[LINE_CALL]->layout = call->layout;
    }
    return true;
}

static void write_recipe(Writer *writer, const Node *recipe)
{
    for (int i = 0; i < list_count(recipe->kids[RECIPE_ITEMS]); i++) {
        Node *item = list_at(recipe->kids[RECIPE_ITEMS], i);
        if (item->kind == NODE_SETTING)
            write_value(writer, &item->kids[SETTING_VALUE]);
    }
}

Node *defaults_written(Arena *arena, const Module *module, const Node *item)
{
    Node *copy = node_clone(arena, item);
    Writer writer = {.arena = arena, .module = module};
    if (copy->kind == NODE_BLOCK || copy->kind == NODE_MODEL) {
        writer.attributes = copy->kids[copy->kind == NODE_BLOCK ? BLOCK_ATTRIBUTES : MODEL_ATTRIBUTES];
        node_walk(copy, visit, &writer);
    } else if (copy->kind == NODE_RECIPE) {
        write_recipe(&writer, copy);
    }
    return copy;
}
