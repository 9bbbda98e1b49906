/* A shared object: its table, its plan and its functions are those of the JIT, and run without the compiler. */
#include "bfm/model.h"
#include "codegen/aot.h"
#include "codegen/compile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* y[l] = 2*x[l] + 1, a result */
static void make_unit(Program *program, Interner *interner)
{
    Unit *unit = unit_new(program, intern(interner, "u"));
    program->main = unit;
    Dim l = dim_symbol(program->dims, DIM_L);
    int x = unit_formal(unit, intern(interner, "x"), T_REAL, TENSOR_INPUT, 1, &l, NULL);
    int y = unit_tensor(unit, intern(interner, "y"), T_REAL, TENSOR_LOCAL, 1, &l, NULL);
    OpBuilder ob = op_begin(unit, OP_NEST);
    int i = op_index(&ob, intern(interner, "i"), l);
    int twice = expr_op(&ob, EXPR_MUL, expr_read(&ob, access_indices(program, x, 1, &i)), expr_const(&ob, 2), -1);
    ob.op.body = expr_op(&ob, EXPR_ADD, twice, expr_const(&ob, 1), -1);
    ob.op.out = access_indices(program, y, 1, &i);
    op_finish(&ob);
    unit_output(unit, intern(interner, "y"), OUTPUT_RESULT, y);
}

static void run_entry(const BfmModelEntry *entry)
{
    BfmError error = {0};
    BfmInstance *instance = bfm_instance_new(entry->plan, (const BfmFunction *)entry->functions, NULL, &error);
    if (!instance)
        fail_msg("%s", error.message);
    int64_t symbols[BFM_PLAN_SYMBOLS] = {1, 37, 0};
    float *x = aligned_alloc(64, 64 * sizeof *x);
    for (int i = 0; i < 37; i++)
        x[i] = (float)i;
    bfm_instance_set_formal(instance, 0, x);
    assert_true(bfm_instance_bind(instance, symbols, &error));
    if (!bfm_instance_run(instance, 1, 1, &error))
        fail_msg("%s", error.message);
    const float *y = bfm_instance_output(instance, 0);
    for (int i = 0; i < 37; i++)
        assert_true(y[i] == (float)(2 * i + 1));
    bfm_instance_free(instance);
    free(x);
}

static void test_shared(void **state)
{
    (void)state;
    char folder[] = "/tmp/bfm-test-aot-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/libm.so", folder);
    Arena *arena = arena_new();
    Interner *interner = interner_new();
    Program *program = program_new(arena, interner);
    make_unit(program, interner);
    BfmError error = {0};
    const Compiled *compiled = compile_unit(arena, NULL, program, program->main, NULL, NULL, &error);
    assert_non_null(compiled);
    AotEntry entries[2] = {{"forward", compiled->plan, compiled->codegen}, {"again", compiled->plan, compiled->codegen}};
    AotOptions options = {.prefix = "tiny", .description = "{\"name\": \"tiny\"}", .cache = ""};
    if (!aot_write_shared(path, &options, entries, 2, &error))
        fail_msg("%s", error.message);
    void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
    if (!library)
        fail_msg("%s", dlerror());
    const BfmModel *model = dlsym(library, "tiny_model");
    assert_non_null(model);
    assert_non_null(dlsym(library, "tiny_forward"));
    assert_null(dlsym(library, codegen_symbol(compiled->codegen, 0))); /* kernels are private */
    assert_string_equal(model->magic, BFM_MODEL_MAGIC);
    assert_int_equal(model->version, BFM_MODEL_VERSION);
    assert_int_equal(model->entry_count, 2);
    assert_string_equal(model->description, "{\"name\": \"tiny\"}");
    assert_string_equal(model->entries[1].name, "again");
    assert_int_equal(model->entries[0].plan_bytes, compiled->plan_bytes);
    assert_memory_equal(model->entries[0].plan, compiled->plan, compiled->plan_bytes);
    run_entry(&model->entries[0]);
    assert_int_equal(dlclose(library), 0);
    options.libraries = (const char *const[]){"-lno-such-library", NULL};
    assert_int_equal(unlink(path), 0);
    assert_false(aot_write_shared(path, &options, entries, 1, &error));
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(rmdir(folder), 0); /* nothing half-written is left */
    arena_free(arena);
    interner_free(interner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shared)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
