/* Training of one run, in this process: session.c opens and closes it, train.c makes steps, evaluations and checkpoints. */
#ifndef BFM_TRAIN_TRAIN_H
#define BFM_TRAIN_TRAIN_H

#include "checkpoint/checkpoint.h"
#include "data/batches.h"
#include "train/evaluate.h"
#include "run/ledger.h"
#include "train/metrics.h"
#include "train/optimizer.h"
#include "run/model.h"
#include "support/budget.h"
#include "support/clock.h"
#include "train/run_folder.h"
#include "train/rate.h"
#include "file/json/log.h"

typedef enum { STOP_STEPS, STOP_BUDGET, STOP_SIGNAL, STOP_BAD_NUMBER, STOP_ERROR } StopReason;

typedef struct Train Train;

typedef struct TrainOptions {
    const char *out;    /* the run's folder; NULL: runs/MODEL */
    const char *recipe; /* NULL: the only one of the file */
    const EngineKind *engine;
    int threads;      /* 0: one per CPU */
    bool resume;      /* continue the run of `out`, to the same bits */
    const char *init; /* a run, a checkpoint or a .safetensors file to start from; NULL: initial values */
    Frozen frozen;    /* parameters that stay as they are */
    bool seeded;      /* `seed` holds, not the recipe's */
    uint64_t seed;
    Budget budget;
    const char *budget_text;                    /* as run.json keeps it; NULL: none */
    int64_t eval_every, checkpoint_every, keep; /* steps, steps, checkpoints; 0: never, but at the end */
    int64_t eval_tokens;                        /* of an evaluation; 0: all; -1: the usual number */
    Overrides overrides;                        /* that were applied to the module, for run.json */
    bool measure;                               /* the machine's rate of matrix products, for whoever shows progress */
} TrainOptions;

/* Called from the thread that trains; NULL members: nobody listens. */
typedef struct TrainListener {
    bool (*stop)(void *user);                                                          /* asked before each step: true ends the training with a checkpoint */
    void (*step)(void *user, const Train *train, double seconds, double seconds_left); /* a step was done: train->meta, train->loss */
    void (*evaluated)(void *user, const Train *train);                                 /* train->evaluation is new */
    void (*pause)(void *user);                                                         /* something is about to be said */
    void *user;
} TrainListener;

struct Train {
    const BfmContext *context;
    TrainOptions options;
    TrainListener listener;
    RunFolder folder;
    int lock; /* run_lock.h: held while it trains, -1 before */
    ModelProgram model, eval_model;
    OtherModes others;
    Recipe recipe;
    Ledger ledger; /* of one micro-batch */
    BfmDataset *data;
    BfmBatches batches;
    Engine *engine;
    Store *store;
    Runner *runner, *evaluator;
    Optimizer *optimizer;
    RateSchedule *schedule;
    Metrics *metrics;
    EvalText held_out; /* without tokens: nothing is held out */
    BfmLog *log, *eval_log, *metric_log;
    BfmCheckpointMeta meta; /* of the last step done */
    int64_t checkpointed;   /* step of the newest checkpoint, -1 = none */
    double began;           /* seconds_now() less what earlier runs of this training spent */
    int32_t *tokens;        /* [batch, context + 1] */
    double pace;            /* seconds a step, averaged; 0 before the first */
    double machine;         /* FLOP/s of matrix products here; 0: not measured */
    double loss;            /* of the last step; NaN before the first */
    Evaluation evaluation;  /* the last one */
    Leak leak;              /* the model sees what it predicts, or may */
    int64_t evaluated;      /* at which step, -1 = never */
    const char *bad;        /* a number that is not finite: where, in words; NULL while there is none */
};

/* Reads and checks everything, makes or reopens the run's folder and takes its lock. The module has its overrides applied; context, module and options' texts must outlive the
   training. False: nothing is left behind but what was there; train_close in any case. */
bool train_open(Train *train, const BfmContext *context, Module *module, const Node *model, const char *data, const TrainOptions *options, const TrainListener *listener,
                BfmError *error);
void train_close(Train *train);
/* Floating-point operations of a step in products, for progress. */
static inline double train_step_products(const Train *train) { return 3 * train->ledger.products * (double)train->recipe.accumulate; }
static inline double train_step_tokens(const Train *train) { return (double)(train->recipe.batch * train->recipe.context * train->recipe.accumulate); }

/* Steps until the recipe, the budget or a signal ends them, with evaluations and checkpoints on the way. The last good checkpoint is always written. */
StopReason train_run(Train *train, BfmError *error);
/* Parameters and states that are not finite are never written: train->bad says where, and the newest checkpoint stays what it was. */
bool train_checkpoint(Train *train, BfmError *error);
/* Parameters, optimiser and layer states from a checkpoint. */
bool train_restore(Train *train, const BfmCheckpoint *checkpoint, BfmError *error);

#endif
