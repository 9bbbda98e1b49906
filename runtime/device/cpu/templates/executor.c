#include "device/cpu/templates/executor.h"

#include "memory/buffer.h"
#include "memory/layout.h"
#include "rng/rng.h"
#include "device/cpu/templates/dims.h"
#include "device/cpu/templates/executor_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MAP_TASKS = 64,          /* at most so many pieces of one range */
    MAP_TASK_WORK = 1 << 14, /* and none with less to do than this: operations and bytes together */
};

static const int64_t elements_limit = (int64_t)1 << 40;

/* ---- making and freeing --------------------------------------------------------------------------------------------------- */

/* Sums of the lists behind all codes. */
static void code_totals(const BfmPlan *plan, size_t *buffers, size_t *dims)
{
    const BfmPlanCode *codes = bfm_plan_codes(plan);
    *buffers = *dims = 0;
    for (uint64_t i = 0; i < plan->codes.count; i++) {
        *buffers += (size_t)codes[i].buffer_count;
        *dims += (size_t)codes[i].dim_count + (codes[i].stream_count > 0 ? (size_t)codes[i].stream_count + 1 : 0);
    }
}

static void codes_init(BfmInstance *instance)
{
    const BfmPlan *plan = instance->plan;
    const BfmPlanCode *codes = bfm_plan_codes(plan);
    void **buffers = instance->code_buffers;
    int64_t *dims = instance->code_dims;
    for (uint64_t i = 0; i < plan->codes.count; i++) {
        const BfmPlanCode *code = &codes[i];
        instance->codes[i] = (CodeArgs){instance->functions[code->function], buffers, dims};
        buffers += code->buffer_count;
        dims += code->dim_count + (code->stream_count > 0 ? code->stream_count + 1 : 0);
    }
}

BfmInstance *bfm_instance_new(const BfmPlan *plan, const BfmFunction *functions, BfmPool *pool, BfmError *error)
{
    BfmInstance *instance = calloc(1, sizeof *instance);
    size_t buffers, dims;
    code_totals(plan, &buffers, &dims);
    if (instance) {
        *instance = (BfmInstance){.plan = plan, .functions = functions, .pool = pool, .engine = BFM_GEMM_OWN};
        instance->dims = calloc((size_t)plan->dims.count + 1, sizeof *instance->dims);
        instance->laid = calloc((size_t)plan->buffers.count + 1, sizeof *instance->laid);
        instance->memory = calloc((size_t)plan->buffers.count + 1, sizeof *instance->memory);
        instance->external = calloc((size_t)plan->buffers.count + 1, sizeof *instance->external);
        instance->codes = calloc((size_t)plan->codes.count + 1, sizeof *instance->codes);
        instance->code_buffers = calloc(buffers + 1, sizeof *instance->code_buffers);
        instance->code_dims = calloc(dims + 1, sizeof *instance->code_dims);
    }
    if (!instance || !instance->dims || !instance->laid || !instance->memory || !instance->external || !instance->codes || !instance->code_buffers || !instance->code_dims) {
        bfm_instance_free(instance);
        bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "no memory for a program of %llu kernels", (unsigned long long)plan->kernels.count);
        return NULL;
    }
    codes_init(instance);
    return instance;
}

void bfm_instance_free(BfmInstance *instance)
{
    if (!instance)
        return;
    free(instance->dims);
    free(instance->laid);
    free(instance->memory);
    free(instance->external);
    free(instance->codes);
    free(instance->code_buffers);
    free(instance->code_dims);
    bfm_buffer_free(instance->arena);
    bfm_buffer_free(instance->scratch);
    free(instance);
}

void bfm_instance_set_engine(BfmInstance *instance, BfmGemmEngine engine) { instance->engine = engine; }

void *instance_scratch(BfmInstance *instance, size_t bytes, BfmError *error)
{
    if (bytes <= instance->scratch_bytes)
        return instance->scratch;
    bfm_buffer_free(instance->scratch);
    instance->scratch = bfm_buffer_new(bytes);
    instance->scratch_bytes = instance->scratch ? bytes : 0;
    if (!instance->scratch)
        bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "no memory for %zu bytes of scratch", bytes);
    return instance->scratch;
}

/* ---- binding -------------------------------------------------------------------------------------------------------------- */

static bool in_arena(const BfmInstance *instance, int buffer)
{
    const BfmPlanBuffer *planned = &bfm_plan_buffers(instance->plan)[buffer];
    return planned->role != BFM_BUFFER_FORMAL && planned->first >= 0 && !instance->external[buffer];
}

static bool counts_check(const BfmInstance *instance, BfmError *error)
{
    const BfmPlanBuffer *buffers = bfm_plan_buffers(instance->plan);
    for (uint64_t i = 0; i < instance->plan->buffers.count; i++) {
        int64_t count = instance->dims[buffers[i].count];
        if (count < 0 || count > elements_limit)
            return bfm_error_set(error, BFM_ERROR_INPUT, "%s would have %lld elements: choose a smaller batch or length", bfm_plan_text(instance->plan, buffers[i].name),
                                 (long long)count);
    }
    return true;
}

static size_t buffer_bytes(const BfmInstance *instance, int buffer)
{
    const BfmPlanBuffer *planned = &bfm_plan_buffers(instance->plan)[buffer];
    return bfm_elem_bytes((BfmElem)planned->elem, instance->dims[planned->count]);
}

/* Lays the arena out and points buffers into it. */
static bool arena_bind(BfmInstance *instance, BfmError *error)
{
    const BfmPlan *plan = instance->plan;
    const BfmPlanBuffer *buffers = bfm_plan_buffers(plan);
    int count = (int)plan->buffers.count, used = 0;
    BfmLayoutItem *items = malloc(((size_t)count + 1) * sizeof *items);
    instance->total_bytes = 0;
    for (int i = 0; items && i < count; i++) {
        if (!in_arena(instance, i))
            continue;
        items[used] = (BfmLayoutItem){.bytes = buffer_bytes(instance, i), .first = buffers[i].first, .last = buffers[i].last};
        instance->total_bytes += bfm_align_up(items[used++].bytes);
    }
    size_t total = 0;
    bool ok = items && bfm_layout(items, used, &total);
    if (ok) {
        bfm_buffer_free(instance->arena);
        instance->arena_bytes = total;
        instance->arena = bfm_buffer_new(total);
        ok = instance->arena != NULL;
    }
    used = 0;
    for (int i = 0; ok && i < count; i++) {
        if (!in_arena(instance, i))
            continue;
        instance->memory[i] = instance->arena + items[used++].offset;
        instance->laid[i] = instance->dims[buffers[i].count];
    }
    free(items);
    if (!ok)
        bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "no memory for %zu bytes of temporaries: choose a smaller batch or length", total);
    return ok;
}

/* The buffers of the arena have the sizes they were laid out for: a step of decoding moves the position and nothing else. */
static bool arena_fits(const BfmInstance *instance)
{
    const BfmPlanBuffer *buffers = bfm_plan_buffers(instance->plan);
    for (uint64_t i = 0; i < instance->plan->buffers.count; i++) {
        if (in_arena(instance, (int)i) && instance->laid[i] != instance->dims[buffers[i].count])
            return false;
    }
    return true;
}

/* Sizes that the program was not made for would read past the end of its parameters. */
static bool symbols_check(const BfmPlan *plan, const int64_t *symbols, BfmError *error)
{
    static const char *const NAMES[BFM_PLAN_SYMBOLS] = {"the batch b", "the length l", "the position p", "the number of positions n"};
    for (int i = 0; i < BFM_PLAN_SYMBOLS; i++) {
        const char *name = NAMES[i] ? NAMES[i] : "a size";
        if (symbols[i] < 0)
            return bfm_error_set(error, BFM_ERROR_INPUT, "%s is %lld; it cannot be negative", name, (long long)symbols[i]);
        if (plan->most[i] > 0 && symbols[i] > plan->most[i])
            return bfm_error_set(error, BFM_ERROR_INPUT, "%s is %lld; the program was made for %lld at most", name, (long long)symbols[i], (long long)plan->most[i]);
    }
    return true;
}

bool bfm_instance_bind(BfmInstance *instance, const int64_t *symbols, BfmError *error)
{
    const bool laid = instance->bound;
    if (laid && memcmp(instance->symbols, symbols, sizeof instance->symbols) == 0)
        return true;
    instance->bound = false;
    if (!symbols_check(instance->plan, symbols, error))
        return false;
    memcpy(instance->symbols, symbols, sizeof instance->symbols);
    bfm_dims_eval(instance->plan, symbols, instance->dims);
    if (!bfm_needs_check(instance->plan, symbols, instance->dims, error) || !counts_check(instance, error) || (!(laid && arena_fits(instance)) && !arena_bind(instance, error)))
        return false;
    instance->bound = instance->pointers_changed = true;
    return true;
}

/* Arguments of every generated function, once sizes and places are known. */
static void codes_fill(BfmInstance *instance)
{
    const BfmPlan *plan = instance->plan;
    const BfmPlanCode *codes = bfm_plan_codes(plan);
    const int32_t *ints = bfm_plan_ints(plan);
    for (uint64_t i = 0; i < plan->codes.count; i++) {
        CodeArgs *args = &instance->codes[i];
        for (int b = 0; b < codes[i].buffer_count; b++) {
            int32_t buffer = ints[codes[i].buffers + b];
            args->buffers[b] = buffer < 0 ? NULL : instance->memory[buffer];
        }
        for (int d = 0; d < codes[i].dim_count; d++)
            args->dims[d] = instance->dims[ints[codes[i].dims + d]];
    }
    instance->pointers_changed = false;
}

static void draws_key(BfmInstance *instance, uint64_t seed, uint64_t step)
{
    const BfmPlanCode *codes = bfm_plan_codes(instance->plan);
    for (uint64_t i = 0; i < instance->plan->codes.count; i++) {
        int64_t *dims = instance->codes[i].dims + codes[i].dim_count;
        for (int s = 0; s < codes[i].stream_count; s++) {
            BfmRng rng = bfm_rng_init(seed, bfm_plan_streams(instance->plan)[codes[i].streams + s], step);
            memcpy(&dims[0], &rng.step, sizeof rng.step);
            memcpy(&dims[1 + s], &rng.key, sizeof rng.key);
        }
    }
}

/* ---- formals and outputs -------------------------------------------------------------------------------------------------- */

static int output_buffer(const BfmInstance *instance, int output) { return bfm_plan_outputs(instance->plan)[output].buffer; }
static int formal_buffer(const BfmInstance *instance, int formal) { return bfm_plan_formals(instance->plan)[formal].buffer; }

void bfm_instance_set_formal(BfmInstance *instance, int formal, void *memory)
{
    instance->memory[formal_buffer(instance, formal)] = memory;
    instance->pointers_changed = true;
}

void bfm_instance_set_output(BfmInstance *instance, int output, void *memory)
{
    int buffer = output_buffer(instance, output);
    if (bfm_plan_buffers(instance->plan)[buffer].role == BFM_BUFFER_FORMAL)
        return;
    if (!instance->external[buffer])
        instance->bound = false; /* its place in the arena is not needed any more */
    instance->external[buffer] = true;
    instance->memory[buffer] = memory;
    instance->pointers_changed = true;
}

void *bfm_instance_formal(const BfmInstance *instance, int formal) { return instance->memory[formal_buffer(instance, formal)]; }
void *bfm_instance_output(const BfmInstance *instance, int output) { return instance->memory[output_buffer(instance, output)]; }
int64_t bfm_instance_dim(const BfmInstance *instance, int slot) { return instance->dims[slot]; }

int64_t bfm_instance_formal_count(const BfmInstance *instance, int formal) { return instance->dims[bfm_plan_buffers(instance->plan)[formal_buffer(instance, formal)].count]; }

int64_t bfm_instance_output_count(const BfmInstance *instance, int output) { return instance->dims[bfm_plan_buffers(instance->plan)[output_buffer(instance, output)].count]; }
size_t bfm_instance_formal_size(const BfmInstance *instance, int formal) { return buffer_bytes(instance, formal_buffer(instance, formal)); }
size_t bfm_instance_output_size(const BfmInstance *instance, int output) { return buffer_bytes(instance, output_buffer(instance, output)); }

int bfm_plan_find_formal(const BfmPlan *plan, const char *path)
{
    for (uint64_t i = 0; i < plan->formals.count; i++) {
        if (strcmp(bfm_plan_text(plan, bfm_plan_formals(plan)[i].name), path) == 0)
            return (int)i;
    }
    return -1;
}

int bfm_plan_find_output(const BfmPlan *plan, const char *name, BfmOutputKind kind)
{
    for (uint64_t i = 0; i < plan->outputs.count; i++) {
        const BfmPlanPort *port = &bfm_plan_outputs(plan)[i];
        if (port->kind == (int32_t)kind && strcmp(bfm_plan_text(plan, port->name), name) == 0)
            return (int)i;
    }
    return -1;
}

size_t bfm_instance_peak_bytes(const BfmInstance *instance) { return instance->arena_bytes; }
size_t bfm_instance_total_bytes(const BfmInstance *instance) { return instance->total_bytes; }

size_t bfm_instance_formal_bytes(const BfmInstance *instance)
{
    size_t bytes = 0;
    for (int i = 0; i < (int)instance->plan->formals.count; i++)
        bytes += bfm_align_up(bfm_instance_formal_size(instance, i));
    return bytes;
}

/* ---- running -------------------------------------------------------------------------------------------------------------- */

/* A range shared out in pieces; the cut changes no result. */
typedef struct MapTask {
    BfmNestFn *function;
    const CodeArgs *code;
    int64_t count, piece;
} MapTask;

static void map_piece(void *ctx, int64_t index, int worker)
{
    const MapTask *task = ctx;
    int64_t begin = index * task->piece, end = begin + task->piece;
    (void)worker;
    task->function(task->code->buffers, task->code->dims, begin, end < task->count ? end : task->count);
}

bool kernel_map(const KernelRun *run)
{
    const BfmInstance *instance = run->instance;
    MapTask task = {(BfmNestFn *)run->codes[0].function, &run->codes[0], dim_slot(instance, run->kernel->parallel, 1), 0};
    if (task.count <= 0)
        return true;
    int64_t grain = run->kernel->grain > 0 ? run->kernel->grain : 1;
    int64_t work = dim_slot(instance, run->kernel->flops, 0) + dim_slot(instance, run->kernel->bytes, 0);
    int64_t pieces = work / MAP_TASK_WORK < MAP_TASKS ? work / MAP_TASK_WORK : MAP_TASKS;
    if (pieces < 1)
        pieces = 1;
    task.piece = (task.count + pieces - 1) / pieces;
    task.piece = (task.piece + grain - 1) / grain * grain;
    bfm_pool_run(instance->pool, (task.count + task.piece - 1) / task.piece, map_piece, &task);
    return true;
}

typedef struct FillTask {
    uint32_t *memory;
    uint32_t bits;
    int64_t count;
} FillTask;

enum { FILL_PIECE = 1 << 18 };

static void fill_piece(void *ctx, int64_t index, int worker)
{
    const FillTask *task = ctx;
    int64_t begin = index * FILL_PIECE, end = begin + FILL_PIECE < task->count ? begin + FILL_PIECE : task->count;
    (void)worker;
    if (task->bits == 0) {
        memset(task->memory + begin, 0, (size_t)(end - begin) * sizeof *task->memory);
        return;
    }
    for (int64_t i = begin; i < end; i++)
        task->memory[i] = task->bits;
}

static void kernel_fill(const BfmInstance *instance, const BfmPlanKernel *kernel)
{
    static const uint32_t bits[] = {[BFM_FILL_NONE] = 0, [BFM_FILL_ZERO] = 0, [BFM_FILL_LOW] = 0xff800000u, [BFM_FILL_HIGH] = 0x7f800000u, [BFM_FILL_NO_INDEX] = 0xffffffffu};
    if (kernel->fill == BFM_FILL_NONE)
        return;
    FillTask task = {instance->memory[kernel->fill_buffer], bits[kernel->fill], instance->dims[bfm_plan_buffers(instance->plan)[kernel->fill_buffer].count]};
    bfm_pool_run(instance->pool, (task.count + FILL_PIECE - 1) / FILL_PIECE, fill_piece, &task);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static bool kernel_run(BfmInstance *instance, int position, BfmError *error)
{
    static bool (*const runners[BFM_KERNEL_KINDS])(const KernelRun *) = {
#define BFM_KERNEL(name, record, kept, run, word, shown, listed, share, from) [BFM_KERNEL_##name] = kernel_##run,
#include "bfm/kernels.def"
    };
    const BfmPlanKernel *kernel = &bfm_plan_kernels(instance->plan)[position];
    double start = instance->seconds ? now() : 0;
    kernel_fill(instance, kernel);
    KernelRun run = {instance, kernel, instance->codes + kernel->codes, error};
    bool ok = runners[kernel->kind](&run);
    if (instance->seconds) {
        instance->seconds[position] += now() - start;
        instance->served[position] += kernel_served(&run);
    }
    return ok;
}

static bool run_begin(BfmInstance *instance, uint64_t seed, uint64_t step, BfmError *error)
{
    const BfmPlan *plan = instance->plan;
    if (!instance->bound && !bfm_instance_bind(instance, instance->symbols, error))
        return false;
    for (int i = 0; i < (int)plan->formals.count; i++) {
        int buffer = formal_buffer(instance, i);
        if (!instance->memory[buffer] && bfm_plan_buffers(plan)[buffer].first >= 0)
            return bfm_error_set(error, BFM_ERROR_BUG, "no memory was given for %s", bfm_plan_text(plan, bfm_plan_formals(plan)[i].name));
    }
    if (instance->pointers_changed)
        codes_fill(instance);
    draws_key(instance, seed, step);
    return true;
}

bool bfm_instance_run_range(BfmInstance *instance, uint64_t seed, uint64_t step, int first, int last, BfmError *error)
{
    if (!run_begin(instance, seed, step, error))
        return false;
    for (int i = first; i < last; i++) {
        if (!kernel_run(instance, i, error))
            return false;
    }
    return true;
}

bool bfm_instance_run(BfmInstance *instance, uint64_t seed, uint64_t step, BfmError *error)
{
    return bfm_instance_run_range(instance, seed, step, 0, (int)instance->plan->kernels.count, error);
}

void bfm_instance_time(BfmInstance *instance, double *seconds, double *served)
{
    instance->seconds = seconds;
    instance->served = served;
}

/* ---- looking for what is not a number ------------------------------------------------------------------------------------- */

static bool buffer_bad(const BfmInstance *instance, int buffer)
{
    const BfmPlanBuffer *planned = &bfm_plan_buffers(instance->plan)[buffer];
    const float *values = instance->memory[buffer];
    if (planned->elem != BFM_ELEM_F32 || !values)
        return false;
    for (int64_t i = 0; i < instance->dims[planned->count]; i++) {
        if (isnan(values[i]) || values[i] == INFINITY)
            return true;
    }
    return false;
}

int bfm_instance_find_bad(BfmInstance *instance, uint64_t seed, uint64_t step, const char **name, BfmError *error)
{
    const BfmPlan *plan = instance->plan;
    if (!run_begin(instance, seed, step, error))
        return -2;
    for (int i = 0; i < (int)plan->kernels.count; i++) {
        const BfmPlanKernel *kernel = &bfm_plan_kernels(plan)[i];
        if (!kernel_run(instance, i, error))
            return -2;
        for (int r = 0; r < kernel->result_count; r++) {
            int buffer = bfm_plan_ints(plan)[kernel->results + r];
            if (!buffer_bad(instance, buffer))
                continue;
            *name = bfm_plan_text(plan, bfm_plan_buffers(plan)[buffer].name);
            return i;
        }
    }
    return -1;
}
