/* A schedule as a plan: buffers, kernels and records as data, the functions they call collected in a Codegen. */
#ifndef BFM_CODEGEN_PLAN_WRITE_H
#define BFM_CODEGEN_PLAN_WRITE_H

#include "bfm/plan.h"
#include "codegen/codegen.h"
#include "schedule/schedule.h"

/* The plan lies in the arena, `size` bytes of it. formal_names[i] names formal i of the unit; NULL: its tensor's name. */
const BfmPlan *plan_write(Arena *arena, const Schedule *schedule, Codegen *codegen, const Symbol *formal_names, size_t *size);

#endif
