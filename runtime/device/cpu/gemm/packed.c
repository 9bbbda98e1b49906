/* Operands packed beforehand, for products that share them. */
#include "device/cpu/gemm/kernel.h"

int64_t bfm_gemm_packed_a_floats(int64_t m, int64_t k) { return m * k + 16; /* panels may spill */ }

int64_t bfm_gemm_packed_b_floats(int64_t k, int64_t n) { return k * gemm_round_up(n, 16); /* 16: the most lanes */ }

/* The job of a product whose roles must stay: naming the packed operand prevents their exchange. */
static GemmJob packing_job(const BfmGemm *product, const GemmKernels *kernels, float *packed)
{
    BfmGemm fixed = *product;
    fixed.b_packed = packed;
    return gemm_job_init(&fixed, kernels);
}

void bfm_gemm_pack_a(const BfmGemm *product, BfmGemmEngine engine, float *packed)
{
    const GemmKernels *kernels = gemm_kernels(engine);
    GemmJob job = packing_job(product, kernels, packed);
    for (int64_t k0 = 0; k0 < job.k; k0 += BFM_GEMM_K_BLOCK)
        gemm_left_pack(kernels, &job, (GemmRange){0, job.m}, k0, gemm_min(job.k - k0, BFM_GEMM_K_BLOCK), packed + k0 * job.m);
}

void bfm_gemm_pack_b(const BfmGemm *product, BfmGemmEngine engine, float *packed)
{
    const GemmKernels *kernels = gemm_kernels(engine);
    GemmJob job = packing_job(product, kernels, packed);
    job.space = packed;
    for (int64_t k0 = 0; k0 < job.k; k0 += BFM_GEMM_K_BLOCK)
        gemm_right_pack(kernels, &job, (GemmRange){0, job.n}, k0, 0);
}
