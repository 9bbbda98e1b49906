/* The way of verb_grad's models, with a clock at every stage. */
#define _GNU_SOURCE
#include "report/profile.h"

#include "support/clock.h"
#include "memory/buffer.h"
#include "run/order.h"
#include "run/store.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { FILL_PIECE = 1 << 16, DEFAULT_LENGTH = 512 };

const char *profile_phase_text(ProfilePhase phase)
{
    static const char *const texts[PHASE_COUNT] = {"read", "lower", "differentiate", "schedule", "code", "bind", "run"};
    return texts[phase];
}

/* ---- what is profiled ---- */

static const Node *only(const Module *module, NodeKind kind)
{
    const Node *items = module->files[0].root->kids[FILE_ITEMS], *found = NULL;
    for (int i = 0; i < list_count(items); i++)
        if (list_at(items, i)->kind == kind) {
            if (found)
                return NULL;
            found = list_at(items, i);
        }
    return found;
}

/* By name: a model, a block or a layer, of the file or of what it uses. Without one: the only model, else the only block. */
static const Node *pick(const BfmContext *context, const Module *module, const Target *target, BfmError *error)
{
    if (!target->name) {
        const Node *block = only(module, NODE_BLOCK), *model = only(module, NODE_MODEL);
        return model ? model : block ? block : context_pick(context, module, target, NODE_MODEL, error);
    }
    const Symbol name = intern(context->interner, target->name);
    const Node *found = module_find(module, name, NODE_MODEL, -1);
    found = found ? found : module_find(module, name, NODE_BLOCK, -1);
    found = found ? found : module_find(module, name, NODE_DEFINITION, AST_DEF_LAYER);
    if (found)
        return found;
    found = module_find_any(module, name);
    (void)(found ? bfm_error_set(error, BFM_ERROR_INPUT, "%s: `%s` is a %s; a model, a block or a layer can be profiled", target->path, target->name, node_kind_text(found->kind))
                 : bfm_error_set(error, BFM_ERROR_INPUT, "%s has no model, block or layer `%s`", target->path, target->name));
    return NULL;
}

/* ---- one compilation ---- */

typedef struct Build {
    Profile *profile;
    BfmContext context; /* the profile's, perhaps with memory, names and diagnostics of this compilation */
    const Target *target;
    const Overrides *overrides;
    ProfileTimes *times;
    double since;
} Build;

static void phase_end(Build *build, ProfilePhase phase)
{
    const double now = seconds_now();
    build->times->phase[phase] += now - build->since;
    build->times->total += now - build->since;
    build->since = now;
}

static bool build_lower(Build *build, BfmError *error)
{
    Profile *profile = build->profile;
    const BfmContext *context = &build->context;
    Module *module = context_module(context, build->target, build->overrides, error);
    if (!module)
        return false;
    if (diag_errors(context->diags) > 0)
        return context_rejected(error);
    phase_end(build, PHASE_READ);
    profile->module = module;
    profile->subject = pick(context, module, build->target, error);
    if (!profile->subject)
        return false;
    const LowerOptions options = {.mode = profile->settings.forward ? MODE_EVAL : MODE_TRAIN};
    const int64_t length = profile->settings.length ? profile->settings.length : DEFAULT_LENGTH;
    profile->lowered =
        profile->subject->kind == NODE_MODEL ? lower_model(module, profile->subject, &options) : lower_block(module, profile->subject, profile->settings.width, length, &options);
    if (!profile->settings.length)
        profile->settings.length = profile->lowered && profile->lowered->context ? profile->lowered->context : DEFAULT_LENGTH;
    phase_end(build, PHASE_LOWER);
    return profile->lowered && diag_errors(context->diags) == 0 ? true : context_rejected(error);
}

/* Losses of a model by its parameters; of a block its losses and its result, weighed by a random adjoint, also by its stream: what follows it in a model
   needs the result, whatever losses the block has of its own. */
static bool build_differentiate(Build *build, BfmError *error)
{
    const Profile *profile = build->profile;
    const StepOptions options = {.model = profile->subject->kind == NODE_MODEL, .backward = !profile->settings.forward};
    const char *message = NULL;
    if (!order_step(profile->lowered, &options, &message))
        return bfm_error_set(error, BFM_ERROR_INPUT, "`%s`: %s", profile->subject->name, message);
    phase_end(build, PHASE_DIFFERENTIATE);
    return true;
}

static bool build_code(Build *build, const char *cache, BfmError *error)
{
    Profile *profile = build->profile;
    profile->jit = jit_new(&(JitOptions){.cache = cache}, error);
    profile->compiled = profile->jit ? compile_program(build->context.arena, profile->jit, profile->lowered->program, NULL, error) : NULL;
    if (!profile->compiled)
        return false;
    const JitCounters counters = jit_counters(profile->jit);
    build->times->compiled = counters.compiled;
    build->times->cached = counters.cached;
    phase_end(build, PHASE_CODE);
    build->times->phase[PHASE_CODE] -= build->times->phase[PHASE_SCHEDULE] = profile->compiled->seconds - counters.seconds;
    return true;
}

/* ---- random inputs ---- */

typedef struct Fill {
    void *memory;
    int64_t count;
    uint64_t key;
    double mean, spread; /* reals: uniform, of this mean and half width */
    int64_t bound;       /* integers: uniform below; 0: reals */
} Fill;

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

static void fill_piece(void *ctx, int64_t piece, int worker)
{
    const Fill *fill = ctx;
    const int64_t begin = piece * FILL_PIECE, end = begin + FILL_PIECE < fill->count ? begin + FILL_PIECE : fill->count;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const uint64_t bits = mix(fill->key + (uint64_t)i);
        if (fill->bound > 0)
            ((int32_t *)fill->memory)[i] = (int32_t)(bits % (uint64_t)fill->bound);
        else
            ((float *)fill->memory)[i] = (float)(fill->mean + fill->spread * ((double)(bits >> 40) * 0x1p-23 - 1));
    }
}

/* As the definition initialises it, but uniform; one of integers: all values it may have. */
static Fill formal_fill(const Profile *profile, int formal, int64_t count)
{
    const Binding *binding = &profile->lowered->program->bindings[formal];
    const BfmPlanPort *port = &bfm_plan_formals(profile->compiled->plan)[formal];
    const bool integer = bfm_plan_buffers(profile->compiled->plan)[port->buffer].elem == BFM_ELEM_I32;
    const bool step = binding->role == TENSOR_INPUT && port->rank == 0;
    const bool one = integer && (strcmp(binding->path, "segment") == 0 || port->bound < 0);
    Fill fill = {.count = count, .key = mix(profile->settings.seed + (uint64_t)formal * 0x9e3779b97f4a7c15u)};
    if (integer)
        fill.bound = one ? 1 : bfm_instance_dim(profile->instance, port->bound);
    else if (binding->role == TENSOR_INPUT)
        fill.spread = step ? 0 : 1.7320508;
    else {
        fill.mean = binding->init.mean;
        fill.spread = 1.7320508 * binding->init.std;
    }
    return fill;
}

/* A parameter or state whose initial value is written out, not drawn, has that value. */
static bool has_value(const Binding *binding) { return binding->role != TENSOR_INPUT && !binding->init.normal; }

static bool value_fill(const Profile *profile, const Binding *binding, const Fill *fill, BfmError *error)
{
    const DimEnv env = {.value = {[DIM_B] = 1, [DIM_L] = 1}};
    return init_fill(&binding->init, binding->path, profile->settings.seed, &env, fill->count, false, fill->memory, error);
}

static bool formals_make(Profile *profile, BfmError *error)
{
    const double start = seconds_now();
    profile->formal_count = (int)profile->compiled->plan->formals.count;
    profile->formals = calloc((size_t)profile->formal_count + 1, sizeof *profile->formals);
    for (int f = 0; profile->formals && f < profile->formal_count; f++) {
        Fill fill = formal_fill(profile, f, bfm_instance_formal_count(profile->instance, f));
        fill.memory = profile->formals[f] = bfm_buffer_new(4 * (size_t)fill.count);
        if (!fill.memory)
            return bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted by the parameters: a smaller model, batch or length may fit");
        const Binding *binding = &profile->lowered->program->bindings[f];
        if (!has_value(binding))
            bfm_pool_run(profile->pool, (fill.count + FILL_PIECE - 1) / FILL_PIECE, fill_piece, &fill);
        else if (!value_fill(profile, binding, &fill, error))
            return false;
    }
    profile->fill_s = seconds_now() - start;
    return profile->formals ? true : bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
}

/* ---- the first step ---- */

static double system_seconds(const struct rusage *usage) { return (double)usage->ru_stime.tv_sec + 1e-6 * (double)usage->ru_stime.tv_usec; }

static bool build_run(Build *build, BfmError *error)
{
    Profile *profile = build->profile;
    const ProfileSettings *settings = &profile->settings;
    const DimEnv env = {.value = {[DIM_B] = settings->batch, [DIM_L] = settings->length, [DIM_N] = settings->length, [DIM_S0] = 1, 1, 1, 1, 1, 1, 1, 1}};
    profile->instance = bfm_instance_new(profile->compiled->plan, profile->compiled->functions, profile->pool, error);
    if (!profile->instance || !bfm_instance_bind(profile->instance, env.value, error))
        return false;
    phase_end(build, PHASE_BIND);
    if (!profile->formals && !formals_make(profile, error))
        return false;
    for (int f = 0; f < profile->formal_count; f++)
        bfm_instance_set_formal(profile->instance, f, profile->formals[f]);
    struct rusage before, after;
    (void)getrusage(RUSAGE_SELF, &before);
    build->since = seconds_now();
    const bool ok = bfm_instance_run(profile->instance, settings->seed, 0, error);
    phase_end(build, PHASE_RUN);
    (void)getrusage(RUSAGE_SELF, &after);
    build->times->faults = after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt;
    build->times->system = system_seconds(&after) - system_seconds(&before);
    return ok;
}

static void build_drop(Build *build)
{
    Profile *profile = build->profile;
    bfm_instance_free(profile->instance);
    jit_free(profile->jit);
    profile->instance = NULL;
    profile->jit = NULL;
    profile->compiled = NULL;
}

static bool build_all(Build *build, const char *cache, BfmError *error)
{
    build->since = seconds_now();
    return build_lower(build, error) && build_differentiate(build, error) && build_code(build, cache, error) && build_run(build, error);
}

static void folder_remove(const char *path)
{
    DIR *folder = opendir(path);
    for (const struct dirent *entry; folder && (entry = readdir(folder));)
        (void)unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        closedir(folder);
    (void)rmdir(path);
}

/* The cold compilation has names of its own, so that nothing of it is there for the warm one but the object cache. */
static bool build_twice(Profile *profile, const Target *target, const Overrides *overrides, const char *cache, BfmError *error)
{
    Build cold = {.profile = profile, .context = *profile->context, .target = target, .overrides = overrides, .times = &profile->cold}, warm = cold;
    warm.times = &profile->warm;
    cold.context.arena = arena_new();
    cold.context.interner = interner_new();
    cold.context.diags = diagnostics_new();
    bool ok = build_all(&cold, cache, error);
    const bool rejected = !ok && error_in_diagnostics(error);
    if (ok)
        build_drop(&cold);
    diagnostics_free(cold.context.diags);
    interner_free(cold.context.interner);
    arena_free(cold.context.arena);
    return rejected ? build_lower(&warm, error) : ok && build_all(&warm, cache, error); /* rejected: once more, where the caller looks for the diagnostics */
}

Profile *profile_new(const BfmContext *context, const Target *target, const Overrides *overrides, const ProfileSettings *settings, BfmPool *pool, BfmError *error)
{
    const char *temporary = getenv("TMPDIR");
    char *cache = arena_printf(context->arena, "%s/bfmc-profile-XXXXXX", temporary && *temporary ? temporary : "/tmp");
    if (!mkdtemp(cache)) {
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "no temporary folder can be made for the object cache at %s", cache);
        return NULL;
    }
    Profile *profile = ARENA_NEW(context->arena, Profile);
    *profile = (Profile){.context = context, .settings = *settings, .pool = pool};
    const bool ok = build_twice(profile, target, overrides, cache, error);
    folder_remove(cache);
    if (ok)
        return profile;
    profile_free(profile);
    return NULL;
}

void profile_free(Profile *profile)
{
    if (!profile)
        return;
    bfm_instance_free(profile->instance);
    jit_free(profile->jit);
    for (int f = 0; profile->formals && f < profile->formal_count; f++)
        bfm_buffer_free(profile->formals[f]);
    free(profile->formals);
}

double profile_run(Profile *profile, int64_t steps, BfmError *error)
{
    const double start = seconds_now();
    for (int64_t s = 0; s < steps; s++)
        if (!bfm_instance_run(profile->instance, profile->settings.seed, 0, error))
            return -1;
    return seconds_now() - start;
}
