/* Elementary functions as LLVM instructions, for a float or a vector of floats. Correct to 2 ulp (tests/unit/test_vecmath.c measures each), exact at
   the special values, and the same bits for every number of lanes. Sine and cosine hold up to |x| = 2^31.
   Methods: range reduction and minimax polynomials (fitted for this file), as in Muller, "Elementary Functions", 3rd edition, 2016. */
#ifndef BFM_CODEGEN_VECMATH_H
#define BFM_CODEGEN_VECMATH_H

#include <llvm-c/Core.h>

typedef struct VecMath {
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
} VecMath;

/* vec_text(vm, x, …) of every row that names a function: the square root is correctly rounded, a*b + c is rounded once. */
#define SCALAR(name, text, arity, flops, value, use, code, eval, da, db, dc) VEC_##code(text, arity)
#define VEC_FUNCTION(text, arity)                                            LLVMValueRef vec_##text VEC_OPERANDS_##arity;
#define VEC_INSTRUCTIONS(text, arity)
#define VEC_TRUTH(text, arity)
#define VEC_LEAF(text, arity)
#define VEC_OPERANDS_1 (const VecMath *vm, LLVMValueRef x)
#define VEC_OPERANDS_3 (const VecMath *vm, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
#include "bfm/scalars.def"
#undef SCALAR
#undef VEC_FUNCTION
#undef VEC_INSTRUCTIONS
#undef VEC_TRUTH
#undef VEC_LEAF
#undef VEC_OPERANDS_1
#undef VEC_OPERANDS_3
LLVMValueRef vec_pow(const VecMath *vm, LLVMValueRef x, LLVMValueRef y);

/* A number as a constant of the type of `like` (a vector: in every lane). */
LLVMValueRef vec_const(LLVMValueRef like, double value);
/* Calls the intrinsic `name`, overloaded on the type of args[0]. */
LLVMValueRef vec_intrinsic(const VecMath *vm, const char *name, int count, LLVMValueRef *args);

#endif
