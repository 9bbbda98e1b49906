/* Runs a plan. An instance binds it to functions, to a pool of threads and to values of the symbols; formals and outputs are memory of the
   caller or, for outputs, of the instance. Results do not depend on the number of threads. One thread at a time may use an instance. */
#ifndef BFM_TEMPLATES_EXECUTOR_H
#define BFM_TEMPLATES_EXECUTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bfm/error.h"
#include "bfm/plan.h"
#include "device/cpu/gemm/gemm.h"
#include "device/cpu/pool/pool.h"

typedef void (*BfmFunction)(void);
typedef struct BfmInstance BfmInstance;

/* Checks that the bytes are a plan this library can run: header and version, and that sections, lists and records lie inside it. */
bool bfm_plan_check(const void *bytes, size_t size, BfmError *error);

/* functions[i] is the address of the plan's function i. Plan, functions and pool (NULL: the calling thread alone) must outlive the instance. */
BfmInstance *bfm_instance_new(const BfmPlan *plan, const BfmFunction *functions, BfmPool *pool, BfmError *error);
void bfm_instance_free(BfmInstance *instance);

/* Gives the symbols their values: sizes follow, the arena of temporaries is laid out. Pointers of formals and outputs that were set stay set.
   symbols[BFM_PLAN_SYMBOLS]. False: a size is out of range or memory is exhausted. Binding the same values again costs nothing. */
bool bfm_instance_bind(BfmInstance *instance, const int64_t *symbols, BfmError *error);

/* Memory of a formal: elements as bfm_instance_formal_count says, 64-byte aligned; must stay valid while running. */
void bfm_instance_set_formal(BfmInstance *instance, int formal, void *memory);
/* Makes the results go to memory of the caller; before bind. Outputs that are a formal or share a buffer with another output stay where that is. */
void bfm_instance_set_output(BfmInstance *instance, int output, void *memory);
void *bfm_instance_formal(const BfmInstance *instance, int formal);
/* Valid after a run until the next run or bind. */
void *bfm_instance_output(const BfmInstance *instance, int output);
int64_t bfm_instance_formal_count(const BfmInstance *instance, int formal); /* elements, after bind */
int64_t bfm_instance_output_count(const BfmInstance *instance, int output);
size_t bfm_instance_formal_size(const BfmInstance *instance, int formal); /* bytes, after bind */
size_t bfm_instance_output_size(const BfmInstance *instance, int output);
int64_t bfm_instance_dim(const BfmInstance *instance, int slot); /* value of a dim slot, after bind */
int bfm_plan_find_formal(const BfmPlan *plan, const char *path); /* position, -1 = none of that name */
int bfm_plan_find_output(const BfmPlan *plan, const char *name, BfmOutputKind kind);

/* Which kernels multiply matrices; BFM_GEMM_OWN unless this is called. */
void bfm_instance_set_engine(BfmInstance *instance, BfmGemmEngine engine);

/* Runs every kernel, or kernels [first, last). seed and step key the draws. */
bool bfm_instance_run(BfmInstance *instance, uint64_t seed, uint64_t step, BfmError *error);
bool bfm_instance_run_range(BfmInstance *instance, uint64_t seed, uint64_t step, int first, int last, BfmError *error);

/* From now on, for each run of a kernel, seconds[kernel] += its time and served[kernel] += the share of its rows that it multiplied: less than 1 only
   for products by key, which leave out rows whose key is none. NULL, NULL stops. */
void bfm_instance_time(BfmInstance *instance, double *seconds, double *served);
/* Runs once, looking at every result as soon as it exists. Returns the first kernel whose result holds a NaN or +inf (-inf is a maximum of
   nothing), with the buffer's name; -1 when all is well, -2 when the run failed. */
int bfm_instance_find_bad(BfmInstance *instance, uint64_t seed, uint64_t step, const char **name, BfmError *error);

size_t bfm_instance_peak_bytes(const BfmInstance *instance);  /* arena: temporaries and own outputs, laid out */
size_t bfm_instance_total_bytes(const BfmInstance *instance); /* the same without sharing of memory between them */
size_t bfm_instance_formal_bytes(const BfmInstance *instance);

#endif
