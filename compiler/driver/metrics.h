/* Metrics that definitions declare, of a whole step: those of its micro-batches, merged as each says. */
#ifndef BFM_DRIVER_METRICS_H
#define BFM_DRIVER_METRICS_H

#include "driver/runner.h"

#include <jansson.h>

typedef struct Metrics Metrics;

/* For the runner's program as it is bound. In the arena. */
Metrics *metrics_new(Arena *arena, const Runner *runner);
/* Those of the runner's last run, the `micro`-th of `parts` of a step. */
void metrics_collect(Metrics *metrics, int64_t micro, int64_t parts);
/* An object with `step` and each metric by its name: a number, or an array of its first 256 elements. NULL: the program has none. */
json_t *metrics_json(const Metrics *metrics, int64_t step);

#endif
