/* Where the time and memory of a step go. */
#ifndef BFM_PROFILE_H
#define BFM_PROFILE_H

#include <bfm/api.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct BfmProfileOptions {
    int64_t batch, length; /* 0: 8, and the model's context, else 512 */
    int64_t width;         /* of the stream of a block or layer; 0: what it says itself */
    bool forward;          /* the forward pass alone */
    uint64_t seed;         /* of inputs and parameters, which are random */
    int threads;           /* 0: one per CPU */
    const char *recipe;    /* whose update is part of a step; NULL: none */
    int64_t steps;         /* to time; 0: as many as fit into three seconds */
    /* Any of these may be NULL. `ready`: compiled, diagnostics are complete. `another`: asked before the report is measured and after each sample, whether a sample of some steps
       is wanted, so that it can take turns with something else. */
    void (*ready)(void *user);
    void (*progress)(void *user, const char *what);
    bool (*another)(void *user);
    void (*sample)(void *user, double step_s, double update_s, double cpu_s, int steps); /* means: wall clock, the update in it, seconds of all CPUs */
    void *user;
} BfmProfileOptions;

/* Reads the module's file anew, with its overrides, compiles a model, block or layer (NULL: the only one) with an empty object cache and with a full one, and times steps,
   sub-layers and kernels, and matrix products beside them. The report is to be freed with bfm_report_free. False: INPUT or ENVIRONMENT; error->message is empty where the
   diagnostics say why. */
BFM_API bool bfm_profile(BfmModule *module, const char *item, const BfmProfileOptions *options, BfmReport *report, BfmError *error);

#ifdef __cplusplus
}
#endif

#endif
