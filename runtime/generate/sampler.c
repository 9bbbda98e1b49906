/* Sampling by temperature and nucleus (Holtzman et al. 2020), in double precision and in a fixed order. */
#include "generate/sampler.h"

#include <math.h>
#include <stdlib.h>

#include "rng/rng.h"

/* Stream of the draws: any constant that no tensor's path hashes to by design. */
static const uint64_t SAMPLER_STREAM = UINT64_C(0x73616d706c657221);

typedef struct Candidate {
    double probability; /* not normalised */
    int32_t id;
} Candidate;

struct BfmSampler {
    int64_t vocab;
    double temperature, top_p;
    uint64_t seed;
    Candidate *candidates; /* [vocab] */
};

BfmSampler *bfm_sampler_new(int64_t vocab, double temperature, double top_p, uint64_t seed, BfmError *error)
{
    if (vocab <= 0 || vocab > INT32_MAX) {
        bfm_error_set(error, BFM_ERROR_INPUT, "a vocabulary of %lld id%s cannot be drawn from", (long long)vocab, bfm_plural(vocab));
        return NULL;
    }
    if (!(temperature >= 0) || isinf(temperature)) {
        bfm_error_set(error, BFM_ERROR_INPUT, "the temperature must be 0 (the likeliest token) or more, not %g", temperature);
        return NULL;
    }
    if (!(top_p > 0 && top_p <= 1)) {
        bfm_error_set(error, BFM_ERROR_INPUT, "top-p must be above 0 and at most 1, not %g", top_p);
        return NULL;
    }
    BfmSampler *sampler = malloc(sizeof *sampler);
    if (sampler)
        *sampler = (BfmSampler){vocab, temperature, top_p, seed, malloc((size_t)vocab * sizeof(Candidate))};
    if (!sampler || !sampler->candidates) {
        bfm_sampler_free(sampler);
        bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "no memory for a vocabulary of %lld ids", (long long)vocab);
        return NULL;
    }
    return sampler;
}

void bfm_sampler_free(BfmSampler *sampler)
{
    if (!sampler)
        return;
    free(sampler->candidates);
    free(sampler);
}

/* The id of the largest logit, the lowest of equals; -1 if one is no number to compare. */
static int32_t largest(const BfmSampler *sampler, const float *logits, int64_t position, BfmError *error)
{
    int32_t best = 0;
    for (int64_t id = 0; id < sampler->vocab; id++) {
        if (isnan(logits[id]) || logits[id] == INFINITY) {
            bfm_error_set(error, BFM_ERROR_INPUT, "the logit of token %lld at position %lld is %s: the model's weights have diverged, or it computed with something undefined",
                          (long long)id, (long long)position, isnan(logits[id]) ? "NaN" : "infinite");
            return -1;
        }
        if (logits[id] > logits[best])
            best = (int32_t)id;
    }
    if (logits[best] == -INFINITY) {
        bfm_error_set(error, BFM_ERROR_INPUT, "all logits at position %lld are -inf: no token can come next", (long long)position);
        return -1;
    }
    return best;
}

/* Likeliest first; of equals the lower id. */
static int by_probability(const void *left, const void *right)
{
    const Candidate *a = left, *b = right;
    if (a->probability != b->probability)
        return a->probability > b->probability ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* Keeps the nucleus, in order of probability; returns what its probabilities add up to. */
static double nucleus(BfmSampler *sampler, double total, int64_t *count)
{
    qsort(sampler->candidates, (size_t)sampler->vocab, sizeof *sampler->candidates, by_probability);
    double sum = 0;
    int64_t kept = 0;
    while (kept < sampler->vocab && (kept == 0 || sum < sampler->top_p * total))
        sum += sampler->candidates[kept++].probability;
    *count = kept;
    return sum;
}

int32_t bfm_sampler_next(BfmSampler *sampler, const float *logits, int64_t position, BfmError *error)
{
    const int32_t best = largest(sampler, logits, position, error);
    if (best < 0 || sampler->temperature == 0)
        return best;
    double total = 0;
    for (int64_t id = 0; id < sampler->vocab; id++) {
        const double probability = exp(((double)logits[id] - (double)logits[best]) / sampler->temperature);
        sampler->candidates[id] = (Candidate){probability, (int32_t)id};
        total += probability;
    }
    int64_t count = sampler->vocab;
    if (sampler->top_p < 1)
        total = nucleus(sampler, total, &count);
    const BfmRng rng = bfm_rng_init(sampler->seed, SAMPLER_STREAM, 0);
    const double drawn = bfm_rng_uniform(rng, (uint64_t)position) * total;
    double sum = 0;
    int32_t last = best; /* rounding may leave the draw beyond the last sum */
    for (int64_t i = 0; i < count; i++) {
        if (sampler->candidates[i].probability <= 0)
            continue;
        last = sampler->candidates[i].id;
        sum += sampler->candidates[i].probability;
        if (drawn < sum)
            break;
    }
    return last;
}
