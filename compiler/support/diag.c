/* The collection of diagnostics and the catalogue; how they are shown is diag_print.c. */
#include "support/diag.h"

#include "support/bug.h"
#include "support/limits.h"
#include "support/vec.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct Diagnostics {
    const Diagnostics *base; /* NULL: none */
    int first_source;        /* number of the first source of its own */
    Arena *arena;
    VEC(Source) sources;
    VEC(Diagnostic *) all;
    int counts[SEVERITY_NOTE + 1]; /* by severity, those not kept among them */
    int raised;                    /* errors, repeated ones among them */
    Diagnostic dropped;            /* takes the labels of one that is not kept */
};

typedef struct CodeRow {
    const char *name;
    Severity severity;
    const char *title, *explanation, *bad, *good;
} CodeRow;

#define DIAGNOSTIC(code, severity, title, explanation, bad, good) {#code, SEVERITY_##severity, title, explanation, bad, good},
static const CodeRow CODES[DIAG_COUNT] = {
#include "support/diagnostics.def"
};
#undef DIAGNOSTIC

Diagnostics *diagnostics_new(void)
{
    Arena *arena = arena_new();
    Diagnostics *diags = ARENA_NEW(arena, Diagnostics);
    diags->arena = arena;
    return diags;
}

Diagnostics *diagnostics_over(const Diagnostics *base)
{
    Diagnostics *diags = diagnostics_new();
    diags->base = base;
    diags->first_source = diag_source_count(base);
    return diags;
}

void diagnostics_free(Diagnostics *diags)
{
    if (!diags)
        return;
    vec_free(&diags->sources);
    vec_free(&diags->all);
    arena_free(diags->arena);
}

/* ---- sources ---- */

static void find_lines(Arena *arena, Source *source)
{
    source->line_count = 1;
    for (size_t i = 0; i < source->length; i++)
        source->line_count += source->text[i] == '\n';
    uint32_t *lines = ARENA_ARRAY(arena, uint32_t, source->line_count);
    for (size_t i = 0, line = 1; i < source->length; i++)
        if (source->text[i] == '\n')
            lines[line++] = (uint32_t)i + 1;
    source->lines = lines;
}

int diag_source_add(Diagnostics *diags, const char *path, const char *text, size_t length)
{
    Source source = {.path = arena_strdup(diags->arena, path), .text = arena_strndup(diags->arena, text, length), .length = length};
    find_lines(diags->arena, &source);
    vec_push(&diags->sources, source);
    return diags->first_source + diags->sources.count - 1;
}

const Source *diag_source(const Diagnostics *diags, int file)
{
    while (file < diags->first_source && diags->base)
        diags = diags->base;
    return file >= diags->first_source && file < diag_source_count(diags) ? &diags->sources.items[file - diags->first_source] : NULL;
}

int diag_source_count(const Diagnostics *diags) { return diags->first_source + diags->sources.count; }

/* ---- diagnostics ---- */

enum { MESSAGE_ROOM = MESSAGE_BYTES_MAX + 4 };

/* Cut where it is too long, between characters. */
static const char *format_text(char text[MESSAGE_ROOM], const char *format, va_list args)
{
    static const char DOTS[] = "…";
    const int length = vsnprintf(text, MESSAGE_BYTES_MAX + 1, format, args);
    BFM_ASSERT(length >= 0);
    if (length > MESSAGE_BYTES_MAX) {
        size_t end = MESSAGE_BYTES_MAX - 1;
        while (end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80)
            end--;
        memcpy(text + end, DOTS, sizeof DOTS);
    }
    return text;
}

static bool same_span(Span a, Span b) { return a.file == b.file && a.begin == b.begin && a.end == b.end; }

/* At one place a code is told once; without a place, once in the same words. */
static bool is_repeated(const Diagnostics *diags, DiagCode code, Span span, const char *message)
{
    for (int i = 0; i < diags->all.count; i++) {
        const Diagnostic *other = diags->all.items[i];
        if (other->code == code && same_span(other->span, span) && (span.file >= 0 || strcmp(other->message, message) == 0))
            return true;
    }
    return false;
}

Diagnostic *diag_add(Diagnostics *diags, DiagCode code, Span span, const char *format, ...)
{
    char text[MESSAGE_ROOM];
    va_list args;
    va_start(args, format);
    const char *message = format_text(text, format, args);
    va_end(args);
    diags->dropped = (Diagnostic){.code = code, .span = span, .fix_span = span_none()};
    diags->raised += diag_severity(code) == SEVERITY_ERROR;
    if (is_repeated(diags, code, span, message) || ++diags->counts[diag_severity(code)] > DIAGNOSTICS_MAX)
        return &diags->dropped;
    Diagnostic *diag = arena_memdup(diags->arena, &diags->dropped, sizeof *diag);
    diag->message = arena_strdup(diags->arena, message);
    vec_push(&diags->all, diag);
    return diag;
}

void diag_label(Diagnostics *diags, Diagnostic *diag, Span span, const char *format, ...)
{
    char text[MESSAGE_ROOM];
    if (diag == &diags->dropped || diag->label_count == DIAG_LABELS_MAX)
        return;
    va_list args;
    va_start(args, format);
    diag->labels[diag->label_count++] = (DiagLabel){span, arena_strdup(diags->arena, format_text(text, format, args))};
    va_end(args);
}

void diag_note(Diagnostics *diags, Diagnostic *diag, const char *format, ...)
{
    char text[MESSAGE_ROOM];
    if (diag == &diags->dropped || diag->note_count == DIAG_NOTES_MAX)
        return;
    va_list args;
    va_start(args, format);
    diag->notes[diag->note_count++] = arena_strdup(diags->arena, format_text(text, format, args));
    va_end(args);
}

void diag_fix(Diagnostics *diags, Diagnostic *diag, const char *format, ...)
{
    char text[MESSAGE_ROOM];
    if (diag == &diags->dropped)
        return;
    va_list args;
    va_start(args, format);
    diag->fix = arena_strdup(diags->arena, format_text(text, format, args));
    va_end(args);
}

bool diag_kept(const Diagnostics *diags, const Diagnostic *diag) { return diag != &diags->dropped; }
int diag_count(const Diagnostics *diags) { return diags->all.count; }

const Diagnostic *diag_get(const Diagnostics *diags, int index)
{
    BFM_ASSERT(index >= 0 && index < diags->all.count);
    return diags->all.items[index];
}

int diag_errors(const Diagnostics *diags) { return diags->counts[SEVERITY_ERROR]; }
int diag_raised(const Diagnostics *diags) { return diags->raised; }
int diag_warnings(const Diagnostics *diags) { return diags->counts[SEVERITY_WARNING]; }

/* ---- the catalogue ---- */

static const CodeRow *row_of(DiagCode code)
{
    BFM_ASSERT((int)code >= 0 && code < DIAG_COUNT);
    return &CODES[code];
}

Severity diag_severity(DiagCode code) { return row_of(code)->severity; }
const char *diag_name(DiagCode code) { return row_of(code)->name; }
const char *diag_title(DiagCode code) { return row_of(code)->title; }
const char *diag_explanation(DiagCode code) { return row_of(code)->explanation; }
const char *diag_example(DiagCode code, bool good) { return good ? row_of(code)->good : row_of(code)->bad; }

bool diag_find(const char *name, DiagCode *code)
{
    for (int i = 0; i < DIAG_COUNT; i++) {
        if (strcmp(CODES[i].name, name) != 0)
            continue;
        *code = (DiagCode)i;
        return true;
    }
    return false;
}
