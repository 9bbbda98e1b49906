/* Bodies of definitions: statements one by one, in a unit that may hold several definitions (a layer, its norm, its router). */
#include "lower/internal.h"

#include "support/bug.h"
#include "support/checked.h"

#include <string.h>

enum { RESULTS_MAX = 8 };

void body_free(Body *body) { vec_free(&body->labels); }

static Val tensor_val(LTensor *tensor) { return tensor ? (Val){.kind = VAL_TENSOR, .tensor = tensor, .span = tensor->span, .expr = -1} : val_poison(); }

/* Gives the name its value; false after E0206 where this body, or the definition's signature, has given it one already. */
static bool bind_name(Body *body, Symbol name, Val value, Span span)
{
    const ScopeEntry *old = scope_entry(body->scope, name);
    if (old && old->value.kind != VAL_POISON) {
        Diagnostic *diag = diag_add(body->lw->diags, DIAG_E0206, span, "`%s` is defined twice", name);
        if (old->value.span.file >= 0)
            diag_label(body->lw->diags, diag, old->value.span, "the first is here");
        scope_set(body->scope, name, val_poison());
        return false;
    }
    scope_set(body->scope, name, value);
    return true;
}

/* ---- formals ---- */

int formal_add(UnitCtx *uc, Lower *lw, FormalInfo info, ElemType type, TensorRole role, int rank, const Axis *axes, bool packed)
{
    Dim extents[TENSOR_AXES_MAX * 2 + 1];
    int count = 0;
    if (packed)
        extents[count++] = dim_symbol(lw->dims, uc->pack);
    for (int i = 0; i < rank; i++)
        for (int k = 0; k < axes[i].parts; k++)
            extents[count++] = axes[i].part[k];
    const Dim bound = type == T_INT ? axis_size(lw, &info.points_into) : NULL;
    const int id = unit_formal(uc->unit, info.name, type, role, count, extents, bound);
    uc->unit->tensors[id].span = info.span;
    vec_push(&uc->instance->formals, info);
    return id;
}

static LTensor *formal_tensor(Lower *lw, Symbol name, int id, int rank, const Axis *axes, Span span)
{
    LTensor *tensor = ltensor_new(lw, name, id);
    tensor->rank = rank;
    if (rank > 0)
        memcpy(tensor->axes, axes, (size_t)rank * sizeof *axes);
    tensor->span = span;
    return tensor;
}

/* `step`: a scalar that the runtime gives. */
LTensor *ambient_find(Body *body, Symbol name)
{
    Lower *lw = body->lw;
    const Symbol key = symbol_printf(lw, "ambient %s", name);
    Instance *instance = body->uc->instance;
    for (int i = 0; i < instance->formals.count; i++)
        if (instance->formals.items[i].kind == FORMAL_AMBIENT && instance->formals.items[i].name == name)
            return formal_tensor(lw, name, body->uc->unit->formals[i], 0, NULL, span_none());
    (void)key;
    const int id = formal_add(body->uc, lw, (FormalInfo){.kind = FORMAL_AMBIENT, .name = name, .span = span_none()}, T_REAL, TENSOR_INPUT, 0, NULL, false);
    return formal_tensor(lw, name, id, 0, NULL, span_none());
}

/* ---- shapes ---- */

/* An entry of a parameter's shape: a dimension, a compound of them, or an index with its range. */
static bool shape_axis(Body *body, const Node *entry, Axis *axis)
{
    Lower *lw = body->lw;
    if (entry->kind == NODE_TUPLE) {
        for (int i = 0; i < list_count(entry->kids[TUPLE_PARTS]); i++) {
            Axis part = {0};
            if (!shape_axis(body, list_at(entry->kids[TUPLE_PARTS], i), &part) || axis->parts + part.parts > AXIS_PARTS_MAX)
                return false;
            memcpy(axis->part + axis->parts, part.part, (size_t)part.parts * sizeof *part.part);
            axis->parts += part.parts;
        }
        return true;
    }
    int64_t extent;
    Val value, low = val_poison();
    if (entry->kind == NODE_INDEX) {
        low = eval_const(lw, body->scope, entry->kids[INDEX_LOW]);
        value = arithmetic(lw, NULL, AST_SUB, eval_const(lw, body->scope, entry->kids[INDEX_HIGH]), low, entry->span);
    } else {
        value = eval_const(lw, body->scope, entry);
    }
    if (value.kind == VAL_POISON)
        return false;
    const bool symbolic = body->uc->pack >= 0; /* an optimiser's states have the shapes of what it is applied to */
    if (!(value.kind == VAL_NUMBER && value.dim) || (!symbolic && !val_int(&value, &extent)) || (dim_is_int(value.dim, &extent) && extent < 1)) {
        diag_add(lw->diags, DIAG_E0410, entry->span, "a dimension of a parameter is a constant whole number of at least 1, not %s", val_text(lw, &value));
        return false;
    }
    *axis = axis_of(value.dim);
    axis->low = low.dim && !dim_is(low.dim, 0) ? low.dim : NULL;
    return true;
}

static bool shape_axes(Body *body, const Node *shape, Axis *axes, int *rank)
{
    *rank = 0;
    for (int i = 0; i < list_count(shape); i++) {
        if (*rank >= TENSOR_AXES_MAX) {
            diag_add(body->lw->diags, DIAG_E0404, shape->span, "a tensor has at most %d axes", TENSOR_AXES_MAX);
            return false;
        }
        axes[*rank] = (Axis){0};
        if (!shape_axis(body, list_at(shape, i), &axes[(*rank)++]))
            return false;
    }
    return true;
}

/* The shape that is shown and stored: compound axes flattened. */
static bool plain_shape(Body *body, const Axis *axes, int rank, FormalInfo *info)
{
    int64_t elements = 1;
    info->plain_rank = rank;
    for (int i = 0; i < rank && i < 8; i++) {
        const bool known = dim_is_int(axis_size(body->lw, &axes[i]), &info->plain_extent[i]);
        if (!known && body->uc->pack >= 0)
            return true; /* an optimiser's */
        if (!known || !checked_mul(elements, info->plain_extent[i], &elements) || elements > PARAMETER_ELEMENTS_MAX) {
            Diagnostic *diag = diag_add(body->lw->diags, DIAG_E0414, info->span, "the parameter `%s` would have more than 2^40 elements", info->name);
            diag_note(body->lw->diags, diag, "axis %d has an extent of %s", i + 1, dim_text(body->lw, axis_size(body->lw, &axes[i])));
            return false;
        }
    }
    return true;
}

/* ---- initial values ---- */

bool initial_refuses(Lower *lw, const OpCtx *ctx, Span span, const char *what)
{
    if (!ctx || !ctx->body->initial)
        return false;
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0410, span, "an initial value depends on indices and constants only, not on %s", what);
    diag_note(lw->diags, diag, "it is computed once, before the model reads any input");
    return true;
}

/* An index of the shape, `i in 0 ..< n`, is one of the initial value; a dimension without a name has an index that nothing reads. */
static void init_index(OpCtx *ctx, const Node *entry, const Axis *axis, int number, TargetAxes *target)
{
    Lower *lw = ctx->body->lw;
    const Node *parts = entry->kind == NODE_TUPLE ? entry->kids[TUPLE_PARTS] : NULL;
    if (parts && list_count(parts) == axis->parts) {
        const int first = target->id_count;
        for (int i = 0; i < axis->parts; i++) {
            Axis part = axis_of(axis->part[i]);
            init_index(ctx, list_at(parts, i), &part, TENSOR_AXES_MAX * number + i, target);
        }
        target->rank -= axis->parts - 1;
        target->axes[target->rank - 1] = *axis;
        BFM_ASSERT(target->id_count == first + axis->parts);
        return;
    }
    Axis range = *axis;
    if (entry->kind == NODE_INDEX) {
        const Val low = eval_const(lw, ctx->scope, entry->kids[INDEX_LOW]);
        range.low = low.dim && !dim_is(low.dim, 0) ? low.dim : NULL;
    }
    (void)target_axes_push(target, ctx_index(ctx, entry->kind == NODE_INDEX ? entry->name : symbol_printf(lw, "axis%d", number), &range));
}

/* Ranges that are written with run-time sizes are no expression: they are looked for in what came out. */
static bool init_static(const Unit *unit)
{
    bool fixed = true;
    for (int i = 0; i < unit->tensor_count; i++)
        for (int k = 0; k < unit->tensors[i].rank; k++)
            fixed = fixed && dim_is_static(unit->tensors[i].extent[k]);
    for (int i = 0; i < unit->op_count; i++) {
        const Op *op = &unit->ops[i];
        for (int k = 0; k < op->index_count; k++)
            fixed = fixed && dim_is_static(op->indices[k].extent);
        for (int k = 0; k < op->expr_count; k++)
            fixed = fixed && (op->exprs[k].kind != EXPR_DIM || dim_is_static(op->exprs[k].dim));
    }
    return fixed;
}

Unit *init_unit(Body *body, Symbol name, const Node *shape, const Node *init, const Axis *axes, int rank)
{
    Lower *lw = body->lw;
    Instance scratch = {.ok = true};
    UnitCtx uc = {.unit = unit_new(lw->program, symbol_printf(lw, "init_%s", name)), .instance = &scratch, .pack = -1};
    Body inner = *body;
    inner.uc = &uc;
    inner.initial = true;
    OpCtx ctx = ctx_begin(&inner, body->scope, OP_NEST, NULL);
    TargetAxes target = {0};
    ctx.ob.op.reducer = REDUCE_SET;
    for (int i = 0; i < rank; i++)
        init_index(&ctx, list_at(shape, i), &axes[i], i, &target);
    const int errors = diag_raised(lw->diags);
    const Val value = eval(lw, &ctx, body->scope, init);
    const int expr = val_expr(lw, &ctx, &value, init->span);
    bool ok = expr >= 0 && diag_raised(lw->diags) == errors;
    if (ok) {
        const LTensor *tensor = ctx_finish(lw, &ctx, name, expr, &target, false, NULL, init->span);
        unit_output(uc.unit, name, OUTPUT_RESULT, tensor->id);
        ok = init_static(uc.unit) || !initial_refuses(lw, &ctx, init->span, "the size of a run");
    }
    ctx_free(&ctx);
    vec_free(&scratch.formals);
    return ok ? uc.unit : NULL;
}

/* ~ normal(mean, deviation) */
static bool normal_init(Body *body, const Node *init, Init *result)
{
    Lower *lw = body->lw;
    const bool form = init->kind == NODE_CALL && strcmp(init->name, "normal") == 0 && list_count(init->kids[CALL_ARGS]) == 2;
    if (!form) {
        diag_add(lw->diags, DIAG_E0411, init->span, "`~` takes normal(mean, deviation)");
        return false;
    }
    const Val mean = eval_const(lw, body->scope, list_at(init->kids[CALL_ARGS], 0)), std = eval_const(lw, body->scope, list_at(init->kids[CALL_ARGS], 1));
    result->normal = true;
    if (mean.kind == VAL_POISON || std.kind == VAL_POISON)
        return false;
    if (!val_double(&mean, &result->mean) || !val_double(&std, &result->std) || !(result->std >= 0)) {
        diag_add(lw->diags, DIAG_E0410, init->span, "mean and deviation are constants, the deviation not negative");
        return false;
    }
    return true;
}

static bool make_init(Body *body, const Node *node, const Node *shape, const Node *init, bool drawn, const Axis *axes, int rank, Init *result)
{
    if (drawn)
        return normal_init(body, init, result);
    if (body->uc->pack >= 0) { /* an optimiser's states start at a constant */
        const Val value = eval_const(body->lw, body->scope, init);
        result->normal = true;
        if (val_double(&value, &result->mean))
            return true;
        diag_add(body->lw->diags, DIAG_E0410, init->span, "a state of an optimiser starts at a constant");
        return false;
    }
    result->value = init_unit(body, node->name, shape, init, axes, rank);
    return result->value != NULL;
}

static void param_statement(Body *body, const Node *node, FormalKind kind, const Node *shape, const Node *init, bool drawn)
{
    Lower *lw = body->lw;
    Axis axes[TENSOR_AXES_MAX];
    int rank;
    const bool shared = kind == FORMAL_SHARED, state = kind == FORMAL_STATE, packed = body->uc->pack >= 0;
    FormalInfo info = {.kind = kind, .name = shared ? node->name : symbol_printf(lw, "%s%s", body->prefix, node->name), .span = node->span};
    if (!bind_name(body, node->name, val_poison(), node->span) || !shape_axes(body, shape, axes, &rank))
        return;
    if (!plain_shape(body, axes, rank, &info)) {
        body->failed = true; /* others would be too large for the same reason */
        return;
    }
    if (!make_init(body, node, shape, init, drawn, axes, rank, &info.init))
        return;
    const int id = formal_add(body->uc, lw, info, T_REAL, state ? TENSOR_STATE : TENSOR_PARAM, rank, axes, packed);
    LTensor *tensor = formal_tensor(lw, node->name, id, rank, axes, node->span);
    tensor->packed = packed;
    scope_set(body->scope, node->name, tensor_val(tensor));
}

/* ---- let ---- */

static bool is_definition_call(Body *body, Scope *scope, const Node *node)
{
    if (node->kind == NODE_AS)
        return true;
    if (node->kind != NODE_CALL)
        return false;
    const Val *known = scope_find(scope, node->name);
    if (known && known->kind == VAL_DEF)
        return !known->def->node || known->def->node->op != AST_DEF_FN;
    if (known || module_find(body->lw->module, node->name, NODE_DEFINITION, AST_DEF_FN))
        return false;
    const Node *definition = module_find(body->lw->module, node->name, NODE_DEFINITION, -1);
    return definition && (definition->op == AST_DEF_LAYER || definition->op == AST_DEF_ROUTER || definition->op == AST_DEF_NORM);
}

/* The value depends on tensors, so a name for it is a definition of rank 0; otherwise it is a constant. */
static bool depends_on_tensors(Body *body, const Node *node)
{
    if (!node)
        return false;
    if (node->kind == NODE_REDUCE || node->kind == NODE_OVER || node->kind == NODE_NEXT_VALUE)
        return true;
    if (node->kind == NODE_NAME || node->kind == NODE_SUBSCRIPT) {
        const Val *value = scope_find(body->scope, node->name);
        if (value ? value->kind == VAL_TENSOR : strcmp(node->name, "step") == 0)
            return true;
    }
    if (node->kind == NODE_CALL && strcmp(node->name, "draw") == 0)
        return true;
    for (int i = 0; i < node->count; i++)
        if (depends_on_tensors(body, node->kids[i]))
            return true;
    return false;
}

static void let_tuple(Body *body, const Node *node)
{
    Lower *lw = body->lw;
    const Node *targets = node->kids[LET_TARGETS], *value = node->kids[LET_VALUE];
    Body callee = {0};
    for (int i = 0; i < list_count(targets); i++)
        for (int k = 0; k < i; k++)
            if (list_at(targets, k)->name == list_at(targets, i)->name && strcmp(list_at(targets, i)->name, "_") != 0)
                diag_label(lw->diags, diag_add(lw->diags, DIAG_E0206, list_at(targets, i)->span, "`%s` is defined twice", list_at(targets, i)->name), list_at(targets, k)->span,
                           "the first is here");
    for (int i = 0; i < list_count(targets); i++)
        if (!bind_name(body, list_at(targets, i)->name, val_poison(), list_at(targets, i)->span))
            return;
    if (!is_definition_call(body, body->scope, value)) {
        diag_add(lw->diags, DIAG_E0411, value->span, "only a definition with several results can be taken apart");
        return;
    }
    if (eval_definition_call(body, body->scope, value, &callee)) {
        if (callee.result_count != list_count(targets))
            diag_add(lw->diags, DIAG_E0406, node->span, "`%s` has %d result%s, but %d name%s given", value->name, callee.result_count, plural(callee.result_count),
                     list_count(targets), list_count(targets) == 1 ? " is" : "s are");
        for (int i = 0; i < list_count(targets) && i < callee.result_count; i++) {
            const Node *target = list_at(targets, i), *entries = target->kids[TARGET_ENTRIES];
            if (entries && list_count(entries) != callee.results[i]->rank)
                diag_add(lw->diags, DIAG_E0404, target->span, "`%s` has %d %s here, but the result has %d", target->name, list_count(entries), axes_word(list_count(entries)),
                         callee.results[i]->rank);
            scope_set(body->scope, target->name, tensor_val(callee.results[i]));
        }
    }
    body_free(&callee);
}

static void let_name(Body *body, const Node *target, const Node *value)
{
    Lower *lw = body->lw;
    const Node *chosen = chosen_arm(lw, body->scope, value);
    if (is_definition_call(body, body->scope, chosen)) {
        bind_name(body, target->name, tensor_val(eval_tensor(body, body->scope, chosen)), target->span);
        return;
    }
    if (chosen->kind == NODE_NAME) {
        const Val *known = scope_find(body->scope, chosen->name);
        if (known) {
            bind_name(body, target->name, *known, target->span);
            return;
        }
    }
    if (!depends_on_tensors(body, chosen)) {
        Val constant = eval_const(lw, body->scope, chosen);
        constant.span = target->span;
        bind_name(body, target->name, constant, target->span);
        return;
    }
    bind_name(body, target->name, tensor_val(define_target(body, target->name, NULL, target->span, chosen, NULL, NULL, 0)), target->span);
}

static void let_statement(Body *body, const Node *node)
{
    const Node *targets = node->kids[LET_TARGETS];
    if (list_count(targets) != 1) {
        let_tuple(body, node);
        return;
    }
    const Node *target = list_at(targets, 0), *value = node->kids[LET_VALUE];
    if (!target->kids[TARGET_ENTRIES] && !node->kids[LET_WHERE]) {
        let_name(body, target, value);
        return;
    }
    body->defining = target->name;
    LTensor *tensor = define_target(body, target->name, target->kids[TARGET_ENTRIES], node->span, value, node->kids[LET_WHERE], NULL, 0);
    body->defining = NULL;
    bind_name(body, target->name, tensor_val(tensor), target->span);
}

/* ---- outputs ---- */

static bool next_fits(Body *body, const Node *node, const LTensor *tensor, const LTensor *state)
{
    Lower *lw = body->lw;
    int axis;
    if (fits_shape(lw, tensor, state, &axis)) {
        if (tensor->domain_op < 0)
            return integer_exists(body, tensor, symbol_printf(lw, "the new value of `%s`", state->name));
        Diagnostic *diag = diag_add(lw->diags, DIAG_E0408, node->span, "the new value of `%s` does not exist everywhere", state->name);
        diag_fix(lw->diags, diag, "say what the other elements become: `select(condition, new, old)`");
        return false;
    }
    Diagnostic *diag = tensor->rank != state->rank ? diag_add(lw->diags, DIAG_E0404, node->kids[NEXT_TARGET]->span, "the new value of `%s` has %d %s, the state has %d",
                                                              state->name, tensor->rank, axes_word(tensor->rank), state->rank)
                                                   : diag_add(lw->diags, DIAG_E0404, node->kids[NEXT_TARGET]->span, "axis %d of the new value of `%s` is %s, that of the state %s",
                                                              axis + 1, state->name, axis_text(lw, &tensor->axes[axis]), axis_text(lw, &state->axes[axis]));
    diag_label(lw->diags, diag, state->span, "the state");
    return false;
}

static void next_statement(Body *body, const Node *node)
{
    Lower *lw = body->lw;
    const Node *target = node->kids[NEXT_TARGET];
    const Val *state = scope_find(body->scope, target->name);
    int formal = -1;
    for (int i = 0; state && state->kind == VAL_TENSOR && i < body->uc->unit->formal_count; i++)
        if (body->uc->unit->formals[i] == state->tensor->id && body->uc->instance->formals.items[i].kind == FORMAL_STATE)
            formal = i;
    if (formal < 0) {
        if (!state || state->kind != VAL_POISON) {
            Diagnostic *diag = diag_add(lw->diags, DIAG_E0201, target->span, "there is no state `%s` here", target->name);
            diag_fix(lw->diags, diag, "declare it before: `state %s… = 0`", target->name);
        }
        return;
    }
    const Symbol key = symbol_printf(lw, "next %s", target->name);
    const LTensor *old = state->tensor; /* a new name may move what the scope holds */
    LTensor *tensor = define_next(body, node);
    if (tensor && !next_fits(body, node, tensor, old))
        tensor = NULL;
    bind_name(body, key, tensor_val(tensor), target->span);
    if (!tensor)
        return;
    tensor = tensor_like(body, tensor, old);
    const int output = unit_output(body->uc->unit, body->uc->instance->formals.items[formal].name, OUTPUT_NEXT, tensor->id);
    body->uc->unit->outputs[output].formal = formal;
}

static void loss_statement(Body *body, const Node *node)
{
    LTensor *tensor = define_target(body, node->name, NULL, node->span, node->kids[LOSS_VALUE], NULL, NULL, 0);
    tensor = tensor ? numbers_everywhere(body, tensor, symbol_printf(body->lw, "the loss `%s`", node->name)) : NULL;
    if (bind_name(body, symbol_printf(body->lw, "loss %s", node->name), tensor_val(tensor), node->name_span) && tensor)
        unit_output(body->uc->unit, symbol_printf(body->lw, "%s%s", body->prefix, node->name), OUTPUT_LOSS, tensor->id);
}

static void metric_statement(Body *body, const Node *node)
{
    static const Merge MERGES[AST_REDUCTIONS] = {[AST_SUM] = MERGE_SUM, [AST_MEAN] = MERGE_MEAN, [AST_MAX] = MERGE_MAX};
    const Node *target = node->kids[METRIC_TARGET];
    LTensor *tensor = define_target(body, target->name, target->kids[TARGET_ENTRIES], node->span, node->kids[METRIC_VALUE], NULL, NULL, 0);
    tensor = tensor ? numbers_everywhere(body, tensor, symbol_printf(body->lw, "the metric `%s`", target->name)) : NULL;
    bind_name(body, target->name, tensor_val(tensor), target->span);
    if (!tensor)
        return;
    const int output = unit_output(body->uc->unit, symbol_printf(body->lw, "%s%s", body->prefix, target->name), OUTPUT_METRIC, tensor->id);
    body->uc->unit->outputs[output].merge = MERGES[node->op];
}

static void require_condition(Body *body, const Node *condition);

/* `require switch or condition`, the switch being off: what fails then says how to turn it on. */
static void require_unless(Body *body, const Node *waiver, const Node *condition)
{
    Lower *lw = body->lw;
    const int told = diag_count(lw->diags), kept = lw->requirements.count;
    require_condition(body, condition);
    if (waiver->kind != NODE_NAME)
        return;
    if (diag_count(lw->diags) > told)
        diag_fix(lw->diags, (Diagnostic *)diag_get(lw->diags, told), "`%s = true` does without", waiver->name);
    for (int i = kept; i < lw->requirements.count; i++)
        lw->requirements.items[i].waiver = waiver->name;
}

static bool is_plain(const Node *node) { return node->kind == NODE_NAME || node->kind == NODE_NUMBER || node->kind == NODE_BOOL; }

typedef VEC(Symbol) NameList;

/* The names of constants that a condition reads, each once. */
static void names_read(Body *body, const Node *node, NameList *names)
{
    if (!node)
        return;
    const Val *value = node->kind == NODE_NAME ? scope_find(body->scope, node->name) : NULL;
    bool wanted = value && val_is_const(value);
    for (int i = 0; i < names->count; i++)
        wanted = wanted && names->items[i] != node->name;
    if (wanted)
        vec_push(names, node->name);
    for (int i = 0; i < node->count; i++)
        names_read(body, node->kids[i], names);
}

/* As one writes it: 0.1, not 1/10. */
static const char *value_text(Lower *lw, const Val *value)
{
    Rational exact;
    char text[64];
    if (value->kind != VAL_NUMBER || !value->dim || !dim_is_rational(value->dim, &exact))
        return val_text(lw, value);
    (void)rational_print(exact, text, sizeof text);
    return arena_strdup(lw->arena, text);
}

/* "`k` is 5, `experts` is 4", and where the user wrote those values. */
static void show_values(Body *body, Diagnostic *diag, const Node *condition)
{
    Lower *lw = body->lw;
    NameList names = {0};
    Str text = {0};
    names_read(body, condition, &names);
    for (int i = 0; i < names.count; i++) {
        const Val *value = scope_find(body->scope, names.items[i]);
        str_printf(&text, "%s`%s` is %s", i ? ", " : "", names.items[i], value_text(lw, value));
        if (value->span.file >= 0 && value->span.file != condition->span.file)
            diag_label(lw->diags, diag, value->span, "`%s` is %s", names.items[i], value_text(lw, value));
    }
    if (names.count > 0)
        diag_note(lw->diags, diag, "%s", str_text(&text));
    str_free(&text);
    vec_free(&names);
}

static void require_condition(Body *body, const Node *condition)
{
    if (condition->kind == NODE_BINARY && condition->op == AST_AND) { /* the part that fails is what the message is about */
        require_condition(body, condition->kids[BINARY_LEFT]);
        if (!body->failed)
            require_condition(body, condition->kids[BINARY_RIGHT]);
        return;
    }
    if (condition->kind == NODE_BINARY && condition->op == AST_OR) {
        const Val left = eval_const(body->lw, body->scope, condition->kids[BINARY_LEFT]);
        if (left.kind == VAL_BOOL && !left.truth)
            require_unless(body, condition->kids[BINARY_LEFT], condition->kids[BINARY_RIGHT]);
        if (left.kind == VAL_BOOL || left.kind == VAL_POISON)
            return;
    }
    if (requirement_deferred(body, condition))
        return;
    const Val value = eval_const(body->lw, body->scope, condition);
    if (value.kind == VAL_POISON || (value.kind == VAL_BOOL && value.truth))
        return;
    Diagnostic *diag =
        diag_add(body->lw->diags, DIAG_E0407, condition->span, value.kind == VAL_BOOL ? "this requirement of `%s` does not hold" : "this is no condition on constants (in `%s`)",
                 body->node ? body->node->name : "?");
    body->failed = true; /* what follows was written for attributes that satisfy it */
    if (value.kind != VAL_BOOL)
        return;
    if (condition->kind == NODE_BINARY && !(is_plain(condition->kids[BINARY_LEFT]) && is_plain(condition->kids[BINARY_RIGHT]))) {
        const Val left = eval_const(body->lw, body->scope, condition->kids[BINARY_LEFT]), right = eval_const(body->lw, body->scope, condition->kids[BINARY_RIGHT]);
        diag_note(body->lw->diags, diag, "the left side is %s, the right side %s", val_text(body->lw, &left), val_text(body->lw, &right));
    }
    show_values(body, diag, condition);
}

static void add_result(Body *body, Symbol name, LTensor *tensor)
{
    if (!tensor || body->result_count >= RESULTS_MAX)
        return;
    body->result_names[body->result_count] = name;
    body->results[body->result_count++] = tensor;
}

/* The binds of one return share the ranges of their indices. */
static void return_statement(Body *body, const Node *node)
{
    Lower *lw = body->lw;
    const Node *values = node->kids[RETURN_VALUES], *texts[RESULTS_MAX * 2];
    int text_count = 0;
    body->returned = true;
    for (int i = 0; i < list_count(values) && i < RESULTS_MAX; i++)
        if (list_at(values, i)->kind == NODE_BIND)
            texts[text_count++] = list_at(values, i)->kids[BIND_VALUE];
    for (int i = 0; i < list_count(values); i++) {
        const Node *value = list_at(values, i);
        if (value->kind == NODE_BIND) {
            const Node *target = value->kids[BIND_TARGET];
            add_result(body, target->name,
                       define_target(body, target->name, target->kids[TARGET_ENTRIES], value->span, value->kids[BIND_VALUE], value->kids[BIND_WHERE], texts, text_count));
            continue;
        }
        const Val *known = value->kind == NODE_NAME ? scope_find(body->scope, value->name) : NULL;
        if (known && known->kind == VAL_TENSOR)
            add_result(body, value->name, known->tensor);
        else if (is_definition_call(body, body->scope, value))
            add_result(body, intern(lw->interner, "y"), eval_tensor(body, body->scope, value));
        else
            add_result(body, intern(lw->interner, "y"), define_free(body, value));
    }
}

static void if_statement(Body *body, const Node *node)
{
    const Val condition = eval_const(body->lw, body->scope, node->kids[IF_CONDITION]);
    if (condition.kind == VAL_POISON)
        return;
    if (condition.kind != VAL_BOOL) {
        diag_add(body->lw->diags, DIAG_E0410, node->kids[IF_CONDITION]->span, "`if` needs a condition that is known when the model is compiled");
        return;
    }
    const Node *arm = node->kids[condition.truth ? IF_THEN : IF_ELSE];
    for (int i = 0; i < list_count(arm); i++)
        statement(body, list_at(arm, i));
}

static void bound_tensor(Body *body, const Node *target, LTensor *tensor) { bind_name(body, target->name, tensor_val(tensor), target->span); }

void statement(Body *body, const Node *node)
{
    if (body->failed || !expansion_statement(body->lw, node))
        return;
    if (body->returned) {
        diag_add(body->lw->diags, DIAG_E0412, node->span, "this stands after the return of `%s`", body->node->name);
        return;
    }
    switch ((int)node->kind) {
    case NODE_LET: let_statement(body, node); break;
    case NODE_PARAM:
        param_statement(body, node, node->op & AST_SHARED ? FORMAL_SHARED : FORMAL_PARAM, node->kids[PARAM_SHAPE], node->kids[PARAM_INIT], (node->op & AST_DRAWN) != 0);
        break;
    case NODE_STATE: param_statement(body, node, FORMAL_STATE, node->kids[STATE_SHAPE], node->kids[STATE_INIT], false); break;
    case NODE_NEXT: next_statement(body, node); break;
    case NODE_RECUR: bound_tensor(body, node->kids[RECUR_TARGET], define_recur(body, node)); break;
    case NODE_ACCUMULATE: bound_tensor(body, node->kids[ACCUMULATE_TARGET], define_accumulate(body, node)); break;
    case NODE_LOSS: loss_statement(body, node); break;
    case NODE_METRIC: metric_statement(body, node); break;
    case NODE_REQUIRE: require_condition(body, node->kids[REQUIRE_CONDITION]); break;
    case NODE_IF: if_statement(body, node); break;
    case NODE_RETURN: return_statement(body, node); break;
    case NODE_ERROR: break;
    default: diag_add(body->lw->diags, DIAG_E0412, node->span, "a %s cannot stand in a definition", node_kind_text(node->kind));
    }
}
