#include "codegen/emit.h"

/* ---- depths ----------------------------------------------------------------------------------------------------------------------- */

static int max_int(int a, int b) { return a > b ? a : b; }

bool index_is_parallel(const KernelForm *form, int index)
{
    for (int i = 0; i < form->parallel_count; i++)
        if (form->parallel[i] == index)
            return true;
    return false;
}

/* Parallel indices are bound together at depth 1, except a parallel vector index: a loop of its own, innermost where points add into memory in order,
   else around the other loops. Of a recurrence, what is scanned is outside. */
static void assign_index_depths(Emit *e)
{
    const KernelForm *form = e->form;
    bool own = form->vector >= 0 && index_is_parallel(form, form->vector);
    int next = 2;
    for (int i = 0; i < form->parallel_count; i++)
        e->depth[form->parallel[i]] = 1;
    if (form->kind == FORM_TILE) {
        e->depth[form->row] = 2;
        e->depth[form->col] = 3;
        return;
    }
    if (form->mode == MODE_SCAN) {
        for (int i = 0; i < form->inner_count; i++)
            e->depth[form->inner[i]] = i + 1;
        for (int i = 0; i < form->parallel_count; i++)
            e->depth[form->parallel[i]] = form->inner_count + 1;
        if (own)
            e->depth[form->vector] = form->inner_count + 2;
        return;
    }
    if (own && form->mode != MODE_SCATTER)
        e->depth[form->vector] = next++;
    for (int i = 0; i < form->inner_count; i++)
        e->depth[form->inner[i]] = next++;
    if (own && form->mode == MODE_SCATTER)
        e->depth[form->vector] = next;
}

static void affine_dependence(const Emit *e, const FormAffine *affine, int *depth, bool *vector)
{
    for (int i = 0; i < affine->count; i++) {
        int index = affine->terms[i].index;
        *depth = max_int(*depth, e->depth[index]);
        *vector |= index == e->form->vector;
    }
}

static void assign_access_depths(Emit *e)
{
    const KernelForm *form = e->form;
    for (int i = 0; i < form->access_count; i++)
        for (int s = 0; s < form->accesses[i].count; s++) {
            const FormSub *sub = &form->accesses[i].subs[s];
            if (sub->read >= 0) {
                e->access_depth[i] = max_int(e->access_depth[i], e->access_depth[sub->read]);
                e->access_vector[i] |= e->access_vector[sub->read];
            } else {
                affine_dependence(e, &sub->affine, &e->access_depth[i], &e->access_vector[i]);
            }
        }
}

static void assign_expr_depths(Emit *e)
{
    const KernelForm *form = e->form;
    for (int i = 0; i < form->expr_count; i++) {
        const FormExpr *expr = &form->exprs[i];
        int *depth = &e->expr_depth[i];
        bool *vector = &e->expr_vector[i];
        for (int k = 0; k < 3 && expr->arg[k] >= 0; k++) {
            *depth = max_int(*depth, e->expr_depth[expr->arg[k]]);
            *vector |= e->expr_vector[expr->arg[k]];
        }
        if (expr->access >= 0) {
            *depth = max_int(*depth, e->access_depth[expr->access]);
            *vector |= e->access_vector[expr->access];
        }
        if (expr->kind == EXPR_POS) {
            *depth = e->depth[expr->index];
            *vector = expr->index == form->vector;
        }
    }
    for (int i = 0; i < form->guard_count; i++)
        e->guarding[form->guards[i]] = true;
    for (int i = form->expr_count - 1; i >= 0; i--)
        for (int k = 0; k < 3 && e->guarding[i] && form->exprs[i].arg[k] >= 0; k++)
            e->guarding[form->exprs[i].arg[k]] = true;
}

/* A condition with +-1 times an inner index bounds that index's loop, if all else in it is known outside: the loop visits the domain alone. */
static int bounded_index(const Emit *e, int cond)
{
    const KernelForm *form = e->form;
    const FormAffine *affine = &form->conds[cond];
    if (form->mode != MODE_REDUCE && form->mode != MODE_SCATTER)
        return -1;
    int index = -1;
    for (int i = 0; i < affine->count; i++)
        if (e->depth[affine->terms[i].index] == e->cond_depth[cond])
            index = index < 0 && (dim_ref_is(affine->terms[i].coef, 1) || dim_ref_is(affine->terms[i].coef, -1)) ? affine->terms[i].index : -2;
    if (index < 0 || (index_is_parallel(form, index) && !(index == form->vector && form->mode == MODE_SCATTER)))
        return -1;
    return e->cond_vector[cond] && index != form->vector ? -1 : index;
}

static void assign_depths(Emit *e)
{
    const KernelForm *form = e->form;
    assign_index_depths(e);
    assign_access_depths(e);
    assign_expr_depths(e);
    for (int i = 0; i < form->cond_count; i++) {
        affine_dependence(e, &form->conds[i], &e->cond_depth[i], &e->cond_vector[i]);
        e->cond_bound[i] = bounded_index(e, i);
    }
}

/* ---- the range of parallel points ------------------------------------------------------------------------------------------------- */

/* One row: the parallel indices other than the vector index are bound, and that runs over [from, from + count). */
static void emit_row(Emit *e, V from, V count)
{
    const KernelForm *form = e->form;
    V end = count ? LLVMBuildAdd(e->builder, from, count, "") : NULL;
    bool filled = form->fill != BFM_FILL_NONE;
    switch (form->mode) {
    case MODE_MAP:
        if (count)
            vector_loop(e, from, end, body_map, 0, filled);
        else
            body_map(e, 0);
        break;
    case MODE_REDUCE:
        if (count)
            vector_loop(e, from, end, body_reduce, 0, filled);
        else
            body_reduce(e, 0);
        break;
    case MODE_SCATTER:
        e->lanes_from = from;
        e->lanes_to = end;
        inner_loops(e, 0, count ? body_scatter_lanes : body_scatter);
        break;
    case MODE_SCAN: break; /* emit_scan.c */
    }
}

/* Parallel indices from their flattened number, the last one varying fastest. */
static void bind_parallel(Emit *e, V flat, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        int index = e->form->parallel[i];
        V extent = emit_ref(e, e->form->extents[index]);
        e->index[index] = i > 0 ? LLVMBuildURem(e->builder, flat, extent, "") : flat;
        if (i > 0)
            flat = LLVMBuildUDiv(e->builder, flat, extent, "");
    }
}

/* Binds the row that begins at rows->flat; where the next one does. */
static V row_bind(Emit *e, Rows *rows, V end)
{
    const KernelForm *form = e->form;
    const bool own = form->vector >= 0 && index_is_parallel(form, form->vector);
    V row = rows->flat;
    if (own) {
        V extent = emit_ref(e, form->extents[form->vector]);
        rows->from = form->parallel_count > 1 ? LLVMBuildURem(e->builder, row, extent, "") : row;
        rows->count = emit_min(e, LLVMBuildSub(e->builder, extent, rows->from, ""), LLVMBuildSub(e->builder, end, row, ""));
        row = form->parallel_count > 1 ? LLVMBuildUDiv(e->builder, row, extent, "") : row;
    }
    bind_parallel(e, row, form->parallel_count - own);
    return LLVMBuildAdd(e->builder, rows->flat, own ? rows->count : emit_i64(e, 1), "");
}

Rows rows_begin(Emit *e, V begin, V end)
{
    V bump = emit_alloca(e, e->i64); /* the loop's step is known inside it, so it is stored */
    LLVMBuildStore(e->builder, begin, bump);
    Rows rows = {.head = emit_block(e)};
    LLVMBasicBlockRef body = emit_block(e);
    rows.next = emit_block(e);
    rows.after = emit_block(e);
    LLVMBuildBr(e->builder, rows.head);
    LLVMPositionBuilderAtEnd(e->builder, rows.head);
    rows.flat = LLVMBuildLoad2(e->builder, e->i64, bump, "");
    LLVMBuildCondBr(e->builder, LLVMBuildICmp(e->builder, LLVMIntSLT, rows.flat, end, ""), body, rows.after);
    LLVMPositionBuilderAtEnd(e->builder, body);
    rows.scope = scope_enter(e);
    LLVMBuildStore(e->builder, row_bind(e, &rows, end), bump);
    return rows;
}

void rows_end(Emit *e, const Rows *rows)
{
    scope_leave(e, &rows->scope);
    LLVMBuildBr(e->builder, rows->next);
    LLVMMoveBasicBlockAfter(rows->next, LLVMGetInsertBlock(e->builder));
    LLVMMoveBasicBlockAfter(rows->after, rows->next);
    LLVMPositionBuilderAtEnd(e->builder, rows->next);
    LLVMBuildBr(e->builder, rows->head);
    LLVMPositionBuilderAtEnd(e->builder, rows->after);
}

static void nest_function(Emit *e)
{
    const KernelForm *form = e->form;
    Rows rows = rows_begin(e, LLVMGetParam(e->function, 2), LLVMGetParam(e->function, 3));
    if (form->mode == MODE_SCATTER || form->fill != BFM_FILL_NONE)
        e->skip = rows.next;
    emit_enter(e, 1);
    emit_row(e, rows.from, rows.count);
    rows_end(e, &rows);
    LLVMBuildRetVoid(e->builder);
}

/* ---- tiles ------------------------------------------------------------------------------------------------------------------------- */

/* Element (i, j) of a tile lies at (i - row) * ld + j - col. */
static void shift_tiles(Emit *e, V row, V col)
{
    V corner = LLVMBuildAdd(e->builder, LLVMBuildMul(e->builder, row, e->ld, ""), col, "");
    for (int i = 0; i < e->form->access_count; i++)
        if (e->form->accesses[i].buffer == BUFFER_TILE)
            e->access[i].offset = LLVMBuildSub(e->builder, e->access[i].offset, corner, "");
}

static void tile_function(Emit *e)
{
    const KernelForm *form = e->form;
    V outer = LLVMGetParam(e->function, 2), row = LLVMGetParam(e->function, 3), col = LLVMGetParam(e->function, 4);
    V rows = LLVMGetParam(e->function, 5), cols = LLVMGetParam(e->function, 6);
    shift_tiles(e, row, col);
    for (int i = 0; i < form->parallel_count; i++)
        e->index[form->parallel[i]] = emit_load_entry(e, e->i64, outer, i);
    emit_enter(e, 1);
    V end = LLVMBuildAdd(e->builder, col, cols, "");
    Loop loop = loop_begin(e, row, LLVMBuildAdd(e->builder, row, rows, ""), emit_i64(e, 1));
    Scope scope = scope_enter(e);
    e->index[form->row] = loop.value;
    emit_enter(e, 2);
    if (form->vector >= 0) {
        vector_loop(e, col, end, body_map, 0, false);
    } else {
        Loop inner = loop_begin(e, col, end, emit_i64(e, 1));
        Scope deeper = scope_enter(e);
        e->index[form->col] = inner.value;
        emit_enter(e, 3);
        body_map(e, 0);
        scope_leave(e, &deeper);
        loop_end(e, &inner);
    }
    scope_leave(e, &scope);
    loop_end(e, &loop);
    LLVMBuildRetVoid(e->builder);
}

/* ---- the function ------------------------------------------------------------------------------------------------------------------- */

static LLVMTypeRef function_type(Emit *e)
{
    LLVMTypeRef nest[] = {e->ptr, e->ptr, e->i64, e->i64};
    LLVMTypeRef tile[] = {e->ptr, e->ptr, e->ptr, e->i64, e->i64, e->i64, e->i64, e->ptr, e->i64};
    LLVMTypeRef range[] = {e->ptr, e->ptr, e->i64, e->i64, e->ptr};
    LLVMTypeRef none = LLVMVoidTypeInContext(e->context);
    switch (e->form->kind) {
    case FORM_NEST:
    case FORM_RECUR:
    case FORM_SCORES: return LLVMFunctionType(none, nest, 4, 0);
    case FORM_TILE: return LLVMFunctionType(none, tile, 9, 0);
    case FORM_RANGE: return LLVMFunctionType(none, range, 5, 0);
    }
    return NULL;
}

static void load_arguments(Emit *e)
{
    const KernelForm *form = e->form;
    bool range = form->kind == FORM_RANGE;
    V dims = LLVMGetParam(e->function, range ? 0 : 1);
    for (int i = 0; i < form->slot_count; i++)
        e->slots[i] = emit_load_entry(e, e->i64, dims, i);
    if (range)
        return;
    for (int i = 0; i < form->buffer_count; i++)
        e->buffers[i] = emit_load_entry(e, e->ptr, LLVMGetParam(e->function, 0), i);
    if (form->kind == FORM_TILE) {
        e->tiles = LLVMGetParam(e->function, 7);
        e->ld = LLVMGetParam(e->function, 8);
    }
    if (form->draw_count > 0)
        e->step = emit_load_entry(e, e->i64, dims, form->slot_count);
    for (int i = 0; i < form->draw_count; i++)
        e->keys[i] = emit_load_entry(e, e->i64, dims, form->slot_count + 1 + i);
    e->dummy = emit_alloca(e, LLVMArrayType2(e->i64, 8));
}

static void allocate(Emit *e)
{
    const KernelForm *form = e->form;
    Arena *arena = e->arena;
    e->slots = ARENA_ARRAY(arena, V, form->slot_count);
    e->buffers = ARENA_ARRAY(arena, V, form->buffer_count);
    e->keys = ARENA_ARRAY(arena, V, form->draw_count);
    e->depth = ARENA_ARRAY(arena, int, form->index_count);
    e->index = ARENA_ARRAY(arena, V, form->index_count);
    e->access_depth = ARENA_ARRAY(arena, int, form->access_count);
    e->access_vector = ARENA_ARRAY(arena, bool, form->access_count);
    e->expr_depth = ARENA_ARRAY(arena, int, form->expr_count);
    e->expr_vector = ARENA_ARRAY(arena, bool, form->expr_count);
    e->cond_depth = ARENA_ARRAY(arena, int, form->cond_count);
    e->cond_vector = ARENA_ARRAY(arena, bool, form->cond_count);
    e->cond_bound = ARENA_ARRAY(arena, int, form->cond_count);
    e->guarding = ARENA_ARRAY(arena, bool, form->expr_count);
    e->access = ARENA_ARRAY(arena, AccessState, form->access_count);
    e->expr = ARENA_ARRAY(arena, Value, form->expr_count);
    for (int i = 0; i < form->access_count; i++) {
        e->access[i].sub = ARENA_ARRAY(arena, V, form->accesses[i].count);
        e->access[i].sub_step = ARENA_ARRAY(arena, V, form->accesses[i].count);
    }
}

void emit_kernel(LLVMModuleRef module, const KernelForm *form, const char *symbol, int width, bool masked_loops)
{
    Emit state;
    Emit *e = &state;
    LLVMContextRef context = LLVMGetModuleContext(module);
    *e = (Emit){.form = form,
                .arena = arena_new(),
                .width = width,
                .masked_loops = masked_loops,
                .context = context,
                .module = module,
                .builder = LLVMCreateBuilderInContext(context),
                .i1 = LLVMInt1TypeInContext(context),
                .i32 = LLVMInt32TypeInContext(context),
                .i64 = LLVMInt64TypeInContext(context),
                .f32 = LLVMFloatTypeInContext(context),
                .ptr = LLVMPointerTypeInContext(context, 0)};
    e->vm = (VecMath){context, module, e->builder};
    allocate(e);
    assign_depths(e);
    e->function = LLVMAddFunction(module, symbol, function_type(e));
    e->entry = emit_block(e);
    LLVMPositionBuilderAtEnd(e->builder, e->entry);
    load_arguments(e);
    if (form->kind != FORM_RANGE)
        emit_enter(e, 0);
    switch (form->kind) {
    case FORM_NEST:
    case FORM_SCORES: nest_function(e); break;
    case FORM_RECUR: emit_scan(e); break;
    case FORM_TILE: tile_function(e); break;
    case FORM_RANGE: emit_range(e); break;
    }
    LLVMDisposeBuilder(e->builder);
    arena_free(e->arena);
}
