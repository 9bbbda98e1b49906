/* The line of progress: averages, rates, and when to say them. */
#include "driver/progress.h"

#include "driver/clock.h"

#include <stdio.h>
#include <unistd.h>

static const double EVERY_TERMINAL = 0.2, EVERY_FILE = 10; /* seconds */

Progress progress_new(const Driver *driver, double tokens_a_step, double flops_a_step, double machine)
{
    return (Progress){
        .driver = driver, .terminal = isatty(STDERR_FILENO) != 0, .silent = driver->quiet, .tokens_a_step = tokens_a_step, .flops_a_step = flops_a_step, .machine = machine};
}

static void print_duration(double seconds)
{
    const long whole = (long)(seconds + 0.5);
    if (whole >= 3600)
        fprintf(stderr, "  %ld:%02ld:%02ld left", whole / 3600, whole / 60 % 60, whole % 60);
    else
        fprintf(stderr, "  %ld:%02ld left", whole / 60, whole % 60);
}

void progress_step(Progress *progress, int64_t step, double loss, double step_seconds, double left)
{
    progress->average = step <= 1 || progress->average == 0 ? loss : 0.95 * progress->average + 0.05 * loss;
    progress->rate = progress->rate == 0 ? step_seconds : 0.9 * progress->rate + 0.1 * step_seconds;
    const double now = seconds_now();
    if (progress->silent || now - progress->shown < (progress->terminal ? EVERY_TERMINAL : EVERY_FILE))
        return;
    progress->shown = now;
    fprintf(stderr, "%sstep %lld  loss %.4f  %.0f tok/s", progress->terminal ? "\r\033[K" : "", (long long)step, progress->average, progress->tokens_a_step / progress->rate);
    if (progress->machine > 0)
        fprintf(stderr, "  %.0f %% of sgemm", 100 * progress->flops_a_step / progress->rate / progress->machine);
    if (left >= 0)
        print_duration(left);
    if (!progress->terminal)
        fputc('\n', stderr);
    fflush(stderr);
}

void progress_end(Progress *progress)
{
    if (!progress->silent && progress->terminal && progress->shown > 0)
        fputs("\r\033[K", stderr);
}
