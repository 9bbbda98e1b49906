/* Engines by their rows, and what does not depend on the row. */
#include "run/engine.h"

#include "ir/interp.h"
#include "support/bug.h"

#include <string.h>

struct Engine {
    const EngineKind *kind;
    Arena *arena;
    bool wide;
    void *state;
};

struct Executable {
    const Engine *engine;
    const Unit *unit;
    DimEnv env;
    void *code;
};

const EngineKind *engine_kind(const char *name)
{
    static const EngineKind *const kinds[] = {
#define ENGINE(constant) &constant,
#include "run/engines.def"
#undef ENGINE
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    return NULL;
}

Engine *engine_new(Arena *arena, const EngineKind *kind, bool wide, int threads, BfmError *error)
{
    Engine *engine = ARENA_NEW(arena, Engine);
    BFM_ASSERT(kind->wide || !wide);
    *engine = (Engine){kind, arena, wide, kind->open(arena, threads, error)};
    return engine->state ? engine : NULL;
}

void engine_free(Engine *engine)
{
    if (engine)
        engine->kind->close(engine->state);
}

const EngineKind *engine_what(const Engine *engine) { return engine->kind; }
bool engine_wide(const Engine *engine) { return engine->wide; }
BfmPool *engine_pool(const Engine *engine) { return engine->kind->pool ? engine->kind->pool(engine->state) : NULL; }
bool engine_updates(const Engine *engine) { return engine->kind->updater != NULL; }

Executable *engine_compile(Engine *engine, Program *program, const Unit *unit, BfmError *error)
{
    Executable *executable = ARENA_NEW(engine->arena, Executable);
    *executable = (Executable){.engine = engine, .unit = unit};
    executable->code = engine->kind->compile(engine->state, engine->arena, program, unit, engine->wide, error);
    return executable->code ? executable : NULL;
}

Executable *engine_adopt(Engine *engine, const Unit *unit, void *code)
{
    Executable *executable = ARENA_NEW(engine->arena, Executable);
    *executable = (Executable){.engine = engine, .unit = unit, .code = code};
    return executable;
}

void executable_free(Executable *executable)
{
    if (executable)
        executable->engine->kind->release(executable->code);
}

BfmUpdate *executable_updater(const Executable *executable, BfmError *error) { return executable->engine->kind->updater(executable->code, error); }

static bool tensor_fits(const Unit *unit, int tensor, const DimEnv *env, BfmError *error)
{
    if (tensor_elements(&unit->tensors[tensor], env) >= 0)
        return true;
    return bfm_error_set(error, BFM_ERROR_INPUT, "`%s` would have more elements than can be counted", unit->tensors[tensor].name);
}

bool executable_bind(Executable *executable, const DimEnv *env, BfmError *error)
{
    const Unit *unit = executable->unit;
    for (int i = 0; i < unit->formal_count; i++)
        if (!tensor_fits(unit, unit->formals[i], env, error))
            return false;
    for (int i = 0; i < unit->output_count; i++)
        if (!tensor_fits(unit, unit->outputs[i].tensor, env, error))
            return false;
    executable->env = *env;
    return executable->engine->kind->bind(executable->code, env, error);
}

int64_t executable_formal_elements(const Executable *executable, int formal)
{
    return tensor_elements(&executable->unit->tensors[executable->unit->formals[formal]], &executable->env);
}

int64_t executable_output_elements(const Executable *executable, int output)
{
    return tensor_elements(&executable->unit->tensors[executable->unit->outputs[output].tensor], &executable->env);
}

void executable_set_formal(Executable *executable, int formal, void *memory) { executable->engine->kind->set_formal(executable->code, formal, memory); }
void *executable_output(const Executable *executable, int output) { return executable->engine->kind->output(executable->code, output); }

bool executable_run(Executable *executable, uint64_t seed, uint64_t step, BfmError *error) { return executable->engine->kind->run(executable->code, seed, step, error); }

const char *executable_find_bad(Executable *executable, Arena *arena, uint64_t seed, uint64_t step)
{
    return executable->engine->kind->find_bad(executable->code, arena, seed, step);
}

double executable_scalar(const Executable *executable, int output)
{
    const void *value = executable_output(executable, output);
    return executable->engine->wide ? *(const double *)value : (double)*(const float *)value;
}
