/* data pack: documents, split, tokenizer and the folder they make; the same input gives the same bytes, an error leaves nothing behind. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the headers it needs */
#include <cmocka.h>

#include "data/documents.h"
#include "data/pack.h"
#include "scratch.h"

#include <math.h>

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

/* Paragraphs of 20 to 400 bytes that all differ, blank lines between them. */
static const char *write_text(Scratch *scratch, const char *name, int paragraphs, unsigned salt)
{
    const char *path = scratch_path(scratch, name);
    FILE *stream = fopen(path, "wb");
    for (int i = 0; i < paragraphs; i++) {
        (void)fprintf(stream, "Paragraph %d of %u:\n", i, salt);
        for (int k = 0; k < (i * 7 + (int)salt) % 20; k++)
            (void)fprintf(stream, "  and line %d too\n", k * i);
        (void)fprintf(stream, "\n");
    }
    if (fclose(stream) != 0)
        abort();
    return path;
}

static BfmPackOptions options_for(const char *const *inputs, int64_t count, const char *out)
{
    return (BfmPackOptions){.inputs = inputs, .input_count = count, .tokenizer = "byte", .split = {98, 1, 1}, .out = out};
}

static void assert_same_file(Scratch *scratch, const char *left, const char *right)
{
    BfmMappedFile a, b;
    assert_true(bfm_mapped_file_open(&a, scratch_path(scratch, left), NULL) && bfm_mapped_file_open(&b, scratch_path(scratch, right), NULL));
    assert_true(a.size == b.size && memcmp(a.data, b.data, a.size) == 0);
    bfm_mapped_file_close(&a);
    bfm_mapped_file_close(&b);
}

static void split_is_parsed(void **state)
{
    (void)state;
    double split[BFM_PART_COUNT];
    static const char *const BAD[] = {"", ",", "98,", "98,1,1,1", "0,1,1", "-1,2,3", "a", "98;1", "nan,1,1", "inf,1,1", "98,1,1x"};
    assert_true(bfm_split_parse("98,1,1", split, NULL) && split[0] == 98 && split[1] == 1 && split[2] == 1);
    assert_true(bfm_split_parse("95,5", split, NULL) && split[1] == 5 && split[2] == 0);
    assert_true(bfm_split_parse("1", split, NULL) && split[0] == 1 && split[1] == 0);
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        if (bfm_split_parse(BAD[i], split, NULL))
            fail_msg("accepted %s", BAD[i]);
}

static void chunks_end_at_blank_lines(void **state)
{
    const char *path = write_text(*state, "a.txt", 20000, 3); /* 4 MB: long enough for chunks of full size */
    BfmDocuments documents;
    assert_true(bfm_documents_open(&documents, &path, 1, NULL, 0.01, NULL));
    assert_string_equal(documents.rule, "chunks");
    assert_true(documents.count > 100);
    const char *next = (const char *)documents.files[0].data;
    for (int64_t i = 0; i < documents.count; i++) { /* in order, nothing lost */
        BfmText text = documents.texts[i];
        assert_ptr_equal(text.data, next);
        next += text.bytes;
        assert_true(text.bytes >= BFM_CHUNK_BYTES && (text.bytes < 10000 || i + 1 == documents.count));
        assert_memory_equal(text.data, "Paragraph ", 10);
        assert_memory_equal(text.data + text.bytes - 2, "\n\n", 2);
    }
    assert_ptr_equal(next, documents.files[0].data + documents.files[0].size);
    bfm_documents_close(&documents);
}

static void odd_texts_are_cut_without_loss(void **state)
{
    static const char *const UNITS[] = {"x", "\n", "\n\n", "ab\n", "é", " \n", "\t", "a b\r\n\r\n", "   indented\n\n"};
    for (size_t u = 0; u < sizeof UNITS / sizeof *UNITS; u++)
        for (int repeat = 1; repeat < 400000; repeat = repeat * 5 + 1) {
            size_t unit = strlen(UNITS[u]);
            char *text = malloc(unit * (size_t)repeat);
            for (int i = 0; i < repeat; i++)
                memcpy(text + (size_t)i * unit, UNITS[u], unit);
            const char *path = scratch_write(*state, "odd.txt", text, unit * (size_t)repeat);
            BfmDocuments documents;
            assert_true(bfm_documents_open(&documents, &path, 1, NULL, 0.01, NULL));
            size_t total = 0;
            for (int64_t i = 0; i < documents.count; i++) {
                assert_ptr_equal(documents.texts[i].data, documents.files[0].data + total);
                assert_true(((unsigned char)documents.texts[i].data[0] & 0xC0) != 0x80); /* whole characters */
                total += documents.texts[i].bytes;
            }
            assert_true(total == unit * (size_t)repeat);
            assert_true(documents.count < 800 || total > (size_t)400 * BFM_CHUNK_BYTES);
            bfm_documents_close(&documents);
            free(text);
        }
}

static void separators_and_files_make_documents(void **state)
{
    BfmDocuments documents;
    const char *one = scratch_write(*state, "one.txt", "<|>a<|><|>bc<|>d", 16), *two = scratch_write(*state, "two.txt", "e", 1);
    const char *const paths[] = {one, two};
    assert_true(bfm_documents_open(&documents, paths, 2, "<|>", 0.01, NULL));
    assert_int_equal(documents.count, 4);
    assert_true(documents.texts[1].bytes == 2 && documents.texts[1].data[0] == 'b' && documents.texts[3].data[0] == 'e');
    bfm_documents_close(&documents);
    assert_true(bfm_documents_open(&documents, paths, 2, NULL, 0.5, NULL));
    assert_string_equal(documents.rule, "files");
    assert_int_equal(documents.count, 2);
    bfm_documents_close(&documents);
    BfmError error = {0};
    assert_false(bfm_documents_open(&documents, paths, 2, "", 0.5, &error));
    const char *empty = scratch_write(*state, "empty.txt", "", 0), *only = scratch_write(*state, "only.txt", "<|><|>", 6);
    assert_false(bfm_documents_open(&documents, &empty, 1, NULL, 0.5, &error));
    assert_non_null(strstr(error.message, "no text"));
    assert_false(bfm_documents_open(&documents, &only, 1, "<|>", 0.5, &error));
}

static void pack_reads_back(void **state)
{
    const char *path = write_text(*state, "a.txt", 6000, 5), *out = scratch_path(*state, "data");
    BfmPackOptions options = options_for(&path, 1, out);
    BfmError error = {0};
    if (!bfm_pack(&options, &error))
        fail_msg("%s", error.message);
    BfmDataset *data = bfm_dataset_open(out, &error);
    if (!data)
        fail_msg("%s", error.message);
    BfmMappedFile text;
    assert_true(bfm_mapped_file_open(&text, path, NULL));
    double bytes[BFM_PART_COUNT], total = 0;
    for (int part = 0; part < BFM_PART_COUNT; part++) {
        const BfmTokensInfo *info = bfm_tokens_info(data->parts[part]);
        total += bytes[part] = (double)info->source_bytes;
        assert_true(info->count == info->source_bytes && info->vocab == 256 && info->documents >= 1);
        for (int64_t i = 0; i < info->documents; i++) { /* every document is a piece of the text */
            int64_t start, end;
            int32_t ids[3 * BFM_CHUNK_BYTES];
            BfmBytes decoded = {0};
            bfm_tokens_document(data->parts[part], i, &start, &end);
            assert_true(end - start < 3 * BFM_CHUNK_BYTES);
            bfm_tokens_copy(data->parts[part], start, end - start, ids);
            assert_true(bfm_tokenizer_decode(data->tokenizer, ids, end - start, &decoded, &error));
            assert_non_null(memmem(text.data, text.size, decoded.data, decoded.length));
            bfm_bytes_deinit(&decoded);
        }
    }
    assert_true(total == (double)text.size);
    assert_true(fabs(bytes[BFM_PART_VALID] / total - 0.01) < 0.006 && fabs(bytes[BFM_PART_TEST] / total - 0.01) < 0.006);
    bfm_mapped_file_close(&text);
    BfmSample sample;
    BfmBytes shown = {0};
    assert_true(bfm_dataset_sample(data, BFM_PART_TRAIN, 3, 100, 0, &sample, &shown, &error));
    assert_true(sample.count == 100 && shown.length == 100);
    bfm_bytes_deinit(&shown);
    FILE *sink = fopen("/dev/null", "w");
    assert_true(bfm_dataset_show(data, 5, 1, sink, &error));
    (void)fclose(sink);
    bfm_dataset_close(data);
}

static void pack_is_reproducible(void **state)
{
    const char *path = write_text(*state, "a.txt", 3000, 5);
    const char *first = scratch_path(*state, "first"), *second = scratch_path(*state, "second/"), *third = scratch_path(*state, "third");
    BfmPackOptions options = options_for(&path, 1, first);
    assert_true(bfm_pack(&options, NULL));
    options.out = second;
    assert_true(bfm_pack(&options, NULL));
    assert_true(bfm_pack(&options, NULL)); /* over itself */
    assert_same_file(*state, "first/train.tok", "second/train.tok");
    assert_same_file(*state, "first/test.tok", "second/test.tok");
    assert_same_file(*state, "first/data.json", "second/data.json");
    assert_same_file(*state, "first/tokenizer.json", "second/tokenizer.json");
    options.out = third;
    options.seed = 1;
    assert_true(bfm_pack(&options, NULL));
    BfmDataset *a = bfm_dataset_open(first, NULL), *b = bfm_dataset_open(second, NULL), *c = bfm_dataset_open(third, NULL);
    assert_true(a->hash == b->hash && a->hash != c->hash);
    bfm_dataset_close(a);
    bfm_dataset_close(b);
    bfm_dataset_close(c);
}

static void equal_documents_stay_together(void **state)
{
    char text[400 * 4 + 1] = "";
    for (int i = 0; i < 400; i++) /* 40 different documents, each ten times */
        (void)sprintf(text + 4 * i, "%02d|", i % 40), text[4 * i + 3] = '|';
    const char *path = scratch_write(*state, "twins.txt", text, 1600), *out = scratch_path(*state, "data");
    BfmPackOptions options = options_for(&path, 1, out);
    options.document_separator = "||";
    options.split[0] = 60, options.split[1] = 20, options.split[2] = 20;
    assert_true(bfm_pack(&options, NULL));
    BfmDataset *data = bfm_dataset_open(out, NULL);
    int owner[40], count[BFM_PART_COUNT] = {0};
    for (int i = 0; i < 40; i++)
        owner[i] = -1;
    for (int part = 0; part < BFM_PART_COUNT; part++)
        for (int64_t i = 0; i < bfm_tokens_info(data->parts[part])->documents; i++) {
            int32_t ids[2];
            bfm_tokens_copy(data->parts[part], 2 * i, 2, ids);
            int document = (ids[0] - '0') * 10 + ids[1] - '0';
            assert_true(owner[document] == -1 || owner[document] == part);
            owner[document] = part;
            count[part]++;
        }
    assert_true(count[0] == 240 && count[1] == 80 && count[2] == 80);
    bfm_dataset_close(data);
}

static void errors_leave_nothing(void **state)
{
    BfmError error = {0};
    const char *text = write_text(*state, "a.txt", 500, 1), *out = scratch_path(*state, "data"), *absent = scratch_path(*state, "absent.txt");
    BfmPackOptions options = options_for(&absent, 1, out);
    assert_false(bfm_pack(&options, &error));
    assert_true(error.kind == BFM_ERROR_INPUT && strstr(error.message, "absent.txt"));
    options = options_for(&text, 1, out);
    options.tokenizer = "bytes";
    assert_false(bfm_pack(&options, &error));
    assert_non_null(strstr(error.message, "unknown tokenizer \"bytes\""));
    options.tokenizer = "train:7";
    assert_false(bfm_pack(&options, &error));
    options.tokenizer = "byte";
    options.split[0] = 0;
    assert_false(bfm_pack(&options, &error));
    options.split[0] = 98;
    options.document_separator = "no such separator";
    assert_false(bfm_pack(&options, &error));
    assert_non_null(strstr(error.message, "1 document, 1 of them different"));
    assert_false(bfm_path_exists(out) || bfm_path_exists(scratch_path(*state, "data.tmp")));
    /* a folder with other things in it, or a file, is nobody's to replace */
    options.document_separator = NULL;
    assert_true(bfm_directory_make(out, &error));
    const char *precious = scratch_write(*state, "data/thesis.txt", "x", 1);
    assert_false(bfm_pack(&options, &error));
    assert_true(strstr(error.message, "thesis.txt") && bfm_path_exists(precious));
    options.out = precious;
    assert_false(bfm_pack(&options, &error));
    assert_true(bfm_path_exists(precious));
}

static void what_runs_use_stays(void **state)
{
    BfmError error = {0};
    const char *text = write_text(*state, "a.txt", 500, 1), *out = scratch_path(*state, "data"), *run = scratch_path(*state, "run");
    BfmPackOptions options = options_for(&text, 1, out);
    assert_true(bfm_pack(&options, &error));
    assert_true(bfm_pack(&options, &error)); /* nobody's yet */
    BfmDataset *data = bfm_dataset_open(out, &error);
    char *place = realpath(out, NULL), json[4096];
    assert_true(data && place && bfm_directory_make(run, &error));
    (void)snprintf(json, sizeof json, "{\"data\":\"%s\"}", place);
    (void)scratch_write(*state, "run/run.json", json, strlen(json));
    bfm_dataset_used_by(data, run);
    bfm_dataset_close(data);
    assert_false(bfm_pack(&options, &error));
    assert_true(error.kind == BFM_ERROR_INPUT && strstr(error.message, "/run "));
    options.replace = true;
    assert_true(bfm_pack(&options, &error));
    options.replace = false;
    assert_true(bfm_pack(&options, &error)); /* no run was trained on the new data */
    data = bfm_dataset_open(out, &error);
    bfm_dataset_used_by(data, run);
    bfm_dataset_close(data);
    assert_int_equal(unlink(scratch_path(*state, "run/run.json")), 0); /* the run is gone */
    assert_true(bfm_pack(&options, &error));
    /* an input inside the output, under a name that a pack might have written */
    const char *inside = scratch_write(*state, "data/valid.tok", "text", 4);
    options.inputs = &inside;
    assert_false(bfm_pack(&options, &error));
    assert_true(strstr(error.message, "lies in the folder") && bfm_path_exists(inside));
    free(place);
}

static bool stop_after_two(void *context) { return ++*(int *)context > 2; }

static void a_stopped_pack_leaves_nothing(void **state)
{
    BfmError error = {0};
    int calls = 0;
    const char *text = write_text(*state, "a.txt", 500, 1), *out = scratch_path(*state, "data");
    BfmPackOptions options = options_for(&text, 1, out);
    options.stopped = stop_after_two;
    options.stopped_context = &calls;
    assert_false(bfm_pack(&options, &error));
    assert_non_null(strstr(error.message, "stopped"));
    assert_int_equal(calls, 3);
    assert_false(bfm_path_exists(out) || bfm_path_exists(scratch_path(*state, "data.tmp")));
}

static void tampered_datasets_are_refused(void **state)
{
    static const char *const BAD[] = {"{}",
                                      "[]",
                                      "{\"schema\":2}",
                                      "{\"schema\":1}",
                                      "{\"schema\":1,\"parts\":{}}",
                                      "{\"schema\":1,\"parts\":{\"train\":{}}}",
                                      "{\"schema\":1,\"parts\":{\"train\":{\"file\":\"../x\",\"hash\":\"0000000000000000\"}}}",
                                      "{\"schema\":1,\"parts\":{\"train\":{\"file\":\"train.tok\",\"hash\":\"0000000000000000\"}}}",
                                      "{"};
    BfmError error = {0};
    const char *text = write_text(*state, "a.txt", 500, 1), *out = scratch_path(*state, "data");
    BfmPackOptions options = options_for(&text, 1, out);
    assert_true(bfm_pack(&options, &error));
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        (void)scratch_write(*state, "data/data.json", BAD[i], strlen(BAD[i]));
        assert_null(bfm_dataset_open(out, &error));
        assert_non_null(strstr(error.message, "data/"));
    }
    assert_true(bfm_pack(&options, &error));
    static const char OTHER[] = "{\"schema\":1,\"kind\":\"byte\",\"vocab\":255,\"hash\":\"0123456789abcdef\"}";
    (void)scratch_write(*state, "data/tokenizer.json", OTHER, sizeof OTHER - 1);
    assert_null(bfm_dataset_open(out, &error));
    assert_non_null(strstr(error.message, "another tokenizer"));
    assert_null(bfm_dataset_open(scratch_path(*state, "nowhere"), &error));
}

static void byte_tokenizer_is_lossless(void **state)
{
    (void)state;
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    BfmError error = {0};
    BfmTokenizer *tokenizer = bfm_tokenizer_new("byte", NULL, 0, &error);
    BfmIds ids = {0};
    BfmBytes text = {0};
    assert_true(bfm_tokenizer_encode(tokenizer, (BfmText){all, 256}, &ids, &error) && ids.count == 256 && ids.data[200] == 200);
    assert_true(bfm_tokenizer_decode(tokenizer, ids.data, ids.count, &text, &error) && text.length == 256);
    assert_memory_equal(text.data, all, 256);
    assert_false(bfm_tokenizer_decode(tokenizer, (const int32_t[]){256}, 1, &text, &error));
    assert_false(bfm_tokenizer_decode(tokenizer, (const int32_t[]){-1}, 1, &text, &error));
    bfm_ids_deinit(&ids);
    bfm_bytes_deinit(&text);
    bfm_tokenizer_free(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_is_parsed),
        cmocka_unit_test(byte_tokenizer_is_lossless),
        cmocka_unit_test_setup_teardown(chunks_end_at_blank_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(odd_texts_are_cut_without_loss, setup, teardown),
        cmocka_unit_test_setup_teardown(separators_and_files_make_documents, setup, teardown),
        cmocka_unit_test_setup_teardown(pack_reads_back, setup, teardown),
        cmocka_unit_test_setup_teardown(pack_is_reproducible, setup, teardown),
        cmocka_unit_test_setup_teardown(equal_documents_stay_together, setup, teardown),
        cmocka_unit_test_setup_teardown(errors_leave_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(what_runs_use_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stopped_pack_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(tampered_datasets_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
