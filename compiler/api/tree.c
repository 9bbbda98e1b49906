/* Modules as trees: loading, editing, printing, candidates. */
#include "bfm/tree.h"

#include "api/internal.h"
#include "file/atomic_file.h"
#include "file/file.h"
#include "parse/parse.h"
#include "tree/dump.h"
#include "tree/edit.h"
#include "tree/printer.h"

#include <string.h>

BfmModule *api_workspace(const BfmContext *parent)
{
    Arena *arena = arena_new();
    BfmModule *module = ARENA_NEW(arena, BfmModule);
    *module = (BfmModule){.context = *parent, .parent = parent};
    module->context.arena = arena;
    module->context.interner = interner_new();
    module->context.diags = diagnostics_new();
    return module;
}

BfmModule *bfm_module_load(const BfmContext *context, const char *path, BfmError *error)
{
    BfmModule *module = api_workspace(context);
    const Target target = {.path = path};
    module->module = context_module(&module->context, &target, NULL, error);
    if (module->module)
        return module;
    bfm_module_free(module);
    return NULL;
}

BfmModule *bfm_module_parse(const BfmContext *context, const char *name, const char *text, size_t length, BfmError *error)
{
    BfmModule *module = api_workspace(context);
    (void)error; /* memory alone can be lacking */
    module->module = module_load_text(module->context.arena, module->context.interner, module->context.diags, context->library, name, text, length);
    return module;
}

void bfm_module_free(BfmModule *module)
{
    if (!module)
        return;
    if (module->candidate) {
        Candidate made = module->made; /* the module lies in its arena */
        candidate_free(&made);
        return;
    }
    vec_free(&module->overrides);
    interner_free(module->context.interner);
    diagnostics_free(module->context.diags);
    arena_free(module->context.arena);
}

BfmModule *bfm_module_read(const BfmContext *context, const char *path, BfmError *error)
{
    BfmMappedFile file;
    if (!bfm_mapped_file_open(&file, path, error))
        return NULL;
    BfmModule *module = api_workspace(context);
    const BfmContext *own = &module->context;
    module->module = module_alone(own->arena, own->interner, own->diags, own->library, path, (const char *)file.data, file.size);
    bfm_mapped_file_close(&file);
    return module;
}

int bfm_module_file_count(const BfmModule *module) { return module->module ? module->module->file_count : 0; }
const char *bfm_module_file(const BfmModule *module, int file) { return file >= 0 && file < bfm_module_file_count(module) ? module->module->files[file].path : NULL; }

/* ---- items ---- */

static const Node *items_of(const BfmModule *module) { return module->module->files[0].root->kids[FILE_ITEMS]; }

int bfm_module_item_count(const BfmModule *module) { return list_count(items_of(module)); }

const char *bfm_module_item_name(const BfmModule *module, int item)
{
    const Node *node = item >= 0 && item < bfm_module_item_count(module) ? list_at(items_of(module), item) : NULL;
    return node && node->kind != NODE_USE ? node->name : NULL;
}

static const char *kind_of(const Node *node) { return !node ? NULL : node->kind == NODE_DEFINITION ? ast_def_text(node->op) : node_kind_text(node->kind); }

const char *bfm_module_item_kind(const BfmModule *module, int item)
{
    const Node *node = item >= 0 && item < bfm_module_item_count(module) ? list_at(items_of(module), item) : NULL;
    return kind_of(node);
}

static const Node *item_named(const BfmModule *module, const char *name)
{
    for (int i = 0; i < bfm_module_item_count(module); i++) {
        const char *own = bfm_module_item_name(module, i);
        if (own && strcmp(own, name) == 0)
            return list_at(items_of(module), i);
    }
    return NULL;
}

const char *bfm_module_kind(const BfmModule *module, const char *name) { return kind_of(module_find_any(module->module, intern(module->context.interner, name))); }

/* ---- editing ---- */

bool bfm_module_set(BfmModule *module, const char *path, const char *value, BfmError *error)
{
    const BfmContext *context = &module->context;
    Diagnostics *apart = diagnostics_over(context->diags); /* a wrong text says nothing of the module */
    Node *node = parse_expression(context->arena, context->interner, apart, "a value", value, strlen(value));
    const char *wrong = node->kind == NODE_ERROR || diag_errors(apart) > 0 ? arena_printf(context->arena, "`%s` is no expression: %s", value, diag_get(apart, 0)->message) : NULL;
    diagnostics_free(apart);
    if (wrong)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s", wrong);
    const BfmAstStatus status = bfm_ast_set(context->arena, context->interner, module->module->files[0].root, path, node);
    return status == BFM_AST_OK || bfm_error_set(error, BFM_ERROR_INPUT, "%s: %s", path, bfm_ast_status_text(status));
}

bool bfm_module_override(BfmModule *module, const char *item, const char *setting, BfmError *error)
{
    const BfmContext *context = &module->context;
    const Target target = {.path = module->module->files[0].path, .name = item};
    if (!context_override(context, module->module, &target, setting, error))
        return false;
    vec_push(&module->overrides, arena_strdup(context->arena, setting));
    module->item = item ? arena_strdup(context->arena, item) : NULL;
    return true;
}

char *bfm_module_get(const BfmModule *module, const char *path)
{
    const Node *node = bfm_ast_get(module->module->files[0].root, path);
    if (!node)
        return NULL;
    Str text = {0};
    ast_print_flat(node, &text);
    char *copy = api_text(&text);
    str_free(&text);
    return copy;
}

char *bfm_module_text(const BfmModule *module, const char *item)
{
    const Node *node = item ? item_named(module, item) : module->module->files[0].root;
    if (!node)
        return NULL;
    Str text = {0};
    ast_print(node, &text);
    if (item)
        str_push(&text, '\n');
    char *copy = api_text(&text);
    str_free(&text);
    return copy;
}

/* The canonical text of the file; whether it is the file's. */
static bool formatted(const BfmModule *module, Str *text, bool *same, BfmError *error)
{
    BfmMappedFile file;
    if (!bfm_mapped_file_open(&file, bfm_module_file(module, 0), error))
        return false;
    ast_print(module->module->files[0].root, text);
    *same = text->length == file.size && memcmp(str_text(text), file.data, file.size) == 0;
    bfm_mapped_file_close(&file);
    return true;
}

bool bfm_module_is_formatted(const BfmModule *module, BfmError *error)
{
    Str text = {0};
    bool same = false;
    const bool ok = formatted(module, &text, &same, error);
    str_free(&text);
    return ok && same;
}

bool bfm_module_format(BfmModule *module, BfmError *error)
{
    Str text = {0};
    bool same = false;
    const bool ok = formatted(module, &text, &same, error) && (same || bfm_atomic_rewrite(bfm_module_file(module, 0), str_text(&text), text.length, error));
    str_free(&text);
    return ok;
}

char *bfm_module_dump(const BfmModule *module, const char *item, bool json)
{
    const Node *node = item ? module_find_any(module->module, intern(module->context.interner, item)) : module->module->files[0].root;
    if (!node)
        return NULL;
    Str text = {0};
    json ? ast_dump_json(node, &text) : ast_dump(node, &text);
    char *copy = api_text(&text);
    str_free(&text);
    return copy;
}

BfmModule *bfm_module_candidate(const BfmModule *module, const char *item, BfmError *error)
{
    const Node *node = item_named(module, item);
    if (!node) {
        (void)bfm_error_set(error, BFM_ERROR_INPUT, "the file has nothing named `%s`", item);
        return NULL;
    }
    const Candidate made = candidate_new(module->module, node);
    BfmModule *copy = ARENA_NEW(made.module->arena, BfmModule);
    *copy = (BfmModule){.context = module->context, .parent = module->parent, .module = made.module, .candidate = true, .made = made};
    copy->context.arena = made.module->arena;
    copy->context.interner = made.module->interner;
    copy->context.diags = made.module->diags;
    return copy;
}
