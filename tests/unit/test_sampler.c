/* Sampling: greedy and its ties, frequencies against probabilities, the nucleus, draws that depend on seed and position alone, logits that are no numbers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "generate/sampler.h"

static BfmSampler *sampler(int64_t vocab, double temperature, double top_p, uint64_t seed)
{
    BfmError error;
    BfmSampler *made = bfm_sampler_new(vocab, temperature, top_p, seed, &error);
    assert_non_null(made);
    return made;
}

static void greedy_takes_the_largest_and_of_equals_the_lowest(void **state)
{
    (void)state;
    const float plain[] = {-1, 3, 2}, tied[] = {0, 5, 5, 5}, masked[] = {-INFINITY, -INFINITY, -7};
    BfmError error;
    BfmSampler *three = sampler(3, 0, 1, 1), *four = sampler(4, 0, 0.1, 1);
    assert_int_equal(bfm_sampler_next(three, plain, 0, &error), 1);
    assert_int_equal(bfm_sampler_next(four, tied, 9, &error), 1);
    assert_int_equal(bfm_sampler_next(three, masked, 2, &error), 2);
    bfm_sampler_free(three);
    bfm_sampler_free(four);
}

static void count_draws(BfmSampler *from, const float *logits, int *counts, int draws)
{
    BfmError error;
    for (int i = 0; i < draws; i++) {
        const int32_t id = bfm_sampler_next(from, logits, i, &error);
        assert_true(id >= 0);
        counts[id]++;
    }
}

static void frequencies_follow_probabilities(void **state)
{
    (void)state;
    enum { DRAWS = 40000 };
    const double wanted[] = {0.5, 0.3, 0.15, 0.05, 0};
    const float logits[] = {logf(0.5f), logf(0.3f), logf(0.15f), logf(0.05f), -INFINITY};
    int counts[5] = {0};
    BfmSampler *made = sampler(5, 1, 1, 7);
    count_draws(made, logits, counts, DRAWS);
    for (int i = 0; i < 5; i++)
        assert_true(fabs(counts[i] / (double)DRAWS - wanted[i]) < 4 * sqrt(wanted[i] * (1 - wanted[i]) / DRAWS) + 1e-9);
    bfm_sampler_free(made);

    int cold[5] = {0}; /* at temperature ½ probabilities are squared */
    made = sampler(5, 0.5, 1, 7);
    count_draws(made, logits, cold, DRAWS);
    const double squares = 0.25 + 0.09 + 0.0225 + 0.0025;
    assert_true(fabs(cold[0] / (double)DRAWS - 0.25 / squares) < 0.01);
    bfm_sampler_free(made);
}

static void the_nucleus_is_the_fewest_that_reach_it(void **state)
{
    (void)state;
    const float logits[] = {logf(0.05f), logf(0.5f), logf(0.15f), logf(0.3f)};
    int some[4] = {0}, one[4] = {0};
    BfmSampler *made = sampler(4, 1, 0.75, 3);
    count_draws(made, logits, some, 4000);
    assert_true(some[0] == 0 && some[2] == 0);
    assert_true(fabs(some[1] / 4000.0 - 0.625) < 0.05); /* renormalised */
    bfm_sampler_free(made);
    made = sampler(4, 1, 1e-9, 3);
    count_draws(made, logits, one, 100);
    assert_int_equal(one[1], 100); /* never empty */
    bfm_sampler_free(made);

    const float tied[] = {0, 0, 0, 0}; /* of equals the lower ids */
    int equal[4] = {0};
    made = sampler(4, 1, 0.5, 3);
    count_draws(made, tied, equal, 1000);
    assert_true(equal[0] > 0 && equal[1] > 0 && equal[2] == 0 && equal[3] == 0);
    bfm_sampler_free(made);
}

static void draws_depend_on_seed_and_position_alone(void **state)
{
    (void)state;
    enum { VOCAB = 50 };
    float logits[VOCAB], other[VOCAB] = {0};
    BfmError error;
    for (int i = 0; i < VOCAB; i++)
        logits[i] = (float)(i % 7);
    BfmSampler *a = sampler(VOCAB, 1, 1, 1), *b = sampler(VOCAB, 1, 1, 1), *c = sampler(VOCAB, 1, 1, 2);
    int differ = 0;
    for (int i = 0; i < 64; i++) {
        (void)bfm_sampler_next(b, other, 63 - i, &error); /* what was drawn before leaves no trace */
        const int32_t id = bfm_sampler_next(a, logits, i, &error);
        assert_int_equal(id, bfm_sampler_next(b, logits, i, &error));
        differ += id != bfm_sampler_next(c, logits, i, &error);
    }
    assert_true(differ > 32);
    bfm_sampler_free(a);
    bfm_sampler_free(b);
    bfm_sampler_free(c);
}

static void extremes(void **state)
{
    (void)state;
    const float huge[] = {-3e38f, 3e38f, 0}, one[] = {-4};
    BfmError error;
    BfmSampler *made = sampler(3, 1e-30, 1, 1), *single = sampler(1, 100, 0.5, 1);
    assert_int_equal(bfm_sampler_next(made, huge, 0, &error), 1);
    assert_int_equal(bfm_sampler_next(single, one, INT64_C(1) << 40, &error), 0);
    bfm_sampler_free(made);
    bfm_sampler_free(single);
}

static void refuses_what_is_no_number(void **state)
{
    (void)state;
    const float bad[][2] = {{0, NAN}, {INFINITY, 0}, {-INFINITY, -INFINITY}};
    const char *const says[] = {"NaN", "infinite", "-inf"};
    const double temperatures[] = {0, 1};
    for (int t = 0; t < 2; t++) {
        BfmSampler *made = sampler(2, temperatures[t], 1, 1);
        for (int i = 0; i < 3; i++) {
            BfmError error;
            assert_int_equal(bfm_sampler_next(made, bad[i], 5, &error), -1);
            assert_int_equal(error.kind, BFM_ERROR_INPUT);
            assert_non_null(strstr(error.message, says[i]));
            assert_non_null(strstr(error.message, "position 5"));
        }
        bfm_sampler_free(made);
    }
    BfmError error;
    assert_null(bfm_sampler_new(2, -1, 1, 1, &error));
    assert_null(bfm_sampler_new(2, NAN, 1, 1, &error));
    assert_null(bfm_sampler_new(2, 1, 0, 1, &error));
    assert_null(bfm_sampler_new(2, 1, 1.5, 1, &error));
    assert_null(bfm_sampler_new(0, 1, 1, 1, &error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_largest_and_of_equals_the_lowest),
        cmocka_unit_test(frequencies_follow_probabilities),
        cmocka_unit_test(the_nucleus_is_the_fewest_that_reach_it),
        cmocka_unit_test(draws_depend_on_seed_and_position_alone),
        cmocka_unit_test(extremes),
        cmocka_unit_test(refuses_what_is_no_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
