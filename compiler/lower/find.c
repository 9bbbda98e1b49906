/* Items of a list of the tree by kind and name, and what a definition has bound by name. Every list may be as long as a file: one that is longer than a few is indexed
   when it is first searched. */
#include "lower/internal.h"

#include "support/hash.h"

enum { SHORT_LIST = 8 };

/* The slot of a kind and name: the one that holds it, or the free one where it goes. */
static int *slot_of(const ListIndex *index, const Node *list, NodeKind kind, Symbol name)
{
    const unsigned mask = (unsigned)index->room - 1;
    for (unsigned at = (unsigned)hash_fold((uint64_t)kind, (uint64_t)(uintptr_t)name) & mask;; at = (at + 1) & mask) {
        int *slot = &index->slots[at];
        if (*slot < 0 || (list->kids[*slot]->kind == kind && list->kids[*slot]->name == name))
            return slot;
    }
}

static ListIndex index_new(Lower *lw, int count)
{
    ListIndex index = {.room = 2 * SHORT_LIST};
    while (index.room < 2 * count)
        index.room *= 2;
    index.slots = ARENA_ARRAY(lw->arena, int, index.room);
    for (int i = 0; i < index.room; i++)
        index.slots[i] = -1;
    return index;
}

static const ListIndex *index_of(Lower *lw, const Node *list)
{
    const int known = pointer_map_find(&lw->list_numbers, list);
    if (known >= 0)
        return &lw->lists.items[known];
    const ListIndex index = index_new(lw, list->count);
    for (int i = 0; i < list->count; i++) {
        int *slot = slot_of(&index, list, list->kids[i]->kind, list->kids[i]->name);
        *slot = *slot < 0 ? i : *slot;
    }
    pointer_map_set(&lw->list_numbers, list, lw->lists.count);
    vec_push(&lw->lists, index);
    return &vec_last(&lw->lists);
}

int list_position(Lower *lw, const Node *list, NodeKind kind, Symbol name)
{
    if (list_count(list) > SHORT_LIST)
        return *slot_of(index_of(lw, list), list, kind, name);
    for (int i = 0; i < list_count(list); i++)
        if (list_at(list, i)->kind == kind && list_at(list, i)->name == name)
            return i;
    return -1;
}

const Node *list_find(Lower *lw, const Node *list, NodeKind kind, Symbol name)
{
    const int at = list_position(lw, list, kind, name);
    return at < 0 ? NULL : list_at(list, at);
}

static int *bound_slot(const DefValue *def, Symbol name)
{
    const unsigned mask = (unsigned)def->index.room - 1;
    for (unsigned at = (unsigned)hash_fold(0, (uint64_t)(uintptr_t)name) & mask;; at = (at + 1) & mask) {
        int *slot = &def->index.slots[at];
        if (*slot < 0 || def->bound[*slot].name == name)
            return slot;
    }
}

void bound_index(Lower *lw, DefValue *def)
{
    if (def->count <= SHORT_LIST)
        return;
    def->index = index_new(lw, def->count);
    for (int i = 0; i < def->count; i++) {
        int *slot = bound_slot(def, def->bound[i].name);
        *slot = *slot < 0 ? i : *slot;
    }
}

int bound_find(const DefValue *def, Symbol name)
{
    if (def->index.room > 0)
        return *bound_slot(def, name);
    for (int i = 0; i < def->count; i++)
        if (def->bound[i].name == name)
            return i;
    return -1;
}
