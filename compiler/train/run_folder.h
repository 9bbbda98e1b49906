/* A run: the folder that training fills and that eval, generate and reports read.
     run.json      what was asked for: model, data, recipe, engine, seed, hashes; how it ended
     model.bfm     the model and its recipe as they were, overrides applied, without anything else but the library
     tokenizer.json  what its tokens mean
     log.jsonl     one object a step      eval.jsonl  one an evaluation      metrics.jsonl  metrics of the model's definitions
     lock          the process that trains here, while it does
     ckpt/STEP/    checkpoints */
#ifndef BFM_TRAIN_RUN_FOLDER_H
#define BFM_TRAIN_RUN_FOLDER_H

#include "run/context.h"

typedef struct RunFolder {
    const char *path;
    const char *json, *model, *log, *eval, *metrics, *checkpoints, *lock; /* paths in it */
} RunFolder;

RunFolder run_folder_at(Arena *arena, const char *path);

/* The model's text, as model.bfm holds it: every file of the module but the library's, as one, defaults written out. */
void run_model_text(const Module *module, Str *out);
/* What a resume compares: declarations of all files but recipes, spaces, searches and checks; layout, comments and whether a default is written do not count. */
uint64_t run_model_hash(const Module *module);
uint64_t run_recipe_hash(const Module *module, const Node *recipe);
/* Of model.bfm as it was written: whoever reads it later knows whether it still is. */
uint64_t run_text_hash(const char *text, size_t bytes);
/* The first line in which two texts differ, both sides: "  - was\n  + is"; "" if none does. */
void run_text_difference(const char *was, const char *is, Str *out);

/* RUN, or RUN/ckpt/STEP (then *step is STEP, else -1: the newest). False: neither; `error` says so. */
bool run_folder_find(Arena *arena, const char *argument, RunFolder *folder, int64_t *step, BfmError *error);

#endif
