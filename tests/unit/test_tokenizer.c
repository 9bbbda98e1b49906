/* Tokenizers beyond bytes: SentencePiece models trained here, saved, loaded, hostile. Without the plug-in only its error is tested. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the headers it needs */
#include <cmocka.h>

#include "scratch.h"
#include "tokenizer/tokenizer.h"

static const char SAMPLE[] = "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n\nFirst Citizen:\nYou are all resolved rather to die than to "
                             "famish?\n\nAll:\nResolved. resolved.\n\nWe are accounted poor citizens, the patricians good.\nWhat authority surfeits on would relieve us.\n";

typedef struct Fixture {
    Scratch scratch;
    BfmTokenizer *tokenizer; /* NULL where SentencePiece is not there */
} Fixture;

static int setup(void **state)
{
    Fixture *fixture = calloc(1, sizeof *fixture);
    BfmError error = {0};
    scratch_init(&fixture->scratch);
    fixture->tokenizer = bfm_tokenizer_new("train:320", &(BfmText){SAMPLE, sizeof SAMPLE - 1}, 1, &error);
    if (!fixture->tokenizer && (error.kind != BFM_ERROR_ENVIRONMENT || !strstr(error.message, "libsentencepiece-dev"))) {
        (void)fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    bfm_tokenizer_free(fixture->tokenizer);
    scratch_deinit(&fixture->scratch);
    free(fixture);
    return 0;
}

static const BfmTokenizer *need_tokenizer(void **state)
{
    const Fixture *fixture = *state;
    if (!fixture->tokenizer)
        skip();
    return fixture->tokenizer;
}

static void assert_round_trip(const BfmTokenizer *tokenizer, const char *data, size_t bytes)
{
    BfmIds ids = {0};
    BfmBytes text = {0};
    BfmError error = {0};
    if (!bfm_tokenizer_encode(tokenizer, (BfmText){data, bytes}, &ids, &error) || !bfm_tokenizer_decode(tokenizer, ids.data, ids.count, &text, &error))
        fail_msg("%s", error.message);
    if (text.length != bytes || (bytes && memcmp(text.data, data, bytes) != 0))
        fail_msg("<<%.*s>> came back as <<%.*s>>", (int)bytes, data, (int)text.length, text.data ? text.data : "");
    for (int64_t i = 0; i < ids.count; i++)
        assert_true(ids.data[i] >= 0 && ids.data[i] < bfm_tokenizer_vocab(tokenizer));
    bfm_ids_deinit(&ids);
    bfm_bytes_deinit(&text);
}

static void text_comes_back(void **state)
{
    const BfmTokenizer *tokenizer = need_tokenizer(state);
    static const char *const TEXTS[] = {"", " ", "  two  spaces  ", "\n\n\n", "\ttab\r\n", "ünï çödé", "日本語 \xF0\x9F\x99\x82", "Speak,\nspeak.", "\n x", "x\n ", "ﬁ ² Å"};
    assert_int_equal(bfm_tokenizer_vocab(tokenizer), 320);
    assert_string_equal(bfm_tokenizer_kind(tokenizer), "sentencepiece");
    assert_round_trip(tokenizer, SAMPLE, sizeof SAMPLE - 1);
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++)
        assert_round_trip(tokenizer, TEXTS[i], strlen(TEXTS[i]));
}

static void encoding_appends(void **state)
{
    const BfmTokenizer *tokenizer = need_tokenizer(state);
    BfmIds ids = {0};
    assert_true(bfm_tokenizer_encode(tokenizer, (BfmText){"speak", 5}, &ids, NULL));
    int64_t once = ids.count;
    assert_true(bfm_tokenizer_encode(tokenizer, (BfmText){"speak", 5}, &ids, NULL));
    assert_true(once > 0 && ids.count == 2 * once);
    bfm_ids_deinit(&ids);
}

static void saved_is_loaded(void **state)
{
    const BfmTokenizer *tokenizer = need_tokenizer(state);
    Scratch *scratch = &((Fixture *)*state)->scratch;
    BfmError error = {0};
    assert_true(bfm_tokenizer_save(tokenizer, scratch->folder, &error));
    BfmTokenizer *loaded = bfm_tokenizer_load(scratch->folder, &error);
    BfmTokenizer *named = bfm_tokenizer_new(scratch_path(scratch, "tokenizer.model"), NULL, 0, &error);
    assert_true(loaded && named);
    assert_true(bfm_tokenizer_hash(loaded) == bfm_tokenizer_hash(tokenizer) && bfm_tokenizer_hash(named) == bfm_tokenizer_hash(tokenizer));
    bfm_tokenizer_free(loaded);
    bfm_tokenizer_free(named);
    BfmTokenizer *again = bfm_tokenizer_new("train:320", &(BfmText){SAMPLE, sizeof SAMPLE - 1}, 1, &error);
    assert_true(bfm_tokenizer_hash(again) == bfm_tokenizer_hash(tokenizer)); /* the same text, the same model */
    bfm_tokenizer_free(again);
    BfmTokenizer *other = bfm_tokenizer_new("train:330", &(BfmText){SAMPLE, sizeof SAMPLE - 1}, 1, &error);
    assert_true(other && bfm_tokenizer_hash(other) != bfm_tokenizer_hash(tokenizer));
    assert_true(bfm_tokenizer_save(other, scratch_path(scratch, "."), &error));
    bfm_tokenizer_free(other);
    (void)unlink(scratch_path(scratch, "tokenizer.model"));
    assert_null(bfm_tokenizer_load(scratch->folder, &error));
    assert_non_null(strstr(error.message, "tokenizer.model"));
}

static void bad_models_are_refused(void **state)
{
    (void)need_tokenizer(state);
    Scratch *scratch = &((Fixture *)*state)->scratch;
    BfmError error = {0};
    static const char *const CONTENTS[] = {"", "not a model", "\x0a\xff\xff\xff\xff\x0f", "\x0a\x00"};
    for (size_t i = 0; i < sizeof CONTENTS / sizeof *CONTENTS; i++) {
        error = (BfmError){0};
        assert_null(bfm_tokenizer_new(scratch_write(scratch, "bad.model", CONTENTS[i], strlen(CONTENTS[i])), NULL, 0, &error));
        assert_true(error.kind == BFM_ERROR_INPUT && strstr(error.message, "bad.model"));
    }
    assert_null(bfm_tokenizer_new(scratch_path(scratch, "absent.model"), NULL, 0, &error));
}

static void impossible_vocabularies_are_refused(void **state)
{
    (void)need_tokenizer(state);
    static const char *const SPECIFICATIONS[] = {"train:2000000", "train:299", "train:x", "train:", "train:12", "train:99999999999999999999", "train:-5"};
    for (size_t i = 0; i < sizeof SPECIFICATIONS / sizeof *SPECIFICATIONS; i++) {
        BfmError error = {0};
        assert_null(bfm_tokenizer_new(SPECIFICATIONS[i], &(BfmText){SAMPLE, sizeof SAMPLE - 1}, 1, &error));
        assert_int_equal(error.kind, BFM_ERROR_INPUT);
        assert_true(*error.message);
    }
}

/* 256 bytes, <unk>, the line end and the space are there whatever the text. */
static void any_text_gives_a_tokenizer(void **state)
{
    (void)need_tokenizer(state);
    static const char *const TEXTS[] = {"", "a", "\n\n\n", " ", "\t\t", "....", "aaaaaaaaaaaaaaaaaaaaaaaa", "\xFF\xFE\x80", "\xE2\x96\x81\xE2\x96\x85", "\xEF\xBB\xBFx\r\n"};
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        BfmError error = {0};
        BfmTokenizer *tokenizer = bfm_tokenizer_new("train:300", &(BfmText){TEXTS[i], strlen(TEXTS[i])}, 1, &error);
        if (!tokenizer)
            fail_msg("%s: %s", TEXTS[i], error.message);
        assert_in_range(bfm_tokenizer_vocab(tokenizer), 259, 300);
        assert_round_trip(tokenizer, TEXTS[i], strlen(TEXTS[i]));
        assert_round_trip(tokenizer, SAMPLE, sizeof SAMPLE - 1);
        bfm_tokenizer_free(tokenizer);
    }
}

/* More characters than the vocabulary has room for: exactly as many ids as were wanted. */
static void many_characters_fit_any_vocabulary(void **state)
{
    (void)need_tokenizer(state);
    char text[4 * 3 * 3000 + 1];
    size_t bytes = 0;
    for (int i = 0; i < 4 * 3000; i++) {
        const int code = 0x4E00 + (i * 7919) % 3000;
        text[bytes++] = (char)(0xE0 | code >> 12);
        text[bytes++] = (char)(0x80 | (code >> 6 & 0x3F));
        text[bytes++] = (char)(0x80 | (code & 0x3F));
    }
    for (int64_t vocab = 300; vocab <= 1500; vocab += 400) {
        char specification[32];
        BfmError error = {0};
        (void)snprintf(specification, sizeof specification, "train:%lld", (long long)vocab);
        BfmTokenizer *tokenizer = bfm_tokenizer_new(specification, &(BfmText){text, bytes}, 1, &error);
        if (!tokenizer)
            fail_msg("%s: %s", specification, error.message);
        assert_int_equal(bfm_tokenizer_vocab(tokenizer), vocab);
        assert_round_trip(tokenizer, text, bytes);
        bfm_tokenizer_free(tokenizer);
    }
}

/* Any bytes: characters of every plane, pieces of characters, controls, white space, whatever follows what. */
static void random_bytes_come_back(void **state)
{
    const BfmTokenizer *tokenizer = need_tokenizer(state);
    static const char *const UNITS[] = {" ",
                                        "  ",
                                        "\n",
                                        "\t",
                                        "\r\n",
                                        "a",
                                        "speak",
                                        "\x80",
                                        "\xFF",
                                        "\xC3",
                                        "\xE3\x81",
                                        "\xF0\x9F\x99",
                                        "\xE2\x96\x81",
                                        "\xE2\x96\x85",
                                        "\xEF\xBB\xBF",
                                        "\xEF\xBF\xBD",
                                        "\xF0\x9F\x99\x82",
                                        "e\xCC\x81",
                                        "\xEE\x80\x80",
                                        "\xED\xA0\x80",
                                        "\xC2\xA0",
                                        "\xE3\x80\x80",
                                        "\x01",
                                        "\x7F",
                                        "\xE2\x80\x8D"};
    uint64_t random = 88172645463325252u;
    for (int round = 0; round < 500; round++) {
        char text[512];
        size_t bytes = 0;
        for (int i = 0; i < round % 60; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            const char *unit = UNITS[random % (sizeof UNITS / sizeof *UNITS)];
            if (random >> 40 & 7) {
                memcpy(text + bytes, unit, strlen(unit));
                bytes += strlen(unit);
            } else {
                text[bytes++] = (char)(random >> 48);
            }
        }
        assert_round_trip(tokenizer, text, bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(text_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(encoding_appends, setup, teardown),
        cmocka_unit_test_setup_teardown(saved_is_loaded, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_models_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(any_text_gives_a_tokenizer, setup, teardown),
        cmocka_unit_test_setup_teardown(many_characters_fit_any_vocabulary, setup, teardown),
        cmocka_unit_test_setup_teardown(random_bytes_come_back, setup, teardown),
        cmocka_unit_test_setup_teardown(impossible_vocabularies_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
