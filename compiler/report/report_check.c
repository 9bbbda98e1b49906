/* The report of `check`: a verdict on what the model reads, then a table of its lines. Repetitions that cost the same share a row. */
#include "report/report_check.h"

#include "run/path_index.h"
#include "ir/ledger.h"
#include "lower/verdict.h"
#include "support/hash.h"
#include "support/pointer_map.h"
#include "support/vec.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A line of the model, or a scope with all that stands in it. */
typedef struct Row {
    const LineInfo *line;
    uint64_t key; /* of its path without repetitions */
    Counts counts;
    double activated;
    Work work;
    const UnitCost *cost; /* NULL for scopes */
    Effect effect;        /* in evaluation; of lines only */
    Str path;             /* repetitions folded: pair_0[0..2].ffn_0 */
    int64_t repeats;
    int next; /* row with the same key that repeats none, -1 */
} Row;

typedef struct Report {
    const Module *module;
    const Lowered *lowered;
    Arena *arena;
    const ProgramCost *cost;
    Counts counts; /* of all modes: training's, and what only evaluation or decoding has */
    int64_t untrained;
    Verdict verdict, training;
    int row_count;
    Row *rows;
} Report;

/* ---- rows ---- */

/* A scope counts what is shared inside it once. */
static void row_add(Row *row, const CallCost *call)
{
    row->counts.products += call->first.products;
    row->counts.tables += call->first.tables;
    row->counts.others += call->first.others;
    row->activated += row->line->call < 0 ? call->first.activated : call->activated;
    row->work.forward += call->cost->work.forward;
    row->work.backward += call->cost->work.backward;
    row->work.products += call->cost->work.products;
    row->work.kept_bytes += call->cost->work.kept_bytes;
}

static Effect line_effect(const Verdict *verdict, const Unit *unit)
{
    const UnitEffects *effects = effects_of(verdict->effects, unit);
    FutureRead read;
    Effect effect = effect_none();
    for (int o = 0; effects && o < unit->output_count; o++) {
        if (unit->outputs[o].kind != OUTPUT_RESULT)
            continue;
        effect = effects->outputs[o];
        effect.future = !effect_causal(effect) && effects_future(verdict->effects, unit, o, &read);
    }
    return effect;
}

/* Equal for paths that differ in repetitions only. */
static uint64_t key_without_repetition(const char *path)
{
    uint64_t key = 0;
    bool inside = false;
    for (; *path; path++) {
        inside = *path == '[' || (inside && *path != ']');
        if (!inside)
            key = hash_mix(key, (uint64_t)(unsigned char)*path);
    }
    return key;
}

/* What was added up at the first of several scopes of one path, which are repetitions of the same weights, is the work of all of them; the weights count there. */
static void share_work(const Report *report, const int *first)
{
    int *uses = ARENA_ARRAY(report->arena, int, report->row_count + 1);
    for (int i = 0; i < report->row_count; i++)
        uses[first[i]]++;
    for (int i = 0; i < report->row_count; i++) {
        Work *work = &report->rows[i].work;
        const double share = 1.0 / uses[first[i]];
        if (i != first[i] || uses[i] == 1)
            continue;
        *work = (Work){.forward = work->forward * share, .backward = work->backward * share, .products = work->products * share, .kept_bytes = work->kept_bytes * share};
    }
    for (int i = 0; i < report->row_count; i++)
        if (i != first[i])
            report->rows[i].work = report->rows[first[i]].work;
}

/* A scope is all calls below its path: those of `parallel` and `at` have some of their own. */
static void fill_scopes(Report *report)
{
    PathIndex scopes = path_index_new();
    int *first = ARENA_ARRAY(report->arena, int, report->row_count + 1); /* repetitions of the same weights have one path */
    for (int i = 0; i < report->row_count; i++)
        first[i] = report->rows[i].line->call < 0 ? path_index_add(&scopes, report->rows[i].line->path, i) : i;
    for (int c = 0; c < report->cost->call_count; c++) {
        size_t at = 0;
        for (int i; (i = path_index_next(&scopes, report->cost->calls[c].path, &at)) >= 0;)
            row_add(&report->rows[i], &report->cost->calls[c]);
    }
    share_work(report, first);
    path_index_free(&scopes);
}

static void make_rows(Report *report, const Lowered *evaluated)
{
    report->rows = ARENA_ARRAY(report->arena, Row, report->lowered->line_count + 1);
    report->row_count = report->lowered->line_count;
    const CallCost **calls = ARENA_ARRAY(report->arena, const CallCost *, report->lowered->program->main->op_count + 1); /* by operation */
    for (int c = 0; c < report->cost->call_count; c++)
        calls[report->cost->calls[c].op] = &report->cost->calls[c];
    for (int i = 0; i < report->row_count; i++) {
        Row *row = &report->rows[i];
        const LineInfo *line = &report->lowered->lines[i];
        *row = (Row){.line = line, .key = key_without_repetition(line->path), .repeats = 1, .next = -1};
        if (line->call >= 0 && calls[line->call]) {
            row_add(row, calls[line->call]);
            row->cost = calls[line->call]->cost;
        }
        const int other = i < evaluated->line_count ? evaluated->lines[i].call : -1;
        if (line->call >= 0 && other >= 0)
            row->effect = line_effect(&report->verdict, evaluated->program->main->ops[other].callee);
    }
    fill_scopes(report);
}

/* ---- parameters of other modes ---- */

typedef VEC(Symbol) Paths;

static int by_address(const void *a, const void *b)
{
    const uintptr_t x = (uintptr_t) * (const Symbol *)a, y = (uintptr_t) * (const Symbol *)b;
    return (x > y) - (x < y);
}

static void add_paths(Paths *paths, const Program *program)
{
    for (int f = 0; f < program->main->formal_count; f++)
        if (program->bindings[f].role == TENSOR_PARAM)
            vec_push(paths, program->bindings[f].path);
    qsort(paths->items, (size_t)paths->count, sizeof *paths->items, by_address);
}

static bool has_path(const Paths *paths, Symbol path) { return paths->count > 0 && bsearch(&path, paths->items, (size_t)paths->count, sizeof *paths->items, by_address); }

static void count_at(Counts *counts, const ParamCost *param)
{
    *(param->use == PARAM_PRODUCT ? &counts->products : param->use == PARAM_TABLE ? &counts->tables : &counts->others) += param->elements;
}

/* Where its line stands first, and in every scope around that. */
static void count_in_rows(Report *report, const PathIndex *rows, Symbol path, const ParamCost *param)
{
    size_t at = 0;
    for (int i; (i = path_index_next(rows, path, &at)) >= 0;)
        count_at(&report->rows[i].counts, param);
}

static void add_mode(Report *report, const PathIndex *rows, const Program *program, const Paths *known)
{
    const ProgramCost *cost = NULL;
    for (int f = 0; f < program->main->formal_count; f++) {
        const Binding *binding = &program->bindings[f];
        if (binding->role != TENSOR_PARAM || has_path(known, binding->path))
            continue;
        cost = cost ? cost : program_cost(report->arena, program, report->cost->batch, report->cost->length);
        count_at(&report->counts, &cost->params[f]);
        count_in_rows(report, rows, binding->path, &cost->params[f]);
        report->untrained += cost->params[f].elements;
    }
}

/* A checkpoint holds what any mode reads: training's parameters, then those that only another mode has, each once. */
static void add_modes(Report *report, const OtherModes *others)
{
    Paths known = {0};
    PathIndex rows = path_index_new();
    for (int i = 0; i < report->row_count; i++)
        (void)path_index_add(&rows, report->rows[i].line->path, i); /* repetitions of the same weights have one path: they count at the first */
    report->counts = report->cost->counts;
    add_paths(&known, report->lowered->program);
    for (int m = 0; m < others->count; m++) {
        add_mode(report, &rows, others->lowered[m]->program, &known);
        add_paths(&known, others->lowered[m]->program);
    }
    path_index_free(&rows);
    vec_free(&known);
}

/* ---- repetitions ---- */

/* pair_0[12].ffn_0 → pair_0[].ffn_0: what repetitions have in common. */
static bool same_but_repetition(const char *a, const char *b)
{
    while (*a && *b) {
        if (*a == '[' && *b == '[') {
            a = strchr(a, ']');
            b = strchr(b, ']');
            if (!a || !b)
                return false;
        }
        if (*a++ != *b++)
            return false;
    }
    return *a == *b;
}

static bool same_cost(const Row *a, const Row *b)
{
    return a->counts.products == b->counts.products && a->counts.tables == b->counts.tables && a->counts.others == b->counts.others && a->work.forward == b->work.forward &&
           a->cost == b->cost && a->line->depth == b->line->depth;
}

/* The row that this one repeats, if any; both cost the same. `last`: where the chain of rows with its key ends. */
static Row *first_of(Report *report, int first, const Row *row, Row **last)
{
    for (int i = first; i >= 0; i = report->rows[i].next) {
        *last = &report->rows[i];
        if ((*last)->key == row->key && same_but_repetition((*last)->line->path, row->line->path) && same_cost(*last, row))
            return *last;
    }
    return NULL;
}

static void fold_rows(Report *report)
{
    PointerMap heads = {0};
    for (int i = 0; i < report->row_count; i++) {
        Row *row = &report->rows[i], *last = NULL;
        const void *key = (const void *)(uintptr_t)(row->key | 1); /* no key is NULL */
        const int head = pointer_map_find(&heads, key);
        Row *first = first_of(report, head, row, &last);
        if (first) {
            first->repeats++;
            row->repeats = 0;
        } else if (last) {
            last->next = i;
        } else {
            pointer_map_set(&heads, key, i);
        }
    }
    pointer_map_free(&heads);
}

/* ---- numbers ---- */

static const char *scaled(const Report *report, double value, const char *units)
{
    int power = 0;
    while (value >= 999.95 && units[power + 1]) {
        value /= 1000;
        power++;
    }
    const char *format = power == 0 && value == (double)(int64_t)value ? "%.0f" : value >= 99.995 ? "%.1f" : value >= 9.9995 ? "%.2f" : "%.3f";
    char text[48];
    (void)snprintf(text, sizeof text, format, value);
    return power ? arena_printf(report->arena, "%s %c", text, units[power]) : arena_strdup(report->arena, text);
}

static const char *count_text(const Report *report, double value) { return scaled(report, value, " KMBT"); }
static const char *size_text(const Report *report, double value) { return scaled(report, value, " KMGTP"); }

/* ---- text ---- */

static void print_place(const Report *report, Span span, Str *out)
{
    const Source *source = span.file >= 0 ? diag_source(report->module->diags, span.file) : NULL;
    int line, column;
    if (!source)
        return;
    const char *name = strrchr(source->path, '/');
    diag_position(source, span.begin, &line, &column);
    str_printf(out, "%s:%d", name ? name + 1 : source->path, line);
}

/* by mix_1 at model.bfm:7: later positions are read at library.bfm:78 */
static void print_leak(const Report *report, const Verdict *verdict, Str *out)
{
    if (verdict->step_count == 0)
        return;
    const EffectStep *line = &verdict->steps[0], *leak = &verdict->steps[verdict->step_count - 1];
    str_printf(out, "\n             by %s", line->call ? line->call : line->unit->tensors[line->tensor].name);
    str_append(out, " at ");
    print_place(report, line->span, out);
    if (leak == line)
        return;
    str_append(out, verdict->effect.future ? ": later positions are read at " : ": nothing bounds the positions read at ");
    print_place(report, leak->span, out);
    if (verdict->effect.future)
        str_printf(out, "; of %" PRId64 " positions, %" PRId64 " reads %" PRId64, verdict->read.length, verdict->read.position, verdict->read.reads);
}

static void print_head(const Report *report, Str *out)
{
    const ProgramCost *cost = report->cost;
    const Counts *counts = &report->counts;
    const NodeKind kind = report->lowered->model->kind;
    str_printf(out, "%s %s at %" PRId64 " × %" PRId64 " tokens\n  effects    ",
               kind == NODE_MODEL   ? "model"
               : kind == NODE_BLOCK ? "block"
                                    : "layer",
               report->lowered->model->name, cost->batch, cost->length);
    verdict_print(report->verdict.effect, out);
    print_leak(report, &report->verdict, out);
    if (effect_causal(report->verdict.effect) && !effect_causal(report->training.effect)) {
        str_append(out, report->training.effect.future ? "\n  training   reads the future; what is evaluated does not"
                                                       : "\n  training   cannot be shown to be causal; what is evaluated is");
        print_leak(report, &report->training, out);
    }
    str_printf(out, "\n  parameters %s in products, of which a token meets %s; %s in tables of the vocabulary, %s others\n", count_text(report, (double)counts->products),
               count_text(report, counts->activated), count_text(report, (double)counts->tables), count_text(report, (double)counts->others));
    if (report->untrained > 0)
        str_printf(out, "             %s of them only evaluation or decoding reads\n", count_text(report, (double)report->untrained));
    str_printf(out, "  work       %sflop forward, %sflop backward, %s and %s a token\n", size_text(report, cost->work.forward), size_text(report, cost->work.backward),
               size_text(report, cost->work.forward / (double)(cost->batch * cost->length)), size_text(report, cost->work.backward / (double)(cost->batch * cost->length)));
    str_printf(out, "  memory     %sB of parameters, %sB kept for the backward pass\n\n", size_text(report, 4 * (double)counts_total(*counts)),
               size_text(report, cost->work.kept_bytes));
}

/* Below its scope a line is shown without the scope's path. */
static const char *shown_path(const Report *report, const Row *row)
{
    const char *path = row->line->path;
    for (int depth = row->line->depth; depth > 0; depth--) {
        const char *dot = strchr(path, '.');
        path = dot ? dot + 1 : path;
    }
    const char *bracket = strchr(path, '[');
    const int length = bracket ? (int)(bracket - path) : (int)strlen(path);
    return row->repeats > 1 ? arena_printf(report->arena, "%*s%" PRId64 " × %.*s", 2 * row->line->depth, "", row->repeats, length, path)
                            : arena_printf(report->arena, "%*s%s", 2 * row->line->depth, "", path);
}

/* Columns on a screen: continuation bytes of UTF-8 take none. */
static int text_width(const char *text)
{
    int width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static void print_cell(const char *text, int width, Str *out)
{
    str_repeat(out, ' ', width - text_width(text));
    str_append(out, text);
}

static void print_row(const Report *report, const char *name, int width, double parameters, double activated, const Work *work, double times, Str *out)
{
    str_append(out, "  ");
    str_append(out, name);
    str_repeat(out, ' ', width - text_width(name));
    print_cell(count_text(report, times * parameters), 12, out);
    print_cell(count_text(report, times * activated), 12, out);
    print_cell(size_text(report, times * work->forward), 12, out);
    print_cell(size_text(report, times * work->backward), 12, out);
    print_cell(size_text(report, times * work->kept_bytes), 12, out);
}

static void print_table(const Report *report, Str *out)
{
    int width = 16;
    for (int i = 0; i < report->row_count; i++)
        if (report->rows[i].repeats > 0 && text_width(shown_path(report, &report->rows[i])) > width)
            width = text_width(shown_path(report, &report->rows[i]));
    str_printf(out, "  %-*s%12s%12s%12s%12s%12s   reads\n", width, "", "parameters", "activated", "forward", "backward", "kept B");
    for (int i = 0; i < report->row_count; i++) {
        const Row *row = &report->rows[i];
        if (row->repeats == 0)
            continue;
        print_row(report, shown_path(report, row), width, (double)counts_total(row->counts), row->activated, &row->work, (double)row->repeats, out);
        if (row->line->call >= 0) {
            str_append(out, "   ");
            verdict_print_short(row->effect, out);
        }
        str_push(out, '\n');
    }
    print_row(report, "total", width, (double)counts_total(report->counts), report->counts.activated, &report->cost->work, 1, out);
    str_push(out, '\n');
}

/* ---- metrics known beforehand ---- */

/* "router: slots per token 1, served at most 0.5": names in words below the part of the line they speak of. What is 0 whatever the sizes says nothing. */
static void print_fixed(const Report *report, const Row *row, Str *out)
{
    const char *last = "";
    size_t last_length = 0;
    for (int i = 0; row->cost && i < row->cost->fixed_count; i++) {
        const FixedMetric *fixed = &row->cost->fixed[i];
        const char *dot = strrchr(fixed->name, '.'), *word = dot ? dot + 1 : fixed->name;
        const size_t length = (size_t)(word - fixed->name);
        if (fixed->value == 0)
            continue;
        const bool same = out->length > 0 && length == last_length && strncmp(last, fixed->name, length) == 0;
        str_append(out, same ? ", " : out->length ? "; " : "");
        if (!same && dot)
            str_printf(out, "%.*s: ", (int)length - 1, fixed->name);
        for (const char *c = word; *c; c++)
            str_push(out, *c == '_' ? ' ' : *c);
        str_printf(out, " %.4g", fixed->value);
        if (fixed->sized)
            str_printf(out, " at %" PRId64 " × %" PRId64, report->cost->batch, report->cost->length);
        last = fixed->name;
        last_length = length;
    }
}

static const char *folded_path(const Report *report, const Row *row)
{
    Str path = {0};
    for (const char *c = row->line->path; *c; c++) {
        if (*c == '[')
            c += strcspn(c, "]");
        else
            str_push(&path, *c);
    }
    const char *copy = arena_strdup(report->arena, str_text(&path));
    str_free(&path);
    return copy;
}

/* Lines that say the same stand together. */
static void print_known(const Report *report, Str *out)
{
    Str last = {0};
    for (int i = 0; i < report->row_count; i++) {
        Str text = {0};
        if (report->rows[i].repeats > 0)
            print_fixed(report, &report->rows[i], &text);
        if (text.length > 0 && last.length > 0 && strcmp(str_text(&last), str_text(&text)) == 0) {
            str_printf(out, ", %s", folded_path(report, &report->rows[i]));
        } else if (text.length > 0) {
            if (last.length > 0)
                str_printf(out, "\n      %s", str_text(&last));
            str_printf(out, "%s\n    %s", last.length ? "" : "\n  known beforehand", folded_path(report, &report->rows[i]));
            str_free(&last);
            str_append(&last, str_text(&text));
        }
        str_free(&text);
    }
    if (last.length > 0)
        str_printf(out, "\n      %s\n", str_text(&last));
    str_free(&last);
}

/* ---- JSON ---- */

static json_t *end_json(int64_t end) { return end == EFFECT_INFINITY ? json_string("inf") : end == -EFFECT_INFINITY ? json_string("-inf") : json_integer((json_int_t)end); }

static json_t *interval_json(Interval interval) { return interval.empty ? json_null() : json_pack("[o, o]", end_json(interval.low), end_json(interval.high)); }

static json_t *effect_json(Effect effect)
{
    Str words = {0};
    verdict_print_short(effect, &words);
    json_t *json = json_pack("{s:s, s:b, s:b, s:b, s:b, s:b, s:o, s:o}", "verdict", str_text(&words), "token_local", effect_token_local(effect), "causal", effect_causal(effect),
                             "reads_future", effect.future, "batch_independent", effect_batch_independent(effect), "length_dependent", effect_length_dependent(effect), "own",
                             interval_json(effect.own), "cross", interval_json(effect.cross));
    str_free(&words);
    return json;
}

static json_t *path_json(const Report *report, const Verdict *verdict)
{
    json_t *path = json_array();
    for (int i = 0; i < verdict->step_count; i++) {
        const EffectStep *step = &verdict->steps[i];
        const Source *source = step->span.file >= 0 ? diag_source(report->module->diags, step->span.file) : NULL;
        int line = 0, column = 0;
        if (source)
            diag_position(source, step->span.begin, &line, &column);
        json_array_append_new(path, json_pack("{s:s?, s:s, s:s?, s:i, s:i}", "line_path", step->call, "tensor", step->unit->tensors[step->tensor].name, "file",
                                              source ? source->path : NULL, "line", line, "column", column));
    }
    return path;
}

static json_t *counts_json(const Counts *counts, double activated)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:f}", "total", (json_int_t)counts_total(*counts), "products", (json_int_t)counts->products, "tables", (json_int_t)counts->tables,
                     "others", (json_int_t)counts->others, "activated", activated);
}

static json_t *work_json(const Work *work)
{
    return json_pack("{s:f, s:f, s:f, s:f}", "forward_flops", work->forward, "backward_flops", work->backward, "product_flops", work->products, "kept_bytes", work->kept_bytes);
}

static json_t *row_json(const Row *row)
{
    json_t *json = json_pack("{s:s, s:s, s:i, s:b, s:o, s:o}", "path", row->line->path, "definition", row->line->definition, "depth", row->line->depth, "scope",
                             row->line->call < 0, "parameters", counts_json(&row->counts, row->activated), "work", work_json(&row->work));
    if (row->line->call >= 0)
        json_object_set_new(json, "effects", effect_json(row->effect));
    json_t *fixed = json_object(), *sized = json_array();
    for (int i = 0; row->cost && i < row->cost->fixed_count; i++) {
        json_object_set_new(fixed, row->cost->fixed[i].name, json_real(row->cost->fixed[i].value));
        if (row->cost->fixed[i].sized)
            json_array_append_new(sized, json_string(row->cost->fixed[i].name));
    }
    if (json_object_size(fixed) > 0) {
        json_object_set(json, "fixed_metrics", fixed);
        json_object_set(json, "fixed_by_sizes", sized); /* of these, what the batch and the length of the report decide */
    }
    json_decref(fixed);
    json_decref(sized);
    return json;
}

static json_t *model_json(const Report *report)
{
    const ProgramCost *cost = report->cost;
    json_t *lines = json_array();
    for (int i = 0; i < report->row_count; i++)
        json_array_append_new(lines, row_json(&report->rows[i]));
    json_t *json = json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "model", report->lowered->model->name, "vocab", (json_int_t)report->lowered->vocab, "context",
                             (json_int_t)report->lowered->context, "batch", (json_int_t)cost->batch, "length", (json_int_t)cost->length, "parameters",
                             counts_json(&report->counts, report->counts.activated), "work", work_json(&cost->work), "effects", effect_json(report->verdict.effect),
                             "training_effects", effect_json(report->training.effect), "lines", lines);
    json_object_set_new(json_object_get(json, "parameters"), "untrained", json_integer((json_int_t)report->untrained));
    if (report->verdict.step_count > 0)
        json_object_set_new(json, "leak", path_json(report, &report->verdict));
    return json;
}

void report_check(const Module *module, const Lowered *lowered, const OtherModes *others, int64_t batch, int64_t length, Str *out, json_t *models)
{
    const Lowered *evaluated = others->lowered[0];
    Report report = {.module = module,
                     .lowered = lowered,
                     .arena = module->arena,
                     .cost = program_cost(module->arena, lowered->program, batch, length),
                     .verdict = verdict_of(module->arena, evaluated),
                     .training = verdict_of(module->arena, lowered)};
    make_rows(&report, evaluated);
    add_modes(&report, others);
    verdict_warn(module, evaluated, &report.verdict);
    json_array_append_new(models, model_json(&report));
    fold_rows(&report);
    if (out->length > 0)
        str_push(out, '\n');
    print_head(&report, out);
    print_table(&report, out);
    print_known(&report, out);
}
