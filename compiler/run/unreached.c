/* One warning a line of the text: all its parameters that no loss reaches, in every repetition. */
#include "run/unreached.h"

#include "grad/reach.h"

#include <stdlib.h>
#include <string.h>

typedef struct Warner {
    const Module *module;
    const Lowered *lowered;
    Reach reach;
} Warner;

/* `sum3` and its like name what has no name in the text. */
static bool is_made_up(const char *name)
{
    static const char *const makers[] = {"sum", "mean", "max", "min", "lse", "count"};
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) {
        const size_t length = strlen(makers[i]);
        if (strncmp(name, makers[i], length) == 0 && name[length] && strspn(name + length, "0123456789") == strlen(name + length))
            return true;
    }
    return false;
}

static void end_print(const ReachEnd *end, Str *out)
{
    if (end->kind == END_METRIC || end->kind == END_STATE)
        str_printf(out, "the %s `%s` reads it and is no loss", end->kind == END_METRIC ? "metric" : "new value of the state", end->name);
    else if (end->kind == END_UNUSED)
        str_printf(out, "no loss depends on `%s`, which is computed from it", end->name);
    else {
        if (is_made_up(end->name))
            str_append(out, "a value");
        else
            str_printf(out, "`%s`", end->name);
        str_append(out, end->kind == END_CANCELS      ? " is the same whatever it is: a share of one is always 1"
                        : end->kind == END_TAKEN_AWAY ? " subtracts it again or multiplies it by 0: in a sum of all terms none depends on it"
                        : end->kind == END_NO_POINT   ? " has no point: nothing satisfies its conditions"
                        : end->kind == END_STOP       ? " reads it inside `stop`"
                                                      : " only ranks, compares or rounds by it");
    }
}

static const char *path_of(const Warner *warner, int item) { return warner->lowered->program->bindings[warner->reach.items[item].formal].path; }

static Span declared(const Warner *warner, int item)
{
    const Unit *main = warner->lowered->program->main;
    return main->tensors[main->formals[warner->reach.items[item].formal]].span;
}

static bool same_span(Span a, Span b) { return a.file == b.file && a.begin == b.begin && a.end == b.end; }

static const char *reasons(const Warner *warner, int item)
{
    const Unreached *unreached = &warner->reach.items[item];
    Str text = {0};
    for (int i = 0; i < unreached->end_count; i++) {
        str_append(&text, i ? "; " : "");
        end_print(&unreached->ends[i], &text);
    }
    const char *copy = arena_strdup(warner->module->arena, str_text(&text));
    str_free(&text);
    return copy;
}

static void label_once(const Warner *warner, Diagnostic *diag, Span span, const char *text)
{
    bool known = span.file < 0 || same_span(span, diag->span);
    for (int i = 0; i < diag->label_count; i++)
        known = known || same_span(diag->labels[i].span, span);
    if (!known)
        diag_label(warner->module->diags, diag, span, "%s", text);
}

/* A note for each set of reasons, with the parameters that have it. */
static void add_reasons(const Warner *warner, Diagnostic *diag, const int *items, int count)
{
    bool *done = ARENA_ARRAY(warner->module->arena, bool, count + 1);
    for (int i = 0; i < count; i++) {
        const Unreached *unreached = &warner->reach.items[items[i]];
        const char *why = reasons(warner, items[i]);
        Str names = {0};
        for (int k = i; k < count; k++)
            if (!done[k] && strcmp(reasons(warner, items[k]), why) == 0) {
                str_printf(&names, "%s`%s`", names.length ? ", " : "", path_of(warner, items[k]));
                done[k] = true;
            }
        if (names.length > 0)
            diag_note(warner->module->diags, diag, "%s: %s", str_text(&names), why);
        for (int k = 0; k < unreached->end_count; k++)
            label_once(warner, diag, unreached->ends[k].span, "the way to the losses ends here");
        str_free(&names);
    }
    for (int i = 0; i < count; i++)
        label_once(warner, diag, declared(warner, items[i]), "declared here");
}

/* An item and the place of its line: where the line stands that takes the parameter first, or the parameter's declaration if that is none. */
typedef struct Placed {
    Span place;
    int item;
} Placed;

static int compare(const void *a, const void *b)
{
    const Placed *x = a, *y = b;
    if (x->place.file != y->place.file)
        return x->place.file < y->place.file ? -1 : 1;
    if (x->place.begin != y->place.begin)
        return x->place.begin < y->place.begin ? -1 : 1;
    if (x->place.end != y->place.end)
        return x->place.end < y->place.end ? -1 : 1;
    return (x->item > y->item) - (x->item < y->item);
}

static Placed *place_all(const Warner *warner, const bool *frozen, int *count)
{
    const Lowered *lowered = warner->lowered;
    const int calls = lowered->program->main->op_count;
    Span *lines = ARENA_ARRAY(warner->module->arena, Span, calls + 1);
    Placed *placed = ARENA_ARRAY(warner->module->arena, Placed, warner->reach.count + 1);
    for (int i = 0; i < calls; i++)
        lines[i] = span_none();
    for (int i = 0; i < lowered->line_count; i++)
        if (lowered->lines[i].call >= 0)
            lines[lowered->lines[i].call] = lowered->lines[i].span;
    *count = 0;
    for (int i = 0; i < warner->reach.count; i++) {
        const Span line = lines[warner->reach.items[i].call];
        if (!frozen || !frozen[warner->reach.items[i].formal])
            placed[(*count)++] = (Placed){line.file >= 0 ? line : declared(warner, i), i};
    }
    qsort(placed, (size_t)*count, sizeof *placed, compare);
    return placed;
}

/* All items of one place: of those declared at one place the first is named. */
static void warn(const Warner *warner, const Placed *placed, int count)
{
    Diagnostics *diags = warner->module->diags;
    int *named = ARENA_ARRAY(warner->module->arena, int, count + 1), names = 0, more = 0;
    Str list = {0};
    for (int i = 0; i < count; i++) {
        bool known = false;
        for (int k = 0; k < names; k++)
            known = known || same_span(declared(warner, named[k]), declared(warner, placed[i].item));
        more += known;
        if (known)
            continue;
        str_printf(&list, "%s`%s`", names ? ", " : "", path_of(warner, placed[i].item));
        named[names++] = placed[i].item;
    }
    const char *others = more > 0 ? arena_printf(warner->module->arena, " (and %d more like %s)", more, names == 1 ? "it" : "them") : "";
    Diagnostic *diag = diag_add(diags, DIAG_W0508, placed->place, "no loss reaches %s%s: the gradient is always 0", str_text(&list), others);
    add_reasons(warner, diag, named, names);
    diag_fix(diags, diag, "choose attributes with which a loss depends on %s, or `--freeze` %s if that is meant", names == 1 ? "it" : "them", names == 1 ? "it" : "them");
    str_free(&list);
}

void unreached_warn(const Module *module, const Lowered *lowered, const bool *frozen)
{
    if (lowered->cross_entropy < 0) /* of a block, or a model without a head, which is another warning */
        return;
    const Warner warner = {module, lowered, reach_losses(module->arena, lowered->program)};
    int count;
    const Placed *placed = place_all(&warner, frozen, &count);
    for (int begin = 0, end; begin < count; begin = end) {
        for (end = begin + 1; end < count && same_span(placed[end].place, placed[begin].place);)
            end++;
        warn(&warner, placed + begin, end - begin);
    }
}
