/* Two contexts in two threads, and candidates of one module in two more: what each counts is what one alone counts. FILE BLOCK */
#include <bfm/check.h>
#include <bfm/context.h>
#include <bfm/cost.h>
#include <bfm/tree.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 20, THREADS = 4 };

typedef struct Work {
    const char *file, *item;
    BfmModule *shared; /* NULL: a context of its own */
    long long parameters[ROUNDS];
    pthread_t thread;
} Work;

static long long count(BfmModule *module, const char *item, int round)
{
    BfmError error;
    BfmCost cost;
    char path[128], value[32];
    BfmModule *copy = bfm_module_candidate(module, item, &error);
    (void)snprintf(path, sizeof path, "%s.ffn_0.hidden", item);
    (void)snprintf(value, sizeof value, "%d", 8 * (round + 1));
    const bool ok = copy && bfm_module_set(copy, path, value, &error) && bfm_check(copy, item) && bfm_cost(copy, item, 2, 16, BFM_COST_COUNT, &cost, &error);
    bfm_module_free(copy);
    return ok ? (long long)cost.parameters : -1;
}

static void *run(void *pointer)
{
    Work *work = pointer;
    BfmError error;
    BfmContext *context = work->shared ? NULL : bfm_context_new(NULL, &error);
    BfmModule *module = work->shared ? work->shared : bfm_module_load(context, work->file, &error);
    for (int i = 0; i < ROUNDS; i++)
        work->parameters[i] = count(module, work->item, i);
    if (!work->shared) {
        bfm_module_free(module);
        bfm_context_free(context);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    BfmError error;
    if (argc < 3)
        return 2;
    BfmContext *context = bfm_context_new(NULL, &error);
    BfmModule *module = bfm_module_load(context, argv[1], &error);
    Work works[THREADS], alone = {.file = argv[1], .item = argv[2], .shared = module};
    for (int t = 0; t < THREADS; t++) {
        works[t] = (Work){.file = argv[1], .item = argv[2], .shared = t % 2 ? module : NULL};
        if (pthread_create(&works[t].thread, NULL, run, &works[t]))
            return 1;
    }
    for (int t = 0; t < THREADS; t++)
        pthread_join(works[t].thread, NULL);
    (void)run(&alone);
    for (int t = 0; t < THREADS; t++)
        for (int i = 0; i < ROUNDS; i++)
            if (works[t].parameters[i] != alone.parameters[i] || alone.parameters[i] <= 0)
                return 1;
    printf("%lld %lld\n", alone.parameters[0], alone.parameters[ROUNDS - 1]);
    bfm_module_free(module);
    bfm_context_free(context);
    return 0;
}
