/* The declarative check of a tree against kinds.def: what every pass may rely on. */
#include "tree/ast.h"

static bool op_fits(const Node *node)
{
    int op = node->op;
    switch (node_kind_ops(node->kind)) {
    case OPS_NONE: return op == 0;
    case OPS_DEFINITION: return op >= 0 && op < AST_DEF_COUNT;
    case OPS_TYPE: return (op & ~AST_TYPE_OR_NONE) >= 0 && (op & ~AST_TYPE_OR_NONE) < AST_TYPE_KINDS;
    case OPS_SHARED: return op == 0 || op == AST_SHARED;
    case OPS_PARAM: return (op & ~(AST_SHARED | AST_DRAWN)) == 0;
    case OPS_LET: return op == 0 || op == AST_LET;
    case OPS_REDUCTION: return op >= 0 && op < AST_REDUCTIONS;
    case OPS_OPERATOR: return node->kind == NODE_UNARY ? op == AST_NEG || op == AST_NOT : op > AST_NOT && op < AST_OPERATORS;
    case OPS_BOOL: return op == 0 || op == 1;
    }
    return false;
}

static const char *check_child(Arena *arena, const Node *node, int slot)
{
    const Node *child = node->kids[slot];
    SlotMode mode = node_slot_mode(node->kind, slot);
    int classes = node_slot_classes(node->kind, slot);
    const char *where = arena_printf(arena, "%s of %s", node_slot_text(node->kind, slot), node_kind_text(node->kind));
    if (!child)
        return mode == SLOT_ONE || mode == SLOT_MANY ? arena_printf(arena, "%s is absent", where) : NULL;
    if (mode == SLOT_ONE || mode == SLOT_OPTIONAL)
        return node_kind_classes(child->kind) & classes ? NULL : arena_printf(arena, "%s is a %s", where, node_kind_text(child->kind));
    if (child->kind != NODE_LIST)
        return arena_printf(arena, "%s is a %s, not a list", where, node_kind_text(child->kind));
    for (int i = 0; i < child->count; i++) {
        if (!child->kids[i])
            return arena_printf(arena, "%s has an absent item", where);
        if (!(node_kind_classes(child->kids[i]->kind) & classes))
            return arena_printf(arena, "%s holds a %s", where, node_kind_text(child->kids[i]->kind));
    }
    return NULL;
}

/* A `let` of a space among these. */
static bool has_let(const Node *list)
{
    for (int i = 0; i < list->count; i++)
        if (list->kids[i]->kind == NODE_DOMAIN && list->kids[i]->op == AST_LET)
            return true;
    return false;
}

/* What the table of slots cannot say. */
static const char *check_kind(const Node *node)
{
    if (node->kind == NODE_DEFINITION && (node->kids[DEFINITION_BODY] != NULL) == (node->kids[DEFINITION_VALUE] != NULL))
        return "a definition has either a body or a value";
    if (node->kind == NODE_TUPLE && node->kids[TUPLE_PARTS]->count < 2)
        return "a tuple has at least two parts";
    if (node->kind == NODE_LET && node->kids[LET_TARGETS]->count < 1)
        return "a let has at least one target";
    if (node->kind == NODE_LINE && node->kids[LINE_CALL]->kind != NODE_CALL && node->kids[LINE_CALL]->kind != NODE_ERROR)
        return "a line is a call";
    if (node->kind == NODE_AS && node->kids[AS_CALL]->kind != NODE_CALL)
        return "`as` labels a call";
    if (node->kind == NODE_TYPE && (node->kids[TYPE_CHOICES] != NULL) != ((node->op & ~AST_TYPE_OR_NONE) == AST_TYPE_CHOICE))
        return "a choice type lists its choices, no other does";
    if ((node->kind == NODE_CHOICE && has_let(node->kids[CHOICE_ITEMS])) || (node->kind == NODE_CALL && has_let(node->kids[CALL_ARGS])))
        return "a let stands directly in a space";
    if (node->kind == NODE_CHOICE && node->kids[CHOICE_TIMES] && node->kids[CHOICE_TIMES]->kind == NODE_SET)
        return "a choice is made a number or a range of times";
    if (node->kind == NODE_TYPE)
        for (int i = 0; i < list_count(node->kids[TYPE_CHOICES]); i++)
            if (node->kids[TYPE_CHOICES]->kids[i]->kind != NODE_NAME)
                return "a choice is a name";
    return NULL;
}

const char *ast_check(Arena *arena, const Node *node)
{
    if (!node)
        return NULL;
    NameUse name = node_kind_name(node->kind);
    if ((name == NAME_REQUIRED && !node->name) || (name == NAME_NONE && node->name))
        return arena_printf(arena, "%s %s a name", node_kind_text(node->kind), node->name ? "has" : "lacks");
    if (!op_fits(node))
        return arena_printf(arena, "op %d of %s", node->op, node_kind_text(node->kind));
    for (int i = 0; node->kind != NODE_LIST && i < node->count; i++) {
        const char *wrong = check_child(arena, node, i);
        if (wrong)
            return wrong;
    }
    const char *wrong = check_kind(node);
    for (int i = 0; !wrong && i < node->count; i++)
        wrong = ast_check(arena, node->kids[i]);
    return wrong;
}
