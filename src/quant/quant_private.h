/* What the files of this room share.
 *
 * quant.c          the table, 16-bit floats
 * quant_decode.c   blocks -> floats
 * quant_simple.c   floats -> blocks of 32 with one scale, by the formats' plain rules
 * quant_search.c   scales that lose least, for the formats below
 * quant_k.c        floats -> K-quants
 * quant_iq4.c      floats -> the 4-bit code books
 */
#ifndef HEARTH_QUANT_PRIVATE_H
#define HEARTH_QUANT_PRIVATE_H

#include <string.h>

#include "base/checked.h"
#include "quant/quant.h"

#define QUANT_K 256 /* elements of a super-block */

void quant_dequant_f32(const void *src, float *dst, int64_t k);
void quant_dequant_f16(const void *src, float *dst, int64_t k);
void quant_dequant_bf16(const void *src, float *dst, int64_t k);
void quant_dequant_q4_0(const void *src, float *dst, int64_t k);
void quant_dequant_q4_1(const void *src, float *dst, int64_t k);
void quant_dequant_q5_0(const void *src, float *dst, int64_t k);
void quant_dequant_q5_1(const void *src, float *dst, int64_t k);
void quant_dequant_q8_0(const void *src, float *dst, int64_t k);
void quant_dequant_q2_k(const void *src, float *dst, int64_t k);
void quant_dequant_q3_k(const void *src, float *dst, int64_t k);
void quant_dequant_q4_k(const void *src, float *dst, int64_t k);
void quant_dequant_q5_k(const void *src, float *dst, int64_t k);
void quant_dequant_q6_k(const void *src, float *dst, int64_t k);
void quant_dequant_iq4_nl(const void *src, float *dst, int64_t k);
void quant_dequant_iq4_xs(const void *src, float *dst, int64_t k);
void quant_dequant_mxfp4(const void *src, float *dst, int64_t k);

void quant_enc_f32(const float *src, const float *by, void *dst, int64_t k);
void quant_enc_f16(const float *src, const float *by, void *dst, int64_t k);
void quant_enc_bf16(const float *src, const float *by, void *dst, int64_t k);
void quant_enc_q4_0(const float *src, const float *by, void *dst, int64_t k);
void quant_enc_q4_1(const float *src, const float *by, void *dst, int64_t k);
void quant_enc_q5_0(const float *src, const float *by, void *dst, int64_t k);
void quant_enc_q5_1(const float *src, const float *by, void *dst, int64_t k);
void quant_enc_q8_0(const float *src, const float *by, void *dst, int64_t k);
void quant_enc_q2_k(const float *src, const float *by, void *dst, int64_t k);
void quant_enc_q3_k(const float *src, const float *by, void *dst, int64_t k);
void quant_enc_q4_k(const float *src, const float *by, void *dst, int64_t k);
void quant_enc_q5_k(const float *src, const float *by, void *dst, int64_t k);
void quant_enc_q6_k(const float *src, const float *by, void *dst, int64_t k);
void quant_enc_iq4_nl(const float *src, const float *by, void *dst, int64_t k);
void quant_enc_iq4_xs(const float *src, const float *by, void *dst, int64_t k);
void quant_enc_mxfp4(const float *src, const float *by, void *dst, int64_t k);

/* Copies n elements with NaN as 0 and magnitudes cut to QUANT_TAME_MAX: more than any format here
 * can store (MXFP4 excepted, which does without), and squares and sums of squares stay finite. */
#define QUANT_TAME_MAX 1e9f
void quant_tame(const float *src, float *dst, int n);
/* A scale as stored: to half, saturated instead of infinite. */
uint16_t quant_scale_f16(float d);

/* Blocks in a mapping may stand at any byte. */
static inline uint16_t quant_load_u16(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}
static inline float quant_load_f16(const uint8_t *p) {
    return quant_f16_to_f32(quant_load_u16(p));
}
static inline void quant_store_u16(uint8_t *p, uint16_t v) {
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

#endif
