#include "random_program.h"

#include "support/hash.h"

DimEnv random_env(uint64_t seed)
{
    const uint64_t bits = hash_mix(seed, 17);
    DimEnv env = {.value = {1 + (int64_t)(bits % 3), 1 + (int64_t)(bits >> 8) % 6}};
    env.value[DIM_P] = env.value[DIM_L] - 1;
    for (int s = DIM_S0; s < DIM_SYMBOLS; s++)
        env.value[s] = 1;
    return env;
}

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
