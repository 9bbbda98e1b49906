/* bfmc check: every error of a file, and what its models cost. */
#include "driver/ledger.h"
#include "driver/pipeline.h"
#include "driver/verbs.h"

#include <stdio.h>

static void human(double value, Str *out)
{
    static const char suffix[] = {0, 'K', 'M', 'G', 'T', 'P'};
    int power = 0;
    while (value >= 999.5 && power < 5) {
        value /= 1000;
        power++;
    }
    str_printf(out, power == 0 || value >= 99.95 ? "%.0f" : value >= 9.995 ? "%.1f" : "%.2f", value);
    if (suffix[power])
        str_printf(out, " %c", suffix[power]);
}

static void columns(Str *out, const char *path, double parameters, double activated, double flops)
{
    const double values[] = {parameters, activated, flops};
    str_printf(out, "  %-40s", path);
    for (int i = 0; i < 3; i++) {
        Str number = {0};
        human(values[i], &number);
        str_printf(out, "%13s", str_text(&number));
        str_free(&number);
    }
    str_push(out, '\n');
}

static void ledger_print(const Ledger *ledger, const char *model, int64_t batch, int64_t length, Str *out)
{
    str_printf(out, "model %s, forward pass of %lld sequences of %lld\n", model, (long long)batch, (long long)length);
    str_printf(out, "  %-40s%13s%13s%13s\n", "", "parameters", "activated", "flop");
    for (int i = 0; i < ledger->row_count; i++)
        columns(out, ledger->rows[i].path, (double)ledger->rows[i].parameters, ledger->rows[i].activated, ledger->rows[i].flops);
    columns(out, "total", (double)ledger->parameters, ledger->activated, ledger->flops);
}

static json_t *ledger_json(const Ledger *ledger, const char *model, int64_t batch, int64_t length)
{
    json_t *rows = json_array();
    for (int i = 0; i < ledger->row_count; i++) {
        const LedgerRow *row = &ledger->rows[i];
        json_array_append_new(rows, json_pack("{s:s, s:s?, s:I, s:f, s:f}", "path", row->path, "definition", row->definition, "parameters", (json_int_t)row->parameters,
                                              "activated", row->activated, "flops", row->flops));
    }
    return json_pack("{s:s, s:I, s:I, s:I, s:f, s:f, s:o}", "model", model, "batch", (json_int_t)batch, "length", (json_int_t)length, "parameters",
                     (json_int_t)ledger->parameters, "activated", ledger->activated, "flops", ledger->flops, "lines", rows);
}

static void check_model(Driver *driver, const Module *module, const Node *model, Str *out, json_t *models)
{
    const LowerOptions options = {.mode = MODE_TRAIN};
    const Lowered *lowered = lower_model(module, model, &options);
    if (!lowered)
        return;
    const int64_t batch = option_whole(driver->options, OPT_BATCH, 8), fallback = lowered->context ? lowered->context : 128;
    const int64_t length = option_whole(driver->options, OPT_LENGTH, fallback);
    const Ledger ledger = ledger_count(lowered, batch > 0 ? batch : 1, length > 0 ? length : 1);
    if (out->length > 0)
        str_push(out, '\n');
    ledger_print(&ledger, model->name, batch, length, out);
    json_array_append_new(models, ledger_json(&ledger, model->name, batch, length));
}

static int check_models(Driver *driver, const Module *module, const Target *target, Str *out, json_t *models)
{
    int code = CODE_OK;
    if (target->name) {
        const Node *model = driver_pick(driver, module, target, NODE_MODEL, &code);
        if (!model)
            return code;
        check_model(driver, module, model, out, models);
    } else {
        const Node *items = module->files[0].root->kids[FILE_ITEMS];
        for (int i = 0; i < list_count(items); i++)
            if (list_at(items, i)->kind == NODE_MODEL)
                check_model(driver, module, list_at(items, i), out, models);
    }
    return CODE_OK;
}

int verb_check(Driver *driver)
{
    const Target target = target_parse(driver->arena, driver->options->arguments[0]);
    int code;
    Module *module = driver_module(driver, target.path, &code);
    if (!module)
        return code;
    lower_declarations(module);
    Str out = {0};
    json_t *models = json_array();
    code = check_models(driver, module, &target, &out, models);
    if (code == CODE_OK) {
        code = driver_diagnostics(driver);
        if (driver->json) {
            json_t *report = report_new(driver);
            json_object_set(report, "models", models);
            code = report_print(driver, report, code);
        } else if (!driver->quiet || code == CODE_OK) {
            const int printed = driver_print(driver, &out);
            code = code == CODE_OK ? printed : code;
        }
    }
    json_decref(models);
    str_free(&out);
    return code;
}
