/* From a checked module to tensor IR: structure, names, shapes and domains are checked on the way, per instance, as language.md §1 and §3 say. */
#ifndef BFM_LOWER_LOWER_H
#define BFM_LOWER_LOWER_H

#include "ir/ir.h"
#include "module/module.h"

typedef enum { MODE_TRAIN, MODE_EVAL, MODE_DECODE, MODE_COUNT } Mode;

typedef struct LowerOptions {
    Mode mode;
    bool masks;    /* the caller gives `segment` [b, l], 0 or none (padding); otherwise it is what definitions have as its default */
    int set_count; /* --set name=value: overrides of the model's attributes and settings */
    const char *const *sets;
} LowerOptions;

/* A `repeat` at one of its repetitions; those around it follow. */
typedef struct RepeatInfo {
    const struct RepeatInfo *outer;
    const Node *node;      /* REPEAT */
    int64_t count, number; /* number: which repetition this is, from 0 */
    bool shared;
    int depth; /* of the lines in it */
} RepeatInfo;

/* An attribute of a line's definition, as it was bound. */
typedef struct LineAttribute {
    Symbol name;
    const char *value;
    bool told;       /* given in the line itself, or a width */
    bool definition; /* the value is one, perhaps with attributes of its own */
} LineAttribute;

/* One line of a model, for the ledger: the calls of the main unit it stands for. */
typedef struct LineInfo {
    Symbol path;       /* "brainformer_1_0[2].moe_1" */
    Symbol definition; /* its name: "ffn", of scopes "parallel", "at" or the block */
    Span span;
    int depth;                 /* nesting in blocks */
    int call;                  /* operation of the main unit, -1 for scopes */
    const Node *node;          /* LINE, PARALLEL or AT */
    const RepeatInfo *repeat;  /* NULL outside of any */
    int branch;                /* of the `parallel` it stands in: which */
    int64_t width;             /* of the stream behind it; in a scope where it begins; 0: none */
    bool wired;                /* added to the stream; false: in its way */
    const char *norm, *wiring; /* where they are not the usual ones, NULL elsewhere */
    int attribute_count;
    LineAttribute *attributes;
} LineInfo;

/* A `require` that compares what only a batch and a length decide. */
typedef struct Requirement {
    Symbol definition, waiver; /* waiver: the attribute that does without it, NULL if none does */
    int op;                    /* AST_LT .. AST_GE */
    Dim left, right;
    Span span, line; /* the condition; the line of the model that is first to ask for it */
} Requirement;

typedef struct Lowered {
    Program *program; /* main: the model; outputs: the final stream (or what the last line names), losses, metrics, nexts */
    const Node *model;
    int64_t vocab, context; /* 0 where the model does not say */
    int line_count;
    LineInfo *lines;
    int requirement_count;
    Requirement *requirements;
    int result;        /* output of the main unit that is the model's result */
    int cross_entropy; /* output that is the cross-entropy, -1 if there is none */
    int terms, points; /* outputs [b, l]: the cross-entropy of each position, and 1 where there is a target; -1 unless asked for */
} Lowered;

/* NULL after errors (in module->diags). `model` is a MODEL of the module. */
Lowered *lower_model(const Module *module, const Node *model, const LowerOptions *options);

/* A block or a layer on a stream of its own: main has the formal `x` [b, l, width] and the RESULT. width 0: what the block says, else 512. `context` is
   what definitions that ask for it are given; a vocabulary of 256. */
Lowered *lower_block(const Module *module, const Node *definition, int64_t width, int64_t context, const LowerOptions *options);

/* W0502 for each requirement that does not hold at batch b and length l. */
void requirements_warn(const Module *module, const Lowered *lowered, int64_t batch, int64_t length);

/* Recipes, searches and checks of the asking file: names, types, values (in module->diags). Spaces: space/space.h. */
void lower_declarations(const Module *module);

/* A form of an optimiser for tensors of `rank` last axes (0, 1 or 2), mapped over symbol s0; matrix axes are s1 and s2, a vector's is s1.
   Formals: w, g, `rate` (scheduled), `step`, then the states in order; outputs: NEXT of each state, RESULT w (last). */
typedef struct OptimizerForm {
    Unit *unit;
    int rank; /* of the form: how many last axes it looks at */
    int state_count;
    Symbol *state_names;
    int *state_rank; /* number of axes after s0 */
    int *state_axes; /* [state][2]: which symbols (DIM_S0 + 1, + 2) */
    Init *state_init;
} OptimizerForm;

/* The form of the optimiser expression (`adamw(rate = 0.003)`) that serves a tensor of that rank; `overrides` are SETTINGs of matching `on` groups, may be NULL. */
OptimizerForm *lower_optimizer(const Module *module, const Node *expression, const Node *overrides, int tensor_rank, double *rate);
/* Whether the optimiser has a form for tensors of that rank. */
bool optimizer_has_form(const Module *module, const Node *expression, int tensor_rank);
/* A schedule as a unit (its program: unit->program): formal `step`, RESULT the factor on the rate. `steps` is what a schedule that needs the end reads. */
Unit *lower_schedule(const Module *module, const Node *expression, int64_t steps);

#endif
