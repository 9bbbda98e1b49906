/* Tensor IR: typed tensors defined once each by one of a handful of operations over index spaces. Semantics, in full:

   A Program holds Units; a Unit is a list of operations in dependency order over its own tensors. Formals (inputs, parameters, states)
   are bound by the caller; outputs name the tensors that leave the unit.

   Storage. A tensor is dense and row-major over `extent[rank]`. Compound axes of the language are separate adjacent axes here. T_INT holds
   0 … bound-1 or `none` (stored -1); T_REAL holds numbers. A T_INT read as a value gives that number, or NaN for none.

   Access = tensor + subscripts. A subscript covers `span` >= 1 adjacent axes taken together, row-major (so an index into a compound axis
   addresses all its parts at once). It is affine, base + sum coef*index, or the value of an integer tensor (`read`).

   Index space D of an operation: box 0 <= i < extent for each index, in lexicographic order of the `indices` array, cut by affine conditions
   (each >= 0) and by guards (expression != 0), and without every point at which a subscript used anywhere in the operation (body, guards, output)
   is `none`. Affine subscripts must lie inside their axes on the box cut by the conditions.

   OP_NEST    out[α(p)] ⊕= body(p) for p in D. ⊕ SET: α is injective on D; where nothing is written a T_REAL holds no value (the interpreter puts a
              NaN there, kernels put 0) and a T_INT holds none, unless `init` names a tensor of the same shape, whose elements then stay (a state
              that is extended in place). SUM: total, 0 where no point writes; MAX -inf, MIN +inf, LSE -inf (log-sum-exp).
              Sums are taken in lexicographic order of D.
              Body of a T_INT: rounded to an integer; NaN or outside 0 … bound-1 gives none.
   OP_RECUR   H[a] = A(a)*H[prev] + B(a) along the indices `scan` (lexicographic, outermost first), for every value of the others; `body` is B,
              `body2` is A (-1: the constant 1). Before the first point H is `init` (an Access over the non-scan indices; tensor < 0: 0). Points outside D leave H as it is.
              reverse: from the last point to the first. exclusive: what is stored at a is H before a's own update. out: total on the box; the output subscripts are
              the bare indices, each once.
   OP_TOP     out[outer…, k] = flat position, over the reduced indices (the last `reduced` ones of `indices`, row-major), of the k-th largest body; ties to the
              lowest position, NaN last, padded with none. Output subscripts: outer indices as in `out` followed by the k axis (extent `top_k`), which has no subscript in `out`.
   OP_CALL    results of `callee`, whose formals are bound to `args` and whose outputs to `results` (tensor ids, -1 = not wanted), in order.

   Determinism: DRAW is Philox keyed by (seed; hash of the path of calls and the tag, step, logical index): a function of its arguments only. */
#ifndef BFM_IR_IR_H
#define BFM_IR_IR_H

#include "bfm/counts.h"
#include "ir/dim.h"
#include "support/arena.h"
#include "support/diag.h"
#include "support/intern.h"

typedef enum { T_REAL, T_INT } ElemType;

typedef enum {
    TENSOR_LOCAL, /* defined by an operation */
    TENSOR_INPUT, /* formal: activation, ambient input, adjoint or saved tensor */
    TENSOR_PARAM, /* formal: parameter */
    TENSOR_STATE, /* formal: old value of a state */
} TensorRole;

typedef struct Tensor {
    Symbol name; /* for people: y, w_in, router.w */
    ElemType type;
    TensorRole role;
    int rank;
    Dim *extent; /* [rank] */
    Dim bound;   /* T_INT: values < bound; NULL for T_REAL */
    int def;     /* the operation that defines it, -1 for formals; kept by unit_finish */
    Span span;   /* in the .bfm text */
} Tensor;

typedef struct Term {
    int index; /* position in Op.indices */
    Dim coef;  /* never 0 */
} Term;

/* base + sum coef*index; terms sorted by index. */
typedef struct Affine {
    Dim base;
    int count;
    Term *terms;
} Affine;

typedef struct Access Access;

typedef struct Sub {
    int span;      /* adjacent axes of the tensor covered, >= 1 */
    Affine affine; /* used if read is NULL */
    Access *read;  /* an integer tensor's value */
} Sub;

struct Access {
    int tensor; /* id in the unit; -1 = absent */
    int count;  /* subscripts; their spans add up to the rank */
    Sub *subs;
};

typedef enum {
#define SCALAR(name, text, arity, flops, value, use, code, eval, da, db, dc) EXPR_##name,
#include "bfm/scalars.def"
#undef SCALAR
    EXPR_COUNT
} ExprKind;

/* Expressions of an operation form a DAG in `exprs`, operands before users; equal nodes are shared (expr builders hash-cons). */
typedef struct Expr {
    ExprKind kind;
    int arg[3];       /* operand expression ids */
    double value;     /* CONST */
    Dim dim;          /* DIM */
    int index;        /* POS */
    Access access;    /* READ; DRAW: tensor -1, the subscripts are its logical index (spans 1) */
    Symbol tag;       /* DRAW: its tag */
    Dim *draw_extent; /* DRAW: extent of each subscript's axis, so that the logical index is row-major */
} Expr;

typedef struct Index {
    Symbol name;
    Dim extent;
} Index;

typedef enum { OP_NEST, OP_RECUR, OP_TOP, OP_CALL } OpKind;
typedef enum { REDUCE_SET, REDUCE_SUM, REDUCE_MAX, REDUCE_MIN, REDUCE_LSE } Reducer;

typedef struct Unit Unit;

typedef struct Op {
    OpKind kind;
    Reducer reducer; /* OP_NEST */
    int index_count;
    Index *indices;
    int cond_count;
    Affine *conds; /* each >= 0 */
    int guard_count;
    int *guards; /* expression ids */
    int expr_count;
    Expr *exprs;
    int body, body2; /* expression ids; body2: A of a recurrence or -1 */
    Access out;
    int scan_count;
    int *scan;               /* OP_RECUR: indices, outermost first */
    bool reverse, exclusive; /* OP_RECUR */
    Access init;             /* OP_RECUR; OP_NEST SET: only its tensor counts */
    int reduced;             /* OP_TOP: how many of the last indices are ranked */
    Dim top_k;               /* OP_TOP */
    Unit *callee;            /* OP_CALL */
    int arg_count;
    int *args;
    int result_count;
    int *results;
    Symbol path; /* OP_CALL: label of the instance; the key of a draw is the path of its calls, joined by '.', and its tag */
    int group;   /* 0 = none, else groups[group - 1] of the unit */
    Span span;
} Op;

/* An annotation over operations; its meaning is its members', in order. The members are adjacent in the unit. Roles are operation ids (-1 = absent). */
typedef enum { GROUP_STREAM, GROUP_STREAM_GRAD } GroupKind;

/* STREAM:      raw[…,i,j] sum= Q[…,i,e]*K[…,j,e];  score[…,i,j] = f(raw, …);  lse[…,i] lse= score;  uses: O[…,i,c] sum= exp(score - lse) * V[…,j,c];
                picks: pick[…,i] = score at one j given by an integer tensor.
   STREAM_GRAD: raw and score again; score_grad[…,i,j] = exp(score - lse)*(sum of O-adjoint·V + row term) + what the picks send back; raw_grad from it through f;
                then the linear members: Q-, K-, V-adjoints and adjoints of what else f reads. */
typedef struct Group {
    GroupKind kind;
    int raw, score, lse; /* operation ids */
    int use_count;
    int uses[BFM_STREAM_USES];
    int pick_count;
    int picks[BFM_STREAM_USES];
    int score_grad, raw_grad; /* STREAM_GRAD */
    int dprob_count;
    int dprobs[BFM_STREAM_USES]; /* STREAM_GRAD: dP[…,i,j] sum= O-adjoint * V, one per use */
    int sink_count;
    int sinks[BFM_STREAM_SINKS]; /* STREAM_GRAD: members that reduce raw_grad, score_grad or the probabilities into results */
} Group;

typedef enum { OUTPUT_RESULT, OUTPUT_LOSS, OUTPUT_METRIC, OUTPUT_NEXT, OUTPUT_SAVED, OUTPUT_GRAD } OutputKind;
typedef enum { MERGE_NONE, MERGE_MEAN, MERGE_SUM, MERGE_MAX } Merge;

typedef struct Output {
    Symbol name; /* RESULT: y, logits; LOSS, METRIC: their names; NEXT: the state; SAVED: the tensor; GRAD: the formal */
    OutputKind kind;
    Merge merge; /* METRIC */
    int tensor;
    int formal; /* NEXT, GRAD: which formal (position in Unit.formals), else -1 */
} Output;

typedef struct Program Program;

struct Unit {
    Program *program;
    Symbol name;
    int position; /* where it stood among the units of its program when that was last put in order: a hint for look-ups */
    int tensor_count;
    Tensor *tensors;
    int op_count;
    Op *ops;
    int formal_count;
    int *formals; /* tensor ids, in the order that callers bind them */
    int output_count;
    Output *outputs;
    int group_count;
    Group *groups;
    int tensor_capacity, op_capacity, formal_capacity, output_capacity, group_capacity; /* growth inside the arena */
};

/* Initial value of a parameter or state: normal(mean, std) draws keyed by path and row-major element, or a nest evaluated once. */
typedef struct Init {
    bool normal;
    double mean, std;
    Unit *value; /* otherwise: a unit without formals whose single RESULT is the initial tensor */
} Init;

/* How definitions use a parameter, whatever its name (ir/roles.h). */
typedef enum {
    ROLE_MATRIX, /* a factor of products that are summed over an axis of its own */
    ROLE_TABLE,  /* looked up by an integer, outside such products */
    ROLE_VECTOR, /* neither: gains, biases, scalars, initial states */
    ROLE_KINDS
} ParamRole;

/* A formal of the main unit: what the runtime binds. */
typedef struct Binding {
    Symbol path; /* "brainformer_1_0[2].moe_1.router.w"; "tokens", "targets", "segment", "step" */
    TensorRole role;
    ParamRole use; /* PARAM */
    Init init;     /* PARAM, STATE */
    int plain_rank;
    int64_t plain_extent[8]; /* PARAM, STATE: the shape shown and stored, compound axes flattened */
} Binding;

/* What the run-time sizes must satisfy (ir/needs.h). */
typedef struct SizeNeed {
    Dim value;        /* >= 0 */
    Dim whole;        /* value is floor(whole) - ceil(whole): this must be a whole number; NULL otherwise */
    const char *text; /* where, and what must hold: "m.bfm:4: the length must be a multiple of 4" */
} SizeNeed;

struct Program {
    Arena *arena;
    Interner *interner;
    DimTable *dims;
    int unit_count, unit_capacity;
    Unit **units; /* callees before callers */
    Unit *main;
    int64_t most[DIM_SYMBOLS]; /* what the program takes for granted of a run-time symbol: the largest value it may have; 0: any */
    int need_count, need_capacity;
    SizeNeed *needs;
    Binding *bindings;       /* parallel to main->formals, filled by lowering */
    struct PassWatch *watch; /* looks on while passes run (opt/passes.h); NULL: nobody */
};

/* ---- building ------------------------------------------------------------------------------------------------------------- */

Program *program_new(Arena *arena, Interner *interner);
Unit *unit_new(Program *program, Symbol name);
int unit_tensor(Unit *unit, Symbol name, ElemType type, TensorRole role, int rank, const Dim *extent, Dim bound); /* copies extent; returns the id */
int unit_formal(Unit *unit, Symbol name, ElemType type, TensorRole role, int rank, const Dim *extent, Dim bound); /* also appended to formals */
int unit_output(Unit *unit, Symbol name, OutputKind kind, int tensor);                                            /* returns its position */
void program_need(Program *program, SizeNeed need);                                                               /* appends to needs */
int unit_group(Unit *unit, Group group);                                                                          /* returns its number, from 1 */

/* An operation under construction: indices, conditions and expressions are added, then op_finish appends it to the unit. */
typedef struct OpBuilder {
    Unit *unit;
    Op op;
    int index_capacity, cond_capacity, guard_capacity, expr_capacity;
    int *slots, slot_count; /* hash table of expressions, by id + 1 */
} OpBuilder;

OpBuilder op_begin(Unit *unit, OpKind kind);
int op_index(OpBuilder *builder, Symbol name, Dim extent);
void op_cond(OpBuilder *builder, Affine affine); /* a constant condition that holds is dropped */
void op_guard(OpBuilder *builder, int expr);     /* a constant that is true is dropped; AND is split */
int expr_const(OpBuilder *builder, double value);
int expr_dim(OpBuilder *builder, Dim dim);
int expr_pos(OpBuilder *builder, int index);
int expr_read(OpBuilder *builder, Access access);
int expr_draw(OpBuilder *builder, Symbol tag, int count, const Affine *subs, const Dim *extents);
int expr_op(OpBuilder *builder, ExprKind kind, int a, int b, int c); /* folds constants and identities (x*1, x+0, select of a constant …) */
/* Adds the expression as it is: shared with an equal one, but never folded. */
int expr_raw(OpBuilder *builder, Expr expr);
/* Copies expression `id` of another operation; index i becomes index_map[i], a tensor becomes tensor_map[t] (NULL = the same). memo[expr_count] starts at -1. */
int expr_copy(OpBuilder *builder, const Op *from, int id, const int *index_map, const int *tensor_map, int *memo);
void op_live(const Op *op, bool *live);       /* live[expr_count]: reachable from body, body2, guards */
void op_drop_unreachable(OpBuilder *builder); /* expressions that are steps of building only; op_finish does it too */
int op_finish(OpBuilder *builder);            /* returns the operation's position in the unit; sets the defined tensor's def */

Affine affine_const(Program *program, Dim base);
Affine affine_index(Program *program, int index);
Affine affine_add(Program *program, Affine a, Affine b);
Affine affine_sub(Program *program, Affine a, Affine b);
Affine affine_scale(Program *program, Affine a, Dim factor);
bool affine_is_const(Affine a, Dim *base);
bool affine_is_index(Affine a, int *index); /* exactly 1*index + 0 */
bool affine_equal(Affine a, Affine b);
/* Each index i becomes the affine by[i]. */
Affine affine_substitute(Program *program, Affine a, const Affine *by);

Access access_new(Program *program, int tensor, int count);                         /* subscripts zeroed with span 1 */
Access access_indices(Program *program, int tensor, int count, const int *indices); /* bare subscripts, span 1 */
/* A copy: index i becomes index_map[i], tensor t becomes tensor_map[t]; either map may be NULL = the same. */
Affine affine_map(Program *program, Affine affine, const int *index_map);
Access access_map(Program *program, const Access *access, const int *index_map, const int *tensor_map);
Sub sub_affine(Affine affine, int span);
Sub sub_index(Program *program, int index);
Sub sub_read(Program *program, Access read, int span);
bool access_equal(const Access *a, const Access *b);
Dim access_extent(const Unit *unit, const Access *access, int sub); /* product of the extents that subscript covers */

bool expr_is_const(const Op *op, int id, double *value);
bool op_uses_index(const Op *op, int expr, int index); /* the expression's value depends on the index */
const char *scalar_name(ExprKind kind);
int scalar_arity(ExprKind kind);
double scalar_flops(ExprKind kind);
double scalar_eval(ExprKind kind, double a, double b, double c);
bool scalar_is_boolean(ExprKind kind);                       /* its value is 0 or 1 */
bool scalar_find_function(const char *name, ExprKind *kind); /* the function that the language calls `name` */
/* The Philox stream of a draw: hash of the labels of the calls that led there, joined by '.' ("" in the main unit), and the tag. */
uint64_t draw_stream(const char *path, Symbol tag);

/* ---- checking, text ------------------------------------------------------------------------------------------------------- */

/* Every rule of the header comment that can be checked without values; returns an explanation in the program's arena, NULL if all holds. */
const char *unit_verify(const Unit *unit);
const char *program_verify(const Program *program);
/* Stops with a report of a bug of ours where a rule is broken: between passes, and before anything runs. `after` names what made the program. */
void unit_expect(const Unit *unit, const char *after);
void program_expect(const Program *program, const char *after);
void unit_print(const Unit *unit, Str *out);
void program_print(const Program *program, Str *out);
/* Reads what program_print writes. NULL and a message with line on bad text. */
Program *program_read(Arena *arena, Interner *interner, const char *text, const char **message);
uint64_t op_hash(const Unit *unit, const Op *op); /* structure, with tensors by type and shape, not identity; stable across runs */
uint64_t program_hash(const Program *program);

#endif
