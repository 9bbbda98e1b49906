/* Numbers of paths ("pair_0[1].mix"), and the walk from a path to those that enclose it. */
#ifndef BFM_RUN_PATH_INDEX_H
#define BFM_RUN_PATH_INDEX_H

#include "support/intern.h"
#include "support/pointer_map.h"

#include <stddef.h>

typedef struct PathIndex {
    Interner *names;
    PointerMap numbers;
} PathIndex;

PathIndex path_index_new(void);
/* The number that the path has; `number` where it had none. */
int path_index_add(PathIndex *index, const char *path, int number);
/* The next of the path's scopes that has a number, outermost first, the path itself last; -1: no more. `at` begins at 0. */
int path_index_next(const PathIndex *index, const char *path, size_t *at);
void path_index_free(PathIndex *index);

#endif
