/* A proof that a result reads the future: at a small batch and length, the input positions that each element does read, point by point. Where axes do not
   depend on the sizes, all elements along them are taken together: what one of them reads, some result may. What only data can decide is counted where every
   outcome can come about (a choice by scores, a condition on real numbers), and left out where it cannot be told: sets are too small rather than too large. */
#include "ir/effects_internal.h"

#include "support/bug.h"

#include <math.h>
#include <string.h>

enum { WITNESS_ROWS = 2, WITNESS_LENGTH = 32, WITNESS_AXES = 16, WITNESS_POINTS = 1 << 18, WITNESS_ELEMENTS = 1 << 16, WITNESS_WORD = 64 };

static const double MASKED = -1000; /* what is added to hide a score: it counts as -inf */

typedef uint64_t Bits;

/* What is known of a tensor; element over the axes that depend on the sizes, row-major. */
typedef struct Seen {
    int64_t count;
    int64_t extent[WITNESS_AXES]; /* 1 where elements are taken together */
    int64_t whole[WITNESS_AXES];  /* as it is */
    Bits *reads;                  /* positions of tokens, in whichever row */
    Bits *values;                 /* T_INT: values that it may have; none: nothing is known */
    double *known;                /* T_REAL: a value that does not depend on data; else NaN */
    bool *written;
    bool free; /* an integer input of the model, whatever its values */
    bool ok;
} Seen;

typedef struct Evaluation {
    Arena *arena;
    DimEnv env;
} Evaluation;

typedef struct UnitSeen {
    const Evaluation *ev;
    const Unit *unit;
    Seen *tensors;
} UnitSeen;

typedef struct Point {
    const UnitSeen *us;
    const Op *op;
    bool walked[64];
    int64_t at[64];
    double *known;
    Bits *reads;
} Point;

static int64_t size_of(const Evaluation *ev, Dim dim) { return dim_eval(dim, &ev->env); }

static bool by_size(Dim dim) { return dim_symbols(dim) != 0; }

static Seen seen_new(const Evaluation *ev, const Tensor *tensor)
{
    Seen seen = {.count = 1, .ok = tensor->rank <= WITNESS_AXES};
    for (int axis = 0; axis < tensor->rank && seen.ok; axis++) {
        seen.whole[axis] = size_of(ev, tensor->extent[axis]);
        seen.extent[axis] = by_size(tensor->extent[axis]) ? seen.whole[axis] : 1;
        seen.ok = seen.whole[axis] >= 1 && seen.extent[axis] <= WITNESS_ELEMENTS && (seen.count *= seen.extent[axis]) <= WITNESS_ELEMENTS;
    }
    if (!seen.ok)
        return seen;
    seen.reads = ARENA_ARRAY(ev->arena, Bits, seen.count);
    seen.values = ARENA_ARRAY(ev->arena, Bits, seen.count);
    seen.known = ARENA_ARRAY(ev->arena, double, seen.count);
    seen.written = ARENA_ARRAY(ev->arena, bool, seen.count);
    for (int64_t i = 0; i < seen.count; i++)
        seen.known[i] = NAN;
    return seen;
}

/* ---- places ---- */

static double affine_at(const Point *point, Affine affine)
{
    double value = rational_double(dim_eval_exact(affine.base, &point->us->ev->env));
    for (int i = 0; i < affine.count; i++)
        value += rational_double(dim_eval_exact(affine.terms[i].coef, &point->us->ev->env)) * (double)point->at[affine.terms[i].index];
    return value;
}

typedef struct Places {
    int count;
    int64_t element[WITNESS_WORD];
    Bits reads; /* of the integers that say where */
    bool ok;
} Places;

static Places places_of(Point *point, const Access *access);

/* The values that a subscript may have. */
static Bits sub_values(Point *point, const Sub *sub, Bits *reads, bool *ok)
{
    if (!sub->read) {
        const double value = affine_at(point, sub->affine);
        *ok = value >= 0 && value < 1e15;
        return 0;
    }
    const Seen *integer = &point->us->tensors[sub->read->tensor];
    const Places places = places_of(point, sub->read);
    Bits values = 0;
    *reads |= places.reads;
    *ok = places.ok;
    for (int p = 0; p < places.count && places.ok; p++) {
        values |= integer->values[places.element[p]];
        *reads |= integer->reads[places.element[p]];
    }
    return values;
}

/* Adds the value of a subscript over the axes first … first + span - 1 to each place. */
static void places_add(Places *places, const Seen *seen, int first, int span, const int64_t *values, int count)
{
    Places more = {.reads = places->reads, .ok = true};
    for (int v = 0; v < count; v++) {
        int64_t rest = values[v], offset = 0, stride = 1;
        for (int axis = first + span - 1; axis >= first; axis--) {
            const int64_t along = axis == first ? rest : rest % seen->whole[axis];
            rest /= seen->whole[axis];
            offset += seen->extent[axis] > 1 ? along * stride : 0;
            stride *= seen->extent[axis];
            more.ok = more.ok && along < seen->whole[axis];
        }
        for (int p = 0; p < places->count && more.ok; p++) {
            if (more.count == WITNESS_WORD) {
                places->ok = false;
                return;
            }
            more.element[more.count++] = places->element[p] * stride + offset;
        }
    }
    *places = more;
}

static Places places_of(Point *point, const Access *access)
{
    const Seen *seen = &point->us->tensors[access->tensor];
    Places places = {.count = 1, .ok = seen->ok};
    int axis = 0;
    for (int i = 0; i < access->count && places.ok; i++) {
        const Sub *sub = &access->subs[i];
        int64_t values[WITNESS_WORD] = {0};
        int count = 0;
        bool sized = false;
        for (int k = axis; k < axis + sub->span; k++)
            sized = sized || seen->extent[k] > 1;
        const Bits may = sub_values(point, sub, &places.reads, &places.ok);
        if (!sized)
            count = 1; /* taken together: wherever it is */
        else if (!sub->read)
            values[count++] = (int64_t)affine_at(point, sub->affine);
        for (int v = 0; v < WITNESS_WORD && sized && sub->read; v++)
            if (may >> v & 1)
                values[count++] = v;
        if (!sized && !sub->read)
            places.ok = true; /* its indices are not walked */
        places.ok = places.ok && count > 0;
        if (places.ok)
            places_add(&places, seen, axis, sub->span, values, count);
        axis += sub->span;
    }
    return places;
}

/* ---- expressions ---- */

static void read_at(Point *point, int id)
{
    const Access *access = &point->op->exprs[id].access;
    const Seen *seen = &point->us->tensors[access->tensor];
    const Places places = places_of(point, access);
    point->reads[id] = places.reads;
    point->known[id] = NAN;
    if (!places.ok)
        return;
    for (int p = 0; p < places.count; p++)
        point->reads[id] |= seen->reads[places.element[p]];
    if (places.count != 1)
        return;
    const int64_t at = places.element[0];
    const Bits values = seen->values[at];
    if (point->us->unit->tensors[access->tensor].type == T_REAL)
        point->known[id] = seen->known[at];
    else if (values && !(values & (values - 1)))
        point->known[id] = (double)__builtin_ctzll(values);
}

static bool any_zero(double a, double b) { return a == 0 || b == 0; }

static void operator_at(Point *point, int id)
{
    const Expr *node = &point->op->exprs[id];
    const int arity = scalar_arity(node->kind);
    double arg[3] = {0, 0, 0};
    bool all = true;
    Bits reads = 0;
    for (int a = 0; a < arity; a++) {
        arg[a] = point->known[node->arg[a]];
        all = all && !isnan(arg[a]);
        reads |= point->reads[node->arg[a]];
    }
    point->known[id] = all ? scalar_eval(node->kind, arg[0], arg[1], arg[2]) : NAN;
    point->reads[id] = all ? 0 : reads;
    if (all)
        return;
    switch ((int)node->kind) {
    case EXPR_MUL:
        if (any_zero(arg[0], arg[1]))
            point->known[id] = 0, point->reads[id] = 0;
        return;
    case EXPR_DIV:
        if (arg[0] == 0)
            point->known[id] = 0, point->reads[id] = 0;
        return;
    case EXPR_ADD:
    case EXPR_SUB:
        if (isinf(arg[0]) || isinf(arg[1]))
            point->known[id] = isinf(arg[0]) ? arg[0] : node->kind == EXPR_ADD ? arg[1] : -arg[1], point->reads[id] = 0;
        else if (arg[0] < MASKED || (node->kind == EXPR_ADD ? arg[1] < MASKED : arg[1] > -MASKED))
            point->known[id] = -INFINITY, point->reads[id] = 0;
        return;
    case EXPR_SELECT:
        if (isnan(arg[0]))
            return;
        point->known[id] = arg[0] != 0 ? arg[1] : arg[2];
        point->reads[id] = point->reads[node->arg[arg[0] != 0 ? 1 : 2]];
        return;
    }
}

static void expressions_at(Point *point, const bool *live)
{
    for (int id = 0; id < point->op->expr_count; id++) {
        const Expr *node = &point->op->exprs[id];
        if (!live[id])
            continue;
        point->reads[id] = 0;
        point->known[id] = NAN;
        switch ((int)node->kind) {
        case EXPR_CONST: point->known[id] = node->value; break;
        case EXPR_DIM: point->known[id] = rational_double(dim_eval_exact(node->dim, &point->us->ev->env)); break;
        case EXPR_POS: point->known[id] = point->walked[node->index] ? (double)point->at[node->index] : NAN; break;
        case EXPR_DRAW: break;
        case EXPR_READ: read_at(point, id); break;
        default: operator_at(point, id); break;
        }
    }
}

/* Whether data can make the condition true: not where it compares computed integers with positions, which may be so made that it is false. */
static void condition_leaves(const Point *point, int id, bool *integer, bool *position)
{
    const Expr *node = &point->op->exprs[id];
    if (!isnan(point->known[id]) || node->kind == EXPR_EXISTS)
        return;
    if (node->kind == EXPR_READ && point->us->unit->tensors[node->access.tensor].type == T_INT && !point->us->tensors[node->access.tensor].free)
        *integer = true;
    if (node->kind != EXPR_READ && node->kind != EXPR_DRAW)
        for (int a = 0; a < scalar_arity(node->kind); a++) {
            const Expr *arg = &point->op->exprs[node->arg[a]];
            if (arg->kind == EXPR_POS && by_size(point->op->indices[arg->index].extent))
                *position = true;
            condition_leaves(point, node->arg[a], integer, position);
        }
}

/* The point is in the domain, for some data. */
static bool inside(Point *point, Bits *reads)
{
    const Op *op = point->op;
    for (int g = 0; g < op->guard_count; g++) {
        bool integer = false, position = false;
        if (point->known[op->guards[g]] == 0)
            return false;
        condition_leaves(point, op->guards[g], &integer, &position);
        if (integer && position)
            return false;
        *reads |= point->reads[op->guards[g]];
    }
    return true;
}

/* ---- operations ---- */

static void walk_access(Point *point, const Access *access)
{
    if (access->tensor < 0)
        return;
    const Tensor *tensor = &point->us->unit->tensors[access->tensor];
    int axis = 0;
    for (int i = 0; i < access->count; i++) {
        const Sub *sub = &access->subs[i];
        bool sized = false;
        for (int k = axis; k < axis + sub->span; k++)
            sized = sized || by_size(tensor->extent[k]);
        for (int t = 0; sized && !sub->read && t < sub->affine.count; t++)
            point->walked[sub->affine.terms[t].index] = true;
        if (sub->read)
            walk_access(point, sub->read);
        axis += sub->span;
    }
}

/* The indices that matter: those of sizes, of conditions, of subscripts along sizes, and of a recurrence. */
static bool find_walked(Point *point, bool *live)
{
    const Op *op = point->op;
    double points = 1;
    if (op->index_count > 64)
        return false;
    op_live(op, live);
    for (int i = 0; i < op->index_count; i++)
        point->walked[i] = by_size(op->indices[i].extent) || (op->kind == OP_TOP && i >= op->index_count - op->reduced);
    for (int c = 0; c < op->cond_count; c++)
        for (int t = 0; t < op->conds[c].count; t++)
            point->walked[op->conds[c].terms[t].index] = true;
    for (int e = 0; e < op->expr_count; e++)
        if (live[e] && op->exprs[e].kind == EXPR_READ)
            walk_access(point, &op->exprs[e].access);
    walk_access(point, &op->out);
    for (int s = 0; s < op->scan_count; s++)
        point->walked[op->scan[s]] = true;
    for (int i = 0; i < op->index_count; i++)
        points *= point->walked[i] ? (double)size_of(point->us->ev, op->indices[i].extent) : 1;
    return points <= WITNESS_POINTS;
}

static bool conditions_hold(const Point *point)
{
    for (int c = 0; c < point->op->cond_count; c++)
        if (affine_at(point, point->op->conds[c]) < 0)
            return false;
    return true;
}

/* A value that all writers of the element agree about. */
static void write_known(Seen *to, int64_t at, double known)
{
    to->known[at] = !to->written[at] || to->known[at] == known ? known : NAN;
    to->written[at] = true;
}

static Bits body_values(Point *point)
{
    const Expr *body = &point->op->exprs[point->op->body];
    const double known = point->known[point->op->body];
    Bits values = 0;
    if (known >= 0 && known < WITNESS_WORD)
        return (Bits)1 << (int)known;
    if (body->kind != EXPR_READ)
        return 0;
    const Places places = places_of(point, &body->access);
    for (int p = 0; p < places.count && places.ok; p++)
        values |= point->us->tensors[body->access.tensor].values[places.element[p]];
    return values;
}

static void nest_at(Point *point)
{
    const Op *op = point->op;
    Seen *to = &point->us->tensors[op->out.tensor];
    const double known = point->known[op->body];
    Bits reads = 0;
    if (!inside(point, &reads))
        return;
    const Places places = places_of(point, &op->out);
    reads |= places.reads;
    if (places.count == 1) /* where a choice decides, what is written may have been read where it is written: then only what decides is certain */
        reads |= point->reads[op->body];
    if (!places.ok || (op->reducer == REDUCE_SUM && known == 0) || (op->reducer == REDUCE_LSE && known == -INFINITY))
        return;
    const Bits values = point->us->unit->tensors[op->out.tensor].type == T_INT && op->reducer == REDUCE_SET ? body_values(point) : 0;
    for (int p = 0; p < places.count; p++) {
        to->reads[places.element[p]] |= reads;
        to->values[places.element[p]] |= values;
        if (op->reducer == REDUCE_SET)
            write_known(to, places.element[p], known);
    }
}

/* All elements along the axis of the choices get what the point reads, and its place as a value. */
static void top_at(Point *point, int *chosen_from)
{
    const Op *op = point->op;
    Seen *to = &point->us->tensors[op->out.tensor];
    int64_t flat = 0, ranks = 1;
    Bits reads = 0;
    if (!inside(point, &reads))
        return;
    for (int i = op->index_count - op->reduced; i < op->index_count; i++)
        flat = flat * size_of(point->us->ev, op->indices[i].extent) + point->at[i];
    Access outer = op->out;
    const Tensor *tensor = &point->us->unit->tensors[op->out.tensor];
    ranks = to->extent[tensor->rank - 1];
    Places places = {.count = 1, .ok = to->ok};
    int axis = 0;
    for (int i = 0; i < outer.count && places.ok; i++) {
        const int64_t value = outer.subs[i].read ? -1 : (int64_t)affine_at(point, outer.subs[i].affine);
        bool sized = false;
        for (int k = axis; k < axis + outer.subs[i].span; k++)
            sized = sized || to->extent[k] > 1;
        places.ok = !sized || value >= 0;
        if (places.ok)
            places_add(&places, to, axis, outer.subs[i].span, &(int64_t){sized ? value : 0}, 1);
        axis += outer.subs[i].span;
    }
    for (int64_t r = 0; r < ranks && places.ok; r++) {
        const int64_t at = places.element[0] * ranks + r;
        to->reads[at] |= reads | point->reads[op->body];
        to->values[at] |= flat < WITNESS_WORD ? (Bits)1 << flat : 0;
        chosen_from[at]++;
    }
}

/* Where at least as many are taken as there are, only their order depends on the scores. */
static void top_end(const Point *point, const int *chosen_from, int64_t repeats)
{
    Seen *to = &point->us->tensors[point->op->out.tensor];
    for (int64_t at = 0; at < to->count; at++)
        if (chosen_from[at] <= size_of(point->us->ev, point->op->top_k) * repeats)
            to->reads[at] = 0;
}

typedef struct Scan {
    bool begun;
    int64_t outer[64];
    Bits carried;
} Scan;

static void recur_at(Point *point, Scan *scan)
{
    const Op *op = point->op;
    Seen *to = &point->us->tensors[op->out.tensor];
    bool same = scan->begun;
    for (int i = 0; i < op->index_count; i++) {
        bool along = false;
        for (int s = 0; s < op->scan_count; s++)
            along = along || op->scan[s] == i;
        same = same && (along || scan->outer[i] == point->at[i]);
    }
    if (!same) {
        const Places first = op->init.tensor >= 0 ? places_of(point, &op->init) : (Places){.ok = false};
        *scan = (Scan){.begun = true};
        memcpy(scan->outer, point->at, sizeof scan->outer);
        for (int p = 0; p < first.count && first.ok; p++)
            scan->carried |= point->us->tensors[op->init.tensor].reads[first.element[p]];
    }
    Bits reads = 0;
    const Bits before = scan->carried;
    if (conditions_hold(point) && inside(point, &reads)) {
        const bool forgets = op->body2 >= 0 && point->known[op->body2] == 0;
        scan->carried = (forgets ? 0 : scan->carried) | reads | point->reads[op->body] | (op->body2 >= 0 ? point->reads[op->body2] : 0);
    }
    const Places places = places_of(point, &op->out);
    for (int p = 0; p < places.count && places.ok; p++)
        to->reads[places.element[p]] |= op->exclusive ? before : scan->carried;
}

/* Goes to the next point; `order`: walked indices, outermost first. */
static bool next_point(Point *point, const int *order, int count)
{
    for (int k = count - 1; k >= 0; k--) {
        const int i = order[k];
        const int64_t extent = size_of(point->us->ev, point->op->indices[i].extent);
        bool along = false;
        for (int s = 0; s < point->op->scan_count; s++)
            along = along || point->op->scan[s] == i;
        const bool back = along && point->op->reverse;
        if (back ? point->at[i]-- > 0 : ++point->at[i] < extent)
            return true;
        point->at[i] = back ? extent - 1 : 0;
    }
    return false;
}

static int walk_order(Point *point, int *order)
{
    const Op *op = point->op;
    int count = 0;
    for (int i = 0; i < op->index_count; i++) {
        bool along = false;
        for (int s = 0; s < op->scan_count; s++)
            along = along || op->scan[s] == i;
        if (point->walked[i] && !along)
            order[count++] = i;
    }
    for (int s = 0; s < op->scan_count; s++)
        order[count++] = op->scan[s];
    for (int k = 0; k < op->scan_count && op->reverse; k++)
        point->at[op->scan[k]] = size_of(point->us->ev, op->indices[op->scan[k]].extent) - 1;
    return count;
}

static void op_seen(const UnitSeen *us, const Op *op)
{
    Arena *arena = us->ev->arena;
    Point point = {.us = us, .op = op, .known = ARENA_ARRAY(arena, double, op->expr_count + 1), .reads = ARENA_ARRAY(arena, Bits, op->expr_count + 1)};
    bool *live = ARENA_ARRAY(arena, bool, op->expr_count + 1);
    Seen *to = &us->tensors[op->out.tensor];
    int order[64];
    if (!to->ok || !find_walked(&point, live))
        return;
    for (int i = 0; i < op->index_count; i++)
        if (point.walked[i] && size_of(us->ev, op->indices[i].extent) < 1)
            return;
    int *chosen_from = op->kind == OP_TOP ? ARENA_ARRAY(arena, int, to->count + 1) : NULL;
    int64_t repeats = 1;
    for (int i = 0; i < op->index_count - op->reduced && op->kind == OP_TOP; i++)
        repeats *= point.walked[i] && !by_size(op->indices[i].extent) ? size_of(us->ev, op->indices[i].extent) : 1;
    Scan scan = {0};
    const int count = walk_order(&point, order);
    do {
        const bool holds = op->kind == OP_RECUR || conditions_hold(&point);
        if (!holds)
            continue;
        expressions_at(&point, live);
        switch (op->kind) {
        case OP_NEST: nest_at(&point); break;
        case OP_TOP: top_at(&point, chosen_from); break;
        case OP_RECUR: recur_at(&point, &scan); break;
        case OP_CALL: BFM_BUG("a call has no points");
        }
    } while (next_point(&point, order, count));
    if (op->kind == OP_TOP)
        top_end(&point, chosen_from, repeats);
    const Expr *body = op->kind == OP_NEST ? &op->exprs[op->body] : NULL;
    to->free = body && op->reducer == REDUCE_SET && body->kind == EXPR_READ && us->tensors[body->access.tensor].free;
    if (op->kind == OP_NEST && op->init.tensor >= 0 && us->tensors[op->init.tensor].count == to->count)
        for (int64_t i = 0; i < to->count; i++)
            to->reads[i] |= us->tensors[op->init.tensor].reads[i];
}

/* ---- units ---- */

static Seen *unit_seen(const Evaluation *ev, const Unit *unit, const Seen *formals)
{
    UnitSeen us = {.ev = ev, .unit = unit, .tensors = ARENA_ARRAY(ev->arena, Seen, unit->tensor_count + 1)};
    for (int t = 0; t < unit->tensor_count; t++)
        us.tensors[t] = unit->tensors[t].role == TENSOR_LOCAL ? seen_new(ev, &unit->tensors[t]) : (Seen){.ok = false};
    for (int f = 0; f < unit->formal_count; f++)
        us.tensors[unit->formals[f]] = formals[f];
    for (int o = 0; o < unit->op_count; o++) {
        const Op *op = &unit->ops[o];
        if (op->kind != OP_CALL) {
            op_seen(&us, op);
            continue;
        }
        Seen *args = ARENA_ARRAY(ev->arena, Seen, op->arg_count + 1);
        for (int a = 0; a < op->arg_count; a++)
            args[a] = us.tensors[op->args[a]];
        const Seen *inner = unit_seen(ev, op->callee, args);
        for (int r = 0; r < op->result_count; r++)
            if (op->results[r] >= 0)
                us.tensors[op->results[r]] = inner[op->callee->outputs[r].tensor];
    }
    return us.tensors;
}

/* Every position of an input is itself, and the one after it that of a target; of other formals nothing is known. */
static Seen formal_seen(const Evaluation *ev, const Unit *unit, int id, bool targets)
{
    const Tensor *tensor = &unit->tensors[id];
    DimTable *dims = unit->program->dims;
    Seen seen = seen_new(ev, tensor);
    int row = -1, position = -1;
    for (int axis = tensor->rank - 1; axis >= 0; axis--) {
        row = tensor->extent[axis] == dim_symbol(dims, DIM_B) ? axis : row;
        position = tensor->extent[axis] == dim_symbol(dims, DIM_L) ? axis : position;
    }
    seen.free = tensor->role == TENSOR_INPUT && tensor->type == T_INT;
    if (tensor->role != TENSOR_INPUT || row < 0 || position < 0)
        return seen;
    for (int64_t e = 0; e < seen.count && seen.ok; e++) {
        int64_t rest = e, at[WITNESS_AXES] = {0};
        for (int axis = tensor->rank - 1; axis >= 0; axis--) {
            at[axis] = rest % seen.extent[axis];
            rest /= seen.extent[axis];
        }
        seen.reads[e] = (Bits)1 << (at[position] + (targets ? 1 : 0));
    }
    return seen;
}

/* The first position of the result that reads a later one. */
static bool find_future(const Evaluation *ev, const Unit *unit, int tensor, const Seen *seen, FutureRead *found)
{
    const int64_t length = ev->env.value[DIM_L];
    int position = -1;
    for (int axis = unit->tensors[tensor].rank - 1; axis >= 0; axis--)
        position = unit->tensors[tensor].extent[axis] == dim_symbol(unit->program->dims, DIM_L) ? axis : position;
    for (int64_t e = 0; position >= 0 && seen->ok && e < seen->count; e++) {
        int64_t rest = e, at = 0;
        for (int axis = unit->tensors[tensor].rank - 1; axis >= 0; axis--) {
            at = axis == position ? rest % seen->extent[axis] : at;
            rest /= seen->extent[axis];
        }
        for (int64_t later = at + 1; later <= length; later++)
            if (seen->reads[e] >> later & 1) {
                *found = (FutureRead){.length = length, .position = at, .reads = later};
                return true;
            }
    }
    return false;
}

bool effects_future(const ProgramEffects *effects, const Unit *unit, int output, FutureRead *found)
{
    const int64_t most = unit->program->most[DIM_L], length = most > 0 && most < WITNESS_LENGTH ? most : WITNESS_LENGTH;
    Evaluation ev = {.arena = arena_new(), .env = {.value = {[DIM_B] = WITNESS_ROWS, [DIM_L] = length, [DIM_N] = length, [DIM_S0] = 1, 1, 1, 1, 1, 1, 1, 1}}};
    const bool *targets = unit_targets(effects, unit);
    Seen *formals = ARENA_ARRAY(ev.arena, Seen, unit->formal_count + 1);
    for (int f = 0; f < unit->formal_count; f++)
        formals[f] = formal_seen(&ev, unit, unit->formals[f], targets && targets[f]);
    const Seen *seen = unit_seen(&ev, unit, formals);
    const int tensor = unit->outputs[output].tensor;
    const bool future = find_future(&ev, unit, tensor, &seen[tensor], found);
    arena_free(ev.arena);
    return future;
}
