/* What random programs are made of: nests of every reducer, scatters, recurrences, rankings, calls, and the shapes that schedulers look for. */
#include "generator.h"

#include <math.h>
#include <string.h>

enum { LEAVES_MAX = 4 };

static Sized number(Draft *draft, double value) { return (Sized){expr_const(&draft->b, value), fabs(value)}; }

/* Up to `count` values read anywhere. */
static int read_some(Draft *draft, int count, Sized *leaves)
{
    int got = 0;
    for (int i = 0; i < count; i++) {
        const int known = gen_pick(draft->gen, gen_chance(draft->gen, 12) ? T_INT : T_REAL, -1, NULL, false);
        if (known < 0 || !draft_read(draft, known, &leaves[got]))
            continue;
        const Tensor *tensor = &draft->gen->unit->tensors[draft->gen->known.items[known].tensor];
        if (tensor->type == T_INT) { /* a `none` is NaN: where it does not exist it counts as -1 */
            OpBuilder *b = &draft->b;
            leaves[got].expr = expr_op(b, EXPR_SELECT, expr_op(b, EXPR_EXISTS, leaves[got].expr, -1, -1), leaves[got].expr, expr_const(b, -1));
            leaves[got].size = (double)gen_large(draft->gen, tensor->bound);
        }
        got++;
    }
    return got;
}

static void maybe_guard(Draft *draft, const Sized *leaves, int count, int percent)
{
    if (count == 0 || !gen_chance(draft->gen, percent))
        return;
    op_guard(&draft->b, expr_op(&draft->b, EXPR_LT, leaves[gen_below(draft->gen, count)].expr, number(draft, 0.5).expr, -1));
    draft->misses = true;
}

static void maybe_cond(Draft *draft, int percent)
{
    Program *program = draft->gen->program;
    const Op *op = &draft->b.op;
    if (op->index_count < 2 || !gen_chance(draft->gen, percent))
        return;
    const int i = gen_below(draft->gen, op->index_count), j = gen_below(draft->gen, op->index_count);
    if (i == j)
        return;
    Affine cond = affine_sub(program, affine_index(program, i), affine_scale(program, affine_index(program, j), dim_int(program->dims, 1 + gen_below(draft->gen, 2))));
    cond = affine_add(program, cond, affine_const(program, dim_int(program->dims, gen_below(draft->gen, 3) - 1)));
    op_cond(&draft->b, cond);
    draft->misses = true;
}

static void shuffle(Generator *gen, int count, int *items)
{
    for (int i = 0; i < count; i++)
        items[i] = i;
    for (int i = count - 1; i > 0; i--) {
        const int k = gen_below(gen, i + 1), swap = items[i];
        items[i] = items[k];
        items[k] = swap;
    }
}

/* How many of the shuffled indices a result may have without growing too large. */
static int fitting(const Draft *draft, const int *indices, int wanted)
{
    int64_t elements = 1;
    for (int i = 0; i < wanted; i++) {
        elements *= gen_large(draft->gen, draft->b.op.indices[indices[i]].extent);
        if (elements > ELEMENTS_MAX)
            return i;
    }
    return wanted;
}

/* ---- nests ---- */

static void pattern_nest(Generator *gen)
{
    static const Reducer reducers[] = {REDUCE_SET, REDUCE_SET, REDUCE_SUM, REDUCE_SUM, REDUCE_SUM, REDUCE_MAX, REDUCE_MIN, REDUCE_LSE};
    const Reducer reducer = reducers[gen_below(gen, 8)];
    Draft draft = draft_begin(gen, OP_NEST, reducer);
    Sized leaves[LEAVES_MAX];
    const int count = read_some(&draft, 1 + gen_below(gen, 3), leaves);
    maybe_cond(&draft, 25);
    maybe_guard(&draft, leaves, count, 15);
    const Sized body = draft_bounded(&draft, draft_expr(&draft, 1 + gen_below(gen, 3), leaves, count));
    int order[INDICES_MAX];
    const int indices = draft.b.op.index_count;
    shuffle(gen, indices, order);
    int rank = indices;
    if (reducer != REDUCE_SET && indices > 0)
        rank = gen_chance(gen, 20) ? indices : gen_below(gen, indices);
    rank = fitting(&draft, order, rank);
    if (reducer == REDUCE_SET && rank < indices)
        return;
    (void)draft_finish(&draft, body, rank, order, NULL);
}

/* out[k[i]] += …: through an integer tensor, with holes and collisions. */
static void pattern_scatter(Generator *gen)
{
    const int through = gen_pick(gen, T_INT, -1, NULL, true);
    if (through < 0)
        return;
    Draft draft = draft_begin(gen, OP_NEST, gen_chance(gen, 80) ? REDUCE_SUM : REDUCE_MAX);
    const Tensor tensor = gen->unit->tensors[gen->known.items[through].tensor];
    int at[INDICES_MAX];
    for (int axis = 0; axis < tensor.rank; axis++)
        if ((at[axis] = draft_index(&draft, tensor.extent[axis], true)) < 0)
            return;
    Sized leaves[LEAVES_MAX];
    const int count = read_some(&draft, 2, leaves);
    draft.misses = true;
    Sized body = draft_bounded(&draft, draft_expr(&draft, 1 + gen_below(gen, 2), leaves, count));
    const bool beside = draft.b.op.index_count > tensor.rank && gen_chance(gen, 60); /* and another axis as it is */
    const int other = tensor.rank;
    Dim extents[2] = {tensor.bound};
    if (beside)
        extents[1] = draft.b.op.indices[other].extent;
    if (gen_large(gen, extents[0]) * (beside ? gen_large(gen, extents[1]) : 1) > ELEMENTS_MAX)
        return;
    const double volume = (double)draft_volume(&draft);
    if (draft.b.op.reducer == REDUCE_SUM)
        body = (Sized){expr_op(&draft.b, EXPR_MUL, body.expr, number(&draft, 2 / sqrt(volume)).expr, -1), body.size * 2 * sqrt(volume)};
    const int out = unit_tensor(gen->unit, gen_name(gen, "scattered"), T_REAL, TENSOR_LOCAL, beside ? 2 : 1, extents, NULL);
    Access access = access_new(gen->program, out, beside ? 2 : 1);
    access.subs[0] = sub_read(gen->program, access_indices(gen->program, gen->known.items[through].tensor, tensor.rank, at), 1);
    if (beside)
        access.subs[1] = sub_index(gen->program, other);
    (void)draft_finish_into(&draft, body, access, body.size, false, draft.b.op.reducer == REDUCE_MAX);
}

/* Integers: from positions, from data, some none. */
static void pattern_integers(Generator *gen)
{
    Draft draft = draft_begin(gen, OP_NEST, REDUCE_SET);
    Sized leaves[LEAVES_MAX];
    const int count = read_some(&draft, 1, leaves);
    const int indices = draft.b.op.index_count;
    Dim bound = gen_extent(gen);
    OpBuilder *b = &draft.b;
    int body;
    if (gen_chance(gen, 50) || count == 0) {
        if (indices == 0)
            return;
        const int sum =
            expr_op(b, EXPR_ADD, expr_op(b, EXPR_MUL, expr_pos(b, gen_below(gen, indices)), expr_const(b, 1 + gen_below(gen, 5)), -1), expr_pos(b, gen_below(gen, indices)), -1);
        body = expr_op(b, EXPR_MOD, sum, expr_dim(b, bound), -1);
    } else {
        /* Shifted: the sigmoid of 0 or of the logarithm of a fraction is a fraction, whose multiple may be a whole number but for the last digit. */
        const int shifted = expr_op(b, EXPR_ADD, leaves[0].expr, expr_const(b, 0.1234567), -1);
        body = expr_op(b, EXPR_FLOOR, expr_op(b, EXPR_MUL, expr_op(b, EXPR_SIGMOID, shifted, -1, -1), expr_dim(b, bound), -1), -1, -1);
        if (gen_chance(gen, 40))
            body = expr_op(b, EXPR_SELECT, expr_op(b, EXPR_LT, leaves[0].expr, expr_const(b, 0.2), -1), body, expr_const(b, -1));
    }
    maybe_guard(&draft, leaves, count, 15);
    int order[INDICES_MAX];
    shuffle(gen, indices, order);
    if (fitting(&draft, order, indices) == indices)
        (void)draft_finish(&draft, (Sized){body, 1}, indices, order, bound);
}

/* ---- recurrences and rankings ---- */

static void pattern_recur(Generator *gen)
{
    Draft draft = draft_begin(gen, OP_RECUR, REDUCE_SET);
    Sized leaves[LEAVES_MAX];
    const int known = gen_pick(gen, T_REAL, -1, NULL, true);
    if (known < 0 || gen->unit->tensors[gen->known.items[known].tensor].rank == 0)
        return;
    int at[INDICES_MAX] = {-1, -1, -1, -1, -1};
    if (!draft_read_at(&draft, known, at, &leaves[0]))
        return;
    const int count = 1 + read_some(&draft, 1, leaves + 1);
    maybe_cond(&draft, 20);
    maybe_guard(&draft, leaves, count, 20);
    Op *op = &draft.b.op;
    const int indices = op->index_count;
    Sized body = draft_bounded(&draft, draft_expr(&draft, 1 + gen_below(gen, 2), leaves, count));
    if (gen_chance(gen, 50)) {
        const Sized inner = draft_expr(&draft, 1, leaves, count);
        op->body2 = gen_chance(gen, 40) ? expr_const(&draft.b, 0.5) : expr_op(&draft.b, EXPR_TANH, inner.expr, -1, -1);
    }
    int order[INDICES_MAX];
    shuffle(gen, indices, order);
    op->scan_count = 1 + (indices > 1 && gen_chance(gen, 30));
    op->scan = arena_memdup(gen->program->arena, order, (size_t)op->scan_count * sizeof(int));
    op->reverse = gen_chance(gen, 30);
    op->exclusive = gen_chance(gen, 30);
    double points = 1;
    for (int i = 0; i < op->scan_count; i++)
        points *= (double)gen_large(gen, op->indices[op->scan[i]].extent);
    for (int i = 0; i < indices && op->init.tensor < 0 && gen_chance(gen, 60); i++) { /* an initial value along an index that is not scanned */
        bool scanned = false;
        for (int k = 0; k < op->scan_count; k++)
            scanned = scanned || op->scan[k] == i;
        for (int k = 0; k < gen->known.count && !scanned; k++) {
            const Known *from = &gen->known.items[k];
            const Tensor *tensor = &gen->unit->tensors[from->tensor];
            if (tensor->type == T_REAL && tensor->rank == 1 && tensor->extent[0] == op->indices[i].extent && from->partial < 0 && !from->infinite)
                op->init = access_indices(gen->program, from->tensor, 1, &i);
        }
    }
    body = (Sized){expr_op(&draft.b, EXPR_MUL, body.expr, number(&draft, 1 / sqrt(points)).expr, -1), body.size * sqrt(points) + 3};
    shuffle(gen, indices, order);
    if (fitting(&draft, order, indices) == indices)
        (void)draft_finish(&draft, body, indices, order, NULL);
}

static void pattern_top(Generator *gen)
{
    Draft draft = draft_begin(gen, OP_TOP, REDUCE_SET);
    Sized leaves[LEAVES_MAX];
    const int count = read_some(&draft, 1 + gen_below(gen, 2), leaves);
    Op *op = &draft.b.op;
    if (op->index_count == 0 || count == 0)
        return;
    maybe_cond(&draft, 20);
    maybe_guard(&draft, leaves, count, 20);
    op->reduced = 1 + (op->index_count > 1 && gen_chance(gen, 25));
    const int outer = op->index_count - op->reduced;
    DimTable *dims = gen->program->dims;
    op->top_k = dim_int(dims, 1 + gen_below(gen, 3));
    if (gen_chance(gen, 15))
        op->top_k = dim_symbol(dims, DIM_B);
    Dim bound = dim_int(dims, 1), extents[INDICES_MAX + 1];
    for (int i = outer; i < op->index_count; i++)
        bound = dim_mul(dims, bound, op->indices[i].extent);
    int bare[INDICES_MAX];
    for (int i = 0; i < outer; i++) {
        bare[i] = i;
        extents[i] = op->indices[i].extent;
    }
    extents[outer] = op->top_k;
    if (fitting(&draft, bare, outer) < outer)
        return;
    const Sized body = draft_bounded(&draft, draft_expr(&draft, 1, leaves, count));
    const int out = unit_tensor(gen->unit, gen_name(gen, "best"), T_INT, TENSOR_LOCAL, outer + 1, extents, bound);
    (void)draft_finish_into(&draft, body, access_indices(gen->program, out, outer, bare), 1, false, false);
}

/* ---- shapes that schedulers look for ---- */

/* Parameters have static shapes; what has not is an input. */
static int new_param(Generator *gen, int rank, const Dim *extents)
{
    bool fixed = true;
    for (int i = 0; i < rank; i++)
        fixed = fixed && dim_is_static(extents[i]);
    const int tensor = unit_formal(gen->unit, gen_name(gen, "w"), T_REAL, fixed ? TENSOR_PARAM : TENSOR_INPUT, rank, extents, NULL);
    return known_push(gen, (Known){.tensor = tensor, .size = 1.5, .partial = -1});
}

/* y[…, o] sum= x[…, i] * w[i, o], or with a weight per value of an integer tensor. */
static void pattern_contract(Generator *gen)
{
    const int x = gen_pick(gen, T_REAL, -1, NULL, true);
    if (x < 0)
        return;
    const Tensor tensor = gen->unit->tensors[gen->known.items[x].tensor];
    if (tensor.rank == 0 || tensor.rank > 3 || !dim_is_static(tensor.extent[tensor.rank - 1]))
        return;
    Draft draft = draft_begin(gen, OP_NEST, REDUCE_SUM);
    int at[INDICES_MAX] = {-1, -1, -1, -1, -1};
    Sized left, right;
    if (!draft_read_at(&draft, x, at, &left))
        return;
    const int inner = at[tensor.rank - 1];
    const Dim width = dim_int(gen->program->dims, 1 + gen_below(gen, 6));
    const int o = draft_index(&draft, width, true);
    Sub which;
    const int through = gen_pick(gen, T_INT, -1, NULL, true);
    const bool grouped = o >= 0 && through >= 0 && gen_chance(gen, 50) && dim_is_static(gen->unit->tensors[gen->known.items[through].tensor].bound);
    bool reads = false;
    if (grouped) {
        const Tensor chooser = gen->unit->tensors[gen->known.items[through].tensor];
        Access access = access_new(gen->program, gen->known.items[through].tensor, chooser.rank);
        draft.plain = reads = true;
        for (int axis = 0; axis < chooser.rank && reads; axis++)
            reads = draft_sub(&draft, chooser.extent[axis], &access.subs[axis]);
        draft.plain = false;
        which = sub_read(gen->program, access, 1);
        if (reads) {
            const int w = new_param(gen, 3, (Dim[]){chooser.bound, tensor.extent[tensor.rank - 1], width});
            Access weight = access_new(gen->program, gen->known.items[w].tensor, 3);
            weight.subs[0] = which;
            weight.subs[1] = sub_index(gen->program, inner);
            weight.subs[2] = sub_index(gen->program, o);
            right = (Sized){expr_read(&draft.b, weight), 1.5};
            draft.misses = true;
        }
    }
    if (o < 0)
        return;
    if (!reads) {
        const int w = new_param(gen, 2, (Dim[]){tensor.extent[tensor.rank - 1], width});
        int subs[2] = {inner, o};
        if (!draft_read_at(&draft, w, subs, &right))
            return;
    }
    int out[INDICES_MAX], rank = 0;
    for (int i = 0; i < draft.b.op.index_count; i++)
        if (i != inner)
            out[rank++] = i;
    const Sized product = {expr_op(&draft.b, EXPR_MUL, left.expr, right.expr, -1), left.size * right.size};
    if (fitting(&draft, out, rank) == rank)
        (void)draft_finish(&draft, product, rank, out, NULL);
}

/* Statistics of the last axis, then a map that uses them. */
static void pattern_rows(Generator *gen)
{
    const int x = gen_pick(gen, T_REAL, -1, NULL, true);
    if (x < 0)
        return;
    const Tensor tensor = gen->unit->tensors[gen->known.items[x].tensor];
    if (tensor.rank == 0 || tensor.rank > 4 || !gen_positive(gen, tensor.extent[tensor.rank - 1]))
        return;
    const Dim last = tensor.extent[tensor.rank - 1];
    const bool shares = gen_chance(gen, 40); /* exp(x - lse x), else x * rsqrt(mean x^2 + 1/4) */
    Draft draft = draft_begin(gen, OP_NEST, shares ? REDUCE_LSE : REDUCE_SUM);
    int at[INDICES_MAX] = {-1, -1, -1, -1, -1};
    Sized value;
    if (!draft_read_at(&draft, x, at, &value))
        return;
    if (!shares)
        value = (Sized){expr_op(&draft.b, EXPR_DIV, expr_op(&draft.b, EXPR_MUL, value.expr, value.expr, -1), expr_dim(&draft.b, last), -1), 0};
    const int statistic = draft_finish(&draft, value, tensor.rank - 1, at, NULL);
    Draft map = draft_begin(gen, OP_NEST, REDUCE_SET);
    int again[INDICES_MAX] = {-1, -1, -1, -1, -1};
    Sized s, y;
    if (!draft_read_at(&map, x, again, &value) || !draft_read_at(&map, statistic, again, &s))
        return;
    OpBuilder *b = &map.b;
    if (shares)
        y = (Sized){expr_op(b, EXPR_EXP, expr_op(b, EXPR_SUB, value.expr, s.expr, -1), -1, -1), 1};
    else
        y = (Sized){expr_op(b, EXPR_MUL, value.expr, expr_op(b, EXPR_RSQRT, expr_op(b, EXPR_ADD, s.expr, expr_const(b, 0.25), -1), -1, -1), -1), 3};
    (void)draft_finish(&map, y, tensor.rank, again, NULL);
}

/* bucket[m] = m % 5, for every distance m of row and column. */
static int new_buckets(Generator *gen, Dim distances)
{
    const Dim bound = dim_int(gen->program->dims, 5);
    OpBuilder b = op_begin(gen->unit, OP_NEST);
    const int m = op_index(&b, gen_name(gen, "m"), distances), out = unit_tensor(gen->unit, gen_name(gen, "bucket"), T_INT, TENSOR_LOCAL, 1, &distances, bound);
    b.op.reducer = REDUCE_SET;
    b.op.body = expr_op(&b, EXPR_MOD, expr_pos(&b, m), expr_dim(&b, bound), -1);
    b.op.out = access_indices(gen->program, out, 1, &m);
    (void)op_finish(&b);
    return out;
}

typedef enum { BIAS_NONE, BIAS_SCALE, BIAS_ROW, BIAS_COLUMN, BIAS_BOTH, BIAS_DISTANCE, BIAS_BUCKET, BIAS_COUNT } Bias;

/* What a score may read beside its product: a scale, or a number for its row, its column, both, or their distance, straight or through another table.
   -1: nothing. */
static int new_bias(Generator *gen, Bias bias, Dim rows, Dim columns)
{
    const Dim distances = dim_add(gen->program->dims, rows, columns), one = dim_int(gen->program->dims, 1), five = dim_int(gen->program->dims, 5);
    switch (bias) {
    case BIAS_NONE:
    case BIAS_COUNT: break;
    case BIAS_SCALE: return new_param(gen, 1, &one);
    case BIAS_ROW: return new_param(gen, 1, &rows);
    case BIAS_COLUMN: return new_param(gen, 1, &columns);
    case BIAS_BOTH: return new_param(gen, 2, (Dim[]){rows, columns});
    case BIAS_DISTANCE: return new_param(gen, 1, &distances);
    case BIAS_BUCKET: return new_param(gen, 1, &five);
    }
    return -1;
}

/* The score with its bias at (at[0], at[1]); `buckets`: the tensor of BIAS_BUCKET. */
static Sized biased(Draft *score, Sized s, Bias bias, int known, int buckets, const int *at, Dim columns)
{
    Program *program = score->gen->program;
    OpBuilder *b = &score->b;
    if (known < 0)
        return s;
    Affine distance = affine_sub(program, affine_index(program, at[0]), affine_index(program, at[1]));
    distance = affine_add(program, distance, affine_const(program, columns));
    Access access = access_new(program, score->gen->known.items[known].tensor, bias == BIAS_BOTH ? 2 : 1);
    access.subs[0] = sub_affine(bias == BIAS_SCALE      ? affine_const(program, dim_int(program->dims, 0))
                                : bias == BIAS_DISTANCE ? distance
                                                        : affine_index(program, at[bias == BIAS_COLUMN]),
                                1);
    if (bias == BIAS_BOTH)
        access.subs[1] = sub_index(program, at[1]);
    if (bias == BIAS_BUCKET) {
        Access bucket = access_new(program, buckets, 1);
        bucket.subs[0] = sub_affine(distance, 1);
        access.subs[0] = sub_read(program, bucket, 1);
    }
    return (Sized){expr_op(b, bias == BIAS_SCALE ? EXPR_MUL : EXPR_ADD, s.expr, expr_read(b, access), -1), 1.5 * s.size + 1.5};
}

/* Q[i, e], K[j, e], V[j, c] of new parameters and inputs: score, lse, weighted sum, and sometimes the score at one j. */
static void pattern_stream(Generator *gen)
{
    DimTable *dims = gen->program->dims;
    const bool causal = gen_chance(gen, 60);
    const Dim rows = dim_symbol(dims, DIM_L), e = dim_int(dims, 1 + gen_below(gen, 4)), c = dim_int(dims, 1 + gen_below(gen, 4));
    const Dim columns = causal || gen_chance(gen, 50) ? rows : dim_int(dims, 1 + gen_below(gen, 6));
    int q = gen_pick(gen, T_REAL, 2, NULL, true);
    if (q < 0 || gen->unit->tensors[gen->known.items[q].tensor].extent[0] != rows || gen->unit->tensors[gen->known.items[q].tensor].extent[1] != e)
        q = new_param(gen, 2, (Dim[]){rows, e});
    const int k = new_param(gen, 2, (Dim[]){columns, e}), v = new_param(gen, 2, (Dim[]){columns, c});
    Draft raw = draft_begin(gen, OP_NEST, REDUCE_SUM);
    int i = draft_index(&raw, rows, true), j = draft_index(&raw, columns, true), inner = draft_index(&raw, e, true);
    Sized left, right, s;
    (void)draft_read_at(&raw, q, (int[]){i, inner}, &left);
    (void)draft_read_at(&raw, k, (int[]){j, inner}, &right);
    const int raw_known = draft_finish(&raw, (Sized){expr_op(&raw.b, EXPR_MUL, left.expr, right.expr, -1), left.size * right.size}, 2, (int[]){i, j}, NULL);

    const Bias bias = gen_chance(gen, 50) ? (Bias)gen_below(gen, BIAS_COUNT) : BIAS_NONE;
    const int bias_known = new_bias(gen, bias, rows, columns), buckets = bias == BIAS_BUCKET ? new_buckets(gen, dim_add(dims, rows, columns)) : -1;
    Draft score = draft_begin(gen, OP_NEST, REDUCE_SET);
    int at[2] = {-1, -1};
    (void)draft_read_at(&score, raw_known, at, &s);
    s = biased(&score, s, bias, bias_known, buckets, at, columns);
    if (causal) {
        op_cond(&score.b, affine_sub(gen->program, affine_index(gen->program, at[0]), affine_index(gen->program, at[1])));
        score.misses = true;
    }
    if (gen_chance(gen, 40))
        s = draft_bounded(&score, draft_expr(&score, 1, &s, 1));
    const int score_known = draft_finish(&score, (Sized){expr_op(&score.b, EXPR_MUL, s.expr, number(&score, 0.7).expr, -1), s.size}, 2, at, NULL);

    Draft lse = draft_begin(gen, OP_NEST, REDUCE_LSE);
    int at2[2] = {-1, -1};
    (void)draft_read_at(&lse, score_known, at2, &s);
    const int lse_known = draft_finish(&lse, s, 1, at2, NULL);
    gen->known.items[lse_known].infinite = false; /* j = i is always there, and columns are at least one */

    Draft use = draft_begin(gen, OP_NEST, REDUCE_SUM);
    int at3[3] = {-1, -1, -1};
    Sized total, value;
    (void)draft_read_at(&use, score_known, at3, &s);
    (void)draft_read_at(&use, lse_known, at3, &total);
    int at4[2] = {at3[1], -1};
    (void)draft_read_at(&use, v, at4, &value);
    const int share = expr_op(&use.b, EXPR_EXP, expr_op(&use.b, EXPR_SUB, s.expr, total.expr, -1), -1, -1);
    (void)draft_finish(&use, (Sized){expr_op(&use.b, EXPR_MUL, share, value.expr, -1), 0.2}, 2, (int[]){at3[0], at4[1]}, NULL);

    const int chosen = gen_pick(gen, T_INT, 1, columns, true);
    if (chosen < 0 || causal || gen->unit->tensors[gen->known.items[chosen].tensor].extent[0] != rows)
        return;
    Draft pick = draft_begin(gen, OP_NEST, REDUCE_SET); /* raw and score have values everywhere here */
    const int row = draft_index(&pick, rows, true);
    Access access = access_new(gen->program, gen->known.items[score_known].tensor, 2);
    access.subs[0] = sub_index(gen->program, row);
    access.subs[1] = sub_read(gen->program, access_indices(gen->program, gen->known.items[chosen].tensor, 1, &row), 1);
    pick.misses = true;
    (void)draft_read_at(&pick, lse_known, (int[]){row}, &total);
    (void)draft_finish(&pick, (Sized){expr_op(&pick.b, EXPR_SUB, total.expr, expr_read(&pick.b, access), -1), 3}, 1, &row, NULL);
}

/* ---- calls ---- */

/* A new unit over tensors shaped like some of the caller's, called once or twice. */
static void pattern_call(Generator *gen)
{
    if (gen->depth > 0 || gen->options.no_calls)
        return;
    enum { ARGS_MAX = 3 };
    int args[ARGS_MAX], count = 0;
    for (int i = 0; i < ARGS_MAX; i++) {
        const int known = gen_pick(gen, i == 2 ? T_INT : T_REAL, -1, NULL, true);
        if (known >= 0)
            args[count++] = gen->known.items[known].tensor;
    }
    if (count == 0)
        return;
    Unit *callee = unit_new(gen->program, gen_name(gen, "unit"));
    Program *program = gen->program;
    program->units[program->unit_count - 1] = program->units[program->unit_count - 2]; /* callees stand before callers */
    program->units[program->unit_count - 2] = callee;
    Generator inner = {.program = program, .unit = callee, .state = gen_next(gen), .options = gen->options, .large = gen->large, .names = gen->names, .depth = 1};
    for (int i = 0; i < count; i++) {
        const Tensor like = gen->unit->tensors[args[i]];
        const int formal = unit_formal(callee, gen_name(&inner, "a"), like.type, i == 1 && like.type == T_REAL ? TENSOR_PARAM : TENSOR_INPUT, like.rank, like.extent, like.bound);
        (void)known_push(&inner, (Known){.tensor = formal, .size = 3, .partial = -1});
    }
    const int before = inner.known.count;
    gen_operations(&inner, 2 + gen_below(gen, 3));
    /* Parameters that its patterns made are formals too: the caller gives parameters of its own. */
    int *formals = ARENA_ARRAY(program->arena, int, callee->formal_count);
    for (int i = 0; i < callee->formal_count; i++) {
        const Tensor like = callee->tensors[callee->formals[i]];
        const int param = i < count ? -1 : new_param(gen, like.rank, like.extent);
        formals[i] = i < count ? args[i] : gen->known.items[param].tensor;
    }
    int outputs = 0, sources[2] = {0};
    for (int k = inner.known.count - 1; k >= before && outputs < 2; k--) {
        const Known *known = &inner.known.items[k];
        if (known->partial >= 0 || known->infinite || callee->tensors[known->tensor].role != TENSOR_LOCAL)
            continue;
        sources[outputs++] = k;
        (void)unit_output(callee, callee->tensors[known->tensor].name, OUTPUT_RESULT, known->tensor);
    }
    const int times = 1 + gen_chance(gen, 50);
    gen->names = inner.names;
    for (int t = 0; t < times && outputs > 0; t++) {
        OpBuilder b = op_begin(gen->unit, OP_CALL);
        b.op.callee = callee;
        b.op.path = gen_name(gen, "call");
        b.op.arg_count = callee->formal_count;
        b.op.args = formals;
        b.op.result_count = outputs;
        b.op.results = ARENA_ARRAY(program->arena, int, outputs);
        for (int k = 0; k < outputs; k++) {
            const Known known = inner.known.items[sources[k]];
            const Tensor like = callee->tensors[known.tensor];
            b.op.results[k] = unit_tensor(gen->unit, gen_name(gen, "r"), like.type, TENSOR_LOCAL, like.rank, like.extent, like.bound);
            (void)known_push(gen, (Known){.tensor = b.op.results[k], .size = known.size, .partial = -1});
        }
        (void)op_finish(&b);
    }
    vec_free(&inner.known);
}

/* ---- whole programs ---- */

void gen_operations(Generator *gen, int count)
{
    static void (*const patterns[])(Generator *) = {pattern_nest,     pattern_nest,     pattern_nest, pattern_nest, pattern_scatter, pattern_integers, pattern_recur, pattern_recur,
                                                    pattern_contract, pattern_contract, pattern_top,  pattern_rows, pattern_stream,  pattern_call,     pattern_top,   pattern_nest};
    const int wanted = gen->unit->op_count + count;
    for (int tries = 0; gen->unit->op_count < wanted && tries < 20 * count; tries++)
        patterns[gen_below(gen, (int)(sizeof patterns / sizeof *patterns))](gen);
}

static void add_formals(Generator *gen)
{
    for (int i = 0; i < 4; i++) {
        const int rank = i == 3 ? 1 : 1 + gen_below(gen, 3);
        Dim extents[3];
        int64_t elements = 1;
        for (int axis = 0; axis < rank; axis++) {
            extents[axis] = gen_extent(gen);
            if (i == 2 && !dim_is_static(extents[axis])) /* a parameter */
                extents[axis] = dim_int(gen->program->dims, 3);
            elements *= gen_large(gen, extents[axis]);
        }
        const Dim bound = i == 3 ? dim_int(gen->program->dims, 1 + gen_below(gen, 5)) : NULL;
        if (elements > ELEMENTS_MAX)
            continue;
        const int formal = unit_formal(gen->unit,
                                       gen_name(gen, bound    ? "choice"
                                                     : i == 2 ? "w"
                                                              : "x"),
                                       bound ? T_INT : T_REAL, i == 2 ? TENSOR_PARAM : TENSOR_INPUT, rank, extents, bound);
        (void)known_push(gen, (Known){.tensor = formal, .size = 1.5, .partial = -1});
    }
}

/* A sum over all of a tensor, with weights that differ from element to element. */
static int summed(Generator *gen, int known)
{
    Draft draft = draft_begin(gen, OP_NEST, REDUCE_SUM);
    int at[INDICES_MAX] = {-1, -1, -1, -1, -1};
    Sized value;
    if (!draft_read_at(&draft, known, at, &value))
        value = number(&draft, 1);
    OpBuilder *b = &draft.b;
    int weight = expr_const(b, 0.4);
    for (int i = 0; i < b->op.index_count; i++)
        weight = expr_op(b, EXPR_ADD, weight, expr_op(b, EXPR_MUL, expr_pos(b, i), expr_const(b, 0.3 + i), -1), -1);
    value.expr = expr_op(b, EXPR_MUL, value.expr, expr_op(b, EXPR_COS, weight, -1, -1), -1);
    const int sum = draft_finish(&draft, value, 0, NULL, NULL); /* moves the list of the known */
    return gen->known.items[sum].tensor;
}

static void add_outputs(Generator *gen)
{
    Unit *unit = gen->unit;
    VEC(int) reals = {0};
    for (int i = 0; i < gen->known.count; i++) {
        const Tensor *tensor = &unit->tensors[gen->known.items[i].tensor];
        if (tensor->type == T_REAL && (tensor->role == TENSOR_LOCAL || gen_chance(gen, 20)))
            vec_push(&reals, i);
    }
    const int results = gen->known.count;
    for (int i = 0; i < results; i++) {
        const Known known = gen->known.items[i];
        if (unit->tensors[known.tensor].role == TENSOR_LOCAL && (gen_chance(gen, 40) || i == results - 1))
            (void)unit_output(unit, unit->tensors[known.tensor].name, OUTPUT_RESULT, known.tensor);
    }
    Draft loss = draft_begin(gen, OP_NEST, REDUCE_SUM);
    enum { TERMS_MAX = 10 };
    int sums[TERMS_MAX], terms = 0;
    for (int i = reals.count - 1; i >= 0 && terms < TERMS_MAX; i--) /* the last ones first: the others are mostly read by them */
        if (i == reals.count - 1 || gen_chance(gen, 60))
            sums[terms++] = summed(gen, reals.items[i]);
    int body = expr_const(&loss.b, 0);
    for (int i = 0; i < terms; i++)
        body = expr_op(&loss.b, EXPR_ADD, body, expr_read(&loss.b, access_new(gen->program, sums[i], 0)), -1);
    const int total = draft_finish(&loss, (Sized){body, 1}, 0, NULL, NULL);
    (void)unit_output(unit, intern(gen->program->interner, "loss"), OUTPUT_LOSS, gen->known.items[total].tensor);
    if (terms > 0 && gen_chance(gen, 40)) {
        const int metric = unit_output(unit, intern(gen->program->interner, "metric"), OUTPUT_METRIC, sums[0]); /* outputs may move */
        unit->outputs[metric].merge = MERGE_MEAN;
    }
    vec_free(&reals);
}

Program *random_program(Arena *arena, Interner *interner, uint64_t seed, RandomOptions options)
{
    Program *program = program_new(arena, interner);
    Unit *main = unit_new(program, intern(interner, "main"));
    Generator gen = {.program = program, .unit = main, .state = seed * 2 + 1, .options = options, .large = {.value = {3, 6, 5}}};
    for (int s = DIM_S0; s < DIM_SYMBOLS; s++)
        gen.large.value[s] = 1;
    add_formals(&gen);
    gen_operations(&gen, options.operations > 0 ? options.operations : 8);
    add_outputs(&gen);
    program->main = main;
    vec_free(&gen.known);
    return program;
}
