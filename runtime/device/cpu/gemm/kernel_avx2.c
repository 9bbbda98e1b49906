/* AVX2 with FMA: a register tile of 6 x 16, 12 of 16 registers. */
#include "device/cpu/gemm/kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define KERNELS(name) name##_avx2
#define KERNEL_NAME   "avx2"
#define TARGET        __attribute__((target("avx2,fma")))
#define HEIGHT        6
#define TURNED_HEIGHT 4
#define LANES         8
typedef __m256 Vec;
#define VEC_ALL(x)              _mm256_set1_ps(x)
#define VEC_FMA(a, b, c)        _mm256_fmadd_ps(a, b, c)
#define PART(n)                 _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
#define VEC_LOAD_PART(p, n)     _mm256_maskload_ps(p, PART(n))
#define VEC_STORE_PART(p, n, x) _mm256_maskstore_ps(p, PART(n), x)
#define VEC_STORE_PAST(p, x)    _mm256_stream_ps(p, x)
#define VEC_DRAIN()             _mm_sfence()
typedef __m256 Oct;
#define OCT_LOAD(low, high) _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1)
#include "device/cpu/gemm/kernel_template.h"
#endif
