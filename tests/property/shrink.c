/* Removes what a failure does not need. Each step works on a copy (print, read), is verified, and is kept if the failure stays. */
#include "random_program.h"

#include "support/vec.h"

#include <stdlib.h>
#include <string.h>

typedef struct Shrinker {
    Arena *arena;
    Interner *interner;
    bool (*fails)(void *user, const Program *program);
    void *user;
    Program *best;
} Shrinker;

static Program *copy(const Shrinker *shrinker)
{
    Str text = {0};
    program_print(shrinker->best, &text);
    Program *program = program_read(shrinker->arena, shrinker->interner, str_text(&text), NULL);
    str_free(&text);
    return program;
}

static void mark_access(const Access *access, bool *used)
{
    if (access->tensor >= 0)
        used[access->tensor] = true;
    for (int i = 0; i < access->count; i++)
        if (access->subs[i].read)
            mark_access(access->subs[i].read, used);
}

static bool wanted(const Op *op, const bool *used)
{
    if (op->kind != OP_CALL)
        return used[op->out.tensor];
    bool any = false;
    for (int i = 0; i < op->result_count; i++)
        any = any || (op->results[i] >= 0 && used[op->results[i]]);
    return any;
}

/* Drops operations whose results nothing uses, and renews the tensors' definitions. */
static void drop_dead(Unit *unit)
{
    bool *used = calloc((size_t)unit->tensor_count + 1, sizeof *used);
    for (int i = 0; i < unit->output_count; i++)
        used[unit->outputs[i].tensor] = true;
    int kept = unit->op_count;
    for (int i = unit->op_count - 1; i >= 0; i--) {
        Op op = unit->ops[i];
        if (!wanted(&op, used))
            continue;
        for (int k = 0; k < op.arg_count && op.kind == OP_CALL; k++)
            used[op.args[k]] = true;
        for (int k = 0; k < op.result_count && op.kind == OP_CALL; k++)
            if (op.results[k] >= 0 && !used[op.results[k]])
                op.results[k] = -1;
        for (int k = 0; k < op.expr_count && op.kind != OP_CALL; k++)
            if (op.exprs[k].kind == EXPR_READ)
                mark_access(&op.exprs[k].access, used);
        if (op.kind != OP_CALL) {
            mark_access(&op.out, used);
            mark_access(&op.init, used);
        }
        unit->ops[--kept] = op;
    }
    for (int i = 0; i < unit->tensor_count; i++)
        unit->tensors[i].def = -1;
    unit->op_count -= kept;
    memmove(unit->ops, unit->ops + kept, (size_t)unit->op_count * sizeof *unit->ops);
    for (int i = 0; i < unit->op_count; i++) {
        const Op *op = &unit->ops[i];
        for (int k = 0; k < op->result_count && op->kind == OP_CALL; k++)
            if (op->results[k] >= 0)
                unit->tensors[op->results[k]].def = i;
        if (op->kind != OP_CALL)
            unit->tensors[op->out.tensor].def = i;
    }
    free(used);
}

/* Keeps the candidate if it is well formed and still fails. */
static bool keep(Shrinker *shrinker, Program *candidate)
{
    for (int i = 0; i < candidate->unit_count; i++)
        drop_dead(candidate->units[i]);
    Str text = {0};
    program_print(candidate, &text); /* expressions that nothing uses go with the text */
    Program *clean = program_read(shrinker->arena, shrinker->interner, str_text(&text), NULL);
    str_free(&text);
    if (!clean || program_verify(clean) || !shrinker->fails(shrinker->user, clean))
        return false;
    shrinker->best = clean;
    return true;
}

static bool drop_output(Shrinker *shrinker, int at)
{
    Program *program = copy(shrinker);
    Unit *main = program->main;
    memmove(main->outputs + at, main->outputs + at + 1, (size_t)(main->output_count - at - 1) * sizeof *main->outputs);
    main->output_count--;
    return keep(shrinker, program);
}

/* The operation's results become inputs. */
static bool operation_to_input(Shrinker *shrinker, int at)
{
    Program *program = copy(shrinker);
    Unit *main = program->main;
    const Op op = main->ops[at];
    const int count = op.kind == OP_CALL ? op.result_count : 1;
    int *formals = ARENA_ARRAY(program->arena, int, main->formal_count + count);
    if (main->formal_count)
        memcpy(formals, main->formals, (size_t)main->formal_count * sizeof *formals);
    for (int i = 0; i < count; i++) {
        const int tensor = op.kind == OP_CALL ? op.results[i] : op.out.tensor;
        if (tensor < 0)
            continue;
        main->tensors[tensor].role = TENSOR_INPUT;
        formals[main->formal_count++] = tensor;
    }
    main->formals = formals;
    main->formal_capacity = main->formal_count;
    memmove(main->ops + at, main->ops + at + 1, (size_t)(main->op_count - at - 1) * sizeof *main->ops);
    main->op_count--;
    return keep(shrinker, program);
}

static bool drop_cond(Shrinker *shrinker, int unit, int at, int cond)
{
    Program *program = copy(shrinker);
    Op *op = &program->units[unit]->ops[at];
    op->conds[cond] = op->conds[--op->cond_count];
    return keep(shrinker, program);
}

static bool drop_guard(Shrinker *shrinker, int unit, int at, int guard)
{
    Program *program = copy(shrinker);
    Op *op = &program->units[unit]->ops[at];
    op->guards[guard] = op->guards[--op->guard_count];
    return keep(shrinker, program);
}

/* The body, or the factor, becomes one of its operands. */
static bool to_operand(Shrinker *shrinker, int unit, int at, bool factor, int operand)
{
    Program *program = copy(shrinker);
    Op *op = &program->units[unit]->ops[at];
    int *root = factor ? &op->body2 : &op->body;
    if (*root < 0 || operand >= scalar_arity(op->exprs[*root].kind))
        return false;
    *root = op->exprs[*root].arg[operand];
    return keep(shrinker, program);
}

/* Any expression within becomes one of its operands. */
static bool inner_to_operand(Shrinker *shrinker, int unit, int at, int expr, int operand)
{
    Program *program = copy(shrinker);
    Op *op = &program->units[unit]->ops[at];
    if (operand >= scalar_arity(op->exprs[expr].kind))
        return false;
    const int by = op->exprs[expr].arg[operand];
    for (int id = expr + 1; id < op->expr_count; id++)
        for (int i = 0; i < scalar_arity(op->exprs[id].kind); i++)
            if (op->exprs[id].arg[i] == expr)
                op->exprs[id].arg[i] = by;
    return keep(shrinker, program);
}

static bool shrink_op(Shrinker *shrinker, int unit, int at)
{
    bool any = false;
    for (int i = shrinker->best->units[unit]->ops[at].cond_count - 1; i >= 0; i--)
        if (drop_cond(shrinker, unit, at, i))
            return true;
    for (int i = shrinker->best->units[unit]->ops[at].guard_count - 1; i >= 0; i--)
        if (drop_guard(shrinker, unit, at, i))
            return true;
    for (int operand = 0; operand < 6 && !any; operand++)
        any = to_operand(shrinker, unit, at, operand >= 3, operand % 3);
    for (int expr = shrinker->best->units[unit]->ops[at].expr_count - 1; expr >= 0 && !any; expr--)
        for (int operand = 0; operand < 3 && !any; operand++)
            any = inner_to_operand(shrinker, unit, at, expr, operand);
    return any;
}

static bool shrink_once(Shrinker *shrinker)
{
    for (int i = shrinker->best->main->output_count - 1; i >= 0; i--)
        if (shrinker->best->main->output_count > 1 && drop_output(shrinker, i))
            return true;
    for (int i = 0; i < shrinker->best->main->op_count; i++)
        if (operation_to_input(shrinker, shrinker->best->main->op_count - 1 - i))
            return true;
    for (int u = shrinker->best->unit_count - 1; u >= 0; u--)
        for (int i = 0; i < shrinker->best->units[u]->op_count; i++)
            if (shrinker->best->units[u]->ops[i].kind != OP_CALL && shrink_op(shrinker, u, i))
                return true;
    return false;
}

Program *shrink_program(Arena *arena, Interner *interner, const Program *program, bool (*fails)(void *user, const Program *program), void *user)
{
    Shrinker shrinker = {.arena = arena, .interner = interner, .fails = fails, .user = user, .best = (Program *)program};
    for (int steps = 0; steps < 1000 && shrink_once(&shrinker); steps++)
        continue;
    return shrinker.best;
}
