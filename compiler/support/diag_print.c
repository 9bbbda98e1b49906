/* Diagnostics as text for people (after rustc) and as JSON for tools. */
#include "support/diag.h"

#include "support/bug.h"
#include "support/limits.h"
#include "support/vec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- positions ---- */

static bool is_continuation(char c) { return ((unsigned char)c & 0xC0) == 0x80; }

static int count_characters(const char *text, size_t bytes)
{
    int count = 0;
    for (size_t i = 0; i < bytes; i++)
        count += !is_continuation(text[i]);
    return count;
}

static uint32_t clamp(const Source *source, uint32_t offset) { return offset > source->length ? (uint32_t)source->length : offset; }

/* The line (from 0) of an offset. */
static int line_of(const Source *source, uint32_t offset)
{
    int low = 0, high = source->line_count - 1;
    while (low < high) {
        const int middle = low + (high - low + 1) / 2;
        if (source->lines[middle] <= offset)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static uint32_t line_begin(const Source *source, uint32_t offset) { return source->lines[line_of(source, offset)]; }

static uint32_t line_end(const Source *source, uint32_t offset)
{
    const int line = line_of(source, offset);
    return line + 1 < source->line_count ? source->lines[line + 1] - 1 : (uint32_t)source->length;
}

void diag_position(const Source *source, uint32_t offset, int *line, int *column)
{
    offset = clamp(source, offset);
    const int number = line_of(source, offset);
    *line = number + 1;
    *column = 1 + count_characters(source->text + source->lines[number], offset - source->lines[number]);
}

/* Order: sources as added, positions, then as given; what has no place comes last. */
typedef struct Entry {
    const Diagnostic *diag;
    int index;
} Entry;

static int compare_entries(const void *left, const void *right)
{
    const Entry *a = left, *b = right;
    uint32_t file_a = (uint32_t)a->diag->span.file, file_b = (uint32_t)b->diag->span.file; /* -1 becomes the largest */
    if (file_a != file_b)
        return file_a < file_b ? -1 : 1;
    if (a->diag->span.begin != b->diag->span.begin)
        return a->diag->span.begin < b->diag->span.begin ? -1 : 1;
    return a->index - b->index;
}

/* Those from `first` on, of which there are `*count`. */
static Entry *sorted(const Diagnostics *diags, int first, int *counted)
{
    const int count = *counted = diag_count(diags) - first;
    Entry *entries = calloc((size_t)count + 1, sizeof *entries);
    if (!entries)
        bfm_out_of_memory("messages", (size_t)count * sizeof *entries);
    for (int i = 0; i < count; i++)
        entries[i] = (Entry){diag_get(diags, first + i), i};
    qsort(entries, (size_t)count, sizeof *entries, compare_entries);
    return entries;
}

/* ---- text ---- */

typedef struct Printer {
    const Diagnostics *diags;
    Str *out;
    bool color;
    int gutter; /* width of the column of line numbers */
} Printer;

#define RED    "\033[1;31m"
#define YELLOW "\033[1;33m"
#define BLUE   "\033[1;34m"
#define CYAN   "\033[1;36m"
#define BOLD   "\033[1m"
#define PLAIN  "\033[0m"

static const char *const SEVERITIES[] = {"error", "warning", "note"};
static const char *const SEVERITY_COLORS[] = {RED, YELLOW, CYAN};

static void paint(Printer *printer, const char *escape)
{
    if (printer->color)
        str_append(printer->out, escape);
}

/* A span to mark: the primary one first, then the labels. */
typedef struct Mark {
    Span span;
    const char *text;
    bool primary;
    int line;
} Mark;

typedef VEC(Mark) Marks;

static void add_mark(Printer *printer, Marks *marks, Span span, const char *text, bool primary)
{
    const Source *source = diag_source(printer->diags, span.file);
    if (!source)
        return;
    Mark mark = {span, text, primary, 0};
    int column;
    diag_position(source, span.begin, &mark.line, &column);
    vec_push(marks, mark);
}

/* A label on the primary span is written beside its carets. */
static Marks collect_marks(Printer *printer, const Diagnostic *diag)
{
    Marks marks = {0};
    const char *beside = NULL;
    int own = -1;
    for (int i = 0; i < diag->label_count && own < 0; i++) {
        Span span = diag->labels[i].span;
        if (span.file == diag->span.file && span.begin == diag->span.begin && span.end == diag->span.end)
            own = i;
    }
    if (own >= 0)
        beside = diag->labels[own].text;
    add_mark(printer, &marks, diag->span, beside, true);
    for (int i = 0; i < diag->label_count; i++)
        if (i != own)
            add_mark(printer, &marks, diag->labels[i].span, diag->labels[i].text, false);
    return marks;
}

static void print_gutter(Printer *printer, int line)
{
    paint(printer, BLUE);
    if (line > 0)
        str_printf(printer->out, "%*d |", printer->gutter, line);
    else
        str_printf(printer->out, "%*s |", printer->gutter, "");
    paint(printer, PLAIN);
}

/* The part of a line that is shown: all of it, or the surroundings of the first mark in a long one. */
typedef struct Excerpt {
    uint32_t begin, end;
    bool cut_before, cut_after;
} Excerpt;

static Excerpt excerpt_of(const Source *source, uint32_t offset)
{
    const uint32_t first = line_begin(source, offset), last = line_end(source, offset), before = SOURCE_SHOWN_MAX / 4, after = SOURCE_SHOWN_MAX - before;
    Excerpt excerpt = {first, last, false, false};
    if (last - first <= SOURCE_SHOWN_MAX)
        return excerpt;
    if (offset - first > before)
        excerpt.begin = offset - before;
    if (last - excerpt.begin > before + after)
        excerpt.end = excerpt.begin + before + after;
    while (excerpt.begin > first && is_continuation(source->text[excerpt.begin]))
        excerpt.begin--;
    while (excerpt.end < last && is_continuation(source->text[excerpt.end]))
        excerpt.end++;
    excerpt.cut_before = excerpt.begin > first;
    excerpt.cut_after = excerpt.end < last;
    return excerpt;
}

static const char CUT[] = "...";

/* A line of source; tabs and control characters become blanks, so that the carets below agree. */
static void print_source(Printer *printer, const Source *source, const Excerpt *shown, int line)
{
    print_gutter(printer, line);
    if (shown->end > shown->begin)
        str_push(printer->out, ' ');
    if (shown->cut_before)
        str_append(printer->out, CUT);
    for (uint32_t i = shown->begin; i < shown->end; i++)
        str_push(printer->out, (unsigned char)source->text[i] < 0x20 || source->text[i] == 0x7F ? ' ' : source->text[i]);
    if (shown->cut_after)
        str_append(printer->out, CUT);
    str_push(printer->out, '\n');
}

static void print_carets(Printer *printer, const Source *source, const Excerpt *shown, const Mark *mark, Severity severity)
{
    uint32_t from = clamp(source, mark->span.begin), to = clamp(source, mark->span.end);
    const uint32_t line = line_end(source, from);
    bool longer = to > line || (to > shown->end && shown->cut_after);
    if (to > line)
        to = line;
    if (to > shown->end)
        to = shown->end;
    int width = to > from ? count_characters(source->text + from, to - from) : 1;
    print_gutter(printer, 0);
    str_repeat(printer->out, ' ', 1 + (shown->cut_before ? (int)strlen(CUT) : 0) + count_characters(source->text + shown->begin, from - shown->begin));
    paint(printer, mark->primary ? SEVERITY_COLORS[severity] : BLUE);
    str_repeat(printer->out, mark->primary ? '^' : '-', width);
    if (longer)
        str_append(printer->out, "...");
    if (mark->text)
        str_printf(printer->out, " %s", mark->text);
    paint(printer, PLAIN);
    str_push(printer->out, '\n');
}

static int compare_marks(const void *left, const void *right)
{
    const Mark *a = left, *b = right;
    if (a->span.file != b->span.file)
        return a->span.file < b->span.file ? -1 : 1;
    if (a->line != b->line)
        return a->line - b->line;
    if (a->primary != b->primary)
        return a->primary ? -1 : 1;
    return a->span.begin < b->span.begin ? -1 : a->span.begin > b->span.begin;
}

static void print_place(Printer *printer, const Mark *mark, bool first)
{
    const Source *source = diag_source(printer->diags, mark->span.file);
    int line, column;
    diag_position(source, mark->span.begin, &line, &column);
    str_repeat(printer->out, ' ', printer->gutter);
    paint(printer, BLUE);
    str_append(printer->out, first ? "--> " : "::: ");
    paint(printer, PLAIN);
    str_printf(printer->out, "%s:%d:%d\n", source->path, line, column);
}

/* The marked lines: the primary span's file first, each line once with its carets under it. */
static void print_marks(Printer *printer, Marks *marks, Severity severity)
{
    int primary_file = marks->items[0].span.file;
    Mark primary = marks->items[0];
    qsort(marks->items, (size_t)marks->count, sizeof *marks->items, compare_marks);
    for (int pass = 0; pass < 2; pass++) {
        int file = -1, line = -1;
        Excerpt shown = {0};
        for (int i = 0; i < marks->count; i++) {
            const Mark *mark = &marks->items[i];
            if ((mark->span.file == primary_file) != (pass == 0))
                continue;
            const Source *source = diag_source(printer->diags, mark->span.file);
            const uint32_t at = clamp(source, mark->span.begin);
            if (mark->span.file != file) {
                print_place(printer, pass == 0 ? &primary : mark, pass == 0);
                print_gutter(printer, 0);
                str_push(printer->out, '\n');
            } else if (mark->line > line + 1) {
                paint(printer, BLUE);
                str_append(printer->out, "...\n");
                paint(printer, PLAIN);
            }
            if (mark->span.file != file || mark->line != line || at < shown.begin || at > shown.end) {
                shown = excerpt_of(source, at);
                print_source(printer, source, &shown, mark->line);
            }
            print_carets(printer, source, &shown, mark, severity);
            file = mark->span.file;
            line = mark->line;
        }
    }
}

static int digits(int number)
{
    int count = 1;
    while (number >= 10) {
        number /= 10;
        count++;
    }
    return count;
}

static void print_remark(Printer *printer, const char *kind, const char *text)
{
    str_repeat(printer->out, ' ', printer->gutter + 1);
    paint(printer, BLUE);
    str_append(printer->out, "= ");
    paint(printer, BOLD);
    str_append(printer->out, kind);
    paint(printer, PLAIN);
    str_printf(printer->out, ": %s\n", text);
}

static void print_one(Printer *printer, const Diagnostic *diag)
{
    Severity severity = diag_severity(diag->code);
    paint(printer, SEVERITY_COLORS[severity]);
    str_printf(printer->out, "%s[%s]", SEVERITIES[severity], diag_name(diag->code));
    paint(printer, BOLD);
    str_printf(printer->out, ": %s\n", diag->message);
    paint(printer, PLAIN);
    Marks marks = collect_marks(printer, diag);
    printer->gutter = 1;
    for (int i = 0; i < marks.count; i++)
        if (digits(marks.items[i].line) > printer->gutter)
            printer->gutter = digits(marks.items[i].line);
    if (marks.count > 0)
        print_marks(printer, &marks, severity);
    vec_free(&marks);
    for (int i = 0; i < diag->note_count; i++)
        print_remark(printer, "note", diag->notes[i]);
    if (diag->fix)
        print_remark(printer, "help", diag->fix);
    if (diag->fix_text && diag_source(printer->diags, diag->fix_span.file)) {
        int line, column;
        diag_position(diag_source(printer->diags, diag->fix_span.file), diag->fix_span.begin, &line, &column);
        str_repeat(printer->out, ' ', printer->gutter + 3);
        str_printf(printer->out, "line %d, column %d: `%s`\n", line, column, diag->fix_text);
    }
    str_push(printer->out, '\n');
}

void diag_print(const Diagnostics *diags, Str *out, bool color) { diag_print_from(diags, 0, out, color); }

void diag_print_from(const Diagnostics *diags, int first, Str *out, bool color)
{
    Printer printer = {diags, out, color, 1};
    int count;
    Entry *entries = sorted(diags, first, &count);
    for (int i = 0; i < count; i++)
        print_one(&printer, entries[i].diag);
    free(entries);
    const int errors = diag_errors(diags) - DIAGNOSTICS_MAX, warnings = diag_warnings(diags) - DIAGNOSTICS_MAX;
    if (errors > 0)
        str_printf(out, "and %d more error%s\n", errors, plural(errors));
    if (warnings > 0)
        str_printf(out, "and %d more warning%s\n", warnings, plural(warnings));
}

/* ---- JSON ---- */

static void json_text(Str *out, const char *key, const char *text)
{
    str_printf(out, "\"%s\": ", key);
    if (text)
        str_json(out, text, strlen(text));
    else
        str_append(out, "null");
}

static void json_span(const Diagnostics *diags, Str *out, Span span)
{
    const Source *source = diag_source(diags, span.file);
    if (!source) {
        str_append(out, "\"file\": null");
        return;
    }
    int line, column, end_line, end_column;
    diag_position(source, span.begin, &line, &column);
    diag_position(source, span.end, &end_line, &end_column);
    json_text(out, "file", source->path);
    str_printf(out, ", \"begin\": %u, \"end\": %u, \"line\": %d, \"column\": %d, \"end_line\": %d, \"end_column\": %d", span.begin, span.end, line, column, end_line, end_column);
}

static void json_one(const Diagnostics *diags, Str *out, const Diagnostic *diag)
{
    str_printf(out, "{\"code\": \"%s\", \"severity\": \"%s\", ", diag_name(diag->code), SEVERITIES[diag_severity(diag->code)]);
    json_text(out, "message", diag->message);
    str_append(out, ", ");
    json_span(diags, out, diag->span);
    str_append(out, ", \"labels\": [");
    for (int i = 0; i < diag->label_count; i++) {
        str_append(out, i ? ", {" : "{");
        json_text(out, "text", diag->labels[i].text);
        str_append(out, ", ");
        json_span(diags, out, diag->labels[i].span);
        str_push(out, '}');
    }
    str_append(out, "], \"notes\": [");
    for (int i = 0; i < diag->note_count; i++) {
        if (i)
            str_append(out, ", ");
        str_json(out, diag->notes[i], strlen(diag->notes[i]));
    }
    str_append(out, "], ");
    json_text(out, "fix", diag->fix);
    if (diag->fix_text) {
        str_append(out, ", \"edit\": {");
        json_text(out, "text", diag->fix_text);
        str_append(out, ", ");
        json_span(diags, out, diag->fix_span);
        str_push(out, '}');
    }
    str_push(out, '}');
}

void diag_json(const Diagnostics *diags, Str *out)
{
    int count;
    Entry *entries = sorted(diags, 0, &count);
    str_push(out, '[');
    for (int i = 0; i < count; i++) {
        str_append(out, i ? ",\n " : "\n ");
        json_one(diags, out, entries[i].diag);
    }
    str_append(out, diag_count(diags) ? "\n]" : "]");
    free(entries);
}
