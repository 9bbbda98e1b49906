/* Files as the runtime reads them: mapped whole, checked before use; and the few path operations its writers share. */
#ifndef BFM_FILE_FILE_H
#define BFM_FILE_FILE_H

#include "bfm/error.h"

#include <stdbool.h>
#include <stddef.h>

/* A whole file, read only. `data` is page aligned; an empty file has size 0 and data that is not NULL.
 * Our own writers replace files by rename and never shorten one in place, so a mapping stays readable. */
typedef struct BfmMappedFile {
    const unsigned char *data;
    size_t size; /* bytes */
} BfmMappedFile;

/* Error: missing, a folder or no regular file (INPUT), unreadable (ENVIRONMENT). */
bool bfm_mapped_file_open(BfmMappedFile *file, const char *path, BfmError *error);
void bfm_mapped_file_close(BfmMappedFile *file); /* twice is harmless */

/* INPUT for what the user can have mistyped (no such file, a folder where a file belongs), else ENVIRONMENT. */
BfmErrorKind bfm_errno_kind(int code);

char *bfm_path_join(const char *folder, const char *name, BfmError *error);   /* malloc'd; NULL on exhausted memory */
char *bfm_path_suffix(const char *path, const char *suffix, BfmError *error); /* malloc'd, without trailing slashes before the suffix */
bool bfm_path_exists(const char *path);                                       /* also true of a dangling link */
bool bfm_directory_exists(const char *path);                                  /* a folder, or a link to one */
bool bfm_directory_make(const char *path, BfmError *error);                   /* with parents; an existing one is fine */
bool bfm_directory_clear(const char *path, BfmError *error);                  /* removes its content, links not followed */
bool bfm_directory_remove(const char *path, BfmError *error);                 /* with its content, links not followed; a missing one is fine */
bool bfm_directory_sync(const char *path, BfmError *error);                   /* makes the names in it durable */
bool bfm_directory_sync_parent(const char *path, BfmError *error);            /* the same for the folder that holds `path` */

#endif
