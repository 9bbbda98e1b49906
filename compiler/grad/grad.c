/* The derivative of a program's losses. */
#include "grad/grad.h"

#include "grad/internal.h"

#include <string.h>

static int *axis_indices(OpBuilder *builder, const Tensor *tensor)
{
    Program *program = builder->unit->program;
    int *indices = ARENA_ARRAY(program->arena, int, tensor->rank + 1);
    for (int k = 0; k < tensor->rank; k++)
        indices[k] = op_index(builder, intern(program->interner, arena_printf(program->arena, "i%d", k)), tensor->extent[k]);
    return indices;
}

/* A tensor shaped like `like`, `value` everywhere. */
static int fill(Backward *b, int like, double value, const char *suffix)
{
    OpBuilder builder = op_begin(b->target, OP_NEST);
    builder.op.reducer = REDUCE_SET;
    const Tensor *tensor = &b->forward->tensors[like];
    int rank = tensor->rank, *indices = axis_indices(&builder, tensor);
    builder.op.body = expr_const(&builder, value);
    int filled = backward_like(b, like, suffix);
    builder.op.out = access_indices(b->forward->program, filled, rank, indices);
    (void)op_finish(&builder);
    return filled;
}

/* A formal for the adjoint of result `output`; bindings stay parallel to formals. */
static int add_seed(Backward *b, int output)
{
    Program *program = b->forward->program;
    const Output *result = &b->forward->outputs[output];
    int formal_count = b->forward->formal_count;
    const Tensor *tensor = &b->forward->tensors[result->tensor];
    Symbol name = symbol_suffix(program, result->name, ".seed");
    int seed = unit_formal(b->target, name, T_REAL, TENSOR_INPUT, tensor->rank, tensor->extent, NULL);
    if (program->bindings) {
        Binding *bindings = ARENA_ARRAY(program->arena, Binding, formal_count + 1);
        memcpy(bindings, program->bindings, sizeof *bindings * (size_t)formal_count);
        bindings[formal_count] = (Binding){.path = name, .role = TENSOR_INPUT};
        program->bindings = bindings;
    }
    return seed;
}

static bool seed_outputs(Backward *b, const GradOptions *options)
{
    bool any = false;
    int count = b->forward->output_count;
    for (int o = 0; o < count; o++) {
        Output output = b->forward->outputs[o];
        if (b->forward->tensors[output.tensor].type != T_REAL)
            continue;
        if (output.kind == OUTPUT_LOSS)
            backward_contribute(b, output.tensor, fill(b, output.tensor, 1, ".grad"));
        else if (output.kind == OUTPUT_RESULT && options->seed_results)
            backward_contribute(b, output.tensor, add_seed(b, o));
        else
            continue;
        any = true;
    }
    return any;
}

static bool formal_wanted(const Unit *unit, const GradOptions *options, int f)
{
    const Tensor *tensor = &unit->tensors[unit->formals[f]];
    return tensor->type == T_REAL && (options->wanted ? options->wanted[f] : tensor->role == TENSOR_PARAM);
}

static void give_gradients(Backward *b, const GradOptions *options, int formal_count)
{
    Unit *unit = b->forward;
    for (int f = 0; f < formal_count; f++) {
        if (!formal_wanted(unit, options, f))
            continue;
        int formal = unit->formals[f], adjoint = backward_adjoint(b, formal);
        if (adjoint < 0)
            adjoint = fill(b, formal, 0, ".grad");
        else if (unit->tensors[adjoint].role != TENSOR_LOCAL)
            adjoint = backward_copy(b, formal, adjoint);
        int output = unit_output(unit, unit->tensors[formal].name, OUTPUT_GRAD, adjoint);
        unit->outputs[output].formal = f;
    }
}

bool grad_program(Program *program, const GradOptions *options, const char **message)
{
    static const GradOptions defaults = {0};
    if (!options)
        options = &defaults;
    Unit *unit = program->main;
    Gradient gradient = {.program = program};
    int formal_count = unit->formal_count;
    Backward b = {.gradient = &gradient, .forward = unit, .target = unit, .tensor_count = unit->tensor_count};
    b.adjoints = ARENA_ARRAY(program->arena, IntList, unit->tensor_count + 1);
    b.varied = ARENA_ARRAY(program->arena, bool, unit->tensor_count + 1);
    for (int f = 0; f < formal_count; f++)
        b.varied[unit->formals[f]] = formal_wanted(unit, options, f);
    activity_mark(unit, b.varied);
    b.signs = unit_signs(program->arena, unit);
    b.undefined = tensors_may_be_undefined(program->arena, unit, b.signs, b.varied);
    int last = unit->op_count;
    bool any = seed_outputs(&b, options);
    if (any) {
        backward_run(&b, last);
        give_gradients(&b, options, formal_count);
        program_order(program);
    } else if (message) {
        *message = "the program has neither a loss nor a result with a seed";
    }
    for (int t = 0; t < b.tensor_count; t++)
        vec_free(&b.adjoints[t]);
    return any;
}
