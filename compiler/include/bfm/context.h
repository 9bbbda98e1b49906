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

/* "0.1.0" */
BFM_API const char *bfm_version(void);

/* What happens in this thread where memory is exhausted (ENVIRONMENT) or the library finds a bug of its own (BUG): the handler is called with the message; it may end the
   thread or jump out of the call, which leaves memory behind. Where it returns, or there is none (NULL, the default), the process ends with exit code 3 or 4. Returns the
   handler before. */
typedef void BfmFailure(void *context, BfmErrorKind kind, const char *message);
BFM_API BfmFailure *bfm_on_failure(BfmFailure *handler, void *context);

#ifdef __cplusplus
}
#endif

#endif
