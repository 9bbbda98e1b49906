/* Cross-entropy over windows in order. Every target weighs alike, whatever window or batch it is in; the interval takes documents as the sample, since the
   tokens of one are not independent. */
#include "train/evaluate.h"

#include "file/json/json_file.h"
#include "data/batches.h"
#include "train/bad.h"
#include "lower/verdict.h"

#include <math.h>
#include <stdlib.h>

/* ---- what is evaluated ---- */

Leak evaluate_leak(Arena *arena, const Lowered *lowered)
{
    const Verdict verdict = verdict_of(arena, lowered);
    return verdict_leak(lowered, &verdict);
}

bool evaluate_text(Arena *arena, const BfmDataset *data, BfmPart part, int64_t most, EvalText *text, BfmError *error)
{
    const BfmTokens *tokens = data->parts[part];
    const BfmTokensInfo *info = bfm_tokens_info(tokens);
    if (info->count < 2)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s has too few tokens to evaluate on", bfm_tokens_path(tokens));
    *text = (EvalText){.tokens = tokens, .targets = most > 0 && most < info->count - 1 ? most : info->count - 1, .sizes = ARENA_ARRAY(arena, double, info->vocab)};
    return bfm_dataset_sizes(data, part, text->sizes, error);
}

/* ---- sums ---- */

/* Sums over the targets of one document. */
typedef struct Cluster {
    double nats, targets;
} Cluster;

typedef struct Sums {
    const EvalText *text;
    int64_t first, end;   /* documents [first, end) have targets */
    int64_t at, at_end;   /* the document of the last target added, and where it ends, in ids */
    Cluster *clusters;    /* [end - first] */
    double nats, targets; /* of all batches by their means: what stands where the loss of a target is not known */
    double bytes;
    bool apart; /* so far the means are those of the targets' losses */
} Sums;

static bool sums_new(Sums *sums, const EvalText *text, bool apart, BfmError *error)
{
    int64_t start;
    *sums = (Sums){.text = text, .first = bfm_tokens_document_at(text->tokens, 1), .end = bfm_tokens_document_at(text->tokens, text->targets) + 1, .apart = apart};
    sums->at = sums->first;
    bfm_tokens_document(text->tokens, sums->at, &start, &sums->at_end);
    sums->clusters = calloc((size_t)(sums->end - sums->first), sizeof *sums->clusters);
    return sums->clusters || bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted by the documents");
}

static double number_at(const Runner *runner, int output, int64_t i)
{
    const void *values = executable_output(runner->executable, output);
    return runner->store->wide ? ((const double *)values)[i] : (double)((const float *)values)[i];
}

/* Targets come in the order of the ids. */
static void add_target(Sums *sums, int64_t position, double nats, double weight)
{
    while (position >= sums->at_end) {
        int64_t start;
        bfm_tokens_document(sums->text->tokens, ++sums->at, &start, &sums->at_end);
    }
    Cluster *cluster = &sums->clusters[sums->at - sums->first];
    cluster->nats += nats;
    cluster->targets += weight;
}

/* What a batch's rows, from window `first`, add. Losses may leave targets out; then the others count. */
static void add_rows(Sums *sums, const Runner *runner, const int32_t *ids, const int64_t *counts, int64_t first)
{
    const int64_t length = runner->length;
    const bool apart = runner->lowered->terms >= 0;
    double nats = 0, targets = 0;
    for (int64_t r = 0; r < runner->batch; r++)
        for (int64_t i = 0; i < counts[r]; i++) {
            const double weight = apart ? number_at(runner, runner->lowered->points, r * length + i) : 1;
            const double value = apart && weight != 0 ? number_at(runner, runner->lowered->terms, r * length + i) : 0;
            nats += value;
            targets += weight;
            sums->bytes += weight * sums->text->sizes[ids[r * (length + 1) + i + 1]];
            add_target(sums, (first + r) * length + i + 1, value, weight);
        }
    const double mean = runner_cross_entropy(runner);
    sums->apart = sums->apart && fabs(nats - mean * targets) <= 1e-3 * (fabs(nats) + targets);
    sums->nats += mean * targets;
    sums->targets += targets;
}

/* ---- figures ---- */

/* The 0.975 quantile of Student's t with n degrees of freedom. Exact for 1 and 2; else Hill's expansion (CACM algorithm 396), right to 1e-4. */
static double student(double n)
{
    if (n < 2)
        return 12.706204736174694;
    if (n < 3)
        return 4.302652729749462;
    const double tail = 0.05, a = 1 / (n - 0.5), b = 48 / (a * a);
    double c = ((20700 * a / b - 98) * a - 16) * a + 96.36;
    const double d = ((94.5 / (b + c) - 3) / b + 1) * sqrt(a * acos(-1) / 2) * n;
    double y = pow(d * tail, 2 / n);
    if (y > 0.05 + a) {
        const double x = -1.9599639845400545;
        y = x * x;
        c += n < 5 ? 0.3 * (n - 4.5) * (x + 0.6) : 0;
        c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c;
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x;
        y = expm1(a * y * y);
    } else {
        y = ((1 / (((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3) + 0.5 / (n + 4)) * y - 1) * (n + 1) / (n + 2) + 1 / y;
    }
    return sqrt(n * y);
}

/* The ratio estimator's: documents are drawn, and bring as many targets as they have. */
static double interval(const Sums *sums, double mean, int64_t *documents)
{
    double squares = 0, targets = 0;
    *documents = 0;
    for (int64_t d = 0; d < sums->end - sums->first; d++) {
        const Cluster *cluster = &sums->clusters[d];
        const double residual = cluster->nats - mean * cluster->targets;
        squares += residual * residual;
        targets += cluster->targets;
        *documents += cluster->targets > 0;
    }
    const double n = (double)*documents;
    return n < 2 ? NAN : student(n - 1) * sqrt(n / (n - 1) * squares) / targets;
}

static Evaluation figures(const Sums *sums)
{
    double nats = 0;
    Evaluation evaluation = {.tokens = (int64_t)(sums->targets + 0.5), .bytes = sums->bytes};
    for (int64_t d = 0; d < sums->end - sums->first; d++)
        nats += sums->clusters[d].nats;
    evaluation.nats = (sums->apart ? nats : sums->nats) / sums->targets;
    evaluation.interval = interval(sums, evaluation.nats, &evaluation.documents);
    if (!sums->apart)
        evaluation.interval = NAN;
    evaluation.perplexity = exp(evaluation.nats);
    evaluation.bits_per_byte = sums->bytes > 0 ? evaluation.nats * sums->targets / (sums->bytes * log(2)) : NAN;
    return evaluation;
}

/* ---- the passes ---- */

/* Window i holds the targets from i · length on; the last one that is wanted may be cut short. */
static void fill(const EvalText *text, int64_t length, int64_t first, int64_t rows, int32_t *ids, int64_t *counts)
{
    (void)bfm_windows_fill(text->tokens, length, first, rows, ids, counts);
    for (int64_t r = 0; r < rows; r++) {
        const int64_t left = text->targets - (first + r) * length;
        counts[r] = counts[r] < left ? counts[r] : left > 0 ? left : 0;
    }
}

static bool run_batches(const BfmContext *context, Runner *runner, const EvalText *text, int64_t windows, int32_t *ids, int64_t *counts, RunKey key, Sums *sums, const char **bad,
                        BfmError *error)
{
    for (int64_t first = 0; first < windows; first += runner->batch) {
        fill(text, runner->length, first, runner->batch, ids, counts);
        if (!runner_run(runner, ids, counts, key, error))
            return false;
        if (!isfinite(runner_cross_entropy(runner))) {
            *bad = bad_result(context, runner, key.seed, key.draw);
            return true;
        }
        add_rows(sums, runner, ids, counts, first);
    }
    return true;
}

bool evaluate_part(const BfmContext *context, Runner *runner, const EvalText *text, int64_t batch, int64_t length, RunKey key, Evaluation *evaluation, BfmError *error)
{
    const int64_t windows = (text->targets + length - 1) / length, rows = windows < batch ? windows : batch;
    if (runner->lowered->cross_entropy < 0)
        return bfm_error_set(error, BFM_ERROR_INPUT, "the model has no loss `cross_entropy`: it ends without a head");
    Sums sums = {.clusters = NULL};
    if (!runner_bind(runner, rows, length, error) || !sums_new(&sums, text, runner->lowered->terms >= 0, error))
        return false;
    int32_t *ids = malloc((size_t)(rows * (length + 1)) * sizeof *ids);
    int64_t *counts = malloc((size_t)rows * sizeof *counts);
    const char *bad = NULL;
    const bool ok =
        ids && counts ? run_batches(context, runner, text, windows, ids, counts, key, &sums, &bad, error) : bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
    if (ok && !bad)
        *evaluation = figures(&sums);
    else
        *evaluation = (Evaluation){.nats = NAN, .bad = bad};
    free(ids);
    free(counts);
    free(sums.clusters);
    return ok;
}

json_t *evaluation_json(const Evaluation *evaluation)
{
    return json_pack("{s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:b, s:b}", "tokens", (json_int_t)evaluation->tokens, "documents", (json_int_t)evaluation->documents, "bytes",
                     (json_int_t)(evaluation->bytes + 0.5), "nats_per_token", bfm_json_number(evaluation->nats), "interval", bfm_json_number(evaluation->interval), "perplexity",
                     bfm_json_number(evaluation->perplexity), "bits_per_byte", bfm_json_number(evaluation->bits_per_byte), "leaky", evaluation->leak == LEAK_SHOWN, "may_be_leaky",
                     evaluation->leak == LEAK_POSSIBLE);
}
