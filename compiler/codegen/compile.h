/* From a unit of tensor IR to something that runs: flatten, simplify, schedule, write the plan, compile its functions.
   requires   a verified program; derivatives, if any, are already part of the unit
   gives      plan and functions for bfm_instance_new (device/cpu/templates/executor.h); both live as long as the arena and the Jit */
#ifndef BFM_CODEGEN_COMPILE_H
#define BFM_CODEGEN_COMPILE_H

#include "bfm/error.h"
#include "codegen/codegen.h"
#include "codegen/jit.h"
#include "codegen/plan_write.h"
#include "schedule/schedule.h"
#include "device/cpu/templates/executor.h"

typedef struct CompileOptions {
    ScheduleOptions schedule;
    CodegenOptions codegen;
    bool plain; /* no simplification: operations as they are */
} CompileOptions;

typedef struct Compiled {
    const Unit *unit;         /* flat */
    const Schedule *schedule; /* schedule_print, schedule_explain */
    Codegen *codegen;         /* codegen_print; for aot */
    const BfmPlan *plan;
    size_t plan_bytes;
    const BfmFunction *functions; /* parallel to the plan's; NULL without a Jit */
    double seconds;               /* it took, linking included */
} Compiled;

/* The unit flat, simplified unless the options say plain, as steps: what compile_unit makes its plan of. */
Schedule *compile_schedule(Program *program, const Unit *unit, const CompileOptions *options);
/* The program's main unit; formals are named by program->bindings. options NULL: the defaults. jit NULL: everything but the functions.
   NULL and `error` when LLVM cannot serve this machine or memory is exhausted. */
Compiled *compile_program(Arena *arena, Jit *jit, Program *program, const CompileOptions *options, BfmError *error);
/* Any unit. formal_names[i] names formal i; NULL: the tensors' names. */
Compiled *compile_unit(Arena *arena, Jit *jit, Program *program, const Unit *unit, const Symbol *formal_names, const CompileOptions *options, BfmError *error);

#endif
