/* The way of a model through the compiler, stage by stage: the index of the compiler. Each stage is one call with its result in the driver's arena. */
#ifndef BFM_DRIVER_PIPELINE_H
#define BFM_DRIVER_PIPELINE_H

#include "codegen/compile.h"
#include "driver/driver.h"
#include "run/store.h"
#include "ir/ir.h"
#include "lower/lower.h"
#include "run/order.h"

/* A model of a file, lowered. */
typedef struct ModelProgram {
    Module *module;
    const Node *model;
    Lowered *lowered;
} ModelProgram;

/* FILE[:MODEL] to a checked program for `mode`. False: *code is the exit code and everything is told. */
bool pipeline_model(Driver *driver, const char *argument, Mode mode, ModelProgram *model, int *code);
/* The same model for another mode. */
bool pipeline_again(Driver *driver, const ModelProgram *from, Mode mode, ModelProgram *model, int *code);
/* The same model for a caller that masks padding: `segment` is an input. Its warnings are not repeated. */
bool pipeline_masked(Driver *driver, const ModelProgram *from, Mode mode, ModelProgram *model, int *code);
/* For evaluation, whose last rows may be short: masked where what stands at a position can depend on positions behind it or on other rows. */
bool pipeline_evaluated(Driver *driver, ModelProgram *model, int *code);
/* The same model for all modes but `mode`. */
bool pipeline_others(Driver *driver, const ModelProgram *from, Mode mode, OtherModes *others, int *code);
/* Appends the derivative of all losses with respect to every parameter to the main unit. `simplified`: with the passes that engines other than
   the interpreter want around it; the interpreter takes the definitions as they are. */
bool pipeline_differentiate(Driver *driver, ModelProgram *model, bool simplified, int *code);
/* What `train` (mode train) or `eval` runs, scheduled and its functions collected, but not linked. NULL: told, *code is the exit code. */
const Compiled *pipeline_compile(Driver *driver, ModelProgram *model, Mode mode, int *code);

#endif
