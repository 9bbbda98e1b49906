/* The pass that makes compiled code differ from the interpreter. */
#include "bfm/show.h"

#include "api/internal.h"
#include "run/bisect.h"

enum { BATCH = 2, LENGTH = 8 };
static const double USUAL_TOLERANCE = 1e-3;

typedef struct Subject {
    const BfmModule *module;
    const Node *item;
    const BfmBisectOptions *options;
} Subject;

static Lowered *lower_again(void *context)
{
    const Subject *subject = context;
    return api_lower(subject->module, subject->item, subject->options->width, subject->options->length, MODE_TRAIN);
}

static void forward_progress(void *context, int64_t passes, double difference)
{
    const Subject *subject = context;
    if (subject->options->progress)
        subject->options->progress(subject->options->user, passes, difference);
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

bool bfm_bisect(BfmModule *module, const char *item, const BfmBisectOptions *options, BfmBisectVerdict *verdict, BfmReport *report, BfmError *error)
{
    static const BfmBisectVerdict verdicts[] = {[BISECT_AGREE] = BFM_BISECT_AGREE, [BISECT_PASS] = BFM_BISECT_PASS, [BISECT_OTHER] = BFM_BISECT_OTHER};
    Subject subject = {.module = module, .options = options};
    *report = (BfmReport){.text = NULL};
    subject.item = api_is_sound(module, error) ? api_item(module, item, error) : NULL;
    if (!subject.item)
        return false;
    const int64_t batch = options->batch > 0 ? options->batch : BATCH, length = options->length > 0 ? options->length : LENGTH;
    const BisectSettings settings = {.engine = &ENGINE_JIT,
                                     .threads = options->threads,
                                     .env = {.value = {[DIM_B] = batch, [DIM_L] = length, [DIM_N] = length, [DIM_S0] = 1, 1, 1, 1, 1, 1, 1, 1}},
                                     .seed = options->seed,
                                     .step = {.model = subject.item->kind == NODE_MODEL, .backward = !options->forward, .seeded = true},
                                     .tolerance = options->tolerance > 0 ? options->tolerance : USUAL_TOLERANCE,
                                     .lower = lower_again,
                                     .context = &subject,
                                     .progress = forward_progress};
    Bisect result;
    BfmError own = {.message = ""};
    if (!bisect_passes(module->context.arena, &settings, &result, &own)) {
        *error = own;
        return api_is_sound(module, error) && false;
    }
    Str text = {0};
    result_text(&result, &text);
    *report = api_made(&text, result_json(&result));
    *verdict = verdicts[result.verdict];
    return true;
}
