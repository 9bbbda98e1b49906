/* Generated code, every operation by its own kernel, against the interpreter: operation by operation, on the kernels' own operands, so that nothing that
   turns on a rounding spreads. */
#include "engines.h"

#include "materialise.h"

static Check check_level(const Case *test, const CodegenOptions *options, uint64_t cut)
{
    BfmError error = {0};
    Jit *jit = jit_new(&(JitOptions){.cache = "", .threads = 1}, &error);
    if (!jit)
        return (Check){CHECK_FAILED, arena_printf(test->arena, "%s", error.message)};
    Materialise m = {.arena = test->arena, .jit = jit, .codegen = codegen_new(test->arena, options), .context = &test->context, .cut = cut, .check = true};
    const Unit *main = test->program->main;
    Value *all = ARENA_ARRAY(test->arena, Value, main->tensor_count + 1);
    Check result = {CHECK_PASSED, NULL};
    if (!materialise_run(&m, main, test->inputs, all, &error))
        result = (Check){CHECK_FAILED, arena_printf(test->arena, "%s%s", m.message, error.message)};
    materialise_free(&m);
    jit_free(jit);
    return result;
}

Check check_jit(const Case *test)
{
    const Check check = check_level(test, &(CodegenOptions){.level = 1}, 1);
    return check.status != CHECK_PASSED ? check : check_level(test, &(CodegenOptions){.level = 0, .width = 4, .cpu = "x86-64-v3"}, 0);
}
