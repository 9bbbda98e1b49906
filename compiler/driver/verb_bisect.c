/* bfmc bisect: the pass that makes compiled code differ from the interpreter. */
#include "driver/item.h"
#include "driver/verbs.h"
#include "run/bisect.h"

#include <string.h>

enum { BATCH = 2, LENGTH = 8 };

typedef struct Subject {
    Driver *driver;
    const Module *module;
    const Node *item;
} Subject;

static Lowered *lower_again(void *context)
{
    const Subject *subject = context;
    return (Lowered *)item_lower(subject->driver, subject->module, subject->item, option_whole(subject->driver->options, OPT_WIDTH, 0), MODE_TRAIN);
}

static void tell_progress(void *context, int64_t passes, double difference)
{
    const Subject *subject = context;
    driver_note(subject->driver, "with %lld passes: %.2g", (long long)passes, difference);
}

static json_t *result_json(const Bisect *result)
{
    static const char *const verdicts[] = {[BISECT_AGREE] = "agree", [BISECT_PASS] = "pass", [BISECT_OTHER] = "other"};
    json_t *json = json_pack("{s:s, s:f, s:s, s:I}", "verdict", verdicts[result->verdict], "difference", result->difference, "output", result->output ? result->output : "",
                             "passes", (json_int_t)result->passes);
    if (result->verdict != BISECT_PASS)
        return json;
    json_object_set_new(json, "number", json_integer(result->number));
    json_object_set_new(json, "pass", json_string(pass_info(result->pass)->name));
    json_object_set_new(json, "unit", json_string(result->unit));
    json_object_set_new(json, "without", json_real(result->without));
    json_object_set_new(json, "before", json_string(result->before));
    json_object_set_new(json, "after", json_string(result->after));
    return json;
}

static void result_text(const Bisect *result, Str *out)
{
    switch (result->verdict) {
    case BISECT_AGREE:
        str_printf(out, "the engines agree: the largest difference is %.2g of the largest number of %s, with all %lld passes\n", result->difference,
                   result->output ? result->output : "nothing", (long long)result->passes);
        return;
    case BISECT_OTHER:
        str_printf(out, "%s differs by %.2g of its largest number without any optional pass: the fault is in a pass that is required, in the schedule or in a kernel\n",
                   result->output, result->difference);
        return;
    case BISECT_PASS:
        str_printf(out, "%s differs by %.2g of its largest number from pass %lld of %lld on, `%s` on %s; without that pass by %.2g\n\nbefore it\n\n%s\nafter it\n\n%s",
                   result->output, result->difference, (long long)result->number, (long long)result->passes, pass_info(result->pass)->name, result->unit, result->without,
                   result->before, result->after);
        return;
    }
}

static int bisect(Subject *subject)
{
    Driver *driver = subject->driver;
    const Options *options = driver->options;
    const int64_t batch = option_given(options, OPT_BATCH) ? option_whole(options, OPT_BATCH, 0) : BATCH, length = option_whole(options, OPT_LENGTH, LENGTH);
    const bool model = subject->item->kind == NODE_MODEL;
    const BisectSettings settings = {.engine = &ENGINE_JIT,
                                     .threads = (int)option_whole(options, OPT_THREADS, 0),
                                     .env = {.value = {[DIM_B] = batch, [DIM_L] = length, [DIM_N] = length, [DIM_S0] = 1, 1, 1, 1, 1, 1, 1, 1}},
                                     .seed = (uint64_t)option_whole(options, OPT_SEED, 1),
                                     .step = {.model = model, .backward = !option_flag(options, OPT_FORWARD), .seeded = true},
                                     .tolerance = option_real(options, OPT_TOLERANCE),
                                     .lower = lower_again,
                                     .context = subject,
                                     .progress = tell_progress};
    Bisect result;
    BfmError error = {.message = ""};
    if (!bisect_passes(driver->context.arena, &settings, &result, &error)) {
        const int code = driver_diagnostics(driver);
        return code != CODE_OK ? driver->json ? report_print(driver, report_new(driver), code) : code : driver_fail(driver, &error);
    }
    const int code = result.verdict == BISECT_AGREE ? CODE_OK : CODE_BUG;
    if (driver->json) {
        json_t *report = report_new(driver), *json = result_json(&result);
        json_object_update(report, json);
        json_decref(json);
        return report_print(driver, report, code);
    }
    Str out = {0};
    result_text(&result, &out);
    const int printed = driver_print(driver, &out);
    str_free(&out);
    return printed == CODE_OK ? code : printed;
}

int verb_bisect(Driver *driver)
{
    const Target target = target_parse(driver->context.arena, driver->options->arguments[0]);
    int code;
    Subject subject = {.driver = driver, .module = driver_module(driver, target.path, &code)};
    if (!subject.module)
        return code;
    if (diag_errors(driver->context.diags) > 0) {
        code = driver_diagnostics(driver);
        return driver->json ? report_print(driver, report_new(driver), code) : code;
    }
    subject.item = item_pick(driver, subject.module, &target, &code);
    return subject.item ? bisect(&subject) : code;
}
