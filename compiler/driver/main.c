/* The command: parses its line by options.def and hands over to one verb. Nothing else of the project ends the process. */
#include "driver/verbs.h"

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

static int run_verb(const Options *options, Arena *arena)
{
    Driver driver = {.options = options,
                     .arena = arena,
                     .library = library_find(arena),
                     .color = wants_color(options),
                     .json = option_flag(options, OPT_JSON),
                     .quiet = option_flag(options, OPT_QUIET)};
    driver.interner = interner_new();
    driver.diags = diagnostics_new();
    const int code = verb_info(options->verb)->run(&driver);
    diagnostics_free(driver.diags);
    interner_free(driver.interner);
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

int main(int argc, char **argv)
{
    Arena *arena = arena_new();
    Str text = {0};
    const int code = command(arena, argc, (const char *const *)argv, &text);
    str_free(&text);
    arena_free(arena);
    return code;
}
