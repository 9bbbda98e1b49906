/* Examples are run as they stand: whatever a comment shows has been checked, and its models and blocks have made a step forward and back. */
#include "doc/doc.h"

#include "grad/grad.h"
#include "ir/interp.h"
#include "space/space.h"

#include <math.h>
#include <string.h>

enum { RUN_BATCH = 2, RUN_LENGTH = 12, RUN_WIDTH = 32, RUN_CONTEXT = 16, RUN_ROWS = 3, RUN_COLUMNS = 5 };

typedef struct Run {
    const BfmContext *context;
    Arena *arena;
    Module *module;
    uint64_t draws;
} Run;

/* ---- values ---- */

static double uniform(Run *run) /* of mean 0 and variance 1 */
{
    run->draws = run->draws * 6364136223846793005u + 1442695040888963407u;
    return 1.7320508 * ((double)(run->draws >> 11) * 0x1p-52 - 1);
}

static int32_t below(Run *run, int64_t bound)
{
    (void)uniform(run);
    return bound > 0 ? (int32_t)((int64_t)(run->draws >> 33) % bound) : 0;
}

static const char *init_values(Run *run, const Init *init, const DimEnv *env, Value *value)
{
    if (init->value) {
        const InterpContext context = {.env = *env};
        return interp_run(run->arena, init->value, &context, NULL, value, NULL);
    }
    for (int64_t i = 0; i < value->count; i++)
        value->real[i] = init->mean + init->std * uniform(run);
    return NULL;
}

/* Parameters and states as they begin, integers anything they may be, the rest random; a segment is 0 and so is the step. */
static const char *formal_value(Run *run, const Unit *unit, int formal, const Init *init, const DimEnv *env, Value *value)
{
    const Tensor *tensor = &unit->tensors[unit->formals[formal]];
    *value = (Value){.count = tensor_elements(tensor, env)};
    if (value->count < 0 || value->count > INT32_MAX)
        return "the example is too large to be run";
    if (tensor->type == T_INT) {
        value->integer = ARENA_ARRAY(run->arena, int32_t, value->count + 1);
        const int64_t bound = tensor->bound && dim_is_static(tensor->bound) ? dim_eval(tensor->bound, env) : 1;
        for (int64_t i = 0; i < value->count; i++)
            value->integer[i] = below(run, bound);
        return NULL;
    }
    value->real = ARENA_ARRAY(run->arena, double, value->count + 1);
    if (init && (init->value || init->normal))
        return init_values(run, init, env, value);
    for (int64_t i = 0; tensor->rank > 0 && i < value->count; i++)
        value->real[i] = tensor->role == TENSOR_INPUT ? uniform(run) : 0;
    return NULL;
}

static const char *all_finite(Run *run, const Unit *unit, const Value *results)
{
    for (int o = 0; o < unit->output_count; o++)
        for (int64_t i = 0; results[o].real && i < results[o].count; i++)
            if (!isfinite(results[o].real[i]))
                return arena_printf(run->arena, "its `%s` is not finite", unit->outputs[o].name);
    return NULL;
}

static const char *unit_run(Run *run, const Unit *unit, const Init *inits, int init_count, const DimEnv *env)
{
    Value *formals = ARENA_ARRAY(run->arena, Value, unit->formal_count + 1), *results = ARENA_ARRAY(run->arena, Value, unit->output_count + 1);
    for (int f = 0; f < unit->formal_count; f++) {
        const char *message = formal_value(run, unit, f, f < init_count ? &inits[f] : NULL, env, &formals[f]);
        if (message)
            return message;
    }
    const InterpContext context = {.env = *env, .seed = 1};
    const char *message = interp_run(run->arena, unit, &context, formals, results, NULL);
    return message ? message : all_finite(run, unit, results);
}

/* ---- what an example holds ---- */

static const char *told(Run *run, const char *otherwise)
{
    const char *message = otherwise;
    for (int i = diag_count(run->module->diags) - 1; i >= 0; i--)
        if (diag_severity(diag_get(run->module->diags, i)->code) == SEVERITY_ERROR)
            message = diag_get(run->module->diags, i)->message;
    return arena_strdup(run->arena, message);
}

static const char *model_run(Run *run, const Node *item)
{
    const LowerOptions options = {.mode = MODE_TRAIN};
    const bool model = item->kind == NODE_MODEL;
    const Lowered *lowered = model ? lower_model(run->module, item, &options) : lower_block(run->module, item, RUN_WIDTH, RUN_CONTEXT, &options);
    if (!lowered || diag_errors(run->module->diags) > 0)
        return told(run, "it cannot be lowered");
    Program *program = lowered->program;
    const int known = program->main->formal_count;
    Init *inits = ARENA_ARRAY(run->arena, Init, known + 1);
    for (int f = 0; f < known; f++)
        inits[f] = program->bindings[f].init;
    const char *message = NULL;
    if (!grad_program(program, &(GradOptions){.seed_results = lowered->cross_entropy < 0}, &message) && !(message && strstr(message, "nothing")))
        return message;
    const int64_t length = lowered->context && lowered->context < RUN_LENGTH ? lowered->context : RUN_LENGTH;
    const DimEnv env = {.value = {[DIM_B] = RUN_BATCH, [DIM_L] = length, [DIM_N] = length}};
    return unit_run(run, program->main, inits, known, &env);
}

/* One update of a scalar, a vector and a matrix. */
static const char *recipe_run(Run *run, const Node *recipe)
{
    const Node *items = recipe->kids[RECIPE_ITEMS], *optimizer = NULL;
    for (int i = 0; i < list_count(items); i++)
        if (list_at(items, i)->kind == NODE_SETTING && strcmp(list_at(items, i)->name, "optimizer") == 0)
            optimizer = list_at(items, i)->kids[SETTING_VALUE];
    for (int rank = 0; optimizer && rank <= 2; rank++) {
        double rate;
        const OptimizerForm *form = lower_optimizer(run->module, optimizer, NULL, rank, &rate);
        if (!form)
            return told(run, "its optimiser cannot be lowered");
        Init *inits = ARENA_ARRAY(run->arena, Init, form->unit->formal_count + 1);
        for (int f = 0, state = 0; f < form->unit->formal_count; f++)
            if (form->unit->tensors[form->unit->formals[f]].role == TENSOR_STATE)
                inits[f] = form->state_init[state++];
        const DimEnv env = {.value = {[DIM_S0] = rank == 2 ? 2 : 1, RUN_ROWS, RUN_COLUMNS}};
        const char *message = unit_run(run, form->unit, inits, form->unit->formal_count, &env);
        if (message)
            return message;
    }
    return NULL;
}

const char *example_run(const BfmContext *context, Arena *arena, const char *path, const char *text)
{
    const char *slash = strrchr(path, '/'), *message = NULL;
    const char *where = slash ? arena_printf(arena, "%.*s/example.bfm", (int)(slash - path), path) : "example.bfm";
    Run run = {.context = context, .arena = arena_new(), .draws = 1};
    Diagnostics *diags = diagnostics_new();
    run.module = module_load_text(run.arena, context->interner, diags, context->library, where, text, strlen(text));
    if (diag_errors(diags) == 0) {
        lower_declarations(run.module);
        (void)bfm_spaces(run.module);
    }
    if (diag_errors(diags) > 0)
        message = told(&run, "");
    const Node *items = run.module->files[0].root->kids[FILE_ITEMS];
    for (int i = 0; i < list_count(items) && !message; i++) {
        const Node *item = list_at(items, i);
        if (item->kind == NODE_MODEL || item->kind == NODE_BLOCK)
            message = model_run(&run, item);
        else if (item->kind == NODE_RECIPE)
            message = recipe_run(&run, item);
    }
    message = message ? arena_strdup(arena, message) : NULL;
    diagnostics_free(diags);
    arena_free(run.arena);
    return message;
}
