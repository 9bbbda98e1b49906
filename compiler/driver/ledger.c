/* Costs, counted on the program. Points of an operation are those of its box that its conditions leave; a parameter is met by a token as often as the
   operations that read it have points for a token: all of a matrix, k of a stack of matrices of which k are read through an integer. */
#include "driver/ledger.h"

#include "support/bug.h"

#include <math.h>

enum { COUNT_LIMIT = 1 << 24 }; /* points enumerated for conditions; beyond, the box is taken */

/* ---- points ---- */

static double affine_value(const Affine *affine, const int64_t *index, const DimEnv *env)
{
    double value = (double)dim_eval(affine->base, env);
    for (int i = 0; i < affine->count; i++)
        value += (double)dim_eval(affine->terms[i].coef, env) * (double)index[affine->terms[i].index];
    return value;
}

/* The share of the box that the conditions leave, by enumeration of the indices that occur in them. */
static double kept_share(const Op *op, const DimEnv *env)
{
    bool used[64] = {false};
    double box = 1;
    BFM_ASSERT(op->index_count <= 64);
    for (int c = 0; c < op->cond_count; c++)
        for (int t = 0; t < op->conds[c].count; t++)
            used[op->conds[c].terms[t].index] = true;
    int64_t extent[64], index[64] = {0};
    for (int i = 0; i < op->index_count; i++) {
        extent[i] = used[i] ? dim_eval(op->indices[i].extent, env) : 1;
        box *= (double)extent[i];
    }
    if (op->cond_count == 0 || box < 1 || box > COUNT_LIMIT)
        return 1;
    int64_t kept = 0;
    for (int k = 0; k >= 0;) {
        bool inside = true;
        for (int c = 0; c < op->cond_count && inside; c++)
            inside = affine_value(&op->conds[c], index, env) >= 0;
        kept += inside;
        for (k = op->index_count - 1; k >= 0 && ++index[k] == extent[k]; k--)
            index[k] = 0;
    }
    return (double)kept / box;
}

static double op_points(const Op *op, const DimEnv *env)
{
    double points = kept_share(op, env);
    for (int i = 0; i < op->index_count; i++)
        points *= (double)dim_eval(op->indices[i].extent, env);
    return points;
}

/* ---- operations ---- */

static double op_flops(const Op *op)
{
    double flops = op->kind == OP_RECUR ? 2 : op->kind == OP_NEST && op->reducer != REDUCE_SET ? 1 : 0;
    for (int e = 0; e < op->expr_count; e++)
        flops += scalar_flops(op->exprs[e].kind);
    return flops;
}

typedef struct Counter {
    const DimEnv *env;
    double tokens;
    double flops, products;
    double *met;  /* [formal]: elements that one token meets */
} Counter;

static void count_reads(const Unit *unit, const Access *access, double per_token, Counter *counter)
{
    for (int f = 0; access->tensor >= 0 && f < unit->formal_count; f++)
        if (unit->formals[f] == access->tensor && per_token > counter->met[f])
            counter->met[f] = per_token;
}

static void unit_count(const Unit *unit, Counter *counter);

static void call_count(const Unit *unit, const Op *op, Counter *counter)
{
    double *met = ARENA_ARRAY(unit->program->arena, double, op->callee->formal_count + 1);
    Counter inner = {.env = counter->env, .tokens = counter->tokens, .met = met};
    unit_count(op->callee, &inner);
    counter->flops += inner.flops;
    counter->products += inner.products;
    for (int a = 0; a < op->arg_count; a++)
        for (int f = 0; f < unit->formal_count; f++)
            if (unit->formals[f] == op->args[a] && met[a] > counter->met[f])
                counter->met[f] = met[a];
}

static void unit_count(const Unit *unit, Counter *counter)
{
    for (int o = 0; o < unit->op_count; o++) {
        const Op *op = &unit->ops[o];
        if (op->kind == OP_CALL) {
            call_count(unit, op, counter);
            continue;
        }
        const double points = op_points(op, counter->env);
        counter->flops += points * op_flops(op);
        if (op->kind == OP_NEST && op->reducer == REDUCE_SUM && op->exprs[op->body].kind == EXPR_MUL)
            counter->products += 2 * points;
        for (int e = 0; e < op->expr_count; e++)
            if (op->exprs[e].kind == EXPR_READ)
                count_reads(unit, &op->exprs[e].access, points / counter->tokens, counter);
    }
}

/* ---- the model ---- */

static int64_t formal_elements(const Binding *binding)
{
    int64_t elements = 1;
    for (int i = 0; i < binding->plain_rank; i++)
        elements *= binding->plain_extent[i];
    return elements;
}

static Symbol row_definition(const Lowered *lowered, int op)
{
    for (int i = 0; i < lowered->line_count; i++)
        if (lowered->lines[i].call == op)
            return lowered->lines[i].definition;
    return NULL;
}

static LedgerRow call_row(const Lowered *lowered, int number, const DimEnv *env, double tokens, double *met, bool *seen)
{
    const Unit *unit = lowered->program->main;
    const Op *op = &unit->ops[number];
    double *own = ARENA_ARRAY(lowered->program->arena, double, unit->formal_count + 1);
    Counter counter = {.env = env, .tokens = tokens, .met = own};
    LedgerRow row = {.path = op->path, .definition = row_definition(lowered, number)};
    call_count(unit, op, &counter);
    row.flops = counter.flops;
    row.products = counter.products;
    for (int f = 0; f < unit->formal_count; f++) {
        const Binding *binding = &lowered->program->bindings[f];
        bool argument = false;
        for (int a = 0; a < op->arg_count; a++)
            argument = argument || op->args[a] == unit->formals[f];
        if (binding->role != TENSOR_PARAM || !argument)
            continue;
        const double elements = (double)formal_elements(binding), here = fmin(elements, own[f]);
        row.activated += here;
        row.parameters += seen[f] ? 0 : formal_elements(binding);
        seen[f] = true;
        met[f] = fmax(met[f], here);
    }
    return row;
}

Ledger ledger_count(const Lowered *lowered, int64_t batch, int64_t length)
{
    const Unit *unit = lowered->program->main;
    Arena *arena = lowered->program->arena;
    DimEnv env = {.value = {[DIM_B] = batch, [DIM_L] = length, [DIM_P] = length - 1}};
    double *met = ARENA_ARRAY(arena, double, unit->formal_count + 1);
    bool *seen = ARENA_ARRAY(arena, bool, unit->formal_count + 1);
    Ledger ledger = {.rows = ARENA_ARRAY(arena, LedgerRow, unit->op_count + 1)};
    for (int o = 0; o < unit->op_count; o++) {
        if (unit->ops[o].kind != OP_CALL)
            continue;
        LedgerRow *row = &ledger.rows[ledger.row_count++];
        *row = call_row(lowered, o, &env, (double)batch * (double)length, met, seen);
        ledger.flops += row->flops;
        ledger.products += row->products;
    }
    for (int f = 0; f < unit->formal_count; f++) {
        const Binding *binding = &lowered->program->bindings[f];
        if (binding->role != TENSOR_PARAM)
            continue;
        ledger.parameters += formal_elements(binding);
        ledger.activated += met[f];
    }
    return ledger;
}
