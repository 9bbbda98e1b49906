/* A compiled program as data: which kernels run, in which order, on which buffers. One block of bytes without pointers, so that it can be
   written to a file, placed in a shared object, or made in memory for the JIT; all that needs relocation is the table of functions beside it.
   Every reference is a number: a position in one of the sections below. `Dim slots` are positions in `dims`, whose values are computed from the
   run-time symbols when a batch and a length are bound. */
#ifndef BFM_PLAN_H
#define BFM_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bfm/elem.h"

#define BFM_PLAN_MAGIC "bfmplan"

enum { BFM_PLAN_VERSION = 5, BFM_PLAN_SYMBOLS = 12 }; /* symbols: b, l, p, n, s0 … s7 (ir/dim.h) */

typedef struct BfmSection {
    uint64_t offset; /* bytes from the start of the plan, a multiple of 8 */
    uint64_t count;  /* elements */
} BfmSection;

typedef struct BfmPlan {
    char magic[8];
    uint32_t version;
    uint32_t header_bytes;          /* sizeof(BfmPlan) where it was written */
    uint64_t bytes;                 /* of the whole plan */
    uint64_t hash;                  /* of the program it was made from */
    BfmSection dims;                /* BfmPlanDim: the slots */
    BfmSection dim_code;            /* int64_t: what their values are computed by */
    BfmSection functions;           /* uint32_t: name of each function, a position in `text` */
    BfmSection buffers;             /* BfmPlanBuffer */
    BfmSection codes;               /* BfmPlanCode */
    BfmSection kernels;             /* BfmPlanKernel, in order of execution */
    BfmSection formals;             /* BfmPlanPort */
    BfmSection outputs;             /* BfmPlanPort */
    BfmSection ints;                /* int32_t: argument lists and the records below */
    BfmSection streams;             /* uint64_t: streams of draws */
    BfmSection needs;               /* BfmPlanNeed */
    BfmSection text;                /* char: NUL-terminated strings */
    int64_t most[BFM_PLAN_SYMBOLS]; /* the largest value of each symbol that the program was made for; 0: any */
} BfmPlan;

/* A value in reverse Polish notation over exact rationals, rounded down at the end; -1 if it does not fit. */
typedef struct BfmPlanDim {
    int32_t code, count; /* dim_code */
} BfmPlanDim;

typedef enum {
    BFM_DIM_NUMBER, /* followed by numerator and denominator */
    BFM_DIM_SYMBOL, /* followed by the symbol */
    BFM_DIM_ADD,
    BFM_DIM_MUL,
    BFM_DIM_MIN,
    BFM_DIM_MAX,
    BFM_DIM_CEIL,
    BFM_DIM_FLOOR,
} BfmDimCode;

enum { BFM_DIM_STACK = 64 };

/* What the sizes must satisfy, or kernels would leave their buffers: asked when they are bound. */
typedef struct BfmPlanNeed {
    int32_t value;    /* dim slot: >= 0 */
    uint32_t symbols; /* bits: those it depends on */
    uint32_t text;    /* where, and what must hold */
} BfmPlanNeed;

typedef enum { BFM_BUFFER_TEMPORARY, BFM_BUFFER_FORMAL, BFM_BUFFER_OUTPUT } BfmBufferRole;

typedef struct BfmPlanBuffer {
    uint32_t name;       /* text */
    int32_t elem, role;  /* BfmElem: F32 or I32 in plans of this version */
    int32_t count;       /* dim slot: elements */
    int32_t first, last; /* kernels between which it must keep its content; -1, -1: never used */
} BfmPlanBuffer;

/* A call of a generated function: which buffers, dims and draws it is given. */
typedef struct BfmPlanCode {
    int32_t function;
    int32_t buffers, buffer_count; /* ints: buffer numbers; -1 = passed at the call (a tile) */
    int32_t dims, dim_count;       /* ints: dim slots */
    int32_t streams, stream_count; /* streams; if any, dims continue: the step, then the key of each */
} BfmPlanCode;

typedef enum {
    BFM_KERNEL_MAP,         /* codes[0] is a BfmNestFn over `parallel` */
    BFM_KERNEL_GEMM,        /* BfmPlanGemm */
    BFM_KERNEL_ORDER,       /* BfmPlanOrder */
    BFM_KERNEL_TOP,         /* BfmPlanTop */
    BFM_KERNEL_STREAM,      /* BfmPlanStream */
    BFM_KERNEL_STREAM_GRAD, /* BfmPlanStream */
    BFM_KERNEL_SCALAR,      /* BfmPlanScalar */
    BFM_KERNEL_KINDS
} BfmKernelKind;

typedef enum { BFM_FILL_NONE, BFM_FILL_ZERO, BFM_FILL_LOW, BFM_FILL_HIGH, BFM_FILL_NO_INDEX } BfmFill; /* nothing, 0, -inf, +inf, int32_t -1 */

typedef struct BfmPlanKernel {
    uint32_t label; /* text: what it computes */
    int32_t kind;
    int32_t codes, code_count;
    int32_t record;                /* ints: the record of its kind, -1 for MAP */
    int32_t parallel;              /* dim slot: points to share out; -1: one */
    int32_t grain;                 /* cut at multiples of this */
    int32_t fill, fill_buffer;     /* done first */
    int32_t results, result_count; /* ints: buffers that it writes and that others read */
    int32_t flops, bytes;          /* dim slots: work and traffic of one run, estimates for `profile`; -1 unknown */
} BfmPlanKernel;

typedef struct BfmPlanPort {
    uint32_t name;       /* text: path of a formal, name of an output */
    int32_t kind;        /* formal: BfmPortKind; output: BfmOutputKind */
    int32_t merge;       /* output: BfmMergeKind */
    int32_t buffer;      /* several ports may share one */
    int32_t formal;      /* output NEXT and GRAD: position of the formal, else -1 */
    int32_t shape, rank; /* ints: dim slots of the extents */
    int32_t bound;       /* integers: dim slot of the bound, else -1 */
} BfmPlanPort;

typedef enum { BFM_PORT_INPUT, BFM_PORT_PARAM, BFM_PORT_STATE } BfmPortKind;
typedef enum { BFM_OUTPUT_RESULT, BFM_OUTPUT_LOSS, BFM_OUTPUT_METRIC, BFM_OUTPUT_NEXT, BFM_OUTPUT_SAVED, BFM_OUTPUT_GRAD } BfmOutputKind;
typedef enum { BFM_MERGE_NONE, BFM_MERGE_MEAN, BFM_MERGE_SUM, BFM_MERGE_MAX } BfmMergeKind;

/* ---- records in `ints` ---------------------------------------------------------------------------------------------------- */

enum { BFM_GEMM_BATCHES = 4 };

/* Extent and element strides in A, B, C, the row numbers of A and those of B: dim slots; -1 = stride 0 (extent: 1). */
typedef struct BfmPlanAxis {
    int32_t extent, a, b, c, a_rows, b_rows;
} BfmPlanAxis;

typedef enum {
    BFM_GEMM_PLAIN,
    BFM_GEMM_BY_KEY,   /* grouped: row perm[r] of C = row perm[r] of A times B of the key, perm sorted by key */
    BFM_GEMM_INTO_KEY, /* segmented: C of the key = sum over its perm[r] of (row perm[r] of A)^T (row perm[r] of B) */
} BfmGemmForm;

/* A triangle or a band: at x of one axis only places y of another with x - behind <= y <= x + ahead count. */
typedef enum { BFM_BAND_NONE, BFM_BAND_K_BY_M, BFM_BAND_K_BY_N, BFM_BAND_N_BY_M } BfmBand;

/* C[batch, m, n] = or += alpha * sum over k of A[batch, m, k] * B[batch, k, n] */
typedef struct BfmPlanGemm {
    int32_t form;
    int32_t a, b, c;                /* buffers */
    int32_t a_base, b_base, c_base; /* dim slots: first element; -1 = 0 */
    BfmPlanAxis m, n, k;
    int32_t batch_count;
    BfmPlanAxis batch[BFM_GEMM_BATCHES];
    float alpha;
    int32_t accumulate;
    int32_t addend;                /* buffer with the elements of C where it has them, -1 = none: C = addend +; PLAIN, not with accumulate */
    int32_t a_rows, b_rows;        /* buffers of row numbers, -1 = none: A (B) is at row number * a_row (b_row); negative rows are 0 */
    int32_t a_row, b_row;          /* dim slots */
    int32_t a_rows_on_k;           /* A's row numbers run along k, else along m; B's always run along k */
    int32_t perm, offsets;         /* buffers of an ORDER: BY_KEY and INTO_KEY */
    int32_t key_count, key_stride; /* dim slots: keys; step of B (BY_KEY) or C (INTO_KEY) from key to key */
    int32_t band, ahead, behind;   /* BfmBand; dim slots, -1: no bound. PLAIN, without row numbers */
} BfmPlanGemm;

typedef struct BfmPlanOrder {
    int32_t keys, perm, offsets; /* buffers */
    int32_t count, key_count;    /* dim slots */
} BfmPlanOrder;

typedef struct BfmPlanTop {
    int32_t values, out; /* buffers: [outer, n] and [outer, k] */
    int32_t outer, n, k; /* dim slots */
} BfmPlanTop;

/* Scalars (device/cpu/templates/scalar.c): one number from scalar inputs, in double precision. */
typedef enum {
#define SCALAR(name, text, arity, flops, value, use, code, eval, da, db, dc) BFM_SCALAR_##name,
#include "bfm/scalars.def"
#undef SCALAR
    BFM_SCALAR_KINDS
} BfmScalarKind;

typedef struct BfmPlanScalarNode {
    int32_t kind;
    int32_t arg[3];   /* nodes before this one, -1 = none; READ: arg[0] is a buffer */
    int32_t value[2]; /* CONST: the bytes of a double */
} BfmPlanScalarNode;

typedef struct BfmPlanScalar {
    int32_t out;   /* buffer: receives the last node's value */
    int32_t count; /* nodes, which follow */
} BfmPlanScalar;

/* Streams (device/cpu/templates/stream.h): rows i, columns j, batch axes for the rest. */
enum { BFM_STREAM_BATCHES = 6, BFM_STREAM_USES = 4, BFM_STREAM_SINKS = 12, BFM_STREAM_TOTALS = 6, BFM_STREAM_TILES = 6 };

/* element = base + batch + row-or-column * step + (place in depth or width) * inner: dim slots, -1 = 0 */
typedef struct BfmPlanStreamOperand {
    int32_t buffer, base, step, inner;
    int32_t batch[BFM_STREAM_BATCHES];
} BfmPlanStreamOperand;

typedef enum { BFM_TILE_RAW, BFM_TILE_SCORE, BFM_TILE_SCORE_GRAD, BFM_TILE_RAW_GRAD, BFM_TILE_SLOPE } BfmTile; /* SLOPE + number of the slope */

/* A generated function of a block: which tiles it reads, and which batch axis each of its outer values is. */
typedef struct BfmPlanTile {
    int32_t code; /* among the kernel's codes, -1 = none */
    int32_t tile_count, tiles[BFM_STREAM_TILES];
    int32_t outer_count, outer[BFM_STREAM_BATCHES];
} BfmPlanTile;

typedef struct BfmPlanStreamUse {
    BfmPlanStreamOperand operand, out; /* use: by columns, by rows; slope: right (columns), left (rows) */
    int32_t width;                     /* dim slot */
    float alpha;
} BfmPlanStreamUse;

typedef struct BfmPlanStreamPick {
    BfmPlanStreamOperand target, out;
} BfmPlanStreamPick;

typedef enum { BFM_SINK_OF_RAW, BFM_SINK_OF_SCORE, BFM_SINK_OF_PROBABILITY } BfmSinkSource;

typedef struct BfmPlanStreamSink {
    int32_t source, by_column;
    int32_t kept; /* bits: batch axes of the output */
    BfmPlanStreamOperand operand, out;
    int32_t width; /* dim slot */
    float alpha;
} BfmPlanStreamSink;

/* What is left of rows and columns: nothing, one of them, column - row + rows, or both. */
typedef enum { BFM_TOTAL_NEITHER, BFM_TOTAL_ROWS, BFM_TOTAL_COLUMNS, BFM_TOTAL_DIFFERENCES, BFM_TOTAL_BOTH } BfmTotalAlong;

typedef struct BfmPlanStreamTotal {
    BfmPlanTile value; /* code -1: the tile itself */
    int32_t tile, along;
    int32_t kept;             /* bits: batch axes of the output */
    BfmPlanStreamOperand out; /* step: what is left; inner: columns where both are */
} BfmPlanStreamTotal;

typedef struct BfmPlanStream {
    int32_t batch_count, batch[BFM_STREAM_BATCHES]; /* dim slots */
    int32_t rows, cols, depth;                      /* dim slots */
    float alpha;
    BfmPlanStreamOperand q, k, row_max, row_log; /* row_log.buffer -1: the normaliser is row_max alone */
    BfmPlanTile score, range, score_grad, raw_grad;
    int32_t use_count, pick_count, slope_count, sink_count, total_count;
    BfmPlanStreamUse uses[BFM_STREAM_USES];
    BfmPlanStreamPick picks[BFM_STREAM_USES];
    BfmPlanStreamUse slopes[BFM_STREAM_USES];
    BfmPlanStreamSink sinks[BFM_STREAM_SINKS];
    BfmPlanStreamTotal totals[BFM_STREAM_TOTALS];
} BfmPlanStream;

/* ---- reading a plan ------------------------------------------------------------------------------------------------------- */

static inline const void *bfm_plan_at(const BfmPlan *plan, BfmSection section) { return (const char *)plan + section.offset; }
static inline const BfmPlanBuffer *bfm_plan_buffers(const BfmPlan *plan) { return (const BfmPlanBuffer *)bfm_plan_at(plan, plan->buffers); }
static inline const BfmPlanCode *bfm_plan_codes(const BfmPlan *plan) { return (const BfmPlanCode *)bfm_plan_at(plan, plan->codes); }
static inline const BfmPlanKernel *bfm_plan_kernels(const BfmPlan *plan) { return (const BfmPlanKernel *)bfm_plan_at(plan, plan->kernels); }
static inline const BfmPlanPort *bfm_plan_formals(const BfmPlan *plan) { return (const BfmPlanPort *)bfm_plan_at(plan, plan->formals); }
static inline const BfmPlanPort *bfm_plan_outputs(const BfmPlan *plan) { return (const BfmPlanPort *)bfm_plan_at(plan, plan->outputs); }
static inline const int32_t *bfm_plan_ints(const BfmPlan *plan) { return (const int32_t *)bfm_plan_at(plan, plan->ints); }
static inline const uint64_t *bfm_plan_streams(const BfmPlan *plan) { return (const uint64_t *)bfm_plan_at(plan, plan->streams); }
static inline const BfmPlanDim *bfm_plan_dims(const BfmPlan *plan) { return (const BfmPlanDim *)bfm_plan_at(plan, plan->dims); }
static inline const int64_t *bfm_plan_dim_code(const BfmPlan *plan) { return (const int64_t *)bfm_plan_at(plan, plan->dim_code); }
static inline const BfmPlanNeed *bfm_plan_needs(const BfmPlan *plan) { return (const BfmPlanNeed *)bfm_plan_at(plan, plan->needs); }
static inline const char *bfm_plan_text(const BfmPlan *plan, uint32_t position) { return (const char *)bfm_plan_at(plan, plan->text) + position; }
static inline const char *bfm_plan_function(const BfmPlan *plan, int function) { return bfm_plan_text(plan, ((const uint32_t *)bfm_plan_at(plan, plan->functions))[function]); }

#endif
