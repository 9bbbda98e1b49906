/* The textual form. Tensors are written name%id, indices name$position, units name@position; the names are for people, the numbers count.

   unit block@0 {
       input x%0: real[b, 16]
       local y%1: real[b]
       nest sum y%1[i$0]
           over i$0 < b, j$1 < 16
           where i$0 - j$1 >= 0
           body mul(x%0[i$0, j$1], x%0[i$0, j$1])
       output result y = y%1
   }
   main @0

   An expression used more than once is a line `let t0 = …`; leaves are repeated. */
#include "ir/text.h"

#include "support/bug.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 24 }; /* of one line's expression: what lies deeper gets a line of its own */

const char *const reducer_names[] = {[REDUCE_SET] = "set", [REDUCE_SUM] = "sum", [REDUCE_MAX] = "max", [REDUCE_MIN] = "min", [REDUCE_LSE] = "lse"};
const char *const op_names[] = {[OP_NEST] = "nest", [OP_RECUR] = "recur", [OP_TOP] = "top", [OP_CALL] = "call"};
const char *const role_names[] = {[TENSOR_LOCAL] = "local", [TENSOR_INPUT] = "input", [TENSOR_PARAM] = "param", [TENSOR_STATE] = "state"};
const char *const output_names[] = {
    [OUTPUT_RESULT] = "result", [OUTPUT_LOSS] = "loss", [OUTPUT_METRIC] = "metric", [OUTPUT_NEXT] = "next", [OUTPUT_SAVED] = "saved", [OUTPUT_GRAD] = "grad"};
const char *const merge_names[] = {[MERGE_NONE] = "none", [MERGE_MEAN] = "mean", [MERGE_SUM] = "sum", [MERGE_MAX] = "max"};
const char *const group_names[] = {[GROUP_STREAM] = "stream", [GROUP_STREAM_GRAD] = "stream_grad"};

typedef struct Printer {
    const Unit *unit;
    const Op *op;
    Str *out;
    int *lets; /* by expression: number of its line + 1, 0 = written in place */
} Printer;

bool text_is_plain(const char *name)
{
    if (!isalpha((unsigned char)*name) && *name != '_')
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && *name != '_' && *name != '.')
            return false;
    return true;
}

static void print_name(Symbol name, Str *out)
{
    if (name && text_is_plain(name)) {
        str_append(out, name);
        return;
    }
    str_push(out, '"');
    for (; name && *name; name++) {
        if (*name == '"' || *name == '\\' || (unsigned char)*name < ' ')
            str_printf(out, "\\x%02x", (unsigned char)*name);
        else
            str_push(out, *name);
    }
    str_push(out, '"');
}

static void print_number(double value, Str *out)
{
    char text[64];
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    str_append(out, value != value ? "nan" : text);
}

static void print_tensor(const Printer *printer, int tensor)
{
    if (tensor < 0) {
        str_push(printer->out, '-');
        return;
    }
    print_name(printer->unit->tensors[tensor].name, printer->out);
    str_printf(printer->out, "%%%d", tensor);
}

static void print_index(const Printer *printer, int index)
{
    print_name(printer->op->indices[index].name, printer->out);
    str_printf(printer->out, "$%d", index);
}

/* Dimensions stand in parentheses but for whole numbers, so that none of them runs into an index. */
static void print_affine(const Printer *printer, Affine affine)
{
    Str *out = printer->out;
    int64_t value;
    for (int i = 0; i < affine.count; i++) {
        const Dim coef = affine.terms[i].coef;
        const bool whole = dim_is_int(coef, &value) && value > -INT64_MAX;
        const bool minus = whole && value < 0;
        str_append(out, i == 0 ? (minus ? "-" : "") : minus ? " - " : " + ");
        if (whole && value != 1 && value != -1) {
            str_printf(out, "%" PRId64 "*", minus ? -value : value);
        } else if (!whole) {
            str_push(out, '(');
            dim_print(coef, out);
            str_append(out, ")*");
        }
        print_index(printer, affine.terms[i].index);
    }
    if (dim_is(affine.base, 0) && affine.count > 0)
        return;
    const bool whole = dim_is_int(affine.base, &value) && value > -INT64_MAX;
    const bool minus = whole && value < 0;
    str_append(out, affine.count == 0 ? (minus ? "-" : "") : minus ? " - " : " + ");
    if (whole) {
        str_printf(out, "%" PRId64, minus ? -value : value);
        return;
    }
    str_push(out, '(');
    dim_print(affine.base, out);
    str_push(out, ')');
}

static void print_access(const Printer *printer, const Access *access)
{
    print_tensor(printer, access->tensor);
    str_push(printer->out, '[');
    for (int i = 0; i < access->count; i++) {
        if (i)
            str_append(printer->out, ", ");
        if (access->subs[i].span != 1)
            str_printf(printer->out, "%d:", access->subs[i].span);
        if (access->subs[i].read)
            print_access(printer, access->subs[i].read);
        else
            print_affine(printer, access->subs[i].affine);
    }
    str_push(printer->out, ']');
}

static void print_draw(const Printer *printer, const Expr *expr)
{
    str_append(printer->out, "draw(");
    print_name(expr->tag, printer->out);
    for (int i = 0; i < expr->access.count; i++) {
        str_append(printer->out, ", ");
        print_affine(printer, expr->access.subs[i].affine);
        str_append(printer->out, " of ");
        dim_print(expr->draw_extent[i], printer->out);
    }
    str_push(printer->out, ')');
}

static void print_expr(const Printer *printer, int id, bool whole)
{
    const Expr *expr = &printer->op->exprs[id];
    Str *out = printer->out;
    if (printer->lets[id] && !whole) {
        str_printf(out, "t%d", printer->lets[id] - 1);
    } else if (expr->kind == EXPR_CONST) {
        print_number(expr->value, out);
    } else if (expr->kind == EXPR_DIM) {
        str_append(out, "dim(");
        dim_print(expr->dim, out);
        str_push(out, ')');
    } else if (expr->kind == EXPR_POS) {
        str_append(out, "pos(");
        print_index(printer, expr->index);
        str_push(out, ')');
    } else if (expr->kind == EXPR_READ) {
        print_access(printer, &expr->access);
    } else if (expr->kind == EXPR_DRAW) {
        print_draw(printer, expr);
    } else {
        str_printf(out, "%s(", scalar_name(expr->kind));
        for (int i = 0; i < scalar_arity(expr->kind); i++) {
            if (i)
                str_append(out, ", ");
            print_expr(printer, expr->arg[i], false);
        }
        str_push(out, ')');
    }
}

/* Which expressions get a line: used more than once, or deep. Decided from the structure alone, so that text read back prints the same. */
static void choose_lets(const Printer *printer)
{
    const Op *op = printer->op;
    int *uses = calloc((size_t)op->expr_count + 1, sizeof *uses), *depth = calloc((size_t)op->expr_count + 1, sizeof *depth);
    BFM_ASSERT(uses && depth);
    if (op->body >= 0)
        uses[op->body]++;
    if (op->body2 >= 0)
        uses[op->body2]++;
    for (int i = 0; i < op->guard_count; i++)
        uses[op->guards[i]]++;
    for (int id = op->expr_count - 1; id >= 0; id--)
        for (int i = 0; uses[id] && i < scalar_arity(op->exprs[id].kind); i++)
            uses[op->exprs[id].arg[i]]++;
    int lets = 0;
    for (int id = 0; id < op->expr_count; id++) {
        for (int i = 0; i < scalar_arity(op->exprs[id].kind); i++)
            depth[id] = depth[id] > depth[op->exprs[id].arg[i]] ? depth[id] : depth[op->exprs[id].arg[i]] + 1;
        if (scalar_arity(op->exprs[id].kind) == 0 || (uses[id] < 2 && depth[id] < DEPTH_MAX) || uses[id] == 0)
            continue;
        printer->lets[id] = ++lets;
        depth[id] = 0;
    }
    free(uses);
    free(depth);
}

static void begin_line(Str *out, const char *keyword) { str_printf(out, "\n        %s ", keyword); }

static void print_domain(const Printer *printer)
{
    const Op *op = printer->op;
    Str *out = printer->out;
    for (int i = 0; i < op->index_count; i++) {
        if (i)
            str_append(out, ", ");
        else
            begin_line(out, "over");
        print_index(printer, i);
        str_append(out, " < ");
        dim_print(op->indices[i].extent, out);
    }
    for (int i = 0; i < op->cond_count; i++) {
        begin_line(out, "where");
        print_affine(printer, op->conds[i]);
        str_append(out, " >= 0");
    }
}

static void print_exprs(const Printer *printer)
{
    const Op *op = printer->op;
    Str *out = printer->out;
    for (int id = 0; id < op->expr_count; id++) {
        if (!printer->lets[id])
            continue;
        begin_line(out, "let");
        str_printf(out, "t%d = ", printer->lets[id] - 1);
        print_expr(printer, id, true);
    }
    for (int i = 0; i < op->guard_count; i++) {
        begin_line(out, "guard");
        print_expr(printer, op->guards[i], false);
    }
    begin_line(out, "body");
    print_expr(printer, op->body, false);
    if (op->body2 >= 0) {
        begin_line(out, "factor");
        print_expr(printer, op->body2, false);
    }
}

static void print_call(const Printer *printer)
{
    const Op *op = printer->op;
    Str *out = printer->out;
    const Program *program = printer->unit->program;
    int position = -1;
    for (int i = 0; i < program->unit_count; i++)
        if (program->units[i] == op->callee)
            position = i;
    print_name(op->callee->name, out);
    str_printf(out, "@%d as ", position);
    print_name(op->path, out);
    str_push(out, '(');
    for (int i = 0; i < op->arg_count; i++) {
        str_append(out, i ? ", " : "");
        print_tensor(printer, op->args[i]);
    }
    str_append(out, ") to (");
    for (int i = 0; i < op->result_count; i++) {
        str_append(out, i ? ", " : "");
        print_tensor(printer, op->results[i]);
    }
    str_push(out, ')');
}

static void print_scan(const Printer *printer)
{
    const Op *op = printer->op;
    begin_line(printer->out, "scan");
    for (int i = 0; i < op->scan_count; i++) {
        str_append(printer->out, i ? ", " : "");
        print_index(printer, op->scan[i]);
    }
    str_append(printer->out, op->reverse ? " reverse" : "");
    str_append(printer->out, op->exclusive ? " exclusive" : "");
}

static void print_op(const Unit *unit, const Op *op, Str *out)
{
    Printer printer = {.unit = unit, .op = op, .out = out, .lets = calloc((size_t)op->expr_count + 1, sizeof(int))};
    BFM_ASSERT(printer.lets);
    choose_lets(&printer);
    str_printf(out, "    %s ", op_names[op->kind]);
    if (op->kind == OP_CALL) {
        print_call(&printer);
    } else {
        if (op->kind == OP_NEST)
            str_printf(out, "%s ", reducer_names[op->reducer]);
        print_access(&printer, &op->out);
        print_domain(&printer);
        if (op->kind == OP_RECUR)
            print_scan(&printer);
        if (op->init.tensor >= 0) {
            begin_line(out, "init");
            print_access(&printer, &op->init);
        }
        if (op->kind == OP_TOP) {
            begin_line(out, "rank");
            str_printf(out, "%d for ", op->reduced);
            dim_print(op->top_k, out);
        }
        print_exprs(&printer);
    }
    if (op->group)
        str_printf(out, "\n        group %d", op->group);
    str_push(out, '\n');
    free(printer.lets);
}

static void print_list(Str *out, const char *word, int count, const int *items)
{
    str_printf(out, " %s %d", word, count);
    for (int i = 0; i < count; i++)
        str_printf(out, " %d", items[i]);
}

static void print_group(const Group *group, Str *out)
{
    str_printf(out, "    member %s %d %d %d %d %d", group_names[group->kind], group->raw, group->score, group->lse, group->score_grad, group->raw_grad);
    print_list(out, "uses", group->use_count, group->uses);
    print_list(out, "picks", group->pick_count, group->picks);
    print_list(out, "dprobs", group->dprob_count, group->dprobs);
    print_list(out, "sinks", group->sink_count, group->sinks);
    str_push(out, '\n');
}

static void print_declaration(const Unit *unit, int id, Str *out)
{
    const Tensor *tensor = &unit->tensors[id];
    str_printf(out, "    %s ", role_names[tensor->role]);
    print_tensor(&(Printer){.unit = unit, .out = out}, id);
    str_append(out, ": ");
    if (tensor->type == T_INT) {
        str_append(out, "int(");
        dim_print(tensor->bound, out);
        str_push(out, ')');
    } else {
        str_append(out, "real");
    }
    str_push(out, '[');
    for (int i = 0; i < tensor->rank; i++) {
        str_append(out, i ? ", " : "");
        dim_print(tensor->extent[i], out);
    }
    str_append(out, "]\n");
}

static void print_unit_at(const Unit *unit, int position, Str *out)
{
    str_append(out, "unit ");
    print_name(unit->name, out);
    str_printf(out, "@%d {\n", position);
    for (int i = 0; i < unit->tensor_count; i++)
        print_declaration(unit, i, out);
    str_append(out, "    formals");
    for (int i = 0; i < unit->formal_count; i++)
        str_printf(out, " %d", unit->formals[i]);
    str_push(out, '\n');
    for (int i = 0; i < unit->op_count; i++)
        print_op(unit, &unit->ops[i], out);
    for (int i = 0; i < unit->group_count; i++)
        print_group(&unit->groups[i], out);
    for (int i = 0; i < unit->output_count; i++) {
        const Output *output = &unit->outputs[i];
        str_printf(out, "    output %s ", output_names[output->kind]);
        print_name(output->name, out);
        str_append(out, " = ");
        print_tensor(&(Printer){.unit = unit, .out = out}, output->tensor);
        if (output->merge != MERGE_NONE)
            str_printf(out, " merge %s", merge_names[output->merge]);
        if (output->formal >= 0)
            str_printf(out, " formal %d", output->formal);
        str_push(out, '\n');
    }
    str_append(out, "}\n");
}

static int unit_position(const Program *program, const Unit *unit)
{
    for (int i = 0; i < program->unit_count; i++)
        if (program->units[i] == unit)
            return i;
    return -1;
}

void unit_print(const Unit *unit, Str *out) { print_unit_at(unit, unit_position(unit->program, unit), out); }

static void print_binding(const Binding *binding, int init_position, Str *out)
{
    str_printf(out, "binding %s ", role_names[binding->role]);
    print_name(binding->path, out);
    if (binding->init.normal) {
        str_append(out, " normal ");
        print_number(binding->init.mean, out);
        str_push(out, ' ');
        print_number(binding->init.std, out);
    } else if (binding->init.value) {
        str_printf(out, " value @%d", init_position);
    }
    str_printf(out, " shape %d", binding->plain_rank);
    for (int i = 0; i < binding->plain_rank; i++)
        str_printf(out, " %" PRId64, binding->plain_extent[i]);
    str_push(out, '\n');
}

void program_print(const Program *program, Str *out)
{
    for (int i = 0; i < program->unit_count; i++)
        print_unit_at(program->units[i], i, out);
    const int bindings = program->main && program->bindings ? program->main->formal_count : 0;
    int extra = program->unit_count; /* initial values whose units the program does not list follow it */
    int *positions = calloc((size_t)bindings + 1, sizeof *positions);
    BFM_ASSERT(positions);
    for (int i = 0; i < bindings; i++) {
        const Unit *value = program->bindings[i].init.value;
        positions[i] = value ? unit_position(program, value) : -1;
        for (int k = 0; k < i && value && positions[i] < 0; k++)
            if (program->bindings[k].init.value == value)
                positions[i] = positions[k];
        if (value && positions[i] < 0)
            print_unit_at(value, positions[i] = extra++, out);
    }
    if (program->main)
        str_printf(out, "main @%d\n", unit_position(program, program->main));
    for (int i = 0; i < DIM_SYMBOLS; i++)
        if (program->most[i]) {
            str_append(out, "most ");
            dim_print(dim_symbol(program->dims, i), out);
            str_printf(out, " %" PRId64 "\n", program->most[i]);
        }
    for (int i = 0; i < program->need_count; i++) {
        str_append(out, program->needs[i].whole ? "whole " : "least ");
        dim_print(program->needs[i].whole ? program->needs[i].whole : program->needs[i].value, out);
        str_push(out, ' ');
        print_name(program->needs[i].text, out);
        str_push(out, '\n');
    }
    for (int i = 0; i < bindings; i++)
        print_binding(&program->bindings[i], positions[i], out);
    free(positions);
}
