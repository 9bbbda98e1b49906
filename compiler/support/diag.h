/* Sources, spans and diagnostics. Errors of the user are collected here, never printed from inside a pass. */
#ifndef BFM_SUPPORT_DIAG_H
#define BFM_SUPPORT_DIAG_H

#include "support/arena.h"
#include "support/str.h"

#include <stdbool.h>
#include <stdint.h>

/* A range of bytes of one source; file < 0 where there is none (built-in). */
typedef struct Span {
    int32_t file;
    uint32_t begin, end;
} Span;
static inline Span span_none(void) { return (Span){-1, 0, 0}; }

typedef struct Source {
    const char *path; /* as shown to the user */
    const char *text; /* NUL-terminated copy */
    size_t length;
    int line_count;
    const uint32_t *lines; /* where each begins */
} Source;

typedef enum { SEVERITY_ERROR, SEVERITY_WARNING, SEVERITY_NOTE } Severity;

/* One row of diagnostics.def per code: DIAGNOSTIC(E0101, ERROR, "title", "explanation", "example that gives it", "example that does not"). */
typedef enum {
#define DIAGNOSTIC(code, severity, title, explanation, bad, good) DIAG_##code,
#include "support/diagnostics.def"
#undef DIAGNOSTIC
    DIAG_COUNT
} DiagCode;

typedef struct DiagLabel {
    Span span;
    const char *text;
} DiagLabel;

enum { DIAG_LABELS_MAX = 6, DIAG_NOTES_MAX = 6 };

typedef struct Diagnostic {
    DiagCode code;
    Span span;
    const char *message;
    DiagLabel labels[DIAG_LABELS_MAX];
    int label_count;
    const char *notes[DIAG_NOTES_MAX];
    int note_count;
    const char *fix; /* what to do, in words; NULL if there is none */
    Span fix_span;   /* where fix_text goes, if fix_text is given */
    const char *fix_text;
} Diagnostic;

typedef struct Diagnostics Diagnostics;

Diagnostics *diagnostics_new(void);
/* Has the sources of `base`, which must live and take no more of them, and diagnostics of its own. */
Diagnostics *diagnostics_over(const Diagnostics *base);
void diagnostics_free(Diagnostics *diags);
int diag_source_add(Diagnostics *diags, const char *path, const char *text, size_t length); /* copies both; returns the file number */
const Source *diag_source(const Diagnostics *diags, int file);
int diag_source_count(const Diagnostics *diags);

/* Adds a diagnostic, unless DIAGNOSTICS_MAX of its severity are kept: more are only counted. The pointer stays valid and takes labels, notes, fix. One at the span and code of an earlier one is dropped. What is not kept takes labels, notes and a fix too, until the next one is added. */
__attribute__((format(printf, 4, 5))) Diagnostic *diag_add(Diagnostics *diags, DiagCode code, Span span, const char *format, ...);
__attribute__((format(printf, 4, 5))) void diag_label(Diagnostics *diags, Diagnostic *diag, Span span, const char *format, ...);
__attribute__((format(printf, 3, 4))) void diag_note(Diagnostics *diags, Diagnostic *diag, const char *format, ...);
__attribute__((format(printf, 3, 4))) void diag_fix(Diagnostics *diags, Diagnostic *diag, const char *format, ...);
/* False: it is only counted. What is costly to find for its notes and fixes need not be looked for. */
bool diag_kept(const Diagnostics *diags, const Diagnostic *diag);
int diag_count(const Diagnostics *diags);
const Diagnostic *diag_get(const Diagnostics *diags, int index);
int diag_errors(const Diagnostics *diags); /* with those that are not kept */
int diag_warnings(const Diagnostics *diags);
/* How often an error was added, repeated ones included: what a pass compares to know whether it failed. */
int diag_raised(const Diagnostics *diags);

Severity diag_severity(DiagCode code);
const char *diag_name(DiagCode code); /* "E0101" */
const char *diag_title(DiagCode code);
const char *diag_explanation(DiagCode code);
const char *diag_example(DiagCode code, bool good);
bool diag_find(const char *name, DiagCode *code);

/* rustc-like text, in order of position; `color` adds ANSI escapes. */
void diag_print(const Diagnostics *diags, Str *out, bool color);
/* The same of those from number `first` on. */
void diag_print_from(const Diagnostics *diags, int first, Str *out, bool color);
/* A JSON array of objects {code, severity, message, file, line, column, end_line, end_column, labels, notes, fix}. */
void diag_json(const Diagnostics *diags, Str *out);
/* Line and column (both from 1, column in characters) of a byte offset. */
void diag_position(const Source *source, uint32_t offset, int *line, int *column);

#endif
