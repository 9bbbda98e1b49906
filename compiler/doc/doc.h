/* What `bfmc doc` knows about a definition before it is written down: the parts of its comment, what its instances cost, and whether its example runs.

   A `///` comment, as the reference pages and their test read it. Paragraphs are separated by empty lines; the first one is the summary.
     Formula: …            layers, routers, norms, optimisers; a definition of the form `= …` is its own formula
     - `name`: …           an attribute (or several: `a`, `b`: …); lines that follow belong to it
     Source: …             papers, or that there is none
     Parameters: …         a note below the table of parameters, which is made from the body
     ```bfm … ```          the example: a file of its own, with its `use` lines
   Anything else is prose. */
#ifndef BFM_DOC_DOC_H
#define BFM_DOC_DOC_H

#include "doc/doc_fit.h"
#include "run/context.h"
#include "ir/effects.h"
#include "ir/ledger.h"
#include "lower/lower.h"

/* ---- the comment (doc_comment.c) ---- */

enum { DOC_NAMES_MAX = 64 };

typedef struct DocName {
    const char *name, *text;
} DocName;

typedef struct DocComment {
    const char *summary, *formula, *source, *parameters, *example; /* NULL where absent */
    const char *prose;                                             /* the other paragraphs */
    int name_count;
    DocName names[DOC_NAMES_MAX]; /* what is said of attributes */
} DocComment;

/* Of an item; `attributes`: the list that its `- name` entries may speak of. */
DocComment doc_comment(Arena *arena, const Node *item, const Node *attributes);
const char *doc_attribute_text(const DocComment *comment, const char *name); /* NULL: not explained */
/* The first sentence of the summary, without its period. */
const char *doc_sentence(Arena *arena, const DocComment *comment);
/* The text of a file's //! comment. */
const char *doc_file_comment(Arena *arena, const Node *file);

/* The attributes that a call of the item may set; an optimiser's later form has those of its first. */
const Node *doc_attributes(const Module *module, const Node *item);
/* "layer", "block", "model" … */
const char *doc_kind(const Node *item);

/* ---- instances (doc_subject.c): the definition where its example uses it ---- */

/* What is counted of an instance. */
typedef enum { COUNT_PARAMETERS, COUNT_MULTIPLYING, COUNT_ACTIVATED, COUNT_STATE, COUNT_PRODUCTS, COUNT_OTHER, COUNT_RANKED, COUNT_BACKWARD, COUNT_KEPT, COUNT_KINDS } CountKind;

typedef enum { VARIABLE_BATCH, VARIABLE_LENGTH, VARIABLE_WIDTH, VARIABLE_CONTEXT, VARIABLE_ATTRIBUTE } VariableRole;

enum { VARIABLE_VALUES = 5 };

/* Something that counts may depend on, and values to try it at. */
typedef struct Variable {
    VariableRole role;
    const char *name;
    bool whole, tall; /* tall: a count, which may have to stay below or above other counts */
    Rational value[VARIABLE_VALUES];
    Node **slot; /* ATTRIBUTE: where its value stands in the tree */
} Variable;

typedef struct Subject {
    Arena *arena;
    Interner *interner;
    Diagnostics *diags;
    Module *module;         /* of the example */
    const Node *definition; /* in that module */
    Node *item;             /* the BLOCK or MODEL that is lowered; a block's own definition */
    Node *line;             /* that uses the definition, NULL for blocks and models */
    Node *call;             /* CALL with the definition's attributes, NULL for blocks */
    bool part;              /* counted are the operations of `own`, not all of its line */
    Span own;               /* the text that is the definition's own */
    int written, filled;    /* arguments of `call` in the example, and with those added for variables */
    int variable_count;
    Variable variables[FIT_VARIABLES_MAX];
} Subject;

/* `change`: "name=value" of one attribute set to something else than the example has, or NULL. NULL: there is no example that a line of which uses it. */
Subject *subject_new(const BfmContext *context, const char *path, const Node *definition, const DocComment *comment, const char *change);
void subject_free(Subject *subject); /* NULL is allowed */

/* An instance: the example as it is (values NULL), or with the variables at these values. */
typedef struct Sample {
    Arena *arena; /* of its own, freed by sample_free */
    Diagnostics *diags;
    Module module; /* the subject's, allocating there */
    Lowered *lowered;
    const Unit *unit; /* of the line; main for blocks and models */
} Sample;

bool sample_new(const Subject *subject, const Rational *values, Mode mode, Sample *sample); /* false: such an instance is refused */
void sample_free(Sample *sample);
/* An operation of this text belongs to what is described. */
bool subject_owns(const Subject *subject, Span span);
bool subject_counts(const Subject *subject, const Rational *values, double counts[COUNT_KINDS]);
/* What the line reads. */
bool subject_effect(const Subject *subject, Mode mode, Effect *effect);

/* ---- symbolic counts (doc_count.c) ---- */

typedef struct SymbolicCount {
    bool known; /* else `value` is all there is, at the example's sizes */
    Poly poly;
    double value;
    const char *over;  /* the polynomial is to be divided by this variable; NULL: it is not */
    const char *where; /* the expression holds where: "k is small beside the other counts"; NULL: everywhere tried */
} SymbolicCount;

typedef struct Counted {
    int variable_count;
    const char *names[FIT_VARIABLES_MAX];
    SymbolicCount count[COUNT_KINDS];
} Counted;

typedef bool CountFunction(void *context, const Rational *values, double counts[COUNT_KINDS]);
/* Polynomials for all counts that have one. */
void count_symbolically(Arena *arena, int variable_count, const Variable *variables, CountFunction *function, void *context, Counted *counted);
void subject_count(Arena *arena, const Subject *subject, Counted *counted);
void count_print(const Counted *counted, CountKind kind, Str *out);

/* ---- kernels (doc_kernels.c) ---- */

/* "product ×4, stream, elementwise" of the forward pass, then with the derivative (not of a part); false where it cannot be told. */
bool subject_kernels(const Subject *subject, Str *forward, Str *step, Str *slow);
/* The same of a unit by itself. */
void unit_kernels(Unit *unit, Str *out);

/* ---- examples (doc_run.c) ---- */

/* Checks the example as a file beside `path` and runs its blocks and models forward and backward, its recipes one update, with the interpreter.
   NULL, or what is wrong (in the arena). */
const char *example_run(const BfmContext *context, Arena *arena, const char *path, const char *text);
/* The name by which an example uses the file: "std.layers", or that of a file beside it. */
const char *doc_module_name(const BfmContext *context, Arena *arena, const char *path);

/* ---- pages ---- */

typedef struct DocEntry {
    const Node *node;
    DocComment comment;
    Subject *subject; /* NULL: nothing can be counted */
    Counted counted;
    bool effect_known;
    Effect effect, training; /* in evaluation, in training */
    const Lowered *model;    /* MODEL: for training, NULL after errors */
    const ProgramCost *cost; /* MODEL: of one sequence of its context */
} DocEntry;

typedef struct DocFile {
    const BfmContext *context;
    const char *path;
    Module *module;          /* the file and what it uses */
    const char *name;        /* "layers" */
    const char *module_name; /* "std.layers" */
    Arena *arena;
    int entry_count;
    DocEntry *entries; /* one per item that is described, in the order of the file */
} DocFile;

/* Reads the file and counts everything in it. NULL: INPUT. */
DocFile *doc_file_new(const BfmContext *context, const char *path, BfmError *error);
void doc_file_free(DocFile *file);              /* NULL is allowed */
void page_print(const DocFile *file, Str *out); /* doc_page.c */
void index_print(DocFile *const *files, int count, Str *out);
/* What the comments of the file lack, and examples that do not run: one line each. Returns how many. */
int doc_lacks(const DocFile *file, Str *out); /* doc_check.c */

/* What the text of a definition declares, as tables (doc_tables.c). */
void table_attributes(const DocFile *file, const Node *item, const DocComment *comment, Str *out);
void table_inputs(const DocFile *file, const Node *item, Str *out);
void table_declared(const DocFile *file, const Node *item, const DocComment *comment, Str *out);
/* What instances cost (doc_costs.c). */
void costs_print(const DocFile *file, const DocEntry *entry, Str *out);
void model_count(const DocFile *file, DocEntry *entry);
void model_costs(const DocFile *file, const DocEntry *entry, Str *out);
void scaled_print(double value, Str *out); /* 113 M */
void optimizer_costs(const DocFile *file, const DocEntry *entry, Str *out);
void schedule_values(const DocFile *file, const DocEntry *entry, Str *out);

#endif
