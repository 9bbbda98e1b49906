/* Updates of parameters: a plan that computes each item of the leading axis s0 by itself (an optimiser's form), run over pieces of that axis in
   parallel. What lies between its operations stays in caches, and results replace what they were made from. Pieces depend on sizes alone, so the
   bits do not depend on the number of threads. */
#ifndef BFM_TEMPLATES_UPDATE_H
#define BFM_TEMPLATES_UPDATE_H

#include "device/cpu/templates/executor.h"

typedef struct BfmUpdate BfmUpdate;

typedef struct BfmUpdateCall {
    int64_t symbols[BFM_PLAN_SYMBOLS];
    int leading;          /* which of them is s0 */
    void *const *formals; /* [formals] memory as for an instance of the whole */
    void *const *homes;   /* [outputs] where results go, which may be a formal's memory; NULL = nowhere */
    int scaled;           /* a formal of reals that is multiplied by `scale` first; -1 = none */
    double scale;
    uint64_t seed, step;
} BfmUpdateCall;

/* Of the instance's plan, functions and pool, which must outlive it; the instance itself is not used again. */
BfmUpdate *bfm_update_new(const BfmInstance *instance, BfmError *error);
void bfm_update_free(BfmUpdate *update); /* NULL is allowed */
bool bfm_update_run(BfmUpdate *update, const BfmUpdateCall *call, BfmError *error);

/* The sum of the squares, in an order that depends on `count` alone. */
double bfm_square_sum(BfmPool *pool, const float *values, int64_t count);

#endif
