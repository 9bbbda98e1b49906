/* From a flat unit to steps: which operation runs as which kernel, and what must be stored between them.
   requires   a unit without calls (ir/flatten.h), verified
   gives      steps in order; the unit is extended in place by tensors and operations that the steps need (stored operands of contractions, row
              numbers, scores), which `unit->ops` holds behind the original ones: the steps give the order, not the unit
   preserves  every output's value; sums of contractions are taken in the order of the product kernels */
#ifndef BFM_SCHEDULE_SCHEDULE_H
#define BFM_SCHEDULE_SCHEDULE_H

#include "bfm/plan.h"
#include "ir/ir.h"
#include "schedule/records.h"
#include "support/str.h"

typedef struct ScheduleOptions {
    bool ungrouped;   /* every operation by itself through generated code: the oracle of everything below */
    bool no_products; /* contractions as generated nests */
    bool no_streams;  /* streams member by member */
} ScheduleOptions;

/* A generated tile function of a stream: operation of the unit, its row and column index, the tensors that it reads from tiles and which tiles those are. */
typedef struct StreamTile {
    int op;      /* -1 = none */
    bool bounds; /* not its values: which columns a block of rows has points in */
    int row, col;
    int tile_count;
    int tensors[BFM_STREAM_TILES], tiles[BFM_STREAM_TILES];
    double outside;
    const int *batch_of; /* per index of the operation: its batch axis, -1 for row and column */
} StreamTile;

/* Gemm, Order, Top, Scalar, Stream: the records of bfm/kernels.def, with tensors and dimensions. */
/* clang-format off */
#define BFM_RECORD(name)                                  typedef struct name {
#define BFM_BUFFER(record, role, field)                   int field;
#define BFM_DIM(record, field)                            Dim field;
#define BFM_MAY_DIM(record, field)                        Dim field;
#define BFM_DIMS(record, count, field, most)              int count; Dim field[most];
#define BFM_MAY_DIMS(record, field, most)                 Dim field[most];
#define BFM_ENUM(record, type, field, kinds)              type field;
#define BFM_FLAG(record, field)                           bool field;
#define BFM_BITS(record, field)                           unsigned field;
#define BFM_REAL(record, field)                           double field;
#define BFM_VALUE(record, field)                          double field;
#define BFM_PART(record, role, type, field)               type field;
#define BFM_PARTS(record, role, type, count, field, most) int count; type field[most];
#define BFM_LIST(record, type, count, field)              int count; type *field;
#define BFM_EARLIER(record, field, most)                  int field[most];
#define BFM_CODE(record, field)                           StreamTile field;
#define BFM_END(name)                                     } name;
#include "bfm/kernels.def"
/* clang-format on */

typedef struct Step {
    BfmKernelKind kind;
    int op;             /* MAP, SCALAR: the operation, of a ranking: what it compares; TOP: the ranking; -1 otherwise */
    int out;            /* MAP, SCALAR: the tensor that it makes */
    const char *reason; /* for people: why this kernel */
    void *record;       /* of its kind; MAP: NULL */
    bool clear;         /* the first tensor that it writes is not covered: zero first */
    Dim flops, bytes;   /* estimates */
} Step;

/* Its reads are those of its operation; what other steps touch is in their records. */
static inline bool step_is_operation(const Step *step) { return step->kind == BFM_KERNEL_MAP || step->kind == BFM_KERNEL_SCALAR; }

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

/* Tensors that a step reads, each once, and writes. */
typedef void (*StepVisitor)(void *user, int tensor, bool write);
void step_visit(const Schedule *schedule, const Step *step, StepVisitor visit, void *user);

bool step_is_scores(const Schedule *schedule, const Step *step); /* the first part of a ranking */
/* For people: elementwise, reduction, recurrence, scores, ranking, product, batched product, product by key, product into keys, sort by key, stream, stream backward. */
const char *step_kind(const Schedule *schedule, const Step *step);
/* Points of the operation's box and elements of all that the step touches, at these sizes. Many more points than elements: a product, or it should be one. */
double step_points(const Schedule *schedule, const Step *step, const DimEnv *env);
double step_elements(const Schedule *schedule, const Step *step, const DimEnv *env);

void schedule_print(const Schedule *schedule, Str *out);                      /* show --emit=schedule */
void schedule_explain(const Schedule *schedule, const DimEnv *env, Str *out); /* check --explain-schedule: what is stored, bytes, why */

#endif
