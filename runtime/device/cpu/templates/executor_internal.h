/* Inside of the executor: an instance, and the kernels' runners. */
#ifndef BFM_TEMPLATES_EXECUTOR_INTERNAL_H
#define BFM_TEMPLATES_EXECUTOR_INTERNAL_H

#include "bfm/kernel.h"
#include "device/cpu/templates/executor.h"

/* Arguments of one generated function, ready to be passed. */
typedef struct CodeArgs {
    BfmFunction function;
    void **buffers;
    int64_t *dims;
} CodeArgs;

struct BfmInstance {
    const BfmPlan *plan;
    const BfmFunction *functions;
    BfmPool *pool;
    BfmGemmEngine engine;
    bool bound;
    int64_t symbols[BFM_PLAN_SYMBOLS];
    int64_t *dims;         /* [dims] values of the slots */
    int64_t *laid;         /* [buffers] elements for which each was given its place in the arena */
    void **memory;         /* [buffers] where each is */
    bool *external;        /* [buffers] memory of the caller */
    bool pointers_changed; /* codes' arguments are to be filled again */
    CodeArgs *codes;
    void **code_buffers; /* storage behind codes */
    int64_t *code_dims;
    char *arena;
    size_t arena_bytes, total_bytes;
    void *scratch; /* of kernels that need memory of their own; grows */
    size_t scratch_bytes;
    double *seconds, *served; /* bfm_instance_time */
};

/* One kernel of a plan that is being run. */
typedef struct KernelRun {
    BfmInstance *instance;
    const BfmPlanKernel *kernel;
    const CodeArgs *codes; /* of this kernel */
    BfmError *error;
} KernelRun;

static inline int64_t dim_slot(const BfmInstance *instance, int32_t slot, int64_t otherwise) { return slot < 0 ? otherwise : instance->dims[slot]; }
static inline const void *kernel_record(const KernelRun *run) { return bfm_plan_ints(run->instance->plan) + run->kernel->record; }

/* `bytes` of scratch, 64-byte aligned, until the next kernel; NULL and `error` when memory is exhausted. */
void *instance_scratch(BfmInstance *instance, size_t bytes, BfmError *error);

/* The runners of kernels. */
#define BFM_KERNEL(name, record, kept, run, word, shown, listed, share, from) bool kernel_##run(const KernelRun *);
#include "bfm/kernels.def"
double kernel_served(const KernelRun *run); /* after its run */

#endif
