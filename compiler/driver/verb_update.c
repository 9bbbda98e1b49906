/* bfmc update: steps of a recipe's optimiser on tensors of a file, from gradients of a file. */
#include "driver/verbs.h"

#include <bfm/tensors.h>

int verb_update(Driver *driver)
{
    static const OptionId needed[] = {OPT_WEIGHTS, OPT_GRADIENTS, OPT_OUT};
    const Options *options = driver->options;
    int code = driver_need(driver, needed, sizeof needed / sizeof *needed);
    if (code != CODE_OK || !driver_load(driver, &code))
        return code;
    const BfmUpdateOptions how = {.recipe = option_text(options, OPT_RECIPE),
                                  .weights = option_text(options, OPT_WEIGHTS),
                                  .gradients = option_text(options, OPT_GRADIENTS),
                                  .out = option_text(options, OPT_OUT),
                                  .engine = option_text(options, OPT_ENGINE),
                                  .threads = (int)option_whole(options, OPT_THREADS, 0),
                                  .freeze = options->values[OPT_FREEZE].texts,
                                  .freeze_count = options->values[OPT_FREEZE].count};
    BfmReport report;
    BfmError error;
    const bool ok = bfm_update(driver->module, &how, &report, &error);
    return driver_written(driver, ok, &report, &error);
}
