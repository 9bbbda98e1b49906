/* What a program costs at a batch b and a length l: parameters, arithmetic, bytes, and the numbers that metrics made of sizes alone come to. Nothing is
   allocated or run; equal instances are counted once.

   Parameters are told apart by use. PRODUCT: a factor of a sum of products over one of its own indices: the matrices that multiply, which is what the
   literature counts. TABLE: one of its axes is the vocabulary: an integer input of the model points into it, or into what is made along it. OTHER: gains,
   biases, tables of scores.
   Activated: elements of PRODUCT parameters that one token meets, on average over a sequence as long as the context, whatever the length. Where an integer chooses a part, the pairs that exist at most are counted:
   k of the parts for k choices, the slots offered for as many slots.
   Arithmetic: 2 per multiply-add, other scalars as bfm/scalars.def says; points cut off by affine conditions do not count, points cut off by data do. A value that
   depends on some indices only counts once for those. Only what results and losses need counts. */
#ifndef BFM_IR_LEDGER_H
#define BFM_IR_LEDGER_H

#include "ir/ir.h"

typedef enum { PARAM_OTHER, PARAM_TABLE, PARAM_PRODUCT } ParamUse;

typedef struct ParamCost {
    int64_t elements;
    ParamUse use;
    double activated;
} ParamCost;

typedef struct Work {
    double forward, backward; /* floating-point operations */
    double products;          /* of the forward ones, those in sums of products */
    double kept_bytes;        /* results of reductions, rankings and recurrences, and integers: what a backward pass wants kept; not those over pairs of
                                 positions, nor those that a log-sum-exp runs over, which are made again */
} Work;

/* A metric that reads nothing but sizes, one number wherever it has indices. */
typedef struct FixedMetric {
    Symbol name;
    double value;
    bool sized; /* the batch or the length decides, not the model alone */
} FixedMetric;

/* An operation of a unit; nothing where no result or loss needs it, or where it is a call. */
typedef struct OpCost {
    Work work;
    double ranked; /* OP_TOP: what is ranked */
} OpCost;

typedef struct UnitCost {
    const Unit *unit;
    Work work;
    OpCost *ops;        /* [op_count] */
    ParamCost *formals; /* [formal_count]; elements 0 where it is no parameter */
    int fixed_count;
    FixedMetric *fixed;
} UnitCost;

typedef struct Counts {
    int64_t products, tables, others; /* parameters by use */
    double activated;                 /* of the products */
} Counts;

/* A call of the main unit: an instance at its place. */
typedef struct CallCost {
    int op;
    Symbol path;
    const UnitCost *cost;
    Counts first;     /* parameters that no call before has used: a shared one counts at its first use */
    double activated; /* of all that it uses */
} CallCost;

typedef struct ProgramCost {
    int64_t batch, length;
    Counts counts;
    Work work; /* of all calls, and of what the main unit does itself */
    int call_count;
    CallCost *calls;
    ParamCost *params; /* [main->formal_count] */
} ProgramCost;

ProgramCost *program_cost(Arena *arena, const Program *program, int64_t batch, int64_t length);
/* The same at these values of all run-time symbols, what a token meets too. */
ProgramCost *program_cost_at(Arena *arena, const Program *program, const DimEnv *env);
static inline int64_t counts_total(Counts counts) { return counts.products + counts.tables + counts.others; }

#endif
