/* Text from ids as they come: characters whole, bytes that are none replaced, nothing lost that is complete. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tokenizer/text_stream.h"

static BfmTokenizer *bytes_tokenizer(void)
{
    BfmError error;
    BfmTokenizer *tokenizer = bfm_tokenizer_new("byte", NULL, 0, &error);
    assert_non_null(tokenizer);
    return tokenizer;
}

/* Pushes the bytes; after each, what is shown so far must be valid by itself. `shown` before the end, and `rest` there. */
static void expect_rest(const char *input, const char *shown, const char *rest)
{
    BfmTokenizer *tokenizer = bytes_tokenizer();
    BfmTextStream stream;
    BfmBytes text = {0}, clean = {0};
    BfmError error;
    assert_true(bfm_text_stream_init(&stream, tokenizer, NULL, 0, &error));
    for (const char *c = input; *c; c++) {
        assert_true(bfm_text_stream_push(&stream, (unsigned char)*c, &text, &error));
        clean.length = 0;
        assert_true(bfm_text_clean((BfmText){text.data ? text.data : "", text.length}, &clean, &error));
        assert_int_equal(clean.length, text.length);
    }
    assert_int_equal(text.length, strlen(shown));
    if (text.length > 0)
        assert_memory_equal(text.data, shown, text.length);
    text.length = 0;
    assert_true(bfm_text_stream_end(&stream, &text, &error));
    assert_int_equal(text.length, strlen(rest));
    assert_memory_equal(text.data ? text.data : "", rest, strlen(rest));
    bfm_bytes_deinit(&text);
    bfm_bytes_deinit(&clean);
    bfm_text_stream_deinit(&stream);
    bfm_tokenizer_free(tokenizer);
}

static void expect(const char *input, const char *shown) { expect_rest(input, shown, ""); }

static void whole_characters(void **state)
{
    (void)state;
    expect("To be, or not", "To be, or not");
    expect("na\xC3\xAFve \xE2\x82\xAC \xF0\x9F\x8C\xB1.", "na\xC3\xAFve \xE2\x82\xAC \xF0\x9F\x8C\xB1.");
    expect_rest("a\xE2\x82", "a", "\xEF\xBF\xBD"); /* held back, one for the three bytes that were to be */
    expect_rest("\xC3", "", "\xEF\xBF\xBD");
    expect_rest("a\xF0\x9F\x99", "a", "\xEF\xBF\xBD");
    expect_rest("\xFF\xF0\x9F", "\xEF\xBF\xBD", "\xEF\xBF\xBD");
    expect("\xEF\xBF\xBD", "\xEF\xBF\xBD"); /* the character itself */
}

static void what_is_no_text(void **state)
{
    (void)state;
    expect("a\xFF"
           "b",
           "a\xEF\xBF\xBD"
           "b");
    expect("\x80", "\xEF\xBF\xBD");
    expect("\xC3"
           "x",
           "\xEF\xBF\xBD"
           "x");
    expect("\xE2\x82"
           "x",
           "\xEF\xBF\xBD"
           "x");
    expect("\xF0\x9F"
           "B",
           "\xEF\xBF\xBD"
           "B");
    expect("\xF0\x9F\x99\xF0\x9F\x99\x82", "\xEF\xBF\xBD\xF0\x9F\x99\x82");
    expect("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF"
           "A",
           "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
           "A");                                                    /* Unicode 15, table 3-11 */
    expect("\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD");                 /* overlong */
    expect("\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"); /* a surrogate */
    expect("\xF4\x90.", "\xEF\xBF\xBD\xEF\xBF\xBD.");               /* beyond the last plane */
}

static void context_is_not_shown(void **state)
{
    (void)state;
    BfmTokenizer *tokenizer = bytes_tokenizer();
    const int32_t before[] = {'T', 'h', 'e', ' ', 'q', 'u', 'i', 'c', 'k', ' '};
    BfmTextStream stream;
    BfmBytes text = {0};
    BfmError error;
    assert_true(bfm_text_stream_init(&stream, tokenizer, before, 10, &error));
    for (int i = 0; i < 40; i++)
        assert_true(bfm_text_stream_push(&stream, 'a' + i % 26, &text, &error));
    assert_int_equal(text.length, 40);
    assert_memory_equal(text.data, "abcdefgh", 8);
    assert_true(stream.held.length < 4);
    bfm_text_stream_deinit(&stream);
    text.length = 0; /* a character that the context begins is held, and shown with what completes it */
    assert_true(bfm_text_stream_init(&stream, tokenizer, (const int32_t[]){'x', 0xE2, 0x82}, 3, &error));
    assert_true(bfm_text_stream_push(&stream, 0xAC, &text, &error));
    assert_int_equal(text.length, 3);
    assert_memory_equal(text.data, "\xE2\x82\xAC", 3);
    assert_false(bfm_text_stream_push(&stream, 256, &text, &error));
    assert_int_equal(error.kind, BFM_ERROR_INPUT);
    bfm_bytes_deinit(&text);
    bfm_text_stream_deinit(&stream);
    bfm_tokenizer_free(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whole_characters), cmocka_unit_test(what_is_no_text), cmocka_unit_test(context_is_not_shown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
