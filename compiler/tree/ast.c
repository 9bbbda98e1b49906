/* Construction, traversal and comparison of syntax trees, all driven by the table of kinds. */
#include "tree/ast.h"

#include "support/bug.h"
#include "support/hash.h"

#include <stdarg.h>
#include <string.h>

Node *node_new(Arena *arena, NodeKind kind, Span span)
{
    Node *node = ARENA_NEW(arena, Node);
    int slots = node_slot_count(kind);
    node->kind = kind;
    node->span = span;
    node->name_span = span;
    node->value = rational_int(0);
    node->height = 1;
    node->count = slots;
    if (slots > 0)
        node->kids = ARENA_ARRAY(arena, Node *, slots);
    return node;
}

void node_update_height(Node *node)
{
    int height = 0;
    for (int i = 0; i < node->count; i++)
        if (node->kids[i] && node->kids[i]->height > height)
            height = node->kids[i]->height;
    node->height = height + 1;
}

Node *node_make(Arena *arena, NodeKind kind, Span span, Symbol name, int op, ...)
{
    Node *node = node_new(arena, kind, span);
    node->name = name;
    node->op = op;
    va_list args;
    va_start(args, op);
    for (int i = 0; i < node->count; i++)
        node->kids[i] = va_arg(args, Node *);
    va_end(args);
    node_update_height(node);
    return node;
}

void node_set(Node *node, int slot, Node *child)
{
    BFM_ASSERT(slot >= 0 && slot < node->count);
    node->kids[slot] = child;
    node_update_height(node);
}

/* ---- lists: kids has room for the next power of two above count ---- */

Node *list_new(Arena *arena, Span span) { return node_new(arena, NODE_LIST, span); }

static bool is_full(int count) { return count == 0 || (count >= 4 && (count & (count - 1)) == 0); }

static void list_reserve_one(Arena *arena, Node *list)
{
    if (!is_full(list->count))
        return;
    int capacity = list->count < 4 ? 4 : list->count * 2;
    Node **kids = ARENA_ARRAY(arena, Node *, capacity);
    if (list->count > 0)
        memcpy(kids, list->kids, (size_t)list->count * sizeof *kids);
    list->kids = kids;
}

void list_insert(Arena *arena, Node *list, int index, Node *item)
{
    BFM_ASSERT(list->kind == NODE_LIST && index >= 0 && index <= list->count);
    list_reserve_one(arena, list);
    memmove(list->kids + index + 1, list->kids + index, (size_t)(list->count - index) * sizeof *list->kids);
    list->kids[index] = item;
    list->count++;
    if (item && item->height >= list->height)
        list->height = item->height + 1;
}

void list_push(Arena *arena, Node *list, Node *item) { list_insert(arena, list, list->count, item); }

void list_remove(Node *list, int index)
{
    BFM_ASSERT(list->kind == NODE_LIST && index >= 0 && index < list->count);
    memmove(list->kids + index, list->kids + index + 1, (size_t)(list->count - index - 1) * sizeof *list->kids);
    list->count--;
    node_update_height(list);
}

/* ---- values ---- */

/* A decimal whose digits, point left out, fit 64 bits: one that the lexer reads back exactly. */
static bool is_decimal(Rational value)
{
    Rational scale = rational_int(1);
    while (rational_valid(scale) && scale.num % value.den != 0)
        scale = rational_mul(scale, rational_int(10));
    return rational_valid(rational_mul(value, scale));
}

static Node *number_leaf(Arena *arena, Rational value)
{
    Node *node = node_new(arena, NODE_NUMBER, span_none());
    node->value = value;
    node->real = rational_double(value);
    return node;
}

Node *ast_number(Arena *arena, Rational value)
{
    BFM_ASSERT(rational_valid(value));
    if (value.num < 0 && rational_valid(rational_neg(value)))
        return node_make(arena, NODE_UNARY, span_none(), NULL, AST_NEG, ast_number(arena, rational_neg(value)));
    if (is_decimal(value))
        return number_leaf(arena, value);
    return node_make(arena, NODE_BINARY, span_none(), NULL, AST_DIV, number_leaf(arena, rational_int(value.num)), number_leaf(arena, rational_int(value.den)));
}

Node *ast_name(Arena *arena, Symbol name) { return node_make(arena, NODE_NAME, span_none(), name, 0); }

/* ---- traversal ---- */

void node_walk(Node *node, NodeVisit *visit, void *context)
{
    if (!node || !visit(node, context))
        return;
    for (int i = 0; i < node->count; i++)
        node_walk(node->kids[i], visit, context);
}

static Node *copy(Arena *arena, Interner *interner, const Node *node)
{
    if (!node)
        return NULL;
    Node *twin = arena_memdup(arena, node, sizeof *node);
    if (interner && node->name)
        twin->name = intern(interner, node->name);
    if (interner && node->text)
        twin->text = intern(interner, node->text);
    if (node->kind == NODE_LIST) {
        twin->count = 0;
        for (int i = 0; i < node->count; i++)
            list_push(arena, twin, copy(arena, interner, node->kids[i]));
        return twin;
    }
    if (node->count > 0)
        twin->kids = ARENA_ARRAY(arena, Node *, node->count);
    for (int i = 0; i < node->count; i++)
        twin->kids[i] = copy(arena, interner, node->kids[i]);
    return twin;
}

Node *node_clone(Arena *arena, const Node *node) { return copy(arena, NULL, node); }
Node *node_import(Arena *arena, Interner *interner, const Node *node)
{
    Node *twin = copy(arena, interner, node);
    return twin;
}

static bool same_name(Symbol a, Symbol b) { return a == b || (a && b && strcmp(a, b) == 0); }

static bool same_number(const Node *a, const Node *b)
{
    if (rational_valid(a->value) || rational_valid(b->value))
        return rational_equal(a->value, b->value);
    return memcmp(&a->real, &b->real, sizeof a->real) == 0;
}

bool node_equal(const Node *a, const Node *b)
{
    if (a == b)
        return true;
    if (!a || !b || a->kind != b->kind || a->op != b->op || a->count != b->count || !same_name(a->name, b->name))
        return false;
    if (a->kind == NODE_NUMBER && !same_number(a, b))
        return false;
    for (int i = 0; i < a->count; i++)
        if (!node_equal(a->kids[i], b->kids[i]))
            return false;
    return true;
}

static uint64_t number_hash(const Node *node, uint64_t hash)
{
    if (rational_valid(node->value))
        return hash_mix(hash_mix(hash, (uint64_t)node->value.num), (uint64_t)node->value.den);
    uint64_t bits;
    memcpy(&bits, &node->real, sizeof bits);
    return hash_mix(hash, bits);
}

uint64_t node_hash(const Node *node)
{
    if (!node)
        return hash_text("absent", 0);
    uint64_t hash = hash_text(node_kind_text(node->kind), 0); /* the text, not the number: a new kind changes no other's hash */
    hash = hash_mix(hash, (uint64_t)node->op);
    hash = hash_mix(hash, (uint64_t)node->count);
    if (node->name)
        hash = hash_mix(hash, hash_text(node->name, 0));
    if (node->kind == NODE_NUMBER)
        hash = number_hash(node, hash);
    for (int i = 0; i < node->count; i++)
        hash = hash_mix(hash, node_hash(node->kids[i]));
    return hash;
}
