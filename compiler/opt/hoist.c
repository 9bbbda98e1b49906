/* Expensive parts that do not vary with every index get a tensor of their own: cos(a[l, i]) inside a nest over [b, l, n, s, i], tanh(h[l, f]) inside
   the sum over f of tanh(h[l, f])·w[f, o].
   requires   a verified unit
   preserves  values bit for bit; groups. Before differentiation probabilities exp(score - lse) stay where they are used (raise.c)
   breaks     positions of operations; adds tensors named <out>.part */
#include "opt/opt.h"

#include "ir/rewrite.h"

#include <string.h>

enum { EXPENSIVE_FLOPS = 6, INDICES_MAX = 32 };

typedef struct Hoist {
    Unit *unit;
    const Op *op;
    OptPhase phase;
    bool *expensive; /* per expression: worth a tensor, and possible */
    bool *movable;
    uint32_t *indices; /* per expression: those it varies with */
    int chosen;
} Hoist;

static uint32_t access_set(const Op *op, const Access *access)
{
    uint32_t set = 0;
    for (int i = 0; i < op->index_count; i++)
        set |= (uint32_t)access_has_index(access, i) << i;
    return set;
}

/* May be read wherever its indices run: no hole, no subscript that leaves its axis outside the domain, none through an integer. */
static bool read_movable(const Hoist *h, const Access *access, bool whole)
{
    const Tensor *t = &h->unit->tensors[access->tensor];
    for (int k = 0; k < access->count; k++) {
        int index;
        if (access->subs[k].read)
            return false;
        bool bare = access->subs[k].span == 1 && affine_is_index(access->subs[k].affine, &index);
        if (!whole && !bare && !affine_is_const(access->subs[k].affine, NULL))
            return false;
    }
    if (whole || t->def < 0)
        return true;
    const Op *def = &h->unit->ops[t->def];
    return def->kind != OP_NEST || def->reducer != REDUCE_SET || (op_full_box(def) && op_out_bare(h->unit, def, NULL));
}

/* exp(score - lse): what a stream makes tile by tile. */
static bool is_probability(const Hoist *h, int id)
{
    const Expr *e = &h->op->exprs[id];
    if (e->kind != EXPR_EXP || h->op->exprs[e->arg[0]].kind != EXPR_SUB)
        return false;
    const Expr *row = &h->op->exprs[h->op->exprs[e->arg[0]].arg[1]];
    int def = row->kind == EXPR_READ ? h->unit->tensors[row->access.tensor].def : -1;
    return def >= 0 && h->unit->ops[def].kind == OP_NEST && h->unit->ops[def].reducer == REDUCE_LSE;
}

static void examine(Hoist *h)
{
    const Op *op = h->op;
    bool whole = op_full_box(op);
    for (int id = 0; id < op->expr_count; id++) {
        const Expr *e = &op->exprs[id];
        bool leaf = scalar_arity(e->kind) == 0;
        h->movable[id] = e->kind != EXPR_DRAW && (e->kind != EXPR_READ || read_movable(h, &e->access, whole));
        h->expensive[id] = !leaf && scalar_flops(e->kind) >= EXPENSIVE_FLOPS;
        h->indices[id] = e->kind == EXPR_POS ? (uint32_t)1 << e->index : e->kind == EXPR_READ || e->kind == EXPR_DRAW ? access_set(op, &e->access) : 0;
        for (int k = 0; k < scalar_arity(e->kind); k++) {
            h->movable[id] = h->movable[id] && h->movable[e->arg[k]];
            h->expensive[id] = h->expensive[id] || h->expensive[e->arg[k]];
            h->indices[id] |= h->indices[e->arg[k]];
        }
        if (h->phase == OPT_BEFORE_GRAD && is_probability(h, id))
            h->movable[id] = false;
    }
}

/* Some index of extent other than 1 is missing, and not all are. */
static bool saves(const Hoist *h, int id)
{
    if (h->indices[id] == 0)
        return false;
    for (int i = 0; i < h->op->index_count; i++)
        if (!(h->indices[id] >> i & 1) && !dim_is(h->op->indices[i].extent, 1))
            return true;
    return false;
}

/* The largest part below `id`, depth first. */
static int find_part(const Hoist *h, int id)
{
    const Expr *e = &h->op->exprs[id];
    if (!h->expensive[id])
        return -1;
    if (h->movable[id] && saves(h, id))
        return id;
    for (int k = 0; k < scalar_arity(e->kind); k++) {
        int found = find_part(h, e->arg[k]);
        if (found >= 0)
            return found;
    }
    return -1;
}

static int build_part(const Hoist *h, int id, Access *access)
{
    Unit *unit = h->unit;
    Program *program = unit->program;
    OpBuilder builder = op_begin(unit, OP_NEST);
    builder.op.reducer = REDUCE_SET;
    builder.op.span = h->op->span;
    IndexBy by[INDICES_MAX];
    Dim extent[INDICES_MAX];
    int from[INDICES_MAX], to[INDICES_MAX], rank = 0;
    for (int i = 0; i < h->op->index_count; i++) {
        by[i] = (IndexBy){affine_const(program, dim_int(program->dims, 0)), NULL, 1};
        if (!(h->indices[id] >> i & 1))
            continue;
        from[rank] = i;
        to[rank] = op_index(&builder, h->op->indices[i].name, h->op->indices[i].extent);
        extent[rank] = h->op->indices[i].extent;
        by[i].affine = affine_index(program, to[rank++]);
    }
    Rewrite rewrite = rewrite_begin(&builder, unit, h->op, by, NULL, NULL);
    builder.op.body = rewrite_expr(&rewrite, id);
    Symbol name = symbol_suffix(program, unit->tensors[h->op->out.tensor].name, ".part");
    int part = unit_tensor(unit, name, T_REAL, TENSOR_LOCAL, rank, extent, NULL);
    builder.op.out = access_indices(program, part, rank, to);
    (void)op_finish(&builder);
    *access = access_indices(program, part, rank, from);
    return part;
}

/* One part of the operation is taken out. */
static bool hoist_one(Unit *unit, Op *op, OptPhase phase)
{
    Arena *arena = unit->program->arena;
    Hoist h = {.unit = unit, .op = op, .phase = phase};
    h.expensive = ARENA_ARRAY(arena, bool, op->expr_count + 1);
    h.movable = ARENA_ARRAY(arena, bool, op->expr_count + 1);
    h.indices = ARENA_ARRAY(arena, uint32_t, op->expr_count + 1);
    examine(&h);
    int part = find_part(&h, op->body);
    if (part < 0)
        return false;
    Access access;
    (void)build_part(&h, part, &access);
    OpBuilder builder = op_begin(unit, op->kind);
    Rewrite rewrite = rewrite_begin(&builder, unit, op, NULL, NULL, NULL);
    rewrite.memo[part] = expr_read(&builder, access);
    rewrite_all(&rewrite);
    *op = builder_take(&builder);
    return true;
}

bool opt_hoist(Unit *unit, OptPhase phase)
{
    bool changed = false;
    Rebuild rebuild = rebuild_begin(unit);
    for (int i = 0; i < rebuild.old_count; i++) {
        Op *op = &rebuild.old[i];
        for (int parts = 0; parts < 8 && op->kind == OP_NEST && op->group == 0 && op->index_count <= INDICES_MAX; parts++) {
            if (!hoist_one(unit, op, phase))
                break;
            changed = true;
        }
        (void)rebuild_keep(&rebuild, i);
    }
    rebuild_end(&rebuild);
    return changed;
}
