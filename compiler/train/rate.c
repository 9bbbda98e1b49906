#include "train/rate.h"

#include <math.h>

static bool compile(const BfmContext *context, RateSchedule *schedule, const Unit *unit, BfmError *error)
{
    const DimEnv env = {.value = {1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1}};
    schedule->engine = engine_new(context->arena, &ENGINE_INTERP, true, 1, error);
    schedule->executable = schedule->engine ? engine_compile(schedule->engine, unit->program, unit, error) : NULL;
    if (!schedule->executable || !executable_bind(schedule->executable, &env, error))
        return false;
    executable_set_formal(schedule->executable, 0, &schedule->step);
    return true;
}

RateSchedule *schedule_new(const BfmContext *context, const Module *module, const Recipe *recipe, BfmError *error)
{
    RateSchedule *schedule = ARENA_NEW(context->arena, RateSchedule);
    *schedule = (RateSchedule){.step = 0};
    if (!recipe->schedule)
        return schedule;
    Unit *unit = lower_schedule(module, recipe->schedule, recipe->steps);
    if (!unit || diag_errors(context->diags) > 0) {
        (void)context_rejected(error);
        return NULL;
    }
    if (compile(context, schedule, unit, error))
        return schedule;
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
