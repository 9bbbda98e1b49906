/* The compiled engine: schedule, plan and LLVM's functions from codegen/, carried out by the runtime's executor. */
#include "run/engine.h"

#include "codegen/compile.h"

typedef struct JitState {
    Jit *jit;
    BfmPool *pool;
} JitState;

static void *open_jit(Arena *arena, int threads, BfmError *error)
{
    JitState *state = ARENA_NEW(arena, JitState);
    state->jit = jit_new(NULL, error);
    if (!state->jit)
        return NULL;
    state->pool = bfm_pool_new(threads);
    return state;
}

static void close_jit(void *pointer)
{
    JitState *state = pointer;
    bfm_pool_free(state->pool);
    jit_free(state->jit);
}

static void *compile_jit(void *pointer, Arena *arena, Program *program, const Unit *unit, bool wide, BfmError *error)
{
    JitState *state = pointer;
    (void)wide;
    const Compiled *compiled = unit == program->main ? compile_program(arena, state->jit, program, NULL, error) : compile_unit(arena, state->jit, program, unit, NULL, NULL, error);
    return compiled ? bfm_instance_new(compiled->plan, compiled->functions, state->pool, error) : NULL;
}

static void release_jit(void *code) { bfm_instance_free(code); }
static bool bind_jit(void *code, const DimEnv *env, BfmError *error) { return bfm_instance_bind(code, env->value, error); }
static void set_formal_jit(void *code, int formal, void *memory) { bfm_instance_set_formal(code, formal, memory); }
static void *output_jit(const void *code, int output) { return bfm_instance_output(code, output); }
static bool run_jit(void *code, uint64_t seed, uint64_t step, BfmError *error) { return bfm_instance_run(code, seed, step, error); }

static const char *find_bad_jit(void *code, Arena *arena, uint64_t seed, uint64_t step)
{
    const char *name = NULL;
    BfmError error;
    return bfm_instance_find_bad(code, seed, step, &name, &error) >= 0 && name ? arena_strdup(arena, name) : NULL;
}

static BfmUpdate *updater_jit(void *code, BfmError *error) { return bfm_update_new(code, error); }
static BfmPool *pool_jit(const void *state) { return ((const JitState *)state)->pool; }

const EngineKind ENGINE_JIT = {"jit",    false,          true,       open_jit, close_jit,    compile_jit, release_jit,
                               bind_jit, set_formal_jit, output_jit, run_jit,  find_bad_jit, updater_jit, pool_jit};
