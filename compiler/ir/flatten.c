#include "ir/flatten.h"

#include "ir/rewrite.h"
#include "support/bug.h"

#include <string.h>

typedef struct Flatten {
    Program *program;
    Arena *arena;
    Unit *out;
} Flatten;

/* One instance of a unit being copied: where its tensors, operations and groups go. */
typedef struct Instance {
    const Unit *unit;
    Symbol prefix; /* path of the calls that lead here, "" at the top */
    int *tensor;   /* [tensor_count] tensor of the flat unit, -1 = not yet */
    int *op;       /* [op_count] operation of the flat unit, -1 = a call or not yet */
    int *group;    /* [group_count] number of the flat group, 0 = not yet */
} Instance;

static Symbol path_join(Flatten *flatten, Symbol prefix, Symbol name)
{
    if (prefix[0] == '\0')
        return name;
    return intern(flatten->program->interner, arena_printf(flatten->arena, "%s.%s", prefix, name != NULL ? name : "_"));
}

static int *ids_new(Flatten *flatten, int count, int value)
{
    int *ids = ARENA_ARRAY(flatten->arena, int, count > 0 ? count : 1);
    for (int i = 0; i < count; i++)
        ids[i] = value;
    return ids;
}

static Access access_remap(Flatten *flatten, const Instance *instance, const Access *access)
{
    Access copy = *access;
    if (access->tensor >= 0) {
        copy.tensor = instance->tensor[access->tensor];
        BFM_ASSERT(copy.tensor >= 0);
    }
    if (access->count == 0)
        return copy;
    copy.subs = arena_memdup(flatten->arena, access->subs, (size_t)access->count * sizeof *access->subs);
    for (int s = 0; s < copy.count; s++) {
        if (copy.subs[s].read == NULL)
            continue;
        Access *read = ARENA_NEW(flatten->arena, Access);
        *read = access_remap(flatten, instance, copy.subs[s].read);
        copy.subs[s].read = read;
    }
    return copy;
}

static int tensor_copy(Flatten *flatten, Instance *instance, int id)
{
    const Tensor *tensor = &instance->unit->tensors[id];
    int copy = unit_tensor(flatten->out, path_join(flatten, instance->prefix, tensor->name), tensor->type, TENSOR_LOCAL, tensor->rank, tensor->extent, tensor->bound);
    flatten->out->tensors[copy].span = tensor->span;
    instance->tensor[id] = copy;
    return copy;
}

/* The group's number in the flat unit; its roles are filled once all members have been copied. */
static int group_copy(Flatten *flatten, Instance *instance, int group)
{
    if (group == 0)
        return 0;
    int *number = &instance->group[group - 1];
    if (*number == 0)
        *number = unit_group(flatten->out, instance->unit->groups[group - 1]);
    return *number;
}

static void op_copy(Flatten *flatten, Instance *instance, int position)
{
    const Op *op = &instance->unit->ops[position];
    OpBuilder builder = op_begin(flatten->out, op->kind);
    builder.op = *op;
    builder.index_capacity = op->index_count, builder.cond_capacity = op->cond_count;
    builder.guard_capacity = op->guard_count, builder.expr_capacity = op->expr_count;
    if (op->expr_count > 0) {
        builder.op.exprs = arena_memdup(flatten->arena, op->exprs, (size_t)op->expr_count * sizeof *op->exprs);
        for (int e = 0; e < op->expr_count; e++) {
            Expr *expr = &builder.op.exprs[e];
            if (expr->kind == EXPR_READ || expr->kind == EXPR_DRAW)
                expr->access = access_remap(flatten, instance, &expr->access);
            if (expr->kind == EXPR_DRAW)
                expr->tag = path_join(flatten, instance->prefix, expr->tag);
        }
    }
    if (op->init.tensor >= 0)
        builder.op.init = access_remap(flatten, instance, &op->init);
    tensor_copy(flatten, instance, op->out.tensor);
    builder.op.out = access_remap(flatten, instance, &op->out);
    builder.op.group = group_copy(flatten, instance, op->group);
    instance->op[position] = op_finish(&builder);
}

static int role_remap(const Instance *instance, int op) { return op < 0 ? -1 : instance->op[op]; }

static void roles_remap(const Instance *instance, int count, int *ops)
{
    for (int i = 0; i < count; i++)
        ops[i] = role_remap(instance, ops[i]);
}

static void groups_finish(Flatten *flatten, const Instance *instance)
{
    for (int g = 0; g < instance->unit->group_count; g++) {
        if (instance->group[g] == 0)
            continue;
        Group *group = &flatten->out->groups[instance->group[g] - 1];
        group->raw = role_remap(instance, group->raw);
        group->score = role_remap(instance, group->score);
        group->lse = role_remap(instance, group->lse);
        group->score_grad = role_remap(instance, group->score_grad);
        group->raw_grad = role_remap(instance, group->raw_grad);
        roles_remap(instance, group->use_count, group->uses);
        roles_remap(instance, group->pick_count, group->picks);
        roles_remap(instance, group->dprob_count, group->dprobs);
        roles_remap(instance, group->sink_count, group->sinks);
    }
}

static Instance instance_new(Flatten *flatten, const Unit *unit, Symbol prefix)
{
    return (Instance){.unit = unit,
                      .prefix = prefix,
                      .tensor = ids_new(flatten, unit->tensor_count, -1),
                      .op = ids_new(flatten, unit->op_count, -1),
                      .group = ids_new(flatten, unit->group_count, 0)};
}

static void instance_copy(Flatten *flatten, Instance *instance);

static void call_copy(Flatten *flatten, Instance *caller, const Op *call)
{
    const Unit *callee = call->callee;
    Symbol prefix = call->path != NULL && call->path[0] != '\0' ? path_join(flatten, caller->prefix, call->path) : caller->prefix;
    Instance instance = instance_new(flatten, callee, prefix);
    for (int f = 0; f < callee->formal_count; f++)
        instance.tensor[callee->formals[f]] = caller->tensor[call->args[f]];
    instance_copy(flatten, &instance);
    for (int r = 0; r < call->result_count; r++) {
        if (call->results[r] >= 0)
            caller->tensor[call->results[r]] = instance.tensor[callee->outputs[r].tensor];
    }
}

static void instance_copy(Flatten *flatten, Instance *instance)
{
    for (int i = 0; i < instance->unit->op_count; i++) {
        const Op *op = &instance->unit->ops[i];
        if (op->kind == OP_CALL)
            call_copy(flatten, instance, op);
        else
            op_copy(flatten, instance, i);
    }
    groups_finish(flatten, instance);
}

/* ---- dead operations ------------------------------------------------------------------------------------------------------ */

static void access_mark(void *user, const Access *access, AccessUse use)
{
    bool *needed = user;
    if (use != ACCESS_OUT && access->tensor >= 0)
        needed[access->tensor] = true;
}

static void roles_keep(int *count, int *ops, const int *moved)
{
    int kept = 0;
    for (int i = 0; i < *count; i++) {
        if (ops[i] >= 0 && moved[ops[i]] >= 0)
            ops[kept++] = moved[ops[i]];
    }
    *count = kept;
}

static int role_move(int op, const int *moved) { return op < 0 ? -1 : moved[op]; }

/* Operations are dropped, tensors stay (unused ones own no storage), groups stay with the members that are left. */
static void unit_drop_dead(Flatten *flatten)
{
    Unit *unit = flatten->out;
    bool *needed = ARENA_ARRAY(flatten->arena, bool, unit->tensor_count + 1);
    int *moved = ids_new(flatten, unit->op_count, -1);
    for (int o = 0; o < unit->output_count; o++)
        needed[unit->outputs[o].tensor] = true;
    for (int i = unit->op_count - 1; i >= 0; i--) {
        if (!needed[unit->ops[i].out.tensor])
            continue;
        moved[i] = 0;
        op_visit(&unit->ops[i], access_mark, needed);
    }
    int kept = 0;
    for (int i = 0; i < unit->op_count; i++) {
        if (moved[i] < 0) {
            unit->tensors[unit->ops[i].out.tensor].def = -1;
            continue;
        }
        moved[i] = kept;
        if (kept != i)
            unit->ops[kept] = unit->ops[i];
        unit->tensors[unit->ops[kept].out.tensor].def = kept;
        kept++;
    }
    unit->op_count = kept;
    for (int g = 0; g < unit->group_count; g++) {
        Group *group = &unit->groups[g];
        group->raw = role_move(group->raw, moved);
        group->score = role_move(group->score, moved);
        group->lse = role_move(group->lse, moved);
        group->score_grad = role_move(group->score_grad, moved);
        group->raw_grad = role_move(group->raw_grad, moved);
        roles_keep(&group->use_count, group->uses, moved);
        roles_keep(&group->pick_count, group->picks, moved);
        roles_keep(&group->dprob_count, group->dprobs, moved);
        roles_keep(&group->sink_count, group->sinks, moved);
    }
}

Unit *unit_flatten(Program *program, const Unit *unit)
{
    Flatten flatten = {program, program->arena, NULL};
    flatten.out = unit_new(program, intern(program->interner, arena_printf(program->arena, "%s.flat", unit->name)));
    Instance top = instance_new(&flatten, unit, intern(program->interner, ""));
    for (int f = 0; f < unit->formal_count; f++) {
        const Tensor *formal = &unit->tensors[unit->formals[f]];
        int copy = unit_formal(flatten.out, formal->name, formal->type, formal->role, formal->rank, formal->extent, formal->bound);
        flatten.out->tensors[copy].span = formal->span;
        top.tensor[unit->formals[f]] = copy;
    }
    instance_copy(&flatten, &top);
    for (int o = 0; o < unit->output_count; o++) {
        const Output *output = &unit->outputs[o];
        int position = unit_output(flatten.out, output->name, output->kind, top.tensor[output->tensor]);
        Output *copy = &flatten.out->outputs[position];
        copy->merge = output->merge;
        copy->formal = output->formal;
    }
    unit_drop_dead(&flatten);
    return flatten.out;
}
