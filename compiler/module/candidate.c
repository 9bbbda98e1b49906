/* Candidates: a module with one item replaced, made without touching the module. */
#include "module/forms.h"

#include "tree/edit.h"
#include "support/bug.h"

#include <string.h>

/* The file's tree down to the item, which is exchanged: what prints the module or lists its items sees the copy. */
static Node *root_with(Arena *arena, const Node *root, const Node *item, Node *copy)
{
    Node *file = arena_memdup(arena, root, sizeof *root), *items = arena_memdup(arena, root->kids[FILE_ITEMS], sizeof *items);
    file->kids = arena_memdup(arena, root->kids, (size_t)root->count * sizeof *root->kids);
    items->kids = arena_memdup(arena, items->kids, (size_t)items->count * sizeof *items->kids);
    for (int i = 0; i < items->count; i++)
        if (items->kids[i] == item)
            items->kids[i] = copy;
    file->kids[FILE_ITEMS] = items;
    return file;
}

Candidate candidate_new(const Module *base, const Node *item)
{
    Arena *arena = arena_new();
    Candidate candidate = {.module = arena_memdup(arena, base, sizeof *base), .item = bfm_ast_clone(arena, item)};
    Module *module = candidate.module;
    module->arena = arena;
    module->interner = interner_over(base->interner);
    module->diags = diagnostics_over(base->diags);
    module->items = arena_memdup(arena, base->items, (size_t)base->item_count * sizeof *base->items);
    module->files = arena_memdup(arena, base->files, (size_t)base->file_count * sizeof *base->files);
    bool found = false;
    for (int i = 0; i < module->item_count; i++)
        if (module->items[i].node == item) {
            ModuleFile *file = &module->files[module->items[i].file];
            module->items[i].node = candidate.item;
            file->root = root_with(arena, file->root, item, candidate.item);
            found = true;
        }
    BFM_ASSERT(found);
    return candidate;
}

bool candidate_check(Candidate *candidate, const char **message)
{
    *message = ast_check(candidate->module->arena, candidate->item);
    return !*message && forms_check_item(candidate->module, candidate->item);
}

void candidate_free(Candidate *candidate)
{
    Module *module = candidate->module;
    if (!module)
        return;
    interner_free(module->interner);
    diagnostics_free(module->diags);
    arena_free(module->arena);
    *candidate = (Candidate){0};
}
