/* The form of definitions: what each kind may consist of, and names declared twice. Everything here follows from the text alone, so it is reported
   for every definition of every file, whether or not a model uses it. */
#include "module/forms.h"

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
    bool broken;
} Check;

/* ---- names of a signature ---- */

static void declare(Check *check, Symbol name, Span span, const char *what)
{
    for (int i = 0; i < check->names.count; i++) {
        const Declared *first = &check->names.items[i];
        if (first->name != name || strcmp(name, "_") == 0)
            continue;
        Diagnostic *diag = diag_add(check->module->diags, DIAG_E0206, span, "`%s` declares `%s` twice", check->item->name, name);
        diag_label(check->module->diags, diag, first->span, "the first is %s", first->what);
        diag_fix(check->module->diags, diag, "give one of them another name");
        check->broken = true;
        return;
    }
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
        bool known = entry->kind != NODE_NAME;
        for (int k = 0; k < check->names.count; k++)
            known = known || (check->names.items[k].name == entry->name && strcmp(check->names.items[k].what, "an axis") == 0);
        if (!known)
            declare(check, entry->name, entry->span, "an axis");
    }
}

static void check_choices(Check *check, const Node *attribute)
{
    const Node *choices = attribute->kids[ATTRIBUTE_TYPE]->kind == NODE_TYPE ? attribute->kids[ATTRIBUTE_TYPE]->kids[TYPE_CHOICES] : NULL;
    for (int i = 0; i < list_count(choices); i++)
        for (int k = 0; k < i; k++)
            if (list_at(choices, k)->name == list_at(choices, i)->name) {
                Diagnostic *diag =
                    diag_add(check->module->diags, DIAG_E0206, list_at(choices, i)->span, "`%s` allows the word `%s` twice", attribute->name, list_at(choices, i)->name);
                diag_label(check->module->diags, diag, list_at(choices, k)->span, "the first is here");
                check->broken = true;
                break;
            }
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

static void check_duplicates(const Module *module)
{
    for (int i = 0; i < module->item_count; i++) {
        const Node *b = module->items[i].node;
        for (int k = module_malformed(module, b) ? -1 : module_first(module, b->name); k >= 0 && k < i; k = module->items[k].next) {
            const Node *a = module->items[k].node;
            if (module->items[k].file != module->items[i].file || module_malformed(module, a) || !names_clash(a, b))
                continue;
            Diagnostic *diag = a->kind == NODE_DEFINITION && a->op == AST_DEF_OPTIMIZER && b->kind == NODE_DEFINITION && b->op == AST_DEF_OPTIMIZER
                                   ? diag_add(module->diags, DIAG_E0206, b->name_span, "`%s` has two forms for tensors of %d %s", b->name,
                                              list_count(list_at(b->kids[DEFINITION_INPUTS], 0)->kids[INPUT_AXES]),
                                              axes_word(list_count(list_at(b->kids[DEFINITION_INPUTS], 0)->kids[INPUT_AXES])))
                                   : diag_add(module->diags, DIAG_E0206, b->name_span, "`%s` is defined twice", b->name);
            diag_label(module->diags, diag, a->name_span, "the first is here");
            break;
        }
    }
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
    return !check.broken;
}

void forms_check(Module *module)
{
    check_duplicates(module);
    for (int i = 0; i < module->item_count; i++)
        (void)forms_check_item(module, (Node *)module->items[i].node);
}
