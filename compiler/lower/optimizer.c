/* Optimisers and schedules of a recipe as units. */
#include "lower/internal.h"

#include "support/bug.h"

#include <string.h>

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

static void lower_start(Lower *lw, const Module *module)
{
    *lw = (Lower){.arena = module->arena, .interner = module->interner, .diags = module->diags, .module = module};
    lw->program = program_new(lw->arena, lw->interner);
    lw->dims = lw->program->dims;
}

static void lower_stop(Lower *lw)
{
    for (Scope *scope = lw->scopes; scope; scope = scope->next_owned)
        vec_free(&scope->entries);
}

/* `on "*.g" { weight_decay = 0 }` replaces attributes of the expression. */
static bool apply_overrides(Lower *lw, DefValue *def, const Node *overrides)
{
    const Node *attributes = module_find_form(lw->module, def->node->name, AST_DEF_OPTIMIZER, 0)->kids[DEFINITION_PARAMS];
    struct Binding_ *bound = ARENA_ARRAY(lw->arena, struct Binding_, def->count + list_count(overrides));
    for (int i = 0; i < def->count; i++)
        bound[i] = def->bound[i];
    def->bound = bound;
    for (int i = 0; i < list_count(overrides); i++) {
        const Node *setting = list_at(overrides, i), *attribute = NULL;
        for (int k = 0; k < list_count(attributes); k++)
            if (list_at(attributes, k)->name == setting->name && list_at(attributes, k)->kind == NODE_ATTRIBUTE)
                attribute = list_at(attributes, k);
        if (!attribute) {
            diag_add(lw->diags, DIAG_E0203, setting->span, "the optimiser `%s` has no attribute `%s`", def->node->name, setting->name);
            return false;
        }
        Val *value = ARENA_NEW(lw->arena, Val);
        *value = attribute_value(lw, attribute->kids[ATTRIBUTE_TYPE], setting->kids[SETTING_VALUE], scope_new(lw, NULL), setting->name);
        if (value->kind == VAL_POISON)
            return false;
        int at = 0;
        while (at < def->count && bound[at].name != setting->name)
            at++;
        bound[at] = (struct Binding_){setting->name, value, setting->span};
        def->count += at == def->count;
    }
    return true;
}

static LTensor *scalar_formal(Lower *lw, UnitCtx *uc, const char *name)
{
    const Symbol symbol = intern(lw->interner, name);
    return ltensor_new(lw, symbol, formal_add(uc, lw, (FormalInfo){.kind = FORMAL_AMBIENT, .name = symbol, .span = span_none()}, T_REAL, TENSOR_INPUT, 0, NULL, false));
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

OptimizerForm *lower_optimizer(const Module *module, const Node *expression, const Node *overrides, int tensor_rank, double *rate)
{
    Lower lw;
    lower_start(&lw, module);
    const int errors = diag_errors(lw.diags);
    OptimizerForm *form = ARENA_NEW(lw.arena, OptimizerForm);
    const Node *definition = expression->name ? form_for(module, expression->name, tensor_rank, &form->rank) : NULL;
    if (!definition) {
        const Symbol similar = expression->name ? module_similar(module, expression->name, NODE_DEFINITION, AST_DEF_OPTIMIZER) : NULL;
        Diagnostic *diag = diag_add(lw.diags, DIAG_E0201, expression->span, "there is no optimiser `%s` for tensors of rank %d", expression->name ? expression->name : "?", tensor_rank);
        if (similar)
            diag_fix(lw.diags, diag, "did you mean `%s`?", similar);
        return NULL;
    }
    Scope *outer = scope_new(&lw, NULL), *scope = scope_new(&lw, outer);
    scope->barrier = true;
    DefValue *def = def_value(&lw, definition, expression->kind == NODE_CALL ? expression : NULL, outer);
    Instance *instance = ARENA_NEW(lw.arena, Instance);
    UnitCtx uc = {.unit = unit_new(lw.program, definition->name), .instance = instance, .pack = DIM_S0};
    instance->unit = uc.unit;
    Body body = {.lw = &lw, .uc = &uc, .node = definition, .scope = scope, .prefix = ""};
    bool ok = def && apply_overrides(&lw, def, overrides) && bind_operands(&lw, &uc, definition, scope) &&
              attributes_bind(&lw, definition, definition->kids[DEFINITION_PARAMS], NULL, def, outer, scope, expression->span);
    const Symbol rate_name = intern(lw.interner, "rate");
    Val *plateau = ok ? scope_find_local(scope, rate_name) : NULL;
    if (ok && (!plateau || !val_double(plateau, rate))) {
        diag_add(lw.diags, DIAG_E0204, expression->span, "the optimiser `%s` has no `rate`", definition->name);
        ok = false;
    }
    if (ok) {
        LTensor *scheduled = scalar_formal(&lw, &uc, "rate");
        *plateau = (Val){.kind = VAL_TENSOR, .tensor = scheduled, .expr = -1};
        (void)scalar_formal(&lw, &uc, "step");
        const Node *statements = definition->kids[DEFINITION_BODY];
        for (int i = 0; i < list_count(statements); i++)
            statement(&body, list_at(statements, i));
        ok = diag_errors(lw.diags) == errors && body.result_count == 1;
    }
    if (ok) {
        unit_output(uc.unit, intern(lw.interner, "w"), OUTPUT_RESULT, body.results[0]->id);
        collect_states(&lw, instance, form);
        lw.program->main = uc.unit;
        form->unit = uc.unit;
    }
    body_free(&body);
    vec_free(&instance->formals);
    lower_stop(&lw);
    return ok ? form : NULL;
}

Unit *lower_schedule(const Module *module, const Node *expression, int64_t steps)
{
    Lower lw;
    lower_start(&lw, module);
    const Node *definition = expression->name ? module_find(module, expression->name, NODE_DEFINITION, AST_DEF_SCHEDULE) : NULL;
    if (!definition || !definition->kids[DEFINITION_VALUE]) {
        const Symbol similar = expression->name ? module_similar(module, expression->name, NODE_DEFINITION, AST_DEF_SCHEDULE) : NULL;
        Diagnostic *diag = diag_add(lw.diags, DIAG_E0201, expression->span, "there is no schedule `%s`", expression->name ? expression->name : "?");
        if (similar)
            diag_fix(lw.diags, diag, "did you mean `%s`?", similar);
        return NULL;
    }
    Scope *outer = scope_new(&lw, NULL), *scope = scope_new(&lw, outer);
    scope->barrier = true;
    scope_set(outer, intern(lw.interner, "steps"), val_number(&lw, rational_int(steps), expression->span));
    Instance *instance = ARENA_NEW(lw.arena, Instance);
    UnitCtx uc = {.unit = unit_new(lw.program, definition->name), .instance = instance, .pack = -1};
    instance->unit = uc.unit;
    Body body = {.lw = &lw, .uc = &uc, .node = definition, .scope = scope, .prefix = ""};
    (void)scalar_formal(&lw, &uc, "step");
    LTensor *factor = NULL;
    if (attributes_bind(&lw, definition, definition->kids[DEFINITION_PARAMS], expression->kind == NODE_CALL ? expression : NULL, NULL, outer, scope, expression->span))
        factor = define_target(&body, intern(lw.interner, "factor"), NULL, definition->span, definition->kids[DEFINITION_VALUE], NULL, NULL, 0);
    if (factor)
        unit_output(uc.unit, factor->name, OUTPUT_RESULT, factor->id);
    lw.program->main = uc.unit;
    vec_free(&instance->formals);
    lower_stop(&lw);
    return factor ? uc.unit : NULL;
}
