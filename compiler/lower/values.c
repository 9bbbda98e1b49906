/* Scopes and constant values. */
#include "lower/internal.h"

#include "support/bug.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

Scope *scope_new(Lower *lw, Scope *parent)
{
    Scope *scope = ARENA_NEW(lw->arena, Scope);
    scope->parent = parent;
    scope->next_owned = lw->scopes;
    lw->scopes = scope;
    return scope;
}

void lower_free(Lower *lw)
{
    for (Scope *scope = lw->scopes; scope; scope = scope->next_owned) {
        vec_free(&scope->entries);
        pointer_map_free(&scope->numbers);
    }
    for (int i = 0; i < lw->instances.count; i++)
        vec_free(&lw->instances.items[i]->formals);
    vec_free(&lw->instances);
    pointer_map_free(&lw->instance_numbers);
    vec_free(&lw->requirements);
    pointer_map_free(&lw->list_numbers);
    vec_free(&lw->lists);
    if (lw->fields)
        pointer_map_free(lw->fields);
}

enum { SHORT_SCOPE = 16 };

/* The last entry of the name, -1. */
static int entry_of(const Scope *scope, Symbol name)
{
    if (scope->numbers.count > 0)
        return pointer_map_find(&scope->numbers, name);
    for (int i = scope->entries.count - 1; i >= 0; i--)
        if (scope->entries.items[i].name == name)
            return i;
    return -1;
}

Val *scope_find_local(Scope *scope, Symbol name)
{
    const int at = entry_of(scope, name);
    if (at < 0)
        return NULL;
    scope->entries.items[at].used = true;
    return &scope->entries.items[at].value;
}

const ScopeEntry *scope_entry(const Scope *scope, Symbol name)
{
    const int at = entry_of(scope, name);
    return at < 0 ? NULL : &scope->entries.items[at];
}

/* Up to the first barrier: a definition sees its own names, not those of its user. */
Val *scope_find(Scope *scope, Symbol name)
{
    for (; scope; scope = scope->barrier ? NULL : scope->parent) {
        Val *value = scope_find_local(scope, name);
        if (value)
            return value;
    }
    return NULL;
}

void scope_set(Scope *scope, Symbol name, Val value)
{
    vec_push(&scope->entries, (ScopeEntry){.name = name, .value = value});
    const int first = scope->entries.count <= SHORT_SCOPE ? scope->entries.count : scope->numbers.count > 0 ? scope->entries.count - 1 : 0;
    for (int i = first; i < scope->entries.count; i++)
        if (scope->entries.items[i].name)
            pointer_map_set(&scope->numbers, scope->entries.items[i].name, i);
}

Val val_poison(void) { return (Val){.kind = VAL_POISON, .span = span_none(), .expr = -1}; }

Val val_dim(Dim dim, Span span) { return (Val){.kind = VAL_NUMBER, .dim = dim, .span = span, .expr = -1}; }

Val val_number(Lower *lw, Rational value, Span span) { return val_dim(dim_rational(lw->dims, value), span); }

Val val_real(double value, Span span) { return (Val){.kind = VAL_NUMBER, .real = value, .span = span, .expr = -1}; }

Val val_bool(bool truth, Span span) { return (Val){.kind = VAL_BOOL, .truth = truth, .span = span, .expr = -1}; }

bool val_is_const(const Val *value)
{
    return value->kind == VAL_NUMBER || value->kind == VAL_BOOL || value->kind == VAL_CHOICE || value->kind == VAL_NONE || value->kind == VAL_DEF;
}

bool val_double(const Val *value, double *result)
{
    Rational exact;
    if (value->kind == VAL_BOOL) {
        *result = value->truth ? 1 : 0;
        return true;
    }
    if (value->kind != VAL_NUMBER)
        return false;
    if (!value->dim) {
        *result = value->real;
        return true;
    }
    if (!dim_is_rational(value->dim, &exact))
        return false;
    *result = rational_double(exact);
    return true;
}

bool val_int(const Val *value, int64_t *result) { return value->kind == VAL_NUMBER && value->dim && dim_is_int(value->dim, result); }

const char *dim_text(Lower *lw, Dim dim)
{
    Str text = {0};
    dim_print(dim, &text);
    const char *copy = arena_strdup(lw->arena, str_text(&text));
    str_free(&text);
    return copy;
}

bool require_whole(Lower *lw, Dim dim, int64_t least, Span span, const char *what)
{
    Rational value;
    if (!dim_is_rational(dim, &value) || (rational_is_int(value) && value.num >= least))
        return true;
    if (least == INT64_MIN)
        diag_add(lw->diags, DIAG_E0410, span, "%s is a whole number, not %s", what, dim_text(lw, dim));
    else
        diag_add(lw->diags, DIAG_E0410, span, "%s is a whole number of at least %lld, not %s", what, (long long)least, dim_text(lw, dim));
    return false;
}

static const char *def_text(Lower *lw, const DefValue *def)
{
    if (!def->node)
        return "(a branch)";
    Str text = {0};
    str_append(&text, def->node->name);
    for (int i = 0; i < def->count; i++)
        str_printf(&text, "%s%s = %s", i ? ", " : "(", def->bound[i].name, val_text(lw, def->bound[i].value));
    if (def->count)
        str_push(&text, ')');
    const char *copy = arena_strdup(lw->arena, str_text(&text));
    str_free(&text);
    return copy;
}

const char *val_text(Lower *lw, const Val *value)
{
    switch (value->kind) {
    case VAL_POISON: return "(an error)";
    case VAL_NUMBER: return value->dim ? dim_text(lw, value->dim) : arena_printf(lw->arena, "%.17g", value->real);
    case VAL_BOOL: return value->truth ? "true" : "false";
    case VAL_CHOICE: return value->choice;
    case VAL_NONE: return "none";
    case VAL_DEF: return def_text(lw, value->def);
    case VAL_AXIS: return axis_text(lw, &value->axis);
    case VAL_INDEX: return "an index";
    case VAL_EXPR: return value->integer ? "an index or none" : "a value of the tensors";
    case VAL_TENSOR: return arena_printf(lw->arena, "the tensor %s", value->tensor->name);
    }
    BFM_BUG("value kind %d", (int)value->kind);
}

Dim axis_size(Lower *lw, const Axis *axis)
{
    Dim size = axis->parts ? axis->part[0] : dim_int(lw->dims, 1);
    for (int i = 1; i < axis->parts; i++)
        size = dim_mul(lw->dims, size, axis->part[i]);
    return size;
}

Axis axis_of(Dim size) { return (Axis){.parts = 1, .part = {size}}; }

bool axis_same(const Axis *a, const Axis *b)
{
    if (a->parts != b->parts || a->low != b->low)
        return false;
    for (int i = 0; i < a->parts; i++)
        if (a->part[i] != b->part[i])
            return false;
    return true;
}

const char *axis_text(Lower *lw, const Axis *axis)
{
    Str text = {0};
    if (axis->parts != 1)
        str_push(&text, '(');
    for (int i = 0; i < axis->parts; i++) {
        str_append(&text, i ? ", " : "");
        dim_print(axis->part[i], &text);
    }
    if (axis->parts != 1)
        str_push(&text, ')');
    if (axis->low) {
        str_append(&text, " from ");
        dim_print(axis->low, &text);
    }
    const char *copy = arena_strdup(lw->arena, str_text(&text));
    str_free(&text);
    return copy;
}

const char *place_text(void *lower, Span span)
{
    const Lower *lw = lower;
    if (span.file < 0)
        return NULL;
    int line, column;
    const Source *source = diag_source(lw->diags, span.file);
    if (!source) /* a text that was looked at with diagnostics of its own */
        return NULL;
    diag_position(source, span.begin, &line, &column);
    return arena_printf(lw->arena, "%s:%d", source->path, line);
}

Symbol symbol_printf(Lower *lw, const char *format, ...)
{
    char text[256], *whole = text;
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    BFM_ASSERT(length >= 0);
    if ((size_t)length >= sizeof text) {
        whole = ARENA_ARRAY(lw->arena, char, length + 1);
        va_start(args, format);
        (void)vsnprintf(whole, (size_t)length + 1, format, args);
        va_end(args);
    }
    return intern_n(lw->interner, whole, (size_t)length);
}
