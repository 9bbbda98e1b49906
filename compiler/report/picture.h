/* A model, block or layer as a picture: what stands in which order, in which scopes, how large it is. Drawn on a terminal or as SVG.
   Repetitions are drawn once. */
#ifndef BFM_REPORT_PICTURE_H
#define BFM_REPORT_PICTURE_H

#include "ir/ledger.h"
#include "lower/lower.h"

#include <jansson.h>

enum { PICTURE_COLORS = 10, PICTURE_GREY = -1 };

typedef enum {
    PICTURE_LINE,
    PICTURE_BLOCK,
    PICTURE_REPEAT,
    PICTURE_PARALLEL, /* its children are branches */
    PICTURE_BRANCH,
    PICTURE_AT,
} PictureKind;

typedef struct Picture {
    PictureKind kind;
    const char *name;  /* definition; the model's */
    const char *label; /* what the file calls the line, NULL where that is its name and a number */
    int detail_count;
    const char **details;    /* "heads 20", in the order of the definition */
    int color;               /* 0 .. PICTURE_COLORS - 1 by the place of the definition among the layers of the library, then of the file; PICTURE_GREY */
    bool wired;              /* LINE: added to the stream; false: in its way */
    int64_t count;           /* REPEAT */
    bool shared;             /* REPEAT: the same weights each time */
    int64_t width;           /* of the stream behind a line; within a scope */
    double total, activated; /* parameters of all repetitions; activated: what a token meets of those in products */
    double share;            /* of the parameters of the whole, 0 .. 1 */
    int child_count;
    struct Picture **children;
} Picture;

/* A picture with what stands above it. */
typedef struct PictureSheet {
    const char *kind; /* "model", "block", "layer" */
    Picture *root;
    double total, activated, largest; /* largest: share of a line */
    int64_t context, vocab;           /* 0 where it is no model */
    bool sparse;                      /* a token does not meet all that multiplies */
    Picture summary;                  /* its details stand below the name */
} PictureSheet;

PictureSheet *picture_make(const Module *module, const Lowered *lowered);

/* On `columns` columns; `color`: with escape sequences. */
void picture_text(Arena *arena, const PictureSheet *sheet, int columns, bool color, Str *out);
void picture_svg(Arena *arena, const PictureSheet *sheet, Str *out);
json_t *picture_json(const Picture *picture);

/* ---- what both draw ---- */

const char *picture_count(Arena *arena, double value);           /* 1.234 M */
const char *picture_title(Arena *arena, const Picture *picture); /* "3 × pair_0", "at 768 wide" */
/* Joins details by " · " into lines of at most `columns` columns; the first has `first` of them, and is empty if nothing fits there. Returns how many lines. */
int picture_wrap(Arena *arena, const Picture *picture, int first, int columns, const char ***lines);
int picture_columns(const char *text); /* of UTF-8 */

#endif
