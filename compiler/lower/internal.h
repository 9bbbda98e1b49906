/* What the files of this folder share. One Lower per program; names are resolved in Scopes; an OpCtx is an operation under construction
   with the language's indices that are bound in it. */
#ifndef BFM_LOWER_INTERNAL_H
#define BFM_LOWER_INTERNAL_H

#include "tree/ast.h"
#include "ir/ir.h"
#include "lower/lower.h"
#include "module/module.h"
#include "support/limits.h"
#include "support/pointer_map.h"
#include "support/vec.h"

/* An axis of the language: its parts (several for a compound axis) and, for an index range that does not begin at 0, its first value. */
typedef struct Axis {
    int parts;
    Dim part[AXIS_PARTS_MAX];
    Dim low; /* NULL = 0 */
} Axis;

/* A tensor of the language: an IR tensor whose storage axes are the parts of `axes`, in order. */
typedef struct LTensor {
    Symbol name;
    int id; /* in the unit */
    bool integer;
    Axis points_into; /* integer */
    int rank;
    Axis axes[TENSOR_AXES_MAX];
    int domain_op; /* the SET operation whose conditions and guards say where it exists; -1: everywhere */
    bool packed;   /* an optimiser's: storage has a leading axis over the elements or matrices that the form is mapped over */
    int previous;  /* recurrence: the tensor of values one step before, -1 */
    int scan_axis; /* recurrence: the axis it runs along, -1 */
    Span span;
} LTensor;

/* Where the items of a long list are, by kind and name (find.c). */
typedef struct ListIndex {
    int room;   /* a power of two, at least twice the items */
    int *slots; /* [room]: position of the first item of its kind and name, -1: free */
} ListIndex;

typedef struct Scope Scope;

/* A definition with some of its attributes bound: the value of a higher-order attribute. */
typedef struct DefValue {
    const Node *node; /* DEFINITION, or NULL for a wiring's branch */
    int count;
    struct Binding_ {
        Symbol name;
        struct Val *value;
        Span span;
    } * bound;
    ListIndex index; /* of `bound` by name, where it is long (bound_index) */
    /* A function of tensors that is no definition: what `f` and `norm` of a wiring stand for. */
    struct LTensor *(*apply)(void *context, struct LTensor *argument, Symbol label, Span span);
    void *context;
} DefValue;

typedef enum {
    VAL_POISON, /* an error was reported */
    VAL_NUMBER, /* constant: exact (dim) or not (real) */
    VAL_BOOL,   /* constant */
    VAL_CHOICE, /* constant: one of an attribute's words, `mode` */
    VAL_NONE,
    VAL_DEF,
    VAL_AXIS,  /* the name of an axis of a signature */
    VAL_INDEX, /* integer-valued, affine in the indices of the operation */
    VAL_EXPR,  /* of the operation under construction */
    VAL_TENSOR,
} ValKind;

typedef struct Val {
    ValKind kind;
    Span span;     /* where it was written or set, for messages */
    Dim dim;       /* NUMBER: exact value, may depend on run-time sizes; NULL if only `real` is known */
    double real;   /* NUMBER where dim is NULL */
    bool truth;    /* BOOL */
    Symbol choice; /* CHOICE */
    DefValue *def;
    Axis axis;           /* AXIS; INDEX and integer EXPR: what it points into (parts 0: unknown) */
    Affine affine;       /* INDEX */
    int expr;            /* EXPR */
    bool integer;        /* EXPR: an index or none */
    struct OpCtx *owner; /* INDEX, EXPR: the operation it belongs to */
    LTensor *tensor;
} Val;

typedef struct ScopeEntry {
    Symbol name;
    Val value;
    bool used; /* somebody asked for it */
} ScopeEntry;

struct Scope {
    Scope *parent;
    bool barrier; /* names further out are seen only as required attributes taken by name */
    VEC(ScopeEntry) entries;
    PointerMap numbers; /* by name, the last of each; empty while there are few */
    Scope *next_owned;  /* list of all scopes, to be freed with the Lower */
};

typedef struct IndexBinding {
    Symbol name;
    Axis axis;
    int ids[AXIS_PARTS_MAX];
} IndexBinding;

/* The formals of a unit as its callers see them. */
typedef enum { FORMAL_STREAM, FORMAL_AMBIENT, FORMAL_PARAM, FORMAL_SHARED, FORMAL_STATE } FormalKind;
typedef struct FormalInfo {
    FormalKind kind;
    Symbol name; /* ambient: its name; param, state: path within the unit */
    Init init;
    int plain_rank;
    int64_t plain_extent[8];
    Axis points_into; /* ambient integers */
    Span span;
} FormalInfo;

/* A wired sub-layer, compiled once for equal definitions, attributes and dimensions. */
typedef struct Instance {
    Symbol key;
    Unit *unit;
    VEC(FormalInfo) formals; /* parallel to unit->formals */
    LTensor result;          /* as the caller sees its RESULT (id: tensor of the unit) */
    Symbol result_name;
    bool ok;
} Instance;

/* The unit being elaborated. */
typedef struct UnitCtx {
    Unit *unit;
    Instance *instance;
    int pack; /* optimiser forms: extent symbol of the leading axis, -1 otherwise */
    int operation_count;
    double *operations; /* by tensor: what one element of an element-wise definition takes (bounds.c), 0 of anything else */
} UnitCtx;

typedef struct OpCtx {
    struct Body *body;
    Scope *scope;
    OpBuilder ob;
    struct OpCtx *parent;
    VEC(IndexBinding) indices;
    int pack_index;                 /* IR index over the leading axis of an optimiser's tensors, -1 */
    int first_reduced;              /* language indices from here on are reduced by this operation; -1: none */
    LTensor *recur_tensor;          /* `recur`: the tensor being defined, which may be read one step back */
    const struct Recurrence *recur; /* what its reads are held against (recur.c) */
    int recur_scan;                 /* the axis along which they step back, -1 until one is met */
    int from_parent[64];            /* IR index of the parent -> of this operation, -1 */
} OpCtx;

typedef struct Lower {
    Program *program;
    Arena *arena;
    Interner *interner;
    DimTable *dims;
    Diagnostics *diags;
    const Module *module;
    LowerOptions options;
    Scope *model_scope;
    Scope *scopes;
    VEC(Instance *) instances;
    PointerMap instance_numbers;   /* by key */
    VEC(Requirement) requirements; /* met so far; `line` is set where an instance is made for one */
    Dim context;                   /* the model's, NULL if it has none */
    int depth;
    int temporary; /* numbers of unnamed tensors */
    int expanded;  /* nodes evaluated for the line or declaration at hand */
    int expanded_whole;
    int64_t space_work; /* steps that counting spaces took so far (space/count.c) */
    int statements;     /* elaborated for the line or declaration at hand */
    Span expanding;     /* the outermost call of it that is being written out, where it has a name */
    const char *expanding_name;
    bool too_large;          /* E0701 was reported: nothing more is evaluated */
    PointerMap list_numbers; /* lists of the tree that are indexed, in the order of `lists` */
    VEC(ListIndex) lists;
    PointerMap *fields; /* names that some definition reads from outside, `router.group`; NULL: not looked for yet (unread.c) */
} Lower;

/* The body of one definition being elaborated inside a unit. */
typedef struct Body {
    Lower *lw;
    UnitCtx *uc;
    const Node *node; /* DEFINITION */
    Scope *scope;
    const char *prefix; /* of parameter paths within the unit: "", "norm.", "router." */
    Symbol defining;    /* what the `let` at hand defines */
    bool returned;
    bool initial; /* an initial value: indices and constants only */
    bool failed;  /* a requirement did not hold: the rest is not looked at */
    int result_count;
    LTensor *results[8];
    Symbol result_names[8];
    VEC(Symbol) labels; /* of definitions called so far */
} Body;

/* ---- lists (find.c) ---- */
/* The first item of the kind and name; -1, NULL where there is none. The list may be NULL. */
int list_position(Lower *lw, const Node *list, NodeKind kind, Symbol name);
const Node *list_find(Lower *lw, const Node *list, NodeKind kind, Symbol name);

/* ---- scopes, values (values.c) ---- */
/* Frees what a Lower has outside of its arena. */
void lower_free(Lower *lw);
Scope *scope_new(Lower *lw, Scope *parent);
void scope_set(Scope *scope, Symbol name, Val value);
Val *scope_find(Scope *scope, Symbol name);
Val *scope_find_local(Scope *scope, Symbol name);
const ScopeEntry *scope_entry(const Scope *scope, Symbol name); /* the same without counting as a use; NULL if the scope lacks the name */
Val val_poison(void);
Val val_number(Lower *lw, Rational value, Span span);
Val val_dim(Dim dim, Span span);
Val val_real(double value, Span span);
Val val_bool(bool truth, Span span);
bool val_is_const(const Val *value);
bool val_double(const Val *value, double *result); /* NUMBER (static) or BOOL */
bool val_int(const Val *value, int64_t *result);
const char *val_text(Lower *lw, const Val *value); /* for messages and keys */
Dim axis_size(Lower *lw, const Axis *axis);
Axis axis_of(Dim size);
bool axis_same(const Axis *a, const Axis *b);
const char *axis_text(Lower *lw, const Axis *axis);
const char *dim_text(Lower *lw, Dim dim);
/* A bound or count that is known must be whole, and at least `least`: E0410 at `span` names `what` otherwise. What only the sizes of a run decide passes. */
bool require_whole(Lower *lw, Dim dim, int64_t least, Span span, const char *what);
const char *place_text(void *lower, Span span); /* "m.bfm:4" */
Symbol symbol_printf(Lower *lw, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- attributes (attributes.c) ---- */
/* Evaluates `node` as a value of the attribute type. */
/* E0203: `argument` (what bears the name) is none of the attributes of the definition. */
void attribute_unknown(Lower *lw, const Node *definition, const Node *attributes, const Node *argument);
Val attribute_value(Lower *lw, const Node *type, const Node *node, Scope *scope, Symbol name);
/* Binds the attributes of a definition, block or model in `scope`: from named arguments evaluated in `outer`, then from a DefValue, then by name
   from `outer` where required, then defaults. Returns whether all is bound. */
bool attributes_bind(Lower *lw, const Node *definition, const Node *attributes, const Node *call, const DefValue *bound, Scope *outer, Scope *scope, Span span);
DefValue *def_value(Lower *lw, const Node *node, const Node *call, Scope *scope); /* NULL after an error */
/* The definition as a value; POISON after an error. */
Val val_def(Lower *lw, const Node *definition, const Node *call, Scope *scope, Span span);
/* The value of an attribute of a bound definition, `router.group`. */
Val def_field(Lower *lw, const DefValue *def, Symbol name, Span span);
/* The first of its bound attributes with the name, -1. */
int bound_find(const DefValue *def, Symbol name);
/* Where `bound` is complete. */
void bound_index(Lower *lw, DefValue *def);

/* The norm or wiring (by the attribute type) of a line where nothing says otherwise (model.c). */
/* The value of `default norm` or `default wiring` (AST_TYPE_…) of the nearest file that declares it. NULL: none does. */
const Node *line_default(const Lower *lw, int type);
/* Whether a norm or wiring is that of lines that nothing is said of. */
bool is_line_default(Lower *lw, int type, const Val *value);
/* ---- lines (line_instance.c, line_info.c) ---- */
/* What makes an instance the one it is: definition, constants in scope, shape of the stream, norm and wiring (NULL: none). */
Symbol instance_key(Lower *lw, const char *what, const Node *definition, Scope *scope, const LTensor *x, const Val *norm, const Val *wiring);
Instance *instance_find(Lower *lw, Symbol key);
/* The wired sub-layer as a unit of its own; instance->ok says whether it came about. */
Instance *instance_make(Lower *lw, Symbol key, const DefValue *def, const Node *call, Scope *caller, Scope *scope, const LTensor *x, const Val *norm, const Val *wiring, Span span);
LTensor *stream_formal(Lower *lw, UnitCtx *uc, const LTensor *x);
/* A function of tensors as a value: what `f` and `norm` of a wiring stand for. */
DefValue *apply_value(Lower *lw, LTensor *(*function)(void *, LTensor *, Symbol, Span), void *context);
/* The names of a wiring's inputs bound; NULL after an error. */
Scope *wiring_scope(Lower *lw, const Node *wiring, LTensor *x, DefValue *f, DefValue *norm);
/* Attributes, norm and wiring of a line, for pictures. */
void line_attributes(Lower *lw, LineInfo *info, const Node *definition, const Node *call, Scope *scope, const Val *norm, const Val *wiring);

/* ---- what a program comes to (bounds.c) ---- */
/* A line or declaration begins. */
void expansion_begin(Lower *lw);
/* One more node is evaluated; false, once with E0701, where there are too many. */
bool expansion_step(Lower *lw, const Node *node);
bool expansion_statement(Lower *lw, const Node *node); /* the same for statements */
/* A call is written out: messages show the outermost. Returns whether it is the outermost; then expansion_leave follows. */
bool expansion_enter(Lower *lw, Symbol name, Span span);
void expansion_leave(Lower *lw, bool outermost);
/* How many operations one element of the operation takes, the element-wise definitions that it reads written out, is kept for those that read its tensor;
   E0701 where that is too many. */
void element_bounded(Lower *lw, OpCtx *ctx, int body, int tensor, Symbol name, Span span);
/* E0701 and false where the lines of a body come to more than a model may have, as far as the text alone tells. */
bool lines_bounded(Lower *lw, const Node *lines);
void lines_too_many(Lower *lw, Span span);

/* ---- expressions (expr.c, reduce.c, infer.c, access.c, builtins.c) ---- */
Val eval(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node); /* ctx NULL: constants only */
Val eval_const(Lower *lw, Scope *scope, const Node *node);
Val eval_call(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node);
Val eval_reduce(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node);
Val eval_over(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node);
Val eval_subscript(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node, LTensor *tensor, const Node *entries);
Val eval_binary(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node);
Val arithmetic(Lower *lw, OpCtx *ctx, int op, Val a, Val b, Span span);
int val_expr(Lower *lw, OpCtx *ctx, const Val *value, Span span); /* as an expression of the operation; -1 after an error */
bool require_int_constant(Lower *lw, const Val *value, Span span, int64_t *result);
/* Splits a condition into affine conditions and guards of the operation. */
void apply_condition(Lower *lw, OpCtx *ctx, Scope *scope, const Node *node);
IndexBinding *index_find(OpCtx *ctx, Symbol name);
Affine index_affine(Lower *lw, const IndexBinding *binding); /* its value, row-major for a compound index, its first value included */

/* Ranges of the wanted names, from the texts in which they are used. Reports those it cannot find; returns whether all are known. */
typedef struct Wanted {
    Symbol name;
    Span span;
    bool known;
    bool poisoned; /* its stated range is in error */
    Axis axis;
    Span source; /* what set it */
} Wanted;
bool infer_ranges(Lower *lw, OpCtx *ctx, Scope *scope, Wanted *wanted, int count, const Node *const *texts, int text_count);
void collect_entry_names(Lower *lw, OpCtx *ctx, Scope *scope, const Node *entry, Wanted *wanted, int *count, int max);

/* Subscripts of `tensor` for the entries; adds what reading there implies (the producer's domain) to the operation. False after an error. */
bool build_access(Lower *lw, OpCtx *ctx, Scope *scope, LTensor *tensor, const Node *entries, Span span, bool writing, Access *access);
bool axis_subs(Lower *lw, OpCtx *ctx, Scope *scope, const Axis *axis, const Node *entry, Span span, Sub *subs, int *count);
/* Where an entry stands on an axis, row-major and counted from the axis' first value; whether that is inside is not asked. False: no affine position. */
bool axis_position(Lower *lw, OpCtx *ctx, Scope *scope, const Axis *axis, const Node *entry, Affine *position);
bool int_access(Lower *lw, OpCtx *ctx, const Val *value, Access *access);
void inherit_domain(Lower *lw, OpCtx *ctx, const LTensor *tensor, const Access *access, Span span);

/* Gives the operation the leading index of an optimiser's tensors. */
void ctx_pack(OpCtx *ctx);
OpCtx ctx_begin(Body *body, Scope *scope, OpKind kind, OpCtx *parent);
void ctx_free(OpCtx *ctx);
IndexBinding *ctx_index(OpCtx *ctx, Symbol name, const Axis *axis);
/* A value of the operation around this one, as one of this operation. */
Val ctx_import(Lower *lw, OpCtx *ctx, Val value);
bool uses_packed(Scope *scope, const Node *node); /* an optimiser's tensors occur in the text */
/* An operation inside the expression of another: has those of its indices that the texts use; conditions that can be carried over are. */
OpCtx child_begin(Lower *lw, OpCtx *ctx, Scope *scope, OpKind kind, const Node *const *texts, int count, const Node *own);
/* The axes of a tensor being defined and the IR indices that run over their parts, in storage order. */
typedef struct TargetAxes {
    int rank;
    Axis axes[TENSOR_AXES_MAX];
    int id_count;
    int ids[TENSOR_AXES_MAX * 2];
} TargetAxes;
/* False where a tensor has no room for the axis. */
bool target_axes_push(TargetAxes *axes, const IndexBinding *binding);
/* Creates the tensor over these axes (and the leading one of an optimiser's, where the operation has it). */
LTensor *ctx_tensor(Lower *lw, OpCtx *ctx, Symbol name, const TargetAxes *axes, bool integer, const Axis *points_into, Span span);
/* Appends the operation with the expression as body; its output is a new tensor over those axes. */
LTensor *ctx_finish(Lower *lw, OpCtx *ctx, Symbol name, int body_expr, const TargetAxes *axes, bool integer, const Axis *points_into, Span span);
Access ctx_access(Lower *lw, OpCtx *ctx, const LTensor *tensor, const TargetAxes *axes);
/* Reads a tensor at bare indices of the operation. */
int read_at(Lower *lw, OpCtx *ctx, const LTensor *tensor, const IndexBinding *bindings, int count);

/* ---- bodies (body.c, define.c) ---- */
/* Elaborates a definition applied to tensors; results in body->results. */
bool instantiate(Lower *lw, UnitCtx *uc, const DefValue *def, const Node *call, Scope *caller, LTensor *const *arguments, int argument_count, const char *prefix, Span span,
                 Body *body);
/* The same in two steps: names of axes and attributes in a new scope; then the statements. */
bool instance_scope(Lower *lw, const DefValue *def, const Node *call, Scope *caller, LTensor *const *arguments, int argument_count, Span span, Scope **scope);
bool instance_body(Lower *lw, UnitCtx *uc, const Node *definition, const Node *call, Scope *caller, Scope *scope, LTensor *const *arguments, int argument_count, const char *prefix,
                   Body *body);
/* A result, loss or metric exists at every point; what only lacks points at which it would be 0 is made 0 there, anything else is an error about `what`. */
bool exists_everywhere(Body *body, LTensor *tensor, const char *what);
/* Where a number is needed, an integer is never none: E0408 about `what` if it may be. */
bool integer_exists(Body *body, const LTensor *tensor, const char *what);
/* Both, and the tensor as numbers; NULL after an error. */
LTensor *numbers_everywhere(Body *body, LTensor *tensor, const char *what);
const Node *chosen_arm(Lower *lw, Scope *scope, const Node *node); /* a conditional expression on constants: the arm taken */
LTensor *define_next(Body *body, const Node *node);
LTensor *define_free(Body *body, const Node *value); /* an expression whose indices are those it uses, in order: an optimiser's result */
void body_free(Body *body);
/* Keeps `left op right` for when the sizes are known, if they decide it. False: it is decided now, or no comparison of numbers. */
bool requirement_deferred(Body *body, const Node *condition);
void statement(Body *body, const Node *node);
LTensor *eval_tensor(Body *body, Scope *scope, const Node *node); /* expressions over whole tensors: wirings, calls */
bool eval_definition_call(Body *body, Scope *scope, const Node *node, Body *callee);
/* By position (position.c): a + b, element by element, where one side may be a constant. */
LTensor *eval_elementwise(Body *body, Scope *scope, const Node *node);
/* Equal numbers of axes of equal sizes; otherwise *axis is the first that differs (the rank where their number does). */
bool fits_shape(Lower *lw, const LTensor *tensor, const LTensor *like, int *axis);
/* The tensor, which fits, with storage like that of another: itself, or a copy with its axes joined or taken apart. */
LTensor *tensor_like(Body *body, LTensor *tensor, const LTensor *like);
/* The tensor with each axis in one part that begins at 0, as numbers unless `integer`. */
LTensor *tensor_plain(Body *body, LTensor *tensor, bool integer);
LTensor *define_target(Body *body, Symbol name, const Node *entries, Span span, const Node *value, const Node *where, const Node *const *more_texts, int more_count);
LTensor *define_recur(Body *body, const Node *node);
/* Binds the indices on the left, with ranges from all the texts; false after an error. */
bool bind_left(Body *body, OpCtx *ctx, const Node *entries, const Node *const *texts, int text_count, TargetAxes *axes);
/* Gives the operation the leading index of an optimiser's tensors where the value uses one. */
void pack_if(OpCtx *ctx, Scope *scope, const Node *value);
/* The operation around `ctx`, or itself, that defines the tensor by a recurrence; NULL if none does. */
OpCtx *recurrence_of(OpCtx *ctx, const LTensor *tensor);
/* A read of the value that `recurrence` defines, from `ctx`: itself, or a reduction inside it. */
Val recur_self(Lower *lw, OpCtx *ctx, OpCtx *recurrence, Scope *scope, const Node *read);
/* Reports a value of the operation around `ctx` that reads what a recurrence there defines: inside a reduction that would be too early. */
bool recur_imported(Lower *lw, const OpCtx *ctx, const Val *value);
LTensor *define_accumulate(Body *body, const Node *node);
/* W0506 for each parameter, value and attribute of a DEFINITION, BLOCK or MODEL that nothing reads (unread.c); `scope` holds its attributes. */
void unread_warn(Lower *lw, const Node *item, const Scope *scope);
LTensor *ltensor_new(Lower *lw, Symbol name, int id);
int formal_add(UnitCtx *uc, Lower *lw, FormalInfo info, ElemType type, TensorRole role, int rank, const Axis *axes, bool packed);
LTensor *ambient_find(Body *body, Symbol name);
/* Reports what an initial value may not depend on, where the operation at hand computes one. */
bool initial_refuses(Lower *lw, const OpCtx *ctx, Span span, const char *what);
/* The initial value of a parameter or state: a unit without formals. */
Unit *init_unit(Body *body, Symbol name, const Node *shape, const Node *init, const Axis *axes, int rank);

#endif
