#include "train/rate.h"

#include <math.h>

static bool compile(Driver *driver, RateSchedule *schedule, const Unit *unit, BfmError *error)
{
    const DimEnv env = {.value = {1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1}};
    schedule->engine = engine_new(driver->arena, &ENGINE_INTERP, true, 1, error);
    schedule->executable = schedule->engine ? engine_compile(schedule->engine, unit->program, unit, error) : NULL;
    if (!schedule->executable || !executable_bind(schedule->executable, &env, error))
        return false;
    executable_set_formal(schedule->executable, 0, &schedule->step);
    return true;
}

RateSchedule *schedule_new(Driver *driver, const Module *module, const Recipe *recipe, int *code)
{
    RateSchedule *schedule = ARENA_NEW(driver->arena, RateSchedule);
    BfmError error;
    *schedule = (RateSchedule){.step = 0};
    if (!recipe->schedule)
        return schedule;
    Unit *unit = lower_schedule(module, recipe->schedule, recipe->steps);
    if (!unit || diag_errors(driver->diags) > 0) {
        *code = driver_diagnostics(driver);
        *code = driver->json ? report_print(driver, report_new(driver), *code) : *code;
        return NULL;
    }
    if (compile(driver, schedule, unit, &error))
        return schedule;
    *code = driver_fail(driver, &error);
    schedule_free(schedule);
    return NULL;
}

void schedule_free(RateSchedule *schedule)
{
    if (!schedule)
        return;
    executable_free(schedule->executable);
    engine_free(schedule->engine);
}

bool schedule_factor(RateSchedule *schedule, int64_t step, double *factor, BfmError *error)
{
    *factor = 1;
    if (!schedule->executable)
        return true;
    schedule->step = (double)step;
    if (!executable_run(schedule->executable, 0, 0, error))
        return false;
    *factor = executable_scalar(schedule->executable, 0);
    return isfinite(*factor) || bfm_error_set(error, BFM_ERROR_INPUT, "the schedule gives no finite number at step %lld", (long long)step);
}
