/* Points of boxes cut by affine conditions: indices that share no condition multiply; of those that do, all but the longest are walked through, and the
   longest gives an interval. */
#include "ir/volume.h"

#include "support/bug.h"

enum { WALK_MAX = 1 << 20, TOGETHER_MAX = 8 };

/* ---- indices used ---- */

IndexSet index_set_access(const Access *access)
{
    IndexSet used = 0;
    for (int i = 0; i < access->count; i++) {
        const Sub *sub = &access->subs[i];
        if (sub->read)
            used |= index_set_access(sub->read);
        for (int k = 0; !sub->read && k < sub->affine.count; k++)
            used |= (IndexSet)1 << sub->affine.terms[k].index;
    }
    return used;
}

void index_set_exprs(const Op *op, IndexSet *sets)
{
    for (int e = 0; e < op->expr_count; e++) {
        const Expr *node = &op->exprs[e];
        sets[e] = 0;
        if (node->kind == EXPR_POS)
            sets[e] = (IndexSet)1 << node->index;
        if (node->kind == EXPR_READ || node->kind == EXPR_DRAW)
            sets[e] = index_set_access(&node->access);
        for (int a = 0; a < scalar_arity(node->kind); a++)
            sets[e] |= sets[node->arg[a]];
    }
}

/* ---- counting ---- */

/* Conditions over a few indices at given sizes: base + sum coef*index >= 0. */
typedef struct Cut {
    int64_t base, coef[TOGETHER_MAX];
} Cut;

typedef struct Part {
    int count, index[TOGETHER_MAX]; /* of the operation; the longest last */
    int64_t extent[TOGETHER_MAX];
    int cut_count;
    Cut *cuts;
} Part;

static int64_t floor_quotient(int64_t a, int64_t b) /* b > 0 */ { return a / b - (a % b < 0); }

/* How many values of the last index satisfy every cut at the given others. */
static int64_t interval_length(const Part *part, const int64_t *at)
{
    const int last = part->count - 1;
    int64_t low = 0, high = part->extent[last] - 1;
    for (int c = 0; c < part->cut_count; c++) {
        const Cut *cut = &part->cuts[c];
        int64_t rest = cut->base;
        for (int i = 0; i < last; i++)
            rest += cut->coef[i] * at[i];
        const int64_t coef = cut->coef[last];
        if (coef == 0 && rest < 0)
            return 0;
        if (coef > 0 && -floor_quotient(rest, coef) > low)
            low = -floor_quotient(rest, coef);
        if (coef < 0 && floor_quotient(rest, -coef) < high)
            high = floor_quotient(rest, -coef);
    }
    return high < low ? 0 : high - low + 1;
}

static double part_points(const Part *part)
{
    int64_t at[TOGETHER_MAX] = {0}, total = 0;
    double walk = 1, box = 1;
    for (int i = 0; i < part->count; i++) {
        box *= (double)part->extent[i];
        walk *= i + 1 < part->count ? (double)part->extent[i] : 1;
    }
    if (box < 1 || walk > WALK_MAX)
        return box;
    for (int i = 0; i >= 0;) {
        total += interval_length(part, at);
        for (i = part->count - 2; i >= 0 && ++at[i] == part->extent[i]; i--)
            at[i] = 0;
    }
    return (double)total;
}

/* All indices of the set that conditions tie to `index`. */
static IndexSet tied(const IndexSet *conds, int count, IndexSet together)
{
    for (IndexSet before = 0; before != together;) {
        before = together;
        for (int c = 0; c < count; c++)
            if (conds[c] & together)
                together |= conds[c];
    }
    return together;
}

static double together_points(const Op *op, IndexSet together, const IndexSet *conds, const DimEnv *env)
{
    Cut cuts[64];
    Part part = {.cuts = cuts};
    double box = 1;
    for (int i = 0; i < op->index_count; i++) {
        if (!(together >> i & 1))
            continue;
        const int64_t extent = dim_eval(op->indices[i].extent, env);
        box *= (double)extent;
        if (part.count == TOGETHER_MAX)
            return box; /* more than ever are tied */
        int at = part.count++;
        for (; at > 0 && part.extent[at - 1] > extent; at--) {
            part.extent[at] = part.extent[at - 1];
            part.index[at] = part.index[at - 1];
        }
        part.extent[at] = extent;
        part.index[at] = i;
    }
    for (int c = 0; c < op->cond_count && c < 64; c++) {
        if (!(conds[c] & together))
            continue;
        Cut *cut = &cuts[part.cut_count++];
        *cut = (Cut){.base = dim_eval(op->conds[c].base, env)};
        for (int t = 0; t < op->conds[c].count; t++)
            for (int k = 0; k < part.count; k++)
                if (part.index[k] == op->conds[c].terms[t].index)
                    cut->coef[k] = dim_eval(op->conds[c].terms[t].coef, env);
    }
    return part_points(&part);
}

double volume_points(const Op *op, IndexSet indices, const DimEnv *env)
{
    IndexSet conds[64] = {0}, left = indices;
    double points = 1;
    BFM_ASSERT(op->index_count <= VOLUME_INDICES_MAX);
    const int cond_count = op->cond_count < 64 ? op->cond_count : 64;
    for (int c = 0; c < cond_count; c++) {
        for (int t = 0; t < op->conds[c].count; t++)
            conds[c] |= (IndexSet)1 << op->conds[c].terms[t].index;
        if (conds[c] & ~indices)
            conds[c] = 0; /* on others too */
    }
    for (int i = 0; i < op->index_count; i++) {
        const IndexSet one = (IndexSet)1 << i;
        if (!(left & one))
            continue;
        const IndexSet together = tied(conds, cond_count, one);
        left &= ~together;
        points *= together_points(op, together, conds, env);
    }
    return points;
}

bool op_expands(const Unit *unit, const Op *op)
{
    for (int e = 0; e < op->expr_count; e++) {
        const Access *read = &op->exprs[e].access;
        if (op->exprs[e].kind != EXPR_READ || index_set_access(read) != index_set_all(op))
            continue;
        const Tensor *tensor = &unit->tensors[read->tensor];
        const Op *def = tensor->role == TENSOR_LOCAL && tensor->type == T_REAL && tensor->def >= 0 ? &unit->ops[tensor->def] : NULL;
        if (!def || def->group || def->kind != OP_NEST || def->reducer != REDUCE_SET || !op_expands(unit, def))
            return false;
    }
    return true;
}
