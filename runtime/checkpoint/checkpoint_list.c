/* The checkpoints under one root: which are finished, which to open, which to remove. */
#include "checkpoint/checkpoint.h"
#include "file/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Names are canonical decimals: "12", not "012", "+12" or "12.tmp". */
static bool parse_step(const char *name, int64_t *step)
{
    int64_t value = 0;
    if (!*name || (*name == '0' && name[1]))
        return false;
    for (; *name; name++)
        if (*name < '0' || *name > '9' || __builtin_mul_overflow(value, (int64_t)10, &value) || __builtin_add_overflow(value, (int64_t)(*name - '0'), &value))
            return false;
    *step = value;
    return true;
}

static bool is_leftover(const char *name)
{
    char digits[32];
    const char *dot = strchr(name, '.');
    int64_t step;
    if (!dot || dot == name || dot - name >= (ptrdiff_t)sizeof digits || (strcmp(dot, ".tmp") != 0 && strcmp(dot, ".old") != 0))
        return false;
    memcpy(digits, name, (size_t)(dot - name));
    digits[dot - name] = '\0';
    return parse_step(digits, &step);
}

static int ascending(const void *left, const void *right)
{
    const int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return a < b ? -1 : a > b;
}

static bool append_step(int64_t **steps, int64_t *count, int64_t *capacity, int64_t step, BfmError *error)
{
    if (*count == *capacity) {
        int64_t more = *capacity ? 2 * *capacity : 16;
        int64_t *grown = realloc(*steps, (size_t)more * sizeof *grown);
        if (!grown)
            return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "out of memory for the list of checkpoints");
        *steps = grown;
        *capacity = more;
    }
    (*steps)[(*count)++] = step;
    return true;
}

bool bfm_checkpoint_list(const char *root, int64_t **steps, int64_t *count, BfmError *error)
{
    int64_t capacity = 0, step;
    *steps = NULL;
    *count = 0;
    DIR *stream = opendir(root);
    if (!stream)
        return errno == ENOENT || bfm_error_set(error, bfm_errno_kind(errno), "%s: the checkpoints cannot be listed: %s", root, strerror(errno));
    bool listed = true;
    for (const struct dirent *entry; listed && (entry = readdir(stream)) != NULL;)
        if (parse_step(entry->d_name, &step))
            listed = append_step(steps, count, &capacity, step, error);
    (void)closedir(stream);
    if (!listed) {
        free(*steps);
        *steps = NULL;
        *count = 0;
    } else if (*count > 0)
        qsort(*steps, (size_t)*count, sizeof **steps, ascending);
    return listed;
}

BfmCheckpoint *bfm_checkpoint_latest(const char *root, int64_t *skipped, BfmError *error)
{
    int64_t *steps, count, passed = 0;
    BfmCheckpoint *checkpoint = NULL;
    if (!bfm_checkpoint_list(root, &steps, &count, error))
        return NULL;
    if (count == 0)
        (void)bfm_error_set(error, BFM_ERROR_INPUT, "%s: holds no finished checkpoint", root);
    for (int64_t i = count - 1; i >= 0 && !checkpoint; i--) {
        char *path = bfm_checkpoint_path(root, steps[i], error);
        checkpoint = path ? bfm_checkpoint_open(path, passed == 0 ? error : NULL) : NULL;
        passed += !checkpoint;
        free(path);
    }
    free(steps);
    if (skipped)
        *skipped = passed;
    return checkpoint;
}

/* Renamed first: a kill in the middle of removing must not leave half a checkpoint under a finished name. */
static bool remove_step(const char *root, int64_t step, BfmError *error)
{
    char *path = bfm_checkpoint_path(root, step, error), *aside = path ? bfm_path_suffix(path, ".old", error) : NULL;
    bool removed = aside && bfm_directory_remove(aside, error);
    if (removed && rename(path, aside) != 0)
        removed = bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: cannot be removed: %s", path, strerror(errno));
    removed = removed && bfm_directory_remove(aside, error);
    free(path);
    free(aside);
    return removed;
}

static bool remove_leftovers(const char *root, BfmError *error)
{
    DIR *stream = opendir(root);
    bool removed = true;
    if (!stream)
        return true;
    for (const struct dirent *entry; removed && (entry = readdir(stream)) != NULL;) {
        if (!is_leftover(entry->d_name))
            continue;
        char *path = bfm_path_join(root, entry->d_name, error);
        removed = path && bfm_directory_remove(path, error);
        free(path);
    }
    (void)closedir(stream);
    return removed;
}

bool bfm_checkpoint_prune(const char *root, int64_t keep, int64_t protect, BfmError *error)
{
    int64_t *steps, count;
    bool pruned = bfm_checkpoint_list(root, &steps, &count, error) && remove_leftovers(root, error);
    for (int64_t i = 0; pruned && i < count - keep; i++)
        if (steps[i] != protect)
            pruned = remove_step(root, steps[i], error);
    free(steps);
    return pruned;
}
