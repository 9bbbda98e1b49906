/* What a compiled model's shared object exports: PREFIX_model, a BfmModel, and for each entry point NAME the function
   BfmInstance *PREFIX_NAME(BfmPool *pool, BfmError *error), which is bfm_instance_new of that entry (templates/executor.h). */
#ifndef BFM_MODEL_H
#define BFM_MODEL_H

#include "bfm/plan.h"

#include <stdint.h>

#define BFM_MODEL_MAGIC "bfmmodl"

enum { BFM_MODEL_VERSION = 1 };

typedef struct BfmModelEntry {
    const char *name;             /* "forward", "step", … */
    const BfmPlan *plan;
    uint64_t plan_bytes;
    void (*const *functions)(void); /* the plan's functions, in its order */
    uint64_t function_count;
} BfmModelEntry;

typedef struct BfmModel {
    char magic[8];
    uint64_t version;
    const BfmModelEntry *entries;
    uint64_t entry_count;
    const char *description;      /* JSON */
} BfmModel;

#endif
