/* requires: a verified program as lowered. preserves: everything. */
#include "ir/roles.h"

#include <string.h>

enum { IN_PRODUCTS = 1, LOOKED_UP = 2 };

typedef struct Roles {
    Arena *arena;
    const Program *program;
    const Unit *unit;
    unsigned *uses;   /* per tensor of the unit */
    unsigned **known; /* per unit of the program: uses of its formals */
} Roles;

static const char *const NAMES[] = {[ROLE_MATRIX] = "matrix", [ROLE_TABLE] = "table", [ROLE_VECTOR] = "vector"};

const char *role_name(ParamRole role) { return NAMES[role]; }

bool role_find(const char *name, ParamRole *role)
{
    for (int r = 0; r < ROLE_KINDS; r++)
        if (strcmp(name, NAMES[r]) == 0) {
            *role = (ParamRole)r;
            return true;
        }
    return false;
}

static bool access_uses(const Access *access, int index)
{
    for (int s = 0; s < access->count; s++) {
        const Sub *sub = &access->subs[s];
        if (sub->read && access_uses(sub->read, index))
            return true;
        for (int t = 0; !sub->read && t < sub->affine.count; t++)
            if (sub->affine.terms[t].index == index)
                return true;
    }
    return false;
}

/* Where the expression is true, an integer says what the index is. */
static bool is_chosen_by(const Op *op, int id, int index)
{
    const Expr *expr = &op->exprs[id];
    if (expr->kind == EXPR_AND)
        return is_chosen_by(op, expr->arg[0], index) || is_chosen_by(op, expr->arg[1], index);
    for (int k = 0; expr->kind == EXPR_EQ && k < 2; k++) {
        const Expr *place = &op->exprs[expr->arg[k]];
        if (place->kind == EXPR_POS && place->index == index && op->exprs[expr->arg[1 - k]].kind == EXPR_READ && !op_uses_index(op, expr->arg[1 - k], index))
            return true;
    }
    return false;
}

/* The expression is 0 but at one point of the index, which an integer chooses: (v == k[b, l]) · table[v, o], select(v == k[b, l], table[v, o], 0). */
static bool is_chosen_in(const Op *op, int id, int index)
{
    const Expr *expr = &op->exprs[id];
    double other;
    if (expr->kind == EXPR_MUL)
        return is_chosen_in(op, expr->arg[0], index) || is_chosen_in(op, expr->arg[1], index);
    if (expr->kind == EXPR_SELECT)
        return expr_is_const(op, expr->arg[2], &other) && other == 0 && is_chosen_by(op, expr->arg[0], index);
    return is_chosen_by(op, id, index);
}

/* A sum of one term: it looks up by the integer that chooses the term. */
static bool is_chosen(const Op *op, int index)
{
    for (int g = 0; op->kind == OP_NEST && g < op->guard_count; g++)
        if (is_chosen_by(op, op->guards[g], index))
            return true;
    return op->kind == OP_NEST && op->reducer == REDUCE_SUM && is_chosen_in(op, op->body, index);
}

static bool looked_up(const Op *op, const Access *access)
{
    for (int s = 0; s < access->count; s++)
        if (access->subs[s].read)
            return true;
    for (int i = 0; i < op->index_count; i++)
        if (access_uses(access, i) && !access_uses(&op->out, i) && is_chosen(op, i))
            return true;
    return false;
}

/* An index of the read is summed. */
static bool is_summed(const Op *op, const Access *access)
{
    for (int i = 0; op->kind == OP_NEST && op->reducer == REDUCE_SUM && i < op->index_count; i++)
        if (access_uses(access, i) && !access_uses(&op->out, i) && !is_chosen(op, i))
            return true;
    return false;
}

/* The read has every index of an element-wise operation: what is made of it is used as it is. */
static bool is_renamed(const Op *op, const Access *access)
{
    for (int i = 0; i < op->index_count; i++)
        if (!access_uses(access, i))
            return false;
    return op->kind == OP_NEST && op->reducer == REDUCE_SET;
}

static void note_op(Roles *roles, const Op *op)
{
    int reads = 0;
    for (int e = 0; e < op->expr_count; e++)
        reads += op->exprs[e].kind == EXPR_READ && roles->unit->tensors[op->exprs[e].access.tensor].type == T_REAL;
    for (int e = 0; e < op->expr_count; e++) {
        const Expr *expr = &op->exprs[e];
        if (expr->kind != EXPR_READ)
            continue;
        unsigned *uses = &roles->uses[expr->access.tensor];
        if (reads > 1 && is_summed(op, &expr->access))
            *uses |= IN_PRODUCTS;
        else if (looked_up(op, &expr->access))
            *uses |= LOOKED_UP;
        else if (is_renamed(op, &expr->access))
            *uses |= roles->uses[op->out.tensor];
    }
}

static void note_call(Roles *roles, const Op *op)
{
    int u = op->callee->position;
    if (u >= roles->program->unit_count || roles->program->units[u] != op->callee)
        for (u = 0; u < roles->program->unit_count && roles->program->units[u] != op->callee;)
            u++;
    for (int a = 0; u < roles->program->unit_count && roles->known[u] && a < op->arg_count; a++)
        roles->uses[op->args[a]] |= roles->known[u][a];
}

/* Uses of a unit's formals, readers before what they read. */
static unsigned *unit_uses(Roles *roles, const Unit *unit)
{
    roles->unit = unit;
    roles->uses = ARENA_ARRAY(roles->arena, unsigned, unit->tensor_count + 1);
    for (int i = unit->op_count - 1; i >= 0; i--) {
        if (unit->ops[i].kind == OP_CALL)
            note_call(roles, &unit->ops[i]);
        else
            note_op(roles, &unit->ops[i]);
    }
    unsigned *formals = ARENA_ARRAY(roles->arena, unsigned, unit->formal_count + 1);
    for (int f = 0; f < unit->formal_count; f++)
        formals[f] = roles->uses[unit->formals[f]];
    return formals;
}

void program_roles(Program *program)
{
    const Unit *main = program->main;
    Roles roles = {.arena = program->arena, .program = program, .known = ARENA_ARRAY(program->arena, unsigned *, program->unit_count + 1)};
    const unsigned *uses = NULL;
    for (int u = 0; u < program->unit_count; u++) { /* callees stand before callers */
        roles.known[u] = unit_uses(&roles, program->units[u]);
        uses = program->units[u] == main ? roles.known[u] : uses;
    }
    for (int f = 0; f < main->formal_count; f++)
        program->bindings[f].use = !uses ? ROLE_VECTOR : uses[f] & LOOKED_UP ? ROLE_TABLE : uses[f] & IN_PRODUCTS ? ROLE_MATRIX : ROLE_VECTOR;
}
