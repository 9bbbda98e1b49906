/* Which loops, in which order, with lanes along which index. The choice depends on the operation's structure alone: not on batch, length or any
   extent that is not a small constant, so that one function serves all sizes. */
#include "codegen/form.h"

/* Some output subscript moves with this index alone: different values of the index write different elements. */
static bool separates(const KernelForm *form, int index)
{
    const FormAccess *out = &form->accesses[form->out];
    for (int i = 0; i < out->count; i++)
        if (out->subs[i].read < 0 && out->subs[i].affine.count == 1 && out->subs[i].affine.terms[0].index == index)
            return true;
    return false;
}

/* Every output element is addressed by separating indices only. */
static bool addresses_directly(const KernelForm *form)
{
    const FormAccess *out = &form->accesses[form->out];
    for (int i = 0; i < out->count; i++)
        if (out->subs[i].read >= 0 || out->subs[i].affine.count > 1)
            return false;
    return true;
}

/* The output subscripts are distinct bare indices over whole axes: each element is written, whatever the domain. Where points write their own elements,
   there must be no other index either, or a point outside the domain would overwrite one inside. */
static bool covers(const KernelForm *form)
{
    const FormAccess *out = &form->accesses[form->out];
    if (form->keeps || !addresses_directly(form) || (form->mode == MODE_MAP && form->index_count != out->count))
        return false;
    for (int i = 0; i < out->count; i++) {
        const FormAffine *affine = &out->subs[i].affine;
        if (!out->subs[i].whole)
            return false;
        for (int k = 0; k < i; k++)
            if (out->subs[k].affine.terms[0].index == affine->terms[0].index)
                return false;
    }
    return true;
}

static BfmFill fill_of(const KernelForm *form)
{
    if (form->kind == FORM_SCORES || form->kind == FORM_TILE || covers(form))
        return BFM_FILL_NONE;
    switch (form->reducer) {
    case REDUCE_SET: return form->out_type == T_INT ? BFM_FILL_NO_INDEX : BFM_FILL_ZERO;
    case REDUCE_SUM: return BFM_FILL_ZERO;
    case REDUCE_MAX: return form->out_type == T_INT ? BFM_FILL_NO_INDEX : BFM_FILL_LOW;
    case REDUCE_MIN: return form->out_type == T_INT ? BFM_FILL_NO_INDEX : BFM_FILL_HIGH;
    case REDUCE_LSE: return BFM_FILL_LOW;
    }
    return BFM_FILL_NONE;
}

/* ---- cost of lanes along an index ---------------------------------------------------------------------------------------------- */

enum { COST_UNIT = 2, COST_BACK = 3, COST_SAME = 1, COST_GATHER = 24, COST_REDUCE = 4 };

static int64_t access_cost(const KernelForm *form, int access, int index)
{
    switch (access_stride(form, access, index)) {
    case STRIDE_ZERO: return COST_SAME;
    case STRIDE_UNIT: return COST_UNIT;
    case STRIDE_BACK: return COST_BACK;
    case STRIDE_AFFINE:
    case STRIDE_DATA: return COST_GATHER;
    }
    return 0;
}

/* For `width` points, in arbitrary units. */
static int64_t lane_cost(const KernelForm *form, int index, int width)
{
    int64_t cost = form->expr_count + form->cond_count;
    for (int i = 0; i < form->access_count; i++)
        if (i != form->out && form->accesses[i].buffer != BUFFER_DRAW)
            cost += access_cost(form, i, index);
    if (form->mode == MODE_REDUCE && !separates(form, index))
        cost += COST_REDUCE;
    else
        cost += access_cost(form, form->out, index) / (form->mode == MODE_REDUCE ? 4 : 1);
    if (form->extents[index].slot == SLOT_CONST)
        cost *= form->extents[index].value <= 0 ? width : (width + form->extents[index].value - 1) / form->extents[index].value;
    return cost;
}

static bool lanes_allowed(const KernelForm *form, int index)
{
    if (dim_ref_is(form->extents[index], 1))
        return false;
    switch (form->mode) {
    case MODE_MAP: return access_uses(form, form->out, index) && (form->kind != FORM_TILE || index == form->col);
    case MODE_REDUCE: return true;
    case MODE_SCATTER: return separates(form, index);
    case MODE_SCAN:
        for (int i = 0; i < form->inner_count; i++)
            if (form->inner[i] == index)
                return false;
        return true;
    }
    return false;
}

static int choose_vector(const KernelForm *form, int width)
{
    int best = -1;
    int64_t best_cost = (int64_t)width * (2 * form->access_count + form->expr_count + form->cond_count);
    for (int i = form->index_count - 1; i >= 0 && width > 1; i--)
        if (lanes_allowed(form, i) && lane_cost(form, i, width) < best_cost) {
            best = i;
            best_cost = lane_cost(form, i, width);
        }
    return best;
}

static void move_last(int *list, int count, int item)
{
    for (int i = 0; i + 1 < count; i++)
        if (list[i] == item) {
            list[i] = list[i + 1];
            list[i + 1] = item;
        }
}

static bool listed(const int *list, int count, int item)
{
    for (int i = 0; i < count; i++)
        if (list[i] == item)
            return true;
    return false;
}

void form_plan(KernelForm *form, int width)
{
    if (form->kind == FORM_RANGE || form->kind == FORM_TILE)
        for (int i = 0; i < form->index_count; i++)
            if (i != form->row && i != form->col)
                form->parallel[form->parallel_count++] = i; /* bound by the caller */
    if (form->kind == FORM_RANGE)
        return;
    if (form->kind == FORM_RECUR)
        form->mode = MODE_SCAN;
    else if (form->reducer == REDUCE_SET || form->kind == FORM_SCORES)
        form->mode = MODE_MAP;
    else
        form->mode = addresses_directly(form) ? MODE_REDUCE : MODE_SCATTER;
    form->fill = fill_of(form);
    form->vector = choose_vector(form, width);
    if (form->kind == FORM_TILE)
        return;
    for (int i = 0; i < form->index_count; i++) {
        bool parallel = form->mode == MODE_MAP || (form->mode == MODE_SCAN ? !listed(form->inner, form->inner_count, i) : separates(form, i));
        if (parallel)
            form->parallel[form->parallel_count++] = i;
        else if (form->mode != MODE_SCAN)
            form->inner[form->inner_count++] = i;
    }
    move_last(form->parallel, form->parallel_count, form->vector);
    move_last(form->inner, form->inner_count, form->vector);
}
