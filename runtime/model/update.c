/* Each parameter has a Slot: an instance of the entry that updates it, shared by parameters with the same entry and extents, and its states. Results go
   to the instance's memory and are copied home, since an update may read its whole tensor. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "memory/buffer.h"
#include "model/model.h"

enum { FORMAL_W, FORMAL_G, FORMAL_RATE, FORMAL_STEP, FORMAL_STATES };

typedef struct Slot {
    const BfmModelUpdate *update;
    BfmInstance *instance;
    bool own;            /* the instance was made for this slot */
    int64_t elements;
    int gradient;        /* output of the backward entry */
    float **states;      /* [update->state_count] */
} Slot;

struct BfmUpdater {
    BfmTensors *tensors;
    const BfmModel *model;
    Slot *slots;         /* [model->update_count] */
    float *scaled;       /* the largest gradient, times the scale */
    float rate, step;    /* what the entries read */
};

/* ---- making ---- */

static bool make_states(Slot *slot, BfmError *error)
{
    slot->states = calloc(slot->update->state_count + 1, sizeof *slot->states);
    for (uint64_t k = 0; slot->states && k < slot->update->state_count; k++) {
        const BfmModelStepState *state = &slot->update->states[k];
        slot->states[k] = bfm_buffer_new(state->elements * sizeof(float));
        if (!slot->states[k])
            return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted by %s", state->path);
        for (uint64_t i = 0; i < state->elements; i++)
            slot->states[k][i] = (float)state->value;
    }
    return slot->states || bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
}

static bool make_instance(BfmUpdater *updater, Slot *slot, BfmPool *pool, BfmError *error)
{
    for (const Slot *other = updater->slots; other < slot; other++)
        if (other->update->entry == slot->update->entry && memcmp(other->update->extent, slot->update->extent, sizeof slot->update->extent) == 0) {
            slot->instance = other->instance;
            return true;
        }
    const BfmModelEntry *entry = &updater->model->entries[slot->update->entry];
    int64_t symbols[BFM_PLAN_SYMBOLS] = {1, 1, 0, 1, slot->update->extent[0], slot->update->extent[1], slot->update->extent[2], 1, 1, 1, 1, 1};
    slot->instance = bfm_instance_new(entry->plan, (const BfmFunction *)entry->functions, pool, error);
    slot->own = slot->instance != NULL;
    return slot->instance && bfm_instance_bind(slot->instance, symbols, error);
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

static bool make_slots(BfmUpdater *updater, BfmPool *pool, BfmError *error)
{
    const BfmModel *model = updater->model;
    const BfmModelEntry *backward = bfm_model_entry(model, "backward");
    int64_t largest = 1;
    updater->slots = calloc(model->update_count + 1, sizeof *updater->slots);
    if (!updater->slots || !backward || model->update_count == 0)
        return bfm_error_set(error, BFM_ERROR_INPUT, "the model was built without `step`");
    for (uint64_t u = 0; u < model->update_count; u++) {
        Slot *slot = &updater->slots[u];
        const BfmModelTensor *tensor = &model->tensors[model->updates[u].tensor];
        *slot = (Slot){.update = &model->updates[u], .elements = 1, .gradient = gradient_of(backward->plan, tensor->path)};
        for (uint64_t i = 0; i < tensor->rank; i++)
            slot->elements *= tensor->shape[i];
        largest = slot->elements > largest ? slot->elements : largest;
        if (!make_instance(updater, slot, pool, error) || !make_states(slot, error))
            return false;
    }
    updater->scaled = bfm_buffer_new((size_t)largest * sizeof(float));
    return updater->scaled || bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
}

BfmUpdater *bfm_updater_new(BfmTensors *tensors, BfmPool *pool, BfmError *error)
{
    BfmUpdater *updater = calloc(1, sizeof *updater);
    if (!updater) {
        bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
        return NULL;
    }
    updater->tensors = tensors;
    updater->model = bfm_tensors_model(tensors);
    if (make_slots(updater, pool, error))
        return updater;
    bfm_updater_free(updater);
    return NULL;
}

void bfm_updater_free(BfmUpdater *updater)
{
    if (!updater)
        return;
    for (uint64_t u = 0; updater->slots && u < updater->model->update_count; u++) {
        Slot *slot = &updater->slots[u];
        if (slot->own)
            bfm_instance_free(slot->instance);
        for (uint64_t k = 0; slot->states && k < slot->update->state_count; k++)
            bfm_buffer_free(slot->states[k]);
        free(slot->states);
    }
    free(updater->slots);
    bfm_buffer_free(updater->scaled);
    free(updater);
}

/* ---- a step ---- */

static const float *gradient(const Slot *slot, const BfmInstance *backward) { return slot->gradient < 0 ? NULL : bfm_instance_output(backward, slot->gradient); }

static double norm_of_all(const BfmUpdater *updater, const BfmInstance *backward)
{
    double total = 0;
    for (uint64_t u = 0; u < updater->model->update_count; u++) {
        const Slot *slot = &updater->slots[u];
        const float *from = gradient(slot, backward);
        double lanes[8] = {0}; /* a fixed order of additions that vectorises */
        for (int64_t i = 0; from && i < slot->elements; i++)
            lanes[i & 7] += (double)from[i] * (double)from[i];
        for (int k = 0; k < 8; k++)
            total += lanes[k];
    }
    return sqrt(total);
}

static void copy_results(BfmUpdater *updater, const Slot *slot, float *home)
{
    const BfmPlan *plan = updater->model->entries[slot->update->entry].plan;
    for (int o = 0; o < (int)plan->outputs.count; o++) {
        const BfmPlanPort *port = &bfm_plan_outputs(plan)[o];
        float *to = port->kind == BFM_OUTPUT_RESULT ? home : port->kind == BFM_OUTPUT_NEXT ? slot->states[port->formal - FORMAL_STATES] : NULL;
        const float *from = bfm_instance_output(slot->instance, o);
        if (to && to != from)
            memcpy(to, from, (size_t)bfm_instance_output_count(slot->instance, o) * sizeof *to);
    }
}

static bool slot_apply(BfmUpdater *updater, const Slot *slot, const float *from, double scale, int64_t step, BfmError *error)
{
    float *home = bfm_tensors_at(updater->tensors, (int64_t)slot->update->tensor);
    for (int64_t i = 0; i < slot->elements; i++)
        updater->scaled[i] = scale == 1 ? from[i] : (float)scale * from[i];
    bfm_instance_set_formal(slot->instance, FORMAL_W, home);
    bfm_instance_set_formal(slot->instance, FORMAL_G, updater->scaled);
    bfm_instance_set_formal(slot->instance, FORMAL_RATE, &updater->rate);
    bfm_instance_set_formal(slot->instance, FORMAL_STEP, &updater->step);
    for (uint64_t k = 0; k < slot->update->state_count; k++)
        bfm_instance_set_formal(slot->instance, FORMAL_STATES + (int)k, slot->states[k]);
    if (!bfm_instance_run(slot->instance, 0, (uint64_t)step, error))
        return false;
    copy_results(updater, slot, home);
    return true;
}

bool bfm_updater_step(BfmUpdater *updater, const BfmInstance *backward, double factor, int64_t step, double *norm, BfmError *error)
{
    const double all = norm_of_all(updater, backward), limit = updater->model->clip_norm;
    const double scale = limit > 0 && all > limit ? limit / all : 1;
    if (norm)
        *norm = all;
    if (!isfinite(all))
        return bfm_error_set(error, BFM_ERROR_INPUT, "a gradient is no finite number; nothing was updated");
    if (!bfm_tensors_commit(updater->tensors, "backward", backward, error))
        return false;
    updater->step = (float)step;
    for (uint64_t u = 0; u < updater->model->update_count; u++) {
        const Slot *slot = &updater->slots[u];
        const float *from = gradient(slot, backward);
        updater->rate = (float)(slot->update->rate * factor);
        if (from && !slot_apply(updater, slot, from, scale, step, error))
            return false;
    }
    return true;
}
