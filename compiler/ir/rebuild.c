/* Rebuilding lists: the operations of a unit, the units of a program. */
#include "ir/rewrite.h"

#include "support/vec.h"

#include <string.h>

Rebuild rebuild_begin(Unit *unit)
{
    Arena *arena = unit->program->arena;
    Rebuild rebuild = {.unit = unit, .old = unit->ops, .old_count = unit->op_count};
    rebuild.moved = ARENA_ARRAY(arena, int, unit->op_count + 1);
    for (int i = 0; i < unit->op_count; i++)
        rebuild.moved[i] = -1;
    unit->op_capacity = unit->op_count + 8;
    unit->ops = ARENA_ARRAY(arena, Op, unit->op_capacity);
    unit->op_count = 0;
    for (int t = 0; t < unit->tensor_count; t++)
        unit->tensors[t].def = -1;
    return rebuild;
}

static void set_def(Unit *unit, int position)
{
    const Op *op = &unit->ops[position];
    if (op->kind != OP_CALL)
        unit->tensors[op->out.tensor].def = position;
    for (int r = 0; op->kind == OP_CALL && r < op->result_count; r++)
        if (op->results[r] >= 0)
            unit->tensors[op->results[r]].def = position;
}

void unit_find_defs(Unit *unit)
{
    for (int t = 0; t < unit->tensor_count; t++)
        unit->tensors[t].def = -1;
    for (int i = 0; i < unit->op_count; i++)
        set_def(unit, i);
}

int rebuild_keep(Rebuild *rebuild, int old)
{
    Unit *unit = rebuild->unit;
    if (unit->op_count == unit->op_capacity) {
        Op *ops = ARENA_ARRAY(unit->program->arena, Op, unit->op_capacity * 2);
        memcpy(ops, unit->ops, sizeof *ops * (size_t)unit->op_count);
        unit->ops = ops;
        unit->op_capacity *= 2;
    }
    int position = unit->op_count++;
    unit->ops[position] = rebuild->old[old];
    set_def(unit, position);
    rebuild->moved[old] = position;
    return position;
}

void rebuild_replace(Rebuild *rebuild, int old, int position)
{
    rebuild->moved[old] = position;
    rebuild->unit->ops[position].group = rebuild->old[old].group;
}

static void move_role(const int *moved, int *role)
{
    if (*role >= 0)
        *role = moved[*role];
}

static void move_roles(const int *moved, int *count, int *roles)
{
    int kept = 0;
    for (int i = 0; i < *count; i++)
        if (moved[roles[i]] >= 0)
            roles[kept++] = moved[roles[i]];
    *count = kept;
}

void rebuild_end(Rebuild *rebuild)
{
    Unit *unit = rebuild->unit;
    for (int g = 0; g < unit->group_count; g++) {
        Group *group = &unit->groups[g];
        move_role(rebuild->moved, &group->raw);
        move_role(rebuild->moved, &group->score);
        move_role(rebuild->moved, &group->lse);
        move_role(rebuild->moved, &group->score_grad);
        move_role(rebuild->moved, &group->raw_grad);
        move_roles(rebuild->moved, &group->use_count, group->uses);
        move_roles(rebuild->moved, &group->pick_count, group->picks);
        move_roles(rebuild->moved, &group->dprob_count, group->dprobs);
        move_roles(rebuild->moved, &group->sink_count, group->sinks);
    }
}

/* ---- tensors ------------------------------------------------------------------------------------------------------------------ */

static int map_tensor(void *user, int tensor) { return ((const int *)user)[tensor]; }

typedef struct MapQuery {
    const int *map;
    bool changed;
} MapQuery;

static void query_mapped(void *user, const Access *access, AccessUse use)
{
    MapQuery *query = user;
    (void)use;
    if (query->map[access->tensor] != access->tensor)
        query->changed = true;
}

static void map_call(Unit *unit, int position, const int *map)
{
    Op *op = &unit->ops[position];
    Arena *arena = unit->program->arena;
    int *args = ARENA_ARRAY(arena, int, op->arg_count + 1), *results = ARENA_ARRAY(arena, int, op->result_count + 1);
    for (int a = 0; a < op->arg_count; a++)
        args[a] = map[op->args[a]];
    for (int r = 0; r < op->result_count; r++)
        results[r] = op->results[r] < 0 ? -1 : map[op->results[r]];
    op->args = args;
    op->results = results;
}

void rebuild_mapped(Rebuild *rebuild, int old, const int *map)
{
    Op *op = &rebuild->old[old];
    MapQuery query = {map, false};
    op_visit(op, query_mapped, &query);
    if (op->kind == OP_CALL) {
        int position = rebuild_keep(rebuild, old);
        map_call(rebuild->unit, position, map);
    } else if (query.changed) {
        OpBuilder builder = op_begin(rebuild->unit, op->kind);
        Rewrite rewrite = rewrite_begin(&builder, rebuild->unit, op, NULL, map_tensor, (void *)(uintptr_t)map);
        rewrite_all(&rewrite);
        rebuild_replace(rebuild, old, op_finish(&builder));
    } else {
        (void)rebuild_keep(rebuild, old);
    }
}

Unit *unit_clone(const Unit *unit, Symbol name)
{
    Arena *arena = unit->program->arena;
    Unit *clone = arena_memdup(arena, unit, sizeof *unit);
    clone->name = name;
    clone->tensors = ARENA_ARRAY(arena, Tensor, unit->tensor_count + 1);
    clone->ops = ARENA_ARRAY(arena, Op, unit->op_count + 1);
    clone->formals = ARENA_ARRAY(arena, int, unit->formal_count + 1);
    clone->outputs = ARENA_ARRAY(arena, Output, unit->output_count + 1);
    clone->groups = ARENA_ARRAY(arena, Group, unit->group_count + 1);
    memcpy(clone->tensors, unit->tensors, sizeof *unit->tensors * (size_t)unit->tensor_count);
    memcpy(clone->ops, unit->ops, sizeof *unit->ops * (size_t)unit->op_count);
    memcpy(clone->formals, unit->formals, sizeof *unit->formals * (size_t)unit->formal_count);
    memcpy(clone->outputs, unit->outputs, sizeof *unit->outputs * (size_t)unit->output_count);
    if (unit->group_count > 0)
        memcpy(clone->groups, unit->groups, sizeof *unit->groups * (size_t)unit->group_count);
    clone->tensor_capacity = unit->tensor_count + 1;
    clone->op_capacity = unit->op_count + 1;
    clone->formal_capacity = unit->formal_count + 1;
    clone->output_capacity = unit->output_count + 1;
    clone->group_capacity = unit->group_count + 1;
    return clone;
}

Symbol symbol_suffix(Program *program, Symbol name, const char *suffix) { return intern(program->interner, arena_printf(program->arena, "%s%s", name ? name : "t", suffix)); }

int unit_tensor_like(Unit *unit, const Tensor *tensor, const char *suffix, TensorRole role)
{
    Symbol name = *suffix ? symbol_suffix(unit->program, tensor->name, suffix) : tensor->name;
    if (role == TENSOR_LOCAL)
        return unit_tensor(unit, name, tensor->type, role, tensor->rank, tensor->extent, tensor->bound);
    return unit_formal(unit, name, tensor->type, role, tensor->rank, tensor->extent, tensor->bound);
}

/* ---- units -------------------------------------------------------------------------------------------------------------------- */

typedef VEC(Unit *) UnitList;

/* Appends what `unit` calls, then `unit`. */
static void place_unit(UnitList *list, Unit *unit)
{
    for (int i = 0; i < list->count; i++)
        if (list->items[i] == unit)
            return;
    for (int i = 0; i < unit->op_count; i++)
        if (unit->ops[i].kind == OP_CALL)
            place_unit(list, unit->ops[i].callee);
    vec_push(list, unit);
}

void program_order(Program *program)
{
    UnitList list = {0};
    for (int f = 0; program->bindings && program->main && f < program->main->formal_count; f++)
        if (program->bindings[f].init.value)
            place_unit(&list, program->bindings[f].init.value);
    if (program->main)
        place_unit(&list, program->main);
    program->units = arena_memdup(program->arena, list.items, sizeof(Unit *) * (size_t)list.count);
    program->unit_count = program->unit_capacity = list.count;
    vec_free(&list);
}
