/* The collection of diagnostics and the catalogue; how they are shown is diag_print.c. */
#include "support/diag.h"

#include "support/bug.h"
#include "support/vec.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct Diagnostics {
    Arena *arena;
    VEC(Source) sources;
    VEC(Diagnostic *) all;
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

void diagnostics_free(Diagnostics *diags)
{
    if (!diags)
        return;
    vec_free(&diags->sources);
    vec_free(&diags->all);
    arena_free(diags->arena);
}

/* ---- sources ---- */

int diag_source_add(Diagnostics *diags, const char *path, const char *text, size_t length)
{
    Source source = {arena_strdup(diags->arena, path), arena_strndup(diags->arena, text, length), length};
    vec_push(&diags->sources, source);
    return diags->sources.count - 1;
}

const Source *diag_source(const Diagnostics *diags, int file) { return file >= 0 && file < diags->sources.count ? &diags->sources.items[file] : NULL; }

int diag_source_count(const Diagnostics *diags) { return diags->sources.count; }

/* ---- diagnostics ---- */

static const char *format_text(Arena *arena, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    BFM_ASSERT(length >= 0);
    char *text = arena_alloc(arena, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, args);
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
    Diagnostic *diag = ARENA_NEW(diags->arena, Diagnostic);
    diag->code = code;
    diag->span = span;
    diag->fix_span = span_none();
    va_list args;
    va_start(args, format);
    diag->message = format_text(diags->arena, format, args);
    va_end(args);
    if (!is_repeated(diags, code, span, diag->message))
        vec_push(&diags->all, diag);
    return diag;
}

void diag_label(Diagnostics *diags, Diagnostic *diag, Span span, const char *format, ...)
{
    if (diag->label_count == DIAG_LABELS_MAX)
        return;
    va_list args;
    va_start(args, format);
    diag->labels[diag->label_count++] = (DiagLabel){span, format_text(diags->arena, format, args)};
    va_end(args);
}

void diag_note(Diagnostics *diags, Diagnostic *diag, const char *format, ...)
{
    if (diag->note_count == DIAG_NOTES_MAX)
        return;
    va_list args;
    va_start(args, format);
    diag->notes[diag->note_count++] = format_text(diags->arena, format, args);
    va_end(args);
}

void diag_fix(Diagnostics *diags, Diagnostic *diag, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    diag->fix = format_text(diags->arena, format, args);
    va_end(args);
}

int diag_count(const Diagnostics *diags) { return diags->all.count; }

const Diagnostic *diag_get(const Diagnostics *diags, int index)
{
    BFM_ASSERT(index >= 0 && index < diags->all.count);
    return diags->all.items[index];
}

static int count_severity(const Diagnostics *diags, Severity severity)
{
    int count = 0;
    for (int i = 0; i < diags->all.count; i++)
        count += diag_severity(diags->all.items[i]->code) == severity;
    return count;
}

int diag_errors(const Diagnostics *diags) { return count_severity(diags, SEVERITY_ERROR); }
int diag_warnings(const Diagnostics *diags) { return count_severity(diags, SEVERITY_WARNING); }

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
