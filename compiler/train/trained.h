/* A trained model: a run's model.bfm lowered for a mode, with the parameters and states of one of its checkpoints. */
#ifndef BFM_TRAIN_TRAINED_H
#define BFM_TRAIN_TRAINED_H

#include "checkpoint/checkpoint.h"
#include "data/dataset.h"
#include "run/model.h"
#include "train/run_folder.h"
#include "run/store.h"
#include "tokenizer/tokenizer.h"

#include <jansson.h>

typedef struct Trained {
    RunFolder folder;
    json_t *run; /* run.json */
    ModelProgram model;
    OtherModes others;
    BfmCheckpoint *checkpoint; /* the one named, else the newest that is whole */
    Store *store;              /* f32; after trained_load */
} Trained;

/* Whether a run's run.json, model.bfm, tokenizer.json and this checkpoint are of one training, before it goes on. */
bool trained_belongs(const BfmContext *context, const RunFolder *folder, BfmCheckpoint *checkpoint, BfmError *error);
/* RUN or RUN/ckpt/STEP: run.json and the checkpoint, which belongs to it; the model is not read. */
bool trained_open_files(const BfmContext *context, const char *argument, Trained *trained, BfmError *error);
/* The same and the model, which is the one trained. trained_close in any case. */
bool trained_open(const BfmContext *context, const char *argument, Mode mode, Trained *trained, BfmError *error);
/* Parameters, and the states that definitions keep, for the formals of the program as it is now. */
bool trained_load(const BfmContext *context, Trained *trained, BfmError *error);
/* The tokenizer of the text that it was trained on: the run's own copy, else that of the data folder. */
BfmTokenizer *trained_tokenizer(const BfmContext *context, const Trained *trained, BfmError *error);
/* Whether the data's ids mean what they meant in training; else `error` says how to pack the text. */
bool trained_reads(const BfmContext *context, const Trained *trained, const BfmDataset *data, BfmError *error);
void trained_close(Trained *trained);

#endif
