#define _GNU_SOURCE
#include "file/atomic_file.h"

#include "file/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STREAM_BUFFER_BYTES = 1 << 18, NAME_ATTEMPTS = 64 };

/* A fresh name per process and attempt, created exclusively: two writers of one path never share a temporary. */
static int open_temporary(BfmAtomicFile *file, BfmError *error)
{
    int descriptor = -1;
    for (int attempt = 0; attempt < NAME_ATTEMPTS && descriptor < 0; attempt++) {
        free(file->temporary);
        file->temporary = NULL;
        if (asprintf(&file->temporary, "%s.tmp.%ld.%d", file->path, (long)getpid(), attempt) < 0) {
            file->temporary = NULL;
            return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory for the path of %s", file->path), -1;
        }
        descriptor = open(file->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor < 0 && errno != EEXIST)
            break;
    }
    if (descriptor < 0) {
        int code = errno;
        (void)bfm_error_set(error, bfm_errno_kind(code), "%s: cannot be written: %s%s", file->path, strerror(code), code == ENOENT ? " (does its folder exist?)" : "");
        free(file->temporary); /* not ours: discard must not remove it */
        file->temporary = NULL;
    }
    return descriptor;
}

bool bfm_atomic_file_open(BfmAtomicFile *file, const char *path, BfmError *error)
{
    *file = (BfmAtomicFile){0};
    struct stat status;
    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: expected the name of a file, found %s", path, S_ISDIR(status.st_mode) ? "a folder" : "a device or a pipe");
    file->path = strdup(path);
    if (!file->path)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory for the path of %s", path);
    int descriptor = open_temporary(file, error);
    if (descriptor >= 0) {
        file->stream = fdopen(descriptor, "w+b");
        if (file->stream) {
            (void)setvbuf(file->stream, NULL, _IOFBF, STREAM_BUFFER_BYTES);
            return true;
        }
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: cannot be written: %s", path, strerror(errno));
        (void)close(descriptor);
    }
    bfm_atomic_file_discard(file);
    return false;
}

static bool write_failed(const BfmAtomicFile *file, BfmError *error)
{
    int code = errno;
    return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: cannot be written: %s%s", file->path, strerror(code),
                         code == ENOSPC || code == EDQUOT ? " (free some space; what was there before is untouched)" : "");
}

bool bfm_atomic_file_write(BfmAtomicFile *file, const void *data, size_t bytes, BfmError *error)
{
    return bytes == 0 || fwrite(data, 1, bytes, file->stream) == bytes || write_failed(file, error);
}

bool bfm_atomic_file_write_at(BfmAtomicFile *file, int64_t offset, const void *data, size_t bytes, BfmError *error)
{
    if (fseeko(file->stream, (off_t)offset, SEEK_SET) != 0)
        return write_failed(file, error);
    return bfm_atomic_file_write(file, data, bytes, error) && (fseeko(file->stream, 0, SEEK_END) == 0 || write_failed(file, error));
}

bool bfm_atomic_file_commit(BfmAtomicFile *file, BfmError *error)
{
    errno = EIO; /* ferror alone leaves no reason */
    bool written = !ferror(file->stream) && fflush(file->stream) == 0 && fsync(fileno(file->stream)) == 0;
    if (!written)
        (void)write_failed(file, error);
    else if (fclose(file->stream) != 0) {
        file->stream = NULL;
        written = write_failed(file, error);
    } else {
        file->stream = NULL;
        written = rename(file->temporary, file->path) == 0 || write_failed(file, error);
    }
    if (written) {
        free(file->temporary); /* it has its final name: discard must not remove anything */
        file->temporary = NULL;
        written = bfm_directory_sync_parent(file->path, error);
    }
    bfm_atomic_file_discard(file);
    return written;
}

void bfm_atomic_file_discard(BfmAtomicFile *file)
{
    if (file->stream)
        (void)fclose(file->stream);
    if (file->temporary)
        (void)unlink(file->temporary);
    free(file->temporary);
    free(file->path);
    *file = (BfmAtomicFile){0};
}

bool bfm_atomic_write(const char *path, const void *data, size_t bytes, BfmError *error)
{
    BfmAtomicFile file;
    bool written = bfm_atomic_file_open(&file, path, error) && bfm_atomic_file_write(&file, data, bytes, error) && bfm_atomic_file_commit(&file, error);
    bfm_atomic_file_discard(&file);
    return written;
}

/* What the caller may not change stays as the system makes it. */
static void keep_owner_and_mode(const BfmAtomicFile *file, const struct stat *before)
{
    const int descriptor = fileno(file->stream);
    if (fchown(descriptor, before->st_uid, before->st_gid) != 0 && fchown(descriptor, (uid_t)-1, before->st_gid) != 0)
        errno = 0;
    (void)fchmod(descriptor, before->st_mode & 07777);
}

bool bfm_atomic_rewrite(const char *path, const void *data, size_t bytes, BfmError *error)
{
    BfmAtomicFile file = {0};
    struct stat before;
    char *target = realpath(path, NULL);
    bool written = target && stat(target, &before) == 0 && access(target, W_OK) == 0;
    if (!written)
        (void)bfm_error_set(error, bfm_errno_kind(errno), "%s: cannot be written: %s", path, strerror(errno));
    written = written && bfm_atomic_file_open(&file, target, error);
    if (written) {
        keep_owner_and_mode(&file, &before);
        written = bfm_atomic_file_write(&file, data, bytes, error) && bfm_atomic_file_commit(&file, error);
    }
    bfm_atomic_file_discard(&file);
    free(target);
    return written;
}

/* ---- folders ---- */

/* A descriptor of the folder, locked; -1: it is gone (`*gone`), or the error is set. A file system without locks has to do without. */
static int lock_directory(const char *path, bool *gone, BfmError *error)
{
    struct stat locked, named;
    const int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    *gone = descriptor < 0 && errno == ENOENT;
    if (descriptor < 0) {
        if (!*gone)
            (void)bfm_error_set(error, bfm_errno_kind(errno), "%s: cannot be opened: %s", path, strerror(errno));
        return -1;
    }
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: another process is writing this folder; wait until it ends, or choose another --out", path);
        (void)close(descriptor);
        return -1;
    }
    *gone = fstat(descriptor, &locked) != 0 || lstat(path, &named) != 0 || locked.st_dev != named.st_dev || locked.st_ino != named.st_ino;
    if (!*gone)
        return descriptor;
    (void)close(descriptor);
    return -1;
}

/* Makes PATH.tmp and locks it. It may be gone in between, where another process put its own in place: then once more. */
static bool take_temporary(BfmAtomicDirectory *directory, BfmError *error)
{
    char *temporary = bfm_path_suffix(directory->path, ".tmp", error);
    bool gone = temporary != NULL;
    int lock = -1;
    for (int attempt = 0; gone && attempt < NAME_ATTEMPTS; attempt++) {
        gone = bfm_directory_make(temporary, error);
        lock = gone ? lock_directory(temporary, &gone, error) : -1;
    }
    if (lock >= 0 && bfm_directory_clear(temporary, error)) {
        directory->temporary = temporary;
        directory->lock = lock;
        return true;
    }
    if (lock >= 0)
        (void)close(lock);
    if (gone)
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: other processes keep writing this folder; choose another --out", directory->path);
    free(temporary);
    return false;
}

bool bfm_atomic_directory_begin(BfmAtomicDirectory *directory, const char *path, BfmError *error)
{
    *directory = (BfmAtomicDirectory){.path = bfm_path_suffix(path, "", error)};
    struct stat status;
    bool begun = directory->path != NULL;
    if (begun && stat(directory->path, &status) == 0 && !S_ISDIR(status.st_mode))
        begun = bfm_error_set(error, BFM_ERROR_INPUT, "%s: expected the name of a folder, but a file is in the way", directory->path);
    begun = begun && take_temporary(directory, error);
    if (!begun)
        bfm_atomic_directory_discard(directory);
    return begun;
}

/* The old folder takes the temporary name: it is locked first, or another process would take it for one that a killed process left. */
static bool exchange(const BfmAtomicDirectory *directory, bool *exchanged, BfmError *error)
{
    const int old = open(directory->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (old >= 0)
        (void)flock(old, LOCK_EX | LOCK_NB);
    *exchanged = renameat2(AT_FDCWD, directory->temporary, AT_FDCWD, directory->path, RENAME_EXCHANGE) == 0;
    const int code = errno;
    const bool removed = *exchanged && bfm_directory_remove(directory->temporary, error);
    if (old >= 0)
        (void)close(old);
    errno = code;
    return removed;
}

/* A folder cannot be renamed over one that holds files. Exchanging the two names is one step for every reader;
 * where the file system cannot, the old one steps aside first. The loser then stands under the temporary name. */
static bool replace_directory(const BfmAtomicDirectory *directory, BfmError *error)
{
    bool exchanged = false;
    if (rename(directory->temporary, directory->path) == 0)
        return true;
    const bool removed = (errno == ENOTEMPTY || errno == EEXIST) && exchange(directory, &exchanged, error);
    if (exchanged)
        return removed;
    char *aside = errno == EINVAL || errno == ENOSYS ? bfm_path_suffix(directory->path, ".old", error) : NULL;
    bool stepped_aside = aside && bfm_directory_remove(aside, error) && rename(directory->path, aside) == 0;
    bool renamed = stepped_aside && rename(directory->temporary, directory->path) == 0;
    int code = errno;
    if (stepped_aside && !renamed)
        (void)rename(aside, directory->path);
    if (renamed)
        renamed = bfm_directory_remove(aside, error);
    else
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: cannot be put in place: %s", directory->path, strerror(code));
    free(aside);
    return renamed;
}

bool bfm_atomic_directory_commit(BfmAtomicDirectory *directory, BfmError *error)
{
    const bool placed = bfm_directory_sync(directory->temporary, error) && replace_directory(directory, error);
    if (placed) {
        free(directory->temporary); /* it has its final name: what stands under this one now is another's */
        directory->temporary = NULL;
    }
    const bool committed = placed && bfm_directory_sync_parent(directory->path, error);
    bfm_atomic_directory_discard(directory);
    return committed;
}

void bfm_atomic_directory_discard(BfmAtomicDirectory *directory)
{
    if (directory->temporary)
        (void)bfm_directory_remove(directory->temporary, NULL);
    if (directory->lock > 0)
        (void)close(directory->lock);
    free(directory->temporary);
    free(directory->path);
    *directory = (BfmAtomicDirectory){0};
}
