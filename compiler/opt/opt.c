/* The pipelines. */
#include "opt/opt.h"

static const OptOptions DEFAULTS = {.phase = OPT_BEFORE_GRAD};

void opt_simplify_unit(Unit *unit, const OptOptions *options)
{
    options = options ? options : &DEFAULTS;
    (void)opt_dce(unit);
    (void)opt_normalize(unit);
    (void)opt_factor(unit);
    (void)opt_hoist(unit, options->phase);
    for (int round = 0; round < 4; round++) {
        bool changed = opt_normalize(unit);
        changed = opt_cse(unit) || changed;
        changed = opt_inline(unit, options) || changed;
        changed = opt_dce(unit) || changed;
        if (!changed)
            break;
    }
}

void opt_simplify(Program *program, const OptOptions *options)
{
    options = options ? options : &DEFAULTS;
    for (int u = 0; u < program->unit_count; u++)
        opt_simplify_unit(program->units[u], options);
    (void)opt_dead_results(program); /* scores that no caller asks for can be streamed */
    for (int u = 0; options->phase == OPT_BEFORE_GRAD && u < program->unit_count; u++)
        (void)opt_raise(program->units[u]);
}
