/* What a compiled model's shared object exports: PREFIX_model, a BfmModel, and for each entry point NAME the function
   BfmInstance *PREFIX_NAME(BfmPool *pool, BfmError *error), which is bfm_instance_new of that entry (device/cpu/templates/executor.h). */
#ifndef BFM_MODEL_H
#define BFM_MODEL_H

#include "bfm/plan.h"

#include <stdint.h>

#define BFM_MODEL_MAGIC "bfmmodl"

enum { BFM_MODEL_VERSION = 3, BFM_MODEL_RANK = 8, BFM_MODEL_STATE_RANK = 3 };

typedef struct BfmModelEntry {
    const char *name; /* "forward", "backward", "decode", "schedule", "step_0", … */
    const BfmPlan *plan;
    uint64_t plan_bytes;
    void (*const *functions)(void); /* the plan's functions, in its order */
    uint64_t function_count;
} BfmModelEntry;

/* Parameters, states and gradients in memory. */
#define BFM_MODEL_ELEM BFM_ELEM_F32

/* How a tensor begins. */
typedef enum {
    BFM_INIT_CONSTANT, /* `mean` everywhere */
    BFM_INIT_NORMAL,   /* draws of the seed, keyed by `stream` and element */
    BFM_INIT_VALUES,   /* `values` */
} BfmModelInit;

/* A parameter, or a state that a definition keeps: what the formals of that name want. */
typedef struct BfmModelTensor {
    const char *path; /* "block_0[2].ffn_1.w_in" */
    uint64_t role;    /* BFM_PORT_PARAM, BFM_PORT_STATE */
    uint64_t rank;
    int64_t shape[BFM_MODEL_RANK];
    uint64_t init; /* BfmModelInit */
    uint64_t stream;
    double mean, std;
    const float *values; /* [elements] */
} BfmModelTensor;

/* A state that the optimiser keeps for a parameter. */
typedef struct BfmModelStepState {
    const char *path; /* "ffn_0.w_in.v" */
    uint64_t rank;
    int64_t shape[BFM_MODEL_STATE_RANK]; /* s0 first */
    uint64_t elements;
    double value; /* of every element at the start */
} BfmModelStepState;

/* How a parameter is updated: by an entry whose formals are w, g, rate, step and the states; s0, s1, s2 are the extents. */
typedef struct BfmModelUpdate {
    uint64_t tensor; /* position in `tensors` */
    uint64_t entry;  /* position in `entries` */
    int64_t extent[3];
    double rate;
    const BfmModelStepState *states;
    uint64_t state_count;
} BfmModelUpdate;

typedef struct BfmModel {
    char magic[8];
    uint64_t version;
    const BfmModelEntry *entries;
    uint64_t entry_count;
    const char *description; /* JSON */
    const BfmModelTensor *tensors;
    uint64_t tensor_count;
    const BfmModelUpdate *updates; /* none: built without a recipe */
    uint64_t update_count;
    double clip_norm; /* of all gradients together; 0: not clipped */
} BfmModel;

#endif
