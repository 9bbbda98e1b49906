/* What declarations of several kinds check alike. */
#ifndef BFM_LOWER_DECLARATIONS_H
#define BFM_LOWER_DECLARATIONS_H

#include "lower/internal.h"
#include "lower/space.h"

/* An error unless `value` names an item of one of the two kinds. */
void need_item(Lower *lw, const Node *value, NodeKind kind, NodeKind other, const char *what);
/* An error unless it is a positive number. */
void check_positive(Lower *lw, const Node *value);

/* Checks a space (space.c). False after errors; then *space is incomplete. */
bool space_lower(Lower *lw, const Node *node, Space *space);

#endif
