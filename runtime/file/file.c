#define _GNU_SOURCE
#include "file/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WALK_DESCRIPTORS = 16 };

BfmErrorKind bfm_errno_kind(int code) { return code == ENOENT || code == ENOTDIR || code == EISDIR || code == ENAMETOOLONG ? BFM_ERROR_INPUT : BFM_ERROR_ENVIRONMENT; }

static bool map_descriptor(BfmMappedFile *file, int descriptor, const char *path, BfmError *error)
{
    struct stat status;
    if (fstat(descriptor, &status) != 0)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: cannot be examined: %s", path, strerror(errno));
    if (!S_ISREG(status.st_mode))
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: expected a file, found %s", path,
                             S_ISDIR(status.st_mode) ? "a folder" : "a pipe or a device; save its content to a file first");
    file->size = (size_t)status.st_size;
    file->data = (const unsigned char *)"";
    if (file->size == 0)
        return true;
    void *data = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (data == MAP_FAILED)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: cannot be mapped (%zu bytes): %s", path, file->size, strerror(errno));
    file->data = data;
    return true;
}

bool bfm_mapped_file_open(BfmMappedFile *file, const char *path, BfmError *error)
{
    *file = (BfmMappedFile){0};
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* NONBLOCK: opening a pipe must not wait for its writer */
    if (descriptor < 0)
        return bfm_error_set(error, bfm_errno_kind(errno), "%s: cannot be opened: %s", path, strerror(errno));
    bool mapped = map_descriptor(file, descriptor, path, error);
    (void)close(descriptor);
    return mapped;
}

void bfm_mapped_file_close(BfmMappedFile *file)
{
    if (file->size > 0)
        (void)munmap((void *)(size_t)file->data, file->size);
    *file = (BfmMappedFile){0};
}

char *bfm_path_join(const char *folder, const char *name, BfmError *error)
{
    size_t length = strlen(folder);
    bool slash = length > 0 && folder[length - 1] != '/';
    char *path = NULL;
    if (asprintf(&path, "%s%s%s", folder, slash ? "/" : "", name) >= 0)
        return path;
    (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory for the path of %s", name);
    return NULL;
}

char *bfm_path_suffix(const char *path, const char *suffix, BfmError *error)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    char *result = NULL;
    if (asprintf(&result, "%.*s%s", (int)length, path, suffix) >= 0)
        return result;
    (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory for the path of %s", path);
    return NULL;
}

bool bfm_path_exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

bool bfm_directory_exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static bool make_one(const char *path, BfmError *error)
{
    struct stat status;
    if (mkdir(path, 0777) == 0)
        return true;
    int code = errno;
    if (code == EEXIST && stat(path, &status) == 0 && S_ISDIR(status.st_mode))
        return true;
    if (code == EEXIST || code == ENOTDIR)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: expected a folder, but a file is in the way; remove it or choose another name", path);
    return bfm_error_set(error, bfm_errno_kind(code), "%s: the folder cannot be made: %s", path, strerror(code));
}

bool bfm_directory_make(const char *path, BfmError *error)
{
    char *copy = bfm_path_suffix(path, "", error);
    if (!copy)
        return false;
    bool made = true;
    for (char *c = copy + 1; made && *copy && *c; c++) {
        if (*c != '/' || c[-1] == '/')
            continue;
        *c = '\0';
        made = make_one(copy, error);
        *c = '/';
    }
    made = made && make_one(copy, error);
    free(copy);
    return made;
}

static int clear_visit(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status, (void)kind;
    return place->level == 0 || remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

bool bfm_directory_clear(const char *path, BfmError *error)
{
    return nftw(path, clear_visit, WALK_DESCRIPTORS, FTW_DEPTH | FTW_PHYS) == 0 || bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: cannot be emptied: %s", path, strerror(errno));
}

static int remove_visit(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status, (void)kind, (void)place;
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

bool bfm_directory_remove(const char *path, BfmError *error)
{
    if (!bfm_path_exists(path) || nftw(path, remove_visit, WALK_DESCRIPTORS, FTW_DEPTH | FTW_PHYS) == 0)
        return true;
    return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: cannot be removed: %s", path, strerror(errno));
}

bool bfm_directory_sync(const char *path, BfmError *error)
{
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return bfm_error_set(error, bfm_errno_kind(errno), "%s: the folder cannot be opened: %s", path, strerror(errno));
    /* Some file systems cannot sync a folder and say EINVAL; there the rename is as durable as it gets. */
    bool synced = fsync(descriptor) == 0 || errno == EINVAL;
    int code = errno;
    (void)close(descriptor);
    return synced || bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: the folder cannot be synced: %s", path, strerror(code));
}

bool bfm_directory_sync_parent(const char *path, BfmError *error)
{
    char *copy = bfm_path_suffix(path, "", error);
    if (!copy)
        return false;
    char *slash = strrchr(copy, '/');
    if (slash)
        slash[slash == copy] = '\0';
    bool synced = bfm_directory_sync(slash ? copy : ".", error);
    free(copy);
    return synced;
}
