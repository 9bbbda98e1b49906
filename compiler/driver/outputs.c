/* What a command reads and its output would replace. */
#include "driver/driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool same_file(const char *path, const struct stat *file)
{
    struct stat other;
    return path && stat(path, &other) == 0 && other.st_dev == file->st_dev && other.st_ino == file->st_ino;
}

/* An argument, with or without the name of an item. */
static bool is_argument(const char *argument, const struct stat *output)
{
    const char *name;
    char *path = target_split(argument, &name);
    const bool same = same_file(path, output);
    free(path);
    return same;
}

/* What the command line names as `output`: an argument, or the file of another option. NULL: nothing. */
static const char *of_line(const Options *options, const struct stat *output)
{
    for (int i = 0; i < options->argument_count; i++)
        if (is_argument(options->arguments[i], output))
            return options->arguments[i];
    for (int id = 0; id < OPT_COUNT; id++)
        for (int i = 0; id != OPT_OUT && i < options->values[id].count; i++)
            if (same_file(options->values[id].texts[i], output))
                return options->values[id].texts[i];
    return NULL;
}

static const char *of_module(const BfmModule *module, const struct stat *output)
{
    for (int i = 0; module && i < bfm_module_file_count(module); i++)
        if (same_file(bfm_module_file(module, i), output))
            return bfm_module_file(module, i);
    return NULL;
}

bool driver_output(const Driver *driver, const char *out, BfmError *error)
{
    struct stat output;
    if (!out || stat(out, &output) != 0 || !(S_ISREG(output.st_mode) || S_ISDIR(output.st_mode)))
        return true;
    const char *read = of_line(driver->options, &output), *name;
    if (!read)
        read = of_module(driver->subject, &output);
    if (!read)
        return true;
    char *path = target_split(read, &name);
    const bool same = strcmp(path, out) == 0;
    *error = (BfmError){.kind = BFM_ERROR_INPUT};
    (void)snprintf(error->message, sizeof error->message, "the output%s%s would replace %s, which the command reads; write it elsewhere with --out", same ? "" : " ",
                   same ? "" : out, path);
    free(path);
    return false;
}
