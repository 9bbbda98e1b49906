#include "run/path_index.h"

#include <string.h>

PathIndex path_index_new(void) { return (PathIndex){.names = interner_new()}; }

int path_index_add(PathIndex *index, const char *path, int number)
{
    const Symbol name = intern(index->names, path);
    const int known = pointer_map_find(&index->numbers, name);
    if (known < 0)
        pointer_map_set(&index->numbers, name, number);
    return known < 0 ? number : known;
}

int path_index_next(const PathIndex *index, const char *path, size_t *at)
{
    while (path[*at]) {
        const size_t end = *at + strcspn(path + *at, ".");
        const int number = pointer_map_find(&index->numbers, intern_n(index->names, path, end));
        *at = path[end] ? end + 1 : end;
        if (number >= 0)
            return number;
    }
    return -1;
}

void path_index_free(PathIndex *index)
{
    interner_free(index->names);
    pointer_map_free(&index->numbers);
}
