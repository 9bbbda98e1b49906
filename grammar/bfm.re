/* The lexer. Text is UTF-8; only strings and comments hold anything beyond ASCII. Spans are in bytes. */
#include "parse/context.h"

#include "bfm_parser.h"

#include <string.h>

static Token make_token(const ParseContext *parse, int kind, const char *begin, const char *end) {
    Token token = {.kind = kind, .braces = parse->braces, .line_start = parse->line_start};
    token.span = (Span){parse->file, (uint32_t)(begin - parse->text), (uint32_t)(end - parse->text)};
    return token;
}

static Span span_of(const ParseContext *parse, const char *begin, const char *end) {
    return (Span){parse->file, (uint32_t)(begin - parse->text), (uint32_t)(end - parse->text)};
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool runs_on(char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '_'; }

/* The unit are the letters before `end`. */
static const char *unit_begin(const char *end) {
    while (is_letter(end[-1])) end--;
    return end;
}

/* `60 s` is a quantity only where nothing follows that makes `s` the name of something else: the line ends, or the next setting begins (`60 s  seed = 1`). */
static bool ends_quantity(const char *c) {
    while (*c == ' ' || *c == '\t') c++;
    if (*c == '\0' || *c == '\n' || *c == '\r' || *c == '}' || *c == ',' || (*c == '/' && c[1] == '/')) return true;
    if (!is_letter(*c)) return false;
    while (runs_on(*c)) c++;
    while (*c == ' ' || *c == '\t') c++;
    return *c == '=' && c[1] != '=';
}

/* False where it is too deep: the text ends there. */
static bool open_bracket(ParseContext *parse, Token token, char c) {
    if (parse->depth == PARSE_NESTING_MAX) {
        if (!parse->too_deep) diag_add(parse->diags, DIAG_E0106, token.span, "brackets nested more than %d deep", PARSE_NESTING_MAX);
        parse->too_deep = parse->broken = true;
        return false;
    }
    parse->brackets[parse->depth++] = (Bracket){c, token.span};
    if (c == '{') parse->braces++;
    return true;
}

/* A closing brace also closes the parentheses left open inside it; a closing parenthesis never closes a brace. */
static void close_bracket(ParseContext *parse, char open) {
    if (open == '{') {
        while (parse->depth > 0 && parse->brackets[parse->depth - 1].open != '{') parse->depth--;
        if (parse->depth > 0) {
            parse->depth--;
            parse->braces--;
        }
    } else if (parse->depth > 0 && parse->brackets[parse->depth - 1].open == open) {
        parse->depth--;
    }
}

static Token bracket_token(ParseContext *parse, const char *begin) {
    Token token = make_token(parse, *begin, begin, begin + 1);
    switch (*begin) {
    case '(':
        /* At the start of a line and directly inside braces it begins something new: it does not call the name that ended the line before. */
        if (parse->line_start && (parse->depth == 0 || parse->brackets[parse->depth - 1].open == '{')) token.kind = TOKEN_LINE_PAREN;
        if (!open_bracket(parse, token, '(')) token.kind = TOKEN_END;
        break;
    case '[': case '{':
        if (!open_bracket(parse, token, *begin)) token.kind = TOKEN_END;
        break;
    case ')': close_bracket(parse, '('); break;
    case ']': close_bracket(parse, '['); break;
    case '}': close_bracket(parse, '{'); break;
    }
    return token;
}

static Token name_token(ParseContext *parse, const char *begin, const char *end) {
    int word = lexer_word(begin, (size_t)(end - begin));
    Token token = make_token(parse, word ? word : TOKEN_IDENT, begin, end);
    token.name = intern_n(parse->interner, begin, (size_t)(end - begin));
    return token;
}

static Token quantity_token(ParseContext *parse, const char *begin, const char *unit, const char *end) {
    Token token = make_token(parse, TOKEN_QUANTITY, begin, end);
    const char *number_end = unit;
    while (number_end[-1] == ' ' || number_end[-1] == '\t') number_end--;
    lexer_number(parse, &token, begin, number_end);
    token.name = intern_n(parse->interner, unit, (size_t)(end - unit));
    return token;
}

static Token bad_number(ParseContext *parse, const char *begin, const char *end) {
    Token token = make_token(parse, TOKEN_NUMBER, begin, end);
    diag_add(parse->diags, DIAG_E0102, token.span, "`%.*s` is neither a number nor a name", (int)(end - begin), begin);
    token.value = rational_int(0);
    token.text = intern(parse->interner, "0");
    return token;
}

/* Bad UTF-8 was replaced before (parse.c). */
static void bad_byte(ParseContext *parse, const char *begin, const char *end) {
    unsigned char c = (unsigned char)*begin;
    if (c < 0x20 || c == 0x7F)
        diag_add(parse->diags, DIAG_E0101, span_of(parse, begin, end), "unexpected control character 0x%02X", (unsigned)c);
    else
        diag_add(parse->diags, DIAG_E0101, span_of(parse, begin, end), "unexpected character `%.*s`", (int)(end - begin), begin);
}

static void add_comment(ParseContext *parse, const char *begin, const char *end) {
    for (const char *c = begin; c < end; c++) /* the rule takes every byte but a newline: whether it is text is asked here */
        if ((unsigned char)*c < 0x20 && *c != '\t' && *c != '\r')
            diag_add(parse->diags, DIAG_E0101, span_of(parse, c, c + 1), "unexpected control character 0x%02X", (unsigned)*c);
    while (end > begin && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r')) end--;
    vec_push(&parse->comments, (Comment){(uint32_t)(begin - parse->text), (uint32_t)(end - parse->text), parse->line_start});
}

#define SIMPLE(kind) \
    do { \
        Token simple = make_token(parse, kind, begin, cursor); \
        parse->line_start = false; \
        parse->cursor = cursor; \
        return simple; \
    } while (0)
#define RETURN(made) \
    do { \
        Token result = made; \
        parse->line_start = false; \
        parse->cursor = cursor; \
        return result; \
    } while (0)

Token lexer_scan(ParseContext *parse) {
    const char *cursor = parse->cursor, *marker = cursor;
    const char *limit = parse->text + parse->length;
    for (;;) {
        const char *begin = cursor;
        if (parse->broken) SIMPLE(TOKEN_END);
        /*!re2c
            re2c:define:YYCTYPE = "unsigned char";
            re2c:define:YYCURSOR = cursor;
            re2c:define:YYMARKER = marker;
            re2c:yyfill:enable = 0;

            blank   = [ \t];
            letter  = [A-Za-z_];
            digit   = [0-9];
            digits  = digit ("_"? digit)*;
            plain   = digits ("." digits)? ([eE] [+-]? digit+)?;
            number  = plain ([KMGT] "i"?)?;
            unit    = "s" | "m" | "h" | [KMGT]? ("step" | "tok" | "flop");
            rest    = [^\x00\n];

            "\x00" {
                if (begin >= limit) { cursor = begin; SIMPLE(TOKEN_END); }
                bad_byte(parse, begin, cursor);
                continue;
            }
            "\n"            { parse->line_start = true; continue; }
            [ \t\r]+        { continue; }
            "\ufeff"        { if (begin != parse->text) bad_byte(parse, begin, cursor); continue; }
            "//" rest*      { add_comment(parse, begin, cursor); continue; }

            letter (letter | digit)*   { RETURN(name_token(parse, begin, cursor)); }
            number {
                Token token = make_token(parse, TOKEN_NUMBER, begin, cursor);
                lexer_number(parse, &token, begin, cursor);
                RETURN(token);
            }
            plain blank* unit {
                const char *unit = unit_begin(cursor);
                const char *number_end = unit;
                while (number_end[-1] == ' ' || number_end[-1] == '\t') number_end--;
                if (!runs_on(*cursor) && (number_end == unit || ends_quantity(cursor))) RETURN(quantity_token(parse, begin, unit, cursor));
                if (number_end < unit) { /* a number, then a name that happens to begin like a unit */
                    cursor = number_end;
                    Token token = make_token(parse, TOKEN_NUMBER, begin, cursor);
                    lexer_number(parse, &token, begin, cursor);
                    RETURN(token);
                }
                while (runs_on(*cursor)) cursor++;
                RETURN(bad_number(parse, begin, cursor));
            }
            number letter (letter | digit)* {
                RETURN(bad_number(parse, begin, cursor));
            }
            ["] ([^"\\\x00\n] | "\\" [^\x00\n])* ["] {
                Token token = make_token(parse, TOKEN_STRING, begin, cursor);
                token.name = lexer_string(parse, token.span, begin + 1, cursor - 1);
                RETURN(token);
            }
            ["] ([^"\\\x00\n] | "\\" [^\x00\n])* {
                diag_add(parse->diags, DIAG_E0103, span_of(parse, begin, cursor), "this string has no closing quote on its line");
                Token token = make_token(parse, TOKEN_STRING, begin, cursor);
                token.name = intern(parse->interner, "");
                token.bad = true;
                RETURN(token);
            }

            "->"  { SIMPLE(TOKEN_ARROW); }
            "+="  { SIMPLE(TOKEN_PLUS_EQUALS); }
            "=="  { SIMPLE(TOKEN_EQ); }
            "!="  { SIMPLE(TOKEN_NE); }
            "<="  { SIMPLE(TOKEN_LE); }
            ">="  { SIMPLE(TOKEN_GE); }
            "..<" { SIMPLE(TOKEN_RANGE_HALF); }
            ".."  { SIMPLE(TOKEN_RANGE); }
            [-+*/%^<>=,;:.|~]   { SIMPLE((unsigned char)*begin); }
            [(){}[] | "]"       { RETURN(bracket_token(parse, begin)); }

            [^] { bad_byte(parse, begin, cursor); continue; }
            *   { bad_byte(parse, begin, cursor); continue; }
        */
    }
}
