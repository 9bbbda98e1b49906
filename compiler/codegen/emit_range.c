#include "codegen/emit.h"

/* The greatest value that the condition's terms other than the column's take over the block of rows. */
static V greatest_rest(Emit *e, const FormAffine *cond, V first, V last)
{
    V rest = emit_ref(e, cond->base);
    for (int i = 0; i < cond->count; i++) {
        int index = cond->terms[i].index;
        if (index == e->form->col)
            continue;
        V coef = emit_ref(e, cond->terms[i].coef);
        V term = LLVMBuildMul(e->builder, coef, index == e->form->row ? first : e->index[index], "");
        if (index == e->form->row)
            term = emit_max(e, term, LLVMBuildMul(e->builder, coef, last, ""));
        rest = LLVMBuildAdd(e->builder, rest, term, "");
    }
    return rest;
}

static int64_t column_coef(const KernelForm *form, const FormAffine *cond, bool *known)
{
    *known = true;
    for (int i = 0; i < cond->count; i++)
        if (cond->terms[i].index == form->col) {
            *known = dim_ref_is(cond->terms[i].coef, 1) || dim_ref_is(cond->terms[i].coef, -1);
            return cond->terms[i].coef.value;
        }
    return 0;
}

/* Of each condition, what it leaves to at least one of the rows: col >= -rest, or col <= rest, or all if rest >= 0. */
void emit_range(Emit *e)
{
    const KernelForm *form = e->form;
    V outer = LLVMGetParam(e->function, 1), first = LLVMGetParam(e->function, 2), range = LLVMGetParam(e->function, 4);
    V last = LLVMBuildSub(e->builder, LLVMBuildAdd(e->builder, first, LLVMGetParam(e->function, 3), ""), emit_i64(e, 1), "");
    for (int i = 0; i < form->parallel_count; i++)
        e->index[form->parallel[i]] = emit_load_entry(e, e->i64, outer, i);
    V from = emit_i64(e, 0), to = emit_ref(e, form->extents[form->col]);
    for (int i = 0; i < form->cond_count; i++) {
        bool known;
        int64_t coef = column_coef(form, &form->conds[i], &known);
        if (!known)
            continue;
        V rest = greatest_rest(e, &form->conds[i], first, last);
        if (coef > 0)
            from = emit_max(e, from, LLVMBuildNeg(e->builder, rest, ""));
        else if (coef < 0)
            to = emit_min(e, to, LLVMBuildAdd(e->builder, rest, emit_i64(e, 1), ""));
        else
            to = LLVMBuildSelect(e->builder, LLVMBuildICmp(e->builder, LLVMIntSLT, rest, emit_i64(e, 0), ""), emit_i64(e, 0), to, "");
    }
    LLVMBuildStore(e->builder, from, range);
    V one = emit_i64(e, 1);
    LLVMBuildStore(e->builder, to, LLVMBuildGEP2(e->builder, e->i64, range, &one, 1, ""));
    LLVMBuildRetVoid(e->builder);
}
