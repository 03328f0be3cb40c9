/* The table of types, and the 16-bit floats. */
#include "quant/quant.h"

#include <string.h>
#include <strings.h>

#include "quant/quant_private.h"

static const quant_info infos[QUANT_TYPE_END] = {
    [QUANT_F32] = {"F32", 1, 4, true, quant_dequant_f32, quant_enc_f32},
    [QUANT_F16] = {"F16", 1, 2, true, quant_dequant_f16, quant_enc_f16},
    [QUANT_BF16] = {"BF16", 1, 2, true, quant_dequant_bf16, quant_enc_bf16},
    [QUANT_Q4_0] = {"Q4_0", 32, 18, true, quant_dequant_q4_0, quant_enc_q4_0},
    [QUANT_Q4_1] = {"Q4_1", 32, 20, true, quant_dequant_q4_1, quant_enc_q4_1},
    [QUANT_Q5_0] = {"Q5_0", 32, 22, true, quant_dequant_q5_0, quant_enc_q5_0},
    [QUANT_Q5_1] = {"Q5_1", 32, 24, true, quant_dequant_q5_1, quant_enc_q5_1},
    [QUANT_Q8_0] = {"Q8_0", 32, 34, true, quant_dequant_q8_0, quant_enc_q8_0},
    [QUANT_Q2_K] = {"Q2_K", 256, 84, true, quant_dequant_q2_k, quant_enc_q2_k},
    [QUANT_Q3_K] = {"Q3_K", 256, 110, true, quant_dequant_q3_k, quant_enc_q3_k},
    [QUANT_Q4_K] = {"Q4_K", 256, 144, true, quant_dequant_q4_k, quant_enc_q4_k},
    [QUANT_Q5_K] = {"Q5_K", 256, 176, true, quant_dequant_q5_k, quant_enc_q5_k},
    [QUANT_Q6_K] = {"Q6_K", 256, 210, true, quant_dequant_q6_k, quant_enc_q6_k},
    [QUANT_IQ4_NL] = {"IQ4_NL", 32, 18, true, quant_dequant_iq4_nl, quant_enc_iq4_nl},
    [QUANT_IQ4_XS] = {"IQ4_XS", 256, 136, true, quant_dequant_iq4_xs, quant_enc_iq4_xs},
    [QUANT_MXFP4] = {"MXFP4", 32, 17, true, quant_dequant_mxfp4, quant_enc_mxfp4},
    [QUANT_I8] = {"I8", 1, 1, false, NULL, NULL},
    [QUANT_I16] = {"I16", 1, 2, false, NULL, NULL},
    [QUANT_I32] = {"I32", 1, 4, false, NULL, NULL},
    [QUANT_I64] = {"I64", 1, 8, false, NULL, NULL},
    [QUANT_F64] = {"F64", 1, 8, false, NULL, NULL},
};

const quant_info *quant_info_of(uint32_t type) {
    return type < QUANT_TYPE_END && infos[type].name ? &infos[type] : NULL;
}

const quant_info *quant_info_named(const char *name, uint32_t *type) {
    for (uint32_t t = 0; t < QUANT_TYPE_END; t++) {
        if (!infos[t].name || strcasecmp(infos[t].name, name) != 0) continue;
        if (type) *type = t;
        return &infos[t];
    }
    return NULL;
}

bool quant_bytes(uint32_t type, uint64_t n, uint64_t *bytes) {
    const quant_info *q = quant_info_of(type);
    if (!q || n % q->block) return false;
    return mul_u64(n / q->block, q->block_bytes, bytes);
}

static float f32_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
static uint32_t bits_of_f32(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* Whole-number arithmetic throughout: the result cannot depend on the processor's rounding mode or
 * on its treatment of denormals. */
float quant_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = h >> 10 & 31, man = h & 0x3ff;
    if (exp == 31) return f32_of_bits(sign | 0x7f800000 | man << 13);
    if (exp) return f32_of_bits(sign | (exp + 112) << 23 | man << 13);
    if (!man) return f32_of_bits(sign);
    /* A denormal half, man * 2^-24, is a normal float: its leading bit moves to bit 10. */
    uint32_t shift = (uint32_t)__builtin_clz(man) - 21;
    return f32_of_bits(sign | (113 - shift) << 23 | (man << shift & 0x3ff) << 13);
}

uint16_t quant_f32_to_f16(float f) {
    uint32_t x = bits_of_f32(f), sign = x >> 16 & 0x8000;
    x &= 0x7fffffff;
    if (x > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (x >> 13 & 0x3ff)); /* NaN */
    if (x >= 0x477ff000) return (uint16_t)(sign | 0x7c00);                    /* 65520 and more */
    if (x >= 0x38800000) {                                                    /* 2^-14: normal */
        x -= 112u << 23;
        x += 0xfff + (x >> 13 & 1);
        return (uint16_t)(sign | x >> 13);
    }
    if (x <= 0x33000000) return (uint16_t)sign; /* up to 2^-25, which ties to zero */
    uint32_t shift = 126 - (x >> 23), man = (x & 0x7fffff) | 0x800000;
    uint32_t q = man >> shift, rest = man & ((1u << shift) - 1), half = 1u << (shift - 1);
    q += rest > half || (rest == half && (q & 1));
    return (uint16_t)(sign | q);
}

float quant_bf16_to_f32(uint16_t h) {
    return f32_of_bits((uint32_t)h << 16);
}

uint16_t quant_f32_to_bf16(float f) {
    uint32_t x = bits_of_f32(f);
    if ((x & 0x7fffffff) > 0x7f800000) return (uint16_t)(x >> 16 | 0x40); /* NaN, made quiet */
    return (uint16_t)((x + 0x7fff + (x >> 16 & 1)) >> 16);
}

float quant_e8m0_half(uint8_t e) {
    return f32_of_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}
