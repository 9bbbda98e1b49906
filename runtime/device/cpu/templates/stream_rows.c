/* What a stream does with one row of a tile. The loops are written for the vectoriser, sixteen lanes at a time, so that the order of a sum is fixed
   by the columns and the same on every CPU. */
#include "device/cpu/templates/stream.h"

#include <math.h>
#include <string.h>

enum { LANES = 16 };

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define BFM_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define BFM_CLONES
#endif

/* exp to about 1 ulp (range reduction and polynomial as in Cephes' expf): 0 below -87.3, NaN stays. */
static inline __attribute__((always_inline)) float exp_lane(float x)
{
    const float clipped = x < -87.3f ? -87.3f : x > 88.0f ? 88.0f : x;
    const float shifted = clipped * 1.44269504088896341f + 12582912.0f; /* 1.5 * 2^23: the integer lies in the low bits */
    const float n = shifted - 12582912.0f;
    const float r = clipped - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    union {
        float f;
        uint32_t u;
    } bits = {shifted}, scale;
    scale.u = (bits.u << 23) + 0x3f800000u;
    const float y = p * scale.f;
    return x < -87.3f ? 0.0f : y;
}

BFM_CLONES float stream_row_max(const float *row, int64_t n)
{
    float lanes[LANES];
    for (int l = 0; l < LANES; l++)
        lanes[l] = -INFINITY;
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (int l = 0; l < LANES; l++)
            lanes[l] = row[j + l] > lanes[l] ? row[j + l] : lanes[l];
    for (int l = 0; j + l < n; l++)
        lanes[l] = row[j + l] > lanes[l] ? row[j + l] : lanes[l];
    float largest = lanes[0];
    for (int l = 1; l < LANES; l++)
        largest = lanes[l] > largest ? lanes[l] : largest;
    return largest;
}

BFM_CLONES float stream_row_exp(float *out, const float *row, int64_t n, float max)
{
    float lanes[LANES] = {0}, last[LANES];
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) {
        for (int l = 0; l < LANES; l++) {
            const float e = exp_lane(row[j + l] - max);
            out[j + l] = e;
            lanes[l] += e;
        }
    }
    if (j < n) {
        for (int l = 0; l < LANES; l++)
            last[l] = -INFINITY;
        memcpy(last, row + j, (size_t)(n - j) * sizeof *last);
        for (int l = 0; l < LANES; l++) {
            last[l] = exp_lane(last[l] - max);
            lanes[l] += last[l];
        }
        memcpy(out + j, last, (size_t)(n - j) * sizeof *last);
    }
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            lanes[l] += lanes[l + half];
    return lanes[0];
}

BFM_CLONES void stream_row_probabilities(float *out, const float *row, int64_t n, float max, float log)
{
    for (int64_t j = 0; j < n; j++)
        out[j] = exp_lane(row[j] - max - log);
}

void stream_row_scale(float *row, int64_t n, int64_t stride, float factor)
{
    if (stride == 1) {
        for (int64_t i = 0; i < n; i++)
            row[i] *= factor;
        return;
    }
    for (int64_t i = 0; i < n; i++)
        row[i * stride] *= factor;
}

BFM_CLONES void stream_row_add(float *restrict to, const float *restrict row, int64_t n)
{
    for (int64_t j = 0; j < n; j++)
        to[j] += row[j];
}

BFM_CLONES float stream_row_sum(const float *row, int64_t n)
{
    float lanes[LANES] = {0};
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES)
        for (int l = 0; l < LANES; l++)
            lanes[l] += row[j + l];
    for (int l = 0; j + l < n; l++)
        lanes[l] += row[j + l];
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            lanes[l] += lanes[l + half];
    return lanes[0];
}
