/* requires: nothing. preserves: everything. Says whether a unit keeps the rules of ir.h, as far as they can be seen without values. */
#include "ir/ir.h"
#include "ir/needs.h"

#include "support/bug.h"
#include "support/pointer_map.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 8 };

typedef struct Verifier {
    const Unit *unit;
    const Op *op;
    int number;    /* of the operation, -1 outside */
    bool *defined; /* by tensor */
    int sample_count;
    DimEnv samples[SAMPLES]; /* bindings of the symbols that the program may run at */
    PointerMap extents;      /* that hold at all of them: dimensions are equal only where their pointers are */
    const char *message;
} Verifier;

static void fail(Verifier *verifier, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fail(Verifier *verifier, const char *format, ...)
{
    if (verifier->message)
        return;
    char text[400];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    Arena *arena = verifier->unit->program->arena;
    verifier->message = verifier->number < 0 ? arena_printf(arena, "%s: %s", verifier->unit->name, text)
                                             : arena_printf(arena, "%s: operation %d: %s", verifier->unit->name, verifier->number, text);
}

static bool check_tensor(Verifier *verifier, int tensor)
{
    if (tensor < 0 || tensor >= verifier->unit->tensor_count) {
        fail(verifier, "there is no tensor %d", tensor);
        return false;
    }
    return !verifier->message;
}

static bool check_reads(Verifier *verifier, int tensor)
{
    if (!check_tensor(verifier, tensor))
        return false;
    if (!verifier->defined[tensor] && verifier->op && verifier->op->kind == OP_RECUR && tensor == verifier->op->out.tensor)
        fail(verifier, "the recurrence %s reads itself, which only its factor says", verifier->unit->tensors[tensor].name);
    if (!verifier->defined[tensor])
        fail(verifier, "%s is used before it is defined", verifier->unit->tensors[tensor].name);
    return !verifier->message;
}

/* ---- affine forms ---- */

static void check_affine(Verifier *verifier, Affine affine)
{
    if (!affine.base)
        fail(verifier, "an affine form without a base");
    for (int i = 0; i < affine.count && !verifier->message; i++) {
        if (affine.terms[i].index < 0 || affine.terms[i].index >= verifier->op->index_count)
            fail(verifier, "there is no index %d", affine.terms[i].index);
        else if (i > 0 && affine.terms[i].index <= affine.terms[i - 1].index)
            fail(verifier, "terms of an affine form are not sorted");
        else if (dim_is(affine.terms[i].coef, 0))
            fail(verifier, "an affine form has a zero term");
    }
}

/* The least (sign 1) or greatest (sign -1) value over the box at a binding of the symbols; meaningless for an empty box. */
static int64_t affine_extreme(const Op *op, Affine affine, const DimEnv *env, int sign)
{
    int64_t value = dim_eval(affine.base, env);
    for (int i = 0; i < affine.count; i++) {
        const int64_t reach = dim_eval(affine.terms[i].coef, env) * (dim_eval(op->indices[affine.terms[i].index].extent, env) - 1);
        value += reach * sign < 0 ? reach : 0;
    }
    return value;
}

static bool whole(Dim dim, const DimEnv *env)
{
    const Rational value = dim_eval_exact(dim, env);
    return rational_valid(value) && rational_is_int(value);
}

/* What the subscript depends on has whole extents, none of them empty: otherwise the binding is none that the operation runs at. */
static bool box_holds(const Op *op, Affine affine, Dim extent, const DimEnv *env)
{
    bool holds = whole(extent, env) && whole(affine.base, env);
    for (int i = 0; i < op->index_count && holds; i++)
        holds = whole(op->indices[i].extent, env) && dim_eval(op->indices[i].extent, env) > 0;
    return holds;
}

/* A binding of the symbols, within what the program takes for granted. */
static DimEnv sample(const Program *program, int number, const int64_t values[4])
{
    DimEnv env = {.value = {values[0], values[1], values[2], values[3]}};
    for (int s = DIM_S0; s < DIM_SYMBOLS; s++)
        env.value[s] = 1 + number + s - DIM_S0;
    for (int s = 0; s < DIM_SYMBOLS; s++)
        if (program->most[s] && env.value[s] > program->most[s])
            env.value[s] = program->most[s];
    if (env.value[DIM_P] >= env.value[DIM_L])
        env.value[DIM_P] = env.value[DIM_L] - 1;
    if (env.value[DIM_N] > env.value[DIM_L] - env.value[DIM_P])
        env.value[DIM_N] = env.value[DIM_L] - env.value[DIM_P];
    return env;
}

static void take_samples(Verifier *verifier)
{
    static const int64_t values[SAMPLES][4] = {{1, 1, 0, 1}, {1, 2, 1, 1}, {2, 1, 0, 1}, {3, 5, 2, 2}, {4, 8, 7, 1}, {2, 24, 12, 12}, {12, 7, 3, 4}, {5, 60, 20, 30}};
    for (int i = 0; i < SAMPLES; i++) {
        const DimEnv env = sample(verifier->unit->program, i, values[i]);
        if (!needs_unmet(verifier->unit->program, &env))
            verifier->samples[verifier->sample_count++] = env;
    }
}

/* What the program needs of the sizes makes every extent a whole number that is not negative. */
static void check_extent(Verifier *verifier, Dim extent, const char *what)
{
    if (!extent || pointer_map_find(&verifier->extents, extent) >= 0)
        return;
    for (int i = 0; i < verifier->sample_count && !verifier->message; i++) {
        const DimEnv *env = &verifier->samples[i];
        if (!whole(extent, env) || dim_eval(extent, env) < 0) {
            Str text = {0};
            dim_print(extent, &text);
            fail(verifier, "%s has the extent %s, which is none at b = %lld, l = %lld", what, str_text(&text), (long long)env->value[DIM_B], (long long)env->value[DIM_L]);
            str_free(&text);
        }
    }
    if (!verifier->message)
        pointer_map_set(&verifier->extents, extent, 0);
}

/* Where no conditions cut the box, a subscript's extremes are exact: they are tried at a few bindings. With conditions it is the producer's duty. */
static void check_range(Verifier *verifier, const Access *access, int sub, Dim extent)
{
    const Op *op = verifier->op;
    const Affine affine = access->subs[sub].affine;
    int index;
    if (op->cond_count > 0 || (affine_is_index(affine, &index) && op->indices[index].extent == extent))
        return;
    for (int i = 0; i < verifier->sample_count && !verifier->message; i++) {
        const DimEnv *env = &verifier->samples[i];
        if (!whole(affine.base, env))
            fail(verifier, "subscript %d of %s is no whole number", sub + 1, access->tensor < 0 ? "a draw" : verifier->unit->tensors[access->tensor].name);
        else if (box_holds(op, affine, extent, env) && (affine_extreme(op, affine, env, 1) < 0 || affine_extreme(op, affine, env, -1) >= dim_eval(extent, env)))
            fail(verifier, "subscript %d of %s leaves its axis", sub + 1, access->tensor < 0 ? "a draw" : verifier->unit->tensors[access->tensor].name);
    }
}

/* ---- accesses and expressions ---- */

/* Subscripts cover `rank` axes. */
static void check_access(Verifier *verifier, const Access *access, int rank, bool reads)
{
    if (reads ? !check_reads(verifier, access->tensor) : !check_tensor(verifier, access->tensor))
        return;
    const Tensor *tensor = &verifier->unit->tensors[access->tensor];
    int covered = 0;
    for (int i = 0; i < access->count; i++) {
        if (access->subs[i].span < 1) {
            fail(verifier, "a subscript of %s covers no axis", tensor->name);
            return;
        }
        covered += access->subs[i].span;
    }
    if (covered != rank) {
        fail(verifier, "subscripts of %s cover %d axes, not %d", tensor->name, covered, rank);
        return;
    }
    for (int i = 0; i < access->count && !verifier->message; i++) {
        const Access *inner = access->subs[i].read;
        const Dim extent = access_extent(verifier->unit, access, i);
        if (!inner) {
            check_affine(verifier, access->subs[i].affine);
            if (!verifier->message)
                check_range(verifier, access, i, extent);
            continue;
        }
        if (!check_reads(verifier, inner->tensor))
            return;
        const Tensor *subscript = &verifier->unit->tensors[inner->tensor];
        if (subscript->type != T_INT)
            fail(verifier, "%s is subscripted through %s, which holds numbers", tensor->name, subscript->name);
        else if (dim_proves_nonnegative(
                     dim_sub(verifier->unit->program->dims, subscript->bound, dim_add(verifier->unit->program->dims, extent, dim_int(verifier->unit->program->dims, 1)))))
            fail(verifier, "values of %s exceed the axis of %s", subscript->name, tensor->name);
        else
            check_access(verifier, inner, subscript->rank, true);
    }
}

static void check_expr(Verifier *verifier, int id)
{
    const Op *op = verifier->op;
    const Expr *expr = &op->exprs[id];
    if ((unsigned)expr->kind >= EXPR_COUNT) {
        fail(verifier, "expression %d has no kind", id);
        return;
    }
    for (int i = 0; i < scalar_arity(expr->kind); i++)
        if (expr->arg[i] < 0 || expr->arg[i] >= id) {
            fail(verifier, "operands of expression %d (%s) do not stand before it", id, scalar_name(expr->kind));
            return;
        }
    if (expr->kind == EXPR_DIM && !expr->dim)
        fail(verifier, "expression %d has no dimension", id);
    if (expr->kind == EXPR_POS && (expr->index < 0 || expr->index >= op->index_count))
        fail(verifier, "expression %d: there is no index %d", id, expr->index);
    if (expr->kind == EXPR_READ && check_reads(verifier, expr->access.tensor))
        check_access(verifier, &expr->access, verifier->unit->tensors[expr->access.tensor].rank, true);
    if (expr->kind == EXPR_DRAW) {
        if (!expr->tag || expr->access.tensor >= 0)
            fail(verifier, "expression %d: a draw has a tag and no tensor", id);
        for (int i = 0; i < expr->access.count && !verifier->message; i++) {
            if (expr->access.subs[i].read || expr->access.subs[i].span != 1)
                fail(verifier, "expression %d: subscripts of a draw are affine", id);
            else
                check_affine(verifier, expr->access.subs[i].affine);
        }
    }
}

static void check_root(Verifier *verifier, int id, const char *what)
{
    if (id < 0 || id >= verifier->op->expr_count)
        fail(verifier, "%s: there is no expression %d", what, id);
}

/* ---- operations ---- */

static void check_domain(Verifier *verifier)
{
    const Op *op = verifier->op;
    for (int i = 0; i < op->index_count; i++)
        if (!op->indices[i].extent)
            fail(verifier, "index %d has no extent", i);
        else
            check_extent(verifier, op->indices[i].extent, op->indices[i].name ? op->indices[i].name : "an index");
    for (int i = 0; i < op->cond_count && !verifier->message; i++)
        check_affine(verifier, op->conds[i]);
    for (int i = 0; i < op->expr_count && !verifier->message; i++)
        check_expr(verifier, i);
    for (int i = 0; i < op->guard_count && !verifier->message; i++)
        check_root(verifier, op->guards[i], "guard");
    check_root(verifier, op->body, "body");
    if (op->body2 != -1)
        check_root(verifier, op->body2, "factor");
}

/* Output subscripts that are the bare indices `first` … `last - 1`, each once and covering its axis. */
static void check_bare_output(Verifier *verifier)
{
    const Op *op = verifier->op;
    const Tensor *tensor = &verifier->unit->tensors[op->out.tensor];
    uint64_t seen = 0;
    for (int i = 0; i < op->out.count; i++) {
        int index;
        if (op->out.subs[i].read || op->out.subs[i].span != 1 || !affine_is_index(op->out.subs[i].affine, &index) || index > 63 || (seen >> index & 1)) {
            fail(verifier, "subscript %d of %s is not a bare index", i + 1, tensor->name);
            return;
        }
        seen |= (uint64_t)1 << index;
        if (tensor->extent[i] != op->indices[index].extent)
            fail(verifier, "index %d does not cover its axis of %s", index, tensor->name);
    }
    if (op->out.count != op->index_count)
        fail(verifier, "%s has not every index as a subscript", tensor->name);
}

static void check_recur(Verifier *verifier)
{
    const Op *op = verifier->op;
    check_bare_output(verifier);
    if (op->scan_count < 1)
        fail(verifier, "a recurrence along no index");
    for (int i = 0; i < op->scan_count && !verifier->message; i++)
        if (op->scan[i] < 0 || op->scan[i] >= op->index_count)
            fail(verifier, "there is no index %d to run along", op->scan[i]);
    for (int i = 0; i < op->scan_count && !verifier->message; i++)
        for (int k = 0; k < i; k++)
            if (op->scan[i] == op->scan[k])
                fail(verifier, "index %d is scanned twice", op->scan[i]);
    if (verifier->message || op->init.tensor < 0 || !check_reads(verifier, op->init.tensor))
        return;
    check_access(verifier, &op->init, verifier->unit->tensors[op->init.tensor].rank, true);
    for (int i = 0; i < op->init.count && !verifier->message; i++)
        for (int t = 0; t < op->init.subs[i].affine.count && !op->init.subs[i].read; t++)
            for (int k = 0; k < op->scan_count; k++)
                if (op->init.subs[i].affine.terms[t].index == op->scan[k])
                    fail(verifier, "the initial value moves along the recurrence");
}

static void check_top(Verifier *verifier)
{
    const Op *op = verifier->op;
    const Tensor *tensor = &verifier->unit->tensors[op->out.tensor];
    if (tensor->type != T_INT)
        fail(verifier, "a ranking gives indices, and %s holds numbers", tensor->name);
    else if (op->reduced < 1 || op->reduced > op->index_count)
        fail(verifier, "a ranking of %d of %d indices", op->reduced, op->index_count);
    else if (!op->top_k || tensor->rank < 1 || tensor->extent[tensor->rank - 1] != op->top_k)
        fail(verifier, "the last axis of %s is not the number of places", tensor->name);
    for (int i = 0; i < op->out.count && !verifier->message; i++)
        for (int t = 0; t < op->out.subs[i].affine.count && !op->out.subs[i].read; t++)
            if (op->out.subs[i].affine.terms[t].index >= op->index_count - op->reduced)
                fail(verifier, "the place of a ranking depends on what is ranked");
}

static void define(Verifier *verifier, int tensor)
{
    if (!check_tensor(verifier, tensor))
        return;
    const Tensor *t = &verifier->unit->tensors[tensor];
    if (t->role != TENSOR_LOCAL)
        fail(verifier, "%s is a formal and cannot be defined", t->name);
    else if (verifier->defined[tensor])
        fail(verifier, "%s is defined twice", t->name);
    else if (t->def != verifier->number)
        fail(verifier, "%s does not name its definition", t->name);
    verifier->defined[tensor] = true;
}

static bool same_storage(const Tensor *a, const Tensor *b)
{
    bool same = a->type == b->type && a->rank == b->rank;
    for (int i = 0; same && i < a->rank; i++)
        same = a->extent[i] == b->extent[i];
    return same;
}

/* Formal and actual have one shape; a callee's symbols are the caller's. */
static void check_same(Verifier *verifier, int tensor, const Tensor *formal, const char *what)
{
    const Tensor *actual = &verifier->unit->tensors[tensor];
    if (!same_storage(actual, formal))
        fail(verifier, "%s %s does not fit %s of %s", what, actual->name, formal->name, verifier->op->callee->name);
}

static void check_call(Verifier *verifier)
{
    const Op *op = verifier->op;
    const Unit *callee = op->callee;
    if (!callee || op->arg_count != callee->formal_count || op->result_count != callee->output_count) {
        fail(verifier, "a call whose arguments or results do not match");
        return;
    }
    for (int i = 0; i < op->arg_count; i++)
        if (check_reads(verifier, op->args[i]))
            check_same(verifier, op->args[i], &callee->tensors[callee->formals[i]], "argument");
    for (int i = 0; i < op->result_count && !verifier->message; i++) {
        if (op->results[i] < 0)
            continue;
        define(verifier, op->results[i]);
        if (!verifier->message)
            check_same(verifier, op->results[i], &callee->tensors[callee->outputs[i].tensor], "result");
    }
}

/* A nest that extends a tensor: same shape, reducer set. */
static void check_extended(Verifier *verifier)
{
    const Op *op = verifier->op;
    if (!check_reads(verifier, op->init.tensor))
        return;
    const Tensor *old = &verifier->unit->tensors[op->init.tensor], *new = &verifier->unit->tensors[op->out.tensor];
    if (!same_storage(old, new) || op->reducer != REDUCE_SET)
        fail(verifier, "%s cannot extend %s", new->name, old->name);
}

static void check_op(Verifier *verifier)
{
    const Op *op = verifier->op;
    if (op->group < 0 || op->group > verifier->unit->group_count)
        fail(verifier, "there is no group %d", op->group);
    if (op->kind == OP_CALL) {
        check_call(verifier);
        return;
    }
    check_domain(verifier);
    if (verifier->message || !check_tensor(verifier, op->out.tensor))
        return;
    const int rank = verifier->unit->tensors[op->out.tensor].rank;
    check_access(verifier, &op->out, op->kind == OP_TOP ? rank - 1 : rank, false);
    if (verifier->message)
        return;
    if (op->kind == OP_RECUR)
        check_recur(verifier);
    else if (op->kind == OP_TOP)
        check_top(verifier);
    if (op->kind != OP_RECUR && op->body2 != -1)
        fail(verifier, "only a recurrence has a factor");
    if (op->kind == OP_NEST && op->init.tensor >= 0)
        check_extended(verifier);
    if (!verifier->message)
        define(verifier, op->out.tensor);
}

/* ---- units ---- */

static void check_formals(Verifier *verifier)
{
    const Unit *unit = verifier->unit;
    for (int i = 0; i < unit->tensor_count; i++)
        if ((unit->tensors[i].type == T_INT) != (unit->tensors[i].bound != NULL))
            fail(verifier, "%s: integers, and only they, have a bound", unit->tensors[i].name);
    for (int i = 0; i < unit->tensor_count && !verifier->message; i++)
        for (int axis = 0; axis < unit->tensors[i].rank; axis++)
            check_extent(verifier, unit->tensors[i].extent[axis], unit->tensors[i].name);
    for (int i = 0; i < unit->formal_count && !verifier->message; i++) {
        if (!check_tensor(verifier, unit->formals[i]))
            return;
        const Tensor *tensor = &unit->tensors[unit->formals[i]];
        if (tensor->role == TENSOR_LOCAL || verifier->defined[unit->formals[i]])
            fail(verifier, "%s is no formal, or is one twice", tensor->name);
        verifier->defined[unit->formals[i]] = true;
    }
}

static void check_outputs(Verifier *verifier)
{
    const Unit *unit = verifier->unit;
    for (int i = 0; i < unit->output_count && !verifier->message; i++) {
        const Output *output = &unit->outputs[i];
        /* An adjoint unit's gradients speak of the formals of the unit it belongs to. */
        const bool of_formal = output->kind == OUTPUT_NEXT || (output->kind == OUTPUT_GRAD && unit == unit->program->main);
        if (!check_reads(verifier, output->tensor))
            return;
        if (of_formal && (output->formal < 0 || output->formal >= unit->formal_count))
            fail(verifier, "output %s names no formal", output->name);
        else if (of_formal && !same_storage(&unit->tensors[output->tensor], &unit->tensors[unit->formals[output->formal]]))
            fail(verifier, "output %s has not the shape of its formal", output->name);
        if (output->kind == OUTPUT_LOSS && unit->tensors[output->tensor].rank != 0)
            fail(verifier, "loss %s is not one number", output->name);
    }
}

/* A group's members are one stretch of operations. */
static void check_groups(Verifier *verifier)
{
    const Unit *unit = verifier->unit;
    for (int group = 1; group <= unit->group_count && !verifier->message; group++) {
        int stretches = 0;
        for (int i = 0; i < unit->op_count; i++)
            stretches += unit->ops[i].group == group && (i == 0 || unit->ops[i - 1].group != group);
        if (stretches > 1)
            fail(verifier, "the members of group %d are not adjacent", group);
        const Group *g = &unit->groups[group - 1];
        const int roles[] = {g->raw, g->score, g->lse};
        for (int i = 0; i < 3; i++)
            if (roles[i] >= unit->op_count)
                fail(verifier, "group %d names operation %d, which does not exist", group, roles[i]);
    }
}

const char *unit_verify(const Unit *unit)
{
    Verifier verifier = {.unit = unit, .number = -1, .defined = calloc((size_t)unit->tensor_count + 1, sizeof(bool))};
    if (!verifier.defined)
        return "out of memory";
    take_samples(&verifier);
    check_formals(&verifier);
    for (int i = 0; i < unit->op_count && !verifier.message; i++) {
        verifier.op = &unit->ops[i];
        verifier.number = i;
        check_op(&verifier);
    }
    verifier.number = -1;
    if (!verifier.message)
        check_outputs(&verifier);
    if (!verifier.message)
        check_groups(&verifier);
    free(verifier.defined);
    pointer_map_free(&verifier.extents);
    return verifier.message;
}

/* The initial tensor of a formal: a unit of constants and indices alone, of its shape. */
static const char *check_initial(const Program *program, int formal)
{
    const Tensor *tensor = &program->main->tensors[program->main->formals[formal]];
    const Unit *unit = program->bindings[formal].init.value;
    const char *wrong = NULL;
    if (unit->formal_count > 0)
        wrong = "reads inputs";
    else if (unit->output_count != 1 || unit->outputs[0].kind != OUTPUT_RESULT)
        wrong = "is not one tensor";
    else if (!same_storage(&unit->tensors[unit->outputs[0].tensor], tensor))
        wrong = "has another shape";
    for (int i = 0; i < unit->op_count && !wrong; i++) {
        const Op *op = &unit->ops[i];
        for (int k = 0; k < op->index_count && !wrong; k++)
            wrong = dim_is_static(op->indices[k].extent) ? NULL : "depends on the size of a run";
        for (int k = 0; k < op->expr_count && !wrong; k++)
            wrong = op->exprs[k].kind == EXPR_DRAW ? "draws" : op->exprs[k].kind == EXPR_DIM && !dim_is_static(op->exprs[k].dim) ? "depends on the size of a run" : NULL;
    }
    return wrong ? arena_printf(program->arena, "the initial value of %s %s", tensor->name, wrong) : NULL;
}

static const char *check_bindings(const Program *program)
{
    const Unit *main = program->main;
    const char *message = NULL;
    for (int i = 0; i < main->formal_count && !message; i++) {
        const TensorRole role = main->tensors[main->formals[i]].role;
        if ((role == TENSOR_PARAM || role == TENSOR_STATE) && program->bindings[i].init.value)
            message = check_initial(program, i);
    }
    return message;
}

static int by_address(const void *a, const void *b)
{
    const Unit *left = *(const Unit *const *)a, *right = *(const Unit *const *)b;
    return ((uintptr_t)left > (uintptr_t)right) - ((uintptr_t)left < (uintptr_t)right);
}

/* The callees of `unit` are among the `count` units before it, which are sorted by address. */
static const char *check_callees(const Unit *unit, const Unit **before, int count)
{
    for (int i = 0; i < unit->op_count; i++)
        if (unit->ops[i].kind == OP_CALL && !(count && bsearch(&unit->ops[i].callee, before, (size_t)count, sizeof *before, by_address)))
            return arena_printf(unit->program->arena, "%s: operation %d calls a unit that does not stand before it", unit->name, i);
    return NULL;
}

static bool calls(const Unit *unit)
{
    bool any = false;
    for (int i = 0; i < unit->op_count; i++)
        any = any || unit->ops[i].kind == OP_CALL;
    return any;
}

const char *program_verify(const Program *program)
{
    const Unit **before = calloc((size_t)program->unit_count + 1, sizeof(Unit *));
    const char *message = before ? NULL : "out of memory";
    int sorted = 0;
    for (int i = 0; i < program->unit_count && !message; i++) {
        const Unit *unit = program->units[i];
        if (calls(unit) && sorted < i) {
            memcpy(before, program->units, (size_t)i * sizeof(Unit *));
            qsort(before, (size_t)i, sizeof(Unit *), by_address);
            sorted = i;
        }
        message = unit_verify(unit);
        if (!message)
            message = check_callees(unit, before, sorted);
    }
    free(before);
    return message || !program->main || !program->bindings ? message : check_bindings(program);
}

void unit_expect(const Unit *unit, const char *after)
{
    const char *message = unit_verify(unit);
    if (message)
        BFM_BUG("%s made a malformed program: %s", after, message);
}

void program_expect(const Program *program, const char *after)
{
    const char *message = program_verify(program);
    if (message)
        BFM_BUG("%s made a malformed program: %s", after, message);
}
