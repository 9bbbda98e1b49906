/* The pool: every task once, on any number of threads, nested and repeated; scratch and buffers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "memory/buffer.h"
#include "device/cpu/pool/pool.h"

enum { TASKS = 5000 };

typedef struct Counts {
    BfmPool *pool;
    _Atomic int ran[TASKS];
    _Atomic int nested;
    _Atomic int active[64]; /* tasks running now, by worker */
    _Atomic int bad;
} Counts;

static void count_task(void *ctx, int64_t index, int worker)
{
    Counts *counts = ctx;
    if (worker < 0 || worker >= bfm_pool_threads(counts->pool) || atomic_fetch_add(&counts->active[worker], 1) != 0)
        atomic_fetch_add(&counts->bad, 1);
    atomic_fetch_add(&counts->ran[index], 1);
    atomic_fetch_sub(&counts->active[worker], 1);
}

static void nested_inner(void *ctx, int64_t index, int worker)
{
    Counts *counts = ctx;
    if (worker != 0 || index < 0)
        atomic_fetch_add(&counts->bad, 1);
    atomic_fetch_add(&counts->nested, 1);
}

static void nested_outer(void *ctx, int64_t index, int worker)
{
    Counts *counts = ctx;
    (void)index, (void)worker;
    if (bfm_pool_scratch(counts->pool, BFM_SCRATCH_TEMPLATE, 64))
        atomic_fetch_add(&counts->bad, 1);
    bfm_pool_run(counts->pool, 10, nested_inner, counts);
}

static void each_task_runs_once(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 5; threads += 2) {
        Counts counts = {.pool = bfm_pool_new(threads)};
        assert_non_null(counts.pool);
        assert_int_equal(bfm_pool_threads(counts.pool), threads);
        bfm_pool_run(counts.pool, TASKS, count_task, &counts);
        for (int i = 0; i < TASKS; i++)
            assert_int_equal(counts.ran[i], 1);
        assert_int_equal(counts.bad, 0);
        bfm_pool_free(counts.pool);
    }
}

static void many_short_runs(void **state)
{
    (void)state;
    for (int threads = 2; threads <= 3; threads++) {
        Counts counts = {.pool = bfm_pool_new(threads)};
        int expected[8] = {0};
        for (int run = 0; run < 20000; run++) {
            int tasks = run % 8;
            bfm_pool_run(counts.pool, tasks, count_task, &counts);
            for (int i = 0; i < tasks; i++)
                expected[i]++;
        }
        for (int i = 0; i < 8; i++)
            assert_int_equal(counts.ran[i], expected[i]);
        assert_int_equal(counts.bad, 0);
        bfm_pool_free(counts.pool);
    }
}

static void nested_runs_are_inline(void **state)
{
    (void)state;
    Counts counts = {.pool = bfm_pool_new(3)};
    bfm_pool_run(counts.pool, 50, nested_outer, &counts);
    assert_int_equal(counts.nested, 500);
    assert_int_equal(counts.bad, 0);
    bfm_pool_free(counts.pool);
}

static void no_pool_runs_inline(void **state)
{
    (void)state;
    static Counts counts;
    bfm_pool_run(NULL, 7, count_task, &counts);
    for (int i = 0; i < 8; i++)
        assert_int_equal(counts.ran[i], i < 7);
    assert_int_equal(bfm_pool_threads(NULL), 1);
    assert_null(bfm_pool_scratch(NULL, BFM_SCRATCH_GEMM, 1));
    bfm_pool_free(NULL);
}

static void counts_cpus(void **state)
{
    (void)state;
    assert_true(bfm_pool_available_cpus() >= 1);
    BfmPool *pool = bfm_pool_new(0);
    assert_int_equal(bfm_pool_threads(pool), bfm_pool_available_cpus());
    char *scratch = bfm_pool_scratch(pool, BFM_SCRATCH_GEMM, 1000);
    assert_non_null(scratch);
    assert_int_equal((uintptr_t)scratch % BFM_ALIGNMENT, 0);
    scratch[999] = 1;
    assert_ptr_equal(bfm_pool_scratch(pool, BFM_SCRATCH_GEMM, 10), scratch);
    bfm_pool_free(pool);
}

static void arena_takes_and_rewinds(void **state)
{
    (void)state;
    BfmArena arena;
    BfmError error;
    assert_true(bfm_arena_init(&arena, 1024, &error));
    char *first = bfm_arena_take(&arena, 1);
    size_t mark = arena.used;
    char *second = bfm_arena_take(&arena, 960);
    assert_ptr_equal(second, first + 64);
    assert_null(bfm_arena_take(&arena, 1));
    assert_null(bfm_arena_take(&arena, SIZE_MAX));
    bfm_arena_rewind(&arena, mark);
    assert_ptr_equal(bfm_arena_take(&arena, 64), second);
    assert_int_equal(arena.peak, 1024);
    bfm_arena_deinit(&arena);
    assert_false(bfm_arena_init(&arena, SIZE_MAX, &error));
    assert_int_equal(error.kind, BFM_ERROR_ENVIRONMENT);
    char *large = bfm_buffer_new((size_t)5 << 20);
    large[((size_t)5 << 20) - 1] = 1;
    bfm_buffer_free(large);
    bfm_buffer_free(bfm_buffer_new(0));
    assert_null(bfm_buffer_new(SIZE_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_task_runs_once), cmocka_unit_test(many_short_runs), cmocka_unit_test(nested_runs_are_inline),
        cmocka_unit_test(no_pool_runs_inline), cmocka_unit_test(counts_cpus),     cmocka_unit_test(arena_takes_and_rewinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
