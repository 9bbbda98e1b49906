#include "codegen/emit.h"

#include "support/bug.h"

/* ---- addresses, summed up loop by loop ------------------------------------------------------------------------------------------ */

static V plus(Emit *e, V a, V b) { return a ? LLVMBuildAdd(e->builder, a, b, "") : b; }

static void advance_affine(Emit *e, int access, int position, int depth)
{
    const FormSub *sub = &e->form->accesses[access].subs[position];
    AccessState *state = &e->access[access];
    V stride = emit_ref(e, sub->stride);
    V change = depth == 0 ? emit_ref(e, sub->affine.base) : NULL;
    for (int t = 0; t < sub->affine.count; t++) {
        const FormTerm *term = &sub->affine.terms[t];
        if (e->depth[term->index] != depth)
            continue;
        V coef = emit_ref(e, term->coef);
        change = plus(e, change, LLVMBuildMul(e->builder, coef, e->index[term->index], ""));
        if (term->index == e->form->vector) {
            state->step = plus(e, state->step, LLVMBuildMul(e->builder, coef, stride, ""));
            state->sub_step[position] = plus(e, state->sub_step[position], coef);
        }
    }
    if (!change)
        return;
    state->sub[position] = plus(e, state->sub[position], change);
    state->offset = plus(e, state->offset, LLVMBuildMul(e->builder, change, stride, ""));
}

/* An integer subscript joins the address and the domain as soon as it is loaded. One unsigned comparison rejects both `none` and what is out of range. */
static void advance_read(Emit *e, int access, int position)
{
    const FormSub *sub = &e->form->accesses[access].subs[position];
    AccessState *state = &e->access[access];
    V integer = e->access[sub->read].integer;
    V extent = LLVMBuildTrunc(e->builder, emit_min(e, emit_ref(e, sub->extent), emit_i64(e, INT32_MAX)), e->i32, "");
    V stride = emit_ref(e, sub->stride);
    if (e->access_vector[sub->read]) {
        V inside = LLVMBuildICmp(e->builder, LLVMIntULT, integer, emit_splat(e, extent), "");
        state->lane_valid = emit_and(e, state->lane_valid, inside);
        e->mask = emit_and(e, e->mask, inside);
        V wide = LLVMBuildSExt(e->builder, integer, emit_lanes_type(e, e->i64), "");
        state->lane_offset = plus(e, state->lane_offset, LLVMBuildMul(e->builder, wide, emit_splat(e, stride), ""));
    } else {
        V inside = LLVMBuildICmp(e->builder, LLVMIntULT, integer, extent, "");
        state->valid = emit_and(e, state->valid, inside);
        e->live = emit_and(e, e->live, inside);
        V wide = LLVMBuildSExt(e->builder, integer, e->i64, "");
        state->offset = plus(e, state->offset, LLVMBuildMul(e->builder, wide, stride, ""));
    }
}

/* 0 <= s + lane * step < extent. */
static void check_affine(Emit *e, int access, int position)
{
    const FormSub *sub = &e->form->accesses[access].subs[position];
    AccessState *state = &e->access[access];
    V extent = emit_ref(e, sub->extent), value = state->sub[position];
    if (!state->sub_step[position]) {
        V inside = LLVMBuildICmp(e->builder, LLVMIntULT, value, extent, "");
        state->valid = emit_and(e, state->valid, inside);
        return;
    }
    V steps = LLVMBuildMul(e->builder, emit_lane_numbers(e, 64), emit_splat(e, state->sub_step[position]), "");
    V values = LLVMBuildAdd(e->builder, emit_splat(e, value), steps, "");
    state->lane_valid = emit_and(e, state->lane_valid, LLVMBuildICmp(e->builder, LLVMIntULT, values, emit_splat(e, extent), ""));
}

void access_advance(Emit *e, int access, int depth)
{
    const FormAccess *a = &e->form->accesses[access];
    AccessState *state = &e->access[access];
    if (depth > e->access_depth[access])
        return;
    if (depth == 0)
        state->offset = emit_i64(e, 0);
    for (int i = 0; i < a->count; i++) {
        if (a->subs[i].read < 0)
            advance_affine(e, access, i, depth);
        else if (e->access_depth[a->subs[i].read] == depth)
            advance_read(e, access, i);
    }
    if (depth != e->access_depth[access])
        return;
    for (int i = 0; i < a->count; i++)
        if (a->subs[i].checked)
            check_affine(e, access, i);
    if (a->subscript)
        state->integer = access_load(e, access);
}

/* ---- memory ----------------------------------------------------------------------------------------------------------------------- */

static LLVMTypeRef element_type(Emit *e, int access) { return e->form->accesses[access].type == T_INT ? e->i32 : e->f32; }

static V base_pointer(Emit *e, int access)
{
    const FormAccess *a = &e->form->accesses[access];
    if (a->buffer != BUFFER_TILE)
        return e->buffers[a->buffer];
    return emit_load_entry(e, e->ptr, e->tiles, a->tile);
}

static bool is_constant(V value, int64_t number) { return LLVMIsAConstantInt(value) && LLVMConstIntGetSExtValue(value) == number; }

typedef struct Address {
    V pointer; /* of lane 0, or of every lane */
    V mask;    /* per lane, NULL = all */
    bool vector, gather;
    bool reversed; /* lanes lie backwards: pointer is that of the last, mask is as they lie */
} Address;

static V reverse_lanes(Emit *e, V lanes)
{
    V order[64];
    for (int i = 0; i < e->width; i++)
        order[i] = LLVMConstInt(e->i32, (unsigned)(e->width - 1 - i), 0);
    return LLVMBuildShuffleVector(e->builder, lanes, LLVMGetPoison(LLVMTypeOf(lanes)), LLVMConstVector(order, (unsigned)e->width), "");
}

static Address access_address(Emit *e, int access, V mask)
{
    AccessState *state = &e->access[access];
    LLVMTypeRef type = element_type(e, access);
    V base = base_pointer(e, access);
    Address address = {.vector = e->access_vector[access]};
    V pointer = LLVMBuildGEP2(e->builder, type, base, &state->offset, 1, "");
    if (!address.vector) {
        address.pointer = state->valid ? LLVMBuildSelect(e->builder, state->valid, pointer, e->dummy, "") : pointer;
        return address;
    }
    address.mask = emit_and(e, emit_and(e, e->lanes, mask), state->lane_valid);
    if (state->valid)
        address.mask = emit_and(e, address.mask, emit_splat(e, state->valid));
    if (!state->lane_offset && is_constant(state->step, 1)) {
        address.pointer = pointer;
        return address;
    }
    if (!state->lane_offset && is_constant(state->step, -1)) {
        V back = emit_i64(e, 1 - (int64_t)e->width);
        address.reversed = true;
        address.pointer = LLVMBuildGEP2(e->builder, type, pointer, &back, 1, "");
        address.mask = address.mask ? reverse_lanes(e, address.mask) : NULL;
        return address;
    }
    address.gather = true;
    V offsets = state->lane_offset;
    if (state->step) {
        V steps = LLVMBuildMul(e->builder, emit_lane_numbers(e, 64), emit_splat(e, state->step), "");
        offsets = offsets ? LLVMBuildAdd(e->builder, offsets, steps, "") : steps;
    }
    address.pointer = LLVMBuildGEP2(e->builder, type, pointer, &offsets, 1, "");
    return address;
}

static V call_intrinsic(Emit *e, const char *name, size_t length, LLVMTypeRef *types, int type_count, V *args, int count)
{
    unsigned id = LLVMLookupIntrinsicID(name, length);
    V function = LLVMGetIntrinsicDeclaration(e->module, id, types, (size_t)type_count);
    return LLVMBuildCall2(e->builder, LLVMIntrinsicGetType(e->context, id, types, (size_t)type_count), function, args, (unsigned)count, "");
}
#define INTRINSIC(e, name, types, type_count, args, count) call_intrinsic(e, name, sizeof(name) - 1, types, type_count, args, count)

V access_load(Emit *e, int access)
{
    LLVMTypeRef type = element_type(e, access), lanes = emit_lanes_type(e, type);
    Address address = access_address(e, access, NULL);
    V align = LLVMConstInt(e->i32, 4, 0);
    /* Lanes that are not read: no number matters, but as an integer they must not look like an index. */
    V rest = type == e->i32 ? LLVMConstAllOnes(lanes) : LLVMConstNull(lanes);
    if (!address.vector || (!address.gather && !address.mask)) {
        V load = LLVMBuildLoad2(e->builder, address.vector ? lanes : type, address.pointer, "");
        LLVMSetAlignment(load, 4);
        return address.reversed ? reverse_lanes(e, load) : load;
    }
    if (!address.mask)
        address.mask = LLVMConstAllOnes(emit_lanes_type(e, e->i1));
    LLVMTypeRef types[2] = {lanes, address.gather ? emit_lanes_type(e, e->ptr) : e->ptr};
    V args[4] = {address.pointer, align, address.mask, rest};
    V load = address.gather ? INTRINSIC(e, "llvm.masked.gather", types, 2, args, 4) : INTRINSIC(e, "llvm.masked.load", types, 2, args, 4);
    return address.reversed ? reverse_lanes(e, load) : load;
}

static void store_scalar(Emit *e, V pointer, V value, V live)
{
    LLVMBasicBlockRef after = NULL;
    if (live) {
        LLVMBasicBlockRef then = emit_block(e);
        after = emit_block(e);
        LLVMBuildCondBr(e->builder, live, then, after);
        LLVMPositionBuilderAtEnd(e->builder, then);
    }
    LLVMSetAlignment(LLVMBuildStore(e->builder, value, pointer), 4);
    if (after) {
        LLVMBuildBr(e->builder, after);
        LLVMPositionBuilderAtEnd(e->builder, after);
    }
}

void access_store(Emit *e, int access, V value, V live, V mask)
{
    if (live && e->access_vector[access]) {
        mask = emit_and(e, mask, emit_splat(e, live));
        live = NULL;
    }
    Address address = access_address(e, access, mask);
    BFM_ASSERT(address.vector || !mask);
    V align = LLVMConstInt(e->i32, 4, 0);
    if (!address.vector) {
        store_scalar(e, address.pointer, value, live);
        return;
    }
    if (address.reversed)
        value = reverse_lanes(e, value);
    if (!address.gather && !address.mask) {
        LLVMSetAlignment(LLVMBuildStore(e->builder, value, address.pointer), 4);
        return;
    }
    if (!address.mask)
        address.mask = LLVMConstAllOnes(emit_lanes_type(e, e->i1));
    LLVMTypeRef types[2] = {LLVMTypeOf(value), address.gather ? emit_lanes_type(e, e->ptr) : e->ptr};
    V args[4] = {value, address.pointer, align, address.mask};
    if (address.gather)
        INTRINSIC(e, "llvm.masked.scatter", types, 2, args, 4);
    else
        INTRINSIC(e, "llvm.masked.store", types, 2, args, 4);
}
