#include "device/cpu/templates/update.h"

#include "memory/buffer.h"
#include "device/cpu/templates/dims.h"
#include "device/cpu/templates/executor_internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    PIECE_ELEMENTS = 1 << 14, /* of the largest formal: what a plan of some tensors touches then fits into a core's cache */
    PIECE_ALIGNED = 16,       /* items, so that every piece begins at a cache line */
    COPY_ELEMENTS = 1 << 16,
    SUM_ELEMENTS = 1 << 16,
    SUM_LANES = 16,
    SUM_PARTS = 1024,
};

/* An instance for pieces of one size, and memory for a scaled formal. */
typedef struct Place {
    BfmInstance *instance;
    void *scaled;
    int64_t scaled_count;
    BfmError error;
    bool failed;
} Place;

struct BfmUpdate {
    const BfmPlan *plan;
    const BfmFunction *functions;
    BfmPool *pool;
    int workers;
    Place *places;              /* [workers + 1]: the last one for a piece of another size */
    int64_t *dims;              /* [dims] values of the slots */
    int64_t *formals, *outputs; /* elements of each for one item; 0: the same for any number of items */
};

BfmUpdate *bfm_update_new(const BfmInstance *instance, BfmError *error)
{
    const BfmPlan *plan = instance->plan;
    BfmUpdate *update = calloc(1, sizeof *update);
    if (update) {
        *update = (BfmUpdate){.plan = plan, .functions = instance->functions, .pool = instance->pool, .workers = bfm_pool_threads(instance->pool)};
        update->places = calloc((size_t)update->workers + 1, sizeof *update->places);
        update->dims = calloc((size_t)plan->dims.count + 1, sizeof *update->dims);
        update->formals = calloc((size_t)plan->formals.count + 1, sizeof *update->formals);
        update->outputs = calloc((size_t)plan->outputs.count + 1, sizeof *update->outputs);
    }
    bool ok = update && update->places && update->dims && update->formals && update->outputs;
    for (int i = 0; ok && i <= update->workers; i++)
        ok = (update->places[i].instance = bfm_instance_new(plan, update->functions, update->pool, error)) != NULL;
    if (ok)
        return update;
    bfm_update_free(update);
    bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "no memory for an update of %llu kernels", (unsigned long long)plan->kernels.count);
    return NULL;
}

void bfm_update_free(BfmUpdate *update)
{
    if (!update)
        return;
    for (int i = 0; update->places && i <= update->workers; i++) {
        bfm_instance_free(update->places[i].instance);
        bfm_buffer_free(update->places[i].scaled);
    }
    free(update->places);
    free(update->dims);
    free(update->formals);
    free(update->outputs);
    free(update);
}

/* ---- how it is cut -------------------------------------------------------------------------------------------------------- */

static int64_t port_count(const BfmUpdate *update, const BfmPlanPort *port) { return update->dims[bfm_plan_buffers(update->plan)[port->buffer].count]; }

static BfmElem port_elem(const BfmUpdate *update, const BfmPlanPort *port) { return (BfmElem)bfm_plan_buffers(update->plan)[port->buffer].elem; }

/* Elements of one item, from the counts at `some` items and at one. */
static int64_t per_item(int64_t all, int64_t one, int64_t items) { return items > 1 && one > 0 && all / items == one && all % items == 0 ? one : 0; }

/* Fills the sizes of ports. Returns how many items a piece has. */
static int64_t cut(BfmUpdate *update, const BfmUpdateCall *call)
{
    const BfmPlan *plan = update->plan;
    int64_t symbols[BFM_PLAN_SYMBOLS], items = call->symbols[call->leading], largest = 1;
    bool whole = items < 2 || plan->streams.count > 0; /* draws are numbered over all items */
    memcpy(symbols, call->symbols, sizeof symbols);
    symbols[call->leading] = 1;
    bfm_dims_eval(plan, symbols, update->dims);
    for (uint64_t f = 0; f < plan->formals.count; f++)
        update->formals[f] = port_count(update, &bfm_plan_formals(plan)[f]);
    for (uint64_t o = 0; o < plan->outputs.count; o++)
        update->outputs[o] = port_count(update, &bfm_plan_outputs(plan)[o]);
    bfm_dims_eval(plan, call->symbols, update->dims);
    for (uint64_t f = 0; f < plan->formals.count; f++) {
        update->formals[f] = per_item(port_count(update, &bfm_plan_formals(plan)[f]), update->formals[f], items);
        largest = update->formals[f] > largest ? update->formals[f] : largest;
    }
    for (uint64_t o = 0; o < plan->outputs.count; o++) {
        update->outputs[o] = per_item(port_count(update, &bfm_plan_outputs(plan)[o]), update->outputs[o], items);
        whole = whole || (call->homes[o] && update->outputs[o] == 0);
    }
    int64_t piece = (PIECE_ELEMENTS / largest + PIECE_ALIGNED - 1) / PIECE_ALIGNED * PIECE_ALIGNED;
    if (largest % PIECE_ALIGNED == 0)
        piece = PIECE_ELEMENTS / largest;
    piece = piece > 0 ? piece : 1;
    return whole || piece > items ? items : piece;
}

/* ---- one piece ------------------------------------------------------------------------------------------------------------ */

typedef struct Copy {
    BfmElem elem;
    void *to, *from;
    int64_t count;
    double scale; /* 1, or of reals */
} Copy;

static void copy_task(void *ctx, int64_t index, int worker)
{
    const Copy *copy = ctx;
    const int64_t begin = index * COPY_ELEMENTS, end = begin + COPY_ELEMENTS < copy->count ? begin + COPY_ELEMENTS : copy->count;
    (void)worker;
    if (copy->scale == 1) {
        memcpy(bfm_elem_at(copy->elem, copy->to, begin), bfm_elem_at(copy->elem, copy->from, begin), bfm_elem_bytes(copy->elem, end - begin));
        return;
    }
    float *to = copy->to; /* the reals of a plan */
    const float *from = copy->from;
    for (int64_t i = begin; i < end; i++)
        to[i] = (float)(copy->scale * (double)from[i]);
}

static void copy_all(const BfmUpdate *update, Copy copy) { bfm_pool_run(update->pool, (copy.count + COPY_ELEMENTS - 1) / COPY_ELEMENTS, copy_task, &copy); }

static bool scale_formal(const BfmUpdate *update, const BfmUpdateCall *call, Place *place, void *from)
{
    const int64_t count = bfm_instance_formal_count(place->instance, call->scaled);
    if (count > place->scaled_count) {
        bfm_buffer_free(place->scaled);
        place->scaled = bfm_buffer_new(bfm_instance_formal_size(place->instance, call->scaled));
        place->scaled_count = place->scaled ? count : 0;
        if (!place->scaled)
            return bfm_error_set(&place->error, BFM_ERROR_ENVIRONMENT, "memory is exhausted by an update");
    }
    copy_all(update, (Copy){.elem = port_elem(update, &bfm_plan_formals(update->plan)[call->scaled]), .to = place->scaled, .from = from, .count = count, .scale = call->scale});
    bfm_instance_set_formal(place->instance, call->scaled, place->scaled);
    return true;
}

/* Of item `begin`. */
static void *formal_at(const BfmUpdate *update, const BfmUpdateCall *call, int formal, int64_t begin)
{
    return bfm_elem_at(port_elem(update, &bfm_plan_formals(update->plan)[formal]), call->formals[formal], begin * update->formals[formal]);
}

/* Items [begin, begin + count). */
static bool piece_run(const BfmUpdate *update, const BfmUpdateCall *call, Place *place, int64_t begin, int64_t count)
{
    BfmInstance *instance = place->instance;
    int64_t symbols[BFM_PLAN_SYMBOLS];
    memcpy(symbols, call->symbols, sizeof symbols);
    symbols[call->leading] = count;
    if (!bfm_instance_bind(instance, symbols, &place->error))
        return false;
    for (int f = 0; f < (int)update->plan->formals.count; f++)
        bfm_instance_set_formal(instance, f, formal_at(update, call, f, begin));
    if (call->scaled >= 0 && call->scale != 1 && !scale_formal(update, call, place, formal_at(update, call, call->scaled, begin)))
        return false;
    if (!bfm_instance_run(instance, call->seed, call->step, &place->error))
        return false;
    for (int o = 0; o < (int)update->plan->outputs.count; o++) {
        const BfmElem elem = port_elem(update, &bfm_plan_outputs(update->plan)[o]);
        void *from = bfm_instance_output(instance, o), *to = call->homes[o] ? bfm_elem_at(elem, call->homes[o], begin * update->outputs[o]) : NULL;
        if (to && to != from)
            copy_all(update, (Copy){.elem = elem, .to = to, .from = from, .count = bfm_instance_output_count(instance, o), .scale = 1});
    }
    return true;
}

/* ---- all of them ---------------------------------------------------------------------------------------------------------- */

typedef struct Pieces {
    BfmUpdate *update;
    const BfmUpdateCall *call;
    int64_t items, piece, count;
} Pieces;

static void piece_task(void *ctx, int64_t index, int worker)
{
    const Pieces *pieces = ctx;
    const int64_t begin = index * pieces->piece, left = pieces->items - begin;
    Place *place = &pieces->update->places[left < pieces->piece ? pieces->update->workers : worker];
    if (!place->failed)
        place->failed = !piece_run(pieces->update, pieces->call, place, begin, left < pieces->piece ? left : pieces->piece);
}

bool bfm_update_run(BfmUpdate *update, const BfmUpdateCall *call, BfmError *error)
{
    Pieces pieces = {.update = update, .call = call, .items = call->symbols[call->leading], .piece = cut(update, call)};
    pieces.count = pieces.piece > 0 ? (pieces.items + pieces.piece - 1) / pieces.piece : 0;
    for (int i = 0; i <= update->workers; i++)
        update->places[i].failed = false;
    if (pieces.count < update->workers) /* few and large: threads share each of them */
        for (int64_t i = 0; i < pieces.count; i++)
            piece_task(&pieces, i, 0);
    else
        bfm_pool_run(update->pool, pieces.count, piece_task, &pieces);
    for (int i = 0; i <= update->workers; i++)
        if (update->places[i].failed) {
            if (error)
                *error = update->places[i].error;
            return false;
        }
    return true;
}

/* ---- norms ---------------------------------------------------------------------------------------------------------------- */

typedef struct Squares {
    const float *values;
    int64_t count, part; /* elements of one part */
    double sums[SUM_PARTS];
} Squares;

static void squares_task(void *ctx, int64_t index, int worker)
{
    Squares *squares = ctx;
    const int64_t begin = index * squares->part, end = begin + squares->part < squares->count ? begin + squares->part : squares->count;
    double lanes[SUM_LANES] = {0}, sum = 0;
    int64_t i = begin;
    (void)worker;
    for (; i + SUM_LANES <= end; i += SUM_LANES)
        for (int k = 0; k < SUM_LANES; k++)
            lanes[k] += (double)squares->values[i + k] * (double)squares->values[i + k];
    for (int k = 0; i < end; i++, k++)
        lanes[k] += (double)squares->values[i] * (double)squares->values[i];
    for (int k = 0; k < SUM_LANES; k++)
        sum += lanes[k];
    squares->sums[index] = sum;
}

double bfm_square_sum(BfmPool *pool, const float *values, int64_t count)
{
    Squares squares = {.values = values, .count = count, .part = SUM_ELEMENTS};
    if (count > (int64_t)SUM_ELEMENTS * SUM_PARTS)
        squares.part = (count + SUM_PARTS - 1) / SUM_PARTS;
    const int64_t parts = (count + squares.part - 1) / squares.part;
    double total = 0;
    bfm_pool_run(pool, parts, squares_task, &squares);
    for (int64_t i = 0; i < parts; i++)
        total += squares.sums[i];
    return total;
}
