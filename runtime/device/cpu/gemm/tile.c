/* One tile of one product: packs the left rows block by block of k, then walks the right panels over them. */
#include <string.h>

#include "device/cpu/gemm/kernel.h"

/* Scratch of a tile: left block, right panel, one register tile, one row to throw away. */
typedef struct TileScratch {
    float *left, *right, *tile, *waste;
} TileScratch;

enum { ROWS_PANELS = 1 }; /* right panels at most that read left rows as they lie */

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
    bool turned; /* columns along k, `row` apart */
} RightPanel;

static const float zeros[BFM_GEMM_K_BLOCK];

/* Row (column, on the right) `at` of an operand that lies along k, from k0 on; `zeros` for one that is absent. */
static const float *side_row(const GemmSide *side, int64_t at, int64_t k0)
{
    const int64_t place = side->rows ? side->rows[at] : at;
    return place < 0 ? zeros : side->base + place * side->outer + k0;
}

static bool side_along_k(const GemmSide *side) { return side->inner == 1 && !side->k_index && !side->scale; }

static bool right_is_plain(const GemmSide *right) { return right->outer == 1 && !right->rows && !right->k_index && !right->scale; }

/* A few rows read each column once: it is turned on the way, not packed. */
static bool right_turns(const GemmKernels *kernels, const GemmJob *job)
{
    return !right_is_plain(&job->right) && side_along_k(&job->right) && !job->right.rows && !job->packed && job->m <= kernels->turned_height;
}

/* A single row reads many columns of a right operand that lies as the kernels want it: whole lines, one row after the other. */
static bool panel_wide(const GemmKernels *kernels, const GemmJob *job, int64_t columns)
{
    return job->m == 1 && right_is_plain(&job->right) && !job->packed && job->c_column == 1 && columns >= GEMM_WIDE_VECTORS * kernels->lanes;
}

static RightPanel right_panel(const GemmKernels *kernels, const GemmJob *job, int64_t column, int64_t end, int64_t k0, int64_t kc, int64_t chunk, int64_t row_panels,
                              float *scratch)
{
    const bool wide = panel_wide(kernels, job, end - column);
    int width = (int)gemm_min(end - column, (wide ? GEMM_WIDE_VECTORS : 2) * kernels->lanes);
    int vectors = wide ? GEMM_WIDE_VECTORS : width > kernels->lanes ? 2 : 1, padded = vectors * kernels->lanes;
    RightPanel panel = {.row = padded, .next_step = padded, .column = column, .width = width, .vectors = vectors};
    if (job->packed) {
        panel.at = job->packed + (k0 - chunk) * gemm_round_up(job->n, kernels->lanes) + column * kc;
        panel.next = panel.at + kc * padded;
        return panel;
    }
    bool plain = right_is_plain(&job->right);
    if (width == padded && right_turns(kernels, job)) {
        panel.at = job->right.base + k0 + column * job->right.outer;
        panel.row = job->right.outer;
        panel.turned = true;
        return panel;
    }
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

/* What the sums of one block of k are added to, as c lies; NULL = 0. */
static const float *block_base(const GemmJob *job, int64_t k0) { return k0 > 0 ? job->c : job->base; }

/* One register tile; what cannot be stored as whole vectors goes through scratch. `left`: packed rows; NULL: rows as they lie. */
static void register_tile(const GemmKernels *kernels, const GemmJob *job, const RightPanel *right, const float *left, GemmRange rows, int64_t k0, int64_t kc,
                          const TileScratch *scratch)
{
    const int height = (int)(rows.end - rows.begin), padded = right->vectors * kernels->lanes;
    const bool direct = job->c_column == 1;
    const float *first = block_base(job, k0), *lying[GEMM_ROWS_LIMIT], *base[GEMM_HEIGHT_LIMIT];
    float *to[GEMM_HEIGHT_LIMIT], *through[GEMM_HEIGHT_LIMIT];
    if (!job->c_rows && direct) {
        float *row = job->c + rows.begin * job->c_row + right->column;
        for (int i = 0; i < height; i++, row += job->c_row)
            through[i] = row;
        const float *from = first ? first + rows.begin * job->c_row + right->column : NULL;
        for (int i = 0; i < height && first; i++, from += job->c_row)
            base[i] = from;
    } else {
        for (int i = 0; i < height; i++) {
            const int64_t place = job->c_rows ? job->c_rows[rows.begin + i] : rows.begin + i, offset = place * job->c_row + right->column * job->c_column;
            to[i] = place < 0 ? NULL : job->c + offset;
            through[i] = !direct ? scratch->tile + i * padded : to[i] ? to[i] : scratch->waste;
            base[i] = place < 0 || !first ? scratch->waste : first + offset;
        }
    }
    const GemmStore store = {.rows = through,
                             .base = direct && first ? base : NULL,
                             .alpha = direct ? job->alpha : 1,
                             .past = job->past && right->width == padded,
                             .last = direct ? kernels->lanes - (padded - right->width) : kernels->lanes};
    if (right->turned) {
        kernels->turned_kernel[height - 1][right->vectors - 1](kc, left, right->at, right->row, &store);
    } else if (left) {
        GemmKernel *kernel = right->vectors > 2 ? kernels->wide : kernels->kernel[height - 1][right->vectors - 1];
        kernel(kc, left, right->at, right->row, &store, right->next, right->next_step);
    } else {
        for (int i = 0; i < height; i++)
            lying[i] = side_row(&job->left, rows.begin + i, k0);
        kernels->rows_kernel[height - 1][right->vectors - 1](kc, lying, right->at, right->row, &store);
    }
    if (!direct) {
        GemmMerge merge = {.rows = to, .base = first ? base : NULL, .column = job->c_column, .height = height, .width = right->width, .alpha = job->alpha};
        kernels->merge(scratch->tile, padded, &merge);
    }
}

/* No k at all: C becomes what it would be added to. */
static void tile_empty(const GemmJob *job, GemmRange rows, GemmRange columns)
{
    for (int64_t i = rows.begin; i < rows.end; i++) {
        int64_t place = job->c_rows ? job->c_rows[i] : i;
        for (int64_t j = columns.begin; place >= 0 && j < columns.end; j++) {
            const int64_t offset = place * job->c_row + j * job->c_column;
            job->c[offset] = job->base ? job->base[offset] : 0;
        }
    }
}

/* Packing pays where several right panels read what was packed. */
static bool left_lies(const GemmKernels *kernels, const GemmJob *job)
{
    return side_along_k(&job->left) && !job->left_packed && job->m > 1 && !right_turns(kernels, job) && job->n <= ROWS_PANELS * 2 * kernels->lanes;
}

void gemm_tile(const GemmKernels *kernels, const GemmJob *job, GemmRange rows, GemmRange columns, GemmRange ks, float *scratch)
{
    if (job->k == 0)
        tile_empty(job, rows, columns);
    TileScratch parts = scratch_split(scratch);
    const bool lies = left_lies(kernels, job);
    const int64_t count = rows.end - rows.begin, row_panels = gemm_parts(count, lies ? gemm_min(kernels->height, GEMM_ROWS_LIMIT) : kernels->height);
    for (int64_t k0 = ks.begin; k0 < ks.end; k0 += BFM_GEMM_K_BLOCK) {
        int64_t kc = gemm_min(ks.end - k0, BFM_GEMM_K_BLOCK);
        const float *left_block = lies ? NULL : job->left_packed ? job->left_packed + k0 * job->m : parts.left;
        if (!job->left_packed && !lies)
            gemm_left_pack(kernels, job, rows, k0, kc, parts.left);
        for (int64_t j = columns.begin; j < columns.end;) {
            RightPanel right = right_panel(kernels, job, j, columns.end, k0, kc, ks.begin, row_panels, parts.right);
            for (int64_t p = 0; p < row_panels; p++) {
                GemmRange tile_rows = {panel_begin(count, row_panels, p), panel_begin(count, row_panels, p + 1)};
                const float *left = left_block ? left_block + tile_rows.begin * kc : NULL;
                tile_rows.begin += rows.begin;
                tile_rows.end += rows.begin;
                register_tile(kernels, job, &right, left, tile_rows, k0, kc, &parts);
            }
            j += right.width;
        }
    }
    if (job->past)
        kernels->drain();
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
