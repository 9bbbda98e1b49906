/* Each parameter has a Slot: its form (shared by parameters with the same overrides and shape), its gradient, its states. Engines that can run a form over
   pieces of the parameter, which needs little memory besides; else its results go to the engine's memory and are copied home. */
#include "train/optimizer.h"

#include "ir/interp.h"
#include "memory/buffer.h"
#include "support/bug.h"
#include "support/glob.h"
#include "support/vec.h"

#include <math.h>
#include <string.h>

enum { FORMAL_W, FORMAL_G, FORMAL_RATE, FORMAL_STEP, FORMAL_STATES };

typedef struct Form {
    const Node *overrides; /* LIST or NULL */
    int tensor_rank;       /* 0, 1, 2 */
    OptimizerForm *lowered;
    double rate;
    int64_t extent[3]; /* s0, s1, s2 */
    Executable *executable;
    BfmUpdate *update; /* NULL: the engine has none */
} Form;

typedef struct Slot {
    StoreEntry *entry;
    Form *form;
    int first_state; /* of form->lowered->state_count ones */
    void *gradient;  /* of the engine, or `sum`; numbers as wide as the engine's */
    void *sum;       /* over micro-batches; NULL until there are several */
} Slot;

/* A number as a form reads it: as wide as the engine's. */
typedef union Number {
    float narrow;
    double wide;
} Number;

struct Optimizer {
    const BfmContext *context;
    Engine *engine;
    const Module *module;
    const Recipe *recipe;
    bool wide;         /* numbers are double */
    Number rate, step; /* what the forms read */
    double plain_rate;
    VEC(Form *) forms;
    VEC(Slot) slots;
    VEC(OptimizerState) states;
    void *scaled; /* the largest gradient, times the scale */
};

/* ---- numbers of either width ---- */

static size_t number_bytes(const Optimizer *optimizer) { return optimizer->wide ? sizeof(double) : sizeof(float); }

static void number_set(const Optimizer *optimizer, Number *number, double value)
{
    if (optimizer->wide)
        number->wide = value;
    else
        number->narrow = (float)value;
}

/* to = weight · from, or to += weight · from. */
static void add_weighted(const Optimizer *optimizer, void *to, const void *from, int64_t count, double weight, bool first)
{
    if (optimizer->wide) {
        double *sum = to;
        const double *part = from;
        for (int64_t i = 0; i < count; i++)
            sum[i] = first ? weight * part[i] : sum[i] + weight * part[i];
        return;
    }
    float *sum = to;
    const float *part = from, factor = (float)weight;
    for (int64_t i = 0; i < count; i++)
        sum[i] = first ? factor * part[i] : sum[i] + factor * part[i];
}

static double squares(const Optimizer *optimizer, const void *values, int64_t count)
{
    const double *wide = values;
    double sum = 0;
    if (!optimizer->wide)
        return bfm_square_sum(engine_pool(optimizer->engine), values, count);
    for (int64_t i = 0; i < count; i++)
        sum += wide[i] * wide[i];
    return sum;
}

/* ---- forms ---- */

static bool same_overrides(const Node *a, const Node *b) { return a && b ? node_equal(a, b) : a == b; }

void optimizer_extents(const StoreEntry *entry, int form_rank, int64_t extent[3])
{
    extent[0] = extent[1] = extent[2] = 1;
    for (int i = 0; i < entry->rank; i++) {
        const int from_end = entry->rank - i; /* 1: the last axis */
        extent[from_end > form_rank ? 0 : 1 + form_rank - from_end] *= entry->shape[i];
    }
}

static DimEnv form_env(const Form *form) { return (DimEnv){.value = {[DIM_B] = 1, [DIM_L] = 1, [DIM_S0] = form->extent[0], form->extent[1], form->extent[2], 1, 1, 1, 1, 1}}; }

static bool form_compile(Optimizer *optimizer, Form *form, BfmError *error)
{
    const DimEnv env = form_env(form);
    form->executable = engine_compile(optimizer->engine, form->lowered->unit->program, form->lowered->unit, error);
    if (!form->executable || !engine_updates(optimizer->engine))
        return form->executable && executable_bind(form->executable, &env, error);
    form->update = executable_updater(form->executable, error);
    return form->update != NULL;
}

static Form *form_get(Optimizer *optimizer, const StoreEntry *entry, BfmError *error)
{
    Node *overrides = recipe_overrides(optimizer->context, optimizer->recipe, entry->path, entry->use);
    const int rank = entry->rank > 2 ? 2 : entry->rank;
    Form made = {.overrides = overrides, .tensor_rank = rank};
    for (int i = 0; i < optimizer->forms.count && !made.lowered; i++) {
        const Form *form = optimizer->forms.items[i];
        if (form->tensor_rank == rank && same_overrides(form->overrides, overrides))
            made = *form;
    }
    if (!made.lowered)
        made.lowered = lower_optimizer(optimizer->module, optimizer->recipe->optimizer, overrides, rank, &made.rate);
    if (!made.lowered)
        return NULL;
    optimizer_extents(entry, made.lowered->rank, made.extent);
    for (int i = 0; i < optimizer->forms.count; i++)
        if (optimizer->forms.items[i]->lowered == made.lowered && memcmp(optimizer->forms.items[i]->extent, made.extent, sizeof made.extent) == 0)
            return optimizer->forms.items[i];
    Form *form = ARENA_NEW(optimizer->context->arena, Form);
    *form = made;
    form->executable = NULL;
    form->update = NULL;
    vec_push(&optimizer->forms, form); /* freed with the others, however far it came */
    return form_compile(optimizer, form, error) ? form : NULL;
}

/* ---- slots ---- */

static bool states_new(Optimizer *optimizer, Slot *slot, BfmError *error)
{
    const OptimizerForm *form = slot->form->lowered;
    const int64_t *extent = slot->form->extent;
    const DimEnv env = {.value = {[DIM_B] = 1, [DIM_L] = 1, [DIM_S0] = extent[0], extent[1], extent[2], 1, 1, 1, 1, 1}};
    slot->first_state = optimizer->states.count;
    for (int k = 0; k < form->state_count; k++) {
        OptimizerState state = {.name = arena_printf(optimizer->context->arena, "%s.%s", slot->entry->path, form->state_names[k]),
                                .rank = 1 + form->state_rank[k],
                                .shape = {extent[0]},
                                .elements = extent[0],
                                .wide = optimizer->wide};
        for (int a = 0; a < form->state_rank[k]; a++) {
            state.shape[1 + a] = extent[form->state_axes[2 * k + a] - DIM_S0];
            state.elements *= state.shape[1 + a];
        }
        state.data = bfm_buffer_new((size_t)state.elements * number_bytes(optimizer));
        if (!state.data)
            return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted by the optimiser's states");
        vec_push(&optimizer->states, state);
        if (!init_fill(&form->state_init[k], state.name, optimizer->recipe->seed, &env, state.elements, optimizer->wide, state.data, error))
            return false;
    }
    return true;
}

static bool slot_new(Optimizer *optimizer, StoreEntry *entry, BfmError *error)
{
    Slot slot = {.entry = entry, .form = form_get(optimizer, entry, error)};
    if (!slot.form)
        return false;
    const bool several = optimizer->recipe->accumulate > 1;
    slot.sum = several ? bfm_buffer_new((size_t)entry->elements * number_bytes(optimizer)) : NULL;
    vec_push(&optimizer->slots, slot);
    if (several && !slot.sum)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted by the gradients");
    return states_new(optimizer, &vec_last(&optimizer->slots), error);
}

bool optimizer_is_frozen(const Frozen *frozen, const char *path)
{
    for (int i = 0; i < frozen->count; i++)
        if (glob_match(frozen->globs[i], path))
            return true;
    return false;
}

/* A glob that matches nothing is a slip that would train what should rest. */
static bool frozen_match(const Frozen *frozen, const Store *store, BfmError *error)
{
    for (int i = 0; i < frozen->count; i++) {
        bool found = false;
        for (int e = 0; e < store->count && !found; e++)
            found = store->entries[e].role == TENSOR_PARAM && glob_match(frozen->globs[i], store->entries[e].path);
        if (!found)
            return bfm_error_set(error, BFM_ERROR_INPUT, "--freeze %s matches no parameter; a glob stands for a whole path, such as %s", frozen->globs[i],
                                 store->count > 0 ? store->entries[0].path : "ffn_0.w_in");
    }
    return true;
}

static bool slots_new(Optimizer *optimizer, const Store *store, const Frozen *frozen, BfmError *error)
{
    int64_t largest = 1;
    for (int i = 0; i < store->count; i++) {
        StoreEntry *entry = &store->entries[i];
        if (entry->role != TENSOR_PARAM || entry->elsewhere || optimizer_is_frozen(frozen, entry->path))
            continue;
        if (!slot_new(optimizer, entry, error))
            return false;
        largest = entry->elements > largest && !engine_updates(optimizer->engine) ? entry->elements : largest;
    }
    optimizer->scaled = bfm_buffer_new((size_t)largest * number_bytes(optimizer));
    return optimizer->scaled || bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted by the gradients");
}

Optimizer *optimizer_new(const BfmContext *context, Engine *engine, const Module *module, const Recipe *recipe, const Store *store, const Frozen *frozen, BfmError *error)
{
    Optimizer *optimizer = ARENA_NEW(context->arena, Optimizer);
    *optimizer = (Optimizer){.context = context, .engine = engine, .module = module, .recipe = recipe, .wide = engine_wide(engine)};
    *error = (BfmError){.kind = BFM_ERROR_INPUT}; /* where a form cannot be lowered, the diagnostics say why */
    if (frozen_match(frozen, store, error) && slots_new(optimizer, store, frozen, error)) {
        (void)lower_optimizer(module, recipe->optimizer, NULL, 2, &optimizer->plain_rate); /* groups may have others */
        return optimizer;
    }
    if (diag_errors(context->diags) > 0)
        (void)context_rejected(error);
    optimizer_free(optimizer);
    return NULL;
}

void optimizer_free(Optimizer *optimizer)
{
    if (!optimizer)
        return;
    for (int i = 0; i < optimizer->forms.count; i++) {
        bfm_update_free(optimizer->forms.items[i]->update);
        executable_free(optimizer->forms.items[i]->executable);
    }
    for (int i = 0; i < optimizer->slots.count; i++)
        bfm_buffer_free(optimizer->slots.items[i].sum);
    for (int i = 0; i < optimizer->states.count; i++)
        bfm_buffer_free(optimizer->states.items[i].data);
    bfm_buffer_free(optimizer->scaled);
    vec_free(&optimizer->forms);
    vec_free(&optimizer->slots);
    vec_free(&optimizer->states);
}

/* ---- a step ---- */

static void *gradient_of(const Runner *runner, const StoreEntry *entry)
{
    for (int o = 0; o < runner->unit->output_count; o++) {
        const Output *output = &runner->unit->outputs[o];
        if (output->kind == OUTPUT_GRAD && runner->lowered->program->bindings[output->formal].path == entry->path)
            return executable_output(runner->executable, o);
    }
    return NULL;
}

void optimizer_collect(Optimizer *optimizer, const Runner *runner, double weight, bool first)
{
    for (int s = 0; s < optimizer->slots.count; s++) {
        Slot *slot = &optimizer->slots.items[s];
        void *from = gradient_of(runner, slot->entry);
        slot->gradient = slot->sum ? slot->sum : from;
        if (slot->sum)
            add_weighted(optimizer, slot->sum, from, slot->entry->elements, weight, first);
    }
}

void optimizer_give(Optimizer *optimizer, const StoreEntry *entry, void *gradient)
{
    for (int s = 0; s < optimizer->slots.count; s++)
        if (optimizer->slots.items[s].entry == entry)
            optimizer->slots.items[s].gradient = gradient;
}

double optimizer_norm(const Optimizer *optimizer)
{
    double total = 0;
    for (int s = 0; s < optimizer->slots.count; s++)
        total += squares(optimizer, optimizer->slots.items[s].gradient, optimizer->slots.items[s].entry->elements);
    return sqrt(total);
}

static void copy_home(const Optimizer *optimizer, void *home, const void *result, int64_t elements)
{
    if (home != result)
        memcpy(home, result, (size_t)elements * number_bytes(optimizer));
}

enum { STATES_MOST = 32 };

/* Every result in its place, piece by piece. */
static bool slot_update(Optimizer *optimizer, Slot *slot, double scale, int64_t step, BfmError *error)
{
    const OptimizerForm *form = slot->form->lowered;
    const OptimizerState *states = &optimizer->states.items[slot->first_state];
    const DimEnv env = form_env(slot->form);
    void *formals[FORMAL_STATES + STATES_MOST] = {[FORMAL_W] = slot->entry->data, [FORMAL_G] = slot->gradient, [FORMAL_RATE] = &optimizer->rate, [FORMAL_STEP] = &optimizer->step};
    void *homes[STATES_MOST + 1] = {NULL};
    BFM_ASSERT(form->state_count <= STATES_MOST && form->unit->output_count <= STATES_MOST + 1);
    for (int k = 0; k < form->state_count; k++)
        formals[FORMAL_STATES + k] = states[k].data;
    for (int o = 0; o < form->unit->output_count; o++) {
        const Output *output = &form->unit->outputs[o];
        homes[o] = output->kind == OUTPUT_RESULT ? slot->entry->data : output->kind == OUTPUT_NEXT ? states[output->formal - FORMAL_STATES].data : NULL;
    }
    BfmUpdateCall call = {.leading = DIM_S0, .formals = formals, .homes = homes, .scaled = FORMAL_G, .scale = scale, .seed = optimizer->recipe->seed, .step = (uint64_t)step};
    memcpy(call.symbols, env.value, sizeof call.symbols);
    return bfm_update_run(slot->form->update, &call, error);
}

static bool slot_apply(Optimizer *optimizer, Slot *slot, double scale, int64_t step, BfmError *error)
{
    Executable *executable = slot->form->executable;
    const OptimizerForm *form = slot->form->lowered;
    const OptimizerState *states = &optimizer->states.items[slot->first_state];
    if (scale != 1)
        add_weighted(optimizer, optimizer->scaled, slot->gradient, slot->entry->elements, scale, true);
    executable_set_formal(executable, FORMAL_W, slot->entry->data);
    executable_set_formal(executable, FORMAL_G, scale != 1 ? optimizer->scaled : slot->gradient);
    executable_set_formal(executable, FORMAL_RATE, &optimizer->rate);
    executable_set_formal(executable, FORMAL_STEP, &optimizer->step);
    for (int k = 0; k < form->state_count; k++)
        executable_set_formal(executable, FORMAL_STATES + k, states[k].data);
    if (!executable_run(executable, optimizer->recipe->seed, (uint64_t)step, error))
        return false;
    for (int o = 0; o < form->unit->output_count; o++) {
        const Output *output = &form->unit->outputs[o];
        if (output->kind == OUTPUT_RESULT)
            copy_home(optimizer, slot->entry->data, executable_output(executable, o), slot->entry->elements);
        else if (output->kind == OUTPUT_NEXT)
            copy_home(optimizer, states[output->formal - FORMAL_STATES].data, executable_output(executable, o), states[output->formal - FORMAL_STATES].elements);
    }
    return true;
}

bool optimizer_apply(Optimizer *optimizer, double scale, double factor, int64_t step, BfmError *error)
{
    number_set(optimizer, &optimizer->step, (double)step);
    for (int s = 0; s < optimizer->slots.count; s++) {
        Slot *slot = &optimizer->slots.items[s];
        number_set(optimizer, &optimizer->rate, slot->form->rate * factor);
        if (!(slot->form->update ? slot_update : slot_apply)(optimizer, slot, scale, step, error))
            return false;
    }
    return true;
}

int optimizer_state_count(const Optimizer *optimizer) { return optimizer->states.count; }
const OptimizerState *optimizer_state(const Optimizer *optimizer, int index) { return &optimizer->states.items[index]; }
double optimizer_rate(const Optimizer *optimizer) { return optimizer->plain_rate; }

BfmTensor optimizer_tensor(Arena *arena, const OptimizerState *state)
{
    BfmTensor tensor = {.name = arena_printf(arena, "optimizer/%s", state->name), .dtype = state->wide ? BFM_DTYPE_F64 : BFM_DTYPE_F32, .rank = state->rank, .data = state->data};
    memcpy(tensor.shape, state->shape, sizeof tensor.shape);
    return tensor;
}
