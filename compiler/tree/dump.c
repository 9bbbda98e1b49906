#include "tree/dump.h"

#include <ctype.h>
#include <string.h>

enum { DUMP_OP_SIZE = 32 };

/* The name of node->op, "" where there is nothing to say. */
static const char *op_text(const Node *node, char text[DUMP_OP_SIZE])
{
    text[0] = '\0';
    switch (node_kind_ops(node->kind)) {
    case OPS_NONE: return text;
    case OPS_DEFINITION: return ast_def_text(node->op);
    case OPS_TYPE: strcpy(text, ast_type_text(node->op)); return strcat(text, node->op & AST_TYPE_OR_NONE ? " or none" : "");
    case OPS_SHARED: return node->op ? "shared" : "";
    case OPS_PARAM: strcpy(text, node->op & AST_SHARED ? "shared " : ""); return strcat(text, node->op & AST_DRAWN ? "drawn" : "set");
    case OPS_LET: return node->op ? "let" : "";
    case OPS_REDUCTION: return ast_reduction_text(node->op);
    case OPS_OPERATOR: return ast_operator_text(node->op);
    case OPS_BOOL: return node->op ? "true" : "false";
    }
    return text;
}

static void number_text(const Node *node, Str *out)
{
    char text[64];
    if (rational_valid(node->value)) {
        rational_print(node->value, text, sizeof text);
        str_append(out, text);
    } else {
        str_printf(out, "%.17g", node->real);
    }
}

static void slot_name(NodeKind kind, int slot, Str *out)
{
    for (const char *c = node_slot_text(kind, slot); *c; c++)
        str_push(out, (char)tolower((unsigned char)*c));
}

static void dump(const Node *node, Str *out, int depth)
{
    char text[DUMP_OP_SIZE];
    const char *op = op_text(node, text);
    str_append(out, node_kind_text(node->kind));
    if (*op)
        str_printf(out, " %s", op);
    if (node->name) {
        str_push(out, ' ');
        str_json(out, node->name, strlen(node->name));
    }
    if (node->kind == NODE_NUMBER) {
        str_push(out, ' ');
        number_text(node, out);
    }
    str_push(out, '\n');
    for (int i = 0; i < node->count; i++) {
        if (!node->kids[i])
            continue;
        str_repeat(out, ' ', 2 * (depth + 1));
        if (node->kind != NODE_LIST) {
            slot_name(node->kind, i, out);
            str_append(out, ": ");
        }
        dump(node->kids[i], out, depth + 1);
    }
}

void ast_dump(const Node *node, Str *out)
{
    if (node)
        dump(node, out, 0);
}

static void dump_list_json(const Node *list, Str *out)
{
    str_push(out, '[');
    for (int i = 0; i < list->count; i++) {
        if (i > 0)
            str_append(out, ", ");
        ast_dump_json(list->kids[i], out);
    }
    str_push(out, ']');
}

void ast_dump_json(const Node *node, Str *out)
{
    char text[DUMP_OP_SIZE];
    if (!node) {
        str_append(out, "null");
        return;
    }
    if (node->kind == NODE_LIST) {
        dump_list_json(node, out);
        return;
    }
    str_printf(out, "{\"kind\": \"%s\"", node_kind_text(node->kind));
    const char *op = op_text(node, text);
    if (*op)
        str_printf(out, ", \"op\": \"%s\"", op);
    if (node->name) {
        str_append(out, ", \"name\": ");
        str_json(out, node->name, strlen(node->name));
    }
    if (node->kind == NODE_NUMBER) {
        str_append(out, ", \"value\": \"");
        number_text(node, out);
        str_push(out, '"');
    }
    str_printf(out, ", \"span\": [%u, %u]", node->span.begin, node->span.end);
    for (int i = 0; i < node->count; i++) {
        str_append(out, ", \"");
        slot_name(node->kind, i, out);
        str_append(out, "\": ");
        ast_dump_json(node->kids[i], out);
    }
    str_push(out, '}');
}
