/* safetensors and .npy files: what is written reads back; what is hostile is refused with a message that names the tensor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the headers it needs */
#include <cmocka.h>

#include "file/npy.h"
#include "file/safetensors.h"
#include "scratch.h"

#include <float.h>
#include <math.h>
#include <sys/stat.h>

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

static void written_tensors_read_back(void **state)
{
    Scratch *scratch = *state;
    const float a[6] = {1, -2, 3.5f, INFINITY, 0, -0.0f};
    const double b[1] = {1e-300};
    const int64_t c[2] = {INT64_MIN, INT64_MAX};
    const uint8_t d[3] = {0, 128, 255};
    const BfmTensor tensors[] = {
        {"z.byte", BFM_DTYPE_U8, 1, {3}, d},  {"layer_0.w", BFM_DTYPE_F32, 2, {2, 3}, a},  {"scalar", BFM_DTYPE_F64, 0, {0}, b},
        {"counts", BFM_DTYPE_I64, 1, {2}, c}, {"none", BFM_DTYPE_F32, 3, {4, 0, 2}, NULL}, {"ü \"quoted\"", BFM_DTYPE_U8, 1, {3}, d},
    };
    const BfmMetadata metadata[] = {{"format", "bfm"}, {"step", "12"}};
    BfmError error = {0};
    uint64_t hash = 0;
    const char *path = scratch_path(scratch, "a.safetensors");
    assert_true(bfm_safetensors_write(path, tensors, 6, metadata, 2, &hash, &error));
    BfmSafetensors *file = bfm_safetensors_open(path, &error);
    assert_non_null(file);
    assert_int_equal(bfm_safetensors_count(file), 6);
    assert_string_equal(bfm_safetensors_at(file, 0)->name, "counts");
    assert_string_equal(bfm_safetensors_metadata(file, "step"), "12");
    assert_null(bfm_safetensors_metadata(file, "absent"));
    const BfmTensor *w = bfm_safetensors_get(file, "layer_0.w");
    assert_non_null(w);
    assert_int_equal((uintptr_t)w->data % sizeof(float), 0);
    assert_memory_equal(w->data, a, sizeof a);
    assert_memory_equal(bfm_safetensors_get(file, "counts")->data, c, sizeof c);
    assert_memory_equal(bfm_safetensors_get(file, "ü \"quoted\"")->data, d, sizeof d);
    assert_int_equal(bfm_safetensors_get(file, "scalar")->rank, 0);
    assert_null(bfm_safetensors_get(file, "layer_0"));
    float floats[6];
    assert_true(bfm_tensor_read_f32(w, floats, &error));
    assert_memory_equal(floats, a, sizeof a);
    bfm_safetensors_close(file);
    /* the order in which tensors are handed over does not show in the file */
    BfmTensor reversed[6];
    for (int i = 0; i < 6; i++)
        reversed[i] = tensors[5 - i];
    uint64_t again = 0;
    assert_true(bfm_safetensors_write(path, reversed, 6, metadata, 2, &again, &error));
    assert_true(hash == again);
}

static void small_floats_convert(void **state)
{
    (void)state;
    const uint16_t half[6] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x7c00, 0x8000}, brain[2] = {0x3f80, 0xc040};
    const BfmTensor f16 = {"h", BFM_DTYPE_F16, 1, {6}, half}, bf16 = {"b", BFM_DTYPE_BF16, 1, {2}, brain}, f8 = {"q", BFM_DTYPE_F8_E4M3, 1, {1}, half};
    double values[6];
    float narrow[2];
    BfmError error = {0};
    assert_true(bfm_tensor_read_f64(&f16, values, &error));
    assert_true(values[0] == 1 && values[1] == -2 && values[2] == 65504 && values[3] == 0x1p-24 && isinf(values[4]) && signbit(values[5]));
    assert_true(bfm_tensor_read_f32(&bf16, narrow, &error));
    assert_true(narrow[0] == 1 && narrow[1] == -3);
    assert_false(bfm_tensor_read_f32(&f8, narrow, &error));
    assert_non_null(strstr(error.message, "F8_E4M3"));
}

/* Numbers that are not finite, at any place of any type; the largest finite ones are none. */
static void bad_numbers_are_found(void **state)
{
    (void)state;
    enum { COUNT = 2500 };
    static float f32[COUNT];
    static double f64[COUNT];
    static uint16_t f16[COUNT], bf16[COUNT];
    static int32_t whole[COUNT];
    const BfmTensor tensors[] = {{"a", BFM_DTYPE_F32, 2, {50, 50}, f32},
                                 {"b", BFM_DTYPE_F64, 1, {COUNT}, f64},
                                 {"c", BFM_DTYPE_F16, 1, {COUNT}, f16},
                                 {"d", BFM_DTYPE_BF16, 3, {5, 5, 100}, bf16},
                                 {"e", BFM_DTYPE_I32, 1, {COUNT}, whole}};
    for (int i = 0; i < COUNT; i++)
        f32[i] = i % 2 ? FLT_MAX : -FLT_MAX, f64[i] = i % 2 ? DBL_MAX : -DBL_MAX, f16[i] = i % 2 ? 0x7bff : 0xfbff, bf16[i] = i % 2 ? 0x7f7f : 0xff7f, whole[i] = -1;
    for (int t = 0; t < 5; t++)
        assert_int_equal(bfm_tensor_first_bad(&tensors[t]), -1);
    static const int PLACES[] = {0, 1, 1023, 1024, 2047, 2499};
    for (size_t p = 0; p < sizeof PLACES / sizeof *PLACES; p++) {
        const int i = PLACES[p];
        const float narrow = f32[i];
        const double wide = f64[i];
        const uint16_t half = f16[i], brain = bf16[i];
        f32[i] = i % 2 ? NAN : -INFINITY, f64[i] = i % 2 ? (double)INFINITY : -(double)NAN, f16[i] = i % 2 ? 0x7c00 : 0xfe00, bf16[i] = i % 2 ? 0xff80 : 0x7f81;
        for (int t = 0; t < 4; t++)
            assert_int_equal(bfm_tensor_first_bad(&tensors[t]), i);
        f32[i] = narrow, f64[i] = wide, f16[i] = half, bf16[i] = brain;
    }
    BfmError error = {0};
    f32[2075] = -INFINITY;
    assert_false(bfm_tensor_finite(&tensors[0], "x.safetensors", &error));
    assert_non_null(strstr(error.message, "x.safetensors: tensor \"a\" is -inf at [41, 25]"));
    static float narrow[COUNT];
    assert_false(bfm_tensor_read_f32(&tensors[1], narrow, &error)); /* finite, but not in f32 */
    assert_non_null(strstr(error.message, "F32"));
    const BfmTensor none = {"n", BFM_DTYPE_F32, 2, {0, 7}, NULL}, scalar = {"s", BFM_DTYPE_F32, 0, {0}, &f32[2075]};
    assert_int_equal(bfm_tensor_first_bad(&none), -1);
    assert_int_equal(bfm_tensor_first_bad(&scalar), 0);
}

typedef struct Hostile {
    const char *header; /* JSON as is */
    size_t data_bytes;
    const char *expected; /* part of the message */
} Hostile;

static const Hostile HOSTILE[] = {
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, "\"w\" claims the bytes 0 to 8"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 12, "cover 8 bytes of data, but 12"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, "\"w\": F32 [3] does not fit the 8 bytes"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "\"w\" claims"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, "\"w\" claims"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "\"w\": expected every dimension"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0, "does not fit"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,8]}}", 8, "not JSON"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2.5],\"data_offsets\":[0,8]}}", 8, "\"w\": expected every dimension"},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8, "\"w\": expected \"shape\""},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8, "9 dimensions"},
    {"{\"w\":{\"dtype\":\"Q7\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "\"w\" has the unknown dtype \"Q7\""},
    {"{\"w\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "\"w\": expected \"dtype\""},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8, "\"w\": expected \"data_offsets\""},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":{\"a\":0}}}", 8, "\"w\": expected \"data_offsets\""},
    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "\"w\": expected exactly the fields"},
    {"{\"w\":[1,2]}", 8, "\"w\": expected exactly the fields"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, "\"a\" and \"b\" overlap at byte 4"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[12,16]}}", 16,
     "\"b\": expected it to start at byte 8"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "twice"},
    {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__ \"a\""},
    {"{\"__metadata__\":[]}", 0, "__metadata__"},
    {"[]", 0, "JSON object"},
    {"{\"w\":", 0, "not JSON"},
    {"", 0, "not JSON"},
    {"{\"a\\u0000b\":1}", 0, "not JSON"},
};

static void hostile_headers_are_refused(void **state)
{
    unsigned char bytes[512];
    for (size_t i = 0; i < sizeof HOSTILE / sizeof *HOSTILE; i++) {
        uint64_t length = strlen(HOSTILE[i].header);
        memset(bytes, 0, sizeof bytes);
        memcpy(bytes, &length, 8);
        memcpy(bytes + 8, HOSTILE[i].header, length);
        const char *path = scratch_write(*state, "hostile.safetensors", bytes, 8 + length + HOSTILE[i].data_bytes);
        BfmError error = {0};
        assert_null(bfm_safetensors_open(path, &error));
        assert_int_equal(error.kind, BFM_ERROR_INPUT);
        if (!strstr(error.message, HOSTILE[i].expected) || !strstr(error.message, path))
            fail_msg("case %zu: expected '%s' in: %s", i, HOSTILE[i].expected, error.message);
    }
}

static void hostile_lengths_are_refused(void **state)
{
    static const uint64_t LENGTHS[] = {1, 100, 100000000, 100000001, UINT64_MAX, UINT64_MAX - 7, (uint64_t)INT64_MAX + 1};
    BfmError error = {0};
    assert_null(bfm_safetensors_open(scratch_path(*state, "absent"), &error));
    assert_non_null(strstr(error.message, "absent"));
    assert_int_equal(error.kind, BFM_ERROR_INPUT);
    assert_null(bfm_safetensors_open(((Scratch *)*state)->folder, &error));
    assert_non_null(strstr(error.message, "a folder"));
    for (size_t size = 0; size < 8; size++)
        assert_null(bfm_safetensors_open(scratch_write(*state, "short", "\2\0\0\0\0\0\0\0", size), &error));
    for (size_t i = 0; i < sizeof LENGTHS / sizeof *LENGTHS; i++)
        assert_null(bfm_safetensors_open(scratch_write(*state, "long", &LENGTHS[i], 8), &error));
}

/* Every prefix and every single changed byte of a good file either opens with sane tensors or is refused; the sanitizers watch. */
static void damaged_files_never_escape(void **state)
{
    const float w[4] = {1, 2, 3, 4};
    const BfmTensor tensors[] = {{"w", BFM_DTYPE_F32, 2, {2, 2}, w}, {"g", BFM_DTYPE_F32, 1, {4}, w}};
    const char *path = scratch_path(*state, "good.safetensors");
    assert_true(bfm_safetensors_write(path, tensors, 2, NULL, 0, NULL, NULL));
    BfmMappedFile good;
    assert_true(bfm_mapped_file_open(&good, path, NULL));
    unsigned char *copy = malloc(good.size);
    for (size_t i = 0; i < 2 * good.size; i++) {
        memcpy(copy, good.data, good.size);
        if (i >= good.size)
            copy[i - good.size] ^= (unsigned char)(1 + i % 255);
        BfmError error;
        BfmSafetensors *file = bfm_safetensors_open(scratch_write(*state, "bad", copy, i < good.size ? i : good.size), &error);
        float sum = 0, values[64];
        for (int64_t k = 0; file && k < bfm_safetensors_count(file); k++)
            if (bfm_tensor_read_f32(bfm_safetensors_at(file, k), values, &error))
                sum += values[0];
        assert_true(i >= good.size || !file);
        (void)sum;
        bfm_safetensors_close(file);
    }
    free(copy);
    bfm_mapped_file_close(&good);
}

static void expectations_name_the_tensor(void **state)
{
    const float w[4] = {1, 2, 3, 4};
    const BfmTensor tensor = {"block.w", BFM_DTYPE_F32, 2, {2, 2}, w};
    const char *path = scratch_path(*state, "w.safetensors");
    BfmError error = {0};
    assert_true(bfm_safetensors_write(path, &tensor, 1, NULL, 0, NULL, &error));
    BfmSafetensors *file = bfm_safetensors_open(path, &error);
    assert_non_null(bfm_safetensors_expect(file, "block.w", 2, (const int64_t[]){2, 2}, &error));
    assert_null(bfm_safetensors_expect(file, "block.w", 2, (const int64_t[]){2, 3}, &error));
    assert_non_null(strstr(error.message, "expected shape [2, 3], found [2, 2]"));
    assert_null(bfm_safetensors_expect(file, "block.v", 1, (const int64_t[]){2}, &error));
    assert_non_null(strstr(error.message, "\"block.v\" [2] is missing; the file holds block.w"));
    assert_true(bfm_safetensors_expect_only(file, (const char *const[]){"x", "block.w"}, 2, &error));
    assert_false(bfm_safetensors_expect_only(file, (const char *const[]){"x"}, 1, &error));
    assert_non_null(strstr(error.message, "block.w"));
    bfm_safetensors_close(file);
}

static void unfinished_writer_leaves_nothing(void **state)
{
    const BfmTensor tensor = {"w", BFM_DTYPE_F32, 1, {2}, NULL};
    const char *path = scratch_path(*state, "partial/w.safetensors");
    BfmError error = {0};
    assert_null(bfm_safetensors_writer_new(path, &error)); /* no such folder */
    assert_int_equal(error.kind, BFM_ERROR_INPUT);
    assert_true(bfm_directory_make(scratch_path(*state, "partial"), &error));
    BfmSafetensorsWriter *writer = bfm_safetensors_writer_new(path, &error);
    assert_true(bfm_safetensors_writer_declare(writer, &tensor, &error));
    assert_false(bfm_safetensors_writer_declare(writer, &tensor, &error));
    assert_true(bfm_safetensors_writer_append(writer, "1234", 4, &error));
    assert_false(bfm_safetensors_writer_append(writer, "12345", 5, &error));
    assert_false(bfm_safetensors_writer_finish(writer, NULL, &error));
    assert_false(bfm_path_exists(path));
    bfm_safetensors_writer_free(writer);
    assert_int_equal(rmdir(scratch_path(*state, "partial")), 0); /* empty: the temporary is gone */
}

static const char *npy_write_raw(Scratch *scratch, const char *header, const void *data, size_t bytes)
{
    unsigned char file[512] = "\x93NUMPY\1";
    size_t length = strlen(header);
    file[8] = (unsigned char)length;
    memcpy(file + 10, header, length);
    memcpy(file + 10 + length, data, bytes);
    return scratch_write(scratch, "t.npy", file, 10 + length + bytes);
}

static void npy_tokens_read(void **state)
{
    const int32_t ids[6] = {1, 2, 3, 4, 5, 6};
    const BfmTensor tensor = {"", BFM_DTYPE_I32, 2, {2, 3}, ids};
    BfmNpyTokens tokens;
    BfmError error = {0};
    const char *path = scratch_path(*state, "w.npy");
    assert_true(bfm_npy_write(path, &tensor, &error));
    struct stat status;
    assert_true(stat(path, &status) == 0 && (size_t)status.st_size == 128 + sizeof ids);
    assert_true(bfm_npy_read_tokens(path, 7, &tokens, &error));
    assert_true(tokens.rows == 2 && tokens.columns == 3);
    assert_memory_equal(tokens.data, ids, sizeof ids);
    bfm_npy_tokens_deinit(&tokens);
    assert_false(bfm_npy_read_tokens(path, 6, &tokens, &error));
    assert_non_null(strstr(error.message, "token [1, 2] is 6; expected 0 to 5, or -1 for padding"));
    const int64_t wide[2] = {3, -1};
    path = npy_write_raw(*state, "{ \"shape\":(1, 2 ), 'fortran_order' : False,\"descr\":\"<i8\"}\n", wide, sizeof wide);
    assert_true(bfm_npy_read_tokens(path, 0, &tokens, &error));
    assert_true(tokens.data[0] == 3 && tokens.data[1] == -1);
    bfm_npy_tokens_deinit(&tokens);
}

static void npy_hostile_is_refused(void **state)
{
    static const char *const HEADERS[][2] = {
        {"{'descr': '<i4', 'fortran_order': True, 'shape': (1, 2), }", "Fortran"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }", "'<f4'"},
        {"{'descr': '>i4', 'fortran_order': False, 'shape': (1, 2), }", "'>i4'"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }", "found [2]"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (2), }", "header"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (2, 1), }", "found [2, 1]"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (0, 2), }", "found [0, 2]"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (1, 3), }", "truncated or damaged"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", "truncated or damaged"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (99999999999999999999, 4), }", "header"},
        {"{'descr': '<i4', 'fortran_order': False, 'shape': (-1, 2), }", "header"},
        {"{'descr': '<i4', 'shape': (1, 2), }", "header"},
        {"{'descr': '<i4', 'descr': '<i4', 'fortran_order': False, 'shape': (1, 2), }", "header"},
        {"{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (1, 2), }", "header"},
        {"{'descr': '<i4", "header"},
        {"", "header"},
    };
    const int32_t ids[2] = {1, 2};
    BfmNpyTokens tokens;
    for (size_t i = 0; i < sizeof HEADERS / sizeof *HEADERS; i++) {
        BfmError error = {0};
        assert_false(bfm_npy_read_tokens(npy_write_raw(*state, HEADERS[i][0], ids, sizeof ids), 0, &tokens, &error));
        if (!strstr(error.message, HEADERS[i][1]))
            fail_msg("case %zu: expected '%s' in: %s", i, HEADERS[i][1], error.message);
        assert_null(tokens.data);
    }
    for (size_t size = 0; size < 12; size++)
        assert_false(bfm_npy_read_tokens(scratch_write(*state, "short.npy", "\x93NUMPY\1\0\xff\0{}", size), 0, &tokens, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(written_tensors_read_back, setup, teardown),
        cmocka_unit_test_setup_teardown(small_floats_convert, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_numbers_are_found, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_headers_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile_lengths_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_files_never_escape, setup, teardown),
        cmocka_unit_test_setup_teardown(expectations_name_the_tensor, setup, teardown),
        cmocka_unit_test_setup_teardown(unfinished_writer_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(npy_tokens_read, setup, teardown),
        cmocka_unit_test_setup_teardown(npy_hostile_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
