/* What the files of the scheduler share. */
#ifndef BFM_SCHEDULE_SCHEDULE_INTERNAL_H
#define BFM_SCHEDULE_SCHEDULE_INTERNAL_H

#include "schedule/schedule.h"

#include <stdint.h>

typedef uint64_t IndexSet; /* bit i = position i in Op.indices */

enum { SCHEDULE_INDEX_MAX = 62 };

typedef struct Scheduler {
    Program *program;
    Arena *arena;
    Unit *unit;
    const ScheduleOptions *options;
    Schedule *schedule;
    int *stored; /* operations made by operand_store, looked through before another is made */
    int stored_count, stored_capacity;
    int late_op, late_count; /* conditions on the result of this operation that another one applies: what they leave out is not needed */
    const Affine *late;
    Order *orders; /* made so far: one per tensor of keys */
    int order_count, order_capacity;
} Scheduler;

static inline IndexSet index_bit(int index) { return (IndexSet)1 << index; }
static inline bool index_in(IndexSet set, int index) { return (set >> index & 1) != 0; }

/* schedule.c */
int step_add(Scheduler *scheduler, Step step); /* returns its position */
__attribute__((format(printf, 4, 5))) void step_note(Scheduler *scheduler, int tensor, bool slow, const char *format, ...);
void schedule_map(Scheduler *scheduler, int op, const char *reason);
void schedule_op(Scheduler *scheduler, int op); /* chooses by structure; knows no groups */
Dim op_points(Program *program, const Op *op);
Dim tensor_dim(Program *program, const Tensor *tensor); /* number of elements */
IndexSet expr_indices(const Op *op, int expr);
IndexSet affine_indices(Affine affine);
IndexSet access_indices_used(const Access *access);
double dim_nominal(Dim dim); /* its value for a usual batch and length: to compare sizes */
Symbol tensor_label(Scheduler *scheduler, int tensor, const char *suffix);

/* schedule_operand.c */
typedef struct Factor {
    int expr;
    bool inverse; /* 1 / expr */
    IndexSet indices;
} Factor;

enum { FACTOR_MAX = 12 };

/* The body of a sum as alpha * product of factors. */
typedef struct Product {
    int op;
    double alpha;
    int count;
    Factor factors[FACTOR_MAX];
} Product;

/* One side of a contraction in memory: element = base + sum stride[i] * index i. */
typedef struct Operand {
    int tensor;
    Dim base;                       /* NULL = 0 */
    Dim stride[SCHEDULE_INDEX_MAX]; /* NULL = 0 */
    int rows;                       /* tensor of row numbers; -1 = none: the stride of each index in `gathered` is 0, its place row number * row */
    Dim row;
    IndexSet gathered;
    Dim rows_stride[SCHEDULE_INDEX_MAX];
    bool stored; /* made for this purpose */
} Operand;

/* What of an operation's product and domain makes up one side. */
typedef struct Side {
    unsigned factors;       /* bits: positions in Product.factors */
    IndexSet indices;       /* that its factors depend on */
    uint64_t conds, guards; /* bits: positions in Op.conds and Op.guards that this side answers for */
} Side;

bool product_of(const Scheduler *scheduler, int op, Product *product);
/* Where the access lies in memory if all its subscripts are affine and proved to be inside; subscript `skip` (-1: none) is left out. */
bool access_strides(Scheduler *scheduler, const Op *op, const Access *access, int skip, Operand *operand);
Dim access_step(Scheduler *scheduler, const Access *access, int sub); /* elements from one value of the subscript to the next */
/* The side as it lies in memory, or false: it has to be stored first. */
bool operand_plain(Scheduler *scheduler, const Product *product, const Side *side, Operand *operand);
/* The side as rows of a tensor picked by a table of row numbers over the indices `over`, those of `inner` innermost, or false. Domain that concerns
   `over` alone is put into the table. */
bool operand_gather(Scheduler *scheduler, const Product *product, const Side *side, IndexSet over, IndexSet inner, Operand *operand);
/* Stores the side under `indices` (a superset of its own), in the order of its largest read or in the order given; equal ones are stored once. */
Operand operand_store(Scheduler *scheduler, const Product *product, const Side *side, IndexSet indices, const int *order, const char *why);
/* The integer tensor behind `read` as a tensor under exactly the indices it depends on, row-major in their order; itself if it is one already. */
int keys_store(Scheduler *scheduler, int op, const Access *read);

/* The recognisers of bfm/kernels.def: true if they made steps for the operation, or for all of the group. */
#define BFM_KERNEL(name, record, kept, run, word, shown, listed, share, from) FROM_##from
#define FROM_OPERATION(what)                                                  bool schedule_##what(Scheduler *scheduler, int op);
#define FROM_GROUP(what)                                                      bool schedule_##what(Scheduler *scheduler, int group);
#define FROM_ANOTHER
#include "bfm/kernels.def"
#undef FROM_OPERATION
#undef FROM_GROUP
#undef FROM_ANOTHER

/* schedule_product.c */
IndexSet factors_indices(const Product *product, unsigned factors); /* of the factors whose bits are set */
bool out_covers(Scheduler *scheduler, const Op *op);                /* the subscripts of the output reach every element of the tensor */

/* Indices of one class, joined where they lie one inside the other in every operand. */
typedef struct AxisList {
    int count;
    struct {
        GemmAxis axis;
        IndexSet set;
        bool gathered; /* over the row numbers of A or B */
    } items[SCHEDULE_INDEX_MAX];
} AxisList;
void axes_of(Scheduler *scheduler, const Op *op, IndexSet set, const Operand *a, const Operand *b, const Operand *c, AxisList *list);
/* schedule_band.c: the band that the operation's conditions leave of the axes made of these indices. */
GemmBand gemm_band(const Scheduler *scheduler, int op, IndexSet m, IndexSet n, IndexSet k);
/* All indices, those of `first` outermost, then `second`, then `third`. */
void order_of_sets(const Op *op, IndexSet first, IndexSet second, IndexSet third, int *order);

/* schedule_accumulate.c: sums of products lose their own steps */
void schedule_accumulate(Scheduler *scheduler);

#endif
