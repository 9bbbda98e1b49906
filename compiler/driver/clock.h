/* Time that has passed. */
#ifndef BFM_DRIVER_CLOCK_H
#define BFM_DRIVER_CLOCK_H

#include <time.h>

/* Seconds of a clock that only runs forwards, from an arbitrary beginning. */
static inline double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
