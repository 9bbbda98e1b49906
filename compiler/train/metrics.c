#include "train/metrics.h"

#include "file/json/json_file.h"
#include "ir/interp.h"
#include "opt/opt.h"

#include <math.h>
#include <string.h>

enum { METRIC_ELEMENTS = 256 }; /* of one metric that are logged */

typedef struct Formula {
    Symbol name; /* of the metric, in main */
    Unit *unit;  /* its formals are the metrics `from`, in main */
    Symbol *from;
} Formula;

struct MetricFormulas {
    int count;
    Formula *items;
};

typedef struct Metric {
    int output;
    Symbol name;
    Merge merge;
    int64_t count;
    double *values;
    const Formula *formula; /* NULL: merged */
} Metric;

struct Metrics {
    const Runner *runner;
    int count;
    Metric *items;
};

/* ---- formulas ---- */

static Symbol output_name(const Unit *unit, int tensor)
{
    for (int o = 0; o < unit->output_count; o++)
        if (unit->outputs[o].kind == OUTPUT_METRIC && unit->outputs[o].tensor == tensor)
            return unit->outputs[o].name;
    return NULL;
}

static bool formula_of(Arena *arena, const Unit *main, const Op *call, int result, Formula *formula)
{
    int *metrics = ARENA_ARRAY(arena, int, call->result_count + 1);
    *formula = (Formula){.name = output_name(main, call->results[result]), .unit = opt_metric_formula(call->callee, result, metrics)};
    bool ok = formula->name && formula->unit;
    formula->from = ok ? ARENA_ARRAY(arena, Symbol, formula->unit->formal_count) : NULL;
    for (int f = 0; ok && f < formula->unit->formal_count; f++) {
        formula->from[f] = output_name(main, call->results[metrics[f]]);
        ok = formula->from[f] != NULL;
    }
    return ok;
}

MetricFormulas *metrics_formulas(Arena *arena, const Lowered *lowered)
{
    const Unit *main = lowered->program->main;
    MetricFormulas *formulas = ARENA_NEW(arena, MetricFormulas);
    *formulas = (MetricFormulas){.items = ARENA_ARRAY(arena, Formula, main->output_count + 1)};
    for (int i = 0; i < main->op_count; i++) {
        const Op *op = &main->ops[i];
        for (int r = 0; op->kind == OP_CALL && r < op->result_count; r++)
            if (op->callee->outputs[r].kind == OUTPUT_METRIC && formula_of(arena, main, op, r, &formulas->items[formulas->count]))
                formulas->count++;
    }
    return formulas;
}

/* ---- values ---- */

Metrics *metrics_new(Arena *arena, const Runner *runner, const MetricFormulas *formulas)
{
    const Unit *unit = runner->unit;
    Metrics *metrics = ARENA_NEW(arena, Metrics);
    *metrics = (Metrics){.runner = runner, .items = ARENA_ARRAY(arena, Metric, unit->output_count + 1)};
    for (int o = 0; o < unit->output_count; o++) {
        const Output *output = &unit->outputs[o];
        if (output->kind != OUTPUT_METRIC || unit->tensors[output->tensor].type != T_REAL)
            continue;
        Metric *metric = &metrics->items[metrics->count++];
        *metric = (Metric){.output = o, .name = output->name, .merge = output->merge, .count = executable_output_elements(runner->executable, o)};
        metric->values = ARENA_ARRAY(arena, double, metric->count + 1);
        for (int f = 0; f < formulas->count; f++)
            if (formulas->items[f].name == output->name)
                metric->formula = &formulas->items[f];
    }
    return metrics;
}

static double merged(Merge merge, double before, double value, bool first, double parts)
{
    switch (merge) {
    case MERGE_SUM: return first ? value : before + value;
    case MERGE_MAX: return first || !(value <= before) ? value : before; /* a NaN stays */
    case MERGE_NONE:
    case MERGE_MEAN: return (first ? 0 : before) + value / parts;
    }
    return value;
}

static const Metric *metric_find(const Metrics *metrics, Symbol name)
{
    for (int m = 0; m < metrics->count; m++)
        if (metrics->items[m].name == name)
            return &metrics->items[m];
    return NULL;
}

/* Formulas read merged values: those of formulas that come before, too, since a definition reads what stands above it. */
static void apply(const Metrics *metrics, Metric *metric)
{
    const Formula *formula = metric->formula;
    const Runner *runner = metrics->runner;
    Arena *arena = arena_new();
    Value *formals = ARENA_ARRAY(arena, Value, formula->unit->formal_count), result = {0};
    bool known = true;
    for (int f = 0; f < formula->unit->formal_count; f++) {
        const Metric *from = metric_find(metrics, formula->from[f]);
        known = known && from;
        formals[f] = from ? (Value){.count = from->count, .real = from->values} : (Value){0};
    }
    const InterpContext context = {.precision = INTERP_F64, .env = {.value = {[DIM_B] = runner->batch, [DIM_L] = runner->length, [DIM_S0] = 1, 1, 1, 1, 1, 1, 1, 1}}};
    if (known && !interp_run(arena, formula->unit, &context, formals, &result, NULL) && result.count == metric->count)
        memcpy(metric->values, result.real, (size_t)metric->count * sizeof *metric->values);
    arena_free(arena);
}

void metrics_collect(Metrics *metrics, int64_t micro, int64_t parts)
{
    for (int m = 0; m < metrics->count; m++) {
        const Metric *metric = &metrics->items[m];
        const void *values = executable_output(metrics->runner->executable, metric->output);
        for (int64_t i = 0; i < metric->count; i++) {
            const double value = metrics->runner->store->wide ? ((const double *)values)[i] : (double)((const float *)values)[i];
            metric->values[i] = merged(metric->merge, metric->values[i], value, micro == 0, (double)parts);
        }
    }
    for (int m = 0; parts > 1 && micro + 1 == parts && m < metrics->count; m++)
        if (metrics->items[m].formula)
            apply(metrics, &metrics->items[m]);
}

static json_t *metric_json(const Metric *metric)
{
    if (metric->count == 1)
        return bfm_json_number(metric->values[0]);
    json_t *array = json_array();
    for (int64_t i = 0; i < metric->count && i < METRIC_ELEMENTS; i++)
        json_array_append_new(array, bfm_json_number(metric->values[i]));
    return array;
}

json_t *metrics_json(const Metrics *metrics, int64_t step)
{
    if (metrics->count == 0)
        return NULL;
    json_t *record = json_pack("{s:I}", "step", (json_int_t)step);
    for (int m = 0; m < metrics->count; m++)
        json_object_set_new(record, metrics->items[m].name, metric_json(&metrics->items[m]));
    return record;
}
