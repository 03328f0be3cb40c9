/* Reference dequantisers: blocks to floats, as the formats define them.
 *
 * The order of the float operations is part of the definition, since every product rounds.
 * Throughout, a block's scale is widened from half to float, multiplied by its sub-block's
 * whole-number scale (one rounding), and the product multiplied by the element (one more); minimums
 * likewise:
 *
 *     Q4_0 Q5_0 Q8_0 IQ4_NL MXFP4    d * q
 *     Q4_1 Q5_1                      (d * q) + m
 *     Q3_K Q6_K IQ4_XS               (d * s) * q
 *     Q2_K Q4_K Q5_K                 ((d * s) * q) - (dmin * m)
 *
 * No operation is fused: the build says -ffp-contract=off.
 */
#include "quant/quant_private.h"

const int8_t quant_iq4nl_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                       1,    13,   25,  38,  53,  69,  89,  113};
const int8_t quant_mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

void quant_dequant_f32(const void *src, float *dst, int64_t k) {
    memcpy(dst, src, (size_t)k * sizeof *dst);
}

void quant_dequant_f16(const void *src, float *dst, int64_t k) {
    const uint8_t *p = src;
    for (int64_t i = 0; i < k; i++) dst[i] = quant_load_f16(p + 2 * i);
}

void quant_dequant_bf16(const void *src, float *dst, int64_t k) {
    const uint8_t *p = src;
    for (int64_t i = 0; i < k; i++) dst[i] = quant_bf16_to_f32(quant_load_u16(p + 2 * i));
}

/* ---- Blocks of 32; byte j of the nibbles holds elements j (low) and j + 16 (high) ---- */

void quant_dequant_q4_0(const void *src, float *dst, int64_t k) {
    const uint8_t *b = src;
    for (int64_t i = 0; i < k; i += 32, b += 18) {
        float d = quant_load_f16(b);
        for (int j = 0; j < 16; j++) {
            dst[i + j] = d * (float)((b[2 + j] & 15) - 8);
            dst[i + j + 16] = d * (float)((b[2 + j] >> 4) - 8);
        }
    }
}

void quant_dequant_q4_1(const void *src, float *dst, int64_t k) {
    const uint8_t *b = src;
    for (int64_t i = 0; i < k; i += 32, b += 20) {
        float d = quant_load_f16(b), m = quant_load_f16(b + 2);
        for (int j = 0; j < 16; j++) {
            dst[i + j] = d * (float)(b[4 + j] & 15) + m;
            dst[i + j + 16] = d * (float)(b[4 + j] >> 4) + m;
        }
    }
}

/* The five-bit element e of a block: its nibble, and bit e of the four bytes `qh` above it. */
static int five_bits(const uint8_t *qh, const uint8_t *qs, int e) {
    int low = e < 16 ? qs[e] & 15 : qs[e - 16] >> 4;
    return low | (qh[e / 8] >> (e % 8) & 1) << 4;
}

void quant_dequant_q5_0(const void *src, float *dst, int64_t k) {
    const uint8_t *b = src;
    for (int64_t i = 0; i < k; i += 32, b += 22) {
        float d = quant_load_f16(b);
        for (int e = 0; e < 32; e++) dst[i + e] = d * (float)(five_bits(b + 2, b + 6, e) - 16);
    }
}

void quant_dequant_q5_1(const void *src, float *dst, int64_t k) {
    const uint8_t *b = src;
    for (int64_t i = 0; i < k; i += 32, b += 24) {
        float d = quant_load_f16(b), m = quant_load_f16(b + 2);
        for (int e = 0; e < 32; e++) dst[i + e] = d * (float)five_bits(b + 4, b + 8, e) + m;
    }
}

void quant_dequant_q8_0(const void *src, float *dst, int64_t k) {
    const uint8_t *b = src;
    for (int64_t i = 0; i < k; i += 32, b += 34) {
        float d = quant_load_f16(b);
        for (int e = 0; e < 32; e++) dst[i + e] = d * (float)(int8_t)b[2 + e];
    }
}

void quant_dequant_iq4_nl(const void *src, float *dst, int64_t k) {
    const uint8_t *b = src;
    for (int64_t i = 0; i < k; i += 32, b += 18) {
        float d = quant_load_f16(b);
        for (int j = 0; j < 16; j++) {
            dst[i + j] = d * (float)quant_iq4nl_values[b[2 + j] & 15];
            dst[i + j + 16] = d * (float)quant_iq4nl_values[b[2 + j] >> 4];
        }
    }
}

void quant_dequant_mxfp4(const void *src, float *dst, int64_t k) {
    const uint8_t *b = src;
    for (int64_t i = 0; i < k; i += 32, b += 17) {
        float d = quant_e8m0_half(b[0]);
        for (int j = 0; j < 16; j++) {
            dst[i + j] = d * (float)quant_mxfp4_values[b[1 + j] & 15];
            dst[i + j + 16] = d * (float)quant_mxfp4_values[b[1 + j] >> 4];
        }
    }
}

/* ---- Super-blocks of 256 ---- */

/* Q2_K and Q3_K: 64 bytes hold four elements each. Half h of the super-block (128 elements) uses
 * bytes 32h to 32h+31, and its quarter j the bit pair 2j of each of them. */
static int two_bits(const uint8_t *qs, int e) {
    int half = e / 128, quarter = e % 128 / 32;
    return qs[32 * half + e % 32] >> (2 * quarter) & 3;
}

void quant_dequant_q2_k(const void *src, float *dst, int64_t k) {
    const uint8_t *b = src;
    for (int64_t i = 0; i < k; i += QUANT_K, b += 84) {
        const uint8_t *sc = b, *qs = b + 16;
        float d = quant_load_f16(b + 80), dmin = quant_load_f16(b + 82);
        for (int s = 0; s < 16; s++) {
            float ds = d * (float)(sc[s] & 15), ms = dmin * (float)(sc[s] >> 4);
            for (int e = 16 * s; e < 16 * s + 16; e++)
                dst[i + e] = ds * (float)two_bits(qs, e) - ms;
        }
    }
}

void quant_q3k_scales(const uint8_t sc[12], int8_t out[16]) {
    for (int s = 0; s < 16; s++) {
        int low = s < 8 ? sc[s] & 15 : sc[s - 8] >> 4;
        int high = sc[8 + s % 4] >> (2 * (s / 4)) & 3;
        out[s] = (int8_t)((low | high << 4) - 32);
    }
}

void quant_dequant_q3_k(const void *src, float *dst, int64_t k) {
    const uint8_t *b = src;
    for (int64_t i = 0; i < k; i += QUANT_K, b += 110) {
        const uint8_t *hmask = b, *qs = b + 32;
        float d = quant_load_f16(b + 108);
        int8_t scales[16];
        quant_q3k_scales(b + 96, scales);
        for (int s = 0; s < 16; s++) {
            float ds = d * (float)scales[s];
            for (int e = 16 * s; e < 16 * s + 16; e++) {
                int is_high = hmask[e % 32] >> (e / 32) & 1; /* a clear bit takes 4 away */
                dst[i + e] = ds * (float)(two_bits(qs, e) - (is_high ? 0 : 4));
            }
        }
    }
}

void quant_k4_scale_min(const uint8_t sc[12], int j, uint8_t *scale, uint8_t *min) {
    if (j < 4) {
        *scale = sc[j] & 63;
        *min = sc[j + 4] & 63;
    } else {
        *scale = (uint8_t)((sc[j + 4] & 15) | (sc[j - 4] >> 6) << 4);
        *min = (uint8_t)(sc[j + 4] >> 4 | (sc[j] >> 6) << 4);
    }
}

/* Q4_K and Q5_K: 32 bytes hold two sub-blocks of 32, the even one in the low nibbles. */
void quant_dequant_q4_k(const void *src, float *dst, int64_t k) {
    const uint8_t *b = src;
    for (int64_t i = 0; i < k; i += QUANT_K, b += 144) {
        const uint8_t *qs = b + 16;
        float d = quant_load_f16(b), dmin = quant_load_f16(b + 2);
        for (int s = 0; s < 8; s++) {
            uint8_t sc, m;
            quant_k4_scale_min(b + 4, s, &sc, &m);
            float ds = d * (float)sc, ms = dmin * (float)m;
            for (int l = 0; l < 32; l++) {
                int q = qs[32 * (s / 2) + l] >> (4 * (s % 2)) & 15;
                dst[i + 32 * s + l] = ds * (float)q - ms;
            }
        }
    }
}

void quant_dequant_q5_k(const void *src, float *dst, int64_t k) {
    const uint8_t *b = src;
    for (int64_t i = 0; i < k; i += QUANT_K, b += 176) {
        const uint8_t *qh = b + 16, *qs = b + 48;
        float d = quant_load_f16(b), dmin = quant_load_f16(b + 2);
        for (int s = 0; s < 8; s++) {
            uint8_t sc, m;
            quant_k4_scale_min(b + 4, s, &sc, &m);
            float ds = d * (float)sc, ms = dmin * (float)m;
            for (int l = 0; l < 32; l++) {
                int q = (qs[32 * (s / 2) + l] >> (4 * (s % 2)) & 15) | (qh[l] >> s & 1) << 4;
                dst[i + 32 * s + l] = ds * (float)q - ms;
            }
        }
    }
}

/* Half h of the super-block: quarters 0 and 2 take the low and high nibbles of bytes 64h to 64h+31,
 * quarters 1 and 3 those of the next 32; above it quarter j takes bit pair 2j of bytes 32h to
 * 32h+31. */
void quant_dequant_q6_k(const void *src, float *dst, int64_t k) {
    const uint8_t *b = src;
    for (int64_t i = 0; i < k; i += QUANT_K, b += 210) {
        const uint8_t *ql = b, *qh = b + 128, *sc = b + 192;
        float d = quant_load_f16(b + 208);
        for (int s = 0; s < 16; s++) {
            float ds = d * (float)(int8_t)sc[s];
            for (int e = 16 * s; e < 16 * s + 16; e++) {
                int half = e / 128, quarter = e % 128 / 32, l = e % 32;
                int low = ql[64 * half + 32 * (quarter % 2) + l] >> (4 * (quarter / 2)) & 15;
                int high = qh[32 * half + l] >> (2 * quarter) & 3;
                dst[i + e] = ds * (float)((low | high << 4) - 32);
            }
        }
    }
}

void quant_dequant_iq4_xs(const void *src, float *dst, int64_t k) {
    const uint8_t *b = src;
    for (int64_t i = 0; i < k; i += QUANT_K, b += 136) {
        const uint8_t *sl = b + 4, *qs = b + 8;
        float d = quant_load_f16(b);
        unsigned sh = quant_load_u16(b + 2);
        for (int s = 0; s < 8; s++, qs += 16) {
            int scale = (sl[s / 2] >> (4 * (s % 2)) & 15) | (int)(sh >> (2 * s) & 3) << 4;
            float ds = d * (float)(scale - 32);
            for (int j = 0; j < 16; j++) {
                dst[i + 32 * s + j] = ds * (float)quant_iq4nl_values[qs[j] & 15];
                dst[i + 32 * s + j + 16] = ds * (float)quant_iq4nl_values[qs[j] >> 4];
            }
        }
    }
}
