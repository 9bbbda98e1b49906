/* Passes over the tensor IR. Each keeps the values of a unit's outputs (within rounding where sums are split) and the positions of its formals and
   outputs. The pipeline is opt_simplify_unit: read it as the index of the passes. A pass that returns bool says whether it changed anything. */
#ifndef BFM_OPT_OPT_H
#define BFM_OPT_OPT_H

#include "ir/ir.h"

typedef enum {
    OPT_BEFORE_GRAD, /* keeps contractions and row statistics apart from what surrounds them, so that their derivatives stay contractions */
    OPT_AFTER_GRAD,  /* also moves cheap element-wise work into its readers */
} OptPhase;

typedef struct OptOptions {
    OptPhase phase;
    bool prologues; /* AFTER_GRAD: cheap element-wise definitions also go into contractions that read them (computed while packing) */
} OptOptions;

void opt_simplify_unit(Unit *unit, const OptOptions *options);
/* Every unit, then results, formals and units that no call uses; before differentiation streams are raised last. */
void opt_simplify(Program *program, const OptOptions *options);

void opt_drop_outputs(Unit *unit, OutputKind kind); /* request.c: nobody asks for the outputs of this kind */
/* terms.c: where the output `loss` of main is a mean over b and l, two more outputs [b, l]: what it is the mean of (0 at points it leaves out), and 1 at each
   point it takes, else 0. Their positions; false, and nothing changes, where the loss is no such mean. */
bool opt_mean_terms(Program *program, int loss, int *terms, int *points);
/* padding.c: what may be no number at padding, where tokens are none, is 0 there. Of a program as it was lowered, before anything else. */
void opt_padding(Program *program);
/* formula.c: where the metric at `output` reads nothing but other metrics of the unit, and sizes: a unit, of a program of its own, whose formals are those
   metrics and whose result is this one. metrics[formal]: which output of `unit` each is; room for all. NULL where it reads anything else. */
Unit *opt_metric_formula(const Unit *unit, int output, int *metrics);
bool opt_dce(Unit *unit);                               /* dce.c */
void opt_drop_formals(Unit *unit, int *kept);           /* formals that nothing reads go; kept[new position] = old position */
bool opt_dead_results(Program *program);                /* callee outputs and formals that no call uses */
bool opt_cse(Unit *unit);                               /* cse.c */
bool opt_normalize(Unit *unit);                         /* normalize.c */
bool opt_factor(Unit *unit);                            /* factor.c */
bool opt_inline(Unit *unit, const OptOptions *options); /* inline.c */
bool opt_hoist(Unit *unit, OptPhase phase);             /* hoist.c */
int opt_raise(Unit *unit);                              /* raise.c: the number of groups found */
bool opt_scalars(Unit *unit);                           /* scalars.c: numbers of the step */
bool opt_is_scalar(const Unit *unit, const Op *op);     /* such a number, or a constant: computed in double precision */
bool opt_split(Unit *unit);                             /* split.c: log-sum-exps in two parts, for whoever computes them */

#endif
