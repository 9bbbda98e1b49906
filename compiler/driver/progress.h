/* What is shown while a model trains: one line on a terminal, a line now and then elsewhere. */
#ifndef BFM_DRIVER_PROGRESS_H
#define BFM_DRIVER_PROGRESS_H

#include "driver/driver.h"

typedef struct Progress {
    const Driver *driver;
    bool terminal, silent;
    double shown;   /* when it was last shown, of the clock */
    double average; /* of the loss, over some tens of steps */
    double rate;    /* of steps: seconds each, averaged */
    double tokens_a_step, flops_a_step;
    double machine; /* FLOP/s of matrix products here; 0: not measured */
} Progress;

Progress progress_new(const Driver *driver, double tokens_a_step, double flops_a_step, double machine);
/* After each step: `left` is the time that the budget leaves, in seconds; negative: unknown. */
void progress_step(Progress *progress, int64_t step, double loss, double step_seconds, double left);
/* Ends the line, so that something else can be said. */
void progress_end(Progress *progress);

#endif
