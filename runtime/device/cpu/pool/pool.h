/* Threads started once, and loops over independent tasks. Which worker runs a task is never fixed, so a task's result may depend
   on its index only: then the bits are the same for any number of threads. */
#ifndef BFM_POOL_POOL_H
#define BFM_POOL_POOL_H

#include <stddef.h>
#include <stdint.h>

typedef struct BfmPool BfmPool;
typedef void BfmTask(void *ctx, int64_t index, int worker);

/* threads counts the caller; 0 means as many as the CPU affinity and the cgroup's quota allow. Fewer threads are started when the system
   refuses more (see bfm_pool_threads). NULL when memory is exhausted. Make the pool after a fork, never before: threads do not survive it. */
BfmPool *bfm_pool_new(int threads);
void bfm_pool_free(BfmPool *pool);         /* NULL is allowed; no run may be in progress */
int bfm_pool_threads(const BfmPool *pool); /* including the caller; 1 for NULL */
int bfm_pool_available_cpus(void);         /* what bfm_pool_new(0) uses, at least 1 */

/* Calls task(ctx, i, worker) once for every i in [0, tasks), tasks < 2^40, and returns when all are done; worker is in [0, threads) and no two
   tasks run at once with the same worker. Everything written before the call is visible to the tasks, everything they write is visible after it.
   A NULL pool, and a run started while another is in progress (from a task, say), do all tasks inline, in order, as worker 0 of their own. */
void bfm_pool_run(BfmPool *pool, int64_t tasks, BfmTask *task, void *ctx);

/* Memory kept by the pool between calls, for whoever owns the slot; valid until the slot is asked for again. NULL for a NULL pool, inside a
   run, and when memory is exhausted: the caller then allocates for itself, or fails. */
typedef enum { BFM_SCRATCH_GEMM, BFM_SCRATCH_TEMPLATE, BFM_SCRATCH_SLOTS } BfmScratchSlot;
void *bfm_pool_scratch(BfmPool *pool, BfmScratchSlot slot, size_t bytes);

#endif
