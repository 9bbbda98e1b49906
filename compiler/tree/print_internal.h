/* Between the two halves of the printer: print_flat.c writes any node on one line and marks where it may be broken, printer.c lays lines out. */
#ifndef BFM_TREE_PRINT_INTERNAL_H
#define BFM_TREE_PRINT_INTERNAL_H

#include "tree/ast.h"

/* In flat text, a break opportunity: BREAK_MARK, then a byte that is the larger the deeper the place (breaks are made at the shallowest). */
enum { BREAK_MARK = 1, BREAK_DEPTH_MIN = 2, BREAK_DEPTH_MAX = 120 };

typedef struct Flat {
    Str *out;
    int depth; /* open brackets */
} Flat;

void flat_node(Flat *flat, const Node *node);
/* What stands before the braces of a node's body, and (PARALLEL) after them; `…{` is not part of it. */
void flat_head(Flat *flat, const Node *node);
void flat_tail(Flat *flat, const Node *node);
/* A setting or domain, its name padded to this width. */
void flat_padded(Flat *flat, const Node *node, int width);
/* How wide the name of a setting or domain is, with its `let`; 0 for other kinds. */
int flat_name_width(const Node *node);
/* An assertion of a check: in parentheses where it would continue the one before. */
void flat_assertion(Flat *flat, const Node *node);
/* The slot of the list in braces that ends the node's text, -1 where there is none (IF has two and is treated apart). */
int body_slot(const Node *node);

#endif
