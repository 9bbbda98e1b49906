/* Cross-entropy over windows in order; the mean weighs every target alike, the interval takes batches as samples. */
#include "driver/evaluate.h"

#include "checkpoint/json_file.h"
#include "data/batches.h"
#include "lower/verdict.h"

#include <math.h>
#include <stdlib.h>

typedef struct Sums {
    double weighted, targets;    /* nats times targets; targets */
    double mean_sum, square_sum; /* of batches' means */
    int64_t batches;
} Sums;

static bool one_batch(Runner *runner, int64_t targets, const int32_t *tokens, const int64_t *counts, uint64_t seed, Sums *sums, BfmError *error)
{
    if (!runner_run(runner, tokens, counts, seed, 0, error))
        return false;
    const double nats = runner_cross_entropy(runner);
    sums->weighted += nats * (double)targets;
    sums->targets += (double)targets;
    sums->mean_sum += nats;
    sums->square_sum += nats * nats;
    sums->batches++;
    return true;
}

static Evaluation finish(const Sums *sums, const BfmTokens *tokens)
{
    const double n = (double)sums->batches, mean = sums->mean_sum / n, variance = n > 1 ? (sums->square_sum - n * mean * mean) / (n - 1) : NAN;
    const double bytes = bfm_tokens_bytes_per_token(bfm_tokens_info(tokens)), nats = sums->weighted / sums->targets;
    return (Evaluation){.tokens = (int64_t)sums->targets,
                        .nats = nats,
                        .interval = n > 1 ? 1.96 * sqrt(fmax(0, variance) / n) : NAN,
                        .perplexity = exp(nats),
                        .bits_per_byte = bytes > 0 ? nats / (bytes * log(2)) : NAN};
}

bool evaluate_is_leaky(Arena *arena, const Lowered *lowered)
{
    const Verdict verdict = verdict_of(arena, lowered);
    return verdict_is_leaky(lowered, &verdict);
}

bool evaluate_part(Runner *runner, const BfmTokens *tokens, int64_t batch, int64_t length, int64_t most_tokens, uint64_t seed, Evaluation *evaluation, BfmError *error)
{
    const int64_t windows = bfm_windows_count(tokens, length), wanted = most_tokens > 0 ? (most_tokens + length - 1) / length : windows;
    const int64_t rows = windows < batch ? windows : batch, limit = wanted < windows ? wanted : windows;
    if (windows < 1)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s has too few tokens to evaluate on", bfm_tokens_path(tokens));
    if (runner->lowered->cross_entropy < 0)
        return bfm_error_set(error, BFM_ERROR_INPUT, "the model has no loss `cross_entropy`: it ends without a head");
    if (!runner_bind(runner, rows, length, error))
        return false;
    int32_t *ids = malloc((size_t)(rows * (length + 1)) * sizeof *ids);
    int64_t *counts = malloc((size_t)rows * sizeof *counts);
    bool ok = ids && counts ? true : bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
    Sums sums = {0};
    for (int64_t first = 0; first < limit && ok; first += rows) {
        (void)bfm_windows_fill(tokens, length, first, rows, ids, counts);
        int64_t targets = 0;
        for (int64_t r = 0; r < rows; r++)
            targets += counts[r];
        ok = one_batch(runner, targets, ids, counts, seed, &sums, error);
    }
    free(ids);
    free(counts);
    if (ok)
        *evaluation = finish(&sums, tokens);
    return ok;
}

json_t *evaluation_json(const Evaluation *evaluation)
{
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:b}", "tokens", (json_int_t)evaluation->tokens, "nats_per_token", bfm_json_number(evaluation->nats), "interval",
                     bfm_json_number(evaluation->interval), "perplexity", bfm_json_number(evaluation->perplexity), "bits_per_byte", bfm_json_number(evaluation->bits_per_byte),
                     "leaky", (int)evaluation->leaky);
}
