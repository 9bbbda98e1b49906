/* The report of `check` on a space. */
#include "report/report_space.h"

#include <math.h>
#include <string.h>

/* 12345 as 12_345, the way the language writes it. */
static void print_digits(const char *digits, Str *out)
{
    const size_t length = strlen(digits);
    for (size_t i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            str_push(out, '_');
        str_push(out, digits[i]);
    }
}

enum { GLANCE = 1000000, LINE_POWER = 45 };

/* How large it is: 4.2e21, rounded down, so that what is printed is there. */
static void print_power(Natural value, Str *out)
{
    const double log = natural_log10(value), power = floor(log);
    str_printf(out, "%.1fe%.0f", floor(pow(10, log - power) * 10) / 10, power);
}

/* The number, and how large that is where it cannot be seen at a glance; of those that fill lines, that alone. */
static void print_natural(Arena *arena, Natural value, Str *out)
{
    uint64_t small;
    if (natural_log10(value) < LINE_POWER)
        print_digits(natural_text(arena, value), out);
    if (natural_fits(value, &small) && small < GLANCE)
        return;
    str_append(out, natural_log10(value) < LINE_POWER ? " (" : "");
    print_power(value, out);
    str_append(out, natural_log10(value) < LINE_POWER ? ")" : "");
}

/* In lines of their own. */
static void print_all_digits(Arena *arena, Natural value, int width, Str *out)
{
    enum { DIGITS = 60 };
    const char *digits = natural_text(arena, value);
    for (size_t length = strlen(digits), at = 0; at < length; at += DIGITS)
        str_printf(out, "\n  %-*s %.*s", width, at ? "" : "exactly", DIGITS, digits + at);
}

static void print_range(int least, int most, Str *out)
{
    if (least == most)
        str_printf(out, "%d", least);
    else
        str_printf(out, "%d .. %d", least, most);
}

static bool any_number(const Space *space, const SpaceKind *kind) { return kind->least == 0 && kind->most >= space->longest; }

static void print_lets(const Space *space, unsigned lets, Str *out)
{
    bool first = true;
    for (int i = 0; i < space->let_count; i++)
        if (lets >> i & 1) {
            str_printf(out, "%s%s", first ? " for each " : ", ", space->lets[i].name);
            first = false;
        }
}

static int names_width(const Space *space)
{
    size_t width = 10;
    for (int k = 0; k < space->kind_count; k++)
        width = strlen(space->kinds[k].definition) > width ? strlen(space->kinds[k].definition) : width;
    for (int i = 0; i < space->let_count; i++)
        width = strlen(space->lets[i].name) > width ? strlen(space->lets[i].name) : width;
    return (int)width;
}

static void print_space(Arena *arena, const Space *space, Str *out)
{
    const int width = names_width(space);
    str_printf(out, "%sspace %s: %s", out->length ? "\n" : "", space->node->name, space->exact ? "" : "at most ");
    print_natural(arena, space->size, out);
    str_printf(out, " blocks\n  %-*s ", width, "lines");
    print_range(space->shortest, space->longest, out);
    for (int k = 0; k < space->kind_count; k++) {
        const SpaceKind *kind = &space->kinds[k];
        str_printf(out, "\n  %-*s ", width, kind->definition);
        if (any_number(space, kind))
            str_append(out, "any number");
        else
            print_range(kind->least, kind->most, out);
        str_append(out, " of them, each one of ");
        print_natural(arena, kind->variants, out);
        print_lets(space, kind->lets, out);
    }
    for (int i = 0; i < space->let_count; i++) {
        str_printf(out, "\n  %-*s one of ", width, space->lets[i].name);
        print_natural(arena, space->lets[i].values, out);
        str_append(out, " for the whole block");
    }
    uint64_t once;
    if (!natural_fits(space->once, &once) || once > 1) {
        str_printf(out, "\n  %-*s ", width, "times");
        print_natural(arena, space->once, out);
        str_append(out, " for the block's width, norm and wiring");
    }
    if (natural_log10(space->size) >= LINE_POWER)
        print_all_digits(arena, space->size, width, out);
    if (space->bound_count)
        str_printf(out, "\n  %-*s %d, which take out members when they are looked at: the number is before that", width, "bounds", space->bound_count);
    if (!space->exact)
        str_printf(out, "\n  %-*s two entries, or values, may allow equal lines: such blocks are counted more than once", width, "overlap");
    if (space->start)
        str_printf(out, "\n  %-*s %s, %s%s", width, "start", space->start, space->start_differs ? "no member: " : "a member", space->start_differs ? space->start_differs : "");
    str_push(out, '\n');
}

static json_t *kinds_json(Arena *arena, const Space *space)
{
    json_t *kinds = json_array();
    for (int k = 0; k < space->kind_count; k++) {
        const SpaceKind *kind = &space->kinds[k];
        json_t *lets = json_array();
        for (int i = 0; i < space->let_count; i++)
            if (kind->lets >> i & 1)
                json_array_append_new(lets, json_string(space->lets[i].name));
        json_array_append_new(kinds, json_pack("{s:s, s:i, s:i, s:s, s:o}", "definition", kind->definition, "least", kind->least, "most",
                                               kind->most < space->longest ? kind->most : space->longest, "variants", natural_text(arena, kind->variants), "lets", lets));
    }
    return kinds;
}

/* Counts are decimal text: they need not fit a number of JSON. */
static json_t *space_json(Arena *arena, const Space *space)
{
    json_t *lets = json_array();
    for (int i = 0; i < space->let_count; i++)
        json_array_append_new(lets, json_pack("{s:s, s:s}", "name", space->lets[i].name, "values", natural_text(arena, space->lets[i].values)));
    json_t *json = json_pack("{s:s, s:s, s:f, s:b, s:i, s:i, s:o, s:o, s:s, s:i}", "space", space->node->name, "size", natural_text(arena, space->size), "size_log10",
                             natural_log10(space->size), "exact", space->exact, "shortest", space->shortest, "longest", space->longest, "entries", kinds_json(arena, space), "lets",
                             lets, "once", natural_text(arena, space->once), "bounds", space->bound_count);
    if (space->start)
        json_object_set_new(json, "start", json_pack("{s:s, s:b, s:s?}", "block", space->start, "member", !space->start_differs, "differs", space->start_differs));
    return json;
}

void report_space(Arena *arena, const Space *space, Str *out, json_t *spaces)
{
    json_array_append_new(spaces, space_json(arena, space));
    print_space(arena, space, out);
}
