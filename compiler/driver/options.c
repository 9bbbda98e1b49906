/* Parsing the command line by its table. */
#include "driver/options.h"

#include "driver/verbs.h"

#include <bfm/api.h>

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ON(ID) (1u << VERB_##ID)
#define EVERY  UINT32_MAX

static const VerbInfo VERBS[VERB_COUNT] = {
#define VERB(ID, name, function, arguments, least, most, summary, details) {name, function, arguments, least, most, summary, details},
#include "driver/options.def"
};

static const OptionInfo OPTIONS[OPT_COUNT] = {
#define OPTION(ID, verbs, name, letter, kind, argument, fallback, help) {verbs, name, letter, OPTION_##kind, argument, fallback, help},
#include "driver/options.def"
};

_Static_assert(VERB_COUNT <= 32, "OptionInfo.verbs has a bit for each verb");

const VerbInfo *verb_info(VerbId verb) { return &VERBS[verb]; }
const OptionInfo *option_info(OptionId option) { return &OPTIONS[option]; }

/* ---- values ---- */

bool option_given(const Options *options, OptionId option) { return options->values[option].count > 0; }

const char *option_text(const Options *options, OptionId option)
{
    const OptionValue *value = &options->values[option];
    return value->count > 0 ? value->texts[value->count - 1] : OPTIONS[option].fallback;
}

static bool whole_parse(const char *text, int64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return end != text && *end == 0 && errno == 0 && *value >= 0;
}

static bool real_parse(const char *text, double *value)
{
    char *end;
    *value = strtod(text, &end);
    return end != text && *end == 0 && isfinite(*value);
}

int64_t option_whole(const Options *options, OptionId option, int64_t absent)
{
    const char *text = option_text(options, option);
    int64_t value;
    return text && whole_parse(text, &value) ? value : absent;
}

double option_real(const Options *options, OptionId option)
{
    const char *text = option_text(options, option);
    double value;
    return text && real_parse(text, &value) ? value : NAN;
}

bool option_flag(const Options *options, OptionId option) { return option_given(options, option); }

static bool choice_has(const char *choices, const char *text)
{
    const size_t length = strlen(text);
    for (const char *at = choices; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (strcspn(at, "|") == length && memcmp(at, text, length) == 0)
            return true;
    return false;
}

/* What a value of this option must look like, where `text` does not; NULL where it does. */
static const char *value_complaint(const OptionInfo *info, const char *text)
{
    int64_t whole;
    double real;
    switch (info->kind) {
    case OPTION_FLAG:
    case OPTION_TEXT:
    case OPTION_PATH:
    case OPTION_LIST: return NULL;
    case OPTION_WHOLE: return whole_parse(text, &whole) ? NULL : "a whole number of at least 0";
    case OPTION_REAL: return real_parse(text, &real) ? NULL : "a number";
    case OPTION_BUDGET: return bfm_budget_wrong(text);
    case OPTION_CHOICE: return choice_has(info->argument, text) ? NULL : info->argument;
    }
    return NULL;
}

/* ---- suggestions ---- */

static void suggest_verb(const char *word, FILE *message)
{
    int best = 3, found = -1;
    for (int v = 0; v < VERB_COUNT; v++)
        if (bfm_name_distance(word, VERBS[v].name) < best) {
            best = bfm_name_distance(word, VERBS[v].name);
            found = v;
        }
    if (found >= 0)
        fprintf(message, "; did you mean `%s`?", VERBS[found].name);
    fputs("\n`bfmc --help` lists the verbs", message);
}

static void suggest_option(VerbId verb, const char *word, int length, FILE *message)
{
    char name[64];
    int best = 3, found = -1;
    (void)snprintf(name, sizeof name, "%.*s", length, word);
    for (int o = 0; o < OPT_COUNT; o++)
        if (option_belongs((OptionId)o, verb) && bfm_name_distance(name, OPTIONS[o].name) < best) {
            best = bfm_name_distance(name, OPTIONS[o].name);
            found = o;
        }
    if (found >= 0)
        fprintf(message, "; did you mean `--%s`?", OPTIONS[found].name);
    fprintf(message, "\n`bfmc %s --help` lists its options", VERBS[verb].name);
}

/* ---- the line ---- */

typedef struct Parse {
    Options *options;
    FILE *message;
    const char *const *argv;
    int argc, at; /* at: the next argument */
    bool wrong;
} Parse;

/* How many words of the line name a verb: 2, 1 or 0. */
static int verb_words(const char *const *argv, int argc, int at, VerbId *verb)
{
    for (int words = 2; words > 0; words--)
        for (int v = 0; v < VERB_COUNT && at + words <= argc; v++) {
            const char *name = VERBS[v].name, *space = strchr(name, ' ');
            const bool same = words == 1
                                  ? strcmp(name, argv[at]) == 0
                                  : space && strlen(argv[at]) == (size_t)(space - name) && strncmp(name, argv[at], strlen(argv[at])) == 0 && strcmp(space + 1, argv[at + 1]) == 0;
            if (same) {
                *verb = (VerbId)v;
                return words;
            }
        }
    return 0;
}

static void value_add(Parse *parse, OptionId option, const char *text)
{
    OptionValue *value = &parse->options->values[option];
    const char *complaint = text ? value_complaint(&OPTIONS[option], text) : NULL;
    if (complaint) {
        fprintf(parse->message, "--%s takes %s%s, not `%s`", OPTIONS[option].name, OPTIONS[option].kind == OPTION_CHOICE ? "one of " : "", complaint, text);
        parse->wrong = true;
        return;
    }
    if (!value->texts)
        value->texts = calloc((size_t)parse->argc + 1, sizeof *value->texts);
    if (!value->texts) {
        fputs("memory is exhausted", parse->message);
        parse->wrong = true;
        return;
    }
    value->texts[value->count++] = text;
}

static void option_take(Parse *parse, OptionId option, const char *given)
{
    const OptionInfo *info = &OPTIONS[option];
    if (info->kind == OPTION_FLAG) {
        if (given) {
            fprintf(parse->message, "--%s takes no value", info->name);
            parse->wrong = true;
        } else {
            value_add(parse, option, NULL);
        }
        return;
    }
    if (!given && parse->at < parse->argc)
        given = parse->argv[parse->at++];
    if (!given) {
        fprintf(parse->message, "--%s needs a value: %s", info->name, info->argument);
        parse->wrong = true;
        return;
    }
    value_add(parse, option, given);
}

static void long_option(Parse *parse, const char *word)
{
    const char *equals = strchr(word, '=');
    const int length = equals ? (int)(equals - word) : (int)strlen(word);
    for (int o = 0; o < OPT_COUNT; o++)
        if (option_belongs((OptionId)o, parse->options->verb) && (int)strlen(OPTIONS[o].name) == length && strncmp(OPTIONS[o].name, word, (size_t)length) == 0) {
            option_take(parse, (OptionId)o, equals ? equals + 1 : NULL);
            return;
        }
    fprintf(parse->message, "`bfmc %s` has no option --%.*s", VERBS[parse->options->verb].name, length, word);
    suggest_option(parse->options->verb, word, length, parse->message);
    parse->wrong = true;
}

static void short_options(Parse *parse, const char *letters)
{
    for (const char *letter = letters; *letter && !parse->wrong; letter++) {
        int found = -1;
        for (int o = 0; o < OPT_COUNT; o++)
            if (option_belongs((OptionId)o, parse->options->verb) && OPTIONS[o].letter == *letter)
                found = o;
        if (found < 0) {
            fprintf(parse->message, "`bfmc %s` has no option -%c", VERBS[parse->options->verb].name, *letter);
            suggest_option(parse->options->verb, "", 0, parse->message);
            parse->wrong = true;
        } else if (OPTIONS[found].kind == OPTION_FLAG) {
            option_take(parse, (OptionId)found, NULL);
        } else {
            option_take(parse, (OptionId)found, letter[1] ? letter + 1 : NULL);
            return;
        }
    }
}

static void check_arguments(Parse *parse)
{
    const VerbInfo *verb = &VERBS[parse->options->verb];
    const int count = parse->options->argument_count;
    if (count >= verb->least && (verb->most < 0 || count <= verb->most))
        return;
    if (verb->most == 0)
        fprintf(parse->message, "`bfmc %s` takes no arguments", verb->name);
    else
        fprintf(parse->message, "`bfmc %s` takes %s; %d %s given", verb->name, verb->arguments, count, count == 1 ? "was" : "were");
    fprintf(parse->message, "\n`bfmc %s --help` says more", verb->name);
    parse->wrong = true;
}

void options_free(Options *options)
{
    free(options->arguments);
    for (int o = 0; o < OPT_COUNT; o++)
        free(options->values[o].texts);
}

ParseResult options_parse(int argc, const char *const *argv, Options *options, FILE *message)
{
    *options = (Options){.arguments = calloc((size_t)argc + 1, sizeof *options->arguments)};
    Parse parse = {.options = options, .message = message, .argv = argv, .argc = argc, .at = 1};
    if (!options->arguments) {
        fputs("memory is exhausted", message);
        return PARSED_WRONG;
    }
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || (strcmp(argv[1], "help") == 0 && argc == 2))
        return argc < 2 ? PARSED_WRONG : PARSED_HELP;
    if (strcmp(argv[1], "--version") == 0)
        return PARSED_VERSION;
    const bool asks = strcmp(argv[1], "help") == 0;
    const int words = verb_words(argv, argc, 1 + asks, &options->verb);
    if (words == 0) {
        fprintf(message, "there is no verb `%s`", argv[1 + asks]);
        suggest_verb(argv[1 + asks], message);
        return PARSED_WRONG;
    }
    if (asks)
        return PARSED_VERB_HELP;
    parse.at += words;
    bool only_arguments = false;
    while (parse.at < argc && !parse.wrong) {
        const char *word = argv[parse.at++];
        if (only_arguments || word[0] != '-' || !word[1])
            options->arguments[options->argument_count++] = word;
        else if (strcmp(word, "--") == 0)
            only_arguments = true;
        else if (word[1] == '-')
            long_option(&parse, word + 2);
        else
            short_options(&parse, word + 1);
        if (option_given(options, OPT_HELP))
            return PARSED_VERB_HELP;
    }
    if (!parse.wrong)
        check_arguments(&parse);
    return parse.wrong ? PARSED_WRONG : PARSED_RUN;
}
