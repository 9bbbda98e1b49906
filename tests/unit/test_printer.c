/* The formatter: print∘parse is the identity on trees and idempotent on text, over every file of the repository and over random trees. */
#include "front.h"

#include "tree/dump.h"

#include <dirent.h>

static void assert_round_trip(Front *front, const Node *file, const char *what)
{
    Str once = {0}, twice = {0};
    ast_print(file, &once);
    int before = diag_count(front->diags);
    Node *again = front_parse(front, str_text(&once));
    if (diag_count(front->diags) != before || !node_equal(file, again)) {
        Str messages = {0}, left = {0}, right = {0};
        diag_print(front->diags, &messages, false);
        ast_dump(file, &left);
        ast_dump(again, &right);
        print_error("%s does not come back:\n%s\n%s\n%s\n-- again --\n%s\n", what, str_text(&once), str_text(&messages), str_text(&left), str_text(&right));
        fail();
    }
    assert_true(node_hash(file) == node_hash(again));
    assert_null(ast_check(front->arena, again));
    ast_print(again, &twice);
    assert_string_equal(str_text(&once), str_text(&twice));
    str_free(&once);
    str_free(&twice);
}

/* How many comments a text has, counted where no string holds slashes. */
static int count_comments(const char *text)
{
    int count = 0;
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        const char *end = strchr(line, '\n');
        const char *comment = strstr(line, "//");
        count += comment && (!end || comment < end);
    }
    return count;
}

static void check_text(const char *text, const char *what)
{
    Front front = front_new();
    Node *file = front_good(&front, text);
    Str out = {0};
    ast_print(file, &out);
    assert_int_equal(count_comments(text), count_comments(str_text(&out)));
    str_free(&out);
    assert_round_trip(&front, file, what);
    front_free(&front);
}

static int check_folder(const char *folder)
{
    int count = 0;
    DIR *handle = opendir(folder);
    if (!handle)
        return 0;
    for (struct dirent *entry; (entry = readdir(handle)) != NULL;) {
        char path[1024];
        size_t length = strlen(entry->d_name);
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (length > 4 && strcmp(entry->d_name + length - 4, ".bfm") == 0) {
            char *text = front_read(path);
            assert_non_null(text);
            check_text(text, path);
            free(text);
            count++;
        } else if (!strchr(entry->d_name, '.')) {
            count += check_folder(path);
        }
    }
    closedir(handle);
    return count;
}

static void test_files(void **state)
{
    (void)state;
    assert_true(check_folder(BFM_SOURCE_DIR "/stdlib") > 0);
    assert_true(check_folder(BFM_SOURCE_DIR "/tests/golden") > 0);
    check_folder(BFM_SOURCE_DIR "/examples");
}

static void assert_format(const char *text, const char *expected)
{
    Front front = front_new();
    Node *file = front_good(&front, text);
    Str out = {0};
    ast_print(file, &out);
    assert_string_equal(str_text(&out), expected);
    str_free(&out);
    assert_round_trip(&front, file, "format");
    front_free(&front);
}

static void test_layout(void **state)
{
    (void)state;
    assert_format("use  std.layers\nmodel m{vocab=32_000 context = 24\nembed( d=32 )repeat 2{f()}\n\n\nmix:g(a=256K)norm=none wiring=pre}",
                  "use std.layers\n\nmodel m {\n    vocab   = 32_000\n    context = 24\n    embed(d = 32)\n    repeat 2 { f() }\n\n    mix: g(a = 256K) norm = none "
                  "wiring = pre\n}\n");
    assert_format("block b(){parallel{f()|g()\nh()}at 3 / 4{f()}}", "block b() {\n    parallel {\n        f()\n    |\n        g()\n        h()\n    }\n    at 3/4 { f() }\n}\n");
    assert_format("block b() {}\nblock c() { f() }\n", "block b() {}\nblock c() { f() }\n");
    assert_format("fn f(x)=if x>0{x}else if x<0{-x}else{0}\n", "fn f(x) = if x > 0 { x } else if x < 0 { -x } else { 0 }\n");
    assert_format("layer t(;d:width)->r[b,l]wiring=none{if a{let b=1}else if c{let b=2}else{let b=3}\n if a {\n let b=1 } else { let b=3 }\n return r}\n",
                  "layer t(; d: width) -> r[b, l] wiring = none {\n    if a { let b = 1 } else if c { let b = 2 } else { let b = 3 }\n    if a {\n        let b = 1\n    } else { "
                  "let b = 3 }\n    return r\n}\n");
    assert_format("check \"a\" { f(1)==2 g(2)==3 }\ncheck \"b\" { a == 1\n(b) == 2 }\n", "check \"a\" { f(1) == 2  g(2) == 3 }\n\ncheck \"b\" {\n    a == 1\n    (b) == 2\n}\n");
    assert_format("fn f(a,b,c)=g(aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb,ccccccccccccccccccccc)+h(x)*2\n",
                  "fn f(a, b, c) =\n    g(aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, ccccccccccccccccccccc)\n    + h(x) * 2\n");
}

static void test_comments(void **state)
{
    (void)state;
    const char *text =
        "//! the file\n//! goes on\n\n// about nothing\n\n/// the use\nuse std.layers  // after it\n\n/// a block\nblock b(\n        // first\n        d: width = 1,  // after "
        "d\n        r: router\n) {  // after the brace\n    // before f\n    f()  // after f\n\n    // before g\n\n    g(a = 1)\n    // at the end\n}\n\n// the end\n";
    assert_format(text, text);
    assert_format(
        "layer t(x[b]) -> [b] {\n let a = x + // inside\n   y // after\n if c { // then\n return a } else { // otherwise\n return x\n // tail\n }\n}\n",
        "layer t(x[b]) -> [b] {\n    // inside\n    let a = x + y  // after\n    if c {  // then\n        return a\n    } else {  // otherwise\n        return x\n        // tail\n "
        "   }\n}\n");
    assert_format("block b() { parallel { // one\n f()\n // end of one\n | // two\n g() } }\n",
                  "block b() {\n    parallel {  // one\n        f()\n        // end of one\n    |  // two\n        g()\n    }\n}\n");
    assert_format("// only a comment", "// only a comment\n");
    assert_format("//! only the file's", "//! only the file's\n");
    assert_format("model m {\n // nothing yet\n}\n", "model m {\n    // nothing yet\n}\n");
}

/* ---- random trees ---- */

typedef struct Random {
    Front *front;
    uint64_t seed;
    int budget; /* nodes that may still be made */
} Random;

static int pick(Random *random, int count)
{
    random->seed = random->seed * 6364136223846793005u + 1442695040888963407u;
    return (int)((random->seed >> 33) % (uint64_t)count);
}

static Symbol random_name(Random *random)
{
    static const char *const names[] = {"a", "b", "s", "m", "h", "e1", "hidden", "x_y", "_", "step", "Mtok", "none", "capacity"};
    return intern(random->front->interner, names[pick(random, (int)(sizeof names / sizeof *names))]);
}

static Node *random_node(Random *random, NodeKind kind);

/* Kinds that the table would allow but the grammar makes only elsewhere. */
static bool is_free(NodeKind kind, bool expression) { return kind != NODE_ERROR && kind != NODE_LIST && !(expression && kind == NODE_QUANTITY); }

static Node *random_of(Random *random, int classes)
{
    if ((classes & CLASS_EXPR) && (random->budget <= 0 || pick(random, 3) == 0))
        return random_node(random, pick(random, 2) ? NODE_NAME : NODE_NUMBER);
    for (;;) {
        NodeKind kind = (NodeKind)pick(random, NODE_KIND_COUNT);
        if ((node_kind_classes(kind) & classes) && is_free(kind, (classes & CLASS_EXPR) != 0))
            return random_node(random, kind);
    }
}

static Node *random_list(Random *random, int classes, int least)
{
    Node *list = list_new(random->front->arena, span_none());
    int count = least + (random->budget > 0 ? pick(random, 4) : 0);
    for (int i = 0; i < count; i++)
        list_push(random->front->arena, list, classes == CLASS_LIST ? random_list(random, CLASS_LINE, 0) : random_of(random, classes));
    if (pick(random, 2))
        list->layout |= NODE_ONE_LINE;
    return list;
}

static Node *random_kid(Random *random, NodeKind kind, int slot)
{
    SlotMode mode = node_slot_mode(kind, slot);
    int classes = node_slot_classes(kind, slot);
    if ((mode == SLOT_OPTIONAL || mode == SLOT_MANY_OPTIONAL) && pick(random, 2))
        return NULL;
    if (mode == SLOT_ONE || mode == SLOT_OPTIONAL)
        return random_of(random, classes);
    bool some = kind == NODE_REDUCE || kind == NODE_RETURN || kind == NODE_LET || kind == NODE_BOUNDS || kind == NODE_PARALLEL || (kind == NODE_TYPE);
    if (kind == NODE_CHECK && classes & CLASS_STATEMENT)
        classes = CLASS_EXPR;
    return random_list(random, classes, kind == NODE_TUPLE ? 2 : some ? 1 : 0);
}

static int random_op(Random *random, NodeKind kind)
{
    switch (node_kind_ops(kind)) {
    case OPS_NONE: return 0;
    case OPS_DEFINITION: return pick(random, AST_DEF_COUNT);
    case OPS_TYPE: return pick(random, AST_TYPE_KINDS) | (pick(random, 2) ? AST_TYPE_OR_NONE : 0);
    case OPS_SHARED:
    case OPS_LET:
    case OPS_BOOL: return pick(random, 2);
    case OPS_PARAM: return pick(random, 4);
    case OPS_REDUCTION: return kind == NODE_METRIC ? (pick(random, 2) ? AST_SUM : AST_MEAN) : pick(random, AST_REDUCTIONS);
    case OPS_OPERATOR: return kind == NODE_UNARY ? pick(random, 2) : AST_ADD + pick(random, AST_OPERATORS - AST_ADD);
    }
    return 0;
}

/* What the grammar asks for beyond the table. */
static void make_sayable(Random *random, Node *node)
{
    Arena *arena = random->front->arena;
    if (node->kind == NODE_FIELD)
        node->kids[FIELD_OBJECT] = random_node(random, NODE_NAME);
    if (node->kind == NODE_AS)
        node->kids[AS_CALL] = random_node(random, NODE_CALL);
    if (node->kind == NODE_LINE)
        node->kids[LINE_CALL] = random_node(random, NODE_CALL);
    if (node->kind == NODE_QUANTITY) {
        node->name = intern(random->front->interner, "Mtok");
        node->kids[QUANTITY_AMOUNT] = random_node(random, NODE_NUMBER);
    }
    if (node->kind == NODE_NEXT_VALUE)
        node->kids[NEXT_VALUE_OBJECT] = random_node(random, pick(random, 2) ? NODE_NAME : NODE_SUBSCRIPT);
    Node *items = node->kind == NODE_CHOICE ? node->kids[CHOICE_ITEMS] : node->kind == NODE_CALL ? node->kids[CALL_ARGS] : NULL;
    for (int i = 0; i < list_count(items); i++)
        if (items->kids[i]->kind == NODE_DOMAIN)
            items->kids[i]->op = 0;
    if (node->kind == NODE_CHOICE && node->kids[CHOICE_TIMES] && node->kids[CHOICE_TIMES]->kind == NODE_SET)
        node->kids[CHOICE_TIMES] = NULL;
    if (node->kind == NODE_INPUT && !node->kids[INPUT_AXES])
        node->kids[INPUT_TYPE] = NULL;
    if (node->kind == NODE_RESULT && !node->name && !node->kids[RESULT_AXES])
        node->name = random_name(random);
    if (node->kind == NODE_TYPE)
        node->kids[TYPE_CHOICES] = NULL;
    if (node->kind == NODE_USE)
        node->name = intern(random->front->interner, "std.layers");
    if (node->kind == NODE_DEFAULT)
        node->name = intern(random->front->interner, pick(random, 2) ? "norm" : "wiring");
    if (node->kind == NODE_STRING || node->kind == NODE_ON || node->kind == NODE_CHECK)
        node->name = intern(random->front->interner, pick(random, 2) ? "a*\"b\\\n\t" : "é //");
    if (node->kind == NODE_TYPE && (node->op & ~AST_TYPE_OR_NONE) == AST_TYPE_CHOICE) {
        node->kids[TYPE_CHOICES] = list_new(arena, span_none());
        list_push(arena, node->kids[TYPE_CHOICES], ast_name(arena, random_name(random)));
    }
    if (node->kind == NODE_DEFINITION && (node->kids[DEFINITION_BODY] != NULL) == (node->kids[DEFINITION_VALUE] != NULL)) {
        node->kids[DEFINITION_BODY] = NULL;
        node->kids[DEFINITION_VALUE] = random_node(random, NODE_NAME);
    }
}

static Node *random_node(Random *random, NodeKind kind)
{
    Arena *arena = random->front->arena;
    random->budget--;
    if (kind == NODE_NUMBER)
        return ast_number(arena, rational(pick(random, 1000), pick(random, 3) ? 1 : pick(random, 2) ? 8 : 1000));
    Node *node = node_new(arena, kind, span_none());
    NameUse name = node_kind_name(kind);
    if (name == NAME_REQUIRED || (name == NAME_OPTIONAL && pick(random, 2)))
        node->name = random_name(random);
    node->op = random_op(random, kind);
    if (pick(random, 8) == 0)
        node->layout |= NODE_PARENS;
    for (int slot = 0; slot < node->count; slot++)
        node->kids[slot] = random_kid(random, kind, slot);
    make_sayable(random, node);
    node_update_height(node);
    return node;
}

static void test_random_trees(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        Front front = front_new();
        Random random = {&front, seed * 0x9E3779B97F4A7C15u, 20 + (int)(seed % 200)};
        Node *file = random_node(&random, NODE_FILE);
        const char *wrong = ast_check(front.arena, file);
        if (wrong)
            print_error("seed %d: %s\n", (int)seed, wrong);
        assert_null(wrong);
        char what[32];
        snprintf(what, sizeof what, "seed %d", (int)seed);
        assert_round_trip(&front, file, what);
        Node *twin = node_clone(front.arena, file);
        assert_true(node_equal(file, twin) && node_hash(file) == node_hash(twin));
        front_free(&front);
    }
}

/* Every kind has a row in the printer and a name in the dump; every slot of a random tree is dumped. */
static void test_dump(void **state)
{
    (void)state;
    Front front = front_new();
    Node *file = front_good(&front, "block b(d: width = 3/4) { mix: f(a = 1.5) norm = none }\n");
    Str out = {0}, json = {0};
    ast_dump(file, &out);
    assert_string_equal(str_text(&out),
                        "file\n  items: list\n    block \"b\"\n      attributes: list\n        attribute \"d\"\n          type: type width\n          default: binary /\n"
                        "            left: number 3\n            right: number 4\n      body: list\n        line \"mix\"\n          call: call \"f\"\n            args: list\n"
                        "              argument \"a\"\n                value: number 1.5\n          norm: name \"none\"\n");
    ast_dump_json(list_at(file->kids[FILE_ITEMS], 0)->kids[BLOCK_BODY]->kids[0], &json);
    assert_string_equal(str_text(&json),
                        "{\"kind\": \"line\", \"name\": \"mix\", \"span\": [26, 53], \"call\": {\"kind\": \"call\", \"name\": \"f\", \"span\": [31, 41], \"args\": [{\"kind\": "
                        "\"argument\", \"name\": \"a\", \"span\": [33, 40], \"value\": {\"kind\": \"number\", \"value\": \"1.5\", \"span\": [37, 40]}}]}, \"norm\": {\"kind\": "
                        "\"name\", \"name\": \"none\", \"span\": [49, 53]}, \"wiring\": null}");
    str_free(&out);
    str_free(&json);
    front_free(&front);
}

static void test_numbers_made(void **state)
{
    (void)state;
    Front front = front_new();
    static const struct {
        int64_t num, den;
        const char *text;
    } cases[] = {
        {0, 1, "0"}, {-3, 2, "-1.5"}, {1, 3, "1/3"}, {1, 1000000, "0.000001"}, {INT64_MAX, 1, "9223372036854775807"}, {1, INT64_C(1) << 40, "1/1099511627776"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Str out = {0};
        ast_print_flat(ast_number(front.arena, rational(cases[i].num, cases[i].den)), &out);
        assert_string_equal(str_text(&out), cases[i].text);
        str_free(&out);
    }
    front_free(&front);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),       cmocka_unit_test(test_comments), cmocka_unit_test(test_files),
        cmocka_unit_test(test_random_trees), cmocka_unit_test(test_dump),     cmocka_unit_test(test_numbers_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
