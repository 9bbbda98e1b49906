/* The kernels of one instruction set, as a template: the including file defines
     KERNELS(name)   name with the set's suffix
     TARGET          function attribute that enables the set
     HEIGHT          rows of the register tile (6 or 14, or 4)
     LANES, Vec      floats of a vector, and its type
     VEC_ALL(x)      a vector of x
     VEC_FMA(a,b,c)  a * b + c rounded once
     Oct, OCT_LOAD(low, high)  eight floats, four from each of two addresses
   All arithmetic is written so that every set makes the same bits; vectors run over columns, never over k. */
#include <string.h>

#define KERNEL_FUNCTION TARGET static
#define KERNEL_INLINE TARGET static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

KERNEL_INLINE void KERNELS(register_tile)(const int height, const int vectors, int64_t kc, const float *a, const float *b, int64_t ldb,
                                          float *const *rows, float alpha, bool add, const float *next, int64_t next_step)
{
    Vec sums[HEIGHT][2];
    UNROLL for (int i = 0; i < height; i++)
        UNROLL for (int v = 0; v < vectors; v++)
            sums[i][v] = VEC_ALL(0);
    for (int64_t k = 0; k < kc; k++, a += height, b += ldb, next += next_step) {
        Vec right[2];
        UNROLL for (int v = 0; v < vectors; v++) {
            memcpy(&right[v], b + v * LANES, sizeof(Vec));
            if (v * LANES % 16 == 0) /* one for each cache line */
                __builtin_prefetch(next + v * LANES, 0, 2);
        }
        UNROLL for (int i = 0; i < height; i++) {
            Vec left = VEC_ALL(a[i]);
            UNROLL for (int v = 0; v < vectors; v++)
                sums[i][v] = VEC_FMA(left, right[v], sums[i][v]);
        }
    }
    const Vec factor = VEC_ALL(alpha);
    UNROLL for (int i = 0; i < height; i++)
        UNROLL for (int v = 0; v < vectors; v++) {
            Vec value = factor * sums[i][v];
            if (add) {
                memcpy(&value, rows[i] + v * LANES, sizeof(Vec));
                value = VEC_FMA(factor, sums[i][v], value);
            }
            memcpy(rows[i] + v * LANES, &value, sizeof(Vec));
        }
}

#define KERNEL_OF(height, vectors)                                                                                                                 \
    KERNEL_FUNCTION void KERNELS(kernel_##height##_##vectors)(int64_t kc, const float *a, const float *b, int64_t ldb, float *const *rows,         \
                                                              float alpha, bool add, const float *next, int64_t next_step)                         \
    {                                                                                                                                              \
        KERNELS(register_tile)(height, vectors, kc, a, b, ldb, rows, alpha, add, next, next_step);                                                 \
    }
#define KERNELS_OF(height) KERNEL_OF(height, 1) KERNEL_OF(height, 2)
#define KERNEL_ROW(height) {KERNELS(kernel_##height##_1), KERNELS(kernel_##height##_2)}

KERNELS_OF(1)
KERNELS_OF(2)
KERNELS_OF(3)
KERNELS_OF(4)
#if HEIGHT >= 6
KERNELS_OF(5)
KERNELS_OF(6)
#endif
#if HEIGHT >= 14
KERNELS_OF(7)
KERNELS_OF(8)
KERNELS_OF(9)
KERNELS_OF(10)
KERNELS_OF(11)
KERNELS_OF(12)
KERNELS_OF(13)
KERNELS_OF(14)
#endif

static GemmKernel *const KERNELS(table)[HEIGHT][2] = {
    KERNEL_ROW(1), KERNEL_ROW(2), KERNEL_ROW(3), KERNEL_ROW(4),
#if HEIGHT >= 6
    KERNEL_ROW(5), KERNEL_ROW(6),
#endif
#if HEIGHT >= 14
    KERNEL_ROW(7), KERNEL_ROW(8), KERNEL_ROW(9), KERNEL_ROW(10), KERNEL_ROW(11), KERNEL_ROW(12), KERNEL_ROW(13), KERNEL_ROW(14),
#endif
};

KERNEL_FUNCTION void KERNELS(merge)(const float *tile, int64_t tile_row, const GemmMerge *merge)
{
    for (int i = 0; i < merge->height; i++) {
        float *to = merge->rows[i];
        if (!to)
            continue;
        const float *from = tile + i * tile_row;
        if (merge->add)
            for (int j = 0; j < merge->width; j++)
                to[j * merge->column] = __builtin_fmaf(merge->alpha, from[j], to[j * merge->column]);
        else
            for (int j = 0; j < merge->width; j++)
                to[j * merge->column] = merge->alpha * from[j];
    }
}

/* Eight rows, four consecutive k from `k` on: x[j] becomes the eight values at k + j. Rows i and i + 4 share a vector, so that no shuffle crosses its halves. */
KERNEL_INLINE void KERNELS(transpose)(const float *const *from, int64_t k, Oct *x)
{
    Oct s[4], t[4];
    UNROLL for (int i = 0; i < 4; i++) {
        s[i] = OCT_LOAD(from[i] + k, from[i + 4] + k);
    }
    UNROLL for (int i = 0; i < 4; i += 2) {
        t[i] = __builtin_shufflevector(s[i], s[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        t[i + 1] = __builtin_shufflevector(s[i], s[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    UNROLL for (int i = 0; i < 2; i++) {
        x[2 * i] = __builtin_shufflevector(t[i], t[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        x[2 * i + 1] = __builtin_shufflevector(t[i], t[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
}

static const float KERNELS(zeros)[BFM_GEMM_K_BLOCK];

/* k is contiguous. Rows go in groups of eight; a group's vector may reach past the panel's width into the next k, which is written afterwards because
   groups go downwards and k upwards; past the last k it reaches GEMM_PACK_SLACK at most. */
KERNEL_FUNCTION void KERNELS(pack_transposed)(const GemmSide *side, const GemmPanel *panel, float *dst)
{
    const float *from[GEMM_WIDTH_LIMIT + 8];
    int padded = panel->padded, groups = (padded + 7) / 8;
    for (int i = 0; i < groups * 8; i++) {
        int64_t place = i >= panel->width ? -1 : side->rows ? side->rows[panel->first + i] : panel->first + i;
        from[i] = place < 0 ? KERNELS(zeros) : side->base + place * side->outer + panel->k0;
    }
    int64_t k = 0, ahead = side->rows ? 0 : panel->width * side->outer;
    for (; k + 16 <= panel->kc; k += 16) /* a whole cache line of each row at a time: rows a power of two apart evict each other */
        for (int g = groups; g-- > 0;) {
            const float *const *rows = from + 8 * g;
            float *to = dst + k * padded + 8 * g;
            UNROLL for (int i = 0; i < 8; i++) /* the panel after this one */
                __builtin_prefetch(rows[i] + ahead + k, 0, 2);
            for (int64_t q = k; q < k + 16; q += 4, to += 4 * padded) {
                Oct x[4];
                KERNELS(transpose)(rows, q, x);
                UNROLL for (int i = 0; i < 4; i++)
                    memcpy(to + i * padded, &x[i], sizeof(Oct));
            }
        }
    for (; k < panel->kc; k++)
        for (int i = 0; i < padded; i++)
            dst[k * padded + i] = from[i][k];
}

/* One row of a panel, as two pieces of `part` floats that overlap where the width is not twice that, so that nothing outside is read; part 0 copies one by one. */
KERNEL_INLINE void KERNELS(copy_row)(float *to, const float *from, int width, const int part)
{
    if (part == LANES) {
        Vec first, last;
        memcpy(&first, from, sizeof first);
        memcpy(&last, from + width - LANES, sizeof last);
        memcpy(to, &first, sizeof first);
        memcpy(to + width - LANES, &last, sizeof last);
    } else if (part == 8) {
        Oct first, last;
        memcpy(&first, from, sizeof first);
        memcpy(&last, from + width - 8, sizeof last);
        memcpy(to, &first, sizeof first);
        memcpy(to + width - 8, &last, sizeof last);
    } else {
        for (int i = 0; i < width; i++)
            to[i] = from[i];
    }
}

KERNEL_INLINE void KERNELS(copy_rows)(const GemmSide *side, const GemmPanel *panel, float *dst, const int width, const int part)
{
    const int64_t padded = panel->padded, inner = side->inner, kc = panel->kc;
    const float *base = side->base + panel->first + panel->k0 * inner;
    if (!side->k_index && width == padded) {
        _Pragma("GCC unroll 4") for (int64_t k = 0; k < kc; k++, dst += padded, base += inner)
            KERNELS(copy_row)(dst, base, width, part);
        return;
    }
    for (int64_t k = 0; k < kc; k++, dst += padded) {
        int64_t place = side->k_index ? side->k_index[panel->k0 + k] : panel->k0 + k;
        if (place >= 0)
            KERNELS(copy_row)(dst, side->base + panel->first + place * inner, width, part);
        for (int64_t i = place < 0 ? 0 : width; i < padded; i++)
            dst[i] = 0;
    }
}

/* The panel's rows (columns) are contiguous. */
KERNEL_FUNCTION void KERNELS(pack_copied)(const GemmSide *side, const GemmPanel *panel, float *dst)
{
    if (panel->width == 2 * LANES)
        KERNELS(copy_rows)(side, panel, dst, 2 * LANES, LANES);
    else if (panel->width >= LANES)
        KERNELS(copy_rows)(side, panel, dst, panel->width, LANES);
    else if (panel->width >= 8)
        KERNELS(copy_rows)(side, panel, dst, panel->width, 8);
    else
        KERNELS(copy_rows)(side, panel, dst, panel->width, 0);
}

KERNEL_FUNCTION void KERNELS(pack_gathered)(const GemmSide *side, const GemmPanel *panel, float *dst)
{
    int64_t offset[GEMM_WIDTH_LIMIT];
    for (int i = 0; i < panel->width; i++) {
        int64_t place = side->rows ? side->rows[panel->first + i] : panel->first + i;
        offset[i] = place < 0 ? INT64_MIN : place * side->outer;
    }
    for (int64_t k = 0; k < panel->kc; k++, dst += panel->padded) {
        int64_t place = side->k_index ? side->k_index[panel->k0 + k] : panel->k0 + k;
        for (int i = 0; i < panel->padded; i++)
            dst[i] = place < 0 || i >= panel->width || offset[i] == INT64_MIN ? 0 : side->base[offset[i] + place * side->inner];
    }
}

KERNEL_FUNCTION void KERNELS(scale)(const GemmSide *side, const GemmPanel *panel, float *dst)
{
    float factor[GEMM_WIDTH_LIMIT];
    for (int i = 0; i < panel->padded; i++)
        factor[i] = i < panel->width ? side->scale[(panel->first + i) * side->scale_stride] : 0;
    for (int64_t k = 0; k < panel->kc; k++, dst += panel->padded)
        for (int i = 0; i < panel->padded; i++)
            dst[i] *= factor[i];
}

KERNEL_FUNCTION void KERNELS(pack)(const GemmSide *side, const GemmPanel *panel, float *dst)
{
    if (side->outer == 1 && !side->rows)
        KERNELS(pack_copied)(side, panel, dst);
    else if (side->inner == 1 && !side->k_index)
        KERNELS(pack_transposed)(side, panel, dst);
    else
        KERNELS(pack_gathered)(side, panel, dst);
    if (side->scale)
        KERNELS(scale)(side, panel, dst);
}

static const GemmKernels KERNELS(set) = {
    .name = KERNEL_NAME, .height = HEIGHT, .lanes = LANES, .kernel = KERNELS(table), .pack = KERNELS(pack), .merge = KERNELS(merge)};

const GemmKernels *KERNELS(gemm_kernels)(void) { return &KERNELS(set); }
