/* Comments taken apart for the reference pages; doc.h says how they are written. */
#include "doc/doc.h"

#include <ctype.h>
#include <string.h>

/* ---- lines ---- */

/* The lines of this comment mark, without it; others separate paragraphs. */
static const char *marked_lines(Arena *arena, const char *doc, const char *mark)
{
    Str text = {0};
    const size_t width = strlen(mark);
    while (doc && *doc) {
        const size_t length = strcspn(doc, "\n");
        if (length >= width && strncmp(doc, mark, width) == 0) {
            const size_t skip = width + (doc[width] == ' ');
            str_append_n(&text, doc + skip, length > skip ? length - skip : 0);
        } else {
            text.length = 0; /* a heading between definitions belongs to neither */
        }
        str_push(&text, '\n');
        doc += length + (doc[length] == '\n');
    }
    const char *copy = arena_strdup(arena, str_text(&text));
    str_free(&text);
    return copy;
}

static const char *line_end(const char *line) { return line + strcspn(line, "\n"); }

static bool line_blank(const char *line)
{
    while (*line == ' ' || *line == '\t')
        line++;
    return *line == '\n' || *line == '\0';
}

static const char *next_line(const char *line)
{
    const char *end = line_end(line);
    return *end ? end + 1 : end;
}

/* "- `a`, `b`: …": the names, and where the text begins. NULL: no such entry. */
static const char *entry_names(Arena *arena, const char *line, const char **names, int *count)
{
    const char *c = line;
    *count = 0;
    if (strncmp(c, "- `", 3) != 0)
        return NULL;
    for (c += 2; *c == '`' && *count < 8;) {
        const size_t length = strcspn(c + 1, "`\n");
        if (c[1 + length] != '`')
            return NULL;
        names[(*count)++] = arena_strndup(arena, c + 1, length);
        c += length + 2;
        if (strncmp(c, ", `", 3) != 0)
            break;
        c += 2;
    }
    if (*c == ':')
        c++;
    while (*c == ' ')
        c++;
    return c;
}

/* ---- parts ---- */

static bool is_attribute(const Node *attributes, const char *name)
{
    for (int i = 0; i < list_count(attributes); i++)
        if (list_at(attributes, i)->name && strcmp(list_at(attributes, i)->name, name) == 0)
            return true;
    return false;
}

static bool all_attributes(const Node *attributes, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (!is_attribute(attributes, names[i]))
            return false;
    return count > 0;
}

/* The lines from `begin` on, one after another with this between them, up to `end`. */
static const char *joined(Arena *arena, const char *begin, const char *end, char between)
{
    Str text = {0};
    for (const char *line = begin; line < end && *line; line = next_line(line)) {
        const char *from = line;
        while (from > begin && *from == ' ')
            from++;
        if (text.length)
            str_push(&text, between);
        str_append_n(&text, from, (size_t)(line_end(line) - from));
    }
    const char *copy = arena_strdup(arena, str_text(&text));
    str_free(&text);
    return copy;
}

/* Where the paragraph ends: an empty line, a fence, or in a list the next entry. */
static const char *paragraph_end(const char *begin)
{
    const char *line = next_line(begin);
    while (*line && !line_blank(line) && strncmp(line, "```", 3) != 0 && strncmp(line, "- ", 2) != 0)
        line = next_line(line);
    return line;
}

static const char *with_paragraph(Arena *arena, const char *prose, const char *text, bool entry)
{
    return prose ? arena_printf(arena, "%s%s%s", prose, entry ? "\n" : "\n\n", text) : text;
}

static const char *after_prefix(const char *line, const char *prefix)
{
    const size_t length = strlen(prefix);
    if (strncmp(line, prefix, length) != 0)
        return NULL;
    line += length;
    while (*line == ' ' || *line == '\n')
        line++;
    return line;
}

static void take_paragraph(Arena *arena, DocComment *comment, const Node *attributes, const char *begin, const char *end)
{
    const char *names[8], *text;
    int count;
    const bool entry = strncmp(begin, "- ", 2) == 0;
    if ((text = entry_names(arena, begin, names, &count)) && all_attributes(attributes, names, count)) {
        for (int i = 0; i < count && comment->name_count < DOC_NAMES_MAX; i++)
            comment->names[comment->name_count++] = (DocName){names[i], joined(arena, text, end, ' ')};
    } else if ((text = after_prefix(begin, "Formula:"))) {
        comment->formula = joined(arena, text, end, '\n');
    } else if ((text = after_prefix(begin, "Source:"))) {
        comment->source = joined(arena, text, end, ' ');
    } else if ((text = after_prefix(begin, "Parameters:")) || (text = after_prefix(begin, "Parameter:"))) {
        comment->parameters = joined(arena, text, end, ' ');
    } else if (!comment->summary) {
        comment->summary = joined(arena, begin, end, ' ');
    } else {
        comment->prose = with_paragraph(arena, comment->prose, joined(arena, begin, end, entry ? ' ' : '\n'), entry);
    }
}

/* A fence of .bfm is the example, any other prose; returns what follows it. */
static const char *take_fence(Arena *arena, DocComment *comment, const char *begin)
{
    const bool example = strncmp(begin, "```bfm", 6) == 0 && !comment->example;
    const char *body = next_line(begin), *end = body;
    while (*end && strncmp(end, "```", 3) != 0)
        end = next_line(end);
    const char *after = next_line(end);
    if (example)
        comment->example = arena_strndup(arena, body, (size_t)(end - body));
    else
        comment->prose = with_paragraph(arena, comment->prose, arena_strndup(arena, begin, (size_t)(line_end(end) - begin)), false);
    return after;
}

DocComment doc_comment(Arena *arena, const Node *item, const Node *attributes)
{
    DocComment comment = {0};
    const char *line = marked_lines(arena, item->doc, "///");
    while (*line) {
        if (line_blank(line)) {
            line = next_line(line);
        } else if (strncmp(line, "```", 3) == 0) {
            line = take_fence(arena, &comment, line);
        } else {
            const char *end = paragraph_end(line);
            take_paragraph(arena, &comment, attributes, line, end);
            line = end;
        }
    }
    return comment;
}

const char *doc_file_comment(Arena *arena, const Node *file) { return marked_lines(arena, file->doc, "//!"); }

const char *doc_attribute_text(const DocComment *comment, const char *name)
{
    for (int i = 0; i < comment->name_count; i++)
        if (strcmp(comment->names[i].name, name) == 0)
            return comment->names[i].text;
    return NULL;
}

/* A period ends a sentence where a blank and no digit or small letter follows: "et al. 2021" goes on. */
const char *doc_sentence(Arena *arena, const DocComment *comment)
{
    const char *text = comment->summary ? comment->summary : "", *c = text;
    for (; *c; c++)
        if (*c == '.' && (c[1] == '\0' || (c[1] == ' ' && !islower((unsigned char)c[2]) && !isdigit((unsigned char)c[2]))))
            break;
    return arena_strndup(arena, text, (size_t)(c - text));
}

/* ---- what an item is ---- */

const Node *doc_attributes(const Module *module, const Node *item)
{
    if (item->kind == NODE_BLOCK)
        return item->kids[BLOCK_ATTRIBUTES];
    if (item->kind == NODE_MODEL)
        return item->kids[MODEL_ATTRIBUTES];
    if (item->kind != NODE_DEFINITION)
        return NULL;
    const Node *params = item->kids[DEFINITION_PARAMS];
    if (list_count(params) == 0 && item->op == AST_DEF_OPTIMIZER)
        return module_find_form(module, item->name, AST_DEF_OPTIMIZER, 0)->kids[DEFINITION_PARAMS];
    return params;
}

const char *doc_kind(const Node *item) { return item->kind == NODE_DEFINITION ? ast_def_text(item->op) : node_kind_text(item->kind); }
