/* Recipes: how a model is trained, read from the syntax tree. */
#ifndef BFM_TRAIN_RECIPE_H
#define BFM_TRAIN_RECIPE_H

#include "run/context.h"
#include "ir/roles.h"
#include "lower/lower.h"

typedef struct Recipe {
    const Node *node;
    const Node *optimizer; /* a definition with attributes bound */
    const Node *schedule;  /* NULL: the rate stays as it is */
    int64_t batch, context, steps, accumulate;
    uint64_t seed;
    double clip_norm; /* of all gradients together; 0: not clipped */
    int group_count;
    const Node **groups; /* ON and ON_ROLE nodes, in the order of the text */
} Recipe;

/* The recipe of this name, of the file or the library; NULL: the only one of the file. NULL: INPUT. */
const Node *recipe_pick(const BfmContext *context, const Module *module, const char *name, BfmError *error);
/* Reads the settings; what is wrong is a diagnostic. `lowered`: the model's context is the default; NULL: no model is looked at. False after errors. */
bool recipe_read(const BfmContext *context, const Module *module, const Node *node, const Lowered *lowered, Recipe *recipe);
/* The settings that the groups whose glob matches `path`, or whose role is `role`, make for it, later ones first overridden: a LIST, NULL where none does. */
Node *recipe_overrides(const BfmContext *context, const Recipe *recipe, const char *path, ParamRole role);
/* What the gradients are multiplied by, given the norm of all together. */
double recipe_scale(const Recipe *recipe, double norm);

#endif
