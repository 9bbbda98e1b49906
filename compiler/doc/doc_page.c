/* A page of the reference per file, and the index of all. */
#include "doc/doc.h"

#include "tree/printer.h"
#include "lower/verdict.h"

#include <ctype.h>
#include <string.h>

/* ---- what is described ---- */

static bool is_described(const Node *item)
{
    return item->kind == NODE_DEFINITION || item->kind == NODE_BLOCK || item->kind == NODE_MODEL || item->kind == NODE_SPACE || item->kind == NODE_RECIPE ||
           item->kind == NODE_SEARCH;
}

static bool is_kind(const Node *item, int op) { return item->kind == NODE_DEFINITION && item->op == op; }

/* Another form of an optimiser described already. */
static bool is_form(const DocFile *file, const Node *item) { return is_kind(item, AST_DEF_OPTIMIZER) && module_find_form(file->module, item->name, AST_DEF_OPTIMIZER, 0) != item; }

static void entry_count(const DocFile *file, DocEntry *entry)
{
    if (entry->node->kind == NODE_MODEL)
        model_count(file, entry);
    entry->subject = subject_new(file->context, file->path, entry->node, &entry->comment, NULL);
    if (!entry->subject)
        return;
    subject_count(file->arena, entry->subject, &entry->counted);
    entry->effect_known = subject_effect(entry->subject, MODE_EVAL, &entry->effect) && subject_effect(entry->subject, MODE_TRAIN, &entry->training);
    if (entry->effect_known)
        return;
    subject_free(entry->subject);
    entry->subject = NULL;
}

static const char *stem(Arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    return dot ? arena_strndup(arena, name, (size_t)(dot - name)) : name;
}

DocFile *doc_file_new(const BfmContext *context, const char *path, BfmError *error)
{
    const Target target = {.path = path};
    Module *module = context_module(context, &target, NULL, error);
    if (!module)
        return NULL;
    if (diag_errors(context->diags) > 0) {
        (void)context_rejected(error);
        return NULL;
    }
    DocFile *file = ARENA_NEW(context->arena, DocFile);
    *file = (DocFile){.context = context,
                      .path = path,
                      .module = module,
                      .arena = context->arena,
                      .name = stem(context->arena, path),
                      .module_name = doc_module_name(context, context->arena, path)};
    const Node *items = module->files[0].root->kids[FILE_ITEMS];
    file->entries = ARENA_ARRAY(context->arena, DocEntry, list_count(items) + 1);
    for (int i = 0; i < list_count(items); i++)
        if (is_described(list_at(items, i))) {
            DocEntry *entry = &file->entries[file->entry_count++];
            entry->node = list_at(items, i);
            entry->comment = doc_comment(context->arena, entry->node, doc_attributes(module, entry->node));
            entry_count(file, entry);
        }
    if (diag_errors(context->diags) == 0)
        return file;
    (void)context_rejected(error);
    doc_file_free(file);
    return NULL;
}

void doc_file_free(DocFile *file)
{
    for (int i = 0; file && i < file->entry_count; i++)
        subject_free(file->entries[i].subject);
}

/* ---- text ---- */

static void fence(const char *language, const char *text, Str *out)
{
    str_printf(out, "```%s\n%s", language, text);
    str_append(out, *text && text[strlen(text) - 1] == '\n' ? "```\n\n" : "\n```\n\n");
}

static void cell(const char *text, Str *out)
{
    for (; *text; text++)
        str_append_n(out, *text == '|' ? "\\|" : *text == '\n' ? " " : text, *text == '|' ? 2 : 1);
}

static void paragraph(const char *text, Str *out)
{
    if (text && *text)
        str_printf(out, "%s\n\n", text);
}

/* The definition as the formatter lays it out, without its comment. */
static void definition_print(const DocFile *file, const Node *node, Str *out)
{
    Str text = {0};
    Node bare = *node;
    bare.doc = NULL;
    bare.layout &= ~(NODE_BLANK_BEFORE | NODE_BLANK_AFTER_DOC);
    ast_print(&bare, &text);
    const bool whole = node->kind != NODE_DEFINITION || node->kids[DEFINITION_VALUE];
    (void)file;
    if (!whole)
        str_append(out, "<details><summary>Definition</summary>\n\n");
    fence("bfm", str_text(&text), out);
    if (!whole)
        str_append(out, "</details>\n\n");
    str_free(&text);
}

static void entry_costs(const DocFile *file, const DocEntry *entry, Str *out)
{
    if (entry->node->kind == NODE_MODEL)
        model_costs(file, entry, out);
    else if (is_kind(entry->node, AST_DEF_OPTIMIZER))
        optimizer_costs(file, entry, out);
    else if (is_kind(entry->node, AST_DEF_SCHEDULE))
        schedule_values(file, entry, out);
    else
        costs_print(file, entry, out);
}

static void entry_print(const DocFile *file, const DocEntry *entry, Str *out)
{
    const DocComment *comment = &entry->comment;
    const Node *node = entry->node;
    if (is_form(file, node))
        str_printf(out, "### `%s`, for tensors of %s\n\n", node->name, list_count(list_at(node->kids[DEFINITION_INPUTS], 0)->kids[INPUT_AXES]) == 1 ? "one axis" : "other ranks");
    else
        str_printf(out, "## `%s`\n\n*%s* · ", node->name, doc_kind(node));
    paragraph(comment->summary ? comment->summary : "Not described.", out);
    if (comment->formula)
        fence("text", comment->formula, out);
    paragraph(comment->prose, out);
    if (comment->example)
        fence("bfm", comment->example, out);
    table_inputs(file, node, out);
    if (!is_form(file, node))
        table_attributes(file, node, comment, out);
    table_declared(file, node, comment, out);
    entry_costs(file, entry, out);
    if (comment->source)
        str_printf(out, "**Source** %s\n\n", comment->source);
    definition_print(file, node, out);
}

/* ---- lists of definitions ---- */

static void effect_words(const DocEntry *entry, Str *out)
{
    const bool elementwise = is_kind(entry->node, AST_DEF_FN) || is_kind(entry->node, AST_DEF_WIRING);
    if (entry->effect_known && !elementwise)
        verdict_print_short(entry->effect, out);
    if (entry->effect_known && effect_causal(entry->effect) && !effect_causal(entry->training))
        str_append(out, "; in training: future");
}

static void parameter_words(const DocEntry *entry, Str *out)
{
    if (entry->cost)
        scaled_print((double)counts_total(entry->cost->counts), out);
    const bool told = entry->subject && !is_kind(entry->node, AST_DEF_FN) && !is_kind(entry->node, AST_DEF_WIRING);
    if (!told)
        return;
    str_push(out, '`');
    count_print(&entry->counted, COUNT_PARAMETERS, out);
    str_push(out, '`');
}

static void entry_row(const DocFile *file, const DocEntry *entry, const char *page, Str *out)
{
    if (is_form(file, entry->node))
        return;
    str_printf(out, "| [`%s`](%s#%s) | %s | ", entry->node->name, page, entry->node->name, doc_kind(entry->node));
    cell(doc_sentence(file->arena, &entry->comment), out);
    str_append(out, " | ");
    effect_words(entry, out);
    str_append(out, " | ");
    parameter_words(entry, out);
    str_append(out, " |\n");
}

static const char ROWS_HEAD[] = "| name | kind | what | reads | parameters |\n|---|---|---|---|---|\n";
static const char MADE[] = "<!-- Made by `bfmc doc` from the comments of the file: change them, not this page. -->\n\n";

void page_print(const DocFile *file, Str *out)
{
    str_printf(out, "%s# %s\n\n", MADE, file->name);
    str_append(out, doc_file_comment(file->arena, file->module->files[0].root));
    str_printf(out, "\nThe file is `%s`, used by `use %s`. How to read the entries: [README](README.md).\n\n", file->path, file->module_name);
    str_append(out, ROWS_HEAD);
    for (int i = 0; i < file->entry_count; i++)
        entry_row(file, &file->entries[i], "", out);
    str_push(out, '\n');
    for (int i = 0; i < file->entry_count; i++)
        entry_print(file, &file->entries[i], out);
    while (out->length > 1 && out->text[out->length - 1] == '\n' && out->text[out->length - 2] == '\n')
        out->text[--out->length] = '\0';
}

static const char READING[] =
    "What stands under a definition:\n\n"
    "- **Takes, gives**: inputs with their axes. `b` is the batch, `l` the length, `d` the width of the stream. Ambient inputs are bound by name; nobody writes them.\n"
    "- **Attributes**: set by name where the definition is used. A required one that is not given is taken by name from the definition that uses it, then from the model.\n"
    "- **Parameters**: shapes as declared. An axis in parentheses is one axis of several parts, stored flat: `(n, e)` of sizes 4 and 8 is an axis of 32. `~` draws, `=` is a value.\n"
    "- **Reads**: which positions the result at a position depends on, decided by the compiler. *Token-local*: only itself. *Causal*: itself and earlier ones. *Future*: later ones "
    "too, so that a language model sees what it should predict. *Other rows*: the rest of the batch. *Length*: how long the input is.\n"
    "- **Costs**: expressions in the attributes, `b`, `l` and the width. They are made from the ledger that `bfmc check` prints: instances of the definition are counted at many sizes, a "
    "polynomial is solved for exactly, and it must agree with instances that it was not made from. Where there is no polynomial, that is said and the example's number is given. "
    "Sizes of groups are taken so that slots come out whole; otherwise they are rounded up. A multiply-add is two FLOPs. *In products*: sums of products, what matrix multiplication does. "
    "*Parameters in products* are the matrices that multiply, which is how the literature counts. A ranking costs 1 + log2 k for each score, if the k best are asked for.\n"
    "- **Runs as**: the kernels of the example's line, by the words of `bfmc check --explain-schedule`. *product*: matrix product; *batched product*: many at once; *product by key*, "
    "*into keys*: one per key, its rows sorted by key; *stream*: scores made, normalised and used tile by tile, never stored; *ranking*; *recurrence*; *reduction* and "
    "*elementwise*: generated loops.\n\n"
    "Every example is a file of its own. A test checks each, runs it forward and backward, and compares these pages with what `bfmc doc` makes: after a change of a comment or definition,\n\n"
    "    bfmc doc stdlib/*.bfm -o docs/library\n\n"
    "writes them again. `bfmc doc my.bfm -o pages` does the same for a file of your own; how its comments are read is said by `bfmc doc --help`.\n\n";

void index_print(DocFile *const *files, int count, Str *out)
{
    str_printf(out, "%s# Library\n\n", MADE);
    str_append(out, READING);
    for (int f = 0; f < count; f++) {
        str_printf(out, "## [%s](%s.md)\n\n%s", files[f]->name, files[f]->name, ROWS_HEAD);
        for (int i = 0; i < files[f]->entry_count; i++)
            entry_row(files[f], &files[f]->entries[i], arena_printf(files[f]->arena, "%s.md", files[f]->name), out);
        if (f + 1 < count)
            str_push(out, '\n');
    }
}
