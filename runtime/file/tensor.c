#include "file/tensor.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the file formats are little endian and read in place; a big-endian machine needs byte swaps here"
#endif

typedef struct DtypeRow {
    const char *name;
    size_t bytes;
} DtypeRow;

static const DtypeRow DTYPES[BFM_DTYPE_COUNT] = {
#define BFM_DTYPE(constant, name, bytes, npy) [BFM_DTYPE_##constant] = {name, bytes},
#include "file/dtypes.def"
#undef BFM_DTYPE
};

const char *bfm_dtype_name(BfmDtype dtype) { return DTYPES[dtype].name; }

size_t bfm_dtype_bytes(BfmDtype dtype) { return DTYPES[dtype].bytes; }

bool bfm_dtype_find(const char *name, BfmDtype *dtype)
{
    for (int i = 0; i < BFM_DTYPE_COUNT; i++)
        if (strcmp(DTYPES[i].name, name) == 0) {
            *dtype = (BfmDtype)i;
            return true;
        }
    return false;
}

BfmDtype bfm_elem_dtype(BfmElem elem)
{
    static const BfmDtype OF[BFM_ELEM_COUNT] = {[BFM_ELEM_F32] = BFM_DTYPE_F32, [BFM_ELEM_I32] = BFM_DTYPE_I32, [BFM_ELEM_F64] = BFM_DTYPE_F64, [BFM_ELEM_BF16] = BFM_DTYPE_BF16};
    return OF[elem];
}

bool bfm_shape_count(int32_t rank, const int64_t *shape, int64_t *count)
{
    int64_t product = 1;
    for (int32_t i = 0; i < rank; i++)
        if (shape[i] < 0 || __builtin_mul_overflow(product, shape[i], &product))
            return false;
    *count = product;
    return true;
}

bool bfm_tensor_bytes(const BfmTensor *tensor, int64_t *bytes)
{
    int64_t count = 0;
    return bfm_shape_count(tensor->rank, tensor->shape, &count) && !__builtin_mul_overflow(count, (int64_t)DTYPES[tensor->dtype].bytes, bytes);
}

bool bfm_tensor_same_shape(const BfmTensor *tensor, int32_t rank, const int64_t *shape)
{
    if (tensor->rank != rank)
        return false;
    for (int32_t i = 0; i < rank; i++)
        if (tensor->shape[i] != shape[i])
            return false;
    return true;
}

const char *bfm_shape_text(int32_t rank, const int64_t *shape, char text[BFM_SHAPE_TEXT])
{
    size_t length = 0;
    text[length++] = '[';
    for (int32_t i = 0; i < rank && length < BFM_SHAPE_TEXT - 24; i++)
        length += (size_t)snprintf(text + length, BFM_SHAPE_TEXT - length, "%s%" PRId64, i ? ", " : "", shape[i]);
    text[length++] = ']';
    text[length] = '\0';
    return text;
}

static float bits_f32(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static double half_value(uint16_t bits)
{
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double magnitude;
    if (exponent == 31)
        magnitude = fraction ? (double)NAN : (double)INFINITY;
    else
        magnitude = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return bits & 0x8000 ? -magnitude : magnitude;
}

#define LOAD(type)                                                                                                                                                                 \
    type raw;                                                                                                                                                                      \
    memcpy(&raw, (const char *)data + (size_t)index * sizeof raw, sizeof raw)

/* One element; memcpy because a view into a file need not be aligned. Only dtypes that bfm_tensor_read_* let through. */
static double element_f64(BfmDtype dtype, const void *data, int64_t index)
{
    switch (dtype) {
    case BFM_DTYPE_F64: {
        LOAD(double);
        return raw;
    }
    case BFM_DTYPE_F32: {
        LOAD(float);
        return (double)raw;
    }
    case BFM_DTYPE_F16: {
        LOAD(uint16_t);
        return half_value(raw);
    }
    case BFM_DTYPE_BF16: {
        LOAD(uint16_t);
        return (double)bits_f32((uint32_t)raw << 16);
    }
    case BFM_DTYPE_I64: {
        LOAD(int64_t);
        return (double)raw;
    }
    case BFM_DTYPE_I32: {
        LOAD(int32_t);
        return raw;
    }
    case BFM_DTYPE_I16: {
        LOAD(int16_t);
        return raw;
    }
    case BFM_DTYPE_I8: {
        LOAD(int8_t);
        return raw;
    }
    case BFM_DTYPE_U64: {
        LOAD(uint64_t);
        return (double)raw;
    }
    case BFM_DTYPE_U32: {
        LOAD(uint32_t);
        return raw;
    }
    case BFM_DTYPE_U16: {
        LOAD(uint16_t);
        return raw;
    }
    case BFM_DTYPE_U8:
    case BFM_DTYPE_BOOL: {
        LOAD(uint8_t);
        return raw;
    }
    case BFM_DTYPE_F8_E4M3:
    case BFM_DTYPE_F8_E5M2:
    case BFM_DTYPE_COUNT: break;
    }
    return (double)NAN;
}

static bool readable(const BfmTensor *tensor, int64_t *count, BfmError *error)
{
    if (tensor->dtype == BFM_DTYPE_F8_E4M3 || tensor->dtype == BFM_DTYPE_F8_E5M2)
        return bfm_error_set(error, BFM_ERROR_INPUT, "tensor \"%s\" has dtype %s, which cannot be read as numbers here; convert it to BF16 or F32 first", tensor->name,
                             bfm_dtype_name(tensor->dtype));
    return bfm_shape_count(tensor->rank, tensor->shape, count) || bfm_error_set(error, BFM_ERROR_INPUT, "tensor \"%s\" has an impossible shape", tensor->name);
}

static void copy_bits(void *out, const void *data, size_t bytes)
{
    if (bytes > 0) /* an empty tensor may have no data at all */
        memcpy(out, data, bytes);
}

bool bfm_tensor_read_f32(const BfmTensor *tensor, float *out, BfmError *error)
{
    int64_t count = 0;
    if (!readable(tensor, &count, error))
        return false;
    if (tensor->dtype == BFM_DTYPE_F32)
        copy_bits(out, tensor->data, (size_t)count * sizeof *out); /* bits kept, NaN payloads too */
    else
        for (int64_t i = 0; i < count; i++) {
            const double value = element_f64(tensor->dtype, tensor->data, i);
            out[i] = (float)value;
            if (isinf(out[i]) && isfinite(value))
                return bfm_error_set(error, BFM_ERROR_INPUT, "tensor \"%s\" holds %.9g, which is beyond the numbers of F32", tensor->name, value);
        }
    return true;
}

bool bfm_tensor_read_f64(const BfmTensor *tensor, double *out, BfmError *error)
{
    int64_t count = 0;
    if (!readable(tensor, &count, error))
        return false;
    if (tensor->dtype == BFM_DTYPE_F64)
        copy_bits(out, tensor->data, (size_t)count * sizeof *out);
    else
        for (int64_t i = 0; i < count; i++)
            out[i] = element_f64(tensor->dtype, tensor->data, i);
    return true;
}

bool bfm_tensor_read(const BfmTensor *tensor, BfmElem elem, void *out, BfmError *error)
{
    if (elem != BFM_ELEM_F32 && elem != BFM_ELEM_F64)
        return bfm_error_set(error, BFM_ERROR_BUG, "tensor \"%s\" cannot be read as %s", tensor->name, bfm_elem_name(elem));
    return elem == BFM_ELEM_F32 ? bfm_tensor_read_f32(tensor, out, error) : bfm_tensor_read_f64(tensor, out, error);
}

/* ---- numbers that are not finite: their exponent has all bits set ---- */

enum { CHECKED_ELEMENTS = 1024 };

static bool block_bad_16(const unsigned char *data, int64_t count, uint16_t exponent)
{
    uint16_t highest = 0;
    for (int64_t i = 0; i < count; i++) {
        uint16_t bits;
        memcpy(&bits, data + 2 * i, sizeof bits);
        const uint16_t magnitude = bits & 0x7FFF;
        highest = magnitude > highest ? magnitude : highest;
    }
    return highest >= exponent;
}

static bool block_bad_32(const unsigned char *data, int64_t count)
{
    uint32_t highest = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, data + 4 * i, sizeof bits);
        bits &= UINT32_C(0x7FFFFFFF);
        highest = bits > highest ? bits : highest;
    }
    return highest >= UINT32_C(0x7F800000);
}

static bool block_bad_64(const unsigned char *data, int64_t count)
{
    uint64_t highest = 0;
    for (int64_t i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, data + 8 * i, sizeof bits);
        bits &= UINT64_C(0x7FFFFFFFFFFFFFFF);
        highest = bits > highest ? bits : highest;
    }
    return highest >= UINT64_C(0x7FF0000000000000);
}

static bool block_bad(BfmDtype dtype, const unsigned char *data, int64_t count)
{
    switch ((int)dtype) {
    case BFM_DTYPE_F64: return block_bad_64(data, count);
    case BFM_DTYPE_F32: return block_bad_32(data, count);
    case BFM_DTYPE_F16: return block_bad_16(data, count, 0x7C00);
    case BFM_DTYPE_BF16: return block_bad_16(data, count, 0x7F80);
    default: return false; /* integers; F8 is never read */
    }
}

int64_t bfm_tensor_first_bad(const BfmTensor *tensor)
{
    int64_t count = 0;
    if (!bfm_shape_count(tensor->rank, tensor->shape, &count))
        return -1;
    const size_t bytes = DTYPES[tensor->dtype].bytes;
    for (int64_t start = 0; start < count; start += CHECKED_ELEMENTS) {
        const int64_t size = count - start < CHECKED_ELEMENTS ? count - start : CHECKED_ELEMENTS;
        if (!block_bad(tensor->dtype, (const unsigned char *)tensor->data + (size_t)start * bytes, size))
            continue;
        while (isfinite(element_f64(tensor->dtype, tensor->data, start)))
            start++;
        return start;
    }
    return -1;
}

const char *bfm_tensor_place(const BfmTensor *tensor, int64_t element, char text[BFM_PLACE_TEXT])
{
    int64_t at[BFM_TENSOR_MAX_RANK] = {0};
    char index[BFM_SHAPE_TEXT];
    const double value = element_f64(tensor->dtype, tensor->data, element);
    for (int32_t i = tensor->rank - 1; i >= 0; element /= tensor->shape[i--])
        at[i] = element % tensor->shape[i];
    const char *number = isnan(value) ? "nan" : value < 0 ? "-inf" : "inf";
    (void)(tensor->rank > 0 ? snprintf(text, BFM_PLACE_TEXT, "%s at %s", number, bfm_shape_text(tensor->rank, at, index)) : snprintf(text, BFM_PLACE_TEXT, "%s", number));
    return text;
}

bool bfm_tensor_finite(const BfmTensor *tensor, const char *file, BfmError *error)
{
    char place[BFM_PLACE_TEXT];
    const int64_t bad = bfm_tensor_first_bad(tensor);
    return bad < 0 || bfm_error_set(error, BFM_ERROR_INPUT, "%s%stensor \"%s\" is %s; numbers that are not finite are never used or kept: take another checkpoint",
                                    file ? file : "", file ? ": " : "", tensor->name, bfm_tensor_place(tensor, bad, place));
}
