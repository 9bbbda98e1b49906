/* bfmc check: every error of a file, what its models read, and what they cost. */
#include "driver/verbs.h"

#include <string.h>

int verb_check(Driver *driver)
{
    const Options *options = driver->options;
    int code;
    if (!driver_load(driver, &code))
        return code;
    const char *kind = driver->item ? bfm_module_kind(driver->module, driver->item) : NULL;
    if (option_flag(options, OPT_COST) && kind && strcmp(kind, "model") != 0)
        return driver_usage(driver, "--cost is about models: a block or layer is measured by profile");
    const int64_t batch = option_whole(options, OPT_BATCH, 0), length = option_whole(options, OPT_LENGTH, 0);
    const BfmCheckOptions how = {.batch = option_flag(options, OPT_CHECK_GRADIENTS) && !option_given(options, OPT_BATCH) ? 0
                                          : batch > 0                                                                    ? batch
                                                                                                                         : 1,
                                 .length = option_given(options, OPT_LENGTH) && length < 1 ? 1 : length,
                                 .width = option_whole(options, OPT_WIDTH, 0),
                                 .schedule = option_flag(options, OPT_EXPLAIN_SCHEDULE),
                                 .cost = option_flag(options, OPT_COST),
                                 .gradients = option_flag(options, OPT_CHECK_GRADIENTS)};
    BfmReport report;
    BfmError error;
    const bool ok = bfm_check_report(driver->module, driver->item, &how, &report, &error);
    code = driver_diagnostics(driver);
    const bool failed = !ok && code == CODE_OK; /* beside the diagnostics */
    code = failed ? (int)error.kind : code;
    if (driver->json) {
        json_t *json = report_of(driver, report.json);
        if (failed)
            json_object_set_new(json, "error", json_string(error.message));
        code = report_print(driver, json, code);
    } else {
        const int printed = !driver->quiet || code == CODE_OK ? driver_print(driver, report.text, report.text_length) : CODE_OK;
        code = failed ? driver_fail(driver, &error) : code != CODE_OK ? code : printed;
    }
    bfm_report_free(&report);
    return code;
}
