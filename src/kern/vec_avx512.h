/* Vectors of 16 floats, for vec_misc.h and vec_attn.h. The names are the same in every vec_<set>.h:
 * min and max give the second operand when one is NaN; less(a, b, x, y) is a < b ? x : y, lane by lane. */
#ifndef HEARTH_KERN_VEC_AVX512_H
#define HEARTH_KERN_VEC_AVX512_H

#include <immintrin.h>
#include <stdint.h>

#define VEC_INLINE static inline __attribute__((always_inline))
#define VEC_LANES 16
#define VEC_SCORE_COLS 4 /* vectors of tokens at a time in attention scores */
#define VEC_VALUE_COLS 4 /* vectors of channels at a time in attention values */

typedef __m512 vec;

VEC_INLINE vec vec_zero(void) { return _mm512_setzero_ps(); }
VEC_INLINE vec vec_set(float x) { return _mm512_set1_ps(x); }
VEC_INLINE vec vec_load(const float *p) { return _mm512_loadu_ps(p); }
VEC_INLINE void vec_store(float *p, vec a) { _mm512_storeu_ps(p, a); }
VEC_INLINE vec vec_add(vec a, vec b) { return _mm512_add_ps(a, b); }
VEC_INLINE vec vec_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
VEC_INLINE vec vec_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
VEC_INLINE vec vec_div(vec a, vec b) { return _mm512_div_ps(a, b); }
VEC_INLINE vec vec_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
VEC_INLINE vec vec_min(vec a, vec b) { return _mm512_min_ps(a, b); }
VEC_INLINE vec vec_max(vec a, vec b) { return _mm512_max_ps(a, b); }
VEC_INLINE vec vec_abs(vec a) { return _mm512_abs_ps(a); }
VEC_INLINE vec vec_neg(vec a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
VEC_INLINE vec vec_copysign(vec a, vec s) {
    return _mm512_or_ps(_mm512_abs_ps(a), _mm512_and_ps(s, _mm512_set1_ps(-0.0f)));
}
VEC_INLINE vec vec_less(vec a, vec b, vec x, vec y) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
VEC_INLINE int vec_any_nan(vec a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q) != 0; }
VEC_INLINE vec vec_iota(void) {
    return _mm512_set_ps(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
}

/* The first n (1..16) lanes; the rest read as zero and are not written. */
VEC_INLINE vec vec_load_part(const float *p, int n) {
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
VEC_INLINE void vec_store_part(float *p, vec a, int n) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), a);
}

/* Elements of KV pages, to float and back. */
VEC_INLINE vec vec_load_f16(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
VEC_INLINE void vec_store_f16(uint16_t *p, vec a) {
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
VEC_INLINE vec vec_load_i8(const int8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
/* Rounds to nearest even; |a| <= 127. */
VEC_INLINE void vec_store_i8(int8_t *p, vec a) {
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
}
/* a * 2^n, n integral, one rounding. */
VEC_INLINE vec vec_scale2(vec a, vec n) { return _mm512_scalef_ps(a, n); }

/* Over the lanes, always in the same tree. */
VEC_INLINE float vec_sum(vec a) { return _mm512_reduce_add_ps(a); }
VEC_INLINE float vec_top(vec a) { return _mm512_reduce_max_ps(a); }

/* Sum of 16 int8. */
VEC_INLINE int vec_sum16_i8(const int8_t *p) {
    __m256i w = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
    __m256i s = _mm256_madd_epi16(w, _mm256_set1_epi16(1));
    __m128i h = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
    h = _mm_add_epi32(h, _mm_shuffle_epi32(h, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(h, _mm_shuffle_epi32(h, 0xb1)));
}

/* Pairs: even and odd lanes of 2 * LANES floats apart, and together again. */
VEC_INLINE void vec_load_pairs(const float *p, vec *even, vec *odd) {
    __m512 a = vec_load(p), b = vec_load(p + 16);
    const __m512i e = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    *even = _mm512_permutex2var_ps(a, e, b);
    *odd = _mm512_permutex2var_ps(a, _mm512_or_si512(e, _mm512_set1_epi32(1)), b);
}
VEC_INLINE void vec_store_pairs(float *p, vec even, vec odd) {
    const __m512i lo = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    vec_store(p, _mm512_permutex2var_ps(even, lo, odd));
    vec_store(p + 16, _mm512_permutex2var_ps(even, _mm512_or_si512(lo, _mm512_set1_epi32(8)), odd));
}

#endif
