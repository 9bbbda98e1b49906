/* How many threads can run at once: CPU affinity, and the CPU quota of the cgroup (version 2 or 1) and of all its ancestors. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/cpu/pool/pool.h"

enum { CPU_LIMIT = 1 << 16, PATH_BYTES = 4096 };

static int affinity_count(void)
{
    for (int cpus = 1024; cpus <= CPU_LIMIT; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);
        if (!set)
            break;
        size_t bytes = CPU_ALLOC_SIZE((size_t)cpus);
        int status = sched_getaffinity(0, bytes, set);
        int count = status == 0 ? CPU_COUNT_S(bytes, set) : 0;
        bool too_small = status != 0 && errno == EINVAL; /* the kernel has more CPUs than the set */
        CPU_FREE(set);
        if (count > 0)
            return count;
        if (!too_small)
            break;
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 && online < CPU_LIMIT ? (int)online : 1;
}

/* Reads the first line of a file in a cgroup's folder. */
static bool line_read(const char *folder, const char *file, char *line, int size)
{
    char path[PATH_BYTES + 64];
    (void)snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *stream = fopen(path, "r");
    if (!stream)
        return false;
    bool ok = fgets(line, size, stream) != NULL;
    (void)fclose(stream);
    return ok;
}

/* CPUs that the quota of one folder grants, rounded up; CPU_LIMIT when it sets none. */
static int folder_quota(const char *folder)
{
    char line[128], period_line[128];
    long long quota = -1, period = 0;
    if (line_read(folder, "cpu.max", line, sizeof line)) {
        if (sscanf(line, "%lld %lld", &quota, &period) != 2) /* "max 100000" */
            return CPU_LIMIT;
    } else if (line_read(folder, "cpu.cfs_quota_us", line, sizeof line) && line_read(folder, "cpu.cfs_period_us", period_line, sizeof period_line)) {
        quota = atoll(line);
        period = atoll(period_line);
    }
    if (quota <= 0 || period <= 0 || quota / period >= CPU_LIMIT)
        return CPU_LIMIT;
    return (int)((quota + period - 1) / period);
}

/* The smallest quota of `mount` + `path` and every folder above it, down to the mount point. */
static int path_quota(const char *mount, const char *path)
{
    char folder[PATH_BYTES];
    int length = snprintf(folder, sizeof folder, "%s%s", mount, path);
    if (length < 0 || (size_t)length >= sizeof folder)
        return CPU_LIMIT;
    int least = CPU_LIMIT;
    for (;;) {
        int quota = folder_quota(folder);
        least = quota < least ? quota : least;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < strlen(mount))
            return least;
        *slash = '\0';
    }
}

static int cgroup_quota(void)
{
    FILE *stream = fopen("/proc/self/cgroup", "r");
    if (!stream)
        return CPU_LIMIT;
    int least = CPU_LIMIT;
    char line[PATH_BYTES];
    while (fgets(line, sizeof line, stream)) { /* number:controllers:/path */
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *controllers++ = *path++ = '\0';
        int quota = CPU_LIMIT;
        if (!*controllers)
            quota = path_quota("/sys/fs/cgroup", path);
        else if (strstr(controllers, "cpu") && !strstr(controllers, "cpuset"))
            quota = path_quota("/sys/fs/cgroup/cpu", path);
        least = quota < least ? quota : least;
    }
    (void)fclose(stream);
    return least;
}

int bfm_pool_available_cpus(void)
{
    int cpus = affinity_count(), quota = cgroup_quota();
    return quota < cpus ? quota : cpus;
}
