/* How many values a domain holds. Alternatives of one domain may overlap: `{ top2(capacity in 1 .. 9), top2(capacity in 5 .. 20) }`. So a domain is taken apart first
   into values of which no two are equal: whole numbers as intervals, other plain values as words, definitions as products of such parts. Each alternative loses what
   earlier ones allow; what is left of a product is at most one product per attribute. The numbers of the parts then add up. Taking apart is bounded by SPACE_WORK_MAX. */
#include "space/internal.h"

#include "support/vec.h"

#include <stdlib.h>
#include <string.h>

typedef struct Interval {
    int64_t low, high;
} Interval;

typedef struct Product Product;

/* No two parts have a value in common, as far as that is known. */
typedef struct Values {
    int let; /* the values are those of this let, -1 */
    int interval_count, word_count, product_count;
    const Interval *intervals; /* ascending */
    const Symbol *words;       /* ascending */
    const Product *products;
} Values;

typedef struct Part {
    Symbol name;
    Values values;
} Part;

struct Product {
    const Node *definition;
    int count;
    const Part *parts; /* attributes by name, ascending */
};

typedef VEC(Product) Products;
typedef VEC(Interval) Intervals;
typedef VEC(Symbol) Words;

/* Whether some value is in both. MEET_MAYBE: it depends on a let, or on a default that depends on other attributes. */
typedef enum { MEET_NO, MEET_MAYBE, MEET_YES } Meet;

enum { WORK_PART = 8 }; /* what it takes to make a part, in comparisons */

bool space_work(SpaceLower *sl, int64_t amount)
{
    Lower *lw = sl->lw;
    if (lw->space_work > SPACE_WORK_MAX)
        return false;
    lw->space_work += amount;
    if (lw->space_work <= SPACE_WORK_MAX)
        return true;
    Diagnostic *diag = diag_add(lw->diags, DIAG_E0701, sl->node->name_span, "the members of `%s` take more than %d steps to count", sl->node->name, SPACE_WORK_MAX);
    diag_note(lw->diags, diag, "steps are what entries and alternatives of a domain share, and the ways to order lines and to use `let`s, over all spaces of the file");
    diag_fix(lw->diags, diag, "list fewer entries, write alternatives that do not overlap, or ask for shorter blocks");
    return false;
}

/* ---- taking apart ---- */

static int interval_order(const void *a, const void *b)
{
    const Interval *first = a, *second = b;
    return first->low != second->low ? (first->low < second->low ? -1 : 1) : (first->high > second->high) - (first->high < second->high);
}

static int word_order(const void *a, const void *b) { return strcmp(*(const Symbol *)a, *(const Symbol *)b); }
static int part_order(const void *a, const void *b) { return strcmp(((const Part *)a)->name, ((const Part *)b)->name); }

static void keep_intervals(SpaceLower *sl, Values *values, Intervals *list)
{
    int kept = 0;
    if (list->count > 1)
        qsort(list->items, (size_t)list->count, sizeof *list->items, interval_order);
    for (int i = 0; i < list->count; i++) {
        const Interval next = list->items[i];
        if (kept > 0 && next.low <= list->items[kept - 1].high)
            list->items[kept - 1].high = next.high > list->items[kept - 1].high ? next.high : list->items[kept - 1].high;
        else
            list->items[kept++] = next;
    }
    values->interval_count = kept;
    values->intervals = arena_memdup(sl->lw->arena, list->items, (size_t)kept * sizeof *list->items);
    vec_free(list);
}

static void keep_words(SpaceLower *sl, Values *values, Words *list)
{
    int kept = 0;
    if (list->count > 1)
        qsort(list->items, (size_t)list->count, sizeof *list->items, word_order);
    for (int i = 0; i < list->count; i++)
        if (kept == 0 || strcmp(list->items[kept - 1], list->items[i]) != 0)
            list->items[kept++] = list->items[i];
    values->word_count = kept;
    values->words = arena_memdup(sl->lw->arena, list->items, (size_t)kept * sizeof *list->items);
    vec_free(list);
}

static void keep_products(SpaceLower *sl, Values *values, Products *list)
{
    values->product_count = list->count;
    values->products = arena_memdup(sl->lw->arena, list->items, (size_t)list->count * sizeof *list->items);
    vec_free(list);
}

static void product_minus(SpaceLower *sl, const Product *a, const Product *b, Products *rest);
static Product product_of(SpaceLower *sl, const Box *box);

/* Appends what the product has and none of the others. Where that is in doubt it stays: no value is left out. Neighbours are alike more often: they come first, and
   leave fewer pieces. */
static void append_rest(SpaceLower *sl, const Product *product, const Product *others, int other_count, Products *rest)
{
    Products pieces = {0};
    vec_push(&pieces, *product);
    for (int k = other_count - 1; k >= 0 && pieces.count > 0 && space_work(sl, 1); k--) {
        Products left = {0};
        for (int p = 0; p < pieces.count; p++)
            product_minus(sl, &pieces.items[p], &others[k], &left);
        vec_free(&pieces);
        pieces = left;
    }
    for (int p = 0; p < pieces.count; p++)
        vec_push(rest, pieces.items[p]);
    vec_free(&pieces);
}

static void keep_apart(SpaceLower *sl, Values *values, Products *list)
{
    Products apart = {0};
    for (int i = 0; i < list->count; i++)
        append_rest(sl, &list->items[i], list->items, i, &apart);
    vec_free(list);
    keep_products(sl, values, &apart);
}

static Values values_of(SpaceLower *sl, const Domain *domain)
{
    Values values = {.let = domain->let};
    Intervals intervals = {0};
    Words words = {0};
    Products products = {0};
    if (domain->let >= 0)
        return values;
    if (domain->range)
        vec_push(&intervals, (Interval){domain->low, domain->high});
    for (int i = 0; i < domain->count; i++) {
        const DomainItem *item = &domain->items[i];
        int64_t integer;
        if (!item->text)
            vec_push(&products, product_of(sl, &item->box));
        else if (text_integer(item->text, &integer))
            vec_push(&intervals, (Interval){integer, integer});
        else
            vec_push(&words, item->text);
    }
    keep_intervals(sl, &values, &intervals);
    keep_words(sl, &values, &words);
    keep_apart(sl, &values, &products);
    return values;
}

static Product product_of(SpaceLower *sl, const Box *box)
{
    Part *parts = ARENA_ARRAY(sl->lw->arena, Part, box->count);
    for (int i = 0; i < box->count; i++)
        parts[i] = (Part){box->attributes[i].name, values_of(sl, &box->attributes[i].domain)};
    if (box->count > 1)
        qsort(parts, (size_t)box->count, sizeof *parts, part_order);
    return (Product){box->definition, box->count, parts};
}

/* ---- what two have in common ---- */

static int64_t comparisons(const Values *a, const Values *b) { return 1 + a->interval_count + b->interval_count + a->word_count + b->word_count; }

static bool intervals_share(const Values *a, const Values *b)
{
    for (int i = 0, k = 0; i < a->interval_count && k < b->interval_count;) {
        if (a->intervals[i].low <= b->intervals[k].high && b->intervals[k].low <= a->intervals[i].high)
            return true;
        if (a->intervals[i].high < b->intervals[k].high)
            i++;
        else
            k++;
    }
    return false;
}

static bool words_share(const Values *a, const Values *b)
{
    for (int i = 0, k = 0; i < a->word_count && k < b->word_count;) {
        const int order = strcmp(a->words[i], b->words[k]);
        if (order == 0)
            return true;
        i += order < 0;
        k += order > 0;
    }
    return false;
}

static Meet products_meet(SpaceLower *sl, const Product *a, const Product *b);

/* One doubt is enough. */
static Meet values_meet(SpaceLower *sl, const Values *a, const Values *b)
{
    if (a->let >= 0 || b->let >= 0)
        return a->let == b->let ? MEET_YES : MEET_MAYBE;
    if (!space_work(sl, comparisons(a, b)))
        return MEET_NO;
    Meet meet = intervals_share(a, b) || words_share(a, b) ? MEET_YES : MEET_NO;
    for (int i = 0; i < a->product_count && meet != MEET_MAYBE; i++)
        for (int k = 0; k < b->product_count && meet != MEET_MAYBE && space_work(sl, 1); k++) {
            const Meet here = products_meet(sl, &a->products[i], &b->products[k]);
            meet = here == MEET_NO ? meet : here;
        }
    return meet;
}

/* One attribute apart is enough; otherwise one doubt is: also about an attribute that only one of them lists. */
static Meet products_meet(SpaceLower *sl, const Product *a, const Product *b)
{
    Meet meet = a->definition == b->definition ? MEET_YES : MEET_NO;
    int i = 0, k = 0;
    while (meet != MEET_NO && i < a->count && k < b->count) {
        const int order = strcmp(a->parts[i].name, b->parts[k].name);
        const Meet here = order == 0 ? values_meet(sl, &a->parts[i].values, &b->parts[k].values) : MEET_MAYBE;
        meet = here < meet ? here : meet;
        i += order <= 0;
        k += order >= 0;
    }
    return meet == MEET_YES && (i < a->count || k < b->count) ? MEET_MAYBE : meet;
}

/* ---- what both have ---- */

static void intervals_both(const Values *a, const Values *b, Intervals *both)
{
    for (int i = 0, k = 0; i < a->interval_count && k < b->interval_count;) {
        const Interval *first = &a->intervals[i], *second = &b->intervals[k];
        const Interval shared = {first->low > second->low ? first->low : second->low, first->high < second->high ? first->high : second->high};
        if (shared.low <= shared.high)
            vec_push(both, shared);
        if (first->high < second->high)
            i++;
        else
            k++;
    }
}

/* The words that b has too, or those that it lacks. */
static void words_split(const Values *a, const Values *b, bool shared, Words *words)
{
    for (int i = 0, k = 0; i < a->word_count; i++) {
        while (k < b->word_count && strcmp(b->words[k], a->words[i]) < 0)
            k++;
        if ((k < b->word_count && strcmp(b->words[k], a->words[i]) == 0) == shared)
            vec_push(words, a->words[i]);
    }
}

static Values values_both(SpaceLower *sl, const Values *a, const Values *b);

/* Of two that meet for certain: they list the same attributes. */
static Product product_both(SpaceLower *sl, const Product *a, const Product *b)
{
    Part *parts = ARENA_ARRAY(sl->lw->arena, Part, a->count);
    for (int i = 0; i < a->count; i++)
        parts[i] = (Part){a->parts[i].name, values_both(sl, &a->parts[i].values, &b->parts[i].values)};
    return (Product){a->definition, a->count, parts};
}

static Values values_both(SpaceLower *sl, const Values *a, const Values *b)
{
    Values both = *a;
    Intervals intervals = {0};
    Words words = {0};
    Products products = {0};
    if (a->let >= 0 || !space_work(sl, comparisons(a, b)))
        return both;
    intervals_both(a, b, &intervals);
    words_split(a, b, true, &words);
    for (int i = 0; i < a->product_count; i++)
        for (int k = 0; k < b->product_count && space_work(sl, 1); k++)
            if (products_meet(sl, &a->products[i], &b->products[k]) == MEET_YES && space_work(sl, (int64_t)WORK_PART * a->products[i].count))
                vec_push(&products, product_both(sl, &a->products[i], &b->products[k]));
    keep_intervals(sl, &both, &intervals);
    keep_words(sl, &both, &words);
    keep_products(sl, &both, &products);
    return both;
}

/* ---- what one has and the other lacks ---- */

static void intervals_minus(const Values *a, const Values *b, Intervals *rest)
{
    int k = 0;
    for (int i = 0; i < a->interval_count; i++) {
        Interval left = a->intervals[i];
        bool some = true;
        while (k < b->interval_count && b->intervals[k].high < left.low)
            k++;
        for (int at = k; some && at < b->interval_count && b->intervals[at].low <= left.high; at++) {
            if (b->intervals[at].low > left.low)
                vec_push(rest, (Interval){left.low, b->intervals[at].low - 1});
            some = b->intervals[at].high < left.high;
            left.low = some ? b->intervals[at].high + 1 : left.low;
            k = at;
        }
        if (some)
            vec_push(rest, left);
    }
}

/* Of two that meet for certain. */
static Values values_minus(SpaceLower *sl, const Values *a, const Values *b)
{
    Values rest = {.let = -1};
    Intervals intervals = {0};
    Words words = {0};
    Products products = {0};
    if (a->let >= 0 || !space_work(sl, comparisons(a, b)))
        return rest;
    intervals_minus(a, b, &intervals);
    words_split(a, b, false, &words);
    for (int i = 0; i < a->product_count; i++)
        append_rest(sl, &a->products[i], b->products, b->product_count, &products);
    keep_intervals(sl, &rest, &intervals);
    keep_words(sl, &rest, &words);
    keep_products(sl, &rest, &products);
    return rest;
}

static bool values_none(const Values *values) { return values->let < 0 && values->interval_count + values->word_count + values->product_count == 0; }

/* Appends what is left of a: one product for each attribute in which it differs from b, which agrees with b in those before. */
static void product_minus(SpaceLower *sl, const Product *a, const Product *b, Products *rest)
{
    const Meet meet = products_meet(sl, a, b);
    sl->exact = sl->exact && meet != MEET_MAYBE;
    if (meet != MEET_YES) {
        vec_push(rest, *a);
        return;
    }
    Product agrees = *a;
    for (int i = 0; i < a->count; i++) {
        const Values left = values_minus(sl, &a->parts[i].values, &b->parts[i].values);
        if (values_none(&left) || !space_work(sl, (int64_t)WORK_PART * a->count))
            continue;
        Part *differs = arena_memdup(sl->lw->arena, agrees.parts, (size_t)a->count * sizeof *differs);
        Part *parts = arena_memdup(sl->lw->arena, agrees.parts, (size_t)a->count * sizeof *parts);
        differs[i].values = left;
        parts[i].values = values_both(sl, &a->parts[i].values, &b->parts[i].values);
        agrees.parts = parts;
        vec_push(rest, (Product){a->definition, a->count, differs});
    }
}

/* ---- numbers by lets ---- */

/* The numbers in the making, in the order in which their lets are met. */
typedef struct Tally {
    SpaceLower *sl;
    PointerMap numbers; /* by the lets, 1 added */
    VEC(LetCount) items;
} Tally;

static void tally_add(Tally *tally, unsigned lets, Natural count)
{
    Arena *arena = tally->sl->lw->arena;
    const void *key = (const void *)((uintptr_t)lets + 1);
    const int known = pointer_map_find(&tally->numbers, key);
    if (known >= 0) {
        tally->items.items[known].count = natural_add(arena, tally->items.items[known].count, count);
        return;
    }
    pointer_map_set(&tally->numbers, key, tally->items.count);
    vec_push(&tally->items, (LetCount){lets, count});
}

static LetCounts tally_take(Tally *tally)
{
    const LetCounts counts = {tally->items.count, arena_memdup(tally->sl->lw->arena, tally->items.items, (size_t)tally->items.count * sizeof(LetCount))};
    pointer_map_free(&tally->numbers);
    vec_free(&tally->items);
    return counts;
}

static LetCounts counts_of(SpaceLower *sl, unsigned lets, Natural count)
{
    Tally tally = {.sl = sl};
    tally_add(&tally, lets, count);
    return tally_take(&tally);
}

LetCounts counts_one(SpaceLower *sl) { return counts_of(sl, 0, natural(sl->lw->arena, 1)); }

LetCounts counts_mul(SpaceLower *sl, const LetCounts *a, const LetCounts *b)
{
    Tally product = {.sl = sl};
    for (int i = 0; i < a->count; i++)
        for (int k = 0; k < b->count && space_work(sl, WORK_NATURAL); k++)
            tally_add(&product, a->items[i].lets | b->items[k].lets, natural_mul(sl->lw->arena, a->items[i].count, b->items[k].count));
    return tally_take(&product);
}

Natural counts_sum(SpaceLower *sl, const LetCounts *counts)
{
    Natural sum = natural(sl->lw->arena, 0);
    for (int i = 0; i < counts->count; i++)
        sum = natural_add(sl->lw->arena, sum, counts->items[i].count);
    return sum;
}

static LetCounts product_count(SpaceLower *sl, const Product *product);

static LetCounts values_count(SpaceLower *sl, const Values *values)
{
    Arena *arena = sl->lw->arena;
    Tally sum = {.sl = sl};
    Natural plain = natural(arena, (uint64_t)values->word_count);
    if (values->let >= 0)
        return counts_of(sl, 1U << values->let, natural(arena, 1));
    for (int i = 0; i < values->interval_count; i++)
        plain = natural_add(arena, plain, natural_add(arena, natural(arena, (uint64_t)values->intervals[i].high - (uint64_t)values->intervals[i].low), natural(arena, 1)));
    if (!natural_is_zero(plain))
        tally_add(&sum, 0, plain);
    for (int i = 0; i < values->product_count; i++) {
        const LetCounts own = product_count(sl, &values->products[i]);
        for (int k = 0; k < own.count; k++)
            tally_add(&sum, own.items[k].lets, own.items[k].count);
    }
    return tally_take(&sum);
}

static LetCounts product_count(SpaceLower *sl, const Product *product)
{
    LetCounts counts = counts_one(sl);
    for (int i = 0; i < product->count; i++) {
        const LetCounts values = values_count(sl, &product->parts[i].values);
        counts = counts_mul(sl, &counts, &values);
    }
    return counts;
}

LetCounts domain_count(SpaceLower *sl, const Domain *domain)
{
    const Values values = values_of(sl, domain);
    return values_count(sl, &values);
}

LetCounts box_count(SpaceLower *sl, const Box *box)
{
    const Product product = product_of(sl, box);
    return product_count(sl, &product);
}

bool boxes_apart(SpaceLower *sl, const Box *boxes, int count)
{
    Product *products = ARENA_ARRAY(sl->lw->arena, Product, count);
    bool apart = true;
    for (int i = 0; i < count; i++)
        products[i] = product_of(sl, &boxes[i]);
    for (int i = 0; i < count; i++)
        for (int k = 0; k < i && apart && space_work(sl, 1); k++)
            apart = products_meet(sl, &products[i], &products[k]) == MEET_NO;
    return apart;
}
