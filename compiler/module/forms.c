/* The form of definitions: what each kind may consist of, and names declared twice. Everything here follows from the text alone, so it is reported
   for every definition of every file, whether or not a model uses it. */
#include "module/forms.h"

#include "support/pointer_map.h"
#include "support/vec.h"

#include <string.h>

typedef struct Form {
    bool body, value; /* in braces; after `=` */
    int least, most;  /* how many inputs it takes */
    bool axes;        /* its inputs have axes: x[b, l, d] */
    bool ambient, attributes, result;
    const char *example;
    const char *inputs; /* what it takes, where `least` to `most` is the matter */
} Form;

enum { INPUTS_MAX = 8 };

/* clang-format off */
static const Form FORMS[AST_DEF_COUNT] = {
    /*                       body   value  least most       axes   ambient attributes result */
    [AST_DEF_LAYER]     = {  true,  false, 0,    INPUTS_MAX, true,  true,  true,      true,  "layer f(x[b, l, d]; hidden: width = 64) -> [b, l, d] { … return y[b, l, o] = … }", "at most 8 tensors" },
    [AST_DEF_ROUTER]    = {  true,  false, 1,    INPUTS_MAX, true,  true,  true,      true,  "router r(x[g, t, d]; choices: count = 1) -> pairs { … return … }", "a tensor x[g, t, d], and at most 8" },
    [AST_DEF_NORM]      = {  true,  false, 1,    1,          true,  true,  true,      true,  "norm n(x[b, l, d]; eps: real = 1e-6) -> [b, l, d] { … return y[b, l, i] = … }", "one tensor" },
    [AST_DEF_FN]        = {  false, true,  0,    INPUTS_MAX, false, false, false,     false, "fn f(x) = max(x, 0)", "at most 8 numbers" },
    [AST_DEF_WIRING]    = {  false, true,  3,    3,          false, false, false,     false, "wiring w(x, f, norm) = x + f(norm(x))", "(x, f, norm): the stream, the sub-layer and the norm" },
    [AST_DEF_OPTIMIZER] = {  true,  false, 2,    2,          true,  false, true,      false, "optimizer o(w[], g[]; rate: real) { return w - rate * g }", "a tensor and its gradient: (w[m, n], g[m, n]; …)" },
    [AST_DEF_SCHEDULE]  = {  true,  true,  0,    0,          false, false, true,      false, "schedule s(; hold: real = 100) = min(1, hold / max(step, 1))", "no inputs: it reads `step` and `steps`" },
};
/* clang-format on */

typedef struct Declared {
    Symbol name;
    Span span;
    const char *what;
} Declared;

/* One item under examination. */
typedef struct Check {
    Module *module;
    const Node *item;
    VEC(Declared) names; /* of its signature */
    PointerMap numbers;  /* by name */
    bool broken;
} Check;

/* ---- names of a signature ---- */

static void declare(Check *check, Symbol name, Span span, const char *what)
{
    const int known = pointer_map_find(&check->numbers, name);
    if (known >= 0 && strcmp(name, "_") != 0) {
        const Declared *first = &check->names.items[known];
        Diagnostic *diag = diag_add(check->module->diags, DIAG_E0206, span, "`%s` declares `%s` twice", check->item->name, name);
        diag_label(check->module->diags, diag, first->span, "the first is %s", first->what);
        diag_fix(check->module->diags, diag, "give one of them another name");
        check->broken = true;
        return;
    }
    pointer_map_set(&check->numbers, name, check->names.count);
    vec_push(&check->names, (Declared){name, span, what});
}

/* An axis may subscript several inputs: equal names are equal extents. */
static void declare_axes(Check *check, const Node *entries)
{
    for (int i = 0; i < list_count(entries); i++) {
        const Node *entry = list_at(entries, i);
        if (entry->kind == NODE_TUPLE) {
            declare_axes(check, entry->kids[TUPLE_PARTS]);
            continue;
        }
        const int known = entry->kind == NODE_NAME ? pointer_map_find(&check->numbers, entry->name) : -1;
        if (entry->kind == NODE_NAME && (known < 0 || strcmp(check->names.items[known].what, "an axis") != 0))
            declare(check, entry->name, entry->span, "an axis");
    }
}

static void check_choices(Check *check, const Node *attribute)
{
    const Node *choices = attribute->kids[ATTRIBUTE_TYPE]->kind == NODE_TYPE ? attribute->kids[ATTRIBUTE_TYPE]->kids[TYPE_CHOICES] : NULL;
    PointerMap words = {0};
    for (int i = 0; i < list_count(choices); i++) {
        const Node *choice = list_at(choices, i);
        const int first = pointer_map_find(&words, choice->name);
        if (first < 0) {
            pointer_map_set(&words, choice->name, i);
            continue;
        }
        Diagnostic *diag = diag_add(check->module->diags, DIAG_E0206, choice->span, "`%s` allows the word `%s` twice", attribute->name, choice->name);
        diag_label(check->module->diags, diag, list_at(choices, first)->span, "the first is here");
        check->broken = true;
    }
    pointer_map_free(&words);
}

static void declare_params(Check *check, const Node *params)
{
    for (int i = 0; i < list_count(params); i++) {
        const Node *param = list_at(params, i);
        if (param->kind == NODE_ATTRIBUTE) {
            declare(check, param->name, param->span, "an attribute");
            check_choices(check, param);
        } else if (param->kind == NODE_INPUT) {
            declare(check, param->name, param->span, "an ambient input");
        }
    }
}

static void check_signature(Check *check)
{
    const Node *item = check->item;
    if (item->kind != NODE_DEFINITION) {
        declare_params(check, item->kids[item->kind == NODE_BLOCK ? BLOCK_ATTRIBUTES : MODEL_ATTRIBUTES]);
        return;
    }
    const Node *inputs = item->kids[DEFINITION_INPUTS];
    for (int i = 0; i < list_count(inputs); i++)
        declare(check, list_at(inputs, i)->name, list_at(inputs, i)->span, "an input");
    for (int i = 0; i < list_count(inputs); i++)
        declare_axes(check, list_at(inputs, i)->kids[INPUT_AXES]);
    declare_params(check, item->kids[DEFINITION_PARAMS]);
}

/* ---- parts ---- */

/* "a layer", "an optimizer" */
static const char *a_kind(const Check *check)
{
    const char *kind = ast_def_text(check->item->op);
    return arena_printf(check->module->arena, "%s %s", strchr("aeiou", *kind) ? "an" : "a", kind);
}

static void malformed(Check *check, Span span, const char *what)
{
    Diagnostic *diag = diag_add(check->module->diags, DIAG_E0208, span, "%s", what);
    diag_fix(check->module->diags, diag, "write `%s`", FORMS[check->item->op].example);
    check->broken = true;
}

static bool holds(const Node *node, NodeKind kind)
{
    if (!node)
        return false;
    if (node->kind == kind)
        return true;
    for (int i = 0; i < node->count; i++)
        if (holds(node->kids[i], kind))
            return true;
    return false;
}

/* Braces where `=` belongs, or the reverse; braces that return nothing. */
static void check_value(Check *check)
{
    const Form *form = &FORMS[check->item->op];
    Arena *arena = check->module->arena;
    const Node *body = check->item->kids[DEFINITION_BODY];
    if (body && !form->body) {
        malformed(check, body->span, arena_printf(arena, "%s is one expression after `=`: it has no body in braces", a_kind(check)));
    } else if (!body && !form->value) {
        malformed(check, check->item->kids[DEFINITION_VALUE]->span,
                  arena_printf(arena, "%s has a body in braces that returns its result, not an expression after `=`", a_kind(check)));
    } else if (body && !holds(body, NODE_RETURN) && !holds(body, NODE_ERROR)) {
        Diagnostic *diag = diag_add(check->module->diags, DIAG_E0406, check->item->name_span, "`%s` returns nothing", check->item->name);
        diag_fix(check->module->diags, diag, "end the body with `return`: `%s`", form->example);
        check->broken = true;
    }
}

static void check_inputs(Check *check)
{
    const Form *form = &FORMS[check->item->op];
    Arena *arena = check->module->arena;
    const Node *inputs = check->item->kids[DEFINITION_INPUTS];
    const int count = list_count(inputs);
    if (count < form->least || count > form->most) {
        malformed(check, count ? inputs->span : check->item->name_span, arena_printf(arena, "%s takes %s; `%s` takes %d", a_kind(check), form->inputs, check->item->name, count));
        return;
    }
    for (int i = 0; i < count; i++) {
        const Node *input = list_at(inputs, i);
        if (input->kind != NODE_INPUT || (input->kids[INPUT_AXES] != NULL) == form->axes)
            continue;
        malformed(check, input->span,
                  arena_printf(arena, form->axes ? "%s names the axes of `%s` in brackets" : "%s has inputs without axes; `%s` has some", a_kind(check), input->name));
        return;
    }
}

/* A form of an optimiser looks at the last axes of a tensor, and its gradient has the same. */
static void check_operands(Check *check)
{
    enum { FORM_AXES_MAX = 2 };
    const Node *inputs = check->item->kids[DEFINITION_INPUTS], *w = list_at(inputs, 0), *g = list_at(inputs, 1);
    const Node *axes = w->kids[INPUT_AXES], *others = g->kids[INPUT_AXES];
    bool same = list_count(axes) == list_count(others);
    for (int i = 0; same && i < list_count(axes); i++)
        same = node_equal(list_at(axes, i), list_at(others, i));
    if (list_count(axes) > FORM_AXES_MAX)
        malformed(check, w->span, "a form of an optimizer looks at two axes at most; it is applied along all others");
    else if (!same)
        malformed(check, g->span, arena_printf(check->module->arena, "the gradient `%s` has not the axes of `%s`", g->name, w->name));
}

static void check_params(Check *check)
{
    const Form *form = &FORMS[check->item->op];
    Arena *arena = check->module->arena;
    const Node *params = check->item->kids[DEFINITION_PARAMS];
    for (int i = 0; i < list_count(params); i++) {
        const Node *param = list_at(params, i);
        if (param->kind == NODE_ERROR || (param->kind == NODE_ATTRIBUTE ? form->attributes : form->ambient))
            continue;
        malformed(check, param->span,
                  arena_printf(arena, "%s has no %s, but `%s` declares `%s`", a_kind(check), param->kind == NODE_ATTRIBUTE ? "attributes" : "ambient inputs", check->item->name,
                               param->name));
        return;
    }
    if (check->item->kids[DEFINITION_RESULT] && !form->result)
        malformed(check, check->item->kids[DEFINITION_RESULT]->span, arena_printf(arena, "%s does not declare the axes of its result", a_kind(check)));
}

/* ---- names of a file ---- */

/* How lines and expressions name it: two items of one file that answer to the same name in the same place cannot be told apart. */
static bool names_clash(const Node *a, const Node *b)
{
    const bool a_layer = a->kind == NODE_DEFINITION || a->kind == NODE_BLOCK, b_layer = b->kind == NODE_DEFINITION || b->kind == NODE_BLOCK;
    if (a->kind == NODE_CHECK || b->kind == NODE_CHECK || !(a->kind == b->kind || (a_layer && b_layer)))
        return false;
    if (a->kind != NODE_DEFINITION || b->kind != NODE_DEFINITION)
        return true;
    const bool apart = (a->op == AST_DEF_OPTIMIZER || a->op == AST_DEF_SCHEDULE) != (b->op == AST_DEF_OPTIMIZER || b->op == AST_DEF_SCHEDULE);
    const Node *first = list_at(a->kids[DEFINITION_INPUTS], 0), *second = list_at(b->kids[DEFINITION_INPUTS], 0);
    if (a->op == AST_DEF_OPTIMIZER && b->op == AST_DEF_OPTIMIZER) /* forms, by the axes they look at */
        return first && second && list_count(first->kids[INPUT_AXES]) == list_count(second->kids[INPUT_AXES]);
    return !apart && (a->op == b->op || (a->op != AST_DEF_OPTIMIZER && a->op != AST_DEF_SCHEDULE));
}

/* Of a form of an optimiser; -1 without inputs. */
static int form_axes(const Node *form)
{
    const Node *inputs = form->kids[DEFINITION_INPUTS];
    return list_count(inputs) > 0 ? list_count(list_at(inputs, 0)->kids[INPUT_AXES]) : -1;
}

/* Items that clash with the same others: of these only the first need be compared. */
static bool same_kind(const Node *a, const Node *b)
{
    if (a->kind != b->kind || a->kind != NODE_DEFINITION || a->op != b->op)
        return a->kind == b->kind && a->kind != NODE_DEFINITION;
    return a->op != AST_DEF_OPTIMIZER || form_axes(a) == form_axes(b);
}

static void report_duplicate(const Module *module, const Node *a, const Node *b)
{
    const bool forms = a->kind == NODE_DEFINITION && a->op == AST_DEF_OPTIMIZER && b->kind == NODE_DEFINITION && b->op == AST_DEF_OPTIMIZER;
    const int axes = forms ? form_axes(b) : 0;
    Diagnostic *diag = forms ? diag_add(module->diags, DIAG_E0206, b->name_span, "`%s` has two forms for tensors of %d %s", b->name, axes, axes_word(axes))
                             : diag_add(module->diags, DIAG_E0206, b->name_span, "`%s` is defined twice", b->name);
    diag_label(module->diags, diag, a->name_span, "the first is here");
}

/* Sets first[i] to the earlier item that i cannot be told from, -1, for all items of one name; one file's stand together. */
static void find_duplicates(const Module *module, int at, int *first)
{
    VEC(int) kinds = {0}; /* the first of each kind in the file at hand */
    for (int file = -1; at >= 0; at = module->items[at].next) {
        const Node *item = module->items[at].node;
        if (module->items[at].file != file)
            kinds.count = 0;
        file = module->items[at].file;
        if (item->kind == NODE_CHECK || module_malformed(module, item))
            continue;
        bool known = false;
        for (int k = 0; k < kinds.count && !(known && first[at] >= 0); k++) {
            const Node *other = module->items[kinds.items[k]].node;
            if (first[at] < 0 && names_clash(other, item))
                first[at] = kinds.items[k];
            known = known || same_kind(other, item);
        }
        if (!known)
            vec_push(&kinds, at);
    }
    vec_free(&kinds);
}

static void check_duplicates(const Module *module)
{
    int *first = ARENA_ARRAY(module->arena, int, module->item_count + 1);
    for (int i = 0; i < module->item_count; i++)
        first[i] = -1;
    for (int i = 0; i < module->item_count; i++)
        if (module_first(module, module->items[i].node->name) == i)
            find_duplicates(module, i, first);
    for (int i = 0; i < module->item_count; i++)
        if (first[i] >= 0)
            report_duplicate(module, module->items[first[i]].node, module->items[i].node);
}

bool forms_check_item(Module *module, Node *item)
{
    Check check = {.module = module, .item = item};
    if (module_malformed(module, item)) /* its tree has holes */
        return false;
    if (item->kind == NODE_DEFINITION) {
        check_value(&check);
        check_inputs(&check);
        check_params(&check);
        if (item->op == AST_DEF_OPTIMIZER && !check.broken)
            check_operands(&check);
    }
    if (item->kind == NODE_DEFINITION || item->kind == NODE_BLOCK || item->kind == NODE_MODEL)
        check_signature(&check);
    if (check.broken)
        item->layout |= NODE_BROKEN;
    vec_free(&check.names);
    pointer_map_free(&check.numbers);
    return !check.broken;
}

void forms_check(Module *module)
{
    check_duplicates(module);
    for (int i = 0; i < module->item_count; i++)
        (void)forms_check_item(module, (Node *)module->items[i].node);
}
