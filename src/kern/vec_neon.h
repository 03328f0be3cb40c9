/* Vectors of 4 floats or 16 bytes; see vec_avx512.h for what the names mean. Shared by the three
 * NEON variants: they include this and then say what a dot product is. A vector of weights is four
 * rows by four elements; a dot product takes its four of the token's values out of 16 that are
 * loaded together (VEC_Q_GROUPS), so that a token costs one load for four groups.
 */
#ifndef HEARTH_KERN_VEC_NEON_H
#define HEARTH_KERN_VEC_NEON_H

#include <arm_neon.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define VEC_INLINE static inline __attribute__((always_inline))
#define VEC_LANES 4
#define VEC_BYTES 16
#define VEC_SCORE_COLS 4
#define VEC_VALUE_COLS 4
/* Of 32 registers: as many integer accumulators as float ones, the weights, the tokens. */
#define VEC_TILE_TOKENS 6
#define VEC_TILE_ROWS(n) ((n) == 1 ? 8 : (n) <= 3 ? 4 : 2)
#define VEC_PLAIN_ROWS 4
#define VEC_STAGED_STEP 4
#define VEC_Q_GROUPS 4

typedef float32x4_t vec;
typedef int32x4_t ivec;

VEC_INLINE vec vec_zero(void) {
    return vdupq_n_f32(0);
}
VEC_INLINE vec vec_set(float x) {
    return vdupq_n_f32(x);
}
VEC_INLINE vec vec_load(const float *p) {
    return vld1q_f32(p);
}
VEC_INLINE void vec_store(float *p, vec a) {
    vst1q_f32(p, a);
}
VEC_INLINE vec vec_add(vec a, vec b) {
    return vaddq_f32(a, b);
}
VEC_INLINE vec vec_sub(vec a, vec b) {
    return vsubq_f32(a, b);
}
VEC_INLINE vec vec_mul(vec a, vec b) {
    return vmulq_f32(a, b);
}
VEC_INLINE vec vec_div(vec a, vec b) {
    return vdivq_f32(a, b);
}
VEC_INLINE vec vec_fma(vec a, vec b, vec c) {
    return vfmaq_f32(c, a, b);
}
VEC_INLINE vec vec_less(vec a, vec b, vec x, vec y) {
    return vbslq_f32(vcltq_f32(a, b), x, y);
}
VEC_INLINE vec vec_min(vec a, vec b) { /* not fmin: a NaN must give b */
    return vec_less(a, b, a, b);
}
VEC_INLINE vec vec_max(vec a, vec b) {
    return vec_less(b, a, a, b);
}
VEC_INLINE vec vec_abs(vec a) {
    return vabsq_f32(a);
}
VEC_INLINE vec vec_neg(vec a) {
    return vnegq_f32(a);
}
VEC_INLINE vec vec_copysign(vec a, vec s) {
    return vbslq_f32(vdupq_n_u32(0x80000000u), s, a);
}
VEC_INLINE int vec_any_nan(vec a) {
    return vminvq_u32(vceqq_f32(a, a)) == 0;
}
VEC_INLINE vec vec_iota(void) {
    static const float lanes[4] = {0, 1, 2, 3};
    return vld1q_f32(lanes);
}

VEC_INLINE vec vec_load_part(const float *p, int n) {
    float lanes[4] = {0};
    for (int i = 0; i < n; i++) lanes[i] = p[i];
    return vld1q_f32(lanes);
}
VEC_INLINE void vec_store_part(float *p, vec a, int n) {
    float lanes[4];
    vst1q_f32(lanes, a);
    for (int i = 0; i < n; i++) p[i] = lanes[i];
}

/* Four bytes as four lanes. */
VEC_INLINE uint32x4_t load4_u8(const void *p) {
    uint32_t bytes;
    memcpy(&bytes, p, 4);
    return vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(bytes))));
}

VEC_INLINE vec vec_load_f16(const uint16_t *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
VEC_INLINE void vec_store_f16(uint16_t *p, vec a) {
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(a)));
}
VEC_INLINE vec vec_load_bf16(const uint16_t *p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}
VEC_INLINE vec vec_load_i8(const int8_t *p) {
    uint32_t bytes;
    memcpy(&bytes, p, 4);
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(bytes)))));
}
VEC_INLINE void vec_store_i8(int8_t *p, vec a) {
    int16x4_t h = vmovn_s32(vcvtnq_s32_f32(a));
    uint32_t bytes = vget_lane_u32(vreinterpret_u32_s8(vmovn_s16(vcombine_s16(h, h))), 0);
    memcpy(p, &bytes, 4);
}
VEC_INLINE vec vec_load_low4(const int8_t *p) {
    return vcvtq_f32_u32(vandq_u32(load4_u8(p), vdupq_n_u32(15)));
}
VEC_INLINE vec vec_load_high4(const int8_t *p) {
    return vcvtq_f32_u32(vshrq_n_u32(load4_u8(p), 4));
}
VEC_INLINE vec vec_load_e8m0(const uint8_t *p) {
    uint32x4_t e = load4_u8(p), bits = vshlq_n_u32(vsubq_u32(e, vdupq_n_u32(1)), 23);
    uint32x4_t tiny = vshlq_u32(vdupq_n_u32(0x200000), vreinterpretq_s32_u32(e));
    return vreinterpretq_f32_u32(vbslq_u32(vcltq_u32(e, vdupq_n_u32(2)), tiny, bits));
}

/* a * 2^n in two factors, so that neither overflows; n = h + (n - h). */
VEC_INLINE vec power2(int32x4_t n) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}
VEC_INLINE vec vec_scale2(vec a, vec n) {
    int32x4_t i = vcvtnq_s32_f32(n), half = vshrq_n_s32(i, 1);
    return vmulq_f32(vmulq_f32(a, power2(half)), power2(vsubq_s32(i, half)));
}

VEC_INLINE float vec_sum(vec a) {
    float32x2_t s = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(s, 0) + vget_lane_f32(s, 1);
}
VEC_INLINE float vec_top(vec a) {
    return vmaxvq_f32(a);
}
VEC_INLINE int vec_sum16_i8(const int8_t *p) {
    return vaddlvq_s8(vld1q_s8(p));
}

VEC_INLINE void vec_load_pairs(const float *p, vec *even, vec *odd) {
    float32x4x2_t a = vld2q_f32(p);
    *even = a.val[0], *odd = a.val[1];
}
VEC_INLINE void vec_store_pairs(float *p, vec even, vec odd) {
    vst2q_f32(p, (float32x4x2_t){{even, odd}});
}

/* ---- bytes ---- */

VEC_INLINE uint8x16_t bytes_of(ivec a) {
    return vreinterpretq_u8_s32(a);
}
VEC_INLINE ivec of_bytes(uint8x16_t a) {
    return vreinterpretq_s32_u8(a);
}
VEC_INLINE ivec ivec_load(const void *p) {
    return of_bytes(vld1q_u8(p));
}
VEC_INLINE void ivec_store(void *p, ivec a) {
    vst1q_u8(p, bytes_of(a));
}
VEC_INLINE ivec ivec_set8(int x) {
    return of_bytes(vdupq_n_u8((uint8_t)x));
}
VEC_INLINE ivec ivec_set32(int32_t x) {
    return vdupq_n_s32(x);
}
VEC_INLINE ivec ivec_and(ivec a, ivec b) {
    return vandq_s32(a, b);
}
VEC_INLINE ivec ivec_or(ivec a, ivec b) {
    return vorrq_s32(a, b);
}
#define IVEC_RIGHT(a, n) of_bytes(vshrq_n_u8(bytes_of(a), n))
#define IVEC_LEFT(a, n) of_bytes(vshlq_n_u8(bytes_of(a), n))
VEC_INLINE vec ivec_to_vec(ivec a) {
    return vcvtq_f32_s32(a);
}
VEC_INLINE ivec ivec_table(const uint8_t *table, ivec index) {
    return of_bytes(vqtbl1q_u8(vld1q_u8(table), bytes_of(index)));
}
/* Eight bits' byte is spread over eight lanes, and each lane keeps its own bit. */
VEC_INLINE ivec ivec_add_bits(ivec a, const uint8_t *bits, int value) {
    uint8x16_t spread = vcombine_u8(vdup_n_u8(bits[0]), vdup_n_u8(bits[1]));
    uint8x16_t set = vtstq_u8(spread, vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201u)));
    return vorrq_s32(a, of_bytes(vandq_u8(set, vdupq_n_u8((uint8_t)value))));
}

/* ---- what the dot products of the variants share: each step ends in 32 bits ---- */

#define VEC_DOT_SPAN(max_w) 1
VEC_INLINE ivec vec_load_q(const int8_t *q) {
    return vreinterpretq_s32_s8(vld1q_s8(q));
}
VEC_INLINE ivec vec_dot_begin(ivec dot) {
    return dot;
}
VEC_INLINE ivec vec_dot_end(ivec dot, ivec part) {
    (void)dot;
    return part;
}

/* ---- what attention's exact products share (vec_attn_int.h): both sides signed ---- */

#define VEC_INT_COLS(rows) ((rows) <= 2 ? 4 : 2)
typedef ivec vec_int;
VEC_INLINE vec_int vec_int_load(bool keys, const void *p) {
    uint8x16_t w = vld1q_u8(p);
    return of_bytes(keys ? veorq_u8(w, vdupq_n_u8(0x80)) : w);
}
VEC_INLINE void vec_int_split(bool keys, uint8_t *high, uint8_t *low, vec a) {
    (void)keys;
    int16x4_t x = vadd_s16(vmovn_s32(vcvtnq_s32_f32(a)), vdup_n_s16(128));
    int16x8_t both = vcombine_s16(veor_s16(x, vdup_n_s16(128)), vshr_n_s16(x, 8));
    uint64_t bytes = vget_lane_u64(vreinterpret_u64_s8(vmovn_s16(both)), 0);
    uint32_t lo = (uint32_t)bytes, hi = (uint32_t)(bytes >> 32);
    memcpy(low, &lo, 4), memcpy(high, &hi, 4);
}
VEC_INLINE ivec vec_int_join(ivec high, ivec low) {
    return vaddq_s32(vshlq_n_s32(high, 8), low);
}
VEC_INLINE ivec ivec_sub32(ivec a, ivec b) {
    return vsubq_s32(a, b);
}
VEC_INLINE vec vec_max_bits(vec a, vec b) {
    return vreinterpretq_f32_u32(vmaxq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
}
VEC_INLINE uint32_t vec_top_bits(vec a) {
    return vmaxvq_u32(vreinterpretq_u32_f32(a));
}

#endif
