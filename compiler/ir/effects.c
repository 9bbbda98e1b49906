/* Effects: their algebra, those of units and programs, the way to a leak, text. */
#include "ir/effects_internal.h"

#include "support/checked.h"

#include <inttypes.h>
#include <string.h>

static const int64_t INF = EFFECT_INFINITY;

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
        return INTERVAL_EMPTY;
    return (Interval){.low = end_add(a.low, b.low), .high = end_add(a.high, b.high)};
}

Effect effect_none(void) { return (Effect){.own = INTERVAL_EMPTY, .cross = INTERVAL_EMPTY}; }

Effect effect_join(Effect a, Effect b) { return (Effect){.own = interval_hull(a.own, b.own), .cross = interval_hull(a.cross, b.cross), .ext = a.ext | b.ext}; }

Effect effect_compose(Effect outer, Effect inner)
{
    const Interval own = interval_hull(interval_add(outer.own, inner.own), interval_add(outer.cross, inner.cross));
    const Interval cross = interval_hull(interval_hull(interval_add(outer.own, inner.cross), interval_add(outer.cross, inner.own)), interval_add(outer.cross, inner.cross));
    return (Effect){.own = own, .cross = cross, .ext = outer.ext | inner.ext};
}

static bool past(Interval a) { return a.empty || a.high <= 0; }

bool effect_causal(Effect effect) { return past(effect.own) && past(effect.cross); }

bool effect_token_local(Effect effect) { return effect.cross.empty && (effect.own.empty || (effect.own.low >= 0 && effect.own.high <= 0)); }

bool effect_batch_independent(Effect effect) { return effect.cross.empty; }

bool effect_length_dependent(Effect effect) { return (effect.ext & 1u << DIM_L) != 0; }

/* ---- units and programs ---- */

static UnitEffects unit_effects(Arena *arena, const ProgramEffects *done, const Unit *unit)
{
    const UnitReach reach = unit_reach(arena, done, unit);
    UnitEffects result = {.unit = unit,
                          .outputs = ARENA_ARRAY(arena, Effect, unit->output_count + 1),
                          .tracked_count = reach.tracked_count,
                          .tracked = reach.tracked,
                          .on_tracked = ARENA_ARRAY(arena, Effect, unit->output_count * reach.tracked_count + 1),
                          .own_ext = ARENA_ARRAY(arena, unsigned, unit->output_count + 1)};
    for (int o = 0; o < unit->output_count; o++) {
        const TensorInfo *info = &reach.tensors[unit->outputs[o].tensor];
        result.outputs[o] = tensor_effect(&reach, unit->outputs[o].tensor);
        result.own_ext[o] = info->ext;
        for (int f = 0; f < reach.tracked_count; f++)
            result.on_tracked[o * reach.tracked_count + f] = reach_effect(info, &info->reach[f]);
    }
    return result;
}

const UnitEffects *effects_of(const ProgramEffects *effects, const Unit *unit)
{
    if (unit->position < effects->count && effects->units[unit->position].unit == unit)
        return &effects->units[unit->position];
    for (int i = 0; i < effects->count; i++)
        if (effects->units[i].unit == unit)
            return &effects->units[i];
    return NULL;
}

static int unit_place(const Program *program, const Unit *unit)
{
    if (unit->position < program->unit_count && program->units[unit->position] == unit)
        return unit->position;
    for (int u = 0; u < program->unit_count; u++)
        if (program->units[u] == unit)
            return u;
    return -1;
}

const bool *unit_targets(const ProgramEffects *effects, const Unit *unit)
{
    const int place = unit_place(unit->program, unit);
    return place < 0 ? NULL : effects->targets[place];
}

/* The formal of the main unit by its name, those of callees by what any call passes: callers stand after callees. */
static void find_targets(Arena *arena, ProgramEffects *effects, const Program *program)
{
    effects->targets = ARENA_ARRAY(arena, bool *, program->unit_count + 1);
    for (int u = 0; u < program->unit_count; u++)
        effects->targets[u] = ARENA_ARRAY(arena, bool, program->units[u]->formal_count + 1);
    for (int u = program->unit_count - 1; u >= 0; u--) {
        const Unit *unit = program->units[u];
        bool *is_target = ARENA_ARRAY(arena, bool, unit->tensor_count + 1);
        for (int f = 0; f < unit->formal_count; f++) {
            if (unit == program->main && program->bindings && program->bindings[f].role == TENSOR_INPUT && strcmp(program->bindings[f].path, "targets") == 0)
                effects->targets[u][f] = true;
            is_target[unit->formals[f]] = effects->targets[u][f];
        }
        for (int o = 0; o < unit->op_count; o++) {
            const Op *op = &unit->ops[o];
            const int callee = op->kind == OP_CALL ? unit_place(program, op->callee) : -1;
            for (int a = 0; callee >= 0 && a < op->arg_count; a++)
                effects->targets[callee][a] = effects->targets[callee][a] || is_target[op->args[a]];
        }
    }
}

ProgramEffects *effects_analyse(Arena *arena, const Program *program)
{
    ProgramEffects *effects = ARENA_NEW(arena, ProgramEffects);
    effects->units = ARENA_ARRAY(arena, UnitEffects, program->unit_count + 1);
    find_targets(arena, effects, program);
    for (int i = 0; i < program->unit_count; i++) {
        effects->units[i] = unit_effects(arena, effects, program->units[i]);
        effects->count = i + 1;
    }
    return effects;
}

/* ---- the way to a leak ---- */

static bool leaves(Effect effect, bool future) { return future ? !effect_causal(effect) : !effect_batch_independent(effect); }

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

static bool is_targets(const UnitReach *reach, int tensor)
{
    for (int f = 0; reach->targets && f < reach->unit->formal_count; f++)
        if (reach->unit->formals[f] == tensor)
            return reach->targets[f];
    return false;
}

/* Goes back from the tensor as long as what it reads leaves too; then into the call that first does. A formal leaves where it is read (`targets`). */
static int path_from(Arena *arena, const ProgramEffects *effects, const Unit *unit, int tensor, bool future, EffectStep *steps, int max)
{
    const UnitReach reach = unit_reach(arena, effects, unit);
    int count = 0;
    while (count < max) {
        const int def = unit->tensors[tensor].def;
        const Op *op = def >= 0 ? &unit->ops[def] : NULL;
        steps[count++] = (EffectStep){.unit = unit,
                                      .call = op && op->kind == OP_CALL ? op->path : NULL,
                                      .tensor = tensor,
                                      .span = op && op->span.file >= 0 ? op->span : unit->tensors[tensor].span,
                                      .effect = tensor_effect(&reach, tensor)};
        int reads[64], next = -1;
        const int read_count = op ? reads_of(op, reads, 64) : 0;
        for (int i = 0; i < read_count; i++)
            steps[count - 1].targets = steps[count - 1].targets || is_targets(&reach, reads[i]);
        for (int i = 0; i < read_count && next < 0; i++)
            if (unit->tensors[reads[i]].role == TENSOR_LOCAL && leaves(tensor_effect(&reach, reads[i]), future))
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
