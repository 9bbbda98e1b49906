/* Whether a block is a member of a space: its lines are written out, and each must be one that an entry of the space allows. */
#include "space/member.h"

#include "lower/declarations.h"

#include <string.h>

/* A line of the block with the values of its attributes. */
typedef struct StartLine {
    const Node *node, *definition;
    Scope *scope;
    Val factor; /* of the `at` around it; 1 elsewhere */
} StartLine;

typedef struct Start {
    SpaceLower *sl;
    VEC(StartLine) lines;
    const char *differs; /* the first reason found */
    Val factor;
    int deepest;                     /* line of that reason, while entries are assigned */
    int *counts;                     /* lines of each entry */
    int kinds[SPACE_LENGTH_MAX + 1]; /* entry of each line */
    int tries;                       /* bounds the search where entries overlap */
} Start;

#define DIFFERS(start, ...) (void)((start)->differs = (start)->differs ? (start)->differs : arena_printf((start)->sl->lw->arena, __VA_ARGS__))

static void write_out(Start *start, const Node *lines, Scope *scope);

static Val number_one(Lower *lw) { return val_dim(dim_int(lw->dims, 1), span_none()); }

/* What every definition may ask for by name. */
static Scope *line_scope(Start *start, Scope *outer)
{
    Lower *lw = start->sl->lw;
    const Val *d = scope_find(outer, intern(lw->interner, "d"));
    Scope *scope = scope_new(lw, NULL);
    if (d)
        scope_set(scope, intern(lw->interner, "d"), *d);
    return scope;
}

static void start_call(Start *start, const Node *line, Scope *scope)
{
    Lower *lw = start->sl->lw;
    const Node *call = line->kids[LINE_CALL], *arguments = call->kind == NODE_CALL ? call : NULL;
    const Node *block = module_find(lw->module, call->name, NODE_BLOCK, -1), *definition = module_find(lw->module, call->name, NODE_DEFINITION, -1);
    if (line->kids[LINE_NORM] || line->kids[LINE_WIRING]) {
        DIFFERS(start, "a line of it has a norm or wiring of its own");
        return;
    }
    if (!block && !definition)
        return; /* told where the block is used */
    Scope *inner = line_scope(start, scope);
    if (!attributes_bind(lw, block ? block : definition, block ? block->kids[BLOCK_ATTRIBUTES] : definition->kids[DEFINITION_PARAMS], arguments, NULL, scope, inner, line->span))
        return;
    if (block && lw->depth < CALL_DEPTH_MAX) {
        lw->depth++;
        write_out(start, block->kids[BLOCK_BODY], inner);
        lw->depth--;
    } else if (definition) {
        vec_push(&start->lines, (StartLine){line, definition, inner, start->factor});
    }
}

static void start_at(Start *start, const Node *at, Scope *scope)
{
    Lower *lw = start->sl->lw;
    const Node *body = at->kids[AT_BODY];
    const Val factor = eval_const(lw, scope, at->kids[AT_WIDTH]), *d = scope_find(scope, intern(lw->interner, "d"));
    if (factor.kind == VAL_POISON)
        return;
    if (list_count(body) != 1 || list_at(body, 0)->kind != NODE_LINE) {
        DIFFERS(start, "an `at` of it holds more than a single line");
        return;
    }
    Scope *inner = scope_new(lw, scope);
    if (d && d->dim && factor.dim)
        scope_set(inner, intern(lw->interner, "d"), val_dim(dim_mul(lw->dims, d->dim, factor.dim), at->span));
    start->factor = factor;
    write_out(start, body, inner);
    start->factor = number_one(lw);
}

static void write_out(Start *start, const Node *lines, Scope *scope)
{
    Lower *lw = start->sl->lw;
    for (int i = 0; i < list_count(lines) && !start->differs; i++) {
        const Node *line = list_at(lines, i);
        if (start->lines.count > SPACE_LENGTH_MAX) {
            DIFFERS(start, "it has more than %d lines", SPACE_LENGTH_MAX);
        } else if (line->kind == NODE_LINE) {
            start_call(start, line, scope);
        } else if (line->kind == NODE_AT) {
            start_at(start, line, scope);
        } else if (line->kind == NODE_PARALLEL) {
            DIFFERS(start, "it has a `parallel`, and members are sequences of lines");
        } else if (line->kind == NODE_REPEAT) {
            int64_t times = 0;
            const Val count = eval_const(lw, scope, line->kids[REPEAT_COUNT]);
            if (line->op & AST_SHARED)
                DIFFERS(start, "it repeats lines with the same weights");
            for ((void)val_int(&count, &times); times > 0 && !start->differs; times--)
                write_out(start, line->kids[REPEAT_BODY], scope);
        }
    }
}

/* ---- lines and entries ---- */

static const char *domain_text(SpaceLower *sl, const Domain *domain, const char **let_values)
{
    Arena *arena = sl->lw->arena;
    if (domain->let >= 0 && let_values[domain->let])
        return arena_printf(arena, "%s (`%s`, as lines before chose it)", let_values[domain->let], sl->space->lets[domain->let].name);
    if (domain->let >= 0)
        return domain_text(sl, &sl->let_domains[domain->let], let_values);
    if (domain->range)
        return arena_printf(arena, "%lld .. %lld", (long long)domain->low, (long long)domain->high);
    Str text = {0};
    for (int i = 0; i < domain->count; i++)
        str_printf(&text, "%s%s", i ? ", " : "", domain->items[i].text ? domain->items[i].text : domain->items[i].box.definition->name);
    const char *copy = arena_strdup(arena, str_text(&text));
    str_free(&text);
    return domain->count == 1 ? copy : arena_printf(arena, "one of %s", copy);
}

/* Reasons of deeper lines replace those of earlier ones: entries before them were chosen well. */
static void note_reason(Start *start, int line, const char *reason)
{
    if (line <= start->deepest)
        return;
    start->deepest = line;
    start->differs = reason;
}

/* An attribute that the space does not list stands at its default, whatever that depends on. */
static bool is_default(Start *start, const StartLine *line, const Node *attribute)
{
    Lower *lw = start->sl->lw;
    if (!attribute->kids[ATTRIBUTE_DEFAULT])
        return true;
    const Val *value = scope_find_local(line->scope, attribute->name);
    const Val standard = attribute_value(lw, attribute->kids[ATTRIBUTE_TYPE], attribute->kids[ATTRIBUTE_DEFAULT], line->scope, attribute->name);
    return !value || strcmp(val_text(lw, value), val_text(lw, &standard)) == 0;
}

static bool line_fits(Start *start, int number, const Box *box, const char **let_values)
{
    SpaceLower *sl = start->sl;
    Arena *arena = sl->lw->arena;
    const StartLine *line = &start->lines.items[number];
    const Node *attributes = box->definition->kids[DEFINITION_PARAMS];
    const char *place = arena_printf(arena, "line %d, `%s`, ", number + 1, box->definition->name);
    if (sl->has_width ? !domain_has(sl, &sl->width, &line->factor, let_values)
                      : !domain_has(sl, &(Domain){.range = true, .low = 1, .high = 1, .let = -1}, &line->factor, let_values)) {
        note_reason(start, number, arena_printf(arena, "%sstands at a width of %s", place, val_text(sl->lw, &line->factor)));
        return false;
    }
    for (int i = 0; i < list_count(attributes); i++) {
        const Node *attribute = list_at(attributes, i);
        const Val *value = attribute->kind == NODE_ATTRIBUTE ? scope_find_local(line->scope, attribute->name) : NULL;
        const Domain *domain = value ? box_domain(sl, box, attribute->name) : NULL;
        if (!value || (domain ? domain_has(sl, domain, value, let_values) : is_default(start, line, attribute)))
            continue;
        note_reason(
            start, number,
            arena_printf(arena, "%shas %s = %s; the space has %s", place, attribute->name, val_text(sl->lw, value), domain ? domain_text(sl, domain, let_values) : "the default"));
        return false;
    }
    return true;
}

static bool assign(Start *start, int number, const char **let_values)
{
    SpaceLower *sl = start->sl;
    const StartLine *line = &start->lines.items[number];
    bool known = false;
    if (number == start->lines.count || start->tries-- <= 0) {
        for (int k = 0; k < sl->space->kind_count && number == start->lines.count; k++)
            if (start->counts[k] < sl->space->kinds[k].least) {
                note_reason(start, number,
                            arena_printf(sl->lw->arena, "it has %d of `%s`, fewer than %d", start->counts[k], sl->space->kinds[k].definition, sl->space->kinds[k].least));
                return false;
            }
        return true;
    }
    for (int k = 0; k < sl->space->kind_count; k++) {
        const char *values[SPACE_LETS_MAX];
        if (sl->kinds[k].definition != line->definition)
            continue;
        known = true;
        memcpy(values, let_values, sizeof values);
        if (start->counts[k] == sl->space->kinds[k].most) {
            note_reason(start, number, arena_printf(sl->lw->arena, "it has more than %d of `%s`", start->counts[k], line->definition->name));
        } else if (line_fits(start, number, &sl->kinds[k], values)) {
            start->counts[k]++;
            start->kinds[number] = k;
            if (assign(start, number + 1, values))
                return true;
            start->counts[k]--;
        }
    }
    if (!known)
        note_reason(start, number, arena_printf(sl->lw->arena, "line %d is `%s`, which the space does not list", number + 1, line->definition->name));
    return false;
}

/* ---- the block as a whole ---- */

/* norm and wiring: what the block says, else the language's default; in the space likewise. */
static void compare_once(Start *start, const Node *said, int type, bool has, const Domain *domain, const char *what, const char **let_values)
{
    Lower *lw = start->sl->lw;
    Node *declared = node_new(lw->arena, NODE_TYPE, span_none());
    declared->op = type;
    const Symbol name = intern(lw->interner, what);
    const Node *standard = line_default(lw, type);
    if (!standard) /* lines of such a block are refused */
        return;
    const Val value = attribute_value(lw, declared, said ? said : standard, start->sl->scope, name);
    const Val expected = attribute_value(lw, declared, standard, start->sl->scope, name);
    if (value.kind != VAL_POISON && (has ? !domain_has(start->sl, domain, &value, let_values) : strcmp(val_text(lw, &value), val_text(lw, &expected)) != 0))
        DIFFERS(start, "its %s is %s", what, val_text(lw, &value));
}

static Scope *block_scope(Start *start, const Node *block, const char **let_values)
{
    SpaceLower *sl = start->sl;
    Lower *lw = sl->lw;
    enum { SOME_WIDTH = 512 };
    const Symbol d = intern(lw->interner, "d");
    const Node *attributes = block->kids[BLOCK_ATTRIBUTES];
    bool own_width = false;
    for (int i = 0; i < list_count(attributes); i++) {
        const Node *attribute = list_at(attributes, i);
        if (!attribute->kids[ATTRIBUTE_DEFAULT])
            DIFFERS(start, "its attribute `%s` has no value", attribute->name);
        own_width = own_width || attribute->name == d;
    }
    Scope *scope = scope_new(lw, NULL);
    if (!own_width)
        scope_set(scope, d, val_dim(dim_int(lw->dims, SOME_WIDTH), span_none()));
    if (start->differs || !attributes_bind(lw, block, attributes, NULL, NULL, NULL, scope, block->name_span))
        return NULL;
    if (own_width && sl->has_d && !domain_has(sl, &sl->d, scope_find_local(scope, d), let_values))
        DIFFERS(start, "its width is %s; the space has %s", val_text(lw, scope_find_local(scope, d)), domain_text(sl, &sl->d, let_values));
    return scope;
}

/* ---- the member ---- */

typedef struct Reading {
    SpaceLower *sl;
    Arena *arena;
    BfmMember *member;
    const char *let_values[SPACE_LETS_MAX];
} Reading;

static MemberValue read_value(Reading *reading, const Domain *domain, const Val *value);

/* In the order of the definition's attributes, as line_fits asks about them. */
static MemberValue read_box(Reading *reading, const Box *box, const DefValue *def, Scope *scope)
{
    SpaceLower *sl = reading->sl;
    MemberValue read = {.let = -1, .box = box, .values = ARENA_ARRAY(reading->arena, MemberValue, box->count + 1)};
    for (int i = 0; i < box->count; i++) {
        const Node *attribute = list_find(sl->lw, box->definition->kids[DEFINITION_PARAMS], NODE_ATTRIBUTE, box->attributes[i].name);
        const int known = def ? bound_find(def, attribute->name) : -1;
        const Val *given = known >= 0 ? def->bound[known].value : scope ? scope_find_local(scope, attribute->name) : NULL;
        const Node *standard = attribute->kids[ATTRIBUTE_DEFAULT];
        const Val value = given ? *given : standard ? attribute_value(sl->lw, attribute->kids[ATTRIBUTE_TYPE], standard, sl->scope, attribute->name) : val_poison();
        read.values[i] = read_value(reading, &box->attributes[i].domain, &value);
    }
    return read;
}

static MemberValue read_value(Reading *reading, const Domain *domain, const Val *value)
{
    SpaceLower *sl = reading->sl;
    if (domain->let >= 0) {
        reading->member->lets[domain->let] = read_value(reading, &sl->let_domains[domain->let], value);
        (void)domain_has(sl, domain, value, reading->let_values);
        return (MemberValue){.let = domain->let};
    }
    for (int i = 0; !domain->range && i < domain->count; i++) {
        const DomainItem *item = &domain->items[i];
        const Domain alone = {.let = -1, .count = 1, .items = &domain->items[i]};
        if (domain_has(sl, &alone, value, reading->let_values))
            return item->text ? (MemberValue){.let = -1, .text = item->text, .node = item->node} : read_box(reading, &item->box, value->def, NULL);
    }
    return (MemberValue){.let = -1, .text = arena_strdup(reading->arena, val_text(sl->lw, value))};
}

static Val once_value(SpaceLower *sl, const Node *said, int type, const char *what)
{
    Node *declared = node_new(sl->lw->arena, NODE_TYPE, span_none());
    declared->op = type;
    said = said ? said : line_default(sl->lw, type);
    return said ? attribute_value(sl->lw, declared, said, sl->scope, intern(sl->lw->interner, what)) : val_poison();
}

/* Of a block that is a member: its lines stand in start->lines, their entries in start->kinds. */
static void read_member(Start *start, const Node *block, Scope *scope, Arena *arena, BfmMember *member)
{
    SpaceLower *sl = start->sl;
    Reading reading = {.sl = sl, .arena = arena, .member = member};
    const Val norm = once_value(sl, block->kids[BLOCK_NORM], AST_TYPE_NORM, "norm"), wiring = once_value(sl, block->kids[BLOCK_WIRING], AST_TYPE_WIRING, "wiring");
    const Val *once[ONCE_COUNT] = {scope_find_local(scope, intern(sl->lw->interner, "d")), &norm, &wiring};
    for (int i = 0; i < ONCE_COUNT; i++) {
        const Domain *domain = once_domain(sl, i);
        member->has_once[i] = domain != NULL;
        if (domain)
            member->once[i] = read_value(&reading, domain, once[i]);
    }
    member->length = start->lines.count;
    member->lines = ARENA_ARRAY(arena, MemberLine, member->length);
    for (int i = 0; i < member->length; i++) {
        const StartLine *line = &start->lines.items[i];
        member->lines[i] = (MemberLine){.kind = start->kinds[i], .width = {.let = -1, .text = "1"}};
        if (sl->has_width)
            member->lines[i].width = read_value(&reading, &sl->width, &line->factor);
        member->lines[i].value = read_box(&reading, &sl->kinds[start->kinds[i]], NULL, line->scope);
    }
}

/* A space that chooses the width has a width in each member. */
static bool says_width(const SpaceLower *sl, const Node *block)
{
    bool says = !sl->has_d;
    for (int i = 0; i < list_count(block->kids[BLOCK_ATTRIBUTES]); i++)
        says = says || strcmp(list_at(block->kids[BLOCK_ATTRIBUTES], i)->name, "d") == 0;
    return says;
}

const char *start_differs(SpaceLower *sl, const Node *block, Arena *arena, BfmMember *member)
{
    Start start = {.sl = sl, .factor = number_one(sl->lw), .deepest = -1, .tries = 100000, .counts = ARENA_ARRAY(sl->lw->arena, int, sl->space->kind_count + 1)};
    const char *let_values[SPACE_LETS_MAX] = {NULL};
    Scope *scope = block_scope(&start, block, let_values);
    if (scope) {
        compare_once(&start, block->kids[BLOCK_NORM], AST_TYPE_NORM, sl->has_norm, &sl->norm, "norm", let_values);
        compare_once(&start, block->kids[BLOCK_WIRING], AST_TYPE_WIRING, sl->has_wiring, &sl->wiring, "wiring", let_values);
        write_out(&start, block->kids[BLOCK_BODY], scope);
    }
    const int count = start.lines.count;
    if (scope && !start.differs && (count > SPACE_LENGTH_MAX || !sl->lengths[count]))
        DIFFERS(&start, "it has %d line%s, a length that the space does not have", count, plural(count));
    if (member && !says_width(sl, block))
        DIFFERS(&start, "it says no width `d`, which the space chooses");
    if (scope && !start.differs && assign(&start, 0, let_values)) {
        start.differs = NULL; /* reasons of entries tried before the one that fits */
        if (member)
            read_member(&start, block, scope, arena, member);
    }
    if (!scope && member)
        DIFFERS(&start, "its attributes are in error");
    vec_free(&start.lines);
    return start.differs;
}

BfmMember *bfm_space_contains(const BfmSpace *space, const Module *module, const Node *block, Arena *arena, const char **why)
{
    Lower lw;
    BfmMember member = {0};
    SpaceLower domains = space->domains;
    declaration_begin(&lw, module);
    domains.lw = &lw;
    domains.scope = scope_new(&lw, NULL);
    *why = start_differs(&domains, block, arena, &member);
    lower_free(&lw);
    return *why ? NULL : member_copy(arena, &member);
}
