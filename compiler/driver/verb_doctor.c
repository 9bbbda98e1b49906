/* bfmc doctor: what to paste into a bug report. */
#include "driver/verbs.h"

#include <bfm/context.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The first line of a file that begins with `key`, what stands after its colon. */
static json_t *file_line(const char *path, const char *key)
{
    char line[512];
    FILE *file = fopen(path, "r");
    json_t *found = NULL;
    while (file && !found && fgets(line, sizeof line, file))
        if (strncmp(line, key, strlen(key)) == 0) {
            const char *value = strpbrk(line, ":=");
            value = value ? value + 1 + strspn(value + 1, " \t\"") : line;
            found = json_stringn(value, strcspn(value, "\"\n"));
        }
    if (file)
        fclose(file);
    return found ? found : json_string("unknown");
}

int verb_doctor(Driver *driver)
{
    struct utsname name;
    const bool known = uname(&name) == 0;
    BfmError error;
    driver->context = bfm_context_new(NULL, &error);
    const char *library = driver->context ? bfm_context_library(driver->context) : NULL;
    const BfmMachine machine = bfm_machine();
    json_t *report = report_new(driver);
    json_object_set_new(report, "version", json_string(bfm_version()));
    json_object_set_new(report, "compiler", json_string(__VERSION__));
    json_object_set_new(report, "library", json_string(library ? library : "not found: set BFM_STDLIB"));
    json_object_set_new(report, "system", file_line("/etc/os-release", "PRETTY_NAME"));
    json_object_set_new(report, "kernel", json_string(known ? name.release : "unknown"));
    json_object_set_new(report, "machine", json_string(known ? name.machine : "unknown"));
    json_object_set_new(report, "cpu", file_line("/proc/cpuinfo", "model name"));
    json_object_set_new(report, "cpus", json_integer(machine.cpus));
    json_object_set_new(report, "memory", file_line("/proc/meminfo", "MemTotal"));
    json_object_set_new(report, "matrix_kernels", json_string(machine.products));
    const int code = library ? CODE_OK : CODE_ENVIRONMENT;
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
