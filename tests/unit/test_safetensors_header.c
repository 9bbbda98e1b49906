/* Headers of safetensors files against jansson: thousands of damaged ones, of which both accept the same, with the same content. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the headers it needs */
#include <cmocka.h>

#include "file/safetensors_header.h"
#include "rng/rng.h"
#include "scratch.h"

#include <jansson.h>

enum { DATA_BYTES = 24, ROOM = 1024, ROUNDS = 60000 };

static const char *const GOOD[] = {
    "{\"w\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},\"b\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[16,24]}}",
    "{\"__metadata__\":{\"format\":\"pt\",\"\":\"\\u00e9\\ud83d\\ude00\\\"\\/\\n\"},\"a\":{\"shape\":[24],\"data_offsets\":[0,24],\"dtype\":\"U8\"}}   ",
    " { \"x\\u0041\" : { \"data_offsets\" : [ 8 , 24 ] , \"dtype\" : \"I64\" , \"shape\" : [ 1 , 2 , 1 ] } ,\n\"xA.\":{\"dtype\":\"BF16\",\"shape\":[4],\"data_offsets\":[0,8]}}",
    "{\"empty\":{\"dtype\":\"F16\",\"shape\":[0,3],\"data_offsets\":[24,24]},\"\xC3\xBC\":{\"dtype\":\"I8\",\"shape\":[8,3],\"data_offsets\":[0,24]},\"__metadata__\":{}}",
};

typedef struct Bytes {
    char data[ROOM];
    size_t length;
} Bytes;

static uint32_t draw(BfmRng rng, uint64_t *index, size_t below) { return bfm_rng_u32(rng, (*index)++) % (uint32_t)below; }

static void replace(Bytes *text, size_t at, size_t dropped, const char *with, size_t length)
{
    memmove(text->data + at + length, text->data + at + dropped, text->length - at - dropped);
    memcpy(text->data + at, with, length);
    text->length += length - dropped;
}

static void damage(Bytes *text, BfmRng rng, uint64_t *index)
{
    static const char *const PARTS[] = {"{",
                                        "}",
                                        "[",
                                        "]",
                                        "\"",
                                        ",",
                                        ":",
                                        "\\",
                                        "\\u0041",
                                        "\\ud83d",
                                        "\\ude00",
                                        "\\u0000",
                                        "0",
                                        "1",
                                        "-",
                                        "-0",
                                        "01",
                                        "1.0",
                                        "2e0",
                                        "1E+1",
                                        ".5",
                                        "null",
                                        "true",
                                        " ",
                                        "\t",
                                        "\n",
                                        "\x01",
                                        "\x7F",
                                        "\xC3",
                                        "\xED\xA0\x80",
                                        "\xF4\x90\x80\x80",
                                        "\xF0\x9F\x98\x80",
                                        "9223372036854775807",
                                        "9223372036854775808",
                                        "-9223372036854775808",
                                        "-9223372036854775809",
                                        "\"dtype\"",
                                        "\"w\"",
                                        "\"b\"",
                                        "\"a\":\"b\",",
                                        "\"F32\"",
                                        "//",
                                        "8",
                                        "16",
                                        "24",
                                        ",0",
                                        "\\x",
                                        "\\/"};
    enum { PART_COUNT = sizeof PARTS / sizeof *PARTS };
    const size_t at = draw(rng, index, text->length + 1), left = text->length - at;
    const char *part = PARTS[draw(rng, index, PART_COUNT)];
    size_t span = left ? 1 + draw(rng, index, left < 12 ? left : 12) : 0;
    switch (draw(rng, index, 5)) {
    case 0: replace(text, at, 0, part, strlen(part)); break;
    case 1: replace(text, at, left > 0, part, strlen(part)); break;
    case 2: replace(text, at, span, "", 0); break;
    case 3: {
        char copy[12];
        memcpy(copy, text->data + at, span);
        replace(text, draw(rng, index, text->length + 1), 0, copy, span);
        break;
    }
    default:
        if (left > 0)
            text->data[at] ^= (char)(1 << draw(rng, index, 8));
    }
}

/* ---- what the format says, of jansson's tree ---- */

static bool whole(const json_t *list, size_t count, int64_t *values)
{
    bool good = json_is_array(list) && json_array_size(list) <= count;
    for (size_t i = 0; good && i < json_array_size(list); i++) {
        good = json_is_integer(json_array_get(list, i));
        values[i] = json_integer_value(json_array_get(list, i));
    }
    return good;
}

static bool tensor_good(const json_t *item, int64_t offsets[2])
{
    int64_t shape[BFM_TENSOR_MAX_RANK];
    const json_t *list = json_object_get(item, "shape");
    BfmDtype dtype;
    if (!json_is_object(item) || json_object_size(item) != 3 || !json_is_string(json_object_get(item, "dtype")) ||
        !bfm_dtype_find(json_string_value(json_object_get(item, "dtype")), &dtype) || !whole(list, BFM_TENSOR_MAX_RANK, shape) ||
        !whole(json_object_get(item, "data_offsets"), 2, offsets) || json_array_size(json_object_get(item, "data_offsets")) != 2)
        return false;
    long double bytes = (long double)bfm_dtype_bytes(dtype);
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (shape[i] < 0)
            return false;
        bytes *= (long double)shape[i];
    }
    return offsets[0] >= 0 && offsets[0] <= offsets[1] && offsets[1] <= DATA_BYTES && bytes == (long double)(offsets[1] - offsets[0]);
}

static bool covered_once(int64_t (*offsets)[2], size_t count)
{
    int times[DATA_BYTES] = {0};
    for (size_t i = 0; i < count; i++) {
        for (int64_t b = offsets[i][0]; b < offsets[i][1]; b++)
            times[b]++;
        for (size_t k = 0; k < count; k++)
            if (offsets[i][0] > offsets[k][0] && offsets[i][0] < offsets[k][1])
                return false;
    }
    for (int b = 0; b < DATA_BYTES; b++)
        if (times[b] != 1)
            return false;
    return true;
}

static bool header_good(json_t *header)
{
    int64_t offsets[ROOM][2];
    size_t count = 0;
    const char *key, *name;
    json_t *item, *value;
    bool good = json_is_object(header);
    json_object_foreach(header, key, item)
    {
        if (strcmp(key, "__metadata__") != 0)
            good = good && tensor_good(item, offsets[count++]);
        else
            good = good && json_is_object(item);
        if (strcmp(key, "__metadata__") == 0)
            json_object_foreach(item, name, value) good = good && json_is_string(value);
    }
    return good && covered_once(offsets, count);
}

static void same_content(const SafetensorsHeader *header, json_t *tree)
{
    const json_t *metadata = json_object_get(tree, "__metadata__");
    assert_int_equal(header->count + (metadata != NULL), json_object_size(tree));
    assert_int_equal(header->metadata_count, json_object_size(metadata));
    for (int64_t i = 0; i < header->metadata_count; i++)
        assert_string_equal(header->metadata[i].value, json_string_value(json_object_get(metadata, header->metadata[i].key)));
    for (int64_t i = 0; i < header->count; i++) {
        const SafetensorsEntry *entry = &header->entries[i];
        const json_t *item = json_object_get(tree, entry->tensor.name), *shape = json_object_get(item, "shape");
        assert_non_null(item);
        assert_ptr_equal(safetensors_header_find(header, entry->tensor.name), entry);
        assert_string_equal(bfm_dtype_name(entry->tensor.dtype), json_string_value(json_object_get(item, "dtype")));
        assert_int_equal(entry->begin, json_integer_value(json_array_get(json_object_get(item, "data_offsets"), 0)));
        assert_int_equal(entry->tensor.rank, json_array_size(shape));
        for (int32_t d = 0; d < entry->tensor.rank; d++)
            assert_int_equal(entry->tensor.shape[d], json_integer_value(json_array_get(shape, (size_t)d)));
    }
}

static void damaged_headers(void **state)
{
    (void)state;
    const BfmRng rng = bfm_rng_init(1, 2, 3);
    uint64_t index = 0;
    int accepted = 0;
    for (int round = 0; round < ROUNDS; round++) {
        Bytes text;
        const char *good = GOOD[round % 4];
        text.length = strlen(good);
        memcpy(text.data, good, text.length);
        for (int times = round < 4 ? 0 : 1 + (round / 4) % 2; times > 0; times--)
            damage(&text, rng, &index);
        char *exact = malloc(text.length + 1); /* its own end, which the sanitizers watch */
        memcpy(exact, text.data, text.length);
        exact = realloc(exact, text.length ? text.length : 1);
        SafetensorsHeader header;
        BfmError error = {0};
        const bool read = safetensors_header_read(&header, "f", exact, text.length, DATA_BYTES, &error);
        json_t *tree = memchr(exact, '\0', text.length) ? NULL : json_loadb(exact, text.length, JSON_REJECT_DUPLICATES, NULL); /* which passes over some NULs */
        if (read != (tree && header_good(tree)))
            fail_msg("round %d: %s by us, not by jansson: %.*s\n%s", round, read ? "accepted" : "refused", (int)text.length, exact, error.message);
        assert_true(read || (error.kind == BFM_ERROR_INPUT && strncmp(error.message, "f: ", 3) == 0));
        if (read)
            same_content(&header, tree);
        accepted += read;
        safetensors_header_deinit(&header);
        json_decref(tree);
        free(exact);
    }
    if (accepted < ROUNDS / 100 || accepted > ROUNDS / 2)
        fail_msg("%d of %d accepted: the damage is too large or too small", accepted, ROUNDS);
}

/* What is written is what jansson would write of the same tree. */
static void written_header(void **state)
{
    (void)state;
    static const char KEY[] = "quote \" slash / back \\ \b\f\n\r\t \x01\x1F\x7F \xC3\xBC \xF0\x9F\x98\x80";
    const float zeros[6] = {0};
    const BfmTensor tensors[] = {{KEY, BFM_DTYPE_F32, 2, {2, 3}, zeros}, {"", BFM_DTYPE_U8, 0, {0}, zeros}};
    const BfmMetadata metadata[] = {{"format", KEY}, {KEY, ""}};
    json_t *tree = json_pack("{s:{s:s, s:s}, s:{s:s, s:[i, i], s:[i, i]}, s:{s:s, s:[], s:[i, i]}}", "__metadata__", "format", KEY, KEY, "", KEY, "dtype", "F32", "shape", 2, 3,
                             "data_offsets", 0, 24, "", "dtype", "U8", "shape", "data_offsets", 24, 25);
    char *expected = json_dumps(tree, JSON_COMPACT);
    Scratch scratch;
    scratch_init(&scratch);
    const char *path = scratch_path(&scratch, "w.safetensors");
    BfmMappedFile file;
    assert_non_null(expected);
    assert_true(bfm_safetensors_write(path, tensors, 2, metadata, 2, NULL, NULL));
    assert_true(bfm_mapped_file_open(&file, path, NULL));
    assert_memory_equal(file.data + 8, expected, strlen(expected));
    assert_int_equal(file.size, 8 + (strlen(expected) + 7) / 8 * 8 + 25);
    bfm_mapped_file_close(&file);
    assert_true(bfm_safetensors_write(path, NULL, 0, NULL, 0, NULL, NULL));
    assert_true(bfm_mapped_file_open(&file, path, NULL));
    assert_memory_equal(file.data, "\x08\0\0\0\0\0\0\0{}      ", 16);
    bfm_mapped_file_close(&file);
    scratch_deinit(&scratch);
    free(expected);
    json_decref(tree);
}

/* Many names, some of them again. */
static void names_of_a_writer(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    Scratch scratch;
    scratch_init(&scratch);
    BfmSafetensorsWriter *writer = bfm_safetensors_writer_new(scratch_path(&scratch, "n.safetensors"), NULL);
    for (int i = 0; i < COUNT; i++) {
        char name[32], again[32];
        (void)snprintf(name, sizeof name, "block_%d.\"w\"", i);
        (void)snprintf(again, sizeof again, "block_%d.\"w\"", i / 2);
        const BfmTensor tensor = {name, BFM_DTYPE_F32, 1, {0}, NULL}, other = {again, BFM_DTYPE_U8, 1, {0}, NULL}, reserved = {"__metadata__", BFM_DTYPE_U8, 1, {0}, NULL},
                        broken = {"\xC3", BFM_DTYPE_U8, 1, {0}, NULL};
        assert_true(bfm_safetensors_writer_declare(writer, &tensor, NULL));
        assert_false(bfm_safetensors_writer_declare(writer, &other, NULL));
        assert_false(bfm_safetensors_writer_declare(writer, &reserved, NULL));
        assert_false(bfm_safetensors_writer_declare(writer, &broken, NULL));
    }
    assert_true(bfm_safetensors_writer_finish(writer, NULL, NULL));
    bfm_safetensors_writer_free(writer);
    BfmSafetensors *file = bfm_safetensors_open(scratch_path(&scratch, "n.safetensors"), NULL);
    assert_non_null(file);
    assert_int_equal(bfm_safetensors_count(file), COUNT);
    assert_non_null(bfm_safetensors_get(file, "block_4999.\"w\""));
    bfm_safetensors_close(file);
    scratch_deinit(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(damaged_headers), cmocka_unit_test(written_header), cmocka_unit_test(names_of_a_writer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
