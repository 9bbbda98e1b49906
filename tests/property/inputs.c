#include "random_program.h"

#include "ir/needs.h"
#include "support/bug.h"
#include "support/hash.h"

enum { LENGTHS = 6 };

static DimEnv env_of(int64_t batch, int64_t length)
{
    DimEnv env = {.value = {batch, length, length - 1}};
    for (int s = DIM_S0; s < DIM_SYMBOLS; s++)
        env.value[s] = 1;
    return env;
}

/* The first length from the one drawn on at which all that the program needs holds, or something does not. */
static bool env_with(const Program *program, uint64_t seed, bool met, DimEnv *env)
{
    const uint64_t bits = hash_mix(seed, 17);
    for (uint64_t by = 0; by < LENGTHS; by++) {
        *env = env_of(1 + (int64_t)(bits % 3), 1 + (int64_t)(((bits >> 8) + by) % LENGTHS));
        if (!needs_unmet(program, env) == met)
            return true;
    }
    return false;
}

DimEnv random_env(const Program *program, uint64_t seed)
{
    DimEnv env;
    if (!env_with(program, seed, true, &env))
        BFM_BUG("a random program that no length is good for");
    return env;
}

bool random_env_unmet(const Program *program, uint64_t seed, DimEnv *env) { return env_with(program, seed, false, env); }

Value *random_inputs(Arena *arena, const Unit *unit, const DimEnv *env, uint64_t seed)
{
    Value *values = ARENA_ARRAY(arena, Value, unit->formal_count + 1);
    for (int f = 0; f < unit->formal_count; f++) {
        const Tensor *tensor = &unit->tensors[unit->formals[f]];
        const int64_t count = tensor_elements(tensor, env);
        const uint64_t key = hash_text(tensor->name, seed);
        values[f].count = count;
        if (tensor->type == T_INT)
            values[f].integer = ARENA_ARRAY(arena, int32_t, count + 1);
        else
            values[f].real = ARENA_ARRAY(arena, double, count + 1);
        for (int64_t i = 0; i < count; i++) {
            const uint64_t bits = hash_mix(key, (uint64_t)i);
            const int64_t bound = tensor->bound ? dim_eval(tensor->bound, env) : 0;
            if (tensor->type == T_INT)
                values[f].integer[i] = bits % 7 == 0 || bound == 0 ? -1 : (int32_t)((bits >> 8) % (uint64_t)bound);
            else /* a number of few bits, so that f32 holds it too */
                values[f].real[i] = (double)(int64_t)(bits % 3001) / 1024 - 1.46484375 + 0x1p-12;
        }
    }
    return values;
}
