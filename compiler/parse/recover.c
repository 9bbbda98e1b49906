/* The parser's token source, and how it goes on after an error.

   Unclosed brackets: at the end of the file, and before a line that can only be a declaration, the missing closing brackets are reported once and made up, so
   that everything before and after is parsed as meant.

   Syntax errors: Bison pops to the innermost pair of braces and asks for SYNC. We skip to a token that closes those braces or begins a line inside them. */
#include "parse/context.h"

#include "bfm_parser.h"

#include <string.h>

static int count_parens(const ParseContext *parse)
{
    int count = 0;
    while (count < parse->depth && parse->brackets[parse->depth - 1 - count].open != '{')
        count++;
    return count;
}

/* ---- missing closing brackets ---- */

static bool is_declaration(int kind)
{
    switch (kind) {
    case TOKEN_USE:
    case TOKEN_BLOCK:
    case TOKEN_MODEL:
    case TOKEN_LAYER:
    case TOKEN_ROUTER:
    case TOKEN_NORM:
    case TOKEN_FN:
    case TOKEN_WIRING:
    case TOKEN_OPTIMIZER:
    case TOKEN_SCHEDULE:
    case TOKEN_SPACE:
    case TOKEN_SEARCH:
    case TOKEN_RECIPE:
    case TOKEN_CHECK: return true;
    default: return false; /* the kinds are Bison's numbers, no enum of ours */
    }
}

static const char *skip_blanks(const char *c)
{
    while (*c == ' ' || *c == '\t')
        c++;
    return c;
}
static bool is_word_byte(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; }

/* `layer f(`, `block b {`, `check "…`: what no line inside braces begins with. */
static bool must_be_declaration(const ParseContext *parse, const Token *token)
{
    if (!token->line_start || !is_declaration(token->kind))
        return false;
    const char *c = skip_blanks(parse->cursor);
    if (token->kind == TOKEN_CHECK)
        return *c == '"';
    const char *name = c;
    while (is_word_byte(*c))
        c++;
    size_t length = (size_t)(c - name);
    bool operator_word = length == 2 && (memcmp(name, "in", 2) == 0 || memcmp(name, "as", 2) == 0); /* `router in { … }`, `norm as n (…)` */
    if (length == 0 || operator_word)
        return false;
    c = skip_blanks(c);
    return *c == '(' || *c == '{' || (*c == '.' && token->kind == TOKEN_USE);
}

static void report_unclosed(ParseContext *parse, const Token *before)
{
    int at = parse->depth - 1;
    while (at > 0 && parse->brackets[at].open != '{')
        at--;
    if (parse->brackets[at].open != '{')
        at = parse->depth - 1;
    const Bracket *bracket = &parse->brackets[at];
    Diagnostic *diag = diag_add(parse->diags, DIAG_E0107, bracket->span, "this `%c` is never closed", bracket->open);
    if (before->kind == TOKEN_END)
        diag_label(parse->diags, diag, before->span, "the file ends here");
    else
        diag_label(parse->diags, diag, before->span, "this can only begin a declaration");
}

static Token make_closing(ParseContext *parse)
{
    const Bracket *top = &parse->brackets[parse->depth - 1];
    Token token = {.kind = top->open == '{' ? '}' : top->open == '(' ? ')' : ']', .span = parse->after_closing.span, .made_up = true};
    token.span.end = token.span.begin;
    token.braces = parse->braces;
    token.parens = count_parens(parse);
    if (top->open == '{')
        parse->braces--;
    parse->depth--;
    parse->closing = parse->depth > 0;
    return token;
}

/* The next token, made-up ones among them. */
static Token fetch(ParseContext *parse)
{
    if (parse->closing)
        return make_closing(parse);
    if (parse->has_after_closing) {
        parse->has_after_closing = false;
        return parse->after_closing;
    }
    int parens = count_parens(parse);
    Token token = lexer_scan(parse);
    token.parens = parens;
    if (parse->broken)
        token.kind = TOKEN_END; /* given up: whatever is open is closed silently */
    if (parse->depth == 0 || !(token.kind == TOKEN_END || must_be_declaration(parse, &token)))
        return token;
    if (!parse->broken)
        report_unclosed(parse, &token);
    parse->after_closing = token;
    parse->after_closing.braces = parse->after_closing.parens = 0;
    parse->has_after_closing = parse->closing = true;
    return make_closing(parse);
}

/* ---- skipping to where a line may begin ---- */

static bool begins_statement(int kind)
{
    return kind == TOKEN_LET || kind == TOKEN_PARAM || kind == TOKEN_SHARED || kind == TOKEN_RETURN || kind == TOKEN_NEXT || kind == TOKEN_IF || kind == TOKEN_WHERE;
}

static bool may_resume(const ParseContext *parse, const Token *token, int braces)
{
    if (!token->line_start || token->braces != braces)
        return false;
    if (braces == 0)
        return is_declaration(token->kind);
    if (token->kind == TOKEN_WHERE)
        return false;
    if (begins_statement(token->kind))
        return true;
    if (!token->name || token->kind == TOKEN_STRING || parse_word(token->name, strlen(token->name)) == WORD_HARD)
        return false;
    return token->parens == 0 || *skip_blanks(parse->cursor) == '('; /* inside an argument list, `heads = 2` is no line, `f(…)` is taken for one */
}

/* The next one, what an earlier recovery put back before all. */
static Token next_token(ParseContext *parse)
{
    const bool resume = parse->has_resume;
    parse->has_resume = false;
    return resume ? parse->resume : fetch(parse);
}

/* SYNC, at the brace level of the state that Bison went back to. It lies further out than the token where braces were opened since, whose rest is skipped. It lies
   further in where Bison went back into a pair that is closed already (`if c { … } else` and no `{`): that pair is closed again after SYNC.
   Every recovery takes at least one token more than the one before, so that there are no more of them than tokens. */
static Token synchronise(ParseContext *parse)
{
    Token token = parse->last;
    const int level = token.braces + parse->popped_braces, braces = level < token.braces ? level : token.braces;
    bool again = token.resumed;
    Span skipped = token.span;
    for (; token.kind != TOKEN_END; token = next_token(parse), again = false)
        if (!again && ((token.kind == '}' && braces > 0 && token.braces == braces) || may_resume(parse, &token, braces)))
            break;
    if (token.kind == TOKEN_END && parse->synced_at_end)
        return (Token){.kind = TOKEN_YYEOF, .span = token.span};
    parse->synced_at_end = token.kind == TOKEN_END;
    if (token.name && !token.made_up) { /* forget the parentheses left open in what was skipped */
        parse->depth -= count_parens(parse);
        token.parens = 0;
    }
    skipped.end = token.span.begin > skipped.begin ? token.span.begin : skipped.begin;
    parse->syncing = false;
    parse->owed_braces = level - braces;
    parse->resume = token;
    parse->resume.resumed = true;
    parse->has_resume = true;
    return (Token){.kind = TOKEN_SYNC, .span = skipped, .braces = braces};
}

static Token owed_brace(ParseContext *parse)
{
    const uint32_t at = parse->resume.span.begin;
    return (Token){.kind = '}', .span = {parse->file, at, at}, .braces = parse->resume.braces + parse->owed_braces--, .made_up = true, .resumed = true};
}

int bfm_yylex(BFM_YYSTYPE *value, BFM_YYLTYPE *span, ParseContext *parse)
{
    Token token;
    if (parse->start) {
        token = (Token){.kind = parse->start, .span = {parse->file, 0, 0}};
        parse->start = 0;
    } else if (parse->syncing) {
        token = synchronise(parse);
    } else if (parse->last.kind == TOKEN_END) {
        token = (Token){.kind = TOKEN_YYEOF, .span = parse->last.span};
    } else if (parse->has_resume && parse->owed_braces > 0) {
        token = owed_brace(parse);
    } else {
        token = next_token(parse);
    }
    parse->after_bad = parse->last.bad;
    parse->last = token;
    value->token = token;
    *span = token.span;
    return token.kind;
}

/* ---- messages ---- */

static bool is_one_of(const char *name, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(name, *list) == 0)
            return true;
    return false;
}

static bool expects(const char *const *expected, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(expected[i], name) == 0)
            return true;
    return false;
}

/* What can continue an expression is always possible and says nothing. */
static const char *const CONTINUATIONS[] = {"'+'", "'-'", "'*'", "'/'", "'%'", "'^'", "==", "!=", "'<'", "<=", "'>'", ">=", "and", "or", "implies", "'.'", "as", "where", NULL};
static const char *const EXPRESSION_STARTS[] = {"name",  "number", "quantity", "string", "'-'", "not", "(",    "'('", "true",
                                                "false", "if",     "next",     "sum",    "max", "min", "mean", "lse", NULL};
static const char *const NAMELESS[] = {"name", "number", "string", "end of file", NULL};

static bool is_shown(const char *name, bool expression, bool names, bool statement)
{
    if (is_one_of(name, CONTINUATIONS))
        return false;
    if (expression && is_one_of(name, EXPRESSION_STARTS))
        return false;
    if (!strcmp(name, "(") || (!expression && (!strcmp(name, "'('") || !strcmp(name, "'['"))))
        return strcmp(name, "'('") == 0 && !names;
    WordKind word = parse_word(name, strlen(name));
    if (names && strcmp(name, "name") == 0)
        return false;
    if (word == WORD_SOFT || word == WORD_DECLARATION)
        return !names && !statement;
    return !(statement && word == WORD_HARD);
}

enum { EXPECTED_SHOWN_MAX = 5 };

/* "an expression or `)`": the sets that a reader knows by one word, then what is left. */
static const char *describe_expected(ParseContext *parse, const char *const *expected, int count)
{
    bool expression = expects(expected, count, "number"), names = expects(expected, count, "name");
    bool statement = expects(expected, count, "let") && expects(expected, count, "return");
    bool declaration = expects(expected, count, "block") && !names;
    const char *items[EXPECTED_SHOWN_MAX];
    int shown = 0;
    if (statement)
        items[shown++] = "a statement";
    else if (expression)
        items[shown++] = "an expression";
    else if (names)
        items[shown++] = "a name";
    else if (declaration)
        items[shown++] = "a declaration (model, block, layer, …)";
    for (int i = 0; i < count && shown < EXPECTED_SHOWN_MAX; i++) {
        const char *name = expected[i];
        if (!is_shown(name, expression, names, statement || declaration))
            continue;
        if (is_one_of(name, NAMELESS))
            items[shown++] = strcmp(name, "end of file") == 0 ? "the end of the file" : arena_printf(parse->arena, "a %s", name);
        else if (name[0] == '\'')
            items[shown++] = arena_printf(parse->arena, "`%c`", name[1]);
        else
            items[shown++] = arena_printf(parse->arena, "`%s`", name);
    }
    const char *text = shown > 0 ? items[0] : NULL;
    for (int i = 1; i < shown; i++)
        text = arena_printf(parse->arena, i + 1 < shown ? "%s, %s" : "%s or %s", text, items[i]);
    return text;
}

static void add_hints(ParseContext *parse, Diagnostic *diag, const Token *found, const char *const *expected, int count)
{
    int kind = found->kind;
    bool comparison = kind == TOKEN_EQ || kind == TOKEN_NE || kind == '<' || kind == '>' || kind == TOKEN_LE || kind == TOKEN_GE;
    if (comparison && expects(expected, count, "'+'"))
        diag_fix(parse->diags, diag, "comparisons do not chain; write `a < b and b < c`");
    if (kind == '=' && expects(expected, count, "=="))
        diag_fix(parse->diags, diag, "equality is written `==`");
    if (expects(expected, count, "name") && !expects(expected, count, "number") && parse->text[found->span.begin] >= 'a' && parse->text[found->span.begin] <= 'z')
        diag_note(parse->diags, diag, "this word is reserved and cannot be a name");
    if (expects(expected, count, "sum") && expects(expected, count, "mean") && !expects(expected, count, "name"))
        diag_note(parse->diags, diag, "a metric ends with how it is merged: mean, sum or max");
}

void parse_syntax_error(ParseContext *parse, const char *const *expected, int count, int popped_braces)
{
    const Token *found = &parse->last;
    parse->syncing = true;
    parse->popped_braces = popped_braces;
    bool consequence = found->made_up || parse->after_bad || parse->broken || found->resumed;
    if (consequence)
        return;
    if (++parse->syntax_errors > PARSE_ERRORS_MAX) {
        parse->broken = true;
        return;
    }
    const uint32_t length = found->span.end - found->span.begin;
    const char *what = found->kind == TOKEN_END
                           ? "the end of the file"
                           : arena_printf(parse->arena, "`%.*s`", (int)(length < MESSAGE_BYTES_MAX ? length : MESSAGE_BYTES_MAX), parse->text + found->span.begin);
    const char *wanted = describe_expected(parse, expected, count);
    Diagnostic *diag = diag_add(parse->diags, DIAG_E0110, found->span, "unexpected %s", what);
    if (wanted)
        diag_label(parse->diags, diag, found->span, "expected %s", wanted);
    add_hints(parse, diag, found, expected, count);
}

void bfm_yyerror(BFM_YYLTYPE *span, ParseContext *parse, const char *message)
{
    (void)message; /* Bison's stack is full: the only error that does not come through parse_syntax_error */
    if (!parse->too_deep)
        diag_add(parse->diags, DIAG_E0106, *span, "this is nested too deeply");
    parse->too_deep = true;
}
