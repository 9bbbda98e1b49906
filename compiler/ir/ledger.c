/* Costs of operations, units and programs. */
#include "ir/ledger.h"

#include "ir/volume.h"
#include "support/bug.h"

#include <math.h>

typedef struct Counter {
    Arena *arena;
    const Program *program;
    DimEnv env;
    DimEnv full;     /* sizes at which what a token meets is counted */
    UnitCost *units; /* parallel to program->units, those counted so far */
    int unit_count;
} Counter;

typedef struct UnitCounter {
    const Counter *all;
    const Unit *unit;
    UnitCost *cost;
    bool *live;        /* [tensor]: a result or loss needs it */
    bool *varies;      /* [tensor]: real, and depends on a parameter or on the stream */
    bool *adjoint;     /* [tensor]: a result or loss depends on it in a way that has a derivative */
    bool **vocabulary; /* [tensor][axis]: made along the vocabulary */
    bool *normalised;  /* [tensor]: a log-sum-exp runs over it, or over a map of it: made again in the backward pass */
} UnitCounter;

static double dim_number(const UnitCounter *uc, Dim dim) { return (double)dim_eval(dim, &uc->all->env); }

static double tensor_size(const UnitCounter *uc, int tensor)
{
    double size = 1;
    for (int axis = 0; axis < uc->unit->tensors[tensor].rank; axis++)
        size *= dim_number(uc, uc->unit->tensors[tensor].extent[axis]);
    return size;
}

static const UnitCost *cost_of(const Counter *all, const Unit *unit)
{
    if (unit->position < all->unit_count && all->units[unit->position].unit == unit)
        return &all->units[unit->position];
    for (int i = 0; i < all->unit_count; i++)
        if (all->units[i].unit == unit)
            return &all->units[i];
    BFM_BUG("unit `%s` is called before it stands", unit->name);
}

/* ---- what is needed, and where derivatives flow ---- */

static void mark_access(const Access *access, bool *mark)
{
    if (access->tensor < 0)
        return;
    mark[access->tensor] = true;
    for (int i = 0; i < access->count; i++)
        if (access->subs[i].read)
            mark_access(access->subs[i].read, mark);
}

static void mark_subscripts(const Access *access, bool *mark)
{
    for (int i = 0; i < access->count; i++)
        if (access->subs[i].read)
            mark_access(access->subs[i].read, mark);
}

static void mark_reads(const Op *op, bool *mark)
{
    for (int e = 0; e < op->expr_count; e++)
        if (op->exprs[e].kind == EXPR_READ)
            mark_access(&op->exprs[e].access, mark);
    mark_subscripts(&op->out, mark);
    if (op->kind == OP_RECUR)
        mark_access(&op->init, mark);
}

static bool op_is_live(const UnitCounter *uc, const Op *op)
{
    bool live = op->kind != OP_CALL && uc->live[op->out.tensor];
    for (int r = 0; op->kind == OP_CALL && r < op->result_count; r++)
        live = live || (op->results[r] >= 0 && uc->live[op->results[r]]);
    return live;
}

static void find_live(UnitCounter *uc)
{
    const Unit *unit = uc->unit;
    for (int o = 0; o < unit->output_count; o++)
        if (unit->outputs[o].kind == OUTPUT_RESULT || unit->outputs[o].kind == OUTPUT_LOSS)
            uc->live[unit->outputs[o].tensor] = uc->adjoint[unit->outputs[o].tensor] = true;
    for (int o = unit->op_count - 1; o >= 0; o--) {
        const Op *op = &unit->ops[o];
        if (!op_is_live(uc, op))
            continue;
        if (op->kind != OP_CALL)
            mark_reads(op, uc->live);
        for (int a = 0; op->kind == OP_CALL && a < op->arg_count; a++)
            uc->live[op->args[a]] = uc->adjoint[op->args[a]] = true;
        if (op->kind == OP_TOP || op->kind == OP_CALL || !uc->adjoint[op->out.tensor] || unit->tensors[op->out.tensor].type != T_REAL)
            continue;
        for (int e = 0; e < op->expr_count; e++)
            if (op->exprs[e].kind == EXPR_READ && unit->tensors[op->exprs[e].access.tensor].type == T_REAL)
                uc->adjoint[op->exprs[e].access.tensor] = true;
    }
}

static void find_varying(UnitCounter *uc)
{
    const Unit *unit = uc->unit;
    for (int f = 0; f < unit->formal_count; f++) {
        const Tensor *tensor = &unit->tensors[unit->formals[f]];
        uc->varies[unit->formals[f]] = tensor->type == T_REAL && tensor->role != TENSOR_STATE;
    }
    for (int o = 0; o < unit->op_count; o++) {
        const Op *op = &unit->ops[o];
        for (int r = 0; op->kind == OP_CALL && r < op->result_count; r++)
            if (op->results[r] >= 0)
                uc->varies[op->results[r]] = unit->tensors[op->results[r]].type == T_REAL;
        if (op->kind == OP_CALL || unit->tensors[op->out.tensor].type != T_REAL)
            continue;
        for (int e = 0; e < op->expr_count; e++)
            if (op->exprs[e].kind == EXPR_READ && uc->varies[op->exprs[e].access.tensor])
                uc->varies[op->out.tensor] = true;
    }
}

/* ---- the vocabulary ---- */

static bool *vocabulary_axes(UnitCounter *uc, int tensor)
{
    if (!uc->vocabulary[tensor])
        uc->vocabulary[tensor] = ARENA_ARRAY(uc->all->arena, bool, uc->unit->tensors[tensor].rank + 1);
    return uc->vocabulary[tensor];
}

/* An axis that an integer of the model's input points into. Its own definition runs back over what is read by the same index. */
static void mark_vocabulary(UnitCounter *uc, const Access *access, const bool *indices)
{
    int axis = 0, index;
    for (int i = 0; i < access->count; i++) {
        const Sub *sub = &access->subs[i];
        const Tensor *integer = sub->read ? &uc->unit->tensors[sub->read->tensor] : NULL;
        const bool points = integer && integer->role == TENSOR_INPUT;
        const bool along = !sub->read && indices && affine_is_index(sub->affine, &index) && indices[index];
        if ((points || along) && sub->span == 1)
            vocabulary_axes(uc, access->tensor)[axis] = true;
        axis += sub->span;
    }
}

static void find_vocabulary(UnitCounter *uc)
{
    const Unit *unit = uc->unit;
    for (int o = unit->op_count - 1; o >= 0; o--) {
        const Op *op = &unit->ops[o];
        if (op->kind == OP_CALL)
            continue;
        bool indices[VOLUME_INDICES_MAX] = {false};
        const bool *axes = uc->vocabulary[op->out.tensor];
        int axis = 0, index;
        for (int i = 0; i < op->out.count; i++) {
            if (axes && axes[axis] && !op->out.subs[i].read && affine_is_index(op->out.subs[i].affine, &index))
                indices[index] = true;
            axis += op->out.subs[i].span;
        }
        for (int e = 0; e < op->expr_count; e++)
            if (op->exprs[e].kind == EXPR_READ)
                mark_vocabulary(uc, &op->exprs[e].access, indices);
    }
}

/* ---- what is not kept ---- */

static void find_normalised(UnitCounter *uc)
{
    const Unit *unit = uc->unit;
    for (int o = unit->op_count - 1; o >= 0; o--) {
        const Op *op = &unit->ops[o];
        if (op->kind != OP_NEST || (op->reducer != REDUCE_LSE && !(op->reducer == REDUCE_SET && uc->normalised[op->out.tensor])))
            continue;
        for (int e = 0; e < op->expr_count; e++)
            if (op->exprs[e].kind == EXPR_READ && index_set_access(&op->exprs[e].access) == index_set_all(op))
                uc->normalised[op->exprs[e].access.tensor] = true;
    }
}

/* ---- parameters ---- */

static IndexSet written_indices(const Op *op) { return index_set_access(&op->out); }

/* Indices that run over the batch or the positions, or over what is chosen of them: a half, one in four. */
static IndexSet token_indices(const Op *op)
{
    IndexSet set = 0;
    for (int i = 0; i < op->index_count; i++)
        if (dim_uses(op->indices[i].extent, DIM_B) || dim_uses(op->indices[i].extent, DIM_L))
            set |= (IndexSet)1 << i;
    return set;
}

/* Tokens over which the work of the operation is spread: none of the sizes, positions, or all tokens. */
static double tokens_of(const UnitCounter *uc, const Op *op)
{
    bool rows = false, positions = false;
    for (int i = 0; i < op->index_count; i++) {
        rows = rows || dim_uses(op->indices[i].extent, DIM_B);
        positions = positions || dim_uses(op->indices[i].extent, DIM_L);
    }
    const DimEnv *env = &uc->all->full;
    return rows ? (double)env->value[DIM_B] * (double)env->value[DIM_L] : positions ? (double)env->value[DIM_L] : 1;
}

/* Formals are made in order, so that their tensors ascend; a unit whose formals were put in another order is searched from end to end. */
static int formal_of(const Unit *unit, int tensor)
{
    if (unit->tensors[tensor].role == TENSOR_LOCAL)
        return -1;
    int low = 0, high = unit->formal_count;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        if (unit->formals[middle] < tensor)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < unit->formal_count && unit->formals[low] == tensor)
        return low;
    for (int f = 0; f < unit->formal_count; f++)
        if (unit->formals[f] == tensor)
            return f;
    return -1;
}

/* A factor of a sum of products: does it have an index that is summed? Then a token meets its elements at the points of its own indices. */
static void product_factor(UnitCounter *uc, const Op *op, const Access *access)
{
    const int formal = formal_of(uc->unit, access->tensor);
    const IndexSet own = index_set_access(access), tokens = token_indices(op);
    if (formal < 0 || uc->unit->tensors[access->tensor].role != TENSOR_PARAM || !(own & ~written_indices(op)))
        return;
    ParamCost *param = &uc->cost->formals[formal];
    const double met = volume_points(op, own | tokens, &uc->all->full) / tokens_of(uc, op);
    param->use = PARAM_PRODUCT;
    param->activated = fmin((double)param->elements, fmax(param->activated, met));
}

/* The factors of a sum of products; how many of them are no constants. `note`: their parameters are noted. */
static int product_factors(UnitCounter *uc, const Op *op, int expr, bool note)
{
    const Expr *node = &op->exprs[expr];
    switch ((int)node->kind) {
    case EXPR_MUL: return product_factors(uc, op, node->arg[0], note) + product_factors(uc, op, node->arg[1], note);
    case EXPR_NEG:
    case EXPR_STOP: return product_factors(uc, op, node->arg[0], note);
    case EXPR_READ:
        if (note)
            product_factor(uc, op, &node->access);
        return 1;
    case EXPR_CONST:
    case EXPR_DIM: return 0;
    }
    return 1;
}

static void classify(UnitCounter *uc)
{
    const Unit *unit = uc->unit;
    for (int f = 0; f < unit->formal_count; f++) {
        const Tensor *tensor = &unit->tensors[unit->formals[f]];
        if (tensor->role == TENSOR_PARAM)
            uc->cost->formals[f].elements = (int64_t)tensor_size(uc, unit->formals[f]);
    }
    for (int o = 0; o < unit->op_count; o++)
        if (unit->ops[o].kind == OP_NEST && unit->ops[o].reducer == REDUCE_SUM)
            (void)product_factors(uc, &unit->ops[o], unit->ops[o].body, true);
    for (int f = 0; f < unit->formal_count; f++) {
        const bool *axes = uc->vocabulary[unit->formals[f]];
        for (int axis = 0; axes && axis < unit->tensors[unit->formals[f]].rank; axis++)
            if (axes[axis])
                uc->cost->formals[f].use = PARAM_TABLE;
        if (uc->cost->formals[f].use != PARAM_PRODUCT)
            uc->cost->formals[f].activated = 0;
    }
}

/* ---- arithmetic ---- */

/* Of the derivative, for one operand: a product passes on a product, a sum the adjoint itself, a function its derivative too. */
static double edge_flops(ExprKind kind)
{
    switch ((int)kind) {
    case EXPR_ADD:
    case EXPR_SUB:
    case EXPR_NEG:
    case EXPR_SELECT:
    case EXPR_MIN:
    case EXPR_MAX: return 1;
    case EXPR_MUL:
    case EXPR_FMA: return 2;
    }
    return 2 + scalar_flops(kind);
}

static double reduce_flops(const UnitCounter *uc, const Op *op)
{
    if (op->kind == OP_RECUR)
        return op->body2 >= 0 ? 2 : 1;
    if (op->kind == OP_TOP)
        return 1 + log2(fmax(1, dim_number(uc, op->top_k)));
    switch (op->reducer) {
    case REDUCE_SET: return 0;
    case REDUCE_SUM:
    case REDUCE_MAX:
    case REDUCE_MIN: return 1;
    case REDUCE_LSE: return 1 + scalar_flops(EXPR_EXP);
    }
    return 0;
}

/* Nodes that vary: a derivative passes them. */
static void varying_nodes(const UnitCounter *uc, const Op *op, bool *varies)
{
    for (int e = 0; e < op->expr_count; e++) {
        const Expr *node = &op->exprs[e];
        varies[e] = node->kind == EXPR_READ && uc->varies[node->access.tensor];
        for (int a = 0; node->kind != EXPR_STOP && !scalar_is_boolean(node->kind) && a < scalar_arity(node->kind); a++)
            varies[e] = varies[e] || varies[node->arg[a]];
    }
}

static double backward_flops(const UnitCounter *uc, const Op *op, const IndexSet *sets)
{
    bool *varies = ARENA_ARRAY(uc->all->arena, bool, op->expr_count + 1);
    const DimEnv *env = &uc->all->env;
    double flops = 0;
    varying_nodes(uc, op, varies);
    for (int e = 0; e < op->expr_count; e++)
        for (int a = 0; varies[e] && a < scalar_arity(op->exprs[e].kind); a++)
            if (varies[op->exprs[e].arg[a]])
                flops += edge_flops(op->exprs[e].kind) * volume_points(op, sets[e], env);
    if (varies[op->body] && op->reducer == REDUCE_LSE)
        flops += (2 + scalar_flops(EXPR_EXP)) * volume_points(op, index_set_all(op), env);
    if (op->kind == OP_RECUR)
        flops += 2 * volume_points(op, index_set_all(op), env);
    return flops;
}

static bool over_pairs_of_positions(const UnitCounter *uc, const Tensor *tensor)
{
    int positions = 0;
    for (int axis = 0; axis < tensor->rank; axis++)
        positions += tensor->extent[axis] == dim_symbol(uc->unit->program->dims, DIM_L);
    return positions > 1;
}

static OpCost op_cost(UnitCounter *uc, const Op *op)
{
    OpCost cost = {0};
    Work *work = &cost.work;
    const DimEnv *env = &uc->all->env;
    IndexSet *sets = ARENA_ARRAY(uc->all->arena, IndexSet, op->expr_count + 1);
    const double points = volume_points(op, index_set_all(op), env);
    double forward = points * reduce_flops(uc, op);
    index_set_exprs(op, sets);
    for (int e = 0; e < op->expr_count; e++)
        if (scalar_flops(op->exprs[e].kind) > 0)
            forward += scalar_flops(op->exprs[e].kind) * volume_points(op, sets[e], env);
    work->forward += forward;
    if (op->kind == OP_NEST && op->reducer == REDUCE_SUM && product_factors(uc, op, op->body, false) > 1)
        work->products += 2 * points;
    if (op->kind != OP_TOP && uc->adjoint[op->out.tensor] && uc->varies[op->out.tensor])
        work->backward += backward_flops(uc, op, sets);
    const bool stored = op->kind != OP_NEST || op->reducer != REDUCE_SET || uc->unit->tensors[op->out.tensor].type == T_INT;
    const bool repeated = op->kind == OP_RECUR && op_expands(uc->unit, op);
    if (stored && !repeated && !uc->normalised[op->out.tensor] && !over_pairs_of_positions(uc, &uc->unit->tensors[op->out.tensor]))
        work->kept_bytes += 4 * tensor_size(uc, op->out.tensor);
    cost.ranked = op->kind == OP_TOP ? points : 0;
    return cost;
}

static void work_add(Work *to, const Work *from)
{
    to->forward += from->forward;
    to->backward += from->backward;
    to->products += from->products;
    to->kept_bytes += from->kept_bytes;
}

/* A callee's parameters seen from the caller: the use that multiplies, unless the vocabulary is known to be there. */
static void call_params(UnitCounter *uc, const Op *op, const UnitCost *callee)
{
    for (int a = 0; a < op->arg_count; a++) {
        const int formal = formal_of(uc->unit, op->args[a]);
        if (formal < 0 || callee->formals[a].elements == 0)
            continue;
        ParamCost *param = &uc->cost->formals[formal];
        param->elements = callee->formals[a].elements;
        if (param->use != PARAM_TABLE && (callee->formals[a].use == PARAM_TABLE || callee->formals[a].use > param->use))
            param->use = callee->formals[a].use;
        param->activated = param->use == PARAM_PRODUCT ? fmax(param->activated, callee->formals[a].activated) : 0;
    }
}

/* ---- metrics made of sizes ---- */

enum { FIXED_DEPTH = 16 };

static bool fixed_tensor(const UnitCounter *uc, int tensor, int depth, FixedMetric *fixed);

static double fixed_dim(const UnitCounter *uc, Dim dim, FixedMetric *fixed)
{
    fixed->sized = fixed->sized || dim_uses(dim, DIM_B) || dim_uses(dim, DIM_L);
    return rational_double(dim_eval_exact(dim, &uc->all->env));
}

static bool fixed_expr(const UnitCounter *uc, const Op *op, int expr, int depth, FixedMetric *fixed)
{
    const Expr *node = &op->exprs[expr];
    double arg[3] = {0, 0, 0};
    switch ((int)node->kind) {
    case EXPR_CONST: fixed->value = node->value; return true;
    case EXPR_DIM: fixed->value = fixed_dim(uc, node->dim, fixed); return true;
    case EXPR_READ: return fixed_tensor(uc, node->access.tensor, depth - 1, fixed);
    case EXPR_POS:
    case EXPR_DRAW: return false;
    }
    for (int a = 0; a < scalar_arity(node->kind); a++) {
        if (!fixed_expr(uc, op, node->arg[a], depth, fixed))
            return false;
        arg[a] = fixed->value;
    }
    fixed->value = scalar_eval(node->kind, arg[0], arg[1], arg[2]);
    return true;
}

/* One number at all points: a reduction takes it as often as its own indices have values. */
static bool fixed_tensor(const UnitCounter *uc, int tensor, int depth, FixedMetric *fixed)
{
    const int def = uc->unit->tensors[tensor].def;
    const Op *op = def >= 0 ? &uc->unit->ops[def] : NULL;
    if (depth <= 0 || !op || op->kind != OP_NEST || op->guard_count > 0 || op->cond_count > 0 || !fixed_expr(uc, op, op->body, depth, fixed))
        return false;
    double times = 1;
    const IndexSet written = written_indices(op);
    for (int i = 0; op->reducer != REDUCE_SET && i < op->index_count; i++)
        if (!(written >> i & 1))
            times *= fixed_dim(uc, op->indices[i].extent, fixed);
    switch (op->reducer) {
    case REDUCE_SET:
    case REDUCE_MAX:
    case REDUCE_MIN: break;
    case REDUCE_SUM: fixed->value *= times; break;
    case REDUCE_LSE: fixed->value += log(times); break;
    }
    return times > 0;
}

static void fixed_metrics(UnitCounter *uc)
{
    const Unit *unit = uc->unit;
    uc->cost->fixed = ARENA_ARRAY(uc->all->arena, FixedMetric, unit->output_count + 1);
    for (int o = 0; o < unit->output_count; o++) {
        FixedMetric fixed = {.name = unit->outputs[o].name};
        if (unit->outputs[o].kind == OUTPUT_METRIC && fixed_tensor(uc, unit->outputs[o].tensor, FIXED_DEPTH, &fixed))
            uc->cost->fixed[uc->cost->fixed_count++] = fixed;
    }
}

/* ---- units and programs ---- */

static void unit_cost(const Counter *all, const Unit *unit, UnitCost *cost)
{
    Arena *arena = all->arena;
    UnitCounter uc = {.all = all,
                      .unit = unit,
                      .cost = cost,
                      .live = ARENA_ARRAY(arena, bool, unit->tensor_count + 1),
                      .varies = ARENA_ARRAY(arena, bool, unit->tensor_count + 1),
                      .adjoint = ARENA_ARRAY(arena, bool, unit->tensor_count + 1),
                      .vocabulary = ARENA_ARRAY(arena, bool *, unit->tensor_count + 1),
                      .normalised = ARENA_ARRAY(arena, bool, unit->tensor_count + 1)};
    *cost = (UnitCost){.unit = unit, .formals = ARENA_ARRAY(arena, ParamCost, unit->formal_count + 1), .ops = ARENA_ARRAY(arena, OpCost, unit->op_count + 1)};
    find_live(&uc);
    find_varying(&uc);
    find_vocabulary(&uc);
    find_normalised(&uc);
    classify(&uc);
    fixed_metrics(&uc);
    for (int o = 0; o < unit->op_count; o++) {
        const Op *op = &unit->ops[o];
        if (op->kind == OP_CALL)
            call_params(&uc, op, cost_of(all, op->callee));
        if (!op_is_live(&uc, op))
            continue;
        if (op->kind != OP_CALL)
            cost->ops[o] = op_cost(&uc, op);
        work_add(&cost->work, op->kind == OP_CALL ? &cost_of(all, op->callee)->work : &cost->ops[o].work);
    }
}

static void count_param(Counts *counts, const ParamCost *param)
{
    switch (param->use) {
    case PARAM_PRODUCT: counts->products += param->elements; break;
    case PARAM_TABLE: counts->tables += param->elements; break;
    case PARAM_OTHER: counts->others += param->elements; break;
    }
    counts->activated += param->activated;
}

static CallCost call_cost(const Counter *all, const Unit *main, int number, const ParamCost *params, bool *used)
{
    const Op *op = &main->ops[number];
    CallCost call = {.op = number, .path = op->path, .cost = cost_of(all, op->callee)};
    for (int a = 0; a < op->arg_count; a++) {
        const int formal = formal_of(main, op->args[a]);
        if (formal < 0 || call.cost->formals[a].elements == 0)
            continue;
        ParamCost here = call.cost->formals[a];
        here.use = params[formal].use;
        here.activated = here.use == PARAM_PRODUCT ? here.activated : 0;
        call.activated += here.activated;
        if (!used[formal])
            count_param(&call.first, &here);
        used[formal] = true;
    }
    return call;
}

static ProgramCost *count(Arena *arena, const Program *program, const DimEnv *env, const DimEnv *full)
{
    Counter all = {.arena = arena, .program = program, .env = *env, .full = *full, .units = ARENA_ARRAY(arena, UnitCost, program->unit_count + 1)};
    const Unit *main = program->main;
    ProgramCost *cost = ARENA_NEW(arena, ProgramCost);
    cost->batch = env->value[DIM_B];
    cost->length = env->value[DIM_L];
    for (int i = 0; i < program->unit_count; i++, all.unit_count++)
        unit_cost(&all, program->units[i], &all.units[i]);
    const UnitCost *whole = cost_of(&all, main);
    bool *used = ARENA_ARRAY(arena, bool, main->formal_count + 1);
    cost->params = whole->formals;
    cost->work = whole->work;
    cost->calls = ARENA_ARRAY(arena, CallCost, main->op_count + 1);
    for (int o = 0; o < main->op_count; o++)
        if (main->ops[o].kind == OP_CALL)
            cost->calls[cost->call_count++] = call_cost(&all, main, o, cost->params, used);
    for (int f = 0; f < main->formal_count; f++)
        count_param(&cost->counts, &cost->params[f]);
    return cost;
}

ProgramCost *program_cost(Arena *arena, const Program *program, int64_t batch, int64_t length)
{
    const DimEnv env = {.value = {[DIM_B] = batch, [DIM_L] = length}}, full = {.value = {[DIM_B] = batch, [DIM_L] = program->most[DIM_L] > 0 ? program->most[DIM_L] : length}};
    return count(arena, program, &env, &full);
}

ProgramCost *program_cost_at(Arena *arena, const Program *program, const DimEnv *env) { return count(arena, program, env, env); }
