/* A model of a file on its way through the compiler, stage by stage. Functions that fail return false or NULL with a BfmError (context.h). */
#ifndef BFM_RUN_MODEL_H
#define BFM_RUN_MODEL_H

#include "codegen/compile.h"
#include "run/context.h"
#include "run/order.h"
#include "run/store.h"

/* A model of a file, lowered. */
typedef struct ModelProgram {
    Module *module;
    const Node *model;
    Lowered *lowered;
} ModelProgram;

/* The model of a module that was loaded, lowered for `mode`. */
bool model_lower(const BfmContext *context, Module *module, const Node *node, Mode mode, ModelProgram *model, BfmError *error);
/* FILE[:MODEL], loaded with its overrides (NULL: none), for `mode`. */
bool model_open(const BfmContext *context, const Target *target, const Overrides *overrides, Mode mode, ModelProgram *model, BfmError *error);
/* The same model for another mode. */
bool model_again(const BfmContext *context, const ModelProgram *from, Mode mode, ModelProgram *model, BfmError *error);
/* The same model for a caller that masks padding: `segment` is an input. */
bool model_masked(const BfmContext *context, const ModelProgram *from, Mode mode, ModelProgram *model, BfmError *error);
/* For evaluation, whose last rows may be short: masked where what stands at a position can depend on positions behind it or on other rows. */
bool model_evaluated(const BfmContext *context, ModelProgram *model, BfmError *error);
/* The same model for all modes but `mode`. */
bool model_others(const BfmContext *context, const ModelProgram *from, Mode mode, OtherModes *others, BfmError *error);
/* Appends the derivative of all losses with respect to every parameter (order_derivative). */
bool model_differentiate(const BfmContext *context, const ModelProgram *model, bool simplified, BfmError *error);
/* What `train` (mode train) or `eval` runs, scheduled and its functions collected, but not linked. */
const Compiled *model_compile(const BfmContext *context, const ModelProgram *model, Mode mode, BfmError *error);

#endif
