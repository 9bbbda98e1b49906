/* Text to tree: numbers, strings, soft words, precedence, every construct, errors and how parsing goes on after them. */
#include "front.h"

/* The expression e of `let a = e`. */
static Node *value_of(Front *front, const char *expression)
{
    const char *text = arena_printf(front->arena, "layer t(x[b, l, d]) -> [b, l, d] {\n let a = %s\n}\n", expression);
    Node *file = front_good(front, text);
    return list_at(list_at(file->kids[FILE_ITEMS], 0)->kids[DEFINITION_BODY], 0)->kids[LET_VALUE];
}

/* With every operation in parentheses, so that the tree can be read. */
static void write_tree(const Node *node, Str *out)
{
    if (node->kind == NODE_BINARY) {
        str_push(out, '(');
        write_tree(node->kids[BINARY_LEFT], out);
        str_printf(out, " %s ", ast_operator_text(node->op));
        write_tree(node->kids[BINARY_RIGHT], out);
        str_push(out, ')');
    } else if (node->kind == NODE_UNARY) {
        str_printf(out, "(%s ", ast_operator_text(node->op));
        write_tree(node->kids[UNARY_OPERAND], out);
        str_push(out, ')');
    } else if (node->kind == NODE_REDUCE) {
        str_printf(out, "%s{", ast_reduction_text(node->op));
        write_tree(node->kids[REDUCE_BODY], out);
        str_push(out, '}');
    } else {
        Str text = {0};
        ast_print_flat(node, &text);
        str_append(out, str_text(&text));
        str_free(&text);
    }
}

static void assert_tree(const char *expression, const char *expected)
{
    Front front = front_new();
    Str out = {0};
    write_tree(value_of(&front, expression), &out);
    assert_string_equal(str_text(&out), expected);
    str_free(&out);
    front_free(&front);
}

static void test_precedence(void **state)
{
    (void)state;
    assert_tree("a + b * c", "(a + (b * c))");
    assert_tree("a - b - c", "((a - b) - c)");
    assert_tree("a / b * c % d", "(((a / b) * c) % d)");
    assert_tree("-x ^ 2", "(- (x ^ 2))");
    assert_tree("2 ^ 3 ^ 4", "(2 ^ (3 ^ 4))");
    assert_tree("d ^ -0.5 * e", "((d ^ (- 0.5)) * e)");
    assert_tree("a ^ -b ^ c", "(a ^ (- (b ^ c)))");
    assert_tree("-a * b", "((- a) * b)");
    assert_tree("sum[i] a * b + c", "(sum{(a * b)} + c)");
    assert_tree("a * sum[i] b * c", "(a * sum{(b * c)})");
    assert_tree("mean[g] sum[e] (a + b) * f", "mean{sum{((a + b) * f)}}");
    assert_tree("mean[i] x ^ 2 + e", "(mean{(x ^ 2)} + e)");
    assert_tree("not a == b and c", "((not (a == b)) and c)");
    assert_tree("a implies b implies c", "(a implies (b implies c))");
    assert_tree("a or b and c implies d", "((a or (b and c)) implies d)");
    assert_tree("a + b <= c * 2", "((a + b) <= (c * 2))");
}

static void assert_number(const char *text, int64_t num, int64_t den)
{
    Front front = front_new();
    Node *node = value_of(&front, text);
    assert_int_equal(node->kind, NODE_NUMBER);
    assert_int_equal(node->value.num, num);
    assert_int_equal(node->value.den, den);
    assert_string_equal(node->text, text);
    front_free(&front);
}

static void test_numbers(void **state)
{
    (void)state;
    assert_number("0", 0, 1);
    assert_number("32_000", 32000, 1);
    assert_number("256K", 256000, 1);
    assert_number("64Ki", 65536, 1);
    assert_number("160M", 160000000, 1);
    assert_number("1.5G", 1500000000, 1);
    assert_number("2Ti", INT64_C(2) << 40, 1);
    assert_number("1.1", 11, 10);
    assert_number("0.25", 1, 4);
    assert_number("0.0", 0, 1);
    assert_number("1e-6", 1, 1000000);
    assert_number("1.5e3", 1500, 1);
    assert_number("9223372036854775807", INT64_MAX, 1);
    Front front = front_new();
    Node *tiny = value_of(&front, "1e-30");
    assert_false(rational_valid(tiny->value));
    assert_true(tiny->real == 1e-30);
    front_free(&front);
}

/* The codes of the text's diagnostics, in order, separated by blanks. */
static const char *codes_of(Front *front, const char *text, size_t length)
{
    Node *file = parse_file(front->arena, front->interner, front->diags, "test.bfm", text, length);
    assert_int_equal(file->kind, NODE_FILE);
    assert_null(ast_check(front->arena, file));
    const char *codes = "";
    for (int i = 0; i < diag_count(front->diags); i++)
        codes = arena_printf(front->arena, "%s%s%s", codes, *codes ? " " : "", diag_name(diag_get(front->diags, i)->code));
    return codes;
}

static void assert_codes(const char *text, const char *expected)
{
    Front front = front_new();
    const char *codes = codes_of(&front, text, strlen(text));
    if (strcmp(codes, expected) != 0)
        print_error("%s\n", text);
    assert_string_equal(codes, expected);
    front_free(&front);
}

static void test_bad_text(void **state)
{
    (void)state;
    assert_codes("model m { vocab = 61x }", "E0102");
    assert_codes("model m { vocab = 30min }", "E0102");
    assert_codes("model m { vocab = 99_999_999_999_999_999_999 }", "E0104");
    assert_codes("model m { vocab = 1e400 }", "E0104");
    assert_codes("model m { vocab = 1e-400 }", "E0104");
    assert_codes("model m { vocab = $ 61 }", "E0101");
    assert_codes("check \"abc { 1 == 1 }", "E0103");
    assert_codes("check \"a\\q\" { 1 == 1 }", "E0103");
    assert_codes("// caf\xE9\nmodel m { vocab = 1 }", "E0105");
    assert_codes("// \xC0\xAF overlong, \xED\xA0\x80 surrogate\n", "E0105");
    assert_codes("// žluťoučký 𝄞\n", "");
    Front front = front_new();
    assert_string_equal(codes_of(&front, "model m { \0 vocab = 1 }", 23), "E0105");
    front_free(&front);
}

static void test_soft_words(void **state)
{
    (void)state;
    Front front = front_new();
    front_good(&front, "layer t(x[b, l, d]; router: router, norm: norm = none, layer: layer, state: real = 1, in: width, fn: fn, on: bool = true, start: count) -> pairs {\n"
                       "    let (a[g], b[g]) = router(x, in = in, state = state)\n"
                       "    if router.group == sequence { let c = norm(x) }\n"
                       "    state block[d] = 0\n"
                       "    loss loss = state + in\n"
                       "    return next block[d]\n"
                       "}\n"
                       "block b(norm: norm) norm = norm wiring = pre { f(norm = norm, wiring = pre, at = 1) norm = norm wiring = none\n use: g() }\n"
                       "search s { repeat = 3 space = a at = 1 norm = x start = 1 in = 2 }\n"
                       "space s { norm in { a, b } in in { 1 } start in { 1 } start from start where at <= 1 }\n");
    front_free(&front);
}

static void test_ends_of_statements(void **state)
{
    (void)state;
    Front front = front_new();
    Node *file = front_good(&front, "check \"c\" { f(-1) == 0  f(2) == 2\n g == 1\n (1 + 2) == 3\n let a = b\n (a) == b }\n"
                                    "layer t(x[b]) -> [b] { let a = heads / n  param w[a] = 1  c[a] += 1 metric m = a mean used += 2 return a }\n");
    const Node *check = list_at(file->kids[FILE_ITEMS], 0)->kids[CHECK_BODY];
    assert_int_equal(check->count, 6);
    assert_int_equal(list_at(list_at(file->kids[FILE_ITEMS], 1)->kids[DEFINITION_BODY], 0)->kind, NODE_LET);
    assert_int_equal(list_at(file->kids[FILE_ITEMS], 1)->kids[DEFINITION_BODY]->count, 6);
    front_free(&front);
}

static void test_quantities(void **state)
{
    (void)state;
    Front front = front_new();
    Node *file = front_good(&front, "search s { budget = 60 s   population = 100 a = 30m b = 2000step c = 50Mtok d = 2e15flop\n vocab = 60 s = 1 t = 5 h }\n");
    const Node *items = list_at(file->kids[FILE_ITEMS], 0)->kids[SEARCH_ITEMS];
    static const char *const units[] = {"s", NULL, "m", "step", "Mtok", "flop", NULL, NULL, "h"};
    assert_int_equal(items->count, 9);
    for (int i = 0; i < items->count; i++) {
        const Node *value = items->kids[i]->kids[SETTING_VALUE];
        assert_int_equal(value->kind, units[i] ? NODE_QUANTITY : NODE_NUMBER);
        if (units[i])
            assert_string_equal(value->name, units[i]);
    }
    front_free(&front);
}

static void test_spans(void **state)
{
    (void)state;
    Front front = front_new();
    const char *text = "model m {\n    vocab = 61\n    mix: ffn(hidden = 3)\n}\n";
    Node *model = list_at(front_good(&front, text)->kids[FILE_ITEMS], 0);
    const Node *line = list_at(model->kids[MODEL_BODY], 1);
    assert_memory_equal(text + line->span.begin, "mix: ffn(hidden = 3)", line->span.end - line->span.begin);
    assert_int_equal(line->span.end - line->span.begin, 20);
    assert_memory_equal(text + line->name_span.begin, "mix", 3);
    const Node *arg = list_at(line->kids[LINE_CALL]->kids[CALL_ARGS], 0);
    assert_memory_equal(text + arg->name_span.begin, "hidden", arg->name_span.end - arg->name_span.begin);
    int row, column;
    diag_position(diag_source(front.diags, line->span.file), line->span.begin, &row, &column);
    assert_int_equal(row, 3);
    assert_int_equal(column, 5);
    front_free(&front);
}

static void test_syntax_errors(void **state)
{
    (void)state;
    assert_codes("block b() { ffn(hidden = 64 act = a) }", "E0110");
    assert_codes("layer t(x[b]) -> [b] { let a = 1 < 2 < 3 }", "E0110");
    assert_codes("layer t(x[b]) -> [b] { if a = b { return x } }", "E0110");
    assert_codes("block b() { vocab = 61 }", "E0109");
    assert_codes("model m { repeat 2 { vocab = 61 } }", "E0109");
    assert_codes("model m { mix: repeat 2 { ffn() } }", "E0109");
    assert_codes("block b(d) { ffn() }", "E0109");
    assert_codes("layer t(x[b], h: width) -> [b] { return x }", "E0109");
    assert_codes("block b(h: integer) { ffn() }", "E0112");
    assert_codes("block b(h: real | some) { ffn() }", "E0112");
    assert_codes("block b() { ffn() norm = a norm = b }", "E0108");
    assert_codes("layer t(x[b]) -> [b] { return x + 1 = 2 }", "E0113");
    assert_codes("}", "E0110");
    assert_codes("hello", "E0110");
    assert_codes("", "");
    assert_codes("// nothing", "");
}

/* One cause, one error; what follows is read as if nothing had happened. */
static void test_recovery(void **state)
{
    (void)state;
    assert_codes("layer a(x[b]) -> [b] {\n let = 3\n let c = 4\n let d = )\n return c\n}\nmodel m { vocab = = 3\n context = 2 }\nblock () { }\nmodel n { vocab = }\n",
                 "E0110 E0110 E0110 E0110 E0110");
    assert_codes("model m {\n ffn(hidden = ,\n  act = a)\n ffn(act = )\n repeat { ffn() }\n ffn()\n}\nmodel n { vocab = 1 }\n", "E0110 E0110 E0110");
    assert_codes("model m {\n ffn(hidden = 3\n ffn(hidden = 4)\n}\n", "E0110");
    assert_codes("space s { d in { 1, , 2 }\n e in { 1, 2 } }\n", "E0110");
    assert_codes("layer a(x[b]) -> [b] { let c = if d { 1 2 } else { 3 }\n let e = 3 = 4\n}", "E0110 E0110");
}

static void test_unclosed(void **state)
{
    (void)state;
    assert_codes("block b() {\n    ffn()\nmodel m { vocab = 61 }\nmodel n { vocab = }", "E0107 E0110");
    assert_codes("block b() {\n    repeat 2 { ffn(\nmodel m { vocab = 61 }\n", "E0107");
    assert_codes("model m { vocab = 61", "E0107");
    assert_codes("model m { ffn(a = (1", "E0107");
    Front front = front_new();
    Node *file = front_parse(&front, "block b() {\n    ffn()\nmodel m { vocab = 61 }\n");
    assert_int_equal(file->kids[FILE_ITEMS]->count, 2);
    assert_int_equal(list_at(file->kids[FILE_ITEMS], 1)->kind, NODE_MODEL);
    front_free(&front);
}

/* Deep and hostile text ends with a message, not with an exhausted stack. */
static void assert_deep(const char *before, const char *unit, int count, const char *after, const char *code)
{
    Front front = front_new();
    Str text = {0};
    str_append(&text, before);
    for (int i = 0; i < count; i++)
        str_append(&text, unit);
    str_append(&text, after);
    assert_string_equal(codes_of(&front, text.text, text.length), code);
    str_free(&text);
    front_free(&front);
}

static void test_depth(void **state)
{
    (void)state;
    assert_deep("fn f(x) = ", "(", PARSE_NESTING_MAX + 1, "", "E0106");
    assert_deep("fn f(x) = ", "(", 100000, "", "E0106");
    assert_deep("fn f(x) = ", "-", 100000, "x", "E0106");
    assert_deep("fn f(x) = ", "-", 2000, "x", "E0106");
    assert_deep("fn f(x) = x", " + x", 100000, "", "E0106");
    assert_deep("fn f(x) = x", " ^ x", 100000, "", "E0106");
    assert_deep("fn f(x) = x", " + x", 900, "", "");
    assert_deep("model m { ", "repeat 2 { ", 1000, "", "E0106");
    assert_deep("layer t(x[b]) -> [b] { ", "if a { } else ", 100000, "{ } }", "E0106");
    assert_deep("model m { vocab = ", ") ] } ", 1000, "", "E0110 E0110");
}

static void test_hostile_bytes(void **state)
{
    (void)state;
    uint64_t seed = 12345;
    static const char alphabet[] = "{}()[];:,.=+-*/<>|~\"\\ \n\n#axb01_\xC3\xA9";
    for (int round = 0; round < 400; round++) {
        char text[200];
        for (size_t i = 0; i < sizeof text; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            text[i] = alphabet[(seed >> 33) % (sizeof alphabet - 1)];
        }
        Front front = front_new();
        codes_of(&front, text, sizeof text);
        front_free(&front);
    }
}

/* Every prefix of a good file, and every file with one token's bytes missing, parses to a FILE that ast_check accepts. */
static void test_damaged_files(void **state)
{
    (void)state;
    char *text = front_read(BFM_SOURCE_DIR "/tests/golden/structure/model.bfm");
    assert_non_null(text);
    size_t length = strlen(text);
    for (size_t cut = 0; cut < length; cut++) {
        Front front = front_new();
        codes_of(&front, text, cut);
        front_free(&front);
        char *damaged = malloc(length);
        memcpy(damaged, text, cut);
        memcpy(damaged + cut, text + cut + 1, length - cut - 1);
        front = front_new();
        codes_of(&front, damaged, length - 1);
        front_free(&front);
        free(damaged);
    }
    free(text);
}

static void test_expression(void **state)
{
    (void)state;
    Front front = front_new();
    Node *value = parse_expression(front.arena, front.interner, front.diags, "--set", "top2(capacity = 3/2)", 20);
    assert_int_equal(value->kind, NODE_CALL);
    assert_int_equal(diag_count(front.diags), 0);
    value = parse_expression(front.arena, front.interner, front.diags, "--set", "1 +", 3);
    assert_int_equal(value->kind, NODE_ERROR);
    assert_int_equal(diag_count(front.diags), 1);
    value = parse_expression(front.arena, front.interner, front.diags, "--set", "1 2", 3);
    assert_int_equal(value->kind, NODE_ERROR);
    front_free(&front);
}

static void test_names(void **state)
{
    (void)state;
    assert_true(parse_is_name("hidden") && parse_is_name("_") && parse_is_name("norm"));
    assert_false(parse_is_name("let") || parse_is_name("max") || parse_is_name("2d") || parse_is_name("") || parse_is_name("a-b"));
    assert_int_equal(parse_word("layer", 5), WORD_DECLARATION);
    assert_int_equal(parse_word("repeat", 6), WORD_SOFT);
    assert_int_equal(parse_word("repea", 5), WORD_NONE);
}

/* The editors' grammars know every word of tokens.def. */
static void test_editor_grammars(void **state)
{
    (void)state;
    static const char *const words[] = {
#define WORD(token, text, kind) text,
#include "tokens.def"
#undef WORD
    };
    static const char *const paths[] = {BFM_SOURCE_DIR "/grammar/bfm.vim", BFM_SOURCE_DIR "/grammar/bfm.tmLanguage.json"};
    for (int i = 0; i < 2; i++) {
        char *grammar = front_read(paths[i]);
        assert_non_null(grammar);
        for (size_t j = 0; j < sizeof words / sizeof *words; j++) {
            bool found = false;
            size_t length = strlen(words[j]);
            for (const char *at = grammar; !found && (at = strstr(at, words[j])) != NULL; at++)
                found = strchr(" |(:", at[-1]) && strchr(" |)\n", at[length]);
            if (!found)
                print_error("%s lacks `%s`\n", paths[i], words[j]);
            assert_true(found);
        }
        free(grammar);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_precedence),         cmocka_unit_test(test_numbers),    cmocka_unit_test(test_bad_text), cmocka_unit_test(test_soft_words),
        cmocka_unit_test(test_ends_of_statements), cmocka_unit_test(test_quantities), cmocka_unit_test(test_spans),    cmocka_unit_test(test_syntax_errors),
        cmocka_unit_test(test_recovery),           cmocka_unit_test(test_unclosed),   cmocka_unit_test(test_depth),    cmocka_unit_test(test_hostile_bytes),
        cmocka_unit_test(test_damaged_files),      cmocka_unit_test(test_expression), cmocka_unit_test(test_names),    cmocka_unit_test(test_editor_grammars),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
