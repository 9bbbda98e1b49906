/* Effects of operations: bounds of the differences between the position of what is read and the position of what is written. */
#include "ir/effects.h"

#include "support/bug.h"
#include "support/checked.h"

#include <inttypes.h>
#include <string.h>

static const int64_t INF = EFFECT_INFINITY;
static const Interval EMPTY = {.empty = true}, ALL = {.low = -EFFECT_INFINITY, .high = EFFECT_INFINITY}, ZERO = {.low = 0, .high = 0};

enum { POSITION_AXES_MAX = 4 };

/* ---- the algebra ---- */

Interval interval_hull(Interval a, Interval b)
{
    if (a.empty)
        return b;
    if (b.empty)
        return a;
    return (Interval){.low = a.low < b.low ? a.low : b.low, .high = a.high > b.high ? a.high : b.high};
}

static int64_t end_add(int64_t a, int64_t b)
{
    int64_t sum;
    if (a == INF || b == INF)
        return INF;
    if (a == -INF || b == -INF)
        return -INF;
    return checked_add(a, b, &sum) ? sum : a > 0 ? INF : -INF;
}

Interval interval_add(Interval a, Interval b)
{
    if (a.empty || b.empty)
        return EMPTY;
    return (Interval){.low = end_add(a.low, b.low), .high = end_add(a.high, b.high)};
}

static Interval interval_meet(Interval a, Interval b)
{
    if (a.empty || b.empty)
        return EMPTY;
    const Interval meet = {.low = a.low > b.low ? a.low : b.low, .high = a.high < b.high ? a.high : b.high};
    return meet.low <= meet.high ? meet : a; /* bounds that exclude each other: an empty domain, kept sound */
}

Effect effect_none(void)
{
    return (Effect){EMPTY, EMPTY, 0};
}

Effect effect_join(Effect a, Effect b)
{
    return (Effect){interval_hull(a.own, b.own), interval_hull(a.cross, b.cross), a.ext | b.ext};
}

Effect effect_compose(Effect outer, Effect inner)
{
    const Interval own = interval_hull(interval_add(outer.own, inner.own), interval_add(outer.cross, inner.cross));
    const Interval cross = interval_hull(interval_hull(interval_add(outer.own, inner.cross), interval_add(outer.cross, inner.own)),
                                         interval_add(outer.cross, inner.cross));
    return (Effect){own, cross, outer.ext | inner.ext};
}

static bool past(Interval a)
{
    return a.empty || a.high <= 0;
}

bool effect_causal(Effect effect)
{
    return past(effect.own) && past(effect.cross);
}

bool effect_token_local(Effect effect)
{
    return effect.cross.empty && (effect.own.empty || (effect.own.low >= 0 && effect.own.high <= 0));
}

bool effect_batch_independent(Effect effect)
{
    return effect.cross.empty;
}

bool effect_length_dependent(Effect effect)
{
    return (effect.ext & 1u << DIM_L) != 0;
}

/* ---- tensors of a unit ---- */

/* What a tensor reads of one formal, by each of its position axes; a tensor without one is read as a whole. */
typedef struct Reach {
    bool any;                             /* reads the formal at all */
    Interval own[POSITION_AXES_MAX], cross[POSITION_AXES_MAX]; /* by position axis (index 0 if there is none) */
} Reach;

typedef struct TensorInfo {
    int row_axis;                         /* storage axis of extent b, -1 */
    int position_count, position_axis[POSITION_AXES_MAX]; /* storage axes of extent l */
    unsigned ext;
    Reach *reach;                         /* [formal_count] */
} TensorInfo;

typedef struct Analysis {
    Arena *arena;
    const ProgramEffects *done;
    const Unit *unit;
    TensorInfo *tensors;
} Analysis;

static bool is_symbol(Dim dim, const Unit *unit, int symbol)
{
    return dim == dim_symbol(unit->program->dims, symbol);
}

static TensorInfo tensor_info(Analysis *an, int id)
{
    const Tensor *tensor = &an->unit->tensors[id];
    TensorInfo info = {.row_axis = -1, .reach = ARENA_ARRAY(an->arena, Reach, an->unit->formal_count + 1)};
    for (int axis = 0; axis < tensor->rank; axis++) {
        if (is_symbol(tensor->extent[axis], an->unit, DIM_B) && info.row_axis < 0)
            info.row_axis = axis;
        if (is_symbol(tensor->extent[axis], an->unit, DIM_L) && info.position_count < POSITION_AXES_MAX)
            info.position_axis[info.position_count++] = axis;
    }
    for (int f = 0; f < an->unit->formal_count; f++)
        for (int k = 0; k < POSITION_AXES_MAX; k++)
            info.reach[f].own[k] = info.reach[f].cross[k] = EMPTY;
    return info;
}

/* ---- where an access stands ---- */

/* The affine value at each storage axis; unknown where data decides. */
typedef struct Where {
    bool known[16];
    Affine value[16];
} Where;

static bool body_affine(const Unit *unit, const Op *op, int expr, Affine *value)
{
    Program *program = unit->program;
    const Expr *node = &op->exprs[expr];
    Affine a, b;
    Dim constant;
    switch ((int)node->kind) {
    case EXPR_POS: *value = affine_index(program, node->index); return true;
    case EXPR_DIM: *value = affine_const(program, node->dim); return true;
    case EXPR_CONST:
        if (node->value != (double)(int64_t)node->value)
            return false;
        *value = affine_const(program, dim_int(program->dims, (int64_t)node->value));
        return true;
    case EXPR_ADD: case EXPR_SUB:
        if (!body_affine(unit, op, node->arg[0], &a) || !body_affine(unit, op, node->arg[1], &b))
            return false;
        *value = node->kind == EXPR_ADD ? affine_add(program, a, b) : affine_sub(program, a, b);
        return true;
    case EXPR_MUL:
        if (!body_affine(unit, op, node->arg[0], &a) || !body_affine(unit, op, node->arg[1], &b))
            return false;
        if (affine_is_const(a, &constant)) {
            *value = affine_scale(program, b, constant);
            return true;
        }
        if (affine_is_const(b, &constant)) {
            *value = affine_scale(program, a, constant);
            return true;
        }
        return false;
    }
    return false;
}

/* The value of an integer tensor that is an index under a guard: affine in the reader's indices. */
static bool read_affine(const Unit *unit, const Access *read, Affine *value)
{
    const int def = unit->tensors[read->tensor].def;
    if (def < 0 || unit->ops[def].kind != OP_NEST || unit->ops[def].reducer != REDUCE_SET)
        return false;
    const Op *op = &unit->ops[def];
    Affine body;
    if (!body_affine(unit, op, op->body, &body))
        return false;
    Affine *by = ARENA_ARRAY(unit->program->arena, Affine, op->index_count + 1);
    bool *known = ARENA_ARRAY(unit->program->arena, bool, op->index_count + 1);
    if (op->out.count != read->count)
        return false;
    for (int i = 0; i < op->out.count; i++) {
        int index;
        if (op->out.subs[i].span != read->subs[i].span || op->out.subs[i].read || !affine_is_index(op->out.subs[i].affine, &index))
            return false;
        if (!read->subs[i].read) {
            by[index] = read->subs[i].affine;
            known[index] = true;
        }
    }
    for (int i = 0; i < body.count; i++)
        if (!known[body.terms[i].index])
            return false;
    for (int i = 0; i < op->index_count; i++)
        if (!known[i])
            by[i] = affine_const(unit->program, dim_int(unit->program->dims, 0));
    *value = affine_substitute(unit->program, body, by);
    return true;
}

/* Takes a row-major value over several axes apart: terms whose coefficient is the stride of an axis belong to it. */
static void split_span(const Unit *unit, const Tensor *tensor, int first, int span, Affine value, Where *where)
{
    Program *program = unit->program;
    Dim stride = dim_int(program->dims, 1);
    for (int axis = first + span - 1; axis >= first; axis--) {
        Affine part = affine_const(program, dim_int(program->dims, 0)), rest = affine_const(program, value.base);
        for (int i = 0; i < value.count; i++) {
            const Affine term = affine_scale(program, affine_index(program, value.terms[i].index), value.terms[i].coef);
            if (value.terms[i].coef == stride)
                part = affine_add(program, part, affine_index(program, value.terms[i].index));
            else
                rest = affine_add(program, rest, term);
        }
        where->known[axis] = part.count == 1;
        where->value[axis] = part;
        value = rest;
        stride = dim_mul(program->dims, stride, tensor->extent[axis]);
    }
    Dim base;
    if (affine_is_const(value, &base) && dim_is(base, 0))
        return;
    for (int axis = first; axis < first + span; axis++)
        where->known[axis] = false;
}

static Where where_is(const Unit *unit, const Access *access)
{
    Where where = {0};
    const Tensor *tensor = &unit->tensors[access->tensor];
    int axis = 0;
    for (int i = 0; i < access->count; i++) {
        const Sub *sub = &access->subs[i];
        Affine value = sub->affine;
        const bool known = !sub->read || read_affine(unit, sub->read, &value);
        if (known && sub->span == 1) {
            where.known[axis] = true;
            where.value[axis] = value;
        } else if (known) {
            split_span(unit, tensor, axis, sub->span, value, &where);
        }
        axis += sub->span;
    }
    return where;
}

/* ---- differences over a domain ---- */

static bool dim_value(Dim dim, int64_t *value)
{
    return dim_is_int(dim, value);
}

/* An upper bound of the affine value over the box and the conditions: a constant, or infinity. */
static int64_t upper_bound(const Unit *unit, const Op *op, Affine value)
{
    Program *program = unit->program;
    int64_t best = INF;
    for (int c = -1; c < op->cond_count; c++) {
        for (int e = c < 0 ? -1 : c; e < (c < 0 ? 0 : op->cond_count); e++) {
            Affine v = value; /* value <= value + cond, for conditions that hold */
            if (c >= 0)
                v = affine_add(program, v, op->conds[c]);
            if (e > c)
                v = affine_add(program, v, op->conds[e]);
            Dim most = v.base;
            for (int i = 0; i < v.count; i++) {
                const Dim coef = v.terms[i].coef;
                if (dim_proves_nonnegative(coef))
                    most = dim_add(program->dims, most, dim_mul(program->dims, coef, dim_sub(program->dims, op->indices[v.terms[i].index].extent, dim_int(program->dims, 1))));
                else if (!dim_proves_nonnegative(dim_sub(program->dims, dim_int(program->dims, 0), coef)))
                    most = NULL;
                if (!most)
                    break;
            }
            int64_t bound;
            if (most && dim_value(most, &bound) && bound < best)
                best = bound;
        }
    }
    return best;
}

static Interval difference(const Unit *unit, const Op *op, Affine read, Affine written)
{
    Program *program = unit->program;
    const Affine delta = affine_sub(program, read, written);
    const int64_t high = upper_bound(unit, op, delta);
    const int64_t low = upper_bound(unit, op, affine_scale(program, delta, dim_int(program->dims, -1)));
    return (Interval){.low = low == INF ? -INF : -low, .high = high};
}

/* ---- one read ---- */

typedef struct Writer {
    int id;              /* tensor */
    Where where;
} Writer;

static bool same_row(const Analysis *an, const Writer *out, const TensorInfo *from, const Where *where)
{
    const TensorInfo *to = &an->tensors[out->id];
    if (to->row_axis < 0 || from->row_axis < 0)
        return false;
    return where->known[from->row_axis] && out->where.known[to->row_axis] && affine_equal(where->value[from->row_axis], out->where.value[to->row_axis]);
}

/* The reach of the tensor read, seen from position axis `axis` of the writer (-1: it has none). */
static Interval moved(const Analysis *an, const Op *op, const Writer *out, int axis, const TensorInfo *from, const Where *where, const Interval *reach)
{
    if (reach[0].empty)
        return EMPTY;
    Interval best = ALL;
    for (int k = 0; k < from->position_count && axis >= 0; k++) {
        const int at = from->position_axis[k];
        if (!where->known[at] || !out->where.known[axis])
            continue;
        best = interval_meet(best, interval_add(difference(an->unit, op, where->value[at], out->where.value[axis]), reach[k]));
    }
    return best;
}

static void read_reach(Analysis *an, const Op *op, const Writer *out, const Access *access, bool self)
{
    const TensorInfo *from = &an->tensors[access->tensor];
    TensorInfo *to = &an->tensors[out->id];
    const Where where = where_is(an->unit, access);
    const bool same = same_row(an, out, from, &where);
    const int axes = to->position_count > 0 ? to->position_count : 1;
    to->ext |= from->ext;
    for (int f = 0; f < an->unit->formal_count; f++) {
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
    (void)self;
    for (int i = 0; i < access->count; i++)
        if (access->subs[i].read)
            read_reach(an, op, out, access->subs[i].read, false);
}

/* ---- sizes ---- */

static unsigned symbols_of(Dim dim)
{
    return (dim_uses(dim, DIM_B) ? 1u << DIM_B : 0) | (dim_uses(dim, DIM_L) ? 1u << DIM_L : 0);
}

static bool bounded_by_output(const Analysis *an, const Op *op, const Writer *out, int index)
{
    const TensorInfo *to = &an->tensors[out->id];
    const Affine value = affine_index(an->unit->program, index);
    for (int k = 0; k < to->position_count; k++)
        if (out->where.known[to->position_axis[k]] && upper_bound(an->unit, op, affine_sub(an->unit->program, value, out->where.value[to->position_axis[k]])) != INF)
            return true;
    return false;
}

static bool written_index(const Op *op, int index)
{
    for (int i = 0; i < op->out.count; i++) {
        const Sub *sub = &op->out.subs[i];
        for (int k = 0; !sub->read && k < sub->affine.count; k++)
            if (sub->affine.terms[k].index == index)
                return true;
    }
    return false;
}

static unsigned sizes_read(const Analysis *an, const Op *op, const Writer *out)
{
    unsigned ext = 0;
    for (int i = 0; i < op->expr_count; i++)
        if (op->exprs[i].kind == EXPR_DIM)
            ext |= symbols_of(op->exprs[i].dim);
    if (op->kind == OP_TOP)
        ext |= symbols_of(op->top_k);
    for (int i = 0; i < op->index_count; i++)
        if (!written_index(op, i) && !bounded_by_output(an, op, out, i))
            ext |= symbols_of(op->indices[i].extent);
    return ext;
}

/* ---- operations ---- */

/* What stands before a point in the order of a recurrence. */
static Effect scan_effect(const Analysis *an, const Op *op)
{
    Effect effect = {ZERO, EMPTY, 0};
    bool seen_row = false, other_before = false;
    bool over_position = false;
    for (int i = 0; i < op->scan_count; i++) {
        const Dim extent = op->indices[op->scan[i]].extent;
        if (is_symbol(extent, an->unit, DIM_B)) {
            seen_row = true;
        } else if (is_symbol(extent, an->unit, DIM_L)) {
            over_position = true;
            effect.own = other_before ? ALL : op->reverse ? (Interval){.low = 0, .high = INF} : (Interval){.low = -INF, .high = 0};
        } else if (!over_position && !dim_is(extent, 1)) {
            other_before = true;
        }
    }
    if (seen_row)
        effect.cross = over_position ? ALL : ZERO;
    return effect;
}

static void apply_scan(Analysis *an, const Op *op, TensorInfo *to)
{
    const Effect scan = scan_effect(an, op);
    for (int f = 0; f < an->unit->formal_count; f++)
        for (int k = 0; k < POSITION_AXES_MAX && to->reach[f].any; k++) {
            const Effect inner = {to->reach[f].own[k], to->reach[f].cross[k], 0}, all = effect_compose(scan, inner);
            to->reach[f].own[k] = all.own;
            to->reach[f].cross[k] = all.cross;
        }
}

static void op_effects(Analysis *an, const Op *op)
{
    Writer out = {.id = op->out.tensor, .where = where_is(an->unit, &op->out)};
    TensorInfo *to = &an->tensors[out.id];
    to->ext |= sizes_read(an, op, &out);
    for (int i = 0; i < op->expr_count; i++)
        if (op->exprs[i].kind == EXPR_READ)
            read_reach(an, op, &out, &op->exprs[i].access, false);
    for (int i = 0; i < op->out.count; i++)
        if (op->out.subs[i].read)
            read_reach(an, op, &out, op->out.subs[i].read, false);
    if (op->kind == OP_RECUR) {
        apply_scan(an, op, to);
        if (op->init.tensor >= 0)
            read_reach(an, op, &out, &op->init, false);
    }
}

static Effect reach_effect(const TensorInfo *info, const Reach *reach)
{
    Effect effect = effect_none();
    effect.ext = info->ext;
    if (!reach->any)
        return effect;
    effect.own = reach->own[0];
    effect.cross = reach->cross[0];
    return effect;
}

static void call_effects(Analysis *an, const Op *op)
{
    const UnitEffects *callee = effects_of(an->done, op->callee);
    BFM_ASSERT(callee);
    const int formals = op->callee->formal_count;
    for (int r = 0; r < op->result_count; r++) {
        if (op->results[r] < 0)
            continue;
        TensorInfo *to = &an->tensors[op->results[r]];
        to->ext |= callee->own_ext[r];
        for (int g = 0; g < formals; g++) {
            const Effect outer = callee->on_formal[r * formals + g];
            const TensorInfo *from = &an->tensors[op->args[g]];
            if (outer.own.empty && outer.cross.empty)
                continue;
            to->ext |= from->ext;
            for (int f = 0; f < an->unit->formal_count; f++) {
                if (!from->reach[f].any)
                    continue;
                const Effect all = effect_compose(outer, reach_effect(from, &from->reach[f]));
                to->reach[f].any = true;
                to->reach[f].own[0] = interval_hull(to->reach[f].own[0], all.own);
                to->reach[f].cross[0] = interval_hull(to->reach[f].cross[0], all.cross);
            }
        }
    }
}

static void formal_reach(Analysis *an, int position)
{
    TensorInfo *info = &an->tensors[an->unit->formals[position]];
    const TensorRole role = an->unit->tensors[an->unit->formals[position]].role;
    if (role != TENSOR_INPUT)
        return;
    info->reach[position].any = true;
    for (int k = 0; k < POSITION_AXES_MAX; k++) {
        info->reach[position].own[k] = info->position_count > 0 ? ZERO : ALL;
        info->reach[position].cross[k] = info->row_axis >= 0 ? EMPTY : info->reach[position].own[k];
    }
    if (info->position_count == 0 && info->row_axis < 0)
        info->reach[position].any = false; /* a scalar such as `step` holds no position */
}

static TensorInfo *unit_tensors(Arena *arena, const ProgramEffects *done, const Unit *unit)
{
    Analysis an = {.arena = arena, .done = done, .unit = unit, .tensors = ARENA_ARRAY(arena, TensorInfo, unit->tensor_count + 1)};
    for (int i = 0; i < unit->tensor_count; i++)
        an.tensors[i] = tensor_info(&an, i);
    for (int i = 0; i < unit->formal_count; i++)
        formal_reach(&an, i);
    for (int i = 0; i < unit->op_count; i++) {
        if (unit->ops[i].kind == OP_CALL)
            call_effects(&an, &unit->ops[i]);
        else
            op_effects(&an, &unit->ops[i]);
    }
    return an.tensors;
}

static UnitEffects unit_effects(Arena *arena, const ProgramEffects *done, const Unit *unit)
{
    const TensorInfo *tensors = unit_tensors(arena, done, unit);
    UnitEffects result = {.unit = unit, .outputs = ARENA_ARRAY(arena, Effect, unit->output_count + 1),
                          .on_formal = ARENA_ARRAY(arena, Effect, unit->output_count * unit->formal_count + 1), .own_ext = ARENA_ARRAY(arena, unsigned, unit->output_count + 1)};
    for (int o = 0; o < unit->output_count; o++) {
        const TensorInfo *info = &tensors[unit->outputs[o].tensor];
        result.outputs[o] = effect_none();
        result.outputs[o].ext = result.own_ext[o] = info->ext;
        for (int f = 0; f < unit->formal_count; f++) {
            const Effect effect = reach_effect(info, &info->reach[f]);
            result.on_formal[o * unit->formal_count + f] = effect;
            result.outputs[o] = effect_join(result.outputs[o], effect);
        }
    }
    return result;
}

const UnitEffects *effects_of(const ProgramEffects *effects, const Unit *unit)
{
    for (int i = 0; i < effects->count; i++)
        if (effects->units[i].unit == unit)
            return &effects->units[i];
    return NULL;
}

ProgramEffects *effects_analyse(Arena *arena, const Program *program)
{
    ProgramEffects *effects = ARENA_NEW(arena, ProgramEffects);
    effects->units = ARENA_ARRAY(arena, UnitEffects, program->unit_count + 1);
    for (int i = 0; i < program->unit_count; i++) {
        effects->units[i] = unit_effects(arena, effects, program->units[i]);
        effects->count = i + 1;
    }
    return effects;
}

/* ---- the way to a leak ---- */

static bool leaves(Effect effect, bool future)
{
    return future ? !effect_causal(effect) : !effect_batch_independent(effect);
}

static Effect tensor_effect(const Unit *unit, const TensorInfo *info)
{
    Effect effect = effect_none();
    for (int f = 0; f < unit->formal_count; f++)
        effect = effect_join(effect, reach_effect(info, &info->reach[f]));
    return effect;
}

static int reads_of(const Op *op, int *reads, int max)
{
    int count = 0;
    const Access *pending[64];
    int pending_count = 0;
    for (int i = 0; i < op->expr_count; i++)
        if (op->exprs[i].kind == EXPR_READ && pending_count < 32)
            pending[pending_count++] = &op->exprs[i].access;
    for (int i = 0; i < op->out.count; i++)
        if (op->out.subs[i].read && pending_count < 32)
            pending[pending_count++] = op->out.subs[i].read;
    for (int p = 0; p < pending_count; p++) {
        if (count < max)
            reads[count++] = pending[p]->tensor;
        for (int i = 0; i < pending[p]->count && pending_count < 64; i++)
            if (pending[p]->subs[i].read)
                pending[pending_count++] = pending[p]->subs[i].read;
    }
    for (int a = 0; op->kind == OP_CALL && a < op->arg_count && count < max; a++)
        reads[count++] = op->args[a];
    return count;
}

/* Goes back from the tensor as long as what it reads leaves too; then into the call that first does. */
static int path_from(Arena *arena, const ProgramEffects *effects, const Unit *unit, int tensor, bool future, EffectStep *steps, int max)
{
    const TensorInfo *tensors = unit_tensors(arena, effects, unit);
    int count = 0;
    while (count < max) {
        const int def = unit->tensors[tensor].def;
        const Op *op = def >= 0 ? &unit->ops[def] : NULL;
        steps[count++] = (EffectStep){.unit = unit, .call = op && op->kind == OP_CALL ? op->path : NULL, .tensor = tensor,
                                      .span = op && op->span.file >= 0 ? op->span : unit->tensors[tensor].span, .effect = tensor_effect(unit, &tensors[tensor])};
        int reads[64], next = -1;
        const int read_count = op ? reads_of(op, reads, 64) : 0;
        for (int i = 0; i < read_count && next < 0; i++)
            if (leaves(tensor_effect(unit, &tensors[reads[i]]), future))
                next = reads[i];
        if (next < 0) {
            for (int r = 0; op && op->kind == OP_CALL && r < op->result_count; r++)
                if (op->results[r] == tensor)
                    count += path_from(arena, effects, op->callee, op->callee->outputs[r].tensor, future, steps + count, max - count);
            return count;
        }
        if (op->kind == OP_CALL)
            count--; /* the stream passes through this line */
        tensor = next;
    }
    return count;
}

int effects_path(Arena *arena, const ProgramEffects *effects, const Unit *unit, int output, bool future, EffectStep *steps, int max)
{
    const UnitEffects *known = effects_of(effects, unit);
    if (!known || !leaves(known->outputs[output], future))
        return 0;
    return path_from(arena, effects, unit, unit->outputs[output].tensor, future, steps, max);
}

/* ---- text ---- */

static void end_print(int64_t end, Str *out)
{
    if (end == INF)
        str_append(out, "inf");
    else if (end == -INF)
        str_append(out, "-inf");
    else
        str_printf(out, "%" PRId64, end);
}

static void interval_print(Interval interval, Str *out)
{
    if (interval.empty) {
        str_append(out, "empty");
        return;
    }
    str_push(out, '[');
    end_print(interval.low, out);
    str_append(out, ", ");
    end_print(interval.high, out);
    str_push(out, ']');
}

void effect_print(Effect effect, Str *out)
{
    str_append(out, "own ");
    interval_print(effect.own, out);
    str_append(out, ", cross ");
    interval_print(effect.cross, out);
    str_append(out, ", ext {");
    if (effect.ext & 1u << DIM_B)
        str_append(out, "b");
    if (effect.ext & 1u << DIM_L)
        str_append(out, effect.ext & 1u << DIM_B ? ", l" : "l");
    str_push(out, '}');
}
