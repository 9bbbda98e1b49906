/* What the grammar's actions call: tree building, and the few rules of form that are friendlier as a message than as grammar. */
#include "parse/context.h"

#include "support/bug.h"

#include <string.h>

static Node *too_deep(ParseContext *parse, Span span)
{
    if (!parse->too_deep)
        diag_add(parse->diags, DIAG_E0106, span, "this is nested more than %d deep", AST_HEIGHT_MAX);
    parse->too_deep = true;
    return build_error(parse, span);
}

Node *build(ParseContext *parse, NodeKind kind, Span span, const Token *name, int op, ...)
{
    Node *node = node_new(parse->arena, kind, span);
    node->op = op;
    if (name && name->name) {
        node->name = name->name;
        node->name_span = name->span;
    }
    va_list args;
    va_start(args, op);
    for (int i = 0; i < node->count; i++)
        node->kids[i] = va_arg(args, Node *);
    va_end(args);
    node_update_height(node);
    return node->height > AST_HEIGHT_MAX ? too_deep(parse, span) : node;
}

Node *build_list(ParseContext *parse, Span span) { return list_new(parse->arena, span); }

Node *build_push(ParseContext *parse, Node *list, Node *item)
{
    list_push(parse->arena, list, item);
    if (item && item->span.end > list->span.end)
        list->span.end = item->span.end;
    return list;
}

Node *build_prepend(ParseContext *parse, Node *item, Node *list)
{
    list_insert(parse->arena, list, 0, item);
    list->span.begin = item->span.begin;
    return list;
}

Node *build_error(ParseContext *parse, Span span) { return node_new(parse->arena, NODE_ERROR, span); }

Node *build_number(ParseContext *parse, const Token *token)
{
    Node *node = node_new(parse->arena, NODE_NUMBER, token->span);
    node->value = token->value;
    node->real = token->real;
    node->text = token->text;
    return node;
}

Node *build_quantity(ParseContext *parse, const Token *token) { return build(parse, NODE_QUANTITY, token->span, token, 0, build_number(parse, token)); }

Node *build_braced(ParseContext *parse, Node *list, Span span)
{
    list->span = span;
    bool newline = memchr(parse->text + span.begin, '\n', span.end - span.begin) != NULL;
    list->layout = newline ? 0 : NODE_ONE_LINE;
    return list;
}

Node *build_target(ParseContext *parse, Node *expr)
{
    if (expr->kind != NODE_NAME && expr->kind != NODE_SUBSCRIPT) {
        if (expr->kind != NODE_ERROR)
            diag_add(parse->diags, DIAG_E0113, expr->span, "only a name, with or without subscripts, can stand left of `=`");
        return build_error(parse, expr->span);
    }
    Node *target = node_make(parse->arena, NODE_TARGET, expr->span, expr->name, 0, expr->kind == NODE_SUBSCRIPT ? expr->kids[SUBSCRIPT_ENTRIES] : NULL);
    target->name_span = expr->name_span;
    return target;
}

Node *build_param(ParseContext *parse, NodeKind kind, Span span, int op, const Node *target, Node *init)
{
    if (target->kind == NODE_ERROR)
        return build_error(parse, span);
    Token name = {.name = target->name, .span = target->name_span};
    return build(parse, kind, span, &name, op, target->kids[TARGET_ENTRIES], init);
}

/* The spans of branches meet at the bars, so that comments between them have a place. */
Node *build_branch(ParseContext *parse, Node *branches, Node *branch, Span before)
{
    if (branches->count > 0)
        branches->kids[branches->count - 1]->span.end = before.begin;
    branch->span.begin = before.end;
    return build_push(parse, branches, branch);
}

Node *build_labelled(ParseContext *parse, const Token *label, Node *line)
{
    if (line->kind == NODE_ERROR)
        return line;
    if (line->kind != NODE_LINE && line->kind != NODE_PARALLEL && line->kind != NODE_AT) {
        diag_add(parse->diags, DIAG_E0109, label->span, "a %s takes no label", node_kind_text(line->kind));
        return line;
    }
    line->name = label->name;
    line->name_span = label->span;
    line->span.begin = label->span.begin;
    return line;
}

Node *build_params(ParseContext *parse, Node *inputs, Span inputs_span, Node *rest, Span rest_span)
{
    inputs->span = inputs_span;
    rest->span = rest_span;
    for (int i = 0; i < inputs->count; i++) {
        Node *param = inputs->kids[i];
        if (param->kind != NODE_ATTRIBUTE)
            continue;
        Diagnostic *diag = diag_add(parse->diags, DIAG_E0109, param->span, "the attribute `%s` stands among the inputs", param->name);
        diag_fix(parse->diags, diag, "put a `;` between inputs and attributes: (x[b, l, d]; %s: …)", param->name);
        inputs->kids[i] = build_error(parse, param->span);
    }
    return build_push(parse, build_push(parse, build_list(parse, inputs_span), inputs), rest);
}

Node *build_attributes(ParseContext *parse, Node *params, Span span)
{
    params->span = span;
    for (int i = 0; i < params->count; i++) {
        Node *param = params->kids[i];
        if (param->kind != NODE_INPUT)
            continue;
        Diagnostic *diag = diag_add(parse->diags, DIAG_E0109, param->span, "`%s` is an attribute of a block or model and lacks its type", param->name);
        diag_fix(parse->diags, diag, "write `%s: width`, or another type: int, real, bool, count, …", param->name);
        params->kids[i] = build_error(parse, param->span);
    }
    return params;
}

/* ---- types ---- */

static int type_or_none(ParseContext *parse, const Token *alternative)
{
    if (!alternative->name)
        return 0;
    if (strcmp(alternative->name, "none") != 0)
        diag_add(parse->diags, DIAG_E0112, alternative->span, "the alternative to a type can only be `none`, not `%s`", alternative->name);
    return AST_TYPE_OR_NONE;
}

Node *build_type(ParseContext *parse, Span span, const Token *name, const Token *alternative)
{
    int or_none = type_or_none(parse, alternative);
    for (int op = 0; op < AST_TYPE_CHOICE; op++)
        if (strcmp(name->name, ast_type_text(op)) == 0)
            return build(parse, NODE_TYPE, span, NULL, op | or_none, NULL);
    Diagnostic *diag = diag_add(parse->diags, DIAG_E0112, name->span, "`%s` is not a type of attributes", name->name);
    diag_note(parse->diags, diag, "the types are int, real, bool, count, width, fn, router, norm, layer, wiring and choices such as { a, b }");
    return build_error(parse, span);
}

Node *build_choice_type(ParseContext *parse, Span span, Node *choices, const Token *alternative)
{
    return build(parse, NODE_TYPE, span, NULL, AST_TYPE_CHOICE | type_or_none(parse, alternative), choices);
}

Token build_dotted(ParseContext *parse, const Token *left, const Token *right)
{
    enum { DOTTED_BYTES_MAX = 4000 }; /* as long as a path may be */
    Token both = *left;
    both.span.end = right->span.end;
    if (strlen(left->name) > DOTTED_BYTES_MAX)
        return both;
    if (strlen(left->name) + strlen(right->name) >= DOTTED_BYTES_MAX)
        diag_add(parse->diags, DIAG_E0207, left->span, "the name of a module has at most %d bytes", DOTTED_BYTES_MAX);
    const char *text = arena_printf(parse->arena, "%s.%s", left->name, right->name);
    both.name = intern(parse->interner, text);
    return both;
}

/* ---- form ---- */

Node *build_lines(ParseContext *parse, Node *lines, Span span, const char *what)
{
    for (int i = 0; i < lines->count; i++) {
        Node *line = lines->kids[i];
        if (line->kind != NODE_SETTING)
            continue;
        Diagnostic *diag = diag_add(parse->diags, DIAG_E0109, line->span, "`%s = …` is a setting of a model and cannot stand in a %s", line->name, what);
        if (strcmp(what, "block") == 0)
            diag_note(parse->diags, diag, "a block's parameters are attributes: block b(%s: width = …) { … }", line->name);
        lines->kids[i] = build_error(parse, line->span);
    }
    return build_braced(parse, lines, span);
}

Node *build_once(ParseContext *parse, Node *former, Node *value, const char *what)
{
    if (!former)
        return value;
    Diagnostic *diag = diag_add(parse->diags, DIAG_E0108, value->span, "%s is given twice", what);
    diag_label(parse->diags, diag, former->span, "first here");
    return former;
}
