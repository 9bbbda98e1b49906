/* Calls: a callee is differentiated once per pattern of adjoints given and formals wanted. The call then runs a copy of the callee that also
   gives the tensors its backward unit reads, and the backward unit is called with them. */
#include "grad/internal.h"

#include "opt/opt.h"
#include "support/bug.h"

#include <string.h>

static CallPair *pair_find(Gradient *gradient, const Unit *callee, const bool *seeded, const bool *wanted)
{
    for (CallPair *pair = gradient->pairs; pair; pair = pair->next)
        if (pair->callee == callee && !memcmp(pair->seeded, seeded, sizeof *seeded * (size_t)callee->output_count) &&
            !memcmp(pair->wanted, wanted, sizeof *wanted * (size_t)callee->formal_count))
            return pair;
    return NULL;
}

static void seed_outputs(Backward *b, const CallPair *pair)
{
    for (int o = 0; o < pair->callee->output_count; o++) {
        if (!pair->seeded[o])
            continue;
        int tensor = b->forward->outputs[o].tensor;
        int seed = unit_tensor_like(b->target, &b->forward->tensors[tensor], ".seed", TENSOR_INPUT);
        vec_push(&b->source_of, -1 - o);
        backward_contribute(b, tensor, seed);
    }
}

static void give_gradients(Backward *b, CallPair *pair)
{
    int *grad_formal = ARENA_ARRAY(b->forward->program->arena, int, b->forward->formal_count + 1), count = 0;
    for (int f = 0; f < pair->callee->formal_count; f++) {
        int formal = b->forward->formals[f];
        int adjoint = pair->wanted[f] ? backward_adjoint(b, formal) : -1;
        if (adjoint < 0)
            continue;
        if (b->target->tensors[adjoint].role != TENSOR_LOCAL)
            adjoint = backward_copy(b, formal, adjoint); /* the seed itself: an output is no formal */
        int output = unit_output(b->target, symbol_suffix(b->forward->program, b->forward->tensors[formal].name, ".grad"), OUTPUT_GRAD, adjoint);
        b->target->outputs[output].formal = f;
        grad_formal[count++] = f;
    }
    pair->grad_formal = grad_formal;
}

static int output_of(Unit *forward, int tensor)
{
    for (int o = 0; o < forward->output_count; o++)
        if (forward->outputs[o].tensor == tensor)
            return o;
    return unit_output(forward, forward->tensors[tensor].name, OUTPUT_SAVED, tensor);
}

static int formal_of(const Unit *unit, int tensor)
{
    for (int f = 0; f < unit->formal_count; f++)
        if (unit->formals[f] == tensor)
            return f;
    return -1;
}

/* Where each formal that is left comes from; what must be saved becomes an output of the forward copy. */
static void find_sources(Backward *b, CallPair *pair, const int *kept)
{
    Unit *forward = b->forward;
    int count = b->target->formal_count;
    pair->feeds = ARENA_ARRAY(forward->program->arena, Feed, count + 1);
    for (int k = 0; k < count; k++) {
        int from = b->source_of.items[kept[k]];
        if (from < 0)
            pair->feeds[k] = (Feed){FEED_ADJOINT, -1 - from};
        else if (formal_of(forward, from) >= 0)
            pair->feeds[k] = (Feed){FEED_FORMAL, formal_of(forward, from)};
        else
            pair->feeds[k] = (Feed){FEED_SAVED, output_of(forward, from)};
    }
}

static void backward_free(Backward *b)
{
    for (int t = 0; t < b->tensor_count; t++)
        vec_free(&b->adjoints[t]);
    vec_free(&b->source_of);
}

static CallPair *pair_new(Gradient *gradient, const Unit *callee, const bool *seeded, const bool *wanted)
{
    Program *program = gradient->program;
    Arena *arena = program->arena;
    CallPair *pair = ARENA_NEW(arena, CallPair);
    pair->callee = callee;
    pair->seeded = arena_memdup(arena, seeded, sizeof *seeded * (size_t)callee->output_count);
    pair->wanted = arena_memdup(arena, wanted, sizeof *wanted * (size_t)callee->formal_count);
    pair->forward = unit_clone(callee, callee->name);
    pair->backward = unit_new(program, symbol_suffix(program, callee->name, ".grad"));
    pair->next = gradient->pairs;
    gradient->pairs = pair;

    Backward b = {.gradient = gradient, .forward = pair->forward, .target = pair->backward, .tensor_count = callee->tensor_count};
    b.map_count = callee->tensor_count;
    b.map = ARENA_ARRAY(arena, int, b.map_count + 1);
    for (int t = 0; t < b.map_count; t++)
        b.map[t] = -1;
    b.adjoints = ARENA_ARRAY(arena, IntList, b.tensor_count + 1);
    b.varied = ARENA_ARRAY(arena, bool, b.tensor_count + 1);
    for (int f = 0; f < callee->formal_count; f++)
        b.varied[callee->formals[f]] = wanted[f];
    activity_mark(pair->forward, b.varied);
    b.signs = unit_signs(arena, pair->forward);
    b.undefined = tensors_may_be_undefined(arena, pair->forward, b.signs, b.varied);
    seed_outputs(&b, pair);
    backward_run(&b, pair->forward->op_count);
    give_gradients(&b, pair);
    opt_simplify_unit(pair->backward, &(OptOptions){.phase = OPT_AFTER_GRAD});
    int *kept = ARENA_ARRAY(arena, int, pair->backward->formal_count + 1);
    opt_drop_formals(pair->backward, kept);
    find_sources(&b, pair, kept);
    backward_free(&b);
    return pair;
}

/* The result tensor of the call that holds the callee's output `output`. */
static int result_tensor(Backward *b, int at, int output)
{
    Unit *unit = b->forward;
    int tensor = unit->ops[at].results[output];
    if (tensor >= 0)
        return tensor;
    const Unit *callee = unit->ops[at].callee;
    const Tensor *inner = &callee->tensors[callee->outputs[output].tensor];
    tensor = unit_tensor(unit, inner->name, inner->type, TENSOR_LOCAL, inner->rank, inner->extent, inner->bound);
    unit->tensors[tensor].def = at;
    unit->ops[at].results[output] = tensor;
    return tensor;
}

static void use_forward(Backward *b, int at, const CallPair *pair)
{
    Op *op = &b->forward->ops[at];
    int *results = ARENA_ARRAY(b->forward->program->arena, int, pair->forward->output_count + 1);
    for (int r = 0; r < pair->forward->output_count; r++)
        results[r] = r < op->result_count ? op->results[r] : -1;
    op->callee = pair->forward;
    op->results = results;
    op->result_count = pair->forward->output_count;
}

static void call_backward(Backward *b, int at, const CallPair *pair, const int *adjoints)
{
    Arena *arena = b->forward->program->arena;
    int arg_count = pair->backward->formal_count, result_count = pair->backward->output_count;
    int *args = ARENA_ARRAY(arena, int, arg_count + 1), *results = ARENA_ARRAY(arena, int, result_count + 1);
    for (int k = 0; k < arg_count; k++) {
        const Feed *feed = &pair->feeds[k];
        switch (feed->kind) {
        case FEED_FORMAL: args[k] = backward_need(b, b->forward->ops[at].args[feed->which]); break;
        case FEED_SAVED: args[k] = backward_need(b, result_tensor(b, at, feed->which)); break;
        case FEED_ADJOINT: args[k] = adjoints[feed->which]; break;
        }
    }
    for (int r = 0; r < result_count; r++)
        results[r] = backward_like(b, b->forward->ops[at].args[pair->grad_formal[r]], ".grad");
    OpBuilder builder = op_begin(b->target, OP_CALL);
    builder.op.callee = pair->backward;
    builder.op.args = args;
    builder.op.arg_count = arg_count;
    builder.op.results = results;
    builder.op.result_count = result_count;
    builder.op.path = b->forward->ops[at].path; /* its draws are the forward run's draws */
    builder.op.span = b->forward->ops[at].span;
    (void)op_finish(&builder);
    for (int r = 0; r < result_count; r++)
        backward_contribute(b, b->forward->ops[at].args[pair->grad_formal[r]], results[r]);
}

void call_rule(Backward *b, int at)
{
    Op op = b->forward->ops[at];
    const Unit *callee = op.callee;
    Arena *arena = b->forward->program->arena;
    bool *seeded = ARENA_ARRAY(arena, bool, callee->output_count + 1), *wanted = ARENA_ARRAY(arena, bool, callee->formal_count + 1);
    int *adjoints = ARENA_ARRAY(arena, int, callee->output_count + 1);
    bool any_seed = false, any_wanted = false;
    for (int r = 0; r < op.result_count; r++) {
        int tensor = op.results[r];
        adjoints[r] = tensor >= 0 && tensor < b->tensor_count && b->varied[tensor] ? backward_adjoint(b, tensor) : -1;
        seeded[r] = adjoints[r] >= 0;
        any_seed = any_seed || seeded[r];
    }
    for (int f = 0; f < op.arg_count; f++) {
        wanted[f] = op.args[f] < b->tensor_count && b->varied[op.args[f]] && callee->tensors[callee->formals[f]].type == T_REAL;
        any_wanted = any_wanted || wanted[f];
    }
    if (!any_seed || !any_wanted)
        return;
    CallPair *pair = pair_find(b->gradient, callee, seeded, wanted);
    if (!pair)
        pair = pair_new(b->gradient, callee, seeded, wanted);
    if (pair->backward->output_count == 0)
        return;
    use_forward(b, at, pair);
    call_backward(b, at, pair, adjoints);
}
