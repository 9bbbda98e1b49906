/* One flat unit: every call of a unit replaced by the operations of its callee.
   requires   a verified program
   gives      a new unit of the same program without OP_CALL, computing the same outputs from the same formals: tensors named by the path of
              their calls ("block_0.mixer_1.p"), tags of draws prefixed by it, groups carried over, operations that no output needs left out
   preserves  order of operations, order of formals and outputs, values bit for bit */
#ifndef BFM_IR_FLATTEN_H
#define BFM_IR_FLATTEN_H

#include "ir/ir.h"

Unit *unit_flatten(Program *program, const Unit *unit);

#endif
