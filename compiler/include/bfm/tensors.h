/* Models and optimisers on tensors of files: the door for comparisons with other frameworks. Numbers are f64 from the interpreter, f32 otherwise. */
#ifndef BFM_TENSORS_H
#define BFM_TENSORS_H

#include <bfm/api.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct BfmGradOptions {
    const char *weights; /* a safetensors file with every parameter under its path, and nothing else */
    const char *tokens;  /* an .npy file, int32 [b, l + 1]: the first l columns are inputs, the last l targets; -1 is padding, which is masked */
    const char *out;     /* the safetensors file that is written */
    const char *engine;  /* "jit" or "interp"; NULL: jit */
    int threads;         /* 0: one per CPU */
    uint64_t seed;       /* of draws and of states' initial values */
} BfmGradOptions;
/* Writes `loss` [], `cross_entropy` [], `logits` [b, l, vocab] and each parameter's gradient under its path. The report (text and JSON: loss, out) is to be freed with
   bfm_report_free. False: INPUT or ENVIRONMENT, nothing is written; error->message is empty where the diagnostics say why. */
BFM_API bool bfm_grad(BfmModule *module, const char *model, const BfmGradOptions *options, BfmReport *report, BfmError *error);

typedef struct BfmUpdateOptions {
    const char *recipe;        /* NULL: the only one of the file */
    const char *weights;       /* a safetensors file of tensors under any names */
    const char *gradients;     /* one with the same names, each tensor with a leading axis of steps */
    const char *out;           /* the safetensors file that is written */
    const char *engine;        /* "jit" or "interp"; NULL: jit */
    int threads;               /* 0: one per CPU */
    const char *const *freeze; /* globs of tensors that stay as they are */
    int freeze_count;
} BfmUpdateOptions;
/* Updates the tensors as training would: groups, clip_norm and schedule of the recipe act. Writes each tensor after every step under its name [steps, …], `schedule` and
   `gradient_norm` [steps], and the optimiser's states at the end as `optimizer/NAME.STATE`. Report and errors as above (JSON: steps, out). */
BFM_API bool bfm_update(BfmModule *module, const BfmUpdateOptions *options, BfmReport *report, BfmError *error);

#ifdef __cplusplus
}
#endif

#endif
