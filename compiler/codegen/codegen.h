/* Code for the operations of a unit, through LLVM. A Codegen collects kernels; nothing is compiled until a Jit (jit.h) or a shared object
   (aot.h) asks for it, and what the object cache holds is never emitted at all.

   Kernels are keyed by structure: tensors become buffer positions, extents and strides become `dims` positions. Two operations that differ
   in names, widths, batch or length get the same symbol; what differs is in their KernelCode. */
#ifndef BFM_CODEGEN_CODEGEN_H
#define BFM_CODEGEN_CODEGEN_H

#include "bfm/error.h"
#include "bfm/kernel.h"
#include "bfm/plan.h"
#include "ir/ir.h"
#include "support/str.h"

typedef struct Codegen Codegen;

typedef struct CodegenOptions {
    int level;            /* 0: no optimisation passes; 1, 2: the short list, with a fast or the normal instruction selector */
    int width;            /* lanes of a vector, a power of two up to 64; 0 = 16 on every CPU, so that sums have the same bits everywhere */
    const char *cpu;      /* LLVM's name; NULL or "native": this machine */
    const char *features; /* LLVM's list; NULL: those of this machine if cpu is native, else none */
} CodegenOptions;

typedef struct KernelCode {
    const char *symbol; /* of the function; equal text = the same function */
    int buffer_count;
    const int *tensors; /* [buffer_count] tensor ids; [0] is the output (-1 where it is a tile or the scores of a top) */
    int dim_count;
    const Dim *dims; /* [dim_count]: dims[k] of the call is the value of dims[k]; the same Dim may occur several times */
    int draw_count;
    const Symbol *draw_tags; /* [draw_count]; if > 0, dims[] continues: the step, then one key per draw (BfmRng.key of the seed and the hash of path and tag) */
    int lanes;               /* points that one pass of the innermost loop takes; 1: one by one */
    int parallel_count;
    const int *parallel; /* positions in Op.indices, outermost first: begin and end count their row-major product (1 if there are none) */
    int grain;           /* ranges had better start at multiples of this; results do not depend on where they are cut */
    BfmFill fill;        /* of the output before the first call; of a SET with `init` (ir.h), instead: the elements of that tensor */
    int outer_count;
    const int *outer; /* tiles and ranges: positions in Op.indices of `outer`'s values */
} KernelCode;

Codegen *codegen_new(Arena *arena, const CodegenOptions *options); /* NULL options: level 2. Lives in the arena */

/* Code of an OP_NEST (any reducer) or OP_RECUR with every access in memory: a BfmNestFn. Any cut of the parallel range gives the same bits. The output
   buffer may be an input's only where that input is read with the output's own subscripts. */
const KernelCode *codegen_nest(Codegen *codegen, const Unit *unit, const Op *op);

/* The ranked values of an OP_TOP: a BfmNestFn that writes buffers[0][indices…] = body, row-major over all indices, and the float of bits BFM_ABSENT_BITS
   outside the domain. Everything is parallel. */
const KernelCode *codegen_scores(Codegen *codegen, const Unit *unit, const Op *op);

/* A SET nest on a tile of its indices `row` and `col`: a BfmTileFn. Reads of tile_tensors[k] (whatever their subscripts, which must be the point's own) come
   from tiles[k + 1]; the result goes to tiles[0] and is `outside` where the point is not in the domain. */
const KernelCode *codegen_tile(Codegen *codegen, const Unit *unit, const Op *op, int row, int col, int tile_count, const int *tile_tensors, double outside);

/* The columns that the affine conditions of `op` leave to a block of rows: a BfmRangeFn. */
const KernelCode *codegen_range(Codegen *codegen, const Unit *unit, const Op *op, int row, int col);

int codegen_count(const Codegen *codegen); /* distinct functions */
const char *codegen_symbol(const Codegen *codegen, int index);
typedef enum { CODEGEN_LLVM, CODEGEN_ASM } CodegenText;
bool codegen_print(Codegen *codegen, CodegenText form, Str *out, BfmError *error); /* every function, optimised */

#endif
