#include "driver/metrics.h"

#include "checkpoint/json_file.h"

#include <math.h>

enum { METRIC_ELEMENTS = 256 }; /* of one metric that are logged */

typedef struct Metric {
    int output;
    Merge merge;
    int64_t count; /* elements kept */
    bool scalar;
    double *values;
} Metric;

struct Metrics {
    const Runner *runner;
    int count;
    Metric *items;
};

Metrics *metrics_new(Arena *arena, const Runner *runner)
{
    const Unit *unit = runner->unit;
    Metrics *metrics = ARENA_NEW(arena, Metrics);
    *metrics = (Metrics){.runner = runner, .items = ARENA_ARRAY(arena, Metric, unit->output_count + 1)};
    for (int o = 0; o < unit->output_count; o++) {
        if (unit->outputs[o].kind != OUTPUT_METRIC || unit->tensors[unit->outputs[o].tensor].type != T_REAL)
            continue;
        const int64_t elements = executable_output_elements(runner->executable, o), kept = elements < METRIC_ELEMENTS ? elements : METRIC_ELEMENTS;
        metrics->items[metrics->count++] =
            (Metric){.output = o, .merge = unit->outputs[o].merge, .count = kept, .scalar = elements == 1, .values = ARENA_ARRAY(arena, double, kept + 1)};
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
}

static json_t *metric_json(const Metric *metric)
{
    if (metric->scalar)
        return bfm_json_number(metric->values[0]);
    json_t *array = json_array();
    for (int64_t i = 0; i < metric->count; i++)
        json_array_append_new(array, bfm_json_number(metric->values[i]));
    return array;
}

json_t *metrics_json(const Metrics *metrics, int64_t step)
{
    if (metrics->count == 0)
        return NULL;
    json_t *record = json_pack("{s:I}", "step", (json_int_t)step);
    for (int m = 0; m < metrics->count; m++)
        json_object_set_new(record, metrics->runner->unit->outputs[metrics->items[m].output].name, metric_json(&metrics->items[m]));
    return record;
}
