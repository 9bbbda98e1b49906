/* Groups of recipes: `on "GLOB" { … }`. */
#ifndef BFM_LOWER_GROUPS_H
#define BFM_LOWER_GROUPS_H

#include "lower/lower.h"

/* W0603 for each group of the recipe whose glob matches no parameter of any of the models. A recipe of the library speaks of more than one model:
   nothing is said of it. */
void groups_warn(const Module *module, const Node *recipe, const Lowered *const *models, int count);
/* The same for every recipe of the asking file. */
void groups_warn_all(const Module *module, const Lowered *const *models, int count);

#endif
