/* A context: where the standard library is, who hears remarks, and what happens where the library cannot go on. There is no other state: contexts are
   independent of each other, and every module (tree.h) has memory of its own. A context may be used by several threads at once; a module by one at a time. */
#ifndef BFM_CONTEXT_H
#define BFM_CONTEXT_H

#include <bfm/api.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct BfmContextOptions {
    const char *library; /* the folder that holds layers.bfm; NULL: $BFM_STDLIB, else the installation's */
    /* Remarks that belong to no place of a file ("resuming at step 300"); may be NULL. Called in the thread that works. */
    void (*note)(void *listener, const char *text);
    void *listener;
} BfmContextOptions;

/* options NULL: the defaults. NULL: ENVIRONMENT where no standard library is found. */
BFM_API BfmContext *bfm_context_new(const BfmContextOptions *options, BfmError *error);
/* After every module made from it. NULL is allowed. */
BFM_API void bfm_context_free(BfmContext *context);

/* The folder of the standard library. Belongs to the context. */
BFM_API const char *bfm_context_library(const BfmContext *context);
/* Why compiled code is not kept between processes in the environment's cache ($BFM_CACHE_DIR, else $XDG_CACHE_HOME/bfm, else ~/.cache/bfm); NULL where it is, or where there is
   none. To be freed with bfm_text_free. */
BFM_API char *bfm_cache_warning(void);

/* ---- the passes of the compiler (`bfmc show --emit=ir --after=PASS` and docs/ir.md name them) ---- */

/* Whether there is a pass of this name (optional: that can be left out). INPUT names those there are. */
BFM_API bool bfm_pass_exists(const char *name, bool optional, BfmError *error);

typedef struct BfmPassOptions {
    bool time;                  /* collect times for bfm_context_pass_times */
    bool verify;                /* verify every unit after each pass; a broken rule is a BUG */
    const char *const *without; /* optional passes to leave out */
    int without_count;
} BfmPassOptions;
/* For everything that is compiled from now on; then one thread at a time may use the context. INPUT: no such pass, or it is not optional; nothing is changed then. */
BFM_API bool bfm_context_passes(BfmContext *context, const BfmPassOptions *options, BfmError *error);
/* Time, runs and changes of each pass so far, as a table. To be freed with bfm_text_free. NULL: no times were asked for. */
BFM_API char *bfm_context_pass_times(const BfmContext *context);

/* ---- the installation ---- */

/* "0.1.0" */
BFM_API const char *bfm_version(void);
typedef struct BfmMachine {
    int cpus;             /* that this process may use */
    const char *products; /* kernels of matrix products: "avx2", "avx512"; belongs to the library */
} BfmMachine;
BFM_API BfmMachine bfm_machine(void);

/* What happens in this thread where memory is exhausted (ENVIRONMENT) or the library finds a bug of its own (BUG): the handler is called with the message; it may end the
   thread or jump out of the call, which leaves memory behind. Where it returns, or there is none (NULL, the default), the process ends with exit code 3 or 4. Returns the
   handler before. */
typedef void BfmFailure(void *context, BfmErrorKind kind, const char *message);
BFM_API BfmFailure *bfm_on_failure(BfmFailure *handler, void *context);
/* Once, in programs that do nothing else: failed allocations of C++, in LLVM above all, are such failures too, in the whole process. */
BFM_API void bfm_catch_exhaustion(void);

#ifdef __cplusplus
}
#endif

#endif
