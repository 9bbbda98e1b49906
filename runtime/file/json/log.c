#define _GNU_SOURCE
#include "file/json/log.h"

#include "file/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PRECISION = 9 }; /* decimal digits: every float reads back as itself */

struct BfmLog {
    int descriptor;
    char *path;
};

/* What one line is to a resume. */
typedef enum Line { LINE_KEEP, LINE_LATER, LINE_BROKEN } Line;

static Line classify(const char *line, size_t length, int64_t through_step)
{
    json_t *record = json_loadb(line, length, 0, NULL);
    const json_t *step = json_object_get(record, "step");
    Line kind = !json_is_object(record) ? LINE_BROKEN : through_step >= 0 && json_is_integer(step) && json_integer_value(step) > through_step ? LINE_LATER : LINE_KEEP;
    json_decref(record);
    return kind;
}

/* Bytes to keep. Broken lines may stand only at the end, where a kill or a power cut leaves them; anywhere else the file is not ours. */
static bool kept_bytes(const char *data, size_t size, int64_t through_step, const char *path, size_t *kept, BfmError *error)
{
    size_t start = 0, broken_at = size;
    int64_t number = 0, broken = 0;
    *kept = 0;
    while (start < size) {
        const char *end = memchr(data + start, '\n', size - start);
        if (!end)
            break; /* partial */
        size_t next = (size_t)(end - data) + 1;
        Line kind = classify(data + start, next - 1 - start, through_step);
        number++;
        if (kind == LINE_BROKEN && !broken) {
            broken = number;
            broken_at = start;
        } else if (kind != LINE_BROKEN && broken)
            return bfm_error_set(error, BFM_ERROR_INPUT, "%s: line %" PRId64 " is no JSON object; repair or remove the file", path, broken);
        if (kind == LINE_LATER)
            break;
        start = next;
    }
    *kept = broken ? broken_at : start;
    return true;
}

static bool truncate_tail(BfmLog *log, int64_t through_step, BfmError *error)
{
    BfmMappedFile file;
    size_t kept = 0;
    if (!bfm_mapped_file_open(&file, log->path, error))
        return false;
    size_t size = file.size;
    bool found = kept_bytes((const char *)file.data, size, through_step, log->path, &kept, error);
    bfm_mapped_file_close(&file); /* before the file shrinks under the mapping */
    return found &&
           (kept == size || ftruncate(log->descriptor, (off_t)kept) == 0 || bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: cannot be truncated: %s", log->path, strerror(errno)));
}

BfmLog *bfm_log_open(const char *path, int64_t through_step, BfmError *error)
{
    BfmLog *log = calloc(1, sizeof *log);
    char *copy = strdup(path);
    if (!log || !copy) {
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: out of memory", path);
        free(log);
        free(copy);
        return NULL;
    }
    log->path = copy;
    log->descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (log->descriptor < 0)
        (void)bfm_error_set(error, bfm_errno_kind(errno), "%s: cannot be written: %s", path, strerror(errno));
    else if (truncate_tail(log, through_step, error))
        return log;
    bfm_log_close(log);
    return NULL;
}

void bfm_log_close(BfmLog *log)
{
    if (!log)
        return;
    if (log->descriptor >= 0)
        (void)close(log->descriptor);
    free(log->path);
    free(log);
}

static bool write_all(const BfmLog *log, const char *data, size_t size, BfmError *error)
{
    const off_t start = lseek(log->descriptor, 0, SEEK_END);
    for (size_t done = 0; done < size;) {
        ssize_t written = write(log->descriptor, data + done, size - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            int code = errno;
            bool repaired = done == 0 || ftruncate(log->descriptor, start) == 0; /* half a line must not stand before the next one */
            return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: cannot be written: %s%s", log->path, strerror(code), repaired ? "" : "; its last line is partial");
        }
        done += (size_t)written;
    }
    return true;
}

bool bfm_log_write(BfmLog *log, json_t *record, BfmError *error)
{
    char *text = json_is_object(record) ? json_dumps(record, JSON_COMPACT | JSON_REAL_PRECISION(PRECISION)) : NULL;
    json_decref(record);
    if (!text)
        return bfm_error_set(error, BFM_ERROR_BUG, "%s: a record is no JSON object", log->path);
    size_t length = strlen(text);
    text[length] = '\n'; /* over the NUL: line and end go out in one write */
    bool written = write_all(log, text, length + 1, error);
    free(text);
    return written;
}

bool bfm_log_sync(BfmLog *log, BfmError *error)
{
    return fdatasync(log->descriptor) == 0 || bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: cannot be synced: %s", log->path, strerror(errno));
}
