/* Matrix products in f32. Every element of C is, in every engine but OpenBLAS's, one chain of fused multiply-adds over k within each block of
   BFM_GEMM_K_BLOCK, and the blocks' sums are added to C in order: its bits depend on its row of A, its column of B and nothing else, neither on m, n,
   the place in C, the number of threads nor the instruction set. */
#ifndef BFM_GEMM_GEMM_H
#define BFM_GEMM_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bfm/error.h"
#include "device/cpu/pool/pool.h"

enum { BFM_GEMM_K_BLOCK = 256, BFM_GEMM_PACKED_ROWS = 168 };

/* C[i, j] (+)= alpha * sum over k of A[i, k] * B[k, j], or D[i, j] + that.  A (m, k), B (k, n), C and D (m, n); strides in elements. */
typedef struct BfmGemm {
    int64_t m, n, k;
    const float *a;
    int64_t a_row, a_col; /* A[i, k] at a + i * a_row + k * a_col; any strides, 0 included */
    const float *b;
    int64_t b_row, b_col; /* B[k, j] at b + k * b_row + j * b_col */
    float *c;
    int64_t c_row, c_col;     /* no two elements at one place; c_col is usually 1 */
    const int32_t *a_rows;    /* (m) optional: row i of A is a_rows[i]; negative = a row of zeros */
    const int32_t *k_a, *k_b; /* (k) optional: place of k in A, in B; negative = zero */
    const int32_t *c_rows;    /* (m) optional: row i goes to row c_rows[i] of C; rows distinct; negative = not stored */
    int accumulate;           /* 0: C =, 1: C += */
    const float *addend;      /* optional: D, with the strides and rows of C; C = D +. Not with accumulate */
    float alpha;
    const float *a_scale; /* optional: row i of A is multiplied by a_scale[i * a_scale_stride], i before a_rows */
    int64_t a_scale_stride;
    const float *a_packed; /* optional: what bfm_gemm_pack_a made of a, a_rows, k_a and a_scale, which are then not read; m <= BFM_GEMM_PACKED_ROWS */
    const float *b_packed; /* optional: what bfm_gemm_pack_b made of b and k_b, which are then not read */
} BfmGemm;

typedef enum {
    BFM_GEMM_OWN,      /* the widest kernels the CPU has */
    BFM_GEMM_OPENBLAS, /* single-threaded calls on fixed tiles; products that BLAS cannot express (gathers, scales, packed) use BFM_GEMM_OWN */
    BFM_GEMM_AVX512,   /* if the CPU lacks these, the next narrower */
    BFM_GEMM_AVX2,
    BFM_GEMM_PORTABLE,
} BfmGemmEngine;

/* All products, in parallel over products and tiles. The products' parts of C do not overlap, nor does C overlap an A, B or D. m or n 0 is a no-op, k 0
   makes zeros (or D, or leaves C when it accumulates). False and `error` only when memory is exhausted. */
bool bfm_gemm_run(BfmPool *pool, const BfmGemm *products, int64_t count, BfmGemmEngine engine, BfmError *error);

/* One product in the calling thread, with the bits of bfm_gemm_run: for small blocks inside other templates. scratch, aligned to 64 bytes, holds
   bfm_gemm_block_scratch() bytes, whatever the product. Any engine but BFM_GEMM_OPENBLAS, which is taken as BFM_GEMM_OWN. */
void bfm_gemm_block(const BfmGemm *product, BfmGemmEngine engine, float *scratch);
size_t bfm_gemm_block_scratch(void);

/* Operands that many products share, packed beforehand; packed, aligned to 64 bytes, holds the floats said (m, n, k of these operands). The layout is
   that of one engine on one CPU (BFM_GEMM_OPENBLAS uses that of BFM_GEMM_OWN): never stored in a file. The bits of products stay the same. */
int64_t bfm_gemm_packed_a_floats(int64_t m, int64_t k);
int64_t bfm_gemm_packed_b_floats(int64_t k, int64_t n);
void bfm_gemm_pack_a(const BfmGemm *product, BfmGemmEngine engine, float *packed); /* m <= BFM_GEMM_PACKED_ROWS; reads m, k and the parts of A */
void bfm_gemm_pack_b(const BfmGemm *product, BfmGemmEngine engine, float *packed); /* reads n, k and the parts of B */

/* What serves an engine on this CPU: "avx512", "avx2", "portable" or "openblas". */
const char *bfm_gemm_engine_name(BfmGemmEngine engine);

/* GFLOP/s (10^9 multiply-adds times 2) of one engine, and of the faster one, at 1024 x 1024 x 1024 on the pool, measured for about `seconds`. 0 when memory is exhausted. */
double bfm_gemm_measure_engine(BfmPool *pool, BfmGemmEngine engine, double seconds);
double bfm_gemm_measure(BfmPool *pool, double seconds);

#endif
