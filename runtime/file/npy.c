#include "file/npy.h"

#include "file/atomic_file.h"
#include "file/file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char MAGIC[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};
static const char *const DESCRIPTORS[BFM_DTYPE_COUNT] = {
#define BFM_DTYPE(constant, name, bytes, npy) [BFM_DTYPE_##constant] = npy,
#include "file/dtypes.def"
#undef BFM_DTYPE
};

enum { PREFIX_BYTES = 8, ALIGNMENT = 64, DESCRIPTOR_TEXT = 16 };

/* The header is a Python literal: {'descr': '<i4', 'fortran_order': False, 'shape': (2, 25), } with any order of keys and any spaces. */
typedef struct Header {
    char descriptor[DESCRIPTOR_TEXT];
    bool fortran, has_descriptor, has_order, has_shape;
    int32_t rank;
    int64_t shape[BFM_TENSOR_MAX_RANK];
} Header;

typedef struct Scanner {
    const char *at, *end;
} Scanner;

static void skip_spaces(Scanner *scanner)
{
    while (scanner->at < scanner->end && strchr(" \t\r\n", *scanner->at) && *scanner->at)
        scanner->at++;
}

static bool accept(Scanner *scanner, const char *text)
{
    skip_spaces(scanner);
    size_t length = strlen(text);
    if ((size_t)(scanner->end - scanner->at) < length || memcmp(scanner->at, text, length) != 0)
        return false;
    scanner->at += length;
    return true;
}

static bool peek(Scanner *scanner, char c)
{
    skip_spaces(scanner);
    return scanner->at < scanner->end && *scanner->at == c;
}

static bool scan_string(Scanner *scanner, char text[DESCRIPTOR_TEXT])
{
    skip_spaces(scanner);
    if (scanner->at == scanner->end || (*scanner->at != '\'' && *scanner->at != '"'))
        return false;
    char quote = *scanner->at++;
    const char *close = memchr(scanner->at, quote, (size_t)(scanner->end - scanner->at));
    if (!close || close - scanner->at >= DESCRIPTOR_TEXT)
        return false;
    size_t length = (size_t)(close - scanner->at);
    memcpy(text, scanner->at, length);
    text[length] = '\0';
    scanner->at = close + 1;
    return true;
}

static bool scan_integer(Scanner *scanner, int64_t *value)
{
    skip_spaces(scanner);
    const char *start = scanner->at;
    *value = 0;
    for (; scanner->at < scanner->end && *scanner->at >= '0' && *scanner->at <= '9'; scanner->at++)
        if (__builtin_mul_overflow(*value, (int64_t)10, value) || __builtin_add_overflow(*value, (int64_t)(*scanner->at - '0'), value))
            return false;
    return scanner->at > start;
}

static bool scan_shape(Scanner *scanner, Header *header)
{
    if (!accept(scanner, "("))
        return false;
    while (!accept(scanner, ")")) {
        if (header->rank == BFM_TENSOR_MAX_RANK || !scan_integer(scanner, &header->shape[header->rank]))
            return false;
        header->rank++;
        if (!accept(scanner, ",") && (header->rank == 1 || !peek(scanner, ')'))) /* "(5)" is a number, "(5,)" a shape */
            return false;
    }
    return true;
}

static bool scan_field(Scanner *scanner, Header *header)
{
    char key[DESCRIPTOR_TEXT];
    if (!scan_string(scanner, key) || !accept(scanner, ":"))
        return false;
    if (strcmp(key, "descr") == 0 && !header->has_descriptor)
        return header->has_descriptor = scan_string(scanner, header->descriptor);
    if (strcmp(key, "fortran_order") == 0 && !header->has_order) {
        header->fortran = accept(scanner, "True");
        return header->has_order = header->fortran || accept(scanner, "False");
    }
    if (strcmp(key, "shape") == 0 && !header->has_shape)
        return header->has_shape = scan_shape(scanner, header);
    return false;
}

static bool scan_header(Scanner *scanner, Header *header)
{
    if (!accept(scanner, "{"))
        return false;
    while (!accept(scanner, "}")) {
        if (!scan_field(scanner, header))
            return false;
        if (!accept(scanner, ",")) {
            if (!accept(scanner, "}"))
                return false;
            break;
        }
    }
    skip_spaces(scanner);
    return scanner->at == scanner->end && header->has_descriptor && header->has_order && header->has_shape;
}

/* Finds the header and where the data starts. */
static bool read_header(const BfmMappedFile *file, const char *path, Header *header, size_t *start, BfmError *error)
{
    if (file->size < PREFIX_BYTES + 2 || memcmp(file->data, MAGIC, sizeof MAGIC) != 0)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: no .npy file: it does not begin as one; write it with numpy.save", path);
    unsigned version = file->data[6];
    if (version < 1 || version > 3)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: .npy format version %u; expected 1, 2 or 3", path, version);
    size_t width = version == 1 ? 2 : 4;
    uint32_t length = 0;
    if (file->size >= PREFIX_BYTES + width)
        memcpy(&length, file->data + PREFIX_BYTES, width);
    if (file->size < PREFIX_BYTES + width || length > file->size - PREFIX_BYTES - width)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: truncated in its header; copy or write it again", path);
    const char *text = (const char *)file->data + PREFIX_BYTES + width;
    Scanner scanner = {text, text + length};
    if (!scan_header(&scanner, header))
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: the .npy header is not one that numpy.save writes for a plain array", path);
    *start = PREFIX_BYTES + width + length;
    return true;
}

static bool check_layout(const BfmMappedFile *file, const char *path, const Header *header, size_t start, size_t *width, BfmError *error)
{
    char shape[BFM_SHAPE_TEXT];
    bool i4 = strcmp(header->descriptor, "<i4") == 0, i8 = strcmp(header->descriptor, "<i8") == 0;
    if (!i4 && !i8)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: expected little-endian int32 or int64 tokens, found dtype '%s'; convert with array.astype('<i4')", path,
                             header->descriptor);
    if (header->rank != 2 || header->shape[0] < 1 || header->shape[1] < 2)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: expected tokens of shape [b, l + 1] with b >= 1 and l >= 1, found %s", path,
                             bfm_shape_text(header->rank, header->shape, shape));
    if (header->fortran)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: expected C order, found Fortran order; convert with numpy.ascontiguousarray", path);
    *width = i4 ? 4 : 8;
    int64_t count, bytes;
    if (!bfm_shape_count(2, header->shape, &count) || __builtin_mul_overflow(count, (int64_t)*width, &bytes) || (uint64_t)bytes != file->size - start)
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: the shape %s needs other than the %zu byte%s of data found; the file is truncated or damaged", path,
                             bfm_shape_text(2, header->shape, shape), file->size - start, bfm_plural((long long)(file->size - start)));
    return true;
}

static bool copy_tokens(const unsigned char *data, size_t width, const char *path, int64_t vocab, BfmNpyTokens *tokens, BfmError *error)
{
    int64_t limit = vocab > 0 ? vocab : (int64_t)INT32_MAX + 1;
    for (int64_t i = 0; i < tokens->rows * tokens->columns; i++) {
        int64_t value = 0;
        memcpy(&value, data + (size_t)i * width, width);
        if (width == sizeof(int32_t))
            value = (int32_t)value; /* its sign */
        if (value < -1 || value >= limit)
            return bfm_error_set(error, BFM_ERROR_INPUT, "%s: token [%" PRId64 ", %" PRId64 "] is %" PRId64 "; expected 0 to %" PRId64 ", or -1 for padding", path,
                                 i / tokens->columns, i % tokens->columns, value, limit - 1);
        tokens->data[i] = (int32_t)value;
    }
    return true;
}

bool bfm_npy_read_tokens(const char *path, int64_t vocab, BfmNpyTokens *tokens, BfmError *error)
{
    *tokens = (BfmNpyTokens){0};
    BfmMappedFile file;
    if (!bfm_mapped_file_open(&file, path, error))
        return false;
    Header header = {0};
    size_t start = 0, width = 0;
    bool read = read_header(&file, path, &header, &start, error) && check_layout(&file, path, &header, start, &width, error);
    if (read) {
        tokens->rows = header.shape[0];
        tokens->columns = header.shape[1];
        tokens->data = malloc((size_t)(tokens->rows * tokens->columns) * sizeof *tokens->data);
        read = tokens->data ? copy_tokens(file.data + start, width, path, vocab, tokens, error) : bfm_error_set(error, BFM_ERROR_ENVIRONMENT, "%s: out of memory", path);
    }
    bfm_mapped_file_close(&file);
    if (!read)
        bfm_npy_tokens_deinit(tokens);
    return read;
}

void bfm_npy_tokens_deinit(BfmNpyTokens *tokens)
{
    free(tokens->data);
    *tokens = (BfmNpyTokens){0};
}

bool bfm_npy_write(const char *path, const BfmTensor *tensor, BfmError *error)
{
    int64_t bytes;
    if (!*DESCRIPTORS[tensor->dtype] || !bfm_tensor_bytes(tensor, &bytes))
        return bfm_error_set(error, BFM_ERROR_INPUT, "%s: a tensor of dtype %s cannot be written as .npy", path, bfm_dtype_name(tensor->dtype));
    char text[BFM_SHAPE_TEXT + 2 * ALIGNMENT];
    int length = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (", DESCRIPTORS[tensor->dtype]);
    for (int32_t i = 0; i < tensor->rank; i++)
        length += snprintf(text + length, sizeof text - (size_t)length, "%" PRId64 "%s", tensor->shape[i], tensor->rank == 1 || i + 1 < tensor->rank ? "," : "");
    length += snprintf(text + length, sizeof text - (size_t)length, "), }");
    /* spaces and a newline, so that the data starts at a multiple of 64 */
    int total = (PREFIX_BYTES + 2 + length + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT - PREFIX_BYTES - 2;
    unsigned char prefix[PREFIX_BYTES + 2] = {[6] = 1, [8] = (unsigned char)(total & 255), [9] = (unsigned char)(total >> 8)};
    memcpy(prefix, MAGIC, sizeof MAGIC);
    BfmAtomicFile file;
    bool written = bfm_atomic_file_open(&file, path, error) && bfm_atomic_file_write(&file, prefix, sizeof prefix, error);
    if (written) {
        (void)fprintf(file.stream, "%s%*s\n", text, total - length - 1, "");
        written = bfm_atomic_file_write(&file, tensor->data, (size_t)bytes, error) && bfm_atomic_file_commit(&file, error);
    }
    bfm_atomic_file_discard(&file);
    return written;
}
