#include "checkpoint/tensor.h"

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
#include "checkpoint/dtypes.def"
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
        for (int64_t i = 0; i < count; i++)
            out[i] = (float)element_f64(tensor->dtype, tensor->data, i);
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
