/* bfmc grad: loss, logits and gradients of a model for given weights and tokens. */
#include "driver/verbs.h"

#include <bfm/tensors.h>

int verb_grad(Driver *driver)
{
    static const OptionId needed[] = {OPT_WEIGHTS, OPT_TOKENS, OPT_OUT};
    const Options *options = driver->options;
    int code = driver_need(driver, needed, sizeof needed / sizeof *needed);
    if (code != CODE_OK || !driver_load(driver, &code))
        return code;
    const BfmGradOptions how = {.weights = option_text(options, OPT_WEIGHTS),
                                .tokens = option_text(options, OPT_TOKENS),
                                .out = option_text(options, OPT_OUT),
                                .engine = option_text(options, OPT_ENGINE),
                                .threads = (int)option_whole(options, OPT_THREADS, 0),
                                .seed = (uint64_t)option_whole(options, OPT_SEED, 1)};
    BfmReport report;
    BfmError error;
    const bool ok = bfm_grad(driver->module, driver->item, &how, &report, &error);
    return driver_written(driver, ok, &report, &error);
}
