/* What every verb is given, and how verbs speak: products on standard output, everything else on standard error. */
#ifndef BFM_DRIVER_DRIVER_H
#define BFM_DRIVER_DRIVER_H

#include "driver/options.h"

#include <bfm/check.h>
#include <bfm/tree.h>

#include <jansson.h>

/* Exit codes; the first values agree with BfmErrorKind. */
enum { CODE_OK = 0, CODE_INPUT = 1, CODE_USAGE = 2, CODE_ENVIRONMENT = 3, CODE_BUG = 4, CODE_STOPPED = 75 };

struct Driver {
    const Options *options;
    bool color, json, quiet;
    BfmContext *context;      /* driver_context */
    BfmModule *module;        /* driver_load: of FILE[:NAME], the first argument */
    char *path;               /* FILE */
    const char *item;         /* NAME; NULL: none was given */
    const BfmModule *subject; /* whose diagnostics are printed; NULL: there are none */
    int printed;              /* diagnostics so far */
};

/* The context, with the passes that the options ask for. NULL: the error is reported, *code is the exit code. */
BfmContext *driver_context(Driver *driver, int *code);
/* Loads the file of the first argument and what it uses, and applies --set. False: it cannot be read, or --out would replace what is read; the error is reported. There may be
   diagnostics all the same. */
bool driver_load(Driver *driver, int *code);
void driver_close(Driver *driver);

/* ---- speaking ---- */

/* Reports an error, or the diagnostics where its message is empty; as JSON with --json. Returns the exit code of its kind. */
int driver_fail(Driver *driver, const BfmError *error);
__attribute__((format(printf, 3, 4))) int driver_error(Driver *driver, BfmErrorKind kind, const char *format, ...);
__attribute__((format(printf, 2, 3))) int driver_usage(Driver *driver, const char *format, ...);
/* CODE_OK where all of these options are given; else reports the first that is not. */
int driver_need(Driver *driver, const OptionId *options, size_t count);
/* Warnings and progress; nothing with --quiet. */
__attribute__((format(printf, 2, 3))) void driver_note(const Driver *driver, const char *format, ...);
/* Prints the diagnostics of the subject that came since the last time on standard error (with --json they go into the report instead). CODE_INPUT if there are errors, else
   CODE_OK. */
int driver_diagnostics(Driver *driver);

/* A report in the making: {"schema": "bfmc.check/1", "ok": …}. */
json_t *report_new(const Driver *driver);
/* The same with the members of an object given as text, which may be NULL. */
json_t *report_of(const Driver *driver, const char *json);
/* Adds "ok" and the diagnostics, prints it, drops the reference. Returns `code`, CODE_ENVIRONMENT where standard output cannot be written. */
int report_print(Driver *driver, json_t *report, int code);
/* Prints a report of the library, as JSON with --json, and frees it. Returns as report_print. */
int driver_report(Driver *driver, BfmReport *report, int code);
/* After something was written to files: the text of the report is a note. Frees it. */
int driver_written(Driver *driver, bool ok, BfmReport *report, const BfmError *error);
/* Writes a product to standard output; CODE_ENVIRONMENT where that fails. */
int driver_print(Driver *driver, const char *text, size_t length);

/* ---- files ---- */

/* Whether `out` may be written: it is no file or folder that the command line names or that the module holds. */
bool driver_output(const Driver *driver, const char *out, BfmError *error);
/* FILE of FILE[:NAME], malloc'd, and where NAME begins, NULL without one. A file that has the whole text as its name is a FILE. */
char *target_split(const char *text, const char **name);

static inline const char *plural(long long count) { return count == 1 ? "" : "s"; }

#endif
