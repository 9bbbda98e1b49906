/* Contractions: a sum over a product whose factors fall into two sides.

   Every index of the operation belongs to one class: batch (in the output and on both sides), m (output and A), n (output and B), k (summed).
   A side that is one read lies in memory already; anything else is stored first, under its own indices only, masked with 0 where the
   domain cuts. A factor picked through an integer tensor makes a product by key; an output written through one makes a product into
   keys, or, if more is summed than the keys' rows, a product followed by a scattered sum. */
#include "ir/rewrite.h"
#include "schedule/schedule_internal.h"
#include "support/bug.h"

#include <string.h>

enum { SCATTER_SUMMED = 32 }; /* addends of one scattered sum, by usual sizes */

typedef struct Split {
    Product product;
    Side a, b;
    IndexSet m, n, k, batch;
    uint64_t late_conds, late_guards; /* concern both sides at once: applied to the result */
    const Access *key;                /* BY_KEY: the weight's integer subscript; INTO_KEY: the output's */
    int key_sub;
    BfmGemmForm form;
} Split;

/* ---- splitting the factors ------------------------------------------------------------------------------------------------ */

/* The only integer subscript of an access, -1 if there is none or several. */
static int data_sub(const Access *access)
{
    int found = -1;
    for (int s = 0; s < access->count; s++) {
        if (access->subs[s].read == NULL)
            continue;
        if (found >= 0)
            return -1;
        found = s;
    }
    return found;
}

static double set_size(const Op *op, IndexSet set)
{
    double size = 1;
    for (int i = 0; i < op->index_count; i++) {
        if (index_in(set, i))
            size *= dim_nominal(op->indices[i].extent);
    }
    return size;
}

/* A class of one to three points, known for certain, is no product worth a kernel; an extent of 1 is a batch or a position of decoding. */
static bool class_small(const Op *op, IndexSet set)
{
    int64_t points = 1, extent;
    for (int i = 0; i < op->index_count; i++) {
        if (!index_in(set, i))
            continue;
        if (!dim_is_int(op->indices[i].extent, &extent))
            return false;
        points *= extent;
    }
    return points > 1 && points < 4;
}

IndexSet factors_indices(const Product *product, unsigned factors)
{
    IndexSet set = 0;
    for (int f = 0; f < product->count; f++) {
        if ((factors >> f & 1) != 0)
            set |= product->factors[f].indices;
    }
    return set;
}

/* The side alone in its read through an integer tensor: its indices without those of the key, if what remains is affine. */
static bool side_by_key(const Op *op, const Product *product, unsigned factors, Split *split, IndexSet *rest)
{
    if ((factors & (factors - 1)) != 0)
        return false;
    const Factor *factor = &product->factors[__builtin_ctz(factors)];
    const Expr *node = &op->exprs[factor->expr];
    if (node->kind != EXPR_READ || factor->inverse)
        return false;
    split->key_sub = data_sub(&node->access);
    if (split->key_sub < 0)
        return false;
    split->key = node->access.subs[split->key_sub].read;
    *rest = 0;
    for (int s = 0; s < node->access.count; s++) {
        if (s != split->key_sub)
            *rest |= affine_indices(node->access.subs[s].affine);
    }
    return (*rest & access_indices_used(split->key)) == 0;
}

/* Elements that have to be stored before the product can run. */
static double split_cost(const Scheduler *scheduler, const Op *op, const Split *split)
{
    double cost = 0;
    const Side *sides[2] = {&split->a, &split->b};
    for (int s = 0; s < 2; s++) {
        unsigned factors = sides[s]->factors;
        bool single = (factors & (factors - 1)) == 0;
        const Factor *factor = &split->product.factors[__builtin_ctz(factors)];
        bool read = single && !factor->inverse && op->exprs[factor->expr].kind == EXPR_READ;
        if (!read)
            cost += set_size(op, sides[s]->indices);
    }
    (void)scheduler;
    return cost;
}

/* Indices of one point: they may be summed whether both sides depend on them or not. */
static IndexSet single_points(const Op *op)
{
    IndexSet set = 0;
    for (int i = 0; i < op->index_count; i++) {
        if (dim_is(op->indices[i].extent, 1))
            set |= index_bit(i);
    }
    return set;
}

/* Classes for one choice of factors for A; false if it is no product. Indices of `rows` may be summed though one side does not depend on them. */
static bool split_try(const Op *op, IndexSet out, IndexSet rows, Split *split, unsigned for_a)
{
    unsigned all = (1u << split->product.count) - 1;
    split->a = (Side){.factors = for_a, .indices = factors_indices(&split->product, for_a)};
    split->b = (Side){.factors = all & ~for_a, .indices = factors_indices(&split->product, all & ~for_a)};
    split->form = BFM_GEMM_PLAIN;
    IndexSet a = split->a.indices, b = split->b.indices, either = rows | single_points(op), summed = ((a & b) | ((a ^ b) & either)) & ~out;
    if (((a ^ b) & ~out & ~either) != 0 || (summed & (rows | (a & b))) == 0)
        return false;
    split->m = out & a & ~b, split->n = out & b & ~a, split->k = summed, split->batch = out & ~(split->m | split->n);
    if (split->m == 0 && split->batch != 0 && split->n != 0 && split->k != 0) {
        IndexSet rest, keyed;
        if (!side_by_key(op, &split->product, split->b.factors, split, &rest))
            return false;
        keyed = access_indices_used(split->key);
        if ((split->batch & ~keyed) != 0 || (keyed & ~(split->batch | split->n)) != 0)
            return false;
        split->form = BFM_GEMM_BY_KEY; /* where A does not depend on all of the key's indices, its rows are used several times */
        split->b.indices = rest, split->m = keyed, split->n &= ~keyed, split->batch = 0;
    }
    return split->m != 0 && split->n != 0 && split->k != 0 && !class_small(op, split->m) && !class_small(op, split->n) && !class_small(op, split->k);
}

static bool split_best(const Scheduler *scheduler, const Op *op, IndexSet out, IndexSet rows, const Product *product, Split *best)
{
    bool found = false;
    double best_cost = 0;
    if (product->count > 10)
        return false;
    for (unsigned for_a = 1; for_a + 1 < 1u << product->count; for_a++) {
        Split split = {.product = *product};
        if (!split_try(op, out, rows, &split, for_a))
            continue;
        double cost = split_cost(scheduler, op, &split);
        if (found && cost >= best_cost)
            continue;
        *best = split, best_cost = cost, found = true;
    }
    return found;
}

/* Each condition and guard goes to a side that knows its indices: to one stored anyway if there is a choice, else to the smaller. */
static void split_domain(const Op *op, Split *split)
{
    bool a_stored = (split->a.factors & (split->a.factors - 1)) != 0;
    IndexSet a = split->a.indices | (split->form == BFM_GEMM_BY_KEY ? split->m : 0), b = split->b.indices;
    bool prefer_a = a_stored || set_size(op, a) <= set_size(op, b);
    for (int c = 0; c < op->cond_count; c++) {
        IndexSet used = affine_indices(op->conds[c]);
        bool in_a = (used & ~a) == 0, in_b = (used & ~b) == 0;
        if (in_a && (prefer_a || !in_b))
            split->a.conds |= (uint64_t)1 << c;
        else if (in_b)
            split->b.conds |= (uint64_t)1 << c;
        else
            split->late_conds |= (uint64_t)1 << c;
    }
    for (int g = 0; g < op->guard_count; g++) {
        IndexSet used = expr_indices(op, op->guards[g]);
        bool in_a = (used & ~a) == 0, in_b = (used & ~b) == 0;
        if (in_a && (prefer_a || !in_b))
            split->a.guards |= (uint64_t)1 << g;
        else if (in_b)
            split->b.guards |= (uint64_t)1 << g;
        else
            split->late_guards |= (uint64_t)1 << g;
    }
}

/* What neither side answers for can be applied to the result. */
static bool late_within(const Op *op, const Split *split, IndexSet out)
{
    for (int c = 0; c < op->cond_count; c++) {
        if ((split->late_conds >> c & 1) != 0 && (affine_indices(op->conds[c]) & ~out) != 0)
            return false;
    }
    for (int g = 0; g < op->guard_count; g++) {
        if ((split->late_guards >> g & 1) != 0 && (expr_indices(op, op->guards[g]) & ~out) != 0)
            return false;
    }
    return true;
}

/* ---- axes ----------------------------------------------------------------------------------------------------------------- */

static void axes_collect(const Op *op, IndexSet set, const Operand *a, const Operand *b, const Operand *c, AxisList *list)
{
    list->count = 0;
    for (int i = 0; i < op->index_count; i++) {
        if (!index_in(set, i) || dim_is(op->indices[i].extent, 1))
            continue;
        GemmAxis axis = {.extent = op->indices[i].extent};
        axis.stride[BFM_GEMM_A] = a->stride[i], axis.stride[BFM_GEMM_B] = b->stride[i], axis.stride[BFM_GEMM_C] = c->stride[i];
        axis.stride[BFM_GEMM_A_ROWS] = a->rows_stride[i], axis.stride[BFM_GEMM_B_ROWS] = b->rows_stride[i];
        list->items[list->count].axis = axis;
        list->items[list->count].gathered = index_in(a->gathered | b->gathered, i);
        list->items[list->count++].set = index_bit(i);
    }
}

static bool axes_adjacent(DimTable *dims, const GemmAxis *outer, const GemmAxis *inner)
{
    for (int s = 0; s < BFM_GEMM_OPERANDS; s++) {
        Dim want = inner->stride[s] == NULL ? NULL : dim_mul(dims, inner->stride[s], inner->extent);
        if (outer->stride[s] != want)
            return false;
    }
    return true;
}

/* Joins pairs that lie one inside the other in every operand, as long as there are any. */
static void axes_merge(DimTable *dims, AxisList *list)
{
    for (int o = 0; o < list->count; o++) {
        for (int i = 0; i < list->count; i++) {
            if (i == o || list->items[o].gathered != list->items[i].gathered)
                continue;
            if (!axes_adjacent(dims, &list->items[o].axis, &list->items[i].axis))
                continue;
            list->items[i].axis.extent = dim_mul(dims, list->items[i].axis.extent, list->items[o].axis.extent);
            list->items[i].set |= list->items[o].set;
            list->items[o] = list->items[--list->count];
            o = -1; /* start again */
            break;
        }
    }
}

void axes_of(Scheduler *scheduler, const Op *op, IndexSet set, const Operand *a, const Operand *b, const Operand *c, AxisList *list)
{
    axes_collect(op, set, a, b, c, list);
    axes_merge(scheduler->program->dims, list);
}

static GemmAxis axis_one(Scheduler *scheduler) { return (GemmAxis){.extent = dim_int(scheduler->program->dims, 1)}; }

/* The row numbers of an axis have to follow one another: the product wants them as an array. */
static bool rows_follow(const GemmAxis *axis, int operand) { return dim_is(axis->extent, 1) || (axis->stride[operand] != NULL && dim_is(axis->stride[operand], 1)); }

/* Takes the axis that becomes m, n or k: of several the one that is largest; the one of the row numbers if `rows` (BFM_GEMM_A_ROWS, else -1) says so. */
static bool axes_take(Scheduler *scheduler, AxisList *list, int rows, GemmAxis *axis, IndexSet *set)
{
    int best = -1;
    for (int i = 0; i < list->count; i++) {
        if (rows >= 0 && !rows_follow(&list->items[i].axis, rows))
            continue;
        if (best < 0 || dim_nominal(list->items[i].axis.extent) > dim_nominal(list->items[best].axis.extent))
            best = i;
    }
    *axis = axis_one(scheduler), *set = 0;
    if (best < 0)
        return list->count == 0;
    *axis = list->items[best].axis, *set = list->items[best].set;
    for (int i = best; i + 1 < list->count; i++)
        list->items[i] = list->items[i + 1];
    list->count--;
    return true;
}

static void axes_to_batch(const AxisList *list, AxisList *batch)
{
    for (int i = 0; i < list->count; i++)
        batch->items[batch->count++] = list->items[i];
}

/* Fills the axes of the product; false if the operands as they lie cannot express it. `clear` is set where it does not cover C. */
static bool gemm_axes(Scheduler *scheduler, const Split *split, const Operand *a, const Operand *b, const Operand *c, Gemm *gemm, bool *clear)
{
    const Op *op = &scheduler->unit->ops[split->product.op];
    DimTable *dims = scheduler->program->dims;
    AxisList m, n, k, batch;
    IndexSet in_m, in_n, in_k;
    axes_of(scheduler, op, split->m, a, b, c, &m);
    axes_of(scheduler, op, split->n, a, b, c, &n);
    axes_of(scheduler, op, split->k, a, b, c, &k);
    axes_of(scheduler, op, split->batch, a, b, c, &batch);
    if (k.count > 1)
        return false;
    bool a_on_k = a->rows >= 0 && (a->gathered & split->k) != 0, a_on_m = a->rows >= 0 && !a_on_k;
    if (!axes_take(scheduler, &m, a_on_m ? BFM_GEMM_A_ROWS : -1, &gemm->m, &in_m) || !axes_take(scheduler, &n, -1, &gemm->n, &in_n))
        return false;
    if (!axes_take(scheduler, &k, -1, &gemm->k, &in_k))
        return false;
    if (a_on_m && !rows_follow(&gemm->m, BFM_GEMM_A_ROWS))
        return false;
    if (a_on_k && !rows_follow(&gemm->k, BFM_GEMM_A_ROWS))
        return false;
    if (b->rows >= 0 && !rows_follow(&gemm->k, BFM_GEMM_B_ROWS))
        return false;
    axes_to_batch(&m, &batch), axes_to_batch(&n, &batch);
    axes_merge(dims, &batch);
    if (batch.count > BFM_GEMM_BATCHES)
        return false;
    gemm->batch_count = batch.count;
    for (int i = 0; i < batch.count; i++)
        gemm->batch[i] = batch.items[i].axis;
    gemm->a = a->tensor, gemm->b = b->tensor, gemm->c = c->tensor;
    gemm->a_base = a->base, gemm->b_base = b->base, gemm->c_base = c->base;
    gemm->a_rows = a->rows, gemm->b_rows = b->rows, gemm->a_row = a->row, gemm->b_row = b->row;
    gemm->a_rows_on_k = a_on_k;
    if (split->form == BFM_GEMM_PLAIN && a->rows < 0 && b->rows < 0)
        gemm->band = gemm_band(scheduler, split->product.op, in_m, in_n, in_k);
    *clear = *clear || gemm->band.axes == BFM_BAND_N_BY_M;
    return true;
}

/* ---- steps ---------------------------------------------------------------------------------------------------------------- */

static const char *const why_stored = "it is computed, or does not lie in memory as the product needs it";

void order_of_sets(const Op *op, IndexSet first, IndexSet second, IndexSet third, int *order)
{
    int count = 0;
    IndexSet sets[4] = {first, second & ~first, third & ~(first | second), ~(first | second | third)};
    for (int s = 0; s < 4; s++) {
        for (int i = 0; i < op->index_count; i++) {
            if (index_in(sets[s], i))
                order[count++] = i;
        }
    }
}

/* Where a side lies: in place, through a table of rows, or stored. */
static Operand side_operand(Scheduler *scheduler, const Split *split, const Side *side, IndexSet gather)
{
    Operand operand;
    IndexSet inner = (gather & split->k) != 0 ? split->k : split->m;
    if (operand_plain(scheduler, &split->product, side, &operand))
        return operand;
    if (gather != 0 && operand_gather(scheduler, &split->product, side, gather, inner, &operand))
        return operand;
    return operand_store(scheduler, &split->product, side, side->indices, NULL, why_stored);
}

/* The indices of integer subscripts in the side's read, if they are all of class m or all of class k. */
static IndexSet gather_indices(const Op *op, const Split *split, const Side *side, IndexSet m)
{
    IndexSet used = 0;
    for (int f = 0; f < split->product.count; f++) {
        const Expr *node = &op->exprs[split->product.factors[f].expr];
        if ((side->factors >> f & 1) == 0 || node->kind != EXPR_READ)
            continue;
        for (int s = 0; s < node->access.count; s++) {
            if (node->access.subs[s].read != NULL)
                used |= access_indices_used(node->access.subs[s].read);
        }
    }
    bool on_m = (used & m) != 0, on_k = (used & split->k) != 0;
    return on_m != on_k && (used & (split->n | split->m) & ~m) == 0 ? used : 0;
}

static Dim gemm_flops(Scheduler *scheduler, const Op *op) { return dim_mul(scheduler->program->dims, dim_int(scheduler->program->dims, 2), op_points(scheduler->program, op)); }

static void gemm_add(Scheduler *scheduler, const Op *op, Gemm gemm, bool clear, const char *reason)
{
    Gemm *kept = ARENA_NEW(scheduler->arena, Gemm);
    *kept = gemm;
    kept->addend = -1;
    step_add(scheduler, (Step){.kind = BFM_KERNEL_GEMM, .op = -1, .reason = reason, .record = kept, .clear = clear, .flops = gemm_flops(scheduler, op)});
}

bool out_covers(Scheduler *scheduler, const Op *op)
{
    Dim points = dim_int(scheduler->program->dims, 1);
    IndexSet out = access_indices_used(&op->out);
    for (int i = 0; i < op->index_count; i++) {
        if (index_in(out, i))
            points = dim_mul(scheduler->program->dims, points, op->indices[i].extent);
    }
    return points == tensor_dim(scheduler->program, &scheduler->unit->tensors[op->out.tensor]);
}

/* A side whose summed indices must become one: rows picked by a table over them, or stored with them innermost. */
static Operand summed_operand(Scheduler *scheduler, const Split *split, const Side *side, IndexSet gather)
{
    Operand operand;
    int order[SCHEDULE_INDEX_MAX];
    if ((gather & split->m) == 0 && operand_gather(scheduler, &split->product, side, gather | split->k, split->k, &operand))
        return operand;
    order_of_sets(&scheduler->unit->ops[split->product.op], split->batch, split->m | split->n, split->k, order);
    return operand_store(scheduler, &split->product, side, side->indices, order, "its summed indices are not adjacent");
}

static bool schedule_plain(Scheduler *scheduler, Split *split, const Operand *c, bool clear)
{
    int position = split->product.op;
    Gemm gemm = {.form = BFM_GEMM_PLAIN, .alpha = split->product.alpha, .perm = -1, .offsets = -1};
    const Op *op = &scheduler->unit->ops[position];
    IndexSet gather_a = gather_indices(op, split, &split->a, split->m), gather_b = gather_indices(op, split, &split->b, 0);
    Operand a = side_operand(scheduler, split, &split->a, gather_a);
    Operand b = side_operand(scheduler, split, &split->b, gather_b);
    const char *reason = "contraction of two operands";
    if (!gemm_axes(scheduler, split, &a, &b, c, &gemm, &clear)) {
        a = summed_operand(scheduler, split, &split->a, gather_a);
        b = summed_operand(scheduler, split, &split->b, gather_b);
        if (!gemm_axes(scheduler, split, &a, &b, c, &gemm, &clear))
            return false;
    }
    gemm_add(scheduler, &scheduler->unit->ops[position], gemm, clear, reason);
    return true;
}

/* Sorts the rows by their keys, once per tensor of keys. */
static Order *order_add(Scheduler *scheduler, int keys)
{
    for (int i = 0; i < scheduler->order_count; i++) {
        if (scheduler->orders[i].keys == keys)
            return &scheduler->orders[i];
    }
    Program *program = scheduler->program;
    if (scheduler->order_count == scheduler->order_capacity) {
        int capacity = scheduler->order_capacity == 0 ? 16 : 2 * scheduler->order_capacity;
        Order *grown = ARENA_ARRAY(scheduler->arena, Order, capacity);
        if (scheduler->order_count > 0)
            memcpy(grown, scheduler->orders, (size_t)scheduler->order_count * sizeof *grown);
        scheduler->orders = grown, scheduler->order_capacity = capacity;
    }
    const Tensor *tensor = &scheduler->unit->tensors[keys];
    Order order = {.keys = keys, .count = tensor_dim(program, tensor), .key_count = tensor->bound};
    Dim ends = dim_add(program->dims, tensor->bound, dim_int(program->dims, 1)), more = dim_add(program->dims, order.count, dim_int(program->dims, 1));
    order.perm = unit_tensor(scheduler->unit, tensor_label(scheduler, keys, ".order"), T_INT, TENSOR_LOCAL, 1, &order.count, more);
    order.offsets = unit_tensor(scheduler->unit, tensor_label(scheduler, keys, ".ends"), T_INT, TENSOR_LOCAL, 1, &ends, more);
    scheduler->orders[scheduler->order_count] = order;
    Order *step = ARENA_NEW(scheduler->arena, Order);
    *step = order;
    step_add(scheduler, (Step){.kind = BFM_KERNEL_ORDER, .op = -1, .reason = "rows sorted by key, stable", .record = step});
    return &scheduler->orders[scheduler->order_count++];
}

/* An operand under rows: one stride over all of `rows`, or row numbers. */
static bool rows_operand(Scheduler *scheduler, Split *split, const Side *side, IndexSet rows, Operand *operand)
{
    const Op *op = &scheduler->unit->ops[split->product.op];
    Operand none = {.rows = -1};
    if (operand_plain(scheduler, &split->product, side, operand)) {
        AxisList list;
        axes_of(scheduler, op, rows, operand, &none, &none, &list);
        if (list.count <= 1)
            return true;
    }
    if (operand_gather(scheduler, &split->product, side, rows, rows, operand))
        return true;
    int order[SCHEDULE_INDEX_MAX];
    op = &scheduler->unit->ops[split->product.op];
    order_of_sets(op, rows, 0, 0, order);
    *operand = operand_store(scheduler, &split->product, side, side->indices | rows, order, "rows of a product by key are computed");
    return true;
}

/* u[P, n] = sum over k of x[P, k] * w[key[P], k, n] */
static bool schedule_by_key(Scheduler *scheduler, Split *split, const Operand *c, bool clear)
{
    Unit *unit = scheduler->unit;
    int position = split->product.op;
    const Op *op = &unit->ops[position];
    const Access weight = op->exprs[split->product.factors[__builtin_ctz(split->b.factors)].expr].access;
    Gemm gemm = {.form = BFM_GEMM_BY_KEY, .alpha = split->product.alpha};
    Operand a, b;
    clear = true; /* rows without a key are written by no product */
    if (unit->tensors[weight.tensor].type != T_REAL || split->b.conds != 0 || split->b.guards != 0)
        return false;
    if (!access_strides(scheduler, op, &weight, split->key_sub, &b))
        return false;
    gemm.key_stride = access_step(scheduler, &weight, split->key_sub);
    int keys = keys_store(scheduler, position, split->key);
    rows_operand(scheduler, split, &split->a, split->m, &a);
    if (!gemm_axes(scheduler, split, &a, &b, c, &gemm, &clear) || gemm.batch_count != 0)
        return false;
    Order *order = order_add(scheduler, keys);
    gemm.perm = order->perm, gemm.offsets = order->offsets, gemm.key_count = order->key_count;
    gemm_add(scheduler, &unit->ops[position], gemm, true, "contraction by key: rows sorted, one product per key");
    return true;
}

/* dw[key[P], m, n] = sum over P of x[P, m] * y[P, n] */
static bool schedule_into_key(Scheduler *scheduler, Split *split)
{
    int position = split->product.op;
    const Op *op = &scheduler->unit->ops[position];
    const Access out = op->out;
    Gemm gemm = {.form = BFM_GEMM_INTO_KEY, .alpha = split->product.alpha};
    bool clear = false;
    Operand a, b, c;
    int key_sub = data_sub(&out);
    if (!access_strides(scheduler, op, &out, key_sub, &c))
        return false;
    gemm.key_stride = access_step(scheduler, &out, key_sub);
    int keys = keys_store(scheduler, position, out.subs[key_sub].read);
    rows_operand(scheduler, split, &split->a, split->k, &a);
    rows_operand(scheduler, split, &split->b, split->k, &b);
    if (!gemm_axes(scheduler, split, &a, &b, &c, &gemm, &clear) || gemm.batch_count != 0)
        return false;
    Order *order = order_add(scheduler, keys);
    gemm.perm = order->perm, gemm.offsets = order->offsets, gemm.key_count = order->key_count;
    DimTable *dims = scheduler->program->dims;
    const Dim written = dim_mul(dims, order->key_count, dim_mul(dims, gemm.m.extent, gemm.n.extent)); /* a key without rows makes zeros */
    clear = clear || written != tensor_dim(scheduler->program, &scheduler->unit->tensors[out.tensor]);
    gemm_add(scheduler, &scheduler->unit->ops[position], gemm, clear, "contraction into keys: one product per key over its rows");
    return true;
}

/* ---- results that need another pass --------------------------------------------------------------------------------------- */

/* The operation becomes two: the contraction over its bare output indices into a new tensor, then `op` rewritten to read that. The second
   keeps the original reducer, output and the domain that the first does not answer for. */
static bool schedule_in_two(Scheduler *scheduler, const Split *split, IndexSet kept, const char *why)
{
    Unit *unit = scheduler->unit;
    Program *program = scheduler->program;
    Op op = unit->ops[split->product.op];
    int order[SCHEDULE_INDEX_MAX], count = 0;
    Dim *extents = ARENA_ARRAY(scheduler->arena, Dim, op.index_count + 1);
    int all[SCHEDULE_INDEX_MAX];
    order_of_sets(&op, split->form == BFM_GEMM_BY_KEY ? split->m : 0, kept, 0, all); /* rows of a product by key stay together */
    for (int i = 0; i < op.index_count; i++) {
        if (index_in(kept, all[i]))
            extents[count] = op.indices[all[i]].extent, order[count++] = all[i];
    }
    int partial = unit_tensor(unit, tensor_label(scheduler, op.out.tensor, ".partial"), T_REAL, TENSOR_LOCAL, count, extents, NULL);
    OpBuilder first = op_begin(unit, OP_NEST);
    first.op = op;
    first.op.group = 0;
    first.op.out = access_indices(program, partial, count, order);
    first.op.cond_count = first.op.guard_count = 0;
    first.op.conds = ARENA_ARRAY(scheduler->arena, Affine, op.cond_count + 1);
    first.op.guards = ARENA_ARRAY(scheduler->arena, int, op.guard_count + 1);
    for (int c = 0; c < op.cond_count; c++) {
        if ((split->late_conds >> c & 1) == 0)
            first.op.conds[first.op.cond_count++] = op.conds[c];
    }
    for (int g = 0; g < op.guard_count; g++) {
        if ((split->late_guards >> g & 1) == 0)
            first.op.guards[first.op.guard_count++] = op.guards[g];
    }
    int contraction = op_finish(&first);
    Affine *late = ARENA_ARRAY(scheduler->arena, Affine, op.cond_count + 1);
    int late_count = 0;
    for (int c = 0; c < op.cond_count; c++) {
        if ((split->late_conds >> c & 1) != 0)
            late[late_count++] = op.conds[c];
    }

    OpBuilder second = op_begin(unit, OP_NEST);
    IndexBy *by = ARENA_ARRAY(scheduler->arena, IndexBy, op.index_count + 1);
    int *bare = ARENA_ARRAY(scheduler->arena, int, count + 1);
    for (int i = 0; i < op.index_count; i++)
        by[i] = (IndexBy){.affine = affine_const(program, dim_int(program->dims, 0)), .joint = 1};
    for (int i = 0; i < count; i++) {
        bare[i] = op_index(&second, op.indices[order[i]].name, op.indices[order[i]].extent);
        by[order[i]].affine = affine_index(program, bare[i]);
    }
    Rewrite rewrite = rewrite_begin(&second, unit, &op, by, NULL, NULL);
    second.op.reducer = data_sub(&op.out) < 0 && access_bare(&op.out, NULL) && kept == access_indices_used(&op.out) ? REDUCE_SET : REDUCE_SUM;
    second.op.body2 = -1;
    second.op.span = op.span;
    for (int c = 0; c < op.cond_count; c++) {
        if ((affine_indices(op.conds[c]) & ~kept) == 0)
            op_cond(&second, rewrite_affine(&rewrite, op.conds[c]));
    }
    for (int g = 0; g < op.guard_count; g++) {
        if ((expr_indices(&op, op.guards[g]) & ~kept) == 0)
            op_guard(&second, rewrite_expr(&rewrite, op.guards[g]));
    }
    second.op.body = expr_read(&second, access_indices(program, partial, count, bare));
    second.op.out = rewrite_access(&rewrite, &op.out);
    int last = op_finish(&second);
    scheduler->late_op = contraction, scheduler->late = late, scheduler->late_count = late_count;
    schedule_op(scheduler, contraction);
    scheduler->late_count = 0;
    schedule_map(scheduler, last, why);
    return true;
}

/* ---- the choice ----------------------------------------------------------------------------------------------------------- */

static bool schedule_plain_or_keyed(Scheduler *scheduler, Split *split)
{
    const Op *op = &scheduler->unit->ops[split->product.op];
    Operand c;
    if (!access_strides(scheduler, op, &op->out, -1, &c))
        return false;
    bool clear = !out_covers(scheduler, op);
    return split->form == BFM_GEMM_BY_KEY ? schedule_by_key(scheduler, split, &c, clear) : schedule_plain(scheduler, split, &c, clear);
}

/* y[T, n] = sum over c, k of x[T, c, k] * w[key[T, c], k, n]: by key for every (T, c), then summed over c. */
static bool schedule_rows_summed(Scheduler *scheduler, const Product *product, IndexSet out)
{
    const Op *op = &scheduler->unit->ops[product->op];
    for (int f = 0; f < product->count; f++) {
        const Expr *node = &op->exprs[product->factors[f].expr];
        int key = node->kind == EXPR_READ ? data_sub(&node->access) : -1;
        if (key < 0)
            continue;
        IndexSet keyed = access_indices_used(node->access.subs[key].read), kept = out | keyed;
        Split split;
        if ((keyed & ~out) == 0 || !split_best(scheduler, op, kept, 0, product, &split) || split.form != BFM_GEMM_BY_KEY)
            continue;
        split_domain(op, &split);
        if (late_within(op, &split, kept))
            return schedule_in_two(scheduler, &split, kept, "rows of a product by key, summed");
    }
    return false;
}

/* A sum that is written through an integer and goes over far more than says where it is written: point by point each addend would be added in memory,
   one after the other. It is summed first, then scattered. */
static bool schedule_scattered(Scheduler *scheduler, int position)
{
    const Op *op = &scheduler->unit->ops[position];
    const IndexSet out = access_indices_used(&op->out);
    double summed = 1;
    if (data_sub(&op->out) < 0)
        return false;
    for (int i = 0; i < op->index_count; i++) {
        if (!index_in(out, i))
            summed *= dim_nominal(op->indices[i].extent);
    }
    Split split = {.product = {.op = position}, .form = BFM_GEMM_PLAIN};
    return summed >= SCATTER_SUMMED && schedule_in_two(scheduler, &split, out, "scattered sum of sums");
}

bool schedule_product(Scheduler *scheduler, int position)
{
    const Op *op = &scheduler->unit->ops[position];
    Product product;
    Split split;
    if (scheduler->options->ungrouped || scheduler->options->no_products)
        return false;
    if (op->kind != OP_NEST || op->reducer != REDUCE_SUM || scheduler->unit->tensors[op->out.tensor].type != T_REAL)
        return false;
    if (!product_of(scheduler, position, &product))
        return schedule_scattered(scheduler, position);
    IndexSet out = access_indices_used(&op->out), affine_out = 0;
    for (int s = 0; s < op->out.count; s++)
        affine_out |= affine_indices(op->out.subs[s].affine);
    int key_sub = data_sub(&op->out);
    bool scattered = affine_out != out || key_sub >= 0;
    if (!scattered) {
        if (!split_best(scheduler, op, out, 0, &product, &split))
            return schedule_rows_summed(scheduler, &product, out);
        split_domain(op, &split);
        if (!late_within(op, &split, out))
            return false;
        if (split.late_conds != 0 || split.late_guards != 0)
            return schedule_in_two(scheduler, &split, out, "the part of a product that is in the domain");
        return schedule_plain_or_keyed(scheduler, &split);
    }
    IndexSet rows = key_sub >= 0 ? access_indices_used(op->out.subs[key_sub].read) : 0;
    if (key_sub >= 0 && (rows & affine_out) == 0 && split_best(scheduler, op, affine_out, rows, &product, &split) && split.form == BFM_GEMM_PLAIN &&
        (split.k & ~single_points(op)) == (rows & ~single_points(op)) && split.batch == 0) {
        split_domain(op, &split);
        if (split.late_conds == 0 && split.late_guards == 0 && schedule_into_key(scheduler, &split))
            return true;
    }
    if (!split_best(scheduler, op, out, 0, &product, &split))
        return schedule_scattered(scheduler, position);
    split_domain(op, &split);
    if (!late_within(op, &split, out))
        return false;
    return schedule_in_two(scheduler, &split, out, "scattered sum of a contraction's rows");
}
