/* The entry points: text is made safe for the lexer, parsed, and given its comments. */
#include "parse/context.h"

#include "bfm_parser.h"

#include <string.h>

/* ---- UTF-8 ---- */

/* The length of the well-formed character at `c` (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF); 0 where there is none. */
static int utf8_length(const unsigned char *c, size_t left)
{
    if (c[0] < 0x80)
        return 1;
    int length = c[0] >= 0xC2 && c[0] <= 0xDF ? 2 : (c[0] & 0xF0) == 0xE0 ? 3 : c[0] >= 0xF0 && c[0] <= 0xF4 ? 4 : 0;
    if (length == 0 || (size_t)length > left)
        return 0;
    for (int i = 1; i < length; i++)
        if ((c[i] & 0xC0) != 0x80)
            return 0;
    if ((c[0] == 0xE0 && c[1] < 0xA0) || (c[0] == 0xED && c[1] > 0x9F) || (c[0] == 0xF0 && c[1] < 0x90) || (c[0] == 0xF4 && c[1] > 0x8F))
        return 0;
    return length;
}

/* Blanks replace what is not UTF-8 and NUL; the first of either is reported. */
static void make_clean(ParseContext *parse, char *text)
{
    bool said = false;
    for (size_t i = 0; i < parse->length;) {
        int length = text[i] == '\0' ? 0 : utf8_length((const unsigned char *)text + i, parse->length - i);
        if (length > 0) {
            i += (size_t)length;
            continue;
        }
        if (!said)
            diag_add(parse->diags, DIAG_E0105, (Span){parse->file, (uint32_t)i, (uint32_t)i + 1}, "byte 0x%02X is no UTF-8 text", (unsigned)(unsigned char)text[i]);
        said = true;
        text[i++] = ' ';
    }
}

/* ---- entry points ---- */

static ParseContext *context_new(Arena *arena, Interner *interner, Diagnostics *diags, const char *path, const char *text, size_t length)
{
    ParseContext *parse = ARENA_NEW(arena, ParseContext);
    if (!text)
        text = ""; /* an empty mapping */
    bool too_large = length > FILE_BYTES_MAX;
    parse->arena = arena;
    parse->interner = interner;
    parse->diags = diags;
    parse->length = too_large ? 0 : length;
    parse->file = diag_source_add(diags, path, text, parse->length);
    if (too_large)
        diag_add(diags, DIAG_E0111, (Span){parse->file, 0, 0}, "the file has %zu bytes; at most %d are read", length, FILE_BYTES_MAX);
    char *copy = arena_strndup(arena, text, parse->length);
    parse->text = parse->cursor = copy;
    parse->line_start = true;
    make_clean(parse, copy);
    return parse;
}

/* The context is in the arena; only its comments are not. */
static void context_free(ParseContext *parse) { vec_free(&parse->comments); }

Node *parse_file(Arena *arena, Interner *interner, Diagnostics *diags, const char *path, const char *text, size_t length)
{
    ParseContext *parse = context_new(arena, interner, diags, path, text, length);
    parse->start = TOKEN_START_FILE;
    bfm_yyparse(parse);
    Span span = {parse->file, 0, (uint32_t)parse->length};
    Node *items = parse->root ? parse->root : parse->items ? parse->items : list_new(arena, span);
    items->span = span;
    Node *file = node_make(arena, NODE_FILE, span, NULL, 0, items);
    comments_attach(parse, file);
    context_free(parse);
    return file;
}

Node *parse_expression(Arena *arena, Interner *interner, Diagnostics *diags, const char *path, const char *text, size_t length)
{
    ParseContext *parse = context_new(arena, interner, diags, path, text, length);
    parse->start = TOKEN_START_EXPRESSION;
    bfm_yyparse(parse);
    context_free(parse);
    return parse->root ? parse->root : node_new(arena, NODE_ERROR, (Span){parse->file, 0, (uint32_t)parse->length});
}
