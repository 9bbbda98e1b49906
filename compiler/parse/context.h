/* What the lexer, the parser and its actions share; private to this folder and the grammar. */
#ifndef BFM_PARSE_CONTEXT_H
#define BFM_PARSE_CONTEXT_H

#include "parse/parse.h"
#include "support/vec.h"

#include <stdarg.h>

/* A token. `kind` is one of Bison's TOKEN_… constants. */
typedef struct Token {
    int kind;
    Span span;
    Symbol name;    /* of names and words: the text; of strings: the content; of quantities: the unit */
    Rational value; /* of numbers */
    double real;
    Symbol text;     /* of numbers: the spelling */
    int braces;      /* how many `{` are open before it */
    int parens;      /* how many `(` and `[` are open before it, inside the innermost `{` */
    bool line_start; /* the first token of its line */
    bool bad;        /* reported already: it may have swallowed what should follow it */
    bool made_up;    /* a closing bracket that the text lacks */
    bool resumed;    /* delivered after SYNC: an error at it must not resume at it again */
} Token;

typedef struct Comment {
    uint32_t begin, end;
    bool own_line; /* nothing but blanks before it on its line */
} Comment;

typedef struct Bracket {
    char open;
    Span span;
} Bracket;

typedef struct ParseContext {
    Arena *arena;
    Interner *interner;
    Diagnostics *diags;
    int file;
    const char *text;
    size_t length;
    /* lexer */
    const char *cursor;
    bool line_start;
    bool broken; /* gave up on the text: only END follows */
    VEC(Comment) comments;
    Bracket brackets[PARSE_NESTING_MAX];
    int depth, braces;
    /* recovery (recover.c) */
    Token last;     /* delivered to the parser */
    bool after_bad; /* the one before it was bad */
    Token resume;   /* to be delivered after SYNC, where has_resume */
    bool has_resume;
    Token after_closing; /* to be delivered when no bracket is open any more, where has_after_closing */
    bool has_after_closing;
    bool closing;       /* closing brackets are made up until none is open */
    bool syncing;       /* the parser asked for SYNC: skip to where a line may begin */
    int popped_braces;  /* `}` less `{` that the recovery at hand takes off the parser's stack */
    int owed_braces;    /* `}` to be delivered after SYNC: of pairs that the text has closed and that recovery opened again */
    bool synced_at_end; /* SYNC was said at the end of the file: a second time nothing is left to skip */
    int syntax_errors;
    int start; /* the first token, that says what is parsed (TOKEN_START_…), 0 after it */
    /* result */
    Node *items;
    Node *root;
    bool too_deep;
} ParseContext;

/* The next raw token of the text, brackets tracked and comments collected (grammar/bfm.re). */
Token lexer_scan(ParseContext *parse);
int lexer_word(const char *text, size_t length); /* TOKEN_… or 0 */
/* The value of a number's text; false with a diagnostic where it has none. Suffixes K M G T, Ki Mi Gi Ti. */
bool lexer_number(ParseContext *parse, Token *token, const char *begin, const char *end);
/* The content of a string literal, quotes stripped. */
Symbol lexer_string(ParseContext *parse, Span span, const char *begin, const char *end);

/* ---- tree building, called from the grammar's actions (build.c) ---- */
Node *build(ParseContext *parse, NodeKind kind, Span span, const Token *name, int op, ...);
Node *build_list(ParseContext *parse, Span span);
Node *build_push(ParseContext *parse, Node *list, Node *item);    /* returns the list */
Node *build_prepend(ParseContext *parse, Node *item, Node *list); /* returns the list */
Node *build_error(ParseContext *parse, Span span);
Node *build_number(ParseContext *parse, const Token *token);
Node *build_quantity(ParseContext *parse, const Token *token);
Node *build_braced(ParseContext *parse, Node *list, Span span);                                           /* gives a list its span and notes whether it stands on one line */
Node *build_target(ParseContext *parse, Node *expr);                                                      /* an expression that turned out to stand left of '=' */
Node *build_param(ParseContext *parse, NodeKind kind, Span span, int op, const Node *target, Node *init); /* PARAM, STATE */
Node *build_branch(ParseContext *parse, Node *branches, Node *branch, Span before);                       /* `before`: the `{` or `|` */
Node *build_labelled(ParseContext *parse, const Token *label, Node *line);
Node *build_params(ParseContext *parse, Node *inputs, Span inputs_span, Node *rest, Span rest_span); /* a LIST of the two */
Node *build_attributes(ParseContext *parse, Node *params, Span span);                                /* of a block or model: E0109 where one has no type */
Node *build_type(ParseContext *parse, Span span, const Token *name, const Token *alternative);
Node *build_choice_type(ParseContext *parse, Span span, Node *choices, const Token *alternative);
Token build_dotted(ParseContext *parse, const Token *left, const Token *right);
Node *build_lines(ParseContext *parse, Node *lines, Span span, const char *what);   /* build_braced; E0109 where a setting is among them */
Node *build_once(ParseContext *parse, Node *former, Node *value, const char *what); /* E0108 where it is said twice */

/* A syntax error at the last token; `expected` are Bison's names of the tokens that could stand there, `popped_braces` are `}` less `{` above the state that
   recovery goes back to. */
void parse_syntax_error(ParseContext *parse, const char *const *expected, int count, int popped_braces);

/* Attaches the collected comments to the tree and notes blank lines (comments.c). */
void comments_attach(ParseContext *parse, Node *file);

#endif
