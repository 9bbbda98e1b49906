/* Inside of gemm: what an instruction set provides, and the product as the tile loops see it. */
#ifndef BFM_GEMM_KERNEL_H
#define BFM_GEMM_KERNEL_H

#include "device/cpu/gemm/gemm.h"

enum {
    GEMM_WIDTH_LIMIT = 32,                 /* rows or columns of the widest panel */
    GEMM_HEIGHT_LIMIT = 14,                /* rows of the highest register tile */
    GEMM_ROWS_LIMIT = 8,                   /* rows that a tile reads as they lie: as many lines of a first-level set as caches have at least */
    GEMM_WIDE_VECTORS = 8,                 /* vectors of columns of the tile of one row */
    GEMM_TILE_ROWS = BFM_GEMM_PACKED_ROWS, /* rows of the largest tile: its packed block of A stays in the second-level cache */
    GEMM_TILE_COLUMNS = 2048,
    GEMM_PACK_SLACK = 8, /* floats that packing may write past the end of a panel */
};

/* One operand as packing sees it: element (i, k) at base + place(i) * outer + place(k) * inner, times scale[i * scale_stride]. */
typedef struct GemmSide {
    const float *base;
    int64_t outer, inner;
    const int32_t *rows, *k_index; /* optional places; negative = zero */
    const float *scale;
    int64_t scale_stride;
} GemmSide;

/* A panel: `width` consecutive rows of a left operand (columns of a right one), k0 <= k < k0 + kc; packed as dst[(k - k0) * padded + i], zeros for i >= width. */
typedef struct GemmPanel {
    int64_t first, k0, kc;
    int width, padded;
} GemmPanel;

/* Where the sums of a register tile go: rows[i] = base[i] + alpha * sum; base NULL = 0. */
typedef struct GemmStore {
    float *const *rows;
    const float *const *base;
    float alpha;
    int last;  /* floats of the last vector that are stored */
    bool past; /* past the caches: rows aligned to 64 bytes, base NULL, and `drain` before another thread reads them */
} GemmStore;

/* The sums, over kc, of a[k * height + i] * b[k * ldb + j] for j < vectors * lanes; `next` walks over memory to be fetched ahead. */
typedef void GemmKernel(int64_t kc, const float *a, const float *b, int64_t ldb, const GemmStore *store, const float *next, int64_t next_step);

/* The same of a[i][k]: rows of the left operand as they lie. */
typedef void GemmRowsKernel(int64_t kc, const float *const *a, const float *b, int64_t ldb, const GemmStore *store);

/* The sums of a[k * height + i] * b[j * stride + k]. */
typedef void GemmTurnedKernel(int64_t kc, const float *a, const float *b, int64_t stride, const GemmStore *store);

/* Where a register tile goes when it cannot be stored as it is: rows[i] (NULL = nowhere) and base[i] at columns 0, column, 2 * column ... */
typedef struct GemmMerge {
    float *const *rows;
    const float *const *base; /* NULL = 0 */
    int64_t column;
    int height, width;
    float alpha;
} GemmMerge;

typedef struct GemmKernels {
    const char *name;
    int height, lanes;                           /* a register tile has at most `height` rows and 2 * lanes columns */
    GemmKernel *const (*kernel)[2];              /* [rows - 1][vectors of columns - 1] */
    GemmRowsKernel *const (*rows_kernel)[2];     /* the same for rows as they lie, min(height, GEMM_ROWS_LIMIT) of them */
    GemmTurnedKernel *const (*turned_kernel)[2]; /* the same for right columns along k, turned_height rows of them */
    int turned_height;
    GemmKernel *wide;    /* one row, GEMM_WIDE_VECTORS vectors of columns */
    void (*drain)(void); /* waits for what was stored past the caches */
    void (*pack)(const GemmSide *side, const GemmPanel *panel, float *dst);
    void (*merge)(const float *tile, int64_t tile_row, const GemmMerge *merge);
} GemmKernels;

/* The kernels of an engine on this CPU. */
const GemmKernels *gemm_kernels(BfmGemmEngine engine);
const GemmKernels *gemm_kernels_portable(void);
#if defined(__x86_64__)
const GemmKernels *gemm_kernels_avx2(void);
const GemmKernels *gemm_kernels_avx512(void);
#endif

/* A product with its roles settled: C[i, j] = left row i times right column j. */
typedef struct GemmJob {
    GemmSide left, right;
    int64_t m, n, k;
    float *c;
    int64_t c_row, c_column;
    const int32_t *c_rows;
    float alpha;
    const float *base;                                         /* what the sums are added to, as c lies; c itself when it accumulates; NULL = 0 */
    bool past;                                                 /* C is stored past the caches */
    int64_t tile_rows, tile_columns, tiles_down, tiles_across; /* tile_columns is a multiple of 2 * lanes unless one tile is enough */
    int64_t first_tile;                                        /* number of its first tile in the run */
    int64_t k_chunk;                                           /* k that one round of the run covers: a multiple of the block, or all of it */
    float *space;                                              /* where the run packs the right operand once for all tiles: k_chunk x n rounded up to lanes; NULL = it does not */
    const float *packed;                                       /* the right operand's current chunk as packed by the run or the caller; NULL = each tile packs */
    const float *left_packed;                                  /* all of the left operand as packed by the caller; NULL = each tile packs */
    int64_t first_pack;                                        /* number of its first packing task in a round */
} GemmJob;

GemmJob gemm_job_init(const BfmGemm *product, const GemmKernels *kernels);

typedef struct GemmRange {
    int64_t begin, end;
} GemmRange;

/* Floats of scratch that one tile needs, whatever the kernels. */
int64_t gemm_tile_scratch(void);

/* Packs a block of left rows: panel after panel from dst on, each k-major, so that row r of the block begins its panel at r * kc. */
void gemm_left_pack(const GemmKernels *kernels, const GemmJob *job, GemmRange rows, int64_t k0, int64_t kc, float *dst);

/* Computes C[rows, columns] over k in ks, a round of the job; at most GEMM_TILE_ROWS rows. */
void gemm_tile(const GemmKernels *kernels, const GemmJob *job, GemmRange rows, GemmRange columns, GemmRange ks, float *scratch);

/* Packs the right operand's columns of one block of k into job->space, which begins at `chunk`. */
void gemm_right_pack(const GemmKernels *kernels, const GemmJob *job, GemmRange columns, int64_t k0, int64_t chunk);

/* The OpenBLAS engine: whether it can express a product; runs those that it can. */
bool gemm_blas_present(void); /* the library can be loaded; else the own engine takes its place */
bool gemm_blas_can(const BfmGemm *product);
void gemm_blas_run(BfmPool *pool, const BfmGemm *products, int64_t count);

static inline int64_t gemm_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t gemm_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t gemm_parts(int64_t size, int64_t part) { return (size + part - 1) / part; }
static inline int64_t gemm_round_up(int64_t size, int64_t part) { return gemm_parts(size, part) * part; }

#endif
