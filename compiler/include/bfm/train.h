/* Training of a model in this process, with the bits of `bfmc train`. */
#ifndef BFM_TRAIN_H
#define BFM_TRAIN_H

#include <bfm/run.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All zeros are the defaults of `bfmc train`. Texts are read during the call only. */
typedef struct BfmTrainOptions {
    const char *out;           /* the run's folder; NULL: runs/MODEL */
    const char *recipe;        /* NULL: the only one of the file */
    const char *engine;        /* "jit" or "interp"; NULL: jit */
    int threads;               /* 0: one per CPU */
    bool resume;               /* continue the run of `out`, to the same bits */
    const char *init;          /* a run, a checkpoint or a .safetensors file to start from */
    const char *const *freeze; /* globs of parameters that stay as they are */
    int freeze_count;
    bool seeded; /* `seed` holds, not the recipe's */
    uint64_t seed;
    const char *budget;       /* "30m", "2000step", "50Mtok", "2e15flop"; NULL: the recipe's steps */
    int64_t eval_every;       /* steps; 0: 500; -1: only at the end */
    int64_t checkpoint_every; /* steps; 0: 500; -1: only at the end */
    int64_t keep;             /* checkpoints; 0: 3; -1: one */
    int64_t eval_tokens;      /* of an evaluation; 0: 32768; -1: all */
    bool measure;             /* the machine's rate of matrix products, for the events */
} BfmTrainOptions;

typedef enum { BFM_TRAIN_STEP, BFM_TRAIN_EVALUATION } BfmTrainEventKind;

typedef struct BfmTrainEvent {
    BfmTrainEventKind kind;
    int64_t step, tokens;           /* done */
    double loss;                    /* of the step, all losses together */
    double seconds;                 /* of the step */
    double step_tokens, step_flops; /* of a step: tokens, and floating-point operations in products */
    double machine_flops;           /* a second, in products here; 0 unless measured */
    double seconds_left;            /* until recipe or budget end, at the present pace */
    BfmEvaluation evaluation;       /* EVALUATION: of the held-out part */
} BfmTrainEvent;

/* Called in the thread that trains. */
typedef struct BfmTrainCallbacks {
    void (*begun)(void *user);                             /* everything is read, diagnostics are complete; before the first step. May be NULL */
    bool (*stop)(void *user);                              /* asked before each step; true ends with a checkpoint. May be NULL */
    void (*event)(void *user, const BfmTrainEvent *event); /* may be NULL */
    void (*pause)(void *user);                             /* a remark follows (context.h): a line of progress ends. May be NULL */
    void *user;
} BfmTrainCallbacks;

typedef enum { BFM_STOPPED_BY_STEPS, BFM_STOPPED_BY_BUDGET, BFM_STOPPED_BY_CALLER, BFM_STOPPED_BY_BAD_NUMBER } BfmStopped;

typedef struct BfmTrainResult {
    BfmStopped stopped;
    int64_t step, tokens, checkpoint; /* checkpoint: the step of the newest */
    double loss, seconds;             /* of the last step; of all, earlier runs of the same training included */
    int64_t evaluated;                /* the step of the last evaluation; -1: there was none */
    BfmEvaluation evaluation;         /* then */
    char folder[1024];
    char bad[512]; /* BAD_NUMBER: which parameter, state or line; the checkpoint before it is kept */
} BfmTrainResult;

/* Trains the model on a data folder of `bfmc data pack`. False: INPUT or ENVIRONMENT; error->message is empty where the diagnostics say why. A number that is not finite ends
   the training with true and BFM_STOPPED_BY_BAD_NUMBER. */
BFM_API bool bfm_train(BfmModule *module, const char *model, const char *data, const BfmTrainOptions *options, const BfmTrainCallbacks *callbacks, BfmTrainResult *result,
                       BfmError *error);

#ifdef __cplusplus
}
#endif

#endif
