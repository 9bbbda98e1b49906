/* Recurrences: a block of the parallel range at a time and, inside, position after position. What the points of a block hold is carried in an array, so
   that neighbours are read and written together, however large the step from one position to the next. Every point has its own chain of sums: neither
   blocks nor the cut of the range change a bit. */
#include "codegen/emit.h"

enum { SCAN_BLOCK = 4096 }; /* points; what they carry stays in the first-level cache */

static V vector_of(Emit *e, V value, bool vector) { return vector && LLVMGetTypeKind(LLVMTypeOf(value)) != LLVMVectorTypeKind ? emit_splat(e, value) : value; }

/* What is held before the first position. */
static V initial(Emit *e, LLVMTypeRef type, bool vector)
{
    const KernelForm *form = e->form;
    if (form->init < 0)
        return LLVMConstNull(type);
    V first = access_load(e, form->init);
    if (form->accesses[form->init].type == T_INT)
        first = LLVMBuildSIToFP(e->builder, first, e->access_vector[form->init] ? type : e->f32, "");
    return vector_of(e, first, vector);
}

/* One point, or a vector of them, at one position. Lanes that do not exist keep what is there: it is the next row's. */
static void scan_point(Emit *e, int position)
{
    (void)position;
    const KernelForm *form = e->form;
    const bool vector = form->vector >= 0;
    LLVMTypeRef type = vector ? emit_lanes_type(e, e->f32) : e->f32;
    V at = vector ? LLVMBuildAdd(e->builder, e->carry_at, e->index[form->vector], "") : e->carry_at;
    V slot = LLVMBuildGEP2(e->builder, e->f32, e->carry, &at, 1, "");
    V held = LLVMBuildLoad2(e->builder, type, slot, "");
    LLVMSetAlignment(held, 4);
    V old = LLVMBuildSelect(e->builder, e->first, initial(e, type, vector), held, "");
    V carried = form->body2 >= 0 ? LLVMBuildFMul(e->builder, value_float(e, e->expr[form->body2], vector), old, "") : old;
    V now = LLVMBuildFAdd(e->builder, carried, value_float(e, e->expr[form->body], vector), "");
    if (e->mask)
        now = LLVMBuildSelect(e->builder, e->mask, now, old, "");
    if (e->live)
        now = LLVMBuildSelect(e->builder, e->live, now, old, "");
    V stays = e->lanes ? LLVMBuildSelect(e->builder, e->lanes, now, held, "") : now;
    LLVMSetAlignment(LLVMBuildStore(e->builder, stays, slot), 4);
    V result = form->exclusive ? old : now;
    access_store(e, form->out, emit_result(e, result), NULL, NULL);
}

static void scan_rows(Emit *e, V block_from, V block_to)
{
    Rows rows = rows_begin(e, block_from, block_to);
    e->carry_at = LLVMBuildSub(e->builder, rows.from ? LLVMBuildSub(e->builder, rows.flat, rows.from, "") : rows.flat, block_from, "");
    emit_enter(e, e->form->inner_count + 1);
    if (rows.count)
        vector_loop(e, rows.from, LLVMBuildAdd(e->builder, rows.from, rows.count, ""), scan_point, 0, false);
    else
        scan_point(e, 0);
    rows_end(e, &rows);
}

static void scan_positions(Emit *e, int depth, V first, V block_from, V block_to)
{
    const KernelForm *form = e->form;
    if (depth == form->inner_count) {
        e->first = first;
        scan_rows(e, block_from, block_to);
        return;
    }
    int index = form->inner[depth];
    V extent = emit_ref(e, form->extents[index]);
    Loop loop = loop_begin(e, emit_i64(e, 0), extent, emit_i64(e, 1));
    Scope scope = scope_enter(e);
    V last = LLVMBuildSub(e->builder, extent, emit_i64(e, 1), "");
    e->index[index] = form->reverse ? LLVMBuildSub(e->builder, last, loop.value, "") : loop.value;
    V begins = LLVMBuildICmp(e->builder, LLVMIntEQ, loop.value, emit_i64(e, 0), "");
    emit_enter(e, depth + 1);
    scan_positions(e, depth + 1, emit_and(e, first, begins), block_from, block_to);
    scope_leave(e, &scope);
    loop_end(e, &loop);
}

void emit_scan(Emit *e)
{
    V begin = LLVMGetParam(e->function, 2), end = LLVMGetParam(e->function, 3);
    e->carry = emit_alloca(e, LLVMArrayType2(e->f32, SCAN_BLOCK + 64)); /* and the lanes behind the last point */
    Loop block = loop_begin(e, begin, end, emit_i64(e, SCAN_BLOCK));
    V to = emit_min(e, LLVMBuildAdd(e->builder, block.value, emit_i64(e, SCAN_BLOCK), ""), end);
    scan_positions(e, 0, NULL, block.value, to);
    loop_end(e, &block);
    LLVMBuildRetVoid(e->builder);
}
