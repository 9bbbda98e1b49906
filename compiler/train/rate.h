/* The schedule of a recipe: a factor on the optimiser's rate, by step. */
#ifndef BFM_TRAIN_RATE_H
#define BFM_TRAIN_RATE_H

#include "run/engine.h"
#include "train/recipe.h"

typedef struct RateSchedule {
    Engine *engine;         /* the interpreter, in double */
    Executable *executable; /* NULL: the recipe has no schedule */
    double step;            /* its input */
} RateSchedule;

/* In the context's arena. NULL: INPUT. */
RateSchedule *schedule_new(const BfmContext *context, const Module *module, const Recipe *recipe, BfmError *error);
void schedule_free(RateSchedule *schedule); /* NULL is allowed */
/* The factor at a step, counted from 0; 1 without a schedule. */
bool schedule_factor(RateSchedule *schedule, int64_t step, double *factor, BfmError *error);

#endif
