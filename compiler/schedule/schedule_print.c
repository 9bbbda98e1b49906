/* A schedule as text. */
#include "schedule/schedule.h"
#include "schedule/schedule_internal.h"

static const char *map_kind(const Op *op)
{
    if (op->kind == OP_RECUR)
        return "recurrence";
    return op->reducer == REDUCE_SET ? kernel_row(BFM_KERNEL_MAP)->shown : "reduction";
}

static const char *gemm_kind(const Gemm *gemm)
{
    switch (gemm->form) {
    case BFM_GEMM_PLAIN: return gemm->batch_count > 0 ? "batched product" : "product";
    case BFM_GEMM_BY_KEY: return "product by key";
    case BFM_GEMM_INTO_KEY: return "product into keys";
    }
    return "";
}

bool step_is_scores(const Schedule *schedule, const Step *step) { return step->kind == BFM_KERNEL_MAP && schedule->unit->ops[step->op].kind == OP_TOP; }

const char *step_kind(const Schedule *schedule, const Step *step)
{
    if (step_is_scores(schedule, step))
        return "scores";
    if (step->kind == BFM_KERNEL_MAP)
        return map_kind(&schedule->unit->ops[step->op]);
    return step->kind == BFM_KERNEL_GEMM ? gemm_kind(step->record) : kernel_row(step->kind)->shown;
}

double step_points(const Schedule *schedule, const Step *step, const DimEnv *env)
{
    double points = step->op >= 0 ? 1 : step->flops != NULL ? (double)dim_eval(step->flops, env) / 2 : 0;
    for (int i = 0; step->op >= 0 && i < schedule->unit->ops[step->op].index_count; i++)
        points *= (double)dim_eval(schedule->unit->ops[step->op].indices[i].extent, env);
    return points;
}

typedef struct Elements {
    const Unit *unit;
    const DimEnv *env;
    double sum;
} Elements;

static void elements_add(void *user, int tensor, bool write)
{
    Elements *elements = user;
    (void)write;
    elements->sum += (double)dim_eval(tensor_dim(elements->unit->program, &elements->unit->tensors[tensor]), elements->env);
}

double step_elements(const Schedule *schedule, const Step *step, const DimEnv *env)
{
    Elements elements = {.unit = schedule->unit, .env = env};
    step_visit(schedule, step, elements_add, &elements);
    return elements.sum;
}

typedef struct Names {
    const Unit *unit;
    Str *out;
    bool write; /* which of the two is listed */
    int count;
} Names;

static void tensor_print(const Unit *unit, int tensor, Str *out)
{
    const Tensor *shown = &unit->tensors[tensor];
    str_printf(out, "%s[", shown->name != NULL ? shown->name : "_");
    for (int i = 0; i < shown->rank; i++) {
        if (i > 0)
            str_append(out, ", ");
        dim_print(shown->extent[i], out);
    }
    str_append(out, "]");
}

static void name_print(void *user, int tensor, bool write)
{
    Names *names = user;
    if (write != names->write)
        return;
    if (names->count++ > 0)
        str_append(names->out, ", ");
    tensor_print(names->unit, tensor, names->out);
}

static void axis_print(const char *name, const GemmAxis *axis, Str *out)
{
    str_printf(out, " %s=", name);
    dim_print(axis->extent, out);
}

static void gemm_print(const Unit *unit, const Gemm *gemm, Str *out)
{
    str_append(out, "      ");
    for (int i = 0; i < gemm->batch_count; i++)
        axis_print("batch", &gemm->batch[i], out);
    axis_print("m", &gemm->m, out), axis_print("n", &gemm->n, out), axis_print("k", &gemm->k, out);
    if (gemm->key_count != NULL) {
        str_append(out, " keys=");
        dim_print(gemm->key_count, out);
    }
    if (gemm->a_rows >= 0 || gemm->b_rows >= 0)
        str_append(out, ", rows gathered while packing");
    if (gemm->band.axes != BFM_BAND_NONE)
        str_append(out, gemm->band.ahead != NULL && gemm->band.behind != NULL ? ", a band of it" : ", a triangle of it");
    if (gemm->addend == gemm->c)
        str_append(out, ", added to what is there");
    else if (gemm->addend >= 0)
        str_append(out, ", added to "), tensor_print(unit, gemm->addend, out);
    str_append(out, "\n");
}

void schedule_print(const Schedule *schedule, Str *out)
{
    for (int i = 0; i < schedule->step_count; i++) {
        const Step *step = &schedule->steps[i];
        str_printf(out, "%4d  %s ", i, step_kind(schedule, step));
        Names names = {schedule->unit, out, true, 0};
        step_visit(schedule, step, name_print, &names);
        str_append(out, " <- ");
        names.write = false, names.count = 0;
        step_visit(schedule, step, name_print, &names);
        str_printf(out, "  ; %s\n", step->reason);
        if (step->kind == BFM_KERNEL_GEMM)
            gemm_print(schedule->unit, step->record, out);
    }
}

void schedule_explain(const Schedule *schedule, const DimEnv *env, Str *out)
{
    const Unit *unit = schedule->unit;
    for (int i = 0; i < schedule->note_count; i++) {
        const StepNote *note = &schedule->notes[i];
        str_append(out, note->slow ? "slow: " : "");
        if (note->tensor >= 0) {
            Dim elements = tensor_dim(unit->program, &unit->tensors[note->tensor]);
            tensor_print(unit, note->tensor, out);
            str_append(out, " stored, ");
            if (env != NULL)
                str_printf(out, "%.1f KB", 4.0 / 1024.0 * (double)dim_eval(elements, env));
            else
                dim_print(elements, out), str_append(out, " elements");
            str_append(out, ": ");
        }
        str_printf(out, "%s\n", note->text);
    }
}
