/* Metrics that definitions declare, of a whole step: those of its micro-batches, merged as each says. A metric that reads nothing but other metrics is worked
   out again, of these as they were merged: the entropy of a load is that of the step's load. */
#ifndef BFM_TRAIN_METRICS_H
#define BFM_TRAIN_METRICS_H

#include "run/runner.h"

#include <jansson.h>

typedef struct Metrics Metrics;
typedef struct MetricFormulas MetricFormulas;

/* Those of a program as lowering made it; passes rewrite the definitions. In the arena. */
MetricFormulas *metrics_formulas(Arena *arena, const Lowered *lowered);
/* For the runner's program as it is bound. In the arena. */
Metrics *metrics_new(Arena *arena, const Runner *runner, const MetricFormulas *formulas);
/* Those of the runner's last run, the `micro`-th of `parts` of a step. */
void metrics_collect(Metrics *metrics, int64_t micro, int64_t parts);
/* An object with `step` and each metric by its name: a number, or an array of its first 256 elements. NULL: the program has none. */
json_t *metrics_json(const Metrics *metrics, int64_t step);

#endif
