/* Spaces: checked against the attributes they range over, and counted. */
#include "lower/declarations.h"
#include "space/internal.h"

#include <string.h>

/* What `where` of a space may bound. */
static const char *const BOUNDED[] = {"active_parameters", "parameters", "step_time", "flops", "peak_bytes", NULL};

/* ---- entries ---- */

static bool count_end(SpaceLower *sl, const Node *node, int64_t *count)
{
    const Val value = eval_const(sl->lw, sl->scope, node);
    if (value.kind == VAL_POISON || (val_int(&value, count) && *count >= 0))
        return value.kind != VAL_POISON;
    diag_add(sl->lw->diags, DIAG_E0205, node->span, "how many lines there are is a whole number from 0, not %s", val_text(sl->lw, &value));
    return false;
}

static int cut(int64_t count) { return count < SPACE_LENGTH_MAX ? (int)count : SPACE_LENGTH_MAX; }

static bool times_build(SpaceLower *sl, const Node *times, SpaceKind *kind)
{
    int64_t least = 0, most = SPACE_LENGTH_MAX;
    if (times && times->kind == NODE_RANGE) {
        if (!count_end(sl, times->kids[RANGE_LOW], &least) || !count_end(sl, times->kids[RANGE_HIGH], &most))
            return false;
        if (least > most) {
            Diagnostic *diag = diag_add(sl->lw->diags, DIAG_E0602, times->span, "this range is empty: %lld is more than %lld", (long long)least, (long long)most);
            diag_fix(sl->lw->diags, diag, "write the lower end first");
            return false;
        }
    } else if (times) {
        if (!count_end(sl, times, &least))
            return false;
        most = least;
    }
    kind->least = least > SPACE_LENGTH_MAX ? SPACE_LENGTH_MAX + 1 : (int)least; /* more than any length: no member */
    kind->most = cut(most);
    return true;
}

static bool kind_build(SpaceLower *sl, const Node *choice)
{
    Lower *lw = sl->lw;
    const Node *definition = module_find(lw->module, choice->name, NODE_DEFINITION, AST_DEF_LAYER);
    SpaceKind kind = {.definition = choice->name};
    Box box;
    if (!definition) {
        const Symbol similar = module_similar(lw->module, choice->name, NODE_DEFINITION, AST_DEF_LAYER);
        Diagnostic *diag = diag_add(lw->diags, DIAG_E0201, choice->span, "there is no layer `%s`", choice->name);
        if (similar)
            diag_fix(lw->diags, diag, "did you mean `%s`?", similar);
        return false;
    }
    if (module_malformed(lw->module, definition))
        return false;
    sl->used = 0;
    const bool counted = times_build(sl, choice->kids[CHOICE_TIMES], &kind);
    if (!box_build(sl, definition, choice->kids[CHOICE_ITEMS], choice->span, true, &box) || !counted)
        return false;
    sl->lines[sl->space->kind_count] = box_count(sl, &box);
    sl->kinds[sl->space->kind_count] = box;
    sl->space->kinds[sl->space->kind_count++] = kind;
    return true;
}

/* ---- what is said of the block as a whole ---- */

static bool lengths_build(SpaceLower *sl, const Domain *domain, Span span)
{
    for (int i = 0; i < (domain->range ? 2 : domain->count); i++) {
        const int64_t length = domain->range ? i ? domain->high : domain->low : strtoll(domain->items[i].text, NULL, 10);
        if (length < 1 || length > SPACE_LENGTH_MAX) {
            diag_add(sl->lw->diags, DIAG_E0602, span, "a block has from 1 to %d lines, not %lld", SPACE_LENGTH_MAX, (long long)length);
            return false;
        }
        sl->lengths[length] = true;
    }
    for (int64_t length = domain->low; domain->range && length <= domain->high; length++)
        sl->lengths[length] = true;
    sl->length_count = 1;
    return true;
}

static bool all_positive(const Domain *domain)
{
    bool positive = !domain->range || domain->low > 0;
    for (int i = 0; i < domain->count; i++)
        positive = positive && !(domain->items[i].text && (*domain->items[i].text == '-' || strcmp(domain->items[i].text, "0") == 0));
    return positive;
}

static bool once_build(SpaceLower *sl, const Node *item, const Node *value)
{
    Lower *lw = sl->lw;
    const struct {
        const char *name;
        int type;
        Domain *domain;
        bool *has;
    } known[] = {{"length", AST_TYPE_COUNT, NULL, NULL},
                 {"d", AST_TYPE_WIDTH, &sl->d, &sl->has_d},
                 {"width", AST_TYPE_REAL, &sl->width, &sl->has_width},
                 {"norm", AST_TYPE_NORM, &sl->norm, &sl->has_norm},
                 {"wiring", AST_TYPE_WIRING, &sl->wiring, &sl->has_wiring}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        Domain domain;
        if (strcmp(known[i].name, item->name) != 0)
            continue;
        Node *type = node_new(lw->arena, NODE_TYPE, span_none());
        type->op = known[i].type;
        sl->used = 0;
        if (!domain_build(sl, type, value, item->name, &domain))
            return false;
        if (!known[i].domain && sl->used) {
            diag_add(lw->diags, DIAG_E0602, value->span, "the length is no `let`: it decides how many lines there are");
            return false;
        }
        if (!known[i].domain)
            return lengths_build(sl, &domain, value->span);
        if (known[i].type == AST_TYPE_REAL && !all_positive(&domain)) {
            diag_add(lw->diags, DIAG_E0602, value->span, "a width is a positive part of the stream's");
            return false;
        }
        *known[i].domain = domain;
        *known[i].has = true;
        return true;
    }
    diag_note(lw->diags, diag_add(lw->diags, DIAG_E0601, item->span, "a space has no domain `%s`", item->name),
              "its domains are: length, d, width, norm, wiring; others are introduced by `let`");
    return false;
}

static void check_bounds(SpaceLower *sl, const Node *bounds)
{
    Lower *lw = sl->lw;
    sl->space->bound_count += list_count(bounds->kids[BOUNDS_CONDITIONS]);
    for (int i = 0; i < list_count(bounds->kids[BOUNDS_CONDITIONS]); i++) {
        const Node *condition = list_at(bounds->kids[BOUNDS_CONDITIONS], i);
        const bool form = condition->kind == NODE_BINARY && (condition->op == AST_LE || condition->op == AST_LT) && condition->kids[BINARY_LEFT]->kind == NODE_NAME;
        bool known = false;
        for (int k = 0; form && BOUNDED[k]; k++)
            known = known || strcmp(BOUNDED[k], condition->kids[BINARY_LEFT]->name) == 0;
        if (!known) {
            Diagnostic *diag = diag_add(lw->diags, DIAG_E0602, condition->span, "expected a bound such as `active_parameters <= 160M` or `step_time <= MODEL`");
            diag_note(lw->diags, diag, "bounded can be: active_parameters, parameters, step_time, flops, peak_bytes");
            continue;
        }
        const Node *right = condition->kids[BINARY_RIGHT];
        if (right->kind == NODE_NAME)
            need_item(lw, right, NODE_MODEL, NODE_BLOCK, "model or block");
        else
            check_positive(lw, right);
    }
}

/* ---- the count ---- */

/* Sequences of each length by which lets they use. */
typedef struct Ways {
    unsigned lets;
    Natural *by_length; /* [longest + 1] */
} Ways;

typedef struct WaysList {
    Arena *arena; /* holds the numbers */
    VEC(Ways) items;
    PointerMap numbers; /* by the lets, 1 added */
} WaysList;

typedef struct Count {
    SpaceLower *sl;
    Arena *scratch; /* of sums in the making */
    int longest;
    Natural **choose; /* choose[n][m]: in how many ways m of n places are taken */
} Count;

static void ways_free(WaysList *list)
{
    vec_free(&list->items);
    pointer_map_free(&list->numbers);
    arena_free(list->arena);
}

static Natural *ways_of(const Count *count, WaysList *list, unsigned lets)
{
    const void *key = (const void *)((uintptr_t)lets + 1);
    const int known = pointer_map_find(&list->numbers, key);
    if (known >= 0)
        return list->items.items[known].by_length;
    pointer_map_set(&list->numbers, key, list->items.count);
    vec_push(&list->items, (Ways){lets, ARENA_ARRAY(list->arena, Natural, count->longest + 1)});
    return vec_last(&list->items).by_length;
}

/* The empty sequence. */
static WaysList ways_none(const Count *count)
{
    WaysList ways = {.arena = arena_new()};
    ways_of(count, &ways, 0)[0] = natural(ways.arena, 1);
    return ways;
}

static Natural **binomials(Arena *arena, int longest)
{
    Natural **choose = ARENA_ARRAY(arena, Natural *, longest + 1);
    for (int n = 0; n <= longest; n++) {
        choose[n] = ARENA_ARRAY(arena, Natural, n + 1);
        choose[n][0] = choose[n][n] = natural(arena, 1);
        for (int m = 1; m < n; m++)
            choose[n][m] = natural_add(arena, choose[n - 1][m - 1], choose[n - 1][m]);
    }
    return choose;
}

/* Sequences of the lines of one entry alone. */
static WaysList ways_of_kind(const Count *count, const SpaceKind *kind, const LetCounts *lines)
{
    WaysList ways = ways_none(count);
    for (int m = 0; m < kind->most && m < count->longest; m++)
        for (int w = 0, known = ways.items.count; w < known; w++)
            for (int i = 0; i < lines->count; i++) {
                const Natural before = ways.items.items[w].by_length[m];
                if (natural_is_zero(before) || !space_work(count->sl, WORK_NATURAL))
                    continue;
                Natural *sum = &ways_of(count, &ways, ways.items.items[w].lets | lines->items[i].lets)[m + 1];
                *sum = natural_add(ways.arena, *sum, natural_mul(ways.arena, before, lines->items[i].count));
            }
    return ways;
}

/* Puts m lines of an entry among the places of n, for each m: in the scratch arena. */
static Natural places_of(const Count *count, const SpaceKind *kind, const Natural *own, const Natural *before, int n)
{
    Natural sum = {0};
    for (int m = kind->least; m <= kind->most && m <= n; m++)
        if (!natural_is_zero(own[m]) && !natural_is_zero(before[n - m]) && space_work(count->sl, WORK_NATURAL))
            sum = natural_add(count->scratch, sum, natural_mul(count->scratch, count->choose[n][m], natural_mul(count->scratch, own[m], before[n - m])));
    return sum;
}

static WaysList with_kind(const Count *count, const WaysList *before, const SpaceKind *kind, const WaysList *own)
{
    WaysList after = {.arena = arena_new()};
    for (int w = 0; w < before->items.count; w++)
        for (int k = 0; k < own->items.count && space_work(count->sl, 1); k++)
            for (int n = kind->least; n <= count->longest; n++) {
                const Natural more = places_of(count, kind, own->items.items[k].by_length, before->items.items[w].by_length, n);
                if (!natural_is_zero(more)) {
                    Natural *sum = &ways_of(count, &after, before->items.items[w].lets | own->items.items[k].lets)[n];
                    *sum = natural_add(after.arena, *sum, more);
                }
                arena_reset(count->scratch);
            }
    return after;
}

/* What is chosen once, by which lets that uses. */
static LetCounts count_once(SpaceLower *sl)
{
    const Domain *domains[] = {&sl->d, &sl->norm, &sl->wiring};
    const bool has[] = {sl->has_d, sl->has_norm, sl->has_wiring};
    LetCounts once = counts_one(sl);
    for (int i = 0; i < 3; i++)
        if (has[i]) {
            const LetCounts values = domain_count(sl, domains[i]);
            once = counts_mul(sl, &once, &values);
        }
    return once;
}

static void count_kinds(SpaceLower *sl)
{
    const LetCounts width = sl->has_width ? domain_count(sl, &sl->width) : counts_one(sl);
    for (int k = 0; k < sl->space->kind_count; k++) {
        SpaceKind *kind = &sl->space->kinds[k];
        sl->lines[k] = counts_mul(sl, &sl->lines[k], &width);
        kind->variants = counts_sum(sl, &sl->lines[k]);
        kind->lets = 0;
        for (int i = 0; i < sl->lines[k].count; i++)
            kind->lets |= sl->lines[k].items[i].lets;
    }
}

/* Sequences of the lengths that the space has: in the scratch arena. */
static Natural sequences_of(const Count *count, const Ways *ways)
{
    Space *space = count->sl->space;
    Natural sum = {0};
    for (int length = 1; length <= count->longest; length++) {
        if (!count->sl->lengths[length] || natural_is_zero(ways->by_length[length]))
            continue;
        sum = natural_add(count->scratch, sum, ways->by_length[length]);
        space->shortest = space->shortest == 0 || length < space->shortest ? length : space->shortest;
        space->longest = length > space->longest ? length : space->longest;
    }
    return sum;
}

/* Sequences times what is chosen once times the values of the lets that either uses. */
static void count_ways(const Count *count, const WaysList *ways, const LetCounts *once)
{
    Space *space = count->sl->space;
    for (int w = 0; w < ways->items.count; w++)
        for (int o = 0; o < once->count && space_work(count->sl, WORK_NATURAL); o++) {
            Natural members = natural_mul(count->scratch, sequences_of(count, &ways->items.items[w]), once->items[o].count);
            for (int i = 0; i < space->let_count; i++)
                if ((ways->items.items[w].lets | once->items[o].lets) >> i & 1)
                    members = natural_mul(count->scratch, members, space->lets[i].values);
            if (!natural_is_zero(members))
                space->size = natural_add(count->sl->lw->arena, space->size, members);
            arena_reset(count->scratch);
        }
}

static void count_members(SpaceLower *sl)
{
    Count count = {.sl = sl, .scratch = arena_new()};
    for (int length = 1; length <= SPACE_LENGTH_MAX; length++)
        count.longest = sl->lengths[length] ? length : count.longest;
    count.choose = binomials(sl->lw->arena, count.longest);
    const LetCounts once = count_once(sl);
    sl->space->once = counts_sum(sl, &once);
    count_kinds(sl);
    WaysList ways = ways_none(&count);
    for (int k = 0; k < sl->space->kind_count; k++) {
        WaysList own = ways_of_kind(&count, &sl->space->kinds[k], &sl->lines[k]), after = with_kind(&count, &ways, &sl->space->kinds[k], &own);
        ways_free(&own);
        ways_free(&ways);
        ways = after;
    }
    count_ways(&count, &ways, &once);
    ways_free(&ways);
    arena_free(count.scratch);
}

/* ---- spaces ---- */

static bool let_declare(SpaceLower *sl, const Node *item)
{
    Space *space = sl->space;
    for (int i = 0; i < space->let_count; i++)
        if (space->lets[i].name == item->name) {
            diag_label(sl->lw->diags, diag_add(sl->lw->diags, DIAG_E0206, item->span, "`%s` is introduced twice", item->name), sl->let_spans[i], "first here");
            return false;
        }
    if (space->let_count == SPACE_LETS_MAX) {
        diag_add(sl->lw->diags, DIAG_E0602, item->span, "a space has at most %d `let`s", SPACE_LETS_MAX);
        return false;
    }
    sl->let_sets[space->let_count] = item->kids[DOMAIN_SET];
    sl->let_spans[space->let_count] = item->span;
    space->lets[space->let_count++] = (SpaceLet){item->name, natural(sl->lw->arena, 0)};
    return true;
}

static bool item_check(SpaceLower *sl, const Node *items, int at)
{
    const Node *item = list_at(items, at);
    if (item->kind == NODE_ERROR)
        return false;
    if (item->kind == NODE_CHOICE)
        return kind_build(sl, item);
    if ((item->kind != NODE_DOMAIN && item->kind != NODE_SETTING) || (item->kind == NODE_DOMAIN && item->op & AST_LET))
        return true;
    const int first = pointer_map_find(&sl->once, item->name);
    if (first >= 0) {
        diag_label(sl->lw->diags, diag_add(sl->lw->diags, DIAG_E0206, item->span, "`%s` is given twice", item->name), list_at(items, first)->span, "first here");
        return false;
    }
    pointer_map_set(&sl->once, item->name, at);
    return once_build(sl, item, item->kind == NODE_DOMAIN ? item->kids[DOMAIN_SET] : item->kids[SETTING_VALUE]);
}

/* Without a length: whatever the counts add up to. */
static bool length_follows(SpaceLower *sl)
{
    int64_t least = 0, most = 0;
    bool bounded = sl->space->kind_count > 0;
    for (int k = 0; k < sl->space->kind_count; k++) {
        least += sl->space->kinds[k].least;
        most += sl->space->kinds[k].most;
    }
    for (int i = 0; i < list_count(sl->node->kids[SPACE_ITEMS]); i++)
        bounded = bounded && (list_at(sl->node->kids[SPACE_ITEMS], i)->kind != NODE_CHOICE || list_at(sl->node->kids[SPACE_ITEMS], i)->kids[CHOICE_TIMES]);
    if (!bounded || most > SPACE_LENGTH_MAX) {
        Diagnostic *diag = diag_add(sl->lw->diags, DIAG_E0602, sl->node->name_span, "the space `%s` does not say how long its blocks are", sl->node->name);
        diag_fix(sl->lw->diags, diag, "write `length = 8` or `length in 4 .. 12`");
        return false;
    }
    for (int64_t length = least > 1 ? least : 1; length <= most; length++)
        sl->lengths[length] = true;
    return true;
}

static void check_lets(SpaceLower *sl)
{
    for (int i = 0; i < sl->space->let_count; i++) {
        if (sl->let_known[i]) {
            const LetCounts values = domain_count(sl, &sl->let_domains[i]);
            sl->space->lets[i].values = counts_sum(sl, &values);
            continue;
        }
        Diagnostic *diag = diag_add(sl->lw->diags, DIAG_W0602, sl->let_spans[i], "the `let` `%s` of `%s` is used nowhere", sl->space->lets[i].name, sl->node->name);
        diag_fix(sl->lw->diags, diag, "use it as a value, `hidden = %s`, or leave it out", sl->space->lets[i].name);
    }
}

static void check_start(SpaceLower *sl, const Node *item)
{
    Lower *lw = sl->lw;
    const Node *block = module_find(lw->module, item->name, NODE_BLOCK, -1);
    Node *name = ast_name(lw->arena, item->name);
    name->span = item->span;
    sl->space->start = item->name;
    if (!block) {
        need_item(lw, name, NODE_BLOCK, NODE_BLOCK, "block");
        return;
    }
    sl->space->start_differs = start_differs(sl, block, NULL, NULL);
    if (!sl->space->start_differs)
        return;
    Diagnostic *diag = diag_add(lw->diags, DIAG_W0601, item->span, "`%s` is no member of the space: %s", item->name, sl->space->start_differs);
    diag_label(lw->diags, diag, block->name_span, "the block");
}

static bool space_finish(SpaceLower *sl)
{
    Lower *lw = sl->lw;
    const Node *items = sl->node->kids[SPACE_ITEMS];
    if (sl->length_count == 0 && !length_follows(sl))
        return false;
    check_lets(sl);
    sl->exact = boxes_apart(sl, sl->kinds, sl->space->kind_count) && sl->exact; /* entries of one layer may allow an equal line */
    count_members(sl);
    sl->space->exact = sl->exact;
    if (!space_work(sl, 0))
        return false;
    if (natural_is_zero(sl->space->size)) {
        Diagnostic *diag = diag_add(lw->diags, DIAG_E0602, sl->node->name_span, "the space `%s` has no members: no length agrees with the numbers of its lines", sl->node->name);
        for (int k = 0; k < sl->space->kind_count && k < 4; k++)
            diag_note(lw->diags, diag, "`%s`: %d .. %d lines", sl->space->kinds[k].definition, sl->space->kinds[k].least, sl->space->kinds[k].most);
        return false;
    }
    for (int i = 0; i < list_count(items); i++)
        if (list_at(items, i)->kind == NODE_START)
            check_start(sl, list_at(items, i));
    return true;
}

bool space_check(Lower *lw, const Node *node, Space *space, SpaceLower *domains)
{
    const Node *items = node->kids[SPACE_ITEMS];
    const int errors = diag_raised(lw->diags);
    *space = (Space){.node = node, .kinds = ARENA_ARRAY(lw->arena, SpaceKind, list_count(items) + 1), .lets = ARENA_ARRAY(lw->arena, SpaceLet, SPACE_LETS_MAX)};
    SpaceLower *sl = domains;
    *sl = (SpaceLower){.lw = lw,
                       .node = node,
                       .space = space,
                       .scope = scope_new(lw, NULL),
                       .exact = true,
                       .kinds = ARENA_ARRAY(lw->arena, Box, list_count(items) + 1),
                       .lines = ARENA_ARRAY(lw->arena, LetCounts, list_count(items) + 1)};
    bool ok = true, layers = false;
    for (int i = 0; i < list_count(items); i++)
        if (list_at(items, i)->kind == NODE_DOMAIN && list_at(items, i)->op & AST_LET)
            ok = let_declare(sl, list_at(items, i)) && ok;
    for (int i = 0; i < list_count(items); i++) {
        layers = layers || list_at(items, i)->kind == NODE_CHOICE;
        ok = item_check(sl, items, i) && ok;
        if (list_at(items, i)->kind == NODE_BOUNDS)
            check_bounds(sl, list_at(items, i));
    }
    if (!layers && list_count(items) > 0)
        diag_add(lw->diags, DIAG_E0602, node->name_span, "the space `%s` lists no layer", node->name);
    pointer_map_free(&sl->once);
    return ok && layers && diag_raised(lw->diags) == errors && space_finish(sl) && diag_raised(lw->diags) == errors;
}

/* Copies what outlives the declaration. */
static Space space_keep(Arena *arena, const Space *space)
{
    Space kept = *space;
    kept.kinds = arena_memdup(arena, space->kinds, (size_t)space->kind_count * sizeof *kept.kinds);
    kept.lets = arena_memdup(arena, space->lets, (size_t)space->let_count * sizeof *kept.lets);
    for (int i = 0; i < kept.kind_count; i++)
        kept.kinds[i].variants = natural_copy(arena, kept.kinds[i].variants);
    for (int i = 0; i < kept.let_count; i++)
        kept.lets[i].values = natural_copy(arena, kept.lets[i].values);
    kept.once = natural_copy(arena, space->once);
    kept.size = natural_copy(arena, space->size);
    kept.start_differs = space->start_differs ? arena_strdup(arena, space->start_differs) : NULL;
    return kept;
}

typedef struct Found {
    Arena *arena;
    Spaces spaces;
} Found;

static void find_space(Lower *lw, const Node *item, void *context)
{
    Found *found = context;
    Space space;
    SpaceLower domains;
    if (item->kind == NODE_SPACE && space_check(lw, item, &space, &domains))
        found->spaces.items[found->spaces.count++] = space_keep(found->arena, &space);
}

Spaces bfm_spaces(const Module *module)
{
    int count = 0;
    for (int i = 0; i < module->item_count; i++)
        count += module->items[i].node->kind == NODE_SPACE;
    Found found = {module->arena, {.items = ARENA_ARRAY(module->arena, Space, count + 1)}};
    declarations_visit(module, find_space, &found);
    return found.spaces;
}
