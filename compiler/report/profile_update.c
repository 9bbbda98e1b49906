/* The optimiser of training, over the profile's own memory: gradients come from its instance, parameters are its formals. */
#include "report/profile_update.h"

#include "train/optimizer.h"

struct ProfileUpdate {
    Engine *engine;
    Store store;
    Runner runner;
    Recipe recipe;
    Optimizer *optimizer;
    int64_t step;
};

static void store_make(Profile *profile, Store *store)
{
    const Program *program = profile->lowered->program;
    *store = (Store){.entries = ARENA_ARRAY(profile->context->arena, StoreEntry, profile->formal_count + 1)};
    for (int f = 0; f < profile->formal_count; f++) {
        const Binding *binding = &program->bindings[f];
        if (binding->role == TENSOR_INPUT)
            continue;
        StoreEntry *entry = &store->entries[store->count++];
        *entry = (StoreEntry){.path = binding->path,
                              .role = binding->role,
                              .use = binding->use,
                              .rank = binding->plain_rank,
                              .elements = bfm_instance_formal_count(profile->instance, f),
                              .init = &binding->init,
                              .data = profile->formals[f]};
        for (int i = 0; i < entry->rank; i++)
            entry->shape[i] = binding->plain_extent[i];
    }
}

static bool recipe_get(Profile *profile, const char *name, Recipe *recipe, BfmError *error)
{
    const Node *node = recipe_pick(profile->context, profile->module, name, error);
    return node && (recipe_read(profile->context, profile->module, node, profile->lowered, recipe) || context_rejected(error));
}

ProfileUpdate *profile_update_new(Profile *profile, const char *recipe, BfmError *error)
{
    static const Frozen none = {0};
    const BfmContext *context = profile->context;
    ProfileUpdate *update = ARENA_NEW(context->arena, ProfileUpdate);
    if (!recipe_get(profile, recipe, &update->recipe, error))
        return NULL;
    update->engine = engine_new(context->arena, &ENGINE_JIT, false, bfm_pool_threads(profile->pool), error);
    if (!update->engine)
        return NULL;
    store_make(profile, &update->store);
    const Unit *main = profile->lowered->program->main;
    update->runner = (Runner){.lowered = profile->lowered, .unit = main, .store = &update->store, .executable = engine_adopt(update->engine, main, profile->instance)};
    update->optimizer = optimizer_new(context, update->engine, profile->module, &update->recipe, &update->store, &none, error);
    if (update->optimizer)
        return update;
    engine_free(update->engine);
    return NULL;
}

void profile_update_free(ProfileUpdate *update)
{
    if (!update)
        return;
    optimizer_free(update->optimizer);
    engine_free(update->engine);
}

bool profile_update_run(ProfileUpdate *update, BfmError *error)
{
    optimizer_collect(update->optimizer, &update->runner, 1, true);
    return optimizer_apply(update->optimizer, 1, 1, update->step++, error);
}
