/* Models compiled in memory, on the caller's memory. */
#include "bfm/program.h"

#include "api/internal.h"
#include "codegen/compile.h"
#include "decode/decode.h"
#include "device/cpu/pool/pool.h"
#include "device/cpu/templates/executor.h"
#include "run/model.h"

#include <stdlib.h>
#include <string.h>

struct BfmProgram {
    BfmModule *module;
    ModelProgram model;
    Jit *jit;
    BfmPool *pool;
    const Compiled *compiled;
    BfmInstance *instance;
    bool bound;
    bool *given; /* [inputs] has memory */
    DimEnv env;
};

/* ---- making it ---- */

static const Symbol *paths_of(const Program *program)
{
    Symbol *paths = ARENA_ARRAY(program->arena, Symbol, program->main->formal_count + 1);
    for (int f = 0; f < program->main->formal_count; f++)
        paths[f] = program->bindings[f].path;
    return paths;
}

static bool compile(BfmProgram *program, BfmProgramKind kind, BfmError *error)
{
    /* the forward program exactly as decoders are derived from it: simplified once more, it might no longer be scheduled alike */
    static const CompileOptions as_derived = {.codegen = {.level = 2}, .plain = true};
    const BfmContext *context = &program->module->context;
    Lowered *lowered = program->model.lowered;
    const Unit *unit = NULL;
    const Symbol *paths = paths_of(lowered->program);
    if (kind == BFM_PROGRAM_FORWARD) {
        unit = decode_forward(lowered->program, lowered->result);
    } else {
        order_losses(lowered);
        if (!model_differentiate(context, &program->model, true, error))
            return false;
        unit = lowered->program->main;
    }
    program->jit = jit_new(NULL, error);
    program->compiled = program->jit ? compile_unit(context->arena, program->jit, lowered->program, unit, paths, kind == BFM_PROGRAM_FORWARD ? &as_derived : NULL, error) : NULL;
    program->instance = program->compiled ? bfm_instance_new(program->compiled->plan, program->compiled->functions, program->pool, error) : NULL;
    program->given = program->instance ? ARENA_ARRAY(context->arena, bool, program->compiled->plan->formals.count + 1) : NULL;
    return program->instance != NULL;
}

BfmProgram *bfm_program_new(BfmModule *module, const char *model, BfmProgramKind kind, int threads, BfmError *error)
{
    const Target target = {.path = module->module->files[0].path, .name = model};
    BfmProgram *program = ARENA_NEW(module->context.arena, BfmProgram);
    *program = (BfmProgram){.module = module};
    if (diag_errors(module->context.diags) > 0) {
        (void)context_rejected(error);
        return NULL;
    }
    const Node *node = context_pick(&module->context, module->module, &target, NODE_MODEL, error);
    if (!node || !model_lower(&module->context, module->module, node, kind == BFM_PROGRAM_FORWARD ? MODE_EVAL : MODE_TRAIN, &program->model, error))
        return NULL;
    program->pool = bfm_pool_new(threads);
    if (compile(program, kind, error))
        return program;
    bfm_program_free(program);
    return NULL;
}

void bfm_program_free(BfmProgram *program)
{
    if (!program)
        return;
    bfm_instance_free(program->instance);
    bfm_pool_free(program->pool);
    jit_free(program->jit);
    program->instance = NULL;
}

/* ---- sizes, inputs, outputs ---- */

bool bfm_program_bind(BfmProgram *program, int64_t batch, int64_t length, BfmError *error)
{
    program->env = (DimEnv){.value = {[DIM_B] = batch, [DIM_L] = length, [DIM_N] = length, [DIM_S0] = 1, 1, 1, 1, 1, 1, 1, 1}};
    program->bound = bfm_instance_bind(program->instance, program->env.value, error);
    return program->bound;
}

int bfm_program_input_count(const BfmProgram *program) { return (int)program->compiled->plan->formals.count; }
int bfm_program_output_count(const BfmProgram *program) { return (int)program->compiled->plan->outputs.count; }

static BfmSlot slot_of(const BfmProgram *program, const BfmPlanPort *port, BfmSlotKind kind, const char *name)
{
    const BfmPlan *plan = program->compiled->plan;
    BfmSlot slot = {.name = name, .kind = kind, .integer = bfm_plan_buffers(plan)[port->buffer].elem == BFM_ELEM_I32, .rank = port->rank, .elements = program->bound};
    for (int i = 0; program->bound && i < port->rank && i < BFM_SLOT_RANK; i++) {
        slot.shape[i] = bfm_instance_dim(program->instance, bfm_plan_ints(plan)[port->shape + i]);
        slot.elements *= slot.shape[i];
    }
    return slot;
}

BfmSlot bfm_program_input(const BfmProgram *program, int input)
{
    static const BfmSlotKind kinds[] = {[BFM_PORT_INPUT] = BFM_SLOT_INPUT, [BFM_PORT_PARAM] = BFM_SLOT_PARAM, [BFM_PORT_STATE] = BFM_SLOT_STATE};
    const BfmPlanPort *port = &bfm_plan_formals(program->compiled->plan)[input];
    return slot_of(program, port, kinds[port->kind], bfm_plan_text(program->compiled->plan, port->name));
}

BfmSlot bfm_program_output(const BfmProgram *program, int output)
{
    static const BfmSlotKind kinds[] = {[BFM_OUTPUT_RESULT] = BFM_SLOT_RESULT, [BFM_OUTPUT_LOSS] = BFM_SLOT_LOSS,    [BFM_OUTPUT_METRIC] = BFM_SLOT_METRIC,
                                        [BFM_OUTPUT_NEXT] = BFM_SLOT_NEXT,     [BFM_OUTPUT_SAVED] = BFM_SLOT_METRIC, [BFM_OUTPUT_GRAD] = BFM_SLOT_GRAD};
    const BfmPlan *plan = program->compiled->plan;
    const BfmPlanPort *port = &bfm_plan_outputs(plan)[output];
    return slot_of(program, port, kinds[port->kind], bfm_plan_text(plan, port->formal >= 0 ? bfm_plan_formals(plan)[port->formal].name : port->name));
}

void bfm_program_set_input(BfmProgram *program, int input, void *memory)
{
    program->given[input] = memory != NULL;
    bfm_instance_set_formal(program->instance, input, memory);
}

bool bfm_program_initial(const BfmProgram *program, int input, uint64_t seed, float *values, BfmError *error)
{
    const Binding *binding = &program->model.lowered->program->bindings[input];
    if (binding->role == TENSOR_INPUT)
        return bfm_error_set(error, BFM_ERROR_INPUT, "`%s` is an input: it has no initial values", binding->path);
    return init_fill(&binding->init, binding->path, seed, &program->env, bfm_program_input(program, input).elements, false, values, error);
}

const void *bfm_program_result(const BfmProgram *program, int output) { return bfm_instance_output(program->instance, output); }

bool bfm_program_run(BfmProgram *program, uint64_t seed, uint64_t step, BfmError *error)
{
    if (!program->bound)
        return bfm_error_set(error, BFM_ERROR_INPUT, "the program is not bound to a batch and a length");
    for (int i = 0; i < bfm_program_input_count(program); i++)
        if (!program->given[i])
            return bfm_error_set(error, BFM_ERROR_INPUT, "the input `%s` has no memory", bfm_program_input(program, i).name);
    return bfm_instance_run(program->instance, seed, step, error);
}
