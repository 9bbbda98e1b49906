/* Any node on one line. Parentheses are written where the grammar needs them and where the source had them. */
#include "tree/print_internal.h"

#include "support/bug.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- pieces ---- */

static void put(Flat *flat, const char *text) { str_append(flat->out, text); }

/* `rank`: 0 binds loosest. */
static void break_here(Flat *flat, int rank)
{
    int depth = BREAK_DEPTH_MIN + flat->depth * 8 + rank;
    str_push(flat->out, BREAK_MARK);
    str_push(flat->out, (char)(depth > BREAK_DEPTH_MAX ? BREAK_DEPTH_MAX : depth));
}

/* a, b, c: what is nested inside is deeper than the commas. */
static void put_items(Flat *flat, const Node *list)
{
    for (int i = 0; i < list_count(list); i++) {
        if (i > 0) {
            put(flat, ", ");
            break_here(flat, 0);
        }
        flat_node(flat, list->kids[i]);
    }
}

static void put_enclosed(Flat *flat, const char *open, const Node *list, const char *close)
{
    put(flat, open);
    flat->depth++;
    put_items(flat, list);
    flat->depth--;
    put(flat, close);
}

static void put_brackets(Flat *flat, const Node *list)
{
    if (list)
        put_enclosed(flat, "[", list, "]");
}

static void put_set(Flat *flat, const Node *list)
{
    if (list_count(list) == 0)
        put(flat, "{}");
    else
        put_enclosed(flat, "{ ", list, " }");
}

/* " word e", nothing where e is absent. */
static void put_clause(Flat *flat, const char *word, const Node *e)
{
    if (!e)
        return;
    put(flat, " ");
    break_here(flat, 0);
    put(flat, word);
    flat_node(flat, e);
}

static void put_assignment(Flat *flat, const Node *target, const char *sign, const Node *value, const Node *where)
{
    flat->depth += 4; /* break the value rather than what it is called */
    flat_node(flat, target);
    flat->depth -= 4;
    put(flat, sign);
    flat->depth++;
    flat_node(flat, value);
    flat->depth--;
    put_clause(flat, "where ", where);
}

/* { a  b }; the separator is what the grammar lets stand between two items. */
static void put_body(Flat *flat, const Node *list, const char *separator)
{
    if (list_count(list) == 0) {
        put(flat, "{}");
        return;
    }
    put(flat, "{ ");
    flat->depth++;
    for (int i = 0; i < list->count; i++) {
        if (i > 0)
            put(flat, separator);
        flat_node(flat, list->kids[i]);
    }
    flat->depth--;
    put(flat, " }");
}

/* ---- expressions ---- */

/* How tightly an expression's outermost operator binds, by the grammar's table. */
enum { BIND_IMPLIES = 1, BIND_OR, BIND_AND, BIND_NOT, BIND_COMPARE, BIND_ADD, BIND_REDUCE, BIND_MUL, BIND_NEG, BIND_POW, BIND_PRIMARY };

static const int OPERATOR_BINDING[AST_OPERATORS] = {
    [AST_NEG] = BIND_NEG,    [AST_NOT] = BIND_NOT,    [AST_ADD] = BIND_ADD,    [AST_SUB] = BIND_ADD,    [AST_MUL] = BIND_MUL,         [AST_DIV] = BIND_MUL,
    [AST_MOD] = BIND_MUL,    [AST_POW] = BIND_POW,    [AST_EQ] = BIND_COMPARE, [AST_NE] = BIND_COMPARE, [AST_LT] = BIND_COMPARE,      [AST_LE] = BIND_COMPARE,
    [AST_GT] = BIND_COMPARE, [AST_GE] = BIND_COMPARE, [AST_AND] = BIND_AND,    [AST_OR] = BIND_OR,      [AST_IMPLIES] = BIND_IMPLIES,
};

static int binding(const Node *node)
{
    if (node->kind == NODE_BINARY || node->kind == NODE_UNARY)
        return OPERATOR_BINDING[node->op];
    return node->kind == NODE_REDUCE ? BIND_REDUCE : BIND_PRIMARY;
}

static bool is_grouped(const Node *node)
{
    bool lone = node->kind == NODE_TUPLE || node->kind == NODE_LIST;
    return (node->layout & NODE_PARENS) && (node_kind_classes(node->kind) & CLASS_EXPR) && !lone;
}

static void put_bare(Flat *flat, const Node *node);

/* In parentheses where it binds more loosely than `least`, or had them in the source. */
static void put_expr(Flat *flat, const Node *node, int least)
{
    bool parens = binding(node) < least || is_grouped(node);
    if (parens) {
        put(flat, "(");
        flat->depth++;
    }
    put_bare(flat, node);
    if (parens) {
        flat->depth--;
        put(flat, ")");
    }
}

/* 3/4: a quotient of two written numbers is one value to the reader. */
static bool is_ratio(const Node *node)
{
    const Node *left = node->kids[BINARY_LEFT], *right = node->kids[BINARY_RIGHT];
    return node->op == AST_DIV && left->kind == NODE_NUMBER && right->kind == NODE_NUMBER && !is_grouped(left) && !is_grouped(right);
}

static void print_binary(Flat *flat, const Node *node)
{
    if (is_ratio(node)) {
        put_bare(flat, node->kids[BINARY_LEFT]);
        put(flat, "/");
        put_bare(flat, node->kids[BINARY_RIGHT]);
        return;
    }
    int own = OPERATOR_BINDING[node->op];
    bool right = own == BIND_POW || own == BIND_IMPLIES, single = own == BIND_COMPARE;
    put_expr(flat, node->kids[BINARY_LEFT], right || single ? own + 1 : own);
    put(flat, " ");
    if (own != BIND_POW)
        break_here(flat, own);
    put(flat, ast_operator_text(node->op));
    put(flat, " ");
    int least = own == BIND_POW ? BIND_NEG : right ? own : own + 1; /* a ^ -b needs no parentheses */
    put_expr(flat, node->kids[BINARY_RIGHT], least);
}

static void print_unary(Flat *flat, const Node *node)
{
    put(flat, node->op == AST_NEG ? "-" : "not ");
    put_expr(flat, node->kids[UNARY_OPERAND], OPERATOR_BINDING[node->op]);
}

static void put_indices(Flat *flat, const Node *indices, const Node *condition, const Node *count)
{
    put(flat, "[");
    flat->depth++;
    put_items(flat, indices);
    if (condition) {
        put(flat, " | ");
        flat_node(flat, condition);
    }
    if (count) {
        put(flat, "; ");
        flat_node(flat, count);
    }
    flat->depth--;
    put(flat, "]");
}

static void print_reduce(Flat *flat, const Node *node)
{
    put(flat, ast_reduction_text(node->op));
    put_indices(flat, node->kids[REDUCE_INDICES], node->kids[REDUCE_CONDITION], NULL);
    put(flat, " ");
    put_expr(flat, node->kids[REDUCE_BODY], BIND_REDUCE);
}

static void print_over(Flat *flat, const Node *node)
{
    put(flat, node->name);
    put_indices(flat, node->kids[OVER_INDICES], node->kids[OVER_CONDITION], node->kids[OVER_COUNT]);
    put(flat, "(");
    flat->depth++;
    flat_node(flat, node->kids[OVER_BODY]);
    flat->depth--;
    put(flat, ")");
}

static void print_call(Flat *flat, const Node *node)
{
    put(flat, node->name);
    put_enclosed(flat, "(", node->kids[CALL_ARGS], ")");
}

static void print_as(Flat *flat, const Node *node)
{
    const Node *call = node->kids[AS_CALL];
    put(flat, call->name);
    put(flat, " as ");
    put(flat, node->name);
    put_enclosed(flat, " (", call->kids[CALL_ARGS], ")");
}

static void print_if_value(Flat *flat, const Node *node)
{
    put(flat, "if ");
    flat_node(flat, node->kids[IF_VALUE_CONDITION]);
    put(flat, " { ");
    flat->depth++;
    flat_node(flat, node->kids[IF_VALUE_THEN]);
    flat->depth--;
    put(flat, " } ");
    break_here(flat, 0);
    put(flat, "else ");
    const Node *other = node->kids[IF_VALUE_ELSE];
    if (other->kind == NODE_IF_VALUE) {
        put_bare(flat, other);
        return;
    }
    put(flat, "{ ");
    flat->depth++;
    flat_node(flat, other);
    flat->depth--;
    put(flat, " }");
}

/* Exact: the denominator's only primes are 2 and 5 (ast_number sees to that), so the digits end. */
static void print_number(Flat *flat, const Node *node)
{
    char text[32];
    if (node->text) {
        put(flat, node->text);
    } else if (!rational_valid(node->value)) {
        snprintf(text, sizeof text, "%.17g", node->real);
        put(flat, text);
    } else {
        BFM_ASSERT(node->value.num >= 0);
        snprintf(text, sizeof text, "%" PRId64, node->value.num / node->value.den);
        put(flat, text);
        uint64_t den = (uint64_t)node->value.den, rest = (uint64_t)node->value.num % den; /* den divides 10^18: ten times the rest fits */
        if (rest != 0)
            put(flat, ".");
        for (int i = 0; rest != 0 && i < 18; i++) {
            rest *= 10;
            str_push(flat->out, (char)('0' + (int)(rest / den)));
            rest %= den;
        }
    }
}

static void print_quantity(Flat *flat, const Node *node)
{
    put_bare(flat, node->kids[QUANTITY_AMOUNT]);
    put(flat, " ");
    put(flat, node->name);
}

static void put_string(Flat *flat, const char *content)
{
    put(flat, "\"");
    for (const char *c = content; *c; c++) {
        if (*c == '\n')
            put(flat, "\\n");
        else if (*c == '\t')
            put(flat, "\\t");
        else if (*c == '"' || *c == '\\')
            str_printf(flat->out, "\\%c", *c);
        else
            str_push(flat->out, *c);
    }
    put(flat, "\"");
}

static void print_string(Flat *flat, const Node *node) { put_string(flat, node->name); }
static void print_name(Flat *flat, const Node *node) { put(flat, node->name); }
static void print_bool(Flat *flat, const Node *node) { put(flat, node->op ? "true" : "false"); }

static void print_field(Flat *flat, const Node *node)
{
    put_bare(flat, node->kids[FIELD_OBJECT]);
    put(flat, ".");
    put(flat, node->name);
}

static void print_subscript(Flat *flat, const Node *node)
{
    put(flat, node->name);
    put_brackets(flat, node->kids[SUBSCRIPT_ENTRIES]);
}

static void print_next_value(Flat *flat, const Node *node)
{
    put(flat, "next ");
    put_bare(flat, node->kids[NEXT_VALUE_OBJECT]);
}

static void print_tuple(Flat *flat, const Node *node) { put_enclosed(flat, "(", node->kids[TUPLE_PARTS], ")"); }

static void print_arg(Flat *flat, const Node *node)
{
    put(flat, node->name);
    put(flat, " = ");
    flat_node(flat, node->kids[ARG_VALUE]);
}

static void print_index(Flat *flat, const Node *node)
{
    put(flat, node->name);
    put(flat, " in ");
    flat_node(flat, node->kids[INDEX_LOW]);
    put(flat, " ..< ");
    flat_node(flat, node->kids[INDEX_HIGH]);
}

static void print_target(Flat *flat, const Node *node)
{
    put(flat, node->name);
    put_brackets(flat, node->kids[TARGET_ENTRIES]);
}

/* ---- declarations ---- */

static void print_error(Flat *flat, const Node *node)
{
    (void)node;
    put(flat, "/* error */");
}

static void print_use(Flat *flat, const Node *node)
{
    put(flat, "use ");
    put(flat, node->name);
}

static void print_default(Flat *flat, const Node *node)
{
    put(flat, "default ");
    put(flat, node->name);
    put(flat, " = ");
    flat->depth++;
    flat_node(flat, node->kids[DEFAULT_VALUE]);
    flat->depth--;
}

static void print_type(Flat *flat, const Node *node)
{
    const Node *choices = node->kids[TYPE_CHOICES];
    for (int i = 0; i < list_count(choices); i++) {
        put(flat, i > 0 ? ", " : "{ ");
        put(flat, choices->kids[i]->name);
    }
    put(flat, choices ? " }" : ast_type_text(node->op));
    if (node->op & AST_TYPE_OR_NONE)
        put(flat, " | none");
}

static void put_default(Flat *flat, const Node *value)
{
    if (!value)
        return;
    put(flat, " = ");
    flat_node(flat, value);
}

static void print_attribute(Flat *flat, const Node *node)
{
    put(flat, node->name);
    put(flat, ": ");
    flat_node(flat, node->kids[ATTRIBUTE_TYPE]);
    put_default(flat, node->kids[ATTRIBUTE_DEFAULT]);
}

static void print_input(Flat *flat, const Node *node)
{
    put(flat, node->name);
    put_brackets(flat, node->kids[INPUT_AXES]);
    if (node->kids[INPUT_TYPE]) {
        put(flat, ": ");
        flat_node(flat, node->kids[INPUT_TYPE]);
    }
    put_default(flat, node->kids[INPUT_DEFAULT]);
}

static void print_result(Flat *flat, const Node *node)
{
    put(flat, "-> ");
    if (node->name)
        put(flat, node->name);
    put_brackets(flat, node->kids[RESULT_AXES]);
}

static void put_overrides(Flat *flat, const Node *norm, const Node *wiring)
{
    put_clause(flat, "norm = ", norm);
    put_clause(flat, "wiring = ", wiring);
}

static void put_params(Flat *flat, const Node *node)
{
    const Node *inputs = node->kids[DEFINITION_INPUTS], *params = node->kids[DEFINITION_PARAMS];
    put(flat, "(");
    flat->depth++;
    put_items(flat, inputs);
    if (params->count > 0) {
        put(flat, "; ");
        if (inputs->count > 0)
            break_here(flat, 0);
        put_items(flat, params);
    }
    flat->depth--;
    put(flat, ")");
}

static void head_definition(Flat *flat, const Node *node)
{
    put(flat, ast_def_text(node->op));
    put(flat, " ");
    put(flat, node->name);
    put_params(flat, node);
    put_clause(flat, "", node->kids[DEFINITION_RESULT]);
    put_overrides(flat, node->kids[DEFINITION_NORM], node->kids[DEFINITION_WIRING]);
}

static void head_block(Flat *flat, const Node *node)
{
    put(flat, "block ");
    put(flat, node->name);
    put_enclosed(flat, "(", node->kids[BLOCK_ATTRIBUTES], ")");
    put_overrides(flat, node->kids[BLOCK_NORM], node->kids[BLOCK_WIRING]);
}

static void head_model(Flat *flat, const Node *node)
{
    put(flat, "model ");
    put(flat, node->name);
    if (node->kids[MODEL_ATTRIBUTES]->count > 0)
        put_enclosed(flat, "(", node->kids[MODEL_ATTRIBUTES], ")");
    put_overrides(flat, node->kids[MODEL_NORM], node->kids[MODEL_WIRING]);
}

/* ---- lines of blocks ---- */

static void put_label(Flat *flat, const Node *node)
{
    if (!node->name)
        return;
    put(flat, node->name);
    put(flat, ": ");
}

static void print_line(Flat *flat, const Node *node)
{
    put_label(flat, node);
    put_bare(flat, node->kids[LINE_CALL]);
    put_overrides(flat, node->kids[LINE_NORM], node->kids[LINE_WIRING]);
}

static void head_repeat(Flat *flat, const Node *node)
{
    put(flat, "repeat ");
    flat_node(flat, node->kids[REPEAT_COUNT]);
    if (node->op & AST_SHARED)
        put(flat, " shared");
}

static void head_parallel(Flat *flat, const Node *node)
{
    put_label(flat, node);
    put(flat, "parallel");
}

static void head_at(Flat *flat, const Node *node)
{
    put_label(flat, node);
    put(flat, "at ");
    flat_node(flat, node->kids[AT_WIDTH]);
}

static void print_parallel(Flat *flat, const Node *node)
{
    head_parallel(flat, node);
    put(flat, " {");
    const Node *branches = node->kids[PARALLEL_BRANCHES];
    for (int i = 0; i < branches->count; i++) {
        if (i > 0)
            put(flat, " |");
        const Node *branch = branches->kids[i];
        for (int j = 0; j < branch->count; j++) {
            put(flat, j ? "  " : " ");
            flat_node(flat, branch->kids[j]);
        }
    }
    put(flat, " }");
    flat_tail(flat, node);
}

static void print_setting(Flat *flat, const Node *node) { flat_padded(flat, node, 0); }

/* ---- statements ---- */

static void print_let(Flat *flat, const Node *node)
{
    const Node *targets = node->kids[LET_TARGETS];
    put(flat, "let ");
    if (targets->count == 1) {
        put_assignment(flat, targets->kids[0], " = ", node->kids[LET_VALUE], node->kids[LET_WHERE]);
        return;
    }
    put_enclosed(flat, "(", targets, ") = ");
    flat_node(flat, node->kids[LET_VALUE]);
    put_clause(flat, "where ", node->kids[LET_WHERE]);
}

static void print_param(Flat *flat, const Node *node)
{
    put(flat, node->op & AST_SHARED ? "shared param " : "param ");
    put(flat, node->name);
    put_brackets(flat, node->kids[PARAM_SHAPE]);
    put(flat, node->op & AST_DRAWN ? " ~ " : " = ");
    flat_node(flat, node->kids[PARAM_INIT]);
}

static void print_state(Flat *flat, const Node *node)
{
    put(flat, "state ");
    put(flat, node->name);
    put_brackets(flat, node->kids[STATE_SHAPE]);
    put(flat, " = ");
    flat_node(flat, node->kids[STATE_INIT]);
}

static void print_next(Flat *flat, const Node *node)
{
    put(flat, "next ");
    put_assignment(flat, node->kids[NEXT_TARGET], " = ", node->kids[NEXT_VALUE], node->kids[NEXT_WHERE]);
}

static void print_recur(Flat *flat, const Node *node)
{
    put(flat, "recur ");
    put_assignment(flat, node->kids[RECUR_TARGET], " = ", node->kids[RECUR_VALUE], node->kids[RECUR_WHERE]);
}

static void print_accumulate(Flat *flat, const Node *node)
{
    put_assignment(flat, node->kids[ACCUMULATE_TARGET], " += ", node->kids[ACCUMULATE_VALUE], node->kids[ACCUMULATE_WHERE]);
}

static void print_bind(Flat *flat, const Node *node) { put_assignment(flat, node->kids[BIND_TARGET], " = ", node->kids[BIND_VALUE], node->kids[BIND_WHERE]); }

static void print_loss(Flat *flat, const Node *node)
{
    put(flat, "loss ");
    put(flat, node->name);
    put(flat, " = ");
    flat_node(flat, node->kids[LOSS_VALUE]);
}

static void print_metric(Flat *flat, const Node *node)
{
    put(flat, "metric ");
    put_assignment(flat, node->kids[METRIC_TARGET], " = ", node->kids[METRIC_VALUE], NULL);
    put(flat, " ");
    put(flat, ast_reduction_text(node->op));
}

static void print_require(Flat *flat, const Node *node)
{
    put(flat, "require ");
    flat_node(flat, node->kids[REQUIRE_CONDITION]);
}

static void head_if(Flat *flat, const Node *node)
{
    put(flat, "if ");
    flat_node(flat, node->kids[IF_CONDITION]);
}

static void print_if(Flat *flat, const Node *node)
{
    head_if(flat, node);
    put(flat, " ");
    put_body(flat, node->kids[IF_THEN], "  ");
    const Node *other = node->kids[IF_ELSE];
    if (!other)
        return;
    put(flat, " else ");
    if (other->count == 1 && other->kids[0]->kind == NODE_IF)
        flat_node(flat, other->kids[0]);
    else
        put_body(flat, other, "  ");
}

static void print_return(Flat *flat, const Node *node)
{
    put(flat, "return ");
    put_items(flat, node->kids[RETURN_VALUES]);
}

/* ---- spaces and the rest ---- */

static void print_set(Flat *flat, const Node *node) { put_set(flat, node->kids[SET_ITEMS]); }

static void print_range(Flat *flat, const Node *node)
{
    flat_node(flat, node->kids[RANGE_LOW]);
    put(flat, " .. ");
    flat_node(flat, node->kids[RANGE_HIGH]);
}

static void head_choice(Flat *flat, const Node *node)
{
    put(flat, node->name);
    if (!node->kids[CHOICE_TIMES])
        return;
    put(flat, " * ");
    flat_node(flat, node->kids[CHOICE_TIMES]);
}

static void print_start(Flat *flat, const Node *node)
{
    put(flat, "start from ");
    put(flat, node->name);
}

static void print_bounds(Flat *flat, const Node *node)
{
    put(flat, "where ");
    put_items(flat, node->kids[BOUNDS_CONDITIONS]);
}

static void head_space(Flat *flat, const Node *node)
{
    put(flat, "space ");
    put(flat, node->name);
}

static void head_search(Flat *flat, const Node *node)
{
    put(flat, "search ");
    put(flat, node->name);
}

static void head_recipe(Flat *flat, const Node *node)
{
    put(flat, "recipe ");
    put(flat, node->name);
}

static void head_on(Flat *flat, const Node *node)
{
    put(flat, "on ");
    put_string(flat, node->name);
}

static void head_on_role(Flat *flat, const Node *node)
{
    put(flat, "on role ");
    put(flat, node->name);
}

static void head_check(Flat *flat, const Node *node)
{
    put(flat, "check ");
    put_string(flat, node->name);
}

static void print_list(Flat *flat, const Node *node) { put_items(flat, node); }

static void print_file(Flat *flat, const Node *node)
{
    for (int i = 0; i < node->kids[FILE_ITEMS]->count; i++) {
        if (i > 0)
            put(flat, "  ");
        flat_node(flat, node->kids[FILE_ITEMS]->kids[i]);
    }
}

int flat_name_width(const Node *node)
{
    if (node->kind != NODE_SETTING && node->kind != NODE_DOMAIN)
        return 0;
    return (int)strlen(node->name) + (node->kind == NODE_DOMAIN && node->op == AST_LET ? 4 : 0);
}

void flat_padded(Flat *flat, const Node *node, int width)
{
    bool domain = node->kind == NODE_DOMAIN;
    if (domain && node->op == AST_LET)
        put(flat, "let ");
    put(flat, node->name);
    str_repeat(flat->out, ' ', width - flat_name_width(node));
    put(flat, domain ? " in " : " = ");
    flat->depth++;
    flat_node(flat, node->kids[domain ? DOMAIN_SET : SETTING_VALUE]);
    flat->depth--;
}

/* ---- the table: how a kind without body is written, or what stands before its body ---- */

typedef void FlatPrint(Flat *flat, const Node *node);

typedef struct PrintRow {
    FlatPrint *print; /* NULL: head, then the body in braces */
    FlatPrint *head;
    int body; /* slot, or -1 */
} PrintRow;

static const PrintRow PRINTS[NODE_KIND_COUNT] = {
    [NODE_FILE] = {print_file, NULL, -1},
    [NODE_LIST] = {print_list, NULL, -1},
    [NODE_ERROR] = {print_error, NULL, -1},
    [NODE_USE] = {print_use, NULL, -1},
    [NODE_DEFAULT] = {print_default, NULL, -1},
    [NODE_BLOCK] = {NULL, head_block, BLOCK_BODY},
    [NODE_MODEL] = {NULL, head_model, MODEL_BODY},
    [NODE_DEFINITION] = {NULL, head_definition, DEFINITION_BODY},
    [NODE_INPUT] = {print_input, NULL, -1},
    [NODE_ATTRIBUTE] = {print_attribute, NULL, -1},
    [NODE_TYPE] = {print_type, NULL, -1},
    [NODE_RESULT] = {print_result, NULL, -1},
    [NODE_LINE] = {print_line, NULL, -1},
    [NODE_REPEAT] = {NULL, head_repeat, REPEAT_BODY},
    [NODE_PARALLEL] = {print_parallel, head_parallel, PARALLEL_BRANCHES},
    [NODE_AT] = {NULL, head_at, AT_BODY},
    [NODE_SETTING] = {print_setting, NULL, -1},
    [NODE_LET] = {print_let, NULL, -1},
    [NODE_TARGET] = {print_target, NULL, -1},
    [NODE_INDEX] = {print_index, NULL, -1},
    [NODE_PARAM] = {print_param, NULL, -1},
    [NODE_STATE] = {print_state, NULL, -1},
    [NODE_NEXT] = {print_next, NULL, -1},
    [NODE_RECUR] = {print_recur, NULL, -1},
    [NODE_ACCUMULATE] = {print_accumulate, NULL, -1},
    [NODE_LOSS] = {print_loss, NULL, -1},
    [NODE_METRIC] = {print_metric, NULL, -1},
    [NODE_REQUIRE] = {print_require, NULL, -1},
    [NODE_IF] = {print_if, head_if, IF_THEN},
    [NODE_RETURN] = {print_return, NULL, -1},
    [NODE_BIND] = {print_bind, NULL, -1},
    [NODE_SPACE] = {NULL, head_space, SPACE_ITEMS},
    [NODE_DOMAIN] = {print_setting, NULL, -1},
    [NODE_CHOICE] = {NULL, head_choice, CHOICE_ITEMS},
    [NODE_START] = {print_start, NULL, -1},
    [NODE_BOUNDS] = {print_bounds, NULL, -1},
    [NODE_SET] = {print_set, NULL, -1},
    [NODE_RANGE] = {print_range, NULL, -1},
    [NODE_SEARCH] = {NULL, head_search, SEARCH_ITEMS},
    [NODE_RECIPE] = {NULL, head_recipe, RECIPE_ITEMS},
    [NODE_ON] = {NULL, head_on, ON_ITEMS},
    [NODE_ON_ROLE] = {NULL, head_on_role, ON_ROLE_ITEMS},
    [NODE_CHECK] = {NULL, head_check, CHECK_BODY},
    [NODE_NAME] = {print_name, NULL, -1},
    [NODE_NUMBER] = {print_number, NULL, -1},
    [NODE_QUANTITY] = {print_quantity, NULL, -1},
    [NODE_STRING] = {print_string, NULL, -1},
    [NODE_BOOL] = {print_bool, NULL, -1},
    [NODE_CALL] = {print_call, NULL, -1},
    [NODE_AS] = {print_as, NULL, -1},
    [NODE_ARG] = {print_arg, NULL, -1},
    [NODE_FIELD] = {print_field, NULL, -1},
    [NODE_SUBSCRIPT] = {print_subscript, NULL, -1},
    [NODE_NEXT_VALUE] = {print_next_value, NULL, -1},
    [NODE_TUPLE] = {print_tuple, NULL, -1},
    [NODE_REDUCE] = {print_reduce, NULL, -1},
    [NODE_OVER] = {print_over, NULL, -1},
    [NODE_UNARY] = {print_unary, NULL, -1},
    [NODE_BINARY] = {print_binary, NULL, -1},
    [NODE_IF_VALUE] = {print_if_value, NULL, -1},
};

int body_slot(const Node *node)
{
    if (node->kind == NODE_DEFINITION && !node->kids[DEFINITION_BODY])
        return -1;
    return PRINTS[node->kind].body;
}

void flat_head(Flat *flat, const Node *node) { PRINTS[node->kind].head(flat, node); }

void flat_tail(Flat *flat, const Node *node)
{
    if (node->kind == NODE_PARALLEL)
        put_overrides(flat, node->kids[PARALLEL_NORM], node->kids[PARALLEL_WIRING]);
}

static void put_bare(Flat *flat, const Node *node)
{
    const PrintRow *row = &PRINTS[node->kind];
    if (row->print) {
        row->print(flat, node);
        return;
    }
    row->head(flat, node);
    if (body_slot(node) >= 0) {
        put(flat, " ");
        put_body(flat, node->kids[row->body], node->kind == NODE_CHOICE ? ", " : "  ");
    } else {
        put(flat, " = ");
        break_here(flat, 0);
        flat->depth++;
        flat_node(flat, node->kids[DEFINITION_VALUE]);
        flat->depth--;
    }
}

void flat_node(Flat *flat, const Node *node) { put_expr(flat, node, 0); }

void flat_assertion(Flat *flat, const Node *node)
{
    Str text = {0};
    Flat inner = {&text, flat->depth + 1};
    flat_node(&inner, node);
    bool minus = *str_text(&text) == '-';
    if (minus)
        put(flat, "(");
    put(flat, str_text(&text));
    if (minus)
        put(flat, ")");
    str_free(&text);
}
