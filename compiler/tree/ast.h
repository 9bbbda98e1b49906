/* Syntax trees of .bfm files: one uniform node; kinds.def says for each kind what its fields mean and which children stand in which slot.
   Nodes live in an arena and are values: passes do not hang results on them. */
#ifndef BFM_TREE_AST_H
#define BFM_TREE_AST_H

#include "support/arena.h"
#include "support/diag.h"
#include "support/intern.h"
#include "support/rational.h"
#include "support/str.h"

#include <stdbool.h>
#include <stdint.h>

/* Where a kind may stand; a slot names the classes it takes. */
typedef enum {
    CLASS_NONE = 0,
    CLASS_ITEM = 1 << 0, /* of a file */
    CLASS_LIST = 1 << 1,
    CLASS_ATTRIBUTE = 1 << 2,
    CLASS_INPUT = 1 << 3,
    CLASS_TYPE = 1 << 4,
    CLASS_RESULT = 1 << 5,
    CLASS_LINE = 1 << 6, /* of a block or model */
    CLASS_SETTING = 1 << 7,
    CLASS_STATEMENT = 1 << 8, /* of a layer */
    CLASS_TARGET = 1 << 9,
    CLASS_BIND = 1 << 10,
    CLASS_SPACE = 1 << 11, /* items that only spaces have */
    CLASS_DOMAIN = 1 << 12,
    CLASS_SET = 1 << 13,
    CLASS_ON = 1 << 14,
    CLASS_ARGUMENT = 1 << 15,
    CLASS_INDEX = 1 << 16,
    CLASS_EXPR = 1 << 17,
    CLASS_ENTRY = CLASS_EXPR | CLASS_INDEX, /* between brackets */
    CLASS_ANY = (1 << 18) - 1
} NodeClass;

typedef enum { SLOT_ONE, SLOT_OPTIONAL, SLOT_MANY, SLOT_MANY_OPTIONAL } SlotMode;
typedef enum { NAME_NONE, NAME_OPTIONAL, NAME_REQUIRED } NameUse;
typedef enum { OPS_NONE, OPS_DEFINITION, OPS_TYPE, OPS_SHARED, OPS_PARAM, OPS_LET, OPS_REDUCTION, OPS_OPERATOR, OPS_BOOL } NodeOps;

/* NODE_FILE, NODE_LIST, … */
typedef enum {
#define NODE(kind, text, classes, name, ops, slots) NODE_##kind,
#include "tree/kinds.def"
#undef NODE
    NODE_KIND_COUNT
} NodeKind;

/* Slot constants: FILE_ITEMS, BLOCK_ATTRIBUTES, BLOCK_NORM, …; KIND_SLOTS is how many the kind has. */
#define S(kind, slot, mode, classes)                kind##_##slot,
#define NODE(kind, text, classes, name, ops, slots) enum { slots kind##_SLOTS };
#include "tree/kinds.def"
#undef NODE
#undef S

/* node->op of DEFINITION */
enum { AST_DEF_LAYER, AST_DEF_ROUTER, AST_DEF_NORM, AST_DEF_FN, AST_DEF_WIRING, AST_DEF_OPTIMIZER, AST_DEF_SCHEDULE, AST_DEF_COUNT };
/* node->op of TYPE: one of these, plus AST_TYPE_OR_NONE */
enum {
    AST_TYPE_INT,
    AST_TYPE_REAL,
    AST_TYPE_BOOL,
    AST_TYPE_COUNT,
    AST_TYPE_WIDTH,
    AST_TYPE_FN,
    AST_TYPE_ROUTER,
    AST_TYPE_NORM,
    AST_TYPE_LAYER,
    AST_TYPE_WIRING,
    AST_TYPE_CHOICE,
    AST_TYPE_KINDS,
    AST_TYPE_OR_NONE = 0x100
};
/* bits of node->op of REPEAT and PARAM; of DOMAIN */
enum { AST_SHARED = 1, AST_DRAWN = 2, AST_LET = 1 };
/* node->op of REDUCE and METRIC */
enum { AST_SUM, AST_MAX, AST_MIN, AST_MEAN, AST_LSE, AST_REDUCTIONS };
/* node->op of UNARY and BINARY */
enum { AST_NEG, AST_NOT, AST_ADD, AST_SUB, AST_MUL, AST_DIV, AST_MOD, AST_POW, AST_EQ, AST_NE, AST_LT, AST_LE, AST_GT, AST_GE, AST_AND, AST_OR, AST_IMPLIES, AST_OPERATORS };

/* Layout that the formatter keeps; no part of a node's identity. BROKEN: an item whose text is in error, set by the module that loads it. */
enum { NODE_PARENS = 1, NODE_ONE_LINE = 2, NODE_BLANK_BEFORE = 4, NODE_BLANK_AFTER_DOC = 8, NODE_BROKEN = 16 };

typedef struct Node Node;
struct Node {
    NodeKind kind;
    int op; /* see the enums above; 0 where the kind has none */
    Span span;
    Span name_span;    /* of `name` alone, for labels of messages */
    Symbol name;       /* NULL where there is none */
    Rational value;    /* NUMBER */
    double real;       /* NUMBER: the nearest double */
    Symbol text;       /* NUMBER: its spelling, NULL for the shortest */
    Node **kids;       /* by slot; of LIST the items */
    int count;         /* KIND_SLOTS; of LIST the number of items */
    int height;        /* 1 for a leaf */
    int layout;        /* NODE_… bits */
    const char *doc;   /* comment lines before it, with their slashes, separated by newlines; an empty line is kept as one */
    const char *trail; /* comment after it on the same line; of a LIST the one after its opening brace */
    const char *tail;  /* of a LIST: comment lines before its closing brace */
};

/* ---- tables ---- */
const char *node_kind_text(NodeKind kind);
int node_kind_classes(NodeKind kind);
NameUse node_kind_name(NodeKind kind);
NodeOps node_kind_ops(NodeKind kind);
int node_slot_count(NodeKind kind);
const char *node_slot_text(NodeKind kind, int slot); /* "attributes" */
SlotMode node_slot_mode(NodeKind kind, int slot);
int node_slot_classes(NodeKind kind, int slot);
const char *ast_def_text(int op);       /* "layer" */
const char *ast_type_text(int op);      /* "width"; without `| none` */
const char *ast_reduction_text(int op); /* "sum" */
const char *ast_operator_text(int op);  /* "+", "not" */

/* ---- construction ---- */
/* A node of the kind with all slots NULL (MANY slots too: fill each). */
Node *node_new(Arena *arena, NodeKind kind, Span span);
/* Variadic by slots: as many Node * as the kind has slots. */
Node *node_make(Arena *arena, NodeKind kind, Span span, Symbol name, int op, ...);
Node *list_new(Arena *arena, Span span);
void list_push(Arena *arena, Node *list, Node *item);
void list_insert(Arena *arena, Node *list, int index, Node *item);
void list_remove(Node *list, int index);
void node_set(Node *node, int slot, Node *child);
/* An expression of this value: NUMBER; a NEG of one where it is negative; a quotient where no decimal says it. */
Node *ast_number(Arena *arena, Rational value);
Node *ast_name(Arena *arena, Symbol name);
void node_update_height(Node *node);

/* ---- traversal, comparison ---- */
static inline Node *list_at(const Node *list, int index) { return list->kids[index]; }
static inline int list_count(const Node *list) { return list ? list->count : 0; }
/* Pre-order; `visit` returns whether to go into the children. NULL children are skipped, LISTs are visited like any node. */
typedef bool NodeVisit(Node *node, void *context);
void node_walk(Node *node, NodeVisit *visit, void *context);
/* A deep copy; names are shared, comments copied by pointer. */
Node *node_clone(Arena *arena, const Node *node);
/* As node_clone, names interned anew: for a tree that outlives its interner. */
Node *node_import(Arena *arena, Interner *interner, const Node *node);
/* Kind, name, op, value and children; spans, comments, spelling and layout do not count. Names are compared as text. */
bool node_equal(const Node *a, const Node *b);
uint64_t node_hash(const Node *node); /* equal nodes have equal hashes, across runs */

/* The structure against kinds.def: NULL, or (allocated in the arena) what is wrong. */
const char *ast_check(Arena *arena, const Node *node);

#endif
