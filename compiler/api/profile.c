/* Profiles of models, blocks and layers. */
#include "bfm/profile.h"

#include "api/internal.h"
#include "report/profile_report.h"

enum { BATCH = 8 };

/* What the module's own text gave is said again by the reading that is timed. */
static void forget_diagnostics(BfmModule *module)
{
    diagnostics_free(module->context.diags);
    module->context.diags = diagnostics_new();
    module->module->diags = module->context.diags;
}

static bool measured(BfmModule *module, const char *item, const BfmProfileOptions *options, BfmPool *pool, BfmReport *report, BfmError *error)
{
    const Target target = {.path = module->module->files[0].path, .name = item};
    const Overrides overrides = {module->overrides.count, module->overrides.items};
    const ProfileSettings settings = {
        .batch = options->batch > 0 ? options->batch : BATCH, .length = options->length, .width = options->width, .forward = options->forward, .seed = options->seed};
    const ProfileReportSettings how = {
        .recipe = options->recipe, .steps = options->steps, .progress = options->progress, .another = options->another, .sample = options->sample, .user = options->user};
    forget_diagnostics(module);
    Profile *profile = profile_new(&module->context, &target, &overrides, &settings, pool, error);
    Str text = {0};
    json_t *json = NULL;
    if (profile)
        module->module = profile->module;
    if (profile && options->ready)
        options->ready(options->user);
    const bool ok = profile && profile_report(profile, &how, &text, &json, error);
    if (ok)
        *report = api_made(&text, json);
    else
        str_free(&text);
    profile_free(profile);
    return ok;
}

bool bfm_profile(BfmModule *module, const char *item, const BfmProfileOptions *options, BfmReport *report, BfmError *error)
{
    static const BfmProfileOptions none = {0};
    options = options ? options : &none;
    *report = (BfmReport){.text = NULL};
    if (!api_is_sound(module, error))
        return false;
    BfmPool *pool = bfm_pool_new(options->threads);
    const bool ok = measured(module, item, options, pool, report, error);
    bfm_pool_free(pool);
    return ok;
}
