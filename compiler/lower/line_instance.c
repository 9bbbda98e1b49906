/* Lines as instances: a definition with its attributes, inside its wiring, as a unit of its own. Equal ones are made once. */
#include "lower/internal.h"

#include <string.h>

Symbol instance_key(Lower *lw, const char *what, const Node *definition, Scope *scope, const LTensor *x, const Val *norm, const Val *wiring)
{
    Str key = {0};
    str_printf(&key, "%s %s@%d:%u", what, definition->name, definition->span.file, definition->span.begin);
    for (int i = 0; i < scope->entries.count; i++)
        if (val_is_const(&scope->entries.items[i].value))
            str_printf(&key, " %s=%s", scope->entries.items[i].name, val_text(lw, &scope->entries.items[i].value));
    for (int i = 0; x && i < x->rank; i++)
        str_printf(&key, " %s", axis_text(lw, &x->axes[i]));
    str_printf(&key, " norm=%s wiring=%s", norm ? val_text(lw, norm) : "-", wiring ? val_text(lw, wiring) : "-");
    const Symbol name = intern_n(lw->interner, str_text(&key), key.length);
    str_free(&key);
    return name;
}

Instance *instance_find(Lower *lw, Symbol key)
{
    const int number = pointer_map_find(&lw->instance_numbers, key);
    return number < 0 ? NULL : lw->instances.items[number];
}

static Instance *instance_new(Lower *lw, Symbol key, Symbol name)
{
    Instance *instance = ARENA_NEW(lw->arena, Instance);
    instance->key = key;
    instance->unit = unit_new(lw->program, symbol_printf(lw, "%s.%d", name, lw->instances.count));
    pointer_map_set(&lw->instance_numbers, key, lw->instances.count);
    vec_push(&lw->instances, instance);
    return instance;
}

LTensor *stream_formal(Lower *lw, UnitCtx *uc, const LTensor *x)
{
    FormalInfo info = {.kind = FORMAL_STREAM, .name = intern(lw->interner, "x"), .span = x->span};
    LTensor *tensor = ltensor_new(lw, info.name, formal_add(uc, lw, info, T_REAL, TENSOR_INPUT, x->rank, x->axes, false));
    tensor->rank = x->rank;
    memcpy(tensor->axes, x->axes, (size_t)x->rank * sizeof *x->axes);
    tensor->span = x->span;
    return tensor;
}

/* What `f` and `norm` of a wiring do inside an instance. */
typedef struct Apply {
    Lower *lw;
    UnitCtx *uc;
    const DefValue *def; /* NULL: the identity (norm = none) */
    const Node *call;
    Scope *caller, *scope; /* scope: the layer's own, bound already */
    Symbol result_name;
    Span span;
    Symbol labels[8];
    int label_count;
} Apply;

static LTensor *apply_norm(void *context, LTensor *argument, Symbol label, Span span)
{
    Apply *apply = context;
    Lower *lw = apply->lw;
    if (!apply->def)
        return argument;
    for (int i = 0; i < apply->label_count; i++)
        if (apply->labels[i] == label) {
            diag_add(lw->diags, DIAG_E0206, span, "the norm is used twice under the name `%s`: write `norm as other_name (…)`", label);
            return NULL;
        }
    if (apply->label_count < 8)
        apply->labels[apply->label_count++] = label;
    Body body;
    const bool ok = instantiate(lw, apply->uc, apply->def, NULL, apply->caller, &argument, 1, arena_printf(lw->arena, "%s.", label), apply->span, &body) &&
                    integer_exists(&body, body.results[0], "the result");
    body_free(&body);
    return ok ? body.results[0] : NULL;
}

static LTensor *apply_layer(void *context, LTensor *argument, Symbol label, Span span)
{
    Apply *apply = context;
    Body body;
    (void)label;
    (void)span;
    const Node *inputs = apply->def->node->kids[DEFINITION_INPUTS];
    for (int i = 0; argument && i < list_count(inputs); i++) { /* the names of axes were bound to the stream; the tensor is what the wiring passes */
        Val *value = scope_find_local(apply->scope, list_at(inputs, i)->name);
        if (value)
            value->tensor = argument;
    }
    const bool ok = instance_body(apply->lw, apply->uc, apply->def->node, apply->call, apply->caller, apply->scope, &argument, argument ? 1 : 0, "", &body) &&
                    integer_exists(&body, body.results[0], "the result");
    body_free(&body);
    apply->result_name = ok ? body.result_names[0] : NULL;
    return ok ? body.results[0] : NULL;
}

DefValue *apply_value(Lower *lw, LTensor *(*function)(void *, LTensor *, Symbol, Span), void *context)
{
    DefValue *value = ARENA_NEW(lw->arena, DefValue);
    value->apply = function;
    value->context = context;
    return value;
}

Scope *wiring_scope(Lower *lw, const Node *wiring, LTensor *x, DefValue *f, DefValue *norm)
{
    const Node *inputs = wiring->kids[DEFINITION_INPUTS];
    Scope *scope = scope_new(lw, NULL);
    if (module_malformed(lw->module, wiring))
        return NULL;
    if (list_count(inputs) != 3) {
        diag_add(lw->diags, DIAG_E0411, wiring->span, "a wiring takes (x, f, norm): the stream, the sub-layer, the norm");
        return NULL;
    }
    const Val stream = x ? (Val){.kind = VAL_TENSOR, .tensor = x, .span = x->span, .expr = -1} : (Val){.kind = VAL_NONE, .expr = -1};
    scope_set(scope, list_at(inputs, 0)->name, stream);
    scope_set(scope, list_at(inputs, 1)->name, (Val){.kind = VAL_DEF, .def = f, .expr = -1});
    scope_set(scope, list_at(inputs, 2)->name, (Val){.kind = VAL_DEF, .def = norm, .expr = -1});
    return scope;
}

/* The wired sub-layer as a unit of its own. */
Instance *instance_make(Lower *lw, Symbol key, const DefValue *def, const Node *call, Scope *caller, Scope *scope, const LTensor *x, const Val *norm, const Val *wiring, Span span)
{
    Instance *instance = instance_new(lw, key, def->node->name);
    UnitCtx uc = {.unit = instance->unit, .instance = instance, .pack = -1};
    LTensor *stream = x ? stream_formal(lw, &uc, x) : NULL;
    Apply layer = {.lw = lw, .uc = &uc, .def = def, .call = call, .caller = caller, .scope = scope, .span = span};
    Apply normed = {.lw = lw, .uc = &uc, .def = norm->kind == VAL_DEF ? norm->def : NULL, .caller = scope, .span = span};
    Scope *names = wiring_scope(lw, wiring->def->node, stream, apply_value(lw, apply_layer, &layer), apply_value(lw, apply_norm, &normed));
    Body body = {.lw = lw, .uc = &uc, .node = wiring->def->node, .scope = names, .prefix = ""};
    LTensor *result = names ? eval_tensor(&body, names, wiring->def->node->kids[DEFINITION_VALUE]) : NULL;
    if (result)
        result = tensor_plain(&body, result, false); /* a stream holds numbers */
    body_free(&body);
    if (!result)
        return instance;
    instance->ok = true;
    instance->result = *result;
    instance->result_name = layer.result_name ? layer.result_name : intern(lw->interner, "y");
    unit_output(instance->unit, instance->result_name, OUTPUT_RESULT, result->id);
    return instance;
}
