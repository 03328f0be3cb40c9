/* K-quants: the search does the thinking, this file packs its result. Layouts are told at the
 * dequantisers, quant_decode.c.
 */
#include "quant/quant_search.h"

static const int8_t levels_3[8] = {-4, -3, -2, -1, 0, 1, 2, 3};
static const int8_t levels_6[64] = {-32, -31, -30, -29, -28, -27, -26, -25, -24, -23, -22, -21, -20,
                                    -19, -18, -17, -16, -15, -14, -13, -12, -11, -10, -9,  -8,  -7,
                                    -6,  -5,  -4,  -3,  -2,  -1,  0,   1,   2,   3,   4,   5,   6,
                                    7,   8,   9,   10,  11,  12,  13,  14,  15,  16,  17,  18,  19,
                                    20,  21,  22,  23,  24,  25,  26,  27,  28,  29,  30,  31};
static const quant_book book_3 = {levels_3, 8, true, 0.1f, 0.9f};
static const quant_book book_6 = {levels_6, 64, true, 0.2f, 1.0f};

/* The inverse of two_bits in quant_decode.c. */
static void pack_two_bits(uint8_t *qs, const uint8_t *code) {
    memset(qs, 0, 64);
    for (int e = 0; e < QUANT_K; e++) {
        int half = e / 128, quarter = e % 128 / 32;
        uint8_t *p = &qs[32 * half + e % 32];
        *p = (uint8_t)(*p | (code[e] & 3) << (2 * quarter));
    }
}

/* The inverse of quant_k4_scale_min, all eight at once. */
static void pack_k4_scales(uint8_t sc[12], const uint8_t *scale, const uint8_t *min) {
    for (int j = 0; j < 4; j++) {
        sc[j] = (uint8_t)(scale[j] | (scale[j + 4] >> 4) << 6);
        sc[j + 4] = (uint8_t)(min[j] | (min[j + 4] >> 4) << 6);
        sc[j + 8] = (uint8_t)((scale[j + 4] & 15) | (min[j + 4] & 15) << 4);
    }
}

static void pack_k4_nibbles(uint8_t *qs, const uint8_t *code) {
    for (int p = 0; p < 4; p++)
        for (int l = 0; l < 32; l++)
            qs[32 * p + l] = (uint8_t)((code[64 * p + l] & 15) | (code[64 * p + 32 + l] & 15) << 4);
}

void quant_enc_q2_k(const float *src, const float *by, void *dst, int64_t k) {
    uint8_t *b = dst;
    float x[QUANT_K];
    quant_affine_super q;
    for (int64_t i = 0; i < k; i += QUANT_K, b += 84) {
        quant_tame(src + i, x, QUANT_K);
        quant_fit_affine_super(3, 16, 15, x, by ? by + i : NULL, &q);
        for (int s = 0; s < 16; s++) b[s] = (uint8_t)(q.scale[s] | q.min[s] << 4);
        pack_two_bits(b + 16, q.code);
        quant_store_u16(b + 80, q.d);
        quant_store_u16(b + 82, q.dmin);
    }
}

void quant_enc_q3_k(const float *src, const float *by, void *dst, int64_t k) {
    uint8_t *b = dst;
    float x[QUANT_K];
    quant_super q;
    for (int64_t i = 0; i < k; i += QUANT_K, b += 110) {
        quant_tame(src + i, x, QUANT_K);
        quant_fit_super(&book_3, 16, -32, x, by ? by + i : NULL, &q);
        memset(b, 0, 110);
        for (int e = 0; e < QUANT_K; e++)
            b[e % 32] = (uint8_t)(b[e % 32] | (q.code[e] >> 2) << (e / 32));
        pack_two_bits(b + 32, q.code);
        for (int s = 0; s < 16; s++) {
            int scale = q.scale[s] + 32;
            uint8_t *low = &b[96 + s % 8], *high = &b[96 + 8 + s % 4];
            *low = (uint8_t)(*low | (scale & 15) << (s < 8 ? 0 : 4));
            *high = (uint8_t)(*high | (scale >> 4) << (2 * (s / 4)));
        }
        quant_store_u16(b + 108, q.d);
    }
}

void quant_enc_q4_k(const float *src, const float *by, void *dst, int64_t k) {
    uint8_t *b = dst;
    float x[QUANT_K];
    quant_affine_super q;
    for (int64_t i = 0; i < k; i += QUANT_K, b += 144) {
        quant_tame(src + i, x, QUANT_K);
        quant_fit_affine_super(15, 32, 63, x, by ? by + i : NULL, &q);
        quant_store_u16(b, q.d);
        quant_store_u16(b + 2, q.dmin);
        pack_k4_scales(b + 4, q.scale, q.min);
        pack_k4_nibbles(b + 16, q.code);
    }
}

void quant_enc_q5_k(const float *src, const float *by, void *dst, int64_t k) {
    uint8_t *b = dst;
    float x[QUANT_K];
    quant_affine_super q;
    for (int64_t i = 0; i < k; i += QUANT_K, b += 176) {
        quant_tame(src + i, x, QUANT_K);
        quant_fit_affine_super(31, 32, 63, x, by ? by + i : NULL, &q);
        quant_store_u16(b, q.d);
        quant_store_u16(b + 2, q.dmin);
        pack_k4_scales(b + 4, q.scale, q.min);
        memset(b + 16, 0, 32);
        for (int e = 0; e < QUANT_K; e++)
            b[16 + e % 32] = (uint8_t)(b[16 + e % 32] | (q.code[e] >> 4) << (e / 32));
        pack_k4_nibbles(b + 48, q.code);
    }
}

void quant_enc_q6_k(const float *src, const float *by, void *dst, int64_t k) {
    uint8_t *b = dst;
    float x[QUANT_K];
    quant_super q;
    for (int64_t i = 0; i < k; i += QUANT_K, b += 210) {
        quant_tame(src + i, x, QUANT_K);
        quant_fit_super(&book_6, 16, -128, x, by ? by + i : NULL, &q);
        memset(b, 0, 192);
        for (int e = 0; e < QUANT_K; e++) {
            int half = e / 128, quarter = e % 128 / 32, l = e % 32;
            uint8_t *low = &b[64 * half + 32 * (quarter % 2) + l], *high = &b[128 + 32 * half + l];
            *low = (uint8_t)(*low | (q.code[e] & 15) << (4 * (quarter / 2)));
            *high = (uint8_t)(*high | (q.code[e] >> 4) << (2 * quarter));
        }
        for (int s = 0; s < 16; s++) b[192 + s] = (uint8_t)q.scale[s];
        quant_store_u16(b + 208, q.d);
    }
}
