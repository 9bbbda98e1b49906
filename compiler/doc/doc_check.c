/* What every definition's comment must have, so that its entry can be used: said here, held to by a test. */
#include "doc/doc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct Lacks {
    const DocFile *file;
    Str *out;
    int count;
} Lacks;

__attribute__((format(printf, 3, 4))) static void lacks(Lacks *all, const Node *node, const char *format, ...)
{
    char text[512];
    va_list args;
    int line = 0, column = 0;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    diag_position(diag_source(all->file->module->diags, node->name_span.file), node->name_span.begin, &line, &column);
    str_printf(all->out, "%s:%d: %s `%s`: %s\n", all->file->path, line, doc_kind(node), node->name, text);
    all->count++;
}

/* A body needs its formula said; a definition `= …` says it itself. */
static bool needs_formula(const Node *node) { return node->kind == NODE_DEFINITION && node->kids[DEFINITION_BODY]; }

static void check_entry(Lacks *all, const DocEntry *entry)
{
    const Node *node = entry->node, *attributes = doc_attributes(all->file->module, node);
    const DocComment *comment = &entry->comment;
    const bool form = node->kind == NODE_DEFINITION && node->op == AST_DEF_OPTIMIZER && module_find_form(all->file->module, node->name, AST_DEF_OPTIMIZER, 0) != node;
    if (!comment->summary)
        lacks(all, node, "there is no `///` comment");
    if (form)
        return;
    if (needs_formula(node) && !comment->formula)
        lacks(all, node, "the comment has no paragraph `Formula: …`");
    if (!comment->source)
        lacks(all, node, "the comment has no paragraph `Source: …`");
    if (node->kind == NODE_MODEL && !entry->cost)
        lacks(all, node, "it cannot be lowered; `bfmc check` says why");
    if (!comment->example && node->kind != NODE_MODEL) /* a model is its own */
        lacks(all, node, "the comment has no example between ```bfm and ```");
    for (int i = 0; i < list_count(attributes); i++)
        if (list_at(attributes, i)->kind == NODE_ATTRIBUTE && !doc_attribute_text(comment, list_at(attributes, i)->name))
            lacks(all, node, "the comment has no entry - `%s`: …", list_at(attributes, i)->name);
    const char *message = comment->example ? example_run(all->file->context, all->file->arena, all->file->path, comment->example) : NULL;
    if (message)
        lacks(all, node, "the example does not run: %s", message);
    if (comment->example && !strstr(comment->example, node->name))
        lacks(all, node, "the example does not use it");
}

int doc_lacks(const DocFile *file, Str *out)
{
    Lacks all = {.file = file, .out = out};
    for (int i = 0; i < file->entry_count; i++)
        check_entry(&all, &file->entries[i]);
    return all.count;
}
