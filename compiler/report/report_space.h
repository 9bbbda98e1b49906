/* What `check` says about a space: how many blocks it holds, and from what. */
#ifndef BFM_REPORT_REPORT_SPACE_H
#define BFM_REPORT_REPORT_SPACE_H

#include "run/context.h"
#include "space/space.h"

#include <jansson.h>

/* Appends the space to the text and to the array. */
void report_space(Arena *arena, const Space *space, Str *out, json_t *spaces);

#endif
