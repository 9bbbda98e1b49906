/* Sums of products: factors that no reduced index touches leave the sum, sums of contractions are taken apart, and a product of three or more
   factors over several reduced indices becomes a chain of contractions where that is less work.
   requires   a verified, normalised unit
   preserves  values but for the order of sums and products (rounding); groups
   breaks     positions of operations; adds tensors named <out>.sum

   Numbers keep the order in which the definition combines them where that decides whether a float can hold what comes between: (x / c) ^ 2 is no x ^ 2 / c ^ 2.
   What stands outside the rest, (x * y) / c, leaves a sum; what stands inside leaves it only if nothing is multiplied by itself. */
#include "opt/opt.h"

#include "ir/rewrite.h"

#include <string.h>

enum { FACTORS_MAX = 24, INDICES_MAX = 32 };

typedef uint32_t IndexSet;

typedef struct Factor {
    int expr; /* -1: the constant -1 */
    bool inverse;
    IndexSet uses;
    IndexSet plain; /* but for indices that stand only in integers' subscripts */
    bool outside;   /* no reduced index, applied to the rest as a whole */
} Factor;

typedef struct Product {
    const Op *op;
    int expr;
    int count;
    Factor factors[FACTORS_MAX];
    IndexSet out, reduced; /* indices of the output subscripts; the others */
    IndexSet lead;         /* come first in the tensor of an inner sum */
    bool overflow;
} Product;

static IndexSet expr_indices(const Op *op, int expr)
{
    IndexSet set = 0;
    for (int i = 0; i < op->index_count; i++)
        if (op_uses_index(op, expr, i))
            set |= (IndexSet)1 << i;
    return set;
}

static IndexSet affine_indices(Affine affine)
{
    IndexSet set = 0;
    for (int t = 0; t < affine.count; t++)
        set |= (IndexSet)1 << affine.terms[t].index;
    return set;
}

static IndexSet plain_indices(const Access *access)
{
    IndexSet set = 0;
    for (int k = 0; k < access->count; k++)
        set |= access->subs[k].read ? 0 : affine_indices(access->subs[k].affine);
    return set;
}

static void add_factor(Product *product, int expr, bool inverse)
{
    if (product->count == FACTORS_MAX) {
        product->overflow = true;
        return;
    }
    Factor factor = {.expr = expr, .inverse = inverse};
    if (expr >= 0) {
        factor.uses = expr_indices(product->op, expr);
        factor.plain = product->op->exprs[expr].kind == EXPR_READ ? plain_indices(&product->op->exprs[expr].access) : factor.uses;
    }
    product->factors[product->count++] = factor;
}

static void collect(Product *product, int expr, bool inverse)
{
    const Expr *e = &product->op->exprs[expr];
    if (product->overflow)
        return; /* a shared square of squares has more than there is time for */
    if (e->kind == EXPR_MUL || e->kind == EXPR_DIV) {
        collect(product, e->arg[0], inverse);
        collect(product, e->arg[1], e->kind == EXPR_DIV ? !inverse : inverse);
    } else if (e->kind == EXPR_NEG) {
        add_factor(product, -1, false);
        collect(product, e->arg[0], inverse);
    } else {
        add_factor(product, expr, inverse);
    }
}

/* In the order of collect. */
static int factor_count(const Op *op, int expr)
{
    const Expr *e = &op->exprs[expr];
    if (e->kind == EXPR_MUL || e->kind == EXPR_DIV)
        return factor_count(op, e->arg[0]) + factor_count(op, e->arg[1]);
    return e->kind == EXPR_NEG ? 1 + factor_count(op, e->arg[0]) : 1;
}

static bool varies_inside(const Product *product, int expr) { return expr_indices(product->op, expr) & product->reduced; }

static void mark_range(Product *product, int first, int count)
{
    for (int f = first; f < first + count && f < product->count; f++)
        product->factors[f].outside = true;
}

/* From the root on: an operand that no reduced index touches is applied to the other one as a whole. `first`: number of the expression's first factor. */
static void mark_outside(Product *product, int expr, int first)
{
    const Expr *e = &product->op->exprs[expr];
    if (e->kind == EXPR_NEG) {
        mark_range(product, first, 1);
        mark_outside(product, e->arg[0], first + 1);
    } else if (e->kind == EXPR_MUL || e->kind == EXPR_DIV) {
        const int left = factor_count(product->op, e->arg[0]);
        if (!varies_inside(product, e->arg[1])) {
            mark_range(product, first + left, factor_count(product->op, e->arg[1]));
            mark_outside(product, e->arg[0], first);
        } else if (e->kind == EXPR_MUL && !varies_inside(product, e->arg[0])) {
            mark_range(product, first, left);
            mark_outside(product, e->arg[1], first + left);
        }
    }
}

static Product product_of(const Op *op, int expr)
{
    Product product = {.op = op, .expr = expr};
    for (int i = 0; i < op->index_count; i++)
        *(access_has_index(&op->out, i) ? &product.out : &product.reduced) |= (IndexSet)1 << i;
    collect(&product, expr, false);
    if (!product.overflow)
        mark_outside(&product, expr, 0);
    return product;
}

static bool equal_subs(const Access *a, const Access *b)
{
    bool equal = a->count == b->count;
    for (int k = 0; equal && k < a->count; k++)
        equal = !a->subs[k].read && !b->subs[k].read ? affine_equal(a->subs[k].affine, b->subs[k].affine) : a->subs[k].read == b->subs[k].read;
    return equal;
}

/* But for its sign. */
static int magnitude(const Op *op, int expr)
{
    while (expr >= 0 && op->exprs[expr].kind == EXPR_ABS)
        expr = op->exprs[expr].arg[0];
    return expr;
}

static bool same_magnitude(const Op *op, int a, int b)
{
    a = magnitude(op, a);
    b = magnitude(op, b);
    if (a < 0 || b < 0 || a == b)
        return a == b && a >= 0;
    const Expr *x = &op->exprs[a], *y = &op->exprs[b];
    return x->kind == EXPR_READ && y->kind == EXPR_READ && x->access.tensor == y->access.tensor && equal_subs(&x->access, &y->access);
}

/* A number is multiplied by itself, so that the product can be far larger or smaller than what it is divided by. */
static bool has_square(const Product *p)
{
    for (int a = 0; a < p->count; a++)
        for (int b = 0; b < a; b++)
            if ((p->factors[a].uses & p->reduced) && p->factors[a].inverse == p->factors[b].inverse && same_magnitude(p->op, p->factors[a].expr, p->factors[b].expr))
                return true;
    return false;
}

/* Two factors share a reduced index and each has an output index that the other lacks, or has through an integer. */
static bool is_contraction(const Product *p)
{
    for (int a = 0; a < p->count; a++)
        for (int b = 0; b < a; b++) {
            const Factor *x = &p->factors[a], *y = &p->factors[b];
            if ((x->uses & y->uses & p->reduced) && (x->uses & ~y->plain & p->out) && (y->uses & ~x->plain & p->out))
                return true;
        }
    return false;
}

/* ---- taking factors out of the sum ---------------------------------------------------------------------------------------------- */

typedef struct TotalQuery {
    const Unit *unit;
    bool plain; /* every read: of a tensor without holes, at bare subscripts or through integers */
} TotalQuery;

static bool tensor_total(const Unit *unit, int tensor)
{
    const Tensor *t = &unit->tensors[tensor];
    if (t->def < 0)
        return t->role != TENSOR_LOCAL;
    const Op *op = &unit->ops[t->def];
    return op->kind != OP_NEST || op->reducer != REDUCE_SET || (op_full_box(op) && op_out_bare(unit, op, NULL));
}

static bool access_plain(const Unit *unit, const Access *access)
{
    for (int k = 0; k < access->count; k++)
        if (!access->subs[k].read && !affine_is_const(access->subs[k].affine, NULL) && !affine_is_index(access->subs[k].affine, NULL))
            return false;
    return tensor_total(unit, access->tensor);
}

/* The expression may be evaluated at points where the sum has none: it reads no hole and divides by nothing. */
static bool expr_everywhere(const Unit *unit, const Op *op, int expr)
{
    const Expr *e = &op->exprs[expr];
    if (e->kind == EXPR_READ)
        return access_plain(unit, &e->access);
    if (scalar_flops(e->kind) > 1)
        return false;
    for (int k = 0; k < scalar_arity(e->kind); k++)
        if (!expr_everywhere(unit, op, e->arg[k]))
            return false;
    return true;
}

/* The domain cuts only output indices, so that it is the same inside and outside the sum. */
static bool domain_outer(const Product *p)
{
    for (int c = 0; c < p->op->cond_count; c++)
        if (affine_indices(p->op->conds[c]) & p->reduced)
            return false;
    for (int g = 0; g < p->op->guard_count; g++)
        if (expr_indices(p->op, p->op->guards[g]) & p->reduced)
            return false;
    return true;
}

/* Of a contraction, a factor stays as part of an operand if one has its indices: it is computed while that is packed. */
static bool part_of_operand(const Product *p, const Factor *f)
{
    if (f->uses == 0 || !is_contraction(p))
        return false;
    for (int a = 0; a < p->count; a++)
        if ((p->factors[a].uses & p->reduced) && !(f->uses & ~p->factors[a].uses))
            return true;
    return false;
}

static int choose_pulled(const Unit *unit, const Product *p, bool scatter, bool *pulled)
{
    int count = 0;
    bool outer = domain_outer(p), square = has_square(p);
    for (int f = 0; f < p->count; f++) {
        const Factor *factor = &p->factors[f];
        pulled[f] = false;
        if ((factor->uses & p->reduced) || (!scatter && part_of_operand(p, factor)) || (square && !factor->outside))
            continue;
        double value;
        bool constant = factor->expr < 0 || expr_is_const(p->op, factor->expr, &value) || p->op->exprs[factor->expr].kind == EXPR_DIM;
        if (!constant && !outer && (factor->inverse || !expr_everywhere(unit, p->op, factor->expr)))
            continue;
        pulled[f] = true;
        count++;
    }
    return count;
}

typedef struct Chosen {
    Rewrite *rewrite;
    const Product *p;
    const bool *chosen;
    bool wanted;
} Chosen;

static int joined(OpBuilder *to, ExprKind kind, int left, int right)
{
    if (right < 0)
        return left;
    return kind == EXPR_MUL && left < 0 ? right : expr_op(to, kind, left < 0 ? expr_const(to, 1) : left, right, -1);
}

/* The expression without the factors that are not wanted, otherwise as it stands; -1: none is. `first`: number of its first factor. */
static int build_kept(const Chosen *c, int expr, int first)
{
    const Op *op = c->p->op;
    const Expr *e = &op->exprs[expr];
    if (e->kind == EXPR_MUL || e->kind == EXPR_DIV) {
        const int left = build_kept(c, e->arg[0], first), right = build_kept(c, e->arg[1], first + factor_count(op, e->arg[0]));
        return joined(c->rewrite->to, e->kind, left, right);
    }
    if (e->kind != EXPR_NEG)
        return c->chosen[first] == c->wanted ? rewrite_expr(c->rewrite, expr) : -1;
    const int operand = build_kept(c, e->arg[0], first + 1);
    if (c->chosen[first] != c->wanted)
        return operand;
    return operand < 0 ? expr_const(c->rewrite->to, -1) : expr_op(c->rewrite->to, EXPR_NEG, operand, -1, -1);
}

/* The product of the factors that are chosen; 1 if there is none. */
static int build_product(Rewrite *rewrite, const Product *p, const bool *chosen, bool wanted)
{
    const Chosen c = {rewrite, p, chosen, wanted};
    const int product = build_kept(&c, p->expr, 0);
    return product < 0 ? expr_const(rewrite->to, 1) : product;
}

/* The factors that are chosen, applied to what stands for the rest in the order in which the definition applies them. */
static int build_around(const Chosen *c, int expr, int first, int rest)
{
    const Op *op = c->p->op;
    OpBuilder *to = c->rewrite->to;
    const Expr *e = &op->exprs[expr];
    if (e->kind == EXPR_NEG) {
        const int operand = build_around(c, e->arg[0], first + 1, rest);
        return c->chosen[first] == c->wanted ? expr_op(to, EXPR_NEG, operand, -1, -1) : operand;
    }
    const int second = e->kind == EXPR_MUL || e->kind == EXPR_DIV ? first + factor_count(op, e->arg[0]) : first;
    if (second > first && !varies_inside(c->p, e->arg[1])) {
        const int inside = build_around(c, e->arg[0], first, rest);
        return joined(to, e->kind, inside, build_kept(c, e->arg[1], second));
    }
    if (second > first && e->kind == EXPR_MUL && !varies_inside(c->p, e->arg[0])) {
        const int left = build_kept(c, e->arg[0], first), inside = build_around(c, e->arg[1], second, rest);
        return left < 0 ? inside : expr_op(to, EXPR_MUL, left, inside, -1);
    }
    for (int f = first; f < first + factor_count(op, expr); f++) {
        const Factor *factor = &c->p->factors[f];
        if (c->chosen[f] != c->wanted)
            continue;
        rest = factor->expr < 0 ? expr_op(to, EXPR_NEG, rest, -1, -1) : expr_op(to, factor->inverse ? EXPR_DIV : EXPR_MUL, rest, rewrite_expr(c->rewrite, factor->expr), -1);
    }
    return rest;
}

/* New indices for those in `kept`, those in `lead` before the others; what is not kept becomes 0. Returns how many. */
static int keep_indices(OpBuilder *builder, const Op *op, IndexSet kept, IndexSet lead, IndexBy *by, int *positions, Dim *extents)
{
    Program *program = builder->unit->program;
    int count = 0;
    for (int i = 0; i < op->index_count; i++)
        by[i] = (IndexBy){affine_const(program, dim_int(program->dims, 0)), NULL, 1};
    const IndexSet turn[2] = {kept & lead, kept & ~lead}; /* as sets: GCC 12 gets the comparison of both bits with the pass wrong at -O2 */
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < op->index_count; i++) {
            if (!(turn[pass] >> i & 1))
                continue;
            extents[count] = op->indices[i].extent;
            positions[count] = op_index(builder, op->indices[i].name, op->indices[i].extent);
            by[i].affine = affine_index(program, positions[count++]);
        }
    return count;
}

/* Conditions and guards that use none of the indices in `gone`. */
static void domain_without(Rewrite *rewrite, const Product *p, IndexSet gone)
{
    for (int c = 0; c < p->op->cond_count; c++)
        if (!(affine_indices(p->op->conds[c]) & gone))
            op_cond(rewrite->to, rewrite_affine(rewrite, p->op->conds[c]));
    for (int g = 0; g < p->op->guard_count; g++)
        if (!(expr_indices(p->op, p->op->guards[g]) & gone))
            op_guard(rewrite->to, rewrite_expr(rewrite, p->op->guards[g]));
}

/* inner[outs] sum= (chosen factors == wanted) over outs and reduced. */
static int build_inner(Unit *unit, const Product *p, IndexSet outs, IndexSet reduced, const bool *chosen, bool wanted)
{
    const Op *op = p->op;
    IndexBy by[INDICES_MAX], rest[INDICES_MAX];
    int positions[INDICES_MAX], unused[INDICES_MAX];
    Dim extents[INDICES_MAX], other[INDICES_MAX];
    OpBuilder builder = op_begin(unit, OP_NEST);
    builder.op.reducer = REDUCE_SUM;
    builder.op.span = op->span;
    int rank = keep_indices(&builder, op, outs, p->lead, by, positions, extents);
    (void)keep_indices(&builder, op, reduced, 0, rest, unused, other);
    for (int i = 0; i < op->index_count; i++)
        if (reduced >> i & 1)
            by[i] = rest[i];
    Rewrite rewrite = rewrite_begin(&builder, unit, op, by, NULL, NULL);
    domain_without(&rewrite, p, ~(outs | reduced));
    builder.op.body = build_product(&rewrite, p, chosen, wanted);
    Symbol name = symbol_suffix(unit->program, unit->tensors[op->out.tensor].name, ".sum");
    int sum = unit_tensor(unit, name, T_REAL, TENSOR_LOCAL, rank, extents, NULL);
    builder.op.out = access_indices(unit->program, sum, rank, positions);
    (void)op_finish(&builder);
    return sum;
}

/* sum[…] at the indices in `outs` as an expression of `to`. */
static int read_inner(Rewrite *rewrite, const Product *p, int sum, IndexSet outs)
{
    Program *program = rewrite->unit->program;
    Access access = access_new(program, sum, rewrite->unit->tensors[sum].rank);
    const IndexSet turn[2] = {outs & p->lead, outs & ~p->lead};
    int k = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < p->op->index_count; i++)
            if (turn[pass] >> i & 1)
                access.subs[k++] = sub_affine(rewrite->by[i].affine, 1);
    return expr_read(rewrite->to, access);
}

/* out[α] sum= (factors not summed) · inner over the indices that are left. Returns its position. */
static int build_outer(Unit *unit, const Product *p, IndexSet kept, IndexSet outs, int sum, const bool *chosen, bool wanted)
{
    IndexBy by[INDICES_MAX];
    int positions[INDICES_MAX];
    Dim extents[INDICES_MAX];
    OpBuilder builder = op_begin(unit, OP_NEST);
    builder.op.reducer = REDUCE_SUM;
    builder.op.span = p->op->span;
    (void)keep_indices(&builder, p->op, kept, 0, by, positions, extents);
    Rewrite rewrite = rewrite_begin(&builder, unit, p->op, by, NULL, NULL);
    domain_without(&rewrite, p, ~kept);
    const Chosen c = {&rewrite, p, chosen, wanted};
    builder.op.body = build_around(&c, p->expr, 0, read_inner(&rewrite, p, sum, outs));
    builder.op.out = rewrite_access(&rewrite, &p->op->out);
    return op_finish(&builder);
}

static bool writes_through_data(const Op *op)
{
    for (int k = 0; k < op->out.count; k++)
        if (op->out.subs[k].read)
            return true;
    return false;
}

/* All indices of conditions and guards that cut reduced indices: they stay inside the sum. */
static IndexSet domain_reduced(const Product *p)
{
    IndexSet set = 0;
    for (int c = 0; c < p->op->cond_count; c++)
        if (affine_indices(p->op->conds[c]) & p->reduced)
            set |= affine_indices(p->op->conds[c]);
    for (int g = 0; g < p->op->guard_count; g++)
        if (expr_indices(p->op, p->op->guards[g]) & p->reduced)
            set |= expr_indices(p->op, p->op->guards[g]);
    return set;
}

static IndexSet rest_indices(const Product *p, const bool *pulled)
{
    IndexSet set = 0;
    for (int f = 0; f < p->count; f++)
        set |= pulled[f] ? 0 : p->factors[f].uses;
    return set;
}

/* Σ f·rest = f·Σ rest; a sum that is scattered through an integer is first summed where it stands. */
static bool pull_factors(Rebuild *rebuild, int old)
{
    Unit *unit = rebuild->unit;
    Product p = product_of(&rebuild->old[old], rebuild->old[old].body);
    bool pulled[FACTORS_MAX], scatter = writes_through_data(p.op);
    if (p.overflow || p.reduced == 0)
        return false;
    int count = choose_pulled(unit, &p, scatter, pulled);
    if (count == p.count || (count == 0 && !(scatter && is_contraction(&p))))
        return false;
    IndexSet outs = p.out & (domain_reduced(&p) | rest_indices(&p, pulled));
    int sum = build_inner(unit, &p, outs, p.reduced, pulled, false);
    rebuild_replace(rebuild, old, build_outer(unit, &p, p.out, outs, sum, pulled, true));
    return true;
}

/* ---- sums over integers' own indices ---------------------------------------------------------------------------------------------- */

static IndexSet subscript_indices(const Op *op, const Access *access, bool inside)
{
    IndexSet set = 0;
    for (int k = 0; k < access->count; k++) {
        if (access->subs[k].read)
            set |= subscript_indices(op, access->subs[k].read, true);
        else if (inside)
            set |= affine_indices(access->subs[k].affine);
    }
    return set;
}

/* Σ over k and f of u[k, f]·w[key[k], f, i]: one contraction by key per k, then the sum over k. */
static bool split_keyed(Rebuild *rebuild, int old)
{
    Unit *unit = rebuild->unit;
    Product p = product_of(&rebuild->old[old], rebuild->old[old].body);
    if (p.overflow || !is_contraction(&p))
        return false;
    IndexSet keyed = 0; /* that integers' subscripts use: their place is a row of its own */
    for (int id = 0; id < p.op->expr_count; id++)
        if (p.op->exprs[id].kind == EXPR_READ)
            keyed |= subscript_indices(p.op, &p.op->exprs[id].access, false);
    p.lead = keyed;
    keyed &= p.reduced;
    IndexSet summed = p.reduced & ~keyed, outs = p.out | keyed;
    bool chosen[FACTORS_MAX];
    for (int f = 0; f < p.count; f++)
        chosen[f] = true;
    Product inner = p;
    inner.out = outs;
    inner.reduced = summed;
    if (keyed == 0 || summed == 0 || !is_contraction(&inner))
        return false;
    int sum = build_inner(unit, &p, outs, summed, chosen, true);
    bool none[FACTORS_MAX] = {false};
    rebuild_replace(rebuild, old, build_outer(unit, &p, outs, outs, sum, none, true));
    return true;
}

/* ---- chains of contractions ----------------------------------------------------------------------------------------------------- */

/* The factors that use reduced index r, summed over r first: fewer indices than the whole nest? */
static bool summed_first(const Product *p, int r, bool *chosen, IndexSet *rest)
{
    int count = 0;
    *rest = 0;
    for (int f = 0; f < p->count; f++) {
        chosen[f] = p->factors[f].uses >> r & 1;
        count += chosen[f];
        if (chosen[f])
            *rest |= p->factors[f].uses;
    }
    *rest &= ~((IndexSet)1 << r);
    return count > 0 && count < p->count && ((p->out | p->reduced) & ~*rest & ~((IndexSet)1 << r)) != 0;
}

static bool split_chain(Rebuild *rebuild, int old)
{
    Unit *unit = rebuild->unit;
    Product p = product_of(&rebuild->old[old], rebuild->old[old].body);
    if (p.overflow || p.count < 2 || p.op->cond_count > 0 || p.op->guard_count > 0 || (p.reduced & (p.reduced - 1)) == 0 || has_square(&p))
        return false;
    bool chosen[FACTORS_MAX];
    IndexSet rest, best_rest = 0;
    int best = -1;
    for (int r = 0; r < p.op->index_count; r++) {
        if (!(p.reduced >> r & 1) || dim_is(p.op->indices[r].extent, 1) || !summed_first(&p, r, chosen, &rest))
            continue; /* a sum over one point would only copy */
        if (best < 0 || __builtin_popcount(rest) < __builtin_popcount(best_rest)) {
            best = r;
            best_rest = rest;
        }
    }
    if (best < 0)
        return false;
    (void)summed_first(&p, best, chosen, &rest);
    int sum = build_inner(unit, &p, rest, (IndexSet)1 << best, chosen, true);
    IndexSet kept = (p.out | p.reduced) & ~((IndexSet)1 << best);
    rebuild_replace(rebuild, old, build_outer(unit, &p, kept, rest, sum, chosen, false));
    return true;
}

/* ---- sums of contractions ------------------------------------------------------------------------------------------------------- */

static int build_term(Unit *unit, const Op *op, int expr, bool negative)
{
    OpBuilder builder = op_begin(unit, OP_NEST);
    builder.op.reducer = REDUCE_SUM;
    builder.op.span = op->span;
    builder_indices(&builder, op);
    Rewrite rewrite = rewrite_begin(&builder, unit, op, NULL, NULL, NULL);
    rewrite_domain(&rewrite);
    int body = rewrite_expr(&rewrite, expr);
    builder.op.body = negative ? expr_op(&builder, EXPR_NEG, body, -1, -1) : body;
    int part = unit_tensor_like(unit, &unit->tensors[op->out.tensor], ".sum", TENSOR_LOCAL);
    builder.op.out = rewrite_subs(&rewrite, &op->out, part);
    rewrite_keep_none(&rewrite);
    (void)op_finish(&builder);
    return part;
}

/* Σ a·b + c·d, where one of them is a contraction: two sums, then their sum. */
static bool split_terms(Rebuild *rebuild, int old)
{
    Unit *unit = rebuild->unit;
    const Op *op = &rebuild->old[old];
    const Expr *e = &op->exprs[op->body];
    if (e->kind != EXPR_ADD && e->kind != EXPR_SUB)
        return false;
    Product a = product_of(op, e->arg[0]), b = product_of(op, e->arg[1]);
    if (a.reduced == 0 || a.overflow || b.overflow || (!is_contraction(&a) && !is_contraction(&b)))
        return false;
    int left = build_term(unit, op, e->arg[0], false), right = build_term(unit, op, e->arg[1], e->kind == EXPR_SUB);
    const Tensor *out = &unit->tensors[op->out.tensor];
    OpBuilder builder = op_begin(unit, OP_NEST);
    builder.op.reducer = REDUCE_SET;
    int *indices = ARENA_ARRAY(unit->program->arena, int, out->rank + 1);
    for (int k = 0; k < out->rank; k++)
        indices[k] = op_index(&builder, intern(unit->program->interner, arena_printf(unit->program->arena, "i%d", k)), out->extent[k]);
    int x = expr_read(&builder, access_indices(unit->program, left, out->rank, indices));
    int y = expr_read(&builder, access_indices(unit->program, right, out->rank, indices));
    builder.op.body = expr_op(&builder, EXPR_ADD, x, y, -1);
    builder.op.out = access_indices(unit->program, op->out.tensor, out->rank, indices);
    builder.op.span = op->span;
    rebuild_replace(rebuild, old, op_finish(&builder));
    return true;
}

bool opt_factor(Unit *unit)
{
    bool changed = false;
    for (int round = 0; round < 16; round++) {
        bool again = false;
        Rebuild rebuild = rebuild_begin(unit);
        for (int i = 0; i < rebuild.old_count; i++) {
            const Op *op = &rebuild.old[i];
            bool sum = op->kind == OP_NEST && op->reducer == REDUCE_SUM && op->group == 0 && op->index_count <= INDICES_MAX;
            if (sum && (split_terms(&rebuild, i) || pull_factors(&rebuild, i) || split_keyed(&rebuild, i) || split_chain(&rebuild, i)))
                again = true;
            else
                (void)rebuild_keep(&rebuild, i);
        }
        rebuild_end(&rebuild);
        if (!again)
            break;
        changed = true;
    }
    return changed;
}
