/* Ranges of indices: from the axes they subscript bare, from stated ranges, from the signature, or from a comparison with an integer that
   points into an axis (language.md §3, rule 2). */
#include "lower/internal.h"

#include <string.h>

typedef struct Inference {
    Lower *lw;
    OpCtx *ctx; /* the operation around, NULL for a definition */
    Scope *scope;
    Wanted *wanted;
    int count;
    bool weak; /* second sweep: comparisons count too */
    bool changed;
    bool poisoned; /* a tensor that the texts subscript is in error: what follows from that is not reported */
    int hidden;    /* names bound further in: not the wanted ones */
    Symbol hidden_names[64];
} Inference;

static Wanted *wanted_find(Inference *in, Symbol name)
{
    for (int i = 0; i < in->hidden; i++)
        if (in->hidden_names[i] == name)
            return NULL;
    for (int i = 0; i < in->count; i++)
        if (in->wanted[i].name == name)
            return &in->wanted[i];
    return NULL;
}

/* The first axis found sets the range; a later one of the same size but other parts makes it a plain range. */
static void found(Inference *in, Wanted *wanted, const Axis *axis, Span span)
{
    Lower *lw = in->lw;
    if (!wanted->known) {
        *wanted = (Wanted){.name = wanted->name, .span = wanted->span, .known = true, .axis = *axis, .source = span};
        in->changed = true;
        return;
    }
    const Dim have = axis_size(lw, &wanted->axis), here = axis_size(lw, axis);
    if (have == here) {
        if (!axis_same(&wanted->axis, axis) && wanted->axis.parts > 1 && !wanted->axis.low) {
            wanted->axis = axis_of(have);
            in->changed = true;
        }
        return;
    }
    /* over a static axis of the declared context, the length at hand is the range */
    if (lw->context && (have == lw->context || here == lw->context) && (dim_uses(have, DIM_L) || dim_uses(here, DIM_L))) {
        if (have == lw->context)
            wanted->axis = *axis;
        return;
    }
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0402, span, "the index `%s` would have two ranges", wanted->name);
    diag_label(lw->diags, diag, span, "here it runs over %s", axis_text(lw, axis));
    diag_label(lw->diags, diag, wanted->source, "here it runs over %s", axis_text(lw, &wanted->axis));
}

static const Axis *known_axis(Inference *in, const Node *entry, Axis *space)
{
    const Wanted *wanted = entry->kind == NODE_NAME ? wanted_find(in, entry->name) : NULL;
    if (wanted)
        return wanted->known ? &wanted->axis : NULL;
    const IndexBinding *binding = entry->kind == NODE_NAME ? index_find(in->ctx, entry->name) : NULL;
    if (binding) {
        *space = binding->axis;
        return space;
    }
    return NULL;
}

static void tuple_entry(Inference *in, const Node *tuple, const Axis *axis);

static void one_entry(Inference *in, const Node *entry, const Axis *axis)
{
    Wanted *wanted = entry->kind == NODE_NAME ? wanted_find(in, entry->name) : NULL;
    if (wanted)
        found(in, wanted, axis, entry->span);
    else if (entry->kind == NODE_TUPLE)
        tuple_entry(in, entry, axis);
}

/* An axis of one part taken apart by a tuple: the one part whose extent is open gets the quotient. */
static void open_part(Inference *in, const Node *parts, const Axis *axis)
{
    Dim rest = axis_size(in->lw, axis);
    Wanted *open = NULL;
    for (int i = 0; i < list_count(parts); i++) {
        Axis space;
        const Node *part = list_at(parts, i);
        const Axis *known = known_axis(in, part, &space);
        if (known) {
            rest = dim_div(in->lw->dims, rest, axis_size(in->lw, known));
            if (!rest)
                return;
            continue;
        }
        Wanted *wanted = part->kind == NODE_NAME ? wanted_find(in, part->name) : NULL;
        if (!wanted || open)
            return;
        open = wanted;
    }
    Rational value;
    if (!open)
        return;
    if (dim_is_rational(rest, &value) && !rational_is_int(value)) {
        diag_add(in->lw->diags, DIAG_E0402, parts->span, "the parts known do not divide the axis of %s", axis_text(in->lw, axis));
        rest = dim_floor(in->lw->dims, rest);
    }
    const Axis quotient = axis_of(rest);
    found(in, open, &quotient, parts->span);
}

static void tuple_entry(Inference *in, const Node *tuple, const Axis *axis)
{
    const Node *parts = tuple->kids[TUPLE_PARTS];
    int at = 0;
    bool flat = axis->parts > 1;
    for (int i = 0; flat && i < list_count(parts); i++) { /* each entry takes as many parts as its index is known to have, one otherwise */
        Axis space;
        const Axis *known = known_axis(in, list_at(parts, i), &space);
        at += known ? known->parts : list_at(parts, i)->kind == NODE_TUPLE ? list_count(list_at(parts, i)->kids[TUPLE_PARTS]) : 1;
    }
    if (!flat || at != axis->parts) {
        open_part(in, parts, axis);
        return;
    }
    at = 0;
    for (int i = 0; i < list_count(parts); i++) {
        Axis space;
        const Node *part = list_at(parts, i);
        const Axis *known = known_axis(in, part, &space);
        Axis piece = {.parts = known ? known->parts : part->kind == NODE_TUPLE ? list_count(part->kids[TUPLE_PARTS]) : 1};
        memcpy(piece.part, axis->part + at, (size_t)piece.parts * sizeof *piece.part);
        one_entry(in, part, &piece);
        at += piece.parts;
    }
}

static void subscript(Inference *in, Symbol name, const Node *entries)
{
    const Val *value = scope_find(in->scope, name);
    in->poisoned = in->poisoned || (value && value->kind == VAL_POISON);
    if (!value || value->kind != VAL_TENSOR || list_count(entries) != value->tensor->rank)
        return;
    for (int i = 0; i < list_count(entries); i++) {
        const Axis plain = value->tensor->axes[i];
        one_entry(in, list_at(entries, i), &plain);
    }
}

/* `expert[g, p] == e` */
static void comparison(Inference *in, const Node *index, const Node *integer)
{
    Wanted *wanted = index->kind == NODE_NAME ? wanted_find(in, index->name) : NULL;
    if (!wanted || wanted->known || integer->kind != NODE_SUBSCRIPT)
        return;
    const Val *value = scope_find(in->scope, integer->name);
    if (value && value->kind == VAL_TENSOR && value->tensor->integer)
        found(in, wanted, &value->tensor->points_into, index->span);
}

static void hide(Inference *in, const Node *indices)
{
    for (int i = 0; i < list_count(indices); i++) {
        const Node *entry = list_at(indices, i);
        if (entry->kind == NODE_TUPLE)
            hide(in, entry->kids[TUPLE_PARTS]);
        else if (entry->name && in->hidden < 64)
            in->hidden_names[in->hidden++] = entry->name;
    }
}

static void sweep(Inference *in, const Node *node)
{
    if (!node)
        return;
    const int hidden = in->hidden;
    if (node->kind == NODE_SUBSCRIPT)
        subscript(in, node->name, node->kids[SUBSCRIPT_ENTRIES]);
    if (node->kind == NODE_REDUCE)
        hide(in, node->kids[REDUCE_INDICES]);
    if (node->kind == NODE_OVER && strcmp(node->name, "top") == 0)
        hide(in, node->kids[OVER_INDICES]);
    if (in->weak && node->kind == NODE_BINARY && node->op == AST_EQ) {
        comparison(in, node->kids[BINARY_LEFT], node->kids[BINARY_RIGHT]);
        comparison(in, node->kids[BINARY_RIGHT], node->kids[BINARY_LEFT]);
    }
    for (int i = 0; i < node->count; i++)
        sweep(in, node->kids[i]);
    in->hidden = hidden;
}

static void sweep_all(Inference *in, const Node *const *texts, int count)
{
    in->changed = true;
    for (int round = 0; round < 4 && in->changed; round++) {
        in->changed = false;
        for (int i = 0; i < count; i++)
            sweep(in, texts[i]);
    }
}

bool infer_ranges(Lower *lw, OpCtx *ctx, Scope *scope, Wanted *wanted, int count, const Node *const *texts, int text_count)
{
    Inference in = {.lw = lw, .ctx = ctx, .scope = scope, .wanted = wanted, .count = count};
    const int errors = diag_raised(lw->diags);
    for (int i = 0; i < count; i++)
        if (wanted[i].poisoned)
            return false;
    sweep_all(&in, texts, text_count);
    for (int i = 0; i < count; i++) {
        const Val *axis = scope_find(scope, wanted[i].name);
        if (!axis || axis->kind != VAL_AXIS)
            continue;
        /* the signature's own axis, also where the index subscripts nothing but axes of the declared context */
        const bool context = wanted[i].known && lw->context && axis_size(lw, &wanted[i].axis) == lw->context && dim_uses(axis_size(lw, &axis->axis), DIM_L);
        if (!wanted[i].known || context)
            found(&in, &wanted[i], &axis->axis, wanted[i].span);
    }
    in.weak = true;
    sweep_all(&in, texts, text_count);
    bool all = diag_raised(lw->diags) == errors;
    for (int i = 0; i < count; i++) {
        if (wanted[i].known)
            continue;
        all = false;
        if (in.poisoned)
            continue;
        Diagnostic *diag = diag_add(lw->diags, DIAG_E0401, wanted[i].span, "the range of the index `%s` is not known", wanted[i].name);
        diag_note(lw->diags, diag, "an index takes its range from an axis that it subscripts bare");
        diag_fix(lw->diags, diag, "state it: `%s in 0 ..< n`", wanted[i].name);
    }
    return all;
}

/* The axis of `i in low ..< high`; false after an error. */
static bool stated_range(Lower *lw, Scope *scope, const Node *entry, Axis *axis)
{
    const Node *first = entry->kids[INDEX_LOW], *end = entry->kids[INDEX_HIGH];
    const Val low = eval(lw, NULL, scope, first), high = eval(lw, NULL, scope, end);
    if (low.kind == VAL_POISON || high.kind == VAL_POISON)
        return false;
    if (low.kind != VAL_NUMBER || !low.dim || high.kind != VAL_NUMBER || !high.dim) {
        diag_add(lw->diags, DIAG_E0410, entry->span, "the bounds of a range are whole numbers");
        return false;
    }
    const Dim length = dim_sub(lw->dims, high.dim, low.dim);
    if (!require_whole(lw, low.dim, INT64_MIN, first->span, "the first value of a range") || !require_whole(lw, high.dim, INT64_MIN, end->span, "the end of a range") ||
        !require_whole(lw, length, 0, entry->span, "the length of a range"))
        return false;
    *axis = axis_of(length);
    axis->low = dim_is(low.dim, 0) ? NULL : low.dim;
    return true;
}

/* The indices that an entry binds, with the ranges that it states. */
void collect_entry_names(Lower *lw, OpCtx *ctx, Scope *scope, const Node *entry, Wanted *wanted, int *count, int max)
{
    if (entry->kind == NODE_TUPLE) {
        for (int i = 0; i < list_count(entry->kids[TUPLE_PARTS]); i++)
            collect_entry_names(lw, ctx, scope, list_at(entry->kids[TUPLE_PARTS], i), wanted, count, max);
        return;
    }
    if ((entry->kind != NODE_NAME && entry->kind != NODE_INDEX) || *count >= max)
        return;
    Wanted one = {.name = entry->name, .span = entry->span, .source = entry->span};
    if (entry->kind == NODE_INDEX)
        one.poisoned = !(one.known = stated_range(lw, scope, entry, &one.axis));
    for (int i = 0; i < *count; i++)
        if (wanted[i].name == one.name && strcmp(one.name, "_") != 0) {
            diag_add(lw->diags, DIAG_E0206, entry->span, "the index `%s` stands twice on the left", one.name);
            return;
        }
    wanted[(*count)++] = one;
}
