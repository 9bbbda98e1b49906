/* From a flat unit to steps: which operation runs as which kernel, and what must be stored between them.
   requires   a unit without calls (ir/flatten.h), verified
   gives      steps in order; the unit is extended in place by tensors and operations that the steps need (stored operands of contractions, row
              numbers, scores), which `unit->ops` holds behind the original ones: the steps give the order, not the unit
   preserves  every output's value; sums of contractions are taken in the order of the product kernels */
#ifndef BFM_SCHEDULE_SCHEDULE_H
#define BFM_SCHEDULE_SCHEDULE_H

#include "ir/ir.h"
#include "support/str.h"

typedef struct ScheduleOptions {
    bool ungrouped;   /* every operation by itself through generated code: the oracle of everything below */
    bool no_products; /* contractions as generated nests */
    bool no_streams;  /* streams member by member */
} ScheduleOptions;

typedef enum { STEP_MAP, STEP_SCORES, STEP_TOP, STEP_GEMM, STEP_ORDER, STEP_STREAM, STEP_STREAM_GRAD } StepKind;

enum { GEMM_BATCHES = 4 };

/* Extent of one axis of a product and its strides, in elements, in A, B, C, the row numbers of A and those of B; NULL = stride 0. */
enum { GEMM_A, GEMM_B, GEMM_C, GEMM_A_ROWS, GEMM_B_ROWS, GEMM_OPERANDS };
typedef struct GemmAxis {
    Dim extent;
    Dim stride[GEMM_OPERANDS];
} GemmAxis;

typedef enum { GEMM_PLAIN, GEMM_BY_KEY, GEMM_INTO_KEY } GemmForm;

/* A triangle or a band: at x of axis `across` (m or n) only places y of axis `along` (k, or n where across is m) with x - behind <= y <= x + ahead count;
   elsewhere terms are 0 (k), or elements of the result are not needed (n). */
typedef enum { GEMM_NO_BAND, GEMM_K_BY_M, GEMM_K_BY_N, GEMM_N_BY_M } GemmBandAxes;
typedef struct GemmBand {
    GemmBandAxes axes;
    Dim ahead, behind; /* NULL: no bound */
} GemmBand;

/* C[batch, m, n] = (addend +) or += alpha * sum over k of A[batch, m, k] * B[batch, k, n]; forms as in bfm/plan.h */
typedef struct GemmStep {
    GemmForm form;
    int a, b, c;                /* tensors */
    Dim a_base, b_base, c_base; /* NULL = 0 */
    GemmAxis m, n, k;
    int batch_count;
    GemmAxis batch[GEMM_BATCHES];
    double alpha;
    GemmBand band; /* PLAIN, without row numbers */
    bool accumulate;
    int addend;         /* tensor of C's shape that the product is added to, -1: none; PLAIN, without accumulate and clear */
    bool clear;         /* C is not covered: zero first */
    int a_rows, b_rows; /* tensors of row numbers, -1: element of A at row number * a_row, of B at row number * b_row */
    Dim a_row, b_row;
    bool a_rows_on_k;  /* the row numbers of A run along k (those of B always do), else along m */
    int perm, offsets; /* tensors, -1 */
    Dim key_count, key_stride;
} GemmStep;

typedef struct OrderStep {
    int keys, perm, offsets;
    Dim count, key_count;
} OrderStep;

typedef struct TopStep {
    int values, out;
    Dim outer, n, k;
} TopStep;

typedef struct StreamStep StreamStep; /* schedule/stream.h */

typedef struct Step {
    StepKind kind;
    int op;             /* MAP: the operation; SCORES, TOP: the OP_TOP; -1 otherwise */
    const char *reason; /* for people: why this kernel */
    GemmStep *gemm;
    OrderStep *order;
    TopStep *top; /* SCORES, TOP */
    StreamStep *stream;
    Dim flops, bytes; /* estimates */
} Step;

/* What was stored though the program does not ask for it, or ran slower than its structure allows. */
typedef struct StepNote {
    int tensor; /* stored, or what it is about; -1 */
    bool slow;  /* worth a look */
    const char *text;
} StepNote;

typedef struct Schedule {
    Unit *unit;
    int step_count, step_capacity;
    Step *steps;
    int note_count, note_capacity;
    StepNote *notes;
} Schedule;

Schedule *schedule_unit(Program *program, Unit *flat, const ScheduleOptions *options);

/* Tensors that a step reads and writes, each once. */
typedef void (*StepVisitor)(void *user, int tensor, bool write);
void step_visit(const Schedule *schedule, const Step *step, StepVisitor visit, void *user);

/* For people: elementwise, reduction, recurrence, scores, ranking, product, batched product, product by key, product into keys, sort by key, stream, stream backward. */
const char *step_kind(const Schedule *schedule, const Step *step);
/* Points of the operation's box and elements of all that the step touches, at these sizes. Many more points than elements: a product, or it should be one. */
double step_points(const Schedule *schedule, const Step *step, const DimEnv *env);
double step_elements(const Schedule *schedule, const Step *step, const DimEnv *env);

void schedule_print(const Schedule *schedule, Str *out);                      /* show --emit=schedule */
void schedule_explain(const Schedule *schedule, const DimEnv *env, Str *out); /* check --explain-schedule: what is stored, bytes, why */

#endif
