/* AVX-512: a register tile of 14 x 32, 28 of 32 registers. */
#include "gemm/kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define KERNELS(name) name##_avx512
#define KERNEL_NAME "avx512"
#define TARGET __attribute__((target("avx2,fma,avx512f,avx512vl,avx512dq")))
#define HEIGHT 14
#define LANES 16
typedef __m512 Vec;
#define VEC_ALL(x) _mm512_set1_ps(x)
#define VEC_FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
typedef __m256 Oct;
#define OCT_LOAD(low, high) _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1)
#include "gemm/kernel_template.h"
#endif
