/* Any CPU: vectors of the compiler, in whatever registers there are. Where the CPU has no fused multiply-add, fmaf makes it in software, slowly and with the same bits. */
#include "device/cpu/gemm/kernel.h"

#define KERNELS(name) name##_portable
#define KERNEL_NAME   "portable"
#define TARGET
#define HEIGHT        4
#define TURNED_HEIGHT 4
#define LANES         8
typedef float Vec __attribute__((vector_size(32)));

static inline __attribute__((always_inline)) void vector_fma(const Vec *a, const Vec *b, Vec *c)
{
    for (int lane = 0; lane < LANES; lane++)
        (*c)[lane] = __builtin_fmaf((*a)[lane], (*b)[lane], (*c)[lane]);
}
#define VEC_ALL(x) ((Vec){(x), (x), (x), (x), (x), (x), (x), (x)})
#define VEC_FMA(a, b, c)                                                                                                                                                           \
    __extension__({                                                                                                                                                                \
        Vec fma_left = (a), fma_right = (b), fma_sum = (c);                                                                                                                        \
        vector_fma(&fma_left, &fma_right, &fma_sum);                                                                                                                               \
        fma_sum;                                                                                                                                                                   \
    })
#define VEC_LOAD_PART(p, n)                                                                                                                                                        \
    __extension__({                                                                                                                                                                \
        Vec loaded_part = VEC_ALL(0);                                                                                                                                              \
        for (int lane = 0; lane < (n); lane++)                                                                                                                                     \
            loaded_part[lane] = (p)[lane];                                                                                                                                         \
        loaded_part;                                                                                                                                                               \
    })
#define VEC_STORE_PART(p, n, x)                                                                                                                                                    \
    do {                                                                                                                                                                           \
        const Vec stored_part = (x);                                                                                                                                               \
        for (int lane = 0; lane < (n); lane++)                                                                                                                                     \
            (p)[lane] = stored_part[lane];                                                                                                                                         \
    } while (0)
#define VEC_STORE_PAST(p, x)                                                                                                                                                       \
    do {                                                                                                                                                                           \
        Vec stored = (x);                                                                                                                                                          \
        memcpy((p), &stored, sizeof stored);                                                                                                                                       \
    } while (0)
#define VEC_DRAIN() (void)0
typedef float Oct __attribute__((vector_size(32)));
#define OCT_LOAD(low, high) ((Oct){(low)[0], (low)[1], (low)[2], (low)[3], (high)[0], (high)[1], (high)[2], (high)[3]})
#include "device/cpu/gemm/kernel_template.h"
