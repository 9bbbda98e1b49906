/* Training: steps, evaluations and checkpoints of one run. verb_train.c makes and ends it. */
#ifndef BFM_TRAIN_TRAIN_H
#define BFM_TRAIN_TRAIN_H

#include "checkpoint/checkpoint.h"
#include "data/batches.h"
#include "train/evaluate.h"
#include "run/ledger.h"
#include "train/metrics.h"
#include "train/optimizer.h"
#include "driver/pipeline.h"
#include "driver/progress.h"
#include "train/run_folder.h"
#include "train/rate.h"
#include "file/json/log.h"

typedef enum { STOP_STEPS, STOP_BUDGET, STOP_SIGNAL, STOP_BAD_NUMBER, STOP_ERROR } StopReason;

typedef struct Train {
    Driver *driver;
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
    Budget budget;
    double began;    /* seconds_now() less what earlier runs of this training spent */
    int32_t *tokens; /* [batch, context + 1] */
    Progress progress;
    double loss;           /* of the last step; NaN before the first */
    Evaluation evaluation; /* the last one */
    Leak leak;             /* the model sees what it predicts, or may */
    int64_t evaluated;     /* at which step, -1 = never */
    const char *bad;       /* a number that is not finite: where, in words; NULL while there is none */
} Train;

/* Steps until the recipe, the budget or a signal ends them, with evaluations and checkpoints on the way. The last good checkpoint is always written. */
StopReason train_run(Train *train, BfmError *error);
/* Parameters and states that are not finite are never written: train->bad says where, and the newest checkpoint stays what it was. */
bool train_checkpoint(Train *train, BfmError *error);
/* Parameters, optimiser and layer states from a checkpoint. */
bool train_restore(Train *train, const BfmCheckpoint *checkpoint, BfmError *error);

#endif
