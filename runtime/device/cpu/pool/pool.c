/* The pool. One run at a time owns `ticket`: its upper bits are the run's generation, its lower bits the next task to claim. A worker claims by
   compare-and-swap, and a run closes the ticket of the one before it ahead of writing its own task, ctx and count: a claim succeeds only within the
   generation that these belong to. A run returns when as many tasks are done as it has; workers that sleep through a short run are not waited for. */
#define _GNU_SOURCE
#include "device/cpu/pool/pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memory/buffer.h"

enum { INDEX_BITS = 40, SPINS = 4000, THREAD_LIMIT = 1024 };
static const uint64_t INDEX_MASK = ((uint64_t)1 << INDEX_BITS) - 1;

typedef struct Worker {
    BfmPool *pool;
    pthread_t thread;
    int index; /* 1 .. threads - 1; 0 is the caller */
} Worker;

/* Words that different threads write are kept a cache line apart. */
struct BfmPool {
    _Alignas(64) _Atomic uint64_t ticket; /* generation << INDEX_BITS | next index */
    _Atomic int64_t tasks;
    _Atomic(BfmTask *) task;
    _Atomic(void *) ctx;
    _Alignas(64) _Atomic int64_t done;    /* tasks of this run that have returned */
    _Alignas(64) _Atomic uint32_t epoch;  /* futex: changes when a run starts or the pool ends */
    _Atomic int sleepers;                 /* workers that wait, or are about to, on epoch */
    _Alignas(64) _Atomic uint32_t finish; /* futex: changes when a run has done all its tasks */
    _Atomic int waiting;                  /* the caller waits, or is about to, on finish */
    _Alignas(64) _Atomic bool busy;       /* a run is in progress */
    _Atomic bool stop;
    int threads, spins;
    Worker *workers;
    void *scratch[BFM_SCRATCH_SLOTS];
    size_t scratch_bytes[BFM_SCRATCH_SLOTS];
};

static void futex_wait(_Atomic uint32_t *word, uint32_t seen) { (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0); }

static void futex_wake(_Atomic uint32_t *word, int count) { (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0); }

static void spin_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Claims and runs tasks until none is left. */
static void tasks_run(BfmPool *pool, int worker)
{
    uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    for (;;) {
        int64_t tasks = atomic_load_explicit(&pool->tasks, memory_order_acquire);
        BfmTask *task = atomic_load_explicit(&pool->task, memory_order_acquire);
        void *ctx = atomic_load_explicit(&pool->ctx, memory_order_acquire);
        int64_t index = (int64_t)(ticket & INDEX_MASK);
        if (index >= tasks)
            break;
        /* A value of a later run, read above, would have come with the closed ticket of this one: the exchange would fail. */
        if (!atomic_compare_exchange_weak_explicit(&pool->ticket, &ticket, ticket + 1, memory_order_acq_rel, memory_order_acquire))
            continue;
        task(ctx, index, worker);
        if (atomic_fetch_add_explicit(&pool->done, 1, memory_order_acq_rel) + 1 == tasks) {
            atomic_fetch_add(&pool->finish, 1);
            if (atomic_load(&pool->waiting))
                futex_wake(&pool->finish, 1);
        }
        ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    }
}

static void work_wait(BfmPool *pool, uint32_t seen)
{
    for (int i = 0; i < pool->spins; i++) {
        if (atomic_load_explicit(&pool->epoch, memory_order_acquire) != seen)
            return;
        spin_pause();
    }
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->epoch) == seen)
        futex_wait(&pool->epoch, seen);
    atomic_fetch_sub(&pool->sleepers, 1);
}

static void *worker_main(void *argument)
{
    const Worker *worker = argument;
    BfmPool *pool = worker->pool;
    uint32_t seen = 0;
    while (!atomic_load(&pool->stop)) {
        tasks_run(pool, worker->index);
        work_wait(pool, seen);
        seen = atomic_load(&pool->epoch); /* a run that starts after this changes epoch again */
    }
    return NULL;
}

static void finish_wait(BfmPool *pool, int64_t tasks)
{
    for (int i = 0; i < pool->spins; i++) {
        if (atomic_load_explicit(&pool->done, memory_order_acquire) == tasks)
            return;
        spin_pause();
    }
    atomic_store(&pool->waiting, 1);
    for (;;) {
        uint32_t seen = atomic_load(&pool->finish);
        if (atomic_load_explicit(&pool->done, memory_order_acquire) == tasks)
            break;
        futex_wait(&pool->finish, seen);
    }
    atomic_store(&pool->waiting, 0);
}

/* Starts workers 1 .. wanted - 1 with all signals blocked, so that handlers run in the threads of the embedder; returns how many threads there are. */
static int workers_start(BfmPool *pool, int wanted)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    bool masked = pthread_sigmask(SIG_SETMASK, &all, &before) == 0;
    int threads = 1;
    for (; threads < wanted; threads++) {
        Worker *worker = &pool->workers[threads];
        *worker = (Worker){.pool = pool, .index = threads};
        if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
            break;
    }
    if (masked)
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return threads;
}

static void inline_run(int64_t tasks, BfmTask *task, void *ctx)
{
    for (int64_t i = 0; i < tasks; i++)
        task(ctx, i, 0);
}

void bfm_pool_run(BfmPool *pool, int64_t tasks, BfmTask *task, void *ctx)
{
    if (!pool || pool->threads == 1 || tasks <= 1 || atomic_exchange_explicit(&pool->busy, true, memory_order_acquire)) {
        inline_run(tasks, task, ctx);
        return;
    }
    uint64_t generation = (atomic_load_explicit(&pool->ticket, memory_order_relaxed) >> INDEX_BITS) + 1;
    atomic_store_explicit(&pool->ticket, (generation << INDEX_BITS) | INDEX_MASK, memory_order_release); /* closed */
    atomic_store_explicit(&pool->tasks, tasks, memory_order_release);
    atomic_store_explicit(&pool->task, task, memory_order_release);
    atomic_store_explicit(&pool->ctx, ctx, memory_order_release);
    atomic_store_explicit(&pool->done, 0, memory_order_release);
    atomic_store_explicit(&pool->ticket, generation << INDEX_BITS, memory_order_release);
    atomic_fetch_add(&pool->epoch, 1);
    if (atomic_load(&pool->sleepers) > 0)
        futex_wake(&pool->epoch, tasks - 1 < pool->threads ? (int)(tasks - 1) : pool->threads);
    tasks_run(pool, 0);
    finish_wait(pool, tasks);
    atomic_store_explicit(&pool->busy, false, memory_order_release);
}

BfmPool *bfm_pool_new(int threads)
{
    int cpus = bfm_pool_available_cpus();
    int wanted = threads <= 0 ? cpus : threads;
    wanted = wanted > THREAD_LIMIT ? THREAD_LIMIT : wanted;
    BfmPool *pool = aligned_alloc(_Alignof(BfmPool), sizeof *pool);
    Worker *workers = calloc((size_t)wanted, sizeof *workers);
    if (!pool || !workers) {
        free(pool);
        free(workers);
        return NULL;
    }
    memset(pool, 0, sizeof *pool);
    pool->workers = workers;
    pool->spins = wanted <= cpus ? SPINS : 0;    /* spinning takes the CPU from the thread that is waited for */
    pool->threads = workers_start(pool, wanted); /* no worker reads this before the first run */
    return pool;
}

void bfm_pool_free(BfmPool *pool)
{
    if (!pool)
        return;
    atomic_store(&pool->stop, true);
    atomic_fetch_add(&pool->epoch, 1);
    futex_wake(&pool->epoch, pool->threads);
    for (int i = 1; i < pool->threads; i++)
        (void)pthread_join(pool->workers[i].thread, NULL);
    for (int slot = 0; slot < BFM_SCRATCH_SLOTS; slot++)
        bfm_buffer_free(pool->scratch[slot]);
    free(pool->workers);
    free(pool);
}

int bfm_pool_threads(const BfmPool *pool) { return pool ? pool->threads : 1; }

void *bfm_pool_scratch(BfmPool *pool, BfmScratchSlot slot, size_t bytes)
{
    if (!pool || atomic_load_explicit(&pool->busy, memory_order_acquire))
        return NULL;
    if (bytes > pool->scratch_bytes[slot]) {
        bfm_buffer_free(pool->scratch[slot]);
        pool->scratch[slot] = bfm_buffer_new(bytes);
        pool->scratch_bytes[slot] = pool->scratch[slot] ? bytes : 0;
    }
    return pool->scratch[slot];
}
