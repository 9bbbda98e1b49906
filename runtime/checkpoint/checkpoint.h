/* Checkpoints: folders ROOT/STEP/ with model.safetensors (parameters), state.safetensors (optimiser, layer state) and meta.json.
 * A folder appears under its final name only when every byte of it is on disk; meta.json holds the hashes of the other two. */
#ifndef BFM_CHECKPOINT_CHECKPOINT_H
#define BFM_CHECKPOINT_CHECKPOINT_H

#include "bfm/error.h"
#include "file/safetensors.h"
#include "file/tensor.h"

typedef struct BfmCheckpointMeta {
    int64_t step;     /* optimiser steps done, >= 0 */
    int64_t position; /* micro-batches drawn from the data, the next `step` of bfm_batches_fill */
    int64_t tokens;   /* tokens trained on */
    uint64_t seed;
    uint64_t model_hash, recipe_hash, data_hash; /* what a resume compares; 0 where it does not apply */
    double seconds;                              /* of training so far */
} BfmCheckpointMeta;

typedef struct BfmCheckpoint {
    BfmCheckpointMeta meta;
    BfmSafetensors *model, *state; /* state is never NULL; it may hold no tensor */
} BfmCheckpoint;

/* Writes ROOT/STEP/ atomically (replacing one of the same step); ROOT is made if missing. */
bool bfm_checkpoint_write(const char *root, const BfmCheckpointMeta *meta, const BfmTensor *model, int64_t model_count, const BfmTensor *state, int64_t state_count,
                          BfmError *error);

/* Opens a checkpoint folder and checks both files against the hashes; NULL (INPUT) says which file is damaged. */
BfmCheckpoint *bfm_checkpoint_open(const char *folder, BfmError *error);
void bfm_checkpoint_close(BfmCheckpoint *checkpoint); /* NULL is fine */

/* Steps of the finished checkpoints under ROOT, ascending; malloc'd (NULL when there are none). A missing ROOT has none. */
bool bfm_checkpoint_list(const char *root, int64_t **steps, int64_t *count, BfmError *error);
/* Opens the newest checkpoint that is whole: damaged ones are passed over, their number in *skipped (may be NULL). NULL when there is none;
 * the error then says why the newest could not be used. */
BfmCheckpoint *bfm_checkpoint_latest(const char *root, int64_t *skipped, BfmError *error);
char *bfm_checkpoint_path(const char *root, int64_t step, BfmError *error); /* malloc'd */

/* Removes all but the `keep` newest (keep >= 1) and what killed writers left behind. `protect` (or -1) is a step that stays. */
bool bfm_checkpoint_prune(const char *root, int64_t keep, int64_t protect, BfmError *error);

/* False (INPUT), naming each of model, recipe, data and seed that differ: such a resume would not continue the same training. */
bool bfm_checkpoint_same_training(const BfmCheckpointMeta *found, const BfmCheckpointMeta *expected, BfmError *error);

#endif
