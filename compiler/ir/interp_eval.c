/* The values of an operation's expressions at the points of a chunk: each node is one loop over the chunk. */
#include "ir/interp_internal.h"

#include "support/bug.h"
#include "bfm/philox.h"

#include <math.h>
#include <string.h>

static void eval_read(const BoundExpr *expr, int count, double *values)
{
    const Value *value = expr->access->value;
    const int64_t *offset = expr->access->offset;
    if (value->count == 0) {
        for (int i = 0; i < count; i++)
            values[i] = NAN;
    } else if (value->integer) {
        for (int i = 0; i < count; i++)
            values[i] = value->integer[offset[i]] < 0 ? NAN : (double)value->integer[offset[i]];
    } else {
        for (int i = 0; i < count; i++)
            values[i] = value->real[offset[i]];
    }
}

static void eval_draw(const BoundOp *bound, const BoundExpr *expr, int count, double *values)
{
    const InterpContext *context = bound->run->context;
    const uint64_t key = bfm_philox_key(context->seed, expr->key);
    for (int i = 0; i < count; i++) {
        uint32_t words[4];
        bfm_philox_words(key, context->step, (uint64_t)expr->access->offset[i], words);
        values[i] = context->precision == INTERP_F32 ? (double)bfm_philox_unit_f32(words[0]) : bfm_philox_unit(words[0], words[1]);
    }
}

static void fill(double *values, int from, int count, double value)
{
    for (int i = from; i < count; i++)
        values[i] = value;
}

#define A a[i]
#define B b[i]
#define C c[i]

/* All operators: one loop per row of the table. */
static void eval_operator(ExprKind kind, const double *a, const double *b, const double *c, int count, double *values)
{
    switch (kind) {
#define SCALAR(name, text, arity, flops, value, use, code, eval, da, db, dc)                                                                                                       \
    case EXPR_##name:                                                                                                                                                              \
        for (int i = 0; i < count; i++)                                                                                                                                            \
            values[i] = eval;                                                                                                                                                      \
        return;
#include "bfm/scalars.def"
#undef SCALAR
    case EXPR_COUNT: break;
    }
    BFM_BUG("scalar kind %d", (int)kind);
}

#undef A
#undef B
#undef C

static void eval_stop(StopTape *stops, int count, double *values)
{
    for (int i = 0; i < count && !stops->frozen; i++)
        vec_push(&stops->values, values[i]);
    for (int i = 0; i < count && stops->frozen; i++) {
        BFM_ASSERT(stops->taken < stops->values.count);
        values[i] = stops->values.items[stops->taken++];
    }
}

static void eval_node(BoundOp *bound, int id, int count)
{
    const Expr *expr = &bound->op->exprs[id];
    BoundExpr *node = &bound->exprs[id];
    double *values = node->values;
    if (expr->kind == EXPR_CONST) {
        fill(values, 0, count, expr->value);
    } else if (expr->kind == EXPR_DIM) {
        fill(values, 0, count, (double)dim_eval(expr->dim, &bound->run->context->env));
    } else if (expr->kind == EXPR_POS) {
        int64_t positions[CHUNK];
        affine_values(&node->position, &bound->chunk, positions);
        for (int i = 0; i < count; i++)
            values[i] = (double)positions[i];
    } else if (expr->kind == EXPR_READ) {
        eval_read(node, count, values);
    } else if (expr->kind == EXPR_DRAW) {
        eval_draw(bound, node, count, values);
    } else {
        const double *args[3] = {values, values, values};
        for (int i = 0; i < scalar_arity(expr->kind); i++)
            args[i] = bound->exprs[expr->arg[i]].values;
        if (expr->kind == EXPR_FMA && bound->run->context->precision == INTERP_F32) /* rounding the double fma again would round twice */
            for (int i = 0; i < count; i++)
                values[i] = (double)fmaf((float)args[0][i], (float)args[1][i], (float)args[2][i]);
        else
            eval_operator(expr->kind, args[0], args[1], args[2], count, values);
        if (expr->kind == EXPR_STOP && bound->run->context->stops)
            eval_stop(bound->run->context->stops, count, values);
    }
    if (bound->run->context->precision == INTERP_F32)
        for (int i = 0; i < count; i++)
            values[i] = (double)(float)values[i];
}

void chunk_eval(BoundOp *bound)
{
    const Op *op = bound->op;
    Chunk *chunk = &bound->chunk;
    memcpy(chunk->alive, chunk->inside, (size_t)chunk->count);
    for (int id = 0; id < op->expr_count && !bound->run->error; id++)
        if (bound->exprs[id].used && bound->exprs[id].access)
            access_offsets(bound, bound->exprs[id].access, true);
    if (!bound->run->error)
        access_offsets(bound, &bound->out, op->kind != OP_RECUR);
    if (!bound->run->error && bound->init)
        access_offsets(bound, bound->init, false);
    if (bound->run->error)
        return;
    for (int id = 0; id < op->expr_count; id++) {
        if (!bound->exprs[id].used)
            continue;
        const bool once = chunk->runs == 1 && !bound->exprs[id].varies;
        eval_node(bound, id, once ? 1 : chunk->count);
        if (once)
            fill(bound->exprs[id].values, 1, chunk->count, bound->exprs[id].values[0]);
    }
    for (int g = 0; g < op->guard_count; g++)
        for (int i = 0; i < chunk->count; i++)
            chunk->alive[i] = chunk->alive[i] && bound->exprs[op->guards[g]].values[i] != 0;
}
