/* What the rules of reverse mode share. */
#ifndef BFM_GRAD_INTERNAL_H
#define BFM_GRAD_INTERNAL_H

#include "ir/defined.h"
#include "ir/ir.h"
#include "ir/rewrite.h"
#include "support/vec.h"

/* Where a formal of a backward unit gets its value at a call. */
typedef enum { FEED_FORMAL, FEED_SAVED, FEED_ADJOINT } FeedKind;
typedef struct Feed {
    FeedKind kind;
    int which; /* FORMAL: position in the callee's formals; SAVED: position in the outputs of the forward copy; ADJOINT: of the callee */
} Feed;

/* A callee differentiated for one pattern of given adjoints and wanted formals. */
typedef struct CallPair CallPair;
struct CallPair {
    const Unit *callee;
    bool *seeded;  /* [callee->output_count] */
    bool *wanted;  /* [callee->formal_count] */
    Unit *forward; /* outputs: the callee's, then saved tensors */
    Unit *backward;
    Feed *feeds;      /* [backward->formal_count] */
    int *grad_formal; /* [backward->output_count]: position in the callee's formals */
    CallPair *next;
};

typedef struct Gradient {
    Program *program;
    CallPair *pairs;
} Gradient;

typedef VEC(int) IntList;

/* One unit being differentiated. Adjoint operations go to `target`: the unit itself (main) or its backward unit. */
typedef struct Backward {
    Gradient *gradient;
    Unit *forward, *target;
    int tensor_count; /* of forward, when reverse mode began: the arrays below */
    int *map;         /* forward tensor -> target tensor, -1 not yet; NULL: the same unit */
    int map_count;
    bool *varied;       /* depends, with a derivative, on a wanted formal */
    const Sign *signs;  /* what is known of the numbers of forward */
    bool *undefined;    /* holds numbers that may not be finite */
    IntList *adjoints;  /* per forward tensor: contributions, tensors of target, last reader first */
    VEC(int) source_of; /* per formal of target: forward tensor (>= 0) or -1 - output position of an adjoint */
} Backward;

/* activity.c */
/* varied[] holds the formals on entry and every tensor on return. */
void activity_mark(const Unit *unit, bool *varied);
/* flows[id]: expression id has a derivative by a READ that `from` accepts. */
typedef bool (*ReadFilter)(void *user, int id);
void activity_flow(const Op *op, ReadFilter from, void *user, bool *flows);

/* scalar_rules.c */
bool scalar_differentiable(ExprKind kind, int operand);
/* The adjoint that operand `operand` of an expression gets: a, b, c its operands, y its result, ybar its adjoint; -1 for none. */
int scalar_adjoint(OpBuilder *builder, ExprKind kind, int operand, int ybar, const int arg[3], int y);

/* backward.c */
int backward_need(Backward *backward, int tensor); /* the forward tensor in target: itself, a formal, or recomputed */
int backward_tensor_map(void *backward, int tensor);
void backward_contribute(Backward *backward, int tensor, int contribution);
int backward_adjoint(Backward *backward, int tensor);                  /* the complete adjoint, -1 if nothing contributes */
int backward_copy(Backward *backward, int like, int from);             /* a copy of target tensor `from`, shaped like the forward tensor */
void backward_run(Backward *backward, int count);                      /* operations count-1 … 0 of forward */
int backward_like(Backward *backward, int tensor, const char *suffix); /* a new real local of target, shaped like the forward tensor */

/* nest_rule.c: contributions of an expression of `op` to all that it reads. Tensors of Seed are target's; each is read at the output's subscripts. */
typedef struct Seed {
    int tensor;          /* adjoint of the output */
    int factor;          /* multiplied with it; -1: none */
    int behind;          /* the factor is read one step before, in the order of a recurrence along this index; -1: at the same point */
    int lse;             /* times exp(expression - this); -1: none */
    int chosen;          /* argmax: the point counts only if its flat position is this tensor's value; -1: none */
    bool chosen_top;     /* `chosen` has a last axis of extent 1 */
    const bool *reduced; /* [index_count]: the indices whose flat position is meant */
} Seed;
Seed seed_of(int tensor);
void expression_rule(Backward *backward, const Op *op, int root, const Seed *seed);
void nest_rule(Backward *backward, const Op *op);
/* The adjoint of the READ `read` in expression `root` of `op`, whose own adjoint is ybar; reaches: there is one. */
int expression_adjoint(const Backward *backward, Rewrite *rewrite, const Op *op, int root, int read, int ybar);
bool expression_reaches(const Backward *backward, const Op *op, int root, int read);

/* recur_rule.c, call_rule.c */
void recur_rule(Backward *backward, const Op *op);
void call_rule(Backward *backward, int op);

/* stream_rule.c: all members of a stream at once; false if one of its members gets an adjoint that the rule does not know. */
bool stream_rule(Backward *backward, int group);

#endif
