/* Text from ids as they come: characters whole, bytes that are none replaced, nothing lost that is complete. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "generate/text_stream.h"

static BfmTokenizer *bytes_tokenizer(void)
{
    BfmError error;
    BfmTokenizer *tokenizer = bfm_tokenizer_new("byte", NULL, 0, &error);
    assert_non_null(tokenizer);
    return tokenizer;
}

/* Pushes the bytes; after each, what is shown so far must be valid by itself. */
static void expect(const char *input, const char *shown)
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
    bfm_bytes_deinit(&text);
    bfm_bytes_deinit(&clean);
    bfm_text_stream_deinit(&stream);
    bfm_tokenizer_free(tokenizer);
}

static void whole_characters(void **state)
{
    (void)state;
    expect("To be, or not", "To be, or not");
    expect("na\xC3\xAFve \xE2\x82\xAC \xF0\x9F\x8C\xB1.", "na\xC3\xAFve \xE2\x82\xAC \xF0\x9F\x8C\xB1.");
    expect("a\xE2\x82", "a"); /* held back */
    expect("\xC3", "");
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
           "\xEF\xBF\xBD\xEF\xBF\xBD"
           "x");
    expect("\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD");                 /* overlong */
    expect("\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"); /* a surrogate */
    expect("\xF4\x90.", "\xEF\xBF\xBD\xEF\xBF\xBD.");               /* beyond the last plane */
}

static void context_is_not_shown(void **state)
{
    (void)state;
    BfmTokenizer *tokenizer = bytes_tokenizer();
    const int32_t before[] = {'T', 'h', 'e', ' ', 'q', 'u', 'i', 'c', 'k', ' ', 0xE2, 0x82};
    BfmTextStream stream;
    BfmBytes text = {0};
    BfmError error;
    assert_true(bfm_text_stream_init(&stream, tokenizer, before, 12, &error));
    for (int i = 0; i < 40; i++)
        assert_true(bfm_text_stream_push(&stream, 'a' + i % 26, &text, &error));
    assert_int_equal(text.length, 40);
    assert_memory_equal(text.data, "abcdefgh", 8);
    assert_true(stream.ids.count < 16); /* what is remembered stays small */
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
