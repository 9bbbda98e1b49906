/* Domains of a space, shared by the files of space/. */
#ifndef BFM_SPACE_INTERNAL_H
#define BFM_SPACE_INTERNAL_H

#include "lower/internal.h"
#include "space/space.h"

struct DomainItem;

/* What an attribute may be: a range of whole numbers, the values of a `let`, or the items. */
typedef struct Domain {
    bool range;
    int64_t low, high;
    int let; /* number of the let it is, -1 */
    int count;
    struct DomainItem *items;
    Natural *weights; /* values of each item, for draws (sample.c) */
} Domain;

typedef struct DomainAttribute {
    Symbol name;
    bool standard; /* not given: at its default */
    Domain domain;
} DomainAttribute;

/* A definition with domains of its attributes. Those with a default that is a constant are there too; others are listed only where they are given. */
typedef struct Box {
    const Node *definition;
    int count;
    DomainAttribute *attributes;
    int *numbers; /* by position of the attribute among those of the definition: its place here, 1 added; 0: not listed */
} Box;

typedef struct DomainItem {
    const char *text; /* a plain value, as val_text writes it; NULL: box */
    const Node *node; /* the value as written */
    Box box;
} DomainItem;

/* Values by the lets that they use: bit i, the i-th. Each let is held at one value. */
typedef struct LetCount {
    unsigned lets;
    Natural count;
} LetCount;

typedef struct LetCounts {
    int count;
    LetCount *items;
} LetCounts;

typedef struct SpaceLower {
    Lower *lw;
    const Node *node;
    Space *space;
    Scope *scope; /* empty: values of a space are constants */
    const Node *let_sets[SPACE_LETS_MAX];
    Span let_spans[SPACE_LETS_MAX];
    Domain let_domains[SPACE_LETS_MAX];
    bool let_known[SPACE_LETS_MAX]; /* let_domains is built: at the first use, which gives it a type */
    unsigned used;                  /* lets that the domain being built uses */
    bool exact;
    Box *kinds;                    /* parallel to space->kinds */
    LetCounts *lines;              /* likewise: the lines that an entry allows */
    Domain width, d, norm, wiring; /* count 0 and no range where the space does not say */
    bool has_width, has_d, has_norm, has_wiring;
    PointerMap once; /* what is chosen once for the block, by name: position among the items */
    int length_count;
    bool lengths[SPACE_LENGTH_MAX + 1];
} SpaceLower;

/* Checks the space and counts its members. False after errors; then *space is incomplete. *domains is what it was made from, in the arena of `lw`. */
bool space_check(Lower *lw, const Node *node, Space *space, SpaceLower *domains);

/* ---- domains (domain.c) ---- */

/* `node` is a SET, a RANGE or a value. False after an error. */
bool domain_build(SpaceLower *sl, const Node *type, const Node *node, Symbol name, Domain *domain);
/* The entry `ffn { … }` of the space, or `top2(…)` of a domain: arguments are DOMAINs, SETTINGs or ARGs. */
bool box_build(SpaceLower *sl, const Node *definition, const Node *arguments, Span span, bool all_required, Box *box);
const Domain *box_domain(SpaceLower *sl, const Box *box, Symbol name); /* NULL where the box does not list it */
/* Whether the value belongs to the domain; a let is bound by the first value met (let_values[i], NULL before). */
bool domain_has(SpaceLower *sl, const Domain *domain, const Val *value, const char **let_values);
bool constant_default(const Node *attribute);
bool text_integer(const char *text, int64_t *value);

/* ---- counts (count.c) ---- */

enum { WORK_NATURAL = 4 }; /* what one operation on numbers of any size takes, in comparisons */
/* So much more is done to count the spaces of the file; false, once with E0701, where it is too much. What then follows is not used. */
bool space_work(SpaceLower *sl, int64_t amount);
LetCounts domain_count(SpaceLower *sl, const Domain *domain);
LetCounts box_count(SpaceLower *sl, const Box *box);
LetCounts counts_one(SpaceLower *sl);                                         /* 1 value, no let */
LetCounts counts_mul(SpaceLower *sl, const LetCounts *a, const LetCounts *b); /* pairs: they use what either uses */
Natural counts_sum(SpaceLower *sl, const LetCounts *counts);
/* Whether no two of them have a value in common, as far as that is known. */
bool boxes_apart(SpaceLower *sl, const Box *boxes, int count);

/* ---- the start (start.c) ---- */

/* Why the block is no member; NULL if it is. Then *member is what it is, in `arena`; NULL: nobody asks. */
const char *start_differs(SpaceLower *sl, const Node *block, Arena *arena, BfmMember *member);

#endif
