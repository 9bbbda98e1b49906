/* From a product to a job: which operand is on the left, and into which tiles C is cut. Nothing here can change a bit of the result. */
#include "device/cpu/gemm/kernel.h"

const GemmKernels *gemm_kernels(BfmGemmEngine engine)
{
#if defined(__x86_64__)
    bool fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool wide = fma && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    switch (engine) {
    case BFM_GEMM_OWN:
    case BFM_GEMM_OPENBLAS:
    case BFM_GEMM_AVX512:
        if (wide)
            return gemm_kernels_avx512();
        __attribute__((fallthrough));
    case BFM_GEMM_AVX2:
        if (fma)
            return gemm_kernels_avx2();
        __attribute__((fallthrough));
    case BFM_GEMM_PORTABLE: break;
    }
#else
    (void)engine;
#endif
    return gemm_kernels_portable();
}

const char *bfm_gemm_engine_name(BfmGemmEngine engine) { return engine == BFM_GEMM_OPENBLAS ? "openblas" : gemm_kernels(engine)->name; }

/* Exchanging the roles (C' = B' A') makes the same products in the same order, so the same bits. It pays when C is stored by columns, and when it is
   so narrow that most of a vector of columns would be padding. */
static bool roles_exchange(const BfmGemm *product, const GemmKernels *kernels)
{
    if (product->c_rows || product->a_scale || product->a_packed || product->b_packed)
        return false;
    if (product->c_col != 1)
        return product->c_row == 1;
    return product->n * 2 <= kernels->lanes && product->m >= 4 * product->n;
}

GemmJob gemm_job_init(const BfmGemm *product, const GemmKernels *kernels)
{
    GemmSide a = {.base = product->a,
                  .outer = product->a_row,
                  .inner = product->a_col,
                  .rows = product->a_rows,
                  .k_index = product->k_a,
                  .scale = product->a_scale,
                  .scale_stride = product->a_scale_stride};
    GemmSide b = {.base = product->b, .outer = product->b_col, .inner = product->b_row, .k_index = product->k_b};
    bool exchange = roles_exchange(product, kernels);
    return (GemmJob){
        .left = exchange ? b : a,
        .right = exchange ? a : b,
        .m = exchange ? product->n : product->m,
        .n = exchange ? product->m : product->n,
        .k = product->k,
        .c = product->c,
        .c_row = exchange ? product->c_col : product->c_row,
        .c_column = exchange ? product->c_row : product->c_col,
        .c_rows = product->c_rows,
        .alpha = product->alpha,
        .base = product->accumulate ? product->c : product->addend,
        .k_chunk = product->k,
        .packed = product->b_packed,
        .left_packed = product->a_packed,
    };
}
