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

LLVMValueRef vec_exp(const VecMath *vm, LLVMValueRef x);
LLVMValueRef vec_log(const VecMath *vm, LLVMValueRef x);
LLVMValueRef vec_tanh(const VecMath *vm, LLVMValueRef x);
LLVMValueRef vec_sigmoid(const VecMath *vm, LLVMValueRef x);
LLVMValueRef vec_softplus(const VecMath *vm, LLVMValueRef x);
LLVMValueRef vec_erf(const VecMath *vm, LLVMValueRef x);
LLVMValueRef vec_sin(const VecMath *vm, LLVMValueRef x);
LLVMValueRef vec_cos(const VecMath *vm, LLVMValueRef x);
LLVMValueRef vec_pow(const VecMath *vm, LLVMValueRef x, LLVMValueRef y);

LLVMValueRef vec_sqrt(const VecMath *vm, LLVMValueRef x); /* correctly rounded */
LLVMValueRef vec_floor(const VecMath *vm, LLVMValueRef x);
LLVMValueRef vec_abs(const VecMath *vm, LLVMValueRef x);
LLVMValueRef vec_fma(const VecMath *vm, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c); /* a*b + c, rounded once */

/* A number as a constant of the type of `like` (a vector: in every lane). */
LLVMValueRef vec_const(LLVMValueRef like, double value);
/* Calls the intrinsic `name`, overloaded on the type of args[0]. */
LLVMValueRef vec_intrinsic(const VecMath *vm, const char *name, int count, LLVMValueRef *args);

#endif
