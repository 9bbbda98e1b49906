/* Where a run's files are, the model's text in it, and what makes two runs the same. */
#include "train/run_folder.h"

#include "tree/printer.h"
#include "file/file.h"
#include "data/dataset.h"
#include "run/defaults.h"
#include "support/hash.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

RunFolder run_folder_at(Arena *arena, const char *path)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    const char *root = arena_strndup(arena, path, length);
    return (RunFolder){.path = root,
                       .json = arena_printf(arena, "%s/run.json", root),
                       .model = arena_printf(arena, "%s/model.bfm", root),
                       .log = arena_printf(arena, "%s/log.jsonl", root),
                       .eval = arena_printf(arena, "%s/eval.jsonl", root),
                       .metrics = arena_printf(arena, "%s/metrics.jsonl", root),
                       .checkpoints = arena_printf(arena, "%s/ckpt", root),
                       .lock = arena_printf(arena, "%s/lock", root)};
}

/* The folder two above, by its name where the name says it. */
static const char *two_above(Arena *arena, const char *path)
{
    const char *last = strrchr(path, '/'), *before = last;
    while (before && before > path && *--before != '/')
        ;
    const bool named = last && before > path && last - before == 5 && strncmp(before, "/ckpt", 5) == 0;
    return named ? arena_strndup(arena, path, (size_t)(before - path)) : arena_printf(arena, "%s/../..", path);
}

bool run_folder_find(Arena *arena, const char *argument, RunFolder *folder, int64_t *step, BfmError *error)
{
    *folder = run_folder_at(arena, argument);
    *step = -1;
    if (bfm_path_exists(folder->json))
        return true;
    char *end;
    const char *slash = strrchr(folder->path, '/'), *name = slash ? slash + 1 : folder->path;
    const long long number = strtoll(name, &end, 10);
    const RunFolder above = run_folder_at(arena, two_above(arena, folder->path));
    if (end == name || *end || number < 0 || !bfm_path_exists(above.json) || !bfm_path_exists(folder->path))
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s is neither a run (a folder with run.json) nor a checkpoint of one (RUN/ckpt/STEP)%s", argument,
                             bfm_path_exists(arena_printf(arena, "%s/" BFM_DATA_JSON, folder->path)) ? "; it is a data folder" : "");
    *folder = above;
    *step = number;
    return true;
}

/* ---- the model ---- */

static bool of_library(const Module *module, const ModuleFile *file)
{
    const size_t length = strlen(module->library);
    return strncmp(file->path, module->library, length) == 0 && file->path[length] == '/';
}

static bool is_library_use(const Node *item) { return item->kind == NODE_USE && strncmp(item->name, "std.", 4) == 0; }

/* `use std.…` of all the user's files, each once. */
static void print_uses(const Module *module, Str *out)
{
    for (int f = 0; f < module->file_count; f++) {
        const Node *items = module->files[f].root->kids[FILE_ITEMS];
        for (int i = 0; i < list_count(items) && !of_library(module, &module->files[f]); i++) {
            const Node *item = list_at(items, i);
            Str line = {0};
            str_printf(&line, "use %s\n", item->name ? item->name : "");
            if (is_library_use(item) && !strstr(str_text(out), str_text(&line)))
                str_append(out, str_text(&line));
            str_free(&line);
        }
    }
}

void run_model_text(const Module *module, Str *out)
{
    print_uses(module, out);
    for (int f = 0; f < module->file_count; f++) {
        const Node *items = module->files[f].root->kids[FILE_ITEMS];
        for (int i = 0; i < list_count(items) && !of_library(module, &module->files[f]); i++) {
            const Node *item = list_at(items, i);
            if (item->kind == NODE_USE || (item->kind == NODE_DEFAULT && module_find(module, item->name, NODE_DEFAULT, -1) != item)) /* one of a used file */
                continue;
            str_push(out, '\n');
            ast_print(defaults_written(module->arena, module, item), out);
            str_push(out, '\n');
        }
    }
}

/* The library's own defaults are as old as the library. */
static bool shapes_model(const Module *module, const ModuleItem *item)
{
    const NodeKind kind = item->node->kind;
    return kind == NODE_BLOCK || kind == NODE_MODEL || kind == NODE_DEFINITION || (kind == NODE_DEFAULT && !of_library(module, &module->files[item->file]));
}

uint64_t run_model_hash(const Module *module)
{
    uint64_t sum = 0; /* whichever file or order a declaration stands in */
    for (int i = 0; i < module->item_count; i++)
        if (shapes_model(module, &module->items[i]))
            sum += hash_mix(0, node_hash(defaults_written(module->arena, module, module->items[i].node)));
    return sum;
}

uint64_t run_recipe_hash(const Module *module, const Node *recipe) { return node_hash(defaults_written(module->arena, module, recipe)); }

uint64_t run_text_hash(const char *text, size_t bytes) { return XXH3_64bits(text, bytes); }

void run_text_difference(const char *was, const char *is, Str *out)
{
    while (*was || *is) {
        const size_t a = strcspn(was, "\n"), b = strcspn(is, "\n");
        if (a != b || memcmp(was, is, a) != 0) {
            str_printf(out, "  - %.*s\n  + %.*s", (int)a, was, (int)b, is);
            return;
        }
        was += a + (was[a] != 0);
        is += b + (is[b] != 0);
    }
}
