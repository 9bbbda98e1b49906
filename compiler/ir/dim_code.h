/* Dimensions as reverse Polish notation, for evaluation without a compiler: the codes of BfmDimCode (runtime/include/bfm/plan.h). */
#ifndef BFM_IR_DIM_CODE_H
#define BFM_IR_DIM_CODE_H

#include "ir/dim.h"
#include "support/vec.h"

typedef VEC(int64_t) DimCode;

enum { DIM_CODE_NUMBER, DIM_CODE_SYMBOL, DIM_CODE_ADD, DIM_CODE_MUL, DIM_CODE_MIN, DIM_CODE_MAX, DIM_CODE_CEIL, DIM_CODE_FLOOR };

void dim_encode(Dim dim, DimCode *code); /* appends */

#endif
