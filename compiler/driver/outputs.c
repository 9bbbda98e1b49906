/* What a command reads and its output would replace. */
#include "driver/driver.h"

#include <string.h>
#include <sys/stat.h>

static bool same_file(const char *path, const struct stat *file)
{
    struct stat other;
    return path && stat(path, &other) == 0 && other.st_dev == file->st_dev && other.st_ino == file->st_ino;
}

/* An argument, with or without the name of an item, or the file that another option names. */
static const char *of_line(const Driver *driver, const struct stat *output)
{
    const Options *options = driver->options;
    for (int i = 0; i < options->argument_count; i++) {
        const char *path = target_parse(driver->context.arena, options->arguments[i]).path;
        if (same_file(path, output))
            return path;
    }
    for (int id = 0; id < OPT_COUNT; id++)
        for (int i = 0; id != OPT_OUT && i < options->values[id].count; i++)
            if (same_file(options->values[id].texts[i], output))
                return options->values[id].texts[i];
    return NULL;
}

static const char *of_module(const Module *module, const struct stat *output)
{
    for (int i = 0; i < module->file_count; i++)
        if (same_file(module->files[i].path, output))
            return module->files[i].path;
    return NULL;
}

bool driver_output(const Driver *driver, const Module *module, const char *out, BfmError *error)
{
    struct stat output;
    if (!out || stat(out, &output) != 0 || !(S_ISREG(output.st_mode) || S_ISDIR(output.st_mode)))
        return true;
    const char *read = of_line(driver, &output);
    if (!read && module)
        read = of_module(module, &output);
    if (!read)
        return true;
    const bool same = strcmp(read, out) == 0;
    return bfm_error_set(error, BFM_ERROR_INPUT, "the output%s%s would replace %s, which the command reads; write it elsewhere with --out", same ? "" : " ", same ? "" : out, read);
}
