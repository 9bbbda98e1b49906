/* What a mean is the mean of: for a loss that is a mean over rows and positions, its value at each point and which points there are, as outputs.
   requires   a verified program, as lowering makes it
   preserves  outputs and their positions; two follow them
   breaks     nothing */
#include "opt/opt.h"

/* The sum that the loss divides, and the count that it divides by (-1: a size). */
typedef struct Mean {
    int sum, count;
} Mean;

/* The definition of what expression `id` of `op` reads; -1 where it is no plain read of a number. */
static int read_def(const Unit *unit, const Op *op, int id)
{
    const Expr *expr = &op->exprs[id];
    return expr->kind == EXPR_READ && expr->access.count == 0 ? unit->tensors[expr->access.tensor].def : -1;
}

static int count_def(const Unit *unit, const Op *op, int id)
{
    const Expr *expr = &op->exprs[id];
    if (expr->kind != EXPR_MAX)
        return -1;
    const int left = read_def(unit, op, expr->arg[0]);
    return left >= 0 ? left : read_def(unit, op, expr->arg[1]);
}

/* Positions of b and l among the indices of a sum over these two and nothing else. */
static bool over_rows_and_positions(const Unit *unit, int def, int at[2])
{
    const Op *op = &unit->ops[def];
    if (op->kind != OP_NEST || op->reducer != REDUCE_SUM || op->index_count != 2 || op->group != 0)
        return false;
    const Dim b = dim_symbol(unit->program->dims, DIM_B), l = dim_symbol(unit->program->dims, DIM_L);
    at[0] = op->indices[0].extent == b ? 0 : 1;
    at[1] = 1 - at[0];
    return op->indices[at[0]].extent == b && op->indices[at[1]].extent == l;
}

static bool mean_of(const Unit *unit, int tensor, Mean *mean)
{
    const int def = unit->tensors[tensor].def;
    const Op *op = def >= 0 ? &unit->ops[def] : NULL;
    int at[2];
    if (!op || op->kind != OP_NEST || op->reducer != REDUCE_SET || op->index_count != 0 || op->exprs[op->body].kind != EXPR_DIV)
        return false;
    const Expr *quotient = &op->exprs[op->body];
    *mean = (Mean){read_def(unit, op, quotient->arg[0]), count_def(unit, op, quotient->arg[1])};
    return mean->sum >= 0 && over_rows_and_positions(unit, mean->sum, at) && (mean->count < 0 || over_rows_and_positions(unit, mean->count, at));
}

/* The summands of the sum `def` as a tensor [b, l], 0 where there are none; `ones`: 1 in place of each. */
static int summands(Unit *unit, int def, bool ones, Symbol name)
{
    const Op *op = &unit->ops[def];
    Program *program = unit->program;
    const Dim extent[2] = {dim_symbol(program->dims, DIM_B), dim_symbol(program->dims, DIM_L)};
    int at[2];
    (void)over_rows_and_positions(unit, def, at);
    OpBuilder builder = op_begin(unit, OP_NEST);
    builder.op.reducer = REDUCE_SUM;
    builder.op.span = op->span;
    const int map[2] = {op_index(&builder, op->indices[0].name, op->indices[0].extent), op_index(&builder, op->indices[1].name, op->indices[1].extent)};
    int *memo = ARENA_ARRAY(program->arena, int, op->expr_count);
    for (int i = 0; i < op->expr_count; i++)
        memo[i] = -1;
    for (int i = 0; i < op->cond_count; i++)
        op_cond(&builder, op->conds[i]);
    for (int i = 0; i < op->guard_count; i++)
        op_guard(&builder, expr_copy(&builder, op, op->guards[i], map, NULL, memo));
    builder.op.body = ones ? expr_const(&builder, 1) : expr_copy(&builder, op, op->body, map, NULL, memo);
    const int tensor = unit_tensor(unit, name, T_REAL, TENSOR_LOCAL, 2, extent, NULL);
    builder.op.out = access_indices(program, tensor, 2, at);
    (void)op_finish(&builder);
    return tensor;
}

/* The call of main that gives a tensor, and as which result. */
static Op *call_of(Unit *main, int tensor, int *result)
{
    const int def = main->tensors[tensor].def;
    Op *op = def >= 0 && main->ops[def].kind == OP_CALL ? &main->ops[def] : NULL;
    for (int r = 0; op && r < op->result_count; r++)
        if (op->results[r] == tensor) {
            *result = r;
            return op;
        }
    return NULL;
}

/* Every call of the unit has as many results as the unit outputs; the new ones are not wanted. */
static void calls_grow(Program *program, const Unit *callee)
{
    for (int u = 0; u < program->unit_count; u++)
        for (int i = 0; i < program->units[u]->op_count; i++) {
            Op *op = &program->units[u]->ops[i];
            if (op->kind != OP_CALL || op->callee != callee)
                continue;
            int *results = ARENA_ARRAY(program->arena, int, callee->output_count);
            for (int r = 0; r < callee->output_count; r++)
                results[r] = r < op->result_count ? op->results[r] : -1;
            op->results = results;
            op->result_count = callee->output_count;
        }
}

/* A result of the call as an output of main. */
static int lift(Unit *main, Op *call, int result, int def)
{
    const Unit *callee = call->callee;
    const Tensor *like = &callee->tensors[callee->outputs[result].tensor];
    call->results[result] = unit_tensor(main, like->name, T_REAL, TENSOR_LOCAL, like->rank, like->extent, NULL);
    main->tensors[call->results[result]].def = def;
    return unit_output(main, like->name, OUTPUT_METRIC, call->results[result]);
}

bool opt_mean_terms(Program *program, int loss, int *terms, int *points)
{
    Unit *main = program->main;
    int result = 0;
    Mean mean;
    const int tensor = main->outputs[loss].tensor;
    Op *call = call_of(main, tensor, &result);
    if (!call || !mean_of(call->callee, call->callee->outputs[result].tensor, &mean))
        return false;
    Unit *callee = call->callee;
    const int value = summands(callee, mean.sum, false, intern(program->interner, "terms"));
    const int point = summands(callee, mean.count >= 0 ? mean.count : mean.sum, true, intern(program->interner, "points"));
    const int first = unit_output(callee, callee->tensors[value].name, OUTPUT_METRIC, value);
    (void)unit_output(callee, callee->tensors[point].name, OUTPUT_METRIC, point);
    calls_grow(program, callee);
    *terms = lift(main, call, first, main->tensors[tensor].def);
    *points = lift(main, call, first + 1, main->tensors[tensor].def);
    return true;
}
