#include "module/forms.h"

#include "parse/parse.h"
#include "support/hash.h"
#include "support/limits.h"
#include "support/vec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct Loader {
    Module *module;
    VEC(ModuleFile) files;
    VEC(ModuleItem) items;
} Loader;

/* The whole file, NUL-terminated; NULL and a message if that is not possible. */
static char *file_text(Arena *arena, const char *path, size_t *length, const char **message)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        *message = arena_printf(arena, "cannot read %s: %s", path, strerror(errno));
        return NULL;
    }
    Str text = {0};
    char block[65536];
    size_t got;
    while ((got = fread(block, 1, sizeof block, file)) > 0 && text.length <= FILE_BYTES_MAX)
        str_append_n(&text, block, got);
    const bool failed = ferror(file) != 0;
    const int error = errno;
    fclose(file);
    char *copy = NULL;
    if (failed)
        *message = arena_printf(arena, "cannot read %s: %s", path, strerror(error));
    else if (text.length > FILE_BYTES_MAX)
        *message = arena_printf(arena, "cannot read %s: it is larger than %d MiB, which no .bfm file should be", path, FILE_BYTES_MAX >> 20);
    else
        copy = arena_strndup(arena, str_text(&text), *length = text.length);
    str_free(&text);
    return copy;
}

/* Where `use NAME` of the file at `path` points. */
static const char *use_path(const Module *module, const char *path, const char *name)
{
    const bool standard = strncmp(name, "std.", 4) == 0;
    const char *slash = strrchr(path, '/');
    char *tail = arena_strdup(module->arena, standard ? name + 4 : name);
    for (char *c = tail; *c; c++)
        if (*c == '.')
            *c = '/';
    if (standard)
        return arena_printf(module->arena, "%s/%s.bfm", module->library, tail);
    return slash ? arena_printf(module->arena, "%.*s/%s.bfm", (int)(slash - path), path, tail) : arena_printf(module->arena, "%s.bfm", tail);
}

static int load_text(Loader *loader, const char *path, const char *text, size_t length);

static int file_find(const Loader *loader, const char *path)
{
    for (int i = 0; i < loader->files.count; i++)
        if (strcmp(loader->files.items[i].path, path) == 0)
            return i;
    return -1;
}

static int load_use(Loader *loader, const char *from, const Node *use)
{
    Module *module = loader->module;
    const char *path = use_path(module, from, use->name), *message = NULL;
    const int known = file_find(loader, path);
    if (known >= 0)
        return known;
    size_t length = 0;
    const char *text = file_text(module->arena, path, &length, &message);
    if (!text || loader->files.count >= MODULE_FILES_MAX) {
        Diagnostic *diag = diag_add(module->diags, DIAG_E0207, use->span, "there is no module `%s`", use->name);
        diag_note(module->diags, diag, "%s", text ? "too many files are used" : message);
        diag_fix(module->diags, diag, "modules of the library begin with `std.`; others are paths beside this file, with dots for slashes");
        return -1;
    }
    return load_text(loader, path, text, length);
}

static bool find_error(Node *node, void *found)
{
    if (node->kind == NODE_ERROR)
        *(bool *)found = true;
    return true;
}

static void mark_broken(Node *item)
{
    bool broken = false;
    node_walk(item, find_error, &broken);
    if (broken)
        item->layout |= NODE_BROKEN;
}

static int load_text(Loader *loader, const char *path, const char *text, size_t length)
{
    Module *module = loader->module;
    Node *root = parse_file(module->arena, module->interner, module->diags, path, text, length);
    const int number = loader->files.count;
    vec_push(&loader->files, (ModuleFile){.path = arena_strdup(module->arena, path), .root = root});
    const Node *items = root->kids[FILE_ITEMS];
    VEC(int) uses = {0};
    for (int i = 0; i < list_count(items); i++) {
        Node *item = items->kids[i];
        mark_broken(item);
        if (item->kind != NODE_USE && item->kind != NODE_ERROR)
            vec_push(&loader->items, (ModuleItem){item, number, -1});
    }
    for (int i = 0; i < list_count(items); i++)
        if (list_at(items, i)->kind == NODE_USE) {
            const int used = load_use(loader, path, list_at(items, i));
            if (used >= 0)
                vec_push(&uses, used);
        }
    ModuleFile *file = &loader->files.items[number];
    file->use_count = uses.count;
    file->uses = arena_memdup(module->arena, uses.items, (size_t)uses.count * sizeof(int));
    vec_free(&uses);
    return number;
}

/* ---- by name ---- */

/* The slot of a name: the one that holds it, or the free one where it goes. */
static int *slot_of(const Module *module, Symbol name)
{
    const unsigned mask = (unsigned)module->slot_count - 1;
    for (unsigned at = (unsigned)hash_fold(0, (uint64_t)(uintptr_t)name) & mask;; at = (at + 1) & mask)
        if (module->slots[at] < 0 || module->items[module->slots[at]].node->name == name)
            return &module->slots[at];
}

/* From the last to the first, so that the items of a name are chained in the order of loading. */
static void index_names(Module *module)
{
    module->slot_count = 16;
    while (module->slot_count < 2 * module->item_count)
        module->slot_count *= 2;
    module->slots = ARENA_ARRAY(module->arena, int, module->slot_count);
    for (int i = 0; i < module->slot_count; i++)
        module->slots[i] = -1;
    for (int i = module->item_count - 1; i >= 0; i--) {
        int *slot = slot_of(module, module->items[i].node->name);
        module->items[i].next = *slot;
        *slot = i;
    }
}

int module_first(const Module *module, Symbol name) { return name ? *slot_of(module, name) : -1; }

Module *module_load_text(Arena *arena, Interner *interner, Diagnostics *diags, const char *library, const char *path, const char *text, size_t length)
{
    Module *module = ARENA_NEW(arena, Module);
    *module = (Module){.arena = arena, .interner = interner, .diags = diags, .library = arena_strdup(arena, library)};
    Loader loader = {.module = module};
    load_text(&loader, path, text, length);
    module->file_count = loader.files.count;
    module->files = arena_memdup(arena, loader.files.items, (size_t)loader.files.count * sizeof *module->files);
    module->item_count = loader.items.count;
    module->items = arena_memdup(arena, loader.items.items, (size_t)loader.items.count * sizeof *module->items);
    vec_free(&loader.files);
    vec_free(&loader.items);
    index_names(module);
    forms_check(module);
    return module;
}

Module *module_alone(Arena *arena, Interner *interner, Diagnostics *diags, const char *library, const char *path, const char *text, size_t length)
{
    Module *module = ARENA_NEW(arena, Module);
    ModuleFile *file = ARENA_NEW(arena, ModuleFile);
    *file = (ModuleFile){.path = arena_strdup(arena, path)};
    file->root = parse_file(arena, interner, diags, file->path, text, length);
    *module = (Module){.arena = arena, .interner = interner, .diags = diags, .library = arena_strdup(arena, library), .file_count = 1, .files = file};
    index_names(module);
    return module;
}

Module *module_load(Arena *arena, Interner *interner, Diagnostics *diags, const char *library, const char *path, const char **message)
{
    size_t length = 0;
    const char *text = file_text(arena, path, &length, message);
    return text ? module_load_text(arena, interner, diags, library, path, text, length) : NULL;
}

static bool matches(const Node *node, NodeKind kind, int def) { return node->kind == kind && (kind != NODE_DEFINITION || def < 0 || node->op == def); }

/* Items are in the order of loading, the asking file's first: the first match is the nearest. */
const Node *module_find(const Module *module, Symbol name, NodeKind kind, int def)
{
    for (int i = module_first(module, name); i >= 0; i = module->items[i].next)
        if (matches(module->items[i].node, kind, def))
            return module->items[i].node;
    return NULL;
}

const Node *module_find_form(const Module *module, Symbol name, int def, int n)
{
    for (int i = module_first(module, name); i >= 0; i = module->items[i].next)
        if (matches(module->items[i].node, NODE_DEFINITION, def) && n-- == 0)
            return module->items[i].node;
    return NULL;
}

const Node *module_find_any(const Module *module, Symbol name)
{
    for (int i = module_first(module, name); i >= 0; i = module->items[i].next)
        if (module->items[i].node->kind != NODE_CHECK && module->items[i].node->kind != NODE_DEFAULT)
            return module->items[i].node;
    return NULL;
}

bool module_malformed(const Module *module, const Node *item)
{
    (void)module;
    return (item->layout & NODE_BROKEN) != 0;
}

bool module_has_file(const Module *module, const char *path)
{
    struct stat wanted, file;
    if (stat(path, &wanted) != 0)
        return false;
    for (int i = 0; i < module->file_count; i++)
        if (stat(module->files[i].path, &file) == 0 && file.st_dev == wanted.st_dev && file.st_ino == wanted.st_ino)
            return true;
    return false;
}

int name_distance(const char *a, const char *b)
{
    enum { LONGEST = 64 };
    const size_t n = strlen(a), m = strlen(b);
    if (n >= LONGEST || m >= LONGEST)
        return LONGEST;
    int row[LONGEST];
    for (size_t j = 0; j <= m; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            const int replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            const int moved = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = replaced < moved ? replaced : moved;
        }
    }
    return row[m];
}

Symbol module_similar(const Module *module, const char *name, NodeKind kind, int def)
{
    Symbol best = NULL;
    if (diag_errors(module->diags) > DIAGNOSTICS_MAX) /* nobody would see it */
        return NULL;
    int best_distance = 1 + (int)strlen(name) / 3;
    for (int i = 0; i < module->item_count; i++) {
        const Node *node = module->items[i].node;
        if (!node->name || !matches(node, kind, def))
            continue;
        const int distance = name_distance(name, node->name);
        if (distance <= best_distance && (!best || distance < best_distance)) {
            best = node->name;
            best_distance = distance;
        }
    }
    return best;
}
