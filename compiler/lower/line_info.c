/* What a picture of a line says of it. */
#include "lower/internal.h"

#include <string.h>

static bool given_in(Lower *lw, const Node *call, Symbol name) { return call && list_find(lw, call->kids[CALL_ARGS], NODE_ARG, name) != NULL; }

/* A wiring that keeps the stream out is `none`, by the name that a line may give it. */
void line_attributes(Lower *lw, LineInfo *info, const Node *definition, const Node *call, Scope *scope, const Val *norm, const Val *wiring)
{
    const Node *attributes = definition->kids[DEFINITION_PARAMS];
    const char *named = wiring->def->node->name;
    info->wired = strcmp(named, "none") != 0;
    info->wiring = info->wired && !is_line_default(lw, AST_TYPE_WIRING, wiring) ? named : NULL;
    info->norm = info->wired && !is_line_default(lw, AST_TYPE_NORM, norm) ? val_text(lw, norm) : NULL;
    info->attributes = ARENA_ARRAY(lw->arena, LineAttribute, list_count(attributes) + 1);
    for (int i = 0; i < list_count(attributes); i++) {
        const Node *attribute = list_at(attributes, i);
        const Val *value = attribute->kind == NODE_ATTRIBUTE ? scope_find_local(scope, attribute->name) : NULL;
        if (value && val_is_const(value))
            info->attributes[info->attribute_count++] = (LineAttribute){
                attribute->name, val_text(lw, value), given_in(lw, call, attribute->name) || attribute->kids[ATTRIBUTE_TYPE]->op == AST_TYPE_WIDTH, value->kind == VAL_DEF};
    }
}
