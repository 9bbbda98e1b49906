/* Numbers that are not finite, named as the user knows them: by parameter, or by line of the file. */
#ifndef BFM_TRAIN_BAD_H
#define BFM_TRAIN_BAD_H

#include "train/optimizer.h"
#include "run/runner.h"

/* "`embed_0.table` is nan at [12, 3]": the first parameter or state that holds such a number, in the arena; NULL: none does. `optimizer` may be NULL. */
const char *bad_tensor(Arena *arena, const Store *store, const Optimizer *optimizer);
/* "`ffn_0` (m.bfm:9) gives a number that is not finite": where the runner's program, run again on what it is bound to, has the first one. */
const char *bad_result(const BfmContext *context, Runner *runner, uint64_t seed, uint64_t step);

#endif
