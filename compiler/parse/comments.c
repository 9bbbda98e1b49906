/* Comments find their nodes: a comment on its own line goes before the line-like node that follows it, one after text to the node that ends on its line.
   What stands inside an expression goes before the whole statement. Nothing is lost. */
#include "parse/context.h"

#include <string.h>

typedef struct Attach {
    ParseContext *parse;
    int next;          /* the first comment not yet placed */
    const char **open; /* the text that grows: complete only when another one is begun */
    Str text;
} Attach;

/* Lists of things that stand on lines of their own, as opposed to parts of an expression. */
static bool is_line_list(NodeKind kind, int slot)
{
    int classes = node_slot_classes(kind, slot);
    SlotMode mode = node_slot_mode(kind, slot);
    if (mode != SLOT_MANY && mode != SLOT_MANY_OPTIONAL)
        return false;
    if (classes & CLASS_ARGUMENT)
        return false;
    return (classes & (CLASS_ITEM | CLASS_LINE | CLASS_SETTING | CLASS_STATEMENT | CLASS_SPACE | CLASS_DOMAIN | CLASS_ON | CLASS_ATTRIBUTE | CLASS_INPUT | CLASS_LIST)) != 0;
}

static const Comment *peek(const Attach *attach) { return attach->next < attach->parse->comments.count ? &attach->parse->comments.items[attach->next] : NULL; }

/* An empty line in the blanks before this offset. */
static bool blank_line_before(const Attach *attach, uint32_t offset)
{
    int newlines = 0;
    while (offset > 0 && strchr(" \t\r\n", attach->parse->text[offset - 1]))
        newlines += attach->parse->text[--offset] == '\n';
    return newlines > 1;
}

static bool same_line(const Attach *attach, uint32_t from, uint32_t to) { return from <= to && !memchr(attach->parse->text + from, '\n', to - from); }

static void close_text(Attach *attach)
{
    if (attach->open)
        *attach->open = arena_strndup(attach->parse->arena, str_text(&attach->text), attach->text.length);
    attach->open = NULL;
}

/* Adds the next comment to a text of lines; an empty line between two comments is kept. */
static void take(Attach *attach, const char **lines)
{
    const Comment *comment = peek(attach);
    if (attach->open != lines) {
        close_text(attach);
        attach->text.length = 0;
        str_append(&attach->text, *lines ? *lines : "");
    }
    if (*lines) {
        str_push(&attach->text, '\n');
        if (blank_line_before(attach, comment->begin) && comment->own_line)
            str_push(&attach->text, '\n');
    }
    str_append_n(&attach->text, attach->parse->text + comment->begin, comment->end - comment->begin);
    attach->open = lines;
    *lines = ""; /* there is one; what it says is written when it is complete */
    attach->next++;
}

static void attach_list(Attach *attach, Node *list);

/* Comments inside a line-like node: into the lists it holds, what is left before it. */
static void attach_inside(Attach *attach, Node *node)
{
    for (int slot = 0; node->kind != NODE_LIST && slot < node->count; slot++) {
        Node *list = node->kids[slot];
        if (!list || list->kind != NODE_LIST || !is_line_list(node->kind, slot))
            continue;
        while (peek(attach) && peek(attach)->begin < list->span.begin)
            take(attach, &node->doc);
        if (node->kind == NODE_IF && slot == IF_ELSE && list->layout == 0 && list->count == 1 && list->kids[0]->span.begin == list->span.begin)
            attach_inside(attach, list->kids[0]); /* `else if` */
        else
            attach_list(attach, list);
    }
    while (peek(attach) && peek(attach)->begin < node->span.end)
        take(attach, &node->doc);
}

static void attach_before(Attach *attach, Node *list, int index)
{
    Node *item = list->kids[index];
    while (peek(attach) && peek(attach)->begin < item->span.begin) {
        const Comment *comment = peek(attach);
        Node *former = index > 0 ? list->kids[index - 1] : NULL;
        if (!comment->own_line && former && !former->trail && same_line(attach, former->span.end, comment->begin)) {
            take(attach, &former->trail);
        } else if (!comment->own_line && index == 0 && !list->trail && !item->doc) {
            take(attach, &list->trail);
        } else {
            if (!item->doc && blank_line_before(attach, comment->begin))
                item->layout |= NODE_BLANK_BEFORE;
            take(attach, &item->doc);
        }
    }
    if (blank_line_before(attach, item->span.begin))
        item->layout |= item->doc ? NODE_BLANK_AFTER_DOC : NODE_BLANK_BEFORE;
}

static void attach_list(Attach *attach, Node *list)
{
    for (int i = 0; i < list->count; i++) {
        attach_before(attach, list, i);
        if (list->kids[i]->kind == NODE_LIST)
            attach_list(attach, list->kids[i]);
        else
            attach_inside(attach, list->kids[i]);
    }
    Node *last = list->count > 0 ? list->kids[list->count - 1] : NULL;
    while (peek(attach) && peek(attach)->begin < list->span.end) {
        const Comment *comment = peek(attach);
        if (!comment->own_line && last && !last->trail && !list->tail && last->kind != NODE_LIST && same_line(attach, last->span.end, comment->begin))
            take(attach, &last->trail);
        else if (!comment->own_line && !last && !list->trail && !list->tail)
            take(attach, &list->trail);
        else {
            if (!list->tail && blank_line_before(attach, comment->begin))
                list->layout |= NODE_BLANK_BEFORE;
            take(attach, &list->tail);
        }
    }
}

void comments_attach(ParseContext *parse, Node *file)
{
    Attach attach = {.parse = parse};
    while (peek(&attach) && strncmp(parse->text + peek(&attach)->begin, "//!", 3) == 0)
        take(&attach, &file->doc);
    attach_list(&attach, file->kids[FILE_ITEMS]);
    close_text(&attach);
    str_free(&attach.text);
}
