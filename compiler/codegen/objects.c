#include "codegen/objects.h"

#include "codegen/object_cache.h"
#include "device/cpu/pool/pool.h"

#include <pthread.h>
#include <stdlib.h>

enum { THREADS_MAX = 8 };

typedef struct Crew {
    const Target *target;
    const char *cache;
    const char *description; /* what target_describe says */
    ObjectJob *jobs;
    int count;
    pthread_mutex_t lock; /* of next, failed, error */
    int next;
    bool failed;
    BfmError error;
} Crew;

static int crew_next(Crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    int job = crew->failed || crew->next >= crew->count ? -1 : crew->next++;
    pthread_mutex_unlock(&crew->lock);
    return job;
}

static void crew_fail(Crew *crew, const BfmError *error)
{
    pthread_mutex_lock(&crew->lock);
    if (!crew->failed)
        crew->error = *error;
    crew->failed = true;
    pthread_mutex_unlock(&crew->lock);
}

static void *crew_work(void *argument)
{
    Crew *crew = argument;
    Compiler *compiler = NULL;
    BfmError error = {0};
    for (int i; (i = crew_next(crew)) >= 0;) {
        ObjectJob *job = &crew->jobs[i];
        const ObjectKey key = object_key(crew->description, job->entry->signature);
        if (crew->cache && object_cache_get(crew->cache, &key, &job->object)) {
            job->cached = true;
            continue;
        }
        if (!compiler && !(compiler = compiler_new(crew->target, &error))) {
            crew_fail(crew, &error);
            break;
        }
        if (!compiler_object(compiler, job->entry->form, job->entry->symbol, &job->object, &error)) {
            crew_fail(crew, &error);
            break;
        }
        if (crew->cache)
            object_cache_put(crew->cache, &key, &job->object);
    }
    compiler_free(compiler);
    return NULL;
}

bool objects_make(const Codegen *codegen, ObjectJob *jobs, int count, const char *cache, int threads, BfmError *error)
{
    if (!codegen->usable) {
        bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "this LLVM cannot make code for this machine");
        return false;
    }
    if (count == 0)
        return true;
    threads = threads > 0 ? threads : bfm_pool_available_cpus();
    threads = threads > THREADS_MAX ? THREADS_MAX : threads;
    Str description = {0};
    target_describe(&codegen->target, &description);
    Crew crew = {.target = &codegen->target, .cache = cache, .description = str_text(&description), .jobs = jobs, .count = count, .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t helpers[THREADS_MAX];
    int started = 0;
    while (started < threads - 1 && started < count - 1 && pthread_create(&helpers[started], NULL, crew_work, &crew) == 0)
        started++;
    crew_work(&crew);
    for (int i = 0; i < started; i++)
        pthread_join(helpers[i], NULL);
    pthread_mutex_destroy(&crew.lock);
    str_free(&description);
    if (crew.failed && error)
        *error = crew.error;
    return !crew.failed;
}

void objects_free(ObjectJob *jobs, int count)
{
    for (int i = 0; i < count; i++) {
        free(jobs[i].object.bytes);
        jobs[i].object = (ObjectCode){0};
    }
}
