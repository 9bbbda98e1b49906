/* What a model, block or layer costs, as numbers. */
#ifndef BFM_COST_H
#define BFM_COST_H

#include <bfm/api.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct BfmCost {
    int64_t parameters;       /* products + tables + others */
    int64_t products;         /* in matrices that multiply */
    int64_t tables;           /* looked up by a token */
    int64_t others;           /* gains, biases, scores */
    double activated;         /* of the products: what one token meets, on average */
    double forward, backward; /* floating-point operations of one pass at the batch and length */
    double product_flops;     /* of the forward ones, those in sums of products */
    double kept_bytes;        /* what a backward pass wants kept of the forward one */
    double planned_bytes;     /* gradients and temporaries of a training step, laid out; 0 unless asked for */
    double formal_bytes;      /* parameters and inputs of it */
    double seconds;           /* predicted for a training step on all threads of this machine; 0 unless asked for */
} BfmCost;

typedef enum {
    BFM_COST_COUNT = 0,   /* parameters and work: nothing is scheduled */
    BFM_COST_PLAN = 1,    /* also the bytes of a training step; models only, some ten milliseconds */
    BFM_COST_PREDICT = 3, /* and its seconds, by rates that are measured for 0.3 s */
} BfmCostDepth;

/* `item`: a model, block or layer. INPUT: none of that name, sizes that it cannot have; error->message is empty where the diagnostics (check.h) say why. */
BFM_API bool bfm_cost(BfmModule *module, const char *item, int64_t batch, int64_t length, BfmCostDepth depth, BfmCost *cost, BfmError *error);

#ifdef __cplusplus
}
#endif

#endif
