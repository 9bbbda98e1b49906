/* Members of spaces: drawn uniformly, changed one thing at a time, written and read back; each lowers. */
#include "lowered.h"

#include "space/space.h"
#include "tree/printer.h"

#include <math.h>

/* Every line is one that lowers. `c` is used by some members only; two items of a domain overlap. */
static const char TEXT[] =
    "use std.layers\nuse std.routers\nspace tiny {\n    let a in { relu, gelu }\n    let c in { 1, 3/2 }\n    length in 1 .. 2\n"
    "    attention { heads in { 2, 4 }, head_dim = 8 }\n    ffn * 0 .. 1 { hidden in { 16, 24 }, act = a }\n"
    "    moe * 0 .. 1 { experts = 4, hidden = 16, router in { top2(capacity = c), expert_choice(capacity in { 1, 2 }), expert_choice(capacity in { 2, 3 }) } }\n"
    "    norm in { rms_norm, layer_norm }\n}\n"
    "space wide {\n    length in 3 .. 5\n    d in { 32, 64 }\n    width in { 1/2, 1 }\n    attention * 0 .. 2 { heads in 1 .. 2, head_dim = 8 }\n    ffn { hidden in { 16, 32, 48 } }\n"
    "    moe * 1 .. 2 { experts in { 4, 8 }, hidden in { 16, 24 }, router in { topk(k in { 1, 2 }), expert_choice() } }\n}\n"
    "block some {\n    ffn()\n}\n";

static const Node *item_of(const Loaded *loaded, const char *name)
{
    const Node *items = loaded->module->files[0].root->kids[FILE_ITEMS];
    for (int i = 0; i < list_count(items); i++)
        if (list_at(items, i)->name && strcmp(list_at(items, i)->name, name) == 0)
            return list_at(items, i);
    fail_msg("no item %s", name);
    return NULL;
}

static BfmSpace *open_space(const Loaded *loaded, const char *name)
{
    BfmSpace *space = bfm_space_open(loaded->module, item_of(loaded, name));
    if (!space)
        loaded_fail(loaded, name);
    return space;
}

static const char *text_of(const BfmSpace *space, Arena *arena, const BfmMember *member)
{
    Str text = {0};
    ast_print(bfm_space_block(space, arena, member, "some"), &text);
    const char *copy = arena_strdup(arena, str_text(&text));
    str_free(&text);
    return copy;
}

static void check_text(const char *text)
{
    Str whole = {0};
    str_printf(&whole, "use std.layers\nuse std.routers\n%s\n", text);
    Loaded again = loaded_text(str_text(&whole));
    Str printed = {0};
    ast_print(item_of(&again, "some"), &printed);
    assert_string_equal(str_text(&printed), text);
    str_free(&printed);
    str_free(&whole);
    loaded_free(&again);
}

/* Read from the tree, found to be the same member, lowered. */
static void check_member(const Loaded *loaded, const BfmSpace *space, const BfmMember *member, bool parse)
{
    const LowerOptions options = {.mode = MODE_TRAIN};
    Candidate candidate = candidate_new(loaded->module, item_of(loaded, "some"));
    Arena *arena = candidate.module->arena;
    const char *message = NULL, *why = NULL, *text = text_of(space, arena, member);
    const Node *made = bfm_space_block(space, arena, member, "some");
    memcpy(candidate.item->kids, made->kids, (size_t)made->count * sizeof *made->kids);
    if (!candidate_check(&candidate, &message))
        fail_msg("%s\n%s", message, text);
    const BfmMember *read = bfm_space_contains(space, candidate.module, candidate.item, arena, &why);
    if (!read)
        fail_msg("%s\n%s", why, text);
    if (!bfm_member_equal(member, read) || bfm_space_distance(member, read) != 0)
        fail_msg("read back as another:\n%s\n%s", text, text_of(space, arena, read));
    if (!lower_block(candidate.module, candidate.item, 32, 8, &options)) {
        Str out = {0};
        diag_print(candidate.module->diags, &out, false);
        fail_msg("%s\n%s", text, str_text(&out));
    }
    if (parse)
        check_text(text);
    candidate_free(&candidate);
}

/* How many members `tiny` has, by going through its blocks: 2 attentions, 2 · 2 ffns, and moes with top2 at 2 capacities or expert_choice at 3. A second line of
   ffn or moe is one too many, so that each `let` stands in one line at most. */
static int expected_members(void)
{
    enum { NORMS = 2 };
    static const int kinds[] = {0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2};
    const int count = (int)(sizeof kinds / sizeof *kinds);
    int blocks = 0;
    for (int i = 0; i < count; i++) {
        blocks += NORMS;
        for (int k = 0; k < count; k++)
            blocks += kinds[i] == 0 || kinds[i] != kinds[k] ? NORMS : 0;
    }
    return blocks;
}

/* Pearson's statistic over the members met. */
static void test_uniform(void **state)
{
    (void)state;
    enum { DRAWS = 40000, ROOM = 400 };
    Loaded loaded = loaded_text(TEXT);
    BfmSpace *space = open_space(&loaded, "tiny");
    const int members = expected_members();
    assert_true(bfm_space_counts(space)->exact);
    assert_string_equal(natural_text(loaded.arena, bfm_space_counts(space)->size), arena_printf(loaded.arena, "%d", members));
    BfmMember *seen[ROOM];
    int counts[ROOM] = {0}, distinct = 0;
    BfmDraws draws = bfm_draws(7, 1);
    for (int i = 0; i < DRAWS; i++) {
        Arena *arena = arena_new();
        const BfmMember *member = bfm_space_sample(space, arena, &draws);
        int at = 0;
        while (at < distinct && !bfm_member_equal(seen[at], member))
            at++;
        if (at == distinct) {
            assert_true(distinct < members);
            const char *why;
            const Node *block = bfm_space_block(space, loaded.arena, member, "some");
            seen[distinct++] = bfm_space_contains(space, loaded.module, block, loaded.arena, &why);
            assert_non_null(seen[at]);
            assert_true(bfm_member_equal(seen[at], member));
        }
        counts[at]++;
        arena_free(arena);
    }
    assert_int_equal(distinct, members);
    double statistic = 0;
    const double mean = (double)DRAWS / members;
    for (int i = 0; i < members; i++)
        statistic += (counts[i] - mean) * (counts[i] - mean) / mean;
    const double freedom = members - 1; /* five standard deviations; the draws are the same on every machine */
    assert_true(fabs(statistic - freedom) < 5 * sqrt(2 * freedom));
    bfm_space_close(space);
    loaded_free(&loaded);
}

static void test_same_seed(void **state)
{
    (void)state;
    Loaded loaded = loaded_text(TEXT);
    BfmSpace *space = open_space(&loaded, "wide");
    BfmDraws a = bfm_draws(3, 5), b = bfm_draws(3, 5), c = bfm_draws(4, 5);
    bool differs = false;
    for (int i = 0; i < 20; i++) {
        const BfmMember *one = bfm_space_sample(space, loaded.arena, &a);
        assert_true(bfm_member_equal(one, bfm_space_sample(space, loaded.arena, &b)));
        differs = differs || !bfm_member_equal(one, bfm_space_sample(space, loaded.arena, &c));
    }
    assert_true(differs);
    bfm_space_close(space);
    loaded_free(&loaded);
}

/* Chains of mutants: members all, one change apart, whatever the kind of the change. */
static void mutants(const char *name, int count)
{
    Loaded loaded = loaded_text(TEXT);
    BfmSpace *space = open_space(&loaded, name);
    BfmDraws draws = bfm_draws(11, 2);
    int kinds[CHANGE_COUNT] = {0};
    Arena *arena = arena_new(), *next = arena_new();
    const BfmMember *member = bfm_space_sample(space, arena, &draws);
    for (int i = 0; i < count; i++) {
        BfmChange change;
        const BfmMember *mutant = bfm_space_mutate(space, next, member, NULL, &draws, &change);
        assert_non_null(mutant);
        kinds[change.kind]++;
        if (bfm_space_distance(member, mutant) != 1 || bfm_space_distance(mutant, member) != 1)
            fail_msg("%s, line %d, other %d: distance %d, back %d\n%s\n%s", change_text(change.kind), change.line, change.other, bfm_space_distance(member, mutant),
                     bfm_space_distance(mutant, member), text_of(space, next, member), text_of(space, next, mutant));
        if (change.from && change.to)
            assert_string_not_equal(change.from, change.to);
        check_member(&loaded, space, mutant, i % 50 == 0);
        Arena *spare = arena;
        member = mutant;
        arena = next;
        next = spare;
        arena_reset(next);
    }
    for (int k = 0; k < CHANGE_COUNT; k++)
        assert_true(kinds[k] > 0 || (k == CHANGE_LET && strcmp(name, "wide") == 0));
    arena_free(arena);
    arena_free(next);
    bfm_space_close(space);
    loaded_free(&loaded);
}

static void test_mutants(void **state)
{
    (void)state;
    mutants("tiny", 300);
    mutants("wide", 700);
}

/* Only the kind of change that has a weight; NULL where there is none. */
static void test_weights(void **state)
{
    (void)state;
    Loaded loaded = loaded_text(TEXT);
    BfmSpace *space = open_space(&loaded, "wide");
    BfmDraws draws = bfm_draws(1, 3);
    const BfmMember *member = bfm_space_sample(space, loaded.arena, &draws);
    BfmChange change;
    const unsigned moves[CHANGE_COUNT] = {[CHANGE_MOVE] = 1}, lets[CHANGE_COUNT] = {[CHANGE_LET] = 1};
    for (int i = 0; i < 20; i++) {
        const BfmMember *moved = bfm_space_mutate(space, loaded.arena, member, moves, &draws, &change);
        if (moved)
            assert_int_equal(change.kind, CHANGE_MOVE);
        member = moved ? moved : member;
    }
    assert_null(bfm_space_mutate(space, loaded.arena, member, lets, &draws, &change));
    bfm_space_close(space);
    loaded_free(&loaded);
}

static void test_reasons(void **state)
{
    (void)state;
    Str text = {0};
    str_append(&text, TEXT);
    str_append(&text, "block short(d: width = 32) {\n    ffn(hidden = 16)\n    moe(experts = 4, hidden = 16, router = topk(k = 1))\n}\n"
                      "block other(d: width = 32) {\n    ffn(hidden = 16)\n    ffn(hidden = 17)\n    moe(experts = 4, hidden = 16, router = topk(k = 1))\n}\n"
                      "block plain {\n    ffn(hidden = 16)\n    ffn(hidden = 16)\n    moe(experts = 4, hidden = 16, router = topk(k = 1))\n}\n");
    Loaded loaded = loaded_text(str_text(&text));
    BfmSpace *space = open_space(&loaded, "wide");
    const char *why;
    assert_null(bfm_space_contains(space, loaded.module, item_of(&loaded, "short"), loaded.arena, &why));
    assert_string_equal(why, "it has 2 lines, a length that the space does not have");
    assert_null(bfm_space_contains(space, loaded.module, item_of(&loaded, "other"), loaded.arena, &why));
    assert_string_equal(why, "line 2, `ffn`, has hidden = 17; the space has one of 16, 32, 48");
    assert_null(bfm_space_contains(space, loaded.module, item_of(&loaded, "plain"), loaded.arena, &why));
    assert_string_equal(why, "it says no width `d`, which the space chooses");
    bfm_space_close(space);
    str_free(&text);
    loaded_free(&loaded);
}

/* Distances of members drawn at random: symmetric, 0 only for equal ones. */
static void test_distance(void **state)
{
    (void)state;
    Loaded loaded = loaded_text(TEXT);
    BfmSpace *space = open_space(&loaded, "tiny");
    BfmDraws draws = bfm_draws(2, 9);
    for (int i = 0; i < 2000; i++) {
        Arena *arena = arena_new();
        const BfmMember *a = bfm_space_sample(space, arena, &draws), *b = bfm_space_sample(space, arena, &draws);
        assert_int_equal(bfm_space_distance(a, b), bfm_space_distance(b, a));
        assert_int_equal(bfm_space_distance(a, b) == 0, bfm_member_equal(a, b));
        arena_free(arena);
    }
    bfm_space_close(space);
    loaded_free(&loaded);
}

/* In this space a line of the same layer differs in one value at most: the neighbours are the members at distance 1, and all that changes lead to. */
static void test_neighbours(void **state)
{
    (void)state;
    enum { ROOM = 400, DRAWS = 6000 };
    Loaded loaded = loaded_text(TEXT);
    BfmSpace *space = open_space(&loaded, "tiny");
    BfmMember *all[ROOM];
    const int members = expected_members();
    int count = 0;
    BfmDraws draws = bfm_draws(5, 5);
    for (int i = 0; i < DRAWS && count < members; i++) {
        BfmMember *member = bfm_space_sample(space, loaded.arena, &draws);
        int at = 0;
        while (at < count && !bfm_member_equal(all[at], member))
            at++;
        if (at == count)
            all[count++] = member;
    }
    assert_int_equal(count, members);
    for (int a = 0; a < count; a++) {
        Arena *arena = arena_new();
        const BfmNeighbours neighbours = bfm_space_neighbours(space, arena, all[a], 10000);
        assert_true(neighbours.complete);
        int near = 0;
        for (int b = 0; b < count; b++)
            near += bfm_space_distance(all[a], all[b]) == 1;
        assert_int_equal(neighbours.count, near);
        bool reached[ROOM] = {false};
        int left = near;
        for (int i = 0; i < neighbours.count; i++)
            assert_int_equal(bfm_space_distance(all[a], neighbours.items[i].member), 1);
        for (int i = 0; a % 20 == 0 && i < 200000 && left > 0; i++) {
            Arena *scratch = arena_new();
            BfmChange change;
            const BfmMember *mutant = bfm_space_mutate(space, scratch, all[a], NULL, &draws, &change);
            int at = 0;
            while (at < neighbours.count && !bfm_member_equal(neighbours.items[at].member, mutant))
                at++;
            assert_true(at < neighbours.count);
            left -= !reached[at];
            reached[at] = true;
            arena_free(scratch);
        }
        assert_int_equal(a % 20 == 0 ? left : 0, 0);
        assert_int_equal(bfm_space_neighbours(space, arena, all[a], 3).complete, near <= 3);
        arena_free(arena);
    }
    bfm_space_close(space);
    loaded_free(&loaded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_uniform), cmocka_unit_test(test_same_seed), cmocka_unit_test(test_mutants),   cmocka_unit_test(test_weights),
                                       cmocka_unit_test(test_reasons), cmocka_unit_test(test_distance),  cmocka_unit_test(test_neighbours)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
