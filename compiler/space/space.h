/* Spaces: what their domains are, and how many blocks they hold.

   A member of a space is a block: a sequence of lines, together with what is chosen once for all of them (`d`, `norm`, `wiring`). A line is a layer with a value
   for each attribute that its entry of the space lists, standing inside `at w { … }` where the space has a `width`. Two members differ if their lines differ, as
   sequences, or what is chosen once does. A `let` that no line of a member uses distinguishes nothing. Values that are equal count once, however they are
   written. Bounds of `where` do not count: whether a member meets them is known only when it is looked at. */
#ifndef BFM_SPACE_SPACE_H
#define BFM_SPACE_SPACE_H

#include "module/module.h"
#include "support/limits.h"
#include "support/natural.h"

/* An entry of a space: a layer with domains. */
typedef struct SpaceKind {
    Symbol definition;
    int least, most;  /* how many of the lines; most is cut off at the greatest length */
    Natural variants; /* lines that it allows, each `let` held at one value */
    unsigned lets;    /* bit i: its domains use the space's i-th let */
} SpaceKind;

typedef struct SpaceLet {
    Symbol name;
    Natural values;
} SpaceLet;

typedef struct Space {
    const Node *node;
    int shortest, longest; /* lengths asked for and possible with the counts */
    int kind_count;
    SpaceKind *kinds;
    int let_count;
    SpaceLet *lets;
    Natural once;              /* ways to choose d, norm and wiring */
    Natural size;              /* members */
    bool exact;                /* false: two entries allow equal lines, so that `size` counts some members more than once */
    int bound_count;           /* conditions of `where`, which `size` leaves out */
    Symbol start;              /* NULL where there is none */
    const char *start_differs; /* why the start is no member, NULL if it is one (or could not be looked at) */
} Space;

typedef struct Spaces {
    int count;
    Space *items; /* those of the asking file that are free of errors, in the order of the text */
} Spaces;

/* Checks the spaces of the asking file (errors: module->diags) and counts their members. Everything is in the module's arena. */
Spaces bfm_spaces(const Module *module);

#endif
