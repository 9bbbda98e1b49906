/* What a verb is asked to look at where models, blocks and layers will do. */
#ifndef BFM_DRIVER_ITEM_H
#define BFM_DRIVER_ITEM_H

#include "driver/driver.h"
#include "lower/lower.h"

/* The model, block or layer of the target; without a name the only model, or the only block of a file without models. NULL: told, *code is the exit code. */
const Node *item_pick(Driver *driver, const Module *module, const Target *target, int *code);
/* A block or a layer stands on a stream of its own, of this width (0: what the block says, else the compiler's choice). NULL after errors. */
const Lowered *item_lower(Driver *driver, const Module *module, const Node *item, int64_t width, Mode mode);

#endif
