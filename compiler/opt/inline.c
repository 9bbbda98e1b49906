/* Element-wise definitions go into their readers.
   requires   a verified, normalised unit (an element-wise definition has its indices in the order of its axes)
   preserves  values bit for bit; what must be saved is no element-wise definition and so stays: contractions, row statistics, integers that choose
   breaks     positions of operations; definitions that nobody reads any more are left for dce

   Always inlined: renamings, constants and index values. A definition with one reader goes there if it is then evaluated no more often than before.
   After differentiation cheap ones also go into all their readers at once, into contractions only products and only if the options say so; never is a
   transcendental function evaluated more often than before. */
#include "opt/opt.h"

#include "ir/rewrite.h"

#include <string.h>

enum { EXPRS_MAX = 256, WRITTEN_OUT_MAX = 1 << 12, CHEAP_FLOPS = 6, CHEAP_NODE = 4 };

typedef struct Use {
    int readers; /* operations that read the tensor */
    bool pinned; /* stays stored anyway: an output, an argument, a member of a group reads it, an initial value */
} Use;

typedef struct Inliner {
    Unit *unit;
    const OptOptions *options;
    Use *uses;  /* per tensor */
    int tensor; /* being inlined */
    const Op *producer;
} Inliner;

/* ---- who reads what ----------------------------------------------------------------------------------------------------------- */

typedef struct UseVisit {
    Inliner *in;
    const Op *op;
    int *last; /* per tensor: the last operation (from 1) seen reading it */
    int number;
} UseVisit;

static void count_use(void *user, const Access *access, AccessUse use)
{
    UseVisit *visit = user;
    if (use == ACCESS_OUT)
        return;
    Use *found = &visit->in->uses[access->tensor];
    if (visit->last[access->tensor] != visit->number)
        found->readers++;
    visit->last[access->tensor] = visit->number;
    if (use == ACCESS_INIT || visit->op->group != 0)
        found->pinned = true;
}

static void count_uses(Inliner *in)
{
    Unit *unit = in->unit;
    in->uses = ARENA_ARRAY(unit->program->arena, Use, unit->tensor_count + 1);
    UseVisit visit = {.in = in, .last = ARENA_ARRAY(unit->program->arena, int, unit->tensor_count + 1)};
    for (int o = 0; o < unit->output_count; o++)
        in->uses[unit->outputs[o].tensor].pinned = true;
    for (int i = 0; i < unit->op_count; i++) {
        visit.op = &unit->ops[i];
        visit.number = i + 1;
        op_visit(visit.op, count_use, &visit);
        for (int a = 0; visit.op->kind == OP_CALL && a < visit.op->arg_count; a++)
            in->uses[visit.op->args[a]].pinned = true;
    }
}

/* ---- costs -------------------------------------------------------------------------------------------------------------------- */

static bool is_rename(const Op *op)
{
    ExprKind kind = op->exprs[op->body].kind;
    return kind == EXPR_READ || kind == EXPR_CONST || kind == EXPR_DIM || kind == EXPR_POS;
}

static bool is_cheap(const Op *op)
{
    double flops = 0;
    for (int id = 0; id < op->expr_count; id++) {
        double node = scalar_flops(op->exprs[id].kind);
        if (node > CHEAP_NODE)
            return false;
        flops += node;
    }
    return flops <= CHEAP_FLOPS && op->guard_count == 0;
}

typedef struct AccessQuery {
    int tensor, count;
    const Access *access;
    bool subscript;
} AccessQuery;

static void query_access(void *user, const Access *access, AccessUse use)
{
    AccessQuery *query = user;
    if (use == ACCESS_OUT || access->tensor != query->tensor)
        return;
    query->count++;
    query->access = access;
    query->subscript = query->subscript || use != ACCESS_VALUE;
}

/* Operations of one element with everything shared written out: the readers of `tensor` count as `read`. A value that is used twice doubles with each link of a chain. */
static double written_out(const Op *op, int tensor, double read)
{
    double sizes[EXPRS_MAX];
    for (int id = 0; id <= op->body; id++) { /* operands come before what uses them */
        const Expr *expr = &op->exprs[id];
        sizes[id] = expr->kind == EXPR_READ && expr->access.tensor == tensor ? read : 1;
        for (int i = 0; i < scalar_arity(expr->kind); i++)
            sizes[id] += sizes[expr->arg[i]];
    }
    return op->body >= 0 ? sizes[op->body] : 0;
}

/* Read once, at bare indices that are all the reader has: evaluated as often inside the reader as it was by itself. */
static bool point_by_point(const Op *reader, const AccessQuery *query)
{
    return query->count == 1 && query->access->count == reader->index_count && access_bare(query->access, NULL);
}

static bool has_products(const Op *op)
{
    int reads = 0;
    for (int id = 0; id < op->expr_count; id++)
        reads += op->exprs[id].kind == EXPR_READ;
    return reads >= 2;
}

/* A sum of a product over more indices than the read has: its operand would be computed while packing, or again and again. */
static bool multiplies(const Op *reader, const Access *access)
{
    if (reader->kind != OP_NEST || reader->reducer != REDUCE_SUM || !has_products(reader))
        return false;
    for (int i = 0; i < reader->index_count; i++)
        if (!access_has_index(access, i))
            return true;
    return false;
}

/* A product of reads and constants: part of an operand's packing. Sums of tensors are better stored once than packed by every reader. */
static bool is_product(const Op *op, int id)
{
    const Expr *e = &op->exprs[id];
    if (e->kind == EXPR_MUL || e->kind == EXPR_DIV)
        return is_product(op, e->arg[0]) && is_product(op, e->arg[1]);
    if (e->kind == EXPR_NEG)
        return is_product(op, e->arg[0]);
    return e->kind == EXPR_READ || e->kind == EXPR_CONST || e->kind == EXPR_DIM;
}

static bool all_readers_take(const Inliner *in, int tensor)
{
    if (in->uses[tensor].pinned)
        return false;
    const Op *producer = &in->unit->ops[in->unit->tensors[tensor].def];
    bool operand = in->options->prologues && is_product(producer, producer->body);
    for (int i = 0; i < in->unit->op_count; i++) {
        AccessQuery query = {.tensor = tensor};
        const Op *op = &in->unit->ops[i];
        op_visit(op, query_access, &query);
        if (query.count > 0 && !operand && multiplies(op, query.access))
            return false;
    }
    return true;
}

/* ---- integers ----------------------------------------------------------------------------------------------------------------- */

/* The expression as an affine of the indices. */
static bool expr_as_affine(Program *program, const Op *op, int id, Affine *affine)
{
    const Expr *e = &op->exprs[id];
    Affine a, b;
    Dim factor;
    if (e->kind == EXPR_POS) {
        *affine = affine_index(program, e->index);
        return true;
    }
    if (e->kind == EXPR_DIM) {
        *affine = affine_const(program, e->dim);
        return true;
    }
    if (e->kind == EXPR_CONST) {
        if (e->value != (double)(int32_t)e->value)
            return false;
        *affine = affine_const(program, dim_int(program->dims, (int64_t)e->value));
        return true;
    }
    if (e->kind != EXPR_ADD && e->kind != EXPR_SUB && e->kind != EXPR_MUL)
        return false;
    if (!expr_as_affine(program, op, e->arg[0], &a) || !expr_as_affine(program, op, e->arg[1], &b))
        return false;
    if (e->kind == EXPR_ADD)
        *affine = affine_add(program, a, b);
    else if (e->kind == EXPR_SUB)
        *affine = affine_sub(program, a, b);
    else if (affine_is_const(a, &factor))
        *affine = affine_scale(program, b, factor);
    else if (affine_is_const(b, &factor))
        *affine = affine_scale(program, a, factor);
    else
        return false;
    return true;
}

/* An integer that is an index value, always below its bound, or another integer: then it need not be stored to be a subscript. */
static bool integer_known(const Unit *unit, const Op *op, Affine *affine, const Access **read)
{
    Program *program = unit->program;
    const Tensor *tensor = &unit->tensors[op->out.tensor];
    const Expr *body = &op->exprs[op->body];
    *read = NULL;
    if (!op_full_box(op) && !(op->cond_count == 0 && op->guard_count == 0 && body->kind == EXPR_READ))
        return false;
    if (body->kind == EXPR_READ) {
        *read = &body->access;
        return unit->tensors[body->access.tensor].type == T_INT && unit->tensors[body->access.tensor].bound == tensor->bound;
    }
    if (!expr_as_affine(program, op, op->body, affine))
        return false;
    Affine last = affine_const(program, dim_sub(program->dims, tensor->bound, dim_int(program->dims, 1)));
    return affine_nonnegative(program, *affine, op->indices) && affine_nonnegative(program, affine_sub(program, last, *affine), op->indices);
}

/* ---- substitution ------------------------------------------------------------------------------------------------------------- */

/* What the producer's indices are at this access; false if a span does not fit. */
static bool bind_indices(Rewrite *outer, const Op *producer, const Access *access, IndexBy *by)
{
    int index_of[16];
    if (producer->out.count > 16 || producer->index_count != producer->out.count || !op_out_bare(outer->unit, producer, index_of))
        return false;
    for (int k = 0, axis = 0; k < access->count; axis += access->subs[k].span, k++) {
        const Sub *sub = &access->subs[k];
        IndexBy *first = &by[index_of[axis]];
        for (int m = 0; m < sub->span; m++) {
            if (index_of[axis + m] != index_of[axis] + m)
                return false;
            by[index_of[axis + m]].joint = 0;
        }
        first->joint = sub->span;
        Access whole = access_new(outer->unit->program, access->tensor, 1);
        whole.subs[0] = *sub;
        Access copy = {.tensor = -1, .count = 1, .subs = whole.subs};
        copy = rewrite_subs(outer, &copy, -1);
        if (copy.count != 1 || copy.subs[0].span != sub->span)
            return false;
        first->affine = copy.subs[0].affine;
        first->read = copy.subs[0].read;
    }
    return true;
}

static bool expand_read(Rewrite *outer, const Access *access, int *expr)
{
    Inliner *in = outer->user;
    if (access->tensor != in->tensor)
        return false;
    const Op *producer = in->producer;
    IndexBy *by = ARENA_ARRAY(in->unit->program->arena, IndexBy, producer->index_count + 1);
    if (!bind_indices(outer, producer, access, by)) {
        outer->failed = true;
        return false;
    }
    Rewrite inner = rewrite_begin(outer->to, in->unit, producer, by, NULL, NULL);
    rewrite_domain(&inner);
    *expr = rewrite_expr(&inner, producer->body);
    outer->failed = outer->failed || inner.failed;
    return true;
}

static bool expand_subscript(Rewrite *outer, const Access *access, int span, Sub *sub)
{
    Inliner *in = outer->user;
    Affine affine;
    const Access *read;
    if (access->tensor != in->tensor || !integer_known(in->unit, in->producer, &affine, &read))
        return false;
    IndexBy *by = ARENA_ARRAY(in->unit->program->arena, IndexBy, in->producer->index_count + 1);
    if (!bind_indices(outer, in->producer, access, by)) {
        outer->failed = true;
        return false;
    }
    Rewrite inner = rewrite_begin(outer->to, in->unit, in->producer, by, NULL, NULL);
    *sub = read ? sub_read(in->unit->program, rewrite_access(&inner, read), span) : sub_affine(rewrite_affine(&inner, affine), span);
    outer->failed = outer->failed || inner.failed;
    return true;
}

/* The operation with every read of the tensor replaced by its definition. */
static bool substitute(Inliner *in, Op *op, int tensor)
{
    in->tensor = tensor;
    in->producer = &in->unit->ops[in->unit->tensors[tensor].def];
    OpBuilder builder = op_begin(in->unit, op->kind);
    builder_indices(&builder, op);
    IndexBy *by = ARENA_ARRAY(in->unit->program->arena, IndexBy, op->index_count + 1);
    for (int i = 0; i < op->index_count; i++)
        by[i] = (IndexBy){affine_index(in->unit->program, i), NULL, 1};
    Rewrite rewrite = rewrite_begin(&builder, in->unit, op, by, NULL, in);
    rewrite.read = expand_read;
    rewrite.subscript = expand_subscript;
    Op *to = &builder.op;
    builder.op.reducer = op->reducer;
    rewrite_domain(&rewrite);
    to->body = rewrite_expr(&rewrite, op->body);
    to->body2 = op->kind == OP_RECUR ? rewrite_expr(&rewrite, op->body2) : -1;
    to->out = rewrite_access(&rewrite, &op->out);
    to->init = op->init;
    to->reverse = op->reverse;
    to->exclusive = op->exclusive;
    to->scan_count = op->scan_count;
    to->scan = op->scan;
    to->reduced = op->reduced;
    to->top_k = op->top_k;
    to->span = op->span;
    rewrite_keep_none(&rewrite);
    if (rewrite.failed)
        return false;
    *op = builder_take(&builder);
    return true;
}

bool unit_inline(Unit *unit, int reader, int tensor)
{
    Inliner in = {.unit = unit};
    Op op = unit->ops[reader];
    if (!substitute(&in, &op, tensor))
        return false;
    op.group = unit->ops[reader].group;
    unit->ops[reader] = op;
    return true;
}

/* ---- decisions ---------------------------------------------------------------------------------------------------------------- */

/* Reading what the producer reads, in every reader, moves no more than writing its result once and reading that. A chain of sums would otherwise
   be evaluated from its beginning in each of its many readers. */
static bool saves_traffic(const Inliner *in, const Op *producer)
{
    int reads = 0, readers = in->uses[producer->out.tensor].readers;
    for (int id = 0; id < producer->expr_count; id++) {
        const Expr *expr = &producer->exprs[id];
        bool whole = expr->kind == EXPR_READ;
        for (int i = 0; whole && i < producer->index_count; i++)
            whole = access_has_index(&expr->access, i);
        reads += whole;
    }
    return reads * readers <= 1 + reads + readers;
}

/* A sum of products of two operands with indices of their own: what a product kernel computes. */
static bool is_contraction(const Op *op)
{
    if (op->kind != OP_NEST || op->reducer != REDUCE_SUM || op->group != 0 || op->exprs[op->body].kind != EXPR_MUL)
        return false;
    const Expr *a = &op->exprs[op->exprs[op->body].arg[0]], *b = &op->exprs[op->exprs[op->body].arg[1]];
    bool rows = false, columns = false, summed = false;
    if (a->kind != EXPR_READ || b->kind != EXPR_READ)
        return false;
    for (int i = 0; i < op->index_count; i++) {
        const bool in_a = access_has_index(&a->access, i), in_b = access_has_index(&b->access, i), in_out = access_has_index(&op->out, i);
        rows = rows || (in_out && in_a && !in_b);
        columns = columns || (in_out && in_b && !in_a);
        summed = summed || (!in_out && in_a && in_b);
    }
    return rows && columns && summed;
}

/* Element by element, terms of which all but one at most come from contractions that nothing else reads: those add up where the sum lies, so it
   costs no pass of its own (schedule_accumulate.c). */
static bool sum_of_products(const Inliner *in, const Op *producer, int id, int *others)
{
    const Expr *e = &producer->exprs[id];
    if (e->kind == EXPR_ADD)
        return sum_of_products(in, producer, e->arg[0], others) && sum_of_products(in, producer, e->arg[1], others);
    if (e->kind != EXPR_READ || e->access.count != producer->index_count || !access_bare(&e->access, NULL))
        return false;
    const int def = in->unit->tensors[e->access.tensor].def;
    const Use *use = &in->uses[e->access.tensor];
    if (def < 0 || use->pinned || use->readers != 1 || !is_contraction(&in->unit->ops[def]))
        ++*others;
    return *others <= 1;
}

static bool worth(const Inliner *in, const Op *producer, const Op *reader, const AccessQuery *query)
{
    int tensor = producer->out.tensor;
    Affine affine;
    const Access *read;
    if (in->unit->tensors[tensor].type == T_INT)
        return integer_known(in->unit, producer, &affine, &read);
    if (query->subscript || reader->expr_count + producer->expr_count > EXPRS_MAX)
        return false;
    if (is_rename(producer))
        return true;
    if (written_out(reader, tensor, written_out(producer, -1, 1)) > WRITTEN_OUT_MAX)
        return false;
    if (!in->uses[tensor].pinned && in->uses[tensor].readers == 1 && point_by_point(reader, query))
        return true;
    int others = 0;
    if (producer->exprs[producer->body].kind == EXPR_ADD && sum_of_products(in, producer, producer->body, &others))
        return false;
    return in->options->phase == OPT_AFTER_GRAD && is_cheap(producer) && saves_traffic(in, producer) && all_readers_take(in, tensor);
}

static bool inline_into(Inliner *in, Op *op, const bool *inlinable)
{
    bool changed = false;
    Unit *unit = in->unit;
    for (int t = 0; t < unit->tensor_count; t++) {
        int def = unit->tensors[t].def;
        if (def < 0 || !inlinable[t])
            continue;
        AccessQuery query = {.tensor = t};
        op_visit(op, query_access, &query);
        const Op *producer = &unit->ops[def];
        if (query.count > 0 && worth(in, producer, op, &query))
            changed = substitute(in, op, t) || changed;
    }
    return changed;
}

/* T[i, j, …] = S[i, j, …] of the same shape: a call may as well take S. */
static int copied(const Unit *unit, int tensor)
{
    int def = unit->tensors[tensor].def, index_of[16];
    if (def < 0 || unit->ops[def].kind != OP_NEST)
        return tensor;
    const Op *op = &unit->ops[def];
    if (op->reducer != REDUCE_SET || op->group != 0 || op->exprs[op->body].kind != EXPR_READ || !op_full_box(op) || op->out.count > 16)
        return tensor;
    const Access *from = &op->exprs[op->body].access;
    const Tensor *a = &unit->tensors[tensor], *b = &unit->tensors[from->tensor];
    if (a->type != b->type || a->bound != b->bound || a->rank != b->rank || from->count != op->out.count || !op_out_bare(unit, op, index_of))
        return tensor;
    for (int k = 0; k < from->count; k++) {
        int index;
        if (from->subs[k].span != 1 || !affine_is_index(from->subs[k].affine, &index) || index != index_of[k] || a->extent[k] != b->extent[k])
            return tensor;
    }
    return from->tensor;
}

static bool inline_args(Unit *unit, Op *op)
{
    bool changed = false;
    int *args = ARENA_ARRAY(unit->program->arena, int, op->arg_count + 1);
    for (int a = 0; a < op->arg_count; a++) {
        args[a] = copied(unit, op->args[a]);
        changed = changed || args[a] != op->args[a];
    }
    op->args = args;
    return changed;
}

bool opt_inline(Unit *unit, const OptOptions *options)
{
    Inliner in = {.unit = unit, .options = options};
    count_uses(&in);
    bool *inlinable = ARENA_ARRAY(unit->program->arena, bool, unit->tensor_count + 1), changed = false;
    for (int t = 0; t < unit->tensor_count; t++) {
        int def = unit->tensors[t].def;
        const Op *op = def < 0 ? NULL : &unit->ops[def];
        inlinable[t] = op && op->kind == OP_NEST && op->reducer == REDUCE_SET && op->group == 0 && op_out_bare(unit, op, NULL);
    }
    /* In place: an operation is replaced by one that defines the same tensor, so positions stay. */
    for (int i = 0; i < unit->op_count; i++) {
        Op op = unit->ops[i];
        if (op.kind == OP_CALL)
            changed = inline_args(unit, &op) || changed;
        else if (op.group == 0)
            changed = inline_into(&in, &op, inlinable) || changed;
        unit->ops[i] = op;
    }
    return changed;
}
