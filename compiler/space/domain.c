/* Domains: sets of values, some of which are definitions whose attributes have domains themselves. They are never written out; how many values they hold is
   count.c's. */
#include "space/internal.h"

#include "support/bug.h"

#include <string.h>

static int attribute_position(SpaceLower *sl, const Node *definition, Symbol name) { return list_position(sl->lw, definition->kids[DEFINITION_PARAMS], NODE_ATTRIBUTE, name); }

const Domain *box_domain(SpaceLower *sl, const Box *box, Symbol name)
{
    const int at = attribute_position(sl, box->definition, name);
    return at >= 0 && box->numbers[at] > 0 ? &box->attributes[box->numbers[at] - 1].domain : NULL;
}

static void box_add(SpaceLower *sl, Box *box, Symbol name, Domain domain)
{
    box->attributes[box->count++] = (DomainAttribute){.name = name, .domain = domain};
    box->numbers[attribute_position(sl, box->definition, name)] = box->count;
}

/* ---- building ---- */

static bool names_nothing(const Node *node)
{
    switch ((int)node->kind) {
    case NODE_NUMBER:
    case NODE_BOOL: return true;
    case NODE_UNARY: return names_nothing(node->kids[UNARY_OPERAND]);
    case NODE_BINARY: return names_nothing(node->kids[BINARY_LEFT]) && names_nothing(node->kids[BINARY_RIGHT]);
    }
    return false;
}

/* A default that depends on no other attribute: a word, a definition's name, arithmetic on numbers. */
bool constant_default(const Node *attribute)
{
    const Node *value = attribute->kids[ATTRIBUTE_DEFAULT];
    const int type = attribute->kids[ATTRIBUTE_TYPE]->op & ~AST_TYPE_OR_NONE;
    const bool number = type == AST_TYPE_INT || type == AST_TYPE_REAL || type == AST_TYPE_COUNT || type == AST_TYPE_WIDTH || type == AST_TYPE_BOOL;
    return value && (names_nothing(value) || (value->kind == NODE_NAME && (!number || strcmp(value->name, "none") == 0)));
}

static Domain single(SpaceLower *sl, DomainItem item)
{
    Domain domain = {.let = -1, .count = 1, .items = ARENA_NEW(sl->lw->arena, DomainItem)};
    domain.items[0] = item;
    return domain;
}

/* A value: a definition with attributes becomes a box, whether or not domains stand among them. */
static bool item_build(SpaceLower *sl, const Node *type, const Node *node, Symbol name, DomainItem *item)
{
    Lower *lw = sl->lw;
    const int kind = type->op & ~AST_TYPE_OR_NONE;
    const bool names_definition = kind == AST_TYPE_FN || kind == AST_TYPE_ROUTER || kind == AST_TYPE_NORM || kind == AST_TYPE_LAYER || kind == AST_TYPE_WIRING;
    const Node *arguments = names_definition && node->kind == NODE_CALL ? node->kids[CALL_ARGS] : NULL;
    Node *plain = ast_name(lw->arena, node->name);
    plain->span = node->span;
    const Val value = attribute_value(lw, type, arguments ? plain : node, sl->scope, name);
    *item = (DomainItem){0};
    if (value.kind == VAL_DEF)
        return box_build(sl, value.def->node, arguments, node->span, false, &item->box);
    item->text = val_text(lw, &value);
    item->node = node;
    return value.kind != VAL_POISON;
}

static int let_number(const SpaceLower *sl, const Node *node)
{
    for (int i = 0; node->kind == NODE_NAME && i < sl->space->let_count; i++)
        if (sl->space->lets[i].name == node->name)
            return i;
    return -1;
}

/* The values of a let, checked against the type of each place that uses it. */
static bool let_build(SpaceLower *sl, const Node *type, int let, Symbol name, Domain *domain)
{
    Domain values;
    const unsigned used = sl->used;
    if (!domain_build(sl, type, sl->let_sets[let], name, &values))
        return false;
    if (sl->used != used) {
        diag_add(sl->lw->diags, DIAG_E0602, sl->let_sets[let]->span, "the domain of a `let` lists values, no other `let`");
        return false;
    }
    if (!sl->let_known[let])
        sl->let_domains[let] = values;
    sl->let_known[let] = true;
    sl->used |= 1U << let;
    *domain = (Domain){.let = let};
    return true;
}

static bool range_end(SpaceLower *sl, const Node *type, const Node *node, Symbol name, int64_t *end)
{
    const Val value = attribute_value(sl->lw, type, node, sl->scope, name);
    if (value.kind == VAL_POISON)
        return false;
    if (val_int(&value, end))
        return true;
    diag_add(sl->lw->diags, DIAG_E0602, node->span, "the ends of a range are whole numbers, not %s", val_text(sl->lw, &value));
    return false;
}

static bool range_build(SpaceLower *sl, const Node *type, const Node *node, Symbol name, Domain *domain)
{
    domain->range = true;
    if (!range_end(sl, type, node->kids[RANGE_LOW], name, &domain->low) || !range_end(sl, type, node->kids[RANGE_HIGH], name, &domain->high))
        return false;
    if (domain->low <= domain->high)
        return true;
    Diagnostic *diag = diag_add(sl->lw->diags, DIAG_E0602, node->span, "this range is empty: %lld is more than %lld", (long long)domain->low, (long long)domain->high);
    diag_fix(sl->lw->diags, diag, "write the lower end first");
    return false;
}

bool domain_build(SpaceLower *sl, const Node *type, const Node *node, Symbol name, Domain *domain)
{
    Lower *lw = sl->lw;
    *domain = (Domain){.let = -1};
    if (node->kind == NODE_RANGE)
        return range_build(sl, type, node, name, domain);
    const int let = let_number(sl, node);
    if (let >= 0)
        return let_build(sl, type, let, name, domain);
    const Node *set = node->kind == NODE_SET ? node->kids[SET_ITEMS] : NULL;
    const int count = set ? list_count(set) : 1;
    if (count == 0) {
        diag_fix(lw->diags, diag_add(lw->diags, DIAG_E0602, node->span, "the domain of `%s` is empty", name), "give it a value: `%s in { … }`", name);
        return false;
    }
    bool ok = true;
    domain->items = ARENA_ARRAY(lw->arena, DomainItem, count);
    for (int i = 0; i < count; i++) {
        const Node *value = set ? list_at(set, i) : node;
        if (set && let_number(sl, value) >= 0) {
            diag_fix(lw->diags, diag_add(lw->diags, DIAG_E0602, value->span, "the `let` `%s` cannot be one value among others", value->name), "write `%s = %s`", name, value->name);
            ok = false;
        } else if (item_build(sl, type, value, name, &domain->items[domain->count])) {
            domain->count++;
        } else {
            ok = false;
        }
    }
    return ok;
}

static const Node *argument_value(const Node *argument)
{
    switch ((int)argument->kind) {
    case NODE_DOMAIN: return argument->kids[DOMAIN_SET];
    case NODE_SETTING: return argument->kids[SETTING_VALUE];
    case NODE_ARG: return argument->kids[ARG_VALUE];
    }
    return NULL;
}

static void unknown_attribute(SpaceLower *sl, const Node *definition, const Node *argument)
{
    if (argument->name && argument_value(argument))
        attribute_unknown(sl->lw, definition, definition->kids[DEFINITION_PARAMS], argument);
    else
        diag_add(sl->lw->diags, DIAG_E0203, argument->span, "attributes of `%s` are given by name", definition->name);
}

static bool given_twice(SpaceLower *sl, const Node *arguments, int at)
{
    static const NodeKind KINDS[] = {NODE_DOMAIN, NODE_SETTING, NODE_ARG};
    const Node *argument = list_at(arguments, at);
    int first = at;
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++) {
        const int other = list_position(sl->lw, arguments, KINDS[i], argument->name);
        first = other >= 0 && other < first ? other : first;
    }
    if (first < at)
        diag_label(sl->lw->diags, diag_add(sl->lw->diags, DIAG_E0206, argument->span, "`%s` is given twice", argument->name), list_at(arguments, first)->span, "first here");
    return first < at;
}

static bool from_model(Symbol name) { return strcmp(name, "context") == 0 || strcmp(name, "vocab") == 0; }

/* What is not given: its default, or nothing where that depends on the rest. */
static bool box_defaults(SpaceLower *sl, const Node *definition, Span span, bool all_required, Box *box)
{
    Lower *lw = sl->lw;
    const Node *attributes = definition->kids[DEFINITION_PARAMS];
    bool ok = true;
    for (int i = 0; i < list_count(attributes); i++) {
        const Node *attribute = list_at(attributes, i);
        if (attribute->kind != NODE_ATTRIBUTE || box_domain(sl, box, attribute->name))
            continue;
        if (constant_default(attribute)) {
            DomainItem item;
            if (item_build(sl, attribute->kids[ATTRIBUTE_TYPE], attribute->kids[ATTRIBUTE_DEFAULT], attribute->name, &item)) {
                box_add(sl, box, attribute->name, single(sl, item));
                box->attributes[box->count - 1].standard = true;
            }
        } else if (!attribute->kids[ATTRIBUTE_DEFAULT] && all_required && !from_model(attribute->name)) {
            Diagnostic *diag = diag_add(lw->diags, DIAG_E0204, span, "`%s` needs the attribute `%s`", definition->name, attribute->name);
            diag_fix(lw->diags, diag, "give it a domain, `%s in { … }`, or a value", attribute->name);
            ok = false;
        }
    }
    return ok;
}

bool box_build(SpaceLower *sl, const Node *definition, const Node *arguments, Span span, bool all_required, Box *box)
{
    const Node *attributes = definition->kids[DEFINITION_PARAMS];
    *box = (Box){.definition = definition,
                 .attributes = ARENA_ARRAY(sl->lw->arena, DomainAttribute, list_count(attributes) + list_count(arguments) + 1),
                 .numbers = ARENA_ARRAY(sl->lw->arena, int, list_count(attributes) + 1)};
    bool ok = true, named = true;
    for (int i = 0; i < list_count(arguments); i++) {
        const Node *argument = list_at(arguments, i), *value = argument_value(argument);
        if (argument->kind == NODE_ERROR)
            continue;
        const Node *attribute = value ? list_find(sl->lw, attributes, NODE_ATTRIBUTE, argument->name) : NULL;
        Domain domain;
        if (!attribute) {
            unknown_attribute(sl, definition, argument);
            ok = named = false;
        } else if (given_twice(sl, arguments, i) || !domain_build(sl, attribute->kids[ATTRIBUTE_TYPE], value, argument->name, &domain)) {
            ok = false;
            box_add(sl, box, attribute->name, (Domain){.let = -1}); /* it is given, though wrongly */
        } else {
            box_add(sl, box, attribute->name, domain);
        }
    }
    return box_defaults(sl, definition, span, all_required && named, box) && ok;
}

/* ---- membership ---- */

bool text_integer(const char *text, int64_t *value)
{
    char *end;
    *value = strtoll(text, &end, 10);
    return end != text && *end == '\0';
}

static bool range_has(const Domain *range, const char *text)
{
    int64_t value;
    return text && text_integer(text, &value) && value >= range->low && value <= range->high;
}

static bool box_has(SpaceLower *sl, const Box *box, const DefValue *def, const char **let_values)
{
    if (!def || def->node != box->definition)
        return false;
    for (int i = 0; i < box->count; i++) {
        const Node *attribute = list_find(sl->lw, box->definition->kids[DEFINITION_PARAMS], NODE_ATTRIBUTE, box->attributes[i].name);
        const Val *given = NULL;
        Val standard;
        const int known = bound_find(def, attribute->name);
        if (known >= 0)
            given = def->bound[known].value;
        if (!given && constant_default(attribute)) {
            standard = attribute_value(sl->lw, attribute->kids[ATTRIBUTE_TYPE], attribute->kids[ATTRIBUTE_DEFAULT], sl->scope, attribute->name);
            given = &standard;
        }
        if (given && !domain_has(sl, &box->attributes[i].domain, given, let_values))
            return false;
    }
    return true;
}

bool domain_has(SpaceLower *sl, const Domain *domain, const Val *value, const char **let_values)
{
    if (domain->let >= 0) {
        const char *text = val_text(sl->lw, value), **bound = &let_values[domain->let];
        if (*bound)
            return strcmp(*bound, text) == 0;
        *bound = text;
        return domain_has(sl, &sl->let_domains[domain->let], value, let_values);
    }
    if (domain->range)
        return range_has(domain, val_text(sl->lw, value));
    for (int i = 0; i < domain->count; i++) {
        const DomainItem *item = &domain->items[i];
        const char *before[SPACE_LETS_MAX];
        memcpy(before, let_values, sizeof before);
        if (item->text ? value->kind != VAL_DEF && strcmp(item->text, val_text(sl->lw, value)) == 0 : value->kind == VAL_DEF && box_has(sl, &item->box, value->def, let_values))
            return true;
        memcpy(let_values, before, sizeof before);
    }
    return false;
}
