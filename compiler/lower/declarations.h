/* What declarations of several kinds check alike. */
#ifndef BFM_LOWER_DECLARATIONS_H
#define BFM_LOWER_DECLARATIONS_H

#include "lower/internal.h"

/* An error unless `value` names an item of one of the two kinds. */
void need_item(Lower *lw, const Node *value, NodeKind kind, NodeKind other, const char *what);
/* An error unless it is a positive number. */
void check_positive(Lower *lw, const Node *value);

/* A lowering that evaluates constants and makes nothing, in the module's arena; lower_free ends it. */
void declaration_begin(Lower *lw, const Module *module);
/* Called with a lowering of its own, which evaluates constants and makes nothing; its arena is freed after the call. */
typedef void DeclarationVisit(Lower *lw, const Node *item, void *context);
/* Recipes, searches, spaces and checks of the asking file, those that have no error of their own, in the order of the text. */
void declarations_visit(const Module *module, DeclarationVisit *visit, void *context);

#endif
