/* Points that an operation lacks because an integer is none there, and what its expression would be at them. */
#include "ir/holes.h"

#include "ir/effects_internal.h"

#include "support/bug.h"

#include <stdlib.h>

/* The operation that defines a tensor where its own integers exist; NULL for any other tensor. */
static const Op *partial_op(const Unit *unit, int tensor)
{
    for (int i = 0; i < unit->op_count; i++) {
        const Op *op = &unit->ops[i];
        if (op->kind == OP_NEST && op->reducer == REDUCE_SET && op->out.tensor == tensor)
            return op->guard_count > 0 ? op : NULL;
    }
    return NULL;
}

/* Whether none of the integers that subscript it is ever none. */
static bool subscripts_exist(const Unit *unit, const Access *access, Dim longest)
{
    bool exist = true;
    for (int s = 0; s < access->count && exist; s++)
        exist = !access->subs[s].read || (integer_always_exists(unit, access->subs[s].read->tensor, longest) && subscripts_exist(unit, access->subs[s].read, longest));
    return exist;
}

/* 0 <= value over the box of the operation's indices, where no length is above `longest`. */
static bool nonnegative(const Op *op, DimTable *dims, Affine value, Dim longest)
{
    Dim least = value.base;
    for (int i = 0; i < value.count; i++)
        if (!dim_proves_nonnegative(value.terms[i].coef))
            least = dim_add(dims, least, dim_mul(dims, value.terms[i].coef, dim_sub(dims, op->indices[value.terms[i].index].extent, dim_int(dims, 1))));
    return dim_proves_nonnegative(least) || (longest && dim_proves_nonnegative(dim_sub(dims, least, dim_sub(dims, longest, dim_symbol(dims, DIM_L)))));
}

/* Whether what the operation computes is inside the bound of its integers: positions that are, or other integers that always exist and are. */
static bool body_inside(const Unit *unit, const Op *op, Dim longest)
{
    Program *program = unit->program;
    const Dim bound = unit->tensors[op->out.tensor].bound;
    const Expr *body = &op->exprs[op->body];
    Affine value;
    if (body->kind == EXPR_READ)
        return unit->tensors[body->access.tensor].type == T_INT && dim_proves_nonnegative(dim_sub(program->dims, bound, unit->tensors[body->access.tensor].bound)) &&
               subscripts_exist(unit, &body->access, longest) && integer_always_exists(unit, body->access.tensor, longest);
    const Affine last = affine_const(program, dim_sub(program->dims, bound, dim_int(program->dims, 1)));
    return body_affine(unit, op, op->body, false, &value) && nonnegative(op, program->dims, value, longest) &&
           nonnegative(op, program->dims, affine_sub(program, last, value), longest);
}

bool integer_always_exists(const Unit *unit, int tensor, Dim longest)
{
    if (unit->tensors[tensor].role != TENSOR_LOCAL)
        return true;
    for (int i = 0; i < unit->op_count; i++) {
        const Op *op = &unit->ops[i];
        if (op->out.tensor != tensor || op->kind == OP_CALL)
            continue;
        if (op->cond_count > 0 || op->guard_count > 0)
            return false;
        if (op->kind == OP_NEST)
            return body_inside(unit, op, longest);
        DimTable *dims = unit->program->dims;
        Dim points = dim_int(dims, 1);
        for (int k = op->index_count - op->reduced; k < op->index_count; k++)
            points = dim_mul(dims, points, op->indices[k].extent);
        return op->kind == OP_TOP && dim_proves_nonnegative(dim_sub(dims, points, op->top_k));
    }
    return false;
}

static bool subscripted_by(const Access *access, const Access *integer)
{
    for (int s = 0; s < access->count; s++) {
        const Access *read = access->subs[s].read;
        if (read && (access_equal(read, integer) || subscripted_by(read, integer)))
            return true;
    }
    return false;
}

/* What an EXISTS guard asks for; NULL for any other guard. */
static const Access *guard_integer(const Op *op, int guard)
{
    const Expr *expr = &op->exprs[guard];
    return expr->kind == EXPR_EXISTS && op->exprs[expr->arg[0]].kind == EXPR_READ ? &op->exprs[expr->arg[0]].access : NULL;
}

/* map[i]: the index of the reader at which it reads what `producer` defines at index i; -1 where that is no bare index. */
static void indices_read(const Op *producer, const Access *read, int *map)
{
    for (int i = 0; i < producer->index_count; i++)
        map[i] = -1;
    for (int s = 0; s < read->count && read->count == producer->out.count; s++) {
        int own, at;
        if (!read->subs[s].read && read->subs[s].span == 1 && affine_is_index(producer->out.subs[s].affine, &own) && affine_is_index(read->subs[s].affine, &at))
            map[own] = at;
    }
}

static bool access_mapped(const Access *access, const int *map)
{
    bool mapped = true;
    for (int s = 0; s < access->count && mapped; s++) {
        const Sub *sub = &access->subs[s];
        mapped = !sub->read || access_mapped(sub->read, map);
        for (int t = 0; !sub->read && t < sub->affine.count; t++)
            mapped = mapped && map[sub->affine.terms[t].index] >= 0;
    }
    return mapped;
}

/* What is found out of a unit's tensors, each once. */
typedef struct Holes {
    const Unit *unit;
    Dim longest;       /* run; NULL: not known */
    signed char *zero; /* [tensor_count] as an expression, the tensor would be 0 where it does not exist: 1 yes, -1 no, 0 not asked yet */
} Holes;

static bool zero_in_holes(Holes *holes, const Op *op);

/* Whether what is read exists only where `integer` does, and as an expression would be 0 elsewhere. */
static bool reads_zero(Holes *holes, const Access *read, const Access *integer)
{
    Program *program = holes->unit->program;
    const Op *producer = partial_op(holes->unit, read->tensor);
    if (!producer)
        return false;
    int *map = ARENA_ARRAY(program->arena, int, producer->index_count + 1);
    indices_read(producer, read, map);
    bool same = false;
    for (int i = 0; i < producer->guard_count && !same; i++) {
        const Access *own = guard_integer(producer, producer->guards[i]);
        if (!own || !access_mapped(own, map))
            continue;
        const Access moved = access_map(program, own, map, NULL);
        same = access_equal(&moved, integer);
    }
    signed char *zero = &holes->zero[read->tensor];
    if (same && *zero == 0)
        *zero = zero_in_holes(holes, producer) ? 1 : -1;
    return same && *zero > 0;
}

/* Whether expression `id` is 0 where `integer` is none, what is read by it being 0 there: a product with it is, a sum with another term is not. */
static bool vanishes_at(Holes *holes, const Op *op, int id, const bool *zero, const Access *integer)
{
    const Expr *e = &op->exprs[id];
    switch ((int)e->kind) {
    case EXPR_CONST: return e->value == 0;
    case EXPR_READ: return subscripted_by(&e->access, integer) || reads_zero(holes, &e->access, integer);
    case EXPR_MUL: return zero[e->arg[0]] || zero[e->arg[1]];
    case EXPR_ADD:
    case EXPR_SUB:
    case EXPR_MIN:
    case EXPR_MAX: return zero[e->arg[0]] && zero[e->arg[1]];
    case EXPR_SELECT: return zero[e->arg[1]] && zero[e->arg[2]];
    case EXPR_DIV:
    case EXPR_MOD:
    case EXPR_NEG:
    case EXPR_STOP:
    case EXPR_ABS:
    case EXPR_SQRT:
    case EXPR_TANH:
    case EXPR_ERF:
    case EXPR_SIN:
    case EXPR_FLOOR:
    case EXPR_POINT: return zero[e->arg[0]];
    default: return false;
    }
}

/* The same of the operation's body; operands stand before their users. */
static bool vanishes(Holes *holes, const Op *op, const Access *integer)
{
    bool *zero = calloc((size_t)op->body + 1, sizeof *zero);
    BFM_ASSERT(zero);
    for (int id = 0; id <= op->body; id++)
        zero[id] = vanishes_at(holes, op, id, zero, integer);
    const bool found = zero[op->body];
    free(zero);
    return found;
}

/* Whether the operation lacks only points at which one of its integers is none and its body would be 0. */
static bool zero_in_holes(Holes *holes, const Op *op)
{
    for (int i = 0; i < op->guard_count; i++) {
        const Access *integer = guard_integer(op, op->guards[i]);
        if (!integer || (!integer_always_exists(holes->unit, integer->tensor, holes->longest) && !vanishes(holes, op, integer)))
            return false;
    }
    return op->cond_count == 0;
}

bool op_zero_in_holes(const Unit *unit, const Op *op, Dim longest)
{
    Holes holes = {unit, longest, calloc((size_t)unit->tensor_count + 1, 1)};
    BFM_ASSERT(holes.zero);
    const bool zero = zero_in_holes(&holes, op);
    free(holes.zero);
    return zero;
}

/* ---- whole programs -------------------------------------------------------------------------------------------------------- */

static const char *unit_holes(const Unit *unit)
{
    for (int i = 0; i < unit->output_count; i++) {
        const Tensor *tensor = &unit->tensors[unit->outputs[i].tensor];
        const Op *op = tensor->type == T_REAL && tensor->def >= 0 ? &unit->ops[tensor->def] : NULL;
        if (op && op->kind == OP_NEST && op->reducer == REDUCE_SET && op->init.tensor < 0 && op->cond_count + op->guard_count > 0)
            return arena_printf(unit->program->arena, "%s: output %s does not exist everywhere", unit->name, unit->outputs[i].name);
    }
    return NULL;
}

const char *program_holes(const Program *program)
{
    const char *message = NULL;
    for (int i = 0; i < program->unit_count && !message; i++)
        message = unit_holes(program->units[i]);
    return message;
}
