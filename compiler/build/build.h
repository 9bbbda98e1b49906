/* A model on its way into a shared object: its programs compiled, its tensors and updates as tables, and the header that describes them. */
#ifndef BFM_BUILD_BUILD_H
#define BFM_BUILD_BUILD_H

#include "codegen/aot.h"
#include "codegen/compile.h"
#include "run/model.h"
#include "train/recipe.h"
#include "run/store.h"
#include "support/vec.h"

typedef enum { EMIT_OBJ, EMIT_SO, EMIT_HEADER, EMIT_LLVM, EMIT_COUNT } Emit;

typedef struct BuildEntry {
    const char *name; /* "forward" */
    const Compiled *compiled;
} BuildEntry;

typedef struct Build {
    const BfmContext *context;
    ModelProgram model;            /* in training, differentiated */
    OtherModes others;             /* evaluated, decoded */
    const char *prefix;            /* of the symbols: the model's name */
    const char *base;              /* path without .so */
    const char *library, *headers; /* libbfm_runtime.so's folder; arguments for a C compiler that find the headers */
    Store *store;                  /* what the tensors are; no values */
    bool has_recipe;
    Recipe recipe;
    VEC(BuildEntry) entries;
    BfmModelTensor *tensors; /* [store->count] */
    VEC(BfmModelUpdate) updates;
} Build;

/* Adds the program as an entry; names of formals by bindings. */
bool build_add(Build *build, const char *name, Program *program, const Unit *unit, const Symbol *formal_names, const CompileOptions *options, BfmError *error);

/* Every entry and table, once model, recipe and places are set. Leaves `decode` out, with a note, where the model has no decoder. */
bool build_programs(Build *build, const Lowered *evaluated, const Lowered *decoded, BfmError *error);
/* The file of a kind: base and ending. In the context's arena. */
const char *build_file(const Build *build, Emit kind);
/* The files whose bits are set; bit k: kind k. */
bool build_write(Build *build, unsigned emits, BfmError *error);
void build_free(Build *build);

/* build_step.c: the forms of the recipe's optimiser as entries, and a row for each parameter. */
bool build_step(Build *build, BfmError *error);

/* build_header.c: the text of the header. */
void build_header(const Build *build, Str *out);

#endif
