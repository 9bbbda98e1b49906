#include "codegen/form.h"

#include "support/bug.h"

#include <stdlib.h>
#include <string.h>

/* What a slot stands for; equal roles share a slot, equal dimensions in different roles do not, so that a coincidence of sizes is no new kernel. */
typedef enum { ROLE_EXTENT, ROLE_STRIDE, ROLE_COVERED, ROLE_BOUND, ROLE_OTHER } Role;

typedef struct RoleKey {
    Role role;
    int a, b, c;
} RoleKey;

typedef struct Slot {
    RoleKey key;
    DimRef ref;
} Slot;

typedef struct FormBuilder {
    Arena *arena;
    const Unit *unit;
    const Op *op;
    KernelForm *form;
    int slot_capacity, access_capacity, buffer_capacity;
    int memo_count, memo_capacity;
    Slot *memo;
    int *expr_map; /* [op->expr_count] new numbers, -1 = not yet */
    int tile_count;
    const int *tile_tensors;
} FormBuilder;

static void *grow(Arena *arena, void *items, int count, int *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    *capacity = *capacity ? 2 * *capacity : 8;
    void *bigger = arena_alloc_array(arena, (size_t)*capacity, size);
    if (count)
        memcpy(bigger, items, (size_t)count * size);
    return bigger;
}

static DimTable *dims_of(const FormBuilder *fb) { return fb->unit->program->dims; }

/* Constants of absolute value up to `keep` go into the code. */
static DimRef slot_get(FormBuilder *fb, RoleKey key, Dim dim, int64_t keep)
{
    int64_t value;
    if (dim_is_int(dim, &value) && value >= -keep && value <= keep)
        return (DimRef){SLOT_CONST, value};
    if (key.role != ROLE_OTHER)
        for (int i = 0; i < fb->memo_count; i++)
            if (memcmp(&fb->memo[i].key, &key, sizeof key) == 0)
                return fb->memo[i].ref;
    KernelForm *form = fb->form;
    form->dims = grow(fb->arena, form->dims, form->slot_count, &fb->slot_capacity, sizeof *form->dims);
    form->dims[form->slot_count] = dim;
    DimRef ref = {form->slot_count++, 0};
    fb->memo = grow(fb->arena, fb->memo, fb->memo_count, &fb->memo_capacity, sizeof *fb->memo);
    fb->memo[fb->memo_count++] = (Slot){key, ref};
    return ref;
}

static FormAffine affine_form(FormBuilder *fb, const Affine *affine)
{
    FormAffine result = {.base = slot_get(fb, (RoleKey){ROLE_OTHER, 0, 0, 0}, affine->base, 64), .count = affine->count};
    result.terms = ARENA_ARRAY(fb->arena, FormTerm, affine->count);
    for (int i = 0; i < affine->count; i++)
        result.terms[i] = (FormTerm){affine->terms[i].index, slot_get(fb, (RoleKey){ROLE_OTHER, 0, 0, 0}, affine->terms[i].coef, 8)};
    return result;
}

/* The affine form lies in [0, extent) over the whole box, provably: its least and greatest values are at corners. */
static bool evidently_inside(const FormBuilder *fb, const Affine *affine, Dim extent)
{
    DimTable *table = dims_of(fb);
    Dim low = affine->base, high = affine->base;
    for (int i = 0; i < affine->count; i++) {
        int64_t coef;
        if (!dim_is_int(affine->terms[i].coef, &coef))
            return false;
        Dim last = dim_sub(table, fb->op->indices[affine->terms[i].index].extent, dim_int(table, 1));
        Dim reach = dim_mul(table, last, affine->terms[i].coef);
        if (coef > 0)
            high = dim_add(table, high, reach);
        else
            low = dim_add(table, low, reach);
    }
    /* With a box that may be empty (extent 0) the corners prove nothing, but then nothing is read. A subscript without indices is read even so. */
    Dim slack = dim_sub(table, dim_sub(table, extent, dim_int(table, 1)), high);
    return dim_proves_nonnegative(low) && dim_proves_nonnegative(slack);
}

static int buffer_get(FormBuilder *fb, int tensor)
{
    KernelForm *form = fb->form;
    for (int i = 1; i < form->buffer_count; i++)
        if (form->tensors[i] == tensor)
            return i;
    form->tensors = grow(fb->arena, form->tensors, form->buffer_count, &fb->buffer_capacity, sizeof *form->tensors);
    form->tensors[form->buffer_count] = tensor;
    return form->buffer_count++;
}

static int access_add(FormBuilder *fb, FormAccess access)
{
    KernelForm *form = fb->form;
    form->accesses = grow(fb->arena, form->accesses, form->access_count, &fb->access_capacity, sizeof *form->accesses);
    form->accesses[form->access_count] = access;
    return form->access_count++;
}

/* A tile stands for [row, row + rows) x [col, col + cols) of a tensor: the emitter subtracts the tile's corner. */
static int tile_access(FormBuilder *fb, int tile)
{
    FormAccess access = {.buffer = BUFFER_TILE, .tile = tile, .type = T_REAL, .count = 2};
    access.subs = ARENA_ARRAY(fb->arena, FormSub, 2);
    int index[2] = {fb->form->row, fb->form->col};
    DimRef stride[2] = {{SLOT_LD, 0}, {SLOT_CONST, 1}};
    for (int i = 0; i < 2; i++) {
        FormTerm term = {index[i], {SLOT_CONST, 1}};
        access.subs[i] = (FormSub){.affine = {.base = {SLOT_CONST, 0}, .count = 1, .terms = arena_memdup(fb->arena, &term, sizeof term)}, .read = -1, .stride = stride[i]};
    }
    return access_add(fb, access);
}

static bool form_affine_equal(const FormAffine *a, const FormAffine *b)
{
    if (a->base.slot != b->base.slot || a->base.value != b->base.value || a->count != b->count)
        return false;
    for (int i = 0; i < a->count; i++)
        if (a->terms[i].index != b->terms[i].index || a->terms[i].coef.slot != b->terms[i].coef.slot || a->terms[i].coef.value != b->terms[i].coef.value)
            return false;
    return true;
}

/* Equal accesses are one (their affine forms have equal slots only where these are constants, which is nearly always). */
static int access_find(const FormBuilder *fb, const FormAccess *access)
{
    const KernelForm *form = fb->form;
    for (int i = 0; i < form->access_count; i++) {
        const FormAccess *other = &form->accesses[i];
        bool equal = other->buffer == access->buffer && other->tile == access->tile && other->count == access->count;
        for (int s = 0; equal && s < access->count; s++)
            equal = access->subs[s].read == other->subs[s].read && access->subs[s].stride.slot == other->subs[s].stride.slot &&
                    access->subs[s].stride.value == other->subs[s].stride.value && form_affine_equal(&access->subs[s].affine, &other->subs[s].affine);
        if (equal)
            return i;
    }
    return -1;
}

static int access_form(FormBuilder *fb, const Access *access, bool subscript, bool output);

static FormSub sub_form(FormBuilder *fb, const Sub *sub, int buffer, int axis, Dim stride, Dim extent)
{
    FormSub result = {.read = -1, .stride = slot_get(fb, (RoleKey){ROLE_STRIDE, buffer, axis + sub->span, 0}, stride, 2)};
    RoleKey covered = {ROLE_COVERED, buffer, axis, sub->span};
    if (sub->read) {
        result.affine.base = (DimRef){SLOT_CONST, 0};
        result.read = access_form(fb, sub->read, true, false);
        result.extent = slot_get(fb, covered, extent, 2);
        return result;
    }
    result.affine = affine_form(fb, &sub->affine);
    result.checked = !evidently_inside(fb, &sub->affine, extent);
    int index;
    result.whole = affine_is_index(sub->affine, &index) && fb->op->indices[index].extent == extent;
    result.extent = result.checked ? slot_get(fb, covered, extent, 2) : (DimRef){SLOT_CONST, 0};
    return result;
}

static int access_form(FormBuilder *fb, const Access *access, bool subscript, bool output)
{
    const Tensor *tensor = &fb->unit->tensors[access->tensor];
    for (int i = 0; i < fb->tile_count && !output && !subscript; i++)
        if (fb->tile_tensors[i] == access->tensor)
            return tile_access(fb, i + 1);
    DimTable *table = dims_of(fb);
    int buffer = output ? 0 : buffer_get(fb, access->tensor);
    FormAccess result = {.buffer = buffer, .type = tensor->type, .subscript = subscript, .count = access->count};
    result.subs = ARENA_ARRAY(fb->arena, FormSub, access->count);
    Dim stride = dim_int(table, 1);
    int axis = tensor->rank;
    for (int i = access->count - 1; i >= 0; i--) {
        Dim extent = dim_int(table, 1);
        axis -= access->subs[i].span;
        for (int k = 0; k < access->subs[i].span; k++)
            extent = dim_mul(table, extent, tensor->extent[axis + k]);
        result.subs[i] = sub_form(fb, &access->subs[i], buffer, axis, stride, extent);
        stride = dim_mul(table, stride, extent);
    }
    int known = output ? -1 : access_find(fb, &result);
    if (known >= 0) {
        fb->form->accesses[known].subscript |= subscript;
        return known;
    }
    return access_add(fb, result);
}

/* A draw's logical index, row-major over the extents it names. */
static int draw_form(FormBuilder *fb, const Expr *expr)
{
    DimTable *table = dims_of(fb);
    const Access *access = &expr->access;
    FormAccess result = {.buffer = BUFFER_DRAW, .tile = fb->form->draw_count, .type = T_INT, .count = access->count};
    result.subs = ARENA_ARRAY(fb->arena, FormSub, access->count);
    Dim stride = dim_int(table, 1);
    for (int i = access->count - 1; i >= 0; i--) {
        const Sub *sub = &access->subs[i];
        FormSub *to = &result.subs[i];
        *to = (FormSub){.read = -1, .stride = slot_get(fb, (RoleKey){ROLE_OTHER, 0, 0, 0}, stride, 2)};
        if (sub->read) {
            to->read = access_form(fb, sub->read, true, false);
            to->extent = slot_get(fb, (RoleKey){ROLE_OTHER, 0, 0, 0}, expr->draw_extent[i], 2);
        } else {
            to->affine = affine_form(fb, &sub->affine);
        }
        stride = dim_mul(table, stride, expr->draw_extent[i]);
    }
    return access_add(fb, result);
}

/* Sizes that an earlier pass took for constants: as arguments, so that another width is the same function. */
static bool is_size(double value) { return value >= 8 && value <= 0x1p24 && value == (double)(int64_t)value; }

static int expr_form(FormBuilder *fb, int id)
{
    if (fb->expr_map[id] >= 0)
        return fb->expr_map[id];
    const Expr *expr = &fb->op->exprs[id];
    KernelForm *form = fb->form;
    FormExpr result = {.kind = expr->kind, .arg = {-1, -1, -1}, .index = -1, .access = -1, .dim = {SLOT_CONST, 0}};
    for (int i = 0; i < scalar_arity(expr->kind); i++)
        result.arg[i] = expr_form(fb, expr->arg[i]);
    if (expr->kind == EXPR_CONST && is_size(expr->value)) {
        result.kind = EXPR_DIM;
        result.dim = slot_get(fb, (RoleKey){ROLE_OTHER, 0, 0, 0}, dim_int(dims_of(fb), (int64_t)expr->value), 2);
    } else if (expr->kind == EXPR_CONST) {
        result.value = expr->value;
    } else if (expr->kind == EXPR_DIM) {
        result.dim = slot_get(fb, (RoleKey){ROLE_OTHER, 0, 0, 0}, expr->dim, 2);
    } else if (expr->kind == EXPR_POS) {
        result.index = expr->index;
    } else if (expr->kind == EXPR_READ) {
        result.access = access_form(fb, &expr->access, false, false);
    } else if (expr->kind == EXPR_DRAW) {
        result.access = draw_form(fb, expr);
        result.draw = form->draw_count;
        form->draw_tags[form->draw_count++] = expr->tag;
    }
    form->exprs[form->expr_count] = result;
    return fb->expr_map[id] = form->expr_count++;
}

/* The values to be ranked: buffers[0] is row-major over all indices. */
static int scores_access(FormBuilder *fb)
{
    DimTable *table = dims_of(fb);
    const Op *op = fb->op;
    FormAccess access = {.buffer = 0, .type = T_REAL, .count = op->index_count};
    access.subs = ARENA_ARRAY(fb->arena, FormSub, op->index_count);
    Dim stride = dim_int(table, 1);
    for (int i = op->index_count - 1; i >= 0; i--) {
        FormTerm term = {i, {SLOT_CONST, 1}};
        access.subs[i] = (FormSub){.affine = {.base = {SLOT_CONST, 0}, .count = 1, .terms = arena_memdup(fb->arena, &term, sizeof term)},
                                   .read = -1,
                                   .stride = slot_get(fb, (RoleKey){ROLE_STRIDE, 0, i + 1, 0}, stride, 2)};
        stride = dim_mul(table, stride, op->indices[i].extent);
    }
    return access_add(fb, access);
}

static void form_body(FormBuilder *fb)
{
    KernelForm *form = fb->form;
    const Op *op = fb->op;
    form->guards = ARENA_ARRAY(fb->arena, int, op->guard_count);
    form->guard_count = op->guard_count;
    for (int i = 0; i < op->guard_count; i++)
        form->guards[i] = expr_form(fb, op->guards[i]);
    form->body = expr_form(fb, op->body);
    form->body2 = form->kind == FORM_RECUR && op->body2 >= 0 ? expr_form(fb, op->body2) : -1;
    form->init = form->kind == FORM_RECUR && op->init.tensor >= 0 ? access_form(fb, &op->init, false, false) : -1;
    if (form->kind == FORM_SCORES) {
        form->out = scores_access(fb);
    } else if (form->kind == FORM_TILE) {
        form->out = tile_access(fb, 0);
    } else {
        form->out = access_form(fb, &op->out, false, true);
        const Tensor *tensor = &fb->unit->tensors[op->out.tensor];
        form->tensors[0] = op->out.tensor;
        form->out_type = tensor->type;
        if (tensor->type == T_INT)
            form->bound = slot_get(fb, (RoleKey){ROLE_BOUND, 0, 0, 0}, tensor->bound, 2);
    }
}

KernelForm *form_new(Arena *arena, const Unit *unit, const Op *op, FormKind kind, int row, int col, int tile_count, const int *tile_tensors, double outside)
{
    KernelForm *form = ARENA_NEW(arena, KernelForm);
    FormBuilder fb = {.arena = arena, .unit = unit, .op = op, .form = form, .tile_count = tile_count, .tile_tensors = tile_tensors};
    *form = (KernelForm){.kind = kind,
                         .reducer = op->kind == OP_NEST ? op->reducer : REDUCE_SET,
                         .index_count = op->index_count,
                         .row = row,
                         .col = col,
                         .outside = outside,
                         .keeps = op->kind == OP_NEST && op->init.tensor >= 0,
                         .reverse = op->reverse,
                         .exclusive = op->exclusive,
                         .body = -1,
                         .body2 = -1,
                         .out = -1,
                         .init = -1,
                         .vector = -1};
    form->exprs = ARENA_ARRAY(arena, FormExpr, op->expr_count);
    form->draw_tags = ARENA_ARRAY(arena, Symbol, op->expr_count);
    fb.expr_map = ARENA_ARRAY(arena, int, op->expr_count);
    for (int i = 0; i < op->expr_count; i++)
        fb.expr_map[i] = -1;
    form->tensors = grow(arena, NULL, 0, &fb.buffer_capacity, sizeof *form->tensors);
    form->tensors[form->buffer_count++] = -1;
    form->extents = ARENA_ARRAY(arena, DimRef, op->index_count);
    for (int i = 0; i < op->index_count; i++)
        form->extents[i] = slot_get(&fb, (RoleKey){ROLE_EXTENT, i, 0, 0}, op->indices[i].extent, 2);
    form->cond_count = op->cond_count;
    form->conds = ARENA_ARRAY(arena, FormAffine, op->cond_count);
    for (int i = 0; i < op->cond_count; i++)
        form->conds[i] = affine_form(&fb, &op->conds[i]);
    if (kind != FORM_RANGE)
        form_body(&fb);
    form->inner = ARENA_ARRAY(arena, int, op->index_count);
    form->parallel = ARENA_ARRAY(arena, int, op->index_count);
    if (kind == FORM_RECUR) {
        form->inner_count = op->scan_count;
        for (int i = 0; i < op->scan_count; i++)
            form->inner[i] = op->scan[i];
    }
    return form;
}

/* ---- questions ----------------------------------------------------------------------------------------------------------------- */

bool affine_uses(const FormAffine *affine, int index)
{
    for (int i = 0; i < affine->count; i++)
        if (affine->terms[i].index == index)
            return true;
    return false;
}

bool access_uses(const KernelForm *form, int access, int index)
{
    const FormAccess *a = &form->accesses[access];
    for (int i = 0; i < a->count; i++)
        if (a->subs[i].read >= 0 ? access_uses(form, a->subs[i].read, index) : affine_uses(&a->subs[i].affine, index))
            return true;
    return false;
}

StrideKind access_stride(const KernelForm *form, int access, int index)
{
    const FormAccess *a = &form->accesses[access];
    int affine = 0, unit = 0, back = 0;
    for (int i = 0; i < a->count; i++) {
        const FormSub *sub = &a->subs[i];
        if (sub->read >= 0 && access_uses(form, sub->read, index))
            return STRIDE_DATA;
        for (int t = 0; sub->read < 0 && t < sub->affine.count; t++)
            if (sub->affine.terms[t].index == index) {
                affine++;
                unit += dim_ref_is(sub->affine.terms[t].coef, 1) && dim_ref_is(sub->stride, 1);
                back += dim_ref_is(sub->affine.terms[t].coef, -1) && dim_ref_is(sub->stride, 1);
            }
    }
    return affine == 0 ? STRIDE_ZERO : affine == 1 && unit == 1 ? STRIDE_UNIT : affine == 1 && back == 1 ? STRIDE_BACK : STRIDE_AFFINE;
}

/* ---- signature ----------------------------------------------------------------------------------------------------------------- */

static void write_ref(Str *out, DimRef ref)
{
    if (ref.slot == SLOT_CONST)
        str_printf(out, "%lld ", (long long)ref.value);
    else
        str_printf(out, "s%d ", ref.slot);
}

static void write_affine(Str *out, const FormAffine *affine)
{
    write_ref(out, affine->base);
    for (int i = 0; i < affine->count; i++) {
        str_printf(out, "i%d*", affine->terms[i].index);
        write_ref(out, affine->terms[i].coef);
    }
}

static void write_list(Str *out, const char *name, int count, const int *items)
{
    str_printf(out, "%s", name);
    for (int i = 0; i < count; i++)
        str_printf(out, " %d", items[i]);
    str_append(out, "; ");
}

static void write_access(Str *out, const FormAccess *access)
{
    str_printf(out, "access %d %d %d%s[", access->buffer, access->tile, (int)access->type, access->subscript ? "!" : "");
    for (int i = 0; i < access->count; i++) {
        const FormSub *sub = &access->subs[i];
        if (sub->read >= 0)
            str_printf(out, "a%d ", sub->read);
        else
            write_affine(out, &sub->affine);
        write_ref(out, sub->stride);
        write_ref(out, sub->extent);
        str_append(out, sub->checked ? "?, " : ", "); /* `whole` shows in fill */
    }
    str_append(out, "]; ");
}

void form_signature(const KernelForm *form, Str *out)
{
    str_printf(out, "kind %d mode %d reducer %d slots %d buffers %d draws %d row %d col %d fill %d vector %d out %d %d body %d %d init %d flags %d %d ", (int)form->kind,
               (int)form->mode, (int)form->reducer, form->slot_count, form->buffer_count, form->draw_count, form->row, form->col, (int)form->fill, form->vector, form->out,
               (int)form->out_type, form->body, form->body2, form->init, form->reverse, form->exclusive);
    write_ref(out, form->bound);
    if (form->kind == FORM_TILE)
        str_printf(out, "outside %a ", form->outside);
    str_append(out, "extents ");
    for (int i = 0; i < form->index_count; i++)
        write_ref(out, form->extents[i]);
    for (int i = 0; i < form->cond_count; i++) {
        str_append(out, "cond ");
        write_affine(out, &form->conds[i]);
    }
    write_list(out, "guards", form->guard_count, form->guards);
    write_list(out, "parallel", form->parallel_count, form->parallel);
    write_list(out, "inner", form->inner_count, form->inner);
    for (int i = 0; i < form->access_count; i++)
        write_access(out, &form->accesses[i]);
    for (int i = 0; i < form->expr_count; i++) {
        const FormExpr *expr = &form->exprs[i];
        str_printf(out, "%s %d %d %d %a %d %d %d ", scalar_name(expr->kind), expr->arg[0], expr->arg[1], expr->arg[2], expr->value, expr->index, expr->access, expr->draw);
        write_ref(out, expr->dim);
    }
}
