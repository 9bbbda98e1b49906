/* Updates in a shared object: one entry for each form of the optimiser that some parameter needs, whatever its size; sizes are arguments. */
#include "build/build.h"
#include "train/optimizer.h"

#include <stdlib.h>
#include <string.h>

typedef struct StepForm {
    const Node *overrides;
    int tensor_rank;
    OptimizerForm *lowered;
    double rate;
    int entry;
} StepForm;

typedef struct StepForms {
    VEC(StepForm) list;
} StepForms;

static bool same_overrides(const Node *a, const Node *b) { return a && b ? node_equal(a, b) : a == b; }

/* Position in the list, -1 after an error. */
static int form_get(Build *build, StepForms *forms, const StoreEntry *entry, BfmError *error)
{
    Node *overrides = recipe_overrides(build->context, &build->recipe, entry->path, entry->use);
    const int rank = entry->rank > 2 ? 2 : entry->rank;
    for (int i = 0; i < forms->list.count; i++)
        if (forms->list.items[i].tensor_rank == rank && same_overrides(forms->list.items[i].overrides, overrides))
            return i;
    StepForm form = {.overrides = overrides, .tensor_rank = rank, .entry = build->entries.count};
    form.lowered = lower_optimizer(build->model.module, build->recipe.optimizer, overrides, rank, &form.rate);
    if (!form.lowered)
        return -1;
    Unit *unit = form.lowered->unit;
    if (!build_add(build, arena_printf(build->context->arena, "step_%d", forms->list.count), unit->program, unit, NULL, NULL, error))
        return -1;
    vec_push(&forms->list, form);
    return forms->list.count - 1;
}

/* The value that every element of a state begins with. */
static bool state_value(const Build *build, const OptimizerForm *form, int k, BfmModelStepState *state, const int64_t extent[3], BfmError *error)
{
    const DimEnv env = {.value = {[DIM_B] = 1, [DIM_L] = 1, [DIM_S0] = extent[0], extent[1], extent[2], 1, 1, 1, 1, 1}};
    float *values = calloc(state->elements + 1, sizeof *values);
    if (!values)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
    bool ok = init_fill(&form->state_init[k], state->path, build->recipe.seed, &env, (int64_t)state->elements, false, values, error);
    for (uint64_t i = 1; ok && i < state->elements; i++)
        if (values[i] != values[0])
            ok = bfm_error_set(error, BFM_ERROR_INPUT, "%s begins with different values; a shared object can give a state of an optimiser only one", state->path);
    state->value = (double)values[0];
    free(values);
    return ok;
}

static bool add_update(Build *build, const StepForm *form, int tensor, BfmError *error)
{
    Arena *arena = build->context->arena;
    const OptimizerForm *lowered = form->lowered;
    BfmModelUpdate update = {.tensor = (uint64_t)tensor, .entry = (uint64_t)form->entry, .rate = form->rate, .state_count = (uint64_t)lowered->state_count};
    optimizer_extents(&build->store->entries[tensor], lowered->rank, update.extent);
    BfmModelStepState *states = ARENA_ARRAY(arena, BfmModelStepState, lowered->state_count + 1);
    for (int k = 0; k < lowered->state_count; k++) {
        states[k] = (BfmModelStepState){.path = arena_printf(arena, "%s.%s", build->store->entries[tensor].path, lowered->state_names[k]),
                                        .rank = 1 + (uint64_t)lowered->state_rank[k],
                                        .shape = {update.extent[0]},
                                        .elements = (uint64_t)update.extent[0]};
        for (int a = 0; a < lowered->state_rank[k]; a++) {
            states[k].shape[1 + a] = update.extent[lowered->state_axes[2 * k + a] - DIM_S0];
            states[k].elements *= (uint64_t)states[k].shape[1 + a];
        }
        if (!state_value(build, lowered, k, &states[k], update.extent, error))
            return false;
    }
    update.states = states;
    vec_push(&build->updates, update);
    return true;
}

/* The factor on the rate as an entry of its own. */
static bool add_schedule(Build *build, BfmError *error)
{
    Unit *unit = build->recipe.schedule ? lower_schedule(build->model.module, build->recipe.schedule, build->recipe.steps) : NULL;
    return !build->recipe.schedule || (unit && build_add(build, "schedule", unit->program, unit, NULL, NULL, error));
}

bool build_step(Build *build, BfmError *error)
{
    StepForms forms = {0};
    bool ok = true;
    *error = (BfmError){.kind = BFM_ERROR_INPUT}; /* where a form cannot be lowered, the diagnostics say why */
    for (int t = 0; ok && t < build->store->count; t++) {
        if (build->store->entries[t].role != TENSOR_PARAM || build->store->entries[t].elsewhere)
            continue;
        const int form = form_get(build, &forms, &build->store->entries[t], error);
        ok = form >= 0 && add_update(build, &forms.list.items[form], t, error);
    }
    vec_free(&forms.list);
    ok = ok && add_schedule(build, error);
    return ok || (diag_errors(build->context->diags) > 0 ? context_rejected(error) : false);
}
