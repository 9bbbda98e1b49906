/* Paths to lines: labels and ordinals. */
#include "tree/edit_path.h"

#include "support/vec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- scopes ---- */

typedef struct NameCount {
    const char *name;
    int count;
} NameCount;

typedef struct ScopeWalk {
    VEC(NameCount) counts;
    ScopeVisit *visit;
    void *context;
    bool stopped;
} ScopeWalk;

static int next_ordinal(ScopeWalk *walk, const char *name)
{
    for (int i = 0; i < walk->counts.count; i++)
        if (strcmp(walk->counts.items[i].name, name) == 0)
            return walk->counts.items[i].count++;
    vec_push(&walk->counts, (NameCount){name, 1});
    return 0;
}

static const char *definition_name(const Node *line)
{
    if (line->kind == NODE_LINE)
        return line->kids[LINE_CALL]->name;
    if (line->kind == NODE_REPEAT)
        return "repeat";
    if (line->kind == NODE_PARALLEL)
        return "parallel";
    return line->kind == NODE_AT ? "at" : NULL;
}

static void walk_list(ScopeWalk *walk, Node *list)
{
    for (int i = 0; i < list->count && !walk->stopped; i++) {
        Node *line = list->kids[i];
        const char *name = definition_name(line);
        if (!name)
            continue;
        int ordinal = next_ordinal(walk, name);
        if (!walk->visit((Place){list, i, line}, line->name ? line->name : name, line->name ? -1 : ordinal, walk->context)) {
            walk->stopped = true;
            return;
        }
        if (line->kind == NODE_REPEAT)
            walk_list(walk, line->kids[REPEAT_BODY]);
    }
}

Node *place_body(const Node *node)
{
    if (node->kind == NODE_BLOCK)
        return node->kids[BLOCK_BODY];
    if (node->kind == NODE_MODEL)
        return node->kids[MODEL_BODY];
    if (node->kind == NODE_REPEAT)
        return node->kids[REPEAT_BODY];
    return node->kind == NODE_AT ? node->kids[AT_BODY] : NULL;
}

void scope_walk(Node *scope, ScopeVisit *visit, void *context)
{
    ScopeWalk walk = {.visit = visit, .context = context};
    if (scope->kind == NODE_PARALLEL) {
        const Node *branches = scope->kids[PARALLEL_BRANCHES];
        for (int i = 0; i < branches->count && !walk.stopped; i++)
            walk_list(&walk, branches->kids[i]);
    } else if (place_body(scope)) {
        walk_list(&walk, place_body(scope));
    }
    vec_free(&walk.counts);
}

/* ---- paths ---- */

/* The length of the first component, and where the next begins; `[r]` belongs to neither. */
static size_t component(const char *path, const char **next)
{
    size_t length = strcspn(path, ".[|");
    const char *end = path + length;
    if (*end == '[')
        end += strcspn(end, "]") + (strchr(end, ']') != NULL);
    *next = *end == '.' ? end + 1 : end;
    return length;
}

typedef struct Search {
    const char *label;
    size_t length;
    Place found;
} Search;

static bool match(Place place, const char *name, int ordinal, void *context)
{
    Search *search = context;
    char digits[16] = "";
    if (ordinal >= 0)
        snprintf(digits, sizeof digits, "_%d", ordinal);
    size_t name_length = strlen(name), total = name_length + strlen(digits);
    bool same = total == search->length && memcmp(name, search->label, name_length) == 0 && memcmp(digits, search->label + name_length, total - name_length) == 0;
    if (same)
        search->found = place;
    return !same;
}

static bool is_scope(const Node *node) { return node->kind == NODE_PARALLEL || place_body(node) != NULL; }

static Node *find_item(const Node *file, const char *name, size_t length)
{
    const Node *items = file->kids[FILE_ITEMS];
    for (int i = 0; i < items->count; i++) {
        Node *item = items->kids[i];
        bool named = item->kind == NODE_BLOCK || item->kind == NODE_MODEL || item->kind == NODE_DEFINITION || item->kind == NODE_RECIPE || item->kind == NODE_SEARCH ||
                     item->kind == NODE_SPACE;
        if (named && strlen(item->name) == length && memcmp(item->name, name, length) == 0)
            return item;
    }
    return NULL;
}

bool place_find(Node *root, const char *path, Place *place, const char **rest)
{
    const char *next;
    *place = (Place){NULL, 0, root};
    *rest = path;
    if (root->kind == NODE_FILE) {
        size_t length = component(path, &next);
        Node *item = find_item(root, path, length);
        if (!item)
            return false;
        place->node = item;
        *rest = next;
    }
    while (**rest && is_scope(place->node)) {
        Search search = {.label = *rest, .length = component(*rest, &next)};
        scope_walk(place->node, match, &search);
        if (!search.found.node)
            return true;
        *place = search.found;
        *rest = next;
    }
    return true;
}
