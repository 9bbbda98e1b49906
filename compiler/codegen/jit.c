#include "codegen/jit.h"

#include "codegen/object_cache.h"
#include "codegen/objects.h"
#include "support/bug.h"
#include "support/hash.h"

#include <llvm-c/Core.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct Linked {
    const char *symbol;
    void *address;
} Linked;

struct Jit {
    Arena *arena;
    const char *cache; /* NULL = none */
    int threads;
    LLVMOrcLLJITRef orc;
    LLVMOrcJITDylibRef library;
    int count, capacity;
    Linked *linked; /* open addressing by symbol */
    JitCounters counters;
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static bool report(BfmError *error, LLVMErrorRef failure, const char *what)
{
    if (!failure)
        return true;
    char *message = LLVMGetErrorMessage(failure);
    bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: %s", what, message);
    LLVMDisposeErrorMessage(message);
    return false;
}

Jit *jit_new(const JitOptions *options, BfmError *error)
{
    static const JitOptions defaults = {0};
    if (!options)
        options = &defaults;
    Arena *arena = arena_new();
    Jit *jit = ARENA_NEW(arena, Jit);
    Target target;
    jit->arena = arena;
    const char *warning; /* the driver's to tell */
    jit->cache = object_cache_directory(arena, options->cache, &warning);
    jit->threads = options->threads;
    if (!target_init(&target, arena, NULL) || !report(error, LLVMOrcCreateLLJIT(&jit->orc, NULL), "LLVM's JIT does not start")) {
        arena_free(arena);
        return NULL;
    }
    jit->library = LLVMOrcLLJITGetMainJITDylib(jit->orc);
    /* Code generation may call memset, memcpy and the like: those of this process. */
    LLVMOrcDefinitionGeneratorRef process;
    if (report(error, LLVMOrcCreateDynamicLibrarySearchGeneratorForProcess(&process, LLVMOrcLLJITGetGlobalPrefix(jit->orc), NULL, NULL),
               "the process's symbols cannot be searched"))
        LLVMOrcJITDylibAddGenerator(jit->library, process);
    return jit;
}

const char *jit_cache_warning(Arena *arena)
{
    const char *warning;
    (void)object_cache_directory(arena, NULL, &warning);
    return warning;
}

void jit_free(Jit *jit)
{
    if (!jit)
        return;
    LLVMErrorRef failure = LLVMOrcDisposeLLJIT(jit->orc);
    if (failure)
        LLVMConsumeError(failure);
    arena_free(jit->arena);
}

/* ---- what is linked already ------------------------------------------------------------------------------------------------------ */

static Linked *linked_slot(const Jit *jit, const char *symbol)
{
    for (uint64_t i = hash_text(symbol, 0);; i++) {
        Linked *slot = &jit->linked[i & (uint64_t)(jit->capacity - 1)];
        if (!slot->symbol || strcmp(slot->symbol, symbol) == 0)
            return slot;
    }
}

static void linked_reserve(Jit *jit, int more)
{
    int capacity = jit->capacity ? jit->capacity : 64;
    while (capacity < 2 * (jit->count + more))
        capacity *= 2;
    if (capacity == jit->capacity)
        return;
    const Linked *old = jit->linked;
    int count = jit->capacity;
    jit->linked = ARENA_ARRAY(jit->arena, Linked, capacity);
    jit->capacity = capacity;
    for (int i = 0; i < count; i++)
        if (old[i].symbol)
            *linked_slot(jit, old[i].symbol) = old[i];
}

/* ---- linking ---------------------------------------------------------------------------------------------------------------------- */

static bool link_job(Jit *jit, const ObjectJob *job, BfmError *error)
{
    LLVMMemoryBufferRef buffer = LLVMCreateMemoryBufferWithMemoryRangeCopy(job->object.bytes, job->object.size, job->entry->symbol);
    return report(error, LLVMOrcLLJITAddObjectFile(jit->orc, jit->library, buffer), "an object cannot be linked");
}

static bool find_address(Jit *jit, const ObjectJob *job, BfmError *error)
{
    LLVMOrcExecutorAddress address;
    if (!report(error, LLVMOrcLLJITLookup(jit->orc, &address, job->entry->symbol), "a function cannot be linked"))
        return false;
    Linked *slot = linked_slot(jit, job->entry->symbol);
    *slot = (Linked){arena_strdup(jit->arena, job->entry->symbol), (void *)(uintptr_t)address};
    jit->count++;
    if (job->cached)
        jit->counters.cached++;
    else
        jit->counters.compiled++;
    return true;
}

bool jit_add(Jit *jit, const Codegen *codegen, BfmError *error)
{
    double start = now();
    ObjectJob *jobs = calloc((size_t)codegen->count + 1, sizeof *jobs);
    BFM_ASSERT(jobs);
    int count = 0;
    linked_reserve(jit, codegen->count);
    for (int i = 0; i < codegen->count; i++) {
        const KernelEntry *entry = &codegen->entries[i];
        if (linked_slot(jit, entry->symbol)->symbol)
            jit->counters.present++;
        else
            jobs[count++] = (ObjectJob){.entry = entry};
    }
    bool ok = objects_make(codegen, jobs, count, jit->cache, jit->threads, error);
    for (int i = 0; ok && i < count; i++)
        ok = link_job(jit, &jobs[i], error);
    for (int i = 0; ok && i < count; i++)
        ok = find_address(jit, &jobs[i], error);
    objects_free(jobs, count);
    free(jobs);
    jit->counters.seconds += now() - start;
    return ok;
}

void *jit_symbol(const Jit *jit, const char *symbol, BfmError *error)
{
    const Linked *slot = jit->capacity ? linked_slot(jit, symbol) : NULL;
    if (slot && slot->symbol)
        return slot->address;
    bfm_error_set(error, BFM_ERROR_BUG, "no function %s", symbol);
    return NULL;
}

JitCounters jit_counters(const Jit *jit) { return jit->counters; }
