/* A trained model: a run's model.bfm lowered for a mode, with the parameters and states of one of its checkpoints. */
#ifndef BFM_DRIVER_TRAINED_H
#define BFM_DRIVER_TRAINED_H

#include "checkpoint/checkpoint.h"
#include "driver/pipeline.h"
#include "driver/run_folder.h"
#include "driver/store.h"
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

/* RUN or RUN/ckpt/STEP. CODE_OK, or everything is told and it is the exit code; trained_close in any case. */
int trained_open(Driver *driver, const char *argument, Mode mode, Trained *trained);
/* Parameters, and the states that definitions keep, for the formals of the program as it is now. */
bool trained_load(Driver *driver, Trained *trained, BfmError *error);
/* The tokenizer of the text that it was trained on: the run's own copy, else that of the data folder. */
BfmTokenizer *trained_tokenizer(Driver *driver, const Trained *trained, BfmError *error);
void trained_close(Trained *trained);

#endif
