/* Attributes: typed values given by name, by the definition that uses another, or by default. */
#include "lower/internal.h"

#include "support/bug.h"

#include <math.h>
#include <string.h>

static const char *type_text(Lower *lw, const Node *type)
{
    Str text = {0};
    const int kind = type->op & ~AST_TYPE_OR_NONE;
    if (kind == AST_TYPE_CHOICE) {
        const Node *choices = type->kids[TYPE_CHOICES];
        str_append(&text, "one of");
        for (int i = 0; i < list_count(choices); i++)
            str_printf(&text, "%s %s", i ? "," : "", list_at(choices, i)->name);
    } else {
        str_append(&text, kind == AST_TYPE_WIDTH   ? "a width, a whole number from 1"
                          : kind == AST_TYPE_COUNT ? "a count, a whole number from 0"
                          : kind == AST_TYPE_INT   ? "a whole number"
                          : kind == AST_TYPE_REAL  ? "a number"
                          : kind == AST_TYPE_BOOL  ? "true or false"
                                                   : arena_printf(lw->arena, "a %s", ast_type_text(kind)));
    }
    if (type->op & AST_TYPE_OR_NONE)
        str_append(&text, " or none");
    const char *copy = arena_strdup(lw->arena, str_text(&text));
    str_free(&text);
    return copy;
}

static Val type_error(Lower *lw, const Node *type, const Node *node, const Val *found, Symbol name)
{
    if (found->kind != VAL_POISON) {
        Diagnostic *diag = diag_add(lw->diags, DIAG_E0205, node->span, "`%s` must be %s, not %s", name, type_text(lw, type), val_text(lw, found));
        if (type->span.file >= 0)
            diag_label(lw->diags, diag, type->span, "its type is declared here");
    }
    return val_poison();
}

static int def_kind_of_type(int type)
{
    switch (type) {
    case AST_TYPE_FN: return AST_DEF_FN;
    case AST_TYPE_ROUTER: return AST_DEF_ROUTER;
    case AST_TYPE_NORM: return AST_DEF_NORM;
    case AST_TYPE_LAYER: return AST_DEF_LAYER;
    case AST_TYPE_WIRING: return AST_DEF_WIRING;
    }
    return -1;
}

/* A definition by name, perhaps with arguments; a name in scope that holds one is passed on with more attributes bound. */
static Val definition_value(Lower *lw, const Node *type, const Node *node, Scope *scope, Symbol name)
{
    const int kind = def_kind_of_type(type->op & ~AST_TYPE_OR_NONE);
    if (node->kind != NODE_NAME && node->kind != NODE_CALL) {
        const Val found = eval_const(lw, scope, node);
        return found.kind == VAL_DEF ? found : type_error(lw, type, node, &found, name);
    }
    const Val *known = scope_find(scope, node->name);
    if (known && known->kind == VAL_DEF && node->kind == NODE_NAME)
        return *known;
    const Node *definition = known && known->kind == VAL_DEF ? known->def->node : module_find(lw->module, node->name, NODE_DEFINITION, kind);
    if (!definition) {
        const Node *other = module_find_any(lw->module, node->name);
        const Symbol similar = module_similar(lw->module, node->name, NODE_DEFINITION, kind);
        Diagnostic *diag = diag_add(lw->diags, other ? DIAG_E0202 : DIAG_E0201, node->span, "there is no %s named `%s`", ast_def_text(kind), node->name);
        if (other)
            diag_label(lw->diags, diag, other->name_span, "`%s` is something else", node->name);
        else if (similar)
            diag_fix(lw->diags, diag, "did you mean `%s`?", similar);
        return val_poison();
    }
    return val_def(lw, definition, node->kind == NODE_CALL ? node : NULL, scope, node->span);
}

static bool number_fits(int type, const Val *value)
{
    int64_t integer;
    double real;
    if (type == AST_TYPE_REAL) /* finite; what depends on run-time sizes is looked at where it is used */
        return value->kind == VAL_NUMBER && (!val_double(value, &real) || isfinite(real));
    if (!val_int(value, &integer))
        return false;
    return type == AST_TYPE_INT || (type == AST_TYPE_COUNT && integer >= 0) || (type == AST_TYPE_WIDTH && integer >= 1);
}

static bool is_choice(Lower *lw, const Node *type, Symbol word) { return list_find(lw, type->kids[TYPE_CHOICES], NODE_NAME, word) != NULL; }

static Val choice_value(Lower *lw, const Node *type, const Node *node, Scope *scope, Symbol name)
{
    if (node->kind == NODE_NAME && is_choice(lw, type, node->name))
        return (Val){.kind = VAL_CHOICE, .choice = node->name, .span = node->span, .expr = -1};
    const Val *known = node->kind == NODE_NAME ? scope_find(scope, node->name) : NULL;
    if (known && known->kind == VAL_CHOICE && is_choice(lw, type, known->choice))
        return *known;
    const Val found = node->kind == NODE_NAME && !known ? (Val){.kind = VAL_CHOICE, .choice = node->name} : eval_const(lw, scope, node);
    return type_error(lw, type, node, &found, name);
}

Val attribute_value(Lower *lw, const Node *type, const Node *node, Scope *scope, Symbol name)
{
    const int kind = type->op & ~AST_TYPE_OR_NONE;
    if (node->kind == NODE_NAME && strcmp(node->name, "none") == 0 && (type->op & AST_TYPE_OR_NONE || kind == AST_TYPE_NORM))
        return (Val){.kind = VAL_NONE, .span = node->span, .expr = -1};
    if (kind == AST_TYPE_CHOICE)
        return choice_value(lw, type, node, scope, name);
    if (def_kind_of_type(kind) >= 0)
        return definition_value(lw, type, node, scope, name);
    Val value = eval_const(lw, scope, node);
    if (value.kind == VAL_NONE && type->op & AST_TYPE_OR_NONE)
        return value;
    if (kind == AST_TYPE_BOOL ? value.kind == VAL_BOOL : number_fits(kind, &value)) {
        value.span = node->span;
        return value;
    }
    return type_error(lw, type, node, &value, name);
}

static Symbol attribute_similar(const Node *attributes, Symbol name)
{
    for (int i = 0; i < list_count(attributes); i++)
        if (list_at(attributes, i)->kind == NODE_ATTRIBUTE && name_distance(list_at(attributes, i)->name, name) <= 1 + (int)strlen(name) / 3)
            return list_at(attributes, i)->name;
    return NULL;
}

static const char *attribute_list(Lower *lw, const Node *attributes)
{
    Str text = {0};
    for (int i = 0; i < list_count(attributes); i++)
        if (list_at(attributes, i)->kind == NODE_ATTRIBUTE)
            str_printf(&text, "%s%s", text.length ? ", " : "", list_at(attributes, i)->name);
    const char *copy = arena_strdup(lw->arena, text.length ? str_text(&text) : "none");
    str_free(&text);
    return copy;
}

void attribute_unknown(Lower *lw, const Node *definition, const Node *attributes, const Node *argument)
{
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0203, argument->span, "`%s` has no attribute `%s`", definition->name, argument->name);
    if (!diag_kept(lw->diags, diag))
        return;
    const Symbol similar = attribute_similar(attributes, argument->name);
    if (similar)
        diag_fix(lw->diags, diag, "did you mean `%s`?", similar);
    diag_note(lw->diags, diag, "its attributes are: %s", attribute_list(lw, attributes));
}

/* The attributes that a call may set: of a definition those after its inputs, else all. */
static const Node *attributes_of(const Node *definition)
{
    return definition->kind == NODE_DEFINITION ? definition->kids[DEFINITION_PARAMS]
           : definition->kind == NODE_BLOCK    ? definition->kids[BLOCK_ATTRIBUTES]
                                               : definition->kids[MODEL_ATTRIBUTES];
}

/* An optimiser's second form declares no attributes: they are those of the first. */
static const Node *attributes_shared(Lower *lw, const Node *definition)
{
    const Node *attributes = attributes_of(definition);
    if (list_count(attributes) == 0 && definition->kind == NODE_DEFINITION && definition->op == AST_DEF_OPTIMIZER)
        return attributes_of(module_find_form(lw->module, definition->name, AST_DEF_OPTIMIZER, 0));
    return attributes;
}

DefValue *def_value(Lower *lw, const Node *node, const Node *call, Scope *scope)
{
    if (module_malformed(lw->module, node))
        return NULL;
    DefValue *def = ARENA_NEW(lw->arena, DefValue);
    def->node = node;
    const Node *arguments = call ? call->kids[CALL_ARGS] : NULL, *attributes = attributes_shared(lw, node);
    def->bound = ARENA_ARRAY(lw->arena, struct Binding_, list_count(arguments));
    for (int i = 0; i < list_count(arguments); i++) {
        const Node *argument = list_at(arguments, i);
        if (argument->kind != NODE_ARG) {
            Diagnostic *diag = diag_add(lw->diags, DIAG_E0203, argument->span, "attributes of `%s` are given by name", node->name);
            diag_fix(lw->diags, diag, "write `name = value`; the attributes are: %s", attribute_list(lw, attributes));
            return NULL;
        }
        const Node *attribute = list_find(lw, attributes, NODE_ATTRIBUTE, argument->name);
        if (!attribute) {
            attribute_unknown(lw, node, attributes, argument);
            return NULL;
        }
        Val *value = ARENA_NEW(lw->arena, Val);
        *value = attribute_value(lw, attribute->kids[ATTRIBUTE_TYPE], argument->kids[ARG_VALUE], scope, argument->name);
        if (value->kind == VAL_POISON)
            return NULL;
        def->bound[def->count++] = (struct Binding_){argument->name, value, argument->span};
    }
    bound_index(lw, def);
    return def;
}

Val val_def(Lower *lw, const Node *definition, const Node *call, Scope *scope, Span span)
{
    DefValue *def = def_value(lw, definition, call, scope);
    return def ? (Val){.kind = VAL_DEF, .def = def, .span = span, .expr = -1} : val_poison();
}

Val def_field(Lower *lw, const DefValue *def, Symbol name, Span span)
{
    const int known = bound_find(def, name);
    if (known >= 0)
        return *def->bound[known].value;
    const Node *attributes = def->node ? attributes_shared(lw, def->node) : NULL;
    const Node *attribute = list_find(lw, attributes, NODE_ATTRIBUTE, name);
    if (attribute && attribute->kids[ATTRIBUTE_DEFAULT])
        return attribute_value(lw, attribute->kids[ATTRIBUTE_TYPE], attribute->kids[ATTRIBUTE_DEFAULT], scope_new(lw, NULL), name);
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0203, span, "`%s` has no attribute `%s` with a value", def->node ? def->node->name : "this", name);
    diag_note(lw->diags, diag, "its attributes are: %s", attribute_list(lw, attributes));
    return val_poison();
}

/* Required and given nowhere: taken by name from the definition that uses this one, then from the model. */
static bool by_name(Lower *lw, const Node *attribute, Scope *outer, Scope *scope)
{
    for (Scope *from = outer; from; from = from->parent) {
        const Val *value = scope_find_local(from, attribute->name);
        if (value && val_is_const(value)) {
            scope_set(scope, attribute->name, *value);
            return true;
        }
    }
    const Val *setting = lw->model_scope ? scope_find_local(lw->model_scope, attribute->name) : NULL;
    if (setting && val_is_const(setting))
        scope_set(scope, attribute->name, *setting);
    return setting != NULL;
}

static bool argument_names_input(Lower *lw, const Node *definition, Symbol name)
{
    return definition->kind == NODE_DEFINITION && list_find(lw, definition->kids[DEFINITION_PARAMS], NODE_INPUT, name) != NULL;
}

/* `router(z, tokens = ids)`: a tensor offered by name, which a router that does not look at tokens need not declare. */
static bool gives_tensor(Scope *outer, const Node *argument)
{
    const Node *given = argument->kids[ARG_VALUE];
    const Val *value = outer && given->kind == NODE_NAME ? scope_find(outer, given->name) : NULL;
    return value && value->kind == VAL_TENSOR;
}

/* Named arguments that are no attribute are errors; those that name an ambient input are the caller's business. */
static bool check_arguments(Lower *lw, const Node *definition, const Node *attributes, const Node *call, Scope *outer)
{
    const Node *arguments = call ? call->kids[CALL_ARGS] : NULL;
    bool ok = true;
    for (int i = 0; i < list_count(arguments); i++) {
        const Node *argument = list_at(arguments, i);
        if (argument->kind != NODE_ARG || argument_names_input(lw, definition, argument->name) || gives_tensor(outer, argument))
            continue;
        if (!list_find(lw, attributes, NODE_ATTRIBUTE, argument->name)) {
            attribute_unknown(lw, definition, attributes, argument);
            ok = false;
        }
        const Node *first = list_find(lw, arguments, NODE_ARG, argument->name);
        if (first != argument) {
            diag_label(lw->diags, diag_add(lw->diags, DIAG_E0206, argument->span, "`%s` is given twice", argument->name), first->span, "first here");
            ok = false;
        }
    }
    return ok;
}

static bool bind_one(Lower *lw, const Node *definition, const Node *attribute, const Node *call, const DefValue *bound, Scope *outer, Scope *scope, Span span)
{
    const Node *type = attribute->kids[ATTRIBUTE_TYPE], *argument = call ? list_find(lw, call->kids[CALL_ARGS], NODE_ARG, attribute->name) : NULL;
    if (argument) {
        const Val value = attribute_value(lw, type, argument->kids[ARG_VALUE], outer, attribute->name);
        scope_set(scope, attribute->name, value);
        return value.kind != VAL_POISON;
    }
    const int known = bound ? bound_find(bound, attribute->name) : -1;
    if (known >= 0) {
        scope_set(scope, attribute->name, *bound->bound[known].value);
        return true;
    }
    if (scope_find_local(scope, attribute->name)) /* bound by the stream: `d` of a block */
        return true;
    if (attribute->kids[ATTRIBUTE_DEFAULT]) {
        const Val value = attribute_value(lw, type, attribute->kids[ATTRIBUTE_DEFAULT], scope, attribute->name);
        scope_set(scope, attribute->name, value);
        return value.kind != VAL_POISON;
    }
    if (by_name(lw, attribute, outer, scope))
        return true;
    scope_set(scope, attribute->name, val_poison());
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0204, span, "`%s` needs the attribute `%s`", definition->name, attribute->name);
    diag_label(lw->diags, diag, attribute->span, "declared here without a default");
    diag_fix(lw->diags, diag, "give it: `%s(%s = …)`", definition->name, attribute->name);
    return false;
}

bool attributes_bind(Lower *lw, const Node *definition, const Node *attributes, const Node *call, const DefValue *bound, Scope *outer, Scope *scope, Span span)
{
    if (module_malformed(lw->module, definition))
        return false;
    if (definition->kind == NODE_DEFINITION && attributes == definition->kids[DEFINITION_PARAMS])
        attributes = attributes_shared(lw, definition);
    bool ok = check_arguments(lw, definition, attributes, call, outer);
    for (int i = 0; i < list_count(attributes); i++)
        if (list_at(attributes, i)->kind == NODE_ATTRIBUTE)
            ok = bind_one(lw, definition, list_at(attributes, i), call, bound, outer, scope, span) && ok;
    return ok;
}
