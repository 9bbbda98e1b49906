/* Text to tree. */
#ifndef BFM_PARSE_PARSE_H
#define BFM_PARSE_PARSE_H

#include "tree/ast.h"
#include "support/limits.h"

#include <stddef.h>

/* Parses one file. Registers it as a source of `diags`, where all errors go. The tree is in `arena`, its names in `interner`; it keeps no pointer to
   `text`. Always returns a FILE; what could not be read is an ERROR item in it, so passes can go on (diag_errors says whether there was any). */
Node *parse_file(Arena *arena, Interner *interner, Diagnostics *diags, const char *path, const char *text, size_t length);
/* A single expression, as the value of `--set path=value`. An ERROR node if it is none. */
Node *parse_expression(Arena *arena, Interner *interner, Diagnostics *diags, const char *path, const char *text, size_t length);

typedef enum { WORD_NONE, WORD_HARD, WORD_SOFT, WORD_DECLARATION } WordKind;
/* What tokens.def says of a word. */
WordKind parse_word(const char *text, size_t length);
/* A name that may be written anywhere a name is wanted: an identifier that is not a hard word. */
bool parse_is_name(const char *text);

#endif
