/* The kernels of one instruction set, as a template: the including file defines
     KERNELS(name)   name with the set's suffix
     TARGET          function attribute that enables the set
     HEIGHT          rows of the register tile (6 or 14, or 4)
     TURNED_HEIGHT   rows of the tile whose right operand is turned in registers (8 or 4)
     LANES, Vec      floats of a vector, and its type
     VEC_ALL(x)      a vector of x
     VEC_FMA(a,b,c)  a * b + c rounded once
     VEC_LOAD_PART(p, n), VEC_STORE_PART(p, n, x)  the first n < LANES floats of a vector; what else is loaded is never stored
     VEC_STORE_PAST(p, x)  stores to aligned memory past the caches, where the set can; VEC_DRAIN() waits for that
     Oct, OCT_LOAD(low, high)  eight floats, four from each of two addresses
     HEX_LOAD(a, b, c, d)  optional, where LANES is 16: a vector of four floats from each address
   All arithmetic is written so that every set makes the same bits; vectors run over columns, never over k. */
#include <string.h>

#define KERNEL_FUNCTION TARGET static
#define KERNEL_INLINE   TARGET static inline __attribute__((always_inline))
#define UNROLL          _Pragma("GCC unroll 16")
#define ROWS_STEP       4 /* k at a time where rows lie along it */
#define ROWS_HEIGHT     (HEIGHT < GEMM_ROWS_LIMIT ? HEIGHT : GEMM_ROWS_LIMIT)

/* s[i]: four consecutive k of rows i and i + 4, which share a vector so that no shuffle crosses its halves; x[j] becomes the eight values at the j-th k. */
KERNEL_INLINE void KERNELS(transpose)(const Oct *s, Oct *x)
{
    Oct t[4];
    UNROLL for (int i = 0; i < 4; i += 2)
    {
        t[i] = __builtin_shufflevector(s[i], s[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        t[i + 1] = __builtin_shufflevector(s[i], s[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    UNROLL for (int i = 0; i < 2; i++)
    {
        x[2 * i] = __builtin_shufflevector(t[i], t[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        x[2 * i + 1] = __builtin_shufflevector(t[i], t[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
}

/* LANES rows, `stride` apart, of four floats each: x[j] becomes the values at the j-th. */
KERNEL_INLINE void KERNELS(turn)(const float *from, int64_t stride, Vec *x)
{
#ifdef HEX_LOAD /* the same with rows i, i + 4, i + 8 and i + 12 in a vector */
    Vec s[4], t[4];
    UNROLL for (int i = 0; i < 4; i++) { s[i] = HEX_LOAD(from + i * stride, from + 4 * stride + i * stride, from + 8 * stride + i * stride, from + 12 * stride + i * stride); }
    UNROLL for (int i = 0; i < 4; i += 2)
    {
        t[i] = __builtin_shufflevector(s[i], s[i + 1], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
        t[i + 1] = __builtin_shufflevector(s[i], s[i + 1], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
    }
    UNROLL for (int i = 0; i < 2; i++)
    {
        x[2 * i] = __builtin_shufflevector(t[i], t[i + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
        x[2 * i + 1] = __builtin_shufflevector(t[i], t[i + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    }
#else
    Oct s[4], y[4];
    UNROLL for (int i = 0; i < 4; i++) { s[i] = OCT_LOAD(from + i * stride, from + 4 * stride + i * stride); }
    KERNELS(transpose)(s, y);
    UNROLL for (int i = 0; i < 4; i++) memcpy(&x[i], &y[i], sizeof(Vec));
#endif
}

/* Stores the sums of a tile, two vectors a row where it has several rows: of the last vector `last` floats. */
KERNEL_INLINE void KERNELS(tile_store)(const int height, const int vectors, const Vec *sums, const GemmStore *store, const bool based, const bool part)
{
    const Vec factor = VEC_ALL(store->alpha);
    UNROLL for (int i = 0; i < height; i++) UNROLL for (int v = 0; v < vectors; v++)
    {
        Vec value = factor * sums[2 * i + v];
        const bool short_one = part && v == vectors - 1;
        if (based && short_one) {
            value = VEC_FMA(factor, sums[2 * i + v], VEC_LOAD_PART(store->base[i] + v * LANES, store->last));
        } else if (based) {
            memcpy(&value, store->base[i] + v * LANES, sizeof(Vec));
            value = VEC_FMA(factor, sums[2 * i + v], value);
        }
        if (short_one)
            VEC_STORE_PART(store->rows[i] + v * LANES, store->last, value);
        else
            memcpy(store->rows[i] + v * LANES, &value, sizeof(Vec));
    }
}

KERNEL_INLINE void KERNELS(tile_put)(const int height, const int vectors, const Vec *sums, const GemmStore *store)
{
    const Vec factor = VEC_ALL(store->alpha);
    if (store->past) {
        UNROLL for (int i = 0; i < height; i++) UNROLL for (int v = 0; v < vectors; v++) VEC_STORE_PAST(store->rows[i] + v * LANES, factor * sums[2 * i + v]);
    } else if (store->last < LANES) {
        if (store->base)
            KERNELS(tile_store)(height, vectors, sums, store, true, true);
        else
            KERNELS(tile_store)(height, vectors, sums, store, false, true);
    } else if (store->base) {
        KERNELS(tile_store)(height, vectors, sums, store, true, false);
    } else {
        KERNELS(tile_store)(height, vectors, sums, store, false, false);
    }
}

KERNEL_INLINE void KERNELS(register_tile)(const int height, const int vectors, int64_t kc, const float *a, const float *b, int64_t ldb, const GemmStore *store, const float *next,
                                          int64_t next_step)
{
    Vec sums[2 * HEIGHT];
    UNROLL for (int i = 0; i < height; i++) UNROLL for (int v = 0; v < vectors; v++) sums[2 * i + v] = VEC_ALL(0);
    for (int64_t k = 0; k < kc; k++, a += height, b += ldb, next += next_step) {
        Vec right[2];
        UNROLL for (int v = 0; v < vectors; v++)
        {
            memcpy(&right[v], b + v * LANES, sizeof(Vec));
            if (v * LANES % 16 == 0) /* one for each cache line */
                __builtin_prefetch(next + v * LANES, 0, 2);
        }
        UNROLL for (int i = 0; i < height; i++)
        {
            Vec left = VEC_ALL(a[i]);
            UNROLL for (int v = 0; v < vectors; v++) sums[2 * i + v] = VEC_FMA(left, right[v], sums[2 * i + v]);
        }
    }
    KERNELS(tile_put)(height, vectors, sums, store);
}

KERNEL_INLINE void KERNELS(rows_tile)(const int height, const int vectors, int64_t kc, const float *const *a, const float *b, int64_t ldb, const GemmStore *store)
{
    Vec sums[2 * ROWS_HEIGHT];
    const float *left[ROWS_HEIGHT];
    UNROLL for (int i = 0; i < height; i++)
    {
        left[i] = a[i];
        UNROLL for (int v = 0; v < vectors; v++) sums[2 * i + v] = VEC_ALL(0);
    }
    int64_t k = 0;
    for (; k + ROWS_STEP <= kc; k += ROWS_STEP, b += ROWS_STEP * ldb) {
        Vec right[2 * ROWS_STEP];
        UNROLL for (int q = 0; q < ROWS_STEP; q++) UNROLL for (int v = 0; v < vectors; v++) memcpy(&right[2 * q + v], b + q * ldb + v * LANES, sizeof(Vec));
        UNROLL for (int i = 0; i < height; i++) UNROLL for (int q = 0; q < ROWS_STEP; q++)
        {
            const Vec value = VEC_ALL(left[i][k + q]);
            UNROLL for (int v = 0; v < vectors; v++) sums[2 * i + v] = VEC_FMA(value, right[2 * q + v], sums[2 * i + v]);
        }
    }
    for (; k < kc; k++, b += ldb)
        UNROLL for (int v = 0; v < vectors; v++)
        {
            Vec right;
            memcpy(&right, b + v * LANES, sizeof right);
            UNROLL for (int i = 0; i < height; i++) sums[2 * i + v] = VEC_FMA(VEC_ALL(left[i][k]), right, sums[2 * i + v]);
        }
    KERNELS(tile_put)(height, vectors, sums, store);
}

/* The right operand by columns that lie along k: turned in registers, four k at a time. */
KERNEL_INLINE void KERNELS(turned_tile)(const int height, const int vectors, int64_t kc, const float *a, const float *b, int64_t stride, const GemmStore *store)
{
    Vec sums[2 * TURNED_HEIGHT];
    UNROLL for (int i = 0; i < height; i++) UNROLL for (int v = 0; v < vectors; v++) sums[2 * i + v] = VEC_ALL(0);
    int64_t k = 0;
    for (; k + 4 <= kc; k += 4, a += 4 * height, b += 4) {
        Vec right[2][4];
        UNROLL for (int v = 0; v < vectors; v++) KERNELS(turn)(b + v * LANES * stride, stride, right[v]);
        UNROLL for (int q = 0; q < 4; q++) UNROLL for (int i = 0; i < height; i++)
        {
            const Vec left = VEC_ALL(a[q * height + i]);
            UNROLL for (int v = 0; v < vectors; v++) sums[2 * i + v] = VEC_FMA(left, right[v][q], sums[2 * i + v]);
        }
    }
    for (; k < kc; k++, a += height, b++)
        UNROLL for (int v = 0; v < vectors; v++)
        {
            float values[LANES];
            Vec right;
            for (int lane = 0; lane < LANES; lane++)
                values[lane] = b[(v * LANES + lane) * stride];
            memcpy(&right, values, sizeof right);
            UNROLL for (int i = 0; i < height; i++) sums[2 * i + v] = VEC_FMA(VEC_ALL(a[i]), right, sums[2 * i + v]);
        }
    KERNELS(tile_put)(height, vectors, sums, store);
}

enum { KERNELS(WIDE_AHEAD) = 8 }; /* rows of b */

KERNEL_FUNCTION void KERNELS(wide)(int64_t kc, const float *a, const float *b, int64_t ldb, const GemmStore *store, const float *next, int64_t next_step)
{
    Vec sums[GEMM_WIDE_VECTORS];
    (void)next, (void)next_step;
    UNROLL for (int v = 0; v < GEMM_WIDE_VECTORS; v++) sums[v] = VEC_ALL(0);
    for (int64_t k = 0; k < kc; k++, b += ldb) {
        const Vec left = VEC_ALL(a[k]);
        UNROLL for (int v = 0; v < GEMM_WIDE_VECTORS; v++)
        {
            Vec right;
            memcpy(&right, b + v * LANES, sizeof right);
            if (v * LANES % 16 == 0)
                __builtin_prefetch(b + KERNELS(WIDE_AHEAD) * ldb + v * LANES, 0, 2);
            sums[v] = VEC_FMA(left, right, sums[v]);
        }
    }
    KERNELS(tile_put)(1, GEMM_WIDE_VECTORS, sums, store);
}

#define KERNEL_OF(height, vectors)                                                                                                                                                 \
    KERNEL_FUNCTION void KERNELS(kernel_##height##_##vectors)(int64_t kc, const float *a, const float *b, int64_t ldb, const GemmStore *store, const float *next,                  \
                                                              int64_t next_step)                                                                                                   \
    {                                                                                                                                                                              \
        KERNELS(register_tile)(height, vectors, kc, a, b, ldb, store, next, next_step);                                                                                            \
    }
#define ROWS_KERNEL_OF(height, vectors)                                                                                                                                            \
    KERNEL_FUNCTION void KERNELS(rows_##height##_##vectors)(int64_t kc, const float *const *a, const float *b, int64_t ldb, const GemmStore *store)                                \
    {                                                                                                                                                                              \
        KERNELS(rows_tile)(height, vectors, kc, a, b, ldb, store);                                                                                                                 \
    }
#define TURNED_KERNEL_OF(height, vectors)                                                                                                                                          \
    KERNEL_FUNCTION void KERNELS(turned_##height##_##vectors)(int64_t kc, const float *a, const float *b, int64_t stride, const GemmStore *store)                                  \
    {                                                                                                                                                                              \
        KERNELS(turned_tile)(height, vectors, kc, a, b, stride, store);                                                                                                            \
    }
#define KERNELS_OF(height) KERNEL_OF(height, 1) KERNEL_OF(height, 2)
#define KERNEL_ROW(height)                                                                                                                                                         \
    {                                                                                                                                                                              \
        KERNELS(kernel_##height##_1), KERNELS(kernel_##height##_2)                                                                                                                 \
    }
#define ROWS_KERNELS_OF(height) ROWS_KERNEL_OF(height, 1) ROWS_KERNEL_OF(height, 2)
#define ROWS_KERNEL_ROW(height)                                                                                                                                                    \
    {                                                                                                                                                                              \
        KERNELS(rows_##height##_1), KERNELS(rows_##height##_2)                                                                                                                     \
    }
#define TURNED_KERNELS_OF(height) TURNED_KERNEL_OF(height, 1) TURNED_KERNEL_OF(height, 2)
#define TURNED_KERNEL_ROW(height)                                                                                                                                                  \
    {                                                                                                                                                                              \
        KERNELS(turned_##height##_1), KERNELS(turned_##height##_2)                                                                                                                 \
    }

KERNELS_OF(1)
KERNELS_OF(2)
KERNELS_OF(3)
KERNELS_OF(4)
ROWS_KERNELS_OF(1)
ROWS_KERNELS_OF(2)
ROWS_KERNELS_OF(3)
ROWS_KERNELS_OF(4)
TURNED_KERNELS_OF(1)
TURNED_KERNELS_OF(2)
TURNED_KERNELS_OF(3)
TURNED_KERNELS_OF(4)
#if HEIGHT >= 6
KERNELS_OF(5)
KERNELS_OF(6)
ROWS_KERNELS_OF(5)
ROWS_KERNELS_OF(6)
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
ROWS_KERNELS_OF(7)
ROWS_KERNELS_OF(8)
#endif
#if TURNED_HEIGHT >= 8
TURNED_KERNELS_OF(5)
TURNED_KERNELS_OF(6)
TURNED_KERNELS_OF(7)
TURNED_KERNELS_OF(8)
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

static GemmRowsKernel *const KERNELS(rows_table)[ROWS_HEIGHT][2] = {
    ROWS_KERNEL_ROW(1), ROWS_KERNEL_ROW(2), ROWS_KERNEL_ROW(3), ROWS_KERNEL_ROW(4),
#if HEIGHT >= 6
    ROWS_KERNEL_ROW(5), ROWS_KERNEL_ROW(6),
#endif
#if HEIGHT >= 14
    ROWS_KERNEL_ROW(7), ROWS_KERNEL_ROW(8),
#endif
};

static GemmTurnedKernel *const KERNELS(turned_table)[TURNED_HEIGHT][2] = {
    TURNED_KERNEL_ROW(1), TURNED_KERNEL_ROW(2), TURNED_KERNEL_ROW(3), TURNED_KERNEL_ROW(4),
#if TURNED_HEIGHT >= 8
    TURNED_KERNEL_ROW(5), TURNED_KERNEL_ROW(6), TURNED_KERNEL_ROW(7), TURNED_KERNEL_ROW(8),
#endif
};

KERNEL_FUNCTION void KERNELS(merge)(const float *tile, int64_t tile_row, const GemmMerge *merge)
{
    for (int i = 0; i < merge->height; i++) {
        float *to = merge->rows[i];
        if (!to)
            continue;
        const float *from = tile + i * tile_row, *base = merge->base ? merge->base[i] : NULL;
        if (base)
            for (int j = 0; j < merge->width; j++)
                to[j * merge->column] = __builtin_fmaf(merge->alpha, from[j], base[j * merge->column]);
        else
            for (int j = 0; j < merge->width; j++)
                to[j * merge->column] = merge->alpha * from[j];
    }
}

KERNEL_FUNCTION void KERNELS(drain)(void) { VEC_DRAIN(); }

/* The values of `groups` times eight rows at k, k + 1 ..., `count` of them, a multiple of four; the rows `ahead` floats on are fetched. */
KERNEL_INLINE void KERNELS(turn_rows)(const float *const *from, int groups, int64_t k, int64_t count, int64_t ahead, int64_t padded, float *dst)
{
    for (int g = groups; g-- > 0;) {
        float *to = dst + k * padded + 8 * g;
        UNROLL for (int i = 0; i < 8 && ahead > 0; i++) /* the panel after this one */
            __builtin_prefetch(from[8 * g + i] + ahead + k, 0, 2);
        for (int64_t q = k; q < k + count; q += 4, to += 4 * padded) {
            Oct s[4], x[4];
            UNROLL for (int i = 0; i < 4; i++) { s[i] = OCT_LOAD(from[8 * g + i] + q, from[8 * g + i + 4] + q); }
            KERNELS(transpose)(s, x);
            UNROLL for (int i = 0; i < 4; i++) memcpy(to + i * padded, &x[i], sizeof(Oct));
        }
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
        KERNELS(turn_rows)(from, groups, k, 16, ahead, padded, dst);
    for (; k + 4 <= panel->kc; k += 4)
        KERNELS(turn_rows)(from, groups, k, 4, 0, padded, dst);
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
        _Pragma("GCC unroll 4") for (int64_t k = 0; k < kc; k++, dst += padded, base += inner) KERNELS(copy_row)(dst, base, width, part);
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

static const GemmKernels KERNELS(set) = {.name = KERNEL_NAME,
                                         .height = HEIGHT,
                                         .lanes = LANES,
                                         .kernel = KERNELS(table),
                                         .rows_kernel = KERNELS(rows_table),
                                         .turned_kernel = KERNELS(turned_table),
                                         .turned_height = TURNED_HEIGHT,
                                         .wide = KERNELS(wide),
                                         .drain = KERNELS(drain),
                                         .pack = KERNELS(pack),
                                         .merge = KERNELS(merge)};

const GemmKernels *KERNELS(gemm_kernels)(void) { return &KERNELS(set); }
