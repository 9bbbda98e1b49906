/* Which tensors depend, with a derivative, on the wanted formals. */
#include "grad/internal.h"

#include <string.h>

void activity_flow(const Op *op, ReadFilter from, void *user, bool *flows)
{
    for (int id = 0; id < op->expr_count; id++) {
        const Expr *expr = &op->exprs[id];
        flows[id] = expr->kind == EXPR_READ && from(user, id);
        for (int k = 0; k < scalar_arity(expr->kind); k++)
            if (scalar_differentiable(expr->kind, k) && flows[expr->arg[k]])
                flows[id] = true;
    }
}

typedef struct VariedReads {
    const Op *op;
    const bool *varied;
} VariedReads;

static bool reads_varied(void *user, int id)
{
    const VariedReads *reads = user;
    return reads->varied[reads->op->exprs[id].access.tensor];
}

static bool op_varied(const Unit *unit, const Op *op, const bool *varied)
{
    if (unit->tensors[op->out.tensor].type != T_REAL || op->kind == OP_TOP)
        return false;
    VariedReads reads = {op, varied};
    bool *flows = ARENA_ARRAY(unit->program->arena, bool, op->expr_count + 1);
    activity_flow(op, reads_varied, &reads, flows);
    if (op->body >= 0 && flows[op->body])
        return true;
    if (op->kind != OP_RECUR)
        return false;
    return (op->body2 >= 0 && flows[op->body2]) || (op->init.tensor >= 0 && varied[op->init.tensor]);
}

static void call_varied(const Unit *unit, const Op *op, bool *varied)
{
    const Unit *callee = op->callee;
    bool *inner = ARENA_ARRAY(unit->program->arena, bool, callee->tensor_count + 1);
    for (int f = 0; f < callee->formal_count; f++)
        inner[callee->formals[f]] = varied[op->args[f]] && callee->tensors[callee->formals[f]].type == T_REAL;
    activity_mark(callee, inner);
    for (int r = 0; r < op->result_count; r++)
        if (op->results[r] >= 0)
            varied[op->results[r]] = inner[callee->outputs[r].tensor];
}

void activity_mark(const Unit *unit, bool *varied)
{
    for (int i = 0; i < unit->op_count; i++) {
        const Op *op = &unit->ops[i];
        if (op->kind == OP_CALL)
            call_varied(unit, op, varied);
        else
            varied[op->out.tensor] = op_varied(unit, op, varied);
    }
}
