/* Reductions over ranks: threads that stand for ranks get the same bits, those of a sum in the order of the ranks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the headers it needs */
#include <cmocka.h>

#include "comm/comm.h"
#include "rng/rng.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { RANKS = 3, COUNT = 150001 }; /* several blocks */

/* What the ranks share. */
typedef struct Shared {
    pthread_barrier_t barrier;
    char *all;
    int calls;
} Shared;

typedef struct Rank {
    BfmComm comm;
    BfmReduce reduce;
    BfmElem elem;
    int64_t count;
    void *values;
    bool ok;
} Rank;

/* The ranks arrive in any order. */
static bool gather(const BfmComm *comm, const void *mine, size_t bytes, void *all, BfmError *error)
{
    Shared *shared = comm->state;
    (void)error;
    memcpy(shared->all + (size_t)comm->rank * bytes, mine, bytes);
    (void)pthread_barrier_wait(&shared->barrier);
    memcpy(all, shared->all, RANKS * bytes);
    shared->calls += comm->rank == 0;
    (void)pthread_barrier_wait(&shared->barrier);
    return true;
}

static void *rank_run(void *context)
{
    Rank *rank = context;
    rank->ok = bfm_comm_reduce(&rank->comm, rank->reduce, rank->elem, rank->values, rank->count, NULL);
    return NULL;
}

/* values [ranks], each [count], become the reductions. Returns how often the ranks gathered. */
static int reduce_all(BfmReduce reduce, BfmElem elem, void *const *values, int64_t count)
{
    Shared shared = {.all = malloc(RANKS * bfm_elem_bytes(elem, count))};
    Rank ranks[RANKS];
    pthread_t threads[RANKS];
    assert_int_equal(pthread_barrier_init(&shared.barrier, NULL, RANKS), 0);
    for (int r = RANKS - 1; r >= 0; r--) {
        ranks[r] = (Rank){.comm = {.rank = r, .ranks = RANKS, .state = &shared, .gather = gather}, .reduce = reduce, .elem = elem, .count = count, .values = values[r]};
        assert_int_equal(pthread_create(&threads[r], NULL, rank_run, &ranks[r]), 0);
    }
    for (int r = 0; r < RANKS; r++)
        assert_int_equal(pthread_join(threads[r], NULL), 0);
    for (int r = 0; r < RANKS; r++)
        assert_true(ranks[r].ok);
    (void)pthread_barrier_destroy(&shared.barrier);
    free(shared.all);
    return shared.calls;
}

static void gradients(void **state)
{
    (void)state;
    float *values[RANKS], *expected = malloc(2 * COUNT * sizeof *expected), *mean = expected + COUNT;
    void *list[RANKS];
    for (int round = 0; round < 2; round++) {
        for (int r = 0; r < RANKS; r++)
            list[r] = values[r] = malloc(COUNT * sizeof *values[r]);
        for (int64_t i = 0; i < COUNT; i++) {
            for (int r = 0; r < RANKS; r++)
                values[r][i] = (float)bfm_rng_normal(bfm_rng_init(1, (uint64_t)r, 0), (uint64_t)i) * (i % 7 == r ? 1e8f : 1e-3f);
            const double sum = (double)values[0][i] + (double)values[1][i] + (double)values[2][i]; /* this order */
            expected[i] = (float)sum;
            mean[i] = (float)(sum / 3);
        }
        assert_int_equal(reduce_all(round ? BFM_REDUCE_MEAN : BFM_REDUCE_SUM, BFM_ELEM_F32, list, COUNT), 3); /* blocks of 65536 */
        for (int r = 0; r < RANKS; r++) {
            assert_memory_equal(values[r], round ? mean : expected, COUNT * sizeof *expected);
            free(values[r]);
        }
    }
    free(expected);
}

static void metrics(void **state)
{
    (void)state;
    for (int reduce = BFM_REDUCE_SUM; reduce <= BFM_REDUCE_MAX; reduce++) {
        double a[4] = {1, -2, (double)NAN, 5}, b[4] = {3, -7, 1, (double)NAN}, c[4] = {2, 0x1p-60, 2, 3};
        void *list[RANKS] = {a, b, c};
        const double expected[][2] = {{6, -9}, {2, -3}, {1, -7}, {3, 0x1p-60}};
        assert_int_equal(reduce_all((BfmReduce)reduce, BFM_ELEM_F64, list, 4), 1);
        for (int r = 0; r < RANKS; r++) {
            const double *found = list[r];
            assert_true(found[0] == expected[reduce][0] && found[1] == expected[reduce][1]);
            assert_true(isnan(found[2]) && isnan(found[3]));
        }
    }
    int32_t a[2] = {1, 0}, b[2] = {2, 2147483646}, c[2] = {4, 1};
    void *list[RANKS] = {a, b, c};
    (void)reduce_all(BFM_REDUCE_SUM, BFM_ELEM_I32, list, 2);
    assert_true(a[0] == 7 && b[0] == 7 && c[0] == 7 && a[1] == 2147483647);
}

static bool broken(const BfmComm *comm, const void *mine, size_t bytes, void *all, BfmError *error)
{
    (void)comm, (void)mine, (void)bytes, (void)all;
    return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "rank 1 is gone");
}

/* One rank: no bit changes, a NaN's payload neither. A communicator that fails is believed. */
static void one_rank_and_none(void **state)
{
    (void)state;
    uint32_t bits[3] = {0x7FC12345, 0x80000000, 0x00000001}, same[3];
    memcpy(same, bits, sizeof bits);
    for (int reduce = BFM_REDUCE_SUM; reduce <= BFM_REDUCE_MAX; reduce++)
        assert_true(bfm_comm_reduce(&bfm_comm_local, (BfmReduce)reduce, BFM_ELEM_F32, bits, 3, NULL));
    assert_memory_equal(bits, same, sizeof bits);
    uint32_t all[3] = {0};
    assert_true(bfm_comm_local.gather(&bfm_comm_local, bits, sizeof bits, all, NULL));
    assert_memory_equal(all, bits, sizeof bits);
    const BfmComm gone = {.rank = 0, .ranks = 2, .gather = broken};
    BfmError error = {0};
    float value = 1;
    assert_false(bfm_comm_reduce(&gone, BFM_REDUCE_SUM, BFM_ELEM_F32, &value, 1, &error));
    assert_string_equal(error.message, "rank 1 is gone");
    assert_true(bfm_comm_reduce(&gone, BFM_REDUCE_SUM, BFM_ELEM_F32, &value, 0, &error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gradients), cmocka_unit_test(metrics), cmocka_unit_test(one_rank_and_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
