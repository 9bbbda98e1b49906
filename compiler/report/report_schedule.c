#include "report/report_schedule.h"

#include "support/vec.h"

#include <string.h>

/* ---- which line a step belongs to ------------------------------------------------------------------------------------------- */

/* The first tensor that it writes; -1: none. */
typedef struct Written {
    int tensor;
} Written;

static void take_written(void *user, int tensor, bool write)
{
    Written *written = user;
    if (write && written->tensor < 0)
        written->tensor = tensor;
}

static const char *tensor_name(const Schedule *schedule, int tensor)
{
    const Symbol name = tensor < 0 ? NULL : schedule->unit->tensors[tensor].name;
    return name ? name : "_";
}

static const char *step_name(const Schedule *schedule, const Step *step)
{
    Written written = {-1};
    step_visit(schedule, step, take_written, &written);
    return tensor_name(schedule, written.tensor);
}

/* `attention_0.sum1.grad` belongs to the line attention_0; what has no line, to the whole. */
static int line_length(const char *name)
{
    const char *dot = strchr(name, '.');
    return dot ? (int)(dot - name) : 0;
}

/* ---- as text ---------------------------------------------------------------------------------------------------------------- */

enum { KINDS_MAX = 16 };

typedef struct LineKernels {
    const char *name; /* not terminated */
    int length, kind_count;
    const char *kinds[KINDS_MAX];
    int counts[KINDS_MAX];
} LineKernels;

typedef VEC(LineKernels) LineList;

static LineKernels *line_of(LineList *lines, const char *name, int length)
{
    for (int i = 0; i < lines->count; i++)
        if (lines->items[i].length == length && strncmp(lines->items[i].name, name, (size_t)length) == 0)
            return &lines->items[i];
    vec_push(lines, ((LineKernels){.name = name, .length = length}));
    return &lines->items[lines->count - 1];
}

static void kind_add(LineKernels *line, const char *kind)
{
    int at = 0;
    while (at < line->kind_count && strcmp(line->kinds[at], kind) != 0)
        at++;
    if (at == KINDS_MAX)
        return;
    line->kinds[at] = kind;
    line->counts[at]++;
    line->kind_count = at == line->kind_count ? at + 1 : line->kind_count;
}

static void print_lines(const Schedule *schedule, Str *out)
{
    LineList lines = {0};
    for (int i = 0; i < schedule->step_count; i++) {
        const char *name = step_name(schedule, &schedule->steps[i]);
        kind_add(line_of(&lines, name, line_length(name)), step_kind(schedule, &schedule->steps[i]));
    }
    for (int i = 0; i < lines.count; i++) {
        const LineKernels *line = &lines.items[i];
        str_printf(out, "  %-20.*s", line->length > 0 ? line->length : 5, line->length > 0 ? line->name : "whole");
        for (int k = 0; k < line->kind_count; k++)
            str_printf(out, "%s%s %d", k ? ", " : "  ", line->kinds[k], line->counts[k]);
        str_push(out, '\n');
    }
    vec_free(&lines);
}

void report_schedule(const Schedule *schedule, const DimEnv *env, Str *out)
{
    str_append(out, "kernels of a training step, by line:\n");
    print_lines(schedule, out);
    schedule_explain(schedule, env, out);
}

/* ---- as JSON ---------------------------------------------------------------------------------------------------------------- */

typedef struct Writes {
    const Schedule *schedule;
    json_t *names;
} Writes;

static void list_written(void *user, int tensor, bool write)
{
    Writes *writes = user;
    if (write)
        json_array_append_new(writes->names, json_string(tensor_name(writes->schedule, tensor)));
}

/* Points that generated code takes at once. */
static int step_lanes(const Compiled *compiled, const Step *step)
{
    const Unit *unit = compiled->schedule->unit;
    if (step->kind != BFM_KERNEL_MAP)
        return 0;
    const Op *op = &unit->ops[step->op];
    return (step_is_scores(compiled->schedule, step) ? codegen_scores(compiled->codegen, unit, op) : codegen_nest(compiled->codegen, unit, op))->lanes;
}

static json_t *step_json(const Compiled *compiled, const Step *step, const DimEnv *env)
{
    const Schedule *schedule = compiled->schedule;
    const char *name = step_name(schedule, step);
    Writes writes = {schedule, json_array()};
    step_visit(schedule, step, list_written, &writes);
    return json_pack("{s:s%, s:s, s:o, s:s, s:i, s:f, s:f, s:f}", "line", name, (size_t)line_length(name), "kind", step_kind(schedule, step), "writes", writes.names, "reason",
                     step->reason, "lanes", step_lanes(compiled, step), "points", step_points(schedule, step, env), "elements", step_elements(schedule, step, env), "flops",
                     step->flops ? (double)dim_eval(step->flops, env) : 0.0);
}

static json_t *note_json(const Schedule *schedule, const StepNote *note, const DimEnv *env)
{
    const char *name = tensor_name(schedule, note->tensor);
    const Unit *unit = schedule->unit;
    double elements = 1;
    for (int a = 0; note->tensor >= 0 && a < unit->tensors[note->tensor].rank; a++)
        elements *= (double)dim_eval(unit->tensors[note->tensor].extent[a], env);
    return json_pack("{s:s, s:s%, s:f, s:b, s:s}", "tensor", name, "line", name, (size_t)line_length(name), "elements", note->tensor < 0 ? 0.0 : elements, "slow", note->slow,
                     "reason", note->text);
}

json_t *schedule_json(const Compiled *compiled, const DimEnv *env)
{
    const Schedule *schedule = compiled->schedule;
    json_t *steps = json_array(), *stored = json_array();
    for (int i = 0; i < schedule->step_count; i++)
        json_array_append_new(steps, step_json(compiled, &schedule->steps[i], env));
    for (int i = 0; i < schedule->note_count; i++)
        json_array_append_new(stored, note_json(schedule, &schedule->notes[i], env));
    return json_pack("{s:o, s:o}", "steps", steps, "stored", stored);
}
