/* A compiled program as data: which kernels run, in which order, on which buffers. One block of bytes without pointers, so that it can be
   written to a file, placed in a shared object, or made in memory for the JIT; all that needs relocation is the table of functions beside it.
   Every reference is a number: a position in one of the sections below. `Dim slots` are positions in `dims`, whose values are computed from the
   run-time symbols when a batch and a length are bound. */
#ifndef BFM_PLAN_H
#define BFM_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bfm/counts.h"
#include "bfm/elem.h"

#define BFM_PLAN_MAGIC "bfmplan"

enum { BFM_PLAN_VERSION = 6 };

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
#define BFM_KERNEL(name, record, kept, run, word, shown, listed, share, from) BFM_KERNEL_##name,
#include "bfm/kernels.def"
    BFM_KERNEL_KINDS
} BfmKernelKind;

typedef enum { BFM_FILL_NONE, BFM_FILL_ZERO, BFM_FILL_LOW, BFM_FILL_HIGH, BFM_FILL_NO_INDEX } BfmFill; /* nothing, 0, -inf, +inf, int32_t -1 */

typedef struct BfmPlanKernel {
    uint32_t label; /* text: what it computes */
    int32_t kind;
    int32_t codes, code_count;     /* MAP: one, a BfmNestFn over `parallel` */
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

/* ---- records in `ints`: bfm/kernels.def says what is in them ------------------------------------------------------------------ */

/* What an axis of a product has strides in. */
enum { BFM_GEMM_A, BFM_GEMM_B, BFM_GEMM_C, BFM_GEMM_A_ROWS, BFM_GEMM_B_ROWS, BFM_GEMM_OPERANDS };

typedef enum {
    BFM_GEMM_PLAIN,
    BFM_GEMM_BY_KEY,   /* grouped: row perm[r] of C = row perm[r] of A times B of the key, perm sorted by key */
    BFM_GEMM_INTO_KEY, /* segmented: C of the key = sum over its perm[r] of (row perm[r] of A)^T (row perm[r] of B) */
} BfmGemmForm;
enum { BFM_GEMM_FORMS = BFM_GEMM_INTO_KEY + 1 };

typedef enum { BFM_BAND_NONE, BFM_BAND_K_BY_M, BFM_BAND_K_BY_N, BFM_BAND_N_BY_M } BfmBand; /* N_BY_M: along n, by the place in m */
enum { BFM_BANDS = BFM_BAND_N_BY_M + 1 };

typedef enum {
#define SCALAR(name, text, arity, flops, value, use, code, eval, da, db, dc) BFM_SCALAR_##name,
#include "bfm/scalars.def"
#undef SCALAR
    BFM_SCALAR_KINDS
} BfmScalarKind;

typedef enum { BFM_TILE_RAW, BFM_TILE_SCORE, BFM_TILE_SCORE_GRAD, BFM_TILE_RAW_GRAD, BFM_TILE_SLOPE } BfmTile; /* SLOPE + number of the slope */
enum { BFM_TILES = BFM_TILE_SLOPE + BFM_STREAM_USES };

/* A generated function of a block: which tiles it reads, and which batch axis each of its outer values is. */
typedef struct BfmPlanTile {
    int32_t code; /* among the kernel's codes, -1 = none */
    int32_t tile_count, tiles[BFM_STREAM_TILES];
    int32_t outer_count, outer[BFM_STREAM_BATCHES];
} BfmPlanTile;

typedef enum { BFM_SINK_OF_RAW, BFM_SINK_OF_SCORE, BFM_SINK_OF_PROBABILITY } BfmSinkSource;
enum { BFM_SINK_SOURCES = BFM_SINK_OF_PROBABILITY + 1 };

/* What is left of rows and columns: nothing, one of them, column - row + rows, or both. */
typedef enum { BFM_TOTAL_NEITHER, BFM_TOTAL_ROWS, BFM_TOTAL_COLUMNS, BFM_TOTAL_DIFFERENCES, BFM_TOTAL_BOTH } BfmTotalAlong;
enum { BFM_TOTALS = BFM_TOTAL_BOTH + 1 };

#define BFM_RECORD(name)                     typedef struct BfmPlan##name {
#define BFM_BUFFER(record, role, field)      int32_t field;
#define BFM_DIM(record, field)               int32_t field;
#define BFM_MAY_DIM(record, field)           int32_t field;
#define BFM_DIMS(record, count, field, most) int32_t count, field[most];
#define BFM_MAY_DIMS(record, field, most)    int32_t field[most];
#define BFM_ENUM(record, type, field, kinds) int32_t field;
#define BFM_FLAG(record, field)              int32_t field;
#define BFM_BITS(record, field)              int32_t field;
#define BFM_REAL(record, field)              float field;
#define BFM_VALUE(record, field)             int32_t field[2];
#define BFM_PART(record, role, type, field)  BfmPlan##type field;
#define BFM_PARTS(record, role, type, count, field, most)                                                                                                                          \
    int32_t count;                                                                                                                                                                 \
    BfmPlan##type field[most];
#define BFM_LIST(record, type, count, field) int32_t count;
#define BFM_EARLIER(record, field, most)     int32_t field[most];
#define BFM_CODE(record, field)              BfmPlanTile field;
#define BFM_END(name)                                                                                                                                                              \
    }                                                                                                                                                                              \
    BfmPlan##name;
#include "bfm/kernels.def"

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
