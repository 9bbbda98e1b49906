#include "codegen/compile.h"

#include "ir/flatten.h"
#include "opt/passes.h"
#include "support/clock.h"

static const BfmFunction *functions_link(Arena *arena, Jit *jit, const Codegen *codegen, const BfmPlan *plan, BfmError *error)
{
    if (!jit_add(jit, codegen, error))
        return NULL;
    BfmFunction *functions = ARENA_ARRAY(arena, BfmFunction, plan->functions.count + 1);
    for (int i = 0; i < (int)plan->functions.count; i++) {
        void *address = jit_symbol(jit, bfm_plan_function(plan, i), error);
        if (address == NULL)
            return NULL;
        functions[i] = (BfmFunction)(uintptr_t)address;
    }
    return functions;
}

static const CompileOptions DEFAULTS = {.codegen = {.level = 2}};

Schedule *compile_schedule(Program *program, const Unit *unit, const CompileOptions *options)
{
    options = options ? options : &DEFAULTS;
    Unit *flat = unit_flatten(program, unit);
    pass_stage(PASS_flatten, flat);
    if (!options->plain)
        opt_simplify_unit(flat, &(OptOptions){.phase = OPT_AFTER_GRAD, .prologues = false});
    unit_expect(flat, "flattening");
    Schedule *schedule = schedule_unit(program, flat, &options->schedule);
    pass_stage(PASS_schedule, flat);
    return schedule;
}

Compiled *compile_unit(Arena *arena, Jit *jit, Program *program, const Unit *unit, const Symbol *formal_names, const CompileOptions *options, BfmError *error)
{
    options = options ? options : &DEFAULTS;
    double start = seconds_now();
    Compiled *compiled = ARENA_NEW(arena, Compiled);
    compiled->schedule = compile_schedule(program, unit, options);
    compiled->unit = compiled->schedule->unit;
    compiled->codegen = codegen_new(arena, &options->codegen);
    compiled->plan = plan_write(arena, compiled->schedule, compiled->codegen, formal_names, &compiled->plan_bytes);
    pass_stage(PASS_plan, compiled->unit);
    if (jit != NULL) {
        compiled->functions = functions_link(arena, jit, compiled->codegen, compiled->plan, error);
        if (compiled->functions == NULL)
            return NULL;
    }
    compiled->seconds = seconds_now() - start;
    return compiled;
}

Compiled *compile_program(Arena *arena, Jit *jit, Program *program, const CompileOptions *options, BfmError *error)
{
    const Symbol *names = NULL;
    if (program->bindings != NULL) {
        Symbol *paths = ARENA_ARRAY(arena, Symbol, program->main->formal_count + 1);
        for (int f = 0; f < program->main->formal_count; f++)
            paths[f] = program->bindings[f].path;
        names = paths;
    }
    return compile_unit(arena, jit, program, program->main, names, options, error);
}
