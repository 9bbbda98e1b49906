/* Files and folders that appear whole or not at all: written beside their place, synced, renamed, and the rename synced. */
#ifndef BFM_FILE_ATOMIC_FILE_H
#define BFM_FILE_ATOMIC_FILE_H

#include "bfm/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* One file being written. Between open and commit only the temporary name exists; whatever was at `path` stays as it was. */
typedef struct BfmAtomicFile {
    FILE *stream;    /* buffered; callers may write to it directly, commit notices its errors */
    char *path;      /* where the file will appear */
    char *temporary; /* beside it: PATH.tmp.PID.N */
} BfmAtomicFile;

bool bfm_atomic_file_open(BfmAtomicFile *file, const char *path, BfmError *error);
bool bfm_atomic_file_write(BfmAtomicFile *file, const void *data, size_t bytes, BfmError *error);
bool bfm_atomic_file_write_at(BfmAtomicFile *file, int64_t offset, const void *data, size_t bytes, BfmError *error); /* then back to the end */
bool bfm_atomic_file_commit(BfmAtomicFile *file, BfmError *error);                                                   /* on failure the temporary is removed */
void bfm_atomic_file_discard(BfmAtomicFile *file); /* removes the temporary; harmless after commit or a failed open */

bool bfm_atomic_write(const char *path, const void *data, size_t bytes, BfmError *error); /* all of the above at once */
/* The same for a file that exists: the new one has its owner (where that may be given), its group and its mode; a symbolic link stays and what it names is replaced.
 * A file that may not be written is an error. Other hard links keep the old content. */
bool bfm_atomic_rewrite(const char *path, const void *data, size_t bytes, BfmError *error);

/* One folder being filled under PATH.tmp; commit renames it to PATH, replacing a folder of that name. PATH.tmp is locked: begin fails while
 * another process fills it, and empties what a killed process left. */
typedef struct BfmAtomicDirectory {
    char *path;
    char *temporary; /* write here; NULL: there is none, or it is another's */
    int lock;        /* a descriptor of the folder; 0: none */
} BfmAtomicDirectory;

bool bfm_atomic_directory_begin(BfmAtomicDirectory *directory, const char *path, BfmError *error);
bool bfm_atomic_directory_commit(BfmAtomicDirectory *directory, BfmError *error); /* on failure the temporary is removed */
void bfm_atomic_directory_discard(BfmAtomicDirectory *directory);                 /* harmless after commit or a failed begin */

#endif
