/* Members: compared, written as blocks, their distance. */
#include "space/member.h"

#include "tree/printer.h"

#include <string.h>

const Domain *once_domain(const SpaceLower *sl, int once)
{
    const Domain *domains[ONCE_COUNT] = {sl->has_d ? &sl->d : NULL, sl->has_norm ? &sl->norm : NULL, sl->has_wiring ? &sl->wiring : NULL};
    return domains[once];
}

const char *once_name(int once)
{
    static const char *const names[ONCE_COUNT] = {"d", "norm", "wiring"};
    return names[once];
}

static const MemberValue *resolve(const BfmMember *member, const MemberValue *value) { return value->let >= 0 ? &member->lets[value->let] : value; }

static unsigned value_lets(const MemberValue *value)
{
    unsigned lets = value->let >= 0 ? 1U << value->let : 0;
    for (int i = 0; value->let < 0 && value->box && i < value->box->count; i++)
        lets |= value_lets(&value->values[i]);
    return lets;
}

unsigned member_lets(const BfmMember *member)
{
    unsigned lets = 0;
    for (int i = 0; i < member->length; i++)
        lets |= value_lets(&member->lines[i].width) | value_lets(&member->lines[i].value);
    for (int i = 0; i < ONCE_COUNT; i++)
        lets |= member->has_once[i] ? value_lets(&member->once[i]) : 0;
    return lets;
}

static const MemberValue *value_named(const MemberValue *value, Symbol name)
{
    for (int i = 0; i < value->box->count; i++)
        if (value->box->attributes[i].name == name)
            return &value->values[i];
    return NULL;
}

bool member_value_equal(const BfmMember *a, const MemberValue *x, const BfmMember *b, const MemberValue *y)
{
    x = resolve(a, x);
    y = resolve(b, y);
    if (x->text || y->text)
        return x->text && y->text && strcmp(x->text, y->text) == 0;
    if (x->box->definition != y->box->definition || x->box->count != y->box->count)
        return false;
    for (int i = 0; i < x->box->count; i++) {
        const MemberValue *other = value_named(y, x->box->attributes[i].name);
        if (!other || !member_value_equal(a, &x->values[i], b, other))
            return false;
    }
    return true;
}

bool member_line_equal(const BfmMember *a, const MemberLine *x, const BfmMember *b, const MemberLine *y)
{
    return member_value_equal(a, &x->width, b, &y->width) && member_value_equal(a, &x->value, b, &y->value);
}

bool bfm_member_equal(const BfmMember *a, const BfmMember *b)
{
    bool equal = a->length == b->length;
    for (int i = 0; equal && i < a->length; i++)
        equal = member_line_equal(a, &a->lines[i], b, &b->lines[i]);
    for (int i = 0; equal && i < ONCE_COUNT; i++)
        equal = !a->has_once[i] || member_value_equal(a, &a->once[i], b, &b->once[i]);
    return equal;
}

static MemberValue value_copy(Arena *arena, const MemberValue *value)
{
    MemberValue copy = *value;
    if (value->let >= 0)
        return copy;
    if (value->text && !value->node)
        copy.text = arena_strdup(arena, value->text);
    if (value->box)
        copy.values = ARENA_ARRAY(arena, MemberValue, value->box->count + 1);
    for (int i = 0; value->box && i < value->box->count; i++)
        copy.values[i] = value_copy(arena, &value->values[i]);
    return copy;
}

BfmMember *member_copy(Arena *arena, const BfmMember *member)
{
    BfmMember *copy = arena_memdup(arena, member, sizeof *member);
    copy->lines = ARENA_ARRAY(arena, MemberLine, member->length);
    for (int i = 0; i < member->length; i++)
        copy->lines[i] = (MemberLine){member->lines[i].kind, value_copy(arena, &member->lines[i].width), value_copy(arena, &member->lines[i].value)};
    for (int i = 0; i < ONCE_COUNT; i++)
        copy->once[i] = value_copy(arena, &member->once[i]);
    for (int i = 0; i < SPACE_LETS_MAX; i++)
        copy->lets[i] = value_copy(arena, &member->lets[i]);
    return copy;
}

/* ---- as a block ---- */

static Node *value_node(Arena *arena, const BfmMember *member, const MemberValue *value);

/* The attributes that the space lists; others stand at their defaults. */
static Node *call_node(Arena *arena, const BfmMember *member, const MemberValue *value)
{
    Node *arguments = list_new(arena, span_none());
    for (int i = 0; i < value->box->count; i++)
        if (!value->box->attributes[i].standard)
            list_push(arena, arguments, node_make(arena, NODE_ARG, span_none(), value->box->attributes[i].name, 0, value_node(arena, member, &value->values[i])));
    return node_make(arena, NODE_CALL, span_none(), value->box->definition->name, 0, arguments);
}

static Node *value_node(Arena *arena, const BfmMember *member, const MemberValue *value)
{
    value = resolve(member, value);
    if (value->box) {
        Node *call = call_node(arena, member, value);
        return list_count(call->kids[CALL_ARGS]) > 0 ? call : ast_name(arena, value->box->definition->name);
    }
    return value->node ? node_clone(arena, value->node) : ast_number(arena, rational_int(strtoll(value->text, NULL, 10)));
}

static Node *line_node(Arena *arena, const BfmMember *member, const MemberLine *line)
{
    Node *made = node_make(arena, NODE_LINE, span_none(), NULL, 0, call_node(arena, member, resolve(member, &line->value)), NULL, NULL);
    if (strcmp(resolve(member, &line->width)->text, "1") == 0)
        return made;
    Node *body = list_new(arena, span_none());
    list_push(arena, body, made);
    return node_make(arena, NODE_AT, span_none(), NULL, 0, value_node(arena, member, &line->width), body);
}

Node *bfm_space_block(const BfmSpace *space, Arena *arena, const BfmMember *member, Symbol name)
{
    (void)space;
    Node *attributes = list_new(arena, span_none()), *body = list_new(arena, span_none()), *once[ONCE_COUNT] = {NULL};
    for (int i = 0; i < ONCE_COUNT; i++)
        if (member->has_once[i])
            once[i] = value_node(arena, member, &member->once[i]);
    if (once[ONCE_D]) {
        Node *type = node_make(arena, NODE_TYPE, span_none(), NULL, AST_TYPE_WIDTH, NULL);
        list_push(arena, attributes, node_make(arena, NODE_ATTRIBUTE, span_none(), space->d, 0, type, once[ONCE_D]));
    }
    for (int i = 0; i < member->length; i++)
        list_push(arena, body, line_node(arena, member, &member->lines[i]));
    return node_make(arena, NODE_BLOCK, span_none(), name, 0, attributes, once[ONCE_NORM], once[ONCE_WIRING], body);
}

const char *member_value_text(Arena *arena, const BfmMember *member, const MemberValue *value)
{
    value = resolve(member, value);
    if (value->text)
        return arena_strdup(arena, value->text);
    Str text = {0};
    ast_print(value_node(arena, member, value), &text);
    const char *copy = arena_strdup(arena, str_text(&text));
    str_free(&text);
    return copy;
}

/* ---- distance ---- */

/* Values as the space writes them: the same `let` is the same, whatever it stands for. */
static bool same_written(const BfmMember *a, const MemberValue *x, const BfmMember *b, const MemberValue *y)
{
    if (x->let >= 0 && x->let == y->let)
        return true;
    if (x->let < 0 && y->let < 0 && x->box && x->box == y->box) {
        for (int i = 0; i < x->box->count; i++)
            if (!same_written(a, &x->values[i], b, &y->values[i]))
                return false;
        return true;
    }
    return member_value_equal(a, x, b, y);
}

typedef struct Alignment {
    int a, b;                                             /* lengths */
    int run[SPACE_LENGTH_MAX + 2][SPACE_LENGTH_MAX + 2];  /* equal lines from here on */
    int cost[SPACE_LENGTH_MAX + 1][SPACE_LENGTH_MAX + 1]; /* of what stands before */
} Alignment;

static int smaller(int a, int b) { return a < b ? a : b; }

/* Whether exchanging the ends of `count` lines, or moving one end to the other, makes those of a at i those of b at k. */
static bool one_move(const Alignment *at, int i, int k, int count)
{
    const int last = count - 1;
    const bool first_to_end = at->run[i][k + last] > 0 && at->run[i + 1][k] >= last, last_to_front = at->run[i + last][k] > 0 && at->run[i][k + 1] >= last;
    const bool exchanged = at->run[i][k + last] > 0 && at->run[i + last][k] > 0 && at->run[i + 1][k + 1] >= count - 2;
    return first_to_end || last_to_front || exchanged;
}

static int align(Alignment *at)
{
    for (int i = 0; i <= at->a; i++)
        for (int k = 0; k <= at->b; k++) {
            int best = i + k;
            if (i > 0)
                best = smaller(best, at->cost[i - 1][k] + 1);
            if (k > 0)
                best = smaller(best, at->cost[i][k - 1] + 1);
            if (i > 0 && k > 0)
                best = smaller(best, at->cost[i - 1][k - 1] + (at->run[i - 1][k - 1] == 0));
            for (int count = 2; count <= i && count <= k; count++)
                if (at->cost[i - count][k - count] + 1 < best && one_move(at, i - count, k - count, count))
                    best = at->cost[i - count][k - count] + 1;
            at->cost[i][k] = best;
        }
    return at->cost[at->a][at->b];
}

static int lines_distance(const BfmMember *a, const BfmMember *b)
{
    Arena *arena = arena_new();
    Alignment *at = ARENA_NEW(arena, Alignment);
    at->a = a->length;
    at->b = b->length;
    for (int i = a->length - 1; i >= 0; i--)
        for (int k = b->length - 1; k >= 0; k--)
            if (same_written(a, &a->lines[i].width, b, &b->lines[k].width) && same_written(a, &a->lines[i].value, b, &b->lines[k].value))
                at->run[i][k] = at->run[i + 1][k + 1] + 1;
    const int distance = align(at);
    arena_free(arena);
    return distance;
}

int bfm_space_distance(const BfmMember *a, const BfmMember *b)
{
    if (bfm_member_equal(a, b))
        return 0;
    const unsigned both = member_lets(a) & member_lets(b);
    int distance = lines_distance(a, b);
    for (int i = 0; i < SPACE_LETS_MAX; i++)
        distance += (both >> i & 1) && !member_value_equal(a, &a->lets[i], b, &b->lets[i]);
    for (int i = 0; i < ONCE_COUNT; i++)
        distance += a->has_once[i] && !same_written(a, &a->once[i], b, &b->once[i]);
    return distance > 0 ? distance : 1;
}
