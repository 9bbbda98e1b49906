/* The pipelines. */
#include "opt/passes.h"

enum { ROUNDS_MAX = 4 };

static const OptOptions DEFAULTS = {.phase = OPT_BEFORE_GRAD};

void opt_simplify_unit(Unit *unit, const OptOptions *options)
{
    options = options ? options : &DEFAULTS;
    static const PassId first[] = {PASS_dce, PASS_normalize, PASS_factor, PASS_hoist}, again[] = {PASS_normalize, PASS_cse, PASS_inline, PASS_dce};
    for (size_t p = 0; p < sizeof first / sizeof *first; p++)
        (void)pass_run(first[p], unit, options);
    bool changed = true;
    for (int round = 0; round < ROUNDS_MAX && changed; round++) {
        changed = false;
        for (size_t p = 0; p < sizeof again / sizeof *again; p++)
            changed = pass_run(again[p], unit, options) || changed;
    }
}

void opt_simplify(Program *program, const OptOptions *options)
{
    options = options ? options : &DEFAULTS;
    for (int u = 0; u < program->unit_count; u++)
        opt_simplify_unit(program->units[u], options);
    (void)opt_dead_results(program); /* scores that no caller asks for can be streamed */
    pass_stage(PASS_results, program->main);
    for (int u = 0; options->phase == OPT_BEFORE_GRAD && u < program->unit_count; u++)
        (void)pass_run(PASS_raise, program->units[u], options);
}
