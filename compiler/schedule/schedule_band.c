/* Triangles and bands of products: conditions on the difference of two axes leave out what the product need not do. */
#include "schedule/schedule_internal.h"

/* The only index of the set, -1 if there are several or none. */
static int only_index(IndexSet set) { return set != 0 && (set & (set - 1)) == 0 ? __builtin_ctzll(set) : -1; }

static bool coef_is(Affine affine, int index, int64_t value)
{
    for (int t = 0; t < affine.count; t++) {
        if (affine.terms[t].index == index)
            return dim_is(affine.terms[t].coef, value);
    }
    return false;
}

static Dim tighter(const Scheduler *scheduler, Dim bound, Dim other) { return bound == NULL ? other : dim_min(scheduler->program->dims, bound, other); }

/* x - y + base >= 0 bounds y ahead of x, y - x + base >= 0 behind it. */
static void bound_by(const Scheduler *scheduler, Affine cond, int across, int along, GemmBand *band)
{
    if (cond.count != 2)
        return;
    if (coef_is(cond, across, 1) && coef_is(cond, along, -1))
        band->ahead = tighter(scheduler, band->ahead, cond.base);
    if (coef_is(cond, across, -1) && coef_is(cond, along, 1))
        band->behind = tighter(scheduler, band->behind, cond.base);
}

GemmBand gemm_band(const Scheduler *scheduler, int position, IndexSet m, IndexSet n, IndexSet k)
{
    static const BfmBand kinds[] = {BFM_BAND_K_BY_M, BFM_BAND_K_BY_N, BFM_BAND_N_BY_M};
    const IndexSet across[] = {m, n, m}, along[] = {k, k, n};
    const Op *op = &scheduler->unit->ops[position];
    for (int p = 0; p < 3; p++) {
        GemmBand band = {.axes = kinds[p]};
        int x = only_index(across[p]), y = only_index(along[p]);
        if (x < 0 || y < 0)
            continue;
        for (int c = 0; c < op->cond_count; c++)
            bound_by(scheduler, op->conds[c], x, y, &band);
        for (int c = 0; position == scheduler->late_op && c < scheduler->late_count; c++)
            bound_by(scheduler, scheduler->late[c], x, y, &band);
        if (band.ahead != NULL || band.behind != NULL)
            return band;
    }
    return (GemmBand){.axes = BFM_BAND_NONE};
}
