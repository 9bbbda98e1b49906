/* Shared objects: the functions of compiled plans, the plans themselves as constants, and a table of both that bfm/model.h describes.
   The result links the runtime library and nothing of the compiler. */
#ifndef BFM_CODEGEN_AOT_H
#define BFM_CODEGEN_AOT_H

#include "bfm/error.h"
#include "bfm/model.h"
#include "codegen/codegen.h"

/* One entry point: "forward", "step", … */
typedef struct AotEntry {
    const char *name; /* a C identifier */
    const BfmPlan *plan;
    const Codegen *codegen; /* that made its functions */
} AotEntry;

typedef struct AotOptions {
    const char *prefix;            /* of the exported symbols: a C identifier */
    const char *description;       /* JSON text for whoever opens the object; NULL = {} */
    const char *cache;             /* as in jit.h */
    const BfmModelTensor *tensors; /* what the formals want (bfm/model.h) */
    int tensor_count;
    const BfmModelUpdate *updates; /* their entries count positions in `entries` */
    int update_count;
    double clip_norm;
    const char *const *libraries; /* arguments for the linker after the objects, NULL-terminated: the runtime library and what it needs */
} AotOptions;

/* Writes `path`, a relocatable object with everything, by way of `cc -r`, … */
bool aot_write_object(const char *path, const AotOptions *options, const AotEntry *entries, int count, BfmError *error);
/* … or a shared object, by way of `cc -shared`. Either appears whole or not at all. */
bool aot_write_shared(const char *path, const AotOptions *options, const AotEntry *entries, int count, BfmError *error);

#endif
