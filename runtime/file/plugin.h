/* Plug-ins: libraries of our own that bring in another's, loaded when they are first needed. They come from the installation's own folder, never from a
 * place that the environment or the working directory names, and stay loaded. */
#ifndef BFM_FILE_PLUGIN_H
#define BFM_FILE_PLUGIN_H

#include "bfm/error.h"

#include <stdbool.h>

typedef struct BfmPlugin {
    const char *file, *symbol; /* the library and its table, which begins with an int: the version */
    int version;
    const char *name;   /* what it brings, for messages */
    const char *absent; /* the message where the installation has none of this version */
} BfmPlugin;

/* The table; NULL (ENVIRONMENT): absent, or it cannot be loaded. `loaded_only`: NULL also where nothing has loaded it yet. */
const void *bfm_plugin_find(const BfmPlugin *plugin, bool loaded_only, BfmError *error);

#endif
