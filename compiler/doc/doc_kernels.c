/* Which kernels an instance runs as: the schedule that `check --explain-schedule` explains, counted by kind. */
#include "doc/doc.h"

#include "codegen/compile.h"
#include "opt/opt.h"
#include "run/order.h"

#include <string.h>

enum { KERNELS_MAX = 24 };

typedef struct Kernels {
    int count;
    const char *word[KERNELS_MAX];
    bool counted[KERNELS_MAX];
    int64_t times[KERNELS_MAX];
} Kernels;

static void kernels_add(Kernels *kernels, const char *word, bool counted)
{
    int at = 0;
    while (at < kernels->count && strcmp(kernels->word[at], word) != 0)
        at++;
    if (at == KERNELS_MAX)
        return;
    if (at == kernels->count) {
        kernels->counted[at] = counted;
        kernels->word[kernels->count++] = word;
        kernels->times[at] = 0;
    }
    kernels->times[at]++;
}

/* Whose a step is: of a part, by the text of what it writes; of a line of a model, by the line's name before it; of a block there is nothing else. */
typedef struct Owned {
    const Subject *subject; /* NULL: whatever runs */
    const Schedule *schedule;
    const char *line; /* "head_0", NULL: whatever runs */
    bool owned;
} Owned;

static bool tensor_owned(const Owned *owned, int tensor)
{
    const Unit *unit = owned->schedule->unit;
    const Tensor *shown = &unit->tensors[tensor];
    if (owned->subject && owned->subject->part)
        return subject_owns(owned->subject, shown->span) || (shown->def >= 0 && subject_owns(owned->subject, unit->ops[shown->def].span));
    const size_t length = owned->line ? strlen(owned->line) : 0;
    return length == 0 || (shown->name && strncmp(shown->name, owned->line, length) == 0 && shown->name[length] == '.');
}

static void look_at(void *user, int tensor, bool write)
{
    Owned *owned = user;
    owned->owned = owned->owned || (write && tensor_owned(owned, tensor));
}

static void kernels_count(const Subject *subject, const Schedule *schedule, const char *line, Kernels *kernels)
{
    *kernels = (Kernels){0};
    for (int counted = 1; counted >= 0; counted--) /* what is counted first */
        for (int i = 0; i < schedule->step_count; i++) {
            const Step *step = &schedule->steps[i];
            Owned owned = {subject, schedule, line, false};
            if (kernel_row(step->kind)->counted == (counted != 0) && !step_is_scores(schedule, step))
                step_visit(schedule, step, look_at, &owned);
            if (owned.owned)
                kernels_add(kernels, step_kind(schedule, step), counted != 0);
        }
}

static void kernels_print(const Kernels *kernels, Str *out)
{
    for (int i = 0; i < kernels->count; i++) {
        str_printf(out, "%s%s", i ? ", " : "", kernels->word[i]);
        if (kernels->counted[i] && kernels->times[i] > 1)
            str_printf(out, " ×%d", (int)kernels->times[i]);
    }
}

/* In a model: the name of the line, which stands before that of all its tensors. */
static const char *line_name(const Subject *subject, const Sample *sample)
{
    for (int i = 0; subject->item->kind == NODE_MODEL && subject->line && i < sample->lowered->line_count; i++)
        if (sample->lowered->lines[i].span.file == subject->line->span.file && sample->lowered->lines[i].span.begin == subject->line->span.begin)
            return sample->lowered->lines[i].path;
    return NULL;
}

static bool scheduled(const Subject *subject, bool backward, Kernels *kernels, Str *slow)
{
    Sample sample;
    if (!sample_new(subject, NULL, MODE_TRAIN, &sample))
        return false;
    const StepOptions options = {.model = subject->item->kind == NODE_MODEL, .backward = backward, .seeded = true};
    const char *message = NULL;
    const bool ok = order_step(sample.lowered, &options, &message);
    if (ok) {
        const Schedule *schedule = compile_schedule(sample.lowered->program, sample.lowered->program->main, NULL);
        kernels_count(subject, schedule, line_name(subject, &sample), kernels);
        for (int i = 0; i < kernels->count; i++)
            kernels->word[i] = arena_strdup(subject->arena, kernels->word[i]);
        for (int n = 0; slow && n < schedule->note_count; n++)
            if (schedule->notes[n].slow)
                str_printf(slow, "%s%s", slow->length ? "; " : "", schedule->notes[n].text);
    }
    sample_free(&sample);
    return ok;
}

bool subject_kernels(const Subject *subject, Str *forward, Str *step, Str *slow)
{
    Kernels kernels;
    if (!scheduled(subject, false, &kernels, NULL))
        return false;
    kernels_print(&kernels, forward);
    if (!subject->part && scheduled(subject, true, &kernels, slow)) /* adjoints do not say what part they are of */
        kernels_print(&kernels, step);
    return true;
}

void unit_kernels(Unit *unit, Str *out)
{
    Kernels kernels;
    opt_simplify(unit->program, &(OptOptions){.phase = OPT_AFTER_GRAD});
    kernels_count(NULL, compile_schedule(unit->program, unit, NULL), NULL, &kernels);
    kernels_print(&kernels, out);
}
