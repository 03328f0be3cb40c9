/* Vectors of 16 floats or 64 bytes, for vec_misc.h, vec_attn.h and vec_matmul.h. The names are the
 * same in every vec_<set>.h: min and max give the second operand when one is NaN; less(a, b, x, y)
 * is a < b ? x : y, lane by lane. */
#ifndef HEARTH_KERN_VEC_AVX512_H
#define HEARTH_KERN_VEC_AVX512_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define VEC_INLINE static inline __attribute__((always_inline))
#define VEC_LANES 16
#define VEC_SCORE_COLS 4 /* vectors of tokens at a time in attention scores */
#define VEC_VALUE_COLS 4 /* vectors of channels at a time in attention values */

#define VEC_TILE_TOKENS 6                   /* tile of matrix products: at most so many tokens, */
#define VEC_TILE_ROWS(n) ((n) <= 3 ? 4 : 2) /* so many vectors of rows with n tokens, */
#define VEC_PLAIN_ROWS 4                    /* of float weights, */
#define VEC_DIRECT 16                       /* tokens up to which weights are not staged */
#define VEC_STAGED_STEP 8 /* groups of four elements unrolled in prefill: all, or GCC spills */

typedef __m512 vec;
typedef __m512i ivec; /* 64 bytes, or 16 int32 */

VEC_INLINE vec vec_zero(void) {
    return _mm512_setzero_ps();
}
VEC_INLINE vec vec_set(float x) {
    return _mm512_set1_ps(x);
}
VEC_INLINE vec vec_load(const float *p) {
    return _mm512_loadu_ps(p);
}
VEC_INLINE void vec_store(float *p, vec a) {
    _mm512_storeu_ps(p, a);
}
VEC_INLINE vec vec_add(vec a, vec b) {
    return _mm512_add_ps(a, b);
}
VEC_INLINE vec vec_sub(vec a, vec b) {
    return _mm512_sub_ps(a, b);
}
VEC_INLINE vec vec_mul(vec a, vec b) {
    return _mm512_mul_ps(a, b);
}
VEC_INLINE vec vec_div(vec a, vec b) {
    return _mm512_div_ps(a, b);
}
VEC_INLINE vec vec_fma(vec a, vec b, vec c) {
    return _mm512_fmadd_ps(a, b, c);
}
VEC_INLINE vec vec_min(vec a, vec b) {
    return _mm512_min_ps(a, b);
}
VEC_INLINE vec vec_max(vec a, vec b) {
    return _mm512_max_ps(a, b);
}
VEC_INLINE vec vec_abs(vec a) {
    return _mm512_abs_ps(a);
}
VEC_INLINE vec vec_neg(vec a) {
    return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f));
}
VEC_INLINE vec vec_copysign(vec a, vec s) {
    return _mm512_or_ps(_mm512_abs_ps(a), _mm512_and_ps(s, _mm512_set1_ps(-0.0f)));
}
VEC_INLINE vec vec_less(vec a, vec b, vec x, vec y) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
VEC_INLINE int vec_any_nan(vec a) {
    return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q) != 0;
}
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
    _mm256_storeu_si256((__m256i *)(void *)p,
                        _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
VEC_INLINE vec vec_load_i8(const int8_t *p) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
/* Rounds to nearest even; |a| <= 127. */
VEC_INLINE void vec_store_i8(int8_t *p, vec a) {
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
}
/* a * 2^n, n integral, one rounding. */
VEC_INLINE vec vec_scale2(vec a, vec n) {
    return _mm512_scalef_ps(a, n);
}

VEC_INLINE vec vec_load_bf16(const uint16_t *p) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
/* The low and high halves of bytes. */
VEC_INLINE vec vec_load_low4(const int8_t *p) {
    __m512i b = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm512_cvtepi32_ps(_mm512_and_si512(b, _mm512_set1_epi32(15)));
}
VEC_INLINE vec vec_load_high4(const int8_t *p) {
    __m512i b = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm512_cvtepi32_ps(_mm512_srli_epi32(b, 4));
}
/* 2^(e-128): e-1 in the exponent field; 0 and 1 are denormals. */
VEC_INLINE vec vec_load_e8m0(const uint8_t *p) {
    __m512i e = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    __m512i bits = _mm512_slli_epi32(_mm512_sub_epi32(e, _mm512_set1_epi32(1)), 23);
    __mmask16 small = _mm512_cmplt_epi32_mask(e, _mm512_set1_epi32(2));
    return _mm512_castsi512_ps(_mm512_mask_sllv_epi32(bits, small, _mm512_set1_epi32(0x200000), e));
}

/* ---- bytes ---- */

#define VEC_BYTES 64
VEC_INLINE ivec ivec_load(const void *p) {
    return _mm512_load_si512(p);
}
VEC_INLINE void ivec_store(void *p, ivec a) {
    _mm512_store_si512(p, a);
}
VEC_INLINE ivec ivec_set8(int x) {
    return _mm512_set1_epi8((char)x);
}
VEC_INLINE ivec ivec_set32(int32_t x) {
    return _mm512_set1_epi32(x);
}
VEC_INLINE ivec ivec_and(ivec a, ivec b) {
    return _mm512_and_si512(a, b);
}
VEC_INLINE ivec ivec_or(ivec a, ivec b) {
    return _mm512_or_si512(a, b);
}
/* Shifts by a constant; bits cross bytes, so that a mask follows. */
#define IVEC_RIGHT(a, n) _mm512_srli_epi16(a, n)
#define IVEC_LEFT(a, n) _mm512_slli_epi16(a, n)
VEC_INLINE vec ivec_to_vec(ivec a) {
    return _mm512_cvtepi32_ps(a);
}
/* table[16] of each byte (under 16). */
VEC_INLINE ivec ivec_table(const uint8_t *table, ivec index) {
    return _mm512_shuffle_epi8(
        _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)table)), index);
}
/* Adds `value` to the bytes whose bit is set. */
VEC_INLINE ivec ivec_add_bits(ivec a, const uint8_t *bits, int value) {
    uint64_t mask;
    memcpy(&mask, bits, 8);
    return _mm512_mask_add_epi8(a, mask, a, ivec_set8(value));
}

/* Dot products of unsigned w and signed q, four bytes a lane: one instruction, nothing overflows.
 * */
#define VEC_DOT_SPAN(max_w) 1
#define VEC_DOT_BIAS(max_w) 0
VEC_INLINE ivec vec_dot_begin(ivec dot) {
    return dot;
}
VEC_INLINE ivec vec_dot_step(int max_w, ivec part, ivec w, ivec q) {
    (void)max_w;
    return _mm512_dpbusd_epi32(part, w, q);
}
VEC_INLINE ivec vec_dot_end(ivec dot, ivec part) {
    (void)dot;
    return part;
}

/* Attention's exact products: vec_attn_int.h says what these are. */
#define VEC_INT_COLS(rows) ((rows) <= 2 ? 4 : 2)
typedef ivec vec_int;
VEC_INLINE vec_int vec_int_load(bool keys, const void *p) {
    (void)keys;
    return _mm512_loadu_si512(p);
}
VEC_INLINE ivec vec_int_dot(bool keys, ivec acc, vec_int w, ivec x) {
    return keys ? _mm512_dpbusd_epi32(acc, w, x) : _mm512_dpbusd_epi32(acc, x, w);
}
VEC_INLINE void vec_int_split(bool keys, uint8_t *high, uint8_t *low, vec a) {
    ivec x = _mm512_add_epi32(_mm512_cvtps_epi32(a), _mm512_set1_epi32(keys ? 128 : 0));
    __m128i lo = _mm512_cvtepi32_epi8(x), hi = _mm512_cvtepi32_epi8(_mm512_srli_epi32(x, 8));
    if (keys) lo = _mm_xor_si128(lo, _mm_set1_epi8(-128));
    _mm_storeu_si128((__m128i *)(void *)high, hi);
    _mm_storeu_si128((__m128i *)(void *)low, lo);
}
VEC_INLINE ivec vec_int_join(ivec high, ivec low) {
    return _mm512_add_epi32(_mm512_slli_epi32(high, 8), low);
}
VEC_INLINE ivec ivec_sub32(ivec a, ivec b) {
    return _mm512_sub_epi32(a, b);
}
VEC_INLINE vec vec_max_bits(vec a, vec b) {
    return _mm512_castsi512_ps(_mm512_max_epu32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}
VEC_INLINE uint32_t vec_top_bits(vec a) {
    return _mm512_reduce_max_epu32(_mm512_castps_si512(a));
}

/* A whole chunk's sums of 16 to start * each, to start * (sum of 32), and to d * (sum of 32). */
#define VEC_CHUNK_SUMS
VEC_INLINE void vec_chunk_starts16(const int16_t *sum16, int32_t start, int32_t *to) {
    __m512i sum = _mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)sum16));
    _mm512_storeu_si512(to, _mm512_mullo_epi32(sum, _mm512_set1_epi32(start)));
}
VEC_INLINE __m256i vec_chunk_sum32(const int16_t *sum16) {
    return _mm256_madd_epi16(_mm256_loadu_si256((const __m256i *)(const void *)sum16),
                             _mm256_set1_epi16(1));
}
VEC_INLINE void vec_chunk_starts(const int16_t *sum16, int32_t start, int32_t *to) {
    _mm256_storeu_si256((__m256i *)(void *)to,
                        _mm256_mullo_epi32(vec_chunk_sum32(sum16), _mm256_set1_epi32(start)));
}
VEC_INLINE void vec_chunk_dsums(const int16_t *sum16, const float *d, float *to) {
    _mm256_storeu_ps(to,
                     _mm256_mul_ps(_mm256_loadu_ps(d), _mm256_cvtepi32_ps(vec_chunk_sum32(sum16))));
}

/* Over the lanes, always in the same tree. */
VEC_INLINE float vec_sum(vec a) {
    return _mm512_reduce_add_ps(a);
}
VEC_INLINE float vec_top(vec a) {
    return _mm512_reduce_max_ps(a);
}

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
