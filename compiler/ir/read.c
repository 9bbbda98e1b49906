/* Reads the textual form (print.c). Nothing is folded: what was printed comes back. */
#include "ir/text.h"

#include "support/vec.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NESTING_MAX = 200 };

typedef VEC(int) Ints;

typedef struct Reader {
    Program *program;
    const char *text, *at;
    const char *message; /* the first error; then everything returns quickly */
    Unit *unit;
    OpBuilder *builder; /* of the operation being read */
    Ints lets;          /* its named expressions */
    int depth;
} Reader;

static void fail(Reader *reader, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fail(Reader *reader, const char *format, ...)
{
    if (reader->message)
        return;
    int line = 1;
    for (const char *c = reader->text; c < reader->at; c++)
        line += *c == '\n';
    char text[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    reader->message = arena_printf(reader->program->arena, "line %d: %s", line, text);
}

/* ---- words ---- */

static void skip_space(Reader *reader)
{
    while (isspace((unsigned char)*reader->at))
        reader->at++;
}

static bool take(Reader *reader, const char *token)
{
    skip_space(reader);
    const size_t length = strlen(token);
    if (reader->message || strncmp(reader->at, token, length) != 0)
        return false;
    const char next = reader->at[length];
    if (isalpha((unsigned char)*token) && (isalnum((unsigned char)next) || next == '_' || next == '.'))
        return false;
    reader->at += length;
    return true;
}

static void expect(Reader *reader, const char *token)
{
    if (!take(reader, token))
        fail(reader, "expected `%s`", token);
}

static int take_choice(Reader *reader, const char *const *names, int count, const char *what)
{
    for (int i = 0; i < count; i++)
        if (take(reader, names[i]))
            return i;
    fail(reader, "expected %s", what);
    return 0;
}

static int read_int(Reader *reader)
{
    skip_space(reader);
    char *end;
    const long value = strtol(reader->at, &end, 10);
    if (reader->message || end == reader->at || value < -1 || value > 1 << 30) {
        fail(reader, "expected a number");
        return 0;
    }
    reader->at = end;
    return (int)value;
}

static double read_double(Reader *reader)
{
    skip_space(reader);
    char *end;
    const double value = strtod(reader->at, &end);
    if (end == reader->at)
        fail(reader, "expected a number");
    reader->at = end;
    return value;
}

static Dim read_dim(Reader *reader)
{
    skip_space(reader);
    const Dim dim = reader->message ? NULL : dim_read(reader->program->dims, &reader->at);
    if (!dim)
        fail(reader, "expected a dimension");
    return dim ? dim : dim_int(reader->program->dims, 0);
}

static Symbol read_quoted(Reader *reader)
{
    Str text = {0};
    reader->at++;
    while (*reader->at && *reader->at != '"') {
        unsigned code;
        if (*reader->at == '\\' && sscanf(reader->at, "\\x%2x", &code) == 1 && code) {
            str_push(&text, (char)code);
            reader->at += 4;
        } else {
            str_push(&text, *reader->at++);
        }
    }
    expect(reader, "\"");
    const Symbol name = intern(reader->program->interner, str_text(&text));
    str_free(&text);
    return name;
}

static Symbol read_name(Reader *reader)
{
    skip_space(reader);
    if (*reader->at == '"')
        return read_quoted(reader);
    const char *begin = reader->at;
    while (isalnum((unsigned char)*reader->at) || *reader->at == '_' || *reader->at == '.')
        reader->at++;
    if (reader->at == begin)
        fail(reader, "expected a name");
    return intern_n(reader->program->interner, begin, (size_t)(reader->at - begin));
}

/* The character after a name that stands here, 0 if none does. */
static char after_name(const Reader *reader)
{
    Reader ahead = *reader;
    skip_space(&ahead);
    if (*ahead.at == '"') {
        const char *end = strchr(ahead.at + 1, '"');
        return end ? end[1] : 0;
    }
    if (!isalpha((unsigned char)*ahead.at) && *ahead.at != '_')
        return 0;
    while (isalnum((unsigned char)*ahead.at) || *ahead.at == '_' || *ahead.at == '.')
        ahead.at++;
    return *ahead.at;
}

static int read_numbered(Reader *reader, const char *mark, int limit, const char *what)
{
    (void)read_name(reader);
    expect(reader, mark);
    const int number = read_int(reader);
    if (!reader->message && (number < 0 || number >= limit))
        fail(reader, "there is no %s %d", what, number);
    return reader->message ? 0 : number;
}

static int read_tensor(Reader *reader) { return take(reader, "-") ? -1 : read_numbered(reader, "%", reader->unit->tensor_count, "tensor"); }

static int read_index(Reader *reader) { return read_numbered(reader, "$", reader->builder->op.index_count, "index"); }

/* ---- accesses ---- */

static Affine read_affine_item(Reader *reader)
{
    Program *program = reader->program;
    skip_space(reader);
    if (after_name(reader) == '$')
        return affine_index(program, read_index(reader));
    Dim dim;
    if (take(reader, "(")) {
        dim = read_dim(reader);
        expect(reader, ")");
    } else {
        char *end;
        dim = dim_int(program->dims, strtoll(reader->at, &end, 10));
        if (end == reader->at)
            fail(reader, "expected an affine form");
        reader->at = end;
    }
    if (!take(reader, "*"))
        return affine_const(program, dim);
    return affine_scale(program, affine_index(program, read_index(reader)), dim);
}

static Affine read_affine(Reader *reader)
{
    Program *program = reader->program;
    Affine sum = affine_const(program, dim_int(program->dims, 0));
    bool minus = take(reader, "-");
    do {
        const Affine item = read_affine_item(reader);
        if (reader->message)
            return sum;
        sum = minus ? affine_sub(program, sum, item) : affine_add(program, sum, item);
        minus = take(reader, "-");
    } while (minus || take(reader, "+"));
    return sum;
}

static Access read_access(Reader *reader)
{
    Access access = {.tensor = read_tensor(reader)};
    expect(reader, "[");
    VEC(Sub) subs = {0};
    int covered = 0;
    if (++reader->depth > NESTING_MAX)
        fail(reader, "too deeply nested");
    while (!reader->message && !take(reader, "]")) {
        if (subs.count)
            expect(reader, ",");
        skip_space(reader);
        const char *colon = reader->at + strspn(reader->at, "0123456789");
        int span = 1;
        if (colon > reader->at && *colon == ':') {
            span = read_int(reader);
            expect(reader, ":");
        }
        covered += span;
        if (after_name(reader) == '%')
            vec_push(&subs, sub_read(reader->program, read_access(reader), span));
        else
            vec_push(&subs, sub_affine(read_affine(reader), span));
    }
    reader->depth--;
    access.count = subs.count;
    access.subs = subs.count ? arena_memdup(reader->program->arena, subs.items, (size_t)subs.count * sizeof *subs.items) : NULL;
    vec_free(&subs);
    if (!reader->message && (access.tensor < 0 || covered > reader->unit->tensors[access.tensor].rank))
        fail(reader, "subscripts do not fit the tensor");
    return access;
}

/* ---- expressions ---- */

static int read_expr(Reader *reader);

static Expr leaf(ExprKind kind)
{
    Expr expr = {.kind = kind, .arg = {-1, -1, -1}, .index = -1};
    expr.access.tensor = -1;
    return expr;
}

static Expr read_draw(Reader *reader)
{
    Expr expr = leaf(EXPR_DRAW);
    VEC(Sub) subs = {0};
    VEC(Dim) extents = {0};
    expr.tag = read_name(reader);
    while (!reader->message && take(reader, ",")) {
        vec_push(&subs, sub_affine(read_affine(reader), 1));
        expect(reader, "of");
        vec_push(&extents, read_dim(reader));
    }
    expr.access.count = subs.count;
    if (subs.count) {
        expr.access.subs = arena_memdup(reader->program->arena, subs.items, (size_t)subs.count * sizeof *subs.items);
        expr.draw_extent = arena_memdup(reader->program->arena, extents.items, (size_t)extents.count * sizeof *extents.items);
    }
    vec_free(&subs);
    vec_free(&extents);
    return expr;
}

static Expr read_call_form(Reader *reader)
{
    const Symbol name = read_name(reader);
    int kind = 0;
    while (kind < EXPR_COUNT && strcmp(scalar_name((ExprKind)kind), name) != 0)
        kind++;
    if (kind == EXPR_COUNT || kind == EXPR_CONST || kind == EXPR_READ) {
        fail(reader, "there is no scalar operation `%s`", name);
        return leaf(EXPR_CONST);
    }
    expect(reader, "(");
    Expr expr = leaf((ExprKind)kind);
    if (kind == EXPR_DIM)
        expr.dim = read_dim(reader);
    else if (kind == EXPR_POS)
        expr.index = read_index(reader);
    else if (kind == EXPR_DRAW)
        expr = read_draw(reader);
    for (int i = 0; i < scalar_arity((ExprKind)kind); i++) {
        if (i)
            expect(reader, ",");
        expr.arg[i] = read_expr(reader);
    }
    expect(reader, ")");
    return expr;
}

static int read_expr(Reader *reader)
{
    if (++reader->depth > NESTING_MAX)
        fail(reader, "too deeply nested");
    if (reader->message)
        return 0;
    Expr expr = leaf(EXPR_CONST);
    const char after = after_name(reader);
    skip_space(reader);
    if (after == '%') {
        expr.kind = EXPR_READ;
        expr.access = read_access(reader);
    } else if (after == '(') {
        expr = read_call_form(reader);
    } else if (*reader->at == 't' && isdigit((unsigned char)reader->at[1])) {
        reader->at++;
        const int number = read_int(reader);
        reader->depth--;
        if (number < 0 || number >= reader->lets.count)
            fail(reader, "there is no t%d", number);
        return reader->message ? 0 : reader->lets.items[number];
    } else {
        expr.value = read_double(reader);
    }
    reader->depth--;
    return reader->message ? 0 : expr_raw(reader->builder, expr);
}

/* ---- operations ---- */

static void read_indices(Reader *reader)
{
    do {
        const Symbol name = read_name(reader);
        expect(reader, "$");
        if (read_int(reader) != reader->builder->op.index_count)
            fail(reader, "indices are numbered in order");
        expect(reader, "<");
        (void)op_index(reader->builder, name, read_dim(reader));
    } while (!reader->message && take(reader, ","));
}

static void read_scan(Reader *reader)
{
    Op *op = &reader->builder->op;
    Ints scan = {0};
    do
        vec_push(&scan, read_index(reader));
    while (!reader->message && take(reader, ","));
    op->scan_count = scan.count;
    op->scan = arena_memdup(reader->program->arena, scan.items, (size_t)scan.count * sizeof(int));
    vec_free(&scan);
    op->reverse = take(reader, "reverse");
    op->exclusive = take(reader, "exclusive");
}

/* Conditions and guards are appended as they are: op_cond and op_guard would drop or split them. */
static void append_cond(Reader *reader, Affine cond)
{
    Op *op = &reader->builder->op;
    Affine *conds = ARENA_ARRAY(reader->program->arena, Affine, op->cond_count + 1);
    if (op->cond_count)
        memcpy(conds, op->conds, (size_t)op->cond_count * sizeof *conds);
    conds[op->cond_count++] = cond;
    op->conds = conds;
}

static void append_guard(Reader *reader, int guard)
{
    Op *op = &reader->builder->op;
    int *guards = ARENA_ARRAY(reader->program->arena, int, op->guard_count + 1);
    if (op->guard_count)
        memcpy(guards, op->guards, (size_t)op->guard_count * sizeof *guards);
    guards[op->guard_count++] = guard;
    op->guards = guards;
}

static bool read_op_line(Reader *reader)
{
    Op *op = &reader->builder->op;
    if (take(reader, "where")) {
        append_cond(reader, read_affine(reader));
        expect(reader, ">=");
        expect(reader, "0");
    } else if (take(reader, "let")) {
        char name[16];
        (void)snprintf(name, sizeof name, "t%d", reader->lets.count);
        expect(reader, name);
        expect(reader, "=");
        vec_push(&reader->lets, read_expr(reader));
    } else if (take(reader, "guard")) {
        append_guard(reader, read_expr(reader));
    } else if (take(reader, "body")) {
        op->body = read_expr(reader);
    } else if (take(reader, "factor")) {
        op->body2 = read_expr(reader);
    } else if (op->kind == OP_RECUR && take(reader, "scan")) {
        read_scan(reader);
    } else if (op->kind != OP_TOP && take(reader, "init")) {
        op->init = read_access(reader);
    } else if (op->kind == OP_TOP && take(reader, "rank")) {
        op->reduced = read_int(reader);
        expect(reader, "for");
        op->top_k = read_dim(reader);
    } else if (take(reader, "group")) {
        op->group = read_int(reader);
    } else {
        return false;
    }
    return !reader->message;
}

static int *read_tensors(Reader *reader, int *count)
{
    Ints ids = {0};
    expect(reader, "(");
    while (!reader->message && !take(reader, ")")) {
        if (ids.count)
            expect(reader, ",");
        vec_push(&ids, read_tensor(reader));
    }
    *count = ids.count;
    int *copy = ids.count ? arena_memdup(reader->program->arena, ids.items, (size_t)ids.count * sizeof(int)) : NULL;
    vec_free(&ids);
    return copy;
}

static void read_call(Reader *reader)
{
    Op *op = &reader->builder->op;
    const int callee = read_numbered(reader, "@", reader->program->unit_count - 1, "unit before this one");
    if (reader->message)
        return;
    op->callee = reader->program->units[callee];
    expect(reader, "as");
    op->path = read_name(reader);
    op->args = read_tensors(reader, &op->arg_count);
    expect(reader, "to");
    op->results = read_tensors(reader, &op->result_count);
    for (int i = 0; i < op->arg_count; i++)
        if (op->args[i] < 0)
            fail(reader, "an argument is missing");
    if (take(reader, "group"))
        op->group = read_int(reader);
}

/* The output's subscripts mention indices declared after it: it is read twice, the first time to be skipped. */
static void read_op(Reader *reader, OpKind kind)
{
    OpBuilder builder = op_begin(reader->unit, kind);
    reader->builder = &builder;
    reader->lets.count = 0;
    if (kind == OP_CALL) {
        read_call(reader);
    } else {
        if (kind == OP_NEST)
            builder.op.reducer = (Reducer)take_choice(reader, reducer_names, REDUCER_COUNT, "a reducer");
        skip_space(reader);
        const char *out = reader->at;
        reader->at += strcspn(reader->at, "\n");
        const char *end = reader->at;
        if (take(reader, "over"))
            read_indices(reader);
        const char *rest = reader->at;
        reader->at = out;
        builder.op.out = read_access(reader);
        skip_space(reader);
        if (!reader->message && reader->at < end)
            fail(reader, "the operation's line ends after its output");
        if (!reader->message)
            reader->at = rest;
        while (read_op_line(reader))
            continue;
        if (!reader->message && builder.op.body < 0)
            fail(reader, "an operation without a body");
        if (!reader->message && kind == OP_TOP && !builder.op.top_k)
            fail(reader, "a ranking without its number of places");
    }
    if (!reader->message)
        (void)op_finish(&builder);
}

/* ---- units ---- */

static void read_declaration(Reader *reader, TensorRole role)
{
    Unit *unit = reader->unit;
    const Symbol name = read_name(reader);
    expect(reader, "%");
    if (read_int(reader) != unit->tensor_count)
        fail(reader, "tensors are numbered in order");
    expect(reader, ":");
    Dim bound = NULL;
    if (take(reader, "int")) {
        expect(reader, "(");
        bound = read_dim(reader);
        expect(reader, ")");
    } else {
        expect(reader, "real");
    }
    expect(reader, "[");
    VEC(Dim) extents = {0};
    while (!reader->message && !take(reader, "]")) {
        if (extents.count)
            expect(reader, ",");
        vec_push(&extents, read_dim(reader));
    }
    (void)unit_tensor(unit, name, bound ? T_INT : T_REAL, role, extents.count, extents.items, bound);
    vec_free(&extents);
}

static void read_formals(Reader *reader)
{
    Unit *unit = reader->unit;
    Ints ids = {0};
    skip_space(reader);
    while (!reader->message && isdigit((unsigned char)*reader->at)) {
        vec_push(&ids, read_int(reader));
        if (vec_last(&ids) >= unit->tensor_count)
            fail(reader, "there is no tensor %d", vec_last(&ids));
        skip_space(reader);
    }
    unit->formal_count = unit->formal_capacity = ids.count;
    unit->formals = ids.count ? arena_memdup(reader->program->arena, ids.items, (size_t)ids.count * sizeof(int)) : NULL;
    vec_free(&ids);
}

static void read_output(Reader *reader)
{
    const OutputKind kind = (OutputKind)take_choice(reader, output_names, OUTPUT_COUNT, "an output's kind");
    const Symbol name = read_name(reader);
    expect(reader, "=");
    const int tensor = read_tensor(reader);
    if (reader->message)
        return;
    const int position = unit_output(reader->unit, name, kind, tensor);
    if (take(reader, "merge"))
        reader->unit->outputs[position].merge = (Merge)take_choice(reader, merge_names, MERGE_COUNT, "a merge");
    if (take(reader, "formal"))
        reader->unit->outputs[position].formal = read_int(reader);
}

static void read_list(Reader *reader, const char *word, int max, int *count, int *items)
{
    expect(reader, word);
    *count = read_int(reader);
    if (*count < 0 || *count > max)
        fail(reader, "too many members");
    for (int i = 0; i < *count && !reader->message; i++)
        items[i] = read_int(reader);
}

static void read_group(Reader *reader)
{
    Group group = {.kind = (GroupKind)take_choice(reader, (const char *const[]){group_names[GROUP_STREAM_GRAD], group_names[GROUP_STREAM]}, 2, "a group") == 0 ? GROUP_STREAM_GRAD
                                                                                                                                                               : GROUP_STREAM};
    int *const roles[] = {&group.raw, &group.score, &group.lse, &group.score_grad, &group.raw_grad};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        *roles[i] = read_int(reader);
    read_list(reader, "uses", BFM_STREAM_USES, &group.use_count, group.uses);
    read_list(reader, "picks", BFM_STREAM_USES, &group.pick_count, group.picks);
    read_list(reader, "dprobs", BFM_STREAM_USES, &group.dprob_count, group.dprobs);
    read_list(reader, "sinks", (int)(sizeof group.sinks / sizeof *group.sinks), &group.sink_count, group.sinks);
    if (!reader->message)
        (void)unit_group(reader->unit, group);
}

static bool read_unit_line(Reader *reader)
{
    for (int i = 0; i < ROLE_COUNT; i++)
        if (take(reader, role_names[i])) {
            read_declaration(reader, (TensorRole)i);
            return true;
        }
    for (int i = 0; i < OP_KIND_COUNT; i++)
        if (take(reader, op_names[i])) {
            read_op(reader, (OpKind)i);
            return true;
        }
    if (take(reader, "formals"))
        read_formals(reader);
    else if (take(reader, "member"))
        read_group(reader);
    else if (take(reader, "output"))
        read_output(reader);
    else
        return false;
    return true;
}

static void read_unit(Reader *reader)
{
    reader->unit = unit_new(reader->program, read_name(reader));
    expect(reader, "@");
    if (read_int(reader) != reader->program->unit_count - 1)
        fail(reader, "units are numbered in order");
    expect(reader, "{");
    while (!reader->message && read_unit_line(reader))
        continue;
    expect(reader, "}");
}

static int read_unit_number(Reader *reader)
{
    expect(reader, "@");
    const int number = read_int(reader);
    if (!reader->message && (number < 0 || number >= reader->program->unit_count))
        fail(reader, "there is no unit %d", number);
    return reader->message ? 0 : number;
}

static void read_binding(Reader *reader, Binding *binding)
{
    binding->role = (TensorRole)take_choice(reader, role_names, ROLE_COUNT, "a role");
    binding->path = read_name(reader);
    if (take(reader, "normal")) {
        binding->init.normal = true;
        binding->init.mean = read_double(reader);
        binding->init.std = read_double(reader);
    } else if (take(reader, "value")) {
        const int number = read_unit_number(reader);
        if (!reader->message)
            binding->init.value = reader->program->units[number];
    }
    expect(reader, "shape");
    binding->plain_rank = read_int(reader);
    if (binding->plain_rank < 0 || binding->plain_rank > 8)
        fail(reader, "a shape of %d axes", binding->plain_rank);
    for (int i = 0; i < binding->plain_rank && !reader->message; i++) {
        char *end;
        skip_space(reader);
        binding->plain_extent[i] = strtoll(reader->at, &end, 10);
        if (end == reader->at)
            fail(reader, "expected a number");
        reader->at = end;
    }
}

static void read_most(Reader *reader)
{
    const Dim symbol = read_dim(reader);
    for (int i = 0; i < DIM_SYMBOLS && !reader->message; i++)
        if (symbol == dim_symbol(reader->program->dims, i)) {
            reader->program->most[i] = read_int(reader);
            return;
        }
    fail(reader, "expected a run-time symbol");
}

static void read_need(Reader *reader, bool whole)
{
    const Dim dim = read_dim(reader);
    DimTable *dims = reader->program->dims;
    SizeNeed need = {.value = whole ? dim_sub(dims, dim_floor(dims, dim), dim_ceil(dims, dim)) : dim, .whole = whole ? dim : NULL};
    need.text = reader->message ? "" : read_name(reader);
    if (!reader->message)
        program_need(reader->program, need);
}

Program *program_read(Arena *arena, Interner *interner, const char *text, const char **message)
{
    Reader reader = {.program = program_new(arena, interner), .text = text, .at = text};
    Program *program = reader.program;
    while (!reader.message && take(&reader, "unit"))
        read_unit(&reader);
    if (take(&reader, "main")) {
        const int number = read_unit_number(&reader);
        if (!reader.message)
            program->main = program->units[number];
    }
    while (take(&reader, "most"))
        read_most(&reader);
    for (bool whole = false; !reader.message && ((whole = take(&reader, "whole")) || take(&reader, "least"));)
        read_need(&reader, whole);
    int bindings = 0;
    while (!reader.message && program->main && take(&reader, "binding")) {
        if (!program->bindings)
            program->bindings = ARENA_ARRAY(arena, Binding, program->main->formal_count + 1);
        if (bindings == program->main->formal_count)
            fail(&reader, "more bindings than formals");
        else
            read_binding(&reader, &program->bindings[bindings++]);
    }
    skip_space(&reader);
    if (!reader.message && *reader.at)
        fail(&reader, "unexpected text");
    vec_free(&reader.lets);
    if (message)
        *message = reader.message;
    return reader.message ? NULL : program;
}
