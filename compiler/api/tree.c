/* Modules as trees: loading, editing, printing, candidates. */
#include "bfm/tree.h"

#include "api/internal.h"
#include "parse/parse.h"
#include "tree/edit.h"
#include "tree/printer.h"

#include <string.h>

static BfmModule *module_new(const BfmContext *parent)
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
    BfmModule *module = module_new(context);
    const Target target = {.path = path};
    module->module = context_module(&module->context, &target, NULL, error);
    if (module->module)
        return module;
    bfm_module_free(module);
    return NULL;
}

BfmModule *bfm_module_parse(const BfmContext *context, const char *name, const char *text, size_t length, BfmError *error)
{
    BfmModule *module = module_new(context);
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
    interner_free(module->context.interner);
    diagnostics_free(module->context.diags);
    arena_free(module->context.arena);
}

/* ---- items ---- */

static const Node *items_of(const BfmModule *module) { return module->module->files[0].root->kids[FILE_ITEMS]; }

int bfm_module_item_count(const BfmModule *module) { return list_count(items_of(module)); }

const char *bfm_module_item_name(const BfmModule *module, int item)
{
    const Node *node = item >= 0 && item < bfm_module_item_count(module) ? list_at(items_of(module), item) : NULL;
    return node && node->kind != NODE_USE ? node->name : NULL;
}

const char *bfm_module_item_kind(const BfmModule *module, int item)
{
    const Node *node = item >= 0 && item < bfm_module_item_count(module) ? list_at(items_of(module), item) : NULL;
    return !node ? NULL : node->kind == NODE_DEFINITION ? ast_def_text(node->op) : node_kind_text(node->kind);
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
