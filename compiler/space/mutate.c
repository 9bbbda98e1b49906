/* One change of a member. */
#include "space/member.h"

#include <string.h>

const char *change_text(ChangeKind kind)
{
    static const char *const texts[CHANGE_COUNT] = {"value", "replace", "insert", "remove", "swap", "move", "let", "once"};
    return texts[kind];
}

/* A proposal: a copy of the member whose lines have room for one more. */
typedef struct Proposal {
    const BfmSpace *space;
    Arena *arena;
    const BfmMember *before;
    BfmMember *after;
    BfmDraws *draws;
    BfmChange *change;
} Proposal;

static int place(const Proposal *proposal, int count) { return (int)draw_below(proposal->draws, (uint64_t)count); }

void member_put(BfmMember *member, int at, MemberLine line)
{
    memmove(&member->lines[at + 1], &member->lines[at], (size_t)(member->length++ - at) * sizeof line);
    member->lines[at] = line;
}

MemberLine member_take(BfmMember *member, int at)
{
    const MemberLine line = member->lines[at];
    memmove(&member->lines[at], &member->lines[at + 1], (size_t)(--member->length - at) * sizeof line);
    return line;
}

static void change_value(Proposal *proposal)
{
    const SpaceLower *sl = &proposal->space->domains;
    proposal->change->line = place(proposal, proposal->after->length);
    MemberLine *line = &proposal->after->lines[proposal->change->line];
    const Box *box = &sl->kinds[line->kind];
    const int at = place(proposal, box->count + sl->has_width);
    MemberValue *value = at < box->count ? &line->value.values[at] : &line->width;
    const Domain *domain = at < box->count ? &box->attributes[at].domain : &sl->width;
    if (domain->let >= 0)
        return; /* changed for all who use it */
    proposal->change->name = at < box->count ? box->attributes[at].name : "width";
    proposal->change->from = member_value_text(proposal->arena, proposal->before, value);
    *value = domain_draw(proposal->space, proposal->arena, domain, proposal->after, proposal->draws);
    proposal->change->to = member_value_text(proposal->arena, proposal->after, value);
}

static Symbol layer_of(const Proposal *proposal, int kind) { return proposal->space->space.kinds[kind].definition; }

static void change_replace(Proposal *proposal)
{
    proposal->change->line = place(proposal, proposal->after->length);
    MemberLine *line = &proposal->after->lines[proposal->change->line];
    const int kind = place(proposal, proposal->space->space.kind_count);
    if (kind == line->kind)
        return;
    proposal->change->from = member_value_text(proposal->arena, proposal->before, &line->value);
    *line = line_draw(proposal->space, proposal->arena, kind, proposal->after, proposal->draws);
    proposal->change->to = member_value_text(proposal->arena, proposal->after, &line->value);
}

static void change_insert(Proposal *proposal)
{
    if (proposal->after->length == SPACE_LENGTH_MAX)
        return;
    proposal->change->line = place(proposal, proposal->after->length + 1);
    const int kind = place(proposal, proposal->space->space.kind_count);
    const MemberLine line = line_draw(proposal->space, proposal->arena, kind, proposal->after, proposal->draws);
    member_put(proposal->after, proposal->change->line, line);
    proposal->change->name = layer_of(proposal, kind);
    proposal->change->to = member_value_text(proposal->arena, proposal->after, &line.value);
}

static void change_remove(Proposal *proposal)
{
    proposal->change->line = place(proposal, proposal->after->length);
    const MemberLine line = member_take(proposal->after, proposal->change->line);
    proposal->change->name = layer_of(proposal, line.kind);
    proposal->change->from = member_value_text(proposal->arena, proposal->before, &line.value);
}

static void change_swap(Proposal *proposal)
{
    MemberLine *lines = proposal->after->lines;
    const int one = place(proposal, proposal->after->length), other = place(proposal, proposal->after->length);
    const MemberLine line = lines[one];
    lines[one] = lines[other];
    lines[other] = line;
    proposal->change->line = one;
    proposal->change->other = other;
}

static void change_move(Proposal *proposal)
{
    const int from = place(proposal, proposal->after->length), to = place(proposal, proposal->after->length);
    member_put(proposal->after, to, member_take(proposal->after, from));
    proposal->change->line = from;
    proposal->change->other = to;
}

static void change_let(Proposal *proposal)
{
    if (proposal->space->space.let_count == 0)
        return;
    const int let = place(proposal, proposal->space->space.let_count);
    if (!(member_lets(proposal->before) >> let & 1))
        return;
    proposal->change->name = proposal->space->space.lets[let].name;
    proposal->change->from = member_value_text(proposal->arena, proposal->before, &proposal->before->lets[let]);
    lets_draw(proposal->space, proposal->arena, proposal->after, 1U << let, proposal->draws);
    proposal->change->to = member_value_text(proposal->arena, proposal->after, &proposal->after->lets[let]);
}

static void change_once(Proposal *proposal)
{
    const int once = place(proposal, ONCE_COUNT);
    const Domain *domain = once_domain(&proposal->space->domains, once);
    if (!domain || domain->let >= 0)
        return;
    proposal->change->name = once_name(once);
    proposal->change->from = member_value_text(proposal->arena, proposal->before, &proposal->before->once[once]);
    proposal->after->once[once] = domain_draw(proposal->space, proposal->arena, domain, proposal->after, proposal->draws);
    proposal->change->to = member_value_text(proposal->arena, proposal->after, &proposal->after->once[once]);
}

/* How many lines there are, of which entries: values are those of the domains. */
bool member_counts_fit(const BfmSpace *space, const BfmMember *member)
{
    if (member->length < 1 || member->length > SPACE_LENGTH_MAX || !space->domains.lengths[member->length])
        return false;
    for (int k = 0; k < space->space.kind_count; k++) {
        int count = 0;
        for (int i = 0; i < member->length; i++)
            count += member->lines[i].kind == k;
        if (count < space->space.kinds[k].least || count > space->space.kinds[k].most)
            return false;
    }
    return true;
}

static ChangeKind draw_kind(const unsigned weights[CHANGE_COUNT], BfmDraws *draws)
{
    uint64_t sum = 0;
    for (int i = 0; i < CHANGE_COUNT; i++)
        sum += weights ? weights[i] : 1;
    uint64_t rest = sum > 0 ? draw_below(draws, sum) : 0;
    for (int i = 0; i < CHANGE_COUNT; i++) {
        const uint64_t weight = weights ? weights[i] : 1;
        if (rest < weight)
            return (ChangeKind)i;
        rest -= weight;
    }
    return CHANGE_VALUE;
}

static void propose(Proposal *proposal, ChangeKind kind)
{
    *proposal->change = (BfmChange){.kind = kind, .line = -1, .other = -1};
    switch (kind) {
    case CHANGE_VALUE: change_value(proposal); break;
    case CHANGE_REPLACE: change_replace(proposal); break;
    case CHANGE_INSERT: change_insert(proposal); break;
    case CHANGE_REMOVE: change_remove(proposal); break;
    case CHANGE_SWAP: change_swap(proposal); break;
    case CHANGE_MOVE: change_move(proposal); break;
    case CHANGE_LET: change_let(proposal); break;
    case CHANGE_ONCE: change_once(proposal); break;
    case CHANGE_COUNT: break;
    }
}

static BfmChange change_copy(Arena *arena, const BfmChange *change)
{
    BfmChange copy = *change;
    copy.from = change->from ? arena_strdup(arena, change->from) : NULL;
    copy.to = change->to ? arena_strdup(arena, change->to) : NULL;
    return copy;
}

BfmMember *bfm_space_mutate(const BfmSpace *space, Arena *arena, const BfmMember *member, const unsigned weights[CHANGE_COUNT], BfmDraws *draws, BfmChange *change)
{
    enum { TRIES = 100000 };
    BfmMember *found = NULL;
    Arena *scratch = arena_new();
    for (int tries = 0; tries < TRIES && !found; tries++) {
        arena_reset(scratch);
        BfmMember *after = member_copy(scratch, member);
        after->lines = ARENA_ARRAY(scratch, MemberLine, member->length + 1);
        const BfmMember *copy = member_copy(scratch, member);
        memcpy(after->lines, copy->lines, (size_t)member->length * sizeof *after->lines);
        lets_draw(space, scratch, after, ~member_lets(member), draws); /* those in use from now on may be any */
        BfmChange proposed;
        Proposal proposal = {space, scratch, member, after, draws, &proposed};
        propose(&proposal, draw_kind(weights, draws));
        if (!member_counts_fit(space, after) || bfm_member_equal(member, after))
            continue;
        found = member_copy(arena, after);
        *change = change_copy(arena, &proposed);
    }
    arena_free(scratch);
    return found;
}
