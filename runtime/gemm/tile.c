/* One tile of one product: packs the left rows block by block of k, then walks the right panels over them. */
#include <string.h>

#include "gemm/kernel.h"

/* Scratch of a tile: left block, right panel, one register tile, one row to throw away. */
typedef struct TileScratch {
    float *left, *right, *tile, *waste;
} TileScratch;

static const int64_t LEFT_FLOATS = (int64_t)GEMM_TILE_ROWS * BFM_GEMM_K_BLOCK + 64;
static const int64_t RIGHT_FLOATS = (int64_t)GEMM_WIDTH_LIMIT * BFM_GEMM_K_BLOCK + 64;
static const int64_t TILE_FLOATS = (int64_t)GEMM_WIDTH_LIMIT * GEMM_HEIGHT_LIMIT;

int64_t gemm_tile_scratch(void) { return LEFT_FLOATS + RIGHT_FLOATS + TILE_FLOATS + GEMM_WIDTH_LIMIT; }

static TileScratch scratch_split(float *scratch)
{
    float *right = scratch + LEFT_FLOATS, *tile = right + RIGHT_FLOATS;
    memset(tile + TILE_FLOATS, 0, GEMM_WIDTH_LIMIT * sizeof *tile);
    return (TileScratch){scratch, right, tile, tile + TILE_FLOATS};
}

/* Rows are dealt to panels as evenly as possible: panel p of `panels` begins at this row. */
static int64_t panel_begin(int64_t rows, int64_t panels, int64_t p) { return rows * p / panels; }

void gemm_left_pack(const GemmKernels *kernels, const GemmJob *job, GemmRange rows, int64_t k0, int64_t kc, float *dst)
{
    int64_t count = rows.end - rows.begin, panels = gemm_parts(count, kernels->height);
    for (int64_t p = 0; p < panels; p++) { /* upwards: a panel may spill into the next one */
        int64_t begin = panel_begin(count, panels, p);
        int height = (int)(panel_begin(count, panels, p + 1) - begin);
        GemmPanel panel = {.first = rows.begin + begin, .k0 = k0, .kc = kc, .width = height, .padded = height};
        kernels->pack(&job->left, &panel, dst + begin * kc);
    }
}

/* A right panel as the kernels read it. */
typedef struct RightPanel {
    const float *at, *next;
    int64_t row, next_step;
    int64_t column;
    int width, vectors;
} RightPanel;

static bool right_is_plain(const GemmSide *right) { return right->outer == 1 && !right->rows && !right->k_index && !right->scale; }

static RightPanel right_panel(const GemmKernels *kernels, const GemmJob *job, int64_t column, int64_t end, int64_t k0, int64_t kc, int64_t chunk,
                              int64_t row_panels, float *scratch)
{
    int width = (int)gemm_min(end - column, 2 * kernels->lanes);
    int vectors = width > kernels->lanes ? 2 : 1, padded = vectors * kernels->lanes;
    RightPanel panel = {.row = padded, .next_step = padded, .column = column, .width = width, .vectors = vectors};
    if (job->packed) {
        panel.at = job->packed + (k0 - chunk) * gemm_round_up(job->n, kernels->lanes) + column * kc;
        panel.next = panel.at + kc * padded;
        return panel;
    }
    bool plain = right_is_plain(&job->right);
    const float *source = job->right.base + k0 * job->right.inner + column;
    if (plain && row_panels == 1 && width == padded) {
        panel.at = source;
        panel.row = job->right.inner;
    } else {
        GemmPanel packed = {.first = column, .k0 = k0, .kc = kc, .width = width, .padded = padded};
        kernels->pack(&job->right, &packed, scratch);
        panel.at = scratch;
    }
    panel.next = plain ? source + padded : panel.at;
    panel.next_step = plain ? job->right.inner : panel.row;
    return panel;
}

/* One register tile; what cannot be stored as whole vectors goes through scratch. */
static void register_tile(const GemmKernels *kernels, const GemmJob *job, const RightPanel *right, const float *left, GemmRange rows, int64_t kc, bool add,
                          const TileScratch *scratch)
{
    int height = (int)(rows.end - rows.begin), padded = right->vectors * kernels->lanes;
    bool direct = job->c_column == 1 && right->width == padded;
    float *to[GEMM_HEIGHT_LIMIT], *through[GEMM_HEIGHT_LIMIT];
    for (int i = 0; i < height; i++) {
        int64_t place = job->c_rows ? job->c_rows[rows.begin + i] : rows.begin + i;
        to[i] = place < 0 ? NULL : job->c + place * job->c_row + right->column * job->c_column;
        through[i] = !direct ? scratch->tile + i * padded : to[i] ? to[i] : scratch->waste;
    }
    GemmKernel *kernel = kernels->kernel[height - 1][right->vectors - 1];
    kernel(kc, left, right->at, right->row, through, direct ? job->alpha : 1, direct && add, right->next, right->next_step);
    if (!direct) {
        GemmMerge merge = {.rows = to, .column = job->c_column, .height = height, .width = right->width, .alpha = job->alpha, .add = add};
        kernels->merge(scratch->tile, padded, &merge);
    }
}

static void tile_zero(const GemmJob *job, GemmRange rows, GemmRange columns)
{
    for (int64_t i = rows.begin; i < rows.end; i++) {
        int64_t place = job->c_rows ? job->c_rows[i] : i;
        for (int64_t j = columns.begin; place >= 0 && j < columns.end; j++)
            job->c[place * job->c_row + j * job->c_column] = 0;
    }
}

void gemm_tile(const GemmKernels *kernels, const GemmJob *job, GemmRange rows, GemmRange columns, GemmRange ks, float *scratch)
{
    if (job->k == 0 && !job->accumulate)
        tile_zero(job, rows, columns);
    TileScratch parts = scratch_split(scratch);
    int64_t count = rows.end - rows.begin, row_panels = gemm_parts(count, kernels->height);
    for (int64_t k0 = ks.begin; k0 < ks.end; k0 += BFM_GEMM_K_BLOCK) {
        int64_t kc = gemm_min(ks.end - k0, BFM_GEMM_K_BLOCK);
        bool add = job->accumulate || k0 > 0;
        const float *left_block = job->left_packed ? job->left_packed + k0 * job->m : parts.left;
        if (!job->left_packed)
            gemm_left_pack(kernels, job, rows, k0, kc, parts.left);
        for (int64_t j = columns.begin; j < columns.end; j += 2 * kernels->lanes) {
            RightPanel right = right_panel(kernels, job, j, columns.end, k0, kc, ks.begin, row_panels, parts.right);
            for (int64_t p = 0; p < row_panels; p++) {
                GemmRange tile_rows = {panel_begin(count, row_panels, p), panel_begin(count, row_panels, p + 1)};
                const float *left = left_block + tile_rows.begin * kc;
                tile_rows.begin += rows.begin;
                tile_rows.end += rows.begin;
                register_tile(kernels, job, &right, left, tile_rows, kc, add, &parts);
            }
        }
    }
}

void gemm_right_pack(const GemmKernels *kernels, const GemmJob *job, GemmRange columns, int64_t k0, int64_t chunk)
{
    int64_t kc = gemm_min(gemm_min(chunk + job->k_chunk, job->k) - k0, BFM_GEMM_K_BLOCK);
    float *block = job->space + (k0 - chunk) * gemm_round_up(job->n, kernels->lanes);
    for (int64_t j = columns.begin; j < columns.end; j += 2 * kernels->lanes) {
        int width = (int)gemm_min(columns.end - j, 2 * kernels->lanes);
        GemmPanel panel = {.first = j, .k0 = k0, .kc = kc, .width = width, .padded = width > kernels->lanes ? 2 * kernels->lanes : kernels->lanes};
        kernels->pack(&job->right, &panel, block + j * kc);
    }
}
