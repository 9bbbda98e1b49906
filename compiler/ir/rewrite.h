/* Tools of the passes: copying an operation while its indices, tensors and domain change, and rebuilding a unit's list of operations.
   Everything lives in the program's arena; the arrays inside an Op are shared between copies and never written after op_finish. */
#ifndef BFM_IR_REWRITE_H
#define BFM_IR_REWRITE_H

#include "ir/ir.h"

/* What an index of the copied operation becomes: an affine of the new indices or the value of an integer tensor (then it may be used only as a
   bare subscript). joint > 1: this index and the joint - 1 after it have, taken together and row-major, that value; joint 0: one of those after it. */
typedef struct IndexBy {
    Affine affine;
    Access *read; /* NULL: affine */
    int joint;    /* 1 normally */
} IndexBy;

typedef int (*TensorMap)(void *user, int tensor);

typedef struct Rewrite Rewrite;
struct Rewrite {
    OpBuilder *to;
    const Unit *unit; /* of `from` */
    const Op *from;
    const IndexBy *by; /* NULL: indices keep their positions */
    Affine *affines;   /* by[i].affine, as affine_substitute wants them */
    TensorMap tensor;  /* NULL: tensors keep their ids */
    void *user;
    int *memo;   /* per expression of `from` */
    bool failed; /* an index that is no affine was used as a number or inside an affine */
    /* Called, if set, before a value read or an integer's subscript is copied: true if it put something else in its place. */
    bool (*read)(Rewrite *rewrite, const Access *access, int *expr);
    bool (*subscript)(Rewrite *rewrite, const Access *access, int span, Sub *sub);
};

Rewrite rewrite_begin(OpBuilder *to, const Unit *unit, const Op *from, const IndexBy *by, TensorMap tensor, void *user);
int rewrite_expr(Rewrite *rewrite, int id);
Affine rewrite_affine(Rewrite *rewrite, Affine affine);
Access rewrite_access(Rewrite *rewrite, const Access *access);
Access rewrite_subs(Rewrite *rewrite, const Access *access, int tensor); /* the subscripts only; tensor is taken as it is */
void rewrite_domain(Rewrite *rewrite);                                   /* adds the conditions and guards to `to` */
/* Points of `from` left out because a subscript is none stay left out of `to`: adds guards for integer reads that `to` mentions no more.
   To be called when body, body2, out and guards of `to` are set. */
void rewrite_keep_none(Rewrite *rewrite);
/* Copies everything of `from` (not a call) to `to` with the same indices. */
void rewrite_all(Rewrite *rewrite);

void builder_indices(OpBuilder *builder, const Op *from); /* same indices as `from` */
Op builder_take(OpBuilder *builder);                      /* what op_finish makes, without appending it to the unit */
int expr_size(OpBuilder *builder, Dim dim);               /* a constant where the dimension is one */
int expr_affine(OpBuilder *builder, Affine affine);       /* its value as an expression */

/* Every access that the operation reads through, with those in subscripts; `use` says where it stands. Calls have none. */
typedef enum { ACCESS_VALUE, ACCESS_SUBSCRIPT, ACCESS_INIT, ACCESS_OUT } AccessUse;
typedef void (*AccessVisitor)(void *user, const Access *access, AccessUse use);
void op_visit(const Op *op, AccessVisitor visit, void *user);
bool op_reads(const Op *op, int tensor); /* in any way; a call: among its arguments */

/* Equal in all but where the results go, the names of indices and the numbers of expressions. Not of calls. (cse.c) */
bool op_meanings_equal(const Unit *unit, const Op *a, const Op *b);

/* Facts about a nest's domain. */
bool affine_has_index(Affine affine, int index);
bool access_has_index(const Access *access, int index);
/* Proved: affine >= 0 wherever 0 <= i < extent for each index. */
bool affine_nonnegative(Program *program, Affine affine, const Index *indices);
/* No conditions, no guards, no subscript that may be none. */
bool op_full_box(const Op *op);
/* Every subscript is a bare index of span 1, each at most once; index_of[k] (may be NULL) receives them. */
bool access_bare(const Access *access, int *index_of);
/* The output subscripts are bare and cover their axes wholly (extent of index = extent of axis). */
bool op_out_bare(const Unit *unit, const Op *op, int *index_of);

/* Rebuilding the list of operations of a unit: begin empties it, then each old operation is kept, replaced by new ones (op_finish) or left out. */
typedef struct Rebuild {
    Unit *unit;
    Op *old;
    int old_count;
    int *moved; /* old position -> new position, -1 = gone */
} Rebuild;
Rebuild rebuild_begin(Unit *unit);
int rebuild_keep(Rebuild *rebuild, int old);                    /* appends it as it is; returns its new position */
void rebuild_mapped(Rebuild *rebuild, int old, const int *map); /* keeps it with each tensor t replaced by map[t] */
void rebuild_replace(Rebuild *rebuild, int old, int position);  /* `position` now stands for `old` (group roles) */
void rebuild_end(Rebuild *rebuild);                             /* groups follow; a group that lost a role loses that role */

void unit_find_defs(Unit *unit); /* sets each tensor's def from the operations */
/* Writes the definition of `tensor` (a SET nest) into operation `reader` whatever it costs; false if it does not fit there. (inline.c) */
bool unit_inline(Unit *unit, int reader, int tensor);
Unit *unit_clone(const Unit *unit, Symbol name);                                             /* not added to the program's units */
int unit_tensor_like(Unit *unit, const Tensor *tensor, const char *suffix, TensorRole role); /* same type and shape, real or integer */
Symbol symbol_suffix(Program *program, Symbol name, const char *suffix);
/* Lists the units that initial values and main need, callees first; others are dropped from the program. */
void program_order(Program *program);

#endif
