/* Members drawn from a space: all with the same probability. The counts say how many members follow each choice. */
#include "space/member.h"

#include "lower/declarations.h"

#include <bfm/philox.h>

#include <string.h>

/* ---- draws ---- */

BfmDraws bfm_draws(uint64_t seed, uint64_t stream) { return (BfmDraws){bfm_philox_key(seed, stream), 0}; }

static uint32_t draw_word(BfmDraws *draws)
{
    uint32_t words[4];
    bfm_philox_words(draws->key, 0, draws->next / 4, words);
    return words[draws->next++ % 4];
}

uint64_t draw_below(BfmDraws *draws, uint64_t bound)
{
    const uint64_t odd = (UINT64_MAX - bound + 1) % bound; /* 2^64 mod bound: values below it are left out */
    uint64_t value;
    do {
        value = (uint64_t)draw_word(draws) << 32;
        value |= draw_word(draws);
    } while (value < odd);
    return value % bound;
}

static int compare(Natural a, Natural b)
{
    if (a.count != b.count)
        return a.count < b.count ? -1 : 1;
    for (int i = a.count - 1; i >= 0; i--)
        if (a.digits[i] != b.digits[i])
            return a.digits[i] < b.digits[i] ? -1 : 1;
    return 0;
}

/* Uniform in [0, bound): as many bits as the bound has, drawn again where they make too much. */
static Natural natural_draw(Arena *arena, BfmDraws *draws, Natural bound)
{
    uint32_t *digits = ARENA_ARRAY(arena, uint32_t, bound.count + 1), mask = bound.digits[bound.count - 1];
    for (int shift = 1; shift < 32; shift *= 2)
        mask |= mask >> shift;
    Natural value;
    do {
        for (int i = 0; i < bound.count; i++)
            digits[i] = draw_word(draws);
        digits[bound.count - 1] &= mask;
        value = (Natural){bound.count, digits};
        while (value.count > 0 && digits[value.count - 1] == 0)
            value.count--;
    } while (compare(value, bound) >= 0);
    return value;
}

/* A position with a probability in proportion to its weight. */
static int draw_weighted(BfmDraws *draws, const Natural *weights, int count)
{
    Arena *arena = arena_new();
    Natural sum = natural(arena, 0);
    for (int i = 0; i < count; i++)
        sum = natural_add(arena, sum, weights[i]);
    const Natural drawn = natural_draw(arena, draws, sum);
    Natural end = weights[0];
    int chosen = 0;
    while (compare(drawn, end) >= 0)
        end = natural_add(arena, end, weights[++chosen]);
    arena_free(arena);
    return chosen;
}

/* ---- values ---- */

MemberValue box_draw(const BfmSpace *space, Arena *arena, const Box *box, const BfmMember *member, BfmDraws *draws)
{
    MemberValue value = {.let = -1, .box = box, .values = ARENA_ARRAY(arena, MemberValue, box->count + 1)};
    for (int i = 0; i < box->count; i++)
        value.values[i] = domain_draw(space, arena, &box->attributes[i].domain, member, draws);
    return value;
}

static bool item_allows(const BfmMember *member, const DomainItem *item, const MemberValue *value)
{
    if (item->text || value->text)
        return item->text && value->text && strcmp(item->text, value->text) == 0;
    if (item->box.definition != value->box->definition || item->box.count != value->box->count)
        return false;
    for (int i = 0; i < item->box.count; i++)
        for (int k = 0; k < item->box.count; k++)
            if (item->box.attributes[i].name == value->box->attributes[k].name && !domain_allows(member, &item->box.attributes[i].domain, &value->values[k]))
                return false;
    return true;
}

bool domain_allows(const BfmMember *member, const Domain *domain, const MemberValue *value)
{
    int64_t integer;
    if (domain->let >= 0)
        return member_value_equal(member, &member->lets[domain->let], member, value);
    if (value->let >= 0)
        value = &member->lets[value->let];
    if (domain->range)
        return value->text && text_integer(value->text, &integer) && integer >= domain->low && integer <= domain->high;
    for (int i = 0; i < domain->count; i++)
        if (item_allows(member, &domain->items[i], value))
            return true;
    return false;
}

static MemberValue item_draw(const BfmSpace *space, Arena *arena, const DomainItem *item, const BfmMember *member, BfmDraws *draws)
{
    return item->text ? (MemberValue){.let = -1, .text = item->text, .node = item->node} : box_draw(space, arena, &item->box, member, draws);
}

MemberValue domain_draw(const BfmSpace *space, Arena *arena, const Domain *domain, const BfmMember *member, BfmDraws *draws)
{
    if (domain->let >= 0)
        return (MemberValue){.let = domain->let};
    if (domain->range) {
        const uint64_t more = (uint64_t)domain->high - (uint64_t)domain->low, offset = more == UINT64_MAX ? draw_below(draws, more) : draw_below(draws, more + 1);
        return (MemberValue){.let = -1, .text = arena_printf(arena, "%lld", (long long)(int64_t)((uint64_t)domain->low + offset))};
    }
    for (;;) { /* what earlier items allow too is theirs */
        const int number = domain->count == 1 ? 0 : draw_weighted(draws, domain->weights, domain->count);
        const MemberValue value = item_draw(space, arena, &domain->items[number], member, draws);
        bool earlier = false;
        for (int i = 0; i < number && !earlier; i++)
            earlier = item_allows(member, &domain->items[i], &value);
        if (!earlier)
            return value;
    }
}

/* ---- weights ---- */

static Natural box_weigh(SpaceLower *sl, Box *box);

/* Values of each item; what several allow is counted for each. */
static void domain_weigh(SpaceLower *sl, Domain *domain)
{
    if (domain->let >= 0 || domain->range || domain->weights)
        return;
    domain->weights = ARENA_ARRAY(sl->lw->arena, Natural, domain->count + 1);
    for (int i = 0; i < domain->count; i++)
        domain->weights[i] = domain->items[i].text ? natural(sl->lw->arena, 1) : box_weigh(sl, &domain->items[i].box);
}

static Natural box_weigh(SpaceLower *sl, Box *box)
{
    for (int i = 0; i < box->count; i++)
        domain_weigh(sl, &box->attributes[i].domain);
    const LetCounts counts = box_count(sl, box);
    return counts_sum(sl, &counts);
}

/* ways[k + 1][n] = Σ m (n over m) · power[k][m] · ways[k][n − m] */
static void ways_build(BfmSpace *space)
{
    Arena *arena = space->arena;
    const int kinds = space->space.kind_count;
    space->ways = ARENA_ARRAY(arena, Natural *, kinds + 1);
    space->power = ARENA_ARRAY(arena, Natural *, kinds + 1);
    space->choose = ARENA_ARRAY(arena, Natural *, space->longest + 1);
    for (int n = 0; n <= space->longest; n++) {
        space->choose[n] = ARENA_ARRAY(arena, Natural, n + 1);
        space->choose[n][0] = space->choose[n][n] = natural(arena, 1);
        for (int m = 1; m < n; m++)
            space->choose[n][m] = natural_add(arena, space->choose[n - 1][m - 1], space->choose[n - 1][m]);
    }
    space->ways[0] = ARENA_ARRAY(arena, Natural, space->longest + 1);
    space->ways[0][0] = natural(arena, 1);
    for (int k = 0; k < kinds; k++) {
        const SpaceKind *kind = &space->space.kinds[k];
        space->power[k] = ARENA_ARRAY(arena, Natural, space->longest + 1);
        space->power[k][0] = natural(arena, 1);
        for (int m = 1; m <= space->longest; m++)
            space->power[k][m] = natural_mul(arena, space->power[k][m - 1], kind->variants);
        space->ways[k + 1] = ARENA_ARRAY(arena, Natural, space->longest + 1);
        for (int n = 0; n <= space->longest; n++)
            for (int m = kind->least; m <= kind->most && m <= n; m++)
                space->ways[k + 1][n] =
                    natural_add(arena, space->ways[k + 1][n], natural_mul(arena, space->choose[n][m], natural_mul(arena, space->power[k][m], space->ways[k][n - m])));
    }
}

/* ---- spaces ---- */

BfmSpace *bfm_space_open(const Module *module, const Node *item)
{
    Arena *arena = arena_new();
    BfmSpace *space = ARENA_NEW(arena, BfmSpace);
    space->arena = arena;
    space->module = module_in(module, arena);
    declaration_begin(&space->lw, &space->module);
    space->d = intern(module->interner, "d");
    if (!space_check(&space->lw, item, &space->space, &space->domains)) {
        bfm_space_close(space);
        return NULL;
    }
    SpaceLower *sl = &space->domains;
    for (int i = 0; i < space->space.let_count; i++)
        if (sl->let_known[i])
            domain_weigh(sl, &sl->let_domains[i]);
    for (int k = 0; k < space->space.kind_count; k++)
        (void)box_weigh(sl, &sl->kinds[k]);
    Domain *domains[] = {sl->has_width ? &sl->width : NULL, sl->has_d ? &sl->d : NULL, sl->has_norm ? &sl->norm : NULL, sl->has_wiring ? &sl->wiring : NULL};
    for (int i = 0; i < 4; i++)
        if (domains[i])
            domain_weigh(sl, domains[i]);
    space->longest = space->space.longest;
    ways_build(space);
    return space;
}

void bfm_space_close(BfmSpace *space)
{
    if (!space)
        return;
    lower_free(&space->lw);
    arena_free(space->arena);
}

const Space *bfm_space_counts(const BfmSpace *space) { return &space->space; }

/* ---- members ---- */

void lets_draw(const BfmSpace *space, Arena *arena, BfmMember *member, unsigned lets, BfmDraws *draws)
{
    for (int i = 0; i < space->space.let_count; i++)
        if (space->domains.let_known[i] && (lets >> i & 1))
            member->lets[i] = domain_draw(space, arena, &space->domains.let_domains[i], member, draws);
}

static void draw_once(const BfmSpace *space, Arena *arena, BfmMember *member, BfmDraws *draws)
{
    lets_draw(space, arena, member, ~0U, draws);
    for (int i = 0; i < ONCE_COUNT; i++) {
        const Domain *domain = once_domain(&space->domains, i);
        member->has_once[i] = domain != NULL;
        if (domain)
            member->once[i] = domain_draw(space, arena, domain, member, draws);
    }
}

MemberLine line_draw(const BfmSpace *space, Arena *arena, int kind, const BfmMember *member, BfmDraws *draws)
{
    MemberLine line = {.kind = kind, .width = {.let = -1, .text = "1"}};
    if (space->domains.has_width)
        line.width = domain_draw(space, arena, &space->domains.width, member, draws);
    line.value = box_draw(space, arena, &space->domains.kinds[kind], member, draws);
    return line;
}

/* How many lines, of which entries, in which order. */
static void draw_kinds(const BfmSpace *space, BfmMember *member, Arena *arena, BfmDraws *draws)
{
    const int kinds = space->space.kind_count;
    Natural weights[SPACE_LENGTH_MAX + 1] = {{0}};
    for (int n = 1; n <= space->longest; n++)
        if (space->domains.lengths[n])
            weights[n] = space->ways[kinds][n];
    member->length = draw_weighted(draws, weights, space->longest + 1);
    member->lines = ARENA_ARRAY(arena, MemberLine, member->length);
    Arena *scratch = arena_new();
    for (int k = kinds - 1, rest = member->length; k >= 0; k--) {
        const SpaceKind *kind = &space->space.kinds[k];
        for (int m = 0; m <= rest; m++)
            weights[m] = m >= kind->least && m <= kind->most ? natural_mul(scratch, space->choose[rest][m], natural_mul(scratch, space->power[k][m], space->ways[k][rest - m]))
                                                             : (Natural){0};
        for (int m = draw_weighted(draws, weights, rest + 1); m > 0; m--)
            member->lines[--rest].kind = k;
    }
    arena_free(scratch);
    for (int i = member->length - 1; i > 0; i--) {
        const int other = (int)draw_below(draws, (uint64_t)i + 1);
        const MemberLine line = member->lines[i];
        member->lines[i] = member->lines[other];
        member->lines[other] = line;
    }
}

/* A member that leaves `let`s unused comes from every choice of them: one of those is kept. */
static bool kept(const BfmSpace *space, const BfmMember *member, BfmDraws *draws)
{
    const unsigned used = member_lets(member);
    for (int i = 0; i < space->space.let_count; i++) {
        uint64_t values;
        if (!(used >> i & 1) && space->domains.let_known[i] && (!natural_fits(space->space.lets[i].values, &values) || draw_below(draws, values) > 0))
            return false;
    }
    return true;
}

BfmMember *bfm_space_sample(const BfmSpace *space, Arena *arena, BfmDraws *draws)
{
    enum { SAMPLE_TRIES = 1000000 };
    BfmMember *found = NULL;
    for (int tries = 0; tries < SAMPLE_TRIES && !found; tries++) {
        Arena *scratch = arena_new();
        BfmMember member = {0};
        draw_once(space, scratch, &member, draws);
        draw_kinds(space, &member, scratch, draws);
        for (int i = 0; i < member.length; i++)
            member.lines[i] = line_draw(space, scratch, member.lines[i].kind, &member, draws);
        if (kept(space, &member, draws))
            found = member_copy(arena, &member);
        arena_free(scratch);
    }
    return found;
}
