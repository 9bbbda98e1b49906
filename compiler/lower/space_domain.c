/* Domains: sets of values, some of which are definitions whose attributes have domains themselves. They are counted and intersected as they are, as unions of
   products, never written out. */
#include "lower/space_internal.h"

#include "support/bug.h"
#include "support/pointer_map.h"
#include "support/vec.h"

#include <string.h>

static const Node *attribute_named(const Node *attributes, Symbol name)
{
    for (int i = 0; i < list_count(attributes); i++)
        if (list_at(attributes, i)->kind == NODE_ATTRIBUTE && list_at(attributes, i)->name == name)
            return list_at(attributes, i);
    return NULL;
}

const Domain *box_domain(const Box *box, Symbol name)
{
    for (int i = 0; i < box->count; i++)
        if (box->attributes[i].name == name)
            return &box->attributes[i].domain;
    return NULL;
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
    for (int i = 0; i < at; i++)
        if (list_at(arguments, i)->name == list_at(arguments, at)->name) {
            diag_label(sl->lw->diags, diag_add(sl->lw->diags, DIAG_E0206, list_at(arguments, at)->span, "`%s` is given twice", list_at(arguments, at)->name),
                       list_at(arguments, i)->span, "first here");
            return true;
        }
    return false;
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
        if (attribute->kind != NODE_ATTRIBUTE || box_domain(box, attribute->name))
            continue;
        if (constant_default(attribute)) {
            DomainItem item;
            if (item_build(sl, attribute->kids[ATTRIBUTE_TYPE], attribute->kids[ATTRIBUTE_DEFAULT], attribute->name, &item))
                box->attributes[box->count++] = (DomainAttribute){attribute->name, single(sl, item)};
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
    *box = (Box){.definition = definition, .attributes = ARENA_ARRAY(sl->lw->arena, DomainAttribute, list_count(attributes) + list_count(arguments) + 1)};
    bool ok = true, named = true;
    for (int i = 0; i < list_count(arguments); i++) {
        const Node *argument = list_at(arguments, i), *value = argument_value(argument);
        if (argument->kind == NODE_ERROR)
            continue;
        const Node *attribute = value ? attribute_named(attributes, argument->name) : NULL;
        Domain domain;
        if (!attribute) {
            unknown_attribute(sl, definition, argument);
            ok = named = false;
        } else if (given_twice(sl, arguments, i) || !domain_build(sl, attribute->kids[ATTRIBUTE_TYPE], value, argument->name, &domain)) {
            ok = false;
            box->attributes[box->count++] = (DomainAttribute){attribute->name, {.let = -1}}; /* it is given, though wrongly */
        } else {
            box->attributes[box->count++] = (DomainAttribute){attribute->name, domain};
        }
    }
    return box_defaults(sl, definition, span, all_required && named, box) && ok;
}

/* ---- intersections ---- */

static bool text_integer(const char *text, int64_t *value)
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

static Meet domain_meet(SpaceLower *sl, const Domain *a, const Domain *b, Domain *both);

/* One attribute apart is enough; otherwise one doubt is. */
Meet box_meet(SpaceLower *sl, const Box *a, const Box *b, Box *both)
{
    Meet meet = a->definition == b->definition ? MEET_YES : MEET_NO;
    *both = (Box){.definition = a->definition, .attributes = ARENA_ARRAY(sl->lw->arena, DomainAttribute, a->count + 1)};
    for (int i = 0; i < a->count && meet != MEET_NO; i++) {
        const Domain *other = box_domain(b, a->attributes[i].name);
        Domain domain;
        const Meet here = other ? domain_meet(sl, &a->attributes[i].domain, other, &domain) : MEET_MAYBE;
        meet = here < meet ? here : meet;
        if (here == MEET_YES)
            both->attributes[both->count++] = (DomainAttribute){a->attributes[i].name, domain};
    }
    for (int i = 0; i < b->count && meet == MEET_YES; i++)
        if (!box_domain(a, b->attributes[i].name))
            meet = MEET_MAYBE;
    return meet;
}

static Meet items_meet(SpaceLower *sl, const DomainItem *a, const DomainItem *b, DomainItem *both)
{
    *both = *a;
    if (a->text || b->text)
        return a->text && b->text && strcmp(a->text, b->text) == 0 ? MEET_YES : MEET_NO;
    return box_meet(sl, &a->box, &b->box, &both->box);
}

static Meet range_meet(const Domain *a, const Domain *b, Domain *both)
{
    *both = *a;
    both->low = a->low > b->low ? a->low : b->low;
    both->high = a->high < b->high ? a->high : b->high;
    return both->low <= both->high ? MEET_YES : MEET_NO;
}

static Meet domain_meet(SpaceLower *sl, const Domain *a, const Domain *b, Domain *both)
{
    *both = *a;
    if (a->let >= 0 || b->let >= 0)
        return a->let == b->let ? MEET_YES : MEET_MAYBE;
    if (a->range)
        return b->range ? range_meet(a, b, both) : domain_meet(sl, b, a, both);
    bool doubt = false;
    both->count = 0;
    VEC(DomainItem) items = {0};
    for (int i = 0; i < a->count; i++) {
        if (b->range && range_has(b, a->items[i].text))
            vec_push(&items, a->items[i]);
        for (int k = 0; !b->range && k < b->count; k++) {
            DomainItem item;
            const Meet meet = items_meet(sl, &a->items[i], &b->items[k], &item);
            if (meet == MEET_YES)
                vec_push(&items, item);
            doubt = doubt || meet == MEET_MAYBE;
        }
    }
    both->count = items.count;
    both->items = arena_memdup(sl->lw->arena, items.items, (size_t)items.count * sizeof *both->items);
    vec_free(&items);
    return doubt ? MEET_MAYBE : both->count > 0 ? MEET_YES : MEET_NO;
}

/* ---- counting ---- */

static void counts_add(SpaceLower *sl, LetCounts *counts, unsigned lets, Natural count)
{
    Arena *arena = sl->lw->arena;
    for (int i = 0; i < counts->count; i++)
        if (counts->items[i].lets == lets) {
            counts->items[i].count = natural_add(arena, counts->items[i].count, count);
            return;
        }
    LetCount *items = ARENA_ARRAY(arena, LetCount, counts->count + 1);
    for (int i = 0; i < counts->count; i++)
        items[i] = counts->items[i];
    items[counts->count++] = (LetCount){lets, count};
    counts->items = items;
}

static LetCounts counts_of(SpaceLower *sl, unsigned lets, Natural count)
{
    LetCounts counts = {0};
    counts_add(sl, &counts, lets, count);
    return counts;
}

LetCounts counts_one(SpaceLower *sl) { return counts_of(sl, 0, natural(sl->lw->arena, 1)); }

LetCounts counts_mul(SpaceLower *sl, const LetCounts *a, const LetCounts *b)
{
    LetCounts product = {0};
    for (int i = 0; i < a->count; i++)
        for (int k = 0; k < b->count; k++)
            counts_add(sl, &product, a->items[i].lets | b->items[k].lets, natural_mul(sl->lw->arena, a->items[i].count, b->items[k].count));
    return product;
}

Natural counts_sum(SpaceLower *sl, const LetCounts *counts)
{
    Natural sum = natural(sl->lw->arena, 0);
    for (int i = 0; i < counts->count; i++)
        sum = natural_add(sl->lw->arena, sum, counts->items[i].count);
    return sum;
}

/* `part` is a part of `counts`: with the same lets. */
static void counts_take(SpaceLower *sl, LetCounts *counts, const LetCounts *part)
{
    for (int i = 0; i < part->count; i++)
        for (int k = 0; k < counts->count; k++)
            if (counts->items[k].lets == part->items[i].lets)
                counts->items[k].count = natural_sub(sl->lw->arena, counts->items[k].count, part->items[i].count);
}

static bool all_texts(const DomainItem *items, int count)
{
    for (int i = 0; i < count; i++)
        if (!items[i].text)
            return false;
    return true;
}

/* Plain values: those that differ. */
static LetCounts texts_count(SpaceLower *sl, const DomainItem *items, int count)
{
    PointerMap seen = {0};
    for (int i = 0; i < count; i++)
        pointer_map_set(&seen, intern(sl->lw->interner, items[i].text), i);
    const int distinct = seen.count;
    pointer_map_free(&seen);
    return distinct > 0 ? counts_of(sl, 0, natural(sl->lw->arena, (uint64_t)distinct)) : (LetCounts){0};
}

/* Values that some item allows: each item's, less those that earlier ones allow too. Where that is in doubt they count: no value is left out. */
static LetCounts items_count(SpaceLower *sl, const DomainItem *items, int count)
{
    LetCounts sum = {0};
    VEC(DomainItem) shared = {0};
    if (all_texts(items, count))
        return texts_count(sl, items, count);
    for (int i = 0; i < count; i++) {
        shared.count = 0;
        for (int k = 0; k < i; k++) {
            DomainItem both = {0};
            const Meet meet = items_meet(sl, &items[i], &items[k], &both);
            if (meet == MEET_YES)
                vec_push(&shared, both);
            sl->exact = sl->exact && meet != MEET_MAYBE;
        }
        LetCounts own = items[i].text ? counts_one(sl) : box_count(sl, &items[i].box);
        const LetCounts before = items_count(sl, shared.items, shared.count);
        counts_take(sl, &own, &before);
        for (int k = 0; k < own.count; k++)
            counts_add(sl, &sum, own.items[k].lets, own.items[k].count);
    }
    vec_free(&shared);
    return sum;
}

LetCounts domain_count(SpaceLower *sl, const Domain *domain)
{
    Arena *arena = sl->lw->arena;
    if (domain->let >= 0)
        return counts_of(sl, 1U << domain->let, natural(arena, 1));
    if (domain->range)
        return counts_of(sl, 0, natural_add(arena, natural(arena, (uint64_t)domain->high - (uint64_t)domain->low), natural(arena, 1)));
    return items_count(sl, domain->items, domain->count);
}

LetCounts box_count(SpaceLower *sl, const Box *box)
{
    LetCounts product = counts_one(sl);
    for (int i = 0; i < box->count; i++) {
        const LetCounts values = domain_count(sl, &box->attributes[i].domain);
        product = counts_mul(sl, &product, &values);
    }
    return product;
}

/* ---- membership ---- */

static bool box_has(SpaceLower *sl, const Box *box, const DefValue *def, const char **let_values)
{
    if (!def || def->node != box->definition)
        return false;
    for (int i = 0; i < box->count; i++) {
        const Node *attribute = attribute_named(box->definition->kids[DEFINITION_PARAMS], box->attributes[i].name);
        const Val *given = NULL;
        Val standard;
        for (int k = 0; k < def->count; k++)
            if (def->bound[k].name == attribute->name)
                given = def->bound[k].value;
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
