/* bfmc profile: where the time and the memory of a step go. */
#include "driver/clock.h"
#include "driver/verbs.h"

#include <bfm/profile.h>

static const double QUIET_S = 2; /* until something is shown */

typedef struct Watching {
    Driver *driver;
    double began;
    bool asked; /* --paced: the first line was waited for */
} Watching;

static void show_warnings(void *user)
{
    const Watching *watching = user;
    (void)driver_diagnostics(watching->driver);
}

static void show_progress(void *user, const char *what)
{
    const Watching *watching = user;
    const double seconds = seconds_now() - watching->began;
    if (seconds > QUIET_S)
        driver_note(watching->driver, "%5.1f s  %s", seconds, what);
}

/* --paced: a sample for each line of standard input. */
static bool another_line(void *user)
{
    Watching *watching = user;
    char line[64];
    if (!watching->asked) {
        printf("{\"ready\": true}\n");
        (void)fflush(stdout);
    }
    watching->asked = true;
    return fgets(line, sizeof line, stdin) != NULL;
}

static void print_sample(void *user, double step_s, double update_s, double cpu_s, int steps)
{
    (void)user;
    printf("{\"step_s\": %.9f, \"update_s\": %.9f, \"cpu_s\": %.9f, \"steps\": %d}\n", step_s, update_s, cpu_s, steps);
    (void)fflush(stdout);
}

/* Given, and no positive number below a million. */
static bool is_wrong(const Options *options, OptionId option)
{
    const int64_t value = option_whole(options, option, 1);
    return option_given(options, option) && (value < 1 || (option == OPT_STEPS && value >= 1000000));
}

int verb_profile(Driver *driver)
{
    const Options *options = driver->options;
    Watching watching = {.driver = driver, .began = seconds_now()};
    int code;
    if (is_wrong(options, OPT_BATCH) || is_wrong(options, OPT_LENGTH) || is_wrong(options, OPT_WIDTH) || is_wrong(options, OPT_STEPS))
        return driver_usage(driver, "--batch, --length, --width and --steps take positive numbers");
    if (!driver_load(driver, &code))
        return code;
    const bool paced = option_flag(options, OPT_PACED);
    const BfmProfileOptions how = {.batch = option_whole(options, OPT_BATCH, 0),
                                   .length = option_whole(options, OPT_LENGTH, 0),
                                   .width = option_whole(options, OPT_WIDTH, 0),
                                   .forward = option_flag(options, OPT_FORWARD),
                                   .seed = (uint64_t)option_whole(options, OPT_SEED, 1),
                                   .threads = (int)option_whole(options, OPT_THREADS, 0),
                                   .recipe = option_text(options, OPT_RECIPE),
                                   .steps = option_whole(options, OPT_STEPS, 0),
                                   .ready = show_warnings,
                                   .progress = show_progress,
                                   .another = paced ? another_line : NULL,
                                   .sample = print_sample,
                                   .user = &watching};
    BfmReport report;
    BfmError error;
    if (!bfm_profile(driver->module, driver->item, &how, &report, &error))
        return driver_fail(driver, &error);
    return driver_report(driver, &report, CODE_OK);
}
