/* The grammar. Newlines do not matter, with one exception made by the lexer: a `(` that begins a line directly inside braces (LINE_PAREN) calls nothing.
   Sequences have no separators: an expression ends where no operator continues it. Actions only build trees (compiler/parse/build.c).
   Recovery: every pair of braces takes `error SYNC`; after an error the token source (compiler/parse/recover.c) skips to where a line of that brace level begins and says SYNC. */
%define api.pure full
%define api.prefix {bfm_yy}
%define api.token.prefix {TOKEN_}
%define api.location.type {Span}
%define parse.error custom
%define parse.lac full
%expect 0
%locations
%parse-param {ParseContext *parse}
%lex-param {ParseContext *parse}

%code requires {
#include "parse/context.h"
typedef struct Overrides { Node *norm, *wiring; } Overrides;
}

%union {
    Token token;
    Node *node;
    Overrides overrides;
    int op;
}

%code provides {
int bfm_yylex(BFM_YYSTYPE *value, BFM_YYLTYPE *span, ParseContext *parse);
void bfm_yyerror(BFM_YYLTYPE *span, ParseContext *parse, const char *message);
}

%code {
#define YYLLOC_DEFAULT(current, rhs, n) \
    do { \
        if (n) (current) = (Span){YYRHSLOC(rhs, 1).file, YYRHSLOC(rhs, 1).begin, YYRHSLOC(rhs, n).end}; \
        else (current) = (Span){YYRHSLOC(rhs, 0).file, YYRHSLOC(rhs, 0).end, YYRHSLOC(rhs, 0).end}; \
    } while (0)
#define SPAN(first, last) ((Span){(first).file, (first).begin, (last).end})
#define AFTER(span) SPAN_AT((span).file, (span).end)
#define SPAN_AT(file, offset) ((Span){(file), (offset), (offset)})
#define MAKE(kind, span, name, op, ...) build(parse, NODE_##kind, span, name, op, __VA_ARGS__)
#define LEAF(kind, span, name, op) build(parse, NODE_##kind, span, name, op, NULL)
#define PUSH(list, item) build_push(parse, list, item)
#define EMPTY(span) build_list(parse, span)
#define BINARY(op, span, left, right) MAKE(BINARY, span, NULL, op, left, right)
static Token no_token(void) { return (Token){0}; }
}

%token START_FILE START_EXPRESSION
%token END "end of file" SYNC
%token <token> IDENT "name" NUMBER "number" QUANTITY "quantity" STRING "string" LINE_PAREN "("
%token ARROW "->" PLUS_EQUALS "+=" EQ "==" NE "!=" LE "<=" GE ">=" RANGE_HALF "..<" RANGE ".."
%token <token> USE "use" BLOCK "block" MODEL "model" LAYER "layer" ROUTER "router" NORM "norm" FN "fn" WIRING "wiring" OPTIMIZER "optimizer"
%token <token> SCHEDULE "schedule" SPACE "space" SEARCH "search" RECIPE "recipe" CHECK "check" DEFAULT "default"
%token <token> REPEAT "repeat" PARALLEL "parallel" AT "at" ON "on" ROLE "role" START "start" FROM "from" STATE "state" RECUR "recur" LOSS "loss"
%token <token> METRIC "metric" REQUIRE "require" IN "in" SUM "sum" MAX "max" MIN "min" MEAN "mean" LSE "lse"
%token SHARED "shared" LET "let" PARAM "param" NEXT "next" RETURN "return" IF "if" ELSE "else" WHERE "where" AS "as"
%token AND "and" OR "or" NOT "not" IMPLIES "implies" TRUE "true" FALSE "false"

/* In a check, where an expression may follow an expression, `-` and `(` continue the former. */
%precedence ASSERTION
%precedence '('
%right IMPLIES
%left OR
%left AND
%precedence NOT
%nonassoc EQ NE '<' LE '>' GE
%left '+' '-'
%precedence REDUCTION
%left '*' '/' '%'
%precedence NEGATION
%right '^'

%type <token> name plain_name body_name dotted alternative
%type <op> definition_word shared_opt merge reduction
%type <overrides> overrides
%type <node> items item params param param_list param_list_opt attributes_opt type names result_opt lines line call setting statements statement
%type <node> if else_opt targets target target_list bracketed entries entries_opt entry where_opt returns return_value
%type <node> space_items space_item choice_items choice_item times_opt set domain settings recipe_items check_items conditions branches branch
%type <node> expr primary field if_value arm args args_opt arg exprs exprs_opt condition_opt count_opt

%%

start: START_FILE items END           { parse->root = $items; }
     | START_EXPRESSION expr END      { parse->root = $expr; }
     | START_EXPRESSION error SYNC { yyerrok; } END { parse->root = build_error(parse, @$); }
     ;

items: %empty                         { $$ = parse->items = EMPTY(@$); }
     | items[list] item               { $$ = PUSH($list, $item); }
     | items[list] error SYNC         { $$ = PUSH($list, build_error(parse, @error)); yyerrok; }
     ;

item: USE dotted                      { $$ = LEAF(USE, @$, &$dotted, 0); }
    | BLOCK name attributes_opt overrides '{' lines '}'
        { $$ = MAKE(BLOCK, @$, &$name, 0, $attributes_opt, $overrides.norm, $overrides.wiring, build_lines(parse, $lines, SPAN(@5, @7), "block")); }
    | MODEL name attributes_opt overrides '{' lines '}'
        { $$ = MAKE(MODEL, @$, &$name, 0, $attributes_opt, $overrides.norm, $overrides.wiring, build_braced(parse, $lines, SPAN(@5, @7))); }
    | definition_word name '(' params ')' result_opt overrides '{' statements '}'
        { Node *body = build_braced(parse, $statements, SPAN(@8, @10));
          $$ = MAKE(DEFINITION, @$, &$name, $definition_word, $params->kids[0], $params->kids[1], $result_opt, $overrides.norm, $overrides.wiring, body, NULL); }
    | definition_word name '(' params ')' result_opt overrides '=' expr
        { $$ = MAKE(DEFINITION, @$, &$name, $definition_word, $params->kids[0], $params->kids[1], $result_opt, $overrides.norm, $overrides.wiring, NULL, $expr); }
    | SPACE name '{' space_items '}'  { $$ = MAKE(SPACE, @$, &$name, 0, build_braced(parse, $space_items, SPAN(@3, @5))); }
    | SEARCH name '{' settings '}'    { $$ = MAKE(SEARCH, @$, &$name, 0, build_braced(parse, $settings, SPAN(@3, @5))); }
    | RECIPE name '{' recipe_items '}' { $$ = MAKE(RECIPE, @$, &$name, 0, build_braced(parse, $recipe_items, SPAN(@3, @5))); }
    | CHECK STRING '{' check_items '}' { $$ = MAKE(CHECK, @$, &$STRING, 0, build_braced(parse, $check_items, SPAN(@3, @5))); }
    | DEFAULT NORM '=' expr           { $$ = MAKE(DEFAULT, @$, &$NORM, 0, $expr); }
    | DEFAULT WIRING '=' expr         { $$ = MAKE(DEFAULT, @$, &$WIRING, 0, $expr); }
    ;

definition_word: LAYER { $$ = AST_DEF_LAYER; } | ROUTER { $$ = AST_DEF_ROUTER; } | NORM { $$ = AST_DEF_NORM; } | FN { $$ = AST_DEF_FN; }
    | WIRING { $$ = AST_DEF_WIRING; } | OPTIMIZER { $$ = AST_DEF_OPTIMIZER; } | SCHEDULE { $$ = AST_DEF_SCHEDULE; }
    ;

dotted: name
      | dotted[left] '.' name[right]  { $$ = build_dotted(parse, &$left, &$right); }
      ;

/* ---- names: soft words are names where they cannot be taken for the word ---- */

plain_name: IDENT | USE | BLOCK | MODEL | LAYER | ROUTER | FN | OPTIMIZER | SCHEDULE | SPACE | SEARCH | RECIPE | CHECK | DEFAULT | ON | ROLE | START | FROM ;
body_name: plain_name | STATE | RECUR | LOSS | METRIC | REQUIRE | IN ;
name: body_name | NORM | WIRING | REPEAT | PARALLEL | AT ;

/* ---- parameters, types, results ---- */

attributes_opt: %empty                { $$ = EMPTY(@$); }
    | '(' param_list_opt ')'          { $$ = build_attributes(parse, $2, @$); }
    ;

/* A pair (inputs, the rest) in a list of two. */
params: param_list_opt                { $$ = build_params(parse, $1, @1, EMPTY(AFTER(@$)), AFTER(@$)); }
      | param_list_opt[in] ';' param_list_opt[rest] { $$ = build_params(parse, $in, @in, $rest, SPAN(@2, @rest)); }
      ;

param_list_opt: %empty                { $$ = EMPTY(@$); } | param_list ;
param_list: param                     { $$ = PUSH(EMPTY(@$), $1); }
          | param_list[list] ',' param { $$ = PUSH($list, $param); }
          ;

param: name                           { $$ = MAKE(INPUT, @$, &$name, 0, NULL, NULL, NULL); }
     | name '=' expr                  { $$ = MAKE(INPUT, @$, &$name, 0, NULL, NULL, $expr); }
     | name bracketed                 { $$ = MAKE(INPUT, @$, &$name, 0, $bracketed, NULL, NULL); }
     | name bracketed '=' expr        { $$ = MAKE(INPUT, @$, &$name, 0, $bracketed, NULL, $expr); }
     | name bracketed ':' expr        { $$ = MAKE(INPUT, @$, &$name, 0, $bracketed, $expr, NULL); }
     | name bracketed ':' expr[type] '=' expr[default] { $$ = MAKE(INPUT, @$, &$name, 0, $bracketed, $type, $default); }
     | name ':' type                  { $$ = MAKE(ATTRIBUTE, @$, &$name, 0, $type, NULL); }
     | name ':' type '=' expr         { $$ = MAKE(ATTRIBUTE, @$, &$name, 0, $type, $expr); }
     ;

type: name alternative                { $$ = build_type(parse, @$, &$name, &$alternative); }
    | '{' names '}' alternative       { $$ = build_choice_type(parse, @$, $names, &$alternative); }
    | '{' error SYNC { yyerrok; } '}'              { $$ = build_error(parse, @$); }
    ;
alternative: %empty                   { $$ = no_token(); } | '|' name { $$ = $name; } ;
names: name                           { $$ = PUSH(EMPTY(@$), LEAF(NAME, @name, &$name, 0)); }
     | names[list] ',' name           { $$ = PUSH($list, LEAF(NAME, @name, &$name, 0)); }
     ;

result_opt: %empty                    { $$ = NULL; }
    | ARROW '[' entries_opt ']'       { $$ = MAKE(RESULT, @$, NULL, 0, build_braced(parse, $entries_opt, SPAN(@2, @4))); }
    | ARROW name                      { $$ = MAKE(RESULT, @$, &$name, 0, NULL); }
    | ARROW name bracketed            { $$ = MAKE(RESULT, @$, &$name, 0, $bracketed); }
    ;

overrides: %empty                     { $$ = (Overrides){NULL, NULL}; }
    | overrides[all] NORM '=' expr    { $$ = $all; $$.norm = build_once(parse, $all.norm, $expr, "norm"); }
    | overrides[all] WIRING '=' expr  { $$ = $all; $$.wiring = build_once(parse, $all.wiring, $expr, "wiring"); }
    ;

/* ---- blocks and models ---- */

lines: %empty                         { $$ = EMPTY(@$); }
     | lines[list] line               { $$ = PUSH($list, $line); }
     | lines[list] body_name ':' line { $$ = PUSH($list, build_labelled(parse, &$body_name, $line)); }
     | lines[list] error SYNC         { $$ = PUSH($list, build_error(parse, @error)); yyerrok; }
     ;

line: call overrides                  { $$ = MAKE(LINE, @$, NULL, 0, $call, $overrides.norm, $overrides.wiring); }
    | REPEAT expr shared_opt '{' lines '}' { $$ = MAKE(REPEAT, @$, NULL, $shared_opt, $expr, build_lines(parse, $lines, SPAN(@4, @6), "repeat")); }
    | PARALLEL '{' branches '}' overrides { $$ = MAKE(PARALLEL, @$, NULL, 0, build_braced(parse, $branches, SPAN(@2, @4)), $overrides.norm, $overrides.wiring); }
    | AT expr '{' lines '}'           { $$ = MAKE(AT, @$, NULL, 0, $expr, build_lines(parse, $lines, SPAN(@3, @5), "at")); }
    | body_name '=' expr              { $$ = MAKE(SETTING, @$, &$body_name, 0, $expr); }
    ;

call: body_name '(' args_opt ')'      { $$ = MAKE(CALL, @$, &$body_name, 0, build_braced(parse, $args_opt, SPAN(@2, @4))); } ;
shared_opt: %empty                    { $$ = 0; } | SHARED { $$ = AST_SHARED; } ;
branches: branch                      { $$ = build_branch(parse, EMPTY(@$), $branch, (Span){@$.file, @$.begin, @$.begin}); }
    | branches[list] '|' branch       { $$ = build_branch(parse, $list, $branch, @2); }
    ;
branch: lines                         { $$ = build_lines(parse, $lines, @$, "parallel"); } ;

/* ---- layers ---- */

statements: %empty                    { $$ = EMPTY(@$); }
    | statements[list] statement      { $$ = PUSH($list, $statement); }
    | statements[list] error SYNC     { $$ = PUSH($list, build_error(parse, @error)); yyerrok; }
    ;

statement: LET targets '=' expr where_opt { $$ = MAKE(LET, @$, NULL, 0, $targets, $expr, $where_opt); }
    | PARAM target '=' expr           { $$ = build_param(parse, NODE_PARAM, @$, 0, $target, $expr); }
    | PARAM target '~' expr           { $$ = build_param(parse, NODE_PARAM, @$, AST_DRAWN, $target, $expr); }
    | SHARED PARAM target '=' expr    { $$ = build_param(parse, NODE_PARAM, @$, AST_SHARED, $target, $expr); }
    | SHARED PARAM target '~' expr    { $$ = build_param(parse, NODE_PARAM, @$, AST_SHARED | AST_DRAWN, $target, $expr); }
    | STATE target '=' expr           { $$ = build_param(parse, NODE_STATE, @$, 0, $target, $expr); }
    | NEXT target '=' expr where_opt  { $$ = MAKE(NEXT, @$, NULL, 0, $target, $expr, $where_opt); }
    | RECUR target '=' expr where_opt { $$ = MAKE(RECUR, @$, NULL, 0, $target, $expr, $where_opt); }
    | plain_name PLUS_EQUALS expr where_opt
        { $$ = MAKE(ACCUMULATE, @$, NULL, 0, MAKE(TARGET, @1, &$plain_name, 0, NULL), $expr, $where_opt); }
    | plain_name bracketed PLUS_EQUALS expr where_opt
        { $$ = MAKE(ACCUMULATE, @$, NULL, 0, MAKE(TARGET, SPAN(@1, @2), &$plain_name, 0, $bracketed), $expr, $where_opt); }
    | LOSS name '=' expr              { $$ = MAKE(LOSS, @$, &$name, 0, $expr); }
    | METRIC target '=' expr merge    { $$ = MAKE(METRIC, @$, NULL, $merge, $target, $expr); }
    | REQUIRE expr                    { $$ = MAKE(REQUIRE, @$, NULL, 0, $expr); }
    | if
    | RETURN returns                  { $$ = MAKE(RETURN, @$, NULL, 0, $returns); }
    ;

if: IF expr '{' statements '}' else_opt { $$ = MAKE(IF, @$, NULL, 0, $expr, build_braced(parse, $statements, SPAN(@3, @5)), $else_opt); } ;
else_opt: %empty                      { $$ = NULL; }
    | ELSE '{' statements '}'         { $$ = build_braced(parse, $statements, SPAN(@2, @4)); }
    | ELSE if                         { $$ = PUSH(EMPTY(@if), $if); }
    ;

targets: target                       { $$ = PUSH(EMPTY(@$), $target); }
    | '(' target_list ')'             { $$ = $target_list; }
    | LINE_PAREN target_list ')'      { $$ = $target_list; }
    ;
target_list: target                   { $$ = PUSH(EMPTY(@$), $target); }
    | target_list[list] ',' target    { $$ = PUSH($list, $target); }
    ;
target: name                          { $$ = MAKE(TARGET, @$, &$name, 0, NULL); }
    | name bracketed                  { $$ = MAKE(TARGET, @$, &$name, 0, $bracketed); }
    ;

bracketed: '[' entries_opt ']'        { $$ = build_braced(parse, $entries_opt, @$); } ;
entries_opt: %empty                   { $$ = EMPTY(@$); } | entries ;
entries: entry                        { $$ = PUSH(EMPTY(@$), $entry); }
    | entries[list] ',' entry         { $$ = PUSH($list, $entry); }
    ;
entry: expr
    | name IN expr[low] RANGE_HALF expr[high] { $$ = MAKE(INDEX, @$, &$name, 0, $low, $high); }
    ;

where_opt: %empty                     { $$ = NULL; } | WHERE expr { $$ = $expr; } ;
merge: SUM                            { $$ = AST_SUM; } | MEAN { $$ = AST_MEAN; } | MAX { $$ = AST_MAX; } ;

returns: return_value                 { $$ = PUSH(EMPTY(@$), $return_value); }
    | returns[list] ',' return_value  { $$ = PUSH($list, $return_value); }
    ;
return_value: expr
    | expr[target] '=' expr[value] where_opt { $$ = MAKE(BIND, @$, NULL, 0, build_target(parse, $target), $value, $where_opt); }
    ;

/* ---- spaces, searches, recipes, checks ---- */

space_items: %empty                   { $$ = EMPTY(@$); }
    | space_items[list] space_item    { $$ = PUSH($list, $space_item); }
    | space_items[list] error SYNC    { $$ = PUSH($list, build_error(parse, @error)); yyerrok; }
    ;
space_item: setting
    | domain
    | LET domain                      { $$ = $domain; $$->op = AST_LET; $$->span = @$; }
    | name times_opt '{' choice_items '}' { $$ = MAKE(CHOICE, @$, &$name, 0, $times_opt, build_braced(parse, $choice_items, SPAN(@3, @5))); }
    | START FROM name                 { $$ = LEAF(START, @$, &$name, 0); }
    | WHERE conditions                { $$ = MAKE(BOUNDS, @$, NULL, 0, $conditions); }
    ;
times_opt: %empty                     { $$ = NULL; }
    | '*' expr                        { $$ = $expr; }
    | '*' expr[low] RANGE expr[high]  { $$ = MAKE(RANGE, SPAN(@low, @high), NULL, 0, $low, $high); }
    ;
conditions: expr                      { $$ = PUSH(EMPTY(@$), $expr); }
    | conditions[list] ',' expr       { $$ = PUSH($list, $expr); }
    ;
choice_items: %empty                  { $$ = EMPTY(@$); }
    | choice_items[list] choice_item  { $$ = PUSH($list, $choice_item); }
    | choice_items[list] ','          { $$ = $list; }
    | choice_items[list] error SYNC   { $$ = PUSH($list, build_error(parse, @error)); yyerrok; }
    ;
choice_item: setting | domain ;
setting: name '=' expr                { $$ = MAKE(SETTING, @$, &$name, 0, $expr); } ;
domain: name IN set                   { $$ = MAKE(DOMAIN, @$, &$name, 0, $set); } ;
set: '{' exprs_opt '}'                { $$ = MAKE(SET, @$, NULL, 0, $exprs_opt); }
    | '{' error SYNC { yyerrok; } '}'              { $$ = build_error(parse, @$); }
    | expr[low] RANGE expr[high]      { $$ = MAKE(RANGE, @$, NULL, 0, $low, $high); }
    ;
settings: %empty                      { $$ = EMPTY(@$); }
    | settings[list] setting          { $$ = PUSH($list, $setting); }
    | settings[list] ','              { $$ = $list; }
    | settings[list] error SYNC       { $$ = PUSH($list, build_error(parse, @error)); yyerrok; }
    ;
recipe_items: %empty                  { $$ = EMPTY(@$); }
    | recipe_items[list] setting      { $$ = PUSH($list, $setting); }
    | recipe_items[list] ON STRING '{' settings '}'
        { $$ = PUSH($list, MAKE(ON, SPAN(@ON, @6), &$STRING, 0, build_braced(parse, $settings, SPAN(@4, @6)))); }
    | recipe_items[list] ON ROLE name '{' settings '}'
        { $$ = PUSH($list, MAKE(ON_ROLE, SPAN(@ON, @7), &$name, 0, build_braced(parse, $settings, SPAN(@5, @7)))); }
    | recipe_items[list] ','          { $$ = $list; }
    | recipe_items[list] error SYNC   { $$ = PUSH($list, build_error(parse, @error)); yyerrok; }
    ;
check_items: %empty                   { $$ = EMPTY(@$); }
    | check_items[list] expr %prec ASSERTION { $$ = PUSH($list, $expr); }
    | check_items[list] LET targets '=' expr %prec ASSERTION
        { $$ = PUSH($list, MAKE(LET, SPAN(@LET, @expr), NULL, 0, $targets, $expr, NULL)); }
    | check_items[list] error SYNC    { $$ = PUSH($list, build_error(parse, @error)); yyerrok; }
    ;

/* ---- expressions ---- */

expr: primary
    | '-' expr[a] %prec NEGATION      { $$ = MAKE(UNARY, @$, NULL, AST_NEG, $a); }
    | NOT expr[a]                     { $$ = MAKE(UNARY, @$, NULL, AST_NOT, $a); }
    | expr[a] '+' expr[b]             { $$ = BINARY(AST_ADD, @$, $a, $b); }
    | expr[a] '-' expr[b]             { $$ = BINARY(AST_SUB, @$, $a, $b); }
    | expr[a] '*' expr[b]             { $$ = BINARY(AST_MUL, @$, $a, $b); }
    | expr[a] '/' expr[b]             { $$ = BINARY(AST_DIV, @$, $a, $b); }
    | expr[a] '%' expr[b]             { $$ = BINARY(AST_MOD, @$, $a, $b); }
    | expr[a] '^' expr[b]             { $$ = BINARY(AST_POW, @$, $a, $b); }
    | expr[a] EQ expr[b]              { $$ = BINARY(AST_EQ, @$, $a, $b); }
    | expr[a] NE expr[b]              { $$ = BINARY(AST_NE, @$, $a, $b); }
    | expr[a] '<' expr[b]             { $$ = BINARY(AST_LT, @$, $a, $b); }
    | expr[a] LE expr[b]              { $$ = BINARY(AST_LE, @$, $a, $b); }
    | expr[a] '>' expr[b]             { $$ = BINARY(AST_GT, @$, $a, $b); }
    | expr[a] GE expr[b]              { $$ = BINARY(AST_GE, @$, $a, $b); }
    | expr[a] AND expr[b]             { $$ = BINARY(AST_AND, @$, $a, $b); }
    | expr[a] OR expr[b]              { $$ = BINARY(AST_OR, @$, $a, $b); }
    | expr[a] IMPLIES expr[b]         { $$ = BINARY(AST_IMPLIES, @$, $a, $b); }
    | reduction '[' entries condition_opt ']' expr[body] %prec REDUCTION
        { $$ = MAKE(REDUCE, @$, NULL, $reduction, build_braced(parse, $entries, SPAN(@2, @5)), $condition_opt, $body); }
    ;

reduction: SUM { $$ = AST_SUM; } | MAX { $$ = AST_MAX; } | MIN { $$ = AST_MIN; } | MEAN { $$ = AST_MEAN; } | LSE { $$ = AST_LSE; } ;
condition_opt: %empty                 { $$ = NULL; } | '|' expr { $$ = $expr; } ;
count_opt: %empty                     { $$ = NULL; } | ';' expr { $$ = $expr; } ;

primary: NUMBER                       { $$ = build_number(parse, &$NUMBER); }
    | QUANTITY                        { $$ = build_quantity(parse, &$QUANTITY); }
    | STRING                          { $$ = LEAF(STRING, @$, &$STRING, 0); }
    | TRUE                            { $$ = LEAF(BOOL, @$, NULL, 1); }
    | FALSE                           { $$ = LEAF(BOOL, @$, NULL, 0); }
    | name %prec ASSERTION            { $$ = LEAF(NAME, @$, &$name, 0); }
    | field
    | name '(' args_opt ')'           { $$ = MAKE(CALL, @$, &$name, 0, build_braced(parse, $args_opt, SPAN(@2, @4))); }
    | MAX '(' args_opt ')'            { $$ = MAKE(CALL, @$, &$MAX, 0, build_braced(parse, $args_opt, SPAN(@2, @4))); }
    | MIN '(' args_opt ')'            { $$ = MAKE(CALL, @$, &$MIN, 0, build_braced(parse, $args_opt, SPAN(@2, @4))); }
    | name[callee] AS name[label] '(' args_opt ')'
        { $$ = MAKE(AS, @$, &$label, 0, MAKE(CALL, @$, &$callee, 0, build_braced(parse, $args_opt, SPAN(@4, @6)))); }
    | name '[' entries_opt ']' %prec ASSERTION
        { $$ = MAKE(SUBSCRIPT, @$, &$name, 0, build_braced(parse, $entries_opt, SPAN(@2, @4))); }
    | name '[' entries_opt ']' '(' expr ')'
        { $$ = MAKE(OVER, @$, &$name, 0, build_braced(parse, $entries_opt, SPAN(@2, @4)), NULL, NULL, $expr); }
    | name '[' entries_opt '|' expr[condition] count_opt ']' '(' expr[body] ')'
        { $$ = MAKE(OVER, @$, &$name, 0, build_braced(parse, $entries_opt, SPAN(@2, @7)), $condition, $count_opt, $body); }
    | name '[' entries_opt ';' expr[count] ']' '(' expr[body] ')'
        { $$ = MAKE(OVER, @$, &$name, 0, build_braced(parse, $entries_opt, SPAN(@2, @6)), NULL, $count, $body); }
    | NEXT name                       { $$ = MAKE(NEXT_VALUE, @$, NULL, 0, LEAF(NAME, @name, &$name, 0)); }
    | NEXT name bracketed
        { $$ = MAKE(NEXT_VALUE, @$, NULL, 0, MAKE(SUBSCRIPT, SPAN(@2, @3), &$name, 0, $bracketed)); }
    | open expr ')'                   { $$ = $expr; $$->layout |= NODE_PARENS; }
    | open entry ',' entries[rest] ')' { $$ = MAKE(TUPLE, @$, NULL, 0, build_prepend(parse, $entry, $rest)); }
    | if_value
    ;
open: '(' | LINE_PAREN ;
field: name[object] '.' name[part]    { $$ = MAKE(FIELD, @$, &$part, 0, LEAF(NAME, @object, &$object, 0)); }
    | field[object] '.' name          { $$ = MAKE(FIELD, @$, &$name, 0, $object); }
    ;
if_value: IF expr[c] arm[a] ELSE arm[b] { $$ = MAKE(IF_VALUE, @$, NULL, 0, $c, $a, $b); }
    | IF expr[c] arm[a] ELSE if_value[b] { $$ = MAKE(IF_VALUE, @$, NULL, 0, $c, $a, $b); }
    ;
arm: '{' expr '}'                     { $$ = $expr; }
    | '{' error SYNC { yyerrok; } '}'              { $$ = build_error(parse, @$); }
    ;

args_opt: %empty                      { $$ = EMPTY(@$); } | args ;
args: arg                             { $$ = PUSH(EMPTY(@$), $arg); }
    | args[list] ',' arg              { $$ = PUSH($list, $arg); }
    ;
arg: expr
    | name '=' expr                   { $$ = MAKE(ARG, @$, &$name, 0, $expr); }
    | domain
    ;
exprs_opt: %empty                     { $$ = EMPTY(@$); } | exprs ;
exprs: expr                           { $$ = PUSH(EMPTY(@$), $expr); }
    | exprs[list] ',' expr            { $$ = PUSH($list, $expr); }
    ;

%%

static bool shifts_error(yy_state_t state) {
    const int at = yypact[state] + YYSYMBOL_YYerror;
    return !yypact_value_is_default(yypact[state]) && at >= 0 && at <= YYLAST && yycheck[at] == YYSYMBOL_YYerror && yytable[at] > 0;
}

/* `}` less `{` on the stack above the innermost state that takes an error, which is where Bison goes back to; the first state takes one. */
static int braces_to_pop(const yypcontext_t *context) {
    int braces = 0;
    for (const yy_state_t *state = context->yyssp; !shifts_error(*state); state--) {
        const yysymbol_kind_t symbol = YY_ACCESSING_SYMBOL(*state);
        braces += (symbol == YYTRANSLATE('}')) - (symbol == YYTRANSLATE('{'));
    }
    return braces;
}

/* What was found and what could stand there, by the names of the tokens; parse.c makes the message. */
static int yyreport_syntax_error(const yypcontext_t *context, ParseContext *parse) {
    yysymbol_kind_t expected[YYNTOKENS];
    const char *names[YYNTOKENS];
    int count = yypcontext_expected_tokens(context, expected, YYNTOKENS);
    if (count < 0) return count;
    for (int i = 0; i < count; i++) names[i] = yysymbol_name(expected[i]);
    parse_syntax_error(parse, names, count, braces_to_pop(context));
    return 0;
}
