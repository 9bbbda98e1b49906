/* Members of a space, shared by the files of space/. */
#ifndef BFM_SPACE_MEMBER_H
#define BFM_SPACE_MEMBER_H

#include "space/internal.h"

struct BfmSpace {
    Arena *arena; /* holds all of it */
    Module module;
    Lower lw;
    Space space;
    SpaceLower domains;
    int longest;
    Natural **ways;  /* ways[k][n]: sequences of n lines of the first k entries, each `let` held at one value */
    Natural **power; /* power[k][m]: sequences of m lines of entry k */
    Natural **choose;
    Symbol d;
};

/* A value of a domain. */
typedef struct MemberValue {
    int let;                    /* it is what the member has for this let, -1 */
    const char *text;           /* of a plain value; NULL: box */
    const Node *node;           /* how the space writes it, NULL: a whole number */
    const Box *box;             /* a definition */
    struct MemberValue *values; /* parallel to box->attributes */
} MemberValue;

typedef struct MemberLine {
    int kind; /* entry of the space */
    MemberValue width, value;
} MemberLine;

enum { ONCE_D, ONCE_NORM, ONCE_WIRING, ONCE_COUNT };

/* Values point into the space and into the arena of the member. */
struct BfmMember {
    int length;
    MemberLine *lines;
    bool has_once[ONCE_COUNT];
    MemberValue once[ONCE_COUNT];
    MemberValue lets[SPACE_LETS_MAX]; /* of those that nothing uses too: they distinguish nothing */
};

const Domain *once_domain(const SpaceLower *sl, int once);     /* NULL where the space does not say */
BfmMember *member_copy(Arena *arena, const BfmMember *member); /* deep, but for what is the space's */
const char *member_value_text(Arena *arena, const BfmMember *member, const MemberValue *value);
/* bit i: the member uses the i-th let */
unsigned member_lets(const BfmMember *member);
const char *once_name(int once);
void member_put(BfmMember *member, int at, MemberLine line); /* `lines` has room for one more */
MemberLine member_take(BfmMember *member, int at);
bool member_counts_fit(const BfmSpace *space, const BfmMember *member); /* how many lines there are, of which entries */
/* Equal as written out. `line`s stand in their members. */
bool member_value_equal(const BfmMember *a, const MemberValue *x, const BfmMember *b, const MemberValue *y);
bool member_line_equal(const BfmMember *a, const MemberLine *x, const BfmMember *b, const MemberLine *y);
/* Uniformly among the values of the domain; those of lets are the member's. */
MemberValue domain_draw(const BfmSpace *space, Arena *arena, const Domain *domain, const BfmMember *member, BfmDraws *draws);
MemberValue box_draw(const BfmSpace *space, Arena *arena, const Box *box, const BfmMember *member, BfmDraws *draws);
MemberLine line_draw(const BfmSpace *space, Arena *arena, int kind, const BfmMember *member, BfmDraws *draws);
void lets_draw(const BfmSpace *space, Arena *arena, BfmMember *member, unsigned lets, BfmDraws *draws); /* bit i: draw the i-th */
bool domain_allows(const BfmMember *member, const Domain *domain, const MemberValue *value);
uint64_t draw_below(BfmDraws *draws, uint64_t bound); /* uniform in [0, bound) */

#endif
