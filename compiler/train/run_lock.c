#define _GNU_SOURCE
#include "train/run_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* The process that wrote its number last; 0: nobody did yet. */
static long holder(int lock)
{
    char text[32] = "";
    long number = 0;
    if (pread(lock, text, sizeof text - 1, 0) > 0)
        (void)sscanf(text, "%ld", &number);
    return number;
}

static bool taken(const RunFolder *folder, int lock, BfmError *error)
{
    const long process = holder(lock);
    if (process > 0)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: process %ld trains in this folder; wait until it ends, or choose another folder with --out", folder->path, process);
    return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: another process trains in this folder; wait until it ends, or choose another folder with --out", folder->path);
}

/* The file that was locked may have been removed by the one that held it before: then somebody else may lock a new one. */
static bool still_there(const RunFolder *folder, int lock)
{
    struct stat locked, named;
    return fstat(lock, &locked) == 0 && stat(folder->lock, &named) == 0 && locked.st_dev == named.st_dev && locked.st_ino == named.st_ino;
}

static int open_lock(const RunFolder *folder, BfmError *error)
{
    const int lock = open(folder->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (lock < 0)
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s cannot be opened: %s", folder->lock, strerror(errno));
    return lock;
}

/* A file system without locks has to do without. */
static bool take(const RunFolder *folder, int lock, BfmError *error)
{
    if (flock(lock, LOCK_EX | LOCK_NB) == 0 || errno == ENOLCK || errno == ENOTSUP || errno == EOPNOTSUPP)
        return true;
    if (errno == EWOULDBLOCK)
        return taken(folder, lock, error);
    return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s cannot be locked: %s", folder->lock, strerror(errno));
}

static bool write_holder(const RunFolder *folder, int lock, BfmError *error)
{
    char text[32];
    const int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    return (ftruncate(lock, 0) == 0 && pwrite(lock, text, (size_t)length, 0) == length) ||
           bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s cannot be written: %s", folder->lock, strerror(errno));
}

int run_lock(const RunFolder *folder, BfmError *error)
{
    for (;;) {
        const int lock = open_lock(folder, error);
        if (lock < 0)
            return -1;
        const bool own = take(folder, lock, error);
        if (own && still_there(folder, lock) && write_holder(folder, lock, error))
            return lock;
        const bool again = own && !still_there(folder, lock);
        (void)close(lock);
        if (!again)
            return -1;
    }
}

void run_unlock(const RunFolder *folder, int lock)
{
    if (lock < 0)
        return;
    (void)unlink(folder->lock); /* while it is held: a reader of the folder sees no trace of what has ended */
    (void)close(lock);
}
