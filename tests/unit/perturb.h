/* Brute force for effects: one position of one input is changed in the interpreter, and what changes with it is compared with what the analysis states.
   The same for the sizes: where a value is said not to depend on one, the program gives the same prefix when there is less of it. */
#ifndef BFM_TESTS_PERTURB_H
#define BFM_TESTS_PERTURB_H

#include "ir_sketch.h"

#include "ir/effects.h"

typedef struct Perturb {
    Arena *arena;
    const Unit *unit;
    int64_t b, l;
    uint64_t state;
} Perturb;

static inline InterpContext perturb_context(int64_t b, int64_t l)
{
    InterpContext context = {.precision = INTERP_F64, .seed = 5, .step = 2};
    context.env.value[DIM_B] = b;
    context.env.value[DIM_L] = l;
    return context;
}

static inline void perturb_draw(Perturb *p, const Tensor *tensor, Value *value, int64_t i, const DimEnv *env)
{
    if (tensor->type == T_REAL)
        value->real[i] = 2 * sketch_random(&p->state) - 1;
    else
        value->integer[i] = (int32_t)(sketch_random(&p->state) * ((double)dim_eval(tensor->bound, env) + 0.6)) - (sketch_random(&p->state) < 0.1);
    if (tensor->type == T_INT && value->integer[i] >= dim_eval(tensor->bound, env))
        value->integer[i] = 0;
}

static inline Value perturb_value(Perturb *p, const Tensor *tensor, const DimEnv *env)
{
    Value value = {.count = tensor_elements(tensor, env)};
    if (tensor->type == T_REAL)
        value.real = ARENA_ARRAY(p->arena, double, value.count + 1);
    else
        value.integer = ARENA_ARRAY(p->arena, int32_t, value.count + 1);
    return value;
}

/* Coordinates of a flat element along the first axis of extent b and the first of extent l, -1 without one. */
static inline void perturb_place(const Perturb *p, const Tensor *tensor, int64_t flat, const DimEnv *env, int64_t *row, int64_t *position)
{
    DimTable *dims = p->unit->program->dims;
    *row = *position = -1;
    for (int axis = tensor->rank - 1; axis >= 0; axis--) {
        const int64_t extent = dim_eval(tensor->extent[axis], env), at = flat % extent;
        flat /= extent;
        if (tensor->extent[axis] == dim_symbol(dims, DIM_B))
            *row = at;
        if (tensor->extent[axis] == dim_symbol(dims, DIM_L))
            *position = at;
    }
}

static inline bool perturb_same(const Value *a, int64_t i, const Value *b, int64_t k)
{
    if (a->integer)
        return a->integer[i] == b->integer[k];
    return a->real[i] == b->real[k] || (isnan(a->real[i]) && isnan(b->real[k]));
}

static inline Value *perturb_run(Perturb *p, const Value *formals, const InterpContext *context)
{
    Value *results = ARENA_ARRAY(p->arena, Value, p->unit->output_count + 1);
    const char *error = interp_run(p->arena, p->unit, context, formals, results, NULL);
    if (error)
        fail_msg("%s: %s", p->unit->name, error);
    return results;
}

static inline bool perturb_inside(Interval interval, int64_t difference, bool known)
{
    return !interval.empty && (!known || (interval.low <= difference && difference <= interval.high));
}

static inline int perturb_compare(Perturb *p, const UnitEffects *effects, int formal, int64_t row, int64_t position, const Value *before, const Value *after)
{
    const InterpContext context = perturb_context(p->b, p->l);
    int changes = 0;
    for (int o = 0; o < p->unit->output_count; o++) {
        const Tensor *tensor = &p->unit->tensors[p->unit->outputs[o].tensor];
        Effect effect = effect_none();
        for (int t = 0; t < effects->tracked_count; t++)
            if (effects->tracked[t] == formal)
                effect = effects->on_tracked[o * effects->tracked_count + t];
        for (int64_t i = 0; i < before[o].count; i++) {
            int64_t out_row, out_position;
            if (perturb_same(&before[o], i, &after[o], i))
                continue;
            perturb_place(p, tensor, i, &context.env, &out_row, &out_position);
            const Interval interval = row < 0 || out_row < 0 ? interval_hull(effect.own, effect.cross) : row == out_row ? effect.own : effect.cross;
            changes++;
            if (perturb_inside(interval, position - out_position, position >= 0 && out_position >= 0))
                continue;
            Str text = {0};
            effect_print(effect, &text);
            str_push(&text, '\n');
            program_print(p->unit->program, &text);
            print_error("%s\n", str_text(&text));
            str_free(&text);
            fail_msg("%s: output %s at row %d, position %d changes with %s at row %d, position %d", p->unit->name, p->unit->outputs[o].name, (int)out_row, (int)out_position,
                     p->unit->tensors[p->unit->formals[formal]].name, (int)row, (int)position);
        }
    }
    return changes;
}

/* Every (row, position) of a formal, one after the other. */
static inline int perturb_formal(Perturb *p, const UnitEffects *effects, int formal, Value *formals, const Value *before)
{
    const InterpContext context = perturb_context(p->b, p->l);
    const Tensor *tensor = &p->unit->tensors[p->unit->formals[formal]];
    const Value old = formals[formal];
    int changes = 0;
    for (int64_t place = 0; place < p->b * p->l; place++) {
        int64_t row = 0, position = 0;
        bool any = false;
        formals[formal] = perturb_value(p, tensor, &context.env);
        for (int64_t i = 0; i < old.count; i++) {
            int64_t r, l;
            perturb_place(p, tensor, i, &context.env, &r, &l);
            if (old.real)
                formals[formal].real[i] = old.real[i];
            else
                formals[formal].integer[i] = old.integer[i];
            if ((r < 0 ? 0 : r) != place / p->l || (l < 0 ? 0 : l) != place % p->l)
                continue;
            any = true, row = r, position = l;
            perturb_draw(p, tensor, &formals[formal], i, &context.env);
        }
        if (any)
            changes += perturb_compare(p, effects, formal, row, position, before, perturb_run(p, formals, &context));
    }
    formals[formal] = old;
    return changes;
}

/* ---- less of a size ---- */

/* Copies what is there at the smaller sizes; `back` compares instead. False: an axis that uses the size in another way. */
static inline bool perturb_cut(const Perturb *p, const Tensor *tensor, const DimEnv *large, const DimEnv *small, const Value *from, Value *to, bool compare, bool *same)
{
    int64_t extent[8], index[8] = {0};
    for (int axis = 0; axis < tensor->rank; axis++) {
        const Dim dim = tensor->extent[axis];
        if (!dim_is_static(dim) && dim != dim_symbol(p->unit->program->dims, DIM_B) && dim != dim_symbol(p->unit->program->dims, DIM_L))
            return false;
        extent[axis] = dim_eval(dim, small);
    }
    for (int64_t i = 0; i < to->count; i++) {
        int64_t flat = 0;
        for (int axis = 0; axis < tensor->rank; axis++)
            flat = flat * dim_eval(tensor->extent[axis], large) + index[axis];
        if (compare)
            *same = *same && perturb_same(from, flat, to, i);
        else if (from->real)
            to->real[i] = from->real[flat];
        else
            to->integer[i] = from->integer[flat];
        for (int axis = tensor->rank - 1; axis >= 0 && ++index[axis] == extent[axis]; axis--)
            index[axis] = 0;
    }
    return true;
}

static inline void perturb_sizes(Perturb *p, const UnitEffects *effects, const Value *formals, const Value *before, bool length)
{
    const InterpContext large = perturb_context(p->b, p->l), small = perturb_context(p->b - !length, p->l - length);
    Value *fewer = ARENA_ARRAY(p->arena, Value, p->unit->formal_count + 1);
    for (int f = 0; f < p->unit->formal_count; f++) {
        const Tensor *tensor = &p->unit->tensors[p->unit->formals[f]];
        fewer[f] = perturb_value(p, tensor, &small.env);
        if (!perturb_cut(p, tensor, &large.env, &small.env, &formals[f], &fewer[f], false, NULL))
            return;
        for (int64_t i = 0; tensor->type == T_INT && i < fewer[f].count; i++) /* an index into what has gone */
            if (fewer[f].integer[i] >= dim_eval(tensor->bound, &small.env))
                return;
    }
    const Value *after = perturb_run(p, fewer, &small);
    for (int o = 0; o < p->unit->output_count; o++) {
        const Effect effect = effects->outputs[o];
        const bool promised = length ? effect_causal(effect) && !effect_length_dependent(effect) : effect_batch_independent(effect) && !(effect.ext & 1u << DIM_B);
        bool same = true;
        Value got = after[o];
        if (!promised || !perturb_cut(p, &p->unit->tensors[p->unit->outputs[o].tensor], &large.env, &small.env, &before[o], &got, true, &same) || same)
            continue;
        Str text = {0};
        effect_print(effect, &text);
        str_push(&text, '\n');
        program_print(p->unit->program, &text);
        print_error("%s\n", str_text(&text));
        str_free(&text);
        fail_msg("%s: output %s depends on %s", p->unit->name, p->unit->outputs[o].name, length ? "the length" : "the batch");
    }
}

/* Returns how many changes were seen, all of them where the effects say they may be. */
static inline int perturb_unit(Arena *arena, const Unit *unit, const ProgramEffects *known, int64_t b, int64_t l, uint64_t seed)
{
    Perturb p = {arena, unit, b, l, seed * 7919 + 1};
    const UnitEffects *effects = effects_of(known, unit);
    const InterpContext context = perturb_context(b, l);
    Value *formals = ARENA_ARRAY(arena, Value, unit->formal_count + 1);
    int changes = 0;
    for (int f = 0; f < unit->formal_count; f++) {
        const Tensor *tensor = &unit->tensors[unit->formals[f]];
        formals[f] = perturb_value(&p, tensor, &context.env);
        for (int64_t i = 0; i < formals[f].count; i++)
            perturb_draw(&p, tensor, &formals[f], i, &context.env);
    }
    const Value *before = perturb_run(&p, formals, &context);
    for (int f = 0; f < unit->formal_count; f++)
        if (unit->tensors[unit->formals[f]].role == TENSOR_INPUT)
            changes += perturb_formal(&p, effects, f, formals, before);
    perturb_sizes(&p, effects, formals, before, true);
    perturb_sizes(&p, effects, formals, before, false);
    return changes;
}

/* ---- random programs ---------------------------------------------------------------------------------------------------------- */

typedef struct Wild {
    Sketch *s;
    uint64_t state;
} Wild;

static inline int wild(Wild *w, int n) { return (int)(sketch_random(&w->state) * n); }
static inline Dim wild_symbol(const Wild *w, int symbol) { return dim_symbol(w->s->program->dims, symbol); }

static inline int wild_index(Wild *w, Dim extent)
{
    const Op *op = &w->s->op.op;
    int found[16], count = 0;
    for (int i = 0; i < op->index_count; i++)
        if (op->indices[i].extent == extent)
            found[count++] = i;
    return count ? found[wild(w, count)] : -1;
}

static inline int wild_tensor(Wild *w, ElemType type, Dim bound)
{
    const Unit *unit = w->s->unit;
    const int start = wild(w, unit->tensor_count);
    for (int k = 0; k < unit->tensor_count; k++) {
        const int id = (start + k) % unit->tensor_count;
        if (id != w->s->op.op.out.tensor && unit->tensors[id].type == type && (!bound || unit->tensors[id].bound == bound))
            return id;
    }
    return -1;
}

static inline void wild_cond(Wild *w, Affine affine) { op_cond(&w->s->op, affine); }

/* A subscript of an axis of b, l or a few, that stays inside. */
static inline Access wild_access(Wild *w, int tensor, int depth);
static inline Sub wild_sub(Wild *w, Dim extent, int depth)
{
    Program *program = w->s->program;
    const int index = wild_index(w, extent), integer = depth > 0 && wild(w, 5) == 0 ? wild_tensor(w, T_INT, extent) : -1;
    if (integer >= 0)
        return sub_read(program, wild_access(w, integer, depth - 1), 1);
    if (index < 0)
        return sub_affine(affine_const(program, dim_int(program->dims, 0)), 1);
    Affine affine = affine_index(program, index);
    const Affine last = affine_const(program, dim_sub(program->dims, extent, dim_int(program->dims, 1))), by = affine_const(program, dim_int(program->dims, 1 + wild(w, 2)));
    const int few = wild_index(w, dim_int(program->dims, 2));
    switch (wild(w, 12)) {
    case 0: affine = affine_sub(program, affine, by), wild_cond(w, affine); break;
    case 1: affine = affine_add(program, affine, by), wild_cond(w, affine_sub(program, last, affine)); break;
    case 2: affine = affine_sub(program, last, affine); break;
    case 3:
        if (few >= 0 && few != index)
            affine = affine_sub(program, affine, affine_index(program, few)), wild_cond(w, affine);
        break;
    default: break;
    }
    return sub_affine(affine, 1);
}

static inline Access wild_access(Wild *w, int tensor, int depth)
{
    const Tensor *t = &w->s->unit->tensors[tensor];
    Access access = access_new(w->s->program, tensor, t->rank);
    for (int axis = 0; axis < t->rank; axis++)
        access.subs[axis] = wild_sub(w, t->extent[axis], depth);
    return access;
}

static inline int wild_read(Wild *w)
{
    const int tensor = wild_tensor(w, T_REAL, NULL);
    return expr_read(&w->s->op, wild_access(w, tensor, 1));
}

static inline int wild_value(Wild *w)
{
    Sketch *s = w->s;
    const int a = wild_read(w), integer = wild_tensor(w, T_INT, NULL), index = wild_index(w, wild_symbol(w, DIM_L));
    switch (wild(w, 8)) {
    case 0: return mul(s, a, wild_read(w));
    case 1: return add(s, un(s, EXPR_TANH, a), wild_read(w));
    case 2: return expr_op(&s->op, EXPR_SELECT, bin(s, EXPR_LT, a, num(s, 0.1)), wild_read(w), num(s, 0.5));
    case 3: return integer < 0 ? a : add(s, a, un(s, EXPR_EXISTS, expr_read(&s->op, wild_access(w, integer, 0))));
    case 4: return wild(w, 3) ? a : mul(s, a, expr_dim(&s->op, wild_symbol(w, wild(w, 2) ? DIM_L : DIM_B)));
    case 5: return index < 0 ? a : mul(s, a, add(s, num(s, 1), expr_pos(&s->op, index)));
    default: return un(s, EXPR_TANH, a);
    }
}

static inline void wild_indices(Wild *w, const Tensor *target, int more)
{
    Sketch *s = w->s;
    const Dim sizes[] = {wild_symbol(w, DIM_L), wild_symbol(w, DIM_L), wild_symbol(w, DIM_B), dim_int(s->program->dims, 2)};
    for (int axis = 0; axis < target->rank; axis++)
        (void)op_index(&s->op, intern(s->interner, "o"), target->extent[axis]);
    for (int k = 0; k < more; k++)
        (void)op_index(&s->op, intern(s->interner, "r"), sizes[wild(w, 4)]);
    const int i = wild_index(w, sizes[0]), j = wild_index(w, sizes[0]);
    if (i < 0 || i == j || wild(w, 3) == 0)
        return;
    const Affine difference = affine_sub(s->program, affine_index(s->program, i), affine_index(s->program, j));
    const Affine slack = affine_const(s->program, dim_int(s->program->dims, wild(w, 4) - 1));
    wild_cond(w, affine_add(s->program, difference, slack));
    if (wild(w, 3) == 0)
        wild_cond(w, affine_sub(s->program, affine_const(s->program, dim_int(s->program->dims, 2)), difference));
}

static inline void wild_guard(Wild *w)
{
    if (wild(w, 4) == 0)
        op_guard(&w->s->op, bin(w->s, EXPR_LT, wild_read(w), num(w->s, 0.4)));
}

/* The target's subscripts: its bare indices, now and then another place. */
static inline Access wild_out(Wild *w, int target, bool scatter)
{
    const Tensor *t = &w->s->unit->tensors[target];
    Access out = access_new(w->s->program, target, t->rank);
    for (int axis = 0; axis < t->rank; axis++)
        out.subs[axis] = scatter && wild(w, 3) == 0 ? wild_sub(w, t->extent[axis], 1) : sub_index(w->s->program, axis);
    return out;
}

static inline void wild_nest(Wild *w, int target)
{
    static const Reducer reducers[] = {REDUCE_SUM, REDUCE_SUM, REDUCE_MAX, REDUCE_LSE};
    Sketch *s = w->s;
    s->op = op_begin(s->unit, OP_NEST);
    s->op.op.reducer = reducers[wild(w, 4)];
    s->op.op.out.tensor = target;
    wild_indices(w, &s->unit->tensors[target], wild(w, 3));
    wild_guard(w);
    s->op.op.body = wild_value(w);
    s->op.op.out = wild_out(w, target, wild(w, 4) == 0);
    (void)op_finish(&s->op);
}

static inline void wild_recur(Wild *w, int target)
{
    Sketch *s = w->s;
    s->op = op_begin(s->unit, OP_RECUR);
    s->op.op.out.tensor = target;
    wild_indices(w, &s->unit->tensors[target], 0);
    s->op.op.scan = ARENA_ARRAY(s->arena, int, 8);
    const int start = wild(w, s->op.op.index_count), count = 1 + wild(w, s->op.op.index_count);
    for (int i = 0; i < count; i++)
        s->op.op.scan[s->op.op.scan_count++] = (start + i) % s->op.op.index_count;
    s->op.op.reverse = wild(w, 3) == 0;
    s->op.op.exclusive = wild(w, 2);
    s->op.op.init.tensor = -1;
    wild_guard(w);
    s->op.op.body = wild_value(w);
    s->op.op.body2 = wild(w, 2) ? un(s, EXPR_TANH, wild_read(w)) : num(s, 0.5);
    s->op.op.out = wild_out(w, target, false);
    (void)op_finish(&s->op);
}

static inline void wild_integer(Wild *w, int target)
{
    Sketch *s = w->s;
    const Dim bound = s->unit->tensors[target].bound;
    s->op = op_begin(s->unit, OP_NEST);
    s->op.op.out.tensor = target;
    wild_indices(w, &s->unit->tensors[target], 0);
    wild_guard(w);
    const int index = wild_index(w, bound), other = wild_tensor(w, T_INT, bound);
    switch (wild(w, 3)) {
    case 0: s->op.op.body = index < 0 ? num(s, 0) : add(s, expr_pos(&s->op, index), num(s, wild(w, 3) - 1)); break;
    case 1: s->op.op.body = other < 0 ? num(s, 1) : expr_read(&s->op, wild_access(w, other, 0)); break;
    default: s->op.op.body = un(s, EXPR_FLOOR, mul(s, un(s, EXPR_ABS, un(s, EXPR_TANH, wild_read(w))), expr_dim(&s->op, bound))); break;
    }
    s->op.op.out = wild_out(w, target, false);
    (void)op_finish(&s->op);
}

/* best[b, l, 2]: over an axis of l, b or 2. */
static inline void wild_top(Wild *w, int target)
{
    Sketch *s = w->s;
    Tensor *t = &s->unit->tensors[target];
    s->op = op_begin(s->unit, OP_TOP);
    s->op.op.out.tensor = target;
    for (int axis = 0; axis + 1 < t->rank; axis++)
        (void)op_index(&s->op, intern(s->interner, "o"), t->extent[axis]);
    const int ranked = op_index(&s->op, intern(s->interner, "t"), t->bound), own = wild_index(w, t->bound);
    if (own != ranked && wild(w, 2))
        wild_cond(w, affine_sub(s->program, affine_index(s->program, own), affine_index(s->program, ranked)));
    s->op.op.reduced = 1;
    s->op.op.top_k = t->extent[t->rank - 1];
    s->op.op.body = wild_value(w);
    s->op.op.out = access_new(s->program, target, t->rank - 1);
    for (int axis = 0; axis + 1 < t->rank; axis++)
        s->op.op.out.subs[axis] = sub_index(s->program, axis);
    (void)op_finish(&s->op);
}

static inline void wild_op(Wild *w, int number)
{
    static const char *const shapes[] = {"b,l", "b,l,2", "l,b", "b", "l", "", "b,l,l", "b,l"};
    Sketch *s = w->s;
    const char *name = arena_printf(s->arena, "t%d", number);
    const Dim bounds[] = {wild_symbol(w, DIM_L), wild_symbol(w, DIM_B), dim_int(s->program->dims, 2)};
    const int kind = wild(w, 10), shape = wild(w, 8);
    if (kind < 6) {
        wild_nest(w, local(s, name, shapes[shape]));
    } else if (kind == 6) {
        wild_recur(w, local(s, name, shapes[shape % 3]));
    } else {
        const int target = integers(s, name, kind == 7 ? "b,l,2" : shapes[shape % 5], 2, false);
        s->unit->tensors[target].bound = bounds[wild(w, 3)];
        if (kind == 7)
            wild_top(w, target);
        else
            wild_integer(w, target);
    }
}

static const struct {
    const char *shape;
    int symbol;
} WILD_FORMALS[] = {{"b,l,2", -1}, {"b,l", -1}, {"l", -1}, {"b", -1}, {"", -1}, {"b,l", 2}, {"b,l", DIM_L}, {"l", DIM_B}};
enum { WILD_FORMAL_COUNT = 8 };

static inline void wild_formals(Wild *w)
{
    Sketch *s = w->s;
    for (int f = 0; f < WILD_FORMAL_COUNT; f++) {
        const int bound = WILD_FORMALS[f].symbol;
        const int id = sketch_tensor(s, arena_printf(s->arena, "x%d", f), WILD_FORMALS[f].shape, TENSOR_INPUT, bound < 0 ? 0 : 2);
        if (bound >= 0)
            s->unit->tensors[id].bound = bound == 2 ? dim_int(s->program->dims, 2) : wild_symbol(w, bound);
    }
}

/* An argument of the formal's type: any tensor that fits, its own formal at least. */
static inline int wild_argument(Wild *w, const Unit *callee, int formal)
{
    const Unit *unit = w->s->unit;
    const Tensor *like = &callee->tensors[callee->formals[formal]];
    const int start = wild(w, unit->tensor_count);
    for (int k = 0; k < unit->tensor_count; k++) {
        const Tensor *t = &unit->tensors[(start + k) % unit->tensor_count];
        bool same = t->type == like->type && t->rank == like->rank && t->bound == like->bound && (t->def >= 0 || t->role == TENSOR_INPUT);
        for (int axis = 0; same && axis < t->rank; axis++)
            same = t->extent[axis] == like->extent[axis];
        if (same)
            return (start + k) % unit->tensor_count;
    }
    return unit->formals[formal];
}

static inline void wild_call(Wild *w, Unit *callee, int number)
{
    Sketch *s = w->s;
    int args[WILD_FORMAL_COUNT], results[4];
    for (int f = 0; f < WILD_FORMAL_COUNT; f++)
        args[f] = wild_argument(w, callee, f);
    OpBuilder call = op_begin(s->unit, OP_CALL);
    for (int r = 0; r < callee->output_count; r++) {
        const Tensor *like = &callee->tensors[callee->outputs[r].tensor];
        results[r] = unit_tensor(s->unit, intern(s->interner, arena_printf(s->arena, "c%d_%d", number, r)), like->type, TENSOR_LOCAL, like->rank, like->extent, like->bound);
    }
    call.op.callee = callee;
    call.op.path = intern(s->interner, arena_printf(s->arena, "call%d", number));
    call.op.arg_count = WILD_FORMAL_COUNT;
    call.op.args = arena_memdup(s->arena, args, sizeof args);
    call.op.result_count = callee->output_count;
    call.op.results = arena_memdup(s->arena, results, (size_t)callee->output_count * sizeof *results);
    (void)op_finish(&call);
}

/* The last few tensors are what the unit gives. */
static inline void wild_outputs(Wild *w, int most)
{
    Unit *unit = w->s->unit;
    for (int t = unit->tensor_count - 1; t >= 0 && unit->output_count < most; t--)
        if (unit->tensors[t].def >= 0)
            (void)unit_output(unit, unit->tensors[t].name, OUTPUT_RESULT, t);
}

/* Nests, recurrences, ranks and calls over b, l and 2, reading and writing at shifted, reversed and data-given places. */
static inline void perturb_random_program(Sketch *s, uint64_t seed)
{
    Wild w = {s, seed * 104729 + 3};
    Unit *callee = NULL;
    if (wild(&w, 2)) {
        callee = s->unit;
        wild_formals(&w);
        for (int k = 1 + wild(&w, 4); k > 0; k--)
            wild_op(&w, k);
        wild_outputs(&w, 2);
        s->unit = s->program->main = unit_new(s->program, intern(s->interner, "outer"));
    }
    wild_formals(&w);
    for (int k = 0, count = 2 + wild(&w, 5); k < count; k++) {
        if (callee && wild(&w, 3) == 0)
            wild_call(&w, callee, k);
        else
            wild_op(&w, k);
    }
    if (callee)
        wild_call(&w, callee, 100);
    wild_outputs(&w, 6);
}

#endif
