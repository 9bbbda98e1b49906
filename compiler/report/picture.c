/* From the lines of a lowered model to a picture: scopes, repetitions and branches become a tree, with the parameters of each part. */
#include "report/picture.h"

#include "run/path_index.h"
#include "support/vec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Parameters {
    double total, activated;
} Parameters;

typedef struct Maker {
    Arena *arena;
    const Module *module;
    const Lowered *lowered;
    const ProgramCost *cost;
    int count; /* lines that are drawn: each first repetition */
    const LineInfo **lines;
    Parameters *parameters; /* [count]: of every call of the line or below it, in all repetitions */
    PointerMap colors;      /* of layers, by name */
    double total;
} Maker;

/* ---- numbers and words ---- */

const char *picture_count(Arena *arena, double value)
{
    static const char UNITS[] = " KMBT";
    int power = 0;
    while (value >= 999.95 && UNITS[power + 1]) {
        value /= 1000;
        power++;
    }
    return power == 0 ? arena_printf(arena, "%.0f", value) : arena_printf(arena, "%.*f %c", value >= 99.95 ? 1 : value >= 9.995 ? 2 : 3, value, UNITS[power]);
}

int picture_columns(const char *text)
{
    int columns = 0;
    for (; *text; text++)
        columns += ((unsigned char)*text & 0xC0) != 0x80;
    return columns;
}

const char *picture_title(Arena *arena, const Picture *picture)
{
    switch (picture->kind) {
    case PICTURE_REPEAT: return arena_printf(arena, "%lld ×%s", (long long)picture->count, picture->shared ? " with the same weights" : "");
    case PICTURE_AT: return arena_printf(arena, "at %lld wide", (long long)picture->width);
    case PICTURE_PARALLEL: return "parallel: on one input, all added";
    case PICTURE_LINE:
    case PICTURE_BLOCK:
    case PICTURE_BRANCH: break;
    }
    return picture->name;
}

static void summarise(Arena *arena, PictureSheet *sheet)
{
    Picture *summary = &sheet->summary;
    summary->details = ARENA_ARRAY(arena, const char *, 4);
    summary->details[summary->detail_count++] = arena_printf(arena, "%s parameters", picture_count(arena, sheet->total));
    if (sheet->sparse)
        summary->details[summary->detail_count++] = arena_printf(arena, "a token meets %s in products", picture_count(arena, sheet->activated));
    if (sheet->vocab) {
        summary->details[summary->detail_count++] = arena_printf(arena, "context %lld", (long long)sheet->context);
        summary->details[summary->detail_count++] = arena_printf(arena, "vocabulary %lld", (long long)sheet->vocab);
    }
}

/* Where a text of more columns is cut: behind a bracket, comma or blank if one is near enough, else anywhere. In bytes. */
static size_t cut_at(const char *text, int columns)
{
    size_t at = 0, good = 0;
    for (int column = 0; text[at] && column < columns; column++) {
        do
            at++;
        while (((unsigned char)text[at] & 0xC0) == 0x80);
        if (strchr("( ,", text[at - 1]) && column >= columns / 3)
            good = at;
    }
    return text[at] && good ? good : at;
}

typedef struct Wrap {
    Arena *arena;
    VEC(const char *) lines;
    const char *line;
    int first, columns;
} Wrap;

static int room(const Wrap *wrap) { return wrap->lines.count == 0 ? wrap->first : wrap->columns; }

static void wrap_end(Wrap *wrap)
{
    vec_push(&wrap->lines, wrap->line);
    wrap->line = "";
}

static void wrap_add(Wrap *wrap, const char *detail)
{
    const char *longer = *wrap->line ? arena_printf(wrap->arena, "%s · %s", wrap->line, detail) : detail;
    if (picture_columns(longer) <= room(wrap)) {
        wrap->line = longer;
        return;
    }
    if (*wrap->line || wrap->lines.count == 0)
        wrap_end(wrap);
    while (picture_columns(detail) > room(wrap) && room(wrap) > 0) {
        const size_t length = cut_at(detail, room(wrap));
        wrap->line = arena_strndup(wrap->arena, detail, length);
        wrap_end(wrap);
        detail += length;
    }
    wrap->line = detail;
}

int picture_wrap(Arena *arena, const Picture *picture, int first, int columns, const char ***lines)
{
    Wrap wrap = {.arena = arena, .line = "", .first = first, .columns = columns > 1 ? columns : 1};
    for (int i = 0; i < picture->detail_count; i++)
        wrap_add(&wrap, picture->details[i]);
    if (*wrap.line)
        wrap_end(&wrap);
    const int count = wrap.lines.count;
    *lines = arena_memdup(arena, wrap.lines.items, (size_t)count * sizeof **lines);
    vec_free(&wrap.lines);
    return count;
}

/* ---- paths ---- */

static const char *folded(Arena *arena, const char *path)
{
    char *copy = arena_strdup(arena, path), *to = copy;
    for (const char *from = path; *from; from++) {
        if (*from == '[')
            from += strcspn(from, "]");
        else
            *to++ = *from;
    }
    *to = '\0';
    return copy;
}

static void sum_parameters(Maker *maker)
{
    PathIndex lines = path_index_new();
    maker->parameters = ARENA_ARRAY(maker->arena, Parameters, maker->count + 1);
    for (int i = 0; i < maker->count; i++)
        (void)path_index_add(&lines, folded(maker->arena, maker->lines[i]->path), i);
    for (int c = 0; c < maker->cost->call_count; c++) {
        const CallCost *call = &maker->cost->calls[c];
        const char *path = folded(maker->arena, call->path);
        size_t at = 0;
        for (int i; (i = path_index_next(&lines, path, &at)) >= 0;) {
            maker->parameters[i].total += (double)counts_total(call->first);
            maker->parameters[i].activated += call->first.activated;
        }
    }
    path_index_free(&lines);
}

/* 5/4 as 1.25 where that is exact; values come as reduced quotients. */
static const char *with_decimals(Arena *arena, const char *text)
{
    Str out = {0};
    while (*text) {
        char *end, *after;
        const bool digit = *text >= '0' && *text <= '9';
        const long long numerator = digit ? strtoll(text, &end, 10) : 0;
        long long rest = digit && *end == '/' ? strtoll(end + 1, &after, 10) : 0;
        const long long denominator = rest;
        while (rest > 1 && rest % 2 == 0)
            rest /= 2;
        while (rest > 1 && rest % 5 == 0)
            rest /= 5;
        if (rest == 1)
            str_printf(&out, "%.9g", (double)numerator / (double)denominator);
        else
            str_append_n(&out, text, digit ? (size_t)(end - text) : 1);
        text = rest == 1 ? after : digit ? end : text + 1;
    }
    const char *copy = arena_strdup(arena, str_text(&out));
    str_free(&out);
    return copy;
}

/* ---- lines ---- */

static Picture *picture_new(const Maker *maker, PictureKind kind, const char *name)
{
    Picture *picture = ARENA_NEW(maker->arena, Picture);
    *picture = (Picture){.kind = kind, .name = name, .color = PICTURE_GREY};
    return picture;
}

/* The room doubles: it is a power of two, or 0. */
static void add_child(const Maker *maker, Picture *parent, Picture *child)
{
    const int count = parent->child_count;
    if ((count & (count - 1)) == 0) {
        Picture **children = ARENA_ARRAY(maker->arena, Picture *, count ? 2 * count : 1);
        if (count > 0)
            memcpy(children, parent->children, (size_t)count * sizeof(Picture *));
        parent->children = children;
    }
    parent->children[parent->child_count++] = child;
}

/* Layers in the order they are declared, those of other files before those of the asking one. */
static void number_colors(Maker *maker)
{
    int number = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < maker->module->item_count; i++) {
            const Node *item = maker->module->items[i].node;
            if ((maker->module->items[i].file == 0) != (pass == 1) || item->kind != NODE_DEFINITION || item->op != AST_DEF_LAYER)
                continue;
            if (pointer_map_find(&maker->colors, item->name) < 0)
                pointer_map_set(&maker->colors, item->name, number % PICTURE_COLORS);
            number++;
        }
}

/* Norms are grey. */
static int color_of(const Maker *maker, Symbol name)
{
    const int color = pointer_map_find(&maker->colors, name);
    return color < 0 ? PICTURE_GREY : color;
}

/* `mix` of "pair_0[2].mix[1]"; NULL where it is the definition's name and a number. */
static const char *own_label(const Maker *maker, const LineInfo *line)
{
    const char *path = folded(maker->arena, line->path), *dot = strrchr(path, '.'), *label = dot ? dot + 1 : path;
    const size_t length = strlen(line->definition);
    return line->node->name && strncmp(label, line->definition, length) == 0 && label[length] == '_' ? NULL : line->node->name;
}

static Picture *line_picture(const Maker *maker, int number)
{
    const LineInfo *line = maker->lines[number];
    Arena *arena = maker->arena;
    Picture *picture = picture_new(maker,
                                   line->call >= 0                     ? PICTURE_LINE
                                   : line->node->kind == NODE_PARALLEL ? PICTURE_PARALLEL
                                   : line->node->kind == NODE_AT       ? PICTURE_AT
                                                                       : PICTURE_BLOCK,
                                   line->definition);
    picture->label = own_label(maker, line);
    picture->wired = line->wired;
    picture->width = line->width;
    picture->color = color_of(maker, line->definition);
    picture->details = ARENA_ARRAY(arena, const char *, line->attribute_count + 3);
    for (int i = 0; i < line->attribute_count; i++)
        if (line->attributes[i].told)
            picture->details[picture->detail_count++] = arena_printf(arena, "%s %s", line->attributes[i].name, with_decimals(arena, line->attributes[i].value));
    if (line->norm)
        picture->details[picture->detail_count++] = arena_printf(arena, "norm %s", with_decimals(arena, line->norm));
    if (line->wiring)
        picture->details[picture->detail_count++] = arena_printf(arena, "wiring %s", line->wiring);
    picture->total = maker->parameters[number].total;
    picture->activated = maker->parameters[number].activated;
    picture->share = maker->total > 0 ? picture->total / maker->total : 0;
    return picture;
}

/* ---- the tree ---- */

static Picture *build_line(const Maker *maker, int *at);

/* The repetitions that begin at this depth, outermost first. */
static int repeats_at(const LineInfo *line, const RepeatInfo **chain, int max)
{
    int count = 0;
    for (const RepeatInfo *repeat = line->repeat; repeat; repeat = repeat->outer)
        count += repeat->depth == line->depth;
    int i = count;
    for (const RepeatInfo *repeat = line->repeat; repeat; repeat = repeat->outer)
        if (repeat->depth == line->depth && --i < max)
            chain[i] = repeat;
    return count < max ? count : max;
}

enum { REPEATS_MAX = 64 };

/* Lines of one depth (and branch, if it is not -1), repetitions around those that are in them. */
static void build_lines(const Maker *maker, int *at, int depth, int branch, Picture *parent)
{
    const RepeatInfo *open[REPEATS_MAX], *chain[REPEATS_MAX];
    Picture *scopes[REPEATS_MAX + 1] = {parent};
    int opened = 0;
    while (*at < maker->count && maker->lines[*at]->depth == depth && (branch < 0 || maker->lines[*at]->branch == branch)) {
        const int count = repeats_at(maker->lines[*at], chain, REPEATS_MAX);
        int same = 0;
        while (same < count && same < opened && open[same] == chain[same])
            same++;
        for (opened = same; opened < count; opened++) {
            Picture *repeat = picture_new(maker, PICTURE_REPEAT, "repeat");
            repeat->count = chain[opened]->count;
            repeat->shared = chain[opened]->shared;
            add_child(maker, scopes[opened], repeat);
            scopes[opened + 1] = repeat;
            open[opened] = chain[opened];
        }
        Picture *child = build_line(maker, at);
        for (int i = 1; i <= opened; i++) {
            scopes[i]->total += child->total;
            scopes[i]->activated += child->activated;
            scopes[i]->share += child->share;
        }
        add_child(maker, scopes[opened], child);
    }
}

static Picture *build_line(const Maker *maker, int *at)
{
    const int number = (*at)++;
    const LineInfo *line = maker->lines[number];
    Picture *picture = line_picture(maker, number);
    if (picture->kind != PICTURE_PARALLEL) {
        build_lines(maker, at, line->depth + 1, -1, picture);
        return picture;
    }
    while (*at < maker->count && maker->lines[*at]->depth == line->depth + 1) {
        Picture *branch = picture_new(maker, PICTURE_BRANCH, "branch");
        build_lines(maker, at, line->depth + 1, maker->lines[*at]->branch, branch);
        add_child(maker, picture, branch);
    }
    return picture;
}

static double largest_share(const Picture *picture)
{
    double largest = picture->kind == PICTURE_LINE ? picture->share : 0;
    for (int i = 0; i < picture->child_count; i++)
        largest = fmax(largest, largest_share(picture->children[i]));
    return largest;
}

PictureSheet *picture_make(const Module *module, const Lowered *lowered)
{
    Arena *arena = module->arena;
    Maker maker = {.arena = arena, .module = module, .lowered = lowered, .cost = program_cost(arena, lowered->program, 1, lowered->context ? lowered->context : 1)};
    PictureSheet *sheet = ARENA_NEW(arena, PictureSheet);
    maker.lines = ARENA_ARRAY(arena, const LineInfo *, lowered->line_count + 1);
    for (int i = 0; i < lowered->line_count; i++) {
        bool first = true;
        for (const RepeatInfo *repeat = lowered->lines[i].repeat; repeat; repeat = repeat->outer)
            first = first && repeat->number == 0;
        if (first)
            maker.lines[maker.count++] = &lowered->lines[i];
    }
    sum_parameters(&maker);
    number_colors(&maker);
    maker.total = sheet->total = (double)counts_total(maker.cost->counts);
    sheet->activated = maker.cost->counts.activated;
    const bool model = lowered->model->kind == NODE_MODEL;
    sheet->kind = model ? "model" : lowered->model->kind == NODE_BLOCK ? "block" : "layer";
    sheet->context = model ? lowered->context : 0;
    sheet->vocab = model ? lowered->vocab : 0;
    sheet->root = picture_new(&maker, PICTURE_BLOCK, lowered->model->name);
    int at = 0;
    build_lines(&maker, &at, 0, -1, sheet->root);
    pointer_map_free(&maker.colors);
    if (!model && sheet->root->child_count == 1 && sheet->root->children[0]->kind == PICTURE_BLOCK)
        sheet->root = sheet->root->children[0];
    sheet->largest = largest_share(sheet->root);
    sheet->sparse = maker.cost->counts.activated < (double)maker.cost->counts.products;
    summarise(arena, sheet);
    return sheet;
}

/* ---- JSON ---- */

json_t *picture_json(const Picture *picture)
{
    static const char *const KINDS[] = {"line", "block", "repeat", "parallel", "branch", "at"};
    json_t *json = json_pack("{s:s, s:s, s:s?, s:f, s:f, s:f}", "kind", KINDS[picture->kind], "name", picture->name, "label", picture->label, "parameters", picture->total,
                             "activated", picture->activated, "share", picture->share);
    if (picture->width)
        json_object_set_new(json, "width", json_integer((json_int_t)picture->width));
    if (picture->kind == PICTURE_REPEAT)
        json_object_update_new(json, json_pack("{s:I, s:b}", "count", (json_int_t)picture->count, "shared", picture->shared));
    json_t *details = json_array(), *children = json_array();
    for (int i = 0; i < picture->detail_count; i++)
        json_array_append_new(details, json_string(picture->details[i]));
    for (int i = 0; i < picture->child_count; i++)
        json_array_append_new(children, picture_json(picture->children[i]));
    json_object_set_new(json, "details", details);
    json_object_set_new(json, "children", children);
    return json;
}
