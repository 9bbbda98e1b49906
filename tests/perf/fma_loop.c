/* How fast the machine is at this moment: for each line of standard input, a loop of multiply-adds in registers on every thread, and its GFLOP/s as a line
   of JSON. Memory, caches and the code of either engine have no part in it: what slows it is somebody else's work. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CHAINS = 12, LANES = 8, THREADS_MOST = 64 };
static const long rounds = 4000000;

typedef float Lanes __attribute__((vector_size(4 * LANES)));

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

__attribute__((target("avx2,fma"))) static void *loop(void *result)
{
    Lanes chain[CHAINS], factor, term;
    for (int i = 0; i < LANES; i++)
        factor[i] = 0.999f, term[i] = 0.001f;
    for (int c = 0; c < CHAINS; c++)
        chain[c] = term * (float)c;
    for (long r = 0; r < rounds; r++)
        for (int c = 0; c < CHAINS; c++)
            chain[c] = chain[c] * factor + term;
    float sum = 0;
    for (int c = 0; c < CHAINS; c++)
        sum += chain[c][c % LANES];
    *(float *)result = sum;
    return NULL;
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 1;
    char line[64];
    pthread_t ids[THREADS_MOST];
    float results[THREADS_MOST];
    threads = threads < 1 ? 1 : threads > THREADS_MOST ? THREADS_MOST : threads;
    while (fgets(line, sizeof line, stdin)) {
        const double start = now();
        int started = 0;
        while (started < threads - 1 && pthread_create(&ids[started], NULL, loop, &results[started]) == 0)
            started++;
        loop(&results[started]);
        for (int t = 0; t < started; t++)
            pthread_join(ids[t], NULL);
        printf("{\"gflops_per_s\": %.2f}\n", 2e-9 * CHAINS * LANES * (double)rounds * (started + 1) / (now() - start));
        (void)fflush(stdout);
    }
    return 0;
}
