/* Modules of a context: files with their overrides, and the items picked from them. */
#include "run/context.h"

#include "tree/edit.h"
#include "parse/parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void context_note(const BfmContext *context, const char *format, ...)
{
    va_list args;
    if (!context->note)
        return;
    Str text = {0};
    va_start(args, format);
    str_vprintf(&text, format, args);
    va_end(args);
    context->note(context->listener, str_text(&text));
    str_free(&text);
}

bool context_rejected(BfmError *error)
{
    *error = (BfmError){.kind = BFM_ERROR_INPUT};
    return false;
}

Target target_parse(Arena *arena, const char *argument)
{
    const char *colon = strrchr(argument, ':');
    if (!colon || !parse_is_name(colon + 1) || access(argument, F_OK) == 0)
        return (Target){argument, NULL};
    return (Target){arena_strndup(arena, argument, (size_t)(colon - argument)), colon + 1};
}

bool context_override(const BfmContext *context, Module *module, const Target *target, const char *text, BfmError *error)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return bfm_error_set(error, BFM_ERROR_INPUT, "`%s` is no PATH=VALUE", text);
    const char *path = arena_strndup(context->arena, text, (size_t)(equals - text));
    BfmAstStatus status = BFM_AST_NO_SUCH_PATH;
    Node *value = parse_expression(context->arena, context->interner, context->diags, "--set", equals + 1, strlen(equals + 1));
    if (value->kind == NODE_ERROR || diag_errors(context->diags) > 0)
        return true; /* a diagnostic says so */
    Node *named = target->name ? (Node *)module_find_any(module, intern(context->interner, target->name)) : NULL;
    if (named && (named->kind == NODE_MODEL || named->kind == NODE_BLOCK || named->kind == NODE_DEFINITION))
        status = bfm_ast_set(context->arena, context->interner, named, path, value);
    for (int i = 0; i < module->file_count && status == BFM_AST_NO_SUCH_PATH; i++)
        status = bfm_ast_set(context->arena, context->interner, module->files[i].root, path, value);
    const Node *items = module->files[0].root->kids[FILE_ITEMS];
    for (int i = 0; i < list_count(items) && status == BFM_AST_NO_SUCH_PATH; i++)
        if (list_at(items, i)->kind == NODE_MODEL)
            status = bfm_ast_set(context->arena, context->interner, list_at(items, i), path, value);
    return status == BFM_AST_OK || bfm_error_set(error, BFM_ERROR_INPUT, "--set %s: %s", path, bfm_ast_status_text(status));
}

Module *context_module(const BfmContext *context, const Target *target, const Overrides *overrides, BfmError *error)
{
    const char *message = NULL;
    if (!context->library) {
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "the standard library was not found; set BFM_STDLIB to the folder that holds layers.bfm");
        return NULL;
    }
    Module *module = module_load(context->arena, context->interner, context->diags, context->library, target->path, &message);
    if (!module) {
        (void)bfm_error_set(error, BFM_ERROR_INPUT, "%s", message ? message : "the file cannot be read");
        return NULL;
    }
    for (int i = 0; overrides && i < overrides->count; i++)
        if (!context_override(context, module, target, overrides->texts[i], error))
            return NULL;
    return module;
}

static const char *kind_word(NodeKind kind) { return kind == NODE_MODEL ? "model" : kind == NODE_RECIPE ? "recipe" : node_kind_text(kind); }

static const Node *pick_named(const BfmContext *context, const Module *module, const Target *target, NodeKind kind, BfmError *error)
{
    const Symbol name = intern(context->interner, target->name);
    const Node *found = module_find(module, name, kind, -1);
    if (found)
        return found;
    const Node *other = module_find_any(module, name);
    const Symbol similar = module_similar(module, target->name, kind, -1);
    if (other)
        (void)bfm_error_set(error, BFM_ERROR_INPUT, "%s: `%s` is a %s, and a %s is needed here", target->path, target->name, node_kind_text(other->kind), kind_word(kind));
    else if (similar)
        (void)bfm_error_set(error, BFM_ERROR_INPUT, "%s has no %s `%s`; did you mean `%s`?", target->path, kind_word(kind), target->name, similar);
    else
        (void)bfm_error_set(error, BFM_ERROR_INPUT, "%s has no %s `%s`", target->path, kind_word(kind), target->name);
    return NULL;
}

const Node *context_pick(const BfmContext *context, const Module *module, const Target *target, NodeKind kind, BfmError *error)
{
    if (target->name)
        return pick_named(context, module, target, kind, error);
    const Node *items = module->files[0].root->kids[FILE_ITEMS], *found = NULL;
    Str names = {0};
    int count = 0;
    for (int i = 0; i < list_count(items); i++)
        if (list_at(items, i)->kind == kind) {
            found = list_at(items, i);
            str_printf(&names, "%s%s:%s", count++ ? ", " : "", target->path, found->name);
        }
    if (count != 1) {
        if (count == 0)
            (void)bfm_error_set(error, BFM_ERROR_INPUT, "%s has no %s", target->path, kind_word(kind));
        else
            (void)bfm_error_set(error, BFM_ERROR_INPUT, "%s has %d %ss; say which: %s", target->path, count, kind_word(kind), str_text(&names));
        found = NULL;
    }
    str_free(&names);
    return found;
}
