/* Optimisers and schedules of a recipe as units. */
#include "lower/internal.h"

#include "ir/needs.h"

#include "support/bug.h"

#include <string.h>

/* ---- what a recipe names ---- */

/* "adafactor, adamw": definitions of a kind that the file can name. NULL: there are none. */
static const char *known_names(const Module *module, int kind)
{
    Str list = {0};
    for (int i = 0; i < module->item_count; i++) {
        const Node *item = module->items[i].node;
        if (item->kind == NODE_DEFINITION && item->op == kind && module_find_form(module, item->name, kind, 0) == item)
            str_printf(&list, "%s%s", list.length ? ", " : "", item->name);
    }
    const char *copy = list.length ? arena_strdup(module->arena, str_text(&list)) : NULL;
    str_free(&list);
    return copy;
}

/* What a recipe asks for and the file cannot name. */
static void not_found(const Module *module, const Node *expression, int kind)
{
    const char *what = kind == AST_DEF_OPTIMIZER ? "optimiser" : "schedule", *known = known_names(module, kind);
    const Symbol name = expression->name, similar = name ? module_similar(module, name, NODE_DEFINITION, kind) : NULL;
    const Node *other = name ? module_find_any(module, name) : NULL;
    Diagnostic *diag = diag_add(module->diags, other ? DIAG_E0202 : DIAG_E0201, expression->span, "there is no %s `%s`", what, name ? name : "?");
    if (other)
        diag_label(module->diags, diag, other->name_span, "`%s` is something else", name);
    if (known)
        diag_note(module->diags, diag, "known are: %s", known);
    if (similar && !other)
        diag_fix(module->diags, diag, "did you mean `%s`?", similar);
    else if (!known)
        diag_fix(module->diags, diag, "`use std.%ss` brings the library's", kind == AST_DEF_OPTIMIZER ? "optimizer" : "schedule");
}

/* The form that serves a tensor of this rank: the one that looks at most axes among those it has. */
static const Node *form_for(const Module *module, Symbol name, int rank, int *form_rank)
{
    const Node *best = NULL;
    for (int n = 0;; n++) {
        const Node *form = module_find_form(module, name, AST_DEF_OPTIMIZER, n);
        if (!form)
            break;
        const Node *inputs = form->kids[DEFINITION_INPUTS];
        const int axes = list_count(inputs) ? list_count(list_at(inputs, 0)->kids[INPUT_AXES]) : 0;
        if ((axes <= rank || (axes == 1 && rank == 0)) && (!best || axes > *form_rank)) {
            best = form;
            *form_rank = axes;
        }
    }
    return best;
}

bool optimizer_has_form(const Module *module, const Node *expression, int tensor_rank)
{
    int rank = 0;
    return expression->name && form_for(module, expression->name, tensor_rank, &rank) != NULL;
}

/* Errors were reported in one of the definitions of this name. */
static bool any_malformed(const Module *module, Symbol name, int def)
{
    for (int n = 0; name; n++) {
        const Node *form = module_find_form(module, name, def, n);
        if (!form || module_malformed(module, form))
            return form != NULL;
    }
    return false;
}

static void lower_start(Lower *lw, const Module *module)
{
    *lw = (Lower){.arena = module->arena, .interner = module->interner, .diags = module->diags, .module = module};
    lw->program = program_new(lw->arena, lw->interner);
    lw->dims = lw->program->dims;
}

/* Errors inside a definition of the library also show what asked for it. */
static void point_at(const Module *module, int first, Span span)
{
    for (int i = first; i < diag_count(module->diags); i++) {
        Diagnostic *diag = (Diagnostic *)diag_get(module->diags, i);
        if (diag->span.file != span.file)
            diag_label(module->diags, diag, span, "asked for here");
    }
}

/* NULL after an error. */
static Val *override_value(Lower *lw, const DefValue *def, const Node *setting)
{
    const Node *attributes = module_find_form(lw->module, def->node->name, AST_DEF_OPTIMIZER, 0)->kids[DEFINITION_PARAMS];
    const Node *attribute = list_find(lw, attributes, NODE_ATTRIBUTE, setting->name);
    if (!attribute) {
        attribute_unknown(lw, def->node, attributes, setting);
        return NULL;
    }
    Val *value = ARENA_NEW(lw->arena, Val);
    *value = attribute_value(lw, attribute->kids[ATTRIBUTE_TYPE], setting->kids[SETTING_VALUE], scope_new(lw, NULL), setting->name);
    return value->kind == VAL_POISON ? NULL : value;
}

/* `on "*.g" { weight_decay = 0 }` replaces attributes of the expression. */
static bool apply_overrides(Lower *lw, DefValue *def, const Node *overrides)
{
    struct Binding_ *bound = ARENA_ARRAY(lw->arena, struct Binding_, def->count + list_count(overrides));
    PointerMap places = {0};
    bool ok = true;
    for (int i = 0; i < def->count; i++) {
        bound[i] = def->bound[i];
        pointer_map_set(&places, bound[i].name, i);
    }
    def->bound = bound;
    for (int i = 0; i < list_count(overrides) && ok; i++) {
        const Node *setting = list_at(overrides, i);
        Val *value = override_value(lw, def, setting);
        const int known = pointer_map_find(&places, setting->name), at = known < 0 ? def->count : known;
        ok = value != NULL;
        if (!ok)
            break;
        bound[at] = (struct Binding_){setting->name, value, setting->span};
        pointer_map_set(&places, setting->name, at);
        def->count += known < 0;
    }
    pointer_map_free(&places);
    bound_index(lw, def);
    return ok;
}

static LTensor *scalar_formal(Lower *lw, UnitCtx *uc, const char *name)
{
    const Symbol symbol = intern(lw->interner, name);
    return ltensor_new(lw, symbol, formal_add(uc, lw, (FormalInfo){.kind = FORMAL_AMBIENT, .name = symbol, .span = span_none()}, T_REAL, TENSOR_INPUT, 0, NULL, false));
}

/* Where the attributes come from: the settings of groups, else the expression. */
static Span overridden(const Node *overrides, const Node *expression)
{
    Span span = list_count(overrides) > 0 ? list_at(overrides, 0)->span : expression->span;
    for (int i = 1; i < list_count(overrides); i++) {
        const Span next = list_at(overrides, i)->span;
        if (next.file == span.file && next.end > span.end)
            span.end = next.end;
    }
    return span;
}

/* w and g: packed tensors whose axes are the symbols s1, s2. */
static bool bind_operands(Lower *lw, UnitCtx *uc, const Node *form, Scope *scope)
{
    const Node *inputs = form->kids[DEFINITION_INPUTS];
    if (list_count(inputs) != 2) {
        diag_add(lw->diags, DIAG_E0411, form->span, "an optimiser takes a tensor and its gradient: (w[m, n], g[m, n]; …)");
        return false;
    }
    for (int i = 0; i < 2; i++) {
        const Node *input = list_at(inputs, i), *entries = input->kids[INPUT_AXES];
        Axis axes[2];
        const int rank = list_count(entries);
        for (int k = 0; k < rank && k < 2; k++) {
            axes[k] = axis_of(dim_symbol(lw->dims, DIM_S0 + 1 + k));
            if (!scope_find_local(scope, list_at(entries, k)->name))
                scope_set(scope, list_at(entries, k)->name, (Val){.kind = VAL_AXIS, .axis = axes[k], .span = input->span, .expr = -1});
        }
        LTensor *tensor = ltensor_new(lw, input->name, -1);
        tensor->id = formal_add(uc, lw, (FormalInfo){.kind = FORMAL_STREAM, .name = input->name, .span = input->span}, T_REAL, TENSOR_INPUT, rank, axes, true);
        tensor->rank = rank;
        memcpy(tensor->axes, axes, (size_t)rank * sizeof *axes);
        tensor->packed = true;
        scope_set(scope, input->name, (Val){.kind = VAL_TENSOR, .tensor = tensor, .span = input->span, .expr = -1});
    }
    return true;
}

/* The driver makes room for a state by the axes of the tensor: each axis of the state is one of those. */
static bool states_fit(Lower *lw, const Instance *instance, int form_rank)
{
    const Unit *unit = instance->unit;
    for (int i = 0; i < unit->formal_count; i++) {
        const FormalInfo *info = &instance->formals.items[i];
        const Tensor *tensor = &unit->tensors[unit->formals[i]];
        bool fits = info->kind != FORMAL_STATE || tensor->rank <= 3;
        for (int k = 1; info->kind == FORMAL_STATE && fits && k < tensor->rank; k++) {
            fits = false;
            for (int s = 0; s < form_rank && !fits; s++)
                fits = tensor->extent[k] == dim_symbol(lw->dims, DIM_S0 + 1 + s);
        }
        if (fits)
            continue;
        Diagnostic *diag =
            diag_add(lw->diags, DIAG_E0410, info->span, "the state `%s` of an optimizer has at most two axes, each an axis of the tensor that is updated", info->name);
        diag_fix(lw->diags, diag, "for example `state m[i] = 0` for a tensor w[i, j]");
        return false;
    }
    return true;
}

static void collect_states(Lower *lw, const Instance *instance, OptimizerForm *form)
{
    const Unit *unit = instance->unit;
    form->state_names = ARENA_ARRAY(lw->arena, Symbol, unit->formal_count);
    form->state_rank = ARENA_ARRAY(lw->arena, int, unit->formal_count);
    form->state_axes = ARENA_ARRAY(lw->arena, int, 2 * unit->formal_count);
    form->state_init = ARENA_ARRAY(lw->arena, Init, unit->formal_count);
    for (int i = 0; i < unit->formal_count; i++) {
        const FormalInfo *info = &instance->formals.items[i];
        if (info->kind != FORMAL_STATE)
            continue;
        const Tensor *tensor = &unit->tensors[unit->formals[i]];
        const int at = form->state_count++;
        form->state_names[at] = info->name;
        form->state_init[at] = info->init;
        form->state_rank[at] = tensor->rank - 1;
        for (int k = 1; k < tensor->rank && k < 3; k++)
            form->state_axes[2 * at + k - 1] = dim_uses(tensor->extent[k], DIM_S0 + 2) ? DIM_S0 + 2 : DIM_S0 + 1;
    }
}

/* Requirements at the head of the first form are of its attributes: they hold for every form, and see the rate that the recipe gives. */
static bool requirements(Body *body, const Node *first)
{
    const Node *statements = first->kids[DEFINITION_BODY];
    for (int i = 0; i < list_count(statements) && list_at(statements, i)->kind == NODE_REQUIRE; i++)
        statement(body, list_at(statements, i));
    return !body->failed;
}

/* An optimiser gives the new value of its tensor and has states; what belongs to a model is reported where it stands. */
static bool statements_fit(Lower *lw, const Node *definition, const Node *statements)
{
    bool fit = true;
    for (int i = 0; i < list_count(statements); i++) {
        const Node *node = list_at(statements, i);
        if (node->kind == NODE_IF) {
            fit = statements_fit(lw, definition, node->kids[IF_THEN]) && fit;
            fit = statements_fit(lw, definition, node->kids[IF_ELSE]) && fit;
        } else if (node->kind == NODE_PARAM || node->kind == NODE_LOSS || node->kind == NODE_METRIC || (node->kind == NODE_STATE && definition->op == AST_DEF_SCHEDULE)) {
            Diagnostic *diag =
                diag_add(lw->diags, DIAG_E0412, node->span, "a %s cannot stand in the %s `%s`", node_kind_text(node->kind), ast_def_text(definition->op), definition->name);
            if (definition->op == AST_DEF_OPTIMIZER)
                diag_fix(lw->diags, diag, "what an optimizer keeps from step to step is a `state`; its constants are attributes");
            fit = false;
        }
    }
    return fit;
}

/* The one result is the new value of w, with the axes of w. */
static bool result_fits(Lower *lw, const Body *body, const Node *definition)
{
    if (body->failed)
        return false;
    if (!body->returned) {
        diag_add(lw->diags, DIAG_E0406, definition->name_span, "`%s` returns nothing with these attributes", definition->name);
        return false;
    }
    if (body->result_count > 1) {
        diag_add(lw->diags, DIAG_E0406, definition->name_span, "`%s` returns %d value%s; an optimizer returns one, the new value of `%s`", definition->name, body->result_count,
                 plural(body->result_count), list_at(definition->kids[DEFINITION_INPUTS], 0)->name);
        return false;
    }
    if (body->result_count == 0)
        return false;
    const LTensor *result = body->results[0];
    const Node *w = list_at(definition->kids[DEFINITION_INPUTS], 0);
    bool same = result->rank == list_count(w->kids[INPUT_AXES]) && result->packed && result->domain_op < 0;
    for (int i = 0; same && i < result->rank; i++)
        same = axis_size(lw, &result->axes[i]) == dim_symbol(lw->dims, DIM_S0 + 1 + i);
    if (!same)
        diag_label(lw->diags, diag_add(lw->diags, DIAG_E0406, result->span, "the result of `%s` has not the axes of `%s`", definition->name, w->name), w->span,
                   "it is the new value of this tensor");
    return same;
}

OptimizerForm *lower_optimizer(const Module *module, const Node *expression, const Node *overrides, int tensor_rank, double *rate)
{
    Lower lw;
    if (any_malformed(module, expression->name, AST_DEF_OPTIMIZER))
        return NULL;
    lower_start(&lw, module);
    const int errors = diag_raised(lw.diags);
    OptimizerForm *form = ARENA_NEW(lw.arena, OptimizerForm);
    const Node *definition = expression->name ? form_for(module, expression->name, tensor_rank, &form->rank) : NULL;
    const Node *first = expression->name ? module_find_form(module, expression->name, AST_DEF_OPTIMIZER, 0) : NULL;
    if ((first && module_malformed(module, first)) || (definition && module_malformed(module, definition)))
        return NULL;
    if (!definition && first) {
        Diagnostic *diag =
            diag_add(lw.diags, DIAG_E0201, expression->span, "the optimiser `%s` has no form for tensors of %d %s", expression->name, tensor_rank, axes_word(tensor_rank));
        diag_fix(lw.diags, diag, "write one more: `optimizer %s(w[n], g[n]) { … }`, or w[], g[] if each element is updated by itself", expression->name);
    } else if (!definition) {
        not_found(module, expression, AST_DEF_OPTIMIZER);
    }
    if (!definition)
        return NULL;
    const int reported = diag_count(lw.diags);
    Scope *outer = scope_new(&lw, NULL), *scope = scope_new(&lw, outer);
    scope->barrier = true;
    DefValue *def = def_value(&lw, definition, expression->kind == NODE_CALL ? expression : NULL, outer);
    Instance *instance = ARENA_NEW(lw.arena, Instance);
    UnitCtx uc = {.unit = unit_new(lw.program, definition->name), .instance = instance, .pack = DIM_S0};
    instance->unit = uc.unit;
    Body body = {.lw = &lw, .uc = &uc, .node = definition, .scope = scope, .prefix = ""};
    bool ok = def && statements_fit(&lw, definition, definition->kids[DEFINITION_BODY]) && apply_overrides(&lw, def, overrides) && bind_operands(&lw, &uc, definition, scope) &&
              attributes_bind(&lw, definition, definition->kids[DEFINITION_PARAMS], NULL, def, outer, scope, expression->span);
    const Symbol rate_name = intern(lw.interner, "rate");
    Val *plateau = ok ? scope_find_local(scope, rate_name) : NULL;
    if (ok && (!plateau || !val_double(plateau, rate))) {
        diag_add(lw.diags, DIAG_E0204, expression->span, "the optimiser `%s` has no `rate`", definition->name);
        ok = false;
    }
    ok = ok && requirements(&body, first);
    if (ok) {
        LTensor *scheduled = scalar_formal(&lw, &uc, "rate");
        *plateau = (Val){.kind = VAL_TENSOR, .tensor = scheduled, .expr = -1};
        (void)scalar_formal(&lw, &uc, "step");
        const Node *statements = definition->kids[DEFINITION_BODY];
        bool head = true;
        for (int i = 0; i < list_count(statements); i++) {
            head = head && list_at(statements, i)->kind == NODE_REQUIRE && definition == first;
            if (!head)
                statement(&body, list_at(statements, i));
        }
        ok = diag_raised(lw.diags) == errors && result_fits(&lw, &body, definition) && states_fit(&lw, instance, form->rank);
    }
    if (ok) {
        unit_output(uc.unit, intern(lw.interner, "w"), OUTPUT_RESULT, tensor_plain(&body, body.results[0], false)->id);
        collect_states(&lw, instance, form);
        unread_warn(&lw, definition, scope);
        lw.program->main = uc.unit;
        needs_collect(lw.program, place_text, &lw);
        form->unit = uc.unit;
        program_expect(lw.program, "lowering");
    }
    point_at(module, reported, overridden(overrides, expression));
    body_free(&body);
    vec_free(&instance->formals);
    lower_free(&lw);
    return ok ? form : NULL;
}

/* `= value`, or a body that returns it. */
static LTensor *schedule_value(Body *body, const Node *definition)
{
    Lower *lw = body->lw;
    const Node *value = definition->kids[DEFINITION_VALUE], *statements = definition->kids[DEFINITION_BODY];
    if (value)
        return define_target(body, intern(lw->interner, "factor"), NULL, definition->span, value, NULL, NULL, 0);
    for (int i = 0; i < list_count(statements); i++)
        statement(body, list_at(statements, i));
    if (body->result_count == 1 && body->results[0]->rank == 0)
        return body->results[0];
    if (!body->failed)
        diag_fix(lw->diags, diag_add(lw->diags, DIAG_E0406, definition->name_span, "the schedule `%s` does not give one number", definition->name),
                 "end it with `return` and an expression");
    return NULL;
}

Unit *lower_schedule(const Module *module, const Node *expression, int64_t steps)
{
    Lower lw;
    if (any_malformed(module, expression->name, AST_DEF_SCHEDULE))
        return NULL;
    lower_start(&lw, module);
    const Node *definition = expression->name ? module_find(module, expression->name, NODE_DEFINITION, AST_DEF_SCHEDULE) : NULL;
    if (!definition) {
        not_found(module, expression, AST_DEF_SCHEDULE);
        return NULL;
    }
    if (module_malformed(module, definition))
        return NULL;
    const int errors = diag_raised(lw.diags), reported = diag_count(lw.diags);
    Scope *outer = scope_new(&lw, NULL), *scope = scope_new(&lw, outer);
    scope->barrier = true;
    scope_set(outer, intern(lw.interner, "steps"), val_number(&lw, rational_int(steps), expression->span));
    Instance *instance = ARENA_NEW(lw.arena, Instance);
    UnitCtx uc = {.unit = unit_new(lw.program, definition->name), .instance = instance, .pack = -1};
    instance->unit = uc.unit;
    Body body = {.lw = &lw, .uc = &uc, .node = definition, .scope = scope, .prefix = ""};
    (void)scalar_formal(&lw, &uc, "step");
    LTensor *factor = NULL;
    if (statements_fit(&lw, definition, definition->kids[DEFINITION_BODY]) &&
        attributes_bind(&lw, definition, definition->kids[DEFINITION_PARAMS], expression->kind == NODE_CALL ? expression : NULL, NULL, outer, scope, expression->span))
        factor = schedule_value(&body, definition);
    point_at(module, reported, expression->span);
    factor = diag_raised(lw.diags) == errors ? factor : NULL;
    if (factor)
        unread_warn(&lw, definition, scope);
    if (factor)
        unit_output(uc.unit, factor->name, OUTPUT_RESULT, factor->id);
    lw.program->main = uc.unit;
    if (factor)
        program_expect(lw.program, "lowering");
    body_free(&body);
    vec_free(&instance->formals);
    lower_free(&lw);
    return factor ? uc.unit : NULL;
}
