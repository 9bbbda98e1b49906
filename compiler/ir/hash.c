/* Structural hashes: tensors count by type, shape and order of first appearance, names not at all. */
#include "ir/ir.h"

#include "support/bug.h"
#include "support/hash.h"

#include <stdlib.h>
#include <string.h>

typedef struct Hasher {
    const Unit *unit;
    int *seen; /* by tensor: order of first appearance + 1 */
    int count;
    uint64_t hash;
} Hasher;

static void mix(Hasher *hasher, uint64_t value) { hasher->hash = hash_mix(hasher->hash, value); }

static void mix_tensor(Hasher *hasher, int tensor)
{
    if (tensor < 0) {
        mix(hasher, UINT64_MAX);
        return;
    }
    const bool first = hasher->seen[tensor] == 0;
    if (first)
        hasher->seen[tensor] = ++hasher->count;
    mix(hasher, (uint64_t)hasher->seen[tensor]);
    if (!first)
        return;
    const Tensor *t = &hasher->unit->tensors[tensor];
    mix(hasher, (uint64_t)t->type << 8 | (uint64_t)t->role);
    mix(hasher, (uint64_t)t->rank);
    for (int i = 0; i < t->rank; i++)
        mix(hasher, dim_hash(t->extent[i]));
    mix(hasher, t->bound ? dim_hash(t->bound) : 0);
}

static void mix_affine(Hasher *hasher, Affine affine)
{
    mix(hasher, dim_hash(affine.base));
    mix(hasher, (uint64_t)affine.count);
    for (int i = 0; i < affine.count; i++) {
        mix(hasher, (uint64_t)affine.terms[i].index);
        mix(hasher, dim_hash(affine.terms[i].coef));
    }
}

static void mix_access(Hasher *hasher, const Access *access)
{
    mix_tensor(hasher, access->tensor);
    mix(hasher, (uint64_t)access->count);
    for (int i = 0; i < access->count; i++) {
        mix(hasher, (uint64_t)access->subs[i].span * 2 + (access->subs[i].read != NULL));
        if (access->subs[i].read)
            mix_access(hasher, access->subs[i].read);
        else
            mix_affine(hasher, access->subs[i].affine);
    }
}

static void mix_expr(Hasher *hasher, const Expr *expr)
{
    mix(hasher, (uint64_t)expr->kind);
    for (int i = 0; i < scalar_arity(expr->kind); i++)
        mix(hasher, (uint64_t)expr->arg[i]);
    uint64_t bits;
    memcpy(&bits, &expr->value, sizeof bits);
    if (expr->kind == EXPR_CONST)
        mix(hasher, bits);
    if (expr->kind == EXPR_DIM)
        mix(hasher, dim_hash(expr->dim));
    if (expr->kind == EXPR_POS)
        mix(hasher, (uint64_t)expr->index);
    if (expr->kind == EXPR_READ || expr->kind == EXPR_DRAW)
        mix_access(hasher, &expr->access);
    if (expr->kind == EXPR_DRAW) {
        hasher->hash = hash_text(expr->tag, hasher->hash);
        for (int i = 0; i < expr->access.count; i++)
            mix(hasher, dim_hash(expr->draw_extent[i]));
    }
}

static void mix_unit(Hasher *hasher, const Unit *unit);

static void mix_op(Hasher *hasher, const Op *op)
{
    mix(hasher, (uint64_t)op->kind << 8 | (uint64_t)op->reducer);
    mix(hasher, (uint64_t)op->group);
    if (op->kind == OP_CALL) {
        mix_unit(hasher, op->callee);
        hasher->hash = hash_text(op->path ? op->path : "", hasher->hash);
        for (int i = 0; i < op->arg_count; i++)
            mix_tensor(hasher, op->args[i]);
        for (int i = 0; i < op->result_count; i++)
            mix_tensor(hasher, op->results[i]);
        return;
    }
    mix(hasher, (uint64_t)op->index_count);
    for (int i = 0; i < op->index_count; i++)
        mix(hasher, dim_hash(op->indices[i].extent));
    mix(hasher, (uint64_t)op->cond_count);
    for (int i = 0; i < op->cond_count; i++)
        mix_affine(hasher, op->conds[i]);
    mix(hasher, (uint64_t)op->expr_count);
    for (int i = 0; i < op->expr_count; i++)
        mix_expr(hasher, &op->exprs[i]);
    mix(hasher, (uint64_t)op->guard_count);
    for (int i = 0; i < op->guard_count; i++)
        mix(hasher, (uint64_t)op->guards[i]);
    mix(hasher, (uint64_t)op->body);
    mix(hasher, (uint64_t)op->body2);
    mix_access(hasher, &op->out);
    mix(hasher, (uint64_t)op->scan_count << 2 | (uint64_t)op->reverse << 1 | (uint64_t)op->exclusive);
    for (int i = 0; i < op->scan_count; i++)
        mix(hasher, (uint64_t)op->scan[i]);
    mix_access(hasher, &op->init);
    mix(hasher, (uint64_t)op->reduced);
    mix(hasher, op->top_k ? dim_hash(op->top_k) : 0);
}

static Hasher hasher_new(const Unit *unit)
{
    Hasher hasher = {.unit = unit, .seen = calloc((size_t)unit->tensor_count + 1, sizeof(int))};
    BFM_ASSERT(hasher.seen);
    return hasher;
}

/* Everything of a unit, its tensors numbered anew. */
static void mix_unit(Hasher *hasher, const Unit *unit)
{
    Hasher inner = hasher_new(unit);
    inner.hash = (uint64_t)unit->op_count;
    for (int i = 0; i < unit->formal_count; i++)
        mix_tensor(&inner, unit->formals[i]);
    for (int i = 0; i < unit->op_count; i++)
        mix_op(&inner, &unit->ops[i]);
    for (int i = 0; i < unit->output_count; i++) {
        mix(&inner, (uint64_t)unit->outputs[i].kind << 8 | (uint64_t)unit->outputs[i].merge);
        mix(&inner, (uint64_t)unit->outputs[i].formal);
        mix_tensor(&inner, unit->outputs[i].tensor);
    }
    free(inner.seen);
    mix(hasher, inner.hash);
}

uint64_t op_hash(const Unit *unit, const Op *op)
{
    Hasher hasher = hasher_new(unit);
    mix_op(&hasher, op);
    free(hasher.seen);
    return hasher.hash;
}

uint64_t program_hash(const Program *program)
{
    if (!program->main)
        return 0;
    Hasher hasher = hasher_new(program->main);
    mix_unit(&hasher, program->main);
    free(hasher.seen);
    return hasher.hash;
}
