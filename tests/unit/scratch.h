/* A folder for the files of one test, removed with its content afterwards; and bytes written as they are, to be hostile with. */
#ifndef BFM_TESTS_SCRATCH_H
#define BFM_TESTS_SCRATCH_H

#include "file/atomic_file.h"
#include "file/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Scratch {
    char folder[64];
    char **paths; /* [count], every one lives until deinit */
    size_t count;
} Scratch;

static inline void scratch_init(Scratch *scratch)
{
    memset(scratch, 0, sizeof *scratch);
    strcpy(scratch->folder, "/tmp/bfm_test_XXXXXX");
    if (!mkdtemp(scratch->folder))
        abort();
}

static inline void scratch_deinit(Scratch *scratch)
{
    for (size_t i = 0; i < scratch->count; i++)
        free(scratch->paths[i]);
    free(scratch->paths);
    if (!bfm_directory_remove(scratch->folder, NULL))
        abort();
}

static inline const char *scratch_path(Scratch *scratch, const char *name)
{
    char **paths = realloc(scratch->paths, (scratch->count + 1) * sizeof *paths), *path = bfm_path_join(scratch->folder, name, NULL);
    if (!paths || !path)
        abort();
    scratch->paths = paths;
    return paths[scratch->count++] = path;
}

static inline const char *scratch_write(Scratch *scratch, const char *name, const void *data, size_t bytes)
{
    const char *path = scratch_path(scratch, name);
    FILE *stream = fopen(path, "wb");
    if (!stream || fwrite(data, 1, bytes, stream) != bytes || fclose(stream) != 0)
        abort();
    return path;
}

#endif
