/* Effects of the tensors of one unit on its formals: bounds of the differences between the position of what is read and the position of what is written. */
#include "ir/effects_internal.h"

#include "support/bug.h"

typedef struct Analysis {
    Arena *arena;
    const ProgramEffects *done;
    UnitReach reach;
} Analysis;

static Interval interval_meet(Interval a, Interval b)
{
    if (a.empty || b.empty)
        return INTERVAL_EMPTY;
    const Interval meet = {.low = a.low > b.low ? a.low : b.low, .high = a.high < b.high ? a.high : b.high};
    return meet.low <= meet.high ? meet : a; /* bounds that exclude each other: an empty domain, kept sound */
}

/* ---- tensors ---- */

static TensorInfo tensor_info(const Analysis *an, int id)
{
    const Unit *unit = an->reach.unit;
    const Tensor *tensor = &unit->tensors[id];
    TensorInfo info = {.row_axis = -1, .reach = ARENA_ARRAY(an->arena, Reach, an->reach.tracked_count + 1), .shift = ARENA_ARRAY(an->arena, Dim, tensor->rank + 1)};
    for (int axis = 0; axis < tensor->rank; axis++) {
        if (tensor->extent[axis] == dim_symbol(unit->program->dims, DIM_B) && info.row_axis < 0)
            info.row_axis = axis;
        if (tensor->extent[axis] == dim_symbol(unit->program->dims, DIM_L) && info.position_count < POSITION_AXES_MAX)
            info.position_axis[info.position_count++] = axis;
    }
    for (int f = 0; f < an->reach.tracked_count; f++)
        for (int k = 0; k < POSITION_AXES_MAX; k++)
            info.reach[f].own[k] = info.reach[f].cross[k] = INTERVAL_EMPTY;
    return info;
}

/* A formal's position is that of its first axis of extent l; without one it stands for all positions, without rows for all rows. */
static void formal_reach(Analysis *an, int tracked)
{
    TensorInfo *info = &an->reach.tensors[an->reach.unit->formals[an->reach.tracked[tracked]]];
    Reach *reach = &info->reach[tracked];
    reach->any = true;
    for (int k = 0; k < POSITION_AXES_MAX; k++) {
        reach->own[k] = k == 0 && info->position_count > 0 ? INTERVAL_ZERO : INTERVAL_ALL;
        reach->cross[k] = info->row_axis >= 0 ? INTERVAL_EMPTY : reach->own[k];
    }
}

bool formal_holds_positions(const UnitReach *reach, int tracked)
{
    const int id = reach->unit->formals[reach->tracked[tracked]];
    const TensorInfo *info = &reach->tensors[id];
    return reach->unit->tensors[id].role == TENSOR_INPUT && (info->position_count > 0 || info->row_axis >= 0);
}

/* In a program of one position there is no other to read, and its length is always the same. */
static void one_position(const UnitReach *reach, int tensor)
{
    TensorInfo *info = &reach->tensors[tensor];
    if (reach->unit->program->most[DIM_L] != 1)
        return;
    info->ext &= ~(1u << DIM_L);
    info->place_ext &= ~(1u << DIM_L);
    for (int f = 0; f < reach->tracked_count; f++)
        for (int k = 0; k < POSITION_AXES_MAX; k++) {
            Reach *to = &info->reach[f];
            to->own[k] = to->own[k].empty ? INTERVAL_EMPTY : INTERVAL_ZERO;
            to->cross[k] = to->cross[k].empty ? INTERVAL_EMPTY : INTERVAL_ZERO;
        }
}

/* ---- one read ---- */

static bool same_row(const TensorInfo *to, const Where *out, const TensorInfo *from, const Where *where)
{
    if (to->row_axis < 0 || from->row_axis < 0)
        return false;
    return where->known[from->row_axis] && out->known[to->row_axis] && affine_equal(where->value[from->row_axis], out->value[to->row_axis]);
}

/* The reach of the tensor read, seen from position axis `axis` of the tensor written (-1: it has none). */
static Interval moved(const Analysis *an, const Op *op, const Where *out, int axis, const TensorInfo *from, const Where *where, const Interval *reach)
{
    if (reach[0].empty)
        return INTERVAL_EMPTY;
    Interval best = INTERVAL_ALL;
    for (int k = 0; k < from->position_count && axis >= 0; k++) {
        const int at = from->position_axis[k];
        if (!where->known[at] || !out->known[axis])
            continue;
        best = interval_meet(best, interval_add(affine_difference(an->reach.unit, op, where->value[at], out->value[axis]), reach[k]));
    }
    return best;
}

static void read_reach(const Analysis *an, const Op *op, const Where *out, const Access *access)
{
    const TensorInfo *from = &an->reach.tensors[access->tensor];
    TensorInfo *to = &an->reach.tensors[op->out.tensor];
    const Where where = where_is(an->reach.unit, op, access);
    const bool same = same_row(to, out, from, &where);
    const int axes = to->position_count > 0 ? to->position_count : 1;
    for (int f = 0; f < an->reach.tracked_count; f++) {
        const Reach *reach = &from->reach[f];
        if (!reach->any)
            continue;
        to->reach[f].any = true;
        for (int k = 0; k < axes; k++) {
            const int axis = to->position_count > 0 ? to->position_axis[k] : -1;
            const Interval own = moved(an, op, out, axis, from, &where, reach->own), cross = moved(an, op, out, axis, from, &where, reach->cross);
            const Interval either = interval_hull(own, cross);
            to->reach[f].own[k] = interval_hull(to->reach[f].own[k], same ? own : either);
            to->reach[f].cross[k] = interval_hull(to->reach[f].cross[k], same ? cross : either);
        }
    }
    for (int i = 0; i < access->count; i++)
        if (access->subs[i].read)
            read_reach(an, op, out, access->subs[i].read);
}

/* ---- operations ---- */

/* What stands before a point in the order of a recurrence: in its own row what is not later, unless an axis other than rows turns around positions;
   in other rows whatever, unless positions come first. */
static Effect scan_effect(const Analysis *an, const Op *op)
{
    DimTable *dims = an->reach.unit->program->dims;
    const Interval past = op->reverse ? (Interval){.low = 0, .high = EFFECT_INFINITY} : (Interval){.low = -EFFECT_INFINITY, .high = 0};
    Effect effect = {.own = INTERVAL_ZERO, .cross = INTERVAL_EMPTY};
    bool row = false, position = false, other = false, row_first = false;
    for (int i = 0; i < op->scan_count; i++) {
        const Dim extent = op->indices[op->scan[i]].extent;
        if (extent == dim_symbol(dims, DIM_B)) {
            row = true;
            row_first = row_first || !position;
        } else if (extent == dim_symbol(dims, DIM_L)) {
            effect.own = other || position ? INTERVAL_ALL : past;
            position = true;
        } else if (!position && !dim_is(extent, 1)) {
            other = true;
        }
    }
    if (row)
        effect.cross = !position ? INTERVAL_ZERO : row_first || other ? INTERVAL_ALL : effect.own;
    return effect;
}

static void apply_scan(const Analysis *an, const Op *op, TensorInfo *to)
{
    const Effect scan = scan_effect(an, op);
    for (int f = 0; f < an->reach.tracked_count; f++)
        for (int k = 0; k < POSITION_AXES_MAX && to->reach[f].any; k++) {
            const Effect inner = {.own = to->reach[f].own[k], .cross = to->reach[f].cross[k]}, all = effect_compose(scan, inner);
            to->reach[f].own[k] = all.own;
            to->reach[f].cross[k] = all.cross;
        }
}

static void op_effects(const Analysis *an, const Op *op)
{
    const Where out = where_is(an->reach.unit, op, &op->out);
    op_sizes(&an->reach, op, &out);
    for (int i = 0; i < op->expr_count; i++)
        if (op->exprs[i].kind == EXPR_READ)
            read_reach(an, op, &out, &op->exprs[i].access);
    for (int i = 0; i < op->out.count; i++)
        if (op->out.subs[i].read)
            read_reach(an, op, &out, op->out.subs[i].read);
    if (op->kind == OP_RECUR) {
        if (op->init.tensor >= 0)
            read_reach(an, op, &out, &op->init);
        apply_scan(an, op, &an->reach.tensors[op->out.tensor]);
    }
}

Effect reach_effect(const TensorInfo *info, const Reach *reach)
{
    Effect effect = effect_none();
    effect.ext = info->ext;
    if (!reach->any)
        return effect;
    effect.own = reach->own[0];
    effect.cross = reach->cross[0];
    return effect;
}

/* In positions of tokens: the target of a position is the token after it. */
static Effect effect_in_tokens(Effect effect, bool targets)
{
    const Interval one = {.low = 1, .high = 1};
    if (targets) {
        effect.own = interval_add(effect.own, one);
        effect.cross = interval_add(effect.cross, one);
    }
    return effect;
}

Effect tensor_effect(const UnitReach *reach, int tensor)
{
    Effect effect = effect_none();
    effect.ext = reach->tensors[tensor].ext;
    for (int f = 0; f < reach->tracked_count; f++)
        if (formal_holds_positions(reach, f))
            effect =
                effect_join(effect, effect_in_tokens(reach_effect(&reach->tensors[tensor], &reach->tensors[tensor].reach[f]), reach->targets && reach->targets[reach->tracked[f]]));
    return effect;
}

/* What a result reads of one argument, behind the caller's formals. */
static void argument_effects(const Analysis *an, Effect outer, const TensorInfo *from, TensorInfo *to)
{
    to->ext |= from->ext;
    for (int f = 0; f < an->reach.tracked_count; f++) {
        if (!from->reach[f].any)
            continue;
        const Effect all = effect_compose(outer, reach_effect(from, &from->reach[f]));
        to->reach[f].any = true;
        to->reach[f].own[0] = interval_hull(to->reach[f].own[0], all.own);
        to->reach[f].cross[0] = interval_hull(to->reach[f].cross[0], all.cross);
        for (int k = 1; k < POSITION_AXES_MAX; k++) /* a call says where results stand by their first position axis only */
            to->reach[f].own[k] = to->reach[f].cross[k] = INTERVAL_ALL;
    }
}

static void call_effects(const Analysis *an, const Op *op)
{
    const UnitEffects *callee = effects_of(an->done, op->callee);
    BFM_ASSERT(callee);
    for (int r = 0; r < op->result_count; r++) {
        if (op->results[r] < 0)
            continue;
        TensorInfo *to = &an->reach.tensors[op->results[r]];
        to->ext |= callee->own_ext[r];
        for (int g = 0; g < callee->tracked_count; g++) {
            const Effect outer = callee->on_tracked[r * callee->tracked_count + g];
            if (!outer.own.empty || !outer.cross.empty)
                argument_effects(an, outer, &an->reach.tensors[op->args[callee->tracked[g]]], to);
        }
        to->place_ext = to->ext;
    }
}

/* In the main unit parameters and states are what the runtime binds; in the others they are whatever the caller passes. */
static void track(Analysis *an)
{
    UnitReach *reach = &an->reach;
    const Unit *unit = reach->unit;
    reach->tracked = ARENA_ARRAY(an->arena, int, unit->formal_count + 1);
    for (int f = 0; f < unit->formal_count; f++)
        if (unit != unit->program->main || unit->tensors[unit->formals[f]].role == TENSOR_INPUT)
            reach->tracked[reach->tracked_count++] = f;
}

UnitReach unit_reach(Arena *arena, const ProgramEffects *callees, const Unit *unit)
{
    Analysis an = {.arena = arena, .done = callees, .reach = {.unit = unit, .targets = unit_targets(callees, unit)}};
    track(&an);
    an.reach.tensors = ARENA_ARRAY(arena, TensorInfo, unit->tensor_count + 1);
    for (int i = 0; i < unit->tensor_count; i++)
        an.reach.tensors[i] = tensor_info(&an, i);
    for (int f = 0; f < an.reach.tracked_count; f++) {
        formal_reach(&an, f);
        one_position(&an.reach, unit->formals[an.reach.tracked[f]]);
    }
    for (int i = 0; i < unit->op_count; i++) {
        const Op *op = &unit->ops[i];
        if (op->kind == OP_CALL)
            call_effects(&an, op);
        else
            op_effects(&an, op);
        for (int r = 0; op->kind == OP_CALL && r < op->result_count; r++)
            if (op->results[r] >= 0)
                one_position(&an.reach, op->results[r]);
        if (op->kind != OP_CALL)
            one_position(&an.reach, op->out.tensor);
    }
    return an.reach;
}
