/* A folder for the files of one test, removed with its content afterwards; and bytes written as they are, to be hostile with. */
#ifndef BFM_TESTS_SCRATCH_H
#define BFM_TESTS_SCRATCH_H

#include "checkpoint/atomic_file.h"
#include "checkpoint/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Scratch {
    char folder[64];
    char *path[16]; /* a ring, so that several paths can stand in one call */
    int next;
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
    for (int i = 0; i < 16; i++)
        free(scratch->path[i]);
    if (!bfm_directory_remove(scratch->folder, NULL))
        abort();
}

static inline const char *scratch_path(Scratch *scratch, const char *name)
{
    char **path = &scratch->path[scratch->next++ % 16];
    free(*path);
    *path = bfm_path_join(scratch->folder, name, NULL);
    if (!*path)
        abort();
    return *path;
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
