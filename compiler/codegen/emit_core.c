#include "codegen/emit.h"

V emit_i64(Emit *e, int64_t value) { return LLVMConstInt(e->i64, (unsigned long long)value, 1); }

V emit_ref(Emit *e, DimRef ref)
{
    if (ref.slot == SLOT_CONST)
        return emit_i64(e, ref.value);
    if (ref.slot == SLOT_LD)
        return e->ld;
    return e->slots[ref.slot];
}

LLVMTypeRef emit_lanes_type(Emit *e, LLVMTypeRef element) { return LLVMVectorType(element, (unsigned)e->width); }

V emit_splat(Emit *e, V scalar)
{
    LLVMTypeRef type = emit_lanes_type(e, LLVMTypeOf(scalar));
    V first = LLVMBuildInsertElement(e->builder, LLVMGetPoison(type), scalar, LLVMConstInt(e->i32, 0, 0), "");
    return LLVMBuildShuffleVector(e->builder, first, LLVMGetPoison(type), LLVMConstNull(emit_lanes_type(e, e->i32)), "");
}

V emit_lane_numbers(Emit *e, unsigned bits)
{
    V lanes[64];
    for (int i = 0; i < e->width; i++)
        lanes[i] = LLVMConstInt(LLVMIntTypeInContext(e->context, bits), (unsigned long long)i, 0);
    return LLVMConstVector(lanes, (unsigned)e->width);
}

V emit_and(Emit *e, V a, V b)
{
    if (!a || !b)
        return a ? a : b;
    return LLVMBuildAnd(e->builder, a, b, "");
}

static V minmax(Emit *e, LLVMIntPredicate predicate, V a, V b) { return LLVMBuildSelect(e->builder, LLVMBuildICmp(e->builder, predicate, a, b, ""), a, b, ""); }

V emit_min(Emit *e, V a, V b) { return minmax(e, LLVMIntSLT, a, b); }
V emit_max(Emit *e, V a, V b) { return minmax(e, LLVMIntSGT, a, b); }

V emit_affine(Emit *e, const FormAffine *affine, int without)
{
    V sum = emit_ref(e, affine->base);
    for (int i = 0; i < affine->count; i++)
        if (affine->terms[i].index != without) {
            V term = LLVMBuildMul(e->builder, emit_ref(e, affine->terms[i].coef), e->index[affine->terms[i].index], "");
            sum = LLVMBuildAdd(e->builder, sum, term, "");
        }
    return sum;
}

V emit_load_entry(Emit *e, LLVMTypeRef type, V array, int64_t position)
{
    V at = emit_i64(e, position);
    return LLVMBuildLoad2(e->builder, type, LLVMBuildGEP2(e->builder, type, array, &at, 1, ""), "");
}

/* In the entry block, so that it is allocated once and becomes a register. */
V emit_alloca(Emit *e, LLVMTypeRef type)
{
    LLVMBuilderRef builder = LLVMCreateBuilderInContext(e->context);
    LLVMValueRef first = LLVMGetFirstInstruction(e->entry);
    if (first)
        LLVMPositionBuilderBefore(builder, first);
    else
        LLVMPositionBuilderAtEnd(builder, e->entry);
    V slot = LLVMBuildAlloca(builder, type, "");
    LLVMDisposeBuilder(builder);
    return slot;
}

LLVMBasicBlockRef emit_block(Emit *e) { return LLVMAppendBasicBlockInContext(e->context, e->function, ""); }

/* for (value = from; value < to; value += step); the builder is left in the body. */
Loop loop_begin(Emit *e, V from, V to, V step)
{
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->builder);
    LLVMBasicBlockRef head = emit_block(e);
    Loop loop = {.body = emit_block(e), .next = emit_block(e), .after = emit_block(e)};
    LLVMBuildBr(e->builder, head);
    LLVMPositionBuilderAtEnd(e->builder, head);
    loop.value = LLVMBuildPhi(e->builder, e->i64, "");
    LLVMBuildCondBr(e->builder, LLVMBuildICmp(e->builder, LLVMIntSLT, loop.value, to, ""), loop.body, loop.after);
    LLVMPositionBuilderAtEnd(e->builder, loop.next);
    V bumped = LLVMBuildAdd(e->builder, loop.value, step, "");
    LLVMBuildBr(e->builder, head);
    LLVMAddIncoming(loop.value, (V[]){from, bumped}, (LLVMBasicBlockRef[]){before, loop.next}, 2);
    LLVMPositionBuilderAtEnd(e->builder, loop.body);
    return loop;
}

void loop_end(Emit *e, Loop *loop)
{
    LLVMBuildBr(e->builder, loop->next);
    LLVMMoveBasicBlockAfter(loop->next, LLVMGetInsertBlock(e->builder));
    LLVMMoveBasicBlockAfter(loop->after, loop->next);
    LLVMPositionBuilderAtEnd(e->builder, loop->after);
}

/* ---- scopes ---------------------------------------------------------------------------------------------------------------------- */

Scope scope_enter(Emit *e)
{
    const KernelForm *form = e->form;
    Scope scope = {e->live, e->mask, e->lanes, e->skip, e->access, e->expr};
    e->access = arena_memdup(e->arena, scope.access, (size_t)form->access_count * sizeof *scope.access);
    e->expr = arena_memdup(e->arena, scope.expr, (size_t)form->expr_count * sizeof *scope.expr);
    for (int i = 0; i < form->access_count; i++) {
        size_t size = (size_t)form->accesses[i].count * sizeof(V);
        e->access[i].sub = arena_memdup(e->arena, scope.access[i].sub, size);
        e->access[i].sub_step = arena_memdup(e->arena, scope.access[i].sub_step, size);
    }
    return scope;
}

void scope_leave(Emit *e, const Scope *scope)
{
    e->live = scope->live;
    e->mask = scope->mask;
    e->lanes = scope->lanes;
    e->skip = scope->skip;
    e->access = scope->access;
    e->expr = scope->expr;
}
