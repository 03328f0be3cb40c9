/* Quantisers by the plain rule of each format: one pass for the largest (or smallest and largest)
 * element, then every element to the nearest level. For finite input of ordinary size the bytes are
 * those that every other writer of these formats makes. Where it is known how much each element
 * matters, the scale is searched for instead, beginning with the plain rule's.
 *
 * Input from a broken file may hold NaN, infinity, or sizes that the half-precision scale cannot
 * reach: NaN becomes 0, the rest saturates, and what is written always decodes to finite numbers.
 */
#include "quant/quant_search.h"

#include <math.h>

void quant_enc_f32(const float *src, const float *by, void *dst, int64_t k) {
    (void)by;
    memcpy(dst, src, (size_t)k * sizeof *src);
}

void quant_enc_f16(const float *src, const float *by, void *dst, int64_t k) {
    (void)by;
    uint8_t *p = dst;
    for (int64_t i = 0; i < k; i++) quant_store_u16(p + 2 * i, quant_f32_to_f16(src[i]));
}

void quant_enc_bf16(const float *src, const float *by, void *dst, int64_t k) {
    (void)by;
    uint8_t *p = dst;
    for (int64_t i = 0; i < k; i++) quant_store_u16(p + 2 * i, quant_f32_to_bf16(src[i]));
}

void quant_tame(const float *src, float *dst, int n) {
    for (int i = 0; i < n; i++) {
        float x = src[i];
        dst[i] = x != x ? 0.0f : fminf(fmaxf(x, -QUANT_TAME_MAX), QUANT_TAME_MAX);
    }
}

uint16_t quant_scale_f16(float d) {
    return quant_f32_to_f16(fminf(fmaxf(d, -65504.0f), 65504.0f));
}

/* 1/d, or 0 where it is not finite: then d is too small for the half that is stored, too. */
static float inverse(float d) {
    float id = d != 0.0f ? 1.0f / d : 0.0f;
    return isfinite(id) ? id : 0.0f;
}

static int clamp_int(float x, int lo, int hi) {
    return x <= (float)lo ? lo : x >= (float)hi ? hi : (int)x;
}

/* The element of largest magnitude, with its sign; the first of equals. */
static float extreme_of(const float *x, int n) {
    float best = 0.0f, extreme = 0.0f;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > best) {
            best = fabsf(x[i]);
            extreme = x[i];
        }
    return extreme;
}

static void range_of(const float *x, int n, float *lo, float *hi) {
    *lo = *hi = x[0];
    for (int i = 1; i < n; i++) {
        if (x[i] < *lo) *lo = x[i];
        if (x[i] > *hi) *hi = x[i];
    }
}

static void pack_nibbles(uint8_t *qs, const uint8_t *q) {
    for (int j = 0; j < 16; j++) qs[j] = (uint8_t)((q[j] & 15) | (q[j + 16] & 15) << 4);
}

static void pack_fifth_bits(uint8_t *qh, const uint8_t *q) {
    memset(qh, 0, 4);
    for (int e = 0; e < 32; e++) qh[e / 8] = (uint8_t)(qh[e / 8] | (q[e] >> 4) << (e % 8));
}

/* Levels -half..half-1 with the extreme element at -half exactly; returns the scale. */
static float levels_signed(const float *x, int half, uint8_t *q) {
    float d = extreme_of(x, 32) / (float)-half, id = inverse(d);
    for (int e = 0; e < 32; e++)
        q[e] = (uint8_t)clamp_int(x[e] * id + ((float)half + 0.5f), 0, 2 * half - 1);
    return d;
}

/* Levels 0..top from the smallest element to the largest; returns the scale. */
static float levels_from_min(const float *x, int top, uint8_t *q, float *min) {
    float max;
    range_of(x, 32, min, &max);
    float d = (max - *min) / (float)top, id = inverse(d);
    for (int e = 0; e < 32; e++) q[e] = (uint8_t)clamp_int((x[e] - *min) * id + 0.5f, 0, top);
    return d;
}

/* ---- by importance ---- */

static const int8_t whole_levels[32] = {-16, -15, -14, -13, -12, -11, -10, -9, -8, -7, -6,
                                        -5,  -4,  -3,  -2,  -1,  0,   1,   2,  3,  4,  5,
                                        6,   7,   8,   9,   10,  11,  12,  13, 14, 15};
static const quant_book book_16 = {whole_levels + 8, 16, true, 0.2f, 1.4f};
static const quant_book book_32 = {whole_levels, 32, true, 0.2f, 1.4f};

/* As levels_signed, for the scale that loses least. */
static float levels_signed_by(const quant_book *book, const float *x, const float *by, uint8_t *q) {
    float w[32], amax = quant_amax(x, 32);
    memset(q, book->n / 2, 32);
    if (amax < QUANT_NOTHING) return 0.0f;
    quant_weigh(x, by, 32, amax, w);
    float d = quant_f16_to_f32(quant_scale_f16(quant_fit_scale(book, 32, x, w)));
    quant_encode_at(book, 32, x, d, q);
    return d;
}

/* As levels_from_min. The search knows no minimum above 0; where the plain rule loses less, it
 * stands. */
static float levels_from_min_by(const float *x, int top, const float *by, uint8_t *q, float *min) {
    float w[32], amax = quant_amax(x, 32), d = levels_from_min(x, top, q, min), s, m;
    if (amax < QUANT_NOTHING) return d;
    quant_weigh(x, by, 32, amax, w);
    quant_fit_affine(top, 32, x, w, &s, &m);
    d = quant_f16_to_f32(quant_scale_f16(d));
    s = quant_f16_to_f32(quant_scale_f16(s));
    m = quant_f16_to_f32(quant_scale_f16(m));
    float plain_m = -quant_f16_to_f32(quant_scale_f16(*min));
    if (!(quant_affine_miss(top, 32, x, w, s, m) < quant_affine_miss(top, 32, x, w, d, plain_m)))
        return d;
    quant_affine_encode(top, 32, x, s, m, q);
    *min = -m;
    return s;
}

/* ---- the types ---- */

void quant_enc_q4_0(const float *src, const float *by, void *dst, int64_t k) {
    uint8_t *b = dst, q[32];
    float x[32];
    for (int64_t i = 0; i < k; i += 32, b += 18) {
        quant_tame(src + i, x, 32);
        float d = by ? levels_signed_by(&book_16, x, by + i, q) : levels_signed(x, 8, q);
        quant_store_u16(b, quant_scale_f16(d));
        pack_nibbles(b + 2, q);
    }
}

void quant_enc_q5_0(const float *src, const float *by, void *dst, int64_t k) {
    uint8_t *b = dst, q[32];
    float x[32];
    for (int64_t i = 0; i < k; i += 32, b += 22) {
        quant_tame(src + i, x, 32);
        float d = by ? levels_signed_by(&book_32, x, by + i, q) : levels_signed(x, 16, q);
        quant_store_u16(b, quant_scale_f16(d));
        pack_fifth_bits(b + 2, q);
        pack_nibbles(b + 6, q);
    }
}

void quant_enc_q4_1(const float *src, const float *by, void *dst, int64_t k) {
    uint8_t *b = dst, q[32];
    float x[32], min;
    for (int64_t i = 0; i < k; i += 32, b += 20) {
        quant_tame(src + i, x, 32);
        float d = by ? levels_from_min_by(x, 15, by + i, q, &min) : levels_from_min(x, 15, q, &min);
        quant_store_u16(b, quant_scale_f16(d));
        quant_store_u16(b + 2, quant_scale_f16(min));
        pack_nibbles(b + 4, q);
    }
}

void quant_enc_q5_1(const float *src, const float *by, void *dst, int64_t k) {
    uint8_t *b = dst, q[32];
    float x[32], min;
    for (int64_t i = 0; i < k; i += 32, b += 24) {
        quant_tame(src + i, x, 32);
        float d = by ? levels_from_min_by(x, 31, by + i, q, &min) : levels_from_min(x, 31, q, &min);
        quant_store_u16(b, quant_scale_f16(d));
        quant_store_u16(b + 2, quant_scale_f16(min));
        pack_fifth_bits(b + 4, q);
        pack_nibbles(b + 8, q);
    }
}

/* Halves round away from zero, as the format's writers do. */
void quant_enc_q8_0(const float *src, const float *by, void *dst, int64_t k) {
    (void)by;
    uint8_t *b = dst;
    float x[32];
    for (int64_t i = 0; i < k; i += 32, b += 34) {
        quant_tame(src + i, x, 32);
        float d = fabsf(extreme_of(x, 32)) / 127.0f, id = inverse(d);
        quant_store_u16(b, quant_scale_f16(d));
        for (int e = 0; e < 32; e++) {
            float q = roundf(x[e] * id);
            b[2 + e] = (uint8_t)(int8_t)clamp_int(q, -127, 127);
        }
    }
}
