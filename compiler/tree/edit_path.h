/* Where a path leads; private to this folder. */
#ifndef BFM_TREE_EDIT_PATH_H
#define BFM_TREE_EDIT_PATH_H

#include "tree/ast.h"

/* A line and the list it stands in. */
typedef struct Place {
    Node *list;
    int index;
    Node *node; /* list->kids[index]; a BLOCK or MODEL (list NULL) where the path ends at an item */
} Place;

/* Follows labels as far as they go; *rest is what is left of the path ("" at its end). False where the first component already leads nowhere. */
bool place_find(Node *root, const char *path, Place *place, const char **rest);
/* The list of direct lines of a BLOCK, MODEL, REPEAT or AT; NULL for other kinds. */
Node *place_body(const Node *node);
/* Calls `visit` for each line of a scope (repeats are gone into, at and parallel are not), with its label's parts. Stops when it returns false. */
typedef bool ScopeVisit(Place place, const char *name, int ordinal, void *context); /* ordinal -1: `name` is a written label */
void scope_walk(Node *scope, ScopeVisit *visit, void *context);

#endif
