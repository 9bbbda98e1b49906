/* The editing interface: attributes and lines by path. */
#include "tree/edit.h"

#include "tree/edit_path.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const char *bfm_ast_status_text(BfmAstStatus status)
{
    switch (status) {
    case BFM_AST_OK: return "done";
    case BFM_AST_NO_SUCH_PATH: return "nothing has this path";
    case BFM_AST_NOT_A_LINE: return "the path names no line of a body";
    case BFM_AST_NOT_AN_ATTRIBUTE: return "the path names nothing that has a value";
    case BFM_AST_OUT_OF_RANGE: return "there is no such position";
    case BFM_AST_WRONG_NODE: return "a node of this kind cannot stand there";
    case BFM_AST_OVERLAP: return "one of the two lines contains the other";
    }
    return "unknown status";
}

Node *bfm_ast_clone(Arena *arena, const Node *node) { return node_clone(arena, node); }
bool bfm_ast_equal(const Node *a, const Node *b) { return node_equal(a, b); }
uint64_t bfm_ast_hash(const Node *node) { return node_hash(node); }

Node *bfm_ast_item(const Node *file, const char *name)
{
    const Node *items = file->kids[FILE_ITEMS];
    for (int i = 0; i < items->count; i++)
        if (items->kids[i]->name && strcmp(items->kids[i]->name, name) == 0)
            return items->kids[i];
    return NULL;
}

/* ---- lines ---- */

static bool is_line(const Node *node) { return (node_kind_classes(node->kind) & CLASS_LINE) && node->kind != NODE_ERROR; }

static BfmAstStatus find_line(Node *root, const char *path, Place *place)
{
    const char *rest;
    if (!place_find(root, path, place, &rest) || *rest)
        return BFM_AST_NO_SUCH_PATH;
    return place->list ? BFM_AST_OK : BFM_AST_NOT_A_LINE;
}

Node *bfm_ast_line(Node *root, const char *path)
{
    Place place;
    return find_line(root, path, &place) == BFM_AST_OK ? place.node : NULL;
}

typedef struct LineList {
    Arena *arena;
    Node **lines;
    const char **labels;
    int room, count;
} LineList;

static bool collect_line(Place place, const char *name, int ordinal, void *context)
{
    LineList *list = context;
    if (list->count < list->room) {
        list->lines[list->count] = place.node;
        list->labels[list->count] = ordinal < 0 ? name : arena_printf(list->arena, "%s_%d", name, ordinal);
    }
    list->count++;
    return true;
}

int bfm_ast_lines(Arena *arena, Node *root, const char *path, Node **lines, const char **labels, int room)
{
    Place place;
    const char *rest;
    if (!place_find(root, path, &place, &rest) || *rest || (place.node->kind != NODE_PARALLEL && !place_body(place.node)))
        return -1;
    LineList list = {arena, lines, labels, room, 0};
    scope_walk(place.node, collect_line, &list);
    return list.count;
}

/* Heights along the way are not kept up to date: the parser's limit is on what is read, and a copy (node_clone, node_make) sees the children's. */
BfmAstStatus bfm_ast_insert(Arena *arena, Node *root, const char *body, int position, Node *line)
{
    Place place;
    const char *rest;
    if (!place_find(root, body, &place, &rest))
        return BFM_AST_NO_SUCH_PATH;
    Node *list = place_body(place.node);
    if (place.node->kind == NODE_PARALLEL) {
        if (*rest != '|')
            return BFM_AST_NO_SUCH_PATH;
        char *end;
        long branch = strtol(rest + 1, &end, 10);
        const Node *branches = place.node->kids[PARALLEL_BRANCHES];
        if (end == rest + 1 || *end || branch < 0 || branch >= branches->count)
            return BFM_AST_NO_SUCH_PATH;
        list = branches->kids[branch];
    } else if (*rest || !list) {
        return *rest ? BFM_AST_NO_SUCH_PATH : BFM_AST_NOT_A_LINE;
    }
    bool setting = line->kind == NODE_SETTING && place.node->kind == NODE_MODEL;
    if (!is_line(line) && !setting)
        return BFM_AST_WRONG_NODE;
    if (position < 0 || position > list->count)
        return BFM_AST_OUT_OF_RANGE;
    list_insert(arena, list, position, line);
    return BFM_AST_OK;
}

BfmAstStatus bfm_ast_remove(Node *root, const char *path)
{
    Place place;
    BfmAstStatus status = find_line(root, path, &place);
    if (status == BFM_AST_OK)
        list_remove(place.list, place.index);
    return status;
}

BfmAstStatus bfm_ast_replace(Node *root, const char *path, Node *line)
{
    Place place;
    BfmAstStatus status = find_line(root, path, &place);
    if (status != BFM_AST_OK)
        return status;
    if (!is_line(line))
        return BFM_AST_WRONG_NODE;
    place.list->kids[place.index] = line;
    return BFM_AST_OK;
}

typedef struct Contains {
    const Node *wanted;
    bool found;
} Contains;

static bool look_for(Node *node, void *context)
{
    Contains *contains = context;
    contains->found = contains->found || node == contains->wanted;
    return !contains->found;
}

static bool contains(Node *outer, const Node *inner)
{
    Contains context = {inner, false};
    node_walk(outer, look_for, &context);
    return context.found;
}

BfmAstStatus bfm_ast_swap(Node *root, const char *path, const char *other)
{
    Place a, b;
    BfmAstStatus status = find_line(root, path, &a);
    if (status == BFM_AST_OK)
        status = find_line(root, other, &b);
    if (status != BFM_AST_OK || a.node == b.node)
        return status;
    if (contains(a.node, b.node) || contains(b.node, a.node))
        return BFM_AST_OVERLAP;
    a.list->kids[a.index] = b.node;
    b.list->kids[b.index] = a.node;
    return BFM_AST_OK;
}

BfmAstStatus bfm_ast_wrap(Arena *arena, Node *root, const char *path, int count, NodeKind kind, Node *parameter, bool shared)
{
    Place place;
    BfmAstStatus status = find_line(root, path, &place);
    if (status != BFM_AST_OK)
        return status;
    bool parallel = kind == NODE_PARALLEL;
    if ((kind != NODE_REPEAT && kind != NODE_AT && !parallel) || (parameter == NULL) != parallel)
        return BFM_AST_WRONG_NODE;
    if (count < 1 || count > place.list->count - place.index)
        return BFM_AST_OUT_OF_RANGE;
    for (int i = 0; i < count; i++)
        if (!is_line(place.list->kids[place.index + i]))
            return BFM_AST_WRONG_NODE; /* a setting of a model */
    Node *inner = list_new(arena, span_none());
    for (int i = 0; i < count; i++) {
        Node *line = place.list->kids[place.index];
        list_remove(place.list, place.index);
        Node *branch = list_new(arena, span_none());
        if (parallel)
            list_push(arena, branch, line);
        list_push(arena, inner, parallel ? branch : line);
    }
    Node *wrapped = parallel ? node_make(arena, kind, span_none(), NULL, 0, inner, NULL, NULL)
                             : node_make(arena, kind, span_none(), NULL, kind == NODE_REPEAT && shared ? AST_SHARED : 0, parameter, inner);
    list_insert(arena, place.list, place.index, wrapped);
    return BFM_AST_OK;
}

BfmAstStatus bfm_ast_unwrap(Arena *arena, Node *root, const char *path)
{
    Place place;
    BfmAstStatus status = find_line(root, path, &place);
    if (status != BFM_AST_OK)
        return status;
    Node *body = place_body(place.node);
    if (!body)
        return BFM_AST_WRONG_NODE;
    list_remove(place.list, place.index);
    for (int i = 0; i < body->count; i++)
        list_insert(arena, place.list, place.index + i, body->kids[i]);
    return BFM_AST_OK;
}

/* ---- attributes ---- */

/* Where a value hangs: a slot of its holder; `missing` where the holder (a CALL's or body's list) has to grow first. */
typedef struct Slot {
    Node *holder;
    int slot;
    Node *list;       /* of ARGs or SETTINGs, where the value belongs to one */
    int index;        /* in list, -1 where it is missing */
    NodeKind item;    /* NODE_ARG, NODE_SETTING */
    const char *name; /* not terminated where more follows */
    size_t length;
    const char *rest;
} Slot;

static size_t take_component(const char *path, const char **rest)
{
    size_t length = strcspn(path, ".");
    *rest = path[length] == '.' ? path + length + 1 : path + length;
    return length;
}

static bool is_text(const char *name, size_t length, const char *text) { return strlen(text) == length && memcmp(name, text, length) == 0; }

static int find_named(const Node *list, NodeKind kind, const char *name, size_t length)
{
    for (int i = 0; i < list->count; i++)
        if (list->kids[i]->kind == kind && is_text(name, length, list->kids[i]->name))
            return i;
    return -1;
}

static BfmAstStatus slot_in_list(Node *list, NodeKind item, Slot *slot)
{
    slot->list = list;
    slot->item = item;
    slot->index = find_named(list, item, slot->name, slot->length);
    slot->holder = slot->index < 0 ? NULL : list->kids[slot->index];
    slot->slot = item == NODE_ARG ? (int)ARG_VALUE : (int)SETTING_VALUE;
    return BFM_AST_OK;
}

static BfmAstStatus slot_of(Node *holder, int index, Slot *slot)
{
    slot->holder = holder;
    slot->slot = index;
    return BFM_AST_OK;
}

/* The slot of the first attribute in a path that place_find left. */
static BfmAstStatus attribute_slot(Node *node, Slot *slot)
{
    bool norm = is_text(slot->name, slot->length, "norm"), wiring = is_text(slot->name, slot->length, "wiring");
    if (node->kind == NODE_LINE) {
        if (norm || wiring)
            return slot_of(node, norm ? (int)LINE_NORM : (int)LINE_WIRING, slot);
        return node->kids[LINE_CALL]->kind == NODE_CALL ? slot_in_list(node->kids[LINE_CALL]->kids[CALL_ARGS], NODE_ARG, slot) : BFM_AST_NOT_AN_ATTRIBUTE;
    }
    if (node->kind == NODE_PARALLEL && (norm || wiring))
        return slot_of(node, norm ? (int)PARALLEL_NORM : (int)PARALLEL_WIRING, slot);
    if (node->kind == NODE_REPEAT && is_text(slot->name, slot->length, "count"))
        return slot_of(node, REPEAT_COUNT, slot);
    if (node->kind == NODE_AT && is_text(slot->name, slot->length, "width"))
        return slot_of(node, AT_WIDTH, slot);
    if (node->kind == NODE_BLOCK || node->kind == NODE_MODEL) {
        bool block = node->kind == NODE_BLOCK;
        if (norm)
            return slot_of(node, block ? (int)BLOCK_NORM : (int)MODEL_NORM, slot);
        if (wiring)
            return slot_of(node, block ? (int)BLOCK_WIRING : (int)MODEL_WIRING, slot);
        Node *attributes = node->kids[block ? (int)BLOCK_ATTRIBUTES : (int)MODEL_ATTRIBUTES];
        int index = find_named(attributes, NODE_ATTRIBUTE, slot->name, slot->length);
        if (index >= 0)
            return slot_of(attributes->kids[index], ATTRIBUTE_DEFAULT, slot);
        return block ? BFM_AST_NO_SUCH_PATH : slot_in_list(node->kids[MODEL_BODY], NODE_SETTING, slot);
    }
    if (node->kind == NODE_DEFINITION) {
        int index = find_named(node->kids[DEFINITION_PARAMS], NODE_ATTRIBUTE, slot->name, slot->length);
        return index < 0 ? BFM_AST_NO_SUCH_PATH : slot_of(node->kids[DEFINITION_PARAMS]->kids[index], ATTRIBUTE_DEFAULT, slot);
    }
    if (node->kind == NODE_RECIPE)
        return slot_in_list(node->kids[RECIPE_ITEMS], NODE_SETTING, slot);
    if (node->kind == NODE_SEARCH)
        return slot_in_list(node->kids[SEARCH_ITEMS], NODE_SETTING, slot);
    if (node->kind == NODE_SPACE)
        return slot_in_list(node->kids[SPACE_ITEMS], NODE_SETTING, slot);
    return BFM_AST_NOT_AN_ATTRIBUTE;
}

static Node *slot_value(const Slot *slot) { return slot->holder ? slot->holder->kids[slot->slot] : NULL; }

/* A new ARG stands last; a new SETTING after the settings there are. */
static void add_item(Arena *arena, Interner *interner, Slot *slot, Node *value)
{
    Symbol name = intern_n(interner, slot->name, slot->length);
    Node *item = node_make(arena, slot->item, span_none(), name, 0, value);
    int at = slot->list->count;
    if (slot->item == NODE_SETTING) {
        at = 0;
        while (at < slot->list->count && slot->list->kids[at]->kind == NODE_SETTING)
            at++;
    }
    list_insert(arena, slot->list, at, item);
    slot->holder = item;
    slot->index = at;
}

/* Follows the attributes of a path. Where `grow` is given, values that are names become calls so that attributes can be bound. */
static BfmAstStatus find_slot(Arena *grow, Node *root, const char *path, Slot *slot)
{
    Place place;
    const char *rest;
    if (!place_find(root, path, &place, &rest))
        return BFM_AST_NO_SUCH_PATH;
    if (!*rest)
        return BFM_AST_NOT_AN_ATTRIBUTE;
    *slot = (Slot){.name = rest, .index = -1};
    slot->length = take_component(rest, &slot->rest);
    BfmAstStatus status = attribute_slot(place.node, slot);
    while (status == BFM_AST_OK && *slot->rest) {
        Node *value = slot_value(slot);
        if (!value)
            return BFM_AST_NO_SUCH_PATH;
        if (value->kind == NODE_NAME && grow) {
            value = node_make(grow, NODE_CALL, value->span, value->name, 0, list_new(grow, span_none()));
            slot->holder->kids[slot->slot] = value;
        }
        if (value->kind != NODE_CALL)
            return BFM_AST_NO_SUCH_PATH;
        *slot = (Slot){.name = slot->rest, .index = -1};
        slot->length = take_component(slot->name, &slot->rest);
        status = slot_in_list(value->kids[CALL_ARGS], NODE_ARG, slot);
    }
    return status;
}

Node *bfm_ast_get(Node *root, const char *path)
{
    Slot slot;
    return find_slot(NULL, root, path, &slot) == BFM_AST_OK ? slot_value(&slot) : NULL;
}

BfmAstStatus bfm_ast_set(Arena *arena, Interner *interner, Node *root, const char *path, Node *value)
{
    Slot slot;
    if (!(node_kind_classes(value->kind) & CLASS_EXPR))
        return BFM_AST_WRONG_NODE;
    BfmAstStatus status = find_slot(arena, root, path, &slot);
    if (status != BFM_AST_OK)
        return status;
    if (slot.length == 0)
        return BFM_AST_NO_SUCH_PATH;
    if (slot.holder)
        node_set(slot.holder, slot.slot, value);
    else
        add_item(arena, interner, &slot, value);
    return BFM_AST_OK;
}

BfmAstStatus bfm_ast_unset(Node *root, const char *path)
{
    Slot slot;
    BfmAstStatus status = find_slot(NULL, root, path, &slot);
    if (status != BFM_AST_OK)
        return status;
    if (!slot_value(&slot))
        return BFM_AST_NO_SUCH_PATH;
    if (slot.list)
        list_remove(slot.list, slot.index);
    else if (node_slot_mode(slot.holder->kind, slot.slot) == SLOT_OPTIONAL)
        slot.holder->kids[slot.slot] = NULL;
    else
        return BFM_AST_WRONG_NODE;
    return BFM_AST_OK;
}

Node *bfm_ast_make_line(Arena *arena, Interner *interner, const char *definition, ...)
{
    Node *args = list_new(arena, span_none());
    va_list pairs;
    va_start(pairs, definition);
    for (const char *name; (name = va_arg(pairs, const char *)) != NULL;)
        list_push(arena, args, node_make(arena, NODE_ARG, span_none(), intern(interner, name), 0, va_arg(pairs, Node *)));
    va_end(pairs);
    Node *call = node_make(arena, NODE_CALL, span_none(), intern(interner, definition), 0, args);
    return node_make(arena, NODE_LINE, span_none(), NULL, 0, call, NULL, NULL);
}
