/* Padding: rows and positions whose tokens are none. Nobody may look at what a definition gives there, but what is no number would reach others: a sum
   multiplies it by a weight of 0, a derivative by an adjoint of 0. So an operation that may give no number there (a quotient by what is 0 of an empty
   embedding, a token used as a number) leaves these points out: it is 0 at them, and has no derivative.
   requires   a verified program, as lowering makes it
   preserves  the values at all points that are not padding
   breaks     formals of units and arguments of calls: a unit that needs to know receives the model's segments or tokens */
#include "opt/opt.h"

#include "ir/defined.h"
#include "ir/rewrite.h"

#include <string.h>

enum { NOT_KNOWN = -2 };

typedef struct Padding {
    Program *program;
    Dim rows, length, both;
    int mask; /* the formal of main, by its tensor */
    int *of;  /* [unit_count]: the tensor that says it in the unit, -1: there is none; NOT_KNOWN: not looked for yet */
} Padding;

/* ---- the mask in each unit -------------------------------------------------------------------------------------------------- */

/* The formal of main that is none at padding: [b, l]; -1 if it has none. */
static int main_mask(const Program *program, Dim rows, Dim length)
{
    const Unit *main = program->main;
    int found = -1;
    for (int f = 0; f < main->formal_count && program->bindings; f++) {
        const Tensor *tensor = &main->tensors[main->formals[f]];
        const char *path = program->bindings[f].path;
        const bool segment = strcmp(path, "segment") == 0;
        if (tensor->role == TENSOR_INPUT && tensor->type == T_INT && tensor->rank == 2 && tensor->extent[0] == rows && tensor->extent[1] == length &&
            (segment || (strcmp(path, "tokens") == 0 && found < 0)))
            found = main->formals[f];
    }
    return found;
}

static int mask_of(Padding *padding, Unit *unit);

/* The formal of the callee that every call gives the mask; -1 if there is none. */
static int formal_given(Padding *padding, const Unit *callee)
{
    for (int f = 0; f < callee->formal_count; f++) {
        bool given = true;
        for (int u = 0; u < padding->program->unit_count && given; u++) {
            Unit *caller = padding->program->units[u];
            for (int i = 0; i < caller->op_count && given; i++)
                given = caller->ops[i].kind != OP_CALL || caller->ops[i].callee != callee || caller->ops[i].args[f] == mask_of(padding, caller);
        }
        if (given)
            return callee->formals[f];
    }
    return -1;
}

static int formal_added(Padding *padding, Unit *callee)
{
    Program *program = padding->program;
    const Tensor *mask = &program->main->tensors[padding->mask];
    const int tensor = unit_formal(callee, mask->name, T_INT, TENSOR_INPUT, 2, mask->extent, mask->bound);
    for (int u = 0; u < program->unit_count; u++)
        for (int i = 0; i < program->units[u]->op_count; i++) {
            Op *op = &program->units[u]->ops[i];
            if (op->kind != OP_CALL || op->callee != callee)
                continue;
            int *args = ARENA_ARRAY(program->arena, int, op->arg_count + 1);
            memcpy(args, op->args, (size_t)op->arg_count * sizeof *args);
            args[op->arg_count++] = mask_of(padding, program->units[u]);
            op->args = args;
        }
    return tensor;
}

/* Whether the unit is called at all, and each caller has the mask. */
static bool callers_have_mask(Padding *padding, const Unit *unit)
{
    bool called = false;
    for (int u = 0; u < padding->program->unit_count; u++) {
        Unit *caller = padding->program->units[u];
        for (int i = 0; i < caller->op_count; i++) {
            if (caller->ops[i].kind != OP_CALL || caller->ops[i].callee != unit)
                continue;
            called = true;
            if (mask_of(padding, caller) < 0)
                return false;
        }
    }
    return called;
}

static int unit_position(const Padding *padding, const Unit *unit)
{
    int u = 0;
    while (padding->program->units[u] != unit)
        u++;
    return u;
}

static int mask_of(Padding *padding, Unit *unit)
{
    int *known = &padding->of[unit_position(padding, unit)];
    if (*known != NOT_KNOWN)
        return *known;
    if (unit == padding->program->main)
        return *known = padding->mask;
    if (!callers_have_mask(padding, unit))
        return *known = -1;
    const int given = formal_given(padding, unit);
    return *known = given >= 0 ? given : formal_added(padding, unit);
}

/* ---- operations ------------------------------------------------------------------------------------------------------------- */

/* How a point of the operation's result lies in rows and positions: the index of rows, and a bit for each index of positions or (`joined`) of both. */
typedef struct Place {
    int row;
    uint64_t positions, joined;
} Place;

static Place place_of(const Padding *padding, const Op *op)
{
    Place place = {.row = -1};
    for (int s = 0; s < op->out.count; s++) {
        const Sub *sub = &op->out.subs[s];
        int index;
        if (sub->read || !affine_is_index(sub->affine, &index))
            continue;
        const Dim extent = op->indices[index].extent;
        if (extent == padding->both)
            place.joined |= UINT64_C(1) << index;
        else if (extent == padding->length)
            place.positions |= UINT64_C(1) << index;
        else if (extent == padding->rows)
            place.row = index;
    }
    return place;
}

/* Whether it reads numbers or integers at the very index, as what lies at a position does; a distance subscripts nothing bare. */
typedef struct Uses {
    uint64_t bare;
} Uses;

static void note_bare(void *user, const Access *access, AccessUse use)
{
    Uses *uses = user;
    for (int s = 0; s < access->count && use == ACCESS_VALUE; s++) {
        int index;
        if (!access->subs[s].read && affine_is_index(access->subs[s].affine, &index))
            uses->bare |= UINT64_C(1) << index;
    }
}

static void guard_exists(OpBuilder *builder, int mask, int count, const int *indices)
{
    Program *program = builder->unit->program;
    Access access = access_new(program, mask, count);
    for (int s = 0; s < count; s++)
        access.subs[s] = sub_affine(affine_index(program, indices[s]), count == 1 ? 2 : 1);
    op_guard(builder, expr_op(builder, EXPR_EXISTS, expr_read(builder, access), -1, -1));
}

/* The operation over the points that are no padding; 0 at the others. */
static Op without_padding(Unit *unit, const Op *op, int mask, const Place *place)
{
    OpBuilder builder = op_begin(unit, op->kind);
    Rewrite rewrite = rewrite_begin(&builder, unit, op, NULL, NULL, NULL);
    rewrite_all(&rewrite);
    builder.op.group = op->group;
    if (op->kind == OP_NEST)
        builder.op.reducer = REDUCE_SUM;
    for (int i = 0; i < op->index_count; i++) {
        const int pair[2] = {place->row, i};
        if (place->joined >> i & 1)
            guard_exists(&builder, mask, 1, &i);
        else if (place->row >= 0 && (place->positions >> i & 1))
            guard_exists(&builder, mask, 2, pair);
    }
    return builder_take(&builder);
}

static bool total_by_sum(const Op *op) { return op->kind == OP_RECUR || ((op->reducer == REDUCE_SET || op->reducer == REDUCE_SUM) && op->init.tensor < 0); }

static void leave_padding_out(Padding *padding, Unit *unit)
{
    Arena *arena = arena_new();
    const Sign *signs = unit_signs(arena, unit);
    for (int i = 0; i < unit->op_count; i++) {
        const Op *op = &unit->ops[i];
        if (op->kind == OP_CALL || op->kind == OP_TOP || unit->tensors[op->out.tensor].type != T_REAL || !total_by_sum(op))
            continue;
        Place place = place_of(padding, op);
        Uses uses = {0};
        op_visit(op, note_bare, &uses);
        place.positions &= uses.bare;
        place.joined &= uses.bare;
        if (!place.joined && (place.row < 0 || !place.positions))
            continue;
        if (!op_may_be_undefined(arena, unit, op, signs))
            continue;
        const int mask = mask_of(padding, unit);
        if (mask >= 0)
            unit->ops[i] = without_padding(unit, &unit->ops[i], mask, &place);
    }
    arena_free(arena);
}

void opt_padding(Program *program)
{
    DimTable *dims = program->dims;
    Padding padding = {.program = program, .rows = dim_symbol(dims, DIM_B), .length = dim_symbol(dims, DIM_L)};
    padding.both = dim_mul(dims, padding.rows, padding.length);
    padding.mask = main_mask(program, padding.rows, padding.length);
    if (padding.mask < 0)
        return;
    padding.of = ARENA_ARRAY(program->arena, int, program->unit_count + 1);
    for (int u = 0; u < program->unit_count; u++)
        padding.of[u] = NOT_KNOWN;
    for (int u = 0; u < program->unit_count; u++)
        leave_padding_out(&padding, program->units[u]);
}
