/* What every verb is given, and how verbs speak: products on standard output, everything else on standard error. */
#ifndef BFM_DRIVER_DRIVER_H
#define BFM_DRIVER_DRIVER_H

#include "bfm/error.h"
#include "driver/options.h"
#include "run/context.h"

#include <jansson.h>

/* Exit codes; the first values agree with BfmErrorKind. */
enum { CODE_OK = 0, CODE_INPUT = 1, CODE_USAGE = 2, CODE_ENVIRONMENT = 3, CODE_BUG = 4, CODE_STOPPED = 75 };

struct Driver {
    BfmContext context; /* what the work needs; the rest is how the command speaks */
    const Options *options;
    bool color, json, quiet;
    int printed; /* diagnostics so far */
};

/* The folder of the standard library: $BFM_STDLIB, beside an installed binary, or the source tree's. NULL: none has a layers.bfm. */
const char *library_find(Arena *arena);

/* ---- speaking ---- */

/* An error that is no diagnostic of a file: told on standard error, as JSON with --json. Returns the exit code of its kind. */
int driver_fail(Driver *driver, const BfmError *error);
__attribute__((format(printf, 3, 4))) int driver_error(Driver *driver, BfmErrorKind kind, const char *format, ...);
__attribute__((format(printf, 2, 3))) int driver_usage(Driver *driver, const char *format, ...);
/* CODE_OK where all of these options are given; else the first that is not is told. */
int driver_need(Driver *driver, const OptionId *options, size_t count);
/* Warnings and progress; nothing with --quiet. */
__attribute__((format(printf, 2, 3))) void driver_note(const Driver *driver, const char *format, ...);
/* Prints the diagnostics that came since the last time on standard error (with --json they go into the report instead). CODE_INPUT if there are errors, else CODE_OK. */
int driver_diagnostics(Driver *driver);

/* A report in the making: {"schema": "bfmc.check/1", "ok": …}. */
json_t *report_new(const Driver *driver);
/* Adds "ok" and the diagnostics, prints it, drops the reference. Returns `code`. */
int report_print(Driver *driver, json_t *report, int code);
/* Writes a product to standard output; CODE_ENVIRONMENT where that fails. */
int driver_print(Driver *driver, const Str *text);

/* ---- files ---- */

/* Whether `out` may be written: it is no file or folder that the command line names or that the module (NULL: none) holds. */
bool driver_output(const Driver *driver, const Module *module, const char *out, BfmError *error);
/* The texts of --set. False: one is no PATH=VALUE; reported, *code is the exit code. */
bool driver_overrides(Driver *driver, Overrides *overrides, int *code);
/* Loads the file and what it uses, and applies --set. NULL: the file cannot be read; *code is the exit code, the error is told. Diagnostics may be there. */
Module *driver_module(Driver *driver, const char *path, int *code);
/* The item of the target: by name, else the only one of `kind` in the file. NULL: told, *code is the exit code. */
const Node *driver_pick(Driver *driver, const Module *module, const Target *target, NodeKind kind, int *code);

#endif
