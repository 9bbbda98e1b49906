#include "decode/decode.h"

#include "ir/flatten.h"
#include "opt/passes.h"
#include "ir/rewrite.h"
#include "support/bug.h"
#include "support/vec.h"

#include <string.h>

/* What is known of a tensor of the old unit: demands are collected from the last operation to the first. */
typedef struct Plan {
    bool demanded;
    int time_axis; /* storage axis evaluated at the positions at hand alone, -1 = none */
    bool kept;     /* read again at later positions: lives in a cache */
    int current;   /* tensor of the new unit: positions p … p + n - 1 (or all of it, if there is no time axis) */
    int cache;     /* tensor of the new unit: all positions up to those, -1 */
} Plan;

typedef struct Decoder {
    Program *program; /* the new one; shares arena, names and dimensions with the old one */
    const Unit *from;
    Unit *to;
    Plan *plans; /* [from->tensor_count] */
    int *moved;  /* [from->op_count] position in the new unit, -1 = not needed */
    VEC(Binding) bindings;
    VEC(int) pending; /* kept tensors whose caches are extended after the group at hand */
    Dim l, p, n;
    const char *message;
} Decoder;

static void refuse(Decoder *dec, int tensor, const char *why)
{
    if (!dec->message)
        dec->message = arena_printf(dec->program->arena, "no incremental decoder: %s %s", dec->from->tensors[tensor].name, why);
}

/* ---- demands --------------------------------------------------------------------------------------------------------------- */

/* The index that runs over the time axis of what the operation defines, -1. */
static int time_index(Decoder *dec, const Op *op)
{
    const int wanted = dec->plans[op->out.tensor].time_axis;
    int axis = 0, index = -1;
    if (wanted < 0)
        return -1;
    for (int i = 0; i < op->out.count; axis += op->out.subs[i].span, i++)
        if (axis == wanted && op->out.subs[i].span == 1 && !op->out.subs[i].read && affine_is_index(op->out.subs[i].affine, &index))
            return index;
    refuse(dec, op->out.tensor, "is not defined position by position");
    return -1;
}

typedef struct Demand {
    Decoder *dec;
    const Op *op;
    int time; /* index of the reader, -1 */
} Demand;

/* How a subscript of a position axis moves with the reader's position. */
typedef enum { MOVES_HERE, MOVES_BEHIND, MOVES_AHEAD, MOVES_FREELY } Moves;

static Moves sub_moves(const Sub *sub, int time)
{
    int64_t base;
    if (sub->read || time < 0 || sub->affine.count != 1 || sub->affine.terms[0].index != time || !dim_is(sub->affine.terms[0].coef, 1) || !dim_is_int(sub->affine.base, &base))
        return MOVES_FREELY;
    return base == 0 ? MOVES_HERE : base < 0 ? MOVES_BEHIND : MOVES_AHEAD;
}

static void demand_access(void *user, const Access *access, AccessUse use)
{
    Demand *demand = user;
    Decoder *dec = demand->dec;
    const Tensor *tensor = &dec->from->tensors[access->tensor];
    Plan *plan = &dec->plans[access->tensor];
    int chosen = -1, positions = 0, axis = 0;
    Moves how = MOVES_FREELY;
    if (use == ACCESS_OUT)
        return;
    for (int i = 0; i < access->count; axis += access->subs[i].span, i++) {
        for (int k = 0; k < access->subs[i].span; k++) {
            if (tensor->extent[axis + k] != dec->l)
                continue;
            positions++;
            if (access->subs[i].span > 1) {
                refuse(dec, access->tensor, "is read by positions and rows taken together");
                return;
            }
            const Moves moves = sub_moves(&access->subs[i], demand->time);
            if (moves == MOVES_AHEAD)
                refuse(dec, access->tensor, "is read at a later position");
            if (chosen < 0 || moves == MOVES_HERE) {
                chosen = axis;
                how = moves;
            }
        }
    }
    if (positions > 1 && how != MOVES_HERE)
        refuse(dec, access->tensor, "has several axes of positions, and none is the position at hand");
    if (positions > 0 && demand->time < 0)
        refuse(dec, access->tensor, "is read as a whole");
    if (plan->demanded && plan->time_axis != chosen)
        refuse(dec, access->tensor, "is read along two axes of positions");
    plan->demanded = true;
    plan->time_axis = chosen;
    plan->kept = plan->kept || (chosen >= 0 && how != MOVES_HERE);
}

static void demand_result(Decoder *dec, int tensor)
{
    Plan *plan = &dec->plans[tensor];
    plan->demanded = true;
    plan->time_axis = -1;
    for (int axis = 0; axis < dec->from->tensors[tensor].rank && plan->time_axis < 0; axis++)
        if (dec->from->tensors[tensor].extent[axis] == dec->l)
            plan->time_axis = axis;
}

static void collect_demands(Decoder *dec)
{
    for (int o = 0; o < dec->from->output_count; o++)
        if (dec->from->outputs[o].kind == OUTPUT_RESULT)
            demand_result(dec, dec->from->outputs[o].tensor);
    for (int i = dec->from->op_count - 1; i >= 0 && !dec->message; i--) {
        const Op *op = &dec->from->ops[i];
        dec->moved[i] = -1;
        if (!dec->plans[op->out.tensor].demanded)
            continue;
        dec->moved[i] = 0;
        Demand demand = {dec, op, time_index(dec, op)};
        op_visit(op, demand_access, &demand);
    }
}

/* ---- tensors of the new unit ----------------------------------------------------------------------------------------------- */

static int tensor_now(Decoder *dec, int old, TensorRole role)
{
    const Tensor *tensor = &dec->from->tensors[old];
    const int time = dec->plans[old].time_axis;
    Dim *extent = arena_memdup(dec->program->arena, tensor->extent, (size_t)tensor->rank * sizeof *extent);
    if (time >= 0)
        extent[time] = dec->n;
    const int id = role == TENSOR_LOCAL ? unit_tensor(dec->to, tensor->name, tensor->type, role, tensor->rank, extent, tensor->bound)
                                        : unit_formal(dec->to, tensor->name, tensor->type, role, tensor->rank, extent, tensor->bound);
    dec->to->tensors[id].span = tensor->span;
    return id;
}

/* A state of the decoder: zero (or none) before the first position. */
static int cache_formal(Decoder *dec, Symbol name, ElemType type, int rank, const Dim *extent, Dim bound)
{
    Symbol path = intern(dec->program->interner, arena_printf(dec->program->arena, "cache.%s", name));
    for (int i = 0, n = 2; i < dec->bindings.count; i++)
        if (dec->bindings.items[i].path == path) {
            path = intern(dec->program->interner, arena_printf(dec->program->arena, "cache.%s.%d", name, n++));
            i = -1;
        }
    vec_push(&dec->bindings, (Binding){.path = path, .role = TENSOR_STATE, .init = {.normal = true}});
    return unit_formal(dec->to, path, type, TENSOR_STATE, rank, extent, bound);
}

static void next_output(Decoder *dec, int tensor)
{
    const int number = unit_output(dec->to, dec->bindings.items[dec->bindings.count - 1].path, OUTPUT_NEXT, tensor);
    dec->to->outputs[number].formal = dec->to->formal_count - 1;
}

/* cache'[…, p + i, …] = current; the rest of the cache stays. */
static void extend_cache(Decoder *dec, int old)
{
    Program *program = dec->program;
    Plan *plan = &dec->plans[old];
    const Tensor *tensor = &dec->from->tensors[old];
    const int state = cache_formal(dec, tensor->name, tensor->type, tensor->rank, tensor->extent, tensor->bound);
    OpBuilder ob = op_begin(dec->to, OP_NEST);
    ob.op.reducer = REDUCE_SET;
    Access read = access_new(program, plan->current, tensor->rank);
    plan->cache = unit_tensor(dec->to, tensor->name, tensor->type, TENSOR_LOCAL, tensor->rank, tensor->extent, tensor->bound);
    Access out = access_new(program, plan->cache, tensor->rank);
    for (int axis = 0; axis < tensor->rank; axis++) {
        const bool time = axis == plan->time_axis;
        const int index = op_index(&ob, intern(program->interner, arena_printf(program->arena, "i%d", axis)), time ? dec->n : tensor->extent[axis]);
        read.subs[axis] = sub_index(program, index);
        out.subs[axis] = time ? sub_affine(affine_add(program, affine_index(program, index), affine_const(program, dec->p)), 1) : read.subs[axis];
    }
    ob.op.init = access_new(program, state, 0);
    ob.op.body = expr_read(&ob, read);
    ob.op.out = out;
    op_finish(&ob);
    next_output(dec, plan->cache);
}

/* ---- operations ------------------------------------------------------------------------------------------------------------ */

typedef struct Copy {
    Decoder *dec;
    const Op *from;
    OpBuilder ob;
    int time;   /* index evaluated at the positions at hand, -1 */
    Affine *by; /* old index -> its value in the new operation */
    int *expr;  /* old expression -> new */
} Copy;

static Access copy_access(Copy *copy, const Access *access);

static Sub copy_sub(Copy *copy, const Sub *sub)
{
    Program *program = copy->dec->program;
    if (sub->read)
        return sub_read(program, copy_access(copy, sub->read), sub->span);
    return sub_affine(affine_substitute(program, sub->affine, copy->by), sub->span);
}

/* What was computed now, or the cache where other positions are read. */
static Access copy_access(Copy *copy, const Access *access)
{
    Decoder *dec = copy->dec;
    const Plan *plan = &dec->plans[access->tensor];
    Access result = access_new(dec->program, plan->current, access->count);
    int axis = 0;
    for (int i = 0; i < access->count; axis += access->subs[i].span, i++) {
        result.subs[i] = copy_sub(copy, &access->subs[i]);
        if (axis != plan->time_axis || access->subs[i].span != 1)
            continue;
        if (sub_moves(&access->subs[i], copy->time) == MOVES_HERE) {
            result.subs[i] = sub_index(dec->program, access->subs[i].affine.terms[0].index);
        } else {
            BFM_ASSERT(plan->cache >= 0);
            result.tensor = plan->cache;
        }
    }
    return result;
}

static void copy_exprs(Copy *copy)
{
    const Op *from = copy->from;
    Program *program = copy->dec->program;
    copy->expr = ARENA_ARRAY(program->arena, int, from->expr_count + 1);
    for (int i = 0; i < from->expr_count; i++) {
        const Expr *node = &from->exprs[i];
        int args[3] = {-1, -1, -1};
        for (int k = 0; k < scalar_arity(node->kind); k++)
            args[k] = copy->expr[node->arg[k]];
        if (node->kind == EXPR_CONST) {
            copy->expr[i] = expr_const(&copy->ob, node->value);
        } else if (node->kind == EXPR_DIM) {
            copy->expr[i] = expr_dim(&copy->ob, node->dim);
        } else if (node->kind == EXPR_POS) {
            copy->expr[i] = expr_affine(&copy->ob, copy->by[node->index]);
        } else if (node->kind == EXPR_READ) {
            copy->expr[i] = expr_read(&copy->ob, copy_access(copy, &node->access));
        } else if (node->kind == EXPR_DRAW) {
            Affine *subs = ARENA_ARRAY(program->arena, Affine, node->access.count + 1);
            for (int k = 0; k < node->access.count; k++)
                subs[k] = affine_substitute(program, node->access.subs[k].affine, copy->by);
            copy->expr[i] = expr_draw(&copy->ob, node->tag, node->access.count, subs, node->draw_extent);
        } else {
            copy->expr[i] = expr_op(&copy->ob, node->kind, args[0], args[1], args[2]);
        }
    }
}

static Copy copy_begin(Decoder *dec, const Op *from, int time)
{
    Program *program = dec->program;
    Copy copy = {.dec = dec, .from = from, .ob = op_begin(dec->to, from->kind), .time = time};
    copy.by = ARENA_ARRAY(program->arena, Affine, from->index_count + 1);
    for (int i = 0; i < from->index_count; i++) {
        op_index(&copy.ob, from->indices[i].name, i == time ? dec->n : from->indices[i].extent);
        copy.by[i] = affine_index(program, i);
        if (i == time)
            copy.by[i] = affine_add(program, copy.by[i], affine_const(program, dec->p));
    }
    for (int i = 0; i < from->cond_count; i++)
        op_cond(&copy.ob, affine_substitute(program, from->conds[i], copy.by));
    copy_exprs(&copy);
    for (int i = 0; i < from->guard_count; i++)
        op_guard(&copy.ob, copy.expr[from->guards[i]]);
    Op *op = &copy.ob.op;
    op->reducer = from->reducer;
    op->body = copy.expr[from->body];
    op->body2 = from->kind == OP_RECUR && from->body2 >= 0 ? copy.expr[from->body2] : -1;
    op->scan_count = from->scan_count;
    op->scan = from->scan;
    op->reverse = from->reverse;
    op->exclusive = from->exclusive;
    op->reduced = from->reduced;
    op->top_k = from->top_k;
    op->span = from->span;
    return copy;
}

static void set_output(Copy *copy, int tensor)
{
    const Access *out = &copy->from->out;
    Program *program = copy->dec->program;
    copy->ob.op.out = access_new(program, tensor, out->count);
    for (int i = 0; i < out->count; i++) {
        int index;
        const bool time = !out->subs[i].read && affine_is_index(out->subs[i].affine, &index) && index == copy->time;
        copy->ob.op.out.subs[i] = time ? out->subs[i] : copy_sub(copy, &out->subs[i]);
    }
}

static bool scans(const Op *op, int index)
{
    for (int i = 0; i < op->scan_count; i++)
        if (op->scan[i] == index)
            return true;
    return false;
}

/* The carry's axes: the indices that are not scanned, in order. */
static Access carry_access(Decoder *dec, const Op *op, int tensor)
{
    int indices[64], count = 0;
    for (int i = 0; i < op->index_count; i++)
        if (!scans(op, i))
            indices[count++] = i;
    return access_indices(dec->program, tensor, count, indices);
}

static int carry_formal(Decoder *dec, const Op *op, Symbol name)
{
    Dim extents[64];
    int count = 0;
    for (int i = 0; i < op->index_count; i++)
        if (!scans(op, i))
            extents[count++] = op->indices[i].extent;
    return cache_formal(dec, name, T_REAL, count, extents, NULL);
}

/* carry' = the value after the last scanned point of the positions at hand. */
static void carry_next(Decoder *dec, const Op *op, int values)
{
    Program *program = dec->program;
    const Op from = *op;
    OpBuilder ob = op_begin(dec->to, OP_NEST);
    int index_of[64];
    Dim extents[64];
    int rank = 0;
    ob.op.reducer = REDUCE_SET;
    for (int i = 0; i < from.index_count; i++)
        if (!scans(&from, i)) {
            extents[rank++] = from.indices[i].extent;
            index_of[i] = op_index(&ob, from.indices[i].name, from.indices[i].extent);
        }
    const int carry = unit_tensor(dec->to, dec->to->tensors[values].name, T_REAL, TENSOR_LOCAL, rank, extents, NULL);
    Access read = access_new(program, values, from.out.count), out = access_new(program, carry, rank);
    for (int i = 0; i < from.out.count; i++) {
        int index;
        BFM_ASSERT(affine_is_index(from.out.subs[i].affine, &index));
        read.subs[i] = scans(&from, index) ? sub_affine(affine_const(program, dim_sub(program->dims, from.indices[index].extent, dim_int(program->dims, 1))), 1)
                                           : sub_index(program, index_of[index]);
    }
    for (int k = 0; k < rank; k++)
        out.subs[k] = sub_index(program, k);
    ob.op.body = expr_read(&ob, read);
    ob.op.out = out;
    op_finish(&ob);
    next_output(dec, carry);
}

/* A recurrence along positions goes on from where the last position left it. */
static void copy_recurrence(Decoder *dec, const Op *from, int time, int tensor)
{
    if (from->init.tensor >= 0 || from->reverse) {
        refuse(dec, from->out.tensor, "is a recurrence that does not begin at the first position");
        return;
    }
    for (int i = 0; i < from->scan_count && from->scan[i] != time; i++)
        if (!dim_is(from->indices[from->scan[i]].extent, 1)) {
            refuse(dec, from->out.tensor, "is a recurrence that runs over other things before positions");
            return;
        }
    Copy copy = copy_begin(dec, from, time);
    const int state = carry_formal(dec, &copy.ob.op, dec->from->tensors[from->out.tensor].name);
    set_output(&copy, tensor);
    copy.ob.op.init = carry_access(dec, &copy.ob.op, state);
    const int formal = dec->to->formal_count - 1, binding = dec->bindings.count - 1;
    BFM_ASSERT(formal == binding);
    int number = op_finish(&copy.ob), values = tensor;
    if (from->exclusive) { /* the same with its own update included, for the carry */
        Copy again = copy_begin(dec, from, time);
        const Tensor like = dec->to->tensors[tensor];
        values = unit_tensor(dec->to, like.name, T_REAL, TENSOR_LOCAL, like.rank, like.extent, NULL);
        set_output(&again, values);
        again.ob.op.exclusive = false;
        again.ob.op.init = carry_access(dec, &again.ob.op, state);
        number = op_finish(&again.ob);
    }
    carry_next(dec, &dec->to->ops[number], values);
}

static void flush_pending(Decoder *dec)
{
    for (int i = 0; i < dec->pending.count; i++)
        extend_cache(dec, dec->pending.items[i]);
    dec->pending.count = 0;
}

static void copy_op(Decoder *dec, int number)
{
    const Op *from = &dec->from->ops[number];
    Plan *plan = &dec->plans[from->out.tensor];
    const int time = time_index(dec, from);
    if (from->group == 0 || (number > 0 && dec->from->ops[number - 1].group != from->group))
        flush_pending(dec);
    plan->current = tensor_now(dec, from->out.tensor, TENSOR_LOCAL);
    if (from->kind == OP_RECUR && time >= 0 && scans(from, time)) {
        copy_recurrence(dec, from, time, plan->current);
    } else {
        Copy copy = copy_begin(dec, from, time);
        set_output(&copy, plan->current);
        if (from->init.tensor >= 0)
            copy.ob.op.init = copy_access(&copy, &from->init);
        copy.ob.op.group = from->group;
        dec->moved[number] = op_finish(&copy.ob);
    }
    if (plan->kept)
        vec_push(&dec->pending, from->out.tensor);
    if (from->group == 0)
        flush_pending(dec);
}

static void copy_groups(Decoder *dec)
{
    for (int g = 0; g < dec->from->group_count; g++) {
        Group group = dec->from->groups[g];
        int *const roles[] = {&group.raw, &group.score, &group.lse, &group.score_grad, &group.raw_grad};
        for (size_t r = 0; r < sizeof roles / sizeof *roles; r++)
            *roles[r] = *roles[r] >= 0 ? dec->moved[*roles[r]] : -1;
        for (int i = 0; i < group.use_count; i++)
            group.uses[i] = dec->moved[group.uses[i]];
        for (int i = 0; i < group.pick_count; i++)
            group.picks[i] = dec->moved[group.picks[i]];
        unit_group(dec->to, group);
    }
}

static void copy_formals(Decoder *dec, const Binding *bindings)
{
    for (int i = 0; i < dec->from->formal_count; i++) {
        const int old = dec->from->formals[i];
        Plan *plan = &dec->plans[old];
        if (!plan->demanded)
            continue;
        plan->current = tensor_now(dec, old, dec->from->tensors[old].role);
        vec_push(&dec->bindings, bindings[i]);
    }
    for (int i = 0; i < dec->from->formal_count && !dec->message; i++)
        if (dec->plans[dec->from->formals[i]].kept)
            extend_cache(dec, dec->from->formals[i]);
}

Unit *decode_forward(Program *program, int output)
{
    Unit *flat = unit_flatten(program, program->main);
    flat->outputs[0] = flat->outputs[output];
    flat->output_count = 1;
    opt_simplify_unit(flat, &(OptOptions){.phase = OPT_BEFORE_GRAD});
    (void)pass_run(PASS_raise, flat, NULL);
    opt_simplify_unit(flat, &(OptOptions){.phase = OPT_AFTER_GRAD});
    return flat;
}

/* ---- a context of one position --------------------------------------------------------------------------------------------- */

/* Copies in which the extent of all positions is that of those at hand. */
typedef struct Renaming {
    Program *program;
    Dim to;
} Renaming;

static Dim renamed_dim(const Renaming *by, Dim dim) { return dim ? dim_substitute(by->program->dims, dim, DIM_L, by->to) : NULL; }

static Affine renamed_affine(const Renaming *by, Affine affine)
{
    affine.base = renamed_dim(by, affine.base);
    affine.terms = arena_memdup(by->program->arena, affine.terms, (size_t)affine.count * sizeof *affine.terms);
    for (int t = 0; t < affine.count; t++)
        affine.terms[t].coef = renamed_dim(by, affine.terms[t].coef);
    return affine;
}

static Access renamed_access(const Renaming *by, Access access)
{
    access.subs = arena_memdup(by->program->arena, access.subs, (size_t)access.count * sizeof *access.subs);
    for (int s = 0; s < access.count; s++) {
        Sub *sub = &access.subs[s];
        if (!sub->read) {
            sub->affine = renamed_affine(by, sub->affine);
            continue;
        }
        const Access inner = renamed_access(by, *sub->read);
        sub->read = arena_memdup(by->program->arena, &inner, sizeof inner);
    }
    return access;
}

static Expr renamed_expr(const Renaming *by, Expr expr)
{
    if (expr.kind == EXPR_DIM)
        expr.dim = renamed_dim(by, expr.dim);
    if (expr.kind == EXPR_READ || expr.kind == EXPR_DRAW)
        expr.access = renamed_access(by, expr.access);
    if (expr.kind == EXPR_DRAW) {
        expr.draw_extent = arena_memdup(by->program->arena, expr.draw_extent, (size_t)expr.access.count * sizeof *expr.draw_extent);
        for (int s = 0; s < expr.access.count; s++)
            expr.draw_extent[s] = renamed_dim(by, expr.draw_extent[s]);
    }
    return expr;
}

static Op renamed_op(const Renaming *by, Op op)
{
    Arena *arena = by->program->arena;
    op.indices = arena_memdup(arena, op.indices, (size_t)op.index_count * sizeof *op.indices);
    op.conds = arena_memdup(arena, op.conds, (size_t)op.cond_count * sizeof *op.conds);
    op.exprs = arena_memdup(arena, op.exprs, (size_t)op.expr_count * sizeof *op.exprs);
    for (int i = 0; i < op.index_count; i++)
        op.indices[i].extent = renamed_dim(by, op.indices[i].extent);
    for (int c = 0; c < op.cond_count; c++)
        op.conds[c] = renamed_affine(by, op.conds[c]);
    for (int id = 0; id < op.expr_count; id++)
        op.exprs[id] = renamed_expr(by, op.exprs[id]);
    op.out = renamed_access(by, op.out);
    if (op.init.tensor >= 0)
        op.init = renamed_access(by, op.init);
    if (op.kind == OP_TOP)
        op.top_k = renamed_dim(by, op.top_k);
    return op;
}

static void note_read(void *user, const Access *access, AccessUse use)
{
    bool *read = user;
    read[access->tensor] = read[access->tensor] || use != ACCESS_OUT;
}

/* Formals that nothing reads (targets) are no part of a decoder. */
static void keep_formals(Program *program, Unit *unit, const Unit *from, const Binding *bindings)
{
    bool *read = ARENA_ARRAY(program->arena, bool, unit->tensor_count + 1);
    for (int i = 0; i < from->op_count; i++)
        op_visit(&from->ops[i], note_read, read);
    for (int o = 0; o < from->output_count; o++)
        read[from->outputs[o].tensor] = true;
    program->bindings = ARENA_ARRAY(program->arena, Binding, from->formal_count + 1);
    unit->formal_count = 0;
    for (int f = 0; f < from->formal_count; f++)
        if (read[from->formals[f]]) {
            program->bindings[unit->formal_count] = bindings[f];
            unit->formals[unit->formal_count++] = from->formals[f];
        }
}

/* Nothing stands before the position at hand, so nothing is kept of it: the forward unit, with the one position for all. */
static Program *decode_one_position(Program *program, const Unit *from, const Binding *bindings)
{
    const Renaming by = {program, dim_symbol(program->dims, DIM_N)};
    Unit *unit = unit_clone(from, intern(program->interner, "decode"));
    unit->program = program;
    for (int t = 0; t < unit->tensor_count; t++) {
        Tensor *tensor = &unit->tensors[t];
        tensor->extent = arena_memdup(program->arena, tensor->extent, (size_t)tensor->rank * sizeof *tensor->extent);
        for (int a = 0; a < tensor->rank; a++)
            tensor->extent[a] = renamed_dim(&by, tensor->extent[a]);
        tensor->bound = renamed_dim(&by, tensor->bound);
    }
    for (int i = 0; i < unit->op_count; i++)
        unit->ops[i] = renamed_op(&by, from->ops[i]);
    keep_formals(program, unit, from, bindings);
    program->main = unit;
    return program;
}

Program *decode_program(Program *old, const Unit *unit, const Binding *bindings, const char **message)
{
    Arena *arena = old->arena;
    Program *program = arena_memdup(arena, old, sizeof *old);
    program->unit_count = program->unit_capacity = 0;
    program->units = NULL;
    *message = NULL;
    if (old->most[DIM_L] == 1)
        return decode_one_position(program, unit, bindings);
    Decoder dec = {.program = program,
                   .from = unit,
                   .plans = ARENA_ARRAY(arena, Plan, unit->tensor_count + 1),
                   .moved = ARENA_ARRAY(arena, int, unit->op_count + 1),
                   .l = dim_symbol(old->dims, DIM_L),
                   .p = dim_symbol(old->dims, DIM_P),
                   .n = dim_symbol(old->dims, DIM_N)};
    for (int i = 0; i < unit->tensor_count; i++)
        dec.plans[i] = (Plan){.time_axis = -1, .current = -1, .cache = -1};
    dec.to = unit_new(program, intern(old->interner, "decode"));
    collect_demands(&dec);
    if (!dec.message)
        copy_formals(&dec, bindings);
    for (int i = 0; i < unit->op_count && !dec.message; i++)
        if (dec.moved[i] >= 0)
            copy_op(&dec, i);
    if (!dec.message) {
        flush_pending(&dec);
        copy_groups(&dec);
        for (int o = 0; o < unit->output_count; o++)
            if (unit->outputs[o].kind == OUTPUT_RESULT)
                unit_output(dec.to, unit->outputs[o].name, OUTPUT_RESULT, dec.plans[unit->outputs[o].tensor].current);
    }
    program->main = dec.to;
    program->bindings = arena_memdup(arena, dec.bindings.items, (size_t)dec.bindings.count * sizeof(Binding));
    vec_free(&dec.bindings);
    vec_free(&dec.pending);
    *message = dec.message;
    return dec.message ? NULL : program;
}
