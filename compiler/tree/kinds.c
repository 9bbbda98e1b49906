/* What kinds.def says, as data. */
#include "tree/ast.h"

#include "support/bug.h"

enum { SLOTS_MAX = 8 }; /* one more than any kind has: the rows end with an empty one */

typedef struct SlotRow {
    const char *text;
    SlotMode mode;
    int classes;
} SlotRow;

typedef struct KindRow {
    const char *text;
    int classes;
    NameUse name;
    NodeOps ops;
    int count;
    SlotRow slots[SLOTS_MAX];
} KindRow;

#define S(kind, slot, mode, classes)                {#slot, SLOT_##mode, classes},
#define NODE(kind, text, classes, name, ops, slots) [NODE_##kind] = {text, classes, name, ops, kind##_SLOTS, {slots{NULL, SLOT_ONE, 0}}},
static const KindRow KINDS[NODE_KIND_COUNT] = {
#include "tree/kinds.def"
};
#undef NODE
#undef S

static const char *const DEFINITIONS[AST_DEF_COUNT] = {"layer", "router", "norm", "fn", "wiring", "optimizer", "schedule"};
static const char *const TYPES[AST_TYPE_KINDS] = {"int", "real", "bool", "count", "width", "fn", "router", "norm", "layer", "wiring", "choice"};
static const char *const REDUCTIONS[AST_REDUCTIONS] = {"sum", "max", "min", "mean", "lse"};
static const char *const OPERATORS[AST_OPERATORS] = {"-", "not", "+", "-", "*", "/", "%", "^", "==", "!=", "<", "<=", ">", ">=", "and", "or", "implies"};

static const KindRow *row_of(NodeKind kind)
{
    BFM_ASSERT((int)kind >= 0 && kind < NODE_KIND_COUNT);
    return &KINDS[kind];
}

static const SlotRow *slot_of(NodeKind kind, int slot)
{
    const KindRow *row = row_of(kind);
    BFM_ASSERT(slot >= 0 && slot < row->count);
    return &row->slots[slot];
}

const char *node_kind_text(NodeKind kind) { return row_of(kind)->text; }
int node_kind_classes(NodeKind kind) { return row_of(kind)->classes; }
NameUse node_kind_name(NodeKind kind) { return row_of(kind)->name; }
NodeOps node_kind_ops(NodeKind kind) { return row_of(kind)->ops; }
int node_slot_count(NodeKind kind) { return row_of(kind)->count; }
const char *node_slot_text(NodeKind kind, int slot) { return slot_of(kind, slot)->text; }
SlotMode node_slot_mode(NodeKind kind, int slot) { return slot_of(kind, slot)->mode; }
int node_slot_classes(NodeKind kind, int slot) { return slot_of(kind, slot)->classes; }

const char *ast_def_text(int op)
{
    BFM_ASSERT(op >= 0 && op < AST_DEF_COUNT);
    return DEFINITIONS[op];
}

const char *ast_type_text(int op)
{
    op &= ~AST_TYPE_OR_NONE;
    BFM_ASSERT(op >= 0 && op < AST_TYPE_KINDS);
    return TYPES[op];
}

const char *ast_reduction_text(int op)
{
    BFM_ASSERT(op >= 0 && op < AST_REDUCTIONS);
    return REDUCTIONS[op];
}

const char *ast_operator_text(int op)
{
    BFM_ASSERT(op >= 0 && op < AST_OPERATORS);
    return OPERATORS[op];
}
