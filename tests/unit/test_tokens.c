/* Token files: documents written read back with their boundaries; damaged or hostile files are refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the headers it needs */
#include <cmocka.h>

#include "data/tokens.h"
#include "data/tokens_format.h"
#include "scratch.h"

#include <xxhash.h>

static int setup(void **state)
{
    Scratch *scratch = malloc(sizeof *scratch);
    scratch_init(scratch);
    *state = scratch;
    return 0;
}

static int teardown(void **state)
{
    scratch_deinit(*state);
    free(*state);
    return 0;
}

static const char *write_sample(Scratch *scratch, int64_t vocab, int64_t documents, BfmTokensInfo *info)
{
    const char *path = scratch_path(scratch, "sample.tok");
    (void)unlink(path);
    BfmError error = {0};
    BfmTokensWriter *writer = bfm_tokens_writer_new(path, vocab, 77, &error);
    assert_non_null(writer);
    for (int64_t i = 0; i < documents; i++) {
        int32_t ids[200];
        for (int64_t k = 0; k < i % 200; k++)
            ids[k] = (int32_t)((i * 31 + k * 7) % vocab);
        assert_true(bfm_tokens_writer_document(writer, ids, i % 200, 3 * (i % 200), &error));
    }
    assert_false(bfm_path_exists(path));
    assert_true(bfm_tokens_writer_finish(writer, info, &error));
    bfm_tokens_writer_free(writer);
    return path;
}

static void documents_read_back(void **state)
{
    static const int64_t VOCABS[] = {1, 256, 65536, 65537, 100000};
    for (size_t v = 0; v < sizeof VOCABS / sizeof *VOCABS; v++) {
        BfmTokensInfo written;
        BfmError error = {0};
        const char *path = write_sample(*state, VOCABS[v], 300, &written);
        BfmTokens *tokens = bfm_tokens_open(path, &error);
        if (!tokens)
            fail_msg("%s", error.message);
        const BfmTokensInfo *info = bfm_tokens_info(tokens);
        assert_memory_equal(info, &written, sizeof written);
        assert_true(info->vocab == VOCABS[v] && info->documents == 300 && info->source_bytes == 3 * info->count && info->tokenizer_hash == 77);
        for (int64_t i = 0, total = 0; i < 300; i++) {
            int64_t start, end;
            int32_t ids[200];
            bfm_tokens_document(tokens, i, &start, &end);
            assert_true(start == total && end - start == i % 200);
            bfm_tokens_copy(tokens, start, end - start, ids);
            for (int64_t k = 0; k < end - start; k++)
                assert_int_equal(ids[k], (i * 31 + k * 7) % VOCABS[v]);
            for (int64_t k = start; k < end; k++)
                assert_int_equal(bfm_tokens_document_at(tokens, k), i);
            total = end;
        }
        bfm_tokens_close(tokens);
    }
}

static void empty_file_is_a_file(void **state)
{
    BfmTokensInfo info;
    BfmTokens *tokens = bfm_tokens_open(write_sample(*state, 256, 0, &info), NULL);
    assert_non_null(tokens);
    assert_true(bfm_tokens_info(tokens)->count == 0 && bfm_tokens_info(tokens)->documents == 0);
    bfm_tokens_close(tokens);
}

static void foreign_ids_are_not_written(void **state)
{
    BfmError error = {0};
    const char *path = scratch_path(*state, "x.tok");
    BfmTokensWriter *writer = bfm_tokens_writer_new(path, 256, 0, &error);
    assert_false(bfm_tokens_writer_document(writer, (const int32_t[]){1, 256}, 2, 2, &error));
    assert_false(bfm_tokens_writer_document(writer, (const int32_t[]){-1}, 1, 1, &error));
    bfm_tokens_writer_free(writer);
    assert_false(bfm_path_exists(path));
    assert_null(bfm_tokens_writer_new(path, 0, 0, &error));
    assert_null(bfm_tokens_writer_new(path, (int64_t)1 << 31, 0, &error));
}

static void damage_is_found(void **state)
{
    BfmTokensInfo info;
    BfmMappedFile good;
    assert_true(bfm_mapped_file_open(&good, write_sample(*state, 256, 12, &info), NULL));
    unsigned char *copy = malloc(good.size + 8);
    for (size_t i = 0; i < good.size; i++) { /* truncated anywhere */
        memcpy(copy, good.data, good.size);
        assert_null(bfm_tokens_open(scratch_write(*state, "bad.tok", copy, i), NULL));
        copy[i] ^= (unsigned char)(1 + i % 255); /* or one byte changed anywhere */
        BfmError error = {0};
        assert_null(bfm_tokens_open(scratch_write(*state, "bad.tok", copy, good.size), &error));
        assert_non_null(strstr(error.message, "bad.tok"));
        assert_int_equal(error.kind, BFM_ERROR_INPUT);
    }
    memcpy(copy, good.data, good.size);
    assert_null(bfm_tokens_open(scratch_write(*state, "bad.tok", copy, good.size + 8), NULL));
    free(copy);
    bfm_mapped_file_close(&good);
}

typedef struct Hostile {
    const char *expected;
    uint64_t count, documents, vocab, table;
    uint32_t id_bytes;
    uint64_t starts[3];
    uint16_t ids[4];
} Hostile;

/* Files whose every hash agrees: made by someone who knows the format. */
static void hostile_files_are_refused(void **state)
{
    static const Hostile CASES[] = {
        {NULL, 4, 2, 256, 136, 2, {0, 1, 4}, {1, 2, 3, 4}},
        {"id number 2 is outside the vocabulary of 256", 4, 2, 256, 136, 2, {0, 1, 4}, {1, 2, 256, 4}},
        {"document 0 ends before it begins", 4, 2, 256, 136, 2, {3, 1, 4}, {1, 2, 3, 4}},
        {"document 1 ends before it begins", 4, 2, 256, 136, 2, {0, UINT64_MAX, 4}, {1, 2, 3, 4}},
        {"do not cover", 4, 2, 256, 136, 2, {1, 1, 4}, {1, 2, 3, 4}},
        {"do not cover", 4, 2, 256, 136, 2, {0, 1, 3}, {1, 2, 3, 4}},
        {"do not fit", 5, 2, 256, 136, 2, {0, 1, 4}, {1, 2, 3, 4}},
        {"do not fit", (uint64_t)1 << 63, 2, 256, 136, 2, {0, 1, 4}, {1, 2, 3, 4}},
        {"do not fit", 4, UINT64_MAX, 256, 136, 2, {0, 1, 4}, {1, 2, 3, 4}},
        {"do not fit", 4, (uint64_t)1 << 61, 256, 136, 2, {0, 1, 4}, {1, 2, 3, 4}},
        {"do not fit", 4, 2, 256, 128, 2, {0, 1, 4}, {1, 2, 3, 4}},
        {"makes no sense", 4, 2, 0, 136, 2, {0, 1, 4}, {1, 2, 3, 4}},
        {"makes no sense", 4, 2, (uint64_t)1 << 40, 136, 4, {0, 1, 4}, {1, 2, 3, 4}},
        {"makes no sense", 4, 2, 256, 136, 0, {0, 1, 4}, {1, 2, 3, 4}},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const Hostile *c = &CASES[i];
        unsigned char bytes[160];
        TokensHeader header = {
            .version = TOKENS_VERSION, .id_bytes = c->id_bytes, .vocab = c->vocab, .count = c->count, .documents = c->documents, .table = c->table, .file_bytes = sizeof bytes};
        memcpy(header.magic, TOKENS_MAGIC, 8);
        memcpy(bytes + 128, c->ids, 8);
        memcpy(bytes + 136, c->starts, 24);
        header.hash = XXH3_64bits(bytes + 128, 32);
        header.header_hash = XXH3_64bits(&header, TOKENS_HASHED_BYTES);
        memcpy(bytes, &header, sizeof header);
        BfmError error = {0};
        BfmTokens *tokens = bfm_tokens_open(scratch_write(*state, "hostile.tok", bytes, sizeof bytes), &error);
        if (c->expected ? !!tokens || !strstr(error.message, c->expected) : !tokens)
            fail_msg("case %zu: expected '%s' in: %s", i, c->expected ? c->expected : "no error", error.message);
        bfm_tokens_close(tokens);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(documents_read_back, setup, teardown),         cmocka_unit_test_setup_teardown(empty_file_is_a_file, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_ids_are_not_written, setup, teardown), cmocka_unit_test_setup_teardown(damage_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_files_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
