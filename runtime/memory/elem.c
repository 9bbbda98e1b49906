#include "bfm/elem.h"

#include <math.h>
#include <string.h>

typedef struct ElemRow {
    const char *name;
    size_t bytes;
} ElemRow;

static const ElemRow ROWS[BFM_ELEM_COUNT] = {
#define BFM_ELEM(constant, name, bytes) [BFM_ELEM_##constant] = {name, bytes},
#include "bfm/elems.def"
#undef BFM_ELEM
};

const char *bfm_elem_name(BfmElem elem) { return ROWS[elem].name; }

size_t bfm_elem_bytes(BfmElem elem, int64_t count) { return ROWS[elem].bytes * (size_t)count; }

static double from_bf16(uint16_t bits)
{
    const uint32_t whole = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &whole, sizeof value);
    return (double)value;
}

/* From the number itself, not by way of f32, which would round twice. */
static uint16_t to_bf16(double value)
{
    float near = (float)value;
    uint32_t bits;
    memcpy(&bits, &near, sizeof bits);
    if (isnan(value))
        return (uint16_t)(bits >> 16 | 0x40);
    const double error = isinf(near) ? 0 : value - (double)near;
    const uint32_t half = bits & 0xFFFF;
    const int beyond = half == 0x8000 ? (signbit(value) ? error < 0 : error > 0) : 0, before = half == 0x8000 ? (signbit(value) ? error > 0 : error < 0) : 0;
    const uint32_t up = half > 0x8000 || beyond || (half == 0x8000 && !before && (bits >> 16 & 1));
    return (uint16_t)((bits >> 16) + up);
}

static int32_t to_index(double value)
{
    const double near = nearbyint(value);
    return near >= 0 && near <= (double)INT32_MAX ? (int32_t)near : -1;
}

double bfm_elem_load(BfmElem elem, const void *memory, int64_t index)
{
    switch (elem) {
    case BFM_ELEM_F32: return (double)((const float *)memory)[index];
    case BFM_ELEM_I32: return (double)((const int32_t *)memory)[index];
    case BFM_ELEM_F64: return ((const double *)memory)[index];
    case BFM_ELEM_BF16: return from_bf16(((const uint16_t *)memory)[index]);
    case BFM_ELEM_COUNT: break;
    }
    return (double)NAN;
}

void bfm_elem_store(BfmElem elem, void *memory, int64_t index, double value)
{
    switch (elem) {
    case BFM_ELEM_F32: ((float *)memory)[index] = (float)value; return;
    case BFM_ELEM_I32: ((int32_t *)memory)[index] = to_index(value); return;
    case BFM_ELEM_F64: ((double *)memory)[index] = value; return;
    case BFM_ELEM_BF16: ((uint16_t *)memory)[index] = to_bf16(value); return;
    case BFM_ELEM_COUNT: return;
    }
}
