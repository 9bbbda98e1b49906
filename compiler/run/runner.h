/* A program of a model on an engine, bound to a store of parameters and to batches of tokens. */
#ifndef BFM_RUN_RUNNER_H
#define BFM_RUN_RUNNER_H

#include "run/engine.h"
#include "run/store.h"

typedef struct Runner {
    const Lowered *lowered;
    const Unit *unit;
    Store *store; /* borrowed */
    Executable *executable;
    int64_t batch, length;
    int32_t *tokens, *targets, *segment; /* [b, l] */
    double step_wide;                    /* the input `step`, in the engine's width */
    float step;
} Runner;

/* Compiles main for the engine; every parameter and state must be in the store. In the arena; NULL and `error` on failure. */
Runner *runner_new(Arena *arena, Engine *engine, const Lowered *lowered, Store *store, BfmError *error);
void runner_free(Runner *runner); /* NULL is allowed */
bool runner_bind(Runner *runner, int64_t batch, int64_t length, BfmError *error);

typedef struct RunKey {
    uint64_t seed, draw; /* key random draws: another draw, other numbers */
    int64_t step;        /* the model's input `step`: updates done */
} RunKey;
/* tokens [b, l + 1]: inputs are the first l of a row, targets the last l; -1 is padding, which is neither: masked, and no target. counts [b] (may be NULL): how many targets of each row there are; the others are none. */
bool runner_run(Runner *runner, const int32_t *tokens, const int64_t *counts, RunKey key, BfmError *error);

double runner_loss(const Runner *runner);          /* sum of all losses of the last run */
double runner_cross_entropy(const Runner *runner); /* NaN if the model has none */
/* The new values of states become the old ones. */
void runner_commit(Runner *runner);

#endif
