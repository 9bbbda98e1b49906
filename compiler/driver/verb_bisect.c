/* bfmc bisect: the pass that makes compiled code differ from the interpreter. */
#include "driver/verbs.h"

#include <bfm/show.h>

static void show_progress(void *user, int64_t passes, double difference)
{
    const Driver *driver = user;
    driver_note(driver, "with %lld passes: %.2g", (long long)passes, difference);
}

int verb_bisect(Driver *driver)
{
    const Options *options = driver->options;
    int code;
    if (!driver_load(driver, &code))
        return code;
    const BfmBisectOptions how = {.batch = option_given(options, OPT_BATCH) ? option_whole(options, OPT_BATCH, 0) : 0,
                                  .length = option_whole(options, OPT_LENGTH, 0),
                                  .width = option_whole(options, OPT_WIDTH, 0),
                                  .threads = (int)option_whole(options, OPT_THREADS, 0),
                                  .seed = (uint64_t)option_whole(options, OPT_SEED, 1),
                                  .forward = option_flag(options, OPT_FORWARD),
                                  .tolerance = option_real(options, OPT_TOLERANCE),
                                  .progress = show_progress,
                                  .user = driver};
    BfmBisectVerdict verdict;
    BfmReport report;
    BfmError error;
    if (!bfm_bisect(driver->module, driver->item, &how, &verdict, &report, &error))
        return driver_fail(driver, &error);
    return driver_report(driver, &report, verdict == BFM_BISECT_AGREE ? CODE_OK : CODE_BUG);
}
