/* Each parameter has a Slot: the entry that updates it, run over pieces of the parameter, shared by parameters with the same entry and extents; and its states. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/comm.h"
#include "file/safetensors.h"
#include "memory/buffer.h"
#include "model/model.h"
#include "device/cpu/templates/update.h"

enum { SYMBOL_S0 = 4 }; /* bfm/plan.h: b, l, p, n, then s0 … */
enum { FORMAL_W, FORMAL_G, FORMAL_RATE, FORMAL_STEP, FORMAL_STATES };

typedef struct Slot {
    const BfmModelUpdate *update;
    BfmUpdate *run;
    bool own; /* it was made for this slot */
    int64_t elements;
    int gradient;            /* output of the backward entry */
    void **states;           /* [update->state_count] */
    void **formals, **homes; /* of the entry's plan: states and tensors that updates read, results */
} Slot;

/* Memory of one element of whatever type. */
typedef union Element {
    double f64;
    float f32;
} Element;

struct BfmUpdater {
    BfmTensors *tensors;
    const BfmModel *model;
    BfmPool *pool;
    const BfmComm *comm;
    Slot *slots;           /* [model->update_count] */
    Element rate, step;    /* what the entries read */
    BfmInstance *schedule; /* NULL: none */
    Element schedule_step;
};

/* ---- making ---- */

static bool make_states(Slot *slot, BfmError *error)
{
    slot->states = calloc(slot->update->state_count + 1, sizeof *slot->states);
    for (uint64_t k = 0; slot->states && k < slot->update->state_count; k++) {
        const BfmModelStepState *state = &slot->update->states[k];
        slot->states[k] = bfm_buffer_new(bfm_elem_bytes(BFM_MODEL_ELEM, (int64_t)state->elements));
        if (!slot->states[k])
            return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted by %s", state->path);
        for (int64_t i = 0; i < (int64_t)state->elements; i++)
            bfm_elem_store(BFM_MODEL_ELEM, slot->states[k], i, state->value);
    }
    return slot->states || bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
}

static bool make_run(BfmUpdater *updater, Slot *slot, BfmError *error)
{
    for (const Slot *other = updater->slots; other < slot && !slot->run; other++)
        if (other->update->entry == slot->update->entry && memcmp(other->update->extent, slot->update->extent, sizeof slot->update->extent) == 0)
            slot->run = other->run;
    if (slot->run)
        return true;
    const BfmModelEntry *entry = &updater->model->entries[slot->update->entry];
    BfmInstance *instance = bfm_instance_new(entry->plan, (const BfmFunction *)entry->functions, updater->pool, error);
    slot->run = instance ? bfm_update_new(instance, error) : NULL;
    slot->own = slot->run != NULL;
    bfm_instance_free(instance);
    return slot->own;
}

/* Where the entry reads and writes. The gradient is set at each step. */
static bool make_ports(BfmUpdater *updater, Slot *slot, BfmError *error)
{
    const BfmPlan *plan = updater->model->entries[slot->update->entry].plan;
    void *home = bfm_tensors_at(updater->tensors, (int64_t)slot->update->tensor);
    slot->formals = calloc(plan->formals.count + FORMAL_STATES, sizeof *slot->formals);
    slot->homes = calloc(plan->outputs.count + 1, sizeof *slot->homes);
    if (!slot->formals || !slot->homes)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
    slot->formals[FORMAL_W] = home;
    slot->formals[FORMAL_RATE] = &updater->rate;
    slot->formals[FORMAL_STEP] = &updater->step;
    for (uint64_t k = 0; k < slot->update->state_count; k++)
        slot->formals[FORMAL_STATES + k] = slot->states[k];
    for (int o = 0; o < (int)plan->outputs.count; o++) {
        const BfmPlanPort *port = &bfm_plan_outputs(plan)[o];
        slot->homes[o] = port->kind == BFM_OUTPUT_RESULT ? home : port->kind == BFM_OUTPUT_NEXT ? slot->states[port->formal - FORMAL_STATES] : NULL;
    }
    return true;
}

static int gradient_of(const BfmPlan *plan, const char *path)
{
    for (int o = 0; o < (int)plan->outputs.count; o++) {
        const BfmPlanPort *port = &bfm_plan_outputs(plan)[o];
        if (port->kind == BFM_OUTPUT_GRAD && strcmp(bfm_plan_text(plan, bfm_plan_formals(plan)[port->formal].name), path) == 0)
            return o;
    }
    return -1;
}

static bool make_slots(BfmUpdater *updater, BfmError *error)
{
    const BfmModel *model = updater->model;
    const BfmModelEntry *backward = bfm_model_entry(model, "backward");
    updater->slots = calloc(model->update_count + 1, sizeof *updater->slots);
    if (!updater->slots || !backward || model->update_count == 0)
        return bfm_error_set(error, BFM_ERROR_INPUT, "the model was built without `step`");
    for (uint64_t u = 0; u < model->update_count; u++) {
        Slot *slot = &updater->slots[u];
        const BfmModelTensor *tensor = &model->tensors[model->updates[u].tensor];
        *slot = (Slot){.update = &model->updates[u], .elements = 1, .gradient = gradient_of(backward->plan, tensor->path)};
        for (uint64_t i = 0; i < tensor->rank; i++)
            slot->elements *= tensor->shape[i];
        if (!make_run(updater, slot, error) || !make_states(slot, error) || !make_ports(updater, slot, error))
            return false;
    }
    return true;
}

/* The schedule is an entry with the formal `step` and one number as its result. */
static bool make_schedule(BfmUpdater *updater, BfmError *error)
{
    const BfmModelEntry *entry = bfm_model_entry(updater->model, "schedule");
    if (!entry)
        return true;
    updater->schedule = bfm_instance_new(entry->plan, (const BfmFunction *)entry->functions, updater->pool, error);
    if (!updater->schedule || !bfm_model_bind(updater->schedule, 1, 1, error))
        return false;
    bfm_instance_set_formal(updater->schedule, 0, &updater->schedule_step);
    return true;
}

BfmUpdater *bfm_updater_new(BfmTensors *tensors, BfmPool *pool, BfmError *error)
{
    BfmUpdater *updater = calloc(1, sizeof *updater);
    if (!updater) {
        bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
        return NULL;
    }
    updater->tensors = tensors;
    updater->pool = pool;
    updater->comm = &bfm_comm_local;
    updater->model = bfm_tensors_model(tensors);
    if (make_slots(updater, error) && make_schedule(updater, error))
        return updater;
    bfm_updater_free(updater);
    return NULL;
}

void bfm_updater_set_comm(BfmUpdater *updater, const BfmComm *comm) { updater->comm = comm; }

void bfm_updater_free(BfmUpdater *updater)
{
    if (!updater)
        return;
    for (uint64_t u = 0; updater->slots && u < updater->model->update_count; u++) {
        Slot *slot = &updater->slots[u];
        if (slot->own)
            bfm_update_free(slot->run);
        for (uint64_t k = 0; slot->states && k < slot->update->state_count; k++)
            bfm_buffer_free(slot->states[k]);
        free(slot->states);
        free(slot->formals);
        free(slot->homes);
    }
    bfm_instance_free(updater->schedule);
    free(updater->slots);
    free(updater);
}

/* ---- a step ---- */

static void *gradient(const Slot *slot, const BfmInstance *backward) { return slot->gradient < 0 ? NULL : bfm_instance_output(backward, slot->gradient); }

/* Each gradient becomes the mean of the ranks'; then every rank finds the same norm and makes the same update. */
static bool reduce_gradients(const BfmUpdater *updater, const BfmInstance *backward, BfmError *error)
{
    bool ok = true;
    for (uint64_t u = 0; ok && u < updater->model->update_count; u++) {
        const Slot *slot = &updater->slots[u];
        void *values = gradient(slot, backward);
        ok = !values || bfm_comm_reduce(updater->comm, BFM_REDUCE_MEAN, BFM_MODEL_ELEM, values, slot->elements, error);
    }
    return ok;
}

static double norm_of_all(const BfmUpdater *updater, const BfmInstance *backward)
{
    double total = 0;
    for (uint64_t u = 0; u < updater->model->update_count; u++) {
        const Slot *slot = &updater->slots[u];
        const float *from = gradient(slot, backward);
        total += from ? bfm_square_sum(updater->pool, from, slot->elements) : 0;
    }
    return sqrt(total);
}

static bool slot_apply(const Slot *slot, void *from, double scale, int64_t step, BfmError *error)
{
    const int64_t *extent = slot->update->extent;
    slot->formals[FORMAL_G] = from;
    const BfmUpdateCall call = {.symbols = {1, 1, 0, 1, extent[0], extent[1], extent[2], 1, 1, 1, 1, 1},
                                .leading = SYMBOL_S0,
                                .formals = slot->formals,
                                .homes = slot->homes,
                                .scaled = FORMAL_G,
                                .scale = scale,
                                .step = (uint64_t)step};
    return bfm_update_run(slot->run, &call, error);
}

bool bfm_updater_step(BfmUpdater *updater, const BfmInstance *backward, double factor, int64_t step, double *norm, BfmError *error)
{
    if (!reduce_gradients(updater, backward, error))
        return false;
    const double all = norm_of_all(updater, backward), limit = updater->model->clip_norm;
    const double scale = limit > 0 && all > limit ? limit / all : 1;
    if (norm)
        *norm = all;
    if (!isfinite(all) || !isfinite(factor))
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s is no finite number; nothing was updated", isfinite(all) ? "the factor on the rate" : "a gradient");
    if (!bfm_tensors_commit(updater->tensors, "backward", backward, error))
        return false;
    bfm_elem_store(BFM_MODEL_ELEM, &updater->step, 0, (double)step);
    for (uint64_t u = 0; u < updater->model->update_count; u++) {
        const Slot *slot = &updater->slots[u];
        void *from = gradient(slot, backward);
        bfm_elem_store(BFM_MODEL_ELEM, &updater->rate, 0, slot->update->rate * factor);
        if (from && !slot_apply(slot, from, scale, step, error))
            return false;
    }
    return true;
}

bool bfm_updater_factor(BfmUpdater *updater, int64_t step, double *factor, BfmError *error)
{
    *factor = 1;
    if (!updater->schedule)
        return true;
    bfm_elem_store(BFM_MODEL_ELEM, &updater->schedule_step, 0, (double)step);
    if (!bfm_instance_run(updater->schedule, 0, 0, error))
        return false;
    *factor = bfm_elem_load(BFM_MODEL_ELEM, bfm_instance_output(updater->schedule, 0), 0);
    return isfinite(*factor) || bfm_error_set(error, BFM_ERROR_INPUT, "the schedule gives no finite number at step %lld", (long long)step);
}

/* ---- files ---- */

/* Every state: of layers as "layer/PATH", of the optimiser as "optimizer/PATH". */
typedef struct States {
    BfmTensorTarget *targets;
    char **names; /* of the targets */
    int64_t count;
} States;

static bool add_state(States *states, const char *kind, const char *path, uint64_t rank, const int64_t *shape, void *data)
{
    const size_t bytes = strlen(kind) + strlen(path) + 2;
    char *name = malloc(bytes);
    if (!name)
        return false;
    (void)snprintf(name, bytes, "%s/%s", kind, path);
    BfmTensorTarget *target = &states->targets[states->count];
    *target = (BfmTensorTarget){.name = name, .dtype = bfm_elem_dtype(BFM_MODEL_ELEM), .rank = (int32_t)rank, .data = data};
    memcpy(target->shape, shape, (size_t)rank * sizeof *shape);
    states->names[states->count++] = name;
    return true;
}

static void states_free(States *states)
{
    for (int64_t i = 0; states->names && i < states->count; i++)
        free(states->names[i]);
    free(states->targets);
    free(states->names);
}

static bool states_of(const BfmUpdater *updater, States *states, BfmError *error)
{
    const BfmModel *model = updater->model;
    size_t most = model->tensor_count + 1;
    for (uint64_t u = 0; u < model->update_count; u++)
        most += model->updates[u].state_count;
    *states = (States){.targets = calloc(most, sizeof *states->targets), .names = calloc(most, sizeof *states->names)};
    bool ok = states->targets && states->names;
    for (uint64_t t = 0; ok && t < model->tensor_count; t++)
        if (model->tensors[t].role == BFM_PORT_STATE)
            ok = add_state(states, "layer", model->tensors[t].path, model->tensors[t].rank, model->tensors[t].shape, bfm_tensors_at(updater->tensors, (int64_t)t));
    for (uint64_t u = 0; ok && u < model->update_count; u++)
        for (uint64_t k = 0; ok && k < model->updates[u].state_count; k++) {
            const BfmModelStepState *state = &model->updates[u].states[k];
            ok = add_state(states, "optimizer", state->path, state->rank, state->shape, updater->slots[u].states[k]);
        }
    if (ok)
        return true;
    states_free(states);
    return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
}

bool bfm_updater_save(const BfmUpdater *updater, const char *path, BfmError *error)
{
    States states;
    if (!states_of(updater, &states, error))
        return false;
    BfmTensor *list = calloc((size_t)states.count + 1, sizeof *list);
    bool ok = list || bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
    for (int64_t i = 0; ok && i < states.count; i++) {
        const BfmTensorTarget *from = &states.targets[i];
        list[i] = (BfmTensor){.name = from->name, .dtype = from->dtype, .rank = from->rank, .data = from->data};
        memcpy(list[i].shape, from->shape, sizeof list[i].shape);
        ok = bfm_tensor_finite(&list[i], NULL, error);
    }
    ok = ok && bfm_safetensors_write(path, list, states.count, NULL, 0, NULL, error);
    free(list);
    states_free(&states);
    return ok;
}

bool bfm_updater_load(BfmUpdater *updater, const char *path, BfmError *error)
{
    States states;
    BfmSafetensors *file = bfm_safetensors_open(path, error);
    bool ok = file && states_of(updater, &states, error);
    if (!ok) {
        bfm_safetensors_close(file);
        return false;
    }
    const char **names = calloc((size_t)states.count + 1, sizeof *names);
    ok = names || bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
    for (int64_t i = 0; ok && i < states.count; i++) { /* the whole file is known to fit before anything changes */
        names[i] = states.targets[i].name;
        const BfmTensor *tensor = bfm_safetensors_expect(file, names[i], states.targets[i].rank, states.targets[i].shape, error);
        ok = tensor && bfm_tensor_finite(tensor, path, error);
    }
    ok = ok && bfm_safetensors_expect_only(file, names, states.count, error) && bfm_safetensors_load(file, states.targets, states.count, error);
    free(names);
    states_free(&states);
    bfm_safetensors_close(file);
    return ok;
}
