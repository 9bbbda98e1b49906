/* A model as a shared object, with a C header for programs that run it (docs/embedding.md). */
#ifndef BFM_BUILD_H
#define BFM_BUILD_H

#include <bfm/tree.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { BFM_EMIT_OBJ, BFM_EMIT_SO, BFM_EMIT_HEADER, BFM_EMIT_LLVM, BFM_EMIT_COUNT } BfmEmit;

typedef struct BfmBuildOptions {
    const char *out;    /* ends in .so; header and others are written beside it. NULL: libMODEL.so */
    unsigned emits;     /* bit k: kind k is written; 0: so and header */
    const char *recipe; /* whose optimiser `step` is; NULL: the file's only one; without one there is no `step` */
    /* Whether a file may be written: false with an error leaves everything as it was. May be NULL; the module's own files are never written. */
    bool (*may_write)(void *user, const char *path, BfmError *error);
    void *user;
} BfmBuildOptions;

/* Texts belong to the module. */
typedef struct BfmBuildResult {
    const char *files[BFM_EMIT_COUNT]; /* NULL: not written */
    int entry_count;
    const char *const *entries; /* "forward", "backward", "decode", "step_…" */
    bool step;                  /* updates by an optimiser are among them */
    int recipes;                /* recipes of the file, where none was named and `step` is left out */
} BfmBuildResult;

/* Compiles a model (NULL: the only one). False: INPUT or ENVIRONMENT, and nothing was written; error->message is empty where the diagnostics say why. */
BFM_API bool bfm_build(BfmModule *module, const char *model, const BfmBuildOptions *options, BfmBuildResult *result, BfmError *error);

#ifdef __cplusplus
}
#endif

#endif
