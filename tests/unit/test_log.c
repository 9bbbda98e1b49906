/* JSON-lines logs: appended line by line, cut back to a step on resume, partial lines dropped, foreign files left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the headers it needs */
#include <cmocka.h>

#include "file/json/json_file.h"
#include "scratch.h"
#include "file/json/log.h"

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

static void assert_content(const char *path, const char *expected)
{
    BfmMappedFile file;
    assert_true(bfm_mapped_file_open(&file, path, NULL));
    if (file.size != strlen(expected) || memcmp(file.data, expected, file.size) != 0)
        fail_msg("expected <<%s>> found <<%.*s>>", expected, (int)file.size, (const char *)file.data);
    bfm_mapped_file_close(&file);
}

static void records_are_lines(void **state)
{
    const char *path = scratch_path(*state, "log.jsonl");
    BfmError error = {0};
    BfmLog *log = bfm_log_open(path, -1, &error);
    assert_non_null(log);
    assert_true(bfm_log_write(log, json_pack("{s:i, s:f, s:s}", "step", 1, "loss", 0.1, "note", "a\nb"), &error));
    assert_true(bfm_log_write(log, json_pack("{s:i, s:o}", "step", 2, "loss", bfm_json_number((double)NAN)), &error));
    assert_content(path, "{\"step\":1,\"loss\":0.1,\"note\":\"a\\nb\"}\n{\"step\":2,\"loss\":null}\n"); /* without waiting for close */
    assert_true(bfm_log_sync(log, &error));
    assert_false(bfm_log_write(log, NULL, &error));
    assert_int_equal(error.kind, BFM_ERROR_BUG);
    assert_false(bfm_log_write(log, json_array(), &error));
    bfm_log_close(log);
    assert_null(bfm_log_open(scratch_path(*state, "no/folder.jsonl"), -1, &error));
    assert_int_equal(error.kind, BFM_ERROR_INPUT);
    assert_null(bfm_log_open(((Scratch *)*state)->folder, -1, &error));
}

typedef struct Case {
    const char *before;
    int64_t through;
    const char *after; /* NULL: refused, left as it was */
} Case;

#define S1 "{\"step\":1}\n"
#define S2 "{\"step\":2}\n"
#define S3 "{\"step\":3}\n"

static void resume_cuts_back(void **state)
{
    static const Case CASES[] = {
        {"", -1, ""},
        {"", 5, ""},
        {S1 S2 S3, -1, S1 S2 S3},
        {S1 S2 S3, 3, S1 S2 S3},
        {S1 S2 S3, 2, S1 S2},
        {S1 S2 S3, 0, ""},
        {S1 S2 "{\"ste", -1, S1 S2},
        {S1 S2 "{\"step\":3}", -1, S1 S2}, /* complete but for its newline: written again */
        {S1 "{\"st\n", -1, S1},
        {S1 "{\"st\n" S3, -1, NULL},
        {S1 "{\"st\n" S3, 1, NULL},
        {"a text of mine\n" S1, 5, NULL},
        {S1 "{\"note\":\"no step\"}\n" S3, 1, S1 "{\"note\":\"no step\"}\n"},
        {S1 S2 S1, 1, S1}, /* from the first later record on */
        {"{\"st", 9, ""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        BfmError error = {0};
        const char *path = scratch_write(*state, "log.jsonl", CASES[i].before, strlen(CASES[i].before));
        BfmLog *log = bfm_log_open(path, CASES[i].through, &error);
        if (!!log != !!CASES[i].after)
            fail_msg("case %zu: %s", i, error.message);
        bfm_log_close(log);
        assert_content(path, CASES[i].after ? CASES[i].after : CASES[i].before);
        if (!CASES[i].after)
            assert_non_null(strstr(error.message, "is no JSON object"));
        if (CASES[i].after) { /* and goes on behind it */
            log = bfm_log_open(path, -1, NULL);
            assert_true(bfm_log_write(log, json_pack("{s:i}", "step", 9), NULL));
            bfm_log_close(log);
            char expected[200];
            (void)snprintf(expected, sizeof expected, "%s{\"step\":9}\n", CASES[i].after);
            assert_content(path, expected);
        }
    }
}

/* A power cut may leave the tail of a file as zeros. */
static void zeros_at_the_end_are_dropped(void **state)
{
    char content[64] = S1 S2;
    const char *path = scratch_write(*state, "log.jsonl", content, sizeof content);
    BfmLog *log = bfm_log_open(path, -1, NULL);
    assert_non_null(log);
    bfm_log_close(log);
    assert_content(path, S1 S2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(records_are_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(resume_cuts_back, setup, teardown),
        cmocka_unit_test_setup_teardown(zeros_at_the_end_are_dropped, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
