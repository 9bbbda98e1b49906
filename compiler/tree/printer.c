/* Layout: indentation, breaking of long lines, comments, empty lines, alignment. What a line says is print_flat.c. */
#include "tree/printer.h"

#include "tree/print_internal.h"

#include <string.h>

typedef struct Printer {
    Str *out;
    int indent;
} Printer;

/* ---- lines with break opportunities ---- */

static void start_line(Printer *printer) { str_repeat(printer->out, ' ', printer->indent); }

static int visible_length(const char *text)
{
    int length = 0;
    for (; *text; text++) {
        if (*text == BREAK_MARK)
            text++;
        else
            length++;
    }
    return length;
}

/* The best break within `room` columns: the shallowest, of those the last; where none fits, the first there is. NULL if there is none. */
static const char *find_break(const char *text, int room)
{
    const char *best = NULL;
    int column = 0;
    for (const char *c = text; *c; c++) {
        if (*c != BREAK_MARK) {
            column++;
            continue;
        }
        if (column > room)
            return best ? best : c;
        if (column > 0 && (!best || c[1] <= best[1]))
            best = c;
        c++;
    }
    return best;
}

static void emit_piece(Printer *printer, const char *begin, const char *end)
{
    Str *out = printer->out;
    for (const char *c = begin; c < end; c++) {
        if (*c == BREAK_MARK)
            c++;
        else
            str_push(out, *c);
    }
    while (out->length > 0 && out->text[out->length - 1] == ' ')
        out->text[--out->length] = '\0';
}

/* Writes flat text from the current column on, broken where it is too long; `reserved` columns follow it on its last line. */
static void emit_flat(Printer *printer, const char *text, int column, int continuation, int reserved)
{
    while (column + visible_length(text) + reserved > PRINT_WIDTH) {
        const char *at = find_break(text, PRINT_WIDTH - column);
        if (!at)
            break;
        emit_piece(printer, text, at);
        str_push(printer->out, '\n');
        column = continuation;
        str_repeat(printer->out, ' ', column);
        text = at + 2;
    }
    emit_piece(printer, text, text + strlen(text));
}

/* ---- what fits on one line ---- */

static bool list_is_flat(const Node *list);

static bool node_is_flat(const Node *node)
{
    int slot = body_slot(node);
    if (slot >= 0 && !list_is_flat(node->kids[slot]))
        return false;
    if (node->kind == NODE_IF && node->kids[IF_ELSE]) {
        const Node *other = node->kids[IF_ELSE];
        bool chain = other->count == 1 && other->kids[0]->kind == NODE_IF && !other->tail && !other->trail && !other->kids[0]->doc;
        return chain ? !other->kids[0]->trail && node_is_flat(other->kids[0]) : list_is_flat(other);
    }
    for (int i = 0; i < node->count; i++) { /* comments in lists of attributes */
        const Node *list = node->kids[i];
        if (i == slot || !list || list->kind != NODE_LIST)
            continue;
        if (list->tail || list->trail)
            return false;
        for (int j = 0; j < list->count; j++)
            if (list->kids[j]->doc || list->kids[j]->trail)
                return false;
    }
    return true;
}

static bool list_is_flat(const Node *list)
{
    if (list->tail || list->trail || (list->count > 0 && !(list->layout & NODE_ONE_LINE)))
        return false;
    for (int i = 0; i < list->count; i++) {
        const Node *item = list->kids[i];
        if (item->kind == NODE_LIST ? !list_is_flat(item) : item->doc || item->trail || !node_is_flat(item))
            return false;
    }
    return true;
}

/* On one line a `(` or `-` would continue what stands before it, and a lone name could be the unit of a number: such assertions need lines of their own. */
static bool assertions_mix(const Node *node)
{
    bool mix = false;
    for (int i = 0; node->kind == NODE_CHECK && i < node->kids[CHECK_BODY]->count && !mix; i++) {
        Str text = {0};
        Flat flat = {&text, 0};
        const Node *item = node->kids[CHECK_BODY]->kids[i];
        flat_node(&flat, item);
        mix = *str_text(&text) == '-' || (i > 0 && (*str_text(&text) == '(' || item->kind == NODE_NAME));
        str_free(&text);
    }
    return mix;
}

/* ---- comments ---- */

static void emit_comment_lines(Printer *printer, const char *lines)
{
    while (lines) {
        const char *end = strchr(lines, '\n');
        size_t length = end ? (size_t)(end - lines) : strlen(lines);
        if (length > 0)
            start_line(printer);
        str_append_n(printer->out, lines, length);
        str_push(printer->out, '\n');
        lines = end ? end + 1 : NULL;
    }
}

static void emit_trail(Printer *printer, const char *comment)
{
    if (comment)
        str_printf(printer->out, "  %s", comment);
    str_push(printer->out, '\n');
}

/* ---- heads: the text before a body's brace ---- */

static bool params_have_comments(const Node *list)
{
    bool some = list->tail || list->trail;
    for (int i = 0; i < list->count; i++)
        some = some || list->kids[i]->doc || list->kids[i]->trail;
    return some;
}

/* One parameter per line, with its comments. */
static void emit_param_lines(Printer *printer, const Node *list, bool last_list)
{
    emit_comment_lines(printer, list->trail);
    for (int i = 0; i < list->count; i++) {
        const Node *param = list->kids[i];
        Str text = {0};
        Flat flat = {&text, 0};
        emit_comment_lines(printer, param->doc);
        start_line(printer);
        flat_node(&flat, param);
        if (i + 1 < list->count)
            str_push(&text, ',');
        else if (!last_list)
            str_push(&text, ';');
        emit_flat(printer, str_text(&text), printer->indent, printer->indent + PRINT_INDENT, 0);
        emit_trail(printer, param->trail);
        str_free(&text);
    }
    emit_comment_lines(printer, list->tail);
}

/* A head whose parameters carry comments: `layer f(`, the parameters, `) -> …`. Written flat, the list is what stands between the first `(` and its partner. */
static void emit_tall_head(Printer *printer, const Node *node, const char *text)
{
    const char *open = strchr(text, '('), *close = open;
    int depth = 0;
    for (; *close; close++) {
        if (*close == BREAK_MARK)
            close++;
        else if (*close == '(')
            depth++;
        else if (*close == ')' && --depth == 0)
            break;
    }
    emit_piece(printer, text, open + 1);
    str_push(printer->out, '\n');
    printer->indent += 2 * PRINT_INDENT;
    if (node->kind == NODE_DEFINITION) {
        const Node *inputs = node->kids[DEFINITION_INPUTS], *params = node->kids[DEFINITION_PARAMS];
        if (inputs->count == 0 && params->count > 0) {
            start_line(printer);
            str_append(printer->out, ";\n");
        }
        emit_param_lines(printer, inputs, params->count == 0);
        emit_param_lines(printer, params, true);
    } else {
        emit_param_lines(printer, node->kids[node->kind == NODE_BLOCK ? (int)BLOCK_ATTRIBUTES : (int)MODEL_ATTRIBUTES], true);
    }
    printer->indent -= 2 * PRINT_INDENT;
    start_line(printer);
    emit_flat(printer, close, printer->indent, printer->indent + 2 * PRINT_INDENT, 2);
}

static bool head_is_tall(const Node *node)
{
    if (node->kind == NODE_BLOCK)
        return params_have_comments(node->kids[BLOCK_ATTRIBUTES]);
    if (node->kind == NODE_MODEL)
        return params_have_comments(node->kids[MODEL_ATTRIBUTES]);
    return node->kind == NODE_DEFINITION && (params_have_comments(node->kids[DEFINITION_INPUTS]) || params_have_comments(node->kids[DEFINITION_PARAMS]));
}

static void emit_head(Printer *printer, const Node *node, int column)
{
    Str text = {0};
    Flat flat = {&text, 0};
    flat_head(&flat, node);
    if (head_is_tall(node))
        emit_tall_head(printer, node, str_text(&text));
    else
        emit_flat(printer, str_text(&text), column, printer->indent + 2 * PRINT_INDENT, 2);
    str_free(&text);
}

/* ---- bodies ---- */

static void emit_node(Printer *printer, const Node *node, int pad);

/* The run of settings that begins at item `i`: where it ends, and how wide names are in it. */
static int run_end(const Node *list, int i, int *width)
{
    int end = i;
    *width = 0;
    while (end < list->count && flat_name_width(list->kids[end]) && (end == i || (!list->kids[end]->doc && !(list->kids[end]->layout & NODE_BLANK_BEFORE)))) {
        if (flat_name_width(list->kids[end]) > *width)
            *width = flat_name_width(list->kids[end]);
        end++;
    }
    return end;
}

static void emit_items(Printer *printer, const Node *list)
{
    int end = 0, width = 0;
    for (int i = 0; i < list->count; i++) {
        const Node *item = list->kids[i];
        if (i > 0 && (item->layout & NODE_BLANK_BEFORE))
            str_push(printer->out, '\n');
        if (i >= end)
            end = run_end(list, i, &width);
        emit_node(printer, item, i < end ? width : 0);
    }
    if (list->tail && list->count > 0 && (list->layout & NODE_BLANK_BEFORE))
        str_push(printer->out, '\n');
    emit_comment_lines(printer, list->tail);
}

/* " {", the items, "}" without newline after it. */
static void emit_body(Printer *printer, const Node *list)
{
    if (list->count == 0 && !list->tail && !list->trail) {
        str_append(printer->out, " {}");
        return;
    }
    str_append(printer->out, " {");
    emit_trail(printer, list->trail);
    printer->indent += PRINT_INDENT;
    emit_items(printer, list);
    printer->indent -= PRINT_INDENT;
    start_line(printer);
    str_push(printer->out, '}');
}

static void emit_branches(Printer *printer, const Node *branches)
{
    str_append(printer->out, " {");
    for (int i = 0; i < branches->count; i++) {
        const Node *branch = branches->kids[i];
        if (i > 0) {
            start_line(printer);
            str_push(printer->out, '|');
        }
        emit_trail(printer, branch->trail);
        printer->indent += PRINT_INDENT;
        emit_items(printer, branch);
        printer->indent -= PRINT_INDENT;
    }
    start_line(printer);
    str_push(printer->out, '}');
}

/* ---- nodes ---- */

/* The node flat, if it may stand on one line and fits; with `out` NULL only whether. */
static bool emit_if_flat(Printer *printer, const Node *node, int column)
{
    if (!node_is_flat(node) || assertions_mix(node))
        return false;
    Str text = {0};
    Flat flat = {&text, 0};
    flat_node(&flat, node);
    bool fits = column + visible_length(str_text(&text)) <= PRINT_WIDTH;
    if (fits && printer->out)
        emit_piece(printer, str_text(&text), str_text(&text) + text.length);
    str_free(&text);
    return fits;
}

/* One arm of an if: on one line if it was and fits, else over several. Returns whether it took several. */
static bool emit_arm(Printer *printer, const Node *list, int column)
{
    Str text = {0};
    bool fits = list_is_flat(list);
    if (fits) {
        Flat flat = {&text, 0};
        str_append(&text, " { ");
        for (int i = 0; i < list->count; i++) {
            if (i > 0)
                str_append(&text, "  ");
            flat_node(&flat, list->kids[i]);
        }
        str_append(&text, list->count > 0 ? " }" : "}");
        fits = column + visible_length(str_text(&text)) <= PRINT_WIDTH;
    }
    if (fits && list->count > 0)
        emit_piece(printer, str_text(&text), str_text(&text) + text.length);
    else
        emit_body(printer, list);
    str_free(&text);
    return !fits && list->count > 0;
}

static int current_column(const Printer *printer)
{
    size_t begin = printer->out->length;
    while (begin > 0 && printer->out->text[begin - 1] != '\n')
        begin--;
    return (int)(printer->out->length - begin);
}

static void emit_if(Printer *printer, const Node *node)
{
    for (;;) {
        emit_head(printer, node, current_column(printer));
        bool tall = emit_arm(printer, node->kids[IF_THEN], current_column(printer));
        const Node *other = node->kids[IF_ELSE];
        if (!other)
            return;
        if (tall) {
            str_push(printer->out, ' ');
        } else {
            str_push(printer->out, '\n');
            start_line(printer);
        }
        str_append(printer->out, "else");
        bool chain = other->count == 1 && other->kids[0]->kind == NODE_IF && !other->kids[0]->doc && !other->kids[0]->trail && !other->tail && !other->trail;
        if (!chain) {
            emit_arm(printer, other, current_column(printer));
            return;
        }
        str_push(printer->out, ' ');
        node = other->kids[0];
    }
}

/* A node without body, broken where it must be. */
static void emit_breakable(Printer *printer, const Node *node, int pad)
{
    Str text = {0};
    Flat flat = {&text, 0};
    if (pad)
        flat_padded(&flat, node, pad);
    else if (node_kind_classes(node->kind) & CLASS_EXPR)
        flat_assertion(&flat, node);
    else
        flat_node(&flat, node);
    emit_flat(printer, str_text(&text), printer->indent, printer->indent + PRINT_INDENT, 0);
    str_free(&text);
}

/* A definition by value whose parameters carry comments. */
static void emit_tall_value(Printer *printer, const Node *node)
{
    Str text = {0};
    Flat flat = {&text, 1};
    emit_head(printer, node, printer->indent);
    str_append(&text, " = ");
    flat_node(&flat, node->kids[DEFINITION_VALUE]);
    emit_flat(printer, str_text(&text), current_column(printer), printer->indent + PRINT_INDENT, 0);
    str_free(&text);
}

static void emit_text(Printer *printer, const Node *node, int pad)
{
    int slot = body_slot(node);
    if (slot < 0) {
        if (node->kind == NODE_DEFINITION && head_is_tall(node))
            emit_tall_value(printer, node);
        else
            emit_breakable(printer, node, pad);
        return;
    }
    if (emit_if_flat(printer, node, printer->indent))
        return;
    if (node->kind == NODE_IF) {
        emit_if(printer, node);
        return;
    }
    emit_head(printer, node, printer->indent);
    if (node->kind == NODE_PARALLEL)
        emit_branches(printer, node->kids[slot]);
    else
        emit_body(printer, node->kids[slot]);
    Str text = {0};
    Flat flat = {&text, 0};
    flat_tail(&flat, node);
    emit_flat(printer, str_text(&text), printer->indent + 1, printer->indent + PRINT_INDENT, 0);
    str_free(&text);
}

static void emit_node(Printer *printer, const Node *node, int pad)
{
    emit_comment_lines(printer, node->doc);
    if (node->doc && (node->layout & NODE_BLANK_AFTER_DOC))
        str_push(printer->out, '\n');
    start_line(printer);
    emit_text(printer, node, pad);
    emit_trail(printer, node->trail);
}

/* ---- files ---- */

/* Declarations with a body over several lines stand apart. */
static bool stands_apart(const Node *item)
{
    Printer nowhere = {NULL, 0};
    return body_slot(item) >= 0 && !emit_if_flat(&nowhere, item, 0);
}

static void emit_file(Printer *printer, const Node *file)
{
    const Node *items = file->kids[FILE_ITEMS];
    emit_comment_lines(printer, file->doc);
    if (file->doc && (items->count > 0 || items->tail))
        str_push(printer->out, '\n');
    emit_comment_lines(printer, items->trail);
    for (int i = 0; i < items->count; i++) {
        const Node *item = items->kids[i];
        bool apart = i > 0 && ((item->layout & NODE_BLANK_BEFORE) || stands_apart(item) || stands_apart(items->kids[i - 1]));
        if (apart)
            str_push(printer->out, '\n');
        emit_node(printer, item, 0);
    }
    if (items->tail && items->count > 0 && (items->layout & NODE_BLANK_BEFORE))
        str_push(printer->out, '\n');
    emit_comment_lines(printer, items->tail);
}

void ast_print(const Node *node, Str *out)
{
    Printer printer = {out, 0};
    str_append(out, "");
    if (node->kind == NODE_FILE)
        emit_file(&printer, node);
    else
        emit_text(&printer, node, 0);
}

void ast_print_flat(const Node *node, Str *out)
{
    Str text = {0};
    Flat flat = {&text, 0};
    Printer printer = {out, 0};
    flat_node(&flat, node);
    emit_piece(&printer, str_text(&text), str_text(&text) + text.length);
    str_free(&text);
}
