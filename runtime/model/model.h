/* A compiled model in a program: memory for its parameters and states, initial values, files, and what is bound to what. Says nothing about how the
   model was made; everything is read from the table in its shared object (bfm/model.h). */
#ifndef BFM_MODEL_MODEL_H
#define BFM_MODEL_MODEL_H

#include "bfm/error.h"
#include "bfm/model.h"
#include "comm/comm.h"
#include "generate/decoder.h"
#include "device/cpu/templates/executor.h"

/* Checks that this library can run the model and its plans are whole. */
bool bfm_model_check(const BfmModel *model, BfmError *error);
/* NULL: the model was built without an entry of that name. */
const BfmModelEntry *bfm_model_entry(const BfmModel *model, const char *name);

/* Binds the sizes of a run of `forward` or `backward`: `batch` rows of `length` positions. A size that was bound before costs nothing. */
bool bfm_model_bind(BfmInstance *instance, int64_t batch, int64_t length, BfmError *error);

/* ---- parameters and states ---- */

typedef struct BfmTensors BfmTensors;

/* Memory for every parameter and state, filled with zeros. The model must outlive it. NULL: ENVIRONMENT when memory is exhausted. */
BfmTensors *bfm_tensors_new(const BfmModel *model, BfmError *error);
void bfm_tensors_free(BfmTensors *tensors); /* NULL is allowed */
const BfmModel *bfm_tensors_model(const BfmTensors *tensors);
/* Row-major memory of the tensor, which stays the property of `tensors`; by position in model->tensors, and by path (NULL: there is none). */
float *bfm_tensors_at(const BfmTensors *tensors, int64_t index);
float *bfm_tensors_find(const BfmTensors *tensors, const char *path);

/* Initial values of all: the same numbers as `bfmc train` begins with from this seed. */
void bfm_tensors_init(BfmTensors *tensors, uint64_t seed);
/* The parameters, from a safetensors file that holds exactly these, all finite (a checkpoint's model.safetensors); INPUT names the tensor otherwise. */
bool bfm_tensors_load(BfmTensors *tensors, const char *path, BfmError *error);
/* The parameters, into such a file; it appears whole or not at all. INPUT, and nothing written, where a number is not finite: the parameter is named. */
bool bfm_tensors_save(const BfmTensors *tensors, const char *path, BfmError *error);

/* Makes every parameter and state formal of the entry's instance (or decoder) read this memory. INPUT: the model has no entry of that name. */
bool bfm_tensors_bind(BfmTensors *tensors, const char *entry, BfmInstance *instance, BfmError *error);
/* After a run: states become what the run left for the next one. Entries without such states: nothing. */
bool bfm_tensors_commit(BfmTensors *tensors, const char *entry, const BfmInstance *instance, BfmError *error);

/* A decoder of the model for `batch` rows of at most `length` positions, bound to the tensors. NULL: INPUT where the model was built without `decode`. */
BfmDecoder *bfm_tensors_decoder(BfmTensors *tensors, BfmPool *pool, int64_t batch, int64_t length, BfmError *error);

/* ---- updates ---- */

typedef struct BfmUpdater BfmUpdater;

/* States of the optimiser that the model was built with, at their start. Tensors and pool must outlive it. NULL: INPUT where it was built without. */
BfmUpdater *bfm_updater_new(BfmTensors *tensors, BfmPool *pool, BfmError *error);
void bfm_updater_free(BfmUpdater *updater); /* NULL is allowed */

/* The ranks that train together: bfm_comm_local unless this is called. It must outlive the updater. Every rank has the same parameters and optimiser states and calls
   bfm_updater_step alike, each with the gradients of its own rows. */
void bfm_updater_set_comm(BfmUpdater *updater, const BfmComm *comm);

/* What the recipe's schedule makes of the rate at `step`; 1 where it has none. Computed in f32. INPUT: it is not finite. */
bool bfm_updater_factor(BfmUpdater *updater, int64_t step, double *factor, BfmError *error);

/* What a resumed training needs besides the parameters: the states of optimiser and layers, in a safetensors file as a checkpoint of `bfmc train` has it
   (state.safetensors). Files of either are read by the other. load: INPUT, and nothing changed, where the file does not hold exactly these, all finite. save: INPUT,
   and nothing written, where a number is not finite. */
bool bfm_updater_save(const BfmUpdater *updater, const char *path, BfmError *error);
bool bfm_updater_load(BfmUpdater *updater, const char *path, BfmError *error);

/* One update of every parameter from the gradients that `backward` (an instance of that entry) holds after a run, which is also committed. With several ranks the gradients
   there become the means over the ranks first. `step` counts
   from 0; `factor` is what the schedule makes of the rate at this step (1: the rate itself). The norm of all gradients, before they are clipped, goes to
   *norm (may be NULL). False and nothing changed: INPUT where the norm or the factor is not finite. */
bool bfm_updater_step(BfmUpdater *updater, const BfmInstance *backward, double factor, int64_t step, double *norm, BfmError *error);

#endif
