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

/* ---- members ---- */

/* A space whose members can be drawn. It never changes: threads may share it. */
typedef struct BfmSpace BfmSpace;
/* A member: a sequence of lines and what is chosen once. It never changes; it lives in the arena that it was made in, and as long as its space. */
typedef struct BfmMember BfmMember;

/* Numbers that depend on seed and stream and on how many were drawn, on nothing else (Philox; Salmon et al. 2011): the same on every machine. */
typedef struct BfmDraws {
    uint64_t key, next;
} BfmDraws;

BfmDraws bfm_draws(uint64_t seed, uint64_t stream);

/* `item` is a SPACE of the module. NULL after errors (module->diags). bfm_space_close frees it; the module must outlive it. */
BfmSpace *bfm_space_open(const Module *module, const Node *item);
void bfm_space_close(BfmSpace *space); /* NULL is allowed */
const Space *bfm_space_counts(const BfmSpace *space);

/* A member, each with the same probability where Space.exact; else a member that several entries allow is drawn more often. NULL where most members leave so many
   values of `let`s unused that a million draws found none. */
BfmMember *bfm_space_sample(const BfmSpace *space, Arena *arena, BfmDraws *draws);
/* The member that the block is. NULL where it is none: *why says so, in words, in module->arena. `module` is the space's or a candidate of it. */
BfmMember *bfm_space_contains(const BfmSpace *space, const Module *module, const Node *block, Arena *arena, const char **why);
/* A BLOCK without labels, for an item of a module or a candidate. */
Node *bfm_space_block(const BfmSpace *space, Arena *arena, const BfmMember *member, Symbol name);
bool bfm_member_equal(const BfmMember *a, const BfmMember *b);

typedef enum {
    CHANGE_VALUE,   /* an attribute of a line, or its width, has another value of its domain */
    CHANGE_REPLACE, /* a line is one of another entry */
    CHANGE_INSERT,
    CHANGE_REMOVE,
    CHANGE_SWAP, /* two lines change places */
    CHANGE_MOVE, /* a line stands elsewhere; those between move by one */
    CHANGE_LET,
    CHANGE_ONCE, /* d, norm or wiring */
    CHANGE_COUNT
} ChangeKind;

const char *change_text(ChangeKind kind); /* "value" */

typedef struct BfmChange {
    ChangeKind kind;
    int line, other;       /* positions before the change, from 0; other: where a move or swap leads to; -1: none */
    const char *name;      /* of the attribute, `let`, d, norm or wiring; of the layer inserted or removed */
    const char *from, *to; /* values as text; NULL where there is none */
} BfmChange;

/* A member one change away. A proposal is drawn until it is a member and differs: the kind in proportion to weights[kind] (NULL: all alike), then the place
   uniformly, then the new value or line uniformly in its domain. So each member one change of a kind of positive weight away has a positive probability.
   NULL where a hundred thousand proposals gave none. */
BfmMember *bfm_space_mutate(const BfmSpace *space, Arena *arena, const BfmMember *member, const unsigned weights[CHANGE_COUNT], BfmDraws *draws, BfmChange *change);

typedef struct BfmNeighbour {
    BfmMember *member;
    BfmChange change; /* one that leads to it */
} BfmNeighbour;

typedef struct BfmNeighbours {
    int count;
    BfmNeighbour *items;
    bool complete; /* false: `most` cut off members, or values on the way to them */
} BfmNeighbours;

/* All members one change away, each once, at most `most`: those that bfm_space_mutate may give. */
BfmNeighbours bfm_space_neighbours(const BfmSpace *space, Arena *arena, const BfmMember *member, int most);

/* How many changes lead from one member to the other, where no line is changed twice: the least cost of an alignment of their lines (optimal string alignment, Damerau
   1964, with moves and swaps over any distance), plus what differs of the `let`s that both use and of d, norm and wiring. A line for another line is one change,
   however many of its values differ. Blocks between the two need not be members. Symmetric; 0 for equal members only; 1 for a member and its mutant. */
int bfm_space_distance(const BfmMember *a, const BfmMember *b);

#endif
