#include "ir/interp_internal.h"
#include "ir/needs.h"

#include "support/bug.h"
#include "support/checked.h"
#include "support/vec.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Elements of one tensor: 2 GB of doubles. */
#define ELEMENTS_MAX ((int64_t)1 << 28)

int64_t tensor_elements(const Tensor *tensor, const DimEnv *env)
{
    int64_t count = 1;
    for (int i = 0; i < tensor->rank; i++) {
        const int64_t extent = dim_eval(tensor->extent[i], env);
        if (extent < 0 || !checked_mul(count, extent, &count))
            return -1;
    }
    return count;
}

static double round_to(const Run *run, double value) { return run->context->precision == INTERP_F32 ? (double)(float)value : value; }

/* ---- results ---- */

static int64_t result_elements(Run *run, const Unit *unit, int tensor)
{
    const int64_t count = tensor_elements(&unit->tensors[tensor], &run->context->env);
    const int64_t limit = run->context->point_limit > 0 && run->context->point_limit < ELEMENTS_MAX ? run->context->point_limit : ELEMENTS_MAX;
    if (count < 0 || count > limit)
        run_fail(run, "%s: %s is too large, or has a negative extent", unit->name, unit->tensors[tensor].name);
    return count;
}

/* Where the operation accumulates: the result itself, or numbers that become integers at the end. */
static double *result_begin(BoundOp *bound, double start)
{
    const int id = bound->op->out.tensor;
    Value *value = &bound->tensors[id];
    const int64_t count = result_elements(bound->run, bound->unit, id);
    if (bound->run->error)
        return NULL;
    value->count = count;
    double *numbers;
    if (bound->unit->tensors[id].type == T_INT) {
        value->integer = ARENA_ARRAY(bound->run->arena, int32_t, count + 1);
        numbers = ARENA_ARRAY(bound->arena, double, count + 1);
    } else {
        value->real = numbers = ARENA_ARRAY(bound->run->arena, double, count + 1);
    }
    const Value *old = bound->op->kind == OP_NEST && bound->op->init.tensor >= 0 ? &bound->tensors[bound->op->init.tensor] : NULL;
    if (old && old->count != count)
        run_fail(bound->run, "%s: operation %d extends a tensor of another size", bound->unit->name, bound->number);
    for (int64_t i = 0; i < count && !bound->run->error; i++)
        numbers[i] = !old ? start : old->real ? old->real[i] : old->integer[i] < 0 ? (double)NAN : (double)old->integer[i];
    return numbers;
}

static void result_end(BoundOp *bound, const double *numbers)
{
    const Tensor *tensor = &bound->unit->tensors[bound->op->out.tensor];
    Value *value = &bound->tensors[bound->op->out.tensor];
    if (tensor->type != T_INT)
        return;
    int64_t limit = dim_eval(tensor->bound, &bound->run->context->env);
    limit = limit > INT32_MAX ? INT32_MAX : limit;
    for (int64_t i = 0; i < value->count; i++) {
        const double rounded = rint(numbers[i]);
        value->integer[i] = rounded >= 0 && rounded < (double)limit ? (int32_t)rounded : -1;
    }
}

/* ---- nest ---- */

static void nest_set(BoundOp *bound, const double *values, double *numbers)
{
    for (int i = 0; i < bound->chunk.count; i++) {
        if (!bound->chunk.alive[i])
            continue;
        double *to = &numbers[bound->out.offset[i]];
        if (*to == *to && bound->op->init.tensor < 0)
            run_fail(bound->run, "%s: operation %d writes an element of %s twice", bound->unit->name, bound->number, bound->out.name);
        *to = values[i];
    }
}

static void nest_sum(BoundOp *bound, const double *values, double *numbers)
{
    const bool f32 = bound->run->context->precision == INTERP_F32;
    const int64_t *offset = bound->out.offset;
    for (int i = 0; i < bound->chunk.count; i++) {
        if (!bound->chunk.alive[i])
            continue;
        const double sum = numbers[offset[i]] + values[i];
        numbers[offset[i]] = f32 ? (double)(float)sum : sum;
    }
}

/* A NaN stays. */
static void nest_extreme(const BoundOp *bound, const double *values, double sign, double *numbers)
{
    for (int i = 0; i < bound->chunk.count; i++) {
        double *to = &numbers[bound->out.offset[i]];
        if (bound->chunk.alive[i] && (sign * values[i] > sign * *to || values[i] != values[i]))
            *to = values[i];
    }
}

static void nest_exp(const BoundOp *bound, const double *values, const double *high, double *numbers)
{
    for (int i = 0; i < bound->chunk.count; i++) {
        const int64_t at = bound->out.offset[i];
        if (!bound->chunk.alive[i] || isinf(high[at]))
            continue;
        const double term = round_to(bound->run, exp(round_to(bound->run, values[i] - high[at])));
        numbers[at] = round_to(bound->run, numbers[at] + term);
    }
}

/* The second pass of log-sum-exp, the maxima being known: the space is visited again. */
static void run_lse(BoundOp *bound, double *high)
{
    const int64_t count = bound->tensors[bound->op->out.tensor].count;
    double *sums = ARENA_ARRAY(bound->arena, double, count + 1);
    bound->space.started = bound->space.done = false;
    bound->space.low = bound->space.high = 0;
    while (space_next(bound)) {
        chunk_eval(bound);
        if (bound->run->error)
            return;
        nest_exp(bound, bound->exprs[bound->op->body].values, high, sums);
    }
    for (int64_t i = 0; i < count; i++)
        if (!isinf(high[i])) /* an infinite maximum is the result; a NaN stays one */
            high[i] = round_to(bound->run, high[i] + round_to(bound->run, log(sums[i])));
}

static void run_nest(BoundOp *bound, double *numbers)
{
    const Reducer reducer = bound->op->reducer;
    const double *values = bound->exprs[bound->op->body].values;
    while (space_next(bound)) {
        chunk_eval(bound);
        if (bound->run->error)
            return;
        switch (reducer) {
        case REDUCE_SET: nest_set(bound, values, numbers); break;
        case REDUCE_SUM: nest_sum(bound, values, numbers); break;
        case REDUCE_MAX:
        case REDUCE_LSE: nest_extreme(bound, values, 1, numbers); break;
        case REDUCE_MIN: nest_extreme(bound, values, -1, numbers); break;
        }
    }
    if (reducer == REDUCE_LSE && !bound->run->error)
        run_lse(bound, numbers);
}

static double nest_start(Reducer reducer)
{
    switch (reducer) {
    case REDUCE_SET: return NAN;
    case REDUCE_SUM: return 0;
    case REDUCE_MAX:
    case REDUCE_LSE: return -INFINITY;
    case REDUCE_MIN: return INFINITY;
    }
    BFM_BUG("reducer %d", (int)reducer);
}

/* ---- recurrence ---- */

static double init_value(const BoundOp *bound, int i)
{
    if (!bound->init || bound->init->value->count == 0)
        return 0;
    const int64_t at = bound->init->offset[i];
    return round_to(bound->run, bound->init->value->real ? bound->init->value->real[at] : (double)bound->init->value->integer[at]);
}

/* The scan's loops are innermost: a new scan begins where all of its indices are at their starts. */
static bool scan_begins(const BoundOp *bound, int run)
{
    const int64_t *position = bound->chunk.position + (size_t)run * (size_t)bound->chunk.indices;
    for (int i = 0; i < bound->op->scan_count; i++) {
        const int index = bound->op->scan[i];
        if (position[index] != (bound->op->reverse ? bound->space.extent[index] - 1 : 0))
            return false;
    }
    return true;
}

static void run_recur(BoundOp *bound, double *numbers)
{
    const Op *op = bound->op;
    const Chunk *chunk = &bound->chunk;
    const double *b = bound->exprs[op->body].values, *a = op->body2 >= 0 ? bound->exprs[op->body2].values : NULL;
    double state = 0;
    while (space_next(bound)) {
        chunk_eval(bound);
        if (bound->run->error)
            return;
        for (int r = 0; r < chunk->runs; r++) {
            if (scan_begins(bound, r))
                state = init_value(bound, chunk->begin[r]);
            for (int i = chunk->begin[r]; i < chunk->begin[r + 1]; i++) {
                const double before = state;
                if (chunk->alive[i])
                    state = round_to(bound->run, (a ? round_to(bound->run, a[i] * state) : state) + b[i]);
                numbers[bound->out.offset[i]] = op->exclusive ? before : state;
            }
        }
    }
}

/* ---- ranking ---- */

typedef struct Candidate {
    double value;
    int64_t position;
} Candidate;

typedef VEC(Candidate) Candidates;

/* Larger first, NaN last, then the lower position. */
static int candidate_order(const void *left, const void *right)
{
    const Candidate *a = left, *b = right;
    const bool nan_a = a->value != a->value, nan_b = b->value != b->value;
    if (nan_a != nan_b)
        return nan_a ? 1 : -1;
    if (!nan_a && a->value != b->value)
        return a->value > b->value ? -1 : 1;
    return a->position < b->position ? -1 : 1;
}

static void top_flush(Candidates *candidates, int64_t k, int64_t at, double *numbers)
{
    if (candidates->count > 0)
        qsort(candidates->items, (size_t)candidates->count, sizeof(Candidate), candidate_order);
    for (int64_t i = 0; i < k && i < candidates->count; i++)
        numbers[at + i] = (double)candidates->items[i].position;
    candidates->count = 0;
}

static int64_t flat_position(const BoundOp *bound, int run, int i)
{
    const int64_t *position = bound->chunk.position + (size_t)run * (size_t)bound->chunk.indices;
    int64_t flat = 0;
    for (int index = bound->op->index_count - bound->op->reduced; index < bound->op->index_count; index++)
        flat = flat * bound->space.extent[index] + position[index] + (index == bound->space.inner ? i - bound->chunk.begin[run] : 0);
    return flat;
}

/* Points come in the order of the outer indices: a change of the output's place ends a ranking. */
static void run_top(BoundOp *bound, double *numbers)
{
    const int64_t k = dim_eval(bound->op->top_k, &bound->run->context->env);
    Candidates candidates = {0};
    int64_t at = -1;
    while (space_next(bound)) {
        chunk_eval(bound);
        if (bound->run->error)
            break;
        for (int r = 0; r < bound->chunk.runs; r++)
            for (int i = bound->chunk.begin[r]; i < bound->chunk.begin[r + 1]; i++) {
                if (!bound->chunk.alive[i])
                    continue;
                if (bound->out.offset[i] != at)
                    top_flush(&candidates, k, at, numbers);
                at = bound->out.offset[i];
                vec_push(&candidates, (Candidate){bound->exprs[bound->op->body].values[i], flat_position(bound, r, i)});
            }
    }
    if (!bound->run->error)
        top_flush(&candidates, k, at, numbers);
    vec_free(&candidates);
}

/* ---- units ---- */

static void run_unit(Run *run, const Unit *unit, const char *path, const Value *formals, Value *tensors);

static void run_call(Run *run, const Unit *unit, const Op *op, const char *path, Value *tensors)
{
    const Unit *callee = op->callee;
    if (op->arg_count != callee->formal_count || op->result_count != callee->output_count) {
        run_fail(run, "%s: a call of %s with %d arguments and %d results", unit->name, callee->name, op->arg_count, op->result_count);
        return;
    }
    Value *formals = ARENA_ARRAY(run->arena, Value, op->arg_count + 1);
    for (int i = 0; i < op->arg_count; i++)
        formals[i] = tensors[op->args[i]];
    const char *label = op->path ? op->path : "";
    const char *inner_path = *path && *label ? arena_printf(run->arena, "%s.%s", path, label) : *path ? path : label;
    Value *inner = ARENA_ARRAY(run->arena, Value, callee->tensor_count + 1);
    run_unit(run, callee, inner_path, formals, inner);
    for (int i = 0; i < op->result_count && !run->error; i++)
        if (op->results[i] >= 0)
            tensors[op->results[i]] = inner[callee->outputs[i].tensor];
}

static void run_op(Run *run, const Unit *unit, int number, const char *path, Value *tensors)
{
    const Op *op = &unit->ops[number];
    BoundOp *bound = calloc(1, sizeof *bound); /* large: kept off the stack, whose depth is that of the calls */
    BFM_ASSERT(bound);
    *bound = (BoundOp){.run = run, .unit = unit, .op = op, .number = number, .tensors = tensors, .arena = arena_new(), .path = path};
    const double start = op->kind == OP_NEST ? nest_start(op->reducer) : op->kind == OP_RECUR ? 0 : NAN;
    double *numbers = result_begin(bound, start);
    if (!run->error)
        bind_op(bound);
    if (!run->error && !bound->space.empty) {
        if (op->kind == OP_NEST)
            run_nest(bound, numbers);
        else if (op->kind == OP_RECUR)
            run_recur(bound, numbers);
        else
            run_top(bound, numbers);
    }
    if (!run->error)
        result_end(bound, numbers);
    const int out = op->out.tensor;
    if (!run->error && unit->tensors[out].type == T_INT && run->context->replay && !run->context->replay(run->context->user, unit, out, &tensors[out]))
        run_fail(run, "%s: stopped at %s", unit->name, unit->tensors[out].name);
    arena_free(bound->arena);
    free(bound);
}

static void bind_formals(Run *run, const Unit *unit, const Value *formals, Value *tensors)
{
    for (int i = 0; i < unit->formal_count && !run->error; i++) {
        const Tensor *tensor = &unit->tensors[unit->formals[i]];
        const int64_t count = tensor_elements(tensor, &run->context->env);
        const bool present = tensor->type == T_INT ? formals[i].integer != NULL : formals[i].real != NULL;
        if (count < 0 || formals[i].count != count || (!present && count > 0))
            run_fail(run, "%s: %s must have %" PRId64 " elements, not %" PRId64, unit->name, tensor->name, count, present ? formals[i].count : -1);
        tensors[unit->formals[i]] = formals[i];
        if (count == 0)
            tensors[unit->formals[i]] = (Value){0, tensor->type == T_REAL ? ARENA_NEW(run->arena, double) : NULL, tensor->type == T_INT ? ARENA_NEW(run->arena, int32_t) : NULL};
    }
}

static void run_unit(Run *run, const Unit *unit, const char *path, const Value *formals, Value *tensors)
{
    bind_formals(run, unit, formals, tensors);
    for (int i = 0; i < unit->op_count && !run->error; i++) {
        if (unit->ops[i].kind == OP_CALL)
            run_call(run, unit, &unit->ops[i], path, tensors);
        else
            run_op(run, unit, i, path, tensors);
    }
}

const char *interp_run(Arena *arena, const Unit *unit, const InterpContext *context, const Value *formals, Value *results, Value *all)
{
    Run run = {.arena = arena, .context = context};
    for (int i = 0; i < DIM_SYMBOLS; i++)
        if (unit->program->most[i] && context->env.value[i] > unit->program->most[i])
            return arena_printf(arena, "a size of %lld, where the program was made for %lld at most", (long long)context->env.value[i], (long long)unit->program->most[i]);
    const SizeNeed *need = unit->formal_count > 0 ? needs_unmet(unit->program, &context->env) : NULL; /* an initial value depends on no size */
    if (need)
        return need_message(arena, need, &context->env);
    Value *tensors = all ? all : ARENA_ARRAY(arena, Value, unit->tensor_count + 1);
    if (all && unit->tensor_count)
        memset(all, 0, (size_t)unit->tensor_count * sizeof *all);
    run_unit(&run, unit, "", formals, tensors);
    for (int i = 0; i < unit->output_count && !run.error; i++)
        results[i] = tensors[unit->outputs[i].tensor];
    return run.error;
}
