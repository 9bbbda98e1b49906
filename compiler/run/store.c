/* Parameters and states in memory: sizes checked before anything is allocated, initial values, values from files. */
#include "run/store.h"

#include "ir/interp.h"
#include "memory/buffer.h"
#include "rng/rng.h"
#include "support/checked.h"
#include "support/hash.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool entry_make(StoreEntry *entry, const Binding *binding, BfmError *error)
{
    *entry = (StoreEntry){.path = binding->path, .role = binding->role, .use = binding->use, .rank = binding->plain_rank, .elements = 1, .init = &binding->init};
    memcpy(entry->shape, binding->plain_extent, sizeof entry->shape);
    for (int i = 0; i < entry->rank; i++)
        if (entry->shape[i] < 0 || !checked_mul(entry->elements, entry->shape[i], &entry->elements) || entry->elements > INT64_MAX / 16) {
            char shape[BFM_SHAPE_TEXT];
            return bfm_error_set(error, BFM_ERROR_INPUT, "%s %s is too large for any machine", entry->path, bfm_shape_text(entry->rank, entry->shape, shape));
        }
    return true;
}

static bool store_fits(const Store *store, BfmError *error)
{
    const double machine = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    const StoreEntry *largest = NULL;
    double bytes = 0;
    for (int i = 0; i < store->count; i++) {
        bytes += (double)store->entries[i].elements * (store->wide ? 8 : 4);
        if (!largest || store->entries[i].elements > largest->elements)
            largest = &store->entries[i];
    }
    if (bytes <= machine)
        return true;
    char shape[BFM_SHAPE_TEXT];
    return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "the parameters take %.1f GB and this machine has %.1f GB; the largest is %s %s", bytes / 1e9, machine / 1e9, largest->path,
                         bfm_shape_text(largest->rank, largest->shape, shape));
}

static Store *store_allocate(Store *store, BfmError *error)
{
    if (!store_fits(store, error))
        return NULL;
    for (int i = 0; i < store->count; i++) {
        store->entries[i].data = bfm_buffer_new((size_t)store->entries[i].elements * (store->wide ? 8 : 4));
        if (!store->entries[i].data) {
            bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted by the parameters, at %s", store->entries[i].path);
            store_free(store);
            return NULL;
        }
    }
    return store;
}

static bool same_entry(const StoreEntry *a, const StoreEntry *b)
{
    return a->role == b->role && a->rank == b->rank && memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0;
}

static const char *entry_text(Arena *arena, const StoreEntry *entry)
{
    char shape[BFM_SHAPE_TEXT];
    return arena_printf(arena, "a %s %s", entry->role == TENSOR_PARAM ? "parameter" : "state", bfm_shape_text(entry->rank, entry->shape, shape));
}

/* The parameters and states of one mode that the store does not have yet. */
static bool mode_add(Arena *arena, Store *store, const Program *program, bool elsewhere, BfmError *error)
{
    const int known = store->count;
    StoreEntry *entries = ARENA_ARRAY(arena, StoreEntry, known + program->main->formal_count + 1);
    if (known > 0)
        memcpy(entries, store->entries, (size_t)known * sizeof *entries);
    store->entries = entries;
    for (int f = 0; f < program->main->formal_count; f++) {
        if (program->bindings[f].role == TENSOR_INPUT)
            continue;
        StoreEntry made, *found = elsewhere ? store_find(store, program->bindings[f].path) : NULL;
        if (!entry_make(&made, &program->bindings[f], error))
            return false;
        made.elsewhere = elsewhere;
        if (!found)
            entries[store->count++] = made;
        else if (!same_entry(found, &made))
            return bfm_error_set(error, BFM_ERROR_INPUT, "%s is %s in one mode of the model and %s in another; they need different names", made.path, entry_text(arena, found),
                                 entry_text(arena, &made));
    }
    return true;
}

Store *store_new(Arena *arena, const Lowered *lowered, const OtherModes *others, bool wide, BfmError *error)
{
    Store *store = ARENA_NEW(arena, Store);
    *store = (Store){.wide = wide};
    bool ok = mode_add(arena, store, lowered->program, false, error);
    for (int i = 0; others && ok && i < others->count; i++)
        ok = mode_add(arena, store, others->lowered[i]->program, true, error);
    return ok ? store_allocate(store, error) : NULL;
}

Store *store_from(Arena *arena, Interner *interner, const BfmSafetensors *file, bool wide, BfmError *error)
{
    const int count = (int)bfm_safetensors_count(file);
    Store *store = ARENA_NEW(arena, Store);
    *store = (Store){.wide = wide, .entries = ARENA_ARRAY(arena, StoreEntry, count + 1)};
    for (int i = 0; i < count; i++) {
        const BfmTensor *tensor = bfm_safetensors_at(file, i);
        StoreEntry *entry = &store->entries[store->count++];
        *entry = (StoreEntry){.path = intern(interner, tensor->name), .role = TENSOR_PARAM, .use = role_of_rank(tensor->rank), .rank = tensor->rank, .elements = 1};
        memcpy(entry->shape, tensor->shape, sizeof tensor->shape);
        for (int a = 0; a < entry->rank; a++)
            entry->elements *= entry->shape[a]; /* the file has so many */
    }
    store = store_allocate(store, error);
    for (int i = 0; store && i < count; i++) {
        const BfmTensor *tensor = bfm_safetensors_at(file, i);
        if (wide ? bfm_tensor_read_f64(tensor, store->entries[i].data, error) : bfm_tensor_read_f32(tensor, store->entries[i].data, error))
            continue;
        store_free(store);
        return NULL;
    }
    return store;
}

void store_free(Store *store)
{
    for (int i = 0; store && i < store->count; i++) {
        bfm_buffer_free(store->entries[i].data);
        store->entries[i].data = NULL;
    }
}

StoreEntry *store_find(const Store *store, Symbol path)
{
    for (int i = 0; i < store->count; i++)
        if (store->entries[i].path == path)
            return &store->entries[i];
    return NULL;
}

/* ---- values ---- */

static bool init_value(const Init *init, const DimEnv *env, int64_t elements, bool wide, void *data, BfmError *error)
{
    Arena *arena = arena_new();
    Value result = {0};
    const InterpContext context = {.precision = wide ? INTERP_F64 : INTERP_F32, .env = *env};
    const char *message = interp_run(arena, init->value, &context, NULL, &result, NULL);
    bool ok = !message && result.real && (result.count == elements || result.count == 1);
    if (!ok)
        bfm_error_set(error, message ? BFM_ERROR_INPUT : BFM_ERROR_BUG, "an initial value: %s", message ? message : "it has another size than its tensor");
    for (int64_t i = 0; ok && i < elements; i++) {
        const double value = result.real[result.count == 1 ? 0 : i];
        if (wide)
            ((double *)data)[i] = value;
        else
            ((float *)data)[i] = (float)value;
    }
    arena_free(arena);
    return ok;
}

static bool fill(const Init *init, const char *path, uint64_t seed, const DimEnv *env, int64_t elements, bool wide, void *data, BfmError *error)
{
    if (!init->normal && init->value)
        return init_value(init, env, elements, wide, data, error);
    if (!init->normal) {
        memset(data, 0, (size_t)elements * (wide ? 8 : 4));
        return true;
    }
    const BfmRng rng = bfm_rng_init(seed, hash_text(path, 0), 0);
    const bool drawn = init->std != 0;
    for (int64_t i = 0; i < elements; i++) {
        const double value = drawn ? init->mean + init->std * bfm_rng_normal(rng, (uint64_t)i) : init->mean;
        if (wide)
            ((double *)data)[i] = value;
        else
            ((float *)data)[i] = (float)value;
    }
    return true;
}

bool init_fill(const Init *init, const char *path, uint64_t seed, const DimEnv *env, int64_t elements, bool wide, void *data, BfmError *error)
{
    char place[BFM_PLACE_TEXT];
    if (!fill(init, path, seed, env, elements, wide, data, error))
        return false;
    const BfmTensor values = {.name = path, .dtype = wide ? BFM_DTYPE_F64 : BFM_DTYPE_F32, .rank = 1, .shape = {elements}, .data = data};
    const int64_t bad = bfm_tensor_first_bad(&values);
    return bad < 0 || bfm_error_set(error, BFM_ERROR_INPUT, "the initial value of `%s` is %s, counting its elements from 0; it must be finite%s", path,
                                    bfm_tensor_place(&values, bad, place), wide ? "" : " in f32");
}

bool store_init(const Store *store, uint64_t seed, bool params, bool states, BfmError *error)
{
    const DimEnv env = {.value = {[DIM_B] = 1, [DIM_L] = 1}};
    for (int i = 0; i < store->count; i++) {
        const StoreEntry *entry = &store->entries[i];
        if ((entry->role == TENSOR_PARAM ? params : states) && !init_fill(entry->init, entry->path, seed, &env, entry->elements, store->wide, entry->data, error))
            return false;
    }
    return true;
}

bool store_load(const Store *store, const BfmSafetensors *file, bool whole, BfmError *error)
{
    bool ok = true;
    const char **names = malloc((size_t)(store->count + 1) * sizeof *names);
    int count = 0;
    if (!names)
        return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
    for (int i = 0; ok && i < store->count; i++) {
        const StoreEntry *entry = &store->entries[i];
        if (entry->role != TENSOR_PARAM || (entry->elsewhere && !whole && !bfm_safetensors_get(file, entry->path)))
            continue;
        const BfmTensor *tensor = bfm_safetensors_expect(file, entry->path, entry->rank, entry->shape, error);
        ok = tensor && bfm_tensor_finite(tensor, bfm_safetensors_path(file), error) &&
             (store->wide ? bfm_tensor_read_f64(tensor, entry->data, error) : bfm_tensor_read_f32(tensor, entry->data, error));
        names[count++] = entry->path;
    }
    ok = ok && bfm_safetensors_expect_only(file, names, count, error);
    free(names);
    return ok;
}

BfmTensor store_tensor(const Store *store, const StoreEntry *entry, const char *name)
{
    BfmTensor tensor = {.name = name, .dtype = store->wide ? BFM_DTYPE_F64 : BFM_DTYPE_F32, .rank = entry->rank, .data = entry->data};
    memcpy(tensor.shape, entry->shape, sizeof tensor.shape);
    return tensor;
}
