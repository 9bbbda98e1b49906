/* Batches: every window once an epoch, in an order and from an offset that only (seed, epoch) decide; any step directly. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the headers it needs */
#include <cmocka.h>

#include "data/batches.h"
#include "data/permute.h"
#include "scratch.h"

#include <math.h>

static int setup(void **state)
{
    Scratch *scratch = malloc(sizeof *scratch);
    scratch_init(scratch);
    *state = scratch;
    return 0;
}

static int teardown(void **state)
{
    scratch_deinit(*state);
    free(*state);
    return 0;
}

static BfmTokens *counting_tokens(Scratch *scratch, int32_t count) /* id i at position i */
{
    const char *path = scratch_path(scratch, "count.tok");
    int32_t *ids = malloc(((size_t)count + 1) * sizeof *ids);
    for (int32_t i = 0; i < count; i++)
        ids[i] = i;
    BfmTokensWriter *writer = bfm_tokens_writer_new(path, 100000, 0, NULL);
    assert_true(bfm_tokens_writer_document(writer, ids, count, count, NULL) && bfm_tokens_writer_finish(writer, NULL, NULL));
    bfm_tokens_writer_free(writer);
    free(ids);
    return bfm_tokens_open(path, NULL);
}

static void permutation_is_a_bijection(void **state)
{
    (void)state;
    static const int64_t COUNTS[] = {1, 2, 3, 4, 5, 7, 16, 17, 63, 64, 65, 1000, 4096, 4097, 100003};
    for (size_t c = 0; c < sizeof COUNTS / sizeof *COUNTS; c++) {
        unsigned char *seen = calloc((size_t)COUNTS[c], 1);
        BfmPermutation permutation;
        bfm_permutation_init(&permutation, COUNTS[c], 42 + c, c);
        for (int64_t i = 0; i < COUNTS[c]; i++) {
            int64_t image = bfm_permutation_at(&permutation, i);
            assert_true(image >= 0 && image < COUNTS[c] && !seen[image]);
            seen[image] = 1;
        }
        free(seen);
    }
    BfmPermutation huge;
    bfm_permutation_init(&huge, INT64_MAX, 1, 1);
    assert_true(bfm_permutation_at(&huge, INT64_MAX - 1) >= 0);
}

/* Over many keys each index lands everywhere equally often, and neighbours land independently: chi-square within 5 sigma. */
static void permutation_is_uniform(void **state)
{
    (void)state;
    enum { N = 13, KEYS = 20000 };
    static int single[N][N], pair[N][N];
    for (uint64_t key = 0; key < KEYS; key++) {
        BfmPermutation permutation;
        bfm_permutation_init(&permutation, N, 5, key);
        for (int i = 0; i < N; i++)
            single[i][bfm_permutation_at(&permutation, i)]++;
        pair[bfm_permutation_at(&permutation, 3)][bfm_permutation_at(&permutation, 4)]++;
    }
    double chi_single = 0, chi_pair = 0, expected = (double)KEYS / N, expected_pair = (double)KEYS / (N * (N - 1));
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++) {
            chi_single += pow(single[i][k] - expected, 2) / expected;
            chi_pair += i == k ? 0 : pow(pair[i][k] - expected_pair, 2) / expected_pair;
        }
    double freedom = (N - 1) * (N - 1), freedom_pair = N * (N - 1) - 1;
    assert_true(fabs(chi_single - freedom) < 5 * sqrt(2 * freedom));
    assert_true(fabs(chi_pair - freedom_pair) < 5 * sqrt(2 * freedom_pair));
}

static void epoch_visits_every_window_once(void **state)
{
    static const int32_t SHAPES[][3] = {{1001, 10, 4}, {1000, 10, 3}, {11, 10, 2}, {12, 10, 1}, {21, 10, 5}, {2, 1, 2}, {500, 1, 7}, {30, 29, 1}};
    for (size_t s = 0; s < sizeof SHAPES / sizeof *SHAPES; s++) {
        int64_t count = SHAPES[s][0], context = SHAPES[s][1], batch = SHAPES[s][2];
        BfmTokens *data = counting_tokens(*state, (int32_t)count);
        BfmBatches batches;
        assert_true(bfm_batches_init(&batches, data, batch, context, 9, NULL));
        int32_t *tokens = malloc((size_t)(batch * (context + 1)) * sizeof *tokens);
        unsigned char *seen = NULL;
        for (int64_t sample = 0; sample < 3 * batches.windows; sample++) {
            if (sample % batches.windows == 0) {
                free(seen);
                seen = calloc((size_t)count, 1);
            }
            if (sample % batch == 0)
                bfm_batches_fill(&batches, sample / batch, tokens);
            const int32_t *row = tokens + sample % batch * (context + 1);
            for (int64_t k = 0; k <= context; k++)
                assert_true(row[k] == row[0] + k && row[k] < count);
            for (int64_t k = 1; k <= context; k++) /* targets: once each */
                assert_false(seen[row[k]]++);
        }
        free(seen);
        free(tokens);
        bfm_tokens_close(data);
    }
}

static void steps_need_no_history(void **state)
{
    BfmTokens *data = counting_tokens(*state, 5000);
    BfmBatches batches, other;
    assert_true(bfm_batches_init(&batches, data, 8, 32, 1, NULL) && bfm_batches_init(&other, data, 8, 32, 2, NULL));
    int32_t forward[40][8 * 33], back[8 * 33];
    int64_t starts[8];
    for (int64_t step = 0; step < 40; step++)
        bfm_batches_fill(&batches, step, forward[step]);
    for (int64_t step = 39; step >= 0; step--) {
        bfm_batches_fill(&batches, step, back);
        assert_memory_equal(back, forward[step], sizeof back);
        bfm_batches_starts(&batches, step, starts);
        for (int row = 0; row < 8; row++)
            assert_int_equal(starts[row], back[row * 33]);
    }
    bfm_batches_fill(&other, 0, back);
    assert_memory_not_equal(back, forward[0], sizeof back);
    assert_true(fabs(bfm_batches_epoch(&batches, 40) - 320.0 / 155) < 1e-12);
    /* the second epoch is ordered and cut otherwise: (seed, step) of equal place differ */
    bfm_batches_fill(&batches, 155, back); /* 155 * 8 samples: the ninth epoch begins */
    assert_memory_not_equal(back, forward[0], sizeof back);
    bfm_tokens_close(data);
}

static void short_data_is_refused(void **state)
{
    BfmBatches batches;
    BfmError error = {0};
    BfmTokens *data = counting_tokens(*state, 10);
    assert_false(bfm_batches_init(&batches, data, 1, 10, 0, &error));
    assert_non_null(strstr(error.message, "holds 10 ids"));
    assert_true(bfm_batches_init(&batches, data, 1, 9, 0, &error));
    bfm_tokens_close(data);
}

static void windows_cover_every_target_once(void **state)
{
    for (int32_t count = 0; count < 40; count++) {
        BfmTokens *data = counting_tokens(*state, count);
        int64_t windows = bfm_windows_count(data, 7), total = 0, targets[3];
        int32_t out[3 * 8];
        for (int64_t first = 0; first < windows; first += 3) {
            int64_t rows = bfm_windows_fill(data, 7, first, 3, out, targets);
            assert_int_equal(rows, windows - first < 3 ? windows - first : 3);
            for (int64_t row = 0; row < 3; row++) {
                assert_true((row < rows) == (targets[row] > 0));
                for (int64_t k = 1; k <= targets[row]; k++)
                    assert_int_equal(out[row * 8 + k], ++total);
                for (int64_t k = targets[row] > 0 ? targets[row] + 1 : 0; k < 8; k++)
                    assert_int_equal(out[row * 8 + k], -1);
            }
        }
        assert_int_equal(total, count < 2 ? 0 : count - 1);
        bfm_tokens_close(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permutation_is_a_bijection),
        cmocka_unit_test(permutation_is_uniform),
        cmocka_unit_test_setup_teardown(epoch_visits_every_window_once, setup, teardown),
        cmocka_unit_test_setup_teardown(steps_need_no_history, setup, teardown),
        cmocka_unit_test_setup_teardown(short_data_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(windows_cover_every_target_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
