#define _GNU_SOURCE
#include "file/plugin.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Beside the executable (a build tree), one up (its tests), or where an installation puts it. */
static const char *const PLACES[] = {"", "../", "../lib/bfm/"};

const void *bfm_plugin_find(const BfmPlugin *plugin, bool loaded_only, BfmError *error)
{
    char folder[PATH_MAX], path[PATH_MAX + 128];
    const ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
    folder[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(folder, '/'); /* the kernel's path is absolute; without one there is no installation */
    if (slash)
        slash[1] = '\0';
    for (size_t i = 0; slash && i < sizeof PLACES / sizeof *PLACES; i++) {
        (void)snprintf(path, sizeof path, "%s%s%s", folder, PLACES[i], plugin->file);
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | (loaded_only ? RTLD_NOLOAD : 0)); /* never closed: C++ libraries do not unload well */
        const char *reason = library ? NULL : dlerror();
        if (!library && !loaded_only && access(path, F_OK) == 0) {
            (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s cannot be loaded: %s", plugin->name, reason ? reason : "unknown reason");
            return NULL;
        }
        const int *table = library ? dlsym(library, plugin->symbol) : NULL;
        if (table && *table == plugin->version)
            return table;
    }
    (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s", plugin->absent);
    return NULL;
}
