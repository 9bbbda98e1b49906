/* What is made from the table of options besides parsing: help, completions, the manual page, docs/cli.md. */
#include "driver/options.h"

#include <bfm/context.h>

#include <ctype.h>
#include <string.h>

enum { HELP_WIDTH = 100, SPELLING = 128, MEANING = 1024 };

/* ---- help ---- */

/* Text broken into lines at blanks, the first one begun at `column`, the others at `indent`. */
static void wrap(FILE *out, const char *text, int column, int indent)
{
    while (*text) {
        const int length = (int)strcspn(text, " ");
        if (column + length > HELP_WIDTH && column > indent) {
            fputc('\n', out);
            fprintf(out, "%*s", indent, "");
            column = indent;
        }
        (void)fwrite(text, 1, (size_t)length, out);
        column += length;
        text += length;
        if (*text == ' ') {
            text++;
            if (*text && column + 1 + (int)strcspn(text, " ") <= HELP_WIDTH) {
                fputc(' ', out);
                column++;
            } else if (*text) {
                fputc('\n', out);
                fprintf(out, "%*s", indent, "");
                column = indent;
            }
        }
    }
    fputc('\n', out);
}

static int characters(const char *text)
{
    int count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xC0) != 0x80;
    return count;
}

static void row(FILE *out, const char *left, const char *right, int indent)
{
    fputs("  ", out);
    fputs(left, out);
    int column = 2 + characters(left);
    if (column + 2 > indent) {
        fputc('\n', out);
        column = 0;
    }
    fprintf(out, "%*s", indent - column, "");
    wrap(out, right, indent, indent);
}

/* "-o, --out PATH" */
static void option_spelling(const OptionInfo *info, char text[SPELLING])
{
    const char letter[] = {'-', info->letter, ',', ' ', 0};
    (void)snprintf(text, SPELLING, "%s--%s%s%s", info->letter ? letter : "", info->name, info->argument ? " " : "", info->argument ? info->argument : "");
}

static void option_meaning(const OptionInfo *info, char text[MEANING])
{
    (void)snprintf(text, MEANING, "%s%s%s%s", info->help, info->fallback ? " (" : "", info->fallback ? info->fallback : "", info->fallback ? ")" : "");
}

void help_command(FILE *out)
{
    fputs("bfmc: a compiler and trainer for mixtures of layers, written as .bfm files\n\n  bfmc VERB …        bfmc VERB --help        bfmc --version\n\n", out);
    for (int v = 0; v < VERB_COUNT; v++)
        row(out, verb_info((VerbId)v)->name, verb_info((VerbId)v)->summary, 16);
    fputs("\nExit codes: 0 ok, 1 the input is wrong, 2 usage, 3 environment, 4 a bug of bfmc, 75 stopped by a signal and resumable.\n", out);
}

void help_verb(VerbId verb, FILE *out)
{
    const VerbInfo *info = verb_info(verb);
    fprintf(out, "bfmc %s%s%s [OPTION…]\n\n", info->name, *info->arguments ? " " : "", info->arguments);
    char first[2] = {(char)toupper((unsigned char)info->summary[0]), 0};
    fputs(first, out);
    fprintf(out, "%s.\n", info->summary + 1);
    if (*info->details) {
        fputc('\n', out);
        wrap(out, info->details, 0, 0);
    }
    fputc('\n', out);
    for (int o = 0; o < OPT_COUNT; o++) {
        if (!option_belongs((OptionId)o, verb))
            continue;
        char left[SPELLING], right[MEANING];
        option_spelling(option_info((OptionId)o), left);
        option_meaning(option_info((OptionId)o), right);
        row(out, left, right, 34);
    }
}

/* ---- completions ---- */

/* The first words of verbs, each once. */
static void verb_first_words(FILE *out)
{
    for (int v = 0; v < VERB_COUNT; v++) {
        const char *name = verb_info((VerbId)v)->name;
        const size_t length = strcspn(name, " ");
        if (v > 0 && strncmp(name, verb_info((VerbId)(v - 1))->name, length + 1) == 0)
            continue;
        if (v > 0 && name[length] == ' ' && strncmp(name, verb_info((VerbId)(v - 1))->name, length) == 0)
            continue;
        (void)fwrite(name, 1, length, out);
        fputc(' ', out);
    }
}

void help_bash(FILE *out)
{
    fputs(
        "# bash completion of bfmc; made from its table of options\n_bfmc() {\n    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} verb=${COMP_WORDS[1]} options=\n"
        "    if [ \"$COMP_CWORD\" = 1 ]; then COMPREPLY=($(compgen -W \"",
        out);
    verb_first_words(out);
    fputs("help --help --version\" -- \"$word\")); return; fi\n    case \"$verb ${COMP_WORDS[2]}\" in\n", out);
    for (int v = 0; v < VERB_COUNT; v++) {
        fprintf(out, "    \"%s\"*) options=\"", verb_info((VerbId)v)->name);
        for (int o = 0; o < OPT_COUNT; o++)
            if (option_belongs((OptionId)o, (VerbId)v))
                fprintf(out, "--%s ", option_info((OptionId)o)->name);
        fputs("\" ;;\n", out);
    }
    fputs("    \"data \"*) COMPREPLY=($(compgen -W \"pack show\" -- \"$word\")); return ;;\n    esac\n    case \"$before\" in\n", out);
    for (int o = 0; o < OPT_COUNT; o++) {
        const OptionInfo *info = option_info((OptionId)o);
        if (info->kind != OPTION_CHOICE)
            continue;
        bool repeated = false;
        for (int p = 0; p < o; p++)
            repeated = repeated || strcmp(option_info((OptionId)p)->name, info->name) == 0;
        if (repeated)
            continue;
        fprintf(out, "    --%s) COMPREPLY=($(compgen -W \"", info->name);
        for (const char *c = info->argument; *c; c++)
            fputc(*c == '|' ? ' ' : *c, out);
        fputs("\" -- \"$word\")); return ;;\n", out);
    }
    fputs("    esac\n    case \"$word\" in\n    -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n    esac\n}\n"
          "complete -o filenames -F _bfmc bfmc\n",
          out);
}

/* Text inside single quotes of zsh's _arguments: brackets, colons and quotes away. */
static void zsh_quoted(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", out);
        else if (strchr("[]:\\", *text))
            fprintf(out, "\\%c", *text);
        else
            fputc(*text, out);
    }
}

static void zsh_option(FILE *out, const OptionInfo *info)
{
    fprintf(out, " \\\n            '%s--%s%s[", info->kind == OPTION_LIST ? "*" : "", info->name, info->argument ? "=" : "");
    zsh_quoted(out, info->help);
    fputc(']', out);
    if (info->kind == OPTION_CHOICE) {
        fputs(":choice:(", out);
        for (const char *c = info->argument; *c; c++)
            fputc(*c == '|' ? ' ' : *c, out);
        fputc(')', out);
    } else if (info->argument) {
        fputs(info->kind == OPTION_PATH ? ":path:_files" : ":value:", out);
    }
    fputc('\'', out);
}

void help_zsh(FILE *out)
{
    fputs("#compdef bfmc\n# zsh completion of bfmc; made from its table of options\n_bfmc() {\n    local -a verbs\n    verbs=(\n", out);
    for (int v = 0; v < VERB_COUNT; v++) {
        const char *name = verb_info((VerbId)v)->name;
        fputs("        '", out);
        (void)fwrite(name, 1, strcspn(name, " "), out);
        fputc(':', out);
        zsh_quoted(out, verb_info((VerbId)v)->summary);
        fputs("'\n", out);
    }
    fputs("    )\n    if (( CURRENT == 2 )); then _describe verb verbs; return; fi\n    case \"$words[2] $words[3]\" in\n", out);
    for (int v = 0; v < VERB_COUNT; v++) {
        fprintf(out, "        \"%s\"*) _arguments", verb_info((VerbId)v)->name);
        for (int o = 0; o < OPT_COUNT; o++)
            if (option_belongs((OptionId)o, (VerbId)v))
                zsh_option(out, option_info((OptionId)o));
        fputs(" \\\n            '*:file:_files' ;;\n", out);
    }
    fputs("        \"data \"*) compadd pack show ;;\n    esac\n}\n_bfmc \"$@\"\n", out);
}

/* ---- manual ---- */

static void roff(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '-' || *text == '\\')
            fputc('\\', out);
        fputc(*text, out);
    }
}

void help_man(FILE *out)
{
    fprintf(out, ".TH BFMC 1 \"\" \"bfmc %s\" \"User Commands\"\n", bfm_version());
    fputs(".SH NAME\nbfmc \\- compile and train models written as .bfm files\n.SH SYNOPSIS\n.B bfmc\n.I verb\n[\\fIargument\\fR…] [\\fIoption\\fR…]\n", out);
    for (int v = 0; v < VERB_COUNT; v++) {
        const VerbInfo *info = verb_info((VerbId)v);
        fprintf(out, ".SH BFMC ");
        for (const char *c = info->name; *c; c++)
            fputc((char)toupper((unsigned char)*c), out);
        fprintf(out, "\n.B bfmc %s\n", info->name);
        roff(out, info->arguments);
        fputs("\n.PP\n", out);
        roff(out, info->summary);
        fputs(".\n", out);
        if (*info->details) {
            fputs(".PP\n", out);
            roff(out, info->details);
            fputc('\n', out);
        }
        for (int o = 0; o < OPT_COUNT; o++) {
            if (!option_belongs((OptionId)o, (VerbId)v))
                continue;
            char left[SPELLING], right[MEANING];
            option_spelling(option_info((OptionId)o), left);
            option_meaning(option_info((OptionId)o), right);
            fputs(".TP\n.B ", out);
            roff(out, left);
            fputc('\n', out);
            roff(out, right);
            fputc('\n', out);
        }
    }
    fputs(".SH EXIT STATUS\n0 ok; 1 the input is wrong; 2 usage; 3 environment; 4 a bug of bfmc; 75 stopped by a signal and resumable.\n"
          ".SH ENVIRONMENT\n.TP\n.B BFM_STDLIB\nthe folder of the standard library\n.TP\n.B NO_COLOR\nno colour in messages\n",
          out);
}

/* A table cell: bars would end it. */
static void cell(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            fputc('\\', out);
        fputc(*text, out);
    }
}

void help_markdown(FILE *out)
{
    fputs("# The command\n\n<!-- Made by `bfmc completions markdown`; a test compares them. -->\n\n"
          "`bfmc VERB [FILE[:NAME]] …`, where NAME picks a model, block, space, search or recipe of the file. Products go to standard output, progress and "
          "diagnostics to standard error.\n\nExit codes: 0 ok · 1 the input is wrong · 2 usage · 3 environment · 4 a bug of bfmc · 75 stopped by a signal, resumable.\n",
          out);
    for (int v = 0; v < VERB_COUNT; v++) {
        const VerbInfo *info = verb_info((VerbId)v);
        fprintf(out, "\n## `bfmc %s%s%s`\n\n", info->name, *info->arguments ? " " : "", info->arguments);
        fprintf(out, "%c%s.%s%s\n\n| option | meaning |\n|---|---|\n", toupper((unsigned char)info->summary[0]), info->summary + 1, *info->details ? " " : "", info->details);
        for (int o = 0; o < OPT_COUNT; o++) {
            if (!option_belongs((OptionId)o, (VerbId)v))
                continue;
            char left[SPELLING], right[MEANING];
            option_spelling(option_info((OptionId)o), left);
            option_meaning(option_info((OptionId)o), right);
            fputs("| `", out);
            cell(out, left);
            fputs("` | ", out);
            cell(out, right);
            fputs(" |\n", out);
        }
    }
}
