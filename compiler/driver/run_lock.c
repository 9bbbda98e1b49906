#define _GNU_SOURCE
#include "driver/run_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
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

int run_lock(const RunFolder *folder, BfmError *error)
{
    const int lock = open(folder->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (lock < 0) {
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s cannot be opened: %s", folder->lock, strerror(errno));
        return -1;
    }
    const bool own = flock(lock, LOCK_EX | LOCK_NB) == 0;
    const int reason = errno;
    if (!own && reason == EWOULDBLOCK) {
        (void)taken(folder, lock, error);
    } else if (!own && reason != ENOLCK && reason != ENOTSUP && reason != EOPNOTSUPP) { /* a file system without locks has to do without */
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s cannot be locked: %s", folder->lock, strerror(reason));
    } else {
        char text[32];
        const int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
        if (ftruncate(lock, 0) == 0 && pwrite(lock, text, (size_t)length, 0) == length)
            return lock;
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s cannot be written: %s", folder->lock, strerror(errno));
    }
    (void)close(lock);
    return -1;
}

void run_unlock(int lock)
{
    if (lock < 0)
        return;
    if (ftruncate(lock, 0) != 0) /* who held it no longer matters */
        (void)0;
    (void)close(lock);
}
