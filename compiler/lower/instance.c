/* Applying definitions to tensors: names of axes, attributes, ambient inputs, then the body. Expressions over whole tensors, as wirings have them. */
#include "lower/internal.h"

#include "ir/holes.h"
#include "support/bug.h"

#include <string.h>

/* ---- instances inside a unit ---- */

static bool bind_axis(Lower *lw, Scope *scope, const Node *entry, const Axis *axis, Span span)
{
    if (entry->kind != NODE_NAME) {
        diag_add(lw->diags, DIAG_E0404, entry->span, "an axis of an input is a name");
        return false;
    }
    const Val *known = scope_find_local(scope, entry->name);
    if (known && known->kind == VAL_AXIS && axis_size(lw, &known->axis) != axis_size(lw, axis)) {
        Diagnostic *diag = diag_add(lw->diags, DIAG_E0404, span, "`%s` is %s in one place and %s in another", entry->name, axis_text(lw, &known->axis), axis_text(lw, axis));
        diag_label(lw->diags, diag, entry->span, "the axis");
        return false;
    }
    if (!known)
        scope_set(scope, entry->name, (Val){.kind = VAL_AXIS, .axis = *axis, .span = entry->span, .expr = -1});
    return true;
}

static bool bind_inputs(Lower *lw, const Node *definition, Scope *scope, LTensor *const *arguments, int count, Span span)
{
    const Node *inputs = definition->kids[DEFINITION_INPUTS];
    if (list_count(inputs) != count) {
        Diagnostic *diag = diag_add(lw->diags, DIAG_E0411, span, "`%s` takes %d tensor%s, not %d", definition->name, list_count(inputs), plural(list_count(inputs)), count);
        diag_label(lw->diags, diag, definition->name_span, "defined here");
        return false;
    }
    for (int i = 0; i < count; i++) {
        const Node *input = list_at(inputs, i), *axes = input->kids[INPUT_AXES];
        if (!arguments[i] || arguments[i]->rank != list_count(axes)) {
            if (arguments[i])
                diag_add(lw->diags, DIAG_E0404, span, "`%s` of `%s` has %d %s, the tensor given has %d", input->name, definition->name, list_count(axes),
                         axes_word(list_count(axes)), arguments[i]->rank);
            return false;
        }
        for (int k = 0; k < list_count(axes); k++)
            if (!bind_axis(lw, scope, list_at(axes, k), &arguments[i]->axes[k], span))
                return false;
        scope_set(scope, input->name, (Val){.kind = VAL_TENSOR, .tensor = arguments[i], .span = input->span, .expr = -1});
    }
    return true;
}

bool instance_scope(Lower *lw, const DefValue *def, const Node *call, Scope *caller, LTensor *const *arguments, int argument_count, Span span, Scope **result)
{
    Scope *scope = *result = scope_new(lw, caller);
    scope->barrier = true;
    if (module_malformed(lw->module, def->node))
        return false;
    return bind_inputs(lw, def->node, scope, arguments, argument_count, span) && attributes_bind(lw, def->node, def->node->kids[DEFINITION_PARAMS], call, def, caller, scope, span);
}

static const Node *named_argument(const Node *call, Symbol name)
{
    const Node *arguments = call ? call->kids[CALL_ARGS] : NULL;
    for (int i = 0; i < list_count(arguments); i++)
        if (list_at(arguments, i)->kind == NODE_ARG && list_at(arguments, i)->name == name)
            return list_at(arguments, i)->kids[ARG_VALUE];
    return NULL;
}

/* An axis of an ambient input: known from the stream, or one of the two run-time sizes. */
static Axis ambient_axis(Lower *lw, Scope *scope, const Node *entry)
{
    const Val *known = scope_find_local(scope, entry->name);
    if (known && known->kind == VAL_AXIS)
        return known->axis;
    const Axis axis = axis_of(dim_symbol(lw->dims, strcmp(entry->name, "b") == 0 ? DIM_B : DIM_L));
    scope_set(scope, entry->name, (Val){.kind = VAL_AXIS, .axis = axis, .span = entry->span, .expr = -1});
    return axis;
}

/* `tokens[b, l]: vocab`: a dimension of the definition, or one that the model sets. */
static Val pointed_dimension(Lower *lw, Scope *scope, const Node *input)
{
    const Node *type = input->kids[INPUT_TYPE];
    const Val *own = type->kind == NODE_NAME ? scope_find(scope, type->name) : NULL, *models = own && lw->model_scope ? scope_find_local(lw->model_scope, type->name) : NULL;
    if (models && own->kind == VAL_NUMBER && models->kind == VAL_NUMBER && own->dim != models->dim) {
        Diagnostic *diag = diag_add(lw->diags, DIAG_E0301, own->span.file >= 0 ? own->span : input->span, "`%s` is %s here and %s in the model, which gives `%s`", type->name,
                                    val_text(lw, own), val_text(lw, models), input->name);
        diag_fix(lw->diags, diag, "leave it out: it is taken from the model");
        return val_poison();
    }
    const bool local = type->kind != NODE_NAME || scope_find(scope, type->name) || !lw->model_scope;
    return eval_const(lw, local ? scope : lw->model_scope, type);
}

static bool ambient_from_model(Lower *lw, UnitCtx *uc, const Node *definition, const Node *input, Scope *scope)
{
    Axis axes[TENSOR_AXES_MAX];
    const int rank = list_count(input->kids[INPUT_AXES]);
    FormalInfo info = {.kind = FORMAL_AMBIENT, .name = input->name, .span = input->span};
    bool integer = input->kids[INPUT_TYPE] != NULL || input->kids[INPUT_DEFAULT] != NULL;
    for (int i = 0; i < rank && i < TENSOR_AXES_MAX; i++) {
        const Node *entry = list_at(input->kids[INPUT_AXES], i);
        if (entry->kind != NODE_NAME || (!scope_find_local(scope, entry->name) && strcmp(entry->name, "b") && strcmp(entry->name, "l"))) {
            diag_add(lw->diags, DIAG_E0404, entry->span, "the axes of the ambient input `%s` are `b`, `l` or axes of the input tensors", input->name);
            return false;
        }
        axes[i] = ambient_axis(lw, scope, entry);
    }
    if (input->kids[INPUT_DEFAULT]) {
        info.points_into = axis_of(dim_int(lw->dims, 1)); /* a mask: 0 or none */
    } else if (integer) {
        const Val bound = pointed_dimension(lw, scope, input);
        if (bound.kind != VAL_NUMBER || !bound.dim) {
            if (bound.kind != VAL_POISON)
                diag_add(lw->diags, DIAG_E0411, input->kids[INPUT_TYPE]->span, "`%s` points into a dimension; this is %s", input->name, val_text(lw, &bound));
            return false;
        }
        info.points_into = axis_of(bound.dim);
    }
    int id = -1;
    for (int i = 0; i < uc->instance->formals.count; i++)
        if (uc->instance->formals.items[i].kind == FORMAL_AMBIENT && uc->instance->formals.items[i].name == input->name)
            id = uc->unit->formals[i];
    if (id < 0)
        id = formal_add(uc, lw, info, integer ? T_INT : T_REAL, TENSOR_INPUT, rank, axes, false);
    LTensor *tensor = ltensor_new(lw, input->name, id);
    tensor->integer = integer;
    tensor->points_into = info.points_into;
    tensor->rank = rank;
    memcpy(tensor->axes, axes, (size_t)rank * sizeof *axes);
    (void)definition;
    scope_set(scope, input->name, (Val){.kind = VAL_TENSOR, .tensor = tensor, .span = input->span, .expr = -1});
    return true;
}

static bool has_extent(Lower *lw, Scope *scope, const Node *entry, int symbol, const char *name)
{
    const Val *known = entry->kind == NODE_NAME ? scope_find_local(scope, entry->name) : NULL;
    if (known && known->kind == VAL_AXIS)
        return axis_size(lw, &known->axis) == dim_symbol(lw->dims, symbol);
    return !known && entry->kind == NODE_NAME && strcmp(entry->name, name) == 0;
}

/* `segment[b, l] = 0` where the caller gives masks of that shape. */
static bool mask_given(Lower *lw, Scope *scope, const Node *input)
{
    const Node *axes = input->kids[INPUT_AXES];
    return lw->options.masks && strcmp(input->name, "segment") == 0 && list_count(axes) == 2 && has_extent(lw, scope, list_at(axes, 0), DIM_B, "b") &&
           has_extent(lw, scope, list_at(axes, 1), DIM_L, "l");
}

/* An ambient input is what the call gives, else the user's tensor of that name, else its constant (unless the model's caller gives it), else an input of the model. */
static bool bind_ambient(Lower *lw, UnitCtx *uc, const Node *definition, const Node *input, const Node *call, Scope *caller, Scope *scope)
{
    const Node *given = named_argument(call, input->name);
    const Val *from = given ? given->kind == NODE_NAME ? scope_find(caller, given->name) : NULL : scope_find(caller, input->name);
    if (given && (!from || from->kind != VAL_TENSOR)) {
        diag_add(lw->diags, DIAG_E0411, given->span, "`%s` takes the name of a tensor", input->name);
        return false;
    }
    if (from && from->kind == VAL_TENSOR && from->tensor->rank == list_count(input->kids[INPUT_AXES])) {
        scope_set(scope, input->name, *from);
        for (int i = 0; i < from->tensor->rank; i++)
            if (!bind_axis(lw, scope, list_at(input->kids[INPUT_AXES], i), &from->tensor->axes[i], given ? given->span : input->span))
                return false;
        return true;
    }
    if (input->kids[INPUT_DEFAULT] && !mask_given(lw, scope, input)) {
        const Val constant = eval_const(lw, scope, input->kids[INPUT_DEFAULT]);
        scope_set(scope, input->name, constant);
        return constant.kind != VAL_POISON;
    }
    return ambient_from_model(lw, uc, definition, input, scope);
}

/* What only lacks points at which it would be 0, since what a none subscript reads counts as 0, is made total: as a sum it is 0 there. */
bool exists_everywhere(Body *body, LTensor *tensor, const char *what)
{
    Lower *lw = body->lw;
    if (tensor->domain_op < 0)
        return true;
    Op *op = &body->uc->unit->ops[tensor->domain_op];
    if (op_zero_in_holes(body->uc->unit, op, lw->context)) {
        op->reducer = REDUCE_SUM;
        tensor->domain_op = -1;
        return true;
    }
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0408, tensor->span, "%s does not exist everywhere", what);
    diag_note(lw->diags, diag, "its `where`, or a subscript that may be none, leaves holes: a whole point is left out, with all terms of the expression");
    diag_fix(lw->diags, diag, "make what is looked up a sum, which is 0 over nothing: `x[b, l, o] + (sum[v | v == k[b, l]] table[v, o])`");
    return false;
}

bool integer_exists(Body *body, const LTensor *tensor, const char *what)
{
    Lower *lw = body->lw;
    if (!tensor->integer || integer_always_exists(body->uc->unit, tensor->id, lw->context))
        return true;
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0408, tensor->span, "%s is a number, but this integer may be none", what);
    diag_note(lw->diags, diag, "`index[n](…)` is none outside 0 … n - 1, an integer definition outside its `where`");
    diag_fix(lw->diags, diag, "say what it is there: `select(exists(k), k, 0)`");
    return false;
}

LTensor *numbers_everywhere(Body *body, LTensor *tensor, const char *what)
{
    if (!integer_exists(body, tensor, what) || !exists_everywhere(body, tensor, what))
        return NULL;
    LTensor real = *tensor;
    real.integer = false;
    return tensor_like(body, tensor, &real);
}

/* In training a state gets a new value; evaluation may only read it. Of the states of this definition, not of those that it calls. */
static void check_states(Lower *lw, const Body *body)
{
    const Instance *instance = body->uc->instance;
    for (int i = 0; i < instance->formals.count && lw->options.mode == MODE_TRAIN; i++) {
        const FormalInfo *info = &instance->formals.items[i];
        if (info->kind != FORMAL_STATE || strncmp(info->name, body->prefix, strlen(body->prefix)) != 0)
            continue;
        const Symbol name = intern(lw->interner, info->name + strlen(body->prefix));
        const Val *state = scope_find(body->scope, name);
        if (!state || state->kind != VAL_TENSOR || state->tensor->id != body->uc->unit->formals[i] || scope_find(body->scope, symbol_printf(lw, "next %s", name)))
            continue;
        Diagnostic *diag = diag_add(lw->diags, DIAG_W0503, info->span, "the state `%s` never changes", name);
        diag_fix(lw->diags, diag, "give it a new value by `next %s… = …`; what is learned is a `param`, what is constant a `let`", name);
    }
}

static bool check_result(Lower *lw, Body *body)
{
    const Node *result = body->node->kids[DEFINITION_RESULT], *axes = result ? result->kids[RESULT_AXES] : NULL;
    if (!body->returned) {
        diag_add(lw->diags, DIAG_E0406, body->node->name_span, "`%s` returns nothing", body->node->name);
        return false;
    }
    if (body->result_count == 0)
        return false;
    if (!axes)
        return true;
    LTensor *tensor = body->results[0];
    bool ok = tensor->rank == list_count(axes);
    for (int i = 0; ok && i < tensor->rank; i++) {
        const Val wanted = eval_const(lw, body->scope, list_at(axes, i));
        ok = wanted.kind == VAL_POISON || (wanted.kind == VAL_NUMBER && wanted.dim && wanted.dim == axis_size(lw, &tensor->axes[i]));
        if (!ok) {
            Diagnostic *diag = diag_add(lw->diags, DIAG_E0406, tensor->span, "axis %d of the result is %s", i + 1, axis_text(lw, &tensor->axes[i]));
            diag_label(lw->diags, diag, list_at(axes, i)->span, "declared as %s", val_text(lw, &wanted));
            return false;
        }
    }
    if (!ok) {
        diag_label(lw->diags, diag_add(lw->diags, DIAG_E0406, tensor->span, "the result has %d %s", tensor->rank, axes_word(tensor->rank)), result->span, "declared with %d",
                   list_count(axes));
        return false;
    }
    if (!exists_everywhere(body, tensor, "the result"))
        return false;
    body->results[0] = tensor_plain(body, tensor, tensor->integer); /* its axes are those of the signature */
    return true;
}

bool instance_body(Lower *lw, UnitCtx *uc, const Node *definition, const Node *call, Scope *caller, Scope *scope, LTensor *const *arguments, int argument_count, const char *prefix,
                   Body *body)
{
    (void)arguments;
    (void)argument_count;
    *body = (Body){.lw = lw, .uc = uc, .node = definition, .scope = scope, .prefix = prefix};
    const Node *params = definition->kids[DEFINITION_PARAMS], *statements = definition->kids[DEFINITION_BODY];
    for (int i = 0; i < list_count(params); i++)
        if (list_at(params, i)->kind == NODE_INPUT && !bind_ambient(lw, uc, definition, list_at(params, i), call, caller, scope))
            return false;
    const int errors = diag_raised(lw->diags);
    for (int i = 0; i < list_count(statements); i++)
        statement(body, list_at(statements, i));
    const bool ok = diag_raised(lw->diags) == errors && check_result(lw, body);
    if (ok) {
        check_states(lw, body);
        unread_warn(lw, definition, scope);
    }
    return ok;
}

bool instantiate(Lower *lw, UnitCtx *uc, const DefValue *def, const Node *call, Scope *caller, LTensor *const *arguments, int argument_count, const char *prefix, Span span,
                 Body *body)
{
    Scope *scope;
    *body = (Body){0};
    if (++lw->depth > CALL_DEPTH_MAX) {
        lw->depth--;
        diag_add(lw->diags, DIAG_E0413, span, "`%s` uses itself", def->node->name);
        return false;
    }
    const bool outermost = expansion_enter(lw, def->node->name, span);
    const bool ok = instance_scope(lw, def, call, caller, arguments, argument_count, span, &scope) &&
                    instance_body(lw, uc, def->node, call, caller, scope, arguments, argument_count, prefix, body);
    expansion_leave(lw, outermost);
    lw->depth--;
    return ok;
}

/* ---- expressions over whole tensors ---- */

static bool take_label(Body *body, Symbol label, Span span)
{
    for (int i = 0; i < body->labels.count; i++)
        if (body->labels.items[i] == label) {
            Diagnostic *diag = diag_add(body->lw->diags, DIAG_E0206, span, "`%s` is used twice here: their parameters would have the same names", label);
            diag_fix(body->lw->diags, diag, "label the second use: `%s as other_name (…)`", label);
            return false;
        }
    vec_push(&body->labels, label);
    return true;
}

static DefValue *callee_of(Body *body, Scope *scope, const Node *call)
{
    const Val *known = scope_find(scope, call->name);
    if (known && known->kind == VAL_DEF)
        return known->def;
    const Node *definition = module_find(body->lw->module, call->name, NODE_DEFINITION, -1);
    if (known || !definition || (definition->op != AST_DEF_LAYER && definition->op != AST_DEF_ROUTER && definition->op != AST_DEF_NORM)) {
        diag_add(body->lw->diags, DIAG_E0201, call->span, "there is no layer, norm or router `%s` here", call->name);
        return NULL;
    }
    if (module_malformed(body->lw->module, definition))
        return NULL;
    DefValue *def = ARENA_NEW(body->lw->arena, DefValue);
    def->node = definition;
    return def;
}

static int tensor_arguments(Body *body, Scope *scope, const Node *call, LTensor **arguments, int max)
{
    int count = 0;
    for (int i = 0; i < list_count(call->kids[CALL_ARGS]); i++) {
        const Node *argument = list_at(call->kids[CALL_ARGS], i);
        if (argument->kind == NODE_ARG)
            continue;
        const Val *none = argument->kind == NODE_NAME ? scope_find(scope, argument->name) : NULL;
        LTensor *tensor = none && none->kind == VAL_NONE ? NULL : eval_tensor(body, scope, argument);
        if (count == max || (!tensor && !(none && none->kind == VAL_NONE)))
            return -1;
        arguments[count++] = tensor;
    }
    return count;
}

static bool call_with_label(Body *body, Scope *scope, const Node *call, Symbol label, Body *callee)
{
    LTensor *arguments[8];
    DefValue *def = callee_of(body, scope, call);
    const int count = def ? tensor_arguments(body, scope, call, arguments, 8) : -1;
    *callee = (Body){0};
    if (count < 0)
        return false;
    if (def->apply) {
        callee->results[0] = def->apply(def->context, count ? arguments[0] : NULL, label, call->span);
        callee->result_count = callee->results[0] ? 1 : 0;
        return callee->result_count == 1;
    }
    if (!take_label(body, label, call->span))
        return false;
    const char *prefix = arena_printf(body->lw->arena, "%s%s.", body->prefix, label);
    return instantiate(body->lw, body->uc, def, call, scope, arguments, count, prefix, call->span, callee);
}

bool eval_definition_call(Body *body, Scope *scope, const Node *node, Body *callee)
{
    const Node *call = node->kind == NODE_AS ? node->kids[AS_CALL] : node;
    return call_with_label(body, scope, call, node->name, callee);
}

LTensor *eval_tensor(Body *body, Scope *scope, const Node *node)
{
    Lower *lw = body->lw;
    if (node->kind == NODE_NAME) {
        const Val *value = scope_find(scope, node->name);
        if (value && value->kind == VAL_TENSOR)
            return value->tensor;
        if (!value || value->kind != VAL_POISON)
            diag_add(lw->diags, DIAG_E0302, node->span,
                     value && value->kind == VAL_NONE ? "there is no stream yet: a model begins with an embedding" : "there is no tensor `%s` here", node->name);
        return NULL;
    }
    if (node->kind == NODE_BINARY && node->op >= AST_ADD && node->op <= AST_DIV)
        return eval_elementwise(body, scope, node);
    if (node->kind == NODE_CALL || node->kind == NODE_AS) {
        Body callee;
        LTensor *result = eval_definition_call(body, scope, node, &callee) && callee.result_count == 1 ? callee.results[0] : NULL;
        if (callee.result_count > 1)
            diag_add(lw->diags, DIAG_E0406, node->span, "`%s` has %d results: take them apart with `let (a, b) = …`", node->name, callee.result_count);
        body_free(&callee);
        return result;
    }
    if (node->kind != NODE_ERROR)
        diag_add(lw->diags, DIAG_E0411, node->span, "expected a tensor: a name, a definition applied to tensors, or a sum of those");
    return NULL;
}
