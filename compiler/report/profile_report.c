/* Where the time and the memory of a step go: measured, counted by kernel and by sub-layer, written as text and as JSON. */
#include "report/profile_report.h"

#include "device/cpu/gemm/gemm.h"
#include "report/profile_update.h"
#include "support/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { STEPS_LEAST = 5, STEPS_MOST = 200, KERNELS_SHOWN = 24, WIDE = 52 };
static const double sample_s = 0.2, measure_s = 3, rate_s = 0.3;

typedef struct Steps {
    int count;
    double *seconds;          /* sorted */
    double median, low, high; /* low, high: quartiles */
} Steps;

/* What one kernel, or all of a sub-layer, does in a step. */
typedef struct Cost {
    const char *name, *kind, *shape;
    double seconds, flops, bytes;
    double served; /* of a kernel: share of its rows that it multiplied, mean */
    int kernels;
} Cost;

typedef struct Report {
    const ProfileReportSettings *settings;
    Arena *arena;
    Profile *profile;
    ProfileUpdate *update; /* NULL: a step updates nothing */
    double update_s;       /* of a step, mean */
    Steps steps;
    double rate;     /* GFLOP/s of the machine's products */
    double resident; /* peak, bytes */
    int kernel_count, part_count;
    Cost *kernels, *parts;
    Cost total;
    double *kernel_seconds, *kernel_served; /* [kernel_count]: sums over the steps */
} Report;

static void progress(const Report *report, const char *what)
{
    if (report->settings->progress)
        report->settings->progress(report->settings->user, what);
}

/* ---- measuring ---- */

static int by_value(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b); }

static double quantile(const Steps *steps, double share)
{
    const double place = share * (steps->count - 1);
    const int below = (int)place;
    return below + 1 < steps->count ? steps->seconds[below] + (place - below) * (steps->seconds[below + 1] - steps->seconds[below]) : steps->seconds[below];
}

/* A step: forward, backward and, with a recipe, the update. Its seconds, negative where it failed. */
static double step_run(Report *report, BfmError *error)
{
    const double seconds = profile_run(report->profile, 1, error), begin = seconds_now();
    if (seconds < 0 || !report->update)
        return seconds;
    if (!profile_update_run(report->update, error))
        return -1;
    report->update_s += seconds_now() - begin;
    return seconds + seconds_now() - begin;
}

/* The most the process had in memory since the last call: the kernel's mark is set back. Without that file: since it began. */
static double resident_peak(bool restart)
{
    FILE *file = fopen(restart ? "/proc/self/clear_refs" : "/proc/self/status", restart ? "w" : "r");
    char line[256];
    double kilobytes = 0;
    while (file && !restart && fgets(line, sizeof line, file))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kilobytes = strtod(line + 6, NULL);
    if (file) {
        if (restart)
            (void)fputs("5", file);
        (void)fclose(file);
    }
    struct rusage usage;
    if (kilobytes <= 0 && getrusage(RUSAGE_SELF, &usage) == 0)
        kilobytes = (double)usage.ru_maxrss;
    return 1024 * kilobytes;
}

static bool steps_measure(Report *report, BfmError *error)
{
    Steps *steps = &report->steps;
    const int64_t wanted = report->settings->steps;
    const int most = wanted > 0 ? (int)wanted : STEPS_MOST;
    double total = 0;
    steps->seconds = ARENA_ARRAY(report->arena, double, most);
    (void)resident_peak(true);
    report->update_s = 0;
    bfm_instance_time(report->profile->instance, report->kernel_seconds, report->kernel_served);
    while (steps->count < most && (wanted > 0 || steps->count < STEPS_LEAST || total < measure_s)) {
        const double seconds = step_run(report, error);
        if (seconds < 0)
            return false;
        total += steps->seconds[steps->count++] = seconds;
    }
    bfm_instance_time(report->profile->instance, NULL, NULL);
    report->resident = resident_peak(false);
    report->update_s /= steps->count;
    qsort(steps->seconds, (size_t)steps->count, sizeof *steps->seconds, by_value);
    steps->median = quantile(steps, 0.5), steps->low = quantile(steps, 0.25), steps->high = quantile(steps, 0.75);
    return true;
}

/* Samples of at least sample_s, as long as somebody wants another. */
static bool samples_take(Report *report, BfmError *error)
{
    const ProfileReportSettings *settings = report->settings;
    const double tick = 1.0 / CLOCKS_PER_SEC;
    while (settings->another && settings->another(settings->user)) {
        double total = 0;
        int count = 0;
        const clock_t begin = clock();
        report->update_s = 0;
        for (; total < sample_s; count++) {
            const double seconds = step_run(report, error);
            if (seconds < 0)
                return false;
            total += seconds;
        }
        settings->sample(settings->user, total / count, report->update_s / count, tick * (double)(clock() - begin) / count, count);
    }
    return true;
}

/* ---- costs ---- */

static const char *kernel_word(const BfmPlanKernel *kernel, const BfmPlanGemm *gemm)
{
    return !gemm || gemm->form == BFM_GEMM_PLAIN ? kernel_row((BfmKernelKind)kernel->kind)->word : gemm->form == BFM_GEMM_BY_KEY ? "product by key" : "product into keys";
}

static double slot(const Report *report, int32_t dim) { return dim < 0 ? 0 : (double)bfm_instance_dim(report->profile->instance, dim); }

/* "1024×1536×512" of a product, with the batches or keys before it. */
static const char *product_shape(const Report *report, const BfmPlanGemm *gemm)
{
    double batches = gemm->form == BFM_GEMM_PLAIN ? 1 : slot(report, gemm->key_count);
    for (int i = 0; i < gemm->batch_count; i++)
        batches *= slot(report, gemm->batch[i].extent);
    const char *many = batches == 1 ? "" : arena_printf(report->arena, "%.0f of ", batches);
    return arena_printf(report->arena, "%s%.0f×%.0f×%.0f", many, slot(report, gemm->m.extent), slot(report, gemm->n.extent), slot(report, gemm->k.extent));
}

static void cost_add(Cost *to, const Cost *cost)
{
    to->seconds += cost->seconds;
    to->flops += cost->flops;
    to->bytes += cost->bytes;
    to->kernels += cost->kernels;
}

/* The sub-layer whose path the name begins with: the longest such path, "" for none. */
static const char *part_of(const Report *report, const char *name)
{
    const Lowered *lowered = report->profile->lowered;
    const char *best = "";
    for (int i = 0; i < lowered->line_count; i++) {
        const char *path = lowered->lines[i].path;
        const size_t length = strlen(path);
        if (lowered->lines[i].call >= 0 && length > strlen(best) && strncmp(name, path, length) == 0 && (name[length] == '.' || name[length] == 0))
            best = path;
    }
    return best;
}

/* What updates parameters, in a row of its own. */
static void update_count(Report *report)
{
    const Cost update = {.name = "update", .seconds = report->update_s, .kernels = 1};
    if (report->update) {
        report->parts[report->part_count++] = update;
        cost_add(&report->total, &update);
    }
}

static Cost *part_find(Report *report, const char *name)
{
    for (int i = 0; i < report->part_count; i++)
        if (strcmp(report->parts[i].name, name) == 0)
            return &report->parts[i];
    report->parts[report->part_count] = (Cost){.name = name};
    return &report->parts[report->part_count++];
}

static void costs_count(Report *report)
{
    const BfmPlan *plan = report->profile->compiled->plan;
    report->parts = ARENA_ARRAY(report->arena, Cost, report->profile->lowered->line_count + 3);
    report->kernels = ARENA_ARRAY(report->arena, Cost, report->kernel_count + 1);
    for (int i = 0; i < report->profile->lowered->line_count; i++)
        if (report->profile->lowered->lines[i].call >= 0)
            (void)part_find(report, report->profile->lowered->lines[i].path);
    for (int k = 0; k < report->kernel_count; k++) {
        const BfmPlanKernel *kernel = &bfm_plan_kernels(plan)[k];
        const BfmPlanGemm *gemm = kernel->kind == BFM_KERNEL_GEMM ? (const BfmPlanGemm *)(bfm_plan_ints(plan) + kernel->record) : NULL;
        const char *name = bfm_plan_text(plan, kernel->label);
        const double served = report->kernel_served[k] / report->steps.count;
        report->kernels[k] = (Cost){.name = name,
                                    .kind = kernel_word(kernel, gemm),
                                    .shape = gemm ? product_shape(report, gemm) : "",
                                    .flops = served * slot(report, kernel->flops),
                                    .served = served,
                                    .bytes = slot(report, kernel->bytes),
                                    .seconds = report->kernel_seconds[k] / report->steps.count,
                                    .kernels = 1};
        cost_add(part_find(report, part_of(report, name)), &report->kernels[k]);
        cost_add(&report->total, &report->kernels[k]);
    }
    update_count(report);
}

/* ---- the report as JSON ---- */

static json_t *cost_json(const Cost *cost)
{
    json_t *value = json_pack("{s:s, s:f, s:f, s:f, s:f}", "name", cost->name, "seconds", cost->seconds, "flops", cost->flops, "bytes", cost->bytes, "gflops_per_s",
                              cost->seconds > 0 ? cost->flops * 1e-9 / cost->seconds : 0.0);
    if (cost->kind)
        json_object_set_new(value, "kind", json_string(cost->kind));
    if (cost->shape && *cost->shape)
        json_object_set_new(value, "shape", json_string(cost->shape));
    if (cost->kind)
        json_object_set_new(value, "served", json_real(cost->served));
    if (!cost->kind)
        json_object_set_new(value, "kernels", json_integer(cost->kernels));
    return value;
}

static json_t *costs_json(const Cost *costs, int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, cost_json(&costs[i]));
    return list;
}

static json_t *times_json(Arena *arena, const ProfileTimes *times)
{
    json_t *value = json_pack("{s:f, s:I, s:I}", "first_step_s", times->total, "functions_compiled", (json_int_t)times->compiled, "functions_cached", (json_int_t)times->cached);
    json_object_set_new(value, "run_page_faults", json_integer((json_int_t)times->faults));
    json_object_set_new(value, "run_system_s", json_real(times->system));
    for (int p = 0; p < PHASE_COUNT; p++)
        json_object_set_new(value, arena_printf(arena, "%s_s", profile_phase_text((ProfilePhase)p)), json_real(times->phase[p]));
    return value;
}

static json_t *report_json(const Report *report)
{
    const Profile *profile = report->profile;
    const Steps *steps = &report->steps;
    const double rate = report->total.flops * 1e-9 / steps->median;
    json_t *json = json_object();
    json_object_set_new(json, "subject", json_string(profile->subject->name));
    json_object_set_new(json, "batch", json_integer((json_int_t)profile->settings.batch));
    json_object_set_new(json, "length", json_integer((json_int_t)profile->settings.length));
    json_object_set_new(json, "forward_only", json_boolean(profile->settings.forward));
    json_object_set_new(json, "threads", json_integer(bfm_pool_threads(profile->pool)));
    json_object_set_new(json, "step",
                        json_pack("{s:f, s:f, s:f, s:f, s:i, s:f, s:f}", "median_s", steps->median, "quartile_low_s", steps->low, "quartile_high_s", steps->high, "least_s",
                                  steps->seconds[0], "steps", steps->count, "flops", report->total.flops, "gflops_per_s", rate));
    if (report->update)
        json_object_set_new(json, "update", json_pack("{s:f}", "mean_s", report->update_s));
    json_object_set_new(json, "sgemm", json_pack("{s:f, s:f}", "gflops_per_s", report->rate, "share", report->rate > 0 ? rate / report->rate : 0.0));
    json_object_set_new(json, "memory",
                        json_pack("{s:I, s:I, s:I, s:f}", "formals_bytes", (json_int_t)bfm_instance_formal_bytes(profile->instance), "planned_bytes",
                                  (json_int_t)bfm_instance_peak_bytes(profile->instance), "unshared_bytes", (json_int_t)bfm_instance_total_bytes(profile->instance),
                                  "resident_peak_bytes", report->resident));
    json_object_set_new(json, "compile", json_pack("{s:o, s:o}", "cold", times_json(report->arena, &profile->cold), "warm", times_json(report->arena, &profile->warm)));
    json_object_set_new(json, "sub_layers", costs_json(report->parts, report->part_count));
    json_object_set_new(json, "kernels", costs_json(report->kernels, report->kernel_count));
    return json;
}

/* ---- the report as text ---- */

static int slowest_first(const void *a, const void *b)
{
    const Cost *const *left = a, *const *right = b;
    const double x = (*left)->seconds, y = (*right)->seconds;
    return x != y ? (x < y) - (x > y) : (*left > *right) - (*left < *right);
}

/* The end of a long name is what tells names apart. */
static void name_print(Str *out, const char *name)
{
    const size_t length = strlen(name);
    if (length <= WIDE)
        str_printf(out, "  %-*s", WIDE, length > 0 ? name : "between them");
    else
        str_printf(out, "  …%-*s", WIDE - 1, name + length - (WIDE - 1));
}

static void cost_print(const Report *report, const Cost *cost, Str *out)
{
    name_print(out, cost->name);
    str_printf(out, "%10.3f%7.1f%9.1f%9.1f", 1e3 * cost->seconds, 100 * cost->seconds / report->total.seconds, cost->seconds > 0 ? cost->flops * 1e-9 / cost->seconds : 0.0,
               cost->seconds > 0 ? cost->bytes * 1e-9 / cost->seconds : 0.0);
    if (cost->kind)
        str_printf(out, "  %s %s", cost->kind, cost->shape);
    if (cost->kind && cost->served < 1)
        str_printf(out, ", %.3g %% of its rows", 100 * cost->served);
    str_push(out, '\n');
}

static void costs_print(const Report *report, const char *title, const Cost *costs, int count, int shown, Str *out)
{
    const Cost **order = ARENA_ARRAY(report->arena, const Cost *, count + 1);
    Cost rest = {.name = arena_printf(report->arena, "%d more", count - shown)};
    for (int i = 0; i < count; i++)
        order[i] = &costs[i];
    str_printf(out, "\n%-*s%10s%7s%9s%9s\n", WIDE + 2, title, "ms", "%", "GFLOP/s", "GB/s");
    if (shown < count)
        qsort(order, (size_t)count, sizeof *order, slowest_first);
    for (int i = 0; i < count; i++) {
        if (i < shown)
            cost_print(report, order[i], out);
        else
            cost_add(&rest, order[i]);
    }
    if (shown < count)
        cost_print(report, &rest, out);
}

static void times_print(const char *name, const ProfileTimes *times, double steady, Str *out)
{
    str_printf(out, "  %-11s%8.3f s ", name, times->total);
    for (int p = 0; p < PHASE_COUNT; p++)
        str_printf(out, "%s%s %.3f", p == 0 ? "(" : ", ", profile_phase_text((ProfilePhase)p), times->phase[p]);
    str_printf(out, "; %lld functions compiled, %lld cached)\n", (long long)times->compiled, (long long)times->cached);
    str_printf(out, "             %.3f s more than a step; the run touched %lld pages first, %.3f s in the system\n", times->total - steady, (long long)times->faults,
               times->system);
}

static void report_text(const Report *report, Str *out)
{
    const Profile *profile = report->profile;
    const Steps *steps = &report->steps;
    const double rate = report->total.flops * 1e-9 / steps->median;
    str_printf(out, "%s, batch %lld, length %lld, %s, %d thread%s\n", profile->subject->name, (long long)profile->settings.batch, (long long)profile->settings.length,
               profile->settings.forward ? "forward"
               : report->update          ? "forward, backward and update"
                                         : "forward and backward",
               bfm_pool_threads(profile->pool), bfm_plural(bfm_pool_threads(profile->pool)));
    str_printf(out, "step         %8.4f s  (%d step%s, quartiles %.4f … %.4f)  %.2f GFLOP, %.1f GFLOP/s: %.0f %% of sgemm's %.1f in this run\n", steps->median, steps->count,
               bfm_plural(steps->count), steps->low, steps->high, report->total.flops * 1e-9, rate, report->rate > 0 ? 100 * rate / report->rate : 0.0, report->rate);
    str_printf(out, "memory       %8.1f MB of parameters and inputs, %.1f MB planned for the rest (%.1f unshared); %.1f MB resident at the peak\n",
               1e-6 * (double)bfm_instance_formal_bytes(profile->instance), 1e-6 * (double)bfm_instance_peak_bytes(profile->instance),
               1e-6 * (double)bfm_instance_total_bytes(profile->instance), 1e-6 * report->resident);
    str_append(out, "first step, from the text on\n");
    times_print("cold", &profile->cold, steps->median, out);
    times_print("warm", &profile->warm, steps->median, out);
    costs_print(report, "sub-layer", report->parts, report->part_count, report->part_count, out);
    costs_print(report, "kernel", report->kernels, report->kernel_count, report->kernel_count < KERNELS_SHOWN ? report->kernel_count : KERNELS_SHOWN, out);
}

/* ---- the whole ---- */

static bool measure(Report *report, BfmError *error)
{
    report->kernel_count = (int)report->profile->compiled->plan->kernels.count;
    report->kernel_seconds = ARENA_ARRAY(report->arena, double, report->kernel_count + 1);
    report->kernel_served = ARENA_ARRAY(report->arena, double, report->kernel_count + 1);
    if (!samples_take(report, error))
        return false;
    progress(report, "compiled; measuring the rate of matrix products");
    report->rate = bfm_gemm_measure(report->profile->pool, rate_s);
    progress(report, "measuring steps");
    if (!steps_measure(report, error))
        return false;
    const double again = bfm_gemm_measure(report->profile->pool, rate_s);
    report->rate = again > report->rate ? again : report->rate;
    costs_count(report);
    return true;
}

bool profile_report(Profile *profile, const ProfileReportSettings *settings, Str *out, json_t **json, BfmError *error)
{
    Report report = {.settings = settings, .arena = profile->context->arena, .profile = profile};
    report.update = settings->recipe ? profile_update_new(profile, settings->recipe, error) : NULL;
    const bool ok = (report.update || !settings->recipe) && measure(&report, error);
    if (ok) {
        report_text(&report, out);
        *json = report_json(&report);
    }
    profile_update_free(report.update);
    return ok;
}
