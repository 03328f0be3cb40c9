/* Dot products of AVX2: pairs of products are added in 16 bits and must not saturate. q is within
 * +-127. Weights up to 15, 31 and 63 leave room for 8, 4 and 2 steps before the pairs are widened;
 * larger ones (up to 255) are made signed, w - 128, and their sign is given to q: 128 * 127 * 2 <
 * 2^15.
 */
#ifndef HEARTH_KERN_VEC_AVX2_H
#define HEARTH_KERN_VEC_AVX2_H

#include "kern/vec_256.h"

#define VEC_DOT_SPAN(max_w) ((max_w) <= 15 ? 8 : (max_w) <= 31 ? 4 : (max_w) <= 63 ? 2 : 1)
#define VEC_DOT_BIAS(max_w) ((max_w) <= 63 ? 0 : 128)

VEC_INLINE ivec vec_dot_begin(ivec dot) {
    (void)dot;
    return _mm256_setzero_si256();
}
VEC_INLINE ivec vec_dot_step(int max_w, ivec part, ivec w, ivec q) {
    if (max_w <= 63) return _mm256_add_epi16(part, _mm256_maddubs_epi16(w, q));
    ivec s = _mm256_xor_si256(w, ivec_set8(-128));
    return _mm256_maddubs_epi16(_mm256_abs_epi8(s), _mm256_sign_epi8(q, s));
}
VEC_INLINE ivec vec_dot_end(ivec dot, ivec part) {
    return _mm256_add_epi32(dot, _mm256_madd_epi16(part, _mm256_set1_epi16(1)));
}

/* Attention's exact products (vec_attn_int.h) in 16 bits: bytes are widened once for all rows, and
 * a row is [n] int16. Each accumulator has four lanes' sums, each in two halves. */
#define VEC_INT_WIDE
typedef struct vec_int {
    ivec low, high;
} vec_int;
VEC_INLINE vec_int vec_int_load(bool keys, const void *p) {
    __m128i a = half_load(p), b = half_load((const uint8_t *)p + 16);
    if (keys) return (vec_int){_mm256_cvtepu8_epi16(a), _mm256_cvtepu8_epi16(b)};
    return (vec_int){_mm256_cvtepi8_epi16(a), _mm256_cvtepi8_epi16(b)};
}
VEC_INLINE void vec_int_store(bool keys, uint8_t *row, int n, int i, vec a) {
    (void)keys, (void)n;
    _mm_storeu_si128((__m128i *)(void *)(row + 2 * i), int16_of(a));
}
VEC_INLINE void vec_int_step(bool keys, ivec acc[2], vec_int w, const uint8_t *row, int n, int g) {
    (void)keys, (void)n;
    long long four;
    memcpy(&four, row + 8 * g, 8);
    ivec x = _mm256_set1_epi64x(four);
    acc[0] = _mm256_add_epi32(acc[0], _mm256_madd_epi16(w.low, x));
    acc[1] = _mm256_add_epi32(acc[1], _mm256_madd_epi16(w.high, x));
}
VEC_INLINE ivec vec_int_end(const ivec acc[2]) {
    return _mm256_permute4x64_epi64(_mm256_hadd_epi32(acc[0], acc[1]), 0xd8);
}

#endif
