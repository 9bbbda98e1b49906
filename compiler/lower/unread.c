/* What a definition, block or model declares and nothing reads: parameters that are trained and decayed for nothing, tensors that are dropped,
   attributes that change nothing. Names are looked for in the whole text, arms of an `if` that were not taken included. */
#include "lower/internal.h"

#include <string.h>

typedef PointerMap Names;

typedef struct Reading {
    Names live; /* read by what the definition gives, directly or through other names */
    VEC(const Node *) statements;
} Reading;

static bool names_hold(const Names *names, Symbol name) { return pointer_map_find(names, name) >= 0; }

static void names_add(Names *names, Symbol name)
{
    if (!names_hold(names, name))
        pointer_map_set(names, name, names->count);
}

static bool names_a_value(const Node *node) { return node->kind == NODE_NAME || node->kind == NODE_SUBSCRIPT || node->kind == NODE_CALL; }

static void collect(const Node *node, Names *names)
{
    if (!node)
        return;
    if (names_a_value(node))
        names_add(names, node->name);
    for (int i = 0; i < node->count; i++)
        collect(node->kids[i], names);
}

static void flatten(Reading *reading, const Node *statements)
{
    for (int i = 0; i < list_count(statements); i++) {
        const Node *node = list_at(statements, i);
        vec_push(&reading->statements, node);
        if (node->kind == NODE_IF) {
            flatten(reading, node->kids[IF_THEN]);
            flatten(reading, node->kids[IF_ELSE]);
        }
    }
}

/* The names that a statement gives a value to, where that is all it does; 0 for what is read by itself. */
static int given_names(const Node *node, Symbol *names, int room)
{
    const Node *target = node->kind == NODE_RECUR ? node->kids[RECUR_TARGET] : node->kind == NODE_ACCUMULATE ? node->kids[ACCUMULATE_TARGET] : NULL;
    if (target) {
        names[0] = target->name;
        return 1;
    }
    if (node->kind == NODE_PARAM || node->kind == NODE_STATE) {
        names[0] = node->name;
        return 1;
    }
    int count = 0;
    if (node->kind == NODE_LET)
        for (int i = 0; i < list_count(node->kids[LET_TARGETS]) && count < room; i++)
            names[count++] = list_at(node->kids[LET_TARGETS], i)->name;
    return count;
}

/* What a statement that is carried out for its own sake reads. */
static void roots(Reading *reading)
{
    for (int i = 0; i < reading->statements.count; i++) {
        const Node *node = reading->statements.items[i];
        switch ((int)node->kind) {
        case NODE_RETURN:
        case NODE_LOSS:
        case NODE_METRIC:
        case NODE_NEXT:
        case NODE_REQUIRE: collect(node, &reading->live); break;
        case NODE_IF: collect(node->kids[IF_CONDITION], &reading->live); break;
        default: break;
        }
    }
}

enum { GIVEN_MAX = 16 };

static bool gives_live(const Reading *reading, const Node *node)
{
    Symbol names[GIVEN_MAX];
    const int count = given_names(node, names, GIVEN_MAX);
    bool live = false;
    for (int i = 0; i < count; i++)
        live = live || names_hold(&reading->live, names[i]);
    return live;
}

static void spread(Reading *reading)
{
    for (int before = -1; before != reading->live.count;) {
        before = reading->live.count;
        for (int i = reading->statements.count - 1; i >= 0; i--)
            if (gives_live(reading, reading->statements.items[i]))
                collect(reading->statements.items[i], &reading->live);
    }
}

/* A name that begins with `_` says itself that nothing reads it. */
static void warn(Lower *lw, const Node *item, Symbol name, Span span, const char *what, const char *consequence)
{
    if (*name == '_')
        return;
    Diagnostic *diag = diag_add(lw->diags, DIAG_W0506, span, "nothing reads the %s `%s` of `%s`", what, name, item->name);
    diag_note(lw->diags, diag, "%s", consequence);
}

static void unread_statements(Lower *lw, const Node *item, const Reading *reading)
{
    for (int i = 0; i < reading->statements.count; i++) {
        const Node *node = reading->statements.items[i];
        if (gives_live(reading, node))
            continue;
        if (node->kind == NODE_PARAM && !(node->op & AST_SHARED))
            warn(lw, item, node->name, node->span, "parameter", "it takes memory and weight decay, and its gradient is always 0");
        else if (node->kind == NODE_LET && list_count(node->kids[LET_TARGETS]) > 0)
            warn(lw, item, list_at(node->kids[LET_TARGETS], 0)->name, node->span, "value", "it is not computed");
        else if (node->kind == NODE_RECUR)
            warn(lw, item, node->kids[RECUR_TARGET]->name, node->span, "recurrence", "it is not computed");
        else if (node->kind == NODE_ACCUMULATE)
            warn(lw, item, node->kids[ACCUMULATE_TARGET]->name, node->span, "sum", "it is not computed");
    }
}

/* ---- attributes ---- */

static const Node *attributes_in(const Node *item)
{
    return item->kids[item->kind == NODE_DEFINITION ? DEFINITION_PARAMS : item->kind == NODE_BLOCK ? BLOCK_ATTRIBUTES : MODEL_ATTRIBUTES];
}

static void collect_required(const Node *called, Names *names)
{
    const Node *attributes = called ? attributes_in(called) : NULL;
    for (int i = 0; i < list_count(attributes); i++)
        if (list_at(attributes, i)->kind == NODE_ATTRIBUTE && !list_at(attributes, i)->kids[ATTRIBUTE_DEFAULT])
            names_add(names, list_at(attributes, i)->name);
}

/* Definitions that the text calls take the attributes by name that they require and are not given. */
static Names taken_by_name(const Lower *lw, const Names *text)
{
    Names names = {0};
    for (int i = 0; i < text->room; i++) {
        if (!text->keys[i])
            continue;
        collect_required(module_find(lw->module, text->keys[i], NODE_DEFINITION, -1), &names);
        collect_required(module_find(lw->module, text->keys[i], NODE_BLOCK, -1), &names);
    }
    return names;
}

static void collect_fields(const Node *node, Names *names)
{
    if (!node)
        return;
    if (node->kind == NODE_FIELD)
        names_add(names, node->name);
    for (int i = 0; i < node->count; i++)
        collect_fields(node->kids[i], names);
}

/* Some definition reads it from outside, `router.group`. */
static bool read_as_field(Lower *lw, Symbol name)
{
    if (!lw->fields) {
        lw->fields = ARENA_NEW(lw->arena, Names);
        for (int i = 0; i < lw->module->item_count; i++)
            collect_fields(lw->module->items[i].node, lw->fields);
    }
    return names_hold(lw->fields, name);
}

static void unread_attributes(Lower *lw, const Node *item, const Scope *scope, const Names *text)
{
    const Node *attributes = attributes_in(item);
    Names taken = taken_by_name(lw, text);
    for (int i = 0; i < list_count(attributes); i++) {
        const Node *attribute = list_at(attributes, i);
        const ScopeEntry *entry = scope_entry(scope, attribute->name);
        const bool width = item->kind == NODE_BLOCK && strcmp(attribute->name, "d") == 0; /* of the stream that the block stands on */
        if (attribute->kind == NODE_ATTRIBUTE && !width && !(entry && entry->used) && !names_hold(text, attribute->name) && !names_hold(&taken, attribute->name) &&
            !read_as_field(lw, attribute->name))
            warn(lw, item, attribute->name, attribute->span, "attribute", "whatever it is given changes nothing");
    }
    pointer_map_free(&taken);
}

/* An optimiser's forms share the attributes of the first. */
static void collect_forms(Lower *lw, const Node *item, Names *text)
{
    collect(item, text);
    for (int n = 0; item->kind == NODE_DEFINITION && item->op == AST_DEF_OPTIMIZER; n++) {
        const Node *form = module_find_form(lw->module, item->name, AST_DEF_OPTIMIZER, n);
        if (!form)
            return;
        collect(form, text);
    }
}

/* A warning is for the author of the text; a definition of the library may have an attribute for the sake of those it stands in for. */
static bool of_library(const Lower *lw, const Node *item)
{
    const Module *module = lw->module;
    const size_t length = strlen(module->library);
    for (int i = module_first(module, item->name); i >= 0; i = module->items[i].next)
        if (module->items[i].node == item) {
            const char *path = module->files[module->items[i].file].path;
            return module->items[i].file != 0 && strncmp(path, module->library, length) == 0 && path[length] == '/';
        }
    return false;
}

void unread_warn(Lower *lw, const Node *item, const Scope *scope)
{
    if (of_library(lw, item))
        return;
    Names text = {0};
    Reading reading = {0};
    collect_forms(lw, item, &text);
    unread_attributes(lw, item, scope, &text);
    if (item->kind == NODE_DEFINITION && item->kids[DEFINITION_BODY]) {
        flatten(&reading, item->kids[DEFINITION_BODY]);
        roots(&reading);
        spread(&reading);
        unread_statements(lw, item, &reading);
    }
    pointer_map_free(&text);
    pointer_map_free(&reading.live);
    vec_free(&reading.statements);
}
