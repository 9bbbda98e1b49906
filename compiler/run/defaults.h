/* A declaration with its defaults written out, as a run keeps it: what later versions of the library change does not change the run. */
#ifndef BFM_RUN_DEFAULTS_H
#define BFM_RUN_DEFAULTS_H

#include "module/module.h"

/* A copy of a BLOCK, MODEL or RECIPE in which every call of a definition or block also names the attributes that were left at their defaults, as far as these
   stand for themselves: a default that speaks of other attributes (`4 * d`) follows from what is written. Any other item is copied as it is. */
Node *defaults_written(Arena *arena, const Module *module, const Node *item);

#endif
