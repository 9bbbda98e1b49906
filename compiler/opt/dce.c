/* Dead code.
   requires   a verified unit
   preserves  outputs, formals (opt_drop_formals and opt_dead_results say what they drop), order
   breaks     ids of tensors (they are numbered anew), positions of operations; a group loses roles whose operation is dead */
#include "opt/opt.h"

#include "ir/rewrite.h"

#include <string.h>

static void mark_access(void *user, const Access *access, AccessUse use)
{
    if (use != ACCESS_OUT)
        ((bool *)user)[access->tensor] = true;
}

static bool op_wanted(const Op *op, const bool *read)
{
    if (op->kind != OP_CALL)
        return read[op->out.tensor];
    for (int r = 0; r < op->result_count; r++)
        if (op->results[r] >= 0 && read[op->results[r]])
            return true;
    return false;
}

/* read[tensor]: an output, or read by an operation that is wanted. wanted[operation] may be NULL. */
static void mark_live(const Unit *unit, bool *read, bool *wanted)
{
    for (int o = 0; o < unit->output_count; o++)
        read[unit->outputs[o].tensor] = true;
    for (int i = unit->op_count - 1; i >= 0; i--) {
        const Op *op = &unit->ops[i];
        bool live = op_wanted(op, read);
        if (wanted)
            wanted[i] = live;
        if (!live)
            continue;
        op_visit(op, mark_access, read);
        for (int a = 0; op->kind == OP_CALL && a < op->arg_count; a++)
            read[op->args[a]] = true;
    }
}

static bool drop_results(Unit *unit, int position, const bool *read)
{
    Op *op = &unit->ops[position];
    bool changed = false;
    int *results = arena_memdup(unit->program->arena, op->results, sizeof *results * (size_t)op->result_count);
    for (int r = 0; r < op->result_count; r++) {
        if (results[r] < 0 || read[results[r]])
            continue;
        results[r] = -1;
        changed = true;
    }
    op->results = results;
    return changed;
}

/* Numbers the tensors that are left, in their order. */
static void compact(Unit *unit)
{
    Arena *arena = unit->program->arena;
    int *map = ARENA_ARRAY(arena, int, unit->tensor_count + 1), count = 0;
    bool *kept = ARENA_ARRAY(arena, bool, unit->tensor_count + 1);
    for (int f = 0; f < unit->formal_count; f++)
        kept[unit->formals[f]] = true;
    for (int t = 0; t < unit->tensor_count; t++) {
        kept[t] = kept[t] || unit->tensors[t].def >= 0;
        map[t] = kept[t] ? count++ : -1;
    }
    if (count == unit->tensor_count)
        return;
    Tensor *tensors = ARENA_ARRAY(arena, Tensor, count + 1);
    for (int t = 0; t < unit->tensor_count; t++)
        if (kept[t])
            tensors[map[t]] = unit->tensors[t];
    Rebuild rebuild = rebuild_begin(unit); /* new numbers are below old ones: the old table serves until all is moved */
    for (int i = 0; i < rebuild.old_count; i++)
        rebuild_mapped(&rebuild, i, map);
    rebuild_end(&rebuild);
    unit->tensors = tensors;
    unit->tensor_count = unit->tensor_capacity = count;
    unit_find_defs(unit);
    for (int f = 0; f < unit->formal_count; f++)
        unit->formals[f] = map[unit->formals[f]];
    for (int o = 0; o < unit->output_count; o++)
        unit->outputs[o].tensor = map[unit->outputs[o].tensor];
}

bool opt_dce(Unit *unit)
{
    Arena *arena = unit->program->arena;
    bool *read = ARENA_ARRAY(arena, bool, unit->tensor_count + 1), *wanted = ARENA_ARRAY(arena, bool, unit->op_count + 1);
    mark_live(unit, read, wanted);
    bool changed = false;
    Rebuild rebuild = rebuild_begin(unit);
    for (int i = 0; i < rebuild.old_count; i++) {
        if (!wanted[i]) {
            changed = true;
            continue;
        }
        int position = rebuild_keep(&rebuild, i);
        if (unit->ops[position].kind == OP_CALL)
            changed = drop_results(unit, position, read) || changed;
    }
    rebuild_end(&rebuild);
    compact(unit);
    return changed;
}

void opt_drop_formals(Unit *unit, int *kept)
{
    bool *read = ARENA_ARRAY(unit->program->arena, bool, unit->tensor_count + 1);
    mark_live(unit, read, NULL);
    int count = 0;
    for (int f = 0; f < unit->formal_count; f++) {
        if (!read[unit->formals[f]])
            continue;
        kept[count] = f;
        unit->formals[count++] = unit->formals[f];
    }
    unit->formal_count = count;
    compact(unit);
}

/* ---- between units ---------------------------------------------------------------------------------------------------------- */

/* used[o]: some call of `callee` in the program wants output o. */
static void used_outputs(const Program *program, const Unit *callee, bool *used)
{
    for (int u = 0; u < program->unit_count; u++) {
        const Unit *unit = program->units[u];
        for (int i = 0; i < unit->op_count; i++)
            for (int r = 0; unit->ops[i].kind == OP_CALL && unit->ops[i].callee == callee && r < callee->output_count; r++)
                used[r] = used[r] || unit->ops[i].results[r] >= 0;
    }
}

/* Every call of `callee` passes args[kept_args[]] and takes results[kept_results[]]. */
static void change_calls(Program *program, const Unit *callee, int arg_count, const int *kept_args, int result_count, const int *kept_results)
{
    for (int u = 0; u < program->unit_count; u++) {
        Unit *unit = program->units[u];
        for (int i = 0; i < unit->op_count; i++) {
            Op *op = &unit->ops[i];
            if (op->kind != OP_CALL || op->callee != callee)
                continue;
            int *args = ARENA_ARRAY(program->arena, int, arg_count + 1), *results = ARENA_ARRAY(program->arena, int, result_count + 1);
            for (int a = 0; a < arg_count; a++)
                args[a] = op->args[kept_args[a]];
            for (int r = 0; r < result_count; r++)
                results[r] = op->results[kept_results[r]];
            op->args = args;
            op->arg_count = arg_count;
            op->results = results;
            op->result_count = result_count;
        }
    }
}

static bool drop_unused(Program *program, Unit *unit)
{
    Arena *arena = program->arena;
    int old_outputs = unit->output_count, old_formals = unit->formal_count, count = 0;
    bool *used = ARENA_ARRAY(arena, bool, old_outputs + 1);
    int *kept_results = ARENA_ARRAY(arena, int, old_outputs + 1), *kept_args = ARENA_ARRAY(arena, int, old_formals + 1);
    used_outputs(program, unit, used);
    for (int o = 0; o < old_outputs; o++) {
        if (!used[o])
            continue;
        kept_results[count] = o;
        unit->outputs[count++] = unit->outputs[o];
    }
    unit->output_count = count;
    bool dead = opt_dce(unit);
    opt_drop_formals(unit, kept_args);
    if (unit->output_count == old_outputs && unit->formal_count == old_formals)
        return dead;
    /* NEXT and GRAD name formals by position. */
    int *position = ARENA_ARRAY(arena, int, old_formals + 1);
    for (int f = 0; f < old_formals; f++)
        position[f] = -1;
    for (int f = 0; f < unit->formal_count; f++)
        position[kept_args[f]] = f;
    for (int o = 0; o < unit->output_count; o++)
        if (unit->outputs[o].formal >= 0 && unit->outputs[o].kind == OUTPUT_NEXT)
            unit->outputs[o].formal = position[unit->outputs[o].formal];
    change_calls(program, unit, unit->formal_count, kept_args, unit->output_count, kept_results);
    return true;
}

static bool is_initial(const Program *program, const Unit *unit)
{
    for (int f = 0; program->bindings && f < program->main->formal_count; f++)
        if (program->bindings[f].init.value == unit)
            return true;
    return false;
}

bool opt_dead_results(Program *program)
{
    bool changed = opt_dce(program->main);
    for (int u = program->unit_count - 1; u >= 0; u--) /* callers before callees: what they drop is dead in these */
        if (program->units[u] != program->main && !is_initial(program, program->units[u]))
            changed = drop_unused(program, program->units[u]) || changed;
    program_order(program);
    return changed;
}
