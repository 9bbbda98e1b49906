/* What the lines of a model are scheduled to: for `check --explain-schedule`. */
#ifndef BFM_REPORT_REPORT_SCHEDULE_H
#define BFM_REPORT_REPORT_SCHEDULE_H

#include "run/context.h"
#include "codegen/compile.h"

#include <jansson.h>

/* How many kernels of which kind each line runs as, forwards and backwards; then what is stored between kernels, and why. */
void report_schedule(const Schedule *schedule, const DimEnv *env, Str *out);
/* {"steps": [{line, kind, writes, reason, lanes, points, elements, flops}], "stored": [{tensor, line, elements, slow, reason}]};
   lanes: points that generated code takes at once, 0 where the kernel is a template */
json_t *schedule_json(const Compiled *compiled, const DimEnv *env);

#endif
