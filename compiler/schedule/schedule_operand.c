/* Operands of contractions: read where they lie, read as rows picked by a table, or stored first. */
#include "ir/rewrite.h"
#include "schedule/schedule_internal.h"
#include "support/bug.h"

#include <string.h>

/* ---- a sum's body as a product -------------------------------------------------------------------------------------------- */

static bool product_walk(const Op *op, int expr, bool inverse, Product *product)
{
    const Expr *node = &op->exprs[expr];
    switch (node->kind) {
    case EXPR_MUL: return product_walk(op, node->arg[0], inverse, product) && product_walk(op, node->arg[1], inverse, product);
    case EXPR_DIV: return product_walk(op, node->arg[0], inverse, product) && product_walk(op, node->arg[1], !inverse, product);
    case EXPR_NEG: product->alpha = -product->alpha; return product_walk(op, node->arg[0], inverse, product);
    case EXPR_CONST: product->alpha = inverse ? product->alpha / node->value : product->alpha * node->value; return true;
    default: /* any other node is a factor by itself */ break;
    }
    if (product->count == FACTOR_MAX)
        return false;
    product->factors[product->count++] = (Factor){.expr = expr, .inverse = inverse, .indices = expr_indices(op, expr)};
    return true;
}

bool product_of(const Scheduler *scheduler, int position, Product *product)
{
    const Op *op = &scheduler->unit->ops[position];
    *product = (Product){.op = position, .alpha = 1};
    return product_walk(op, op->body, false, product) && product->count >= 2;
}

/* ---- where an access lies ------------------------------------------------------------------------------------------------- */

Dim access_step(Scheduler *scheduler, const Access *access, int sub)
{
    const Tensor *tensor = &scheduler->unit->tensors[access->tensor];
    int axis = 0;
    for (int s = 0; s <= sub; s++)
        axis += access->subs[s].span;
    Dim step = dim_int(scheduler->program->dims, 1);
    for (; axis < tensor->rank; axis++)
        step = dim_mul(scheduler->program->dims, step, tensor->extent[axis]);
    return step;
}

static void stride_add(Scheduler *scheduler, Dim *stride, Dim by)
{
    *stride = *stride == NULL ? by : dim_add(scheduler->program->dims, *stride, by);
    if (dim_is(*stride, 0))
        *stride = NULL;
}

static bool sub_inside(Scheduler *scheduler, const Op *op, const Access *access, int sub)
{
    Program *program = scheduler->program;
    Affine affine = access->subs[sub].affine;
    Affine last = affine_const(program, dim_sub(program->dims, access_extent(scheduler->unit, access, sub), dim_int(program->dims, 1)));
    return affine_nonnegative(program, affine, op->indices) && affine_nonnegative(program, affine_sub(program, last, affine), op->indices);
}

bool access_strides(Scheduler *scheduler, const Op *op, const Access *access, int skip, Operand *operand)
{
    *operand = (Operand){.tensor = access->tensor, .rows = -1};
    DimTable *dims = scheduler->program->dims;
    for (int s = 0; s < access->count; s++) {
        if (s == skip)
            continue;
        const Sub *sub = &access->subs[s];
        if (sub->read != NULL || !sub_inside(scheduler, op, access, s))
            return false;
        Dim step = access_step(scheduler, access, s);
        stride_add(scheduler, &operand->base, dim_mul(dims, sub->affine.base, step));
        for (int t = 0; t < sub->affine.count; t++) {
            stride_add(scheduler, &operand->stride[sub->affine.terms[t].index], dim_mul(dims, sub->affine.terms[t].coef, step));
        }
    }
    return true;
}

/* The tensor of `read` was written under the same condition: it holds 0 elsewhere. */
static bool cond_implied(Scheduler *scheduler, const Access *read, Affine cond)
{
    const Unit *unit = scheduler->unit;
    int def = unit->tensors[read->tensor].def;
    if (def < 0)
        return false;
    const Op *made = &unit->ops[def];
    int out_index[SCHEDULE_INDEX_MAX], read_index[SCHEDULE_INDEX_MAX];
    if (made->kind != OP_NEST || made->reducer != REDUCE_SET || made->index_count != read->count)
        return false;
    if (!access_bare(&made->out, out_index) || !access_bare(read, read_index) || made->out.count != read->count)
        return false;
    Affine *by = ARENA_ARRAY(scheduler->arena, Affine, made->index_count + 1);
    for (int s = 0; s < read->count; s++)
        by[out_index[s]] = affine_index(scheduler->program, read_index[s]);
    for (int c = 0; c < made->cond_count; c++) {
        if (affine_equal(affine_substitute(scheduler->program, made->conds[c], by), cond))
            return true;
    }
    return false;
}

/* The side's only factor as a read, NULL if it is anything else. */
static const Access *side_read(const Op *op, const Product *product, const Side *side)
{
    if (side->factors == 0 || (side->factors & (side->factors - 1)) != 0)
        return NULL;
    const Factor *factor = &product->factors[__builtin_ctz(side->factors)];
    const Expr *node = &op->exprs[factor->expr];
    return factor->inverse || node->kind != EXPR_READ ? NULL : &node->access;
}

bool operand_plain(Scheduler *scheduler, const Product *product, const Side *side, Operand *operand)
{
    const Op *op = &scheduler->unit->ops[product->op];
    const Access *read = side_read(op, product, side);
    if (read == NULL || side->guards != 0 || scheduler->unit->tensors[read->tensor].type != T_REAL)
        return false;
    for (int c = 0; c < op->cond_count; c++) {
        if ((side->conds >> c & 1) != 0 && !cond_implied(scheduler, read, op->conds[c]))
            return false;
    }
    return access_strides(scheduler, op, read, -1, operand);
}

/* ---- operations made on the way ------------------------------------------------------------------------------------------- */

/* Finishes a SET nest over its own bare indices; an equal one made before is used instead. Returns the tensor. */
static int made_finish(Scheduler *scheduler, OpBuilder *builder, ElemType type, Dim bound, Symbol name, bool *made)
{
    Unit *unit = scheduler->unit;
    for (int i = 0; i < scheduler->stored_count; i++) {
        const Op *other = &unit->ops[scheduler->stored[i]];
        const Tensor *tensor = &unit->tensors[other->out.tensor];
        if (op_meanings_equal(unit, other, &builder->op) && tensor->type == type && tensor->bound == bound)
            return other->out.tensor;
    }
    int rank = builder->op.index_count;
    Dim *extents = ARENA_ARRAY(scheduler->arena, Dim, rank + 1);
    int *indices = ARENA_ARRAY(scheduler->arena, int, rank + 1);
    for (int i = 0; i < rank; i++)
        extents[i] = builder->op.indices[i].extent, indices[i] = i;
    int tensor = unit_tensor(unit, name, type, TENSOR_LOCAL, rank, extents, bound);
    builder->op.out = access_indices(scheduler->program, tensor, rank, indices);
    int position = op_finish(builder);
    if (scheduler->stored_count == scheduler->stored_capacity) {
        int capacity = scheduler->stored_capacity == 0 ? 64 : 2 * scheduler->stored_capacity;
        int *grown = ARENA_ARRAY(scheduler->arena, int, capacity);
        if (scheduler->stored_count > 0)
            memcpy(grown, scheduler->stored, (size_t)scheduler->stored_count * sizeof *grown);
        scheduler->stored = grown, scheduler->stored_capacity = capacity;
    }
    scheduler->stored[scheduler->stored_count++] = position;
    *made = true;
    return tensor;
}

/* A copy of part of an operation under a choice of its indices. */
typedef struct Copy {
    Scheduler *scheduler;
    const Op *from;
    OpBuilder builder;
    int index_map[SCHEDULE_INDEX_MAX];
    Affine by[SCHEDULE_INDEX_MAX];
    int *memo;
} Copy;

static Copy copy_begin(Scheduler *scheduler, int from, int count, const int *order)
{
    Copy copy = {.scheduler = scheduler};
    Op *stable = ARENA_NEW(scheduler->arena, Op); /* unit->ops may move */
    *stable = scheduler->unit->ops[from];
    copy.from = stable;
    copy.builder = op_begin(scheduler->unit, OP_NEST);
    copy.builder.op.reducer = REDUCE_SET;
    copy.builder.op.body2 = -1;
    copy.builder.op.span = stable->span;
    for (int i = 0; i < stable->index_count; i++) {
        copy.index_map[i] = -1;
        copy.by[i] = affine_const(scheduler->program, dim_int(scheduler->program->dims, 0));
    }
    for (int i = 0; i < count; i++) {
        copy.index_map[order[i]] = op_index(&copy.builder, stable->indices[order[i]].name, stable->indices[order[i]].extent);
        copy.by[order[i]] = affine_index(scheduler->program, copy.index_map[order[i]]);
    }
    copy.memo = ARENA_ARRAY(scheduler->arena, int, stable->expr_count + 1);
    for (int e = 0; e < stable->expr_count; e++)
        copy.memo[e] = -1;
    return copy;
}

static int copy_expr(Copy *copy, int expr) { return expr_copy(&copy->builder, copy->from, expr, copy->index_map, NULL, copy->memo); }

static void copy_domain(Copy *copy, uint64_t conds, uint64_t guards)
{
    for (int c = 0; c < copy->from->cond_count; c++) {
        if ((conds >> c & 1) != 0)
            op_cond(&copy->builder, affine_substitute(copy->scheduler->program, copy->from->conds[c], copy->by));
    }
    for (int g = 0; g < copy->from->guard_count; g++) {
        if ((guards >> g & 1) != 0)
            op_guard(&copy->builder, copy_expr(copy, copy->from->guards[g]));
    }
}

static Access copy_access(Copy *copy, const Access *access)
{
    Access result = *access;
    result.subs = arena_memdup(copy->scheduler->arena, access->subs, (size_t)access->count * sizeof *access->subs);
    for (int s = 0; s < access->count; s++) {
        Sub *sub = &result.subs[s];
        if (sub->read == NULL) {
            sub->affine = affine_substitute(copy->scheduler->program, sub->affine, copy->by);
        } else {
            Access *read = ARENA_NEW(copy->scheduler->arena, Access);
            *read = copy_access(copy, access->subs[s].read);
            sub->read = read;
        }
    }
    return result;
}

/* ---- stored operands ------------------------------------------------------------------------------------------------------ */

/* Indices in the order in which the largest read among the factors has them, then the rest. Equal factors get equal orders, whatever the operation. */
static int canonical_order(const Op *op, const Product *product, const Side *side, IndexSet indices, int *order)
{
    const Access *largest = NULL;
    for (int f = 0; f < product->count; f++) {
        const Expr *node = &op->exprs[product->factors[f].expr];
        if ((side->factors >> f & 1) != 0 && node->kind == EXPR_READ && (largest == NULL || node->access.count > largest->count))
            largest = &node->access;
    }
    int count = 0;
    IndexSet placed = 0;
    for (int s = 0; largest != NULL && s < largest->count; s++) {
        const Sub *sub = &largest->subs[s];
        IndexSet used = sub->read != NULL ? access_indices_used(sub->read) : affine_indices(sub->affine);
        for (int i = 0; i < op->index_count; i++) {
            if (!index_in(used & indices & ~placed, i))
                continue;
            order[count++] = i;
            placed |= index_bit(i);
        }
    }
    for (int i = 0; i < op->index_count; i++) {
        if (index_in(indices & ~placed, i))
            order[count++] = i;
    }
    return count;
}

static int side_body(Copy *copy, const Product *product, const Side *side)
{
    int body = -1;
    for (int f = 0; f < product->count; f++) {
        if ((side->factors >> f & 1) == 0)
            continue;
        int factor = copy_expr(copy, product->factors[f].expr);
        if (product->factors[f].inverse)
            body = expr_op(&copy->builder, EXPR_DIV, body < 0 ? expr_const(&copy->builder, 1) : body, factor, -1);
        else
            body = body < 0 ? factor : expr_op(&copy->builder, EXPR_MUL, body, factor, -1);
    }
    return body < 0 ? expr_const(&copy->builder, 1) : body;
}

/* The operand that a tensor is when it is read under `order`, row-major. */
static Operand operand_of(Scheduler *scheduler, int tensor, const Op *op, int count, const int *order)
{
    Operand operand = {.tensor = tensor, .rows = -1, .stored = true};
    Dim step = dim_int(scheduler->program->dims, 1);
    for (int i = count - 1; i >= 0; i--) {
        operand.stride[order[i]] = step;
        step = dim_mul(scheduler->program->dims, step, op->indices[order[i]].extent);
    }
    return operand;
}

Operand operand_store(Scheduler *scheduler, const Product *product, const Side *side, IndexSet indices, const int *order, const char *why)
{
    const Op *op = &scheduler->unit->ops[product->op];
    int chosen[SCHEDULE_INDEX_MAX], count = 0;
    if (order != NULL) {
        for (int i = 0; i < op->index_count; i++) {
            if (index_in(indices, order[i]))
                chosen[count++] = order[i];
        }
    } else {
        count = canonical_order(op, product, side, indices, chosen);
    }
    Copy copy = copy_begin(scheduler, product->op, count, chosen);
    copy.builder.op.body = side_body(&copy, product, side);
    copy_domain(&copy, side->conds, side->guards);
    bool made = false;
    int tensor = made_finish(scheduler, &copy.builder, T_REAL, NULL, tensor_label(scheduler, copy.from->out.tensor, ".operand"), &made);
    if (made) {
        schedule_map(scheduler, scheduler->unit->tensors[tensor].def, "operand of a contraction");
        step_note(scheduler, tensor, false, "operand of %s: %s", tensor_label(scheduler, copy.from->out.tensor, ""), why);
    }
    return operand_of(scheduler, tensor, copy.from, count, chosen);
}

/* ---- tables of row numbers ------------------------------------------------------------------------------------------------ */

/* Subscripts that use indices of `over`, as bits; false if any of them uses another index or only the last axis would be left. */
static bool row_subs(const Access *access, IndexSet over, unsigned *subs)
{
    *subs = 0;
    for (int s = 0; s < access->count; s++) {
        const Sub *sub = &access->subs[s];
        IndexSet used = sub->read != NULL ? access_indices_used(sub->read) : affine_indices(sub->affine);
        if (sub->read == NULL && (used & over) == 0)
            continue;
        if ((used & ~over) != 0)
            return false;
        *subs |= 1u << s;
    }
    return *subs != 0 && access->count < 31;
}

/* Row number of a point: sum of subscript * (its step / step of a row). */
static int row_expr(Copy *copy, const Access *access, unsigned subs, Dim row)
{
    Scheduler *scheduler = copy->scheduler;
    DimTable *dims = scheduler->program->dims;
    int total = -1;
    for (int s = 0; s < access->count; s++) {
        if ((subs >> s & 1) == 0)
            continue;
        Dim scale = dim_div(dims, access_step(scheduler, access, s), row);
        if (scale == NULL)
            return -1;
        const Sub *sub = &access->subs[s];
        int value =
            sub->read != NULL ? expr_read(&copy->builder, copy_access(copy, sub->read)) : expr_affine(&copy->builder, affine_substitute(scheduler->program, sub->affine, copy->by));
        value = expr_op(&copy->builder, EXPR_MUL, value, expr_dim(&copy->builder, scale), -1);
        total = total < 0 ? value : expr_op(&copy->builder, EXPR_ADD, total, value, -1);
    }
    return total;
}

static int set_order(const Op *op, IndexSet set, int *order)
{
    int count = 0;
    for (int i = 0; i < op->index_count; i++) {
        if (index_in(set, i))
            order[count++] = i;
    }
    return count;
}

/* Domain of the side that the table can carry: all of it has to concern `over` only. */
static bool domain_within(const Op *op, const Side *side, IndexSet over)
{
    for (int c = 0; c < op->cond_count; c++) {
        if ((side->conds >> c & 1) != 0 && (affine_indices(op->conds[c]) & ~over) != 0)
            return false;
    }
    for (int g = 0; g < op->guard_count; g++) {
        if ((side->guards >> g & 1) != 0 && (expr_indices(op, op->guards[g]) & ~over) != 0)
            return false;
    }
    return true;
}

bool operand_gather(Scheduler *scheduler, const Product *product, const Side *side, IndexSet over, IndexSet inner, Operand *operand)
{
    const Op *op = &scheduler->unit->ops[product->op];
    const Access *read = side_read(op, product, side);
    unsigned subs = 0;
    if (read == NULL || scheduler->unit->tensors[read->tensor].type != T_REAL)
        return false;
    if (!domain_within(op, side, over) || !row_subs(read, over, &subs))
        return false;
    *operand = (Operand){.tensor = read->tensor, .rows = -1, .gathered = over};
    DimTable *dims = scheduler->program->dims;
    for (int s = 0; s < read->count; s++) { /* subscripts outside the table are plain strides */
        const Sub *sub = &read->subs[s];
        if (sub->read == NULL && !sub_inside(scheduler, op, read, s))
            return false;
        if ((subs >> s & 1) != 0) {
            operand->row = access_step(scheduler, read, s);
            continue;
        }
        Dim step = access_step(scheduler, read, s);
        stride_add(scheduler, &operand->base, dim_mul(dims, sub->affine.base, step));
        for (int t = 0; t < sub->affine.count; t++) {
            stride_add(scheduler, &operand->stride[sub->affine.terms[t].index], dim_mul(dims, sub->affine.terms[t].coef, step));
        }
    }
    int order[SCHEDULE_INDEX_MAX], count = set_order(op, over & ~inner, order);
    count += set_order(op, over & inner, order + count);
    Copy copy = copy_begin(scheduler, product->op, count, order);
    const Access *source = side_read(copy.from, product, side);
    Dim last = NULL; /* the number of rows counts from the first of the table's subscripts */
    for (int s = 0; s < source->count && last == NULL; s++) {
        if ((subs >> s & 1) != 0)
            last = dim_div(dims, dim_mul(dims, access_step(scheduler, source, s), access_extent(scheduler->unit, source, s)), operand->row);
    }
    int body = row_expr(&copy, source, subs, operand->row);
    if (body < 0 || last == NULL)
        return false;
    copy.builder.op.body = body;
    copy_domain(&copy, side->conds, side->guards);
    bool made = false;
    operand->rows = made_finish(scheduler, &copy.builder, T_INT, last, tensor_label(scheduler, read->tensor, ".rows"), &made);
    if (made)
        schedule_map(scheduler, scheduler->unit->tensors[operand->rows].def, "row numbers");
    Operand table = operand_of(scheduler, operand->rows, copy.from, count, order);
    memcpy(operand->rows_stride, table.stride, sizeof table.stride);
    return true;
}

int keys_store(Scheduler *scheduler, int position, const Access *read)
{
    const Op *op = &scheduler->unit->ops[position];
    const Tensor *tensor = &scheduler->unit->tensors[read->tensor];
    int bare[SCHEDULE_INDEX_MAX];
    bool whole = access_bare(read, bare);
    for (int s = 0; whole && s < read->count; s++) {
        whole = op->indices[bare[s]].extent == tensor->extent[s] && (s == 0 || bare[s - 1] < bare[s]);
    }
    if (whole)
        return read->tensor;
    int order[SCHEDULE_INDEX_MAX], count = set_order(op, access_indices_used(read), order);
    Access stable = *read;
    Dim bound = tensor->bound;
    Copy copy = copy_begin(scheduler, position, count, order);
    copy.builder.op.body = expr_read(&copy.builder, copy_access(&copy, &stable));
    bool made = false;
    int keys = made_finish(scheduler, &copy.builder, T_INT, bound, tensor_label(scheduler, stable.tensor, ".keys"), &made);
    if (made)
        schedule_map(scheduler, scheduler->unit->tensors[keys].def, "keys of rows");
    return keys;
}
