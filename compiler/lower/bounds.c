/* What a program comes to when it is written out. Functions are evaluated where they are called, definitions and blocks elaborated where they are used: a short text can
   come to more than any machine holds. Each count is kept while the program is elaborated, so that refusing it takes no longer than the bound. */
#include "lower/internal.h"

#include <string.h>

/* ---- functions and definitions ---- */

void expansion_begin(Lower *lw)
{
    lw->expanded = lw->statements = 0;
    lw->expanding = span_none();
    lw->expanding_name = NULL;
}

bool expansion_enter(Lower *lw, Symbol name, Span span)
{
    if (lw->expanding_name)
        return false;
    lw->expanding = span;
    lw->expanding_name = name;
    return true;
}

void expansion_leave(Lower *lw, bool outermost)
{
    if (outermost)
        lw->expanding_name = NULL;
}

static void report_expansion(Lower *lw, const Node *node, bool whole)
{
    const char *name = lw->expanding_name;
    const int limit = whole ? PROGRAM_EXPANSION_MAX : EXPANSION_MAX;
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0701, name ? lw->expanding : node->span, "%s%s%s to more than %d operators, names and calls when written out",
                                name ? "with `" : "", name ? name : "",
                                name    ? (whole ? "` the program comes" : "` this comes")
                                : whole ? "here the program comes"
                                        : "this comes",
                                limit);
    diag_note(lw->diags, diag, "each call stands for the whole of what it names: one that reads another twice doubles it");
    diag_fix(lw->diags, diag, "compute a value that is needed several times once, with `let`");
}

bool expansion_step(Lower *lw, const Node *node)
{
    if (lw->too_large)
        return false;
    lw->expanded++;
    lw->expanded_whole++;
    const bool whole = lw->expanded_whole > PROGRAM_EXPANSION_MAX;
    if (!whole && lw->expanded <= EXPANSION_MAX)
        return true;
    report_expansion(lw, node, whole);
    lw->too_large = true;
    return false;
}

bool expansion_statement(Lower *lw, const Node *node)
{
    if (lw->too_large || ++lw->statements <= STATEMENTS_MAX)
        return !lw->too_large;
    const char *name = lw->expanding_name;
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0701, name ? lw->expanding : node->span, "%s%s%s to more than %d statements when written out", name ? "with `" : "",
                                name ? name : "", name ? "` this line comes" : "here the line comes", STATEMENTS_MAX);
    diag_note(lw->diags, diag, "each call stands for all statements of the definition that it names");
    lw->too_large = true;
    return false;
}

/* ---- chains of element-wise definitions ---- */

static void keep_operations(Lower *lw, UnitCtx *uc, int tensor, double operations)
{
    if (tensor >= uc->operation_count) {
        const int count = 2 * tensor + 16;
        double *grown = ARENA_ARRAY(lw->arena, double, count);
        if (uc->operation_count > 0)
            memcpy(grown, uc->operations, (size_t)uc->operation_count * sizeof *grown);
        uc->operations = grown;
        uc->operation_count = count;
    }
    uc->operations[tensor] = operations;
}

/* 0: no element-wise definition; reading it is one operation. */
static double operations_of(const UnitCtx *uc, int tensor) { return tensor < uc->operation_count ? uc->operations[tensor] : 0; }

static double expression_operations(const UnitCtx *uc, const Op *op, int body)
{
    VEC(double) sizes = {0};
    vec_reserve(&sizes, op->expr_count);
    for (int id = 0; id <= body; id++) { /* operands come before what uses them */
        const Expr *expr = &op->exprs[id];
        double size = 1;
        for (int i = 0; i < scalar_arity(expr->kind); i++)
            size += sizes.items[expr->arg[i]];
        if (expr->kind == EXPR_READ && operations_of(uc, expr->access.tensor) > 0)
            size = operations_of(uc, expr->access.tensor);
        vec_push(&sizes, size);
    }
    const double result = body >= 0 ? vec_last(&sizes) : 0;
    vec_free(&sizes);
    return result;
}

void element_bounded(Lower *lw, OpCtx *ctx, int body, int tensor, Symbol name, Span span)
{
    UnitCtx *uc = ctx->body->uc;
    const Op *op = &ctx->ob.op;
    double operations = expression_operations(uc, op, body);
    if (operations > ELEMENT_OPERATIONS_MAX) {
        Diagnostic *diag = diag_add(lw->diags, DIAG_E0701, span, "one element of `%s` takes more than %d operations when the definitions that it reads are written out", name,
                                    ELEMENT_OPERATIONS_MAX);
        diag_note(lw->diags, diag, "a definition that reads another twice, element by element, doubles it");
        diag_fix(lw->diags, diag, "read each definition fewer times, or divide the layer into two");
        operations = 1;
    }
    keep_operations(lw, uc, tensor, op->kind == OP_NEST && op->reducer == REDUCE_SET ? operations : 0);
}

/* ---- lines ---- */

typedef struct LineCount {
    Lower *lw;
    int visits, depth;
} LineCount;

static double count_lines(LineCount *count, const Node *lines);

static double count_line(LineCount *count, const Node *line)
{
    if (line->kind == NODE_LINE) {
        const Node *call = line->kids[LINE_CALL], *block = call->name ? module_find(count->lw->module, call->name, NODE_BLOCK, -1) : NULL;
        return 1 + (block && !module_malformed(count->lw->module, block) ? count_lines(count, block->kids[BLOCK_BODY]) : 0);
    }
    if (line->kind == NODE_REPEAT) { /* a count that is no number is known only where it stands */
        const Node *times = line->kids[REPEAT_COUNT];
        const double body = count_lines(count, line->kids[REPEAT_BODY]);
        return 1 + body * (times->kind == NODE_NUMBER ? times->real : 0);
    }
    double sum = 1;
    if (line->kind == NODE_AT)
        sum += count_lines(count, line->kids[AT_BODY]);
    for (int i = 0; line->kind == NODE_PARALLEL && i < list_count(line->kids[PARALLEL_BRANCHES]); i++)
        sum += count_lines(count, list_at(line->kids[PARALLEL_BRANCHES], i));
    return sum;
}

static double count_lines(LineCount *count, const Node *lines)
{
    double sum = 0;
    if (count->depth >= CALL_DEPTH_MAX)
        return 0;
    count->depth++;
    for (int i = 0; i < list_count(lines) && count->visits++ < BODY_LINES_MAX; i++)
        sum += count_line(count, list_at(lines, i));
    count->depth--;
    return sum;
}

void lines_too_many(Lower *lw, Span span)
{
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0701, span, "with this line the model has more than %d lines when written out", BODY_LINES_MAX);
    diag_note(lw->diags, diag, "a repetition stands for as many copies of its lines, a block for the lines in it");
}

bool lines_bounded(Lower *lw, const Node *lines)
{
    LineCount count = {.lw = lw};
    double sum = 0;
    for (int i = 0; i < list_count(lines); i++) {
        sum += list_at(lines, i)->kind == NODE_SETTING ? 0 : count_line(&count, list_at(lines, i));
        if (sum > BODY_LINES_MAX) {
            lines_too_many(lw, list_at(lines, i)->span);
            return false;
        }
    }
    return true;
}
