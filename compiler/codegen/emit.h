/* Emission of one kernel form as one LLVM function. Inside the code generator only.

   Loops are nested at depths 1, 2, …; depth 0 is the function's entry. Everything an operation computes (addresses, integer subscripts, conditions, guards,
   expressions) is emitted once, at the depth of the innermost loop it depends on (`enter`), and forgotten when that loop is left (`Scope`).
   Along the vector index a value is a vector of lanes; everything else stays scalar until it meets one.

   The domain: `live` is a scalar condition on the points at hand, `mask` one per lane, `lanes` tells which lanes of the last vector exist. NULL = all. */
#ifndef BFM_CODEGEN_EMIT_H
#define BFM_CODEGEN_EMIT_H

#include "codegen/form.h"
#include "codegen/vecmath.h"

typedef LLVMValueRef V;

typedef struct Value {
    V v;
    bool vector, logical; /* logical: i1 instead of float */
} Value;

typedef struct AccessState {
    V offset;            /* i64: elements from the buffer's start, summed up as loops are entered */
    V step;              /* i64: elements from lane to lane, NULL = 0 */
    V lane_offset;       /* i64 per lane, from integer subscripts, NULL = 0 */
    V valid, lane_valid; /* the address may be used */
    V integer;           /* T_INT, loaded: i32 or lanes of it */
    V *sub;              /* checked affine subscripts: value so far, i64 */
    V *sub_step;         /* their change from lane to lane, NULL = 0 */
} AccessState;

/* A sum under way: of a reduction or a recurrence. */
typedef struct Accumulator {
    V slot;
    bool vector;  /* lanes: of outputs, or … */
    bool partial; /* … partial sums of one output */
    V shift;      /* the second pass of a log-sum-exp: the maximum; NULL otherwise */
    Reducer reducer;
} Accumulator;

typedef struct Emit {
    const KernelForm *form;
    Arena *arena;
    int width;
    bool masked_loops; /* one loop with a mask instead of a plain loop and a masked rest */
    VecMath vm;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    V function;
    LLVMBasicBlockRef entry;
    LLVMTypeRef i1, i32, i64, f32, ptr;

    V *slots;      /* dims[] */
    V *buffers;    /* pointers */
    V tiles, ld;   /* tile functions */
    V step, *keys; /* draws */
    V dummy;       /* 64 bytes that invalid scalar reads go to */
    int *depth;    /* of each index */
    V *index;      /* values of the indices, i64; of the vector index: lane 0 */
    int *access_depth, *expr_depth, *cond_depth;
    bool *access_vector, *expr_vector, *cond_vector;
    int *cond_bound; /* the inner index that a condition bounds, instead of being tested; -1 */
    bool *guarding;  /* expression needed by a guard */

    V live, mask, lanes;
    LLVMBasicBlockRef skip; /* where a point that is not in the domain may jump; NULL: it must be carried along */
    AccessState *access;
    Value *expr;
    Accumulator accumulator;
    V lanes_from, lanes_to; /* the row's part of a parallel vector index */
    V first;                /* recurrences: this is the first position */
    V carry, carry_at;      /* recurrences: what is carried, float[]; where the row's part of it begins */
} Emit;

/* What entering a loop changes and leaving it restores. */
typedef struct Scope {
    V live, mask, lanes;
    LLVMBasicBlockRef skip;
    AccessState *access;
    Value *expr;
} Scope;

typedef struct Loop {
    LLVMBasicBlockRef body, next, after;
    V value;
} Loop;

typedef void EmitBody(Emit *e, int position);

/* emit_core.c: values, control */
V emit_i64(Emit *e, int64_t value);
V emit_ref(Emit *e, DimRef ref);
V emit_splat(Emit *e, V scalar); /* to lanes */
V emit_lane_numbers(Emit *e, unsigned bits);
V emit_and(Emit *e, V a, V b);                                 /* NULL = true; both scalar or both lanes */
V emit_affine(Emit *e, const FormAffine *affine, int without); /* i64, all terms but that index's, lane 0 */
V emit_load_entry(Emit *e, LLVMTypeRef type, V array, int64_t position);
V emit_alloca(Emit *e, LLVMTypeRef type);
LLVMTypeRef emit_lanes_type(Emit *e, LLVMTypeRef element);
V emit_min(Emit *e, V a, V b);
V emit_max(Emit *e, V a, V b);
Loop loop_begin(Emit *e, V from, V to, V step);
void loop_end(Emit *e, Loop *loop);
LLVMBasicBlockRef emit_block(Emit *e);
Scope scope_enter(Emit *e);
void scope_leave(Emit *e, const Scope *scope);

/* emit_access.c: addresses and memory */
void access_advance(Emit *e, int access, int depth);             /* adds what `depth` contributes; at its own depth the access is ready */
V access_load(Emit *e, int access);                              /* float or i32, by its type */
void access_store(Emit *e, int access, V value, V live, V mask); /* where the masks (NULL = everywhere) and the address allow it */

/* emit_expr.c */
void emit_expr(Emit *e, int id);
V value_float(Emit *e, Value value, bool vector);
V value_logical(Emit *e, Value value, bool vector);
V emit_draw(Emit *e, int id); /* emit_draw.c */

/* emit_loops.c */
void emit_enter(Emit *e, int depth);
void vector_loop(Emit *e, V from, V to, EmitBody *body, int position, bool skippable);
void inner_bounds(Emit *e, int index, V *from, V *to); /* cuts the range by the conditions that bound the index */
void inner_loops(Emit *e, int position, EmitBody *body);

/* emit_body.c */
V emit_result(Emit *e, V number); /* as the type of the result: an integer is rounded, none if it is outside */
void body_map(Emit *e, int position);
void body_reduce(Emit *e, int position);
void body_scatter(Emit *e, int position);
void body_scatter_lanes(Emit *e, int position); /* over [lanes_from, lanes_to) */

/* emit_kernel.c */
void emit_kernel(LLVMModuleRef module, const KernelForm *form, const char *symbol, int width, bool masked_loops);
bool index_is_parallel(const KernelForm *form, int index);
/* A loop over the rows of a part of the parallel range. A row ends where the vector index does: all other parallel indices are bound, that one runs over
   [from, from + count). Without a parallel vector index a row is a point and `count` NULL. The builder is left in the body. */
typedef struct Rows {
    LLVMBasicBlockRef head, next, after; /* next: where a point goes that is skipped */
    Scope scope;
    V flat; /* where the row begins, in the parallel range */
    V from, count;
} Rows;
Rows rows_begin(Emit *e, V begin, V end);
void rows_end(Emit *e, const Rows *rows);
void emit_scan(Emit *e);  /* emit_scan.c */
void emit_range(Emit *e); /* emit_range.c */

#endif
