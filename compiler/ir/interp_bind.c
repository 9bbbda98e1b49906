/* Binds an operation: every dimension becomes a number, every access a base and strides. */
#include "ir/interp_internal.h"

#include "support/checked.h"

/* |base| + sum |coef| * extent stays below this, so that no later sum overflows. */
#define AFFINE_LIMIT ((int64_t)1 << 60)

static BoundAffine bind_affine(BoundOp *bound, Affine affine)
{
    const DimEnv *env = &bound->run->context->env;
    const Space *space = &bound->space;
    BoundAffine result = {.base = dim_eval(affine.base, env), .count = affine.count};
    result.index = ARENA_ARRAY(bound->arena, int, affine.count);
    result.coef = ARENA_ARRAY(bound->arena, int64_t, affine.count);
    int64_t reach = result.base < 0 ? -(result.base + 1) : result.base;
    bool fits = true;
    for (int i = 0; i < affine.count; i++) {
        result.index[i] = affine.terms[i].index;
        result.coef[i] = dim_eval(affine.terms[i].coef, env);
        if (result.index[i] == space->inner)
            result.inner += result.coef[i];
        int64_t product;
        fits = fits && result.coef[i] > -AFFINE_LIMIT && result.coef[i] < AFFINE_LIMIT &&
               checked_mul(result.coef[i] < 0 ? -result.coef[i] : result.coef[i], space->extent[result.index[i]], &product) && checked_add(reach, product, &reach);
    }
    if (!fits || reach > AFFINE_LIMIT)
        run_fail(bound->run, "%s: operation %d: an affine form is too large", bound->unit->name, bound->number);
    return result;
}

static bool affine_safe(const BoundAffine *affine, const Space *space, int64_t extent)
{
    int64_t low = affine->base, high = affine->base;
    for (int i = 0; i < affine->count; i++) {
        const int64_t reach = affine->coef[i] * (space->extent[affine->index[i]] - 1);
        *(reach < 0 ? &low : &high) += reach;
    }
    return low >= 0 && high < extent;
}

static BoundAffine affine_sum(BoundOp *bound, const BoundSub *subs, int count)
{
    const int indices = bound->space.count;
    BoundAffine sum = {.index = ARENA_ARRAY(bound->arena, int, indices), .coef = ARENA_ARRAY(bound->arena, int64_t, indices)};
    for (int index = 0; index < indices; index++) {
        int64_t coef = 0;
        for (int s = 0; s < count; s++)
            for (int t = 0; t < subs[s].affine.count; t++)
                if (subs[s].affine.index[t] == index)
                    coef += subs[s].affine.coef[t] * subs[s].stride;
        if (coef == 0)
            continue;
        sum.index[sum.count] = index;
        sum.coef[sum.count++] = coef;
        if (index == bound->space.inner)
            sum.inner = coef;
    }
    for (int s = 0; s < count; s++)
        sum.base += subs[s].affine.base * subs[s].stride;
    return sum;
}

static void bind_access(BoundOp *bound, const Access *access, const int64_t *extents, int rank, BoundAccess *result)
{
    *result = (BoundAccess){.name = "a draw", .count = access->count};
    if (access->tensor >= 0) {
        result->name = bound->unit->tensors[access->tensor].name;
        result->value = &bound->tensors[access->tensor];
    }
    result->subs = ARENA_ARRAY(bound->arena, BoundSub, access->count);
    result->linear = true;
    int64_t stride = 1;
    int axis = rank;
    int covered = 0;
    for (int s = 0; s < access->count; s++)
        covered += access->subs[s].span;
    while (axis > covered) /* the axis of a ranking's results has no subscript */
        stride *= extents[--axis];
    for (int s = access->count - 1; s >= 0 && !bound->run->error; s--) {
        BoundSub *sub = &result->subs[s];
        *sub = (BoundSub){.extent = 1, .stride = stride};
        for (int i = 0; i < access->subs[s].span; i++)
            sub->extent *= extents[--axis];
        stride *= sub->extent;
        if (access->subs[s].read) {
            const Access *inner = access->subs[s].read;
            const Tensor *tensor = &bound->unit->tensors[inner->tensor];
            int64_t *shape = ARENA_ARRAY(bound->arena, int64_t, tensor->rank);
            for (int i = 0; i < tensor->rank; i++)
                shape[i] = dim_eval(tensor->extent[i], &bound->run->context->env);
            sub->read = ARENA_NEW(bound->arena, BoundAccess);
            bind_access(bound, inner, shape, tensor->rank, sub->read);
            if (!sub->read->value->integer)
                run_fail(bound->run, "%s: operation %d: subscript through %s, which is not an integer tensor", bound->unit->name, bound->number, tensor->name);
        } else {
            sub->affine = bind_affine(bound, access->subs[s].affine);
            sub->safe = !bound->run->error && affine_safe(&sub->affine, &bound->space, sub->extent);
        }
        result->linear = result->linear && sub->safe;
    }
    if (result->linear && !bound->run->error)
        result->whole = affine_sum(bound, result->subs, access->count);
}

static void bind_tensor_access(BoundOp *bound, const Access *access, BoundAccess *result)
{
    const Tensor *tensor = &bound->unit->tensors[access->tensor];
    int64_t *shape = ARENA_ARRAY(bound->arena, int64_t, tensor->rank);
    for (int i = 0; i < tensor->rank; i++)
        shape[i] = dim_eval(tensor->extent[i], &bound->run->context->env);
    if (!bound->tensors[access->tensor].real && !bound->tensors[access->tensor].integer)
        run_fail(bound->run, "%s: operation %d: %s has no value yet", bound->unit->name, bound->number, tensor->name);
    else
        bind_access(bound, access, shape, tensor->rank, result);
}

/* Loops run over the indices in order; a recurrence's scan comes last, since its state is carried from point to point. */
static void bind_space(BoundOp *bound)
{
    const Op *op = bound->op;
    Space *space = &bound->space;
    *space = (Space){.count = op->index_count, .inner = -1, .cut = op->kind != OP_RECUR};
    space->extent = ARENA_ARRAY(bound->arena, int64_t, op->index_count);
    space->order = ARENA_ARRAY(bound->arena, int, op->index_count);
    space->backwards = ARENA_ARRAY(bound->arena, bool, op->index_count);
    space->position = ARENA_ARRAY(bound->arena, int64_t, op->index_count);
    bool *scanned = ARENA_ARRAY(bound->arena, bool, op->index_count);
    for (int i = 0; op->kind == OP_RECUR && i < op->scan_count; i++)
        scanned[op->scan[i]] = true;
    int loops = 0;
    for (int i = 0; i < op->index_count; i++) {
        space->extent[i] = dim_eval(op->indices[i].extent, &bound->run->context->env);
        space->empty = space->empty || space->extent[i] <= 0;
        space->backwards[i] = scanned[i] && op->reverse;
        if (!scanned[i])
            space->order[loops++] = i;
    }
    for (int i = 0; op->kind == OP_RECUR && i < op->scan_count; i++)
        space->order[loops++] = op->scan[i];
    if (loops)
        space->inner = space->order[loops - 1];
    bound->chunk.indices = op->index_count;
    bound->chunk.step = loops && space->backwards[space->inner] ? -1 : 1;
    bound->chunk.position = ARENA_ARRAY(bound->arena, int64_t, (size_t)CHUNK * (size_t)(op->index_count + 1));
}

static bool affine_varies(const BoundAffine *affine) { return affine->inner != 0; }

static bool access_varies(const BoundAccess *access)
{
    bool varies = false;
    for (int s = 0; s < access->count; s++)
        varies = varies || (access->subs[s].read ? access_varies(access->subs[s].read) : affine_varies(&access->subs[s].affine));
    return varies;
}

static void bind_expr(BoundOp *bound, int id)
{
    const Expr *expr = &bound->op->exprs[id];
    BoundExpr *result = &bound->exprs[id];
    result->values = ARENA_ARRAY(bound->arena, double, CHUNK);
    for (int i = 0; i < scalar_arity(expr->kind); i++)
        result->varies = result->varies || bound->exprs[expr->arg[i]].varies;
    if (expr->kind == EXPR_POS) {
        Term term = {expr->index, dim_int(bound->unit->program->dims, 1)};
        result->position = bind_affine(bound, (Affine){dim_int(bound->unit->program->dims, 0), 1, &term});
        result->varies = affine_varies(&result->position);
    }
    if (expr->kind != EXPR_READ && expr->kind != EXPR_DRAW)
        return;
    result->access = ARENA_NEW(bound->arena, BoundAccess);
    if (expr->kind == EXPR_READ) {
        bind_tensor_access(bound, &expr->access, result->access);
    } else {
        int64_t *shape = ARENA_ARRAY(bound->arena, int64_t, expr->access.count);
        for (int i = 0; i < expr->access.count; i++)
            shape[i] = dim_eval(expr->draw_extent[i], &bound->run->context->env);
        bind_access(bound, &expr->access, shape, expr->access.count, result->access);
        result->key = draw_stream(bound->path, expr->tag);
    }
    result->varies = access_varies(result->access);
}

static void mark_used(BoundOp *bound)
{
    const Op *op = bound->op;
    bound->exprs[op->body].used = true;
    if (op->body2 >= 0)
        bound->exprs[op->body2].used = true;
    for (int i = 0; i < op->guard_count; i++)
        bound->exprs[op->guards[i]].used = true;
    for (int id = op->expr_count - 1; id >= 0; id--)
        for (int i = 0; bound->exprs[id].used && i < scalar_arity(op->exprs[id].kind); i++)
            bound->exprs[op->exprs[id].arg[i]].used = true;
}

void bind_op(BoundOp *bound)
{
    const Op *op = bound->op;
    bind_space(bound);
    if (bound->space.empty)
        return;
    bound->space.cond_count = op->cond_count;
    bound->space.conds = ARENA_ARRAY(bound->arena, BoundAffine, op->cond_count);
    for (int i = 0; i < op->cond_count; i++)
        bound->space.conds[i] = bind_affine(bound, op->conds[i]);
    bound->exprs = ARENA_ARRAY(bound->arena, BoundExpr, op->expr_count);
    mark_used(bound);
    for (int id = 0; id < op->expr_count && !bound->run->error; id++)
        if (bound->exprs[id].used)
            bind_expr(bound, id);
    if (!bound->run->error)
        bind_tensor_access(bound, &op->out, &bound->out);
    if (!bound->run->error && op->kind == OP_RECUR && op->init.tensor >= 0) {
        bound->init = ARENA_NEW(bound->arena, BoundAccess);
        bind_tensor_access(bound, &op->init, bound->init);
    }
}
