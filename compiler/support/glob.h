/* Patterns for paths of parameters. */
#ifndef BFM_SUPPORT_GLOB_H
#define BFM_SUPPORT_GLOB_H

#include <stdbool.h>

/* `*` stands for any characters, `?` for one; everything else for itself. The whole path must match. */
bool glob_match(const char *glob, const char *path);

#endif
