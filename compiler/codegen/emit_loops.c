#include "codegen/emit.h"

/* ---- entering a depth -------------------------------------------------------------------------------------------------------------- */

/* What is not live goes on with the next point, where that is allowed. */
static void gate(Emit *e)
{
    if (!e->skip || !e->live)
        return;
    LLVMBasicBlockRef on = emit_block(e);
    LLVMBuildCondBr(e->builder, e->live, on, e->skip);
    LLVMPositionBuilderAtEnd(e->builder, on);
    e->live = NULL;
}

static void test_cond(Emit *e, int cond)
{
    const FormAffine *affine = &e->form->conds[cond];
    V value = emit_affine(e, affine, -1);
    if (!e->cond_vector[cond]) {
        e->live = emit_and(e, e->live, LLVMBuildICmp(e->builder, LLVMIntSGE, value, emit_i64(e, 0), ""));
        return;
    }
    V step = NULL;
    for (int i = 0; i < affine->count; i++)
        if (affine->terms[i].index == e->form->vector)
            step = emit_ref(e, affine->terms[i].coef);
    V steps = LLVMBuildMul(e->builder, emit_lane_numbers(e, 64), emit_splat(e, step), "");
    V values = LLVMBuildAdd(e->builder, emit_splat(e, value), steps, "");
    e->mask = emit_and(e, e->mask, LLVMBuildICmp(e->builder, LLVMIntSGE, values, LLVMConstNull(LLVMTypeOf(values)), ""));
}

static void test_guard(Emit *e, int guard)
{
    Value value = e->expr[guard];
    if (value.vector)
        e->mask = emit_and(e, e->mask, value_logical(e, value, true));
    else
        e->live = emit_and(e, e->live, value_logical(e, value, false));
}

void emit_enter(Emit *e, int depth)
{
    const KernelForm *form = e->form;
    for (int i = 0; i < form->access_count; i++)
        access_advance(e, i, depth);
    for (int i = 0; i < form->cond_count; i++)
        if (e->cond_depth[i] == depth && e->cond_bound[i] < 0)
            test_cond(e, i);
    gate(e);
    for (int i = 0; i < form->expr_count; i++)
        if (e->expr_depth[i] == depth && e->guarding[i])
            emit_expr(e, i);
    for (int i = 0; i < form->guard_count; i++)
        if (e->expr_depth[form->guards[i]] == depth)
            test_guard(e, form->guards[i]);
    gate(e);
    for (int i = 0; i < form->expr_count; i++)
        if (e->expr_depth[i] == depth && !e->guarding[i])
            emit_expr(e, i);
}

/* ---- loops ------------------------------------------------------------------------------------------------------------------------- */

/* One pass of the body for every `width` values of the vector index in [from, to); of the last, only some lanes exist. */
static void masked_loop(Emit *e, V from, V to, EmitBody *body, int position, bool skippable)
{
    int vector = e->form->vector;
    V width = emit_i64(e, e->width);
    Loop loop = loop_begin(e, from, to, width);
    Scope scope = scope_enter(e);
    e->index[vector] = loop.value;
    V left = LLVMBuildTrunc(e->builder, emit_min(e, LLVMBuildSub(e->builder, to, loop.value, ""), width), e->i32, "");
    e->lanes = LLVMBuildICmp(e->builder, LLVMIntULT, emit_lane_numbers(e, 32), emit_splat(e, left), "");
    if (skippable)
        e->skip = loop.next;
    emit_enter(e, e->depth[vector]);
    body(e, position);
    scope_leave(e, &scope);
    loop_end(e, &loop);
}

void vector_loop(Emit *e, V from, V to, EmitBody *body, int position, bool skippable)
{
    if (e->masked_loops) {
        masked_loop(e, from, to, body, position, skippable);
        return;
    }
    int vector = e->form->vector;
    V count = emit_max(e, LLVMBuildSub(e->builder, to, from, ""), emit_i64(e, 0));
    V whole = LLVMBuildAdd(e->builder, from, LLVMBuildAnd(e->builder, count, emit_i64(e, -(int64_t)e->width), ""), "");
    Loop loop = loop_begin(e, from, whole, emit_i64(e, e->width));
    Scope scope = scope_enter(e);
    e->index[vector] = loop.value;
    e->lanes = NULL;
    if (skippable)
        e->skip = loop.next;
    emit_enter(e, e->depth[vector]);
    body(e, position);
    scope_leave(e, &scope);
    loop_end(e, &loop);
    masked_loop(e, whole, to, body, position, skippable);
}

/* The loop of one inner index, cut by the conditions that bound it. */
void inner_bounds(Emit *e, int index, V *from, V *to)
{
    const KernelForm *form = e->form;
    for (int i = 0; i < form->cond_count; i++) {
        if (e->cond_bound[i] != index)
            continue;
        V rest = emit_affine(e, &form->conds[i], index);
        for (int t = 0; t < form->conds[i].count; t++) {
            if (form->conds[i].terms[t].index != index)
                continue;
            if (form->conds[i].terms[t].coef.value > 0)
                *from = emit_max(e, *from, LLVMBuildNeg(e->builder, rest, ""));
            else
                *to = emit_min(e, *to, LLVMBuildAdd(e->builder, rest, emit_i64(e, 1), ""));
        }
    }
}

void inner_loops(Emit *e, int position, EmitBody *body)
{
    const KernelForm *form = e->form;
    if (position == form->inner_count) {
        body(e, 0);
        return;
    }
    int index = form->inner[position];
    V from = emit_i64(e, 0), to = emit_ref(e, form->extents[index]);
    inner_bounds(e, index, &from, &to);
    if (index == form->vector) {
        vector_loop(e, from, to, body, 0, true);
        return;
    }
    Loop loop = loop_begin(e, from, to, emit_i64(e, 1));
    Scope scope = scope_enter(e);
    e->index[index] = loop.value;
    e->skip = loop.next;
    emit_enter(e, e->depth[index]);
    inner_loops(e, position + 1, body);
    scope_leave(e, &scope);
    loop_end(e, &loop);
}
