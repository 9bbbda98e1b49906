/* The command: parses its line by options.def and hands over to one verb. Nothing else of the project ends the process. */
#define _GNU_SOURCE
#include "driver/verbs.h"

#include <bfm/context.h>

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
    char *warning = NULL;
    for (size_t i = 0; i < sizeof COMPILE / sizeof *COMPILE; i++)
        if (driver->options->verb == COMPILE[i])
            warning = bfm_cache_warning();
    if (warning)
        driver_note(driver, "warning: %s", warning);
    bfm_text_free(warning);
}

static int run_verb(const Options *options)
{
    Driver driver = {.options = options, .color = wants_color(options), .json = option_flag(options, OPT_JSON), .quiet = option_flag(options, OPT_QUIET)};
    BfmError error;
    warn_of_cache(&driver);
    const int code = driver_output(&driver, option_text(options, OPT_OUT), &error) ? verb_info(options->verb)->run(&driver) : driver_fail(&driver, &error);
    driver_close(&driver);
    return code;
}

static int command(int argc, const char *const *argv, Options *options, FILE *message)
{
    switch (options_parse(argc, argv, options, message)) {
    case PARSED_RUN: return run_verb(options);
    case PARSED_HELP: help_command(stdout); return CODE_OK;
    case PARSED_VERB_HELP: help_verb(options->verb, stdout); return CODE_OK;
    case PARSED_VERSION: printf("bfmc %s\n", bfm_version()); return CODE_OK;
    case PARSED_WRONG: break;
    }
    if (argc < 2)
        help_command(stderr);
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

/* What is wrong with the line itself. */
static void complain(const char *message)
{
    if (message && *message)
        fprintf(stderr, "bfmc: %s\n", message);
}

int main(int argc, char **argv)
{
    keep_streams();
    write_errors_only();
    bfm_catch_exhaustion();
    char *text = NULL;
    size_t length = 0;
    Options options;
    FILE *message = open_memstream(&text, &length);
    if (!message)
        return CODE_ENVIRONMENT;
    const int code = command(argc, (const char *const *)argv, &options, message);
    (void)fclose(message);
    complain(text);
    free(text);
    options_free(&options);
    return finish_output(code);
}
