/* What is made from the table of options besides parsing: help, completions, the manual page, docs/cli.md. */
#include "driver/options.h"

#include <ctype.h>
#include <string.h>

enum { HELP_WIDTH = 100 };

/* ---- help ---- */

/* Text broken into lines at blanks, the first one begun at `column`, the others at `indent`. */
static void wrap(Str *out, const char *text, int column, int indent)
{
    while (*text) {
        const int length = (int)strcspn(text, " ");
        if (column + length > HELP_WIDTH && column > indent) {
            str_push(out, '\n');
            str_repeat(out, ' ', indent);
            column = indent;
        }
        str_append_n(out, text, (size_t)length);
        column += length;
        text += length;
        if (*text == ' ') {
            text++;
            if (*text && column + 1 + (int)strcspn(text, " ") <= HELP_WIDTH) {
                str_push(out, ' ');
                column++;
            } else if (*text) {
                str_push(out, '\n');
                str_repeat(out, ' ', indent);
                column = indent;
            }
        }
    }
    str_push(out, '\n');
}

static int characters(const char *text)
{
    int count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xC0) != 0x80;
    return count;
}

static void row(Str *out, const char *left, const char *right, int indent)
{
    str_append(out, "  ");
    str_append(out, left);
    int column = 2 + characters(left);
    if (column + 2 > indent) {
        str_push(out, '\n');
        column = 0;
    }
    str_repeat(out, ' ', indent - column);
    wrap(out, right, indent, indent);
}

/* "-o, --out PATH" */
static void option_spelling(const OptionInfo *info, Str *out)
{
    if (info->letter)
        str_printf(out, "-%c, ", info->letter);
    str_printf(out, "--%s", info->name);
    if (info->argument)
        str_printf(out, " %s", info->argument);
}

static void option_meaning(const OptionInfo *info, Str *out)
{
    str_append(out, info->help);
    if (info->fallback)
        str_printf(out, " (%s)", info->fallback);
}

void help_command(Str *out)
{
    str_append(out, "bfmc: a compiler and trainer for mixtures of layers, written as .bfm files\n\n  bfmc VERB …        bfmc VERB --help        bfmc --version\n\n");
    for (int v = 0; v < VERB_COUNT; v++)
        row(out, verb_info((VerbId)v)->name, verb_info((VerbId)v)->summary, 16);
    str_append(out, "\nExit codes: 0 ok, 1 the input is wrong, 2 usage, 3 environment, 4 a bug of bfmc, 75 stopped by a signal and resumable.\n");
}

void help_verb(VerbId verb, Str *out)
{
    const VerbInfo *info = verb_info(verb);
    str_printf(out, "bfmc %s%s%s [OPTION…]\n\n", info->name, *info->arguments ? " " : "", info->arguments);
    char first[2] = {(char)toupper((unsigned char)info->summary[0]), 0};
    str_append(out, first);
    str_printf(out, "%s.\n", info->summary + 1);
    if (*info->details) {
        str_push(out, '\n');
        wrap(out, info->details, 0, 0);
    }
    str_push(out, '\n');
    for (int o = 0; o < OPT_COUNT; o++) {
        if (!option_belongs((OptionId)o, verb))
            continue;
        Str left = {0}, right = {0};
        option_spelling(option_info((OptionId)o), &left);
        option_meaning(option_info((OptionId)o), &right);
        row(out, str_text(&left), str_text(&right), 34);
        str_free(&left);
        str_free(&right);
    }
}

/* ---- completions ---- */

/* The first words of verbs, each once. */
static void verb_first_words(Str *out)
{
    for (int v = 0; v < VERB_COUNT; v++) {
        const char *name = verb_info((VerbId)v)->name;
        const size_t length = strcspn(name, " ");
        if (v > 0 && strncmp(name, verb_info((VerbId)(v - 1))->name, length + 1) == 0)
            continue;
        if (v > 0 && name[length] == ' ' && strncmp(name, verb_info((VerbId)(v - 1))->name, length) == 0)
            continue;
        str_append_n(out, name, length);
        str_push(out, ' ');
    }
}

void help_bash(Str *out)
{
    str_append(
        out,
        "# bash completion of bfmc; made from its table of options\n_bfmc() {\n    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]} options=\n"
        "    if [ \"$COMP_CWORD\" = 1 ]; then COMPREPLY=($(compgen -W \"");
    verb_first_words(out);
    str_append(out, "help --help --version\" -- \"$word\")); return; fi\n    case \"$verb ${COMP_WORDS[2]}\" in\n");
    for (int v = 0; v < VERB_COUNT; v++) {
        str_printf(out, "    \"%s\"*) options=\"", verb_info((VerbId)v)->name);
        for (int o = 0; o < OPT_COUNT; o++)
            if (option_belongs((OptionId)o, (VerbId)v))
                str_printf(out, "--%s ", option_info((OptionId)o)->name);
        str_append(out, "\" ;;\n");
    }
    str_append(out, "    \"data \"*) COMPREPLY=($(compgen -W \"pack show\" -- \"$word\")); return ;;\n    esac\n    case \"$before\" in\n");
    for (int o = 0; o < OPT_COUNT; o++) {
        const OptionInfo *info = option_info((OptionId)o);
        if (info->kind != OPTION_CHOICE)
            continue;
        bool repeated = false;
        for (int p = 0; p < o; p++)
            repeated = repeated || strcmp(option_info((OptionId)p)->name, info->name) == 0;
        if (repeated)
            continue;
        str_printf(out, "    --%s) COMPREPLY=($(compgen -W \"", info->name);
        for (const char *c = info->argument; *c; c++)
            str_push(out, *c == '|' ? ' ' : *c);
        str_append(out, "\" -- \"$word\")); return ;;\n");
    }
    str_append(out,
               "    esac\n    case \"$word\" in\n    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n    esac\n}\n"
               "complete -o filenames -F _bfmc bfmc\n");
}

/* Text inside single quotes of zsh's _arguments: brackets, colons and quotes away. */
static void zsh_quoted(Str *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            str_append(out, "'\\''");
        else if (strchr("[]:\\", *text))
            str_printf(out, "\\%c", *text);
        else
            str_push(out, *text);
    }
}

static void zsh_option(Str *out, const OptionInfo *info)
{
    str_printf(out, " \\\n            '%s--%s%s[", info->kind == OPTION_LIST ? "*" : "", info->name, info->argument ? "=" : "");
    zsh_quoted(out, info->help);
    str_push(out, ']');
    if (info->kind == OPTION_CHOICE) {
        str_append(out, ":choice:(");
        for (const char *c = info->argument; *c; c++)
            str_push(out, *c == '|' ? ' ' : *c);
        str_push(out, ')');
    } else if (info->argument) {
        str_append(out, info->kind == OPTION_PATH ? ":path:_files" : ":value:");
    }
    str_push(out, '\'');
}

void help_zsh(Str *out)
{
    str_append(out, "#compdef bfmc\n# zsh completion of bfmc; made from its table of options\n_bfmc() {\n    local -a verbs\n    verbs=(\n");
    for (int v = 0; v < VERB_COUNT; v++) {
        const char *name = verb_info((VerbId)v)->name;
        str_append(out, "        '");
        str_append_n(out, name, strcspn(name, " "));
        str_push(out, ':');
        zsh_quoted(out, verb_info((VerbId)v)->summary);
        str_append(out, "'\n");
    }
    str_append(out, "    )\n    if (( CURRENT == 2 )); then _describe verb verbs; return; fi\n    case \"$words[2] $words[3]\" in\n");
    for (int v = 0; v < VERB_COUNT; v++) {
        str_printf(out, "        \"%s\"*) _arguments", verb_info((VerbId)v)->name);
        for (int o = 0; o < OPT_COUNT; o++)
            if (option_belongs((OptionId)o, (VerbId)v))
                zsh_option(out, option_info((OptionId)o));
        str_append(out, " \\\n            '*:file:_files' ;;\n");
    }
    str_append(out, "        \"data \"*) compadd pack show ;;\n    esac\n}\n_bfmc \"$@\"\n");
}

/* ---- manual ---- */

static void roff(Str *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '-' || *text == '\\')
            str_push(out, '\\');
        str_push(out, *text);
    }
}

void help_man(Str *out)
{
    str_append(out,
               ".TH BFMC 1 \"\" \"bfmc " BFM_VERSION
               "\" \"User Commands\"\n.SH NAME\nbfmc \\- compile and train models written as .bfm files\n.SH SYNOPSIS\n.B bfmc\n.I verb\n[\\fIargument\\fR…] [\\fIoption\\fR…]\n");
    for (int v = 0; v < VERB_COUNT; v++) {
        const VerbInfo *info = verb_info((VerbId)v);
        str_printf(out, ".SH BFMC ");
        for (const char *c = info->name; *c; c++)
            str_push(out, (char)toupper((unsigned char)*c));
        str_printf(out, "\n.B bfmc %s\n", info->name);
        roff(out, info->arguments);
        str_append(out, "\n.PP\n");
        roff(out, info->summary);
        str_append(out, ".\n");
        if (*info->details) {
            str_append(out, ".PP\n");
            roff(out, info->details);
            str_push(out, '\n');
        }
        for (int o = 0; o < OPT_COUNT; o++) {
            if (!option_belongs((OptionId)o, (VerbId)v))
                continue;
            Str left = {0}, right = {0};
            option_spelling(option_info((OptionId)o), &left);
            option_meaning(option_info((OptionId)o), &right);
            str_append(out, ".TP\n.B ");
            roff(out, str_text(&left));
            str_push(out, '\n');
            roff(out, str_text(&right));
            str_push(out, '\n');
            str_free(&left);
            str_free(&right);
        }
    }
    str_append(out, ".SH EXIT STATUS\n0 ok; 1 the input is wrong; 2 usage; 3 environment; 4 a bug of bfmc; 75 stopped by a signal and resumable.\n"
                    ".SH ENVIRONMENT\n.TP\n.B BFM_STDLIB\nthe folder of the standard library\n.TP\n.B NO_COLOR\nno colour in messages\n");
}

/* A table cell: bars would end it. */
static void cell(Str *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            str_push(out, '\\');
        str_push(out, *text);
    }
}

void help_markdown(Str *out)
{
    str_append(out, "# The command\n\n<!-- Made by `bfmc completions markdown`; a test compares them. -->\n\n"
                    "`bfmc VERB [FILE[:NAME]] …`, where NAME picks a model, block, space, search or recipe of the file. Products go to standard output, progress and "
                    "diagnostics to standard error.\n\nExit codes: 0 ok · 1 the input is wrong · 2 usage · 3 environment · 4 a bug of bfmc · 75 stopped by a signal, resumable.\n");
    for (int v = 0; v < VERB_COUNT; v++) {
        const VerbInfo *info = verb_info((VerbId)v);
        str_printf(out, "\n## `bfmc %s%s%s`\n\n", info->name, *info->arguments ? " " : "", info->arguments);
        str_printf(out, "%c%s.%s%s\n\n| option | meaning |\n|---|---|\n", toupper((unsigned char)info->summary[0]), info->summary + 1, *info->details ? " " : "", info->details);
        for (int o = 0; o < OPT_COUNT; o++) {
            if (!option_belongs((OptionId)o, (VerbId)v))
                continue;
            Str left = {0}, right = {0};
            option_spelling(option_info((OptionId)o), &left);
            option_meaning(option_info((OptionId)o), &right);
            str_append(out, "| `");
            cell(out, str_text(&left));
            str_append(out, "` | ");
            cell(out, str_text(&right));
            str_append(out, " |\n");
            str_free(&left);
            str_free(&right);
        }
    }
}
