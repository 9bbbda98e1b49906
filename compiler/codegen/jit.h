/* Kernels in memory: compiled in parallel, or taken from the object cache on disk, then linked by LLVM's ORC.

   The cache holds one object per kernel, named by the hash of the kernel's structure, the CPU, its features, and the versions of LLVM and of this code
   generator, in $BFM_CACHE_DIR, else $XDG_CACHE_HOME/bfm, else ~/.cache/bfm. A file is written beside and renamed; one that is damaged counts as absent.
   A cache that cannot be written is no error; one that other users could have written to is not used (object_cache.h). */
#ifndef BFM_CODEGEN_JIT_H
#define BFM_CODEGEN_JIT_H

#include "codegen/codegen.h"

typedef struct Jit Jit;

typedef struct JitOptions {
    const char *cache; /* a directory; NULL: as above; "": none */
    int threads;       /* that compile; 0: one per CPU, at most 8 */
} JitOptions;

typedef struct JitCounters {
    int64_t compiled; /* functions through LLVM */
    int64_t cached;   /* functions taken from disk */
    int64_t present;  /* functions asked for again in this process */
    double seconds;   /* spent in jit_add */
} JitCounters;

Jit *jit_new(const JitOptions *options, BfmError *error);              /* NULL options: the defaults */
bool jit_add(Jit *jit, const Codegen *codegen, BfmError *error);       /* every function of the codegen that is not there yet */
void *jit_symbol(const Jit *jit, const char *symbol, BfmError *error); /* NULL if it was never added; valid until jit_free */
JitCounters jit_counters(const Jit *jit);
void jit_free(Jit *jit); /* NULL is allowed */
/* Once, before anything is compiled: where memory is exhausted inside LLVM, the process ends with a message and exit code 3. */
void codegen_report_exhaustion(void);
/* Why the environment's cache is not used, in the arena; NULL where it is, or where there is none. */
const char *jit_cache_warning(Arena *arena);

#endif
