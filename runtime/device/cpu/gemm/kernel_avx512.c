/* AVX-512: a register tile of 14 x 32, 28 of 32 registers. */
#include "device/cpu/gemm/kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define KERNELS(name) name##_avx512
#define KERNEL_NAME   "avx512"
#define TARGET        __attribute__((target("avx2,fma,avx512f,avx512vl,avx512dq")))
#define HEIGHT        14
#define TURNED_HEIGHT 8
#define LANES         16
typedef __m512 Vec;
#define VEC_ALL(x)              _mm512_set1_ps(x)
#define VEC_FMA(a, b, c)        _mm512_fmadd_ps(a, b, c)
#define PART(n)                 ((__mmask16)((1u << (n)) - 1))
#define VEC_LOAD_PART(p, n)     _mm512_maskz_loadu_ps(PART(n), p)
#define VEC_STORE_PART(p, n, x) _mm512_mask_storeu_ps(p, PART(n), x)
#define VEC_STORE_PAST(p, x)    _mm512_stream_ps(p, x)
#define VEC_DRAIN()             _mm_sfence()
typedef __m256 Oct;
#define OCT_LOAD(low, high) _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1)
#define HEX_LOAD(a, b, c, d)                                                                                                                                                       \
    _mm512_insertf32x4(_mm512_insertf32x4(_mm512_insertf32x4(_mm512_castps128_ps512(_mm_loadu_ps(a)), _mm_loadu_ps(b), 1), _mm_loadu_ps(c), 2), _mm_loadu_ps(d), 3)
#include "device/cpu/gemm/kernel_template.h"
#endif
