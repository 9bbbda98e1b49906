/* Runs the rows of passes.def under the eyes of the program's watch. */
#include "opt/passes.h"

#include "support/bug.h"
#include "support/clock.h"

#include <string.h>

#define PASS(name, optional, call, requires, preserves, breaks)                                                                                                                    \
    static bool run_##name(Unit *unit, const OptOptions *options)                                                                                                                  \
    {                                                                                                                                                                              \
        (void)options;                                                                                                                                                             \
        return call;                                                                                                                                                               \
    }
#include "opt/passes.def"

typedef bool PassFunction(Unit *unit, const OptOptions *options);

static PassFunction *const FUNCTIONS[PASS_COUNT] = {
#define PASS(name, ...) [PASS_##name] = run_##name,
#include "opt/passes.def"
};

static const PassInfo INFOS[PASS_COUNT] = {
#define PASS(name, optional, call, requires, preserves, breaks) [PASS_##name] = {#name, true, optional, requires, preserves, breaks},
#define STAGE(name, gives)                                      [PASS_##name] = {#name, false, false, "", gives, ""},
#include "opt/passes.def"
};

_Static_assert(PASS_COUNT <= 64, "PassWatch.off has a bit for each");

const PassInfo *pass_info(PassId pass)
{
    BFM_ASSERT(pass < PASS_COUNT);
    return &INFOS[pass];
}

bool pass_find(const char *name, PassId *pass)
{
    for (int p = 0; p < PASS_COUNT; p++) {
        if (strcmp(INFOS[p].name, name) != 0)
            continue;
        *pass = (PassId)p;
        return true;
    }
    return false;
}

void passes_begin(PassWatch *watch)
{
    if (watch)
        watch->mark = seconds_now();
}

void passes_watch(Program *program, PassWatch *watch) { program->watch = watch; }

static bool left_out(PassWatch *watch, PassId pass)
{
    if (!watch || !INFOS[pass].optional)
        return false;
    if (watch->off >> pass & 1 || (watch->limited && watch->count >= watch->limit))
        return true;
    watch->count++;
    return false;
}

static void tell(PassWatch *watch, PassId pass, const Unit *unit, bool changed, double seconds)
{
    PassTimes *times = &watch->times[pass];
    times->runs++;
    times->changes += changed;
    times->seconds += seconds;
    watch->mark += INFOS[pass].unit ? seconds : 0;
    if (watch->after)
        watch->after(watch->context, pass, unit, changed, watch->count);
}

bool pass_run(PassId pass, Unit *unit, const OptOptions *options)
{
    static const OptOptions defaults = {.phase = OPT_BEFORE_GRAD};
    PassWatch *watch = unit->program->watch;
    BFM_ASSERT(INFOS[pass].unit);
    if (left_out(watch, pass))
        return false;
    if (watch && watch->before)
        watch->before(watch->context, pass, unit, watch->count);
    const double start = watch ? seconds_now() : 0;
    const bool changed = FUNCTIONS[pass](unit, options ? options : &defaults);
    const double seconds = watch ? seconds_now() - start : 0;
#ifdef BFM_VERIFY_PASSES
    const bool verify = true;
#else
    const bool verify = watch && watch->verify;
#endif
    if (verify)
        unit_expect(unit, INFOS[pass].name);
    if (watch)
        tell(watch, pass, unit, changed, seconds);
    return changed;
}

void pass_stage(PassId stage, const Unit *unit)
{
    PassWatch *watch = unit->program->watch;
    BFM_ASSERT(!INFOS[stage].unit);
    if (!watch)
        return;
    const double now = seconds_now();
    tell(watch, stage, unit, true, now - watch->mark);
    watch->mark = seconds_now();
}

void passes_print(const PassWatch *watch, Str *out)
{
    double total = 0;
    for (int p = 0; p < PASS_COUNT; p++)
        total += watch->times[p].seconds;
    str_printf(out, "%-14s %8s %8s %12s %6s\n", "pass", "runs", "changed", "ms", "%");
    for (int p = 0; p < PASS_COUNT; p++) {
        const PassTimes *times = &watch->times[p];
        if (times->runs > 0)
            str_printf(out, "%-14s %8lld %8lld %12.3f %6.1f\n", INFOS[p].name, (long long)times->runs, (long long)times->changes, 1e3 * times->seconds,
                       100 * times->seconds / (total > 0 ? total : 1));
    }
    str_printf(out, "%-14s %8s %8s %12.3f\n", "all", "", "", 1e3 * total);
}
