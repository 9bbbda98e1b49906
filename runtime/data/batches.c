#include "data/batches.h"

#include "data/permute.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

bool bfm_batches_init(BfmBatches *batches, const BfmTokens *tokens, int64_t batch, int64_t context, uint64_t seed, BfmError *error)
{
    int64_t count = bfm_tokens_info(tokens)->count;
    if (batch < 1 || context < 1)
        return bfm_error_set(error, BFM_ERROR_INPUT, "batch %" PRId64 " and context %" PRId64 " must both be at least 1", batch, context);
    if (count < 2 || count - 1 < context)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: holds %" PRId64 " id%s, fewer than one window of context %" PRId64 " needs; train on more text or with a shorter context",
                             bfm_tokens_path(tokens), count, bfm_plural(count), context);
    /* Every epoch has the same number of windows wherever it begins; data of less than two windows leaves no choice. */
    int64_t windows = (count - context) / context;
    if (windows < 1)
        windows = 1;
    int64_t slack = count - 1 - windows * context;
    *batches = (BfmBatches){tokens, batch, context, windows, slack < context ? slack : context - 1, seed};
    return true;
}

static int64_t epoch_offset(const BfmBatches *batches, int64_t epoch)
{
    const uint64_t name[2] = {(uint64_t)epoch, UINT64_C(0x74657366666f)}; /* "offset": another stream than the order's keys */
    return (int64_t)(XXH3_64bits_withSeed(name, sizeof name, batches->seed) % ((uint64_t)batches->slack + 1));
}

/* Walks the samples of consecutive rows; the order of an epoch is prepared once, when its first row comes. */
typedef struct Walk {
    BfmPermutation order;
    int64_t epoch, offset; /* epoch -1: nothing prepared yet */
} Walk;

static int64_t sample_start(const BfmBatches *batches, int64_t sample, Walk *walk)
{
    int64_t epoch = sample / batches->windows;
    if (epoch != walk->epoch) {
        bfm_permutation_init(&walk->order, batches->windows, batches->seed, (uint64_t)epoch);
        walk->offset = epoch_offset(batches, epoch);
        walk->epoch = epoch;
    }
    return walk->offset + bfm_permutation_at(&walk->order, sample % batches->windows) * batches->context;
}

void bfm_batches_starts(const BfmBatches *batches, int64_t step, int64_t *starts)
{
    Walk walk = {.epoch = -1};
    for (int64_t row = 0; row < batches->batch; row++)
        starts[row] = sample_start(batches, step * batches->batch + row, &walk);
}

void bfm_batches_fill(const BfmBatches *batches, int64_t step, int32_t *tokens)
{
    Walk walk = {.epoch = -1};
    int64_t width = batches->context + 1;
    for (int64_t row = 0; row < batches->batch; row++)
        bfm_tokens_copy(batches->tokens, sample_start(batches, step * batches->batch + row, &walk), width, tokens + row * width);
}

double bfm_batches_epoch(const BfmBatches *batches, int64_t step) { return (double)step * (double)batches->batch / (double)batches->windows; }

int64_t bfm_windows_count(const BfmTokens *tokens, int64_t context)
{
    int64_t count = bfm_tokens_info(tokens)->count;
    return count < 2 ? 0 : (count - 2) / context + 1;
}

int64_t bfm_windows_fill(const BfmTokens *tokens, int64_t context, int64_t first, int64_t rows, int32_t *out, int64_t *targets)
{
    int64_t count = bfm_tokens_info(tokens)->count, filled = 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t start = (first + row) * context, left = count - start;
        int64_t ids = left < 2 ? 0 : left < context + 1 ? left : context + 1;
        int32_t *window = out + row * (context + 1);
        if (ids > 0)
            bfm_tokens_copy(tokens, start, ids, window);
        memset(window + ids, 0xff, (size_t)(context + 1 - ids) * sizeof *window); /* -1 */
        targets[row] = ids > 0 ? ids - 1 : 0;
        filled += ids > 0;
    }
    return filled;
}
