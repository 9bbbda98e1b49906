/* Subscripts: from entries of the language to index maps, with the proof that they stay inside and the domains they bring along. */
#include "lower/internal.h"

#include "support/bug.h"

#include <string.h>

/* ---- proofs ---- */

/* The least value of an affine expression over the box is known to be >= 0. */
static bool box_proves(Lower *lw, const OpCtx *ctx, Affine value)
{
    Dim least = value.base;
    for (int i = 0; i < value.count; i++) {
        const Dim coef = value.terms[i].coef, extent = ctx->ob.op.indices[value.terms[i].index].extent;
        if (!dim_proves_nonnegative(coef))
            least = dim_add(lw->dims, least, dim_mul(lw->dims, coef, dim_sub(lw->dims, extent, dim_int(lw->dims, 1))));
    }
    if (dim_proves_nonnegative(least))
        return true;
    /* the length of a run never exceeds the declared context: the runtime checks it when sizes are bound */
    const Dim spare = lw->context ? dim_sub(lw->dims, lw->context, dim_symbol(lw->dims, DIM_L)) : NULL;
    return spare && dim_proves_nonnegative(dim_sub(lw->dims, least, spare));
}

/* Over the box cut by the conditions: one or two of them may be needed. */
static bool proves(Lower *lw, const OpCtx *ctx, Affine value)
{
    const Op *op = &ctx->ob.op;
    if (box_proves(lw, ctx, value))
        return true;
    for (int i = 0; i < op->cond_count; i++) {
        const Affine less = affine_sub(lw->program, value, op->conds[i]);
        if (box_proves(lw, ctx, less))
            return true;
        for (int k = 0; k < i; k++)
            if (box_proves(lw, ctx, affine_sub(lw->program, less, op->conds[k])))
                return true;
    }
    return false;
}

/* 0 <= value < extent, or an error that proposes the condition. */
static bool inside(Lower *lw, OpCtx *ctx, Affine value, Dim extent, const Node *entry)
{
    const Affine above = affine_sub(lw->program, affine_const(lw->program, dim_sub(lw->dims, extent, dim_int(lw->dims, 1))), value);
    const bool low = proves(lw, ctx, value), high = proves(lw, ctx, above);
    if (low && high)
        return true;
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0403, entry->span, "this subscript may be %s the axis, whose extent is %s", low ? "beyond the end of" : "before the start of",
                                dim_text(lw, extent));
    diag_fix(lw->diags, diag, "restrict the definition with `where`, or the reduction with `| …`, so that the subscript stays inside");
    return false;
}

/* ---- one axis ---- */

typedef struct Part {
    Affine value;
    Dim extent; /* NULL: not known from the entry */
} Part;

static bool bare_index(const IndexBinding *binding, const Axis *axis) { return !binding->axis.low && !axis->low && axis_same(&binding->axis, axis); }

static void push_parts(Lower *lw, const IndexBinding *binding, Part *parts, int *count)
{
    if (binding->axis.low) {
        parts[(*count)++] = (Part){index_affine(lw, binding), NULL};
        return;
    }
    for (int i = 0; i < binding->axis.parts && *count < AXIS_PARTS_MAX; i++)
        parts[(*count)++] = (Part){affine_index(lw->program, binding->ids[i]), binding->axis.part[i]};
}

static bool tuple_parts(Lower *lw, OpCtx *ctx, Scope *scope, const Node *tuple, Part *parts, int *count)
{
    const Node *entries = tuple->kids[TUPLE_PARTS];
    for (int i = 0; i < list_count(entries); i++) {
        const Node *entry = list_at(entries, i);
        const IndexBinding *binding = entry->kind == NODE_NAME || entry->kind == NODE_INDEX ? index_find(ctx, entry->name) : NULL;
        if (*count >= AXIS_PARTS_MAX - 1) {
            diag_add(lw->diags, DIAG_E0404, tuple->span, "a compound index of more than %d parts", AXIS_PARTS_MAX);
            return false;
        }
        if (entry->kind == NODE_TUPLE) {
            if (!tuple_parts(lw, ctx, scope, entry, parts, count))
                return false;
        } else if (binding) {
            push_parts(lw, binding, parts, count);
        } else {
            const Val value = eval(lw, ctx, scope, entry);
            if (value.kind == VAL_POISON)
                return false;
            if (value.kind != VAL_INDEX && !(value.kind == VAL_NUMBER && value.dim)) {
                diag_add(lw->diags, DIAG_E0405, entry->span, "a part of a compound index must be affine in the indices");
                return false;
            }
            parts[(*count)++] = (Part){value.kind == VAL_INDEX ? value.affine : affine_const(lw->program, value.dim), NULL};
        }
    }
    return true;
}

/* Parts that match the axis' one by one subscript them one by one; otherwise they are joined, row-major, into one subscript of the whole axis. */
static bool tuple_subs(Lower *lw, OpCtx *ctx, Scope *scope, const Axis *axis, const Node *entry, Sub *subs, int *count)
{
    Part parts[AXIS_PARTS_MAX];
    int found = 0;
    if (!tuple_parts(lw, ctx, scope, entry, parts, &found))
        return false;
    bool match = found == axis->parts && !axis->low;
    for (int i = 0; match && i < found; i++)
        match = !parts[i].extent || parts[i].extent == axis->part[i];
    for (int i = 0; match && i < found; i++) {
        if (!parts[i].extent && !inside(lw, ctx, parts[i].value, axis->part[i], entry))
            return false;
        subs[(*count)++] = sub_affine(parts[i].value, 1);
    }
    if (match)
        return true;
    Affine sum = affine_const(lw->program, dim_int(lw->dims, 0));
    Dim stride = dim_int(lw->dims, 1);
    for (int i = found - 1; i >= 0; i--) {
        sum = affine_add(lw->program, sum, affine_scale(lw->program, parts[i].value, stride));
        if (i > 0 && !parts[i].extent) {
            diag_add(lw->diags, DIAG_E0405, entry->span, "the extent of part %d of this compound index is not known", i + 1);
            return false;
        }
        if (i > 0)
            stride = dim_mul(lw->dims, stride, parts[i].extent);
    }
    if (!inside(lw, ctx, sum, axis_size(lw, axis), entry))
        return false;
    subs[(*count)++] = sub_affine(sum, axis->parts);
    return true;
}

/* Row-major, where each part is a whole index: of `(t, c - 1)` the last part may leave its own range and still be inside the axis. */
static bool tuple_position(Lower *lw, OpCtx *ctx, Scope *scope, const Axis *axis, const Node *tuple, Affine *position)
{
    Part parts[AXIS_PARTS_MAX];
    int found = 0;
    if (!tuple_parts(lw, ctx, scope, tuple, parts, &found) || axis->low)
        return false;
    Dim stride = dim_int(lw->dims, 1);
    *position = affine_const(lw->program, dim_int(lw->dims, 0));
    for (int i = found - 1; i >= 0; i--) {
        if (!parts[i].extent)
            return false;
        *position = affine_add(lw->program, *position, affine_scale(lw->program, parts[i].value, stride));
        stride = dim_mul(lw->dims, stride, parts[i].extent);
    }
    return stride == axis_size(lw, axis);
}

bool int_access(Lower *lw, OpCtx *ctx, const Val *value, Access *access)
{
    (void)lw;
    if (value->kind != VAL_EXPR || !value->integer || ctx->ob.op.exprs[value->expr].kind != EXPR_READ)
        return false;
    *access = ctx->ob.op.exprs[value->expr].access;
    return true;
}

static bool data_sub(Lower *lw, OpCtx *ctx, const Axis *axis, const Node *entry, const Val *value, Sub *sub)
{
    Access access;
    if (!value->integer) {
        Diagnostic *diag = diag_add(lw->diags, DIAG_E0405, entry->span, "a subscript must be an index or point into an axis; this is a real number");
        diag_fix(lw->diags, diag, "`index[n](…)` makes a number point into an axis of n");
        return false;
    }
    if (!int_access(lw, ctx, value, &access)) {
        Diagnostic *diag = diag_add(lw->diags, DIAG_E0405, entry->span, "this subscript is computed on the spot");
        diag_fix(lw->diags, diag, "give it a name first: `let name[…] = …`, then subscript by `name[…]`");
        return false;
    }
    if (axis_size(lw, &value->axis) != axis_size(lw, axis)) {
        Diagnostic *diag =
            diag_add(lw->diags, DIAG_E0402, entry->span, "this points into an axis of %s, but subscripts one of %s", axis_text(lw, &value->axis), axis_text(lw, axis));
        diag_note(lw->diags, diag, "an integer tensor is typed by the axis that it points into");
        return false;
    }
    *sub = sub_read(lw->program, access, axis->parts);
    return true;
}

bool axis_subs(Lower *lw, OpCtx *ctx, Scope *scope, const Axis *axis, const Node *entry, Span span, Sub *subs, int *count)
{
    (void)span;
    const IndexBinding *binding = entry->kind == NODE_NAME || entry->kind == NODE_INDEX ? index_find(ctx, entry->name) : NULL;
    if (binding && bare_index(binding, axis)) {
        for (int i = 0; i < axis->parts; i++)
            subs[(*count)++] = sub_index(lw->program, binding->ids[i]);
        return true;
    }
    if (entry->kind == NODE_TUPLE)
        return tuple_subs(lw, ctx, scope, axis, entry, subs, count);
    const Val value = eval(lw, ctx, scope, entry);
    if (value.kind == VAL_POISON)
        return false;
    if (value.kind == VAL_EXPR)
        return data_sub(lw, ctx, axis, entry, &value, &subs[(*count)++]);
    if (value.kind != VAL_INDEX && !(value.kind == VAL_NUMBER && value.dim)) {
        diag_add(lw->diags, DIAG_E0405, entry->span, "expected an index, found %s", val_text(lw, &value));
        return false;
    }
    Rational constant;
    if (value.kind == VAL_NUMBER && dim_is_rational(value.dim, &constant) && !rational_is_int(constant)) {
        diag_add(lw->diags, DIAG_E0405, entry->span, "a subscript must be a whole number, not %s", val_text(lw, &value));
        return false;
    }
    Affine affine = value.kind == VAL_INDEX ? value.affine : affine_const(lw->program, value.dim);
    if (axis->low)
        affine = affine_sub(lw->program, affine, affine_const(lw->program, axis->low));
    if (!inside(lw, ctx, affine, axis_size(lw, axis), entry))
        return false;
    subs[(*count)++] = sub_affine(affine, axis->parts);
    return true;
}

bool axis_position(Lower *lw, OpCtx *ctx, Scope *scope, const Axis *axis, const Node *entry, Affine *position)
{
    const Affine low = affine_const(lw->program, axis->low ? axis->low : dim_int(lw->dims, 0));
    const bool moved = entry->kind == NODE_BINARY && (entry->op == AST_ADD || entry->op == AST_SUB) && entry->kids[BINARY_LEFT]->kind == NODE_TUPLE;
    if (moved) {
        const Val by = eval_const(lw, scope, entry->kids[BINARY_RIGHT]);
        if (by.kind != VAL_NUMBER || !by.dim || !axis_position(lw, ctx, scope, axis, entry->kids[BINARY_LEFT], position))
            return false;
        const Affine step = affine_const(lw->program, by.dim);
        *position = entry->op == AST_ADD ? affine_add(lw->program, *position, step) : affine_sub(lw->program, *position, step);
        return true;
    }
    if (entry->kind == NODE_TUPLE)
        return tuple_position(lw, ctx, scope, axis, entry, position);
    const Val value = eval(lw, ctx, scope, entry);
    if (value.kind != VAL_INDEX && !(value.kind == VAL_NUMBER && value.dim))
        return false;
    *position = affine_sub(lw->program, value.kind == VAL_INDEX ? value.affine : affine_const(lw->program, value.dim), low);
    return true;
}

/* ---- domains ---- */

/* The affine value at each storage axis of the access; false where an axis is subscripted by data or several together. */
static void axis_values(const Access *access, Affine *values, bool *known, int *bare)
{
    int axis = 0;
    for (int i = 0; i < access->count; i++) {
        const Sub *sub = &access->subs[i];
        for (int k = 0; k < sub->span; k++, axis++) {
            known[axis] = sub->span == 1 && !sub->read;
            bare[axis] = -1;
            if (known[axis]) {
                values[axis] = sub->affine;
                (void)affine_is_index(sub->affine, &bare[axis]);
            }
        }
    }
}

/* From storage axes to the producer's indices: its output subscripts are bare. */
static void by_index(const Op *producer, Affine *values, bool *known, int *bare)
{
    Affine axis_value[TENSOR_AXES_MAX * 2 + 1];
    bool axis_known[TENSOR_AXES_MAX * 2 + 1];
    int axis_bare[TENSOR_AXES_MAX * 2 + 1], index;
    const size_t count = (size_t)producer->out.count;
    memcpy(axis_value, values, count * sizeof *values);
    memcpy(axis_known, known, count * sizeof *known);
    memcpy(axis_bare, bare, count * sizeof *bare);
    for (int axis = 0; axis < producer->out.count; axis++) {
        BFM_ASSERT(affine_is_index(producer->out.subs[axis].affine, &index));
        values[index] = axis_value[axis];
        known[index] = axis_known[axis];
        bare[index] = axis_bare[axis];
    }
}

static void outside(Lower *lw, const LTensor *tensor, Span span)
{
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0408, span, "`%s` does not exist everywhere, and this may read it where it does not", tensor->name);
    if (tensor->span.file >= 0)
        diag_label(lw->diags, diag, tensor->span, "its `where` is here");
    diag_fix(lw->diags, diag, "read it at the indices it is defined with, or restrict this definition likewise");
}

static bool inherit_condition(Lower *lw, OpCtx *ctx, const Affine *condition, const Affine *values, const bool *known, const int *bare)
{
    Affine moved = affine_const(lw->program, condition->base);
    bool all_bare = true;
    for (int i = 0; i < condition->count; i++) {
        const int axis = condition->terms[i].index;
        if (!known[axis])
            return false;
        all_bare = all_bare && bare[axis] >= 0;
        moved = affine_add(lw->program, moved, affine_scale(lw->program, values[axis], condition->terms[i].coef));
    }
    if (proves(lw, ctx, moved))
        return true;
    if (all_bare)
        op_cond(&ctx->ob, moved);
    return all_bare;
}

void inherit_domain(Lower *lw, OpCtx *ctx, const LTensor *tensor, const Access *access, Span span)
{
    Affine values[TENSOR_AXES_MAX * 2 + 1];
    bool known[TENSOR_AXES_MAX * 2 + 1];
    int bare[TENSOR_AXES_MAX * 2 + 1];
    if (tensor->domain_op < 0)
        return;
    const Op producer = ctx->ob.unit->ops[tensor->domain_op];
    axis_values(access, values, known, bare);
    by_index(&producer, values, known, bare);
    for (int i = 0; i < producer.cond_count; i++)
        if (!inherit_condition(lw, ctx, &producer.conds[i], values, known, bare)) {
            outside(lw, tensor, span);
            return;
        }
    for (int i = 0; i < producer.guard_count; i++) {
        for (int axis = 0; axis < producer.index_count; axis++)
            if (bare[axis] < 0 && op_uses_index(&producer, producer.guards[i], axis)) {
                outside(lw, tensor, span);
                return;
            }
        int *memo = ARENA_ARRAY(lw->arena, int, producer.expr_count);
        memset(memo, -1, (size_t)producer.expr_count * sizeof *memo);
        op_guard(&ctx->ob, expr_copy(&ctx->ob, &producer, producer.guards[i], bare, NULL, memo));
    }
}

/* ---- reads ---- */

bool build_access(Lower *lw, OpCtx *ctx, Scope *scope, LTensor *tensor, const Node *entries, Span span, bool writing, Access *access)
{
    Sub subs[TENSOR_AXES_MAX * 2 + 1];
    int count = 0;
    if (list_count(entries) != tensor->rank) {
        Diagnostic *diag = diag_add(lw->diags, DIAG_E0404, span, "`%s` has %d %s, but %d subscript%s given", tensor->name, tensor->rank, axes_word(tensor->rank),
                                    list_count(entries), list_count(entries) == 1 ? " is" : "s are");
        if (tensor->span.file >= 0)
            diag_label(lw->diags, diag, tensor->span, "defined here");
        return false;
    }
    if (tensor->packed && ctx->pack_index < 0)
        ctx->pack_index = op_index(&ctx->ob, intern(lw->interner, "each"), dim_symbol(lw->dims, ctx->body->uc->pack));
    if (tensor->packed)
        subs[count++] = sub_index(lw->program, ctx->pack_index);
    for (int i = 0; i < tensor->rank; i++)
        if (!axis_subs(lw, ctx, scope, &tensor->axes[i], list_at(entries, i), span, subs, &count))
            return false;
    *access = access_new(lw->program, tensor->id, count);
    memcpy(access->subs, subs, (size_t)count * sizeof *subs);
    if (!writing)
        inherit_domain(lw, ctx, tensor, access, span);
    return true;
}

/* `h[(t, c) - 1, e]`: the entry at the scan axis is the index less one. */
static const Node *step_back(const Node *entry)
{
    const bool minus_one =
        entry->kind == NODE_BINARY && entry->op == AST_SUB && entry->kids[BINARY_RIGHT]->kind == NODE_NUMBER && rational_equal(entry->kids[BINARY_RIGHT]->value, rational_int(1));
    return minus_one ? entry->kids[BINARY_LEFT] : NULL;
}

static Val previous_value(Lower *lw, OpCtx *ctx, Scope *scope, const LTensor *tensor, const Node *entries, Span span)
{
    LTensor before = *tensor;
    Node *list = list_new(lw->arena, span);
    for (int i = 0; i < list_count(entries); i++)
        list_push(lw->arena, list, i == tensor->scan_axis ? (Node *)step_back(list_at(entries, i)) : list_at(entries, i));
    before.id = tensor->previous;
    Access access;
    if (!build_access(lw, ctx, scope, &before, list, span, false, &access))
        return val_poison();
    return (Val){.kind = VAL_EXPR, .expr = expr_read(&ctx->ob, access), .owner = ctx, .span = span};
}

Val eval_subscript(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node, LTensor *tensor, const Node *entries)
{
    if (initial_refuses(lw, ctx, node->span, arena_printf(lw->arena, "`%s`, which the model computes", node->name)))
        return val_poison();
    OpCtx *recurrence = recurrence_of(ctx, tensor);
    if (recurrence)
        return recur_self(lw, ctx, recurrence, scope, node);
    const int scan = tensor->scan_axis;
    if (scan >= 0 && scan < list_count(entries) && step_back(list_at(entries, scan)))
        return previous_value(lw, ctx, scope, tensor, entries, node->span);
    Access access;
    if (!build_access(lw, ctx, scope, tensor, entries, node->span, false, &access))
        return val_poison();
    Val value = {.kind = VAL_EXPR, .expr = expr_read(&ctx->ob, access), .owner = ctx, .span = node->span, .integer = tensor->integer};
    if (tensor->integer)
        value.axis = tensor->points_into;
    return value;
}
