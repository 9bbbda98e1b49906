/* The command: parses its line by options.def and hands over to one verb. Nothing else of the project ends the process. */
#define _GNU_SOURCE
#include "codegen/jit.h"
#include "driver/verbs.h"
#include "driver/watch.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool wants_color(const Options *options)
{
    const char *choice = option_text(options, OPT_COLOR), *none = getenv("NO_COLOR");
    if (strcmp(choice, "auto") != 0)
        return strcmp(choice, "always") == 0;
    return !(none && *none) && isatty(STDERR_FILENO);
}

/* Verbs that compile would do so again each time. */
static void warn_of_cache(const Driver *driver)
{
    static const VerbId COMPILE[] = {VERB_TRAIN, VERB_EVAL, VERB_GENERATE, VERB_BUILD, VERB_GRAD, VERB_UPDATE, VERB_PROFILE};
    const char *warning = NULL;
    for (size_t i = 0; i < sizeof COMPILE / sizeof *COMPILE; i++)
        if (driver->options->verb == COMPILE[i])
            warning = jit_cache_warning(driver->context.arena);
    if (warning)
        driver_note(driver, "warning: %s", warning);
}

static void hear_note(void *driver, const char *text) { driver_note(driver, "%s", text); }

static int run_verb(const Options *options, Arena *arena)
{
    Driver driver = {.context = {.library = library_find(arena), .arena = arena, .interner = interner_new(), .diags = diagnostics_new(), .note = hear_note, .listener = &driver},
                     .options = options,
                     .color = wants_color(options),
                     .json = option_flag(options, OPT_JSON),
                     .quiet = option_flag(options, OPT_QUIET)};
    warn_of_cache(&driver);
    BfmError error;
    const int watched = watch_open(&driver);
    const int code = watched != CODE_OK                                                    ? watched
                     : driver_output(&driver, NULL, option_text(options, OPT_OUT), &error) ? verb_info(options->verb)->run(&driver)
                                                                                           : driver_fail(&driver, &error);
    watch_close(&driver);
    diagnostics_free(driver.context.diags);
    interner_free(driver.context.interner);
    return code;
}

static int say(const Str *text, FILE *stream, int code)
{
    const bool written = fputs(str_text(text), stream) >= 0 && fflush(stream) == 0;
    return written ? code : CODE_ENVIRONMENT;
}

static int command(Arena *arena, int argc, const char *const *argv, Str *text)
{
    Options options;
    switch (options_parse(arena, argc, argv, &options, text)) {
    case PARSED_RUN: return run_verb(&options, arena);
    case PARSED_HELP: help_command(text); return say(text, stdout, CODE_OK);
    case PARSED_VERB_HELP: help_verb(options.verb, text); return say(text, stdout, CODE_OK);
    case PARSED_VERSION: str_append(text, "bfmc " BFM_VERSION "\n"); return say(text, stdout, CODE_OK);
    case PARSED_WRONG: break;
    }
    if (argc < 2) {
        help_command(text);
        return say(text, stderr, CODE_USAGE);
    }
    fprintf(stderr, "bfmc: %s\n", str_text(text));
    return CODE_USAGE;
}

/* A stream that the caller closed would become the next file that is opened. */
static void keep_streams(void)
{
    const int modes[] = {[STDIN_FILENO] = O_RDONLY, [STDOUT_FILENO] = O_RDONLY, [STDERR_FILENO] = O_WRONLY}; /* output: writing fails, as it would have */
    for (int stream = 0; stream < 3; stream++)
        if (fcntl(stream, F_GETFD) < 0)
            (void)open("/dev/null", modes[stream]); /* the lowest free number, which is this one */
}

/* A reader that went away, a full device and a limit on the size of files are errors of a write, reported like others. */
static void write_errors_only(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
}

/* Whatever a verb printed has arrived, or the exit code says that it has not. */
static int finish_output(int code)
{
    const bool failed = ferror(stdout) != 0;
    if (fflush(stdout) == 0 && !failed)
        return code;
    if (code != CODE_ENVIRONMENT)
        fputs("error: standard output cannot be written\n", stderr);
    return CODE_ENVIRONMENT;
}

int main(int argc, char **argv)
{
    keep_streams();
    write_errors_only();
    codegen_report_exhaustion();
    Arena *arena = arena_new();
    Str text = {0};
    const int code = finish_output(command(arena, argc, (const char *const *)argv, &text));
    str_free(&text);
    arena_free(arena);
    return code;
}
