/* The table of scalar nodes as functions. */
#include "ir/ir.h"

#include "support/bug.h"
#include "support/hash.h"

#include <math.h>
#include <string.h>

typedef struct ScalarRow {
    const char *name;
    int arity;
    double flops;
    enum { NUMBER, TRUTH } value;
    enum { INNER, CALLED } use;
} ScalarRow;

static const ScalarRow rows[EXPR_COUNT] = {
#define SCALAR(name, text, arity, flops, value, use, code, eval, da, db, dc) [EXPR_##name] = {#text, arity, flops, value, use},
#include "bfm/scalars.def"
#undef SCALAR
};

const char *scalar_name(ExprKind kind) { return rows[kind].name; }
int scalar_arity(ExprKind kind) { return rows[kind].arity; }
double scalar_flops(ExprKind kind) { return rows[kind].flops; }

double scalar_eval(ExprKind kind, double a, double b, double c)
{
#define A a
#define B b
#define C c
    switch (kind) {
#define SCALAR(name, text, arity, flops, value, use, code, eval, da, db, dc)                                                                                                       \
    case EXPR_##name:                                                                                                                                                              \
        return eval;
#include "bfm/scalars.def"
#undef SCALAR
    case EXPR_COUNT: break;
    }
#undef A
#undef B
#undef C
    BFM_BUG("scalar kind %d", (int)kind);
}

bool scalar_is_boolean(ExprKind kind) { return rows[kind].value == TRUTH; }

bool scalar_find_function(const char *name, ExprKind *kind)
{
    for (int k = 0; k < EXPR_COUNT; k++)
        if (rows[k].use == CALLED && strcmp(name, rows[k].name) == 0)
            return *kind = (ExprKind)k, true;
    return false;
}

/* Part by part, so that a tag that carries its path ("a.b.keep", where calls have been inlined) gives the stream of path "a.b" and tag "keep". */
static uint64_t parts_hash(const char *text, uint64_t hash)
{
    for (;;) {
        const size_t length = strcspn(text, ".");
        hash = hash_bytes(text, length, hash);
        if (text[length] == '\0')
            return hash;
        text += length + 1;
    }
}

uint64_t draw_stream(const char *path, Symbol tag) { return parts_hash(tag, path[0] == '\0' ? 0 : parts_hash(path, 0)); }
