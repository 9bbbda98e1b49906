/* The canonical form of a kernel: an operation with its tensors as buffer positions and its dimensions as slots, unreachable expressions
   dropped. It owns all it needs, so that it outlives the unit. Two operations with equal signatures are the same function. */
#ifndef BFM_CODEGEN_FORM_H
#define BFM_CODEGEN_FORM_H

#include "codegen/codegen.h"

enum { SLOT_CONST = -1, SLOT_LD = -2 };
enum { BUFFER_DRAW = -1, BUFFER_TILE = -2 };

/* A dimension: a constant if it is small enough to matter to the code, else dims[slot] of the call, or a tile's leading dimension. */
typedef struct DimRef {
    int slot;
    int64_t value;
} DimRef;

typedef struct FormTerm {
    int index;
    DimRef coef;
} FormTerm;

typedef struct FormAffine {
    DimRef base;
    int count;
    FormTerm *terms;
} FormAffine;

typedef struct FormSub {
    FormAffine affine;
    int read;      /* >= 0: the value of that access, an integer, instead of the affine form */
    DimRef stride; /* elements from one value of the subscript to the next */
    DimRef extent; /* of the axes covered; set if read >= 0 or checked */
    bool checked;  /* the affine form does not evidently stay inside */
    bool whole;    /* a bare index that runs over all of the axes covered */
} FormSub;

typedef struct FormAccess {
    int buffer; /* position in buffers[]; BUFFER_DRAW: only an index; BUFFER_TILE: tiles[tile] */
    int tile;
    ElemType type;
    bool subscript; /* its value is used as a subscript: points where it is none are not in the domain */
    int count;
    FormSub *subs;
} FormAccess;

typedef struct FormExpr {
    ExprKind kind;
    int arg[3];
    double value; /* CONST */
    DimRef dim;   /* DIM */
    int index;    /* POS */
    int access;   /* READ, DRAW */
    int draw;     /* DRAW: position of its key */
} FormExpr;

typedef enum { FORM_NEST, FORM_RECUR, FORM_SCORES, FORM_TILE, FORM_RANGE } FormKind;

/* How the operation is run. */
typedef enum {
    MODE_MAP,     /* every point writes its own element: all indices parallel */
    MODE_REDUCE,  /* every output element sums over the other indices */
    MODE_SCATTER, /* points add into memory, in order; only indices that separate elements are parallel */
    MODE_SCAN,    /* a recurrence */
} FormMode;

typedef struct KernelForm {
    FormKind kind;
    FormMode mode;
    Reducer reducer;
    int index_count;
    DimRef *extents;
    int cond_count;
    FormAffine *conds;
    int guard_count;
    int *guards;
    int expr_count;
    FormExpr *exprs;
    int access_count;
    FormAccess *accesses; /* a subscript's access stands before its user */
    int body, body2;
    int out, init; /* accesses; init: -1 = none */
    ElemType out_type;
    DimRef bound; /* of an integer result */
    BfmFill fill;
    bool reverse, exclusive;
    bool keeps;   /* a SET that extends a tensor: elements outside the domain are not touched */
    int row, col; /* tiles, ranges */
    double outside;

    int vector;                    /* the index that lanes run over; -1 = none */
    int parallel_count, *parallel; /* the vector index last, if it is among them */
    int inner_count, *inner;       /* the other loops, outermost first; the vector index last, if it is among them */

    int buffer_count, *tensors;
    int slot_count;
    Dim *dims;
    int draw_count;
    Symbol *draw_tags;
} KernelForm;

KernelForm *form_new(Arena *arena, const Unit *unit, const Op *op, FormKind kind, int row, int col, int tile_count, const int *tile_tensors, double outside);
/* Chooses mode, vector index and order of loops (loops.c). */
void form_plan(KernelForm *form, int width);
/* Everything but names and dimensions, as text. */
void form_signature(const KernelForm *form, Str *out);

/* The expression, access or condition depends on the index. */
bool affine_uses(const FormAffine *affine, int index);
bool access_uses(const KernelForm *form, int access, int index);
static inline bool dim_ref_is(DimRef ref, int64_t value) { return ref.slot == SLOT_CONST && ref.value == value; }

/* Elements from lane to lane of an access along an index. */
typedef enum { STRIDE_ZERO, STRIDE_UNIT, STRIDE_BACK, STRIDE_AFFINE, STRIDE_DATA } StrideKind; /* BACK: -1 */
StrideKind access_stride(const KernelForm *form, int access, int index);

#endif
