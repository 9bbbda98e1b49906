/* Updates of parameters: an optimiser's form, compiled for each shape that a parameter has, with its states. */
#ifndef BFM_TRAIN_OPTIMIZER_H
#define BFM_TRAIN_OPTIMIZER_H

#include "train/recipe.h"
#include "run/runner.h"

typedef struct Optimizer Optimizer;

/* One state of one parameter, as checkpoints hold it. */
typedef struct OptimizerState {
    const char *name; /* "ffn_0.w_in.v" */
    int rank;
    int64_t shape[8];
    int64_t elements;
    bool wide; /* double */
    void *data;
} OptimizerState;

/* Globs for the paths of parameters that stay as they are. */
typedef struct Frozen {
    int count;
    const char *const *globs;
} Frozen;
bool optimizer_is_frozen(const Frozen *frozen, const char *path);

/* Forms for every parameter of the store that is not frozen, with states at their start. In the context's arena; the recipe must outlive it. NULL: INPUT, also for a glob
   that matches nothing. */
Optimizer *optimizer_new(const BfmContext *context, Engine *engine, const Module *module, const Recipe *recipe, const Store *store, const Frozen *frozen, BfmError *error);
void optimizer_free(Optimizer *optimizer); /* NULL is allowed */

/* Adds the gradients of the runner's last run, weighted; the first of a step overwrites. Without accumulation they stay where they are, until the next run. */
void optimizer_collect(Optimizer *optimizer, const Runner *runner, double weight, bool first);
/* Makes `gradient` (numbers as wide as the engine's, the caller's) the one of this entry of the store. */
void optimizer_give(Optimizer *optimizer, const StoreEntry *entry, void *gradient);
/* The norm of all collected gradients together; NaN or infinite where one of them is. */
double optimizer_norm(const Optimizer *optimizer);
/* One update of every parameter: gradients times `scale`, rates times `factor`. */
bool optimizer_apply(Optimizer *optimizer, double scale, double factor, int64_t step, BfmError *error);

/* How a parameter's axes are those of a form that looks at the last `form_rank` of them: the others together are s0, then come s1 and s2. */
void optimizer_extents(const StoreEntry *entry, int form_rank, int64_t extent[3]);

int optimizer_state_count(const Optimizer *optimizer);
const OptimizerState *optimizer_state(const Optimizer *optimizer, int index);
BfmTensor optimizer_tensor(Arena *arena, const OptimizerState *state); /* to be written, as "optimizer/NAME" */
double optimizer_rate(const Optimizer *optimizer);                     /* of the optimiser as the recipe has it, unscheduled */

#endif
