/* The command line, parsed by the table options.def. */
#ifndef BFM_DRIVER_OPTIONS_H
#define BFM_DRIVER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct Driver Driver;

typedef enum {
#define VERB(ID, ...) VERB_##ID,
#include "driver/options.def"
    VERB_COUNT
} VerbId;

typedef enum {
#define OPTION(ID, ...) OPT_##ID,
#include "driver/options.def"
    OPT_COUNT
} OptionId;

typedef enum { OPTION_FLAG, OPTION_TEXT, OPTION_PATH, OPTION_WHOLE, OPTION_REAL, OPTION_BUDGET, OPTION_CHOICE, OPTION_LIST } OptionKind;

typedef struct VerbInfo {
    const char *name;
    int (*run)(Driver *driver);
    const char *arguments;
    int least, most; /* most -1: any number */
    const char *summary, *details;
} VerbInfo;

typedef struct OptionInfo {
    uint32_t verbs; /* bit v: verb v takes it */
    const char *name;
    char letter;
    OptionKind kind;
    const char *argument, *fallback, *help;
} OptionInfo;

typedef struct OptionValue {
    int count;          /* how often it was given */
    const char **texts; /* the last one counts, except for LIST */
} OptionValue;

typedef struct Options {
    VerbId verb;
    int argument_count;
    const char **arguments;
    OptionValue values[OPT_COUNT];
} Options;

const VerbInfo *verb_info(VerbId verb);
const OptionInfo *option_info(OptionId option);
static inline bool option_belongs(OptionId option, VerbId verb) { return option_info(option)->verbs >> verb & 1; }

typedef enum {
    PARSED_RUN,  /* carry out options->verb */
    PARSED_HELP, /* of the command */
    PARSED_VERB_HELP,
    PARSED_VERSION,
    PARSED_WRONG /* message says what is wrong and what may have been meant */
} ParseResult;
/* Texts are those of argv; options_free frees the rest, whatever the result. */
ParseResult options_parse(int argc, const char *const *argv, Options *options, FILE *message);
void options_free(Options *options);

bool option_given(const Options *options, OptionId option);
const char *option_text(const Options *options, OptionId option);              /* the fallback if not given; NULL without one */
int64_t option_whole(const Options *options, OptionId option, int64_t absent); /* absent: without a fallback */
double option_real(const Options *options, OptionId option);                   /* NaN without a fallback */
bool option_flag(const Options *options, OptionId option);

/* ---- help.c: what else is made from the table ---- */
void help_command(FILE *out);
void help_verb(VerbId verb, FILE *out);
void help_bash(FILE *out);
void help_zsh(FILE *out);
void help_man(FILE *out);
void help_markdown(FILE *out);

#endif
