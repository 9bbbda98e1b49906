/* bfmc doctor: what to paste into a bug report. */
#include "driver/verbs.h"
#include "device/cpu/gemm/gemm.h"
#include "device/cpu/pool/pool.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The first line of a file that begins with `key`, what stands after its colon. */
static const char *file_line(Arena *arena, const char *path, const char *key)
{
    char line[512];
    FILE *file = fopen(path, "r");
    const char *found = NULL;
    while (file && !found && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0) {
            const char *value = strpbrk(line, ":=");
            value = value ? value + 1 + strspn(value + 1, " \t\"") : line;
            found = arena_strndup(arena, value, strcspn(value, "\"\n"));
        }
    if (file)
        fclose(file);
    return found ? found : "unknown";
}

int verb_doctor(Driver *driver)
{
    struct utsname name;
    const bool known = uname(&name) == 0;
    json_t *report = report_new(driver);
    json_object_set_new(report, "version", json_string(BFM_VERSION));
    json_object_set_new(report, "compiler", json_string(__VERSION__));
    json_object_set_new(report, "library", json_string(driver->context.library ? driver->context.library : "not found: set BFM_STDLIB"));
    json_object_set_new(report, "system", json_string(file_line(driver->context.arena, "/etc/os-release", "PRETTY_NAME")));
    json_object_set_new(report, "kernel", json_string(known ? name.release : "unknown"));
    json_object_set_new(report, "machine", json_string(known ? name.machine : "unknown"));
    json_object_set_new(report, "cpu", json_string(file_line(driver->context.arena, "/proc/cpuinfo", "model name")));
    json_object_set_new(report, "cpus", json_integer(bfm_pool_available_cpus()));
    json_object_set_new(report, "memory", json_string(file_line(driver->context.arena, "/proc/meminfo", "MemTotal")));
    json_object_set_new(report, "matrix_kernels", json_string(bfm_gemm_engine_name(BFM_GEMM_OWN)));
    const int code = driver->context.library ? CODE_OK : CODE_ENVIRONMENT;
    if (driver->json)
        return report_print(driver, report, code);
    const char *key;
    json_t *value;
    json_object_foreach(report, key, value) if (strcmp(key, "schema") != 0 && strcmp(key, "ok") != 0) json_is_integer(value)
        ? printf("%-16s%lld\n", key, (long long)json_integer_value(value))
        : printf("%-16s%s\n", key, json_string_value(value));
    json_decref(report);
    return code;
}
