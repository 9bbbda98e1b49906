/* The objects of a Codegen's functions: from the cache on disk or through LLVM, several at a time. Inside the code generator only. */
#ifndef BFM_CODEGEN_OBJECTS_H
#define BFM_CODEGEN_OBJECTS_H

#include "codegen/codegen_internal.h"

typedef struct ObjectJob {
    const KernelEntry *entry; /* in */
    ObjectCode object;        /* out */
    bool cached;
} ObjectJob;

/* cache: a directory or NULL; threads <= 0: one per CPU, at most 8. What was made is in the jobs even if false is returned. */
bool objects_make(const Codegen *codegen, ObjectJob *jobs, int count, const char *cache, int threads, BfmError *error);
void objects_free(ObjectJob *jobs, int count);

#endif
