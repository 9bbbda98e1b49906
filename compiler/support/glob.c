#include "support/glob.h"

#include <stddef.h>

bool glob_match(const char *glob, const char *path)
{
    const char *star = NULL, *resume = NULL;
    while (*path) {
        if (*glob == '*') {
            star = ++glob;
            resume = path;
        } else if (*glob == '?' || *glob == *path) {
            glob++;
            path++;
        } else if (star) {
            glob = star;
            path = ++resume;
        } else {
            return false;
        }
    }
    while (*glob == '*')
        glob++;
    return *glob == 0;
}
