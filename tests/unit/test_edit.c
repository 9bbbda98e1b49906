/* Editing trees by path. */
#include "front.h"

#include "tree/edit.h"

static const char BLOCK[] = "block b(d: width = 8) {\n"
                            "    f(hidden = 3)\n"
                            "    g(act = a, router = r(capacity = 1))\n"
                            "    repeat 2 {\n"
                            "        f(hidden = 4)\n"
                            "        mix: f(hidden = 5)\n"
                            "    }\n"
                            "    at 3/4 {\n"
                            "        f(hidden = 6)\n"
                            "    }\n"
                            "    parallel { f(hidden = 7) | g(router = s) }\n"
                            "    f(hidden = 8)\n"
                            "}\n";

static Node *number(Front *front, int64_t value) { return ast_number(front->arena, rational_int(value)); }

static void assert_text(const Node *node, const char *expected)
{
    Str out = {0};
    ast_print(node, &out);
    assert_string_equal(str_text(&out), expected);
    str_free(&out);
}

/* The value at a path as text, "-" where it is not given. */
static void assert_value(Node *root, const char *path, const char *expected)
{
    Str out = {0};
    Node *value = bfm_ast_get(root, path);
    if (value)
        ast_print_flat(value, &out);
    assert_string_equal(value ? str_text(&out) : "-", expected);
    str_free(&out);
}

static void test_get(void **state)
{
    (void)state;
    Front front = front_new();
    Node *file = front_good(&front, BLOCK);
    assert_value(file, "b.d", "8");
    assert_value(file, "b.f_0.hidden", "3");
    assert_value(file, "b.f_1.hidden", "4");
    assert_value(file, "b.f_1[0].hidden", "4");
    assert_value(file, "b.mix.hidden", "5");
    assert_value(file, "b.f_2.hidden", "-");
    assert_value(file, "b.f_3.hidden", "8");
    assert_value(file, "b.at_0.f_0.hidden", "6");
    assert_value(file, "b.at_0.width", "3/4");
    assert_value(file, "b.repeat_0.count", "2");
    assert_value(file, "b.parallel_0.f_0.hidden", "7");
    assert_value(file, "b.parallel_0.g_0.router", "s");
    assert_value(file, "b.g_0.router.capacity", "1");
    assert_value(file, "b.g_0.norm", "-");
    assert_value(file, "c.f_0.hidden", "-");
    assert_value(file, "b", "-");
    assert_value(file, "b.f_0", "-");
    assert_value(list_at(file->kids[FILE_ITEMS], 0), "f_0.hidden", "3");
    front_free(&front);
}

static void test_set(void **state)
{
    (void)state;
    Front front = front_new();
    Node *file = front_good(&front, "block b(d: width) { f(hidden = 3)  g(router = s) }\nmodel m { vocab = 61  b() }\nrecipe r { seed = 1 }\n");
    struct {
        const char *path;
        int64_t value;
        BfmAstStatus status;
    } cases[] = {
        {"b.f_0.hidden", 5, BFM_AST_OK},
        {"b.f_0.heads", 2, BFM_AST_OK},
        {"b.g_0.router.capacity", 1, BFM_AST_OK},
        {"b.d", 16, BFM_AST_OK},
        {"m.vocab", 62, BFM_AST_OK},
        {"m.context", 24, BFM_AST_OK},
        {"r.seed", 7, BFM_AST_OK},
        {"r.batch", 8, BFM_AST_OK},
        {"b.f_0.norm", 0, BFM_AST_OK},
        {"b.h_0.hidden", 5, BFM_AST_NO_SUCH_PATH},
        {"x.y", 1, BFM_AST_NO_SUCH_PATH},
        {"b.f_0", 1, BFM_AST_NOT_AN_ATTRIBUTE},
        {"b.f_0.hidden.x", 1, BFM_AST_NO_SUCH_PATH},
        {"b.e", 1, BFM_AST_NO_SUCH_PATH},
        {"", 1, BFM_AST_NO_SUCH_PATH},
        {"b.f_0.", 1, BFM_AST_NOT_AN_ATTRIBUTE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(bfm_ast_set(front.arena, front.interner, file, cases[i].path, number(&front, cases[i].value)), cases[i].status);
    assert_null(ast_check(front.arena, file));
    assert_text(file, "block b(d: width = 16) { f(hidden = 5, heads = 2) norm = 0  g(router = s(capacity = 1)) }\n"
                      "model m { vocab = 62  context = 24  b() }\nrecipe r { seed = 7  batch = 8 }\n");
    assert_int_equal(bfm_ast_unset(file, "b.f_0.heads"), BFM_AST_OK);
    assert_int_equal(bfm_ast_unset(file, "b.f_0.heads"), BFM_AST_NO_SUCH_PATH);
    assert_int_equal(bfm_ast_unset(file, "b.f_0.norm"), BFM_AST_OK);
    assert_value(file, "b.f_0.heads", "-");
    assert_value(file, "b.f_0.norm", "-");
    front_free(&front);
}

/* The default of a definition's attribute. */
static void test_set_default(void **state)
{
    (void)state;
    Front front = front_new();
    Node *file = front_good(&front, "fn g(x) = x\nlayer f(x[b, l, d]; heads: count, act: fn = g, t[b, l] = 0) -> [b, l, d] { return y[b, l, o] = act(x[b, l, o]) }\n");
    assert_value(file, "f.heads", "-");
    assert_int_equal(bfm_ast_set(front.arena, front.interner, file, "f.heads", number(&front, 3)), BFM_AST_OK);
    assert_int_equal(bfm_ast_set(front.arena, front.interner, list_at(file->kids[FILE_ITEMS], 1), "heads", number(&front, 4)), BFM_AST_OK);
    assert_int_equal(bfm_ast_set(front.arena, front.interner, file, "f.x", number(&front, 3)), BFM_AST_NO_SUCH_PATH);
    assert_int_equal(bfm_ast_set(front.arena, front.interner, file, "f.t", number(&front, 3)), BFM_AST_NO_SUCH_PATH);
    assert_int_equal(bfm_ast_set(front.arena, front.interner, file, "g.x", number(&front, 3)), BFM_AST_NO_SUCH_PATH);
    assert_null(ast_check(front.arena, file));
    assert_value(file, "f.heads", "4");
    front_free(&front);
}

static void assert_lines(Front *front, Node *root, const char *path, const char *expected)
{
    Node *lines[16];
    const char *labels[16], *text = "";
    int count = bfm_ast_lines(front->arena, root, path, lines, labels, 16);
    for (int i = 0; i < count; i++)
        text = arena_printf(front->arena, "%s%s%s", text, i ? " " : "", labels[i]);
    assert_string_equal(text, expected);
}

static void test_lines(void **state)
{
    (void)state;
    Front front = front_new();
    Node *file = front_good(&front, BLOCK);
    assert_lines(&front, file, "b", "f_0 g_0 repeat_0 f_1 mix at_0 parallel_0 f_3");
    assert_lines(&front, file, "b.at_0", "f_0");
    assert_lines(&front, file, "b.parallel_0", "f_0 g_0");
    assert_int_equal(bfm_ast_lines(front.arena, file, "b.f_0", NULL, NULL, 0), -1);
    assert_int_equal(bfm_ast_lines(front.arena, file, "q", NULL, NULL, 0), -1);
    front_free(&front);
}

static void test_structure(void **state)
{
    (void)state;
    Front front = front_new();
    Node *file = front_good(&front, BLOCK);
    Node *line = bfm_ast_make_line(front.arena, front.interner, "h", "heads", number(&front, 2), NULL);
    assert_int_equal(bfm_ast_insert(front.arena, file, "b", 0, line), BFM_AST_OK);
    assert_int_equal(bfm_ast_insert(front.arena, file, "b.at_0", 1, bfm_ast_clone(front.arena, line)), BFM_AST_OK);
    assert_int_equal(bfm_ast_insert(front.arena, file, "b.parallel_0|1", 0, bfm_ast_clone(front.arena, line)), BFM_AST_OK);
    assert_int_equal(bfm_ast_insert(front.arena, file, "b.parallel_0", 0, line), BFM_AST_NO_SUCH_PATH);
    assert_int_equal(bfm_ast_insert(front.arena, file, "b", 99, line), BFM_AST_OUT_OF_RANGE);
    assert_int_equal(bfm_ast_insert(front.arena, file, "b", 0, number(&front, 1)), BFM_AST_WRONG_NODE);
    assert_lines(&front, file, "b", "h_0 f_0 g_0 repeat_0 f_1 mix at_0 parallel_0 f_3");
    assert_int_equal(bfm_ast_swap(file, "b.h_0", "b.at_0"), BFM_AST_OK);
    assert_int_equal(bfm_ast_swap(file, "b.at_0", "b.at_0.f_0"), BFM_AST_OVERLAP);
    assert_int_equal(bfm_ast_swap(file, "b.repeat_0", "b.f_1"), BFM_AST_OVERLAP);
    assert_int_equal(bfm_ast_remove(file, "b.f_3"), BFM_AST_OK);
    assert_int_equal(bfm_ast_remove(file, "b.f_3"), BFM_AST_NO_SUCH_PATH);
    assert_int_equal(bfm_ast_remove(file, "b"), BFM_AST_NOT_A_LINE);
    assert_lines(&front, file, "b", "at_0 f_0 g_0 repeat_0 f_1 mix h_0 parallel_0");
    assert_int_equal(bfm_ast_wrap(front.arena, file, "b.f_0", 2, NODE_AT, number(&front, 1), false), BFM_AST_OK);
    assert_lines(&front, file, "b", "at_0 at_1 repeat_0 f_0 mix h_0 parallel_0");
    assert_int_equal(bfm_ast_wrap(front.arena, file, "b.repeat_0", 1, NODE_REPEAT, number(&front, 3), true), BFM_AST_OK);
    assert_int_equal(bfm_ast_wrap(front.arena, file, "b.h_0", 2, NODE_PARALLEL, NULL, false), BFM_AST_OK);
    assert_int_equal(bfm_ast_wrap(front.arena, file, "b.at_0", 9, NODE_PARALLEL, NULL, false), BFM_AST_OUT_OF_RANGE);
    assert_int_equal(bfm_ast_wrap(front.arena, file, "b.at_0", 1, NODE_PARALLEL, number(&front, 1), false), BFM_AST_WRONG_NODE);
    assert_int_equal(bfm_ast_unwrap(front.arena, file, "b.at_0"), BFM_AST_OK);
    assert_int_equal(bfm_ast_unwrap(front.arena, file, "b.f_0"), BFM_AST_WRONG_NODE);
    assert_int_equal(bfm_ast_replace(file, "b.f_0", bfm_ast_make_line(front.arena, front.interner, "k", NULL)), BFM_AST_OK);
    assert_null(ast_check(front.arena, file));
    assert_text(file, "block b(d: width = 8) {\n    k()\n    h(heads = 2)\n    at 1 {\n        f(hidden = 3)\n        g(act = a, router = r(capacity = 1))\n    }\n"
                      "    repeat 3 shared {\n        repeat 2 {\n            f(hidden = 4)\n            mix: f(hidden = 5)\n        }\n    }\n"
                      "    parallel {\n        h(heads = 2)\n    |\n        parallel { f(hidden = 7) | h(heads = 2)  g(router = s) }\n    }\n}\n");
    Str out = {0};
    ast_print(file, &out);
    assert_true(bfm_ast_equal(file, front_good(&front, str_text(&out))));
    str_free(&out);
    front_free(&front);
}

static void test_settings_stay(void **state)
{
    (void)state;
    Front front = front_new();
    Node *file = front_good(&front, "model m { vocab = 61  f()  g() }\n");
    assert_int_equal(bfm_ast_wrap(front.arena, file, "m.f_0", 2, NODE_REPEAT, number(&front, 2), false), BFM_AST_OK);
    assert_text(file, "model m {\n    vocab = 61\n    repeat 2 {\n        f()\n        g()\n    }\n}\n");
    front_free(&front);
}

/* A copy shares nothing that can change with what it was copied from. */
static void test_clone(void **state)
{
    (void)state;
    Front front = front_new(), other = front_new();
    Node *file = front_good(&front, BLOCK), *twin = bfm_ast_clone(front.arena, file), *import = node_import(other.arena, other.interner, file);
    uint64_t hash = bfm_ast_hash(file);
    assert_true(bfm_ast_equal(file, twin) && bfm_ast_equal(file, import));
    assert_int_equal(bfm_ast_set(front.arena, front.interner, twin, "b.f_0.hidden", number(&front, 99)), BFM_AST_OK);
    assert_int_equal(bfm_ast_remove(twin, "b.at_0.f_0"), BFM_AST_OK);
    assert_value(file, "b.f_0.hidden", "3");
    assert_false(bfm_ast_equal(file, twin));
    assert_true(bfm_ast_hash(file) == hash && bfm_ast_hash(twin) != hash);
    front_free(&front);
    assert_true(bfm_ast_hash(import) == hash);
    assert_value(import, "b.g_0.router.capacity", "1");
    front_free(&other);
}

static void test_status_texts(void **state)
{
    (void)state;
    for (int status = BFM_AST_OK; status <= BFM_AST_OVERLAP; status++)
        assert_string_not_equal(bfm_ast_status_text((BfmAstStatus)status), "unknown status");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),       cmocka_unit_test(test_set),           cmocka_unit_test(test_set_default), cmocka_unit_test(test_lines),
        cmocka_unit_test(test_structure), cmocka_unit_test(test_settings_stay), cmocka_unit_test(test_clone),       cmocka_unit_test(test_status_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
