/* How many points an operation has, exactly where that is cheap. */
#ifndef BFM_IR_VOLUME_H
#define BFM_IR_VOLUME_H

#include "ir/ir.h"

enum { VOLUME_INDICES_MAX = 64 };

typedef uint64_t IndexSet; /* bit i: index i of the operation */

/* The indices that an access, or an expression with all it is made of, depends on. `sets` (expr_count of them) is filled. */
IndexSet index_set_access(const Access *access);
void index_set_exprs(const Op *op, IndexSet *sets);

/* Points of the box over these indices that satisfy the conditions among them; conditions on others are left out, and so are guards. Exact for what
   lowering makes (triangles, bands, windows); where counting would take more than a million steps the box is taken. */
double volume_points(const Op *op, IndexSet indices, const DimEnv *env);
static inline IndexSet index_set_all(const Op *op) { return op->index_count >= VOLUME_INDICES_MAX ? ~(IndexSet)0 : ((IndexSet)1 << op->index_count) - 1; }

/* No tensor that the result is computed from has all of the operation's indices, element-wise definitions on the way left out of account: the result
   is larger than they are, by the extent of an axis at least, and cheaper to repeat than to keep. */
bool op_expands(const Unit *unit, const Op *op);

#endif
