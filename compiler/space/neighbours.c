/* All members one change away: what bfm_space_mutate may propose, written out. */
#include "space/member.h"

#include "support/pointer_map.h"
#include "support/vec.h"
#include "tree/printer.h"

#include <string.h>

typedef VEC(MemberValue) ValueList;

typedef struct Walk {
    const BfmSpace *space;
    Arena *arena, *scratch;
    const BfmMember *member;
    Interner *texts; /* of members found */
    PointerMap seen;
    VEC(BfmNeighbour) found;
    int most;
    bool complete;
} Walk;

/* ---- the values of a domain ---- */

static void list_domain(Walk *walk, const Domain *domain, const BfmMember *member, ValueList *list);

static bool full(Walk *walk, int count)
{
    const bool past = count >= walk->most;
    walk->complete = walk->complete && !past;
    return past;
}

static void list_box(Walk *walk, const Box *box, const BfmMember *member, ValueList *list)
{
    ValueList products = {0};
    vec_push(&products, ((MemberValue){.let = -1, .box = box, .values = ARENA_ARRAY(walk->scratch, MemberValue, box->count + 1)}));
    for (int i = 0; i < box->count; i++) {
        ValueList values = {0}, longer = {0};
        list_domain(walk, &box->attributes[i].domain, member, &values);
        for (int p = 0; p < products.count; p++)
            for (int v = 0; v < values.count && !full(walk, longer.count); v++) {
                MemberValue product = products.items[p];
                product.values = arena_memdup(walk->scratch, product.values, (size_t)(box->count + 1) * sizeof *product.values);
                product.values[i] = values.items[v];
                vec_push(&longer, product);
            }
        vec_free(&products);
        vec_free(&values);
        products = longer;
    }
    for (int p = 0; p < products.count; p++)
        vec_push(list, products.items[p]);
    vec_free(&products);
}

/* Values that several items allow may come more than once: members are told apart later. */
static void list_domain(Walk *walk, const Domain *domain, const BfmMember *member, ValueList *list)
{
    if (domain->let >= 0)
        vec_push(list, ((MemberValue){.let = domain->let}));
    else if (domain->range)
        for (int64_t value = domain->low; value <= domain->high && !full(walk, list->count); value++) {
            vec_push(list, ((MemberValue){.let = -1, .text = arena_printf(walk->scratch, "%lld", (long long)value)}));
            if (value == INT64_MAX)
                return;
        }
    for (int i = 0; domain->let < 0 && !domain->range && i < domain->count; i++) {
        const DomainItem *item = &domain->items[i];
        if (item->text)
            vec_push(list, ((MemberValue){.let = -1, .text = item->text, .node = item->node}));
        else
            list_box(walk, &item->box, member, list);
    }
}

/* ---- members ---- */

static BfmMember *copy_of(Walk *walk, const BfmMember *member)
{
    BfmMember *copy = arena_memdup(walk->scratch, member, sizeof *member);
    copy->lines = ARENA_ARRAY(walk->scratch, MemberLine, member->length + 1);
    memcpy(copy->lines, member->lines, (size_t)member->length * sizeof *member->lines);
    return copy;
}

static void meet(Walk *walk, const BfmMember *after, BfmChange change)
{
    if (!member_counts_fit(walk->space, after) || bfm_member_equal(walk->member, after))
        return;
    Str text = {0};
    ast_print(bfm_space_block(walk->space, walk->scratch, after, walk->space->d), &text);
    const Symbol key = intern(walk->texts, str_text(&text));
    str_free(&text);
    if (pointer_map_find(&walk->seen, key) >= 0 || full(walk, walk->found.count))
        return;
    pointer_map_set(&walk->seen, key, walk->found.count);
    change.from = change.from ? arena_strdup(walk->arena, change.from) : NULL;
    change.to = change.to ? arena_strdup(walk->arena, change.to) : NULL;
    vec_push(&walk->found, ((BfmNeighbour){member_copy(walk->arena, after), change}));
}

static const char *text_of(Walk *walk, const BfmMember *member, const MemberValue *value) { return member_value_text(walk->scratch, member, value); }

/* ---- one kind of change after the other; `base` is the member with some values of the lets that it leaves unused ---- */

static void walk_values(Walk *walk, const BfmMember *base, int line)
{
    const SpaceLower *sl = &walk->space->domains;
    const Box *box = &sl->kinds[base->lines[line].kind];
    for (int at = 0; at < box->count + sl->has_width; at++) {
        const Domain *domain = at < box->count ? &box->attributes[at].domain : &sl->width;
        ValueList values = {0};
        if (domain->let < 0)
            list_domain(walk, domain, base, &values);
        for (int v = 0; v < values.count; v++) {
            BfmMember *after = copy_of(walk, base);
            MemberLine *changed = &after->lines[line];
            changed->value.values = arena_memdup(walk->scratch, changed->value.values, (size_t)(box->count + 1) * sizeof *changed->value.values);
            MemberValue *value = at < box->count ? &changed->value.values[at] : &changed->width;
            const char *from = text_of(walk, base, value);
            *value = values.items[v];
            meet(walk, after, (BfmChange){CHANGE_VALUE, line, -1, at < box->count ? box->attributes[at].name : "width", from, text_of(walk, after, value)});
        }
        vec_free(&values);
    }
}

/* The lines of an entry, each in place of a line or before it. */
static void walk_lines(Walk *walk, const BfmMember *base, int kind)
{
    const SpaceLower *sl = &walk->space->domains;
    ValueList values = {0}, widths = {0};
    list_box(walk, &sl->kinds[kind], base, &values);
    if (sl->has_width)
        list_domain(walk, &sl->width, base, &widths);
    else
        vec_push(&widths, ((MemberValue){.let = -1, .text = "1"}));
    for (int v = 0; v < values.count; v++)
        for (int w = 0; w < widths.count; w++)
            for (int at = 0; at <= base->length; at++) {
                const MemberLine line = {kind, widths.items[w], values.items[v]};
                const char *to = text_of(walk, base, &line.value);
                if (at < base->length && base->lines[at].kind != kind) {
                    BfmMember *after = copy_of(walk, base);
                    after->lines[at] = line;
                    meet(walk, after, (BfmChange){CHANGE_REPLACE, at, -1, NULL, text_of(walk, base, &base->lines[at].value), to});
                }
                if (base->length < SPACE_LENGTH_MAX) {
                    BfmMember *after = copy_of(walk, base);
                    member_put(after, at, line);
                    meet(walk, after, (BfmChange){CHANGE_INSERT, at, -1, walk->space->space.kinds[kind].definition, NULL, to});
                }
            }
    vec_free(&values);
    vec_free(&widths);
}

/* The lets that the member leaves unused, from the i-th on, at each of their values. */
static void walk_new(Walk *walk, const BfmMember *base, int let)
{
    const SpaceLower *sl = &walk->space->domains;
    while (let < walk->space->space.let_count && (!sl->let_known[let] || (member_lets(walk->member) >> let & 1)))
        let++;
    if (let < walk->space->space.let_count) {
        ValueList values = {0};
        list_domain(walk, &sl->let_domains[let], base, &values);
        for (int v = 0; v < values.count && !full(walk, walk->found.count); v++) {
            BfmMember *with = copy_of(walk, base);
            with->lets[let] = values.items[v];
            walk_new(walk, with, let + 1);
        }
        vec_free(&values);
        return;
    }
    for (int i = 0; i < base->length; i++)
        walk_values(walk, base, i);
    for (int k = 0; k < walk->space->space.kind_count; k++)
        walk_lines(walk, base, k);
}

static void walk_order(Walk *walk)
{
    const BfmMember *member = walk->member;
    for (int i = 0; i < member->length; i++) {
        BfmMember *without = copy_of(walk, member);
        const MemberLine line = member_take(without, i);
        meet(walk, without, (BfmChange){CHANGE_REMOVE, i, -1, walk->space->space.kinds[line.kind].definition, text_of(walk, member, &line.value), NULL});
        for (int k = 0; k < member->length; k++) {
            BfmMember *swapped = copy_of(walk, member), *moved = copy_of(walk, member);
            swapped->lines[i] = member->lines[k];
            swapped->lines[k] = member->lines[i];
            meet(walk, swapped, (BfmChange){CHANGE_SWAP, i, k, NULL, NULL, NULL});
            member_put(moved, k, member_take(moved, i));
            meet(walk, moved, (BfmChange){CHANGE_MOVE, i, k, NULL, NULL, NULL});
        }
    }
}

static void walk_once(Walk *walk)
{
    const BfmMember *member = walk->member;
    const SpaceLower *sl = &walk->space->domains;
    for (int i = 0; i < walk->space->space.let_count + ONCE_COUNT; i++) {
        const int once = i - walk->space->space.let_count;
        const Domain *domain = once >= 0 ? once_domain(sl, once) : member_lets(member) >> i & 1 ? &sl->let_domains[i] : NULL;
        ValueList values = {0};
        if (domain && domain->let < 0)
            list_domain(walk, domain, member, &values);
        for (int v = 0; v < values.count; v++) {
            BfmMember *after = copy_of(walk, member);
            MemberValue *value = once >= 0 ? &after->once[once] : &after->lets[i];
            const char *from = text_of(walk, member, value), *name = once >= 0 ? once_name(once) : walk->space->space.lets[i].name;
            *value = values.items[v];
            meet(walk, after, (BfmChange){once >= 0 ? CHANGE_ONCE : CHANGE_LET, -1, -1, name, from, text_of(walk, after, value)});
        }
        vec_free(&values);
    }
}

BfmNeighbours bfm_space_neighbours(const BfmSpace *space, Arena *arena, const BfmMember *member, int most)
{
    Walk walk = {.space = space, .arena = arena, .scratch = arena_new(), .member = member, .texts = interner_new(), .most = most, .complete = true};
    walk_once(&walk);
    walk_order(&walk);
    walk_new(&walk, member, 0);
    const BfmNeighbours neighbours = {walk.found.count, arena_memdup(arena, walk.found.items, (size_t)walk.found.count * sizeof *walk.found.items), walk.complete};
    vec_free(&walk.found);
    pointer_map_free(&walk.seen);
    interner_free(walk.texts);
    arena_free(walk.scratch);
    return neighbours;
}
