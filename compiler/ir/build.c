/* Programs, units and operations under construction. */
#include "ir/ir.h"

#include "support/bug.h"
#include "support/hash.h"

#include <string.h>

/* Makes room for one more item; old arrays stay behind in the arena. */
static void *grow(Arena *arena, void *items, int count, int *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    *capacity = *capacity ? *capacity * 2 : 8;
    void *larger = arena_alloc_array(arena, (size_t)*capacity, size);
    if (count)
        memcpy(larger, items, (size_t)count * size);
    return larger;
}

#define GROW(arena, items, count, capacity) ((items) = grow((arena), (items), (count), &(capacity), sizeof *(items)))

Program *program_new(Arena *arena, Interner *interner)
{
    Program *program = ARENA_NEW(arena, Program);
    program->arena = arena;
    program->interner = interner;
    program->dims = dim_table_new(arena);
    return program;
}

void program_need(Program *program, SizeNeed need)
{
    GROW(program->arena, program->needs, program->need_count, program->need_capacity);
    program->needs[program->need_count++] = need;
}

Unit *unit_new(Program *program, Symbol name)
{
    Unit *unit = ARENA_NEW(program->arena, Unit);
    unit->program = program;
    unit->name = name;
    GROW(program->arena, program->units, program->unit_count, program->unit_capacity);
    unit->position = program->unit_count;
    program->units[program->unit_count++] = unit;
    return unit;
}

int unit_tensor(Unit *unit, Symbol name, ElemType type, TensorRole role, int rank, const Dim *extent, Dim bound)
{
    BFM_ASSERT((type == T_INT) == (bound != NULL));
    Arena *arena = unit->program->arena;
    GROW(arena, unit->tensors, unit->tensor_count, unit->tensor_capacity);
    Tensor *tensor = &unit->tensors[unit->tensor_count];
    *tensor = (Tensor){.name = name, .type = type, .role = role, .rank = rank, .bound = bound, .def = -1, .span = span_none()};
    tensor->extent = rank ? arena_memdup(arena, extent, (size_t)rank * sizeof *extent) : NULL;
    return unit->tensor_count++;
}

int unit_formal(Unit *unit, Symbol name, ElemType type, TensorRole role, int rank, const Dim *extent, Dim bound)
{
    const int tensor = unit_tensor(unit, name, type, role, rank, extent, bound);
    GROW(unit->program->arena, unit->formals, unit->formal_count, unit->formal_capacity);
    unit->formals[unit->formal_count++] = tensor;
    return tensor;
}

int unit_output(Unit *unit, Symbol name, OutputKind kind, int tensor)
{
    GROW(unit->program->arena, unit->outputs, unit->output_count, unit->output_capacity);
    unit->outputs[unit->output_count] = (Output){.name = name, .kind = kind, .tensor = tensor, .formal = -1};
    return unit->output_count++;
}

int unit_group(Unit *unit, Group group)
{
    GROW(unit->program->arena, unit->groups, unit->group_count, unit->group_capacity);
    unit->groups[unit->group_count++] = group;
    return unit->group_count;
}

/* ---- operations ---- */

static Arena *arena_of(const OpBuilder *builder) { return builder->unit->program->arena; }

OpBuilder op_begin(Unit *unit, OpKind kind)
{
    OpBuilder builder = {.unit = unit};
    builder.op = (Op){.kind = kind, .body = -1, .body2 = -1, .span = span_none()};
    builder.op.out.tensor = -1;
    builder.op.init.tensor = -1;
    return builder;
}

int op_index(OpBuilder *builder, Symbol name, Dim extent)
{
    Op *op = &builder->op;
    GROW(arena_of(builder), op->indices, op->index_count, builder->index_capacity);
    op->indices[op->index_count] = (Index){name, extent};
    return op->index_count++;
}

void op_cond(OpBuilder *builder, Affine affine)
{
    Op *op = &builder->op;
    Dim base;
    if (affine_is_const(affine, &base) && dim_proves_nonnegative(base))
        return;
    for (int i = 0; i < op->cond_count; i++)
        if (affine_equal(op->conds[i], affine))
            return;
    GROW(arena_of(builder), op->conds, op->cond_count, builder->cond_capacity);
    op->conds[op->cond_count++] = affine;
}

void op_guard(OpBuilder *builder, int expr)
{
    Op *op = &builder->op;
    double value;
    if (expr_is_const(op, expr, &value) && value != 0)
        return;
    if (op->exprs[expr].kind == EXPR_AND) {
        const int left = op->exprs[expr].arg[0], right = op->exprs[expr].arg[1];
        op_guard(builder, left);
        op_guard(builder, right);
        return;
    }
    for (int i = 0; i < op->guard_count; i++)
        if (op->guards[i] == expr)
            return;
    GROW(arena_of(builder), op->guards, op->guard_count, builder->guard_capacity);
    op->guards[op->guard_count++] = expr;
}

void op_live(const Op *op, bool *live)
{
    memset(live, 0, sizeof *live * (size_t)op->expr_count);
    if (op->kind == OP_CALL)
        return;
    if (op->body >= 0)
        live[op->body] = true;
    if (op->kind == OP_RECUR && op->body2 >= 0)
        live[op->body2] = true;
    for (int g = 0; g < op->guard_count; g++)
        live[op->guards[g]] = true;
    for (int id = op->expr_count - 1; id >= 0; id--) /* arguments stand before what uses them */
        for (int k = 0; live[id] && k < scalar_arity(op->exprs[id].kind); k++)
            live[op->exprs[id].arg[k]] = true;
}

/* The arrays are new ones: what was built before may share the old ones. */
void op_drop_unreachable(OpBuilder *builder)
{
    Op *op = &builder->op;
    bool *live = ARENA_ARRAY(arena_of(builder), bool, op->expr_count + 1);
    int *moved = ARENA_ARRAY(arena_of(builder), int, op->expr_count + 1), count = 0;
    Expr *exprs = ARENA_ARRAY(arena_of(builder), Expr, op->expr_count + 1);
    op_live(op, live);
    for (int id = 0; id < op->expr_count; id++) {
        moved[id] = live[id] ? count : -1;
        if (!live[id])
            continue;
        exprs[count] = op->exprs[id];
        for (int i = 0; i < scalar_arity(exprs[count].kind); i++)
            exprs[count].arg[i] = moved[exprs[count].arg[i]];
        count++;
    }
    int *guards = ARENA_ARRAY(arena_of(builder), int, op->guard_count + 1);
    for (int i = 0; i < op->guard_count; i++)
        guards[i] = moved[op->guards[i]];
    op->body = op->body >= 0 ? moved[op->body] : -1;
    op->body2 = op->kind == OP_RECUR && op->body2 >= 0 ? moved[op->body2] : -1;
    op->guards = guards;
    op->exprs = exprs;
    op->expr_count = count;
}

int op_finish(OpBuilder *builder)
{
    Unit *unit = builder->unit;
    if (builder->op.kind != OP_CALL) {
        BFM_ASSERT(builder->op.body >= 0);
        op_drop_unreachable(builder);
    }
    const Op *op = &builder->op;
    const int position = unit->op_count;
    GROW(arena_of(builder), unit->ops, unit->op_count, unit->op_capacity);
    unit->ops[unit->op_count++] = *op;
    if (op->kind == OP_CALL) {
        for (int i = 0; i < op->result_count; i++)
            if (op->results[i] >= 0)
                unit->tensors[op->results[i]].def = position;
    } else {
        BFM_ASSERT(op->out.tensor >= 0 && op->body >= 0);
        unit->tensors[op->out.tensor].def = position;
    }
    return position;
}

/* ---- expressions, hash-consed ---- */

static uint64_t access_hash(const Access *access, uint64_t hash)
{
    hash = hash_fold(hash, (uint64_t)access->tensor);
    for (int i = 0; i < access->count; i++) {
        const Sub *sub = &access->subs[i];
        hash = hash_fold(hash, (uint64_t)sub->span);
        if (sub->read) {
            hash = access_hash(sub->read, hash);
            continue;
        }
        hash = hash_fold(hash, dim_hash(sub->affine.base));
        for (int t = 0; t < sub->affine.count; t++)
            hash = hash_fold(hash_fold(hash, (uint64_t)sub->affine.terms[t].index), dim_hash(sub->affine.terms[t].coef));
    }
    return hash;
}

static uint64_t double_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint64_t expr_hash(const Expr *expr)
{
    uint64_t hash = (uint64_t)expr->kind;
    for (int i = 0; i < scalar_arity(expr->kind); i++)
        hash = hash_fold(hash, (uint64_t)expr->arg[i]);
    if (expr->kind == EXPR_CONST)
        hash = hash_fold(hash, double_bits(expr->value));
    if (expr->kind == EXPR_DIM)
        hash = hash_fold(hash, dim_hash(expr->dim));
    if (expr->kind == EXPR_POS)
        hash = hash_fold(hash, (uint64_t)expr->index);
    if (expr->kind == EXPR_READ || expr->kind == EXPR_DRAW)
        hash = access_hash(&expr->access, hash);
    return hash;
}

static bool expr_equal(const Expr *a, const Expr *b)
{
    if (a->kind != b->kind || a->index != b->index || a->dim != b->dim || a->tag != b->tag || double_bits(a->value) != double_bits(b->value))
        return false;
    if (memcmp(a->arg, b->arg, sizeof a->arg) != 0 || !access_equal(&a->access, &b->access))
        return false;
    if (a->kind == EXPR_DRAW)
        for (int i = 0; i < a->access.count; i++)
            if (a->draw_extent[i] != b->draw_extent[i])
                return false;
    return true;
}

static void slot_insert(OpBuilder *builder, int id)
{
    uint64_t slot = expr_hash(&builder->op.exprs[id]);
    while (builder->slots[slot % (uint64_t)builder->slot_count])
        slot++;
    builder->slots[slot % (uint64_t)builder->slot_count] = id + 1;
}

static void slots_grow(OpBuilder *builder)
{
    builder->slot_count = builder->slot_count ? builder->slot_count * 2 : 32;
    builder->slots = ARENA_ARRAY(arena_of(builder), int, builder->slot_count);
    for (int id = 0; id < builder->op.expr_count; id++)
        slot_insert(builder, id);
}

static int cons(OpBuilder *builder, Expr expr)
{
    Op *op = &builder->op;
    if (2 * (op->expr_count + 1) > builder->slot_count)
        slots_grow(builder);
    for (uint64_t slot = expr_hash(&expr);; slot++) {
        const int id = builder->slots[slot % (uint64_t)builder->slot_count] - 1;
        if (id < 0)
            break;
        if (expr_equal(&op->exprs[id], &expr))
            return id;
    }
    GROW(arena_of(builder), op->exprs, op->expr_count, builder->expr_capacity);
    op->exprs[op->expr_count] = expr;
    slot_insert(builder, op->expr_count);
    return op->expr_count++;
}

int expr_raw(OpBuilder *builder, Expr expr) { return cons(builder, expr); }

static Expr expr_new(ExprKind kind)
{
    Expr expr = {.kind = kind, .arg = {-1, -1, -1}, .index = -1};
    expr.access.tensor = -1;
    return expr;
}

int expr_const(OpBuilder *builder, double value)
{
    Expr expr = expr_new(EXPR_CONST);
    expr.value = value;
    return cons(builder, expr);
}

int expr_dim(OpBuilder *builder, Dim dim)
{
    Expr expr = expr_new(EXPR_DIM);
    expr.dim = dim;
    return cons(builder, expr);
}

int expr_pos(OpBuilder *builder, int index)
{
    BFM_ASSERT(index >= 0 && index < builder->op.index_count);
    Expr expr = expr_new(EXPR_POS);
    expr.index = index;
    return cons(builder, expr);
}

int expr_read(OpBuilder *builder, Access access)
{
    BFM_ASSERT(access.tensor >= 0 && access.tensor < builder->unit->tensor_count);
    Expr expr = expr_new(EXPR_READ);
    expr.access = access;
    return cons(builder, expr);
}

int expr_draw(OpBuilder *builder, Symbol tag, int count, const Affine *subs, const Dim *extents)
{
    Expr expr = expr_new(EXPR_DRAW);
    expr.tag = tag;
    expr.access = access_new(builder->unit->program, -1, count);
    for (int i = 0; i < count; i++)
        expr.access.subs[i].affine = subs[i];
    expr.draw_extent = count ? arena_memdup(arena_of(builder), extents, (size_t)count * sizeof *extents) : NULL;
    return cons(builder, expr);
}

static bool is(const Op *op, int id, double wanted)
{
    double value;
    return expr_is_const(op, id, &value) && value == wanted;
}

/* The id of an equal, simpler expression, -1 if there is none. Only identities that hold for every operand value (but the sign of a zero). */
static int simplify(OpBuilder *builder, ExprKind kind, int a, int b, int c)
{
    const Op *op = &builder->op;
    const ExprKind kind_a = op->exprs[a].kind, kind_b = b >= 0 ? op->exprs[b].kind : EXPR_CONST;
    double value;
    switch ((int)kind) { /* those that have identities */
    case EXPR_NEG: return kind_a == EXPR_NEG ? op->exprs[a].arg[0] : -1;
    case EXPR_ADD: return is(op, a, 0) ? b : is(op, b, 0) ? a : -1;
    case EXPR_SUB: return is(op, b, 0) ? a : -1;
    case EXPR_MUL:
        if (is(op, a, -1) || is(op, b, -1))
            return expr_op(builder, EXPR_NEG, is(op, a, -1) ? b : a, -1, -1);
        return is(op, a, 1) ? b : is(op, b, 1) ? a : -1;
    case EXPR_DIV: return is(op, b, 1) ? a : -1;
    case EXPR_POW: return is(op, b, 1) ? a : -1;
    case EXPR_MIN:
    case EXPR_MAX: return a == b ? a : -1;
    case EXPR_SELECT:
        if (expr_is_const(op, a, &value))
            return value != 0 ? b : c;
        return b == c ? b : -1;
    case EXPR_AND:
    case EXPR_OR: {
        const double neutral = kind == EXPR_AND;
        if (expr_is_const(op, a, &value) && (value != 0) != (neutral != 0))
            return expr_const(builder, 1 - neutral);
        if (expr_is_const(op, b, &value) && (value != 0) != (neutral != 0))
            return expr_const(builder, 1 - neutral);
        if (expr_is_const(op, a, &value) && scalar_is_boolean(kind_b))
            return b;
        if ((expr_is_const(op, b, &value) || a == b) && scalar_is_boolean(kind_a))
            return a;
        return -1;
    }
    case EXPR_NOT: return kind_a == EXPR_NOT && scalar_is_boolean(op->exprs[op->exprs[a].arg[0]].kind) ? op->exprs[a].arg[0] : -1;
    case EXPR_FMA:
        if (is(op, a, 1) || is(op, b, 1))
            return expr_op(builder, EXPR_ADD, is(op, a, 1) ? b : a, c, -1);
        return is(op, c, 0) ? expr_op(builder, EXPR_MUL, a, b, -1) : -1;
    case EXPR_STOP: return kind_a == EXPR_STOP || kind_a == EXPR_CONST || kind_a == EXPR_DIM || kind_a == EXPR_POS || kind_a == EXPR_DRAW ? a : -1;
    case EXPR_POINT: return kind_a == EXPR_POINT && op->exprs[a].arg[1] == b ? a : -1;
    case EXPR_FLOOR: return kind_a == EXPR_FLOOR || kind_a == EXPR_POS || kind_a == EXPR_DIM ? a : -1;
    }
    return -1;
}

int expr_op(OpBuilder *builder, ExprKind kind, int a, int b, int c)
{
    const int arity = scalar_arity(kind);
    BFM_ASSERT(arity >= 1 && a >= 0 && (arity < 2 || b >= 0) && (arity < 3 || c >= 0));
    Expr expr = expr_new(kind);
    const int args[3] = {a, arity > 1 ? b : -1, arity > 2 ? c : -1};
    double value[3] = {0, 0, 0};
    bool constant = true;
    for (int i = 0; i < arity; i++) {
        expr.arg[i] = args[i];
        constant = expr_is_const(&builder->op, args[i], &value[i]) && constant;
    }
    if (constant)
        return expr_const(builder, scalar_eval(kind, value[0], value[1], value[2]));
    const int simpler = simplify(builder, kind, args[0], args[1], args[2]);
    return simpler >= 0 ? simpler : cons(builder, expr);
}

int expr_copy(OpBuilder *builder, const Op *from, int id, const int *index_map, const int *tensor_map, int *memo)
{
    if (memo[id] >= 0)
        return memo[id];
    Expr expr = from->exprs[id]; /* a copy: `from` may be the builder's own operation, whose array moves */
    const int arity = scalar_arity(expr.kind);
    int result;
    if (arity > 0) {
        int args[3] = {-1, -1, -1};
        for (int i = 0; i < arity; i++)
            args[i] = expr_copy(builder, from, expr.arg[i], index_map, tensor_map, memo);
        result = expr_op(builder, expr.kind, args[0], args[1], args[2]);
    } else {
        if (expr.kind == EXPR_POS && index_map)
            expr.index = index_map[expr.index];
        if (expr.kind == EXPR_READ || expr.kind == EXPR_DRAW)
            expr.access = access_map(builder->unit->program, &expr.access, index_map, tensor_map);
        result = cons(builder, expr);
    }
    return memo[id] = result;
}

bool expr_is_const(const Op *op, int id, double *value)
{
    if (op->exprs[id].kind != EXPR_CONST)
        return false;
    if (value)
        *value = op->exprs[id].value;
    return true;
}
