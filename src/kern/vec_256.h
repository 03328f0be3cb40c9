/* Vectors of 8 floats or 32 bytes; see vec_avx512.h for what the names mean. Shared by AVX2 and its
 * kin with dot-product instructions: they include this and then say what a dot product is.
 */
#ifndef HEARTH_KERN_VEC_256_H
#define HEARTH_KERN_VEC_256_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define VEC_INLINE static inline __attribute__((always_inline))
#define VEC_LANES 8
#define VEC_BYTES 32
#define VEC_SCORE_COLS 2
#define VEC_VALUE_COLS 2
#define VEC_TILE_TOKENS 4
#define VEC_TILE_ROWS(n) ((n) == 1 ? 4 : 2)
#define VEC_PLAIN_ROWS 2
#define VEC_STAGED_STEP 2

typedef __m256 vec;
typedef __m256i ivec;

VEC_INLINE vec vec_zero(void) {
    return _mm256_setzero_ps();
}
VEC_INLINE vec vec_set(float x) {
    return _mm256_set1_ps(x);
}
VEC_INLINE vec vec_load(const float *p) {
    return _mm256_loadu_ps(p);
}
VEC_INLINE void vec_store(float *p, vec a) {
    _mm256_storeu_ps(p, a);
}
VEC_INLINE vec vec_add(vec a, vec b) {
    return _mm256_add_ps(a, b);
}
VEC_INLINE vec vec_sub(vec a, vec b) {
    return _mm256_sub_ps(a, b);
}
VEC_INLINE vec vec_mul(vec a, vec b) {
    return _mm256_mul_ps(a, b);
}
VEC_INLINE vec vec_div(vec a, vec b) {
    return _mm256_div_ps(a, b);
}
VEC_INLINE vec vec_fma(vec a, vec b, vec c) {
    return _mm256_fmadd_ps(a, b, c);
}
VEC_INLINE vec vec_min(vec a, vec b) {
    return _mm256_min_ps(a, b);
}
VEC_INLINE vec vec_max(vec a, vec b) {
    return _mm256_max_ps(a, b);
}
VEC_INLINE vec vec_abs(vec a) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
VEC_INLINE vec vec_neg(vec a) {
    return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f));
}
VEC_INLINE vec vec_copysign(vec a, vec s) {
    return _mm256_or_ps(vec_abs(a), _mm256_and_ps(s, _mm256_set1_ps(-0.0f)));
}
VEC_INLINE vec vec_less(vec a, vec b, vec x, vec y) {
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
VEC_INLINE int vec_any_nan(vec a) {
    return _mm256_movemask_ps(_mm256_cmp_ps(a, a, _CMP_UNORD_Q)) != 0;
}
VEC_INLINE vec vec_iota(void) {
    return _mm256_set_ps(7, 6, 5, 4, 3, 2, 1, 0);
}

VEC_INLINE __m256i first_lanes(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
}
VEC_INLINE vec vec_load_part(const float *p, int n) {
    return _mm256_maskload_ps(p, first_lanes(n));
}
VEC_INLINE void vec_store_part(float *p, vec a, int n) {
    _mm256_maskstore_ps(p, first_lanes(n), a);
}

VEC_INLINE __m128i half_load(const void *p) {
    return _mm_loadu_si128((const __m128i *)p);
}
VEC_INLINE __m128i quarter_load(const void *p) {
    return _mm_loadl_epi64((const __m128i *)p);
}

VEC_INLINE vec vec_load_f16(const uint16_t *p) {
    return _mm256_cvtph_ps(half_load(p));
}
VEC_INLINE void vec_store_f16(uint16_t *p, vec a) {
    _mm_storeu_si128((__m128i *)(void *)p,
                     _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
VEC_INLINE vec vec_load_bf16(const uint16_t *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half_load(p)), 16));
}
VEC_INLINE vec vec_load_i8(const int8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(quarter_load(p)));
}
VEC_INLINE void vec_store_i8(int8_t *p, vec a) {
    __m256i i = _mm256_cvtps_epi32(a);
    __m128i w = _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
    _mm_storel_epi64((__m128i *)(void *)p, _mm_packs_epi16(w, w));
}
VEC_INLINE vec vec_load_low4(const int8_t *p) {
    __m256i b = _mm256_cvtepu8_epi32(quarter_load(p));
    return _mm256_cvtepi32_ps(_mm256_and_si256(b, _mm256_set1_epi32(15)));
}
VEC_INLINE vec vec_load_high4(const int8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_srli_epi32(_mm256_cvtepu8_epi32(quarter_load(p)), 4));
}
VEC_INLINE vec vec_load_e8m0(const uint8_t *p) {
    __m256i e = _mm256_cvtepu8_epi32(quarter_load(p));
    __m256i bits = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    __m256i small = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x200000), e);
    return _mm256_castsi256_ps(_mm256_blendv_epi8(bits, tiny, small));
}

/* a * 2^n in two factors, so that neither overflows; n = h + (n - h). */
VEC_INLINE vec power2(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
VEC_INLINE vec vec_scale2(vec a, vec n) {
    __m256i i = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(i, 1);
    return _mm256_mul_ps(_mm256_mul_ps(a, power2(half)), power2(_mm256_sub_epi32(i, half)));
}

VEC_INLINE float vec_sum(vec a) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
VEC_INLINE float vec_top(vec a) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
VEC_INLINE int vec_sum16_i8(const int8_t *p) {
    __m256i s = _mm256_madd_epi16(_mm256_cvtepi8_epi16(half_load(p)), _mm256_set1_epi16(1));
    __m128i h = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
    h = _mm_add_epi32(h, _mm_shuffle_epi32(h, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(h, _mm_shuffle_epi32(h, 0xb1)));
}

VEC_INLINE vec ordered(vec a) { /* lanes 0 1 4 5 2 3 6 7 */
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(a), 0xd8));
}
VEC_INLINE void vec_load_pairs(const float *p, vec *even, vec *odd) {
    vec a = vec_load(p), b = vec_load(p + 8);
    *even = ordered(_mm256_shuffle_ps(a, b, 0x88));
    *odd = ordered(_mm256_shuffle_ps(a, b, 0xdd));
}
VEC_INLINE void vec_store_pairs(float *p, vec even, vec odd) {
    vec lo = _mm256_unpacklo_ps(even, odd), hi = _mm256_unpackhi_ps(even, odd);
    vec_store(p, _mm256_permute2f128_ps(lo, hi, 0x20));
    vec_store(p + 8, _mm256_permute2f128_ps(lo, hi, 0x31));
}

/* ---- bytes ---- */

VEC_INLINE ivec ivec_load(const void *p) {
    return _mm256_load_si256((const __m256i *)p);
}
VEC_INLINE void ivec_store(void *p, ivec a) {
    _mm256_store_si256((__m256i *)p, a);
}
VEC_INLINE ivec ivec_set8(int x) {
    return _mm256_set1_epi8((char)x);
}
VEC_INLINE ivec ivec_set32(int32_t x) {
    return _mm256_set1_epi32(x);
}
VEC_INLINE ivec ivec_and(ivec a, ivec b) {
    return _mm256_and_si256(a, b);
}
VEC_INLINE ivec ivec_or(ivec a, ivec b) {
    return _mm256_or_si256(a, b);
}
#define IVEC_RIGHT(a, n) _mm256_srli_epi16(a, n)
#define IVEC_LEFT(a, n) _mm256_slli_epi16(a, n)
VEC_INLINE vec ivec_to_vec(ivec a) {
    return _mm256_cvtepi32_ps(a);
}
VEC_INLINE ivec ivec_table(const uint8_t *table, ivec index) {
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(half_load(table)), index);
}
/* The 32 bits' bytes are spread over eight lanes each, and each lane keeps its own bit. */
VEC_INLINE ivec ivec_add_bits(ivec a, const uint8_t *bits, int value) {
    int32_t mask;
    memcpy(&mask, bits, 4);
    const ivec spread = _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202,
                                          0x0101010101010101, 0);
    const ivec own = _mm256_set1_epi64x((long long)0x8040201008040201);
    ivec m = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(mask), spread), own);
    return _mm256_or_si256(a, _mm256_and_si256(_mm256_cmpeq_epi8(m, own), ivec_set8(value)));
}

/* What attention's exact products share (vec_attn_int.h). */
#define VEC_INT_COLS(rows) ((rows) <= 2 ? 2 : 1)
VEC_INLINE ivec ivec_sub32(ivec a, ivec b) {
    return _mm256_sub_epi32(a, b);
}
/* Eight integers of 16 bits, rounded to nearest even. */
VEC_INLINE __m128i int16_of(vec a) {
    __m256i i = _mm256_cvtps_epi32(a);
    return _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
}
VEC_INLINE vec vec_max_bits(vec a, vec b) {
    return _mm256_castsi256_ps(_mm256_max_epu32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
VEC_INLINE uint32_t vec_top_bits(vec a) {
    __m256i i = _mm256_castps_si256(a);
    __m128i s = _mm_max_epu32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
    s = _mm_max_epu32(s, _mm_shuffle_epi32(s, 0x4e));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epu32(s, _mm_shuffle_epi32(s, 0xb1)));
}

#endif
