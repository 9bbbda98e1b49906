/* Checkpoints and atomic files: whole or absent, also when the writer is killed; damage is named; resume differences are named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the headers it needs */
#include <cmocka.h>

#include "checkpoint/checkpoint.h"
#include "scratch.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

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

enum { WIDTH = 5000 };

/* Contents that depend on the step, so that a mixture of two checkpoints would show. */
static bool write_step(const char *root, int64_t step, BfmError *error)
{
    static float w[WIDTH], m[WIDTH];
    for (int i = 0; i < WIDTH; i++) {
        w[i] = (float)(step * 10 + i);
        m[i] = -w[i];
    }
    const int64_t counter = step;
    const BfmTensor model[] = {{"layer_0.w", BFM_DTYPE_F32, 2, {WIDTH / 10, 10}, w}};
    const BfmTensor state[] = {{"layer_0.w.m", BFM_DTYPE_F32, 2, {WIDTH / 10, 10}, m}, {"steps", BFM_DTYPE_I64, 0, {0}, &counter}};
    const BfmCheckpointMeta meta = {step, 2 * step, 64 * step, 0xfedcba9876543210U, 1, 2, 0x8000000000000003U, 0.5 * (double)step};
    return bfm_checkpoint_write(root, &meta, model, 1, state, 2, error);
}

static void assert_is_step(const BfmCheckpoint *checkpoint, int64_t step)
{
    float w[WIDTH];
    int64_t counter;
    double m[WIDTH];
    const BfmTensorTarget model = {"layer_0.w", BFM_DTYPE_F32, 2, {WIDTH / 10, 10}, w};
    const BfmTensorTarget state[] = {{"steps", BFM_DTYPE_I64, 0, {0}, &counter}, {"layer_0.w.m", BFM_DTYPE_F64, 2, {WIDTH / 10, 10}, m}};
    BfmError error = {0};
    if (!bfm_safetensors_load(checkpoint->model, &model, 1, &error) || !bfm_safetensors_load(checkpoint->state, state, 2, &error))
        fail_msg("%s", error.message);
    assert_int_equal(checkpoint->meta.step, step);
    assert_int_equal(counter, step);
    for (int i = 0; i < WIDTH; i++)
        assert_true(w[i] == (float)(step * 10 + i) && m[i] == -w[i]);
}

static void checkpoint_reads_back(void **state)
{
    const char *root = scratch_path(*state, "run/ckpt");
    BfmError error = {0};
    if (!write_step(root, 12, &error))
        fail_msg("%s", error.message);
    BfmCheckpoint *checkpoint = bfm_checkpoint_open(scratch_path(*state, "run/ckpt/12"), &error);
    if (!checkpoint)
        fail_msg("%s", error.message);
    assert_is_step(checkpoint, 12);
    const BfmCheckpointMeta *meta = &checkpoint->meta;
    assert_true(meta->position == 24 && meta->tokens == 768 && meta->seed == 0xfedcba9876543210U && meta->data_hash == 0x8000000000000003U && meta->seconds == 6);
    assert_string_equal(bfm_safetensors_metadata(checkpoint->model, "step"), "12");
    bfm_checkpoint_close(checkpoint);
    assert_true(write_step(root, 12, &error)); /* over itself */
    assert_false(bfm_path_exists(scratch_path(*state, "run/ckpt/12.tmp")));
    checkpoint = bfm_checkpoint_latest(root, NULL, &error);
    assert_is_step(checkpoint, 12);
    bfm_checkpoint_close(checkpoint);
}

static void list_and_prune(void **state)
{
    static const int64_t STEPS[] = {100, 9, 20, 0, 1000};
    const char *root = scratch_path(*state, "ckpt");
    int64_t *steps, count, skipped;
    BfmError error = {0};
    assert_true(bfm_checkpoint_list(root, &steps, &count, &error) && count == 0 && !steps);
    assert_null(bfm_checkpoint_latest(root, &skipped, &error));
    assert_non_null(strstr(error.message, "no finished checkpoint"));
    for (int i = 0; i < 5; i++)
        assert_true(write_step(root, STEPS[i], &error));
    static const char *const OTHERS[] = {"2000.tmp", "3000.old", "012", "best", "7x", ".tmp", "x.tmp", "99999999999999999999"};
    for (int i = 0; i < 8; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "ckpt/%s", OTHERS[i]);
        assert_int_equal(mkdir(scratch_path(*state, name), 0777), 0);
    }
    assert_true(bfm_checkpoint_list(root, &steps, &count, &error));
    assert_int_equal(count, 5);
    assert_true(steps[0] == 0 && steps[1] == 9 && steps[2] == 20 && steps[3] == 100 && steps[4] == 1000);
    free(steps);
    assert_true(bfm_checkpoint_prune(root, 2, 9, &error));
    assert_true(bfm_checkpoint_list(root, &steps, &count, &error));
    assert_true(count == 3 && steps[0] == 9 && steps[1] == 100 && steps[2] == 1000);
    free(steps);
    assert_false(bfm_path_exists(scratch_path(*state, "ckpt/2000.tmp")) || bfm_path_exists(scratch_path(*state, "ckpt/3000.old")));
    for (int i = 2; i < 8; i++) { /* what is not ours stays */
        char name[64];
        (void)snprintf(name, sizeof name, "ckpt/%s", OTHERS[i]);
        assert_true(bfm_path_exists(scratch_path(*state, name)));
    }
    BfmCheckpoint *checkpoint = bfm_checkpoint_latest(root, &skipped, &error);
    assert_is_step(checkpoint, 1000);
    assert_int_equal(skipped, 0);
    bfm_checkpoint_close(checkpoint);
}

static void damage_is_named_and_passed_over(void **state)
{
    static const char *const FILES[] = {"model.safetensors", "state.safetensors", "meta.json"};
    const char *root = scratch_path(*state, "ckpt");
    BfmError error = {0};
    assert_true(write_step(root, 1, &error));
    for (int f = 0; f < 3; f++)
        for (int how = 0; how < 3; how++) {
            char name[64];
            BfmMappedFile good;
            assert_true(write_step(root, 2, &error));
            (void)snprintf(name, sizeof name, "ckpt/2/%s", FILES[f]);
            assert_true(bfm_mapped_file_open(&good, scratch_path(*state, name), NULL));
            size_t size = good.size;
            unsigned char *copy = malloc(size);
            memcpy(copy, good.data, size);
            bfm_mapped_file_close(&good);
            copy[size / 2] ^= how == 0; /* a changed byte, a truncated file, a missing one */
            assert_int_equal(unlink(scratch_path(*state, name)), 0);
            if (how < 2)
                (void)scratch_write(*state, name, copy, how == 0 ? size : size / 2);
            free(copy);
            BfmCheckpoint *checkpoint = bfm_checkpoint_open(scratch_path(*state, "ckpt/2"), &error);
            if (f == 2 && how == 0) { /* a changed meta.json may still be sound JSON; it must never crash */
                bfm_checkpoint_close(checkpoint);
                continue;
            }
            assert_null(checkpoint);
            assert_non_null(strstr(error.message, FILES[f]));
            int64_t skipped;
            checkpoint = bfm_checkpoint_latest(root, &skipped, &error);
            assert_is_step(checkpoint, 1);
            assert_int_equal(skipped, 1);
            bfm_checkpoint_close(checkpoint);
        }
}

static void differences_are_named(void **state)
{
    (void)state;
    const BfmCheckpointMeta a = {.step = 7, .seed = 1, .model_hash = 2, .recipe_hash = 3, .data_hash = 4};
    BfmCheckpointMeta b = a;
    BfmError error = {0};
    b.step = 9;
    assert_true(bfm_checkpoint_same_training(&a, &b, &error));
    b.data_hash = b.recipe_hash = 0;
    assert_false(bfm_checkpoint_same_training(&a, &b, &error));
    assert_non_null(strstr(error.message, "step 7 was made with another recipe, data;"));
    b.seed = b.model_hash = 0;
    assert_false(bfm_checkpoint_same_training(&a, &b, &error));
    assert_non_null(strstr(error.message, "another model, recipe, data, seed;"));
}

static void loading_names_the_tensor(void **state)
{
    const char *root = scratch_path(*state, "ckpt");
    BfmError error = {0};
    assert_true(write_step(root, 1, &error));
    BfmCheckpoint *checkpoint = bfm_checkpoint_latest(root, NULL, &error);
    static float w[WIDTH];
    int32_t steps;
    BfmTensorTarget targets[] = {{"layer_0.w", BFM_DTYPE_F32, 2, {10, WIDTH / 10}, w}, {"layer_0.b", BFM_DTYPE_F32, 1, {1}, w}, {"steps", BFM_DTYPE_I32, 0, {0}, &steps}};
    assert_false(bfm_safetensors_load(checkpoint->model, targets, 1, &error));
    assert_non_null(strstr(error.message, "\"layer_0.w\": expected shape [10, 500], found [500, 10]"));
    assert_false(bfm_safetensors_load(checkpoint->model, targets + 1, 1, &error));
    assert_non_null(strstr(error.message, "\"layer_0.b\" [1] is missing"));
    assert_false(bfm_safetensors_load(checkpoint->model, targets, 0, &error));
    assert_non_null(strstr(error.message, "\"layer_0.w\" is in the file"));
    assert_false(bfm_safetensors_load(checkpoint->state, targets + 2, 1, &error));
    assert_non_null(strstr(error.message, "\"steps\": expected dtype I32, found I64"));
    bfm_checkpoint_close(checkpoint);
}

/* A writer killed at any moment leaves only whole checkpoints under finished names. */
static void killed_writers_leave_whole_checkpoints(void **state)
{
    const char *root = scratch_path(*state, "ckpt");
    assert_true(write_step(root, 0, NULL));
    for (int round = 0; round < 25; round++) {
        pid_t child = fork();
        if (child == 0) {
            for (int64_t step = 0;; step = (step + 1) % 8)
                if (!write_step(root, step, NULL) || !bfm_checkpoint_prune(root, 3, -1, NULL))
                    _exit(1);
        }
        nanosleep(&(struct timespec){0, 3000000 + round * 1700000L}, NULL);
        int status = 0;
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status)); /* it did not fail by itself */
        int64_t *steps, count;
        assert_true(bfm_checkpoint_list(root, &steps, &count, NULL));
        assert_true(count > 0);
        for (int64_t i = 0; i < count; i++) {
            BfmError error = {0};
            char *path = bfm_checkpoint_path(root, steps[i], NULL);
            BfmCheckpoint *checkpoint = bfm_checkpoint_open(path, &error);
            if (!checkpoint)
                fail_msg("round %d: %s", round, error.message);
            assert_is_step(checkpoint, steps[i]);
            bfm_checkpoint_close(checkpoint);
            free(path);
        }
        free(steps);
    }
}

static void failed_writes_keep_the_old_file(void **state)
{
    static char big[1 << 20];
    const char *path = scratch_path(*state, "file");
    BfmError error = {0};
    assert_true(bfm_atomic_write(path, "old", 3, &error));
    struct rlimit limit, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 4096; /* the disk is full */
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    bool written = bfm_atomic_write(path, big, sizeof big, &error);
    bool checkpointed = write_step(scratch_path(*state, "ckpt"), 1, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    (void)signal(SIGXFSZ, handler);
    assert_false(written || checkpointed);
    assert_int_equal(error.kind, BFM_ERROR_ENVIRONMENT);
    assert_int_equal(rmdir(scratch_path(*state, "ckpt")), 0); /* empty */
    BfmMappedFile file;
    assert_true(bfm_mapped_file_open(&file, path, NULL));
    assert_true(file.size == 3 && memcmp(file.data, "old", 3) == 0);
    bfm_mapped_file_close(&file);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(((Scratch *)*state)->folder), 0); /* no temporary either */
    assert_int_equal(mkdir(((Scratch *)*state)->folder, 0777), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(checkpoint_reads_back, setup, teardown),           cmocka_unit_test_setup_teardown(list_and_prune, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_named_and_passed_over, setup, teardown), cmocka_unit_test(differences_are_named),
        cmocka_unit_test_setup_teardown(loading_names_the_tensor, setup, teardown),        cmocka_unit_test_setup_teardown(killed_writers_leave_whole_checkpoints, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_writes_keep_the_old_file, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
