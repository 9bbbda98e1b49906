/* What runs programs. Engines are rows of a table (engines.def): the interpreter, which defines what is right, and the compiled one. A caller binds
   sizes, gives memory for formals, runs, and reads outputs; it never asks which engine it has, except for the width of its numbers. */
#ifndef BFM_RUN_ENGINE_H
#define BFM_RUN_ENGINE_H

#include "bfm/error.h"
#include "ir/ir.h"
#include "device/cpu/pool/pool.h"
#include "device/cpu/templates/update.h"

typedef struct Engine Engine;         /* one for the command: threads, compiled code */
typedef struct Executable Executable; /* a unit ready to run */

/* One row: how an engine does what the functions below say. `code` is what compile returned. */
typedef struct EngineKind {
    const char *name;
    bool wide;       /* can compute in f64 */
    bool simplified; /* wants the passes of opt/ around the derivative */
    void *(*open)(Arena *arena, int threads, BfmError *error);
    void (*close)(void *state);
    void *(*compile)(void *state, Arena *arena, Program *program, const Unit *unit, bool wide, BfmError *error);
    void (*release)(void *code);
    bool (*bind)(void *code, const DimEnv *env, BfmError *error);
    void (*set_formal)(void *code, int formal, void *memory);
    void *(*output)(const void *code, int output);
    bool (*run)(void *code, uint64_t seed, uint64_t step, BfmError *error);
    const char *(*find_bad)(void *code, Arena *arena, uint64_t seed, uint64_t step);
    BfmUpdate *(*updater)(void *code, BfmError *error); /* NULL: this engine runs updates as any other unit */
    BfmPool *(*pool)(const void *state);                /* NULL: no threads */
} EngineKind;

extern const EngineKind ENGINE_INTERP, ENGINE_JIT;

const EngineKind *engine_kind(const char *name); /* NULL: no engine of this name */

/* wide: numbers are double, else float. NULL and `error` where the engine cannot work on this machine. */
Engine *engine_new(Arena *arena, const EngineKind *kind, bool wide, int threads, BfmError *error);
void engine_free(Engine *engine);
const EngineKind *engine_what(const Engine *engine);
bool engine_wide(const Engine *engine);
BfmPool *engine_pool(const Engine *engine); /* NULL: none */
bool engine_updates(const Engine *engine);  /* executable_updater serves */

/* The unit, with its whole program, must not change afterwards. */
Executable *engine_compile(Engine *engine, Program *program, const Unit *unit, BfmError *error);
/* The same of code that the caller compiled for an engine of this kind; it is still the caller's: no executable_free. */
Executable *engine_adopt(Engine *engine, const Unit *unit, void *code);
void executable_free(Executable *executable);
/* Of a unit that maps the items of s0: runs it over pieces of that axis. To be freed before the executable. */
BfmUpdate *executable_updater(const Executable *executable, BfmError *error);
/* Values of the run-time symbols. Must come before formals and outputs are asked for; may be called again. False: a size is negative or too large. */
bool executable_bind(Executable *executable, const DimEnv *env, BfmError *error);
int64_t executable_formal_elements(const Executable *executable, int formal);
int64_t executable_output_elements(const Executable *executable, int output);
/* Memory of the caller, which lives as long as it is set: real elements (double or float, by the engine) or int32_t. */
void executable_set_formal(Executable *executable, int formal, void *memory);
/* Memory of the executable: what the last run computed. */
void *executable_output(const Executable *executable, int output);
bool executable_run(Executable *executable, uint64_t seed, uint64_t step, BfmError *error);
/* Runs again, looking for the first tensor that holds a NaN or +inf: its name, in the arena; NULL if there is none. */
const char *executable_find_bad(Executable *executable, Arena *arena, uint64_t seed, uint64_t step);

/* A scalar output as a number. */
double executable_scalar(const Executable *executable, int output);

#endif
