/* Diagnostics: collection, text, JSON, and the catalogue: the front end's codes do what their examples say. */
#include "front.h"

#include <jansson.h>

static Span span(int file, const char *text, const char *part)
{
    const char *at = strstr(text, part);
    assert_non_null(at);
    return (Span){file, (uint32_t)(at - text), (uint32_t)(at - text + (ptrdiff_t)strlen(part))};
}

static void assert_printed(const Diagnostics *diags, const char *expected)
{
    Str out = {0};
    diag_print(diags, &out, false);
    assert_string_equal(str_text(&out), expected);
    str_free(&out);
}

static void test_text(void **state)
{
    (void)state;
    Diagnostics *diags = diagnostics_new();
    const char *text = "model m {\n    vocab = 61\n\té: ffn()\n}\n";
    int file = diag_source_add(diags, "a.bfm", text, strlen(text));
    Diagnostic *diag = diag_add(diags, DIAG_E0110, span(file, text, "ffn"), "unexpected `%s`", "ffn");
    diag_label(diags, diag, span(file, text, "ffn"), "expected a name");
    diag_label(diags, diag, span(file, text, "model"), "in this model");
    diag_note(diags, diag, "a note");
    diag_fix(diags, diag, "a fix");
    assert_printed(diags, "error[E0110]: unexpected `ffn`\n"
                          " --> a.bfm:3:5\n"
                          "  |\n"
                          "1 | model m {\n"
                          "  | ----- in this model\n"
                          "...\n"
                          "3 |  é: ffn()\n"
                          "  |     ^^^ expected a name\n"
                          "  = note: a note\n"
                          "  = help: a fix\n\n");
    assert_int_equal(diag_errors(diags), 1);
    assert_int_equal(diag_warnings(diags), 0);
    diagnostics_free(diags);
}

static void test_order_and_repeats(void **state)
{
    (void)state;
    Diagnostics *diags = diagnostics_new();
    const char *text = "a\nb\n";
    int first = diag_source_add(diags, "1.bfm", text, strlen(text)), second = diag_source_add(diags, "2.bfm", text, strlen(text));
    diag_add(diags, DIAG_E0110, span_none(), "nowhere");
    diag_add(diags, DIAG_E0110, span(second, text, "a"), "third");
    diag_add(diags, DIAG_E0110, span(first, text, "b"), "second");
    Diagnostic *kept = diag_add(diags, DIAG_E0110, span(first, text, "a"), "first");
    Diagnostic *again = diag_add(diags, DIAG_E0110, span(first, text, "a"), "first again");
    diag_label(diags, again, span(first, text, "b"), "has no effect");
    assert_ptr_not_equal(kept, again);
    diag_label(diags, kept, span(second, text, "b"), "elsewhere");
    assert_int_equal(diag_count(diags), 4);
    assert_printed(diags, "error[E0110]: first\n --> 1.bfm:1:1\n  |\n1 | a\n  | ^\n ::: 2.bfm:2:1\n  |\n2 | b\n  | - elsewhere\n\n"
                          "error[E0110]: second\n --> 1.bfm:2:1\n  |\n2 | b\n  | ^\n\n"
                          "error[E0110]: third\n --> 2.bfm:1:1\n  |\n1 | a\n  | ^\n\n"
                          "error[E0110]: nowhere\n\n");
    diagnostics_free(diags);
}

/* Spans that end past their line, at the end of the file, or outside it, print without reading beyond the text. */
static void test_edges(void **state)
{
    (void)state;
    Diagnostics *diags = diagnostics_new();
    const char *text = "ab\ncd";
    int file = diag_source_add(diags, "e.bfm", text, strlen(text));
    diag_add(diags, DIAG_E0101, (Span){file, 1, 4}, "two lines");
    diag_add(diags, DIAG_E0101, (Span){file, 5, 5}, "end");
    diag_add(diags, DIAG_E0101, (Span){file, 900, 1000}, "outside");
    assert_printed(diags, "error[E0101]: two lines\n --> e.bfm:1:2\n  |\n1 | ab\n  |  ^...\n\n"
                          "error[E0101]: end\n --> e.bfm:2:3\n  |\n2 | cd\n  |   ^\n\n"
                          "error[E0101]: outside\n --> e.bfm:2:3\n  |\n2 | cd\n  |   ^\n\n");
    diagnostics_free(diags);
}

/* Unicode 15, 3.9, tables 3-8 to 3-11: one replacement for each maximal subpart. */
static void test_json_of_bad_text(void **state)
{
    static const struct {
        const char *text, *json;
    } CASES[] = {
        {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", "\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffdA\""},
        {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", "\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffdA\""},
        {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", "\"\\ufffd\\ufffd\\ufffd\\ufffd\\ufffdA\\ufffd\\ufffdB\""},
        {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", "\"\\ufffd\\ufffd\\ufffd\\ufffdA\""},
        {"\xF0\x9F\x98", "\"\\ufffd\""},
        {"\xF0\x9F\x98\x80\xC3\xA9", "\"\xF0\x9F\x98\x80\xC3\xA9\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Str out = {0};
        str_json(&out, CASES[i].text, strlen(CASES[i].text));
        assert_string_equal(str_text(&out), CASES[i].json);
        str_free(&out);
    }
}

static void test_json(void **state)
{
    (void)state;
    Front front = front_new();
    front_parse(&front, "block \"b\" {}\nmodel m { vocab = 61x }\n");
    Str out = {0};
    diag_json(front.diags, &out);
    json_error_t error;
    json_t *array = json_loads(str_text(&out), 0, &error);
    assert_non_null(array);
    assert_int_equal(json_array_size(array), 2);
    json_t *second = json_array_get(array, 1);
    assert_string_equal(json_string_value(json_object_get(second, "code")), "E0102");
    assert_string_equal(json_string_value(json_object_get(second, "severity")), "error");
    assert_string_equal(json_string_value(json_object_get(second, "file")), "test.bfm");
    assert_int_equal(json_integer_value(json_object_get(second, "line")), 2);
    assert_int_equal(json_integer_value(json_object_get(second, "column")), 19);
    assert_int_equal(json_integer_value(json_object_get(second, "end_column")), 22);
    assert_true(json_is_array(json_object_get(second, "labels")) && json_is_array(json_object_get(second, "notes")) && json_is_null(json_object_get(second, "fix")));
    json_decref(array);
    str_free(&out);
    front_free(&front);
    Diagnostics *none = diagnostics_new();
    Str empty = {0};
    diag_json(none, &empty);
    assert_string_equal(str_text(&empty), "[]");
    str_free(&empty);
    diagnostics_free(none);
}

static void test_color(void **state)
{
    (void)state;
    Front front = front_new();
    front_parse(&front, "}");
    Str out = {0};
    diag_print(front.diags, &out, true);
    assert_non_null(strstr(str_text(&out), "\033[1;31merror[E0110]"));
    str_free(&out);
    front_free(&front);
}

static bool has_code(const Diagnostics *diags, DiagCode code)
{
    for (int i = 0; i < diag_count(diags); i++)
        if (diag_get(diags, i)->code == code)
            return true;
    return false;
}

/* The catalogue is complete and in form; codes of the front end (E01xx) come from their bad example and not from their good one. */
static void test_catalogue(void **state)
{
    (void)state;
    for (int i = 0; i < DIAG_COUNT; i++) {
        DiagCode code = (DiagCode)i, found;
        const char *name = diag_name(code);
        assert_true(diag_find(name, &found) && found == code);
        assert_true(strlen(name) == 5 && (name[0] == (diag_severity(code) == SEVERITY_ERROR ? 'E' : 'W')));
        assert_true(*diag_title(code) && *diag_explanation(code));
        if (strncmp(name, "E01", 3) != 0 || !*diag_example(code, false))
            continue;
        Front front = front_new();
        front_parse(&front, diag_example(code, false));
        if (!has_code(front.diags, code))
            print_error("%s is not given by its example\n", name);
        assert_true(has_code(front.diags, code));
        front_free(&front);
        front = front_new();
        front_good(&front, diag_example(code, true));
        front_free(&front);
    }
    DiagCode code;
    assert_false(diag_find("E9999", &code));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),  cmocka_unit_test(test_order_and_repeats), cmocka_unit_test(test_edges), cmocka_unit_test(test_json_of_bad_text), cmocka_unit_test(test_json),
        cmocka_unit_test(test_color), cmocka_unit_test(test_catalogue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
