/* Diagnostics and reports of a module. */
#include "bfm/check.h"

#include "api/internal.h"
#include "report/report_check.h"
#include "run/model.h"
#include "lower/lower.h"
#include "space/space.h"

#include <stdlib.h>
#include <string.h>

enum { CONTEXT_FALLBACK = 1024 };

const Node *api_item(const BfmModule *module, const char *name, BfmError *error)
{
    const Target target = {.path = module->module->files[0].path, .name = name};
    if (name) {
        const Symbol symbol = intern(module->context.interner, name);
        const Node *found = module_find(module->module, symbol, NODE_BLOCK, -1);
        found = found ? found : module_find(module->module, symbol, NODE_DEFINITION, AST_DEF_LAYER);
        return found ? found : context_pick(&module->context, module->module, &target, NODE_MODEL, error);
    }
    const Node *items = module->module->files[0].root->kids[FILE_ITEMS];
    int models = 0;
    for (int i = 0; i < list_count(items); i++)
        models += list_at(items, i)->kind == NODE_MODEL;
    return context_pick(&module->context, module->module, &target, models > 0 ? NODE_MODEL : NODE_BLOCK, error);
}

static Lowered *lower_item(const BfmModule *module, const Node *item, Mode mode)
{
    const LowerOptions options = {.mode = mode};
    return item->kind == NODE_MODEL ? lower_model(module->module, item, &options) : lower_block(module->module, item, 0, CONTEXT_FALLBACK, &options);
}

bool bfm_check(BfmModule *module, const char *item)
{
    BfmError error;
    const Node *items = module->module->files[0].root->kids[FILE_ITEMS];
    bool ok = true;
    if (item) {
        const Node *node = api_item(module, item, &error);
        return node && lower_item(module, node, MODE_TRAIN) && diag_errors(module->context.diags) == 0;
    }
    lower_declarations(module->module);
    (void)bfm_spaces(module->module);
    for (int i = 0; i < list_count(items); i++)
        if (list_at(items, i)->kind == NODE_MODEL)
            ok = lower_item(module, list_at(items, i), MODE_TRAIN) && ok;
    return ok && diag_errors(module->context.diags) == 0;
}

/* ---- diagnostics ---- */

int bfm_diagnostic_count(const BfmModule *module) { return diag_count(module->context.diags); }
int bfm_error_count(const BfmModule *module) { return diag_errors(module->context.diags); }

static BfmPlace place_of(const BfmModule *module, Span span)
{
    const Source *source = diag_source(module->context.diags, span.file);
    BfmPlace place = {.file = NULL};
    if (!source)
        return place;
    place.file = source->path;
    diag_position(source, span.begin, &place.line, &place.column);
    diag_position(source, span.end, &place.end_line, &place.end_column);
    return place;
}

bool bfm_diagnostic_at(BfmModule *module, int index, BfmDiagnostic *diagnostic)
{
    if (index < 0 || index >= bfm_diagnostic_count(module))
        return false;
    const Diagnostic *from = diag_get(module->context.diags, index);
    BfmLabel *labels = ARENA_ARRAY(module->context.arena, BfmLabel, from->label_count + 1);
    for (int i = 0; i < from->label_count; i++)
        labels[i] = (BfmLabel){place_of(module, from->labels[i].span), from->labels[i].text};
    *diagnostic = (BfmDiagnostic){.code = diag_name(from->code),
                                  .severity = (BfmSeverity)diag_severity(from->code),
                                  .message = from->message,
                                  .place = place_of(module, from->span),
                                  .label_count = from->label_count,
                                  .labels = labels,
                                  .note_count = from->note_count,
                                  .notes = from->notes,
                                  .fix = from->fix};
    return true;
}

char *bfm_diagnostics_json(const BfmModule *module)
{
    Str text = {0};
    diag_json(module->context.diags, &text);
    char *copy = api_text(&text);
    str_free(&text);
    return copy;
}

char *bfm_diagnostics_text(const BfmModule *module)
{
    Str text = {0};
    diag_print(module->context.diags, &text, false);
    char *copy = api_text(&text);
    str_free(&text);
    return copy;
}

/* ---- reports ---- */

static bool sizes_fit(int64_t batch, int64_t length, BfmError *error)
{
    return (batch > 0 && length > 0) || bfm_error_set(error, BFM_ERROR_INPUT, "a batch of %lld and a length of %lld: both must be at least 1", (long long)batch, (long long)length);
}

char *bfm_check_json(BfmModule *module, const char *item, int64_t batch, int64_t length, BfmError *error)
{
    const Node *node = sizes_fit(batch, length, error) ? api_item(module, item, error) : NULL;
    if (!node)
        return NULL;
    const Lowered *lowered = lower_item(module, node, MODE_TRAIN);
    OtherModes others = {.count = 0};
    for (int m = 0; lowered && m < MODE_COUNT; m++)
        if ((Mode)m != MODE_TRAIN && !(others.lowered[others.count++] = lower_item(module, node, (Mode)m)))
            lowered = NULL;
    if (!lowered || diag_errors(module->context.diags) > 0) {
        (void)context_rejected(error);
        return NULL;
    }
    Str text = {0};
    json_t *models = json_array();
    report_check(module->module, lowered, &others, batch, length, &text, models);
    char *json = json_dumps(json_array_get(models, 0), JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    json_decref(models);
    str_free(&text);
    if (!json)
        (void)bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "memory is exhausted");
    return json;
}
