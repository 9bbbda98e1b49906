/* Inside of the generator: what is known of the tensors made so far, and an operation being drafted. */
#ifndef BFM_TESTS_GENERATOR_H
#define BFM_TESTS_GENERATOR_H

#include "random_program.h"
#include "support/vec.h"

enum { INDICES_MAX = 5, VOLUME_MAX = 12000, ELEMENTS_MAX = 3000 };

typedef struct Known {
    int tensor;
    double size;   /* a bound on the values, roughly */
    int partial;   /* the SET operation whose domain says where it has values; -1: everywhere */
    bool infinite; /* may hold ±inf where a reduction was empty */
} Known;

typedef struct Generator {
    Program *program;
    Unit *unit;
    uint64_t state;
    RandomOptions options;
    DimEnv large; /* the largest bindings, to keep sizes down */
    VEC(Known) known;
    int names;
    int depth; /* of calls */
} Generator;

typedef struct Draft {
    Generator *gen;
    OpBuilder b;
    bool plain;    /* only bare subscripts and constants */
    bool no_conds; /* no shifted subscripts, which need conditions */
    bool misses;   /* a point of the box may be outside the domain */
} Draft;

/* A value under construction: an expression and a bound on its size. */
typedef struct Sized {
    int expr;
    double size;
} Sized;

uint64_t gen_next(Generator *gen);
int gen_below(Generator *gen, int limit);
bool gen_chance(Generator *gen, int percent);
Symbol gen_name(Generator *gen, const char *stem);
Dim gen_extent(Generator *gen);
int64_t gen_large(const Generator *gen, Dim dim);
bool gen_positive(const Generator *gen, Dim dim);
/* A known tensor, the later the likelier; -1 if there is none that fits. Any of the filters may be off. */
int gen_pick(Generator *gen, ElemType type, int rank, Dim bound, bool total);

Draft draft_begin(Generator *gen, OpKind kind, Reducer reducer);
int64_t draft_volume(const Draft *draft);
int draft_index(Draft *draft, Dim extent, bool fresh); /* one of that extent; -1 if there is no room */
bool draft_sub(Draft *draft, Dim extent, Sub *sub);
bool draft_read(Draft *draft, int known, Sized *value);
/* Every axis at a bare index (that of at[axis], or a fresh one where it is -1), with the tensor's own domain. */
bool draft_read_at(Draft *draft, int known, int *at, Sized *value);
Sized draft_expr(Draft *draft, int depth, const Sized *leaves, int leaf_count);
Sized draft_bounded(Draft *draft, Sized value); /* made at most about 3 */
/* Appends the operation; its output is a new tensor at the given bare indices. Returns its position among the known. */
int draft_finish(Draft *draft, Sized body, int rank, const int *indices, Dim bound);
int draft_finish_into(Draft *draft, Sized body, Access out, double size, bool partial, bool infinite);
int known_push(Generator *gen, Known known);

void gen_operations(Generator *gen, int count); /* patterns.c */

#endif
